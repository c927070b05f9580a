/**
 * pack: the quantized layers of each block as bits, embedding and head too where that is asked for (`vocabulary.ts`), then the whole model
 * as one file whose bytes are the claim, with planes entropy-coded where that is asked for.
 */
import { readdir } from "node:fs/promises";
import { dirname } from "node:path";
import * as z from "zod";
import { codingOf } from "../checkpoints/packed/formats.ts";
import type { JsonRecord } from "../files/json.ts";
import { InputError } from "../files/input_error.ts";
import { MAX_RANKED_OF } from "../kernels/packing/ops.ts";
import { blockLinears, linearWeights } from "../models/tensors.ts";
import { error, type Rule } from "../recipes/language.ts";
import { words } from "../recipes/words.ts";
import type { Json, Step } from "../runner/stage.ts";
import { from, PACKED_WEIGHTS, type PackedBlock, type QuantizedBlock, type Roles } from "./artifacts.ts";
import { headInputs } from "./head_inputs.ts";
import type { Planning, Stage } from "./planning.ts";
import {
  formatOf,
  VOCABULARY_CODES,
  vocabularyMatrices,
  type VocabularyMatrix,
  vocabularyOf,
  vocabularyStep,
} from "./vocabulary.ts";

const Params = z.strictObject({
  scales: z.enum(["f16", "f32"]).default("f16").describe("Type of the stored scales"),
  mask: z.enum(["enumerative", "bitmask"]).default("enumerative").describe(
    "Keep masks as the index of the pattern (log2 C(M,N) bits), or one bit a weight",
  ),
  coding: z.enum(["planes", "entropy"]).default("planes").describe(
    "Planes as they are, or each that takes fewer bytes so entropy-coded: a smaller file of the same weights, which older versions refuse",
  ),
  embedding: words(VOCABULARY_CODES).default("original").describe(
    "The token embedding: in its type, in 8 bits with a scale for each row, or in so many bits a weight of the method trellis, where " +
      "errors count as they are (H = I); a tensor that is the head too is weighed with the second moments of the head's inputs, plus I",
  ),
  head: words(VOCABULARY_CODES).optional().describe(
    "The same of the head, with the second moments of its inputs on calibration windows; default: as the embedding",
  ),
});
type Params = z.infer<typeof Params>;

/** Settings of the stage. */
export type PackParams = Params;

const NAME = "pack";
/** Settings of the blocks' layers. */
const OF_LAYERS = ["scales", "mask"] as const;
/** Of the model's file alone, so that what is calibrated on packed blocks does not depend on it. */
const CODING = "coding";
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
  uses: ["statistics", "feedback"],
  offer: (settings, spec) => ({
    packed: {
      model: MODEL,
      block: layersOf,
      formats: (layers) => formatsOf(layers, settings, vocabularyMatrices(spec, settings)),
      scales: settings.scales,
      reads: {
        scales: path("scales"),
        options: Object.fromEntries(OF_LAYERS.map((name) => [name, path(name)])),
      },
    },
  }),
  check({ spec }, { embedding, head }) {
    if (!spec.tied || head === undefined || head === embedding) return;
    throw new InputError(
      `Cannot pack the head as ${head} (${
        path("head")
      }) and the embedding as ${embedding} as they are one tensor of this model: leave ` +
        "out the head, or say the same of both",
    );
  },
  plan(planning, settings) {
    const { spec, roles: { quantized, statistics, packed } } = planning;
    if (quantized === undefined || statistics === undefined || packed === undefined) return [];
    if (settings.coding === "entropy" && codingOf(quantized.format) === undefined) {
      planning.warn(
        `${
          path(CODING)
        }: entropy changes no layer of a block: the method ${quantized.method} leaves them entropy-coded as they are`,
      );
    }
    const blocks = Array.from({ length: spec.blocks }, (_, block) => block);
    const matrices = vocabularyMatrices(spec, settings);
    return [
      ...blocks.map((block) => blockStep(planning, { quantized, block })),
      ...(matrices.some(({ moments }) => moments !== "identity") ? [headInputs(planning, { statistics, packed })] : []),
      ...matrices.map((matrix) =>
        vocabularyStep(planning, { stage: NAME, matrix, scales: path("scales"), statistics })
      ),
      modelStep(planning, settings, { quantized, blocks, matrices }),
    ];
  },
};

