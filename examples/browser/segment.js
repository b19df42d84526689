// The smallest page that segments a picture: load a model, encode a picture, paint its labels.

import { GroupViT, labelPalette } from "../../dist-browser/groupvit.js";

const [file, words, status, canvas] = ["file", "words", "status", "canvas"].map((id) =>
  document.getElementById(id),
);
const context = canvas.getContext("2d");
const say = (text) => {
  status.textContent = text;
};

let bitmap;
let picture;

/** Paints every label in its colour, half transparent, over the picture. */
function paint({ map, labels }) {
  const colours = labelPalette(labels.length, false);
  const mask = new ImageData(picture.width, picture.height);
  map.forEach((label, i) => {
    mask.data.set([...colours.subarray(3 * label, 3 * label + 3), 140], 4 * i);
  });
  const layer = new OffscreenCanvas(picture.width, picture.height);
  layer.getContext("2d").putImageData(mask, 0, 0);
  canvas.width = picture.width;
  canvas.height = picture.height;
  context.drawImage(bitmap, 0, 0);
  context.drawImage(layer, 0, 0);
}

async function segment() {
  if (!picture) return;
  const result = await picture.segment(words.value);
  paint(result);
  const shares = result.labels.map((label, i) => {
    const share = (100 * result.areas[i]) / result.map.length;
    return `${label} ${share.toFixed(0)} %`;
  });
  say(shares.join(", "));
}

/** What goes wrong is an error whose message tells the visitor what to do. */
const told = (work) => () => work().catch((error) => say(error.message));

try {
  const model = await GroupViT.load(undefined, {
    onProgress: ({ loaded, total }) => say(`Loading the model: ${loaded} of ${total} bytes`),
  });
  say(`${model.deviceReason} Choose a picture.`);
  file.onchange = told(async () => {
    picture?.release();
    picture = undefined;
    const encoded = await model.encode(file.files[0]);
    bitmap = await createImageBitmap(file.files[0]);
    picture = encoded;
    await segment();
  });
  words.oninput = told(segment);
  file.disabled = false;
} catch (error) {
  say(error.message);
}
