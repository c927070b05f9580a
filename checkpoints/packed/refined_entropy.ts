/** The format `refined-entropy`: layers of `refined` with entropy-coded planes. */
import { type EntropyHeader, entropyOf } from "./entropy.ts";
import type { LayerFormat } from "./format.ts";
import { refined, type RefinedHeader } from "./refined.ts";

/** The format; see the file's head. */
export const refinedEntropy: LayerFormat<EntropyHeader<RefinedHeader>> = entropyOf(refined);
