import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Command, Option } from "commander";
import { project } from "../tests/command_line_test_support.ts";
import { renderScript, type Shell, SHELLS } from "./completion_scripts.ts";
import { readTree } from "./completion_tree.ts";
import { main } from "./main.ts";
import { memoryTerminal } from "./terminal_test_support.ts";

const scripts = new Map(
  await Promise.all(SHELLS.map(async (shell) => {
    const terminal = memoryTerminal();
    assert.equal(await main(["completion", shell], terminal), 0);
    return [shell, terminal.out()] as const;
  })),
);

function isInstalled(shell: Shell): boolean {
  try {
    return new Deno.Command(shell, { args: ["-c", "exit 0"], stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** What bash offers for the last of some words. */
function complete(
  words: readonly string[],
  { cwd = project, env = {}, script = scripts.get("bash") ?? "" }: {
    readonly cwd?: string;
    readonly env?: Readonly<Record<string, string>>;
    readonly script?: string;
  } = {},
): string[] {
  const body = `${script}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
function_of() { complete -p "$1" | sed -n 's/.*-F \\([^ ]*\\) .*/\\1/p'; }
"$(function_of "$1")" "$1" "\${COMP_WORDS[COMP_CWORD]}"
printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr, success } = new Deno.Command("bash", {
    args: ["--norc", "-c", body, "bash", ...words],
    cwd,
    env: { PBS2P_RUNS: "", ...env },
  }).outputSync();
  assert.ok(success, new TextDecoder().decode(stderr));
  assert.equal(new TextDecoder().decode(stderr), "");
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "");
}

const bash = { ignore: !isInstalled("bash") && (console.log("skipped: bash is not installed"), true) };

Deno.test({
  ...bash,
  name: "in bash, commands, options, choices, stages and benchmarks are completed",
  fn: () => {
    const cases: [string[], string[]][] = [
      [["pbs2p", "r"], ["run", "runs", "results"]],
      [["pbs2p", "cache", ""], ["ls", "du", "gc", "verify", "export"]],
      [["pbs2p", "run", "--cache"], ["--cache", "--cache-size", "--cache-from"]],
      [["pbs2p", "run", "x.yaml", "--device", ""], ["auto", "cpu", "webgpu"]],
      [["pbs2p", "run", "x.yaml", "--device", "=", "w"], ["webgpu"]],
      [["pbs2p", "run", "--set", "cache", "--until", "ca"], ["calibrate"]],
      [["pbs2p", "run", "--set", ""], []],
      [["pbs2p", "bench", "k"], ["kernels"]],
      [["pbs2p", "completion", ""], ["bash", "zsh", "fish"]],
      [["pbs2p", "nothing", "--x"], []],
      [["deno", "task", "pl"], ["plan"]],
      [["deno", "task", "cache", "v"], ["verify"]],
      [["deno", "task", "pbs2p", "cache", "v"], ["verify"]],
      [["deno", "lint", "v"], []],
    ];
    for (const [words, offered] of cases) assert.deepEqual(complete(words), offered, words.join(" "));
  },
});

Deno.test({
  ...bash,
  name: "in bash, recipes and runs are completed, from any folder, whatever they are called",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      for (const run of ["20260101-mine", "20260102-other", "2$(touch pwned)", "sweeps"]) {
        mkdirSync(join(folder, "runs", run), { recursive: true });
      }
      mkdirSync(join(folder, "my recipes"));
      for (const name of ["my recipes/a b.yaml", "c.yml", "d.txt"]) writeFileSync(join(folder, name), "");
      const here = (...words: string[]) => complete(["pbs2p", ...words], { cwd: folder });
      assert.deepEqual(here("run", "my"), ["my recipes"]);
      assert.deepEqual(here("run", "my recipes/"), ["my recipes/a b.yaml"]);
      assert.deepEqual(here("plan", "c"), ["c.yml"]);
      assert.deepEqual(here("plan", "d."), []);
      assert.deepEqual(here("run", "configs/quickstart-"), ["configs/quickstart-best.yaml"], "as the program finds it");
      const runs = ["last", "20260101-mine", "20260102-other"];
      assert.deepEqual(here("runs", "show", "--runs", join(folder, "runs"), ""), runs);
      const env = { PBS2P_RUNS: join(folder, "runs") };
      assert.deepEqual(complete(["pbs2p", "inspect", ""], { cwd: folder, env }), runs);
      assert.deepEqual(complete(["deno", "task", "runs", "show", "202601"], { env }), runs.slice(1));
      assert.ok(!existsSync(join(folder, "pwned")) && !existsSync(join(project, "pwned")));
      assert.deepEqual(complete(["deno", "task", "pl"], { cwd: folder, env }), [], "tasks of another folder");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test("readTree() and the scripts know every option of every command, and quote what they hold", () => {
  const program = new Command("pbs2p").addCommand(
    new Command("it's").addOption(new Option("--of <kind>", "what's $(date) `date` \\").choices(["$(touch x)", "a'b"])),
  );
  const tree = readTree(program, { stages: [], benchmarks: [] });
  for (const shell of SHELLS) {
    const script = renderScript(shell, tree, { project: "/it's $HOME", tasks: [] });
    if (!isInstalled(shell)) continue;
    const { success, stderr } = new Deno.Command(shell, { args: ["-n", "-c", script] }).outputSync();
    assert.ok(success, new TextDecoder().decode(stderr));
    if (shell === "bash") assert.deepEqual(complete(["pbs2p", "it's", "--o"], { script }), ["--of"]);
  }
});

/** What fish offers for a line that ends in the middle of a word, without what it says of it. */
async function offeredByFish(line: string, { script, cwd }: { readonly script: string; readonly cwd: string }) {
  const { stdout, stderr } = await new Deno.Command("fish", {
    args: ["--no-config", "-c", `source ${script}; complete -C '${line}'`],
    ...{ cwd, env: { PBS2P_RUNS: "" } },
  }).output();
  assert.equal(new TextDecoder().decode(stderr), "");
  return new TextDecoder().decode(stdout).trimEnd().split("\n").map((each) => each.split("\t")[0]);
}

/** Presses Tab behind a line, in a zsh of its own, and keeps what its completion adds. */
const TAB = String.raw`
zmodload zsh/zpty
zpty shell zsh -f -i
ask() { zpty -w shell "$1"; }
ask "PS1= PS2= RPS1="
ask "autoload -Uz compinit; compinit -u -D"
ask "$1"
ask 'compadd() { if [[ \${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return $?; fi
  local -a hits; builtin compadd -A hits "$@"; print -rl -- $hits >>"'$3'"; builtin compadd "$@" }'
ask 'tab() { zle complete-word; print END >>"'$3'" }; zle -N tab; bindkey "^I" tab; print READY'
zpty -r -m shell out '*READY*READY*'
zpty -w -n shell "$2"$'\t'
for i in {1..200}; do grep -q END "$3" 2>/dev/null && break; sleep 0.05; done
zpty -d shell
`.replaceAll("\\$", "$");

/** As `offeredByFish`, of zsh. @param script what it is told first */
async function offeredByZsh(line: string, { script, cwd }: { readonly script: string; readonly cwd: string }) {
  const hits = await Deno.makeTempFile();
  try {
    const { stderr } = await new Deno.Command("zsh", {
      args: ["-f", "-c", TAB, "zsh", script, line, hits],
      ...{ cwd, env: { PBS2P_RUNS: "", TERM: "dumb" } },
    }).output();
    assert.equal(new TextDecoder().decode(stderr), "");
    const lines = (await Deno.readTextFile(hits)).split("\n");
    assert.ok(lines.includes("END"), `${line}: nothing came of Tab`);
    return [...new Set(lines.filter((each) => each !== "" && each !== "END"))];
  } finally {
    await Deno.remove(hits);
  }
}

const offered = { fish: offeredByFish, zsh: offeredByZsh } as const;

for (const shell of ["fish", "zsh"] as const) {
  Deno.test({
    name: `in ${shell}, commands, options, choices, stages, recipes and runs are completed`,
    ignore: !isInstalled(shell) && (console.log(`skipped: ${shell} is not installed`), true),
    fn: async () => {
      const folder = await Deno.makeTempDir(), file = join(folder, "_pbs2p");
      try {
        writeFileSync(file, scripts.get(shell) ?? "");
        mkdirSync(join(folder, "here", "recipes"), { recursive: true });
        for (const name of ["mine.yaml", "recipes/yours.yml", "words.txt"]) {
          writeFileSync(join(folder, "here", name), "");
        }
        const autoload = `fpath=(${folder} $fpath); compinit -u -D`;
        const cases: readonly (readonly [string, readonly string[], cwd?: string])[] = [
          ["pbs2p r", ["results", "run", "runs"]],
          ["pbs2p cache ", ["du", "export", "gc", "ls", "verify"]],
          ["pbs2p run --devi", ["--device"]],
          ["pbs2p run x.yaml --device ", ["auto", "cpu", "webgpu"]],
          ["pbs2p run --set cache --until ca", ["calibrate"]],
          ["pbs2p bench k", ["kernels"]],
          ["deno task pl", ["plan"]],
          ["deno task cache v", ["verify"]],
          ["deno task pbs2p cache v", ["verify"]],
          ["pbs2p run m", ["mine.yaml"], join(folder, "here")],
          ["pbs2p runs show las", ["last"], join(folder, "here")],
        ];
        const told = shell === "zsh" ? [`source ${file}`, autoload] : [file];
        for (const script of told) {
          for (const [line, wanted, cwd = project] of cases) {
            // What is read from a folder of functions knows `deno task` once pbs2p was completed.
            if (script === autoload && line.startsWith("deno")) continue;
            assert.deepEqual((await offered[shell](line, { script, cwd })).sort(), wanted, line);
          }
          const there = await offered[shell]("pbs2p run configs/quickstart-", { script, cwd: folder });
          assert.deepEqual(there.map((each) => each.replace("configs/", "")), ["quickstart-best.yaml"]);
        }
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  });
}

for (const shell of SHELLS) {
  const installed = isInstalled(shell);
  Deno.test({
    name: `the script for ${shell} is sound, and names every command`,
    ignore: !installed && (console.log(`skipped: ${shell} is not installed`), true),
    fn: async () => {
      const file = await Deno.makeTempFile();
      await Deno.writeTextFile(file, scripts.get(shell) ?? "");
      const { success, stderr } = await new Deno.Command(shell, { args: ["-n", file] }).output();
      await Deno.remove(file);
      assert.ok(success, new TextDecoder().decode(stderr));
      for (const name of ["run", "plan", "sweep", "cache", "export", "--cache-from"]) {
        assert.ok(scripts.get(shell)?.includes(name.replace(/^--/, "")), name);
      }
    },
  });
}
