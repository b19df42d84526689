// Hub downloads against a Hub on this machine: the layout of the cache, what is fetched, and every way
// in which servers, networks and other processes go wrong.

import { spawn } from "node:child_process";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  type HubFault,
  type HubRequest,
  type HubServer,
  hubEtag,
  hubRepository,
  sendBytes,
  startBytes,
  startHub,
} from "../../test/support/hub-server.js";
import { HubError } from "../errors.js";
import { Random } from "../random.js";
import { downloadModel, type HubOptions, type HubProgress, hubSettings } from "./hub.node.js";
import { isHubId, parseListing, shardNames } from "./hub-files.js";

const ID = "someone/groupvit-test";
const FOLDER = "models--someone--groupvit-test";
const random = new Random(7);
const WEIGHTS = Uint8Array.from({ length: 400_001 }, () => random.integer(256));
const FILES = {
  "config.json": '{"model_type":"groupvit"}',
  "preprocessor_config.json": "{}",
  "tokenizer.json": '{"version":"1.0"}',
  "vocab.json": "{}",
  "merges.txt": "",
  "model.safetensors": WEIGHTS,
};
const UNWANTED = {
  "README.md": "# model",
  "pytorch_model.bin": new Uint8Array(1000),
  "training/optimizer.bin": new Uint8Array(1000),
};

// Lets one test refuse links the way some file systems do.
const linking = vi.hoisted(() => ({ symbolic: true, hard: true }));
vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  const refuse = () => Promise.reject(Object.assign(new Error("EPERM"), { code: "EPERM" }));
  return {
    ...fs,
    symlink: (...args: Parameters<typeof fs.symlink>) =>
      linking.symbolic ? fs.symlink(...args) : refuse(),
    link: (...args: Parameters<typeof fs.link>) => (linking.hard ? fs.link(...args) : refuse()),
  };
});

// Real waits of up to four seconds, on machines that may be busy.
vi.setConfig({ testTimeout: 20_000 });

let hub: HubServer;
let cacheDir: string;
let bundle: string;
const root = mkdtempSync(join(tmpdir(), "hub-test-"));

beforeAll(async () => {
  for (const name of Object.keys(process.env)) {
    if (/^(HF_|HUGGING|TRANSFORMERS_|XDG_CACHE)/.test(name)) vi.stubEnv(name, undefined);
  }
  vi.stubEnv("HF_HOME", join(root, "home"));
  bundle = join(root, "bundle.mjs");
  await build({
    entryPoints: ["src/checkpoint/hub.node.ts"],
    outfile: bundle,
    bundle: true,
    platform: "node",
    format: "esm",
  });
});
beforeEach(async () => {
  hub = await startHub({ [ID]: hubRepository({ ...FILES, ...UNWANTED }) });
  cacheDir = mkdtempSync(join(root, "cache-"));
});
afterEach(() => hub.close());
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(root, { recursive: true, force: true });
});

const download = (options: HubOptions = {}) =>
  downloadModel(ID, { endpoint: hub.endpoint, cacheDir, ...options });
const blobs = () => {
  const folder = join(cacheDir, FOLDER, "blobs");
  return existsSync(folder) ? readdirSync(folder) : [];
};
const partials = () => blobs().filter((name) => name.endsWith(".incomplete"));
const weightGets = () =>
  hub.requests.filter((r) => r.method === "GET" && r.host === "storage" && /model\./.test(r.path));
const isWeights = (request: HubRequest) => request.host === "storage" && request.method === "GET";

/** The HubError that `run` ends with; fails where it ends otherwise. */
async function hubErrorOf(run: Promise<unknown>): Promise<string> {
  const error = await run.then(
    () => new Error("no error"),
    (error) => error,
  );
  expect(error).toBeInstanceOf(HubError);
  expect(error.name).toBe("HubError");
  return error.message;
}

function expectWhole(snapshot: string): void {
  expect(readFileSync(join(snapshot, "model.safetensors")).equals(WEIGHTS)).toBe(true);
  expect(partials()).toEqual([]);
}

/** Sends the first `count` bytes of what is asked for, then cuts the connection. */
function cutAfter(count: number, times: number): HubFault {
  return (request, response) => {
    if (!isWeights(request) || times-- <= 0) return false;
    const part = startBytes(request, response, WEIGHTS).subarray(0, count);
    response.write(part, () => setTimeout(() => response.destroy(), 20));
    return true;
  };
}

/** Sends the weights in `parts` pieces, `pauseMs` apart. */
function slowly(parts: number, pauseMs: number): HubFault {
  return (request, response) => {
    if (!isWeights(request)) return false;
    let rest = startBytes(request, response, WEIGHTS);
    const step = Math.ceil(WEIGHTS.length / parts);
    const timer = setInterval(() => {
      response.write(rest.subarray(0, step));
      rest = rest.subarray(step);
      if (rest.length === 0) response.end();
    }, pauseMs);
    response.on("close", () => clearInterval(timer));
    return true;
  };
}

