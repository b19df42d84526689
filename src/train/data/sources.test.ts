import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { packTar, unpackTar } from "modern-tar";
import sharp from "sharp";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ConfigError, InputError } from "../../errors.js";
import { Random } from "../../random.js";
import { checkData } from "./check.js";
import { pictureFolder } from "./folder.js";
import { writeShards } from "./shard.js";
import { isSkipped, memorySource, type SampleSource, type SourceItem } from "./source.js";
import { readCells, readRecords } from "./tables.js";
import { readTar, tarEnd, tarFile } from "./tar.js";
import { expandBraces, readShard, webdataset } from "./webdataset.js";

let folder: string;
let picture: Uint8Array;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sources-test-"));
  picture = await sharp({ create: { width: 40, height: 40, channels: 3, background: "#369" } })
    .jpeg()
    .toBuffer();
});
afterAll(() => rm(folder, { recursive: true }));

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function* chunked(bytes: Uint8Array, size = 1000): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

function concat(parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

async function everything(source: SampleSource): Promise<SourceItem[]> {
  const out: SourceItem[] = [];
  for (const shard of source.shards()) out.push(...(await collect(source.open(shard))));
  return out;
}

/** "key: caption" or "key! reason" for each item. */
const summary = (items: SourceItem[]): string[] =>
  items.map((item) =>
    isSkipped(item) ? `${item.key}! ${item.skipped}` : `${item.key}: ${item.caption}`,
  );

describe("tar archives", () => {
  const all = () => 2 ** 20;

  it("written by another library, with long names, are read; whatever the chunks", async () => {
    const long = `${"folder/".repeat(20)}name.txt`;
    const archive = await packTar([
      { header: { name: "a.txt", size: 5, type: "file" }, body: "first" },
      { header: { name: "folder", size: 0, type: "directory" } },
      { header: { name: long, size: 6, type: "file" }, body: "second" },
      { header: { name: "link", size: 0, type: "symlink", linkname: "/etc/passwd" } },
      { header: { name: "ünï.txt", size: 0, type: "file" }, body: "" },
    ]);
    for (const size of [1, 511, 512, 513, 100_000]) {
      const entries = await collect(readTar(chunked(archive, size), "test", all));
      expect(entries.map((entry) => entry.name)).toEqual(["a.txt", long, "ünï.txt"]);
      expect(new TextDecoder().decode(entries[1]!.bytes)).toBe("second");
    }
  });

  it("written here are read by another library", async () => {
    const archive = concat([tarFile("a.txt", text("hello")), tarFile("b.jpg", picture), tarEnd()]);
    const entries = await unpackTar(archive);
    expect(entries.map((entry) => entry.header.name)).toEqual(["a.txt", "b.jpg"]);
    expect(new Uint8Array(entries[1]!.data!)).toEqual(new Uint8Array(picture));
  });

  it("never hold a file larger than asked for", async () => {
    const archive = concat([tarFile("big.jpg", new Uint8Array(5000)), tarFile("a.txt", text("x"))]);
    const entries = await collect(readTar(chunked(archive), "test", () => 4999));
    expect(entries.map((entry) => [entry.name, entry.size, entry.bytes?.length])).toEqual([
      ["big.jpg", 5000, undefined],
      ["a.txt", 1, 1],
    ]);
  });

  it("give the files before the break, then fail", async () => {
    const archive = concat([tarFile("a.txt", text("x")), tarFile("b.txt", new Uint8Array(3000))]);
    const names: string[] = [];
    const read = async (bytes: Uint8Array) => {
      for await (const entry of readTar(chunked(bytes), "cut.tar", all)) names.push(entry.name);
    };
    await expect(read(archive.subarray(0, 2000))).rejects.toThrow(
      /cut.tar: the archive ends within/,
    );
    expect(names).toEqual(["a.txt"]);
    const flipped = archive.slice();
    flipped[1024 + 3]! ^= 1;
    await expect(read(flipped)).rejects.toThrow(/broken tar header at byte 1024/);
  });

  it("may be any bytes: reading ends, with an InputError at most", async () => {
    const valid = concat([tarFile("a.jpg", picture), tarFile("a.txt", text("a dog")), tarEnd()]);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 6 }),
        fc.nat(valid.length),
        async (changes, length) => {
          const bytes = valid.slice(0, length);
          for (const [at, value] of changes) if (at < length) bytes[at] = value;
          try {
            await collect(readShard(chunked(bytes, 700), "fuzzed"));
          } catch (error) {
            expect(error).toBeInstanceOf(InputError);
          }
        },
      ),
      { seed: 3, numRuns: 300 },
    );
    const huge = tarFile("x", new Uint8Array(0));
    huge.set(text("77777777777"), 124);
    huge[156] = "x".charCodeAt(0);
    huge.set(text("        "), 148);
    const sum = huge.reduce((total, byte) => total + byte, 0);
    huge.set(text(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
    await expect(collect(readTar(chunked(huge), "huge", all))).rejects.toThrow(/name record/);
  });
});

