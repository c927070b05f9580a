/** Where the files of a mirror come from, and how asking for them can fail. What they must be is `mirror.ts`'s business. */
import { clearMessage } from "../../files/clear_text.ts";

/** A file that is coming. */
export interface Incoming {
  /** The file's byte that comes first: the one asked for, or 0 where the server sends whole files only. */
  readonly from: number;
  readonly body: AsyncIterable<Uint8Array>;
}

/** A place that holds a mirror. */
export interface MirrorSource {
  /** For people and records: no user, no query, nothing secret. May become known only once something was opened. */
  readonly name: string;
  /**
   * Asks for a file.
   *
   * @param path relative to the mirror, as in `layout.ts`
   * @param options `from`: the first byte that is wanted
   * @throws {MirrorError} when it does not come
   * @throws the signal's reason when it is aborted
   */
  open(path: string, options: { readonly from: number; readonly signal?: AbortSignal }): Promise<Incoming>;
}

/** A mirror does not give what was asked of it. Never the end of a run: the step is made instead. */
export class MirrorError extends Error {
  override readonly name = "MirrorError";
  /** Whether asking again may help. */
  readonly again: boolean;
  /** Whether nothing of this mirror is to be believed any more. */
  readonly lie: boolean;
  /** Milliseconds that the server wants to be left alone. */
  readonly wait: number;

  /** @param why the rest of a sentence that has named the mirror */
  constructor(
    why: string,
    { again = false, lie = false, wait = 0, cause }: {
      readonly again?: boolean;
      readonly lie?: boolean;
      readonly wait?: number;
      readonly cause?: unknown;
    } = {},
  ) {
    super(clearMessage(why), { cause });
    this.again = again;
    this.lie = lie;
    this.wait = wait;
  }
}
