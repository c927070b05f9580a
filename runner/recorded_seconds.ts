/** What a run's artifacts took to make, whoever made them. */
import type { ArtifactCache } from "./cache/cache.ts";
import type { Graph } from "./graph.ts";

/** Seconds of all steps as their records say, and by stage. */
export function recordedSeconds(
  graph: Graph,
  cache: Pick<ArtifactCache, "record">,
): { readonly total: number; readonly stages: Readonly<Record<string, number>> } {
  const sums = new Map<string, number>();
  let total = 0;
  for (const { key } of graph.values()) {
    const record = cache.record(key);
    total += record?.seconds ?? 0;
    for (const [stage, seconds] of Object.entries(record?.stages ?? {})) {
      sums.set(stage, (sums.get(stage) ?? 0) + seconds);
    }
  }
  return { total, stages: Object.fromEntries(sums) };
}
