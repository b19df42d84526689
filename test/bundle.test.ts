// The package as its users bundle it: the browser entry has nothing of Node in it and stays small; the
// Node entry runs bundled, from ES modules and from CommonJS, without a word on stderr.

import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as browserEntry from "../src/index.browser.js";
import * as nodeEntry from "../src/index.js";
import { bundleBrowser } from "./support/bundle.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const tiny = fileURLToPath(new URL("fixtures/tiny", import.meta.url));
const run = promisify(execFile);

/** Names of the Node entry that need the file system or a Node-only package. */
const NODE_ONLY = [
  "BUNDLED_MODEL",
  "GROUP_MODES",
  "drawGroups",
  "drawOverlay",
  "formatTable",
  "hubSettings",
  "reportPicture",
  "resolveModel",
  "saveAuthors",
  "saveHuggingFace",
];

describe("the browser bundle", () => {
  let bundle: Awaited<ReturnType<typeof bundleBrowser>>;
  let modules: string[];
  beforeAll(async () => {
    bundle = await bundleBrowser({ minify: true });
    modules = Object.keys(bundle.metafile.inputs);
  });

  it("builds without a warning and imports nothing from outside", () => {
    expect(bundle.warnings).toEqual([]);
    const imports = Object.values(bundle.metafile.outputs).flatMap((output) => output.imports);
    expect(imports.filter(({ external }) => external)).toEqual([]);
  });

  it("holds no part of Node", () => {
    expect(modules.filter((path) => path.startsWith("src/")).length).toBeGreaterThan(40);
    expect(modules.filter((path) => /\.node\.ts$|src\/(cli|train|scenes)\//.test(path))).toEqual(
      [],
    );
    expect(
      modules.filter((path) => /node_modules\/(sharp|@img|onnxruntime-node)\//.test(path)),
    ).toEqual([]);
    for (const [name, bytes] of bundle.files) {
      if (name.startsWith("ort")) continue; // ONNX Runtime tells the environments apart itself
      const text = new TextDecoder().decode(bytes);
      expect(text).not.toMatch(/["'`]node:/);
      expect(text).not.toMatch(/\bBuffer\b|\bprocess\.(env|versions)\b|\b__dirname\b/);
    }
  });

  it("stays within its size", () => {
    const size = (pattern: RegExp) => {
      const [, bytes] = [...bundle.files].find(([name]) => pattern.test(name))!;
      return { plain: bytes.length, gzip: gzipSync(bytes).length };
    };
    const own = size(/^index\.js$/);
    const wasm = size(/^ort\.wasm/);
    console.log(
      `browser bundle: ${own.plain} bytes, ${own.gzip} gzip; engine glue ${wasm.gzip} gzip`,
    );
    // 494 kB and 270 kB when this was written, most of it CLIP's merges.
    expect(own.plain).toBeLessThan(560_000);
    expect(own.gzip).toBeLessThan(300_000);
    expect(wasm.gzip).toBeLessThan(30_000);
  });

  it("has every name of the Node entry that needs no Node", () => {
    const expected = Object.keys(nodeEntry).filter((name) => !NODE_ONLY.includes(name));
    expect(Object.keys(browserEntry).sort()).toEqual(expected.sort());
  });
});

/** Packages that are loaded with a file: itself and what it imports, directly or not, before any call. */
async function loadedWith(entry: string): Promise<string[]> {
  const { metafile } = await build({
    entryPoints: [entry],
    absWorkingDir: root,
    bundle: true,
    packages: "external",
    format: "esm",
    platform: "node",
    write: false,
    metafile: true,
  });
  const packages = new Set<string>();
  const seen = new Set<string>();
  const visit = (file: string) => {
    if (seen.has(file)) return;
    seen.add(file);
    for (const { path, kind, external } of metafile.inputs[file]!.imports) {
      if (kind !== "import-statement") continue;
      if (!external) visit(path);
      else if (!path.startsWith("node:")) packages.add(path);
    }
  };
  visit(entry);
  return [...packages].sort();
}

describe("starting", () => {
  it("loads only what the first mask needs", async () => {
    expect(await loadedWith("src/index.ts")).toEqual(["onnxruntime-node", "sharp"]);
  });

  it("loads no more than the parser of arguments for the command line", async () => {
    expect(await loadedWith("src/cli/main.ts")).toEqual(["commander"]);
  });
});

describe("the Node entry", () => {
  let folder: string;
  const script = (load: string) => `
    ${load}.then(async ({ GroupViTModel, Tensor }) => {
      const model = await GroupViTModel.fromPretrained(${JSON.stringify(tiny)});
      const inputIds = new Tensor(Int32Array.of(0, 4, 511), [1, 3]);
      const features = await model.getTextFeatures({ inputIds });
      console.log(JSON.stringify(features.dims));
      await model.release();
    });`;

  beforeAll(async () => {
    // Inside the project, so that the packages left outside of the bundle are found.
    folder = await mkdtemp(join(root, "node_modules/.bundle-"));
    await build({
      entryPoints: [join(root, "src/index.ts")],
      bundle: true,
      packages: "external",
      format: "esm",
      platform: "node",
      target: "node20",
      outfile: join(folder, "index.mjs"),
      logLevel: "error",
    });
    await writeFile(join(folder, "esm.mjs"), script('import("./index.mjs")'));
    await writeFile(join(folder, "cjs.cjs"), script('import("./index.mjs")'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it.each(["esm.mjs", "cjs.cjs"])(
    "runs in a process of its own (%s)",
    async (file) => {
      const { stdout, stderr } = await run(process.execPath, [join(folder, file)]);
      expect(stderr).toBe("");
      expect(stdout).toBe("[1,32]\n");
    },
    30_000,
  );
});
