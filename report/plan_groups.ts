/** Steps of a plan as people read them: blocks that are alike in one line. */
import type { StepSummary } from "../runner/events.ts";
import { describeReason } from "./reasons.ts";

/** Steps of one name, state and reason. */
export interface StepGroup {
  /** Without the block. */
  readonly name: string;
  readonly state: StepSummary["state"];
  /** In words. */
  readonly why?: string;
  readonly blocks: number[];
  /** The mirror that has them. */
  readonly from?: string;
  seconds: number;
  /** To be fetched. */
  bytes: number;
}

/** Groups steps of one name, state and reason, whatever their blocks; in the order of their first. */
export function groupSteps(steps: readonly StepSummary[]): StepGroup[] {
  const groups = new Map<string, StepGroup>();
  for (const { id, block, state, why, seconds, fetch } of steps) {
    const name = id.replace(/\[\d+\]$/, "");
    // A block's steps mostly run because of an earlier stage of the same block: said once for all of them.
    const reason = why && describeReason({ ...why, step: why.step?.replace(`[${block}]`, "") });
    const key = `${name}\0${block !== undefined}\0${state}\0${reason}\0${fetch?.from}`;
    const empty: StepGroup = { name, state, why: reason, blocks: [], from: fetch?.from, seconds: 0, bytes: 0 };
    const group = groups.get(key) ?? empty;
    groups.set(key, group);
    if (block !== undefined) group.blocks.push(block);
    group.seconds += seconds;
    group.bytes += fetch?.bytes ?? 0;
  }
  return [...groups.values()];
}
