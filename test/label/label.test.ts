// `groupvit label` with the engine of this machine: the compiled program, real files.

import { execFileSync } from "node:child_process";
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { beforeAll, expect, test, vi } from "vitest";
import { decodeCoco, decodeLabelPng } from "../../src/annotate/index.js";
import { tarEnd, tarFile } from "../../src/train/data/tar.js";
import { type Ended, groupvit, saveRandomModel } from "../support/cli.js";
import { temporaryFolder } from "../support/temporary.js";
import { PARQUET } from "./parquet.js";
import { filesOf, pictureBytes, writePictures } from "./pictures.js";

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 });

const folder = await temporaryFolder();
const at = (...parts: string[]) => join(folder, ...parts);
const COUNT = 60;

const label = (to: string, sources: string[], ...options: string[]) =>
  groupvit(["label", ...sources, "--to", to, ...common, ...options], { cwd: folder });
const common = ["--labels", "cat, dog, tree", "--model", "model", "--short-side", "32", "--json"];
const json = <T>({ stdout }: Ended) => JSON.parse(stdout) as T;
interface Summary {
  pictures: number;
  labelled: number;
  setAside: number;
  stood: number;
  formats: { format: string; iou?: number }[];
}

beforeAll(async () => {
  await saveRandomModel(at("model"));
  await writePictures(at("pictures"), COUNT);
});

test("all formats hold the same labels, and say what polygons lose", async () => {
  const formats = "png,coco,coco-polygons,label-studio,cvat,yolo,svg,geojson";
  const run = await label("whole", ["pictures"], "--format", formats, "--background", "threshold");
  expect(run.code).toBe(0);
  const summary = json<Summary>(run);
  expect(summary).toMatchObject({ pictures: COUNT, labelled: COUNT, setAside: 0, stood: 0 });
  const loss = new Map(summary.formats.map(({ format, iou }) => [format, iou]));
  expect(loss.get("coco")).toBeUndefined();
  expect(loss.get("yolo")).toBeGreaterThan(0.5);
  const pictures = [...decodeCoco(await readFile(at("whole/coco.json"), "utf8"))];
  expect(pictures.map(({ file }) => file)).toContain("0/picture-7.png");
  expect(new Set(pictures.map(({ file }) => file)).size).toBe(COUNT);
  for (const { file, result } of pictures) {
    const png = await decodeLabelPng(await readFile(at("whole/png", file)));
    expect(png.map, file).toEqual(result.map);
  }
  const review = JSON.parse(await readFile(at("whole/review.json"), "utf8"));
  const values = review.pictures.map((entry: { uncertainty: number }) => entry.uncertainty);
  expect(values).toHaveLength(COUNT);
  expect(values).toEqual([...values].sort((a, b) => b - a));
  expect((await readFile(at("whole/review.png"))).subarray(1, 4).toString()).toBe("PNG");
});

test("killed at any moment and run again, it gives the files of one run", async () => {
  const options = ["--format", "png,coco,cvat,label-studio"];
  expect((await label("once", ["pictures"], ...options)).code).toBe(0);
  for (let kill = 0; kill < 2; kill++) {
    await groupvit(["label", "pictures", "--to", "killed", ...common, ...options], {
      cwd: folder,
      started: async (child) => {
        await until(async () => (await finished("killed")) > kill);
        child.kill("SIGKILL");
      },
    });
  }
  // As a process that is killed while it writes leaves it.
  await writeFile(at("killed/.0123456789abcdef01.tmp"), "half");
  const summary = json<Summary>(await label("killed", ["pictures"], ...options));
  expect(summary.stood).toBeGreaterThan(0);
  expect(await filesOf(at("killed"))).toEqual(await filesOf(at("once")));
});

test("engines that are killed are replaced, and nothing is lost", async () => {
  const options = ["--format", "png,coco,cvat,label-studio"];
  let killed = 0;
  const { code } = await groupvit(["label", "pictures", "--to", "engines", ...common, ...options], {
    cwd: folder,
    started: async (child) => {
      await until(async () => (await finished("engines")) > 0);
      for (const pid of childrenOf(child.pid!).slice(0, 1)) {
        process.kill(pid, "SIGKILL");
        killed++;
      }
    },
  });
  expect([code, killed]).toEqual([0, 1]);
  expect(await filesOf(at("engines"))).toEqual(await filesOf(at("once")));
});

