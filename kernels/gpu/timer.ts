/** Where the GPU's time goes: a pair of timestamps for each compute pass, read back with a download. */

/** Timestamps of one query set. */
const QUERIES = 4096;

/** Sums ticks by section; what lies beyond the query set's size before a collection is not measured. */
export class GpuTimer {
  readonly #device: GPUDevice;
  readonly #queries: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  readonly #sections: string[] = [];
  #ticks: Record<string, number> = {};
  #resolvedSections = 0;

  /** @param device one with the feature "timestamp-query" */
  constructor(device: GPUDevice) {
    this.#device = device;
    this.#queries = device.createQuerySet({ label: "timer", type: "timestamp", count: QUERIES });
    this.#resolved = device.createBuffer({
      label: "timer",
      size: QUERIES * 8,
      usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
    });
  }

  /** What a pass of this section must write; undefined when no query is left. */
  begin(section: string): GPUComputePassTimestampWrites | undefined {
    const index = this.#sections.length * 2;
    if (index >= QUERIES) return undefined;
    this.#sections.push(section);
    return { querySet: this.#queries, beginningOfPassWriteIndex: index, endOfPassWriteIndex: index + 1 };
  }

  /** Encodes the end of a batch. */
  resolve(encoder: GPUCommandEncoder): void {
    const first = this.#resolvedSections, count = this.#sections.length - first;
    if (count === 0) return;
    // Offsets into the resolve buffer are multiples of 256 bytes, that is 16 passes.
    const from = Math.floor(first / 16) * 16;
    encoder.resolveQuerySet(this.#queries, from * 2, (first + count - from) * 2, this.#resolved, from * 16);
    this.#resolvedSections = first + count;
  }

  /** Reads the timestamps of all batches sent; resolves when they are counted. */
  async collect(): Promise<void> {
    const sections = this.#sections.splice(0, this.#resolvedSections);
    this.#resolvedSections = 0;
    if (sections.length === 0) return;
    const size = sections.length * 16;
    const copy = this.#device.createBuffer({
      label: "timer",
      size,
      usage: GPUBufferUsage.COPY_DST | GPUBufferUsage.MAP_READ,
    });
    try {
      const encoder = this.#device.createCommandEncoder();
      encoder.copyBufferToBuffer(this.#resolved, 0, copy, 0, size);
      this.#device.queue.submit([encoder.finish()]);
      await copy.mapAsync(GPUMapMode.READ);
      const stamps = new BigUint64Array(copy.getMappedRange());
      sections.forEach((section, i) => {
        const ticks = Math.max(0, Number(stamps[2 * i + 1] - stamps[2 * i]));
        this.#ticks[section] = (this.#ticks[section] ?? 0) + ticks;
      });
    } finally {
      copy.destroy();
    }
  }

  /** Ticks by section since the last call. */
  ticks(): Readonly<Record<string, number>> {
    const ticks = this.#ticks;
    this.#ticks = {};
    return ticks;
  }

  /** Frees its memory. */
  destroy(): void {
    this.#queries.destroy();
    this.#resolved.destroy();
  }
}
