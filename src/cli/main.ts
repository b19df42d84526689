#!/usr/bin/env node
// The command line: `groupvit segment park.jpg --labels "dog, tree, sky"`. Nothing heavy is loaded here;
// commands import the package when they run.

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { classifyCommand } from "./commands/classify.js";
import { convertCommand } from "./commands/convert.js";
import { doctorCommand } from "./commands/doctor.js";
import { embedCommand } from "./commands/embed.js";
import { exportCommand } from "./commands/export.js";
import { groupsCommand } from "./commands/groups.js";
import { segmentCommand } from "./commands/segment.js";
import { listenForSignals, oneLine, reportFailure } from "./terminal.js";

const { version } = JSON.parse(
  readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
) as { version: string };

const program = new Command("groupvit")
  .description("Segments any picture by any words.")
  .version(version, "-V, --version", "print the version")
  .addHelpText(
    "after",
    `
Examples:
  groupvit segment park.jpg --labels "dog, tree, sky"
  groupvit classify park.jpg --labels "a dog in a park, a city street"
  groupvit doctor

groupvit <command> --help tells more. Exit codes: 0, 2 for bad input, 130 after Ctrl-C.`,
  );
for (const command of [
  segmentCommand(),
  classifyCommand(),
  groupsCommand(),
  embedCommand(),
  exportCommand(),
  convertCommand(),
  doctorCommand(),
]) {
  program.addCommand(command);
}
for (const command of [program, ...program.commands]) {
  command
    .exitOverride()
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      outputError: (text, write) => write(`groupvit: ${oneLine(text.replace(/^error: /, ""))}\n`),
    });
}

listenForSignals();
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else process.exitCode = reportFailure(error);
}
// What is still open (a half-read stdin, a kept connection) must not hold the process.
process.stdin.unref?.();
