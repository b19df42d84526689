// What a server is started with.

import type { LoadOptions } from "../index.js";

export interface ServeOptions {
  /** Default 127.0.0.1; another than loopback needs a token. */
  host?: string;
  /** 0 for any free one. Default 8080. */
  port?: number;
  /** Model folder, checkpoint file or Hub id; default: the bundled model. */
  model?: string;
  device?: LoadOptions["device"];
  dtype?: LoadOptions["dtype"];
  /** Engine processes. Default: one per core. */
  processes?: number;
  /** Threads of each engine. Default 1. */
  threads?: number;
  /** Pictures of one size that go through the image tower together. Default 1: see docs/serve.md. */
  batch?: number;
  /** Requests that may wait. Default 128. */
  queue?: number;
  /** Milliseconds for one request, waiting included. Default 30,000. */
  deadline?: number;
  /** Any of them opens the server; without, everybody on this machine may ask. */
  tokens?: readonly string[];
  /** Requests a minute for each token. Default 6,000. */
  rate?: number;
  /** Origins whose web pages may ask, such as "https://example.org". */
  allowOrigins?: readonly string[];
  /** Whether pictures may be given as public addresses. Default false. */
  allowUrls?: boolean;
  /** `host` or `host:port` that may be fetched from though they are private. */
  allowHosts?: readonly string[];
  /** Most pixels of a picture. Default 40,000,000. */
  maxPixels?: number;
  /** Most bytes of a picture file. Default 32 MiB. */
  maxBytes?: number;
  /** Milliseconds that pictures sent with `keep` stay after their last use. Default 600,000. */
  keepFor?: number;
  /** Bytes of files of kept pictures, and of encoded pictures in each engine. Default 256 MiB. */
  keepBytes?: number;
  /** Folder of stored vocabularies and projects. Default: under the user's cache folder. */
  state?: string;
  /** Where the Label Studio that asks keeps its uploads, and a token to fetch them. */
  labelStudioUrl?: string;
  labelStudioToken?: string;
  /** Lines of the log on stderr. Default "info". */
  logLevel?: "debug" | "info" | "warn" | "error" | "silent";
}
