/** A case: which sample it is, and what of it is spoilt how. */
import { readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { mkdir, writeFile } from "node:fs/promises";
import { Draw } from "../draw.ts";
import type { Sample, Syntax, Target } from "../kind.ts";
import { byteMutators } from "./bytes.ts";
import { mutateHeader, mutateManifest } from "./framed.ts";
import { mutateGguf } from "./gguf.ts";
import { mutateJson } from "./json.ts";
import { mutateJsonLine, mutateLines } from "./lines.ts";
import type { Mutator } from "./mutator.ts";
import { replaceWhole } from "./whole.ts";
import { mutateMember } from "./zip.ts";

/** What a case is named by: the same name is the same case. */
export interface CaseName {
  readonly kind: string;
  readonly seed: number;
  /** From 0; below, −1 − the index of a sample that is not spoilt. */
  readonly number: number;
}

/** A spoilt sample. */
export interface Case {
  readonly sample: string;
  /** Every file by its path, whether it was spoilt or not. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** What was done, in order. */
  readonly changes: readonly string[];
}

/** Files of all samples of a kind, by sample and path. */
export type SampleFiles = ReadonlyMap<string, ReadonlyMap<string, Uint8Array>>;

/** Mutators that know what they change. */
const BY_SYNTAX: Readonly<Record<Syntax, readonly Mutator[]>> = {
  bytes: [],
  json: [mutateJson],
  lines: [mutateLines, mutateJsonLine],
  yaml: [mutateLines],
  safetensors: [mutateHeader],
  gguf: [mutateGguf],
  zip: [mutateMember],
  manifest: [mutateManifest],
};

/** Changes that may be tried until one finds something to change. */
const TRIES = 20;

/** Reads the files of samples. */
export async function readSamples(folder: string, samples: readonly Sample[]): Promise<SampleFiles> {
  const read = async ({ name }: Sample) => {
    const files = new Map<string, Uint8Array>();
    const entries = await readdir(join(folder, name), { recursive: true, withFileTypes: true });
    for (const entry of entries.filter((each) => each.isFile())) {
      const path = join(entry.parentPath, entry.name);
      const relative = path.slice(join(folder, name).length + 1).replaceAll("\\", "/");
      files.set(relative, Uint8Array.from(await readFile(path)));
    }
    return [name, files] as const;
  };
  return new Map(await Promise.all(samples.map(read)));
}

/** Makes a case: one to three changes of one sample. */
export function makeCase({ kind, seed, number }: CaseName, samples: readonly Sample[], all: SampleFiles): Case {
  const draw = new Draw(kind, seed, number);
  const sample = number < 0 ? samples[-1 - number] : draw.pick(samples);
  const files = new Map(all.get(sample.name));
  const changes: string[] = [];
  if (number < 0) return { sample: sample.name, files, changes };
  // More than one change mostly hides behind the first; often enough one must do.
  const count = draw.pick([1, 1, 1, 2, 2, 3]);
  for (let tries = 0; changes.length < count && tries < TRIES; tries++) {
    const target = draw.pick(sample.targets);
    const bytes = files.get(target.path) ?? new Uint8Array();
    const changed = chooseMutator(target, draw)({ bytes, draw, other: chooseOther(target, samples, all, draw) });
    if (changed === undefined || same(changed.bytes, bytes)) continue;
    files.set(target.path, changed.bytes);
    changes.push(`${target.path}: ${changed.change}`);
  }
  return { sample: sample.name, files, changes };
}

/** Writes a case's files. */
export async function writeCase({ files }: Pick<Case, "files">, folder: string): Promise<void> {
  const folders = new Set([...files.keys()].map((path) => dirname(join(folder, path))));
  for (const each of [folder, ...folders]) await mkdir(each, { recursive: true });
  for (const [path, bytes] of files) await writeFile(join(folder, path), bytes);
}

function chooseMutator({ syntax }: Target, draw: Draw): Mutator {
  const known = BY_SYNTAX[syntax];
  if (draw.once(24)) return replaceWhole;
  return known.length > 0 && !draw.once(4) ? draw.pick(known) : draw.pick(byteMutators);
}

function chooseOther({ syntax }: Target, samples: readonly Sample[], all: SampleFiles, draw: Draw): Uint8Array {
  const alike = samples.flatMap(({ name, targets }) =>
    targets.filter((target) => target.syntax === syntax).map(({ path }) => all.get(name)?.get(path) ?? new Uint8Array())
  );
  return draw.pick(alike);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}
