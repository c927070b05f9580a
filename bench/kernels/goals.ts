/** What the kernels must reach, by what was measured. */
import { inverseFactorFlops } from "./counts.ts";
import { median } from "../compress/gemm_rate.ts";
import type { Measured } from "./measure.ts";

/** A goal, and how far it was reached. */
export interface Goal {
  readonly name: string;
  /** What was found and what is wanted, with units. */
  readonly found: string;
  readonly wanted: string;
  readonly met: boolean;
}

/** Of a 1024³ product on software Vulkan: GFLOP/s, or else the part of onnxruntime's rate. */
const LEAST_GEMM = { gflops: 18, part: 0.08 } as const;

/** Least rate of factors over that of products. */
const LEAST_FACTOR = 0.6;

/** Most operations of a factor, of those of GPTQ's three steps. */
const MOST_SPENT = 0.5;

/** Most of the tiles that the upper triangle of a square product may take. */
const MOST_TILES = 0.56;

/** The goals whose operations were measured on WebGPU; of several sizes the largest counts. */
export function goalsOf(rows: readonly Measured[]): Goal[] {
  const webgpu = rows.filter(({ device }) => device === "webgpu"), goals: Goal[] = [];
  const last = (op: string) => webgpu.filter((row) => row.op === op).at(-1);
  const gemm = webgpu.find(({ op, size }) => op === "gemm" && size === "1024³");
  const factor = last("factorHessian"), syrk = last("syrk"), layer = last("layer");
  if (gemm?.matmul !== undefined) {
    const rate = gflops(gemm), part = gemm.matmul / gemm.seconds;
    goals.push({
      name: "gemm at 1024³",
      found: `${rate.toFixed(1)} GFLOP/s, ${percent(part)} of onnxruntime's MatMul`,
      wanted: `at least ${LEAST_GEMM.gflops} GFLOP/s or ${percent(LEAST_GEMM.part)} on software Vulkan`,
      met: rate >= LEAST_GEMM.gflops || part >= LEAST_GEMM.part,
    });
  }
  if (factor) {
    const n = Number(factor.size);
    if (gemm) {
      const part = gflops(factor) / gflops(gemm);
      goals.push({
        name: `factor of ${n}, rate over that of gemm at 1024³`,
        found: part.toFixed(2),
        wanted: `at least ${LEAST_FACTOR}`,
        met: part >= LEAST_FACTOR,
      });
    }
    const spent = factor.spent / inverseFactorFlops(n);
    goals.push({
      name: `factor of ${n}, operations over those of Cholesky, inverse, Cholesky`,
      found: spent.toFixed(2),
      wanted: `at most ${MOST_SPENT}`,
      met: spent <= MOST_SPENT,
    });
  }
  if (syrk) {
    const n = parseInt(syrk.size), part = syrk.spent / (syrk.flops * 2 * n / (n + 1));
    goals.push({
      name: `syrk of ${n}, tiles over all tiles`,
      found: part.toFixed(3),
      wanted: `at most ${MOST_TILES}`,
      met: part <= MOST_TILES,
    });
  }
  if (layer) {
    goals.push({
      name: "downloads of a layer",
      found: `${layer.downloads}`,
      wanted: "1",
      met: layer.downloads === 1,
    });
  }
  return goals;
}

/** Highest time over lowest from which on, for half of the rows, a machine is too busy to be measured. */
const BUSY = 1.5;

/** Whether the samples of most rows differ so much that other programs must have been at work. */
export function isBusy(rows: readonly Measured[]): boolean {
  return rows.length > 0 && median(rows.map(({ range: [least, most] }) => most / least)) > BUSY;
}

/** Rate by the least operations that the result takes. */
export function gflops({ flops, seconds }: Pick<Measured, "flops" | "seconds">): number {
  return flops / seconds / 1e9;
}

/** The best rate of products among rows, GFLOP/s; NaN without any. */
export function bestGemm(rows: readonly Measured[]): number {
  return best(rows.filter(({ op }) => op === "gemm").map(gflops));
}

/** The best rate of copies among rows, GB/s; NaN without any. */
export function bestCopy(rows: readonly Measured[]): number {
  return best(rows.filter(({ op }) => op === "copy").map(({ bytes, seconds }) => bytes / seconds / 1e9));
}

/** A part of one as a percentage. */
export function percent(part: number): string {
  return part < 0.0005 ? "<0.1 %" : `${(100 * part).toFixed(part < 0.0995 ? 1 : 0)} %`;
}

function best(rates: readonly number[]): number {
  return rates.length === 0 ? NaN : Math.max(...rates);
}
