import * as z from "zod";
import { integer, text } from "./fields.ts";
import { checkIndex, choicesAfter, defineTask } from "./task.ts";

const TEXTS = ["True", "False"];

/** Recognising textual entailment (Dagan et al. and others, as in GLUE, Wang et al. 1804.07461). */
export const rte = defineTask({
  name: "rte",
  summary: "Whether one sentence follows from another",
  source: "glue/rte/default.yaml",
  dataset: { id: "nyu-mll/glue", config: "rte", split: "validation" },
  row: z.object({ sentence1: text, sentence2: text, label: integer }),
  item: ({ sentence1, sentence2, label }) => ({
    choices: choicesAfter(`${sentence1}\nQuestion: ${sentence2} True or False?\nAnswer:`, TEXTS),
    gold: checkIndex(label, TEXTS.length, "label"),
    texts: TEXTS,
  }),
  normalised: false,
  expected: { items: 277, tokens: 90 },
});
