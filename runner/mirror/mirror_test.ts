import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { modelOf, recipeWith } from "../arithmetic_test_support.ts";
import { recordedSeconds } from "../recorded_seconds.ts";
import { exportMirror } from "./export.ts";
import { httpSource } from "./http_source.ts";
import { forge, mirrorsAt, NESTED, runOn, serveFolder, type Trouble, withMirror } from "./mirror_test_support.ts";
import { MirrorError } from "./source.ts";

const recipe = recipeWith({ calibrate: { inputs: "original" } });
const large = { width: 20_000 };
const isContent = (request: Request) => new URL(request.url).pathname.startsWith("/content/");
const isIndex = (request: Request) => new URL(request.url).pathname === "/index.json";
const html = () => new Response("<!DOCTYPE html><title>Sign in</title>", { headers: { "content-type": "text/html" } });

Deno.test("a run on a new cache takes everything from a mirror, to the same bytes, and says where it came from", () =>
  withMirror(recipe, async ({ made, server, fresh, maker }) => {
    const done = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url]) });
    assert.deepEqual([done.outcome, done.ran, done.warnings], ["finished", [], []]);
    assert.deepEqual(modelOf(done.folder), modelOf(made.folder));
    assert.deepEqual(done.steps, { run: 0, cached: 11, fetched: 4 });
    const states = new Map(done.plan.steps.map(({ id, state }) => [id, state]));
    assert.deepEqual([states.get("calibrate[0]"), states.get("spbo[0]"), states.get("evaluate")], [
      "skip",
      "fetch",
      "fetch",
    ]);
    assert.equal(done.plan.totals.fetch.steps, 4);
    const fetched = done.events.filter((event) => event.type === "step-finished");
    assert.equal(done.plan.totals.fetch.bytes, fetched.reduce((sum, { bytes }) => sum + bytes, 0));
    assert.ok(fetched.every(({ from }) => from === server.url.host));
    for (const { origin, stepKey, seconds } of fresh.list()) {
      assert.equal(origin, server.url.host);
      assert.equal(seconds, maker.record(stepKey)?.seconds, "its maker's seconds");
    }
    const sums = [fresh, maker].map((cache) =>
      recordedSeconds(new Map([["x", done.plan.graph.get("spbo[0]")!]]), cache)
    );
    assert.deepEqual(sums[0], sums[1]);
    assert.deepEqual((await fresh.verify()).damaged, []);
    const again = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url]) });
    assert.deepEqual([again.ran, again.steps], [[], { run: 0, cached: 11 }]);
  }));

Deno.test("a run with other settings takes the calibration from a mirror, and is told nothing of what it has not", () =>
  withMirror(recipe, async ({ server, fresh, maker }) => {
    const other = recipeWith({ calibrate: { inputs: "original" }, spbo: { iterations: 7 } });
    const alone = await runOn(maker, other);
    const done = await runOn(fresh, other, { mirrors: mirrorsAt([server.url]) });
    assert.deepEqual(done.ran.filter((id) => id.startsWith("calibrate")), []);
    assert.deepEqual(done.steps.fetched, 3);
    assert.deepEqual(modelOf(done.folder), modelOf(alone.folder));
    // The index says what is missing: nothing is asked for in vain.
    assert.equal(new Set(server.requests).size, server.requests.length);
    assert.deepEqual(server.requests.filter((path) => path.startsWith("/steps/")).length, 3);
  }));

