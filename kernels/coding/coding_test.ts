import assert from "node:assert/strict";
import * as fc from "fast-check";
import {
  contextOf,
  CONTEXTS,
  MAX_CODE,
  MAX_STEP,
  pointOf,
  STATES,
  stepOf,
  SYMBOLS,
  trellisOf,
} from "../trellis/ops.ts";
import { normals, randomCodes } from "./coding_test_support.ts";
import {
  codedBits,
  type CodedLayer,
  costTable,
  decodeCodes,
  decodeStrip,
  decodeWeights,
  encodeCodes,
  entropyBits,
  histogram,
  type LayerCodes,
  openCoded,
} from "./ops.ts";

/** Weights by the definition, one by one. */
function weightsOf({ rows, cols, states, strip, codes, steps }: LayerCodes): Float32Array {
  const { next, quantizers } = trellisOf(states), weights = new Float32Array(rows * cols);
  for (let j = 0; j < cols; j++) {
    let state = 0;
    for (let row = 0; row < rows; row++) {
      if (row % strip === 0) state = 0;
      const at = row * cols + j;
      weights[at] = pointOf(states, quantizers[state], codes[at]) * stepOf(steps[j]);
      state = next[2 * state + (Math.abs(codes[at]) % 2)];
    }
  }
  return weights;
}

function checkTrip(layer: LayerCodes): void {
  const { coded } = encodeCodes(layer);
  assert.deepEqual(decodeCodes(coded), layer);
  assert.deepEqual(decodeWeights(coded), weightsOf(layer));
}

Deno.test("decodeCodes(encodeCodes(x)) is x, and decodeWeights() its points times steps: all states and strips", () => {
  for (const states of STATES) {
    for (const strip of [1, 7, 64, 100]) {
      for (const size of [0.3, 2, 9, 40, 1000]) {
        checkTrip(randomCodes({ rows: 100, cols: 37, states, strip, size, seed: strip }));
      }
    }
  }
});

Deno.test("decodeCodes(encodeCodes(x)) is x for any codes, sizes and steps", () => {
  const layers = fc.record({
    rows: fc.integer({ min: 1, max: 9 }),
    cols: fc.integer({ min: 1, max: 9 }),
    states: fc.constantFrom(...STATES),
    strip: fc.integer({ min: 1, max: 10 }),
    most: fc.constantFrom(0, 1, 5, 64, 1000, MAX_CODE),
    sizes: fc.constantFrom(0, 9, 127),
    steps: fc.constantFrom(0, 40, MAX_STEP),
    seed: fc.integer(),
  });
  fc.assert(
    fc.property(layers, ({ rows, cols, states, strip, most, sizes, steps, seed }) => {
      const normal = normals(seed),
        within = (most: number) => {
          return () => Math.max(-most, Math.min(most, Math.round(most / 2 * normal())));
        };
      checkTrip({
        ...{ rows, cols, states, strip },
        codes: Int16Array.from({ length: rows * cols }, within(most)),
        rowSizes: Int8Array.from({ length: rows }, within(sizes)),
        columnSizes: Int8Array.from({ length: cols }, within(sizes)),
        steps: Int16Array.from({ length: cols }, within(steps)),
      });
    }),
    { numRuns: 300 },
  );
});

Deno.test("layers that are not like weights: all zeros, one row, one column, all outside, sizes that say nothing", () => {
  const flat = (rows: number, cols: number, code: number, size = 0): LayerCodes => ({
    ...{ rows, cols, states: 8, strip: rows },
    codes: new Int16Array(rows * cols).fill(code),
    rowSizes: new Int8Array(rows).fill(size),
    columnSizes: new Int8Array(cols).fill(size),
    steps: new Int16Array(cols),
  });
  for (const code of [0, 1, -64, MAX_CODE, -MAX_CODE]) {
    for (const size of [-128, 0, 127]) {
      checkTrip(flat(64, 64, code, size));
      checkTrip(flat(1, 300, code, size));
      checkTrip(flat(300, 1, code, size));
    }
  }
  // A weight of a layer of zeros costs next to nothing.
  assert.ok(codedBits(flat(512, 512, 0)) < 0.01 * 512 * 512);
});

/** A layer of which a quarter of the rows, of a size of their own, are all alike. */
function oddLayer({ rows, cols }: { readonly rows: number; readonly cols: number }): LayerCodes {
  const layer = randomCodes({ rows, cols, states: 1, strip: rows, size: 3, seed: 12 }), { codes } = layer;
  for (let at = 0; at < codes.length; at++) if (Math.floor(at / cols) % 4 === 0) codes[at] = at % 2 === 0 ? 5 : -5;
  return { ...layer, rowSizes: layer.rowSizes.map((size, row) => row % 4 === 0 ? -60 : size) };
}

