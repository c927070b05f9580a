/** What nominal and stored bits are, in words that hold for any format of packed layers. */
import { componentsOf, type Metrics } from "./metrics.ts";

/**
 * Explains both numbers by what the run's layers are stored as.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { sayBits } from "./bits_note.ts";
 *
 * const bits = { nominal: 3, stored: { codes: 3, scales: 0.125, order: 0, total: 3.125 } };
 * assert.match(sayBits({ bits }), /all that decoding needs: codes and scales\..* leaves out what else is stored/);
 * assert.match(sayBits({ bits: { ...bits, nominal: 4 } }), /coded in fewer bits than the nominal number/);
 * ```
 */
export function sayBits({ bits }: { readonly bits: Pick<Metrics["bits"], "nominal" | "stored"> }): string {
  // Components that a format can have but this run does not need are not worth a word.
  const parts = componentsOf({ bits }).filter(({ value }) => value > 0).map(({ name }) => name.replaceAll("_", " "));
  const needed = parts.length === 0 ? "" : `: ${list(parts)}`;
  return "Stored bits are counted on the bytes of the packed file, 8 × bytes ÷ weights, with all that decoding needs" +
    `${needed}. The nominal number is the one that papers print for such a setting: it counts what stands for the values of ` +
    `weights, and leaves out what else is stored.${
      bits.stored.total < bits.nominal ? " Here what is stored is coded in fewer bits than the nominal number." : ""
    }`;
}

function list(parts: readonly string[]): string {
  return parts.length < 2 ? parts.join("") : `${parts.slice(0, -1).join(", ")} and ${parts[parts.length - 1]}`;
}
