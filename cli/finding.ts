/** What `doctor` finds. */

/** One thing that was looked at. */
export interface Finding {
  readonly name: string;
  readonly value: string;
  /** More of it. */
  readonly lines?: readonly string[];
  /** The same for programs. */
  readonly facts?: unknown;
  /** What to do, where something is lacking or can be better. */
  readonly advice?: string;
}
