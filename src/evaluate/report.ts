// The page of an evaluation: one static HTML file that opens without a server, reads without a
// script and prints. What it draws is in report-parts.ts.

import { labelPalette } from "../output/palette.js";
import { protocolFields } from "./protocol.js";
import {
  calibration,
  comparisons,
  confusedPairs,
  count,
  counted,
  escapeHtml,
  heatMap,
  isNumbered,
  mainMetric,
  NOTHING,
  nameHtml,
  percentNumber,
  percentText,
  publishedClasses,
  rate,
  reliabilityDiagram,
  shortHash,
  signed,
  sum,
} from "./report-parts.js";
import type { EvaluationResult, SegmentationResult, SizeResult } from "./result.js";

/** A picture whose drawings lie beside the page. */
export interface ShownPicture {
  readonly name: string;
  readonly kind: "worst" | "best";
  /** 0 to 1. */
  readonly mIoU: number;
  /** Files relative to the page, `/` between folders. */
  readonly files: {
    readonly picture: string;
    readonly truth: string;
    readonly predicted: string;
    readonly groups: string;
  };
}

/** More classes than this make no legible matrix. */
const MATRIX_CLASSES = 100;
const CONFUSIONS_BESIDE_MATRIX = 10;
const CONFUSIONS_ALONE = 40;
/** A longer table scrolls in a box, so that what follows it stays in reach. */
const TABLE_ROWS = 40;
/** Further departures from the protocol are folded away. */
const OPEN_CHANGES = 12;

interface Section {
  readonly id: string;
  readonly title: string;
  readonly html: string;
}

/**
 * The whole page as HTML. What was not measured shows as "–", and where that is all of a section,
 * not at all.
 *
 * @param shown the worst and best pictures in the order in which they are to appear
 */
export function reportPage(result: EvaluationResult, shown: readonly ShownPicture[]): string {
  const sections = [
    { id: "protocol", title: "Protocol", html: protocolSection(result) },
    { id: "classes", title: "Classes", html: classSection(result) },
    { id: "tiers", title: "Parts of the set", html: tierSection(result) },
    ...(result.task === "segmentation" ? segmentationSections(result, shown) : []),
  ].filter(({ html }) => html !== "");
  const { dataset } = result;
  const title = `${nameHtml(dataset.name)} ${nameHtml(dataset.split)}`;
  const links = sections.map((section) => `<li><a href="#${section.id}">${section.title}</a></li>`);
  return `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} - GroupViT evaluation</title><style>${STYLE}</style></head>
<body>
${headline(result, title)}
<nav aria-label="Sections"><ul>${links.join("")}</ul></nav>
<main>
${sections.map(sectionHtml).join("\n")}
</main>
<script>${SCRIPT}</script>
</body>
</html>
`;
}

function segmentationSections(
  result: SegmentationResult,
  shown: readonly ShownPicture[],
): Section[] {
  return [
    { id: "confusion", title: "Confusion", html: confusionSection(result) },
    { id: "pictures", title: "Worst and best pictures", html: pictureSection(result, shown) },
    { id: "sizes", title: "Size of object", html: sizeSection(result.sizes) },
    { id: "reliability", title: "Reliability of scores", html: reliabilitySection(result) },
  ];
}

function sectionHtml({ id, title, html }: Section): string {
  return `<section id="${id}"><h2>${title}</h2>\n${html}</section>`;
}

