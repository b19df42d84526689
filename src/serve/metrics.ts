// What Prometheus is told: latency by stage, queue, batches, cache hits, memory, event loop delay.

import { monitorEventLoopDelay } from "node:perf_hooks";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import type { EnginePool, PoolObserver } from "./engine-pool.js";

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export class Metrics {
  readonly registry = new Registry();
  private readonly stage: Histogram<"stage">;
  private readonly batch: Histogram;
  private readonly pictures: Counter<"result">;
  private readonly engineMemory: Gauge<"engine">;
  private readonly crashes: Counter;
  private readonly requests: Counter<"route" | "status">;

  constructor() {
    const registers = [this.registry];
    // Of this process: memory, processor time.
    collectDefaultMetrics({ register: this.registry });
    watchEventLoop(this.registry);
    this.stage = new Histogram({
      name: "groupvit_stage_seconds",
      help: "Time of a request by stage: queue, decode, encode, mask, total.",
      labelNames: ["stage"],
      buckets: SECONDS,
      registers,
    });
    this.batch = new Histogram({
      name: "groupvit_batch_size",
      help: "Requests that an engine got together.",
      buckets: [1, 2, 4, 8, 16, 32],
      registers,
    });
    this.pictures = new Counter({
      name: "groupvit_kept_pictures_total",
      help: "Requests about kept pictures, by whether the engine still had the encoded picture.",
      labelNames: ["result"],
      registers,
    });
    this.engineMemory = new Gauge({
      name: "groupvit_engine_resident_bytes",
      help: "Resident memory of each engine process.",
      labelNames: ["engine"],
      registers,
    });
    this.crashes = new Counter({
      name: "groupvit_engine_crashes_total",
      help: "Engine processes that ended unasked and were replaced.",
      registers,
    });
    this.requests = new Counter({
      name: "groupvit_requests_total",
      help: "Answered requests.",
      labelNames: ["route", "status"],
      registers,
    });
  }

  /** Adds what is read when somebody asks. */
  watch(pool: EnginePool, kept: { size: number; bytes: number }): void {
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers: [this.registry],
        collect() {
          this.set(read());
        },
      });
    gauge("groupvit_queue_length", "Requests that wait.", () => pool.queued);
    gauge("groupvit_in_work", "Requests that engines have.", () => pool.inWork);
    gauge("groupvit_engines_ready", "Engines that take work.", () => pool.readyEngines);
    gauge("groupvit_pictures_held", "Kept pictures.", () => kept.size);
    gauge("groupvit_pictures_held_bytes", "Bytes of their files.", () => kept.bytes);
  }

  /** @param seconds from the request's first byte to the answer's last */
  answered(route: string, status: number, seconds: number): void {
    this.requests.inc({ route, status: String(status) });
    this.stage.observe({ stage: "total" }, seconds);
  }

  observer(log: { crash(how: string): void; defect(stack: string): void }): PoolObserver {
    return {
      batch: (size) => this.batch.observe(size),
      stages: (times) => {
        for (const [stage, milliseconds] of Object.entries(times)) {
          this.stage.observe({ stage }, milliseconds / 1000);
        }
      },
      kept: (hit) => this.pictures.inc({ result: hit ? "hit" : "miss" }),
      memory: (engine, bytes) => this.engineMemory.set({ engine: String(engine) }, bytes),
      crash: (engine, how) => {
        this.crashes.inc();
        log.crash(`engine ${engine} was ended ${how}; it is replaced`);
      },
      defect: (stack) => log.defect(stack),
    };
  }
}

/** Milliseconds between two looks at the event loop. */
const LOOK = 10;

/**
 * How much later than due the event loop comes to a timer. The default metrics of this name give the whole time
 * between two looks, so that an idle process seems ten milliseconds late: they go.
 */
function watchEventLoop(registry: Registry): void {
  for (const { name } of registry.getMetricsAsArray()) {
    if (name.startsWith("nodejs_eventloop_lag")) registry.removeSingleMetric(name);
  }
  const looks = monitorEventLoopDelay({ resolution: LOOK });
  looks.enable();
  new Gauge({
    name: "groupvit_event_loop_delay_seconds",
    help: "Delay of the event loop since this was asked last; quantile 1 is the longest.",
    labelNames: ["quantile"],
    registers: [registry],
    collect() {
      for (const quantile of [0.5, 0.99, 1]) {
        const milliseconds = looks.percentile(100 * quantile) / 1e6 - LOOK;
        this.set({ quantile: String(quantile) }, Math.max(0, milliseconds) / 1000);
      }
      looks.reset();
    },
  });
}
