/** Layers on a device that is one for the whole machine, such as a GPU: one after another, in one stream of commands. */
import type { Device } from "../kernels/device.ts";
import { type LayerJob, type LayerResult, type MaskJob, type MaskResult, momentsOf, withMoments } from "./job.ts";
import { quantizeLayer, searchMasks } from "./layer.ts";
import type { BatchOptions, LayerPool } from "./pool_protocol.ts";
import type { SharedDevice } from "./shared_device.ts";

/** A pool of one. Whoever shares the device closes it. */
export function openDeviceLayers(device: SharedDevice): LayerPool {
  return new DeviceLayers(device);
}

class DeviceLayers implements LayerPool {
  readonly workers = 1;
  readonly #device: SharedDevice;

  constructor(device: SharedDevice) {
    this.#device = device;
  }

  quantize(jobs: readonly LayerJob[], options: BatchOptions<LayerResult> = {}): Promise<LayerResult[]> {
    return this.#each(jobs, quantizeLayer, options);
  }

  searchMasks(jobs: readonly MaskJob[], options: BatchOptions<MaskResult> = {}): Promise<MaskResult[]> {
    return this.#each(jobs, searchMasks, options);
  }

  close(): void {}

  async #each<J extends MaskJob, R>(
    jobs: readonly J[],
    compute: (device: Device, job: J) => Promise<R>,
    { signal, onLayer }: BatchOptions<R>,
  ): Promise<R[]> {
    return await this.#device.use(async (device) => {
      const results: R[] = [];
      for (const [index, job] of jobs.entries()) {
        signal?.throwIfAborted();
        // The device takes the arrays over; moments are copied as long as later layers need them too.
        const needed = new Set(jobs.slice(index + 1).flatMap(momentsOf));
        const result = await compute(
          device,
          withMoments(job, (moments) => needed.has(moments) ? moments.slice() : moments),
        );
        results.push(result);
        onLayer?.(result);
      }
      return results;
    });
  }
}
