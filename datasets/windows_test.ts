import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { mutations, readsOrRefuses } from "../files/mutate_test_support.ts";
import { InputError } from "../files/input_error.ts";
import { type Tensor, writeSafetensors } from "../files/safetensors.ts";
import { describeDataset } from "./dataset.ts";
import { openTokenizer } from "../tokenizers/tokenizer.ts";
import { loadWindows, type WindowOptions } from "./windows.ts";

const read = (file: URL) => JSON.parse(readFileSync(file, "utf8"));
const tiny = new URL("../configs/models/tiny-llama/", import.meta.url);
const tokenizer = openTokenizer({
  kind: "files",
  tokenizer: read(new URL("tokenizer.json", tiny)),
  config: read(new URL("tokenizer_config.json", tiny)),
});
const stored = { windows: fileURLToPath(new URL("windows.safetensors", tiny)), tensor: "calibration" };
const CALIBRATION: WindowOptions = { split: "calibration", tokenizer, vocab: 2048, seed: 0 };
const EVALUATION: WindowOptions = { ...CALIBRATION, split: "evaluation" };
const PROSE = Array.from({ length: 400 }, (_, i) => `Whale number ${i} was seen at noon.`).join("\n");

Deno.test("loadWindows() takes the first stored windows, each cut to length", async () => {
  const all = await loadWindows(stored, { ...CALIBRATION, tokenizer: undefined });
  assert.deepEqual([all.windows, all.length, all.ids.length], [128, 256, 128 * 256]);
  const some = await loadWindows(stored, { ...CALIBRATION, samples: 3, length: 100 });
  assert.deepEqual([some.windows, some.length], [3, 100]);
  for (let window = 0; window < 3; window++) {
    const expected = all.ids.subarray(window * 256, window * 256 + 100);
    assert.deepEqual(some.ids.slice(window * 100, (window + 1) * 100), expected.slice());
  }
});

Deno.test("loadWindows() draws stored windows by the seed, each once and in their order, where it is asked to", async () => {
  const all = await loadWindows(stored, { ...CALIBRATION, tokenizer: undefined });
  const shuffled = { ...stored, shuffle: true };
  const drawn = (seed: number, samples: number) =>
    loadWindows(shuffled, { ...CALIBRATION, seed, samples, length: 100 });
  const [first, again, other] = [await drawn(1, 40), await drawn(1, 40), await drawn(2, 40)];
  assert.deepEqual(again, first);
  const taken = first.facts.taken as readonly number[];
  assert.notDeepEqual(other.facts.taken, taken);
  assert.ok(taken.length === 40 && taken.every((window, i) => i === 0 || window > taken[i - 1]));
  assert.ok(taken[39] > 60, "not only the first are drawn");
  for (const [i, window] of taken.entries()) {
    assert.deepEqual(first.ids.slice(i * 100, (i + 1) * 100), all.ids.slice(window * 256, window * 256 + 100));
  }
  assert.deepEqual((await loadWindows(shuffled, { ...CALIBRATION, seed: 9 })).ids, all.ids);
  const [plain, marked] = [await describeDataset(stored, CALIBRATION), await describeDataset(shuffled, CALIBRATION)];
  assert.deepEqual(await describeDataset({ ...stored, shuffle: false }, CALIBRATION), plain);
  assert.notDeepEqual(marked.identity, plain.identity);
});

Deno.test("loadWindows() passes over the windows that are skipped, also where it draws, and knows the rest for another text", async () => {
  const all = await loadWindows(stored, { ...CALIBRATION, tokenizer: undefined });
  const behind = { ...stored, skip: 96 }, some = await loadWindows(behind, { ...CALIBRATION, samples: 20 });
  assert.deepEqual(some.ids, all.ids.slice(96 * 256, 116 * 256));
  const drawn = await loadWindows({ ...behind, shuffle: true }, { ...CALIBRATION, samples: 20, seed: 4 });
  const taken = drawn.facts.taken as readonly number[];
  assert.ok(taken.every((window) => window >= 96 && window < 128));
  assert.deepEqual(drawn.ids.slice(0, 256), all.ids.slice(taken[0] * 256, (taken[0] + 1) * 256));
  const [plain, other] = [await describeDataset(stored, CALIBRATION), await describeDataset(behind, CALIBRATION)];
  assert.notDeepEqual(other.identity, plain.identity);
  await assert.rejects(
    loadWindows(behind, { ...CALIBRATION, samples: 33 }),
    isInput(/it holds 32 windows behind those that are skipped: samples is 33; lower it to 32 or less/),
  );
  await assert.rejects(
    loadWindows({ ...stored, skip: 128 }, CALIBRATION),
    isInput(/Cannot skip 128 windows of .* holds 128/),
  );
});

