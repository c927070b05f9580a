/**
 * What a config says and what a file holds, brought together: every tensor is used, known to be no weight, or refused.
 *
 * All of it is known from headers, so that planning finds it too; only a head beside a tied embedding is compared with it.
 */
import type { Checkpoint, JsonObject } from "../checkpoints/checkpoint.ts";
import { requireShape, type TensorShapes } from "../checkpoints/read_tensors.ts";
import { requireFloats } from "../checkpoints/weight_types.ts";
import { InputError } from "../files/input_error.ts";
import { completeBiases, writeBiases } from "./biases.ts";
import { canonicalNames } from "./canonical_names.ts";
import { modelSpec } from "./config.ts";
import { accountFor, listNames, refuseOthers } from "./leftovers.ts";
import { HEAD, type ModelSpec } from "./spec.ts";
import { blockPrefix, modelShapes } from "./tensors.ts";

/**
 * A checkpoint and the shape of its model, which agree.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { fitModel, type FittedModel } from "./fit.ts";
 * import { openModel } from "./open_model.ts";
 *
 * const { spec, checkpoint }: FittedModel = await fitModel(await openModel({ path: "configs/models/tiny-llama" }));
 * assert.ok(checkpoint.tensors.has(spec.frame.head));
 * checkpoint.close();
 * ```
 */
export interface FittedModel {
  readonly spec: ModelSpec;
  /** The model's tensors and no others, under canonical names; its config says what `spec` says. */
  readonly checkpoint: Checkpoint;
}

/**
 * Fits a config to the file that it came with.
 *
 * Biases that the file holds are used, whatever the config says. A head that differs from the embedding counts, even where the config
 * says that they are tied; of the two, one is enough where they are. Names lose what training wrapped around them. Buffers are left
 * out by name. What packing wrote is taken at its word: its config was fitted when it was written.
 *
 * Cost: headers, and where a head lies beside a tied embedding, both once, in pieces of 4 MiB (a few kilobytes of each, of a hub's
 * model that is opened for planning).
 *
 * @param checkpoint of any format; closing the returned one closes it
 * @param options `warn`: told what is not as the config says, and what is left out
 * @throws {InputError} adapters, quantized weights, missing tensors, tensors that no pass reads, and tensors of another type or shape
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { fitModel } from "./fit.ts";
 * import { openModel } from "./open_model.ts";
 *
 * const { spec, checkpoint } = await fitModel(await openModel({ path: "configs/models/tiny-llama" }), { warn: assert.fail });
 * assert.equal((await checkpoint.read(`${spec.frame.finalNorm}.weight`)).length, spec.hidden);
 * checkpoint.close();
 * ```
 */
export async function fitModel(
  checkpoint: Checkpoint,
  { warn = () => {} }: { readonly warn?: (message: string) => void } = {},
): Promise<FittedModel> {
  const described = modelSpec(checkpoint.config);
  if (checkpoint.format === "packed") return { spec: described, checkpoint };
  const { label, tensors } = checkpoint;
  refuseOthers([...tensors.keys()], label);
  const { stored, unwrapped } = canonicalNames(tensors.keys(), described, label);
  if (unwrapped) {
    warn(`Names of ${label} are read without what was put around them: "${unwrapped[0]}" is "${unwrapped[1]}"`);
  }
  const { spec: headed, names } = await fitHead(checkpoint, described, { stored, warn });
  const spec = completeBiases(headed, (name) => names.has(name));
  const shapes = modelShapes(spec);
  warnOfBiases(checkpoint, headed, spec, warn);
  requireAll(shapes, names, { label, spec, config: checkpoint.config });
  const used = new Map([...names].filter(([name]) => shapes.has(name)).map(([name, stored]) => [stored, name]));
  const left = [...names.values()].filter((name) => !used.has(name)).flatMap((name) => tensors.get(name) ?? []);
  accountFor(left, { label, spec }, warn);
  for (const [stored, name] of used) {
    const info = tensors.get(stored);
    if (info && (checkpoint.format === "safetensors" || checkpoint.format === "pytorch")) requireFloats(info, label);
    requireShape(checkpoint, stored, shapes.get(name) ?? []);
  }
  return { spec, checkpoint: viewOf(checkpoint, used, configFor(checkpoint.config, described, spec)) };
}

/** Names by canonical name. */
type Names = ReadonlyMap<string, string>;

