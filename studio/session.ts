// What the studio does: loads a model, encodes a picture once, and relabels it whenever settings change.
// Holds the state that the panels show; they never change it themselves.

import {
  type BrowserLoadOptions,
  type BrowserPicture,
  type Explanation,
  type FileSource,
  type GroupStage,
  GroupViT,
} from "groupvit/browser";
import { History } from "./history.js";
import { explainError, type Message } from "./messages.js";
import {
  type Format,
  groupColours,
  type Layer,
  type Painted,
  type Side,
  startPainter,
  wordColours,
} from "./paint.js";
import { type Sample, sampleFile } from "./samples.js";
import { DEFAULTS, fromLink, labelsOf, type Settings, segmentOptions, toLink } from "./settings.js";

/** A mask as the panels know it; its pixels are with the painter. */
export interface Mask extends Painted {
  readonly labels: readonly string[];
  readonly background: boolean;
  readonly scores: Float32Array;
  readonly areas: Uint32Array;
}

export interface Groups {
  readonly first: Painted & { readonly nodes: GroupStage["nodes"] };
  readonly last: Painted & { readonly nodes: GroupStage["nodes"] };
}

/** What the pointer or the keyboard points at. */
export interface Pointed {
  readonly layer: Layer;
  /** A region of the explanation, or a group of a grouping block. */
  readonly place: number;
  readonly shade?: ImageBitmap;
}

export interface Progress {
  readonly file: string;
  readonly loaded: number;
  readonly total: number;
}

/** Which numbers the engine computes with. */
export type Dtype = NonNullable<BrowserLoadOptions["dtype"]>;

export interface State {
  readonly settings: Settings;
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  /** Bytes of the model that is being loaded. */
  readonly loading?: Progress;
  /** Of the model that is loaded next, and of those after it. */
  readonly dtype: Dtype;
  readonly model?: Pick<GroupViT, "device" | "threads" | "deviceReason" | "name"> & {
    bytes: number;
    dtype: Dtype;
  };
  readonly picture?: { name: string; width: number; height: number; bitmap: ImageBitmap };
  readonly encoding: boolean;
  /** Labelling takes so long that the page says so. */
  readonly labelling: boolean;
  readonly live: boolean;
  readonly encodeMs?: number;
  readonly relabelMs?: number;
  readonly masks: Partial<Record<Side, Mask>>;
  readonly explanations: Partial<Record<Side, Explanation>>;
  readonly groups?: Groups;
  readonly pointed?: Pointed;
  readonly pinned: boolean;
  readonly error?: Message;
}

/** How long labelling may take before the page says that it goes on. */
const SAY_AFTER_MS = 300;
/** How long labelling goes on that nobody waits for any more: typing shows what it can until then. */
const GIVE_UP_MS = 1500;
/** Least time between two addresses: browsers refuse more than about three a second. */
const LINK_MS = 400;

export class Session {
  private readonly history: History;
  private readonly painter = startPainter();
  private readonly listeners = new Set<() => void>();
  private model?: GroupViT;
  private encoded?: BrowserPicture;
  /** How that was encoded: only a whole picture has groups. */
  private encodedMode: Settings["mode"] = "whole";
  private loadingAbort?: AbortController;
  private encodingAbort?: AbortController;
  private encodingRun?: Promise<void>;
  private labellingAbort?: AbortController;
  private readonly labelLatest = latest(() => this.relabelNow());
  private readonly point = latest(() => this.pointNow());
  private wanted?: { layer: Layer; x: number; y: number };
  /** Counts what was pointed at or let go of: a shade that comes back for an older count is dropped. */
  private aim = 0;
  /** Counts what people asked to see: a picture or a camera that comes later than a newer one is dropped. */
  private asked = 0;
  private stream?: MediaStream;
  private linked = Number.NEGATIVE_INFINITY;
  private linking?: ReturnType<typeof setTimeout>;
  state: State;

