/** One transformer block applied to a whole stream of hidden states, batch by batch. */
import type { BlockOptions, BlockOutput, Forward, InputSums, Similarity, Weights } from "../models/forward.ts";
import { addSimilarity, NO_SIMILARITY } from "../models/similarity.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { ArtifactWriter, StepContext } from "../runner/stage.ts";
import {
  type Batch,
  batches,
  halfOf,
  type HiddenSource,
  isHeldOut,
  ORIGINAL_STREAM,
  segmentsOf,
  storeHidden,
  type Windows,
} from "./hidden_states.ts";

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
  /** Of which inputs something is gathered; default: all. */
  readonly inputs?: readonly string[];
  /** Whether outputs are compared with inputs; they must then be wanted. Default: no. */
  readonly similarity?: boolean;
  /** Where the outputs go; without it they are not computed, unless `each` wants them. */
  readonly output?: ArtifactWriter;
  /** Name of the outputs' stream in that artifact. */
  readonly stream?: string;
  /** Sees the outputs of each batch before they are given away. */
  readonly each?: (batch: Batch, hidden: Float32Array) => Promise<void>;
  /** The original model's hidden states, for the cross moments of its inputs with those of the others. */
  readonly original?: OriginalStream;
  /** Whether what is gathered is kept after the first half of the windows, beside what comes of all. Default: no. */
  readonly halves?: boolean;
}

/** The original model's hidden states on their way through the block beside the others. */
export interface OriginalStream {
  readonly source: HiddenSource;
  /** The block's original tensors, where the others are not; given away. */
  readonly weights?: Weights;
  /** Whether differences of the residual streams are gathered, too. Default: no. */
  readonly residual?: boolean;
  /** Where their outputs go, as stream `ORIGINAL_STREAM`; without it they are not computed. */
  readonly output?: ArtifactWriter;
}

/** What a pass leaves besides hidden states. */
export interface PassResult {
  /** By `LinearSpec.input`; empty unless gathered. */
  readonly gathered: Readonly<Record<string, InputSums>>;
  /** Of no tokens unless it is asked for. */
  readonly similarity: Similarity;
}

/** Runs the block over all batches, reports progress, and stops between batches when the run is aborted. */
export async function passBlock(
  pass: BlockPass,
  context: Pick<StepContext, "progress" | "signal">,
): Promise<PassResult> {
  const { forward, spec, text, source, output, each, gather = "none", inputs, similarity: compared, original, stream } =
    pass;
  const wanted = output !== undefined || each !== undefined;
  const run = await forward.openBlock(pass.block, pass.weights, {
    gather,
    output: wanted,
    move: true,
    ...(inputs ? { inputs } : {}),
    ...(compared ? { similarity: true } : {}),
    ...(text.segments ? { segmented: true } : {}),
    ...(original
      ? {
        original: { output: original.output !== undefined, residual: original.residual ?? false },
        originals: original.weights,
      }
      : {}),
  });
  const states = async (batch: Batch) => ({
    hidden: await source(batch),
    ...(original ? { original: await original.source(batch) } : {}),
  });
  let similarity = NO_SIMILARITY;
  const cut = batches(spec, text);
  const kept = marksOf(pass, cut.filter((batch) => !isHeldOut(batch, text)));
  let coming = ahead(states(cut[0]));
  let leaving = Promise.resolve();
  let before: { readonly batch: Batch; readonly running: Promise<BlockOutput> } | undefined;
  const settle = async ({ batch, running }: NonNullable<typeof before>) => {
    const result = await running;
    await leaving;
    if (result.similarity && !isHeldOut(batch, text)) similarity = addSimilarity(similarity, result.similarity);
    leaving = ahead(give(result, batch));
    context.progress(batch.index + 1, cut.length);
  };
  // The worker always has the next batch before it is done with one, while this thread reads the one after and writes the one before.
  for (const batch of cut) {
    context.signal.throwIfAborted();
    const { hidden, ...beside } = await coming;
    const marks = kept.map((mark) => mark - batch.first).filter((mark) => mark > 0 && mark <= batch.windows);
    const of = { windows: batch.windows, length: text.length, ...segmentsOf(text, batch) };
    const running = ahead(run.run(hidden, { ...of, ...beside, marks }));
    const next = cut[batch.index + 1];
    if (next) coming = ahead(states(next));
    if (before) await settle(before);
    before = { batch, running };
  }
  if (before) await settle(before);
  await leaving;
  return { gathered: await run.finish(), similarity };

  async function give({ hidden, original: second }: BlockOutput, batch: Batch): Promise<void> {
    const { length } = text;
    if (original?.output && second?.hidden) {
      await storeHidden(original.output, batch, second.hidden, { length, stream: ORIGINAL_STREAM });
    }
    if (hidden && output) await storeHidden(output, batch, hidden, { length, stream });
    if (hidden && each) await each(batch, hidden);
  }
}

/** After how many windows what is gathered is kept: half of the samples, and all of them where others follow that are held out. */
function marksOf({ halves, gather, text }: BlockPass, samples: readonly Batch[]): number[] {
  if (gather !== "full") return [];
  return [...(halves ? [halfOf(samples)] : []), ...((text.heldOut ?? 0) > 0 ? [text.windows] : [])];
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