/** Runs downloadModel in a process of its own; `limit` is a shell command that comes before it. */
function child(limit = "true") {
  const code = `import { downloadModel } from ${JSON.stringify(bundle)};
    try { console.log(await downloadModel(${JSON.stringify(ID)})); }
    catch (error) { console.log(error.name + ": " + error.message); }`;
  const script = '"$1" --input-type=module -e "$2"';
  const process_ = spawn("sh", ["-c", `${limit}; exec ${script}`, "sh", process.execPath, code], {
    env: { ...process.env, HF_HUB_CACHE: cacheDir, HF_ENDPOINT: hub.endpoint },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  process_.stdout.on("data", (data) => {
    output += data;
  });
  const ended = new Promise<string>((done) => process_.on("close", () => done(output.trim())));
  return { kill: () => process_.kill("SIGKILL"), ended };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((done) => setTimeout(done, 5));
}

describe("isHubId", () => {
  test("takes organisation/name by the Hub's rules and nothing else", () => {
    for (const id of ["nvidia/groupvit-gcc-yfcc", "a/b", "A_1/x.y-z", `${"o".repeat(96)}/_x`]) {
      expect([id, isHubId(id)]).toEqual([id, true]);
    }
    const wrong = [
      "",
      "gpt2",
      "a/b/c",
      "/a/b",
      "./model",
      "../model",
      "a/",
      "a/b.",
      "a/-b",
      "a/b--c",
    ];
    const more = [
      "a..b/c",
      "a/b.git",
      "a b/c",
      "a/b\n",
      "a\\b/c",
      "é/b",
      `a/${"n".repeat(97)}`,
      "C:/x",
    ];
    for (const id of [...wrong, ...more]) expect([id, isHubId(id)]).toEqual([id, false]);
  });

  test("never takes text that could leave a folder", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom("a", ".", "-", "/", "\\", "_", "\0") }),
        (text) => {
          if (isHubId(text)) expect(text).toMatch(/^\w([\w.-]*\w)?\/\w([\w.-]*\w)?$/);
          if (/\.\.|\\|\0/.test(text)) expect(isHubId(text)).toBe(false);
        },
      ),
      { seed: 1 },
    );
  });
});