function headline(result: EvaluationResult, title: string): string {
  const { dataset, model } = result;
  const { name, value } = mainMetric(result);
  const beside: [string, string][] =
    result.task === "segmentation"
      ? [
          ["pixel accuracy", percentText(result.pixelAccuracy)],
          ["mean accuracy", percentText(result.meanAccuracy)],
        ]
      : [["top-5", percentText(result.top5)]];
  beside.push(["pictures per second", rate(result.picturesPerSecond)]);
  const numbers = beside.map(
    ([label, number]) => `<div><dt>${label}</dt><dd>${escapeHtml(number)}</dd></div>`,
  );
  return `<header>
<p class="soft">GroupViT evaluation</p>
<h1>${title}</h1>
<p class="model">${counted(dataset.pictures, "picture")}
<code title="SHA-256 of the pictures with their masks or labels: ${nameHtml(dataset.sha256)}">\
${nameHtml(shortHash(dataset.sha256))}</code>, model <b>${nameHtml(model.name)}</b>
<code title="SHA-256 of the weights: ${nameHtml(model.sha256)}">\
${nameHtml(shortHash(model.sha256))}</code></p>
<dl class="numbers">
<div class="main"><dt>${name}</dt><dd>${escapeHtml(percentText(value))}</dd></div>
${numbers.join("")}</dl>
${warning(result.changes)}</header>`;
}

/** Points from the headline to the departures, so that nobody reads the number without them. */
function warning({ length }: readonly string[]): string {
  if (length === 0) return "";
  return (
    `<p class="warning"><a href="#changes">Not the standard protocol: ` +
    `${counted(length, "departure")}</a></p>\n`
  );
}

function protocolSection(result: EvaluationResult): string {
  const { protocol, changes, published } = result;
  const changed = new Set(changes.map((change) => /^[^:]*/.exec(change)?.[0]));
  if (changes.some((change) => /^word \d/.test(change))) changed.add("words");
  const rows = protocolFields(protocol).map(([key, value]) => {
    const mark = changed.has(key) ? ' <span class="mark">changed</span>' : "";
    return `<tr><th scope="row">${escapeHtml(key)}</th><td>${nameHtml(value)}${mark}</td></tr>`;
  });
  const settings = `<table class="plain">
<caption>How it was measured</caption>
<tbody>${rows.join("\n")}</tbody></table>
${wordList(result)}`;
  const standard = changeList(changes) + publishedTable(result);
  // A lone sentence needs no column.
  if (changes.length + published.length === 0) return `${settings}\n${standard}`;
  return `<div class="columns"><div>${settings}</div>\n<div>${standard}</div></div>`;
}

/** What the model was asked for; where that is not the name of the class, both. */
function wordList({ protocol, classes }: EvaluationResult): string {
  const { words } = protocol;
  // Segmentation results may begin with the background, for which there is no word.
  const first = classes.length - words.length;
  const items = words.map((word, i) => {
    const name = classes[i + first]?.name ?? word;
    if (name === word) return `<li>${nameHtml(word)}</li>`;
    return `<li>${nameHtml(name)} <span class="soft">as</span> <b>${nameHtml(word)}</b></li>`;
  });
  return (
    `<details><summary>Words that stood for the classes: ${count(words.length)}</summary>` +
    `<ol class="words">${items.join("")}</ol></details>`
  );
}

function changeList(changes: readonly string[]): string {
  if (changes.length === 0) return "";
  const items = changes.map((change) => `<li>${nameHtml(change).replaceAll("-&#62;", "→")}</li>`);
  const rest = items.slice(OPEN_CHANGES);
  const more =
    rest.length === 0
      ? ""
      : `<details><summary>and ${count(rest.length)} more</summary>` +
        `<ul>${rest.join("")}</ul></details>`;
  return `<div class="callout" id="changes"><h3>Not the standard protocol</h3>
<p>${counted(changes.length, "departure")} from what is standard for the data set,
standard&nbsp;→&nbsp;here:</p>
<ul>${items.slice(0, OPEN_CHANGES).join("")}</ul>${more}</div>`;
}

