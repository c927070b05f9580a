import * as z from "zod";
import { integer, text, texts } from "./fields.ts";
import { capitalize, strip } from "./python_text.ts";
import { checkIndex, choicesAfter, defineTask, FieldError } from "./task.ts";

/** HellaSwag (Zellers et al. 1905.07830): how a scene goes on. */
export const hellaswag = defineTask({
  name: "hellaswag",
  summary: "How a scene goes on",
  source: "hellaswag/hellaswag.yaml",
  dataset: { id: "Rowan/hellaswag", config: "default", split: "validation" },
  row: z.object({ activity_label: text, ctx_a: text, ctx_b: text, endings: texts, label: z.union([text, integer]) }),
  item: ({ activity_label, ctx_a, ctx_b, endings, label }) => {
    const ends = endings.map(clean),
      number = typeof label === "string" && !/^\d+$/.test(strip(label)) ? NaN : Number(label);
    if (Number.isNaN(number)) throw new FieldError("label", `"${label}" is no number`);
    return {
      choices: choicesAfter(clean(`${activity_label}: ${ctx_a} ${capitalize(ctx_b)}`), ends),
      gold: checkIndex(number, ends.length, "label"),
      texts: ends,
    };
  },
  normalised: true,
  expected: { items: 10_042, tokens: 180 },
});

/** Without what WikiHow's pages leave in texts: titles, steps, headers and doubled spaces. */
function clean(text: string): string {
  return strip(text).replaceAll(" [title]", ". ").replaceAll(/\[[^\n]*?\]/g, "").replaceAll("  ", " ");
}
