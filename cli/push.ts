/** `push`: makes a run a repository of the hub, with a card, and says before what it sends. */
import { createHash } from "node:crypto";
import { homedir } from "node:os";
import { basename } from "node:path";
import { pathToFileURL } from "node:url";
import { Command } from "commander";
import { InputError } from "../files/input_error.ts";
import {
  type ComparedUpload,
  compareUploads,
  describeModel,
  findToken,
  type HubAccess,
  lookAtTarget,
  push as upload,
  type Pushed,
  type PushTarget,
  type Upload,
} from "../hub/mod.ts";
import { versions } from "../pipeline/lock_record.ts";
import {
  type BaseModel,
  checkBase,
  openPublishable,
  type Publishable,
  refusePrivate,
} from "../pipeline/publishable.ts";
import { type Licence, renderModelCard } from "../report/model_card.ts";
import { formatBits, formatBytes } from "../report/numbers.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import { ownNames } from "./cache_export.ts";
import { UsageError } from "./exit_codes.ts";
import { parseHubId, withHub } from "./hub_access.ts";
import { listenForInterruption } from "./interruption.ts";
import { cacheOption, type CommandContext, runsOption, withOutputOptions } from "./options.ts";
import { projectFolder, workingFolder } from "./places.ts";
import type { Terminal } from "./terminal.ts";
import { openClaim } from "./verify_claim.ts";

interface Options {
  readonly to: string;
  readonly private?: boolean;
  readonly revision: string;
  readonly baseModel?: string;
  readonly license?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
  readonly color?: boolean;
  readonly cache?: string;
  readonly runs?: string;
}

const MORE =
  "Sent are the packed model, recipe.lock.yaml, metrics.json, report.html and a card (README.md) made of them; the journal stays, as " +
  "it has paths of this machine. The run must have ended well, its files must be what its lock says, and the base model and all texts " +
  "must be pinned. A push that broke goes on with the same command: what the hub has is not sent again. Exit codes: 2 the arguments, " +
  "3 the run may not be published, or the hub refuses.";

/** The command. */
export function pushCommand(context: CommandContext): Command {
  return withOutputOptions(new Command("push"))
    .description("publish a run on the Hugging Face Hub, with a model card; shows what it would send, and asks")
    .argument("<run>", "a run: its folder, its id, or `last`")
    .requiredOption("--to <owner/name>", "the repository; it is made where there is none")
    .option("--private", "make the repository private")
    .option("--revision <branch>", "the branch that gets the commit", "main")
    .option("--base-model <id>", "OWNER/NAME@COMMIT of the hub that a model in a folder is; its files must be the same")
    .option("--license <id>", "the base model's licence, where the hub does not say it, such as apache-2.0")
    .option("--dry-run", "show what would be sent, and send nothing")
    .option("--yes", "do not ask")
    .addOption(cacheOption())
    .addOption(runsOption())
    .addHelpText("after", () => `\n${wrapText(MORE, context.terminal({}).width).join("\n")}`)
    .action(async (target: string, options: Options) =>
      context.exit(await push(target, options, context.terminal(options)))
    );
}

