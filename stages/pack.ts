/**
 * pack: masks, signs, marks and scales of each block as bits, then the whole model as one file whose bytes are the claim.
 */
import { readdir } from "node:fs/promises";
import { dirname } from "node:path";
import { type Component, type EncodedLayer, encodeLayer, type LayerHeader } from "../checkpoints/packed/layer.ts";
import { uncompressedTensors, writePackedModel } from "../checkpoints/packed/write.ts";
import type { Tensor } from "../files/safetensors.ts";
import type { QuantizedLayer } from "../kernels/binary/ops.ts";
import type { LinearSpec } from "../models/spec.ts";
import { blockLinears } from "../models/tensors.ts";
import type { ArtifactReader, OutputRef, Step } from "../runner/stage.ts";
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
  /** By layer name, without `.weight`. */
  readonly headers: Readonly<Record<string, LayerHeader>>;
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
    const tensors = await reader.read(`${name}.safetensors`) as EncodedLayer["tensors"];
    yield [name, { header: headers[name], tensors }];
  }
}

function plan(planning: Planning): Step[] {
  const blocks = Array.from({ length: planning.spec.blocks }, (_, block) => block);
  return [...blocks.map((block) => blockStep(planning, block)), modelStep(planning, blocks)];
}

function blockStep({ spec, tools }: Planning, block: number): Step {
  return {
    id: `pack[${block}]`,
    stage: "pack",
    block,
    version: pack.version,
    reads: ["stages.pack.mask", "stages.pack.scales"],
    facts: { code: tools.sources.pack },
    inputs: { quantized: quantizedLayers(block) },
    outputs: { layers: { retain: "keep", bytes: 0.4 * blockWeights(spec) } },
    estimate: { seconds: blockWeights(spec) / 3e7, memory: 4 * blockWeights(spec) },
    async run(context) {
      const quantized = await context.input("quantized");
      const { layers, errors } = quantized.value as QuantizedBlock;
      const writer = context.output("layers");
      const options = {
        mask: context.param<LayerHeader["mask"]>("stages.pack.mask"),
        scales: context.param<LayerHeader["scales"]>("stages.pack.scales"),
      };
      const headers: Record<string, LayerHeader> = {};
      for (const [index, { name }] of blockLinears(spec, block).entries()) {
        context.signal.throwIfAborted();
        const { codes, scales } = await quantized.read(`${name}.safetensors`);
        const layer: QuantizedLayer = {
          ...layers[name],
          codes: codes.data as Uint8Array,
          scales: scales.data as Float32Array,
        };
        const encoded = encodeLayer(layer, options, await tools.pool().pack(layer, options.mask));
        await writer.write(`${name}.safetensors`, encoded.tensors as Record<Component, Tensor>);
        headers[name] = encoded.header;
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
