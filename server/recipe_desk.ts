/**
 * Recipes that are being written: those of configs/ and of runs, checked and planned as their text is in memory. Of this disk recipes are
 * read below configs/ and nowhere else, whatever they extend; code that they name is not run; nothing is written but the cache's index, and
 * texts that are started as they were edited.
 */
import { lstatSync, mkdirSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve, sep } from "node:path";
import { InputError } from "../files/input_error.ts";
import type { Json, OpenOptions } from "../runner/stage.ts";
import { renderRecipe } from "../pipeline/mod.ts";
import { type Diagnostic, RecipeError } from "../recipes/diagnostics.ts";
import type { RecipeLanguage } from "../recipes/language.ts";
import { moveRecipe } from "../recipes/move_recipe.ts";
import { mapPaths } from "../recipes/paths.ts";
import { decodeText, readText } from "../recipes/read_text.ts";
import { readRecipe } from "../recipes/recipe.ts";
import type { ReadRecipe } from "../recipes/recipe_files.ts";
import { type LoadedSweep, readSweep } from "../recipes/sweep.ts";
import { readLock } from "../runner/history.ts";
import { canonicalJson, sha256 } from "../runner/keys.ts";
import { identityOf } from "../runner/sweep/sweep_folder.ts";
import { language, type Recipe, RecipeSchema } from "../stages/schema.ts";
import { planRecipe, planSweep } from "./recipe_plans.ts";
import { redact } from "./redact.ts";
import type { RecipeCheck, RecipeList, RecipePlan, RecipeSource, RecipeText, SweepPlan } from "./recipe_schemas.ts";
import type { JobWanted } from "./job_schemas.ts";
import type { Wanted } from "./jobs.ts";
import type { RunStore } from "./run_store.ts";

/** Which recipe. */
export type RecipeId = Pick<RecipeText, "file" | "run">;

/** Where recipes are. */
export interface DeskOptions {
  /** Folder of recipes, absolute, within the project's. */
  readonly configs: string;
  readonly store: RunStore;
  /** Folder of runs; absolute. */
  readonly runs: string;
  /** Folder of the cache; absolute. */
  readonly cache: string;
  /** Where plans take kernels to run; default: auto. */
  readonly device?: OpenOptions["device"];
}

/** Something that goes on already. */
export class PlanningError extends Error {}

/** Folder below that of runs with the texts that were started as they were edited. */
const STARTED = "started-recipes";
/** Points of a sweep that are checked while somebody types. */
const MOST_POINTS = 500;
const NAME = /^(?:[\w-][\w.-]*\/){0,8}[\w-][\w.-]*\.ya?ml$/;

/** Recipes of one project. */
export class RecipeDesk {
  readonly #options: DeskOptions;
  readonly #project: string;
  #planning = false;

  constructor(options: DeskOptions) {
    this.#options = options;
    this.#project = resolve(options.configs, "..");
  }

