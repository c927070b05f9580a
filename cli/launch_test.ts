/** The right to run programs, given up for good. */
import assert from "node:assert/strict";
import { project } from "../tests/command_line_test_support.ts";

const PROGRAM = `
import { giveUpRunning, launcher } from ${JSON.stringify(new URL("launch.ts", import.meta.url).href)};
const runs = () => {
  try {
    return new Deno.Command("deno", { args: ["--version"] }).outputSync().success;
  } catch (error) {
    return error.name;
  }
};
const before = runs();
giveUpRunning();
try {
  launcher();
} catch (error) {
  console.log(JSON.stringify([before, runs(), error.message]));
}
`;

Deno.test("giveUpRunning() leaves a process that can run nothing, and no launcher", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", "--allow-read", "--allow-env=PBS2P_NET", "--allow-run=deno", "-"],
    ...{ cwd: project, stdin: "piped", stdout: "piped", stderr: "inherit" },
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(PROGRAM));
  await writer.close();
  const [before, after, message] = JSON.parse(new TextDecoder().decode((await child.output()).stdout));
  assert.deepEqual([before, after], [true, "NotCapable"]);
  assert.match(
    message,
    /^Cannot start runs: this process may not run Deno; start it by `deno task serve --allow-run`$/,
  );
});
