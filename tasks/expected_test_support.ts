/** What lm-evaluation-harness says of the questions in testdata/. */
import { readFileSync } from "node:fs";

/** Token ids of context and continuation, the log-likelihood, whether it is greedy. */
export type ExpectedChoice = readonly [readonly number[], readonly number[], number, boolean];

/** What a file of `make_expected.py` holds. */
export interface Expected {
  readonly max_length: number;
  readonly tasks: Readonly<
    Record<string, {
      readonly scores: {
        readonly acc: number;
        readonly acc_stderr: number;
        readonly acc_norm?: number;
        readonly acc_norm_stderr?: number;
      };
      readonly items: readonly {
        readonly choices: readonly ExpectedChoice[];
        readonly acc: number;
        readonly acc_norm?: number;
      }[];
    }>
  >;
}

/** Reads what was recorded of a model. */
export function readExpected(model: "tiny-llama" | "tiny-opt"): Expected {
  return JSON.parse(readFileSync(new URL(`testdata/${model}.json`, import.meta.url), "utf8"));
}
