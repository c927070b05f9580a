/** Tensors that no pass of a model reads: buffers, which are computed anew, and what makes another function of the model. */
import type { TensorInfo } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import type { ModelSpec } from "./spec.ts";

/**
 * Buffers that older libraries saved with the weights: rotary tables, positions, causal masks. Attention modules have no
 * weight of their own called `bias`: that is GPT-2's name of a mask.
 */
const BUFFERS: readonly RegExp[] = [
  /(^|\.)(inv_freq|original_inv_freq|(cos|sin|cos_sin)_cache(d)?|freqs_cis|position_ids|masked_bias)$/,
  /(^|\.)(causal_mask|attn_mask|attention_mask|mask|tril)$/,
  /(^|\.)(attn|self_attn|attention|self_attention)\.bias$/,
  /(^|\.)attn_rot_embd\.weight$/,
];

/** Low-rank adapters and others of PEFT, beside or around the layers that they change. */
const ADAPTERS =
  /(^|\.)(lora_\w+|base_layer|ia3_\w+|vera_lambda_\w|hada_w\w+|lokr_w\w+|oft_\w+|modules_to_save|prompt_encoder|prompt_embeddings)(\.|$)/;

/** What quantized checkpoints hold beside or in place of weights. */
const QUANTIZED =
  /\.(qweight|qzeros|scales|g_idx|(weight|input|output|k|v)_scale(_inv)?|weight_(packed|shape|zero_point|g_idx)|weight\.(absmax|quant_map|nested_\w+|quant_state\.\w+)|SCB|CB)$/;

/** How many names a message lists. */
const LISTED = 3;

/** What a message needs to say of what file and model. */
export interface Subject {
  readonly label: string;
  readonly spec: ModelSpec;
}

/** Some names for a message, and how many more there are. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, LISTED).map((name) => `"${name}"`).join(", ");
  return names.length > LISTED ? `${shown} and ${names.length - LISTED} more` : shown;
}

/**
 * Refuses adapters and quantized weights by their names, before anything is said of what is missing because of them.
 *
 * @param names as stored
 * @throws {InputError} naming the first of them, and the remedy
 */
export function refuseOthers(names: readonly string[], label: string): void {
  const adapters = names.filter((name) => ADAPTERS.test(name));
  if (adapters.length > 0) {
    throw new InputError(
      `Cannot use ${label}: its weights are changed by an adapter (${listNames(adapters)}); ` +
        "merge it into them first (PEFT: `merge_and_unload`) and save the whole model",
    );
  }
  const quantized = names.filter((name) => QUANTIZED.test(name));
  if (quantized.length > 0) {
    throw new InputError(
      `Cannot use ${label}: its weights are quantized already (${listNames(quantized)}); give the original model`,
    );
  }
}

/**
 * Takes account of the tensors that no pass reads: buffers and empty tensors may go, all others would make another function.
 *
 * @param left as stored
 * @param warn told in one line what is left out
 * @throws {InputError} naming the first of them, and the remedy
 */
export function accountFor(left: readonly TensorInfo[], subject: Subject, warn: (message: string) => void): void {
  const isBuffer = ({ name, shape }: TensorInfo) => shape.includes(0) || BUFFERS.some((known) => known.test(name));
  const strange = left.filter((tensor) => !isBuffer(tensor)).map(({ name }) => name);
  if (strange.length > 0) {
    throw new InputError(
      `Cannot use ${subject.label}: it holds ${strange.length === 1 ? "a tensor" : `${strange.length} tensors`} ` +
        `that no ${subject.spec.family} model of its config.json reads (${listNames(strange)}), so that another ` +
        `function would be computed than the one it was trained for; ${remedy(strange, subject.spec)}`,
    );
  }
  const names = left.map(({ name }) => name);
  if (names.length === 0) return;
  warn(`Left out of ${subject.label}, as they are computed anew and are no weights: ${listNames(names)}`);
}

function remedy(names: readonly string[], { blocks, block: { prefix } }: ModelSpec): string {
  const numbers = names.map((name) => name.startsWith(prefix) ? Number.parseInt(name.slice(prefix.length)) : -1);
  const last = Math.max(...numbers);
  if (last >= blocks) {
    return `config.json says num_hidden_layers: ${blocks}, and the file has blocks up to ${last}: correct the one, or save ` +
      "the model without the others";
  }
  return "give the config.json that belongs to it, or save the model without them if they are no part of it";
}
