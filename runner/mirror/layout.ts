/**
 * How a mirror lies: static files alone, so that any web server, bucket or data set of the hub can hold one.
 *
 * `index.json` says which steps there are; `steps/ab/<step key>.json` holds the manifests of a step's outputs, and
 * `content/ab/<sha256>` their files. Not where these are read from (`source.ts`), nor what is believed (`mirror.ts`).
 */
import * as z from "zod";
import { type Manifest, parseManifest, renderManifest } from "../cache/manifest.ts";
import { canonicalJson } from "../keys.ts";
import type { Json } from "../stage.ts";

/** A step as the index names it. */
export interface IndexedStep {
  /** Of the step's file. */
  readonly bytes: number;
  readonly sha256: string;
  /** Bytes of the files of each output. */
  readonly outputs: Readonly<Record<string, number>>;
}

/** Steps by their keys. */
export type MirrorIndex = ReadonlyMap<string, IndexedStep>;

/** Name of the index in a mirror's folder. */
export const INDEX = "index.json";

/** A larger index is not read: a step takes about 220 bytes of it. */
export const MOST_INDEX_BYTES = 1 << 26;

/** A larger file of a step is not read: manifests hold small results. */
export const MOST_STEP_BYTES = 1 << 26;

/** Outputs of one step; stages have three at most. */
const MOST_OUTPUTS = 64;

const Key = z.string().regex(/^[0-9a-f]{64}$/);
/** Names of outputs come from stages; plugins may choose their own. */
const Output = z.string().regex(/^[A-Za-z][\w. -]{0,79}$/);

const IndexSchema = z.strictObject({
  format: z.literal(1),
  steps: z.record(
    Key,
    z.strictObject({
      bytes: z.int().min(1).max(MOST_STEP_BYTES),
      sha256: Key,
      outputs: z.record(Output, z.int().nonnegative()).refine((outputs) => Object.keys(outputs).length <= MOST_OUTPUTS),
    }),
  ),
});

const StepSchema = z.strictObject({
  format: z.literal(1),
  outputs: z.record(Output, z.looseObject({ key: Key, stepKey: Key, output: Output })),
});

/** Where a step's file lies in a mirror. */
export function stepPath(stepKey: string): string {
  return `steps/${stepKey.slice(0, 2)}/${stepKey}.json`;
}

/** Where a file of an artifact lies in a mirror. */
export function contentPath(sha256: string): string {
  return `content/${sha256.slice(0, 2)}/${sha256}`;
}

/** The text of an index. Equal steps make equal texts. */
export function renderIndex(index: MirrorIndex): string {
  const steps = Object.fromEntries([...index]) as unknown as Json;
  return `${canonicalJson({ format: 1, steps })}\n`;
}

/** Reads an index. @throws {SyntaxError} saying what is wrong with it */
export function parseIndex(text: string): MirrorIndex {
  return new Map(Object.entries(parse(text, IndexSchema, INDEX).steps));
}

/** The text of a step's file. @param manifests of its outputs; where an artifact came from is left out */
export function renderStep(manifests: readonly Manifest[]): string {
  const outputs = Object.fromEntries(manifests.map(({ origin: _origin, ...manifest }) => [manifest.output, manifest]));
  return `${canonicalJson({ format: 1, outputs } as unknown as Json)}\n`;
}

/**
 * Reads a step's file: each manifest must be one of that step, with components that make its key.
 *
 * @returns manifests by output
 * @throws {SyntaxError} saying what is wrong with it
 */
export function parseStep(text: string, stepKey: string): Map<string, Manifest> {
  const { outputs } = parse(text, StepSchema, "the step's file");
  return new Map(
    Object.entries(outputs).map(([name, value]) => {
      if (value.stepKey !== stepKey || value.output !== name) {
        throw new SyntaxError("the step's file holds what belongs to another step");
      }
      // Read as the cache reads its own, so that both refuse the same.
      const bytes = new TextEncoder().encode(renderManifest(value as unknown as Manifest));
      const manifest = parseManifest(bytes, value.key);
      if (manifest.origin !== undefined) throw new SyntaxError("the step's file says where its maker had it from");
      return [name, manifest];
    }),
  );
}

function parse<T extends z.ZodType>(text: string, schema: T, what: string): z.infer<T> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw Object.assign(new SyntaxError(`${what} is not JSON`), { cause });
  }
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const path = read.error.issues[0].path.map(String).join(".");
  throw new SyntaxError(`${what} is not what it should be${path === "" ? "" : ` at ${path}`}`);
}
