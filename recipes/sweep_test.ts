import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { loadRecipe, loadSweep } from "../pipeline/mod.ts";
import type { SweepOptions } from "./sweep.ts";
import { RecipeError, renderDiagnostics } from "./diagnostics.ts";

/** Files that sweeps extend. */
const files: Readonly<Record<string, string>> = {
  "base.yaml": "model: { path: weights }\n" +
    "stages:\n  calibrate:\n  coarse-search:\n  fine-search:\n  spbo:\n  pack:\n  evaluate: { perplexity: [ptb, c4] }\n" +
    "expect: { ptb: { value: 9, within: 0.1 } }\n",
  "m/gptq-3.yaml": "extends: ../base.yaml\nname: three\nstages: { spbo: { resign: 3 } }\n",
  "m/solver.yaml": "stages: { spbo: { solver: joint } }\n",
  "m/methods.yaml": "matrix: { extends: [[gptq-3.yaml, solver.yaml], gptq-2.yaml] }\n",
  "m/gptq-2.yaml": "extends: ../base.yaml\nstages: { spbo: { resign: 2 } }\n",
  "on-top.yaml": "model: { path: other }\nexpect: { c4: { value: 7, within: 0.1 } }\n",
  "m/sweep.yaml": "extends: ../base.yaml\nmatrix: { stages.spbo.resign: [1] }\n",
};

/** Reads a sweep that stands in a folder with `files`. */
async function read(text: string, options: SweepOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), "sweep-"));
  try {
    for (const [name, content] of Object.entries({ ...files, "my.yaml": text })) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), content);
    }
    return await loadSweep("my.yaml", { cwd: folder, ...options });
  } finally {
    await rm(folder, { recursive: true });
  }
}

const base = "extends: base.yaml\n";

const expansions: readonly { name: string; text: string; set?: string[]; labels: string[]; ids?: string[] }[] = [
  {
    name: "a product, the last path changing first",
    text: `${base}matrix:\n  stages.coarse-search.keep: [4, 5]\n  stages.spbo.group_size: [64, 128]\n`,
    labels: [
      "keep 4, group_size 64",
      "keep 4, group_size 128",
      "keep 5, group_size 64",
      "keep 5, group_size 128",
    ],
    ids: ["keep-4-group_size-64", "keep-4-group_size-128", "keep-5-group_size-64", "keep-5-group_size-128"],
  },
  {
    name: "recipes that points extend, by their files' names; a path with one value is not told",
    text: "matrix:\n  extends: [m/gptq-3.yaml, m/gptq-2.yaml]\n  stages.coarse-search.keep: [5]\n",
    labels: ["gptq-3", "gptq-2"],
  },
  {
    name: "equal last keys with as much of the path as tells them apart",
    text: `${base}matrix:\n  stages.coarse-search.metric: [lr, ri]\n  stages.fine-search.metric: [hessian]\n` +
      "include: [{ stages.fine-search.metric: magnitude }]\n",
    labels: [
      "coarse-search.metric lr, fine-search.metric hessian",
      "coarse-search.metric ri, fine-search.metric hessian",
      "fine-search.metric magnitude",
    ],
  },
  {
    name: "included points: a list is several values, a path may name a whole stage",
    text: `${base}include:\n  - stages.coarse-search.keep: [4, 5]\n  - stages.spbo: { solver: joint, resign: 2 }\n`,
    labels: ["keep 4", "keep 5", "spbo solver joint, resign 2"],
  },
  {
    name: "points without those that are excluded, which included ones are not",
    text: `${base}matrix:\n  stages.coarse-search.keep: [4, 5, 6]\n  stages.spbo.resign: [0, 1]\n` +
      "exclude:\n  - stages.coarse-search.keep: [4, 5]\n    stages.spbo.resign: 1\n" +
      "include: [{ stages.coarse-search.keep: 4, stages.spbo.resign: 1 }]\n",
    labels: ["keep 4, resign 0", "keep 5, resign 0", "keep 6, resign 0", "keep 6, resign 1", "keep 4, resign 1"],
  },
  {
    name: "a list as a value, and an item of a list as a path",
    text:
      `${base}matrix:\n  stages.evaluate.perplexity: [[ptb], [ptb, wikitext2]]\n  "stages.evaluate.perplexity.0": [c4]\n`,
    labels: ["perplexity ptb", "perplexity ptb+wikitext2"],
  },
  {
    name: "points that extend several recipes, and those of a sweep that is extended",
    text:
      "extends: m/methods.yaml\nmatrix: { stages.coarse-search.keep: [3] }\ninclude: [{ extends: m/gptq-2.yaml }]\n",
    labels: ["gptq-3+solver, keep 3", "gptq-2, keep 3", "m/gptq-2"],
  },
  {
    name: "values that look like paths by their ends",
    text: `${base}matrix: { model.path: [../a/one, ../b/one, ../b/two/] }\n`,
    labels: ["path a/one", "path b/one", "path b/two"],
  },
];

