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

/** A part of the page with a heading. */
export function section(title: string, content: Content): Html {
  return markup`<section>
<h2>${title}</h2>
${content}
</section>`;
}

/** What is shown when it is asked for. */
export function fold(summary: string, content: Content): Html {
  return markup`<details><summary>${summary}</summary>${content}</details>`;
}

/** A chart with its name and a caption. */
export function figure(title: string, chart: Html, caption: Content): Html {
  return markup`<figure><h3>${title}</h3>${chart}<figcaption>${caption}</figcaption></figure>\n`;
}
