/**
 * The matrices with a row for each token of the vocabulary, as bits: the token embedding, and the head where that is another tensor.
 *
 * q8 is the nearest level of a grid of 8 bits for each row. A trellis is the method `trellis`, with H = I for the embedding and the second
 * moments of the head's inputs for the head. A tensor that is both, in a tied model, is weighted by those moments, brought to a mean
 * diagonal of 1, plus I: by what it does to logits and to the first hidden states alike.
 */
import { stackContent } from "../checkpoints/packed/stack.ts";
import type { LayerJob, LayerSettings } from "../layers/job.ts";
import { eachStrip, stripBits, stripsOf } from "../layers/strips.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { OutputRef, Step, StepContext } from "../runner/stage.ts";
import { from, type PackedBlock, type Roles } from "./artifacts.ts";
import { headMoments } from "./head_inputs.ts";
import type { Planning } from "./planning.ts";
import { type Statistics, storedStatistics } from "./statistics.ts";
import type { Tools } from "./tools/mod.ts";

/** How such a matrix is stored, in words of recipes. */
export const VOCABULARY_CODES = [
  "original",
  "q8",
  "trellis-8",
  "trellis-7",
  "trellis-6",
  "trellis-5",
  "trellis-4",
  "trellis-3",
] as const;

/** One of them. */
export type VocabularyCode = typeof VOCABULARY_CODES[number];

/** A matrix that is compressed. */
export interface VocabularyMatrix {
  readonly part: "embedding" | "head";
  /** Of its tensor, without `.weight`. */
  readonly name: string;
  readonly code: VocabularyCode;
  /** Key of the stage that says so. */
  readonly key: "embedding" | "head";
  /** What errors are weighed with. */
  readonly moments: "identity" | "head" | "both";
}

/** Settings of the stage that say how the matrices are stored. */
export interface VocabularySettings {
  readonly embedding: VocabularyCode;
  /** Default: as the embedding. */
  readonly head?: VocabularyCode;
}

/** The matrices of a model that are compressed. */
export function vocabularyMatrices(
  { frame: { tokens, head }, tied }: Pick<ModelSpec, "frame" | "tied">,
  { embedding, head: own }: VocabularySettings,
): VocabularyMatrix[] {
  const matrix = (part: "embedding" | "head", name: string, moments: VocabularyMatrix["moments"]): VocabularyMatrix => {
    const key = part === "head" && own !== undefined ? "head" : "embedding";
    const code = key === "head" && own !== undefined ? own : embedding;
    // A grid's levels do not depend on what weighs errors.
    return { part, key, code, name: name.replace(/\.weight$/, ""), moments: code === "q8" ? "identity" : moments };
  };
  const all = [
    matrix("embedding", tokens, tied ? "both" : "identity"),
    ...(tied ? [] : [matrix("head", head, "head")]),
  ];
  return all.filter(({ code }) => code !== "original");
}

/** The method of a code, and the bits a weight that it is given. */
function methodOf(
  code: VocabularyCode,
): { readonly method: "trellis" | "rtn"; readonly params: object; readonly bits?: number } {
  if (code === "q8") return { method: "rtn", params: { bits: 8, group_size: "row" } };
  return { method: "trellis", params: {}, bits: Number(code.slice(code.indexOf("-") + 1)) };
}

/** Format of a code's layers. */
export function formatOf(code: VocabularyCode): string {
  return code === "q8" ? "grid-stack" : "coded-stack";
}

/** Where a matrix's bits will be, as those of a block's layers are. */
export function vocabularyOf(stage: string, { part }: Pick<VocabularyMatrix, "part">): OutputRef {
  return from(`${stage}.${part}`, "layers");
}

/** Share of the mean of diag(H), where no stage says how much. */
const DAMPING = 0.01;

