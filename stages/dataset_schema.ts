/** Texts as recipes name them. */
import * as z from "zod";

/** Texts that are known by name. */
export const TEXTS = ["wikitext2", "ptb", "c4"] as const;

const path = () => z.string().min(1).meta({ path: true });

/** Text or token windows. */
export const Dataset = z.union([
  z.enum(TEXTS),
  z.strictObject({ text: path().describe("A UTF-8 text file, relative to the recipe") }),
  z.strictObject({
    windows: path().describe("A safetensors file with token ids [windows, length], relative to the recipe"),
    tensor: z.string().min(1).describe("Name of the tensor in it"),
  }),
]);
export type Dataset = z.infer<typeof Dataset>;
