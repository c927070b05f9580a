/**
 * A method of the user's own: the README's page is taken word for word, beside a recipe of its own, and run by the command line.
 */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  lastRun,
  metricsOf,
  modelBytes,
  project,
  runTask,
  succeed,
  temporaryFolder,
} from "./command_line_test_support.ts";

/** The page's method and recipe. */
function readPage(): { readonly method: string; readonly recipe: string } {
  const readme = readFileSync(join(project, "README.md"), "utf8");
  const [, page] = /^## A method of your own\n([^]*?)^## /m.exec(readme) ?? assert.fail("the README has no such page");
  const block = (language: string) =>
    new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "m").exec(page)?.[1] ??
      assert.fail(`the page has no ${language}`);
  return { method: block("ts ignore"), recipe: block("yaml") };
}

/** A folder that looks to the recipe like this project's, with the method in `mine`. */
function settle(folder: string): { readonly file: string; readonly recipe: string; readonly method: string } {
  const { method, recipe } = readPage();
  mkdirSync(join(folder, "mine"));
  symlinkSync(join(project, "configs"), join(folder, "configs"));
  writeFileSync(join(folder, "mine", "sketch.ts"), method);
  writeFileSync(join(folder, "mine", "sketch.yaml"), recipe);
  return { file: join(folder, "mine", "sketch.ts"), recipe: join(folder, "mine", "sketch.yaml"), method };
}

/** Less than the whole text, and statistics that no method changes. */
const LITTLE = [
  "stages.calibrate={ samples: 4, length: 64, inputs: original }",
  "stages.evaluate.perplexity.0.samples=4",
]
  .flatMap((each) => ["--set", each]);

Deno.test("the README's method of one's own runs as it stands, on any device; its content is its key, and its place is not", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, { recipe, method } = settle(folder);
  const places = ["--cache", join(folder, "cache"), "--runs", join(folder, "runs")];
  const run = (path: string, more: readonly string[] = ["--device", "cpu"]) =>
    succeed("run", [path, ...LITTLE, ...places, ...more]);
  const out = await run(recipe), first = lastRun(join(folder, "runs"));
  const { method: label, bits, perplexity, layer_error } = metricsOf(first);
  assert.deepEqual([label, bits.nominal, bits.stored.signs], ["Sketch", 2, 2]);
  assert.match(out, /stored 2\.63 = mask 0\.00 \+ signs 2\.00 \+ segments 0\.00 \+ scales 0\.6/);
  assert.ok(perplexity.heldout.compressed > perplexity.heldout.original && perplexity.heldout.compressed < 80, out);
  assert.ok(layer_error.mean > 0.02 && layer_error.mean < 0.2, `${layer_error.mean}`);
  assert.equal(first.finished.filter((step) => step.startsWith("sketch[")).length, 6);
  const lock = readFileSync(join(first.path, "recipe.lock.yaml"), "utf8");
  assert.match(lock, /^ {2}use:\n {4}- \.\.\/\.\.\/mine\/sketch\.ts$/m);
  assert.match(
    lock,
    /^ {2}use:\n {4}- methods:\n {8}- sketch\n {6}code: [0-9a-f]{64}\n {6}files:\n {8}sketch\.ts: [0-9a-f]{64}$/m,
  );

  // The packed model is one like all others: what reads it needs no method.
  assert.match(await succeed("inspect", [join(first.path, "model")]), /q_proj/);

  // Another place, another name, other words about it.
  renameSync(join(folder, "mine"), join(folder, "yours"));
  renameSync(join(folder, "yours", "sketch.ts"), join(folder, "yours", "draft.ts"));
  const moved = join(folder, "yours", "sketch.yaml"), draft = join(folder, "yours", "draft.ts");
  writeFileSync(moved, readFileSync(recipe.replace("/mine/", "/yours/"), "utf8").replace("sketch.ts", "draft.ts"));
  writeFileSync(draft, `// Other words.\n${method}`);
  assert.match(await run(moved), /all from the cache/);
  assert.deepEqual(lastRun(join(folder, "runs")).finished, []);

  // Another method re-makes its own steps, what comes after them, and nothing that it shares.
  writeFileSync(draft, method.replace("device.run(roundScales, scales);", "device.run(roundScales, scales), void 1;"));
  assert.notEqual(readFileSync(draft, "utf8"), method);
  await run(moved);
  const again = lastRun(join(folder, "runs")),
    stagesRun = [...new Set(again.finished.map((step) => step.replace(/\[\d\]$/, "")))];
  assert.deepEqual(stagesRun.toSorted(), ["evaluate.heldout.compressed", "pack", "sketch"]);
  assert.deepEqual(modelBytes(again), modelBytes(first));
});

Deno.test("a file of one's own that cannot be used ends the command with 2 and its place; one that fails in a step says where", async () => {
  using temporary = temporaryFolder();
  const folder = temporary.path, { file, recipe, method } = settle(folder);
  const args = [recipe, ...LITTLE, "--device", "cpu", "--cache", join(folder, "cache"), "--runs", join(folder, "runs")];
  writeFileSync(file, method.replace("z.strictObject", "z.strictObjekt"));
  const wrong = await runTask("run", args);
  assert.equal(wrong.code, 2, wrong.err);
  assert.match(
    wrong.err,
    /^error: cannot load `sketch\.ts`: TypeError: z\.strictObjekt is not a function\n --> .*sketch\.yaml:2:7\n/,
  );
  assert.match(wrong.err, /= note: at sketch\.ts:7:18: const\s+params/);
  assert.doesNotMatch(wrong.err, /^ {4}at /m);
  assert.match(
    (await runTask("plan", args.slice(0, -2), { env: { PBS2P_DEBUG: "1" } })).err,
    /^ {4}at .*sketch\.ts:7:18/m,
  );
  writeFileSync(file, method.replace("device.run(roundScales, scales);", 'throw new RangeError("Out of ink");'));
  const failed = await runTask("run", args);
  assert.equal(failed.code, 5, failed.err);
  assert.match(failed.err.replaceAll(/\s+/g, " "), /layer "model\.layers\.0\.\S+": Out of ink \(sketch\.ts:\d+:\d+\)/);
});

Deno.test("the README's method of one's own passes the type check that its page names", async () => {
  using temporary = temporaryFolder();
  const { file } = settle(temporary.path);
  const args = ["check", "--config", join(project, "deno.json"), file];
  const { code, stderr } = await new Deno.Command(Deno.execPath(), { args, stderr: "piped" }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
});
