/** From token ids to the first hidden states: table look-ups, so no graph is needed. */
import type { Windows } from "./forward_protocol.ts";
import { checkWindow } from "./sliding_window.ts";
import type { ModelSpec } from "./spec.ts";
import { embeddingShapes } from "./tensors.ts";

/**
 * Hidden states that enter the first block: token embedding, plus learned positions where the model has them.
 *
 * @param weights the embedding's tensors by canonical name
 * @param ids token ids, windows × length
 * @param options `start`: position of each window's first token (default 0); `positions` [windows, length] of all tokens, where they do
 *   not follow one another
 * @returns windows × length × hidden
 * @throws {RangeError} an id outside the vocabulary, a position outside the table of learned ones, tensors of another size
 * @throws {InputError} windows longer than attention that slides sees
 */
export function embed(
  spec: ModelSpec,
  weights: Readonly<Record<string, Float32Array>>,
  { ids, windows, length, start = 0, positions: own }: {
    readonly ids: Int32Array;
    readonly start?: number;
    readonly positions?: Int32Array;
  } & Windows,
): Float32Array {
  const { hidden, embedding, vocab, maxPositions, frame } = spec;
  if (ids.length !== windows * length) {
    throw new RangeError(
      `Cannot embed tokens as their number must be ${windows} × ${length}: current value is ${ids.length}`,
    );
  }
  const end = own ? 1 + own.reduce((most, position) => Math.max(most, position), 0) : start + length;
  checkWindow(spec, end);
  const bad = ids.find((id) => id < 0 || id >= vocab);
  if (bad !== undefined) {
    throw new RangeError(`Cannot embed tokens as ids must be from 0 to ${vocab - 1}: current value is ${bad}`);
  }
  const shapes = embeddingShapes(spec);
  const tensor = (name: string) => {
    const shape = shapes.get(name) ?? [];
    const values = weights[name];
    if (values?.length === shape.reduce((a, b) => a * b, 1)) return values;
    throw new RangeError(`Cannot embed tokens as "${name}" must hold [${shape}] values: found ${values?.length}`);
  };
  const tokens = tensor(frame.tokens);
  const project = frame.projections && tensor(frame.projections.into);
  const output = new Float32Array(ids.length * hidden);
  const firstAt = new Map<number, number>();
  for (const [at, id] of ids.entries()) {
    const seen = firstAt.get(id);
    const to = output.subarray(at * hidden, (at + 1) * hidden);
    if (seen !== undefined) to.set(output.subarray(seen * hidden, (seen + 1) * hidden));
    else {
      firstAt.set(id, at);
      const row = tokens.subarray(id * embedding, (id + 1) * embedding);
      to.set(project ? product(project, row) : row);
    }
  }
  if (frame.positions === null) return output;
  const positions = tensor(frame.positions.table);
  if (end > maxPositions) {
    throw new RangeError(
      `Cannot embed tokens as the model has ${maxPositions} positions: texts must not be longer, current length is ${end}`,
    );
  }
  for (let at = 0; at < ids.length; at++) {
    const row = ((own ? own[at] : start + (at % length)) + frame.positions.offset) * hidden;
    for (let i = 0; i < hidden; i++) output[at * hidden + i] += positions[row + i];
  }
  return output;
}

/** matrix [rows, x.length] times x. */
function product(matrix: Float32Array, x: Float32Array): Float32Array {
  const y = new Float32Array(matrix.length / x.length);
  for (let row = 0; row < y.length; row++) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += matrix[row * x.length + i] * x[i];
    y[row] = sum;
  }
  return y;
}
