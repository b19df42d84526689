import fc from "fast-check";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { launchChromium } from "../../test/support/chromium.js";
import { authorsSegmentation, type Published, protocolChanges } from "./protocol.js";
import { reportPage, type ShownPicture } from "./report.js";
import {
  calibration,
  comparisons,
  confusedPairs,
  percentNumber,
  rate,
  signed,
} from "./report-parts.js";
import type { ClassificationResult, SegmentationResult } from "./result.js";

const SHA = "0123456789abcdef".repeat(4);
const YFCC = "nvidia/groupvit-gcc-yfcc";
const PUBLISHED: readonly Published[] = [
  { model: YFCC, metric: "mIoU", value: 52.3 },
  { model: "nvidia/groupvit-gcc-redcaps", metric: "mIoU", value: 50.8 },
];

// True pixels 100, 200, 100 and 0: the fish neither occurs nor is predicted.
const CONFUSION = [
  [90, 10, 0, 0],
  [0, 176, 24, 0],
  [50, 0, 50, 0],
  [0, 0, 0, 0],
];

function segmentation(part: Partial<SegmentationResult> = {}): SegmentationResult {
  return {
    format: "groupvit-evaluation/1",
    task: "segmentation",
    dataset: { name: "pets", split: "val", pictures: 1449, sha256: SHA },
    model: { name: YFCC, sha256: SHA, dtype: "fp32" },
    protocol: authorsSegmentation(["cat", "hound", "fish"], { kind: "threshold", threshold: 0.95 }),
    changes: [],
    published: [],
    picturesPerSecond: 3.1278,
    mIoU: 0.5269,
    pixelAccuracy: 0.79,
    meanAccuracy: 0.76,
    classes: [
      { name: "background", iou: 90 / 150, accuracy: 0.9, pixels: 100 },
      { name: "cat", iou: 176 / 210, accuracy: 0.88, pixels: 200 },
      { name: "dog", iou: 50 / 124, accuracy: 0.5, pixels: 100 },
      { name: "fish", iou: null, accuracy: null, pixels: 0 },
    ],
    confusion: CONFUSION,
    tiers: [],
    sizes: [
      { from: 0, to: 0.01, regions: 0, iou: 0 },
      { from: 0.01, to: 0.125, regions: 12, iou: 0.25 },
      { from: 0.125, to: 1, regions: 1, iou: 0.75 },
    ],
    reliability: [
      { from: 0, to: 0.5, pixels: 0, meanScore: Number.NaN, accuracy: Number.NaN },
      { from: 0.5, to: 0.75, pixels: 100, meanScore: 0.6, accuracy: 0.4 },
      { from: 0.75, to: 1, pixels: 300, meanScore: 0.9, accuracy: 1 },
    ],
    pictures: [],
    ...part,
  };
}

function classification(part: Partial<ClassificationResult> = {}): ClassificationResult {
  return {
    format: "groupvit-evaluation/1",
    task: "classification",
    dataset: { name: "birds", split: "test", pictures: 70, sha256: SHA },
    model: { name: "models/own", sha256: SHA, dtype: "fp32" },
    protocol: { task: "classification", words: ["robin", "owl"], prompts: "full" },
    changes: [],
    published: [],
    picturesPerSecond: 188.4,
    top1: 0.125,
    top5: 0.5,
    classes: [
      { name: "robin", pictures: 70, top1: 0.125 },
      { name: "owl", pictures: 0, top1: null },
    ],
    tiers: [],
    ...part,
  };
}

function picture(name: string, kind: ShownPicture["kind"], mIoU: number): ShownPicture {
  const files = { picture: "a.jpg", truth: "b.png", predicted: "c.png", groups: "d.png" };
  return { name, kind, mIoU, files };
}

/** A section of the page, or nothing. */
function section(html: string, id: string): string {
  return new RegExp(`<section id="${id}">.*?</section>`, "s").exec(html)?.[0] ?? "";
}

