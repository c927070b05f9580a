/** Changes of a pickle's arguments, its instructions kept: numbers, lengths, texts, places in its memo. */
import type { Mutated, Mutator } from "./mutator.ts";

/** Instructions of protocol 2 with arguments: bytes of a number, or of the length of what follows. */
const NUMBERS: Readonly<Record<number, number>> = {
  0x4b: 1,
  0x4d: 2,
  0x4a: 4,
  0x71: 1,
  0x72: 4,
  0x68: 1,
  0x6a: 4,
  0x47: 8,
};
const TEXTS: Readonly<Record<number, number>> = { 0x58: 4, 0x8c: 1, 0x8a: 1 };
/** Two lines of text: a module and a name. */
const GLOBAL = 0x63;
const PROTO = 0x80, NEWLINE = 0x0a;
/** Instructions without arguments, to be put in each other's place. */
const PLAIN = [..."()]}tseuaRQNblb0122\x85\x86\x87\x88\x89."].map((letter) => letter.charCodeAt(0));

interface Argument {
  readonly at: number;
  readonly width: number;
  readonly kind: "number" | "text" | "instruction";
}

/** Spoils one argument or one instruction; undefined where the pickle cannot be followed. */
export const mutatePickle: Mutator = ({ bytes, draw }) => {
  const found = argumentsOf(bytes);
  if (found.length === 0) return undefined;
  const kind = draw.pick(["number", "number", "number", "text", "instruction"] as const);
  const those = found.filter((each) => each.kind === kind);
  if (those.length === 0) return undefined;
  const { at, width } = draw.pick(those);
  const out = bytes.slice();
  const told = (change: string): Mutated => ({ bytes: out, change: `pickle's ${kind} at ${at} ${change}` });
  if (kind === "instruction") {
    out[at] = draw.pick(PLAIN);
    return told(`becomes 0x${out[at].toString(16)}`);
  }
  if (kind === "text") {
    const letter = at + draw.below(width);
    out[letter] = draw.pick([0, 0x0a, 0x2e, 0x2f, 0x30, 0x5f, 0x78, 0x80, 0xff]);
    return told(`has 0x${out[letter].toString(16)} at ${letter}`);
  }
  const most = 256 ** width;
  const value = draw.pick([0, 1, 2, 3, 16, 255, most / 2, most / 2 - 1, most - 1, draw.below(256)]);
  for (let index = 0, rest = value; index < width; index++, rest = Math.floor(rest / 256)) out[at + index] = rest % 256;
  return told(`becomes ${value}`);
};

function argumentsOf(bytes: Uint8Array): Argument[] {
  const found: Argument[] = [];
  const number = (at: number, width: number) =>
    Array.from({ length: width }, (_, index) => bytes[at + index] * 256 ** index).reduce((a, b) => a + b, 0);
  for (let at = 0; at < bytes.length;) {
    const code = bytes[at++];
    if (code === PROTO) at++;
    else if (code in NUMBERS) {
      found.push({ at, width: NUMBERS[code], kind: "number" });
      at += NUMBERS[code];
    } else if (code in TEXTS) {
      const width = number(at, TEXTS[code]);
      at += TEXTS[code];
      if (width > 0 && at + width <= bytes.length) found.push({ at, width, kind: "text" });
      at += width;
    } else if (code === GLOBAL) {
      const first = bytes.indexOf(NEWLINE, at);
      const end = first < 0 ? first : bytes.indexOf(NEWLINE, first + 1);
      if (end < 0) return [];
      found.push({ at, width: end - at, kind: "text" });
      at = end + 1;
    } else found.push({ at: at - 1, width: 1, kind: "instruction" });
  }
  return found;
}
