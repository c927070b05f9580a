/** Ctrl-C in a benchmark: the run stops cleanly, and what is temporary is removed. */

/** Turns the first interruption into an abort; a second one ends the process. Call `stop` when done. */
export function listenForInterruption(): { readonly signal: AbortSignal; readonly stop: () => void } {
  const controller = new AbortController();
  const signals: readonly Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
  const interrupt = () => {
    if (controller.signal.aborted) Deno.exit(130);
    controller.abort();
  };
  for (const signal of signals) Deno.addSignalListener(signal, interrupt);
  return {
    signal: controller.signal,
    stop: () => signals.forEach((signal) => Deno.removeSignalListener(signal, interrupt)),
  };
}
