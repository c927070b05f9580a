import * as fc from "fast-check";
import { openCpuDevice } from "../cpu.ts";
import { checkPlanes } from "./packed_test_support.ts";
import { layerShapes, randomLayer } from "../binary/quantized_layer_test_support.ts";

Deno.test("packOn() and decodeOn() do the same for any layer", async () => {
  const device = openCpuDevice();
  await fc.assert(
    fc.asyncProperty(layerShapes, fc.constantFrom("enumerative" as const, "bitmask" as const), fc.integer(), async (
      shape,
      mask,
      seed,
    ) => await checkPlanes(device, randomLayer(shape, seed), mask)),
    { numRuns: 200 },
  );
  await device.destroy();
});
