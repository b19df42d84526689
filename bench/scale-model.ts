// What the published run would take on machines that cannot be had here: the cost model of docs/scale.md.
// node scripts/run-ts.mjs bench/scale-model.ts

/** Core seconds of a picture's gradients: 1.253 s for 8 pictures on 2 cores (RESULTS.md); towers run forward twice. */
const PICTURE = ((1.253 * 2) / 8) * (4 / 3);
/** Seconds of the optimiser, on every rank. */
const OPTIMISER = 0.374;
/** Bytes of gradients that travel: the towers', of the word table only the rows in use (assumed 39 million numbers). */
const BYTES = 4 * 39e6;
const [BATCH, STEPS] = [4096, Math.round((30 * 26e6) / 4096)];
/** Share of linear scaling that the cores of one machine reach (assumed). */
const CORES_SCALE = 0.6;

/** @param bandwidth bytes a second of a machine's network card */
function stepSeconds(machines: number, cores: number, bandwidth: number): number {
  const towers = (BATCH * PICTURE) / (machines * cores * CORES_SCALE);
  const exchange = (2 * BYTES * (machines - 1)) / machines / bandwidth;
  return towers + exchange + OPTIMISER;
}

console.log(
  "| machines | cores each | network | step | days |\n| ---: | ---: | ---: | ---: | ---: |",
);
for (const [machines, cores, gigabits] of [
  [1, 64, 10],
  [4, 64, 10],
  [16, 64, 10],
  [16, 64, 25],
  [64, 64, 25],
] as const) {
  const seconds = stepSeconds(machines, cores, (gigabits * 1e9) / 8);
  const days = (seconds * STEPS) / 86_400;
  console.log(
    `| ${machines} | ${cores} | ${gigabits} Gb/s | ${seconds.toFixed(1)} s | ${days.toFixed(0)} |`,
  );
}
