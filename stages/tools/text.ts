/** Token windows of the texts that stages ask for. */
import type { Checkpoint } from "../../checkpoints/checkpoint.ts";
import { type Dataset, type DatasetAccess, loadWindows, type WindowOptions, type Windows } from "../../datasets/mod.ts";
import type { ModelSpec } from "../../models/spec.ts";
import { openTokenizer, type Tokenizer } from "../../tokenizers/tokenizer.ts";

/** A text that a stage reads. */
export interface TextRequest {
  /** As `Planning.text` knows it: the stage, and what tells its texts apart. */
  readonly id: string;
  /** For records and errors. */
  readonly name: string;
  /** Where the recipe sets it: `stages.calibrate`. */
  readonly path: string;
  readonly dataset: Dataset;
  readonly split: DatasetAccess["split"];
  readonly samples?: number;
  /** So many windows besides `samples`. */
  readonly heldOut?: number;
  readonly length?: number;
  /** Of random draws; 0 where nothing is drawn. */
  readonly seed: number;
  /** Expected windows and tokens in each. */
  readonly expected: { readonly windows: number; readonly length: number };
}

/** Makes windows. */
export interface TextTool {
  windows(request: TextRequest, signal: AbortSignal): Promise<Windows>;
}

/** How a text's windows are made for a model. */
export function windowOptions(
  { split, samples, heldOut, length, seed }: TextRequest,
  { spec: { vocab, maxPositions }, access, tokenizer }: Omit<TextToolOptions, "checkpoint"> & {
    readonly tokenizer: Tokenizer | undefined;
  },
): WindowOptions {
  return {
    ...access,
    ...{ tokenizer, vocab, maxLength: maxPositions, split, seed },
    ...(samples === undefined ? {} : { samples }),
    ...(heldOut === undefined ? {} : { heldOut }),
    ...(length === undefined ? {} : { length }),
  };
}

/** What windows are made with. */
export interface TextToolOptions {
  readonly checkpoint: Pick<Checkpoint, "tokenizer">;
  readonly spec: ModelSpec;
  readonly access: Omit<DatasetAccess, "split">;
}

/** Makes the tool; the tokenizer is opened on first use. */
export function openTextTool({ checkpoint, spec, access }: TextToolOptions): TextTool {
  let tokenizer: Tokenizer | undefined;
  return {
    windows(request, signal) {
      if (checkpoint.tokenizer !== undefined) tokenizer ??= openTokenizer(checkpoint.tokenizer);
      return loadWindows(request.dataset, { ...windowOptions(request, { spec, access, tokenizer }), signal });
    },
  };
}
