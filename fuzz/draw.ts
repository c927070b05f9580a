/** Random choices of one case. */
import { type RandomSource, seededRandom } from "../datasets/random.ts";

/** Choices that depend on kind, seed and number alone. */
export class Draw {
  readonly #random: RandomSource;

  constructor(kind: string, seed: number, number: number) {
    this.#random = seededRandom(seed, `${kind} ${number}`);
  }

  /** A whole number from 0 to `bound` − 1; 0 for a bound below 1. */
  below(bound: number): number {
    return bound < 1 ? 0 : this.#random.below(bound);
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + this.below(most - least + 1);
  }

  /** True once in `times`. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
}
