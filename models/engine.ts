/**
 * Runs blocks and heads with onnxruntime, in batches of windows that fit a memory budget.
 *
 * Meant for a worker: `run()` of onnxruntime blocks its thread. Results depend on the batches only through the order of
 * float32 sums, and the batches only on the model, the length and the budget.
 */
import { InferenceSession, Tensor } from "onnxruntime-node";
import {
  blockGraph,
  type BlockVariant,
  gatheredInputs,
  HEAD_INPUT,
  headGraph,
  headMomentsGraph,
  ORIGINAL,
} from "./block_graph.ts";
import type { BlockOptions, BlockOutput, EngineOptions, InputSums, Windows } from "./forward_protocol.ts";
import { GatheredSums } from "./gathered_sums.ts";
import { rotaryTables } from "./rotary.ts";
import { similarity } from "./similarity.ts";
import type { ModelSpec } from "./spec.ts";
import { blockPrefix, blockShapes, headInputShapes, headShapes, linearInputs } from "./tensors.ts";
import type { TensorShapes } from "../checkpoints/read_tensors.ts";

type Tensors = Record<string, Tensor>;
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
}

/** Rotary tables (none where positions are learned), and the position of a run's first token. */
interface Positions {
  readonly tables: Tensors;
  readonly start: number;
}

/** Bytes of logits per call of the head, at most: more fall out of the processor's caches. */
const LOGITS_BYTES = 32 * 1024 * 1024;

/** The engine of one model. */
export class Engine {
  readonly #spec: ModelSpec;
  readonly #options: EngineOptions;
  readonly #sessions = new Map<string, Promise<InferenceSession>>();
  readonly #blocks = new Map<number, OpenBlock>();
  readonly #heads = new Map<number, Tensors>();
  readonly #headInputs = new Map<number, { readonly tensors: Tensors; readonly sums: GatheredSums }>();

  constructor(spec: ModelSpec, options: EngineOptions) {
    this.#spec = spec;
    this.#options = options;
  }

