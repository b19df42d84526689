// GroupViT on a page: the same calls as in Node, answered by a worker, so that the page never waits.

import { InputError } from "../errors.js";
import type {
  EncodedPicture,
  EncodeOptions,
  ExplainOptions,
  GroupStage,
  LoadOptions,
  Ranked,
  Segmentation,
  SegmentOptions,
} from "../groupvit.js";
import type { PictureSource } from "../input/decode.browser.js";
import type { GroupViTConfig } from "../model/config.js";
import type { ModelSource } from "../platform.js";
import { Connection } from "./connection.js";
import type { FileSource } from "./files.js";
import { modelFiles } from "./files.js";
import type {
  BrowserDevice,
  Calls,
  LoadedModel,
  LoadProgress,
  PictureMethod,
  SentPicture,
} from "./protocol.js";

/** Options of `GroupViT.load` on a page. */
export interface BrowserLoadOptions
  extends Pick<LoadOptions, "revision" | "threads" | "dtype" | "tokenizer" | "positions"> {
  /**
   * `auto` (default): WebGPU where there is a graphics card and its self-test passes, else WebAssembly.
   * `webgpu` fails where the self-test does.
   */
  device?: BrowserDevice | "auto";
  /** Bytes so far and in all, over all files of the model. */
  onProgress?(progress: LoadProgress): void;
  /** Something worth telling that is no error, such as weights that could not be stored. */
  onWarning?(message: string): void;
  /** Stops the downloads at once. */
  signal?: AbortSignal;
  /** Address of `groupvit-worker.js`. Default: beside this script. */
  workerUrl?: string | URL;
  /** Folder or address of the engine's wasm file. Default: beside the worker. */
  wasmPath?: string;
  /** Folder that holds the bundled models. Default: `models/` beside the worker. */
  models?: string;
  /** Keep downloaded weights in the browser's Cache Storage. Default true. */
  cache?: boolean;
}

/** What `encode` takes: a file, an address, pixels of any kind. */
export type BrowserPictureSource = PictureSource | ImageBitmap | ImageData;

type Answer<M extends PictureMethod> = Promise<Awaited<ReturnType<EncodedPicture[M]>>>;

/** Tells the worker to forget a picture that the page has forgotten. */
const forgotten = new FinalizationRegistry<() => void>((free) => free());

/**
 * A model in a worker.
 *
 * @example
 * const model = await GroupViT.load(); // the bundled one; or a Hub id, an address, dropped files
 * const picture = await model.encode(input.files[0]); // once
 * const { labels, map, scores } = await picture.segment("dog, tree, sky"); // as often as you like
 */
export class GroupViT {
  readonly name: string;
  readonly config: GroupViTConfig;
  /** Where it computes. */
  readonly device: BrowserDevice;
  /** Threads of the engine; 1 on WebGPU. */
  readonly threads: number;
  /** A sentence: which device, and why. */
  readonly deviceReason: string;

  private constructor(
    private readonly connection: Connection,
    loaded: LoadedModel,
  ) {
    this.name = loaded.name;
    this.config = loaded.config;
    this.device = loaded.device;
    this.threads = loaded.threads;
    this.deviceReason = loaded.deviceReason;
  }

  /**
   * Loads a model into a worker of its own.
   *
   * @param source nothing for the bundled model, a Hub id such as `nvidia/groupvit-gcc-yfcc`, the address
   *   of a model folder or weight file, or a model's files: by name, as a list, or as dropped
   * @throws CheckpointError, ConfigError, HubError or InputError with the way out; the signal's reason
   */
  static async load(
    source?: ModelSource | FileSource,
    options: BrowserLoadOptions = {},
  ): Promise<GroupViT> {
    const { signal, onProgress, onWarning, workerUrl, ...rest } = options;
    signal?.throwIfAborted();
    // Dropped items can only be read before anything is waited for.
    const files = typeof source === "object" ? modelFiles(source) : source;
    const connection = new Connection(workerUrl);
    try {
      const given = {
        source: await files,
        base: document.baseURI,
        options: { device: "auto", dtype: "fp32", cache: true, ...defined(rest) },
      } as Calls["load"]["given"];
      const loaded = await connection.call("load", given, { signal, onProgress, onWarning });
      return new GroupViT(connection, loaded);
    } catch (error) {
      connection.end(new InputError("model: it did not load; load it again"));
      throw error;
    }
  }

