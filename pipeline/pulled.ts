/**
 * What others have published on the hub, on this machine: a run (recipe.lock.yaml, metrics.json and the packed model), a recipe
 * (recipe.yaml) or a packed model alone. Files are taken only with the content that the lock says.
 */
import { existsSync } from "node:fs";
import { copyFile, link, mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { PACKED_FILES } from "../checkpoints/packed/write.ts";
import { hashFile, inMemoryHashes } from "../files/file_hashes.ts";
import { InputError } from "../files/input_error.ts";
import { isObject } from "../files/json.ts";
import { parseJsonObject, readTextFile } from "../files/text_file.ts";
import { downloadFile, downloadPath, fileOf, type HubAccess, type HubRepo, resolveModel } from "../hub/mod.ts";
import { LOCK, readSmallText } from "../runner/journal.ts";
import { readLock } from "../runner/lock.ts";
import { type LockedOutcome, readOutcome } from "./lock_record.ts";

/** What a repository was taken for. */
export interface Pulled {
  readonly kind: "run" | "recipe" | "packed";
  readonly id: string;
  readonly commit: string;
  /** Where the files lie, as in a run's folder. */
  readonly folder: string;
  readonly files: readonly PulledFile[];
  /** Folder of the packed model; undefined where there is none, or it was not asked for. */
  readonly model?: string;
  /** The lock, or the recipe. */
  readonly recipe?: string;
}

/** A file that was fetched. */
export interface PulledFile {
  readonly path: string;
  readonly bytes: number;
  /** What its content was held against: the lock's hash, or the hub's alone. */
  readonly held: "lock" | "hub";
}

/** What is fetched, and how it is held against the lock. */
export interface PullOptions {
  /** Only what says how it is made. */
  readonly recipeOnly?: boolean;
  /** Whether a packed file with another hash than the lock's is refused; `verify` says more of it. Default: true. */
  readonly check?: boolean;
}

/** A repository that holds nothing of this project's. */
export class ForeignRepoError extends InputError {}

/** Tells of a folder that what is in it came from the hub, so that its code is not run unasked. */
export const ORIGIN = "pulled.json";

const MOST_ORIGIN_BYTES = 4096;
/** As `readLock` reads. */
const MOST_LOCK_BYTES = 1 << 24;
const Origin = z.object({ id: z.string(), commit: z.string() });

const RECIPE = "recipe.yaml";
/** Of a repository with a recipe, files that it may extend or use, and how large. */
const SOURCES = /^[^.].*\.(ya?ml|ts|mts|js|mjs)$/, MOST_SOURCES = 200, MOST_SOURCE_BYTES = 1 << 20;

/**
 * Fetches what a repository publishes into the cache's folder of its commit. What is there already is checked and not fetched again;
 * what was interrupted goes on.
 *
 * @param revision commit, tag or branch
 * @throws {ForeignRepoError} when it holds none of these
 * @throws {InputError} when the hub refuses or does not answer, or a file is not what the lock says
 */
export async function pullRepo(
  id: string,
  revision: string,
  access: HubAccess,
  options: PullOptions = {},
): Promise<Pulled> {
  const repo = await resolveModel(id, revision, access), folder = dirname(downloadPath(repo, LOCK, access));
  const pulled =
    await (repo.files.has(LOCK)
      ? pullRun(repo, access, options)
      : repo.files.has(RECIPE)
      ? pullRecipe(repo, access)
      : pullPacked(repo, access));
  const result = { ...pulled, id, commit: repo.commit, folder };
  await writeFile(join(folder, ORIGIN), originOf(result));
  return result;
}

/**
 * Copies what was pulled into a folder of the user's, which appears when it is complete.
 *
 * @returns the same, in that folder
 * @throws {InputError} when something else lies there
 */
export async function copyPulled(pulled: Pulled, folder: string): Promise<Pulled> {
  const inside = (path: string | undefined) =>
    path === undefined ? undefined : join(folder, path.slice(pulled.folder.length));
  const { model, recipe, ...rest } = pulled, moved = { model: inside(model), recipe: inside(recipe) };
  const result: Pulled = {
    ...rest,
    folder,
    ...(moved.model === undefined ? {} : { model: moved.model }),
    ...(moved.recipe === undefined ? {} : { recipe: moved.recipe }),
  };
  const again = existsSync(folder), there = again ? pulledFrom(folder) : undefined;
  if (again && (there?.id !== pulled.id || there.commit !== pulled.commit)) {
    throw new InputError(
      `Cannot pull into ${folder}: it is there already, and is not ${pulled.id} at ${pulled.commit}; name a new folder`,
    );
  }
  // What else its user keeps in it meanwhile stays.
  const unfinished = again ? folder : `${folder}.part`;
  for (const { path } of pulled.files) {
    const target = join(unfinished, path);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(join(pulled.folder, path), `${target}.part`);
    await rename(`${target}.part`, target);
  }
  await writeFile(join(unfinished, ORIGIN), originOf(result));
  if (!again) await rename(unfinished, folder);
  return result;
}

/** The repository and the commit that a folder was pulled from; undefined where it was not, or no longer says so. */
export function pulledFrom(folder: string): Pick<Pulled, "id" | "commit"> | undefined {
  const path = join(folder, ORIGIN);
  if (!existsSync(path)) return undefined;
  try {
    return Origin.parse(JSON.parse(readSmallText(path, MOST_ORIGIN_BYTES)));
  } catch {
    return undefined;
  }
}

/** Whether a file lies in a folder that came from the hub. */
export function isPulled(file: string): boolean {
  for (let folder = dirname(file);; folder = dirname(folder)) {
    if (existsSync(join(folder, ORIGIN))) return true;
    if (folder === dirname(folder)) return false;
  }
}

type Found = Omit<Pulled, "id" | "commit" | "folder">;

async function pullRun(
  repo: HubRepo,
  access: HubAccess,
  { recipeOnly = false, check = true }: PullOptions,
): Promise<Found> {
  const label = `${LOCK} of ${repo.id}@${repo.commit.slice(0, 8)}`, { size } = fileOf(repo, LOCK);
  if (size > MOST_LOCK_BYTES) {
    throw new InputError(`Cannot read the lock ${label}: it has ${size} bytes, which no lock has`);
  }
  const file = await downloadFile(repo, LOCK, access), lock = readLock(file, label);
  const files: PulledFile[] = [sized(repo, LOCK, "hub")];
  if (recipeOnly) return { kind: "run", recipe: file, files };
  const packed = lock.outcome === undefined ? {} : readOutcome(lock, label).model, names = Object.keys(packed);
  // A packed model may lie at the top too, where loaders look for it.
  const pathOf = (name: string) => [`model/${name}`, name].find((path) => repo.files.has(path));
  // What has another content is known before the first byte of it is fetched.
  for (const name of check ? names : []) {
    const path = pathOf(name);
    if (path === undefined) {
      throw new InputError(`Cannot pull ${described(repo)}: its lock names model/${name}, and there is no such file`);
    }
    refuseOther(name, packed, repo, fileOf(repo, path).sha256);
  }
  for (const name of names) {
    const path = pathOf(name), target = downloadPath(repo, `model/${name}`, access);
    if (path === undefined) continue;
    const there = await downloadFile(repo, path, access);
    if (check) refuseOther(name, packed, repo, await hashFile(there, access.hashes ?? inMemoryHashes()));
    if (there !== target) await place(there, target);
    files.push({ path: `model/${name}`, bytes: fileOf(repo, path).size, held: "lock" });
  }
  if (repo.files.has("metrics.json")) {
    await downloadFile(repo, "metrics.json", access);
    files.push(sized(repo, "metrics.json", "hub"));
  }
  const model = dirname(downloadPath(repo, "model/x", access));
  return { kind: "run", recipe: file, files, ...(names.length === 0 ? {} : { model }) };
}

/** Puts a file in a second place, without a second copy where the file system can. */
async function place(from: string, target: string): Promise<void> {
  await mkdir(dirname(target), { recursive: true });
  const unfinished = `${target}.${crypto.randomUUID()}`;
  await link(from, unfinished).catch(() => copyFile(from, unfinished));
  await rename(unfinished, target);
}

/** @param found the hash of what there is; undefined where it is not known yet */
function refuseOther(name: string, packed: LockedOutcome["model"], repo: HubRepo, found: string | undefined): void {
  const { sha256 } = packed[name];
  if (found === undefined || found === sha256) return;
  throw new InputError(
    `Cannot pull ${
      described(repo)
    }: model/${name} has sha256 ${found}, and its lock says ${sha256}, so it is not what the run made`,
  );
}

async function pullRecipe(repo: HubRepo, access: HubAccess): Promise<Found> {
  const sources = [...repo.files.values()].filter(({ path }) => SOURCES.test(path));
  const large = sources.find(({ size }) => size > MOST_SOURCE_BYTES);
  if (large !== undefined || sources.length > MOST_SOURCES) {
    const why = large === undefined
      ? `it has ${sources.length} files of code and YAML`
      : `${large.path} has ${large.size} bytes`;
    throw new InputError(`Cannot pull the recipe of ${described(repo)}: ${why}, and no recipe does`);
  }
  for (const { path } of sources) await downloadFile(repo, path, access);
  const files = sources.map(({ path }) => sized(repo, path, "hub"));
  return { kind: "recipe", recipe: downloadPath(repo, RECIPE, access), files };
}

/** A packed folder without a lock, at the top of the repository or in model/. */
async function pullPacked(repo: HubRepo, access: HubAccess): Promise<Found> {
  for (const folder of ["", "model/"]) {
    const at = (name: string) => `${folder}${name}`;
    if (!repo.files.has(at(PACKED_FILES.config)) || !repo.files.has(at(PACKED_FILES.weights))) continue;
    const path = await downloadFile(repo, at(PACKED_FILES.config), access), label = `config.json of ${described(repo)}`;
    const { quantization_config: quantized } = parseJsonObject(
      await readTextFile(path, { wanted: "JSON", label }),
      label,
    );
    if (!isObject(quantized) || quantized.quant_method !== "pbs2p") continue;
    const names = Object.values(PACKED_FILES).map(at).filter((name) => repo.files.has(name));
    for (const name of names) await downloadFile(repo, name, access);
    return { kind: "packed", model: dirname(path), files: names.map((name) => sized(repo, name, "hub")) };
  }
  throw new ForeignRepoError(
    `Cannot pull ${
      described(repo)
    }: it is nothing of pbs2p's, as it has neither ${LOCK}, nor ${RECIPE}, nor a packed model`,
  );
}

function sized({ files }: HubRepo, path: string, held: PulledFile["held"]): PulledFile {
  return { path, bytes: files.get(path)?.size ?? 0, held };
}

function described({ id, commit }: HubRepo): string {
  return `${id} at ${commit.slice(0, 8)}`;
}

function originOf({ id, commit }: Pick<Pulled, "id" | "commit">): string {
  return `${JSON.stringify({ id, commit })}\n`;
}
