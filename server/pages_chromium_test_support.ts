/** Drives Chromium through the pages and prints what it saw as JSON; run by `pages_chromium_test.ts`, with permissions that tests do not have. */
import { fileURLToPath } from "node:url";
import type { Browser, Page } from "playwright-core";
import type { Look } from "../report/chromium_test_support.ts";
import { auditWith } from "../report/report_chromium_test_support.ts";

/** What the driver is told. */
export interface Journey {
  readonly chromium: string;
  /** Of the server, without a path at its end. */
  readonly address: string;
  /** Pages to look at, by name. */
  readonly pages: Readonly<Record<string, string>>;
  readonly widths: readonly number[];
  /** Folder for pictures. */
  readonly pictures: string;
  /** A server of many runs, and the path of one of many steps. */
  readonly many: { readonly address: string; readonly run: string };
  /** Folder in whose `runs` a run is made while pages look on. */
  readonly live: string;
}

/** What was seen. */
export interface Seen {
  readonly looks: readonly Look[];
  /** Messages of the console, failures, requests to anywhere else. */
  readonly troubles: readonly string[];
  readonly keys: Readonly<Record<string, unknown>>;
  readonly live: Readonly<Record<string, unknown>>;
  /** Milliseconds. */
  readonly speed: Readonly<Record<string, number>>;
}

/** Longest time between two frames while something scrolls for a second, in milliseconds. */
const SCROLL = `async ([selector, side]) => {
  const box = document.querySelector(selector);
  box.scrollIntoView({ block: "center" });
  const size = side === "left" ? box.scrollWidth - box.clientWidth : box.scrollHeight - box.clientHeight;
  let longest = 0, before = performance.now();
  const start = before;
  while (before - start < 1000) {
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    longest = Math.max(longest, now - before);
    before = now;
    box[side === "left" ? "scrollLeft" : "scrollTop"] = size * (now - start) / 1000;
  }
  return { longest, size };
}`;

/** How often what is first painted is timed: other programs use the machine too. */
const TIMES = 3;

if (import.meta.main) {
  const { chromium } = await import("playwright-core");
  const { default: axe } = await import("axe-core");
  const journey: Journey = JSON.parse(Deno.args[0]);
  const browser = await chromium.launch({ executablePath: journey.chromium, args: ["--no-sandbox", "--disable-gpu"] });
  const troubles: string[] = [];
  const seen: Seen = {
    looks: await lookAround(browser, journey, axe.source, troubles),
    keys: await useKeys(browser, journey, troubles),
    live: await followRun(browser, journey, troubles),
    speed: await measure(browser, journey, troubles),
    troubles,
  };
  await browser.close();
  console.log(JSON.stringify(seen));
}

/** Opens a page that is listened to: what it complains of, and what it asks others for, is noted. */
export async function open(
  browser: Browser,
  { address }: Pick<Journey, "address">,
  { path, width = 1280, scheme = "light", troubles }: {
    readonly path: string;
    readonly width?: number;
    readonly scheme?: "light" | "dark";
    readonly troubles: string[];
  },
): Promise<Page> {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme: scheme });
  page.on("console", (message) => troubles.push(`${path}: ${message.text()}`));
  page.on("pageerror", (error) => troubles.push(`${path}: ${error.message}`));
  page.on("request", (request) => {
    if (!request.url().startsWith(address) && !request.url().startsWith("data:")) {
      troubles.push(`${path}: asks for ${request.url()}`);
    }
  });
  page.on("response", (response) => {
    if (response.status() >= 400) troubles.push(`${path}: ${response.url()} gave ${response.status()}`);
  });
  await page.goto(`${address}${path}`);
  return page;
}

