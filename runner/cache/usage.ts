/** What takes a cache's bytes. */
import type { ArtifactInfo } from "./cache_index.ts";

/** Artifacts of one output of a stage. */
export interface UsageRow {
  readonly stage: string;
  readonly output: string;
  readonly artifacts: number;
  readonly bytes: number;
  /** Seconds to make them again. */
  readonly seconds: number;
}

/** Bytes of artifacts by stage and output. */
export interface Usage {
  readonly bytes: number;
  readonly limit: number;
  /** Bytes of downloaded models and texts, which the limit does not cover. */
  readonly downloads: number;
  readonly rows: readonly UsageRow[];
}

/** Sums artifacts up by stage and output, in the order in which these come. */
export function usageRows(artifacts: readonly ArtifactInfo[]): UsageRow[] {
  const rows = new Map<string, UsageRow>();
  for (const { stage, output, bytes, seconds } of artifacts) {
    const name = `${stage} ${output}`;
    const row = rows.get(name) ?? { stage, output, artifacts: 0, bytes: 0, seconds: 0 };
    rows.set(name, {
      ...row,
      artifacts: row.artifacts + 1,
      bytes: row.bytes + bytes,
      seconds: row.seconds + seconds,
    });
  }
  return [...rows.values()];
}
