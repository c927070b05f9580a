/** The steps of coarse-search where it allocates bits: what each layer gets, and whether that stays. */
import { redundancy } from "../models/similarity.ts";
import type { Similarity } from "../models/forward.ts";
import { blockLinears } from "../models/tensors.ts";
import type { Step } from "../runner/stage.ts";
import { allocateBits, shareDivergence, wishesByRedundancy, wishOf } from "./allocation.ts";
import { type BitAllocation, type BitCandidate, type BitCheck, from, type Roles } from "./artifacts.ts";
import { bitsCheckStep, type CheckedBits, checkedOf } from "./bits_check.ts";
import type { Planning } from "./planning.ts";
import { type BlockChanges, changesOf, type Divergences, divergencesOf, sensitivityStep } from "./sensitivity.ts";

/** What the steps depend on. */
export interface BitsOptions {
  /** The stage. */
  readonly name: string;
  /** Recipe paths. */
  readonly paths: { readonly bits: string; readonly spread: string; readonly similarity: string };
}

/** Where the bits are. */
export function bitsOf(name: string) {
  return from(name, "bits");
}

/**
 * The last step where nothing is checked: bits by the redundancy of blocks, or the same for all.
 *
 * @param inputs what is measured of each block, in their order; none for the same bits everywhere
 */
export function redundancyBits(
  planning: Planning,
  { name, paths }: BitsOptions,
  inputs: Step["inputs"],
): Step {
  const { spec } = planning, { code } = planning.use(import.meta.url, []), ranked = Object.keys(inputs).length > 0;
  return {
    ...lastStep(planning, name),
    code,
    reads: [paths.bits, ...(ranked ? [paths.spread, paths.similarity] : [])],
    inputs,
    async run(context) {
      const measured: number[] = [];
      for (const name of Object.keys(inputs)) {
        const { similarity } = (await context.input(name)).value as {
          readonly similarity: Pick<Similarity, keyof Similarity>;
        };
        measured.push(redundancy(similarity, context.param(paths.similarity)));
      }
      const mean = context.param<number>(paths.bits), spread = ranked ? context.param<number>(paths.spread) : 0;
      const wishes = ranked ? wishesByRedundancy(measured, spread) : [];
      const layers = sizesOf(spec).map((layer) => ({ ...layer, wish: wishes[layer.block] ?? 0 }));
      const bits = byName(layers, allocateBits(layers, { bits: mean, spread }));
      const found: BitAllocation = {
        ...{ bits, mean, measured: Object.fromEntries(measured.map((value, block) => [`${block}`, value])) },
      };
      context.output("bits").value(found);
      context.measure(found);
    },
  };
}

/** The steps where layers are measured: what they are sensitive to, the bits that follow, how these do, and the choice. */
export function sensitivityBits(
  planning: Planning,
  { name, paths }: BitsOptions,
  statistics: Roles["statistics"],
): Step[] {
  const { spec } = planning, blocks = Array.from({ length: spec.blocks }, (_, block) => block);
  const options = { name, statistics, bits: paths.bits }, candidate = from(`${name}.candidate`, "bits");
  return [
    ...blocks.map((block) => sensitivityStep(planning, block, options)),
    candidateStep(planning, { name, paths }),
    ...blocks.map((block) => bitsCheckStep(planning, block, { ...options, candidate })),
    choiceStep(planning, { name, paths }),
  ];
}

function candidateStep(planning: Planning, { name, paths }: BitsOptions): Step {
  const { spec } = planning, { code } = planning.use(import.meta.url, []);
  const changes = Array.from({ length: spec.blocks }, (_, block) => changesOf(name, block).changes);
  return {
    ...lastStep(planning, name),
    id: `${name}.candidate`,
    code,
    reads: [paths.bits, paths.spread],
    inputs: {
      divergences: divergencesOf(name, spec.blocks),
      ...Object.fromEntries(changes.map((ref, block) => [`block ${block}`, ref])),
    },
    async run(context) {
      const { blocks } = (await context.input("divergences")).value as Divergences;
      const measured: Record<string, number> = {};
      for (const [block, divergence] of blocks.entries()) {
        const { layers } = (await context.input(`block ${block}`)).value as BlockChanges;
        const shares = shareDivergence(divergence, Object.values(layers));
        Object.keys(layers).forEach((layer, i) => measured[layer] = shares[i]);
      }
      const layers = sizesOf(spec).map((layer) => ({ ...layer, wish: wishOf(measured[layer.name], layer.weights) }));
      const budget = { bits: context.param<number>(paths.bits), spread: context.param<number>(paths.spread) };
      const found: BitCandidate = { bits: byName(layers, allocateBits(layers, budget)), measured };
      context.output("bits").value(found);
      context.measure(found);
    },
  };
}

function choiceStep(planning: Planning, { name, paths }: BitsOptions): Step {
  const { spec } = planning, { code } = planning.use(import.meta.url, []);
  return {
    ...lastStep(planning, name),
    code,
    reads: [paths.bits],
    inputs: {
      candidate: from(`${name}.candidate`, "bits"),
      uniform: divergencesOf(name, spec.blocks),
      allocated: checkedOf(name, spec.blocks),
    },
    async run(context) {
      const { bits, measured } = (await context.input("candidate")).value as BitCandidate;
      const { uniform } = (await context.input("uniform")).value as Divergences;
      const { allocated } = (await context.input("allocated")).value as CheckedBits;
      const mean = context.param<number>(paths.bits);
      const check: BitCheck = { uniform, allocated, kept: allocated < uniform };
      if (!check.kept) planning.warn(fallback(paths.bits, check));
      const same = Object.fromEntries(Object.keys(bits).map((layer) => [layer, mean]));
      const found: BitAllocation = { bits: check.kept ? bits : same, mean, measured, check };
      context.output("bits").value(found);
      context.measure(found);
    },
  };
}

function fallback(path: string, { uniform, allocated }: BitCheck): string {
  return `All layers have the same bits (${path}), as those found by sensitivity did no better on calibration windows held out: ` +
    `a divergence of ${allocated.toPrecision(4)} nats a token, ${uniform.toPrecision(4)} with the same for all`;
}

/** What the steps that only calculate have in common. */
function lastStep({ spec }: Planning, name: string): Omit<Step, "code" | "reads" | "inputs" | "run"> {
  return {
    id: bitsOf(name).step,
    stage: name,
    facts: { blocks: spec.blocks, layers: sizesOf(spec).map(({ weights }) => weights) },
    outputs: { bits: { retain: "keep", bytes: 40 * sizesOf(spec).length } },
    estimate: { seconds: 0.01, memory: 1e6 },
  };
}

function sizesOf(spec: Planning["spec"]) {
  return Array.from(
    { length: spec.blocks },
    (_, block) => blockLinears(spec, block).map(({ name, rows, cols }) => ({ name, block, weights: rows * cols })),
  ).flat();
}

function byName(layers: readonly { readonly name: string }[], bits: readonly number[]): Record<string, number> {
  return Object.fromEntries(layers.map(({ name }, i) => [name, bits[i]]));
}
