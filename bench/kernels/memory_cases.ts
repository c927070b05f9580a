/** Operations that only move numbers; the copies say how fast a device can. */
import { type Device, type Matrix, matrix } from "../../kernels/device.ts";
import {
  addDot,
  clearColumns,
  columnSquares,
  copy,
  damp,
  diagonal,
  packUpper,
  power,
  roundScales,
  subtract,
  triangleLength,
  unpack,
} from "../../kernels/matrix/ops.ts";
import { elementBytes } from "./counts.ts";
import { hessian, randomWeights } from "./data.ts";
import type { KernelCase, Work } from "./kernel_case.ts";
import { absoluteSums } from "../../kernels/scores/ops.ts";

/** Rows and columns: a column block, a layer, and what no cache holds. */
const SIZES = [[576, 128, true], [1536, 576, true], [4096, 2048, false]] as const;

/** Scales of a row in one column block, salient columns and two thresholds taken. */
const SCALES = 8;

/** Rows and columns of a packed triangle. */
const TRIANGLE = 1024;

/** Copies, elementwise operations and sums. */
export function memoryCases(): KernelCase[] {
  return [...SIZES.flatMap(sizedCases), ...layerCases(), ...triangleCases()];
}

function sizedCases([rows, cols, quick]: typeof SIZES[number]): KernelCase[] {
  const all = rows * cols, size = `${rows} × ${cols}`;
  return [
    {
      op: "copy",
      size,
      quick,
      limits: true,
      work: moves(2 * all),
      open(device) {
        const from = random(device, rows, cols), out = zeros(device, rows, cols);
        return () => device.run(copy, out, from);
      },
    },
    {
      op: "subtract",
      size,
      quick,
      work: moves(3 * all),
      open(device) {
        const a = random(device, rows, cols), b = random(device, rows, cols), out = zeros(device, rows, cols);
        return () => device.run(subtract, out, a, b);
      },
    },
  ];
}

/** What is done with all of a layer's weights, or with a vector of them. */
function layerCases(): KernelCase[] {
  const [rows, cols] = SIZES[1], all = rows * cols;
  const make = (
    op: string,
    f32: number,
    open: (device: Device, w: Matrix) => () => void,
    size = `${rows} × ${cols}`,
  ): KernelCase => ({
    op,
    size,
    quick: true,
    work: moves(f32),
    open: (device) => open(device, random(device, rows, cols)),
  });
  return [
    make("copy transposed", 2 * all, (device, w) => {
      const out = zeros(device, cols, rows);
      return () => device.run(copy, out, w, { transposed: true });
    }),
    make("power", 2 * all, (device, w) => {
      const out = zeros(device, rows, cols);
      return () => device.run(power, out, w, 2);
    }),
    make("columnSquares", all + cols, (device, w) => {
      const out = zeros(device, 1, cols);
      return () => device.run(columnSquares, out, w);
    }),
    make("addDot", 2 * all, (device, w) => {
      const out = zeros(device, 1, 1), other = random(device, rows, cols);
      return () => device.run(addDot, out, w, other, 1);
    }),
    // Every other column is written.
    make("clearColumns", all / 2 + cols, (device, w) => {
      const live = matrix(device.upload("f32", Float32Array.from({ length: cols }, (_, j) => j % 2)), 1, cols);
      return () => device.run(clearColumns, w, live);
    }),
    // The scales of a column block: its rows' scales lie side by side.
    make("roundScales", 2 * rows * SCALES, (device) => {
      const scales = random(device, rows, SCALES);
      return () => device.run(roundScales, scales);
    }, `${rows} × ${SCALES}`),
    make("absoluteSums", all + rows + cols, (device, w) => {
      const rowSums = zeros(device, 1, rows), columnSums = zeros(device, 1, cols), moments = zeros(device, 1, 2);
      return () => device.run(absoluteSums, rowSums, columnSums, moments, w);
    }),
  ];
}

function triangleCases(): KernelCase[] {
  const size = TRIANGLE, square = size * size;
  const make = (op: string, f32: number, open: (device: Device) => () => void): KernelCase => ({
    op,
    size: `${size} × ${size}`,
    quick: true,
    work: moves(f32),
    open,
  });
  const packed = (device: Device) => device.upload("f32", packUpper(hessian(size), size));
  return [
    make("unpack", triangleLength(size) + square, (device) => {
      const h = packed(device), out = zeros(device, size, size);
      return () => device.run(unpack, out, h, { size, row: 0, col: 0 });
    }),
    make("damp", 3 * size, (device) => {
      const h = packed(device), diagonal = zeros(device, 1, size), added = zeros(device, 1, size);
      return () => device.run(damp, diagonal, added, h, { size, damping: 0.01 });
    }),
    make("diagonal", 2 * size, (device) => {
      const h = random(device, size, size), out = zeros(device, 1, size);
      return () => device.run(diagonal, out, h);
    }),
  ];
}

function moves(f32: number): () => Work {
  return () => ({ bound: "memory", bytes: (kind) => elementBytes({ f32 }, kind) });
}

function random(device: Device, rows: number, cols: number): Matrix {
  return matrix(device.upload("f32", randomWeights(rows * cols, rows + cols)), rows, cols);
}

function zeros(device: Device, rows: number, cols: number): Matrix {
  return matrix(device.alloc("f32", rows * cols), rows, cols);
}
