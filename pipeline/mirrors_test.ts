import assert from "node:assert/strict";
import { join } from "node:path";
import { FAKE_TOKEN, type FakeHub, startFakeHub } from "../hub/fake_hub_test_support.ts";
import { modelOf, recipeWith } from "../runner/arithmetic_test_support.ts";
import { runOn, withMirror } from "../runner/mirror/mirror_test_support.ts";
import { hostOf, openMirrors } from "./mirrors.ts";

const recipe = recipeWith({ calibrate: { inputs: "original" } });
const large = { width: 20_000 };

/** Files of a folder, by path. */
function filesOf(folder: string, prefix = ""): Record<string, Uint8Array> {
  return Object.assign(
    {},
    ...[...Deno.readDirSync(folder)].map(({ name, isDirectory }) =>
      isDirectory
        ? filesOf(join(folder, name), `${prefix}${name}/`)
        : { [`${prefix}${name}`]: Deno.readFileSync(join(folder, name)) }
    ),
  );
}

Deno.test("a data set of the hub is a mirror, at the commit of its revision, with the user's token for the hub alone", () =>
  withMirror(recipe, async ({ mirror, made, fresh }) => {
    await using hub = startFakeHub();
    const commit = hub.addRepo({ kind: "dataset", id: "owner/name", gated: true, files: filesOf(mirror, "in/here/") });
    const open = (token: string | null) =>
      openMirrors(["hf://datasets/owner/name@main/in/here"], {
        ...{ cache: fresh.folder, endpoint: hub.url, token, retryDelay: 1, pace: { delay: 1 } },
      });
    const refused = await runOn(fresh, recipe, { mirrors: open(null), pipeline: large });
    assert.equal(refused.warnings.length, 1);
    assert.match(
      refused.warnings[0],
      /^The cache mirror hf:\/\/datasets\/owner\/name.* cannot be read: .*access is gated/,
    );
    for (const { key } of fresh.list()) fresh.discard(key);
    hub.requests.length = 0;
    const done = await runOn(fresh, recipe, { mirrors: open(FAKE_TOKEN), pipeline: large });
    assert.deepEqual([done.ran, done.warnings], [[], []]);
    assert.deepEqual(modelOf(done.folder), modelOf(made.folder));
    assert.ok(fresh.list().every(({ origin }) => origin === `hf://datasets/owner/name@${commit.slice(0, 8)}`));
    const elsewhere = hub.requests.filter(({ path }) => path.includes("/cdn/"));
    assert.ok(elsewhere.length > 0 && elsewhere.every(({ authorization }) => authorization === null));
  }, large));

const broken: readonly { name: string; trouble: Parameters<FakeHub["trouble"]["set"]>[1]; whole: boolean }[] = [
  { name: "drops connections", trouble: { dropAfter: 100_000 }, whole: true },
  { name: "sends wrong bytes", trouble: { corrupt: 1000 }, whole: false },
];

for (const { name, trouble, whole } of broken) {
  Deno.test(`a hub that ${name} ${whole ? "is asked for the rest" : "costs one warning"}`, () =>
    withMirror(recipe, async ({ mirror, made, fresh }) => {
      await using hub = startFakeHub();
      const files = filesOf(mirror);
      hub.addRepo({ kind: "dataset", id: "owner/name", files });
      for (const path of Object.keys(files)) if (path.startsWith("content/")) hub.trouble.set(path, { ...trouble });
      const mirrors = openMirrors(["hf://datasets/owner/name"], {
        ...{ cache: fresh.folder, endpoint: hub.url, token: null, retryDelay: 1, pace: { delay: 1 } },
      });
      const done = await runOn(fresh, recipe, { mirrors, pipeline: large });
      assert.equal(done.outcome, "finished", done.error?.message);
      assert.deepEqual(modelOf(done.folder), modelOf(made.folder));
      assert.equal(done.warnings.length, whole ? 0 : 1, done.warnings.join());
      assert.equal(done.ran.length === 0, whole);
    }, large));
}

Deno.test("openMirrors() refuses what is no address, and repeats nothing secret", () => {
  const wrong: [string, RegExp][] = [
    ["mirror", /Cannot use cache mirror mirror: addresses begin with https:\/\//],
    ["ftp://a.example/x", /addresses begin/],
    ["file:///tmp/x", /addresses begin/],
    [
      "https://me:secret@a.example/x?sig=secret",
      /Cannot use cache mirror https:\/\/a\.example\/x: names and passwords/,
    ],
    ["https://a.example/x?sig=secret#sha256=12", /after # stands sha256= and the 64 digits/],
    ["hf://datasets/owner", /written hf:\/\/datasets\/OWNER\/NAME@REVISION/],
    ["hf://owner/name", /written hf/],
  ];
  for (const [address, says] of wrong) {
    assert.throws(() => openMirrors([address], { cache: "/nowhere" }), (error) => {
      assert.ok(error instanceof RangeError);
      assert.match(error.message, says);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  }
  assert.equal(hostOf("https://a.example:8443/x?y"), "a.example:8443");
  assert.equal(hostOf("hf://datasets/owner/name@v1"), undefined);
});
