/**
 * Runs blocks with onnxruntime, in batches of windows that fit a memory budget.
 *
 * Meant for a worker: `run()` of onnxruntime blocks its thread. Results depend on the batches only through the order of
 * float32 sums, and the batches only on the model, the length and the budget.
 */
import { Tensor } from "onnxruntime-node";
import { blockGraph, type BlockVariant, gatheredInputs, ORIGINAL } from "./block_graph.ts";
import type { BlockOptions, BlockOutput, EngineOptions, InputSums, Windows } from "./forward_protocol.ts";
import { GatheredSums } from "./gathered_sums.ts";
import { HeadEngine } from "./head_engine.ts";
import { rotaryTables } from "./rotary.ts";
import { type Segment, segmentBias, segmentPositions } from "./segments.ts";
import { Sessions, type Tensors } from "./sessions.ts";
import { similarity } from "./similarity.ts";
import type { ModelSpec } from "./spec.ts";
import { blockPrefix, blockShapes, linearInputs } from "./tensors.ts";

type Weights = Readonly<Record<string, Float32Array>>;

/** A block between its first run and its last. */
interface OpenBlock {
  readonly variant: BlockVariant;
  readonly similarity: boolean;
  weights: Tensors;
  /** Of the second stream, where it has others. */
  readonly originals: Tensors | undefined;
  readonly sums: GatheredSums;
  past: { readonly key: Tensor; readonly value: Tensor; readonly length: number } | undefined;
}

/** Hidden states of one run. */
interface States {
  readonly hidden: Float32Array;
  /** Those of the second stream. */
  readonly original?: Float32Array;
  /** After how many windows the sums are kept, ascending. */
  readonly marks?: readonly number[];
  /** What the windows are of, where they are not one text each. */
  readonly segments?: readonly Segment[];
}

/** Rotary tables (none where positions are learned), and the positions of a run's tokens, windows × length. */
interface Positions {
  readonly tables: Tensors;
  readonly of: Int32Array;
}

/** The engine of one model. */
export class Engine {
  readonly #spec: ModelSpec;
  readonly #options: EngineOptions;
  readonly #sessions: Sessions;
  readonly #blocks = new Map<number, OpenBlock>();
  /** Its heads, over the same sessions. */
  readonly heads: HeadEngine;

