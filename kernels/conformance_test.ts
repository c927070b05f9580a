/**
 * One suite for all devices: every operation against a plain float64 reference, or against the row kernel it stands
 * for.
 */
import assert from "node:assert/strict";
import { alternateRounds } from "./alternate.ts";
import { startScales } from "./binarize.ts";
import { columnwiseSweep } from "./columnwise.ts";
import { decodeBlock } from "./decode.ts";
import { type Device, type Matrix, matrix, part } from "./device.ts";
import { deviceTest as test } from "./device_test_support.ts";
import { addEnergy } from "./error.ts";
import { factorHessian, inverseDiagonal, releaseFactor } from "./factor.ts";
import { absoluteSums, importance, relativeMoments } from "./importance.ts";
import { solveJoint } from "./joint.ts";
import { scalesPerBlock } from "./quantized_layer.ts";
import { resignSweep } from "./resign.ts";
import { gram, normal } from "./row_kernels_test_support.ts";
import { searchSalient } from "./salient.ts";
import { searchSegments } from "./segments.ts";
import { pruneCodes, rankNM } from "./select.ts";
import { packUpper, unpackUpper } from "./triangle.ts";

const FLOAT = 2 ** -24;

/** Sizes: 1, primes, one past a block, a short last block. */
const SIZES = [1, 7, 53, 129, 576] as const;

test("gemm() meets float64 for all transposes, factors and windows", async (device) => {
  const shapes = [[1, 1, 1], [7, 5, 3], [53, 129, 17], [129, 64, 129], [1, 130, 40], [300, 1, 7], [30, 70, 300], [
    700,
    2,
    900,
  ]];
  for (const [rows, cols, inner] of shapes) {
    for (const transposeA of [false, true]) {
      for (const transposeB of [false, true]) {
        for (const [alpha, beta, gap] of [[1, 0, 0], [-1, 1, 0], [0.5, -2, 3]]) {
          const [aRows, aCols] = transposeA ? [inner, rows] : [rows, inner];
          const [bRows, bCols] = transposeB ? [cols, inner] : [inner, cols];
          const a = window(device, aRows, aCols, gap, 1), b = window(device, bRows, bCols, gap, 2);
          const c = window(device, rows, cols, gap, 3);
          device.gemm(c.at, a.at, b.at, { transposeA, transposeB, alpha, beta });
          const [out] = await device.download([c.at.buffer]);
          const bound = FLOAT * Math.sqrt(inner) * 4;
          for (let i = 0; i < rows; i++) {
            // Of large products every fifth element, scattered.
            const step = rows * cols > 4000 ? 5 : 1;
            for (let j = i % step; j < cols; j += step) {
              let exact = 0, size = 0;
              for (let k = 0; k < inner; k++) {
                const x = transposeA ? get(a, k, i) : get(a, i, k), y = transposeB ? get(b, j, k) : get(b, k, j);
                exact += x * y;
                size += Math.abs(x * y);
              }
              exact = alpha * exact + beta * get(c, i, j);
              size = Math.abs(alpha) * size + Math.abs(beta * get(c, i, j));
              const found = out[c.at.offset + i * c.at.stride + j];
              if (Math.abs(found - exact) > bound * size) {
                assert.fail(
                  `${rows}×${cols}×${inner} ${transposeA} ${transposeB} at ${i},${j}: ${found}, not ${exact}`,
                );
              }
            }
          }
          if (gap > 0) assert.equal(out[c.at.offset + cols], c.data[c.at.offset + cols], "the gap is left alone");
        }
      }
    }
  }
});

test("gemm() that does not fit rejects the download by name, once", async (device) => {
  const m = (rows: number, cols: number) => matrix(device.alloc("f32", rows * cols), rows, cols);
  const out = m(2, 2);
  device.gemm(out, m(2, 3), m(2, 2));
  await assert.rejects(device.download([]), /Device operation "gemm" failed: Cannot multiply 2×3 by 2×2 into 2×2/);
  assert.deepEqual(await device.download([out.buffer]), [new Float32Array(4)]);
});

test("a released buffer is refused", async (device) => {
  const a = matrix(device.alloc("f32", 4), 2, 2);
  device.release(a.buffer);
  device.power(a, a, 2);
  await assert.rejects(device.download([]), /after its release/);
});

