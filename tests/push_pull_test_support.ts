/** A hub on this machine, a run that one publishes there, and folders of somebody else who has nothing of it. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { FAKE_TOKEN, type FakeHub, startFakeHub } from "../hub/fake_hub_test_support.ts";
import { lastRun, linesOf, project } from "./command_line_test_support.ts";
import type { Asked, Ended } from "./push_pull_child_test_support.ts";
import { tinyRecipe, writeTinyModel, writeTinyRecipe } from "./tiny_model_test_support.ts";

/** The process that runs commands, and what it says. */
const child = new Deno.Command(Deno.execPath(), {
  args: ["run", "--no-prompt", "-A", join(project, "tests", "push_pull_child_test_support.ts")],
  ...{ cwd: project, stdin: "piped", stdout: "piped", stderr: "inherit" },
}).spawn();
globalThis.addEventListener("unload", () => child.kill());
const asking = child.stdin.getWriter(), answers = linesOf(child.stdout);

/** Variables of the next command. */
let variables: Readonly<Record<string, string>> = {};

/** Runs a command, with the variables of `at`. */
export async function command(...args: readonly string[]): Promise<Ended> {
  await asking.write(new TextEncoder().encode(`${JSON.stringify({ args, env: variables } satisfies Asked)}\n`));
  const { value } = await answers.next();
  return JSON.parse(value ?? assert.fail(`the process ended that was to run ${args.join(" ")}`));
}

/** Files of a folder, for the hub. */
export function filesIn(folder: string): Record<string, Uint8Array> {
  return Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name))]));
}

/** The two runs that all tests copy: of a model in a folder, and of the same on the hub. */
export const original = await (async () => {
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
export async function at(
  folder: string,
  { url }: Pick<FakeHub, "url">,
  use: () => Promise<void>,
  token = FAKE_TOKEN,
): Promise<void> {
  variables = { HF_ENDPOINT: url, HF_TOKEN: token, PBS2P_CACHE: join(folder, "cache") };
  try {
    await use();
  } finally {
    variables = {};
  }
}

/** A hub with the base model, and folders of one who publishes (`mine`) and of one who has nothing (`theirs`). */
export interface Scene {
  readonly hub: FakeHub;
  readonly run: string;
  /** The run of the model in a folder. */
  readonly local: string;
  readonly theirs: string;
  readonly mine: string;
  /** Pushes as the one who publishes. */
  push(...args: readonly string[]): ReturnType<typeof command>;
}

export async function withScene(body: (scene: Scene) => Promise<void>): Promise<void> {
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

export const TO = ["--to", "me/tiny-pbs2p", "--yes"];

/** The commit that a push has printed. */
export function commitIn(out: string): string {
  return /verify hf:\/\/me\/tiny-pbs2p@([0-9a-f]{40})(?: --model hf:\/\/base\/tiny@[0-9a-f]{40})?$/m.exec(out)?.[1] ??
    assert.fail(out);
}
