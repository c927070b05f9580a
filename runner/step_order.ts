/** Puts steps into an order in which each comes after those whose outputs it takes, and blocks finish one after another. */
import type { Step } from "./stage.ts";

/**
 * Depth-first from the targets in the order given, so that what a step needs runs right before it: in a sequential recipe
 * block 0 is packed before block 1 is calibrated, and hidden states live briefly.
 *
 * @param steps in any order, each id once
 * @returns the same steps, ordered
 * @throws {Error} unknown input, or a circle
 */
export function orderSteps(steps: readonly Step[]): Step[] {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const ordered = new Map<string, Step>();
  const open = new Set<string>();
  const stack: { readonly step: Step; readonly needs: string[] }[] = [];
  const enter = (id: string, by: string) => {
    const step = byId.get(id);
    if (step === undefined) {
      throw new Error(`Cannot order steps as ${by} takes an output of "${id}", which is not a step`);
    }
    if (open.has(id)) throw new Error(`Cannot order steps as "${id}" depends on itself`);
    open.add(id);
    stack.push({ step, needs: Object.values(step.inputs).map((input) => input.step) });
  };
  for (const { id } of steps) {
    if (!ordered.has(id)) enter(id, id);
    while (stack.length > 0) {
      const { step, needs } = stack[stack.length - 1];
      const next = needs.shift();
      if (next === undefined) {
        ordered.set(step.id, step);
        open.delete(step.id);
        stack.pop();
      } else if (!ordered.has(next)) enter(next, step.id);
    }
  }
  return [...ordered.values()];
}
