/** Fields of a config, read with their bounds: sizes are checked here, before anything is allocated for them. */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import type { ModelSpec, RopeScaling } from "./spec.ts";

const SUPPORTED_ROPE = '"default", "linear", "dynamic" and "llama3"';

/** Largest accepted values; the largest released models stay below a quarter of each. */
export const LIMITS = {
  hidden: 65_536,
  ffn: 262_144,
  blocks: 1_024,
  heads: 1_024,
  headDim: 1_024,
  vocab: 1_048_576,
  maxPositions: 16_777_216,
} as const;

/**
 * How rotary frequencies are stretched.
 *
 * @param rope `rope_parameters` or `rope_scaling`
 * @param maxPositions the config's `max_position_embeddings`
 * @throws {InputError} another kind of scaling than the four known ones
 */
export function ropeScaling(rope: JsonObject, maxPositions: number): RopeScaling {
  const type = rope.rope_type ?? rope.type ?? "default";
  const factor = () => real(rope, "factor");
  const original = (fallback?: number) => size(rope, "original_max_position_embeddings", LIMITS.maxPositions, fallback);
  switch (type) {
    case "default":
      return { type: "default" };
    case "linear":
      return { type: "linear", factor: factor() };
    case "dynamic":
      return { type: "dynamic", factor: factor(), originalMaxPositions: original(maxPositions) };
    case "llama3":
      return {
        type: "llama3",
        factor: factor(),
        lowFrequencyFactor: real(rope, "low_freq_factor"),
        highFrequencyFactor: real(rope, "high_freq_factor"),
        originalMaxPositions: original(),
      };
    default:
      throw new InputError(
        `Cannot read the model as only ${SUPPORTED_ROPE} rotary scalings are supported: found ${JSON.stringify(type)}`,
      );
  }
}

/** Ids of the tokens that begin and end a text. */
export function specialTokens(config: JsonObject): Pick<ModelSpec, "bos" | "eos"> {
  const eos = config.eos_token_id;
  return {
    bos: typeof config.bos_token_id === "number" ? config.bos_token_id : undefined,
    eos: (Array.isArray(eos) ? eos : [eos]).filter((id): id is number => typeof id === "number"),
  };
}

/** A positive integer. @throws {InputError} another value, or none where there is no fallback */
export function size(config: JsonObject, key: string, limit: number, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= limit) return value;
  throw new InputError(
    `Cannot read the model as ${key} must be an integer from 1 to ${limit}: current value is ${JSON.stringify(value)}`,
  );
}

/** A positive number. @throws {InputError} another value, or none where there is no fallback */
export function real(config: JsonObject, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  throw new InputError(
    `Cannot read the model as ${key} must be a positive number: current value is ${JSON.stringify(value)}`,
  );
}

/** True or false. @throws {InputError} another value */
export function flag(config: JsonObject, key: string, fallback: boolean): boolean {
  const value = config[key] ?? fallback;
  if (typeof value === "boolean") return value;
  throw new InputError(
    `Cannot read the model as ${key} must be true or false: current value is ${JSON.stringify(value)}`,
  );
}

/** An object, or undefined where there is none. */
export function object(config: JsonObject, key: string): JsonObject | undefined {
  const value = config[key];
  return typeof value === "object" && value !== null && !Array.isArray(value) ? value as JsonObject : undefined;
}

/** Checks that a field has one of the values that are implemented. @throws {InputError} another value */
export function only(config: JsonObject, key: string, allowed: readonly unknown[], fallback: unknown): void {
  const value = config[key] ?? fallback;
  if (allowed.includes(value)) return;
  const list = allowed.map((item) => JSON.stringify(item)).join(" or ");
  throw new InputError(`Cannot read the model as ${key} must be ${list}: current value is ${JSON.stringify(value)}`);
}
