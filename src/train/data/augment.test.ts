import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ConfigError } from "../../errors.js";
import { IMAGENET_MEAN, IMAGENET_STD, normalize } from "../../input/normalize.js";
import type { Picture } from "../../input/picture.js";
import { Random } from "../../random.js";
import {
  augment,
  augmentConfig,
  NO_AUGMENTATION,
  RAND_AUGMENT_OPERATIONS,
  randomCropBox,
} from "./augment.js";

/** A picture that the reference script makes by the same formula. */
function formulaPicture(width: number, height: number): Picture {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++, i++) {
        const value = Math.floor(
          (x * x * (c + 3) + y * y * (5 - c) + x * y * 7 + c * 40) / (4 + c),
        );
        data[i] = 20 + (value % (200 - 30 * c));
      }
    }
  }
  return { width, height, data };
}

function hash(bytes: Uint8Array): number {
  let value = 0x811c9dc5;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  return value >>> 0;
}

// FNV-1a of the bytes that Pillow 12.3 gives for formulaPicture(37, 29), with timm's magnitudes, at
// strength and sign 9 +, 9 -, 3.7 +, 3.7 -.
const PILLOW: Record<string, [number, number, number, number]> = {
  AutoContrast: [1331993694, 1331993694, 1331993694, 1331993694],
  Equalize: [1600633032, 1600633032, 1600633032, 1600633032],
  Invert: [3332638933, 3332638933, 3332638933, 3332638933],
  Rotate: [865623176, 599373852, 2388753400, 1812220658],
  PosterizeIncreasing: [1038450935, 1038450935, 1013550967, 1013550967],
  SolarizeIncreasing: [3920501962, 3920501962, 490712043, 490712043],
  SolarizeAdd: [2354241950, 2354241950, 4151455738, 4151455738],
  ColorIncreasing: [2853958544, 4191959040, 2474066151, 649080490],
  ContrastIncreasing: [1279645306, 3550318580, 3159298205, 910885211],
  BrightnessIncreasing: [850801154, 622618964, 4293712945, 2859273179],
  SharpnessIncreasing: [454783107, 1286623791, 3562193503, 866852685],
  ShearX: [1865487873, 308838444, 1347614357, 1473610481],
  ShearY: [1880245025, 377109445, 2616145793, 2315435826],
  TranslateXRel: [3625563086, 874645604, 3978789736, 780630735],
  TranslateYRel: [3497188112, 2772857937, 474059485, 3842469268],
};

describe("RandAugment operations", () => {
  const picture = formulaPicture(37, 29);

  it("start from the picture of the reference", () => {
    expect(hash(picture.data)).toBe(269570426);
  });

  it.each(Object.keys(RAND_AUGMENT_OPERATIONS))("%s equals Pillow to the byte", (name) => {
    const operation = RAND_AUGMENT_OPERATIONS[name]!;
    const settings: [number, number][] = [
      [9, 1],
      [9, -1],
      [3.7, 1],
      [3.7, -1],
    ];
    const before = hash(picture.data);
    const hashes = settings.map(([strength, sign]) =>
      hash(operation(picture, strength, sign).data),
    );
    expect(hashes).toEqual(PILLOW[name]);
    expect(hash(picture.data)).toBe(before);
  });
});

describe("augmentation", () => {
  it("is the same for the same generator state and differs for another", () => {
    const picture = formulaPicture(80, 60);
    const config = augmentConfig();
    const first = augment(picture, 32, config, new Random(5));
    expect(augment(picture, 32, config, new Random(5))).toEqual(first);
    expect(augment(picture, 32, config, new Random(6))).not.toEqual(first);
    expect(first.length).toBe(3 * 32 * 32);
  });

  it("only normalises when every part is off and the size is native", () => {
    const picture = formulaPicture(32, 32);
    const result = augment(picture, 32, augmentConfig(NO_AUGMENTATION), new Random(1));
    expect(result).toEqual(normalize(picture, IMAGENET_MEAN, IMAGENET_STD));
  });

  it("flips, erases and jitters when asked to", () => {
    const picture = formulaPicture(32, 32);
    const off = augment(picture, 32, augmentConfig(NO_AUGMENTATION), new Random(1));
    const flipped = augment(
      picture,
      32,
      augmentConfig({ ...NO_AUGMENTATION, flip: 1 }),
      new Random(1),
    );
    for (let row = 0; row < 96; row++) {
      const expected = off.slice(row * 32, row * 32 + 32).reverse();
      expect(flipped.slice(row * 32, row * 32 + 32)).toEqual(expected);
    }
    const erased = augment(
      picture,
      32,
      augmentConfig({ ...NO_AUGMENTATION, erasing: 1 }),
      new Random(3),
    );
    const changed = erased.reduce((sum, value, i) => sum + (value === off[i] ? 0 : 1), 0);
    expect(changed).toBeGreaterThanOrEqual(0.015 * 3 * 32 * 32);
    expect(changed).toBeLessThanOrEqual(0.36 * 3 * 32 * 32);
    const jittered = augment(
      picture,
      32,
      augmentConfig({ ...NO_AUGMENTATION, colorJitter: 0.4 }),
      new Random(3),
    );
    expect(jittered).not.toEqual(off);
  });

  it("crops inside the picture, within area and ratio", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 300 }),
        fc.integer({ min: 1, max: 300 }),
        fc.integer(),
        (width, height, seed) => {
          const box = randomCropBox(width, height, [0.08, 1], [3 / 4, 4 / 3], new Random(seed));
          expect(box.left).toBeGreaterThanOrEqual(0);
          expect(box.top).toBeGreaterThanOrEqual(0);
          expect(box.width).toBeGreaterThanOrEqual(1);
          expect(box.height).toBeGreaterThanOrEqual(1);
          expect(box.left + box.width).toBeLessThanOrEqual(width);
          expect(box.top + box.height).toBeLessThanOrEqual(height);
          // Sides are rounded to whole pixels, hence the half pixel.
          expect((box.width - 0.5) / (box.height + 0.5)).toBeLessThanOrEqual(4 / 3);
          expect((box.width + 0.5) / (box.height - 0.5)).toBeGreaterThanOrEqual(3 / 4);
        },
      ),
      { seed: 7 },
    );
  });

  it("names the field of a wrong setting", () => {
    expect(() => augmentConfig({ flip: 2 })).toThrow(ConfigError);
    expect(() => augmentConfig({ flip: 2 })).toThrow(/augmentation flip/);
    expect(() => augmentConfig({ crop: { scale: [0.5, 0.1], ratio: [1, 1] } })).toThrow(/crop/);
    expect(() => augmentConfig({ mirror: 1 } as never)).toThrow(/mirror/);
  });
});
