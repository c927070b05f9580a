/** Watches its process's memory from a thread of its own, as the thread that reads may not come back. */
import { renderReply } from "./protocol.ts";

/** How often memory is looked at, in milliseconds. */
const EVERY = 25;

self.addEventListener("message", (event: Event) => {
  const { shared, most } = (event as MessageEvent<{ shared: SharedArrayBuffer; most: number }>).data;
  const start = new Float64Array(shared);
  setInterval(() => {
    const grown = Deno.memoryUsage().rss - start[0];
    // The parent ends this process.
    if (start[0] > 0 && grown > most) Deno.stdout.writeSync(renderReply({ type: "memory", bytes: grown }));
  }, EVERY);
}, { once: true });
