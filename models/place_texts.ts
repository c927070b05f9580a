/**
 * Places texts in windows: what several texts begin with stands there once and their endings behind it (`segments.ts`), and windows take
 * as many such groups as fit, so that little is computed twice and little for nothing.
 */
import type { Segment } from "./segments.ts";

/** Where a text's tokens are. */
export interface Place {
  readonly window: number;
  /** Its first `shared` tokens stand from `begins` on, the others from `ends` on. */
  readonly shared: number;
  readonly begins: number;
  readonly ends: number;
}

/** Windows full of texts. */
export interface PlacedTexts {
  /** windows × length; 0 where no text is */
  readonly ids: Int32Array;
  readonly windows: number;
  readonly length: number;
  readonly segments: readonly Segment[];
  /** Of each text of each group. */
  readonly places: readonly (readonly Place[])[];
  /** Tokens that stand there; all texts together have `tokens`. */
  readonly placed: number;
  readonly tokens: number;
}

/** Texts of one group that stand in one window. */
interface Bundle {
  readonly group: number;
  readonly texts: readonly number[];
  readonly shared: number;
  readonly size: number;
}

/**
 * Places groups of texts, of which those of one group may begin alike.
 *
 * Bundles go, the longest first, to the first window with room for them (first fit decreasing: Johnson et al. 1974); of equals the earlier.
 *
 * @param groups token ids of each text of each group, none empty
 * @param length tokens of a window
 * @throws {RangeError} a text is empty, or longer than a window
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { placeTexts } from "./place_texts.ts";
 *
 * const group = [Int32Array.of(5, 6, 7), Int32Array.of(5, 6, 8, 9)];
 * const { ids, windows, segments, places, placed, tokens } = placeTexts([group], 6);
 * assert.deepEqual([[...ids], windows, placed, tokens], [[5, 6, 7, 8, 9, 0], 1, 5, 7]);
 * assert.deepEqual(segments[2], { window: 0, start: 3, end: 5, after: { start: 0, end: 2 } });
 * assert.deepEqual(places[0][1], { window: 0, shared: 2, begins: 0, ends: 3 });
 * ```
 */
export function placeTexts(groups: readonly (readonly Int32Array[])[], length: number): PlacedTexts {
  const bundles = groups.flatMap((texts, group) => bundle(texts, length).map((each) => ({ group, ...each })));
  const windows: { used: number; readonly bundles: Bundle[] }[] = [];
  // All windows before this one are full.
  let open = 0;
  for (const each of bundles.toSorted((a, b) => b.size - a.size)) {
    let window = open;
    while (window < windows.length && windows[window].used + each.size > length) window++;
    if (window === windows.length) windows.push({ used: 0, bundles: [] });
    windows[window].used += each.size;
    windows[window].bundles.push(each);
    while (open < windows.length && windows[open].used === length) open++;
  }

  const ids = new Int32Array(windows.length * length), segments: Segment[] = [];
  const places = groups.map((texts): Place[] => new Array(texts.length));
  let placed = 0;
  for (const [window, { bundles }] of windows.entries()) {
    let at = 0;
    const put = (tokens: Int32Array, after?: Segment["after"]) => {
      if (tokens.length === 0) return;
      ids.set(tokens, window * length + at);
      segments.push({ window, start: at, end: at + tokens.length, ...(after === undefined ? {} : { after }) });
      at += tokens.length;
    };
    for (const { group, texts, shared } of bundles) {
      const begins = at;
      put(groups[group][texts[0]].subarray(0, shared));
      const after = shared === 0 ? undefined : { start: begins, end: at };
      for (const text of texts) {
        places[group][text] = { window, shared, begins, ends: at };
        put(groups[group][text].subarray(shared), after);
      }
    }
    placed += at;
  }
  const tokens = groups.flat().reduce((sum, text) => sum + text.length, 0);
  return { ids, windows: windows.length, length, segments, places, placed, tokens };
}

/** Where token `index` of a text stands, counted over all windows. */
export function placeOf({ window, shared, begins, ends }: Place, index: number, length: number): number {
  return window * length + (index < shared ? begins + index : ends + index - shared);
}

/** Texts of a group together where they fit one window, and else as few parts of it as come of taking them in order. */
function bundle(texts: readonly Int32Array[], length: number): Omit<Bundle, "group">[] {
  const bundles: Omit<Bundle, "group">[] = [];
  let taken: number[] = [], shared = 0, size = 0;
  for (const [index, text] of texts.entries()) {
    if (text.length === 0 || text.length > length) {
      throw new RangeError(`Cannot place a text of ${text.length} tokens: it must have 1 to ${length}`);
    }
    const common = taken.length === 0 ? text.length : Math.min(shared, commonBeginning(texts[taken[0]], text));
    const all = common + [...taken, index].reduce((sum, each) => sum + texts[each].length - common, 0);
    if (taken.length > 0 && all > length) {
      bundles.push({ texts: taken, shared, size });
      [taken, shared, size] = [[index], text.length, text.length];
    } else [taken, shared, size] = [[...taken, index], common, all];
  }
  if (taken.length > 0) bundles.push({ texts: taken, shared, size });
  return bundles;
}

function commonBeginning(a: Int32Array, b: Int32Array): number {
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i++) if (a[i] !== b[i]) return i;
  return end;
}