Deno.test("loadWindows() holds out stored windows behind the samples, which stay the same, or none of those drawn", async () => {
  const all = await loadWindows(stored, { ...CALIBRATION, tokenizer: undefined });
  const options = { ...CALIBRATION, samples: 5, length: 256, seed: 3 };
  const rows = (ids: Int32Array) =>
    Array.from({ length: ids.length / 256 }, (_, i) => ids.slice(i * 256, (i + 1) * 256).join());
  for (const dataset of [stored, { ...stored, shuffle: true }]) {
    const plain = await loadWindows(dataset, options);
    const { heldOut, facts, ...rest } = await loadWindows(dataset, { ...options, heldOut: 7 });
    assert.deepEqual([rest.ids, rest.windows], [plain.ids, 5]);
    assert.equal(heldOut?.windows, 7);
    const [samples, behind] = [rows(rest.ids), rows(heldOut.ids)];
    assert.equal(new Set([...samples, ...behind]).size, 12);
    assert.ok(behind.every((row) => rows(all.ids).includes(row)));
    if (dataset === stored) assert.deepEqual(heldOut.ids, all.ids.slice(5 * 256, 12 * 256));
    else assert.deepEqual((facts.held_out as readonly number[]).map((at) => rows(all.ids)[at]), behind);
    assert.equal(plain.heldOut, undefined);
  }
  await assert.rejects(
    loadWindows(stored, { ...CALIBRATION, samples: 120, heldOut: 9 }),
    isInput(/holds 128 windows, of which samples takes 120: stages\.calibrate\.held_out is 9; lower it or samples/),
  );
});

Deno.test("loadWindows() holds out windows of a text that share no token with the samples, which stay the same", async () => {
  await using folder = await temporary();
  const text = await folder.write("text.txt", PROSE);
  const ids = tokenizer.encode(PROSE), length = 32;
  for (let seed = 0; seed < 20; seed++) {
    const options = { ...CALIBRATION, length, samples: 20, seed };
    const plain = await loadWindows({ text }, options);
    const { heldOut, facts, ...rest } = await loadWindows({ text }, { ...options, heldOut: 9 });
    assert.deepEqual(rest.ids, plain.ids);
    const starts = facts.starts as number[], behind = facts.held_out as number[];
    assert.deepEqual([starts, behind.length, heldOut?.windows], [plain.facts.starts, 9, 9]);
    for (const [i, start] of behind.entries()) {
      assert.ok(starts.every((other) => Math.abs(other - start) >= length), `${start} overlaps`);
      assert.deepEqual(heldOut?.ids.slice(i * length, (i + 1) * length), ids.slice(start, start + length));
    }
  }
  await assert.rejects(
    loadWindows({ text }, { ...CALIBRATION, length, samples: 20_000, heldOut: 1 }),
    isInput(/Cannot hold out windows of text\.txt: .* leave out stages\.calibrate\.held_out, which is 1/),
  );
});

Deno.test("loadWindows() of stored ids: evaluation takes at most samples, calibration exactly", async () => {
  assert.equal((await loadWindows(stored, { ...EVALUATION, samples: 1000 })).windows, 128);
  await assert.rejects(
    loadWindows(stored, { ...CALIBRATION, samples: 129 }),
    isInput(/holds 128 windows: samples is 129/),
  );
});

Deno.test("loadWindows() says what is wrong with stored ids", async () => {
  await using folder = await temporary();
  const path = join(folder.path, "windows.safetensors");
  const tensor = (dtype: "I32" | "I64" | "F32", shape: number[], values: number[]): Tensor => ({
    dtype,
    shape,
    data: dtype === "F32"
      ? Float32Array.from(values)
      : dtype === "I32"
      ? Int32Array.from(values)
      : BigInt64Array.from(values.map(BigInt)),
  });
  await writeSafetensors(path, {
    fine: tensor("I64", [2, 2], [0, 1, 2, 2047]),
    high: tensor("I64", [2, 2], [0, 1, 2048, 3]),
    negative: tensor("I32", [1, 2], [0, -1]),
    huge: tensor("I64", [1, 2], [0, 2 ** 40]),
    float: tensor("F32", [1, 2], [0, 1]),
    flat: tensor("I32", [4], [0, 1, 2, 3]),
    empty: tensor("I32", [0, 4], []),
  });
  const load = (name: string, options: Partial<WindowOptions> = {}) =>
    loadWindows({ windows: path, tensor: name }, { ...CALIBRATION, ...options });
  assert.deepEqual([...(await load("fine")).ids], [0, 1, 2, 2047]);
  const cases: [string, Partial<WindowOptions>, RegExp][] = [
    ["fine", { length: 3 }, /its windows hold 2 tokens: length is 3; lower it/],
    ["high", {}, /vocabulary of 2048: current value is 2048 at \[1, 0\]/],
    ["negative", {}, /current value is -1 at \[0, 1\]/],
    ["huge", {}, /current value is 1099511627776/],
    ["float", {}, /I32 or I64 \[windows, length ≥ 2\]: current value is F32 \[1, 2\]/],
    ["flat", {}, /current value is I32 \[4\]/],
    ["empty", {}, /current value is I32 \[0, 4\]/],
    ["absent", {}, /"absent"/],
  ];
  for (const [name, options, message] of cases) await assert.rejects(load(name, options), isInput(message));
  await assert.rejects(
    loadWindows({ windows: join(folder.path, "nothing"), tensor: "x" }, CALIBRATION),
    isInput(/nothing/),
  );
});