/** Whether the head is the embedding: what the file says goes before what the config says. */
async function fitHead(
  checkpoint: Checkpoint,
  spec: ModelSpec,
  { stored, warn }: { readonly stored: Names; readonly warn: (message: string) => void },
): Promise<{ readonly spec: ModelSpec; readonly names: Names }> {
  const { tokens } = spec.frame;
  const [embedding, head] = [stored.get(tokens), stored.get(HEAD)];
  if (!spec.tied || head === undefined) return { spec, names: stored };
  const names = new Map([...stored].filter(([name]) => name !== HEAD));
  if (embedding === undefined) return { spec, names: names.set(tokens, head) };
  if (await checkpoint.same(embedding, head)) {
    if (!checkpoint.local) {
      warn(`"${head}" of ${checkpoint.label} is its embedding, as far as samples show; a run compares all`);
    }
    return { spec, names };
  }
  warn(
    `"${head}" of ${checkpoint.label} is not its embedding, though its config.json ties them: the file's own head is used`,
  );
  return { spec: { ...spec, tied: false, frame: { ...spec.frame, head: HEAD } }, names: stored };
}

/** GGUF files have no flags for biases, so that nothing is unusual about theirs. */
function warnOfBiases(
  { format, label }: Checkpoint,
  { block: { biases: said } }: ModelSpec,
  { block: { biases, linears } }: ModelSpec,
  warn: (message: string) => void,
): void {
  const found = biases.filter((role) => !said.includes(role)).map((role) => `${linears[role]}.bias`);
  if (found.length === 0 || format === "gguf") return;
  warn(`${label} has biases that its config.json does not mention, and they are used: ${found.join(", ")}`);
}

function requireAll(
  shapes: TensorShapes,
  names: Names,
  { label, spec, config }: { readonly label: string; readonly spec: ModelSpec; readonly config: JsonObject },
): void {
  const missing = [...shapes.keys()].filter((name) => !names.has(name));
  if (missing.length === 0) return;
  const others = [...names.values()].filter((name) => !shapes.has(name));
  const instead = others.length === 0 ? "" : `, but ${listNames(others)}`;
  throw new InputError(
    `Cannot use ${label} as it does not hold ${listNames(missing)}${instead}; ${
      remedyOf(missing[0], { names, spec, config })
    }`,
  );
}

function remedyOf(
  name: string,
  { names, spec, config }: { readonly names: Names; readonly spec: ModelSpec; readonly config: JsonObject },
): string {
  const { prefix } = spec.block;
  if (name === HEAD || name === spec.frame.tokens) {
    const said = JSON.stringify(config.tie_word_embeddings ?? null);
    return `where head and embedding are one, config.json must say "tie_word_embeddings": true: current value is ${said}`;
  }
  const blocks = Array.from({ length: spec.blocks }, (_, block) => block)
    .filter((block) => [...names.keys()].some((each) => each.startsWith(blockPrefix(spec, block))));
  if (name.startsWith(prefix) && blocks.length < spec.blocks && blocks.length > 0) {
    return `config.json says num_hidden_layers: ${spec.blocks}, and the file has ${blocks.length} of them: give all of its files, ` +
      "or the config.json that belongs to it";
  }
  if (name.endsWith(".bias")) {
    return "a bias must be in all blocks or in none, and be there if config.json asks for it: give the config.json that belongs to " +
      "these weights";
  }
  return "give the whole model, and the config.json that belongs to it";
}

/** The config, corrected where it says something else than the spec: it is packed, and read alone then. */
function configFor(config: JsonObject, described: ModelSpec, spec: ModelSpec): JsonObject {
  const tied = described.tied === spec.tied ? config : { ...config, tie_word_embeddings: spec.tied };
  return `${described.block.biases}` === `${spec.block.biases}` ? tied : writeBiases(tied, spec);
}

/** @param used canonical names by stored name */
function viewOf(checkpoint: Checkpoint, used: Names, config: JsonObject): Checkpoint {
  const stored = new Map([...used].map(([stored, name]) => [name, stored]));
  const storedName = (name: string) => stored.get(name) ?? name;
  // In the file's order, as they are packed in it.
  const tensors = [...checkpoint.tensors].flatMap(([key, info]) => {
    const name = used.get(key);
    return name === undefined ? [] : [[name, { ...info, name }] as const];
  });
  return {
    ...checkpoint,
    config,
    tensors: new Map(tensors),
    identity: (names) => checkpoint.identity(names.map(storedName)),
    read: (name) => checkpoint.read(storedName(name)),
    same: (a, b) => checkpoint.same(storedName(a), storedName(b)),
  };
}
