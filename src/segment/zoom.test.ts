import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Picture } from "../input/picture.js";
import { Random } from "../random.js";
import { decode } from "./decode.js";
import { layoutPieces } from "./layout.js";
import { chooseLooks, findPieces, joinLooks, lookAt } from "./zoom.js";

describe("findPieces", () => {
  it("numbers pixels alike where a path over sides joins them, and nowhere else", () => {
    const shape = fc.record({
      width: fc.integer({ min: 1, max: 9 }),
      height: fc.integer({ min: 1, max: 9 }),
      values: fc.integer({ min: 1, max: 3 }),
      seed: fc.nat(),
    });
    fc.assert(
      fc.property(shape, ({ width, height, values, seed }) => {
        const random = new Random(seed);
        const segments = Uint16Array.from({ length: width * height }, () => random.integer(values));
        const { map, pieces } = findPieces(segments, { width, height });
        // Labels spread to the smallest of their neighbours until nothing moves.
        const joined = Int32Array.from(segments, (_, i) => i);
        for (let moved = true; moved; ) {
          moved = false;
          for (let i = 0; i < joined.length; i++) {
            const x = i % width;
            const around = [x > 0 ? i - 1 : i, x + 1 < width ? i + 1 : i, i - width, i + width];
            for (const j of around) {
              if (segments[j] !== segments[i] || joined[j]! >= joined[i]!) continue;
              joined[i] = joined[j]!;
              moved = true;
            }
          }
        }
        const order = [...new Set(joined)];
        expect([...map]).toEqual(Array.from(joined, (first) => order.indexOf(first)));
        for (const [number, { segment, pixels, box }] of pieces.entries()) {
          const own = [...map.keys()].filter((i) => map[i] === number);
          expect([segment, pixels]).toEqual([segments[own[0]!], own.length]);
          const [xs, ys] = [own.map((i) => i % width), own.map((i) => Math.floor(i / width))];
          expect(box).toEqual({
            x0: Math.min(...xs),
            y0: Math.min(...ys),
            x1: Math.max(...xs) + 1,
            y1: Math.max(...ys) + 1,
          });
        }
      }),
      { seed: 16 },
    );
  });

  it("holds a snake through the whole picture", () => {
    const width = 401;
    const snake = Uint16Array.from({ length: width * width }, (_, i) => {
      const [x, y] = [i % width, Math.floor(i / width)];
      return y % 2 === 0 || x === (y % 4 === 1 ? width - 1 : 0) ? 1 : 0;
    });
    const { pieces } = findPieces(snake, { width, height: width });
    expect(pieces.filter(({ segment }) => segment === 1)).toHaveLength(1);
  });
});

describe("chooseLooks", () => {
  const view = { width: 100, height: 50 };
  const block = (
    x0: number,
    y0: number,
    x1: number,
    y1: number,
    value: number,
    map: Uint16Array,
  ) => {
    for (let y = y0; y < y1; y++) map.fill(value, y * view.width + x0, y * view.width + x1);
  };

  it("looks twice at what is neither ground nor speck, around its middle, in the picture's own pixels", () => {
    const map = new Uint16Array(5000);
    block(40, 20, 60, 30, 1, map); // 200 pixels
    block(5, 5, 8, 8, 2, map); // 9 pixels of 5,000
    const looks = chooseLooks(findPieces(map, view), view, { width: 200, height: 100 });
    expect(looks).toEqual([
      { piece: 2, window: { x0: 70, y0: 20, x1: 130, y1: 80 } },
      { piece: 2, window: { x0: 58, y0: 8, x1: 142, y1: 92 } },
    ]);
  });

  it("looks at no more than 16 pieces, the largest", () => {
    const map = new Uint16Array(5000);
    for (let i = 0; i < 36; i++) {
      const [x, y] = [1 + 11 * (i % 9), 1 + 12 * Math.floor(i / 9)];
      block(x, y, x + 9, y + 4 + (i < 16 ? 2 : 0), i + 1, map);
    }
    const pieces = findPieces(map, view);
    const looked = new Set(chooseLooks(pieces, view, view).map(({ piece }) => piece));
    expect([...looked].map((piece) => pieces.pieces[piece]!.segment).sort((a, b) => a - b)).toEqual(
      Array.from({ length: 16 }, (_, i) => i + 1),
    );
  });
});

