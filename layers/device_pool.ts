/** Layers on a device that is one for the whole machine, such as a GPU: one after another, in one stream of commands. */
import type { Device } from "../kernels/device.ts";
import type { LayerJob, LayerResult, MaskJob, MaskResult } from "./job.ts";
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
        const result = await compute(device, { ...job, ...copied(job, jobs.slice(index + 1)) });
        results.push(result);
        onLayer?.(result);
      }
      return results;
    });
  }
}

/** Copies of what a job shares with later ones. */
function copied({ upper, propagation }: MaskJob, later: readonly MaskJob[]): Pick<MaskJob, "upper" | "propagation"> {
  const sharesUpper = later.some((job) => job.upper === upper);
  const sharesCross = later.some((job) => job.propagation?.cross === propagation?.cross);
  return {
    ...(upper && sharesUpper ? { upper: upper.slice() } : {}),
    ...(propagation && sharesCross ? { propagation: { ...propagation, cross: propagation.cross.slice() } } : {}),
  };
}
