/** Zero-shot tasks: questions with a few answers each, of which a model finds one the likeliest. */
import { nearest } from "../recipes/suggest.ts";
import { arcChallenge, arcEasy } from "./arc.ts";
import { boolq } from "./boolq.ts";
import { hellaswag } from "./hellaswag.ts";
import { openbookqa } from "./openbookqa.ts";
import { piqa } from "./piqa.ts";
import { rte } from "./rte.ts";
import type { Task } from "./task.ts";
import { winogrande } from "./winogrande.ts";

export { describeItems, type ItemsFrom, type LoadedItems, loadItems } from "./items.ts";
export { type EncodedChoice, encodeItem, type EncodeOptions } from "./encode.ts";
export { characters } from "./python_text.ts";
export { type Answer, type Asked, type Score, scoreItems, type TaskScores } from "./score.ts";
export type { Choice, Item, Task } from "./task.ts";

/** All tasks, in the order of the tables in papers. */
export const tasks: readonly Task[] = [boolq, rte, hellaswag, winogrande, arcEasy, arcChallenge, openbookqa, piqa];

/**
 * A task by its name.
 *
 * @throws {RangeError} there is none
 */
export function taskOf(name: string): Task {
  const found = tasks.find((task) => task.name === name);
  if (found !== undefined) return found;
  const names = tasks.map((task) => task.name), near = nearest(name, names);
  throw new RangeError(
    `Cannot find a task "${name}": there are ${names.join(", ")}${near === undefined ? "" : `; did you mean ${near}?`}`,
  );
}