describe("WebDataset shards", () => {
  it("give samples by key, with text before JSON, and say what is missing", async () => {
    const archive = concat([
      tarFile("000.jpg", picture),
      tarFile("000.txt", text("a dog")),
      tarFile("000.json", text('{"caption":"other","nouns":["dog"]}')),
      tarFile("001.JPG", picture),
      tarFile("001.json", text('{"caption":"from json","sha256":"x"}')),
      tarFile("002.png", picture),
      tarFile("003.txt", text("no picture here")),
      tarFile("004.jpg", picture),
      tarFile("004.txt", text("x".repeat(20_000))),
      tarFile("._005.jpg", picture),
      tarFile("../../../../tmp/evil.jpg", picture),
      tarFile("../../../../tmp/evil.txt", text("stays a key")),
      tarFile("notes.md", text("ignored")),
      tarEnd(),
    ]);
    const items = await collect(readShard(chunked(archive), "test"));
    expect(summary(items)).toEqual([
      "000: a dog",
      "001: from json",
      "002! no caption",
      "003! no picture",
      "004! caption too long",
      "../../../../tmp/evil: stays a key",
    ]);
    expect(items[0]).toMatchObject({ nouns: ["dog"] });
  });

  it("are named by braces, stars and folders", async () => {
    expect(expandBraces("a/{08..11}-{x,y}.tar").slice(0, 3)).toEqual([
      "a/08-x.tar",
      "a/08-y.tar",
      "a/09-x.tar",
    ]);
    expect(expandBraces("{0..10}.tar").at(-1)).toBe("10.tar");
    expect(() => expandBraces("{5..1}.tar")).toThrow(InputError);
    expect(expandBraces("{98..100}")).toEqual(["98", "99", "100"]);
    expect(expandBraces("{098..100}")).toEqual(["098", "099", "100"]);
    expect(expandBraces("{00..100..50}")).toEqual(["000", "050", "100"]);
    expect(expandBraces("{a{0..1},b,}.tar")).toEqual(["a0.tar", "a1.tar", "b.tar", ".tar"]);
    expect(expandBraces("{a}{b{1,2}")).toEqual(["{a}{b1", "{a}{b2"]);
    expect(expandBraces("{{1,2},{3,{4,5}}}")).toEqual(["1", "2", "3", "4", "5"]);
    expect(() => expandBraces("{0..4..0}.tar")).toThrow(/step/);
    expect(() => expandBraces("{".repeat(5000))).toThrow(/5000 characters/);
    expect(() => webdataset("s3://bucket/{0..9}.tar")).toThrow(/not from s3:/);
    expect(() => webdataset("pipe:aws s3 cp s3://bucket/0.tar -")).toThrow(/not from pipe:/);
    expect(() => expandBraces("{0..99999}{0..99999}.tar")).toThrow(/more than 1000000/);
    const shards = join(folder, "named");
    await mkdir(shards);
    for (const name of ["b.tar", "a.tar", "a.txt"]) await writeFile(join(shards, name), tarEnd());
    const names = (location: string) =>
      webdataset(location)
        .shards()
        .map((shard) => shard.name.slice(shards.length + 1));
    expect(names(shards)).toEqual(["a.tar", "b.tar"]);
    expect(names(join(shards, "?.tar"))).toEqual(["a.tar", "b.tar"]);
    expect(names(join(shards, "{a,c}.tar"))).toEqual(["a.tar", "c.tar"]);
    expect(() => webdataset(join(folder, "nothing", "*.tar"))).toThrow(InputError);
    await writeFile(join(folder, "c.tar"), gzipSync(randomBytes(2000)));
    await expect(everything(webdataset(join(folder, "c.tar")))).rejects.toThrow(
      /compressed.*gunzip/,
    );
    await writeFile(join(folder, "page.tar"), "<html>please log in</html>");
    await expect(everything(webdataset(join(folder, "page.tar")))).rejects.toThrow(
      /no tar archive/,
    );
    const missing = webdataset(join(shards, "{a,c}.tar"));
    await expect(collect(missing.open(missing.shards()[1]!))).rejects.toThrow(/does not exist/);
  });
});

