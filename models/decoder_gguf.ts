/** GGUF files of rotary decoders: llama.cpp names their tensors alike whatever the architecture. */
import { configFromGguf, slides } from "../checkpoints/gguf_config.ts";
import type { GgufLayout, GgufModel } from "../checkpoints/gguf_layout.ts";
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import { DECODER_BLOCK, DECODER_FRAME } from "./rotary_decoder.ts";

/** What a family's files vary. */
export interface GgufVariant {
  /** `general.architecture`. */
  readonly architecture: string;
  /** Whether a file is of this family, where several are filed under one architecture. Default: all are. */
  accepts?(facts: { readonly slides: boolean }): boolean;
  /** What config.json has besides what the metadata says. */
  readonly config: JsonObject;
  /** Whether the converter interleaves the two rotary halves of queries and keys, as it does for architecture `llama`. */
  readonly interleaved: boolean;
  /** Whether every head's query and key is normalised. */
  readonly headNorms: boolean;
}

/** The layout of a family's GGUF files. */
export function decoderGguf({ architecture, accepts, config, interleaved, headNorms }: GgufVariant): GgufLayout {
  const { linears, norms, prefix, headNorms: heads } = DECODER_BLOCK;
  const { tokens, finalNorm, head } = DECODER_FRAME;
  return {
    architecture,
    accepts: (metadata) => accepts?.({ slides: slides(metadata, architecture) }) ?? true,
    frame: { "token_embd.weight": tokens, "output_norm.weight": `${finalNorm}.weight`, "output.weight": head },
    prefix,
    block: {
      attn_norm: norms.attention,
      attn_q: linears.query,
      attn_k: linears.key,
      attn_v: linears.value,
      attn_output: linears.output,
      ...(headNorms ? { attn_q_norm: heads.query, attn_k_norm: heads.key } : {}),
      ffn_norm: norms.mlp,
      ffn_gate: linears.gate,
      ffn_up: linears.up,
      ffn_down: linears.down,
    },
    interleaved: interleaved ? { attn_q: "attention.head_count", attn_k: "attention.head_count_kv" } : {},
    config(model) {
      // As config.json's flags mean them: all of a group. Single ones are found where the file is fitted.
      const biased = (...names: readonly string[]) =>
        names.every((name) => [...model.tensors.keys()].some((tensor) => tensor.endsWith(`${name}.bias`)));
      const { query, key, value, output, gate, up, down } = linears;
      return {
        ...config,
        ...configFromGguf(model, {
          architecture,
          vocab: vocabulary(model),
          tied: !model.tensors.has(head),
          attentionBias: biased(query, key, value, output),
          mlpBias: biased(gate, up, down),
        }),
      };
    },
  };
}

function vocabulary({ label, tensors }: GgufModel): number {
  const rows = tensors.get(DECODER_FRAME.tokens)?.shape[0];
  if (rows !== undefined) return rows;
  throw new InputError(`Cannot open ${label}: there is no tensor "${DECODER_FRAME.tokens}"`);
}
