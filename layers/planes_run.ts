/** A layer that a method makes in the format `planes`: all that does not depend on how the method binarizes a column block. */
import type { JsonRecord } from "../files/json.ts";
import type { Tensor } from "../files/safetensors.ts";
import { type Device, type Matrix, matrix, part } from "../kernels/device.ts";
import { type BlockShape, columnwise, decode, scalesPerBlock } from "../kernels/binary/ops.ts";
import { copy, roundScales } from "../kernels/matrix/ops.ts";
import type { PruningType } from "../kernels/scores/ops.ts";
import { halfUnit } from "./half_unit.ts";
import type { Block, MethodLayer, MethodRun } from "./methods/method.ts";
import type { Scope } from "./scope.ts";

/** What a method makes of one column block. */
export interface BlockPlanes {
  /** rows × columns of the block */
  readonly codes: Matrix<"u8">;
  /** rows × scales of a row */
  readonly scales: Matrix;
}

/** A method's layers. */
export interface PlanesMethod {
  readonly shape: BlockShape;
  /** What of N:M holds of the codes. */
  readonly mask: { readonly keep: number; readonly of: number; readonly type: PruningType };
  /** Enqueues what makes a block's codes and scales. */
  readonly binarize: (block: Block, planes: BlockPlanes) => void;
}

/** Runs a method that makes planes. */
export class PlanesRun implements MethodRun {
  readonly arrays: MethodRun["arrays"];
  readonly facts: MethodRun["facts"];
  readonly #device: Device;
  readonly #open: MethodLayer;
  readonly #method: PlanesMethod;
  /** rows × cols, and rows × (blocks · scales of a block): the layer's. */
  readonly #codes: Matrix<"u8">;
  readonly #scales: Matrix;
  /** Of one block. */
  readonly #blockCodes: Matrix<"u8">;
  readonly #blockScales: Matrix;

  constructor(device: Device, scope: Scope, open: MethodLayer, method: PlanesMethod) {
    const { job: { rows, cols }, group } = open, { shape, mask } = method;
    const blocks = Math.ceil(cols / group), perBlock = scalesPerBlock(shape);
    this.#device = device;
    this.#open = open;
    this.#method = method;
    this.#codes = scope.matrix("u8", rows, cols);
    this.#scales = scope.matrix("f32", rows, blocks * perBlock);
    this.#blockCodes = scope.matrix("u8", rows, Math.min(group, cols));
    this.#blockScales = scope.matrix("f32", rows, perBlock);
    this.arrays = {
      codes: { matrix: this.#codes, dtype: "U8", shape: [rows, cols] },
      scales: { matrix: this.#scales, dtype: "F32", shape: [rows, blocks, perBlock] },
    };
    this.facts = { groupSize: group, segments: shape.segments, salient: shape.salient, ...mask };
  }

  block(block: Block): void {
    const planes = { codes: this.#codesOf(block), scales: this.#blockScales };
    this.#method.binarize(block, planes);
    // Before the errors are formed, so that compensation sees what will be stored.
    if (this.#open.job.settings.scales === "f16") this.#device.run(roundScales, planes.scales);
  }

  factsOf({ scales }: Readonly<Record<string, Tensor>>): JsonRecord {
    return halfUnit(this.#open, [{ scales, together: this.#blockScales.cols }]);
  }

  decode(block: Block): void {
    const { shape } = this.#method;
    this.#device.run(decode, block.decoded, { ...shape, codes: this.#codesOf(block), scales: this.#blockScales });
  }

  columnwise(block: Block, factor: Matrix): void {
    const options = { ...this.#method.shape, w: block.target, factor, scales: this.#blockScales };
    this.#device.run(columnwise, this.#codesOf(block), block.scratch, options);
  }

  store(block: Block): void {
    const { cols } = this.#blockScales;
    this.#device.run(copy, part(this.#codes, { col: block.col, cols: block.w.cols }), this.#codesOf(block));
    this.#device.run(copy, part(this.#scales, { col: block.index * cols, cols }), this.#blockScales);
  }

  #codesOf({ w }: Block): Matrix<"u8"> {
    return matrix(this.#blockCodes.buffer, w.rows, w.cols);
  }
}
