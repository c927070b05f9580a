/** What a kind of input is: how small real ones are made, what of them is spoilt, and how they are read. */

/** How the bytes of a file are understood where they are spoilt with sense. */
export type Syntax = "bytes" | "json" | "lines" | "yaml" | "safetensors" | "gguf" | "zip" | "manifest";

/** A file that is spoilt. */
export interface Target {
  /** Relative to the sample's folder, with forward slashes. */
  readonly path: string;
  readonly syntax: Syntax;
}

/** One sound input: a folder of files. */
export interface Sample {
  /** Its folder's name. */
  readonly name: string;
  readonly targets: readonly Target[];
}

/** Shows what was read, so that numbers that are not finite are found. */
export type Seen = (what: string, value: unknown) => void;

/** A kind of input. */
export interface Kind {
  readonly name: string;
  /**
   * Writes the samples, each into the folder of its name. They must be the same whenever they are made, as a case is
   * replayed on them.
   */
  make(folder: string): Promise<readonly Sample[]>;
  /**
   * Reads a sample through the doors that commands use, and uses all that it holds.
   *
   * @throws whatever the reader throws
   */
  read(folder: string, sample: string, seen: Seen): Promise<void>;
}