/** Looks at every page in every width, light and dark; pictures are kept. @param axe its source */
export async function lookAround(
  browser: Browser,
  journey: Pick<Journey, "address" | "pages" | "widths" | "pictures">,
  axe: string,
  troubles: string[],
): Promise<Look[]> {
  const looks: Look[] = [];
  for (const [name, path] of Object.entries(journey.pages)) {
    const page = await open(browser, journey, { path, troubles });
    await page.evaluate(`document.querySelectorAll("details").forEach((each) => each.open = true)`);
    for (const scheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      for (const [i, width] of journey.widths.entries()) {
        await page.setViewportSize({ width, height: 900 });
        // What scripts fetch and draw; a stream is never idle.
        await page.waitForTimeout(250);
        const overflow = await page.evaluate<number>("document.documentElement.scrollWidth - innerWidth");
        await page.screenshot({ path: `${journey.pictures}/${name}-${width}-${scheme}.png`, fullPage: true });
        // Contrast differs with the scheme, what is shown with the width: each once.
        const audit = i === (scheme === "light" ? 0 : 1);
        const faults = audit ? await auditWith(page, axe) : [];
        looks.push({ page: name, width, scheme, overflow, faults });
      }
    }
    await page.close();
  }
  return looks;
}

/** Everything with the keyboard alone, from the list to a comparison and a run. */
async function useKeys(browser: Browser, journey: Journey, troubles: string[]): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const page = await open(browser, journey, { path: "/", troubles });
  const type = async (...keys: readonly string[]) => {
    for (const key of keys) await page.keyboard.press(key);
  };
  const text = (selector: string) => page.locator(selector).innerText();
  // Functions: the content policy lets text be evaluated once, not each time that it is asked again.
  await page.waitForFunction(`() => document.querySelector("[data-compare]").disabled`);
  await type("?");
  found.dialog = await page.locator("dialog[open]").count();
  await type("Escape", "/");
  await page.keyboard.type("failed");
  found.filtered = await text("[data-count]");
  await type("Escape", "j", "x", "j", "k", "j", "x");
  found.selected = await text("[data-compare]");
  const visible = page.locator("[data-runs] tbody tr:not([hidden])");
  found.failed = await visible.evaluateAll((rows) =>
    rows.every((row) => (row as unknown as { dataset: { state: string } }).dataset.state === "failed")
  );
  await type("c");
  await page.waitForURL(/\/compare\?/);
  found.compared = await text("h1");
  await type("g", "r");
  await page.waitForSelector("[data-runs]");
  await page.waitForFunction(`() => document.querySelector("[data-compare]").disabled`);
  await type("s");
  found.sorted = await page.locator("th[aria-sort]").innerText();
  await type("j", "Enter");
  await page.waitForSelector("[data-run]");
  await page.waitForSelector("[data-legend] .badge");
  let tabs = 0;
  for (; tabs < 30; tabs++) {
    await type("Tab");
    if (await page.evaluate(`document.activeElement.matches("[data-graph]")`)) break;
  }
  found.tabs = tabs;
  found.ring = await page.evaluate(`getComputedStyle(document.activeElement).outlineStyle`);
  await type("ArrowRight", "ArrowRight", "ArrowDown");
  found.step = await text("[data-step] h3");
  await type("/");
  await page.keyboard.type("spbo[1]");
  found.steps = await text("#steps [data-count]");
  await type("Escape", "4");
  await page.waitForSelector("[data-log] p");
  found.log = await page.locator("[data-log] p").first().innerText();
  await page.close();
  return found;
}

