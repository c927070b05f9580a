/** The format `planes-entropy`: layers of `planes` with entropy-coded planes. */
import { type EntropyHeader, entropyOf } from "./entropy.ts";
import type { LayerFormat } from "./format.ts";
import { planes, type PlanesHeader } from "./planes.ts";

/** The format; see the file's head. */
export const planesEntropy: LayerFormat<EntropyHeader<PlanesHeader>> = entropyOf(planes);
