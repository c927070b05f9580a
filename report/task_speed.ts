/** How fast questions of zero-shot tasks were answered, beside the rate at which texts went through the same blocks. */
import type { StepDetail } from "./gather.ts";
import type { Metrics } from "./metrics.ts";
import { formatNumber, formatSeconds } from "./numbers.ts";

/** What was asked of a model in this run, not taken from a cache. */
export interface TaskSpeed {
  /** Questions, of each model that was asked. */
  readonly items: number;
  readonly seconds: number;
  /** Tokens a second through the blocks below the last one, in which heads have their part. */
  readonly rate?: number;
  /** The same of texts. */
  readonly textRate?: number;
}

/**
 * Sums up the steps that ask.
 *
 * @returns undefined where this run asked nothing
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { taskSpeed } from "./task_speed.ts";
 *
 * const step = { stage: "evaluate", state: "done", expected: 1 } as const;
 * const steps = [0, 1].map((block) => ({ ...step, id: `evaluate.tasks.rte.original[${block}]`, seconds: 2 }));
 * const rte = { acc: 0.5, acc_stderr: 0.1, original: { acc: 0.5, acc_stderr: 0.1 }, items: 16, cut: 0, tokens: 500 };
 * assert.deepEqual(taskSpeed({ tasks: { rte }, perplexity: {} }, steps), { items: 16, seconds: 4, rate: 250 });
 * ```
 */
export function taskSpeed(
  { tasks, perplexity }: Pick<Metrics, "tasks" | "perplexity">,
  steps: readonly StepDetail[],
): TaskSpeed | undefined {
  const seconds = secondsOf(steps);
  const passes = (name: string, tokens: number) =>
    VARIANTS.flatMap((variant): Pass[] => {
      const blocks = seconds.get(`${name}.${variant}`);
      return blocks === undefined ? [] : [{ blocks, tokens }];
    });
  let items = 0;
  const asked = Object.entries(tasks).flatMap(([name, task]) => {
    const of = passes(`evaluate.tasks.${name}`, task.tokens ?? 0);
    items += of.length * task.items;
    return of;
  });
  if (asked.length === 0) return undefined;
  const texts = Object.entries(perplexity).flatMap(([name, { tokens }]) => passes(`evaluate.${name}`, tokens));
  const [rate, textRate] = [rateOf(asked), rateOf(texts)];
  return {
    items,
    seconds: asked.reduce((sum, { blocks }) => sum + total(blocks), 0),
    ...(rate === undefined ? {} : { rate }),
    ...(textRate === undefined ? {} : { textRate }),
  };
}

/** That in words; nothing where nothing was asked. */
export function sayTaskSpeed(speed: TaskSpeed | undefined): string[] {
  if (speed === undefined) return [];
  const { items, seconds, rate, textRate } = speed;
  return [
    `${formatNumber(items)} answers in ${formatSeconds(seconds)}`,
    `${formatNumber(items / seconds)} a second`,
    ...(rate === undefined ? [] : [
      `${formatNumber(rate)} tokens/s a block${textRate === undefined ? "" : ` (texts ${formatNumber(textRate)})`}`,
    ]),
  ];
}

const VARIANTS = ["original", "compressed"] as const;

interface Pass {
  /** Seconds of each block. */
  readonly blocks: readonly number[];
  readonly tokens: number;
}

/** Seconds of each block, by what went through them; only where all of them were run. */
function secondsOf(steps: readonly StepDetail[]): ReadonlyMap<string, readonly number[]> {
  const passes = new Map<string, (number | undefined)[]>();
  for (const { id, seconds } of steps) {
    const [, name, block] = /^(evaluate\..+)\[(\d+)\]$/.exec(id) ?? [];
    if (name === undefined) continue;
    const blocks = passes.get(name) ?? [];
    blocks[Number(block)] = seconds;
    passes.set(name, blocks);
  }
  return new Map([...passes].flatMap(([name, blocks]) => {
    const ran = Array.from(blocks).filter((seconds) => seconds !== undefined);
    return ran.length === blocks.length ? [[name, ran]] : [];
  }));
}

function rateOf(passes: readonly Pass[]): number | undefined {
  const below = passes.map(({ blocks, tokens }) => ({
    tokens: tokens * (blocks.length - 1),
    seconds: total(blocks.slice(0, -1)),
  }));
  const [tokens, seconds] = [total(below.map(({ tokens }) => tokens)), total(below.map(({ seconds }) => seconds))];
  return tokens > 0 && seconds > 0 ? tokens / seconds : undefined;
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
