/**
 * What stages hand on, by role: a stage asks for a role, never for another stage.
 *
 * A role's entry says where artifacts will be (`OutputRef`), what they hold, and which settings of their maker matter to those
 * who take them, with the recipe's paths of these.
 */
import type { LayerContent } from "../checkpoints/packed/format.ts";
import type { JsonRecord } from "../files/json.ts";
import type { JsonNumber } from "../files/json_number.ts";
import type { ChosenPropagation, LayerSettings, MethodSource } from "../layers/job.ts";
import type { OutputRef } from "../runner/stage.ts";
import type { TaskScores } from "../tasks/score.ts";

/** One stream of hidden states in an artifact. */
export interface StreamRef {
  readonly from: OutputRef;
  readonly stream: string;
}

/** Everything that may be handed on. */
export interface Roles {
  /** S = XᵀX of every distinct input of a block, on calibration windows. */
  readonly statistics: {
    /** The text, as `Planning.text` knows it. */
    readonly text: string;
    readonly windows: OutputRef;
    block(block: number): OutputRef;
    /** Hidden states that enter a block; undefined where they are the embedding's. */
    entering(block: number): StreamRef | undefined;
    /** Whether they are of the original model throughout: similarities of its blocks then come with them. */
    readonly original: boolean;
    /** Where layers are to meet what they put out in the original model: cross moments come with S, and these recipe paths count. */
    readonly target?: { readonly reads: { readonly share: string; readonly damping: string; readonly skip: string } };
    /**
     * Where a block's statistics are those of its first input only, as the others are seen once the layers before them are quantized: the
     * hidden states that enter the block, and where a target asks for them those that enter it in the original model.
     */
    readonly renewed?: {
      /** The stage that the seconds of these passes are credited to. */
      readonly stage: string;
      hidden(block: number): StreamRef;
      readonly original?: (block: number) => StreamRef;
      /** Whether moments are kept of the first half of the windows, too. */
      readonly halves: boolean;
      /** Whether it is looked at how far the residual stream is from the original model's. */
      readonly residual: boolean;
      /** Windows behind the samples, of which moments are kept apart. */
      readonly heldOut: number;
    };
  };
  /** How much is kept of what: N of N:M for each block, or stored bits for each layer. */
  readonly allocation:
    | {
      readonly kind: "keep";
      readonly keep: OutputRef;
      readonly of: number;
      readonly reads: { readonly of: string };
      /** Σx² of every input of a block in the original model; made where `ranks.inputs` is original and statistics are not. */
      diagonals(block: number): OutputRef;
    }
    | { readonly kind: "bits"; readonly bits: OutputRef };
  /** Which weights are the least important of every M. */
  readonly ranks: {
    readonly search: LayerSettings["search"];
    /** Recipe paths that the choice depends on, and of these those that count also where masks are given. */
    readonly reads: readonly string[];
    readonly typeReads: readonly string[];
    /** Whose inputs weigh scores: those that statistics are of, or the original model's. */
    readonly inputs: "seen" | "original";
    /** Masks of a block, where they are made from its original weights. */
    readonly masks?: (block: number) => OutputRef;
  };
  /** How a column block's error is fed to later ones. */
  readonly feedback: {
    readonly settings: LayerSettings["feedback"];
    readonly reads: { readonly mode: string; readonly damping: string };
  };
  /** Quantized layers. */
  readonly quantized: {
    /** The stage that makes them, which is the method's name in `layers/methods`. */
    readonly stage: string;
    /** The method, as the result states it. */
    readonly method: string;
    /** Whether weights are pruned before anything else (`Method.prunesFirst`). */
    readonly prunesFirst: boolean;
    /** Name of the format that packs them. */
    readonly format: string;
    block(block: number): OutputRef;
    /** Recipe paths of the method's settings that matter, and of those that say which columns are taken together. */
    readonly reads: readonly string[];
    readonly groupReads: readonly string[];
    /** Of these, that of its budget of bits, where it has one: an allocation in bits stands in its place. */
    readonly budget?: string;
    /** The file that the method comes from, where it is none of this project's. */
    readonly source?: MethodSource;
  };
  /** Layers as stored bits, and the model they make. */
  readonly packed: {
    readonly model: OutputRef;
    block(block: number): OutputRef;
    /**
     * Formats of the model's layers, besides the one that blocks' layers are packed in.
     * @param layers that one
     */
    readonly formats: (layers: string) => readonly string[];
    /** Type that scales are stored in. */
    readonly scales: LayerSettings["scales"];
    /** Recipe paths: of that, and of all that packing takes, by the names it takes them under. */
    readonly reads: { readonly scales: string; readonly options: Readonly<Record<string, string>> };
  };
  /** Perplexities. */
  readonly perplexity: {
    /** By text and variant; and where the models are compared how far hidden states and next tokens are from the original's. */
    readonly of: ReadonlyMap<string, {
      readonly original: OutputRef;
      readonly compressed: OutputRef;
      /** After each block. */
      readonly away: readonly OutputRef[];
      readonly divergence?: OutputRef;
    }>;
  };
  /** Scores of zero-shot tasks. */
  readonly tasks: {
    /** By task and variant. */
    readonly of: ReadonlyMap<string, { readonly original: OutputRef; readonly compressed: OutputRef }>;
  };
}

