/**
 * Tries one of onnxruntime's execution providers: a small model of the same kind, on the provider and on the cpu.
 *
 * Meant for the forward pass's worker. That a session opens says little: providers have been seen to open and then be
 * wrong by a sixth, or to compute in half precision.
 */
import { Engine } from "./engine.ts";
import type { ProbeResult, Provider } from "./forward_protocol.ts";
import { plainReason } from "./sessions.ts";
import type { ModelSpec } from "./spec.ts";
import type { TensorShapes } from "../checkpoints/read_tensors.ts";
import { blockPrefix, blockShapes, headShapes } from "./tensors.ts";

const WINDOWS = { windows: 2, length: 24 };
const VOCAB = 64;
const FFN = 96;

/**
 * Runs one block and the head.
 *
 * @param spec the model; its operators and the size of its heads are kept, its widths are not
 */
export async function probeProvider(spec: ModelSpec, provider: Provider): Promise<ProbeResult> {
  const small = smallModel(spec);
  try {
    const [expected, found] = [await results(small, "cpu"), await results(small, provider)];
    return { difference: Math.max(...expected.map((values, i) => distance(found[i], values))) };
  } catch (error) {
    const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
    return { failure: plainReason(cause) };
  }
}

/** Two heads, with keys of their own or shared as in the model. */
function smallModel(spec: ModelSpec): ModelSpec {
  const hidden = 2 * spec.headDim;
  return {
    ...spec,
    hidden,
    ffn: FFN,
    blocks: 1,
    heads: 2,
    kvHeads: spec.kvHeads === spec.heads ? 2 : 1,
    vocab: VOCAB,
    embedding: spec.embedding === spec.hidden ? hidden : spec.headDim,
  };
}

/** Hidden states, XᵀX of every input, logits, losses, and what a comparison of two heads gives. */
async function results(spec: ModelSpec, provider: Provider): Promise<ArrayLike<number>[]> {
  const engine = new Engine(spec, { threads: 1, provider, fused: provider === "cpu", memoryBudget: Infinity });
  try {
    const tokens = WINDOWS.windows * WINDOWS.length;
    const prefix = blockPrefix(spec, 0);
    const block = Object.entries(waves(blockShapes(spec, 0)));
    const weights = Object.fromEntries(block.map(([name, values]) => [name.slice(prefix.length), values]));
    engine.openBlock(0, { weights }, { gather: "full", output: true });
    const { hidden } = await engine.runBlock(0, { hidden: wave(tokens * spec.hidden, 0) }, WINDOWS);
    if (!hidden) throw new Error("Cannot compare providers as a block gave no output");
    const sums = Object.values(engine.finishBlock(0)).flatMap(({ upper }) => upper ? [upper] : []);
    engine.heads.open(1, waves(headShapes(spec)));
    const ids = Int32Array.from({ length: tokens }, (_, i) => (7 * i) % spec.vocab), { heads } = engine;
    // Half of the states are alike, so that both find the same token the likeliest there; the others are so far apart that what a
    // provider's exponentials are rounded by, 4e-7 of SwiftShader's, is little of their divergence.
    const other = hidden.map((value, i) => Math.floor(i / spec.hidden) % 2 === 0 ? value : -value);
    return [
      ...[hidden, ...sums, await heads.logits(1, hidden), await heads.loss(1, hidden, ids, WINDOWS)],
      ...Object.values(await heads.compare([1, 1], [hidden, other], ids, WINDOWS)),
    ];
  } finally {
    await engine.close();
  }
}

/** Weights without a pattern that an operator could get right by chance; norms about one. */
function waves(shapes: TensorShapes): Record<string, Float32Array> {
  return Object.fromEntries([...shapes].map(([name, shape], index) => {
    const values = wave(shape.reduce((a, b) => a * b, 1), index + 1);
    return [name, shape.length === 1 ? values.map((value) => 1 + value / 4) : values.map((value) => value / 2)];
  }));
}

function wave(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin((i + 1) * (i + 3 + 17 * seed)));
}

/** ‖x − expected‖ / ‖expected‖; infinite where x has no numbers. */
function distance(x: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [difference, norm] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    difference += (x[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  const ratio = Math.sqrt(difference / norm);
  return Number.isNaN(ratio) ? Infinity : ratio;
}
