/**
 * calibrate: token windows, and per transformer block S = XᵀX of every distinct input.
 *
 * With `inputs: sequential` block i sees what the compressed blocks before it put out; with `original` what the original ones do. With
 * `renewed` each input is seen as the compressed layers before it in the block leave it, too: those passes are the method's step's
 * (`quantize_renewed.ts`). With `target: original` a second stream of hidden states, the original model's, goes beside the first, and the
 * cross moments of each input come with S. The blocks' steps are in `calibrate_block.ts`.
 */
import * as z from "zod";
import { InputError } from "../files/input_error.ts";
import { DAMPINGS } from "../layers/choose_propagation.ts";
import { addsPlainly } from "../models/forward.ts";
import { blockLinears } from "../models/tensors.ts";
import { error, type Rule, warning } from "../recipes/language.ts";
import { nearest } from "../recipes/suggest.ts";
import { count, words } from "../recipes/words.ts";
import { from } from "./artifacts.ts";
import { calibrateBlock, enteringBlock, enteringOriginal, originalEntering } from "./calibrate_block.ts";
import { calibrationText, calibrationWindows } from "./calibrate_windows.ts";
import { CalibrationDataset } from "./dataset_schema.ts";
import { endsIn } from "./layer_names.ts";
import type { Opened, Stage } from "./planning.ts";

const Params = z.strictObject({
  dataset: CalibrationDataset.default("c4").describe("Text whose activations weigh the errors (PBS²P: C4)"),
  samples: count(1, 1_000_000).default(128).describe("Sequences (GPTQ and its lineage: 128)"),
  length: count(2, 1_048_576).default(2048).describe("Tokens per sequence; at most the model's maximum"),
  held_out: count(0, 1_000_000).default(0).describe(
    "Further sequences of the same text, of which nothing but layers' errors is told: beside those on the samples they " +
      "say whether more samples would help",
  ),
  seed: count(0, 4_294_967_295).default(0).describe("Of the drawing of sequences from text, or from stored windows"),
  inputs: words(["sequential", "original", "renewed"]).default("sequential").describe(
    "Whose outputs a block sees: those of the compressed blocks before it (the lineage), the original model's (every " +
      "calibration is then shared by all settings), or renewed: those of the compressed layers before it in the block too",
  ),
  target: words(["layer", "original"]).default("layer").describe(
    "What a layer is to match: its own output on the inputs that it now sees (the lineage), or what it puts out in the " +
      "original model (QEP)",
  ),
  propagation: z.union([z.number().min(0).max(1), z.literal("auto")]).default(0.5).describe(
    "target original only: p, how far weights move from their own output, 0, to the original model's, 1; auto: for each " +
      "layer as far as one half of the calibration says that it helps on the other, which keeps the moments of a half, too",
  ),
  propagation_damping: z.union([z.number().min(0).max(100), z.literal("auto")]).default(0.01).describe(
    "target original only: times the mean of diag(H), added to the diagonals; more of it moves weights less; auto: for each " +
      `layer the one of ${DAMPINGS.join(", ")} that does best between the halves`,
  ),
  residual: z.boolean().default(false).describe(
    "target original only: layers whose outputs are added to the residual stream, the last of attention and of the MLP, also make up for " +
      "what that stream is off the original model's (WaterSIC)",
  ),
  propagation_skip: z.array(z.string().min(1)).default([]).describe(
    "target original only: ends of the names of layers that keep to their own output, such as down_proj",
  ),
});
type Params = z.infer<typeof Params>;

/** Settings of the stage. */
export type CalibrateParams = Params;

const NAME = "calibrate";
const WINDOWS = from(`${NAME}.windows`, "windows");
const path = (key: keyof Params) => `stages.${NAME}.${key}`;
const MASK_FROM = "stages.fine-search.mask_from", RANKED_ON = "stages.fine-search.inputs";

/** Settings that count only with `target: original`, and what they are by default. */
const OF_TARGET = { propagation: 0.5, propagation_damping: 0.01, propagation_skip: "", residual: false } as const;

