/** Our rows beside numbers that others measured or published, and what of them does not reproduce. */
import { axisText } from "./axis_names.ts";
import type { Row } from "./leaderboard.ts";
import {
  LLAMA_CPP_ROWS,
  type LlamaCppRow,
  MEASURED_ROWS,
  type MeasuredRow,
  REFERENCE_MODELS,
  type ReferenceModel,
} from "./measured_elsewhere.ts";
import { type MarkdownCell, markdownTable, markdownText } from "./markdown.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds } from "./numbers.ts";
import { PUBLISHED_ABLATIONS, PUBLISHED_MODELS, PUBLISHED_ROWS, SOURCE } from "./published.ts";
import type { Entry, ModelResults } from "./results_by_model.ts";

/** How far a perplexity and a layer error may be from the measured ones. */
const WITHIN = { perplexity: 0.03, layerError: 0.02, logarithm: 0.02 } as const;

/** Perplexities above this many times the uncompressed model's are those of a broken model. */
const BROKEN = 10;

/** How far the uncompressed perplexity may be: further, and other windows were measured. */
const SAME_WINDOWS = 0.002;
/** Bits by which a size may be above another's and still count as the same: rounding. */
const SAME_BITS = 0.005;

/** Whether a row is what was measured with other code. */
export type Verdict = "within" | "better" | "differs" | "not made" | "time only";

/** The model of measured numbers that results are of. */
export function referenceOf({ model }: Pick<ModelResults, "model">): ReferenceModel | undefined {
  return REFERENCE_MODELS.find(({ label }) => model.toLowerCase().includes(label));
}

/** The evaluation that was measured on the reference's windows. */
function evaluationOf({ original }: ModelResults, reference: ReferenceModel): string | undefined {
  return Object.keys(original).find((name) => Math.abs(original[name] / reference.original - 1) <= SAME_WINDOWS);
}

/** Rows beside those of other code, each with a verdict; what differs or is not there is said to be. */
export function besideMeasured(results: ModelResults): string[] {
  const reference = referenceOf(results);
  if (reference === undefined) return [];
  const title = "### Beside other code on the same windows";
  const evaluation = evaluationOf(results, reference);
  if (evaluation === undefined) return [title, "", otherWindows(reference), ""];
  const compared = MEASURED_ROWS.filter(({ model }) => model === reference.id).map((row) => {
    const entry = entryFor(results.entries, row.ours);
    return { row, entry, verdict: verdictOf(row, entry, evaluation) };
  });
  const right = (head: string) => ({ head, side: "right" } as const);
  const table = markdownTable(
    [
      ...[{ head: "method" }, { head: "settings" }, { head: "code" }, { head: "our row" }],
      ...["perplexity", "ours", "ratio", "layer error", "ours", "ratio"].map(right),
      { head: "" },
    ],
    compared.map(({ row, entry, verdict }): MarkdownCell[] => [
      ...[row.method, row.settings, row.code, entry?.row.label ?? "–"],
      ...pair(row.perplexity, entry?.row.perplexity[evaluation]?.mean),
      ...pair(row.layerError, entry?.row.layerError.mean.mean),
      verdict === "differs" ? { bold: verdict } : verdict === "time only" ? timeOnly(row) : verdict,
    ]),
  );
  const differing = compared.filter(({ verdict }) => verdict === "differs").map(({ row, entry }) =>
    `${row.method} (${row.settings}) by ${entry?.row.label}`
  );
  return [
    title,
    "",
    `Calibrated on ${reference.calibration}, measured on ${reference.evaluation}, as ours. *official* code is the authors' own, *plain* code an implementation in PyTorch. *within*: perplexity within ` +
    `${percent(WITHIN.perplexity)} and layer error within ${
      percent(WITHIN.layerError)
    }; *better*: beyond that on the good side alone. Where ` +
    `the other code's perplexity is above ${BROKEN} times the uncompressed one's, the logarithms are compared, to ${
      percent(WITHIN.logarithm)
    }: what a broken ` +
    "model says is largely chance.",
    "",
    ...table,
    "",
    differing.length === 0
      ? `Of the rows that were made, ${
        compared.some(({ verdict }) => verdict === "within" || verdict === "better")
          ? "all reproduce"
          : "none can be compared"
      }.`
      : `**Does not reproduce**: ${markdownText(differing.join("; "))}.`,
    "",
  ];
}

