/** The pages in a real browser: every width and scheme, the keyboard alone, a live run, many runs and many steps. Pictures are kept. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkLooks, findChromium } from "../report/chromium_test_support.ts";
import { openArithmetic, recipeWith } from "../runner/arithmetic_test_support.ts";
import { openCache } from "../runner/cache/cache.ts";
import { executeRun, makePlan } from "../runner/mod.ts";
import { buildApp } from "./app.ts";
import { FACTS } from "../report/metrics_test_support.ts";
import { writeRun, writeSweep, type WrittenRun } from "./folders_test_support.ts";
import type { Journey, Seen } from "./pages_chromium_test_support.ts";

const project = dirname(dirname(fileURLToPath(import.meta.url)));
/**
 * Milliseconds to the first paint, at best of a few times and beyond those of a page that shows nothing, as other tests use the machine
 * too; and between two frames.
 */
const PAINT = 1000, FRAME = 400;

Deno.test("the pages in Chromium", async (t) => {
  const chromium = await findChromium("the pages");
  if (chromium === undefined) return;
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-pages-" });
  const pictures = Deno.env.get("PBS2P_PICTURES") ?? join(project, ".pbs2p", "pictures");
  mkdirSync(pictures, { recursive: true });
  const pages = await prepareFew(join(folder, "few")), large = prepareMany(join(folder, "many"));
  const end = new AbortController();
  const [few, many] = ["few", "many"].map((name) => {
    const app = buildApp({
      runs: join(folder, name, "runs"),
      cache: join(folder, name, "cache"),
      hosts: ["127.0.0.1"],
    });
    return Deno.serve({ hostname: "127.0.0.1", port: 0, signal: end.signal, onListen: () => {} }, app.fetch);
  });
  const addressOf = ({ addr }: Deno.HttpServer<Deno.NetAddr>) => `http://127.0.0.1:${addr.port}`;
  try {
    const journey: Journey = {
      ...{ chromium, pictures, live: join(folder, "few"), widths: [390, 1280, 1920], address: addressOf(few) },
      pages,
      many: { address: addressOf(many), run: large },
    };
    await check(t, await travel(journey), journey);
  } finally {
    end.abort();
    await Promise.all([few.finished, many.finished]);
    Deno.removeSync(folder, { recursive: true });
  }
});

const OTHER: WrittenRun["facts"] = {
  ...{
    keep: [6, 5, 4, 4, 5, 6],
    method: "other",
    perplexity: { heldout: { original: 24.898, compressed: 30, tokens: 51_200 } },
  },
  layerErrors: FACTS.layerErrors.map(({ name, error }, i) => ({ name, error: error * (0.5 + (i % 9) / 10) })),
};

/** Runs of every kind, a sweep and a cache. @returns the pages to look at */
async function prepareFew(folder: string): Promise<Journey["pages"]> {
  const runs = join(folder, "runs");
  // Another seed than the live run's, which would find all of its results.
  const cache = await openCache(join(folder, "cache")), recipe = recipeWith({ calibrate: { seed: 5 } });
  const subject = openArithmetic(recipe), plan = await makePlan(subject, cache, { recipe });
  await executeRun(plan, subject, { cache, recipe, runsDir: runs });
  cache.close();
  const at = Date.UTC(2026, 0, 2, 4);
  const run = writeRun(runs, 1, { at });
  const other = writeRun(runs, 2, {
    at: at + 1,
    recipe: "a-rather-long-name-of-a-recipe",
    facts: OTHER,
  });
  const failed = writeRun(runs, 3, { at: at + 2, end: "failed" });
  writeRun(runs, 4, { at: at + 3, end: "failed", recipe: "other" });
  writeRun(runs, 5, { at: at + 4, end: "interrupted" });
  const going = writeRun(runs, 6, { at: Date.now() - 20_000, end: "unfinished" });
  const sweep = writeSweep(runs);
  return {
    ...{ runs: "/", run: `/runs/${run}`, failed: `/runs/${failed}`, going: `/runs/${going}`, cache: "/cache" },
    ...{ compare: `/compare?run=${run}&run=${other}`, sweep: `/sweeps/${sweep}` },
  };
}

/** 200 runs, and one of 10 000 steps. @returns its path */
function prepareMany(folder: string): string {
  const ends = ["finished", "finished", "failed", "interrupted", "unfinished"] as const, runs = join(folder, "runs");
  for (let number = 0; number < 200; number++) writeRun(runs, number, { end: ends[number % ends.length] });
  return `/runs/${writeRun(runs, 900, { blocks: 1000, lanes: 10, recipe: "large", at: Date.UTC(2026, 0, 3) })}`;
}

/** Goes with a program of its own: the browser's driver wants permissions that tests do not have. */
async function travel(journey: Journey): Promise<Seen> {
  const driver = fileURLToPath(new URL("./pages_chromium_test_support.ts", import.meta.url));
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-prompt", driver, JSON.stringify(journey)],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function check(
  t: Deno.TestContext,
  { looks, troubles, keys, live, speed }: Seen,
  { pages, widths }: Journey,
): Promise<void> {
  await t.step("nothing is complained of, and nobody else is asked for anything", () => assert.deepEqual(troubles, []));
  await t.step(
    "every page fits every width in light and dark, and axe finds no serious fault",
    () => checkLooks(looks, { pages, widths }),
  );
  await t.step("the keyboard alone is enough", () => {
    const { tabs, ring, log, ...rest } = keys;
    assert.deepEqual(rest, {
      ...{ dialog: 1, filtered: "2 of 7 runs", failed: true, selected: "Compare 2", compared: "Compare 2 runs" },
      ...{ sorted: "State", step: "coarse-search[1]", steps: "1 of 30 steps" },
    });
    assert.ok(Number(tabs) < 20, `${tabs} tabs to the graph`);
    assert.notEqual(ring, "none");
    assert.match(String(log), /run 2026.*steps on cpu/);
  });
  await t.step("a live run is followed from its start to its end", () => {
    const { counts, last, ...rest } = live as { counts: number[]; last: string };
    assert.deepEqual(rest, { code: 0, listed: 1, legend: "11 run", lines: 16 });
    assert.ok(counts.length >= 4, `steps done were seen as ${counts}`);
    assert.deepEqual(counts, counts.toSorted((a, b) => a - b));
    assert.match(last, /finished in/);
  });
  await t.step("200 runs and 10 000 steps are there at once, and scroll", () => {
    console.log(JSON.stringify(speed));
    const {
      listPaint,
      runPaint,
      bare,
      rows,
      elements,
      graphFrame,
      stepsFrame,
      logFrame,
      graphSize,
      stepsSize,
      logSize,
    } = speed;
    assert.ok(rows >= 200 && elements < 100, `${rows} runs, ${elements} rows of steps`);
    assert.ok(graphSize > 5000 && stepsSize > 200_000 && logSize > 100_000, JSON.stringify(speed));
    for (const paint of [listPaint, runPaint]) assert.ok(paint - bare <= PAINT, `first paint after ${paint} ms`);
    for (const frame of [graphFrame, stepsFrame, logFrame]) assert.ok(frame <= FRAME, `a frame took ${frame} ms`);
  });
}
