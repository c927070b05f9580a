/** Columns are rounded to the cheapest path there is, against a search of all paths in float64. */
import assert from "node:assert/strict";
import { contextOf, CONTEXTS } from "./contexts.ts";
import { COST_PARTS, COSTS, partsOf, roundColumn, roundingScratch } from "./round.ts";
import { pointOf, STATES, type States, trellisOf } from "./states.ts";

/** Numbers that are normally distributed, by a seed. */
function normals(seed: number): () => number {
  let state = seed >>> 0;
  const uniform = () => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Costs that grow with magnitude, by context and quantizer. */
function someCosts(lambda: number): Int32Array {
  const bits = Float32Array.from(
    { length: 2 * CONTEXTS * COSTS },
    (_, i) => 0.5 + (i % COSTS) * (1 + Math.floor(i / COSTS) % 5) / 4 + (i < CONTEXTS * COSTS ? 0.3 : 0),
  );
  return partsOf(bits, lambda);
}

interface Case {
  readonly states: States;
  readonly x: Float64Array;
  readonly strip: number;
  readonly costs: Int32Array;
  readonly rowSizes: Int8Array;
  readonly columnSize: number;
}

function rounded({ x, ...rounding }: Case): { readonly codes: Int16Array; readonly points: Float64Array } {
  const codes = new Int16Array(x.length), points = new Float64Array(x.length);
  roundColumn(codes, points, { ...rounding, x }, roundingScratch(x.length));
  return { codes, points };
}

/** What codes cost along their path, and the points that they stand for on it. */
function costOf({ states, x, strip, costs, rowSizes, columnSize }: Case, codes: readonly number[] | Int16Array) {
  const { next, quantizers } = trellisOf(states), points: number[] = [];
  let state = 0, total = 0;
  for (const [i, code] of codes.entries()) {
    if (i % strip === 0) state = 0;
    const quantizer = quantizers[state], point = pointOf(states, quantizer, code);
    const table = (quantizer * CONTEXTS + contextOf(rowSizes[i], columnSize)) * COSTS;
    total += (x[i] - point) ** 2 + costs[table + Math.min(Math.abs(code), COSTS - 1)] / COST_PARTS;
    points.push(point);
    state = next[2 * state + (code & 1)];
  }
  return { total, points };
}

/** The least that any codes near the weights cost. */
function leastCost(given: Case): number {
  const { x } = given, codes: number[] = [];
  let best = Infinity;
  const tryAll = (i: number) => {
    if (i === x.length) {
      best = Math.min(best, costOf(given, codes).total);
      return;
    }
    const a = Math.abs(x[i]), sign = x[i] < 0 ? -1 : 1;
    // With one state codes are as large as weights, else about half.
    const middle = given.states === 1 ? Math.round(a) : Math.round(a / 2);
    for (const k of new Set([0, Math.max(0, middle - 1), middle, middle + 1])) {
      codes[i] = sign * k;
      tryAll(i + 1);
    }
  };
  tryAll(0);
  return best;
}

for (const states of STATES) {
  Deno.test(`roundColumn() finds the cheapest path [${states} states]`, () => {
    const next = normals(states);
    for (let round = 0; round < 40; round++) {
      const length = 6, lambda = round % 4 * 0.2, spread = 0.3 + round % 5;
      const x = Float64Array.from({ length }, () => spread * next());
      const rowSizes = Int8Array.from({ length }, () => 4 * next());
      const given = { states, x, strip: round % 2 ? 4 : length, costs: someCosts(lambda), rowSizes, columnSize: 8 };
      const { codes, points } = rounded(given), { total, points: meant } = costOf(given, codes);
      assert.deepEqual([...points], meant.map((point) => point + 0));
      // Each code's cost is rounded down to a part.
      assert.ok(Math.abs(total - leastCost(given)) < 2 * length / COST_PARTS, `${total} for ${leastCost(given)}`);
    }
  });

  Deno.test(`roundColumn() takes what is large, tiny and 0 [${states} states]`, () => {
    const x = Float64Array.of(0, 1e-30, -1e-30, 16_000.2, -16_000.4, 700, -0.49, 0);
    const given = {
      states,
      x,
      strip: 8,
      costs: new Int32Array(2 * CONTEXTS * COSTS),
      rowSizes: new Int8Array(8),
      columnSize: 127,
    };
    const { codes, points } = rounded(given);
    assert.deepEqual(costOf(given, codes).points.map((point) => point + 0), [...points].map((point) => point + 0));
    for (const [i, point] of points.entries()) assert.ok(Math.abs(point - x[i]) <= 1.5, `${point} for ${x[i]}`);
  });
}

/** Entropy of codes by quantizer, in bits. */
function entropy(states: States, codes: Int16Array): number {
  const { next, quantizers } = trellisOf(states), counts = [new Map<number, number>(), new Map<number, number>()];
  let state = 0;
  for (const code of codes) {
    const seen = counts[quantizers[state]];
    seen.set(code, (seen.get(code) ?? 0) + 1);
    state = next[2 * state + (code & 1)];
  }
  let bits = 0;
  for (const seen of counts) {
    const all = [...seen.values()].reduce((a, b) => a + b, 0);
    for (const count of seen.values()) bits -= count * Math.log2(count / all);
  }
  return bits / codes.length;
}

for (const [states, worst] of [[1, 1.53], [4, 1], [8, 0.9]] as const) {
  Deno.test(`a Gaussian comes as near to its rate–distortion bound as is known [${states} states]`, () => {
    const next = normals(7), rows = 1 << 16, size = states === 1 ? 1.4 : 2.4;
    const x = Float64Array.from({ length: rows }, () => size * next());
    const costs = new Int32Array(2 * CONTEXTS * COSTS), rowSizes = new Int8Array(rows);
    const { codes, points } = rounded({ states, x, strip: 8192, costs, rowSizes, columnSize: 8 });
    // Points are drawn out or together by least squares, as those of a column are.
    const stretch = x.reduce((sum, value, i) => sum + value * points[i], 0) /
      points.reduce((sum, point) => sum + point ** 2, 0);
    const distortion = x.reduce((sum, value, i) => sum + (value - stretch * points[i]) ** 2, 0) / rows / size ** 2;
    const gap = 10 * Math.log10(distortion) + 20 * Math.log10(2) * entropy(states, codes);
    assert.ok(gap > 0 && gap < worst, `${gap} dB`);
  });
}

Deno.test("roundColumn() refuses strips whose costs it cannot count", () => {
  const x = new Float64Array(9000), costs = new Int32Array(2 * CONTEXTS * COSTS), rowSizes = new Int8Array(9000);
  const given = { states: 8, x, strip: 9000, costs, rowSizes, columnSize: 0 } as const;
  assert.throws(() => rounded(given), /at most 8192 rows: current value is 9000/);
});
