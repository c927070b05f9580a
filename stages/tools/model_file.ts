/** The packed model as a file: written once from all packed layers, and read block by block. */
import type { EncodedLayer } from "../../checkpoints/packed/format.ts";
import { fromRecord } from "../../checkpoints/packed/formats.ts";
import { openPacked } from "../../checkpoints/packed/open.ts";
import { uncompressedTensors, writePackedModel } from "../../checkpoints/packed/write.ts";
import { readTensors, type TensorShapes } from "../../checkpoints/read_tensors.ts";
import type { LinearSpec } from "../../models/spec.ts";
import type { ArtifactReader } from "../../runner/stage.ts";
import { storedTokenizer } from "../../tokenizers/tokenizer.ts";
import type { PackedBlock } from "../artifacts.ts";
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

/** An opened file. */
export interface ModelFile {
  (shapes: TensorShapes): Promise<Record<string, Float32Array>>;
  close(): void;
}

/** Writes and reads a packed model. */
export interface ModelFileTool {
  write(folder: string, weights: Weights, content: ModelFileContent): Promise<void>;
  /** Reads a block's packed layers, in the model's order. */
  layers(
    packed: ArtifactReader,
    linears: readonly Pick<LinearSpec, "name">[],
  ): AsyncGenerator<readonly [string, EncodedLayer]>;
  open(folder: string): Promise<ModelFile>;
}

/** Makes the tool. */
export function openModelFileTool(): ModelFileTool {
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
    async *layers(packed, linears) {
      const { headers } = packed.value as PackedBlock;
      for (const { name } of linears) {
        yield [name, { ...fromRecord(headers[name]), tensors: await packed.read(`${name}.safetensors`) }];
      }
    },
    async open(folder) {
      const packed = await openPacked(folder);
      return Object.assign((shapes: TensorShapes) => readTensors(packed, shapes), { close: () => packed.close() });
    },
  };
}
