/** The devices that tests hold against each other, and one test for each of them. */
import assert from "node:assert/strict";
import { openCpuDevice } from "./cpu.ts";
import type { Device } from "./device.ts";
import { openWebGpuDevice } from "./webgpu.ts";
import { hasAdapter } from "./webgpu_test_support.ts";

/** A device to test. */
export interface TestedDevice {
  readonly name: string;
  readonly open: () => Promise<Device>;
}

/** In a process made for it, what the adapter's description must contain: drivers are read once per process. */
export const TESTED_ADAPTER = "PBS2P_TEST_ADAPTER";

/** Bytes of a binding of the device "webgpu, small windows". */
export const SMALL_WINDOW = 1 << 20;

const wanted = Deno.env.get(TESTED_ADAPTER);

/** Whether tests take all their sizes: not in a process made for one slow adapter. */
export const thorough = wanted === undefined;

/** Where there is no adapter, tests on WebGPU are skipped and `webgpu_test_support.ts` says so; in CI they fail. */
export const testedDevices: readonly TestedDevice[] = [
  ...thorough ? [{ name: "cpu", open: () => Promise.resolve(openCpuDevice()) }] : [],
  ...hasAdapter || Deno.env.get("CI") || !thorough
    ? [{ name: wanted === undefined ? "webgpu" : `webgpu, ${wanted}`, open: openWanted }]
    : [],
  ...thorough && (hasAdapter || Deno.env.get("CI"))
    ? [{ name: "webgpu, small windows", open: () => openWebGpuDevice({ maxBindingSize: SMALL_WINDOW }) }]
    : [],
];

/** Registers a test for each device, which it opens and destroys. */
export function deviceTest(
  title: string,
  body: (device: Device, t: Deno.TestContext) => void | Promise<void>,
): void {
  for (const { name, open } of testedDevices) {
    Deno.test(`${title} [${name}]`, async (t) => {
      const device = await open();
      try {
        await body(device, t);
      } finally {
        await device.destroy();
      }
    });
  }
}

async function openWanted(): Promise<Device> {
  const device = await openWebGpuDevice();
  if (wanted !== undefined) assert.ok(device.name.includes(wanted), `The adapter is ${device.name}, not ${wanted}`);
  return device;
}
