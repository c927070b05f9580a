import assert from "node:assert/strict";
import type { HeadComparison } from "../models/forward.ts";
import { SampledStates, sumUp } from "./compared_text.ts";

/** A comparison of tokens with some divergences; of each second one both find the same token the likeliest. */
function partOf(divergence: readonly number[], from: number): HeadComparison {
  const loss = Float32Array.from(divergence, (_, i) => 0.5 + (i + from) % 7 / 4);
  return {
    ...{ loss, originalLoss: loss.map((value, i) => value * (1 + Math.sin(i + from) / 2)) },
    ...{ divergence: Float32Array.from(divergence), same: Uint8Array.from(divergence, (_, i) => (i + from) % 2) },
  };
}

Deno.test("sumUp() says of tokens what llama.cpp's definitions say, whatever parts they come in", () => {
  const length = 9, windows = 40, tokens = windows * (length - 1);
  const values = Array.from(Float32Array.from({ length: tokens }, (_, i) => 10 ** (4 * Math.sin(i * i % 97) - 2)));
  const whole = partOf(values, 0), cut = 3 * (length - 1);
  const found = sumUp([partOf(values.slice(0, cut), 0), partOf(values.slice(cut), cut)], { length });
  const close = (value: number, wanted: number) =>
    assert.ok(Math.abs(value - wanted) <= 1e-6 * Math.abs(wanted), `${value}, not ${wanted}`);
  const mean = (of: readonly number[]) => of.reduce((sum, value) => sum + value, 0) / of.length;
  const error = (of: readonly number[]) => Math.sqrt((mean(of.map((x) => x * x)) - mean(of) ** 2) / (of.length - 1));
  close(found.kl.mean, mean(values));
  close(found.kl.error, error(values));
  const sorted = values.toSorted((a, b) => a - b);
  close(found.kl.median, (sorted[tokens / 2 - 1] + sorted[tokens / 2]) / 2);
  // 0.9 · 319 = 287.1, and so on.
  for (const [value, at, part] of [[found.kl.p90, 287, 0.1], [found.kl.p99, 315, 0.81], [found.kl.p999, 318, 0.681]]) {
    close(value, (1 - part) * sorted[at] + part * sorted[at + 1]);
  }
  assert.equal(found.kl.max, sorted[tokens - 1]);
  assert.deepEqual([found.tokens, found.same_top], [tokens, 0.5]);
  close(found.same_top_error, Math.sqrt(0.25 / (tokens - 1)));
  const changes = [...whole.loss].map((loss, i) => Math.exp(-loss) - Math.exp(-whole.originalLoss[i]));
  close(found.mean_change, mean(changes));
  close(found.mean_change_error, error(changes));
  close(found.rms_change, Math.sqrt(mean(changes.map((x) => x * x))));

  for (const [i, { below, tokens: counted }] of found.histogram.entries()) {
    const above = i === 0 ? 0 : found.histogram[i - 1].below;
    assert.equal(counted, values.filter((value) => value >= above && value < below).length, `below ${below}`);
    if (i > 0) close(below / above, 10 ** 0.25);
  }
  assert.equal(found.histogram.reduce((sum, { tokens }) => sum + tokens, 0), tokens);
  assert.deepEqual(found.context.map(({ from, to }) => [from, to]), [[1, 1], [2, 3], [4, 7], [8, 8]]);
  for (const { from, to, kl } of found.context) {
    close(kl, mean(values.filter((_, i) => i % (length - 1) + 1 >= from && i % (length - 1) + 1 <= to)));
  }
});

Deno.test("sumUp() calls less than nothing nothing, and puts it in the histogram's first step", () => {
  const { kl, histogram, context } = sumUp([partOf([-1e-7, 0, 1e-9], 0)], { length: 4 });
  assert.ok(kl.median === 0 && kl.max > 0 && kl.mean > 0);
  assert.deepEqual(histogram, [{ below: 1e-6, tokens: 3 }]);
  assert.deepEqual(context.map(({ from, to }) => [from, to]), [[1, 1], [2, 3]]);
  const single = sumUp([partOf([0.5], 0)], { length: 2 });
  assert.deepEqual([single.kl.error, single.same_top_error, single.mean_change_error], [0, 0, 0]);
});

Deno.test("SampledStates take tokens from all over windows, but not the first, whatever comes in one batch", () => {
  const hidden = 2;
  // Among them such as even distances are all in step with.
  for (const [windows, length] of [[1, 2], [3, 7], [512, 256], [200, 256], [64, 64], [1024, 16], [24, 1024]]) {
    const sample = new SampledStates({ hidden }, { windows, length });
    // Each state says where it is.
    const states = Float32Array.from({ length: windows * length * hidden }, (_, i) => Math.floor(i / hidden));
    const first = Math.ceil(windows / 3), cut = first * length * hidden;
    sample.take({ index: 0, first: 0, windows: first }, states.subarray(0, cut));
    if (first < windows) sample.take({ index: 1, first, windows: windows - first }, states.subarray(cut));
    const places = [...sample.values].filter((_, i) => i % hidden === 0), what = `${windows} × ${length}`;
    assert.equal(places.length, Math.min(256, windows * (length - 1)), what);
    assert.equal(new Set(places).size, places.length, what);
    assert.ok(places.every((place) => place % length !== 0), what);
    // Every quarter of the text, and of a window.
    const inQuarters = (of: readonly number[], end: number) =>
      [0, 1, 2, 3].map((quarter) => of.filter((at) => Math.floor(4 * at / end) === quarter).length);
    if (places.length < 256) continue;
    for (const [of, end] of [[places, windows * length], [places.map((place) => place % length), length]] as const) {
      assert.ok(inQuarters(of, end).every((count) => count > 40 && count < 90), `${what}: ${inQuarters(of, end)}`);
    }
  }
});

Deno.test("SampledStates.awayFrom() is the norm of the difference, relative to the other's", () => {
  const sample = new SampledStates({ hidden: 2 }, { windows: 1, length: 3 });
  sample.take({ index: 0, first: 0, windows: 1 }, Float32Array.of(9, 9, 1, 2, 3, 4));
  assert.deepEqual([...sample.values], [1, 2, 3, 4]);
  assert.equal(sample.awayFrom(Float32Array.of(1, 2, 3, 4)), 0);
  assert.equal(sample.awayFrom(Float32Array.of(1, 2, 3, 0)), Math.sqrt(16 / 14));
});
