import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import { openTokenizer } from "./tokenizer.ts";

fc.configureGlobal({ seed: 1 });

const definition: JsonObject = JSON.parse(
  readFileSync(new URL("../configs/models/tiny-llama/tokenizer.json", import.meta.url), "utf8"),
);

/** tiny-llama's tokenizer as a GGUF file would hold it. */
const BYTE_PAIRS: JsonObject = (() => {
  const { vocab, merges } = definition.model as {
    vocab: Record<string, number>;
    merges: ([string, string] | string)[];
  };
  const tokens = Object.entries(vocab).sort((a, b) => a[1] - b[1]).map(([token]) => token);
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": tokens.map((_, id) => (id < 3 ? 3 : 1)),
    "tokenizer.ggml.merges": merges.map((merge) => (Array.isArray(merge) ? merge.join(" ") : merge)),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.add_bos_token": true,
  };
})();

/** A SentencePiece vocabulary: three specials, 256 bytes, then pieces; the earlier a piece, the sooner it is joined. */
const PIECES = ["▁t", "he", "▁the", "in", "▁w", "ha", "▁wha", "le", "▁whale", "▁▁", "ab", "bc", "abc", "aa", "<tag>"];
const CHARACTERS = [..."▁thewinalbc<g>"];
const SENTENCE_PIECES: JsonObject = (() => {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...PIECES, ...CHARACTERS];
  return {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.scores": tokens.map((token, id) => (id < 259 ? 0 : token === "▁▁" ? -1e9 : 258 - id)),
    "tokenizer.ggml.token_type": tokens.map((token, id) =>
      id === 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : token === "<tag>" ? 4 : 1
    ),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
  };
})();

Deno.test("ggufTokenizer() gives the ids of the tokenizer.json that the file was made from", () => {
  const rebuilt = openTokenizer({ kind: "gguf", metadata: BYTE_PAIRS });
  const original = openTokenizer({ kind: "files", tokenizer: definition, config: {} });
  fc.assert(fc.property(fc.string({ unit: "grapheme", maxLength: 200 }), (text) => {
    assert.deepEqual(rebuilt.encode(text), original.encode(text));
  }));
  const text = "The whale's 1,234 teeth\n\n  <s>weren't</s> white.";
  assert.deepEqual(rebuilt.encode(text), original.encode(text));
  assert.equal(rebuilt.decode(rebuilt.encode(text)), `<s>${text}`);
});

Deno.test("ggufTokenizer() splits words as tokenizer.ggml.pre says", () => {
  // Every run of characters is a token, and those that begin first merge first: each word becomes one token.
  const words = (pre: string, text: string): string[] => {
    const tokens = [...new Set([...alphabet(text), ...pieces(alphabet(text).join(""))])];
    const merges = tokens.filter((token) => [...token].length > 1).map((token) => {
      const letters = [...token];
      return `${letters.slice(0, -1).join("")} ${letters.at(-1)}`;
    });
    const tokenizer = openTokenizer({
      kind: "gguf",
      metadata: {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": tokens.map(() => 1),
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_bos_token": false,
      },
    });
    return [...tokenizer.encode(text)].map((id) => tokenizer.decode([id]));
  };
  assert.deepEqual(words("gpt-2", "a 123"), ["a", " 123"]);
  assert.deepEqual(words("smollm", "a 123"), ["a", " ", "1", "2", "3"]);
  assert.deepEqual(words("llama-bpe", "a 1234"), ["a", " ", "123", "4"]);
  assert.deepEqual(words("qwen2", "a 12"), ["a", " ", "1", "2"]);
  assert.deepEqual(words("llama-bpe", "it'S"), ["it", "'S"]);
  assert.deepEqual(words("gpt-2", "it'S"), ["it", "'", "S"]);
});

Deno.test("ggufTokenizer() joins sentence pieces by greatest score, leftmost first", () => {
  const tokenizer = openTokenizer({ kind: "gguf", metadata: SENTENCE_PIECES });
  const words = fc.constantFrom("the", " ", "whale", "  ", "in", "abc", "aab", "wha", "a", "é", "\n", "🙂");
  fc.assert(
    fc.property(fc.array(words, { maxLength: 30 }), (parts) => {
      const text = parts.join("");
      assert.deepEqual([...tokenizer.encode(text, { special: false })], bySentencePiece(text), JSON.stringify(text));
      assert.equal(tokenizer.decode(tokenizer.encode(text, { special: false })), text);
    }),
    { numRuns: 300 },
  );
});

