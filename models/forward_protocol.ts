/** What the forward pass and its worker say to each other. */
import type { Gather } from "./graph_parts.ts";
import type { Segment } from "./segments.ts";
import type { ModelSpec } from "./spec.ts";

/** Sequences of equal length; hidden states are windows × length × hidden, row-major. */
export interface Windows {
  readonly windows: number;
  readonly length: number;
}

/** What a block is opened for. */
export interface BlockOptions {
  /** Whether runs say of which segments their windows are. Default: no; not with a cache. */
  readonly segmented?: boolean;
  /** What is gathered about the inputs of the linears. */
  readonly gather: Gather;
  /** Whether hidden states come out; without them the block's last linear is not computed. */
  readonly output: boolean;
  /** Whether keys and values are kept, so that each run continues the one window of the runs before. Default: no. */
  readonly cache?: boolean;
  /** The inputs about which something is gathered; default: all. Without output nothing is computed beyond the last of them. */
  readonly inputs?: readonly string[];
  /** Whether the output is compared with the input, token by token; it must then be wanted. Default: no. */
  readonly similarity?: boolean;
  /**
   * Whether the original model's hidden states go through the block beside those of each run, so that the cross moments of inputs are
   * gathered too (`gather: "full"`), and whether their outputs come out. Default: no. With `residual` the differences of the residual
   * streams times the inputs are gathered, too.
   */
  readonly original?: { readonly output: boolean; readonly residual?: boolean };
}

/** Sums from which the cosine similarity of a block's input and output follows. */
export interface Similarity {
  /** Σ over tokens of cos(input, output); divided by `tokens` it is the mean per token. */
  readonly tokenSum: number;
  readonly tokens: number;
  /** Σ input·output over all elements; dot / √(inNorm · outNorm) is the cosine of the flattened states. */
  readonly dot: number;
  /** Σ input². */
  readonly inNorm: number;
  /** Σ output². */
  readonly outNorm: number;
}

/** What a run of a block gives back. */
export interface BlockOutput {
  /** The array that was passed in, handed back. */
  readonly input: Float32Array;
  /** The block's output, when it was opened with `output`. */
  readonly hidden?: Float32Array;
  /** Where the block was opened with `similarity`. */
  readonly similarity?: Similarity;
  /** Of the original model's stream, where the block was opened with one: what was passed in, and the output if that is wanted. */
  readonly original?: { readonly input: Float32Array; readonly hidden?: Float32Array };
}

/** What was gathered about one distinct input X [tokens, size], summed over all runs. */
export interface InputSums extends MatrixSums {
  readonly size: number;
  readonly tokens: number;
  /** Σx² per column (`gather: "diagonal"`). */
  readonly diagonal?: Float32Array;
  /** The sums as they stood at each mark, in order (`gather: "full"`). */
  readonly marks?: readonly MatrixSums[];
}

/** Sums of products of one input X [tokens, size] over some windows. */
export interface MatrixSums {
  /** Windows seen; H = (2 / windows)·XᵀX. */
  readonly windows: number;
  /** Upper triangle of XᵀX by rows, size·(size + 1) / 2 (`gather: "full"`). */
  readonly upper?: Float32Array;
  /** X_oᵀX by rows, size × size, with X_o the same input in the original model's stream. */
  readonly cross?: Float32Array;
  /**
   * (R_o − R)ᵀX by rows, hidden × size, with R and R_o the residual streams that what X leads to is added to, now and in the original
   * model: of inputs of which that is so, where it is asked for.
   */
  readonly residual?: Float32Array;
}

/** What a head says of ids that may come next. */
export interface Choices {
  /** Natural logarithms of their probabilities, tokens × ids per token. */
  readonly logLikelihoods: Float32Array;
  /** The id of the largest logit after each token; of equals the first. */
  readonly likeliest: Int32Array;
}

/** What two heads say of the next tokens: each windows × (length − 1). */
export interface HeadComparison {
  /** Negative log-likelihoods in nats, of the model and of the original. */
  readonly loss: Float32Array;
  readonly originalLoss: Float32Array;
  /** KL(original ‖ model) in nats. */
  readonly divergence: Float32Array;
  /** 1 where both find the same token the likeliest. */
  readonly same: Uint8Array;
}

