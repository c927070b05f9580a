/**
 * What a run's lock says of its inputs and of the machine (`lock`), and of what came of it (`outcome`): all that another machine needs to
 * make the same again and to know whether it did. No paths, and nothing of who ran it.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { basename, join, relative } from "node:path";
import * as z from "zod";
import type { Checkpoint } from "../checkpoints/checkpoint.ts";
import { InputError } from "../files/input_error.ts";
import type { Json, JsonRecord } from "../files/json.ts";
import type { Metrics } from "../report/mod.ts";
import type { RunLock } from "../runner/lock.ts";
import type { Recipe } from "../stages/schema.ts";
import { storedTokenizer } from "../tokenizers/tokenizer.ts";

const Hash = z.string().regex(/^[0-9a-f]{64}$/);
const Bytes = z.int().min(0);
/** A file that must be there. */
const InputFile = z.strictObject({
  of: z.string().describe("`model`, or the name of the text"),
  name: z.string().regex(/^(?![/\\])(?!.*(^|[/\\])\.\.([/\\]|$))[^\0]+$/, "no way out of its folder").describe(
    "In the model's folder, or the text's file",
  ),
  bytes: Bytes,
  sha256: Hash,
});
/** A file that must be there, as a lock names it. */
export type InputFile = z.infer<typeof InputFile>;

/** What a lock says of inputs and machine, as far as checking relies on it. */
export const LockedInputs = z.looseObject({
  model: z.looseObject({
    label: z.string(),
    weights: Hash,
    config: Hash.optional(),
    tokenizer: Hash.nullable().optional(),
    generation: Hash.nullable().optional(),
  }),
  files: z.array(InputFile).max(100_000).default([]),
  texts: z.record(z.string(), z.json()),
  device: z.looseObject({
    kind: z.string(),
    name: z.string(),
    forward: z.looseObject({ provider: z.string() }).optional(),
  }),
  deno: z.string(),
  pbs2p: z.string().optional(),
  packages: z.record(z.string(), z.string()).optional(),
  code: z.record(z.string(), z.string()),
});
export type LockedInputs = z.infer<typeof LockedInputs>;

const perplexity = z.union([z.number(), z.enum(["Infinity", "NaN"])]);
const share = z.number().min(0).max(1);
const accuracy = z.strictObject({ acc: share, acc_norm: share.optional() });
/** What a lock says of the outcome besides the steps. */
export const LockedOutcome = z.looseObject({
  model: z.record(z.string().regex(/^[A-Za-z0-9_][\w.-]*$/), z.strictObject({ bytes: Bytes, sha256: Hash })).default(
    {},
  ),
  metrics: z.strictObject({
    perplexity: z.record(
      z.string(),
      z.strictObject({
        ...{ original: perplexity, compressed: perplexity, tokens: Bytes },
        divergence: z.strictObject({ kl: z.number().min(0), same_top: share }).optional(),
      }),
    ),
    tasks: z.record(z.string(), z.strictObject({ original: accuracy, compressed: accuracy, items: Bytes })).optional(),
    bits: z.strictObject({ nominal: z.number(), stored: z.number(), model: z.number() }),
    layer_error: z.number(),
  }).optional(),
  tolerance: z.strictObject({
    perplexity: z.record(z.string(), z.number().positive()),
    divergence: z.number().positive().optional(),
    tasks: z.record(z.string(), share).describe("Not relative: what an accuracy may differ by").optional(),
    bits: z.number().positive(),
    layer_error: z.number().positive(),
  }).optional(),
});
export type LockedOutcome = z.infer<typeof LockedOutcome>;

/** Its measures. */
export type LockedMetrics = NonNullable<LockedOutcome["metrics"]>;

/** Relative tolerance of perplexities where a recipe does not say what it expects. */
export const TOLERANCE = 0.01;

/** Relative tolerance of bits, of the mean layer error, and of divergences, which follow from it. */
const [BITS_TOLERANCE, ERROR_TOLERANCE] = [0.01, 0.05];

/** What the parts of a lock say that `readLock` leaves to others. @throws {InputError} when they say something else */
export function readInputs({ lock }: RunLock, label: string): LockedInputs {
  return read(LockedInputs, lock, label, "lock");
}

/** As `readInputs`, of the outcome. */
export function readOutcome({ outcome }: RunLock, label: string): LockedOutcome {
  return read(LockedOutcome, outcome, label, "outcome");
}

function read<T>(schema: z.ZodType<T>, value: unknown, label: string, part: string): T {
  const checked = schema.safeParse(value);
  if (checked.success) return checked.data;
  const [{ path }] = checked.error.issues;
  throw new InputError(
    `Cannot read the lock ${label}: \`${
      [part, ...path.map(String)].join(".")
    }\` is not what a run writes there; take it from the run's ` +
      "folder again",
  );
}

/** Versions of this project and of the packages that it pins. */
export function versions(): { readonly pbs2p: string; readonly packages: Readonly<Record<string, string>> } {
  const { version, imports }: { version: string; imports: Record<string, string> } = JSON.parse(
    readFileSync(new URL("../deno.json", import.meta.url), "utf8"),
  );
  const packages = Object.values(imports).flatMap((specifier) => {
    const [, name, pinned] = /^npm:(@?[^@]+)@(.+)$/.exec(specifier) ?? [];
    return name === undefined ? [] : [[name, pinned]];
  });
  return { pbs2p: version, packages: Object.fromEntries(packages) };
}

