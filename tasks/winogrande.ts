import * as z from "zod";
import { text } from "./fields.ts";
import { strip } from "./python_text.ts";
import { defineTask, FieldError, indexOfLabel } from "./task.ts";

/** WinoGrande (Sakaguchi et al. 1907.10641): which of two names fills a gap. Contexts differ, and what follows them does not. */
export const winogrande = defineTask({
  name: "winogrande",
  summary: "Which of two names fills a gap",
  source: "winogrande/default.yaml",
  dataset: { id: "allenai/winogrande", config: "winogrande_xl", split: "validation" },
  row: z.object({ sentence: text, option1: text, option2: text, answer: text }),
  item: ({ sentence, option1, option2, answer }) => {
    const gap = sentence.indexOf("_"), texts = [option1, option2].map((option) => sentence.slice(0, gap) + option);
    if (gap < 0) throw new FieldError("sentence", "it has no gap (_)");
    const continuation = ` ${strip(sentence.slice(gap + 1))}`;
    return {
      choices: texts.map((context) => ({ context, continuation })),
      gold: indexOfLabel(answer, ["1", "2"], "answer"),
      texts,
    };
  },
  normalised: false,
  expected: { items: 1267, tokens: 35 },
});