Deno.test("ggufTokenizer() puts bos before sentence pieces unless the file says otherwise", () => {
  const encode = (
    add: JsonObject,
  ) => [...openTokenizer({ kind: "gguf", metadata: { ...SENTENCE_PIECES, ...add } }).encode("the")];
  const the = SENTENCE_PIECES["tokenizer.ggml.tokens"] as string[];
  assert.deepEqual(encode({}), [1, the.indexOf("▁the")]);
  assert.deepEqual(encode({ "tokenizer.ggml.add_bos_token": false }), [the.indexOf("▁the")]);
  assert.deepEqual(encode({ "tokenizer.ggml.add_eos_token": true }), [1, the.indexOf("▁the"), 2]);
  assert.deepEqual(encode({ "tokenizer.ggml.add_space_prefix": false }), [1, the.indexOf("t"), the.indexOf("he")]);
});

Deno.test("ggufTokenizer() recognises special and user-defined tokens in a text", () => {
  const tokenizer = openTokenizer({ kind: "gguf", metadata: SENTENCE_PIECES });
  const tokens = SENTENCE_PIECES["tokenizer.ggml.tokens"] as string[];
  const ids = [...tokenizer.encode("the</s><tag>", { special: false })];
  assert.deepEqual(ids.map((id) => tokens[id]), ["▁the", "</s>", "<tag>"]);
});

Deno.test("ggufTokenizer() names what it does not support and what is malformed", () => {
  const cases: [JsonObject, RegExp][] = [
    [{}, /tokenizer\.ggml\.model must be gpt2 or llama: it is missing/],
    [{ ...BYTE_PAIRS, "tokenizer.ggml.model": "t5" }, /current value is "t5"/],
    [
      { ...BYTE_PAIRS, "tokenizer.ggml.pre": "tekken" },
      /tokenizer\.ggml\.pre must be one of .*: current value is "tekken"/,
    ],
    [{ ...BYTE_PAIRS, "tokenizer.ggml.tokens": [1, 2] }, /tokenizer\.ggml\.tokens must be a list of strings/],
    [{ ...BYTE_PAIRS, "tokenizer.ggml.token_type": [1] }, /token_type must be a list of 2048 numbers/],
    [{ ...SENTENCE_PIECES, "tokenizer.ggml.bos_token_id": 1e6 }, /bos_token_id must be an id below \d+: .* 1000000/],
    [{ ...SENTENCE_PIECES, "tokenizer.ggml.bos_token_id": undefined }, /bos_token_id must be there/],
    [{ ...SENTENCE_PIECES, "tokenizer.ggml.add_bos_token": 1 }, /add_bos_token must be true or false/],
    [{ ...SENTENCE_PIECES, "tokenizer.ggml.scores": undefined }, /scores must be a list of \d+ numbers/],
  ];
  for (const [metadata, message] of cases) {
    assert.throws(() => openTokenizer({ kind: "gguf", metadata }), (error) => {
      assert.ok(error instanceof InputError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
});

/** SentencePiece's algorithm as its paper states it, one join at a time over the whole text. */
function bySentencePiece(text: string): number[] {
  if (text === "") return [];
  const tokens = SENTENCE_PIECES["tokenizer.ggml.tokens"] as string[];
  const scores = SENTENCE_PIECES["tokenizer.ggml.scores"] as number[];
  const symbols = [...`▁${text.replaceAll(" ", "▁")}`];
  for (;;) {
    let best = -1;
    let score = -Infinity;
    for (let at = 0; at + 1 < symbols.length; at++) {
      const id = tokens.indexOf(symbols[at] + symbols[at + 1]);
      if (id >= 259 && scores[id] > score) [best, score] = [at, scores[id]];
    }
    if (best < 0) break;
    symbols.splice(best, 2, symbols[best] + symbols[best + 1]);
  }
  return symbols.flatMap((symbol) => {
    const id = tokens.indexOf(symbol);
    return id >= 0 ? [id] : [...new TextEncoder().encode(symbol)].map((byte) => 3 + byte);
  });
}

/** Characters that stand for the bytes of ASCII text in byte-level vocabularies. */
function alphabet(text: string): string[] {
  return [...text].map((letter) => (letter === " " ? "Ġ" : letter));
}

/** All runs of neighbouring characters. */
function pieces(text: string): string[] {
  const found: string[] = [];
  for (let begin = 0; begin < text.length; begin++) {
    for (let end = begin + 2; end <= text.length; end++) found.push(text.slice(begin, end));
  }
  return found;
}
