/** `doctor`: what this machine offers, and what to do about what it lacks. */
import { readFile } from "node:fs/promises";
import { existsSync } from "node:fs";
import { availableParallelism, cpus, freemem, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { endpointOf, findToken } from "../hub/mod.ts";
import { freeBytes } from "../runner/mod.ts";
import { formatBytes } from "../report/numbers.ts";
import { examineDevices } from "./doctor_devices.ts";
import type { Finding } from "./finding.ts";
import { cacheOption, type CommandContext, runsOption, withOutputOptions } from "./options.ts";
import { cacheFolder, projectFolder, runsFolder } from "./places.ts";
import { wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

interface Options {
  readonly cache?: string;
  readonly runs?: string;
  readonly measure: boolean;
  readonly json?: boolean;
  readonly color?: boolean;
}

const GIBIBYTE = 2 ** 30;

/** The command. */
export function doctorCommand(context: CommandContext): Command {
  return withOutputOptions(new Command("doctor"))
    .description("say what this machine offers: versions, cores, memory, devices, folders, disk")
    .addOption(cacheOption())
    .addOption(runsOption())
    .option("--no-measure", "do not time matrix products, which takes a few seconds")
    .action(async (options: Options) => {
      const terminal = context.terminal(options);
      const findings = await examine(options);
      if (options.json) terminal.line(JSON.stringify(findings));
      else for (const finding of findings) print(finding, terminal);
    });
}

/** Looks at everything. */
async function examine({ cache, runs, measure }: Options): Promise<Finding[]> {
  const config: { version?: string; imports?: Record<string, string> } = JSON.parse(
    await readFile(join(projectFolder, "deno.json"), "utf8"),
  );
  const runtime = config.imports?.["onnxruntime-node"]?.split("@").at(-1) ?? "unknown";
  return [
    { name: "pbs2p", value: config.version ?? "unknown" },
    examineDeno(),
    { name: "System", value: `${Deno.build.os} ${Deno.build.arch}` },
    examineCores(),
    examineMemory(),
    { name: "onnxruntime", value: runtime },
    ...await examineDevices({ cache: cacheFolder(cache), measure }),
    examineFolder("Cache", cacheFolder(cache), "--cache or PBS2P_CACHE"),
    examineFolder("Runs", runsFolder(runs), "--runs or PBS2P_RUNS"),
    await examineHub(),
  ];
}

function examineDeno(): Finding {
  const { deno, v8, typescript } = Deno.version;
  const [major, minor] = deno.split(".").map(Number);
  const old = major < 2 || (major === 2 && minor < 9);
  return {
    name: "Deno",
    value: `${deno} (V8 ${v8}, TypeScript ${typescript})`,
    ...(old ? { advice: "Deno 2.9.6 is what this is tested with: npx -y deno@2.9.6 task …" } : {}),
  };
}

function examineCores(): Finding {
  const cores = availableParallelism();
  const value = `${cores}, ${cpus()[0]?.model.trim() || "unknown processor"}`;
  const advice = "a model of 7 B parameters takes a day or two on so few; time falls with the number of cores";
  return { name: "Cores", value, ...(cores < 4 ? { advice } : {}) };
}

function examineMemory(): Finding {
  const [free, total] = [freemem(), totalmem()];
  return {
    name: "Memory",
    value: `${formatBytes(free)} free of ${formatBytes(total)}`,
    ...(total < 8 * GIBIBYTE ? { advice: "enough for small models; one of 7 B parameters wants 6 GiB free" } : {}),
  };
}

function examineFolder(name: string, folder: string, how: string): Finding {
  let there = folder;
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  const free = freeBytes(there);
  return {
    name,
    value: `${folder}${free === undefined ? "" : `, ${formatBytes(free)} free`}`,
    ...(free !== undefined && free < 5 * GIBIBYTE ? { advice: `little room: choose another disk with ${how}` } : {}),
  };
}

async function examineHub(): Promise<Finding> {
  const token = await findToken();
  return {
    name: "Hub",
    value: `${endpointOf({ cache: cacheFolder() })}, ${token === undefined ? "no token" : "with a token"}`,
    ...(token === undefined ? { advice: "only gated models such as LLaMA-2 and LLaMA-3 need one: set HF_TOKEN" } : {}),
  };
}

function print({ name, value, lines = [], advice }: Finding, terminal: Terminal): void {
  // A narrow terminal has no room for a column of names.
  const indent = " ".repeat(terminal.width < 60 ? 4 : 13);
  const [first, ...rest] = wrapText(`${name.padEnd(12)} ${value}`, terminal.width, indent);
  terminal.line(terminal.paint("bold", first.slice(0, 12)) + first.slice(12));
  for (const line of rest) terminal.line(line);
  for (const more of lines) wrapText(`${indent}${more}`, terminal.width, `${indent}  `).forEach(terminal.line);
  if (advice === undefined) return;
  for (const line of wrapText(`${indent}→ ${advice}`, terminal.width, `${indent}  `)) {
    terminal.line(terminal.paint("dim", line));
  }
}
