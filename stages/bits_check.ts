/**
 * Steps of coarse-search that look whether bits that were found by sensitivity are better than the same everywhere: the model quantized with
 * them, block by block, on windows that nothing was measured on.
 */
import { headShapes } from "../models/tensors.ts";
import type { OutputRef, Step } from "../runner/stage.ts";
import { type BitCandidate, from } from "./artifacts.ts";
import { forwardMemory, forwardSeconds, hiddenBytes } from "./costs.ts";
import { divergences } from "./divergence.ts";
import { storedWindows } from "./hidden_states.ts";
import type { Planning } from "./planning.ts";
import { changesOf, divergencesOf, heldOutStates, type SensitivityOptions } from "./sensitivity.ts";
import { storedStatistics } from "./statistics.ts";
import { trialWindows } from "./trial_windows.ts";
import { entering, joined, outputsOf, planTrial, quantizeTrial, storeStream } from "./trials.ts";

/** What the last step finds: KL divergence of the whole model, in nats a token. */
export type CheckedBits = { readonly allocated: number };

const STREAM = "allocated";

/** Where that is. */
export function checkedOf(name: string, blocks: number): OutputRef {
  return from(`${name}.check[${blocks - 1}]`, "divergence");
}

/** The step of one block. @param candidate where the bits are */
export function bitsCheckStep(
  planning: Planning,
  block: number,
  { name, statistics, candidate }: SensitivityOptions & { readonly candidate: OutputRef },
): Step {
  const { spec } = planning;
  const { tools, code } = planning.use(import.meta.url, ["forward", "weights", "layers", "packing"]);
  const { planned, decoding, linears, weights, last, text, reads, facts } = planTrial(planning, block, { statistics });
  return {
    id: `${name}.check[${block}]`,
    stage: name,
    block,
    code,
    reads: [...new Set(reads)].sort(),
    facts,
    inputs: {
      windows: statistics.windows,
      moments: changesOf(name, block).moments,
      candidate,
      ...(block === 0 ? {} : { previous: from(`${name}.check[${block - 1}]`, "hidden") }),
      ...(last ? { end: divergencesOf(name, spec.blocks) } : {}),
    },
    outputs: last
      ? { divergence: { retain: "keep", bytes: 100 } }
      : { hidden: { retain: "transient", bytes: hiddenBytes(spec, text) } },
    estimate: {
      seconds: weights / 1e6 + forwardSeconds(spec, text, false),
      memory: 14 * weights + forwardMemory(spec, false) + 2 * hiddenBytes(spec, text),
    },
    async run(context) {
      const { heldOut } = trialWindows(await storedWindows(await context.input("windows")));
      const forward = await tools.forward(), tensors = await tools.weights.block(block);
      const { bits } = (await context.input("candidate")).value as BitCandidate;
      const quantized = await quantizeTrial(tools, context, {
        ...{ planned, decoding, linears, bitsOf: (layer) => bits[layer] },
        tensors: Object.fromEntries(linears.map(({ name }) => [`${name}.weight`, tensors[`${name}.weight`].slice()])),
        statistics: storedStatistics(await context.input("moments")),
      });
      for (const [layer, values] of quantized) tensors[`${layer}.weight`] = values;
      const run = await forward.openBlock(block, tensors, { gather: "none", output: true, move: true });
      const source = (await entering(planning, tools, { context, block }))(heldOut, STREAM);
      const outputs = await outputsOf(run, planning, { text: heldOut, source, context });
      await run.finish();
      if (!last) {
        await storeStream(context.output("hidden"), outputs, { spec, text: heldOut, stream: STREAM });
        return context.output("hidden").value(null);
      }
      const head = await forward.openHead(await tools.weights.read(headShapes(spec)));
      const [allocated] = await divergences(head, await heldOutStates(await context.input("end")), {
        ...{ streams: [joined(outputs)], hidden: spec.hidden, vocab: spec.vocab, signal: context.signal },
      });
      await head.close();
      const found: CheckedBits = { allocated };
      context.output("divergence").value(found);
      context.measure(found);
    },
  };
}
