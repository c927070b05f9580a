/**
 * The mirrors of one command, in the order in which they are asked. What one of them does wrong costs a warning and the time
 * to make the step here, never a wrong result: one that lies is left alone at once, one that fails after a few times.
 */
import { formatBytes } from "../../files/format_bytes.ts";
import type { Draft } from "../cache/artifact.ts";
import type { ArtifactCache } from "../cache/cache.ts";
import type { Patience } from "../cache/checked_files.ts";
import { filesBytes, type Manifest } from "../cache/manifest.ts";
import { freeBytes } from "../cache/no_space.ts";
import type { IndexedStep } from "./layout.ts";
import type { Mirror } from "./mirror.ts";
import { MirrorError } from "./source.ts";

/** What a mirror has that is missing here. */
export interface Offer {
  /** The mirror's name. */
  readonly from: string;
  /** To be fetched. */
  readonly bytes: number;
}

/** Outputs of a step that are missing. */
export interface Missing {
  readonly stepKey: string;
  /** Bytes that each is expected to have, by output. */
  readonly outputs: Readonly<Record<string, number>>;
}

/** Outputs that were fetched and are as their manifests say; nobody else sees them yet. */
export interface Fetched {
  readonly from: string;
  readonly outputs: ReadonlyMap<string, { readonly manifest: Manifest; readonly draft: Draft }>;
}

/** What happens to an output that is fetched. */
interface Surroundings extends Patience {
  readonly cache: Pick<ArtifactCache, "folder" | "draft" | "abandon">;
  readonly warn: (message: string) => void;
}

/** Failures after which a mirror is asked no more. */
const MOST_FAILURES = 3;

/** An output may be so many times as large as it is expected to be, and so much larger. */
const MOST_TIMES = 16, MOST_MORE = 1 << 26;

/** Bytes between two messages. */
const MESSAGE_BYTES = 1 << 22;

interface Entry {
  readonly mirror: Mirror;
  failures: number;
  /** Whether it is asked. */
  on: boolean;
  /** Steps that did not come. */
  readonly missed: Set<string>;
}

/** The mirrors of one command. */
export class Mirrors {
  readonly #entries: readonly Entry[];
  readonly #warnings: string[] = [];
  #warn: (message: string) => void = () => {};
  #opening: Promise<void> | undefined;

  /** @param mirrors the one that is asked first, first */
  constructor(mirrors: readonly Mirror[]) {
    this.#entries = mirrors.map((mirror) => ({ mirror, failures: 0, on: false, missed: new Set() }));
  }

