/** Matrix products on the WebGPU device: operands become panels, which one of the variants multiplies. */
import { type DeviceBuffer, type Matrix, part } from "./device.ts";
import { gpuCopy } from "./elementwise_webgpu.ts";
import type { GemmOptions } from "./gemm.ts";
import pack from "./gemm_pack.wgsl" with { type: "text" };
import { directGemm, type GemmVariant, tiledGemm } from "./gemm_wgsl.ts";
import { BATCH_WORK, type GpuContext } from "./webgpu_context.ts";
import { apart, bindMatrix, fitBindings, MAX_WORKGROUPS } from "./webgpu_window.ts";

/** Ways to multiply: for software devices, and for GPUs. */
export const GEMM_VARIANTS = { software: directGemm(16, 8), gpu: tiledGemm() } as const;

/** Inner indices of one dispatch, so that a panel of up to 64 rows has no more workgroups than a dispatch may. */
const MAX_DEPTH = 1 << 15;

/**
 * out := alpha·op(a)·op(b) + beta·out, see `Device.gemm`.
 *
 * @throws {RangeError} when the shapes do not fit each other
 */
export function gpuGemm(
  context: GpuContext,
  out: Matrix,
  a: Matrix,
  b: Matrix,
  options: GemmOptions & { readonly variant?: GemmVariant } = {},
): void {
  const { transposeA = false, transposeB = false, alpha = 1, beta = 0, variant = GEMM_VARIANTS.gpu } = options;
  const inner = transposeA ? a.rows : a.cols;
  const fits = (transposeA ? a.cols : a.rows) === out.rows && (transposeB ? b.rows : b.cols) === out.cols &&
    (transposeB ? b.cols : b.rows) === inner;
  if (!fits) {
    throw new RangeError(
      `Cannot multiply ${shape(a, transposeA)} by ${shape(b, transposeB)} into ${out.rows}×${out.cols}`,
    );
  }
  if (out.rows === 0 || out.cols === 0) return;
  apart(context, out, a, gpuCopy, (a) =>
    apart(context, out, b, gpuCopy, (b) => {
      // A column of b is a row of op(b)ᵀ.
      const operands = { out, a, b, transposeA, transposeB: !transposeB };
      const multiply = (box: Box): void => {
        const side = longSide(context, box, operands, variant);
        if (side === undefined) {
          return product(context, box, operands, { alpha, beta: box.k === 0 ? beta : 1, variant });
        }
        const [start, length] = SIDES[side], half = Math.ceil(box[length] / 2);
        multiply({ ...box, [length]: half });
        multiply({ ...box, [start]: box[start] + half, [length]: box[length] - half });
      };
      multiply({ row: 0, rows: out.rows, col: 0, cols: out.cols, k: 0, depth: inner });
    }));
}

/** A part of a product: some rows and columns of out, some inner indices. */
interface Box {
  readonly row: number;
  readonly rows: number;
  readonly col: number;
  readonly cols: number;
  readonly k: number;
  readonly depth: number;
}

const SIDES = { rows: ["row", "rows"], cols: ["col", "cols"], depth: ["k", "depth"] } as const;

interface Operands {
  readonly out: Matrix;
  readonly a: Matrix;
  readonly b: Matrix;
  /** Whether inner indices run along a's rows, and along b's. */
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** The side to halve, as what lies along it is too large; undefined when one dispatch can do it. */
function longSide(
  context: GpuContext,
  box: Box,
  { out, a, b, transposeA, transposeB }: Operands,
  { tile, depth: step }: GemmVariant,
): keyof typeof SIDES | undefined {
  const { rows, cols, depth } = box;
  const cut = (side: keyof typeof SIDES) => box[side] > 1 ? side : undefined;
  if (!fitBindings(context, part(out, box))) return cut("rows") ?? cut("cols");
  if (!fitBindings(context, operand(a, transposeA, box.row, rows, box))) return cut(transposeA ? "depth" : "rows");
  if (!fitBindings(context, operand(b, transposeB, box.col, cols, box))) return cut(transposeB ? "depth" : "cols");
  const larger = rows >= cols ? "rows" : "cols", widest = box[larger] + tile;
  if (depth > MAX_DEPTH || (widest * (depth + step) > context.bindable && depth >= widest)) return cut("depth");
  const small = widest * (depth + step) <= context.bindable && widest <= MAX_WORKGROUPS * tile &&
    2 * rows * cols * depth <= BATCH_WORK;
  return small ? undefined : cut(larger) ?? cut("depth");
}

/** Some rows of op(m), or of its transpose where inner indices run along m's rows. */
function operand(m: Matrix, transposed: boolean, row: number, rows: number, { k, depth }: Box): Matrix {
  return transposed
    ? part(m, { row: k, rows: depth, col: row, cols: rows })
    : part(m, { row, rows, col: k, cols: depth });
}

function product(
  context: GpuContext,
  box: Box,
  { out, a, b, transposeA, transposeB }: Operands,
  { alpha, beta, variant }: { readonly alpha: number; readonly beta: number; readonly variant: GemmVariant },
): void {
  const { rows, cols, depth } = box, padded = Math.ceil(depth / variant.depth) * variant.depth;
  const left = panels(context, operand(a, transposeA, box.row, rows, box), transposeA, padded, variant);
  const right = panels(context, operand(b, transposeB, box.col, cols, box), transposeB, padded, variant);
  const to = bindMatrix(part(out, box), "read_write");
  context.run(
    { name: "gemm", code: variant.code, work: 2 * rows * cols * padded },
    [to.binding, { buffer: left, access: "read" }, { buffer: right, access: "read" }],
    [rows, cols, padded, to.offset, out.stride, { f32: alpha }, { f32: beta }, beta === 0 ? 0 : 1],
    [Math.ceil(cols / variant.share), Math.ceil(rows / variant.share)],
  );
  context.release(left);
  context.release(right);
}

/** The operand in panels, for the variant; to be released. */
function panels(
  context: GpuContext,
  m: Matrix,
  transposed: boolean,
  padded: number,
  { tile }: GemmVariant,
): DeviceBuffer<"f32"> {
  const [rows, depth] = transposed ? [m.cols, m.rows] : [m.rows, m.cols];
  const count = Math.ceil(rows / tile), x = bindMatrix(m, "read");
  const out = context.scratch("f32", count * tile * padded, { zeroed: false });
  const [rowStep, innerStep] = transposed ? [1, m.stride] : [m.stride, 1];
  context.run(
    { name: "gemm", code: pack, constants: { TILE: tile } },
    [{ buffer: out, access: "read_write" }, x.binding],
    [rows, depth, padded, x.offset, rowStep, innerStep],
    [Math.ceil(tile * padded / 64), count],
  );
  return out;
}

function shape({ rows, cols }: Matrix, transposed: boolean): string {
  return transposed ? `${cols}×${rows}` : `${rows}×${cols}`;
}
