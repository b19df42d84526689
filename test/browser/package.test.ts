// The package as it is published: its types under every module resolution, no code of one platform in the
// other's bundle, and the sizes that docs/browser.md states.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { checkPackage, createPackageFromTarballData } from "@arethetypeswrong/core";
import { build, type Metafile } from "esbuild";
import { publint } from "publint";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
// @ts-expect-error: a plain script
import { build as compile } from "../../scripts/build.mjs";
// @ts-expect-error: a plain script
import { buildBrowser } from "../../scripts/build-browser.mjs";

const TIME = 600_000;
const root = fileURLToPath(new URL("../..", import.meta.url));
// Inside the project, so that the package's own dependencies are found.
const cache = join(root, "node_modules/.cache");
mkdirSync(cache, { recursive: true });
const folder = mkdtempSync(join(cache, "groupvit-package-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the packed package", () => {
  let tarball: Buffer;
  const installed = join(folder, "node_modules/groupvit");

  beforeAll(async () => {
    await compile();
    execFileSync("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder], {
      cwd: root,
      stdio: ["ignore", "ignore", "ignore"],
      shell: process.platform === "win32",
    });
    const file = readdirSync(folder).find((name) => name.endsWith(".tgz"))!;
    tarball = readFileSync(join(folder, file));
    mkdirSync(installed, { recursive: true });
    const into = ["-xzf", join(folder, file), "-C", installed, "--strip-components=1"];
    execFileSync("tar", into);
  }, TIME);

  it(
    "has nothing for publint to say",
    async () => {
      const { messages } = await publint({ pkgDir: installed, pack: false, strict: true });
      expect(messages).toEqual([]);
    },
    TIME,
  );

  it(
    "has right types for whoever imports it",
    async () => {
      // Without the model: its bytes are no types.
      const checked = await checkPackage(createPackageFromTarballData(new Uint8Array(tarball)));
      if (!checked.types) throw new Error("no types");
      const paths = Object.keys(checked.entrypoints).filter((name) => !name.endsWith(".json"));
      expect(paths.sort()).toEqual(expect.arrayContaining([".", "./browser"]));
      // An ES module has nothing for CommonJS resolution, nor for one older than `exports`.
      const problems = checked.problems.filter(
        (problem) =>
          !("resolutionKind" in problem) || !/^node10$|-cjs$/.test(problem.resolutionKind),
      );
      expect(problems).toEqual([]);
    },
    TIME,
  );

  const browserUse = `
    import { GroupViT, encodeLabelPng, labelPalette, PictureError } from "groupvit/browser";
    import type { Segmentation, Explanation } from "groupvit/browser";
    const model: GroupViT = await GroupViT.load(undefined, {
      device: "auto", dtype: "int8", onProgress: ({ loaded, total, file }) => [loaded / total, file],
    });
    const picture = await model.encode(new File([], "a.png"), { shortSide: 224, mode: "slide" });
    const result: Segmentation = await picture.segment("dog", { background: "threshold" });
    const why: Explanation = await picture.explain(["dog"]);
    encodeLabelPng(result, labelPalette(1, false));
    const stages = (await picture.groups("soft")).length + why.regions.length;
    // @ts-expect-error: browsers have no such device
    await GroupViT.load(undefined, { device: "cuda" });
    await model.release();
    export { stages, PictureError };`;
  const nodeUse = `
    import { GroupViT } from "groupvit";
    const model = await GroupViT.load(undefined, { device: "cpu" });
    const { map } = await (await model.encode("a.png")).segment("dog");
    export const size: number = map.length;`;

  it.each([
    ["bundler", ts.ModuleResolutionKind.Bundler, ts.ModuleKind.ESNext],
    ["node16", ts.ModuleResolutionKind.Node16, ts.ModuleKind.Node16],
    ["nodenext", ts.ModuleResolutionKind.NodeNext, ts.ModuleKind.NodeNext],
  ])(
    "compiles its users' code under %s",
    (_, moduleResolution, module) => {
      for (const [name, text, types] of [
        ["page.mts", browserUse, []], // without Node's types
        ["program.mts", nodeUse, ["node"]],
      ] as const) {
        const file = join(folder, name);
        writeFileSync(file, text);
        const program = ts.createProgram([file], {
          module,
          moduleResolution,
          target: ts.ScriptTarget.ES2022,
          lib: ["lib.es2023.d.ts", "lib.dom.d.ts", "lib.dom.iterable.d.ts"],
          strict: true,
          noEmit: true,
          types: [...types],
        });
        const said = ts.getPreEmitDiagnostics(program).map((one) => {
          const where = one.file?.fileName.replace(folder, "");
          return `${where}: ${ts.flattenDiagnosticMessageText(one.messageText, "\n")}`;
        });
        expect(said).toEqual([]);
      }
    },
    TIME,
  );
});

