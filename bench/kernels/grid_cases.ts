/** The operations on uniform grids, on one column block. */
import type { Device } from "../../kernels/device.ts";
import { matrix } from "../../kernels/device.ts";
import { columnwiseGrid, decodeGrid, fitGrid, gridZeros, roundGrid } from "../../kernels/grid/ops.ts";
import { choleskyUpper, invertUpper } from "../../kernels/matrix/ops.ts";
import { columnwiseFlops, elementBytes, type Elements } from "./counts.ts";
import { hessian, randomWeights } from "./data.ts";
import type { KernelCase, Work } from "./kernel_case.ts";

/** Columns of a block, and bits of a code. */
const COLS = 128, BITS = 3;

/** Every operation on grids, on blocks of SmolLM2's attention and feed-forward layers. */
export function gridCases(): KernelCase[] {
  return [...casesOf(576, true), ...casesOf(1536, false)];
}

function casesOf(rows: number, quick: boolean): KernelCase[] {
  const all = rows * COLS, bits = BITS, grid = "minmax";
  const make = (op: string, work: Work, open: (block: Block, device: Device) => () => void): KernelCase => ({
    op,
    size: `${rows} × ${COLS}`,
    quick,
    work: () => work,
    open: (device) => open(blockOn(device, rows), device),
  });
  const moves = (elements: Elements): Work => ({ bound: "memory", bytes: (kind) => elementBytes(elements, kind) });
  return [
    make(
      "fitGrid",
      moves({ f32: all + 2 * rows }),
      ({ w, scales, lows }, device) => () => device.run(fitGrid, scales, lows, { w, bits, grid }),
    ),
    make(
      "gridZeros",
      moves({ f32: 2 * rows, u8: rows }),
      ({ scales, lows, zeros }, device) => () => device.run(gridZeros, zeros, { scales, lows, bits }),
    ),
    make(
      "roundGrid",
      moves({ f32: all + rows, u8: all + rows }),
      ({ w, codes, scales, zeros }, device) => () => device.run(roundGrid, codes, { w, scales, zeros, bits, grid }),
    ),
    make(
      "columnwiseGrid",
      { bound: "compute", flops: columnwiseFlops(rows, COLS) },
      ({ w, codes, errors, factor, scales, zeros }, device) => () =>
        device.run(columnwiseGrid, codes, errors, { w, factor, scales, zeros, bits }),
    ),
    make(
      "decodeGrid",
      moves({ f32: all + rows, u8: all + rows }),
      ({ codes, errors, scales, zeros }, device) => () =>
        device.run(decodeGrid, errors, { codes, scales, zeros, grid }),
    ),
  ];
}

type Block = ReturnType<typeof blockOn>;

/** A block on a device, its grids fitted and its codes rounded there. */
function blockOn(device: Device, rows: number) {
  const r = hessian(COLS), factor = new Float32Array(COLS * COLS);
  choleskyUpper(r, COLS);
  invertUpper(factor, r, { size: COLS });
  const f32 = (cols: number) => matrix(device.alloc("f32", rows * cols), rows, cols);
  const u8 = (cols: number) => matrix(device.alloc("u8", rows * cols), rows, cols);
  const block = {
    w: matrix(device.upload("f32", randomWeights(rows * COLS, rows)), rows, COLS),
    factor: matrix(device.upload("f32", factor), COLS, COLS),
    ...{ scales: f32(1), lows: f32(1), zeros: u8(1), codes: u8(COLS), errors: f32(COLS) },
  };
  const { w, scales, lows, zeros, codes } = block, grid = "minmax";
  device.run(fitGrid, scales, lows, { w, bits: BITS, grid });
  device.run(gridZeros, zeros, { scales, lows, bits: BITS });
  device.run(roundGrid, codes, { w, scales, zeros, bits: BITS, grid });
  return block;
}
