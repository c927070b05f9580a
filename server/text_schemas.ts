/** What is asked of models that write texts, and what they answer: the types and the OpenAPI document are made of the same. */
import { z } from "@hono/zod-openapi";

const seconds = z.number().min(0);

/** Characters of a prompt, and tokens of a text, at most. */
export const LONGEST_PROMPT = 20_000, MOST_TOKENS = 2048;

/** A text that is wanted. */
export const TextRequest = z.strictObject({
  prompt: z.string().max(LONGEST_PROMPT).describe("The text to continue"),
  maxTokens: z.int().min(1).max(MOST_TOKENS).default(128).describe("New tokens at most"),
  temperature: z.number().min(0).max(100).default(0).describe("0 always takes the likeliest token"),
  topK: z.int().min(1).max(1_000_000).optional().describe("Draw among the likeliest tokens only, so many"),
  topP: z.number().gt(0).max(1).optional().describe("Draw among the likeliest tokens of this share only"),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe("Of the drawing"),
}).openapi("TextRequest");
export type TextRequest = z.infer<typeof TextRequest>;

/** A line of the answer. */
export const TextEvent = z.discriminatedUnion("type", [
  z.object({ type: z.literal("begin"), tokens: z.int().describe("Tokens of the prompt") }),
  z.object({ type: z.literal("text"), text: z.string().describe("What one more token, or a few, add") }),
  z.object({
    type: z.literal("end"),
    why: z.enum(["end", "limit", "positions", "stopped"]).describe(
      "The model ended the text; so many tokens were wanted; the model has no more positions; somebody stopped it",
    ),
    tokens: z.int().min(0),
    seconds: seconds.describe("Seconds in all"),
    first: seconds.optional().describe("Seconds to the first token, the reading of weights and prompt"),
    rate: z.number().optional().describe("Tokens a second, after the first"),
  }),
  z.object({ type: z.literal("error"), error: z.string() }),
]).openapi("TextEvent");
export type TextEvent = z.infer<typeof TextEvent>;
