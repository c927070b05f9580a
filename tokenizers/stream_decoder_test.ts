import assert from "node:assert/strict";
import fc from "fast-check";
import { streamDecoder } from "./stream_decoder.ts";

fc.configureGlobal({ seed: 1 });

const fromBytes = (ids: readonly number[]) =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(ids));

/** As SentencePiece decodes: the first token loses its leading space. Ids are code points. */
const fromPieces = (ids: readonly number[]) => ids.map((id) => String.fromCodePoint(id)).join("").replace(/^ /, "");

Deno.test("streamDecoder() tells a character when its last byte is there", () => {
  const stream = streamDecoder(fromBytes);
  const told = [...new TextEncoder().encode("aé🙂")].map((id) => stream.push(id));
  assert.deepEqual(told, ["a", "", "é", "", "", "", "🙂"]);
  assert.equal(stream.flush(), "");
});

Deno.test("streamDecoder() tells all of any bytes, and never what is taken back", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
    const stream = streamDecoder(fromBytes);
    assert.equal([...bytes].map((id) => stream.push(id)).join("") + stream.flush(), fromBytes([...bytes]));
  }));
});

Deno.test("streamDecoder() tells all of any text, whole characters only", () => {
  fc.assert(fc.property(fc.string({ unit: "grapheme", maxLength: 60 }), (text) => {
    const stream = streamDecoder(fromBytes);
    const told = [...new TextEncoder().encode(text)].map((id) => stream.push(id));
    for (const part of told) assert.ok(part.isWellFormed() && !part.includes("\uFFFD"));
    assert.equal(told.join("") + stream.flush(), text);
  }));
});

Deno.test("streamDecoder() keeps the spaces of tokens whose text depends on what is before them", () => {
  fc.assert(fc.property(fc.array(fc.constantFrom(32, 97, 98), { maxLength: 100 }), (ids) => {
    const stream = streamDecoder(fromPieces);
    assert.equal(ids.map((id) => stream.push(id)).join("") + stream.flush(), fromPieces(ids));
  }));
});

Deno.test("flush() tells what is unfinished and starts anew", () => {
  const stream = streamDecoder(fromBytes);
  assert.equal(stream.push(0xc3), "");
  assert.equal(stream.flush(), "\uFFFD");
  assert.equal(stream.push(0x61), "a");
});
