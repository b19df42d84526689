// Segments a picture by words and writes the picture with its mask painted over it.
//
//   node examples/segment.mjs [picture] ["dog, tree, sky"]

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { drawOverlay, GroupViT } from "groupvit";

const sample = fileURLToPath(new URL("sample.jpg", import.meta.url));
const [file = sample, words = "tree, house, sun"] = process.argv.slice(2);

const model = await GroupViT.load(); // the bundled model; name another, such as a Hub id
const picture = await model.encode(file);
const result = await picture.segment(words);
result.labels.forEach((label, i) => {
  const share = (100 * result.areas[i]) / result.map.length;
  console.log(
    `${label}: ${share.toFixed(1)} % of the picture, score ${result.scores[i].toFixed(2)}`,
  );
});
await writeFile("overlay.png", await drawOverlay(picture.picture, result));
console.log("overlay.png written");
await model.release();
