/** Fields of a config, read with their bounds: sizes are checked here, before anything is allocated for them. */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { found, shown } from "../files/clear_text.ts";
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
        `Cannot read the model as only ${SUPPORTED_ROPE} rotary scalings are supported: found ${shown(type)}`,
      );
  }
}

/** Ids of the tokens that begin and end a text. @throws {InputError} ids that are none */
export function specialTokens(config: JsonObject): Pick<ModelSpec, "bos" | "eos"> {
  return { bos: tokenIds(config, "bos_token_id")[0], eos: tokenIds(config, "eos_token_id") };
}

/** One id, a list of them, or none. */
function tokenIds(config: JsonObject, key: string): number[] {
  const value = config[key] ?? [], ids: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (ids.every((id): id is number => Number.isSafeInteger(id) && Number(id) >= 0)) return [...ids];
  throw new InputError(`Cannot read the model as ${key} must be a token id or a list of them: ${found(value)}`);
}

/** A positive integer. @throws {InputError} another value, or none where there is no fallback */
export function size(config: JsonObject, key: string, limit: number, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= limit) return value;
  throw new InputError(
    `Cannot read the model as ${key} must be an integer from 1 to ${limit}: ${found(value)}`,
  );
}

/** A positive number. @throws {InputError} another value, or none where there is no fallback */
export function real(config: JsonObject, key: string, fallback?: number): number {
  const value = config[key] ?? fallback;
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  throw new InputError(
    `Cannot read the model as ${key} must be a positive number: ${found(value)}`,
  );
}

/** True or false. @throws {InputError} another value */
export function flag(config: JsonObject, key: string, fallback: boolean): boolean {
  const value = config[key] ?? fallback;
  if (typeof value === "boolean") return value;
  throw new InputError(
    `Cannot read the model as ${key} must be true or false: ${found(value)}`,
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
  throw new InputError(`Cannot read the model as ${key} must be ${list}: ${found(value)}`);
}