for (const { name, text, set, labels, ids } of expansions) {
  Deno.test(`loadSweep() makes ${name}`, async () => {
    const sweep = await read(text, { set });
    assert.deepEqual(sweep?.points.map(({ label }) => label), labels);
    if (ids) assert.deepEqual(sweep?.points.map(({ id }) => id), ids);
    assert.deepEqual(sweep?.warnings, []);
  });
}

Deno.test("loadSweep() lays the sweep's file over what a point extends, the point over it, and --set over all", async () => {
  const sweep = await read(
    "name: mine\nmatrix:\n  extends: [m/gptq-3.yaml, m/gptq-2.yaml]\n  stages.calibrate.seed: [0, 1]\n" +
      "repeats: [stages.calibrate.seed]\nstages: { spbo: { solver: joint, group_size: 32 } }\n",
    { set: ["stages.spbo.group_size=64"] },
  );
  assert.equal(sweep?.name, "mine");
  assert.deepEqual(sweep?.axes, ["extends", "stages.calibrate.seed"]);
  assert.deepEqual(sweep?.repeats, ["stages.calibrate.seed"]);
  const [first, , third] = sweep!.points;
  assert.deepEqual(first.values, { extends: "m/gptq-3.yaml", "stages.calibrate.seed": 0 });
  const spbo = (point: typeof first) => [
    point.recipe.stages.spbo?.resign,
    point.recipe.stages.spbo?.solver,
    point.recipe.stages.spbo?.group_size,
  ];
  assert.deepEqual([spbo(first), spbo(third)], [[3, "joint", 64], [2, "joint", 64]]);
  assert.deepEqual(first.sources.get("stages.calibrate.seed"), { file: "my.yaml", line: 4, column: 20 });
  assert.equal(first.sources.get("stages.spbo.group_size"), "--set");
});

Deno.test("loadSweep() keeps an expectation only where a point is the recipe that states it", async () => {
  const whole = await read("matrix: { extends: [m/gptq-3.yaml, m/gptq-2.yaml] }\n");
  assert.deepEqual(whole?.points.map(({ recipe }) => recipe.expect?.ptb.value), [9, 9]);
  for (
    const changed of [
      `${base}matrix: { stages.spbo.resign: [1, 2] }\n`,
      "matrix: { extends: [m/gptq-3.yaml, m/gptq-2.yaml] }\nstages: { spbo: { solver: joint } }\n",
    ]
  ) {
    const { points } = (await read(changed))!;
    assert.deepEqual(points.map(({ recipe }) => recipe.expect), [undefined, undefined]);
  }
  const own = await read(
    `${base}matrix: { stages.spbo.resign: [1, 2] }\nexpect: { c4: { value: 5, within: 0.1 } }\n`,
  );
  assert.deepEqual(own?.points.map(({ recipe }) => Object.keys(recipe.expect ?? {})), [["c4"], ["c4"]]);
});

Deno.test("loadSweep() lays recipes that it is read with over the sweep's file, under its points", async () => {
  const text = "matrix: { extends: [m/gptq-3.yaml, m/gptq-2.yaml] }\ninclude:\n" +
    "  - { extends: m/gptq-2.yaml, model.path: third }\nmodel: { path: mine }\n";
  const sweep = await read(text, { with: ["on-top.yaml"] });
  assert.equal(sweep?.name, "my with on-top");
  assert.deepEqual(
    sweep?.points.map(({ recipe: { model, expect } }) => [
      "path" in model && basename(model.path),
      Object.keys(expect ?? {}),
    ]),
    [["other", ["c4"]], ["other", ["c4"]], ["third", ["c4"]]],
  );
});

