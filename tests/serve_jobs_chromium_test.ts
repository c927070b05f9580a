/** Runs started, stopped and gone on with in a real browser, with the keyboard alone. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { launcher } from "../cli/launch.ts";
import { findChromium } from "../report/chromium_test_support.ts";
import { buildApp } from "../server/app.ts";
import { Jobs } from "../server/jobs.ts";
import { project, temporaryFolder } from "./command_line_test_support.ts";
import type { Visit, Visited } from "./serve_jobs_chromium_test_support.ts";
import { models } from "./small_models_test_support.ts";

const TOKEN = "correct-horse-battery";

Deno.test("runs are started, stopped and gone on with in Chromium, with the keyboard alone", async () => {
  const chromium = await findChromium("the pages that start runs");
  if (chromium === undefined) return;
  using temporary = temporaryFolder();
  const folder = temporary.path, configs = join(folder, "configs"), end = new AbortController();
  const pictures = Deno.env.get("PBS2P_PICTURES") ?? join(project, ".pbs2p", "pictures");
  mkdirSync(pictures, { recursive: true });
  mkdirSync(configs);
  const windows = (tensor: string) => ({ windows: join(models.llama, "windows.safetensors"), tensor });
  const recipe = {
    model: { path: models.llama },
    stages: {
      calibrate: { dataset: windows("calibration"), samples: 16, length: 256 },
      ...{ gptq: { bits: 3 }, compensate: { mode: "columnwise", damping: 0.01 }, pack: {} },
      evaluate: { perplexity: [{ name: "heldout", dataset: windows("heldout"), samples: 8, length: 256 }] },
    },
  };
  writeFileSync(join(configs, "small.yaml"), stringify(recipe));
  const jobs = new Jobs({ launch: launcher(), limit: 1 });
  const app = buildApp({
    ...{ runs: join(folder, "runs"), cache: join(folder, "cache"), configs, token: TOKEN, hosts: ["127.0.0.1"], jobs },
  });
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, signal: end.signal, onListen: () => {} }, app.fetch);
  try {
    const visit: Visit = { chromium, pictures, address: `http://127.0.0.1:${server.addr.port}`, token: TOKEN };
    const driver = fileURLToPath(new URL("./serve_jobs_chromium_test_support.ts", import.meta.url));
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", "--no-prompt", driver, JSON.stringify(visit)],
    }).output();
    assert.ok(success, new TextDecoder().decode(stderr));
    const { faults, troubles, ...seen }: Visited = JSON.parse(new TextDecoder().decode(stdout));
    assert.deepEqual(troubles, []);
    assert.deepEqual(faults, []);
    assert.deepEqual(seen, {
      ...{ disabled: true, watched: "Stop", finished: "finished", listed: ["finished", "small run"], again: false },
      ...{ stopped: "interrupted", going: false, offered: "Go on", gone: true },
    });
  } finally {
    end.abort();
    await jobs.close();
    await server.finished;
  }
});
