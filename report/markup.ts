/**
 * HTML as a tagged template: every value is escaped unless it is HTML already. Not called `html`, which formatters take as leave to
 * change the white space of the page.
 */

/** Text that is HTML, made by `markup` or vouched for by `trusted`. */
export interface Html {
  readonly html: string;
}

/** What may stand in a template. */
export type Content = Html | string | number | readonly Content[] | undefined | false;

/**
 * Builds HTML; strings and numbers are escaped, lists joined, undefined and false left out.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(markup`<b title="${'"'}">${"<&>"}${[markup`<i></i>`, 1]}</b>`.html, '<b title="&quot;">&lt;&amp;&gt;<i></i>1</b>');
 * ```
 */
export function markup(parts: TemplateStringsArray, ...values: readonly Content[]): Html {
  return { html: parts.map((part, i) => part + (i < values.length ? render(values[i]) : "")).join("") };
}

/**
 * Takes text as HTML, unescaped.
 *
 * @param text made by this program, never read from outside
 */
export function trusted(text: string): Html {
  return { html: text };
}

function render(value: Content): string {
  if (value === undefined || value === false) return "";
  if (typeof value === "string" || typeof value === "number") return escapeText(`${value}`);
  if ("html" in value) return value.html;
  return value.map(render).join("");
}

function escapeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}
