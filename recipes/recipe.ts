/**
 * Recipes from disk: `extends`, `--with`, `--set`, defaults and where each value came from.
 *
 * Not what recipes may say (`language.ts`) nor the printing of problems (`diagnostics.ts`).
 */
import type * as z from "zod";
import { basename, extname, relative, resolve } from "node:path";
import { stringify } from "yaml";
import { type Diagnostic, type Problem, RecipeError, toDiagnostics } from "./diagnostics.ts";
import { fillEmptyMaps } from "./empty_maps.ts";
import { formsOf } from "./forms.ts";
import type { Origin, Recipe, RecipeLanguage, UsedFile } from "./language.ts";
import { type Fault, find, type Located, overlay } from "./located.ts";
import { mapPaths } from "./paths.ts";
import { position } from "./position.ts";
import { validate } from "./problems.ts";
import {
  lineOf,
  listUsed,
  mergeFiles,
  readFiles,
  type ReadRecipe,
  type RecipeFile,
  resolvePath,
  usedBy,
  withoutKeys,
  withUsed,
} from "./recipe_files.ts";
import { readSettings } from "./settings.ts";
import { refuseSweep } from "./sweep_keys.ts";

/**
 * Where a value was written: a place in a file, a `--set` argument, or nowhere.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import type { ValueSource } from "./recipe.ts";
 *
 * const placeOf = (source: ValueSource) => typeof source === "string" ? source : `${source.file}:${source.line}`;
 * assert.equal(placeOf({ file: "my.yaml", line: 4, column: 5 }), "my.yaml:4");
 * assert.equal(placeOf("default"), "default");
 * ```
 */
export type ValueSource =
  | { readonly file: string; readonly line: number; readonly column: number }
  | "--set"
  | "default";

/**
 * A recipe, complete and checked.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadRecipe } from "../pipeline/mod.ts";
 * import type { LoadedRecipe } from "./recipe.ts";
 *
 * const loaded: LoadedRecipe = await loadRecipe("configs/quickstart.yaml", { set: ["stages.spbo.iterations=3"] });
 * assert.equal(loaded.sources.get("stages.spbo.iterations"), "--set");
 * assert.equal(loaded.sources.get("stages.spbo.candidates"), "default");
 * assert.deepEqual(loaded.warnings, []);
 * ```
 */
export interface LoadedRecipe<R extends Recipe = Recipe> {
  /** Every default filled in, every path absolute. */
  readonly recipe: R;
  /** The recipe's name, or its file's. */
  readonly name: string;
  /** By path (`stages.spbo.iterations`, `stages.evaluate.perplexity.0.name`), every value of the recipe. */
  readonly sources: ReadonlyMap<string, ValueSource>;
  /** The file, absolute. */
  readonly file: string;
  /** The file's text. */
  readonly text: string;
  /** What is allowed but surprising. */
  readonly warnings: readonly Diagnostic[];
}

/**
 * How a recipe is read.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadRecipe } from "../pipeline/mod.ts";
 * import type { LoadOptions } from "./recipe.ts";
 *
 * const options: LoadOptions = { cwd: "configs", set: ["name=mine", "name=yours"] };
 * assert.equal((await loadRecipe("quickstart.yaml", options)).name, "yours");
 * ```
 */
export interface LoadOptions {
  /** `path=value` arguments, later ones win. */
  readonly set?: readonly string[];
  /** The folder that `path` and paths in `set` are relative to, and that names in messages are shown relative to. */
  readonly cwd?: string;
  /**
   * Recipes that are laid on top of the one that is read, later ones over earlier ones, each with what it extends; `set` goes over all.
   * What the recipe expects of a run is not expected of it with these: only what they themselves expect is.
   */
  readonly with?: readonly string[];
  /** Where a recipe's file came from; default: all are of this machine. */
  readonly originOf?: (file: string) => Origin;
  /** Whether code is loaded that a recipe of the hub uses; default: it is refused. */
  readonly allowPlugins?: boolean;
  /** Whether the file is a run's lock, and the recipe in it is meant. */
  readonly locked?: boolean;
  /** Gives texts of recipes, as of one that is being written; default: files of this disk. */
  readonly read?: ReadRecipe;
}

