import assert from "node:assert/strict";
import { normal } from "../kernels/binary/row_kernels_test_support.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import { deviceTest } from "../kernels/device_test_support.ts";
import { packUpper } from "../kernels/matrix/ops.ts";
import { choosePropagation, DAMPINGS } from "./choose_propagation.ts";
import { openDeviceLayers } from "./device_pool.ts";
import type { LayerJob, Propagation } from "./job.ts";
import { quantizeLayer } from "./layer.ts";
import { copyJob, settingsWith } from "./layer_test_support.ts";
import { inOrder } from "./order.ts";
import { jobMemory, openLayerPool } from "./pool.ts";
import { shareDevice } from "./shared_device.ts";
import { hessianExponent } from "./units.ts";

/** H and C of some tokens, in float64, by rows. */
interface Moments {
  readonly h: Float64Array;
  readonly c: Float64Array;
}

const ROWS = 5, COLS = 24;

/**
 * Moments of tokens whose inputs are x = (I + G)·x_o + noise, the same G for both halves or one for each: what is to be won back on one
 * half is then won on the other, too, or is not. The third input is dead.
 */
function momentsOf(next: () => number, { tokens, related, noise = 0 }: {
  readonly tokens: number;
  readonly related: boolean;
  readonly noise?: number;
}): readonly [Moments, Moments] {
  const change = () => Float64Array.from({ length: COLS * COLS }, () => 0.1 * next());
  const first = change(), changes = [first, related ? first : change()];
  const [a, b] = changes.map((g): Moments => {
    const h = new Float64Array(COLS * COLS), c = new Float64Array(COLS * COLS);
    for (let t = 0; t < tokens; t++) {
      const xo = Float64Array.from({ length: COLS }, next);
      const x = xo.map((value, i) => {
        let sum = value + noise * next();
        for (let j = 0; j < COLS; j++) sum += g[i * COLS + j] * xo[j];
        return i === 2 ? 0 : sum;
      });
      for (let i = 0; i < COLS; i++) {
        for (let j = 0; j < COLS; j++) {
          h[i * COLS + j] += x[i] * x[j] / tokens;
          c[i * COLS + j] += xo[i] * x[j] / tokens;
        }
      }
    }
    return { h, c };
  });
  return [a, b];
}

function jobOf([a, b]: readonly [Moments, Moments], weight: Float32Array, change: Partial<Propagation> = {}) {
  const sum = (x: Float64Array, y: Float64Array) => Float32Array.from(x, (value, i) => value + y[i]);
  const settings = settingsWith({ spbo: { group_size: 8, solver: "joint" }, compensate: { mode: "exact" } });
  const propagation: Propagation = {
    ...{ cross: sum(a.c, b.c), share: "auto", damping: 0.01 },
    half: { upper: packUpper(Float32Array.from(a.h), COLS), cross: Float32Array.from(a.c) },
    ...change,
  };
  const job = { name: "layer", rows: ROWS, cols: COLS, weight, keep: 4, of: 8, settings, propagation };
  return { ...job, upper: packUpper(sum(a.h, b.h), COLS) } satisfies LayerJob;
}

const copied = (job: LayerJob & { readonly propagation: Propagation }): LayerJob => {
  const { half, ...rest } = job.propagation;
  const fresh = half && { half: { upper: half.upper.slice(), cross: half.cross.slice() } };
  return { ...copyJob(job), propagation: { ...rest, cross: rest.cross.slice(), ...fresh } };
};

/** n and d of the closed form, and what p and δ they lead to, in float64. */
function plainChoice(
  halves: readonly [Moments, Moments],
  weight: Float32Array,
  { share, dampings, residuals }: {
    readonly share: number | "auto";
    readonly dampings: readonly number[];
    /** Of each half, what the residual stream is off, times the inputs. */
    readonly residuals?: readonly Float64Array[];
  },
) {
  const w = Float64Array.from(weight);
  const [a, b] = halves.map(({ h, c }, i) => {
    const change = product(w, minus(c, h)), residual = residuals?.[i];
    return { h, change: residual ? change.map((x, at) => x + residual[at]) : change };
  });
  const tried = dampings.map((damping) => {
    let n = 0, d = 0;
    for (const [mine, other] of [[a, b], [b, a]]) {
      const moved = product(mine.change, inverse(mine.h, damping));
      n += dot(other.change, moved);
      d += dot(product(moved, other.h), moved);
    }
    const p = share === "auto" ? Math.min(1, Math.max(0, n / d)) : share;
    return { share: p, damping, gain: 2 * p * n - p * p * d };
  });
  return tried.toSorted((x, y) => y.gain - x.gain || y.damping - x.damping)[0];
}

