import assert from "node:assert/strict";
import fc from "fast-check";
import { recipeWith } from "./arithmetic_test_support.ts";
import { canonicalJson, componentsOf, outputKey, readPath, stepKey } from "./keys.ts";
import type { Json, Step } from "./stage.ts";

const json = fc.jsonValue({ noUnicodeString: false }) as fc.Arbitrary<Json>;

function stepWith(declared: Partial<Step>): Step {
  return {
    ...{ id: "spbo[0]", stage: "spbo", code: "1", reads: [], facts: {}, inputs: {}, outputs: {} },
    estimate: { seconds: 0, memory: 0 },
    run: () => Promise.resolve(),
    ...declared,
  };
}

Deno.test("canonicalJson() says the same for the same value, whatever the order of its keys", () => {
  const shuffle = (value: Json): Json => {
    if (typeof value !== "object" || value === null) return value;
    if (Array.isArray(value)) return value.map(shuffle);
    return Object.fromEntries(Object.entries(value).reverse().map(([name, inner]) => [name, shuffle(inner)]));
  };
  fc.assert(fc.property(json, (value) => {
    const text = canonicalJson(value);
    assert.equal(canonicalJson(shuffle(value)), text);
    assert.equal(canonicalJson(JSON.parse(text)), text);
  }));
});

Deno.test("canonicalJson() tells different values apart", () => {
  fc.assert(fc.property(json, json, (a, b) => {
    const same = canonicalJson(a) === canonicalJson(b);
    // JSON itself does not tell −0 from 0.
    const plain = (value: Json) => JSON.parse(JSON.stringify(value));
    assert.equal(same, deepEqual(plain(a), plain(b)));
  }));
});

Deno.test("canonicalJson() refuses what JSON cannot say", () => {
  for (const value of [NaN, Infinity, { a: [-Infinity] }]) assert.throws(() => canonicalJson(value), TypeError);
  for (const value of [new Map(), new Float32Array(2), () => 1, 1n, new Date(0)]) {
    assert.throws(() => canonicalJson({ value } as unknown as Json), TypeError);
  }
});

Deno.test("readPath() finds values, list items and absent optional keys", () => {
  const recipe = recipeWith({ spbo: { iterations: 7 } });
  assert.equal(readPath(recipe, "stages.spbo.iterations"), 7);
  assert.equal(readPath(recipe, "stages.evaluate.perplexity.0"), "wikitext2");
  assert.equal(readPath(recipe, "model.config"), undefined);
  assert.equal(readPath(recipe, "stages.spbo.constructor"), undefined);
  assert.throws(() => readPath(recipe, "stages.nothing.iterations"), /"stages.nothing" is not a map or a list/);
});

Deno.test("stepKey() covers stage, code, reads, facts and inputs, and nothing else", () => {
  const recipe = recipeWith({ spbo: { iterations: 7 } });
  const keyOf = (step: Step, inputs: Record<string, string> = {}, of = recipe) =>
    stepKey(componentsOf(step, of, inputs));
  const base = stepWith({ reads: ["stages.spbo.iterations"], facts: { device: "cpu" } });
  const key = keyOf(base, { x: "1" });
  assert.match(key, /^[0-9a-f]{64}$/);
  const same = [
    keyOf({ ...base, id: "other", estimate: { seconds: 9, memory: 9 }, facts: { device: "cpu" } }, { x: "1" }),
    keyOf(base, { x: "1" }, { ...recipeWith({ spbo: { iterations: 7, group_size: 64 } }), name: "other" }),
  ];
  const other = [
    keyOf({ ...base, stage: "pack" }, { x: "1" }),
    keyOf({ ...base, code: "2" }, { x: "1" }),
    keyOf({ ...base, facts: { device: "webgpu" } }, { x: "1" }),
    keyOf({ ...base, facts: {} }, { x: "1" }),
    keyOf({ ...base, reads: [] }, { x: "1" }),
    keyOf(base, { x: "2" }),
    keyOf(base, { y: "1" }),
    keyOf(base, { x: "1" }, recipeWith({ spbo: { iterations: 8 } })),
  ];
  for (const found of same) assert.equal(found, key);
  assert.equal(new Set([key, ...other]).size, other.length + 1);
  assert.notEqual(outputKey(key, "a"), outputKey(key, "b"));
});

function deepEqual(a: unknown, b: unknown): boolean {
  try {
    assert.deepEqual(a, b);
    return true;
  } catch {
    return false;
  }
}
