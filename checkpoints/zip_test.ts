import assert from "node:assert/strict";
import fc from "fast-check";
import type { ByteSource } from "../files/byte_source.ts";
import { InputError } from "../files/input_error.ts";
import { locateMember, readZipDirectory } from "./zip.ts";
import { encodeZip, memorySource, type ZipQuirks } from "./zip_test_support.ts";

const members = [["archive/data.pkl", "pickle"], ["archive/data/0", Uint8Array.of(1, 2, 3)], ["empty", ""]] as const;

async function contents(source: ByteSource): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for (const [name, member] of await readZipDirectory(source)) {
    const begin = await locateMember(source, name, member);
    found.push([name, new TextDecoder().decode(await source.read(begin, begin + member.size))]);
  }
  return found;
}

const expected = members.map((
  [name, data],
) => [name, typeof data === "string" ? data : new TextDecoder().decode(data)]);

Deno.test("readZipDirectory() and locateMember() find stored members", async (t) => {
  const cases: [string, ZipQuirks][] = [
    ["plain", {}],
    ["zip64", { zip64: true }],
    ["padded as PyTorch pads", { padding: 51 }],
    ["zip64 with padding", { zip64: true, padding: 200 }],
    ["a comment", { comment: "PK\x05\x06".repeat(30) }],
  ];
  for (const [name, quirks] of cases) {
    await t.step(
      name,
      async () => assert.deepEqual(await contents(memorySource(encodeZip(members, quirks))), expected),
    );
  }
});

Deno.test("readZipDirectory() reads a directory that begins before the file's last 64 KiB", async () => {
  const many = Array.from({ length: 2000 }, (_, i): [string, string] => [`archive/data/${i}`, `${i}`]);
  const source = memorySource(encodeZip(many));
  assert.deepEqual(await contents(source), many);
  assert.equal(source.ranges[1][1] - source.ranges[1][0] > 65536, true);
});

Deno.test("readZipDirectory() reads the end of a large file only", async () => {
  const source = memorySource(encodeZip([["large", new Uint8Array(1_000_000)], ...members]));
  assert.equal((await readZipDirectory(source)).get("large")?.size, 1_000_000);
  assert.equal(source.ranges.reduce((sum, [begin, end]) => sum + end - begin, 0) < 70_000, true);
});

Deno.test("locateMember() refuses members that are not stored as they are", async () => {
  for (const [quirks, message] of [[{ method: 8 }, /compressed/], [{ flags: 1 }, /encrypted/]] as const) {
    await assert.rejects(contents(memorySource(encodeZip(members, quirks))), (error) => {
      assert.ok(error instanceof InputError);
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("readZipDirectory() refuses a file cut at any byte and two members of one name", async () => {
  for (const zip64 of [false, true]) {
    const whole = encodeZip(members, { zip64 });
    for (let length = 0; length < whole.length; length++) {
      await assert.rejects(contents(memorySource(whole.subarray(0, length))), InputError, `cut to ${length} bytes`);
    }
  }
  await assert.rejects(contents(memorySource(encodeZip([["a", ""], ["a", ""]]))), /two members named "a"/);
});

Deno.test("readZipDirectory() and locateMember() stay within the file, whatever the bytes", () =>
  fc.assert(
    fc.asyncProperty(
      fc.boolean(),
      fc.array(fc.tuple(fc.nat(), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff)), { minLength: 1, maxLength: 12 }),
      async (zip64, changes) => {
        const bytes = encodeZip(members, { zip64 });
        for (const [at, value] of changes) bytes[at % bytes.length] = value;
        await contents(memorySource(bytes)).catch((error) => assert.ok(error instanceof InputError, String(error)));
      },
    ),
    { numRuns: 1000, seed: 1 },
  ));
