/** A run is published: shown first, asked for, refused where it may not be, and made a card. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseDocument } from "yaml";
import { FAKE_READER, FAKE_TOKEN } from "../hub/fake_hub_test_support.ts";
import { project, runTask } from "./command_line_test_support.ts";
import { at, command, commitIn, original, TO, withScene } from "./push_pull_test_support.ts";

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
