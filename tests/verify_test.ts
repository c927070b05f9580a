/** A run is a claim that others can check: verify makes it again anywhere, and says what came of it. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { lastRun, runTask } from "./command_line_test_support.ts";
import { command, edit, original, scene, verify } from "./verify_test_support.ts";

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

Deno.test("verify goes on where it was interrupted, and with --cached says that cached steps prove nothing", async () => {
  using copy = scene();
  const cached = await command("verify", copy.run, "--cached", "--cache", join(original, "cache"));
  assert.equal(cached.code, 0, cached.err);
  assert.match(cached.out, /^steps +0 made again, 10 from the cache, which prove nothing; of \d+ that the lock/m);
  const kept = await verify(copy, "--keep");
  const [, folder] = /^kept +(.+)$/m.exec(kept.out) ?? [];
  assert.equal(lastRun(join(folder, "runs")).finished.length, 10);
  const held = Deno.openSync(join(folder, ".held"), { write: true });
  held.lockSync(true);
  assert.match((await verify(copy)).err, /Cannot verify this lock now, as another process does/);
  const gc = (...more: readonly string[]) => command("cache", "gc", "--cache", join(copy.folder, "known"), ...more);
  assert.doesNotMatch((await gc()).out, /verification/, "what another process is at work in stays");
  held.close();
  const known = ["--cache", join(copy.folder, "known")];
  assert.match((await command("cache", "du", ...known)).out, /[\d.]+ [KM]iB of `verify`, which `cache gc` removes/);
  assert.match((await gc("--dry-run")).out, /^what 1 verification left \([\d.]+ [KM]iB\) would be removed$/m);
  // What is kept is what an interrupted one leaves.
  const again = await verify(copy);
  assert.match(again.out, /^0 steps to make again; 10 were made by the verify that was interrupted/m);
  assert.match(again.out, /^steps +10 made again; /m);
  await verify(copy, "--keep");
  assert.match((await gc()).out, /^what 1 verification left \([\d.]+ [KM]iB\) removed$/m);
  assert.deepEqual(readdirSync(join(copy.folder, "known", "verify")), []);
});
