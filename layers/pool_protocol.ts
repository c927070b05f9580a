/** What whoever quantizes layers offers, and what goes to and comes from its workers. */
import type { SpanContext } from "../telemetry/spans.ts";
import type { LayerJob, LayerResult, MaskJob, MaskResult } from "./job.ts";

/** How a batch of jobs is run. */
export interface BatchOptions<R> {
  /** Ends the batch: its running workers are stopped, and the batch rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Called as soon as a layer is done. */
  readonly onLayer?: (result: R) => void;
}

/** Workers that compress layers. */
export interface LayerPool {
  readonly workers: number;
  /**
   * Compresses layers, the longest first. The jobs' arrays are handed over and must not be used any more; several jobs
   * of a batch may share one Hessian.
   *
   * @returns results in the order of the jobs
   * @throws {Error} the first failure, which names the layer; the batch's other jobs are stopped
   */
  quantize(jobs: readonly LayerJob[], options?: BatchOptions<LayerResult>): Promise<LayerResult[]>;
  /** The same for `searchMasks`. */
  searchMasks(jobs: readonly MaskJob[], options?: BatchOptions<MaskResult>): Promise<MaskResult[]>;
  /** Stops the workers; batches still running reject. */
  close(): void;
}

/** To a worker. */
export type LayerRequest =
  & {
    readonly threads: number;
    /** One number, shared: the worker stops before its next operation once it is not 0. */
    readonly stop: Int32Array;
    /** The span that layers belong to, where anybody listens. */
    readonly span?: SpanContext;
  }
  & ({ readonly task: "quantize"; readonly job: LayerJob } | { readonly task: "search"; readonly job: MaskJob });

/** From a worker. */
export type LayerReply =
  | { readonly state: "quantized"; readonly result: LayerResult }
  | { readonly state: "searched"; readonly result: MaskResult }
  | { readonly state: "failed"; readonly name: string; readonly message: string };
