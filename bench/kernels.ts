/**
 * `task bench kernels`: what each operation of the compression costs on each device, beside what bounds it: the device's best
 * product of matrices or its best copy, in the same run.
 */
import { Command, Option } from "commander";
import { InputError } from "../files/input_error.ts";
import { UsageError } from "../cli/exit_codes.ts";
import { cacheOption, collect, withOutputOptions } from "../cli/options.ts";
import { cacheFolder } from "../cli/places.ts";
import { wrapText } from "../report/text_table.ts";
import { openTerminal } from "../cli/terminal.ts";
import { openCpuDevice } from "../kernels/cpu.ts";
import type { Device } from "../kernels/device.ts";
import { openWebGpuDevice } from "../kernels/webgpu.ts";
import { nearest } from "../recipes/suggest.ts";
import { chooseDevice } from "../pipeline/device.ts";
import { tuningFile } from "../pipeline/tuning_file.ts";
import { blockCases } from "./kernels/block_cases.ts";
import { codingCases } from "./kernels/coding_cases.ts";
import { gridCases } from "./kernels/grid_cases.ts";
import { goalsOf, isBusy } from "./kernels/goals.ts";
import type { KernelCase } from "./kernels/kernel_case.ts";
import { layerCases } from "./kernels/layer_cases.ts";
import { measureKernels } from "./kernels/measure.ts";
import { memoryCases } from "./kernels/memory_cases.ts";
import { packedCases } from "./kernels/packed_cases.ts";
import { productCases } from "./kernels/product_cases.ts";
import { LEGEND, rate, renderDevice, renderGoals, toJson } from "./kernels/render.ts";

interface Options {
  readonly device: Device["kind"] | "all";
  readonly size: keyof typeof SIZES;
  readonly op: readonly string[];
  readonly cache?: string;
  readonly json?: boolean;
  readonly color?: boolean;
}

/** Samples of each row, and seconds that one should take. */
const SIZES = { quick: { samples: 5, seconds: 0.03 }, full: { samples: 9, seconds: 0.06 } } as const;

/** Exit code where a goal is missed. */
const MISSED = 5;

/** Columns of the tables. */
const WIDTH = 100;

/** The benchmark. @returns the exit code: 0 when all goals are met, else 5 */
export async function main(args: readonly string[]): Promise<number> {
  const command = withOutputOptions(new Command("kernels"))
    .description("measure the operations of the devices")
    .addOption(new Option("--device <device>", "which devices").choices(["cpu", "webgpu", "all"]).default("all"))
    .addOption(new Option("--size <size>", "how many sizes").choices(Object.keys(SIZES)).default("quick"))
    .addOption(cacheOption())
    .option("--op <name>", "one operation, and what bounds it; may be repeated", collect, [])
    .exitOverride();
  const options = command.parse([...args], { from: "user" }).opts<Options>();
  const terminal = openTerminal({ colour: options.color, json: options.json });
  const cases = chooseCases(options);
  const { devices, absent } = await openDevices(options);
  try {
    const rows = await measureKernels(cases, devices, {
      ...SIZES[options.size],
      onRound: (round, rounds) => terminal.note(`round ${round} of ${rounds}`),
    });
    const goals = goalsOf(rows);
    if (options.json) terminal.line(JSON.stringify(toJson({ size: options.size, devices, absent, rows, goals })));
    else {
      const lines = [
        ...devices.flatMap((device) => [...renderDevice(device, rate(rows, device.kind), WIDTH), ""]),
        ...absent === undefined ? [] : [...wrapText(absent, WIDTH, "  "), ""],
        ...LEGEND.flatMap((line) => wrapText(line, WIDTH, "  ")),
        ...isBusy(rows) ? ["", "the times differ widely: other programs are at work, measure again without them"] : [],
        ...goals.length === 0 ? [] : [""],
        ...renderGoals(goals).flatMap((line) => wrapText(line, WIDTH, "  ")),
      ];
      for (const line of lines) terminal.line(line);
    }
    return goals.every(({ met }) => met) ? 0 : MISSED;
  } finally {
    for (const device of devices) await device.destroy();
  }
}

/** The rows that are asked for. @throws {UsageError} when there is no such operation */
function chooseCases({ size, op: wanted }: Options): KernelCase[] {
  const all = [
    ...productCases(),
    ...memoryCases(),
    ...blockCases(),
    ...gridCases(),
    ...packedCases(),
    ...codingCases(),
    ...layerCases(),
  ];
  const names = [...new Set(all.map(({ op }) => op))];
  for (const name of wanted) {
    if (names.includes(name)) continue;
    const meant = nearest(name, names);
    throw new UsageError(
      `Cannot measure operation "${name}": ${meant === undefined ? "" : `did you mean ${meant}? `}there are ${
        names.join(", ")
      }`,
    );
  }
  const fits = ({ op, limits }: KernelCase) => wanted.length === 0 || wanted.includes(op) || limits === true;
  return all.filter((each) => fits(each) && (size === "full" || each.quick));
}

/** The devices that are there, and why one is not. @throws {InputError} when the only one that is asked for is not */
async function openDevices({ device: wanted, cache }: Options): Promise<{ devices: Device[]; absent?: string }> {
  const devices: Device[] = wanted === "webgpu" ? [] : [openCpuDevice()];
  if (wanted === "cpu") return { devices };
  try {
    await chooseDevice("webgpu");
  } catch (error) {
    if (!(error instanceof InputError) || wanted === "webgpu") throw error;
    return { devices, absent: error.message };
  }
  return { devices: [...devices, await openWebGpuDevice({ tuning: tuningFile(cacheFolder(cache)) })] };
}
