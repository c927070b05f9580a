/**
 * Writes text, token by token, from any checkpoint: keys and values of earlier tokens are kept, so that each new token
 * costs one pass over the weights.
 */
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { embed } from "../models/embed.ts";
import { fitModel } from "../models/fit.ts";
import { type BlockRun, openForward, type Weights } from "../models/forward.ts";
import type { Provider } from "../models/provider.ts";
import { type SampleOptions, sampler } from "./sample.ts";
import type { ModelSpec } from "../models/spec.ts";
import { readTensors, type TensorShapes } from "../checkpoints/read_tensors.ts";
import { blockShapes, embeddingShapes, headShapes } from "../models/tensors.ts";

/**
 * How text is generated.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openModel } from "../models/open_model.ts";
 * import { generate, type GenerateOptions } from "./generate.ts";
 *
 * const checkpoint = await openModel({ path: "configs/models/tiny-llama" });
 * const options: GenerateOptions = { maxTokens: 2, temperature: 1, topK: 1, threads: 1 };
 * const likeliest = await Array.fromAsync(generate(checkpoint, [1, 5], { maxTokens: 2, threads: 1 }));
 * assert.deepEqual(await Array.fromAsync(generate(checkpoint, [1, 5], options)), likeliest);
 * checkpoint.close();
 * ```
 */
export interface GenerateOptions extends SampleOptions {
  /** New tokens at most; default 128. */
  readonly maxTokens?: number;
  /** Threads of onnxruntime; 0 (default) lets it choose. */
  readonly threads?: number;
  /** onnxruntime's execution provider; default: cpu. */
  readonly provider?: Provider;
  /**
   * Bytes that the blocks' float32 weights may take, default 4 GiB. A larger model works too: each block is then read
   * again for each token. Embedding and head always stay in memory.
   */
  readonly memoryBudget?: number;
  readonly signal?: AbortSignal;
}

/** Tokens of the prompt that go through a block at once; attention memory grows with their number. */
const PREFILL = 256;
const GIBIBYTE = 1024 ** 3;

/**
 * Continues a prompt.
 *
 * Ends after a token that ends texts or turns (which is yielded; see `endTokens`), after `maxTokens`, or at the model's last position.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openModel } from "../models/open_model.ts";
 * import { generate } from "./generate.ts";
 *
 * const checkpoint = await openModel({ path: "configs/models/tiny-llama" });
 * const write = (prompt: number[], maxTokens: number) =>
 *   Array.fromAsync(generate(checkpoint, prompt, { maxTokens, threads: 1 }));
 * const ids = await write([1, 5], 3);
 * assert.equal(ids.length, 3);
 * assert.deepEqual(await write([1, 5, ids[0]], 1), [ids[1]]);
 * checkpoint.close();
 * ```
 * @param checkpoint weights of any format
 * @param prompt token ids, at least one
 * @returns new token ids, as they come
 * @throws {RangeError} empty prompt, ids outside the vocabulary, more tokens than the model has positions
 * @throws {InputError} a model that is not supported, missing or wrong tensors
 */
export async function* generate(
  checkpoint: Checkpoint,
  prompt: readonly number[],
  options: GenerateOptions = {},
): AsyncGenerator<number, void, void> {
  const { maxTokens = 128, threads = 0, provider = "cpu", memoryBudget = 4 * GIBIBYTE, signal } = options;
  const { spec, checkpoint: model } = await fitModel(checkpoint);
  const ends = endTokens(checkpoint);
  if (prompt.length === 0 || prompt.length >= spec.maxPositions) {
    throw new RangeError(
      `Cannot generate text as the prompt must have 1 to ${
        spec.maxPositions - 1
      } tokens: current length is ${prompt.length}`,
    );
  }
  const choose = sampler(options);
  const embedding = await readTensors(model, embeddingShapes(spec));
  const forward = await openForward(spec, { threads, provider });
  try {
    const others = new Map([...headShapes(spec)].filter(([name]) => !(name in embedding)));
    const head = await forward.openHead({ ...embedding, ...await readTensors(model, others) });
    const resident = spec.blocks * 4 * elements(blockShapes(spec, 0)) <= memoryBudget;
    const weights = (block: number) => readTensors(model, blockShapes(spec, block));
    const blocks: BlockRun[] = [];
    for (let block = 0; block < spec.blocks; block++) {
      const options = { gather: "none", output: true, cache: true, move: true } as const;
      blocks.push(await forward.openBlock(block, resident ? await weights(block) : undefined, options));
    }

    const limit = Math.min(spec.maxPositions, prompt.length + maxTokens);
    let fresh = Int32Array.from(prompt);
    for (let position = 0; position + fresh.length < limit;) {
      let chunks = embedChunks(spec, embedding, { ids: fresh, position });
      for (const [block, run] of blocks.entries()) {
        signal?.throwIfAborted();
        if (!resident) await run.setWeights(await weights(block));
        const outputs: Float32Array[] = [];
        for (const chunk of chunks) outputs.push(await runChunk(run, chunk, spec));
        if (!resident) await run.setWeights();
        chunks = outputs;
      }
      position += fresh.length;
      const id = choose(await head.logits(chunks[chunks.length - 1].slice(-spec.hidden)));
      yield id;
      if (ends.includes(id)) return;
      fresh = Int32Array.of(id);
    }
  } finally {
    await forward.close();
  }
}

/**
 * Ids after which text ends: generation_config.json's where it names any, else the config's, as in transformers. Its
 * other settings, such as temperature, are the caller's to choose.
 */
export function endTokens({ config, generation }: Pick<Checkpoint, "config" | "generation">): readonly number[] {
  const { eos_token_id: eos } = { ...config, ...generation?.eos_token_id != null ? generation : {} };
  return (Array.isArray(eos) ? eos : [eos]).filter((id): id is number => typeof id === "number");
}

/** Hidden states of new tokens, in chunks of at most PREFILL tokens. */
function embedChunks(
  spec: ModelSpec,
  embedding: Weights,
  { ids, position }: { readonly ids: Int32Array; readonly position: number },
): Float32Array[] {
  return Array.from({ length: Math.ceil(ids.length / PREFILL) }, (_, i) => {
    const chunk = ids.subarray(i * PREFILL, (i + 1) * PREFILL);
    return embed(spec, embedding, { ids: chunk, windows: 1, length: chunk.length, start: position + i * PREFILL });
  });
}

async function runChunk(block: BlockRun, chunk: Float32Array, { hidden }: ModelSpec): Promise<Float32Array> {
  const length = chunk.length / hidden;
  const output = await block.run(chunk, { windows: 1, length });
  if (output.hidden) return output.hidden;
  throw new Error(`Cannot generate text as a block gave no output for ${length} tokens`);
}

function elements(shapes: TensorShapes): number {
  let sum = 0;
  for (const shape of shapes.values()) sum += shape.reduce((a, b) => a * b, 1);
  return sum;
}
