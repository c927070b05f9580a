import * as z from "zod";
import { integer, text } from "./fields.ts";
import { checkIndex, choicesAfter, defineTask } from "./task.ts";

/** PIQA (Bisk et al. 1911.11641): which of two ways does it. */
export const piqa = defineTask({
  name: "piqa",
  summary: "Which of two ways does it",
  source: "piqa/piqa.yaml",
  dataset: { id: "baber/piqa", config: "default", split: "validation" },
  row: z.object({ goal: text, sol1: text, sol2: text, label: integer }),
  item: ({ goal, sol1, sol2, label }) => ({
    choices: choicesAfter(`Question: ${goal}\nAnswer:`, [sol1, sol2]),
    gold: checkIndex(label, 2, "label"),
    texts: [sol1, sol2],
  }),
  normalised: true,
  expected: { items: 1838, tokens: 70 },
});
