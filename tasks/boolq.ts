import * as z from "zod";
import { integer, text } from "./fields.ts";
import { checkIndex, choicesAfter, defineTask } from "./task.ts";

const TEXTS = ["no", "yes"];

/** BoolQ (Clark et al. 1905.10044), as in SuperGLUE: whether a passage says so. */
export const boolq = defineTask({
  name: "boolq",
  summary: "Yes or no, by a passage",
  source: "super_glue/boolq/default.yaml",
  dataset: { id: "aps/super_glue", config: "boolq", split: "validation" },
  row: z.object({ passage: text, question: text, label: integer }),
  item: ({ passage, question, label }) => ({
    choices: choicesAfter(`${passage}\nQuestion: ${question}?\nAnswer:`, TEXTS),
    gold: checkIndex(label, TEXTS.length, "label"),
    texts: TEXTS,
  }),
  normalised: false,
  expected: { items: 3270, tokens: 160 },
});
