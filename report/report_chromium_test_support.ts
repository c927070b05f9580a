/** Opens a page in Chromium at several widths, light and dark, and prints what it measures; run by `report_chromium_test.ts`. */
import type { Page } from "playwright-core";

/** What one look at the page gave. */
export interface Look {
  readonly width: number;
  readonly colorScheme: "light" | "dark";
  /** Messages of the console, failures, and requests to anywhere else. */
  readonly troubles: readonly string[];
  /** Pixels by which the page is wider than the window. */
  readonly overflow: number;
  readonly background: string;
  /** Contrast of text to its ground by selector, as WCAG 2.2 defines it. */
  readonly contrasts: Readonly<Record<string, number>>;
  /** Height of text in charts, in pixels. */
  readonly smallest: number;
  /** Rows of charts that do not fill their grid, or whose cards are not of one height. */
  readonly holes: readonly string[];
  /** How many charts each row has. */
  readonly rows: readonly number[];
  /** Links of the contents in sight that do not lead to what they say, and how many there are in all. */
  readonly astray: readonly string[];
  readonly links: number;
  /** Serious faults that axe finds, where it looked. */
  readonly faults: readonly string[];
  /** What paper would show wrongly. */
  readonly onPaper: readonly string[];
}

/** Runs in the page: opens what is folded, and measures. */
const MEASURE = `(() => {
  document.querySelectorAll("details").forEach((details) => details.open = true);
  const channels = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((c) => c / 255);
  const luminance = (colour) => channels(colour)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor;
    return /, 0\\)$/.test(colour) ? ground(element.parentElement) : colour;
  };
  const contrasts = {};
  for (const selector of ["h1", ".soft", ".tiles dt", ".tiles dd + dd", "figcaption", "svg text", "thead th", "td", "pre", ".bad", "a", ".note", "nav.contents a"]) {
    const element = document.querySelector(selector);
    if (element === null) continue;
    const style = getComputedStyle(element);
    const text = luminance(selector === "svg text" ? style.fill : style.color);
    const [low, high] = [text, luminance(ground(element))].sort((a, b) => a - b);
    contrasts[selector] = (high + 0.05) / (low + 0.05);
  }
  const shown = [...document.querySelectorAll("svg")].filter((svg) => svg.getBoundingClientRect().width > 0);
  const smallest = Math.min(...shown.map((svg) => 13 * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width));
  const root = document.documentElement;
  return { overflow: root.scrollWidth - innerWidth, background: getComputedStyle(document.body).backgroundColor, contrasts, smallest };
})()`;

/** Runs in the page: rows of charts, by where cards stand. */
const MEASURE_ROWS = `(() => {
  const holes = [], rows = [];
  for (const grid of document.querySelectorAll(".charts.fitted")) {
    const { left, right } = grid.getBoundingClientRect(), byTop = new Map();
    for (const card of grid.children) {
      const box = card.getBoundingClientRect(), top = Math.round(box.top);
      byTop.set(top, [...(byTop.get(top) ?? []), box]);
    }
    for (const [top, boxes] of byTop) {
      const edges = [left, ...boxes.flatMap((box) => [box.left, box.right]), right];
      const gaps = edges.flatMap((edge, i) => i % 2 === 0 ? [edges[i + 1] - edge] : []);
      const wrong = gaps.some((gap, i) => Math.abs(gap - (i === 0 || i === gaps.length - 1 ? 0 : 12)) > 1);
      const heights = new Set(boxes.map(({ height }) => Math.round(height)));
      if (wrong || heights.size > 1) holes.push("row at " + top + ": gaps " + gaps.join(", ") + ", heights " + [...heights].join(", "));
      rows.push(boxes.length);
    }
  }
  return { holes, rows };
})()`;

/** Runs in the page: follows the links of the contents that are in sight. */
const FOLLOW_LINKS = `(() => {
  const links = [...document.querySelectorAll("nav.contents a")].filter((link) => link.getClientRects().length > 0);
  const astray = links.filter((link) => {
    link.click();
    const section = document.getElementById(location.hash.slice(1)), heading = section?.querySelector("h2");
    const top = section?.getBoundingClientRect().top ?? -1;
    return heading?.textContent !== link.textContent || top < -1 || top >= innerHeight;
  });
  return { astray: astray.map((link) => link.outerHTML), links: links.length };
})()`;

/** Runs in the page as paper would have it, with all folded: what is wrong. */
const CHECK_PAPER = `(() => {
  const wrong = [];
  document.querySelectorAll("details").forEach((details) => details.open = false);
  for (const element of document.querySelectorAll("nav.contents")) {
    if (element.getClientRects().length > 0) wrong.push("contents are shown");
  }
  for (const element of document.querySelectorAll("main details table, main details pre")) {
    if (!element.checkVisibility({ contentVisibilityAuto: true })) wrong.push("folded: " + element.textContent.slice(0, 60));
  }
  const ink = getComputedStyle(document.body).color;
  if (Math.max(...ink.match(/[0-9]+/g).map(Number)) > 100) wrong.push("text is " + ink);
  return wrong;
})()`;

/** Serious faults that axe finds on the page as it is. @param axe its source */
export async function auditWith(page: Page, axe: string): Promise<string[]> {
  await page.evaluate(axe);
  return await page.evaluate<string[]>(`axe.run({ resultTypes: ["violations"] }).then(({ violations }) =>
    violations.filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(({ id, nodes }) => id + ": " + nodes.slice(0, 3).map(({ html, failureSummary }) => html.slice(0, 160) + " " + failureSummary).join(" | ")))`);
}

if (import.meta.main) {
  // Loading the driver takes permissions that only this program has, not whoever imports its types.
  const { chromium } = await import("playwright-core");
  const { default: axe } = await import("axe-core");
  const [executablePath, url, ...widths] = Deno.args;
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  const looks: Look[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of widths.map(Number)) {
      const page = await browser.newPage({ viewport: { width, height: 800 }, colorScheme });
      const troubles: string[] = [];
      page.on("console", (message) => troubles.push(message.text()));
      page.on("pageerror", (error) => troubles.push(error.message));
      page.on("request", (request) => {
        if (request.url() !== url && !request.url().startsWith("data:")) troubles.push(`request to ${request.url()}`);
      });
      await page.goto(url);
      const measured = await page.evaluate<Pick<Look, "overflow" | "background" | "contrasts" | "smallest">>(MEASURE);
      const rows = await page.evaluate<Pick<Look, "holes" | "rows">>(MEASURE_ROWS);
      const links = await page.evaluate<Pick<Look, "astray" | "links">>(FOLLOW_LINKS);
      // On a phone and on the widest screen: an audit takes its time.
      const audited = width === 390 || width === Number(widths.at(-1));
      const faults = audited ? await auditWith(page, axe.source) : [];
      await page.emulateMedia({ media: "print" });
      const onPaper = await page.evaluate<string[]>(CHECK_PAPER);
      looks.push({ width, colorScheme, troubles, ...measured, ...rows, ...links, faults, onPaper });
      await page.close();
    }
  }
  await browser.close();
  console.log(JSON.stringify(looks));
}
