/** What `verify` says: a line for each step that differs, then the evidence, then the verdict in its own words. */
import { type Evidence, type Verdict, verdictOf } from "../pipeline/verdict.ts";
import type { Divergence } from "../pipeline/divergence.ts";
import type { StepVerdict } from "../pipeline/run_comparison.ts";
import { formatSeconds } from "../report/numbers.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";

/** All that a verification has found. */
export interface Verification extends Evidence {
  /** Of the run, as people know it. */
  readonly run: string;
  /** What was done. */
  readonly mode: "made again" | "measured again" | "looked at";
  /** Steps that this command has made, and those that were in a cache, which prove nothing. */
  readonly made: number;
  readonly cached: number;
  /** Versions that are others. */
  readonly notes: readonly string[];
  readonly seconds: number;
  /** Tensors of a packed file that is another than the lock's, as far as the lock has their hashes. */
  readonly planes?: readonly string[];
  /** Where what was made is kept. */
  readonly kept?: string;
}

const EXITS: Readonly<Record<Verdict, number>> = { "bit-identical": 0, "within tolerance": 11, different: 12 };

/** Prints a verification. @returns the exit code */
export function conclude(
  found: Verification,
  { json = false }: { readonly json?: boolean },
  terminal: Terminal,
): number {
  const verdict = verdictOf(found);
  if (json) terminal.line(JSON.stringify({ type: "verdict", verdict, ...forPrograms(found) }));
  else {
    terminal.line();
    for (const line of [...evidence(found), "", ...lastWords(found, verdict)]) {
      for (const each of wrapText(line, terminal.width, "            ")) terminal.line(each);
    }
  }
  return EXITS[verdict];
}

/** The first step that differs. */
export function firstOf({ steps }: Pick<Evidence, "steps">): StepVerdict | undefined {
  return steps.find(({ verdict }) => verdict === "different");
}

/** What differs of a step, in one sentence. */
export function describeStep({ step, differing, first, after = [] }: StepVerdict): string {
  const more = differing > 1 ? `, the first of ${differing} that differ` : "";
  const from = after.length === 0
    ? ""
    : `; it may come from ${after.join(", ")}, of whose results the lock has no hash`;
  return `${step}: ${first?.tensor ?? "it"}${more}${first ? `; ${describeNumbers(first)}` : ""}${from}`;
}

function describeNumbers({ max, differing, of, measured, note }: Divergence): string {
  if (max === undefined || differing === undefined || of === undefined) return note ?? "how far is not known";
  const share = `${differing.toLocaleString("en")} of ${of.toLocaleString("en")} entries`;
  const where = measured === undefined ? "" : ` in ${measured}`;
  return `max |Δ| ${+max.toPrecision(3)}${where}, ${share} (${(100 * differing / Math.max(of, 1)).toPrecision(2)} %)`;
}

function evidence(found: Verification): string[] {
  const { steps, missing, files, metrics, made, cached, notes, mode } = found, first = firstOf(found);
  const count = (verdict: StepVerdict["verdict"]) => steps.filter((step) => step.verdict === verdict).length;
  const [same, different] = [count("same"), count("different")];
  const proof = cached === 0 ? "" : `, ${cached} from the cache, which prove nothing`;
  return [
    ...(mode !== "made again" ? [] : [
      `steps       ${made} made again${proof}; of ${same + different} that the lock has hashes of, ` +
      (different === 0 ? "all are the same" : `${different} ${different === 1 ? "differs" : "differ"}`),
    ]),
    ...(first === undefined ? [] : [`first       ${describeStep(first)}`]),
    ...(missing.length === 0 ? [] : [`missing     ${missing.slice(0, 5).join(", ")}: this version makes no such step`]),
    ...(files.length === 0 ? [] : [`files       ${describeFiles(found)}`]),
    ...(notes.length > 0 && verdictOf(found) !== "bit-identical" ? [`unlike      ${notes.join("; ")}`] : []),
    ...(metrics.length === 0 ? [] : ["", ...metricTable(found)]),
  ];
}

function describeFiles({ files, planes }: Verification): string {
  const wrong = files.filter(({ same }) => !same);
  if (wrong.length === 0) return `all ${files.length} of the packed model are the same`;
  const each = wrong.map(({ name, sha256 }) => `model/${name}${sha256 === undefined ? " is not there" : ""}`);
  const inside = planes === undefined
    ? ""
    : planes.length === 0
    ? "; its packed layers are the same, so it is in the other tensors or in the header"
    : `; in it ${planes.slice(0, 3).join(", ")}${planes.length > 3 ? ` and ${planes.length - 3} more` : ""}`;
  return `${wrong.length} of ${files.length} of the packed model differ: ${each.join(", ")}${inside}`;
}

function metricTable({ metrics, mode }: Verification): string[] {
  const right = "right" as const, where = mode === "looked at" ? "metrics.json" : "now";
  return renderTable(
    [{ head: "" }, { head: "lock", side: right }, { head: where, side: right }, { head: "" }],
    metrics.map(({ name, locked, now, within, same, meets }) => [
      name,
      `${Number(locked.toPrecision(7))}`,
      `${Number(now.toPrecision(7))}`,
      same
        ? "same"
        : within === 0
        ? "another"
        : meets
        ? `within ${+(100 * within).toPrecision(3)} %`
        : `not within ${+(100 * within).toPrecision(3)} %`,
    ]),
    { width: 80 },
  );
}

function lastWords(found: Verification, verdict: Verdict): string[] {
  const { seconds, kept, stoppedEarly, mode, run, files } = found;
  const time = ` (${formatSeconds(seconds)})`;
  const words = {
    "bit-identical": mode === "measured again"
      ? `Bit-identical: the packed model is the one of ${run}, and measures the same${time}`
      : `Bit-identical: what ${run} says came out the same${time}`,
    "within tolerance": `Within tolerance: not bit-identical, but as near as the lock asks for${time}`,
    different: stoppedEarly
      ? `Different: stopped at the first step that differs${time}`
      : mode === "looked at"
      ? `Different: this folder does not hold what its own lock says${
        files.some(({ same }) => !same) ? "; it was changed after the run, or damaged on the way" : ""
      }`
      : `Different${time}`,
  };
  return [words[verdict], ...(kept === undefined ? [] : [`kept        ${kept}`])];
}

function forPrograms({ steps, ...found }: Verification) {
  const count = (verdict: StepVerdict["verdict"]) => steps.filter((step) => step.verdict === verdict).length;
  const { run, mode, made, cached, missing, files, planes, metrics, notes, seconds, kept } = found;
  return {
    ...{ run, mode, first: firstOf({ steps }) ?? null },
    steps: { made, cached, same: count("same"), different: count("different"), unrecorded: count("unrecorded") },
    ...{ missing, files, ...(planes === undefined ? {} : { planes }), metrics, notes, seconds },
    ...(kept === undefined ? {} : { kept }),
  };
}
