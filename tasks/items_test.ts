import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { InputError } from "../files/input_error.ts";
import { type FakeHub, startFakeHub } from "../hub/fake_hub_test_support.ts";
import { describeItems, loadItems, taskOf, tasks } from "./mod.ts";

function testdata(name: string): string {
  return fileURLToPath(new URL(`testdata/${name}`, import.meta.url));
}

for (const name of ["boolq", "arc_easy"]) {
  Deno.test(`loadItems() reads of Parquet what it reads of lines: ${name}`, async () => {
    const task = taskOf(name);
    const [lines, parquet] = await Promise.all(
      ["jsonl", "parquet"].map((kind) => loadItems(task, { file: testdata(`${name}.${kind}`) })),
    );
    assert.deepEqual(parquet.items, lines.items);
    const few = await loadItems(task, { file: testdata(`${name}.parquet`), limit: 7 });
    assert.deepEqual(few.items, lines.items.slice(0, 7));
    assert.equal(few.places[6], `row 7 of ${name}.parquet`);
  });
}

Deno.test("every task has questions whose right answer is one of its choices", async () => {
  for (const task of tasks) {
    const { items } = await loadItems(task, { file: testdata(`${task.name}.jsonl`) });
    assert.ok(items.every(({ choices, gold, texts }) => choices.length === texts.length && gold in choices));
    assert.ok(new Set(items.map(({ gold }) => gold)).size > 1, task.name);
  }
});

Deno.test("describeItems() tells content and limit apart, and never says where", async () => {
  const file = testdata("rte.jsonl"), task = taskOf("rte");
  const [all, few, other] = await Promise.all([
    describeItems(task, { file }),
    describeItems(task, { file, limit: 3 }),
    describeItems(task, { file: testdata("piqa.jsonl") }),
  ]);
  assert.equal(new Set([all, few, other].map((each) => JSON.stringify(each))).size, 3);
  assert.doesNotMatch(JSON.stringify(all), /testdata|jsonl/);
});

Deno.test("taskOf() says which tasks there are, and which was meant", () => {
  assert.throws(
    () => taskOf("hellaswags"),
    /Cannot find a task "hellaswags": there are boolq, .* did you mean hellaswag\?/,
  );
});

