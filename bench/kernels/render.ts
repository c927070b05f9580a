/** What was measured, as tables and as JSON. */
import type { Device } from "../../kernels/device.ts";
import { renderTable } from "../../report/text_table.ts";
import { bestCopy, bestGemm, gflops, type Goal, isBusy, percent } from "./goals.ts";
import type { Measured } from "./measure.ts";

/** A device as it is printed. */
export type NamedDevice = Pick<Device, "kind" | "name" | "choices">;

/** A row with its rate. */
export interface Rated extends Measured {
  readonly rate: number;
  readonly unit: "GFLOP/s" | "GB/s" | "Mweight/s";
  /** Of the device's best gemm or copy; undefined for a layer. */
  readonly ofLimit?: number;
  /** Of the rate of onnxruntime's MatMul of the same size. */
  readonly ofMatMul?: number;
  /** Operations that were made over the least. */
  readonly spentOverLeast?: number;
}

/** Adds rates and their limits, which are those of all rows of a device. */
export function rate(rows: readonly Measured[], device: Device["kind"]): Rated[] {
  const own = rows.filter((row) => row.device === device), limits = { gemm: bestGemm(own), copy: bestCopy(own) };
  return own.map((row): Rated => {
    const { bound, bytes, weights, seconds, matmul, spent, flops } = row;
    if (bound === "layer") return { ...row, rate: weights / seconds / 1e6, unit: "Mweight/s" };
    if (bound === "memory") {
      const rate = bytes / seconds / 1e9;
      return { ...row, rate, unit: "GB/s", ofLimit: rate / limits.copy };
    }
    const rate = gflops(row);
    return {
      ...row,
      rate,
      unit: "GFLOP/s",
      ofLimit: rate / limits.gemm,
      ...matmul !== undefined && { ofMatMul: matmul / seconds },
      ...spent > 0 && { spentOverLeast: spent / flops },
    };
  });
}

/** Everything for programs. */
export function toJson(
  { size, devices, absent, rows, goals }: {
    readonly size: string;
    readonly devices: readonly NamedDevice[];
    readonly absent?: string;
    readonly rows: readonly Measured[];
    readonly goals: readonly Goal[];
  },
) {
  const tables = devices.map(({ kind, name, choices }) => ({ kind, name, choices, rows: rate(rows, kind) }));
  return { size, devices: tables, ...absent !== undefined && { absent }, busy: isBusy(rows), goals };
}

/** Lines of one device's table. */
export function renderDevice({ name, choices }: NamedDevice, rows: readonly Rated[], width: number): string[] {
  const right = (head: string) => ({ head, side: "right" } as const);
  const chosen = choices.map(({ op, variant, gflops }) =>
    `${op}: ${variant}${gflops === undefined ? "" : `, chosen at ${digits(gflops)} GFLOP/s`}`
  );
  const number = (value: number | undefined, show: (value: number) => string) => value === undefined ? "" : show(value);
  return [
    name,
    ...chosen,
    "",
    ...renderTable(
      [
        { head: "operation" },
        { head: "size" },
        right("time"),
        right("rate"),
        { head: "" },
        right("limit"),
        right("ORT"),
        right("spent"),
        right("disp"),
        right("down"),
      ],
      rows.map((row) => [
        row.op,
        row.size,
        time(row.seconds),
        digits(row.rate),
        row.unit,
        number(row.ofLimit, percent),
        number(row.ofMatMul, percent),
        number(row.spentOverLeast ?? row.readOverStored, (spent) => spent.toFixed(2)),
        row.dispatches > 0 ? `${row.dispatches}` : "",
        row.downloads > 0 ? `${row.downloads}` : "",
      ]),
      { width },
    ),
  ];
}

/** What the columns mean. */
export const LEGEND: readonly string[] = [
  "rate: GFLOP/s by the least operations of the result (gemm 2mnk, syrk n(n+1)k, factors and inverses n³/3, sweeps and solves by " +
  "pairs of weights); GB/s by bytes that must be read or written once, a u8 being 1 byte on the CPU and 4 on WebGPU",
  "limit: of the device's best gemm, or of its best copy in this run",
  "ORT: of onnxruntime's MatMul of the same size in this run, on all cores beside WebGPU, on one beside the CPU",
  "spent: operations made over the least, and of packed weights bytes read over bytes stored; disp, down: shaders started and waits for the device",
];

/** Lines that say which goals are met. */
export function renderGoals(goals: readonly Goal[]): string[] {
  return goals.map(({ name, found, wanted, met }) => `${name}: ${found}; ${wanted}: ${met ? "met" : "not met"}`);
}

/** Seconds in three digits. */
function time(seconds: number): string {
  for (const [factor, unit] of [[1, "s"], [1e3, "ms"]] as const) {
    if (seconds * factor >= 1) return `${digits(seconds * factor)} ${unit}`;
  }
  return `${digits(seconds * 1e6)} µs`;
}

/** A number in two or three digits. */
function digits(value: number): string {
  return value < 0.995 ? value.toPrecision(2) : value.toFixed(value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}
