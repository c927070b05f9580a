/** What a recipe says its result must be. */

/** A perplexity that is to be met. */
export interface Expectation {
  readonly value: number;
  /** Relative tolerance: 0.03 is 3 %. */
  readonly within: number;
}

/** By evaluation. */
export type Expectations = Readonly<Record<string, Expectation>>;