Deno.test("contexts whose codes are like no weights get tables of their own, where that saves bits", () => {
  const odd = oddLayer({ rows: 400, cols: 200 }), { coded, bits, entropy } = encodeCodes(odd);
  checkTrip(odd);
  assert.ok(coded.explicit.length > 0);
  assert.ok(bits.codes + bits.tables < 1.01 * entropy, `${bits.codes} of ${entropy}`);
});

Deno.test("encodeCodes() comes within 0.1 % of the codes' entropy, and within 1 % with all that is stored from 2 bits on", () => {
  // Of rows × cols, at sizes that give 1.2 to 4 bits a weight.
  for (const [rows, cols] of [[576, 576], [192, 576]] as const) {
    for (const states of [1, 8] as const) {
      const bits: number[] = [];
      for (const size of [0.75, 1.6, 3.2, 7].map((size) => states === 1 ? size / 1.7 : size)) {
        const layer = randomCodes({ rows, cols, states, strip: rows, size, stepParts: 8, seed: 3 });
        const { bits: spent, entropy } = encodeCodes(layer), each = entropy / (rows * cols);
        const share = (found: number) => found / entropy - 1, told = `${rows}, ${states}, ${each.toFixed(2)} bits`;
        bits.push(each);
        assert.ok(share(spent.codes + spent.tables) < (rows < 300 ? 0.002 : 0.001), `${told}: ${share(spent.codes)}`);
        // Ten bits for a column's size and step, and five for a row's, are this much.
        const beside = (10 * cols + 5 * rows) / entropy;
        assert.ok(share(spent.total) < 0.002 + beside, `${told}: ${share(spent.total)}`);
        if (each > 2 && rows === cols) assert.ok(share(spent.total) < 0.01, `${told}: ${share(spent.total)}`);
        // Entropy, 12 bits for each entry of a table, 8 for a row, and 16 for a column.
        const entries = histogram(layer).counts.reduce((sum, count) => sum + (count > 0 ? 1 : 0), 0);
        assert.ok(spent.total < entropy + 12 * entries + 8 * rows + 16 * cols, told);
      }
      assert.ok(bits[0] < 1.3 && bits[3] > 3.7, bits.join());
    }
  }
});

Deno.test("strips are decoded alone and in any order", () => {
  const layer = randomCodes({ rows: 50, cols: 21, states: 4, strip: 16, size: 3, seed: 5 }),
    { coded } = encodeCodes(layer);
  const open = openCoded(coded), found = new Int16Array(layer.codes.length);
  for (const strip of [3, 1, 0, 2]) {
    decodeStrip(open, strip, { as: "codes", take: (row, values) => found.set(values, row * layer.cols) });
  }
  assert.deepEqual(found, layer.codes);
});

Deno.test("encodeCodes() is deterministic, and counts the bits of its streams", () => {
  const layer = randomCodes({ rows: 40, cols: 30, states: 8, strip: 16, size: 3, seed: 6 });
  const { coded, bits, entropy } = encodeCodes(layer);
  assert.deepEqual(encodeCodes(structuredClone(layer)).coded, coded);
  const { codes, starts, shapes, explicit, rowSizes, columnSizes, steps } = coded;
  const bytes = [codes, starts, shapes, explicit, rowSizes, columnSizes, steps].reduce(
    (sum, { byteLength }) => sum + byteLength,
    0,
  );
  assert.deepEqual([bits.total, codedBits(layer)], [8 * bytes, 8 * bytes]);
  assert.equal(entropy, entropyBits(histogram(layer)));
});

Deno.test("entropyBits() is what counting by hand gives", () => {
  const layer = randomCodes({ rows: 60, cols: 50, states: 8, strip: 20, size: 3, seed: 7 });
  const { next, quantizers } = trellisOf(8), found = new Map<string, Map<number, number>>();
  let signs = 0;
  for (let j = 0; j < 50; j++) {
    let state = 0;
    for (let row = 0; row < 60; row++) {
      if (row % 20 === 0) state = 0;
      const code = layer.codes[row * 50 + j],
        key = `${quantizers[state]} ${contextOf(layer.rowSizes[row], layer.columnSizes[j])}`;
      const own = found.get(key) ?? new Map<number, number>();
      found.set(key, own.set(Math.abs(code), (own.get(Math.abs(code)) ?? 0) + 1));
      signs += code === 0 ? 0 : 1;
      state = next[2 * state + (code & 1)];
    }
  }
  let bits = signs;
  for (const own of found.values()) {
    const all = [...own.values()].reduce((sum, count) => sum + count, 0);
    for (const count of own.values()) bits += count * Math.log2(all / count);
  }
  assert.ok(Math.abs(entropyBits(histogram(layer)) / bits - 1) < 1e-9);
});

