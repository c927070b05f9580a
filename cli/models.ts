/** Models as commands name them: a packed folder, a run, a checkpoint, or a hub id. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { openPacked } from "../checkpoints/packed/open.ts";
import { openModel as openSource } from "../models/mod.ts";
import { listRuns, readRun } from "../runner/mod.ts";
import { asked, UsageError } from "./exit_codes.ts";
import { locate, runsFolder } from "./places.ts";

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
  if (existsSync(join(path, "events.ndjson"))) return modelOf(path, target);
  if (existsSync(path)) return path;
  const folder = runsFolder(runs);
  if (listRuns(folder).length === 0 || /[\\/]/.test(target)) {
    throw new UsageError(`Cannot open model "${target}": there is no such file, folder or run`);
  }
  return modelOf(asked(() => readRun(folder, target)).folder, target);
}

/** Opens a model that is here. @throws {UsageError} when there is none, {InputError} when it cannot be read */
export function openModel(target: string, options: ModelOptions = {}): Promise<Checkpoint> {
  const { config } = options;
  return openSource({
    path: findModel(target, options),
    ...(config === undefined ? {} : { config: locate(config) }),
  }, { packed: openPacked });
}

function modelOf(run: string, target: string): string {
  const model = join(run, "model");
  if (existsSync(model)) return model;
  throw new UsageError(`Cannot open the model of run "${target}": it did not come that far`);
}
