/** Where the labels of dots stand, so that none covers another or a dot; a label that fits nowhere is left out. */

/** A point in pixels. */
interface Spot {
  readonly x: number;
  readonly y: number;
}

/** Edges in pixels. */
export interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** A dot with its label. */
export interface LabelledDot extends Spot {
  readonly text: string;
  /** Where its label stands if it can; default: to the right. */
  readonly prefer?: "right" | "below-left";
}

/** A label at its place. */
export interface PlacedLabel extends Spot {
  readonly text: string;
  readonly anchor: "start" | "middle" | "end";
}

/** Pixels from a dot's middle to its label, and the dot's own. */
const GAP = 8, RADIUS = 5;
/** Of the height of text: the mean width of a letter. */
const LETTER = 0.58;

/**
 * Places labels one after the other, each at the first place around its dot that is free.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * const frame = { left: 0, right: 200, top: 0, bottom: 100 };
 * const dots = [{ text: "first", x: 50, y: 50 }, { text: "second", x: 52, y: 50 }, { text: "far", x: 195, y: 20 }];
 * const placed = placeLabels(dots, { frame, fontSize: 13 });
 * assert.deepEqual(placed.map(({ text, anchor }) => [text, anchor]), [["first", "start"], ["second", "middle"], ["far", "end"]]);
 * ```
 * @param dots the most important first
 * @param options `dots` that have no label, boxes that are `taken` by other things, and the `frame` that labels stay in
 */
export function placeLabels(
  labelled: readonly LabelledDot[],
  { dots = [], taken = [], frame, fontSize }: {
    readonly dots?: readonly Spot[];
    readonly taken?: readonly Box[];
    readonly frame: Box;
    readonly fontSize: number;
  },
): PlacedLabel[] {
  const full: Box[] = [...taken, ...[...labelled, ...dots].map(around)];
  const placed: PlacedLabel[] = [];
  for (const { text, x, y, prefer = "right" } of labelled) {
    const width = text.length * fontSize * LETTER, half = fontSize / 2;
    for (const { anchor, dx, dy } of prefer === "right" ? PLACES : PLACES.toReversed()) {
      const at = { x: x + dx, y: y + dy * (half + GAP) };
      const left = anchor === "start" ? at.x : anchor === "end" ? at.x - width : at.x - width / 2;
      const box = { left, right: left + width, top: at.y - half, bottom: at.y + half };
      if (!inside(box, frame) || full.some((other) => overlaps(box, other))) continue;
      full.push(box);
      placed.push({ text, anchor, ...at });
      break;
    }
  }
  return placed;
}

/** From the right to below on the left; read backwards by those that prefer that. */
const PLACES: readonly { readonly anchor: PlacedLabel["anchor"]; readonly dx: number; readonly dy: number }[] = [
  { anchor: "start", dx: GAP, dy: 0 },
  { anchor: "start", dx: GAP, dy: -0.7 },
  { anchor: "middle", dx: 0, dy: -1 },
  { anchor: "end", dx: -GAP, dy: -0.7 },
  { anchor: "start", dx: GAP, dy: 0.7 },
  { anchor: "middle", dx: 0, dy: 1 },
  { anchor: "end", dx: -GAP, dy: 0 },
  { anchor: "end", dx: -GAP, dy: 0.7 },
];

/** What a dot covers. */
function around({ x, y }: Spot): Box {
  return { left: x - RADIUS, right: x + RADIUS, top: y - RADIUS, bottom: y + RADIUS };
}

function inside(box: Box, frame: Box): boolean {
  return box.left >= frame.left && box.right <= frame.right && box.top >= frame.top && box.bottom <= frame.bottom;
}

function overlaps(a: Box, b: Box): boolean {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}
