// Entry of the threads that draw samples. `drawn-stream.ts` starts them and speaks to them.

import { parentPort, workerData } from "node:worker_threads";
import { drawer } from "./draw.js";
import type { DrawReply, DrawRequest, DrawStart } from "./drawn-stream.js";

const { config, patches } = workerData as DrawStart;
const draw = drawer(config);

parentPort!.on("message", ({ task, first, count, size, place }: DrawRequest) => {
  let reply: DrawReply;
  try {
    const texts: DrawReply["texts"] = [];
    for (let i = 0; i < count; i++) {
      const sample = draw(first + i, size);
      const { length } = sample.patches;
      new Float32Array(patches, (place + i * length) * 4, length).set(sample.patches);
      texts.push({ caption: sample.caption, prompts: sample.prompts, nouns: sample.nouns });
    }
    reply = { task, texts };
  } catch (error) {
    reply = { task, texts: [], error: String(error) };
  }
  parentPort!.postMessage(reply);
});
