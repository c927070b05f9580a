/**
 * Makes a tokenizer.json give the same ids here as in the reference implementation (Hugging Face tokenizers, Rust).
 *
 * The library differs from it in a few pre-tokenizers; those are spelled as splits by a regular expression, which it
 * runs faithfully.
 */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";

/** tokenizer.json and tokenizer_config.json; after `exactDefinition`, only what decides ids. */
export interface TokenizerDefinition {
  readonly tokenizer: JsonObject;
  readonly config: JsonObject;
}

/** How GPT-2 splits text into words; the alternatives are tried from left to right. */
export const GPT2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * The definition with everything that decides ids made explicit.
 *
 * - Digits means every Unicode number, not 0–9 alone: "½" and "٣" are split too.
 * - White space is Unicode's White_Space, not JavaScript's `\s`.
 * - A boolean `add_bos_token` in the config decides whether bos comes first, whatever the post-processor says.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const model = { type: "BPE", vocab: {}, merges: [] };
 * const digits = { type: "Digits", individual_digits: true };
 * const { tokenizer } = exactDefinition({ tokenizer: { model, pre_tokenizer: digits }, config: {} });
 * assert.deepEqual(tokenizer.pre_tokenizer, splitBy("\\p{N}"));
 * ```
 * @throws {InputError} when a part is missing, or is none of those that LLaMA and OPT tokenizers use
 */
export function exactDefinition({ tokenizer, config }: TokenizerDefinition): TokenizerDefinition {
  const { model } = tokenizer;
  if (!isObject(model) || !Array.isArray(tokenizer.added_tokens ?? [])) {
    throw new InputError("Cannot open the tokenizer: tokenizer.json must have a model and a list of added tokens");
  }
  if (model.type !== "BPE") {
    throw new InputError(
      `Cannot open the tokenizer: its model must be BPE: current value is ${JSON.stringify(model.type)}`,
    );
  }
  return {
    config: { bos_token: tokenContent(config.bos_token), eos_token: tokenContent(config.eos_token) },
    tokenizer: {
      normalizer: tokenizer.normalizer ?? null,
      pre_tokenizer: wordsWhereSafe(exactPreTokenizer(tokenizer.pre_tokenizer ?? null), model),
      model,
      post_processor: endsAsConfigured(tokenizer.post_processor ?? null, config),
      decoder: tokenizer.decoder ?? null,
      added_tokens: tokenizer.added_tokens ?? [],
    },
  };
}

/** A pre-tokenizer that cuts a text into the matches of a regular expression and what lies between them. */
export function splitBy(regex: string): JsonObject {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
}

function exactPreTokenizer(part: unknown): unknown {
  if (!isObject(part)) return part;
  switch (part.type) {
    case "Sequence":
      return { ...part, pretokenizers: (part.pretokenizers as readonly unknown[]).map(exactPreTokenizer) };
    case "Digits":
      return splitBy(part.individual_digits === true ? "\\p{N}" : "\\p{N}+");
    case "ByteLevel":
      if (part.use_regex === false || part.add_prefix_space === true) return part;
      return { type: "Sequence", pretokenizers: [splitBy(GPT2_WORDS), { ...part, use_regex: false }] };
    default:
      return part;
  }
}

/** The post-processor with bos and eos where the config wants them, or as it is where the config does not say. */
function endsAsConfigured(part: unknown, config: JsonObject): unknown {
  const wanted = { bos: config.add_bos_token, eos: config.add_eos_token };
  if (typeof wanted.bos !== "boolean" && typeof wanted.eos !== "boolean") return part;
  const items = templateItems(part);
  const end = (name: "bos" | "eos", at: number) => {
    const token = tokenContent(config[`${name}_token`]);
    const present = token !== undefined && items.at(at)?.SpecialToken?.id === token;
    if (typeof wanted[name] !== "boolean" || wanted[name] === present) return;
    if (present) {
      items.splice(at, 1);
      return;
    }
    if (token === undefined) {
      throw new InputError(`Cannot open the tokenizer: add_${name}_token is true but there is no ${name}_token`);
    }
    items.splice(at === 0 ? 0 : items.length, 0, { SpecialToken: { id: token, type_id: 0 } });
  };
  end("bos", 0);
  end("eos", -1);
  return { type: "TemplateProcessing", single: items, pair: [], special_tokens: {} };
}

interface TemplateItem {
  readonly SpecialToken?: { readonly id: string; readonly type_id: number };
  readonly Sequence?: { readonly id: string; readonly type_id: number };
}

function templateItems(part: unknown): TemplateItem[] {
  const processors = isObject(part) && part.type === "Sequence" ? part.processors as readonly unknown[] : [part];
  let items: TemplateItem[] = [{ Sequence: { id: "A", type_id: 0 } }];
  for (const processor of processors) {
    if (processor === null || isObject(processor) && processor.type === "ByteLevel") continue;
    if (!isObject(processor) || processor.type !== "TemplateProcessing") {
      const found = isObject(processor) ? processor.type : processor;
      throw new InputError(
        "Cannot open the tokenizer: with add_bos_token or add_eos_token its post-processor must be TemplateProcessing: " +
          `current value is ${JSON.stringify(found)}`,
      );
    }
    items = [...processor.single as readonly TemplateItem[]];
  }
  return items;
}

/**
 * A pre-tokenizer for SentencePiece-like BPE, which has none and merges over the whole text at once: words are cut off
 * before each "▁" that does not follow another.
 *
 * That changes no id when no merge can ever join across such a cut, which is seen from the merges themselves: none has
 * a right part that begins with "▁" after a left part that does not end with it. Pieces then merge independently.
 */
function wordsWhereSafe(part: unknown, model: JsonObject): unknown {
  if (!Array.isArray(model.merges) || part !== null && !isObject(part)) return part;
  if (part !== null && part.type !== "Metaspace") return part;
  const safe = model.merges.every((merge: unknown) => {
    const [left, right] = Array.isArray(merge) ? merge : String(merge).split(" ", 2);
    return !right.startsWith("▁") || left.endsWith("▁");
  });
  if (!safe) return part;
  const split = splitBy("▁+[^▁]*");
  return part === null ? split : { type: "Sequence", pretokenizers: [part, split] };
}

/** A token in a config is its text or an object with `content`. */
function tokenContent(value: unknown): string | undefined {
  if (isObject(value)) return tokenContent(value.content);
  return typeof value === "string" ? value : undefined;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
