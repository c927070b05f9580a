/**
 * Refined groups on every device, against float64 references from the definitions. Rounds that meet a tie in the last bits of a float64
 * may part from there on, so rows and groups are compared by what their levels come to; such rows are few.
 */
import assert from "node:assert/strict";
import { GROUP_SHIFT, KEPT } from "../binary/ops.ts";
import { allClose, allEqual, FLOAT } from "../conformance_test_support.ts";
import { type Device, type ElementArrays, type ElementType, matrix } from "../device.ts";
import { deviceCases } from "../device_test_support.ts";
import { meansPerRow, productsPerRow } from "./layout.ts";
import { decodeRefined, refineMeans, refineProducts, takeGroups } from "./ops.ts";
import { plainLevels, plainMeans, plainProducts, type RefinedCase, refinedCase } from "./refinement_test_support.ts";

const BLOCKS = {
  "1×1": { rows: 1, cols: 1, doubled: 0, single: 1 },
  "1×1, two signs": { rows: 1, cols: 1, doubled: 1, single: 0 },
  "primes, 13×53": { rows: 13, cols: 53, doubled: 1, single: 2 },
  "workgroup + 1, 65×129": { rows: 65, cols: 129, doubled: 2, single: 2 },
  "short last block, 29×44": { rows: 29, cols: 44, doubled: 2, single: 2 },
  "576 wide": { rows: 5, cols: 576, doubled: 2, single: 2 },
  "larger than a window, 70×4096": { rows: 70, cols: 4096, doubled: 2, single: 2, slow: true },
} satisfies Record<string, RefinedCase & { readonly slow?: boolean }>;

const ITERATIONS = 15;

/** A matrix on the device that starts three elements into its buffer. */
function upload<T extends ElementType>(device: Device, type: T, data: ElementArrays[T], rows: number) {
  const arrays: { readonly [K in ElementType]: () => ElementArrays[K] } = {
    f32: () => Float32Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? NaN : data[i - 3]),
    u8: () => Uint8Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? 9 : data[i - 3]),
    u32: () => Uint32Array.from({ length: data.length + 3 }, (_, i) => i < 3 ? 9 : data[i - 3]),
  };
  return { ...matrix(device.upload(type, arrays[type]()), rows, data.length / rows), offset: 3 };
}

deviceCases("refineMeans() finds the signs and scales of the definitions", BLOCKS, async (device, size) => {
  const { rows, cols, doubled, single } = size, each = meansPerRow(size), { w, codes } = refinedCase(size);
  for (const iterations of [0, 1, ITERATIONS]) {
    const out = upload(device, "u8", codes, rows), scales = upload(device, "f32", new Float32Array(rows * each), rows);
    device.run(refineMeans, out, scales, { doubled, single, w: upload(device, "f32", w, rows), iterations });
    const [found, values] = await device.download([out.buffer, scales.buffer]);
    const wanted = plainMeans(w, codes, { ...size, iterations });
    allEqual(found.subarray(3), wanted.codes, `codes after ${iterations}`);
    allClose(values.subarray(3), wanted.scales, 2 * FLOAT, `scales after ${iterations}`);
  }
  assert.ok(rows * cols > 0);
});

deviceCases("refineProducts() finds the signs and scales of the definitions", BLOCKS, async (device, size) => {
  const { rows, cols, doubled, single } = size, each = productsPerRow(size), { w, codes } = refinedCase(size);
  for (const iterations of [0, 1, ITERATIONS]) {
    const out = upload(device, "u8", codes, rows), scales = upload(device, "f32", new Float32Array(rows * each), rows);
    const columns = upload(device, "f32", new Float32Array(cols * each), cols);
    device.run(refineProducts, out, scales, columns, {
      doubled,
      single,
      w: upload(device, "f32", w, rows),
      iterations,
    });
    const [found, values, ofColumns] = await device.download([out.buffer, scales.buffer, columns.buffer]);
    const wanted = plainProducts(w, codes, { ...size, iterations });
    allEqual(found.subarray(3), wanted.codes, `codes after ${iterations}`);
    allClose(values.subarray(3), wanted.scales, 2 * FLOAT, `row scales after ${iterations}`);
    allClose(ofColumns.subarray(3), wanted.columnScales, 2 * FLOAT, `column scales after ${iterations}`);
  }
});

deviceCases("decodeRefined() gives what codes and scales stand for", BLOCKS, async (device, size) => {
  const { rows, cols, doubled, single } = size, { w, codes } = refinedCase(size);
  const means = plainMeans(w, codes, { ...size, iterations: 2 }),
    products = plainProducts(w, codes, { ...size, iterations: 2 });
  for (const { codes, scales, columnScales } of [{ ...means, columnScales: undefined }, products]) {
    const [own, columns] = [Float32Array.from(scales), columnScales && Float32Array.from(columnScales)];
    const out = upload(device, "f32", new Float32Array(rows * cols), rows);
    device.run(decodeRefined, out, {
      ...{ doubled, single },
      codes: upload(device, "u8", codes, rows),
      scales: upload(device, "f32", own, rows),
      columnScales: columns && upload(device, "f32", columns, cols),
    });
    const [found] = await device.download([out.buffer]);
    allClose(found.subarray(3), plainLevels(codes, own, size, columns), 2 * FLOAT, "values");
  }
});

deviceCases("takeGroups() renumbers some groups and empties the others", BLOCKS, async (device, size) => {
  const { rows, cols } = size, codes = refinedCase(size).codes.map((code, at) => code | KEPT | (at % 4) << 1);
  const out = upload(device, "u8", new Uint8Array(rows * cols), rows);
  device.run(takeGroups, out, { codes: upload(device, "u8", codes, rows), first: 1, count: 2 });
  const [found] = await device.download([out.buffer]);
  const wanted = codes.map((code) => [1, 2].includes(code >> GROUP_SHIFT) ? code - (1 << GROUP_SHIFT) : 0);
  allEqual(found.subarray(3), wanted, "codes");
});