/**
 * Reads a recipe and everything it extends.
 *
 * @param language what it may say
 * @param path a YAML file
 * @returns the recipe with all defaults, paths absolute, and where each value came from
 * @throws {RecipeError} with everything that is wrong at once
 */
export async function readRecipe<R extends Recipe>(
  language: RecipeLanguage<R>,
  path: string,
  options: LoadOptions = {},
): Promise<LoadedRecipe<R>> {
  const { set = [], cwd = Deno.cwd(), with: over = [], read } = options;
  const file = resolve(cwd, path);
  const problems: Problem[] = [];
  const reading = { cwd, problems, ...(read === undefined ? {} : { read }) };
  const base = await readFiles(file, { ...reading, ...(options.locked ? { locked: true } : {}) });
  const tops = await Promise.all(over.map((each) => readFiles(resolve(cwd, each), reading)));
  const settings = readSettings(set, cwd);
  problems.push(...settings.problems);
  if (!base) throw new RecipeError(problems);
  const layers = tops.filter((top) => top !== undefined);
  refuseSweep([base, ...layers].flatMap(lineOf).map(({ tree }) => tree), problems);
  const made = await completeRecipe(language, { base, layers, settings: settings.tree ? [settings.tree] : [] }, {
    ...options,
    problems,
  });
  if (!made) throw new RecipeError(problems);
  return {
    ...{ recipe: made.recipe, sources: made.sources },
    name: nameOf(base, layers, { recipe: made.recipe, tree: made.tree }),
    file,
    text: base.text,
    warnings: toDiagnostics(problems),
  };
}

/** Texts that make one recipe, each over those before it. */
export interface RecipeTexts {
  readonly base: RecipeFile;
  readonly layers: readonly RecipeFile[];
  /** Trees of arguments, or of a sweep's points. */
  readonly settings: readonly Located[];
  /** What of the files is left out. */
  readonly without?: (tree: Located) => Located;
}

/**
 * Lays texts over one another, and makes a recipe of them.
 *
 * @param options `problems`: what is wrong already; what else is wrong is added
 * @returns the recipe with its tree, or undefined where something forbids it
 * @throws {RecipeError} code of the hub is used without leave, or a path begins with an unknown home folder
 */
export async function completeRecipe<R extends Recipe>(
  language: RecipeLanguage<R>,
  { base, layers, settings, without = (tree) => tree }: RecipeTexts,
  options: Pick<LoadOptions, "originOf" | "allowPlugins" | "locked"> & { readonly problems: Problem[] },
): Promise<(Pick<LoadedRecipe<R>, "recipe" | "sources"> & { readonly tree: Located }) | undefined> {
  const { originOf = () => "local", problems } = options;
  const used = [base, ...layers].flatMap((each) => listUsed(each, { originOf, problems }));
  for (const tree of settings) used.push(...usedBy(tree, "local", problems));
  const full = await withCode(language, used, options);
  const forms = formsOf(full.schema);
  const complain = (fault: Fault) => problems.push({ severity: "error", ...fault });
  let tree = without(
    layers.map((each) => mergeFiles(each, full.schema, forms)).reduce(
      // A number is expected of a recipe as it stands.
      (under, top) => overlay(withoutKeys(under, ["expect"]), top, { forms }),
      mergeFiles(base, full.schema, forms),
    ),
  );
  for (const setting of settings) {
    const own = fillEmptyMaps(withoutKeys(setting, ["use"]), full.schema);
    tree = overlay(tree, own, { forms, complain });
  }
  tree = withUsed(tree, [...[base, ...layers].flatMap(lineOf).map((each) => each.tree), ...settings]);
  const incomplete = problems.length > 0;
  const { recipe, problems: invalid } = validate(full, tree, { incomplete });
  problems.push(...invalid);
  if (!recipe || problems.some(({ severity }) => severity === "error")) return undefined;
  const absolute = makeAbsolute(full, recipe, tree);
  return { recipe: absolute, sources: new Map(listSources(absolute, tree)), tree };
}

