/** Matrix products on the WebGPU device: operands become panels, which one of the variants multiplies. */
import { type DeviceBuffer, type Matrix, part } from "../device.ts";
import type { GemmOptions, SyrkOptions } from "./gemm.ts";
import pack from "./gemm_pack.wgsl" with { type: "text" };
import packVectors from "./gemm_pack_vectors.wgsl" with { type: "text" };
import { directGemm, GEMM_DEPTH, GEMM_SHARE, type GemmVariant, tiledGemm } from "./gemm_wgsl.ts";
import { BATCH_WORK, type GpuContext } from "../gpu/op.ts";
import { bindMatrix, fitBindings, MAX_WORKGROUPS } from "../gpu/window.ts";

/** Ways to multiply: for software devices, and for GPUs. */
export const GEMM_VARIANTS = { software: directGemm(16, 16, 128), gpu: tiledGemm(64) } as const;

/** Inner indices of one dispatch, so that a panel has no more workgroups than a dispatch may. */
const MAX_DEPTH = 1 << 14;

/**
 * out := alpha·op(a)·op(b) + beta·out, see `gemm`.
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
  // A column of b is a row of op(b)ᵀ.
  const operands = { out, a, b, transposeA, transposeB: !transposeB };
  multiply(context, { row: 0, rows: out.rows, col: 0, cols: out.cols, k: 0, depth: inner, upper: false }, operands, {
    alpha,
    beta,
    variant,
  });
}

/**
 * The upper triangle of out := alpha·op(a)·op(a)ᵀ + beta·out, see `syrk`.
 *
 * @throws {RangeError} when the shapes do not fit each other
 */
export function gpuSyrk(
  context: GpuContext,
  out: Matrix,
  a: Matrix,
  options: SyrkOptions & { readonly variant?: GemmVariant } = {},
): void {
  const { transposed = false, alpha = 1, beta = 0, variant = GEMM_VARIANTS.gpu } = options;
  const [size, inner] = transposed ? [a.cols, a.rows] : [a.rows, a.cols];
  if (out.rows !== size || out.cols !== size) {
    throw new RangeError(`Cannot multiply ${shape(a, transposed)} by its transpose into ${out.rows}×${out.cols}`);
  }
  if (size === 0) return;
  const operands = { out, a, b: a, transposeA: transposed, transposeB: transposed };
  multiply(context, { row: 0, rows: size, col: 0, cols: size, k: 0, depth: inner, upper: true }, operands, {
    alpha,
    beta,
    variant,
  });
}

/** A part of a product: some rows and columns of out, some inner indices. */
interface Box {
  readonly row: number;
  readonly rows: number;
  readonly col: number;
  readonly cols: number;
  readonly k: number;
  readonly depth: number;
  /** Whether it is a square on the diagonal of which the upper triangle is wanted. */
  readonly upper: boolean;
}

