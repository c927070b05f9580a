/** What quantizes layers: the cores, each a device of its own, or one device for the whole machine. */
import { openDeviceLayers } from "../../layers/device_pool.ts";
import { openLayerPool, type WorkerLayerPool } from "../../layers/pool.ts";
import type { LayerPool } from "../../layers/pool_protocol.ts";
import type { SharedDevice } from "../../layers/shared_device.ts";
import type { Shelf } from "./shelf.ts";

/** Opens the pool; every call gives the same one. */
export interface LayersTool {
  (): LayerPool;
  /** Leaves workers on the shelf. */
  close(): Promise<void>;
}

/**
 * Makes the tool.
 *
 * @param device what to compute on; the cores without it
 * @param shelf where an earlier run may have left its workers
 */
export function openLayersTool(device: SharedDevice | undefined, shelf: Shelf<WorkerLayerPool>): LayersTool {
  let workers: WorkerLayerPool | undefined;
  const cores = () =>
    workers ??= shelf.take("cores") ?? openLayerPool({ memory: Deno.systemMemoryInfo().available / 2 });
  const open = device ? () => openDeviceLayers(device) : cores;
  return Object.assign(open, {
    async close() {
      if (workers) await shelf.leave("cores", workers, { whole: workers.reusable() });
    },
  });
}
