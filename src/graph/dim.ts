// Dimensions of tensors: plain numbers, or polynomials over named sizes that are only known at run time
// ("batch", "patches + 64", "batch * tokens").

/** A size that is known at run time: a polynomial with whole coefficients over named sizes. */
export class SymbolicDim {
  /** Coefficient per monomial; a monomial is its sorted symbols joined by `*`, "" is the constant. */
  readonly terms: ReadonlyMap<string, number>;

  constructor(terms: ReadonlyMap<string, number>) {
    this.terms = terms;
  }

  toString(): string {
    return [...this.terms]
      .sort(([a], [b]) => (a < b ? 1 : -1))
      .map(([monomial, factor]) =>
        monomial === "" ? `${factor}` : factor === 1 ? monomial : `${factor}*${monomial}`,
      )
      .join("+");
  }
}

/** A dimension: known now (number) or at run time. */
export type Dim = number | SymbolicDim;

/** A named run-time size, such as `symbol("batch")`. */
export function symbol(name: string): SymbolicDim {
  return new SymbolicDim(new Map([[name, 1]]));
}

function termsOf(dim: Dim): ReadonlyMap<string, number> {
  return typeof dim === "number" ? new Map([["", dim]]) : dim.terms;
}

function simplify(terms: Map<string, number>): Dim {
  for (const [monomial, factor] of terms) {
    if (factor === 0) terms.delete(monomial);
  }
  if (terms.size === 0) return 0;
  if (terms.size === 1 && terms.has("")) return terms.get("")!;
  return new SymbolicDim(terms);
}

export function addDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const sum = new Map(termsOf(a));
  for (const [monomial, factor] of termsOf(b)) sum.set(monomial, (sum.get(monomial) ?? 0) + factor);
  return simplify(sum);
}

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === "number" && typeof b === "number") return a * b;
  const product = new Map<string, number>();
  for (const [m, f] of termsOf(a)) {
    for (const [n, g] of termsOf(b)) {
      const symbols = [...m.split("*"), ...n.split("*")].filter((s) => s !== "");
      const monomial = symbols.sort().join("*");
      product.set(monomial, (product.get(monomial) ?? 0) + f * g);
    }
  }
  return simplify(product);
}

export function productOf(dims: readonly Dim[]): Dim {
  return dims.reduce<Dim>(multiplyDims, 1);
}

export function sameDim(a: Dim, b: Dim): boolean {
  return a === b || String(a) === String(b);
}

export function sameShape(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, i) => sameDim(dim, b[i]!));
}

/** The number behind a dimension that must be known now. */
export function staticDim(dim: Dim, what: string): number {
  if (typeof dim !== "number") throw new Error(`${what} must be a fixed size, not "${dim}"`);
  return dim;
}

/** The shape that two shapes broadcast to (NumPy's rule). */
export function broadcastShapes(a: readonly Dim[], b: readonly Dim[], what: string): Dim[] {
  const rank = Math.max(a.length, b.length);
  const shape: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (sameDim(x, y) || y === 1) shape.push(x);
    else if (x === 1) shape.push(y);
    else
      throw new Error(`${what}: shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast`);
  }
  return shape;
}
