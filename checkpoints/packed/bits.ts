/** What a packed model costs: bits per weight, counted on the bytes of its file, beside the number that papers print. */
import { openPacked, type PackedCheckpoint } from "./open.ts";
import type { LayerHeader } from "./layer.ts";

/** Stored bits per weight. */
export interface StoredBits {
  readonly mask: number;
  /** First signs of all kept weights, second signs of those in salient columns. */
  readonly signs: number;
  /** Segment marks, and the marks of salient columns. */
  readonly segments: number;
  readonly scales: number;
  /** The sum of the four. */
  readonly total: number;
}

/** Bits per weight of a layer or of all compressed layers. */
export interface Bits {
  /** (1 + r_salient)·N/M: PBS²P arXiv 2502.01705, Eq. 11. */
  readonly nominal: number;
  /** N_storing = 2 + 1/b, which the same papers print beside it; b: columns in a group. */
  readonly storing: number;
  readonly stored: StoredBits;
}

/** One compressed layer. */
export interface LayerBits extends Bits {
  readonly name: string;
  readonly header: LayerHeader;
  readonly weights: number;
  /** Stored bytes of all its components. */
  readonly bytes: number;
  /** Share of its columns that are salient, r_salient. */
  readonly salientShare: number;
}

/** A packed model, counted. */
export interface PackedInspection extends Bits {
  readonly layers: readonly LayerBits[];
  /** Weights of all compressed layers. */
  readonly weights: number;
  /** Weights and other parameters of the whole model. */
  readonly parameters: number;
  /** Bytes of the file. */
  readonly bytes: number;
  /** Of these, bytes of the compressed layers' components, of all other tensors, and of the header. */
  readonly parts: { readonly layers: number; readonly others: number; readonly header: number };
  /** 8 × bytes of the file ÷ parameters: embeddings, norms, head and header included. */
  readonly model: number;
}

/**
 * Counts a packed model; reads its header and the salient marks only.
 *
 * @param folder as `writePackedModel` left it
 * @throws {InputError} when it is no packed model
 */
export async function inspectPacked(folder: string): Promise<PackedInspection> {
  const packed = await openPacked(folder);
  try {
    const layers: LayerBits[] = [];
    for (const [name, header] of packed.layers) layers.push(await inspectLayer(packed, name, header));
    const weights = layers.reduce((sum, layer) => sum + layer.weights, 0);
    let parameters = 0;
    for (const { shape } of packed.tensors.values()) {
      parameters += shape.reduce((product, length) => product * length, 1);
    }
    const mean = (of: (layer: Bits) => number) =>
      layers.reduce((sum, layer) => sum + of(layer) * layer.weights, 0) / Math.max(weights, 1);
    const bytes = layers.reduce((sum, layer) => sum + layer.bytes, 0);
    return {
      layers,
      weights,
      parameters,
      bytes: packed.bytes,
      parts: { layers: bytes, others: packed.bytes - bytes - packed.headerBytes, header: packed.headerBytes },
      nominal: mean((layer) => layer.nominal),
      storing: mean((layer) => layer.storing),
      stored: {
        mask: mean((layer) => layer.stored.mask),
        signs: mean((layer) => layer.stored.signs),
        segments: mean((layer) => layer.stored.segments),
        scales: mean((layer) => layer.stored.scales),
        total: mean((layer) => layer.stored.total),
      },
      model: 8 * packed.bytes / Math.max(parameters, 1),
    };
  } finally {
    packed.close();
  }
}

async function inspectLayer(packed: PackedCheckpoint, name: string, header: LayerHeader): Promise<LayerBits> {
  const { rows, cols, keep, of, type, groupSize } = header;
  const weights = rows * cols;
  const marks = await packed.component(name, "salient");
  const salientShare = marks === undefined ? 0 : ones(marks.data) / cols;
  const bits = (...components: readonly Parameters<PackedCheckpoint["componentBytes"]>[1][]) =>
    components.reduce((sum, component) => sum + 8 * packed.componentBytes(name, component), 0) / weights;
  const stored = {
    mask: bits("mask"),
    signs: bits("signs", "second_signs"),
    segments: bits("segments", "salient"),
    scales: bits("scales"),
  };
  const total = stored.mask + stored.signs + stored.segments + stored.scales;
  return {
    name,
    header,
    weights,
    bytes: Math.round(total * weights / 8),
    salientShare,
    nominal: (1 + salientShare) * (type === "none" ? 1 : keep / of),
    storing: 2 + 1 / groupSize,
    stored: { ...stored, total },
  };
}

function ones(words: ArrayLike<number | bigint>): number {
  let count = 0;
  for (let i = 0; i < words.length; i++) {
    for (let word = Number(words[i]); word > 0; word = Math.floor(word / 2)) count += word % 2;
  }
  return count;
}