function publishedTable(result: EvaluationResult): string {
  const { rows, sentence } = comparisons(result);
  if (rows.length === 0) return `<p class="soft">${escapeHtml(sentence)}</p>`;
  const { name, value } = mainMetric(result);
  const body = rows.map(
    ({ published, remark, difference }) =>
      `<tr><th scope="row">${nameHtml(published.model)}<small>${escapeHtml(remark)}</small></th>` +
      `<td>${metered(published.value / 100, "theirs")}</td>` +
      `<td class="number">${signed(difference)}</td></tr>`,
  );
  return `<table class="published">
<caption>Beside the published results</caption>
<thead><tr><th scope="col">Model</th><th scope="col">${name}, %</th>
<th scope="col" class="number">Difference</th></tr></thead>
<tbody><tr class="ours">
<th scope="row">${nameHtml(result.model.name)}<small>measured here</small></th>
<td>${metered(value, "iou")}</td><td></td></tr>
${body.join("\n")}</tbody></table>
<p class="soft">${escapeHtml(sentence)}</p>`;
}

/**
 * A number with its bar.
 * @param value 0 to 1
 * @param full value of the longest bar
 */
function metered(value: number | null, kind: string, full = 1): string {
  const text = escapeHtml(percentNumber(value));
  if (text === NOTHING || value === null) return `<div class="meter"><span>${text}</span></div>`;
  const width = full > 0 ? Math.min(100, (100 * value) / full).toFixed(1) : "0";
  return (
    `<div class="meter"><span>${text}</span>` +
    `<i class="${kind}" style="--w:${width}%"></i></div>`
  );
}

/** A cell that the script can sort by. */
function meterCell(value: number | null, kind: string, full = 1): string {
  const known = value !== null && Number.isFinite(value);
  return `<td data-v="${known ? value : ""}">${metered(value, kind, full)}</td>`;
}

function classSection(result: EvaluationResult): string {
  if (result.classes.length === 0) return "";
  const theirs = publishedClasses(result);
  const table =
    result.task === "segmentation"
      ? sortableTable({
          caption:
            "Intersection over union, share of the class's pixels that were found, and share of " +
            "all pixels (bars reach to the largest class).",
          heads: [
            ...["IoU, %", "Accuracy, %", "Pixels, %"].map((head) => `<th scope="col">${head}</th>`),
            ...(theirs ? ['<th scope="col" class="number">Published IoU, %</th>'] : []),
          ],
          rows: maskRows(result, theirs),
          foot:
            `<th scope="row">mean</th><td>${metered(result.mIoU, "iou")}</td>` +
            `<td>${metered(result.meanAccuracy, "accuracy")}</td><td></td>` +
            (theirs ? `<td class="number">${(sum(theirs) / theirs.length).toFixed(1)}</td>` : ""),
        })
      : sortableTable({
          caption: "Share of the class's pictures that were recognised, and their number.",
          heads: ['<th scope="col">Top-1, %</th>', '<th scope="col" class="number">Pictures</th>'],
          rows: labelRows(result.classes),
          foot:
            `<th scope="row">all</th><td>${metered(result.top1, "iou")}</td>` +
            `<td class="number">${count(result.dataset.pictures)}</td>`,
        });
  const missing =
    result.task === "segmentation"
      ? result.classes.filter(({ iou }) => percentNumber(iou) === NOTHING).length
      : 0;
  if (missing === 0) return table;
  const verb = missing === 1 ? "class neither occurs nor is" : "classes neither occur nor are";
  const note = `${count(missing)} ${verb} predicted; the mean leaves them out.`;
  return `${table}<p class="soft">${note}</p>`;
}

function maskRows({ classes }: SegmentationResult, theirs?: readonly number[]): string[] {
  const pixels = classes.map((entry) => entry.pixels);
  const total = sum(pixels);
  const largest = pixels.reduce((most, value) => Math.max(most, value), 0);
  return classes.map(
    ({ name, iou, accuracy, pixels }, i) =>
      `<tr><th scope="row">${nameHtml(name)}</th>${meterCell(iou, "iou")}` +
      `${meterCell(accuracy, "accuracy")}` +
      `${meterCell(pixels / total, "share", largest / total)}` +
      (theirs ? `<td class="number" data-v="${theirs[i]}">${theirs[i]!.toFixed(1)}</td>` : "") +
      "</tr>",
  );
}

