/** `serve`: runs, sweeps and the cache in the browser, as they are and as they come. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { debugging, UsageError } from "./exit_codes.ts";
import { giveUpRunning, launcher } from "./launch.ts";
import { listenForInterruption } from "./interruption.ts";
import { cacheOption, type CommandContext, parseWhole, runsOption, withOutputOptions } from "./options.ts";
import { cacheFolder, projectFolder, runsFolder } from "./places.ts";
import type { Terminal } from "./terminal.ts";

interface Options {
  readonly port: number;
  readonly host: string;
  readonly token?: string;
  readonly runs?: string;
  readonly cache?: string;
  readonly allowRun?: boolean;
  readonly jobs: number;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** What a browser may call this machine. */
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];
const PORT = 8433;
/** Characters of a token that nobody guesses. */
const LEAST = 16;

/** The command. */
export function serveCommand(context: CommandContext): Command {
  return withOutputOptions(new Command("serve"))
    .description("show runs, sweeps and the cache in the browser, live; it changes nothing, unless it may start runs")
    .addOption(new Option("--port <port>", "where to listen; 0: any that is free").argParser(parsePort).default(PORT))
    .addOption(
      new Option(
        "--host <address>",
        "on which address; any but this machine's own asks for a token, and needs PBS2P_NET=,ADDRESS",
      ).default("127.0.0.1"),
    )
    .addOption(
      new Option("--token <token>", `what to ask for, ${LEAST} characters or more (default: made up where needed)`),
    )
    .addOption(runsOption()).addOption(cacheOption())
    .option("--allow-run", "let pages start, stop and go on with runs and sweeps; asks for a token in any case")
    .addOption(
      new Option("--jobs <number>", "with --allow-run: how many go on at once, the others wait").argParser(
        parseWhole(1),
      )
        .default(1),
    )
    .action((options: Options) => serve(options, context.terminal(options)));
}

async function serve(options: Options, terminal: Terminal): Promise<void> {
  const { host, port, json } = options;
  const local = isLoopback(host);
  const token = tokenFor(options.token, local && !options.allowRun);
  if (!options.allowRun) giveUpRunning();
  const interruption = listenForInterruption();
  // Other commands need not wait for it.
  const { buildApp } = await import("../server/app.ts");
  const { Jobs } = await import("../server/jobs.ts");
  const jobs = options.allowRun ? new Jobs({ launch: launcher(), limit: options.jobs }) : undefined;
  const app = buildApp({
    ...{ runs: runsFolder(options.runs), cache: cacheFolder(options.cache), version: versionOf() },
    ...(token === undefined ? {} : { token }),
    ...(jobs === undefined ? {} : { jobs }),
    // Behind a token, names do not matter, as no other page has it; but for those who may start something.
    ...(local && (token === undefined || jobs !== undefined) ? { hosts: [...LOOPBACK, host.toLowerCase()] } : {}),
    onError: (error) => terminal.note(debugging() ? Deno.inspect(error, { colors: false }) : `error: ${error.message}`),
  });
  try {
    const server = Deno.serve({
      ...{ hostname: host.replace(/^\[|\]$/g, ""), port, signal: interruption.signal },
      onListen: ({ port }) => {
        const name = host.includes(":") && !host.startsWith("[") ? `[${host}]` : host === "0.0.0.0" ? hostName() : host;
        const url = `http://${name}:${port}/${token === undefined ? "" : `?token=${encodeURIComponent(token)}`}`;
        terminal.line(json ? JSON.stringify({ url }) : url);
        if (!json) {
          terminal.note(
            jobs === undefined
              ? "Ctrl-C ends it; runs go on."
              : "Ctrl-C ends it, and stops cleanly what was started here.",
          );
        }
        interruption.defer();
      },
    }, app.fetch);
    await server.finished;
    if (jobs?.busy) terminal.note("Stopping what was started here; Ctrl-C again does not wait for it.");
    await jobs?.close();
  } catch (error) {
    throw asUsageError(error, host, port) ?? error;
  } finally {
    interruption.stop();
  }
}

/** @throws {UsageError} when the token is too short */
function tokenFor(given: string | undefined, local: boolean): string | undefined {
  if (given === undefined) return local ? undefined : crypto.randomUUID().replaceAll("-", "");
  if (given.length >= LEAST && /^[\x21-\x7e]+$/.test(given)) return given;
  throw new UsageError(
    `Cannot use this --token: it must have ${LEAST} characters or more, none of them a space; without it one is made up`,
  );
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** How others call this machine, where that may be asked. */
function hostName(): string {
  try {
    return Deno.hostname();
  } catch {
    return "0.0.0.0";
  }
}

function asUsageError(error: unknown, host: string, port: number): UsageError | undefined {
  const remedy = error instanceof Deno.errors.AddrInUse
    ? "another program listens there: choose another port with --port, or 0 for any that is free"
    : error instanceof Deno.errors.AddrNotAvailable
    ? "this machine has no such address: choose another one with --host"
    : error instanceof Deno.errors.PermissionDenied
    ? "the system does not allow it: choose a port from 1024 on with --port"
    : error instanceof Deno.errors.NotCapable
    ? `the task may listen on this machine's own addresses only: allow this one by PBS2P_NET=,${host} (with the comma)`
    : undefined;
  return remedy === undefined
    ? undefined
    : new UsageError(`Cannot listen on ${host}, port ${port}: ${remedy}`, { cause: error });
}

function versionOf(): string {
  const { version }: { version?: unknown } = JSON.parse(readFileSync(join(projectFolder, "deno.json"), "utf8"));
  return `${version ?? ""}`;
}

function parsePort(text: string): number {
  const port = Number(text);
  if (text.trim() !== "" && Number.isInteger(port) && port >= 0 && port <= 65535) return port;
  throw new InvalidArgumentError("It must be a whole number from 0 to 65535.");
}
