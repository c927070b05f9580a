/** Token windows for calibration and evaluation, from stored ids, text files, or the hub's datasets. */
import { InputError } from "../files/input_error.ts";
import { readTextFile } from "../files/text_file.ts";
import { downloadFile } from "../hub/mod.ts";
import { type Dataset, type DatasetAccess, describeFile, describeText, type Facts, requireHub } from "./dataset.ts";
import { drawDocuments } from "./documents.ts";
import { findText, type HubDataset, joinRows } from "./hub_text.ts";
import { seededRandom } from "./random.ts";
import { storedWindows } from "./stored_windows.ts";
import type { Tokenizer } from "../tokenizers/tokenizer.ts";

/**
 * Token windows of equal length.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadWindows, type Windows } from "./windows.ts";
 *
 * const text: Windows = await loadWindows(
 *   { windows: "configs/models/tiny-llama/windows.safetensors", tensor: "calibration" },
 *   { split: "calibration", tokenizer: undefined, vocab: 2048, samples: 3, length: 8, seed: 0 },
 * );
 * const last = text.ids.subarray((text.windows - 1) * text.length);
 * assert.equal(last.length, 8);
 * ```
 */
export interface Windows {
  /** Token ids [windows, length]. */
  readonly ids: Int32Array;
  readonly windows: number;
  readonly length: number;
  /** For people: the dataset's name, or its file's. */
  readonly source: string;
  /** What was drawn from what; for the lock file. */
  readonly facts: Facts;
}

/**
 * How windows are made.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { loadWindows, type WindowOptions } from "./windows.ts";
 *
 * const options: WindowOptions = { split: "calibration", tokenizer: undefined, vocab: 2, samples: 1, seed: 0 };
 * const dataset = { windows: "configs/models/tiny-llama/windows.safetensors", tensor: "calibration" };
 * await assert.rejects(loadWindows(dataset, options), { name: "InputError" });
 * ```
 */
export interface WindowOptions extends DatasetAccess {
  /** Not needed for stored ids. */
  readonly tokenizer: Tokenizer | undefined;
  /** Ids must be below this. */
  readonly vocab: number;
  /**
   * Calibration: exactly so many windows, 128 without it, or all of a windows file.
   * Evaluation: at most so many, all there are without it, or the first 256 of C4.
   */
  readonly samples?: number;
  /** Tokens per window. Without it: a windows file's own length; for text 2048, or `maxLength` if that is less. */
  readonly length?: number;
  /** Most tokens the model takes; only for the default of `length`. */
  readonly maxLength?: number;
  /** Of the random draws (calibration on text), 0 to 2^32 − 1. */
  readonly seed: number;
  readonly progress?: (done: number, total: number) => void;
}

/** Calibration on text draws so many windows where the recipe does not say. */
const DEFAULT_SAMPLES = 128;

/** C4 is measured on so many windows. */
const C4_WINDOWS = 256;

/** Windows of text without a length of their own have this many tokens. */
const DEFAULT_LENGTH = 2048;

/**
 * Makes token windows.
 *
 * - Stored ids: the first `samples` windows, or with `shuffle` so many of all by the seed, each cut to its first `length` ids.
 * - Calibration on text: the whole text is tokenized once; windows begin at random tokens. On C4: `drawDocuments`.
 * - Evaluation on text: the whole text is tokenized once and cut into windows one after the other; the tail is dropped.
 *
 * A text is tokenized as the tokenizer does by itself: where it adds bos, one bos stands before the whole text, not
 * before each window. That is the protocol behind the published perplexities.
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { fileURLToPath } from "node:url";
 * const file = new URL("../configs/models/tiny-llama/windows.safetensors", import.meta.url);
 * const { ids, windows, length } = await loadWindows(
 *   { windows: fileURLToPath(file), tensor: "calibration" },
 *   { split: "calibration", tokenizer: undefined, vocab: 2048, samples: 2, length: 16, seed: 0 },
 * );
 * assert.deepEqual([windows, length, ids.length], [2, 16, 32]);
 * ```
 * @throws {InputError} when the dataset is missing, malformed, or too short for what is asked
 */