  /** The recipes of configs/, by path. */
  list(): RecipeList {
    return { recipes: [...filesBelow(this.#options.configs, "")].sort(byFolder).map((file) => this.#describe(file)) };
  }

  /** A recipe's text; undefined where there is none. @throws {InputError} when it cannot be read */
  async open({ file, run }: RecipeId): Promise<RecipeSource | undefined> {
    if (run !== undefined) return this.#ofRun(run);
    const path = this.#locate(file ?? "");
    if (path === undefined) return undefined;
    const read = await readText(path);
    if ("reason" in read) throw new InputError(`Cannot read configs/${file}: ${read.reason}`);
    return { text: read.text, name: `configs/${file}` };
  }

  /** What is wrong with a text. @returns undefined where there is no such recipe */
  async check(wanted: RecipeText): Promise<RecipeCheck | undefined> {
    const file = this.#fileOf(wanted);
    if (file === undefined) return undefined;
    try {
      const loaded = await this.#load(file, wanted.text);
      const { name, warnings } = loaded;
      const diagnostics = warnings.map((each) => this.#shown(each, file));
      return { name, ...("points" in loaded ? { points: loaded.points.length } : {}), diagnostics };
    } catch (error) {
      if (!(error instanceof RecipeError)) throw error;
      return { diagnostics: error.diagnostics.map((each) => this.#shown(each, file)) };
    }
  }

  /**
   * What a run or sweep of a text would do.
   *
   * @returns undefined where there is no such recipe
   * @throws {RecipeError} when something is wrong with it, {InputError} when its model or texts cannot be used, {PlanningError} when
   *   another plan is being made
   */
  async plan(wanted: RecipeText): Promise<RecipePlan | SweepPlan | undefined> {
    const file = this.#fileOf(wanted);
    if (file === undefined) return undefined;
    if (this.#planning) throw new PlanningError("Cannot plan now: another plan is being made; ask again in a moment");
    this.#planning = true;
    try {
      const loaded = await this.#load(file, wanted.text), { cache, device = "auto" } = this.#options;
      const places = { cache, device };
      return "points" in loaded ? await planSweep(loaded, places) : await planRecipe(loaded, places);
    } finally {
      this.#planning = false;
    }
  }

  /**
   * What a run or sweep of a recipe is as a command. A text that was edited is written to a file of its own, complete.
   *
   * @param isOver whether it is known that a run goes on no more, whatever its journal says last
   * @returns undefined where there is no such recipe, run or sweep
   * @throws {RecipeError} when something is wrong with it, {InputError} when it cannot be started from here
   */
  async runnable(
    { file, run, sweep, text, set = [], device }: JobWanted,
    isOver: (run: string) => boolean = () => false,
  ): Promise<Wanted | undefined> {
    const { store, cache, runs } = this.#options;
    const folders = ["--runs", runs, "--cache", cache, ...(device === undefined ? [] : ["--device", device])];
    const values = set.map(({ path, value }) => `${path}=${JSON.stringify(value)}`);
    const settings = values.flatMap((each) => ["--set", each]);
    if (sweep !== undefined) return await this.#sweepAgain(sweep, folders);
    const source = await this.open({ file, run });
    if (source === undefined) return undefined;
    const edited = text !== undefined && text !== source.text, path = this.#fileOf({ file, run });
    if (path === undefined) return undefined;
    const loaded = await this.#load(path, text ?? source.text, values), { name } = loaded;
    if (!edited && file !== undefined) {
      return {
        kind: "points" in loaded ? "sweep" : "run",
        name,
        args: [path, ...folders, ...settings, ...("points" in loaded ? ["--yes"] : [])],
      };
    }
    if ("points" in loaded) {
      const place = await this.#writeSweep(loaded, values);
      return { kind: "sweep", name, args: [place, ...folders, ...settings, "--yes"] };
    }
    const lock = run === undefined || edited || set.length > 0 ? undefined : store.locate(run);
    if (lock !== undefined) {
      if (run !== undefined && !isOver(run) && store.summary(run)?.state === "running") {
        throw new InputError(
          "Cannot go on with this run: it goes on already; of one that was killed this is known after a minute",
        );
      }
      return { kind: "run", name, args: [lock, ...folders] };
    }
    const folder = join(runs, STARTED);
    const complete = renderRecipe({ ...loaded.recipe, name }, { relativeTo: folder });
    const place = join(folder, `${sha256(complete).slice(0, 16)}.yaml`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(place, complete);
    return { kind: "run", name, args: [place, ...folders] };
  }

  /**
   * Writes a sweep that was edited where it can be started, with its paths as they are stated from there.
   *
   * @returns its path
   * @throws {InputError} when something else would come of it
   */
  async #writeSweep({ name, text, file, points }: LoadedSweep<Recipe>, set: readonly string[]): Promise<string> {
    const place = this.#placeOf(text, file);
    const moved = moveRecipe(text, { from: dirname(file), to: dirname(place), schema: language.schema });
    const again = await this.#load(place, moved, set).catch((error) => {
      if (error instanceof RecipeError) return undefined;
      throw error;
    });
    const meant = (points: LoadedSweep<Recipe>["points"]) =>
      // A recipe is plain data.
      canonicalJson(points.map(({ recipe }) => recipe as unknown as Json));
    if (again === undefined || !("points" in again) || meant(again.points) !== meant(points)) {
      throw new InputError(
        `Cannot start ${name} from here: its paths mean something else in another folder; save the text, and \`deno task sweep\` it`,
      );
    }
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, moved);
    return place;
  }

  /** Where a sweep's text is put that is started: in a folder of its own, as its file is its name. */
  #placeOf(text: string, file: string): string {
    return join(this.#options.runs, STARTED, sha256(`${file}\n${text}`).slice(0, 16), basename(file));
  }

  /** A sweep is gone on with by the recipe that it is of, where that still asks for the same. */
  async #sweepAgain(id: string, folders: readonly string[]): Promise<Wanted | undefined> {
    const { store, runs, configs } = this.#options, lock = store.sweepLock(id);
    if (lock === undefined) return undefined;
    if (store.holdsSweep(id)) throw new InputError("Cannot go on with this sweep: it is going on already");
    const shipped = this.list().recipes.filter(({ sweep }) => sweep).map(({ file }) => join(configs, file));
    for (const place of [...shipped, ...startedSweeps(join(runs, STARTED))]) {
      if (Deno.readTextFileSync(place) !== lock.text) continue;
      const loaded = await this.#load(place, lock.text);
      if ("points" in loaded && identityOf(loaded) === lock.identity) {
        return { kind: "sweep", name: loaded.name, args: [place, ...folders, "--yes"] };
      }
    }
    throw new InputError(
      "Cannot go on with this sweep from here: no recipe of configs/ asks for what it did; the command that began it goes on with it",
    );
  }

  async #load(file: string, text: string, set: readonly string[] = []) {
    const read: ReadRecipe = async (path) => {
      if (path === file) return decodeText(new TextEncoder().encode(text));
      if (this.#within(path)) return await readText(path);
      return { reason: "it lies outside of configs/", note: "`deno task plan` reads recipes from everywhere" };
    };
    const options = { cwd: this.#project, read, set };
    return await readSweep(spoken, file, { ...options, most: MOST_POINTS }) ?? await readRecipe(spoken, file, options);
  }

  /** A diagnostic for whoever reads the text already. */
  #shown(
    { text: _text, file, line, column, endColumn, ...words }: Diagnostic,
    own: string,
  ): RecipeCheck["diagnostics"][number] {
    const place = { ...(line === undefined ? {} : { line, column, endColumn }) };
    const elsewhere = file !== undefined && resolve(this.#project, file) !== own;
    return redact({ ...words, ...place, ...(elsewhere ? { file } : {}) });
  }

  /** The path that a text is taken to be at; undefined where there is no such recipe. */
  #fileOf({ file, run }: RecipeId): string | undefined {
    if (file !== undefined) return this.#locate(file);
    const id = run ?? "";
    return this.#options.store.locate(id) === undefined ? undefined : join(this.#options.configs, `${nameOf(id)}.yaml`);
  }

  #locate(file: string): string | undefined {
    if (!NAME.test(file) || file.split("/").includes("..")) return undefined;
    const path = join(this.#options.configs, ...file.split("/"));
    return lstatSync(path, { throwIfNoEntry: false })?.isFile() && this.#within(path) ? path : undefined;
  }

  /** Whether a path, and where links lead from it, is below configs/; also of one where nothing is. */
  #within(path: string): boolean {
    const inside = (place: string, folder: string) => place.startsWith(folder + sep);
    if (!inside(path, this.#options.configs)) return false;
    try {
      return inside(realpathSync(path), realpathSync(this.#options.configs));
    } catch {
      // What is not there is said so when it is read, and holds nothing.
      return lstatSync(path, { throwIfNoEntry: false }) === undefined;
    }
  }

  #describe(file: string): RecipeList["recipes"][number] {
    const text = Deno.readTextFileSync(join(this.#options.configs, file)).slice(0, 10_000);
    const description = /^description:\s*(.+)$/m.exec(text)?.[1].replaceAll(/^["']|["']$/g, "");
    const sweep = /^(matrix|include):/m.test(text);
    return { file, sweep, ...(description === undefined ? {} : { description }) };
  }

  /** The complete recipe of a run, as a recipe of configs/ would state it. */
  #ofRun(id: string): RecipeSource | undefined {
    const folder = this.#options.store.locate(id);
    if (folder === undefined) return undefined;
    const parsed = RecipeSchema.safeParse(readLock(folder).recipe);
    if (!parsed.success) {
      throw new InputError(`Cannot open the recipe of ${nameOf(id)}: it left none, or one that uses code of its own`);
    }
    const absolute = mapPaths(parsed.data as Recipe, language.schema, (path) => resolve(folder, path));
    return { text: renderRecipe(absolute, { relativeTo: this.#options.configs }), name: nameOf(id) };
  }
}

/** The sweeps that were started as they were edited. */
function* startedSweeps(folder: string): Generator<string> {
  for (const at of lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(folder) : []) {
    if (!lstatSync(join(folder, at)).isDirectory()) continue;
    for (const file of readdirSync(join(folder, at), { withFileTypes: true })) {
      if (file.isFile()) yield join(folder, at, file.name);
    }
  }
}

/** What recipes may say here: code that they name would run with all that the server may do. */
const spoken: RecipeLanguage<Recipe> = {
  ...language,
  withUsed(files, complain) {
    for (const { at } of files) {
      complain({
        ...{ at, message: "code that a recipe names is not run here" },
        note: "`deno task plan` and `deno task run` run it, as you",
      });
    }
    return Promise.resolve(language);
  },
};

function nameOf(id: string): string {
  return id.slice(id.indexOf(":") + 1);
}

function* filesBelow(folder: string, path: string): Generator<string> {
  for (const entry of readdirSync(join(folder, path), { withFileTypes: true })) {
    const name = path === "" ? entry.name : `${path}/${entry.name}`;
    if (entry.isDirectory() && name.split("/").length < 8) yield* filesBelow(folder, name);
    else if (entry.isFile() && NAME.test(name)) yield name;
  }
}

/** Files of a folder before those of the folders in it. */
function byFolder(a: string, b: string): number {
  const depth = (file: string) => file.split("/").length > 1 ? file.slice(0, file.lastIndexOf("/")) : "";
  return depth(a) < depth(b) ? -1 : depth(a) > depth(b) ? 1 : a < b ? -1 : 1;
}
