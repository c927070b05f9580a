/** How operations on the WebGPU device see matrices: as windows small enough for a binding. */
import { type ElementType, type Matrix, matrix } from "../device_buffer.ts";
import { type GpuBinding, type GpuContext, WINDOW_ALIGNMENT } from "./op.ts";

/** A binding, and where the matrix starts in it. */
export interface BoundMatrix {
  readonly binding: GpuBinding;
  readonly offset: number;
}

/** Binds no more of a buffer than a matrix spans. */
export function bindMatrix(m: Matrix<ElementType>, access: "read" | "read_write"): BoundMatrix {
  const first = Math.floor(m.offset / WINDOW_ALIGNMENT) * WINDOW_ALIGNMENT, offset = m.offset - first;
  return { binding: { buffer: m.buffer, access, first, count: offset + span(m) }, offset };
}

/** Whether each matrix fits one binding. */
export function fitBindings(context: GpuContext, ...matrices: readonly Matrix<ElementType>[]): boolean {
  return matrices.every((m) => m.offset % WINDOW_ALIGNMENT + span(m) <= context.bindable);
}

/** A rectangle of a matrix. */
export interface Tile {
  readonly row: number;
  readonly col: number;
  readonly rows: number;
  readonly cols: number;
}

/**
 * Cuts a matrix into tiles.
 *
 * @param fits whether a tile is small enough; true for a single element
 */
export function tiles(rows: number, cols: number, fits: (tile: Tile) => boolean): Tile[] {
  const out: Tile[] = [];
  const cut = (tile: Tile) => {
    const { row, col, rows, cols } = tile;
    if (rows === 0 || cols === 0) return;
    if (rows * cols === 1 || fits(tile)) {
      out.push(tile);
    } else if (rows > 1 && rows >= cols / 4) {
      const half = Math.ceil(rows / 2);
      cut({ ...tile, rows: half });
      cut({ ...tile, row: row + half, rows: rows - half });
    } else {
      const half = Math.ceil(cols / 2);
      cut({ ...tile, cols: half });
      cut({ ...tile, col: col + half, cols: cols - half });
    }
  };
  cut({ row: 0, col: 0, rows, cols });
  return out;
}

/** The tile of a transposed matrix. */
export function turned({ row, col, rows, cols }: Tile): Tile {
  return { row: col, col: row, rows: cols, cols: rows };
}

/** Rows of one dispatch that has a workgroup for each: the most that every adapter takes. */
export const MAX_WORKGROUPS = 65535;

/**
 * Calls `body` with a matrix that shares no buffer with `out`: the operand itself, or a copy.
 *
 * @param copy fills its first argument with its second
 */
export function apart<T extends ElementType>(
  context: GpuContext,
  out: Matrix<ElementType>,
  operand: Matrix<T>,
  copy: (context: GpuContext, out: Matrix<T>, from: Matrix<T>) => void,
  body: (operand: Matrix<T>) => void,
): void {
  if (operand.buffer !== out.buffer) return body(operand);
  const { rows, cols } = operand, buffer = context.scratch(operand.buffer.type, rows * cols, { zeroed: false });
  const own = matrix(buffer, rows, cols);
  copy(context, own, operand);
  body(own);
  context.release(buffer);
}

function span({ rows, cols, stride }: Matrix<ElementType>): number {
  return rows === 0 || cols === 0 ? 0 : (rows - 1) * stride + cols;
}