test("copy(), subtract(), power(), diagonal(), columnSquares() and addDot() work on windows", async (device) => {
  for (const [rows, cols] of [[1, 1], [7, 5], [37, 65]]) {
    const a = window(device, rows, cols, 2, 1), b = window(device, rows, cols, 1, 2);
    const scale = window(device, 1, cols, 0, 3);
    const make = (r: number, c: number) => matrix(device.alloc("f32", r * c), r, c);
    const copied = make(rows, cols), turned = make(cols, rows), difference = make(rows, cols);
    const scaled = make(cols, rows), squared = make(rows, cols), sums = make(1, cols), dot = make(1, 1);
    device.copy(copied, a.at);
    device.copy(turned, a.at, { transposed: true });
    device.subtract(difference, a.at, b.at);
    device.subtract(scaled, a.at, b.at, { scale: scale.at, transposed: true });
    device.power(squared, a.at, 2);
    device.columnSquares(sums, a.at);
    device.addDot(dot, a.at, b.at, 2);
    device.addDot(dot, a.at, a.at, -1);
    const out = await device.download([copied, turned, difference, scaled, squared, sums, dot].map((m) => m.buffer));
    const columns = new Float64Array(cols);
    let product = 0;
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < cols; j++) {
        const x = get(a, i, j), y = get(b, i, j), at = i * cols + j, across = j * rows + i;
        assert.equal(out[0][at], x);
        assert.equal(out[1][across], x);
        assert.equal(out[2][at], Math.fround(x - y));
        close(out[3][across], (x - y) * get(scale, 0, j), 4 * FLOAT);
        close(out[4][at], x * x, 4 * FLOAT);
        columns[j] += x * x;
        product += 2 * x * y - x * x;
      }
    }
    for (let j = 0; j < cols; j++) close(out[5][j], columns[j], 4 * FLOAT);
    close(out[6][0], product, 64 * FLOAT, columns.reduce((sum, x) => sum + 3 * x, 0));
  }
});

test("roundHalf() rounds to float16 and stays finite; clearColumns() clears what is dead", async (device) => {
  const x = matrix(device.upload("f32", Float32Array.of(1 / 3, -70000, 1e-9, 65519.9)), 2, 2);
  device.roundHalf(x);
  const w = matrix(device.upload("f32", Float32Array.of(1, 2, 3, 4, 5, 6)), 2, 3);
  device.clearColumns(w, matrix(device.upload("f32", Float32Array.of(1, 0, -2)), 1, 3));
  const [half, cleared] = await device.download([x.buffer, w.buffer]);
  assert.deepEqual([...half], [Math.f16round(1 / 3), -65504, 0, 65504]);
  assert.deepEqual([...cleared], [1, 0, 3, 4, 0, 6]);
});

test("unpack() cuts any part out of a packed triangle, with damping on its diagonal", async (device) => {
  const size = 29, full = symmetric(size);
  const packed = device.upload("f32", packUpper(full, size));
  const diagonal = matrix(device.alloc("f32", size), 1, size), added = matrix(device.alloc("f32", size), 1, size);
  device.damp(diagonal, added, packed, { size, damping: 0.25 });
  for (
    const [row, rows, col, cols] of [[0, 29, 0, 29], [3, 5, 20, 9], [20, 9, 3, 5], [4, 12, 8, 13], [28, 1, 28, 1]]
  ) {
    const out = window(device, rows, cols, 2, 1);
    device.unpack(out.at, packed, { size, row, col, added });
    const [data] = await device.download([out.at.buffer]);
    for (let i = row; i < row + rows; i++) {
      for (let j = col; j < col + cols; j++) {
        const found = data[out.at.offset + (i - row) * out.at.stride + j - col];
        if (i !== j) assert.equal(found, full[i * size + j]);
        else {close(
            found,
            full[i * size + i] + 0.25 * meanDiagonal(full, size) + (full[i * size + i] === 0 ? 1 : 0),
            4 * FLOAT,
          );}
      }
    }
  }
  assert.deepEqual(unpackUpper(packUpper(full, size), size), full);
});