const minus = (a: Float64Array, b: Float64Array) => a.map((x, i) => x - b[i]);
const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, x, i) => sum + x * b[i], 0);

function product(a: Float64Array, b: Float64Array): Float64Array {
  return a.map((_, at) => {
    let sum = 0;
    for (let k = 0; k < COLS; k++) sum += a[at - at % COLS + k] * b[k * COLS + at % COLS];
    return sum;
  });
}

/** (H + δ·mean·I)⁻¹, dead inputs counting as 1. */
function inverse(h: Float64Array, damping: number): Float64Array {
  const a = h.slice();
  let mean = 0;
  for (let j = 0; j < COLS; j++) mean += (h[j * (COLS + 1)] || 1) / COLS;
  for (let j = 0; j < COLS; j++) a[j * (COLS + 1)] += damping * mean + Number(h[j * (COLS + 1)] === 0);
  for (let p = 0; p < COLS; p++) {
    const pivot = 1 / a[p * (COLS + 1)];
    a[p * (COLS + 1)] = 1;
    for (let j = 0; j < COLS; j++) a[p * COLS + j] *= pivot;
    for (let i = 0; i < COLS; i++) {
      if (i === p) continue;
      const factor = a[i * COLS + p];
      a[i * COLS + p] = 0;
      for (let j = 0; j < COLS; j++) a[i * COLS + j] -= factor * a[p * COLS + j];
    }
  }
  return a;
}

deviceTest("choosePropagation() finds p and δ of the closed form on both halves, as float64 does", async (device) => {
  const next = normal(11), weight = Float32Array.from({ length: ROWS * COLS }, () => next());
  for (const [related, tokens, noise] of [[true, 200, 0], [true, 40, 1], [false, 60, 0.5]] as const) {
    const halves = momentsOf(next, { related, tokens, noise });
    for (const [share, damping] of [["auto", 0.01], ["auto", 1], ["auto", "auto"], [0.5, "auto"]] as const) {
      const job = jobOf(halves, weight, { share, damping });
      // The layer's unit decides what a dead input counts as in the mean.
      const unit = 2 ** -hessianExponent(job.upper, COLS);
      const [a, b] = halves.map(({ h, c }): Moments => ({ h: h.map((x) => x * unit), c: c.map((x) => x * unit) }));
      const found = await choosePropagation(device, job, 8);
      const wanted = plainChoice([a, b], weight, { share, dampings: damping === "auto" ? DAMPINGS : [damping] });
      assert.equal(found?.damping, wanted.damping);
      // Measured: 2e-6.
      assert.ok(Math.abs(found.share - wanted.share) < 2e-5, `${found.share}, not ${wanted.share}`);
    }
    // Half of what the stream is off is the same on both halves.
    const off = () => Float64Array.from({ length: ROWS * COLS }, (_, at) => at % COLS === 2 ? 0 : next());
    const shared = off(), residuals = [off(), off()].map((own) => own.map((x, i) => 0.5 * x + shared[i]));
    const propagation = {
      residual: Float32Array.from(residuals[0], (x, i) => x + residuals[1][i]),
      half: { ...jobOf(halves, weight).propagation.half, residual: Float32Array.from(residuals[0]) },
    } as Partial<Propagation>;
    const job = jobOf(halves, weight, { ...propagation, damping: 0.1 }), unit = 2 ** -hessianExponent(job.upper, COLS);
    const inUnit = (values: Float64Array) => values.map((x) => x * unit);
    const [a, b] = halves.map(({ h, c }): Moments => ({ h: inUnit(h), c: inUnit(c) }));
    const found = await choosePropagation(device, job, 8);
    const wanted = plainChoice([a, b], weight, { share: "auto", dampings: [0.1], residuals: residuals.map(inUnit) });
    assert.ok(wanted.share > 0.05 && wanted.share < 1, `${wanted.share}`);
    assert.ok(Math.abs((found?.share ?? NaN) - wanted.share) < 2e-5, `${found?.share}, not ${wanted.share}`);
  }
});

