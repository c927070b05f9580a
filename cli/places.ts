/** Where things are: the project, the recipes people name, the cache and the runs. */
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expandHome } from "../files/home.ts";
import { asked } from "./exit_codes.ts";

/** The project's own folder. */
export const projectFolder: string = dirname(dirname(fileURLToPath(import.meta.url)));

/** The folder a command was given in; `deno task` runs commands in the project and keeps it in INIT_CWD. */
export function workingFolder(): string {
  return Deno.env.get("INIT_CWD") ?? Deno.cwd();
}

/**
 * A path as people write it, made absolute: from the working folder, or, where it is only there, from the project's.
 *
 * @throws {UsageError} when it begins with a home folder that is not known
 */
export function locate(path: string): string {
  const written = asked(() => expandHome(path));
  const here = resolve(workingFolder(), written);
  const there = resolve(projectFolder, written);
  if (existsSync(here)) return here;
  return existsSync(there) || !existsSync(dirname(here)) ? there : here;
}

/** The cache's folder: the option, PBS2P_CACHE, or `.pbs2p/cache` in the project. @throws {UsageError} as `locate` */
export function cacheFolder(option?: string): string {
  return chosen(option, "PBS2P_CACHE") ?? join(projectFolder, ".pbs2p", "cache");
}

/** The folder of runs: the option, PBS2P_RUNS, or `runs` in the project. @throws {UsageError} as `locate` */
export function runsFolder(option?: string): string {
  return chosen(option, "PBS2P_RUNS") ?? join(projectFolder, "runs");
}

function chosen(option: string | undefined, name: string): string | undefined {
  const path = option ?? (Deno.env.get(name) || undefined);
  return path === undefined ? undefined : resolve(workingFolder(), asked(() => expandHome(path)));
}
