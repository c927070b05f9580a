/**
 * arb-llm: alternating refined binarization (ARB-LLM, arXiv 2410.03129) of one column block, in its variants `arb` (means and scales refined
 * in rounds), `arb-x` (then by what the layer puts out) and `arb-rc` (row and column scales).
 */
import * as z from "zod";
import type { JsonRecord } from "../../files/json.ts";
import type { Tensor } from "../../files/safetensors.ts";
import { alternate, scalesPerBlock, searchSalient, searchThresholds } from "../../kernels/binary/ops.ts";
import { type Device, type Matrix, matrix, part } from "../../kernels/device.ts";
import { copy, roundScales } from "../../kernels/matrix/ops.ts";
import {
  decodeRefined,
  firstScale,
  meansPerRow,
  productsPerRow,
  type RefinedShape,
  refineMeans,
  refineProducts,
  takeGroups,
} from "../../kernels/refinement/ops.ts";
import { importance } from "../../kernels/scores/ops.ts";
import { count } from "../../recipes/words.ts";
import { halfUnit } from "../half_unit.ts";
import { keepsAllRule, requireAll } from "../keeps_all.ts";
import type { Scope } from "../scope.ts";
import { WeightedSplit } from "../weighted_split.ts";
import type { Block, Method, MethodLayer, MethodRun } from "./method.ts";

const Params = z.strictObject({
  variant: z.enum(["arb", "arb-x", "arb-rc"]).default("arb-rc").describe(
    "Mean and scales of each row and group, refined in rounds; then also by the layer's output (S-weighted); or scales of rows " +
      "and columns, without means",
  ),
  column_groups: z.boolean().default(true).describe(
    "Cut the salient columns' weights in two groups as well (the official order2_group, on in the published runs)",
  ),
  group_size: count(8, 4096).default(128).describe("Consecutive inputs (columns) that share scales"),
  salient_max: count(1, 4095).default(49).describe("Columns: at most so many are salient; clamped to group width − 1"),
  candidates: count(3, 400).default(81).describe("Percentiles tried as thresholds, from 10 % to 90 %"),
  iterations: count(0, 10_000).default(15).describe("Rounds of refinement; arb-x has as many weighted ones after them"),
  search_target: z.enum(["scores", "weights"]).default("scores").describe(
    "What the searches cut and binarize to judge a choice: scores w²/U² (the official code), or weights (salient ones by size)",
  ),
});

/** Settings of the method. */
export type ArbParams = z.infer<typeof Params>;

/** Groups of one sign: below and above the threshold. */
const SINGLE = 2;

/** The method; see the file's head. */
export const arbLlm: Method<ArbParams> = {
  name: "arb-llm",
  label: "arb-llm",
  summary: "Alternating refined binarization, on one group of columns at a time; every weight is kept",
  params: Params,
  rules: [keepsAllRule],
  needs: ["statistics"],
  format: "refined",
  groupKeys: ["group_size"],
  groupSize: ({ group_size }) => group_size,
  reads: () => Object.keys(Params.shape),
  open: (device, scope, layer) => new ArbRun(device, scope, layer),
};

class ArbRun implements MethodRun {
  readonly arrays: MethodRun["arrays"];
  readonly facts: MethodRun["facts"];
  readonly #device: Device;
  readonly #open: MethodLayer<ArbParams>;
  readonly #shape: RefinedShape;
  readonly #products: boolean;
  /** rows × cols, rows × (blocks · scales of a row), and with products cols × scales of a column: the layer's. */
  readonly #codes: Matrix<"u8">;
  readonly #scales: Matrix;
  readonly #columnScales: Matrix;
  /** Of one block. */
  readonly #blockCodes: Matrix<"u8">;
  readonly #someCodes: Matrix<"u8">;
  readonly #blockScales: Matrix;
  readonly #someScales: Matrix;
  readonly #blockColumns: Matrix;
  readonly #salient: Matrix<"u8">;
  readonly #score: Matrix;
  readonly #split: WeightedSplit | undefined;

