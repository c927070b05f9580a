/** A whole run of the fuzzer: samples made, cases handed to children, findings gathered. */
import { join } from "node:path";
import { projectFolder } from "../cli/places.ts";
import { Child, type Limits } from "./child_process.ts";
import { type Finding, signatureOf, type Verdict } from "./judge.ts";
import type { Kind, Sample } from "./kind.ts";
import { type Case, type CaseName, makeCase, readSamples, type SampleFiles } from "./mutate/case.ts";

/** What is to be tried. */
export interface FuzzOptions {
  readonly kinds: readonly Kind[];
  readonly seed: number;
  /** Cases of all kinds together, shared evenly. */
  readonly count: number;
  /** Number of each kind's first case. */
  readonly first?: number;
  /** Children at once. */
  readonly jobs: number;
  readonly limits: Limits;
  /** Module of the children; default: `child.ts`. */
  readonly entry?: string;
  /** Ends the run early; what was found by then is told. */
  readonly signal?: AbortSignal;
  readonly onKind?: (tally: Tally) => void;
}

/** What became of a kind's cases. */
export interface Tally {
  readonly kind: string;
  cases: number;
  clean: number;
  refused: number;
  findings: number;
}

/** Findings of one cause. */
export interface Group extends Finding {
  readonly signature: string;
  /** The first of them. */
  readonly name: CaseName;
  readonly sample: string;
  readonly changes: readonly string[];
  count: number;
}

/** What a run found. */
export interface FuzzResult {
  readonly seed: number;
  readonly seconds: number;
  readonly tallies: readonly Tally[];
  /** The most frequent first. */
  readonly groups: readonly Group[];
  /** Whether it was ended early. */
  readonly interrupted: boolean;
}

/** Samples that were made. */
export interface Prepared {
  readonly folder: string;
  readonly samples: Readonly<Record<string, readonly Sample[]>>;
  readonly files: ReadonlyMap<string, SampleFiles>;
}

const ENTRY = join(projectFolder, "fuzz", "child.ts");

/**
 * Tries cases.
 *
 * @throws {Error} when a sample cannot be made, or is not read cleanly before it is spoilt, or a child cannot be started
 */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { kinds, seed, count, first = 0, jobs, limits, entry = ENTRY, signal, onKind = () => {} } = options;
  const began = performance.now();
  return await withSamples(kinds, async (prepared) => {
    const tallies = kinds.map(({ name }): Tally => ({ kind: name, cases: 0, clean: 0, refused: 0, findings: 0 }));
    const groups = new Map<string, Group>();
    const shares = kinds.map((_, at) => Math.floor(count / kinds.length) + (at < count % kinds.length ? 1 : 0));
    const names = kinds.flatMap(({ name }, at) =>
      Array.from({ length: shares[at] }, (_, number): CaseName => ({ kind: name, seed, number: first + number }))
    ).values();
    const sound = kinds.flatMap(({ name: kind }) =>
      prepared.samples[kind].map((_, at): CaseName => ({ kind, seed, number: -1 - at }))
    ).values();
    const note = (name: CaseName, verdict: Verdict) => {
      const at = kinds.findIndex((kind) => kind.name === name.kind);
      const tally = tallies[at];
      tally.cases++;
      if (verdict.outcome === "finding") {
        tally.findings++;
        gather(groups, name, verdict, caseOf(prepared, name));
      } else tally[verdict.outcome]++;
      if (tally.cases === shares[at]) onKind(tally);
    };
    let broken = false;
    const work = async () => {
      const setting = { inputs: prepared.folder, samples: prepared.samples };
      const child = new Child({ entry, setting, work: join(prepared.folder, ".."), limits });
      try {
        for (const name of sound) {
          const verdict = await child.run(name);
          if (verdict.outcome === "clean") continue;
          const { name: sample } = prepared.samples[name.kind][-1 - name.number];
          throw new Error(`Cannot fuzz ${name.kind} as sample "${sample}" is not read as it is: ${verdict.message}`);
        }
        for (const name of names) {
          if (broken || signal?.aborted) break;
          note(name, await child.run(name));
        }
      } catch (error) {
        broken = true;
        throw error;
      } finally {
        await child.close();
      }
    };
    // All children have ended before the folder that they work in goes.
    const workers = await Promise.allSettled(Array.from({ length: Math.min(jobs, count) }, work));
    for (const worker of workers) if (worker.status === "rejected") throw worker.reason;
    return {
      seed,
      seconds: (performance.now() - began) / 1000,
      tallies,
      groups: [...groups.values()].sort((a, b) => b.count - a.count),
      interrupted: signal?.aborted ?? false,
    };
  });
}

/** Makes all samples, and removes them afterwards. */
export async function withSamples<T>(kinds: readonly Kind[], use: (prepared: Prepared) => Promise<T>): Promise<T> {
  const work = await Deno.realPath(await Deno.makeTempDir({ prefix: "pbs2p-fuzz-" }));
  try {
    const folder = join(work, "inputs");
    const made: [string, readonly Sample[]][] = [];
    const files = new Map<string, SampleFiles>();
    for (const kind of kinds) {
      const place = join(folder, kind.name);
      await Deno.mkdir(place, { recursive: true });
      const samples = await kind.make(place);
      made.push([kind.name, samples]);
      files.set(kind.name, await readSamples(place, samples));
    }
    return await use({ folder, samples: Object.fromEntries(made), files });
  } finally {
    await Deno.remove(work, { recursive: true });
  }
}

/** A case by its name. */
export function caseOf({ samples, files }: Prepared, name: CaseName): Case {
  return makeCase(name, samples[name.kind], files.get(name.kind) ?? new Map());
}

function gather(groups: Map<string, Group>, name: CaseName, finding: Finding, { sample, changes }: Case): void {
  const signature = signatureOf(name.kind, finding);
  const known = groups.get(signature);
  if (known === undefined) groups.set(signature, { ...finding, signature, name, sample, changes, count: 1 });
  else known.count++;
}
