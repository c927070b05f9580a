/** The hub as commands use it: ids as people write them, and access with the cache's folder and its memo of hashes. */
import { existsSync } from "node:fs";
import { extname } from "node:path";
import { InputError } from "../files/input_error.ts";
import type { HubAccess } from "../hub/mod.ts";
import { fetchModel } from "../pipeline/fetched_model.ts";
import type { LockedInputs } from "../pipeline/lock_record.ts";
import { ForeignRepoError, type Pulled, type PullOptions, pullRepo } from "../pipeline/pulled.ts";
import { type ArtifactCache, openCache } from "../runner/mod.ts";
import { UsageError } from "./exit_codes.ts";
import { cacheFolder, locate } from "./places.ts";
import type { Terminal } from "./terminal.ts";
import { throttled } from "./throttled.ts";

/** A model, or a run, of the hub. */
export interface HubId {
  /** owner/name. */
  readonly id: string;
  /** Commit, tag or branch. */
  readonly revision: string;
}

/** For help texts. */
export const HUB_TARGET = "a hub id (hf://OWNER/NAME@REVISION)";

const ID = /^([\w-][\w.-]*\/[\w-][\w.-]*)(?:@(.+))?$/;
/** What files end in that are no repositories. */
const FILES = new Set([".yaml", ".yml", ".gguf", ".json", ".safetensors", ".bin", ".txt", ".ts"]);

/**
 * Reads a hub id: `hf://owner/name`, with `@revision` or without.
 *
 * @returns undefined where the text is none
 * @throws {UsageError} where it begins with `hf://` and is none
 */
export function parseHubId(text: string): HubId | undefined {
  const bare = text.replace(/^hf:\/\//, ""), [, id, revision = "main"] = ID.exec(bare) ?? [];
  if (id !== undefined && !id.includes("..")) return { id, revision };
  if (bare === text) return undefined;
  throw new UsageError(`Cannot read "${text}" as a hub id: write hf://OWNER/NAME, or hf://OWNER/NAME@REVISION`);
}

/**
 * The hub id that a command's argument is: with `hf://`, or where no such path can be meant.
 *
 * @throws {UsageError} as `parseHubId`
 */
export function hubTarget(text: string): HubId | undefined {
  const found = parseHubId(text);
  if (found === undefined || text.startsWith("hf://")) return found;
  const [folder] = text.split("/");
  // A slip in a path should not be asked of the hub.
  return existsSync(locate(text)) || existsSync(locate(folder)) || FILES.has(extname(found.id)) ? undefined : found;
}

/** How the hub is reached. */
export interface HubOptions {
  readonly cache?: string;
  readonly signal?: AbortSignal;
  /** The cache, where it is open already. */
  readonly known?: ArtifactCache;
}

/** Uses the hub, its downloads in the cache. */
export async function withHub<T>(
  { cache: folder, signal, known }: HubOptions,
  terminal: Terminal,
  use: (access: HubAccess) => Promise<T>,
): Promise<T> {
  const cache = known ?? await openCache(cacheFolder(folder));
  try {
    return await use({
      ...{ cache: cache.folder, hashes: cache.fileHashes },
      ...(signal === undefined ? {} : { signal }),
      warn: (message) => terminal.note(`warning: ${message}`),
      progress: throttled((message) => terminal.note(message), { late: true }),
    });
  } finally {
    if (known === undefined) cache.close();
  }
}

/**
 * Fetches what a command's argument names on the hub.
 *
 * @throws {InputError} as `pullRepo`; where the argument may have been a path, it says that there is none
 */
export async function fetchTarget(
  target: string,
  { id, revision }: HubId,
  { cache, signal, known, ...options }: PullOptions & HubOptions,
  terminal: Terminal,
): Promise<Pulled> {
  try {
    return await withHub({ cache, signal, known }, terminal, (access) => pullRepo(id, revision, access, options));
  } catch (error) {
    if (!(error instanceof InputError) || error instanceof ForeignRepoError || target.startsWith("hf://")) throw error;
    throw new InputError(`${error.message} (as no file or folder here is called ${target})`, { cause: error });
  }
}

/** Where the model lies that `--model` names for a lock; one of the hub is fetched. @throws {InputError} as `fetchModel` */
export async function placeOfModel(
  model: string | undefined,
  inputs: LockedInputs | undefined,
  { known, signal }: Pick<HubOptions, "known" | "signal">,
  terminal: Terminal,
): Promise<string | undefined> {
  const wanted = model === undefined || inputs === undefined ? undefined : hubTarget(model);
  if (wanted === undefined || inputs === undefined) return model;
  return await withHub({ known, signal }, terminal, (access) => fetchModel(wanted, inputs, access));
}