/** The language with what files of code add to it; where the hub's recipes name them, only with leave. */
async function withCode<R extends Recipe>(
  language: RecipeLanguage<R>,
  used: readonly UsedFile[],
  { allowPlugins = false, locked = false, problems }: Pick<LoadOptions, "allowPlugins" | "locked"> & {
    readonly problems: Problem[];
  },
): Promise<RecipeLanguage<R>> {
  if (used.length === 0 || !language.withUsed) return language;
  const refused = allowPlugins ? [] : used.filter(({ origin }) => origin === "hub");
  if (refused.length > 0) {
    const message = `a ${locked ? "run's lock" : "recipe of the hub"} names code to run, which is refused`;
    const note = "read that file first; --allow-plugins then lets it run, with all that this program may do";
    throw new RecipeError(refused.map(({ at }) => ({ severity: "error", message, at, note })));
  }
  return await language.withUsed(used, (fault, cause) => problems.push({ severity: "error", ...fault, cause }));
}

/** The recipe's name, and what it is run with where neither that nor `--set` states one. */
function nameOf(
  base: RecipeFile,
  layers: readonly RecipeFile[],
  { recipe, tree }: { readonly recipe: Recipe; readonly tree: Located },
): string {
  const plain = (file: string) => basename(file, extname(file));
  const name = recipe.name ?? plain(base.file);
  const source = find(tree, ["name"])?.value.at.source;
  if (source !== undefined && !lineOf(base).some(({ tree: { at } }) => at.source === source)) return name;
  return [name, ...layers.map(({ file }) => plain(file))].join(" with ");
}

/**
 * A complete recipe as YAML, keys in the schema's order: what `recipe.lock.yaml` holds.
 *
 * @param options `relativeTo`: folder that paths are written relative to; absolute by default. `pathOf`: writes paths some other way
 */
export function renderRecipe(
  { schema }: { readonly schema: z.ZodType },
  recipe: Recipe,
  { relativeTo, pathOf }: { readonly relativeTo?: string; readonly pathOf?: (path: string) => string } = {},
): string {
  const shorten = pathOf ?? ((path) => relativeTo === undefined ? path : relative(relativeTo, path));
  const written = (path: string) =>
    pathOf ?? relativeTo ? shorten(path).replaceAll("\\", "/").replace(/^~/, "./~") : path;
  const { extends: _merged, ...rest } = mapPaths(recipe, schema, written);
  return stringify(rest, { lineWidth: 120, aliasDuplicateObjects: false });
}

/** Makes paths absolute, each relative to the text that states it; `extends` has done its work. */
function makeAbsolute<R extends Recipe>({ schema }: RecipeLanguage<R>, recipe: R, tree: Located): R {
  const { extends: _merged, ...rest } = recipe;
  const problems: Problem[] = [];
  const absolute = mapPaths(rest as R, schema, (path, keys) => {
    const at = find(tree, keys)?.value.at;
    const target = at && resolvePath(path, at, problems);
    return target ?? path;
  });
  if (problems.length > 0) throw new RecipeError(problems);
  return absolute;
}

function* listSources(value: unknown, tree: Located, path: readonly string[] = []): Generator<[string, ValueSource]> {
  const found = find(tree, path);
  if (path.length > 0) yield [path.join("."), sourceOf(found)];
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) yield* listSources(inner, tree, [...path, key]);
}

function sourceOf(found: ReturnType<typeof find>): ValueSource {
  if (!found) return "default";
  const at = found.key ?? found.value.at;
  if (at.source.kind === "set") return "--set";
  return { file: at.source.name, ...position(at.source, at.start) };
}
