/** The operations of all rooms, found by their doors. */
import { existsSync, readdirSync } from "node:fs";

/** What of an operation tests tell apart. */
export interface FoundOp {
  readonly room: string;
  /** Under which its room exports it. */
  readonly exported: string;
  readonly name: string;
}

/** Every operation that an `ops.ts` of a folder here exports. */
export async function roomOps(): Promise<FoundOp[]> {
  const here = new URL(".", import.meta.url), found: FoundOp[] = [];
  for (const { name: room } of readdirSync(here, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
    const door = new URL(`${room}/ops.ts`, here);
    if (!existsSync(door)) continue;
    const exports: Readonly<Record<string, unknown>> = await import(door.href);
    for (const [exported, value] of Object.entries(exports)) {
      if (isOp(value)) found.push({ room, exported, name: value.name });
    }
  }
  return found;
}

function isOp(value: unknown): value is { readonly name: string } {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "cpu") === "function" &&
    typeof Reflect.get(value, "gpu") === "function";
}
