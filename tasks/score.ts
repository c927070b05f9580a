/** From log-likelihoods to what is told of a task, as lm-evaluation-harness makes it. */
/** What of a question scores are made of. */
export interface Asked {
  /** Index of the right choice. */
  readonly gold: number;
  /** Of what each choice says, how many there are. */
  readonly characters: ArrayLike<number>;
}

/** What a model says of one choice. */
export interface Answer {
  /** Sum over the continuation's tokens, in nats. */
  readonly logLikelihood: number;
  /** Whether the model would have written the continuation itself, taking the likeliest token each time. */
  readonly greedy: boolean;
}

/** A share of questions, with its standard error: that of a sample's mean, 0 of fewer than two questions. */
export type Score = {
  readonly value: number;
  readonly error: number;
};

/** What comes of a task. */
export type TaskScores = {
  /** Questions where the likeliest choice is the right one. */
  readonly acc: Score;
  /** The same with each log-likelihood divided by the length of what the choice says, in characters. */
  readonly acc_norm?: Score;
};

/**
 * Scores.
 *
 * @param items questions, and the answers to all choices of each
 * @param options whether `acc_norm` is given
 * @returns of equal choices the first counts, as numpy's argmax has it
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { scoreItems } from "./score.ts";
 *
 * const item = { gold: 1, characters: [2, 9] };
 * const answers = [-2, -3].map((logLikelihood) => ({ logLikelihood, greedy: false }));
 * const scores = scoreItems([item], [answers], { normalised: true });
 * assert.deepEqual(scores, { acc: { value: 0, error: 0 }, acc_norm: { value: 1, error: 0 } });
 * ```
 */
export function scoreItems(
  items: readonly Asked[],
  answers: readonly (readonly Answer[])[],
  { normalised }: { readonly normalised: boolean },
): TaskScores {
  const right = (worth: (answer: Answer, characters: number) => number) =>
    scoreOf(
      items.map(({ gold, characters }, item) =>
        largest(answers[item].map((answer, index) => worth(answer, characters[index]))) === gold ? 1 : 0
      ),
    );
  const acc = right(({ logLikelihood }) => logLikelihood);
  return normalised ? { acc, acc_norm: right(({ logLikelihood }, characters) => logLikelihood / characters) } : { acc };
}

function largest(values: readonly number[]): number {
  // What is no number is the largest in numpy.
  const lost = values.findIndex(Number.isNaN);
  return lost >= 0 ? lost : values.indexOf(values.reduce((most, value) => Math.max(most, value), -Infinity));
}

function scoreOf(values: readonly number[]): Score {
  const count = values.length, value = values.reduce((sum, each) => sum + each, 0) / count;
  const spread = values.reduce((sum, each) => sum + (each - value) ** 2, 0);
  return { value, error: count < 2 ? 0 : Math.sqrt(spread / (count - 1) / count) };
}
