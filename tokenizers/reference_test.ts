/** Ids of the reference: Rust's tokenizers 0.22.2 and transformers 4.57.6; testdata/make_reference.py measures them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import fc from "fast-check";
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import { openTokenizer } from "./tokenizer.ts";

fc.configureGlobal({ seed: 1 });

interface Case {
  readonly base: "pieces" | "letters";
  readonly model?: JsonObject;
  readonly ids: readonly (readonly number[])[];
}

const json = (name: string) => JSON.parse(readFileSync(new URL(`testdata/${name}`, import.meta.url), "utf8"));
const rust: { bases: Record<string, JsonObject>; texts: string[]; cases: Record<string, Case> } = json("rust_ids.json");
const classes: { texts: string[]; rows: { case: Case; config: JsonObject; ids: number[][] }[] } = json(
  "transformers_ids.json",
);

function build({ base, model, ids: _, ...rest }: Partial<Case>): JsonObject {
  const tokenizer = rust.bases[base ?? "letters"];
  return { ...tokenizer, ...rest, model: { ...tokenizer.model as JsonObject, ...model } };
}

const LETTERS = build({});
const LEVEL = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
const open = (tokenizer: JsonObject, config: JsonObject = {}) => openTokenizer({ kind: "files", tokenizer, config });

Deno.test("encode() gives the ids of Rust's tokenizers for every kind that is taken", () => {
  assert.ok(Object.keys(rust.cases).length > 50);
  for (const [name, value] of Object.entries(rust.cases)) {
    const tokenizer = open(build(value));
    rust.texts.forEach((text, i) => {
      assert.deepEqual([...tokenizer.encode(text)], value.ids[i], `${name}: ${JSON.stringify(text)}`);
    });
  }
});

Deno.test("encode() puts bos and eos where transformers 4.57.6 does: by class, add_bos_token and post-processor", () => {
  assert.ok(classes.rows.length >= 40);
  for (const { case: value, config, ids } of classes.rows) {
    const tokenizer = open(build(value), config);
    classes.texts.forEach((text, i) => {
      assert.deepEqual([...tokenizer.encode(text)], ids[i], JSON.stringify([config, text]));
    });
  }
});

Deno.test("encode() reads half a character as U+FFFD, as it becomes wherever text is bytes", () => {
  const tokenizer = open(LETTERS);
  assert.deepEqual(tokenizer.encode("a\ud83d b"), tokenizer.encode("a\ufffd b"));
});

Deno.test("encode() refuses characters that the reference knows by another version of Unicode, where it matters", () => {
  const tokenizer = open({ ...LETTERS, normalizer: { type: "NFKC" } });
  assert.throws(() => tokenizer.encode("平成 ㋿"), (error) => {
    assert.ok(error instanceof InputError);
    assert.match(error.message, /U\+32FF.*NFKC/);
    return true;
  });
  assert.ok(open(LETTERS).encode("㋿").length > 0);
});

Deno.test("openTokenizer() refuses what cannot be reproduced exactly, and names it", () => {
  const split = (more: JsonObject) => ({
    pre_tokenizer: { type: "Split", pattern: { Regex: "a" }, behavior: "Isolated", invert: false, ...more },
  });
  const regex = (Regex: string) => split({ pattern: { Regex } });
  const added = (more: JsonObject) => ({ added_tokens: [{ id: 400, content: "<x>", ...more }] });
  const cases: [JsonObject, RegExp][] = [
    [{ normalizer: { type: "Precompiled", precompiled_charsmap: "" } }, /normalizer is of a kind .*"Precompiled"/],
    [{ normalizer: { type: "BertNormalizer" } }, /"BertNormalizer"/],
    [{ pre_tokenizer: { type: "UnicodeScripts" } }, /"UnicodeScripts"/],
    [{ decoder: { type: "WordPiece" } }, /decoder .*"WordPiece"/],
    [{ pre_tokenizer: { ...LEVEL, future: 1 } }, /the field "future"/],
    [{ model: { ...LETTERS.model as JsonObject, dropout: 0.1 } }, /dropout 0\.1/],
    [{ surprise: {} }, /the field "surprise"/],
    [split({ behavior: "Shuffled" }), /behavior must be one of/],
    [added({}), /added_tokens\[0\].*"<x>" with id 400, where its own library gives it/],
    [added({ content: "" }), /an empty token/],
    [{ post_processor: { type: "Magic" } }, /post_processor .*"Magic"/],
    ...[
      "\\1(a)",
      "(?i)a",
      "(?i:straße)",
      "(?i:ss)",
      "[[:alpha:]]",
      "[a&&b]",
      "\\G",
      "\\R",
      "\\p{Cn}",
      "(?<x>a)",
      "a{2}?",
      "a**",
      "(a",
      "a)",
    ]
      .map((source): [JsonObject, RegExp] => [regex(source), /cannot be reproduced exactly: .*expression/]),
  ];
  for (const [change, message] of cases) refused({ ...LETTERS, ...change }, {}, message);
  const configs: [JsonObject, RegExp][] = [
    [{ tokenizer_class: "BloomTokenizerFast" }, /tokenizer_class "BloomTokenizerFast"/],
    [{ tokenizer_class: "LlamaTokenizer", add_prefix_space: false }, /starts from tokenizer\.model/],
    [{ tokenizer_class: "LlamaTokenizer", bos_token: "" }, /add_bos_token is true but bos_token is ""/],
    [{ tokenizer_class: "LlamaTokenizer", add_bos_token: "yes" }, /add_bos_token must be true or false/],
    [{ split_special_tokens: true }, /split_special_tokens/],
  ];
  for (const [config, message] of configs) refused(LETTERS, config, message);
});

Deno.test("openTokenizer() says what is malformed", () => {
  const model = LETTERS.model as JsonObject;
  const cases: [JsonObject, RegExp][] = [
    [{ vocab: undefined }, /model\.vocab must be an object/],
    [{ vocab: ["a"] }, /model\.vocab must be an object/],
    [{ vocab: { a: 0, b: 0 }, merges: [] }, /"a" and "b" have id 0/],
    ...[-1, 0.5, 1e12, "1", null].map((
      id,
    ): [JsonObject, RegExp] => [{ vocab: { a: id } }, /id of "a" must be a whole/]),
    [{ merges: undefined }, /model\.merges must be a list/],
    [{ merges: [["a", "zzz"]] }, /merges\[0\] must be two tokens of the vocabulary/],
    [{ merges: ["a b c"] }, /merges\[0\] must be two tokens/],
    [{ merges: [7] }, /merges\[0\] must be two tokens/],
    [{ unk_token: "<none>" }, /unk_token must be in the vocabulary/],
    [{ fuse_unk: "no" }, /fuse_unk must be true or false/],
  ];
  for (const [change, message] of cases) refused({ ...LETTERS, model: { ...model, ...change } }, {}, message);
});

Deno.test("openTokenizer() gives one InputError for a definition that is broken anywhere, or opens it", () => {
  const definitions = Object.values(rust.cases).map((value) => {
    const tokenizer = build(value);
    const { vocab } = tokenizer.model as { vocab: Record<string, number> };
    const few = Object.fromEntries(Object.entries(vocab).slice(0, 6));
    return { ...tokenizer, model: { ...tokenizer.model as JsonObject, vocab: few, merges: [] } };
  });
  const junk = fc.constantFrom(null, undefined, -1, 0.5, 1e300, "", "x", "\ud800", true, [], [null], {}, { type: 1 });
  fc.assert(
    fc.property(
      fc.constantFrom(...definitions),
      fc.array(fc.nat(), { minLength: 1, maxLength: 8 }),
      junk,
      (from, path, value) => {
        const tokenizer = structuredClone(from) as Record<string, unknown>;
        let at: Record<string, unknown> = tokenizer;
        for (const [depth, step] of path.entries()) {
          const keys = Object.keys(at);
          if (keys.length === 0) break;
          const key = keys[step % keys.length];
          const inner = at[key];
          if (depth === path.length - 1 || typeof inner !== "object" || inner === null) {
            at[key] = value;
            break;
          }
          at = inner as Record<string, unknown>;
        }
        try {
          const opened = open(tokenizer, {});
          opened.decode(opened.encode("the <m> whale"));
        } catch (error) {
          assert.ok(error instanceof InputError, String((error as Error).stack));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

Deno.test("decode() gives nothing for ids that no token has, streamed or not", () => {
  const tokenizer = open({ ...LETTERS, pre_tokenizer: LEVEL, decoder: LEVEL });
  const ids = [...tokenizer.encode("the é")];
  const padded = ids.flatMap((id) => [tokenizer.size, id, tokenizer.size + 100]);
  assert.equal(tokenizer.decode(padded), "the é");
  const stream = tokenizer.streamDecoder();
  assert.equal(padded.map((id) => stream.push(id)).join("") + stream.flush(), "the é");
  assert.equal(tokenizer.decode([tokenizer.size]), "");
});

function refused(tokenizer: JsonObject, config: JsonObject, message: RegExp): void {
  assert.throws(() => open(tokenizer, config), (error) => {
    assert.ok(error instanceof InputError, String(error));
    assert.match(error.message, message);
    return true;
  });
}
