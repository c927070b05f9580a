/** Products of the devices against float64: |error| ≤ 2⁻²⁴·√K·(|A|·|B|)·4 for K summands, elements checked scattered. */
import assert from "node:assert/strict";
import {
  close,
  FLOAT,
  get,
  type Host,
  randomWindow,
  scattered,
  symmetric,
  zeros,
} from "../conformance_test_support.ts";
import { part } from "../device.ts";
import { deviceCases, deviceTest } from "../device_test_support.ts";
import { addEnergy } from "./error.ts";
import { gram } from "../binary/row_kernels_test_support.ts";
import { packUpper } from "./triangle.ts";
import { gemm } from "./gemm_ops.ts";

/** Rows × cols × summands. */
const PRODUCTS = {
  "1×1×1": { shape: [1, 1, 1] },
  "primes, 7×5×3": { shape: [7, 5, 3] },
  "primes, 53×127×17": { shape: [53, 127, 17] },
  "tile + 1, 129×65×129": { shape: [129, 65, 129] },
  "one column, 300×1×7": { shape: [300, 1, 7] },
  "one row, 1×130×40": { shape: [1, 130, 40] },
  "short last tile, 700×2×900": { shape: [700, 2, 900], slow: true },
  "576 wide, 5×13×576": { shape: [5, 13, 576] },
  "1536 wide, 9×7×1536": { shape: [9, 7, 1536], slow: true },
  "4096 wide, 3×5×4096": { shape: [3, 5, 4096] },
  "4096 columns, 2×4096×3": { shape: [2, 4096, 3], slow: true },
  "4096 rows, 4096×3×2": { shape: [4096, 3, 2], slow: true },
  "larger than a window, 260×1100×40": { shape: [260, 1100, 40], slow: true },
  "operand larger than a window, 70×9×4096": { shape: [70, 9, 4096], slow: true },
} as const;

/** alpha, beta, and columns between rows that belong to no operand. */
const FACTORS = [[1, 0, 0], [-1, 1, 0], [0.5, -2, 3]] as const;

for (const transposeA of [false, true]) {
  for (const transposeB of [false, true]) {
    const name = `gemm() of ${transposeA ? "Aᵀ" : "A"} and ${transposeB ? "Bᵀ" : "B"}`;
    deviceCases(`${name} meets float64, with factors and gaps`, PRODUCTS, async (device, { shape, slow }) => {
      const [rows, cols, inner] = shape;
      for (const [alpha, beta, gap] of slow ? FACTORS.slice(2) : FACTORS) {
        const [aRows, aCols] = transposeA ? [inner, rows] : [rows, inner];
        const [bRows, bCols] = transposeB ? [cols, inner] : [inner, cols];
        const a = randomWindow(device, { rows: aRows, cols: aCols, gap, seed: 1 });
        const b = randomWindow(device, { rows: bRows, cols: bCols, gap, seed: 2 });
        const c = randomWindow(device, { rows, cols, gap, seed: 3 });
        device.run(gemm, c.at, a.at, b.at, { transposeA, transposeB, alpha, beta });
        const [out] = await device.download([c.at.buffer]);
        device.release(a.at.buffer);
        device.release(b.at.buffer);
        const bound = FLOAT * Math.sqrt(inner) * 4;
        // So many multiplications here.
        for (const at of scattered(rows * cols, Math.max(60, Math.floor(2e5 / inner)))) {
          const i = Math.floor(at / cols), j = at % cols;
          let exact = 0, size = 0;
          for (let k = 0; k < inner; k++) {
            const x = transposeA ? get(a, k, i) : get(a, i, k), y = transposeB ? get(b, j, k) : get(b, k, j);
            exact += x * y;
            size += Math.abs(x * y);
          }
          exact = alpha * exact + beta * get(c, i, j);
          size = Math.abs(alpha) * size + Math.abs(beta * get(c, i, j));
          const found = out[c.at.offset + i * c.at.stride + j];
          if (!(Math.abs(found - exact) <= bound * size)) {
            assert.fail(`At ${i},${j}: ${found}, not ${exact} within ${bound * size}`);
          }
        }
        for (let at = 0; at < out.length; at++) {
          if (inGap(c, at) && out[at] !== c.data[at]) assert.fail(`The gap at ${at} was written`);
        }
      }
    });
  }
}

function inGap({ at: { offset, stride, cols } }: Host, at: number): boolean {
  return at < offset || (at - offset) % stride >= cols;
}

deviceTest("gemm() that does not fit rejects the download by name, once", async (device) => {
  const out = zeros(device, 2, 2);
  device.run(gemm, out, zeros(device, 2, 3), zeros(device, 2, 2));
  await assert.rejects(device.download([]), /Device operation "gemm" failed: Cannot multiply 2×3 by 2×2 into 2×2/);
  assert.deepEqual(await device.download([out.buffer]), [new Float32Array(4)]);
});

const ENERGIES = {
  "1 row of 1": { rows: 1, size: 1 },
  "primes, 5 rows of 53": { rows: 5, size: 53 },
  "tile + 1, 3 rows of 257": { rows: 3, size: 257 },
  "576 wide": { rows: 9, size: 576, slow: true },
  "1536 wide": { rows: 2, size: 1536, slow: true },
};

deviceCases("addEnergy() is tr(E·H·Eᵀ)", ENERGIES, async (device, { rows, size }) => {
  const full = size > 500 ? symmetric(size) : gram(size, size), e = randomWindow(device, { rows, cols: size, seed: 5 });
  let exact = 0, plain = 0, bound = 0;
  for (let r = 0; r < rows; r++) {
    for (let i = 0; i < size; i++) {
      plain += get(e, r, i) ** 2;
      for (let j = 0; j < size; j++) {
        const term = get(e, r, i) * full[i * size + j] * get(e, r, j);
        exact += term;
        bound += Math.abs(term);
      }
    }
  }
  const out = zeros(device, 1, 2);
  addEnergy(device, part(out, { cols: 1 }), e.at, device.upload("f32", packUpper(full, size)));
  addEnergy(device, part(out, { col: 1 }), e.at, undefined);
  const [energy] = await device.download([out.buffer]);
  close(energy[0], exact, 4 * Math.sqrt(size) * FLOAT, bound);
  close(energy[1], plain, 4 * FLOAT);
});
