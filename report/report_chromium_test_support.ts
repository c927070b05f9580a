/** Opens a page in Chromium at several widths, light and dark, and prints what it measures; run by `report_chromium_test.ts`. */
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
  for (const selector of ["h1", ".soft", ".tiles dt", ".tiles dd + dd", "figcaption", "svg text", "thead th", "td", "pre", ".bad", "a", ".note"]) {
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

if (import.meta.main) {
  // Loading the driver takes permissions that only this program has, not whoever imports its types.
  const { chromium } = await import("playwright-core");
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
      const measured = await page.evaluate<Omit<Look, "width" | "colorScheme" | "troubles">>(MEASURE);
      looks.push({ width, colorScheme, troubles, ...measured });
      await page.close();
    }
  }
  await browser.close();
  console.log(JSON.stringify(looks));
}
