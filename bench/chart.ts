// Every case that was compared, as a drawn chart: how many times better than the naive path, and its
// share of the roof.

import { groups, type Machine, machineText } from "./report.js";
import { NAIVE, type Row } from "./row.js";

const INK = "#1f2933";
const FAINT = "#6b7785";
const GRID = "#e3e7eb";
const BETTER = "#2f6f9f";
const WORSE = "#c2603a";
const ROOF = "#8fb339";

/** Left edges and widths of the columns. */
const LABEL = 24;
const RATIO = { x: 430, width: 330 };
const SHARE = { x: 830, width: 110 };
const WIDTH = SHARE.x + SHARE.width + 56;
const LINE = 21;
const BAR = 12;
const HEAD = 30;
const TOP = 92;

const TITLE = "Beside the naive path and the roof";
const TICKS = [0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** A chart as SVG: of all cases but the naive path's own, those that have it or the roof to stand beside. */
export function chart(rows: readonly Row[], on: Machine): string {
  const shown = rows.filter(
    (row) => row.gain !== undefined || (row.ofRoof !== undefined && !row.name.includes(NAIVE)),
  );
  const ratios = [1, ...shown.flatMap(({ gain }) => gain ?? [])];
  const most = TICKS.find((tick) => ratios.every((ratio) => ratio <= tick)) ?? Math.max(...ratios);
  const least = Math.min(0.5, ...ratios);
  const at = (ratio: number) =>
    RATIO.x + (RATIO.width * Math.log(ratio / least)) / Math.log(most / least);

  const body: string[] = [];
  let y = TOP;
  for (const [group, own] of groups(shown)) {
    y += HEAD;
    body.push(text(LABEL, y - 8, group, 'font-weight="600"'));
    for (const row of own) {
      const middle = y + LINE / 2;
      body.push(text(LABEL + 12, middle + 4, row.name));
      if (row.gain !== undefined) body.push(ratioBar(row.gain, middle, at));
      if (row.ofRoof !== undefined) body.push(shareBar(row.ofRoof, middle));
      y += LINE;
    }
  }
  const height = y + 34;
  const grid = TICKS.filter((tick) => tick >= least && tick <= most).map(
    (tick) =>
      line(at(tick), TOP - 6, y + 6, tick === 1 ? INK : GRID) +
      centred(at(tick), TOP - 12, `${tick}x`),
  );
  const shares = [0, 0.5, 1].map((share) => {
    const x = SHARE.x + share * SHARE.width;
    return line(x, TOP - 6, y + 6, GRID) + centred(x, TOP - 12, `${100 * share} %`);
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" ` +
      `height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="12" fill="${INK}">`,
    `<title>${TITLE}</title>`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text(LABEL, 34, TITLE, 'font-size="18" font-weight="600"'),
    text(RATIO.x, 56, "times better than the naive path (memory: smaller)", `fill="${FAINT}"`),
    text(SHARE.x, 56, "of the roof", `fill="${FAINT}"`),
    ...grid,
    ...shares,
    ...body,
    text(LABEL, height - 12, machineText(on), `font-size="11" fill="${FAINT}"`),
    "</svg>",
    "",
  ].join("\n");
}

/** A bar from 1 to the ratio, on a logarithmic axis, with the number at its end. */
function ratioBar(ratio: number, middle: number, at: (ratio: number) => number): string {
  const [from, to] = ratio < 1 ? [at(ratio), at(1)] : [at(1), at(ratio)];
  const colour = ratio < 1 ? WORSE : BETTER;
  return bar(from, to - from, middle, colour) + text(to + 6, middle + 4, `${digits(ratio)}x`);
}

function shareBar(share: number, middle: number): string {
  const width = Math.min(1, share) * SHARE.width;
  const label = `${(100 * share).toFixed(0)} %`;
  return bar(SHARE.x, width, middle, ROOF) + text(SHARE.x + width + 6, middle + 4, label);
}

function bar(x: number, width: number, middle: number, colour: string): string {
  const y = middle - BAR / 2;
  const size = `width="${Math.max(1, width).toFixed(1)}" height="${BAR}"`;
  return `<rect x="${x.toFixed(1)}" y="${y}" ${size} rx="2" fill="${colour}"/>`;
}

function line(x: number, from: number, to: number, colour: string): string {
  const at = x.toFixed(1);
  return `<line x1="${at}" x2="${at}" y1="${from}" y2="${to}" stroke="${colour}"/>`;
}

function centred(x: number, y: number, content: string): string {
  return text(x, y, content, `text-anchor="middle" font-size="11" fill="${FAINT}"`);
}

function text(x: number, y: number, content: string, attributes = ""): string {
  const escaped = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${attributes}>${escaped}</text>`;
}

function digits(value: number): string {
  return value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0);
}
