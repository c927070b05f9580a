/**
 * The card of a packed model on the Hugging Face Hub, README.md: front matter that the hub reads, and text for people. All numbers are
 * those of metrics.json as the terminal shows them; nothing is written by hand.
 */
import { stringify } from "yaml";
import { type Expectations, meets } from "./expectation.ts";
import { sayDivergence } from "./divergence.ts";
import { markdownCode, markdownTable, markdownText } from "./markdown.ts";
import { componentsOf, type Metrics, PARTS } from "./metrics.ts";
import { formatBits, formatBytes, formatNumber } from "./numbers.ts";
import { formatShare, sayCut, scoresOf } from "./task_scores.ts";

/** Terms under which the base model may be used, as the hub's front matter says them. */
export interface Licence {
  /** The hub's ids, such as `apache-2.0`, or `other`. */
  readonly license: string | readonly string[];
  readonly license_name?: string;
  readonly license_link?: string;
}

/** A text, as model-index names it. */
export interface CardText {
  /** Hub id of a data set; of a file, the text's name in the recipe. */
  readonly type: string;
  readonly config?: string;
  readonly split?: string;
  /** A file that is not on the hub: whoever verifies must have it. */
  readonly file?: { readonly name: string; readonly bytes: number; readonly sha256: string };
}

/** What a card is made of. */
export interface CardFacts {
  readonly metrics: Metrics;
  /** owner/name of the repository that the card is for. */
  readonly target: string;
  readonly recipe: {
    readonly name: string;
    readonly description?: string;
    readonly expect?: Expectations;
  };
  /** The model that was compressed. */
  readonly base: {
    readonly id: string;
    readonly commit: string;
    /** Whether the lock names its files alone, so that verifying is told where they are. */
    readonly local: boolean;
  };
  readonly licence: Licence;
  /** By evaluation, and `calibration`. */
  readonly texts: Readonly<Record<string, CardText>>;
  /** Files of code of the author's own that made it, which the repository does not have. */
  readonly code?: readonly string[];
  readonly version: string;
}

/** How the program is called from a copy of its repository. */
const CALL = "npx -y deno@2.9.6 task";

/**
 * The whole card: front matter, then Markdown.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { buildMetrics } from "./metrics.ts";
 * import { FACTS } from "./metrics_test_support.ts";
 *
 * const card = renderModelCard({
 *   metrics: buildMetrics(FACTS),
 *   target: "me/tiny-llama-pbs2p",
 *   recipe: { name: "quickstart" },
 *   base: { id: "me/tiny-llama", commit: "0".repeat(40), local: false },
 *   licence: { license: "apache-2.0" },
 *   texts: {},
 *   version: "0.1.0",
 * });
 * assert.match(card, /^---\nlicense: apache-2\.0\n/);
 * assert.match(card, /^base_model_relation: quantized$/m);
 * assert.match(card, /\| heldout \| 24\.90 \| 37\.16 \| 51,200 \|/);
 * ```
 */
export function renderModelCard(facts: CardFacts): string {
  return `---\n${stringify(frontMatter(facts), { lineWidth: 0 })}---\n\n${text(facts).join("\n")}\n`;
}

function frontMatter({ metrics, target, base, licence, texts }: CardFacts): Record<string, unknown> {
  const results: Record<string, unknown>[] = Object.entries(metrics.perplexity).flatMap(
    ([name, { original, compressed }]) => {
      const { type, config, split } = texts[name] ?? { type: name };
      // Front matter is read as JSON, which has no number for what is infinite or none; the text says it.
      const values = [["compressed", compressed], ["original", original]] as const;
      const finite = values.filter(([, value]) => Number.isFinite(value));
      return finite.length === 0 ? [] : [{
        task: { type: "text-generation" },
        dataset: {
          name,
          type,
          ...(config === undefined ? {} : { config }),
          ...(split === undefined ? {} : { split }),
        },
        metrics: finite.map(([of, value]) => ({
          type: "perplexity",
          value: Number(formatNumber(value).replaceAll(",", "")),
          name: of === "original" ? "Perplexity of the original model" : `Perplexity, compressed (${bitsOf(metrics)})`,
        })),
      }];
    },
  );
  for (const [name, { original, items: _items, cut: _cut, ...compressed }] of Object.entries(metrics.tasks)) {
    results.push({
      task: { type: "multiple-choice" },
      dataset: { name, type: texts[`tasks.${name}`]?.type ?? name },
      metrics: [["compressed", compressed], ["original", original]].flatMap(([of, score]) => {
        const { acc, acc_norm } = score as Pick<typeof original, "acc" | "acc_norm">, whose = `${of} model, zero-shot`;
        return [
          { type: "acc", value: Number(acc.toFixed(4)), name: `Accuracy of the ${whose}` },
          ...(acc_norm === undefined
            ? []
            : [{ type: "acc_norm", value: Number(acc_norm.toFixed(4)), name: `Normalised accuracy of the ${whose}` }]),
        ];
      }),
    });
  }
  return {
    ...licence,
    library_name: "pbs2p",
    pipeline_tag: "text-generation",
    base_model: base.id,
    base_model_relation: "quantized",
    tags: [...new Set(["pbs2p", metrics.method, "quantized"])],
    ...(results.length === 0 ? {} : { "model-index": [{ name: target.split("/")[1], results }] }),
  };
}

