/** The file of a cache's index: opened, made where it is missing, and made anew where it is not what it should be. */
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { clearMessage } from "../../files/clear_text.ts";
import { asNoSpace } from "./no_space.ts";

/** The index cannot be used, and not be made anew either. */
export class IndexError extends Error {
  override readonly name = "IndexError";
  /** For exit codes. */
  readonly code = "CACHE";
  constructor(message: string, options?: ErrorOptions) {
    super(clearMessage(message), options);
  }
}

/** Tables of an index and what to do once they are made. */
export interface IndexLayout {
  /** Raised when the tables change; an index of another layout is made anew. */
  readonly version: number;
  /** Statements that make the tables. */
  readonly tables: string;
  /** Milliseconds to wait for another process. */
  readonly timeout: number;
}

/**
 * Opens an index. What is there is kept only if it is sound and has exactly these tables.
 *
 * @param fill called within the transaction that makes the tables
 * @throws {IndexError} when another process holds it, or something else is in its place that cannot be removed
 * @throws {NoSpaceError} when the disk is full
 */
export function openIndexFile(path: string, layout: IndexLayout, fill: (database: DatabaseSync) => void): DatabaseSync {
  try {
    return open(path, layout, fill);
  } catch (error) {
    if (!isSqlite(error) || isLocked(error) || asNoSpace(error, dirname(path), 0)) throw asIndexError(error, path);
  }
  for (const suffix of ["", "-wal", "-shm"]) clear(path + suffix);
  try {
    return open(path, layout, fill);
  } catch (error) {
    throw asIndexError(error, path);
  }
}

/** Makes one clear error of what SQLite throws; any other error stays as it is. */
export function asIndexError(error: unknown, path: string): unknown {
  if (!(error instanceof Error) || !isSqlite(error)) return error;
  const full = asNoSpace(error, dirname(path), 0);
  if (full !== undefined) return full;
  if (!isLocked(error)) return damagedIndex(path, error.message, error);
  return new IndexError(
    `Cannot use the cache's index ${path}: another process keeps it locked; end that one, or choose another with --cache`,
    { cause: error },
  );
}

/** The error of an index that is damaged where only its use shows it. */
export function damagedIndex(path: string, why: string, cause: unknown): IndexError {
  return new IndexError(
    `Cannot use the cache's index ${path}: it is damaged (${why}); remove it: the next command makes it anew`,
    { cause },
  );
}

function open(path: string, { version, tables, timeout }: IndexLayout, fill: (database: DatabaseSync) => void) {
  const database = new DatabaseSync(path, { timeout });
  try {
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
    database.exec("BEGIN IMMEDIATE");
    if (!isSound(database, { version, tables })) {
      drop(database);
      database.exec(tables);
      database.exec(`PRAGMA user_version = ${version}`);
      fill(database);
    }
    database.exec("COMMIT");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function isSound(database: DatabaseSync, { version, tables }: Pick<IndexLayout, "version" | "tables">): boolean {
  if (database.prepare("PRAGMA user_version").get()?.user_version !== version) return false;
  const wanted = tables.split(";").map((statement) => statement.trim()).filter((statement) => statement !== "");
  const found = database.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").all().map(({ sql }) => sql);
  if (JSON.stringify(found.sort()) !== JSON.stringify(wanted.sort())) return false;
  return database.prepare("PRAGMA quick_check(1)").get()?.quick_check === "ok";
}

function drop(database: DatabaseSync): void {
  const names = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
  for (const { name } of names.all()) database.exec(`DROP TABLE "${String(name).replaceAll('"', '""')}"`);
}

/** Removes a file, a link or an empty folder. */
function clear(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    if (!(error instanceof Error && "code" in error && error.code === "ENOTEMPTY")) throw error;
    throw new IndexError(`Cannot use the cache's index ${path}: it is a folder, and not empty; move it away`, {
      cause: error,
    });
  }
}

function isSqlite(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  const { code } = error as { code?: unknown };
  // The second one is of a number that no number of JavaScript can hold.
  return code === "ERR_SQLITE_ERROR" || code === "ERR_OUT_OF_RANGE";
}

/** SQLite's own words; its numbers are not handed on when a file is opened. */
function isLocked({ message }: Error): boolean {
  return /database (table )?is locked|locking protocol/.test(message);
}
