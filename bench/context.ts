// What every group of benchmarks is given.

export interface BenchContext {
  /** Most rounds per group of cases. */
  rounds: number;
  /** Milliseconds after which no further round starts. */
  budget: number;
  /** Fewer sizes and pictures. */
  quick: boolean;
  /** Folder of a full-size checkpoint with random weights. */
  model: string;
  /** Folder for temporary files; removed at the end. */
  folder: string;
}
