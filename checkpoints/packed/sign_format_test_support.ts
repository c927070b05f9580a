/** A format of its own for tests: one sign a weight, one scale a row. As small as a format can be. */
import * as z from "zod";
import { fromFloat16, toFloat16 } from "../../files/float16.ts";
import type { EncodedLayer, LayerContent, LayerFormat } from "./format.ts";

const Header = z.strictObject({ rows: z.int().min(1).max(1 << 20), cols: z.int().min(1).max(1 << 10) });
type Header = z.infer<typeof Header>;

/** The format. Its content is `signs` (U8, [rows, cols], 0 or 1) and `scales` (F32, [rows], exact in half precision). */
export const signFormat: LayerFormat<Header> = {
  name: "sign",
  header: Header,
  planes: ["signs", "scales"],
  required: ["signs", "scales"],
  components: [
    { name: "signs", planes: ["signs"], label: "signs" },
    { name: "scales", planes: ["scales"], label: "scales" },
  ],
  formulas: { nominal: "1" },
  pack({ format, rows, cols, arrays: { signs, scales } }) {
    const words = new Uint32Array(Math.ceil(rows * cols / 32));
    for (let i = 0; i < rows * cols; i++) words[i >>> 5] |= Number(signs.data[i]) << (i & 31);
    const halves = toFloat16(Float32Array.from(scales.data, Number));
    return Promise.resolve({
      format,
      header: { rows, cols },
      tensors: {
        signs: { dtype: "U32", shape: [words.length], data: words },
        scales: { dtype: "F16", shape: [rows], data: halves },
      },
    });
  },
  unpack,
  decode(encoded) {
    const { rows, cols, arrays: { signs, scales } } = unpack(encoded);
    const weight = (_: unknown, i: number) => (signs.data[i] ? 1 : -1) * Number(scales.data[Math.floor(i / cols)]);
    return Promise.resolve(Float32Array.from({ length: rows * cols }, weight));
  },
  figures: () => Promise.resolve({ nominal: 1, cells: {}, shares: {} }),
};

function unpack({ format, header: { rows, cols }, tensors: { signs, scales } }: EncodedLayer<Header>): LayerContent {
  const words = signs.data, halves = scales.data;
  if (
    !(words instanceof Uint32Array && halves instanceof Uint16Array) || words.length !== Math.ceil(rows * cols / 32)
  ) {
    throw new RangeError(`Cannot unpack signs and scales of ${rows} × ${cols}`);
  }
  const bits = Uint8Array.from({ length: rows * cols }, (_, i) => (words[i >>> 5] >>> (i & 31)) & 1);
  return {
    format,
    rows,
    cols,
    facts: {},
    arrays: {
      signs: { dtype: "U8", shape: [rows, cols], data: bits },
      scales: { dtype: "F32", shape: [rows], data: fromFloat16(halves) },
    },
  };
}
