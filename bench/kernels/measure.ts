/**
 * Times operations on devices, all in turns, so that what else the machine does meets all alike.
 *
 * A download costs some ten milliseconds in Deno whatever it waits for, so many repetitions are enqueued for each, and what an
 * empty one takes is subtracted.
 */
import { availableParallelism } from "node:os";
import type { Device } from "../../kernels/device.ts";
import { median } from "../compress/gemm_rate.ts";
import { type MatMul, openMatMul } from "../measure/matmul.ts";
import type { KernelCase, Work } from "./kernel_case.ts";

/** One operation at one size on one device. */
export interface Measured {
  readonly op: string;
  readonly size: string;
  readonly device: Device["kind"];
  readonly bound: Work["bound"];
  /** Median of one repetition; a layer's with its download. */
  readonly seconds: number;
  /** Least and most of them. */
  readonly range: readonly [number, number];
  /** Repetitions of each of the samples. */
  readonly repetitions: number;
  readonly samples: number;
  /** What the result takes at least; 0 where it is not counted. */
  readonly flops: number;
  readonly bytes: number;
  /** Floating-point operations that products and factors really made; 0 where none did. */
  readonly spent: number;
  /** Bytes of weights that are read over those of the packed file, where they are packed. */
  readonly readOverStored?: number;
  /** Weights of a layer. */
  readonly weights: number;
  readonly dispatches: number;
  /** Waits for the device within the operation. */
  readonly downloads: number;
  /** Median of onnxruntime's MatMul of the same size, in seconds: on all cores beside WebGPU, on one beside the CPU. */
  readonly matmul?: number;
}

/** How long and how often. */
export interface MeasureOptions {
  readonly samples: number;
  /** Seconds that the repetitions of one sample should take together. */
  readonly seconds: number;
  /** Called before each round of samples. */
  readonly onRound?: (round: number, rounds: number) => void;
}

/** Most repetitions of one sample. */
const MOST_REPETITIONS = 4000;

/** Seconds from which on a sample takes long, and how many are taken then. */
const LONG = [{ from: 1, samples: 2 }, { from: 0.2, samples: 3 }] as const;

/** An operation that is ready on a device. */
interface Ready {
  readonly kernel: KernelCase;
  readonly work: Work;
  readonly device: Counted;
  readonly run: () => void | Promise<void>;
  readonly repetitions: number;
  readonly counts: { readonly spent: number; readonly dispatches: number; readonly downloads: number };
  readonly matmul: MatMul | undefined;
  readonly seconds: number[];
  readonly matmulSeconds: number[];
}

/** A device whose downloads are counted. */
interface Counted {
  readonly device: Device;
  readonly downloads: () => number;
  /** Milliseconds of a download that has nothing to wait for. */
  idle: number;
}

/**
 * Measures every case on every device.
 *
 * @param devices what is put on them stays there until they are destroyed
 */
export async function measureKernels(
  cases: readonly KernelCase[],
  devices: readonly Device[],
  { samples, seconds, onRound }: MeasureOptions,
): Promise<Measured[]> {
  const ready: Ready[] = [];
  try {
    const counted = devices.map(countDownloads);
    for (const each of counted) each.idle = await idleTime(each.device);
    for (const kernel of cases) {
      for (const each of counted) {
        if (kernel.devices?.includes(each.device.kind) ?? true) ready.push(await prepare(kernel, each, seconds));
      }
    }
    for (let round = 1; round <= samples; round++) {
      onRound?.(round, samples);
      for (const each of ready.filter((each) => round <= mostSamples(each))) await sample(each);
    }
    return ready.map(toMeasured);
  } finally {
    for (const { matmul } of ready) await matmul?.close();
  }
}