describe("bundles", () => {
  const site = join(folder, "dist-browser");
  let metafile: Metafile;
  beforeAll(async () => {
    metafile = await buildBrowser(site);
  }, TIME);

  /** Every module that the output needs, whenever it needs it. */
  function modulesOf(output: string): string[] {
    const outputs = Object.entries(metafile.outputs);
    const seen = new Set<string>();
    const waiting = [outputs.find(([path]) => path.endsWith(`/${output}`))![0]];
    for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
      if (seen.has(path)) continue;
      seen.add(path);
      waiting.push(...metafile.outputs[path]!.imports.map((one) => one.path));
    }
    return [...seen].flatMap((path) => Object.keys(metafile.outputs[path]!.inputs));
  }

  it("the page's script holds neither the engine nor the model's code", () => {
    const modules = modulesOf("groupvit.js");
    expect(modules).toContain("src/browser/model.ts");
    expect(modules.filter((path) => /onnxruntime|src\/(graph|model|runtime)\//.test(path))).toEqual(
      [],
    );
  });

  it("the browser's scripts hold nothing of Node", () => {
    const modules = modulesOf("groupvit-worker.js");
    expect(modules).toContain("src/groupvit.ts");
    const foreign = /\.node\.ts$|src\/(cli|train|scenes|serve|distribute|label|evaluate)\//;
    expect(modules.filter((path) => foreign.test(path))).toEqual([]);
    expect(modules.filter((path) => /sharp|onnxruntime-node|koffi|fastify/.test(path))).toEqual([]);
    for (const name of ["groupvit.js", "groupvit-worker.js"]) {
      const text = readFileSync(join(site, name), "utf8");
      expect(text).not.toMatch(/["'`]node:|\bBuffer\b|\bprocess\.(env|versions)\b/);
    }
  });

  it(
    "Node's bundle holds nothing of the browser",
    async () => {
      const { metafile: node } = await build({
        entryPoints: [join(root, "src/index.ts"), join(root, "src/cli/main.ts")],
        absWorkingDir: root,
        bundle: true,
        packages: "external",
        format: "esm",
        platform: "node",
        outdir: "out",
        write: false,
        metafile: true,
      });
      const modules = Object.keys(node.inputs);
      expect(modules.filter((path) => /\.browser\.ts$|src\/browser\//.test(path))).toEqual([]);
      // Node's WebAssembly is loaded where it is asked for, and never otherwise.
      const imports = Object.values(node.outputs).flatMap((output) => output.imports);
      const web = imports.filter(({ path }) => /onnxruntime-web/.test(path));
      expect(web.filter(({ kind }) => kind !== "dynamic-import")).toEqual([]);
    },
    TIME,
  );

  it("has the sizes that docs/browser.md states, and loads within 6 MB", () => {
    const docs = readFileSync(join(root, "docs/browser.md"), "utf8");
    const sizes = new Map<string, { plain: number; gzip: number }>();
    for (const name of readdirSync(site, { recursive: true, encoding: "utf8" })) {
      if (!/\.(js|wasm|safetensors)$/.test(name)) continue;
      const bytes = readFileSync(join(site, name));
      const plainName = name.replace(/-[A-Z0-9]{8}\.js$/, ".js").replaceAll("\\", "/");
      const known = sizes.get(plainName) ?? { plain: 0, gzip: 0 };
      const gzip = known.gzip + gzipSync(bytes).length;
      sizes.set(plainName, { plain: known.plain + bytes.length, gzip });
    }
    console.log([...sizes].map(([name, { plain, gzip }]) => `${name} ${plain} ${gzip}`).join("\n"));
    for (const [name, { plain, gzip }] of sizes) {
      const row = docs.split("\n").find((line) => line.includes(`\`${name}\``));
      const [stated, compressed] = [...(row ?? "").matchAll(/([\d,.]+) (kB|MB)/g)].map(
        ([, number, unit]) => Number(number!.replaceAll(",", "")) * (unit === "MB" ? 1e6 : 1e3),
      );
      // Models and scripts change a little; a table that is wrong by a tenth is out of date.
      expect(Math.abs(plain - stated!) / plain, `${name}: ${plain}`).toBeLessThan(0.1);
      expect(Math.abs(gzip - compressed!) / gzip, `${name}: ${gzip} gzip`).toBeLessThan(0.1);
    }
    const first = ["groupvit.js", "groupvit-worker.js", "chunk.js"]
      .concat("ort.wasm.bundle.min.js", "ort-wasm-simd-threaded.wasm")
      .reduce((sum, name) => sum + sizes.get(name)!.gzip, 0);
    expect(first).toBeLessThan(6_000_000);
  });
});