  /** What was wrong with them so far; journals keep it. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  /** Reads the indexes, all at once, the first time that it is called. @throws the signal's reason when it is aborted */
  async ready({ warn, signal }: Pick<Surroundings, "warn" | "signal">): Promise<void> {
    this.#warn = warn;
    this.#opening ??= Promise.all(this.#entries.map(async (entry) => {
      try {
        await entry.mirror.open(signal);
        entry.on = true;
      } catch (error) {
        signal?.throwIfAborted();
        this.#fail(entry, error, { warn, last: true });
      }
    })).then(() => {});
    await this.#opening;
  }

  /** The first mirror that has all that is missing of a step; one that announces absurd sizes is left alone. */
  offer({ stepKey, outputs }: Missing): Offer | undefined {
    const names = Object.keys(outputs);
    for (const entry of this.#entries) {
      const step = stepIn(entry, stepKey);
      if (step === undefined || !names.every((name) => Object.hasOwn(step.outputs, name))) continue;
      const absurd = names.find((name) => step.outputs[name] > MOST_TIMES * outputs[name] + MOST_MORE);
      if (absurd === undefined) {
        return { from: entry.mirror.name, bytes: names.reduce((sum, name) => sum + step.outputs[name], 0) };
      }
      const [announced, expected] = [step.outputs[absurd], outputs[absurd]].map(formatBytes);
      const why = `announces ${announced} for output "${absurd}" of a step, where about ${expected} are expected`;
      this.#fail(entry, new MirrorError(why, { lie: true }), { warn: this.#warn });
    }
    return undefined;
  }

  /** Names of the outputs of a step that one mirror has: those of the first that has any. */
  has(stepKey: string): readonly string[] {
    for (const entry of this.#entries) {
      const step = stepIn(entry, stepKey);
      if (step !== undefined) return Object.keys(step.outputs);
    }
    return [];
  }

  /**
   * Fetches outputs from the first mirror that gives all of them.
   *
   * @returns undefined when none does: the step is to be made
   * @throws {Error} when they cannot be written here, as on a full disk
   * @throws the signal's reason when it is aborted
   */
  async fetch(missing: Missing, surroundings: Surroundings): Promise<Fetched | undefined> {
    for (const entry of this.#entries) {
      // One that fails meanwhile is not asked for the next step.
      const step = stepIn(entry, missing.stepKey);
      if (step === undefined || !Object.keys(missing.outputs).every((name) => Object.hasOwn(step.outputs, name))) {
        continue;
      }
      try {
        return { from: entry.mirror.name, outputs: await fetchFrom(entry.mirror, missing, surroundings) };
      } catch (error) {
        surroundings.signal?.throwIfAborted();
        if (!(error instanceof MirrorError)) throw error;
        entry.missed.add(missing.stepKey);
        this.#fail(entry, error, surroundings);
      }
    }
    return undefined;
  }

  /** Counts a failure; the first one is told. @param options `last`: whether the mirror is of no use from now on */
  #fail(
    entry: Entry,
    error: unknown,
    { warn, last = false }: { readonly warn: (message: string) => void; readonly last?: boolean },
  ): void {
    if (!(error instanceof MirrorError)) throw error;
    entry.failures++;
    const over = last || error.lie || entry.failures >= MOST_FAILURES;
    if (over) entry.on = false;
    if (entry.failures > 1) return;
    const rest = over
      ? "it is left alone, and what it lacks is made here"
      : `such steps are made here, and after ${MOST_FAILURES} of them it is left alone`;
    const message = `The cache mirror ${entry.mirror.name} ${error.message}: ${rest}`;
    this.#warnings.push(message);
    warn(message);
  }
}

/** What a mirror that is asked still says of a step. */
function stepIn({ mirror, on, missed }: Entry, stepKey: string): IndexedStep | undefined {
  return on && !missed.has(stepKey) ? mirror.step(stepKey) : undefined;
}

async function fetchFrom(
  mirror: Mirror,
  { stepKey, outputs }: Missing,
  { cache, signal, tell = () => {} }: Surroundings,
): Promise<Fetched["outputs"]> {
  const manifests = await mirror.manifests(stepKey, signal);
  const wanted = Object.keys(outputs).map((name) => {
    const manifest = manifests.get(name);
    if (manifest === undefined) throw new MirrorError(`lacks output "${name}" of a step that it has`);
    return { name, manifest };
  });
  const total = wanted.reduce((sum, { manifest }) => sum + filesBytes(manifest), 0);
  const free = freeBytes(cache.folder);
  if (free !== undefined && total > free) {
    throw new MirrorError(`announces ${formatBytes(total)} for a step, and ${formatBytes(free)} are free here`);
  }
  const fetched = new Map<string, { readonly manifest: Manifest; readonly draft: Draft }>();
  let done = 0, told = 0;
  const onBytes = (count: number) => {
    done += count;
    if (done - told < MESSAGE_BYTES) return;
    told = done;
    tell(`${formatBytes(done)} of ${formatBytes(total)} from ${mirror.name}`);
  };
  try {
    for (const { name, manifest } of wanted) {
      const draft = cache.draft();
      fetched.set(name, { manifest, draft });
      await mirror.fill(draft, manifest, { signal, onBytes });
    }
    return fetched;
  } catch (error) {
    for (const { draft } of fetched.values()) cache.abandon(draft);
    throw error;
  }
}
