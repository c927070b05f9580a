/**
 * The manifest of an artifact: what it is, how its key came about, and the hash of each of its files.
 *
 * A manifest file is one line of JSON, `{"manifest": …, "sha256": …}`, in canonical form; anything else is damaged.
 */
import * as z from "zod";
import type { Dtype } from "../../files/safetensors.ts";
import { canonicalJson, type KeyComponents, outputKey, sha256, stepKey } from "../keys.ts";
import type { Json } from "../stage.ts";

/** One file of an artifact. */
export interface ManifestFile {
  /** Relative to the artifact's folder, with forward slashes. */
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
  /** What a safetensors file holds, for people who look. */
  readonly tensors?: Readonly<Record<string, { readonly dtype: Dtype; readonly shape: readonly number[] }>>;
}

/** What is known of an artifact. */
export interface Manifest {
  readonly format: 1;
  readonly key: string;
  /** Key of the step that made it. */
  readonly stepKey: string;
  readonly components: KeyComponents;
  readonly output: string;
  readonly step: string;
  readonly stage: string;
  readonly model: string;
  readonly retain: "keep" | "transient";
  /** Seconds its step took. */
  readonly seconds: number;
  /** Those seconds by stage. */
  readonly stages: Readonly<Record<string, number>>;
  /** Seconds that were expected. */
  readonly estimate: number;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly value: Json;
  readonly files: readonly ManifestFile[];
  /** The mirror that it was fetched from; absent for what was made here. */
  readonly origin?: string;
}

/** Name of the manifest in an artifact's folder. */
export const MANIFEST = "manifest.json";

/** Manifests hold small results; larger ones are refused before they are read. */
export const MOST_MANIFEST_BYTES = 1 << 28;

/** Whether a name is that of a file of an artifact: letters, digits, dots, dashes, underscores, in folders joined by "/". */
export function isFileName(name: string): boolean {
  return name !== MANIFEST && name.split("/").every((part) => /^[A-Za-z0-9_][\w.-]*$/.test(part));
}

const Key = z.string().regex(/^[0-9a-f]{64}$/);
const Seconds = z.number().nonnegative();
const Bytes = z.int().nonnegative();
/** What was parsed from JSON is JSON. */
const AnyJson = z.custom<Json>((value) => value !== undefined);

const ManifestSchema = z.strictObject({
  format: z.literal(1),
  key: Key,
  stepKey: Key,
  components: z.strictObject({
    stage: z.string(),
    code: z.string(),
    reads: z.record(z.string(), AnyJson),
    facts: z.record(z.string(), AnyJson),
    inputs: z.record(z.string(), z.string()),
  }),
  output: z.string(),
  step: z.string(),
  stage: z.string(),
  model: z.string(),
  retain: z.enum(["keep", "transient"]),
  seconds: Seconds,
  stages: z.record(z.string(), Seconds),
  estimate: Seconds,
  created: Bytes,
  value: AnyJson,
  files: z.array(z.strictObject({
    name: z.string().refine(isFileName),
    bytes: Bytes,
    sha256: Key,
    tensors: z.record(z.string(), z.strictObject({ dtype: z.string(), shape: z.array(Bytes) })).optional(),
  })).refine((files) => Number.isSafeInteger(files.reduce((sum, { bytes }) => sum + bytes, 0))),
  origin: z.string().optional(),
});

/** The text of a manifest file. */
export function renderManifest(manifest: Manifest): string {
  // A manifest is JSON by construction: every member above is.
  const body = canonicalJson(manifest as unknown as Json);
  return `{"manifest":${body},"sha256":"${sha256(body)}"}\n`;
}

/**
 * Reads the text of a manifest file. Any changed byte is noticed: the digest covers the content, and the text must be
 * exactly what would be written for that content.
 *
 * @param key of the artifact that the manifest should be of
 * @throws {SyntaxError} saying what is wrong with it
 */
export function parseManifest(bytes: Uint8Array, key: string): Manifest {
  // Words of the runtime's own say nothing to anybody.
  const damaged = (why: string) => new SyntaxError(`${MANIFEST} is damaged: ${why}`);
  const attempt = <T>(read: () => T, why: string): T => {
    try {
      return read();
    } catch (error) {
      throw Object.assign(damaged(why), { cause: error });
    }
  };
  const text = attempt(
    () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    "it is not UTF-8",
  );
  const manifest: Manifest = attempt(() => JSON.parse(text).manifest, "it is not JSON");
  const rendered = attempt(() => renderManifest(manifest), "it holds what no manifest holds");
  if (rendered !== text) throw damaged("its digest does not fit its content");
  const wrong = ManifestSchema.safeParse(manifest).error?.issues[0].path.join(".");
  if (wrong !== undefined) throw damaged(`${wrong || "it"} is not what it should be`);
  if (manifest.key !== key || outputKey(manifest.stepKey, manifest.output) !== key) {
    throw new SyntaxError(`${MANIFEST} belongs to another artifact, ${manifest.key}`);
  }
  if (stepKey(manifest.components) !== manifest.stepKey) {
    throw new SyntaxError(`${MANIFEST} has components that do not make its key`);
  }
  return manifest;
}

/** Bytes of an artifact's files, without the manifest. */
export function filesBytes(manifest: Manifest): number {
  return manifest.files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Whether two artifacts hold the same, as they must when a step is made twice. */
export function sameContent(a: Manifest, b: Manifest): boolean {
  const content = ({ value, files }: Manifest) =>
    canonicalJson({ value, files: files.map(({ name, sha256 }) => [name, sha256]) });
  return content(a) === content(b);
}