function labelRows(
  classes: readonly { name: string; pictures: number; top1: number | null }[],
): string[] {
  return classes.map(
    ({ name, pictures, top1 }) =>
      `<tr><th scope="row">${nameHtml(name)}</th>${meterCell(top1, "iou")}` +
      `<td class="number" data-v="${pictures}">${count(pictures)}</td></tr>`,
  );
}

interface SortableTable {
  readonly caption: string;
  /** Cells after that of the class, as HTML. */
  readonly heads: readonly string[];
  /** As HTML. */
  readonly rows: readonly string[];
  /** Cells of the last row, as HTML. */
  readonly foot: string;
}

function sortableTable({ caption, heads, rows, foot }: SortableTable): string {
  const table = `<table class="classes sortable">
<caption>${caption}</caption>
<thead><tr><th scope="col" aria-sort="other">Class</th>${heads.join("")}</tr></thead>
<tbody>${rows.join("\n")}</tbody>
<tfoot><tr>${foot}</tr></tfoot>
</table>`;
  if (rows.length <= TABLE_ROWS) return table;
  return `<div class="box" role="region" aria-label="Table of classes" tabindex="0">${table}</div>`;
}

function tierSection(result: EvaluationResult): string {
  const tiers = result.tiers.map((tier) => ({
    name: tier.name,
    pictures: tier.pictures,
    value: "mIoU" in tier ? tier.mIoU : tier.top1,
  }));
  if (tiers.length === 0) return "";
  const { name, value } = mainMetric(result);
  const whole = { name: "whole set", pictures: result.dataset.pictures, value };
  const row = (tier: typeof whole) =>
    `<tr><th scope="row">${nameHtml(tier.name)}</th>` +
    `<td class="number">${count(tier.pictures)}</td>` +
    `<td>${metered(tier.pictures > 0 ? tier.value : null, "iou")}</td></tr>`;
  return `<table class="short">
<caption>Each part by itself</caption>
<thead><tr><th scope="col">Part</th><th scope="col" class="number">Pictures</th>
<th scope="col">${name}, %</th></tr></thead>
<tbody>${tiers.map(row).join("\n")}</tbody>
<tfoot>${row(whole)}</tfoot></table>`;
}

function confusionSection({ classes, confusion }: SegmentationResult): string {
  const names = classes.map(({ name }) => name);
  const drawn = names.length <= MATRIX_CLASSES;
  const pairs = confusedPairs(confusion, drawn ? CONFUSIONS_BESIDE_MATRIX : CONFUSIONS_ALONE);
  if (sum(confusion.map(sum)) === 0) return "";
  const matrix = drawn ? `${matrixFigure(names, confusion)}\n<h3>Largest confusions</h3>` : "";
  const why = drawn
    ? ""
    : ` ${names.length} classes are too many for a matrix: these are the most confused pairs.`;
  if (pairs.length === 0) return `${matrix}<p class="soft">No pixel was confused.</p>`;
  const items = pairs.map(
    ({ truth, predicted, share, pixels }) =>
      `<li>${escapeHtml(percentText(share))} of <b>${nameHtml(names[truth]!)}</b> pixels ` +
      `were called <b>${nameHtml(names[predicted]!)}</b> ` +
      `<small>(${counted(pixels, "pixel")})</small></li>`,
  );
  return `${matrix}<p class="soft">By share of the true class's pixels.${why}</p>
<ol class="pairs">${items.join("\n")}</ol>`;
}