Deno.test("loadSweep() leaves ordinary recipes alone, and loadRecipe() says that a sweep is none", async () => {
  assert.equal(await read(base), undefined);
  const folder = await mkdtemp(join(tmpdir(), "sweep-"));
  await writeFile(join(folder, "my.yaml"), "matrix: { stages.spbo.resign: [1] }\n");
  await assert.rejects(loadRecipe("my.yaml", { cwd: folder }), {
    message: [
      "error: this recipe is a sweep, and one recipe is wanted here",
      " --> my.yaml:1:1",
      "  |",
      "1 | matrix: { stages.spbo.resign: [1] }",
      "  | ^^^^^^",
      "  = note: `deno task sweep my.yaml` runs all of its points, and `plan` plans",
      "          them",
    ].join("\n"),
  });
  await rm(folder, { recursive: true });
});

const many = (count: number) => `[${Array.from({ length: count }, (_, at) => at + 1).join(", ")}]`;

const refused: readonly { name: string; text: string; set?: string[]; most?: number; wanted: string }[] = [
  {
    name: "an unknown path",
    text: `${base}matrix:\n  stages.coarse-search.kep: [4, 5]\n`,
    wanted: `
error: unknown key \`kep\` in stages.coarse-search
 --> my.yaml:3:24
  |
3 |   stages.coarse-search.kep: [4, 5]
  |                        ^^^ did you mean \`keep\`?
  = allowed: metric, bits, similarity, keep, of, spread`,
  },
  {
    name: "an unknown path in quotes, whose first key is wrong",
    text: `${base}matrix:\n  "stagse.spbo.resign": [4]\n`,
    wanted: `
error: unknown key \`stagse\`
 --> my.yaml:3:4
  |
3 |   "stagse.spbo.resign": [4]
  |    ^^^^^^ did you mean \`stages\`?
  = allowed: extends, use, name, description, model, stages, expect, matrix,
             include, exclude, repeats`,
  },
  {
    name: "values that are not allowed there, and points that break a rule, all at once",
    text: `${base}matrix:\n  stages.coarse-search.keep: [4, 9, five]\n  stages.spbo.resign: [0, 1]\n`,
    wanted: `
error: keep cannot be above of: 9 of every 8
 --> my.yaml:3:34
  |
3 |   stages.coarse-search.keep: [4, 9, five]
  |                                  ^
  = allowed: keep from 1 to 8
  = note: in 2 of 6 points, the first is \`keep 9, resign 0\`

error: stages.coarse-search.keep cannot be "five" (text)
 --> my.yaml:3:37
  |
3 |   stages.coarse-search.keep: [4, 9, five]
  |                                     ^^^^
  = allowed: a whole number from 1 to 256
  = note: in 2 of 6 points, the first is \`keep five, resign 0\`

2 errors`,
  },
  {
    name: "no values, and a value that is no list",
    text: `${base}matrix:\n  stages.coarse-search.keep: []\n  stages.spbo.group_size: 64\n`,
    wanted: `
error: stages.coarse-search.keep has no values, so that there would be no points
 --> my.yaml:3:30
  |
3 |   stages.coarse-search.keep: []
  |                              ^^

error: stages.spbo.group_size takes a list of values here
 --> my.yaml:4:27
  |
4 |   stages.spbo.group_size: 64
  |                           ^^
  = note: one value is a list too: \`[4]\`

2 errors`,
  },
  {
    name: "an empty product",
    text: `${base}matrix: {}\n`,
    wanted: `
error: the sweep has no points
 --> my.yaml:2:1
  |
2 | matrix: {}
  | ^^^^^^
  = note: give \`matrix\` a path with a list of values`,
  },
  {
    name: "an exclude that leaves nothing",
    text: `${base}matrix: { stages.spbo.resign: [0, 1] }\nexclude: [{ stages.spbo.resign: [0, 1] }]\n`,
    wanted: `
error: all points are excluded (2)
 --> my.yaml:3:1
  |
3 | exclude: [{ stages.spbo.resign: [0, 1] }]
  | ^^^^^^^`,
  },
  {
    name: "an exclude and a repetition of what no point has",
    text: `${base}matrix: { stages.spbo.resign: [0, 1] }\nexclude: [{ stages.spbo.reign: 0 }]\nrepeats: [seed]\n`,
    wanted: `
error: no point has a value of its own at stages.spbo.reign
 --> my.yaml:3:13
  |
3 | exclude: [{ stages.spbo.reign: 0 }]
  |             ^^^^^^^^^^^^^^^^^ did you mean \`stages.spbo.resign\`?
  = allowed: stages.spbo.resign

error: no point has a value of its own at seed
 --> my.yaml:4:11
  |
4 | repeats: [seed]
  |           ^^^^
  = allowed: stages.spbo.resign

2 errors`,
  },
  {
    name: "recipes to extend that are not there, or sweeps",
    text: "matrix: { extends: [m/gptq-3.yaml, m/gptq-4.yaml, m/sweep.yaml, 4] }\n",
    wanted: `
error: cannot read recipe \`m/gptq-4.yaml\`: there is no such file
 --> my.yaml:1:36
  |
1 | matrix: { extends: [m/gptq-3.yaml, m/gptq-4.yaml, m/sweep.yaml, 4] }
  |                                    ^^^^^^^^^^^^^
  | did you mean \`m/gptq-2.yaml\`?

error: this recipe is a sweep itself, which a point cannot be
 --> my.yaml:1:51
  |
1 | matrix: { extends: [m/gptq-3.yaml, m/gptq-4.yaml, m/sweep.yaml, 4] }
  |                                                   ^^^^^^^^^^^^

error: \`extends\` takes the path of a recipe
 --> my.yaml:1:65
  |
1 | matrix: { extends: [m/gptq-3.yaml, m/gptq-4.yaml, m/sweep.yaml, 4] }
  |                                                                 ^

3 errors`,
  },
  {
    name: "code that is not there, once for all points",
    text: `${base}use: [./mine.ts]\nmatrix: { stages.mine.bits: [2, 3] }\nstages: { mine: }\n`,
    wanted: `
error: cannot use \`mine.ts\`: there is no such file
 --> my.yaml:2:7
  |
2 | use: [./mine.ts]
  |       ^^^^^^^^^`,
  },
  {
    name: "more points than are taken for meant",
    text: `${base}matrix:\n  stages.spbo.iterations: ${many(101)}\n  stages.calibrate.seed: ${many(100)}\n`,
    wanted: `
error: the sweep has 10,100 points, more than 10,000
 --> my.yaml:2:1
  |
2 | matrix:
  | ^^^^^^
  = note: where that is meant, give --yes`,
  },
  {
    name: "more points than there is memory, whatever is meant",
    most: Infinity,
    text: `${base}matrix:\n${Array.from({ length: 9 }, (_, at) => `  stages.spbo.k${at}: ${many(100)}\n`).join("")}`,
    wanted: `
error: the sweep has 1,000,000,000,000,000,000 points, and can have 1,000,000
 --> my.yaml:2:1
  |
2 | matrix:
  | ^^^^^^`,
  },
  {
    name: "points that would be sweeps, and a path that is none",
    text: `${base}matrix:\n  matrix.x: [1]\n  stages..x: [1]\n`,
    wanted: `
error: a point cannot be a sweep itself
 --> my.yaml:3:3
  |
3 |   matrix.x: [1]
  |   ^^^^^^^^

error: a path is keys joined with single dots
 --> my.yaml:4:3
  |
4 |   stages..x: [1]
  |   ^^^^^^^^^
  = note: for example \`stages.NAME.key\`

2 errors`,
  },
];

