/** Which artifacts go when a cache has grown too large. */
import type { ArtifactInfo } from "./cache_index.ts";

/** What a collection removed, or would remove. */
export interface Collected {
  readonly evicted: readonly ArtifactInfo[];
  /** Bytes of those. */
  readonly bytes: number;
  /** Bytes that stay. */
  readonly kept: number;
  /** Bytes of these that runs in progress need. */
  readonly pinned: number;
}

/**
 * Chooses what goes until artifacts take at most `size` bytes: what costs the fewest seconds per byte to make again first,
 * then what was used longest ago; never what is pinned.
 *
 * @param options `pinned`: keys of what runs in progress need
 */
export function chooseEvicted(
  artifacts: readonly ArtifactInfo[],
  { size, pinned }: { readonly size: number; readonly pinned: ReadonlySet<string> },
): Collected {
  const price = ({ seconds, bytes }: ArtifactInfo) => seconds / Math.max(bytes, 1);
  const candidates = artifacts.filter(({ key }) => !pinned.has(key))
    .sort((a, b) => price(a) - price(b) || a.used - b.used || (a.key < b.key ? -1 : 1));
  const all = sumBytes(artifacts);
  let kept = all;
  const evicted: ArtifactInfo[] = [];
  for (const artifact of candidates) {
    if (kept <= size) break;
    kept -= artifact.bytes;
    evicted.push(artifact);
  }
  return { evicted, bytes: all - kept, kept, pinned: sumBytes(artifacts.filter(({ key }) => pinned.has(key))) };
}

function sumBytes(artifacts: readonly ArtifactInfo[]): number {
  return artifacts.reduce((sum, { bytes }) => sum + bytes, 0);
}
