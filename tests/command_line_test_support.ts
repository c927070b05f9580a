/**
 * The real command line as a child process, with the very commands and permissions of the tasks in `deno.json`, and what
 * it leaves behind.
 */
import assert from "node:assert/strict";
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Metrics } from "../report/mod.ts";
import type { RunEvent } from "../runner/events.ts";

/** The project's folder. */
export const project: string = fileURLToPath(new URL("../", import.meta.url));

/** The tasks of `deno.json`. */
export const tasks: Readonly<Record<string, { readonly command: string }>> =
  JSON.parse(readFileSync(join(project, "deno.json"), "utf8")).tasks;

/** How a command ended. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Where a command runs. */
export interface Surroundings {
  readonly env?: Readonly<Record<string, string>>;
  /** The folder it is given in; default: the project's. */
  readonly cwd?: string;
  /** Words before the command, such as `taskset -c 0`. */
  readonly before?: readonly string[];
  /** The project's folder, where a copy of it is tried. */
  readonly root?: string;
  /** Hosts that may be reached besides Hugging Face's, as PBS2P_NET says them. */
  readonly net?: string;
}

/** A task's words after `deno`; a task that calls another one is followed, so that there is one process to end. */
function wordsOf(task: string, net: string): string[] {
  const [deno, ...words] = tasks[task].command.replace("$PBS2P_NET", net).split(" ");
  assert.equal(deno, "deno", `task ${task} calls ${deno}`);
  const [command, quiet, other, ...more] = words;
  return command === "task" && quiet === "--quiet" ? [...wordsOf(other, net), ...more] : words;
}

/** Starts a task, as `deno task` does: in the project's folder, the folder it was given in as INIT_CWD. */
export function startTask(
  task: string,
  args: readonly string[],
  { env = {}, cwd = project, before = [], root = project, net = "" }: Surroundings = {},
): Deno.ChildProcess {
  // A copy has the packages by a link, and permissions go by where files really are.
  const words = wordsOf(task, net).map((word) =>
    root === project ? word : word.replace("=node_modules", `=${project}node_modules`)
  );
  const [program, ...rest] = [...before, Deno.execPath(), ...words, ...args];
  return new Deno.Command(program, {
    args: rest,
    cwd: root,
    env: {
      NO_COLOR: "1",
      INIT_CWD: cwd,
      PBS2P_DEBUG: "",
      PBS2P_CACHE: "",
      PBS2P_CACHE_FROM: "",
      PBS2P_RUNS: "",
      ...env,
    },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Runs a task to its end. */
export async function runTask(task: string, args: readonly string[], surroundings?: Surroundings): Promise<Outcome> {
  const { code, stdout, stderr } = await startTask(task, args, surroundings).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

/** Runs a task that must end well. @returns its output */
export async function succeed(task: string, args: readonly string[], surroundings?: Surroundings): Promise<string> {
  const { code, out, err } = await runTask(task, args, surroundings);
  assert.equal(code, 0, `${task} ${args.join(" ")} ended with ${code}:\n${out}\n${err}`);
  return out;
}

/** Lines of a stream as they come. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** One run's folder, looked at from outside. */
export interface RunFolder {
  readonly path: string;
  readonly events: readonly RunEvent[];
  /** Ids of the steps that it did, in order. */
  readonly finished: readonly string[];
}

/** The runs in a folder, the oldest first. */
export function runsIn(folder: string): RunFolder[] {
  return readdirSync(folder).sort().map((name) => {
    const path = join(folder, name);
    const journal = join(path, "events.ndjson");
    // A killed run may leave no journal, or half a line.
    const text = existsSync(journal) ? readFileSync(journal, "utf8") : "";
    const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n").filter((line) => line !== "");
    const events = lines.map((line): RunEvent => JSON.parse(line));
    return { path, events, finished: events.flatMap((each) => each.type === "step-finished" ? [each.step] : []) };
  });
}

/** The newest run in a folder. */
export function lastRun(folder: string): RunFolder {
  const run = runsIn(folder).at(-1);
  assert.ok(run, `there is no run in ${folder}`);
  return run;
}

/** Bytes of a run's packed model. */
export function modelBytes({ path }: Pick<RunFolder, "path">): Uint8Array {
  return readFileSync(join(path, "model", "model.safetensors"));
}

/** A run's metrics. @throws {z.ZodError} when they have not the public shape */
export function metricsOf({ path }: Pick<RunFolder, "path">): Metrics {
  return Metrics.parse(JSON.parse(readFileSync(join(path, "metrics.json"), "utf8")));
}

/** Whether two files have the same bytes; says nothing of megabytes when they do not. */
export function assertSameBytes(a: Uint8Array, b: Uint8Array, what: string): void {
  assert.equal(a.length, b.length, `${what} has another length`);
  const at = a.findIndex((byte, index) => byte !== b[index]);
  assert.equal(at, -1, `${what} differs from byte ${at} on`);
}

/** Folders with sources. */
const ROOMS = readdirSync(project, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !/^(\..*|node_modules|configs|runs|tests|bench)$/.test(entry.name))
  .map(({ name }) => name);

/** Copies the sources, without tests' data. @returns the copy */
export function copySources(to: string): string {
  for (const entry of [...ROOMS, "deno.json", "deno.lock"]) {
    cpSync(join(project, entry), join(to, entry), {
      recursive: true,
      filter: (path) => !/\/(testdata|fixtures)$|_test\.ts$/.test(path),
    });
  }
  return to;
}

/** A folder for one test, removed after it. */
export function temporaryFolder(): { readonly path: string } & Disposable {
  const path = Deno.makeTempDirSync({ prefix: "pbs2p-tests-" });
  return { path, [Symbol.dispose]: () => Deno.removeSync(path, { recursive: true }) };
}

/** Starts a task that runs steps, and waits until it has finished so many, or ends. What it says then is still read. */
export async function startUntil(task: string, args: readonly string[], steps: number): Promise<Deno.ChildProcess> {
  const process = startTask(task, [...args, "--json"]);
  const reached = Promise.withResolvers<void>();
  const read = async () => {
    let left = steps;
    if (left === 0) reached.resolve();
    for await (const line of linesOf(process.stdout)) {
      if (line.includes('"type":"step-finished"') && --left === 0) reached.resolve();
    }
    reached.resolve();
  };
  read().catch(reached.reject);
  await reached.promise;
  return process;
}
