/** Perplexities on WikiText-2 as papers print them, to stand beside ours where the model is the same. */

/** A table's row, or a group of ablations. */
export interface PublishedRow {
  readonly method: string;
  /** Bits per weight as the paper counts. */
  readonly nominal: number;
  /** By model, see `PUBLISHED_MODELS`. */
  readonly perplexity: Readonly<Record<string, number>>;
  /** Names of our recipes or points that do the same. */
  readonly ours: readonly string[];
  readonly time?: string;
}

/** An ablation: settings and their perplexities. */
export interface PublishedAblation {
  readonly what: string;
  readonly rows: readonly (readonly [string, number])[];
}

/** A model of the papers. */
export interface PublishedModel {
  readonly id: string;
  readonly title: string;
  /** Part of the model's name in our runs, in small letters. */
  readonly label: string;
}

/** Where the numbers stand. */
export const SOURCE = "PBS²P, arXiv 2502.01705, WikiText-2 in windows of 2048 tokens";

/** The models, in the table's order. */
export const PUBLISHED_MODELS: readonly PublishedModel[] = [
  { id: "llama-7b", title: "LLaMA-1 7B", label: "huggyllama/llama-7b" },
  { id: "llama-2-7b", title: "LLaMA-2 7B", label: "llama-2-7b" },
  { id: "llama-3-8b", title: "LLaMA-3 8B", label: "llama-3-8b" },
  { id: "opt-1.3b", title: "OPT-1.3B", label: "opt-1.3b" },
];

/** Perplexities in the models' order; rows of one method by nominal bits. */
export const PUBLISHED_ROWS: readonly PublishedRow[] = [
  row("uncompressed", 16, [5.68, 5.47, 6.14, 14.62], []),
  row("GPTQ, groups of 128", 3, [8.63, 6.44, 18.68, 16.45], ["gptq-3"]),
  row("BiLLM", 1.11, [49.79, 32.31, 55.8, 69.05], ["billm"], "about 0.5 h, A100"),
  row("ARB-LLM (rc)", 1.11, [14.03, 16.44, 27.42, 26.63], ["arb-rc-cgb"], "about 0.8 h"),
  row("STBLLM 6:8", 0.8, [15.03, 13.06, 33.44, 29.84], ["stbllm-6of8"], "1.8 h, RTX 4090"),
  row("STBLLM 5:8", 0.7, [19.48, 18.74, 49.12, 33.01], ["stbllm-5of8"]),
  row("STBLLM 4:8", 0.55, [31.72, 27.93, 253.76, 45.11], ["stbllm-4of8"]),
  row("PBS²P 6:8", 0.8, [7.36, 7.17, 10.75, 23.72], ["pbs2p-6of8", "llama7b-6of8"], "111 min, A800"),
  row("PBS²P 5:8", 0.7, [8.09, 8, 12.29, 27.1], ["pbs2p-5of8", "llama7b-5of8"]),
  row("PBS²P 4:8", 0.55, [10.78, 10.64, 17.45, 44.53], [
    ...["pbs2p-4of8", "llama7b-4of8", "llama2-7b-4of8", "llama3-8b-4of8", "opt-1.3b-4of8"],
  ]),
];

/** On LLaMA-1 7B at 4:8. */
export const PUBLISHED_ABLATIONS: readonly PublishedAblation[] = [
  { what: "SPBO", rows: [["without", 14.43], ["with", 10.78]] },
  { what: "group size", rows: [["64", 10.24], ["128", 10.78], ["256", 11.2], ["512", 11.91]] },
  { what: "coarse search", rows: [["none", 11.55], ["RI", 14.43], ["LR", 10.78]] },
  { what: "pruning", rows: [["structured", 621.16], ["unstructured", 8.54], ["semi-structured", 10.78]] },
  {
    what: "metric",
    rows: [["random", 7779], ["magnitude", 38.9], ["Wanda", 10.89], ["SI", 196.61], ["Hessian", 10.78]],
  },
  { what: "split points", rows: [["1", 13.41], ["2", 10.78], ["3", 10.55]] },
];

function row(
  method: string,
  nominal: number,
  numbers: readonly number[],
  ours: readonly string[],
  time?: string,
): PublishedRow {
  const perplexity = Object.fromEntries(PUBLISHED_MODELS.map(({ id }, place) => [id, numbers[place]]));
  return { method, nominal, perplexity, ours, ...(time === undefined ? {} : { time }) };
}
