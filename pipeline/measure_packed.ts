/** Measures a packed model by itself, without the model that it was made from: the perplexities and accuracies that its recipe asks for. */
import { openPacked } from "../checkpoints/packed/open.ts";
import { InputError } from "../files/input_error.ts";
import type { OpenOptions, OutputRef, Subject } from "../runner/stage.ts";
import type { Roles } from "../stages/artifacts.ts";
import { evaluate } from "../stages/evaluate.ts";
import type { Stage } from "../stages/planning.ts";
import type { Recipe } from "../stages/schema.ts";
import { weightsOf } from "../stages/tools/weights.ts";
import { chooseDevice, chooseForward } from "./device.ts";
import { openSubject } from "./subject.ts";

/** A packed model that is to be measured. */
export interface Measurement {
  /** Only the steps that measure it. */
  readonly subject: Subject;
  /** What is run. */
  readonly recipe: Recipe;
  /** Its perplexities, by text. */
  readonly losses: ReadonlyMap<string, OutputRef>;
  /** Its scores, by zero-shot task. */
  readonly scores: ReadonlyMap<string, OutputRef>;
}

/** Stands for the packed model among what stages hand on, as no step makes it. */
const NOWHERE = { model: { step: "pack", output: "model" }, formats: [] } as unknown as Roles["packed"];

/**
 * Opens a packed model for measuring: its decoded weights stand in the place of an original model's.
 *
 * @param folder of the packed model
 * @throws {InputError} the recipe measures nothing; the model or a text cannot be read
 */
export async function openMeasurement(recipe: Recipe, folder: string, options: OpenOptions): Promise<Measurement> {
  const { evaluate: settings } = recipe.stages;
  if (settings === undefined || settings.perplexity.length + settings.tasks.length === 0) {
    throw new InputError("Cannot measure the packed model again as its recipe measures nothing: it has no `evaluate`");
  }
  let offered: Partial<Roles> = {};
  const measuring: Stage<typeof settings> = {
    ...evaluate,
    needs: [],
    offer: (settings, spec) => offered = evaluate.offer(settings, spec),
    plan: (planning, settings) =>
      evaluate.plan({ ...planning, roles: { ...planning.roles, packed: NOWHERE } }, settings)
        .filter(({ inputs }) => !Object.hasOwn(inputs, "model")),
  };
  const measured: Recipe = { model: { path: folder }, stages: { evaluate: settings } };
  const machine = { chooseDevice, chooseForward, openWeights: async () => await weightsOf(await openPacked(folder)) };
  const subject = await openSubject([measuring as Stage], measured, options, machine);
  const originals = (of: ReadonlyMap<string, { readonly original: OutputRef }> = new Map()) =>
    new Map([...of].map(([name, { original }]) => [name, original]));
  return { subject, recipe: measured, losses: originals(offered.perplexity?.of), scores: originals(offered.tasks?.of) };
}
