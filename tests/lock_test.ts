/** The lock of a run: what it says and what it does not, what it takes for its inputs, and locks as recipes. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { startFakeHub } from "../hub/fake_hub_test_support.ts";
import { assertSameBytes, lastRun, modelBytes } from "./command_line_test_support.ts";
import { tinyRecipe, writeTinyRecipe } from "./tiny_model_test_support.ts";
import { at, command, commandWith, edit, original, scene, verify } from "./verify_test_support.ts";

Deno.test("a run's lock, metrics.json and report.html have no absolute path, and no name of the user or the machine", () => {
  const { path } = lastRun(join(original, "runs"));
  const secrets = [original, basename(original), Deno.cwd(), homedir(), hostname()];
  for (const file of ["recipe.lock.yaml", "metrics.json", "report.html"]) {
    const text = readFileSync(join(path, file), "utf8");
    for (const secret of secrets.filter((each) => each.length > 1)) {
      assert.ok(!text.toLowerCase().includes(secret.toLowerCase()), `${file} has ${secret}`);
    }
    // A page has addresses of its own.
    if (file !== "report.html") {
      assert.doesNotMatch(text, /(^|[\s"'(=,])(\/|[A-Za-z]:\\|~\/)\w/m, `${file} has an absolute path`);
    }
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
  assert.deepEqual(outcome.tolerance, {
    ...{ perplexity: { heldout: 0.01 }, divergence: 0.05, bits: 0.01, layer_error: 0.05 },
  });
  assert.equal(outcome.model["model.safetensors"].bytes, modelBytes({ path }).length);
  const { tensors } = outcome.steps["pack[0]"].outputs.layers;
  for (const plane of ["mask", "signs", "scales"]) {
    assert.match(tensors[`model.layers.0.self_attn.q_proj#${plane}`], /^[0-9a-f]{64}$/);
  }
  assert.equal(outcome.steps["calibrate.windows"].outputs.windows.value.tensor, "calibration");
  assert.equal(outcome.steps["spbo[0]"], undefined, "what is only handed on has no hash");
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

Deno.test("a lock names the hub's commit where its recipe names a branch", async () => {
  using here = scene();
  await using hub = startFakeHub();
  const tiny = join(here.folder, "tiny"), config = readFileSync(join(tiny, "config.json"), "utf8");
  const files = {
    "config.json": config,
    "model.safetensors": new Uint8Array(readFileSync(join(tiny, "model.safetensors"))),
  };
  const commit = hub.addRepo({ kind: "model", id: "owner/tiny", files });
  const recipe = { ...tinyRecipe(tiny), name: "hub", model: { hub: "owner/tiny", revision: "main" } };
  const path = writeTinyRecipe(here.folder, recipe);
  const { code, err } = await commandWith(hub.url, "run", path, ...at(here.folder));
  assert.equal(code, 0, err);
  const { path: run } = lastRun(join(here.folder, "runs"));
  const written = parse(readFileSync(join(run, "recipe.lock.yaml"), "utf8"));
  assert.deepEqual(written.recipe.model, { hub: "owner/tiny", revision: commit });
  assert.deepEqual([written.lock.model.commit, written.lock.files.length], [commit, 2]);
  const again = await commandWith(hub.url, "verify", run, "--cache", join(here.folder, "cache"));
  assert.equal(again.code, 0, again.out + again.err);
  assert.match(again.out, /^steps +10 made again;/m);
});

Deno.test("verify fetches a run that was published on the hub, its packed model at the top or in a folder", async () => {
  using here = scene();
  await using hub = startFakeHub();
  const read = (name: string) => new Uint8Array(readFileSync(join(here.run, name)));
  const own = { "recipe.lock.yaml": read("recipe.lock.yaml"), "metrics.json": read("metrics.json") };
  const packed = readdirSync(join(here.run, "model")).map((
    name,
  ): [string, Uint8Array] => [name, read(`model/${name}`)]);
  const inFolder = packed.map(([name, bytes]): [string, Uint8Array] => [`model/${name}`, bytes]);
  hub.addRepo({ kind: "model", id: "someone/top", files: { ...own, ...Object.fromEntries(packed) } });
  hub.addRepo({ kind: "model", id: "someone/folder", files: { ...own, ...Object.fromEntries(inFolder) } });
  hub.addRepo({ kind: "model", id: "someone/half", files: { ...own, "config.json": packed[0][1] } });
  hub.addRepo({ kind: "model", id: "someone/else", files: { "config.json": "{}" } });
  const windows = ["--data", `heldout=${join(here.folder, "tiny", "windows.safetensors")}`];
  const fetch = (id: string, ...more: readonly string[]) =>
    commandWith(hub.url, "verify", id, "--cache", join(here.folder, "known"), ...more);
  const top = await fetch("someone/top", "--evaluate-only", ...windows);
  assert.equal(top.code, 0, top.err);
  assert.match(
    top.out,
    /^Bit-identical: the packed model is the one of someone\/top@[0-9a-f]{8}, and measures the same/m,
  );
  const calibration = windows.map((each) => each.replace("heldout=", "calibration="));
  const model = ["--model", join(here.folder, "tiny")];
  const folder = await fetch("someone/folder@main", ...model, ...windows, ...calibration);
  assert.equal(folder.code, 0, folder.err + folder.out);
  const half = await fetch("someone/half");
  const missing = /model\/model\.safetensors is not there/.test(half.out);
  assert.deepEqual([half.code, missing], [12, true], half.out + half.err);
  const none = await fetch("someone/else");
  assert.equal(none.code, 3);
  assert.match(
    none.err,
    /someone\/else at [0-9a-f]{8}: it is nothing of pbs2p's, as it has neither recipe\.lock\.yaml/,
  );
  assert.equal((await fetch("someone/nobody")).code, 3);
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
  writeFileSync(path, whole.replace("recipe:\n", "recipe:\n  use: [mine.ts]\n"));
  const code = await verify(broken);
  assert.deepEqual([code.code, /a run's lock names code to run, which is refused/.test(code.err)], [2, true], code.err);
  assert.equal((await verify({ ...broken, run: join(broken.folder, "tiny") })).code, 2);
  assert.match((await verify({ ...broken, run: "no-such-run" })).err, /there is no such (file, folder or )?run/);
});