describe("shards on a web server", () => {
  let server: Server;
  afterEach(() => new Promise((resolve) => server.close(resolve)));

  async function serve(
    answer: (
      start: number,
      attempt: number,
    ) => { status?: number; bytes?: Uint8Array; cut?: number },
    archive: Uint8Array,
  ): Promise<{ url: string; starts: number[] }> {
    const starts: number[] = [];
    server = createServer((request, response) => {
      const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
      starts.push(start);
      const { status = start > 0 ? 206 : 200, cut } = answer(start, starts.length - 1);
      if (status >= 400) return response.writeHead(status).end();
      const body = status === 206 ? archive.subarray(start) : archive;
      response.writeHead(status, { "content-length": body.length, etag: '"1"' });
      if (cut === undefined) return response.end(body);
      response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/0.tar`, starts };
  }

  const archive = (): Uint8Array =>
    concat([
      tarFile("0.jpg", new Uint8Array(30_000).fill(7)),
      tarFile("0.txt", text("zero")),
      tarFile("1.jpg", new Uint8Array(50_000).fill(9)),
      tarFile("1.txt", text("one")),
      tarEnd(),
    ]);

  it("are taken up where the connection broke, with ranges and without", async () => {
    for (const status of [206, 200]) {
      const { url, starts } = await serve(
        (start, attempt) => ({
          status: start > 0 ? status : 200,
          cut: attempt < 2 ? 20_000 * (status === 200 ? attempt + 1 : 1) : undefined,
        }),
        archive(),
      );
      const source = webdataset(url, { retryDelay: 1 });
      const items = await collect(source.open(source.shards()[0]!));
      expect(summary(items)).toEqual(["0: zero", "1: one"]);
      expect((items[1] as { image: Uint8Array }).image.every((byte) => byte === 9)).toBe(true);
      expect(starts).toEqual([0, 20_000, 40_000]);
      if (status === 206) await new Promise((resolve) => server.close(resolve));
    }
  });

  it("are tried again after 503, not after 404, and not for ever", async () => {
    let { url, starts } = await serve((_, n) => ({ status: n < 2 ? 503 : 200 }), archive());
    let source = webdataset(url, { retryDelay: 1 });
    expect((await collect(source.open(source.shards()[0]!))).length).toBe(2);
    expect(starts.length).toBe(3);
    await new Promise((resolve) => server.close(resolve));
    ({ url, starts } = await serve(() => ({ status: 404 }), archive()));
    source = webdataset(url, { retryDelay: 1 });
    await expect(collect(source.open(source.shards()[0]!))).rejects.toThrow(/answered 404/);
    expect(starts.length).toBe(1);
    await new Promise((resolve) => server.close(resolve));
    ({ url, starts } = await serve(() => ({ status: 500 }), archive()));
    source = webdataset(url, { retryDelay: 1, retries: 3 });
    await expect(collect(source.open(source.shards()[0]!))).rejects.toThrow(/failed 4 times/);
    expect(starts.length).toBe(4);
  });
});

describe("caption tables", () => {
  async function table(name: string, content: string): Promise<string> {
    const path = join(folder, name);
    await writeFile(path, content);
    return path;
  }

  it("follow the rules of CSV and of TSV", async () => {
    const csv = await table(
      "a.csv",
      '\ufefffile,caption\r\na.jpg,"one, ""two""\nthree"\r\n\r\nb.jpg,x"y\n',
    );
    expect(await collect(readCells(csv, ","))).toEqual([
      ["file", "caption"],
      ["a.jpg", 'one, "two"\nthree'],
      ["b.jpg", 'x"y'],
    ]);
    const tsv = await table("a.tsv", 'he said "hi\thttp://x/1\n\tempty\nlast');
    expect(await collect(readCells(tsv, "\t"))).toEqual([
      ['he said "hi', "http://x/1"],
      ["", "empty"],
      ["last"],
    ]);
  });

  it("survive quoting in any text", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(fc.string({ unit: "binary" }), { minLength: 2, maxLength: 4 }), {
          minLength: 1,
          maxLength: 5,
        }),
        async (rows) => {
          // A leading mark would be one of byte order.
          const clean = rows.map((row) => row.map((cell) => cell.replace(/\ufeff/g, "")));
          const quoted = clean.map((row) => row.map((cell) => `"${cell.replaceAll('"', '""')}"`));
          const path = await table("any.csv", `${quoted.map((row) => row.join(",")).join("\n")}\n`);
          expect(await collect(readCells(path, ","))).toEqual(clean);
        },
      ),
      { seed: 5, numRuns: 40 },
    );
  });

  it("may be Parquet, with snappy or gzip", async () => {
    // Written by pyarrow 25: three rows in row groups of two, the last caption null.
    const snappy =
      "UEFSMRUEFTgVPEwVBBUAEgAAHGwKAAAAaHR0cDovL3gvMQoAAABodHRwOi8veC8yFQAVEhUWLBUEFRAVBhUG" +
      "HAAAAAkgAgAAAAQBAQMCFQQVMhU2TBUEFQASAAAZYAUAAABhIGRvZwwAAAB6d2VpIEjDpHVzZXIVABUSFRYs" +
      "FQQVEBUGFQYcAAAACSACAAAABAEBAwIVBBUcFSBMFQIVABIAAA40CgAAAGh0dHA6Ly94LzMVABUSFRYsFQIV" +
      "EBUGFQYcAAAACSACAAAAAgEBAgAVBBUAFQJMFQAVABIAAAAVABUOFRIsFQIVEBUGFQYcAAAABxgCAAAAAgAA" +
      "FQQZPDUAGAZzY2hlbWEVBAAVDCUCGAN1cmwlAEwcAAAAFQwlAhgHY2FwdGlvbiUATBwAAAAWBhksGSwmABwV" +
      "DBk1AAYQGRgDdXJsFQIWBBaMARaUASZgJggpLBUEFQAVAgAVABUQFQIAPBYoGQYZJgAEAAAAJgAcFQwZNQAG" +
      "EBkYB2NhcHRpb24VAhYEFoYBFo4BJu4BJpwBKSwVBBUAFQIAFQAVEBUCADwWIhkGGSYABAAAABaSAhYEJggW" +
      "ogIAGSwmABwVDBk1AAYQGRgDdXJsFQIWAhZwFngm5gImqgIpLBUEFQAVAgAVABUQFQIAPBYUGQYZJgACAAAA" +
      "JgAcFQwZNQAGEBkYB2NhcHRpb24VAhYCFlAWVibAAyaiAyksFQQVABUCABUAFRAVAgA8FgAZBhkmAgAAAAAW" +
      "wAEWAiaqAhbOAQAoIHBhcnF1ZXQtY3BwLWFycm93IHZlcnNpb24gMjUuMC4xGSwcAAAcAAAAcQEAAFBBUjE=";
    const gzip =
      "UEFSMRUEFTgVTEwVBBUAEgAAH4sIAAAAAAACA+NiYGDIKCkpsNLXr9A35ELmGQEASA3q9xwAAAAVABUSFTos" +
      "FQQVEBUGFQYcAAAAH4sIAAAAAAACA2NiYGBgYWRkZgIAVaUiQQkAAAAVBBUyFVhMFQQVABIAAB+LCAAAAAAA" +
      "AgNjZWBgSFRIyU/nATKqylMzFTwOLyktTi0CANK/B9gZAAAAFQAVEhU6LBUEFRAVBhUGHAAAAB+LCAAAAAAA" +
      "AgNjYmBgYGFkZGYCAFWlIkEJAAAAFQQVHBVETBUCFQASAAAfiwgAAAAAAAID42JgYMgoKSmw0tev0DcGAKV5" +
      "jkEOAAAAFQAVEhU6LBUCFRAVBhUGHAAAAB+LCAAAAAAAAgNjYmBgYGJkZGIAAJgAdzkJAAAAFQQVABUoTBUA" +
      "FQASAAAfiwgAAAAAAAIDAwAAAAAAAAAAABUAFQ4VNiwVAhUQFQYVBhwAAAAfiwgAAAAAAAIDY2JgYGBiYAAA" +
      "ORp3CQcAAAAVBBk8NQAYBnNjaGVtYRUEABUMJQIYA3VybCUATBwAAAAVDCUCGAdjYXB0aW9uJQBMHAAAABYG" +
      "GSwZLCYAHBUMGTUABhAZGAN1cmwVBBYEFowBFsgBJnAmCCksFQQVABUCABUAFRAVAgA8FigZBhkmAAQAAAAm" +
      "ABwVDBk1AAYQGRgHY2FwdGlvbhUEFgQWhgEW1AEmxAIm0AEpLBUEFQAVAgAVABUQFQIAPBYiGQYZJgAEAAAA" +
      "FpICFgQmCBacAwAZLCYAHBUMGTUABhAZGAN1cmwVBBYCFnAWwAEmhAQmpAMpLBUEFQAVAgAVABUQFQIAPBYU" +
      "GQYZJgACAAAAJgAcFQwZNQAGEBkYB2NhcHRpb24VBBYCFlAWoAEmqAUm5AQpLBUEFQAVAgAVABUQFQIAPBYA" +
      "GQYZJgIAAAAAFsABFgImpAMW4AIAKCBwYXJxdWV0LWNwcC1hcnJvdyB2ZXJzaW9uIDI1LjAuMRksHAAAHAAA" +
      "AHMBAABQQVIx";
    for (const content of [snappy, gzip]) {
      const path = join(folder, "good.parquet");
      await writeFile(path, Buffer.from(content, "base64"));
      expect((await collect(readRecords(path))).map((record) => ({ ...record }))).toEqual([
        { url: "http://x/1", caption: "a dog" },
        { url: "http://x/2", caption: "zwei Häuser" },
        { url: "http://x/3", caption: null },
      ]);
    }
  });

  it("are refused where broken", async () => {
    await expect(collect(readCells(await table("q.csv", 'a,"b\n'), ","))).rejects.toThrow(/quote/);
    const long = await table("l.csv", "x".repeat(2 ** 20 + 10));
    await expect(collect(readCells(long, ","))).rejects.toThrow(/longer than/);
    const lines = await table("b.jsonl", '{"a":1}\n[1]\n');
    await expect(collect(readRecords(lines))).rejects.toThrow(/line 2/);
    const parquet = await table("b.parquet", `PAR1${"\xff".repeat(50)}PAR1`);
    await expect(collect(readRecords(parquet))).rejects.toThrow(InputError);
    await expect(collect(readRecords(join(folder, "none.csv")))).rejects.toThrow(InputError);
    await expect(collect(readRecords(join(folder, "none.parquet")))).rejects.toThrow(InputError);
    await expect(collect(readRecords("a.xls"))).rejects.toThrow(/unknown kind/);
  });
});

