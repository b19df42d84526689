// The page of a run: curves and the strip of validation pictures as one static HTML file that opens
// without a server and loads itself again while the run goes on.

import type { StepRecord } from "./metrics.js";

export interface PageContent {
  name: string;
  description: string;
  /** A sentence about how far the run is. */
  status: string;
  /** While true the page reloads itself. */
  running: boolean;
  records: readonly StepRecord[];
  /** Rows of the strip: caption, and address relative to the page; oldest first. */
  strip: readonly { caption: string; src: string }[];
}

interface Line {
  label: string;
  value(record: StepRecord): number | undefined;
}

interface Chart {
  title: string;
  lines: Line[];
  /** Draws from 0, where that is what to look out for. */
  fromZero?: boolean;
}

const WIDTH = 460;
const HEIGHT = 210;
const MARGIN = { left: 52, right: 10, top: 10, bottom: 24 };
/** Points of a line; more are averaged in groups. */
const POINTS = 400;
const RELOAD_SECONDS = 15;
/** Colours of lines, taken in turns. */
const COLOURS = 4;
/** Rows of the strip that are shown; the first, the last and some between them. */
const MAX_ROWS = 14;

function charts(records: readonly StepRecord[]): Chart[] {
  const blocks = records[0]?.group_entropy.length ?? 0;
  return [
    {
      title: "Loss",
      lines: [
        { label: "total", value: (r) => r.loss },
        { label: "contrastive", value: (r) => r.contrastive_loss },
        { label: "multi-label", value: (r) => r.multi_label_loss },
      ],
    },
    {
      title: "Evaluation",
      lines: [
        { label: "mIoU", value: (r) => r.miou },
        { label: "zero-shot accuracy", value: (r) => r.accuracy },
      ],
    },
    {
      title: "Entropy of group usage (nats; a fall to 0 is collapse)",
      lines: Array.from({ length: blocks }, (_, i) => ({
        label: `grouping block ${i + 1}`,
        value: (r) => r.group_entropy[i],
      })),
      fromZero: true,
    },
    { title: "Learning rate", lines: [{ label: "rate", value: (r) => r.lr }] },
    { title: "Gradient norm", lines: [{ label: "norm", value: (r) => r.gradient_norm }] },
    {
      title: "Logit scales",
      lines: [
        { label: "contrastive", value: (r) => r.logit_scale },
        { label: "multi-label", value: (r) => r.multi_label_logit_scale },
      ],
    },
    {
      title: "Samples per second",
      lines: [{ label: "samples", value: (r) => r.samples_per_second }],
    },
  ];
}

/** [step, value] of a line, averaged to at most `POINTS`. */
function points(records: readonly StepRecord[], line: Line): [number, number][] {
  const all: [number, number][] = [];
  for (const record of records) {
    const value = line.value(record);
    if (value !== undefined && Number.isFinite(value)) all.push([record.step, value]);
  }
  const group = Math.ceil(all.length / POINTS);
  if (group <= 1) return all;
  const reduced: [number, number][] = [];
  for (let start = 0; start < all.length; start += group) {
    const part = all.slice(start, start + group);
    const mean = part.reduce((sum, [, value]) => sum + value, 0) / part.length;
    reduced.push([part.at(-1)![0], mean]);
  }
  return reduced;
}

function chartSvg(
  { title, lines, fromZero = false }: Chart,
  records: readonly StepRecord[],
): string {
  const drawn = lines
    .map((line) => ({ line, points: points(records, line) }))
    .filter((entry) => entry.points.length > 0);
  if (drawn.length === 0) return "";
  const values = drawn.flatMap((entry) => entry.points.map(([, value]) => value));
  const [low, high] = niceRange(fromZero ? 0 : Math.min(...values), Math.max(...values));
  const lastStep = Math.max(1, records.at(-1)!.step);
  const x = (step: number) =>
    MARGIN.left + (step / lastStep) * (WIDTH - MARGIN.left - MARGIN.right);
  const y = (value: number) =>
    HEIGHT - MARGIN.bottom - ((value - low) / (high - low)) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const grid = Array.from({ length: 5 }, (_, i) => {
    const value = low + ((high - low) * i) / 4;
    const at = y(value).toFixed(1);
    return (
      `<line class="grid" x1="${MARGIN.left}" x2="${WIDTH - MARGIN.right}" y1="${at}" y2="${at}"/>` +
      `<text x="${MARGIN.left - 6}" y="${at}" text-anchor="end" dy="0.35em">${tick(value, (high - low) / 4)}</text>`
    );
  });
  const steps = [0, 0.5, 1].map((share) => {
    const step = Math.round(lastStep * share);
    const anchor = share === 0 ? "start" : share === 1 ? "end" : "middle";
    return `<text x="${x(step).toFixed(1)}" y="${HEIGHT - 6}" text-anchor="${anchor}">${step}</text>`;
  });
  const paths = drawn.map(({ points: line }, i) => {
    const path = line.map(([step, value]) => `${x(step).toFixed(1)},${y(value).toFixed(1)}`);
    const [step, value] = line.at(-1)!;
    return (
      `<polyline class="line c${i % COLOURS}" points="${path.join(" ")}"/>` +
      `<circle class="dot c${i % COLOURS}" r="2.5" cx="${x(step).toFixed(1)}" cy="${y(value).toFixed(1)}"/>`
    );
  });
  const legend = drawn.map(
    ({ line, points: all }, i) =>
      `<span class="c${i % COLOURS}"><i></i>${escapeHtml(line.label)} <b>${tick(all.at(-1)![1])}</b></span>`,
  );
  return (
    `<figure><figcaption>${escapeHtml(title)}</figcaption><div class="legend">${legend.join("")}</div>` +
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">` +
    `${grid.join("")}${steps.join("")}${paths.join("")}</svg></figure>`
  );
}

