import * as z from "zod";
import { labelled, text } from "./fields.ts";
import { choicesAfter, defineTask, indexOfLabel, type Task } from "./task.ts";

/** Both parts of the AI2 reasoning challenge (Clark et al. 1803.05457): science questions of schools. */
export const arcEasy = arc("arc_easy", "ARC-Easy", { items: 2376, tokens: 60 });
export const arcChallenge = arc("arc_challenge", "ARC-Challenge", { items: 1172, tokens: 75 });

function arc(name: string, config: string, expected: Task["expected"]): Task {
  return defineTask({
    name,
    summary: `Science questions of schools, ${name === "arc_easy" ? "the easier ones" : "the harder ones"}`,
    source: `arc/${name}.yaml`,
    dataset: { id: "allenai/ai2_arc", config, split: "test" },
    row: z.object({ question: text, choices: labelled, answerKey: text }),
    item: ({ question, choices: { text, label }, answerKey }) => ({
      choices: choicesAfter(`Question: ${question}\nAnswer:`, text),
      gold: indexOfLabel(answerKey, label, "answerKey"),
      texts: text,
    }),
    normalised: true,
    expected,
  });
}
