/** "Did you mean": the nearest word, by Damerau–Levenshtein distance. */
import { readdir } from "node:fs/promises";
import { basename, dirname, extname } from "node:path";

/**
 * The word of a list that `wrong` is most likely meant to be.
 *
 * @returns undefined where none is near: more than a third of the letters (but at least one, two from four letters on)
 *   would have to change
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(nearest("iteratons", ["iterations", "resign"]), "iterations");
 * assert.equal(nearest("colour", ["iterations", "resign"]), undefined);
 * ```
 */
export function nearest(wrong: string, words: readonly string[]): string | undefined {
  const simple = (word: string) => word.toLowerCase().replaceAll(/[-_ ]/g, "");
  let best: string | undefined;
  let least = Infinity;
  for (const word of words) {
    // Each letter that one has more costs a step.
    if (Math.abs(word.length - wrong.length) > allowance(wrong, word) && simple(word).length !== simple(wrong).length) {
      continue;
    }
    const steps = simple(word) === simple(wrong) ? 0 : distance(wrong, word);
    if (steps < least && steps <= allowance(wrong, word)) [best, least] = [word, steps];
  }
  return best;
}

/**
 * Letters to insert, delete, replace or swap with their neighbour, to turn one word into another (optimal string
 * alignment; Damerau 1964).
 */
export function distance(from: string, to: string): number {
  const [a, b] = [[...from], [...to]];
  // rows[i][j] = distance of the first i letters of a from the first j of b
  const rows = Array.from({ length: a.length + 1 }, (_, i) => Array.from({ length: b.length + 1 }, (_, j) => i || j));
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      rows[i][j] = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        rows[i][j] = Math.min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.length][b.length];
}

/** A file beside the one that is missing, of the same kind, whose name is near. */
export async function listSimilar(file: string): Promise<string | undefined> {
  const names = await readdir(dirname(file)).catch(() => []);
  return nearest(basename(file), names.filter((name) => [".yaml", ".yml"].includes(extname(name))));
}

function allowance(wrong: string, word: string): number {
  const length = Math.max(wrong.length, word.length);
  if (length < 3) return 1;
  return Math.max(length < 4 ? 1 : 2, Math.floor(length / 3));
}
