// Undo and redo: the settings as they were. Typing and sliding count as one step until a pause.

import type { Settings } from "./settings.js";

const PAUSE_MS = 900;
const MOST = 200;

export class History {
  private past: Settings[] = [];
  private future: Settings[] = [];
  private last = { field: "", time: Number.NEGATIVE_INFINITY };

  constructor(public now: Settings) {}

  get canUndo(): boolean {
    return this.past.length > 0;
  }

  get canRedo(): boolean {
    return this.future.length > 0;
  }

  /** Changes settings; a change of the same fields soon after the last one joins it. */
  change(change: Partial<Settings>, time: number): void {
    const field = Object.keys(change).join();
    const joins = field === this.last.field && time - this.last.time < PAUSE_MS;
    if (!joins) this.past = [...this.past, this.now].slice(-MOST);
    this.now = { ...this.now, ...change };
    this.future = [];
    this.last = { field, time };
  }

  /** Changes settings where nobody did: nothing to undo. */
  preset(change: Partial<Settings>): void {
    this.now = { ...this.now, ...change };
  }

  undo(): void {
    const before = this.past.pop();
    if (!before) return;
    this.future.push(this.now);
    this.now = before;
    this.last.field = "";
  }

  redo(): void {
    const after = this.future.pop();
    if (!after) return;
    this.past.push(this.now);
    this.now = after;
    this.last.field = "";
  }
}
