// The example of the published model card, line by line, with Hugging Face's names in camel case.
//
//   node examples/transformers.mjs [model]     such as nvidia/groupvit-gcc-yfcc

import { fileURLToPath } from "node:url";
import { AutoProcessor, GroupViTModel } from "groupvit";

const name = process.argv[2] ?? fileURLToPath(new URL("../models/scenes", import.meta.url));
const image = fileURLToPath(new URL("sample.jpg", import.meta.url));

const model = await GroupViTModel.fromPretrained(name);
const processor = await AutoProcessor.fromPretrained(name);
const inputs = await processor({
  text: ["a drawing of a tree", "a drawing of a fish"],
  images: image,
  padding: true,
});
const outputs = await model(inputs);
const logitsPerImage = outputs.logitsPerImage; // this is the image-text similarity score
const probs = logitsPerImage.softmax(1); // we can take the softmax to get the label probabilities
console.log(probs.tolist());
