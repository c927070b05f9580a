/**
 * Runs commands one after another, each with the variables that it is sent with: a process of its own, as tests of other files share
 * the variables of theirs. A line of JSON comes in with `args` and `env`, and one goes out with what was printed and the exit code.
 */
import { main } from "../cli/main.ts";
import { memoryTerminal } from "../cli/terminal_test_support.ts";
import { linesOf } from "./command_line_test_support.ts";

/** What a command is to run with. */
export interface Asked {
  readonly args: readonly string[];
  /** Variables; all others that were sent before are unset. */
  readonly env: Readonly<Record<string, string>>;
}

/** How it ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

if (import.meta.main) {
  let before: readonly string[] = [];
  for await (const line of linesOf(Deno.stdin.readable)) {
    const { args, env }: Asked = JSON.parse(line), terminal = memoryTerminal({ width: 400 });
    for (const name of before) Deno.env.delete(name);
    before = Object.keys(env);
    for (const [name, value] of Object.entries(env)) Deno.env.set(name, value);
    const code = await main(args, terminal);
    console.log(JSON.stringify({ code, out: terminal.out(), err: terminal.err() } satisfies Ended));
  }
}
