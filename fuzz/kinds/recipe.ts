/** Recipes, the ones they extend, and what is set on the command line. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { projectFolder } from "../../cli/places.ts";
import { loadRecipe, renderRecipe } from "../../pipeline/mod.ts";
import type { Kind } from "../kind.ts";

const BASES = ["best.yaml", "paper.yaml"];

/** What `--set` says, one a line. */
const SET = [
  "stages.spbo.iterations=20",
  "stages.evaluate.perplexity.0.length=64",
  "model={ path: ./model }",
  'stages.calibrate.dataset={"text": "./text.txt"}',
  "name=mine",
];

/** All settings that the examples leave out. */
const MORE = `
expect:
  heldout: { value: 34.3, within: 0.03 }
`;

/** The kind. */
export const recipe: Kind = {
  name: "recipe",
  async make(folder) {
    const configs = join(projectFolder, "configs");
    for (const name of ["quickstart", "hub", "set"]) {
      const place = join(folder, name);
      await Deno.mkdir(join(place, "bases"), { recursive: true });
      for (const base of BASES) await copyFile(join(configs, "bases", base), join(place, "bases", base));
    }
    const quickstart = await Deno.readTextFile(join(configs, "quickstart.yaml"));
    await Deno.writeTextFile(join(folder, "quickstart", "recipe.yaml"), quickstart + MORE);
    await Deno.writeTextFile(join(folder, "set", "recipe.yaml"), quickstart);
    await Deno.writeTextFile(join(folder, "set", "set.txt"), SET.join("\n"));
    await copyFile(join(configs, "llama2-7b-4of8.yaml"), join(folder, "hub", "recipe.yaml"));
    return [
      {
        name: "quickstart",
        targets: ["recipe.yaml", "recipe.yaml", ...BASES.map((base) => `bases/${base}`)]
          .map((path) => ({ path, syntax: "yaml" })),
      },
      { name: "hub", targets: [{ path: "recipe.yaml", syntax: "yaml" }] },
      { name: "set", targets: [{ path: "set.txt", syntax: "lines" }] },
    ];
  },
  async read(folder, sample, seen) {
    const set = sample === "set" ? (await Deno.readTextFile(join(folder, "set.txt"))).split("\n") : [];
    const loaded = await loadRecipe(join(folder, "recipe.yaml"), { cwd: folder, set });
    seen("the recipe", loaded.recipe);
    if (loaded.name.trim() === "" || loaded.sources.size === 0) throw new TypeError("Cannot use the recipe: no name");
    const again = join(folder, "again.yaml");
    const text = renderRecipe(loaded.recipe);
    await Deno.writeTextFile(again, text);
    const second = await loadRecipe(again, { cwd: folder }).catch((cause) => {
      throw new TypeError(`Cannot read again what was read before: ${cause.message.split("\n")[0]}`, { cause });
    });
    if (renderRecipe(second.recipe) !== text) {
      throw new TypeError("Cannot use the recipe: it is another one when locked");
    }
  },
};
