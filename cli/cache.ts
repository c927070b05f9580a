/** `cache`: what is kept, what it takes, and whether it is sound. */
import { Command } from "commander";
import { exportCache, withExportOptions } from "./cache_export.ts";
import { openCache } from "../runner/mod.ts";
import type { ArtifactCache } from "../runner/mod.ts";
import { formatBytes, formatSeconds } from "../report/numbers.ts";
import { cacheOption, cacheSizeOption, type CommandContext, throttled, withOutputOptions } from "./options.ts";
import { cacheFolder } from "./places.ts";
import { renderTable, wrapText } from "../report/text_table.ts";
import type { Terminal } from "./terminal.ts";
import { removeLeftovers, scratchBytes } from "./verify_scratch.ts";

interface Options {
  readonly cache?: string;
  readonly cacheSize?: number;
  readonly json?: boolean;
  readonly color?: boolean;
  readonly dryRun?: boolean;
  readonly fix?: boolean;
}

/** The command with its subcommands. */
export function cacheCommand(context: CommandContext): Command {
  const add = (
    name: string,
    description: string,
    act: (cache: ArtifactCache, options: Options, terminal: Terminal) => void | Promise<void>,
  ) =>
    withOutputOptions(new Command(name)).description(description).addOption(cacheOption())
      .action(async (options: Options) => {
        const cache = await openCache(cacheFolder(options.cache), { size: options.cacheSize });
        try {
          await act(cache, options, context.terminal(options));
        } finally {
          cache.close();
        }
      });
  return new Command("cache").description("list, measure, shrink, check and share the cache")
    .addCommand(add("ls", "all artifacts", list))
    .addCommand(add("du", "bytes by stage", measure).addOption(cacheSizeOption()))
    .addCommand(
      add(
        "gc",
        "remove what is cheapest to make again, down to --cache-size, and what verify left; never what a run needs",
        collect,
      )
        .addOption(cacheSizeOption()).option("--dry-run", "only say what would go"),
    )
    .addCommand(
      add(
        "verify",
        "hash everything again; ends with 6 where something is damaged",
        async (cache, options, terminal) => {
          if (!await verify(cache, options, terminal)) context.exit(6);
        },
      ).option("--fix", "remove what is damaged, so that the next run makes it anew"),
    )
    .addCommand(
      withExportOptions(withOutputOptions(new Command("export"))).addOption(cacheOption())
        .description("make a mirror of what is kept: static files, for --cache-from")
        .action(async (folder: string, options: Options & Parameters<typeof exportCache>[2]) => {
          const cache = await openCache(cacheFolder(options.cache));
          try {
            await exportCache(cache, folder, options, context.terminal(options));
          } finally {
            cache.close();
          }
        }),
    );
}

function list(cache: ArtifactCache, { json }: Options, terminal: Terminal): void {
  const artifacts = cache.list();
  if (json) return terminal.line(JSON.stringify(artifacts));
  const mirrored = artifacts.some(({ origin }) => origin !== undefined);
  const columns = [
    { head: "key" },
    { head: "model" },
    { head: "step" },
    { head: "output" },
    { head: "size", side: "right" },
    { head: "cost", side: "right" },
    ...(mirrored ? [{ head: "from" }] as const : []),
  ] as const;
  const rows = artifacts.map(({ key, model, step, output, bytes: size, seconds, origin = "" }) => [
    key.slice(0, 8),
    model,
    step,
    output,
    formatBytes(size),
    formatSeconds(seconds),
    ...(mirrored ? [origin] : []),
  ]);
  for (const line of renderTable(columns, rows, { width: terminal.width })) terminal.line(line);
  terminal.line(`${artifacts.length} artifacts in ${cache.folder}`);
}

function measure(cache: ArtifactCache, { json }: Options, terminal: Terminal): void {
  const usage = { ...cache.usage(), verify: scratchBytes(cache.folder) };
  if (json) return terminal.line(JSON.stringify(usage));
  const columns = [
    { head: "stage" },
    { head: "output" },
    { head: "artifacts", side: "right" },
    { head: "size", side: "right" },
    { head: "cost", side: "right" },
  ] as const;
  const rows = usage.rows.map(({ stage, output, artifacts, bytes: size, seconds }) => [
    stage,
    output,
    String(artifacts),
    formatBytes(size),
    formatSeconds(seconds),
  ]);
  for (const line of renderTable(columns, rows, { width: terminal.width })) terminal.line(line);
  const text = `${formatBytes(usage.bytes)} of ${formatBytes(usage.limit)}, and ${
    formatBytes(usage.downloads)
  } of downloads${
    usage.verify > 0 ? `, and ${formatBytes(usage.verify)} of \`verify\`, which \`cache gc\` removes` : ""
  }`;
  for (const line of wrapText(text, terminal.width)) terminal.line(line);
  terminal.line(cache.folder);
}

function collect(cache: ArtifactCache, { json, dryRun = false }: Options, terminal: Terminal): void {
  const { evicted, bytes: freed, kept, pinned } = cache.collect({ dryRun });
  const verify = removeLeftovers(cache.folder, { dryRun });
  if (json) return terminal.line(JSON.stringify({ evicted, bytes: freed, kept, pinned, verify, dryRun }));
  const verb = dryRun ? "would be removed" : "removed";
  const say = (text: string) => wrapText(text, terminal.width, "  ").forEach((line) => terminal.line(line));
  for (const { step, output, bytes: size } of evicted) say(`${step} ${output}  ${formatBytes(size)}`);
  say(`${evicted.length} artifacts (${formatBytes(freed)}) ${verb}; ${formatBytes(kept)} stay`);
  if (verify.folders > 0) {
    const of = verify.folders === 1 ? "1 verification" : `${verify.folders} verifications`;
    say(`what ${of} left (${formatBytes(verify.bytes)}) ${verb}`);
  }
  if (pinned > 0) say(`${formatBytes(pinned)} of these are needed by runs in progress`);
}

/** @returns whether all is sound */
async function verify(cache: ArtifactCache, { json, fix = false }: Options, terminal: Terminal): Promise<boolean> {
  const tell = throttled((message) => terminal.note(message));
  const result = await cache.verify({
    fix,
    onProgress: (done, total) => tell(`${done} of ${total} artifacts checked`),
  });
  if (json) terminal.line(JSON.stringify(result));
  else {
    for (const { key, step, detail } of result.damaged) terminal.line(`${key.slice(0, 8)} ${step}: ${detail}`);
    const { checked, bytes: read, damaged } = result;
    const end = damaged.length === 0 ? "all sound" : `${damaged.length} damaged${fix ? " and removed" : ""}`;
    terminal.line(`${checked} artifacts (${formatBytes(read)}) checked: ${end}`);
    if (damaged.length > 0 && !fix) terminal.line("`cache verify --fix` removes them; a run makes them anew.");
  }
  return result.damaged.length === 0 || fix;
}
