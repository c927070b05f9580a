/** Small operations on windows of matrices, and on packed triangles. */
import { dense, owned, view } from "../cpu_buffer.ts";
import { type DeviceBuffer, type ElementType, expectShape, type Matrix } from "../device.ts";
import type { Op } from "../op.ts";
import {
  clearColumnsOf,
  columnSquaresOf,
  copyWindow,
  dampDiagonal,
  diagonalOf,
  dotWindows,
  powerWindow,
  roundScalesWindow,
  subtractWindow,
  transposeWindow,
} from "./elementwise.ts";
import {
  gpuAddDot,
  gpuClearColumns,
  gpuColumnSquares,
  gpuCopy,
  gpuDamp,
  gpuDiagonal,
  gpuPower,
  gpuRoundScales,
  gpuSubtract,
  gpuUnpack,
} from "./elementwise_webgpu.ts";
import { unpackPart } from "./triangle.ts";

/** Scales that one thread of a GPU looks at: more than any row and column block has. */
const MOST_SCALES = 64;

/** out := from, or its transpose; both of one element type. */
export const copy: Op<
  [out: Matrix<ElementType>, from: Matrix<ElementType>, options?: { readonly transposed?: boolean }]
> = {
  name: "copy",
  check(out, from, { transposed = false } = {}) {
    expectShape("copy", out, transposed ? from.cols : from.rows, transposed ? from.rows : from.cols);
    if (out.buffer.type === from.buffer.type) return;
    throw new RangeError(
      `Cannot enqueue "copy" as its operand must be ${out.buffer.type}: current value is ${from.buffer.type}`,
    );
  },
  cpu: (_, out, from, { transposed = false } = {}) =>
    (transposed ? transposeWindow : copyWindow)(view(out), view(from)),
  gpu: gpuCopy,
};

/** out := (a − b)·diag(scale), or its transpose; `out` may be `a` or `b` unless transposed. `scale` is 1 × cols. */
export const subtract: Op<
  [out: Matrix, a: Matrix, b: Matrix, options?: { readonly scale?: Matrix; readonly transposed?: boolean }]
> = {
  name: "subtract",
  check(out, a, b, { scale, transposed = false } = {}) {
    expectShape("subtract", b, a.rows, a.cols);
    expectShape("subtract", out, transposed ? a.cols : a.rows, transposed ? a.rows : a.cols);
    if (scale) expectShape("subtract", scale, 1, a.cols);
  },
  cpu: (_, out, a, b, { scale, transposed = false } = {}) =>
    subtractWindow(view(out), view(a), view(b), { scale: scale && view(scale), transposed }),
  gpu: gpuSubtract,
};

/** out := from^exponent, elementwise; `out` may be `from`. */
export const power: Op<[out: Matrix, from: Matrix, exponent: number]> = {
  name: "power",
  check: (out, from) => expectShape("power", out, from.rows, from.cols),
  cpu: (_, out, from, exponent) => powerWindow(view(out), view(from), exponent),
  gpu: gpuPower,
};

/** out (1 × n) := the diagonal of from (n × n). */
export const diagonal: Op<[out: Matrix, from: Matrix]> = {
  name: "diagonal",
  check: (out, from) => expectShape("diagonal", out, 1, from.cols),
  cpu: (_, out, from) => diagonalOf(view(out), view(from)),
  gpu: gpuDiagonal,
};

/** out (1 × cols) := Σ_rows from². */
export const columnSquares: Op<[out: Matrix, from: Matrix]> = {
  name: "columnSquares",
  check: (out, from) => expectShape("columnSquares", out, 1, from.cols),
  cpu: (_, out, from) => columnSquaresOf(view(out), view(from)),
  gpu: gpuColumnSquares,
};

/** out (1 × 1) += factor·Σ a∘b, summed in float64. */
export const addDot: Op<[out: Matrix, a: Matrix, b: Matrix, factor: number]> = {
  name: "addDot",
  check: (_, a, b) => expectShape("addDot", b, a.rows, a.cols),
  cpu(_, out, a, b, factor) {
    view(out).data[out.offset] += factor * dotWindows(view(a), view(b));
  },
  gpu: gpuAddDot,
};

/** Zeroes the columns of w whose entry in `live` (1 × cols) is 0. */
export const clearColumns: Op<[w: Matrix, live: Matrix]> = {
  name: "clearColumns",
  check: (w, live) => expectShape("clearColumns", live, 1, w.cols),
  cpu: (_, w, live) => clearColumnsOf(view(w), view(live)),
  gpu: gpuClearColumns,
};

/**
 * Rounds each row, scales that are stored together, to float16 and back: in units of a power of two of the row's own where float16 would
 * lose its largest value (`halfExponent`). What is not finite stays so.
 */
export const roundScales: Op<[x: Matrix]> = {
  name: "roundScales",
  check({ cols }) {
    if (cols > MOST_SCALES) {
      throw new RangeError(`Cannot round scales as a row has at most ${MOST_SCALES}: current value is ${cols}`);
    }
  },
  cpu: (_, x) => roundScalesWindow(view(x)),
  gpu: gpuRoundScales,
};

/**
 * out := rows row… and columns col… of the symmetric matrix whose packed upper triangle is `packed`, with `added` (1 ×
 * size) on its diagonal.
 */
export const unpack: Op<[
  out: Matrix,
  packed: DeviceBuffer<"f32">,
  options: { readonly size: number; readonly row: number; readonly col: number; readonly added?: Matrix },
]> = {
  name: "unpack",
  check: (_, __, { size, added }) => added && expectShape("unpack", added, 1, size),
  cpu(_, out, packed, { size, row, col, added }) {
    const { data, rows, cols, offset, stride } = view(out);
    unpackPart(data, owned(packed).array, { size, row, col, rows, cols, offset, stride });
    if (!added) return;
    const extra = dense(added);
    for (let j = Math.max(row, col); j < Math.min(row + rows, col + cols); j++) {
      data[offset + (j - row) * stride + j - col] += extra[j];
    }
  },
  gpu: gpuUnpack,
};

/** diagonal (1 × size) := diag H; added (1 × size) := what damping adds to it, and 1 more where it is 0. */
export const damp: Op<[
  diagonal: Matrix,
  added: Matrix,
  packed: DeviceBuffer<"f32">,
  options: { readonly size: number; readonly damping: number },
]> = {
  name: "damp",
  check(diagonal, added, _, { size }) {
    expectShape("damp", diagonal, 1, size);
    expectShape("damp", added, 1, size);
  },
  cpu: (_, diagonal, added, packed, { damping }) =>
    dampDiagonal(dense(diagonal), dense(added), owned(packed).array, damping),
  gpu: gpuDamp,
};
