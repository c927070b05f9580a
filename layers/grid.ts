/** What methods that round to uniform grids share: their settings, and a layer on its way through its column blocks. */
import * as z from "zod";
import type { JsonRecord } from "../files/json.ts";
import type { Tensor } from "../files/safetensors.ts";
import { type Device, type Matrix, matrix, part } from "../kernels/device.ts";
import {
  columnwiseGrid,
  decodeGrid,
  fitGrid,
  type GridKind,
  gridZeros,
  MAX_BITS,
  roundGrid,
} from "../kernels/grid/ops.ts";
import { copy, roundScales } from "../kernels/matrix/ops.ts";
import { count } from "../recipes/words.ts";
import { halfUnit } from "./half_unit.ts";
import type { Block, MethodLayer, MethodRun } from "./methods/method.ts";
import { requireAll } from "./keeps_all.ts";
import type { Scope } from "./scope.ts";

/** Columns of a block where scales do not say: GPTQ's lazy batches. */
const BLOCK = 128;

/** Settings of all such methods. */
export const gridParams = {
  bits: count(1, MAX_BITS).default(4).describe("Of a code"),
  group_size: z.union([count(8, 4096), z.literal("row")]).default(128).describe(
    "Consecutive inputs (columns) that share a scale and a zero, fitted when their turn comes; row = one for each row of the layer, " +
      "fitted to its original weights",
  ),
};

/** Which grid, and how much of a row shares it. */
export interface GridSettings {
  readonly bits: number;
  readonly groupSize: number | "row";
  readonly grid: GridKind;
}

/** Whether a row has one grid. Its column blocks are then of no matter to it. */
function isWhole(groupSize: number | "row", cols: number): boolean {
  return groupSize === "row" || groupSize >= cols;
}

/**
 * Columns of a block: those that share a grid, so that it is fitted to weights which all errors before it have reached.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { blockColumns } from "./grid.ts";
 *
 * assert.deepEqual([blockColumns(64, 768), blockColumns("row", 768), blockColumns(1024, 768)], [64, 128, 128]);
 * ```
 */
export function blockColumns(groupSize: number | "row", cols: number): number {
  return isWhole(groupSize, cols) || groupSize === "row" ? Math.min(BLOCK, cols) : groupSize;
}

/** One layer; see the file's head. */
export class GridRun implements MethodRun {
  readonly arrays: MethodRun["arrays"];
  readonly facts: MethodRun["facts"];
  readonly #device: Device;
  readonly #open: MethodLayer;
  readonly #settings: GridSettings;
  /** rows × cols, and rows × groups: the layer's. */
  readonly #codes: Matrix<"u8">;
  readonly #scales: Matrix;
  readonly #zeros: Matrix<"u8">;
  /** Of one block, and of its group. */
  readonly #blockCodes: Matrix<"u8">;
  readonly #groupScales: Matrix;
  readonly #groupZeros: Matrix<"u8">;
  readonly #lows: Matrix;

  /** @param options.ordered whether columns are in an order of the method's own */
  constructor(
    device: Device,
    scope: Scope,
    { open, settings, ordered = false }: {
      readonly open: MethodLayer;
      readonly settings: GridSettings;
      readonly ordered?: boolean;
    },
  ) {
    const { job: { rows, cols, settings: { method } }, layer } = open, { bits, grid } = settings;
    requireAll(open);
    const width = isWhole(settings.groupSize, cols) || settings.groupSize === "row" ? cols : settings.groupSize;
    const groups = Math.ceil(cols / width);
    this.#device = device;
    this.#open = open;
    this.#settings = settings;
    this.#codes = scope.matrix("u8", rows, cols);
    this.#scales = scope.matrix("f32", rows, groups);
    this.#zeros = scope.matrix("u8", rows, groups);
    this.#blockCodes = scope.matrix("u8", rows, Math.min(open.group, cols));
    this.#groupScales = scope.matrix("f32", rows, 1);
    this.#groupZeros = scope.matrix("u8", rows, 1);
    this.#lows = scope.matrix("f32", rows, 1);
    this.arrays = {
      codes: { matrix: this.#codes, dtype: "U8", shape: [rows, cols] },
      scales: { matrix: this.#scales, dtype: "F32", shape: [rows, groups] },
      ...(grid === "sign" ? {} : { zeros: { matrix: this.#zeros, dtype: "U8", shape: [rows, groups] } }),
    };
    this.facts = { bits, groupSize: width, grid, ordered };
    if (groups === 1) {
      device.section(method);
      this.#fit(layer.weight, 0);
    }
  }

  block(block: Block): void {
    if (this.#scales.cols > 1) this.#fit(block.target, block.index);
    const { job: { settings: { feedback } }, layer } = this.#open;
    // Column by column, codes are chosen with the errors of those before.
    if (feedback.mode === "columnwise" && layer.factor) return;
    this.#device.run(roundGrid, this.#codesOf(block), { ...this.#grids(), w: block.target });
  }

  columnwise(block: Block, factor: Matrix): void {
    this.#device.run(columnwiseGrid, this.#codesOf(block), block.scratch, {
      ...this.#grids(),
      w: block.target,
      factor,
    });
  }

  decode(block: Block): void {
    this.#device.run(decodeGrid, block.decoded, { ...this.#grids(), codes: this.#codesOf(block) });
  }

  store(block: Block): void {
    this.#device.run(copy, part(this.#codes, { col: block.col, cols: block.w.cols }), this.#codesOf(block));
  }

  factsOf({ scales }: Readonly<Record<string, Tensor>>): JsonRecord {
    return halfUnit(this.#open, [{ scales, together: 1 }]);
  }

  /** Fits the grids of a group, and keeps them. */
  #fit(w: Matrix, group: number): void {
    const { bits, grid } = this.#settings, device = this.#device;
    const scales = this.#groupScales, zeros = this.#groupZeros, lows = this.#lows;
    device.run(fitGrid, scales, lows, { w, bits, grid });
    // Before anything is rounded, so that errors are those of what will be stored.
    if (this.#open.job.settings.scales === "f16") device.run(roundScales, scales);
    if (grid !== "sign") device.run(gridZeros, zeros, { scales, lows, bits });
    device.run(copy, part(this.#scales, { col: group, cols: 1 }), scales);
    device.run(copy, part(this.#zeros, { col: group, cols: 1 }), zeros);
  }

  #grids() {
    const { bits, grid } = this.#settings;
    return { bits, grid, scales: this.#groupScales, zeros: this.#groupZeros };
  }

  #codesOf({ w }: Block): Matrix<"u8"> {
    return matrix(this.#blockCodes.buffer, w.rows, w.cols);
  }
}
