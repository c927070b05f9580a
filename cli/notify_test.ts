import assert from "node:assert/strict";
import { InputError } from "../files/input_error.ts";
import { UsageError } from "./exit_codes.ts";
import { type Facts, type Notice, notifying } from "./notify.ts";
import { memoryTerminal } from "./terminal_test_support.ts";

/** Does some work with a server that answers as it is told to. */
async function withServer(
  answer: (request: Request) => Response | Promise<Response>,
  work: (tell: (facts: Facts) => void) => Promise<number>,
  { path = "/hook?token=s3cr3t" }: { readonly path?: string } = {},
) {
  const got: { readonly method: string; readonly type: string | null; readonly notice: Notice }[] = [];
  const ending = new AbortController();
  const server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen: () => {}, signal: ending.signal },
    async (request) => {
      const { method, headers } = request;
      got.push({ method, type: headers.get("content-type"), notice: await request.json() });
      return await answer(request);
    },
  );
  const terminal = memoryTerminal(), url = `http://127.0.0.1:${server.addr.port}${path}`;
  let exit: number | undefined, error: unknown;
  try {
    exit = await notifying(url, { recipe: "mine", terminal, timeout: 200 }, work);
  } catch (thrown) {
    error = thrown;
  }
  ending.abort();
  await server.finished;
  return { exit, error, got, err: terminal.err(), out: terminal.out() };
}

const fine = () => new Response(null, { status: 204 });

Deno.test("notifying() posts one JSON object with what became known, whatever the outcome", async () => {
  const perplexity = { heldout: { original: 24.9, compressed: Infinity, tokens: 51_000 } };
  const facts: Facts = { run: "1-mine", model: "tiny", perplexity, bits: { nominal: 0.5, stored: 3.1, model: 4.5 } };
  const outcomes = [[0, "well"], [7, "missed"], [5, "failed"], [8, "failed"], [130, "interrupted"]] as const;
  for (const [code, outcome] of outcomes) {
    const { exit, got, err, out } = await withServer(fine, (tell) => {
      tell(facts);
      return Promise.resolve(code);
    });
    assert.deepEqual([exit, err, out, got.length], [code, "", "", 1]);
    const [{ method, type, notice: { seconds, ...notice } }] = got;
    assert.deepEqual([method, type], ["POST", "application/json"]);
    assert.ok(seconds >= 0 && seconds < 60);
    assert.deepEqual(notice, {
      ...{ run: "1-mine", recipe: "mine", model: "tiny", outcome, exit: code, error: null },
      ...{ bits: facts.bits, perplexity: { heldout: { original: 24.9, compressed: "Infinity", tokens: 51_000 } } },
    });
  }
});

Deno.test("notifying() tells of what was thrown, without paths, and throws it on", async () => {
  const thrown = new InputError("Cannot read /home/me/models/secret/config.json: it is empty");
  const { error, got } = await withServer(fine, () => Promise.reject(thrown));
  assert.equal(error, thrown);
  const [{ notice: { outcome, exit, error: said, run, perplexity } }] = got;
  assert.deepEqual([outcome, exit, run, perplexity], ["failed", 3, null, null]);
  assert.equal(said, "Cannot read …/config.json: it is empty");
});

const troubles: readonly { name: string; answer: () => Response | Promise<Response>; says: RegExp }[] = [
  {
    name: "refuses",
    answer: () => new Response("no", { status: 500 }),
    says: /was not told of the end: it answers 500/,
  },
  { name: "hangs", answer: () => new Promise(() => {}), says: /nothing came for 0\.2 s/ },
  {
    name: "sends it elsewhere",
    answer: () => new Response(null, { status: 307, headers: { location: "http://localhost:1/" } }),
    says: /it answers 307/,
  },
];

for (const { name, answer, says } of troubles) {
  Deno.test(`a host that ${name} costs a warning, and tells nothing of its address`, async () => {
    const { exit, err, got } = await withServer(answer, () => Promise.resolve(0));
    assert.deepEqual([exit, got.length], [0, 1]);
    assert.match(err, says);
    assert.match(err, /^warning: 127\.0\.0\.1:\d+ /);
    assert.doesNotMatch(err, /s3cr3t|hook/);
  });
}

Deno.test("a host that is not there costs a warning", async () => {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" }), { port } = listener.addr;
  listener.close();
  const terminal = memoryTerminal();
  const url = `http://127.0.0.1:${port}/?s3cr3t`;
  assert.equal(await notifying(url, { recipe: "mine", terminal }, () => Promise.resolve(7)), 7);
  assert.match(terminal.err(), /^warning: 127\.0\.0\.1:\d+ was not told of the end: it cannot be reached\n$/);
});

Deno.test("notifying() refuses other addresses before anything is done", async () => {
  for (const url of ["x", "ftp://a.example", "file:///etc/x", "https://me:secret@a.example"]) {
    const work = () => Promise.reject(new Error("begun"));
    await assert.rejects(notifying(url, { recipe: "mine", terminal: memoryTerminal() }, work), (error) => {
      assert.ok(error instanceof UsageError);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  }
});
