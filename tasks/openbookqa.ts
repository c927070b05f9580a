import * as z from "zod";
import { labelled, text } from "./fields.ts";
import { stripStart } from "./python_text.ts";
import { choicesAfter, defineTask, indexOfLabel } from "./task.ts";

/** OpenBookQA (Mihaylov et al. 1809.02789), without the book. */
export const openbookqa = defineTask({
  name: "openbookqa",
  summary: "Science questions, without the book",
  source: "openbookqa/openbookqa.yaml",
  dataset: { id: "allenai/openbookqa", config: "main", split: "test" },
  row: z.object({ question_stem: text, choices: labelled, answerKey: text }),
  item: ({ question_stem, choices: { text, label }, answerKey }) => ({
    choices: choicesAfter(question_stem, text),
    gold: indexOfLabel(stripStart(answerKey), label, "answerKey"),
    texts: text,
  }),
  normalised: true,
  expected: { items: 500, tokens: 40 },
});
