import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import { ggufTokenizerMetadata } from "./gguf_metadata.ts";
import { ggufTokenizer, PRE_TOKENIZERS } from "./gguf_tokenizer.ts";
import { openTokenizer } from "./tokenizer.ts";
import { tokenizerFiles } from "./tokenizer_files.ts";
import type { TokenizerDefinition } from "./tokenizer_definition.ts";

fc.configureGlobal({ seed: 1 });

const read = (name: string): JsonObject =>
  JSON.parse(readFileSync(new URL(`../configs/models/tiny-llama/${name}`, import.meta.url), "utf8"));
const TINY: TokenizerDefinition = { tokenizer: read("tokenizer.json"), config: read("tokenizer_config.json") };

/** LLaMA 2's kind: pieces of SentencePiece, bytes to fall back to. */
const PIECES: TokenizerDefinition = (() => {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const made = ["▁t", "he", "▁the", "in", "▁w", "ha", "▁wha", "le", "▁whale", "ab", "bc", "abc", "aa", "aaa"];
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...made, ..."▁thewinalbc"];
  const special = (id: number) => ({ id, content: tokens[id], special: true, normalized: false });
  const merges = "▁ t,h e,▁t he,i n,▁ w,h a,▁w ha,l e,▁wha le,a b,b c,ab c,a bc,a a,a aa,aa a";
  return {
    tokenizer: {
      added_tokens: [0, 1, 2].map(special),
      normalizer: {
        type: "Sequence",
        normalizers: [
          { type: "Prepend", prepend: "▁" },
          { type: "Replace", pattern: { String: " " }, content: "▁" },
        ],
      },
      model: {
        type: "BPE",
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: merges.split(",").map((pair) => pair.split(" ")),
        byte_fallback: true,
        fuse_unk: true,
        unk_token: "<unk>",
      },
    },
    config: { tokenizer_class: "LlamaTokenizer", bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" },
  };
})();

const size = ({ tokenizer }: TokenizerDefinition) =>
  Object.keys((tokenizer.model as { vocab: JsonObject }).vocab).length;

/** The metadata as they are read from a file. */
function metadataOf(
  definition: TokenizerDefinition,
  { warn = assert.fail as (message: string) => void, more = 0, ends = [2] as readonly number[] } = {},
) {
  const facts = { vocab: size(definition) + more, ends, warn };
  const typed = ggufTokenizerMetadata({ kind: "files", ...definition }, facts);
  return Object.fromEntries(Object.entries(typed).map(([key, { value }]) => [key, value]));
}

for (const [name, definition] of Object.entries({ TINY, PIECES })) {
  Deno.test(`ggufTokenizerMetadata() of ${name} gives the ids of the tokenizer it is made of, in a vocabulary of more rows`, () => {
    const metadata = metadataOf(definition, { more: 3 });
    const [written, own] = [{ kind: "gguf", metadata } as const, { kind: "files", ...definition } as const].map(
      openTokenizer,
    );
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."the whale in abcaa é🙂\n"), maxLength: 60 }), (text) => {
        assert.deepEqual(written.encode(text), own.encode(text));
      }),
    );
    assert.deepEqual([written.bos, written.eos], [own.bos, own.eos]);
    assert.equal((metadata["tokenizer.ggml.tokens"] as string[]).at(-1), `[PAD${size(definition) + 2}]`);
    assert.equal((metadata["tokenizer.ggml.token_type"] as number[]).at(-1), 5);
  });

  Deno.test(`tokenizerFiles() of ${name}'s metadata gives the same ids again`, () => {
    const files = tokenizerFiles({ kind: "gguf", metadata: metadataOf(definition) });
    const [tokenizer, config] = [files["tokenizer.json"], files["tokenizer_config.json"]];
    const again = openTokenizer({ kind: "files", tokenizer, config }),
      own = openTokenizer({ kind: "files", ...definition });
    for (const text of ["the whale", " in\n\nabcaaa é🙂", "<s>the</s>"]) {
      assert.deepEqual(again.encode(text), own.encode(text));
    }
  });
}

