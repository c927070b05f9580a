/** `export`: writes a model for others to run, as Hugging Face's safetensors or as GGUF. */
import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { Command, Option } from "commander";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { type Exported, type ExportKind, exportModel, EXPORTS, SHARD_BYTES } from "../export/mod.ts";
import { expandHome } from "../files/home.ts";
import { fitModel } from "../models/mod.ts";
import { formatBytes, formatExactly } from "../report/numbers.ts";
import { wrapText } from "../report/text_table.ts";
import { freeBytes, isFull, NoSpaceError } from "../runner/cache/no_space.ts";
import { readRun } from "../runner/mod.ts";
import { asked, UsageError } from "./exit_codes.ts";
import { listenForInterruption } from "./interruption.ts";
import { locateModel, MODEL_TARGET, openModel } from "./models.ts";
import { type CommandContext, parseSize, runsOption, withOutputOptions } from "./options.ts";
import { workingFolder } from "./places.ts";
import type { Terminal } from "./terminal.ts";

interface Options {
  readonly to: string;
  readonly format: ExportKind["format"];
  readonly type: string;
  readonly name?: string;
  readonly shardSize: number;
  readonly force?: boolean;
  readonly config?: string;
  readonly runs?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** All types, each once, as they are written on the command line. */
const TYPES = [...new Set(Object.values(EXPORTS).flat())].map((type) => type.toLowerCase());

/** Where files of each type run. Of Q1_0 and Q2_0: the backends that name them in the ggml of llama-cpp-python 0.3.36. */
const RUNTIMES: Readonly<Record<ExportKind["type"], string>> = {
  F16: "llama.cpp, and what is built on it, such as Ollama and LM Studio",
  BF16: "llama.cpp, and what is built on it, such as Ollama and LM Studio",
  Q8_0: "llama.cpp, and what is built on it, such as Ollama and LM Studio",
  Q1_0:
    "llama.cpp as in llama-cpp-python 0.3.36, which has this type on CPU, CUDA, Metal, Vulkan, SYCL, OpenCL and WebGPU; older ones refuse it",
  Q2_0:
    "llama.cpp as in llama-cpp-python 0.3.36, which has this type on CPU, CUDA, Metal, Vulkan and SYCL; older ones refuse it",
};

/** The command. */
export function exportCommand(context: CommandContext): Command {
  return withOutputOptions(new Command("export"))
    .description(
      "write a model for others to run: safetensors that transformers loads, or a GGUF file for llama.cpp. Weights are decoded and " +
        "rounded to the type, read again, and compared with what was packed. q1_0 and q2_0 hold codes of one and two bits as they are: " +
        "what does not fit them exactly is refused",
    )
    .argument("<model>", MODEL_TARGET)
    .requiredOption("--to <dir>", "folder to write to, made if needed; for safetensors it must be empty")
    .addOption(
      new Option("--format <format>", "safetensors: a folder; gguf: one file").choices(Object.keys(EXPORTS))
        .makeOptionMandatory(),
    )
    .addOption(
      new Option(
        "--type <type>",
        `of the weights; ${
          Object.entries(EXPORTS).map(([format, types]) => `${format}: ${types.join(", ").toLowerCase()}`).join("; ")
        }`,
      ).choices(TYPES).default("f16"),
    )
    .option("--name <name>", "what to call the model (default: as its run, folder or file is called)")
    .addOption(
      new Option("--shard-size <size>", "most of one file of safetensors").argParser(parseSize)
        .default(SHARD_BYTES, formatBytes(SHARD_BYTES)),
    )
    .option("--force", "replace what is there")
    .option("--config <dir>", "folder with config.json and tokenizer.json, where they are not beside the weights")
    .addOption(runsOption())
    .action(async (target: string, options: Options) =>
      context.exit(await write(target, options, context.terminal(options)))
    );
}

async function write(target: string, options: Options, terminal: Terminal): Promise<number> {
  const kind = kindOf(options);
  const model = await locateModel(target, options, terminal);
  if (!("path" in model)) {
    throw new UsageError(
      `Cannot export ${target}: it is not packed, and others run it as it is; give a packed model, or a folder`,
    );
  }
  const source = model.path, to = resolve(workingFolder(), asked(() => expandHome(options.to)));
  const opened = await openModel(model, options);
  const interruption = listenForInterruption({
    onFirst: () => terminal.note("Stopping; nothing is left of the export"),
  });
  const warn = (message: string) => terminal.note(`warning: ${message}`);
  // What is done at once needs no telling.
  let told = performance.now();
  const progress = (doing: string, done: number, total: number) => {
    if (performance.now() - told < 1000) return;
    told = performance.now();
    terminal.note(`${doing} ${done} of ${total} tensors`);
  };
  try {
    const { checkpoint, spec } = await fitModel(opened, { warn });
    const name = options.name ?? nameOf(opened, resolve(source));
    interruption.defer();
    const exported = await exportModel({ checkpoint, spec, name }, kind, {
      to,
      ...{ force: options.force ?? false, shardBytes: options.shardSize, progress, warn, signal: interruption.signal },
    }, source).catch((error) => {
      throw asExportError(error, to, checkpoint);
    });
    tell(exported, { kind, to, options, terminal });
    return 0;
  } catch (error) {
    if (interruption.signal.aborted) return 130;
    throw error;
  } finally {
    interruption.stop();
    opened.close();
  }
}

/** @throws {UsageError} when the format has no such type */
function kindOf({ format, type }: Options): ExportKind {
  const types: readonly string[] = EXPORTS[format], wanted = type.toUpperCase();
  if (types.includes(wanted)) return { format, type: wanted } as ExportKind;
  throw new UsageError(
    `Cannot export ${format} as ${type}: --type must be one of ${types.join(", ").toLowerCase()}` +
      (format === "safetensors" ? "; the others are GGUF's" : ""),
  );
}

/** Model and recipe of a run, whose own folder is called `model`; else what the folder, file or hub repository is called. */
function nameOf({ label }: Checkpoint, path: string): string {
  const run = dirname(path);
  if (existsSync(join(run, "events.ndjson"))) {
    const { model, recipe } = readRun(dirname(run), basename(run));
    return `${plainName(model)}-${recipe}`;
  }
  return plainName(label);
}

/** Without owner, revision and the end of a file's name. */
function plainName(label: string): string {
  return label.replace(/@[0-9a-f]{8}( .*)?$/, "").split("/").at(-1)?.replace(/\.gguf$/, "") ?? "";
}

/** What is wrong with the folder that is written to, in the words of this command; any other error as it is. */
export function asExportError(
  error: unknown,
  to: string,
  { tensors }: { readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }> },
): unknown {
  if (error instanceof NoSpaceError) return error;
  const { code } = (error ?? {}) as { code?: unknown };
  if (code === "EEXIST" || code === "ENOTDIR") {
    return new UsageError(`Cannot export to ${to} as it is no folder, or lies in none`, { cause: error });
  }
  if (code === "EACCES" || code === "EPERM" || code === "EROFS" || error instanceof Deno.errors.NotCapable) {
    return new UsageError(`Cannot export to ${to} as it cannot be written to: choose another folder`, { cause: error });
  }
  if (error instanceof RangeError) return new UsageError(error.message, { cause: error });
  if (!isFull(error)) return error;
  const free = freeBytes(to) ?? freeBytes(dirname(to));
  let bytes = 0;
  for (const { shape } of tensors.values()) bytes += 2 * shape.reduce((product, length) => product * length, 1);
  return new NoSpaceError(
    `Cannot write to ${to} as the disk is full: up to ${formatBytes(bytes)} are needed` +
      `${
        free === undefined ? "" : `, ${formatBytes(free)} are free`
      }. Free some space, or choose another disk with --to`,
    { cause: error },
  );
}

