/**
 * The forward pass of a model, block by block, in a worker: the caller's thread stays free for events and I/O.
 *
 * The caller brings the weights of one block at a time, so that a model larger than memory works.
 */
import { embed } from "./embed.ts";
import type {
  BlockOptions,
  BlockOutput,
  Choices,
  EngineOptions,
  HeadComparison,
  InputSums,
  Windows,
} from "./forward_protocol.ts";
import { type Segment, segmentPositions } from "./segments.ts";
import { checkWindow } from "./sliding_window.ts";
import type { ModelSpec } from "./spec.ts";
import type { TensorShapes } from "../checkpoints/read_tensors.ts";
import { blockPrefix, blockShapes, headInputShapes, headShapes } from "./tensors.ts";
import { Channel } from "./worker_channel.ts";

export type {
  BlockOptions,
  BlockOutput,
  Choices,
  HeadComparison,
  InputSums,
  MatrixSums,
  Similarity,
  Windows,
} from "./forward_protocol.ts";

/** Tensors by canonical name. */
export type Weights = Readonly<Record<string, Float32Array>>;

const MEBIBYTE = 1024 * 1024;

/** An opened model. All methods may be called without waiting; calls are answered in order. */
export interface Forward {
  readonly spec: ModelSpec;
  /** onnxruntime's execution provider, for the run's record. */
  readonly provider: EngineOptions["provider"];
  /**
   * Hidden states of token ids.
   * @param ids windows × length
   * @param windows and the `segments` that they are of, where they are not one text each
   * @returns windows × length × hidden
   * @throws {RangeError} ids, segments or weights that do not fit the model
   * @throws {InputError} texts longer than attention that slides sees
   */
  embed(
    weights: Weights,
    ids: Int32Array,
    windows: Windows & { readonly segments?: readonly Segment[] },
  ): Promise<Float32Array>;
  /**
   * Opens one block.
   * @param block 0-based index
   * @param weights its tensors, copied to the worker (moved there with `move`: the arrays are then unusable here);
   *   undefined when `setWeights` brings them later
   * @param options.originals weights of the original model's stream, where they differ from the others; treated as `weights`
   * @throws {RangeError} weights that do not fit the model
   */
  openBlock(
    block: number,
    weights: Weights | undefined,
    options: BlockOptions & { readonly move?: boolean; readonly originals?: Weights },
  ): Promise<BlockRun>;
  /** Opens the head; what `loss` and `logits` do in one call, for more calls than one. */
  openHead(weights: Weights): Promise<HeadRun>;
  /**
   * Opens what stands between the last block and the head's matrix (final norm, projection), to gather what the matrix multiplies.
   * @param weights its tensors, by canonical name; others are not looked at
   */
  openHeadInput(weights: Weights): Promise<HeadInputRun>;
  /** `openHead`, `HeadRun.loss`, `HeadRun.close`. */
  loss(weights: Weights, hidden: Float32Array, ids: Int32Array, windows: Windows): Promise<Float64Array>;
  /** `openHead`, `HeadRun.logits`, `HeadRun.close`. */
  logits(weights: Weights, hidden: Float32Array): Promise<Float32Array>;
  /** Whether it is as good as one that was opened just now: no block or head is open, nothing is in work, and no call has failed. */
  reusable(): boolean;
  /** Ends the worker; calls that still wait are rejected. */
  close(): Promise<void>;
}

/** One opened block. */
export interface BlockRun {
  /**
   * Runs the block, and adds to what is gathered.
   * @param hidden windows × length × hidden; moved to the worker, and handed back as `input`
   * @param windows and the `original` model's hidden states, treated alike, where the block was opened for them; `marks`: after how many
   *   of these windows, ascending, what is gathered is kept beside what comes of all (`gather: "full"`); `segments` of these windows,
   *   where the block was opened for them
   */
  run(
    hidden: Float32Array,
    windows: Windows & {
      readonly original?: Float32Array;
      readonly marks?: readonly number[];
      readonly segments?: readonly Segment[];
    },
  ): Promise<BlockOutput>;
  /** Replaces the weights (moved); without weights drops them, while cached keys and values stay. */
  setWeights(weights?: Weights): Promise<void>;
  /** Closes the block and hands out what was gathered, by `LinearSpec.input`. */
  finish(): Promise<Record<string, InputSums>>;
}

