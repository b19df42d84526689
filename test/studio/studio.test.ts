// The studio as people use it: everything below happens in a real Chromium, on the page as it is built.
//
// STUDIO_SHOTS=folder keeps the screenshots of every main state (default: a temporary folder).

import { mkdirSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  announced,
  atRest,
  exported,
  type File,
  open,
  openPicture,
  openWithModel,
  partingModel,
  type Studio,
  shows,
  startStudio,
  violations,
} from "./page.js";

const sample = fileURLToPath(new URL("../../studio/public/samples/cottage.jpg", import.meta.url));
const shots = process.env.STUDIO_SHOTS ?? mkdtempSync(join(tmpdir(), "groupvit-studio-shots-"));

describe("the studio", () => {
  let studio: Studio;
  let model: File[];

  beforeAll(async () => {
    mkdirSync(shots, { recursive: true });
    model = await partingModel();
    studio = await startStudio();
  }, 600_000);

  afterAll(() => studio?.close());

  it("shows a segmented sample on load, asks no other server, and says what computes and why", async () => {
    const page = await open(studio);
    const elsewhere: string[] = [];
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(studio.address) && !/^(blob|data):/.test(url)) elsewhere.push(url);
    });
    await atRest(page);
    expect(await page.locator("footer").textContent()).toMatch(/WebAssembly|WebGPU/);
    expect(await page.locator("footer").textContent()).toMatch(/encoded in \d+ ms/);
    expect(await page.locator("footer").textContent()).toMatch(/labelled in \d+ ms/);
    expect(await announced(page)).toMatch(/ percent/);
    expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
    expect(elsewhere).toEqual([]);
    await page.close();
  }, 600_000);

  it("loads less than 6 MB compressed, the model apart, as docs/studio.md states", async () => {
    const before = studio.requests.length;
    const page = await open(studio);
    await atRest(page);
    await page.close();
    const paths = new Set(studio.requests.slice(before).map(({ path }) => path.slice(1)));
    const files = [...paths].filter((path) => !path.includes("/models/"));
    expect(files.filter((path) => path.endsWith(".wasm"))).toHaveLength(1);
    let bytes = 0;
    for (const path of files) {
      const file = readFileSync(join(studio.folder, path || "index.html"));
      bytes += path.endsWith(".jpg") ? file.length : gzipSync(file).length;
    }
    expect(bytes).toBeLessThan(6_000_000);
    const docs = readFileSync(new URL("../../docs/studio.md", import.meta.url), "utf8");
    const stated = Number(/\*\*([\d,]+) kB\*\*/.exec(docs)?.[1]?.replaceAll(",", ""));
    expect(Math.abs(stated / (bytes / 1000) - 1)).toBeLessThan(0.01);
  }, 600_000);

  it("relabels as you type without encoding again; undo, redo and the link follow", async () => {
    const page = await openWithModel(studio, model);
    const encoded = () => page.locator("footer span", { hasText: "encoded in" }).textContent();
    const before = await encoded();
    await page.locator("#words-a").selectText();
    await page.locator("#words-a").pressSequentially("forest, lake", { delay: 30 });
    await page.locator(".chip", { hasText: "lake" }).waitFor();
    expect(await page.locator(".chip .name").allInnerTexts()).toEqual(["forest", "lake"]);
    expect(await encoded()).toBe(before);
    await expect.poll(() => page.evaluate(() => location.hash)).toBe("#words=forest%2C+lake");
    // On a slow machine the pauses between keys make several steps of them.
    const typed = page.locator("#words-a");
    const walk = async (keys: string, until: RegExp) => {
      for (let i = 0; i < 20 && !until.test(await typed.inputValue()); i++) {
        await page.keyboard.press(keys);
        await page.waitForTimeout(50);
      }
    };
    await walk("Control+z", /house/);
    await page.locator(".chip", { hasText: "house" }).waitFor();
    expect(await page.getByRole("button", { name: "Undo" }).isDisabled()).toBe(true);
    await walk("Control+Shift+z", /lake/);
    await page.locator(".chip", { hasText: "lake" }).waitFor();
    await page.getByRole("button", { name: "Remove forest" }).click();
    await page.locator(".chip", { hasText: "forest" }).waitFor({ state: "detached" });
    await page.close();

    const linked = await open(studio, {
      hash: "#words=sea,+boat&view=first&opacity=0.3&background=threshold&threshold=0.25",
    });
    await atRest(linked);
    expect(await linked.locator("#words-a").inputValue()).toBe("sea, boat");
    expect(await linked.getByRole("radio", { name: "First groups" }).isChecked()).toBe(true);
    expect(await linked.getByLabel("Threshold").inputValue()).toBe("0.25");

    // The same tab opens another link: the page is not loaded again.
    await linked.evaluate(() => {
      location.hash = "#words=lake&opacity=0.9";
    });
    await expect.poll(() => linked.locator(".chip .name").allInnerTexts()).toEqual(["lake"]);
    expect(await linked.getByRole("radio", { name: "First groups" }).isChecked()).toBe(false);
    await linked.getByRole("button", { name: "Undo" }).click();
    await linked.locator(".chip", { hasText: "boat" }).waitFor();
    await linked.close();
  }, 600_000);

  it("goes on where the browser refuses many addresses, and copies the last one or says that it may not", async () => {
    const page = await openWithModel(studio, model);
    // As Safari does: more than 100 in 30 seconds are an error.
    await page.evaluate(() => {
      const { replaceState } = history;
      let calls = 0;
      history.replaceState = (...args) => {
        if (++calls > 100) throw new DOMException("too many", "SecurityError");
        replaceState.apply(history, args);
      };
    });
    const slider = page.getByLabel("Opacity of the mask");
    await slider.evaluate(async (element) => {
      const field = element as HTMLInputElement;
      for (let i = 0; i <= 150; i++) {
        field.value = i === 150 ? "0.35" : String((i % 20) / 20);
        field.dispatchEvent(new Event("input", { bubbles: true }));
        await new Promise((done) => setTimeout(done, 2));
      }
    });
    const clipboard = (write: string) =>
      page.evaluate(`navigator.clipboard.writeText = async (text) => { ${write} }`);
    await clipboard("globalThis.copied = text;");
    await page.getByRole("button", { name: "Copy link" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    expect(await page.evaluate("copied")).toMatch(/#.*opacity=0\.35$/);
    await expect.poll(() => page.evaluate(() => location.hash)).toMatch(/opacity=0\.35$/);
    await clipboard('throw new DOMException("no", "NotAllowedError");');
    await page.getByRole("button", { name: "Copy link" }).click();
    await page.getByRole("button", { name: "Not allowed" }).waitFor();
    await page.close();
  }, 600_000);

  it("leaves text that is dragged to fields, and undo in the dialog to its own", async () => {
    const page = await openWithModel(studio, model);
    const taken = (kind: "text" | "file") =>
      page.locator("#words-a").evaluate((field, kind) => {
        const data = new DataTransfer();
        if (kind === "text") data.setData("text/plain", "lake");
        else data.items.add(new File(["x"], "x.png"));
        const init = { bubbles: true, cancelable: true, dataTransfer: data };
        return !field.dispatchEvent(new DragEvent("dragover", init));
      }, kind);
    expect([await taken("text"), await taken("file")]).toEqual([false, true]);
    const words = await page.locator("#words-a").inputValue();
    await page.locator("#words-a").fill("lake");
    await page.getByRole("button", { name: "Model…" }).click();
    await page.getByLabel("From the Hugging Face Hub").press("Control+z");
    expect(await page.locator("#words-a").inputValue()).toBe("lake");
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+z");
    await expect.poll(() => page.locator("#words-a").inputValue()).toBe(words);
    await page.close();
  }, 600_000);

  it("opens links that ask for what cannot be", async () => {
    const hash = "#words=tree%01,%3Cb%3E%26%FF&view=first&mode=slide&__proto__=1&topK=0";
    const page = await open(studio, { hash });
    await atRest(page);
    expect(await page.getByRole("alert").count()).toBe(0);
    expect(await page.locator(".chip .name").allInnerTexts()).toEqual(["tree", "<b>&\ufffd"]);
    const svg = (await exported(page, "SVG")).bytes.toString();
    expect(svg).toMatch(/<title>(tree|&lt;b&gt;&amp;\ufffd)<\/title>/);
    await page.close();
  }, 600_000);

  it("says why a place carries its word, to the mouse and to the arrow keys", async () => {
    const page = await openWithModel(studio, model);
    const frame = (await page.locator(".frame").boundingBox())!;
    await page.mouse.move(frame.x + 0.3 * frame.width, frame.y + 0.35 * frame.height);
    const verdict = page.locator(".verdict");
    await verdict.waitFor();
    expect(await verdict.textContent()).toMatch(/ ahead of /);
    expect(await page.locator(".scores tbody tr").count()).toBe(5);
    const chips = await page.locator(".chip .name").allInnerTexts();
    expect(chips).toContain(await page.locator(".verdict strong").textContent());
    await page.mouse.move(2, 2);
    await verdict.waitFor({ state: "detached" });

    await page.getByRole("radio", { name: "Low scores" }).check();
    await page.getByLabel("Threshold").fill("1");
    await page.locator(".frame").focus();
    await page.keyboard.press("ArrowLeft");
    await verdict.waitFor();
    expect(await verdict.textContent()).toMatch(/threshold/);
    await page.close();
  }, 600_000);

  it("moves the mask with the threshold, and its strength with the opacity", async () => {
    const page = await openWithModel(studio, model);
    const shares = async () => (await page.locator(".chip .share").allInnerTexts()).join();
    await page.getByRole("radio", { name: "Low scores" }).check();
    const seen = new Set<string>();
    for (const threshold of ["0.05", "0.95"]) {
      await page.getByLabel("Threshold").fill(threshold);
      await page.waitForTimeout(1500);
      seen.add(await shares());
    }
    expect(seen.size).toBe(2);
    const colour = () =>
      page
        .locator(".mask:not([hidden])")
        .first()
        .evaluate((mask) => getComputedStyle(mask).opacity);
    await page.getByLabel("Opacity of the mask").fill("0.2");
    expect(Number(await colour())).toBeCloseTo(0.2, 3);
    await page.close();
  }, 600_000);

  it("shows how first groups merge into last ones, and compares two vocabularies", async () => {
    const page = await openWithModel(studio, model);
    await page.getByRole("radio", { name: "First groups" }).check();
    await page.locator(".from button").first().click();
    const hint = page.locator("#groups-title >> xpath=../../p");
    await expect.poll(() => hint.textContent()).toMatch(/goes to segment \d+/);
    await page.getByRole("radio", { name: "Last groups" }).check();
    await page.locator(".to").first().click();
    await expect.poll(() => hint.textContent()).toMatch(/Segment \d+.* made of \d+ first groups/);
    await page.getByRole("radio", { name: "Words", exact: true }).first().check();
    await page.getByLabel("Compare two").check();
    await page.getByLabel("Words B").fill("forest, roof");
    await page.locator(".chip", { hasText: "roof" }).waitFor();
    const clip = () =>
      page
        .locator(".mask:not([hidden])")
        .last()
        .evaluate((mask) => getComputedStyle(mask).clipPath);
    const half = await clip();
    await page.getByLabel("Divider between A and B").fill("0.25");
    expect(await clip()).not.toBe(half);
    await page.close();
  }, 600_000);

  it("takes dropped and pasted pictures and the camera's", async () => {
    const page = await open(studio);
    await atRest(page);
    const bytes = readFileSync(sample).toString("base64");
    const give = (event: "drop" | "paste", name: string) =>
      page.evaluate(
        async ([type, file, base64]) => {
          const blob = await (await fetch(`data:image/jpeg;base64,${base64}`)).blob();
          const data = new DataTransfer();
          data.items.add(new File([blob], file, { type: "image/jpeg" }));
          const init = { bubbles: true, cancelable: true };
          window.dispatchEvent(
            type === "drop"
              ? new DragEvent("drop", { ...init, dataTransfer: data })
              : new ClipboardEvent("paste", { ...init, clipboardData: data }),
          );
        },
        [event, name, bytes] as const,
      );
    for (const event of ["drop", "paste"] as const) {
      await give(event, `${event}ped.jpg`);
      await shows(page, `${event}ped.jpg`);
    }
    await page.getByRole("button", { name: "Camera" }).click();
    await page.locator("footer", { hasText: "pictures a second" }).waitFor();
    await page.getByRole("button", { name: "Take photo" }).click();
    await shows(page, "photo.png");
    await page.close();
  }, 600_000);

  it("stops a load, reloads weights from the cache, and works on without a network", async () => {
    let goOn: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    const page = await open(studio, {}, async (route) => {
      if (route.request().url().endsWith("model.safetensors")) await held;
      await route.continue().catch(() => {}); // it was stopped
    });
    await page.getByText("Loading the model").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await page.getByText("Loading the model").waitFor({ state: "detached" });
    expect(await page.locator(".chip").count()).toBe(0);
    goOn();
    await page.context().unroute("**/models/scenes/*");
    await page.getByRole("button", { name: "Model…" }).click();
    await page.getByRole("button", { name: /^Bundled/ }).click();
    await atRest(page);

    const weights = () =>
      studio.requests.filter(
        ({ path, status }) => path.endsWith("model.safetensors") && status === 200,
      ).length;
    const before = weights();
    const gets: string[] = [];
    page.on("request", (request) => {
      if (request.url().endsWith("model.safetensors") && request.method() === "GET") {
        gets.push(request.url());
      }
    });
    await page.reload();
    await atRest(page);
    expect(gets).toEqual([]);
    expect(weights() - before).toBeLessThanOrEqual(1); // whether they are still the same: no bytes

    await page.context().setOffline(true);
    await openPicture(page, "later.jpg", readFileSync(sample));
    await shows(page, "later.jpg");
    await page.locator("#words-a").fill("cloud, path");
    await page.locator(".chip", { hasText: "path" }).waitFor();
    expect((await exported(page, "Mask PNG")).bytes.subarray(1, 4).toString()).toBe("PNG");
    await page.close();
  }, 600_000);

  it("tells of errors in words, and works on after each", async () => {
    const page = await open(studio);
    await atRest(page);
    const alert = page.getByRole("alert");
    const fails = async (message: RegExp) => {
      await alert.waitFor();
      expect(await alert.textContent()).toMatch(message);
      await page.getByRole("button", { name: "Dismiss" }).click();
    };
    await openPicture(page, "notes.txt", Buffer.from("no picture at all"));
    await fails(/not a picture/);
    await openPicture(page, "empty.jpg", Buffer.alloc(0));
    await fails(/empty/);
    await openPicture(
      page,
      "drawing.svg",
      Buffer.from("<svg xmlns='http://www.w3.org/2000/svg'/>"),
    );
    await fails(/cannot read SVG files/);
    await openPicture(
      page,
      "phone.heic",
      Buffer.from("\0\0\0\x18ftypheic\0\0\0\0mif1heic", "latin1"),
    );
    await fails(/cannot read HEIC files/);
    const narrow = { width: 2000, height: 2, channels: 3, background: "red" } as const;
    await openPicture(page, "line.png", await sharp({ create: narrow }).png().toBuffer());
    await fails(/too narrow/);
    await openPicture(page, "cut.jpg", readFileSync(sample).subarray(0, 9000));
    await fails(/damaged/);
    // A PNG whose header promises 200,000 x 200,000 pixels.
    const huge = await sharp({ create: { width: 2, height: 2, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    huge.writeUInt32BE(200_000, 16);
    huge.writeUInt32BE(200_000, 20);
    await openPicture(page, "huge.png", huge);
    await fails(/too large/);
    const broken = model.map((file) =>
      file.name === "model.safetensors" ? { ...file, buffer: file.buffer.subarray(0, 5000) } : file,
    );
    await page.getByRole("button", { name: "Model…" }).click();
    await page.getByLabel("Files…").setInputFiles(broken);
    await fails(/weights/);
    await page.getByRole("button", { name: "Model…" }).click();
    await page.getByLabel("Files…").setInputFiles(model);
    await page.locator("footer", { hasText: "your files" }).waitFor();
    await openPicture(page, "fine.jpg", readFileSync(sample));
    await shows(page, "fine.jpg");
    await page.close();

    const trap =
      "WebAssembly.Memory = class { constructor() { " +
      'throw new RangeError("WebAssembly.Memory(): could not allocate memory"); } };\n' +
      "WebAssembly.instantiate = WebAssembly.instantiateStreaming = async () => { " +
      'throw new RangeError("WebAssembly.instantiate(): Out of memory"); };';
    const poor = await open(studio, { worker: trap });
    await poor.getByRole("alert").waitFor();
    expect(await poor.getByRole("alert").textContent()).toMatch(/out of memory/);
    await poor.close();
  }, 600_000);

  it("works without a mouse", async () => {
    const page = await open(studio);
    await atRest(page);
    const focused = () =>
      page.evaluate(() => {
        const at = document.activeElement as HTMLElement;
        return at.getAttribute("aria-label") ?? at.textContent ?? at.tagName;
      });
    const tabTo = async (name: RegExp) => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press("Tab");
        if (name.test((await focused()).trim())) return;
      }
      throw new Error(`Tab never reaches ${name}`);
    };
    await tabTo(/^Model…/);
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "hidden" });
    await tabTo(/^Picture cottage/);
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    await page.locator(".verdict").waitFor();
    await page.getByRole("button", { name: "Let go" }).waitFor();
    await page.keyboard.press("Escape");
    await page.locator(".verdict").waitFor({ state: "detached" });
    await tabTo(/^Harbour/);
    await page.keyboard.press("Enter");
    await shows(page, "harbour.jpg");
    await tabTo(/^Words$/);
    await page.keyboard.press("Control+a");
    await page.keyboard.type("boat, sea");
    await page.locator(".chip", { hasText: "sea" }).waitFor();
    await tabTo(/^Remove sea/);
    await page.keyboard.press("Enter");
    await page.locator(".chip", { hasText: "sea" }).waitFor({ state: "detached" });
    await tabTo(/^Mask PNG/);
    const [file] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
    expect(file.suggestedFilename()).toBe("harbour.mask.png");
    await page.close();
  }, 600_000);

  it("drops what it pointed at when that comes back after Escape", async () => {
    const page = await open(studio);
    await atRest(page);
    const stage = page.getByLabel(/^Picture cottage/);
    await stage.focus();
    // Until a place is looked up and its shade painted, a few milliseconds: Escape falls into all of them.
    for (let delay = 0; delay < 30; delay++) {
      await stage.evaluate(async (element, milliseconds) => {
        const press = (key: string) =>
          element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        press(milliseconds % 2 === 0 ? "ArrowRight" : "ArrowDown");
        await new Promise((done) => setTimeout(done, milliseconds / 2));
        press("Escape");
        await new Promise((done) => setTimeout(done, 150));
      }, delay);
      expect(await page.locator(".verdict").count(), `after ${delay / 2} ms`).toBe(0);
    }
    await page.keyboard.press("ArrowRight");
    await page.locator(".verdict").waitFor();
    await page.close();
  }, 600_000);

  it("keeps the page's thread free while typing, pointing and sliding", async () => {
    const page = await openWithModel(studio, model);
    await page.evaluate(() => {
      const tasks: number[] = [];
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) tasks.push(Math.round(duration));
      }).observe({ type: "longtask" });
      Object.assign(globalThis, { tasks });
    });
    const tasks = () =>
      page.evaluate(() => (globalThis as unknown as { tasks: number[] }).tasks.splice(0));
    const frame = (await page.locator(".frame").boundingBox())!;
    const rounds: number[][] = [];
    let computed = 0;
    // Whatever blocks the page does so in every round; a busy machine does not. Where it is so busy that
    // no round is quiet, the trace tells how long the page itself computed.
    for (let round = 0; round < 3; round++) {
      await page.waitForTimeout(500);
      await tasks();
      await studio.browser.startTracing(page, { categories: ["toplevel"] });
      await page.locator("#words-a").fill("");
      await page.locator("#words-a").pressSequentially("tree, house, sky, lake", { delay: 40 });
      for (let i = 0; i <= 20; i++) {
        await page.mouse.move(frame.x + (i / 20) * frame.width, frame.y + 0.5 * frame.height);
        await page.waitForTimeout(20);
      }
      await page.mouse.move(2, 2);
      await page.getByRole("radio", { name: "Low scores" }).check();
      for (let i = 0; i <= 10; i++) await page.getByLabel("Threshold").fill(String(i / 10));
      for (let i = 0; i <= 10; i++) {
        await page.getByLabel("Opacity of the mask").fill(String(i / 10));
      }
      await page.waitForTimeout(500);
      computed = longestTask(await studio.browser.stopTracing());
      rounds.push(await tasks());
      if (rounds.at(-1)!.length === 0) break;
    }
    console.log(
      `tasks of 50 ms and more, by round: ${JSON.stringify(rounds)}; the longest computed ${computed} ms`,
    );
    if (rounds.at(-1)!.length > 0) expect(computed).toBeLessThan(50);
    expect(computed).toBeGreaterThan(0);
    await page.close();
  }, 600_000);

  it.each(["light", "dark"])(
    "has no accessibility violations in any main state, %s",
    async (scheme) => {
      let goOn: () => void = () => {};
      const held = new Promise<void>((resolve) => {
        goOn = resolve;
      });
      const page = await open(studio, { dark: scheme === "dark" }, async (route) => {
        if (route.request().url().endsWith("model.safetensors")) await held;
        await route.continue();
      });
      const found: string[] = [];
      const look = async (state: string) => {
        for (const width of [1400, 800, 360]) {
          await page.setViewportSize({ width, height: width < 500 ? 780 : 900 });
          await page.waitForTimeout(150);
          const path = join(shots, `${state}-${width}-${scheme}.png`);
          await page.screenshot({ path, fullPage: true });
          const wide = await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          );
          if (wide > 0) found.push(`${state} at ${width}: ${wide} pixels too wide`);
          if (width !== 800) {
            found.push(...(await violations(page)).map((line) => `${state} at ${width}: ${line}`));
          }
        }
        await page.setViewportSize({ width: 1400, height: 900 });
      };
      await page.getByText("Loading the model").waitFor();
      await look("loading");
      goOn();
      await atRest(page);
      await look("words");
      await page.locator(".regions button").first().click();
      await page.locator(".verdict").waitFor();
      await look("why");
      await page.getByRole("radio", { name: "Low scores" }).check();
      await page.getByText("More options", { exact: true }).click();
      await atRest(page);
      await look("threshold");
      await page.getByRole("radio", { name: "None", exact: true }).check();
      await page.getByRole("radio", { name: "First groups" }).check();
      await page.locator(".from button").first().click();
      await look("first-groups");
      await page.getByRole("radio", { name: "Last groups" }).check();
      await atRest(page);
      await look("last-groups");
      await page.getByRole("radio", { name: "Words", exact: true }).first().check();
      await page.getByLabel("Compare two").check();
      await page.getByLabel("Words B").fill("forest, roof, cloud, meadow");
      await page.locator(".chip", { hasText: "meadow" }).waitFor();
      await look("compare");
      await openPicture(page, "notes.txt", Buffer.from("no picture"));
      await page.getByRole("alert").waitFor();
      await look("error");
      await page.getByRole("button", { name: "Dismiss" }).click();
      await page.locator("#words-a").fill("");
      await page.getByLabel("Compare two").uncheck();
      await look("empty");
      await page.getByRole("button", { name: "Model…" }).click();
      await look("model");
      expect(found).toEqual([]);
      await page.close();
    },
    600_000,
  );
});

/** Milliseconds of processor time that the longest task of a page's main thread took. */
function longestTask(trace: Buffer): number {
  interface Event {
    ph: string;
    name: string;
    pid: number;
    tid: number;
    /** Processor time in microseconds. */
    tdur?: number;
    args?: { name?: string };
  }
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: Event[] };
  const threads = new Set(
    traceEvents
      .filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const times = traceEvents
    .filter(({ ph, pid, tid }) => ph === "X" && threads.has(`${pid} ${tid}`))
    .map(({ tdur = 0 }) => tdur / 1000);
  return Math.max(0, ...times);
}
