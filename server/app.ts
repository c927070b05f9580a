/** The web application as a value: pages, API and streams over folders of runs and of the cache. Not what listens, which is the command. */
import { fileURLToPath } from "node:url";
import { Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import { InputError } from "../files/input_error.ts";
import { AnswerSource } from "./answers.ts";
import { makeApi } from "./api.ts";
import { readAssets } from "./assets.ts";
import { Feed } from "./feed.ts";
import { guard, type GuardOptions, headers } from "./guard.ts";
import type { Jobs } from "./jobs.ts";
import { Live } from "./live.ts";
import { cachePage } from "./pages/cache_page.ts";
import { comparePage } from "./pages/compare_page.ts";
import { jobsPart, type JobsShown } from "./pages/job_parts.ts";
import { layout } from "./pages/layout.ts";
import { markup } from "../report/markup.ts";
import { runPage, runParts } from "./pages/run_page.ts";
import { runRow, runsPage, sweepsPart } from "./pages/runs_page.ts";
import { runningPart, sweepPage } from "./pages/sweep_page.ts";
import { recipePage, recipesPage } from "./pages/recipes_page.ts";
import { type DeskOptions, RecipeDesk } from "./recipe_desk.ts";
import { redact } from "./redact.ts";
import { RunStore } from "./run_store.ts";
import { tryPage } from "./pages/try_page.ts";
import { Writers } from "./writers.ts";

/** What the application shows, and to whom. */
export interface AppOptions extends GuardOptions {
  /** Folder of runs; absolute, need not exist yet. */
  readonly runs: string;
  /** Folder of the cache; absolute, need not exist yet. */
  readonly cache: string;
  readonly version?: string;
  /** Folder of recipes, absolute; default: this project's. */
  readonly configs?: string;
  /** Where plans take kernels to run; default: auto. */
  readonly device?: DeskOptions["device"];
  /** What starts runs; without it nothing is started or stopped. */
  readonly jobs?: Jobs;
  /** Told of what was not foreseen, whole; who asks is told nothing of it. */
  readonly onError?: (error: Error) => void;
}

/** Runs that are compared, or whose rows are asked for, at once. */
const MOST_RUNS = 50;
const CONFIGS = fileURLToPath(new URL("../configs", import.meta.url));

/**
 * Builds the application.
 *
 * @throws {InputError} when what should be the folder of runs is none
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { buildApp } from "./app.ts";
 *
 * const folder = await Deno.makeTempDir();
 * const app = buildApp({ runs: `${folder}/runs`, cache: `${folder}/cache`, hosts: ["localhost"] });
 * const ask = (path: string, headers = {}) => app.request(path, { headers: { host: "localhost:8000", ...headers } });
 * assert.deepEqual(await (await ask("/api/runs")).json(), { runs: [], sweeps: [], unread: [] });
 * assert.match(await (await ask("/")).text(), /No runs yet/);
 * assert.equal((await ask("/api/runs", { host: "evil.example" })).status, 421);
 * assert.equal((await ask("/api/runs", { "sec-fetch-site": "cross-site" })).status, 403);
 * assert.equal((await ask("/runs/..%2f..%2fetc")).status, 404);
 * await Deno.remove(folder, { recursive: true });
 * ```
 */
export function buildApp(
  { runs, cache, version = "", configs = CONFIGS, device, jobs, onError = () => {}, ...who }: AppOptions,
): Hono {
  const store = new RunStore(runs), feed = new Feed(store), assets = readAssets();
  const source = new AnswerSource({ store, cache, version }), writers = new Writers({ store, cache, onError });
  const desk = new RecipeDesk({ configs, store, runs, cache, ...(device === undefined ? {} : { device }) });
  // What is there is read before anyone waits for it.
  feed.position();
  const shown = (made?: string): JobsShown | undefined => {
    if (jobs === undefined) return undefined;
    const making = made === undefined ? undefined : jobs.making(made);
    const over = made !== undefined && jobs.isOver(made);
    return { list: jobs.list(), over, ...(making === undefined ? {} : { making }) };
  };
  const app = new Hono();
  app.use(headers);
  app.use(guard(who));
  app.use(async (c, next) => {
    await next();
    if (!c.res.headers.has("Cache-Control")) c.header("Cache-Control", "no-store");
  });

  app.get("/", (c) => {
    // First, so that what changes meanwhile is told again rather than lost.
    const position = feed.position();
    return c.html(runsPage(source.list(), { position, jobs: shown() }));
  });
  app.get("/parts/rows", (c) => {
    const ids = (c.req.queries("run") ?? []).slice(0, MOST_RUNS);
    return c.html(
      ids.map((id) => source.summary(id)).filter((run) => run !== undefined).map((run) => runRow(run).html).join(""),
    );
  });
  app.get("/parts/jobs", (c) => c.html(jobsPart(jobs?.list() ?? []).html));
  app.get("/parts/sweeps", (c) => c.html(sweepsPart(source.sweeps()).html));
  app.get("/runs/:run", (c) => {
    const id = c.req.param("run"), answer = source.answerRun(id);
    if (answer === undefined) return c.notFound();
    return c.html(
      runPage(answer, source.recipe(id), {
        ...{ report: source.report(id) !== undefined, packed: store.hasModel(id) },
        jobs: shown(id),
      }),
    );
  });
  app.get("/runs/:run/try", async (c) => {
    const id = c.req.param("run"), summary = source.summary(id);
    const [packed, original] = await Promise.all([writers.find(id, "packed"), writers.find(id, "original")]);
    if (summary === undefined || packed === undefined || original === undefined) return c.notFound();
    return c.html(tryPage({ summary, packed, original }));
  });
  app.get("/runs/:run/parts", (c) => {
    const answer = source.answerRun(c.req.param("run"));
    return answer === undefined ? c.notFound() : c.html(runParts(answer));
  });
  app.get("/runs/:run/report", (c) => {
    const report = source.report(c.req.param("run"));
    if (report === undefined) return c.notFound();
    c.res = c.html(report) as Response;
    // Its style is in it, and it has no scripts.
    c.header(
      "Content-Security-Policy",
      "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; sandbox",
    );
    return c.res;
  });
  app.get("/compare", (c) => {
    const ids = [...new Set(c.req.queries("run") ?? [])];
    if (ids.length > MOST_RUNS) {
      return c.html(problem("Too many runs", `At most ${MOST_RUNS} runs are compared at once.`), 400);
    }
    const found = source.compare(ids, "block");
    return "missing" in found ? c.notFound() : c.html(comparePage(found));
  });
  app.get("/sweeps/:sweep", (c) => {
    const id = c.req.param("sweep"), record = source.sweep(id);
    if (record === undefined) return c.notFound();
    return c.html(sweepPage(record, { running: store.runningPoints(id), jobs: shown(id) }));
  });
  app.get("/parts/running/:sweep", (c) => c.html(runningPart(store.runningPoints(c.req.param("sweep"))).html));
  app.get("/recipes", (c) => c.html(recipesPage(desk.list())));
  app.get("/recipes/edit", async (c) => {
    const { file, run } = c.req.query();
    const id = file === undefined ? { run } : { file }, found = await desk.open(id);
    return found === undefined ? c.notFound() : c.html(recipePage(found, id, shown()));
  });
  app.get("/cache", async (c) => c.html(cachePage(await source.cache())));
  app.get("/assets/:name", (c) => {
    const asset = assets.get(c.req.param("name"));
    if (asset === undefined) return c.notFound();
    c.header("Cache-Control", "no-cache");
    c.header("ETag", asset.tag);
    if (c.req.header("if-none-match") === asset.tag) return c.body(null, 304);
    return c.body(asset.body, 200, { "content-type": asset.type });
  });
  app.route("/api", makeApi(source, { live: new Live(store, feed), writers, desk, ...(jobs ? { jobs } : {}) }));

  app.notFound((c) =>
    c.req.path.startsWith("/api/")
      ? c.json({ error: "Cannot find this: /api/openapi.json lists what there is" }, 404)
      : c.html(problem("Not here", "There is no such page, or the run has been removed."), 404)
  );
  app.onError((error, c) => {
    // What hono itself refuses is a body that is no JSON.
    if (error instanceof HTTPException && error.status < 500) {
      return c.json({ error: "Cannot understand what was posted: it is no JSON" }, error.status);
    }
    const foreseen = error instanceof InputError || /^Cannot /.test(error.message);
    if (!foreseen) onError(error);
    const words = foreseen ? redact(error.message) : "Something unexpected happened; the server's own output says what";
    return c.req.path.startsWith("/api/")
      ? c.json({ error: words }, 500)
      : c.html(problem("Cannot show this", words), 500);
  });
  return app;
}

function problem(title: string, words: string): string {
  return layout({
    title,
    body: markup`<div class="title"><h1>${title}</h1></div><p>${words}</p><p><a href="/">All runs</a></p>`,
  });
}