function tell(
  { files, weights, closeness: { tensors, exact, worst } }: Exported,
  { kind: { format, type }, to, options, terminal }: {
    readonly kind: ExportKind;
    readonly to: string;
    readonly options: Options;
    readonly terminal: Terminal;
  },
): void {
  const bytes = weights.reduce((sum, file) => sum + file.bytes, 0);
  if (options.json) {
    return terminal.line(JSON.stringify({ format, type, folder: to, files, weights, tensors, exact, worst }));
  }
  const rounding = exact === tensors
    ? "each read again, and every value is the model's own"
    : `each read again, and every value is the model's own rounded to ${type}, which changes ${
      tensors - exact
    } of them; ` +
      `most, by ${formatExactly(100 * worst.error)} %, ${worst.name}`;
  const where = format === "gguf" ? RUNTIMES[type] : `transformers: AutoModelForCausalLM.from_pretrained("${to}")`;
  const lines = [
    [
      "written",
      `${format} ${type}, ${formatBytes(bytes)} in ${weights.length === 1 ? "one file" : `${weights.length} files`}`,
    ],
    ["compared", `${tensors} tensors: ${rounding}`],
    ["runs in", where],
    [format === "gguf" ? "file" : "folder", format === "gguf" ? resolve(to, files[0]) : to],
  ];
  for (const [head, text] of lines) {
    wrapText(head.padEnd(10) + text, terminal.width, " ".repeat(10)).forEach((line) => terminal.line(line));
  }
}
