/** Content hashes of a model's weights, by who reads them. */
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import type { ModelSpec } from "../models/spec.ts";
import { blockTensors, embeddingTensors, headTensors } from "../models/tensors.ts";
import type { Identities } from "../stages/planning.ts";
import { storedTokenizer } from "../tokenizers/tokenizer.ts";
import { contentHash } from "./lock_record.ts";

/**
 * Hashes the weights' files, or finds their hashes where they are known.
 *
 * @param checkpoint as `fitModel` gives it: the model's tensors and no others, under canonical names
 */
export async function identify(checkpoint: Checkpoint, spec: ModelSpec): Promise<Identities> {
  const identity = (names: readonly string[]) => checkpoint.identity(names);
  const blocks: string[] = [];
  for (let block = 0; block < spec.blocks; block++) blocks.push(await identity(blockTensors(spec, block)));
  return {
    blocks,
    embedding: await identity(embeddingTensors(spec)),
    head: await identity(headTensors(spec)),
    rest: await checkpoint.identity([...checkpoint.tensors.keys()].sort()),
    companions: companions(checkpoint),
  };
}

/** Hash of what a packed model keeps beside its tensors. */
function companions({ config, tokenizer, generation }: Checkpoint): string {
  return contentHash({ config, tokenizer: tokenizer && storedTokenizer(tokenizer), generation });
}
