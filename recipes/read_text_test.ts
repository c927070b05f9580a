import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readText } from "./read_text.ts";

const recipe = "model: { path: w }\n";

/** A text in UTF-16 or UTF-32. */
function encode(text: string, { size = 2, little = true, mark = false } = {}): Uint8Array {
  const letters = [...(mark ? "\ufeff" : "") + text];
  const view = new DataView(new ArrayBuffer(letters.length * size));
  for (const [at, letter] of letters.entries()) {
    if (size === 2) view.setUint16(at * size, letter.charCodeAt(0), little);
    else view.setUint32(at * size, letter.charCodeAt(0), little);
  }
  return new Uint8Array(view.buffer);
}

const latin1 = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

const files: readonly { name: string; bytes: Uint8Array | string; reason: RegExp; note?: RegExp }[] = [
  { name: "nothing", bytes: "", reason: /^it is empty$/ },
  { name: "blanks", bytes: " \r\n\t\n", reason: /^there is nothing but blanks in it$/ },
  { name: "a mark and no more", bytes: "\ufeff", reason: /^there is nothing but blanks in it$/ },
  { name: "UTF-16 LE with a mark", bytes: encode(recipe, { mark: true }), reason: /^it is UTF-16$/, note: /UTF-8/ },
  { name: "UTF-16 BE with a mark", bytes: encode(recipe, { mark: true, little: false }), reason: /^it is UTF-16$/ },
  { name: "UTF-16 LE", bytes: encode(recipe), reason: /^it is UTF-16$/, note: /UTF-8/ },
  { name: "UTF-16 BE", bytes: encode(recipe, { little: false }), reason: /^it is UTF-16$/, note: /UTF-8/ },
  { name: "UTF-32 LE", bytes: encode(recipe, { size: 4, mark: true }), reason: /^it is UTF-32$/ },
  { name: "UTF-32 BE", bytes: encode(recipe, { size: 4, mark: true, little: false }), reason: /^it is UTF-32$/ },
  { name: "Latin-1", bytes: latin1(`${recipe}name: caf\xe9\n`), reason: /^line 2 is not UTF-8 text$/, note: /UTF-8/ },
  { name: "half a letter at the end", bytes: latin1(`${recipe}#\xc3`), reason: /^line 2 is not UTF-8 text$/ },
  {
    name: "an LFS pointer",
    bytes: "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    reason: /Git LFS pointer/,
    note: /git lfs pull/,
  },
  { name: "a web page", bytes: "\n<!DOCTYPE html>\n<p>", reason: /HTML page/, note: /download/ },
  { name: "a web page with a mark", bytes: "\ufeff<html>", reason: /HTML page/ },
  { name: "GGUF", bytes: "GGUF\x03\0\0\0", reason: /^it is a GGUF file$/, note: /as the model/ },
  { name: "safetensors", bytes: '\x10\0\0\0\0\0\0\0{"a":{}}', reason: /^it is a safetensors file$/ },
  { name: "a zip", bytes: "PK\x03\x04\0\0", reason: /^it is a zip archive$/, note: /unpack/ },
  { name: "gzip", bytes: latin1("\x1f\x8b\x08\0"), reason: /^it is a gzip archive$/, note: /unpack/ },
  {
    name: "a server's refusal",
    bytes: '{"error":"Entry not found"}',
    reason: /answer of a server \("Entry not found"\)/,
  },
  { name: "a pickle", bytes: latin1("\x80\x02}."), reason: /^it is a Python pickle$/ },
  { name: "a file that was never written", bytes: "\0".repeat(300), reason: /bytes are all zero/, note: /download/ },
  { name: "a zero byte", bytes: `${recipe}\0`, reason: /zero byte at 19/ },
  { name: "too much", bytes: "#\n".repeat(200_000), reason: /more than 256 KiB/ },
];

Deno.test("readText() says what a file is that is no recipe, and what to do", async () => {
  const folder = await mkdtemp(join(tmpdir(), "recipe-"));
  const file = join(folder, "a.yaml");
  try {
    for (const { name, bytes, reason, note } of files) {
      await writeFile(file, bytes);
      const read = await readText(file);
      assert.ok("reason" in read, name);
      assert.match(read.reason, reason, name);
      if (note) assert.match(read.note ?? "", note, name);
      assert.equal(read.similar, undefined, name);
    }
    await writeFile(file, `\ufeff${recipe.replace("\n", "\r\n")}`);
    assert.deepEqual(await readText(file), { text: recipe.replace("\n", "\r\n") });
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("readText() names what stands in a recipe's place, and a similar file only where none stands there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "recipe-"));
  try {
    await writeFile(join(folder, "quick.yaml"), recipe);
    await symlink("gone.yaml", join(folder, "link.yaml"));
    await symlink("loop.yaml", join(folder, "loop.yaml"));
    await mkdir(join(folder, "empty"));
    const told = async (name: string) => await readText(join(folder, name));
    assert.deepEqual(await told("quik.yaml"), { reason: "there is no such file", similar: "quick.yaml" });
    assert.deepEqual(await told("nowhere/quick.yaml"), { reason: "there is no such file, nor its folder" });
    assert.deepEqual(await told("link.yaml"), {
      reason: "it is a link to `gone.yaml`, which is not there",
      note: "mend the link, or name another file",
    });
    assert.match(JSON.stringify(await told("loop.yaml")), /a link that leads back to itself/);
    assert.deepEqual(await told("empty"), { reason: "it is a folder", note: "name a YAML file" });
    assert.match(
      JSON.stringify(await told("")),
      /it is a folder.*name a recipe in it: `link\.yaml`, `loop\.yaml`, `quick/,
    );
    assert.match(JSON.stringify(await told("quick.yaml/x")), /is a file, not a folder/);
    assert.match(JSON.stringify(await told("a".repeat(300))), /longer than the system allows/);
    assert.match(JSON.stringify(await told("a\0b")), /no file can have this name/);
    // Root reads everything.
    if (Deno.uid() === 0) return;
    await chmod(join(folder, "quick.yaml"), 0);
    assert.match(JSON.stringify(await told("quick.yaml")), /reading it is not permitted/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

Deno.test("readText() up to a line reads only what stands before it, however long the rest", async () => {
  const folder = await mkdtemp(join(tmpdir(), "pbs2p-text-")), file = join(folder, "lock.yaml");
  try {
    await writeFile(file, `recipe:\n  lock: none\nlock:\n${"x".repeat(1 << 20)}\n`);
    assert.deepEqual(await readText(file, { before: "lock:" }), { text: "recipe:\n  lock: none\n" });
    await writeFile(file, "recipe:\r\nlock:\r\n");
    assert.deepEqual(await readText(file, { before: "lock:" }), { text: "recipe:\r\n" });
    await writeFile(file, "recipe: {}\n");
    const refused = await readText(file, { before: "lock:" });
    assert.match("reason" in refused ? refused.reason : "", /^it has no line `lock:`, so it is no lock of a run$/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
