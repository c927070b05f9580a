/** What is asked and told of runs and sweeps that the server starts. */
import { z } from "@hono/zod-openapi";

const id = z.string().max(400);

/** What is to be started: a recipe of configs/, its text as it was edited, a run's recipe, or a sweep once more. */
export const JobWanted = z.strictObject({
  file: id.optional().openapi({ description: "A recipe of configs/, by its path there" }),
  run: id.optional().openapi({ description: "A run, whose recipe is run again: what is done is not made again" }),
  sweep: id.optional().openapi({ description: "A sweep of a recipe of configs/, which goes on where it ended" }),
  text: z.string().max(200_000).optional().openapi({ description: "The recipe's text, where it was edited" }),
  set: z.array(z.strictObject({
    path: z.string().regex(/^[^\s=]{1,200}$/).openapi({ description: "Such as `stages.spbo.iterations`" }),
    value: z.unknown().refine((value) => value !== undefined, "must be given"),
  })).max(100).optional().openapi({ description: "Values to set in it, as `--set` does; not of a sweep that goes on" }),
  device: z.enum(["auto", "cpu", "webgpu"]).optional().openapi({ description: "Where kernels run; default: auto" }),
}).openapi("JobWanted");
export type JobWanted = z.infer<typeof JobWanted>;

export const JobAnswer = z.strictObject({
  id: z.string(),
  kind: z.enum(["run", "sweep"]),
  name: z.string(),
  state: z.enum(["waiting", "running", "stopping", "ended"]),
  run: z.string().optional().openapi({ description: "The run's id, once it has begun" }),
  sweep: z.string().optional().openapi({ description: "The sweep's id, once it has begun" }),
  exit: z.int().optional(),
  words: z.string().optional().openapi({ description: "What came of it" }),
  log: z.array(z.string()).openapi({ description: "The last of what it said beside its events" }),
}).openapi("Job");
export type JobAnswer = z.infer<typeof JobAnswer>;

export const JobList = z.strictObject({
  allowed: z.boolean().openapi({ description: "Whether this server starts anything" }),
  jobs: z.array(JobAnswer),
}).openapi("JobList");
