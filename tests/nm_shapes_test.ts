/** Every shape of N:M, groups and types: refused by the recipe's own check or by the plan, or it works to the packed file. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { RecipeError } from "../recipes/diagnostics.ts";
import { loadRecipe, pipeline } from "../pipeline/mod.ts";
import { executeRun, makePlan, openCache } from "../runner/mod.ts";
import { temporaryFolder } from "./command_line_test_support.ts";
import { tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

type Stages = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

const nm = (keep: number, of: number, group_size = 64, more: Stages = {}): Stages => ({
  ...{ "coarse-search": { keep, of, spread: 0 }, spbo: { group_size } },
  ...more,
});
const pairs = (...list: readonly (readonly [number, number])[]) => list.map(([keep, of]) => nm(keep, of));
const types = ["unstructured", "structured", "none"].flatMap((type) =>
  [[1, 8], [7, 8], [8, 8], [3, 7], [33, 64]].map(([keep, of]) => nm(keep, of, 64, { "fine-search": { type } }))
);
const bitmask = { pack: { mask: "bitmask" } };

/** What works, and is run: the others have all been, once. */
const RUN: readonly Stages[] = [
  nm(33, 64, 64, bitmask),
  nm(31, 32),
  nm(1, 8, 8, { spbo: { group_size: 8, split_points: 3 } }),
];

/** What works. */
const FINE: readonly Stages[] = [
  ...pairs([1, 1], [1, 2], [1, 8], [7, 8], [8, 8], [2, 4], [4, 16], [15, 16], [16, 32], [32, 32]),
  ...types,
  nm(64, 64, 64, bitmask),
  nm(1, 64, 128, bitmask),
  ...[96, 40, 8, 4096].map((group) => nm(4, 8, group)),
  nm(2, 4, 100),
  { "coarse-search": { keep: 8, of: 8, spread: 1 } },
  { "coarse-search": { keep: 1, of: 8, spread: 3 } },
  { spbo: { group_size: 8, salient_max: 49 } },
  { spbo: { salient: false, split_points: 3 } },
  { spbo: { split_points: 0 } },
  { spbo: { iterations: 0 } },
];

/** What the recipe's check refuses: the line under which its caret stands, what it says, and what it allows. */
const REFUSED: readonly (readonly [Stages, RegExp, RegExp, RegExp])[] = [
  ...pairs([1, 64], [63, 64], [33, 64], [64, 64], [17, 33]).map((stages) =>
    [
      { ...stages, spbo: { group_size: 64 * 33 } },
      /^ +of: \d+$/,
      /`enumerative` counts patterns of at most 32 weights/,
      /^stages\.pack\.mask: bitmask, or an of up to 32$/,
    ] as const
  ),
  [
    nm(128, 256, 256, { pack: { mask: "enumerative" } }),
    /^ +mask: enumerative$/,
    /at most 32 weights: of is 256/,
    /stages\.pack\.mask: bitmask/,
  ],
  [nm(0, 8), /^ +keep: /, /./, /./],
  [nm(9, 8), /^ +keep: /, /keep cannot be above of/, /keep from 1 to 8/],
  [nm(4, 8, 100), /^ +group_size: 100$/, /must be a multiple of of/, /group_size 96 or 104/],
];

Deno.test("N:M of any shape is planned and works to the packed file, or is refused by the recipe's check", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await writeTinyModel(folder);
  const cache = await openCache(join(folder, "cache"));
  const load = (stages: Stages) => loadRecipe(writeTinyRecipe(folder, tinyRecipe(folder, stages)));
  try {
    for (const stages of [...RUN, ...FINE]) {
      const { recipe } = await load(stages), what = JSON.stringify(stages), runs = RUN.includes(stages);
      const purpose = runs ? "run" : "plan";
      const subject = await pipeline.open(recipe, { purpose, device: "cpu", cache: cache.folder });
      try {
        if (!runs) continue;
        const plan = await makePlan(subject, cache, { recipe, until: "pack" });
        const { error, outcome } = await executeRun(plan, subject, { cache, recipe, runsDir: join(folder, "runs") });
        assert.equal(outcome, "finished", `${what}: ${error?.message}`);
      } finally {
        await subject.close();
      }
    }
    for (const [stages, key, message, allowed] of REFUSED) {
      await assert.rejects(load(stages), (error) => {
        assert.ok(error instanceof RecipeError);
        const found = error.diagnostics.find((each) => message.test(each.message));
        assert.ok(found, `${JSON.stringify(stages)}: ${error.message}`);
        assert.match(found.text ?? "", key);
        assert.match(found.allowed ?? "", allowed);
        return true;
      });
    }
  } finally {
    cache.close();
  }
});

Deno.test("plan refuses an N:M that does not divide a layer's inputs, and says which does", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  await writeTinyModel(folder);
  const stages = nm(3, 10, 30), { recipe } = await loadRecipe(writeTinyRecipe(folder, tinyRecipe(folder, stages)));
  await assert.rejects(pipeline.open(recipe, { purpose: "plan", device: "cpu", cache: join(folder, "cache") }), {
    name: "InputError",
    message: /its 64 inputs must be a multiple of 10 \(stages\.coarse-search\.of\); an of of 8 divides/,
  });
});
