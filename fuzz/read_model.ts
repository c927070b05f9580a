/** A model read as plan and run do: opened, its shape told, every tensor and some text read. */
import type { TokenizerSource } from "../checkpoints/checkpoint.ts";
import type { ModelSource } from "../checkpoints/open.ts";
import { readTensors } from "../checkpoints/read_tensors.ts";
import { modelSpec } from "../models/config.ts";
import { openModel } from "../models/open_model.ts";
import { blockLinears, blockShapes, embeddingShapes, headShapes } from "../models/tensors.ts";
import { openTokenizer } from "../tokenizers/tokenizer.ts";
import type { Seen } from "./kind.ts";

/** Blocks that are read; the samples have fewer. */
const MOST_BLOCKS = 4;

/** Texts with all that tokenizers treat in ways of their own. */
const TEXTS: readonly string[] = [
  "The whale, the whale! Up helm, up helm!",
  "  two  spaces\n\n\tand 1234567890 digits, don't\r\n",
  "ünïcødé 日本語 🦙 e\u0301 \ufeff\u200d\u0000<s></s><unk>",
  "ab".repeat(500),
  "",
];

/** Reads a model. */
export async function readModel(source: ModelSource, seen: Seen): Promise<void> {
  const checkpoint = await openModel(source);
  try {
    const spec = modelSpec(checkpoint.config);
    seen("the model's shape", spec);
    for (const name of checkpoint.tensors.keys()) seen(name, await checkpoint.read(name));
    seen("the embedding", await readTensors(checkpoint, embeddingShapes(spec)));
    seen("the head", await readTensors(checkpoint, headShapes(spec)));
    for (let block = 0; block < Math.min(spec.blocks, MOST_BLOCKS); block++) {
      seen("a block's layers", blockLinears(spec, block));
      seen(`block ${block}`, await readTensors(checkpoint, blockShapes(spec, block)));
    }
    await checkpoint.identity([...checkpoint.tensors.keys()]);
    if (checkpoint.tokenizer !== undefined) readTexts(checkpoint.tokenizer, seen);
  } finally {
    checkpoint.close();
  }
}

/** Reads a tokenizer: texts to ids and back. */
export function readTexts(source: TokenizerSource, seen: Seen): void {
  const tokenizer = openTokenizer(source);
  seen("the tokenizer's size", tokenizer.size);
  seen("its special tokens", [tokenizer.bos ?? 0, tokenizer.eos ?? 0]);
  for (const text of TEXTS) {
    const ids = tokenizer.encode(text);
    const decoded: unknown = tokenizer.decode(ids);
    if (typeof decoded !== "string") throw new TypeError(`Cannot use what was decoded: it is a ${typeof decoded}`);
    const stream = tokenizer.streamDecoder();
    for (const id of ids) stream.push(id);
  }
  tokenizer.encode(TEXTS[0], { special: false });
  tokenizer.fingerprint();
}