test("what stands is not labelled again, whatever the formats; other results are refused", async () => {
  const again = await label("once", ["pictures"], "--format", "yolo");
  expect(json<Summary>(again)).toMatchObject({ stood: COUNT, labelled: COUNT });
  expect(await readFile(at("once/yolo/data.yaml"), "utf8")).toContain('0: "cat"');
  const refused = await label("once", ["pictures"], "--top-k", "2");
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(/once holds other results \(topK: 5 -> 2\); name another --to/);
  // A picture more is one chunk more or two, not all.
  await writeFile(at("pictures/0/more.png"), await pictureBytes(777));
  const more = json<Summary>(await label("once", ["pictures"], "--format", "yolo"));
  expect(more.labelled).toBe(COUNT + 1);
  expect(more.stood).toBeGreaterThan(0);
  await rm(at("pictures/0/more.png"));
});

test("poison pictures are set aside with their reason, and tried again by the next run", async () => {
  await mkdir(at("mixed"), { recursive: true });
  for (let n = 0; n < 3; n++) await writeFile(at("mixed", `${n}.png`), await pictureBytes(n));
  await writeFile(at("mixed/broken.png"), (await pictureBytes(9)).subarray(0, 200));
  await writeFile(at("list.txt"), "mixed/0.png\n# no picture\nmixed/missing.png\n");
  const run = await label("aside", ["mixed", "@list.txt"], "--format", "coco");
  expect(run.code).toBe(2);
  expect(json<Summary>(run)).toMatchObject({ pictures: 6, labelled: 4, setAside: 2 });
  const aside = JSON.parse(await readFile(at("aside/set-aside.json"), "utf8"));
  expect(aside.map(({ error }: { error: string }) => error).join("\n")).toMatch(
    /broken\.png: damaged or cut short[\s\S]*missing\.png: no such file/,
  );
  await writeFile(at("mixed/missing.png"), await pictureBytes(5));
  await writeFile(at("mixed/broken.png"), await pictureBytes(9));
  const mended = await label("aside", ["mixed", "@list.txt"], "--format", "coco");
  expect(mended.code).toBe(0);
  expect(JSON.parse(await readFile(at("aside/set-aside.json"), "utf8"))).toEqual([]);
});

test("shards and Parquet give the labels that the same pictures have as files", async () => {
  await mkdir(at("same"), { recursive: true });
  const parts: Uint8Array[] = [];
  for (let n = 0; n < 5; n++) {
    const bytes = await pictureBytes(n);
    await writeFile(at("same", `00000${n}.png`), bytes);
    parts.push(tarFile(`00000${n}.png`, bytes), tarFile(`00000${n}.txt`, Buffer.from("words")));
  }
  await writeFile(at("shard.tar"), Buffer.concat([...parts, tarEnd()]));
  await writeFile(at("table.parquet"), Buffer.from(PARQUET, "base64"));
  for (const source of ["same", "shard.tar", "table.parquet"]) {
    expect((await label(`of-${source}`, [source], "--format", "coco")).code).toBe(0);
  }
  const maps = async (source: string) =>
    [...decodeCoco(await readFile(at(`of-${source}`, "coco.json"), "utf8"))].map(
      (p) => p.result.map,
    );
  const files = await maps("same");
  expect(files).toHaveLength(5);
  expect(await maps("shard.tar")).toEqual(files);
  expect(await maps("table.parquet")).toEqual(files);
  // The pictures stay where they are: what is not there any more is told, not guessed.
  await rename(at("shard.tar"), at("gone.tar"));
  expect((await label("gone", ["shard.tar"])).stderr).toMatch(/shard\.tar: it does not exist/);
});

test("broken shards, tables and rows are set aside with their reason, and the rest is labelled", async () => {
  await mkdir(at("torn/folder.tar"), { recursive: true });
  const bytes = await pictureBytes(1);
  const good = Buffer.concat([tarFile("1.png", bytes), tarFile("2.png", bytes), tarEnd()]);
  const huge = Buffer.from(good);
  const second = tarFile("1.png", bytes).length;
  huge.fill("7", second + 124, second + 135);
  const sum = huge.subarray(second, second + 512).reduce((a, b) => a + b, 0);
  const field = huge.subarray(second + 148, second + 156).reduce((a, b) => a + b, 0);
  huge.write(`${(sum - field + 8 * 32).toString(8).padStart(6, "0")}\0 `, second + 148, "latin1");
  await writeFile(at("torn/a-whole.tar"), good);
  await writeFile(at("torn/b-cut.tar"), good.subarray(0, second + 600));
  await writeFile(at("torn/c-not.tar"), Buffer.alloc(2000, "no tar"));
  await writeFile(at("torn/d-huge.tar"), huge);
  await writeFile(at("torn/e-not.parquet"), "PAR1 no table PAR1");
  await writeFile(at("torn/f-last.png"), bytes);
  await symlink(at("nowhere.png"), at("torn/g-link.png"));
  execFileSync("mkfifo", [at("torn/h-pipe.png")]);
  const run = await label("torn-to", ["torn"], "--format", "coco");
  expect(run.code).toBe(2);
  // Two of the whole shard, one before each of two faults, and the file after them all.
  expect(json<Summary>(run)).toMatchObject({ pictures: 11, labelled: 5, setAside: 6 });
  const aside = JSON.parse(await readFile(at("torn-to/set-aside.json"), "utf8"));
  const reasons = [
    /torn\/b-cut\.tar: the archive ends within a file at byte/,
    /torn\/c-not\.tar: it is no tar archive/,
    /torn\/d-huge\.tar: the archive ends within a file at byte/,
    /torn\/e-not\.parquet: it is no readable Parquet file/,
    /torn\/g-link\.png: no such file/,
    /torn\/h-pipe\.png: no file \(a pipe, device or folder\)/,
  ];
  for (const [i, reason] of reasons.entries()) {
    expect(aside[i].error).toMatch(reason);
    expect(run.stderr).toMatch(reason);
  }
  await writeFile(at("torn/b-cut.tar"), good);
  const mended = json<Summary>(await label("torn-to", ["torn"], "--format", "coco"));
  expect(mended).toMatchObject({ labelled: 6, setAside: 5 });
  // Shards as a shell finds them: one without pictures does not end the others.
  await writeFile(at("empty.tar"), tarEnd());
  const named = await label("torn-named", ["empty.tar", "torn/a-whole.tar"]);
  expect(json<Summary>(named)).toMatchObject({ labelled: 2, setAside: 1 });
  expect(named.stderr).toMatch(/empty\.tar: no pictures in it/);
});

