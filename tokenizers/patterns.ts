/**
 * Regular expressions of tokenizer.json, which are Oniguruma's, as JavaScript's. Only syntax that is known to mean the
 * same is taken; classes are spelled out by Unicode properties, which agree on every character.
 */
import { shown } from "../files/clear_text.ts";
import { inexact, type Part } from "./parts.ts";

/** Unicode's White_Space: JavaScript's `\s` adds U+FEFF and lacks U+0085. */
export const SPACE = "\\p{White_Space}";
/** Oniguruma's `\w` inside of brackets. */
const WORD_IN_SET = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
/** And outside, where it takes Latin-1's digits and fractions too. */
const WORD = `${WORD_IN_SET}²³¹¼-¾`;

/** What stands inside of brackets for a class, and what for its opposite. */
const CLASSES: Readonly<Record<string, string>> = {
  s: SPACE,
  S: `[^${SPACE}]`,
  d: "\\p{Nd}",
  D: "\\P{Nd}",
  w: WORD_IN_SET,
  W: `[^${WORD_IN_SET}]`,
  h: "0-9a-fA-F",
  H: "[^0-9a-fA-F]",
};
const CONTROLS: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", f: "\f", v: "\v" };
const ANCHORS: Readonly<Record<string, string>> = {
  A: "^",
  z: "$",
  Z: "(?=\\n?$)",
  b: `(?:(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}]))`,
  B: `(?:(?<=[${WORD}])(?=[${WORD}])|(?<![${WORD}])(?![${WORD}]))`,
};
const GENERAL = /^(?:L[utlmo]?|M[nce]?|N[dlo]?|P[cdseifo]?|S[mcko]?|Z[slp]?|C[cf])$/;
const SCRIPTS = ["Han", "Hiragana", "Katakana", "Hangul", "Latin", "Cyrillic", "Greek", "Arabic", "Hebrew", "Thai"];
const GROUPS = ["(?:", "(?=", "(?!", "(?<=", "(?<!"];

