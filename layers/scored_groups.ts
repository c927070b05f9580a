/**
 * The groups of BiLLM and STBLLM in one column block: salient columns, binarized twice, and segments of the others, each by mean, mean
 * deviation and signs of its own (BiLLM, arXiv 2402.04291, with the searches of its released code).
 */
import { type Device, type Matrix, matrix, part } from "../kernels/device.ts";
import { searchSalient, searchSegments, searchThresholds, startScales } from "../kernels/binary/ops.ts";
import { importance } from "../kernels/scores/ops.ts";
import type { Block, MethodLayer } from "./methods/method.ts";
import type { BlockPlanes } from "./planes_run.ts";
import type { Scope } from "./scope.ts";

/** How groups are searched. */
export interface GroupSearch {
  /** Columns: at most so many are salient. */
  readonly salient_max: number;
  /** Percentiles tried as thresholds. */
  readonly candidates: number;
  /** What searches binarize to judge a choice: scores w²/U², of which segments are then cut too, or weights. */
  readonly search_target: "scores" | "weights";
}

/** Makes column blocks of one layer. */
export class ScoredGroups {
  readonly #device: Device;
  readonly #open: MethodLayer<GroupSearch>;
  readonly #segments: 2 | 3;
  readonly #salient: Matrix<"u8">;
  readonly #scores: Matrix;

  constructor(device: Device, scope: Scope, open: MethodLayer<GroupSearch>, segments: 2 | 3) {
    const { job: { rows, cols }, group } = open, width = Math.min(group, cols);
    this.#device = device;
    this.#open = open;
    this.#segments = segments;
    this.#salient = scope.matrix("u8", 1, width);
    this.#scores = scope.matrix("f32", rows, width);
  }

  /**
   * Enqueues the searches, and first signs and scales.
   *
   * @param pruned only weights of rank ≥ pruned take part
   */
  binarize({ target: w, rank, col }: Block, { codes, scales }: BlockPlanes, pruned: number): void {
    const { layer, params: { salient_max: most, candidates, search_target: target } } = this.#open;
    const device = this.#device, segments = this.#segments, { rows, cols } = w, seen = { rank, pruned };
    const scores = matrix(this.#scores.buffer, rows, cols), salient = matrix(this.#salient.buffer, 1, cols);
    const doubled = segments === 3;
    device.run(importance, scores, w, { metric: "hessian", diagonalU: part(layer.diagonalU, { col, cols }) });
    device.run(searchSalient, salient, { ...seen, score: scores, values: target === "scores" ? scores : w, most });
    if (target === "scores") {
      const search = { within: "rest", order: 1, doubled, candidates, percentiles: "block", first: 1 } as const;
      device.run(searchThresholds, codes, { ...seen, ...search, values: scores, salient });
    } else {
      const search = doubled
        ? { splitPoints: 2, search: "doubled" } as const
        : { splitPoints: 1, search: "free" } as const;
      device.run(searchSegments, codes, { ...seen, ...search, w, salient, candidates });
    }
    device.run(startScales, codes, scales, { segments, salient: true, ...seen, w, salientPruned: pruned });
  }
}
