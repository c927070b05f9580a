/**
 * Recipes from disk: `extends`, `--set`, defaults and where each value came from.
 *
 * Not what recipes may say (`language.ts`) nor the printing of problems (`diagnostics.ts`).
 */
import { basename, dirname, extname, relative, resolve } from "node:path";
import { stringify } from "yaml";
import { expandHome } from "../files/home.ts";
import { type Diagnostic, type Problem, RecipeError, toDiagnostics } from "./diagnostics.ts";
import { fillEmptyMaps } from "./empty_maps.ts";
import { formsOf } from "./forms.ts";
import { type Fault, find, type Located, type Overlay, overlay, type Source, type Span } from "./located.ts";
import type { Recipe, RecipeLanguage } from "./language.ts";
import { mapPaths } from "./paths.ts";
import { position } from "./position.ts";
import { validate } from "./problems.ts";
import { readText } from "./read_text.ts";
import { readYaml } from "./read_yaml.ts";
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
}

/** Recipes that may extend one another in a chain. */
const LONGEST_CHAIN = 32;

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
  { set = [], cwd = Deno.cwd() }: LoadOptions = {},
): Promise<LoadedRecipe<R>> {
  const file = resolve(cwd, path);
  const problems: Problem[] = [];
  const forms = formsOf(language.schema);
  const base = await readChain(language, file, { cwd, forms, problems });
  const settings = readSettings(set, cwd);
  problems.push(...settings.problems);
  if (!base) throw new RecipeError(problems);
  refuseSweep(base.tree, problems);
  const complain = (fault: Fault) => problems.push({ severity: "error", ...fault });
  const tree = settings.tree
    ? overlay(base.tree, fillEmptyMaps(settings.tree, language.schema), { forms, complain })
    : base.tree;
  const finished = finishRecipe(language, tree, problems);
  if (!finished) throw new RecipeError(problems);
  return {
    ...finished,
    name: finished.recipe.name ?? basename(file, extname(file)),
    file,
    text: base.text,
    warnings: toDiagnostics(problems),
  };
}

/**
 * Makes a recipe of a tree in which everything that was extended and set is.
 *
 * @param problems what is wrong already; what else is wrong is added
 * @returns undefined where something forbids the recipe
 * @throws {RecipeError} a path begins with an unknown home folder
 */
export function finishRecipe<R extends Recipe>(
  language: RecipeLanguage<R>,
  tree: Located,
  problems: Problem[],
): Pick<LoadedRecipe<R>, "recipe" | "sources"> | undefined {
  const { recipe, problems: invalid } = validate(language, tree, { incomplete: problems.length > 0 });
  problems.push(...invalid);
  if (!recipe || problems.some(({ severity }) => severity === "error")) return undefined;
  const absolute = makeAbsolute(language, recipe, tree);
  return { recipe: absolute, sources: new Map(listSources(absolute, tree)) };
}

/**
 * A complete recipe as YAML, keys in the schema's order: what `recipe.lock.yaml` holds.
 *
 * @param relativeTo folder that paths are written relative to; absolute by default
 */
export function renderRecipe(
  { schema }: Pick<RecipeLanguage, "schema">,
  recipe: Recipe,
  { relativeTo }: { readonly relativeTo?: string } = {},
): string {
  const shorten = (path: string) =>
    relativeTo === undefined ? path : relative(relativeTo, path).replaceAll("\\", "/").replace(/^~/, "./~");
  const { extends: _merged, ...rest } = mapPaths(recipe, schema, shorten);
  return stringify(rest, { lineWidth: 120 });
}

/**
 * The recipe at the end of a chain of `extends`, as one tree.
 *
 * @param options `from`: the value that names the file, where one does
 */
export async function readChain(
  { schema }: Pick<RecipeLanguage, "schema">,
  file: string,
  { cwd, forms, problems, from }: {
    readonly cwd: string;
    readonly problems: Problem[];
    readonly from?: Located;
  } & Pick<Overlay, "forms">,
): Promise<{ readonly tree: Located; readonly text: string } | undefined> {
  const chain: { file: string; tree: Located }[] = [];
  let next: string | undefined = file;
  let asked: Located | undefined = from;
  let text = "";
  while (next !== undefined) {
    const here: string = next;
    const complain = (message: string, more: Partial<Problem> = {}) =>
      problems.push({ severity: "error", message, at: asked?.at, ...more });
    if (chain.some((link) => link.file === here)) {
      const loop = [...chain.slice(chain.findIndex((link) => link.file === here)).map((link) => link.file), here];
      complain("recipes extend one another in a circle", { note: loop.map((each) => show(each, cwd)).join(" → ") });
      break;
    }
    if (chain.length === LONGEST_CHAIN) {
      complain(`more than ${LONGEST_CHAIN} recipes extend one another`);
      break;
    }
    const read = await readText(here);
    if ("reason" in read) {
      const { reason, similar, note } = read;
      const suggestion = similar === undefined ? undefined : show(resolve(dirname(here), similar), cwd);
      complain(`cannot read recipe \`${show(here, cwd)}\`: ${reason}`, { suggestion, note });
      break;
    }
    if (chain.length === 0) text = read.text;
    const source: Source = { kind: "file", name: show(here, cwd), folder: dirname(here), text: read.text };
    const { tree, faults } = readYaml(source);
    problems.push(...faults.map((fault) => ({ severity: "error" as const, ...fault })));
    if (!tree) break;
    chain.push({ file: here, tree: fillEmptyMaps(tree, schema) });
    asked = find(tree, ["extends"])?.value;
    next = asked?.kind === "scalar" && typeof asked.value === "string"
      ? resolvePath(asked.value, asked.at, problems)
      : undefined;
  }
  if (chain.length === 0) return undefined;
  return { tree: chain.map(({ tree }) => tree).reduceRight((under, over) => overlay(under, over, { forms })), text };
}

/** A path as people see it: relative where that is shorter. */
function show(file: string, cwd: string): string {
  const short = relative(cwd, file);
  return (short !== "" && short.length < file.length ? short : file).replaceAll("\\", "/");
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

/** A path as a recipe states it, made absolute. @returns undefined, and a problem, where it begins with an unknown home */
export function resolvePath(path: string, at: Span, problems: Problem[]): string | undefined {
  try {
    return resolve(at.source.folder, expandHome(path));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const [message, note] = error.message.split("; ");
    problems.push({ severity: "error", at, message: message.replace(/^C/, "c"), note });
    return undefined;
  }
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