/** Files of llama.cpp of the same weights, each beside our best row that is no larger. */
export function besideLlamaCpp(results: ModelResults): string[] {
  const reference = referenceOf(results);
  const evaluation = reference && evaluationOf(results, reference);
  if (reference === undefined || evaluation === undefined) return [];
  const rows = LLAMA_CPP_ROWS.filter(({ model }) => model === reference.id).toSorted((a, b) => a.bits - b.bits);
  // Embeddings are as much of a file as layers are; bits of layers are compared where nothing else is known.
  const isAsSmall = ({ bits, bytes }: LlamaCppRow, row: Row) =>
    bytes === undefined ? row.bits.stored.mean <= bits + SAME_BITS : row.bytes.mean <= bytes;
  const best = (file: LlamaCppRow) =>
    results.entries.filter(({ row }) => isAsSmall(file, row) && evaluation in row.perplexity)
      .filter(({ row }) => Number.isFinite(row.perplexity[evaluation].mean))
      .toSorted((a, b) => a.row.perplexity[evaluation].mean - b.row.perplexity[evaluation].mean).at(0)?.row;
  const right = (head: string) => ({ head, side: "right" } as const);
  return [
    "### Beside llama.cpp on the same weights",
    "",
    "Bits of the blocks' linear tensors, all bytes counted. Beside each file: our best row whose file is no larger; where its size is not " +
    "known, our best whose layers store no more.",
    "",
    ...markdownTable(
      [
        ...[{ head: "file" }, ...["bits", "size", "perplexity"].map(right)],
        ...[{ head: "our best as small" }, ...["stored", "size", "perplexity", "ratio"].map(right)],
      ],
      rows.map((file) => {
        const { type, bits, bytes, perplexity } = file, ours = best(file);
        const value = ours?.perplexity[evaluation].mean;
        return [
          ...[type, formatBits(bits), bytes === undefined ? "–" : formatBytes(bytes), formatNumber(perplexity)],
          ...[ours?.label ?? "none is as small", ours === undefined ? "–" : formatBits(ours.bits.stored.mean)],
          ...[ours === undefined ? "–" : formatBytes(ours.bytes.mean)],
          ...[value === undefined ? "–" : formatNumber(value), ratio(perplexity, value)],
        ];
      }),
    ),
    "",
  ];
}

/** Papers' numbers beside ours where the model is the same; else the plain statement that it is not. */
export function besidePublished({ model, entries, evaluations }: ModelResults): string[] {
  const title = "### Beside published numbers";
  const published = PUBLISHED_MODELS.find(({ label }) => model.toLowerCase().includes(label));
  if (published === undefined) {
    const names = PUBLISHED_MODELS.map(({ title }) => title).join(", ");
    return [
      title,
      "",
      `The papers print no number for this model; theirs are for ${names} and stand below. No ratio of ours to theirs means anything across models.`,
      "",
    ];
  }
  const evaluation = evaluations.find((name) => /wiki/i.test(name)) ?? evaluations[0];
  const right = (head: string) => ({ head, side: "right" } as const);
  return [
    title,
    "",
    `${SOURCE}; ours on ${markdownText(evaluation ?? "nothing")}.`,
    "",
    ...markdownTable(
      [
        ...[{ head: "method" }, right("nominal"), right("published"), { head: "our row" }],
        ...["nominal", "stored", "perplexity", "ratio"].map(right),
      ],
      PUBLISHED_ROWS.map(({ method, nominal, perplexity, ours }) => {
        const row = nominal === 16 ? undefined : entryFor(entries, ours)?.row;
        const value = nominal === 16 ? entries[0].row.original[evaluation] : row?.perplexity[evaluation]?.mean;
        return [
          ...[method, formatBits(nominal), printed(perplexity[published.id]), row?.label ?? "–"],
          ...[
            row === undefined ? "–" : formatBits(row.bits.nominal.mean),
            row === undefined ? "–" : formatBits(row.bits.stored.mean),
          ],
          ...[value === undefined ? "–" : formatNumber(value), ratio(perplexity[published.id], value)],
        ];
      }),
    ),
    "",
  ];
}

