/** Every shipped recipe and sweep says the same from another folder. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { loadRecipe, loadSweep } from "../pipeline/mod.ts";
import { moveRecipe } from "../recipes/move_recipe.ts";
import { language } from "../stages/schema.ts";
import { project, temporaryFolder } from "./command_line_test_support.ts";

const CONFIGS = join(project, "configs");

async function recipesOf(file: string): Promise<unknown[]> {
  const sweep = await loadSweep(file);
  return sweep?.points.map(({ recipe }) => recipe) ?? [(await loadRecipe(file)).recipe];
}

Deno.test("a recipe that is moved says the same from there", async () => {
  using temporary = temporaryFolder();
  const files = readdirSync(CONFIGS, { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".yaml") && !file.startsWith("bases")
  );
  let points = 0;
  for (const file of files) {
    const from = join(CONFIGS, file), to = join(temporary.path, "moved.yaml");
    const text = readFileSync(from, "utf8");
    const moved = moveRecipe(text, { from: dirname(from), to: temporary.path, schema: language.schema });
    writeFileSync(to, moved);
    const meant = await recipesOf(from);
    assert.deepEqual(await recipesOf(to), meant, file);
    points += meant.length;
  }
  assert.ok(points > files.length);
});
