// What the server and its engine processes say to each other.

import type { GroupMode, LoadOptions, PromptSet, SegmentOptions } from "../index.js";

/** What an engine process is started with. */
export interface EngineStart {
  kind: "start";
  model: string | undefined;
  device: LoadOptions["device"];
  dtype: LoadOptions["dtype"];
  threads: number;
  maxPixels: number;
  /** Bytes that kept pictures may take in the process, and how long they stay, in milliseconds. */
  keepBytes: number;
  keepFor: number;
}

/** What the server wants to know about the model. */
export interface ModelFacts {
  /** Width of the common space of pictures and texts. */
  dim: number;
  /** Short side in pixels at which pictures are encoded where the request does not say. */
  shortSide: number;
  patchSize: number;
  /** Groups of each grouping block. */
  groups: readonly number[];
}

/** How a picture is encoded, as in `EncodeOptions`. */
export interface EncodeFields {
  mode?: "whole" | "slide";
  shortSide?: number;
  zoom?: boolean;
}

export interface JobPicture {
  /** Names the encoded picture among those that a process keeps; absent where it is not kept. */
  id?: string;
  /** As the client calls it. */
  file: string;
  /** Of its file, which follows in the pipe; absent where the process should have the picture. */
  length?: number;
  encode: EncodeFields;
}

export type MaskOptions = Pick<
  SegmentOptions,
  "prompts" | "background" | "threshold" | "backgroundWords" | "topK" | "refine"
>;

/** What is to be made of a picture or of texts. */
export type Work =
  | {
      kind: "segment";
      labels: readonly string[];
      options: MaskOptions;
      as: "json" | "mask" | "overlay";
    }
  | {
      kind: "brush";
      labels: readonly string[];
      /** What Label Studio calls the labels, one each. */
      names: readonly string[];
      options: MaskOptions;
      modelVersion: string;
      /** The tags that the labels are of, one each. */
      fromNames: readonly string[];
      toName: string;
    }
  | { kind: "classify"; labels: readonly string[]; prompts?: PromptSet; top: number }
  | {
      kind: "groups";
      mode: GroupMode;
      labels?: readonly string[];
      prompts?: PromptSet;
      as: "json" | "png";
    }
  | { kind: "embed"; texts: readonly string[] };

export interface Job {
  id: number;
  picture?: JobPicture;
  work: Work;
}

export type EngineMessage =
  | EngineStart
  | { kind: "work"; jobs: readonly Job[] }
  | { kind: "cancel"; id: number };

/** Milliseconds that the stages of a job took; shared ones are divided among its batch. */
export type StageTimes = Partial<Record<"decode" | "encode" | "mask", number>>;

export type EngineReply =
  | { kind: "ready"; facts: ModelFacts }
  /** The answer, of so many bytes, follows in the pipe. */
  | { kind: "done"; id: number; length: number; times: StageTimes; cached: boolean }
  /** The process does not keep the picture (any more): send it. */
  | { kind: "missing"; id: number }
  | { kind: "failed"; id: number | undefined; name: string; message: string; stack?: string }
  | { kind: "memory"; bytes: number };