describe("a folder of pictures", () => {
  let pictures: string;
  beforeAll(async () => {
    pictures = join(folder, "pictures");
    await mkdir(join(pictures, "sub"), { recursive: true });
    await writeFile(join(pictures, "b.jpg"), picture);
    await writeFile(join(pictures, "b.txt"), "a boat");
    await writeFile(join(pictures, "a.png"), picture);
    await writeFile(join(pictures, "sub", "c.jpeg"), picture);
    await writeFile(join(pictures, "sub", "c.txt"), " \n");
    await writeFile(join(folder, "secret.jpg"), picture);
    await symlink(join(folder, "secret.jpg"), join(pictures, "link.jpg"));
  });

  it("takes captions from the texts beside them", async () => {
    const source = await pictureFolder(pictures, undefined, 2);
    expect(source.describe()).toMatchObject({ kind: "folder", shards: 2, samples: 3 });
    expect(summary(await everything(source))).toEqual([
      "a.png! no caption",
      "b.jpg: a boat",
      "sub/c.jpeg! no caption",
    ]);
  });

  it("takes them from any table or COCO file, and never leaves the folder", async () => {
    const rows = [
      ["b.jpg", "first"],
      ["sub/c.jpeg", "second, third"],
      ["../secret.jpg", "outside"],
      [join(folder, "secret.jpg"), "absolute"],
      ["link.jpg", "by a link"],
      ["none.jpg", "missing"],
      ["b.jpg", ""],
    ];
    const coco = {
      images: rows.map(([file_name], id) => ({ id, file_name })),
      annotations: rows.map(([, caption], image_id) => ({ image_id, caption })),
    };
    const files: Record<string, string> = {
      "c.csv": `file,caption\n${rows.map((row) => row.map((cell) => `"${cell}"`).join(",")).join("\n")}`,
      "c.tsv": `Caption\tFile\n${rows.map(([file, caption]) => `${caption}\t${file}`).join("\n")}`,
      "c.jsonl": rows
        .map(([file, caption]) => JSON.stringify({ image: file, text: caption }))
        .join("\n"),
      "c.json": JSON.stringify(coco),
    };
    for (const [name, content] of Object.entries(files)) {
      await writeFile(join(folder, name), content);
      const items = await everything(await pictureFolder(pictures, join(folder, name)));
      expect(summary(items), name).toEqual([
        "b.jpg: first",
        "sub/c.jpeg: second, third",
        "../secret.jpg! no picture",
        `${join(folder, "secret.jpg")}! no picture`,
        "link.jpg! no picture",
        "none.jpg! no picture",
        "b.jpg! no caption",
      ]);
    }
  });

  it("counts rows whose fields are empty, and takes the best of several columns", async () => {
    const table = join(folder, "holes.jsonl");
    const rows = [
      { title: "a title", caption: "first", image: 7, file_name: "b.jpg" },
      { title: "a title", caption: null, file_name: "b.jpg" },
      { file_name: null, caption: "nowhere" },
      { caption: "no file" },
    ];
    await writeFile(table, rows.map((row) => JSON.stringify(row)).join("\n"));
    expect(summary(await everything(await pictureFolder(pictures, table)))).toEqual([
      "b.jpg: first",
      "b.jpg: a title",
      "! no picture",
      "! no picture",
    ]);
    const coco = join(folder, "holes.json");
    const images = [{ id: 1, file_name: "b.jpg" }];
    const annotations = [
      { image_id: 1, caption: "x" },
      { image_id: 2, caption: "y" },
      { image_id: 1 },
    ];
    await writeFile(coco, JSON.stringify({ images, annotations }));
    expect(summary(await everything(await pictureFolder(pictures, coco)))).toEqual([
      "b.jpg: x",
      "image_id 2! no picture",
      "b.jpg! no caption",
    ]);
    const instances = [{ image_id: 1, bbox: [0, 0, 9, 9] }];
    await writeFile(coco, JSON.stringify({ images, annotations: instances }));
    await expect(pictureFolder(pictures, coco)).rejects.toThrow(/have no captions/);
  });

  it("says what a table or folder lacks", async () => {
    await writeFile(join(folder, "empty.csv"), "file,caption\n");
    await expect(pictureFolder(pictures, join(folder, "empty.csv"))).rejects.toThrow(
      /empty\.csv: it names no pictures/,
    );
    await writeFile(join(folder, "wrong.csv"), "a,b\n1,2\n");
    await expect(pictureFolder(pictures, join(folder, "wrong.csv"))).rejects.toThrow(/a, b/);
    await writeFile(join(folder, "wrong.json"), "{}");
    await expect(pictureFolder(pictures, join(folder, "wrong.json"))).rejects.toThrow(
      /annotations/,
    );
    await expect(pictureFolder(join(folder, "nowhere"))).rejects.toThrow(InputError);
  });
});