  constructor(device: Device, scope: Scope, open: MethodLayer<ArbParams>) {
    const { job: { rows, cols }, params, group } = open;
    requireAll(open);
    const shape = { doubled: params.column_groups ? 2 : 1, single: SINGLE }, products = params.variant === "arb-rc";
    const width = Math.min(group, cols), blocks = Math.ceil(cols / group), each = productsPerRow(shape);
    const perRow = products ? each : meansPerRow(shape);
    this.#device = device;
    this.#open = open;
    this.#shape = shape;
    this.#products = products;
    this.#codes = scope.matrix("u8", rows, cols);
    this.#scales = scope.matrix("f32", rows, blocks * perRow);
    this.#columnScales = scope.matrix("f32", products ? cols : 1, each);
    this.#blockCodes = scope.matrix("u8", rows, width);
    this.#someCodes = scope.matrix("u8", rows, width);
    this.#blockScales = scope.matrix("f32", rows, perRow);
    this.#someScales = scope.matrix("f32", rows, scalesPerBlock({ salient: true, segments: SINGLE }));
    this.#blockColumns = scope.matrix("f32", width, each);
    this.#salient = scope.matrix("u8", 1, width);
    this.#score = scope.matrix("f32", rows, width);
    if (params.variant === "arb-x" || params.search_target === "weights") {
      this.#split = new WeightedSplit(device, scope, { rows, width, params });
    }
    const columns = { matrix: this.#columnScales, dtype: "F32", shape: [cols, each], unit: "none" } as const;
    this.arrays = {
      codes: { matrix: this.#codes, dtype: "U8", shape: [rows, cols] },
      scales: { matrix: this.#scales, dtype: "F32", shape: [rows, blocks, perRow] },
      ...(products ? { column_scales: columns } : {}),
    };
    this.facts = {
      groupSize: group,
      levels: products ? "products" : "means",
      columnGroups: params.column_groups,
    };
  }

  block(block: Block): void {
    const { layer, params, job } = this.#open, device = this.#device, shape = this.#shape;
    const { target: w, rank } = block, { rows, cols } = w, { iterations, candidates } = params;
    const codes = this.#codesOf(block), scales = this.#blockScales, salient = matrix(this.#salient.buffer, 1, cols);
    const score = matrix(this.#score.buffer, rows, cols), seen = { rank, pruned: 0 };
    device.run(importance, score, w, { metric: "hessian", diagonalU: part(layer.diagonalU, { col: block.col, cols }) });
    const values = params.search_target === "scores" ? score : w;
    device.run(searchSalient, salient, { ...seen, values, score, most: params.salient_max });
    const cut = { ...seen, values, salient, doubled: false, candidates };
    if (this.#split) {
      const gram = params.variant === "arb-x" ? block.gram : undefined;
      this.#split.search(codes, { values, salient, firstGroup: shape.doubled, gram });
    } else {
      // Scores are not negative, so that this search, which does not look at signs, is the same and faster.
      const settings = { within: "rest", order: 1, percentiles: "block", first: shape.doubled } as const;
      device.run(searchThresholds, codes, { ...cut, ...settings });
    }
    if (params.column_groups) {
      const settings = { within: "salient", order: 2, percentiles: "positive", first: 0 } as const;
      device.run(searchThresholds, codes, { ...cut, ...settings });
    }
    if (this.#products) {
      const columns = this.#columnsOf(block);
      device.run(refineProducts, codes, scales, columns, { ...shape, w, iterations });
      if (job.settings.scales === "f16") device.run(roundScales, columns);
    } else device.run(refineMeans, codes, scales, { ...shape, w, iterations });
    if (params.variant === "arb-x") this.#weighScales(block);
    // Before the errors are formed, so that compensation sees what will be stored.
    if (job.settings.scales === "f16") device.run(roundScales, scales);
  }

  /** Rounds over means and scales by what the layer puts out, with the signs fixed: salient group by salient group, others with the last. */
  #weighScales(block: Block): void {
    const { iterations } = this.#open.params, device = this.#device, { target: w, gram, rank } = block;
    const { doubled } = this.#shape, codes = matrix(this.#someCodes.buffer, w.rows, w.cols);
    for (let group = 0; group < doubled; group++) {
      const segments = group === doubled - 1 ? SINGLE : 0, some = { salient: true, segments };
      const cols = scalesPerBlock(some), scales = matrix(this.#someScales.buffer, w.rows, cols);
      const own = part(this.#blockScales, { col: firstScale(group, this.#shape, "means"), cols });
      device.run(takeGroups, codes, { codes: this.#codesOf(block), first: group, count: 1 + segments });
      device.run(copy, scales, own);
      device.run(alternate, scales, { ...some, w, gram, codes, rank, pruned: 0, schedule: "oneshot", iterations });
      device.run(copy, own, scales);
    }
  }

  factsOf({ scales, column_scales: columns }: Readonly<Record<string, Tensor>>): JsonRecord {
    return halfUnit(this.#open, [
      { scales, together: this.#blockScales.cols },
      ...(columns === undefined ? [] : [{ scales: columns, together: this.#blockColumns.cols }]),
    ]);
  }

  decode(block: Block): void {
    this.#device.run(decodeRefined, block.decoded, {
      ...this.#shape,
      codes: this.#codesOf(block),
      scales: this.#blockScales,
      columnScales: this.#products ? this.#columnsOf(block) : undefined,
    });
  }

  store(block: Block): void {
    const { cols } = this.#blockScales, { col, index, w } = block, device = this.#device;
    device.run(copy, part(this.#codes, { col, cols: w.cols }), this.#codesOf(block));
    device.run(copy, part(this.#scales, { col: index * cols, cols }), this.#blockScales);
    if (!this.#products) return;
    device.run(copy, part(this.#columnScales, { row: col, rows: w.cols }), this.#columnsOf(block));
  }

  #codesOf({ w }: Block): Matrix<"u8"> {
    return matrix(this.#blockCodes.buffer, w.rows, w.cols);
  }

  #columnsOf({ w }: Block): Matrix {
    return part(this.#blockColumns, { rows: w.cols });
  }
}
