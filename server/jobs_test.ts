/** Jobs over real processes: their order, how they are stopped, and what is told of them. */
import assert from "node:assert/strict";
import { createInterface } from "node:readline/promises";
import { Readable } from "node:stream";
import { setTimeout as pause } from "node:timers/promises";
import { Jobs, type Launch, TooManyJobsError } from "./jobs.ts";

/** Programs in the place of commands: the first argument after the kind. */
const launch: Launch = ([, program], tell) => {
  const child = new Deno.Command(Deno.execPath(), {
    ...{ args: ["eval", program], stdin: "null", stdout: "piped", stderr: "piped" },
    env: { NO_COLOR: "1" },
  }).spawn();
  const read = async (from: "out" | "error", stream: ReadableStream<Uint8Array>) => {
    const input = Readable.fromWeb(stream as Parameters<typeof Readable.fromWeb>[0]);
    for await (const line of createInterface({ input })) tell(line, from);
  };
  const reading = Promise.all([read("out", child.stdout), read("error", child.stderr)]);
  return {
    ended: child.status.then(async ({ code }) => (await reading, code)),
    interrupt: () => child.kill("SIGINT"),
    kill: () => child.kill("SIGKILL"),
  };
};

const say = (event: object) => `console.log(JSON.stringify(${JSON.stringify(event)}));`;
const WELL = `${say({ type: "run-started", run: "a-run" })} console.error("a note"); console.log("/runs/a-run")`;
/** Says that it runs, and ends when it is asked to; a stubborn one does not. */
const LONG = (run: string, stubborn = false) =>
  `Deno.addSignalListener("SIGINT", () => { ${stubborn ? "" : "Deno.exit(130)"} }); setInterval(() => {}, 1000); ${
    say({ type: "run-started", run })
  }`;

function run(program: string, name = "x") {
  return { kind: "run", name, args: [program] } as const;
}

async function until(holds: () => boolean): Promise<void> {
  for (let looks = 0; !holds(); looks++) {
    assert.ok(looks < 600, "it does not come");
    await pause(20);
  }
}

Deno.test("Jobs tells the run, what was said beside events, and how it ended", async () => {
  const jobs = new Jobs({ launch, limit: 1 });
  const { id, state } = jobs.start(run(WELL));
  assert.equal(state, "running");
  await until(() => jobs.get(id)?.state === "ended");
  assert.deepEqual(jobs.get(id), {
    ...{ id, kind: "run", name: "x", state: "ended", run: "a-run", exit: 0, words: "finished", log: ["a note"] },
  });
  const secret = jobs.start(run(`console.error("no /home/someone/x hf_abcdefghijklmnopqrstuvwxyz"); Deno.exit(3)`));
  await until(() => jobs.get(secret.id)?.state === "ended");
  const { exit, words, log } = jobs.get(secret.id) ?? {};
  assert.deepEqual([exit, words], [3, "the input is wrong"]);
  assert.doesNotMatch(`${log}`, /someone|hf_abc/);
});

Deno.test("Jobs runs as many at once as it may, in the order in which they came; one that waits is only taken out", async () => {
  const jobs = new Jobs({ launch, limit: 1 });
  const first = jobs.start(run(LONG("one"))), second = jobs.start(run(LONG("two"))), third = jobs.start(run(WELL));
  assert.deepEqual([second.state, third.state], ["waiting", "waiting"]);
  await until(() => jobs.making("one") !== undefined);
  assert.equal(jobs.isOver("one"), false);
  assert.equal(jobs.stop(second.id)?.state, "ended");
  assert.equal(jobs.get(first.id)?.state, "running");
  assert.equal(jobs.stop(first.id)?.state, "stopping");
  await until(() => jobs.get(third.id)?.state === "ended");
  assert.deepEqual([first, second, third].map(({ id }) => jobs.get(id)?.exit), [130, 130, 0]);
  assert.equal(jobs.get(second.id)?.run, undefined);
  assert.equal(jobs.making("one"), undefined);
  assert.deepEqual(["one", "a-run", "two"].map((made) => jobs.isOver(made)), [true, true, false]);
  assert.equal(jobs.stop("99"), undefined);
});

Deno.test("Jobs ends at once what does not stop, once it has had some time for it", async () => {
  const jobs = new Jobs({ launch, limit: 1, patience: 200 });
  const { id } = jobs.start(run(LONG("one", true)));
  await until(() => jobs.making("one") !== undefined);
  // A double click.
  jobs.stop(id);
  jobs.stop(id);
  await pause(300);
  assert.equal(jobs.get(id)?.state, "stopping");
  jobs.stop(id);
  await until(() => jobs.get(id)?.state === "ended");
  const { exit, words } = jobs.get(id) ?? {};
  if (Deno.build.os !== "windows") {
    assert.deepEqual([exit, words], [137, "ended at once; it can go on where it ended"]);
  }
});

Deno.test("Jobs stops everything when it is closed, and takes in no more than may wait", async () => {
  const jobs = new Jobs({ launch, limit: 2 });
  for (let i = 0; i < 22; i++) jobs.start(run(LONG(`run-${i}`)));
  assert.throws(() => jobs.start(run(WELL)), TooManyJobsError);
  await until(() => jobs.making("run-0") !== undefined && jobs.making("run-1") !== undefined);
  await jobs.close();
  assert.equal(jobs.busy, false);
  assert.deepEqual([...new Set(jobs.list().map(({ exit }) => exit))], [130]);
  assert.throws(() => jobs.start(run(WELL)), /the server ends/);
});

Deno.test("Jobs says what could not be started at all", async () => {
  const jobs = new Jobs({
    launch: () => {
      throw new Error("there is no such program");
    },
    limit: 1,
  });
  const { id } = jobs.start(run(WELL));
  await until(() => jobs.get(id)?.state === "ended");
  assert.deepEqual(jobs.get(id)?.log, ["error: there is no such program"]);
});