/** A run of another process: it appears in the list, its page follows it to its end, without being loaded again by hand. */
async function followRun(browser: Browser, journey: Journey, troubles: string[]): Promise<Record<string, unknown>> {
  const page = await open(browser, journey, { path: "/", troubles });
  const before = await page.locator("[data-runs] tbody tr").count();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      fileURLToPath(new URL("../runner/arithmetic_child_test_support.ts", import.meta.url)),
      journey.live,
      "500",
    ],
    ...{ stdout: "null", stderr: "inherit" },
  }).spawn();
  const row = page.locator('tr[data-state="running"][data-id$="-arithmetic"]');
  await row.waitFor({ timeout: 30_000 });
  const listed = await page.locator("[data-runs] tbody tr").count() - before;
  await row.locator("a").click();
  await page.waitForSelector('.facts [data-state="running"]');
  const counts: number[] = [];
  const log = page.locator("[data-log]");
  await log.scrollIntoViewIfNeeded();
  await page.screenshot({ path: `${journey.pictures}/live-running.png` });
  for (let over = false; !over;) {
    await page.waitForTimeout(200);
    const [words, state] = await page.evaluate<[string, string]>(
      `[document.querySelector(".facts").textContent, document.querySelector(".facts .badge").dataset.state]`,
    ).catch((): [string, string] => ["", ""]);
    const done = /(\d+) of \d+ steps/.exec(words)?.[1];
    if (done !== undefined && counts.at(-1) !== Number(done)) counts.push(Number(done));
    over = state === "finished" || state === "failed";
  }
  const { code } = await child.status;
  await page.waitForSelector("[data-legend] .badge");
  const legend = await page.locator("[data-legend]").innerText();
  await page.locator("[data-log]").scrollIntoViewIfNeeded();
  await page.waitForSelector("[data-log] p");
  await page.waitForTimeout(300);
  const lines = await page.locator("[data-log] p").allInnerTexts();
  await page.screenshot({ path: `${journey.pictures}/live-finished.png` });
  await page.close();
  return { code, listed, counts, legend, last: lines.at(-1), lines: lines.length };
}

async function measure(browser: Browser, journey: Journey, troubles: string[]): Promise<Record<string, number>> {
  const paint = (page: Page) =>
    page.waitForFunction(`() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime`).then((handle) =>
      handle.jsonValue() as Promise<number>
    );
  const many = { ...journey, address: journey.many.address };
  const listPaints: number[] = [], runPaints: number[] = [], drawn: number[] = [], bare: number[] = [];
  let rows = 0;
  for (let time = 0; time < TIMES; time++) {
    // What a page takes here and now that shows nothing.
    const empty = await open(browser, many, { path: "/compare?run=", troubles: [] });
    bare.push(await paint(empty));
    await empty.close();
    const list = await open(browser, many, { path: "/", troubles });
    listPaints.push(await paint(list));
    rows = await list.locator("[data-runs] tbody tr").count();
    await list.close();
    const began = performance.now(), run = await open(browser, many, { path: journey.many.run, troubles });
    runPaints.push(await paint(run));
    await run.waitForSelector("[data-legend] .badge");
    drawn.push(performance.now() - began);
    await run.close();
  }
  const run = await open(browser, many, { path: journey.many.run, troubles });
  await run.waitForSelector("[data-legend] .badge");
  await run.screenshot({ path: `${journey.pictures}/many-steps.png` });
  const scroll = (selector: string, side: string) =>
    run.evaluate<{ longest: number; size: number }>(`(${SCROLL})(${JSON.stringify([selector, side])})`);
  const graph = await scroll("[data-graph]", "left");
  await run.keyboard.press("/");
  await run.waitForSelector("tr[data-step-id]");
  const steps = await scroll("[data-rows]", "top");
  const elements = await run.locator("tr[data-step-id]").count();
  await run.locator("[data-log]").scrollIntoViewIfNeeded();
  await run.waitForSelector("[data-log] p");
  await run.waitForTimeout(1500);
  const log = await scroll("[data-log]", "top");
  await run.close();
  return {
    ...{
      rows,
      elements,
      listPaint: Math.min(...listPaints),
      runPaint: Math.min(...runPaints),
      graphDrawn: Math.min(...drawn),
    },
    ...{ firstList: listPaints[0], firstRun: runPaints[0], bare: Math.min(...bare) },
    ...{ graphFrame: graph.longest, graphSize: graph.size, stepsFrame: steps.longest, stepsSize: steps.size },
    ...{ logFrame: log.longest, logSize: log.size },
  };
}
