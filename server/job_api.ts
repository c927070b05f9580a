/** Starting, stopping and going on with runs and sweeps. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { InputError } from "../files/input_error.ts";
import { RecipeError } from "../recipes/diagnostics.ts";
import { JobAnswer, JobList, JobWanted } from "./job_schemas.ts";
import { type Jobs, TooManyJobsError } from "./jobs.ts";
import type { RecipeDesk } from "./recipe_desk.ts";
import { redact } from "./redact.ts";
import { Problem } from "./schemas.ts";

const json = <T extends z.ZodType>(schema: T, description: string) => ({
  description,
  content: { "application/json": { schema } },
});
const problem = (description: string) => json(Problem, description);

const FORBIDDEN = { error: "Cannot start or stop anything: this server was started without --allow-run" };
const refused = {
  400: problem("The question cannot be understood"),
  403: problem("This server starts and stops nothing"),
  404: problem("There is no such thing"),
};

/** Adds the routes of jobs to the API. @param jobs undefined where nothing may be started */
export function addJobRoutes(
  api: OpenAPIHono,
  { jobs, desk }: { readonly jobs?: Jobs; readonly desk: RecipeDesk },
): void {
  const ofJob = { params: z.object({ job: z.string().max(20) }) };

  api.openapi(
    createRoute({
      ...{ method: "get", path: "/jobs", summary: "Runs and sweeps that this server was asked for" },
      responses: { 200: json(JobList, "The newest first") },
    }),
    (c) => c.json({ allowed: jobs !== undefined, jobs: jobs?.list() ?? [] }, 200),
  );
  api.openapi(
    createRoute({
      ...{ method: "get", path: "/jobs/{job}", summary: "One of them", request: ofJob },
      responses: { 200: json(JobAnswer, "As it is now"), ...refused },
    }),
    (c) => {
      const found = jobs?.get(c.req.valid("param").job);
      return found === undefined ? c.json({ error: "Cannot find this job" }, 404) : c.json(found, 200);
    },
  );
  api.openapi(
    createRoute({
      ...{ method: "post", path: "/jobs", summary: "Starts a run or a sweep, or goes on with one (--allow-run)" },
      request: { body: { required: true, content: { "application/json": { schema: JobWanted } } } },
      responses: {
        201: json(JobAnswer, "It has begun, or waits for its turn"),
        ...refused,
        413: problem("The text is longer than a recipe is"),
        422: problem("Something is wrong with the recipe"),
        429: problem("Too many wait already"),
      },
    }),
    async (c) => {
      if (jobs === undefined) return c.json(FORBIDDEN, 403);
      try {
        const wanted = await desk.runnable(c.req.valid("json"), (run) => jobs.isOver(run));
        if (wanted === undefined) return c.json({ error: "Cannot find what is to be started" }, 404);
        return c.json(jobs.start(wanted), 201);
      } catch (error) {
        if (error instanceof TooManyJobsError) {
          c.header("Retry-After", "60");
          return c.json({ error: error.message }, 429);
        }
        if (error instanceof RecipeError) {
          const [first] = error.diagnostics.filter(({ severity }) => severity === "error");
          return c.json({ error: redact(`Cannot start this recipe: ${first?.message ?? "it has errors"}`) }, 422);
        }
        if (error instanceof InputError) return c.json({ error: redact(error.message) }, 422);
        throw error;
      }
    },
  );
  api.openapi(
    createRoute({
      ...{
        method: "post",
        path: "/jobs/{job}/stop",
        summary: "Stops one cleanly; asked again after 2 s, at once (--allow-run)",
      },
      request: ofJob,
      responses: { 200: json(JobAnswer, "It stops"), ...refused },
    }),
    (c) => {
      if (jobs === undefined) return c.json(FORBIDDEN, 403);
      const found = jobs.stop(c.req.valid("param").job);
      return found === undefined ? c.json({ error: "Cannot find this job" }, 404) : c.json(found, 200);
    },
  );
}