  constructor(spec: ModelSpec, options: EngineOptions) {
    this.#spec = spec;
    this.#options = options;
    this.#sessions = new Sessions(options);
    this.heads = new HeadEngine(spec, options, this.#sessions);
  }

  /** Takes a block's weights, under the names of block 0 without prefix. */
  openBlock(
    id: number,
    { weights, originals }: { readonly weights?: Weights; readonly originals?: Weights },
    { cache = false, similarity = false, segmented: biased = false, ...options }: BlockOptions,
  ): void {
    const variant = { ...options, cache, biased, fused: this.#options.fused };
    const gathered = gatheredInputs(this.#spec, variant);
    const widths = new Map([...linearInputs(this.#spec)].filter(([input]) => gathered.includes(input)));
    this.#blocks.set(id, {
      variant,
      similarity,
      weights: weights ? this.#blockTensors(weights) : {},
      originals: originals && this.#blockTensors(originals),
      sums: new GatheredSums(widths, { ...variant, hidden: this.#spec.hidden }),
      past: undefined,
    });
  }

  /** Replaces a block's weights, or drops them while its keys and values stay. */
  setWeights(id: number, weights: Weights | undefined): void {
    this.#block(id).weights = weights ? this.#blockTensors(weights) : {};
  }

  /** Runs a block on hidden states [windows, length, hidden], and on those of the second stream where it has one. */
  async runBlock(id: number, states: States, windows: Windows): Promise<BlockOutput> {
    try {
      return await this.#runBlock(this.#block(id), states, windows);
    } catch (error) {
      // Some batches may have entered the sums already: nothing may be built on them.
      this.#blocks.delete(id);
      throw error;
    }
  }

  async #runBlock(
    block: OpenBlock,
    { hidden, original, marks = [], segments }: States,
    { windows, length }: Windows,
  ): Promise<BlockOutput> {
    const { variant } = block;
    const session = await this.#sessions.open(
      `block ${JSON.stringify(variant)}`,
      () => blockGraph(this.#spec, variant),
    );
    const output = variant.output ? new Float32Array(hidden.length) : undefined;
    const second = original &&
      { input: original, ...(variant.original?.output ? { hidden: new Float32Array(original.length) } : {}) };
    const start = block.past?.length ?? 0;
    const positions = this.#positions(
      segments ? segmentPositions(segments, { windows, length }) : counted({ windows, length, start }),
      length,
    );
    const batch = variant.cache ? windows : this.#batch(length, original ? 2 : 1);
    const width = length * this.#spec.hidden;
    for (let first = 0, count = 0; first < windows; first += count) {
      const mark = marks.find((mark) => mark > first);
      count = Math.min(batch, (mark ?? windows) - first);
      const span = [first * width, (first + count) * width] as const;
      const shape = [count, length, this.#spec.hidden];
      const feeds: Tensors = {
        ...block.weights,
        hidden: new Tensor("float32", hidden.subarray(...span), shape),
        ...causalFeeds(variant, { windows: count, length, start }),
        ...(segments ? biasFeed(segments, { first, windows: count, length }) : {}),
        ...this.#rotary(positions, { first, windows: count, length }),
      };
      const fetches: Record<string, Tensor | null> = {};
      if (output) fetches.output = new Tensor("float32", output.subarray(...span), shape);
      if (second) {
        const weights = Object.entries(block.originals ?? block.weights);
        for (const [name, tensor] of weights) feeds[`${ORIGINAL}${name}`] = tensor;
        feeds[`${ORIGINAL}hidden`] = new Tensor("float32", second.input.subarray(...span), shape);
        if (second.hidden) {
          fetches[`${ORIGINAL}output`] = new Tensor("float32", second.hidden.subarray(...span), shape);
        }
      }
      block.sums.attach(feeds, fetches);
      if (variant.cache) {
        const { kvHeads, headDim } = this.#spec;
        const empty = () => new Tensor("float32", new Float32Array(0), [windows, kvHeads, 0, headDim]);
        feeds["past.key"] = block.past?.key ?? empty();
        feeds["past.value"] = block.past?.value ?? empty();
        fetches["present.key"] = fetches["present.value"] = null;
      }
      const results = await this.#sessions.run(session, feeds, fetches);
      block.sums.absorb(results, { windows: count, length });
      if (first + count === mark) block.sums.mark();
      if (variant.cache) {
        block.past = { key: results["present.key"], value: results["present.value"], length: start + length };
      }
    }
    const inputs = { input: hidden, ...(second ? { original: second } : {}) };
    if (!output) return inputs;
    if (!block.similarity) return { ...inputs, hidden: output };
    return { ...inputs, hidden: output, similarity: similarity(hidden, output, this.#spec.hidden) };
  }

  /** Hands out what a block gathered, and forgets the block. */
  finishBlock(id: number): Record<string, InputSums> {
    const sums = this.#block(id).sums.result();
    this.#blocks.delete(id);
    return sums;
  }

  /** Ends all sessions. */
  async close(): Promise<void> {
    this.#blocks.clear();
    this.heads.clear();
    await this.#sessions.close();
  }

  #block(id: number): OpenBlock {
    const block = this.#blocks.get(id);
    if (!block) throw new Error(`Cannot run block ${id} as it is not open: it was finished, or failed, before`);
    return block;
  }

  #blockTensors(weights: Weights): Tensors {
    const prefix = blockPrefix(this.#spec, 0);
    const tensors: Tensors = {};
    for (const [canonical, shape] of blockShapes(this.#spec, 0)) {
      const name = canonical.slice(prefix.length);
      tensors[name] = new Tensor("float32", weights[name], shape);
    }
    return tensors;
  }

  /** Windows per batch: activations beside the residual stream, and one set of attention scores. */
  #batch(length: number, streams: number): number {
    const { hidden, ffn, heads, headDim } = this.#spec;
    const perToken = 4 * (6 * hidden + 3 * heads * headDim + 4 * ffn);
    // Attention that is not fused holds its scores three times.
    const scores = this.#options.fused ? 1 : 3;
    const perWindow = length * (perToken + scores * 4 * heads * length);
    return Math.max(1, Math.floor(this.#options.memoryBudget / (streams * perWindow)));
  }

  /** Rotary tables up to the last of these positions. */
  #positions(of: Int32Array, length: number): Positions {
    if (this.#spec.frame.positions !== null) return { tables: {}, of };
    const end = 1 + of.reduce((most, position) => Math.max(most, position), 0);
    const half = this.#spec.headDim / 2, rows = Math.max(end, length);
    const padded = (table: Float32Array) => {
      // onnxruntime wants a row for each token, also where several have one position.
      const values = new Float32Array(rows * half);
      values.set(table);
      return new Tensor("float32", values, [rows, half]);
    };
    const { cos, sin } = rotaryTables(this.#spec, end);
    return { tables: { cos: padded(cos), sin: padded(sin) }, of };
  }

  #rotary({ tables, of }: Positions, { first, windows, length }: Windows & { readonly first: number }): Tensors {
    if (this.#spec.frame.positions !== null) return {};
    const positions = BigInt64Array.from(of.subarray(first * length, (first + windows) * length), BigInt);
    return { ...tables, positions: new Tensor("int64", positions, [windows, length]) };
  }
}

/** Positions of windows of one text each, `start` to `start + length` − 1. */
function counted({ windows, length, start }: Windows & { readonly start: number }): Int32Array {
  return Int32Array.from({ length: windows * length }, (_, i) => start + (i % length));
}

/** Who sees whom in the windows from `first` on. */
function biasFeed(
  segments: readonly Segment[],
  { first, windows, length }: Windows & { readonly first: number },
): Tensors {
  const own = segments.filter(({ window }) => window >= first && window < first + windows);
  const bias = segmentBias(own.map((each) => ({ ...each, window: each.window - first })), { windows, length });
  return { bias: new Tensor("float32", bias, [windows, 1, length, length]) };
}

/** What tells attention which keys come before which query. */
function causalFeeds(
  { fused, biased }: BlockVariant,
  { windows, length, start }: Windows & { readonly start: number },
): Tensors {
  const end = start + length;
  if (fused) {
    return {
      last: new Tensor("int32", new Int32Array(windows).fill(end - 1), [windows]),
      total: new Tensor("int32", Int32Array.of(end), []),
    };
  }
  if (biased) return {};
  return {
    queries: new Tensor("float32", Float32Array.from({ length }, (_, i) => start + i), [length, 1]),
    keys: new Tensor("float32", Float32Array.from({ length: end }, (_, i) => i), [1, end]),
  };
}
