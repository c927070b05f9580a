/** OPT (Zhang et al. 2205.01068), 125M to 66B, the post-norm 350M included: learned positions, biases, ReLU. */
import { flag, LIMITS, only, size, specialTokens } from "../config_fields.ts";
import { HEAD, LINEAR_ROLES } from "../spec.ts";
import type { Family } from "./family.ts";

const LINEARS = {
  query: "self_attn.q_proj",
  key: "self_attn.k_proj",
  value: "self_attn.v_proj",
  output: "self_attn.out_proj",
  gate: null,
  up: "fc1",
  down: "fc2",
} as const;
const BIASED = LINEAR_ROLES.filter((role) => LINEARS[role] !== null);
const TOKENS = "model.decoder.embed_tokens.weight";

/** The family. */
export const opt: Family = {
  title: "OPT",
  modelType: "opt",
  className: "OPTForCausalLM",
  spec(config) {
    const hidden = size(config, "hidden_size", LIMITS.hidden);
    const heads = size(config, "num_attention_heads", LIMITS.heads);
    const embedding = size(config, "word_embed_proj_dim", LIMITS.hidden, hidden);
    const tied = flag(config, "tie_word_embeddings", true);
    const preNorm = flag(config, "do_layer_norm_before", true);
    only(config, "activation_function", ["relu"], "relu");
    only(config, "layer_norm_elementwise_affine", [true], true);
    only(config, "_remove_final_layer_norm", [false], false);
    return {
      family: "opt",
      hidden,
      ffn: size(config, "ffn_dim", LIMITS.ffn),
      blocks: size(config, "num_hidden_layers", LIMITS.blocks),
      heads,
      kvHeads: heads,
      headDim: size({ head_dim: hidden / heads }, "head_dim", LIMITS.headDim),
      vocab: size(config, "vocab_size", LIMITS.vocab),
      maxPositions: size(config, "max_position_embeddings", LIMITS.maxPositions, 2048),
      window: null,
      eps: 1e-5,
      tied,
      ropeTheta: 0,
      ropeScaling: { type: "default" },
      embedding,
      norm: "layer",
      block: {
        prefix: "model.decoder.layers.",
        linears: LINEARS,
        biases: flag(config, "enable_bias", true) ? BIASED : [],
        norms: { attention: "self_attn_layer_norm", mlp: "final_layer_norm" },
        headNorms: null,
        preNorm,
        activation: "relu",
      },
      frame: {
        tokens: TOKENS,
        positions: { table: "model.decoder.embed_positions.weight", offset: 2 },
        projections: embedding === hidden
          ? null
          : { into: "model.decoder.project_in.weight", out: "model.decoder.project_out.weight" },
        finalNorm: preNorm ? "model.decoder.final_layer_norm" : null,
        head: tied ? TOKENS : HEAD,
      },
      ...specialTokens(config),
    };
  },
  gguf: null,
};
