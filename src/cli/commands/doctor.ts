// groupvit doctor: what runs on this machine, what does not, and what to do about it.

import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { readdir, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import type { hubSettings } from "../../checkpoint/hub.node.js";
import { byteSize } from "../progress.js";
import { interruption, oneLine, print } from "../terminal.js";
import { heading } from "../text.js";

const PROBE_MS = 60_000;
/** Formats that the package reads, as sharp names them, with the endings people know. */
const FORMATS = { jpeg: "JPEG", png: "PNG", webp: "WebP", gif: "GIF", tiff: "TIFF", heif: "AVIF" };
const INSTALL_CUDA =
  "ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install";

type Hub = { endpoint: string; offline: boolean; token: boolean } | { error: string };

interface Provider {
  device: string;
  usable: boolean;
  /** Why not, or how to get it. */
  note?: string;
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("Say what runs on this machine, what does not, and what to do about it.")
    .option("--json", "print one JSON document instead of text")
    .addHelpText(
      "after",
      `
Tries every device with a small computation. Tokens and passwords are never printed.
Exit code 2 if pictures cannot be segmented at all.

Examples:
  groupvit doctor
  groupvit doctor --json > report.json`,
    )
    .action(run);
}

async function run({ json }: { json?: boolean }): Promise<void> {
  const providers = await Promise.all(["cpu", "cuda", "webgpu", "wasm"].map(probe));
  interruption.signal.throwIfAborted();
  // One by one: the package as a whole does not load where its picture library does not.
  const { hubSettings } = await import("../../checkpoint/hub.node.js");
  const { cacheFolder } = await import("../../segment/word-store.node.js");
  const settings = readHub(hubSettings);
  const report = {
    groupvit: packageVersion(new URL("../../../package.json", import.meta.url)),
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    processor: cpus()[0]?.model.trim() ?? "unknown",
    threads: availableParallelism(),
    memory: { total: totalmem(), free: freemem() },
    onnxruntime: installedVersion("onnxruntime-node"),
    providers,
    pictures: await pictureSupport(),
    model: await bundledModel(),
    hub: settings.hub,
    caches: await sizes({ words: cacheFolder(), models: settings.cacheDir }),
  };
  if (json) await print(`${JSON.stringify(report, null, 2)}\n`);
  else await print(describe(report));
  if (!providers[0]!.usable || report.pictures.error !== undefined) process.exitCode = 2;
}

/** Runs a computation on the device in a process of its own. */
async function probe(device: string): Promise<Provider> {
  const script = fileURLToPath(new URL("../probe.js", import.meta.url));
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [script, device],
      { timeout: PROBE_MS, encoding: "utf8" },
      (error, stdout) => {
        if (!error) return resolve({ device, usable: true });
        // Of a message with advice for other commands, what the engine said.
        const said = /\((.*?)\); run `groupvit doctor`/s.exec(stdout)?.[1] ?? stdout.trim();
        const why = error.killed
          ? `no answer within ${PROBE_MS / 1000} s`
          : said.replace(/^\/.* was false\. /s, "") ||
            `the process ended (${error.signal ?? error.code})`;
        resolve({ device, usable: false, note: oneLine(why) });
      },
    );
  });
}

async function pictureSupport() {
  try {
    const { default: sharp } = await import("sharp");
    const formats = Object.entries(FORMATS).filter(
      ([name]) =>
        (sharp.format as unknown as Record<string, { input: { buffer: boolean } }>)[name]?.input
          .buffer,
    );
    return {
      sharp: sharp.versions.sharp ?? installedVersion("sharp"),
      libvips: sharp.versions.vips,
      formats: formats.map(([, name]) => name),
    };
  } catch (error) {
    return { sharp: installedVersion("sharp"), error: oneLine((error as Error).message) };
  }
}

async function bundledModel() {
  const folder = fileURLToPath(new URL("../../../models/scenes", import.meta.url));
  const present = existsSync(join(folder, "config.json"));
  return { folder, present, bytes: present ? await folderSize(folder) : 0 };
}

