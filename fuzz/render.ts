/** What a run of the fuzzer prints. */
import { renderTable } from "../report/text_table.ts";
import { formatSeconds } from "../report/numbers.ts";
import type { FuzzResult, Group, Tally } from "./fuzz.ts";
import type { Case, CaseName } from "./mutate/case.ts";

/** Letters of a message that are shown. */
const SHOWN = 200;

/** A kind that is done, in one line. */
export function describeTally({ kind, cases, clean, refused, findings }: Tally): string {
  return `${kind}: ${cases} cases, ${clean} clean, ${refused} refused, ${findings} findings`;
}

/** What is spoilt in a case. */
export function describeCase({ sample, changes }: Case): string[] {
  return [`sample   ${sample}`, ...changes.map((change) => `spoilt   ${change.slice(0, SHOWN)}`)];
}

/** The command that reads one case again. */
export function replayCommand({ kind, seed, number }: CaseName): string {
  return `deno task fuzz --kind ${kind} --seed ${seed} --case ${number}`;
}

/** A run as a table, and what it found. */
export function renderResult({ tallies, groups, seconds, seed, interrupted }: FuzzResult, width: number): string[] {
  const columns = [
    { head: "kind" },
    ...["cases", "clean", "refused", "findings"].map((head) => ({ head, side: "right" as const })),
  ];
  const total = tallies.reduce((sum, { cases }) => sum + cases, 0);
  const rows = tallies.map(({ kind, cases, clean, refused, findings }) => [
    kind,
    ...[cases, clean, refused, findings].map(String),
  ]);
  const rate = (total / Math.max(seconds, 1e-9)).toFixed(0);
  return [
    ...groups.flatMap((group) => [...describeGroup(group), ""]),
    ...renderTable(columns, rows, { width }),
    "",
    `${total} cases of seed ${seed} in ${formatSeconds(seconds)}, ${rate} a second: ${describeGroups(groups)}` +
    (interrupted ? "; ended early" : ""),
  ];
}

function describeGroups(groups: readonly Group[]): string {
  if (groups.length === 0) return "no findings";
  const findings = groups.reduce((sum, { count }) => sum + count, 0);
  return `${findings} findings of ${groups.length} causes`;
}

function describeGroup({ name, problem, error, frame, message, count, changes }: Group): string[] {
  const at = frame === undefined ? "" : ` at ${frame}`;
  return [
    `${name.kind}: ${problem}${at}, ${count} times`,
    `  ${error === undefined ? "" : `${error}: `}${firstLine(message)}`,
    ...changes.map((change) => `  ${change.slice(0, SHOWN)}`),
    `  ${replayCommand(name)}`,
  ];
}

function firstLine(message: string): string {
  // deno-lint-ignore no-control-regex
  const line = message.split("\n")[0].replaceAll(/[\u0000-\u001f\u007f-\u009f]/g, "�");
  return line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line;
}
