/** Which weights two packed models keep. */
import { KEPT } from "../kernels/binary/ops.ts";
import { openPacked } from "../checkpoints/packed/open.ts";
import { layerOf } from "../checkpoints/packed/planes.ts";

/** Weights of two packed models, and how many of them only one keeps. */
export interface MaskDifference {
  readonly weights: number;
  readonly moved: number;
}

/**
 * Compares the masks of packed models, given by their folders.
 *
 * @param within part of the layers' names; default: all layers
 */
export async function maskDifference(a: string, b: string, within = ""): Promise<MaskDifference> {
  const [one, other] = [await openPacked(a), await openPacked(b)];
  try {
    let weights = 0, moved = 0;
    for (const name of one.layers.keys()) {
      if (!name.includes(within)) continue;
      const [x, y] = [layerOf(await one.layer(name)).codes, layerOf(await other.layer(name)).codes];
      weights += x.length;
      for (let i = 0; i < x.length; i++) moved += (x[i] ^ y[i]) & KEPT;
    }
    return { weights, moved };
  } finally {
    one.close();
    other.close();
  }
}
