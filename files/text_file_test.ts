import assert from "node:assert/strict";
import { join } from "node:path";
import { openFile, sizeOfFile, whyUnreadable } from "./byte_source.ts";
import { InputError } from "./input_error.ts";
import { parseJsonObject, readTextFile } from "./text_file.ts";

async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const isInput = (message: RegExp) => (error: unknown) => error instanceof InputError && message.test(error.message);

Deno.test("readTextFile() reads UTF-8 with and without a byte order mark, and nothing else", () =>
  withFolder(async (folder) => {
    const path = join(folder, "x.json");
    await Deno.writeTextFile(path, '\ufeff{"ä": 1}');
    assert.equal(await readTextFile(path, { wanted: "JSON" }), '{"ä": 1}');
    const cases: [Uint8Array, RegExp][] = [
      [Uint8Array.of(0x7b, 0xff, 0x7d), /x\.json: it is not UTF-8; save it as UTF-8/],
      [Uint8Array.of(0xff, 0xfe, 0x7b, 0, 0x7d, 0), /x\.json: it is UTF-16; save it as UTF-8/],
      [Uint8Array.of(0x61, 0, 0x62), /x\.json: it holds zero bytes and is no text/],
    ];
    for (const [bytes, message] of cases) {
      await Deno.writeFile(path, bytes);
      await assert.rejects(readTextFile(path, { wanted: "text" }), isInput(message));
    }
  }));

Deno.test("openFile() tells a missing file from a link to nothing, a folder, a pipe and a circle", () =>
  withFolder(async (folder) => {
    const path = (name: string) => join(folder, name);
    await Deno.symlink(`../../blobs/${"ab".repeat(32)}`, path("dangling"));
    await Deno.symlink("circle", path("circle"));
    await Deno.mkdir(path("folder"));
    await Deno.symlink("folder", path("linked"));
    await Deno.writeTextFile(path("file"), "x");
    const cases: [string, RegExp][] = [
      ["none", /none: there is no such file$/],
      ["dangling", /dangling: it is a link to \.\.\/\.\.\/blobs\/abab.*, which is not there.*download it again$/],
      ["circle", /circle: it is a link that leads back to itself/],
      ["folder", /folder: it is a folder, not a file$/],
      ["linked", /linked: it is a folder, not a file$/],
      ["file/x", /x: a part of its path is a file, not a folder$/],
    ];
    for (const [name, message] of cases) {
      await assert.rejects(openFile(path(name)), isInput(message), name);
      await assert.rejects(sizeOfFile(path(name)), isInput(message), name);
    }
    assert.equal(await sizeOfFile(path("file")), 1);
    await assert.rejects(openFile("/dev/zero"), isInput(/it is a device or a pipe, not a file$/));
  }));

Deno.test("whyUnreadable() says what permissions lack", async () => {
  const cause = Object.assign(new Error("EACCES: permission denied, open 'x'"), { code: "EACCES" });
  assert.match(await whyUnreadable("x", cause), /its permissions do not let it be read; .*chmod u\+r/);
});

Deno.test("parseJsonObject() names the file, and what it holds instead of an object", () => {
  assert.deepEqual(parseJsonObject('{"a": NaN}', "config.json"), { a: NaN });
  for (const [text, message] of [["[]", /a list/], ["null", /null/], ["7", /a number/], ['"x"', /a string/]] as const) {
    assert.throws(() => parseJsonObject(text, "config.json of m"), isInput(message));
    assert.throws(
      () => parseJsonObject(text, "config.json of m"),
      /Cannot read config\.json of m: it is not a JSON object/,
    );
  }
  assert.throws(
    () => parseJsonObject("{,}", "config.json of m"),
    isInput(/config\.json of m: it is not valid JSON: line 1, col/),
  );
});
