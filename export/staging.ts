/** Files that appear under their names when all of them are complete, and not before. */
import { mkdir, readdir, realpath, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";

/** What the folder that is written to must be. */
export interface StagingOptions {
  /** For the folder that files lie in until they are complete. */
  readonly name: string;
  /** Whether files that are there may be replaced. */
  readonly force: boolean;
  /** Names that must not be there; undefined: the folder must be empty. */
  readonly taken?: readonly string[];
  /** Names of files of an earlier export that go when new ones come. */
  readonly stale?: RegExp;
}

/** The end of the names of folders that hold what is not complete. */
const PART = ".part";

/**
 * Makes files in a folder of their own inside the one that they are meant for, and moves them there in the order they are named. Where
 * making them fails, nothing of them stays; after a `kill -9` a folder `.NAME.part` does, which the next export takes away.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { join } from "node:path";
 * const folder = await Deno.makeTempDir();
 * await staged(folder, { name: "x", force: false }, async (place) => {
 *   await Deno.writeTextFile(join(place, "a.txt"), "a");
 *   return { files: ["a.txt"] };
 * });
 * assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["a.txt"]);
 * await assert.rejects(staged(folder, { name: "x", force: false }, assert.fail), /is not empty/);
 * await Deno.remove(folder, { recursive: true });
 * ```
 * @param make writes files to the folder it is given, and says which, the one last without which the others are nothing
 * @throws {RangeError} when something is there that would be mixed with what is written, or replaced without `force`
 */
export async function staged<T extends { readonly files: readonly string[] }>(
  folder: string,
  { name, force, taken, stale }: StagingOptions,
  make: (place: string) => Promise<T>,
): Promise<T> {
  const made = await mkdir(folder, { recursive: true });
  const place = join(folder, `.${name}${PART}`);
  try {
    const there = (await readdir(folder)).filter((each) => !each.endsWith(PART));
    const first = there.find((each) => taken?.includes(each) ?? true);
    if (first !== undefined && !force) {
      throw new RangeError(
        taken === undefined
          ? `Cannot export to ${folder} as it is not empty (${first}): name another folder, or use --force`
          : `Cannot export to ${join(folder, first)} as it is there: name another folder, or use --force`,
      );
    }
    await rm(place, { recursive: true, force: true });
    await mkdir(place);
    const result = await make(place);
    await replace(place, folder, { files: result.files, old: there.filter((each) => stale?.test(each)) });
    return result;
  } finally {
    await rm(place, { recursive: true, force: true });
    if (made !== undefined) await rmdir(folder).catch(() => {});
  }
}

/** Whether two paths lead to one folder; false where one leads nowhere. */
export async function sameFolder(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([a, b].map((path) => realpath(path).catch(() => undefined)));
  return first !== undefined && first === second;
}

/** The folder of a model: itself, or that of its file. */
export async function folderOf(model: string): Promise<string> {
  return (await stat(model)).isDirectory() ? model : dirname(model);
}

/** Without its last file a model does not load: it goes first and comes last, so that old and new files are never taken together. */
async function replace(
  place: string,
  folder: string,
  { files, old }: { readonly files: readonly string[]; readonly old: readonly string[] },
): Promise<void> {
  const last = files.at(-1) ?? "";
  if (files.length > 1) await rm(join(folder, last), { force: true });
  for (const file of old) if (!files.includes(file)) await rm(join(folder, file), { force: true });
  for (const file of files) await rename(join(place, file), join(folder, file));
}
