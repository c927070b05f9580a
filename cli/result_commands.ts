/** Commands that make a result again: the shipped recipe of that name, and what was set beside it. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseDocument } from "yaml";
import { loadRecipe } from "../pipeline/mod.ts";
import { compareRuns, type RunRecord } from "../runner/mod.ts";
import type { Json } from "../runner/stage.ts";
import type { SweepPoint, SweepRecord } from "../runner/sweep/record.ts";
import { projectFolder } from "./places.ts";

/** Shipped recipes by name: their paths from the project's folder. */
export type ShippedRecipes = ReadonlyMap<string, string>;

/** Reads the names of all recipes in configs/. */
export function shippedRecipes(): ShippedRecipes {
  const names = new Map<string, string>();
  for (const path of recipesIn("configs")) {
    const name: unknown = parseDocument(readFileSync(join(projectFolder, path), "utf8")).get("name");
    names.set(typeof name === "string" ? name : basename(path).replace(/\.ya?ml$/, ""), path);
  }
  return names;
}

/** Makes a run again. What differs from the shipped recipe is set, but for where files are. */
export async function commandOfRun(run: RunRecord, recipes: ShippedRecipes): Promise<string> {
  const path = recipes.get(run.recipe);
  const device = /--device\b/.test(run.device.why) ? ` --device ${run.device.kind}` : "";
  if (path === undefined) return `deno task run ${word(`${run.recipe}.yaml`)}${device}`;
  const { recipe } = await loadRecipe(join(projectFolder, path), { cwd: projectFolder });
  const shipped = JSON.parse(JSON.stringify(recipe)) as Json;
  const sets = compareRuns([{ ...run, settings: shipped }, run]).recipe.flatMap(({ field, values: [, value] }) =>
    isPath(field) || value === undefined ? [] : [` --set ${word(`${field}=${textOf(value)}`)}`]
  );
  return `deno task run ${path}${device}${sets.join("")}`;
}

/** Makes a whole sweep again; what was laid on top of its recipe is in its name. */
export function commandOfSweep({ name }: Pick<SweepRecord, "name">, recipes: ShippedRecipes): string {
  const [first, ...layers] = name.split(" with ").map((each) => recipes.get(each) ?? word(`${each}.yaml`));
  return `deno task sweep ${first}${layers.map((path) => ` --with ${path}`).join("")}`;
}

/** Makes one point of a sweep again. */
export function commandOfPoint(command: string, { label }: SweepPoint): string {
  return `${command} --only ${word(label)}`;
}

function* recipesIn(folder: string): Generator<string> {
  const entries = readdirSync(join(projectFolder, folder), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* recipesIn(path);
    else if (/\.ya?ml$/.test(entry.name)) yield path;
  }
}

/** Values that say where files are, not what is made; they differ from machine to machine. */
function isPath(field: string): boolean {
  return /(^|\.)(path|windows|text|file|tokenizer|config|use\.\d+)$/.test(field);
}

function textOf(value: Json): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A word as shells take it. */
function word(text: string): string {
  return /^[\w./=:@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
