/** The pre-tokenizers of tokenizer.json. Source: huggingface/tokenizers, tokenizers/src/pre_tokenizers. */
import { shown } from "../files/clear_text.ts";
import { toByteCharacters } from "./byte_level.ts";
import { inexact, type Part } from "./parts.ts";
import { literal, patternMatcher, regexMatcher, SPACE, translate } from "./patterns.ts";
import { type Behavior, BEHAVIORS, cutter } from "./splits.ts";
import { assertAlike, type Unlike } from "./unlike_characters.ts";
import { remembered } from "./word_memo.ts";

/** How GPT-2 splits text into words; the alternatives are tried from left to right. */
export const GPT2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const GPT2_MATCHER = regexMatcher(translate(GPT2_WORDS, "ByteLevel"));

/** `\w` of Rust's regex crate, which is not Oniguruma's. */
export const RUST_WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
const PUNCTUATION = "[\\p{P}$+<=>^`\\|~]";
const DIGITS = "\\p{N}";
const NOT_A_WORD = `[^${RUST_WORD}${SPACE}]`;

/** How Metaspace puts its mark before a text. */
export const SCHEMES = ["first", "never", "always"] as const;
export type Scheme = (typeof SCHEMES)[number];

/**
 * A piece of text into words. `first`: whether it begins where the whole text does.
 */
export type PreTokenize = (piece: string, first: boolean) => string[];

/**
 * The function of a pre-tokenizer.
 *
 * @throws {InputError} when it is malformed, or none of those that are known to be exact
 */
export function preTokenizer(part: Part | undefined): PreTokenize {
  if (part === undefined) return (piece) => [piece];
  switch (part.type) {
    case "Sequence":
      return sequence(part.only(["pretokenizers"]));
    case "ByteLevel":
      return byteLevel(part.only(["add_prefix_space", "trim_offsets", "use_regex"]));
    case "Metaspace":
      return metaspace(part.only(["replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"]));
    case "Split": {
      part.only(["pattern", "behavior", "invert"]);
      return cutter(patternMatcher(part), part.one("behavior", BEHAVIORS), part.flag("invert"));
    }
    case "Digits": {
      const behavior = part.only(["individual_digits"]).flag("individual_digits") ? "Isolated" : "Contiguous";
      return alike("Digits", DIGITS, behavior);
    }
    case "Punctuation":
      return alike("Punctuation", PUNCTUATION, part.only(["behavior"]).one("behavior", BEHAVIORS, "Isolated"));
    case "BertPreTokenizer": {
      part.only([]);
      const [spaces, marks] = [cutter(regexMatcher(SPACE), "Removed"), alike("Punctuation", PUNCTUATION, "Isolated")];
      return (piece, first) => spaces(piece).flatMap((word) => marks(word, first));
    }
    case "Whitespace":
      part.only([]);
      return cutter(regexMatcher(`[${RUST_WORD}]+|${NOT_A_WORD}+`), "Removed", true);
    case "WhitespaceSplit":
      part.only([]);
      return cutter(regexMatcher(SPACE), "Removed");
    case "CharDelimiterSplit":
      return cutter(regexMatcher(literal(character(part.only(["delimiter"]), "delimiter"))), "Removed");
    default:
      throw inexact(part.path, shown(part.type));
  }
}

/** The leaves of a pre-tokenizer, in order. */
export function leaves(part: Part): readonly Part[] {
  return part.type === "Sequence" ? part.parts("pretokenizers").flatMap(leaves) : [part];
}

function sequence(part: Part): PreTokenize {
  const late = leaves(part).slice(1).find((leaf) => leaf.type === "Metaspace" && scheme(leaf) === "first");
  if (late !== undefined) throw inexact(late.path, 'prepend_scheme "first" after another pre-tokenizer');
  const steps = part.parts("pretokenizers").map(preTokenizer);
  return (piece, first) => steps.reduce((pieces, step) => pieces.flatMap((one) => step(one, first)), [piece]);
}

function byteLevel(part: Part): PreTokenize {
  const prefixed = part.flag("add_prefix_space");
  const words = part.flag("use_regex", true) ? cutter(GPT2_MATCHER, "Isolated") : (piece: string) => [piece];
  const spell = remembered(toByteCharacters);
  return (piece) => words(prefixed && !piece.startsWith(" ") ? ` ${piece}` : piece).map(spell);
}

function metaspace(part: Part): PreTokenize {
  const mark = character(part, "replacement");
  const prepend = scheme(part);
  const words = part.flag("split", true)
    ? cutter(regexMatcher(literal(mark)), "MergedWithNext")
    : (piece: string) => [piece];
  return (piece, first) => {
    const marked = piece.replaceAll(" ", mark);
    const wants = prepend === "always" || prepend === "first" && first;
    return words(wants && !marked.startsWith(mark) ? mark + marked : marked);
  };
}

/** `add_prefix_space` is how older files say `prepend_scheme`. */
export function scheme(part: Part): Scheme {
  const found = part.one("prepend_scheme", SCHEMES, "always");
  if (part.get("add_prefix_space") === undefined || part.flag("add_prefix_space", true)) return found;
  if (part.get("prepend_scheme") !== undefined && found !== "never") {
    throw inexact(part.path, `add_prefix_space false with prepend_scheme ${shown(found)}`);
  }
  return "never";
}

/** A field that is one character. */
export function character(part: Part, name: string): string {
  const value = part.text(name);
  if ([...value].length !== 1) throw inexact(part.path, `${name} ${shown(value)}, which is not one character`);
  return value;
}

function alike(kind: Unlike, set: string, behavior: Behavior): PreTokenize {
  const cut = cutter(regexMatcher(set), behavior);
  return (piece) => {
    assertAlike(piece, kind);
    return cut(piece);
  };
}