const RTE = { sentence1: "a", sentence2: "b", label: 0 };
const ARC = { question: "q", choices: { text: ["a", "b"], label: ["A", "B"] }, answerKey: "A" };
const HELLASWAG = { activity_label: "a", ctx_a: "b", ctx_b: "c", endings: ["d", "e"], label: "1" };
const bad: readonly (readonly [string, string, string | readonly unknown[], RegExp])[] = [
  [
    "a field that is not there",
    "rte",
    [RTE, { sentence1: "a", label: 0 }],
    /line 2 of .*jsonl has no field "sentence2"; it has sentence1, label/,
  ],
  [
    "another dataset's fields",
    "boolq",
    [RTE],
    /line 1 of .* has no field "passage"; it has sentence1, sentence2, label/,
  ],
  [
    "a field of another type",
    "rte",
    [{ ...RTE, label: "yes" }],
    /`label` in line 1 of .* is not what the dataset has there/,
  ],
  [
    "a label that is no choice",
    "rte",
    [RTE, RTE, { ...RTE, label: 2 }],
    /`label` in line 3 of .*: 2 is no choice: they are counted from 0 to 1/,
  ],
  ["the label of a split without answers", "rte", [{ ...RTE, label: -1 }], /`label` in line 1 of .*: -1 is no choice/],
  [
    "a letter that is no choice's",
    "arc_easy",
    [{ ...ARC, answerKey: "E" }],
    /`answerKey` in line 1 of .*: "E" is no choice's label: these are "A", "B"/,
  ],
  [
    "choices of which one has no label",
    "arc_easy",
    [{ ...ARC, choices: { text: ["a", "b"], label: ["A"] } }],
    /`choices.*must have as many entries|`choices.label`/,
  ],
  ["one choice", "arc_easy", [{ ...ARC, choices: { text: ["a"], label: ["A"] } }], /`choices.text` in line 1/],
  ["a label that is no number", "hellaswag", [{ ...HELLASWAG, label: "" }], /`label` in line 1 of .*: "" is no number/],
  [
    "a sentence without a gap",
    "winogrande",
    [{ sentence: "s", option1: "a", option2: "b", answer: "1" }],
    /`sentence` in line 1 of .*: it has no gap/,
  ],
  [
    "an answer that is none",
    "winogrande",
    [{ sentence: "s _", option1: "a", option2: "b", answer: "" }],
    /`answer` in line 1 of .*: "" is no choice's label/,
  ],
  ["no rows", "rte", "\n\n", /Cannot ask rte as .*jsonl has no rows/],
  ["a line that is no JSON", "rte", `${JSON.stringify(RTE)}\n{"sentence1":`, /line 2 of .*jsonl: it is no JSON/],
  ["a line that is no record", "rte", "[1]", /line 1 of .*jsonl: it is no record/],
];

for (const [what, name, content, says] of bad) {
  Deno.test(`loadItems() refuses ${what}`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const file = join(folder, "own.jsonl");
      await writeFile(
        file,
        typeof content === "string" ? content : content.map((row) => JSON.stringify(row)).join("\n"),
      );
      await assert.rejects(loadItems(taskOf(name), { file }), (error) => {
        assert.ok(error instanceof InputError);
        assert.match(error.message, says);
        assert.doesNotMatch(error.message, /\n/);
        return true;
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("loadItems() refuses files that hold no rows", async () => {
  const task = taskOf("rte");
  await assert.rejects(
    loadItems(task, { file: testdata("make_expected.py") }),
    /rows are read from files named .parquet/,
  );
  await assert.rejects(loadItems(task, { file: testdata("nowhere.jsonl") }), /nowhere.jsonl/);
  await assert.rejects(loadItems(task, {}), /without access to a hub/);
});

Deno.test("loadItems() takes a task's rows from the hub's Parquet copy, and says what decides them", async () => {
  const parquet = new Uint8Array(readFileSync(testdata("boolq.parquet"))), task = taskOf("boolq");
  const other = { "boolq/train/0000.parquet": parquet.slice(1), "cb/validation/0000.parquet": parquet.slice(1) };
  const add = (hub: FakeHub, files: Readonly<Record<string, Uint8Array>>) =>
    hub.addRepo({ kind: "dataset", id: "aps/super_glue", files, revisions: ["refs/convert/parquet"] });
  const cache = await Deno.makeTempDir();
  try {
    await using hub = startFakeHub();
    const access = { cache, endpoint: hub.url, token: null };
    add(hub, { ...other, "boolq/validation/0000.parquet": parquet });
    const { items, places } = await loadItems(task, { hub: access });
    assert.deepEqual(items, (await loadItems(task, { file: testdata("boolq.jsonl") })).items);
    assert.equal(places[0], "row 1 of boolq/validation/0000.parquet");
    const { identity } = await describeItems(task, { hub: access, limit: 3 });
    assert.match(
      JSON.stringify(identity),
      /^\{"task":"boolq","dataset":"aps\/super_glue","files":\{"boolq\/validation\/0000.parquet":"[0-9a-f]{40,64}"\},"limit":3\}$/,
    );
  } finally {
    await Deno.remove(cache, { recursive: true });
  }
  const none = await Deno.makeTempDir();
  try {
    await using hub = startFakeHub();
    add(hub, other);
    await assert.rejects(
      loadItems(task, { hub: { cache: none, endpoint: hub.url, token: null } }),
      /has no Parquet file of its validation split in boolq/,
    );
  } finally {
    await Deno.remove(none, { recursive: true });
  }
});
