/** Ctrl-C as it comes: from a terminal, and once more from what stands between it and the process. */
import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { linesOf } from "../tests/command_line_test_support.ts";

const PROGRAM = `
import { listenForInterruption } from ${JSON.stringify(new URL("interruption.ts", import.meta.url).href)};
const { signal, defer } = listenForInterruption({ onFirst: () => console.log("first"), onEnd: () => console.log("end") });
if (Deno.args[0] === "deferred") defer();
setInterval(() => signal.aborted && console.log("goes on"), 50);
console.log("ready");
`;

/** A process that listens, once it does. */
async function listening(...args: readonly string[]) {
  const child = new Deno.Command(Deno.execPath(), {
    ...{ args: ["run", "--quiet", "-", ...args], stdin: "piped", stdout: "piped", stderr: "inherit" },
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(PROGRAM));
  await writer.close();
  const lines = linesOf(child.stdout);
  assert.equal((await lines.next()).value, "ready");
  return { child, lines };
}

Deno.test({
  name: "one Ctrl-C that comes twice is one, and the next ends the process",
  ignore: Deno.build.os === "windows" &&
    (console.log("skipped: Windows does not send SIGINT to another process"), true),
  async fn() {
    const { child, lines } = await listening("deferred");
    child.kill("SIGINT");
    await pause(5);
    child.kill("SIGINT");
    assert.equal((await lines.next()).value, "first");
    // Longer than what is taken for an echo.
    for (let ticks = 0; ticks < 8; ticks++) assert.equal((await lines.next()).value, "goes on");
    child.kill("SIGINT");
    const rest = await Array.fromAsync(lines);
    assert.deepEqual([rest.at(-1), (await child.status).code], ["end", 130]);
  },
});

Deno.test({
  name: "Ctrl-C ends a process at once that has nothing to stop yet",
  ignore: Deno.build.os === "windows" &&
    (console.log("skipped: Windows does not send SIGINT to another process"), true),
  async fn() {
    const { child, lines } = await listening();
    child.kill("SIGINT");
    assert.deepEqual([await Array.fromAsync(lines), (await child.status).code], [["end"], 130]);
  },
});
