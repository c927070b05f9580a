/**
 * What all charts share. A chart is SVG text whose colours are CSS variables of the page, so that one picture serves light and dark; it is
 * as wide as a phone, unless it says otherwise, and the page sets several side by side on larger screens.
 */
import * as Plot from "@observablehq/plot";
import { DOMParser } from "linkedom";
import { type Html, trusted } from "./markup.ts";

/** Pixels; as wide as a phone's column. */
export const WIDTH = 360;
/** Pixels; as wide as two cards side by side, so that text is as large as in those of one. */
export const WIDE = 760;
/** Height of text in pixels. */
export const FONT = 13;

/** Colours of the page for parts of a whole. */
const PARTS = 8;

/** Of a number at the end of its bar. */
export const END_LABEL = { textAnchor: "start", dx: 5, fill: "currentColor", fontVariant: "tabular-nums" } as const;

/** Colour of a part, such as a component of the stored bits, by its place among them; the colours begin again when they are used up. */
export function partColour(place: number): string {
  return `var(--part-${1 + place % PARTS})`;
}

/** The plot as SVG with a title and a description for those who do not see it. */
export function draw(options: Plot.PlotOptions, title: string, description: string): Html {
  const document = new DOMParser().parseFromString("<!doctype html><html><body></body></html>", "text/html");
  const svg = Plot.plot({ width: WIDTH, style: { fontSize: `${FONT}px` }, className: "plot", document, ...options });
  svg.querySelector("style")?.remove();
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  svg.removeAttribute("font-family");
  // The picture is described as a whole, and groups may not have names of their own: those are for programs.
  for (const group of svg.querySelectorAll("g[aria-label]")) {
    group.setAttribute("data-mark", group.getAttribute("aria-label") ?? "");
    group.removeAttribute("aria-label");
  }
  svg.setAttribute("role", "img");
  // A chart may be on the page in two widths.
  const id = `${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-")}${options.width === WIDE ? "-spread" : ""}`;
  svg.setAttribute("aria-labelledby", `${id}-title ${id}-text`);
  for (const [tag, name, text] of [["desc", "text", description], ["title", "title", title]]) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag, {});
    element.setAttribute("id", `${id}-${name}`);
    element.textContent = text;
    svg.prepend(element);
  }
  return trusted(svg.outerHTML);
}

/** The greatest value, or 1 where there is nothing above 0: a scale needs an extent. */
export function most(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), 0) || 1;
}
