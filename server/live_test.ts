/** Streams: a run of another process from its start to its end, and going on after a break without a gap or a repetition. */
import assert from "node:assert/strict";
import { appendFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildApp } from "./app.ts";
import { writeRun } from "./folders_test_support.ts";

interface Message {
  readonly id?: string;
  readonly event: string;
  readonly data: string;
}

/** Messages of a stream as they come, until it ends or the reader has had enough. */
async function* messagesOf(answer: Response): AsyncGenerator<Message> {
  assert.equal(answer.status, 200);
  assert.match(answer.headers.get("content-type") ?? "", /^text\/event-stream/);
  let rest = "";
  for await (const text of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop() ?? "";
    for (const part of parts) {
      const fields = new Map(
        part.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      );
      const event = fields.get("event"), id = fields.get("id");
      if (event !== undefined) yield { event, data: fields.get("data") ?? "", ...(id === undefined ? {} : { id }) };
    }
  }
}

function scene() {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-live-" }), runs = join(folder, "runs");
  const app = buildApp({ runs, cache: join(folder, "cache") });
  const ask = (path: string, headers: Readonly<Record<string, string>> = {}) => {
    const leave = new AbortController();
    const answer = Promise.resolve(app.request(path, { headers, signal: leave.signal }));
    return { answer, leave: () => leave.abort() };
  };
  return { folder, runs, ask, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

Deno.test("a run of another process is told from its start to its end, and the list tells what becomes of it", async () => {
  using on = scene();
  mkdirSync(on.folder, { recursive: true });
  const list = on.ask("/api/live"), begun = Promise.withResolvers<string>();
  const states: string[] = [];
  const listed = (async () => {
    for await (const { event, data } of messagesOf(await list.answer)) {
      if (event !== "run") continue;
      const { id, state } = JSON.parse(data);
      if (states.at(-1) !== state) states.push(state);
      if (states.length === 1 && state === "running") begun.resolve(id);
      if (state === "finished") break;
    }
    list.leave();
  })();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      fileURLToPath(new URL("../runner/arithmetic_child_test_support.ts", import.meta.url)),
      on.folder,
      "250",
    ],
    ...{ stdout: "null", stderr: "inherit" },
  }).spawn();
  const id = await begun.promise;
  const types: string[] = [], ids: string[] = [];
  for await (const { event, id: place, data } of messagesOf(await on.ask(`/api/runs/${id}/live`).answer)) {
    if (event === "end") types.push(`end ${data}`);
    if (event !== "journal") continue;
    types.push(JSON.parse(data).type);
    ids.push(place ?? "");
  }
  assert.equal((await child.status).code, 0);
  await listed;
  const journal = readFileSync(join(on.runs, id, "events.ndjson"), "utf8");
  const lines = journal.trimEnd().split("\n");
  assert.deepEqual(types, [...lines.map((line) => JSON.parse(line).type), "end finished"]);
  // Each id is where its line ends, so that any of them can be gone on from.
  let end = 0;
  assert.deepEqual(ids, lines.map((line) => `${end += new TextEncoder().encode(line).length + 1}`));
  assert.deepEqual(states, ["running", "finished"]);
});

Deno.test("a listener that comes back goes on where it was, and one with a foreign number is told all", async () => {
  using on = scene();
  const run = writeRun(on.runs, 1), other = writeRun(on.runs, 2, { recipe: "other" });
  const all: Message[] = [];
  for await (const message of messagesOf(await on.ask(`/api/runs/${run}/live`).answer)) all.push(message);
  assert.ok(all.length > 30);
  for (const at of [0, 5, all.length - 2]) {
    const rest: Message[] = [];
    const { answer } = on.ask(`/api/runs/${run}/live?after=0`, { "last-event-id": all[at].id ?? "" });
    for await (const message of messagesOf(await answer)) rest.push(message);
    assert.deepEqual(rest, all.slice(at + 1));
  }
  const heard = async (headers: Readonly<Record<string, string>>, count: number) => {
    const { answer, leave } = on.ask("/api/live", headers), found: Message[] = [];
    for await (const message of messagesOf(await answer)) if (found.push(message) === count) break;
    leave();
    return found;
  };
  const both = await heard({}, 2);
  assert.deepEqual(both.map(({ data }) => JSON.parse(data).id), [run, other]);
  const [last] = await heard({ "last-event-id": both[0].id ?? "" }, 1);
  assert.equal(JSON.parse(last.data).id, other);
  assert.deepEqual(await heard({ "last-event-id": "12345678.99" }, 2), both);
  rmSync(join(on.runs, other), { recursive: true });
  const [gone] = await heard({ "last-event-id": both[1].id ?? "" }, 1);
  assert.deepEqual([gone.event, JSON.parse(gone.data)], ["gone", { id: other }]);
});

Deno.test("a line that is written in pieces is told once it is whole, and a journal that is replaced from its beginning", async () => {
  using on = scene();
  const run = writeRun(on.runs, 1, { end: "unfinished", at: Date.now() }),
    journal = join(on.runs, run, "events.ndjson");
  const before = readFileSync(journal, "utf8");
  const { answer, leave } = on.ask(`/api/runs/${run}/live?after=${before.length}`);
  const messages = messagesOf(await answer);
  appendFileSync(journal, `{"at":${Date.now()},"type":"warning",`);
  setTimeout(() => appendFileSync(journal, `"message":"in two pieces"}\n`), 400);
  const { value: warning } = await messages.next();
  assert.equal(JSON.parse(warning?.data ?? "{}").message, "in two pieces");
  const [first] = before.split("\n");
  writeFileSync(journal, `${first}\n`);
  const { value: again } = await messages.next();
  assert.equal(JSON.parse(again?.data ?? "{}").type, "run-started");
  leave();
});

Deno.test("listeners that leave make room for others, and too many at once are told so", async () => {
  using on = scene();
  const run = writeRun(on.runs, 1, { end: "unfinished", at: Date.now() });
  for (let round = 0; round < 2; round++) {
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => on.ask(i % 2 ? "/api/live" : `/api/runs/${run}/live`).answer),
    );
    assert.ok(answers.every(({ status }) => status === 200));
    const { status } = await on.ask("/api/live").answer;
    assert.equal(status, 503);
    await Promise.all(answers.map(({ body }) => body?.cancel()));
    // They notice at their next look.
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
});
