/** Cuts text at the matches of a pattern, as the reference's `SplitDelimiterBehavior` says. */
import type { Matcher } from "./patterns.ts";

/** What becomes of the matches. */
export const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
export type Behavior = (typeof BEHAVIORS)[number];

/** Text into pieces, none of them empty. */
export type Cutter = (text: string) => string[];

interface Span {
  begin: number;
  end: number;
  readonly match: boolean;
}

/**
 * A cutter. `invert` takes what lies between matches for the matches.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { regexMatcher } from "./patterns.ts";
 * assert.deepEqual(cutter(regexMatcher("-"), "MergedWithNext")("a--b"), ["a", "-", "-b"]);
 * ```
 */
export function cutter(matcher: Matcher, behavior: Behavior, invert = false): Cutter {
  return (text) => {
    const spans = spansOf(text, matcher(text), invert);
    return merged(spans, behavior).flatMap(({ begin, end }) => (begin < end ? [text.slice(begin, end)] : []));
  };
}

/** The whole text as matches and what lies between them. */
function spansOf(text: string, matches: ReturnType<Matcher>, invert: boolean): readonly Span[] {
  const spans: Span[] = [];
  let last = 0;
  for (const [begin, end] of matches) {
    if (last < begin) spans.push({ begin: last, end: begin, match: invert });
    spans.push({ begin, end, match: !invert });
    last = end;
  }
  if (last < text.length) spans.push({ begin: last, end: text.length, match: invert });
  return spans;
}

function merged(spans: readonly Span[], behavior: Behavior): readonly Span[] {
  switch (behavior) {
    case "Isolated":
      return spans;
    case "Removed":
      return spans.filter(({ match }) => !match);
    case "Contiguous":
      return joined(spans, (match, previous) => match === previous, (into, span) => into.end = span.end);
    case "MergedWithPrevious":
      return joined(spans, (match, previous) => match && !previous, (into, span) => into.end = span.end);
    case "MergedWithNext":
      return joined(
        spans.toReversed(),
        (match, previous) => match && !previous,
        (into, span) => into.begin = span.begin,
      ).reverse();
    default:
      return behavior satisfies never;
  }
}

function joined(
  spans: readonly Span[],
  belongs: (match: boolean, previous: boolean) => boolean,
  extend: (into: Span, span: Span) => void,
): Span[] {
  const out: Span[] = [];
  let previous = false;
  for (const span of spans) {
    const into = out.at(-1);
    if (into !== undefined && belongs(span.match, previous)) extend(into, span);
    else out.push({ ...span });
    previous = span.match;
  }
  return out;
}