for (const { name, text, set, most, wanted } of refused) {
  Deno.test(`loadSweep() refuses ${name}`, async () => {
    await assert.rejects(read(text, { set, ...(most === undefined ? {} : { most }) }), (error) => {
      assert.ok(error instanceof RecipeError);
      assert.equal(renderDiagnostics(error.diagnostics), wanted.trimStart());
      return true;
    });
  });
}

Deno.test("loadSweep() leaves out points that are the same, and warns of them and of an exclude that does nothing", async () => {
  const sweep = await read(
    `${base}matrix: { stages.spbo.resign: [0, 1] }\nexclude: [{ stages.spbo.resign: 2 }]\n` +
      "include: [{ stages.spbo.iterations: 15, stages.spbo.resign: 1 }]\n",
  );
  assert.deepEqual(sweep?.points.map(({ label }) => label), ["resign 0", "resign 1"]);
  assert.equal(
    renderDiagnostics(sweep!.warnings),
    `
warning: one point is the same as another, and is left out
 --> my.yaml:2:1
  |
2 | matrix: { stages.spbo.resign: [0, 1] }
  | ^^^^^^
  = note: \`resign 1, iterations 15\` is \`resign 1\`

warning: no point of the matrix has these values
 --> my.yaml:3:11
  |
3 | exclude: [{ stages.spbo.resign: 2 }]
  |           ^^^^^^^^^^^^^^^^^^^^^^^^^`.trimStart(),
  );
});
