/** The most memory this process has held. */
import process from "node:process";

/** Watches resident memory until it is stopped. */
export interface MemoryWatch {
  /** Most bytes so far; on Linux since the process began, elsewhere as sampled. */
  peak(): number;
  stop(): void;
}

/** Starts watching. @param interval milliseconds between samples */
export function watchMemory(interval = 200): MemoryWatch {
  let most = 0;
  const sample = () => {
    most = Math.max(most, Deno.memoryUsage().rss);
  };
  const timer = setInterval(sample, interval);
  Deno.unrefTimer(timer);
  return {
    peak() {
      sample();
      // Kibibytes on Linux; other systems count otherwise.
      return Deno.build.os === "linux" ? Math.max(most, process.resourceUsage().maxRSS * 1024) : most;
    },
    stop: () => clearInterval(timer),
  };
}
