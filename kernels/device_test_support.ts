/** The devices that tests hold against each other, and one test for each of them. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { openCpuDevice } from "./cpu.ts";
import type { Device } from "./device.ts";
import { openWebGpuDevice } from "./webgpu.ts";
import { hasAdapter } from "./gpu/webgpu_test_support.ts";

/** A device to test. */
export interface TestedDevice {
  readonly name: string;
  /** Most elements of one binding, where the device is opened with fewer than its adapter takes. */
  readonly window: number;
  readonly open: () => Promise<Device>;
}

/** In a process made for it, what the adapter's description must contain: drivers are read once per process. */
export const TESTED_ADAPTER = "PBS2P_TEST_ADAPTER";

/** Elements of a binding of the device "webgpu, small windows". */
const SMALL_WINDOW = 1 << 18;

const wanted = Deno.env.get(TESTED_ADAPTER);

/** Whether tests take all their sizes: not in a process made for one slow adapter. */
export const thorough = wanted === undefined;

/** Where there is no adapter, tests on WebGPU are skipped and `webgpu_test_support.ts` says so; in CI they fail. */
export const testedDevices: readonly TestedDevice[] = wanted !== undefined
  ? [{ name: `webgpu, ${wanted}`, window: Infinity, open: openWanted }]
  : [
    { name: "cpu", window: Infinity, open: () => Promise.resolve(openCpuDevice()) },
    ...hasAdapter || Deno.env.get("CI")
      ? [
        { name: "webgpu", window: Infinity, open: () => openWebGpuDevice() },
        {
          name: "webgpu, small windows",
          window: SMALL_WINDOW,
          open: () => openWebGpuDevice({ maxBindingSize: 4 * SMALL_WINDOW }),
        },
      ]
      : [],
  ];

/** The one device of a slow adapter's process: its compiler takes seconds for a shader, and a device keeps them. */
let shared: Promise<Device> | undefined;
if (!thorough) Deno.test.afterAll(async () => await (await shared)?.destroy());

/** Registers a test for each device, which it opens and destroys. */
export function deviceTest(
  title: string,
  body: (device: Device, t: Deno.TestContext, tested: TestedDevice) => void | Promise<void>,
): void {
  for (const tested of testedDevices) {
    Deno.test(`${title} [${tested.name}]`, async (t) => {
      const device = await (thorough ? tested.open() : shared ??= tested.open());
      try {
        await body(device, t, tested);
      } finally {
        if (thorough) await device.destroy();
      }
    });
  }
}

/**
 * Registers a test for each device, with a step for each size.
 *
 * @param sizes by the class that each stands for; those marked `slow` only where all sizes are taken
 */
export function deviceCases<S extends object>(
  title: string,
  sizes: Readonly<Record<string, S & { readonly slow?: boolean }>>,
  body: (device: Device, size: S & { readonly slow?: boolean }, tested: TestedDevice) => void | Promise<void>,
): void {
  deviceTest(title, async (device, t, tested) => {
    for (const [name, size] of Object.entries(sizes)) {
      if (size.slow && !thorough) continue;
      await t.step(name, async () => await body(device, size, tested));
    }
  });
}

/** The files here and in the rooms whose tests run on each device, and what is in them. */
export function deviceTestFiles(): readonly { readonly path: string; readonly text: string }[] {
  const folder = dirname(fileURLToPath(import.meta.url));
  return readdirSync(folder, { encoding: "utf8", recursive: true }).filter((name) => name.endsWith("_test.ts")).sort()
    .map((name) => ({ path: join(folder, name), text: readFileSync(join(folder, name), "utf8") }))
    .filter(({ text }) => /^device(Test|Cases)\(/m.test(text));
}

async function openWanted(): Promise<Device> {
  const device = await openWebGpuDevice();
  if (wanted !== undefined) assert.ok(device.name.includes(wanted), `The adapter is ${device.name}, not ${wanted}`);
  return device;
}