test("factorHessian(): R·Rᵀ is the damped Hessian, U·R = 1, for any group", async (device) => {
  for (const size of SIZES) {
    for (const group of size === 576 ? [128, 576] : [16, 128, 1000]) {
      const full = size === 576 ? correlated576() : gram(size, size);
      if (size === 53) { for (let j = 0; j < size; j++) full[7 * size + j] = full[j * size + 7] = 0; }
      const packed = device.upload("f32", packUpper(full, size));
      const factor = factorHessian(device, packed, { size, group, damping: 0.01 });
      const wanted = Float64Array.from(full), mean = meanDiagonal(full, size);
      for (let j = 0; j < size; j++) wanted[j * size + j] += 0.01 * mean + (full[j * size + j] === 0 ? 1 : 0);
      const panels = await device.download(factor.panels.map(({ buffer }) => buffer));
      const inverses = await device.download(factor.inverses.map(({ buffer }) => buffer));
      const [diagonal, diagonalU, status] = await device.download(
        [factor.diagonal.buffer, factor.diagonalU.buffer, factor.status.buffer],
      );
      assert.equal(status[0], 0);
      const r = new Float64Array(size * size);
      panels.forEach((panel, b) => {
        const col = b * group, cols = Math.min(group, size - col);
        for (let i = 0; i < col + cols; i++) {
          for (let j = 0; j < cols; j++) r[i * size + col + j] = panel[i * cols + j];
        }
        for (let i = 0; i < cols; i++) {
          for (let j = 0; j < cols; j++) {
            let sum = 0;
            for (let k = 0; k < cols; k++) sum += panel[(col + i) * cols + k] * inverses[b][k * cols + j];
            close(sum, i === j ? 1 : 0, 1e-5, 1);
          }
          close(diagonalU[col + i] * panel[(col + i) * cols + i], 1, 4 * FLOAT);
          assert.equal(diagonal[col + i], full[(col + i) * (size + 1)]);
        }
      });
      let worst = 0;
      for (let i = 0; i < size; i += size > 200 ? 7 : 1) {
        for (let j = 0; j < size; j++) {
          if (j < i) assert.equal(r[i * size + j], 0, "R is upper triangular");
          let sum = 0;
          for (let k = Math.max(i, j); k < size; k++) sum += r[i * size + k] * r[j * size + k];
          const scale = Math.sqrt(wanted[i * (size + 1)] * wanted[j * (size + 1)]);
          worst = Math.max(worst, Math.abs(sum - wanted[i * size + j]) / scale);
        }
      }
      assert.ok(worst <= size * 2 * FLOAT, `${size}, group ${group}: residual ${worst}`);
    }
  }
});

test("factorHessian() reports the first pivot that is not positive", async (device) => {
  const size = 300, full = new Float32Array(size * size);
  for (let j = 0; j < size; j++) full[j * (size + 1)] = j === 40 || j === 170 ? -1 : 1;
  for (const group of [128, 300]) {
    const factor = factorHessian(device, device.upload("f32", packUpper(full, size)), { size, group, damping: 0.01 });
    const [status, u] = await device.download([factor.status.buffer, factor.diagonalU.buffer]);
    assert.equal(status[0], 171);
    assert.ok(u.every(Number.isFinite));
    releaseFactor(device, factor);
  }
  full[5] = NaN;
  full[170 * (size + 1)] = full[40 * (size + 1)] = 1;
  const factor = factorHessian(device, device.upload("f32", packUpper(full, size)), { size, group: 128, damping: 0 });
  assert.notEqual((await device.download([factor.status.buffer]))[0][0], 0);
});

test("inverseDiagonal() is the diagonal of the damped inverse", async (device) => {
  for (const [size, group] of [[1, 8], [53, 16], [130, 128], [200, 48]]) {
    const full = gram(size, 3 * size), mean = meanDiagonal(full, size);
    const packed = device.upload("f32", packUpper(full, size));
    const factor = factorHessian(device, packed, { size, group, damping: 0.02 });
    const [found] = await device.download([inverseDiagonal(device, factor).buffer]);
    const damped = Float64Array.from(full);
    for (let j = 0; j < size; j++) damped[j * (size + 1)] += 0.02 * mean;
    const exact = inverse(damped, size);
    for (let j = 0; j < size; j++) close(found[j], exact[j * (size + 1)], 2e-5);
  }
});

