/**
 * The command line: one file per command, one exit.
 *
 * `deno task run configs/quickstart.yaml` is `deno run … cli/main.ts run configs/quickstart.yaml`.
 */
import { tmpdir } from "node:os";
import { Command } from "commander";
import { benchCommand } from "./bench.ts";
import { cacheCommand } from "./cache.ts";
import { completionCommand } from "./completion.ts";
import { doctorCommand } from "./doctor.ts";
import { exitCodes, reportError } from "./exit_codes.ts";
import { exportCommand } from "./export.ts";
import { generateCommand } from "./generate.ts";
import { inspectCommand } from "./inspect.ts";
import type { CommandContext } from "./options.ts";
import { planCommand } from "./plan.ts";
import { pullCommand } from "./pull.ts";
import { pushCommand } from "./push.ts";
import { resultsCommand } from "./results.ts";
import { runCommand } from "./run.ts";
import { runsCommand } from "./runs.ts";
import { schemaCommand } from "./schema.ts";
import { serveCommand } from "./serve.ts";
import { sweepCommand } from "./sweep.ts";
import { verifyCommand } from "./verify.ts";
import { wrapText } from "../report/text_table.ts";
import { openTerminal, type Terminal } from "./terminal.ts";

/**
 * Runs one command.
 *
 * @param args the command's name and its arguments
 * @param terminal where to print; by default the process's own, as the options ask for
 * @returns the exit code
 */
export async function main(args: readonly string[], terminal?: Terminal): Promise<number> {
  let used = terminal ?? openTerminal();
  let exit = 0;
  const context: CommandContext = {
    terminal: ({ color, json }) => used = terminal ?? openTerminal({ colour: color, json }),
    exit: (code) => void (exit = code),
  };
  const program = new Command("pbs2p")
    .description("Compresses language models below one nominal bit per weight (PBS²P), from a YAML recipe.")
    .usage("<command> [options]")
    .enablePositionalOptions()
    .addHelpText(
      "after",
      () =>
        [
          "\nExit codes:",
          ...exitCodes.flatMap(([code, text]) =>
            wrapText(`  ${`${code}`.padEnd(5)}${text}`, used.width, " ".repeat(7))
          ),
        ].join("\n"),
    );
  const makers = [
    runCommand,
    planCommand,
    sweepCommand,
    verifyCommand,
    runsCommand,
    resultsCommand,
    serveCommand,
    cacheCommand,
    inspectCommand,
    generateCommand,
    exportCommand,
    pushCommand,
    pullCommand,
    doctorCommand,
    schemaCommand,
    completionCommand,
    benchCommand,
  ];
  for (const make of makers) program.addCommand(make(context));
  configure(program, () => used);
  try {
    await program.parseAsync([...args], { from: "user" });
    return exit;
  } catch (error) {
    return reportError(error, used);
  }
}

/** Makes a command and those in it throw instead of exiting, print through the terminal, and fit its width. */
function configure(command: Command, terminal: () => Terminal): void {
  command.exitOverride().showSuggestionAfterError().configureHelp({ minWidthToWrap: 10 }).configureOutput({
    writeOut: (text) => terminal().write(text),
    writeErr: (text) => {
      const { width, note } = terminal();
      for (const line of text.trimEnd().split("\n")) wrapText(line, width, "  ").forEach(note);
    },
    getOutHelpWidth: () => terminal().width,
    getErrHelpWidth: () => terminal().width,
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  });
  for (const each of command.commands) configure(each, terminal);
}

/** Mesa's drivers complain on stderr, once per device, where this is unset, and need it for nothing that is done here. */
function quietenMesa(): void {
  if (Deno.build.os === "linux" && !Deno.env.get("XDG_RUNTIME_DIR")) Deno.env.set("XDG_RUNTIME_DIR", tmpdir());
}

if (import.meta.main) {
  quietenMesa();
  Deno.exit(await main(Deno.args));
}
