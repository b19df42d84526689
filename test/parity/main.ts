// `npm run parity -- FOLDER [--json]`: compares this implementation with recorded reference values, in the
// format of test/fixtures, and ends with exit code 1 if any value is out of its tolerance.

import { type Fixture, findFixtures, type Kind } from "./fixture.js";
import { runModel } from "./model.js";
import { Report } from "./report.js";
import { runResize } from "./resize.js";
import { runSegmentation } from "./segmentation.js";
import { runTokenizer } from "./tokenizer.js";
import { runTraining } from "./training.js";

const RUN: Record<Kind, (fixture: Fixture, report: Report) => Promise<void> | void> = {
  tiny: runModel,
  full: runModel,
  seg: runSegmentation,
  resize: runResize,
  tokenizer: runTokenizer,
  "tiny-train": runTraining,
};

const USAGE = `Usage: npm run parity -- FOLDER... [--json]

Runs every fixture in the folders, or the folder itself if it is one, and compares all tensors.
  --json   print one JSON object instead of lines`;

async function main(args: readonly string[]): Promise<number> {
  const json = args.includes("--json");
  const folders = args.filter((arg) => !arg.startsWith("--"));
  const wrong = args.find((arg) => arg.startsWith("--") && arg !== "--json" && arg !== "--help");
  if (wrong || folders.length === 0 || args.includes("--help")) {
    if (wrong) console.error(`parity: option ${wrong} is unknown`);
    (args.includes("--help") ? console.log : console.error)(USAGE);
    return args.includes("--help") ? 0 : 2;
  }

  const report = new Report();
  const print = (line: string) => {
    if (!json) console.log(line);
  };
  for (const folder of folders) {
    let found: ReturnType<typeof findFixtures>;
    try {
      found = findFixtures(folder);
    } catch (error) {
      console.error(`parity: ${(error as Error).message}; give a folder of fixtures`);
      return 2;
    }
    for (const name of found.unknown) {
      report.fixture = name;
      report.note("unknown kind: nothing here was compared");
      print(report.lines(name).join("\n"));
    }
    for (const fixture of found.fixtures) {
      report.fixture = folders.length > 1 ? `${folder}/${fixture.name}` : fixture.name;
      const start = performance.now();
      await report.attempt(fixture.kind, () => RUN[fixture.kind](fixture, report));
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      print(`${report.lines(report.fixture).join("\n")}\n  ${seconds} s\n`);
    }
  }
  const { passed, failed } = report;
  if (passed + failed === 0) console.error("parity: nothing to compare in the folder");
  if (json) {
    const { checks, notes } = report;
    console.log(JSON.stringify({ passed, failed, checks, skipped: notes }, null, 1));
  } else {
    console.log(`${passed} passed, ${failed} failed`);
  }
  return failed > 0 || passed === 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
