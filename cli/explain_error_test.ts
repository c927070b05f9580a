import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import * as z from "zod";
import { InputError } from "../files/input_error.ts";
import { reportError } from "./exit_codes.ts";
import { harmless, OutputError } from "./terminal.ts";
import { memoryTerminal } from "./terminal_test_support.ts";

/** What an operation throws. */
function thrownBy(operation: () => unknown): unknown {
  try {
    operation();
  } catch (error) {
    return error;
  }
  throw new Error("Nothing was thrown");
}

const errors: readonly { name: string; error: unknown; exit: number; says: RegExp }[] = [
  {
    name: "a validator's list of issues",
    error: thrownBy(() => z.object({ a: z.array(z.object({ b: z.int() })), c: z.string() }).parse({ a: [{ b: "x" }] })),
    exit: 1,
    says: /^error: Cannot use data of an unexpected form: `a\.0\.b` is wrong \(.*\), and 1 more such\n/,
  },
  {
    name: "a parser's error",
    error: thrownBy(() => JSON.parse("{")),
    exit: 1,
    says: /^error: Cannot go on as a text is not what it should be: .+\n/,
  },
  {
    name: "a mistake of the program",
    error: thrownBy(() => (undefined as unknown as { x: number }).x),
    exit: 1,
    says: /^error: Cannot go on as something unexpected happened: Cannot read .+\n/,
  },
  {
    name: "the system's refusal",
    error: thrownBy(() => Deno.readTextFileSync("no/such/file")),
    exit: 1,
    says: /^error: Cannot go on as the system refuses it: .*no\/such\/file.*\n/,
  },
  {
    name: "SQLite's refusal",
    error: thrownBy(() => new DatabaseSync(":memory:").exec("nonsense")),
    exit: 1,
    says: /^error: Cannot use the cache's index: .+; where another process holds it, wait/,
  },
  {
    name: "a host that the tasks may not reach",
    error: new Deno.errors.NotCapable(
      'Requires net access to "mirror.example:443", run again with the --allow-net flag',
    ),
    exit: 1,
    says: /^error: Cannot reach mirror\.example as .* by PBS2P_NET=,mirror\.example \(with the comma\)\n$/,
  },
  {
    name: "a file that the tasks may not read",
    error: new Deno.errors.NotCapable('Requires all access to "/proc/self/mem", run again with the --allow-all flag'),
    exit: 1,
    says: /^error: Cannot go on without all access to \/proc\/self\/mem/,
  },
  { name: "a text", error: "odd\x1b[2J\nsecond line", exit: 1, says: /^error: .*: odd\\u001b\[2J\n/ },
  { name: "nothing", error: undefined, exit: 1, says: /^error: Cannot go on/ },
  {
    name: "an error of input",
    error: new InputError("Cannot read it: bad"),
    exit: 3,
    says: /^error: Cannot read it: bad\n$/,
  },
  {
    name: "an error of output",
    error: new OutputError("Cannot write it"),
    exit: 4,
    says: /^error: Cannot write it\n$/,
  },
];

Deno.test("reportError() gives one sentence for whatever is thrown, and no dump", () => {
  for (const { name, error, exit, says } of errors) {
    const terminal = memoryTerminal();
    assert.equal(reportError(error, terminal), exit, name);
    assert.match(terminal.err(), says, name);
    assert.doesNotMatch(terminal.err(), /\n\s+at |^\s*[[{]|"code":/m, name);
    assert.ok(terminal.err().trimEnd().split("\n").length <= 2, name);
  }
});

Deno.test("reportError() keeps the exit code where not even the error can be printed", () => {
  const full = () => {
    throw new OutputError("Cannot write the output: the error output is full");
  };
  const terminal = { ...memoryTerminal(), note: full };
  assert.equal(reportError(new InputError("Cannot read it"), terminal), 3);
});

Deno.test("harmless() writes out what would steer a terminal, and leaves the program's own colours and lines", () => {
  const text = "\x1b[1mname\x1b[0m\x1b[2J\x9b31m\x07[31m\n\x1b[?25h\u202e";
  assert.equal(harmless(text, true), "\x1b[1mname\x1b[0m\\u001b[2J\\u009b31m\\u0007[31m\n\x1b[?25h\\u202e");
  assert.equal(harmless("\x1b[31mred", false), "\\u001b[31mred");
  // A line of JSON stays one that says the same.
  const json = JSON.stringify({ name: "a\x1b[2J\x9b\u202e" });
  assert.deepEqual(JSON.parse(harmless(json, false)), JSON.parse(json));
});
