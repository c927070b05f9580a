/** What can be completed, read from commander's commands: which words may follow which, and what a value is. Not any shell's syntax. */
import type { Argument, Command, Option } from "commander";

/** What a value is; told by the name that its option or argument has in the help. */
export type Kind =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "recipe" | "folder" | "run" | "model" | "text" };

/** An option of a command. */
export interface Flag {
  /** `--set`, and a short one where there is one. */
  readonly names: readonly string[];
  readonly about: string;
  /** Undefined where it takes no value. */
  readonly value?: Kind;
}

/** One command, with those in it. */
export interface Node {
  /** Names from the program's on, without that: `cache ls`; empty for the program. */
  readonly path: string;
  readonly about: string;
  readonly commands: readonly Node[];
  readonly flags: readonly Flag[];
  /** Of its arguments. */
  readonly argument?: Kind;
}

/** What only the pipeline knows. */
export interface Names {
  readonly stages: readonly string[];
  readonly benchmarks: readonly string[];
}

/**
 * Reads a command and all in it.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { Command } from "commander";
 * const program = new Command("p").addCommand(new Command("run").argument("<recipe>").option("--cache <dir>", "a folder"));
 * const [run] = readTree(program, { stages: [], benchmarks: [] }).commands;
 * assert.deepEqual([run.path, run.argument?.kind, run.flags[0].value?.kind], ["run", "recipe", "folder"]);
 * ```
 */
export function readTree(command: Command, names: Names, path = ""): Node {
  const help = command.createHelp();
  const commands = help.visibleCommands(command).filter((each) => each.name() !== "help");
  const [argument] = command.registeredArguments;
  return {
    path,
    about: brief(command.description()),
    commands: commands.map((each) => readTree(each, names, path === "" ? each.name() : `${path} ${each.name()}`)),
    flags: help.visibleOptions(command).map((option) => readFlag(option, names)),
    ...(argument === undefined ? {} : { argument: kindOf(argument, argument.name(), names) }),
  };
}

/** All commands of a tree, the program first. */
export function* nodesOf(node: Node): Generator<Node> {
  yield node;
  for (const each of node.commands) yield* nodesOf(each);
}

function readFlag(option: Option, names: Names): Flag {
  const [, placeholder] = /[<[]([^>\]]+)[>\]]/.exec(option.flags) ?? [];
  return {
    names: [option.long, option.short].filter((name) => name !== undefined && name !== null),
    about: brief(option.description),
    ...(placeholder === undefined ? {} : { value: kindOf(option, placeholder, names) }),
  };
}

function kindOf({ argChoices }: Pick<Argument | Option, "argChoices">, placeholder: string, names: Names): Kind {
  if (argChoices !== undefined) return { kind: "words", words: argChoices };
  const name = placeholder.replace(/\.\.\.$/, "");
  if (name === "stage") return { kind: "words", words: names.stages };
  if (name === "name") return { kind: "words", words: names.benchmarks };
  if (name === "dir" || name === "folder") return { kind: "folder" };
  if (name === "run" || name === "runs" || name === "folders") return { kind: "run" };
  return { kind: name === "recipe" || name === "model" ? name : "text" };
}

/** The beginning of a description, as a line of a list of suggestions. */
function brief(text: string): string {
  const [first] = text.split(/[;:(]/);
  return first.trim().length > 60 ? `${first.trim().slice(0, 59)}…` : first.trim();
}
