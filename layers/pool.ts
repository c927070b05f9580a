/**
 * The cores: layers of a block do not depend on each other, so each is one job for a worker with a device of its own.
 *
 * Results do not depend on the number of workers, only the order in which they arrive does.
 */
import { findMethod } from "./find_method.ts";
import { type LayerJob, type LayerResult, type MaskJob, type MaskResult, momentsOf, withMoments } from "./job.ts";
import { runningSpan } from "../telemetry/spans.ts";
import { loadMethods } from "./method_source.ts";
import type { BatchOptions, LayerPool, LayerReply, LayerRequest } from "./pool_protocol.ts";

/** How a pool is opened. */
export interface LayerPoolOptions {
  /** Workers at most; default: the cores, but no more than 7, as a LLaMA block has 7 layers. */
  readonly workers?: number;
  /** Bytes that the running jobs may take together (`jobMemory`); one job always runs. Default: no limit. */
  readonly memory?: number;
}

/** A pool that can be handed on: what failed in it leaves nothing behind. */
export interface WorkerLayerPool extends LayerPool {
  /** Whether nothing is in work, and its workers hold no code of the user's own, which the next run may find changed. */
  reusable(): boolean;
}

/**
 * Milliseconds that workers have to stop at the end of an operation. One that is ended in the middle of a matrix product can take the
 * process with it.
 */
const PATIENCE = 20_000;

/** Linear layers of a LLaMA block. */
const MOST_WORKERS = 7;

/**
 * Opens a pool; each worker starts with its first job and stays until `close`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openLayerPool } from "./pool.ts";
 *
 * const settings = {
 *   method: "spbo",
 *   params: {},
 *   search: { metric: "hessian", type: "semi-structured", seed: 0 },
 *   feedback: { mode: "exact", damping: 0.01 },
 *   scales: "f16",
 * } as const;
 * const pool = openLayerPool({ workers: 2 });
 * const results = await pool.quantize(["q_proj", "k_proj"].map((name) => {
 *   const weight = Float32Array.from({ length: 4 * 16 }, (_, i) => Math.sin(i * i));
 *   return { name, rows: 4, cols: 16, weight, keep: 4, of: 8, settings };
 * }));
 * assert.deepEqual(results.map(({ name }) => name), ["q_proj", "k_proj"]);
 * assert.deepEqual(results[0].layer, results[1].layer);
 * pool.close();
 * ```
 *
 * @throws {RangeError} when the number of workers is not a positive integer
 */
export function openLayerPool({ workers, memory = Infinity }: LayerPoolOptions = {}): WorkerLayerPool {
  const cores = navigator.hardwareConcurrency;
  const count = workers ?? Math.min(cores, MOST_WORKERS);
  if (!(Number.isInteger(count) && count >= 1)) {
    throw new RangeError(`Cannot open a layer pool as workers must be a positive integer: current value is ${count}`);
  }
  return new WorkerPool(count, Math.max(1, Math.floor(cores / count)), memory);
}

/** Bytes of each weight of a layer in work: through its column blocks, or as a whole, with the best that was found and the next try. */
const BYTES = { blocks: 10, whole: 36 } as const;

/**
 * Bytes that a job takes at its peak: weights, feedback and codes, two triangles, the working set of a column block, and
 * for a target in the original model its cross moments, another factor and the change of the weights.
 */
export function jobMemory({ rows, cols, upper, heldOut, propagation, settings }: MaskJob): number {
  const { method, params } = findMethod(settings.method, settings.params, settings);
  const width = Math.min(method.groupSize(params, cols), cols);
  const triangles = upper ? 4 * cols * (cols + 1 + 2 * width) : 0;
  const target = propagation ? 4 * cols * (2 * cols + (propagation.residual ? 3 : 1) * rows) : 0;
  // Both halves as triangles, one of them as a square, and what the weights come to with each.
  const choice = propagation?.half ? 4 * cols * (5 * cols + 3 * rows) : 0;
  const measured = heldOut ? 2 * cols * (cols + 1) : 0;
  const bytes = BYTES["whole" in method ? "whole" : "blocks"];
  return bytes * rows * cols + target + choice + measured + triangles + 40 * rows * width + 8 * rows * 256;
}

