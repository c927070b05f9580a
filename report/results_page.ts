/**
 * RESULTS.md, made from evidence and from numbers of others (`measured_elsewhere.ts`, `published.ts`): nothing in it is written by hand.
 * Comparisons with others are `results_beside.ts`.
 */
import { formatPercent } from "./divergence.ts";
import type { Evidence } from "./evidence.ts";
import { buildLeaderboard, compressedParts, type Row, type Unfinished } from "./leaderboard.ts";
import { describeSweep } from "./leaderboard_cells.ts";
import { describeUnfinished } from "./leaderboard_text.ts";
import { type MarkdownCell, markdownCode, markdownTable, markdownText } from "./markdown.ts";
import { formatBits, formatBytes, formatNumber, formatSeconds, formatSpread } from "./numbers.ts";
import { besideLlamaCpp, besideMeasured, besidePublished, publishedTables, referenceOf } from "./results_beside.ts";
import { type Entry, type ModelResults, modelsOf } from "./results_by_model.ts";

/**
 * Renders the page.
 *
 * @param evidence in the order in which to show it
 * @returns Markdown, which depends on the evidence alone
 */
export function renderResultsPage(evidence: readonly Evidence[]): string {
  const boards = evidence.map((each) => ({ evidence: each, board: buildLeaderboard(each.sweep) }));
  const models = modelsOf(
    boards.flatMap(({ evidence, board }) =>
      board.rows.map((row) => ({ row, evidence, provenance: evidence.points[row.points[0]] }))
    ),
  );
  const unfinished = boards.flatMap(({ evidence, board }) =>
    board.unfinished.map((point) => ({ name: evidence.sweep.name, point }))
  );
  return [
    ...introduction(models),
    ...models.flatMap(modelSection),
    ...(unfinished.length === 0 ? [] : unfinishedSection(unfinished)),
    ...publishedTables(),
    ...provenanceSection(evidence),
  ].join("\n") + "\n";
}

/** What columns mean; of divergence only where a row has any. */
function introduction(models: readonly ModelResults[]): string[] {
  const compared = models.some(({ entries }) => entries.some(({ row }) => Object.keys(row.divergence).length > 0));
  return [
    "# Results",
    "",
    "Made by `deno task results` from the records in `results/`, never by hand; `deno task results --check` fails where this page is not what they make. " +
    "`deno task results FOLDER…` keeps the records of sweeps and runs there first.",
    "",
    "- **nominal**: bits per weight as the method's paper counts them. **stored**: 8 × bytes ÷ weights of the compressed layers, which says what the nominal number leaves out. " +
    "**file**: the same of the whole packed file, embeddings and all.",
    "- **perplexity** is exp of the mean over windows of the mean next-token loss, of the model decoded from the packed file. A ± is the standard deviation over n points that differ in their seed.",
    ...(compared ? [DIVERGENCE] : []),
    "- **layer error** is tr((W−Ŵ)H(W−Ŵ)ᵀ) / tr(WHWᵀ), mean over the layers.",
    "- **time** is that of all steps, shared ones too; ≥ where some came from a cache and only the others were timed.",
    "- Rows stand by bits of the whole file. **Bold** rows are on the Pareto front of file and perplexity, over all tables of their model.",
    "",
  ];
}

const DIVERGENCE =
  "- **KL** is the mean divergence of the next token from the uncompressed model's, in nats; **top-1** is how often both find the same token " +
  "the likeliest. – where nobody looked.";

function modelSection(results: ModelResults): string[] {
  const { model, original, entries } = results;
  const title = referenceOf(results)?.title;
  const measured = Object.entries(original).map(([name, value]) => `${name} ${formatNumber(value)}`).join(", ");
  const weights = [...new Set(entries.flatMap(({ provenance }) => provenance?.weights ?? []))];
  const sources = [...Map.groupBy(entries, ({ evidence }) => evidence).entries()];
  const [sweeps, singles] = [true, false].map((many) =>
    sources.filter(([evidence]) => (evidence.sweep.points.length > 1) === many)
  );
  return [
    `## ${markdownText(model)}${title === undefined ? "" : `: ${markdownText(title)}`}`,
    "",
    ...(measured === "" ? [] : [
      `Uncompressed: ${markdownText(measured)}.` +
      weights.map((hash) => ` Weights: sha256 \`${hash.slice(0, 16)}\`.`).join(""),
      "",
    ]),
    ...sweeps.flatMap(([{ sweep, command }, rows]) => [
      `### ${markdownText(sweep.name)}`,
      "",
      `${markdownCode(command)}: ${markdownText(describeSweep(sweep))}.`,
      "",
      ...rowTable(rows, results),
      "",
    ]),
    ...(singles.length === 0 ? [] : [
      "### Single runs",
      "",
      ...rowTable(entries.filter(({ evidence: { sweep } }) => sweep.points.length === 1), results),
      "",
    ]),
    ...frontSection(results),
    ...besideMeasured(results),
    ...besideLlamaCpp(results),
    ...besidePublished(results),
  ];
}

