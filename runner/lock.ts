/**
 * The lock of a run, `recipe.lock.yaml`: the complete recipe, what its inputs and the machine were (`lock`), and what came of it
 * (`outcome`), which only a run that has ended well has.
 *
 * What stands under `lock`, and all of `outcome` but its steps, is the subject's own; see `pipeline/lock_record.ts`.
 */
import { join } from "node:path";
import { Document, isScalar, parseDocument, stringify, visit } from "yaml";
import * as z from "zod";
import { InputError } from "../files/input_error.ts";
import type { ArtifactCache } from "./cache/cache.ts";
import { writingTo } from "./cache/no_space.ts";
import type { Graph } from "./graph.ts";
import { isSound, LOCK, readSmallText } from "./journal.ts";
import { hashStep, type StepHashes } from "./step_hashes.ts";
import type { Json } from "./stage.ts";

/** A run's lock. */
export interface RunLock {
  readonly recipe: Readonly<Record<string, Json>>;
  readonly lock: Readonly<Record<string, Json>>;
  /** Absent where the run did not end well. */
  readonly outcome?: Outcome;
}

/** What came of a run. */
export interface Outcome {
  /** By the steps' ids, in the order in which they ran. */
  readonly steps: Readonly<Record<string, StepHashes>>;
  readonly [fact: string]: unknown;
}

/** Bytes of the longest lock; that of a model of 405 billion weights has a tenth of them. */
const MOST_BYTES = 1 << 24;

/** What a reader is told who has nothing but the file. */
const HEAD =
  "# The lock of a run: `deno task verify FILE` makes it again and compares, `deno task run FILE` only makes it again.\n";
const HASHES =
  "# Hashes are sha256: of a file, or of a tensor, its [type, shape] as JSON, a line's end and its bytes.\n";

/** Lines that begin its last part. */
const OUTCOME = /^outcome:/m;

const Hash = z.string().regex(/^[0-9a-f]{64}$/);
const AnyJson = z.custom<Json>((value) => value !== undefined);
const Facts = z.record(z.string(), AnyJson);

const Steps: z.ZodType<Outcome["steps"]> = z.record(
  z.string(),
  z.strictObject({
    key: Hash,
    outputs: z.record(
      z.string(),
      z.strictObject({ value: AnyJson.optional(), value_sha256: Hash.optional(), tensors: z.record(z.string(), Hash) }),
    ),
  }),
);
const Lock = z.looseObject({ recipe: Facts, lock: Facts, outcome: z.looseObject({ steps: Steps }).optional() });

/** The lock of a run that begins. @param recipe as YAML */
export function beginLock(folder: string, recipe: string, lock: Json): void {
  const text = `${HEAD}recipe:\n${recipe.replace(/^(?=.)/gm, "  ")}${
    stringify({ lock }, { lineWidth: 120, aliasDuplicateObjects: false })
  }`;
  replaceLock(folder, text);
}

/**
 * Adds to a lock what came of the run.
 *
 * @param facts what the subject says of it
 * @throws the signal's reason when it is aborted; the lock is then as it was
 */
export async function completeLock(
  folder: string,
  { graph, cache, facts, signal }: {
    readonly graph: Graph;
    readonly cache: ArtifactCache;
    readonly facts: Readonly<Record<string, Json>>;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  const steps: Record<string, StepHashes> = {};
  for (const [id, node] of graph) {
    const hashed = await hashStep(node, cache, { signal });
    if (Object.keys(hashed.outputs).length > 0) steps[id] = hashed;
  }
  const text = readSmallText(join(folder, LOCK));
  replaceLock(folder, text + HASHES + render({ outcome: { ...facts, steps } }));
}

/**
 * Reads a lock.
 *
 * @param label for messages
 * @throws {InputError} when it is not there, too large, or no lock of a run
 */
export function readLock(path: string, label: string = path): RunLock {
  const fail = (why: string, cause?: unknown) =>
    new InputError(`Cannot read the lock ${label}: ${why}; take it from the run's folder again`, { cause });
  const tree = parse(readSmallText(path, MOST_BYTES), fail);
  const checked = Lock.safeParse(tree);
  if (checked.success) return checked.data;
  const [{ path: at }] = checked.error.issues, [part] = at;
  if (part !== "outcome" && (typeof tree !== "object" || tree === null || !(String(part) in tree))) {
    throw fail(`it has no \`${String(part ?? "recipe")}\`, so it is no lock of a run`);
  }
  throw fail(`\`${at.map(String).join(".")}\` is not what a run writes there`);
}

/** The part of a lock's text that says what ran, without what came of it, which is long. */
export function withoutOutcome(text: string): string {
  const found = OUTCOME.exec(text);
  return found === null ? text : text.slice(0, found.index);
}

function parse(text: string, fail: (why: string, cause?: unknown) => InputError): unknown {
  let tree: unknown;
  try {
    const document = parseDocument(text, { logLevel: "silent" });
    const [wrong] = [...document.errors, ...document.warnings];
    if (wrong !== undefined) throw wrong;
    // An alias stands for what is written elsewhere: a run writes none, and some hundred could stand for gigabytes.
    tree = document.toJS({ maxAliasCount: 0 });
  } catch (error) {
    const [said] = (error instanceof Error ? error.message : `${error}`).split("\n");
    // The library tells of what is nested too deeply in the runtime's words.
    if (/call stack/.test(said)) throw fail("it is nested more deeply than a run writes", error);
    throw fail(`it is no YAML (${said.replace(/[.:]$/, "")})`, error);
  }
  if (typeof tree !== "object" || tree === null || Array.isArray(tree)) throw fail("it holds no map");
  if (!isSound(tree)) throw fail("it holds what no run writes");
  return tree;
}

/** YAML with each list of numbers, such as samples that were drawn, on a line of its own. */
function render(tree: unknown): string {
  const document = new Document(tree, { aliasDuplicateObjects: false });
  visit(document, {
    Seq(_, list) {
      if (list.items.every(isScalar)) list.flow = true;
    },
  });
  return document.toString({ lineWidth: 0 });
}

function replaceLock(folder: string, text: string): void {
  writingTo(folder, () => {
    const unfinished = join(folder, `${LOCK}.part`);
    Deno.writeTextFileSync(unfinished, text);
    Deno.renameSync(unfinished, join(folder, LOCK));
  });
}
