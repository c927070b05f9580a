/** Whether files and measures are what a lock says of them, and what follows from that and from the steps. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { openPacked, type PackedCheckpoint } from "../checkpoints/packed/open.ts";
import { InputError } from "../files/input_error.ts";
import { hashContent } from "../files/hash_content.ts";
import type { Outcome } from "../runner/lock.ts";
import { hashTensor } from "../runner/step_hashes.ts";
import type { LockedMetrics, LockedOutcome } from "./lock_record.ts";
import type { StepVerdict } from "./run_comparison.ts";

/** A file of the packed model. */
export interface FileCheck {
  readonly name: string;
  readonly same: boolean;
  /** What is there instead: another hash; absent where there is no such file. */
  readonly sha256?: string;
}

/** A measure. */
export interface MetricCheck {
  readonly name: string;
  readonly locked: number;
  readonly now: number;
  /** Relative tolerance. */
  readonly within: number;
  /** Bit for bit. */
  readonly same: boolean;
  /** Whether it is as near as it must be. */
  readonly meets: boolean;
}

/** What a verification says. */
export type Verdict = "bit-identical" | "within tolerance" | "different";

/** What a verdict follows from. */
export interface Evidence {
  readonly steps: readonly StepVerdict[];
  /** Steps of the lock that were not made. */
  readonly missing: readonly string[];
  readonly files: readonly FileCheck[];
  readonly metrics: readonly MetricCheck[];
  /** Whether it was stopped where it first differed. */
  readonly stoppedEarly: boolean;
}

/** Hashes the files that a lock names. @param folder of the packed model */
export async function checkFiles(files: LockedOutcome["model"], folder: string): Promise<FileCheck[]> {
  const checks: FileCheck[] = [];
  for (const [name, { sha256 }] of Object.entries(files)) {
    const path = join(folder, name);
    const found = existsSync(path) ? (await hashContent(path)).sha256 : undefined;
    checks.push({ name, same: found === sha256, ...(found === undefined ? {} : { sha256: found }) });
  }
  return checks;
}

/**
 * Of a packed model whose file is another, the layers' tensors that are not what the lock's steps have packed.
 *
 * @param folder of the packed model
 * @returns undefined where the file cannot be read as a packed model
 */
export async function changedPlanes(folder: string, steps: Outcome["steps"]): Promise<readonly string[] | undefined> {
  let packed: PackedCheckpoint | undefined;
  try {
    packed = await openPacked(folder);
    const changed: string[] = [];
    for (const { outputs } of Object.values(steps)) {
      for (const [name, sha256] of Object.values(outputs).flatMap(({ tensors }) => Object.entries(tensors))) {
        const [layer, plane] = name.split("#");
        if (plane === undefined || !packed.layers.has(layer)) continue;
        const found = await packed.plane(layer, plane);
        if (found === undefined || await hashTensor(found) !== sha256) changed.push(`${layer}.${plane}`);
      }
    }
    return changed;
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  } finally {
    packed?.close();
  }
}

/**
 * Holds measures against those of a lock.
 *
 * @param claimed whether `now` is what somebody says, in metrics.json: then it may say nothing that the lock does not know
 * @returns nothing where the lock has none
 */
export function checkMetrics(
  { metrics, tolerance }: LockedOutcome,
  now: LockedMetrics,
  { claimed = false } = {},
): MetricCheck[] {
  if (metrics === undefined || tolerance === undefined) return [];
  const measured = new Map(measuresOf(now, tolerance).map((measure) => [measure.name, measure.value]));
  const checks = measuresOf(metrics, tolerance).map(({ name, value: locked, within }): MetricCheck => {
    const after = measured.get(name) ?? NaN;
    const same = locked === after || Number.isNaN(locked) && Number.isNaN(after);
    const meets = same || Math.abs(after / locked - 1) <= within || Math.abs(after - locked) <= Number.EPSILON;
    return { name, locked, now: after, within, same, meets };
  });
  if (!claimed) return checks;
  const known = new Set(checks.map(({ name }) => name));
  const unknown = [...measured].filter(([name]) => !known.has(name)).map(([name, now]): MetricCheck => ({
    ...{ name, locked: NaN, now, within: 0, same: false, meets: false },
  }));
  return [...checks, ...unknown];
}

interface Measure {
  readonly name: string;
  readonly value: number;
  /** Relative tolerance. */
  readonly within: number;
}

function measuresOf(
  { perplexity, tasks = {}, bits, layer_error }: LockedMetrics,
  tolerance: NonNullable<LockedOutcome["tolerance"]>,
): Measure[] {
  const perplexities = Object.entries(perplexity).flatMap(([name, { original, compressed, divergence }]): Measure[] => {
    const within = tolerance.perplexity[name] ?? 0, apart = { within: tolerance.divergence ?? 0 };
    return [
      { name: `${name} before`, value: Number(original), within },
      { name: `${name} after`, value: Number(compressed), within },
      ...(divergence === undefined ? [] : [
        { name: `${name} KL`, value: divergence.kl, ...apart },
        { name: `${name} same top`, value: divergence.same_top, ...apart },
      ]),
    ];
  });
  const accuracies = Object.entries(tasks).flatMap(([task, scores]) =>
    (["acc", "acc_norm"] as const).flatMap((score) =>
      ([["original", "before"], ["compressed", "after"]] as const).flatMap(([variant, when]): Measure[] => {
        const value = scores[variant][score];
        if (value === undefined) return [];
        return [{
          name: `${task} ${score} ${when}`,
          value,
          within: value > 0 ? (tolerance.tasks?.[task] ?? 0) / value : 0,
        }];
      })
    )
  );
  return [
    ...perplexities,
    ...accuracies,
    { name: "stored bits", value: bits.stored, within: tolerance.bits },
    { name: "bits, whole model", value: bits.model, within: tolerance.bits },
    { name: "layer error", value: layer_error, within: tolerance.layer_error },
  ];
}

/** What follows. */
export function verdictOf({ steps, missing, files, metrics, stoppedEarly }: Evidence): Verdict {
  const same = missing.length === 0 && !stoppedEarly && steps.every(({ verdict }) => verdict !== "different") &&
    files.every(({ same }) => same) && metrics.every(({ same }) => same);
  if (same) return "bit-identical";
  return !stoppedEarly && metrics.length > 0 && metrics.every(({ meets }) => meets) ? "within tolerance" : "different";
}
