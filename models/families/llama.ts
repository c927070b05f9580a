/**
 * LLaMA (Touvron et al. 2302.13971): LLaMA 1/2/3, SmolLM2, TinyLlama, Vicuna.
 *
 * llama.cpp calls other models of the same shape `llama` too; they are read as what they are.
 */
import { decoderGguf } from "../decoder_gguf.ts";
import { flag, only } from "../config_fields.ts";
import { rotaryDecoder } from "../rotary_decoder.ts";
import type { LinearRole } from "../spec.ts";
import type { Family } from "./family.ts";

const ATTENTION: readonly LinearRole[] = ["query", "key", "value", "output"];
const MLP: readonly LinearRole[] = ["gate", "up", "down"];

/** The family. */
export const llama: Family = {
  title: "LLaMA",
  modelType: "llama",
  className: "LlamaForCausalLM",
  spec(config) {
    only(config, "sliding_window", [null], null);
    const attention = flag(config, "attention_bias", false);
    const mlp = flag(config, "mlp_bias", false);
    return rotaryDecoder(config, {
      family: "llama",
      biases: [...attention ? ATTENTION : [], ...mlp ? MLP : []],
      headNorms: false,
      window: null,
      defaults: { maxPositions: 2048 },
    });
  },
  gguf: decoderGguf({
    architecture: "llama",
    accepts: ({ slides }) => !slides,
    config: { architectures: ["LlamaForCausalLM"], model_type: "llama" },
    interleaved: true,
    headNorms: false,
  }),
};
