/** The folder with the recorded rows of the prototype and of official code. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { UsageError } from "../../cli/exit_codes.ts";
import { projectFolder, workingFolder } from "../../cli/places.ts";

/**
 * Reads one file of the folder as JSON.
 *
 * @param folder as given by `--reference`; default: `shared/reference` beside the project
 * @throws {UsageError} when it is not there
 */
export async function readReference(file: string, folder?: string): Promise<unknown> {
  const path = folder === undefined
    ? join(dirname(projectFolder), "shared", "reference", file)
    : resolve(workingFolder(), folder, file);
  if (!existsSync(path)) {
    throw new UsageError(
      `Cannot compare with recorded rows as ${path} does not exist; name the folder that holds ${file} with --reference`,
    );
  }
  return JSON.parse(await readFile(path, "utf8"));
}
