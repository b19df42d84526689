// Encodes a picture once and asks for several vocabularies; shows how long each takes.
//
//   node examples/relabel.mjs [picture]

import { fileURLToPath } from "node:url";
import { GroupViT } from "groupvit";

const file = process.argv[2] ?? fileURLToPath(new URL("sample.jpg", import.meta.url));
const model = await GroupViT.load();

const timed = async (what, work) => {
  const start = performance.now();
  const result = await work();
  console.log(`${what}: ${(performance.now() - start).toFixed(1)} ms`);
  return result;
};
const picture = await timed("encode", () => model.encode(file));
for (const words of ["tree, house", "forest, building, sky", "tree, house"]) {
  const { labels, areas } = await timed(words, () => picture.segment(words));
  console.log("  largest:", labels[areas.indexOf(Math.max(...areas))]);
}
const [first, last] = picture.groups();
console.log(`${first.groups} first groups merge into ${last.groups} segments`);
await model.release();
