/** SentencePiece's BPE, of LLaMA 1 and 2, in GGUF's terms: scores in place of merges, and how spaces are marked. */
import type { JsonObject } from "../checkpoints/checkpoint.ts";
import { shown } from "../files/clear_text.ts";
import { InputError } from "../files/input_error.ts";
import { isObject } from "../files/json.ts";
import { KIND, mergesByScore } from "./gguf_tokenizer.ts";

/**
 * Scores from which SentencePiece makes the same merges: a piece's is the rank of the first merge that makes it, negative.
 *
 * @param model a tokenizer.json's, of type BPE with bytes to fall back to
 * @param tokens by id
 * @param kinds by id, as numbered in GGUF files
 * @returns by id; 0 for tokens that no merge may make
 * @throws {InputError} when no scores give these merges in this order
 */
export function pieceScores(model: JsonObject, tokens: readonly string[], kinds: readonly number[]): readonly number[] {
  const merges: readonly unknown[] = Array.isArray(model.merges) ? model.merges : [];
  const pairs = merges.map((merge) => typeof merge === "string" ? merge.split(" ") : merge as readonly string[]);
  const ranks = new Map<string, number>();
  for (const pair of pairs) {
    const piece = pair.join("");
    if (!ranks.has(piece)) ranks.set(piece, ranks.size + 1);
  }
  const normal = new Map(tokens.flatMap((token, id) => kinds[id] === KIND.normal ? [[token, id] as const] : []));
  let last = ranks.size;
  const scores = tokens.map((token, id) => kinds[id] === KIND.normal ? -(ranks.get(token) ?? ++last) : 0);
  const late = pairs.findIndex((pair, i) => i > 0 && rankOf(pair, ranks) < rankOf(pairs[i - 1], ranks));
  if (late >= 0) throw refusal(`its merges are not those of SentencePiece: ${shown(pairs[late])} comes too late`);
  // Pairs that make one piece have one score: SentencePiece merges the leftmost, in whichever order they are listed.
  const [listed, made] = [pairs, mergesByScore(normal, scores)].map((merges) => inOneOrder(merges, ranks));
  const differs = listed.findIndex((pair, i) => pair !== made[i]);
  if (differs < 0 && listed.length === made.length) return scores;
  const [found, wanted] = [listed, made].map((merges) => shown(merges[differs < 0 ? listed.length : differs]));
  throw refusal(`its merges are not those of SentencePiece: ${found} stands where scores give ${wanted}`);
}

function rankOf(pair: readonly string[], ranks: ReadonlyMap<string, number>): number {
  return ranks.get(pair.join("")) ?? Infinity;
}

function inOneOrder(merges: readonly (readonly string[])[], ranks: ReadonlyMap<string, number>): readonly string[] {
  const keyed = merges.map((pair) => ({ rank: rankOf(pair, ranks), left: pair[0].length, pair }));
  keyed.sort((a, b) => a.rank - b.rank || a.left - b.left);
  return keyed.map(({ pair }) => pair.join(" "));
}

/**
 * Whether texts begin with a mark of their own.
 *
 * @param tokenizer a tokenizer.json
 * @param warn told where llama.cpp marks rare texts otherwise
 * @throws {InputError} when spaces are treated in a way that llama.cpp has not
 */
export function spaceRules({ normalizer, pre_tokenizer: pre }: JsonObject, warn: (message: string) => void): boolean {
  if (isObject(pre) && pre.type === "Metaspace" && (normalizer ?? null) === null && pre.split === false) {
    if (pre.prepend_scheme === "never") return false;
    warn(
      "llama.cpp puts a space before every text, as first LLaMA models do; this model's tokenizer puts none before a text that " +
        "begins with one",
    );
    return true;
  }
  const steps: readonly unknown[] = isObject(normalizer) && normalizer.type === "Sequence" &&
      Array.isArray(normalizer.normalizers)
    ? normalizer.normalizers
    : [normalizer];
  const names = steps.map((step) => {
    if (!isObject(step)) return "";
    if (step.type === "Prepend" && step.prepend === "▁") return "prefix";
    const spaces = isObject(step.pattern) && step.pattern.String === " " && step.content === "▁";
    return step.type === "Replace" && spaces ? "spaces" : "";
  }).join();
  if ((pre ?? null) === null && (names === "prefix,spaces" || names === "spaces")) return names !== "spaces";
  throw refusal(`llama.cpp has no such rules for spaces: ${shown(JSON.stringify({ normalizer, pre_tokenizer: pre }))}`);
}

function refusal(why: string): InputError {
  return new InputError(
    `Cannot write the tokenizer as GGUF metadata: ${why}; export as safetensors, and convert that with llama.cpp's own script`,
  );
}
