/** All that a run's events say of it, gathered in one pass: steps, blocks, memory, what went wrong. */
import type { Reason, RunEvent, StepSummary } from "../runner/events.ts";
import { placeOf } from "./layer_names.ts";
import { describeReason, describeTrouble } from "./reasons.ts";

/** A step, as it is by now. */
export interface StepDetail {
  readonly id: string;
  readonly stage: string;
  readonly block?: number;
  readonly state: "cached" | "skip" | "waiting" | "running" | "done" | "failed";
  readonly why?: Reason;
  /** The reason in words. */
  readonly because?: string;
  /** Seconds that it was to take. */
  readonly expected: number;
  /** Seconds that it took. */
  readonly seconds?: number;
  /** Milliseconds since the epoch. */
  readonly began?: number;
  /** Most bytes that the process was seen to hold meanwhile. */
  readonly memory?: number;
  /** Bytes that it wrote. */
  readonly bytes?: number;
  readonly note?: string;
  readonly error?: string;
  /** Content key. */
  readonly key?: string;
  /** Steps whose outputs it takes. */
  readonly inputs?: readonly string[];
}

/** What is known of a transformer block. */
export interface BlockDetail {
  readonly block: number;
  /** N of N:M. */
  readonly keep?: number;
  /** Stored bits a weight that its layers were given; mean. */
  readonly bits?: number;
  /** Relative error of its layers; mean. */
  readonly error?: number;
  /** Likeness of what goes in and what comes out, as it was measured. */
  readonly redundancy?: number;
  /** Of its steps that ran. */
  readonly seconds?: number;
}

/** What a run's events say. */
export interface Gathered {
  /** Milliseconds since the epoch. */
  readonly began?: number;
  readonly steps: readonly StepDetail[];
  readonly blocks: readonly BlockDetail[];
  /** Milliseconds since the epoch, and bytes. */
  readonly memory: readonly (readonly [number, number])[];
  readonly warnings: readonly string[];
  /** Relative error by layer. */
  readonly errors: ReadonlyMap<string, number>;
  /** Bits that layers were given, by layer. */
  readonly bits: ReadonlyMap<string, number>;
  /** By step. */
  readonly perplexity: ReadonlyMap<string, number>;
}

type Writable<T> = { -readonly [name in keyof T]: T[name] };

/**
 * Gathers what events say.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { gather } from "./gather.ts";
 *
 * const values = { keep: [5], errors: { "model.layers.0.mlp.up_proj": 0.25, "model.layers.0.mlp.down_proj": 0.75 } };
 * const { blocks } = gather([{ at: 0, type: "step-measured", step: "spbo[0]", values }]);
 * assert.deepEqual(blocks, [{ block: 0, keep: 5, error: 0.5 }]);
 * ```
 */
export function gather(events: Iterable<RunEvent>): Gathered {
  const steps = new Map<string, Writable<StepDetail>>();
  const memory: [number, number][] = [], warnings: string[] = [];
  const measured = new Measured();
  let began: number | undefined;
  for (const event of events) {
    if (event.type === "run-started") {
      began = event.at;
      for (const step of event.steps) steps.set(step.id, planned(step));
    }
    if (event.type === "run-interrupted" || event.type === "run-failed") {
      for (const step of steps.values()) leave(step);
    }
    const trouble = describeTrouble(event);
    if (trouble !== undefined) warnings.push(trouble);
    if (event.type === "step-finished" && event.memory !== undefined) memory.push([event.at, event.memory]);
    if (event.type === "step-measured") measured.take(event.step, event.values, steps.get(event.step)?.block);
    const step = "step" in event ? steps.get(event.step) : undefined;
    if (step !== undefined) follow(step, event);
  }
  return {
    ...(began === undefined ? {} : { began }),
    ...{ steps: [...steps.values()], memory, warnings, blocks: blocksOf(measured, steps.values()) },
    ...{ errors: measured.errors, bits: measured.bits, perplexity: measured.perplexity },
  };
}

