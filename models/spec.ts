/** The shape of a model, read from its config, as everything else here needs it. */

/** How rotary frequencies are stretched (config `rope_scaling` / `rope_parameters`). */
export type RopeScaling =
  | { readonly type: "default" }
  | { readonly type: "linear"; readonly factor: number }
  | { readonly type: "dynamic"; readonly factor: number; readonly originalMaxPositions: number }
  | {
    readonly type: "llama3";
    readonly factor: number;
    readonly lowFrequencyFactor: number;
    readonly highFrequencyFactor: number;
    readonly originalMaxPositions: number;
  };

/** One linear layer of a block. */
export interface LinearSpec {
  /** Full name without `.weight`, e.g. `model.layers.0.self_attn.q_proj`. */
  readonly name: string;
  /** Outputs. */
  readonly rows: number;
  /** Inputs. */
  readonly cols: number;
  /** Linears of one block with the same `input` share their S: `attention`, `output`, `mlp`, `down` (LLaMA). */
  readonly input: string;
}

/** A supported model. */
export interface ModelSpec {
  readonly architecture: "llama" | "opt";
  readonly hidden: number;
  readonly ffn: number;
  readonly blocks: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocab: number;
  readonly maxPositions: number;
  readonly eps: number;
  readonly tied: boolean;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  /** Biases: on q,k,v / o / MLP linears. OPT has all of them. */
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  /** OPT: normalise before (true) or after attention and MLP (350M). */
  readonly preNorm: boolean;
  /** OPT: width of the token embedding where it differs from `hidden` (350M). */
  readonly embedding: number;
  readonly bos: number | undefined;
  readonly eos: readonly number[];
}