/** @returns the exit code */
async function push(target: string, options: Options, terminal: Terminal): Promise<number> {
  const to = repositoryOf(options), given = givenBase(options);
  if (!options.yes && !options.dryRun && (options.json || !Deno.stdin.isTerminal())) {
    throw new UsageError(
      "Cannot ask before sending as nobody is at the terminal: look with --dry-run, then give --yes",
    );
  }
  const interruption = listenForInterruption({ onFirst: () => terminal.note("\nStopping.") });
  try {
    return await withHub({ ...options, signal: interruption.signal }, terminal, async (access) => {
      const claim = openClaim(target, options, "push");
      const run = await openPublishable(claim);
      const base = await baseOf(run, given, (model) => checkBase(model, claim, access));
      const card = renderModelCard({
        ...{ metrics: run.metrics, target: to, texts: run.texts, code: run.code, version: versions().pbs2p },
        recipe: { ...run.recipe, name: run.recipe.name ?? nameOfRun(claim.folder) },
        base: { ...base, local: run.base === undefined },
        licence: await licenceOf(base, options, access, terminal),
      });
      await refusePrivate(run.files, { "README.md": card }, await secrets(claim.folder, [to, base.id], access));
      const remote = await lookAtTarget(to, options.revision, access);
      if (options.private && remote.private === false) {
        throw new InputError(
          `Cannot push to ${to} as private: it is there, and public; make it private in its settings on the hub`,
        );
      }
      // A lock that names files alone does not say where they are on the hub.
      const model = run.base === undefined ? ` --model hf://${base.id}@${base.commit}` : "";
      const uploads = await compareUploads([cardUpload(card), ...run.files.map(fileUpload)], remote);
      if (!options.json) show(uploads, { remote, run, options }, terminal);
      if (options.dryRun) return told(uploads, remote, undefined, { model, options, terminal });
      if (!options.yes && uploads.some(({ state }) => state !== "unchanged") && !confirm("Send it?")) {
        terminal.line("Nothing was sent.");
        return 0;
      }
      interruption.defer();
      const { nominal, stored } = run.metrics.bits;
      const pushed = await upload(uploads, remote, access, {
        title: `${base.id.split("/")[1]}, ${formatBits(nominal)} nominal and ${formatBits(stored.total)} stored bits`,
        ...(options.private ? { private: true } : {}),
      });
      return told(uploads, remote, pushed, { model, options, terminal });
    });
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
    terminal.note("Interrupted; what was uploaded is not sent again. To go on, give the same command again.");
    return 130;
  } finally {
    interruption.stop();
  }
}

/** @throws {UsageError} */
function repositoryOf({ to }: Options): string {
  const found = parseHubId(to);
  if (found !== undefined && found.revision === "main" && !to.includes("@")) return found.id;
  throw new UsageError(`Cannot push to "${to}": write OWNER/NAME, and a branch with --revision`);
}

/** The base model that the user names. @throws {UsageError} where it is no commit */
function givenBase({ baseModel }: Options): BaseModel | undefined {
  if (baseModel === undefined) return undefined;
  const { id, revision } = parseHubId(baseModel) ?? {};
  if (id !== undefined && revision !== undefined && /^[0-9a-f]{40}$/.test(revision)) return { id, commit: revision };
  throw new UsageError(
    `Cannot use --base-model ${baseModel}: write OWNER/NAME@COMMIT, all 40 digits of it, as branches and tags may move`,
  );
}

async function baseOf(
  { base }: Publishable,
  given: BaseModel | undefined,
  check: (model: BaseModel) => Promise<void>,
): Promise<BaseModel> {
  if (base === undefined && given === undefined) {
    throw new UsageError(
      "Cannot push a run whose model lies in a folder without saying what it is: name the hub's model that has the same files, with " +
        "--base-model OWNER/NAME@COMMIT",
    );
  }
  if (base === undefined) {
    await check(given as BaseModel);
    return given as BaseModel;
  }
  if (given === undefined || given.id === base.id && given.commit === base.commit) return base;
  throw new UsageError(`Cannot use --base-model ${given.id}@${given.commit}: the run's is ${base.id}@${base.commit}`);
}

async function licenceOf(
  { id, commit }: BaseModel,
  { license }: Options,
  access: HubAccess,
  terminal: Terminal,
): Promise<Licence> {
  if (license !== undefined && !/^[\w.+-]+$/.test(license)) {
    throw new UsageError(
      `Cannot use --license ${license}: write an id of the hub, such as apache-2.0, llama2 or other`,
    );
  }
  const { license: stated, ...more } = (await describeModel(id, commit, access)).licence;
  if (license !== undefined) {
    if (stated !== undefined && `${stated}` !== license) {
      terminal.note(`warning: ${id} says that its licence is ${stated}; the card will say ${license}`);
    }
    return { license, ...(`${stated}` === license ? more : {}) };
  }
  if (stated !== undefined) return { license: stated, ...more };
  throw new InputError(
    `Cannot push: the hub does not say under which licence ${id} stands; read its terms, then give --license`,
  );
}

