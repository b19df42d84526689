// What each test-time option gains and costs on the held-out scenes: writes docs/test-time-options.md.
//
//   npm run bench:options -- [--model FOLDER] [--pictures 100] [--root .cache/scenes/evaluation]

import { parseArgs } from "node:util";
import { writeFileAtomic } from "../src/atomic.node.js";
import { addPixels, createConfusion, meanIoU } from "../src/evaluate/confusion.js";
import type { MaskedSample, SegmentationSet } from "../src/evaluate/dataset.js";
import { readMask, type TrueMask } from "../src/evaluate/datasets/masks.js";
import { openDataset } from "../src/evaluate/datasets/open.js";
import {
  decodePicture,
  type EncodeOptions,
  GroupViT,
  type Picture,
  type SegmentOptions,
} from "../src/index.js";
import { Random } from "../src/random.js";

interface Variant {
  name: string;
  /** `side`: the model's short side. */
  encode?(side: number): EncodeOptions;
  segment?: SegmentOptions;
}

const VARIANTS: readonly Variant[] = [
  { name: "standard: whole picture, one prompt, soft maps" },
  { name: "hard maps", segment: { assignment: "hard" } },
  { name: "7 prompts", segment: { prompts: "subset" } },
  { name: "80 prompts", segment: { prompts: "full" } },
  { name: "all words may win (top k 36)", segment: { topK: 36 } },
  { name: "mirrored as well", encode: () => ({ flip: true }) },
  { name: "short side x 0.75", encode: (side) => ({ shortSide: Math.round(side * 0.75) }) },
  { name: "short side x 1.5", encode: (side) => ({ shortSide: Math.round(side * 1.5) }) },
  { name: "scales 0.75, 1", encode: () => ({ scales: [0.75, 1] }) },
  { name: "scales 0.75, 1, 1.5", encode: () => ({ scales: [0.75, 1, 1.5] }) },
  { name: "pieces seen again from near", encode: () => ({ zoom: true }) },
  { name: "fitted to the picture's edges", segment: { refine: true } },
  { name: "seen again and fitted", encode: () => ({ zoom: true }), segment: { refine: true } },
  { name: "mirrored and fitted", encode: () => ({ flip: true }), segment: { refine: true } },
];
/** On pairs of scenes side by side: a square picture is one window. */
const WIDE: readonly Variant[] = [
  { name: "standard: whole picture" },
  { name: "square windows, half a side apart", encode: () => ({ mode: "slide" }) },
  {
    name: "the same, fitted to the picture's edges",
    encode: () => ({ mode: "slide" }),
    segment: { refine: true },
  },
];
const SEEDS = [1, 2, 3];

const { values } = parseArgs({
  options: {
    model: { type: "string" },
    pictures: { type: "string", default: "100" },
    root: { type: "string", default: ".cache/scenes/evaluation" },
    out: { type: "string", default: "docs/test-time-options.md" },
  },
});

interface Measured {
  mIoU: number;
  seconds: number;
}

const model = await GroupViT.load(values.model);
const set = await openDataset("scenes", values.root);
const standardSide = model.processor.segmentationShortSide;

interface Material {
  readonly picture: Picture;
  readonly truth: TrueMask;
}

async function load(sample: MaskedSample): Promise<Material> {
  return { picture: await decodePicture(sample.picture), truth: await readMask(set, sample) };
}

/** Two scenes of one size as one picture. */
function sideBySide(left: Material, right: Material): Material {
  const { width, height } = left.picture;
  const joined = (a: Uint8Array, b: Uint8Array, bytes: number) => {
    const out = new Uint8Array(2 * width * height * bytes);
    const row = width * bytes;
    for (let y = 0; y < height; y++) {
      out.set(a.subarray(y * row, (y + 1) * row), 2 * y * row);
      out.set(b.subarray(y * row, (y + 1) * row), (2 * y + 1) * row);
    }
    return out;
  };
  return {
    picture: { width: 2 * width, height, data: joined(left.picture.data, right.picture.data, 3) },
    truth: { width: 2 * width, height, map: joined(left.truth.map, right.truth.map, 1) },
  };
}

