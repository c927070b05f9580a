/**
 * Windows that hold more than one text: runs of tokens that each see one run before them, or nothing, and themselves.
 *
 * The endings of one beginning stand behind it, each as if it alone followed; texts that have nothing to do with each other stand in one
 * window without seeing each other. Attention over such trees is what speculative decoding verifies its guesses with (Miao et al.
 * 2305.09781); here no token is computed twice, and none is computed for padding but at a window's end.
 */

/** A run of tokens of one window. */
export interface Segment {
  readonly window: number;
  /** Tokens [start, end) of the window. */
  readonly start: number;
  readonly end: number;
  /** Tokens [start, end) that come before it, one segment of the window that sees none itself; none where the text begins. */
  readonly after?: { readonly start: number; readonly end: number };
}

/** Added to the score of a key that a query does not see: exp of it is 0 in float32, and no sum overflows. */
const UNSEEN = -1e30;

/**
 * Positions of tokens, counted from where their text begins; 0 for those of no segment, with which windows are filled up.
 *
 * @returns windows × length
 * @throws {RangeError} segments that are not of these windows, overlap, or follow what is not there
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { segmentPositions } from "./segments.ts";
 *
 * const after = { start: 0, end: 2 };
 * const segments = [{ window: 0, start: 0, end: 2 }, { window: 0, start: 2, end: 4, after }, { window: 0, start: 4, end: 5, after }];
 * assert.deepEqual([...segmentPositions(segments, { windows: 1, length: 6 })], [0, 1, 2, 3, 2, 0]);
 * ```
 */
export function segmentPositions(
  segments: readonly Segment[],
  { windows, length }: { readonly windows: number; readonly length: number },
): Int32Array {
  const positions = new Int32Array(windows * length);
  check(segments, { windows, length });
  for (const { window, start, end, after } of segments) {
    const first = after === undefined ? 0 : after.end - after.start;
    for (let i = start; i < end; i++) positions[window * length + i] = first + i - start;
  }
  return positions;
}

/**
 * What is added to attention's scores, so that each token sees its segment up to itself and what the segment follows.
 *
 * @returns windows × length × length, queries by keys
 * @throws {RangeError} as `segmentPositions`
 */
export function segmentBias(
  segments: readonly Segment[],
  { windows, length }: { readonly windows: number; readonly length: number },
): Float32Array {
  const bias = new Float32Array(windows * length * length).fill(UNSEEN);
  const rests = check(segments, { windows, length });
  for (const { window, start, end, after } of [...segments, ...rests]) {
    for (let query = start; query < end; query++) {
      const row = (window * length + query) * length;
      if (after !== undefined) bias.fill(0, row + after.start, row + after.end);
      bias.fill(0, row + start, row + query + 1);
    }
  }
  return bias;
}

/** What is left of each window, which sees itself, as there is no softmax over nothing. @throws {RangeError} */
function check(
  segments: readonly Segment[],
  { windows, length }: { readonly windows: number; readonly length: number },
): Segment[] {
  const rests: Segment[] = [];
  const byWindow = Map.groupBy(segments, ({ window }) => window);
  for (const window of byWindow.keys()) {
    if (!Number.isInteger(window) || window < 0 || window >= windows) {
      throw new RangeError(`Cannot place segments as windows are from 0 to ${windows - 1}: current value is ${window}`);
    }
  }
  for (let window = 0; window < windows; window++) {
    const of = (byWindow.get(window) ?? []).toSorted((a, b) => a.start - b.start), roots = new Map<number, number>();
    let filled = 0;
    for (const { start, end, after } of of) {
      const known = after === undefined || roots.get(after.start) === after.end;
      if (start !== filled || end <= start || end > length || !known) {
        throw new RangeError(
          `Cannot place segments as those of window ${window} must follow one another, and those that they are after: found [${start}, ${end})` +
            (after === undefined ? "" : ` after [${after.start}, ${after.end})`),
        );
      }
      if (after === undefined) roots.set(start, end);
      filled = end;
    }
    if (filled < length) rests.push({ window, start: filled, end: length });
  }
  return rests;
}