/** The inside of `(?i:…)` that both engines fold alike: ASCII, and no letters that stand for a ligature or "ß". */
const FOLDED_ALIKE = /^(?:[a-z' |]|\[[a-z]+\](?![a-z[]))+$/i;
const LIGATURES = /ss|ff|fi|fl|st|[a-z]\[/i;

/** All matches in a text, as [begin, end) in UTF-16 units. */
export type Matcher = (text: string) => readonly (readonly [number, number])[];

/**
 * The matcher of a `pattern` of tokenizer.json: `{ "Regex": … }` or `{ "String": … }`.
 *
 * @throws {InputError} when the expression has a part that JavaScript could read otherwise
 */
export function patternMatcher(part: Part): Matcher {
  const pattern = part.part("pattern").only(["Regex", "String"]);
  if (pattern.get("Regex") === undefined) return regexMatcher(literal(pattern.text("String")), pattern.path);
  return regexMatcher(translate(pattern.text("Regex"), pattern.path), pattern.path);
}

/** The matcher of an expression that is JavaScript's already. */
export function regexMatcher(source: string, path = "the tokenizer"): Matcher {
  let regex: RegExp;
  try {
    regex = new RegExp(source, "gv");
  } catch {
    throw inexact(path, `the expression ${shown(source)}`);
  }
  if (source === "") throw inexact(path, "an empty expression");
  return (text) => {
    const found: [number, number][] = [];
    let last = -1;
    for (let from = 0; from <= text.length;) {
      regex.lastIndex = from;
      const match = regex.exec(text);
      if (match === null) break;
      const end = match.index + match[0].length;
      // Oniguruma's iterator takes no empty match where the last match ended.
      if (match.index === end && end === last) {
        from += (text.codePointAt(from) ?? 0) > 0xffff ? 2 : 1;
        continue;
      }
      found.push([match.index, end]);
      from = last = end;
    }
    return found;
  };
}

/**
 * An expression of Oniguruma's as JavaScript's (flag `v`).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(translate("\\d+(?!\\S)", "pattern"), "[\\p{Nd}]+(?![[^\\p{White_Space}]])");
 * ```
 * @throws {InputError} for syntax that is not known to mean the same
 */
export function translate(source: string, path: string): string {
  let at = 0;
  let atomics = 0;
  const refuse = (what: string) => inexact(path, `${what} in the expression ${shown(source)}`);
  const atomic = (inner: string) => {
    const name = `a${atomics++}`;
    return `(?=(?<${name}>${inner}))\\k<${name}>`;
  };

  const escaped = (): { readonly set?: string; readonly character?: string; readonly anchor?: string } => {
    const rest = source.slice(at);
    const property = /^\\([pP])\{(\^?)(\w+)\}/.exec(rest);
    if (property !== null) {
      const [all, kind, hat, name] = property;
      const script = SCRIPTS.includes(name);
      if (!script && !GENERAL.test(name)) throw refuse(`the property ${shown(name)}`);
      at += all.length;
      return { set: `\\${(kind === "P") !== (hat === "^") ? "P" : "p"}{${script ? `Script=${name}` : name}}` };
    }
    const code = /^\\(?:x([0-7][0-9a-fA-F])|x\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4}))/.exec(rest);
    if (code !== null) {
      const point = parseInt(code[1] ?? code[2] ?? code[3], 16);
      if (point > 0x10ffff || point >= 0xd800 && point < 0xe000) throw refuse(code[0]);
      at += code[0].length;
      return { character: String.fromCodePoint(point) };
    }
    const letter = String.fromCodePoint(source.codePointAt(at + 1) ?? 0);
    at += 1 + letter.length;
    if (Object.hasOwn(CLASSES, letter)) return { set: CLASSES[letter] };
    if (Object.hasOwn(CONTROLS, letter)) return { character: CONTROLS[letter] };
    if (Object.hasOwn(ANCHORS, letter)) return { anchor: ANCHORS[letter] };
    if (at > source.length || /[\p{L}\p{N}]/u.test(letter)) throw refuse(`\\${letter}`);
    return { character: letter };
  };

  const brackets = (): string => {
    const negated = source[at + 1] === "^";
    at += negated ? 2 : 1;
    let inner = "";
    /** A character that a range could begin with. */
    let begin: string | undefined;
    for (let first = true; source[at] !== "]" || first; first = false) {
      if (at >= source.length || "[]".includes(source[at]) || source.startsWith("&&", at)) throw refuse("the set");
      if (source[at] === "-" && !first && source[at + 1] !== "]") {
        at++;
        const end = source[at] === "\\" ? escaped().character : next();
        if (begin === undefined || end === undefined || end === "[") throw refuse("the range");
        inner += `-${literal(end)}`;
        begin = undefined;
        continue;
      }
      const { set, character, anchor } = source[at] === "\\" ? escaped() : { character: next() };
      if (anchor !== undefined) throw refuse("the set");
      inner += set ?? literal(character ?? "");
      begin = character;
    }
    at++;
    return `[${negated ? "^" : ""}${inner}]`;
  };

  const next = (): string => {
    const character = String.fromCodePoint(source.codePointAt(at) ?? 0);
    at += character.length;
    return character;
  };

  const group = (): string => {
    if (source.startsWith("(?i:", at)) {
      const end = source.indexOf(")", at);
      const inner = source.slice(at + 4, end);
      if (end < 0 || !FOLDED_ALIKE.test(inner) || LIGATURES.test(inner)) throw refuse("the part that ignores case");
      at = end + 1;
      return `(?i:${inner})`;
    }
    const opening = GROUPS.find((text) => source.startsWith(text, at));
    const isAtomic = source.startsWith("(?>", at);
    if (opening === undefined && !isAtomic && source[at + 1] === "?") throw refuse("the group");
    at += isAtomic ? 3 : opening?.length ?? 1;
    const inner = alternatives();
    if (source[at] !== ")") throw refuse("an open group");
    at++;
    return isAtomic ? `(?:${atomic(inner)})` : `${opening ?? "(?:"}${inner})`;
  };

  const atom = (): string => {
    switch (source[at]) {
      case "\\": {
        const kind = source[at + 1];
        const { set, character, anchor } = escaped();
        if (kind === "w" || kind === "W") return `[${kind === "W" ? "^" : ""}${WORD}]`;
        return set === undefined ? anchor ?? literal(character ?? "") : `[${set}]`;
      }
      case "[":
        return brackets();
      case "(":
        return group();
      case ".":
        at++;
        return "[^\\n]";
      case "^":
        at++;
        return "(?:^|(?<=\\n)(?!$))";
      case "$":
        at++;
        return "(?=\\n|$)";
      case "*":
      case "+":
      case "?":
        throw refuse("the quantifier");
      default:
        return literal(next());
    }
  };

  const quantified = (inner: string): string => {
    const found = /^(?:([*+?])([?+]?)|\{(\d*)(,?)(\d*)\}([?+]?))/.exec(source.slice(at));
    if (found === null || found[1] === undefined && `${found[3]}${found[5]}` === "") return inner;
    at += found[0].length;
    if (/^(?:[*+?]|\{\d)/.test(source.slice(at))) throw refuse("the quantifier");
    if (found[1] !== undefined) {
      return found[2] === "+" ? `(?:${atomic(inner + found[1])})` : inner + found[0];
    }
    const [, , , least, comma, most, lazy] = found;
    // `{2}?` means another thing there.
    if (lazy === "?" && comma === "") throw refuse("the quantifier");
    const counted = `${inner}{${least || "0"}${comma}${most}}`;
    // After a count "+" is no possessive but one more quantifier.
    return lazy === "+" ? `(?:${counted})+` : counted + lazy;
  };

  const alternatives = (): string => {
    let out = "";
    while (at < source.length && source[at] !== ")") {
      if (source[at] === "|") {
        out += "|";
        at++;
      } else out += quantified(atom());
    }
    return out;
  };

  const translated = alternatives();
  if (at < source.length) throw refuse("a closed group");
  return translated;
}

/** A text as an expression that matches it; inside of brackets too. */
export function literal(text: string): string {
  return text.replace(/[^0-9A-Za-z\u{80}-\u{10ffff}]/gu, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`);
}
