/** Questions of zero-shot tasks, as windows of tokens and what is asked about them. */
import type { Checkpoint } from "../../checkpoints/checkpoint.ts";
import type { DatasetAccess } from "../../datasets/mod.ts";
import { InputError } from "../../files/input_error.ts";
import { placeOf, placeTexts } from "../../models/place_texts.ts";
import type { Segment } from "../../models/segments.ts";
import type { ModelSpec } from "../../models/spec.ts";
import { characters, type EncodedChoice, encodeItem, type ItemsFrom, loadItems, taskOf } from "../../tasks/mod.ts";
import { openTokenizer, type Tokenizer } from "../../tokenizers/tokenizer.ts";

/** A task that a stage asks. */
export interface TaskRequest {
  /** As `Planning.task` knows it. */
  readonly id: string;
  readonly name: string;
  /** Where the recipe names it. */
  readonly path: string;
  /** A file in the dataset's own form; default: the dataset on the hub. */
  readonly file?: string;
  /** So many of the first questions; default: all. */
  readonly limit?: number;
}

/** Questions, placed in windows. */
export interface PlacedTask {
  /** windows × length */
  readonly ids: Int32Array;
  readonly windows: number;
  readonly length: number;
  readonly segments: readonly Segment[];
  /** Tokens whose likelihood is asked: where the one before stands, counted over all windows; its id; of which choice it is. */
  readonly asked: { readonly places: Int32Array; readonly ids: Int32Array; readonly choices: Int32Array };
  /** Index of each question's first choice, and behind the last how many there are. */
  readonly first: Int32Array;
  /** Index of each question's right choice among its own. */
  readonly gold: Int32Array;
  /** Characters of what each choice says. */
  readonly characters: Int32Array;
  /** Questions of which a choice is longer than the model takes, and was cut on the left. */
  readonly cut: number;
  /** Whether `acc_norm` is told beside `acc`. */
  readonly normalised: boolean;
  /** Tokens that stand in the windows; all choices, each with its context, have `tokens`. */
  readonly placed: number;
  readonly tokens: number;
}

/** Makes them. */
export interface TasksTool {
  place(request: TaskRequest, signal: AbortSignal): Promise<PlacedTask>;
}

/** What questions are made with. */
export interface TasksToolOptions {
  readonly checkpoint: Pick<Checkpoint, "label" | "tokenizer">;
  readonly spec: ModelSpec;
  readonly access: Omit<DatasetAccess, "split">;
}

/** Tokens of a window, unless a choice with its context is longer: attention to more costs more, and less is left empty. */
const LENGTH = 512;

/** Where a task's rows are. */
export function itemsFrom({ file, limit }: TaskRequest, access: TasksToolOptions["access"]): ItemsFrom {
  return { ...access, ...(file === undefined ? {} : { file }), ...(limit === undefined ? {} : { limit }) };
}

/** Makes the tool; the tokenizer is opened on first use. */
export function openTasksTool({ checkpoint, spec, access }: TasksToolOptions): TasksTool {
  let tokenizer: Tokenizer | undefined;
  return {
    async place(request, signal) {
      if (checkpoint.tokenizer === undefined) {
        throw new InputError(`Cannot ask ${request.name} as ${checkpoint.label} has no tokenizer`);
      }
      tokenizer ??= openTokenizer(checkpoint.tokenizer);
      const task = taskOf(request.name);
      const { items, places } = await loadItems(task, { ...itemsFrom(request, access), signal });
      const encoded: EncodedChoice[][] = [];
      for (const [index, item] of items.entries()) {
        if (index % 256 === 0) signal.throwIfAborted();
        encoded.push(encode(tokenizer, item, { spec, of: `${request.name}: ${places[index]}` }));
      }
      const longest = encoded.flat().reduce((most, { input }) => Math.max(most, input.length), 1);
      const all = encoded.flat().reduce((sum, { input }) => sum + input.length, 0);
      const placed = placeTexts(
        encoded.map((choices) => choices.map(({ input }) => input)),
        Math.max(longest, Math.min(LENGTH, all)),
      );
      return {
        ...placed,
        ...asked(encoded, placed),
        gold: Int32Array.from(items, ({ gold }) => gold),
        characters: Int32Array.from(items.flatMap(({ texts }) => texts), characters),
        normalised: task.normalised,
        cut: encoded.filter((choices) => choices.some(({ cut }) => cut > 0)).length,
      };
    },
  };
}

function encode(
  tokenizer: Tokenizer,
  item: Parameters<typeof encodeItem>[1],
  { spec: { maxPositions, vocab }, of }: { readonly spec: ModelSpec; readonly of: string },
): EncodedChoice[] {
  let choices: EncodedChoice[];
  try {
    choices = encodeItem(tokenizer, item, { maxLength: maxPositions });
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError(`Cannot ask ${of}: ${error.message}`, { cause: error });
  }
  for (const { context, continuation } of choices) {
    const foreign = [context, continuation].flatMap((ids) => [...ids]).find((id) => id >= vocab);
    if (foreign === undefined) continue;
    throw new InputError(`Cannot ask ${of}: it needs token ${foreign}, and the model has ${vocab}`);
  }
  return choices;
}

/** What is asked: each token of each continuation, after what stands before it. */
function asked(
  encoded: readonly (readonly EncodedChoice[])[],
  { places: texts, length }: ReturnType<typeof placeTexts>,
): Pick<PlacedTask, "asked" | "first"> {
  const count = encoded.flat().reduce((sum, { continuation }) => sum + continuation.length, 0);
  const [places, ids, choices] = [0, 1, 2].map(() => new Int32Array(count)), first = [0];
  let at = 0, choice = 0;
  for (const [item, own] of encoded.entries()) {
    for (const [index, { continuation, input }] of own.entries()) {
      const begin = input.length - continuation.length;
      for (const [i, id] of continuation.entries()) {
        places[at] = placeOf(texts[item][index], begin + i, length);
        ids[at] = id;
        choices[at++] = choice;
      }
      choice++;
    }
    first.push(choice);
  }
  return { asked: { places, ids, choices }, first: Int32Array.from(first) };
}
