/** Commands of this project in processes of their own, with the permissions that deno.json gives them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { Readable } from "node:stream";
import type { Launch } from "../server/jobs.ts";
import { UsageError } from "./exit_codes.ts";
import { projectFolder } from "./places.ts";

/** Gives up the right to run programs, for good: who is only to show does not keep it. */
export function giveUpRunning(): void {
  for (const command of [undefined, "deno", Deno.execPath()]) {
    Deno.permissions.revokeSync({ name: "run", ...(command === undefined ? {} : { command }) });
  }
}

/**
 * What starts commands.
 *
 * @throws {UsageError} when this process may not run Deno
 */
export function launcher(): Launch {
  const may = (command: string) => Deno.permissions.querySync({ name: "run", command }).state === "granted";
  // The one that is this process; else the one of that name, which the task may run.
  const deno = [Deno.execPath(), "deno"].find(may);
  if (deno === undefined) {
    throw new UsageError("Cannot start runs: this process may not run Deno; start it by `deno task serve --allow-run`");
  }
  const flags = permissions();
  return (args, tell) => start(deno, [...flags, join(projectFolder, "cli", "main.ts"), ...args], tell);
}

/** How deno.json runs the command line: all between `deno` and the program. */
function permissions(): string[] {
  const { tasks }: { readonly tasks: Readonly<Record<string, { readonly command: string }>> } = JSON.parse(
    readFileSync(join(projectFolder, "deno.json"), "utf8"),
  );
  const [, ...words] = tasks.pbs2p.command.split(" ");
  return words.slice(0, -1).map((word) => word.replace("$PBS2P_NET", Deno.env.get("PBS2P_NET") ?? ""));
}

function start(deno: string, args: readonly string[], tell: Parameters<Launch>[1]): ReturnType<Launch> {
  const child = new Deno.Command(deno, {
    ...{ args: [...args], cwd: projectFolder, stdin: "null", stdout: "piped", stderr: "piped" },
    // What it is given is given from the project's folder, wherever the server was started.
    // Ctrl-C in the server's terminal is the server's: it would come twice otherwise, and the second ends a command at once.
    ...{ detached: true, env: { NO_COLOR: "1", INIT_CWD: projectFolder } },
  }).spawn();
  const send = (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch (error) {
      // It has ended meanwhile.
      if (!(error instanceof TypeError)) throw error;
    }
  };
  const read = async (from: "out" | "error", stream: ReadableStream<Uint8Array>) => {
    const input = Readable.fromWeb(stream as Parameters<typeof Readable.fromWeb>[0]);
    for await (const line of createInterface({ input, crlfDelay: Infinity })) tell(line, from);
  };
  const reading = Promise.all([read("out", child.stdout), read("error", child.stderr)]);
  return {
    ended: child.status.then(async ({ code }) => {
      await reading;
      return code;
    }),
    interrupt: () => send("SIGINT"),
    kill: () => send("SIGKILL"),
  };
}
