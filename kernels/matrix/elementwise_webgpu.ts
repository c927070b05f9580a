/** Small operations on windows of matrices, on the WebGPU device; contracts are those of `elementwise_ops.ts`. */
import addSums from "./add_sums.wgsl" with { type: "text" };
import clearColumns from "./clear_columns.wgsl" with { type: "text" };
import columnSquares from "./column_squares.wgsl" with { type: "text" };
import copy from "./copy.wgsl" with { type: "text" };
import damp from "./damp.wgsl" with { type: "text" };
import { type DeviceBuffer, type ElementType, type Matrix, matrix, part } from "../device.ts";
import diagonal from "./diagonal.wgsl" with { type: "text" };
import dot from "./dot.wgsl" with { type: "text" };
import power from "./power.wgsl" with { type: "text" };
import roundScales from "./round_scales.wgsl" with { type: "text" };
import subtract from "./subtract.wgsl" with { type: "text" };
import unpack from "./unpack.wgsl" with { type: "text" };
import type { GpuContext } from "../gpu/op.ts";
import { withTwoFloat } from "../gpu/dispatch.ts";
import { apart, bindMatrix, fitBindings, MAX_WORKGROUPS, type Tile, tiles, turned } from "../gpu/window.ts";

/** Threads of a workgroup, along columns, as the shaders say. */
const WIDTH = 64;

/** Elements of one workgroup's share of a dot product. */
const DOT_ELEMENTS = 1 << 13;

/** out := from, or its transpose. */
export function gpuCopy<T extends ElementType>(
  context: GpuContext,
  out: Matrix<T>,
  from: Matrix<T>,
  { transposed = false }: { readonly transposed?: boolean } = {},
): void {
  apart(context, out, from, gpuCopy, (from) => {
    const source = (tile: Tile) => part(from, transposed ? turned(tile) : tile);
    for (const tile of cut(context, out, (tile) => [part(out, tile), source(tile)])) {
      const to = bindMatrix(part(out, tile), "read_write"), x = bindMatrix(source(tile), "read");
      const [row, col] = transposed ? [1, from.stride] : [from.stride, 1];
      const params = [tile.rows, tile.cols, to.offset, out.stride, x.offset, row, col];
      context.run({ name: "copy", code: copy }, [to.binding, x.binding], params, grid(tile));
    }
  });
}

/** out := (a − b)·diag(scale), or its transpose; `out` may be `a` or `b` unless transposed. */
export function gpuSubtract(
  context: GpuContext,
  out: Matrix,
  a: Matrix,
  b: Matrix,
  { scale, transposed = false }: { readonly scale?: Matrix; readonly transposed?: boolean } = {},
): void {
  apart(context, out, a, gpuCopy, (a) =>
    apart(context, out, b, gpuCopy, (b) => {
      const target = (tile: Tile) => part(out, transposed ? turned(tile) : tile);
      for (const tile of cut(context, a, (tile) => [target(tile), part(a, tile), part(b, tile)])) {
        const to = bindMatrix(target(tile), "read_write");
        const x = bindMatrix(part(a, tile), "read"), y = bindMatrix(part(b, tile), "read");
        // Without a scale its place holds another operand, which is not read.
        const factor = scale ? bindMatrix(part(scale, { col: tile.col, cols: tile.cols }), "read") : x;
        const [row, col] = transposed ? [1, out.stride] : [out.stride, 1];
        context.run(
          { name: "subtract", code: subtract },
          [to.binding, x.binding, y.binding, factor.binding],
          [tile.rows, tile.cols, to.offset, row, col, x.offset, a.stride, y.offset, b.stride, factor.offset, +!!scale],
          grid(tile),
        );
      }
    }));
}

