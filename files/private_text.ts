/** Text that is to be shared, looked through for what is nobody else's business: tokens, keys, absolute paths, names of the machine. */

/** What must not be shared. */
export interface Private {
  /** Tokens that are known. */
  readonly tokens?: readonly string[];
  /** Absolute paths of folders. */
  readonly folders?: readonly string[];
  /** Names of people and machines, told as whole words. */
  readonly names?: readonly string[];
  /** Whether other absolute paths are told too; not for vocabularies, which have them among their words. */
  readonly paths?: boolean;
}

/** Where a text tells something. */
export interface Told {
  /** Counted from 1. */
  readonly line: number;
  readonly what: "a token" | "a private key" | "an absolute path" | "a name of this machine or its user";
}

/** Tokens of the hub and of others that such files have been seen with, and heads of keys. */
const TOKEN = /\b(hf_[A-Za-z0-9]{20,}|gh[pousr]_[A-Za-z0-9]{30,}|AKIA[A-Z0-9]{16}|sk-[A-Za-z0-9_-]{30,})\b/;
const KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;
/** Two names at least: a single one after a slash is a word as often as a folder. */
const PATH = /(?:^|[\s"'`(=,>])(?:\/(?!\/)[\w.@~+-]+\/[\w.@~+-]+|[A-Za-z]:\\\\?[\w.-]+|~\/[\w.-]+)|\bfile:\/\/\//;

/**
 * The first place in a text that tells something private.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const all = { tokens: ["secret-1"], folders: ["/data/me"], names: ["ann"], paths: true };
 * assert.deepEqual(findPrivateText("a: 1\nb: /home/ann/x", all), { line: 2, what: "an absolute path" });
 * assert.deepEqual(findPrivateText("x secret-1", all), { line: 1, what: "a token" });
 * assert.deepEqual(findPrivateText("by Ann.", all)?.what, "a name of this machine or its user");
 * assert.equal(findPrivateText("see https://huggingface.co/a/b, annual, 4/8, ../../tiny, </p>", all), undefined);
 * assert.equal(findPrivateText("/usr/bin", { folders: ["/data/me"] }), undefined);
 * ```
 */
export function findPrivateText(
  text: string,
  { tokens = [], folders = [], names = [], paths = false }: Private,
): Told | undefined {
  const plain = (words: readonly string[]) =>
    words.filter((each) => each.length > 1).map((each) => RegExp.escape(each));
  const rules: readonly (readonly [RegExp, Told["what"]])[] = [
    ...[TOKEN, ...plain(tokens).map((each) => new RegExp(each))].map((rule) => [rule, "a token"] as const),
    [KEY, "a private key"],
    ...plain(folders).map((each) => [new RegExp(`${each}(?![\\w.-])`), "an absolute path"] as const),
    ...(paths ? [[PATH, "an absolute path"] as const] : []),
    ...plain(names).map((each) =>
      [new RegExp(`(?<![\\p{L}\\p{N}])${each}(?![\\p{L}\\p{N}])`, "iu"), "a name of this machine or its user"] as const
    ),
  ];
  for (const [index, line] of text.split("\n").entries()) {
    const found = rules.find(([rule]) => rule.test(line));
    if (found !== undefined) return { line: index + 1, what: found[1] };
  }
  return undefined;
}