Deno.test("choosePropagation() moves weights all the way where both halves say the same, and not where they are unrelated", async () => {
  const device = openCpuDevice(), next = normal(3), weight = Float32Array.from({ length: ROWS * COLS }, () => next());
  const [a] = momentsOf(next, { related: true, tokens: 4000 });
  const same = await choosePropagation(device, jobOf([a, a], weight, { damping: 1e-4 }), 8);
  assert.ok(same && same.share > 0.99, `${same?.share}`);
  // What H lacks on one half it has too much of on the other.
  const opposite = { h: a.h, c: a.h.map((x, i) => 2 * x - a.c[i]) };
  assert.equal((await choosePropagation(device, jobOf([a, opposite], weight), 8))?.share, 0);
  const unrelated = momentsOf(next, { related: false, tokens: 4000 });
  const little = await choosePropagation(device, jobOf(unrelated, weight), 8);
  assert.ok(little && little.share < 0.25, `${little?.share}`);
  const still = { h: a.h, c: a.h };
  const none = jobOf([still, still], weight, { damping: "auto" });
  assert.deepEqual(await choosePropagation(device, none, 8), { share: 0, damping: 1 });
  assert.equal(await choosePropagation(device, jobOf([a, a], weight, { share: 0.5 }), 8), undefined);
  await device.destroy();
});

Deno.test("quantizeLayer() with a chosen p gives what it gives with that p, and says it; in a pool, on a shared device and in another order too", async () => {
  const device = openCpuDevice(), next = normal(7), weight = Float32Array.from({ length: ROWS * COLS }, () => next());
  const job = jobOf(momentsOf(next, { related: true, tokens: 60, noise: 0.7 }), weight, { damping: "auto" });
  const alone = await quantizeLayer(device, copied(job));
  const { share, damping } = alone.propagation ?? assert.fail();
  assert.ok(share > 0.05 && share < 0.98, `${share}`);
  const stated = { ...copied(job), propagation: { cross: job.propagation.cross.slice(), share, damping } };
  const same = await quantizeLayer(device, stated);
  assert.deepEqual([same.layer, same.error, same.propagation], [alone.layer, alone.error, undefined]);
  const order = Uint32Array.from({ length: COLS }, (_, i) => (5 * i + 3) % COLS);
  const other = await choosePropagation(device, inOrder(copied(job), order), 8);
  assert.equal(other?.damping, damping);
  assert.ok(Math.abs(other.share - share) < 1e-5);
  await device.destroy();
  const shared = shareDevice(() => Promise.resolve(openCpuDevice()));
  for (const pool of [openLayerPool({ workers: 2 }), openDeviceLayers(shared)]) {
    const first = copied(job), jobs = ["q", "k", "v"].map((name) => ({ ...first, name, weight: weight.slice() }));
    for (const { layer, propagation } of await pool.quantize(jobs)) {
      assert.deepEqual([layer, propagation], [alone.layer, alone.propagation]);
    }
    pool.close();
  }
  shared.close();
  assert.ok(jobMemory(job) - jobMemory(stated) >= 5 * 4 * COLS * COLS);
});

Deno.test("choosePropagation() refuses halves that cannot be factored or do not fit, and says what to raise", async () => {
  const device = openCpuDevice(), next = normal(9), weight = Float32Array.from({ length: ROWS * COLS }, () => next());
  const few = jobOf(momentsOf(next, { related: true, tokens: 6 }), weight, { damping: 0 });
  await assert.rejects(
    quantizeLayer(device, few),
    /layer "layer" on half of the calibration as pivot \d+ of 24 must be positive: raise stages.calibrate.propagation_damping, whose current value is 0/,
  );
  const half = { upper: new Float32Array(3), cross: new Float32Array(COLS * COLS) };
  await assert.rejects(
    quantizeLayer(device, jobOf(momentsOf(next, { related: true, tokens: 6 }), weight, { half })),
    /its Hessian's triangle on half of the windows must be 300: current value is 3/,
  );
  const { half: _half, ...without } = few.propagation;
  await assert.rejects(choosePropagation(device, { ...few, propagation: without }, 8), /as there are no halves/);
  await device.destroy();
});