  /**
   * Encodes a picture, once for any number of vocabularies.
   *
   * @param source a file or blob, an address, bytes, pixels, or an `ImageBitmap` or `ImageData`
   * @throws PictureError if it cannot be read or is too large; the signal's reason
   */
  async encode(
    source: BrowserPictureSource,
    { signal, ...options }: EncodeOptions = {},
  ): Promise<BrowserPicture> {
    const given = { source: sendable(source), options };
    const { picture, width, height } = await this.connection.call("encode", given, { signal });
    return new BrowserPicture(this.connection, picture, width, height);
  }

  /** Ends the worker and frees its memory; what still runs is rejected. */
  async release(): Promise<void> {
    this.connection.end(new InputError("model: it was released; load it again"));
  }
}

/** A picture that went through the image tower; made by `GroupViT.encode`. */
export class BrowserPicture {
  private readonly free: () => void;

  constructor(
    private readonly connection: Connection,
    private readonly id: number,
    /** Pixels of the picture, turned upright. */
    readonly width: number,
    readonly height: number,
  ) {
    // Must not hold the picture, or it would never be forgotten.
    this.free = () => void connection.call("free", { picture: id }).catch(() => {});
    forgotten.register(this, this.free, this);
  }

  /** Gives every pixel the word that fits best. See `EncodedPicture.segment`. */
  segment(labels: string | readonly string[], options: SegmentOptions = {}): Promise<Segmentation> {
    const { signal, ...rest } = options;
    return this.ask("segment", [labels, rest], signal);
  }

  /** Says why `segment` gives every pixel its label. See `EncodedPicture.explain`. */
  explain(labels: string | readonly string[], options: ExplainOptions = {}): Answer<"explain"> {
    const { signal, ...rest } = options;
    return this.ask("explain", [labels, rest], signal);
  }

  /** Ranks labels for the picture as a whole. See `EncodedPicture.classify`. */
  classify(
    labels: string | readonly string[],
    options: NonNullable<Parameters<EncodedPicture["classify"]>[1]> = {},
  ): Promise<Ranked[]> {
    const { signal, ...rest } = options;
    return this.ask("classify", [labels, rest], signal);
  }

  /** The groups of every grouping block. See `EncodedPicture.groups`. */
  groups(...args: Parameters<EncodedPicture["groups"]>): Promise<GroupStage[]> {
    return this.ask("groups", args);
  }

  /** Frees the worker's memory of this picture, which cannot be asked anything after it. */
  release(): void {
    forgotten.unregister(this);
    this.free();
  }

  private ask<M extends PictureMethod>(
    method: M,
    args: Parameters<EncodedPicture[M]>,
    signal?: AbortSignal,
  ): Answer<M> {
    const given = { picture: this.id, method, args } as Calls["ask"]["given"];
    return this.connection.call("ask", given, { signal }) as Answer<M>;
  }
}

/** A source as it can be sent: addresses mean what they mean on this page. */
function sendable(source: BrowserPictureSource): SentPicture {
  if (typeof source !== "string" && !(source instanceof URL)) return source;
  // What is no address is left for the worker to refuse in its own words.
  return URL.canParse(source, document.baseURI)
    ? new URL(source, document.baseURI).href
    : String(source);
}

/** Without fields that are there but undefined, which would hide defaults. */
function defined<T extends object>(options: T): T {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as T;
}