function matrixFigure(
  names: readonly string[],
  confusion: SegmentationResult["confusion"],
): string {
  const steps = [0.01, 0.1, 0.25, 0.5, 1];
  const scale = (kind: string) => {
    const swatches = steps.map(
      (share) => `<i class="${kind}" style="opacity:${Math.sqrt(share).toFixed(2)}"></i>`,
    );
    return `<span>1&nbsp;% ${swatches.join("")} 100&nbsp;% ${kind}</span>`;
  };
  // Without numbers on them cells may take full colours.
  const colours = isNumbered(names.length) ? "" : ' class="dense"';
  return `<figure${colours}>
<figcaption>Rows are true classes, columns what their pixels were called; a row sums up to
100&nbsp;%. Pointing at a cell shows its share.</figcaption>
<p class="key">${scale("right")} ${scale("wrong")}</p>
<div class="wide" role="region" aria-label="Confusion matrix" tabindex="0">
${heatMap(names, confusion)}</div></figure>`;
}

const VIEWS = [
  ["picture", "picture"],
  ["truth", "true masks"],
  ["predicted", "predicted"],
  ["groups", "groups"],
] as const;

function pictureSection(result: SegmentationResult, shown: readonly ShownPicture[]): string {
  if (shown.length === 0) return "";
  const parts = (["worst", "best"] as const).map((kind) => {
    const cards = shown.filter((picture) => picture.kind === kind).map(pictureCard);
    if (cards.length === 0) return "";
    return `<h3>${kind === "worst" ? "Worst" : "Best"}</h3>\n${cards.join("\n")}`;
  });
  return [colourKey(result), ...parts].join("\n");
}

/** The colours of classes in the drawings; those of groups mean nothing beyond their picture. */
function colourKey({ classes, protocol }: SegmentationResult): string {
  const palette = labelPalette(classes.length, classes.length > protocol.words.length);
  const items = classes.map(({ name }, i) => {
    const colour = palette.subarray(3 * i, 3 * i + 3).join(",");
    return `<li><i style="background:rgb(${colour})"></i>${nameHtml(name)}</li>`;
  });
  const open = classes.length <= TABLE_ROWS ? " open" : "";
  return `<details${open}><summary>Colours of the masks</summary>
<ul class="colours">${items.join("")}</ul></details>`;
}

function pictureCard({ name, mIoU, files }: ShownPicture): string {
  const label = nameHtml(name);
  const views = VIEWS.map(([view, caption]) => {
    const address = fileAddress(files[view]);
    return (
      `<a href="${address}"><img src="${address}" alt="${label}: ${caption}">` +
      `<span>${caption}</span></a>`
    );
  });
  return (
    `<figure class="card"><figcaption><b>${label}</b> ` +
    `${escapeHtml(percentText(mIoU))} mIoU</figcaption>` +
    `<div class="views">${views.join("")}</div></figure>`
  );
}

/** The address of a file beside the page: relative, so that no name leads to another host. */
function fileAddress(file: string): string {
  const parts = file.replace(/\p{Cs}/gu, "\ufffd").split("/");
  return escapeHtml(parts.filter(Boolean).map(encodeURIComponent).join("/"));
}

function sizeSection(sizes: readonly SizeResult[]): string {
  if (!sizes.some(({ regions }) => regions > 0)) return "";
  const rows = sizes.map(
    ({ from, to, regions, iou }) =>
      `<tr><th scope="row">${sizeRange(from, to)}</th><td class="number">${count(regions)}</td>` +
      `<td>${metered(regions > 0 ? iou : null, "iou")}</td></tr>`,
  );
  return `<table class="short">
<caption>Mean IoU of regions (all pixels of one class in one picture) by their share of the
picture</caption>
<thead><tr><th scope="col">Share of picture</th><th scope="col" class="number">Regions</th>
<th scope="col">IoU, %</th></tr></thead>
<tbody>${rows.join("\n")}</tbody></table>`;
}

function sizeRange(from: number, to: number): string {
  const percent = (share: number) => Number((100 * share).toPrecision(3));
  if (from <= 0) return `below ${percent(to)}&nbsp;%`;
  return to >= 1 ? `${percent(from)}&nbsp;% and more` : `${percent(from)} to ${percent(to)}&nbsp;%`;
}

