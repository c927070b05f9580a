/** A model's tensors under llama.cpp's names: what `checkpoints/gguf_layout.ts` reads, the other way round. */
import { InputError } from "../files/input_error.ts";
import { familyGguf } from "../models/family_gguf.ts";
import type { LinearRole, ModelSpec } from "../models/spec.ts";
import { modelShapes } from "../models/tensors.ts";
import type { Exportable } from "./job.ts";

/** Where a tensor goes. */
export interface GgufPlace {
  readonly name: string;
  /** Heads whose rows llama.cpp interleaves; 0 where they lie in Hugging Face's order. */
  readonly heads: number;
}

/** Linears whose biases llama.cpp reads, by architecture. Source: `create_tensor_qkv` and `src/models/{llama,qwen2,qwen3}.cpp` of llama.cpp. */
const BIASED: Readonly<Record<string, readonly LinearRole[]>> = {
  llama: ["query", "key", "value", "output", "gate", "up", "down"],
  qwen2: ["query", "key", "value"],
  qwen3: ["query", "key", "value"],
};

/**
 * llama.cpp's name of each tensor of a model, in the order they are written.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { fitModel } from "../models/fit.ts";
 * import { openModel } from "../models/open_model.ts";
 *
 * const fitted = await fitModel(await openModel({ path: "configs/models/tiny-llama" }));
 * const names = ggufNames({ ...fitted, name: "tiny-llama" });
 * assert.deepEqual(names.get("model.layers.0.self_attn.k_proj.weight"), { name: "blk.0.attn_k.weight", heads: 4 });
 * fitted.checkpoint.close();
 * ```
 * @returns by Hugging Face's name
 * @throws {InputError} when llama.cpp does not know such a model
 */
export function ggufNames({ spec, name: label }: Pick<Exportable, "spec" | "name">): ReadonlyMap<string, GgufPlace> {
  const layout = familyGguf(spec);
  const refuse = (why: string): never => {
    throw new InputError(`Cannot export ${label} as GGUF: ${why}; use --format safetensors`);
  };
  if (layout === undefined) return refuse(`llama.cpp has no models of family ${spec.family}`);
  checkKnown(spec, layout.architecture, refuse);
  const { frame, block, prefix, interleaved } = layout;
  const outside = new Map(Object.entries(frame).map(([gguf, name]) => [name, gguf]));
  const parts = new Map(Object.entries(block).map(([gguf, part]) => [part, gguf]));
  const heads = (part: string) => {
    const key = Object.hasOwn(interleaved, part) ? interleaved[part] : undefined;
    return key === undefined ? 0 : key.endsWith("_kv") ? spec.kvHeads : spec.heads;
  };
  return new Map([...modelShapes(spec).keys()].map((name) => {
    const gguf = outside.get(name);
    if (gguf !== undefined) return [name, { name: gguf, heads: 0 }];
    const [, index, part = "", kind] = /^(\d+)\.(.+)\.(weight|bias)$/.exec(name.slice(prefix.length)) ?? [];
    const known = name.startsWith(prefix) ? parts.get(part) : undefined;
    if (known === undefined) return refuse(`llama.cpp has no place for the tensor "${name}"`);
    return [name, { name: `blk.${index}.${known}.${kind}`, heads: heads(known) }];
  }));
}

function checkKnown(spec: ModelSpec, architecture: string, refuse: (why: string) => never): void {
  const bias = spec.block.biases.find((role) => !BIASED[architecture]?.includes(role));
  if (bias !== undefined) refuse(`llama.cpp's ${architecture} has no bias on ${spec.block.linears[bias]}`);
  if (spec.ropeScaling.type === "dynamic") refuse("llama.cpp has no dynamic scaling of rotary positions");
  if (architecture === "qwen2" && spec.heads * spec.headDim !== spec.hidden) {
    refuse(`llama.cpp's qwen2 has heads of ${spec.hidden / spec.heads} dimensions, and these have ${spec.headDim}`);
  }
}
