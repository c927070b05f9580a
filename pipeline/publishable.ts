/** A run as it may be published: finished, all pinned, and what lies in its folder is what its lock says. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { hashContent } from "../files/hash_content.ts";
import { InputError } from "../files/input_error.ts";
import { isObject, type JsonRecord } from "../files/json.ts";
import { findPrivateText, type Private } from "../files/private_text.ts";
import { parseJsonObject, readTextFile } from "../files/text_file.ts";
import { downloadFile, type HubAccess, resolveModel } from "../hub/mod.ts";
import { type Expectations, meets } from "../report/expectation.ts";
import { Metrics } from "../report/mod.ts";
import type { CardText } from "../report/model_card.ts";
import { JOURNAL, LOCK } from "../runner/journal.ts";
import type { RunLock } from "../runner/lock.ts";
import { PACKED_WEIGHTS } from "../stages/artifacts.ts";
import { contentHash, type LockedInputs, lockedMetrics, type LockedOutcome } from "./lock_record.ts";
import { checkFiles, checkMetrics } from "./verdict.ts";

/** A run that is looked at. */
export interface RunClaim {
  /** The run's. */
  readonly folder: string;
  /** For messages. */
  readonly label: string;
  readonly lock: RunLock;
  readonly inputs: LockedInputs;
  readonly outcome: LockedOutcome;
}

/** A file of a run that is published. */
export interface PublishedFile {
  /** From the run's folder, with forward slashes. */
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  /** Where it lies. */
  readonly file: string;
}

/** What is published of a run. */
export interface Publishable {
  readonly metrics: Metrics;
  readonly files: readonly PublishedFile[];
  readonly recipe: { readonly name?: string; readonly description?: string; readonly expect?: Expectations };
  /** The model of the hub that was compressed; undefined where the lock names files alone. */
  readonly base: BaseModel | undefined;
  /** By evaluation, and `calibration`. */
  readonly texts: Readonly<Record<string, CardText>>;
  /** Files of code of one's own that the recipe uses; they are not published. */
  readonly code: readonly string[];
  /** Evaluations that miss what the recipe expects. */
  readonly missed: readonly string[];
}

/** A model of the hub at a commit. */
export interface BaseModel {
  readonly id: string;
  readonly commit: string;
}

/** Data sets of the hub by their names in recipes, as cards name them. */
export const DATASETS: ReadonlyMap<string, CardText> = new Map([
  ["wikitext2", { type: "Salesforce/wikitext", config: "wikitext-2-raw-v1" }],
  ["ptb", { type: "ptb-text-only/ptb_text_only", config: "penn_treebank" }],
  ["c4", { type: "allenai/c4", config: "en" }],
]);

/** Largest file that is looked through for secrets; reports and tokenizers are smaller. */
const MOST_TEXT = 1 << 26;

/**
 * Looks whether a run may be published.
 *
 * @throws {InputError} saying what is missing, has changed since the run, or is not pinned
 */
export async function openPublishable(claim: RunClaim): Promise<Publishable> {
  const { folder, label, lock, inputs, outcome } = claim;
  const fail = (why: string): never => {
    throw new InputError(`Cannot push ${label}: ${why}`);
  };
  if (!existsSync(join(folder, JOURNAL))) {
    fail("it is no folder of a run of this machine, but a lock or a copy; push the run itself");
  }
  if (!Object.hasOwn(outcome.model, PACKED_WEIGHTS)) fail("its run packed no model; it has no `pack` stage");
  const changed = (await checkFiles(outcome.model, join(folder, "model"))).find(({ same }) => !same);
  if (changed !== undefined) {
    const how = changed.sha256 === undefined ? "is not there any more" : "is not what the run wrote";
    fail(`model/${changed.name} ${how}; run the recipe again, which takes it from the cache`);
  }
  for (const name of ["metrics.json", "report.html"]) {
    if (!existsSync(join(folder, name))) fail(`${name} is not there any more; run the recipe again`);
  }
  const metrics = await readMetrics(join(folder, "metrics.json"), `metrics.json of ${label}`);
  if (checkMetrics(outcome, lockedMetrics(metrics), { claimed: true }).some(({ same }) => !same)) {
    fail("metrics.json does not say what the lock says; run the recipe again");
  }
  const { name, description, expect, model, use } = lock.recipe;
  const recipe = {
    ...(typeof name === "string" ? { name } : {}),
    ...(typeof description === "string" ? { description } : {}),
    ...(isObject(expect) ? { expect: expect as unknown as Expectations } : {}),
  };
  const missed = Object.entries(recipe.expect ?? {}).filter(([name, expected]) =>
    !meets(metrics.perplexity[name]?.compressed ?? NaN, expected)
  ).map(([name]) => name);
  const paths = [LOCK, "metrics.json", "report.html", ...Object.keys(outcome.model).map((file) => `model/${file}`)];
  const files = await Promise.all(paths.map(async (path): Promise<PublishedFile> => {
    const file = join(folder, path);
    return { path, file, ...await hashContent(file) };
  }));
  const code = Array.isArray(use) ? use.map((file) => basename(String(file))) : [];
  return { metrics, recipe, files, missed, code, base: baseOf(model, fail), texts: textsOf(inputs, fail) };
}