/** Nanoseconds that a job is expected to take on one core, for its place in the queue. */
function jobCost({ rows, cols }: MaskJob): number {
  return 400 * rows * cols + (3 * rows + cols) * cols * cols / 60;
}

interface Batch {
  readonly onReply: (index: number, reply: LayerReply) => void;
  readonly fail: (reason: unknown) => void;
  readonly done: () => void;
  left: number;
  /** Why it is to end, while its workers are still stopping. */
  ending?: { readonly reason: unknown; readonly timer: ReturnType<typeof setTimeout> };
}

interface Task {
  readonly batch: Batch;
  readonly index: number;
  readonly request: LayerRequest;
  readonly bytes: number;
  readonly cost: number;
}

class WorkerPool implements WorkerLayerPool {
  readonly workers: number;
  readonly #threads: number;
  readonly #memory: number;
  readonly #idle: Worker[] = [];
  readonly #running = new Map<Worker, Task>();
  #waiting: Task[] = [];
  #foreign = false;

  constructor(workers: number, threads: number, memory: number) {
    this.workers = workers;
    this.#threads = threads;
    this.#memory = memory;
  }

  async quantize(
    jobs: readonly LayerJob[],
    { signal, onLayer }: BatchOptions<LayerResult> = {},
  ): Promise<LayerResult[]> {
    const results: LayerResult[] = [];
    const requests = jobs.map((job): LayerRequest => ({ task: "quantize", ...this.#terms(), job }));
    await this.#run(requests, signal, (index, reply) => {
      if (reply.state !== "quantized") return;
      results[index] = reply.result;
      onLayer?.(reply.result);
    });
    return results;
  }

  async searchMasks(
    jobs: readonly MaskJob[],
    { signal, onLayer }: BatchOptions<MaskResult> = {},
  ): Promise<MaskResult[]> {
    const results: MaskResult[] = [];
    const requests = jobs.map((job): LayerRequest => ({ task: "search", ...this.#terms(), job }));
    await this.#run(requests, signal, (index, reply) => {
      if (reply.state !== "searched") return;
      results[index] = reply.result;
      onLayer?.(reply.result);
    });
    return results;
  }

  reusable(): boolean {
    return this.#waiting.length === 0 && this.#running.size === 0 && !this.#foreign;
  }

  close(): void {
    for (const batch of this.#batches()) {
      this.#fail(batch, new Error("The layer pool was closed"));
      this.#end(batch);
    }
    for (const worker of this.#idle.splice(0)) worker.terminate();
  }

  #terms() {
    const span = runningSpan();
    return { threads: this.#threads, stop: new Int32Array(new SharedArrayBuffer(4)), ...(span ? { span } : {}) };
  }

  async #run(
    requests: readonly LayerRequest[],
    signal: AbortSignal | undefined,
    onReply: Batch["onReply"],
  ): Promise<void> {
    signal?.throwIfAborted();
    if (requests.length === 0) return;
    for (const { job: { settings: { source } } } of requests) {
      if (source === undefined) continue;
      this.#foreign = true;
      await loadMethods(source);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const batch: Batch = { onReply, fail: reject, done: resolve, left: requests.length };
    const tasks = requests.map((request, index): Task => ({
      batch,
      index,
      request,
      bytes: jobMemory(request.job),
      cost: jobCost(request.job),
    }));
    this.#waiting.push(...tasks.sort((a, b) => b.cost - a.cost));
    const abort = () => this.#fail(batch, signal?.reason);
    signal?.addEventListener("abort", abort);
    try {
      this.#dispatch();
      await promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Starts what fits, the first in the queue first. */
  #dispatch(): void {
    while (this.#waiting.length > 0 && this.#running.size < this.workers) {
      const used = [...this.#running.values()].reduce((sum, { bytes }) => sum + bytes, 0);
      const at = this.#waiting.findIndex(({ bytes }) => used === 0 || used + bytes <= this.#memory);
      if (at < 0) return;
      const [task] = this.#waiting.splice(at, 1);
      const worker = this.#idle.pop() ?? this.#start();
      this.#running.set(worker, task);
      try {
        const { request, transfer } = this.#handOver(task.request);
        worker.postMessage(request, transfer);
      } catch (error) {
        // The worker was not given anything.
        this.#running.delete(worker);
        this.#idle.push(worker);
        this.#fail(task.batch, error);
      }
    }
  }

  /** The request, with all buffers moved that no waiting job needs; those inside a longer buffer are copied first. */
  #handOver(request: LayerRequest): { request: LayerRequest; transfer: ArrayBuffer[] } {
    const transfer: ArrayBuffer[] = [];
    const give = <A extends Float32Array | Uint8Array>(array: A): A => {
      const { buffer } = array;
      if (!(buffer instanceof ArrayBuffer)) return array;
      const shared = this.#waiting.some(({ request: { job } }) =>
        [job.weight, ...momentsOf(job), "ranks" in job ? job.ranks : undefined].some((each) => each?.buffer === buffer)
      );
      if (shared) return array;
      const whole = array.byteLength === buffer.byteLength ? array : array.slice() as A;
      if (whole.buffer instanceof ArrayBuffer && !transfer.includes(whole.buffer)) transfer.push(whole.buffer);
      return whole;
    };
    const weight = give(request.job.weight);
    if (request.task === "search") {
      return { request: { ...request, job: { ...withMoments(request.job, give), weight } }, transfer };
    }
    const ranks = request.job.ranks && give(request.job.ranks);
    return { request: { ...request, job: { ...withMoments(request.job, give), weight, ranks } }, transfer };
  }

  #start(): Worker {
    const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
    worker.onmessage = ({ data }: MessageEvent<LayerReply>) => this.#finish(worker, data);
    worker.onerror = (event) => {
      event.preventDefault();
      const task = this.#running.get(worker);
      worker.terminate();
      this.#running.delete(worker);
      if (!task) return;
      if (task.batch.ending !== undefined) return this.#endOnceQuiet(task.batch);
      const { name } = task.request.job;
      this.#fail(task.batch, new Error(`Cannot compress layer "${name}" as its worker failed: ${event.message}`));
    };
    return worker;
  }

  #finish(worker: Worker, reply: LayerReply): void {
    const task = this.#running.get(worker);
    if (!task) return;
    this.#running.delete(worker);
    this.#idle.push(worker);
    const { batch, index } = task;
    if (batch.ending !== undefined) return this.#endOnceQuiet(batch);
    if (reply.state === "failed") {
      const { name, message } = reply;
      this.#fail(batch, name === "RangeError" ? new RangeError(message) : new Error(message));
      return;
    }
    try {
      batch.onReply(index, reply);
    } catch (error) {
      this.#fail(batch, error);
      return;
    }
    if (--batch.left === 0) batch.done();
    this.#dispatch();
  }

  /** Begins to end a batch: its workers stop before their next operation, and then it rejects. */
  #fail(batch: Batch, reason: unknown): void {
    if (batch.ending !== undefined) return;
    this.#waiting = this.#waiting.filter((task) => task.batch !== batch);
    batch.ending = { reason, timer: setTimeout(() => this.#end(batch), PATIENCE) };
    for (const { request: { stop } } of this.#runningOf(batch).values()) Atomics.store(stop, 0, 1);
    this.#endOnceQuiet(batch);
  }

  #endOnceQuiet(batch: Batch): void {
    if (this.#runningOf(batch).size === 0) this.#end(batch);
    else this.#dispatch();
  }

  /** Ends a batch, and those of its workers that have not stopped. */
  #end(batch: Batch): void {
    for (const worker of this.#runningOf(batch).keys()) {
      worker.terminate();
      this.#running.delete(worker);
    }
    clearTimeout(batch.ending?.timer);
    batch.fail(batch.ending?.reason);
    this.#dispatch();
  }

  #runningOf(batch: Batch): Map<Worker, Task> {
    return new Map([...this.#running].filter(([, task]) => task.batch === batch));
  }

  #batches(): Set<Batch> {
    return new Set([...this.#waiting, ...this.#running.values()].map(({ batch }) => batch));
  }
}
