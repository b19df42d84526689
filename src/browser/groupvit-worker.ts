// The worker: holds one model and the pictures that a page has encoded with it, and answers the page.

import { InputError, PictureError } from "../errors.js";
import type { EncodedPicture } from "../groupvit.js";
import { GroupViTBase } from "../groupvit.js";
import type { PictureSource } from "../input/decode.browser.js";
import { checkSize, DEFAULT_MAX_PIXELS } from "../input/limits.js";
import type { Picture } from "../input/picture.js";
import { browserPlatform, openCheckpoint } from "../platform.browser.js";
import { OutOfMemoryError } from "../runtime/session.web.js";
import { chooseDevice } from "./device.js";
import type { Calls, FromWorker, LoadedModel, SentPicture, ToWorker } from "./protocol.js";
import { buffersIn, sendError } from "./protocol.js";

/** The worker's own scope; TypeScript's DOM library knows only the page's. */
declare const self: {
  location: { href: string };
  onmessage: ((event: MessageEvent<ToWorker>) => void) | null;
  postMessage(message: FromWorker, transfer?: Transferable[]): void;
};

let model: GroupViTBase<PictureSource> | undefined;
const pictures = new Map<number, EncodedPicture>();
let encoded = 0;
const running = new Map<number, AbortController>();

self.onmessage = ({ data: message }) => {
  if (message.call === "abort") running.get(message.id)?.abort();
  else void answer(message);
};

async function answer(message: Exclude<ToWorker, { call: "abort" }>): Promise<void> {
  const { id } = message;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const got = await compute(message, controller.signal);
    self.postMessage({ id, got }, buffersIn(got));
  } catch (error) {
    self.postMessage({ id, failed: sendError(error, isFatal(error)) });
  } finally {
    running.delete(id);
  }
}

function compute(
  message: Exclude<ToWorker, { call: "abort" }>,
  signal: AbortSignal,
): Promise<Calls[keyof Calls]["got"]> {
  switch (message.call) {
    case "load":
      return load(message.id, message.given, signal);
    case "encode":
      return encode(message.given, signal);
    case "ask":
      return ask(message.given, signal);
    case "free":
      pictures.delete(message.given.picture);
      return Promise.resolve(undefined);
  }
}

async function load(
  id: number,
  { source, base, options }: Calls["load"]["given"],
  signal: AbortSignal,
): Promise<LoadedModel> {
  const { dtype, tokenizer, positions, wasmPath } = options;
  const models = options.models ?? new URL("models/", self.location.href).href;
  const [checkpoint, { device, threads, reason }] = await Promise.all([
    openCheckpoint(source, {
      base,
      models,
      revision: options.revision,
      cache: options.cache,
      signal,
      onProgress: (progress) => self.postMessage({ id, progress }),
      onWarning: (warning) => self.postMessage({ id, warning }),
    }),
    chooseDevice(options),
  ]);
  const platform = { ...browserPlatform, openCheckpoint: async () => checkpoint };
  model = await GroupViTBase.open(platform, source, {
    device,
    threads,
    dtype,
    tokenizer,
    positions,
    wasmPath,
  });
  // What the engine lacks is told now, and the first picture does not wait for it.
  const { patchSize, numChannels } = model.config.vision;
  await model.engine.encodeImages(new Float32Array(4 * patchSize ** 2 * numChannels), 1, 2, 2);
  await model.embedTexts(["a"], signal);
  return { name: checkpoint.source, config: model.config, device, threads, deviceReason: reason };
}

async function encode(
  { source, options }: Calls["encode"]["given"],
  signal: AbortSignal,
): Promise<Calls["encode"]["got"]> {
  const picture = await loadedModel().encode(toSource(source, options.maxPixels), {
    ...options,
    signal,
  });
  pictures.set(++encoded, picture);
  return { picture: encoded, width: picture.width, height: picture.height };
}

async function ask(
  { picture: id, method, args }: Calls["ask"]["given"],
  signal: AbortSignal,
): Promise<Calls["ask"]["got"]> {
  const picture = pictures.get(id);
  if (!picture) throw new InputError(`${method}: the picture was released; encode it again`);
  switch (method) {
    case "groups":
      return picture.groups(...args);
    case "segment":
      return picture.segment(args[0], { ...args[1], signal });
    case "explain":
      return picture.explain(args[0], { ...args[1], signal });
    case "classify":
      return picture.classify(args[0], { ...args[1], signal });
  }
}

function loadedModel(): GroupViTBase<PictureSource> {
  if (!model) throw new InputError("model: none is loaded; load one first");
  return model;
}

/** A source that the decoder knows: of bitmaps and canvas data, their pixels. */
function toSource(source: SentPicture, maxPixels = DEFAULT_MAX_PIXELS): PictureSource {
  if (source instanceof ImageData) {
    checkSize("picture", source.width, source.height, maxPixels);
    return opaque(source);
  }
  if (!(source instanceof ImageBitmap)) return source;
  try {
    const { width, height } = source;
    checkSize("picture", width, height, maxPixels);
    const context = new OffscreenCanvas(width, height).getContext("2d", {
      willReadFrequently: true,
    });
    if (!context) throw new PictureError(`picture: ${width} x ${height} exceeds the canvas`);
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.drawImage(source, 0, 0);
    return opaque(context.getImageData(0, 0, width, height));
  } finally {
    source.close();
  }
}

/** Pixels without alpha, over white as the decoder puts them. */
function opaque({ width, height, data: rgba }: ImageData): Picture {
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; to < data.length; from += 4, to += 3) {
    const alpha = rgba[from + 3]! / 255;
    for (let c = 0; c < 3; c++) {
      data[to + c] = Math.round(rgba[from + c]! * alpha + 255 * (1 - alpha));
    }
  }
  return { width, height, data };
}

/** Whether the engine cannot be trusted with another call. */
function isFatal(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof OutOfMemoryError || cause instanceof WebAssembly.RuntimeError) return true;
  }
  return false;
}