describe("hubSettings", () => {
  test("finds the cache where huggingface_hub finds it", () => {
    const cache = (env: NodeJS.ProcessEnv) => hubSettings(env).cacheDir;
    expect(cache({})).toBe(join(homedir(), ".cache/huggingface/hub"));
    expect(cache({ XDG_CACHE_HOME: "/x" })).toBe("/x/huggingface/hub");
    expect(cache({ XDG_CACHE_HOME: "/x", HF_HOME: "~/h" })).toBe(join(homedir(), "h/hub"));
    expect(cache({ HF_HOME: "/h", HUGGINGFACE_HUB_CACHE: "/old" })).toBe("/old");
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a shell variable
    expect(cache({ HF_HUB_CACHE: "$BASE/${SUB}/c", BASE: "/b", SUB: "s" })).toBe("/b/s/c");
    expect(hubSettings({ HF_HUB_CACHE: "/c" }, { cacheDir: "/mine/$x" }).cacheDir).toBe("/mine/$x");
  });

  test("finds the token, and none where implicit tokens are disabled", () => {
    const home = mkdtempSync(join(root, "home-"));
    writeFileSync(join(home, "token"), "hf_file\n");
    writeFileSync(join(home, "other"), "hf_other");
    const env = { HF_HOME: home };
    expect(hubSettings(env).token).toBe("hf_file");
    expect(hubSettings({ ...env, HF_TOKEN_PATH: join(home, "other") }).token).toBe("hf_other");
    expect(hubSettings({ ...env, HF_TOKEN: "hf_env" }).token).toBe("hf_env");
    expect(hubSettings({ ...env, HF_TOKEN: "hf_env" }, { token: "hf_given" }).token).toBe(
      "hf_given",
    );
    const disabled = { ...env, HF_TOKEN: "hf_env", HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" };
    expect(hubSettings(disabled).token).toBe(undefined);
    expect(hubSettings(disabled, { token: "hf_given" }).token).toBe("hf_given");
    expect(() => hubSettings({ HF_TOKEN: "a\nb" })).toThrow(/^Hub token: it holds characters/);
  });

  test("reads the offline switches, the endpoint and the time limits", () => {
    for (const value of ["1", "TRUE", "yes", "On"]) {
      expect(hubSettings({ HF_HUB_OFFLINE: value }).offline).toBe(true);
      expect(hubSettings({ TRANSFORMERS_OFFLINE: value }).offline).toBe(true);
    }
    expect(hubSettings({ HF_HUB_OFFLINE: "0" }).offline).toBe(false);
    expect(hubSettings({ HF_HUB_OFFLINE: "1" }, { offline: false }).offline).toBe(false);
    expect(hubSettings({}).endpoint).toBe("https://huggingface.co");
    expect(hubSettings({ HF_ENDPOINT: "http://mirror/hf/" }).endpoint).toBe("http://mirror/hf");
    for (const endpoint of ["mirror", "ftp://mirror", "file:///etc"]) {
      expect(() => hubSettings({}, { endpoint })).toThrow(
        `Hub endpoint "${endpoint}": not a plain`,
      );
    }
    expect(() => hubSettings({}, { endpoint: "http://me:secret@mirror" })).not.toThrow(/secret/);
    expect(() => hubSettings({}, { endpoint: "http://me:secret@mirror" })).toThrow(HubError);
    expect(hubSettings({ HF_HUB_ETAG_TIMEOUT: "3" }).headTimeoutMs).toBe(3000);
    expect(hubSettings({ HF_HUB_DOWNLOAD_TIMEOUT: "x" }).bodyTimeoutMs).toBe(10_000);
  });
});

describe("a download", () => {
  test("leaves the layout of huggingface_hub: blobs by ETag, relative links, the reference", async () => {
    const snapshot = await download();
    const repository = hub.repositories.get(ID)!;
    expect(snapshot).toBe(join(cacheDir, FOLDER, "snapshots", repository.commit));
    expect(readdirSync(snapshot).sort()).toEqual(Object.keys(FILES).sort());
    for (const name of Object.keys(FILES)) {
      const bytes = repository.files.get(name)!;
      expect(readlinkSync(join(snapshot, name))).toBe(`../../blobs/${hubEtag(name, bytes)}`);
      expect(readFileSync(join(snapshot, name)).equals(bytes)).toBe(true);
    }
    // preprocessor_config.json and vocab.json are one blob
    expect(blobs().length).toBe(Object.keys(FILES).length - 1);
    expect(readFileSync(join(cacheDir, FOLDER, "refs", "main"), "utf8")).toBe(repository.commit);
    expect(readdirSync(join(cacheDir, FOLDER)).sort()).toEqual(["blobs", "refs", "snapshots"]);
  });

  test("asks for files as they are, not compressed", async () => {
    await download();
    expect(new Set(hub.requests.map((r) => r.headers["accept-encoding"]))).toEqual(
      new Set(["identity"]),
    );
  });

  test("costs one request when nothing is new, and only what changed when something is", async () => {
    const first = await download();
    hub.requests.length = 0;
    expect(await download()).toBe(first);
    expect(hub.requests.map((r) => r.method)).toEqual(["GET"]);

    hub.repositories.set(ID, hubRepository({ ...FILES, "config.json": '{"new":1}' }));
    hub.requests.length = 0;
    const second = await download();
    expect(second).not.toBe(first);
    expectWhole(second);
    const gets = hub.requests.filter((r) => r.method === "GET").map((r) => r.path.split("/").pop());
    expect(gets).toEqual(["main", "config.json"]);
    expect(readFileSync(join(first, "config.json"), "utf8")).toBe(FILES["config.json"]);
  });

  test("takes a tag, a pull request's reference and a commit as revision", async () => {
    const { commit, revisions } = hub.repositories.get(ID)!;
    revisions.push("v1.0", "refs/pr/1");
    const snapshot = await download({ revision: "refs/pr/1" });
    expect(readFileSync(join(cacheDir, FOLDER, "refs/refs/pr/1"), "utf8")).toBe(commit);
    expect(await download({ revision: "v1.0" })).toBe(snapshot);
    expect(await download({ revision: commit })).toBe(snapshot);
    expect(readdirSync(join(cacheDir, FOLDER, "refs")).sort()).toEqual(["refs", "v1.0"]);
  });

  test("reports progress that only grows and ends at the total", async () => {
    hub.fault = slowly(8, 30);
    const seen: HubProgress[] = [];
    await download({ onProgress: (progress) => seen.push(progress) });
    const sizes = Object.values(FILES).map((content) => content.length);
    const allTotal = sizes.reduce((a, b) => a + b);
    expect(seen.filter((p) => p.file === "model.safetensors").length).toBeGreaterThanOrEqual(4);
    for (let i = 1; i < seen.length; i++) {
      expect(seen[i].allLoaded).toBeGreaterThanOrEqual(seen[i - 1].allLoaded);
    }
    expect(seen[0]).toMatchObject({ file: "config.json", loaded: 0, allLoaded: 0, fileNumber: 1 });
    expect(seen[seen.length - 1]).toEqual({
      file: "model.safetensors",
      loaded: WEIGHTS.length,
      total: WEIGHTS.length,
      fileNumber: 6,
      files: 6,
      allLoaded: allTotal,
      allTotal,
    });
  });

  test("takes safetensors shards by their index, and pytorch_model.bin where that is all", async () => {
    const index = { weight_map: { a: "model-1-of-2.safetensors", b: "model-2-of-2.safetensors" } };
    const shards = { "model-1-of-2.safetensors": WEIGHTS, "model-2-of-2.safetensors": WEIGHTS };
    const config = { "config.json": "{}" };
    const bin = { "pytorch_model.bin": WEIGHTS };
    const text = JSON.stringify(index);
    const sharded = { ...config, ...bin, ...shards, "model.safetensors.index.json": text };
    hub.repositories.set(ID, hubRepository(sharded));
    const { "pytorch_model.bin": _, ...wanted } = sharded;
    const snapshot = await download();
    expect(readdirSync(snapshot).sort()).toEqual(Object.keys(wanted).sort());
    expect(await download({ offline: true })).toBe(snapshot);
    rmSync(join(snapshot, "model-2-of-2.safetensors"));
    expect(await hubErrorOf(download({ offline: true }))).toContain("is not complete in the cache");

    hub.repositories.set(ID, hubRepository({ ...config, ...bin }));
    expect(readdirSync(await download())).toEqual(["config.json", "pytorch_model.bin"]);
  });

  test.each([
    ["a hard link", { symbolic: false, hard: true }, 2],
    ["a copy", { symbolic: false, hard: false }, 1],
  ])("makes %s where symbolic links are refused", async (_, allowed, links) => {
    Object.assign(linking, allowed);
    try {
      const file = join(await download(), "model.safetensors");
      expect(lstatSync(file).isFile()).toBe(true);
      expect(statSync(file).nlink).toBe(links);
      expect(readFileSync(file).equals(WEIGHTS)).toBe(true);
      expect(readdirSync(join(file, "..")).sort()).toEqual(Object.keys(FILES).sort());
    } finally {
      Object.assign(linking, { symbolic: true, hard: true });
    }
  });
});

describe("the token", () => {
  test("reaches the Hub with every request and never the storage host", async () => {
    hub.repositories.get(ID)!.token = "hf_secret";
    await download({ token: "hf_secret" });
    for (const { host, headers } of hub.requests) {
      expect(headers.authorization).toBe(host === "hub" ? "Bearer hf_secret" : undefined);
    }
    expect(weightGets().length).toBe(1);
  });

  test("is not sent again by a host that redirects back to the Hub", async () => {
    let times = 1;
    hub.fault = (request, response) => {
      if (!isWeights(request) || times-- <= 0) return false;
      response.writeHead(302, { location: `${hub.endpoint}/steal` }).end();
      return true;
    };
    await download({ token: "hf_secret" });
    const back = hub.requests.filter((request) => request.path === "/steal");
    expect(back.map(({ headers }) => headers.authorization)).toEqual([undefined]);
  });

  test("survives the redirect of a renamed model on the same host", async () => {
    hub.repositories.get(ID)!.token = "hf_secret";
    hub.fault = (request, response) => {
      if (!request.path.includes("old/name")) return false;
      response.writeHead(307, { location: request.path.replace("old/name", ID) }).end();
      return true;
    };
    const options = { endpoint: hub.endpoint, cacheDir, token: "hf_secret" };
    expect(await downloadModel("old/name", options)).toContain("models--old--name");
  });
});

describe("an interrupted download", () => {
  test("goes on where the connection broke, as often as bytes arrive", async () => {
    hub.fault = cutAfter(70_000, 5);
    expectWhole(await download());
    const ranges = weightGets().map((request) => request.headers.range);
    const starts = [70_000, 140_000, 210_000, 280_000, 350_000];
    expect(ranges).toEqual([undefined, ...starts.map((start) => `bytes=${start}-`)]);
  });

  test("is resumed by the next call after an abort, which gives the signal's reason", async () => {
    hub.fault = slowly(40, 20);
    const controller = new AbortController();
    const reason = new Error("enough");
    const run = download({
      signal: controller.signal,
      onProgress: (p) =>
        p.loaded > 50_000 && p.total === WEIGHTS.length && controller.abort(reason),
    });
    await expect(run).rejects.toBe(reason);
    expect(partials().length).toBe(1);
    expect(existsSync(join(cacheDir, FOLDER, "refs"))).toBe(false);
    hub.fault = undefined;
    expectWhole(await download());
    const from = Number(/\d+/.exec(weightGets().at(-1)?.headers.range ?? "")?.[0]);
    expect(from).toBeGreaterThan(50_000);
  });

  test("is resumed after its process was killed", async () => {
    hub.fault = slowly(40, 20);
    const first = child();
    await until(() => partials().some((name) => partialSize(name) > 50_000));
    first.kill();
    await first.ended;
    const size = partialSize(partials()[0]);
    hub.fault = undefined;
    expectWhole(await download());
    expect(weightGets().at(-1)?.headers.range).toBe(`bytes=${size}-`);
  });

  test("starts again where the server does not know ranges", async () => {
    const cut = cutAfter(100_000, 1);
    hub.fault = (request, response) => {
      if (cut(request, response)) return true;
      if (isWeights(request)) delete request.headers.range;
      return false;
    };
    expectWhole(await download());
    expect(weightGets().length).toBe(2);
  });

  test("starts again where what is on disk was damaged", async () => {
    const etag = hubEtag("model.safetensors", WEIGHTS);
    mkdirSync(join(cacheDir, FOLDER, "blobs"), { recursive: true });
    const partial = join(cacheDir, FOLDER, "blobs", `${etag}.free.0123456789ab.incomplete`);
    writeFileSync(partial, new Uint8Array(150_000));
    expectWhole(await download());
    expect(weightGets().map((request) => request.headers.range)).toEqual([
      "bytes=150000-",
      undefined,
    ]);
  });

  test("needs no request for a file that is whole but was not put in place", async () => {
    const etag = hubEtag("model.safetensors", WEIGHTS);
    mkdirSync(join(cacheDir, FOLDER, "blobs"), { recursive: true });
    const partial = join(cacheDir, FOLDER, "blobs", `${etag}.free.0123456789ab.incomplete`);
    writeFileSync(partial, WEIGHTS);
    expectWhole(await download());
    expect(weightGets()).toEqual([]);
  });

  test("takes over another machine's partial file only when it is old", async () => {
    const etag = hubEtag("model.safetensors", WEIGHTS);
    mkdirSync(join(cacheDir, FOLDER, "blobs"), { recursive: true });
    const foreign = join(cacheDir, FOLDER, "blobs", `${etag}.00000000-1.0123456789ab.incomplete`);
    const age = (seconds: number) =>
      utimesSync(foreign, Date.now() / 1000 - seconds, Date.now() / 1000 - seconds);
    writeFileSync(foreign, WEIGHTS.subarray(0, 1000));
    age(60); // silent, but perhaps alive: left alone
    const snapshot = await download();
    expect(partials()).toEqual([foreign.split("/").pop()]);
    expect(weightGets()[0].headers.range).toBe(undefined);
    rmSync(snapshot, { recursive: true });
    rmSync(join(cacheDir, FOLDER, "blobs", etag));
    age(600);
    expectWhole(await download());
    expect(weightGets()[1].headers.range).toBe("bytes=1000-");
  });

  function partialSize(name: string): number {
    // Another process may rename it between two looks.
    const path = join(cacheDir, FOLDER, "blobs", name);
    return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  }
});

describe("two downloads at once", () => {
  test("in one process fetch the weights once", async () => {
    hub.fault = slowly(10, 30);
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    const first = download({ onWarning });
    await until(() => weightGets().length === 1 && partials().length === 1);
    const [a, b] = await Promise.all([first, download({ onWarning })]);
    expect(a).toBe(b);
    expectWhole(a);
    expect(weightGets().length).toBe(1);
    expect(warnings).toEqual([
      `Hub file ${ID}/model.safetensors: another download of it is running; waiting for it`,
    ]);
  });

  test("in three processes started together leave one whole copy", async () => {
    hub.fault = slowly(10, 30);
    const outputs = await Promise.all([child().ended, child().ended, child().ended]);
    expect(new Set(outputs).size).toBe(1);
    expectWhole(outputs[0]);
    expect(readdirSync(outputs[0]).sort()).toEqual(Object.keys(FILES).sort());
  });

  test("go on with the second where the first is killed", async () => {
    hub.fault = slowly(40, 20);
    const first = child();
    await until(() => weightGets().length === 1 && partials().length === 1);
    const second = download();
    await new Promise((done) => setTimeout(done, 300));
    hub.fault = undefined;
    first.kill();
    expectWhole(await second);
    expect(weightGets().length).toBe(2);
    expect(weightGets()[1].headers.range).toMatch(/^bytes=\d+-$/);
  });
});

describe("a server that lies", () => {
  test.each([
    ["model.safetensors", "storage"],
    ["config.json", "hub"],
  ])("about the checksum of %s gets nothing of it into the cache", async (name, host) => {
    const right = hub.repositories.get(ID)!.files.get(name)!;
    const wrong = right.slice();
    wrong[wrong.length >> 1] ^= 1;
    hub.fault = (request, response) => {
      const hit =
        request.method === "GET" && request.host === host && request.path.includes(`/${name}`);
      if (hit) sendBytes(request, response, wrong);
      return hit;
    };
    expect(await hubErrorOf(download())).toMatch(
      `Hub file ${ID}/${name}: the checksum is not the `,
    );
    expect(partials()).toEqual([]);
    expect(blobs()).not.toContain(hubEtag(name, right));
    hub.fault = undefined;
    expectWhole(await download());
  });

  test.each([
    [
      "fewer bytes than announced",
      (r: Uint8Array) => r.subarray(0, 1000),
      'sends "1000" bytes where 400001',
    ],
    [
      "more bytes than announced",
      (r: Uint8Array) => new Uint8Array([...r, 1]),
      'sends "400002" bytes',
    ],
  ])("with %s", async (_, change, text) => {
    hub.fault = (request, response) => {
      if (isWeights(request)) sendBytes(request, response, change(WEIGHTS));
      return isWeights(request);
    };
    expect(await hubErrorOf(download())).toContain(text);
    expect(partials()).toEqual([]);
    expect(weightGets().length).toBe(1);
  });

  test("with an endless body is cut off at the announced size", async () => {
    let sent = 0;
    hub.fault = (request, response) => {
      if (!isWeights(request)) return false;
      const more = () => {
        while (!response.destroyed && response.write(WEIGHTS)) sent += WEIGHTS.length;
      };
      response.on("drain", more);
      more();
      return true;
    };
    expect(await hubErrorOf(download())).toContain("sends more than the 400001 bytes announced");
    expect(sent).toBeLessThan(100 * WEIGHTS.length);
    expect(partials()).toEqual([]);
  });

  test("with an endless file list is cut off", async () => {
    hub.fault = (_, response) => {
      const spaces = Buffer.alloc(1 << 20, " ");
      const more = () => {
        while (!response.destroyed && response.write(spaces));
      };
      response.on("drain", more);
      more();
      return true;
    };
    expect(await hubErrorOf(download())).toContain("file list is longer than 64000000 bytes");
  });

  test("about the range that it sends", async () => {
    const cut = cutAfter(100_000, 1);
    hub.fault = (request, response) => {
      if (cut(request, response)) return true;
      if (!isWeights(request)) return false;
      response.writeHead(206, { "content-range": "bytes 0-400000/400001" }).end(WEIGHTS);
      return true;
    };
    expect(await hubErrorOf(download())).toContain('asked for "bytes 100000-400000/400001"');
    expect(partials()).toEqual([]);
  });

  test.each([
    ["../../evil", "x-linked-etag", 'gives the ETag "../../evil", which is no checksum'],
    ["", "x-linked-etag", 'gives the ETag "", which is no checksum'],
    [
      "99999999999999",
      "x-linked-size",
      'gives the size "99999999999999", not 0 to 20000000000 bytes',
    ],
    ["-1", "x-linked-size", 'gives the size "-1"'],
    ["0x10", "x-linked-size", 'gives the size "0x10"'],
  ])("with %j as %s", async (value, header, text) => {
    hub.fault = (request, response) => {
      if (request.method !== "HEAD" || !request.path.endsWith("model.safetensors")) return false;
      response.writeHead(302, {
        "x-linked-etag": `"${"0".repeat(64)}"`,
        "x-linked-size": "5",
        location: hub.storage,
        [header]: value,
      });
      response.end();
      return true;
    };
    expect(await hubErrorOf(download())).toContain(text);
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  test("with file names that leave the model's folder", async () => {
    for (const name of [
      "../x",
      "a/../../x",
      "/etc/passwd",
      "a\\..\\x",
      "C:\\x",
      "a\0b",
      "a//b",
      ".",
    ]) {
      hub.repositories.set(ID, hubRepository({ ...FILES, [name]: "evil" }));
      expect(await hubErrorOf(download())).toContain(
        `lists the file ${JSON.stringify(name)}, which`,
      );
    }
    expect(readdirSync(cacheDir)).toEqual([]);
  });

  test("with shard names that are no plain file names", async () => {
    for (const name of [
      "../x.safetensors",
      "/x.safetensors",
      "a/b.safetensors",
      ".safetensors",
      "x.bin",
    ]) {
      const text = JSON.stringify({ weight_map: { a: name } });
      expect(() => shardNames(text, "model.safetensors.index.json")).toThrow(HubError);
      const files = { "config.json": "{}", "model.safetensors.index.json": text };
      hub.repositories.set(ID, hubRepository(files));
      expect(await hubErrorOf(download())).toContain(`it names the shard ${JSON.stringify(name)}`);
    }
    expect(
      shardNames('{"weight_map":{"a":"x.bin","b":"x.bin"}}', "pytorch_model.bin.index.json"),
    ).toEqual(["x.bin"]);
  });

  test("with any other answer than a file list is a HubError", () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        expect(() => parseListing(text, ID)).toThrow(HubError);
      }),
      { seed: 2 },
    );
  });

  test.each(["file:///etc/passwd", "http://", "javascript:1", "http://me:secret@localhost/"])(
    "with a redirect to %s",
    async (location) => {
      hub.fault = (_, response) => {
        response.writeHead(302, { location }).end();
        return true;
      };
      expect(await hubErrorOf(download())).toContain(`redirects to ${JSON.stringify(location)}`);
    },
  );

  test("with redirects that never end", async () => {
    hub.fault = (request, response) => {
      response.writeHead(302, { location: `${request.path}x` }).end();
      return true;
    };
    expect(await hubErrorOf(download())).toContain("more than 8 redirects");
    expect(hub.requests.length).toBe(9);
  });
});