  constructor(hash: string) {
    this.history = new History({ ...DEFAULTS, ...fromLink(hash) });
    this.state = {
      settings: this.history.now,
      canUndo: false,
      canRedo: false,
      dtype: "fp32",
      encoding: false,
      labelling: false,
      live: false,
      masks: {},
      explanations: {},
      pinned: false,
    };
  }

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }

  // Settings

  change(change: Partial<Settings>): void {
    this.history.change(change, performance.now());
    this.settle();
  }

  undo(): void {
    this.history.undo();
    this.settle();
  }

  redo(): void {
    this.history.redo();
    this.settle();
  }

  /** The address of the page with what is set now. */
  get link(): string {
    const address = new URL(location.href);
    address.hash = toLink(this.state.settings);
    return address.href;
  }

  /** Takes the settings of a link that is opened where the page is open already. */
  followLink(hash: string): void {
    const settings = { ...DEFAULTS, ...fromLink(hash) };
    if (toLink(settings) !== toLink(this.state.settings)) this.change(settings);
  }

  private settle(): void {
    const before = this.state.settings;
    const { now: settings, canUndo, canRedo } = this.history;
    this.set({ settings, canUndo, canRedo });
    this.showLink();
    if (before.mode !== settings.mode && this.source) void this.encode();
    const shown = { ...before, opacity: settings.opacity };
    if (toLink(shown) !== toLink(settings)) {
      this.unpin();
      void this.relabel();
    }
  }

  private showLink(): void {
    clearTimeout(this.linking);
    const wait = this.linked + LINK_MS - performance.now();
    if (wait > 0) {
      this.linking = setTimeout(() => this.showLink(), wait);
      return;
    }
    this.linked = performance.now();
    window.history.replaceState(null, "", this.link);
  }

  // The model

  /** Loads a model: the bundled one, a Hub id, or files. */
  async loadModel(source?: string | FileSource): Promise<void> {
    this.loadingAbort?.abort();
    const abort = new AbortController();
    this.loadingAbort = abort;
    this.loadingSource = source;
    const { dtype } = this.state;
    this.set({ loading: { file: "", loaded: 0, total: 0 }, error: undefined });
    let bytes = 0;
    try {
      const model = await GroupViT.load(source, {
        dtype,
        signal: abort.signal,
        onProgress: (progress) => {
          bytes = progress.total;
          if (this.loadingAbort === abort) this.set({ loading: progress });
        },
      });
      if (abort.signal.aborted) return void model.release();
      // What the model before still computes is given up first: its end is no error.
      this.encodingAbort?.abort();
      const before = this.model;
      this.model = model;
      this.modelSource = source;
      this.encoded = undefined;
      void before?.release();
      const { device, threads, deviceReason } = model;
      const name = typeof source === "object" ? "your files" : model.name;
      this.set({ model: { device, threads, deviceReason, name, bytes, dtype } });
      if (this.source && !this.state.live) await this.encode();
    } catch (error) {
      if (!abort.signal.aborted) this.fail(error, "model");
    } finally {
      if (this.loadingAbort === abort) {
        this.loadingAbort = undefined;
        this.set({ loading: undefined, dtype: this.state.model?.dtype ?? dtype });
      }
    }
  }

  /** Loads the model again, with other numbers. */
  async chooseDtype(dtype: Dtype): Promise<void> {
    this.set({ dtype });
    await this.loadModel(this.loadingAbort ? this.loadingSource : this.modelSource);
  }

  abort(): void {
    this.loadingAbort?.abort();
    this.encodingAbort?.abort();
    this.set({ loading: undefined, encoding: false });
  }

  // The picture

  private source?: { file: Blob; name: string };
  private modelSource?: string | FileSource;
  private loadingSource?: string | FileSource;

  async openSample(sample: Sample): Promise<void> {
    const asked = ++this.asked;
    try {
      const file = await sampleFile(sample);
      if (asked !== this.asked) return;
      await this.open(
        file,
        sample.name,
        labelsOf(this.state.settings.words).length > 0 ? undefined : sample.words,
      );
    } catch (error) {
      if (asked === this.asked) this.fail(error, "picture");
    }
  }

  /** Takes a picture; `words` are set where nobody typed any. */
  async open(file: Blob, name: string, words?: string): Promise<void> {
    this.asked++;
    this.stopLive();
    this.set({ error: undefined });
    try {
      const { width, height, bitmap } = await this.painter.picture(file);
      this.source = { file, name };
      this.encoded?.release();
      this.encoded = undefined;
      this.aim++;
      this.set({
        picture: { name, width, height, bitmap },
        masks: {},
        explanations: {},
        groups: undefined,
        pointed: undefined,
        pinned: false,
      });
      if (words !== undefined) {
        this.history.preset({ words });
        this.set({ settings: this.history.now });
      }
      await this.encode();
    } catch (error) {
      this.fail(error, "picture");
    }
  }

  private encode(): Promise<void> {
    this.encodingRun = this.encodeNow();
    return this.encodingRun;
  }

  private async encodeNow(): Promise<void> {
    this.encodingAbort?.abort();
    if (!this.model || !this.source) return;
    const abort = new AbortController();
    this.encodingAbort = abort;
    this.set({ encoding: true, error: undefined });
    try {
      const start = performance.now();
      const { mode } = this.state.settings;
      const encoded = await this.model.encode(this.source.file, { mode, signal: abort.signal });
      if (abort.signal.aborted) return encoded.release();
      this.encoded?.release();
      this.encoded = encoded;
      this.encodedMode = mode;
      this.set({ encodeMs: performance.now() - start, groups: undefined, encoding: false });
      await this.relabel();
    } catch (error) {
      if (abort.signal.aborted) return;
      // What is shown is of the model before, and not to be saved as this one's.
      if (!this.encoded) this.set({ masks: {}, explanations: {}, groups: undefined });
      this.fail(error, "picture");
    } finally {
      if (this.encodingAbort === abort) {
        this.encodingAbort = undefined;
        this.set({ encoding: false });
      }
    }
  }

  // Words

  private relabel(): Promise<void> {
    const before = this.labellingAbort;
    if (before) setTimeout(() => before.abort(), GIVE_UP_MS);
    return this.labelLatest();
  }

  private async relabelNow(): Promise<void> {
    const { encoded } = this;
    const { settings } = this.state;
    if (!encoded) return;
    const abort = new AbortController();
    this.labellingAbort = abort;
    const { signal } = abort;
    const saying = setTimeout(() => this.set({ labelling: true }), SAY_AFTER_MS);
    try {
      const masks: State["masks"] = {};
      let relabelMs = 0;
      for (const side of settings.compare ? (["a", "b"] as const) : (["a"] as const)) {
        const labels = labelsOf(side === "a" ? settings.words : settings.other);
        if (labels.length === 0) continue;
        const start = performance.now();
        const result = await encoded.segment(labels, {
          ...segmentOptions(settings, labels),
          signal,
        });
        relabelMs += performance.now() - start;
        const { scores, areas, background } = result;
        const colours = wordColours(labels.length, background);
        const painted = await this.painter.mask(side, result, colours);
        masks[side] = { ...painted, labels, background, scores, areas };
      }
      const whole = this.encodedMode === "whole";
      const needsGroups = settings.view !== "words" && whole && !this.state.groups;
      const groups = needsGroups ? await this.paintGroups(encoded) : this.state.groups;
      if (this.encoded !== encoded) return;
      this.set({ masks, groups, explanations: {}, relabelMs });
      this.explainSoon();
    } catch (error) {
      // Another picture, model or vocabulary has come meanwhile, and is labelled next.
      if (this.encoded === encoded && !signal.aborted) this.fail(error, "work");
    } finally {
      clearTimeout(saying);
      this.labellingAbort = undefined;
      if (this.state.labelling) this.set({ labelling: false });
    }
  }

  private explaining?: ReturnType<typeof setTimeout>;

  /** Explanations follow once typing pauses. */
  private explainSoon(): void {
    clearTimeout(this.explaining);
    if (!this.state.live) this.explaining = setTimeout(() => void this.explainNow(), 120);
  }

  private async explainNow(): Promise<void> {
    const { encoded } = this;
    const { settings, masks } = this.state;
    if (!encoded) return;
    try {
      const explanations: State["explanations"] = {};
      for (const side of ["a", "b"] as const) {
        const labels = masks[side]?.labels;
        if (!labels) continue;
        const why = await encoded.explain(labels, segmentOptions(settings, labels));
        if (this.state.masks !== masks) return;
        await this.painter.places(side, why.map, why.width);
        explanations[side] = why;
      }
      if (this.state.masks !== masks) return;
      this.set({ explanations });
      if (this.wanted) void this.point();
    } catch (error) {
      if (this.encoded === encoded) this.fail(error, "work");
    }
  }

  private async paintGroups(encoded: BrowserPicture): Promise<Groups> {
    const stages = await encoded.groups();
    const [first, last] = [stages[0]!, stages.at(-1)!];
    const { width, height } = encoded;
    const paint = async (layer: Layer, { map, nodes }: GroupStage) => ({
      ...(await this.painter.groups(
        layer,
        { map, width, height },
        groupColours(nodes, last.groups),
      )),
      nodes,
    });
    const shown = { first: await paint("first", first) };
    return { ...shown, last: first === last ? shown.first : await paint("last", last) };
  }

  // Pointing

  /** Points at a place of the picture, given as shares of width and height. */
  pointAt(layer: Layer, x: number, y: number): void {
    this.wanted = { layer, x, y };
    this.aim++;
    void this.point();
  }

  private async pointNow(): Promise<void> {
    const { wanted } = this;
    if (!wanted) return;
    const place = await this.painter.find(wanted.layer, wanted.x, wanted.y);
    if (this.wanted !== wanted || place === undefined) return;
    const { pointed } = this.state;
    if (pointed?.layer === wanted.layer && pointed.place === place) return;
    await this.show(wanted.layer, place, [place]);
  }

  /** Points at a region or group by its number, and stays there. */
  async choose(layer: Layer, place: number, places: readonly number[] = [place]): Promise<void> {
    this.wanted = undefined;
    this.aim++;
    await this.show(layer, place, places, true);
  }

  /** Points at everything that a label wins. */
  async chooseLabel(side: Side, label: number): Promise<void> {
    const regions = this.state.explanations[side]?.regions ?? [];
    const places = [...regions.keys()].filter((place) => regions[place]!.winner === label);
    places.sort((one, other) => regions[other]!.pixels - regions[one]!.pixels);
    if (places[0] !== undefined) await this.choose(side, places[0], places);
  }

  private async show(
    layer: Layer,
    place: number,
    places: readonly number[],
    pinned?: boolean,
  ): Promise<void> {
    const { aim } = this;
    const shade = await this.painter.highlight(layer, places);
    if (this.aim === aim) this.set({ pointed: { layer, place, shade }, ...(pinned && { pinned }) });
  }

  pin(pinned: boolean): void {
    // What is pointed at may still be on its way from the painter.
    this.set({ pinned: pinned && (this.wanted ?? this.state.pointed) !== undefined });
  }

  unpin(): void {
    this.wanted = undefined;
    this.aim++;
    this.set({ pointed: undefined, pinned: false });
  }

  // The camera

  async startLive(video: HTMLVideoElement): Promise<void> {
    const asked = ++this.asked;
    this.set({ error: undefined });
    try {
      const stream = await navigator.mediaDevices.getUserMedia({
        video: { facingMode: "environment", width: { ideal: 960 } },
      });
      if (asked !== this.asked) return stop(stream);
      this.stream = stream;
      video.srcObject = stream;
      await video.play();
      if (asked !== this.asked) return;
      this.aim++;
      this.set({ live: true, pointed: undefined, pinned: false, explanations: {} });
      await this.runLive(video, stream);
    } catch (error) {
      if (asked !== this.asked) return;
      this.stopLive();
      this.fail(error, "work");
    }
  }

  /** Encodes frame after frame: the next is taken when the last is done, so none waits. */
  private async runLive(video: HTMLVideoElement, stream: MediaStream): Promise<void> {
    while (this.stream === stream) {
      const { model } = this;
      if (!model || video.videoWidth === 0) {
        await new Promise((resolve) => setTimeout(resolve, 100));
        continue;
      }
      const start = performance.now();
      const frame = await createImageBitmap(video);
      let encoded: BrowserPicture;
      try {
        encoded = await model.encode(frame);
      } catch (error) {
        if (this.model !== model) continue; // another one has come meanwhile
        throw error;
      }
      if (this.stream !== stream || this.model !== model) {
        encoded.release();
        continue;
      }
      const shown = await this.painter.picture(frame);
      if (this.stream !== stream || this.model !== model) {
        encoded.release();
        continue;
      }
      this.encoded?.release();
      this.encoded = encoded;
      this.encodedMode = "whole";
      this.set({ picture: { name: "camera", ...shown }, groups: undefined });
      await this.relabel();
      this.set({ encodeMs: performance.now() - start });
    }
  }

  /** Keeps what the camera shows as the picture. */
  async takePhoto(video: HTMLVideoElement): Promise<void> {
    const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    canvas.getContext("2d")!.drawImage(video, 0, 0);
    await this.open(await canvas.convertToBlob({ type: "image/png" }), "photo.png");
  }

  /** Goes back to the picture before. */
  async endLive(): Promise<void> {
    this.stopLive();
    if (this.source) await this.open(this.source.file, this.source.name);
  }

  private stopLive(): void {
    if (this.stream) stop(this.stream);
    this.stream = undefined;
    if (this.state.live) this.set({ live: false });
  }

  // Files

  async save(side: Side, format: Format): Promise<{ blob: Blob; name: string } | undefined> {
    // What is set now is saved, not what was painted last.
    while (this.encodingAbort) await this.encodingRun;
    await this.labelLatest();
    const mask = this.state.masks[side];
    const { picture, settings } = this.state;
    if (!mask || !picture) return undefined;
    try {
      const colours = wordColours(mask.labels.length, mask.background);
      const blob = await this.painter.save(side, format, picture.name, colours, settings.opacity);
      const ending = { mask: "mask.png", overlay: "overlay.png", json: "labels.json", svg: "svg" };
      return { blob, name: `${picture.name.replace(/\.[^.]+$/, "")}.${ending[format]}` };
    } catch (error) {
      this.fail(error, "work");
      return undefined;
    }
  }

  fail(error: unknown, what: "picture" | "model" | "work"): void {
    const message = explainError(error, what);
    this.set({ error: message });
    if (what === "model" || !message.engineLost) return;
    // The engine is gone: with another one, other pictures can be tried. This one would break it again.
    this.source = undefined;
    this.encoded = undefined;
    void this.loadModel(this.modelSource);
    this.set({ error: message });
  }

  dismiss(): void {
    this.set({ error: undefined });
  }
}

function stop(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

/** Runs one at a time; calls meanwhile become one more run at the end, with what is wanted then. */
function latest(work: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let again = false;
  return () => {
    again = true;
    running ??= (async () => {
      try {
        while (again) {
          again = false;
          await work();
        }
      } finally {
        running = undefined;
      }
    })();
    return running;
  };
}
