/**
 * pack: the quantized layers of each block as bits, then the whole model as one file whose bytes are the claim.
 */
import { readdir } from "node:fs/promises";
import { dirname } from "node:path";
import type { EncodedLayer } from "../checkpoints/packed/format.ts";
import { fromRecord, toRecord } from "../checkpoints/packed/formats.ts";
import { uncompressedTensors, writePackedModel } from "../checkpoints/packed/write.ts";
import type { JsonRecord } from "../files/json.ts";
import type { LinearSpec } from "../models/spec.ts";
import { blockLinears } from "../models/tensors.ts";
import type { ArtifactReader, Json, OutputRef, Step } from "../runner/stage.ts";
import { blockWeights, from, type Planning, type Stage } from "./planning.ts";
import { type QuantizedBlock, quantizedLayers } from "./spbo.ts";

/** The stage; see the file's head. */
export const pack: Stage = { name: "pack", version: 1, plan };

/** The packed model: `model.safetensors`, `config.json` and the tokenizer's files. */
export const PACKED_MODEL: OutputRef = from("pack", "model");

/** File of the artifact `PACKED_MODEL` that holds the weights. */
export const PACKED_WEIGHTS = "model.safetensors";

/** What a packed block's manifest holds. */
export type PackedBlock = {
  /** By layer name, without `.weight`: format and header, see `toRecord`. */
  readonly headers: Readonly<Record<string, JsonRecord>>;
  /** tr((W−Ŵ)H(W−Ŵ)ᵀ)/tr(WHWᵀ) by layer name. */
  readonly errors: Readonly<Record<string, number>>;
};

/** One block's packed layers. */
export function packedLayers(block: number): OutputRef {
  return from(`pack[${block}]`, "layers");
}

/** Reads a block's packed layers, in the model's order. */
export async function* readPackedLayers(
  reader: ArtifactReader,
  linears: readonly LinearSpec[],
): AsyncGenerator<readonly [string, EncodedLayer]> {
  const { headers } = reader.value as PackedBlock;
  for (const { name } of linears) {
    yield [name, { ...fromRecord(headers[name]), tensors: await reader.read(`${name}.safetensors`) }];
  }
}

function plan(planning: Planning): Step[] {
  const blocks = Array.from({ length: planning.spec.blocks }, (_, block) => block);
  return [...blocks.map((block) => blockStep(planning, block)), modelStep(planning, blocks)];
}

function blockStep({ spec, tools, recipe }: Planning, block: number): Step {
  const settings = Object.keys(recipe.stages.pack);
  return {
    id: `pack[${block}]`,
    stage: "pack",
    block,
    version: pack.version,
    reads: settings.map((name) => `stages.pack.${name}`),
    facts: { code: tools.sources.pack },
    inputs: { quantized: quantizedLayers(block) },
    outputs: { layers: { retain: "keep", bytes: 0.4 * blockWeights(spec) } },
    estimate: { seconds: blockWeights(spec) / 3e7, memory: 4 * blockWeights(spec) },
    async run(context) {
      const quantized = await context.input("quantized");
      const { layers, errors } = quantized.value as QuantizedBlock;
      const writer = context.output("layers");
      const options = Object.fromEntries(
        settings.map((name) => [name, context.param<Json>(`stages.pack.${name}`)]),
      );
      const headers: Record<string, JsonRecord> = {};
      for (const [index, { name }] of blockLinears(spec, block).entries()) {
        context.signal.throwIfAborted();
        const arrays = await quantized.read(`${name}.safetensors`);
        const encoded = await tools.pool().pack({ ...layers[name], arrays }, options);
        await writer.write(`${name}.safetensors`, encoded.tensors);
        headers[name] = toRecord(encoded);
        context.progress(index + 1, Object.keys(layers).length);
      }
      writer.value({ headers, errors });
    },
  };
}

function modelStep({ spec, checkpoint, identities, tools }: Planning, blocks: readonly number[]): Step {
  const weights = spec.blocks * blockWeights(spec);
  return {
    id: PACKED_MODEL.step,
    stage: "pack",
    version: pack.version,
    reads: [],
    facts: { rest: identities.rest },
    inputs: Object.fromEntries(blocks.map((block) => [`block ${block}`, packedLayers(block)])),
    outputs: { model: { retain: "keep", bytes: 0.4 * weights + 4 * spec.vocab * spec.hidden } },
    estimate: { seconds: 0.1 + weights / 5e8, memory: 8 * spec.vocab * spec.hidden },
    async run(context) {
      const writer = context.output("model");
      const folder = dirname(writer.path(PACKED_WEIGHTS));
      const layers = async function* () {
        for (const block of blocks) {
          context.signal.throwIfAborted();
          yield* readPackedLayers(await context.input(`block ${block}`), blockLinears(spec, block));
          context.progress(block + 1, blocks.length);
        }
      };
      const names = new Set(blocks.flatMap((block) => blockLinears(spec, block).map(({ name }) => tools.stored(name))));
      await writePackedModel(folder, {
        layers: layers(),
        others: uncompressedTensors(checkpoint, names, tools.warn),
        config: checkpoint.config,
        tokenizer: checkpoint.tokenizer,
        source: { method: "pbs2p" },
      });
      for (const file of await readdir(folder)) writer.path(file);
    },
  };
}
