/** Files that are something else altogether, as they come from downloads and clones gone wrong. */
import type { Mutator } from "./mutator.ts";

const text = (value: string) => () => new TextEncoder().encode(value);

const FILES: readonly (readonly [string, (before: Uint8Array) => Uint8Array])[] = [
  ["an empty file", () => new Uint8Array()],
  [
    "a Git LFS pointer",
    text(`version https://git-lfs.github.com/spec/v1\noid sha256:${"0123456789abcdef".repeat(4)}\nsize 538090408\n`),
  ],
  ["a page of HTML", text("<!DOCTYPE html>\n<html><head><title>404</title></head><body>Not found</body></html>\n")],
  ["zeros", (before) => new Uint8Array(before.length)],
  ["ones", (before) => new Uint8Array(before.length).fill(255)],
  ["UTF-16", (before) => utf16(new TextDecoder().decode(before.subarray(0, 100_000)))],
  ["a mark of byte order first", (before) => Uint8Array.from([0xef, 0xbb, 0xbf, ...before])],
  ["JSON null", text("null")],
  ["JSON array", text("[]")],
  ["JSON object", text("{}")],
  ["JSON text", text('"text"')],
  ["a line of words", text("Repository not found.\n")],
];

/** Puts another file in a file's place. */
export const replaceWhole: Mutator = ({ bytes, draw }) => {
  const [name, make] = draw.pick(FILES);
  return { bytes: make(bytes), change: `it is ${name}` };
};

function utf16(value: string): Uint8Array {
  return new Uint8Array(Uint16Array.from([0xfeff, ...Array.from(value, (each) => each.charCodeAt(0))]).buffer);
}
