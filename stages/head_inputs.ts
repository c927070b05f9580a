/**
 * The step behind the last block: second moments of what the head's matrix multiplies, on calibration windows.
 *
 * They are seen as calibrate sees the inputs of layers: after the compressed blocks, or after the original ones with `inputs: original`.
 */
import { embeddingShapes, headInputShapes } from "../models/tensors.ts";
import type { OutputRef, Step } from "../runner/stage.ts";
import { from, type Roles } from "./artifacts.ts";
import { passBlock } from "./block_pass.ts";
import { forwardMemory, forwardSeconds } from "./costs.ts";
import { embeddedHidden, storedHidden, storedWindows } from "./hidden_states.ts";
import type { Planning } from "./planning.ts";
import { storeStatistics } from "./statistics.ts";

/** Where the moments will be, under the input `head`. @param stage that the other statistics come from */
export function headMoments({ text: stage }: Roles["statistics"]): OutputRef {
  return from(`${stage}.head`, "statistics");
}

/** The step. */
export function headInputs(
  planning: Planning,
  { statistics, packed }: Pick<Roles, "statistics" | "packed">,
): Step {
  const { spec, identities, architecture, forward: { provider } } = planning;
  const { tools, code } = planning.use(import.meta.url, ["forward", "weights", "packing"]);
  const block = spec.blocks - 1, text = planning.text(statistics.text), width = spec.embedding;
  const entering = statistics.entering(block), { original } = statistics;
  const moments = headMoments(statistics);
  return {
    id: moments.step,
    stage: statistics.text,
    code,
    reads: [],
    facts: {
      architecture,
      provider,
      weights: identities.blocks[block],
      head: identities.head,
      ...(entering === undefined ? { embedding: identities.embedding } : {}),
    },
    inputs: {
      windows: statistics.windows,
      ...(entering === undefined ? {} : { hidden: entering.from }),
      ...(original ? {} : { compressed: packed.block(block) }),
    },
    outputs: { [moments.output]: { retain: "keep", bytes: 2 * width * (width + 1) } },
    estimate: { seconds: forwardSeconds(spec, text, true), memory: forwardMemory(spec, true) + 8 * width * width },
    async run(context) {
      const windows = await storedWindows(await context.input("windows"));
      const forward = await tools.forward();
      const source = entering === undefined
        ? embeddedHidden(forward, await tools.weights.read(embeddingShapes(spec)), windows)
        : storedHidden(await context.input("hidden"), entering.stream);
      const weights = original
        ? await tools.weights.block(block)
        : await tools.packing.blockWeights(tools.weights, block, await context.input("compressed"));
      const head = await forward.openHeadInput(await tools.weights.read(headInputShapes(spec)));
      await passBlock({
        ...{ forward, spec, text: windows, source, block, weights },
        each: (batch, hidden) => head.gather(hidden, { windows: batch.windows, length: windows.length }),
      }, context);
      const gathered = await head.finish();
      await storeStatistics(context.output(moments.output), { gathered, sequences: windows.windows, block });
    },
  };
}
