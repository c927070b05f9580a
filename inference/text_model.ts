/** A model that continues texts: its tokenizer, its ends and its weights as one, for the command line and the pages. */
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import { fitModel } from "../models/fit.ts";
import type { ModelSpec } from "../models/spec.ts";
import { openTokenizer, type Tokenizer } from "../tokenizers/tokenizer.ts";
import { endTokens, generate, type GenerateOptions } from "./generate.ts";

/** A token as it is written. */
export interface Written {
  readonly id: number;
  /** What it adds to the text; often a word, nothing where it ends a text or is the first part of a character. */
  readonly text: string;
}

/** A prompt as the model sees it. */
export interface EncodedPrompt {
  readonly ids: readonly number[];
  /** The prompt spells the token that the tokenizer puts at the beginning, and so begins with two of them. */
  readonly beginsTwice: boolean;
}

/** A model that is open for writing. */
export interface TextModel {
  readonly checkpoint: Checkpoint;
  readonly spec: ModelSpec;
  readonly tokenizer: Tokenizer;
  /** Tokens after which a text ends. */
  readonly ends: readonly number[];
  /** @throws {RangeError} when the prompt has no token, or as many as the model has positions */
  encode(prompt: string): EncodedPrompt;
  /**
   * Continues a prompt, token by token; the last one may bring more text than its own, or none.
   *
   * @throws {RangeError} and {InputError} as `generate`
   */
  write(prompt: EncodedPrompt, options?: GenerateOptions): AsyncGenerator<Written, void, void>;
  close(): void;
}

/**
 * Opens a checkpoint for writing.
 *
 * @param checkpoint of any format; closed with what is returned, and left open where this fails
 * @param options `warn`: told what is not as the config says
 * @throws {InputError} when it has no tokenizer, or is no model that is known
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openModel } from "../models/open_model.ts";
 * import { openTextModel } from "./text_model.ts";
 *
 * const model = await openTextModel(await openModel({ path: "configs/models/tiny-llama" }));
 * const written = await Array.fromAsync(model.write(model.encode("The people"), { maxTokens: 3, threads: 1 }));
 * assert.equal(written.map(({ text }) => text).join(""), " of the United");
 * model.close();
 * ```
 */
export async function openTextModel(
  checkpoint: Checkpoint,
  { warn }: { readonly warn?: (message: string) => void } = {},
): Promise<TextModel> {
  const { spec, checkpoint: fitted } = await fitModel(checkpoint, warn === undefined ? {} : { warn });
  if (!fitted.tokenizer) {
    throw new InputError(`Cannot write text with ${fitted.label}: it has no tokenizer beside its weights`);
  }
  const tokenizer = openTokenizer(fitted.tokenizer), ends = endTokens(fitted);
  const silent = (id: number) => id === tokenizer.eos || ends.includes(id) && tokenizer.isSpecial(id);
  return {
    ...{ checkpoint: fitted, spec, tokenizer, ends },
    encode(prompt) {
      const ids = [...tokenizer.encode(prompt)];
      if (ids.length === 0) {
        throw new RangeError("Cannot continue an empty prompt: this model begins texts with no token");
      }
      if (ids.length >= spec.maxPositions) {
        throw new RangeError(
          `Cannot continue a prompt of ${ids.length} tokens as the model has ${spec.maxPositions} positions: make it shorter`,
        );
      }
      return { ids, beginsTwice: tokenizer.bos !== undefined && ids[0] === tokenizer.bos && ids[1] === tokenizer.bos };
    },
    async *write({ ids }, options) {
      const decoder = tokenizer.streamDecoder();
      // What stands before a token decides how it reads, such as whether a space begins it.
      for (const id of ids) decoder.push(id);
      let last: number | undefined;
      for await (const id of generate(fitted, ids, options)) {
        yield { id, text: silent(id) ? "" : decoder.push(id) };
        last = id;
      }
      const rest = decoder.flush();
      if (rest !== "" && last !== undefined) yield { id: last, text: rest };
    },
    close: () => checkpoint.close(),
  };
}
