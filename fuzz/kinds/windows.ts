/** Datasets in files: stored token windows, and text. */
import { join } from "node:path";
import { loadWindows, type WindowOptions } from "../../datasets/mod.ts";
import { writeSafetensors } from "../../files/safetensors.ts";
import { openTokenizer, type Tokenizer } from "../../tokenizers/tokenizer.ts";
import type { Kind } from "../kind.ts";
import { readJson, smallTokenizer, smallTokenizerConfig, VOCAB, writeJson } from "../small_model.ts";

/** The shape of the stored windows. */
const WINDOWS = 4, LENGTH = 16;

const TEXT = "The whale, the whale! Up helm, up helm!\r\nünïcødé 日本語 🦙\n\n".repeat(8);

let opened: Tokenizer | undefined;

/** The kind. */
export const windows: Kind = {
  name: "windows",
  async make(folder) {
    for (const name of ["stored", "text"]) await Deno.mkdir(join(folder, name));
    const size = WINDOWS * LENGTH;
    const tensors = {
      calibration: { dtype: "I32", shape: [WINDOWS, LENGTH], data: Int32Array.from({ length: size }, wordAt) },
      heldout: {
        dtype: "I64",
        shape: [WINDOWS, LENGTH],
        data: BigInt64Array.from({ length: size }, (_, at) => BigInt(wordAt(_, at))),
      },
    } as const;
    await writeSafetensors(join(folder, "stored", "windows.safetensors"), tensors, {}, { flush: false });
    await Deno.writeTextFile(join(folder, "text", "text.txt"), TEXT);
    await writeJson(join(folder, "text", "tokenizer.json"), await smallTokenizer());
    await writeJson(join(folder, "text", "tokenizer_config.json"), await smallTokenizerConfig());
    return [
      { name: "stored", targets: [{ path: "windows.safetensors", syntax: "safetensors" }] },
      { name: "text", targets: [{ path: "text.txt", syntax: "lines" }] },
    ];
  },
  async read(folder, sample, seen) {
    const options = { tokenizer: undefined, vocab: VOCAB, seed: 1 } as const;
    const load = async (dataset: Parameters<typeof loadWindows>[0], more: WindowOptions) => {
      const { ids, windows, length, facts } = await loadWindows(dataset, more);
      seen("windows", { windows, length, facts });
      if (ids.length !== windows * length || ids.some((id) => id < 0 || id >= VOCAB)) {
        throw new TypeError(`Cannot use windows: ${ids.length} ids are not ${windows} of ${length}, or not all known`);
      }
    };
    if (sample === "text") {
      const text = join(folder, "text.txt");
      const tokenizer = opened ??= openTokenizer({
        kind: "files",
        tokenizer: await readJson(join(folder, "tokenizer.json")),
        config: await readJson(join(folder, "tokenizer_config.json")),
      });
      await load({ text }, { ...options, tokenizer, split: "evaluation", length: 8 });
      await load({ text }, { ...options, tokenizer, split: "calibration", samples: 3, length: 16 });
      return;
    }
    const stored = (tensor: string) => ({ windows: join(folder, "windows.safetensors"), tensor });
    await load(stored("calibration"), { ...options, split: "calibration" });
    await load(stored("calibration"), { ...options, split: "calibration", samples: 2, length: 8 });
    await load(stored("heldout"), { ...options, split: "evaluation" });
  },
};

function wordAt(_: unknown, at: number): number {
  return at * 7 % VOCAB;
}
