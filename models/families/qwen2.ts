/** Qwen2 and Qwen2.5 (Yang et al. 2407.10671), and what was distilled into them: biases on queries, keys and values. */
import { decoderGguf } from "../decoder_gguf.ts";
import { layeredWindow, rotaryDecoder } from "../rotary_decoder.ts";
import type { Family } from "./family.ts";

/** The family. */
export const qwen2: Family = {
  title: "Qwen2",
  modelType: "qwen2",
  className: "Qwen2ForCausalLM",
  spec: (config) =>
    rotaryDecoder(config, {
      family: "qwen2",
      biases: ["query", "key", "value"],
      headNorms: false,
      window: layeredWindow(config),
      defaults: { maxPositions: 32_768, kvHeads: 32 },
    }),
  gguf: decoderGguf({
    architecture: "qwen2",
    config: { architectures: ["Qwen2ForCausalLM"], model_type: "qwen2" },
    interleaved: false,
    headNorms: false,
  }),
};
