/** Ctrl-C and the system's other ways to ask for an end: the first asks what runs to stop cleanly, the second ends the process. */
import process from "node:process";

/** What is said or put right on the way. */
export interface InterruptionHooks {
  readonly onFirst?: () => void;
  /** Before the process ends. */
  readonly onEnd?: () => void;
}

/** A listener for Ctrl-C. */
export interface Interruption {
  readonly signal: AbortSignal;
  /** From here on the first Ctrl-C only aborts the signal; before, nothing runs that could be stopped, and it ends the process. */
  defer(): void;
  /** Listens no more. */
  stop(): void;
}

/** Milliseconds within which nobody presses Ctrl-C twice: `deno task` passes on what the terminal has told its command already. */
const ECHO = 300;

/** Listens for Ctrl-C; the process ends with code 130. */
export function listenForInterruption({ onFirst, onEnd }: InterruptionHooks = {}): Interruption {
  const controller = new AbortController();
  let deferred = false, first = -Infinity;
  const signals = Deno.build.os === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM", "SIGHUP"];
  const interrupt = (signal: string) => {
    // A terminal that closes says so more than once: the system does, and the shell.
    if (controller.signal.aborted && (signal === "SIGHUP" || performance.now() - first < ECHO)) return;
    if (!deferred || controller.signal.aborted) {
      onEnd?.();
      Deno.exit(130);
    }
    first = performance.now();
    onFirst?.();
    controller.abort();
  };
  // Not Deno.addSignalListener: the task list's cursor guard ends the process unless `process` has another listener.
  for (const signal of signals) process.on(signal, interrupt);
  return {
    signal: controller.signal,
    defer: () => void (deferred = true),
    stop: () => signals.forEach((signal) => process.removeListener(signal, interrupt)),
  };
}
