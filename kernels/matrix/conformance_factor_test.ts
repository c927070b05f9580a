/**
 * The factor of a Hessian on every device: ‖H − R·Rᵀ‖ ≤ n·2⁻²³·‖H‖ in the Frobenius norm, and each entry within n·2⁻²³ of
 * its diagonals' mean.
 */
import assert from "node:assert/strict";
import {
  close,
  correlated,
  FLOAT,
  get,
  meanDiagonal,
  randomWindow,
  scattered,
  symmetric,
  zeros,
} from "../conformance_test_support.ts";
import { type Device, matrix } from "../device.ts";
import { deviceCases, deviceTest } from "../device_test_support.ts";
import { factorHessian, inverseDiagonal, releaseFactor } from "./factor.ts";
import { gram } from "../binary/row_kernels_test_support.ts";
import { packUpper, unpackUpper } from "./triangle.ts";
import { cholesky } from "./cholesky_op.ts";
import { damp, unpack } from "./elementwise_ops.ts";

const BLOCKS = {
  "1×1": { size: 1 },
  "primes, 7×7": { size: 7 },
  "primes, 53×53": { size: 53 },
  "tile + 1, 65×65": { size: 65 },
  "127×127": { size: 127 },
  "128×128": { size: 128 },
};

deviceCases("cholesky(): R·Rᵀ = H and U·R = 1", BLOCKS, async (device, { size }) => {
  const full = gram(size, size), gap = 3, stride = size + gap;
  const padded = new Float32Array(size * stride + 1).fill(77), u = zeros(device, size, size);
  for (let i = 0; i < size; i++) padded.set(full.subarray(i * size, (i + 1) * size), 1 + i * stride);
  const h = { buffer: device.upload("f32", padded), rows: size, cols: size, offset: 1, stride };
  const status = matrix(device.alloc("u32", 1), 1, 1);
  device.run(cholesky, h, status, { first: 5, inverse: u });
  const [out, inverse, [state]] = await device.download([h.buffer, u.buffer, status.buffer]);
  assert.equal(state, 0);
  const r = Float32Array.from({ length: size * size }, (_, at) => out[1 + Math.floor(at / size) * stride + at % size]);
  assertFactor(r, Float64Array.from(full), size);
  for (let i = 0; i < size; i++) {
    if (i + 1 < size) assert.equal(out[1 + i * stride + size], 77, "the gap is left alone");
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += r[i * size + k] * inverse[k * size + j];
      close(sum, i === j ? 1 : 0, 1e-5, 1);
    }
  }
});

const PARTS = {
  all: [0, 29, 0, 29],
  above: [3, 5, 20, 9],
  below: [20, 9, 3, 5],
  across: [4, 12, 8, 13],
  "1×1": [28, 1, 28, 1],
};

deviceTest(
  "damp() and unpack() cut any part out of a packed triangle, with damping on its diagonal",
  async (device, t) => {
    const size = 29, full = symmetric(size), packed = device.upload("f32", packUpper(full, size));
    const diagonal = zeros(device, 1, size), added = zeros(device, 1, size);
    device.run(damp, diagonal, added, packed, { size, damping: 0.25 });
    for (const [name, [row, rows, col, cols]] of Object.entries(PARTS)) {
      await t.step(name, async () => {
        const out = randomWindow(device, { rows, cols, gap: 2, seed: 1 });
        device.run(unpack, out.at, packed, { size, row, col, added });
        const [data] = await device.download([out.at.buffer]);
        for (let i = row; i < row + rows; i++) {
          for (let j = col; j < col + cols; j++) {
            const found = get({ ...out, data }, i - row, j - col), own = full[i * size + j];
            if (i !== j) assert.equal(found, own);
            else close(found, own + 0.25 * meanDiagonal(full, size) + (own === 0 ? 1 : 0), 4 * FLOAT);
          }
        }
      });
    }
    assert.deepEqual(unpackUpper(packUpper(full, size), size), full);
  },
);

const FACTORS = {
  "1": { size: 1, group: 16 },
  "prime, 7": { size: 7, group: 128 },
  "prime and dead inputs, 53 in blocks of 16": { size: 53, group: 16 },
  "block + 1, 129 in blocks of 128": { size: 129, group: 128 },
  "tile + 1, 129 in one block": { size: 129, group: 1000 },
  "576 wide in blocks of 128": { size: 576, group: 128, slow: true },
  "576 wide in one block": { size: 576, group: 576 },
  "1536 wide in blocks of 256": { size: 1536, group: 256, slow: true },
  "1500 wide, last block of 92": { size: 1500, group: 128, slow: true },
};

