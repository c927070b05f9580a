/** Tokenizers of vocab.json and merges.txt, against transformers' GPT2Tokenizer. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { JsonObject, TokenizerSource, VocabFiles } from "../checkpoints/checkpoint.ts";
import { inMemoryHashes } from "../files/file_hashes.ts";
import { InputError } from "../files/input_error.ts";
import { folderFiles, readTokenizer } from "../checkpoints/model_files.ts";
import { vocabTokenizer } from "./vocab_tokenizer.ts";
import { openTokenizer, storedTokenizer } from "./tokenizer.ts";

// testdata/make_pytorch.py writes the files and the reference ids; its slow and fast tokenizers agree on them.
const testdata = new URL("../checkpoints/testdata/", import.meta.url);
const read = (name: string) => readFileSync(new URL(name, testdata), "utf8");
const json = (name: string) => JSON.parse(read(name));
const opt = (): VocabFiles => ({
  label: "tiny_opt",
  vocab: json("tiny_opt/vocab.json"),
  merges: read("tiny_opt/merges.txt"),
  config: json("tiny_opt/tokenizer_config.json"),
  special: json("tiny_opt/special_tokens_map.json"),
  added: {},
});
const open = (files: VocabFiles) => openTokenizer({ kind: "vocab", files });

Deno.test("readTokenizer() gives the ids of transformers' GPT2Tokenizer for OPT's files, bos first", async () => {
  const files = await folderFiles(fileURLToPath(new URL("tiny_opt", testdata)), inMemoryHashes());
  const source = await readTokenizer(files) ?? assert.fail();
  const tokenizer = openTokenizer(source);
  const cases: { text: string; ids: number[]; plain: number[] }[] = json("tokens.json");
  assert.ok(cases.length >= 10);
  for (const { text, ids, plain } of cases) {
    assert.deepEqual([...tokenizer.encode(text)], ids, text);
    assert.deepEqual([...tokenizer.encode(text, { special: false })], plain, text);
    assert.equal(tokenizer.decode(plain), text);
    assert.equal(ids[0], 2, "bos");
  }
  assert.deepEqual([tokenizer.bos, tokenizer.eos, tokenizer.size], [2, 2, 417]);
});

Deno.test("vocabTokenizer() is whole without its config: what a packed model stores decides the same ids", () => {
  const stored = storedTokenizer({ kind: "vocab", files: opt() });
  assert.ok(stored.kind === "files");
  const reopened = openTokenizer(JSON.parse(JSON.stringify(stored)));
  assert.equal(reopened.fingerprint(), open(opt()).fingerprint());
  const alone: TokenizerSource = { kind: "files", tokenizer: JSON.parse(JSON.stringify(stored.tokenizer)), config: {} };
  for (const { text, ids } of json("tokens.json")) assert.deepEqual([...openTokenizer(alone).encode(text)], ids, text);
});

Deno.test("vocabTokenizer() follows add_bos_token, add_prefix_space and the special tokens of either file", () => {
  const { config, special, ...rest } = opt();
  const ids = (config: JsonObject, special: JsonObject) => [...open({ ...rest, config, special }).encode("the")];
  const the = ids(config, special).slice(1);
  assert.deepEqual(ids({ ...config, add_bos_token: false }, special), the);
  const { add_bos_token: _, ...silent } = config;
  assert.deepEqual(ids(silent, special), the, "GPT-2's default");
  assert.deepEqual(ids(config, {}), [2, ...the]);
  assert.deepEqual(ids({ add_bos_token: true }, special), [2, ...the]);
  assert.deepEqual(ids(config, { ...special, bos_token: "<s>" }), [0, ...the], "the map goes first");
  assert.deepEqual(ids({ ...config, add_prefix_space: true }, special), [2, 267], 'as " the" elsewhere');
});

Deno.test("vocabTokenizer() gives special tokens that the vocabulary lacks the next ids", () => {
  const tokenizer = open({ ...opt(), config: { add_bos_token: true }, special: {}, added: { "<extra>": 417 } });
  assert.equal(tokenizer.bos, 418);
  assert.deepEqual([...tokenizer.encode("<extra><|endoftext|>")], [418, 417, 418]);
  // transformers 4.57.6 makes 417 of it with its fast tokenizer, and 420 with its slow one.
  assert.throws(() => open({ ...opt(), added: { "<extra>": 420 } }), /"<extra>" with id 420, .* gives it 417/);
});

Deno.test("vocabTokenizer() takes the tokens of merges.txt as they are, with either kind of line ends", () => {
  const files = opt();
  const expected = vocabTokenizer(files);
  assert.deepEqual(vocabTokenizer({ ...files, merges: files.merges.replaceAll("\n", "\r\n") }), expected);
  assert.deepEqual(vocabTokenizer({ ...files, merges: files.merges.replace(/^#version.*\n/, "").trimEnd() }), expected);
});

Deno.test("vocabTokenizer() says what is wrong with its files", () => {
  const cases: [Partial<VocabFiles>, RegExp][] = [
    [{ merges: "#version: 0.2\na b c\n" }, /merges\.txt of tiny_opt: line 2 .* "a b c"/],
    [{ merges: "word\n" }, /line 1 .* "word"/],
    [{ merges: "zz qq\n" }, /line 1 must be two tokens that vocab\.json has/],
    [{ vocab: { a: "1" } }, /vocab\.json of tiny_opt: the id of "a" must be a number: current value is "1"/],
    [{ added: { a: -1 } }, /added_tokens\.json.*"a"/],
  ];
  for (const [change, message] of cases) {
    assert.throws(() => vocabTokenizer({ ...opt(), ...change }), (error) => {
      assert.ok(error instanceof InputError, String(error));
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("readTokenizer() leaves files of other tokenizers alone, and prefers tokenizer.json", async () => {
  const content: Record<string, string> = {
    "vocab.json": read("tiny_opt/vocab.json"),
    "merges.txt": read("tiny_opt/merges.txt"),
    "tokenizer_config.json": JSON.stringify({ tokenizer_class: "RobertaTokenizer" }),
  };
  const source = () => ({
    label: "x",
    names: new Set(Object.keys(content)),
    text: (name: string) => Promise.resolve(content[name]),
    open: () => assert.fail("weights are not needed"),
  });
  assert.equal(await readTokenizer(source()), undefined);
  content["tokenizer_config.json"] = JSON.stringify({ tokenizer_class: "GPT2Tokenizer" });
  assert.equal((await readTokenizer(source()))?.kind, "vocab");
  content["tokenizer.json"] = JSON.stringify({ model: "this one" });
  const preferred = await readTokenizer(source());
  assert.deepEqual(preferred?.kind === "files" && preferred.tokenizer, { model: "this one" });
});