Deno.test("costTable() charges a layer what its coder takes, and smooths where counts are few", () => {
  for (const states of STATES) {
    const layer = randomCodes({ rows: 256, cols: 256, states, strip: 256, size: 3, seed: 8 });
    const counted = histogram(layer), costs = costTable(counted), { bits } = encodeCodes(layer);
    let charged = 0;
    for (let at = 0; at < 2 * CONTEXTS; at++) {
      for (let k = 0; k < SYMBOLS - 1; k++) charged += counted.counts[at * SYMBOLS + k] * costs[at * 64 + k];
    }
    assert.ok(Math.abs(charged / bits.codes - 1) < 0.01, `${states}: ${charged / bits.codes}`);
    const used = trellisOf(states).count * CONTEXTS * 64;
    assert.ok(costs.subarray(0, used).every((cost) => cost >= 0 && Number.isFinite(cost)));
  }
});

Deno.test("encodeCodes() refuses what is no layer of codes", () => {
  const layer = randomCodes({ rows: 4, cols: 4, states: 8, strip: 4, size: 3, seed: 9 });
  const bad: readonly Partial<LayerCodes>[] = [
    { rows: 5 },
    { strip: 0 },
    { strip: 1.5 },
    { codes: layer.codes.with(3, MAX_CODE + 1) },
    { steps: layer.steps.with(0, MAX_STEP + 1) },
    { columnSizes: new Int8Array(3) },
  ];
  for (const change of bad) assert.throws(() => encodeCodes({ ...layer, ...change }), { name: "RangeError" });
});

Deno.test("spoilt streams give a layer of its shape or a RangeError, mostly the error", () => {
  let errors = 0, all = 0;
  const layers = [
    randomCodes({ rows: 24, cols: 19, states: 8, strip: 10, size: 3, seed: 10 }),
    randomCodes({ rows: 9, cols: 40, states: 1, strip: 9, size: 200, spread: 1, seed: 11 }),
    oddLayer({ rows: 200, cols: 8 }),
  ].map((layer) => encodeCodes(layer).coded);
  const changes = fc.record({
    layer: fc.constantFrom(...layers),
    plane: fc.constantFrom("codes", "starts", "shapes", "explicit", "rowSizes", "columnSizes", "steps"),
    how: fc.constantFrom("flip", "cut", "add", "fill"),
    at: fc.nat(),
    value: fc.integer({ min: 1, max: 65535 }),
    shape: fc.record({
      rows: fc.constantFrom(1, 24, 100_000, 2 ** 31 - 1),
      cols: fc.constantFrom(1, 19, 100_000, 2 ** 31 - 1),
      states: fc.constantFrom(...STATES),
      strip: fc.constantFrom(1, 10, 2 ** 31 - 1),
    }, { requiredKeys: [] }),
    reshaped: fc.boolean(),
  });
  fc.assert(
    fc.property(changes, ({ layer, plane, how, at, value, shape, reshaped }) => {
      const spoilt: CodedLayer = { ...layer, [plane]: spoil(layer[plane], how, at, value), ...(reshaped ? shape : {}) };
      all++;
      try {
        assert.equal(decodeWeights(spoilt).length, spoilt.rows * spoilt.cols);
        assert.equal(decodeCodes(spoilt).codes.length, spoilt.rows * spoilt.cols);
      } catch (error) {
        assert.ok(error instanceof RangeError, `${error}`);
        errors++;
      }
    }),
    { numRuns: 2000 },
  );
  assert.ok(errors > 0.9 * all, `${errors} of ${all}`);
});

type Plane = Uint16Array | Uint32Array | Uint8Array | Int8Array;

function spoil(plane: Plane, how: string, at: number, value: number): Plane {
  if (how === "cut") return plane.slice(0, Math.max(0, plane.length - 1 - at % 3));
  const copy = how === "add" ? of(plane, [...plane, value]) : plane.slice();
  if (how === "flip" && copy.length > 0) copy[at % copy.length] ^= value;
  return how === "fill" ? copy.fill(value) : copy;
}

function of(plane: Plane, values: readonly number[]): Plane {
  if (plane instanceof Uint16Array) return Uint16Array.from(values);
  if (plane instanceof Uint8Array) return Uint8Array.from(values);
  return plane instanceof Uint32Array ? Uint32Array.from(values) : Int8Array.from(values);
}
