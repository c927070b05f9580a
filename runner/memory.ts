/** The most memory this process has held. */
import process from "node:process";

/** Watches resident memory until it is stopped. */
export interface MemoryWatch {
  /** Most bytes so far: on Linux exactly, unless the process held more before; then, and elsewhere, as sampled. */
  peak(): number;
  /** Most bytes sampled since the last call, or the beginning. */
  lap(): number;
  stop(): void;
}

/** Starts watching. @param interval milliseconds between samples */
export function watchMemory(interval = 200): MemoryWatch {
  let most = 0, lately = 0;
  const before = highest();
  const sample = () => {
    const { rss } = Deno.memoryUsage();
    most = Math.max(most, rss);
    lately = Math.max(lately, rss);
  };
  const timer = setInterval(sample, interval);
  Deno.unrefTimer(timer);
  return {
    peak() {
      sample();
      // What another run of this process once held is none of this one's.
      const now = highest();
      return now > before ? Math.max(most, now) : most;
    },
    lap() {
      sample();
      const seen = lately;
      lately = 0;
      return seen;
    },
    stop: () => clearInterval(timer),
  };
}

/** The most that this process ever held, where the system says so. */
function highest(): number {
  // Kibibytes on Linux; other systems count otherwise.
  return Deno.build.os === "linux" ? process.resourceUsage().maxRSS * 1024 : 0;
}
