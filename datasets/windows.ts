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
  /** Further windows of the same text that share no token with these, where any are held out: their ids, as above. */
  readonly heldOut?: { readonly ids: Int32Array; readonly windows: number };
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
  /** Calibration with `samples`: so many further windows are held out. The others are the same with and without. Default: none. */
  readonly heldOut?: number;
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
    const { taken, heldOut, ...windows } = read;
    const behind = heldOut && { heldOut: { ids: heldOut.ids, windows: heldOut.windows } };
    const drawn = heldOut?.taken && { held_out: heldOut.taken };
    return { ...windows, ...behind, source, facts: { ...facts, ...(taken && { taken }), ...drawn } };
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
  const { windows, length } = windowsOfText(options), { heldOut = 0 } = options;
  const wanted = { encode, windows, heldOut, length, seed, signal, progress };
  const { ids, ...drawn } = await drawDocuments(paths[0], wanted);
  return { ...parted(ids, { windows, length }), source: description.source, facts: { ...description.facts, ...drawn } };
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
  const places = Math.max(1, tokens.length - length), { heldOut = 0 } = options;
  const starts = Array.from({ length: samples }, () => random.below(places));
  const apart = heldOut === 0 ? [] : freeStarts(starts, { length, places });
  const free = apart.reduce((sum, [from, to]) => sum + to - from, 0);
  if (heldOut > 0 && free === 0) {
    throw new InputError(
      `Cannot hold out windows of ${source}: its ${tokens.length} tokens have no ${length} in a row that none of the ` +
        `${samples} samples has; lower samples, or use more text, or leave out stages.calibrate.held_out, which is ${heldOut}`,
    );
  }
  const behind = Array.from({ length: heldOut }, () => {
    let at = random.below(free);
    for (const [from, to] of apart) {
      if (at < to - from) return from + at;
      at -= to - from;
    }
    throw new Error("Cannot hold out a window as there is no such place");
  });
  const ids = new Int32Array((samples + heldOut) * length);
  [...starts, ...behind].forEach((start, i) => ids.set(tokens.subarray(start, start + length), i * length));
  const drawn = { tokens: tokens.length, starts, ...(heldOut > 0 && { held_out: behind }) };
  return { ...parted(ids, { windows: samples, length }), source, facts: { ...facts, ...drawn } };
}

/** Spans of starts, without their ends, at which a window shares no token with those that begin at `taken`. */
function freeStarts(
  taken: readonly number[],
  { length, places }: { readonly length: number; readonly places: number },
): [number, number][] {
  const spans: [number, number][] = [];
  let from = 0;
  for (const start of [...taken].sort((a, b) => a - b)) {
    if (start - length + 1 > from) spans.push([from, start - length + 1]);
    from = start + length;
  }
  if (places > from) spans.push([from, places]);
  return spans;
}

/** Windows, and those behind them that are held out. */
function parted(ids: Int32Array, { windows, length }: Pick<Windows, "windows" | "length">) {
  const end = windows * length, behind = ids.slice(end);
  const heldOut = behind.length === 0 ? {} : { heldOut: { ids: behind, windows: behind.length / length } };
  return { ids: ids.slice(0, end), windows, length, ...heldOut };
}
