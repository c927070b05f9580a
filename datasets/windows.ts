/** Token windows for calibration and evaluation, from stored ids, text files, or the hub's datasets. */
import { basename } from "node:path";
import { readFile } from "node:fs/promises";
import { openFile } from "../checkpoints/byte_source.ts";
import { type FileHashes, hashFile, inMemoryHashes } from "../checkpoints/file_hashes.ts";
import { InputError } from "../checkpoints/input_error.ts";
import { parseHeader, readTensor } from "../checkpoints/safetensors.ts";
import { seededRandom } from "./random.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A recipe's dataset; paths are absolute. */
export type Dataset =
  | "wikitext2"
  | "ptb"
  | "c4"
  | { readonly text: string }
  | { readonly windows: string; readonly tensor: string };

/** Facts, as JSON can say them. */
export interface Facts {
  readonly [name: string]: string | number | readonly (string | number)[] | Facts;
}

/** What the windows are for: random ones to calibrate with, or all in order to measure perplexity on. */
export type Split = "calibration" | "evaluation";

/** Token windows of equal length. */
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

/** What a dataset is, as far as it can be told without loading it. */
export interface DatasetDescription {
  /** For people: the dataset's name, or its file's. */
  readonly source: string;
  /** Decides the content of the windows, together with tokenizer, samples, length and seed; for content keys. */
  readonly identity: Facts;
  /** Where it comes from; for the lock file. */
  readonly facts: Facts;
}

/** How datasets are reached. */
export interface DatasetAccess {
  readonly split: Split;
  /** Memo of the content hashes of local files. */
  readonly hashes?: FileHashes;
  readonly signal?: AbortSignal;
}

/** How windows are made. */
export interface WindowOptions extends DatasetAccess {
  /** Not needed for stored ids. */
  readonly tokenizer: Tokenizer | undefined;
  /** Ids must be below this. */
  readonly vocab: number;
  /** Calibration: exactly so many windows. Evaluation: at most so many; all there are without it. */
  readonly samples?: number;
  /** Tokens per window. Without it: a windows file's own length; for text 2048, or `maxLength` if that is less. */
  readonly length?: number;
  /** Most tokens the model takes; only for the default of `length`. */
  readonly maxLength?: number;
  /** Of the random draws (calibration on text), 0 to 2^32 − 1. */
  readonly seed: number;
}

/** Raised whenever the same dataset, tokenizer and options would give other windows. */
const PROTOCOL = 1;

/** Windows of text without a length of their own have this many tokens. */
const DEFAULT_LENGTH = 2048;

/**
 * What a dataset is: hashes of its files, and the protocol by which windows are made of them.
 *
 * @throws {InputError} when it cannot be found or read
 */
export async function describeDataset(dataset: Dataset, access: DatasetAccess): Promise<DatasetDescription> {
  const { hashes = inMemoryHashes(), split } = access;
  if (typeof dataset === "string") throw new InputError(`Cannot describe dataset "${dataset}": hub`);
  if ("windows" in dataset) {
    const sha256 = await hashFile(dataset.windows, hashes);
    return {
      source: `${basename(dataset.windows)} ${dataset.tensor}`,
      identity: { kind: "windows", sha256, tensor: dataset.tensor, protocol: PROTOCOL },
      facts: { file: basename(dataset.windows), sha256, tensor: dataset.tensor },
    };
  }
  const sha256 = await hashFile(dataset.text, hashes);
  return {
    source: basename(dataset.text),
    identity: { kind: "text", sha256, split, protocol: PROTOCOL },
    facts: { file: basename(dataset.text), sha256 },
  };
}

/**
 * Makes token windows.
 *
 * - Stored ids: the first `samples` windows, each cut to its first `length` ids.
 * - Calibration on text: the whole text is tokenized once; windows begin at random tokens.
 * - Evaluation on text: the whole text is tokenized once and cut into windows one after the other; the tail is dropped.
 *
 * A text is tokenized as the tokenizer does by itself: where it adds bos, one bos stands before the whole text, not
 * before each window. That is the protocol behind the published perplexities.
 * @throws {InputError} when the dataset is missing, malformed, or too short for what is asked
 */
