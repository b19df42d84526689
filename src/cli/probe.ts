// Computes a small product on the device named by the argument and exits with 0 if it is right. Run by
// `groupvit doctor` as a process of its own: a broken driver takes its process down with it.

import { input, matmul } from "../graph/build.js";
import { toOnnx } from "../graph/onnx.js";
import { type Device, floats } from "../runtime/session.js";
import { createSession } from "../runtime/session.node.js";

try {
  const [a, b] = [input("a", "f32", [2, 2]), input("b", "f32", [2, 2])];
  const session = await createSession(toOnnx({ product: matmul(a, b) }), {
    device: process.argv[2] as Device,
  });
  const value = { shape: [2, 2], data: Float32Array.of(1, 2, 3, 4) };
  const product = floats(await session.run({ a: value, b: value }), "product");
  await session.release();
  if (product.join() !== "7,10,15,22") throw new Error(`computes wrong numbers: ${product.join()}`);
} catch (error) {
  process.stdout.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
