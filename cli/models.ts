/** Models as commands name them: a packed folder, a run, a checkpoint, or a hub id. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { openPacked } from "../checkpoints/packed/open.ts";
import { openModel as openSource } from "../models/mod.ts";
import { ForeignRepoError, type Pulled } from "../pipeline/pulled.ts";
import { JOURNAL, LOCK } from "../runner/journal.ts";
import { listRuns, readRun } from "../runner/mod.ts";
import { asked, UsageError } from "./exit_codes.ts";
import { fetchTarget, HUB_TARGET, hubTarget } from "./hub_access.ts";
import { cacheFolder, locate, runsFolder } from "./places.ts";
import type { Terminal } from "./terminal.ts";

/** For help texts. */
export const MODEL_TARGET =
  `a packed folder, a run (its folder, its id, \`last\`), a checkpoint folder, a .gguf file, or ${HUB_TARGET}`;

/** A model of this machine, or one of the hub that is not packed. */
export type FoundModel = { readonly path: string } | { readonly hub: string; readonly revision: string };

/** Where to look besides the path itself. */
export interface ModelOptions {
  /** Folder of the runs. */
  readonly runs?: string;
  /** Folder with config.json and tokenizer.json. */
  readonly config?: string;
}

/**
 * The path of a model.
 *
 * @param target a folder or file with weights, a run's folder, a run's id or the beginning of it, or `last`
 * @throws {UsageError} when there is nothing of that name
 */
export function findModel(target: string, { runs }: ModelOptions = {}): string {
  const path = locate(target);
  if ([JOURNAL, LOCK].some((name) => existsSync(join(path, name)))) return modelOf(path, target);
  if (existsSync(path)) return path;
  const folder = runsFolder(runs);
  if (listRuns(folder).length === 0 || /[\\/]/.test(target)) {
    throw new UsageError(`Cannot open model "${target}": there is no such file, folder or run`);
  }
  return modelOf(asked(() => readRun(folder, target)).folder, target);
}

/**
 * As `findModel`, of the hub's models too: what is packed there, alone or in a run, is fetched and checked.
 *
 * @throws {UsageError} when there is nothing of that name
 * @throws {InputError} when the hub refuses or does not answer, or files are not what their lock says
 */
export async function locateModel(target: string, options: ModelOptions, terminal: Terminal): Promise<FoundModel> {
  const wanted = hubTarget(target);
  if (wanted === undefined) return { path: findModel(target, options) };
  let pulled: Pulled;
  try {
    pulled = await fetchTarget(target, wanted, {}, terminal);
  } catch (error) {
    // A model like any other.
    if (error instanceof ForeignRepoError) return { hub: wanted.id, revision: wanted.revision };
    throw error;
  }
  if (pulled.model !== undefined) return { path: pulled.model };
  throw new UsageError(
    `Cannot open model "${target}": it holds a recipe and no model; make it: deno task run ${target}`,
  );
}

/**
 * Opens a model.
 *
 * @param options `headers`: of an unpacked model of the hub, read the headers of its weights alone
 * @throws {InputError} when it cannot be read
 */
export function openModel(
  model: FoundModel,
  { config, headers = false }: Pick<ModelOptions, "config"> & { readonly headers?: boolean } = {},
): Promise<Checkpoint> {
  const source = { ...model, ...("path" in model && config !== undefined ? { config: locate(config) } : {}) };
  return openSource(source, { packed: openPacked, cache: cacheFolder(), purpose: headers ? "plan" : "run" });
}

function modelOf(run: string, target: string): string {
  const model = join(run, "model");
  if (existsSync(model)) return model;
  throw new UsageError(`Cannot open the model of run "${target}": it did not come that far`);
}