  /** Takes a block's weights, under the names of block 0 without prefix. */
  openBlock(
    id: number,
    { weights, originals }: { readonly weights?: Weights; readonly originals?: Weights },
    { cache = false, similarity = false, ...options }: BlockOptions,
  ): void {
    const variant = { ...options, cache, fused: this.#options.fused };
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
    { hidden, original, marks = [] }: States,
    { windows, length }: Windows,
  ): Promise<BlockOutput> {
    const { variant } = block;
    const session = await this.#session(`block ${JSON.stringify(variant)}`, () => blockGraph(this.#spec, variant));
    const output = variant.output ? new Float32Array(hidden.length) : undefined;
    const second = original &&
      { input: original, ...(variant.original?.output ? { hidden: new Float32Array(original.length) } : {}) };
    const start = block.past?.length ?? 0;
    const positions = this.#positions(start, length);
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
        ...this.#rotary(positions, { windows: count, length }),
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
      const results = await this.#run(session, feeds, fetches);
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

  /** Takes the head's weights, under their canonical names. */
  openHead(id: number, weights: Weights): void {
    this.#heads.set(id, tensorsOf(weights, headShapes(this.#spec)));
  }

  /** Mean negative log-likelihood of the next token, per window. */
  async loss(id: number, hidden: Float32Array, ids: Int32Array, { windows, length }: Windows): Promise<Float64Array> {
    const session = await this.#session("loss", () => headGraph(this.#spec, "loss"));
    const sums = new Float64Array(windows);
    for (const { start, end, states } of this.#headChunks(hidden)) {
      // The last token of a window has no next one: it is computed with token 0 as target, and left out of the sum.
      const targets = BigInt64Array.from(
        { length: end - start },
        (_, i) => (start + i + 1) % length === 0 ? 0n : BigInt(ids[start + i + 1]),
      );
      const feeds = { ...this.#head(id), hidden: states, targets: new Tensor("int64", targets, [end - start, 1]) };
      const loss = floats((await this.#run(session, feeds)).loss);
      for (let token = start; token < end; token++) {
        if ((token + 1) % length !== 0) sums[Math.floor(token / length)] += loss[token - start];
      }
    }
    return sums.map((sum) => sum / (length - 1));
  }

  /** Logits [tokens, vocab] of hidden states [tokens, hidden]. */
  async logits(id: number, hidden: Float32Array): Promise<Float32Array> {
    const { vocab, hidden: width } = this.#spec;
    const session = await this.#session("logits", () => headGraph(this.#spec, "logits"));
    const logits = new Float32Array((hidden.length / width) * vocab);
    for (const { start, end, states } of this.#headChunks(hidden)) {
      const fetches = {
        logits: new Tensor("float32", logits.subarray(start * vocab, end * vocab), [end - start, vocab]),
      };
      await this.#run(session, { ...this.#head(id), hidden: states }, fetches);
    }
    return logits;
  }

  /** Takes what stands between the last block and the head's matrix, to gather what the matrix multiplies. */
  openHeadInput(id: number, weights: Weights): void {
    const tensors = tensorsOf(weights, headInputShapes(this.#spec));
    const sums = new GatheredSums(new Map([[HEAD_INPUT, this.#spec.embedding]]), { gather: "full" });
    this.#headInputs.set(id, { tensors, sums });
  }

  /** Adds the second moments of what the head's matrix multiplies, from hidden states of the last block. */
  async gatherHeadInput(id: number, hidden: Float32Array, windows: Windows): Promise<null> {
    const open = this.#headInputs.get(id);
    if (!open) throw new Error(`Cannot gather the head's inputs ${id} as they are not open: they failed before`);
    const session = await this.#session("head moments", () => headMomentsGraph(this.#spec));
    const { hidden: width } = this.#spec, fetches: Record<string, Tensor | null> = {};
    const feeds = { ...open.tensors, hidden: new Tensor("float32", hidden, [hidden.length / width, width]) };
    open.sums.attach(feeds, fetches);
    try {
      open.sums.absorb(await this.#run(session, feeds, fetches), windows);
    } catch (error) {
      this.#headInputs.delete(id);
      throw error;
    }
    return null;
  }

  /** Hands out what was gathered of the head's inputs, and forgets them. */
  finishHeadInput(id: number): Record<string, InputSums> {
    const sums = this.#headInputs.get(id)?.sums.result() ?? {};
    this.#headInputs.delete(id);
    return sums;
  }

  /** Forgets a head's weights. */
  closeHead(id: number): void {
    this.#heads.delete(id);
  }

  /** Ends all sessions. */
  async close(): Promise<void> {
    this.#blocks.clear();
    this.#heads.clear();
    this.#headInputs.clear();
    // A session that did not open was reported by whoever asked for it.
    for (const session of this.#sessions.values()) await session.then((open) => open.release(), () => {});
    this.#sessions.clear();
  }

  #block(id: number): OpenBlock {
    const block = this.#blocks.get(id);
    if (!block) throw new Error(`Cannot run block ${id} as it is not open: it was finished, or failed, before`);
    return block;
  }

  #head(id: number): Tensors {
    const head = this.#heads.get(id);
    if (!head) throw new Error(`Cannot run head ${id} as it is not open: it was closed before`);
    return head;
  }

  /** A run whose failure names the provider: nothing goes on elsewhere in silence. */
  async #run(
    session: InferenceSession,
    feeds: Tensors,
    fetches?: Readonly<Record<string, Tensor | null>>,
  ): Promise<Tensors> {
    try {
      return fetches ? await session.run(feeds, fetches) : await session.run(feeds);
    } catch (error) {
      throw this.#named(error);
    }
  }

  #named(error: unknown): Error {
    const { provider } = this.#options;
    const hint = provider === "cpu" ? "" : "; --forward cpu computes forward passes on the CPU";
    return new Error(`onnxruntime's ${provider} provider failed: ${plainReason(error)}${hint}`, { cause: error });
  }

  #session(key: string, build: () => Uint8Array): Promise<InferenceSession> {
    const known = this.#sessions.get(key);
    if (known) return known;
    const session = InferenceSession.create(build(), {
      executionProviders: [this.#options.provider],
      intraOpNumThreads: this.#options.threads,
      interOpNumThreads: 1,
      enableCpuMemArena: false,
      enableMemPattern: false,
      logSeverityLevel: 3,
      extra: { session: { intra_op: { allow_spinning: "0" } } },
    }).catch((error) => {
      throw this.#named(error);
    });
    this.#sessions.set(key, session);
    return session;
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

  /** Rotary tables and positions `start` to `start + length` − 1. */
  #positions(start: number, length: number): Positions {
    if (this.#spec.frame.positions !== null) return { tables: {}, start };
    const { cos, sin } = rotaryTables(this.#spec, start + length);
    const shape = [start + length, this.#spec.headDim / 2];
    return { tables: { cos: new Tensor("float32", cos, shape), sin: new Tensor("float32", sin, shape) }, start };
  }

  #rotary({ tables, start }: Positions, { windows, length }: Windows): Tensors {
    if (this.#spec.frame.positions !== null) return {};
    const positions = BigInt64Array.from({ length: windows * length }, (_, i) => BigInt(start + (i % length)));
    return { ...tables, positions: new Tensor("int64", positions, [windows, length]) };
  }

  /** Hidden states in chunks whose logits fit the budget. */
  *#headChunks(hidden: Float32Array): Generator<{ start: number; end: number; states: Tensor }> {
    const { vocab, hidden: width } = this.#spec;
    const tokens = hidden.length / width;
    const step = Math.max(1, Math.floor(Math.min(LOGITS_BYTES, this.#options.memoryBudget) / (4 * vocab)));
    for (let start = 0; start < tokens; start += step) {
      const end = Math.min(tokens, start + step);
      const states = new Tensor("float32", hidden.subarray(start * width, end * width), [end - start, width]);
      yield { start, end, states };
    }
  }
}

function tensorsOf(weights: Weights, shapes: TensorShapes): Tensors {
  return Object.fromEntries([...shapes].map(([name, shape]) => [name, new Tensor("float32", weights[name], shape)]));
}

/** What tells attention which keys come before which query. */
function causalFeeds(
  { fused }: BlockVariant,
  { windows, length, start }: Windows & { readonly start: number },
): Tensors {
  const end = start + length;
  if (fused) {
    return {
      last: new Tensor("int32", new Int32Array(windows).fill(end - 1), [windows]),
      total: new Tensor("int32", Int32Array.of(end), []),
    };
  }
  return {
    queries: new Tensor("float32", Float32Array.from({ length }, (_, i) => start + i), [length, 1]),
    keys: new Tensor("float32", Float32Array.from({ length: end }, (_, i) => i), [1, end]),
  };
}

/**
 * onnxruntime's message without its source files, and in one line.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { plainReason } from "./engine.ts";
 *
 * const error = new Error("/src/context.cc:136 lambda() status == Success was false. Failed to get an adapter\n");
 * assert.equal(plainReason(error), "Failed to get an adapter");
 * ```
 */
export function plainReason(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, " ").trim();
  return text.replace(/^OrtSessionOptionsAppendExecutionProvider_\w+: /, "").replace(/^.* was false\. (?=.)/, "")
    .replace(/\/\S+\.(?:cc|h|cpp):\d+ /g, "");
}

function floats(tensor: Tensor): Float32Array {
  if (tensor.data instanceof Float32Array) return tensor.data;
  throw new TypeError(`Cannot read a result as it must be float32: current type is ${tensor.type}`);
}