const troubles: readonly { name: string; trouble: Trouble; says: RegExp }[] = [
  {
    name: "has no index",
    trouble: (r) => isIndex(r) ? new Response("", { status: 404 }) : undefined,
    says: /answers 404/,
  },
  { name: "answers 500", trouble: () => new Response("", { status: 500 }), says: /answers 500/ },
  { name: "answers HTML for its index", trouble: html, says: /index\.json that cannot be used: it is an HTML page/ },
  {
    name: "answers HTML for a step",
    trouble: (r) => new URL(r.url).pathname.startsWith("/steps/") ? html() : undefined,
    says: /ends steps\/\S+ after \d+ of|sends more for steps|other bytes at steps/,
  },
  { name: "hangs", trouble: () => new Promise(() => {}), says: /does not answer: nothing came for 0\.15 s/ },
  {
    name: "hangs in the middle of a file",
    trouble: (r, file) =>
      isContent(r) && file
        ? new Response(new ReadableStream({ start: (controller) => controller.enqueue(file.subarray(0, 50)) }))
        : undefined,
    says: /does not answer/,
  },
  {
    name: "sends wrong bytes",
    trouble: (r, file) => {
      if (!isContent(r) || !file) return undefined;
      file[file.length - 1] ^= 1;
      return new Response(file);
    },
    says: /has other bytes at content\/\S+ their sha256 is \w+ instead of \w+: it is left alone/,
  },
  {
    name: "sends truncated files",
    trouble: (r, file) => isContent(r) && file ? new Response(file.subarray(0, 10)) : undefined,
    says: /ends content\/\S+ after 10 of \d+ bytes/,
  },
  {
    name: "sends longer files",
    trouble: (r, file) => isContent(r) && file ? new Response(new Uint8Array([...file, 0])) : undefined,
    says: /sends more for content\/\S+ than the \d+ bytes/,
  },
  {
    name: "sends files without end",
    trouble: (r) =>
      isContent(r)
        ? new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(1 << 16)) }))
        : undefined,
    says: /sends more for content/,
  },
  {
    name: "lacks files that it announces",
    trouble: (r) => isContent(r) ? new Response("", { status: 404 }) : undefined,
    says: /answers 404.*such steps are made here, and after 3 of them it is left alone/,
  },
  {
    name: "redirects in a circle",
    trouble: (r) => new Response(null, { status: 302, headers: { location: new URL(r.url).pathname } }),
    says: /redirects more than 5 times/,
  },
  {
    name: "redirects to a file",
    trouble: () => new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } }),
    says: /redirects from http:\/\/127\.0\.0\.1:\d+ to file:\/\/: it is left alone/,
  },
  {
    name: "redirects to nowhere",
    trouble: () => new Response(null, { status: 307 }),
    says: /redirects \(307\) to no address/,
  },
  {
    name: "sends another part than was asked for",
    trouble: (r, file) =>
      isContent(r) && file
        ? new Response(file.subarray(3), { status: 206, headers: { "content-range": `bytes 3-${file.length - 1}/*` } })
        : undefined,
    says: /sends another part/,
  },
];

for (const { name, trouble, says } of troubles) {
  Deno.test(`a mirror that ${name} costs one warning, and the run makes the same bytes itself`, () =>
    withMirror(recipe, async ({ made, server, fresh }) => {
      server.trouble = trouble;
      const done = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url]) });
      assert.equal(done.outcome, "finished", done.error?.message);
      assert.deepEqual(modelOf(done.folder), modelOf(made.folder));
      assert.deepEqual(done.steps, { run: 11, cached: 0 });
      assert.equal(done.warnings.length, 1, done.warnings.join("\n"));
      assert.match(done.warnings[0], says);
      assert.ok(done.warnings[0].startsWith(`The cache mirror ${server.url.host} `));
      const journal = Deno.readTextFileSync(join(done.folder, "events.ndjson"));
      assert.ok(journal.includes(JSON.stringify(done.warnings[0]).slice(1, -1)), "the journal has it too");
      assert.ok(server.requests.length < 40, `${server.requests.length} requests`);
      assert.deepEqual([...Deno.readDirSync(join(fresh.folder, "tmp"))], []);
      assert.ok(fresh.list().every(({ origin }) => origin === undefined));
    }));
}

const forgeries: readonly { name: string; change: Parameters<typeof forge>[1]; says: RegExp }[] = [
  {
    name: "of absurd size",
    change: (manifest) => ({ ...manifest, files: manifest.files.map((file) => ({ ...file, bytes: 2 ** 50 })) }),
    says: /announces 1024\.0 TiB for output "\w+" of a step, where about 64 B are expected: it is left alone/,
  },
  {
    name: "with a path that leads out",
    change: (manifest) => ({ ...manifest, files: manifest.files.map((file) => ({ ...file, name: "../../x" })) }),
    says: /cannot be used: manifest\.json is damaged: files\.0\.name is not what it should be/,
  },
  {
    name: "with an absolute path",
    change: (manifest) => ({ ...manifest, files: manifest.files.map((file) => ({ ...file, name: "/etc/x" })) }),
    says: /cannot be used/,
  },
  {
    name: "with a file that is a folder too",
    change: (manifest) => ({
      ...manifest,
      files: manifest.files.flatMap((file) => [{ ...file, name: "a" }, { ...file, name: "A/b" }]),
    }),
    says: /has files that cannot lie side by side, such as A\/b/,
  },
  {
    name: "of another step",
    change: (manifest) => ({ ...manifest, stepKey: "0".repeat(64) }),
    says: /belongs to another/,
  },
  {
    name: "with components that do not make the key",
    change: (manifest) => ({ ...manifest, components: { ...manifest.components, code: "mine" } }),
    says: /has components that do not make its key/,
  },
  { name: "with members of its own", change: (manifest) => ({ ...manifest, note: 1 }), says: /cannot be used/ },
  {
    name: "nested without end",
    change: (manifest) => ({ ...manifest, value: NESTED }),
    says: /cannot be used/,
  },
];