deviceCases("factorHessian(): R·Rᵀ is the damped Hessian, U·R = 1", FACTORS, async (device, { size, group }) => {
  const full = size > 200 ? correlated(size) : gram(size, size);
  if (size === 53) { for (let j = 0; j < size; j++) full[7 * size + j] = full[j * size + 7] = 0; }
  const packed = device.upload("f32", packUpper(full, size));
  const factor = factorHessian(device, packed, { size, group, damping: 0.01 });
  const wanted = Float64Array.from(full), mean = meanDiagonal(full, size);
  for (let j = 0; j < size; j++) wanted[j * size + j] += 0.01 * mean + (full[j * size + j] === 0 ? 1 : 0);
  // Panels may share buffers.
  const buffers = [...new Set(factor.panels.map(({ buffer }) => buffer))], strips = await device.download(buffers);
  const panels = factor.panels.map(({ buffer, rows, cols, offset, stride }) => {
    const strip = strips[buffers.indexOf(buffer)], row = (i: number) => offset + i * stride;
    return Float32Array.from({ length: rows * cols }, (_, at) => strip[row(Math.floor(at / cols)) + at % cols]);
  });
  const inverses = await device.download(factor.inverses.map(({ buffer }) => buffer));
  const [diagonal, diagonalU, status] = await device.download(
    [factor.diagonal.buffer, factor.diagonalU.buffer, factor.status.buffer],
  );
  assert.equal(status[0], 0);
  const r = new Float32Array(size * size);
  panels.forEach((panel, b) => {
    const col = b * group, cols = Math.min(group, size - col);
    for (let i = 0; i < col + cols; i++) r.set(panel.subarray(i * cols, (i + 1) * cols), i * size + col);
    for (const i of scattered(cols, 130)) {
      for (let j = 0; j < cols; j++) {
        let sum = 0;
        for (let k = i; k < cols; k++) sum += panel[(col + i) * cols + k] * inverses[b][k * cols + j];
        close(sum, i === j ? 1 : 0, 1e-5, 1);
      }
    }
    for (let i = 0; i < cols; i++) {
      close(diagonalU[col + i] * panel[(col + i) * cols + i], 1, 4 * FLOAT);
      assert.equal(diagonal[col + i], full[(col + i) * (size + 1)]);
    }
  });
  assertFactor(r, wanted, size);
});

/** R·Rᵀ = H in some of their rows, and R is upper triangular. */
function assertFactor(r: Float32Array, h: Float64Array, size: number): void {
  const bound = size * 2 * FLOAT;
  let apart = 0, norm = 0;
  for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) if (r[i * size + j] !== 0) assert.fail(`R has ${i},${j}`);
  for (const i of scattered(size, Math.ceil(100_000 / size))) {
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let k = Math.max(i, j); k < size; k++) sum += r[i * size + k] * r[j * size + k];
      const exact = h[i * size + j], error = Math.abs(sum - exact);
      apart += error * error;
      norm += exact * exact;
      const scale = Math.sqrt(h[i * (size + 1)] * h[j * (size + 1)]);
      if (!(error <= bound * scale)) assert.fail(`At ${i},${j}: ${sum}, not ${exact} within ${bound * scale}`);
    }
  }
  assert.ok(Math.sqrt(apart / norm) <= bound, `A residual of ${Math.sqrt(apart / norm)}, not ${bound}`);
}

const BROKEN = { "in blocks of 128": { group: 128 }, "in one block": { group: 300 } };

deviceCases("factorHessian() reports the first pivot that is not positive", BROKEN, async (device, { group }) => {
  const size = 300, full = new Float32Array(size * size);
  for (let j = 0; j < size; j++) full[j * (size + 1)] = j === 40 || j === 170 ? -1 : 1;
  const negative = await factored(device, full, { size, group });
  assert.equal(negative.status, 171);
  assert.ok(negative.diagonalU.every(Number.isFinite));
  full[5] = NaN;
  full[170 * (size + 1)] = full[40 * (size + 1)] = 1;
  assert.notEqual((await factored(device, full, { size, group })).status, 0);
});

async function factored(
  device: Device,
  full: Float32Array,
  { size, group }: { readonly size: number; readonly group: number },
): Promise<{ readonly status: number; readonly diagonalU: Float32Array }> {
  const factor = factorHessian(device, device.upload("f32", packUpper(full, size)), { size, group, damping: 0.01 });
  const [[status], diagonalU] = await device.download([factor.status.buffer, factor.diagonalU.buffer]);
  releaseFactor(device, factor);
  return { status, diagonalU };
}

const INVERSES = {
  "1": { size: 1, group: 8 },
  "prime, 53": { size: 53, group: 16 },
  "block + 2, 130": { size: 130, group: 128 },
  "short last block, 200 in blocks of 48": { size: 200, group: 48 },
};

deviceCases("inverseDiagonal() is the diagonal of the damped inverse", INVERSES, async (device, { size, group }) => {
  const full = gram(size, 3 * size), mean = meanDiagonal(full, size);
  const packed = device.upload("f32", packUpper(full, size));
  const factor = factorHessian(device, packed, { size, group, damping: 0.02 });
  const [found] = await device.download([inverseDiagonal(device, factor).buffer]);
  const damped = Float64Array.from(full);
  for (let j = 0; j < size; j++) damped[j * (size + 1)] += 0.02 * mean;
  const exact = inverse(damped, size);
  for (let j = 0; j < size; j++) close(found[j], exact[j * (size + 1)], 2e-5);
});

/** Gauss–Jordan without pivoting, for positive definite matrices. */
function inverse(a: Float64Array, size: number): Float64Array {
  const out = Float64Array.from(a);
  for (let p = 0; p < size; p++) {
    const pivot = 1 / out[p * size + p];
    out[p * size + p] = 1;
    for (let j = 0; j < size; j++) out[p * size + j] *= pivot;
    for (let i = 0; i < size; i++) {
      if (i === p) continue;
      const factor = out[i * size + p];
      out[i * size + p] = 0;
      for (let j = 0; j < size; j++) out[i * size + j] -= factor * out[p * size + j];
    }
  }
  return out;
}
