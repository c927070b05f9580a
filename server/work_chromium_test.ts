/** The pages that work for their reader in a real browser: texts side by side, recipes that are written. Every width and scheme, with the keyboard alone. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkLooks, findChromium } from "../report/chromium_test_support.ts";
import { buildApp } from "./app.ts";
import { writeRunWithModel } from "./scene_test_support.ts";
import type { Work, Worked } from "./work_chromium_test_support.ts";

const project = fileURLToPath(new URL("..", import.meta.url));

Deno.test("the pages that work, in Chromium", async (t) => {
  const chromium = await findChromium("the pages");
  if (chromium === undefined) return;
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-work-" }), runs = join(folder, "runs");
  const pictures = Deno.env.get("PBS2P_PICTURES") ?? join(project, ".pbs2p", "pictures");
  mkdirSync(pictures, { recursive: true });
  const run = writeRunWithModel(runs, 1), alone = writeRunWithModel(runs, 2, { hub: "owner/name", revision: "main" });
  const end = new AbortController();
  const app = buildApp({ runs, cache: join(folder, "cache"), hosts: ["127.0.0.1"], device: "cpu" });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, signal: end.signal, onListen: () => {} }, app.fetch);
  try {
    const work: Work = {
      ...{ chromium, pictures, widths: [390, 1280], address: `http://127.0.0.1:${server.addr.port}` },
      pages: {
        try: `/runs/${run}/try`,
        "try-alone": `/runs/${alone}/try`,
        recipes: "/recipes",
        recipe: "/recipes/edit?file=quickstart.yaml",
      },
    };
    await check(t, await drive(work), work);
  } finally {
    end.abort();
    await server.finished;
    Deno.removeSync(folder, { recursive: true });
  }
});

/** Goes with a program of its own: the browser's driver wants permissions that tests do not have. */
async function drive(work: Work): Promise<Worked> {
  const driver = fileURLToPath(new URL("./work_chromium_test_support.ts", import.meta.url));
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-prompt", driver, JSON.stringify(work)],
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

async function check(
  t: Deno.TestContext,
  { looks, troubles, write, edit }: Worked,
  { pages, widths }: Work,
): Promise<void> {
  await t.step("nothing is complained of, and nobody else is asked for anything", () => assert.deepEqual(troubles, []));
  await t.step(
    "every page fits every width in light and dark, and axe finds no serious fault",
    () => checkLooks(looks, { pages, widths }),
  );
  await t.step("two texts come side by side, and stop when told to", () => {
    const { texts, facts, stopped, ...rest } = write as { texts: string[]; facts: string[]; stopped: string[] };
    assert.equal(texts.length, 2);
    assert.equal(texts[0], texts[1]);
    assert.match(texts[0], /^The people of the United States/);
    for (const each of facts) {
      assert.match(each, /^24 tokens in .*, first after .*, then .* a second, ended at the limit$/);
    }
    for (const each of stopped) assert.match(each, /^\d+ tokens in .*, stopped$/);
    assert.deepEqual(rest, { agreement: "Both wrote the same.", faults: [], focused: "Stop", back: true });
  });
  await t.step("a recipe is completed, described, checked and planned with the keyboard alone", () => {
    const { caret, problem, described, costs, rows, ...rest } = edit as Record<string, string> & { rows: string[] };
    for (const told of [caret, problem]) {
      assert.match(told, /^unknown key `itertions` in stages\.spbo[^]*did you mean\niterations$/);
    }
    assert.match(described, /^stages\.spbo\.candidates[^]*whole number from 3 to 400; default 40$/);
    assert.match(costs, /^\d+ steps to run, 0 cached: about .* of memory and .* of disk at the peak\.$/);
    assert.match(rows[0], /^calibrate\.windows\twill run\t.*\tfirst run$/);
    assert.deepEqual(rest, {
      ...{ verdict: "None: it can be run.", taken: "  spbo:", offered: ["alternate", "joint", "none"] },
      lines: ["  spbo:", "    itertions: 3", "    solver: joint"],
      mended: ["  spbo:", "    candidates: 3", "    solver: joint"],
      ...{ wrong: "1 error.", faults: [], more: [], left: false, kept: "extends: ./quickstart-best.yaml" },
    } as unknown);
  });
}
