// Collects comparisons with reference values and prints them, one aligned line each.

/** One comparison. */
export interface Check {
  fixture: string;
  name: string;
  passed: boolean;
  /** Largest difference, or how many values differ, or what went wrong. */
  found: string;
  /** What is allowed. */
  allowed: string;
}

/** Something that was not compared, or a remark; neither passes nor fails. */
export interface Note {
  fixture: string;
  text: string;
}

/** Everything that was found in one folder of fixtures. */
export class Report {
  readonly checks: Check[] = [];
  readonly notes: Note[] = [];
  /** The fixture that checks are filed under. */
  fixture = "";

  add(name: string, passed: boolean, found: string, allowed: string): void {
    this.checks.push({ fixture: this.fixture, name, passed, found, allowed });
  }

  /** A check of two things that must be the same. */
  same(name: string, passed: boolean, found: string): void {
    this.add(name, passed, found, "equal");
  }

  note(text: string): void {
    this.notes.push({ fixture: this.fixture, text });
  }

  /** Numbers against reference numbers; every difference must be at most `tolerance`. */
  close(
    name: string,
    actual: ArrayLike<number>,
    expected: ArrayLike<number>,
    tolerance: number,
  ): void {
    if (actual.length !== expected.length) {
      this.wrongSize(name, actual.length, expected.length);
      return;
    }
    let most = 0;
    for (let i = 0; i < expected.length; i++) {
      const difference = Math.abs(actual[i]! - expected[i]!);
      // Written so that NaN stays.
      if (!(difference <= most)) most = difference;
      if (Number.isNaN(most)) break;
    }
    this.add(name, most <= tolerance, show(most), `<= ${show(tolerance)}`);
  }

  /** Whole numbers against reference numbers; at most `share` of them may differ. */
  equal(
    name: string,
    actual: ArrayLike<number>,
    expected: ArrayLike<number>,
    share = 0,
    unit = "values",
  ): void {
    if (actual.length !== expected.length) {
      this.wrongSize(name, actual.length, expected.length);
      return;
    }
    let count = 0;
    for (let i = 0; i < expected.length; i++) if (actual[i] !== expected[i]) count++;
    const most = Math.floor(share * expected.length);
    this.add(name, count <= most, `${count} of ${expected.length} ${unit}`, `<= ${most}`);
  }

  /** Runs a part of a fixture; what it throws fails as `name`. */
  async attempt(name: string, part: () => Promise<void> | void): Promise<void> {
    try {
      await part();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.add(name, false, message.replace(/\s+/g, " ").slice(0, 300), "no error");
    }
  }

  /** The checks, filed under a fixture. */
  filed(fixture: string): Check[] {
    return this.checks.map((check) => ({ ...check, fixture }));
  }

  get failed(): number {
    return this.checks.filter(({ passed }) => !passed).length;
  }

  get passed(): number {
    return this.checks.length - this.failed;
  }

  /** Aligned lines of the checks and notes of a fixture. */
  lines(fixture: string): string[] {
    const checks = this.checks.filter((check) => check.fixture === fixture);
    const width = (pick: (check: Check) => string) =>
      checks.reduce((most, check) => Math.max(most, Math.min(pick(check).length, 80)), 0);
    const names = width(({ name }) => name);
    const found = width((check) => check.found);
    return [
      `${fixture}`,
      ...checks.map(
        (check) =>
          `  ${check.passed ? "pass" : "FAIL"}  ${check.name.padEnd(names)}  ` +
          `${check.found.padStart(found)}  ${check.allowed}`,
      ),
      ...this.notes.filter((note) => note.fixture === fixture).map(({ text }) => `  skip  ${text}`),
    ];
  }

  private wrongSize(name: string, actual: number, expected: number): void {
    this.add(name, false, `${actual} numbers`, `${expected} numbers`);
  }
}

export function show(value: number): string {
  return value === 0 ? "0" : value.toExponential(2);
}
