/** Scores of zero-shot tasks in words and numbers: percent, with standard errors, and their mean over tasks. */
import type { Metrics } from "./metrics.ts";

/** Of one model on one task. */
export type Accuracy = Pick<Metrics["tasks"][string], "acc" | "acc_stderr" | "acc_norm" | "acc_norm_stderr">;

/** A score that is shown: `acc`, or `acc_norm` where a task has it. */
export interface Shown {
  readonly task: string;
  readonly metric: "acc" | "acc_norm";
  /** Of a standard error there is none of a mean over tasks, whose questions are not one sample. */
  readonly original: { readonly value: number; readonly error?: number };
  readonly compressed: { readonly value: number; readonly error?: number };
  /** Questions; undefined of a mean. */
  readonly items?: number;
  readonly cut?: number;
}

/** Name of the mean over tasks, beside which no task has one. */
export const AVERAGE = "average";

/**
 * All scores, task by task; then, of more than one task, the mean of their `acc`, which is what the tables of the papers show.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { scoresOf } from "./task_scores.ts";
 *
 * const score = { acc: 0.5, acc_stderr: 0.1 };
 * const task = { ...score, original: { ...score, acc: 0.75 }, items: 16, cut: 0 };
 * const [, , average] = scoresOf({ boolq: task, rte: { ...task, acc: 0.25 } });
 * assert.deepEqual([average.original.value, average.compressed.value], [0.75, 0.375]);
 * ```
 */
export function scoresOf(tasks: Metrics["tasks"]): Shown[] {
  const shown = Object.entries(tasks).flatMap(([task, { original, items, cut, ...compressed }]): Shown[] => [
    {
      ...{ task, metric: "acc", items, cut },
      original: { value: original.acc, error: original.acc_stderr },
      compressed: { value: compressed.acc, error: compressed.acc_stderr },
    },
    ...(original.acc_norm === undefined || compressed.acc_norm === undefined ? [] : [{
      ...{ task, metric: "acc_norm", items, cut } as const,
      original: { value: original.acc_norm, error: original.acc_norm_stderr },
      compressed: { value: compressed.acc_norm, error: compressed.acc_norm_stderr },
    }]),
  ]);
  const mean = Object.keys(tasks).length < 2 ? undefined : meanAccuracy(tasks);
  if (mean === undefined) return shown;
  const [original, compressed] = [mean.original, mean.compressed].map((value) => ({ value }));
  return [...shown, { task: AVERAGE, metric: "acc", original, compressed }];
}

/** Mean of `acc` over tasks, of both models; undefined without tasks. */
export function meanAccuracy(
  tasks: Metrics["tasks"],
): { readonly original: number; readonly compressed: number } | undefined {
  const all = Object.values(tasks),
    mean = (of: (task: typeof all[number]) => number) => all.reduce((sum, task) => sum + of(task), 0) / all.length;
  return all.length === 0
    ? undefined
    : { original: mean(({ original }) => original.acc), compressed: mean(({ acc }) => acc) };
}

/** A share in percent, with its standard error: `62.5 ± 12.1`. */
export function formatShare({ value, error }: Shown["original"]): string {
  const percent = (100 * value).toFixed(1);
  return error === undefined ? percent : `${percent} ± ${(100 * error).toFixed(1)}`;
}

/** What is said of questions that were cut, of all tasks together; nothing where none was. */
export function sayCut(tasks: Metrics["tasks"]): string | undefined {
  const cut = Object.entries(tasks).filter(([, { cut }]) => cut > 0);
  if (cut.length === 0) return undefined;
  const parts = cut.map(([name, { cut, items }]) => `${cut} of ${items} in ${name}`);
  return `cut on the left, as too long: ${parts.join(", ")}`;
}
