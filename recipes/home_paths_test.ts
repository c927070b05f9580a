import assert from "node:assert/strict";
import { homedir } from "node:os";
import { join } from "node:path";
import { loadRecipe } from "../pipeline/mod.ts";
import { RecipeSchema } from "../stages/schema.ts";
import { renderRecipe } from "./recipe.ts";

async function withRecipe(text: string, work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "r.yaml"), text);
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("loadRecipe() puts the home folder in place of ~ in paths, in the recipe and in --set", () =>
  withRecipe("model: { path: ~/models/a }\nstages:\n  calibrate:\n  spbo:\n  pack:\n", async (folder) => {
    const { recipe } = await loadRecipe("r.yaml", { cwd: folder });
    assert.deepEqual(recipe.model, { path: join(homedir(), "models", "a") });
    const { recipe: set } = await loadRecipe("r.yaml", { cwd: folder, set: ["model.path=~/b"] });
    assert.deepEqual(set.model, { path: join(homedir(), "b") });
    const { recipe: inside } = await loadRecipe("r.yaml", { cwd: folder, set: ["model.path=./~b"] });
    assert.deepEqual(inside.model, { path: join(folder, "~b") });
    assert.match(renderRecipe({ schema: RecipeSchema }, inside, { relativeTo: folder }), /path: \.\/~b\n/);
  }));

Deno.test("loadRecipe() refuses a path in another user's home, and a base there, where it stands", async () => {
  await withRecipe("model: { path: ~you/a }\nstages:\n  calibrate:\n  spbo:\n  pack:\n", async (folder) => {
    await assert.rejects(loadRecipe("r.yaml", { cwd: folder }), {
      message: [
        "error: cannot use path ~you/a: only the own home folder, ~/, is known here",
        " --> r.yaml:1:16",
        "  |",
        "1 | model: { path: ~you/a }",
        "  |                ^^^^^^",
        "  = note: write out the path, or ./~you/a for a folder of that name",
      ].join("\n"),
    });
  });
  await withRecipe(
    "extends: ~you/base.yaml\nmodel: { path: a }\nstages:\n  calibrate:\n  spbo:\n  pack:\n",
    async (folder) => {
      await assert.rejects(loadRecipe("r.yaml", { cwd: folder }), /cannot use path ~you\/base\.yaml[^]*r\.yaml:1:10/);
    },
  );
});
