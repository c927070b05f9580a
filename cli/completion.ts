/** `completion`: a script for a shell, which completes commands, options, choices, recipes and runs. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Argument, Command } from "commander";
import { wrapText } from "../report/text_table.ts";
import { stages } from "../stages/mod.ts";
import { renderScript, type Shell, SHELLS } from "./completion_scripts.ts";
import { readTree } from "./completion_tree.ts";
import type { CommandContext } from "./options.ts";
import { projectFolder } from "./places.ts";

const MORE =
  'In bash: `eval "$(deno task completion bash)"` in ~/.bashrc; it completes `pbs2p`, which it makes a word for the ' +
  "task, and `deno task` in the project's folder. In zsh: write it to a file `_pbs2p` in a folder of $fpath, or eval it after " +
  "compinit. In fish: write it to ~/.config/fish/completions/pbs2p.fish. Make it again after an update.";

/** The command. */
export function completionCommand(context: CommandContext): Command {
  return new Command("completion")
    .description("print a script that completes commands, options, recipes and runs in a shell")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .addHelpText("after", () => `\n${wrapText(MORE, context.terminal({}).width).join("\n")}`)
    .action((shell: Shell, _options: unknown, { parent }: Command) => {
      if (parent === null) throw new Error("Cannot complete the commands of no program");
      const names = { stages: stages.map(({ name }) => name), benchmarks: benchmarks() };
      const script = renderScript(shell, readTree(parent, names), { project: projectFolder, tasks: tasks(parent) });
      context.terminal({}).write(script);
    });
}

/** Benchmarks' names, as `bench` takes them. */
function benchmarks(): string[] {
  return readdirSync(join(projectFolder, "bench"))
    .filter((file) => /^[a-z_]+\.ts$/.test(file)).map((file) => file.slice(0, -3)).sort();
}

/** Tasks that are commands of the program: completed after `deno task`. */
function tasks(program: Command): string[] {
  const names = new Set(program.commands.map((command) => command.name()));
  const { tasks } = JSON.parse(readFileSync(join(projectFolder, "deno.json"), "utf8")) as {
    tasks: Record<string, unknown>;
  };
  return Object.keys(tasks).filter((name) => name === "pbs2p" || names.has(name));
}
