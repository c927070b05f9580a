/** What the cache keeps, by kind and by model, and for which runs. */
import { join } from "node:path";
import { InputError } from "../files/input_error.ts";
import { openCache } from "../runner/mod.ts";
import { JOURNAL, readFirstEvent } from "../runner/journal.ts";
import type { CacheDetail, RunSummary } from "./schemas.ts";

/**
 * Describes a cache.
 *
 * @param folder must exist
 * @param runs of which a step's key says what they have in the cache; runs of older versions have none
 * @throws {IndexError} when its index cannot be used
 */
export async function describeCache(
  folder: string,
  runs: readonly { readonly summary: RunSummary; readonly folder: string }[],
): Promise<CacheDetail> {
  const cache = await openCache(folder);
  try {
    const artifacts = cache.list(), { rows, bytes, limit, downloads } = cache.usage();
    const bytesOf = new Map<string, number>(), kindsOf = new Map<string, Set<string>>();
    const models = new Map<string, { model: string; artifacts: number; bytes: number; seconds: number }>();
    for (const { stepKey, stage, output, model, bytes, seconds } of artifacts) {
      bytesOf.set(stepKey, (bytesOf.get(stepKey) ?? 0) + bytes);
      kindsOf.set(stepKey, (kindsOf.get(stepKey) ?? new Set()).add(`${stage} ${output}`));
      const sum = models.get(model) ?? { model, artifacts: 0, bytes: 0, seconds: 0 };
      models.set(model, {
        model,
        artifacts: sum.artifacts + 1,
        bytes: sum.bytes + bytes,
        seconds: sum.seconds + seconds,
      });
    }
    const users = new Map<string, string[]>(), kinds = new Map<string, Set<string>>();
    for (const { summary: { id }, folder } of runs) {
      for (const key of keysOf(folder)) {
        if (!bytesOf.has(key)) continue;
        users.set(key, [...users.get(key) ?? [], id]);
        for (const kind of kindsOf.get(key) ?? []) kinds.set(kind, (kinds.get(kind) ?? new Set()).add(id));
      }
    }
    const held = new Map<string, { bytes: number; alone: number }>();
    for (const [key, ids] of users) {
      const size = bytesOf.get(key) ?? 0;
      for (const id of ids) {
        const sum = held.get(id) ?? { bytes: 0, alone: 0 };
        held.set(id, { bytes: sum.bytes + size, alone: sum.alone + (ids.length === 1 ? size : 0) });
      }
    }
    return {
      ...{ bytes, limit, downloads },
      kinds: rows.map((row) => ({ ...row, runs: kinds.get(`${row.stage} ${row.output}`)?.size ?? 0 })),
      models: [...models.values()].sort((a, b) => b.bytes - a.bytes),
      runs: runs.flatMap(({ summary: { id, run, state } }) => {
        const sum = held.get(id);
        return sum === undefined ? [] : [{ id, run, state, ...sum }];
      }),
      unused: [...bytesOf].reduce((sum, [key, bytes]) => users.has(key) ? sum : sum + bytes, 0),
    };
  } finally {
    cache.close();
  }
}

/** Keys of a run's steps, each once. */
function keysOf(folder: string): Set<string> {
  try {
    const first = readFirstEvent(join(folder, JOURNAL));
    if (first?.type !== "run-started") return new Set();
    return new Set(first.steps.flatMap(({ key }) => key ?? []));
  } catch (error) {
    // The list of runs says so.
    if (error instanceof InputError) return new Set();
    throw error;
  }
}