function reliabilitySection({ reliability }: SegmentationResult): string {
  const bins = reliability.filter(({ pixels }) => pixels > 0);
  if (bins.length === 0) return "";
  const { error, meanScore, accuracy } = calibration(bins);
  const total = sum(bins.map(({ pixels }) => pixels));
  const verdict =
    percentNumber(meanScore) === percentNumber(accuracy)
      ? "on the whole the scores keep what they promise"
      : meanScore > accuracy
        ? "on the whole the scores promise too much"
        : "on the whole the scores promise too little";
  const rows = bins.map(
    (bin) =>
      `<tr><th scope="row">${percentNumber(bin.from)} to ${percentNumber(bin.to)}</th>` +
      `<td class="number">${escapeHtml(percentNumber(bin.meanScore))}</td>` +
      `<td class="number">${escapeHtml(percentNumber(bin.accuracy))}</td>` +
      `<td class="number">${count(bin.pixels)}</td></tr>`,
  );
  return `<div class="columns"><figure>${reliabilityDiagram(bins)}
<figcaption>A reliable model's points lie on the dashed diagonal: it is right as often as its score
says. Grey bars show how many pixels have such a score.</figcaption></figure>
<div><p><b class="large">${escapeHtml(percentText(error))}</b> expected calibration error: the
distance between score and share of right pixels, averaged over the pixels.</p>
<p>Mean score ${escapeHtml(percentText(meanScore))}, right ${escapeHtml(percentText(accuracy))}
of ${counted(total, "pixel")} with a word: ${verdict}.</p>
<table class="bins"><caption>The points of the diagram</caption>
<thead><tr><th scope="col">Score, %</th><th scope="col" class="number">Mean, %</th>
<th scope="col" class="number">Right, %</th><th scope="col" class="number">Pixels</th></tr></thead>
<tbody>${rows.join("\n")}</tbody></table></div></div>`;
}

/** Sorting: heads become buttons; the first column goes back to the order of the classes. */
const SCRIPT = `
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", column === 0 ? "other" : down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.v;
      const order = (a, b) => (value(a) === "") - (value(b) === "") ||
        (down ? value(b) - value(a) : value(a) - value(b));
      body.append(...(column === 0 ? rows : [...rows].sort(order)));
    });
  });
}
`;

