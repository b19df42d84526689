import { describe, expect, it } from "vitest";
import type { StepRecord } from "./metrics.js";
import { runPage } from "./page.js";

const record = (step: number, change: Partial<StepRecord>): StepRecord => ({
  step,
  loss: 4,
  contrastive_loss: 4,
  lr: 1e-3,
  gradient_norm: 1,
  logit_scale: 14,
  group_entropy: [1.386, 2, 2, 2, 2],
  tokens: 8,
  skipped_samples: 0,
  samples_per_second: 10,
  data_seconds: 0,
  step_seconds: 1,
  time: step,
  ...change,
});

/** The numbers beside the lines of a chart's grid, from the bottom up. */
function ticks(page: string, title: string): string[] {
  const chart = page.slice(page.indexOf(`<figcaption>${title}`));
  const found = chart
    .slice(0, chart.indexOf("</svg>"))
    .matchAll(/text-anchor="end" dy[^>]*>([^<]+)</g);
  return [...found].map(([, text]) => text!);
}

const page = runPage({
  name: "<b>",
  description: "a & b",
  status: "",
  running: false,
  records: [record(1, { logit_scale: 14.0001 }), record(2, { logit_scale: 14.0002 })],
  strip: [],
});

describe("the page of a run", () => {
  it("labels its axes with numbers that differ, however little the curve moves", () => {
    for (const title of ["Loss", "Logit scales", "Learning rate", "Entropy"]) {
      expect(ticks(page, title), title).toHaveLength(5);
      expect(new Set(ticks(page, title)).size, title).toBe(5);
    }
  });

  it("draws the entropy of groups from 0, which is what collapse falls to", () => {
    expect(ticks(page, "Entropy")[0]).toBe("0");
  });

  it("gives every line a colour, however many grouping blocks there are", () => {
    const used = [...page.matchAll(/class="line (c\d)"/g)].map(([, name]) => name!);
    expect(used.length).toBeGreaterThan(5);
    for (const name of used) expect(page).toContain(`.${name}.line {`);
  });

  it("shows names as text", () => {
    expect(page).toContain("<h1>&#60;b&#62;</h1>");
  });
});
