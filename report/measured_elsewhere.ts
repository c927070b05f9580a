/**
 * Numbers that were measured with other programs on the weights, calibration windows and held-out windows of our own runs, to stand beside
 * them. Not what papers print, which is `published.ts`.
 */

/** A model on which they were measured. */
export interface ReferenceModel {
  readonly id: string;
  readonly title: string;
  /** Part of the model's name in our runs, in small letters. */
  readonly label: string;
  /** Uncompressed, on the windows below: another number tells that runs were measured on others. */
  readonly original: number;
  readonly calibration: string;
  readonly evaluation: string;
}

/** A method's row. */
export interface MeasuredRow {
  readonly model: string;
  readonly method: string;
  readonly settings: string;
  /** `official`: the authors' own, of which only device calls and prints were removed; `plain`: an implementation in PyTorch of our own. */
  readonly code: "official" | "official, changed" | "plain";
  /** Names of our recipes or points that do the same. */
  readonly ours: readonly string[];
  readonly perplexity?: number;
  /** Mean over the layers of tr((W−Ŵ)H(W−Ŵ)ᵀ) / tr(WHWᵀ). */
  readonly layerError?: number;
  /** In the quantizer alone, PyTorch 2.13 on two threads. */
  readonly seconds?: number;
  readonly note?: string;
}

/** A file of llama.cpp. */
export interface LlamaCppRow {
  readonly model: string;
  /** Its name for the mixture of types. */
  readonly type: string;
  /** Bits per weight: all bytes of the blocks' linear tensors. */
  readonly bits: number;
  /** Of the file. */
  readonly bytes?: number;
  readonly perplexity: number;
}

/** The models, and the protocol on each. */
export const REFERENCE_MODELS: readonly ReferenceModel[] = [
  {
    id: "tiny-llama",
    title: "the quickstart's LLaMA (5.2 M parameters)",
    label: "tiny-llama",
    original: 24.898,
    calibration: "all 128 windows of 256 tokens",
    evaluation: "all 200 held-out windows of 256 tokens",
  },
  {
    id: "smollm2-135m",
    title: "SmolLM2-135M-Instruct",
    label: "smollm2-135m",
    original: 23.515,
    calibration: "the first 32 windows of 512 tokens",
    evaluation: "the first 24 windows of 1024 tokens of WikiText-2's test text",
  },
];

/** By method; a note says where only the time was measured. */
export const MEASURED_ROWS: readonly MeasuredRow[] = [
  {
    model: "tiny-llama",
    method: "billm",
    settings: "hessian metric, block 128",
    code: "official",
    ours: ["billm"],
    perplexity: 48.884,
    layerError: 0.094951,
    seconds: 25.0,
  },
  {
    model: "tiny-llama",
    method: "arb-llm",
    settings: "arb, no column groups, hessian metric",
    code: "official",
    ours: ["arb"],
    perplexity: 42.602,
    layerError: 0.077874,
    seconds: 35.4,
  },
  {
    model: "tiny-llama",
    method: "arb-llm",
    settings: "arb, with column groups, hessian metric",
    code: "official",
    ours: ["arb-cgb"],
    perplexity: 40.824,
    layerError: 0.071909,
    seconds: 59.4,
  },
  {
    model: "tiny-llama",
    method: "arb-llm",
    settings: "arb-rc, with column groups, hessian metric",
    code: "official",
    ours: ["arb-rc-cgb"],
    perplexity: 39.057,
    layerError: 0.06933,
    seconds: 61.3,
  },
  {
    model: "tiny-llama",
    method: "arb-llm",
    settings: "arb-rc, no column groups, hessian metric",
    code: "official",
    ours: ["arb-rc"],
    perplexity: 40.261,
    layerError: 0.077038,
    seconds: 38.5,
  },
  {
    model: "tiny-llama",
    method: "arb-llm",
    settings: "arb-x, with column groups, hessian metric",
    code: "official",
    ours: ["arb-x-cgb"],
    perplexity: 40.141,
    layerError: 0.068448,
    seconds: 319.1,
  },
  {
    model: "tiny-llama",
    method: "stbllm",
    settings: "4:8, as released; its layer error, 0.0875, is against the pruned weights",
    code: "official",
    ours: ["stbllm-4of8-released"],
    perplexity: 133.541,
    seconds: 39.2,
  },
  {
    model: "tiny-llama",
    method: "stbllm",
    settings:
      "4:8, as released, output masked again by the pruning mask; its layer error, 0.0815, is against the pruned weights",
    code: "official, changed",
    ours: ["stbllm-4of8-masked-again"],
    perplexity: 135.76,
    seconds: 35.5,
  },
  {
    model: "tiny-llama",
    method: "stbllm",
    settings: "6:8, as released; its layer error, 0.0743, is against the pruned weights",
    code: "official",
    ours: ["stbllm-6of8-released"],
    perplexity: 50.205,
    seconds: 42.0,
  },
  {
    model: "tiny-llama",
    method: "billm",
    settings: "columns and segments searched on weights, not on scores",
    code: "plain",
    ours: ["billm-weights"],
    perplexity: 35.893,
    layerError: 0.063813,
    seconds: 5.1,
  },
  {
    model: "tiny-llama",
    method: "gptq",
    settings: "2 bits, groups of 128",
    code: "plain",
    ours: ["gptq-2"],
    perplexity: 57.856,
    layerError: 0.103103,
    seconds: 1.3,
  },
  {
    model: "tiny-llama",
    method: "gptq",
    settings: "3 bits, groups of 128",
    code: "plain",
    ours: ["gptq-3"],
    perplexity: 27.734,
    layerError: 0.017236,
    seconds: 1.2,
  },
  {
    model: "tiny-llama",
    method: "rtn",
    settings: "2 bits, groups of 128",
    code: "plain",
    ours: ["rtn-2"],
    perplexity: 76.212,
    layerError: 0.141861,
    seconds: 0.1,
  },
  {
    model: "tiny-llama",
    method: "gptq",
    settings: "3 bits, groups of 128, target: original, propagation 0.5",
    code: "plain",
    ours: ["gptq-3-target"],
    perplexity: 26.819,
    layerError: 0.016998,
  },
  {
    model: "tiny-llama",
    method: "gptq",
    settings: "2 bits, groups of 128, target: original, propagation 0.5",
    code: "plain",
    ours: ["gptq-2-target"],
    perplexity: 43.146,
    layerError: 0.097146,
  },
  {
    model: "smollm2-135m",
    method: "billm",
    settings: "hessian metric, block 128",
    code: "official",
    ours: ["reference-smollm2-135m-billm"],
    perplexity: 12749.212,
    layerError: 0.087031,
    seconds: 440.8,
  },
  {
    model: "smollm2-135m",
    method: "arb-llm",
    settings: "arb-rc, with column groups, hessian metric",
    code: "official",
    ours: ["arb-rc-cgb"],
    seconds: 935.8,
    note: "seconds extrapolated from 3 of 30 blocks",
  },
  {
    model: "smollm2-135m",
    method: "arb-llm",
    settings: "arb-x, with column groups, hessian metric",
    code: "official",
    ours: ["arb-x-cgb"],
    seconds: 9199.1,
    note: "seconds extrapolated from 1 of 30 blocks",
  },
  {
    model: "smollm2-135m",
    method: "stbllm",
    settings: "4:8, as released",
    code: "official",
    ours: ["stbllm-4of8-released"],
    seconds: 682.7,
    note: "seconds extrapolated from 3 of 30 blocks",
  },
  {
    model: "smollm2-135m",
    method: "gptq",
    settings: "2 bits, groups of 128",
    code: "plain",
    ours: ["reference-smollm2-135m-gptq-2"],
    perplexity: 150842.547,
    layerError: 0.141589,
    seconds: 25.2,
  },
  {
    model: "smollm2-135m",
    method: "gptq",
    settings: "3 bits, groups of 128",
    code: "plain",
    ours: ["reference-smollm2-135m-gptq-3"],
    perplexity: 99.668,
    layerError: 0.017417,
    seconds: 22.9,
  },
  {
    model: "smollm2-135m",
    method: "gptq",
    settings: "3 bits, groups of 128, inputs: original",
    code: "plain",
    ours: ["reference-smollm2-135m-gptq-3-original"],
    perplexity: 159.805,
    layerError: 0.017195,
    seconds: 23.4,
  },
  {
    model: "smollm2-135m",
    method: "rtn",
    settings: "2 bits, groups of 128",
    code: "plain",
    ours: ["reference-smollm2-135m-rtn-2"],
    perplexity: 2724142.305,
    layerError: 0.222534,
    seconds: 2.7,
  },
];

