import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { InputError } from "../files/input_error.ts";
import { type PickleRules, unpickle } from "./pickle.ts";

const rules: PickleRules = {
  label: "x.bin",
  global: (name, fail) => name.startsWith("good.") ? name : fail(`"${name}" is not allowed`),
  call: (callee, inputs) => ({ callee, inputs }),
  persistent: (id) => ({ id }),
};

/** `pickle.dumps(value, protocol)` in CPython 3.12, in hex, where value["a again"] is value["a"]. */
const WRITTEN = {
  2: "80027d71002858010000006171015d7102284b014d2c014afbffffff8a060000000000018a060000000000ff473fe000000000000088894e2" +
    "94b018571034b014b028671044b014b024b03877105284b014b024b034b047471065802000000c3a9710765580100000062" +
    "71087d710958070000006120616761696e710a6802752e",
  4: "80049568000000000000007d94288c0161945d94284b014d2c014afbffffff8a060000000000018a060000000000ff473fe0000000000000" +
    "88894e294b0185944b014b0286944b014b024b038794284b014b024b034b0474948c02c3a994658c0162947d948c076120616761696e9468" +
    "02752e",
};
const LIST = [
  1,
  300,
  -5,
  2 ** 40,
  -(2 ** 40),
  0.5,
  true,
  false,
  null,
  [],
  [1],
  [1, 2],
  [1, 2, 3],
  [1, 2, 3, 4],
  "é",
];

const fromHex = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));
/** A pickle of protocol 2 with these instructions; characters are their codes. */
const pickle = (...parts: (string | number)[]) =>
  Uint8Array.from([0x80, 2, ...parts.flatMap((part) => typeof part === "string" ? [...Buffer.from(part)] : part)]);

Deno.test("unpickle() reads what Python writes", () => {
  for (const hex of Object.values(WRITTEN)) {
    const value = unpickle(fromHex(hex), rules);
    assert.deepEqual(value, new Map<string, unknown>([["a", LIST], ["b", new Map()], ["a again", LIST]]));
    assert.ok(value instanceof Map && value.get("a") === value.get("a again"), "one list, not two");
  }
});

Deno.test("unpickle() leaves names, calls and ids to its rules", () => {
  assert.deepEqual(unpickle(pickle("cgood\nname\nK", 7, 0x85, "R."), rules), { callee: "good.name", inputs: [7] });
  assert.deepEqual(unpickle(pickle(0x8c, 4, "good", 0x8c, 1, "x", 0x93, "."), rules), "good.x");
  assert.deepEqual(unpickle(pickle("K", 3, "Q."), rules), { id: 3 });
  assert.deepEqual(unpickle(pickle("}K", 1, "b."), rules), new Map(), "attributes of a dictionary are dropped");
});

Deno.test("unpickle() refuses what it does not know, and what is malformed", async (t) => {
  const cases: [string, Uint8Array, RegExp][] = [
    ["a global that is not allowed", pickle("cos\nsystem\n."), /in its pickle, "os\.system" is not allowed/],
    ["the same by STACK_GLOBAL", pickle(0x8c, 2, "os", 0x8c, 6, "system", 0x93, "."), /"os\.system"/],
    ["INST, which calls", pickle("(ios\nsystem\n."), /instruction 0x69/],
    ["OBJ, which calls", pickle("(o."), /instruction 0x6f/],
    ["NEWOBJ, which calls", pickle("))", 0x81, "."), /instruction 0x81/],
    ["EXT1, which imports", pickle(0x82, 1, "."), /instruction 0x82/],
    ["protocol 0", new TextEncoder().encode("I1\n."), /instruction 0x49/],
    ["a protocol that does not exist", Uint8Array.of(0x80, 9, 0x2e), /protocol must be 2 to 5: current value is 9/],
    ["no end", pickle("N"), /cut at its end/],
    ["a text beyond the end", pickle("X", 255, 255, 255, 255, "a"), /cut at its end/],
    ["a name without end", pickle("cgood"), /cut within a name/],
    ["an empty stack", pickle("."), /more from its stack/],
    ["a tuple across a mark", pickle("N(N", 0x86, "."), /more from its stack/],
    ["a mark that was not set", pickle("Nt."), /a mark that was not set/],
    ["a value that was not kept", pickle("h", 3, "."), /recalls value 3/],
    ["items of a list", pickle("]NNs."), /items of something other than a dictionary/],
    ["an odd number of items", pickle("}(Nu."), /items of something other than a dictionary/],
    ["elements of a dictionary", pickle("}Na."), /appends to something other than a list/],
    ["attributes of a list", pickle("]Nb."), /attributes of something other than a dictionary/],
    ["a call with a number", pickle("NK", 1, "R."), /no tuple of inputs/],
    ["an integer of 64 bits", pickle(0x8a, 8, 0, 0, 0, 0, 0, 0, 0, 0x40, "."), /more than 53 bits/],
  ];
  for (const [name, bytes, message] of cases) {
    await t.step(name, () =>
      assert.throws(() => unpickle(bytes, rules), (error) => {
        assert.ok(error instanceof InputError, String(error));
        assert.match(error.message, /^Cannot read x\.bin as a PyTorch checkpoint/);
        assert.match(error.message, message);
        return true;
      }));
  }
});

Deno.test("unpickle() either succeeds or throws an InputError, whatever the bytes", () => {
  const whole = fromHex(WRITTEN[2]);
  const byte = fc.oneof(fc.constantFrom(...whole), fc.nat(255));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(whole.length - 1), byte), { maxLength: 10 }), fc.nat(200), (changes, cut) => {
      const bytes = whole.slice(0, Math.min(whole.length, whole.length - 20 + cut));
      for (const [at, value] of changes) bytes[at % bytes.length] = value;
      try {
        unpickle(bytes, rules);
      } catch (error) {
        assert.ok(error instanceof InputError, String(error));
      }
    }),
    { numRuns: 2000, seed: 1 },
  );
});