function pairs(singles: readonly Material[]): Material[] {
  return Array.from({ length: Math.floor(singles.length / 2) }, (_, i) =>
    sideBySide(singles[2 * i]!, singles[2 * i + 1]!),
  );
}

async function measure(variant: Variant, material: readonly Material[]): Promise<Measured> {
  const confusion = createConfusion(set.classes.length + 1);
  const before = process.cpuUsage();
  for (const { picture, truth } of material) {
    const encoded = await model.encode(picture, variant.encode?.(standardSide));
    const { map } = await encoded.segment(set.classes, {
      background: "threshold",
      ...variant.segment,
    });
    addPixels(confusion, truth.map, map);
  }
  const { user, system } = process.cpuUsage(before);
  return { mIoU: meanIoU(confusion), seconds: (user + system) / 1e6 / material.length };
}

function subset({ samples }: SegmentationSet, seed: number, count: number): MaskedSample[] {
  const random = new Random(`options ${seed}`);
  const left = [...samples];
  return Array.from(
    { length: Math.min(count, left.length) },
    () => left.splice(random.integer(left.length), 1)[0]!,
  );
}

const subsets: Material[][] = [];
for (const seed of SEEDS) {
  subsets.push(await Promise.all(subset(set, seed, Number(values.pictures)).map(load)));
}
await measure(VARIANTS[0]!, subsets[0]!); // first runs are slow

/** A row a variant: differences to the first, which stands as it is. */
async function table(variants: readonly Variant[], material: readonly Material[][]) {
  const rows: string[] = [];
  let standard: Measured[] | undefined;
  for (const variant of variants) {
    const own: Measured[] = [];
    for (const part of material) own.push(await measure(variant, part));
    const scores = own.map(({ mIoU }) => percent(mIoU)).join(", ");
    process.stderr.write(`${variant.name}: ${scores}\n`);
    rows.push(row(variant.name, own, standard));
    standard ??= own;
  }
  return rows.join("\n");
}

function row(name: string, own: readonly Measured[], standard?: readonly Measured[]): string {
  if (!standard) {
    return `| ${name} | ${own.map(({ mIoU }) => percent(mIoU)).join(", ")} | | 1.0 |`;
  }
  const gains = own.map(({ mIoU }, i) => mIoU - standard[i]!.mIoU);
  const mean = gains.reduce((a, b) => a + b, 0) / gains.length;
  const time = (of: readonly Measured[]) => of.reduce((sum, one) => sum + one.seconds, 0);
  const cost = (time(own) / time(standard)).toFixed(1);
  return `| ${name} | ${gains.map(signed).join(", ")} | ${signed(mean)} | ${cost} |`;
}

function percent(value: number): string {
  return (100 * value).toFixed(1);
}

function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${percent(Math.abs(value))}`;
}

const single = await table(VARIANTS, subsets);
const wide = await table(WIDE, subsets.map(pairs));
await model.release();

await writeFileAtomic(
  values.out,
  `# Test-time options

Written by \`npm run bench:options\` on ${new Date().toISOString().slice(0, 10)}: the ${values.model ?? "bundled"} model on
three random subsets of ${subsets[0]!.length} held-out scenes (36 classes and background, threshold ${model.processor.segmentationThreshold}, short side
${standardSide} px). The first row is mIoU in percent; the others are differences to it on the same pictures, in
points. Cost is processor time for a picture, decoded already, 1 for the first row.

| option | on the three subsets | mean | cost |
| --- | --- | ---: | ---: |
${single}

Windows need pictures that are not square: the same scenes, two side by side.

| option | on the three subsets | mean | cost |
| --- | --- | ---: | ---: |
${wide}

\`groupvit segment --quality\` has what this says: \`fast\` looks at three quarters of the short side, \`best\` looks
at every piece of a segment again from near (\`zoom\` of the API) and fits the map to the picture's edges (\`refine\`). Options that gain less than they waver are no preset.
Windows are no preset either but a mode of their own, \`--mode slide\`, as in the authors' protocol: they help pictures
that are far from square, and what a picture's groups are can be asked of one window only.
`,
);
process.exit(0);
