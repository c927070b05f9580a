import assert from "node:assert/strict";
import fc from "fast-check";
import { stringify } from "yaml";
import { readYaml } from "./read_yaml.ts";
import { validate } from "./problems.ts";
import { language, RecipeSchema } from "../stages/schema.ts";
import { distance, nearest } from "./suggest.ts";

function check(recipe: unknown) {
  const text = stringify(recipe);
  const { tree } = readYaml({ kind: "file", name: "my.yaml", folder: "/", text });
  assert.ok(tree);
  return { text, ...validate(language, tree) };
}

const windows = { windows: "w.safetensors", tensor: "t" };

/** A recipe that states everything. */
const full = {
  ...RecipeSchema.parse({
    name: "n",
    description: "d",
    model: { path: "m", config: "c" },
    stages: {
      calibrate: { dataset: windows },
      "coarse-search": {},
      "fine-search": {},
      spbo: { search_target: { salient: "scores", segments: "weights" } },
      compensate: {},
      pack: {},
      evaluate: { perplexity: [{ name: "x", dataset: { text: "t.txt" }, samples: 3, length: 8 }] },
    },
    expect: { x: { value: 3, within: 0.1 } },
  }),
};

/** Paths of all keys of a value, but those that the recipe's writer makes up. */
function listKeys(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const here = [...path, key];
    const free = Array.isArray(value) || path.join(".") === "expect";
    return [...(free ? [] : [here]), ...listKeys(inner, here)];
  });
}

/** One letter changed, left out, put in, or swapped with the next. */
const typo = fc.record({
  kind: fc.constantFrom("change", "drop", "insert", "swap"),
  at: fc.nat(30),
  letter: fc.constantFrom(..."abcdefghijklmnopqrstuvwxyz_"),
});

function misspell(word: string, { kind, at, letter }: { kind: string; at: number; letter: string }): string {
  const index = at % word.length;
  const [before, here, after] = [word.slice(0, index), word[index], word.slice(index + 1)];
  if (kind === "change") return before + letter + after;
  if (kind === "drop") return before + after;
  if (kind === "insert") return before + letter + here + after;
  return before + after.slice(0, 1) + here + after.slice(1);
}

function rename(value: unknown, path: readonly string[], name: string): unknown {
  if (Array.isArray(value)) {
    return value.map((item, index) => String(index) === path[0] ? rename(item, path.slice(1), name) : item);
  }
  return Object.fromEntries(
    Object.entries(value as object).map(([key, inner]) => {
      if (key !== path[0]) return [key, inner];
      return path.length === 1 ? [name, inner] : [key, rename(inner, path.slice(1), name)];
    }),
  );
}

Deno.test("validate() takes a recipe that states everything", () => {
  const { problems, recipe } = check(full);
  assert.deepEqual(problems, []);
  assert.deepEqual(recipe, full);
});

Deno.test("validate() reports any single typo in any key at its place, with a suggestion, and nothing else", () => {
  const keys = listKeys(full);
  assert.ok(keys.length > 45);
  fc.assert(
    fc.property(fc.constantFrom(...keys), typo, (path, change) => {
      const key = path[path.length - 1];
      const wrong = misspell(key, change);
      fc.pre(wrong !== key && wrong !== "" && wrong !== "_" && !/^_*$/.test(wrong));
      const { problems, text, recipe } = check(rename(full, path, wrong));
      assert.equal(recipe, undefined);
      const [problem] = problems;
      assert.equal(problems.length, 1, JSON.stringify(problems.map(({ message }) => message)));
      assert.ok(problem.message.startsWith(`unknown key \`${wrong}\``), problem.message);
      assert.equal(problem.suggestion, key);
      assert.equal(text.slice(problem.at?.start, problem.at?.end).replaceAll(/["']/g, ""), wrong);
    }),
    { numRuns: 400 },
  );
});

Deno.test("validate() never fails on any YAML, and refuses with a place", () => {
  fc.assert(
    fc.property(fc.oneof(fc.object({ maxDepth: 3 }), fc.jsonValue()), (value) => {
      const { recipe, problems } = check({ model: value, stages: value });
      assert.equal(recipe === undefined, problems.length > 0);
      for (const { at } of problems) assert.ok(at !== undefined);
    }),
    { numRuns: 200 },
  );
});

Deno.test("validate() reports wrong values and broken rules together", () => {
  const { problems } = check({
    model: { hub: "no-owner" },
    stages: { calibrate: { samples: "many" }, "coarse-search": { keep: 9 }, pack: { scales: "f64" } },
  });
  assert.deepEqual(problems.map(({ message }) => message), [
    'model.hub cannot be "no-owner" (text)',
    'stages.calibrate.samples cannot be "many" (text)',
    'stages.pack.scales cannot be "f64" (text)',
    "keep cannot be above of: 9 of every 8",
  ]);
});

Deno.test("distance() counts insertions, deletions, changes and swaps, and is symmetric", () => {
  for (const [from, to, steps] of [["", "abc", 3], ["abc", "abc", 0], ["ab", "ba", 1], ["kept", "keep", 2]] as const) {
    assert.equal(distance(from, to), steps);
  }
  fc.assert(fc.property(fc.string(), fc.string(), (a, b) => distance(a, b) === distance(b, a)));
});

Deno.test("nearest() passes over hyphens, underscores and case", () => {
  assert.equal(nearest("GroupSize", ["group_size", "seed"]), "group_size");
  assert.equal(nearest("coarse_search", ["coarse-search", "fine-search"]), "coarse-search");
  assert.equal(nearest("temperature", ["keep", "of"]), undefined);
});