/** What a model's config, tokenizer and generation_config.json say, as hashes of their content. */
export function describedBy(
  { config, tokenizer, generation }: Pick<Checkpoint, "config" | "tokenizer" | "generation">,
) {
  return {
    config: contentHash(config),
    tokenizer: tokenizer === undefined ? null : contentHash(storedTokenizer(tokenizer)),
    generation: generation === undefined ? null : contentHash(generation),
  };
}

/** Hash of JSON, keys in the order in which they stand, numbers that JSON does not know as words. */
export function contentHash(value: unknown): string {
  // GGUF metadata have whole numbers that JSON does not know, configs Python's Infinity and NaN.
  const plain = (_key: string, value: unknown) =>
    typeof value === "bigint" || typeof value === "number" && !Number.isFinite(value) ? `${value}` : value;
  return createHash("sha256").update(JSON.stringify(value, plain)).digest("hex");
}

/** The name of a task's questions among the texts: no text has a dot in its name. */
export function taskText(task: string): string {
  return `tasks.${task}`;
}

/**
 * The files of this machine that a run has read.
 *
 * @param weights hashes of the files that hold the weights, by their real paths
 * @param texts what identifies each text, and the file that it is read from, if any
 */
export function inputFiles(
  recipe: Recipe,
  weights: ReadonlyMap<string, string>,
  texts: readonly { readonly name: string; readonly identity: Json; readonly file: string | undefined }[],
): InputFile[] {
  const files = "path" in recipe.model ? modelFiles(recipe.model.path, weights) : [];
  for (const { name, identity, file } of texts) {
    if (file === undefined) continue;
    const { text, questions = text } = identity as Readonly<Record<string, { readonly sha256: string }>>;
    files.push({ of: name, name: basename(file), bytes: statSync(file).size, sha256: questions.sha256 });
  }
  return files;
}

function modelFiles(model: string, weights: ReadonlyMap<string, string>): InputFile[] {
  const folder = statSync(model).isDirectory() ? model : join(model, "..");
  // Links, as the hub's own cache has them, have other names than what they lead to.
  const named = new Map<string, string>();
  for (const name of readdirSync(folder)) {
    try {
      named.set(realpathSync(join(folder, name)), name);
    } catch {
      // A link to nothing is no file of weights.
    }
  }
  const real = realpathSync(folder);
  const nameOf = (path: string) => {
    const inside = relative(real, path).replaceAll("\\", "/");
    return named.get(path) ?? (inside.startsWith("../") ? basename(path) : inside);
  };
  return [...weights].map(([path, sha256]) => ({ of: "model", name: nameOf(path), bytes: statSync(path).size, sha256 }))
    .sort((a, b) => a.name < b.name ? -1 : 1);
}

/** What a lock says of a result. @param packed bytes and hashes of the packed model's files, by name */
export function outcomeFacts(
  metrics: Metrics,
  { expect = {} }: Pick<Recipe, "expect">,
  packed: Readonly<Record<string, { readonly bytes: number; readonly sha256: string }>>,
): JsonRecord {
  const within = Object.keys(metrics.perplexity).map((name) => [name, expect[name]?.within ?? TOLERANCE]);
  const compared = Object.values(metrics.perplexity).some(({ divergence }) => divergence !== undefined);
  // Elsewhere a question may fall the other way: what sampling alone would change is not told from that.
  const tasks = Object.entries(metrics.tasks).map(([name, { acc_stderr }]) => [name, Math.min(1, acc_stderr)]);
  return {
    model: packed,
    metrics: lockedMetrics(metrics),
    tolerance: {
      perplexity: Object.fromEntries(within),
      ...(compared ? { divergence: ERROR_TOLERANCE } : {}),
      ...(tasks.length === 0 ? {} : { tasks: Object.fromEntries(tasks) }),
      ...{ bits: BITS_TOLERANCE, layer_error: ERROR_TOLERANCE },
    },
  };
}

/** Of metrics, what a lock keeps. */
export function lockedMetrics({ perplexity, tasks, bits, layer_error }: Metrics): LockedMetrics {
  const say = (value: number) => Number.isFinite(value) ? value : Number.isNaN(value) ? "NaN" : "Infinity";
  const perplexities = Object.entries(perplexity).map(([name, { original, compressed, tokens, divergence }]) => [name, {
    ...{ original: say(original), compressed: say(compressed), tokens },
    ...(divergence === undefined ? {} : { divergence: { kl: divergence.kl.mean, same_top: divergence.same_top } }),
  }]);
  const scores = Object.entries(tasks).map(([name, { original, items, ...compressed }]) => [
    name,
    { original: lockedAccuracy(original), compressed: lockedAccuracy(compressed), items },
  ]);
  return {
    perplexity: Object.fromEntries(perplexities),
    ...(scores.length === 0 ? {} : { tasks: Object.fromEntries(scores) }),
    bits: { nominal: bits.nominal, stored: bits.stored.total, model: bits.model },
    layer_error: layer_error.mean,
  };
}

/** Of a task's scores, what a lock keeps. */
export function lockedAccuracy({ acc, acc_norm }: z.infer<typeof accuracy>): z.infer<typeof accuracy> {
  return { acc, ...(acc_norm === undefined ? {} : { acc_norm }) };
}