/** The inputs of the head's matrix, on their way. */
export interface HeadInputRun {
  /**
   * Adds XᵀX of the last block's outputs, X being what the head's matrix multiplies.
   * @param hidden windows × length × hidden; moved to the worker
   */
  gather(hidden: Float32Array, windows: Windows): Promise<void>;
  /** Closes it and hands out the sums, under the name `head`. */
  finish(): Promise<Record<string, InputSums>>;
}

/** The opened head. */
export interface HeadRun {
  /**
   * Mean negative log-likelihood of the next token, in nats, per window (over length − 1 tokens).
   * @param hidden output of the last block; moved to the worker
   * @param ids windows × length
   */
  loss(hidden: Float32Array, ids: Int32Array, windows: Windows): Promise<Float64Array>;
  /**
   * What this head says of the next tokens beside what the original model's says.
   * @param hidden last hidden states of this model and of the original, each windows × length × hidden; moved to the worker
   * @param ids windows × length
   */
  compare(
    original: HeadRun,
    hidden: readonly [Float32Array, Float32Array],
    ids: Int32Array,
    windows: Windows,
  ): Promise<HeadComparison>;
  /**
   * What the head says of ids that may come next.
   * @param hidden tokens × hidden; moved to the worker
   * @param ids tokens × `perToken`
   */
  choose(hidden: Float32Array, ids: Int32Array, perToken: number): Promise<Choices>;
  /**
   * @param hidden tokens × hidden; moved to the worker
   * @returns tokens × vocab
   */
  logits(hidden: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}

/**
 * Starts the worker of a model.
 *
 * @param options `threads` of onnxruntime (0: its own choice), its execution `provider` (cpu), whether attention is its
 *   fused operator (on cpu), `memoryBudget` in bytes for the activations of a batch
 * @returns the model, without any weights
 * @throws {Error} onnxruntime cannot be loaded
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { modelSpec } from "./config.ts";
 * import { openForward } from "./forward.ts";
 *
 * const spec = modelSpec({ model_type: "llama", hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1,
 *   num_attention_heads: 1, vocab_size: 5, tie_word_embeddings: true });
 * const weights = { "model.embed_tokens.weight": new Float32Array(40), "model.norm.weight": new Float32Array(8) };
 * const forward = await openForward(spec);
 * const ids = Int32Array.of(0, 4, 2);
 * const hidden = await forward.embed(weights, ids, { windows: 1, length: 3 });
 * const [loss] = await forward.loss(weights, hidden, ids, { windows: 1, length: 3 });
 * assert.ok(Math.abs(loss - Math.log(5)) < 1e-6);
 * await forward.close();
 * ```
 */
export async function openForward(
  spec: ModelSpec,
  { threads = 0, provider = "cpu", fused = provider === "cpu", memoryBudget = 128 * MEBIBYTE }: Partial<EngineOptions> =
    {},
): Promise<Forward> {
  const channel = new Channel(new Worker(new URL("./forward_worker.ts", import.meta.url), { type: "module" }));
  await channel.call("open", { spec, options: { threads, provider, fused, memoryBudget } });
  let count = 0;
  const inUse = new Set<number>(), heads = new Map<HeadRun, number>();

  const openHead = async (weights: Weights): Promise<HeadRun> => {
    const id = count++;
    inUse.add(id);
    await channel.call("openHead", { id, weights: pick(headShapes(spec), weights) });
    const head: HeadRun = {
      async loss(hidden, ids, windows) {
        checkHidden(spec, hidden, windows);
        checkIds(spec, ids, windows);
        const states = own(hidden);
        return await channel.call("loss", { id, hidden: states, ids: ids.slice(), ...windows }, [states.buffer]);
      },
      async compare(original, hidden, ids, windows) {
        const other = heads.get(original);
        if (other === undefined) throw new RangeError("Cannot compare heads as the original's is none of this model");
        for (const each of hidden) checkHidden(spec, each, windows);
        checkIds(spec, ids, windows);
        const states = [own(hidden[0]), own(hidden[1])] as const,
          buffers = [...new Set(states.map(({ buffer }) => buffer))];
        const params = { heads: [id, other] as const, hidden: states, ids: ids.slice(), ...windows };
        return await channel.call("compareHeads", params, buffers);
      },
      async choose(hidden, ids, perToken) {
        checkHidden(spec, hidden, { windows: 1, length: ids.length / perToken });
        checkVocabulary(spec, ids);
        const states = own(hidden);
        return await channel.call("choose", { id, hidden: states, ids: ids.slice(), perToken }, [states.buffer]);
      },
      async logits(hidden) {
        checkHidden(spec, hidden, { windows: 1, length: hidden.length / spec.hidden });
        const states = own(hidden);
        return await channel.call("logits", { id, hidden: states }, [states.buffer]);
      },
      async close() {
        await channel.call("closeHead", { id });
        inUse.delete(id);
        heads.delete(head);
      },
    };
    heads.set(head, id);
    return head;
  };

  return {
    spec,
    provider,
    openHead,
    async openHeadInput(weights) {
      const id = count++;
      await channel.call("openHeadInput", { id, weights: pick(headInputShapes(spec), weights) });
      return {
        async gather(hidden, windows) {
          checkHidden(spec, hidden, windows);
          const states = own(hidden);
          await channel.call("gatherHeadInput", { id, hidden: states, ...windows }, [states.buffer]);
        },
        finish: () => channel.call("finishHeadInput", { id }),
      };
    },
    async embed(weights, ids, { segments, ...windows }) {
      const positions = segments && segmentPositions(segments, windows);
      return await Promise.resolve(embed(spec, weights, { ids, positions, ...windows }));
    },
    async openBlock(block, weights, { move = false, originals, ...options }) {
      if (options.gather === "none" && !options.output) {
        throw new RangeError(
          `Cannot open block ${block} as there is nothing to compute: ask for output or a gather mode`,
        );
      }
      if (options.original && options.gather !== "full") {
        throw new RangeError(
          `Cannot open block ${block} with the original model's stream as it is for cross moments: gather must be full: ` +
            `current value is ${options.gather}`,
        );
      }
      if (options.original?.residual && !addsPlainly(spec)) {
        throw new RangeError(
          `Cannot open block ${block} for its residual streams as sums are normalised there: nothing is plainly added`,
        );
      }
      if (options.segmented && options.cache) {
        throw new RangeError(`Cannot open block ${block} for segments with a cache: what is cached is one text`);
      }
      if (options.similarity && !options.output) {
        throw new RangeError(
          `Cannot open block ${block} for its similarity as that is of its output: ask for output too`,
        );
      }
      const id = count++;
      const local = weights && blockWeights(spec, block, weights);
      const second = originals && blockWeights(spec, block, originals);
      inUse.add(id);
      const moved = move ? [...new Set([...buffersOf(local ?? {}), ...buffersOf(second ?? {})])] : [];
      await channel.call("openBlock", { id, weights: local, originals: second, options }, moved);
      return {
        async run(hidden, { original, marks, segments, ...windows }) {
          checkHidden(spec, hidden, windows);
          if (marks?.some((mark, i) => !(mark > (marks[i - 1] ?? 0) && mark <= windows.windows))) {
            throw new RangeError(
              `Cannot run block ${block} as marks must ascend from 1 to ${windows.windows} windows: they are ${marks}`,
            );
          }
          if ((original !== undefined) !== (options.original !== undefined)) {
            throw new RangeError(
              `Cannot run block ${block} as it takes hidden states of the original model ` +
                `${options.original ? "too: there are none" : "only when it is opened for them"}`,
            );
          }
          if (original) checkHidden(spec, original, windows);
          if ((segments !== undefined) !== (options.segmented ?? false)) {
            throw new RangeError(
              `Cannot run block ${block} as it takes segments ${
                options.segmented ? "of its windows: there are none" : "only when it is opened for them"
              }`,
            );
          }
          checkWindow(
            spec,
            segments ? 1 + segmentPositions(segments, windows).reduce((a, b) => Math.max(a, b), 0) : windows.length,
          );
          if (options.cache && windows.windows !== 1) {
            throw new RangeError(
              `Cannot run block ${block} as a cached block takes 1 window: current value is ${windows.windows}`,
            );
          }
          const states = own(hidden), second = original && own(original);
          const buffers = [states.buffer, ...(second ? [second.buffer] : [])];
          const params = { id, hidden: states, original: second, marks, segments, ...windows };
          return await channel.call("runBlock", params, buffers);
        },
        async setWeights(weights) {
          const local = weights && blockWeights(spec, block, weights);
          await channel.call("setWeights", { id, weights: local }, local ? buffersOf(local) : []);
        },
        async finish() {
          const sums = await channel.call("finishBlock", { id });
          inUse.delete(id);
          return sums;
        },
      };
    },
    async loss(weights, hidden, ids, windows) {
      const head = await openHead(weights);
      const loss = await head.loss(hidden, ids, windows);
      await head.close();
      return loss;
    },
    async logits(weights, hidden) {
      const head = await openHead(weights);
      const logits = await head.logits(hidden);
      await head.close();
      return logits;
    },
    reusable: () => inUse.size === 0 && channel.sound,
    close: () => channel.close(),
  };
}

/** Whether what a block's linears put out is added to the residual stream as it is: not where norms stand behind the sums. */
export function addsPlainly({ block }: ModelSpec): boolean {
  return block.preNorm;
}

/** A block's weights under names without its prefix. */
function blockWeights(spec: ModelSpec, block: number, weights: Weights): Record<string, Float32Array> {
  const prefix = blockPrefix(spec, block);
  const picked = Object.entries(pick(blockShapes(spec, block), weights));
  return Object.fromEntries(picked.map(([name, values]) => [name.slice(prefix.length), values]));
}

/** The wanted tensors, checked for their size. */
function pick(shapes: TensorShapes, weights: Weights): Record<string, Float32Array> {
  return Object.fromEntries([...shapes].map(([name, shape]) => {
    const values = weights[name];
    if (values?.length === shape.reduce((a, b) => a * b, 1)) return [name, own(values)];
    throw new RangeError(`Cannot run the model as "${name}" must hold [${shape}] values: found ${values?.length}`);
  }));
}

function checkHidden(spec: ModelSpec, hidden: Float32Array, { windows, length }: Windows): void {
  const tokens = windows * length;
  if (Number.isInteger(tokens) && tokens > 0 && hidden.length === tokens * spec.hidden) return;
  throw new RangeError(
    `Cannot run the model as hidden states must be ${windows} × ${length} × ${spec.hidden}: current length is ${hidden.length}`,
  );
}

function checkIds(spec: ModelSpec, ids: Int32Array, { windows, length }: Windows): void {
  if (ids.length !== windows * length || length < 2) {
    throw new RangeError(
      `Cannot measure the loss as there must be ${windows} × ${length} token ids, at least 2 a window: found ${ids.length}`,
    );
  }
  checkVocabulary(spec, ids);
}

function checkVocabulary(spec: ModelSpec, ids: Int32Array): void {
  const bad = ids.find((id) => id < 0 || id >= spec.vocab);
  if (bad === undefined) return;
  throw new RangeError(`Cannot measure the loss as ids must be from 0 to ${spec.vocab - 1}: current value is ${bad}`);
}

/** An array whose buffer holds nothing else, so that it can be moved without taking others' values away. */
function own(values: Float32Array): Float32Array {
  return values.byteLength === values.buffer.byteLength ? values : values.slice();
}

function buffersOf(weights: Weights): ArrayBufferLike[] {
  return [...new Set(Object.values(weights).map((values) => values.buffer))];
}
