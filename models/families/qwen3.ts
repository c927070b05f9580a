/** Qwen3 (Yang et al. 2505.09388), dense: every head's query and key is normalised; the size of heads is free. */
import { decoderGguf } from "../decoder_gguf.ts";
import { flag } from "../config_fields.ts";
import { layeredWindow, rotaryDecoder } from "../rotary_decoder.ts";
import type { Family } from "./family.ts";

/** The family. */
export const qwen3: Family = {
  title: "Qwen3",
  modelType: "qwen3",
  className: "Qwen3ForCausalLM",
  spec: (config) =>
    rotaryDecoder(config, {
      family: "qwen3",
      biases: flag(config, "attention_bias", false) ? ["query", "key", "value", "output"] : [],
      headNorms: true,
      window: layeredWindow(config),
      defaults: { maxPositions: 32_768, kvHeads: 32, headDim: 128 },
    }),
  gguf: decoderGguf({
    architecture: "qwen3",
    config: { architectures: ["Qwen3ForCausalLM"], model_type: "qwen3" },
    interleaved: false,
    headNorms: true,
  }),
};
