/**
 * prune: weights that fine-search ranks low become 0, and the others stay what they are by then: pruning alone, at N:M or any other type.
 *
 * By the other stages it is magnitude pruning (metric magnitude), Wanda (arXiv 2306.11695: metric wanda), both without compensate, or
 * SparseGPT (arXiv 2301.00774: metric hessian, compensate columnwise).
 */
import * as z from "zod";
import type { JsonRecord } from "../../files/json.ts";
import type { Tensor } from "../../files/safetensors.ts";
import { type Device, type Matrix, matrix, part } from "../../kernels/device.ts";
import { copy, power } from "../../kernels/matrix/ops.ts";
import { pruneColumns, pruneWeights } from "../../kernels/sparse/ops.ts";
import { count } from "../../recipes/words.ts";
import type { Scope } from "../scope.ts";
import type { Block, Method, MethodLayer, MethodRun } from "./method.ts";

const Params = z.strictObject({
  group_size: count(8, 16_384).default(128).describe(
    "Consecutive inputs (columns) that are pruned together: where compensate feeds errors on, from group to group (SparseGPT: 128)",
  ),
  values: z.enum(["f16", "f32"]).default("f16").describe("Type that kept weights are stored in"),
});

/** Settings of the method. */
export type PruneParams = z.infer<typeof Params>;

/** The method; see the file's head. */
export const prune: Method<PruneParams> = {
  name: "prune",
  label: "pruning",
  summary: "Keeps the weights that fine-search ranks high, and sets the others to 0",
  params: Params,
  needs: ["statistics", "allocation", "ranks"],
  format: "sparse",
  groupKeys: ["group_size"],
  groupSize: ({ group_size }) => group_size,
  reads: () => Object.keys(Params.shape),
  open: (device, scope, layer) => new PruneRun(device, scope, layer),
};

class PruneRun implements MethodRun {
  readonly arrays: MethodRun["arrays"];
  readonly facts: MethodRun["facts"];
  readonly #device: Device;
  readonly #open: MethodLayer<PruneParams>;
  readonly #half: boolean;
  /** Whether each block is pruned column by column, where `block` has nothing to do. */
  readonly #columnwise: boolean;
  /** rows × cols: the layer's. */
  readonly #values: Matrix;
  readonly #kept: Matrix<"u8">;
  /** Of one block. */
  readonly #blockValues: Matrix;
  readonly #blockKept: Matrix<"u8">;
  /** 1 × cols: what |w| counts by where masks are chosen on the way; undefined where the block's ranks stand. */
  readonly #columnWeight: Matrix | undefined;

  constructor(device: Device, scope: Scope, open: MethodLayer<PruneParams>) {
    const { job, layer, params, group } = open, { rows, cols, keep, of, settings: { search, feedback } } = job;
    const width = Math.min(group, cols);
    this.#device = device;
    this.#open = open;
    this.#half = params.values === "f16";
    this.#columnwise = feedback.mode === "columnwise" && layer.factor !== undefined;
    this.#values = scope.matrix("f32", rows, cols);
    this.#kept = scope.matrix("u8", rows, cols);
    this.#blockValues = scope.matrix("f32", rows, width);
    this.#blockKept = scope.matrix("u8", rows, width);
    const chooses = this.#columnwise && search.type === "semi-structured" && job.ranks === undefined;
    this.#columnWeight = chooses ? columnWeight(device, scope, open) : undefined;
    this.arrays = {
      kept: { matrix: this.#kept, dtype: "U8", shape: [rows, cols] },
      values: { matrix: this.#values, dtype: "F32", shape: [rows, cols] },
    };
    this.facts = {
      ...{ groupSize: group, of, type: search.type, values: params.values },
      keep: search.type === "none" ? of : keep,
    };
  }

  block({ target, rank }: Block): void {
    if (this.#columnwise) return;
    const { values, kept } = this.#fit(target), { pruned } = this.#open;
    this.#device.run(pruneWeights, values, kept, target, { rank, pruned, half: this.#half });
  }

  columnwise({ target, rank, scratch, col }: Block, factor: Matrix): void {
    const { values, kept } = this.#fit(target), { pruned, job: { of } } = this.#open;
    const weight = this.#columnWeight && part(this.#columnWeight, { col, cols: target.cols });
    const masks = weight ? { of, columnWeight: weight } : { rank };
    this.#device.run(pruneColumns, values, kept, scratch, { w: target, factor, masks, pruned, half: this.#half });
  }

  decode(block: Block): void {
    this.#device.run(copy, block.decoded, this.#fit(block.w).values);
  }

  store({ col, w }: Block): void {
    const { values, kept } = this.#fit(w), { cols } = w;
    this.#device.run(copy, part(this.#values, { col, cols }), values);
    this.#device.run(copy, part(this.#kept, { col, cols }), kept);
  }

  /** The unit of values that float16 does not hold as they are, so that they are packed in it; nothing for nearly every layer. */
  factsOf({ values: { data } }: Readonly<Record<string, Tensor>>): JsonRecord {
    const { layer: { exponent } } = this.#open;
    if (!this.#half || !(data instanceof Float32Array)) return {};
    return exponent !== 0 || data.some((value) => Math.f16round(value) !== value) ? { exponent } : {};
  }

  #fit({ rows, cols }: Matrix): { readonly values: Matrix; readonly kept: Matrix<"u8"> } {
    return { values: matrix(this.#blockValues.buffer, rows, cols), kept: matrix(this.#blockKept.buffer, rows, cols) };
  }
}

/** What |w| of a column is multiplied by to order weights as the metric does; undefined where a row's other weights matter too. */
function columnWeight(
  device: Device,
  scope: Scope,
  { job: { cols, settings: { search: { metric } } }, layer }: MethodLayer<PruneParams>,
): Matrix | undefined {
  switch (metric) {
    case "hessian":
      return layer.inverseU;
    case "hessian-squared": {
      const out = scope.matrix("f32", 1, cols);
      if (layer.inverseDiagonal) device.run(power, out, layer.inverseDiagonal, -1);
      return out;
    }
    case "magnitude":
      return matrix(scope.upload("f32", new Float32Array(cols).fill(1)), 1, cols);
    case "wanda":
      return layer.inputNorm;
    case "ria":
    case "si":
    case "random":
      return undefined;
    default:
      throw new TypeError(`Cannot prune by metric "${metric satisfies never}"`);
  }
}
