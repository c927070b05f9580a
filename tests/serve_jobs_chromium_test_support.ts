/** Drives Chromium through pages that start runs, and prints what it saw as JSON; run by `serve_jobs_chromium_test.ts`. */
import { auditWith } from "../report/report_chromium_test_support.ts";

/** What the driver is told. */
export interface Visit {
  readonly chromium: string;
  /** Of the server, without a path at its end. */
  readonly address: string;
  readonly token: string;
  readonly pictures: string;
}

/** What was seen. */
export interface Visited {
  readonly faults: readonly unknown[];
  readonly troubles: readonly string[];
  /** Whether a recipe with mistakes cannot be started. */
  readonly disabled: boolean;
  /** The button on the page of a run that goes on. */
  readonly watched: string;
  readonly finished: string;
  /** State and words of the job in the list. */
  readonly listed: readonly string[];
  /** Whether a finished run can be gone on with. */
  readonly again: boolean;
  readonly stopped: string;
  /** Whether it shows a step as running. */
  readonly going: boolean;
  readonly offered: string;
  /** Whether what was stopped has gone on in another run. */
  readonly gone: boolean;
}

if (import.meta.main) console.log(JSON.stringify(await visit(JSON.parse(Deno.args[0]))));

async function visit(work: Visit): Promise<Visited> {
  const { chromium } = await import("playwright-core");
  const { default: { source: axe } } = await import("axe-core");
  const browser = await chromium.launch({ executablePath: work.chromium, args: ["--no-sandbox", "--disable-gpu"] });
  const troubles: string[] = [], faults: unknown[] = [];
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  page.on("pageerror", (error) => troubles.push(`${error}`));
  page.setDefaultTimeout(90_000);
  const look = async (name: string) => {
    faults.push(...await auditWith(page, axe));
    for (const [scheme, width] of [["light", 1280], ["dark", 390]] as const) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height: 900 });
      await page.screenshot({ path: `${work.pictures}/jobs-${name}-${width}-${scheme}.png` });
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize({ width: 1280, height: 900 });
  };
  const state = () => page.locator('[data-part="head"] .badge').first().innerText();
  const edit = async () => {
    await page.goto(`${work.address}/recipes/edit?file=small.yaml`);
    await page.waitForSelector("[data-checked=well]");
    await page.keyboard.press("i");
  };
  try {
    await page.goto(`${work.address}/?token=${work.token}`);
    await edit();
    await page.keyboard.type("x: 1\n");
    await page.waitForSelector("[data-checked=errors]");
    const disabled = await page.locator("[data-run-it]").isDisabled();
    for (let letter = 0; letter < 5; letter++) await page.keyboard.press("Backspace");
    await page.waitForSelector("[data-checked=well]");
    await look("editor");
    await page.keyboard.press("Control+Shift+Enter");
    await page.waitForURL(/\/runs\//);
    const watched = await page.locator("[data-stop]").innerText();
    await look("running");
    await page.waitForSelector('[data-run][data-over="yes"] [data-part="head"] .badge[data-state="finished"]');
    const finished = await state(), again = await page.locator("[data-start]").isVisible();
    await page.goto(`${work.address}/`);
    await page.waitForSelector('[data-part="jobs"] .badge[data-state="finished"]');
    const listed = [
      await page.locator(".jobs .badge").first().innerText(),
      await page.locator(".jobs td:nth-child(2)").first().innerText(),
    ];
    await look("list");

    // Another text has more to do.
    await edit();
    await page.keyboard.press("Control+a");
    const text = await page.locator("[data-source]").inputValue();
    await page.locator("[data-source]").fill(text.replace("samples: 16", "samples: 96"));
    await page.waitForSelector("[data-checked=well]");
    await page.keyboard.press("Control+Shift+Enter");
    await page.waitForURL(/\/runs\//);
    const first = page.url();
    await page.waitForSelector("[data-stop]");
    await page.keyboard.press("S");
    await page.keyboard.press("Enter");
    await page.waitForSelector("[data-start]");
    await page.waitForSelector("[data-legend] .badge");
    const going = (await page.locator("[data-legend]").innerText()).includes("running");
    const stopped = await state(), offered = await page.locator("[data-start]").innerText();
    await look("stopped");
    await page.locator("[data-start]").focus();
    await page.keyboard.press("Enter");
    await page.waitForURL((url) => url.href !== first && url.pathname.startsWith("/runs/"));
    await page.waitForSelector('[data-run][data-over="yes"] [data-part="head"] .badge[data-state="finished"]');
    const gone = await state() === "finished";
    return { faults, troubles, disabled, watched, finished, listed, again, stopped, going, offered, gone };
  } finally {
    await browser.close();
  }
}
