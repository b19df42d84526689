// groupvit serve: answers requests over HTTP until it is stopped.

import { once } from "node:events";
import { Command, InvalidArgumentError, Option } from "commander";
import type { ServeOptions } from "../../serve/options.js";
import { addModelOptions, wholeNumber, withDownloadProgress } from "../options.js";
import { interruption, note, print } from "../terminal.js";

interface Options
  extends Omit<ServeOptions, "deadline" | "keepFor" | "keepBytes" | "maxPixels" | "maxBytes"> {
  token?: string[];
  deadline?: number;
  keep?: number;
  limitPixels?: number;
  limitBytes?: number;
  allowOrigin?: string[];
  allowHost?: string[];
}

const several = (text: string, before: string[] | undefined) => [...(before ?? []), text];

function origin(text: string, before: string[] | undefined): string[] {
  if (!URL.canParse(text) || new URL(text).origin !== text) {
    throw new InvalidArgumentError('Give scheme, host and port, as in "https://example.org".');
  }
  return several(text, before);
}

export function serveCommand(): Command {
  const command = new Command("serve")
    .description("Segment pictures for others over HTTP, and pre-label for annotation tools.")
    .option("--host <address>", "where to listen (default: 127.0.0.1)")
    .option("--port <n>", "port, 0 for any free one (default: 8080)", wholeNumber(0, 65535));
  return addModelOptions(command, "1, of each")
    .option("--processes <n>", "engines (default: one per core)", wholeNumber(1, 256))
    .option(
      "--batch <n>",
      "pictures of one size that are encoded together (default: 1)",
      wholeNumber(1, 64),
    )
    .option(
      "--queue <n>",
      "requests that may wait before others are told to come later (default: 128)",
      wholeNumber(1, 100_000),
    )
    .option("--deadline <seconds>", "most for one request (default: 30)", wholeNumber(1, 3600))
    .option(
      "--token <token>",
      "lets its holder ask; give it again for more, or better in GROUPVIT_TOKEN, with commas between",
      several,
    )
    .option("--rate <n>", "requests a minute for each token (default: 6000)", wholeNumber(1, 1e9))
    .option("--allow-origin <origin>", "let web pages of this origin ask; may be repeated", origin)
    .option("--allow-urls", "fetch pictures from public addresses that requests name")
    .option(
      "--allow-host <host>",
      "fetch from this host[:port] although it is private; may be repeated",
      several,
    )
    .option(
      "--limit-pixels <n>",
      "refuse pictures with more pixels (default: 40000000)",
      wholeNumber(1, 2 ** 31),
    )
    .option(
      "--limit-bytes <n>",
      "refuse larger picture files (default: 33554432)",
      wholeNumber(1, 2 ** 30),
    )
    .option(
      "--keep <seconds>",
      "how long pictures sent with keep stay after their last use (default: 600)",
      wholeNumber(1, 86_400),
    )
    .option("--state <folder>", "stored vocabularies and projects (default: in the cache folder)")
    .option(
      "--label-studio-url <address>",
      "the Label Studio whose uploads are fetched, with the token in LABEL_STUDIO_API_KEY",
    )
    .addOption(
      new Option("--log-level <level>", "lines on stderr (default: info)").choices([
        "debug",
        "info",
        "warn",
        "error",
        "silent",
      ]),
    )
    .addHelpText(
      "after",
      `
The address is the first line on stdout; /docs there is a page to try everything. Another host than
this machine's own needs a token. SIGTERM and Ctrl-C stop it when what it took is answered.

Examples:
  groupvit serve
  GROUPVIT_TOKEN=$(openssl rand -hex 24) groupvit serve --host 0.0.0.0 --port 8080
  groupvit serve --label-studio-url http://localhost:8081
  curl -F picture=@park.jpg -F labels="dog, tree, sky" http://127.0.0.1:8080/v1/segment`,
    )
    .action(run);
}

async function run({ token, deadline, keep, ...options }: Options): Promise<void> {
  const { startServer } = await import("../../serve/server.js");
  const { resolveModel } = await import("../../index.js");
  const { signal } = interruption;
  // Downloaded once, here, and not by every engine.
  await withDownloadProgress(options.model, (download) => resolveModel(options.model, download));
  const fromEnvironment = (process.env.GROUPVIT_TOKEN ?? "").split(",").map((one) => one.trim());
  const server = await startServer({
    ...options,
    tokens: [...(token ?? []), ...fromEnvironment.filter((one) => one !== "")],
    deadline: deadline === undefined ? undefined : deadline * 1000,
    keepFor: keep === undefined ? undefined : keep * 1000,
    maxPixels: options.limitPixels,
    maxBytes: options.limitBytes,
    allowOrigins: options.allowOrigin,
    allowHosts: options.allowHost,
    labelStudioToken: process.env.LABEL_STUDIO_API_KEY,
  });
  await print(`groupvit serves on ${server.url} (try it: ${server.url}/docs)\n`);
  if (!signal.aborted) await once(signal, "abort");
  note("stopping; requests that were taken are answered first");
  await server.close();
}
