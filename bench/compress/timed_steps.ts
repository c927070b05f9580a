/** The clock and the memory meter around every step of a run, and what the blocks cost together. */
import type { Step, StepContext, Subject } from "../../runner/mod.ts";
import { QUANTIZING } from "../measure/recipe_run.ts";

/** What one step cost. */
export interface TimedStep {
  readonly id: string;
  readonly stage: string;
  readonly block?: number;
  /** Wall seconds. */
  readonly seconds: number;
  /** Of these, by stage where the step does the work of several: seconds on all cores, so that they may add up to less. */
  readonly credited: Readonly<Record<string, number>>;
  /** Most resident bytes while it ran. */
  readonly memory: number;
}

/** Seconds of one part of the whole, and of what it is made of. */
export interface Part {
  readonly seconds: number;
  /** By stage, in order; the rest is under `OTHER`. */
  readonly stages: Readonly<Record<string, number>>;
}

/** The two parts that are compared. */
export interface Parts {
  readonly quantizing: Part;
  readonly forward: Part;
}

/** Seconds of the quantising steps that no kernel took: reading, decoding, writing, waiting for the last layer. */
export const OTHER = "reading and writing";

/** Stages that pass text through the model. */
const FORWARD: ReadonlySet<string> = new Set(["calibrate", "coarse-search"]);

/** Milliseconds between looks at the memory. */
const INTERVAL = 50;

/**
 * A subject whose steps are measured.
 *
 * @param before called before each step, outside of its time
 * @param steps receives what each step cost, in the order in which they end
 */
export function timeSteps(
  subject: Subject,
  { before, steps }: { readonly before: (step: Step) => Promise<void>; readonly steps: TimedStep[] },
): Subject {
  return {
    ...subject,
    steps: subject.steps.map((step) => ({
      ...step,
      run: async (context) => {
        await before(step);
        steps.push(await measure(step, context));
      },
    })),
  };
}

/** The same subject, but all it is for is the packed model, or its first `blocks` blocks; nothing is evaluated. */
export function packOnly(subject: Subject, blocks: number | undefined): Subject {
  const targets = blocks === undefined ? ["pack"] : Array.from({ length: blocks }, (_, block) => `pack[${block}]`);
  return { ...subject, targets, finish: () => Promise.resolve() };
}

/**
 * Adds up what the steps cost.
 *
 * @param blocks transformer blocks of the whole model: what some of them cost is scaled up to all
 */
export function sumParts(steps: readonly TimedStep[], blocks: number): Parts {
  const part = (chosen: ReadonlySet<string>): Part => {
    const ours = steps.filter(({ stage }) => chosen.has(stage));
    const stages: { [stage: string]: number } = {};
    let seconds = 0;
    const add = (stage: string, more: number) => {
      stages[stage] = (stages[stage] ?? 0) + more;
    };
    for (const stage of new Set(ours.map(({ stage }) => stage))) {
      const those = ours.filter((step) => step.stage === stage);
      const measured = new Set(those.flatMap(({ block }) => block === undefined ? [] : [block])).size;
      for (const { block, seconds: wall, credited } of those) {
        const factor = block === undefined ? 1 : blocks / measured;
        const credits = Object.entries(credited);
        for (const [to, spent] of credits) add(to, factor * spent);
        const rest = factor * (wall - credits.reduce((sum, [, spent]) => sum + spent, 0));
        add(credits.length === 0 ? stage : OTHER, rest);
        seconds += factor * wall;
      }
    }
    const names = Object.keys(stages).sort((a, b) => rank(a) - rank(b));
    return { seconds, stages: Object.fromEntries(names.map((name) => [name, stages[name]])) };
  };
  return { quantizing: part(QUANTIZING), forward: part(FORWARD) };
}

function rank(stage: string): number {
  const at = [...FORWARD, ...QUANTIZING].indexOf(stage);
  return at < 0 ? Infinity : at;
}

async function measure(step: Step, context: StepContext): Promise<TimedStep> {
  const credited: { [stage: string]: number } = {};
  let memory = 0;
  const look = () => {
    memory = Math.max(memory, Deno.memoryUsage().rss);
  };
  const timer = setInterval(look, INTERVAL);
  const began = performance.now();
  try {
    await step.run({
      ...context,
      spent: (stage, seconds) => {
        credited[stage] = (credited[stage] ?? 0) + seconds;
        context.spent(stage, seconds);
      },
    });
    const seconds = (performance.now() - began) / 1000;
    look();
    const { id, stage, block } = step;
    return { id, stage, ...(block === undefined ? {} : { block }), seconds, credited, memory };
  } finally {
    clearInterval(timer);
  }
}
