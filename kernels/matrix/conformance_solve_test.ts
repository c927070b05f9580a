/** Equations with the factor of a Hessian, on every device: what comes out, times the damped Hessian, is what went in. */
import assert from "node:assert/strict";
import { gram } from "../binary/row_kernels_test_support.ts";
import { FLOAT, meanDiagonal } from "../conformance_test_support.ts";
import { matrix } from "../device.ts";
import { deviceCases, deviceTest } from "../device_test_support.ts";
import { factorHessian, releaseFactor } from "./factor.ts";
import { solveRight } from "./solve.ts";
import { packUpper } from "./triangle.ts";

const SIZES = {
  "1×1": { size: 1, group: 8, rows: 1 },
  "primes, 7×53 in blocks of 16": { size: 53, group: 16, rows: 7 },
  "block + 1, 5×129": { size: 129, group: 128, rows: 5 },
  "one block, 65×200": { size: 200, group: 1000, rows: 65 },
  "short last block, 33×576": { size: 576, group: 128, rows: 33, slow: true },
  "dead inputs, 3×64": { size: 64, group: 32, rows: 3, dead: 7 },
};
const DAMPING = 0.01;

deviceCases("solveRight(): y·(H + δI)⁻¹·(H + δI) = y", SIZES, async (device, { size, group, rows, ...rest }) => {
  const full = gram(size, 2 * size), dead = "dead" in rest ? Number(rest.dead) : -1;
  if (dead >= 0) { for (let j = 0; j < size; j++) full[dead * size + j] = full[j * size + dead] = 0; }
  const y = Float32Array.from({ length: rows * size }, (_, i) => Math.sin(i * i + 1));
  const factor = factorHessian(device, device.upload("f32", packUpper(full, size)), { size, group, damping: DAMPING });
  // A window of a larger buffer, whose other entries stay.
  const stride = size + 3, padded = new Float32Array(rows * stride + 1).fill(77);
  for (let r = 0; r < rows; r++) padded.set(y.subarray(r * size, (r + 1) * size), 1 + r * stride);
  const buffer = device.upload("f32", padded);
  solveRight(device, factor, { buffer, rows, cols: size, offset: 1, stride });
  const [x] = await device.download([buffer]);
  const damped = Float64Array.from(full), mean = meanDiagonal(full, size);
  for (let j = 0; j < size; j++) damped[j * (size + 1)] += DAMPING * mean + (full[j * (size + 1)] === 0 ? 1 : 0);
  for (let r = 0; r < rows; r++) {
    let [apart, norm] = [0, 0];
    for (let j = 0; j < size; j++) {
      let sum = 0, terms = 0;
      for (let k = 0; k < size; k++) {
        const term = x[1 + r * stride + k] * damped[k * size + j];
        sum += term;
        terms += Math.abs(term);
      }
      apart += (sum - y[r * size + j]) ** 2;
      norm += terms ** 2;
    }
    assert.ok(Math.sqrt(apart) <= 16 * FLOAT * Math.sqrt(norm), `row ${r}: ${Math.sqrt(apart / norm) / FLOAT} ulp`);
    for (let j = 0; j < 3 && r + 1 < rows; j++) assert.equal(x[1 + r * stride + size + j], 77);
  }
  assert.equal(x[0], 77);
  releaseFactor(device, factor);
});

deviceTest("solveRight() refuses other columns than the factor has", (device) => {
  const packed = device.upload("f32", packUpper(gram(8, 16), 8));
  const factor = factorHessian(device, packed, { size: 8, group: 8, damping: DAMPING });
  assert.throws(() => solveRight(device, factor, matrix(device.alloc("f32", 6), 1, 6)), /of 8 columns: there are 6/);
});