/**
 * onnxruntime's execution providers that forward passes can run on. Operators that one lacks onnxruntime computes on the
 * cpu: of the webgpu provider's only the arithmetic of shapes.
 */
export type Provider = "cpu" | "webgpu" | "cuda" | "coreml" | "dml";

/** How the worker's engine is set up. */
export interface EngineOptions {
  /** Threads of onnxruntime; 0 lets it choose (physical cores). */
  readonly threads: number;
  readonly provider: Provider;
  /** See `BlockVariant`; only the cpu provider's fused attention is trusted. */
  readonly fused: boolean;
  /** Bytes that activations of one batch may take, roughly; one window is always run. */
  readonly memoryBudget: number;
}

/** Calls that the worker answers: parameters and results. `id` names an opened block or head. */
export interface Calls {
  open: { readonly params: { readonly spec: ModelSpec; readonly options: EngineOptions }; readonly result: null };
  openBlock: {
    readonly params: {
      readonly id: number;
      readonly weights?: Readonly<Record<string, Float32Array>>;
      /** Weights of the second stream; default: the same. */
      readonly originals?: Readonly<Record<string, Float32Array>>;
      readonly options: BlockOptions;
    };
    readonly result: null;
  };
  setWeights: {
    readonly params: { readonly id: number; readonly weights?: Readonly<Record<string, Float32Array>> };
    readonly result: null;
  };
  runBlock: {
    readonly params: {
      readonly id: number;
      readonly hidden: Float32Array;
      readonly original?: Float32Array;
      readonly marks?: readonly number[];
      readonly segments?: readonly Segment[];
    } & Windows;
    readonly result: BlockOutput;
  };
  finishBlock: { readonly params: { readonly id: number }; readonly result: Record<string, InputSums> };
  openHead: {
    readonly params: { readonly id: number; readonly weights: Readonly<Record<string, Float32Array>> };
    readonly result: null;
  };
  loss: {
    readonly params: { readonly id: number; readonly hidden: Float32Array; readonly ids: Int32Array } & Windows;
    readonly result: Float64Array;
  };
  compareHeads: {
    readonly params: {
      readonly ids: Int32Array;
      readonly heads: readonly [number, number];
      readonly hidden: readonly [Float32Array, Float32Array];
    } & Windows;
    readonly result: HeadComparison;
  };
  choose: {
    readonly params: {
      readonly id: number;
      readonly hidden: Float32Array;
      readonly ids: Int32Array;
      readonly perToken: number;
    };
    readonly result: Choices;
  };
  logits: { readonly params: { readonly id: number; readonly hidden: Float32Array }; readonly result: Float32Array };
  openHeadInput: {
    readonly params: { readonly id: number; readonly weights: Readonly<Record<string, Float32Array>> };
    readonly result: null;
  };
  gatherHeadInput: {
    readonly params: { readonly id: number; readonly hidden: Float32Array } & Windows;
    readonly result: null;
  };
  finishHeadInput: { readonly params: { readonly id: number }; readonly result: Record<string, InputSums> };
  closeHead: { readonly params: { readonly id: number }; readonly result: null };
  /** Names of the providers that this build of onnxruntime knows. */
  providers: { readonly params: Record<never, never>; readonly result: readonly string[] };
  /** Whether a provider computes what the cpu does, on a small model of this one's kind. */
  probe: { readonly params: { readonly spec: ModelSpec; readonly provider: Provider }; readonly result: ProbeResult };
  close: { readonly params: Record<never, never>; readonly result: null };
}

/** What came of trying a provider: how far its results are from the cpu's, or why it has none. */
export type ProbeResult =
  /** Largest ‖x − cpu‖ / ‖cpu‖ of a result. */
  | { readonly difference: number }
  | { readonly failure: string };

/** Name of a call. */
export type CallName = keyof Calls;

/** A call on its way to the worker. */
export type Request = {
  readonly [Name in CallName]: { readonly call: number; readonly name: Name; readonly params: Calls[Name]["params"] };
}[CallName];

/** An answer on its way back. */
export type Response =
  | { readonly call: number; readonly result: Calls[CallName]["result"] }
  | { readonly call: number; readonly error: string };
