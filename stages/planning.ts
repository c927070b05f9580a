/**
 * What the stages plan with: the recipe, the opened model, and the tools that running steps share.
 *
 * A stage turns this into steps (`runner/stage.ts`); nothing here reads weights.
 */
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { resolveTensor } from "../checkpoints/read_tensors.ts";
import { blockTensors, embeddingTensors, headTensors } from "../models/tensors.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { Recipe } from "./schema.ts";
import type { DeviceRecord, Json, OutputRef, Step } from "../runner/stage.ts";
import type { ProviderChoice } from "../models/provider.ts";
import type { DeviceChoice } from "../pipeline/device.ts";
import type { Tools } from "./tools.ts";

/** Content hashes of the weights, by who reads them. */
export interface Identities {
  readonly blocks: readonly string[];
  readonly embedding: string;
  readonly head: string;
  /** Everything that is not in a compressed layer. */
  readonly rest: string;
}

/** Facts about one set of token windows, known before it is made. */
export interface TextFacts {
  /** What identifies the text: hashes, dataset ids and commits, the tokenizer; never a path. */
  readonly identity: Json;
  /** Expected number of windows and tokens in each, for estimates. */
  readonly windows: number;
  readonly length: number;
}

/** A recipe, opened. */
export interface Planning {
  readonly recipe: Recipe;
  readonly checkpoint: Checkpoint;
  readonly spec: ModelSpec;
  readonly identities: Identities;
  /** Config facts that change a forward pass: shapes, eps, rotary settings. */
  readonly architecture: Json;
  readonly calibration: TextFacts;
  readonly evaluations: ReadonlyMap<string, TextFacts>;
  readonly device: DeviceChoice;
  /** onnxruntime's execution provider of forward passes. */
  readonly forward: ProviderChoice;
  readonly tools: Tools;
}

/** One stage of the pipeline, as it is named in YAML. */
export interface Stage {
  readonly name: string;
  /** Raised whenever its results change for the same inputs. */
  readonly version: number;
  plan(planning: Planning): readonly Step[];
}

/** What the run's record says of devices. */
export function deviceRecord({ device: { kind, name, why }, forward }: Planning): DeviceRecord {
  return { kind, name, why, forward };
}

/** The output `output` of the step `step`. */
export function from(step: string, output: string): OutputRef {
  return { step, output };
}

/** Hashes the weights' files, by who reads them. */
export async function identify(checkpoint: Checkpoint, spec: ModelSpec): Promise<Identities> {
  const identity = (names: readonly string[]) =>
    checkpoint.identity(names.map((name) => resolveTensor(checkpoint, name)));
  const blocks: string[] = [];
  for (let block = 0; block < spec.blocks; block++) blocks.push(await identity(blockTensors(spec, block)));
  return {
    blocks,
    embedding: await identity(embeddingTensors(spec)),
    head: await identity(headTensors(spec)),
    rest: await checkpoint.identity([...checkpoint.tensors.keys()].sort()),
  };
}

/** Bytes of the hidden states of some windows. */
export function hiddenBytes(spec: ModelSpec, text: TextFacts): number {
  return 4 * text.windows * text.length * spec.hidden;
}

/** Weights of one block's linears. */
export function blockWeights(spec: ModelSpec): number {
  const { hidden, ffn, heads, kvHeads, headDim } = spec;
  const attention = 2 * hidden * headDim * (heads + kvHeads);
  return attention + (spec.architecture === "llama" ? 3 : 2) * hidden * ffn;
}

/** Inputs of a block's distinct S, in values. */
export function gramSizes(spec: ModelSpec): readonly number[] {
  return [spec.hidden, spec.heads * spec.headDim, spec.hidden, spec.ffn];
}

/** Float operations a second that estimates assume before the cache has seen this machine. */
const ASSUMED_RATE = 8e10;

/** Seconds of one block's forward pass over some windows, with or without gathering S. */
export function forwardSeconds(spec: ModelSpec, text: TextFacts, gather: boolean): number {
  const tokens = text.windows * text.length;
  const linear = 2 * tokens * blockWeights(spec);
  const attention = 4 * tokens * text.length * spec.heads * spec.headDim;
  const gram = gather ? gramSizes(spec).reduce((sum, size) => sum + 2 * tokens * size * size, 0) : 0;
  return (linear + attention + gram) / ASSUMED_RATE;
}

/** Bytes at the peak of one block's forward pass: its weights twice, activations of one batch, and S. */
export function forwardMemory(spec: ModelSpec, gather: boolean): number {
  const grams = gather ? gramSizes(spec).reduce((sum, size) => sum + 8 * size * size, 0) : 0;
  return 2e8 + 8 * blockWeights(spec) + 8 * BATCH_VALUES * 4 + grams;
}

/** Values of the widest activation that are computed at once: fixed, so that sums have one order on every machine. */
export const BATCH_VALUES = 1 << 23;