/** Both counts, which never stand apart. */
function bitsOf({ bits: { nominal, stored } }: Metrics): string {
  return `${formatBits(nominal)} nominal, ${formatBits(stored.total)} stored bits per weight`;
}

function text(facts: CardFacts): string[] {
  const { metrics, target, recipe, base, version } = facts;
  const model = `[${markdownText(base.id)}](https://huggingface.co/${base.id})`;
  return [
    `# ${markdownText(target.split("/")[1])}`,
    "",
    `${model} at commit ${markdownCode(base.commit)}, its linear layers compressed by the method ` +
    `${markdownCode(metrics.method)} of pbs2p ${markdownText(version)}, from the recipe ${
      markdownCode(recipe.name)
    }: ` +
    `${bitsOf(metrics)}, ${formatBytes(metrics.bytes.packed)} in all.`,
    ...(recipe.description === undefined ? [] : ["", `> ${markdownText(recipe.description)}`]),
    "",
    "## Results",
    "",
    ...results(facts),
    "",
    ...bits(metrics),
    "",
    "## Use",
    "",
    "In a copy of pbs2p's repository, with Node 18 or newer:",
    "",
    "```sh",
    `${CALL} generate hf://${target} --prompt "The people of the United States"`,
    `${CALL} pull ${target}`,
    `${CALL} inspect hf://${target}`,
    "```",
    "",
    "## Verify",
    "",
    ...verification(facts),
    "",
    "## What is not claimed",
    "",
    ...limits(metrics),
  ];
}

function results({ metrics, recipe: { expect = {} } }: CardFacts): string[] {
  const named = Object.entries(metrics.perplexity), right = "right", asked = taskResults(metrics);
  if (named.length === 0) return asked.length > 0 ? asked : ["Nothing was measured on texts."];
  const expected = named.some(([name]) => expect[name] !== undefined);
  const divergences = named.flatMap(([name, { divergence }]) =>
    divergence === undefined
      ? []
      : ["", `Beside the original on ${markdownText(name)}: ${sayDivergence(divergence).join(", ")}.`]
  );
  const perplexities = markdownTable(
    [
      { head: "perplexity" },
      { head: "original", side: right },
      { head: "compressed", side: right },
      { head: "tokens", side: right },
      ...(expected ? [{ head: "the recipe expects" }] : []),
    ],
    named.map(([name, { original, compressed, tokens }]) => {
      const want = expect[name];
      return [
        ...[name, ...[original, compressed, tokens].map(formatNumber)],
        ...(expected ? [want === undefined ? "" : verdict(compressed, want)] : []),
      ];
    }),
  );
  return [...perplexities, ...divergences, ...(asked.length > 0 ? ["", ...asked] : [])];
}

function taskResults({ tasks }: Metrics): string[] {
  if (Object.keys(tasks).length === 0) return [];
  const right = "right" as const;
  const heads = [{ head: "zero-shot, %" }, { head: "" }, { head: "original", side: right }, {
    head: "compressed",
    side: right,
  }];
  const rows = scoresOf(tasks).map(({ task, metric, original, compressed }) => [
    ...[task, metric, formatShare(original), formatShare(compressed)],
  ]);
  return [...markdownTable(heads, rows), ...(sayCut(tasks) === undefined ? [] : ["", `Questions ${sayCut(tasks)}.`])];
}

