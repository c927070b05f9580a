/**
 * What can be told of a dataset before anything else is done, so that nobody waits for hours to learn that a file is missing: the
 * windows that a small file holds are read, of a large one its header only; a text that may be too short is tokenized.
 *
 * Nothing is said of the datasets of the hub, which may not have been downloaded.
 */
import { sizeOfFile } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import type { Dataset } from "./dataset.ts";
import { measureStoredWindows } from "./stored_windows.ts";
import { loadWindows, type WindowOptions, windowsOfText } from "./windows.ts";

/** Files up to so many bytes are read. */
const READ_AT_ONCE = 64 * 2 ** 20;

/** A text with more bytes a token than this is long enough, whatever the tokenizer. */
const LONG_TOKEN = 16;

/** Token ids that are drawn, whose windows are held in memory. */
const MOST_TOKENS = 2 ** 30;

/** What is known of windows that have not been made. */
export interface FoundWindows {
  /** Tokens in each, where the dataset decides. */
  readonly length?: number;
}

/**
 * Checks that windows can be made of a dataset, as far as that is told by a look.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { checkDataset } from "./check_dataset.ts";
 *
 * const options = { split: "calibration", tokenizer: undefined, vocab: 2048, seed: 0 } as const;
 * const dataset = { windows: "configs/models/tiny-llama/windows.safetensors", tensor: "calibration" };
 * assert.deepEqual(await checkDataset(dataset, options), { length: 256 });
 * await assert.rejects(checkDataset({ ...dataset, tensor: "other" }, options), /it holds .*calibration \(I32/);
 * ```
 * @param options as windows will be made
 * @throws {InputError} what `loadWindows` would throw, hours later
 */
export async function checkDataset(dataset: Dataset, options: WindowOptions): Promise<FoundWindows> {
  if (typeof dataset !== "string" && "windows" in dataset) {
    const small = await sizeOfFile(dataset.windows) <= READ_AT_ONCE;
    const { length } = await (small ? loadWindows(dataset, options) : measureStoredWindows(dataset, options));
    return { length };
  }
  const { split, tokenizer, vocab } = options, { windows, length } = windowsOfText(options);
  const all = windows + (options.heldOut ?? 0);
  if (split === "calibration" && all * length > MOST_TOKENS) {
    throw new InputError(
      `Cannot draw ${all} windows of ${length} tokens: together they must have at most ${MOST_TOKENS} tokens: ` +
        `current value is ${all * length}; lower samples or length`,
    );
  }
  if (typeof dataset === "string") return {};
  const bytes = await sizeOfFile(dataset.text);
  // What is held out shares no token with the samples.
  const enough = all > windows ? 2 * windows * length + length : length;
  const doubtful = bytes <= LONG_TOKEN * enough || (tokenizer !== undefined && tokenizer.size > vocab);
  if (doubtful && bytes <= READ_AT_ONCE) await loadWindows(dataset, options);
  return {};
}
