/** The packed model as a file: written once from all packed layers, and read block by block, a block ahead. */
import { join } from "node:path";
import type { EncodedLayer } from "../../checkpoints/packed/format.ts";
import { codePlanes, fromRecord } from "../../checkpoints/packed/formats.ts";
import { openPacked } from "../../checkpoints/packed/open.ts";
import { uncompressedTensors, writePackedModel } from "../../checkpoints/packed/write.ts";
import type { PackedCheckpoint } from "../../checkpoints/packed/open.ts";
import { readTensors, type TensorShapes } from "../../checkpoints/read_tensors.ts";
import { stateOf } from "../../files/file_state.ts";
import type { LinearSpec } from "../../models/spec.ts";
import type { ArtifactReader } from "../../runner/stage.ts";
import { storedTokenizer } from "../../tokenizers/tokenizer.ts";
import { PACKED_WEIGHTS, type PackedBlock } from "../artifacts.ts";
import type { Weights } from "./weights.ts";

/** What a model's file is written from. */
export interface ModelFileContent {
  /** The packed layers of all blocks, one block after another. */
  readonly layers: AsyncIterable<readonly [string, EncodedLayer]>;
  /** Names of the compressed layers, without `.weight`. */
  readonly names: ReadonlySet<string>;
  /** The method. */
  readonly method: string;
  /** Told what is unusual. */
  readonly warn: (message: string) => void;
}

/** An opened file; the tool closes it. */
export interface ModelFile {
  /** Tensors by canonical name, decoded; they are the caller's. */
  read(shapes: TensorShapes): Promise<Record<string, Float32Array>>;
  /** Begins to read what `read` will be asked for next, unless that is large: decoding then goes on beside what else is waited for. */
  ahead(shapes: TensorShapes): void;
}

/** Bytes of float32 values that are read ahead at most, so that large models take no more memory. */
const MOST_AHEAD = 1 << 28;

/** Writes and reads a packed model. */
export interface ModelFileTool {
  write(folder: string, weights: Weights, content: ModelFileContent): Promise<void>;
  /**
   * Reads a block's packed layers, in the model's order.
   *
   * @param coding whether planes stay as they are, or are entropy-coded where that makes them smaller
   */
  layers(
    packed: ArtifactReader,
    linears: readonly Pick<LinearSpec, "name">[],
    coding: "planes" | "entropy",
  ): AsyncGenerator<readonly [string, EncodedLayer]>;
  /** Opens the model in a folder; as long as its file is the same one, it is opened once. */
  open(folder: string): Promise<ModelFile>;
  close(): Promise<void>;
}

/** Makes the tool. */
export function openModelFileTool(): ModelFileTool {
  const opened = new Map<string, Promise<PackedCheckpoint>>(), files = new Map<string, ModelFile>();
  return {
    async write(folder, { checkpoint }, { layers, names, method, warn }) {
      const { config, tokenizer, generation } = checkpoint;
      await writePackedModel(folder, {
        layers,
        others: uncompressedTensors(checkpoint, names, warn),
        config,
        tokenizer: tokenizer && storedTokenizer(tokenizer),
        generation,
        source: { method },
      });
    },
    async *layers(packed, linears, coding) {
      const { headers } = packed.value as PackedBlock;
      for (const { name } of linears) {
        const layer = { ...fromRecord(headers[name]), tensors: await packed.read(`${name}.safetensors`) };
        yield [name, coding === "planes" ? layer : codePlanes(layer)];
      }
    },
    async open(folder) {
      // A file that was made again lies under the same name.
      const print = `${folder} ${stateOf(join(folder, PACKED_WEIGHTS))?.print}`;
      const packed = opened.get(print) ?? openPacked(folder);
      opened.set(print, packed);
      const file = files.get(print) ?? modelFile(await packed);
      files.set(print, file);
      return file;
    },
    async close() {
      for (const packed of opened.values()) await packed.then((open) => open.close(), () => {});
      opened.clear();
      files.clear();
    },
  };
}

function modelFile(packed: PackedCheckpoint): ModelFile {
  let coming: { readonly what: string; readonly tensors: Promise<Record<string, Float32Array>> } | undefined;
  const nameOf = (shapes: TensorShapes) => JSON.stringify([...shapes]);
  return {
    async read(shapes) {
      const known = coming;
      if (known?.what !== nameOf(shapes)) return await readTensors(packed, shapes);
      coming = undefined;
      return await known.tensors;
    },
    ahead(shapes) {
      const values = [...shapes.values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
      if (4 * values > MOST_AHEAD) return;
      const tensors = readTensors(packed, shapes);
      // Whoever asks for them is told of the failure.
      tensors.catch(() => {});
      coming = { what: nameOf(shapes), tensors };
    },
  };
}
