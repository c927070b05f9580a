/**
 * One linear layer through fine-search, spbo and compensate: the loop over its column blocks, on any device.
 *
 * Not where layers come from (`calibrate.ts`) or go to (`pack.ts`), and not the choice of cores (`layer_pool.ts`).
 */
import { type Device, matrix, part } from "../kernels/device.ts";
import { addEnergy, copy, triangleLength } from "../kernels/matrix/ops.ts";
import { type QuantizedLayer, scalesPerBlock } from "../kernels/binary/ops.ts";
import type { Recipe } from "../stages/schema.ts";
import { quantizeBlocks, scoreBlock } from "./blocks.ts";
import { openLayer, Scope } from "./open.ts";
import { rank } from "../kernels/scores/ops.ts";

/** The recipe's stages that a layer's result depends on. */
export type LayerStages = Pick<Recipe["stages"], "fine-search" | "spbo" | "compensate" | "pack">;

/** What is needed to choose a layer's masks. The arrays are handed over: they must not be used after the call. */
export interface MaskJob {
  /** For people, in errors and events. */
  readonly name: string;
  /** Outputs. */
  readonly rows: number;
  /** Inputs. */
  readonly cols: number;
  /** rows × cols */
  readonly weight: Float32Array;
  /** Packed upper triangle of the undamped Hessian (`packUpper`); H = I where only weights matter. */
  readonly upper?: Float32Array;
  /** M of N:M. */
  readonly of: number;
  readonly stages: LayerStages;
}

/** One layer to compress. */
export interface LayerJob extends MaskJob {
  /** N of N:M. */
  readonly keep: number;
  /**
   * rows × cols: ranks from `searchMasks` (mask_from: original); else each column block is ranked on its updated
   * weights.
   */
  readonly ranks?: Uint8Array;
}

/** Seconds by stage. */
export type LayerSeconds = Readonly<Record<"fine-search" | "spbo" | "compensate", number>>;

/** A compressed layer and how far it is from the original. */
export interface LayerResult {
  readonly name: string;
  readonly layer: QuantizedLayer;
  /** tr((W−Ŵ)H(W−Ŵ)ᵀ)/tr(WHWᵀ) on the undamped H; 0 for a layer without energy. */
  readonly error: number;
  readonly seconds: LayerSeconds;
}

/** A layer's masks for every N. */
export interface MaskResult {
  readonly name: string;
  /** rows × cols: "keep N" is rank ≥ of − N. */
  readonly ranks: Uint8Array;
  readonly seconds: LayerSeconds;
}

/**
 * Compresses one layer (PBS²P, arXiv 2502.01705), as ALGORITHM.md §1 has it.
 *
 * With G the feedback of the blocks so far, the target of block b is T_b = W_b + (G_{<b}·R_{<b,b})·U_bb. After it is
 * binarized to Q_b, exact: G_b = W_b − Q_b; diagonal and columnwise: G_b = (W_b − T_b) + D_b·U_bb with D_b = (T_b −
 * Q_b)·diag(U_bb)⁻¹, or GPTQ's column errors. So R alone is needed, and no later block of W is rewritten.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "../kernels/cpu.ts";
 * import { decodeLayer } from "../kernels/binary/ops.ts";
 * import { Stages } from "../stages/schema.ts";
 * import { quantizeLayer } from "./layer.ts";
 *
 * const weight = Float32Array.from({ length: 4 * 16 }, (_, i) => Math.sin(i * i));
 * const device = openCpuDevice();
 * const job = { name: "q_proj", rows: 4, cols: 16, weight, keep: 6, of: 8, stages: Stages.parse({}) };
 * const { layer, error } = await quantizeLayer(device, job);
 * assert.equal(decodeLayer(layer).filter((w) => w !== 0).length, 4 * 16 * 6 / 8);
 * assert.ok(error < 0.2);
 * await device.destroy();
 * ```
 *
 * @throws {RangeError} when shapes or N:M do not fit, or the Hessian is not positive definite after damping
 */
