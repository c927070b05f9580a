/**
 * Hidden states on their way through the blocks, a batch of windows at a time, so that memory is bounded whatever the text.
 *
 * An artifact holds one stream of them as `<stream>-000.safetensors`, …; a second stream (the original model's beside the
 * compressed one's) is more files of another name in the same artifact.
 */
import type { ArtifactReader, ArtifactWriter } from "../runner/stage.ts";
import type { Forward } from "../models/forward.ts";
import type { Segment } from "../models/segments.ts";
import type { ModelSpec } from "../models/spec.ts";

/** Values of the widest activation that are computed at once: fixed, so that sums have one order on every machine. */
const BATCH_VALUES = 1 << 23;

/** The stream that an artifact holds where nothing else is said. */
export const CURRENT_STREAM = "current";

/** The stream of the original model's hidden states, where an artifact holds another one too. */
export const ORIGINAL_STREAM = "original";

/** Token ids of some windows of equal length. */
export interface Windows {
  /** (windows + heldOut) × length */
  readonly ids: Int32Array;
  readonly windows: number;
  readonly length: number;
  /** So many further windows behind them, on which is measured what comes of the others. Default: none. */
  readonly heldOut?: number;
  /** What the windows are of, where they are not one text each; in their order. */
  readonly segments?: readonly Segment[];
}

/** Consecutive windows that pass a block together. */
export interface Batch {
  readonly index: number;
  readonly first: number;
  readonly windows: number;
}

/** The hidden states of one batch. */
export type HiddenSource = (batch: Batch) => Promise<Float32Array>;

/** The segments of a batch's windows, counted from its first; nothing where windows are one text each. */
export function segmentsOf(
  { segments }: Pick<Windows, "segments">,
  { first, windows }: Pick<Batch, "first" | "windows">,
): { readonly segments?: readonly Segment[] } {
  if (segments === undefined) return {};
  const from = firstOf(segments, first), end = firstOf(segments, first + windows);
  return { segments: segments.slice(from, end).map((each) => ({ ...each, window: each.window - first })) };
}

/** Index of the first segment that is not before a window. */
function firstOf(segments: readonly Segment[], window: number): number {
  let low = 0, high = segments.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (segments[middle].window < window) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Cuts windows into batches, and those held out into others behind them; depends on nothing but shapes. */
export function batches(spec: ModelSpec, { windows, length, heldOut = 0 }: Windows): Batch[] {
  const widest = Math.max(spec.hidden, spec.ffn, spec.heads * length);
  const most = Math.max(1, Math.floor(BATCH_VALUES / (length * widest)));
  const cut: Batch[] = [];
  for (const [from, end] of [[0, windows], [windows, windows + heldOut]]) {
    for (let first = from; first < end; first += most) {
      cut.push({ index: cut.length, first, windows: Math.min(most, end - first) });
    }
  }
  return cut;
}

/** Whether a batch is of windows that are held out. */
export function isHeldOut({ first }: Batch, { windows }: Windows): boolean {
  return first >= windows;
}

/**
 * After how many windows half of them are done, as nearly as batches end there: cut inside a batch, sums would have another order. Only
 * where there is but one batch its middle is taken.
 */
export function halfOf(cut: readonly Batch[]): number {
  const windows = cut.reduce((sum, batch) => sum + batch.windows, 0);
  if (cut.length === 1) return Math.floor(windows / 2);
  const ends = cut.slice(1).map(({ first }) => first), away = (end: number) => Math.abs(2 * end - windows);
  return ends.reduce((best, end) => away(end) < away(best) ? end : best);
}

/** Hidden states that an artifact holds. */
export function storedHidden(reader: ArtifactReader, stream = CURRENT_STREAM): HiddenSource {
  return async ({ index }) => {
    const { hidden } = await reader.read(fileOf(stream, index));
    return hidden.data as Float32Array;
  };
}

/** Hidden states made from token ids by the embedding. */
export function embeddedHidden(
  forward: Forward,
  weights: Readonly<Record<string, Float32Array>>,
  text: Windows,
): HiddenSource {
  return ({ first, windows }) => {
    const ids = text.ids.slice(first * text.length, (first + windows) * text.length);
    return forward.embed(weights, ids, { windows, length: text.length, ...segmentsOf(text, { first, windows }) });
  };
}

/**
 * The hidden states of one batch, once it is certain that they are numbers.
 *
 * @throws {Error} when one is not finite
 */
export function finiteHidden(
  batch: Batch,
  hidden: Float32Array,
  { length }: { readonly length: number },
): Float32Array {
  const broken = hidden.findIndex((value) => !Number.isFinite(value));
  if (broken < 0) return hidden;
  const token = Math.floor(broken / (hidden.length / (batch.windows * length)));
  throw new Error(
    `Cannot go on to the next block as hidden states must be finite: token ${token % length} of window ` +
      `${batch.first + Math.floor(token / length)} has ${
        hidden[broken]
      }; activations overflow float32: look for extreme ` +
      "weights in this block and those before it",
  );
}

/** Writes the hidden states of one batch. */
export async function storeHidden(
  writer: ArtifactWriter,
  batch: Batch,
  hidden: Float32Array,
  { length, stream = CURRENT_STREAM }: { readonly length: number; readonly stream?: string },
): Promise<void> {
  const shape = [batch.windows, length, hidden.length / (batch.windows * length)];
  await writer.write(fileOf(stream, batch.index), { hidden: { dtype: "F32", shape, data: hidden } });
}

/**
 * Reads the windows that a step has stored with `storeWindows`.
 *
 * @param heldOut how many are held out, for those who measure on them; by default nobody sees any
 */
export async function storedWindows(
  reader: Pick<ArtifactReader, "read">,
  { heldOut = 0 }: { readonly heldOut?: number } = {},
): Promise<Windows> {
  const { ids } = await reader.read("ids.safetensors");
  const [windows, length] = ids.shape, samples = ids.data as Int32Array;
  if (heldOut === 0) return { ids: samples, windows, length };
  const behind = (await reader.read("held-out.safetensors")).ids.data as Int32Array;
  const all = new Int32Array(samples.length + behind.length);
  all.set(samples);
  all.set(behind, samples.length);
  return { ids: all, windows, length, heldOut };
}

/** Writes windows of token ids, and those that are held out beside them. */
export async function storeWindows(
  writer: Pick<ArtifactWriter, "write">,
  { ids, windows, length, heldOut }: Omit<Windows, "heldOut"> & {
    readonly heldOut?: { readonly ids: Int32Array; readonly windows: number };
  },
): Promise<void> {
  const tensor = (
    data: Int32Array,
    windows: number,
  ) => ({ ids: { dtype: "I32", shape: [windows, length], data } } as const);
  await writer.write("ids.safetensors", tensor(ids, windows));
  if (heldOut) await writer.write("held-out.safetensors", tensor(heldOut.ids, heldOut.windows));
}

function fileOf(stream: string, index: number): string {
  return `${stream}-${`${index}`.padStart(3, "0")}.safetensors`;
}
