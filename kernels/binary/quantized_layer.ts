/**
 * One binarized and pruned linear layer: the exact content of what is packed, before any bit is packed.
 *
 * Not a file format (`checkpoints/packed/`) and not a weight matrix (`decodeLayer` makes one).
 */
import type { Matrix } from "../device.ts";
import type { PruningType } from "../scores/ops.ts";

/** Bit 0 of a code: the weight is kept. */
export const KEPT = 1;
/** Bit 1 of a code: the (first) sign is positive. */
export const SIGN = 2;
/** Bit 2 of a code: the second sign (salient columns, order 2) is positive. */
export const SECOND_SIGN = 4;
/** A code shifted right by this many bits is its group: 0 = salient, 1.. = segments of growing index. */
export const GROUP_SHIFT = 3;

/** A layer as masks, signs, group marks and scales. */
export interface QuantizedLayer {
  /** Outputs of the layer. */
  readonly rows: number;
  /** Inputs of the layer. */
  readonly cols: number;
  /** Consecutive columns that share scales; the last group may be shorter. */
  readonly groupSize: number;
  /** N of N:M: weights kept of every `of` consecutive inputs. */
  readonly keep: number;
  /** M of N:M. */
  readonly of: number;
  readonly type: PruningType;
  /** Number of non-salient segments, 1..4 (split points + 1). */
  readonly segments: number;
  /** Whether salient columns exist as a group of their own (three scales more per row and column block). */
  readonly salient: boolean;
  /** rows × cols; see KEPT, SIGN, SECOND_SIGN, GROUP_SHIFT. Pruned weights have code 0 except for their group bits. */
  readonly codes: Uint8Array;
  /**
   * rows × blocks × scalesPerBlock. Per row and column block: salient mean, first scale, second scale (if `salient`),
   * then mean and scale of segment 1, 2, …. A kept weight decodes to mean ± scale (± second scale).
   */
  readonly scales: Float32Array;
  /** Set where float16 would lose scales: they are then stored in units of 2^exponent, and of others (`half_scales.ts`). */
  readonly exponent?: number;
}

/** Shape of the codes and scales of one column block. */
export interface BlockShape {
  /** Non-salient segments, 1..4. */
  readonly segments: number;
  /** Whether group 0, the salient columns, exists. */
  readonly salient: boolean;
}

/** Weights that a search sees: those of rank ≥ `pruned`. */
export interface SeenOptions {
  /** rows × cols, from `rank`. */
  readonly rank: Matrix<"u8">;
  readonly pruned: number;
}

/** Scales per row and column block. */
export function scalesPerBlock(layer: Pick<QuantizedLayer, "salient" | "segments">): number {
  return (layer.salient ? 3 : 0) + 2 * layer.segments;
}
