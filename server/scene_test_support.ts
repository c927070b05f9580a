/** Folders for one test, and the application over them, asked without a browser. */
import assert from "node:assert/strict";
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LOCK } from "../runner/journal.ts";
import { type AppOptions, buildApp } from "./app.ts";
import { writeRun } from "./folders_test_support.ts";

/** The model that this repository holds. */
export const MODEL = fileURLToPath(new URL("../configs/models/tiny-llama", import.meta.url));

/** Folders and what asks the application over them. */
export function scene(options: Partial<AppOptions> = {}) {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-serve-" });
  const runs = join(folder, "runs"), cache = join(folder, "cache");
  const errors: Error[] = [];
  const app = buildApp({
    ...{ runs, cache, version: "1.2.3", hosts: ["localhost", "127.0.0.1"] },
    onError: (error) => errors.push(error),
    ...options,
  });
  const ask = (path: string, { method = "GET", ...headers }: Readonly<Record<string, string>> = {}) =>
    Promise.resolve(app.request(path, { method, headers: { host: "localhost:8433", ...headers } }));
  const post = (path: string, body: unknown, headers: Readonly<Record<string, string>> = {}) =>
    Promise.resolve(app.request(path, {
      method: "POST",
      headers: { host: "localhost:8433", "content-type": "application/json", ...headers },
      body: typeof body === "string" ? body : JSON.stringify(body),
    }));
  const json = async (path: string) => {
    const answer = await ask(path);
    assert.equal(answer.status, 200, `${path}: ${await answer.clone().text()}`);
    return await answer.json();
  };
  return {
    ...{ folder, runs, cache, ask, post, json, errors },
    [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }),
  };
}

/** A finished run whose model is this repository's, as it is, so that what it writes is what the original does. @returns its id */
export function writeRunWithModel(runs: string, number: number, original: unknown = { path: MODEL }): string {
  const run = writeRun(runs, number), folder = join(runs, run);
  cpSync(MODEL, join(folder, "model"), { recursive: true });
  writeFileSync(join(folder, LOCK), JSON.stringify({ recipe: { model: original }, lock: {} }));
  return run;
}