function planned({ id, stage, block, state, why, seconds, key, inputs }: StepSummary): Writable<StepDetail> {
  return {
    ...{ id, stage, state: state === "run" || state === "fetch" ? "waiting" : state, expected: seconds },
    ...(block === undefined ? {} : { block }),
    ...(why === undefined ? {} : { why: { ...why }, because: describeReason(why) }),
    ...(key === undefined ? {} : { key }),
    ...(inputs === undefined ? {} : { inputs: [...inputs] }),
  };
}

function follow(step: Writable<StepDetail>, event: RunEvent): void {
  if (event.type === "step-started") {
    Object.assign(step, { state: "running", began: event.at });
    // A cached result that turns out to be damaged.
    if (event.why !== undefined) Object.assign(step, { why: { ...event.why }, because: describeReason(event.why) });
  }
  if (event.type === "step-progress") step.note = event.note ?? `${event.done}/${event.total}`;
  if (event.type === "step-failed") Object.assign(step, { state: "failed", error: event.error.message });
  if (event.type === "step-finished") {
    const { seconds, bytes, memory } = event;
    Object.assign(step, { state: "done", seconds, bytes, ...(memory === undefined ? {} : { memory }) });
    delete step.note;
  }
}

/** What was being done when a run ended is still to be done. */
function leave(step: Writable<StepDetail>): void {
  if (step.state !== "running") return;
  step.state = "waiting";
  delete step.began;
  delete step.note;
}

/** Values that steps measured, told apart by what they are. */
class Measured {
  readonly errors = new Map<string, number>();
  readonly bits = new Map<string, number>();
  readonly perplexity = new Map<string, number>();
  readonly keep = new Map<number, number>();
  readonly redundancy = new Map<number, number>();

  take(step: string, { errors, bits, keep, measured, perplexity }: Readonly<Record<string, unknown>>, block?: number) {
    for (const [name, value] of numbersOf(errors)) this.errors.set(name, value);
    // Later ones are those that are used; what is found before are candidates.
    for (const [name, value] of numbersOf(bits)) this.bits.set(name, value);
    if (typeof keep === "number" && block !== undefined) this.keep.set(block, keep);
    if (Array.isArray(keep)) { for (const [name, value] of numbersOf(keep)) this.keep.set(Number(name), value); }
    if (Array.isArray(measured)) {
      for (const [name, value] of numbersOf(measured)) this.redundancy.set(Number(name), value);
    }
    if (typeof perplexity === "number") this.perplexity.set(step, perplexity);
  }
}

function numbersOf(value: unknown): [string, number][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).filter((entry): entry is [string, number] => typeof entry[1] === "number");
}

function blocksOf(measured: Measured, steps: Iterable<StepDetail>): BlockDetail[] {
  const blocks = new Map<number, Writable<BlockDetail>>();
  const of = (block: number) => {
    const found = blocks.get(block) ?? { block };
    blocks.set(block, found);
    return found;
  };
  for (const [block, keep] of measured.keep) of(block).keep = keep;
  for (const [block, redundancy] of measured.redundancy) of(block).redundancy = redundancy;
  for (const [block, error] of meansByBlock(measured.errors)) of(block).error = error;
  for (const [block, bits] of meansByBlock(measured.bits)) of(block).bits = bits;
  for (const { block, seconds } of steps) {
    if (block !== undefined && seconds !== undefined) of(block).seconds = (of(block).seconds ?? 0) + seconds;
  }
  return [...blocks.values()].sort((a, b) => a.block - b.block);
}

/** Means over layers, unweighted. */
function meansByBlock(layers: ReadonlyMap<string, number>): Map<number, number> {
  const sums = new Map<number, { sum: number; count: number }>();
  for (const [name, value] of layers) {
    const block = placeOf(name)?.block;
    if (block === undefined) continue;
    const { sum, count } = sums.get(block) ?? { sum: 0, count: 0 };
    sums.set(block, { sum: sum + value, count: count + 1 });
  }
  return new Map([...sums].map(([block, { sum, count }]) => [block, sum / count]));
}
