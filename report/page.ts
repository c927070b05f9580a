/** A page in one file, without scripts and without a request to anywhere, and the parts that pages are made of. */
import { type Content, type Html, markup, trusted } from "./markup.ts";
import css from "./report.css" with { type: "text" };

/**
 * A complete HTML document.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { markup } from "./markup.ts";
 * assert.match(page("a < b", markup`<main></main>`), /<title>a &lt; b<\/title>[^]*<body>\n<main><\/main>\n<\/body>/);
 * ```
 */
export function page(title: string, body: Html): string {
  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>
${trusted(css)}</style>
</head>
<body>
${body}
</body>
</html>
`.html;
}

/** A part of a page, under a heading. */
export interface Section {
  readonly title: string;
  readonly content: Content;
  /** Whether it needs little room: such sections stand side by side where there is some. */
  readonly short?: boolean;
  /** Whether it is short but as high as some others. */
  readonly tall?: boolean;
  /** Whether the heading is for the contents only, as the part speaks for itself. */
  readonly untitled?: boolean;
}

/**
 * A page of sections with its contents: beside them where there is room, folded above them on a phone.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { markup } from "./markup.ts";
 *
 * const text = sectionsPage("A page", markup`<header></header>`, [{ title: "Bits per weight", content: "1.61" }]);
 * assert.match(text, /<a href="#bits-per-weight"[^>]*>Bits per weight<\/a>[^]*<section id="bits-per-weight"/);
 * ```
 * @param header what stands above all
 */
export function sectionsPage(title: string, header: Html, sections: readonly Section[]): string {
  const links = markup`<ul>${
    sections.map(({ title }) =>
      markup`<li><a href="#${slug(title)}" style="animation-timeline: ${timeline(title)}">${title}</a></li>\n`
    )
  }</ul>`;
  // Twice, as what is folded cannot be shown by style alone in all browsers; only one of them is there at any width.
  return page(
    title,
    markup`<a class="skip" href="#main">Skip to the content</a>
${header}
<div class="with-contents" style="timeline-scope: ${sections.map(({ title }) => timeline(title)).join(", ")}">
<nav class="contents" aria-label="Contents">${links}</nav>
<nav class="contents folded" aria-label="Contents">${fold("Contents", links)}</nav>
<main id="main" tabindex="-1">
${sections.map(section)}</main>
</div>`,
  );
}

function section({ title, content, short, tall, untitled }: Section): Html {
  return markup`<section id="${slug(title)}" style="view-timeline-name: ${timeline(title)}"${
    tall === true ? markup` class="short tall"` : short === true && markup` class="short"`
  }>
<h2${untitled === true && markup` class="visually-hidden"`}>${title}</h2>
${content}
</section>
`;
}

/** What links to a section. */
function slug(title: string): string {
  return title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
}

/** How far a section has come into view, for the style of the link to it. */
function timeline(title: string): string {
  return `--view-of-${slug(title)}`;
}

/** What is shown when it is asked for. */
export function fold(summary: string, content: Content): Html {
  return markup`<details><summary>${summary}</summary>${content}</details>`;
}

/** A chart with its name and a caption. @param style of its card */
export function figure(title: string, chart: Html, caption: Content, style?: string): Html {
  return markup`<figure${
    style !== undefined && markup` style="${style}"`
  }><h3>${title}</h3><div class="drawn">${chart}</div><figcaption>${caption}</figcaption></figure>\n`;
}
