/** Paths as a lock writes them: they say where a file lies beside others, and nothing of the machine or of who uses it. */
import { homedir, hostname } from "node:os";
import { basename, isAbsolute, join, parse, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** What a path must not tell, and what everybody has. */
export interface Surroundings {
  /** This project's folder. */
  readonly project?: string;
  /** The user's home. */
  readonly home?: string;
  /** The machine's name. */
  readonly host?: string;
}

/** This project's folder. */
export const PROJECT: string = fileURLToPath(new URL("../", import.meta.url)).replace(/[\\/]$/, "");

/**
 * A path that may be shared, with forward slashes: relative to the lock's folder; from the project's folder where only the file lies in
 * it; and its last name alone where the way from one to the other leads through the root, or past the user's home, or through a folder
 * that has the user's or the machine's name.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const here = { project: "/home/ann/pbs2p", home: "/home/ann", host: "box" };
 * const write = (path: string, folder = "/home/ann/pbs2p/runs/one") => shareablePath(path, folder, here);
 * assert.equal(write("/home/ann/models/tiny"), "../../../models/tiny");
 * assert.equal(write("/home/ann/pbs2p/configs/tiny", "/tmp/runs/one"), "configs/tiny");
 * assert.deepEqual(["/data/tiny", "/home/ben/tiny", "/home/ann/pbs2p/ann/tiny"].map((path) => write(path)), Array(3).fill("tiny"));
 * ```
 * @param folder the lock's; absolute, as the path
 */
export function shareablePath(
  path: string,
  folder: string,
  { project = PROJECT, home = homedir(), host = hostname() }: Surroundings = {},
): string {
  const base = isInside(path, project) && !isInside(folder, project) ? project : folder;
  const short = relative(base, path), names = short.split(/[\\/]/);
  const common = resolve(base, ...names.filter((name) => name === ".."));
  const secret = new Set([basename(home), host, host.split(".")[0]].filter((name) => name !== ""));
  const tells = isAbsolute(short) || common === parse(common).root || (common !== home && isInside(home, common)) ||
    names.some((name) => secret.has(name));
  return tells ? basename(path) : slashes(short);
}

/**
 * A sentence of a driver's or the system's own, in which files are named by their last names only.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const why = "it does not open (Failed to load /home/ann b/lib/libcuda.so.12: not found; see C:\\Users\\ann\\log.txt), 5/8 tried";
 * assert.equal(
 *   withoutFolders(why, "/home/ann b"),
 *   "it does not open (Failed to load libcuda.so.12: not found; see log.txt), 5/8 tried",
 * );
 * ```
 */
export function withoutFolders(text: string, home: string = homedir()): string {
  const known = home.length > 1 ? text.replaceAll(home, "/home") : text;
  return known.replaceAll(
    /(?<![\w.~/\\-])(?:file:\/\/|[A-Za-z]:|~)?[/\\](?:[^\s"'()<>:;,/\\]+[/\\])*([^\s"'()<>:;,/\\]+)/g,
    "$1",
  );
}

/** Whether a path is a folder or lies in it. */
function isInside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : join(folder, sep));
}

function slashes(path: string): string {
  return path.replaceAll("\\", "/");
}
