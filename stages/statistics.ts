/** The artifact of a block's statistics: of every distinct input S = XᵀX, and where a target asks for it C = X_oᵀX. */
import type { InputSums, MatrixSums } from "../models/forward.ts";
import type { ArtifactReader, ArtifactWriter } from "../runner/stage.ts";

/** Moments of one input, summed over tokens. */
export interface Moments {
  /** Packed upper triangle of S. */
  readonly upper: Float32Array;
  /** C by rows, size × size; absent where both models' inputs are the same, or nobody asked. */
  readonly cross?: Float32Array;
  /** (R_o − R)ᵀX by rows, hidden × size, R being the residual streams: where somebody asked, of inputs of layers that are added to it. */
  readonly residual?: Float32Array;
  /** What the first half of the windows comes to in these, where somebody asked; the other half is the rest. */
  readonly half?: { readonly upper: Float32Array; readonly cross: Float32Array; readonly residual?: Float32Array };
  /** Packed upper triangle of S on windows that are held out of all others, where there are any. */
  readonly heldOut?: Float32Array;
}

/** Gives the moments of a block's inputs. */
export interface Statistics {
  /** Number of windows: H = (2/sequences)·S. */
  readonly sequences: number;
  /** Fresh arrays with every call. */
  moments(input: string): Promise<Moments>;
}

/**
 * Writes the moments of a block's inputs.
 *
 * @throws {Error} when an entry is not finite
 */
export async function storeStatistics(
  writer: ArtifactWriter,
  { gathered, sequences, block }: {
    readonly gathered: Readonly<Record<string, InputSums>>;
    readonly sequences: number;
    readonly block: number;
  },
): Promise<void> {
  for (const [input, sums] of Object.entries(gathered)) {
    const { upper, cross, residual, half, heldOut } = momentsOf(sums, { input, block, sequences }), { size } = sums;
    const triangle = (data: Float32Array) => ({ dtype: "F32", shape: [data.length], data } as const);
    const square = (data: Float32Array) => ({ dtype: "F32", shape: [data.length / size, size], data } as const);
    await writer.write(`${input}.safetensors`, {
      upper: triangle(upper),
      ...(cross ? { cross: square(cross) } : {}),
      ...(residual ? { residual: square(residual) } : {}),
      ...(half ? { half_upper: triangle(half.upper), half_cross: square(half.cross) } : {}),
      ...(half?.residual ? { half_residual: square(half.residual) } : {}),
      ...(heldOut ? { held_out: triangle(heldOut) } : {}),
    });
  }
  writer.value({ sequences });
}

/** Reads what `storeStatistics` has written. */
export function storedStatistics(reader: Pick<ArtifactReader, "read" | "value">): Statistics {
  const { sequences } = reader.value as { readonly sequences: number };
  return {
    sequences,
    async moments(input) {
      const stored = await reader.read(`${input}.safetensors`);
      const values = (name: string) => stored[name]?.data as Float32Array | undefined;
      const upper = values("upper"), cross = values("cross"), halfUpper = values("half_upper");
      const halfCross = values("half_cross"), heldOut = values("held_out");
      if (upper === undefined) throw new Error(`Cannot read S of "${input}" as it is not there`);
      const half = halfOf({ upper: halfUpper, cross: halfCross, residual: values("half_residual") });
      return momentsWithout({ upper, cross, residual: values("residual"), half, heldOut });
    },
  };
}

/** Statistics of inputs that have just been gathered. @throws {Error} when an entry is not finite */
export function gatheredStatistics(
  gathered: Readonly<Record<string, InputSums>>,
  { sequences, block }: { readonly sequences: number; readonly block: number },
): Statistics {
  return { sequences, moments: (input) => Promise.resolve(momentsOf(gathered[input], { input, block, sequences })) };
}

/** The sums of the first `sequences` windows, what they were at a mark before, and those of the windows behind. */
function momentsOf(
  { marks = [], ...all }: InputSums,
  { input, block, sequences }: { readonly input: string; readonly block: number; readonly sequences: number },
): Moments {
  const { upper, cross, residual } = marks.find(({ windows }) => windows === sequences) ?? all;
  if (upper === undefined) throw new Error(`Cannot store S of "${input}" as it was not gathered`);
  const half = halfOf(marks.find(({ windows }) => windows < sequences));
  const heldOut = all.windows > sequences ? all.upper?.map((value, i) => value - upper[i]) : undefined;
  // What is finite at the end was so before.
  const broken = [upper, cross, residual, heldOut].flatMap((values) =>
    values?.find((value) => !Number.isFinite(value)) ?? []
  );
  if (broken.length > 0) {
    throw new Error(
      `Cannot calibrate block ${block} as the second moments of input "${input}" must be finite: one is ${
        broken[0]
      }; ` +
        "activations overflow float32: look for extreme weights in this block and those before it",
    );
  }
  return momentsWithout({ upper, cross, residual, half, heldOut });
}

/** Moments, without what is not there. */
function momentsWithout(
  { upper, cross, residual, half, heldOut }: { readonly [K in keyof Moments]: Moments[K] | undefined } & {
    readonly upper: Float32Array;
  },
): Moments {
  const target = { ...(cross && { cross }), ...(residual && { residual }), ...(half && { half }) };
  return { upper, ...target, ...(heldOut && { heldOut }) };
}

function halfOf({ upper, cross, residual }: Partial<MatrixSums> = {}): Moments["half"] {
  return upper && cross && { upper, cross, ...(residual && { residual }) };
}