function rowTable(entries: readonly Entry[], { evaluations }: ModelResults): string[] {
  const repeated = entries.some(({ row }) => row.of > 1), parts = compressedParts(entries.map(({ row }) => row));
  const right = (head: string) => ({ head, side: "right" } as const);
  const compared = evaluations.filter((name) => entries.some(({ row }) => name in row.divergence));
  const of = (name: string) => evaluations.length === 1 ? "" : `, ${name}`;
  return markdownTable(
    [
      { head: "row" },
      ...(repeated ? [right("n")] : []),
      ...["nominal", "stored", ...parts, "file", "size"].map(right),
      ...evaluations.map((name) => right(evaluations.length === 1 ? "perplexity" : name)),
      ...compared.flatMap((name) => [right(`KL${of(name)}`), right(`top-1, %${of(name)}`)]),
      ...["layer error", "time"].map(right),
      { head: "on" },
    ],
    entries.map(({ row, provenance }): MarkdownCell[] => [
      row.front.includes(evaluations[0]) ? { bold: row.label } : row.label,
      ...(repeated ? [row.points.length === row.of ? `${row.of}` : `${row.points.length} of ${row.of}`] : []),
      ...[row.bits.nominal, row.bits.stored, ...parts.map((part) => row.bits[part]), row.bits.model].map((spread) =>
        spread === undefined ? "–" : formatBits(spread.mean)
      ),
      formatBytes(row.bytes.mean),
      ...evaluations.map((name) => row.perplexity[name]).map((value) =>
        value === undefined ? "–" : formatSpread(value.mean, value.sd)
      ),
      ...compared.map((name) => row.divergence[name]).flatMap((found) =>
        found === undefined ? ["–", "–"] : [formatNumber(found.kl.mean), formatPercent(found.sameTop.mean)]
      ),
      formatNumber(row.layerError.mean.mean),
      timeOf(row),
      provenance?.where.replace(/ \(.*/, "") ?? "–",
    ]),
  );
}

function timeOf({ seconds: { alone, sweep } }: Row): string {
  if (alone !== undefined) return formatSeconds(alone.mean);
  return sweep === undefined ? "–" : `≥ ${formatSeconds(sweep.mean)}`;
}

function frontSection({ entries, evaluations: [first] }: ModelResults): string[] {
  const front = entries.filter(({ row }) => row.front.includes(first));
  if (front.length === 0 || entries.length < 2) return [];
  // A row may stand in two tables.
  const steps = front.map(({ row }) =>
    `${markdownText(row.label)} (file ${formatBits(row.bits.model.mean)}, stored ${
      formatBits(row.bits.stored.mean)
    } bits: ` +
    `${formatNumber(row.perplexity[first].mean)})`
  );
  return ["### Pareto front", "", `From small to good: ${[...new Set(steps)].join(" → ")}.`, ""];
}

function unfinishedSection(points: readonly { readonly name: string; readonly point: Unfinished }[]): string[] {
  const rows = points.map(({ name, point }) => [name, point.label, point.state, describeUnfinished(point)]);
  const columns = ["sweep or run", "point", "state", "reason"].map((head) => ({ head }));
  return ["## Not finished", "", ...markdownTable(columns, rows), ""];
}

function provenanceSection(evidence: readonly Evidence[]): string[] {
  const rows = evidence.flatMap(({ sweep, points }) =>
    sweep.points.filter(({ id }) => id in points).map(({ id, label }): MarkdownCell[] => {
      const { run, command, where, deno, code } = points[id];
      return [label, { code: run }, dateOf(run), where, deno ?? "–", code === undefined ? "–" : { code }, {
        code: command,
      }];
    })
  );
  if (rows.length === 0) return [];
  return [
    "## Where rows come from",
    "",
    "The name of a run begins with its time (UTC). *code* is the hash of all code that made the result; the hashes of its parts are in the records. " +
    "Run the command again to make the row.",
    "",
    ...markdownTable(["row", "run", "date", "device", "Deno", "code", "command"].map((head) => ({ head })), rows),
  ];
}

/** 20260102-… as 2026-01-02. */
function dateOf(run: string): string {
  const date = /^(\d{4})(\d\d)(\d\d)-/.exec(run);
  return date === null ? "–" : date.slice(1).join("-");
}