/** The range with room, from 0 where the values are not far from it. */
function niceRange(low: number, high: number): [number, number] {
  const bottom = low >= 0 && low < high * 0.6 ? 0 : low;
  const span = high - bottom || Math.abs(high) || 1;
  return [bottom === 0 ? 0 : bottom - span * 0.05, high + span * 0.05];
}

/** A number with three digits, or as many as tell it from one that is `spacing` away. */
function tick(value: number, spacing = Math.abs(value)): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  const digits = Math.min(12, Math.max(3, Math.ceil(Math.log10(size / spacing)) + 1));
  if (size < 1e-3 || size >= 1e5) return value.toExponential(Math.max(1, digits - 2));
  return size >= 100 && digits === 3 ? value.toFixed(0) : String(Number(value.toPrecision(digits)));
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1f2328; --soft: #6a737d; --rule: #e4e7eb; --page: #fff;
  --c0: #1f6feb; --c1: #d1582b; --c2: #2b8a4b; --c3: #8250df; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #8b949e; --rule: #30363d;
  --page: #0d1117; --c0: #58a6ff; --c1: #f0883e; --c2: #56d364; --c3: #bc8cff; } }
body { margin: 0 auto; max-width: 1000px; padding: 24px 20px 60px; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 22px; margin: 0 0 4px; } h2 { font-size: 16px; margin: 32px 0 8px; }
p { margin: 0 0 6px; } .status { color: var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 20px 24px; }
figure { margin: 0; } figcaption { font-weight: 600; font-size: 14px; }
.legend { font-size: 12.5px; color: var(--soft); min-height: 20px; }
.legend span { margin-right: 14px; white-space: nowrap; } .legend b { color: var(--ink); font-weight: 600; }
.legend i { display: inline-block; width: 10px; height: 3px; margin: 0 5px 3px 0; }
svg { width: 100%; height: auto; } svg text { font-size: 10.5px; fill: var(--soft); }
.grid { stroke: var(--rule); } .line { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
.c0.line { stroke: var(--c0); } .c1.line { stroke: var(--c1); } .c2.line { stroke: var(--c2); }
.c3.line { stroke: var(--c3); }
.c0.dot, .legend .c0 i { fill: var(--c0); background: var(--c0); }
.c1.dot, .legend .c1 i { fill: var(--c1); background: var(--c1); }
.c2.dot, .legend .c2 i { fill: var(--c2); background: var(--c2); }
.c3.dot, .legend .c3 i { fill: var(--c3); background: var(--c3); }
.strip { display: grid; grid-template-columns: max-content 1fr; gap: 4px 14px; align-items: center; }
.strip span { font-size: 12.5px; color: var(--soft); text-align: right; }
.strip img { width: 100%; image-rendering: auto; display: block; }
`;

/** Evenly chosen rows, so that the strip keeps its length however long the run is. */
function chosen<Row>(rows: readonly Row[]): Row[] {
  if (rows.length <= MAX_ROWS) return [...rows];
  return Array.from(
    { length: MAX_ROWS },
    (_, i) => rows[Math.round((i * (rows.length - 1)) / (MAX_ROWS - 1))]!,
  );
}

/** The whole page as HTML. */
export function runPage(content: PageContent): string {
  const { name, description, status, running, records, strip } = content;
  const reload = running ? `<meta http-equiv="refresh" content="${RELOAD_SECONDS}">` : "";
  const rows = chosen(strip).map(
    ({ caption, src }) =>
      `<span>${escapeHtml(caption)}</span><img src="${escapeHtml(src)}" alt="${escapeHtml(caption)}">`,
  );
  const figures = charts(records).map((chart) => chartSvg(chart, records));
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
${reload}<title>${escapeHtml(name)} - GroupViT training</title><style>${STYLE}</style></head>
<body>
<h1>${escapeHtml(name)}</h1>
<p>${escapeHtml(description)}</p>
<p class="status">${escapeHtml(status)}</p>
<h2>Curves over steps</h2>
<div class="charts">${figures.join("\n")}</div>
${rows.length > 0 ? `<h2>Validation pictures</h2>\n<div class="strip">${rows.join("\n")}</div>` : ""}
</body>
</html>
`;
}
