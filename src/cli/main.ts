#!/usr/bin/env node
// The command line: `groupvit segment park.jpg --labels "dog, tree, sky"`. Nothing heavy is loaded here;
// commands import the package when they run.

import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { calibrateCommand } from "./commands/calibrate.js";
import { classifyCommand } from "./commands/classify.js";
import { convertCommand } from "./commands/convert.js";
import { dataCommand } from "./commands/data.js";
import { doctorCommand } from "./commands/doctor.js";
import { embedCommand } from "./commands/embed.js";
import { evalCommand } from "./commands/eval.js";
import { exportCommand } from "./commands/export.js";
import { groupsCommand } from "./commands/groups.js";
import { labelCommand } from "./commands/label.js";
import { queueCommand } from "./commands/queue.js";
import { segmentCommand } from "./commands/segment.js";
import { serveCommand } from "./commands/serve.js";
import { studioCommand } from "./commands/studio.js";
import { trainCommand } from "./commands/train.js";
import { workerCommand } from "./commands/worker.js";
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
  labelCommand(),
  workerCommand(),
  queueCommand(),
  exportCommand(),
  convertCommand(),
  trainCommand(),
  evalCommand(),
  calibrateCommand(),
  dataCommand(),
  studioCommand(),
  serveCommand(),
  doctorCommand(),
]) {
  program.addCommand(command);
}
const withParts = (command: Command): Command[] => [
  command,
  ...command.commands.flatMap(withParts),
];
for (const command of withParts(program)) {
  command
    .exitOverride()
    .configureHelp({
      // "where to compute: cpu, cuda, webgpu (default: cpu)"
      optionDescription({ description, argChoices, defaultValue }) {
        const choices = argChoices ? `: ${argChoices.join(", ")}` : "";
        const standard = typeof defaultValue === "string" ? ` (default: ${defaultValue})` : "";
        return description.replace(/( \(default: .*\))?$/, `${choices}$1${standard}`);
      },
    })
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
