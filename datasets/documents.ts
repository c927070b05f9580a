/**
 * The C4 protocol of calibration: draw documents at random until one has more than `length` tokens, and take one
 * random window of it; repeat.
 *
 * As in GPTQ and all that follow it, documents are drawn from the whole first shard, with replacement. The shard is
 * compressed, so a document can only be reached by reading all before it; documents are therefore drawn many at a time
 * and fetched in one pass. Neither the number drawn at a time nor the order of fetching changes what is chosen.
 */
import { InputError } from "../files/input_error.ts";
import { countDocuments, pickDocuments } from "./hub_text.ts";
import { seededRandom } from "./random.ts";

/** What was drawn. */
export interface DrawnDocuments {
  /** Token ids [windows, length]. */
  readonly ids: Int32Array;
  /** Number of documents in the shard. */
  readonly documents: number;
  /** Place in the shard of the document of each window. */
  readonly picked: readonly number[];
  /** First token of each window in its document. */
  readonly starts: readonly number[];
}

/** What to draw. */
export interface DrawOptions {
  readonly encode: (text: string) => Int32Array;
  readonly windows: number;
  /** So many more, behind these and from none of their documents. Default: none. */
  readonly heldOut?: number;
  /** Tokens per window. */
  readonly length: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
  readonly progress?: (done: number, total: number) => void;
}

/** Documents fetched in one pass, about 2 kB each. Of C4's, one in forty has more than 2048 tokens. */
const DRAWS_PER_PASS = 8192;

/**
 * Draws windows from a compressed shard of documents.
 *
 * @param path the shard: JSON lines, gzip
 * @throws {InputError} when documents are too short for windows of this length, or the file is damaged
 */
export async function drawDocuments(path: string, options: DrawOptions): Promise<DrawnDocuments> {
  const { encode, windows: samples, heldOut = 0, length, seed, signal, progress } = options;
  const windows = samples + heldOut;
  const documents = await countDocuments(path, signal);
  if (documents === 0) throw new InputError(`Cannot draw from ${path}: it holds no documents`);
  const places = seededRandom(seed, "documents");
  const offsets = seededRandom(seed, "windows");
  const ids = new Int32Array(windows * length);
  const picked: number[] = [], sampled = new Set<number>();
  const starts: number[] = [];
  while (picked.length < windows) {
    const before = picked.length;
    const drawn = Array.from({ length: DRAWS_PER_PASS }, () => places.below(documents));
    const texts = await pickDocuments(path, new Set(drawn), signal);
    for (const place of drawn) {
      signal?.throwIfAborted();
      // A document that the samples are from says nothing of others.
      if (picked.length >= samples && sampled.has(place)) continue;
      const tokens = encode(texts.get(place) ?? "");
      if (tokens.length <= length) continue;
      const start = offsets.below(tokens.length - length);
      ids.set(tokens.subarray(start, start + length), picked.length * length);
      picked.push(place);
      if (picked.length <= samples) sampled.add(place);
      starts.push(start);
      progress?.(picked.length, windows);
      if (picked.length === windows) break;
    }
    if (picked.length === before) {
      throw new InputError(
        `Cannot draw windows of ${length} tokens from ${path}: of ${DRAWS_PER_PASS} documents drawn none is longer` +
          `${picked.length >= samples ? ", but those that samples takes" : ""}; lower length`,
      );
    }
  }
  return { ids, documents, picked, starts };
}
