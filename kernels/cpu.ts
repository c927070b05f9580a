/**
 * The embedded device: operations on typed arrays. They run one after the other on the thread that owns the device;
 * several workers with a device each use several cores.
 */
import { CpuBuffer, owned } from "./cpu_buffer.ts";
import type { Device, DeviceBuffer, Downloaded, ElementArrays, ElementType, OpCount } from "./device.ts";
import { DeviceAccount } from "./device_account.ts";
import type { CpuHost, Op } from "./op.ts";
import { beginning, ended } from "../telemetry/spans.ts";

/**
 * Opens the CPU device.
 *
 * @param options.threads threads of one matrix product; results do not depend on it
 * @param options.stopped asked before each operation: once it says so, what is still to come is not done, and downloads reject
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openCpuDevice } from "./cpu.ts";
 * import { matrix } from "./device.ts";
 * import { gemm } from "./matrix/ops.ts";
 *
 * const device = openCpuDevice();
 * const a = matrix(device.upload("f32", Float32Array.of(1, 2, 3, 4)), 2, 2);
 * const out = matrix(device.alloc("f32", 4), 2, 2);
 * device.run(gemm, out, a, a, { transposeB: true });
 * const [product] = await device.download([out.buffer]);
 * assert.deepEqual([...product], [5, 11, 11, 25]);
 * await device.destroy();
 * ```
 */
export function openCpuDevice(
  { threads = 1, stopped = () => false }: { readonly threads?: number; readonly stopped?: () => boolean } = {},
): Device {
  return new CpuDevice(threads, stopped);
}

interface Job {
  readonly name: string;
  readonly section: string;
  readonly run: () => void | Promise<void>;
}

class CpuDevice implements Device {
  readonly kind = "cpu";
  readonly name: string;
  readonly choices = [];
  readonly #host: CpuHost;
  readonly #stopped: () => boolean;
  readonly #closings: (() => void | Promise<void>)[] = [];
  readonly #jobs: Job[] = [];
  #draining: Promise<void> | undefined;
  #failure: Error | undefined;
  #section = "";
  readonly #account = new DeviceAccount();

  constructor(threads: number, stopped: () => boolean) {
    this.#stopped = stopped;
    this.name = `CPU, ${threads} ${threads === 1 ? "thread" : "threads"}`;
    this.#host = { threads, atEnd: (close) => this.#closings.push(close) };
  }

  alloc<T extends ElementType>(type: T, length: number): DeviceBuffer<T> {
    return new CpuBuffer(type, length);
  }

  upload<T extends ElementType>(type: T, data: ElementArrays[T]): DeviceBuffer<T> {
    return new CpuBuffer(type, data.length, data);
  }

  release(buffer: DeviceBuffer): void {
    // Also after a failure: memory must not wait for it.
    this.#enqueue("release", () => owned(buffer).release());
  }

  async download<const B extends readonly DeviceBuffer[]>(
    buffers: B,
  ): Promise<{ -readonly [I in keyof B]: Downloaded<B[I]> }> {
    await this.#draining;
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure;
    return buffers.map((buffer) => {
      const { array } = owned(buffer);
      owned(buffer).release();
      return array;
    }) as { -readonly [I in keyof B]: Downloaded<B[I]> };
  }

  run<A extends readonly unknown[]>(op: Op<A>, ...args: A): void {
    op.check?.(...args);
    this.#account.count(op.name, { dispatches: 0, flops: op.flops?.(...args) ?? 0 });
    this.#enqueue(op.name, () => op.cpu(this.#host, ...args));
  }

  section(name: string): void {
    this.#section = name;
  }

  spent(): Readonly<Record<string, number>> {
    return this.#account.spent();
  }

  counters(): Readonly<Record<string, OpCount>> {
    return this.#account.counters();
  }

  async destroy(): Promise<void> {
    await this.#draining;
    for (const close of this.#closings.splice(0)) await close();
  }

  #enqueue(name: string, run: () => void | Promise<void>): void {
    this.#jobs.push({ name, section: this.#section, run });
    this.#draining ??= this.#drain();
  }

  async #drain(): Promise<void> {
    await Promise.resolve();
    const jobs = this.#jobs;
    for (let i = 0; i < jobs.length; i++) {
      const { name, section, run } = jobs[i];
      if (name !== "release") {
        if (this.#stopped()) this.#failure ??= new Error("The device was told to stop");
        if (this.#failure) continue;
      }
      const start = performance.now(), began = beginning();
      try {
        const pending = run();
        if (pending) await pending;
      } catch (cause) {
        const reason = cause instanceof Error ? cause.message : String(cause);
        this.#failure ??= new Error(`Device operation "${name}" failed: ${reason}`, { cause });
      }
      this.#account.spend(section, (performance.now() - start) / 1000);
      ended(`kernel ${name}`, began, () => ({ "pbs2p.device": this.name, "pbs2p.stage": section }));
    }
    jobs.length = 0;
    this.#draining = undefined;
  }
}