describe("shards made of a source", () => {
  it("hold its usable samples, byte for byte the same each time", async () => {
    const random = new Random(2);
    const samples: SourceItem[] = Array.from({ length: 25 }, (_, i) => ({
      key: `../odd name ${i}`,
      image: new Uint8Array(200).map(() => random.integer(256)),
      caption: `caption ${i}`,
      ...(i === 3 ? { nouns: ["dog"] } : {}),
    }));
    samples[7] = { key: "x", skipped: "too large" };
    const [first, second] = [join(folder, "shards1"), join(folder, "shards2")];
    const written = await writeShards(memorySource(samples), first, { samplesPerShard: 10 });
    await writeShards(memorySource(samples), second, { samplesPerShard: 10 });
    expect(written).toMatchObject({ samples: 24, skipped: { "too large": 1 } });
    expect(await readdir(first)).toEqual(["00000.tar", "00001.tar", "00002.tar", "shards.json"]);
    for (const name of await readdir(first)) {
      expect(await readFile(join(first, name))).toEqual(await readFile(join(second, name)));
    }
    const back = await everything(webdataset(first));
    expect(back.map((item) => ({ ...item, key: "" }))).toEqual(
      samples.filter((item) => !isSkipped(item)).map((item) => ({ ...item, key: "" })),
    );
  });

  it("leave nothing half-written when the source fails", async () => {
    const source = memorySource([{ key: "a", image: picture, caption: "a" }]);
    const target = join(folder, "failing");
    const failing: SampleSource = {
      ...source,
      async *open(shard) {
        yield* source.open(shard);
        throw new InputError("disk gone");
      },
    };
    await expect(writeShards(failing, target)).rejects.toThrow("disk gone");
    expect(await readdir(target)).toEqual(["shards.json"]);
  });

  it("never mix with others", async () => {
    const target = join(folder, "claimed");
    const samples = Array.from({ length: 5 }, (_, i) => ({
      key: `${i}`,
      image: picture,
      caption: `caption ${i}`,
    }));
    await writeShards(memorySource(samples), target, { samplesPerShard: 1 });
    const before = await readFile(join(target, "00000.tar"));
    await expect(
      writeShards(memorySource(samples), target, { samplesPerShard: 5 }),
    ).rejects.toThrow(
      /begun with other settings .*"samplesPerShard":1.* now .*"samplesPerShard":5/,
    );
    await expect(writeShards(memorySource(samples.slice(1)), target)).rejects.toThrow(ConfigError);
    // The same again is how an interrupted run is repeated.
    await writeShards(memorySource(samples), target, { samplesPerShard: 1 });
    expect(await readFile(join(target, "00000.tar"))).toEqual(before);
    const foreign = join(folder, "foreign");
    await mkdir(foreign);
    await writeFile(join(foreign, "00000.tar"), "precious");
    await expect(writeShards(memorySource(samples), foreign)).rejects.toThrow(
      /holds shards already/,
    );
    expect(await readFile(join(foreign, "00000.tar"), "utf8")).toBe("precious");
  });
});

