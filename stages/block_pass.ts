/** One transformer block applied to a whole stream of hidden states, batch by batch. */
import type { BlockOptions, Forward, InputSums, Similarity, Weights } from "../models/forward.ts";
import { addSimilarity, NO_SIMILARITY } from "../models/similarity.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { ArtifactWriter, StepContext } from "../runner/stage.ts";
import { type Batch, batches, type HiddenSource, storeHidden, type Windows } from "./hidden_states.ts";

/** What is done with a block. */
export interface BlockPass {
  readonly forward: Forward;
  readonly spec: ModelSpec;
  readonly text: Windows;
  readonly source: HiddenSource;
  readonly block: number;
  /** The block's tensors by canonical name; given away. */
  readonly weights: Weights;
  readonly gather?: BlockOptions["gather"];
  /** Where the outputs go; without it they are not computed, unless `each` wants them. */
  readonly output?: ArtifactWriter;
  /** Sees the outputs of each batch before they are given away. */
  readonly each?: (batch: Batch, hidden: Float32Array) => Promise<void>;
}

/** What a pass leaves besides hidden states. */
export interface PassResult {
  /** By `LinearSpec.input`; empty unless gathered. */
  readonly gathered: Readonly<Record<string, InputSums>>;
  readonly similarity: Similarity;
}

/** Runs the block over all batches, reports progress, and stops between batches when the run is aborted. */
export async function passBlock(
  pass: BlockPass,
  context: Pick<StepContext, "progress" | "signal">,
): Promise<PassResult> {
  const { forward, spec, text, source, output, each, gather = "none" } = pass;
  const wanted = output !== undefined || each !== undefined;
  const run = await forward.openBlock(pass.block, pass.weights, { gather, output: wanted, move: true });
  let similarity = NO_SIMILARITY;
  const cut = batches(spec, text);
  // Reading the next batch and writing the last one go on while the worker computes.
  let coming = ahead(source(cut[0]));
  let leaving = Promise.resolve();
  for (const batch of cut) {
    context.signal.throwIfAborted();
    const hidden = await coming;
    const running = ahead(run.run(hidden, { windows: batch.windows, length: text.length }));
    const next = cut[batch.index + 1];
    if (next) coming = ahead(source(next));
    const result = await running;
    await leaving;
    if (result.similarity) similarity = addSimilarity(similarity, result.similarity);
    if (result.hidden) leaving = ahead(give(result.hidden, batch));
    context.progress(batch.index + 1, cut.length);
  }
  await leaving;
  return { gathered: await run.finish(), similarity };

  async function give(hidden: Float32Array, batch: Batch): Promise<void> {
    if (output) await storeHidden(output, batch, hidden, { length: text.length });
    if (each) await each(batch, hidden);
  }
}

/**
 * The sums, once it is certain that they are numbers.
 *
 * @throws {Error} when activations have left the range of float32
 */
export function finiteSimilarity(
  similarity: Similarity,
  { stage, block }: { readonly stage: string; readonly block: number },
): Similarity {
  if (Object.values(similarity).every(Number.isFinite)) return similarity;
  throw new Error(
    `Cannot measure block ${block} in stages.${stage} as its outputs must be finite: activations overflow float32; look ` +
      "for extreme weights in this block and those before it",
  );
}

/** A promise that is awaited later: its failure then counts, and until then is no unhandled one. */
function ahead<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
