/** The child's side: reads cases, one after the other, and tells what came of each. */
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { findUnfit, judgeError, UnfitError, type Verdict } from "./judge.ts";
import type { Kind } from "./kind.ts";
import { type CaseName, makeCase, readSamples, type SampleFiles, writeCase } from "./mutate/case.ts";
import { readLines, renderReply, type Reply, type Setting } from "./protocol.ts";

/** Frames that errors keep. */
const STACK = 60;

/** Serves cases from the standard input until it ends; its first line is the setting. */
export async function serve(kinds: readonly Kind[]): Promise<void> {
  const strays: unknown[] = [];
  // Libraries may be deep; a finding is told by the place in the project that called them.
  Error.stackTraceLimit = STACK;
  globalThis.addEventListener("unhandledrejection", (event) => {
    event.preventDefault();
    strays.push(event.reason);
  });
  const lines = readLines(Deno.stdin.readable);
  const first = await lines.next();
  if (first.done) return;
  const setting: Setting = JSON.parse(first.value);
  const caseStarts = watchMemory(setting.memory);
  const files = new Map<string, SampleFiles>();
  tell({ type: "ready" });
  for await (const line of lines) {
    const name: CaseName = JSON.parse(line);
    const kind = kinds.find((each) => each.name === name.kind);
    if (kind === undefined) throw new RangeError(`Cannot serve kind "${name.kind}"`);
    const samples = setting.samples[kind.name];
    const all = files.get(kind.name) ?? await readSamples(join(setting.inputs, kind.name), samples);
    files.set(kind.name, all);
    const folder = join(setting.scratch, "case");
    const made = makeCase(name, samples, all);
    await writeCase(made, folder);
    caseStarts();
    strays.length = 0;
    const verdict = await readCase(kind, folder, made.sample, strays);
    const written = (await readdir(setting.scratch)).filter((each) => each !== "case");
    await rm(setting.scratch, { recursive: true, force: true });
    tell({ type: "done", verdict: written.length > 0 ? outside(written) : verdict });
  }
}

async function readCase(kind: Kind, folder: string, sample: string, strays: readonly unknown[]): Promise<Verdict> {
  try {
    await kind.read(folder, sample, (what, value) => {
      const unfit = findUnfit(value, what);
      if (unfit !== undefined) throw new UnfitError(unfit);
    });
  } catch (error) {
    return judgeError(error);
  } finally {
    // Rejections that nobody waits for come up after a turn of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  if (strays.length === 0) return { outcome: "clean" };
  const judged = judgeError(strays[0]);
  const message = "message" in judged ? judged.message : "";
  return { outcome: "finding", problem: "a rejection that nobody waits for", message };
}

/** @returns what is to be called when a case starts */
function watchMemory(most: number): () => void {
  const shared = new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT);
  const start = new Float64Array(shared);
  const worker = new Worker(new URL("./memory_worker.ts", import.meta.url), { type: "module" });
  worker.postMessage({ shared, most });
  return () => void (start[0] = Deno.memoryUsage().rss);
}

function outside(names: readonly string[]): Verdict {
  const message = `written beside the case: ${names.join(", ")}`;
  return { outcome: "finding", problem: "something was done outside of the case's folder", message };
}

function tell(reply: Reply): void {
  const bytes = renderReply(reply);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}
