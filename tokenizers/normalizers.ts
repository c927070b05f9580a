/** The normalizers of tokenizer.json. Source: huggingface/tokenizers, tokenizers/src/normalizers and utils/unicode. */
import { shown } from "../files/clear_text.ts";
import { toByteCharacters } from "./byte_level.ts";
import { inexact, type Part } from "./parts.ts";
import { patternMatcher, SPACE } from "./patterns.ts";
import { assertAlike, type Unlike } from "./unlike_characters.ts";

/** Text to text. */
export type Normalize = (text: string) => string;

const UNCHANGED: Normalize = (text) => text;
const FORMS = ["NFC", "NFD", "NFKC", "NFKD"] as const;
const LEADING = new RegExp(`^[${SPACE}]+`, "v");
const TRAILING = new RegExp(`[${SPACE}]+$`, "v");
const REMOVED_BY_NMT = /(?![\0\t\n\f\r])[\p{Cc}&&[\p{ASCII}\x8f\x9f]]/gv;
const SPACES_OF_NMT = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

/**
 * The function of a normalizer.
 *
 * @throws {InputError} when it is malformed, or none of those that are known to be exact
 */
export function normalizer(part: Part | undefined): Normalize {
  if (part === undefined) return UNCHANGED;
  const form = FORMS.find((name) => name === part.type);
  if (form !== undefined) {
    part.only([]);
    return alike(form, (text) => text.normalize(form));
  }
  switch (part.type) {
    case "Sequence": {
      const steps = part.only(["normalizers"]).parts("normalizers").map(normalizer);
      return (text) => steps.reduce((made, step) => step(made), text);
    }
    case "Replace": {
      const matcher = patternMatcher(part.only(["pattern", "content"]));
      const content = part.text("content");
      return (text) => replaced(text, matcher(text), content);
    }
    case "Prepend": {
      const prefix = part.only(["prepend"]).text("prepend");
      return (text) => text === "" ? text : prefix + text;
    }
    case "Strip": {
      part.only(["strip_left", "strip_right"]);
      const [left, right] = [part.flag("strip_left"), part.flag("strip_right")];
      return (text) => {
        const begun = left ? text.replace(LEADING, "") : text;
        return right ? begun.replace(TRAILING, "") : begun;
      };
    }
    case "Lowercase":
      part.only([]);
      // Character by character: no final sigma.
      return alike("Lowercase", (text) => Array.from(text, (character) => character.toLowerCase()).join(""));
    case "StripAccents":
      part.only([]);
      return alike("StripAccents", (text) => text.replace(/\p{M}/gu, ""));
    case "Nmt":
      part.only([]);
      return (text) => text.replace(REMOVED_BY_NMT, "").replace(SPACES_OF_NMT, " ");
    case "ByteLevel":
      part.only([]);
      return toByteCharacters;
    default:
      throw inexact(part.path, shown(part.type));
  }
}

/** Both what goes in and what comes out is free of characters that the reference sees otherwise. */
function alike(kind: Unlike, normalize: Normalize): Normalize {
  return (text) => {
    assertAlike(text, kind);
    const made = normalize(text);
    assertAlike(made, kind);
    return made;
  };
}

/** A text with other text in place of matches. */
export function replaced(text: string, matches: readonly (readonly [number, number])[], content: string): string {
  let made = "";
  let last = 0;
  for (const [begin, end] of matches) {
    made += text.slice(last, begin) + content;
    last = end;
  }
  return made + text.slice(last);
}