interface Operands {
  readonly out: Matrix;
  readonly a: Matrix;
  readonly b: Matrix;
  /** Whether inner indices run along a's rows, and along b's. */
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

interface Product {
  readonly alpha: number;
  readonly beta: number;
  readonly variant: GemmVariant;
}

/** Multiplies in parts small enough for a dispatch. */
function multiply(context: GpuContext, box: Box, operands: Operands, options: Product): void {
  const side = longSide(context, box, operands);
  if (side === undefined) return product(context, box, operands, { ...options, beta: box.k === 0 ? options.beta : 1 });
  const { row, rows, col, cols, k, depth, upper } = box;
  const each = (part: Partial<Box>) => multiply(context, { ...box, ...part }, operands, options);
  if (side === "depth") {
    const half = Math.ceil(depth / 2);
    each({ depth: half });
    each({ k: k + half, depth: depth - half });
  } else if (upper) {
    const half = Math.ceil(rows / 2), rest = rows - half;
    each({ rows: half, cols: half });
    each({ rows: half, col: col + half, cols: rest, upper: false });
    each({ row: row + half, rows: rest, col: col + half, cols: rest });
  } else if (side === "rows") {
    const half = Math.ceil(rows / 2);
    each({ rows: half });
    each({ row: row + half, rows: rows - half });
  } else {
    const half = Math.ceil(cols / 2);
    each({ cols: half });
    each({ col: col + half, cols: cols - half });
  }
}

/**
 * The side to halve, as what lies along it is too large; undefined when one dispatch can do it. The same for every
 * variant, as cuts along the inner index change how sums are rounded.
 */
function longSide(
  context: GpuContext,
  box: Box,
  { out, a, b, transposeA, transposeB }: Operands,
): "rows" | "cols" | "depth" | undefined {
  const { rows, cols, depth } = box;
  const cut = (side: "rows" | "cols" | "depth") => box[side] > 1 ? side : undefined;
  if (!fitBindings(context, part(out, box))) return cut("rows") ?? cut("cols");
  if (!fitBindings(context, operand(a, transposeA, box.row, rows, box))) return cut(transposeA ? "depth" : "rows");
  if (!fitBindings(context, operand(b, transposeB, box.col, cols, box))) return cut(transposeB ? "depth" : "cols");
  const larger = rows >= cols ? "rows" : "cols", longest = box[larger];
  const panels = roundUp(longest, GEMM_SHARE) * roundUp(depth, GEMM_DEPTH);
  const deep = depth > GEMM_DEPTH && (depth >= longest || longest <= GEMM_SHARE);
  if (depth > MAX_DEPTH || (panels > context.bindable && deep)) return "depth";
  const small = panels <= context.bindable && longest <= MAX_WORKGROUPS && 2 * rows * cols * depth <= BATCH_WORK;
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
  { alpha, beta, variant }: Product,
): void {
  const { rows, cols, depth, upper } = box, { tileRows, tileCols, share } = variant;
  const padded = roundUp(depth, GEMM_DEPTH);
  const left = panels(context, operand(a, transposeA, box.row, rows, box), transposeA, padded, tileRows);
  const right = upper && tileRows === tileCols
    ? left
    : panels(context, operand(b, transposeB, box.col, cols, box), transposeB, padded, tileCols);
  const to = bindMatrix(part(out, box), "read_write");
  const across = Math.ceil(cols / share), down = Math.ceil(rows / share), triangle = across * (across + 1) / 2;
  context.run(
    { name: "gemm", code: variant.code, work: 2 * padded * elementsMade(box, variant) },
    [to.binding, { buffer: left, access: "read" }, { buffer: right, access: "read" }],
    [rows, cols, padded, to.offset, out.stride, { f32: alpha }, { f32: beta }, beta === 0 ? 0 : 1, upper ? 1 : 0],
    upper ? [Math.min(triangle, MAX_WORKGROUPS), Math.ceil(triangle / MAX_WORKGROUPS)] : [across, down],
  );
  context.release(left);
  context.release(right);
}

/**
 * Elements of out that are made, whether they are wanted or not.
 *
 * @param box.upper only tiles that touch the upper triangle
 */
export function elementsMade(
  { rows, cols, upper }: { readonly rows: number; readonly cols: number; readonly upper: boolean },
  { tileRows, tileCols, share, sharing }: Pick<GemmVariant, "tileRows" | "tileCols" | "share" | "sharing">,
): number {
  // Threads that share leave together.
  const width = sharing ? share : tileCols;
  const down = Math.ceil(rows / tileRows), across = Math.ceil(cols / width);
  let tiles = 0;
  for (let col = 0; col < across; col++) {
    tiles += upper ? Math.min(down, Math.ceil((col + 1) * width / tileRows)) : down;
  }
  return tiles * tileRows * width;
}

/** The operand in panels of so many rows; to be released. */
function panels(
  context: GpuContext,
  m: Matrix,
  transposed: boolean,
  padded: number,
  tile: number,
): DeviceBuffer<"f32"> {
  const [rows, depth] = transposed ? [m.cols, m.rows] : [m.rows, m.cols];
  const count = Math.ceil(rows / tile), x = bindMatrix(m, "read");
  const out = context.scratch("f32", count * tile * padded, { zeroed: false });
  const [rowStep, innerStep] = transposed ? [1, m.stride] : [m.stride, 1];
  const vectors = x.offset % 4 === 0 && m.stride % 4 === 0;
  context.run(
    { name: "gemm", code: vectors ? packVectors : pack, constants: { TILE: tile } },
    [{ buffer: out, access: "read_write" }, x.binding],
    vectors
      ? [rows, depth, padded, x.offset / 4, m.stride / 4, transposed ? 1 : 0]
      : [rows, depth, padded, x.offset, rowStep, innerStep],
    // A thread packs 16 elements.
    [Math.ceil(tile * padded / 1024), count],
  );
  return out;
}

function roundUp(length: number, step: number): number {
  return Math.ceil(length / step) * step;
}

function shape({ rows, cols }: Matrix, transposed: boolean): string {
  return transposed ? `${cols}×${rows}` : `${rows}×${cols}`;
}