/** The step of one matrix. @param path the recipe's of a setting of the stage */
export function vocabularyStep(
  planning: Planning,
  { stage, matrix, scales, statistics }: {
    readonly stage: string;
    readonly matrix: VocabularyMatrix;
    /** Path of the setting that says how scales are stored. */
    readonly scales: string;
    readonly statistics: Roles["statistics"];
  },
): Step {
  const { spec, identities, device, roles: { feedback } } = planning;
  const { part, name, code, key, moments } = matrix, { method } = methodOf(code);
  const uses = { methods: [method], formats: [formatOf(code)] };
  const { tools, code: source } = planning.use(import.meta.url, ["weights", "layers", "packing"], uses);
  const path = `stages.${stage}.${key}`, damping = moments === "identity" ? undefined : feedback?.reads.damping;
  const rows = spec.vocab, cols = spec.embedding, to = vocabularyOf(stage, matrix);
  return {
    id: to.step,
    stage,
    code: source,
    reads: [path, ...(code === "q8" ? [scales] : []), ...(damping === undefined ? [] : [damping])],
    facts: { weights: identities[part], moments, device },
    inputs: moments === "identity" ? {} : { moments: headMoments(statistics) },
    outputs: { [to.output]: { retain: "keep", bytes: rows * cols } },
    estimate: { seconds: rows * cols / (method === "rtn" ? 2e7 : 1e6), memory: 16 * rows * cols + 16 * cols * cols },
    async run(context) {
      const tensor = `${name}.weight`;
      const { [tensor]: weight } = await tools.weights.read(new Map([[tensor, [rows, cols]]]));
      const settings: LayerSettings = {
        ...{ method, params: {} },
        search: { metric: "magnitude", type: "none", seed: 0 },
        feedback: {
          mode: moments === "identity" ? "none" : "columnwise",
          damping: damping === undefined ? DAMPING : context.param(damping),
        },
        scales: code === "q8" ? context.param(scales) : "f32",
      };
      const upper = moments === "identity"
        ? undefined
        : await weighing(storedStatistics(await context.input("moments")), { cols, both: moments === "both" });
      const { content, error } = await quantize(tools, context, {
        ...{ name, weight, rows, cols, settings },
        code: context.param<VocabularyCode>(path),
        ...(upper ? { upper } : {}),
      });
      const encoded = await tools.packing.pack(content, { scales: settings.scales });
      const writer = context.output(to.output);
      await writer.write(`${name}.safetensors`, encoded.tensors);
      const headers = { [name]: tools.packing.record(encoded) }, errors = { [name]: error };
      writer.value({ headers, errors } satisfies PackedBlock);
      context.measure({ errors });
    },
  };
}

/** H of the head's inputs with a mean diagonal of 1; plus I where the tensor is the embedding too. @returns packed upper triangle */
async function weighing(
  statistics: Statistics,
  { cols, both }: { readonly cols: number; readonly both: boolean },
): Promise<Float32Array> {
  const { upper } = await statistics.moments("head");
  let trace = 0;
  for (let i = 0, at = 0; i < cols; at += cols - i, i++) trace += upper[at];
  const unit = trace > 0 ? cols / trace : 1;
  for (let i = 0; i < upper.length; i++) upper[i] *= unit;
  if (both) { for (let i = 0, at = 0; i < cols; at += cols - i, i++) upper[at] += 1; }
  return upper;
}

/** Quantizes a matrix strip by strip. @returns its content, and its strips' mean error */
async function quantize(
  { layers }: Pick<Tools, "layers">,
  { progress, signal }: Pick<StepContext, "progress" | "signal">,
  { name, weight, rows, cols, upper, code, settings }: {
    readonly name: string;
    readonly weight: Float32Array;
    readonly rows: number;
    readonly cols: number;
    readonly upper?: Float32Array;
    readonly code: VocabularyCode;
    readonly settings: LayerSettings;
  },
) {
  const strips = stripsOf(rows, cols), cut = eachStrip(strips);
  const { params, bits } = methodOf(code);
  const shares = bits === undefined ? undefined : stripBits(weight, strips, bits);
  const jobs = cut.map(({ row, rows }, index): LayerJob => ({
    name: cut.length === 1 ? name : `${name}, rows ${row} to ${row + rows - 1}`,
    ...{ rows, cols, of: 1, keep: 1 },
    weight: weight.slice(row * cols, (row + rows) * cols),
    ...(upper ? { upper } : {}),
    settings: { ...settings, params: shares ? { ...params, bits: shares[index] } : params } as LayerSettings,
  }));
  let done = 0;
  const results = await layers().quantize(jobs, { signal, onLayer: () => progress(++done, cut.length) });
  const error = results.reduce((sum, { error }, index) => sum + error * cut[index].rows, 0) / rows;
  return { content: stackContent(results.map(({ layer }) => layer)), error };
}