describe("a refusal", () => {
  test("of a model that does not exist or is private", async () => {
    const unknown = downloadModel("no/such", { endpoint: hub.endpoint, cacheDir });
    const text = `no such model at ${hub.endpoint}, or it is private: check the spelling`;
    expect(await hubErrorOf(unknown)).toContain(`Hub model no/such: ${text}`);
    hub.repositories.get(ID)!.token = "hf_right";
    expect(await hubErrorOf(download())).toContain("for a private model set HF_TOKEN");
    const message = await hubErrorOf(download({ token: "hf_wrong" }));
    expect(message).toContain("set HF_TOKEN to a token that may read it");
    expect(message).not.toContain("hf_wrong");
  });

  test("of a gated model", async () => {
    Object.assign(hub.repositories.get(ID)!, { token: "hf_right", gated: true });
    const text = `access is gated: accept the conditions at ${hub.endpoint}/${ID}, then set HF_TOKEN`;
    expect(await hubErrorOf(download())).toContain(text);
    expect(await hubErrorOf(download({ token: "hf_wrong" }))).toContain(text);
    expectWhole(await download({ token: "hf_right" }));
  });

  test("of a token that has expired", async () => {
    hub.fault = (_, response) => !!response.writeHead(401).end();
    expect(await hubErrorOf(download({ token: "hf_old" }))).toContain("refuses the token (401)");
    expect(await hubErrorOf(download())).toContain("asks for a token (401): set HF_TOKEN");
  });

  test("of a revision that does not exist, or cannot", async () => {
    expect(await hubErrorOf(download({ revision: "nope" }))).toContain('has no revision "nope"');
    for (const revision of [
      "../x",
      "a..b",
      "",
      "/a",
      "a/",
      "a//b",
      "a\0b",
      ".a",
      "a\\b",
      "x.lock",
    ]) {
      expect(await hubErrorOf(download({ revision }))).toMatch(/^Hub revision .*: not the name of/);
    }
    expect(hub.requests.length).toBe(1);
  });

  test("of a repository without weights or without a config", async () => {
    hub.repositories.set(ID, hubRepository({ "config.json": "{}", "model.gguf": "x" }));
    expect(await hubErrorOf(download())).toContain("it has no model.safetensors, ");
    hub.repositories.set(ID, hubRepository({ "model.safetensors": "x" }));
    expect(await hubErrorOf(download())).toContain("it has no config.json, so it is no GroupViT");
  });

  test("of text that is no id, before any request", async () => {
    expect(await hubErrorOf(downloadModel("../x", { endpoint: hub.endpoint }))).toContain(
      "not a model id",
    );
    expect(hub.requests).toEqual([]);
  });

  test("by a full disk says so and is resumed", async () => {
    const message = await child("ulimit -f 200").ended; // 512-byte blocks
    expect(message).toMatch(
      /^HubError: Hub cache .*: no space left \(EFBIG\): free some, then run again/,
    );
    expectWhole(await download());
    expect(weightGets().at(-1)?.headers.range).toBe("bytes=102400-");
  });

  test("by a cache folder that cannot be made", async () => {
    const file = join(root, "a-file");
    writeFileSync(file, "");
    expect(await hubErrorOf(download({ cacheDir: join(file, "hub") }))).toMatch(
      /^Hub cache .*a-file\/hub: cannot mkdir .* \(ENOTDIR\); another folder may be given by HF_HUB_CACHE$/,
    );
  });
});

