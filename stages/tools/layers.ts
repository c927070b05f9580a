/** What quantizes layers: the cores, each a device of its own, or one device for the whole machine. */
import { openDeviceLayers } from "../../layers/device_pool.ts";
import { openLayerPool } from "../../layers/pool.ts";
import type { LayerPool } from "../../layers/pool_protocol.ts";
import type { SharedDevice } from "../../layers/shared_device.ts";

/** Opens the pool; every call gives the same one. */
export interface LayersTool {
  (): LayerPool;
  close(): void;
}

/** Makes the tool. @param device what to compute on; the cores without it */
export function openLayersTool(device: SharedDevice | undefined): LayersTool {
  let pool: LayerPool | undefined;
  const open = () =>
    pool ??= device ? openDeviceLayers(device) : openLayerPool({ memory: Deno.systemMemoryInfo().available / 2 });
  return Object.assign(open, { close: () => pool?.close() });
}
