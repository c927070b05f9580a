import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gguf } from "@huggingface/gguf";
import { openFile } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import { encodeGguf, ggufTensor } from "./gguf_test_support.ts";
import { parseGguf } from "./gguf_header.ts";
import { memorySource } from "./zip_test_support.ts";

const text = (value: string) => new TextEncoder().encode(value);
const norm = ggufTensor({ dtype: "F32", shape: [8], data: new Float32Array(8) });
const table = ggufTensor({ dtype: "F16", shape: [3, 8], data: new Uint16Array(24) });
const SMALL = encodeGguf(
  { "general.architecture": "llama", flag: true, eps: 0.5, count: 7, words: ["a", "", "ä"], numbers: [1, 2] },
  { "token_embd.weight": table, "output_norm.weight": norm },
);

/** A value and how many bytes it takes, little-endian, or bytes as they are. */
type Field = readonly (bigint | number)[] | Uint8Array;

function fields(...values: readonly Field[]): Uint8Array {
  return Uint8Array.from(values.flatMap((value) => {
    if (value instanceof Uint8Array) return [...value];
    const [bytes, number] = value;
    return Array.from({ length: Number(bytes) }, (_, i) => Number(BigInt(number) >> BigInt(8 * i) & 255n));
  }));
}

const header = (tensors: bigint | number, entries: bigint | number, ...rest: readonly Field[]) =>
  fields(text("GGUF"), [4, 3], [8, tensors], [8, entries], ...rest);

async function sameAsLibrary(path: string): Promise<void> {
  const { metadata, tensorInfos, tensorDataOffset } = await gguf(path, { allowLocalFile: true });
  const source = await openFile(path);
  const found = await parseGguf(source).finally(() => source.close());
  const plain = (value: unknown): unknown =>
    typeof value === "bigint" ? Number(value) : Array.isArray(value) ? value.map(plain) : value;
  const { version: _version, tensor_count: _tensors, kv_count: _entries, ...expected } = metadata;
  assert.deepEqual(
    found.metadata,
    Object.fromEntries(Object.entries(expected).map(([key, value]) => [key, plain(value)])),
  );
  assert.deepEqual(
    found.tensors.map(({ name, shape, begin }) => ({ name, shape, begin })),
    tensorInfos.map(({ name, shape, offset }) => ({
      name,
      shape: shape.map(Number).reverse(),
      begin: Number(tensorDataOffset + offset),
    })),
  );
}

Deno.test("parseGguf() reads what Hugging Face's own parser reads", async () => {
  const path = join(await Deno.makeTempDir(), "m.gguf");
  try {
    await Deno.writeFile(path, SMALL);
    await sameAsLibrary(path);
  } finally {
    await Deno.remove(join(path, ".."), { recursive: true });
  }
});

Deno.test("parseGguf() reads the real SmolLM2 as Hugging Face's own parser does", async () => {
  const name = "models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf";
  const path = fileURLToPath(new URL(`../../shared/${name}`, import.meta.url));
  if (!await Deno.stat(path).then(() => true, () => false)) return console.log(`skipped: ${path} is absent`);
  await sameAsLibrary(path);
});

Deno.test("parseGguf() reads a header of more than a megabyte in a few reads", async () => {
  const words = Array.from({ length: 12_000 }, (_, i) => `${"word ".repeat(24)}${i}`);
  const source = memorySource(encodeLong(words), "m.gguf");
  assert.deepEqual((await parseGguf(source)).metadata.words, words);
  assert.ok(source.ranges.length <= 4, `${source.ranges.length} reads`);
});

Deno.test("parseGguf() says what is wrong with a header, before it makes anything of it", async (t) => {
  const key = (name: string) => [[8, name.length], text(name)] as const;
  const tensor = (offset: number) => [...key("a"), [4, 1], [8, 8], [4, 0], [8, offset]] as const;
  const cases: [string, Uint8Array, RegExp][] = [
    [
      "tensors that no file holds",
      header(2n ** 63n, 0),
      /promises 92233720368547\d+ tensors: the file has only 8 bytes/,
    ],
    ["entries that it does not hold", header(0, 5), /promises 5 metadata entries/],
    [
      "a version of the future",
      fields(text("GGUF"), [4, 9], [8, 0], [8, 0]),
      /version must be 1 to 3: current value is 9/,
    ],
    ["the other byte order", fields(text("GGUF"), [4, 0x03000000], [8, 0], [8, 0]), /big-endian; convert it/],
    [
      "a key of gigabytes",
      header(0, 1, [8, 2n ** 40n], [8, 0]),
      /a metadata key may have 65535 bytes: it has 1099511627776/,
    ],
    [
      "a key twice",
      header(0, 2, ...key("k"), [4, 4], [4, 1], ...key("k"), [4, 4], [4, 1]),
      /metadata "k" occurs twice/,
    ],
    ["a type of its own", header(0, 1, ...key("k"), [4, 99], [8, 0]), /"k" has no known type: current value is 99/],
    ["items that it does not hold", header(0, 1, ...key("k"), [4, 9], [4, 8], [8, 1000]), /promises 1000 items of "k"/],
    [
      "lists in lists",
      header(0, 1, ...key("k"), ...Array.from({ length: 4 }, () => [[4, 9], [4, 9], [8, 1]] as const).flat(), [8, 0]),
      /has no known type|nested more than 3 deep|promises/,
    ],
    [
      "five dimensions",
      header(1, 0, ...key("a"), [4, 5], [8, 1], [8, 1]),
      /"a" may have 4 dimensions: current value is 5/,
    ],
    ["a size beyond all", header(1, 0, ...key("a"), [4, 1], [8, 2n ** 64n - 1n], [4, 0], [8, 0]), /"a": rows of F32/],
    ["an offset beyond the file", header(1, 0, ...tensor(2 ** 50), new Uint8Array(64)), /"a" ends at byte.*truncated/],
    ["a gap", header(1, 0, ...tensor(32), new Uint8Array(128)), /"a" must begin at byte 64, .*: it begins at 96/],
    [
      "an alignment of 3",
      header(0, 1, ...key("general.alignment"), [4, 4], [4, 3]),
      /power of two.*current value is 3/,
    ],
    ["a pointer", text("version https://git-lfs.github.com/spec/v1\noid sha256:5d\nsize 98362432\n"), /git lfs pull/],
  ];
  for (const [name, bytes, message] of cases) {
    await t.step(name, () =>
      assert.rejects(parseGguf(memorySource(bytes, "m.gguf")), (error) => {
        assert.ok(error instanceof InputError);
        assert.match(error.message, message);
        return true;
      }));
  }
});

/** As `encodeGguf`, for more bytes than the arguments of a call can be. */
function encodeLong(words: readonly string[]): Uint8Array {
  const parts = [header(0, 1, [8, 5], text("words"), [4, 9], [4, 8], [8, words.length])];
  for (const word of words) parts.push(fields([8, word.length], text(word)));
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}
