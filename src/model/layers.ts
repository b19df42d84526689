// Layers that both towers share: linear maps, norms, MLPs and attention, under Hugging Face's names.

import * as g from "../graph/build.js";
import type { Dim } from "../graph/dim.js";
import type { Tensor } from "../graph/tensor.js";
import type { Activation } from "./config.js";

/**
 * What a model is built from: its parameters by checkpoint name, and hooks that look inside or inject
 * noise. The same model code serves inference (no hooks), parity tests and training.
 */
export interface ModelContext {
  /** The parameter of that name; the same tensor each time. */
  parameter(name: string, shape: readonly number[]): Tensor;
  /** Shown every tensor of interest under its name, such as `vision.stage0.layer1`. */
  tap?(name: string, tensor: Tensor): void;
  /** Assignment in grouping blocks: hard with straight-through gradient (the paper), or soft. */
  assignment?: "hard" | "soft";
  /** Gumbel noise for the assignment logits of grouping block `index`, of the given shape. */
  gumbelNoise?(index: number, like: Tensor): Tensor;
  /** Multiplies the output of a residual branch: stochastic depth. */
  dropPath?(branch: Tensor): Tensor;
}

/** A context whose parameters are created on first use. */
export function modelContext(
  hooks: Omit<ModelContext, "parameter"> = {},
): ModelContext & { readonly parameters: Map<string, Tensor> } {
  const parameters = new Map<string, Tensor>();
  return {
    ...hooks,
    parameters,
    parameter(name, shape) {
      let tensor = parameters.get(name);
      if (!tensor) {
        tensor = g.parameter(name, shape);
        parameters.set(name, tensor);
      }
      return tensor;
    },
  };
}

export function width(x: Tensor): number {
  const last = x.shape[x.shape.length - 1];
  if (typeof last !== "number") throw new Error("the width of a tensor must be fixed");
  return last;
}

export function linear(ctx: ModelContext, name: string, x: Tensor, out: number): Tensor {
  const weight = ctx.parameter(`${name}.weight`, [out, width(x)]);
  return g.linear(x, weight, ctx.parameter(`${name}.bias`, [out]));
}

export function layerNorm(ctx: ModelContext, name: string, x: Tensor, eps: number): Tensor {
  const size = [width(x)];
  return g.layerNorm(
    x,
    ctx.parameter(`${name}.weight`, size),
    ctx.parameter(`${name}.bias`, size),
    eps,
  );
}

const ACTIVATIONS: Record<Activation, (x: Tensor) => Tensor> = {
  gelu: g.gelu,
  quick_gelu: g.quickGelu,
  relu: g.relu,
};

/** Linear, activation, linear over the last axis. */
export function mlp(
  ctx: ModelContext,
  name: string,
  x: Tensor,
  hidden: number,
  out: number,
  activation: Activation,
): Tensor {
  const inner = ACTIVATIONS[activation](linear(ctx, `${name}.fc1`, x, hidden));
  return linear(ctx, `${name}.fc2`, inner, out);
}

/** An MLP over the token axis: [batch, tokens, width] to [batch, out, width]. */
export function mixerMlp(
  ctx: ModelContext,
  name: string,
  x: Tensor,
  hidden: number,
  out: number,
  activation: Activation,
): Tensor {
  return g.swapLast(mlp(ctx, name, g.swapLast(x), hidden, out, activation));
}

/** Adds a residual branch, dropped for some samples in training. */
export function residual(ctx: ModelContext, x: Tensor, branch: Tensor): Tensor {
  return g.add(x, ctx.dropPath ? ctx.dropPath(branch) : branch);
}

/** A linear map of x [batch, tokens, width], scaled, cut into heads: [batch, heads, tokens, width / heads]. */
function projectHeads(
  ctx: ModelContext,
  name: string,
  x: Tensor,
  heads: number,
  scale = 1,
): Tensor {
  const [batch, tokens] = x.shape as [Dim, Dim];
  const size = width(x);
  // Folded into the weights: the map's output is far larger.
  const scaled = (kind: "weight" | "bias", shape: readonly number[]) => {
    const tensor = ctx.parameter(`${name}.${kind}`, shape);
    return scale === 1 ? tensor : g.multiply(tensor, g.scalar(scale));
  };
  const mapped = g.linear(x, scaled("weight", [size, size]), scaled("bias", [size]));
  return g.transpose(g.reshape(mapped, [batch, tokens, heads, size / heads]), [0, 2, 1, 3]);
}

/**
 * Multi-head attention from `x` to `source` (to itself by default).
 *
 * @param x [batch, queries, width]
 * @param source [batch, keys, width]
 * @param mask added to the logits, broadcast to [batch, heads, queries, keys]
 */
export function attention(
  ctx: ModelContext,
  name: string,
  x: Tensor,
  heads: number,
  options: { source?: Tensor; mask?: Tensor } = {},
): Tensor {
  const size = width(x);
  const scale = (size / heads) ** -0.5;
  const source = options.source ?? x;
  const queries = projectHeads(ctx, `${name}.q_proj`, x, heads, scale);
  const keys = projectHeads(ctx, `${name}.k_proj`, source, heads);
  const values = projectHeads(ctx, `${name}.v_proj`, source, heads);
  let logits = g.matmul(queries, g.swapLast(keys)); // [batch, heads, queries, keys]
  if (options.mask) logits = g.add(logits, options.mask);
  const mixed = g.matmul(g.softmax(logits, -1), values); // [batch, heads, queries, head width]
  const merged = g.reshape(g.transpose(mixed, [0, 2, 1, 3]), x.shape); // [batch, queries, width]
  return linear(ctx, `${name}.out_proj`, merged, size);
}

export interface BlockOptions {
  heads: number;
  intermediate: number;
  activation: Activation;
  eps: number;
  mask?: Tensor;
}

/** A pre-norm transformer block: x + attention(norm(x)), then x + mlp(norm(x)). */
export function transformerBlock(
  ctx: ModelContext,
  name: string,
  x: Tensor,
  { heads, intermediate, activation, eps, mask }: BlockOptions,
): Tensor {
  const attended = attention(
    ctx,
    `${name}.self_attn`,
    layerNorm(ctx, `${name}.layer_norm1`, x, eps),
    heads,
    { mask },
  );
  const mixed = residual(ctx, x, attended);
  const normed = layerNorm(ctx, `${name}.layer_norm2`, mixed, eps);
  return residual(ctx, mixed, mlp(ctx, `${name}.mlp`, normed, intermediate, width(x), activation));
}
