/** Layers of random codes on grids. */
import type { GridLayer } from "./grid.ts";

/** What a layer is like. */
export interface GridShape {
  readonly rows: number;
  readonly cols: number;
  readonly bits: number;
  readonly groupSize: number;
  readonly grid: "minmax" | "sign";
  readonly ordered: boolean;
}

/** A layer; scales are exact in half precision. */
export function randomGrid({ grid, bits: wanted, ordered, ...shape }: GridShape, seed: number): GridLayer {
  let state = seed >>> 0;
  const next = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
  const { rows, cols, groupSize } = shape, groups = rows * Math.ceil(cols / groupSize);
  const bits = grid === "sign" ? 1 : wanted,
    values = (length: number) => Uint8Array.from({ length }, () => next(2 ** bits));
  const order = Uint32Array.from({ length: cols }, (_, j) => j);
  for (let j = cols - 1; j > 0; j--) {
    const other = next(j + 1);
    [order[j], order[other]] = [order[other], order[j]];
  }
  return {
    ...{ ...shape, grid, bits, codes: values(rows * cols) },
    scales: Float32Array.from({ length: groups }, () => next(2048) / 1024),
    zeros: grid === "sign" ? new Uint8Array(0) : values(groups),
    ...(ordered ? { order } : {}),
  };
}
