/** Layers on a device that is one for the whole machine, such as a GPU: one after another, in one stream of commands. */
import { type EncodedLayer, storedParts } from "../checkpoints/packed/layer.ts";
import type { Device } from "../kernels/device.ts";
import { decodeOn, type MaskCode, type PackableLayer, packOn, type Planes } from "../kernels/packing/ops.ts";
import { type LayerJob, type LayerResult, type MaskJob, type MaskResult, quantizeLayer, searchMasks } from "./layer.ts";
import type { BatchOptions, LayerPool } from "./pool.ts";

/**
 * A pool of one: the device is opened with the first batch and stays until `close`, or until a batch fails.
 *
 * @param open e.g. `openWebGpuDevice`
 */
export function openDeviceLayers(open: () => Promise<Device>): LayerPool {
  return new DeviceLayers(open);
}

class DeviceLayers implements LayerPool {
  readonly workers = 1;
  readonly #open: () => Promise<Device>;
  #device: Promise<Device> | undefined;

  constructor(open: () => Promise<Device>) {
    this.#open = open;
  }

  quantize(jobs: readonly LayerJob[], options: BatchOptions<LayerResult> = {}): Promise<LayerResult[]> {
    return this.#each(jobs, quantizeLayer, options);
  }

  searchMasks(jobs: readonly MaskJob[], options: BatchOptions<MaskResult> = {}): Promise<MaskResult[]> {
    return this.#each(jobs, searchMasks, options);
  }

  pack(layer: PackableLayer, mask: MaskCode): Promise<Planes> {
    return this.#use((device) => packOn(device, layer, mask));
  }

  decode(layer: EncodedLayer): Promise<Float32Array> {
    return this.#use((device) => {
      const { planes, scales } = storedParts(layer);
      return decodeOn(device, planes, { ...layer.header, scales });
    });
  }

  close(): void {
    this.#device?.then((device) => device.destroy(), () => {});
    this.#device = undefined;
  }

  async #use<R>(compute: (device: Device) => Promise<R>): Promise<R> {
    const device = this.#device ??= this.#open();
    try {
      return await compute(await device);
    } catch (error) {
      // It may be lost, and what it holds of a layer is nobody's: the next batch opens another one.
      if (this.#device === device) this.close();
      throw error;
    }
  }

  async #each<J extends MaskJob, R>(
    jobs: readonly J[],
    compute: (device: Device, job: J) => Promise<R>,
    { signal, onLayer }: BatchOptions<R>,
  ): Promise<R[]> {
    return await this.#use(async (device) => {
      const results: R[] = [];
      for (const [index, job] of jobs.entries()) {
        signal?.throwIfAborted();
        // The device takes the arrays over; a Hessian is copied as long as later layers need it too.
        const shared = job.upper && jobs.slice(index + 1).some(({ upper }) => upper === job.upper);
        const result = await compute(device, shared ? { ...job, upper: job.upper?.slice() } : job);
        results.push(result);
        onLayer?.(result);
      }
      return results;
    });
  }
}
