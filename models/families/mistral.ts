/** Mistral (Jiang et al. 2310.06825): LLaMA's decoder, whose attention may slide. */
import { decoderGguf } from "../decoder_gguf.ts";
import { LIMITS, size } from "../config_fields.ts";
import { rotaryDecoder } from "../rotary_decoder.ts";
import type { Family } from "./family.ts";

/** What transformers takes where config.json names no window; `null` there means that attention does not slide. */
const DEFAULT_WINDOW = 4096;

/** The family. */
export const mistral: Family = {
  title: "Mistral",
  modelType: "mistral",
  className: "MistralForCausalLM",
  spec: (config) =>
    rotaryDecoder(config, {
      family: "mistral",
      biases: [],
      headNorms: false,
      window: config.sliding_window === null
        ? null
        : size(config, "sliding_window", LIMITS.maxPositions, DEFAULT_WINDOW),
      defaults: { maxPositions: 131_072, kvHeads: 8 },
    }),
  // llama.cpp has no architecture of this name; files that do not say that attention slides are LLaMA's.
  gguf: decoderGguf({
    architecture: "llama",
    accepts: ({ slides }) => slides,
    config: { architectures: ["MistralForCausalLM"], model_type: "mistral" },
    interleaved: true,
    headNorms: false,
  }),
};
