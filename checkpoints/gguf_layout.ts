/** How the GGUF files of one family of models are read in Hugging Face's names: what families declare, and nothing reads alone. */
import type { JsonObject, TensorInfo } from "./checkpoint.ts";
import { found } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";

/** An opened GGUF model, for rebuilding its config.json. */
export interface GgufModel {
  /** For people. */
  readonly label: string;
  readonly metadata: JsonObject;
  /** By Hugging Face's names. */
  readonly tensors: ReadonlyMap<string, Pick<TensorInfo, "shape">>;
  /** `rope_freqs.weight`: what each rotary frequency is divided by; undefined when the file has none. */
  readonly ropeFactors: Float32Array | undefined;
}

/** The GGUF files of one family. */
export interface GgufLayout {
  /** `general.architecture`; the metadata's keys begin with it. */
  readonly architecture: string;
  /** Whether a file is of this family, where several are filed under one architecture. Default: all are. */
  accepts?(metadata: JsonObject): boolean;
  /** Hugging Face's names of the tensors outside blocks, by GGUF's. */
  readonly frame: Readonly<Record<string, string>>;
  /** Hugging Face's name of a block's tensors before its index, with the dot. */
  readonly prefix: string;
  /** Hugging Face's names of a block's parts (without block and `.weight`), by GGUF's. */
  readonly block: Readonly<Record<string, string>>;
  /** Parts whose rows are interleaved within each head, and the metadata's key (after the architecture) of their heads. */
  readonly interleaved: Readonly<Record<string, string>>;
  /** Rebuilds config.json. @throws {InputError} when something is missing, or cannot be told from the file */
  config(model: GgufModel): JsonObject;
}

/**
 * Finds the layout of a file.
 *
 * @param layouts those that can be read
 * @throws {InputError} for other architectures and for mixtures of experts
 */
export function layoutOf(label: string, metadata: JsonObject, layouts: readonly GgufLayout[]): GgufLayout {
  const architecture = metadata["general.architecture"];
  const layout = layouts.find((each) => each.architecture === architecture && (each.accepts?.(metadata) ?? true));
  if (layout === undefined) {
    const known = [...new Set(layouts.map(({ architecture }) => architecture))].sort().join(" or ");
    throw new InputError(
      `Cannot open ${label}: the architecture of a GGUF file must be ${known}: ${found(architecture)}`,
    );
  }
  if (Number(metadata[`${architecture}.expert_count`] ?? 0) > 0) {
    throw new InputError(`Cannot open ${label}: mixtures of experts are not supported`);
  }
  return layout;
}

/** A GGUF tensor in Hugging Face's terms. */
export interface GgufName {
  readonly name: string;
  /** The metadata's key (after the architecture) of the heads whose rows are interleaved; undefined: rows lie in order. */
  readonly interleaved: string | undefined;
}

/**
 * Hugging Face's name of a GGUF tensor, or undefined when the family has no such tensor.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { huggingFaceName } from "./gguf_layout.ts";
 *
 * const layout = { frame: {}, prefix: "h.", block: { attn_q: "attn.q" }, interleaved: { attn_q: "attention.head_count" } };
 * const found = huggingFaceName(layout, "blk.3.attn_q.weight");
 * assert.deepEqual(found, { name: "h.3.attn.q.weight", interleaved: "attention.head_count" });
 * ```
 */
export function huggingFaceName(
  { frame, prefix, block, interleaved }: Pick<GgufLayout, "frame" | "prefix" | "block" | "interleaved">,
  name: string,
): GgufName | undefined {
  if (Object.hasOwn(frame, name)) return { name: frame[name], interleaved: undefined };
  const [, index, part, kind] = /^blk\.(\d+)\.(\w+)\.(weight|bias)$/.exec(name) ?? [];
  if (part === undefined || !Object.hasOwn(block, part)) return undefined;
  return {
    name: `${prefix}${index}.${block[part]}.${kind}`,
    interleaved: Object.hasOwn(interleaved, part) ? interleaved[part] : undefined,
  };
}
