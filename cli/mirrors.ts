/** `--cache-from` and PBS2P_CACHE_FROM: the mirrors of a command, and whether it may reach them at all. */
import { hostOf, openMirrors } from "../pipeline/mirrors.ts";
import type { ArtifactCache } from "../runner/mod.ts";
import type { Mirrors } from "../runner/mirror/mirrors.ts";
import { asked, UsageError } from "./exit_codes.ts";

/**
 * Opens the mirrors that a command was given, or the variable names.
 *
 * @returns undefined where there are none
 * @throws {UsageError} for what is no address, or a host that the command may not reach
 */
export function mirrorsOf(given: readonly string[], cache: ArtifactCache): Mirrors | undefined {
  const named = Deno.env.get("PBS2P_CACHE_FROM")?.split(/\s+/).filter((address) => address !== "") ?? [];
  const addresses = given.length > 0 ? given : named;
  if (addresses.length === 0) return undefined;
  const mirrors = asked(() => openMirrors(addresses, { cache: cache.folder, hashes: cache.fileHashes }));
  for (const address of addresses) {
    const host = asked(() => hostOf(address));
    if (host !== undefined) checkHost(host, "--cache-from");
  }
  return mirrors;
}

/** @throws {UsageError} when this process may not reach a host */
export function checkHost(host: string, option: string): void {
  if (Deno.permissions.querySync({ name: "net", host }).state === "granted") return;
  const name = host.replace(/:\d+$/, "");
  throw new UsageError(
    `Cannot use ${option} with ${host} as the tasks may reach Hugging Face's own hosts only: allow this one by ` +
      `PBS2P_NET=,${name} (with the comma)`,
  );
}
