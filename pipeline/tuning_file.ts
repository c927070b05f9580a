/** Which kernels are fastest on this machine's adapters, remembered in a file beside the cache's artifacts. */
import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { TuningStore } from "../kernels/matrix/ops.ts";

/**
 * The store of a cache. What cannot be read or written is timed again, so neither is an error; of two processes that
 * write at once one may have to time again later.
 *
 * @param cache folder of the cache
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { tuningFile } from "./tuning_file.ts";
 *
 * const cache = Deno.makeTempDirSync();
 * tuningFile(cache).set("adapter", { fastest: "this one" });
 * assert.deepEqual(tuningFile(cache).get("adapter"), { fastest: "this one" });
 * Deno.removeSync(cache, { recursive: true });
 * ```
 */
export function tuningFile(cache: string): TuningStore {
  const path = join(cache, "devices.json");
  return {
    get: (key) => read(path)[key],
    set(key, value) {
      const unnamed = `${path}.${randomUUID()}`;
      try {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(unnamed, `${JSON.stringify({ ...read(path), [key]: value }, undefined, 2)}\n`);
        renameSync(unnamed, path);
      } catch {
        if (existsSync(unnamed)) rmSync(unnamed);
      }
    },
  };
}

function read(path: string): Readonly<Record<string, unknown>> {
  try {
    const content: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof content === "object" && content !== null ? { ...content } : {};
  } catch {
    return {};
  }
}