for (const { name, change, says } of forgeries) {
  Deno.test(`a mirror with manifests ${name} costs one warning, and nothing is written`, () =>
    withMirror(recipe, async ({ folder, made, mirror, server, fresh }) => {
      forge(mirror, change);
      const done = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url]) });
      assert.equal(done.outcome, "finished", done.error?.message);
      assert.deepEqual(modelOf(done.folder), modelOf(made.folder));
      assert.equal(done.warnings.length, 1, done.warnings.join("\n"));
      assert.match(done.warnings[0], says);
      assert.deepEqual(server.requests.filter((path) => path.startsWith("/content/")), []);
      assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["fresh", "mirror"]);
    }));
}

Deno.test("a mirror that dies in the middle is left alone after three failures, and its run makes the rest", () =>
  withMirror(recipe, async ({ made, server, fresh }) => {
    let left = 6;
    server.trouble = () => left-- > 0 ? undefined : new Response("", { status: 503 });
    const done = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url]) });
    assert.equal(done.outcome, "finished", done.error?.message);
    assert.deepEqual(modelOf(done.folder), modelOf(made.folder));
    assert.equal(done.warnings.length, 1);
    assert.ok(done.ran.length > 0 && done.ran.length < 11 || (done.steps.fetched ?? 0) > 0);
    const why = done.events.flatMap((event) => event.type === "step-started" && event.why ? [event.why.field] : []);
    assert.ok(why.length > 0 && why.every((field) => field === "unfetched"), why.join());
    assert.deepEqual(fresh.list().filter(({ retain }) => retain === "transient"), []);
  }));

Deno.test("a mirror that is busy for a moment is asked again, and a broken connection goes on where it ended", () =>
  withMirror(recipe, async ({ made, server, fresh }) => {
    const refused = new Set<string>();
    server.trouble = (request, file) => {
      if (!refused.has(request.url)) {
        refused.add(request.url);
        if (!isContent(request)) return new Response("", { status: 503, headers: { "retry-after": "0" } });
        return new Response(file!.subarray(0, 70_000));
      }
      const [, begin] = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "") ?? [];
      if (begin === undefined || file === undefined) return undefined;
      return new Response(file.subarray(Number(begin)), {
        status: 206,
        headers: { "content-range": `bytes ${begin}-${file.length - 1}/${file.length}` },
      });
    };
    const done = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url]), pipeline: large });
    assert.deepEqual([done.outcome, done.ran, done.warnings], ["finished", [], []]);
    assert.deepEqual(modelOf(done.folder), modelOf(made.folder));
    const ranges = server.headers.map((headers) => headers.get("range")).filter((range) => range !== null);
    assert.deepEqual(new Set(ranges), new Set(["bytes=70000-"]));
  }, large));

Deno.test("a second mirror is asked where the first one lies", () =>
  withMirror(recipe, async ({ folder, maker, server, fresh }) => {
    await exportMirror(maker, join(folder, "second"));
    await using second = serveFolder(join(folder, "second"));
    server.trouble = (request) => isContent(request) ? html() : undefined;
    const done = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url, second.url]) });
    assert.deepEqual([done.ran, done.warnings.length, done.steps.fetched], [[], 1, 4]);
    assert.ok(fresh.list().every(({ origin }) => origin === second.url.host));
  }));

Deno.test("an index that is not the one asked for is not used", () =>
  withMirror(recipe, async ({ folder, maker, server, fresh }) => {
    const { sha256 } = await exportMirror(maker, join(folder, "mirror"));
    const wrong = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url], { pin: "0".repeat(64) }) });
    assert.match(wrong.warnings.join(), /has another index than was asked for: its sha256 is \w+ instead of 0{64}/);
    assert.equal(wrong.steps.fetched, undefined);
    for (const { key } of fresh.list()) fresh.discard(key);
    const right = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url], { pin: sha256 }) });
    assert.deepEqual([right.warnings, right.steps.fetched], [[], 4]);
  }));

