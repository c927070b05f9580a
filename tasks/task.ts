/**
 * What a zero-shot task is: data. Whose dataset it asks, which of its fields it reads, and what is asked of each row: which of a few
 * continuations of a context a model finds likeliest.
 *
 * Prompts, choices and what scores are made of are those of EleutherAI's lm-evaluation-harness, whose numbers these are to equal
 * (`testdata/make_expected.py` runs it); each task names the definition there that it follows.
 */
import type * as z from "zod";

/** A continuation of a context. */
export interface Choice {
  readonly context: string;
  readonly continuation: string;
}

/** One question. */
export interface Item {
  readonly choices: readonly Choice[];
  /** Index of the right one. */
  readonly gold: number;
  /** What each choice says, by whose length in characters `acc_norm` divides its log-likelihood. */
  readonly texts: readonly string[];
}

/** Where a task's rows come from. */
export interface TaskDataset {
  /** Hub id, owner/name. */
  readonly id: string;
  /** Of the dataset; a folder of the hub's Parquet copy. */
  readonly config: string;
  readonly split: "validation" | "test";
}

/** A task; its rows are its own. */
export interface Task<Row = unknown> {
  /** As in recipes and metrics.json, and as the harness calls it. */
  readonly name: string;
  readonly summary: string;
  /** The harness's definition. */
  readonly source: string;
  readonly dataset: TaskDataset;
  /** The fields that are read. */
  readonly row: z.ZodType<Row>;
  /** @throws {FieldError} where a field says what it cannot */
  item(row: Row): Item;
  /** Whether `acc_norm` is given beside `acc`. */
  readonly normalised: boolean;
  /** Of the whole split, for estimates: questions, and tokens of one with all its choices. */
  readonly expected: { readonly items: number; readonly tokens: number };
}

/** A field that says what it cannot say. Who knows file and row names them. */
export class FieldError extends Error {
  readonly field: string;

  constructor(field: string, message: string) {
    super(message);
    this.field = field;
  }
}

/** A task whose rows are checked by its schema before it sees them. */
export function defineTask<Row>(task: Task<Row>): Task {
  return task as Task;
}

/** Choices that follow one context after a space. */
export function choicesAfter(context: string, texts: readonly string[]): Choice[] {
  return texts.map((text) => ({ context, continuation: ` ${text}` }));
}

/** Index of a label. @throws {FieldError} it is no choice's */
export function indexOfLabel(label: string, labels: readonly string[], field: string): number {
  const index = labels.indexOf(label);
  if (index >= 0) return index;
  throw new FieldError(
    field,
    `"${label}" is no choice's label: these are ${labels.map((each) => `"${each}"`).join(", ")}`,
  );
}

/** A label that counts choices from 0. @throws {FieldError} there is no such choice */
export function checkIndex(label: number, count: number, field: string): number {
  if (Number.isInteger(label) && label >= 0 && label < count) return label;
  throw new FieldError(field, `${label} is no choice: they are counted from 0 to ${count - 1}`);
}
