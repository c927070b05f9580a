/** Options that several commands share, and how they are read. */
import { Command, InvalidArgumentError, Option } from "commander";
import { PROVIDERS, type WantedProvider } from "../models/provider.ts";
import type { ArtifactCache, OpenOptions, Subject } from "../runner/mod.ts";
import type { Origin } from "../recipes/language.ts";
import type { LoadedRecipe } from "../recipes/recipe.ts";
import type { LoadedSweep } from "../recipes/sweep.ts";
import { loadRecipe, loadSweep, pipeline } from "../pipeline/mod.ts";
import { isPulled } from "../pipeline/pulled.ts";
import { stages } from "../stages/mod.ts";
import type { Recipe } from "../stages/schema.ts";
import { nearest } from "../recipes/suggest.ts";
import { parseBytes } from "../report/numbers.ts";
import { debugging, UsageError } from "./exit_codes.ts";
import { fetchTarget, HUB_TARGET, type HubId, hubTarget } from "./hub_access.ts";
import { locate, workingFolder } from "./places.ts";
import {
  findLock,
  type InputOptions,
  inputOptions,
  loadLocked,
  type OpenedLock,
  openLock,
  refuseInputs,
} from "./locks.ts";
import type { Terminal } from "./terminal.ts";
import { throttled } from "./throttled.ts";

export { throttled } from "./throttled.ts";

/** What a command is given besides its own options. */
export interface CommandContext {
  /** The process's terminal, opened once the options are known. */
  terminal(options: { readonly color?: boolean; readonly json?: boolean }): Terminal;
  /** Sets the exit code of a command that ends well. */
  exit(code: number): void;
}

/** Options of `run` and `plan`. */
export interface RecipeOptions extends InputOptions {
  readonly set: readonly string[];
  readonly with: readonly string[];
  readonly allowPlugins?: boolean;
  readonly until?: string;
  readonly from?: string;
  readonly device: OpenOptions["device"];
  readonly forward: WantedProvider;
  readonly cache?: string;
  readonly cacheSize?: number;
  readonly cacheFrom: readonly string[];
  readonly json?: boolean;
  readonly color?: boolean;
}

/** Adds the options of commands that read a recipe. */
export function withRecipeOptions(command: Command): Command {
  const opening = withOpenOptions(
    command,
    `a YAML file, such as configs/quickstart.yaml; a run's lock, or its folder; or ${HUB_TARGET}`,
  )
    .option("--until <stage>", "stop after this stage")
    .option("--from <stage>", "make this stage and what follows again, although it is cached");
  for (const option of inputOptions()) opening.addOption(option);
  return opening;
}

/** Adds the options of commands that open what a file names. @param recipe what the file is */
export function withOpenOptions(command: Command, recipe: string): Command {
  return withOutputOptions(
    command
      .argument("<recipe>", recipe)
      .addOption(
        new Option("--set <path=value>", "override a value, e.g. stages.spbo.iterations=20; may be repeated")
          .argParser(collect).default([], "none"),
      )
      .addOption(
        new Option(
          "--with <recipe>",
          "lay another recipe on top, such as configs/bases/smollm2-135m-texts.yaml: its model and texts, or whatever it " +
            "states, in place of the recipe's own, and nothing expected but what it expects; may be repeated",
        ).argParser(collect).default([], "none"),
      )
      .option(
        "--allow-plugins",
        "run code that a lock, or a recipe of the hub, names under `use`; that of your own recipes needs no leave",
      )
      .addOption(deviceOption("auto: webgpu where a GPU is found, else cpu"))
      .addOption(forwardOption("auto", "auto: on a GPU what opens and is right, else cpu"))
      .addOption(cacheOption())
      .addOption(cacheSizeOption())
      .addOption(cacheFromOption()),
  );
}

/** Adds `--json` and `--no-color`. */
export function withOutputOptions(command: Command): Command {
  return command.option("--json", "print for programs").option("--no-color", "print without colours");
}

/** `--device DEVICE`. @param why what to say of the default */
export function deviceOption(why: string): Option {
  return new Option("--device <device>", `where kernels run; ${why}`).choices(["auto", "cpu", "webgpu"]).default(
    "auto",
  );
}

/** `--forward PROVIDER`. @param why what to say of the default */
export function forwardOption(standard: WantedProvider, why: string): Option {
  return new Option("--forward <provider>", `onnxruntime's provider for forward passes; ${why}`)
    .choices(["auto", "cpu", ...PROVIDERS.filter((provider) => provider !== "cpu")]).default(standard);
}

/** `--cache DIR`. */
export function cacheOption(): Option {
  return new Option("--cache <dir>", "folder of the cache (default: PBS2P_CACHE, or .pbs2p/cache)");
}

/** `--cache-size 20GiB`. */
export function cacheSizeOption(): Option {
  return new Option("--cache-size <size>", "most that artifacts may take, e.g. 20GiB (default: 50GiB)")
    .argParser(parseSize);
}

