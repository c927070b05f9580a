/** What every source of weights offers, whatever its format: safetensors, PyTorch's files, GGUF or our packed file. */

/** A JSON object, as configs and metadata are. */
export type JsonObject = Readonly<Record<string, unknown>>;

/**
 * One tensor as a checkpoint stores it.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCheckpoint } from "./open.ts";
 * import type { TensorInfo } from "./checkpoint.ts";
 *
 * const checkpoint = await openCheckpoint({ path: "configs/models/tiny-llama" });
 * const norm: TensorInfo | undefined = checkpoint.tensors.get("model.norm.weight");
 * assert.deepEqual(norm?.shape, [256]);
 * checkpoint.close();
 * ```
 */
export interface TensorInfo {
  readonly name: string;
  /** Stored type: F32, F16, BF16, Q4_1, …, or `PBS2P` for a packed layer. */
  readonly dtype: string;
  /** Hugging Face layout: [outputs, inputs] for a linear layer. */
  readonly shape: readonly number[];
  /** Stored bytes. */
  readonly bytes: number;
}

/** The files that older models have instead of a tokenizer.json. Those that a model lacks are empty objects. */
export interface VocabFiles {
  /** For messages. */
  readonly label: string;
  /** vocab.json: id by token. */
  readonly vocab: JsonObject;
  /** merges.txt: two tokens a line, the earliest merge first. */
  readonly merges: string;
  /** tokenizer_config.json. */
  readonly config: JsonObject;
  /** special_tokens_map.json; what it says goes before what the config says. */
  readonly special: JsonObject;
  /** added_tokens.json: id by token. */
  readonly added: JsonObject;
}

/** What a packed model keeps of a tokenizer: tokenizer.json and its config, or GGUF metadata (`tokenizer.ggml.*`). */
export type StoredTokenizer =
  | { readonly kind: "files"; readonly tokenizer: JsonObject; readonly config: JsonObject }
  | { readonly kind: "gguf"; readonly metadata: JsonObject };

/**
 * Where a tokenizer comes from: what a packed model could keep, or vocab.json and merges.txt as they are.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openTokenizer } from "../tokenizers/tokenizer.ts";
 * import type { TokenizerSource } from "./checkpoint.ts";
 *
 * const files = { label: "tiny", vocab: { h: 0, i: 1, hi: 2 }, merges: "h i", config: {}, special: {}, added: {} };
 * const source: TokenizerSource = { kind: "vocab", files };
 * assert.deepEqual([...openTokenizer(source).encode("hi")], [2]);
 * ```
 */
export type TokenizerSource = StoredTokenizer | { readonly kind: "vocab"; readonly files: VocabFiles };

/**
 * Weights on disk, read one tensor at a time; names and layout are always Hugging Face's.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCheckpoint } from "./open.ts";
 * import type { Checkpoint } from "./checkpoint.ts";
 *
 * const checkpoint: Checkpoint = await openCheckpoint({ path: "configs/models/tiny-llama" });
 * assert.equal(checkpoint.format, "safetensors");
 * const values = await checkpoint.read("model.norm.weight");
 * assert.ok(values.every(Number.isFinite));
 * assert.match(await checkpoint.identity(["model.norm.weight"]), /^[0-9a-f]{64}$/);
 * checkpoint.close();
 * ```
 */
export interface Checkpoint {
  readonly format: "safetensors" | "pytorch" | "gguf" | "packed";
  /** For people: hub id and revision, or the folder's or file's name. Never part of a content key. */
  readonly label: string;
  /** config.json, or the same keys rebuilt from GGUF metadata. */
  readonly config: JsonObject;
  /** generation_config.json, or the same keys rebuilt from GGUF metadata; undefined where the model has none. */
  readonly generation?: JsonObject;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly tokenizer: TokenizerSource | undefined;
  /** Bytes of all weight files. */
  readonly bytes: number;
  /** Whether weights are present (false when opened from a hub for planning: only headers are). */
  readonly local: boolean;
  /**
   * Content hash (hex sha256) of the files that hold these tensors, combined with the tensors' names; never of paths or times.
   * @param names tensors, as in `tensors`
   */
  identity(names: readonly string[]): Promise<string>;
  /**
   * One tensor in float32.
   * @throws {InputError} unknown tensor; file shorter than its header says; NaN or infinity in the values
   */
  read(name: string): Promise<Float32Array>;
  /**
   * Whether two tensors are stored alike: type, shape and bytes. Both are read in pieces, to the first that differs; where
   * weights are not here (`local` is false), a few kilobytes of each stand for all.
   * @throws {InputError} unknown tensor; file shorter than its header says
   */
  same(a: string, b: string): Promise<boolean>;
  close(): void;
}
