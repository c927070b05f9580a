/** Texts as recipes name them. */
import * as z from "zod";

/** Texts that are known by name. */
export const TEXTS = ["wikitext2", "ptb", "c4"] as const;

const path = () => z.string().min(1).meta({ path: true });

const Text = z.strictObject({ text: path().describe("A UTF-8 text file, relative to the recipe") });
const StoredWindows = z.strictObject({
  windows: path().describe("A safetensors file with token ids [windows, length], relative to the recipe"),
  tensor: z.string().min(1).describe("Name of the tensor in it"),
  skip: z.int().min(1).optional().describe("Windows at its front that are not there for this text; default: none"),
});

/** Text or token windows. */
export const Dataset = z.union([z.enum(TEXTS), Text, StoredWindows]);
export type Dataset = z.infer<typeof Dataset>;

/** Text or token windows, of which some may be drawn. */
export const CalibrationDataset = z.union([
  z.enum(TEXTS),
  Text,
  StoredWindows.extend({
    shuffle: z.boolean().optional().describe(
      "Draw the windows by `seed`, so that seeds can be compared; default: false, which takes the first `samples`",
    ),
  }),
]);
export type CalibrationDataset = z.infer<typeof CalibrationDataset>;