export async function loadWindows(dataset: Dataset, options: WindowOptions): Promise<Windows> {
  if (typeof dataset === "string") return await hubWindows(dataset, options);
  // Read before it is hashed, so that a change in between is noticed by whoever knows the hash from before.
  const read = "windows" in dataset ? await storedWindows(dataset, options) : await readText(dataset.text);
  const { source, facts } = await describeFile(dataset, options);
  if (typeof read !== "string") {
    const { taken, ...windows } = read;
    return { ...windows, source, facts: { ...facts, ...(taken ? { taken } : {}) } };
  }
  return cut(encoder(source, options)(read), { source, facts }, options);
}

async function hubWindows(name: HubDataset, options: WindowOptions): Promise<Windows> {
  const { split, seed, signal, progress } = options;
  const hub = requireHub(name, options);
  const found = await findText(name, split, hub);
  const description = describeText(name, found, split);
  const encode = encoder(description.source, options);
  const paths: string[] = [];
  for (const { path } of found.files) paths.push(await downloadFile(found.repo, path, hub));
  if (name !== "c4") return cut(encode(await joinRows(name, paths, { split, signal })), description, options);
  if (split === "evaluation") {
    const { samples = C4_WINDOWS } = options;
    return cut(encode(await joinRows(name, paths, { split, signal })), description, { ...options, samples });
  }
  const { windows, length } = windowsOfText(options);
  const { ids, ...drawn } = await drawDocuments(paths[0], { encode, windows, length, seed, signal, progress });
  return { ids, windows, length, source: description.source, facts: { ...description.facts, ...drawn } };
}

/** Line ends are read as Python's text mode does, so that a checkout with CRLF gives the same tokens. */
async function readText(path: string): Promise<string> {
  return (await readTextFile(path, { wanted: "text", label: `${path} as text` })).replaceAll(/\r\n?/g, "\n");
}

function encoder(source: string, { tokenizer, vocab }: WindowOptions): (text: string) => Int32Array {
  if (tokenizer === undefined) {
    throw new InputError(`Cannot tokenize ${source} as the model has no tokenizer; add tokenizer.json to its folder`);
  }
  return (text) => {
    const ids = tokenizer.encode(text);
    const wrong = ids.findIndex((id) => !(id >= 0 && id < vocab));
    if (wrong >= 0) {
      throw new InputError(
        `Cannot use the tokenizer with this model: token ids must be below its vocabulary of ${vocab}: ` +
          `current value is ${ids[wrong]} at token ${wrong} of ${source}`,
      );
    }
    return ids;
  };
}

/** How many windows of what length are made of a text, where it has as many. */
export function windowsOfText(
  options: Pick<WindowOptions, "samples" | "length" | "maxLength">,
): { readonly windows: number; readonly length: number } {
  const { samples = DEFAULT_SAMPLES, maxLength = DEFAULT_LENGTH, length = Math.min(DEFAULT_LENGTH, maxLength) } =
    options;
  return { windows: samples, length };
}

function cut(
  tokens: Int32Array,
  { source, facts }: Pick<Windows, "source" | "facts">,
  options: WindowOptions,
): Windows {
  const { windows: samples, length } = windowsOfText(options);
  const whole = Math.floor(tokens.length / length);
  if (whole === 0) {
    throw new InputError(
      `Cannot cut ${source} into windows of ${length} tokens: it has ${tokens.length}; lower length or use more text`,
    );
  }
  if (options.split === "evaluation") {
    const windows = Math.min(options.samples ?? whole, whole);
    const ids = tokens.slice(0, windows * length);
    return { ids, windows, length, source, facts: { ...facts, tokens: tokens.length } };
  }
  const random = seededRandom(options.seed, "windows");
  const starts = Array.from({ length: samples }, () => random.below(Math.max(1, tokens.length - length)));
  const ids = new Int32Array(samples * length);
  starts.forEach((start, window) => ids.set(tokens.subarray(start, start + length), window * length));
  return { ids, windows: samples, length, source, facts: { ...facts, tokens: tokens.length, starts } };
}
