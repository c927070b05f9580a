/**
 * Token windows that a safetensors file holds: a tensor of ids [windows, length], of which the first are taken, or some that a seed draws,
 * each cut short.
 */
import { openFile } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import { type Header, parseHeader, readTensor } from "../files/safetensors.ts";
import type { Split } from "./hub_text.ts";
import { seededRandom } from "./random.ts";

/** Where they are. */
export interface StoredWindows {
  /** Path of the file. */
  readonly windows: string;
  readonly tensor: string;
  /** Windows at the front that are passed over. */
  readonly skip?: number;
  /** Whether windows are drawn by the seed, in the order in which they are stored. */
  readonly shuffle?: boolean;
}

/** What is asked of them. */
export interface StoredWindowsOptions {
  readonly split: Split;
  /** Calibration: exactly so many; evaluation: at most so many. Default: all. */
  readonly samples?: number;
  /** Calibration with `samples`: so many more, none of which is of these. Default: none. */
  readonly heldOut?: number;
  /** Tokens of each; default: all that are stored. */
  readonly length?: number;
  /** Ids must be below this. */
  readonly vocab: number;
  /** Of `shuffle`. */
  readonly seed?: number;
}

/** What is taken of the tensor. */
interface Taken {
  readonly windows: number;
  readonly heldOut: number;
  readonly length: number;
  /** Windows and tokens of each, as they are stored. */
  readonly stored: number;
  readonly width: number;
}

/**
 * How many windows of what length will be taken, by the file's header alone.
 *
 * @throws {InputError} when there is no such tensor, or it holds less than is asked for
 */
export async function measureStoredWindows(
  { windows: path, tensor, skip }: StoredWindows,
  options: StoredWindowsOptions,
): Promise<{ readonly windows: number; readonly length: number }> {
  const file = await openFile(path);
  try {
    const { windows, length } = measure(await parseHeader(file), { tensor, skip, label: file.label }, options);
    return { windows, length };
  } finally {
    file.close();
  }
}

/**
 * Reads windows.
 *
 * @returns ids [windows, length]
 * @throws {InputError} as `measureStoredWindows`, and where an id is none of the model's
 */
export async function storedWindows(
  { windows: path, tensor, skip = 0, shuffle = false }: StoredWindows,
  options: StoredWindowsOptions,
): Promise<
  {
    readonly ids: Int32Array;
    readonly windows: number;
    readonly length: number;
    /** Which were drawn, with `shuffle`. */
    readonly taken?: readonly number[];
    /** The windows that are held out, where any are. */
    readonly heldOut?: { readonly ids: Int32Array; readonly windows: number; readonly taken?: readonly number[] };
  }
> {
  const file = await openFile(path);
  try {
    const header = await parseHeader(file);
    const { windows, heldOut, length, stored, width } = measure(header, { tensor, skip, label: file.label }, options);
    const all = windows + heldOut, drawn = shuffle ? draw(stored, all, options.seed ?? 0) : undefined;
    const ascending = (from: number, to: number) =>
      drawn && { taken: drawn.slice(from, to).map((window) => skip + window).sort((a, b) => a - b) };
    const taken = ascending(0, windows), behind = ascending(windows, all);
    const { data } = await readTensor(file, header, tensor);
    const ids = new Int32Array(all * length);
    for (let place = 0; place < all; place++) {
      const window = taken?.taken[place] ?? behind?.taken[place - windows] ?? skip + place;
      for (let at = 0; at < length; at++) {
        const id = Number(data[window * width + at]);
        if (!(id >= 0 && id < options.vocab)) {
          throw new InputError(
            `Cannot use ${labelOf(tensor, file.label)}: token ids must be from 0 to ${options.vocab - 1}, below the ` +
              `model's vocabulary of ${options.vocab}: current value is ${id} at [${window}, ${at}]; the windows were ` +
              "made for another tokenizer",
          );
        }
        ids[place * length + at] = id;
      }
    }
    const others = { ids: ids.slice(windows * length), windows: heldOut, ...behind };
    return { ids: ids.slice(0, windows * length), windows, length, ...taken, ...(heldOut > 0 && { heldOut: others }) };
  } finally {
    file.close();
  }
}

function measure(
  header: Header,
  { tensor, skip = 0, label: file }: Pick<StoredWindows, "tensor" | "skip"> & { readonly label: string },
  { split, samples, heldOut = 0, length }: StoredWindowsOptions,
): Taken {
  const entry = header.tensors.get(tensor), label = labelOf(tensor, file);
  if (entry === undefined) {
    throw new InputError(`Cannot read ${label}: the file has no such tensor; ${namesOf(header)}`);
  }
  const { dtype, shape } = entry;
  if (shape.length !== 2 || shape[0] < 1 || shape[1] < 2 || (dtype !== "I32" && dtype !== "I64")) {
    throw new InputError(
      `Cannot use ${label} as token windows: it must be I32 or I64 [windows, length ≥ 2]: ` +
        `current value is ${dtype} [${shape.join(", ")}]; ${namesOf(header)}`,
    );
  }
  if (skip >= shape[0]) {
    throw new InputError(`Cannot skip ${skip} windows of ${label}: it holds ${shape[0]}; lower skip below that`);
  }
  const stored = shape[0] - skip,
    width = shape[1],
    held = `it holds ${stored} windows${skip > 0 ? " behind those that are skipped" : ""}`;
  const wanted = { windows: samples ?? stored, length: length ?? width };
  if (wanted.length > width) {
    throw new InputError(
      `Cannot use ${label}: its windows hold ${width} tokens: length is ${wanted.length}; lower it to ${width} or less`,
    );
  }
  if (split === "calibration" && wanted.windows > stored) {
    throw new InputError(
      `Cannot use ${label}: ${held}: samples is ${wanted.windows}; lower it to ${stored} or less`,
    );
  }
  if (heldOut > 0 && wanted.windows + heldOut > stored) {
    throw new InputError(
      `Cannot hold out windows of ${label}: ${held}, of which samples takes ${wanted.windows}: ` +
        `stages.calibrate.held_out is ${heldOut}; lower it or samples, together to ${stored} or less`,
    );
  }
  return { windows: Math.min(wanted.windows, stored), heldOut, length: wanted.length, stored, width };
}

/** Some of the first `stored` numbers; of more of them these are the first. Ascending, all of them are what no seed would give. */
function draw(stored: number, wanted: number, seed: number): number[] {
  const random = seededRandom(seed, "stored windows"), all = Array.from({ length: stored }, (_, i) => i);
  for (let i = 0; i < wanted; i++) {
    const other = i + random.below(stored - i);
    [all[i], all[other]] = [all[other], all[i]];
  }
  return all.slice(0, wanted);
}

function labelOf(tensor: string, file: string): string {
  return `tensor "${tensor}" of ${file}`;
}

/** What the file holds instead. */
function namesOf({ tensors }: Header): string {
  if (tensors.size === 0) return "it holds none";
  const some = [...tensors].slice(0, 8).map(([name, { dtype, shape }]) => `${name} (${dtype} [${shape.join(", ")}])`);
  return `it holds ${some.join(", ")}${tensors.size > some.length ? ", …" : ""}`;
}
