// How far a command is, on stderr: one line that is redrawn on a terminal, a plain line every few
// seconds elsewhere (logs, CI).

import { shorten } from "../input/source.js";

const BAR_WIDTH = 24;
const REDRAW_MS = 100;
const PLAIN_MS = 5000;

/** A line about work in progress. */
export interface Progress {
  /** Shows how far it is; `rest` is added, such as the file at hand. */
  update(done: number, total: number, rest?: string): void;
  /** Takes the line off the terminal while something else is written. */
  clear(): void;
  /** The end: nothing is left on the terminal. */
  stop(): void;
}

/**
 * @param what begins the line, such as "segment"
 * @param amount how numbers of `done` and `total` are written
 */
export function startProgress(
  what: string,
  amount: (done: number, total: number) => string = (done, total) => `${done}/${total}`,
  stream: NodeJS.WriteStream = process.stderr,
): Progress {
  const started = performance.now();
  let last = stream.isTTY ? Number.NEGATIVE_INFINITY : started;
  let shown = false;
  const clear = () => {
    if (shown) stream.write("\r\x1b[K");
    shown = false;
  };
  return {
    update(done, total, rest = "") {
      const now = performance.now();
      if (now - last < (stream.isTTY ? REDRAW_MS : PLAIN_MS)) return;
      last = now;
      const left = done > 0 ? ((now - started) / done) * (total - done) : undefined;
      const time = left === undefined ? "" : `, ${duration(left)} left`;
      const share = total > 0 ? done / total : 0;
      if (stream.isTTY) {
        const full = Math.round(share * BAR_WIDTH);
        const bar = "█".repeat(full) + "░".repeat(BAR_WIDTH - full);
        const line = `${what} ${bar} ${amount(done, total)}${time}  ${shorten(rest, 60)}`;
        stream.write(`\r\x1b[K${line.slice(0, Math.max(20, (stream.columns || 80) - 1))}`);
        shown = true;
      } else {
        stream.write(`${what}: ${amount(done, total)} (${Math.floor(share * 100)} %)${time}\n`);
      }
    },
    clear,
    stop: clear,
  };
}

/** Milliseconds as "12 s", "3 min 5 s" or "2 h 10 min". */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/** Bytes as "812 B", "3.1 MB". */
export function byteSize(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return unit === 0 ? `${value} B` : `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}