/** Of the llama-cpp-python 0.3.36 source package, on CPU, with an importance matrix of the calibration windows; embeddings in float32. */
export const LLAMA_CPP_ROWS: readonly LlamaCppRow[] = [
  { model: "tiny-llama", type: "Q4_K_M", bits: 4.701, perplexity: 25.1447 },
  { model: "tiny-llama", type: "Q3_K_M", bits: 3.85, perplexity: 25.6937 },
  { model: "tiny-llama", type: "Q3_K_S", bits: 3.438, perplexity: 26.2981 },
  { model: "tiny-llama", type: "Q2_K", bits: 2.93, perplexity: 28.4591 },
  { model: "tiny-llama", type: "IQ3_XXS", bits: 3.031, perplexity: 27.2974 },
  { model: "tiny-llama", type: "IQ2_M", bits: 2.672, perplexity: 29.4697 },
  { model: "tiny-llama", type: "IQ2_S", bits: 2.453, perplexity: 31.7388 },
  { model: "tiny-llama", type: "IQ2_XS", bits: 2.326, perplexity: 31.9304 },
  { model: "tiny-llama", type: "IQ2_XXS", bits: 2.086, perplexity: 35.1969 },
  { model: "tiny-llama", type: "IQ1_M", bits: 1.812, perplexity: 47.7931 },
  { model: "tiny-llama", type: "IQ1_S", bits: 1.648, perplexity: 53.6246 },
  { model: "tiny-llama", type: "TQ1_0", bits: 1.688, perplexity: 1081.5539 },
  { model: "tiny-llama", type: "TQ2_0", bits: 2.062, perplexity: 1081.5539 },
  { model: "smollm2-135m", type: "Q2_K", bits: 4.234, bytes: 88201984, perplexity: 27.9975 },
  { model: "smollm2-135m", type: "IQ2_XS", bits: 3.961, bytes: 84573184, perplexity: 34.7078 },
  { model: "smollm2-135m", type: "Q3_K_M", bits: 4.634, bytes: 93510400, perplexity: 25.4504 },
  { model: "smollm2-135m", type: "Q4_K_M", bits: 5.534, bytes: 105454336, perplexity: 24.2859 },
  { model: "smollm2-135m", type: "IQ3_XXS", bits: 4.141, bytes: 86957824, perplexity: 27.9996 },
  { model: "smollm2-135m", type: "IQ2_M", bits: 4.037, bytes: 85589248, perplexity: 31.6659 },
  { model: "smollm2-135m", type: "Q3_K_S", bits: 4.234, bytes: 88201984, perplexity: 27.9975 },
  { model: "smollm2-135m", type: "IQ1_M", bits: 3.834, bytes: 82893568, perplexity: 54.0239 },
];
