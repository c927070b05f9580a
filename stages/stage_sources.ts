/** Hashes of the code that a stage's numbers come from, so that a changed kernel never meets an old artifact. */
import { createHash } from "node:crypto";

/**
 * Hash of source files as code: comments and white space do not count, so that prose may change without a re-run.
 * @param urls files of this package
 * @returns hex sha256
 */
export function sourceHash(urls: readonly URL[]): string {
  const hash = createHash("sha256");
  for (const url of urls) {
    const code = Deno.readTextFileSync(url)
      .replace(/\/\*[\s\S]*?\*\//g, " ")
      .replace(/(^|\s)\/\/.*$/gm, " ")
      .replace(/\s+/g, " ");
    hash.update(`${url.pathname.split("/").pop()}\0${code}\0`);
  }
  return hash.digest("hex");
}