export async function quantizeLayer(device: Device, job: LayerJob): Promise<LayerResult> {
  checkJob(job);
  if (!(Number.isInteger(job.keep) && job.keep >= 1 && job.keep <= job.of)) {
    throw new RangeError(
      `Cannot compress layer "${job.name}" as keep must be 1..${job.of}: current value is ${job.keep}`,
    );
  }
  const scope = new Scope(device);
  try {
    const { rows, cols, stages } = job, { spbo } = stages, group = spbo.group_size;
    const type = stages["fine-search"].type, keep = type === "none" ? job.of : job.keep;
    const shape = { segments: spbo.split_points + 1, salient: spbo.salient };
    const blocks = Math.ceil(cols / group), perRow = blocks * scalesPerBlock(shape);
    const codes = scope.matrix("u8", rows, cols), scales = scope.matrix("f32", rows, perRow);
    const energies = scope.matrix("f32", 1, 2);
    const layer = openLayer(device, scope, job);
    const status = layer.factor?.status ?? scope.matrix("u32", 1, 1);
    device.section("compensate");
    addEnergy(device, part(energies, { cols: 1 }), layer.weight, layer.packed);
    quantizeBlocks(device, scope, { job, layer, shape, pruned: job.of - keep, codes, scales });
    addEnergy(device, part(energies, { col: 1 }), layer.weight, layer.packed);
    const [codesOut, scalesOut, [before, after], [bad]] = await device.download(
      [codes.buffer, scales.buffer, energies.buffer, status.buffer],
    );
    if (bad > 0) throw singular(job, bad - 1);
    return {
      name: job.name,
      layer: { rows, cols, groupSize: group, keep, of: job.of, type, ...shape, codes: codesOut, scales: scalesOut },
      error: before > 0 ? after / before : 0,
      seconds: secondsOf(device),
    };
  } finally {
    scope.close();
  }
}

/**
 * Ranks all weights of a layer on its original weights (`mask_from: original`), so that one search serves every N.
 *
 * @throws {RangeError} when shapes do not fit, or the Hessian is not positive definite after damping
 */
export async function searchMasks(device: Device, job: MaskJob): Promise<MaskResult> {
  checkJob(job);
  const scope = new Scope(device);
  try {
    const { rows, cols, stages } = job, group = stages.spbo.group_size;
    const ranks = scope.matrix("u8", rows, cols);
    const layer = openLayer(device, scope, job);
    const status = layer.factor?.status ?? scope.matrix("u32", 1, 1);
    device.section("fine-search");
    const first = Math.min(group, cols);
    const block = scope.buffer("f32", rows * first), scores = scope.buffer("f32", rows * first);
    const blockRanks = scope.buffer("u8", rows * first);
    for (let col = 0; col < cols; col += group) {
      const width = Math.min(group, cols - col);
      const w = matrix(block, rows, width),
        score = matrix(scores, rows, width),
        found = matrix(blockRanks, rows, width);
      device.run(copy, w, part(layer.weight, { col, cols: width }));
      scoreBlock(device, score, w, { job, layer, col });
      device.run(rank, found, score, { of: job.of, type: stages["fine-search"].type });
      device.run(copy, part(ranks, { col, cols: width }), found);
    }
    const [ranksOut, [bad]] = await device.download([ranks.buffer, status.buffer]);
    if (bad > 0) throw singular(job, bad - 1);
    return { name: job.name, ranks: ranksOut, seconds: secondsOf(device) };
  } finally {
    scope.close();
  }
}

function secondsOf(device: Device): LayerSeconds {
  const spent = device.spent();
  return {
    "fine-search": spent["fine-search"] ?? 0,
    spbo: spent.spbo ?? 0,
    compensate: spent.compensate ?? 0,
  };
}

function singular({ name, cols, stages }: MaskJob, pivot: number): RangeError {
  return new RangeError(
    `Cannot factor the Hessian of layer "${name}" as pivot ${pivot} of ${cols} must be positive: ` +
      `raise stages.compensate.damping, whose current value is ${stages.compensate.damping}`,
  );
}

function checkJob({ name, rows, cols, weight, upper, of, stages }: MaskJob): void {
  const fail = (what: string, wanted: string | number, found: string | number) => {
    throw new RangeError(`Cannot compress layer "${name}" as ${what} must be ${wanted}: current value is ${found}`);
  };
  if (weight.length !== rows * cols) fail(`the weights of ${rows}×${cols}`, rows * cols, weight.length);
  if (upper && upper.length !== triangleLength(cols)) {
    fail("the Hessian's triangle", triangleLength(cols), upper.length);
  }
  if (stages["fine-search"].type !== "semi-structured") return;
  if (cols % of !== 0) fail("its inputs", `a multiple of ${of}`, cols);
  if (stages.spbo.group_size % of !== 0 && stages.spbo.group_size < cols) {
    fail("stages.spbo.group_size", `a multiple of ${of}`, stages.spbo.group_size);
  }
}
