/**
 * Characters that the reference sees otherwise than JavaScript, as its tables are of another version of Unicode.
 * Measured over all characters and all canonical decompositions with tokenizers 0.23.3 (0.22.2 is equal) against
 * Unicode 16. All of them are rare; a text that has one is refused where it matters.
 */
import { InputError } from "../files/input_error.ts";

/** Code points in hex, and ranges of them. */
const TABLES = {
  canonical: "7fd 897-89f 8ca-8d3 9fe c3c d3b-d3c eba 1715 1abf-1ace 1df6-1dfa a82c 105c9 105d2 105da 105e4 " +
    "10d24-10d27 10d69-10d6d 10eab-10eac 10efd-10eff 10f46-10f50 10f82-10f85 11070 1133b 11382-11385 1138b " +
    "1138e 11390-11391 113b8 113bb 113c2 113c5 113c7-113c9 113ce-113d0 1145e 11839-1183a 11930 11935 11938 " +
    "1193d-1193e 11943 119e0 11a34 11a47 11a99 11d42 11d44-11d45 11d97 11f41-11f42 1611e-16129 1612f 16d63 " +
    "16d67-16d6a 16ff0-16ff1 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef",
  compatible: "7fd 897-89f 8ca-8d3 9fe c3c d3b-d3c eba 1715 1abf-1ace 1df6-1dfa 32ff a7f2-a7f4 a82c ab69 105c9 105d2 " +
    "105da 105e4 10781-10785 10787-107b0 107b2-107ba 10d24-10d27 10d69-10d6d 10eab-10eac 10efd-10eff " +
    "10f46-10f50 10f82-10f85 11070 1133b 11382-11385 1138b 1138e 11390-11391 113b8 113bb 113c2 113c5 " +
    "113c7-113c9 113ce-113d0 1145e 11839-1183a 11930 11935 11938 1193d-1193e 11943 119e0 11a34 11a47 11a99 " +
    "11d42 11d44-11d45 11d97 11f41-11f42 1611e-16129 1612f 16d63 16d67-16d6a 16ff0-16ff1 1ccd6-1ccf9 " +
    "1e030-1e06d 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef 1f16c 1fbf0-1fbf9",
  Lowercase: "a7ce a7d2 a7d4 16ea0-16eb8",
  StripAccents:
    "7fd 897-89f 8ca-8d3 9fe afa-aff b55 c04 c3c cf3 d00 d3b-d3c d81 eba ece 1715 180f 1abf-1ace 1cf2-1cf3 " +
    "1cf7 1df6-1dfa a82c a8ff 10d24-10d27 10d69-10d6d 10eab-10eac 10efc-10eff 10f46-10f50 10f82-10f85 11070 " +
    "11073-11074 110c2 11145-11146 111c9 111ce-111cf 11241 1133b 113b8-113c0 113c2 113c5 113c7-113ca " +
    "113cc-113d0 113d2 113e1-113e2 1145e 1182c-1183a 11930-11935 11937-11938 1193b-1193e 11940 11942-11943 " +
    "119d1-119d7 119da-119e0 119e4 11a01-11a0a 11a33-11a39 11a3b-11a3e 11a47 11a51-11a5b 11a8a-11a99 " +
    "11d31-11d36 11d3a 11d3c-11d3d 11d3f-11d45 11d47 11d8a-11d8e 11d90-11d91 11d93-11d97 11ef3-11ef6 " +
    "11f00-11f01 11f03 11f34-11f3a 11f3e-11f42 11f5a 13440 13447-13455 1611e-1612f 16f4f 16f7f-16f87 16fe4 " +
    "16ff0-16ff1 1cf00-1cf2d 1cf30-1cf46 1e08f 1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef",
  Digits: "11de0-11de9 16ff4-16ff6",
  Punctuation: "61d 9fd a76 c77 c84 166d 1b4e-1b4f 1b7d-1b7f 2e43-2e4f 2e52-2e5d 10d6e 10ead 10f55-10f59 10f86-10f89 " +
    "111c9 113d4-113d5 113d7-113d8 1144b-1144f 1145a-1145b 1145d 11660-1166c 116b9 1183b 11944-11946 119e2 " +
    "11a3f-11a46 11a9a-11a9c 11a9e-11aa2 11b00-11b09 11be1 11c41-11c45 11c70-11c71 11ef7-11ef8 11f43-11f4f " +
    "11fff 12ff1-12ff2 16d6d-16d6f 16e97-16e9a 16fe2 1e5ff 1e95e-1e95f",
} as const;

/** Parts of a tokenizer that depend on such tables. */
export type Unlike = "NFC" | "NFD" | "NFKC" | "NFKD" | "Lowercase" | "StripAccents" | "Digits" | "Punctuation";

const PATTERNS: Readonly<Record<Unlike, RegExp>> = {
  NFC: anyOf(TABLES.canonical),
  NFD: anyOf(TABLES.canonical),
  NFKC: anyOf(TABLES.compatible),
  NFKD: anyOf(TABLES.compatible),
  Lowercase: anyOf(TABLES.Lowercase),
  StripAccents: anyOf(TABLES.StripAccents),
  Digits: anyOf(TABLES.Digits),
  Punctuation: anyOf(TABLES.Punctuation),
};

/**
 * Refuses a text with a character that this part of a tokenizer would treat otherwise than the reference does.
 *
 * @throws {InputError} naming the character
 */
export function assertAlike(text: string, kind: Unlike): void {
  const found = PATTERNS[kind].exec(text)?.[0].codePointAt(0);
  if (found === undefined) return;
  throw new InputError(
    `Cannot tokenize a text exactly as it holds U+${found.toString(16).toUpperCase().padStart(4, "0")}, which the ` +
      `tokenizer's ${kind} knows by another version of Unicode; leave that character out, or give windows of token ids`,
  );
}

function anyOf(table: string): RegExp {
  const ranges = table.split(" ").map((range) => range.split("-").map((point) => `\\u{${point}}`).join("-"));
  return new RegExp(`[${ranges.join("")}]`, "u");
}