test("what a run has drawn into a folder of pictures is not labelled by the next", async () => {
  await mkdir(at("around"), { recursive: true });
  for (let n = 0; n < 3; n++) await writeFile(at("around", `${n}.png`), await pictureBytes(n));
  for (const source of ["around", "around", "around/**/*.png"]) {
    const run = await label("around/labelled", [source], "--format", "png,coco");
    expect(json<Summary>(run)).toMatchObject({ pictures: 3, labelled: 3 });
  }
  // A folder above the pictures is none that they lie in.
  expect(json<Summary>(await label(".", ["around/[0-9].png"])).labelled).toBe(3);
  const refused = await label("around", ["around/"]);
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringMatching(/--to around: the pictures lie there; name another folder/),
  ]);
});

test("a run without a result binds nobody, and --fresh takes nothing that is not its own", async () => {
  await mkdir(at("hollow"), { recursive: true });
  await writeFile(at("utf16.txt"), Buffer.from("\ufeffpictures/0/picture-0.png\n", "utf16le"));
  const wrong = await label("claimed", ["@utf16.txt"]);
  expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringMatching(/it is no UTF-8 text/)]);
  expect((await label("claimed", ["hollow"], "--top-k", "2")).code).toBe(2);
  await writeFile(at("claimed/results/own.txt"), "mine");
  const one = "pictures/0/picture-0.png";
  expect(json<Summary>(await label("claimed", [one], "--top-k", "3")).labelled).toBe(1);
  expect((await label("claimed", [one], "--top-k", "2")).stderr).toMatch(/holds other results/);
  const fresh = await label("claimed", [one], "--top-k", "2", "--fresh");
  expect(json<Summary>(fresh)).toMatchObject({ labelled: 1, stood: 0 });
  expect(await readFile(at("claimed/results/own.txt"), "utf8")).toBe("mine");
});

test.each([
  [["nowhere"], [], /nowhere: it does not exist/],
  [["pictures"], ["--format", "voc"], /"voc" is unknown; choose from png, coco/],
  [["pictures"], ["--format", "cvat", "--labels", "a:b"], /CVAT: label "a:b" holds a colon/],
  [["pictures"], ["--to", "list.txt/x"], /list\.txt\/x.*: cannot be written \(ENOTDIR\); choose a/],
  [["pictures"], ["--to", "/proc/none"], /\/proc\/none.*: cannot be written \(ENOENT\)/],
  [["pictures"], ["--to", ""], /--to "": name a folder/],
  [["pictures"], ["--queue", "http://secret@x"], /--queue: no address of Redis; write redis:/],
] as const)("%j %j ends with code 2 and says why", async (sources, options, message) => {
  const { code, stderr } = await label("none", [...sources], ...options);
  expect(code).toBe(2);
  expect(stderr).toMatch(message);
  expect(stderr).not.toContain("secret");
});

async function finished(to: string): Promise<number> {
  const files = await filesOf(at(to)).catch(() => new Map<string, string>());
  return [...files.keys()].filter((file) => file.endsWith(".done.jsonl")).length;
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(10);
}

function childrenOf(pid: number): number[] {
  return execFileSync("ps", ["-o", "pid=", "--ppid", `${pid}`], { encoding: "utf8" })
    .trim()
    .split(/\s+/)
    .map(Number);
}