function verdict(value: number, expected: Expectations[string]): string {
  return `${formatNumber(expected.value)} ± ${formatNumber(100 * expected.within)} %: ${
    meets(value, expected) ? "met" : "NOT met"
  }`;
}

function bits(metrics: Metrics): string[] {
  const { bits, bytes, layer_error: error, keep, of } = metrics;
  const parts = componentsOf(metrics).map(({ label, value }) => `${label} ${formatBits(value)}`);
  const apart = PARTS.flatMap((part) => bits[part] === undefined ? [] : [`${part} ${formatBits(bits[part])}`]);
  const storing = bits.storing === undefined ? "" : `, and ${formatBits(bits.storing)} for storing`;
  const times = formatNumber(bytes.original / Math.max(bytes.packed, 1));
  return [
    ...markdownTable([{ head: "bits per weight" }, { head: "", side: "right" }, { head: "" }], [
      ["nominal", { bold: formatBits(bits.nominal) }, `as the method's paper counts${storing}`],
      ["stored", { bold: formatBits(bits.stored.total) }, parts.join(" + ")],
      ["whole model", formatBits(bits.model), ["everything included", ...apart].join(", ")],
    ]),
    "",
    "Nominal bits count what the method's paper counts of a compressed weight; stored bits are the bytes that the compressed layers " +
    "take in the file, masks, scales and all else that decoding needs: compare those.",
    "",
    `The weights take ${formatBytes(bytes.packed)} (${bytes.packed} bytes), the original's ${
      formatBytes(bytes.original)
    } ` +
    `(${times} times as much). Mean layer error ${formatNumber(error.mean)}` +
    `${keep === undefined || of === undefined ? "" : `; kept of every ${of} weights, by block: ${keep.join(" ")}`}.`,
  ];
}

function verification({ target, base, texts, code = [], metrics: { device } }: CardFacts): string[] {
  const files = Object.entries(texts).flatMap(([name, { file }]) => file === undefined ? [] : [{ name, file }]);
  return [
    "`recipe.lock.yaml` pins every input, the versions and the hashes of all that came out; `report.html` and `metrics.json` are " +
    "the run's own. The first command measures the packed model again, the second makes all of it again and says whether it is " +
    "bit-identical, within tolerance, or where it first differs:",
    "",
    "```sh",
    `${CALL} verify hf://${target} --evaluate-only`,
    `${CALL} verify hf://${target}${base.local ? ` --model hf://${base.id}@${base.commit}` : ""}`,
    "```",
    "",
    `The run was made on ${markdownText(device.kind)} (${markdownText(device.name)}).`,
    ...(code.length === 0 ? [] : [
      "",
      `It was made with code of its author's own, which is not here: ${
        code.map(markdownCode).join(", ")
      }. The second command needs it, ` +
      "where the lock's `use` says, and `--allow-plugins`.",
    ]),
    ...(files.length === 0 ? [] : [
      "",
      "These texts are files that the hub does not have; they are found by their content, or named with `--data NAME=PATH`:",
      "",
      ...files.map(({ name, file }) =>
        `- ${markdownText(name)}: ${markdownCode(file.name)}, ${file.bytes} bytes, sha256 ${markdownCode(file.sha256)}`
      ),
    ]),
  ];
}

function limits({ perplexity, tasks }: Metrics): string[] {
  const list = (of: object) => Object.keys(of).map(markdownText).join(", "), asked = list(tasks);
  const names = [list(perplexity), ...(asked === "" ? [] : [`zero-shot accuracy on ${asked}`])].filter((each) =>
    each !== ""
  )
    .join(" and ");
  const measured = names === ""
    ? "Nothing"
    : `${list(perplexity) === "" ? "" : "Perplexity on "}${names}, in the windows that the lock pins, and nothing else`;
  return [
    `- ${measured} was measured${
      Object.keys(tasks).length === 0 ? ": no tasks, no following of instructions, no safety" : ""
    }. What the original model does badly this one does no better.`,
    "- It is no checkpoint of `transformers`: pbs2p alone reads the packed file.",
    "- The bytes are those of the file. No speed is claimed.",
    "- The licence is the base model's; whoever uses this is bound by it.",
  ];
}