function blockStep(
  planning: Planning,
  { quantized, block }: {
    readonly quantized: Roles["quantized"];
    readonly block: number;
  },
): Step {
  const { spec } = planning, weights = linearWeights(spec);
  const { tools, code } = planning.use(import.meta.url, ["packing"]);
  return {
    id: layersOf(block).step,
    stage: NAME,
    block,
    code,
    reads: OF_LAYERS.map(path),
    facts: {},
    inputs: { quantized: quantized.block(block) },
    outputs: { layers: { retain: "keep", bytes: 0.4 * weights } },
    estimate: { seconds: weights / 3e7, memory: 4 * weights },
    async run(context) {
      const input = await context.input("quantized");
      const { layers, ...measured } = input.value as QuantizedBlock;
      const writer = context.output("layers");
      const options = Object.fromEntries(OF_LAYERS.map((name) => [name, context.param<Json>(path(name))]));
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
      writer.value({ headers, ...measured } satisfies PackedBlock);
    },
  };
}

/** Formats of the model's layers, besides the one that blocks' layers are packed in. */
function formatsOf(layers: string, { coding }: Params, matrices: readonly VocabularyMatrix[]): string[] {
  const own = [...new Set(matrices.map(({ code }) => formatOf(code)))];
  return coding === "planes" ? own : [...own, ...[layers, ...own].flatMap((name) => codingOf(name)?.name ?? [])];
}

function modelStep(planning: Planning, settings: Params, { quantized: { method, format }, blocks, matrices }: {
  readonly quantized: Roles["quantized"];
  readonly blocks: readonly number[];
  readonly matrices: readonly VocabularyMatrix[];
}): Step {
  const { spec, identities, warn } = planning, weights = spec.blocks * linearWeights(spec);
  const { tools, code } = planning.use(import.meta.url, ["weights", "model_file"], {
    formats: formatsOf(format, settings, matrices),
  });
  return {
    id: MODEL.step,
    stage: NAME,
    code,
    reads: [path(CODING)],
    facts: { rest: identities.rest, companions: identities.companions, method },
    inputs: Object.fromEntries([
      ...blocks.map((block) => [`block ${block}`, layersOf(block)]),
      ...matrices.map((matrix) => [matrix.part, vocabularyOf(NAME, matrix)]),
    ]),
    outputs: { model: { retain: "keep", bytes: 0.4 * weights + 4 * spec.vocab * spec.hidden } },
    estimate: {
      seconds: 0.1 + weights / (settings.coding === "planes" ? 5e8 : 2e7),
      memory: 8 * spec.vocab * spec.hidden,
    },
    async run(context) {
      const writer = context.output("model");
      const folder = dirname(writer.path(PACKED_WEIGHTS)), coding = context.param<Params["coding"]>(path(CODING));
      const layers = async function* () {
        for (const block of blocks) {
          context.signal.throwIfAborted();
          yield* tools.model_file.layers(await context.input(`block ${block}`), blockLinears(spec, block), coding);
          context.progress(block + 1, blocks.length);
        }
        for (const matrix of matrices) {
          yield* tools.model_file.layers(await context.input(matrix.part), [matrix], coding);
        }
      };
      const linears = blocks.flatMap((block) => blockLinears(spec, block).map(({ name }) => name));
      const names = new Set([...linears, ...matrices.map(({ name }) => name)]);
      await tools.model_file.write(folder, tools.weights, { layers: layers(), names, method, warn });
      for (const file of await readdir(folder)) writer.path(file);
    },
  };
}