/** `--cache-from URL`. */
export function cacheFromOption(): Option {
  return new Option(
    "--cache-from <url>",
    "take steps that the cache lacks from a mirror, made by `cache export`: https://HOST/FOLDER or " +
      "hf://datasets/OWNER/NAME@REVISION, `#sha256=…` at its end for one index alone; a host other than Hugging Face's is " +
      "allowed by PBS2P_NET=,HOST; may be repeated (default: PBS2P_CACHE_FROM)",
  ).argParser(collect).default([], "none");
}

/** `--runs DIR`. */
export function runsOption(): Option {
  return new Option("--runs <dir>", "folder of the runs (default: PBS2P_RUNS, or runs)");
}

/** A recipe, and the lock that it was read from. */
export interface ReadRecipe extends LoadedRecipe<Recipe> {
  /** Its paths are where the lock says until `settle` finds them. */
  readonly lock?: OpenedLock;
}

/** Reads a recipe or a lock as commands name it; prints its warnings. @throws {RecipeError} @throws {UsageError} @throws {InputError} */
export async function readRecipe(path: string, options: RecipeOptions, terminal: Terminal): Promise<ReadRecipe> {
  const { set, with: over, allowPlugins, until, from } = options;
  const reading = {
    ...{ set, with: over.map(locate), cwd: workingFolder(), originOf },
    ...(allowPlugins === undefined ? {} : { allowPlugins }),
  };
  const wanted = hubTarget(path);
  const place = wanted === undefined ? locate(path) : await fetchRecipe(path, wanted, options, terminal);
  const file = findLock(place);
  if (file === undefined) refuseInputs(options);
  const lock = file === undefined ? undefined : openLock(file);
  const loaded: ReadRecipe = lock === undefined
    ? await loadRecipe(place, reading)
    : { ...await loadLocked(lock, reading), lock };
  terminal.diagnose(loaded.warnings);
  const known = new Set([...stages.map(({ name }) => name), ...Object.keys(loaded.recipe.stages)]);
  for (const [option, name] of Object.entries({ until, from })) checkStage(option, name, [...known]);
  return loaded;
}

/** What was pulled is others' code, wherever it lies now. */
function originOf(file: string): Origin {
  return isPulled(file) ? "hub" : "local";
}

/** The lock or the recipe of a repository of the hub. @returns its path */
async function fetchRecipe(path: string, wanted: HubId, { cache }: RecipeOptions, terminal: Terminal): Promise<string> {
  const { recipe, id, commit } = await fetchTarget(path, wanted, { cache, recipeOnly: true }, terminal);
  if (recipe === undefined) throw new UsageError(`Cannot run "${path}": it is a packed model and has no recipe`);
  if (wanted.revision !== commit) terminal.note(`${id} at commit ${commit}`);
  return recipe;
}

/** Reads a sweep as commands name it; prints its warnings. @returns undefined where it is an ordinary recipe @throws {RecipeError} */
export async function readSweep(
  path: string,
  { set, with: over, allowPlugins, yes = false }: RecipeOptions & { readonly yes?: boolean },
  terminal: Terminal,
): Promise<LoadedSweep<Recipe> | undefined> {
  const sweep = await loadSweep(locate(path), {
    ...{ set, with: over.map(locate), cwd: workingFolder(), originOf },
    ...(allowPlugins === undefined ? {} : { allowPlugins }),
    ...(yes ? { most: Infinity } : {}),
  });
  if (sweep) terminal.diagnose(sweep.warnings);
  return sweep;
}

/** `--yes`. */
export function yesOption(): Option {
  return new Option("--yes", "a sweep of more than 10,000 points is meant");
}

/** Opens what a recipe names; warnings and long work are told on the terminal. @throws {InputError} bad model or text */
export function openSubject(
  recipe: Recipe,
  { purpose, device, forward, cache }: Pick<OpenOptions, "purpose" | "device" | "forward"> & {
    readonly cache: ArtifactCache;
  },
  terminal: Terminal,
): Promise<Subject> {
  return pipeline.open(recipe, {
    purpose,
    device,
    forward,
    debug: debugging(),
    cache: cache.folder,
    hashes: cache.fileHashes,
    warn: (message) => terminal.note(`warning: ${message}`),
    progress: throttled((message) => terminal.note(message)),
  });
}

/** Adds one value to a repeated option. */
export function collect(value: string, values: readonly string[]): string[] {
  return [...values, value];
}

/** A whole number from `least` on, for commander. */
export function parseWhole(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && Number.isSafeInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`It must be a whole number from ${least} on.`);
  };
}

/** A number in a range, for commander. */
export function parseNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() !== "" && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`);
  };
}

/** @throws {UsageError} a stage is named that neither this project has nor the recipe */
function checkStage(option: string, name: string | undefined, names: readonly string[]): void {
  if (name === undefined || names.includes(name)) return;
  const meant = nearest(name, names);
  throw new UsageError(
    `Cannot use --${option} ${name} as there is no such stage: ${
      meant === undefined ? "" : `did you mean ${meant}? `
    }The stages are ${names.join(", ")}`,
  );
}

/** A number of bytes, such as 20GiB, for commander. */
export function parseSize(text: string): number {
  try {
    return parseBytes(text);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? `${error.message}.` : "");
  }
}
