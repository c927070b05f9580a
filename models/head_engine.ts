/** Runs heads with onnxruntime, in chunks of tokens whose logits fit a memory budget. Meant for a worker, as the engine of blocks is. */
import { Tensor } from "onnxruntime-node";
import type { Choices, EngineOptions, HeadComparison, InputSums, Windows } from "./forward_protocol.ts";
import { GatheredSums } from "./gathered_sums.ts";
import { ORIGINAL } from "./block_graph.ts";
import { HEAD_INPUT, headComparisonGraph, headGraph, headMomentsGraph } from "./head_graph.ts";
import { floats, type Sessions, type Tensors, tensorsOf } from "./sessions.ts";
import type { ModelSpec } from "./spec.ts";
import { headInputShapes, headShapes } from "./tensors.ts";

type Weights = Readonly<Record<string, Float32Array>>;

/** Bytes of logits per call of the head: more fall out of the processor's caches. */
const LOGITS_BYTES = 32 * 1024 * 1024;

/** Tokens per call, however large the vocabulary: with fewer, reading the head's matrix takes longer than its products. */
const FEWEST_TOKENS = 64;

/** The heads of one model. */
export class HeadEngine {
  readonly #spec: ModelSpec;
  readonly #options: Pick<EngineOptions, "memoryBudget">;
  readonly #sessions: Sessions;
  readonly #heads = new Map<number, Tensors>();
  readonly #inputs = new Map<number, { readonly tensors: Tensors; readonly sums: GatheredSums }>();

  constructor(spec: ModelSpec, options: Pick<EngineOptions, "memoryBudget">, sessions: Sessions) {
    this.#spec = spec;
    this.#options = options;
    this.#sessions = sessions;
  }

  /** Takes the head's weights, under their canonical names. */
  open(id: number, weights: Weights): void {
    this.#heads.set(id, tensorsOf(weights, headShapes(this.#spec)));
  }

  /** Mean negative log-likelihood of the next token, per window. */
  async loss(id: number, hidden: Float32Array, ids: Int32Array, { windows, length }: Windows): Promise<Float64Array> {
    const session = await this.#sessions.open("loss", () => headGraph(this.#spec, "loss"));
    const sums = new Float64Array(windows);
    for (const { start, end, states } of this.#chunks(hidden)) {
      // The last token of a window has no next one: it is computed with token 0 as target, and left out of the sum.
      const targets = BigInt64Array.from(
        { length: end - start },
        (_, i) => (start + i + 1) % length === 0 ? 0n : BigInt(ids[start + i + 1]),
      );
      const feeds = { ...this.#head(id), hidden: states, targets: new Tensor("int64", targets, [end - start, 1]) };
      const loss = floats((await this.#sessions.run(session, feeds)).loss);
      for (let token = start; token < end; token++) {
        if ((token + 1) % length !== 0) sums[Math.floor(token / length)] += loss[token - start];
      }
    }
    return sums.map((sum) => sum / (length - 1));
  }

  /**
   * What two heads say of the next token of each but the last of a window's tokens.
   *
   * @param hidden last hidden states of a model, and those of the original of the same tokens
   */
  async compare(
    [id, originalId]: readonly [number, number],
    [hidden, original]: readonly [Float32Array, Float32Array],
    ids: Int32Array,
    { windows, length }: Windows,
  ): Promise<HeadComparison> {
    const session = await this.#sessions.open("comparison", () => headComparisonGraph(this.#spec));
    const originals = Object.entries(this.#head(originalId)).map(([name, tensor]) => [`${ORIGINAL}${name}`, tensor]);
    const per = length - 1, [loss, originalLoss, divergence] = [0, 1, 2].map(() => new Float32Array(windows * per));
    const same = new Uint8Array(windows * per), width = this.#spec.hidden;
    for (const { start, end, states } of this.#chunks(hidden)) {
      const next = (i: number) => (start + i + 1) % length === 0 ? 0n : BigInt(ids[start + i + 1]);
      const shape = [end - start, width];
      const results = await this.#sessions.run(session, {
        ...this.#head(id),
        ...Object.fromEntries(originals),
        hidden: states,
        [`${ORIGINAL}hidden`]: new Tensor("float32", original.subarray(start * width, end * width), shape),
        targets: new Tensor("int64", BigInt64Array.from({ length: end - start }, (_, i) => next(i)), [end - start, 1]),
      });
      const values = (name: string) => floats(results[name]);
      const parts = [values("loss"), values(`${ORIGINAL}loss`), values("divergence"), values("same")];
      for (let token = start; token < end; token++) {
        if ((token + 1) % length === 0) continue;
        const at = token - Math.floor(token / length), from = token - start;
        [loss[at], originalLoss[at], divergence[at], same[at]] = parts.map((part) => part[from]);
      }
    }
    return { loss, originalLoss, divergence, same };
  }

  /** Log-likelihood of each of `perToken` ids after each token, and the likeliest id there. */
  async choose(id: number, hidden: Float32Array, ids: Int32Array, perToken: number): Promise<Choices> {
    const session = await this.#sessions.open("choice", () => headGraph(this.#spec, "choice"));
    const logLikelihoods = new Float32Array(ids.length), likeliest = new Int32Array(ids.length / perToken);
    for (const { start, end, states } of this.#chunks(hidden)) {
      const targets = BigInt64Array.from(ids.subarray(start * perToken, end * perToken), BigInt);
      const result = await this.#sessions.run(session, {
        ...this.#head(id),
        hidden: states,
        targets: new Tensor("int64", targets, [end - start, perToken]),
      });
      logLikelihoods.set(floats(result.loss).map((loss) => -loss), start * perToken);
      likeliest.set(Int32Array.from(result.likeliest.data as BigInt64Array, Number), start);
    }
    return { logLikelihoods, likeliest };
  }