/** The Hub's settings without the token itself, or what is wrong with them. */
function readHub(read: typeof hubSettings): { hub: Hub; cacheDir?: string } {
  try {
    const { endpoint, offline, token, cacheDir } = read(process.env);
    return { hub: { endpoint, offline, token: token !== undefined }, cacheDir };
  } catch (error) {
    return { hub: { error: (error as Error).message } };
  }
}

async function sizes(folders: Record<string, string | undefined>) {
  const list = [];
  for (const [what, folder] of Object.entries(folders)) {
    if (folder !== undefined) list.push({ what, folder, bytes: await folderSize(folder) });
  }
  return list;
}

/** Bytes of all files below; links count nothing, as in the Hub's cache they point to blobs beside. */
async function folderSize(folder: string): Promise<number> {
  let bytes = 0;
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) bytes += await folderSize(path);
    else if (entry.isFile()) bytes += (await stat(path).catch(() => ({ size: 0 }))).size;
  }
  return bytes;
}

function installedVersion(name: string): string | undefined {
  try {
    // Not through `require.resolve("name/package.json")`, which packages may forbid.
    let folder = dirname(createRequire(import.meta.url).resolve(name));
    while (dirname(folder) !== folder) {
      const file = join(folder, "package.json");
      if (existsSync(file) && JSON.parse(readFileSync(file, "utf8")).name === name) {
        return packageVersion(file);
      }
      folder = dirname(folder);
    }
  } catch {}
  return undefined;
}

function packageVersion(file: string | URL): string {
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

function describe(report: {
  groupvit: string;
  node: string;
  platform: string;
  processor: string;
  threads: number;
  memory: { total: number; free: number };
  onnxruntime: string | undefined;
  providers: Provider[];
  pictures: Awaited<ReturnType<typeof pictureSupport>>;
  model: Awaited<ReturnType<typeof bundledModel>>;
  hub: Hub;
  caches: Awaited<ReturnType<typeof sizes>>;
}): string {
  const lines: string[] = [];
  const line = (name: string, text: string) => lines.push(`  ${name.padEnd(12)} ${text}`);
  const section = (name: string) => lines.push("", heading(name));

  lines.push(heading(`groupvit ${report.groupvit}`));
  line("node", `${report.node} on ${report.platform}`);
  line("processor", `${report.processor}, ${report.threads} threads`);
  line("memory", `${byteSize(report.memory.free)} free of ${byteSize(report.memory.total)}`);

  section(`Devices (ONNX Runtime ${report.onnxruntime ?? "is not installed: run npm install"})`);
  for (const { device, usable, note } of report.providers) {
    line(device, usable ? "works" : `no: ${note}`);
  }
  if (!report.providers.find(({ device }) => device === "cuda")?.usable) {
    lines.push(
      "  For NVIDIA GPUs: with CUDA 12 and cuDNN 9 installed, fetch ONNX Runtime's CUDA part,",
      "  which npm leaves out, in the folder of your package.json:",
      `    ${INSTALL_CUDA}`,
    );
  }

  section("Pictures");
  if (report.pictures.error !== undefined) {
    line("sharp", `does not load: ${report.pictures.error}`);
    lines.push("  Run: npm install --include=optional sharp");
  } else {
    line("sharp", `${report.pictures.sharp} with libvips ${report.pictures.libvips}`);
    line("reads", report.pictures.formats!.join(", "));
  }

  section("Models");
  line(
    "bundled",
    report.model.present
      ? `${report.model.folder}, ${byteSize(report.model.bytes)}`
      : `missing (${report.model.folder}); use --model`,
  );
  if ("error" in report.hub) line("Hub", report.hub.error);
  else {
    line(
      "Hub",
      `${report.hub.endpoint}${report.hub.offline ? ", offline mode" : ""}, ${
        report.hub.token ? "with a token" : "no token"
      }`,
    );
  }

  section("Caches, safe to delete");
  for (const { what, folder, bytes } of report.caches)
    line(what, `${byteSize(bytes)} in ${folder}`);
  return `${lines.join("\n")}\n`;
}
