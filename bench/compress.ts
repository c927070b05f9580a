/**
 * `task bench compress`: what compression costs. The quantising stages of a method beside the seconds of official code, which are
 * scaled by the two machines' rates of float32 products; the forward passes as the other part; memory at its peak. Or, on random weights of LLaMA-7B's
 * width, seconds and memory per block.
 *
 * Everything is made in a temporary cache, which is removed at the end. The rate is sampled between the steps, so that it sees the
 * same load as they do.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Command, Option } from "commander";
import { stringify } from "yaml";
import { parseWhole, withOutputOptions } from "../cli/options.ts";
import { projectFolder, workingFolder } from "../cli/places.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import { openTerminal, type Terminal } from "../cli/terminal.ts";
import { loadRecipe } from "../pipeline/mod.ts";
import { formatBytes, formatSeconds } from "../report/numbers.ts";
import { median, openGemmRate } from "./compress/gemm_rate.ts";
import { officialSeconds, type Rival, RIVALS, scaleTo } from "./compress/official.ts";
import { LLAMA_7B, LLAMA_7B_BLOCKS, writeRandomLlama } from "./compress/random_llama.ts";
import { packOnly, type Part, type Parts, sumParts, type TimedStep, timeSteps } from "./compress/timed_steps.ts";
import { METHODS } from "../layers/find_method.ts";
import { InputError } from "../files/input_error.ts";
import { listenForInterruption } from "../cli/interruption.ts";
import { type RecipeRun, runRecipe } from "./measure/recipe_run.ts";
import { readReference } from "./measure/references.ts";

interface Options {
  readonly model: keyof typeof models;
  readonly method: keyof typeof RIVALS;
  readonly width?: "llama7b";
  readonly blocks?: number;
  readonly windows: number;
  readonly length: number;
  readonly seed: number;
  readonly reference?: string;
  readonly temp?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** What a run was measured to cost. */
interface Measured {
  readonly run: RecipeRun;
  readonly steps: readonly TimedStep[];
  /** GFLOP/s of 1024³ in float32, every sample. */
  readonly rates: readonly number[];
  /** Bytes. */
  readonly peak: number;
}

/** How many blocks each model has, and what goes on top of a method's recipe to run it on that model. */
const models: Readonly<Record<"smollm2-135m" | "tiny-llama", { readonly blocks: number; readonly texts: string }>> = {
  "smollm2-135m": { blocks: 30, texts: "configs/bases/smollm2-135m-texts.yaml" },
  "tiny-llama": { blocks: 6, texts: "configs/bases/tiny-llama.yaml" },
};

/** Bytes that a model may take at most, and one of LLaMA-7B's width. */
const MOST_MEMORY = { model: 3e9, llama7b: 6e9 } as const;

/** Tokens that LLaMA-7B is calibrated on in the paper. */
const PAPER_TOKENS = 128 * 2048;

/** Stages between whose steps the rate is sampled. */
const methods: ReadonlySet<string> = new Set(METHODS.map(({ name }) => name));

/** The model whose seconds have a bound. */
const TIMED = "smollm2-135m";

/** Highest rate over lowest from which on a machine is too busy to be measured. */
const BUSY = 1.5;

/** Exit code where a bound is missed. */
const MISSED = 5;

