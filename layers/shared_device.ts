/** A device that is one for the whole machine, such as a GPU: opened on first use, and opened anew after a failure. */
import type { Device } from "../kernels/device.ts";

/** The device, for whoever computes on it. */
export interface SharedDevice {
  /** Computes on the device, which is closed where that fails: it may be lost, and what it holds is nobody's. */
  use<R>(compute: (device: Device) => Promise<R>): Promise<R>;
  /** Whether nobody computes on it. */
  reusable(): boolean;
  close(): void;
}

/**
 * Shares a device.
 *
 * @param open e.g. `openWebGpuDevice`
 */
export function shareDevice(open: () => Promise<Device>): SharedDevice {
  let opened: Promise<Device> | undefined, users = 0;
  const close = () => {
    opened?.then((device) => device.destroy(), () => {});
    opened = undefined;
  };
  return {
    async use(compute) {
      const device = opened ??= open();
      users++;
      try {
        return await compute(await device);
      } catch (error) {
        if (opened === device) close();
        throw error;
      } finally {
        users--;
      }
    },
    reusable: () => users === 0,
    close,
  };
}
