/**
 * What a WebGPU device reports besides results, with the kernels that it concerns: errors of a batch of commands, memory
 * that ran out, the loss of the device. WebGPU itself only logs them, or says nothing.
 */

/** Collects the failures of one device until a download asks for them. */
export class GpuFailures {
  readonly #device: GPUDevice;
  /** Kernels of the batch that is being encoded. */
  #batch = new Set<string>();
  /** Kernels of the batches sent since the last download. */
  readonly #sent = new Set<string>();
  /** Of the batches sent: settled when their errors are known. */
  #checks: Promise<void>[] = [];
  #failure: Error | undefined;
  #lost: Error | undefined;

  constructor(device: GPUDevice) {
    this.#device = device;
    // What no scope catches: other kinds of errors, and those of callbacks.
    device.addEventListener("uncapturederror", (event) => {
      if (!(event instanceof GPUUncapturedErrorEvent)) return;
      event.preventDefault();
      this.report(new Error(`The WebGPU device reports, after ${this.#running()}: ${event.error.message.trim()}`));
    });
    device.lost.then(({ reason, message }) => {
      this.#lost ??= new Error(
        `Cannot finish ${this.#running()} as the WebGPU device was lost (${reason}: ${
          message.trim() || "no reason given"
        }): run it again; if it is lost again, update the graphics driver or choose the device "cpu"`,
      );
    });
    this.#open();
  }

  /** Whether the device is gone: nothing can be computed on it any more. */
  get lost(): boolean {
    return this.#lost !== undefined;
  }

  /** Notes a kernel of the current batch. */
  ran(kernel: string): void {
    this.#batch.add(kernel);
  }

  /** Notes a failure; the first one counts. */
  report(error: Error): void {
    this.#failure ??= error;
  }

  /** Ends a batch right after its submission: its errors are its kernels'. */
  endBatch(): void {
    const kernels = this.#batch;
    this.#batch = new Set();
    for (const kernel of kernels) this.#sent.add(kernel);
    const errors = [this.#device.popErrorScope(), this.#device.popErrorScope()];
    this.#open();
    this.#checks.push(
      Promise.all(errors).then(([invalid, memory]) => {
        // Whatever else failed then failed for want of memory.
        if (memory) {
          this.report(
            new Error(
              `Cannot run ${list(kernels)} as the WebGPU device is out of memory: ${memory.message.trim()}; ` +
                'close other programs that use the GPU, or choose the device "cpu"',
            ),
          );
        } else if (invalid) {
          this.report(new Error(`Cannot run ${list(kernels)} on the WebGPU device: ${invalid.message.trim()}`));
        }
        // Scopes of a lost device are refused; the loss says more.
      }, () => {}),
    );
  }

  /**
   * Waits until all errors of what was sent are known, and forgets them.
   *
   * @param rejected why results could not be read back, if they could not
   * @throws {Error} the loss of the device, each time; else the first failure since the last call
   */
  async settle(rejected: unknown): Promise<void> {
    await Promise.all(this.#checks.splice(0));
    // The loss is told after what it made fail.
    if (rejected !== undefined && !this.#lost) await new Promise((resolve) => setTimeout(resolve, 0));
    const failure = this.#lost ?? this.#failure ?? (rejected === undefined ? undefined : new Error(
      `Cannot read back what the WebGPU device made of ${this.#running()}: ${
        rejected instanceof Error ? rejected.message : String(rejected)
      }`,
      { cause: rejected },
    ));
    this.#failure = undefined;
    this.#sent.clear();
    if (failure) throw failure;
  }

  /** The device is about to be destroyed by its owner: who still waits for it hears that. */
  close(): void {
    this.#lost ??= new Error(`Cannot finish ${this.#running()} as the WebGPU device was closed`);
  }

  #open(): void {
    this.#device.pushErrorScope("out-of-memory");
    this.#device.pushErrorScope("validation");
  }

  #running(): string {
    return list(new Set([...this.#sent, ...this.#batch]));
  }
}

/** Kernels for people. */
function list(kernels: ReadonlySet<string>): string {
  if (kernels.size === 0) return "what was uploaded or downloaded";
  return [...kernels].map((kernel) => `"${kernel}"`).join(", ");
}
