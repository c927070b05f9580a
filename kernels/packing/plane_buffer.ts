/**
 * Planes of a packed layer (`pack.ts`) one after the other, as devices make and read them: three words on what was found, then mask,
 * salient columns, signs, second signs and segments.
 */
import { expectBits, maskDigits, packCodes, type Planes, type PlaneShape, unpackCodes } from "./pack.ts";
import { GROUP_SHIFT, KEPT } from "../binary/ops.ts";
import { radixBits, radixCode } from "./radix.ts";

/** Words before the planes: what is wrong, kept weights, and those of them with two signs. */
export const PLANE_HEADER = 3;

/** Order of the planes; those whose length does not depend on the codes come first. */
const ORDER = ["mask", "salient", "signs", "second_signs", "segments"] as const;

/** Bits of the first word, as the shaders have them. */
const FAULTS = [
  "a run of M does not keep N",
  "a kept weight is in no group, or in one beyond the segments",
  "a column is salient in some rows and not in others",
  "a weight is kept or pruned against the type",
  "a tile of digits holds none",
] as const;

/** Where planes are, and of which layer they are. */
export interface PlacedPlanes extends PlaneShape {
  /** Word at which each plane begins. */
  readonly starts: Readonly<Record<keyof Planes, number>>;
}

/** Bits of the mask and of the salient columns. */
export function fixedBits(shape: PlaneShape): { readonly mask: number; readonly salient: number } {
  const { rows, cols, type, salient } = shape;
  const mask = type === "none" ? 0 : type === "structured" ? cols : rows * (maskDigits(shape)?.rowBits ?? cols);
  return { mask, salient: salient ? cols : 0 };
}

/** Words that the header and the planes of any layer of a shape fit in. */
export function planeBufferWords(shape: PlaneShape): number {
  const { rows, cols, keep, of, type, segments, salient } = shape, code = radixCode(segments);
  const kept = type === "semi-structured" ? rows * cols / of * keep : rows * cols;
  const { mask, salient: marked } = fixedBits(shape);
  // A second sign takes a bit, a mark less than one only where there is one segment.
  const rest = wordsOf(radixBits(code, kept)) + (salient ? segments === 1 ? wordsOf(kept) : 1 : 0);
  return PLANE_HEADER + wordsOf(mask) + wordsOf(marked) + wordsOf(kept) + rest;
}

/**
 * Cuts what a device has packed into planes.
 *
 * @throws {RangeError} when the codes break what the layer's fields promise
 */
export function readPlaneBuffer(words: Uint32Array, shape: PlaneShape): Planes {
  const [faults, kept, twice] = words;
  if (faults !== 0) throw new RangeError(`Cannot pack codes: ${describeFaults(faults)}`);
  const bits = planeBits(shape, kept, twice), planes: Partial<Record<keyof Planes, Uint32Array>> = {};
  let at = PLANE_HEADER;
  for (const plane of ORDER) planes[plane] = words.slice(at, at += wordsOf(bits[plane]));
  return planes as Planes;
}

/**
 * Packs codes as a device does.
 *
 * @param out `planeBufferWords` or more, overwritten
 * @throws {RangeError} see `packCodes`
 */
export function packIntoBuffer(out: Uint32Array, codes: Uint8Array, shape: PlaneShape): void {
  const words = makePlaneBuffer(packCodes({ ...shape, codes }, shape.mask));
  countInto(words, codes);
  out.fill(0).set(words);
}

/**
 * Unpacks codes as a device does.
 *
 * @param codes rows × cols, overwritten
 * @param found the header, overwritten
 * @throws {RangeError} see `unpackCodes`
 */
export function unpackFromBuffer(
  codes: Uint8Array,
  found: Uint32Array,
  words: Uint32Array,
  placed: PlacedPlanes,
): void {
  const planes: Partial<Record<keyof Planes, Uint32Array>> = {};
  for (const [i, plane] of ORDER.entries()) {
    planes[plane] = words.subarray(
      placed.starts[plane],
      i + 1 < ORDER.length ? placed.starts[ORDER[i + 1]] : undefined,
    );
  }
  codes.set(unpackCodes(planes as Planes, placed));
  countInto(found, codes);
}

/** Puts planes one after the other. */
export function makePlaneBuffer(planes: Planes): Uint32Array {
  const words = new Uint32Array(ORDER.reduce((sum, plane) => sum + planes[plane].length, PLANE_HEADER));
  const starts = planeStarts(planes);
  for (const plane of ORDER) words.set(planes[plane], starts[plane]);
  return words;
}

/** Where each plane begins. */
export function planeStarts(planes: Readonly<Record<keyof Planes, { length: number }>>): Record<keyof Planes, number> {
  let at = PLANE_HEADER;
  const starts = { mask: 0, salient: 0, signs: 0, second_signs: 0, segments: 0 };
  for (const plane of ORDER) {
    starts[plane] = at;
    at += planes[plane].length;
  }
  return starts;
}

/**
 * Checks what a device has found on unpacking.
 *
 * @param found the header: faults, kept weights, and those with two signs
 * @throws {RangeError} when planes have too few or too many words, or hold what packing cannot have written
 */
export function checkUnpacked(found: Uint32Array, planes: Planes, shape: PlaneShape): void {
  const [faults, kept, twice] = found, bits = planeBits(shape, kept, twice);
  if (faults !== 0) throw new RangeError(`Cannot unpack codes: ${describeFaults(faults)}`);
  for (const plane of ORDER) expectBits(plane, planes[plane], bits[plane]);
}

/** @throws {RangeError} when the mask or the salient columns are not those of the shape */
export function checkFixedPlanes(planes: Planes, shape: PlaneShape): void {
  const { mask, salient } = fixedBits(shape);
  expectBits("mask", planes.mask, mask);
  expectBits("salient", planes.salient, salient);
}

function planeBits(shape: PlaneShape, kept: number, twice: number): Record<keyof Planes, number> {
  const segments = radixBits(radixCode(shape.segments), kept - twice);
  return { ...fixedBits(shape), signs: kept, second_signs: twice, segments };
}

/** Writes the header of codes that are as they should be. */
function countInto(header: Uint32Array, codes: Uint8Array): void {
  let kept = 0, twice = 0;
  for (let i = 0; i < codes.length; i++) {
    const keep = codes[i] & KEPT;
    kept += keep;
    twice += codes[i] >>> GROUP_SHIFT === 0 ? keep : 0;
  }
  header.set([0, kept, twice]);
}

function describeFaults(faults: number): string {
  return FAULTS.filter((_, bit) => faults >>> bit & 1).join("; ");
}

function wordsOf(bits: number): number {
  return Math.ceil(bits / 32);
}
