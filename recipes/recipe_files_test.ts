import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { loadRecipe } from "../pipeline/mod.ts";
import { temporaryFolder } from "../tests/command_line_test_support.ts";
import { RecipeError, renderDiagnostics } from "./diagnostics.ts";

const METHOD =
  "model: { path: tiny, config: c }\nstages:\n  calibrate: { dataset: { windows: w, tensor: t }, samples: 8 }\n" +
  "  spbo: { resign: 1 }\n  pack:\n  evaluate: { perplexity: [{ name: heldout, dataset: { windows: w, tensor: t } }] }\n" +
  "expect: { heldout: { value: 30, within: 0.1 } }\n";
const LARGE =
  "model: { hub: owner/large }\nstages:\n  calibrate: { dataset: c4, samples: 128 }\n  evaluate: { perplexity: [wikitext2] }\n";

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
}

async function complaints(loading: Promise<unknown>): Promise<string> {
  const error = await loading.then(() => assert.fail("the recipe was taken"), (error) => error);
  assert.ok(error instanceof RecipeError, String(error));
  return renderDiagnostics(error.diagnostics, { width: 400 });
}

Deno.test("loadRecipe() lays recipes on top: over the recipe and what it extends, later ones over earlier ones, --set over all", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  write(folder, {
    "a.yaml": `extends: base.yaml\n${METHOD}`,
    "base.yaml": "stages: { spbo: { iterations: 3 } }\n",
    "large.yaml": LARGE,
    "in/more.yaml": "extends: deep.yaml\nmodel: { path: ./m }\n",
    "in/deep.yaml": "model: { hub: owner/other, file: f }\nstages: { calibrate: { samples: 64 } }\n",
  });
  const load = (over: readonly string[], set: readonly string[] = []) =>
    loadRecipe("a.yaml", { cwd: folder, with: over, set });
  const { recipe, sources, name } = await load(["large.yaml"]);
  // Another form of a map takes the place of the whole map, as it does along `extends`.
  assert.deepEqual(recipe.model, { hub: "owner/large", revision: "main" });
  assert.equal(recipe.stages.calibrate?.dataset, "c4");
  assert.deepEqual([recipe.stages.calibrate?.samples, recipe.stages.spbo?.iterations], [128, 3]);
  assert.deepEqual(recipe.stages.evaluate?.perplexity.map((each) => typeof each === "string" ? each : each.name), [
    "wikitext2",
  ]);
  assert.deepEqual(sources.get("stages.calibrate.samples"), { file: "large.yaml", line: 3, column: 29 });
  // What was expected of the other model is not expected of this one.
  assert.equal(recipe.expect, undefined);
  assert.equal(name, "a with large");

  const both = await load(["large.yaml", "in/more.yaml"], ["stages.spbo.resign=2", "name=mine"]);
  assert.deepEqual(both.recipe.model, { path: join(folder, "in", "m") });
  assert.deepEqual([both.recipe.stages.calibrate?.samples, both.recipe.stages.spbo?.resign, both.name], [
    64,
    2,
    "mine",
  ]);
  const other = await load(["in/more.yaml", "large.yaml"]);
  assert.deepEqual([other.recipe.model, other.recipe.stages.calibrate?.samples], [{
    hub: "owner/large",
    revision: "main",
  }, 128]);

  write(folder, { "large.yaml": `${LARGE}name: large\nexpect: { wikitext2: { value: 9, within: 0.1 } }\n` });
  const named = await load(["large.yaml"]);
  assert.deepEqual([named.name, named.recipe.expect], ["large", { wikitext2: { value: 9, within: 0.1 } }]);
});

Deno.test("loadRecipe() shows what is wrong with a recipe on top in its own file and line", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  write(folder, { "a.yaml": METHOD, "top.yaml": "stages:\n  spbo: { itertions: 3 }\n", "b.yaml": "extends: b.yaml\n" });
  const load = (over: string) => complaints(loadRecipe("a.yaml", { cwd: folder, with: [over] }));
  assert.match(await load("top.yaml"), /unknown key `itertions` in stages\.spbo\n --> top\.yaml:2:11\n/);
  assert.match(
    await load("tap.yaml"),
    /^error: cannot read recipe `tap\.yaml`: there is no such file\n.*did you mean `top\.yaml`\?$/,
  );
  assert.match(await load("b.yaml"), /extend one another in a circle\n --> b\.yaml:1:10/);
});

Deno.test("loadRecipe() extends several recipes: later ones win, and a base of two of them counts once", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  write(folder, {
    "a.yaml": "extends: [one.yaml, ./two.yaml]\nstages: { pack: { scales: f32 } }\n",
    "one.yaml": "extends: base.yaml\nstages: { spbo: { resign: 1, iterations: 1 } }\n",
    "two.yaml": "extends: [base.yaml]\nstages: { spbo: { iterations: 2 } }\n",
    "base.yaml": METHOD.replace("resign: 1", "resign: 9, iterations: 9, candidates: 9"),
  });
  const { recipe: { stages }, sources } = await loadRecipe("a.yaml", { cwd: folder });
  const { resign, iterations, candidates } = stages.spbo ?? {};
  assert.deepEqual([resign, iterations, candidates, stages.pack?.scales], [1, 2, 9, "f32"]);
  assert.deepEqual(sources.get("stages.spbo.resign"), { file: "one.yaml", line: 2, column: 19 });
});

Deno.test("loadRecipe() tells each recipe of a list that cannot be extended, and what is no list of names", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  write(folder, {
    "a.yaml": `extends: [no.yaml, b.yaml]\n${METHOD}`,
    "b.yaml": "extends: a.yaml\n",
    "c.yaml": `extends: [3]\n${METHOD}`,
  });
  const told = await complaints(loadRecipe("a.yaml", { cwd: folder }));
  assert.match(
    told,
    /cannot read recipe `no\.yaml`[^]*a\.yaml:1:11[^]*in a circle\n --> b\.yaml:1:10[^]*note: a\.yaml → b\.yaml → a\.yaml/,
  );
  assert.match(
    await complaints(loadRecipe("c.yaml", { cwd: folder })),
    /extends\.0 cannot be 3|extends cannot be a list/,
  );
});

Deno.test("loadRecipe() reads a web of bases in time that grows with their number, and not more than 32", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path;
  for (let i = 0; i < 40; i++) {
    write(folder, { [`${i}.yaml`]: `extends: [${i + 1}.yaml, ${i + 2}.yaml]\nstages: { pack: {} }\n` });
  }
  write(folder, { "40.yaml": METHOD, "41.yaml": "stages: { pack: {} }\n" });
  const { recipe } = await loadRecipe("12.yaml", { cwd: folder });
  assert.equal(recipe.stages.spbo?.resign, 1);
  assert.match(
    await complaints(loadRecipe("0.yaml", { cwd: folder })),
    /more than 32 recipes extend one another\n --> 31\.yaml/,
  );
});
