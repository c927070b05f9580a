/** What a tokenizer puts before and after a text. Source: huggingface/tokenizers, tokenizers/src/processors. */
import { found, shown } from "../files/clear_text.ts";
import { inexact, isId, malformed, Part } from "./parts.ts";

/** Ids that stand around a text's own. */
export interface Ends {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const NONE: Ends = { before: [], after: [] };

/**
 * What a post-processor puts around one text.
 *
 * @throws {InputError} when it is malformed, or none of those that are known to be exact
 */
export function endsOf(part: Part | undefined): Ends {
  switch (part?.type) {
    case "TemplateProcessing":
      return template(part.only(["single", "pair", "special_tokens"]));
    case "BertProcessing":
      return { before: [pairId(part.only(["sep", "cls"]), "cls")], after: [pairId(part, "sep")] };
    case "RobertaProcessing": {
      part.only(["sep", "cls", "trim_offsets", "add_prefix_space"]);
      return { before: [pairId(part, "cls")], after: [pairId(part, "sep")] };
    }
    case "ByteLevel":
      part.only(["add_prefix_space", "trim_offsets", "use_regex"]);
      return NONE;
    case "Sequence": {
      const all = part.only(["processors"]).parts("processors").map(endsOf);
      const adding = all.filter(({ before, after }) => before.length + after.length > 0);
      if (adding.length > 1) throw inexact(part.path, "two processors that add tokens");
      return adding[0] ?? NONE;
    }
    default:
      if (part === undefined) return NONE;
      throw inexact(part.path, shown(part.type));
  }
}

function template(part: Part): Ends {
  const tokens = part.part("special_tokens");
  const before: number[] = [];
  const after: number[] = [];
  let texts = 0;
  for (const item of part.parts("single")) {
    if (item.optional("Sequence") !== undefined) {
      if (item.only(["Sequence"]).part("Sequence").get("id") !== "A") throw inexact(item.path, "a second text");
      texts++;
      continue;
    }
    const name = item.only(["SpecialToken"]).part("SpecialToken").text("id");
    const ids = tokens.part(name).list("ids");
    if (!ids.every(isId)) throw malformed(`${tokens.path}.${name}.ids must be ids: ${found(ids)}`);
    (texts === 0 ? before : after).push(...ids);
  }
  if (texts !== 1) throw inexact(`${part.path}.single`, `a template with ${texts} texts`);
  return { before, after };
}

/** The id of `["</s>", 2]`. */
function pairId(part: Part, name: string): number {
  const pair = part.list(name);
  const [token, id] = pair;
  if (pair.length !== 2 || typeof token !== "string" || !isId(id)) {
    throw malformed(`${part.path}.${name} must be a token and its id: ${found(pair)}`);
  }
  return id;
}