describe("lookAt", () => {
  const picture: Picture = {
    width: 4,
    height: 3,
    data: Uint8Array.from({ length: 36 }, (_, i) => 10 * Math.floor(i / 3) + (i % 3)),
  };

  it("shows a window as it is, and beyond the picture its nearest pixels", () => {
    const { data, ...size } = lookAt(
      picture,
      { piece: 0, window: { x0: -2, y0: -1, x1: 5, y1: 6 } },
      7,
    );
    expect(size).toEqual({ width: 7, height: 7 });
    for (let y = 0; y < 7; y++) {
      for (let x = 0; x < 7; x++) {
        const at = Math.min(3, Math.max(0, x - 2)) + 4 * Math.min(2, Math.max(0, y - 1));
        const from = 3 * (7 * y + x);
        expect([...data.subarray(from, from + 3)]).toEqual([10 * at, 10 * at + 1, 10 * at + 2]);
      }
    }
  });

  it("is a square of any side, however thin what lies inside", () => {
    const window = { x0: 3, y0: -400, x1: 1003, y1: 600 };
    const { width, height, data } = lookAt(picture, { piece: 0, window }, 32);
    expect([width, height, data.length]).toEqual([32, 32, 3072]);
  });
});

describe("two looks", () => {
  const size = { width: 8, height: 8 };
  // Two segments: the left half, and the right half but for a block of 2 x 2 of the left one.
  const segments = Uint16Array.from({ length: 64 }, (_, i) => {
    const [x, y] = [i % 8, Math.floor(i / 8)];
    return x < 4 || (x >= 6 && y >= 6) ? 0 : 1;
  });
  const pieces = findPieces(segments, size);
  const encoding = {
    segmentEmbeds: Float32Array.of(1, 0, 0, 0.1, 0.7, 0.7),
    imageEmbed: Float32Array.of(1, 0, 0),
  };
  const labels = Float32Array.of(1, 0, 0, 0, 1, 0, 0, 0, 1);
  const look = (piece: number) => ({ piece, window: { x0: 0, y0: 0, x1: 4, y1: 4 } });
  const draw = (looks: number[], images: Float32Array[], topK: number, threshold = 0) => {
    const zoomed = joinLooks(encoding, pieces, looks.map(look), images);
    const layout = layoutPieces(zoomed, encoding.imageEmbed, size, size);
    const background = { kind: "threshold", threshold } as const;
    return decode(layout, labels, { logitScale: 10, topK, background });
  };

  it("name a piece together; what was not looked at keeps its name", () => {
    // Pieces: left, right, block. The block alone is seen to be the second label.
    const { map } = draw([2, 2], [Float32Array.of(0, 1, 0), Float32Array.of(0, 1, 0)], 3);
    expect([map[0], map[63]]).toEqual([1, 2]);
    expect(draw([2], [Float32Array.of(1, 0, 0)], 3).map[63]).toBe(1);
  });

  it("let any label win, also beyond those nearest to the whole picture", () => {
    expect(draw([], [], 1).map[5]).toBe(1);
    expect(draw([1], [Float32Array.of(0, 0, 1)], 1).map[5]).toBe(3);
  });

  it("leave what is ground to the first look", () => {
    // The right half is between two labels, which is below the threshold; its look is sure.
    expect(draw([1], [Float32Array.of(0, 0, 1)], 3, 0.5).map[5]).toBe(0);
    expect(draw([1], [Float32Array.of(0, 0, 1)], 3, 0.1).map[5]).toBe(3);
  });

  it("that cancel out leave the first", () => {
    const { closeEmbeds } = joinLooks(encoding, pieces, [look(0)], [Float32Array.of(-1, 0, 0)]);
    expect([...closeEmbeds.subarray(0, 3)]).toEqual([1, 0, 0]);
  });
});
