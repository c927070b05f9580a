/** `fixtures/rows.parquet`: 302 rows, columns `text` and `sentence`, four row groups, snappy; written with pyarrow. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { InputError } from "../files/input_error.ts";
import { startFakeHub } from "../hub/fake_hub_test_support.ts";
import { describeDataset } from "./dataset.ts";
import { drawDocuments } from "./documents.ts";
import { countDocuments, joinRows, pickDocuments } from "./hub_text.ts";
import { openTokenizer } from "../tokenizers/tokenizer.ts";
import { loadWindows, type WindowOptions } from "./windows.ts";

const json = (path: string) =>
  JSON.parse(readFileSync(new URL(`../configs/models/tiny-llama/${path}`, import.meta.url), "utf8"));
const tokenizer = openTokenizer({
  kind: "files",
  tokenizer: json("tokenizer.json"),
  config: json("tokenizer_config.json"),
});
const OPTIONS: WindowOptions = { split: "evaluation", tokenizer, vocab: 2048, seed: 3 };

const parquet = new Uint8Array(readFileSync(new URL("fixtures/rows.parquet", import.meta.url)));
const WIKITEXT = [
  "",
  " = A heading = \n",
  "",
  " The first paragraph , which has 1 @,@ 234 words and a ½ . \n",
  ...Array.from({ length: 298 }, (_, i) => ` Paragraph ${i + 2} says that it is number ${i + 2} . \n`),
].join("\n\n");
const PTB = Array.from({ length: 302 }, (_, i) => `no it was n't <unk> number ${i}`).join(" ");

/** Documents of 5 to 90 words, one of them with a line break and characters of several bytes. */
const DOCUMENTS = Array.from(
  { length: 1200 },
  (_, i) =>
    i === 11
      ? "naïve\n你好 🙂"
      : Array.from({ length: 5 + i * 7 % 86 }, (_, word) => `word${(i + word) % 13}`).join(" "),
);
const line = (text: string) => `${JSON.stringify({ text, timestamp: "2019", url: "https://example.org" })}\n`;
/** Two gzip members, as files that were appended to have. */
const SHARD = new Uint8Array([
  ...gzipSync(DOCUMENTS.slice(0, 500).map(line).join("")),
  ...gzipSync(DOCUMENTS.slice(500).map(line).join("")),
]);