describe("a server in trouble", () => {
  const answerFirst = (times: number, status: number, headers = {}): HubFault => {
    return (_, response) => times-- > 0 && !!response.writeHead(status, headers).end();
  };

  test("is asked again after the time that it names", async () => {
    hub.fault = answerFirst(1, 429, { "retry-after": "1" });
    const started = performance.now();
    expectWhole(await download());
    expect(performance.now() - started).toBeGreaterThan(950);
  });

  test("is asked again after a pause where it names none", async () => {
    hub.fault = answerFirst(2, 503);
    expectWhole(await download());
  });

  test("is not waited for where it names an hour", async () => {
    hub.fault = answerFirst(1, 429, { "retry-after": "3600" });
    const message = await hubErrorOf(download());
    expect(message).toContain(
      `${hub.endpoint} answers 429 and asks to wait 3600 s. Without a network`,
    );
    expect(hub.requests.length).toBe(1);
  });

  test("is given up after five attempts", async () => {
    hub.fault = (request, response) => isWeights(request) && !!response.destroy();
    expect(await hubErrorOf(download())).toContain(`lost the connection to ${hub.storage}`);
    expect(weightGets().length).toBe(5);
  });

  test("gets a new link where the old one has expired", async () => {
    let times = 1;
    hub.fault = (request, response) =>
      isWeights(request) && times-- > 0 && !!response.writeHead(403).end();
    expectWhole(await download());
    expect(weightGets().length).toBe(2);
  });

  test("that falls silent in a file is asked again for the rest", async () => {
    vi.stubEnv("HF_HUB_DOWNLOAD_TIMEOUT", "0.3");
    let times = 1;
    hub.fault = (request, response) => {
      if (!isWeights(request) || times-- <= 0) return false;
      response.setHeader("content-length", WEIGHTS.length);
      response.write(WEIGHTS.subarray(0, 5000));
      return true;
    };
    expectWhole(await download());
    expect(weightGets()[1].headers.range).toBe("bytes=5000-");
    vi.stubEnv("HF_HUB_DOWNLOAD_TIMEOUT", undefined);
  });

  test("that never answers is left after the time limit, or at once by an abort", async () => {
    hub.fault = () => true;
    vi.stubEnv("HF_HUB_ETAG_TIMEOUT", "0.2");
    expect(await hubErrorOf(download())).toContain(`${hub.endpoint} was silent for 0.2 s`);
    vi.stubEnv("HF_HUB_ETAG_TIMEOUT", undefined);
    const started = performance.now();
    const reason = new Error("enough");
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 50);
    await expect(download({ signal: controller.signal })).rejects.toBe(reason);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe("without a network", () => {
  test("offline uses the cache and asks nothing", async () => {
    const snapshot = await download();
    hub.requests.length = 0;
    expect(await download({ offline: true })).toBe(snapshot);
    for (const name of ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"]) {
      vi.stubEnv(name, "ON");
      expect(await download()).toBe(snapshot);
      vi.stubEnv(name, undefined);
    }
    expect(await download({ offline: true, revision: snapshot.slice(-40) })).toBe(snapshot);
    expect(hub.requests).toEqual([]);
  });

  test("offline with nothing or too little in the cache says what to do", async () => {
    expect(await hubErrorOf(download({ offline: true }))).toContain(
      `revision main is not complete in the cache ${cacheDir}. Without a network: on another machine`,
    );
    const snapshot = await download();
    rmSync(join(snapshot, "model.safetensors"));
    expect(await hubErrorOf(download({ offline: true }))).toContain("is not complete in the cache");
    expectWhole(await download());
    rmSync(join(cacheDir, FOLDER, "blobs", hubEtag("model.safetensors", WEIGHTS))); // a dangling link
    expect(await hubErrorOf(download({ offline: true }))).toContain("is not complete in the cache");
    expectWhole(await download());
  });

  test("a complete snapshot is used with a warning", async () => {
    const snapshot = await download();
    const warnings: string[] = [];
    const endpoint = hub.endpoint;
    await hub.close();
    const onWarning = (message: string) => warnings.push(message);
    expect(await download({ endpoint, onWarning })).toBe(snapshot);
    expect(warnings).toEqual([
      `Hub model ${ID}: cannot reach ${endpoint} (ECONNREFUSED); using the copy in ${snapshot}`,
    ]);
  });

  test("the older snapshot is used where an update breaks off", async () => {
    const snapshot = await download();
    const weights = WEIGHTS.map((byte) => byte ^ 1);
    hub.repositories.set(ID, hubRepository({ ...FILES, "model.safetensors": weights }));
    hub.fault = (request, response) =>
      isWeights(request) && !!response.writeHead(503, { "retry-after": "3600" }).end();
    const warnings: string[] = [];
    expect(await download({ onWarning: (message) => warnings.push(message) })).toBe(snapshot);
    expect(warnings[0]).toContain(`${hub.storage} answers 503 and asks to wait 3600 s; using`);
    hub.fault = undefined;
    const updated = await download();
    expect(readFileSync(join(updated, "model.safetensors")).equals(weights)).toBe(true);
  });

  test("the error says how to get the model by hand", async () => {
    await hub.close();
    const message = await hubErrorOf(download());
    expect(message).toContain(
      `Hub model ${ID}: cannot reach ${hub.endpoint} (ECONNREFUSED). Without`,
    );
    expect(message).toContain(
      `${hub.endpoint}/${ID}/tree/main into one folder and give that folder`,
    );
    expect(message).toContain(`cache folder ${FOLDER} into ${cacheDir}`);
    expect(message).toContain("HF_ENDPOINT");
  });
});
