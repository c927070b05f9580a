/** The zero-shot tasks of a recipe, looked at before any work: what identifies each, and whether its questions can be read. */
import { sizeOfFile } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import type { TaskFacts } from "../stages/planning.ts";
import { itemsFrom, type TaskRequest, type TasksToolOptions } from "../stages/tools/tasks.ts";
import { describeItems, loadItems, taskOf } from "../tasks/mod.ts";
import { openTokenizer } from "../tokenizers/tokenizer.ts";

/** Files up to so many bytes are read before anything else is done. */
const READ_AT_ONCE = 64 * 2 ** 20;

/** Tokens of a window, for estimates. */
const LENGTH = 512;

/**
 * Looks at tasks.
 *
 * @returns what is known of each, by its id
 * @throws {InputError} rows are missing, or not as their dataset has them; the model has no tokenizer
 */
export async function openTasks(
  requests: readonly TaskRequest[],
  { checkpoint, access }: Pick<TasksToolOptions, "checkpoint" | "access">,
): Promise<ReadonlyMap<string, TaskFacts>> {
  const found = new Map<string, TaskFacts>();
  if (requests.length === 0) return found;
  const [{ path }] = requests;
  if (checkpoint.tokenizer === undefined) {
    throw new InputError(
      `Cannot ask tasks (${path}) as ${checkpoint.label} has no tokenizer; add tokenizer.json to its folder`,
    );
  }
  const tokenizer = openTokenizer(checkpoint.tokenizer).fingerprint();
  for (const request of requests) {
    const { id, path, name, file, limit } = request, task = taskOf(name), from = itemsFrom(request, access);
    const named = (error: unknown) => {
      throw error instanceof InputError ? new InputError(`${error.message} (${path})`, { cause: error }) : error;
    };
    const small = file !== undefined && await sizeOfFile(file).catch(named) <= READ_AT_ONCE;
    const own = small ? (await loadItems(task, from).catch(named)).items.length : undefined;
    const { identity } = await describeItems(task, from).catch(named);
    const items = own ?? Math.min(limit ?? Infinity, task.expected.items);
    found.set(id, {
      identity: { questions: identity, tokenizer },
      ...{ items, windows: Math.ceil(items * task.expected.tokens / LENGTH), length: LENGTH },
    });
  }
  return found;
}
