/** The JSON API: everything that the pages show, described by OpenAPI from the schemas that check it. */
import { createRoute, OpenAPIHono, z } from "@hono/zod-openapi";
import type { AnswerSource } from "./answers.ts";
import type { Live } from "./live.ts";
import type { RecipeDesk } from "./recipe_desk.ts";
import { addJobRoutes } from "./job_api.ts";
import type { Jobs } from "./jobs.ts";
import { addRecipeRoutes } from "./recipe_api.ts";
import { addTextRoutes } from "./text_api.ts";
import type { Writers } from "./writers.ts";
import { bodyLimit } from "hono/body-limit";
import { CacheDetail, Comparison, Events, Problem, RecipeDetail, RunDetail, RunList, Steps } from "./schemas.ts";

const run = z.string().max(400).openapi({
  param: { name: "run", in: "path" },
  description: "A run's id; of a sweep's point `SWEEP:RUN`",
});
const ofRun = z.object({ run });
const sweep = z.string().max(200).openapi({ param: { name: "sweep", in: "path" } });

/** The answers of a route: what it gives, and what else may come. */
function answers<S extends z.ZodType>(schema: S, description: string) {
  const json = <T extends z.ZodType>(of: T, description: string) => ({
    description,
    content: { "application/json": { schema: of } },
  });
  return {
    200: json(schema, description),
    400: json(Problem, "The question cannot be understood"),
    404: json(Problem, "There is no such thing"),
  };
}

/** An event stream. */
function stream(description: string) {
  return { 200: { description, content: { "text/event-stream": { schema: z.string() } } } };
}

/** Bytes of what is posted, at most. */
const LONGEST = 256 * 1024;

/** The API below `/api`. */
export function makeApi(
  source: AnswerSource,
  { live, writers, desk, jobs }: {
    readonly live: Live;
    readonly writers: Writers;
    readonly desk: RecipeDesk;
    readonly jobs?: Jobs;
  },
): OpenAPIHono {
  const api = new OpenAPIHono({
    defaultHook: (result, c) => {
      if (result.success) return undefined;
      const [{ path, message }] = result.error.issues;
      return c.json({ error: `Cannot understand ${path.join(".") || "the question"}: ${message}` }, 400);
    },
  });
  api.use(bodyLimit({
    maxSize: LONGEST,
    onError: (c) => c.json({ error: `Cannot take in more than ${LONGEST / 1024} KiB at once` }, 413),
  }));
  const missing = (what: string) => ({ error: `Cannot find ${what}` });

  api.openapi(
    createRoute({
      method: "get",
      path: "/runs",
      summary: "All runs and sweeps, the newest first",
      responses: answers(RunList, "Runs"),
    }),
    (c) => c.json(source.list(), 200),
  );
  api.openapi(
    createRoute({
      method: "get",
      path: "/live",
      summary: "Changes of the list as server-sent events: `run`, `gone`; go on with Last-Event-ID or `after`",
      responses: stream("Changes"),
    }),
    (c) => live.list(c),
  );
  api.openapi(
    createRoute({
      ...{ method: "get", path: "/runs/{run}", summary: "One run", request: { params: ofRun } },
      responses: answers(RunDetail, "The run"),
    }),
    (c) => {
      const found = source.run(c.req.valid("param").run);
      return found === undefined ? c.json(missing("this run"), 404) : c.json(found, 200);
    },
  );
  api.openapi(
    createRoute({
      ...{ method: "get", path: "/runs/{run}/steps", summary: "All steps of a run", request: { params: ofRun } },
      responses: answers(Steps, "Steps in the order of the plan"),
    }),
    (c) => {
      const found = source.steps(c.req.valid("param").run);
      return found === undefined ? c.json(missing("this run"), 404) : c.json(found, 200);
    },
  );
  const place = z.object({
    after: z.coerce.number().int().min(0).default(0).describe("Bytes of the journal that are known"),
    until: z.coerce.number().int().min(0).optional().describe("Bytes of the journal behind which nothing is told"),
    most: z.coerce.number().int().min(1).max(10_000).default(1000),
  });
  api.openapi(
    createRoute({
      ...{ method: "get", path: "/runs/{run}/events", summary: "Events of a run's journal, a page at a time" },
      request: { params: ofRun, query: place },
      responses: answers(Events, "Events"),
    }),
    (c) => {
      const found = source.events(c.req.valid("param").run, c.req.valid("query"));
      return found === undefined ? c.json(missing("this run"), 404) : c.json(found, 200);
    },
  );
  api.openapi(
    createRoute({
      ...{ method: "get", path: "/runs/{run}/live", request: { params: ofRun } },
      summary: "A run's journal as server-sent events: `journal`, `end`; go on with Last-Event-ID or `after`",
      responses: { ...stream("Events"), 404: answers(Problem, "")[404] },
    }),
    (c) => {
      const { run } = c.req.valid("param");
      return source.summary(run) === undefined ? c.json(missing("this run"), 404) : live.run(c, run);
    },
  );
  api.openapi(
    createRoute({
      ...{
        method: "get",
        path: "/runs/{run}/recipe",
        summary: "A run's recipe, where its values are stated, and its lock",
      },
      request: { params: ofRun },
      responses: answers(RecipeDetail, "The recipe"),
    }),
    (c) => {
      const found = source.recipe(c.req.valid("param").run);
      return found === undefined ? c.json(missing("this run"), 404) : c.json(found, 200);
    },
  );
  const compared = z.object({
    run: z.union([z.string().max(400), z.array(z.string().max(400)).max(50)]).transform((ids) => [ids].flat())
      .describe("Runs, each as a parameter of its own"),
    by: z.enum(["block", "layer"]).default("block"),
  });
  api.openapi(
    createRoute({
      ...{ method: "get", path: "/compare", summary: "How runs differ", request: { query: compared } },
      responses: answers(Comparison, "Differences"),
    }),
    (c) => {
      const { run, by } = c.req.valid("query");
      const found = source.compare(run, by);
      return "missing" in found ? c.json(missing(`run ${found.missing}`), 404) : c.json(found, 200);
    },
  );
  api.openapi(
    createRoute({
      ...{ method: "get", path: "/sweeps/{sweep}", summary: "A sweep's points and its leaderboard" },
      request: { params: z.object({ sweep }) },
      responses: answers(z.looseObject({}), "The sweep's record, and its leaderboard"),
    }),
    (c) => {
      const found = source.sweepBoard(c.req.valid("param").sweep);
      return found === undefined ? c.json(missing("this sweep"), 404) : c.json(found, 200);
    },
  );
  api.openapi(
    createRoute({
      method: "get",
      path: "/cache",
      summary: "What the cache keeps, and for whom",
      responses: answers(CacheDetail, "The cache"),
    }),
    async (c) => {
      const found = await source.cache();
      return found === undefined ? c.json(missing("a cache: none has been made yet"), 404) : c.json(found, 200);
    },
  );
  addTextRoutes(api, writers);
  addRecipeRoutes(api, desk);
  addJobRoutes(api, { ...(jobs === undefined ? {} : { jobs }), desk });
  api.doc31("/openapi.json", {
    openapi: "3.1.0",
    info: {
      title: "pbs2p",
      version: source.version,
      description: "Runs, sweeps and the cache, to be read; texts of their models; recipes, checked and planned.",
    },
    servers: [{ url: "/api" }],
  });
  api.notFound((c) => c.json({ error: "Cannot find this: /api/openapi.json lists what there is" }, 404));
  return api;
}
