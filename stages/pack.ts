/**
 * pack: the quantized layers of each block as bits, then the whole model as one file whose bytes are the claim.
 */
import { readdir } from "node:fs/promises";
import { dirname } from "node:path";
import * as z from "zod";
import type { JsonRecord } from "../files/json.ts";
import { MAX_RANKED_OF } from "../kernels/packing/ops.ts";
import { blockLinears, linearWeights } from "../models/tensors.ts";
import { error, type Rule } from "../recipes/language.ts";
import type { Json, Step } from "../runner/stage.ts";
import { from, PACKED_WEIGHTS, type PackedBlock, type QuantizedBlock, type Roles } from "./artifacts.ts";
import type { Planning, Stage } from "./planning.ts";

const Params = z.strictObject({
  scales: z.enum(["f16", "f32"]).default("f16").describe("Type of the stored scales"),
  mask: z.enum(["enumerative", "bitmask"]).default("enumerative").describe(
    "Keep masks as the index of the pattern (log2 C(M,N) bits), or one bit a weight",
  ),
});
type Params = z.infer<typeof Params>;

/** Settings of the stage. */
export type PackParams = Params;

const NAME = "pack";
const path = (key: string) => `stages.${NAME}.${key}`;

/** Of each block, its layers as bits. */
const layersOf = (block: number) => from(`${NAME}[${block}]`, "layers");
/** `model.safetensors`, `config.json` and the tokenizer's files. */
const MODEL = from(NAME, "model");

const OF = "stages.coarse-search.of";
const TYPE = "stages.fine-search.type";

const rules: readonly Rule[] = [
  {
    reads: [path("mask"), OF, TYPE],
    check({ value, blame }) {
      const every = value<number>(OF) ?? 1;
      if (value(TYPE) !== "semi-structured" || value(path("mask")) !== "enumerative" || every <= MAX_RANKED_OF) {
        return [];
      }
      return [
        error(
          blame(path("mask"), OF),
          `mask \`enumerative\` counts patterns of at most ${MAX_RANKED_OF} weights: of is ${every}`,
          {
            allowed: `${path("mask")}: bitmask, or an of up to ${MAX_RANKED_OF}`,
          },
        ),
      ];
    },
  },
];

/** The stage; see the file's head. */
export const pack: Stage<Params> = {
  name: NAME,
  summary: "Writes the compressed model; its bytes are the claim",
  params: Params,
  rules,
  makes: ["packed"],
  needs: ["quantized"],
  offer: (settings) => ({
    packed: {
      model: MODEL,
      block: layersOf,
      scales: settings.scales,
      reads: {
        scales: path("scales"),
        options: Object.fromEntries(Object.keys(settings).map((name) => [name, path(name)])),
      },
    },
  }),
  plan(planning, settings) {
    const { spec, roles: { quantized } } = planning;
    if (quantized === undefined) return [];
    const blocks = Array.from({ length: spec.blocks }, (_, block) => block);
    return [
      ...blocks.map((block) => blockStep(planning, { settings, quantized, block })),
      modelStep(planning, quantized, blocks),
    ];
  },
};

function blockStep(
  planning: Planning,
  { settings, quantized, block }: {
    readonly settings: Params;
    readonly quantized: Roles["quantized"];
    readonly block: number;
  },
): Step {
  const { spec } = planning, weights = linearWeights(spec);
  const { tools, code } = planning.use(import.meta.url, ["packing"]);
  const names = Object.keys(settings);
  return {
    id: layersOf(block).step,
    stage: NAME,
    block,
    code,
    reads: names.map(path),
    facts: {},
    inputs: { quantized: quantized.block(block) },
    outputs: { layers: { retain: "keep", bytes: 0.4 * weights } },
    estimate: { seconds: weights / 3e7, memory: 4 * weights },
    async run(context) {
      const input = await context.input("quantized");
      const { layers, errors } = input.value as QuantizedBlock;
      const writer = context.output("layers");
      const options = Object.fromEntries(names.map((name) => [name, context.param<Json>(path(name))]));
      const headers: Record<string, JsonRecord> = {};
      let written = Promise.resolve();
      for (const [index, { name }] of blockLinears(spec, block).entries()) {
        context.signal.throwIfAborted();
        const arrays = await input.read(`${name}.safetensors`);
        const encoded = await tools.packing.pack({ ...layers[name], arrays }, options);
        await written;
        // On its way to the disk while the next layer is packed.
        written = writer.write(`${name}.safetensors`, encoded.tensors);
        written.catch(() => {});
        headers[name] = tools.packing.record(encoded);
        context.progress(index + 1, Object.keys(layers).length);
      }
      await written;
      writer.value({ headers, errors } satisfies PackedBlock);
    },
  };
}

function modelStep(planning: Planning, { method }: Roles["quantized"], blocks: readonly number[]): Step {
  const { spec, identities, warn } = planning, weights = spec.blocks * linearWeights(spec);
  const { tools, code } = planning.use(import.meta.url, ["weights", "model_file"]);
  return {
    id: MODEL.step,
    stage: NAME,
    code,
    reads: [],
    facts: { rest: identities.rest, companions: identities.companions, method },
    inputs: Object.fromEntries(blocks.map((block) => [`block ${block}`, layersOf(block)])),
    outputs: { model: { retain: "keep", bytes: 0.4 * weights + 4 * spec.vocab * spec.hidden } },
    estimate: { seconds: 0.1 + weights / 5e8, memory: 8 * spec.vocab * spec.hidden },
    async run(context) {
      const writer = context.output("model");
      const folder = dirname(writer.path(PACKED_WEIGHTS));
      const layers = async function* () {
        for (const block of blocks) {
          context.signal.throwIfAborted();
          yield* tools.model_file.layers(await context.input(`block ${block}`), blockLinears(spec, block));
          context.progress(block + 1, blocks.length);
        }
      };
      const names = new Set(blocks.flatMap((block) => blockLinears(spec, block).map(({ name }) => name)));
      await tools.model_file.write(folder, tools.weights, { layers: layers(), names, method, warn });
      for (const file of await readdir(folder)) writer.path(file);
    },
  };
}
