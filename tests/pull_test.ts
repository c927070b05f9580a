/** What others have published is taken from a hub by one who has nothing of it: pulled, inspected, exported, planned and verified. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { FAKE_READER } from "../hub/fake_hub_test_support.ts";
import { at, command, commitIn, filesIn, original, TO, withScene } from "./push_pull_test_support.ts";

Deno.test("what was pushed is pulled, inspected, planned and verified by one who has nothing of it", () =>
  withScene(async ({ hub, run, theirs, mine, push }) => {
    const commit = commitIn((await push(run, ...TO)).out);
    await at(theirs, hub, async () => {
      const pulled = await command("pull", "me/tiny-pbs2p", "--to", join(theirs, "tiny"));
      assert.equal(pulled.code, 0, pulled.err);
      assert.match(pulled.out, new RegExp(`^run me/tiny-pbs2p at commit ${commit}$`, "m"));
      assert.match(pulled.out, /^model\/model\.safetensors .* as the lock says$/m);
      for (const name of ["recipe.lock.yaml", "metrics.json", "model/model.safetensors", "model/config.json"]) {
        assert.deepEqual(readFileSync(join(theirs, "tiny", name)), readFileSync(join(run, name)), name);
      }
      const inspected = await command("inspect", `hf://me/tiny-pbs2p@${commit}`);
      assert.equal(inspected.out, (await command("inspect", run)).out);
      assert.equal((await command("inspect", join(theirs, "tiny"))).out, inspected.out);
      assert.match((await command("generate", "me/tiny-pbs2p", "-p", "x")).err, /it has no tokenizer/);
      const windows = join(mine, "tiny", "windows.safetensors");
      const data = ["--data", `calibration=${windows}`, "--data", `heldout=${windows}`];
      const planned = await command("plan", "me/tiny-pbs2p", ...data);
      assert.equal(planned.code, 0, planned.err);
      assert.match(planned.err, new RegExp(`me/tiny-pbs2p at commit ${commit}`));
      const verified = await command("verify", `hf://me/tiny-pbs2p@${commit}`, ...data);
      assert.equal(verified.code, 0, verified.out + verified.err);
      assert.match(verified.out, /^Bit-identical: what me\/tiny-pbs2p@[0-9a-f]{8} says came out the same/m);
    }, "");
  }));

Deno.test("pull refuses packed files that are not what the lock says, and verify calls them different", () =>
  withScene(async ({ hub, run, theirs, push }) => {
    await push(run, ...TO);
    const weights = readFileSync(join(run, "model", "model.safetensors"));
    weights[weights.length - 1] ^= 1;
    const lock = readFileSync(join(run, "recipe.lock.yaml")), config = readFileSync(join(run, "model", "config.json"));
    const files = { "recipe.lock.yaml": lock, "model/config.json": config, "model/model.safetensors": weights };
    const commit = hub.addRepo({ kind: "model", id: "me/tiny-pbs2p", files });
    await at(theirs, hub, async () => {
      const { code, err } = await command("pull", "me/tiny-pbs2p", "--to", join(theirs, "tiny"));
      assert.equal(code, 3);
      assert.match(
        err,
        /model\/model\.safetensors has sha256 [0-9a-f]{64}, and its lock says .* not what the run made/,
      );
      assert.ok(!existsSync(join(theirs, "tiny")));
      assert.ok(!hub.requests.some(({ path }) => path.includes(`/cdn/${commit}/`)), "it is not fetched");
      assert.equal((await command("verify", "hf://me/tiny-pbs2p")).code, 12);
    });
  }));

Deno.test("pull goes on over dropped connections and wrong bytes, and gives up on bytes that stay wrong", () =>
  withScene(async ({ hub, run, theirs, push }) => {
    await push(run, ...TO);
    const weights = "model/model.safetensors";
    await at(theirs, hub, async () => {
      hub.trouble.set(weights, { corrupt: 99 });
      const wrong = await command("pull", "me/tiny-pbs2p");
      assert.equal(wrong.code, 3);
      assert.match(wrong.err, /its content does not have the hash [0-9a-f]{64} that the hub promises/);
      hub.trouble.set(weights, { dropAfter: 20_000, corrupt: 1 });
      const { code, err } = await command("pull", "me/tiny-pbs2p", "--to", join(theirs, "tiny"));
      assert.equal(code, 0, err);
      assert.match(err, /warning: .* bytes came, but not the right ones; downloading it again/);
      assert.deepEqual(readFileSync(join(theirs, "tiny", weights)), readFileSync(join(run, weights)));
    });
  }));

Deno.test("who has no access is told what to do", () =>
  withScene(async ({ hub, run, theirs, push }) => {
    await push(run, ...TO, "--private");
    hub.addRepo({ kind: "model", id: "me/gated", files: { "recipe.lock.yaml": "x" }, gated: true });
    await at(theirs, hub, async () => {
      const hidden = await command("pull", "me/tiny-pbs2p");
      assert.deepEqual([hidden.code, /or it is private; the token that was sent has no access/.test(hidden.err)], [
        3,
        true,
      ]);
      const gated = await command("verify", "me/gated");
      assert.deepEqual([gated.code, /access is gated; accept its terms at .*\/me\/gated/.test(gated.err)], [3, true]);
      const revision = await command("pull", "me/gated@v9");
      assert.deepEqual([revision.code, /there is no such revision/.test(revision.err)], [3, true]);
    }, FAKE_READER);
    await at(theirs, hub, async () => {
      assert.equal((await command("pull", "me/tiny-pbs2p")).code, 0);
    });
  }));

Deno.test("pull says what a repository without a lock is", () =>
  withScene(async ({ hub, run, theirs }) => {
    const model = join(run, "model");
    hub.addRepo({ kind: "model", id: "me/bare", files: filesIn(model) });
    await at(theirs, hub, async () => {
      const bare = await command("pull", "me/bare");
      assert.equal(bare.code, 0, bare.err);
      assert.match(bare.out, /^packed model me\/bare.*\n[^]*It has no lock: its files are what the hub says/);
      assert.equal((await command("inspect", "hf://me/bare")).out, (await command("inspect", model)).out);
      assert.match((await command("verify", "me/bare")).err, /it has no recipe\.lock\.yaml/);
      const foreign = await command("pull", "base/tiny");
      assert.equal(foreign.code, 3);
      assert.match(foreign.err, /base\/tiny at [0-9a-f]{8}: it is nothing of pbs2p's/);
      // An ordinary model is opened all the same.
      assert.match((await command("inspect", "hf://base/tiny")).out, /not compressed by pbs2p/);
      const [absent, path, slip, bad] = [
        await command("pull", "me/none"),
        await command("generate", "me/none", "-p", "x"),
        await command("inspect", "configs/none"),
        await command("pull", "hf://me"),
      ];
      assert.deepEqual([absent.code, path.code, slip.code, bad.code], [3, 3, 2, 2]);
      assert.match(path.err, /no such repository.*\(as no file or folder here is called me\/none\)/);
      assert.match(absent.err, /there is no such repository/);
      assert.match(slip.err, /there is no such (file, folder or )?run/);
    });
  }));

Deno.test("a packed model may lie beside its lock, where other programs look for it", () =>
  withScene(async ({ hub, run, theirs }) => {
    const lock = readFileSync(join(run, "recipe.lock.yaml"));
    hub.addRepo({ kind: "model", id: "me/flat", files: { ...filesIn(join(run, "model")), "recipe.lock.yaml": lock } });
    await at(theirs, hub, async () => {
      const { code, err } = await command("pull", "me/flat", "--to", join(theirs, "flat"));
      assert.equal(code, 0, err);
      assert.deepEqual(filesIn(join(theirs, "flat", "model")), filesIn(join(run, "model")));
      assert.equal((await command("inspect", "hf://me/flat")).out, (await command("inspect", run)).out);
      assert.equal(
        (await command("export", "hf://me/flat", "--format", "safetensors", "--to", join(theirs, "out"))).code,
        0,
      );
    });
  }));

Deno.test("a folder of one's own is kept, and takes the same commit again alone", () =>
  withScene(async ({ hub, run, theirs, push }) => {
    const commit = commitIn((await push(run, ...TO)).out), folder = join(theirs, "tiny");
    await at(theirs, hub, async () => {
      const pull = (revision: string) => command("pull", `me/tiny-pbs2p@${revision}`, "--to", folder);
      assert.equal((await pull(commit)).code, 0);
      writeFileSync(join(folder, "notes.txt"), "mine");
      writeFileSync(join(folder, "model", "config.json"), "{}");
      assert.equal((await pull("main")).code, 0);
      assert.deepEqual(
        readFileSync(join(folder, "model", "config.json")),
        readFileSync(join(run, "model", "config.json")),
      );
      hub.addRepo({ kind: "model", id: "me/tiny-pbs2p", files: { "recipe.yaml": "model: { path: x }\n" } });
      const { code, err } = await pull("main");
      assert.deepEqual([code, /it is there already, and is not me\/tiny-pbs2p at/.test(err)], [3, true]);
      assert.equal(readFileSync(join(folder, "notes.txt"), "utf8"), "mine");
    });
  }));

Deno.test("code that a recipe of the hub names is not run unasked, wherever the recipe lies", () =>
  withScene(async ({ hub, theirs }) => {
    const ran = join(theirs, "ran");
    const code = `Deno.writeTextFileSync(${JSON.stringify(ran)}, "");\nexport const none = 1;\n`;
    const recipe = stringify({
      use: ["./method.ts"],
      model: { hub: "base/tiny", revision: original.revision },
      stages: {},
    });
    hub.addRepo({ kind: "model", id: "me/recipe", files: { "recipe.yaml": recipe, "method.ts": code } });
    await at(theirs, hub, async () => {
      assert.equal((await command("pull", "me/recipe", "--to", join(theirs, "own"))).code, 0);
      for (const target of ["hf://me/recipe", join(theirs, "own", "recipe.yaml")]) {
        const { code, err } = await command("plan", target);
        assert.equal(code, 2, err);
        assert.match(err, /names code to run, which is refused/);
        assert.ok(!existsSync(ran));
      }
      await command("plan", "hf://me/recipe", "--allow-plugins");
      assert.ok(existsSync(ran));
    });
  }));