/** Name of something that is handed on. */
export type Role = keyof Roles;

/** File of a packed model that holds the weights. */
export const PACKED_WEIGHTS = "model.safetensors";

/** What an `allocation` in N of N:M holds. */
export type Allocation = {
  /** N per block. */
  readonly keep: readonly number[];
  /** Mean of `keep`. */
  readonly mean: number;
  /** What the blocks were ranked by; empty where they were not. */
  readonly measured: readonly number[];
};

/** What an `allocation` in bits holds. */
export type BitAllocation = {
  /** Stored bits a weight, by layer name, without `.weight`. */
  readonly bits: Readonly<Record<string, number>>;
  /** Their mean over weights. */
  readonly mean: number;
  /** What they come from: redundancy by block, or divergence by layer; empty where all are alike. */
  readonly measured: Readonly<Record<string, number>>;
  /** How it did on windows that nothing was measured on; absent where nobody looked. */
  readonly check?: BitCheck;
};

/** The model with the bits that were found beside the one with the same bits everywhere. */
export type BitCheck = {
  /** KL divergence from the original model's next tokens, in nats a token. */
  readonly uniform: number;
  readonly allocated: number;
  /** Whether the bits that were found stay; else all layers have the same. */
  readonly kept: boolean;
};

/** Bits that are tried, before it is known whether they stay. */
export type BitCandidate = Pick<BitAllocation, "bits" | "measured">;

/** What a quantized block's manifest holds. */
export type QuantizedBlock = {
  /** By layer name, without `.weight`: everything but arrays. */
  readonly layers: Readonly<Record<string, Omit<LayerContent, "arrays">>>;
  /** tr((W−Ŵ)H(W−Ŵ)ᵀ)/tr(WHWᵀ) by layer name, on the undamped H. */
  readonly errors: Readonly<Record<string, number>>;
  /** By layer name: the same on windows that are held out, where there are any. */
  readonly heldOutErrors?: Readonly<Record<string, number>>;
  /** By layer name: how far weights have moved towards the original model's outputs, where that was chosen. */
  readonly propagation?: Readonly<Record<string, ChosenPropagation>>;
};

/** What a packed block's manifest holds. */
export type PackedBlock = {
  /** By layer name, without `.weight`: format and header, see `toRecord`. */
  readonly headers: Readonly<Record<string, JsonRecord>>;
  /** tr((W−Ŵ)H(W−Ŵ)ᵀ)/tr(WHWᵀ) by layer name. */
  readonly errors: Readonly<Record<string, number>>;
  /** These two as `QuantizedBlock`. */
  readonly heldOutErrors?: Readonly<Record<string, number>>;
  readonly propagation?: Readonly<Record<string, ChosenPropagation>>;
};

/** Perplexity of one model on one text. */
export type Perplexity = {
  /** `Infinity` where the mean loss is finite but too large for exp; `NaN` where there is none. */
  readonly perplexity: JsonNumber;
  /** Predicted tokens. */
  readonly tokens: number;
  /** First part of the model whose outputs are not finite, in words. */
  readonly lost?: string;
};

/** Scores of one model on one zero-shot task. */
export type TaskResult = TaskScores & {
  readonly items: number;
  /** Questions of which a choice is longer than the model takes, and was cut on the left. */
  readonly cut: number;
  /** Tokens of the windows in which they stand. */
  readonly tokens: number;
  /** Index of the first question where outputs of the model are not finite. */
  readonly lost?: number;
};

/** The allocation, where it says how many weights are kept. */
export function keepAllocation(
  { allocation }: Partial<Roles>,
): Extract<Roles["allocation"], { readonly kind: "keep" }> | undefined {
  return allocation?.kind === "keep" ? allocation : undefined;
}

/** The output `output` of the step `step`. */
export function from(step: string, output: string): OutputRef {
  return { step, output };
}