test("addEnergy() is tr(E·H·Eᵀ)", async (device) => {
  for (const [rows, size] of [[1, 1], [5, 53], [3, 300], [9, 600]]) {
    const full = size > 500 ? symmetric(size) : gram(size, size), e = window(device, rows, size, 0, 5);
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
    const out = matrix(device.alloc("f32", 2), 1, 2);
    addEnergy(device, part(out, { cols: 1 }), e.at, device.upload("f32", packUpper(full, size)));
    addEnergy(device, part(out, { col: 1 }), e.at, undefined);
    const [energy] = await device.download([out.buffer]);
    close(energy[0], exact, 4 * Math.sqrt(size) * FLOAT, bound);
    close(energy[1], plain, 4 * FLOAT);
  }
});

test("every row operation does what its kernel does", async (device) => {
  for (const [rows, cols, salient] of [[1, 8, true], [13, 64, true], [29, 128, false]] as const) {
    const next = normal(rows), w = Float32Array.from({ length: rows * cols }, () => next());
    const s = gram(cols, cols), u = Float32Array.from({ length: cols }, (_, c) => 0.5 + c % 3);
    const shape = { rows, cols, segments: 3, salient }, stride = scalesPerBlock(shape), pruned = 4;
    const f32 = (data: Float32Array, r: number = rows, c: number = cols) =>
      matrix(device.upload("f32", data.slice()), r, c);
    const u8 = (r: number = rows, c: number = cols) => matrix(device.alloc("u8", r * c), r, c);
    const zeros = (r: number = rows, c: number = cols) => matrix(device.alloc("f32", r * c), r, c);
    const dw = f32(w), ds = f32(s, cols, cols), du = f32(u, 1, cols);

    const sums = absoluteSums(w, rows, cols), moments = relativeMoments(w, sums.rowSums, sums.columnSums);
    const dRow = zeros(1, rows),
      dColumn = zeros(1, cols),
      dMoments = zeros(1, 2),
      dSi = zeros(),
      si = new Float32Array(w.length);
    importance(si, w, { rows, cols, metric: "si", inputNorm: u, moments, ...sums });
    device.absoluteSums(dRow, dColumn, dMoments, dw);
    device.importance(dSi, dw, {
      metric: "si",
      inputNorm: du,
      rowSums: dRow,
      columnSums: dColumn,
      moments: dMoments,
    });

    const score = new Float32Array(w.length), dScore = zeros();
    importance(score, w, { rows, cols, metric: "hessian", diagonalU: u });
    device.importance(dScore, dw, { metric: "hessian", diagonalU: du });
    const rank = new Uint8Array(w.length), dRank = u8();
    rankNM(rank, score, { rows, cols, of: 8, type: "semi-structured" });
    device.rank(dRank, dScore, { of: 8, type: "semi-structured" });

    const marked = new Uint8Array(cols),
      dMarked = u8(1, cols),
      seen = { rank, pruned },
      dSeen = { rank: dRank, pruned };
    if (salient) {
      searchSalient(marked, { ...seen, score, values: w, columnWeight: u, rows, cols, most: 49 });
      device.searchSalient(dMarked, { ...dSeen, score: dScore, values: dw, columnWeight: du, most: 49 });
    }
    const codes = new Uint8Array(w.length), dCodes = u8();
    const search = { splitPoints: 2, search: "free", candidates: 40 } as const;
    searchSegments(codes, { ...seen, ...search, w, salient: marked, rows, cols });
    device.searchSegments(dCodes, { ...dSeen, ...search, w: dw, salient: dMarked });
    const scales = new Float32Array(rows * stride), dScales = zeros(rows, stride);
    startScales(codes, scales, { ...shape, ...seen, w, salientPruned: 0 });
    device.startScales(dCodes, dScales, { ...shape, ...dSeen, w: dw, salientPruned: 0 });
    const rounds = { schedule: "stepwise", iterations: 15 } as const;
    alternateRounds(scales, { ...shape, ...seen, ...rounds, w, gram: s, codes });
    device.alternate(dScales, { ...shape, ...dSeen, ...rounds, w: dw, gram: ds, codes: dCodes });
    pruneCodes(codes, rank, pruned);
    device.prune(dCodes, dSeen);
    const alternated = scales.slice(), dAlternated = zeros(rows, stride);
    device.copy(dAlternated, dScales);
    // Any matrix serves as the product with S: the kernels are compared on equal operands.
    resignSweep(codes, { ...shape, residual: score, gram: s, scales });
    device.resign(dCodes, { ...shape, residual: dScore, gram: ds, scales: dScales });
    solveJoint(scales, { ...shape, target: w, gram: s, codes });
    device.solveJoint(dScales, { ...shape, target: dw, gram: ds, codes: dCodes });
    const errors = new Float32Array(w.length), dErrors = zeros();
    const factor = s.map((x, i) => i % (cols + 1) === 0 ? 1 + x : x / 100);
    columnwiseSweep(codes, errors, { ...shape, w, factor, scales });
    device.columnwise(dCodes, dErrors, { ...shape, w: dw, factor: f32(factor, cols, cols), scales: dScales });
    const decoded = new Float32Array(w.length), dDecoded = zeros();
    decodeBlock(decoded, { ...shape, codes, scales });
    device.decode(dDecoded, { ...shape, codes: dCodes, scales: dScales });

    const bits = await device.download([dRank.buffer, dMarked.buffer, dCodes.buffer]);
    [rank, marked, codes].forEach((wanted, i) => assert.deepEqual(bits[i], wanted, `bits ${i}`));
    const floats = await device.download([dSi, dScore, dAlternated, dScales, dErrors, dDecoded].map((m) => m.buffer));
    [si, score, alternated, scales, errors, decoded].forEach((wanted, i) => {
      const size = wanted.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
      floats[i].forEach((found, at) => close(found, wanted[at], 1e-5, size));
    });
  }
});