/** out := from^exponent, elementwise; `out` may be `from`. */
export function gpuPower(context: GpuContext, out: Matrix, from: Matrix, exponent: number): void {
  apart(context, out, from, gpuCopy, (from) => {
    for (const tile of cut(context, out, (tile) => [part(out, tile), part(from, tile)])) {
      const to = bindMatrix(part(out, tile), "read_write"), x = bindMatrix(part(from, tile), "read");
      const params = [tile.cols, to.offset, out.stride, x.offset, from.stride, { f32: exponent }];
      context.run({ name: "power", code: power }, [to.binding, x.binding], params, grid(tile));
    }
  });
}

/** out (1 × n) := the diagonal of from (n × n). */
export function gpuDiagonal(context: GpuContext, out: Matrix, from: Matrix): void {
  apart(context, out, from, gpuCopy, (from) => {
    const entries = ({ col, cols }: Tile) => part(from, { row: col, col, rows: cols, cols });
    for (const tile of cut(context, { ...out, cols: from.cols }, (tile) => [part(out, tile), entries(tile)])) {
      const to = bindMatrix(part(out, tile), "read_write"), x = bindMatrix(entries(tile), "read");
      const params = [tile.cols, 0, to.offset, x.offset, from.stride + 1, 0];
      context.run({ name: "diagonal", code: diagonal }, [to.binding, x.binding], params, grid(tile));
    }
  });
}

/** out (1 × cols) := Σ_rows from². */
export function gpuColumnSquares(context: GpuContext, out: Matrix, from: Matrix): void {
  apart(context, out, from, gpuCopy, (from) => {
    for (const tile of cut(context, from, (tile) => [part(from, tile)])) {
      const { row, rows, col, cols } = tile;
      const to = bindMatrix(part(out, { col, cols }), "read_write"), x = bindMatrix(part(from, tile), "read");
      const params = [rows, cols, to.offset, x.offset, from.stride, row === 0 ? 1 : 0];
      context.run({ name: "columnSquares", code: withTwoFloat(columnSquares) }, [to.binding, x.binding], params, [
        Math.ceil(cols / WIDTH),
      ]);
    }
  });
}

/** out (1 × 1) += factor·Σ a∘b, in sums of pairs of floats. */
export function gpuAddDot(context: GpuContext, out: Matrix, a: Matrix, b: Matrix, factor: number): void {
  const chunk = Math.max(1, Math.floor(DOT_ELEMENTS / Math.max(1, a.cols)));
  const parts = cut(context, a, (tile) => [part(a, tile), part(b, tile)]);
  const count = parts.reduce((sum, { rows }) => sum + Math.ceil(rows / chunk), 0);
  const sums = context.scratch("f32", 2 * count, { zeroed: false }),
    all = { buffer: sums, access: "read_write" } as const;
  let first = 0;
  for (const tile of parts) {
    const x = bindMatrix(part(a, tile), "read"), y = bindMatrix(part(b, tile), "read");
    const groups = Math.ceil(tile.rows / chunk);
    const params = [tile.rows, tile.cols, x.offset, a.stride, y.offset, b.stride, chunk, first];
    context.run({ name: "dot", code: withTwoFloat(dot) }, [all, x.binding, y.binding], params, [groups]);
    first += groups;
  }
  const to = bindMatrix(out, "read_write");
  const params = [count, to.offset, { f32: factor }];
  context.run({ name: "addSums", code: withTwoFloat(addSums) }, [to.binding, { ...all, access: "read" }], params, [1]);
  context.release(sums);
}

/** Zeroes the columns of w whose entry in `live` (1 × cols) is 0. */
export function gpuClearColumns(context: GpuContext, w: Matrix, live: Matrix): void {
  for (const tile of cut(context, w, (tile) => [part(w, tile)])) {
    const to = bindMatrix(part(w, tile), "read_write");
    const x = bindMatrix(part(live, { col: tile.col, cols: tile.cols }), "read");
    const params = [tile.cols, to.offset, w.stride, x.offset];
    context.run({ name: "clearColumns", code: clearColumns }, [to.binding, x.binding], params, grid(tile));
  }
}