/** Puts a case on a device and finds out how often it must be repeated. */
async function prepare(kernel: KernelCase, device: Counted, seconds: number): Promise<Ready> {
  const work = kernel.work(), run = kernel.open(device.device);
  // What put the operands there is not the operation's.
  device.device.counters();
  const before = device.downloads();
  await run();
  const downloads = device.downloads() - before;
  // What is no operation of its own, such as a layer, is the sum of those that it is made of.
  const { [kernel.op]: own, ...others } = device.device.counters(), counters = own ? [own] : Object.values(others);
  const sum = (of: (count: typeof counters[number]) => number) => counters.reduce((sum, count) => sum + of(count), 0);
  const counts = { spent: sum(({ flops }) => flops), dispatches: sum(({ dispatches }) => dispatches), downloads };
  await device.device.download([]);
  const product = work.bound === "compute" ? work.product : undefined;
  const matmul = product && await openMatMul({
    m: product[0],
    n: product[1],
    k: product[2],
    threads: device.device.kind === "cpu" ? 1 : availableParallelism(),
    spinning: false,
  });
  if (matmul) await timeMatMul(matmul, 2);
  const ready = { kernel, work, device, run, repetitions: 1, counts, matmul, seconds: [], matmulSeconds: [] };
  return { ...ready, repetitions: work.bound === "layer" ? 1 : await repetitionsFor(ready, seconds) };
}

/** Repetitions that take about so many seconds. */
async function repetitionsFor(ready: Ready, seconds: number): Promise<number> {
  for (let repetitions = 1;;) {
    const each = await time(ready, repetitions), all = each * repetitions;
    if (all >= seconds / 4 || repetitions >= MOST_REPETITIONS) {
      return Math.min(MOST_REPETITIONS, Math.max(1, Math.round(seconds / each)));
    }
    repetitions = Math.min(MOST_REPETITIONS, repetitions * 8);
  }
}

/** Fewer samples of what takes long. */
function mostSamples({ seconds: [first = 0] }: Ready): number {
  return LONG.find(({ from }) => first >= from)?.samples ?? Infinity;
}

/** Seconds of one of so many repetitions. */
async function time({ device, run, work }: Ready, repetitions: number): Promise<number> {
  const began = performance.now();
  for (let i = 0; i < repetitions; i++) {
    const pending = run();
    if (pending) await pending;
  }
  // A layer has waited for its own.
  if (work.bound === "layer") return (performance.now() - began) / repetitions / 1000;
  await device.device.download([]);
  const spent = performance.now() - began;
  // Noise may leave nothing beyond the idle time.
  return Math.max(spent - device.idle, spent / 1000) / repetitions / 1000;
}

/** Takes one sample of an operation, and one of the product that it is measured by. */
async function sample(ready: Ready): Promise<void> {
  const { device, matmul, repetitions, seconds, matmulSeconds } = ready;
  // In turns where a turn costs nothing: whoever comes first after a pause is favoured by a busy machine.
  const turns = matmul && device.device.kind === "cpu" ? repetitions : 1;
  let own = 0, other = 0;
  for (let turn = 0; turn < turns; turn++) {
    own += await time(ready, repetitions / turns) / turns;
    if (matmul) other += await timeMatMul(matmul, repetitions / turns) / turns;
  }
  seconds.push(own);
  if (matmul) matmulSeconds.push(other);
}

async function timeMatMul(matmul: MatMul, repetitions: number): Promise<number> {
  let spent = 0;
  for (let i = 0; i < repetitions; i++) spent += await matmul.time();
  return spent / repetitions / 1000;
}

async function idleTime(device: Device): Promise<number> {
  const spent: number[] = [];
  for (let i = 0; i < 7; i++) {
    const began = performance.now();
    await device.download([]);
    spent.push(performance.now() - began);
  }
  return median(spent);
}

/** The device itself, its downloads counted. */
function countDownloads(device: Device): Counted {
  let downloads = 0;
  const counted = new Proxy(device, {
    get(target, name) {
      if (name === "download") downloads++;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
  return { device: counted, downloads: () => downloads, idle: 0 };
}

function toMeasured({ kernel, work, device, repetitions, counts, seconds, matmulSeconds }: Ready): Measured {
  const { kind } = device.device;
  return {
    op: kernel.op,
    size: kernel.size,
    device: kind,
    bound: work.bound,
    seconds: median(seconds),
    range: [Math.min(...seconds), Math.max(...seconds)],
    repetitions,
    samples: seconds.length,
    flops: work.bound === "compute" ? work.flops : 0,
    bytes: work.bound === "memory" ? work.bytes(kind) : 0,
    ...work.bound === "memory" && work.readOverStored !== undefined && { readOverStored: work.readOverStored },
    weights: work.bound === "layer" ? work.weights : 0,
    ...counts,
    ...matmulSeconds.length > 0 && { matmul: median(matmulSeconds) },
  };
}
