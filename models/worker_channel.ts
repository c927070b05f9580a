/** Calls to the worker of the forward pass, and their answers; a failing worker rejects all that wait. */
import type { CallName, Calls, Response } from "./forward_protocol.ts";

/** One worker. Calls are answered in order. */
export class Channel {
  readonly #worker: Worker;
  readonly #pending = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #count = 0;
  #ended: Error | undefined;
  #failed = false;

  constructor(worker: Worker) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data }: MessageEvent<Response>) => {
      const pending = this.#pending.get(data.call);
      this.#pending.delete(data.call);
      if ("error" in data) {
        this.#failed = true;
        pending?.reject(new Error(`Cannot run the model: ${data.error}`));
      } else pending?.resolve(data.result);
    });
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      this.#end(new Error(`Cannot run the model as its worker failed: ${event.message}`));
    });
    worker.addEventListener("messageerror", () => {
      this.#end(new Error("Cannot run the model as its worker sent a message that cannot be read"));
    });
  }

  /** Whether all that was asked is answered, and nothing of it failed. */
  get sound(): boolean {
    return !this.#failed && this.#ended === undefined && this.#pending.size === 0;
  }

  /**
   * @param transfer buffers to be moved rather than copied
   * @returns the answer
   * @throws {Error} what the worker threw; the worker failed, or was closed
   */
  call<Name extends CallName>(
    name: Name,
    params: Calls[Name]["params"],
    transfer: readonly ArrayBufferLike[] = [],
  ): Promise<Calls[Name]["result"]> {
    if (this.#ended) return Promise.reject(this.#ended);
    const call = this.#count++;
    return new Promise((resolve, reject) => {
      this.#pending.set(call, { resolve: (result) => resolve(result as Calls[Name]["result"]), reject });
      const buffers = transfer.filter((buffer) => buffer instanceof ArrayBuffer);
      this.#worker.postMessage({ call, name, params }, buffers);
    });
  }

  /** Lets the worker finish what it was asked before, then ends it. */
  async close(): Promise<void> {
    if (this.#ended) return;
    await this.call("close", {});
    this.#end(new Error("Cannot run the model as it was closed"));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#worker.terminate();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