const STYLE = `
:root {
  color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --rule: #e1e4e8; --page: #fff;
  --c0: #1f6feb; --c1: #d1582b; --c2: #2b8a4b; --grey: #8c96a0; --track: #eceff2; --right: #6ea8f7;
  --wrong: #f0a178; --alert: #9a3d12; --alert-page: #fff4ed; --alert-rule: #e9a582;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --ink: #e6edf3; --soft: #9aa4ae; --rule: #30363d; --page: #0d1117; --c0: #58a6ff; --c1: #f0883e;
    --c2: #56d364; --grey: #768390; --track: #21262d; --right: #2f639f; --wrong: #92502a;
    --alert: #ffab70; --alert-page: #2a1a10; --alert-rule: #8a4a22;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1080px; padding: 28px 20px 60px; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { font-size: 24px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 0 0 10px; }
h3 { font-size: 15px; margin: 0 0 6px; }
p { margin: 0 0 8px; }
figure { margin: 0; }
section { margin-top: 40px; scroll-margin-top: 12px; }
section h3:not(:first-child) { margin-top: 20px; }
a { color: var(--c0); }
a:focus-visible, button:focus-visible, [tabindex]:focus-visible, summary:focus-visible {
  outline: 2px solid var(--c0); outline-offset: 2px;
}
code { font: 13px ui-monospace, monospace; color: var(--soft); }
.soft, caption, figcaption { color: var(--soft); font-size: 13.5px; }
.model b { font-weight: 600; }
.numbers {
  display: flex; flex-wrap: wrap; align-items: flex-end; gap: 14px 40px; margin: 18px 0 0;
}
.numbers dt { color: var(--soft); font-size: 13.5px; line-height: 1.3; }
.numbers dd {
  margin: 2px 0 0; font-size: 22px; line-height: 1.2; font-weight: 600;
  font-variant-numeric: tabular-nums; white-space: nowrap;
}
.numbers .main dd { font-size: 52px; line-height: 1; letter-spacing: -0.02em; }
.warning { margin: 18px 0 0; }
.warning a {
  display: inline-block; padding: 5px 12px; border-radius: 6px; border: 1px solid var(--alert-rule);
  background: var(--alert-page); color: var(--alert); font-weight: 600;
}
nav ul {
  display: flex; flex-wrap: wrap; gap: 4px 20px; list-style: none; padding: 12px 0 0;
  margin: 22px 0 0; border-top: 1px solid var(--rule); font-size: 13.5px;
}
.columns {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr));
  gap: 24px 48px; align-items: start;
}
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: 6px; }
th, td { text-align: left; padding: 4px 16px 4px 0; vertical-align: top; font-size: 14px; }
th:last-child, td:last-child { padding-right: 0; }
tr { border-bottom: 1px solid var(--rule); }
tfoot tr { border-bottom: 0; }
thead th {
  overflow-wrap: normal; font-size: 13px; color: var(--soft); font-weight: 600;
  vertical-align: bottom;
}
tbody th { font-weight: 400; }
tfoot th, tfoot td { font-weight: 600; }
.number { text-align: right; }
th small { display: block; color: var(--soft); font-size: 12.5px; }
.plain th { width: 38%; color: var(--soft); }
.plain { max-width: 680px; }
.ours th { font-weight: 600; }
.ours small { font-weight: 400; }
.published { margin-bottom: 10px; }
.published th:nth-child(2) { width: 34%; }
.published .number { width: 86px; white-space: nowrap; }
.mark { color: var(--alert); font-weight: 600; font-size: 12.5px; margin-left: 6px; }
.callout {
  border: 1px solid var(--alert-rule); border-left-width: 4px; border-radius: 6px;
  background: var(--alert-page); padding: 12px 16px; margin-bottom: 24px; scroll-margin-top: 12px;
}
.callout h3 { color: var(--alert); }
.callout ul { margin: 0; padding-left: 20px; font-size: 14px; }
details { margin: 10px 0; font-size: 14px; }
summary { cursor: pointer; }
.words { columns: 2 150px; padding-left: 30px; margin: 8px 0 0; font-size: 13px; }
.meter { display: flex; align-items: center; gap: 10px; }
.meter span { min-width: 40px; text-align: right; flex: none; }
.meter i {
  flex: 1; height: 9px; border-radius: 2px; min-width: 20px;
  background: linear-gradient(var(--bar) 0 0) 0 / var(--w) 100% no-repeat var(--track);
}
.iou { --bar: var(--c0); }
.accuracy { --bar: var(--c2); }
.share, .theirs { --bar: var(--grey); }
.classes { table-layout: fixed; }
.classes thead .number { width: 20%; }
.classes th:first-child { width: 24%; }
.classes thead th {
  position: sticky; top: 0; background: var(--page); box-shadow: 0 1px var(--rule);
}
.box tfoot tr > * {
  position: sticky; bottom: 0; background: var(--page); box-shadow: inset 0 1px var(--rule);
}
.box {
  max-height: 640px; overflow-y: auto; border: 1px solid var(--rule); border-radius: 6px;
  padding: 0 14px; margin-bottom: 8px;
}
.box caption { padding-top: 10px; }
th button {
  font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer;
  text-align: left;
}
th button:hover { color: var(--ink); text-decoration: underline; }
th button::after {
  content: "↕"; display: inline-block; width: 1em; margin-left: 3px; opacity: 0.45;
}
th[aria-sort] button { color: var(--ink); }
th[aria-sort] button::after { opacity: 1; }
th[aria-sort="descending"] button::after { content: "↓"; }
th[aria-sort="ascending"] button::after { content: "↑"; }
th:first-child button::after { content: ""; }
.short { max-width: 680px; }
.short th:nth-child(3) { width: 46%; }
.wide { overflow-x: auto; margin-top: 4px; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--ink); }
.heat .faint, .diagram text { fill: var(--soft); }
.heat .value { font-size: 11px; }
.frame { fill: none; stroke: var(--rule); }
.right { fill: var(--right); }
.wrong { fill: var(--wrong); }
.dense { --right: var(--c0); --wrong: var(--c1); }
.heat path:hover { stroke: var(--ink); }
.key { font-size: 12.5px; color: var(--soft); margin: 8px 0; }
.key i { display: inline-block; width: 18px; height: 12px; vertical-align: -1px; }
.key i.right { background: var(--right); }
.key i.wrong { background: var(--wrong); }
.key span { margin-right: 22px; white-space: nowrap; }
.pairs { columns: 2 320px; column-gap: 48px; padding-left: 32px; margin: 0; font-size: 14px; }
.pairs li { break-inside: avoid; padding: 2px 0; }
.pairs b { font-weight: 600; }
.pairs small { color: var(--soft); font-size: 13px; white-space: nowrap; }
.colours {
  list-style: none; display: flex; flex-wrap: wrap; gap: 3px 16px; padding: 0; margin: 6px 0 0;
  font-size: 13px; color: var(--soft);
}
.colours i {
  display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 5px;
  vertical-align: -1px;
}
.card { margin: 0 0 22px; }
.card figcaption { margin-bottom: 5px; }
.card b { color: var(--ink); }
.views { display: grid; grid-template-columns: repeat(4, 1fr); gap: 10px; align-items: start; }
.views a { color: var(--soft); font-size: 12.5px; text-decoration: none; }
.views a:hover span { text-decoration: underline; }
.views img {
  display: block; width: 100%; max-height: 330px; object-fit: contain; object-position: 0 0;
}
.diagram { max-width: 460px; font-size: 11.5px; }
.grid { stroke: var(--rule); }
.bin { fill: var(--grey); opacity: 0.25; }
.gap { stroke: var(--c1); stroke-width: 2; opacity: 0.7; }
.diagonal { stroke: var(--soft); stroke-dasharray: 4 4; }
.curve { fill: none; stroke: var(--c0); stroke-width: 1.5; }
.point { fill: var(--c0); }
.large { font-size: 24px; font-weight: 600; }
@media (max-width: 560px) {
  body { padding: 18px 14px 40px; }
  .numbers { gap: 12px 24px; }
  .numbers .main { width: 100%; }
  .numbers dd { font-size: 19px; }
  th, td { padding-right: 10px; font-size: 13px; }
  .classes .meter, .published .meter { display: block; }
  .classes .meter span, .published .meter span { display: block; text-align: left; min-width: 0; }
  .classes .meter i, .published .meter i { display: block; height: 5px; margin: 1px 0 2px; }
  .classes th:first-child { width: 31%; }
  .classes th, .classes td { padding-right: 8px; }
  .classes thead th { font-size: 12px; }
  .classes:has(th:nth-child(5)) th:first-child { width: 28%; }
  .classes:has(th:nth-child(5)) thead .number { width: 18%; }
  .classes:has(th:nth-child(5)) thead th { font-size: 10.5px; }
  th:not([aria-sort]) button::after { display: none; }
  th button { text-decoration: underline dotted; }
  .views { grid-template-columns: repeat(2, 1fr); }
  .box { padding: 0 8px; }
}
@media print {
  :root { color-scheme: light; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { max-width: none; padding: 0; }
  nav { display: none; }
  .box { max-height: none; overflow: visible; border: 0; padding: 0; }
  .wide { overflow: visible; }
  .heat { min-width: 0 !important; max-height: 240mm; }
  h2, h3, caption { break-after: avoid; }
  tr, figure, .callout { break-inside: avoid; }
  .classes thead th, .box tfoot tr > * { position: static; }
  th button::after { content: "" !important; }
}
`;