/** What papers print, whole. */
export function publishedTables(): string[] {
  const right = (head: string) => ({ head, side: "right" } as const);
  return [
    "## Published numbers",
    "",
    `${SOURCE}: perplexity. They were not measured here, and their bits are nominal: stored bits are not published.`,
    "",
    ...markdownTable(
      [{ head: "method" }, right("nominal"), ...PUBLISHED_MODELS.map(({ title }) => right(title)), { head: "time" }],
      PUBLISHED_ROWS.map(({ method, nominal, perplexity, time }) => [
        ...[
          method,
          formatBits(nominal),
          ...PUBLISHED_MODELS.map(({ id }) => printed(perplexity[id])),
          time ?? "–",
        ],
      ]),
    ),
    "",
    "Ablations on LLaMA-1 7B at 4:8:",
    "",
    ...PUBLISHED_ABLATIONS.map(({ what, rows }) =>
      `- ${what}: ${rows.map(([setting, value]) => `${setting} ${printed(value)}`).join(", ")}`
    ),
    "",
  ];
}

/** Compares a row with what was measured. */
export function verdictOf(theirs: MeasuredRow, entry: Entry | undefined, evaluation: string): Verdict {
  if (theirs.perplexity === undefined) return "time only";
  if (entry === undefined) return "not made";
  const original = REFERENCE_MODELS.find(({ id }) => id === theirs.model)?.original ?? Infinity;
  const ours = entry.row.perplexity[evaluation]?.mean ?? NaN;
  const shares = [
    theirs.perplexity > BROKEN * original
      ? (Math.log(ours) / Math.log(theirs.perplexity) - 1) / WITHIN.logarithm
      : (ours / theirs.perplexity - 1) / WITHIN.perplexity,
    ...(theirs.layerError === undefined
      ? []
      : [(entry.row.layerError.mean.mean / theirs.layerError - 1) / WITHIN.layerError]),
  ];
  if (!shares.every((share) => share <= 1)) return "differs";
  return shares.every((share) => share >= -1) ? "within" : "better";
}

/** The row of one of some recipes, by the names' order: its label, the recipe that it extends, or its run's recipe. */
function entryFor(entries: readonly Entry[], names: readonly string[]): Entry | undefined {
  for (const name of names) {
    const found = entries.find(({ row }) => row.label === name) ??
      entries.find(({ row, provenance }) => axisText(row.values.extends) === name || provenance?.recipe === name);
    if (found !== undefined) return found;
  }
  return undefined;
}

function timeOnly({ seconds, note }: MeasuredRow): string {
  return `only its time: ${seconds === undefined ? "–" : formatSeconds(seconds)}${
    note === undefined ? "" : `, ${note}`
  }`;
}

/** As printed, with two decimals. */
function printed(value: number): string {
  return value.toFixed(2);
}

function otherWindows({ title, original }: ReferenceModel): string {
  return `Other code was measured on windows on which ${markdownText(title)} has an uncompressed perplexity of ` +
    `${formatNumber(original)}; these rows were measured on others, so nothing is compared.`;
}

/** Theirs, ours, and ours ÷ theirs. */
function pair(theirs: number | undefined, ours: number | undefined): string[] {
  const text = (value: number | undefined) => value === undefined ? "–" : formatNumber(value);
  return [text(theirs), text(ours), ratio(theirs, ours)];
}

function ratio(theirs: number | undefined, ours: number | undefined): string {
  return theirs === undefined || ours === undefined ? "–" : (ours / theirs).toFixed(3);
}

function percent(share: number): string {
  return `${100 * share} %`;
}
