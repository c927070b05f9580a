import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { encodeSafetensors } from "./safetensors_test_support.ts";
import { type Wanted, whatIsIt } from "./what_is_it.ts";

const text = (value: string) => new TextEncoder().encode(value);
const look = (bytes: Uint8Array, wanted: Wanted) => whatIsIt(bytes, bytes.length, wanted);
const ALL: readonly Wanted[] = ["safetensors", "GGUF", "PyTorch", "Parquet", "gzip", "JSON", "recipe", "lines", "text"];

const POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:5d5d\nsize 462000\n";
const UTF16 = (value: string) => new Uint8Array(Uint16Array.from(value, (c) => c.charCodeAt(0)).buffer);

Deno.test("whatIsIt() names what a file is in place of any other kind, and the remedy", async () => {
  const safetensors = await encodeSafetensors({ a: { dtype: "U8", shape: [1], data: new Uint8Array(1) } });
  const tar = new Uint8Array(1024);
  tar.set(text("model.safetensors"));
  tar.set(text("ustar"), 257);
  const cases: [Uint8Array, RegExp, readonly Wanted[]][] = [
    [text(""), /^it is empty; download it again$/, []],
    [text(POINTER), /^it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`/, []],
    [new Uint8Array(5000), /^its first 1024 of 5000 bytes are all zero.*download it again$/, []],
    [text("\n<!DOCTYPE html>\n<html><title>\n429 Too Many\n</title>"), /^it is an HTML page \("429 Too Many"\)/, [
      "text",
    ]],
    [text("<html>"), /^it is an HTML page, as a server sends/, ["text"]],
    [
      text('<?xml version="1.0"?><Error><Message>Access Denied</Message></Error>'),
      /^it is an XML document \("Access Denied"\)/,
      ["text"],
    ],
    [text('{"error":"Repository not found"}'), /^it is the answer of a server \("Repository not found"\)/, ["text"]],
    [
      text('{"statusCode": 404, "message": "no such file", "path": "/x"}'),
      /^it is the answer of a server \("no such file"\)/,
      ["text"],
    ],
    [UTF16("\ufeff{}"), /^it is UTF-16; save it as UTF-8$/, []],
    [UTF16('{"a": 1, "b": 2}'), /^it is UTF-16/, []],
    [UTF16("\ufeff\0{\0}\0"), /^it is UTF-32; save it as UTF-8$/, []],
    [Uint8Array.of(0, 0, 0xfe, 0xff, 0, 0, 0, 0x7b), /^it is UTF-32; save it as UTF-8$/, []],
    [gzipSync("x"), /^it is a gzip archive; unpack it with gunzip$/, ["gzip"]],
    [text("PK\x03\x04 and more"), /^it is a zip archive; unpack it$/, ["PyTorch"]],
    [Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0), /^it is an xz archive/, []],
    [Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0), /^it is a Zstandard archive/, []],
    [tar, /^it is a tar archive/, []],
    [text("GGUF\x03\0\0\0"), /^it is a GGUF file; name the \.gguf file itself/, ["GGUF"]],
    [text("PAR1\x15\x04"), /^it is a Parquet file/, ["Parquet"]],
    [Uint8Array.of(0x80, 2, 0x7d, 0x2e), /^it is a Python pickle; load it with PyTorch/, ["PyTorch"]],
    [safetensors, /^it is a safetensors file/, ["safetensors"]],
    [text("Entry not found"), /^it is a text that begins with "Entry not found"; download it again$/, [
      "JSON",
      "recipe",
      "lines",
      "text",
    ]],
  ];
  for (const [bytes, message, fine] of cases) {
    for (const wanted of ALL) {
      const found = look(bytes, wanted);
      if (fine.includes(wanted)) assert.equal(found, undefined, `${message} wanted as ${wanted}`);
      else assert.match(found ?? "", message, `${message} wanted as ${wanted}`);
    }
  }
});

Deno.test("whatIsIt() takes no config, vocabulary or prose for something else", () => {
  const configs = [
    '{"errors": "replace", "unk_token": "</s>"}',
    '{"errors": "replace"}',
    '{"model_type": "llama", "message": "hello"}',
    "{}",
    "[]",
    '"x"',
    '{"type": "BPE"}',
  ];
  for (const config of configs) assert.equal(look(text(config), "JSON"), undefined, config);
  for (const lines of ["#version: 0.2\nĠ t\n", "Ġ t\nh e\n"]) {
    assert.equal(look(text(lines), "lines"), undefined, lines);
  }
  for (const prose of ["<html> is a tag.", '{"error": "a log"}', "Call me Ishmael.", "Ünïcode 日本語".repeat(200)]) {
    assert.equal(look(text(prose), "text"), undefined, prose);
  }
});

Deno.test("whatIsIt() says nothing where the beginning does not tell", () => {
  assert.equal(look(Uint8Array.from({ length: 300 }, (_, i) => i * 7 + 1), "safetensors"), undefined);
});