  /** Logits [tokens, vocab] of hidden states [tokens, hidden]. */
  async logits(id: number, hidden: Float32Array): Promise<Float32Array> {
    const { vocab, hidden: width } = this.#spec;
    const session = await this.#sessions.open("logits", () => headGraph(this.#spec, "logits"));
    const logits = new Float32Array((hidden.length / width) * vocab);
    for (const { start, end, states } of this.#chunks(hidden)) {
      const fetches = {
        logits: new Tensor("float32", logits.subarray(start * vocab, end * vocab), [end - start, vocab]),
      };
      await this.#sessions.run(session, { ...this.#head(id), hidden: states }, fetches);
    }
    return logits;
  }

  /** Takes what stands between the last block and the head's matrix, to gather what the matrix multiplies. */
  openInput(id: number, weights: Weights): void {
    const tensors = tensorsOf(weights, headInputShapes(this.#spec));
    const sums = new GatheredSums(new Map([[HEAD_INPUT, this.#spec.embedding]]), { gather: "full" });
    this.#inputs.set(id, { tensors, sums });
  }

  /** Adds the second moments of what the head's matrix multiplies, from hidden states of the last block. */
  async gatherInput(id: number, hidden: Float32Array, windows: Windows): Promise<null> {
    const open = this.#inputs.get(id);
    if (!open) throw new Error(`Cannot gather the head's inputs ${id} as they are not open: they failed before`);
    const session = await this.#sessions.open("head moments", () => headMomentsGraph(this.#spec));
    const { hidden: width } = this.#spec, fetches: Record<string, Tensor | null> = {};
    const feeds = { ...open.tensors, hidden: new Tensor("float32", hidden, [hidden.length / width, width]) };
    open.sums.attach(feeds, fetches);
    try {
      open.sums.absorb(await this.#sessions.run(session, feeds, fetches), windows);
    } catch (error) {
      this.#inputs.delete(id);
      throw error;
    }
    return null;
  }

  /** Hands out what was gathered of the head's inputs, and forgets them. */
  finishInput(id: number): Record<string, InputSums> {
    const sums = this.#inputs.get(id)?.sums.result() ?? {};
    this.#inputs.delete(id);
    return sums;
  }

  /** Forgets a head's weights. */
  close(id: number): void {
    this.#heads.delete(id);
  }

  /** Forgets all weights and what was gathered. */
  clear(): void {
    this.#heads.clear();
    this.#inputs.clear();
  }

  #head(id: number): Tensors {
    const head = this.#heads.get(id);
    if (!head) throw new Error(`Cannot run head ${id} as it is not open: it was closed before`);
    return head;
  }

  /**
   * Hidden states in chunks whose logits, of two models, fit the budget. One model's are in chunks of the same size, as the last bits of
   * exponentials depend on where the threads' parts of them end: a model has the loss by itself that it has beside another.
   */
  *#chunks(hidden: Float32Array): Generator<{ start: number; end: number; states: Tensor }> {
    const { vocab, hidden: width } = this.#spec;
    const tokens = hidden.length / width;
    const each = 4 * 2 * vocab,
      bytes = Math.min(Math.max(LOGITS_BYTES, each * FEWEST_TOKENS), this.#options.memoryBudget);
    const step = Math.max(1, Math.floor(bytes / each));
    for (let start = 0; start < tokens; start += step) {
      const end = Math.min(tokens, start + step);
      const states = new Tensor("float32", hidden.subarray(start * width, end * width), [end - start, width]);
      yield { start, end, states };
    }
  }
}
