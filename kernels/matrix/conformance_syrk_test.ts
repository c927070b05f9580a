/** Products of a matrix with its own transpose, against float64: |error| ≤ 2⁻²⁴·√K·(|A|·|Aᵀ|)·4 for K summands. */
import assert from "node:assert/strict";
import { close, FLOAT, get, randomWindow, scattered } from "../conformance_test_support.ts";
import { deviceCases, deviceTest } from "../device_test_support.ts";
import { syrk } from "./gemm_ops.ts";

/** Rows and columns of out × summands. */
const PRODUCTS = {
  "1×1": { size: 1, inner: 1 },
  "prime, 53×17": { size: 53, inner: 17 },
  "tile + 1, 129×41": { size: 129, inner: 41 },
  "short last tile, 700×30": { size: 700, inner: 30, slow: true },
  "no summands": { size: 5, inner: 0 },
  "1536 wide, 19×1536": { size: 19, inner: 1536 },
};

deviceCases("syrk() meets float64 above the diagonal, for windows and factors", PRODUCTS, async (device, size) => {
  for (const transposed of [false, true]) {
    for (const [alpha, beta, gap] of [[1, 0, 0], [-1, 1, 0], [0.5, -2, 3]] as const) {
      const { size: rows, inner } = size;
      const a = randomWindow(device, {
        rows: transposed ? inner : rows,
        cols: transposed ? rows : inner,
        gap,
        seed: 1,
      });
      const c = randomWindow(device, { rows, cols: rows, gap, seed: 2 });
      device.run(syrk, c.at, a.at, { transposed, alpha, beta });
      const [out] = await device.download([c.at.buffer]);
      device.release(a.at.buffer);
      const bound = FLOAT * Math.sqrt(inner + 1) * 4;
      for (const i of scattered(rows, 60)) {
        for (const distance of scattered(rows - i, 60)) {
          const j = i + distance;
          let exact = beta * get(c, i, j), terms = Math.abs(exact);
          for (let k = 0; k < inner; k++) {
            const term = transposed ? get(a, k, i) * get(a, k, j) : get(a, i, k) * get(a, j, k);
            exact += alpha * term;
            terms += Math.abs(alpha * term);
          }
          close(out[c.at.offset + i * c.at.stride + j], exact, bound, terms);
        }
        const end = c.at.offset + i * c.at.stride + rows;
        if (gap > 0 && i + 1 < rows) assert.equal(out[end], c.data[end], "the gap is left alone");
      }
    }
  }
});

deviceTest("syrk() that does not fit rejects the download by name", async (device) => {
  const a = randomWindow(device, { rows: 3, cols: 2, seed: 1 }).at;
  device.run(syrk, randomWindow(device, { rows: 2, cols: 2, seed: 2 }).at, a);
  await assert.rejects(device.download([]), /operation "syrk" failed: Cannot multiply 3×2 by its transpose into 2×2/);
});
