/** Drives Chromium through the pages that work for their reader, and prints what it saw as JSON; run by `work_chromium_test.ts`. */
import type { Browser, Page } from "playwright-core";
import { auditWith } from "../report/report_chromium_test_support.ts";
import type { Look } from "../report/chromium_test_support.ts";
import { lookAround, open } from "./pages_chromium_test_support.ts";

/** What the driver is told. */
export interface Work {
  readonly chromium: string;
  /** Of the server, without a path at its end. */
  readonly address: string;
  readonly pages: Readonly<Record<string, string>>;
  readonly widths: readonly number[];
  readonly pictures: string;
}

/** What was seen. */
export interface Worked {
  readonly looks: readonly Look[];
  readonly troubles: readonly string[];
  readonly write: Readonly<Record<string, unknown>>;
  readonly edit: Readonly<Record<string, unknown>>;
}

if (import.meta.main) {
  const { chromium } = await import("playwright-core");
  const { default: axe } = await import("axe-core");
  const work: Work = JSON.parse(Deno.args[0]);
  const browser = await chromium.launch({ executablePath: work.chromium, args: ["--no-sandbox", "--disable-gpu"] });
  const troubles: string[] = [];
  const worked: Worked = {
    looks: await lookAround(browser, work, axe.source, troubles),
    write: await write(browser, work, { axe: axe.source, troubles }),
    edit: await edit(browser, work, { axe: axe.source, troubles }),
    troubles,
  };
  await browser.close();
  console.log(JSON.stringify(worked));
}

/** Presses keys one after the other. */
async function press(page: Page, ...keys: readonly string[]): Promise<void> {
  for (const key of keys) await page.keyboard.press(key);
}

/** Waits until something is so; the content policy lets no function wait in the page itself. */
async function until(page: Page, what: string): Promise<void> {
  for (const since = performance.now(); !await page.evaluate(what);) {
    if (performance.now() - since > 20_000) throw new Error(`Waited too long for ${what}`);
    await page.waitForTimeout(30);
  }
}

/** A picture at a width, light or dark. */
async function picture(page: Page, { pictures }: Work, name: string): Promise<void> {
  for (const [scheme, width] of [["light", 1280], ["dark", 390]] as const) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height: 900 });
    await page.screenshot({ path: `${pictures}/${name}-${width}-${scheme}.png`, fullPage: true });
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 900 });
}

/** Two texts side by side with the keyboard alone: to their end, and stopped. */
async function write(
  browser: Browser,
  work: Work,
  { axe, troubles }: { readonly axe: string; readonly troubles: string[] },
): Promise<Record<string, unknown>> {
  const page = await open(browser, work, { path: work.pages.try, troubles });
  const texts = () => page.locator("[data-text]").allInnerTexts();
  const facts = () => page.locator("[data-facts]").allInnerTexts();
  const over = () => page.waitForSelector("[data-write]:not(:disabled)");
  await press(page, "i", "Control+a");
  await page.keyboard.type("The people of the");
  await press(page, "Tab");
  await page.keyboard.type("24");
  await press(page, "Shift+Tab", "Control+Enter");
  await page.waitForSelector('[data-state="done"]');
  await over();
  const found: Record<string, unknown> = { texts: await texts(), facts: await facts() };
  found.agreement = await page.locator("[data-agreement]").innerText();
  await picture(page, work, "try-written");
  found.faults = await auditWith(page, axe);
  // Tab goes through the settings to the button, and the focus stays where there is one.
  await press(page, "Tab", "Control+a");
  await page.keyboard.type("400");
  await press(page, "Tab", "Tab", "Tab", "Enter");
  await until(page, `document.querySelector("[data-text]").textContent.length > 60`);
  found.focused = await page.evaluate("document.activeElement.textContent");
  await press(page, "Enter");
  await over();
  found.stopped = await facts();
  found.back = await page.evaluate("document.activeElement.matches('[data-write]')");
  await page.close();
  return found;
}

/** A recipe written with the keyboard alone: completed, described, wrong, mended, planned. */
async function edit(
  browser: Browser,
  work: Work,
  { axe, troubles }: { readonly axe: string; readonly troubles: string[] },
): Promise<Record<string, unknown>> {
  const page = await open(browser, work, { path: work.pages.recipe, troubles });
  // A plan of what is wrong is refused, which the console tells.
  const text = (selector: string) => page.locator(selector).innerText();
  const checked = (state: string) => page.waitForSelector(`[data-checked=${state}]`);
  const list = () => page.locator("[data-completion] li span:first-child").allInnerTexts();
  await checked("well");
  const found: Record<string, unknown> = { verdict: await text("[data-verdict]") };
  await press(page, "i", "Control+a");
  await page.keyboard.type("extends: ./bases/tiny-llama.yaml\nstages:\n");
  // The line begins deeper by itself.
  await page.keyboard.type("sp");
  await press(page, "Control+Space");
  found.taken = (await page.locator("[data-source]").inputValue()).split("\n")[2];
  await page.keyboard.type("itertions: 3\nsolver: ");
  await press(page, "Control+Space");
  found.offered = await list();
  await picture(page, work, "recipe-completion");
  await press(page, "ArrowDown", "ArrowUp", "ArrowDown", "Enter");
  found.lines = (await page.locator("[data-source]").inputValue()).split("\n").slice(2);
  await checked("errors");
  found.wrong = await text("[data-verdict]");
  await press(page, "F8");
  found.caret = await text("[data-caret]");
  found.problem = await page.locator("[data-problems] li").first().innerText();
  await picture(page, work, "recipe-wrong");
  found.faults = await auditWith(page, axe);
  for (let letter = 0; letter < "itertions".length; letter++) await press(page, "Delete");
  await page.keyboard.type("cand");
  await press(page, "Control+Space");
  await press(page, "Delete", "Delete");
  found.mended = (await page.locator("[data-source]").inputValue()).split("\n").slice(2);
  found.described = await text("[data-caret]");
  // Escape and Tab lead out of the text; a tab that is loaded again goes on.
  await press(page, "Control+a");
  await page.keyboard.type("extends: ./quickstart-best.yaml");
  await checked("well");
  await press(page, "Control+Enter");
  await page.waitForSelector("[data-plan-rows] tr");
  found.costs = await text("[data-plan-costs]");
  found.rows = (await page.locator("[data-plan-rows] tr").allInnerTexts()).slice(0, 2);
  await picture(page, work, "recipe-planned");
  found.more = await auditWith(page, axe);
  await press(page, "Escape", "Tab");
  found.left = await page.evaluate("document.activeElement.matches('[data-source]')");
  await page.reload();
  found.kept = await page.locator("[data-source]").inputValue();
  await page.close();
  return found;
}