Deno.test("loadWindows() cuts a text into windows one after the other, bos once, tail dropped", async () => {
  await using folder = await temporary();
  const text = await folder.write("text.txt", PROSE);
  const ids = tokenizer.encode(PROSE);
  const { windows, length, ids: cut, facts, source } = await loadWindows({ text }, { ...EVALUATION, length: 60 });
  assert.equal(windows, Math.floor(ids.length / 60));
  assert.notEqual(windows * length, ids.length);
  assert.deepEqual(cut, ids.slice(0, windows * 60));
  assert.equal([...cut].filter((id) => id === 1).length, 1);
  assert.deepEqual([source, facts.tokens], ["text.txt", ids.length]);
  assert.equal((await loadWindows({ text }, { ...EVALUATION, length: 60, samples: 2 })).windows, 2);
  assert.equal((await loadWindows({ text }, { ...EVALUATION, maxLength: 128 })).length, 128);
  assert.equal((await loadWindows({ text }, { ...EVALUATION, maxLength: 4096 })).length, 2048);
});

Deno.test("loadWindows() draws windows of a text by seed", async () => {
  await using folder = await temporary();
  const text = await folder.write("text.txt", PROSE);
  const ids = tokenizer.encode(PROSE);
  const draw = (seed: number) => loadWindows({ text }, { ...CALIBRATION, length: 32, samples: 20, seed });
  const { ids: drawn, windows, facts } = await draw(7);
  const starts = facts.starts as number[];
  assert.deepEqual([windows, starts.length, new Set(starts).size > 10], [20, 20, true]);
  starts.forEach((start, window) => {
    assert.deepEqual(drawn.slice(window * 32, window * 32 + 32), ids.slice(start, start + 32));
  });
  assert.deepEqual((await draw(7)).ids, drawn);
  assert.notDeepEqual((await draw(8)).ids, drawn);
});

Deno.test("loadWindows() reads line ends and a byte order mark as Python's text mode does", async () => {
  await using folder = await temporary();
  const unix = await folder.write("unix.txt", PROSE);
  const windows = await folder.write("windows.txt", PROSE.replaceAll("\n", "\r\n"));
  const options = { ...EVALUATION, length: 64 };
  assert.deepEqual(
    (await loadWindows({ text: windows }, options)).ids,
    (await loadWindows({ text: unix }, options)).ids,
  );
});

Deno.test("loadWindows() says what is wrong with a text", async () => {
  await using folder = await temporary();
  const short = await folder.write("short.txt", "Call me Ishmael.");
  const binary = await folder.write("binary.txt", new Uint8Array([0x61, 0xff, 0xfe]));
  const cases: [string, Partial<WindowOptions>, RegExp][] = [
    [short, { length: 64 }, /short\.txt into windows of 64 tokens: it has \d+; lower length or use more text/],
    [binary, {}, /binary\.txt as text: it is not UTF-8/],
    [join(folder.path, "absent.txt"), {}, /absent\.txt/],
    [short, { tokenizer: undefined }, /the model has no tokenizer/],
    [short, { vocab: 5, length: 2 }, /vocabulary of 5: current value is \d+ at token \d+/],
  ];
  for (const [text, options, message] of cases) {
    await assert.rejects(loadWindows({ text }, { ...EVALUATION, ...options }), isInput(message));
  }
});