/** The benchmark. @returns the exit code: 0 when all bounds are met, else 5 */
export async function main(args: readonly string[]): Promise<number> {
  const command = withOutputOptions(new Command("compress"))
    .description("measure what compression costs")
    .addOption(
      new Option("--model <model>", "the model").choices(Object.keys(models)).default("smollm2-135m"),
    )
    .addOption(new Option("--method <method>", "the method").choices(Object.keys(RIVALS)).default("pbs2p"))
    .addOption(new Option("--width <width>", "random weights of this width instead of a model").choices(["llama7b"]))
    .option(
      "--blocks <n>",
      "only the first blocks, scaled up to all; with --width, as many (default: 2)",
      parseWhole(1),
    )
    .option("--windows <n>", "with --width: windows to calibrate on", parseWhole(1), 4)
    .option("--length <n>", "with --width: tokens in each", parseWhole(2), 512)
    .option("--seed <n>", "with --width: of weights and tokens", parseWhole(0), 0)
    .option("--reference <dir>", "folder with peers.json (default: shared/reference beside the project)")
    .option("--temp <dir>", "where to make the temporary folder (default: the system's)")
    .exitOverride();
  const options = command.parse([...args], { from: "user" }).opts<Options>();
  const terminal = openTerminal({ colour: options.color, json: options.json });
  const folder = await mkdtemp(join(resolve(workingFolder(), options.temp ?? tmpdir()), "pbs2p-bench-"));
  try {
    return await (options.width === undefined ? compareModel : measureWidth)(options, folder, terminal);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A method on a real model beside official code. @returns the exit code */
async function compareModel(options: Options, folder: string, terminal: Terminal): Promise<number> {
  const { model, method } = options, rival = RIVALS[method];
  const { texts, blocks: all } = models[model];
  const official = officialSeconds(await readReference("peers.json", options.reference), model, rival);
  const blocks = Math.min(options.blocks ?? all, all);
  const measured = await measure(join(projectFolder, "configs", "methods", `${rival.recipe}.yaml`), {
    folder,
    terminal,
    texts: join(projectFolder, texts),
    blocks: blocks < all ? blocks : undefined,
  });
  const { run, rates, peak, steps } = measured;
  const ours = sumParts(steps, all);
  const rate = median(rates);
  const theirs = scaleTo(rate, official);
  const ratio = theirs.quantize / ours.quantizing.seconds;
  const careful = scaleTo(Math.max(...rates), official).quantize / ours.quantizing.seconds;
  const { most }: Rival = rival, timely = most === undefined || model !== TIMED || ours.quantizing.seconds <= most;
  const bounds = { ratio: ratio >= rival.least && timely, memory: peak <= MOST_MEMORY.model };
  if (options.json) {
    const gemm = { ...rateFacts(rates), recorded: official.gemm };
    terminal.line(
      JSON.stringify({
        model,
        method,
        blocks,
        of: all,
        gemm,
        ours,
        official: { recorded: official, scaled: theirs },
        ratio,
        ratioAtHighestRate: careful,
        peak,
        bounds,
        steps,
      }),
    );
  } else {
    const scaled = blocks < all ? `, ${blocks} of ${all} blocks scaled up to all (the packed file is not written)` : "";
    const lines = [
      `${rival.recipe}: ${run.model} on ${run.device.kind} (${run.device.name})${scaled}`,
      `${rateLine(rates)}, ${official.gemm} where ${rival.official} was measured: its seconds × ${
        (official.gemm / rate).toFixed(2)
      }`,
      "",
      ...renderTable(
        [{ head: "seconds" }, { head: "ours", side: "right" }, { head: rival.official, side: "right" }, {
          head: "ratio",
          side: "right",
        }],
        [
          ...partRows("quantising", ours.quantizing, theirs.quantize),
          ...partRows("forward passes", ours.forward, theirs.forward),
        ],
      ),
      "",
      `quantising is ${ratio.toFixed(1)} times as fast as official ${rival.official} (${
        careful.toFixed(1)
      } at the highest rate), at ` +
      `least ${rival.least}${most !== undefined && model === TIMED ? `, and takes at most ${most} s` : ""}: ${
        verdict(bounds.ratio)
      }`,
      ...busyLines(rates),
      memoryLine(peak, MOST_MEMORY.model),
    ];
    print(lines, terminal);
  }
  return bounds.ratio && bounds.memory ? 0 : MISSED;
}

/** Prints tables as they are, and sentences within the terminal's width. */
function print(lines: readonly string[], terminal: Terminal): void {
  for (const line of lines) for (const part of wrapText(line, terminal.width, "  ")) terminal.line(part);
}

/** Random weights of a real width. @returns the exit code */
async function measureWidth(options: Options, folder: string, terminal: Terminal): Promise<number> {
  const { blocks = 2, windows, length, seed, method } = options, { base }: Rival = RIVALS[method];
  if (base === undefined) {
    const able = Object.entries(RIVALS as Record<string, Rival>).filter(([, each]) => each.base).map(([name]) => name);
    throw new InputError(`Cannot measure a width with ${method}: --method must be ${able.join(" or ")}`);
  }
  terminal.note(`writing ${blocksOf(blocks)} of random weights`);
  const model = join(folder, "llama7b-width");
  const written = await writeRandomLlama(model, { ...LLAMA_7B, blocks, windows, length, seed });
  const recipe = join(folder, "recipe.yaml");
  await writeFile(
    recipe,
    stringify({
      extends: join(projectFolder, "configs", "bases", `${base}.yaml`),
      name: `llama7b-width-${method}`,
      model: { path: model },
      stages: {
        calibrate: {
          dataset: { windows: join(model, "windows.safetensors"), tensor: "calibration" },
          samples: windows,
          length,
        },
        evaluate: { perplexity: [] },
      },
    }),
  );
  const { run, rates, peak, steps } = await measure(recipe, { folder, terminal });
  const each = sumParts(steps.filter(({ block }) => block !== undefined), 1);
  const tokens = windows * length;
  const whole = {
    quantizing: LLAMA_7B_BLOCKS * each.quantizing.seconds,
    forward: LLAMA_7B_BLOCKS * each.forward.seconds,
    // What does not grow with the tokens, such as reading weights, is counted as if it did.
    forwardOfPaper: LLAMA_7B_BLOCKS * each.forward.seconds * PAPER_TOKENS / tokens,
  };
  const met = peak <= MOST_MEMORY.llama7b;
  if (options.json) {
    terminal.line(
      JSON.stringify({ blocks, tokens, gemm: rateFacts(rates), each, whole, peak, bounds: { memory: met }, steps }),
    );
  } else {
    const lines = [
      `${method}, LLaMA-7B's width, ${blocksOf(blocks)} of random weights (${
        formatBytes(written)
      }) on ${run.device.kind} (${run.device.name})`,
      `${rateLine(rates)}; calibrated on ${windows} windows of ${length} tokens`,
      "",
      ...renderTable(
        [{ head: "a block" }, { head: "seconds", side: "right" }, { head: `${LLAMA_7B_BLOCKS} blocks`, side: "right" }],
        [...blockRows("quantising", each.quantizing), ...blockRows("forward passes", each.forward)],
      ),
      "",
      ...renderTable(
        [{ head: "memory at the peak of" }, { head: "", side: "right" }],
        [...peaks(steps)].map(([stage, memory]) => [stage, formatBytes(memory)]),
      ),
      "",
      `LLaMA-7B would take ${formatSeconds(whole.quantizing)} of quantising; its forward passes ${
        formatSeconds(whole.forward)
      }, and ` +
      `at most about ${formatSeconds(whole.forwardOfPaper)} on the paper's ${PAPER_TOKENS} tokens`,
      ...busyLines(rates),
      memoryLine(peak, MOST_MEMORY.llama7b),
    ];
    print(lines, terminal);
  }
  return met ? 0 : MISSED;
}

/** Runs a recipe up to its packed model, or so many of its blocks, in a new cache. */
async function measure(
  path: string,
  { folder, terminal, texts, blocks }: {
    readonly folder: string;
    readonly terminal: Terminal;
    /** A recipe whose model and texts take the place of the first one's. */
    readonly texts?: string;
    readonly blocks?: number;
  },
): Promise<Measured> {
  const loaded = await loadRecipe(path, { cwd: workingFolder(), with: texts === undefined ? [] : [texts] });
  const interruption = listenForInterruption();
  const gemm = await openGemmRate();
  try {
    const steps: TimedStep[] = [];
    const run = await runRecipe(loaded, {
      cache: join(folder, "cache"),
      runs: join(folder, "runs"),
      signal: interruption.signal,
      warn: (message) => terminal.note(`warning: ${message}`),
      onEvent: (event) => {
        if (event.type === "step-finished") terminal.note(`${event.step}  ${formatSeconds(event.seconds)}`);
      },
      adapt: (subject) =>
        timeSteps(packOnly(subject, blocks), {
          steps,
          before: ({ stage }) => methods.has(stage) ? gemm.sample() : Promise.resolve(),
        }),
    });
    return { run, steps, rates: gemm.rates, peak: run.result.peakMemory };
  } finally {
    await gemm.close();
    interruption.stop();
  }
}

function rateFacts(rates: readonly number[]) {
  return { median: median(rates), least: Math.min(...rates), most: Math.max(...rates), samples: rates.length };
}

function rateLine(rates: readonly number[]): string {
  const { median, least, most, samples } = rateFacts(rates);
  const [middle, from, to] = [median, least, most].map((rate) => rate.toFixed(0));
  return `float32 products of 1024³: ${middle} GFLOP/s (median of ${samples}, ${from} to ${to})`;
}

function busyLines(rates: readonly number[]): string[] {
  const { least, most } = rateFacts(rates);
  return most / least > BUSY ? ["the rates differ widely: other programs are at work, measure again without them"] : [];
}

function blocksOf(count: number): string {
  return count === 1 ? "1 block" : `${count} blocks`;
}

function partRows(name: string, { seconds, stages }: Part, theirs: number): string[][] {
  return [
    [name, seconds.toFixed(1), theirs.toFixed(1), `${(theirs / seconds).toFixed(1)}×`],
    ...Object.entries(stages).map(([stage, spent]) => [`  ${stage}`, spent.toFixed(1), "", ""]),
  ];
}

function blockRows(name: string, { seconds, stages }: Parts["forward"]): string[][] {
  const row = (name: string, spent: number) => [name, spent.toFixed(1), formatSeconds(LLAMA_7B_BLOCKS * spent)];
  return [row(name, seconds), ...Object.entries(stages).map(([stage, spent]) => row(`  ${stage}`, spent))];
}

/** Most resident bytes by stage. */
function peaks(steps: readonly TimedStep[]): Map<string, number> {
  const most = new Map<string, number>();
  for (const { stage, memory } of steps) most.set(stage, Math.max(most.get(stage) ?? 0, memory));
  return most;
}

function memoryLine(peak: number, most: number): string {
  return `memory at its peak: ${(peak / 1e9).toFixed(2)} GB, at most ${most / 1e9} GB: ${verdict(peak <= most)}`;
}

function verdict(met: boolean): string {
  return met ? "met" : "missed";
}
