import assert from "node:assert/strict";
import fc from "fast-check";
import { parseJson } from "./json_text.ts";

class Refused extends Error {}

const fail = (why: string): never => {
  throw new Refused(why);
};

Deno.test("parseJson() reads what Python's json module reads, and as it does", () => {
  const cases: [string, unknown][] = [
    ['{"time_step_limit": [0.0, Infinity], "low": -Infinity}', { time_step_limit: [0, Infinity], low: -Infinity }],
    ['{"router_jitter": NaN}', { router_jitter: NaN }],
    ['\ufeff{"a": 1}', { a: 1 }],
    ['{"a": 1, "b": NaN, "a": 2}', { a: 2, b: NaN }],
    ['{"a": 1, "a": 2}', { a: 2 }],
    ["[1000000000000000000000000000000, 1e999, -1e999]", [1e30, Infinity, -Infinity]],
    ['{"text": "NaN, -Infinity and \\"NaN\\" \\\\", "n": NaN}', { text: 'NaN, -Infinity and "NaN" \\', n: NaN }],
    ['[NaN, "\\ud83d\\ude00\\n\\u00e9😀"]', [NaN, "😀\né😀"]],
    [" \r\n\t[ -0.5e-2 , { } , [ ] , null , true , false , NaN ]\n", [-0.005, {}, [], null, true, false, NaN]],
  ];
  for (const [text, expected] of cases) assert.deepEqual(parseJson(text, fail), expected, text);
});

Deno.test("parseJson() keeps inherited names as plain keys", () => {
  for (const text of ['{"__proto__": {"x": 1}}', '{"__proto__": {"x": 1}, "n": NaN}']) {
    const value = parseJson(text, fail) as object;
    assert.ok(Object.hasOwn(value, "__proto__") && !("x" in value), text);
  }
});

Deno.test("parseJson() says where a text is no JSON, and what is there", () => {
  const cases: [string, RegExp][] = [
    ["", /^it holds nothing but white space$/],
    [
      "// made by hand\n{}",
      /^line 1, column 1: a value was expected: found "\/\/ made by hand"; JSON has no comments$/,
    ],
    ['{"a": 1,\n}', /^line 2, column 1: a key in double quotes was expected: found "}"$/],
    ['{\n "a" 1}', /^line 2, column 6: a colon was expected after a key: found "1}"$/],
    ['{"a": [1 2]}', /^line 1, column 10: a comma or ] was expected/],
    ['{"a": 1', /^it is cut at its end \(line 1, column 8\): a comma or } was expected$/],
    ['{"a": "b', /^line 1, column 7: a string in double quotes does not end/],
    ['{"a": "\\x"}', /a string in double quotes does not end, or holds a wrong escape/],
    ["{} {}", /^line 1, column 4: the end was expected after the value/],
    ["[01]", /a comma or ] was expected: found "1]"/],
    ["[nan]", /a value was expected: found "nan]"/],
    ["[+1]", /a value was expected/],
    ["[.5]", /a value was expected/],
    ["{'a': 1}", /a key in double quotes was expected/],
    ["[".repeat(100_000), /nested more than 256 deep/],
    [`${"[".repeat(1000)}${"]".repeat(1000)}`, /nested more than 256 deep/],
    [`{"a":`.repeat(1000) + "NaN" + "}".repeat(1000), /nested more than 256 deep/],
  ];
  for (const [text, message] of cases) {
    assert.throws(
      () => parseJson(text, fail),
      (error) => error instanceof Refused && message.test(error.message),
      text,
    );
  }
});

Deno.test("parseJson() refuses keys that occur twice where they are names", () => {
  assert.throws(() => parseJson('{"a": 1, "\\u0061": 2}', fail, { unique: true }), /it has the key "a" twice/);
  assert.deepEqual(parseJson('{"a": {"b": 1}, "b": 2}', fail, { unique: true }), { a: { b: 1 }, b: 2 });
});

Deno.test("parseJson() gives what JSON.parse() gives by its own reader too, for any JSON", () =>
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
      const text = JSON.stringify(value);
      assert.deepEqual(parseJson(text, fail, { unique: true }), JSON.parse(text));
      assert.deepEqual(parseJson(`[${text},NaN]`, fail), [JSON.parse(text), NaN]);
    }),
    { numRuns: 60, seed: 1 },
  ));

Deno.test("parseJson() reads a value or calls fail, whatever the text", () =>
  fc.assert(
    fc.property(
      fc.json(),
      fc.nat(),
      fc.constantFrom("NaN", '"', "}", "[", ",", "\\", "-", "1e", "\0"),
      (text, at, sign) => {
        const place = at % (text.length + 1);
        try {
          parseJson(text.slice(0, place) + sign + text.slice(place), fail);
        } catch (error) {
          assert.ok(error instanceof Refused, String(error));
        }
      },
    ),
    { numRuns: 500, seed: 2 },
  ));

Deno.test("parseJson() reads strings of many megabytes with escapes, without running out of stack", () => {
  const long = "a\\n".repeat(1_000_000);
  assert.equal((parseJson(`["${long}", NaN]`, fail) as string[])[0].length, 2_000_000);
});