Deno.test("describeDataset() identifies content, not paths", async () => {
  await using folder = await temporary();
  const a = await folder.write("a.txt", PROSE);
  const b = await folder.write("b.txt", PROSE);
  const c = await folder.write("c.txt", `${PROSE}.`);
  const identity = async (text: string, split: "calibration" | "evaluation" = "evaluation") =>
    (await describeDataset({ text }, { split })).identity;
  assert.deepEqual(await identity(a), await identity(b));
  assert.notDeepEqual(await identity(a), await identity(c));
  assert.notDeepEqual(await identity(a), await identity(a, "calibration"));
  assert.ok(!JSON.stringify(await identity(a)).includes("a.txt"));
  const tensors = await Promise.all(
    ["calibration", "heldout"].map((tensor) => describeDataset({ ...stored, tensor }, { split: "evaluation" })),
  );
  assert.notDeepEqual(tensors[0].identity, tensors[1].identity);
  assert.equal(tensors[0].source, "windows.safetensors calibration");
});

Deno.test("loadWindows() of WikiText-2 meets the windows made with transformers", async () => {
  const shared = new URL("../../shared/", import.meta.url);
  if (!existsSync(new URL("text/wikitext2-test.txt", shared))) {
    console.log("skipped: ../shared/text/wikitext2-test.txt is not there");
    return;
  }
  const smollm2 = openTokenizer({
    kind: "files",
    tokenizer: read(new URL("models/smollm2-135m/tokenizer.json", shared)),
    config: {},
  });
  const options: WindowOptions = { split: "evaluation", tokenizer: smollm2, vocab: 49152, seed: 0 };
  const windows = fileURLToPath(new URL("models/smollm2-135m/windows.safetensors", shared));
  const expected = await loadWindows({ windows, tensor: "heldout" }, options);
  const text = fileURLToPath(new URL("text/wikitext2-test.txt", shared));
  const actual = await loadWindows({ text }, { ...options, length: 1024, samples: 64 });
  assert.deepEqual([actual.windows, actual.length], [64, 1024]);
  assert.deepEqual(actual.ids, expected.ids);
});

function isInput(message: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof InputError, String(error));
    assert.match(error.message, message);
    return true;
  };
}

async function temporary() {
  const path = await mkdtemp(join(tmpdir(), "pbs2p-"));
  return {
    path,
    async write(name: string, content: string | Uint8Array): Promise<string> {
      await writeFile(join(path, name), content);
      return join(path, name);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true }),
  };
}

Deno.test("describeDataset() and loadWindows() say what a windows file or a text is instead", async () => {
  await using folder = await temporary();
  const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:5d\nsize 336216\n";
  const page = "<!DOCTYPE html><title>Login</title>";
  const wide = new Uint8Array(Uint16Array.from("Call me Ishmael.", (c) => c.charCodeAt(0)).buffer);
  const cases: [string | Uint8Array, RegExp, RegExp | undefined][] = [
    [pointer, /safetensors: it is a Git LFS pointer/, /as text: it is a Git LFS pointer.*git lfs pull/],
    ["", /safetensors: it is empty/, /as text: it is empty/],
    [new Uint8Array(2000), /safetensors: its first 1024 of 2000 bytes are all zero/, /as text: its first 1024 of 2000/],
    [wide, /it is UTF-16/, /as text: it is UTF-16; save it as UTF-8/],
    [gzipSync("Call me Ishmael."), /it is a gzip archive/, /as text: it is a gzip archive; unpack it/],
    [new TextEncoder().encode("PAR1\x15\x04"), /it is a Parquet file/, /as text: it is a Parquet file/],
    [page, /it is an HTML page \("Login"\)/, undefined],
  ];
  for (const [content, asWindows, asText] of cases) {
    const path = await folder.write("x", content);
    const datasets = [[{ windows: path, tensor: "a" }, asWindows], [{ text: path }, asText]] as const;
    for (const [dataset, message] of datasets) {
      if (message === undefined) continue;
      await assert.rejects(describeDataset(dataset, { split: "evaluation" }), isInput(message));
      await assert.rejects(loadWindows(dataset, EVALUATION), isInput(message));
    }
  }
  await assert.rejects(loadWindows({ ...stored, tensor: "x" }, EVALUATION), isInput(/no such tensor; it holds/));
  await assert.rejects(
    describeDataset({ text: folder.path }, { split: "evaluation" }),
    isInput(/is a folder, not a file/),
  );
});

Deno.test("loadWindows() reads or refuses 200 damaged windows files", async () => {
  await using folder = await temporary();
  const path = await folder.write("w.safetensors", "");
  await writeSafetensors(path, { a: { dtype: "I32", shape: [2, 8], data: new Int32Array(16) } });
  const refused = await readsOrRefuses(mutations(await Deno.readFile(path), { count: 200, seed: 6 }), async (copy) => {
    await writeFile(path, copy);
    const { ids } = await loadWindows({ windows: path, tensor: "a" }, EVALUATION);
    assert.ok(ids.every((id) => id >= 0 && id < EVALUATION.vocab));
  });
  assert.ok(refused > 100, `${refused}`);
});
