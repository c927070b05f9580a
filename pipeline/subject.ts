/** A recipe opened: its model, texts and device looked at, its steps planned; and its result, once all steps are there. */
import { basename } from "node:path";
import { inMemoryHashes, steadyHashes } from "../files/file_hashes.ts";
import { formatBytes } from "../files/format_bytes.ts";
import { withoutReading } from "../files/unread_hashes.ts";
import { type HubAccess, resolveModel } from "../hub/mod.ts";
import type { ProviderChoice } from "../models/provider.ts";
import type { ModelSpec } from "../models/spec.ts";
import type { RecipeLanguage } from "../recipes/language.ts";
import { renderRecipe } from "../recipes/recipe.ts";
import type { DeviceRecord, Json, OpenOptions, Step, Subject } from "../runner/stage.ts";
import { orderSteps } from "../runner/step_order.ts";
import type { Roles } from "../stages/artifacts.ts";
import type { Planning, Stage } from "../stages/planning.ts";
import { languageWith, type Recipe } from "../stages/schema.ts";
import { codeOfTools, openTools, type ToolShelves } from "../stages/tools/mod.ts";
import type { TaskRequest } from "../stages/tools/tasks.ts";
import type { TextRequest } from "../stages/tools/text.ts";
import { openWeights, type Weights } from "../stages/tools/weights.ts";
import { storedTokenizer } from "../tokenizers/tokenizer.ts";
import { codeOf, type CodeOptions } from "./code.ts";
import { chooseDevice, chooseForward, type DeviceChoice } from "./device.ts";
import { identify } from "./identities.ts";
import { describedBy, inputFiles, taskText, versions } from "./lock_record.ts";
import { pluginOf, recordOf } from "./plugins.ts";
import { resultInputs, writeResult } from "./result.ts";
import { shareablePath, withoutFolders } from "./shareable_path.ts";
import { openTasks } from "./tasks.ts";
import { openTexts } from "./texts.ts";
import { tuningFile } from "./tuning_file.ts";

/** How devices are chosen. */
export interface Machine {
  readonly chooseDevice: (wanted: OpenOptions["device"]) => Promise<DeviceChoice>;
  readonly chooseForward: (
    spec: ModelSpec,
    device: DeviceChoice,
    options: { readonly wanted?: OpenOptions["forward"]; readonly length: number },
  ) => Promise<ProviderChoice>;
  /** Opens the model; by default the one that the recipe names. */
  readonly openWeights?: typeof openWeights;
  /** Where runs leave what is costly to open for the next; by default nothing outlives a run. */
  readonly shelves?: ToolShelves;
  /** Folder of the sources that keys cover; default: this project. */
  readonly root?: string;
}

/** A stage that the recipe names, with its settings. */
interface Named {
  readonly stage: Stage;
  readonly settings: unknown;
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
  const { purpose, hashes: memo = inMemoryHashes(), cache, progress = () => {} } = options;
  const warnings: string[] = [];
  const warn = (message: string) => {
    warnings.push(message);
    options.warn?.(message);
  };
  const device = await machine.chooseDevice(options.device);
  const hashed = new Map<string, string>();
  const found = (path: string, sha256: string) => void hashed.set(path, sha256);
  const hashes = purpose === "run" ? { ...memo, tell: progress, found } : withoutReading(memo, ({ path, size }) =>
    warn(
      `${basename(path)} (${formatBytes(size)}) is new here and was not read: a run hashes it first, and may then ` +
        "find steps in the cache",
    ));
  const hub: HubAccess = { cache, hashes, warn, progress };
  const weights = await (machine.openWeights ?? openWeights)(recipe.model, { ...hub, purpose });
  const { checkpoint, spec } = weights;
  try {
    const named = stages.filter(({ name }) => recipe.stages[name] !== undefined)
      .map((stage): Named => ({ stage, settings: recipe.stages[stage.name] }));
    const roles: Partial<Roles> = Object.assign({}, ...named.map(({ stage, settings }) => stage.offer(settings, spec)));
    for (const { stage, settings } of named) stage.check?.({ spec, roles }, settings);
    const requests = named.flatMap(({ stage, settings }) => stage.texts?.(settings, spec) ?? []);
    // Files that are of no use where windows are stored ids, but the packed model takes along what they amount to.
    if (roles.packed && checkpoint.tokenizer) storedTokenizer(checkpoint.tokenizer);
    const access = { hashes: steadyHashes(hashes), hub };
    const texts = await openTexts(requests, { checkpoint, spec, access, warn });
    const asked = named.flatMap(({ stage, settings }) => stage.tasks?.(settings) ?? []);
    const tasks = await openTasks(asked, { checkpoint, access });
    const length = Math.max(1, ...[...texts.values(), ...tasks.values()].map(({ length }) => length));
    const forward = await machine.chooseForward(spec, device, { wanted: options.forward, length });
    const { tools, close } = openTools({
      ...{ checkpoint, spec, access, weights, provider: forward.provider },
      ...device.kind === "webgpu" ? { gpu: { tuning: tuningFile(cache), apart: options.debug ?? false } } : {},
    }, machine.shelves);
    const { quantized } = roles, code: Record<string, string> = {};
    const plugin = quantized?.source && pluginOf(quantized.source);
    const used: Omit<CodeOptions, "device"> = {
      ...(quantized ? { methods: [plugin?.code ?? quantized.stage], formats: [quantized.format] } : {}),
      families: [spec.family],
      root: machine.root,
    };
    const planning: Planning = {
      spec,
      identities: await identify(checkpoint, spec),
      architecture: architectureOf(spec),
      text(id) {
        const found = texts.get(id);
        if (found === undefined) throw new RangeError(`Cannot plan with text "${id}" as no stage has asked for it`);
        return found;
      },
      task(id) {
        const found = tasks.get(id);
        if (found === undefined) throw new RangeError(`Cannot plan with task "${id}" as no stage asks it`);
        return found;
      },
      device: device.kind,
      forward,
      roles,
      warn,
      use(source, names, { methods = [], formats = [] } = {}) {
        const user = [basename(source, ".ts"), ...names, ...methods, ...formats].join(" ");
        const { files, device: where } = codeOfTools(names, device.kind);
        const all = {
          ...used,
          ...(used.methods ? { methods: [...new Set([...used.methods, ...methods])] } : {}),
          ...(used.formats ? { formats: [...new Set([...used.formats, ...formats])] } : {}),
        };
        // Blocks of one stage have the same code.
        const hash = code[user] ??= codeOf(source, files, { ...all, device: where }).hash;
        return { tools, code: hash };
      },
    };
    const steps = orderSteps(named.flatMap(({ stage, settings }) => stage.plan(planning, settings)));
    const record: DeviceRecord = {
      ...{ kind: device.kind, name: device.name, why: withoutFolders(device.why) },
      forward: { ...forward, why: withoutFolders(forward.why) },
    };
    const { schema } = languageWith(stages);
    const commit = purpose === "run" && "hub" in recipe.model ? await commitOf(recipe.model, hub) : undefined;
    const opened = {
      recipe,
      schema,
      planning,
      weights,
      requests,
      asked,
      record,
      warnings,
      code,
      commit,
      hashed,
      close,
    };
    return makeSubject(opened, steps);
  } catch (error) {
    weights.close();
    throw error;
  }
}

