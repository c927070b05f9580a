/** A recipe opened: its model, texts and device looked at, its steps planned; and its result, once all steps are there. */
import { basename } from "node:path";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { inMemoryHashes } from "../files/file_hashes.ts";
import { InputError } from "../files/input_error.ts";
import { type DatasetAccess, describeDataset, openTokenizer } from "../datasets/mod.ts";
import type { HubAccess } from "../hub/mod.ts";
import { modelSpec } from "../models/config.ts";
import { openModel } from "../models/open_model.ts";
import type { ProviderChoice } from "../models/provider.ts";
import { checkWindow } from "../models/sliding_window.ts";
import type { ModelSpec } from "../models/spec.ts";
import { blockLinears } from "../models/tensors.ts";
import type { Recipe } from "../stages/schema.ts";
import type { Json, OpenOptions, Step, Subject } from "../runner/stage.ts";
import { chooseDevice, chooseForward, type DeviceChoice } from "./device.ts";
import { perplexityOf } from "../stages/evaluate.ts";
import { PACKED_MODEL } from "../stages/pack.ts";
import { deviceRecord, identify, type Planning, type Stage, type TextFacts } from "../stages/planning.ts";
import { writeResult } from "./result.ts";
import { orderSteps } from "../runner/step_order.ts";
import { evaluationsOf, Tools } from "../stages/tools.ts";
import { withoutReading } from "../files/unread_hashes.ts";

/** How devices are chosen. */
export interface Machine {
  readonly chooseDevice: (wanted: OpenOptions["device"]) => Promise<DeviceChoice>;
  readonly chooseForward: (
    spec: ModelSpec,
    device: DeviceChoice,
    options: { readonly wanted?: OpenOptions["forward"]; readonly length: number },
  ) => Promise<ProviderChoice>;
}

/**
 * Opens a recipe for planning or running.
 *
 * @param stages the pipeline's, in order
 * @param machine by default this one
 * @throws {InputError} model or text is missing, malformed, or does not fit the recipe
 */
export async function openSubject(
  stages: readonly Stage[],
  recipe: Recipe,
  options: OpenOptions,
  machine: Machine = { chooseDevice, chooseForward },
): Promise<Subject> {
  const { purpose, hashes: memo = inMemoryHashes(), cache, warn = () => {}, progress = () => {} } = options;
  const device = await machine.chooseDevice(options.device);
  const hashes = purpose === "run" ? { ...memo, tell: progress } : withoutReading(memo, ({ path, size }) =>
    warn(
      `${basename(path)} (${
        (size / 1e9).toFixed(2)
      } GB) is new here and was not read: a run hashes it first, and may then ` +
        `find steps in the cache`,
    ));
  const hub: HubAccess = { cache, hashes, warn, progress };
  const checkpoint = await openModel(recipe.model, { ...hub, purpose });
  try {
    const spec = modelSpec(checkpoint.config);
    checkShapes(spec, recipe);
    const access = { hashes, hub };
    const texts = await describeTexts(recipe, checkpoint, spec, access);
    const length = Math.max(...[texts.calibration, ...texts.evaluations.values()].map(({ length }) => length));
    checkWindow(spec, length);
    const forward = await machine.chooseForward(spec, device, { wanted: options.forward, length });
    const planning: Planning = {
      recipe,
      checkpoint,
      spec,
      device,
      forward,
      architecture: architectureOf(spec),
      identities: await identify(checkpoint, spec),
      ...texts,
      tools: new Tools({
        ...{ recipe, checkpoint, spec, access, warn },
        device: device.kind,
        provider: forward.provider,
        debug: options.debug ?? false,
      }),
    };
    return makeSubject(planning, orderSteps(stages.flatMap((stage) => stage.plan(planning))));
  } catch (error) {
    checkpoint.close();
    throw error;
  }
}

function makeSubject(planning: Planning, steps: readonly Step[]): Subject {
  const { checkpoint, spec, evaluations, calibration, identities, tools } = planning;
  const device = deviceRecord(planning);
  const losses = [...evaluations.keys()].flatMap((name) =>
    (["original", "compressed"] as const).map((variant) => perplexityOf(name, variant, spec).step)
  );
  return {
    method: "pbs2p",
    model: checkpoint.label,
    device,
    steps,
    targets: [PACKED_MODEL.step, ...losses],
    lock: () => ({
      model: { label: checkpoint.label, weights: identities.rest },
      texts: {
        calibration: calibration.identity,
        ...Object.fromEntries([...evaluations].map(([name, { identity }]) => [name, identity])),
      },
      device: { ...device, forward: { ...planning.forward } },
      deno: Deno.version.deno,
      code: { ...tools.sources },
    }),
    finish: (context) => writeResult(planning, context),
    close: () => tools.close(),
  };
}

/** N:M must fit every layer: a run of M inputs may not cross a column block or the layer's end. */
function checkShapes(spec: ModelSpec, { stages }: Recipe): void {
  const { of } = stages["coarse-search"];
  if (stages["fine-search"].type !== "semi-structured") return;
  for (const { name, cols } of blockLinears(spec, 0)) {
    if (cols % of !== 0) {
      throw new InputError(`Cannot prune "${name}" to N:${of} as its ${cols} inputs must be a multiple of ${of}`);
    }
  }
}

/** What of the config enters a forward pass. */
function architectureOf(spec: ModelSpec): Json {
  const { blocks: _blocks, bos: _bos, eos: _eos, ropeScaling, ...rest } = spec;
  return { ...rest, ropeScaling: { ...ropeScaling } };
}

async function describeTexts(
  recipe: Recipe,
  { tokenizer }: Checkpoint,
  spec: ModelSpec,
  access: Omit<DatasetAccess, "split">,
): Promise<Pick<Planning, "calibration" | "evaluations">> {
  const { dataset, samples, length } = recipe.stages.calibrate;
  const print = (data: typeof dataset) =>
    typeof data === "object" && "windows" in data ? null : tokenizer ? openTokenizer(tokenizer).fingerprint() : null;
  const described = await describeDataset(dataset, { ...access, split: "calibration" });
  const calibration: TextFacts = {
    identity: { text: described.identity, tokenizer: print(dataset) },
    windows: samples,
    length,
  };
  const evaluations = new Map<string, TextFacts>();
  for (const [name, entry] of evaluationsOf(recipe)) {
    const { identity } = await describeDataset(entry.dataset, { ...access, split: "evaluation" });
    const limits = { samples: entry.samples ?? null, length: entry.length ?? null };
    evaluations.set(name, {
      identity: { text: identity, tokenizer: print(entry.dataset), ...limits, longest: spec.maxPositions },
      windows: entry.samples ?? 200,
      length: entry.length ?? Math.min(2048, spec.maxPositions),
    });
  }
  return { calibration, evaluations };
}
