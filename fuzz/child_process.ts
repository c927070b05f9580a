/** The parent's side of a child: starts it, gives it cases, ends it when it hangs or takes too much memory. */
import { join } from "node:path";
import { projectFolder } from "../cli/places.ts";
import type { Finding, Verdict } from "./judge.ts";
import type { CaseName } from "./mutate/case.ts";
import { parseReply, readLines, type Reply, type Setting } from "./protocol.ts";

/** What a child may use. */
export interface Limits {
  /** Seconds for one case. */
  readonly time: number;
  /** MiB that memory may grow in one case. */
  readonly memory: number;
}

/** How a child is started. */
export interface ChildOptions {
  /** Module that serves; see `child.ts`. */
  readonly entry: string;
  readonly setting: Omit<Setting, "scratch" | "memory">;
  /** Folder that all is written in. */
  readonly work: string;
  readonly limits: Limits;
}

/** MiB of V8's heap. */
const HEAP = 256;

/** Seconds for a child to start, on a busy machine. */
const START = 120;

/** Cases after which a child is started anew, so that what it keeps does not add up. */
const MOST_CASES = 2000;

/** Letters of a child's last words that are kept. */
const LAST_WORDS = 4000;

let children = 0;

/** A place for cases: a child process, started when it is needed. */
export class Child {
  readonly #options: ChildOptions;
  readonly #scratch: string;
  #running: Running | undefined;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#scratch = join(options.work, `child-${children++}`);
  }

  /** Reads one case. */
  async run(name: CaseName): Promise<Verdict> {
    if (this.#running !== undefined && this.#running.cases >= MOST_CASES) await this.close();
    this.#running ??= await this.#start();
    const running = this.#running;
    running.cases++;
    const verdict = await this.#ask(running, name);
    if (verdict !== undefined) return verdict;
    await this.close();
    throw new Error(`Cannot read case ${name.number} of ${name.kind}: its process said nothing`);
  }

  /** Ends the process. */
  async close(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    if (running === undefined) return;
    running.kill();
    await running.ended;
    await Deno.remove(this.#scratch, { recursive: true }).catch(() => {});
  }

  async #ask(running: Running, name: CaseName): Promise<Verdict | undefined> {
    const { time, memory } = this.#options.limits;
    await running.send(JSON.stringify(name)).catch(() => {});
    const reply = await running.next(time);
    if (reply === "late") {
      await this.close();
      return found("a hang", `it was not done after ${time} s`);
    }
    if (reply === "ended") {
      const { code, words } = await running.ended;
      await this.close();
      const last = words.split("\n").findLast((line) => /fatal|error|panic|memory/i.test(line)) ?? words;
      const spent = /heap|memory/i.test(words);
      return found(spent ? "memory: V8's heap was spent" : "a crash", `exit ${code}: ${last.trim()}`);
    }
    if (reply.type === "memory") {
      await this.close();
      return found("memory grew too much", `by more than ${memory} MiB`);
    }
    return reply.type === "done" ? reply.verdict : undefined;
  }

  async #start(): Promise<Running> {
    const { entry, setting, work, limits } = this.#options;
    const command = new Deno.Command(Deno.execPath(), {
      args: [...argumentsFor(work), entry],
      ...{ cwd: projectFolder, stdin: "piped", stdout: "piped", stderr: "piped" },
      env: { NO_COLOR: "1", INIT_CWD: work },
    });
    const running = new Running(command.spawn());
    const full: Setting = { ...setting, scratch: this.#scratch, memory: limits.memory * 2 ** 20 };
    await running.send(JSON.stringify(full));
    const reply = await running.next(START);
    if (typeof reply === "object" && reply.type === "ready") return running;
    running.kill();
    const { words } = await running.ended;
    throw new Error(`Cannot start a process that reads cases: ${words.trim() || reply}`);
  }
}

/** A process that runs. */
class Running {
  readonly ended: Promise<{ readonly code: number; readonly words: string }>;
  cases = 0;
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #replies: Reply[] = [];
  #wake: () => void = () => {};
  #over = false;

  constructor(process: Deno.ChildProcess) {
    this.#process = process;
    this.#input = process.stdin.getWriter();
    const heard = this.#listen();
    const words = lastWords(process.stderr);
    this.ended = (async () => {
      const [{ code }, said] = await Promise.all([process.status, words, heard]);
      return { code, words: said };
    })();
  }

  async send(line: string): Promise<void> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
  }

  /** The next reply. @param seconds to wait for it */
  async next(seconds: number): Promise<Reply | "late" | "ended"> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, 1000 * seconds);
    try {
      while (this.#replies.length === 0 && !this.#over && !late) {
        await new Promise<void>((resolve) => this.#wake = resolve);
      }
    } finally {
      clearTimeout(timer);
    }
    return this.#replies.shift() ?? (this.#over ? "ended" : "late");
  }

  kill(): void {
    this.#input.abort().catch(() => {});
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  }

  async #listen(): Promise<void> {
    for await (const line of readLines(this.#process.stdout)) {
      const reply = parseReply(line);
      if (reply !== undefined) this.#replies.push(reply);
      this.#wake();
    }
    this.#over = true;
    this.#wake();
  }
}

/** What a child may do: read anything, and write only where cases are. */
function argumentsFor(work: string): string[] {
  const may = ["--allow-read", `--allow-write=${work}`, "--allow-env", "--allow-sys", "--allow-ffi=node_modules"];
  const config = `--config=${join(projectFolder, "deno.json")}`;
  return ["run", "--no-prompt", "--cached-only", ...may, config, `--v8-flags=--max-old-space-size=${HEAP}`];
}

async function lastWords(stream: ReadableStream<Uint8Array>): Promise<string> {
  let words = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) words = (words + decoder.decode(chunk, { stream: true })).slice(-LAST_WORDS);
  return words;
}

function found(problem: string, message: string): Finding {
  return { outcome: "finding", problem, message };
}
