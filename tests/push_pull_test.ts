/** A run is published on a hub and taken from there by somebody else, who has nothing of it: pushed, pulled, inspected, run and verified. */
import assert from "node:assert/strict";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument, stringify } from "yaml";
import { main } from "../cli/main.ts";
import { memoryTerminal } from "../cli/terminal_test_support.ts";
import { FAKE_READER, FAKE_TOKEN, type FakeHub, startFakeHub } from "../hub/fake_hub_test_support.ts";
import { lastRun, project, runTask } from "./command_line_test_support.ts";
import { tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

/** Runs a command in this process. */
async function command(...args: readonly string[]) {
  const terminal = memoryTerminal({ width: 400 });
  const code = await main(args, terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

/** Files of a folder, for the hub. */
function filesIn(folder: string): Record<string, Uint8Array> {
  return Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
}

/** The two runs that all tests copy: of a model in a folder, and of the same on the hub. */
const original = await (async () => {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-tests-" });
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  await writeTinyModel(join(folder, "tiny"));
  await using hub = startFakeHub();
  const revision = hub.addRepo({ kind: "model", id: "base/tiny", files: filesIn(join(folder, "tiny")) });
  const recipe = { name: "claim", ...tinyRecipe(join(folder, "tiny")), expect: { heldout: { value: 1, within: 0.1 } } };
  await at(folder, hub, async () => {
    for (const model of [undefined, { hub: "base/tiny", revision }]) {
      const path = writeTinyRecipe(folder, { ...recipe, ...(model === undefined ? {} : { model }) });
      const runs = join(folder, model === undefined ? "local" : "pinned");
      const { code, err } = await command("run", path, "--runs", runs, "--device", "cpu");
      assert.equal(code, 7, err);
    }
  });
  return { folder, revision };
})();

/** Sets where the hub and the cache are, for as long as something runs. */
async function at(
  folder: string,
  { url }: Pick<FakeHub, "url">,
  use: () => Promise<void>,
  token = FAKE_TOKEN,
): Promise<void> {
  const set = { HF_ENDPOINT: url, HF_TOKEN: token, PBS2P_CACHE: join(folder, "cache") };
  for (const [name, value] of Object.entries(set)) Deno.env.set(name, value);
  try {
    await use();
  } finally {
    for (const name of Object.keys(set)) Deno.env.delete(name);
  }
}

/** A hub with the base model, and folders of one who publishes (`mine`) and of one who has nothing (`theirs`). */
interface Scene {
  readonly hub: FakeHub;
  readonly run: string;
  /** The run of the model in a folder. */
  readonly local: string;
  readonly theirs: string;
  readonly mine: string;
  /** Pushes as the one who publishes. */
  push(...args: readonly string[]): ReturnType<typeof command>;
}

async function withScene(body: (scene: Scene) => Promise<void>): Promise<void> {
  const root = Deno.makeTempDirSync({ prefix: "pbs2p-tests-" }),
    [mine, theirs] = ["mine", "theirs"].map((name) => join(root, name));
  for (const part of ["local", "pinned", "tiny"]) {
    cpSync(join(original.folder, part), join(mine, part), { recursive: true });
  }
  mkdirSync(theirs);
  try {
    await using hub = startFakeHub();
    const files = filesIn(join(mine, "tiny"));
    assert.equal(
      hub.addRepo({ kind: "model", id: "base/tiny", files, licence: { license: "mit" } }),
      original.revision,
    );
    const { path: run } = lastRun(join(mine, "pinned")), { path: local } = lastRun(join(mine, "local"));
    const push = async (...args: readonly string[]) => {
      let ended: Awaited<ReturnType<typeof command>> | undefined;
      await at(mine, hub, async () => void (ended = await command("push", ...args)));
      return ended ?? assert.fail();
    };
    await body({ hub, run, local, theirs, mine, push });
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
}

const TO = ["--to", "me/tiny-pbs2p", "--yes"];

/** The commit that a push has printed. */
function commitIn(out: string): string {
  return /verify hf:\/\/me\/tiny-pbs2p@([0-9a-f]{40})$/m.exec(out)?.[1] ?? assert.fail(out);
}

Deno.test("push shows first what it would send, and sends nothing unasked", () =>
  withScene(async ({ hub, run, push }) => {
    const { code, out, err } = await push(run, "--to", "me/tiny-pbs2p", "--dry-run");
    assert.equal(code, 0, err);
    assert.match(out, /To model me\/tiny-pbs2p, branch main, which is made new/);
    for (const name of ["README.md", "recipe.lock.yaml", "metrics.json", "report.html", "model/model.safetensors"]) {
      assert.match(out, new RegExp(`^${name} .*new$`, "m"));
    }
    assert.match(out, /6 of 6 files are sent, .*\nNothing was sent, as --dry-run asks/);
    assert.match(err, /warning: the result misses what the recipe expects of heldout; the card says so/);
    const unasked = await push(run, "--to", "me/tiny-pbs2p");
    assert.equal(unasked.code, 2);
    assert.match(unasked.err, /nobody is at the terminal: look with --dry-run, then give --yes/);
    assert.deepEqual(hub.requests.filter(({ method }) => method !== "GET"), []);
  }));

/** A program that gives others a terminal, where there is one that takes its command so. */
const script = Deno.build.os === "linux" && existsSync("/usr/bin/script");
if (!script) console.warn("skipped: push is not asked at a terminal, as there is no /usr/bin/script of Linux");

Deno.test({
  name: "push asks at a terminal, and takes no answer but yes",
  ignore: !script,
  fn: () =>
    withScene(async ({ hub, run, mine }) => {
      const ask = async (answer: string) => {
        const main = `${Deno.execPath()} run -A cli/main.ts push ${run} --to me/tiny-pbs2p`;
        const env = { HF_ENDPOINT: hub.url, HF_TOKEN: FAKE_TOKEN, PBS2P_CACHE: join(mine, "cache"), COLUMNS: "200" };
        const process = new Deno.Command("/usr/bin/script", {
          ...{ args: ["-qec", main, "/dev/null"], cwd: project, env },
          ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
        }).spawn();
        const writer = process.stdin.getWriter();
        let said = "";
        for await (const text of process.stdout.pipeThrough(new TextDecoderStream())) {
          if (!said.includes("Send it?") && (said + text).includes("Send it?")) {
            await writer.write(new TextEncoder().encode(`${answer}\n`));
          }
          said += text;
        }
        await writer.close().catch(() => undefined);
        await process.stderr.cancel();
        return { said, code: (await process.status).code };
      };
      const no = await ask("n");
      assert.deepEqual([no.code, /Nothing was sent\./.test(no.said)], [0, true], no.said);
      assert.deepEqual(hub.requests.filter(({ method }) => method !== "GET"), []);
      const yes = await ask("y");
      assert.deepEqual([yes.code, /Done: .*\/me\/tiny-pbs2p\/commit\//.test(yes.said)], [0, true], yes.said);
    }),
});

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

Deno.test("push makes a card with the run's numbers, and sends a second time only what has changed", () =>
  withScene(async ({ hub, run, theirs, push }) => {
    await push(run, ...TO);
    const again = await push(run, ...TO, "--json");
    const { sent, files } = JSON.parse(again.out);
    assert.deepEqual([sent, new Set(files.map(({ state }: { state: string }) => state))], [
      true,
      new Set(["unchanged"]),
    ]);
    assert.equal(hub.requests.filter(({ path }) => path.includes("/commit/")).length, 1);
    const page = await (await fetch(`${hub.url}/me/tiny-pbs2p/resolve/main/README.md`)).text();
    const [, front] = /^---\n([^]*?)\n---\n/.exec(page) ?? assert.fail(page);
    const { license, base_model, "model-index": [{ name, results: [{ metrics }] }] } = parseDocument(front).toJS();
    assert.deepEqual([license, base_model, name], ["mit", "base/tiny", "tiny-pbs2p"]);
    const { perplexity: { heldout }, bits } = JSON.parse(readFileSync(join(run, "metrics.json"), "utf8"));
    assert.ok(Math.abs(metrics[0].value / heldout.compressed - 1) < 1e-3);
    assert.match(page, new RegExp(`${bits.nominal.toFixed(2)} nominal, ${bits.stored.total.toFixed(2)} stored bits`));
    assert.match(page, /\| heldout \|.*1 ± 10 %: NOT met \|/);
    await at(theirs, hub, async () => {
      assert.equal((await command("push", run, ...TO, "--license", "other")).code, 3);
    }, FAKE_READER);
  }));

Deno.test("push takes a model in a folder for one of the hub only where its files are the same", () =>
  withScene(async ({ hub, local, mine, theirs, push }) => {
    const base = (commit: string) => push(local, ...TO, "--base-model", `base/tiny@${commit}`);
    const nameless = await push(local, ...TO);
    assert.deepEqual([nameless.code, /--base-model OWNER\/NAME@COMMIT/.test(nameless.err)], [2, true]);
    const moving = await base("main");
    assert.deepEqual([moving.code, /as branches and tags may move/.test(moving.err)], [2, true]);
    const other = hub.addRepo({ kind: "model", id: "base/tiny", files: { "model.safetensors": new Uint8Array(9) } });
    const foreign = await base(other);
    assert.equal(foreign.code, 3);
    assert.match(foreign.err, /no file with the content of model\.safetensors \(198552 bytes, sha256 [0-9a-f]{64}\)/);
    const unlicensed = await base(original.revision);
    assert.equal(unlicensed.code, 3);
    assert.match(unlicensed.err, /does not say under which licence base\/tiny stands.*--license/);
    const pinned = `base/tiny@${original.revision}`;
    const { code, out, err } = await push(local, ...TO, "--base-model", pinned, "--license", "mit");
    assert.equal(code, 0, err);
    const windows = join(mine, "tiny", "windows.safetensors");
    const data = ["--data", `calibration=${windows}`, "--data", `heldout=${windows}`];
    await at(theirs, hub, async () => {
      const verify = (revision: string) =>
        command("verify", `hf://me/tiny-pbs2p@${commitIn(out)}`, "--model", `hf://base/tiny@${revision}`, ...data);
      const wrong = await verify(other);
      assert.equal(wrong.code, 3);
      assert.match(
        wrong.err,
        /base\/tiny at [0-9a-f]{8} for the lock's model: it has no model\.safetensors of 198552 bytes/,
      );
      const verified = await verify(original.revision);
      assert.equal(verified.code, 0, verified.out + verified.err);
    });
  }));

Deno.test("push refuses what is not as the run left it, or tells of the machine", () =>
  withScene(async ({ hub, run, mine, push }) => {
    const refused = async (name: string, change: (text: string) => string, says: RegExp) => {
      const path = join(run, name), before = readFileSync(path);
      writeFileSync(path, change(before.toString("latin1")), "latin1");
      const { code, err } = await push(run, ...TO);
      writeFileSync(path, before);
      assert.equal(code, 3, `${name}: ${err}`);
      assert.match(err, says);
    };
    await refused(
      "model/model.safetensors",
      (text) => text.slice(0, -1) + "x",
      /model\/model\.safetensors is not what the run wrote/,
    );
    await refused(
      "metrics.json",
      (text) => text.replace(/("compressed": )\d/, "$19"),
      /metrics\.json does not say what the lock says/,
    );
    await refused("report.html", (text) => `${text}\nin ${mine}/cache`, /report\.html: line \d+ has an absolute path/);
    await refused("report.html", (text) => `${text}\n${FAKE_TOKEN}`, /report\.html: line \d+ has a token/);
    await refused("recipe.lock.yaml", (text) => text.replace(original.revision, "main"), /base\/tiny is not pinned/);
    await refused(
      "recipe.lock.yaml",
      (text) => text.slice(0, text.indexOf("\noutcome:")),
      /its lock does not say what came of it/,
    );
    assert.deepEqual(hub.requests.filter(({ method }) => method !== "GET"), []);
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
      assert.match(slip.err, /there is no such file, folder or run/);
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

Deno.test("push and pull do with the tasks' own permissions, and say which host they lack", () =>
  withScene(async ({ hub, run, mine, theirs }) => {
    const env = { HF_ENDPOINT: hub.url, HF_TOKEN: FAKE_TOKEN, PBS2P_CACHE: join(mine, "cache") };
    const refused = await runTask("push", [run, ...TO], { env });
    assert.equal(refused.code, 3);
    assert.match(refused.err, /allow this one by PBS2P_NET=,127\.0\.0\.1/);
    const halfway = await runTask("push", [run, ...TO], { env, net: ",127.0.0.1" });
    assert.equal(halfway.code, 3);
    assert.match(halfway.err, /Cannot reach http:\/\/localhost:\d+ .*PBS2P_NET=,localhost/);
    const pushed = await runTask("push", [run, ...TO], { env, net: ",127.0.0.1,localhost" });
    assert.equal(pushed.code, 0, pushed.err);
    const pulled = await runTask("pull", ["me/tiny-pbs2p", "--to", join(theirs, "tiny")], {
      env,
      net: ",127.0.0.1,localhost",
    });
    assert.equal(pulled.code, 0, pulled.err);
  }));
