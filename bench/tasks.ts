/**
 * `task bench tasks`: questions of zero-shot tasks through a model's blocks, beside windows of one text each through the same blocks: tokens
 * a second of both, turn by turn in one run, and how many tokens are spared as choices share what comes before them.
 */
import { Command } from "commander";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openTerminal } from "../cli/terminal.ts";
import { withOutputOptions } from "../cli/options.ts";
import { projectFolder } from "../cli/places.ts";
import { openForward } from "../models/forward.ts";
import { placeTexts } from "../models/place_texts.ts";
import type { Segment } from "../models/segments.ts";
import { blockShapes } from "../models/tensors.ts";
import { openWeights } from "../stages/tools/weights.ts";
import { encodeItem, loadItems, tasks } from "../tasks/mod.ts";
import { openTokenizer } from "../tokenizers/tokenizer.ts";

/** Share of the forward pass's own rate that questions should reach. */
const GOAL = 0.7;
/** Exit code where it is missed. */
const MISSED = 5;
/** Times that the questions of this repository are asked, so that windows are full. */
const COPIES = 4;
const ROUNDS = 5;
const LENGTH = 512;

/** Models: the one of this repository, and a larger one where it lies beside it. */
const MODELS = [
  { name: "tiny-llama", path: "configs/models/tiny-llama" },
  {
    name: "SmolLM2-135M",
    path: "../shared/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf",
    config: "../shared/models/smollm2-135m",
  },
] as const;

/** The benchmark. @returns the exit code: 0 when the goal is met, else 5 */
export async function main(args: readonly string[]): Promise<number> {
  const command = withOutputOptions(new Command("tasks")).description("measure zero-shot tasks").exitOverride();
  const options = command.parse([...args], { from: "user" }).opts<
    { readonly json?: boolean; readonly color?: boolean }
  >();
  const terminal = openTerminal({ colour: options.color, json: options.json });
  let met = true;
  for (const { name, path, ...more } of MODELS) {
    const at = join(projectFolder, path);
    if (!existsSync(at)) {
      terminal.note(`${name} is not on this machine: left out`);
      continue;
    }
    const config = "config" in more ? { config: join(projectFolder, more.config) } : {};
    const found = await measure({ path: at, ...config });
    met &&= found.ratio >= GOAL;
    if (options.json) terminal.line(JSON.stringify({ model: name, goal: GOAL, ...found }));
    else {
      terminal.line(`${name}, one block, ${found.items} questions in ${found.windows} windows of ${LENGTH} tokens`);
      terminal.line(
        `  ${found.tokensASecond.toFixed(0)} tokens/s, ${found.itemsASecond.toFixed(1)} questions/s; ` +
          `windows of one text ${found.plain.toFixed(0)} tokens/s: ${found.ratio.toFixed(2)} of it (goal ${GOAL})`,
      );
      terminal.line(
        `  ${found.placed} tokens computed for ${found.tokens}: asked one choice at a time it would be ` +
          `${(found.tokens / found.placed).toFixed(2)} times as many`,
      );
    }
  }
  return met ? 0 : MISSED;
}

async function measure(model: { readonly path: string; readonly config?: string }) {
  const weights = await openWeights(model, { cache: "", purpose: "run" }), { checkpoint, spec } = weights;
  try {
    if (checkpoint.tokenizer === undefined) throw new Error("Cannot measure tasks with a model that has no tokenizer");
    const tokenizer = openTokenizer(checkpoint.tokenizer), groups: Int32Array[][] = [];
    for (const task of tasks) {
      const file = join(projectFolder, "tasks", "testdata", `${task.name}.jsonl`),
        { items } = await loadItems(task, { file });
      for (const item of items) {
        groups.push(
          encodeItem(tokenizer, item, { maxLength: Math.min(LENGTH, spec.maxPositions) }).map(({ input }) => input),
        );
      }
    }
    const all = Array.from({ length: COPIES }, () => groups).flat(), placed = placeTexts(all, LENGTH);
    const forward = await openForward(spec, {});
    try {
      const size = { windows: placed.windows, length: LENGTH }, block = await weights.read(blockShapes(spec, 0));
      const once = async (segments: readonly Segment[] | undefined) => {
        const run = await forward.openBlock(0, block, {
          gather: "none",
          output: true,
          segmented: segments !== undefined,
        });
        const hidden = new Float32Array(size.windows * LENGTH * spec.hidden).fill(0.01);
        const began = performance.now();
        await run.run(hidden, { ...size, ...(segments === undefined ? {} : { segments }) });
        const seconds = (performance.now() - began) / 1000;
        await run.finish();
        return seconds;
      };
      // What is first run is also compiled.
      await once(placed.segments);
      await once(undefined);
      const asked: number[] = [], plain: number[] = [];
      for (let round = 0; round < ROUNDS; round++) {
        asked.push(await once(placed.segments));
        plain.push(await once(undefined));
      }
      // Places of windows that are left empty are computed, and count for nothing.
      const rate = placed.placed / median(asked), own = size.windows * LENGTH / median(plain);
      return {
        ...{ items: all.length, windows: size.windows, placed: placed.placed, tokens: placed.tokens },
        ...{ tokensASecond: rate, itemsASecond: all.length / median(asked), plain: own, ratio: rate / own },
      };
    } finally {
      await forward.close();
    }
  } finally {
    weights.close();
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}
