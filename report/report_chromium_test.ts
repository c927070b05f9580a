/** The report and a sweep's page in a real browser: they fit phones, follow dark mode, are readable and ask nobody for anything. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { findChromium } from "./chromium_test_support.ts";
import { buildMetrics } from "./metrics.ts";
import { EVENTS, FACTS, RECIPE } from "./metrics_test_support.ts";
import type { Look } from "./report_chromium_test_support.ts";
import { renderReport } from "./report.ts";
import { renderSweepPage } from "./sweep_report.ts";
import { METHODS, sweepOf } from "./sweep_test_support.ts";

Deno.test("renderReport() fits 320 to 2560 pixels in light and dark, readable, its rows full, without a request", async () => {
  const layers = FACTS.layerErrors.map(({ name }, i) => ({ name, bits: 1.5 + (i % 7) / 5 }));
  const metrics = buildMetrics({
    ...FACTS,
    layerErrors: FACTS.layerErrors.map((layer) => ({ ...layer, heldOut: 1.1 * layer.error })),
    allocation: { mean: 2.1, blocks: [2.1, 2.1, 2.1, 2.1, 2.1, 2.1], layers },
    model: "owner/a-model-with-a-rather-long-name@4782ad278652c7c71b72204d462d6d01eaaf7549",
    keep: Array<number>(80).fill(4),
  });
  const environment = { Packages: "a-package@1.0.0, ".repeat(20) };
  const lock = `recipe: ${"long ".repeat(100)}\n`;
  const page = renderReport({ metrics, recipe: RECIPE, lock, events: EVENTS, environment });
  await checkLooks(page, { widths: [320, 390, 768, 1280, 1920, 2560], contrasts: 9, sections: 10 });
});

Deno.test("renderSweepPage() fits 320 to 1920 pixels in light and dark, readable, without a request", async () => {
  const error = `Cannot read ${"a-folder/".repeat(20)}`;
  const points = [
    ...METHODS,
    ...[1, 2, 3, 4].map((keep) => ({
      label: `a method whose name is long, keep ${keep}, group_size 128, schedule stepwise`,
      values: { keep, extends: "./methods/long.yaml" },
      model: 3 + keep / 9,
      perplexity: { heldout: 99 - keep, "a-rather-long-evaluation": 1e6 },
    })),
    { label: "failed", values: { keep: 9 }, state: "failed" as const, error },
  ];
  await checkLooks(renderSweepPage(sweepOf(points)), { widths: [320, 390, 1280, 1920], contrasts: 9, sections: 4 });
});

/** Looks at a page in all widths, light and dark. */
async function checkLooks(
  page: string,
  { widths, contrasts: least, sections }: {
    readonly widths: readonly number[];
    readonly contrasts: number;
    readonly sections: number;
  },
): Promise<void> {
  const chromium = await findChromium("the report");
  if (chromium === undefined) return;
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-report-"));
  try {
    const file = join(folder, "report.html");
    await writeFile(file, page);
    const looks = await look(chromium, pathToFileURL(file).href, widths);
    assert.equal(looks.length, 2 * widths.length);
    for (const { width, colorScheme, troubles, overflow, contrasts, smallest, ...seen } of looks) {
      const where = `${width} pixels, ${colorScheme}`;
      assert.deepEqual(troubles, [], where);
      assert.ok(overflow <= 0, `${where}: ${overflow} pixels too wide`);
      assert.ok(Object.keys(contrasts).length >= least, where);
      for (const [what, ratio] of Object.entries(contrasts)) assert.ok(ratio >= 4.5, `${where}: ${what} has ${ratio}`);
      assert.ok(smallest >= 9.5, `${where}: text in charts is ${smallest} pixels high`);
      assert.deepEqual(seen.holes, [], where);
      if (width < 640) assert.ok(seen.rows.every((charts) => charts === 1), `${where}: ${seen.rows}`);
      if (width >= 1280) assert.ok(Math.max(...seen.rows) > 1, `${where}: ${seen.rows}`);
      assert.deepEqual([seen.astray, seen.links], [[], sections], where);
      assert.deepEqual(seen.faults, [], where);
      assert.deepEqual(seen.onPaper, [], where);
    }
    assert.equal(new Set(looks.map(({ background }) => background)).size, 2, "light and dark differ");
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Looks with a program of its own: the browser's driver wants permissions that tests do not have. */
async function look(chromium: string, url: string, widths: readonly number[]): Promise<Look[]> {
  const driver = fileURLToPath(new URL("./report_chromium_test_support.ts", import.meta.url));
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-prompt", driver, chromium, url, ...widths.map(String)],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