interface Opened {
  readonly recipe: Recipe;
  readonly schema: RecipeLanguage["schema"];
  readonly planning: Planning;
  readonly weights: Weights;
  readonly requests: readonly TextRequest[];
  readonly asked: readonly TaskRequest[];
  readonly record: DeviceRecord;
  readonly warnings: readonly string[];
  /** Hashes of code by what uses it. */
  readonly code: Readonly<Record<string, string>>;
  /** Of a model of the hub. */
  readonly commit: string | undefined;
  /** Hashes of the files of weights that lie here, by their real paths. */
  readonly hashed: ReadonlyMap<string, string>;
  close(): Promise<void>;
}

function makeSubject(
  { recipe, schema, planning, weights: { checkpoint }, requests, asked, record, warnings, code, commit, hashed, close }:
    Opened,
  steps: readonly Step[],
): Subject {
  const { roles: { packed, perplexity, tasks, quantized }, identities } = planning;
  const measured = [
    ...[...perplexity?.of.values() ?? [], ...tasks?.of.values() ?? []].flatMap(({ original, compressed }) => [
      original,
      compressed,
    ]),
    ...[...perplexity?.of.values() ?? []].flatMap(({ away, divergence = [] }) => [away, divergence].flat()),
  ];
  const ids = new Set(steps.map(({ id }) => id));
  const targets = [...(packed ? [packed.model] : []), ...measured].filter(({ step }) => ids.has(step));
  const texts = [
    ...requests.map(({ id, name, dataset }) => ({ name, identity: planning.text(id).identity, file: fileOf(dataset) })),
    ...asked.map(({ id, name, file }) => ({ name: taskText(name), identity: planning.task(id).identity, file })),
  ];
  return {
    method: quantized?.method ?? "none",
    model: checkpoint.label,
    device: record,
    warnings,
    steps,
    targets: targets.map(({ step }) => step),
    read: resultInputs(planning),
    lock: () => ({
      model: {
        ...{ label: checkpoint.label, ...(commit === undefined ? {} : { commit }), weights: identities.rest },
        ...describedBy(checkpoint),
      },
      files: inputFiles(recipe, hashed, texts),
      texts: Object.fromEntries(texts.map(({ name, identity }) => [name, identity])),
      device: { ...record },
      deno: Deno.version.deno,
      ...versions(),
      code: { ...code },
      ...(recipe.use ? { use: recipe.use.map(recordOf) } : {}),
    }),
    renderRecipe: (folder) =>
      renderRecipe({ schema }, pinned(recipe, commit), { pathOf: (path) => shareablePath(path, folder) }),
    finish: (context) => writeResult(planning, context, { checkpoint, device: record }),
    close,
  };
}

function fileOf(dataset: TextRequest["dataset"]): string | undefined {
  if (typeof dataset === "string") return undefined;
  return "windows" in dataset ? dataset.windows : dataset.text;
}

/** The commit that a model's revision is. */
async function commitOf(
  { hub: id, revision }: Extract<Recipe["model"], { hub: string }>,
  access: HubAccess,
): Promise<string> {
  return /^[0-9a-f]{40}$/.test(revision) ? revision : (await resolveModel(id, revision, access)).commit;
}

/** A recipe that names a commit where it named what moves. */
function pinned(recipe: Recipe, commit: string | undefined): Recipe {
  return "hub" in recipe.model && commit !== undefined
    ? { ...recipe, model: { ...recipe.model, revision: commit } }
    : recipe;
}

/** What of the config enters a forward pass. */
function architectureOf(spec: ModelSpec): Json {
  const { blocks: _blocks, bos: _bos, eos: _eos, ...rest } = spec;
  return structuredClone(rest) as unknown as Json;
}
