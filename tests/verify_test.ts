/** A run is a claim that others can check: its lock tells nothing of the machine, and verify makes the run again anywhere and says what came of it. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { main } from "../cli/main.ts";
import { memoryTerminal } from "../cli/terminal_test_support.ts";
import { assertSameBytes, lastRun, modelBytes, runTask, temporaryFolder } from "./command_line_test_support.ts";
import { tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

/** A machine with a run on it. */
interface Scene extends Disposable {
  readonly folder: string;
  /** The run's folder. */
  readonly run: string;
}

/** Runs a command in this process. */
async function command(...args: readonly string[]) {
  const terminal = memoryTerminal({ width: 400 });
  const code = await main(args, terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

/** The one run that all tests copy. */
const original = await (async () => {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-tests-" });
  await writeTinyModel(join(folder, "tiny"));
  const path = writeTinyRecipe(folder, { name: "claim", ...tinyRecipe(join(folder, "tiny")) });
  const { code, err } = await command("run", path, ...at(folder));
  assert.equal(code, 0, err);
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  return folder;
})();

function at(folder: string): string[] {
  return ["--cache", join(folder, "cache"), "--runs", join(folder, "runs"), "--device", "cpu"];
}

/** A copy of the run and its inputs, without what was cached. */
function scene(): Scene {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-tests-" });
  for (const part of ["tiny", "runs"]) cpSync(join(original, part), join(folder, part), { recursive: true });
  const { path: run } = lastRun(join(folder, "runs"));
  return { folder, run, [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }) };
}

/** Verifies with an empty cache of its own, in the scene's folder. */
async function verify({ folder, run }: Scene, ...more: readonly string[]) {
  Deno.env.set("PBS2P_CACHE", join(folder, "known"));
  try {
    return await command("verify", run, ...more);
  } finally {
    Deno.env.delete("PBS2P_CACHE");
  }
}

/** Changes a scene's lock. */
function edit({ run }: Scene, change: (text: string) => string): void {
  const path = join(run, "recipe.lock.yaml"), before = readFileSync(path, "utf8"), after = change(before);
  assert.notEqual(before, after, "the lock is to be changed");
  writeFileSync(path, after);
}

Deno.test("a run's lock and metrics.json have no absolute path, and no name of the user or the machine", () => {
  const { path } = lastRun(join(original, "runs"));
  const secrets = [original, basename(original), Deno.cwd(), homedir(), hostname(), Deno.env.get("USER") ?? hostname()];
  for (const file of ["recipe.lock.yaml", "metrics.json"]) {
    const text = readFileSync(join(path, file), "utf8");
    for (const secret of secrets.filter((each) => each.length > 1)) {
      assert.ok(!text.toLowerCase().includes(secret.toLowerCase()), `${file} has ${secret}`);
    }
    assert.doesNotMatch(text, /(^|[\s"'(=,])(\/|[A-Za-z]:\\|~\/)\w/m, `${file} has an absolute path`);
  }
});

Deno.test("a run's lock pins its inputs by their content, the versions, and what came out, by tensor", () => {
  const { path } = lastRun(join(original, "runs"));
  const { recipe, lock, outcome } = parse(readFileSync(join(path, "recipe.lock.yaml"), "utf8"));
  assert.equal(recipe.model.path, "../../tiny");
  assert.deepEqual(lock.files.map(({ of, name }: Record<string, string>) => [of, name]), [
    ["model", "model.safetensors"],
    ["calibration", "windows.safetensors"],
    ["heldout", "windows.safetensors"],
  ]);
  const { packages, deno, pbs2p } = lock;
  assert.match(
    `${packages["onnxruntime-node"]} ${packages.zod} ${deno} ${pbs2p}`,
    /^\d+\.\d+\.\d+ \d+\.\d+\.\d+ \d.* \d.*$/,
  );
  assert.deepEqual(outcome.tolerance, { perplexity: { heldout: 0.01 }, bits: 0.01, layer_error: 0.05 });
  assert.equal(outcome.model["model.safetensors"].bytes, modelBytes({ path }).length);
  const { tensors } = outcome.steps["pack[0]"].outputs.layers;
  for (const plane of ["mask", "signs", "scales"]) {
    assert.match(tensors[`model.layers.0.self_attn.q_proj#${plane}`], /^[0-9a-f]{64}$/);
  }
  assert.equal(outcome.steps["calibrate.windows"].outputs.windows.value.tensor, "calibration");
  assert.equal(outcome.steps["spbo[0]"], undefined, "what is only handed on has no hash");
});

Deno.test("verify finds a run bit-identical on another machine: in other folders, of another user, given from elsewhere", async () => {
  using here = scene();
  const there = join(here.folder, "there"), home = join(here.folder, "home", "someone");
  mkdirSync(join(there, "models"), { recursive: true });
  mkdirSync(home, { recursive: true });
  renameSync(here.run, join(there, "run"));
  renameSync(join(here.folder, "tiny"), join(there, "models", "tiny"));
  const env = { HOME: home, PBS2P_CACHE: join(home, "cache") };
  const found = await runTask("verify", ["../run", "--device", "cpu"], { env, cwd: join(there, "models") });
  assert.equal(found.code, 0, found.out + found.err);
  assert.match(found.out, /\nBit-identical: what run\/recipe\.lock\.yaml says came out the same/);
  assert.match(found.out, /^steps +10 made again; of 9 that the lock has hashes of, all are the same$/m);
  assert.match(found.out, /^heldout after +\d+\.\d+ +\d+\.\d+ +same$/m);
  assert.deepEqual(readdirSync(join(home, "cache", "verify")), [], "what was made is removed");
});

Deno.test("verify says which file and which tensor of the packed model was changed, and that metrics.json was", async () => {
  using tampered = scene();
  const path = join(tampered.run, "model", "model.safetensors"), bytes = readFileSync(path);
  const header = Number(bytes.readBigUInt64LE(0)), tensors = JSON.parse(bytes.subarray(8, 8 + header).toString());
  const name = "model.layers.0.mlp.up_proj.scales";
  const whole = Uint8Array.from(bytes);
  bytes[8 + header + tensors[name].data_offsets[0]] ^= 1;
  writeFileSync(path, bytes);
  for (const more of [[], ["--evaluate-only"]]) {
    const { code, out } = await verify(tampered, ...more);
    assert.equal(code, 12);
    assert.match(
      out,
      /1 of \d of the packed model differ: model\/model\.safetensors; in it model\.layers\.0\.mlp\.up_proj\.scales$/m,
    );
  }
  writeFileSync(path, whole);
  const metrics = join(tampered.run, "metrics.json");
  writeFileSync(metrics, readFileSync(metrics, "utf8").replace(/"compressed": \d/, '"compressed": 2'));
  const { code, out } = await verify(tampered);
  assert.deepEqual([code, /^heldout after .*another$/m.test(out)], [12, true], out);
  rmSync(path);
  assert.match((await verify(tampered)).out, /model\/model\.safetensors is not there/);
});

Deno.test("verify names the first step and tensor that differ, and how far they are", async () => {
  using scaled = scene();
  edit(scaled, (text) => text.replace("      iterations: 1\n", "      iterations: 3\n"));
  const other = JSON.parse((await verify(scaled, "--json")).out.trimEnd().split("\n").at(-1) ?? "");
  assert.deepEqual([other.first.step, other.first.after], ["pack[0]", ["spbo[0]"]]);
  const { tensor, max, differing, of, measured } = other.first.first;
  assert.match(tensor, /^layers model\.layers\.0\.\w+\.\w+_proj \(.*scales.*\)$/);
  assert.ok(max > 0 && max < 1 && differing > 0 && differing <= of && of >= 4096, JSON.stringify(other.first));
  assert.equal(measured, "weights as they decode");
  assert.ok(other.verdict !== "bit-identical");

  const first = await verify(scaled, "--first");
  assert.equal(first.code, 12, first.err);
  assert.match(
    first.out,
    /^pack\[0\] .* differs: layers .*max \|Δ\| .* in weights as they decode, [\d,]+ of [\d,]+ entries/m,
  );
  assert.match(first.out, /^Different: stopped at the first step that differs/m);
  assert.doesNotMatch(first.out, /^evaluate\.heldout\.compressed/m);
});

Deno.test("verify names a tensor of another shape, and one of which the original is gone", async () => {
  using fewer = scene();
  edit(fewer, (text) => text.replace("      samples: 8\n", "      samples: 7\n"));
  cpSync(join(original, "cache"), join(fewer.folder, "known"), { recursive: true });
  const { code, out } = await verify(fewer, "--first");
  assert.equal(code, 12);
  assert.match(out, /^first +calibrate\.windows: windows ids; it was I32 \[8, 32\] and is I32 \[7, 32\]$/m);

  using edited = scene();
  edit(edited, (text) => text.replace(/(calibrate\[0\]:[^]*?attention: )[0-9a-f]{8}/, "$100000000"));
  const gone = await verify(edited);
  assert.equal(gone.code, 11, gone.out + gone.err);
  assert.match(
    gone.out,
    /^first +calibrate\[0\]: statistics attention; the original is neither in the run's folder nor in the cache/m,
  );
  assert.match(gone.out, /^Within tolerance: not bit-identical/m);
});

Deno.test("verify says which input is missing, with its bytes and hash, and takes it where the user says", async () => {
  using moved = scene();
  renameSync(join(moved.folder, "tiny"), join(moved.folder, "elsewhere"));
  const noModel = await verify(moved);
  assert.equal(noModel.code, 3);
  assert.match(
    noModel.err,
    /^error: Cannot find model\.safetensors of the model \(.*, \d+ bytes, sha256 [0-9a-f]{64}\): it is neither at \.\.\/\.\.\/tiny nor .*; name it with --model PATH\n$/,
  );
  const elsewhere = join(moved.folder, "elsewhere"), windows = join(elsewhere, "windows.safetensors");
  const noText = await verify(moved, "--model", elsewhere);
  assert.equal(noText.code, 3);
  assert.match(noText.err, /Cannot find windows\.safetensors of the text calibration .*--data calibration=PATH\n$/);
  const data = ["--data", `calibration=${windows}`, "--data", `heldout=${windows}`];
  const found = await verify(moved, "--model", elsewhere, ...data);
  assert.equal(found.code, 0, found.err);
  assert.equal((await verify(moved, "--evaluate-only", "--data", `heldout=${windows}`)).code, 0, "it needs no model");

  const wrong = await verify(moved, "--model", elsewhere, "--data", `calibration=${join(elsewhere, "config.json")}`);
  assert.deepEqual([wrong.code, /config\.json has \d+ bytes; name it/.test(wrong.err)], [3, true], wrong.err);
  assert.match(
    (await verify(moved, "--data", "calib=x")).err,
    /the lock reads no such file; .* calibration, heldout\n$/,
  );
  assert.equal((await verify(moved, "--data", "calibration")).code, 2);
  const config = join(elsewhere, "config.json");
  writeFileSync(config, readFileSync(config, "utf8").replace("{", '{"rms_norm_eps":0.001,'));
  const another = await verify(moved, "--model", elsewhere, ...data);
  assert.match(another.err, /config\.json of the model elsewhere is not the one that the run had/);
  assert.equal(another.code, 3);
});

Deno.test("verify --evaluate-only measures the packed model again, without the model that it was made from", async () => {
  using alone = scene();
  rmSync(join(alone.folder, "tiny", "model.safetensors"));
  const same = await verify(alone, "--evaluate-only");
  assert.equal(same.code, 0, same.err);
  assert.match(same.out, /^evaluate\.heldout\.compressed\[0\] /m);
  assert.match(same.out, /\nBit-identical: the packed model is the one of .*, and measures the same/);
  rmSync(join(alone.run, "metrics.json"));
  for (const [factor, code, words] of [[1.005, 11, "within 1 %"], [1.05, 12, "not within 1 %"]] as const) {
    const lock = readFileSync(join(alone.run, "recipe.lock.yaml"), "utf8");
    edit(alone, (text) => text.replace(/(compressed: )([\d.]+)/, (_, key, value) => `${key}${value * factor}`));
    const { code: found, out } = await verify(alone, "--evaluate-only");
    assert.deepEqual([found, out.includes(words)], [code, true], out);
    writeFileSync(join(alone.run, "recipe.lock.yaml"), lock);
  }
  rmSync(join(alone.run, "model"), { recursive: true });
  assert.match((await verify(alone, "--evaluate-only")).err, /there is no folder `model` beside the lock/);
});

Deno.test("run takes a lock, or a run's folder: it makes the same bytes, and tells other versions in a line each", async () => {
  using copy = scene();
  const lock = join(copy.run, "recipe.lock.yaml");
  for (const target of [lock, copy.run]) {
    const { code, err } = await command("run", target, ...at(copy.folder));
    assert.deepEqual([code, err], [0, ""]);
    assertSameBytes(modelBytes(lastRun(join(copy.folder, "runs"))), modelBytes({ path: copy.run }), "the packed model");
  }
  assert.match(basename(lastRun(join(copy.folder, "runs")).path), /-claim$/);
  assert.match((await command("plan", lock, "--cache", join(copy.folder, "cache"))).out, /All is cached/);
  edit(copy, (text) => text.replace(/^ {2}deno: .*$/m, "  deno: 1.0.0").replace(/zod: .*/, "zod: 0.0.1"));
  const { code, err } = await command("run", lock, ...at(copy.folder));
  assert.equal(code, 0);
  assert.match(
    err,
    /^warning: not as in the lock: Deno 1\.0\.0 then, .* now\nwarning: .*: packages then: zod 0\.0\.1 \(now .*\)\n$/,
  );
  const set = await command("run", lock, "--set", "stages.spbo.iterations=nine", ...at(copy.folder));
  assert.deepEqual([set.code, set.err.includes("stages.spbo.iterations")], [2, true], set.err);
  writeFileSync(join(copy.folder, "tiny", "windows.safetensors"), "other");
  const other = await command("run", lock, ...at(copy.folder));
  assert.deepEqual([other.code, other.err.includes("Cannot find windows.safetensors")], [3, true], other.err);
  const recipe = writeTinyRecipe(copy.folder, tinyRecipe(join(copy.folder, "tiny")));
  assert.match((await command("run", recipe, "--model", "x")).err, /--model and --data with a recipe/);
});

Deno.test("verify says why a run cannot be verified that did not end well", async () => {
  using stopped = scene();
  edit(stopped, (text) => text.slice(0, text.indexOf("\noutcome:") + 1));
  const journal = join(stopped.run, "events.ndjson"), lines = readFileSync(journal, "utf8").trimEnd().split("\n");
  const failed = { at: 1e12, type: "run-failed", error: { name: "Error", message: "no" }, exit: 5 };
  for (
    const [last, why] of [
      [[], /as the run goes on still, or was killed; run it again: deno task run /],
      [[failed], /as the run failed;/],
      [[{ at: 1e12, type: "run-interrupted", next: "" }], /as the run was interrupted;/],
    ] as const
  ) {
    writeFileSync(journal, [...lines.slice(0, -1), ...last.map((event) => JSON.stringify(event))].join("\n") + "\n");
    const { code, err } = await verify(stopped);
    assert.equal(code, 3);
    assert.match(err, why);
  }
});

Deno.test("verify and run refuse what is no lock in one clear sentence", async () => {
  using broken = scene();
  const path = join(broken.run, "recipe.lock.yaml"), whole = readFileSync(path, "utf8");
  const cases: readonly (readonly [string, RegExp])[] = [
    ["", /holds no map|it has no/],
    ["recipe: [\nlock: {\n", /it is no YAML \(/],
    ["- a\n", /it holds no map/],
    ["recipe: {}\n", /has no `lock`/],
    ["lock: {}\n", /has no `recipe`/],
    [`recipe: &a { b: [${"*a, ".repeat(3)}*a] }\nlock: {}\n`, /it is no YAML \(|holds what no run writes/],
    [`a: &a [x]\nrecipe: { b: *a }\nlock: {}\n`, /it is no YAML \(/],
    [
      whole.replace(/^outcome:[^]*/m, "outcome: { steps: { pack: 3 } }\n"),
      /`outcome\.steps\.pack` is not what a run writes there/,
    ],
    [whole.replace(/weights: [0-9a-f]{64}/, "weights: x"), /`lock\.model\.weights` is not what a run writes there/],
    [whole.replace("name: model.safetensors", "name: ../../etc/passwd"), /`lock\.files\.0\.name` is not what/],
    [
      whole.replace(/^outcome:\n/m, "outcome:\n  model: { ../x: { bytes: 1, sha256: a } }\n  old:\n"),
      /`outcome|it is no YAML/,
    ],
    [`${whole}${"#".repeat(1 << 24)}`, /it has \d+ bytes, and may have 16777216/],
  ];
  for (const [text, says] of cases) {
    writeFileSync(path, text);
    const { code, err } = await verify(broken);
    assert.equal(code, 3, `${text.slice(0, 60)}: ${err}`);
    assert.match(err, says);
    assert.match(err, /^error: [^\n]+\n$/);
  }
  writeFileSync(path, whole.replace("      iterations: 1\n", "      iterations: none\n"));
  assert.equal((await verify(broken)).code, 2);
  assert.equal((await verify({ ...broken, run: join(broken.folder, "tiny") })).code, 2);
  assert.match((await verify({ ...broken, run: "no-such-run" })).err, /there is no such file, folder or run/);
});

Deno.test("verify goes on where it was interrupted, and with --cache says that cached steps prove nothing", async () => {
  using copy = scene();
  const cached = await command("verify", copy.run, "--cache", join(original, "cache"));
  assert.equal(cached.code, 0, cached.err);
  assert.match(cached.out, /^steps +0 made again, 10 from the cache, which prove nothing; of \d+ that the lock/m);
  const kept = await verify(copy, "--keep");
  const [, folder] = /^kept +(.+)$/m.exec(kept.out) ?? [];
  assert.equal(lastRun(join(folder, "runs")).finished.length, 10);
  // What is kept is what an interrupted one leaves.
  const again = await verify(copy);
  assert.match(again.out, /^0 steps to make again; 10 were made by the verify that was interrupted/m);
  assert.match(again.out, /^steps +10 made again; /m);
});