/**
 * Holds the files that a run has read against those of a model of the hub.
 *
 * @throws {InputError} naming the first file that the hub has not, or has with another content
 */
export async function checkBase(
  { id, commit }: BaseModel,
  { inputs }: Pick<RunClaim, "inputs">,
  access: HubAccess,
): Promise<void> {
  const repo = await resolveModel(id, commit, access), files = [...repo.files.values()];
  const fail = (why: string): never => {
    throw new InputError(`Cannot take ${id}@${commit.slice(0, 8)} for the base model: ${why}`);
  };
  const read = inputs.files.filter(({ of }) => of === "model");
  if (read.length === 0) {
    fail("the lock does not say which files of the model were read, as an older version made it; run again");
  }
  for (const { name, bytes, sha256 } of read) {
    if (files.some((file) => file.sha256 === sha256)) continue;
    const same = repo.files.get(name);
    // Small files have no such hash on the hub.
    if (same !== undefined && same.sha256 === undefined && same.size === bytes) {
      if ((await hashContent(await downloadFile(repo, name, access))).sha256 === sha256) continue;
    }
    fail(`it has no file with the content of ${name} (${bytes} bytes, sha256 ${sha256}) that the run has read`);
  }
  const { config } = inputs.model;
  if (config === undefined || !repo.files.has("config.json")) return;
  const path = await downloadFile(repo, "config.json", access), label = `config.json of ${id}`;
  const theirs = parseJsonObject(await readTextFile(path, { wanted: "JSON", label }), label);
  if (contentHash(theirs) !== config) fail("its config.json is not the one that the run has read");
}

/**
 * Looks through what is to be published for what is nobody's business.
 *
 * @param texts by path, such as a card that lies nowhere yet
 * @throws {InputError} naming file and line
 */
export async function refusePrivate(
  files: readonly Pick<PublishedFile, "path" | "file">[],
  texts: Readonly<Record<string, string>>,
  secrets: Omit<Private, "paths">,
): Promise<void> {
  const look = (path: string, text: string) => {
    // Vocabularies and configs are the base model's, and have words that look like paths and names.
    const told = findPrivateText(
      text,
      path.startsWith("model/") ? { tokens: secrets.tokens } : { ...secrets, paths: true },
    );
    if (told === undefined) return;
    throw new InputError(`Cannot push ${path}: line ${told.line} has ${told.what}, which is not to be shared`);
  };
  for (const [path, text] of Object.entries(texts)) look(path, text);
  for (const { path, file } of files) {
    if (path.endsWith(".safetensors") || statSync(file).size > MOST_TEXT) continue;
    look(path, await Promise.resolve(readFileSync(file, "utf8")));
  }
}

function baseOf(model: unknown, fail: (why: string) => never): BaseModel | undefined {
  if (!isObject(model) || typeof model.hub !== "string") return undefined;
  const { hub: id, revision } = model;
  if (typeof revision === "string" && /^[0-9a-f]{40}$/.test(revision)) return { id, commit: revision };
  return fail(
    `its model ${id} is not pinned: the lock names revision ${JSON.stringify(revision)}, which may move; run it again`,
  );
}

function textsOf({ texts, files }: LockedInputs, fail: (why: string) => never): Record<string, CardText> {
  return Object.fromEntries(
    Object.entries(texts).map(([name, identity]): [string, CardText] => {
      const { text: said, questions }: JsonRecord = isObject(identity) ? identity : {};
      const text = isObject(said) ? said : isObject(questions) ? questions : {};
      const hashes = isObject(text.files) ? Object.values(text.files) : [text.sha256];
      const pinned = hashes.length > 0 && hashes.every((hash) => /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(String(hash)));
      if (!pinned) fail(`its text ${name} is not pinned by hashes of its content; run it again`);
      const place = DATASETS.get(String(text.kind));
      if (place !== undefined) return [name, place];
      const file = files.find(({ of }) => of === name);
      return [name, {
        type: typeof text.dataset === "string" ? text.dataset : name,
        ...(file === undefined ? {} : { file }),
      }];
    }),
  );
}

async function readMetrics(path: string, label: string): Promise<Metrics> {
  const read = Metrics.safeParse(parseJsonObject(await readTextFile(path, { wanted: "JSON", label }), label));
  if (read.success) return read.data;
  throw new InputError(`Cannot read ${label}: ${read.error.issues[0].path.join(".") || "it"} is not what it should be`);
}