async function secrets(folder: string, ids: readonly string[], access: HubAccess) {
  const token = access.token === undefined ? await findToken() : access.token;
  // Who publishes under a name of their own does not hide it.
  const shown = ids.join(" ").toLowerCase();
  return {
    ...{ tokens: token ? [token] : [], folders: [folder, projectFolder, workingFolder(), access.cache, homedir()] },
    names: ownNames().filter((name) => !shown.includes(name.toLowerCase())),
  };
}

function cardUpload(card: string): Upload {
  const content = new Blob([card]), sha256 = createHash("sha256").update(card).digest("hex");
  return { path: "README.md", bytes: content.size, sha256, content };
}

function fileUpload({ path, bytes, sha256, file }: Publishable["files"][number]): Upload {
  return { path, bytes, sha256, content: pathToFileURL(file) };
}

interface Shown {
  readonly remote: PushTarget;
  readonly run: Publishable;
  readonly options: Options;
}

function show(uploads: readonly ComparedUpload[], { remote, run, options }: Shown, terminal: Terminal): void {
  const hidden = remote.private ?? options.private, who = hidden === undefined ? "" : hidden ? ", private" : ", public";
  const where = remote.exists
    ? `${
      remote.repo === undefined ? "which has no such branch yet" : `at commit ${remote.repo.commit.slice(0, 8)}`
    }${who}`
    : `which is made new${who}`;
  const right = "right", rows = uploads.map(({ path, bytes, state }) => [path, formatBytes(bytes), state]);
  const head = `To model ${remote.id}, branch ${remote.branch}, ${where}:`;
  for (const line of wrapText(head, terminal.width, "  ")) terminal.line(line);
  const columns = [{ head: "file" }, { head: "size", side: right }, { head: "" }] as const;
  for (const line of renderTable(columns, rows, { width: terminal.width })) terminal.line(line);
  const sent = uploads.filter(({ state }) => state !== "unchanged");
  const bytes = sent.reduce((sum, each) => sum + each.bytes, 0);
  terminal.line(`${sent.length} of ${uploads.length} files are sent, ${formatBytes(bytes)} at most`);
  if (run.code.length > 0) {
    terminal.note(`warning: code of your own is not sent, and the card says so: ${run.code.join(", ")}`);
  }
  if (run.missed.length > 0) {
    terminal.note(`warning: the result misses what the recipe expects of ${run.missed.join(", ")}; the card says so`);
  }
}

/** Says what came of it. @returns the exit code */
function told(
  uploads: readonly ComparedUpload[],
  { id, branch }: PushTarget,
  pushed: Pushed | undefined,
  { model, options: { json }, terminal }: {
    /** Words that `verify` needs. */
    readonly model: string;
    readonly options: Options;
    readonly terminal: Terminal;
  },
): number {
  const verify = pushed === undefined ? undefined : `deno task verify hf://${id}@${pushed.commit}${model}`;
  if (json) {
    const files = uploads.map(({ path, bytes, sha256, state }) => ({ path, bytes, sha256, state }));
    terminal.line(JSON.stringify({ repository: id, branch, sent: pushed !== undefined, ...pushed, verify, files }));
  } else if (pushed === undefined) terminal.line("Nothing was sent, as --dry-run asks.");
  else {
    terminal.line();
    terminal.line(terminal.paint("good", `Done: ${pushed.url}`));
    terminal.line(`verify  ${verify}`);
  }
  return 0;
}

/** A run's folder names its recipe. */
function nameOfRun(folder: string): string {
  return basename(folder).replace(/^\d{8}-\d{9}-[0-9a-f]{6}-/, "");
}
