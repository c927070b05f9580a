/** Codes of a trellis and planes of bits as streams, and weights and planes from them: on one core, as a file is written and read. */
import {
  type CodedLayer,
  compactPlane,
  decodePlane,
  decodeWeights,
  encodeCodes,
  type LayerCodes,
} from "../../kernels/coding/ops.ts";
import { stepOf, trellisOf } from "../../kernels/trellis/ops.ts";
import { randomWeights } from "./data.ts";
import type { KernelCase } from "./kernel_case.ts";

/** Of the trellis. */
const STATES = 8;

/** Logarithm of a step, in 32nds of an octave, that gives weights of `randomWeights` some two bits, and what columns add to it in turn. */
const STEP = -234, COLUMNS = [0, 9, -13, 4, 21, -6, -24, 13] as const;

/** Logarithms of the weights' sizes in such steps, in eighths of an octave. */
const SIZE = 13;

/** Bits of a number of the plane, and what these numbers are steps of. */
const UNIT = 3, UNIT_STEP = 0.012;

/** Both ways, at two sizes of layers. */
export function codingCases(): KernelCase[] {
  return ([[1536, 576, true], [4096, 4096, false]] as const).flatMap(([rows, cols, quick]) => {
    let layer: LayerCodes | undefined, made: CodedLayer | undefined;
    const codes = () => layer ??= roundedLayer(rows, cols), coded = () => made ??= encodeCodes(codes()).coded;
    const streams = () => coded().codes.byteLength;
    const make = (op: string, bytes: number, run: () => void): KernelCase => ({
      op,
      size: `${rows} × ${cols}`,
      quick,
      devices: ["cpu"],
      work: () => ({ bound: "memory", bytes: () => bytes * rows * cols + streams() }),
      open: () => run,
    });
    let bits: Uint8Array | undefined, words: Uint16Array | undefined;
    const plane = () => bits ??= planeOf(rows * cols);
    const stream = () => words ??= compactPlane(plane(), {}) ?? new Uint16Array(0);
    const ofPlane = (op: string, run: () => void): KernelCase => ({
      ...make(op, 0, run),
      work: () => ({ bound: "memory", bytes: () => plane().byteLength + stream().byteLength }),
    });
    return [
      ofPlane("compactPlane", () => compactPlane(plane(), {})),
      ofPlane("decodePlane", () => decodePlane(stream(), plane().length)),
      make("encodeCodes", Int16Array.BYTES_PER_ELEMENT, () => encodeCodes(codes())),
      make("decodeWeights", Float32Array.BYTES_PER_ELEMENT, () => decodeWeights(coded())),
    ];
  });
}

/** Weights on a uniform grid, as GPTQ's codes are stored. */
function planeOf(count: number): Uint8Array {
  const weights = randomWeights(count), bytes = new Uint8Array(Math.ceil(UNIT * count / 32) * 4), most = 2 ** UNIT - 1;
  for (let i = 0, bit = 0; i < count; i++) {
    const code = Math.max(0, Math.min(most, Math.round(weights[i] / UNIT_STEP + most / 2)));
    for (let k = 0; k < UNIT; k++, bit++) bytes[bit >> 3] |= (code >> k & 1) << (bit & 7);
  }
  return bytes;
}

/** Weights rounded to the nearest point of each state's quantizer. */
function roundedLayer(rows: number, cols: number): LayerCodes {
  const weights = randomWeights(rows * cols),
    codes = new Int16Array(rows * cols),
    { next, quantizers } = trellisOf(STATES);
  const steps = Int16Array.from({ length: cols }, (_, j) => STEP + COLUMNS[j % COLUMNS.length]);
  for (let j = 0; j < cols; j++) {
    const step = stepOf(steps[j]);
    for (let row = 0, at = j, state = 0; row < rows; row++, at += cols) {
      const x = weights[at] / step, size = Math.abs(x);
      // Of quantizer 1, whose points are 0, 1, 3, 5, …, zero takes what is below 1/2.
      const magnitude = quantizers[state] === 0 ? Math.round(size / 2) : size < 0.5 ? 0 : Math.floor(size / 2) + 1;
      codes[at] = x < 0 ? -magnitude : magnitude;
      state = next[2 * state + (magnitude & 1)];
    }
  }
  return {
    ...{ rows, cols, states: STATES, strip: rows, codes, steps },
    rowSizes: new Int8Array(rows),
    columnSizes: Int8Array.from(steps, (step) => SIZE - Math.round((step - STEP) / 4)),
  };
}
