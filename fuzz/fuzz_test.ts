import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { memoryTerminal } from "../cli/terminal_test_support.ts";
import { caseOf, fuzz, withSamples } from "./fuzz.ts";
import { kinds } from "./kinds/mod.ts";
import { main } from "./main.ts";
import { plantedKinds, PROBLEMS } from "./planted_test_support.ts";
import { renderResult } from "./render.ts";

const limits = { time: 20, memory: 256 } as const;
const entry = fileURLToPath(new URL("./planted_child_test_support.ts", import.meta.url));

Deno.test("325 spoilt inputs of all kinds are read cleanly or refused with one clear error", async () => {
  const result = await fuzz({ kinds, seed: 9, count: 325, jobs: 2, limits });
  assert.deepEqual(result.groups.map(({ signature, message, name }) => ({ signature, message, name })), []);
  assert.equal(result.tallies.reduce((sum, { cases }) => sum + cases, 0), 325);
  assert.equal(result.tallies.length, 13);
});

Deno.test("fuzz() finds every fault that is planted, and none where there is none", async (t) => {
  assert.deepEqual(Object.keys(PROBLEMS), plantedKinds.map(({ name }) => name));
  const quick = { time: 5, memory: 128 };
  const count = plantedKinds.length;
  const result = await fuzz({ kinds: plantedKinds, seed: 1, count, jobs: 2, limits: quick, entry });
  for (const [kind, problem] of Object.entries(PROBLEMS)) {
    await t.step(kind, () => {
      const tally = result.tallies.find((each) => each.kind === kind);
      const groups = result.groups.filter(({ name }) => name.kind === kind);
      if (problem === undefined) return assert.deepEqual([tally?.refused, groups], [1, []]);
      assert.equal(tally?.findings, 1);
      assert.equal(groups.length, 1);
      assert.match(groups[0].problem, problem);
      assert.deepEqual(groups[0].name, { kind, seed: 1, number: 0 });
    });
  }
  await t.step("each is told with the command that reads it again", () => {
    const text = renderResult(result, 80).join("\n");
    for (const kind of Object.keys(PROBLEMS).filter((each) => PROBLEMS[each])) {
      assert.ok(text.includes(`deno task fuzz --kind ${kind} --seed 1 --case 0`), kind);
    }
    assert.match(text, /^14 cases of seed 1 in .*: 13 findings of 13 causes$/m);
  });
});

Deno.test("fuzz() goes on after a child has ended, and counts findings of one cause together", async () => {
  const chosen = plantedKinds.filter(({ name }) => name === "crash" || name === "type-error");
  const result = await fuzz({ kinds: chosen, seed: 2, count: 8, jobs: 1, limits, entry });
  assert.deepEqual(result.groups.map(({ name, count }) => [name.kind, count]).sort(), [["crash", 4], [
    "type-error",
    4,
  ]]);
});

Deno.test("fuzz() ends early when it is asked to, with what it found", async () => {
  const controller = new AbortController();
  controller.abort();
  const result = await fuzz({
    kinds: plantedKinds,
    seed: 1,
    count: 50,
    jobs: 1,
    limits,
    entry,
    signal: controller.signal,
  });
  assert.deepEqual([result.interrupted, result.tallies.every(({ cases }) => cases === 0)], [true, true]);
});

Deno.test("fuzz() refuses a sample that is not read as it is", async () => {
  const [{ make }] = plantedKinds;
  const broken = {
    ...plantedKinds[0],
    make: async (folder: string) => {
      const samples = await make(folder);
      await Deno.writeTextFile(join(folder, "text", "text.txt"), "another");
      return samples;
    },
  };
  await assert.rejects(
    fuzz({ kinds: [broken], seed: 1, count: 1, jobs: 1, limits, entry }),
    /Cannot fuzz clear as sample "text" is not read as it is/,
  );
});

Deno.test("a case is decided by kind, seed and number alone, and is spoilt", async () => {
  const cases = () =>
    withSamples(
      kinds,
      (prepared) =>
        Promise.resolve(
          kinds.flatMap(({ name: kind }) =>
            Array.from({ length: 40 }, (_, number) => caseOf(prepared, { kind, seed: 5, number }))
          ).map(({ sample, changes, files }) => ({
            ...{ sample, changes, files },
            spoilt: [...files].some(([path, bytes]) =>
              !equal(
                bytes,
                [...prepared.files.values()].find((all) => all.get(sample)?.has(path))?.get(sample)?.get(path),
              )
            ),
          })),
        ),
    );
  const [first, again] = [await cases(), await cases()];
  assert.deepEqual(first.map(({ changes }) => changes), again.map(({ changes }) => changes));
  for (const [at, { files, changes }] of first.entries()) {
    for (const [path, bytes] of files) assert.ok(equal(bytes, again[at].files.get(path)), `${changes}: ${path}`);
  }
  const same = first.filter(({ changes }) => changes.length === 0).length;
  assert.ok(same < first.length / 100, `${same} of ${first.length} cases are not spoilt`);
  assert.ok(new Set(first.map(({ changes }) => changes.join())).size > 0.9 * first.length);
});

Deno.test("main() replays one case, says what is spoilt in it, and keeps the input", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const terminal = memoryTerminal();
    const args = ["--kind", "windows", "--seed", "3", "--case", "7", "--keep", folder];
    const exit = await main(args, terminal);
    const changes = await withSamples(kinds.filter(({ name }) => name === "windows"), (prepared) => {
      const made = caseOf(prepared, { kind: "windows", seed: 3, number: 7 });
      for (const [path, bytes] of made.files) assert.ok(equal(bytes, readFileSync(join(folder, path))), path);
      return Promise.resolve(made.changes);
    });
    assert.ok(changes.length > 0);
    assert.ok(terminal.err().includes(`spoilt   ${changes[0].slice(0, 100)}`), terminal.err());
    assert.match(terminal.out(), /windows +1 /);
    assert.match(terminal.out(), /1 cases of seed 3/);
    assert.ok(exit === 0 || exit === 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("main() refuses arguments that make no sense", async () => {
  const cases: [string[], RegExp][] = [
    [["--kind", "none"], /Cannot fuzz kind "none": the kinds are safetensors/],
    [["--case", "1"], /give one --kind/],
    [["--keep", "x"], /there is no --case/],
    [["--count", "0"], /whole number from 1/],
    [["--seed", "4294967296"], /largest is 4294967295/],
  ];
  for (const [args, message] of cases) {
    const terminal = memoryTerminal();
    assert.equal(await main(args, terminal), 2, args.join(" "));
    assert.match(terminal.err(), message);
  }
});

function equal(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && a.length === b.length && a.every((byte, at) => byte === b[at]);
}
