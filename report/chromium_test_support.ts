/** What tests of pages in Chromium share: the browser on this machine, and that a page fits whatever it was looked at with. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";

const PLACES = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/**
 * The browser's program.
 *
 * @param what is to be looked at, for people
 * @returns undefined where there is none, which is said, and is a failure in CI
 */
export async function findChromium(what: string): Promise<string | undefined> {
  const found = [Deno.env.get("PBS2P_CHROMIUM") ?? "", ...PLACES].find((place) => place !== "" && existsSync(place));
  const mayRun = (await Deno.permissions.query({ name: "run", command: Deno.execPath() })).state === "granted";
  if (found !== undefined && mayRun) return found;
  const why = mayRun
    ? "no Chromium was found; PBS2P_CHROMIUM can name one"
    : "the test may not start programs (--allow-run)";
  assert.ok(!Deno.env.has("CI"), `Cannot look at ${what} in a browser: ${why}`);
  console.log(`Skipped: ${why}`);
  return undefined;
}

/** A page of the server as it was looked at, at one width and in one scheme. */
export interface Look {
  readonly page: string;
  readonly width: number;
  readonly scheme: string;
  /** Pixels by which it is too wide. */
  readonly overflow: number;
  /** Serious faults that axe finds, where it looked. */
  readonly faults: readonly string[];
}

/** That every page was looked at, fits, and has no serious fault. */
export function checkLooks(
  looks: readonly Look[],
  { pages, widths }: { readonly pages: Readonly<Record<string, string>>; readonly widths: readonly number[] },
): void {
  assert.equal(looks.length, Object.keys(pages).length * widths.length * 2);
  for (const { page, width, scheme, overflow, faults } of looks) {
    const where = `${page}, ${width} pixels, ${scheme}`;
    assert.deepEqual(faults, [], where);
    assert.ok(overflow <= 0, `${where}: ${overflow} pixels too wide`);
  }
}
