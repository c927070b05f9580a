/** The format `sparse-entropy`: layers of `sparse` with entropy-coded planes. */
import { type EntropyHeader, entropyOf } from "./entropy.ts";
import type { LayerFormat } from "./format.ts";
import { sparse, type SparseHeader } from "./sparse.ts";

/** The format; see the file's head. */
export const sparseEntropy: LayerFormat<EntropyHeader<SparseHeader>> = entropyOf(sparse);
