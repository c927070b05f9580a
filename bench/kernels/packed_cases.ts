/** Layers packed, unpacked, and multiplied with while packed. */
import { encodeLayer } from "../../checkpoints/packed/planes.ts";
import { type Device, matrix } from "../../kernels/device.ts";
import { arrangedBytes, arrangeWeights, packedMatVec, uploadPacked } from "../../kernels/matvec/ops.ts";
import {
  makePlaneBuffer,
  type MaskCode,
  packCodes,
  packPlanes,
  PLANE_HEADER,
  planeBufferWords,
  planeStarts,
  unpackPlanes,
} from "../../kernels/packing/ops.ts";
import { type QuantizedLayer, scalesPerBlock } from "../../kernels/binary/ops.ts";
import { elementBytes } from "./counts.ts";
import { BLOCK, blockData, randomWeights } from "./data.ts";
import type { KernelCase, Work } from "./kernel_case.ts";

/** Columns that share scales. */
const GROUP = 128;

/** How masks are stored: as files have them by default. */
const MASK: MaskCode = "enumerative";

/** Planes from codes and back; products with one vector, as in generation, and with eight. */
export function packedCases(): KernelCase[] {
  return ([[1536, 512, true], [4096, 4096, false]] as const).flatMap(([rows, cols, quick]) => {
    let made: QuantizedLayer | undefined;
    const layer = () => made ??= binarizedLayer(rows, cols);
    const planes = () => makePlaneBuffer(packCodes(layer(), MASK));
    const rearranges = (): Work => {
      const words = planes().length;
      return { bound: "memory", bytes: (kind) => elementBytes({ f32: words, u8: rows * cols }, kind) };
    };
    const upload = (device: Device) => matrix(device.upload("u8", layer().codes.slice()), rows, cols);
    const size = `${rows} × ${cols}`,
      packing: KernelCase = {
        op: "packPlanes",
        size,
        quick,
        work: rearranges,
        open(device) {
          const shape = { ...layer(), mask: MASK };
          const codes = upload(device), out = device.alloc("u32", planeBufferWords(shape));
          return () => device.run(packPlanes, out, codes, shape);
        },
      };
    const unpacking: KernelCase = {
      op: "unpackPlanes",
      size,
      quick,
      work: rearranges,
      open(device) {
        const placed = { ...layer(), mask: MASK, starts: planeStarts(packCodes(layer(), MASK)) };
        const words = device.upload("u32", planes()), found = device.alloc("u32", PLANE_HEADER), codes = upload(device);
        return () => device.run(unpackPlanes, codes, found, words, placed);
      },
    };
    const products = [1, 8].map((vectors): KernelCase => ({
      op: "packedMatVec",
      size: `${rows} × ${cols} × ${vectors}`,
      quick,
      work: () => workOf(layer(), vectors),
      open(device) {
        const weights = uploadPacked(device, arrangeWeights(layer()));
        const x = matrix(device.upload("f32", randomWeights(vectors * cols)), vectors, cols);
        const out = matrix(device.alloc("f32", vectors * rows), vectors, rows);
        return () => device.run(packedMatVec, out, weights, x);
      },
    }));
    return [packing, unpacking, ...products];
  });
}

/** Bytes of the weights as they are read, beside those of the packed file. */
function workOf(layer: QuantizedLayer, vectors: number): Work {
  const read = arrangedBytes(arrangeWeights(layer)), f32 = vectors * (layer.rows + layer.cols);
  const { tensors } = encodeLayer(layer, { mask: MASK, scales: "f16" });
  const stored = Object.values(tensors).reduce((sum, { data }) => sum + data.byteLength, 0);
  return { bound: "memory", bytes: (kind) => read + elementBytes({ f32 }, kind), readOverStored: read / stored };
}

/** One binarized column block side by side with itself. */
function binarizedLayer(rows: number, cols: number): QuantizedLayer {
  const block = blockData(rows, GROUP), per = scalesPerBlock(BLOCK), blocks = cols / GROUP;
  const codes = new Uint8Array(rows * cols), scales = new Float32Array(rows * blocks * per);
  for (let row = 0; row < rows; row++) {
    for (let b = 0; b < blocks; b++) {
      codes.set(block.codes.subarray(row * GROUP, (row + 1) * GROUP), row * cols + b * GROUP);
      for (let i = 0; i < per; i++) scales[(row * blocks + b) * per + i] = Math.f16round(block.scales[row * per + i]);
    }
  }
  const { of, pruned, segments, salient } = BLOCK;
  const shape = { rows, cols, groupSize: GROUP, of, keep: of - pruned, segments, salient };
  return { ...shape, type: "semi-structured", codes, scales };
}
