/** The artifact of a block's statistics: of every distinct input S = XᵀX, and where a target asks for it C = X_oᵀX. */
import type { InputSums } from "../models/forward.ts";
import type { ArtifactReader, ArtifactWriter } from "../runner/stage.ts";

/** Moments of one input, summed over tokens. */
export interface Moments {
  /** Packed upper triangle of S. */
  readonly upper: Float32Array;
  /** C by rows, size × size; absent where both models' inputs are the same, or nobody asked. */
  readonly cross?: Float32Array;
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
    const { upper, cross } = momentsOf(sums, { input, block }), { size } = sums;
    await writer.write(`${input}.safetensors`, {
      upper: { dtype: "F32", shape: [upper.length], data: upper },
      ...(cross ? { cross: { dtype: "F32", shape: [size, size], data: cross } } : {}),
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
      const { upper, cross } = await reader.read(`${input}.safetensors`);
      return { upper: upper.data as Float32Array, ...(cross ? { cross: cross.data as Float32Array } : {}) };
    },
  };
}

/** Statistics of inputs that have just been gathered. @throws {Error} when an entry is not finite */
export function gatheredStatistics(
  gathered: Readonly<Record<string, InputSums>>,
  { sequences, block }: { readonly sequences: number; readonly block: number },
): Statistics {
  return { sequences, moments: (input) => Promise.resolve(momentsOf(gathered[input], { input, block })) };
}

function momentsOf(
  { upper, cross }: InputSums,
  { input, block }: { readonly input: string; readonly block: number },
): Moments {
  if (upper === undefined) throw new Error(`Cannot store S of "${input}" as it was not gathered`);
  const broken = [upper, cross].flatMap((values) => values?.find((value) => !Number.isFinite(value)) ?? []);
  if (broken.length > 0) {
    throw new Error(
      `Cannot calibrate block ${block} as the second moments of input "${input}" must be finite: one is ${
        broken[0]
      }; ` +
        "activations overflow float32: look for extreme weights in this block and those before it",
    );
  }
  return { upper, ...(cross ? { cross } : {}) };
}
