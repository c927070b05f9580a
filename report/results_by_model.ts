/** Rows of all evidence, by the model that they are of. */
import type { Evidence, Provenance } from "./evidence.ts";
import { comparable, inOrder, type Row, withFronts } from "./leaderboard.ts";

/** A row, and where it comes from. */
export interface Entry {
  readonly row: Row;
  readonly evidence: Evidence;
  /** Of its first point. */
  readonly provenance?: Provenance;
}

/** All rows of one model, measured alike. */
export interface ModelResults {
  readonly model: string;
  readonly evaluations: readonly string[];
  readonly original: Readonly<Record<string, number>>;
  /** With the front over all of them, in order. */
  readonly entries: readonly Entry[];
}

/** Puts rows of one model together, in order, with the front over all of them. */
export function modelsOf(entries: readonly Entry[]): ModelResults[] {
  return [...Map.groupBy(entries, ({ row }) => comparable(row)).values()].map((same) => {
    const evaluations = [...new Set(same.flatMap(({ row }) => Object.keys(row.perplexity)))];
    const rows = withFronts(same.map(({ row }) => row), evaluations);
    const order = inOrder(evaluations);
    return {
      model: same[0].row.model,
      evaluations,
      original: same[0].row.original,
      entries: same.map((entry, i) => ({ ...entry, row: rows[i] })).sort((a, b) => order(a.row, b.row)),
    };
  });
}
