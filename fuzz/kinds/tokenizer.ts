/** Tokenizers: tokenizer.json of several makes with its config, and vocab.json with merges.txt. */
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { projectFolder } from "../../cli/places.ts";
import { writeSafetensors } from "../../files/safetensors.ts";
import { openModel } from "../../models/open_model.ts";
import type { Kind, Target } from "../kind.ts";
import { readTexts } from "../read_model.ts";
import { smallConfig, smallTokenizer, smallTokenizerConfig, writeJson } from "../small_model.ts";

/** Files of GPT-2's kind. */
const VOCAB_FILES = ["vocab.json", "merges.txt", "tokenizer_config.json", "special_tokens_map.json"];

/** Llama 3's regular expression for words. */
const WORDS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*" +
  "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The kind. */
export const tokenizer: Kind = {
  name: "tokenizer",
  async make(folder) {
    const definition = await smallTokenizer();
    const split = { type: "Split", pattern: { Regex: WORDS }, behavior: "Isolated", invert: false };
    const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
    const definitions: Record<string, Record<string, unknown>> = {
      bytes: definition,
      words: { ...definition, pre_tokenizer: { type: "Sequence", pretokenizers: [split, bytes] } },
      pieces: pieces(definition),
    };
    for (const [name, content] of Object.entries(definitions)) {
      await writeWeights(join(folder, name));
      await writeJson(join(folder, name, "tokenizer.json"), content);
      await writeJson(join(folder, name, "tokenizer_config.json"), await smallTokenizerConfig());
    }
    await writeWeights(join(folder, "vocab"));
    const opt = join(projectFolder, "checkpoints", "testdata", "tiny_opt");
    for (const name of VOCAB_FILES) await copyFile(join(opt, name), join(folder, "vocab", name));
    const whole: Target[] = ["tokenizer.json", "tokenizer.json", "tokenizer_config.json"]
      .map((path) => ({ path, syntax: "json" }));
    return [
      ...Object.keys(definitions).map((name) => ({ name, targets: whole })),
      {
        name: "vocab",
        targets: VOCAB_FILES.map((path): Target => ({ path, syntax: path.endsWith(".txt") ? "lines" : "json" })),
      },
    ];
  },
  async read(folder, _sample, seen) {
    const checkpoint = await openModel({ path: folder });
    try {
      if (checkpoint.tokenizer !== undefined) readTexts(checkpoint.tokenizer, seen);
    } finally {
      checkpoint.close();
    }
  },
};

/** As LLaMA 2's: spaces as letters, no words, bytes for what the vocabulary lacks. */
function pieces(definition: Record<string, unknown>): Record<string, unknown> {
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
  const merged = ["▁t", "he", "▁the", "in", "wh", "al", "whal", "▁whal"];
  const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...merged, ..."▁thewinalUp,!"].map((token, id) => [token, id]);
  return {
    ...definition,
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "▁" },
        { type: "Replace", pattern: { String: " " }, content: "▁" },
      ],
    },
    pre_tokenizer: null,
    decoder: {
      type: "Sequence",
      decoders: [
        { type: "Replace", pattern: { String: "▁" }, content: " " },
        { type: "ByteFallback" },
        { type: "Fuse" },
        { type: "Strip", content: " ", start: 1, stop: 0 },
      ],
    },
    model: {
      ...{ type: "BPE", dropout: null, unk_token: "<unk>", continuing_subword_prefix: null, end_of_word_suffix: null },
      ...{ fuse_unk: true, byte_fallback: true, ignore_merges: false },
      vocab: Object.fromEntries(tokens),
      merges: ["▁ t", "h e", "▁t he", "i n", "w h", "a l", "wh al", "▁ whal"],
    },
  };
}

/** Weights are not looked at here, but a model has some. */
async function writeWeights(folder: string): Promise<void> {
  await Deno.mkdir(folder);
  const norm = { dtype: "F16", shape: [2], data: new Uint16Array(2) } as const;
  await writeSafetensors(join(folder, "model.safetensors"), { "model.norm.weight": norm }, {}, { flush: false });
  await writeJson(join(folder, "config.json"), await smallConfig());
}
