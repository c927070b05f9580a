/**
 * Charts in a grid that fills its width, whatever that is: for each number of columns that fits, some charts span more than one, so that
 * every row is full. A chart that may span more is drawn twice, and its card shows the drawing that fits. The style is `report.css`.
 */
import { type Content, type Html, markup } from "./markup.ts";
import { figure } from "./page.ts";
import { WIDE } from "./plot.ts";

/** A chart with its name and a caption, not drawn yet. */
export interface Figure {
  readonly title: string;
  /** Draws it as wide as a phone, or as wide as is said, in pixels. */
  readonly chart: (width?: number) => Html;
  readonly caption: Content;
  /** Whether it says more where it is wider, as what has a column for each block does. */
  readonly gains?: boolean;
  /** Whether it spans two columns wherever there are two. */
  readonly wide?: boolean;
}

/** Numbers of columns that the style knows. */
const COLUMNS = [2, 3, 4, 5, 6] as const;

/** The charts in their order, in rows without holes. */
export function chartGrid(figures: readonly Figure[]): Html {
  const spans = COLUMNS.map((columns) => spansOf(figures, columns));
  return markup`<div class="chart-grid"><div class="charts fitted">
${
    figures.map(({ title, chart, caption }, i) => {
      const spanned = COLUMNS.flatMap((columns, at) => spans[at][i] === 1 ? [] : [`--of-${columns}: ${spans[at][i]}`]);
      // One drawing does where the card is never wide.
      return spanned.length === 0
        ? figure(title, chart(), caption)
        : figure(title, drawings(chart(WIDE), chart()), caption, spanned.join("; "));
    })
  }</div></div>`;
}

/** The same chart for cards that are wide and for those that are not. */
export function drawings(wide: Html, narrow: Html): Html {
  return markup`<div class="wide">${wide}</div><div class="narrow">${narrow}</div>`;
}

/** What of a chart decides how wide it is. */
type Width = Pick<Figure, "gains" | "wide">;

/**
 * How many columns each chart spans, so that all rows are full and charts that gain from it are widened first.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { spansOf } from "./chart_grid.ts";
 *
 * const bars = {}, blocks = { gains: true }, scatter = { wide: true };
 * assert.deepEqual(spansOf([bars, bars, blocks, blocks, bars], 3), [1, 1, 1, 2, 1]);
 * assert.deepEqual(spansOf([bars, bars, blocks], 4), [1, 1, 2]);
 * assert.deepEqual(spansOf([scatter, bars, bars], 4), [2, 1, 1]);
 * ```
 * @param columns two or more
 */
export function spansOf(charts: readonly Width[], columns: number): number[] {
  // The cheapest rows from each chart on, from the last chart to the first.
  const rest: { readonly cost: number; readonly spans: readonly number[] }[] = [{ cost: 0, spans: [] }];
  for (let from = charts.length - 1; from >= 0; from--) {
    const found = Array.from({ length: Math.min(columns, charts.length - from) }, (_, i) => {
      const row = fillRow(charts.slice(from, from + i + 1), columns), after = rest[i];
      return { cost: row.cost + after.cost, spans: [...row.spans, ...after.spans] };
    });
    rest.unshift(found.reduce((best, next) => next.cost < best.cost ? next : best));
  }
  return [...rest[0].spans];
}

/** What a column more costs a chart that gains from it, one that does not, and each column that it has beyond two. */
const GAINING = 1, ELSE = 4, FURTHER = 10;

/** Gives the columns that are left to the charts of a row, each to whom it costs least; too many charts have no price. */
function fillRow(charts: readonly Width[], columns: number): { readonly cost: number; readonly spans: number[] } {
  const spans = charts.map(({ wide }) => wide === true ? 2 : 1);
  const left = columns - spans.reduce((sum, span) => sum + span, 0);
  if (left < 0) return { cost: Infinity, spans };
  const costOf = (i: number) => (charts[i].gains === true ? GAINING : ELSE) + FURTHER * (spans[i] - 1);
  let cost = 0;
  for (let given = 0; given < left; given++) {
    const cheapest = spans.map((_, i) => i).reduce((best, i) => costOf(i) < costOf(best) ? i : best);
    cost += costOf(cheapest);
    spans[cheapest]++;
  }
  return { cost, spans };
}