Deno.test("ggufTokenizerMetadata() names the pre-tokenizers that it wrote itself, LLaMA 3's and Qwen's too", () => {
  for (const pre of ["llama-bpe", "qwen2", "gpt-2", "smollm"]) {
    const rules = PRE_TOKENIZERS.get(pre);
    assert.ok(rules);
    const { tokenizer } = ggufTokenizer({ ...metadataOf(TINY), "tokenizer.ggml.pre": pre });
    const warned: string[] = [];
    const metadata = metadataOf({ tokenizer, config: TINY.config }, {
      warn: (message: string) => void warned.push(message),
    });
    assert.equal(metadata["tokenizer.ggml.pre"], pre);
    assert.equal(warned.some((message) => message.includes("NFC")), rules.nfc);
  }
});

Deno.test("ggufTokenizerMetadata() tells of tokens that end turns, of templates, and of what begins a text", () => {
  const config = {
    ...TINY.config,
    chat_template: [{ name: "default", template: "a" }, { name: "tool_use", template: "b" }],
  };
  const metadata = metadataOf({ ...TINY, config }, { ends: [2, 7] });
  const { "tokenizer.ggml.eos_token_id": eos, "tokenizer.ggml.eot_token_id": eot } = metadata;
  assert.deepEqual([eos, eot, metadata["tokenizer.ggml.add_eos_token"]], [2, 7, false]);
  assert.deepEqual([metadata["tokenizer.chat_template"], metadata["tokenizer.chat_template.tool_use"]], ["a", "b"]);
});

Deno.test("ggufTokenizerMetadata() copies a GGUF file's own, and knows when they are another model's", () => {
  const metadata = { ...metadataOf(TINY), "tokenizer.huggingface.json": "{}" }, facts = { ends: [], warn: assert.fail };
  const copy = ggufTokenizerMetadata({ kind: "gguf", metadata }, { vocab: size(TINY), ...facts });
  assert.deepEqual(copy["tokenizer.ggml.bos_token_id"], { kind: "u32", value: 1 });
  assert.equal(copy["tokenizer.huggingface.json"], undefined);
  const wrong = { ...metadata, "tokenizer.ggml.unknown_token_id": "x" };
  for (
    const [bad, vocab, why] of [[metadata, 9, /2048 tokens, and the embedding 9 rows/], [
      wrong,
      2048,
      /unknown_token_id/,
    ]] as const
  ) {
    assert.throws(
      () => ggufTokenizerMetadata({ kind: "gguf", metadata: bad }, { vocab, ...facts }),
      (error) => error instanceof InputError && why.test(error.message),
    );
  }
});

const changed = (definition: TokenizerDefinition, change: JsonObject, model: JsonObject = {}): TokenizerDefinition => ({
  ...definition,
  tokenizer: { ...definition.tokenizer, ...change, model: { ...(definition.tokenizer.model as JsonObject), ...model } },
});
const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
const added = (TINY.tokenizer.added_tokens as JsonObject[])[0];
const merges = (PIECES.tokenizer.model as { merges: string[][] }).merges;

const refused: readonly (readonly [string, TokenizerDefinition, RegExp])[] = [
  [
    "a prefix of its own",
    changed(TINY, { pre_tokenizer: { ...byteLevel, add_prefix_space: true } }),
    /pre-tokenizer is none/,
  ],
  ["no bytes at all", changed(TINY, { pre_tokenizer: { type: "Whitespace" } }), /pre-tokenizer is none/],
  ["words that go before merges", changed(TINY, {}, { ignore_merges: true }), /\(with ignore_merges\) is none/],
  ["lower case", changed(TINY, { normalizer: { type: "Lowercase" } }), /no normalizer .*Lowercase/],
  [
    "more tokens than rows",
    changed(TINY, { added_tokens: [added, { ...added, id: 2048, content: "<new>" }] }),
    /"<new>" has id 2048/,
  ],
  [
    "merges of a piece apart",
    changed(PIECES, {}, { merges: [merges[15], ...merges.slice(0, 15)] }),
    /"aa"\] comes too late|not those/,
  ],
  ["merges left out", changed(PIECES, {}, { merges: merges.slice(1) }), /not those of SentencePiece/],
  [
    "other spaces",
    changed(PIECES, { normalizer: { type: "Strip", strip_left: true, strip_right: true } }),
    /no such rules for spaces/,
  ],
];

for (const [what, definition, why] of refused) {
  Deno.test(`ggufTokenizerMetadata() refuses ${what}`, () => {
    assert.throws(
      () =>
        ggufTokenizerMetadata({ kind: "files", ...definition }, { vocab: size(definition), ends: [2], warn: () => {} }),
      (error) => error instanceof InputError && why.test(error.message),
    );
  });
}
