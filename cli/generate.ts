/** `generate`: continues a text with a model, packed or not. */
import { Command } from "commander";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import type { GenerateOptions } from "../inference/generate.ts";
import { openTextModel } from "../inference/text_model.ts";
import { modelSpec, type Provider, type WantedProvider } from "../models/mod.ts";
import { chooseDevice, chooseForward } from "../pipeline/device.ts";
import { UsageError } from "./exit_codes.ts";
import { locateModel, MODEL_TARGET, openModel } from "./models.ts";
import { type CommandContext, forwardOption, parseNumber, parseWhole, runsOption } from "./options.ts";
import type { Terminal } from "./terminal.ts";

interface Options extends Pick<GenerateOptions, "maxTokens" | "temperature" | "topK" | "topP" | "seed"> {
  readonly prompt: string;
  readonly config?: string;
  readonly runs?: string;
  readonly forward: WantedProvider;
}

/** The command. */
export function generateCommand(context: CommandContext): Command {
  return new Command("generate")
    .description(
      "continue a text with a model, packed or not; the text comes as it is written. It ends where generation_config.json " +
        "says (eos_token_id), whose other settings, such as temperature, are not taken: give them here",
    )
    .argument("<model>", MODEL_TARGET)
    .requiredOption("-p, --prompt <text>", "the text to continue")
    .option("--max-tokens <count>", "new tokens at most", parseWhole(1), 128)
    .option(
      "--temperature <number>",
      "0 always takes the likeliest token (default: 1 with --top-k or --top-p, else 0)",
      parseNumber(0, 100),
    )
    .option("--top-k <count>", "draw among the k likeliest tokens only", parseWhole(1))
    .option("--top-p <share>", "draw among the likeliest tokens of this share only", parseNumber(0, 1))
    .option("--seed <number>", "of the drawing", parseWhole(0), 0)
    .option("--config <dir>", "folder with config.json and tokenizer.json, where they are not beside the weights")
    .addOption(forwardOption("cpu", "others get all weights anew for each token"))
    .addOption(runsOption())
    .action(async (target: string, options: Options) =>
      context.exit(await write(target, options, context.terminal({})))
    );
}

async function write(target: string, options: Options, terminal: Terminal): Promise<number> {
  const { prompt, maxTokens, topK, topP, seed, forward } = options;
  const { temperature = topK === undefined && topP === undefined ? 0 : 1 } = options;
  const opened = await openModel(await locateModel(target, options, terminal), options);
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  Deno.addSignalListener("SIGINT", interrupt);
  try {
    if (!opened.tokenizer) {
      throw new InputError(`Cannot generate with ${target}: it has no tokenizer; --config names a folder that has`);
    }
    const model = await openTextModel(opened, { warn: (message) => terminal.note(`warning: ${message}`) });
    const { checkpoint, tokenizer } = model;
    const encoded = model.encode(prompt);
    if (encoded.beginsTwice && tokenizer.bos !== undefined) {
      terminal.note(
        `the prompt spells ${
          tokenizer.decode([tokenizer.bos])
        } itself, which this model's tokenizer adds: it begins with two`,
      );
    }
    const provider = forward === "cpu" ? forward : await choose(checkpoint, forward, terminal);
    terminal.write(prompt);
    const drawing = { maxTokens, temperature, topK, topP, seed };
    for await (const { text } of model.write(encoded, { ...drawing, provider, signal: stop.signal })) {
      terminal.write(text);
      // The text is all there is to it: where nobody reads it, no more is wanted.
      if (terminal.closed.aborted) return 0;
    }
    terminal.line();
    return 0;
  } catch (error) {
    if (error instanceof RangeError) throw new UsageError(error.message, { cause: error });
    if (!stop.signal.aborted) throw error;
    terminal.line();
    return 130;
  } finally {
    Deno.removeSignalListener("SIGINT", interrupt);
    opened.close();
  }
}

/** A provider other than the default is said aloud, beside the text. */
async function choose(checkpoint: Checkpoint, wanted: WantedProvider, terminal: Terminal): Promise<Provider> {
  const { provider, why } = await chooseForward(modelSpec(checkpoint.config), await chooseDevice("auto"), {
    wanted,
    length: 1,
  });
  terminal.note(`forward passes on ${provider} (${why})`);
  return provider;
}
