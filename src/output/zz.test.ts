import { mkdirSync, writeFileSync } from "node:fs";
import { test } from "vitest";
import { Random } from "../random.js";
import { drawGroups } from "./groups.node.js";
import { drawOverlay } from "./overlay.node.js";

function vor(w: number, h: number, n: number, seed: number) {
  const r = new Random(seed);
  const px: number[] = [],
    py: number[] = [];
  const s = Math.max(w, h);
  for (let i = 0; i < n; i++) {
    px.push(r.uniform() * w);
    py.push(r.uniform() * h);
  }
  const m = new Uint8Array(w * h);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      let b = 1e18,
        bi = 0;
      for (let i = 0; i < n; i++) {
        const d =
          (x - px[i] + s * 0.03 * Math.sin((12 * y) / s)) ** 2 +
          (y - py[i] + s * 0.02 * Math.sin((17 * x) / s)) ** 2;
        if (d < b) {
          b = d;
          bi = i;
        }
      }
      m[y * w + x] = bi;
    }
  return m;
}
function scene(w: number, h: number) {
  const data = new Uint8Array(w * h * 3);
  const s = Math.max(w, h);
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const p = (y * w + x) * 3;
      const t = y / h,
        tex = 18 * Math.sin((x * 90) / s) * Math.sin((y * 70) / s);
      const sun = Math.hypot(x - w * 0.75, y - h * 0.25) < s * 0.08 ? 90 : 0;
      data[p] = Math.max(0, Math.min(255, 110 + 90 * t + tex + sun));
      data[p + 1] = Math.max(0, Math.min(255, 150 - 30 * t + tex + sun));
      data[p + 2] = Math.max(0, Math.min(255, 220 - 160 * t + tex + sun / 3));
    }
  return { width: w, height: h, data };
}
const names = [
  "sky",
  "grass",
  "golden retriever",
  "person riding a bicycle",
  "tree",
  "a really very long label that nobody would ever write in earnest, but somebody will",
  "cat",
  "Škoda Ωmega ñ",
  "猫 שלום",
  "road",
];
test("draw", async () => {
  mkdirSync("/tmp/draw", { recursive: true });
  for (const [w, h, n] of [
    [64, 48, 5],
    [640, 427, 10],
    [300, 900, 7],
    [2400, 1600, 9],
    [64, 600, 4],
    [1200, 90, 5],
    [500, 500, 30],
  ] as const) {
    const labels = Array.from({ length: n }, (_, i) => names[i] ?? `label ${i}`);
    const m = vor(w, h, n + 3, 5);
    const map = m.map((v) => v % (n + 1));
    writeFileSync(
      `/tmp/draw/o${w}x${h}.png`,
      await drawOverlay(scene(w, h), { width: w, height: h, labels, background: true, map }),
    );
    if (w === 640) {
      const first = vor(w, h, 40, 9);
      const final = first.map((v) => v % 8);
      const prediction = {
        width: w,
        height: h,
        labels,
        background: true,
        map: final.map((v) => v % 5),
      };
      const g = {
        picture: scene(w, h),
        firstGroups: { width: w, height: h, map: first },
        finalGroups: { width: w, height: h, map: final },
        prediction,
      };
      for (const mode of ["all_groups", "sheet", "pred"] as const)
        writeFileSync(`/tmp/draw/g-${mode}.png`, await drawGroups(mode, g));
    }
  }
  {
    const w = 8000,
      h = 6000;
    const p = scene(w, h);
    const m = vor(w, h, 8, 3);
    const t = performance.now();
    const b = await drawOverlay(
      p,
      { width: w, height: h, labels: names, background: false, map: m },
      { format: "jpeg" },
    );
    console.log("8000", performance.now() - t, b.length, process.memoryUsage().rss / 1e6);
    writeFileSync("/tmp/draw/o8000.jpg", b);
    const t2 = performance.now();
    const c = await drawOverlay(p, {
      width: w,
      height: h,
      labels: names,
      background: false,
      map: m,
    });
    console.log("8000 png", performance.now() - t2, c.length);
  }
}, 200000);
