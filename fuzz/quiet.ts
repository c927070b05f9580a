/** Commands run within this process, their errors thrown and what they print looked at. */
import type { Command } from "commander";
import type { CommandContext } from "../cli/options.ts";
import type { Terminal } from "../cli/terminal.ts";
import { UnfitError } from "./judge.ts";

/** What no command prints, unless it repeats an input's own words. */
const NONSENSE = /(?<!")\b(NaN|Infinity|undefined)\b(?!")|\[object \w+\]|Invalid Date/;

/**
 * Runs a command.
 *
 * @throws {UnfitError} when it prints what means nothing
 * @throws whatever the command throws
 */
export async function runQuietly(make: (context: CommandContext) => Command, args: readonly string[]): Promise<void> {
  let text = "";
  const terminal: Terminal = {
    ...{ colour: false, live: false, width: 80, closed: new AbortController().signal },
    line: (line = "") => void (text += `${line}\n`),
    write: (more) => void (text += more),
    note: () => {},
    diagnose: () => {},
    paint: (_style, plain) => plain,
  };
  const command = make({ terminal: () => terminal, exit: () => {} });
  for (const each of [command, ...command.commands]) each.exitOverride();
  await command.parseAsync([...args], { from: "user" });
  const wrong = text.split("\n").find((line) => NONSENSE.test(line));
  if (wrong !== undefined) throw new UnfitError(`printed by ${command.name()} ${args[0]}: ${shorten(wrong)}`);
}

/** The neighbourhood of what means nothing. */
function shorten(line: string): string {
  const at = NONSENSE.exec(line)?.index ?? 0;
  return line.slice(Math.max(0, at - 60), at + 40);
}