test("section() credits seconds", async (device) => {
  device.spent();
  device.section("a");
  const m = matrix(device.alloc("f32", 250_000), 500, 500), out = matrix(device.alloc("f32", 250_000), 500, 500);
  device.gemm(out, m, m);
  device.section("b");
  await device.download([out.buffer]);
  const spent = device.spent();
  assert.ok(spent.a > 0 && (spent.b ?? 0) < spent.a);
  assert.deepEqual(device.spent(), {});
});
interface Host {
  readonly at: Matrix;
  readonly data: Float32Array;
}

/** Random numbers as a window with `gap` unused columns. */
function window(device: Device, rows: number, cols: number, gap: number, seed: number): Host {
  const next = normal(seed), offset = 2 * gap, stride = cols + gap;
  const data = Float32Array.from({ length: offset + rows * stride }, () => next());
  return { at: { buffer: device.upload("f32", data.slice()), rows, cols, offset, stride }, data };
}

function get({ at, data }: Host, row: number, col: number): number {
  return data[at.offset + row * at.stride + col];
}

/** |found − exact| ≤ tolerance · size */
function close(found: number, exact: number, tolerance: number, size = Math.abs(exact)): void {
  if (!(Math.abs(found - exact) <= tolerance * size)) {
    assert.fail(`${found} is not ${exact} within ${tolerance * size}`);
  }
}

/** Symmetric, with a dead column. */
function symmetric(size: number): Float32Array {
  const next = normal(size), out = new Float32Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      const dead = i === 2 || j === 2;
      out[i * size + j] = out[j * size + i] = dead ? 0 : i === j ? 1 + Math.abs(next()) : next();
    }
  }
  return out;
}

/** A smooth kernel matrix: strongly correlated, and quick to make. */
function correlated576(): Float32Array {
  return Float32Array.from({ length: 576 * 576 }, (_, at) => {
    const i = Math.floor(at / 576), j = at % 576;
    return Math.exp(-Math.abs(i - j) / 40) * (1 + i % 3) * (1 + j % 3);
  });
}

/** Mean of the diagonal, zeros counted as 1. */
function meanDiagonal(full: Float32Array, size: number): number {
  let sum = 0;
  for (let j = 0; j < size; j++) sum += full[j * (size + 1)] || 1;
  return sum / size;
}

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
