import assert from "node:assert/strict";
import { join } from "node:path";
import { openArithmetic, recipeWith } from "../arithmetic_test_support.ts";
import { openCache } from "../cache/cache.ts";
import { countSteps, countWays, shareWork } from "./sharing.ts";
import { type PointWork, surveySweep } from "./survey.ts";

type Settings = Parameters<typeof recipeWith>[0];

/** Work of some recipes of the arithmetic pipeline: 8 steps each, of half a second. */
async function workOf(...settings: readonly Settings[]): Promise<PointWork[]> {
  const folder = await Deno.makeTempDir();
  const cache = await openCache(join(folder, "cache"));
  const points = settings.map((each, at) => ({ id: `${at}`, label: `${at}`, values: {}, recipe: recipeWith(each) }));
  const surveyed = await surveySweep(points, {
    pipeline: { open: (recipe) => Promise.resolve(openArithmetic(recipe, { blocks: 2 })) },
    open: { purpose: "plan", device: "cpu" },
    cache,
  });
  cache.close();
  await Deno.remove(folder, { recursive: true });
  return surveyed.flatMap(({ work }) => work ?? []);
}

const none = () => false;

Deno.test("shareWork() counts steps of later points once, and lends what they read", async () => {
  const original = { inputs: "original" };
  const works = await workOf({ calibrate: original }, { calibrate: original, spbo: { iterations: 20 } });
  assert.deepEqual(countSteps(works), { all: 16, different: 11 });
  assert.equal(countWays(works, "calibrate"), 1);
  const { order, shares, lent } = shareWork(works, none);
  assert.deepEqual(order, [0, 1]);
  assert.deepEqual(shares, [{ run: 8, rest: 0, seconds: 4 }, { run: 3, rest: 5, seconds: 1.5 }]);
  // Both statistics are kept anyway; the last hidden states would be gone.
  const stepOf = (key: string) =>
    works[0].steps.find(({ outputs }) => outputs.some((output) => output.key === key))?.id;
  assert.deepEqual(
    lent.map(({ key, retain, from, until }) => [stepOf(key), retain, from, until]).sort(),
    [["calibrate[0]", "keep", 0, 1], ["calibrate[1]", "keep", 0, 1], ["forward[1]", "transient", 0, 1]],
  );
});

Deno.test("shareWork() lends only hidden states of the first block where others depend on what was compressed", async () => {
  const works = await workOf({}, { spbo: { iterations: 20 } }, { spbo: { iterations: 25 } });
  const { shares, lent } = shareWork(works, none);
  assert.deepEqual(shares.map(({ run }) => run), [8, 6, 6]);
  assert.deepEqual(lent.filter(({ retain }) => retain === "transient").map(({ from, until }) => [from, until]), [[
    0,
    2,
  ]]);
  assert.equal(countWays(works, "calibrate"), 3);
});

Deno.test("shareWork() puts points that begin alike together, else as they come", async () => {
  const [a, b] = [{ seed: 1 }, { seed: 2 }];
  const works = await workOf(
    { calibrate: a },
    { calibrate: b },
    { calibrate: a, spbo: { iterations: 20 } },
    { calibrate: b, spbo: { iterations: 20 } },
    { calibrate: a, evaluate: { perplexity: ["ptb", "c4"] } },
  );
  const { order, shares } = shareWork(works, none);
  assert.deepEqual(order, [0, 4, 2, 1, 3]);
  assert.deepEqual(shares.map(({ run }) => run), [8, 8, 6, 6, 1]);
});

Deno.test("shareWork() finds nothing to do where everything is there", async () => {
  const works = await workOf({}, { spbo: { iterations: 20 } });
  const { shares, lent } = shareWork(works, () => true);
  assert.deepEqual(shares, [{ run: 0, rest: 8, seconds: 0 }, { run: 0, rest: 8, seconds: 0 }]);
  assert.deepEqual(lent, []);
});
