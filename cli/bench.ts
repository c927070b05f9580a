/** `bench`: the benchmarks in `bench/`, one file each with a `main`. */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { Command } from "commander";
import { nearest } from "../recipes/suggest.ts";
import { UsageError } from "./exit_codes.ts";
import type { CommandContext } from "./options.ts";
import { projectFolder } from "./places.ts";

/** What a benchmark's file exports: takes the arguments after its name, returns the exit code. */
export interface Benchmark {
  main(args: readonly string[]): Promise<number>;
}

/** The command. */
export function benchCommand(context: CommandContext): Command {
  return new Command("bench")
    .description(
      "measure: `reference` against the recorded rows, `compress` against the clock, `kernels` against their limits",
    )
    .argument("<name>", "the benchmark")
    .argument("[args...]", "its arguments")
    .allowUnknownOption()
    .passThroughOptions()
    .action(async (name: string, args: readonly string[]) => {
      const folder = join(projectFolder, "bench");
      const names = existsSync(folder)
        ? readdirSync(folder).filter((file) => /^[a-z_]+\.ts$/.test(file)).map((file) => file.slice(0, -3))
        : [];
      if (!names.includes(name)) {
        const meant = nearest(name, names);
        throw new UsageError(
          `Cannot run benchmark "${name}": ${meant === undefined ? "" : `did you mean ${meant}? `}there are ${
            names.join(", ") || "none"
          }`,
        );
      }
      const loaded: unknown = await import(pathToFileURL(join(folder, `${name}.ts`)).href);
      if (!isBenchmark(loaded)) throw new UsageError(`Cannot run bench/${name}.ts: it exports no main function`);
      context.exit(await loaded.main(args));
    });
}

function isBenchmark(loaded: unknown): loaded is Benchmark {
  return typeof (loaded as Partial<Benchmark>).main === "function";
}
