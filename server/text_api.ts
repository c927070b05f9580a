/** Texts of a run's models, packed and original, as they are written. */
import { createRoute, type OpenAPIHono, z } from "@hono/zod-openapi";
import { stream } from "hono/streaming";
import { Problem } from "./schemas.ts";
import { TextEvent, TextRequest } from "./text_schemas.ts";
import { BusyError, type Writers } from "./writers.ts";

const side = z.enum(["packed", "original"]).openapi({ param: { name: "side", in: "path" } });
const run = z.string().max(400).openapi({ param: { name: "run", in: "path" } });
const problem = (description: string) => ({ description, content: { "application/json": { schema: Problem } } });

/** Adds the routes of texts to the API. */
export function addTextRoutes(api: OpenAPIHono, writers: Writers): void {
  const route = createRoute({
    method: "post",
    path: "/runs/{run}/{side}/text",
    summary:
      "A text of the run's packed or original model: lines of JSON, each sent as it comes; it ends when nobody listens",
    request: {
      params: z.object({ run, side }),
      body: { required: true, content: { "application/json": { schema: TextRequest } } },
    },
    responses: {
      200: { description: "Lines of JSON", content: { "application/x-ndjson": { schema: TextEvent } } },
      400: problem("The question cannot be understood"),
      404: problem("There is no such run"),
      429: problem("The model is writing another text"),
    },
  });
  api.openapi(route, (c) => {
    const { run, side } = c.req.valid("param"), wanted = c.req.valid("json");
    let write;
    try {
      write = writers.take(run, side);
    } catch (error) {
      if (!(error instanceof BusyError)) throw error;
      c.header("Retry-After", "5");
      return c.json({ error: error.message }, 429);
    }
    if (write === undefined) return c.json({ error: "Cannot find this run" }, 404);
    const begun = write;
    c.header("Content-Type", "application/x-ndjson; charset=utf-8");
    c.header("Cache-Control", "no-store");
    c.header("X-Accel-Buffering", "no");
    return stream(c, async (out) => {
      const left = new AbortController();
      out.onAbort(() => left.abort());
      // Not waited for: a reader that is slow must not keep the model, and a text is short.
      for await (const event of begun(wanted, left.signal)) void out.write(`${JSON.stringify(event)}\n`);
    }) as never;
  });
}