export async function loadWindows(dataset: Dataset, options: WindowOptions): Promise<Windows> {
  const { source, facts } = await describeDataset(dataset, options);
  if (typeof dataset !== "string" && "windows" in dataset) {
    return { ...await storedWindows(dataset, options), source, facts };
  }
  if (typeof dataset === "string") throw new InputError(`Cannot load dataset "${dataset}": hub`);
  const ids = encode(await readText(dataset.text), source, options);
  return { ...cut(ids, source, options, facts), source };
}

async function storedWindows(
  { windows: path, tensor: name }: { readonly windows: string; readonly tensor: string },
  options: WindowOptions,
): Promise<Pick<Windows, "ids" | "windows" | "length">> {
  const file = await openFile(path);
  try {
    const header = await parseHeader(file);
    const { dtype, shape, data } = await readTensor(file, header, name);
    const label = `tensor "${name}" of ${file.label}`;
    if (shape.length !== 2 || shape[0] < 1 || shape[1] < 2 || (dtype !== "I32" && dtype !== "I64")) {
      throw new InputError(
        `Cannot use ${label} as token windows: it must be I32 or I64 [windows, length ≥ 2]: ` +
          `current value is ${dtype} [${shape.join(", ")}]`,
      );
    }
    const [stored, width] = shape;
    const { length = width, samples = stored } = options;
    const windows = options.split === "calibration" ? samples : Math.min(samples, stored);
    if (length > width) {
      throw new InputError(
        `Cannot use ${label}: its windows hold ${width} tokens: length is ${length}; lower it to ${width} or less`,
      );
    }
    if (windows > stored) {
      throw new InputError(
        `Cannot use ${label}: it holds ${stored} windows: samples is ${windows}; lower it to ${stored} or less`,
      );
    }
    const ids = new Int32Array(windows * length);
    for (let window = 0; window < windows; window++) {
      for (let at = 0; at < length; at++) {
        const id = Number(data[window * width + at]);
        if (!(id >= 0 && id < options.vocab)) {
          throw new InputError(
            `Cannot use ${label}: token ids must be below the model's vocabulary of ${options.vocab}: ` +
              `current value is ${id} at [${window}, ${at}]; the windows were made for another tokenizer`,
          );
        }
        ids[window * length + at] = id;
      }
    }
    return { ids, windows, length };
  } finally {
    await file.close();
  }
}

/** Line ends are read as Python's text mode does, so that a checkout with CRLF gives the same tokens. */
async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(path)).replaceAll(/\r\n?/g, "\n");
  } catch (cause) {
    const why = cause instanceof TypeError ? "it is not UTF-8" : cause instanceof Error ? cause.message : String(cause);
    throw new InputError(`Cannot read ${path} as text: ${why}`, { cause });
  }
}

function encode(text: string, source: string, { tokenizer, vocab }: WindowOptions): Int32Array {
  if (tokenizer === undefined) {
    throw new InputError(`Cannot tokenize ${source} as the model has no tokenizer; add tokenizer.json to its folder`);
  }
  const ids = tokenizer.encode(text);
  const wrong = ids.findIndex((id) => !(id >= 0 && id < vocab));
  if (wrong >= 0) {
    throw new InputError(
      `Cannot use the tokenizer with this model: token ids must be below its vocabulary of ${vocab}: ` +
        `current value is ${ids[wrong]} at token ${wrong} of ${source}`,
    );
  }
  return ids;
}

function cut(
  tokens: Int32Array,
  source: string,
  { split, samples, maxLength = DEFAULT_LENGTH, length = Math.min(DEFAULT_LENGTH, maxLength), seed }: WindowOptions,
  facts: Facts,
): Omit<Windows, "source"> {
  const whole = Math.floor(tokens.length / length);
  if (whole === 0) {
    throw new InputError(
      `Cannot cut ${source} into windows of ${length} tokens: it has ${tokens.length}; lower length or use more text`,
    );
  }
  if (split === "evaluation") {
    const windows = Math.min(samples ?? whole, whole);
    return { ids: tokens.slice(0, windows * length), windows, length, facts: { ...facts, tokens: tokens.length } };
  }
  const windows = samples ?? whole;
  const random = seededRandom(seed, "windows");
  const starts = Array.from({ length: windows }, () => random.below(Math.max(1, tokens.length - length)));
  const ids = new Int32Array(windows * length);
  starts.forEach((start, window) => ids.set(tokens.subarray(start, start + length), window * length));
  return { ids, windows, length, facts: { ...facts, tokens: tokens.length, starts } };
}