Deno.test("a mirror's query goes with every request, to its own host alone, and is told to nobody", () =>
  withMirror(recipe, async ({ folder, mirror, server, fresh }) => {
    await using other = serveFolder(mirror);
    const there = `http://localhost:${other.url.port}`;
    server.trouble = (request) =>
      isContent(request)
        ? new Response(null, { status: 302, headers: { location: there + new URL(request.url).pathname } })
        : undefined;
    const done = await runOn(fresh, recipe, { mirrors: mirrorsAt([`${server.url}?sig=s3cr3t#x`]) });
    assert.deepEqual([done.ran, done.warnings], [[], []]);
    assert.ok(server.requests.every((path) => path.endsWith("?sig=s3cr3t")));
    assert.ok(other.requests.length > 0 && !JSON.stringify(other.requests).includes("s3cr3t"));
    for (const headers of other.headers) {
      assert.doesNotMatch(JSON.stringify([...headers]), /s3cr3t|authorization|cookie|referer/);
    }
    await other[Symbol.asyncDispose]();
    for (const { key } of fresh.list()) fresh.discard(key);
    const dead = await runOn(fresh, recipe, { mirrors: mirrorsAt([`${server.url}?sig=s3cr3t`]) });
    assert.equal(dead.warnings.length, 1);
    const told = [...Deno.readDirSync(join(folder, "fresh", "runs"))].map(({ name }) =>
      Deno.readTextFileSync(join(folder, "fresh", "runs", name, "events.ndjson"))
    );
    assert.doesNotMatch(told.join() + dead.warnings.join(), /s3cr3t/);
  }));

Deno.test("httpSource() follows no redirect that leaves encryption behind", async () => {
  const real = globalThis.fetch;
  // No certificate of this machine's own would be believed.
  globalThis.fetch = () =>
    Promise.resolve(new Response(null, { status: 301, headers: { location: "http://a.example/x" } }));
  try {
    await assert.rejects(httpSource(new URL("https://a.example/mirror")).open("index.json", { from: 0 }), (error) => {
      assert.ok(error instanceof MirrorError && error.lie);
      assert.match(error.message, /redirects from https:\/\/a\.example to http:\/\/a\.example/);
      return true;
    });
  } finally {
    globalThis.fetch = real;
  }
});

Deno.test("Ctrl-C ends fetching at once, and the same run then goes on", () =>
  withMirror(recipe, async ({ server, fresh, made }) => {
    const controller = new AbortController();
    server.trouble = (request) => isContent(request) ? new Promise(() => {}) : undefined;
    const began = performance.now();
    const stopped = await runOn(fresh, recipe, {
      mirrors: mirrorsAt([server.url]),
      signal: controller.signal,
      onEvent: ({ type }) => void (type === "step-started" && setTimeout(() => controller.abort(), 30)),
    });
    assert.deepEqual([stopped.outcome, stopped.exit, stopped.ran, stopped.warnings], ["interrupted", 130, [], []]);
    assert.ok(performance.now() - began < 5000);
    assert.deepEqual([...Deno.readDirSync(join(fresh.folder, "tmp"))], []);
    server.trouble = () => undefined;
    const done = await runOn(fresh, recipe, { mirrors: mirrorsAt([server.url]) });
    assert.deepEqual(modelOf(done.folder), modelOf(made.folder));
    assert.equal(basename(done.folder), done.run);
  }));

Deno.test("what --from asks for is made, although a mirror has it", () =>
  withMirror(recipe, async ({ server, fresh }) => {
    const { makePlan } = await import("../plan.ts");
    const { openArithmetic } = await import("../arithmetic_test_support.ts");
    const plan = await makePlan(openArithmetic(recipe), fresh, {
      recipe,
      from: "spbo",
      mirrors: mirrorsAt([server.url]),
    });
    const states = Map.groupBy(plan.steps, ({ stage, state }) => `${stage} ${state}`);
    assert.deepEqual([...states.keys()].sort(), [
      "calibrate fetch",
      "embed run",
      "evaluate run",
      "forward run",
      "spbo run",
    ]);
  }));
