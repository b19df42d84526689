// The bounded queue before the engines, and how waiting jobs become batches: in order, those with a
// picture of the same size together where batches are wanted.

/** A job that waits or is in work, with what its request waits for. */
export interface Pending {
  /** Jobs with equal shapes may share a batch; undefined goes alone. */
  readonly shape: string | undefined;
  /** Of the monotonic clock. */
  readonly queuedAt: number;
  /** How often a process ended while it worked on this job. */
  crashes: number;
}

export class Batcher<Item extends Pending> {
  private readonly waiting: Item[] = [];

  /**
   * @param capacity jobs that may wait
   * @param largest jobs in a batch
   * @param patience milliseconds that a job waits for others of its shape
   */
  constructor(
    readonly capacity: number,
    private readonly largest: number,
    private readonly patience: number,
    private readonly now: () => number = () => performance.now(),
  ) {}

  get length(): number {
    return this.waiting.length;
  }

  get isFull(): boolean {
    return this.waiting.length >= this.capacity;
  }

  /** Appends a job; false where the queue is full. */
  add(item: Item): boolean {
    if (this.isFull) return false;
    this.waiting.push(item);
    return true;
  }

  /** Puts a job that was taken already back to the front, beyond the capacity if need be. */
  putBack(item: Item): void {
    this.waiting.unshift(item);
  }

  remove(item: Item): void {
    const at = this.waiting.indexOf(item);
    if (at >= 0) this.waiting.splice(at, 1);
  }

  /** Empties the queue. */
  removeAll(): Item[] {
    return this.waiting.splice(0);
  }

  /**
   * The next batch, oldest job first; none while the queue is empty, or while its first jobs may still
   * be joined by others.
   */
  take(): Item[] {
    const first = this.waiting[0];
    if (!first) return [];
    const batch = this.fellows(first);
    if (this.mayGrow(first, batch)) return [];
    for (const item of batch) this.remove(item);
    return batch;
  }

  /** Milliseconds until `take` gives the jobs that it holds back now. */
  get wait(): number {
    const first = this.waiting[0];
    return first ? Math.max(0, first.queuedAt + this.patience - this.now()) : 0;
  }

  private fellows(first: Item): Item[] {
    // A job that saw its process end goes alone: the others shall not go down with it twice.
    if (first.shape === undefined || first.crashes > 0 || this.largest === 1) return [first];
    return this.waiting
      .filter(({ shape, crashes }) => shape === first.shape && crashes === 0)
      .slice(0, this.largest);
  }

  private mayGrow(first: Item, batch: readonly Item[]): boolean {
    if (first.shape === undefined || first.crashes > 0) return false;
    return batch.length < this.largest && this.now() < first.queuedAt + this.patience;
  }
}
