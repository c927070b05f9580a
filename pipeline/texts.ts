/** The texts of a recipe, looked at before any work: what identifies each, and whether this model can take its windows. */
import { basename } from "node:path";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { checkDataset, type DatasetAccess, describeDataset } from "../datasets/mod.ts";
import { InputError } from "../files/input_error.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { TextFacts } from "../stages/planning.ts";
import { type TextRequest, windowOptions } from "../stages/tools/text.ts";
import { openTokenizer, type Tokenizer } from "../tokenizers/tokenizer.ts";

/** The model that takes them, and how they are reached. */
export interface TextsOptions {
  readonly checkpoint: Pick<Checkpoint, "label" | "tokenizer">;
  readonly spec: ModelSpec;
  readonly access: Omit<DatasetAccess, "split">;
  /** Told what is unusual. */
  readonly warn: (message: string) => void;
}

/**
 * Looks at texts.
 *
 * @returns what is known of each, by its id
 * @throws {InputError} a text is missing, malformed or too short; its windows are longer than the model takes, or have ids that it
 * lacks; the model has no tokenizer where one is needed
 */
export async function openTexts(
  requests: readonly TextRequest[],
  { checkpoint, spec, access, warn }: TextsOptions,
): Promise<ReadonlyMap<string, TextFacts>> {
  let tokenizer: Tokenizer | undefined;
  const tokenizerFor = ({ dataset, path }: TextRequest) => {
    if (isStored(dataset)) return undefined;
    tokenizer ??= openTokenizerOf(checkpoint, `${path}.dataset`);
    return tokenizer;
  };
  const texts = new Map<string, TextFacts>();
  for (const request of requests) {
    const { id, dataset, split, expected, path } = request;
    // What the recipe says is judged before what files hold.
    if (request.length !== undefined) checkLength(request, request.length, { checkpoint, spec, warn });
    const tokenizer = tokenizerFor(request);
    const found = await checkDataset(dataset, windowOptions(request, { spec, access, tokenizer })).catch((error) => {
      throw error instanceof InputError ? new InputError(`${error.message} (${path})`, { cause: error }) : error;
    });
    const { length = expected.length } = found;
    if (request.length === undefined) checkLength(request, length, { checkpoint, spec, warn });
    const { identity } = await describeDataset(dataset, { ...access, split });
    texts.set(id, {
      identity: { text: identity, tokenizer: tokenizer?.fingerprint() ?? null },
      ...{ ...expected, length },
    });
  }
  if (tokenizer !== undefined && tokenizer.size > spec.vocab) {
    warn(
      `The tokenizer of ${checkpoint.label} has ${tokenizer.size} ids and the model ${spec.vocab}: a text that needs one of ` +
        "the others is refused",
    );
  }
  return texts;
}

/** Checks that a model takes windows so long: no longer than it has positions, and than attention that slides sees. */
function checkLength(
  { dataset, path, length: set }: TextRequest,
  length: number,
  { checkpoint: { label }, spec: { family, maxPositions, window, ropeScaling, frame }, warn }: Omit<
    TextsOptions,
    "access"
  >,
): void {
  const key = `${path}.length`;
  const current = set !== undefined
    ? `${key} is ${length}`
    : `${isStored(dataset) ? basename(dataset.windows) : key} has windows of ${length} tokens`;
  if (window !== null && length > window) {
    throw new InputError(
      `Cannot run ${label} as its attention slides (${family}): windows must have at most ${window} tokens, where sliding ` +
        `attention is full attention: current length is ${length}; set ${key} to ${window} or less`,
    );
  }
  if (length <= maxPositions) return;
  // The one kind of scaling that is made for longer texts than the config names, and only stretches where a text is one.
  if (ropeScaling.type === "dynamic" && frame.positions === null) {
    warn(
      `${current}, beyond the ${maxPositions} positions of ${label}: its dynamic rotary scaling stretches them, as it ` +
        "does in transformers",
    );
    return;
  }
  throw new InputError(
    `Cannot run ${label} on windows that are longer than its ${maxPositions} positions (max_position_embeddings): ` +
      `${current}; set ${key} to ${maxPositions} or less`,
  );
}

function isStored(dataset: TextRequest["dataset"]): dataset is { readonly windows: string; readonly tensor: string } {
  return typeof dataset === "object" && "windows" in dataset;
}

function openTokenizerOf({ label, tokenizer }: TextsOptions["checkpoint"], key: string): Tokenizer {
  if (tokenizer !== undefined) return openTokenizer(tokenizer);
  throw new InputError(
    `Cannot tokenize the text of ${key} as ${label} has no tokenizer; add tokenizer.json to its folder, or give token windows`,
  );
}
