import assert from "node:assert/strict";
import { checkRules } from "../recipes/rules.ts";
import { budgetRule } from "./budget_rule.ts";
import { stages } from "./mod.ts";
import { RecipeSchema } from "./schema.ts";

type Change = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** What is broken in a recipe with these stages: where, and what is said. */
function broken(change: Change): string[] {
  const recipe = RecipeSchema.parse({ model: { path: "/model" }, stages: change });
  const isStated = (path: readonly string[]) =>
    path.slice(1).reduce<unknown>((value, key) => (value as Change | undefined)?.[key], change) !== undefined;
  return checkRules(recipe, [budgetRule(stages)], { isStated }).map(({ path, message }) =>
    `${path.join(".")}: ${message}`
  );
}

const bits = (more: Readonly<Record<string, unknown>> = {}) => ({ "coarse-search": { bits: 2.1, ...more } });

Deno.test("budgetRule() has nothing to say of bits with a method that keeps to them, and of weights with one that does not", () => {
  assert.deepEqual(broken({ trellis: {}, ...bits() }), []);
  assert.deepEqual(broken({ trellis: {}, ...bits({ metric: "sensitivity", spread: 1.5 }), calibrate: {} }), []);
  assert.deepEqual(broken({ trellis: { bits: 3 } }), []);
  assert.deepEqual(broken({ spbo: {}, "fine-search": {}, "coarse-search": { keep: 5, of: 8 } }), []);
  // A complete recipe, such as a lock.
  assert.deepEqual(broken({ trellis: { bits: 2.1 }, ...bits({ bits: 1.2, keep: 4, of: 8, spread: 1 }) }), []);
});

const cases: readonly (readonly [string, Change, RegExp])[] = [
  ["bits and a method without a budget", { spbo: {}, ...bits() }, /^stages\.coarse-search\.bits: .*`spbo`/],
  ["bits in both", { trellis: { bits: 3 }, ...bits() }, /^stages\.trellis\.bits: bits are stated twice/],
  ["keep beside bits", { trellis: {}, ...bits({ keep: 5 }) }, /^stages\.coarse-search\.keep: keep counts weights/],
  ["of beside bits", { trellis: {}, ...bits({ of: 16 }) }, /^stages\.coarse-search\.of: of counts weights/],
  ["ri beside bits", { trellis: {}, ...bits({ metric: "ri" }) }, /^stages\.coarse-search\.metric: metric `ri`/],
  [
    "fine-search beside bits",
    { trellis: {}, "fine-search": {}, ...bits() },
    /^stages\.fine-search: fine-search prunes/,
  ],
  ["one sample", { trellis: {}, calibrate: { samples: 1 }, ...bits({ metric: "sensitivity" }) }, /samples: .* needs 2/],
  ["no bits for a budget", { trellis: {}, "coarse-search": {} }, /^stages\.coarse-search: .* keeps to bits instead/],
  [
    "keep for a budget",
    { trellis: {}, "coarse-search": { keep: 5 } },
    /^stages\.coarse-search\.keep: .* keeps to bits/,
  ],
  ["sensitivity without bits", { spbo: {}, "coarse-search": { metric: "sensitivity" } }, /metric: .*none to allocate/],
  [
    "part of a weight",
    { spbo: {}, "coarse-search": { spread: 0.5 } },
    /spread: .* whole number of weights: .* is 0\.5/,
  ],
];

for (const [name, change, wanted] of cases) {
  Deno.test(`budgetRule() refuses ${name}`, () => {
    const found = broken(change);
    assert.equal(found.length, 1, found.join("\n"));
    assert.match(found[0], wanted);
  });
}
