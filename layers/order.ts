/** A layer whose columns are quantized in another order than its own. */
import type { LayerJob } from "./job.ts";
import type { LayerColumns } from "./methods/method.ts";

/** What a method's `order` is made from. */
export function columnsOf({ cols, upper }: Pick<LayerJob, "cols" | "upper">): LayerColumns {
  if (upper === undefined) return { cols, diagonal: undefined };
  const diagonal = new Float32Array(cols);
  for (let j = 0, at = 0; j < cols; at += cols - j, j++) diagonal[j] = upper[at];
  return { cols, diagonal };
}

/**
 * The job with its columns in another order: column j of the result is column order[j] of the job. Its arrays are new ones, as layers may
 * share a Hessian.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { inOrder } from "./order.ts";
 *
 * const upper = Float32Array.of(11, 12, 13, 22, 23, 33), weight = Float32Array.of(1, 2, 3);
 * const found = inOrder({ name: "q_proj", rows: 1, cols: 3, weight, upper }, Uint32Array.of(2, 0, 1));
 * assert.deepEqual([...found.weight], [3, 1, 2]);
 * assert.deepEqual([...found.upper ?? []], [33, 13, 23, 11, 12, 22]);
 * ```
 * @throws {RangeError} when the job comes with masks
 */
export function inOrder<
  J extends Pick<LayerJob, "name" | "rows" | "cols" | "weight" | "upper" | "heldOut" | "propagation" | "ranks">,
>(
  job: J,
  order: Uint32Array,
): J {
  const { name, rows, cols, weight, upper, heldOut, propagation } = job;
  if (job.ranks) {
    throw new RangeError(`Cannot compress layer "${name}" as masks go with the layer's own order of columns`);
  }
  const columnsInOrder = (values: Float32Array) => {
    const moved = new Float32Array(values.length);
    for (let row = 0, at = 0; row < rows; row++) {
      for (let j = 0; j < cols; j++, at++) moved[at] = values[row * cols + order[j]];
    }
    return moved;
  };
  return {
    ...job,
    weight: columnsInOrder(weight),
    ...(upper && { upper: triangleInOrder(upper, order) }),
    ...(heldOut && { heldOut: triangleInOrder(heldOut, order) }),
    ...(propagation && {
      propagation: {
        ...propagation,
        cross: squareInOrder(propagation.cross, order),
        ...(propagation.residual && { residual: columnsInOrder(propagation.residual) }),
        ...(propagation.half && {
          half: {
            upper: triangleInOrder(propagation.half.upper, order),
            cross: squareInOrder(propagation.half.cross, order),
            ...(propagation.half.residual && { residual: columnsInOrder(propagation.half.residual) }),
          },
        }),
      },
    }),
  };
}

/** A square matrix with rows and columns in another order. */
function squareInOrder(from: Float32Array, order: Uint32Array): Float32Array {
  const cols = order.length, out = new Float32Array(from.length);
  for (let row = 0, at = 0; row < cols; row++) {
    for (let col = 0; col < cols; col++, at++) out[at] = from[order[row] * cols + order[col]];
  }
  return out;
}

/** A packed upper triangle with rows and columns in another order. */
function triangleInOrder(upper: Float32Array, order: Uint32Array): Float32Array {
  const cols = order.length, out = new Float32Array(upper.length);
  // Entry (i, j), i ≤ j, is at starts[i] + j.
  const starts = Float64Array.from(order, (_, i) => i * cols - i * (i + 1) / 2);
  for (let row = 0, at = 0; row < cols; row++) {
    const i = order[row];
    for (let col = row; col < cols; col++, at++) {
      const j = order[col];
      out[at] = upper[i < j ? starts[i] + j : starts[j] + i];
    }
  }
  return out;
}