const rules: readonly Rule[] = [
  {
    reads: [path("inputs"), path("target")],
    check({ value, blame }) {
      if (value(path("inputs")) !== "original" || value(path("target")) !== "original") return [];
      return [
        error(blame(path("target"), path("inputs")), "target `original` is what inputs `original` already lead to", {
          allowed: `${path("inputs")}: sequential or renewed, or ${path("target")}: layer`,
          note: "on the original model's inputs a layer's own output is the original one",
        }),
      ];
    },
  },
  {
    reads: [path("target"), ...Object.keys(OF_TARGET).map((key) => path(key as keyof Params))],
    check({ value, blame }) {
      if (value(path("target")) === "original") return [];
      return Object.entries(OF_TARGET).flatMap(([key, otherwise]) => {
        const at = path(key as keyof Params);
        if (`${value(at)}` === `${otherwise}`) return [];
        // A warning, so that a sweep may go over both targets.
        return [warning(blame(at), `${key} counts only with target \`original\`: it changes nothing here`)];
      });
    },
  },
  {
    reads: [path("target"), path("propagation"), path("inputs")],
    check({ value, blame }) {
      if (value(path("target")) !== "original" || value(path("propagation")) !== "auto") return [];
      if (value(path("inputs")) !== "sequential") return [];
      return [
        warning(
          blame(path("propagation"), path("inputs")),
          "propagation `auto` may go too far with inputs `sequential`",
          {
            note: "each layer of a block then makes up for all that is off where the block begins; with " +
              `${path("inputs")}: renewed a layer sees what those before it have made up for`,
          },
        ),
      ];
    },
  },
  {
    reads: [path("target"), path("propagation"), path("propagation_damping"), path("samples")],
    check({ value, blame }) {
      if (value(path("target")) !== "original" || value<number>(path("samples")) !== 1) return [];
      const chosen = (["propagation", "propagation_damping"] as const).find((key) => value(path(key)) === "auto");
      if (chosen === undefined) return [];
      return [
        error(
          blame(path("samples"), path(chosen)),
          `${chosen} \`auto\` is chosen on two halves of the samples: there is 1`,
          {
            allowed: `${path("samples")}: 2 or more, or a number for ${path(chosen)}`,
          },
        ),
      ];
    },
  },
  {
    reads: [path("inputs"), MASK_FROM, RANKED_ON],
    check({ value, blame }) {
      if (value(path("inputs")) !== "renewed" || value(MASK_FROM) !== "original") return [];
      if (value(RANKED_ON) === "original") return [];
      return [
        error(blame(path("inputs"), MASK_FROM), "inputs `renewed` are seen too late for mask_from `original`", {
          allowed: `${path("inputs")}: sequential or original, ${MASK_FROM}: updated, or ${RANKED_ON}: original`,
          note: "all masks of a block would be made before any of its layers is compressed",
        }),
      ];
    },
  },
];

/** The stage; see the file's head. */
export const calibrate: Stage<Params> = {
  name: NAME,
  summary: "Runs text through the model and gathers, per block, the second moments S of each linear layer's inputs",
  params: Params,
  rules,
  makes: ["statistics"],
  needs: [],
  uses: ["packed"],
  texts: (settings) => [calibrationText(NAME, settings)],
  offer: ({ inputs, target, ...settings }) => ({
    statistics: {
      text: NAME,
      windows: WINDOWS,
      block: (block) => from(`${NAME}[${block}]`, "statistics"),
      entering: (block) => inputs === "original" ? enteringOriginal(NAME, block) : enteringBlock(NAME, block),
      original: inputs === "original",
      ...(target === "layer" ? {} : {
        target: {
          reads: {
            share: path("propagation"),
            damping: path("propagation_damping"),
            skip: path("propagation_skip"),
          },
        },
      }),
      ...(inputs !== "renewed" ? {} : {
        renewed: {
          stage: NAME,
          hidden: (block) => enteringBlock(NAME, block),
          ...(target === "layer" ? {} : { original: (block) => originalEntering(NAME, block) }),
          halves: needsHalves({ target, ...settings }),
          residual: target === "original" && settings.residual,
          heldOut: settings.held_out,
        },
      }),
    },
  }),
  check(opened, settings) {
    checkSkipped(opened, settings);
    checkResidual(opened, settings);
  },
  plan(planning, settings) {
    const { inputs, target } = settings, residual = target === "original" && settings.residual;
    const halves = needsHalves(settings), heldOut = settings.held_out;
    const options = { name: NAME, windows: WINDOWS, inputs, target, halves, residual, heldOut, path };
    const blocks = Array.from({ length: planning.spec.blocks }, (_, block) => calibrateBlock(planning, block, options));
    return [calibrationWindows(planning, settings, WINDOWS), ...blocks];
  },
};

/** Whether something is chosen on two halves of the calibration. */
function needsHalves({ target, propagation, propagation_damping: damping }: Omit<Params, "inputs">): boolean {
  return target === "original" && (propagation === "auto" || damping === "auto");
}

/** What layers put out must be added to the residual stream as it is. */
function checkResidual({ spec }: Opened, { target, residual }: Params): void {
  if (target !== "original" || !residual || addsPlainly(spec)) return;
  throw new InputError(
    `Cannot make up for the residual stream (${
      path("residual")
    }) as this model normalises it behind each sum, so that nothing is ` +
      `plainly added to it: leave out ${path("residual")}`,
  );
}

/** Every end of names must be some layer's. */
function checkSkipped({ spec }: Opened, { propagation_skip: skipped }: Params): void {
  const names = Array.from({ length: spec.blocks }, (_, block) => blockLinears(spec, block)).flat()
    .map(({ name }) => name);
  for (const end of skipped) {
    if (names.some((name) => endsIn(name, end))) continue;
    const words = [...new Set(names.map((name) => name.slice(name.lastIndexOf(".") + 1)))];
    const meant = nearest(end, words);
    throw new InputError(
      `Cannot leave out "${end}" (${path("propagation_skip")}) as no layer's name ends so` +
        `${meant === undefined ? "" : `: did you mean "${meant}"?`}; layers are ${words.join(", ")}`,
    );
  }
}
