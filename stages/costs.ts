/** What steps are expected to cost. Estimates enter no result, so this file enters no key. */
import type { ModelSpec } from "../models/spec.ts";
import { linearInputs, linearWeights } from "../models/tensors.ts";

/** The model's shapes. */
export type Spec = ModelSpec;

/** Expected windows of a text, and tokens in each. */
interface TextSize {
  readonly windows: number;
  readonly length: number;
}

/** Bytes of the hidden states of some windows. */
export function hiddenBytes(spec: Spec, text: TextSize): number {
  return 4 * text.windows * text.length * spec.hidden;
}

/** Inputs of a block's distinct S, in values. */
export function gramSizes(spec: Spec): readonly number[] {
  return [...linearInputs(spec).values()];
}

/** Float operations a second that estimates assume before the cache has seen this machine. */
const ASSUMED_RATE = 8e10;

/** Values of the widest activation that a pass is expected to hold; see `hidden_states.ts`. */
const ACTIVATION_VALUES = 1 << 23;

/** Seconds of one block's forward pass over some windows, with or without gathering S. */
export function forwardSeconds(spec: Spec, text: TextSize, gather: boolean): number {
  const tokens = text.windows * text.length;
  const linear = 2 * tokens * linearWeights(spec);
  const attention = 4 * tokens * text.length * spec.heads * spec.headDim;
  const gram = gather ? gramSizes(spec).reduce((sum, size) => sum + 2 * tokens * size * size, 0) : 0;
  return (linear + attention + gram) / ASSUMED_RATE;
}

/** Bytes at the peak of one block's forward pass: its weights twice, activations of one batch, and S. */
export function forwardMemory(spec: Spec, gather: boolean): number {
  const grams = gather ? gramSizes(spec).reduce((sum, size) => sum + 8 * size * size, 0) : 0;
  return 2e8 + 8 * linearWeights(spec) + 8 * ACTIVATION_VALUES * 4 + grams;
}

/** Seconds of the head over some windows, to losses. */
export function headSeconds({ vocab, embedding }: Spec, { windows, length }: TextSize): number {
  return 2 * windows * length * vocab * embedding / ASSUMED_RATE;
}

/** Bytes of the head's matrix. */
export function headMemory({ vocab, embedding }: Spec): number {
  return 4 * vocab * embedding;
}