describe("the check of a data set", () => {
  it("tells what is there against what was expected", async () => {
    const other = await sharp({ create: { width: 20, height: 50, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    const source = memorySource(
      [
        { key: "0", image: picture, caption: "a dog" },
        { key: "1", image: picture, caption: "A dog " },
        { key: "2", image: other, caption: "one two three four" },
        { key: "3", image: picture.subarray(0, picture.length * 0.8), caption: "cut" },
        { key: "4", skipped: "no caption" },
      ],
      2,
    );
    const broken: SampleSource = {
      ...source,
      shards: () => [...source.shards(), { name: "gone" }],
    };
    const report = await checkData(broken, { shards: 4, samples: 9 }, { decode: true });
    expect(report).toMatchObject({
      shards: 3,
      samples: 2,
      skipped: { "too small": 1, "broken picture": 1, "no caption": 1 },
      captionWords: { shortest: 2, median: 2, longest: 2 },
      duplicatePictures: 1,
      duplicateCaptions: 1,
      duplicatesCheckedUpTo: undefined,
    });
    expect(report.problems[0]).toBe("3 readable shards instead of 4");
    expect(report.problems[1]).toBe("2 usable samples instead of 9");
    expect(report.problems.length).toBe(7);
    expect(report.problems).toContain("shard gone: not part of memory");
    const table = join(folder, "several.csv");
    await writeFile(join(folder, "one.jpg"), picture);
    await writeFile(join(folder, "two.jpg"), picture);
    await writeFile(table, "file,caption\none.jpg,a dog\none.jpg,a small dog\ntwo.jpg,a dog\n");
    expect((await checkData(await pictureFolder(folder, table))).problems).toEqual([
      "1 repeated pictures",
    ]);
    const good = await checkData(memorySource([{ key: "0", image: picture, caption: "a dog" }]));
    expect(good.problems).toEqual([]);
  });
});
