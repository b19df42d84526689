import { deflateRawSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { crc32, openZip, zipChunks } from "../checkpoint/zip.js";
import { InputError } from "../errors.js";
import type { LabelMap } from "../output/label-map.js";
import { vocPalette } from "../output/palette.js";
import { encodeLabelPng } from "../output/png.js";
import { CvatWriter, decodeCvat } from "./cvat.js";
import { decodePng, encodeRgbPng } from "./rgb-png.js";

const join = (chunks: Uint8Array[]) => new Uint8Array(Buffer.concat(chunks));
const bytes = (text: string) => new TextEncoder().encode(text);

// 0 1 1
// 1 0 2
const picture: LabelMap = {
  width: 3,
  height: 2,
  map: Uint8Array.of(0, 1, 1, 1, 0, 2),
  labels: ["cat", "dog"],
  background: true,
};

const entries = async (archive: Uint8Array) => {
  const zip = openZip(archive);
  return new Map(
    await Promise.all(zip.names.map(async (name) => [name, await zip.read(name)] as const)),
  );
};
const rgb = async (png: Uint8Array | undefined) => [...(await sharp(png).raw().toBuffer())];

describe("CvatWriter", () => {
  test("the layout that CVAT's documentation shows, in PASCAL VOC's colours", async () => {
    const writer = new CvatWriter();
    const pieces = [
      ...writer.add("park.jpg", picture),
      ...writer.add("trips/sea.v2.png", { ...picture, labels: ["dog", "boat"] }),
      ...writer.end(),
    ];
    const files = await entries(join(pieces));
    expect([...files.keys()]).toEqual([
      "SegmentationClass/park.png",
      "SegmentationObject/park.png",
      "SegmentationClass/trips/sea.v2.png",
      "SegmentationObject/trips/sea.v2.png",
      "labelmap.txt",
      "ImageSets/Segmentation/default.txt",
    ]);
    const text = (name: string) => new TextDecoder().decode(files.get(name));
    expect(text("labelmap.txt")).toBe(
      "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncat:128,0,0::\ndog:0,128,0::\nboat:128,128,0::\n",
    );
    expect(text("ImageSets/Segmentation/default.txt")).toBe("park\ntrips/sea.v2\n");
    const [o, cat, dog, boat] = [
      [0, 0, 0],
      [128, 0, 0],
      [0, 128, 0],
      [128, 128, 0],
    ];
    const park = [o, cat, cat, cat, o, dog].flat();
    expect(await rgb(files.get("SegmentationClass/park.png"))).toEqual(park);
    expect(await rgb(files.get("SegmentationObject/park.png"))).toEqual(park);
    expect(await rgb(files.get("SegmentationClass/trips/sea.v2.png"))).toEqual(
      [o, dog, dog, dog, o, boat].flat(),
    );
  });

  test("regions as objects: cats that do not hang together are two", async () => {
    const writer = new CvatWriter({ per: "region" });
    const pieces = [...writer.add("park.jpg", picture), ...writer.end()];
    const files = await entries(join(pieces));
    const [o, first, second, third] = [
      [0, 0, 0],
      [128, 0, 0],
      [0, 128, 0],
      [128, 128, 0],
    ];
    expect(await rgb(files.get("SegmentationObject/park.png"))).toEqual(
      [o, first, first, second, o, third].flat(),
    );
  });

  test("refuses more than CVAT can tell apart", () => {
    const map = new Uint16Array(512).map((_, i) => i % 2);
    const dots = { width: 512, height: 1, map, labels: ["dot"], background: true };
    expect(() => new CvatWriter({ per: "region" }).add("a", dots)).toThrow(
      /256 regions in a picture, but CVAT reads 255 objects/,
    );
    const labels = Array.from({ length: 256 }, (_, i) => `label ${i}`);
    expect(() => new CvatWriter().add("a", { ...dots, labels })).toThrow(
      /label "label 255" is one more than 255; export fewer/,
    );
  });

  test.each([
    ["a:b", /holds a colon/],
    ["a\nb", /holds a colon, a line break/],
    ["NUL\0", /a control character/],
    [" a", /begins or ends with a space/],
    ["", /is empty/],
    ["# a", /begins with "#"/],
    ["background", /what CVAT calls pixels without a label/],
    ["\udc00", /half of a character/],
  ])("refuses the label %j", (label, message) => {
    expect(() => new CvatWriter().add("a", { ...picture, labels: ["cat", label] })).toThrow(
      message,
    );
  });

  test.each([
    "../a.jpg",
    "/etc/a.jpg",
    "a//b.jpg",
    "a\\b.jpg",
    "C:a.jpg",
    "a\nb.jpg",
    ".",
    " a",
    "",
  ])("refuses the picture name %j", (file) => {
    expect(() => new CvatWriter().add(file, picture)).toThrow(/is no plain path/);
  });

  test("refuses a picture given twice", () => {
    const writer = new CvatWriter();
    writer.add("a.jpg", picture);
    expect(() => writer.add("a.png", picture)).toThrow(/picture "a" comes twice/);
  });
});

/** The pictures of an archive: names, labels, maps. */
async function read(archive: Uint8Array) {
  const found: [string, readonly string[], number[]][] = [];
  for await (const { file, result } of decodeCvat(archive)) {
    found.push([file, result.labels, [...result.map]]);
  }
  return found;
}

const LIST = ["ImageSets/Segmentation/train.txt", bytes("a\r\n\nmissing\n")] as const;
const zipped = (labelmap: string, mask: Uint8Array) =>
  join(zipChunks([["labelmap.txt", bytes(labelmap)], LIST, ["SegmentationClass/a.png", mask]]));

/** RGB pixels as sharp writes them. */
const painted = (colours: number[][], options = {}) =>
  sharp(Uint8Array.from(colours.flat()), {
    raw: { width: colours.length, height: 1, channels: colours[0].length as 3 | 4 },
  })
    .png(options)
    .toBuffer();

describe("decodeCvat", () => {
  // The labels that CVAT's documentation gives as its example.
  const DOCUMENTED = "# comment\nbackground:0,128,0::\naeroplane:10,10,128::\nbicycle:10,128,0::\n";

  test("colours of RGB, RGBA and palette masks; a background of any colour", async () => {
    const colours = [
      [10, 128, 0],
      [0, 128, 0],
      [10, 10, 128],
      [0, 0, 0],
    ];
    const expected = [["a", ["aeroplane", "bicycle"], [2, 0, 1, 0]]];
    expect(await read(zipped(DOCUMENTED, await painted(colours)))).toEqual(expected);
    const translucent = colours.map((colour, i) => [...colour, 60 * i]);
    expect(await read(zipped(DOCUMENTED, await painted(translucent)))).toEqual(expected);
    const indexed = encodeLabelPng(
      { width: 4, height: 1, map: Uint8Array.of(0, 1, 2, 3) },
      Uint8Array.from(colours.flat()),
    );
    expect(await read(zipped(DOCUMENTED, indexed))).toEqual(expected);
  });

  test("grey masks count the lines; lines without a colour have PASCAL VOC's", async () => {
    const labelmap = "q:9,9,9::\nbackground:0,0,0::\ncat:::\n";
    const grey = await sharp(Uint8Array.of(0, 1, 2), { raw: { width: 3, height: 1, channels: 1 } })
      .toColourspace("b-w")
      .png()
      .toBuffer();
    expect(await read(zipped(labelmap, grey))).toEqual([["a", ["q", "cat"], [1, 0, 2]]]);
    const third = [...vocPalette().subarray(6, 9)];
    const mask = await painted([third, [9, 9, 9]]);
    expect(await read(zipped(labelmap, mask))).toEqual([["a", ["q", "cat"], [2, 1]]]);
  });

  const black = () => painted([[0, 0, 0]]);
  test.each([
    ["no label map", async () => join(zipChunks([LIST])), /no labelmap.txt/],
    [
      "an unknown colour",
      async () => zipped("a:1,2,3::", await painted([[1, 2, 4]])),
      /the colour 1,2,4/,
    ],
    [
      "a colour twice",
      async () => zipped("a:1,2,3::\nb:1,2,3::", await black()),
      /"b" has the colour/,
    ],
    ["a name twice", async () => zipped("a:1,2,3::\na:1,2,4::", await black()), /"a" comes twice/],
    ["a label of five parts", async () => zipped("a:b:1,2,3::", await black()), /"a:b:1,2,3::" in/],
    ["a colour of no bytes", async () => zipped("a:256,2,3::", await black()), /"a:256,2,3::" in/],
    ["no PNG", async () => zipped("a:1,2,3::", new Uint8Array(40)), /PNG signature/],
    [
      "a list that leads out",
      async () =>
        join(
          zipChunks([
            ["labelmap.txt", bytes("a:1,2,3::")],
            [LIST[0], bytes("../x")],
          ]),
        ),
      /"\.\.\/x" is no plain path/,
    ],
    [
      "an entry that leads out",
      async () => join(zipChunks([["../../etc/passwd", bytes("x")]])),
      /is no plain path/,
    ],
    ["no archive", async () => bytes("PK"), /not a sound ZIP archive/],
  ])("refuses %s", async (_, archive, message) => {
    const reading = read(await archive());
    await expect(reading).rejects.toThrow(message);
    await expect(reading).rejects.toBeInstanceOf(InputError);
  });

  test("refuses an archive that inflates without end, before it inflates anything", async () => {
    const bomb = deflated("labelmap.txt", Buffer.alloc(300 * 2 ** 20));
    expect(bomb.length).toBeLessThan(2 ** 20);
    await expect(read(bomb)).rejects.toThrow(/more than 256 MiB compressed/);
    const text = deflated("labelmap.txt", Buffer.alloc(17 * 2 ** 20, "#"));
    await expect(read(text)).rejects.toThrow(/"labelmap.txt" is larger than 16 MiB/);
    await expect(read(deflated("labelmap.txt", Buffer.from("a:1,2,3::")))).resolves.toEqual([]);
  });
});

/** A ZIP archive of one compressed entry, with the sizes that it has. */
function deflated(name: string, data: Buffer): Uint8Array {
  const packed = deflateRawSync(data);
  const crc = crc32(data);
  const fields = (at: number, header: Buffer) => {
    header.writeUInt16LE(8, at);
    header.writeUInt32LE(crc, at + 6);
    header.writeUInt32LE(packed.length, at + 10);
    header.writeUInt32LE(data.length, at + 14);
    header.writeUInt16LE(name.length, at + 18);
    return header;
  };
  const local = fields(8, Buffer.alloc(30));
  local.writeUInt32LE(0x04034b50, 0);
  const central = fields(10, Buffer.alloc(46));
  central.writeUInt32LE(0x02014b50, 0);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(1, 8);
  end.writeUInt16LE(1, 10);
  end.writeUInt32LE(central.length + name.length, 12);
  end.writeUInt32LE(local.length + name.length + packed.length, 16);
  return join([local, bytes(name), packed, central, bytes(name), end]);
}

describe("PNG in colours", () => {
  const width = 61;
  const height = 33;
  const map = new Uint8Array(width * height).map(
    (_, i) => ((i % width) * (i % 17) + i / 300) % 200,
  );
  const values = new Map(
    Array.from({ length: 256 }, (_, v) => {
      const [r, g, b] = vocPalette().subarray(3 * v, 3 * v + 3);
      return [(r << 16) | (g << 8) | b, v];
    }),
  );
  const meaning = { colour: (rgb: number) => values.get(rgb) ?? -1, grey: (v: number) => v };

  test("sharp shows the palette's colours", async () => {
    const png = encodeRgbPng({ width, height, map }, vocPalette());
    const expected = Array.from(map, (v) => [...vocPalette().subarray(3 * v, 3 * v + 3)]).flat();
    expect(await rgb(png)).toEqual(expected);
    expect((await sharp(png).metadata()).channels).toBe(3);
    expect(Array.from((await decodePng(png, meaning)).map)).toEqual([...map]);
  });

  test("reads sharp's files with all row filters", async () => {
    const data = Uint8Array.from(map, (v) => v).reduce<number[]>(
      (all, v) => all.concat([...vocPalette().subarray(3 * v, 3 * v + 3)]),
      [],
    );
    const raw = { raw: { width, height, channels: 3 as const } };
    const png = await sharp(Uint8Array.from(data), raw).png({ adaptiveFiltering: true }).toBuffer();
    const back = await decodePng(new Uint8Array(png), meaning);
    expect([back.width, back.height]).toEqual([width, height]);
    expect(Array.from(back.map)).toEqual([...map]);
  });

  test("refuses what is damaged, interlaced or deep", async () => {
    const png = encodeRgbPng({ width, height, map }, vocPalette());
    const changed = (at: number, byte: number) => {
      const copy = png.slice();
      copy[at] = byte;
      const view = new DataView(copy.buffer);
      view.setUint32(29, crc32(copy.subarray(12, 29)));
      return decodePng(copy, meaning);
    };
    await expect(changed(18, 255)).rejects.toThrow(/too short for/);
    await expect(changed(16, 255)).rejects.toThrow(/at most 134217728 pixels/);
    await expect(changed(19, 60)).rejects.toThrow(/more than the \d+ bytes/);
    await expect(changed(23, 34)).rejects.toThrow(/the header promises/);
    await expect(changed(28, 1)).rejects.toThrow(/is interlaced/);
    await expect(changed(24, 16)).rejects.toThrow(/with 16 bits: give one of RGB \(8 bits\)/);
    await expect(changed(50, 7)).rejects.toThrow(/wrong checksum/);
    await expect(decodePng(png.subarray(0, 60), meaning)).rejects.toThrow(/cut off/);
  });
});
