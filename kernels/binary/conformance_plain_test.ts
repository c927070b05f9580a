/** What every device makes of signs with one scale a row, against the row kernels. */
import { allClose, allEqual, FLOAT } from "../conformance_test_support.ts";
import { matrix } from "../device.ts";
import { deviceCases } from "../device_test_support.ts";
import { plainRows, rescaleRows } from "./plain.ts";
import { rescale, startPlain } from "./plain_ops.ts";
import { uniform, weights } from "./row_kernels_test_support.ts";

const BLOCKS = {
  "1×1": { rows: 1, cols: 1 },
  "primes, 13×53": { rows: 13, cols: 53 },
  "workgroup + 1, 65×129": { rows: 65, cols: 129 },
  "4096 wide": { rows: 2, cols: 4096 },
};

deviceCases(
  "startPlain() and rescale() give the row kernels' signs and scales",
  BLOCKS,
  async (device, { rows, cols }) => {
    const w = weights("heavy", rows, cols, rows + cols), next = uniform(cols);
    const rank = Uint8Array.from(w, () => Math.floor(8 * next())), signed = Float32Array.from(w, () => next() - 0.5);
    const product = Float32Array.from(signed, (value) => value + 0.1 * (next() - 0.5));
    const at = { w: device.upload("f32", w), rank: device.upload("u8", rank) };
    for (const pruned of [0, 4, 8]) {
      const codes = new Uint8Array(w.length), scales = new Float32Array(2 * rows);
      const dCodes = matrix(device.upload("u8", codes.map(() => 9)), rows, cols);
      const dScales = matrix(device.upload("f32", scales.map(() => NaN)), rows, 2);
      device.run(startPlain, dCodes, dScales, {
        w: matrix(at.w, rows, cols),
        rank: matrix(at.rank, rows, cols),
        pruned,
      });
      const [bits, first] = await device.download([dCodes.buffer, dScales.buffer]);
      plainRows(codes, scales, { w, rank, rows, cols, pruned });
      allEqual(bits, codes, "codes");
      allClose(first, scales, 4 * FLOAT, "first scales");
      const operands = { decoded: signed, target: w, product };
      const [decoded, target, there] = Object.values(operands).map((data) =>
        matrix(device.upload("f32", data), rows, cols)
      );
      const out = matrix(device.upload("f32", scales), rows, 2);
      device.run(rescale, out, { decoded, target, product: there });
      const [found] = await device.download([out.buffer]);
      rescaleRows(scales, { ...operands, rows, cols });
      allClose(found, scales, 8 * FLOAT, "scales");
    }
  },
);