/** Texts of the cells of a table's body rows. */
function bodyRows(html: string): string[][] {
  const body = /<tbody>(.*?)<\/tbody>/s.exec(html)?.[1] ?? "";
  return [...body.matchAll(/<tr[^>]*>(.*?)<\/tr>/gs)].map(([, row]) =>
    [...row!.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) => text(cell!)),
  );
}

function text(html: string): string {
  return html.replace(/<[^>]*>/g, "").replace(/&#(\d+);/g, (_, code) => String.fromCharCode(code));
}

function occurrences(html: string, what: string): number {
  return html.split(what).length - 1;
}

describe("report page", () => {
  it("begins with data set, model and the numbers", () => {
    const head = /<header>.*<\/header>/s.exec(reportPage(segmentation(), []))![0];
    expect(head).toContain("<h1>pets val</h1>");
    expect(head).toContain("1,449 pictures");
    expect(head).toContain(`<b>${YFCC}</b>`);
    expect(head).toContain(`title="SHA-256 of the weights: ${SHA}"`);
    expect(head).toContain(">0123456789ab</code>");
    const numbers = [...head.matchAll(/<dt>(.*?)<\/dt><dd>(.*?)<\/dd>/g)].map(([, a, b]) => [a, b]);
    expect(numbers).toEqual([
      ["mIoU", "52.7\u00a0%"],
      ["pixel accuracy", "79.0\u00a0%"],
      ["mean accuracy", "76.0\u00a0%"],
      ["pictures per second", "3.13"],
    ]);
    expect(head).not.toContain("warning");
  });

  it("has its sections in order, and none without content", () => {
    const ids = (html: string) => [...html.matchAll(/<section id="(\w+)"/g)].map(([, id]) => id);
    const tiers = [{ name: "photo", pictures: 3, mIoU: 0.2 }];
    const full = reportPage(segmentation({ tiers }), [picture("p", "worst", 0.1)]);
    const order = "protocol classes tiers confusion pictures sizes reliability".split(" ");
    expect(ids(full)).toEqual(order);
    expect([...full.matchAll(/<a href="#(\w+)"/g)].map(([, id]) => id)).toEqual(order);
    const empty = segmentation({ sizes: [], reliability: [], confusion: [[0]] });
    expect(ids(reportPage(empty, []))).toEqual(["protocol", "classes"]);
  });

  it("lists classes in order with what was measured and nothing else", () => {
    const classes = section(reportPage(segmentation(), []), "classes");
    expect(bodyRows(classes)).toEqual([
      ["background", "60.0", "90.0", "25.0"],
      ["cat", "83.8", "88.0", "50.0"],
      ["dog", "40.3", "50.0", "25.0"],
      ["fish", "–", "–", "0.0"],
    ]);
    expect(occurrences(classes, 'data-v=""')).toBe(2);
    // Shares are drawn against the largest class: 25 % of all pixels is half of its 50 %.
    expect(occurrences(classes, 'class="share" style="--w:50.0%"')).toBe(2);
    expect(classes).toContain("1 class neither occurs nor is predicted");
    expect(text(/<tfoot>.*<\/tfoot>/s.exec(classes)![0])).toBe("mean52.776.0");
  });

  it("has the published classes of the checkpoint of the same name beside them", () => {
    const classes = [80.63, 38.08, 31.4, 51.6];
    const theirs = { model: YFCC, metric: "mIoU", value: 52.3, classes } as const;
    const own = section(reportPage(segmentation({ published: [theirs] }), []), "classes");
    expect(bodyRows(own).map((cells) => cells.at(-1))).toEqual(["80.6", "38.1", "31.4", "51.6"]);
    expect(text(/<tfoot>.*<\/tfoot>/s.exec(own)![0])).toMatch(/50\.4$/);
    const other = { ...theirs, model: "another" };
    expect(section(reportPage(segmentation({ published: [other] }), []), "classes")).not.toContain(
      "Published",
    );
  });

  it("puts long tables in a box that the keyboard reaches", () => {
    const many = (length: number) =>
      classification({
        classes: Array.from({ length }, (_, i) => ({ name: `c${i}`, pictures: 1, top1: 0 })),
      });
    const box = '<div class="box" role="region" aria-label="Table of classes" tabindex="0">';
    expect(reportPage(many(40), [])).not.toContain(box);
    expect(reportPage(many(41), [])).toContain(box);
  });

  it("marks every departure from the standard protocol", () => {
    const old = segmentation().protocol;
    const now = { ...old, flip: true, words: ["cat", "dog", "fish"] };
    const html = reportPage(
      segmentation({ protocol: now, changes: protocolChanges(old, now) }),
      [],
    );
    expect(html).toContain('<a href="#changes">Not the standard protocol: 2 departures</a>');
    const changes = /<div class="callout" id="changes">.*?<\/div>/s.exec(html)![0];
    expect(changes).toContain("<li>flip: off → on</li><li>word 2: hound → dog</li>");
    const marked = bodyRows(section(html, "protocol"))
      .filter(([, value]) => value!.endsWith(" changed"))
      .map(([key]) => key);
    expect(marked).toEqual(["words", "flip"]);
  });

  it("folds departures beyond the twelfth, and keeps them", () => {
    const changes = Array.from({ length: 30 }, (_, i) => `word ${i + 1}: a -> b`);
    const html = section(reportPage(segmentation({ changes }), []), "protocol");
    expect(html).toContain("<summary>and 18 more</summary>");
    expect(occurrences(html, "a → b</li>")).toBe(30);
  });

  it("names the word where it is not the class", () => {
    const html = section(reportPage(segmentation(), []), "protocol");
    expect(html).toContain("<li>cat</li>");
    expect(html).toContain('<li>dog <span class="soft">as</span> <b>hound</b></li>');
  });

  it("spells out the largest confusions", () => {
    const html = section(reportPage(segmentation(), []), "confusion");
    const pairs = /<ol class="pairs">(.*?)<\/ol>/s.exec(html)![1]!;
    expect([...pairs.matchAll(/<li>(.*?)<\/li>/g)].map(([, item]) => text(item!))).toEqual([
      "50.0\u00a0% of dog pixels were called background (50 pixels)",
      "12.0\u00a0% of cat pixels were called dog (24 pixels)",
      "10.0\u00a0% of background pixels were called cat (10 pixels)",
    ]);
  });

  it("draws the matrix by rows", () => {
    const html = section(reportPage(segmentation(), []), "confusion");
    const cell = (kind: string, opacity: string, title: string) =>
      new RegExp(`<path class="${kind}" opacity="${opacity}"[^>]*><title>${title}</title></path>`);
    expect(html).toMatch(cell("right", "0.95", "background right: 90.0\u00a0%"));
    expect(html).toMatch(cell("wrong", "0.71", "dog called background: 50.0\u00a0%"));
    expect(html).toMatch(cell("wrong", "0.35", "cat called dog: 12.0\u00a0%"));
    expect(occurrences(html, "<title>")).toBe(6);
    expect(html).toContain('<text class="faint"');
  });

  it("draws up to 100 classes and lists 40 pairs beyond", () => {
    const of = (size: number) => {
      const names = Array.from({ length: size }, (_, i) => `c${i}`);
      const confusion = names.map((_, y) => names.map((_, x) => (x === (y + 1) % size ? 1 : 9)));
      const classes = names.map((name) => ({ name, iou: 0.5, accuracy: 0.5, pixels: 1 }));
      return section(reportPage(segmentation({ classes, confusion }), []), "confusion");
    };
    const drawn = of(100);
    expect(drawn).toContain('<svg class="heat"');
    expect(occurrences(drawn, "</b> pixels were called")).toBe(10);
    const listed = of(101);
    expect(listed).not.toContain("<svg");
    expect(listed).toContain("101 classes are too many for a matrix");
    expect(occurrences(listed, "</b> pixels were called")).toBe(40);
  });

  it("says so where nothing was confused", () => {
    const confusion = [[5, 0], [0, 0]]; // biome-ignore format: a matrix
    const html = section(reportPage(segmentation({ confusion }), []), "confusion");
    expect(html).toContain("No pixel was confused.");
  });

  it("shows worst before best pictures, four views each", () => {
    const shown = [picture("good", "best", 0.97), picture("bad", "worst", 0.021)];
    const html = section(reportPage(segmentation(), shown), "pictures");
    const order = [...html.matchAll(/<h3>(.*?)<\/h3>|<b>(.*?)<\/b>/g)].map(([, a, b]) => a ?? b);
    expect(order).toEqual(["Worst", "bad", "Best", "good"]);
    expect(html).toContain("<b>bad</b> 2.1\u00a0% mIoU");
    const alts = [...html.matchAll(/<img src="(.*?)" alt="(.*?)">/g)].map(([, ...both]) => both);
    expect(alts.slice(0, 4)).toEqual([
      ["a.jpg", "bad: picture"],
      ["b.png", "bad: true masks"],
      ["c.png", "bad: predicted"],
      ["d.png", "bad: groups"],
    ]);
  });

  it("gives the colours that the masks are drawn in", () => {
    const html = section(reportPage(segmentation(), [picture("p", "best", 1)]), "pictures");
    // Dark grey for the background, then the palette's first colours.
    expect(html).toContain('<i style="background:rgb(64,64,64)"></i>background</li>');
    expect(html).toContain('<i style="background:rgb(47,126,216)"></i>cat</li>');
  });

  it.each([
    ["a b#1?.png", "a%20b%231%3F.png"],
    ["//example.com/x.png", "example.com/x.png"],
    ["javascript:alert(1)", "javascript%3Aalert(1)"],
    ["lone \ud800.png", "lone%20%EF%BF%BD.png"],
  ])("keeps the file %j relative", (file, address) => {
    const shown = { ...picture("p", "best", 1), files: picture("p", "best", 1).files };
    const html = reportPage(segmentation(), [{ ...shown, files: { ...shown.files, truth: file } }]);
    expect(html).toContain(`<a href="${address}"><img src="${address}"`);
  });

  it("breaks regions down by size", () => {
    const html = section(reportPage(segmentation(), []), "sizes").replaceAll("&nbsp;", " ");
    expect(bodyRows(html)).toEqual([
      ["below 1 %", "0", "–"],
      ["1 to 12.5 %", "12", "25.0"],
      ["12.5 % and more", "1", "75.0"],
    ]);
  });

  it("draws reliability and writes out its error", () => {
    const html = section(reportPage(segmentation(), []), "reliability");
    // (100 * |0.4 - 0.6| + 300 * |1 - 0.9|) / 400 = 0.125
    expect(html).toContain("12.5\u00a0%</b> expected calibration error");
    // (60 + 270) / 400 against (40 + 300) / 400
    expect(text(html)).toContain("Mean score 82.5\u00a0%, right 85.0\u00a0%\nof 400 pixels");
    expect(html).toContain("promise too little");
    const points = [...html.matchAll(/class="point" cx="(.*?)" cy="(.*?)"/g)].map(([, x, y]) => [
      Number(x),
      Number(y),
    ]);
    // Axes: 44 to 388 across, 288 down to 10.
    expect(points).toEqual([
      [250.4, 176.8],
      [353.6, 10],
    ]);
    expect(occurrences(html, 'class="bin"')).toBe(2);
    expect(bodyRows(html)).toEqual([
      ["50.0 to 75.0", "60.0", "40.0", "100"],
      ["75.0 to 100.0", "90.0", "100.0", "300"],
    ]);
  });

  it("reports classification with top-1, top-5, classes and tiers", () => {
    const tiers = [
      { name: "photo", pictures: 60, top1: 0.1 },
      { name: "none", pictures: 0, top1: Number.NaN },
    ];
    const html = reportPage(classification({ tiers }), []);
    expect(text(/<dl.*<\/dl>/s.exec(html)![0]).replace(/\s/g, " ")).toBe(
      " top-112.5 % top-550.0 %pictures per second188",
    );
    expect(bodyRows(section(html, "classes"))).toEqual([
      ["robin", "12.5", "70"],
      ["owl", "–", "0"],
    ]);
    expect(bodyRows(section(html, "tiers"))).toEqual([
      ["photo", "60", "10.0"],
      ["none", "0", "–"],
    ]);
    expect(html).not.toContain("<svg");
  });

  it("has no number that was not measured", () => {
    const nothing = segmentation({
      mIoU: Number.NaN,
      pixelAccuracy: Number.NaN,
      meanAccuracy: Number.NaN,
      picturesPerSecond: 0,
      classes: [{ name: "cat", iou: Number.NaN, accuracy: null, pixels: 0 }],
      confusion: [[0]],
    });
    const html = reportPage({ ...nothing, protocol: { ...nothing.protocol, words: ["cat"] } }, []);
    expect([...html.matchAll(/<dd>(.*?)<\/dd>/g)].map(([, value]) => value)).toEqual(
      Array(4).fill("–"),
    );
    expect(bodyRows(section(html, "classes"))).toEqual([["cat", "–", "–", "–"]]);
    expect(html.replace(/<script>.*<\/script>/s, "")).not.toMatch(/NaN|null|undefined|Infinity/);
  });

  it("lets no name become markup", () => {
    const page = (name: string) => {
      const base = segmentation();
      const evil = segmentation({
        dataset: { name, split: name, pictures: 1, sha256: name },
        model: { name, sha256: name, dtype: "fp32" },
        protocol: { ...base.protocol, words: ["cat", "hound", name] },
        classes: base.classes.map((entry, i) => (i === 3 || i === 1 ? { ...entry, name } : entry)),
        tiers: [{ name, pictures: 1, mIoU: 0.5 }],
        changes: [name],
        published: [{ model: name, metric: "mIoU", value: 1 }],
      });
      const files = { picture: name, truth: name, predicted: name, groups: name };
      return reportPage(evil, [{ name, kind: "worst", mIoU: 0, files }]);
    };
    const signs = (html: string) => ["<", ">", '"', "'"].map((sign) => occurrences(html, sign));
    const harmless = signs(page("name"));
    expect(signs(page("\"><img src=x onerror='alert(1)'></script><!--&lt;"))).toEqual(harmless);
    fc.assert(
      fc.property(fc.string({ unit: "binary", minLength: 1, maxLength: 30 }), (name) => {
        fc.pre(!name.includes("->"));
        expect(signs(page(name))).toEqual(harmless);
      }),
      { seed: 1, numRuns: 60 },
    );
  });

  it("needs nothing but itself", () => {
    const html = reportPage(segmentation({ published: PUBLISHED }), []);
    expect(html).not.toMatch(/https?:|<link|@import|url\(|src=/);
    expect(html).toMatch(/^<!doctype html>\n<html lang="en">/);
    const tables = html.match(/<table.*?<\/table>/gs)!;
    expect(tables.length).toBe(5);
    for (const table of tables) {
      expect(table).toContain("<caption>");
      expect(table).not.toMatch(/<th(?![^>]* scope=)(?=[ >])/);
    }
  });
});

describe("report page in a browser", () => {
  let browser: Browser;

  beforeAll(async () => {
    browser = await launchChromium();
  });

  afterAll(() => browser?.close());

  it("sorts by the keyboard, with what was not measured last, and returns to class order", async () => {
    const page = await browser.newPage();
    await page.setContent(reportPage(segmentation(), []));
    const press = async (column: number) => {
      await page.focus(`.sortable thead th:nth-child(${column}) button`);
      await page.keyboard.press("Enter");
      const names = await page.locator(".sortable tbody th").allTextContents();
      const sorted = page.locator(".sortable th[aria-sort]");
      return [names.join(" "), await sorted.getAttribute("aria-sort"), await sorted.textContent()];
    };
    expect(await press(2)).toEqual(["cat background dog fish", "descending", "IoU, %"]);
    expect(await press(2)).toEqual(["dog background cat fish", "ascending", "IoU, %"]);
    expect(await press(4)).toEqual(["cat background dog fish", "descending", "Pixels, %"]);
    expect(await press(1)).toEqual(["background cat dog fish", "other", "Class"]);
    await page.close();
  });

  it("has no dead controls without its script", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.setContent(reportPage(segmentation(), []));
    expect(await page.locator("button").count()).toBe(0);
    expect(await page.locator(".sortable tbody tr").count()).toBe(4);
    await context.close();
  });

  it.each([360, 800, 1400])("does not scroll sideways at %i pixels", async (width) => {
    const page = await browser.newPage({ viewport: { width, height: 900 } });
    const long = "an-extraordinarily-long-class-name-without-any-space-in-it";
    const classes = Array.from({ length: 60 }, (_, i) => ({
      name: `${long}-${i}`,
      iou: 0.5,
      accuracy: 0.5,
      pixels: 1,
    }));
    const confusion = classes.map((_, y) => classes.map((_, x) => (x === y ? 2 : 1)));
    const published = PUBLISHED.map((entry) => ({ ...entry, classes: classes.map(() => 12.3) }));
    const result = segmentation({ classes, confusion, published, changes: [long] });
    await page.setContent(reportPage(result, [picture(long, "worst", 0.1)]));
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    await page.close();
  });
});

describe("comparison with published numbers", () => {
  it("gives a difference for the same checkpoint under the same protocol only", () => {
    const { rows, sentence } = comparisons(segmentation({ published: PUBLISHED }));
    expect(rows.map(({ difference }) => difference?.toFixed(2))).toEqual(["0.39", undefined]);
    expect(rows.map(({ remark }) => remark)).toEqual([
      "same name, same protocol",
      "another checkpoint",
    ]);
    expect(sentence).toMatch(/^Only the number published for the checkpoint of the same name/);
  });

  it("says what the published numbers belong to", () => {
    const of = (part: Partial<SegmentationResult>) =>
      comparisons(segmentation({ published: PUBLISHED, ...part }));
    const changed = of({ changes: ["flip: off -> on"] });
    expect(changed.rows.map(({ difference }) => difference)).toEqual([null, null]);
    expect(changed.sentence).toMatch(/from which this measurement departs/);
    expect(changed.sentence).not.toMatch(/other checkpoints/);
    const model = { name: "models/own", sha256: SHA, dtype: "fp32" } as const;
    expect(of({ model }).sentence).toMatch(/^The published numbers belong to other checkpoints/);
    expect(of({ model, changes: ["flip: off -> on"] }).sentence).toMatch(
      /other checkpoints .* from which this measurement departs/,
    );
    expect(of({ published: [] }).sentence).toBe(
      "No published numbers are known for this data set.",
    );
  });

  it("has no difference to a number of another measure", () => {
    const published = [{ model: YFCC, metric: "top1", value: 43.7 }] as const;
    expect(comparisons(segmentation({ published })).rows[0]!.difference).toBeNull();
  });
});

describe("numbers", () => {
  it.each([
    [0.5234, "52.3"],
    [1, "100.0"],
    [0, "0.0"],
    [0.0004, "<0.1"],
    [0.0005, "0.1"],
    [null, "–"],
    [Number.NaN, "–"],
  ])("%s is %s percent", (share, expected) => expect(percentNumber(share)).toBe(expected));

  it("writes differences and rates", () => {
    expect([0.42, -8.76, -0.04, null].map(signed)).toEqual(["+0.4", "−8.8", "0.0", "–"]);
    expect([3.1278, 0.0421, 21.37, 188.4, 1234.5, 0, Number.NaN].map(rate)).toEqual([
      "3.13",
      "0.0421",
      "21.4",
      "188",
      "1,235",
      "–",
      "–",
    ]);
  });

  it("ranks pairs by share, then by pixels", () => {
    const counts = [
      [5, 5, 0],
      [40, 60, 0],
      [50, 1, 49],
    ];
    expect(confusedPairs(counts, 3)).toEqual([
      { truth: 2, predicted: 0, pixels: 50, share: 0.5 },
      { truth: 0, predicted: 1, pixels: 5, share: 0.5 },
      { truth: 1, predicted: 0, pixels: 40, share: 0.4 },
    ]);
  });

  it("has no calibration without pixels", () => {
    expect(calibration([])).toEqual({
      error: Number.NaN,
      meanScore: Number.NaN,
      accuracy: Number.NaN,
    });
  });
});
