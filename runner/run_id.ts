/** Names of runs and their folders. */

/** A run's id: time in UTC so that ids sort, a little chance, and the recipe's name. */
export function makeRunId(now: Date, name: string): string {
  const time = now.toISOString().replace(/[-:.Z]/g, "").replace("T", "-");
  const chance = [...crypto.getRandomValues(new Uint8Array(3))].map((byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
  const safe = name.replace(/[^A-Za-z0-9.-]+/g, "-").replace(/^[.-]+|[.-]+$/g, "").slice(0, 48) || "run";
  return `${time}-${chance}-${safe}`;
}