Deno.test("loadWindows() joins WikiText-2's rows by blank lines", async () => {
  await using hub = await hubWith("Salesforce/wikitext", {
    "README.md": "# WikiText",
    "wikitext-2-raw-v1/test-00000-of-00001.parquet": parquet,
    "wikitext-2-v1/test-00000-of-00001.parquet": parquet.slice(1),
  });
  const { ids, length, facts } = await loadWindows("wikitext2", { ...OPTIONS, length: 50, hub: hub.access });
  const expected = tokenizer.encode(WIKITEXT);
  assert.deepEqual(ids, expected.slice(0, Math.floor(expected.length / length) * length));
  assert.deepEqual([facts.dataset, facts.commit], ["Salesforce/wikitext", hub.commit]);
  assert.match(JSON.stringify(facts.files), /wikitext-2-raw-v1\/test-00000-of-00001.parquet":"[0-9a-f]{64}"/);
});

Deno.test("loadWindows() joins Penn Treebank's sentences by spaces", async () => {
  for (const path of ["penn_treebank/test/0000.parquet", "penn_treebank/ptb_text_only-test.parquet"]) {
    await using hub = await hubWith("ptb-text-only/ptb_text_only", { [path]: parquet }, "refs/convert/parquet");
    const { ids } = await loadWindows("ptb", { ...OPTIONS, length: 50, hub: hub.access });
    assert.deepEqual(ids, tokenizer.encode(PTB).slice(0, ids.length));
  }
});

Deno.test("loadWindows() measures C4 on its first 1100 documents", async () => {
  await using hub = await hubWith("allenai/c4", { "en/c4-validation.00000-of-00008.json.gz": SHARD });
  const expected = tokenizer.encode(DOCUMENTS.slice(0, 1100).join(" "));
  const all = await loadWindows("c4", { ...OPTIONS, length: 300, samples: 100_000, hub: hub.access });
  assert.equal(all.windows, Math.floor(expected.length / 300));
  assert.deepEqual(all.ids, expected.slice(0, all.ids.length));
  const most = await loadWindows("c4", { ...OPTIONS, length: 100, hub: hub.access });
  assert.equal(most.windows, 256);
});

Deno.test("loadWindows() calibrates on random windows of random long documents of C4", async () => {
  await using hub = await hubWith("allenai/c4", { "en/c4-train.00000-of-01024.json.gz": SHARD });
  const options: WindowOptions = { ...OPTIONS, split: "calibration", samples: 40, length: 100, hub: hub.access };
  const { ids, facts } = await loadWindows("c4", options);
  const picked = facts.picked as number[];
  const starts = facts.starts as number[];
  assert.deepEqual([picked.length, starts.length, facts.documents], [40, 40, 1200]);
  assert.ok(new Set(picked).size > 30);
  picked.forEach((place, window) => {
    const tokens = tokenizer.encode(DOCUMENTS[place]);
    assert.ok(tokens.length > 100);
    assert.deepEqual(ids.slice(window * 100, window * 100 + 100), tokens.slice(starts[window], starts[window] + 100));
  });
  assert.deepEqual((await loadWindows("c4", options)).ids, ids);
  assert.notDeepEqual((await loadWindows("c4", { ...options, seed: 4 })).ids, ids);
  await assert.rejects(
    loadWindows("c4", { ...options, length: 5000 }),
    isInput(/of 8192 documents drawn none is longer/),
  );
});

Deno.test("drawDocuments() draws as the protocol does one document at a time", async () => {
  await using folder = await temporary({ "shard.json.gz": SHARD });
  const encode = (text: string) => tokenizer.encode(text);
  const path = folder.path("shard.json.gz");
  const few = await drawDocuments(path, { encode, windows: 5, length: 120, seed: 9 });
  const many = await drawDocuments(path, { encode, windows: 50, length: 120, seed: 9 });
  assert.deepEqual(many.picked.slice(0, 5), few.picked);
  assert.deepEqual(many.starts.slice(0, 5), few.starts);
  assert.ok(many.picked.every((place) => encode(DOCUMENTS[place]).length > 120));
  const apart = await drawDocuments(path, { encode, windows: 300, heldOut: 60, length: 120, seed: 9 });
  const samples = apart.picked.slice(0, 300), behind = apart.picked.slice(300);
  assert.deepEqual(samples, (await drawDocuments(path, { encode, windows: 300, length: 120, seed: 9 })).picked);
  assert.deepEqual([behind.length, behind.filter((place) => samples.includes(place))], [60, []]);
});

Deno.test("describeDataset() identifies a hub's dataset by its files' hashes, not by the commit", async () => {
  const path = "wikitext-2-raw-v1/test-00000-of-00001.parquet";
  const describe = async (files: Record<string, Uint8Array | string>) => {
    await using hub = await hubWith("Salesforce/wikitext", files);
    const { requests } = hub;
    const description = await describeDataset("wikitext2", { split: "evaluation", hub: hub.access });
    assert.ok(!requests.some((request) => request.path.includes("parquet")), "describing downloads nothing");
    return description;
  };
  const one = await describe({ [path]: parquet });
  const other = await describe({ [path]: parquet, "README.md": "changed" });
  assert.deepEqual(one.identity, other.identity);
  assert.notEqual(one.facts.commit, other.facts.commit);
  assert.notDeepEqual(one.identity, (await describe({ [path]: parquet.slice(1) })).identity);
});

Deno.test("loadWindows() says what a hub's dataset lacks", async () => {
  await using hub = await hubWith("Salesforce/wikitext", { "wikitext-2-raw-v1/README.md": "empty" });
  await assert.rejects(
    loadWindows("wikitext2", { ...OPTIONS, hub: hub.access }),
    isInput(/Salesforce\/wikitext at main \([0-9a-f]{40}\) holds no file in wikitext-2-raw-v1 like .*test-/),
  );
  await assert.rejects(loadWindows("wikitext2", OPTIONS), isInput(/without access to a hub/));
});

Deno.test("joinRows() says which file and row is damaged", async () => {
  const row = (value: unknown) => gzipSync(`${JSON.stringify({ text: "fine" })}\n${JSON.stringify(value)}\n`);
  await using folder = await temporary({
    "cut.json.gz": SHARD.slice(0, 700),
    "plain.json.gz": "not gzip",
    "number.json.gz": row({ text: 7 }),
    "list.json.gz": row(["text"]),
    "words.json.gz": gzipSync("{\n"),
    "cut.parquet": parquet.slice(0, 4000),
    "flipped.parquet": parquet.slice(4),
  });
  const cases: [string, RegExp][] = [
    ["cut.json.gz", /cut\.json\.gz: /],
    ["plain.json.gz", /plain\.json\.gz: /],
    ["number.json.gz", /row 1 of .*number\.json\.gz: it has no text in column "text"/],
    ["list.json.gz", /row 1 of .*list\.json\.gz/],
    ["words.json.gz", /row 0 of .*words\.json\.gz: it is not JSON/],
    ["cut.parquet", /cut\.parquet as parquet: /],
    ["flipped.parquet", /flipped\.parquet/],
    ["absent.json.gz", /absent\.json\.gz: /],
  ];
  for (const [name, message] of cases) {
    await assert.rejects(joinRows("c4", [folder.path(name)], { split: "evaluation" }), isInput(message), name);
  }
});

Deno.test("pickDocuments() and countDocuments() see every document, whatever ends the last line", async () => {
  const texts = ["a", "b", "c".repeat(1_000_000), "d"];
  await using folder = await temporary({
    "ended.json.gz": gzipSync(texts.map(line).join("")),
    "open.json.gz": gzipSync(texts.map(line).join("").trimEnd()),
    "empty.json.gz": gzipSync(""),
  });
  for (const name of ["ended.json.gz", "open.json.gz"]) {
    assert.equal(await countDocuments(folder.path(name)), 4);
    assert.deepEqual([...await pickDocuments(folder.path(name), new Set([2, 3]))], [[2, texts[2]], [3, texts[3]]]);
  }
  assert.equal(await countDocuments(folder.path("empty.json.gz")), 0);
});

Deno.test("countDocuments() stops when it is told to", async () => {
  await using folder = await temporary({ "shard.json.gz": SHARD });
  const reason = new Error("enough");
  await assert.rejects(countDocuments(folder.path("shard.json.gz"), AbortSignal.abort(reason)), reason);
});

function isInput(message: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof InputError, String(error));
    assert.match(error.message, message);
    return true;
  };
}

async function temporary(files: Readonly<Record<string, Uint8Array | string>>) {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-"));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  return {
    path: (name: string) => join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

async function hubWith(id: string, files: Readonly<Record<string, Uint8Array | string>>, revision = "main") {
  const cache = await mkdtemp(join(tmpdir(), "pbs2p-"));
  const hub = startFakeHub();
  const commit = hub.addRepo({ kind: "dataset", id, files, revisions: [revision] });
  return {
    commit,
    requests: hub.requests,
    access: { cache, endpoint: hub.url, token: null },
    async [Symbol.asyncDispose]() {
      await hub[Symbol.asyncDispose]();
      await rm(cache, { recursive: true });
    },
  };
}
