/** Choices of words in recipes. */
import * as z from "zod";

/** A choice of words; a word that a later version will know gets a sentence of its own. */
export function words<const T extends readonly [string, ...string[]]>(
  values: T,
  later: Readonly<Record<string, string>> = {},
): z.ZodEnum<{ [K in T[number]]: K }> {
  return z.enum(values, { error: ({ input }) => typeof input === "string" ? later[input] : undefined });
}

/** A whole number from `least` to `most`. */
export function count(least: number, most: number): z.ZodInt {
  return z.int().min(least).max(most);
}
