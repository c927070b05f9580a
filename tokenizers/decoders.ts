/** The decoders of tokenizer.json. Source: huggingface/tokenizers, tokenizers/src/decoders. */
import { shown } from "../files/clear_text.ts";
import { tokenBytes } from "./byte_level.ts";
import { replaced } from "./normalizers.ts";
import { inexact, type Part } from "./parts.ts";
import { patternMatcher } from "./patterns.ts";
import { character, scheme } from "./pre_tokenizers.ts";

type Decode = (tokens: readonly string[]) => readonly string[];

const BYTE = /^<0x([0-9a-fA-F]{2})>$/;

/**
 * The function of a decoder: tokens into text. Without one, tokens stand side by side with spaces between them.
 *
 * @throws {InputError} when it is malformed, or none of those that are known to be exact
 */
export function decoder(part: Part | undefined): (tokens: readonly string[]) => string {
  if (part === undefined) return (tokens) => tokens.join(" ");
  const decode = steps(part);
  return (tokens) => decode(tokens).join("");
}

function steps(part: Part): Decode {
  switch (part.type) {
    case "Sequence": {
      const list = part.only(["decoders"]).parts("decoders").map(steps);
      return (tokens) => list.reduce((made, step) => step(made), tokens);
    }
    case "ByteLevel":
      part.only(["add_prefix_space", "trim_offsets", "use_regex"]);
      return (tokens) => [utf8(tokens.flatMap((token) => [...tokenBytes(token)]))];
    case "ByteFallback":
      part.only([]);
      return byteFallback;
    case "Fuse":
      part.only([]);
      return (tokens) => [tokens.join("")];
    case "Replace": {
      const matcher = patternMatcher(part.only(["pattern", "content"]));
      const content = part.text("content");
      return (tokens) => tokens.map((token) => replaced(token, matcher(token), content));
    }
    case "Strip":
      return strip(part.only(["content", "start", "stop"]));
    case "Metaspace": {
      const mark = character(
        part.only(["replacement", "prepend_scheme", "add_prefix_space", "split", "str_rep"]),
        "replacement",
      );
      const prefixed = scheme(part) !== "never";
      return (tokens) => tokens.map((token, i) => token.replaceAll(mark, i === 0 && prefixed ? "" : " "));
    }
    case "BPEDecoder": {
      const suffix = part.only(["suffix"]).text("suffix");
      if (suffix === "") throw inexact(part.path, "an empty suffix");
      return (tokens) => tokens.map((token, i) => token.replaceAll(suffix, i === tokens.length - 1 ? "" : " "));
    }
    default:
      throw inexact(part.path, shown(part.type));
  }
}

/** Bytes as text; those that are none become U+FFFD. */
function utf8(bytes: readonly number[]): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

/** Runs of `<0xE2>`-like tokens become text, or one U+FFFD for each where they spell none. */
function byteFallback(tokens: readonly string[]): readonly string[] {
  const made: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length === 0) return;
    const text = utf8(bytes);
    const isText = new TextEncoder().encode(text).every((byte, i) => byte === bytes[i]);
    if (isText) made.push(text);
    else made.push(...bytes.map(() => "\uFFFD"));
    bytes = [];
  };
  for (const token of tokens) {
    const byte = BYTE.exec(token)?.[1];
    if (byte !== undefined) bytes.push(parseInt(byte, 16));
    else {
      flush();
      made.push(token);
    }
  }
  flush();
  return made;
}

function strip(part: Part): Decode {
  const content = character(part, "content");
  const [start, stop] = [part.whole("start"), part.whole("stop")];
  return (tokens) =>
    tokens.map((token) => {
      const characters = Array.from(token);
      let begin = 0;
      let end = characters.length;
      while (begin < Math.min(start, characters.length) && characters[begin] === content) begin++;
      while (end > Math.max(begin, characters.length - stop) && characters[end - 1] === content) end--;
      return characters.slice(begin, end).join("");
    });
}