/** Rounds each row to float16 and back, see `roundScales`. */
export function gpuRoundScales(context: GpuContext, x: Matrix): void {
  const fits = ({ rows, cols }: Tile) => cols === x.cols && rows <= WIDTH * MAX_WORKGROUPS;
  for (const tile of tiles(x.rows, x.cols, (tile) => fits(tile) && fitBindings(context, part(x, tile)))) {
    const to = bindMatrix(part(x, tile), "read_write"), params = [tile.rows, tile.cols, to.offset, x.stride];
    context.run({ name: "roundScales", code: roundScales }, [to.binding], params, [Math.ceil(tile.rows / WIDTH)]);
  }
}

/** out := a part of the symmetric matrix of a packed triangle, see `unpack`. */
export function gpuUnpack(
  context: GpuContext,
  out: Matrix,
  packed: DeviceBuffer<"f32">,
  { size, row, col, added }: {
    readonly size: number;
    readonly row: number;
    readonly col: number;
    readonly added?: Matrix;
  },
): void {
  const window = (tile: Tile) => trianglePart(packed, size, { ...tile, row: row + tile.row, col: col + tile.col });
  const damping = added && bindMatrix(added, "read");
  for (const tile of cut(context, out, (tile) => [part(out, tile), window(tile)])) {
    const to = bindMatrix(part(out, tile), "read_write"), x = bindMatrix(window(tile), "read");
    context.run(
      { name: "unpack", code: unpack },
      [to.binding, x.binding, damping?.binding ?? x.binding],
      [
        tile.cols,
        to.offset,
        out.stride,
        size,
        row + tile.row,
        col + tile.col,
        x.binding.first ?? 0,
        damping?.offset ?? 0,
        damping ? 1 : 0,
      ],
      grid(tile),
    );
  }
}

/** diagonal (1 × size) := diag H, and added (1 × size) := what damping adds to it, see `damp`. */
export function gpuDamp(
  context: GpuContext,
  diagonalOut: Matrix,
  added: Matrix,
  packed: DeviceBuffer<"f32">,
  { size, damping }: { readonly size: number; readonly damping: number },
): void {
  const window = ({ col, cols }: Tile) => trianglePart(packed, size, { row: col, col, rows: cols, cols });
  for (const tile of cut(context, diagonalOut, (tile) => [window(tile)])) {
    const to = bindMatrix(part(diagonalOut, tile), "read_write"), x = bindMatrix(window(tile), "read");
    const start = -(x.binding.first ?? 0) >>> 0;
    const params = [tile.cols, tile.col, to.offset, start, size, 1];
    context.run({ name: "diagonal", code: diagonal }, [to.binding, x.binding], params, grid(tile));
  }
  apart(context, added, diagonalOut, gpuCopy, (entries) => {
    const to = bindMatrix(added, "read_write"), x = bindMatrix(entries, "read");
    const params = [size, x.offset, to.offset, { f32: damping }];
    context.run({ name: "damp", code: withTwoFloat(damp) }, [to.binding, x.binding], params, [1]);
  });
}

/** The stretch of a packed triangle that holds a part of its matrix, as a matrix of one row. */
function trianglePart(packed: DeviceBuffer<"f32">, size: number, { row, col, rows, cols }: Tile): Matrix {
  const at = (i: number, j: number) => i * size - i * (i - 1) / 2 + j - i;
  const low = Math.min(row, col), high = Math.min(row + rows, col + cols) - 1;
  const start = at(low, Math.max(row, col)), end = at(high, Math.max(row + rows, col + cols) - 1) + 1;
  return part(matrix(packed, 1, packed.length), { col: start, cols: end - start });
}

/** Tiles of a matrix whose operands fit bindings and whose rows fit a dispatch. */
function cut(
  context: GpuContext,
  { rows, cols }: Matrix<ElementType>,
  operands: (tile: Tile) => readonly Matrix<ElementType>[],
): Tile[] {
  return tiles(rows, cols, (tile) => tile.rows <= MAX_WORKGROUPS && fitBindings(context, ...operands(tile)));
}

function grid({ rows, cols }: Tile): [number, number] {
  return [Math.ceil(cols / WIDTH), rows];
}
