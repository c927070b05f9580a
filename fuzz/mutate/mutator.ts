/** What a mutator is. */
import type { Draw } from "../draw.ts";

/** A file's bytes after a change, and the change in words. */
export interface Mutated {
  readonly bytes: Uint8Array;
  readonly change: string;
}

/** What a mutator may use. */
export interface Material {
  readonly bytes: Uint8Array;
  readonly draw: Draw;
  /** Bytes of another sound file of the same kind. */
  readonly other: Uint8Array;
}

/** Spoils a file; undefined where it finds nothing to spoil. */
export type Mutator = (material: Material) => Mutated | undefined;

/** One array after the other. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (whole.set(part, at), at + part.length), 0);
  return whole;
}
