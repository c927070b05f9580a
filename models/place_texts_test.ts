import assert from "node:assert/strict";
import { type PlacedTexts, placeOf, placeTexts } from "./place_texts.ts";
import { segmentBias, segmentPositions } from "./segments.ts";

/** What the token at a place sees, itself last, by the bias that attention gets. */
function seen({ ids, segments, windows, length }: PlacedTexts, place: number): number[] {
  const bias = segmentBias(segments, { windows, length }), window = Math.floor(place / length);
  return [...ids.subarray(window * length, (window + 1) * length)].filter((_, key) => bias[place * length + key] === 0);
}

/** Checks that every token of every text sees what stands before it in its text, and nothing else. */
function checkAll(groups: readonly (readonly Int32Array[])[], placed: PlacedTexts): void {
  const { windows, length, segments, places } = placed;
  const positions = segmentPositions(segments, { windows, length });
  for (const [group, texts] of groups.entries()) {
    for (const [index, text] of texts.entries()) {
      for (let i = 0; i < text.length; i++) {
        const place = placeOf(places[group][index], i, length);
        assert.deepEqual(seen(placed, place), [...text.subarray(0, i + 1)], `text ${index} of group ${group} at ${i}`);
        assert.equal(positions[place], i);
      }
    }
  }
}

Deno.test("placeTexts() lets every token see its own text, whatever stands beside it", () => {
  let state = 1;
  const random = (most: number) => (state = (state * 48_271) % 2_147_483_647) % most;
  for (let round = 0; round < 20; round++) {
    const groups = Array.from({ length: 12 }, () => {
      const common = Int32Array.from({ length: random(9) }, () => random(5));
      return Array.from({ length: 1 + random(4) }, () => {
        const own = Int32Array.from({ length: 1 + random(6) }, () => random(5));
        return Int32Array.from([...common, ...own]);
      });
    });
    const placed = placeTexts(groups, 16);
    checkAll(groups, placed);
    assert.ok(placed.placed <= placed.tokens && placed.windows * 16 >= placed.placed);
  }
});

Deno.test("placeTexts() computes what texts share once, and fills windows", () => {
  const begin = Array.from({ length: 10 }, (_, i) => i);
  const group = [1, 2, 3, 4].map((end) => Int32Array.from([...begin, end]));
  const { windows, placed, tokens } = placeTexts([group, group, [Int32Array.of(1, 2)], [Int32Array.of(3, 4)]], 16);
  assert.deepEqual([windows, placed, tokens], [2, 32, 92]);
});

Deno.test("placeTexts() parts a group that no window holds, and takes texts that are equal or begin others", () => {
  const groups = [
    [Int32Array.of(1, 2, 3, 4), Int32Array.of(1, 2, 5, 6), Int32Array.of(1, 2, 7, 8)],
    [Int32Array.of(1, 2), Int32Array.of(1, 2), Int32Array.of(1, 2, 3)],
    [],
  ];
  const placed = placeTexts(groups, 6);
  checkAll(groups, placed);
  assert.equal(placed.placed, 6 + 4 + 3);
  assert.deepEqual(placeTexts([], 6).windows, 0);
});

Deno.test("placeTexts() refuses a text that no window can hold", () => {
  assert.throws(() => placeTexts([[new Int32Array(7)]], 6), /a text of 7 tokens: it must have 1 to 6/);
  assert.throws(() => placeTexts([[new Int32Array(0)]], 6), /a text of 0 tokens/);
});
