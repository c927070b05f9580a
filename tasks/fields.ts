/** Fields of rows, as Parquet, JSON and the hub's own types give them. */
import * as z from "zod";

/** A text. */
export const text = z.string();

/** A whole number: Parquet's of 64 bits are bigints. */
export const integer = z.union([z.int(), z.bigint().transform(Number)]);

/** Texts, at least two. */
export const texts = z.array(z.string()).min(2);

/** Lettered or numbered choices. */
export const labelled = z.object({ text: texts, label: texts })
  .refine(({ text, label }) => text.length === label.length, "text and label must have as many entries");
