/** Locks of runs as commands name them: found, read, and opened as recipes whose inputs are what they were. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { Option } from "commander";
import { checkInputs, findInputs, otherVersions } from "../pipeline/locked_inputs.ts";
import { type LockedInputs, readInputs } from "../pipeline/lock_record.ts";
import { loadRecipe } from "../pipeline/mod.ts";
import { pulledFrom } from "../pipeline/pulled.ts";
import type { LoadedRecipe, LoadOptions } from "../recipes/recipe.ts";
import { LOCK } from "../runner/journal.ts";
import { readLock, type RunLock } from "../runner/lock.ts";
import type { OpenOptions, Subject } from "../runner/mod.ts";
import type { Recipe } from "../stages/schema.ts";
import { UsageError } from "./exit_codes.ts";
import { locate, projectFolder, workingFolder } from "./places.ts";
import type { Terminal } from "./terminal.ts";

/** Where the user says that a lock's inputs lie. */
export interface InputOptions {
  readonly model?: string;
  /** `NAME=PATH`. */
  readonly data?: readonly string[];
}

/** A lock that was read. */
export interface OpenedLock {
  /** Absolute. */
  readonly file: string;
  /** As people know it. */
  readonly label: string;
  readonly lock: RunLock;
  readonly inputs: LockedInputs;
}

/** Bytes at a file's beginning in which a lock shows what it is. */
const HEAD = 1 << 18;

/** `--model PATH` and `--data NAME=PATH`. */
export function inputOptions(): readonly Option[] {
  return [
    new Option(
      "--model <path>",
      "of a lock: the folder or file of the model, where it is not found; run and verify fetch hf://OWNER/NAME@COMMIT",
    ),
    new Option(
      "--data <name=path>",
      "of a lock: the file of a text (calibration, or an evaluation's name); may be repeated",
    )
      .argParser((value: string, values: readonly string[]) => [...values, value]).default([], "none"),
  ];
}

/** The lock that a path names: a lock's file, or a run's folder. @returns undefined where it is neither */
export function findLock(path: string): string | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) return existsSync(join(path, LOCK)) ? join(path, LOCK) : undefined;
  if (!found?.isFile()) return undefined;
  if (/\.lock\.ya?ml$/.test(path)) return path;
  if (!/\.ya?ml$/.test(path) || found.size > 1 << 26) return undefined;
  const head = readFileSync(path).subarray(0, HEAD).toString("latin1");
  return /^recipe:/m.test(head) && /^lock:/m.test(head) ? path : undefined;
}

/** Reads a lock. @throws {InputError} when it is none */
export function openLock(file: string): OpenedLock {
  const label = showFile(file), lock = readLock(file, label);
  return { file, label, lock, inputs: readInputs(lock, label) };
}

/** The recipe of a lock, its paths where the lock says; see `settle`. @throws {RecipeError} */
export async function loadLocked(
  { file }: Pick<OpenedLock, "file">,
  { allowPlugins = false, ...options }: LoadOptions = {},
): Promise<LoadedRecipe<Recipe>> {
  const loaded = await loadRecipe(file, {
    ...{ cwd: workingFolder(), ...options, locked: true, allowPlugins },
    // Whoever made it: its code is not run unasked.
    originOf: (each) => each === file ? "hub" : "local",
  });
  return { ...loaded, name: loaded.recipe.name ?? nameOf(file) };
}

/**
 * A lock's recipe with its inputs where they are on this machine.
 *
 * @param loaded as `loadLocked` gives it
 * @param options `hashes`: memo of content hashes; `purpose`: planning knows files by their sizes
 * @throws {InputError} naming the file that is wanted
 */
export function settle(
  { recipe, sources }: Pick<LoadedRecipe<Recipe>, "recipe" | "sources">,
  { file, inputs }: OpenedLock,
  { hashes, purpose, model, data }: InputOptions & Pick<OpenOptions, "hashes" | "purpose">,
): Promise<Recipe> {
  const isForeign = (path: string) => {
    const source = sources.get(path);
    return typeof source !== "object" || resolve(workingFolder(), source.file) !== file;
  };
  return findInputs(recipe, inputs, {
    ...{ folder: dirname(file), roots: [workingFolder(), projectFolder], read: purpose === "run", foreign: isForeign },
    ...places({ model, data }),
    ...(hashes === undefined ? {} : { hashes }),
  });
}

/** Where inputs lie as the user says. @throws {UsageError} */
export function places({ model, data = [] }: InputOptions): {
  readonly model?: string;
  readonly data: ReadonlyMap<string, string>;
} {
  const named = data.map((each): [string, string] => {
    const [, name, path] = /^([^=]+)=(.+)$/.exec(each) ?? [];
    if (name === undefined) {
      throw new UsageError(`Cannot use --data ${each}: write NAME=PATH, such as calibration=text.txt`);
    }
    return [name, locate(path)];
  });
  return { ...(model === undefined ? {} : { model: locate(model) }), data: new Map(named) };
}

/** @throws {UsageError} where a recipe that is no lock is to have a lock's inputs */
export function refuseInputs({ model, data = [] }: InputOptions): void {
  if (model === undefined && data.length === 0) return;
  throw new UsageError(
    "Cannot use --model and --data with a recipe: they say where a lock's inputs lie; use --set, such as --set model.path=PATH",
  );
}

/** What runs on this machine, as a lock would say it. */
export async function inputsNow(subject: Subject): Promise<LockedInputs> {
  return readInputs({ recipe: {}, lock: await subject.lock() as RunLock["lock"] }, "of this machine");
}

/**
 * Holds what was opened against the lock; versions that are others are told in a line each.
 *
 * @returns these lines
 * @throws {InputError} an input has another content
 */
export async function checkOpened(
  subject: Subject,
  { inputs }: Pick<OpenedLock, "inputs">,
  terminal: Terminal,
): Promise<readonly string[]> {
  const now = await inputsNow(subject);
  checkInputs(inputs, now);
  const others = otherVersions(inputs, now);
  for (const line of others) terminal.note(`warning: not as in the lock: ${line}`);
  return others;
}

/**
 * The device that a lock asks for, where the user asks for none: results of the CPU are made again on it. On a GPU, whichever there is.
 */
export function deviceOf(
  { device, forward }: Pick<OpenOptions, "device" | "forward">,
  inputs?: LockedInputs,
): Pick<OpenOptions, "device" | "forward"> {
  const { kind, forward: passes } = inputs?.device ?? {};
  return {
    device: device === "auto" && kind === "cpu" ? "cpu" : device,
    forward: (forward ?? "auto") === "auto" && passes?.provider === "cpu" ? "cpu" : forward,
  };
}

/** A run's folder names its recipe. */
function nameOf(file: string): string {
  const [, name] = /^\d{8}-\d{9}-[0-9a-f]{6}-(.+)$/.exec(basename(dirname(file))) ?? [];
  return name ?? (basename(file).replace(/(\.lock)?\.ya?ml$/, "") || "lock");
}

function showFile(file: string): string {
  const pulled = pulledFrom(dirname(file));
  if (pulled !== undefined) return `${pulled.id}@${pulled.commit.slice(0, 8)}`;
  return basename(file) === LOCK ? `${basename(dirname(file))}/${LOCK}` : basename(file);
}
