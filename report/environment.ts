/** The machine and the versions a result was made with. */
import { readFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { formatBytes } from "./numbers.ts";

/**
 * Reads what a reader of the result wants to know of the machine: runtime, system, processor, memory and pinned packages.
 *
 * @returns by name, in the order in which to show it
 */
export async function readEnvironment(): Promise<Readonly<Record<string, string>>> {
  const config: unknown = JSON.parse(await readFile(new URL("../deno.json", import.meta.url), "utf8"));
  const processors = cpus();
  return {
    pbs2p: `${field(config, "version") ?? ""}`,
    Deno: `${Deno.version.deno} (V8 ${Deno.version.v8}, TypeScript ${Deno.version.typescript})`,
    System: `${Deno.build.os} ${Deno.build.arch}, ${Deno.osRelease()}`,
    Processor: `${processors[0]?.model.trim() ?? "unknown"}, ${processors.length} cores`,
    Memory: formatBytes(totalmem()),
    Packages: Object.values(field(config, "imports") ?? {}).map(String).filter((pinned) => pinned.startsWith("npm:"))
      .map((pinned) => pinned.slice("npm:".length)).join(", "),
  };
}

function field(of: unknown, name: string): unknown {
  return typeof of === "object" && of !== null ? Reflect.get(of, name) : undefined;
}
