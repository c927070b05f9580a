import assert from "node:assert/strict";
import { binarizeRows, pruneCodes } from "./binarize.ts";
import { gpuPrune, gpuStartScales } from "./binarize_webgpu.ts";
import { decodeBlock } from "./decode.ts";
import { gpuDecode } from "./decode_webgpu.ts";
import { scalesPerBlock, SECOND_SIGN } from "./quantized_layer.ts";
import { difference, groupCodes, KINDS, uniform, weights } from "./row_kernels_test_support.ts";
import { gpuMatrix, withoutOffset } from "./row_webgpu_test_support.ts";
import { gpuTest } from "../gpu/webgpu_test_support.ts";

/** Kinds whose weights lie between levels, where float64 decides by its own rounding. */
const TIED: ReadonlySet<string> = new Set(["integers", "two values"]);

const SHAPES = [
  { rows: 1, cols: 1, segments: 1, salient: false, pruned: 0, salientPruned: 0, columns: 0 },
  { rows: 67, cols: 53, segments: 3, salient: true, pruned: 4, salientPruned: 0, columns: 2 },
  { rows: 130, cols: 128, segments: 4, salient: true, pruned: 3, salientPruned: 3, columns: 17 },
  { rows: 5, cols: 129, segments: 2, salient: false, pruned: 8, salientPruned: 8, columns: 0 },
] as const;

gpuTest("gpuStartScales(), gpuPrune() and gpuDecode() give the CPU's bits and values", async (context) => {
  for (const kind of KINDS) {
    for (const shape of SHAPES) {
      const { rows, cols, segments, pruned, columns } = shape;
      const w = weights(kind, rows, cols, 9), next = uniform(1), rank = w.map(() => Math.floor(8 * next()));
      const block = { ...shape, w, rank: Uint8Array.from(rank) };
      const codes = groupCodes(w, cols, columns, segments), scales = new Float32Array(rows * scalesPerBlock(shape));
      const dw = gpuMatrix(context, "f32", w, rows), dRank = gpuMatrix(context, "u8", block.rank, rows);
      const dCodes = gpuMatrix(context, "u8", codes, rows), dScales = gpuMatrix(context, "f32", scales, rows);
      const dDecoded = gpuMatrix(context, "f32", w, rows), decoded = new Float32Array(w.length);
      gpuStartScales(context, dCodes, dScales, { ...shape, w: dw, rank: dRank });
      gpuPrune(context, dCodes, { rank: dRank, pruned });
      gpuDecode(context, dDecoded, { ...shape, codes: dCodes, scales: dScales });
      binarizeRows(codes, scales, block);
      pruneCodes(codes, block.rank, pruned);
      decodeBlock(decoded, { ...shape, codes, scales });
      const [foundCodes, foundScales, foundDecoded] = await context.download(
        [dCodes.buffer, dScales.buffer, dDecoded.buffer],
      );
      assert.ok(difference(withoutOffset(foundScales), scales) <= 2 ** -23, `${kind} ${rows}×${cols}: scales`);
      const values = withoutOffset(foundDecoded), bits = withoutOffset(foundCodes);
      if (TIED.has(kind)) {
        // A weight between two levels may go to either: its error is the same.
        const error = (found: Float32Array) => found.map((x, at) => bits[at] % 2 * Math.abs(x - w[at]));
        assert.ok(difference(error(values), error(decoded)) <= 2 ** -21, `${kind} ${rows}×${cols}: errors`);
        assert.deepEqual(bits.map((c) => c & ~SECOND_SIGN), codes.map((c) => c & ~SECOND_SIGN));
      } else {
        assert.ok(difference(values, decoded) <= 2 ** -22, `${kind} ${rows}×${cols}: values`);
        assert.deepEqual(bits, codes, `${kind} ${rows}×${cols}: codes`);
      }
    }
  }
});
