import assert from "node:assert/strict";
import fc from "fast-check";
import { sampler } from "./sample.ts";

const LOGITS = Float32Array.of(1, 4, 2, 4, 3, -Infinity);

Deno.test("sampler() draws with the probabilities of a softmax", () => {
  const temperature = 2;
  const choose = sampler({ temperature, seed: 1 });
  const counts = new Array(LOGITS.length).fill(0);
  const draws = 20_000;
  for (let i = 0; i < draws; i++) counts[choose(LOGITS)]++;
  const weights = [...LOGITS].map((logit) => Math.exp(logit / temperature));
  const total = weights.reduce((a, b) => a + b, 0);
  for (const [id, count] of counts.entries()) {
    const expected = weights[id] / total;
    assert.ok(Math.abs(count / draws - expected) < 0.015, `token ${id}: ${count / draws} instead of ${expected}`);
  }
});

Deno.test("sampler() draws only from the top k, and only from the top p", () => {
  const drawn = (options: { topK?: number; topP?: number }) => {
    const choose = sampler({ temperature: 3, ...options });
    return [...new Set(Array.from({ length: 500 }, () => choose(LOGITS)))].sort();
  };
  assert.deepEqual(drawn({ topK: 1 }), [1]);
  assert.deepEqual(drawn({ topK: 2 }), [1, 3]);
  assert.deepEqual(drawn({ topK: 3 }), [1, 3, 4]);
  assert.deepEqual(drawn({ topK: 99 }), [0, 1, 2, 3, 4]);
  assert.deepEqual(drawn({ topP: 1e-9 }), [1]);
  // Probabilities at temperature 3: 0.29, 0.29, 0.21, …
  assert.deepEqual(drawn({ topP: 0.5 }), [1, 3]);
  assert.deepEqual(drawn({ topP: 0.6 }), [1, 3, 4]);
  assert.deepEqual(drawn({ topP: 0.6, topK: 2 }), [1, 3]);
});

Deno.test("sampler() with a low temperature is greedy where one token leads", () => {
  const logits = fc.uniqueArray(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 40 });
  fc.assert(fc.property(logits, fc.integer(), (values, seed) => {
    const array = Float32Array.from(values);
    assert.equal(sampler({ temperature: 0.01, seed })(array), sampler()(array));
  }));
});

Deno.test("sampler() refuses options out of range", () => {
  assert.throws(() => sampler({ temperature: -1 }), /temperature must be 0 or more: current value is -1/);
  assert.throws(() => sampler({ temperature: NaN }), /current value is NaN/);
  assert.throws(() => sampler({ topK: 1.5 }), /topK must be an integer, 0 or more/);
  assert.throws(() => sampler({ topP: 0 }), /topP must be more than 0 and at most 1/);
  assert.throws(() => sampler({ seed: 0.5 }), /seed must be an integer/);
});
