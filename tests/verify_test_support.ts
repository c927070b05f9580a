/** A run of the tiny model, copies of it as other machines have them, and commands on these in this process. */
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { main } from "../cli/main.ts";
import { memoryTerminal } from "../cli/terminal_test_support.ts";
import { lastRun, project } from "./command_line_test_support.ts";
import { tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

/** A machine with a run on it. */
export interface Scene extends Disposable {
  readonly folder: string;
  /** The run's folder. */
  readonly run: string;
}

/** How a command of this process ended. */
export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command in this process. */
export async function command(...args: readonly string[]): Promise<Ended> {
  const terminal = memoryTerminal({ width: 400 });
  const code = await main(args, terminal);
  return { code, out: terminal.out(), err: terminal.err() };
}

/** The one run that all tests copy. */
export const original: string = await (async () => {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-tests-" });
  await writeTinyModel(join(folder, "tiny"));
  const path = writeTinyRecipe(folder, { name: "claim", ...tinyRecipe(join(folder, "tiny")) });
  const { code, err } = await command("run", path, ...at(folder));
  assert.equal(code, 0, err);
  globalThis.addEventListener("unload", () => Deno.removeSync(folder, { recursive: true }));
  return folder;
})();

/** Options of a machine. */
export function at(folder: string): string[] {
  return ["--cache", join(folder, "cache"), "--runs", join(folder, "runs"), "--device", "cpu"];
}

/** A copy of the run and its inputs, without what was cached. */
export function scene(): Scene {
  const folder = Deno.makeTempDirSync({ prefix: "pbs2p-tests-" });
  for (const part of ["tiny", "runs"]) cpSync(join(original, part), join(folder, part), { recursive: true });
  const { path: run } = lastRun(join(folder, "runs"));
  return { folder, run, [Symbol.dispose]: () => Deno.removeSync(folder, { recursive: true }) };
}

/** Verifies, with a cache in the scene's folder. */
export function verify({ folder, run }: Scene, ...more: readonly string[]): Promise<Ended> {
  return command("verify", run, "--cache", join(folder, "known"), ...more);
}

/** Runs a command in a process of its own, as variables are those of all tests of this one. @param hub address of a hub */
export async function commandWith(hub: string, ...args: readonly string[]): Promise<Ended> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "-A", join(project, "cli", "main.ts"), ...args],
    env: { HF_ENDPOINT: hub, NO_COLOR: "1", COLUMNS: "120" },
    stdin: "null",
  }).output();
  return { code, out: new TextDecoder().decode(stdout), err: new TextDecoder().decode(stderr) };
}

/** Changes a scene's lock. */
export function edit({ run }: Scene, change: (text: string) => string): void {
  const path = join(run, "recipe.lock.yaml"), before = readFileSync(path, "utf8"), after = change(before);
  assert.notEqual(before, after, "the lock is to be changed");
  writeFileSync(path, after);
}
