/**
 * The cache's memo in SQLite: sizes, costs, last uses, who needs what, what steps were made of. The artifacts' manifests
 * are the truth; deleting this file loses nothing but file hashes and the order of last uses.
 */
import type { DatabaseSync, SQLOutputValue, StatementSync } from "node:sqlite";
import type { FileHashes } from "../../files/file_hashes.ts";
import { type KeyComponents, sha256 } from "../keys.ts";
import { asIndexError, damagedIndex, openIndexFile } from "./index_file.ts";
import { filesBytes, type Manifest } from "./manifest.ts";

/** What the index knows of one artifact. */
export interface ArtifactInfo {
  readonly key: string;
  readonly stepKey: string;
  readonly step: string;
  readonly stage: string;
  readonly output: string;
  readonly model: string;
  readonly retain: "keep" | "transient";
  readonly bytes: number;
  /** Seconds to make it again, its inputs given. */
  readonly seconds: number;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly used: number;
  /** The mirror that it was fetched from. */
  readonly origin?: string;
}

/** A step as it was once made. */
export interface StepRecord {
  readonly stepKey: string;
  readonly step: string;
  readonly components: KeyComponents;
  readonly seconds: number;
  readonly stages: Readonly<Record<string, number>>;
  readonly estimate: number;
  readonly created: number;
}

/** Raised when the tables change. */
const LAYOUT = 4;

/** Records of one step of one model that are remembered. */
const MOST_RECORDS = 32;

const TABLES = `
CREATE TABLE artifacts (key TEXT PRIMARY KEY, step_key TEXT NOT NULL, step TEXT NOT NULL, stage TEXT NOT NULL,
  output TEXT NOT NULL, model TEXT NOT NULL, retain TEXT NOT NULL, bytes INTEGER NOT NULL, seconds REAL NOT NULL,
  created INTEGER NOT NULL, used INTEGER NOT NULL, print TEXT NOT NULL,
  origin TEXT NOT NULL) STRICT;
CREATE TABLE steps (step_key TEXT PRIMARY KEY, model TEXT NOT NULL, step TEXT NOT NULL, stage TEXT NOT NULL,
  components TEXT NOT NULL, seconds REAL NOT NULL, stages TEXT NOT NULL, estimate REAL NOT NULL,
  created INTEGER NOT NULL) STRICT;
CREATE INDEX steps_by_name ON steps (model, step, created);
CREATE TABLE outputs (key TEXT PRIMARY KEY, step_key TEXT NOT NULL) STRICT;
CREATE INDEX outputs_by_step ON outputs (step_key);
CREATE TABLE pins (owner TEXT NOT NULL, run TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (owner, run, key)) STRICT;
CREATE INDEX pins_by_key ON pins (key);
CREATE TABLE leases (step_key TEXT PRIMARY KEY, owner TEXT NOT NULL) STRICT;
CREATE TABLE file_hashes (path TEXT PRIMARY KEY, print TEXT NOT NULL, sha256 TEXT NOT NULL,
  proof TEXT NOT NULL) STRICT;
`;

type Row = Record<string, SQLOutputValue>;

/** The index of one opened cache. */
export class CacheIndex {
  readonly #path: string;
  #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** The memo of file hashes, for `files/file_hashes.ts`. */
  readonly fileHashes: FileHashes;

  /**
   * Opens an index, or makes it when it is missing, damaged or of another layout.
   *
   * @param rebuild called for a new one
   * @param options `timeout`: milliseconds to wait for another process
   * @throws {IndexError} when it cannot be used
   */
  constructor(
    path: string,
    rebuild: (index: CacheIndex) => void,
    { timeout = 30_000 }: { readonly timeout?: number } = {},
  ) {
    this.#path = path;
    this.#database = openIndexFile(path, { version: LAYOUT, tables: TABLES, timeout }, (database) => {
      this.#database = database;
      this.#statements.clear();
      rebuild(this);
    });
    this.fileHashes = {
      get: ({ path, print }) => {
        const row = this.#get("SELECT sha256, proof FROM file_hashes WHERE path = ? AND print = ?", path, print);
        return row?.proof === proofOf(path, print, `${row?.sha256}`) ? text(row.sha256) : undefined;
      },
      set: ({ path, print }, sha256) => {
        const proof = proofOf(path, print, sha256);
        this.#run("INSERT OR REPLACE INTO file_hashes VALUES (?, ?, ?, ?)", path, print, sha256, proof);
      },
    };
  }

  close(): void {
    this.#database.close();
  }

  /** Runs `work` alone among all processes: all of it counts, or nothing. */
  transaction<T>(work: () => T): T {
    if (this.#database.isTransaction) return work();
    return this.#use(() => {
      this.#database.exec("BEGIN IMMEDIATE");
      try {
        const result = work();
        this.#database.exec("COMMIT");
        return result;
      } catch (error) {
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
        throw error;
      }
    });
  }

  /**
   * Remembers an artifact, and the step that made it.
   *
   * @param print the state its files were in when they were last checked, empty if they were not
   */
  add(manifest: Manifest, { used, print = "" }: { readonly used: number; readonly print?: string }): void {
    const { key, stepKey, step, stage, output, model, retain, seconds, estimate, created, origin = "" } = manifest;
    this.transaction(() => {
      const bytes = filesBytes(manifest);
      this.#run(
        "INSERT OR REPLACE INTO artifacts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ...[key, stepKey, step, stage, output, model, retain, bytes, seconds, created, used, print, origin],
      );
      this.#run("INSERT OR REPLACE INTO outputs VALUES (?, ?)", key, stepKey);
      this.#run(
        "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (step_key) DO UPDATE SET " +
          "model = excluded.model, step = excluded.step, seconds = excluded.seconds, stages = excluded.stages, " +
          "estimate = excluded.estimate, created = excluded.created WHERE excluded.created >= steps.created",
        ...[stepKey, model, step, stage, JSON.stringify(manifest.components), seconds],
        ...[JSON.stringify(manifest.stages), estimate, created],
      );
      this.#forget(model, step);
    });
  }

  /** Forgets an artifact, but not the step that made it. */
  remove(key: string): void {
    this.#run("DELETE FROM artifacts WHERE key = ?", key);
  }

  has(key: string): boolean {
    return this.#get("SELECT 1 FROM artifacts WHERE key = ?", key) !== undefined;
  }

  touch(key: string, used: number): void {
    this.#run("UPDATE artifacts SET used = ? WHERE key = ?", used, key);
  }

  /** The state an artifact's files were in when they were last checked; empty if that is not known. */
  print(key: string): string {
    const row = this.#get("SELECT print FROM artifacts WHERE key = ?", key);
    return row === undefined ? "" : text(row.print);
  }

  setPrint(key: string, print: string): void {
    this.#run("UPDATE artifacts SET print = ? WHERE key = ?", print, key);
  }

  artifacts(): ArtifactInfo[] {
    // What is no key, as in an index that somebody wrote into, must not become a path.
    const isKey = "length(key) = 64 AND key NOT GLOB '*[^0-9a-f]*'";
    return this.#all(`SELECT * FROM artifacts WHERE ${isKey} ORDER BY stage, step, output, created, key`).map((
      row,
    ) => ({
      key: text(row.key),
      stepKey: text(row.step_key),
      step: text(row.step),
      stage: text(row.stage),
      output: text(row.output),
      model: text(row.model),
      retain: row.retain === "keep" ? "keep" : "transient",
      bytes: Number(row.bytes),
      seconds: Number(row.seconds),
      created: Number(row.created),
      used: Number(row.used),
      ...(row.origin === "" ? {} : { origin: text(row.origin) }),
    }));
  }

  /** Bytes of all artifacts. */
  bytes(): number {
    return Number(this.#get("SELECT coalesce(sum(bytes), 0) AS bytes FROM artifacts")?.bytes);
  }

  /** Latest records of a step of a model, the newest first. */
  records(model: string, step: string): StepRecord[] {
    return this.#all("SELECT * FROM steps WHERE model = ? AND step = ? ORDER BY created DESC, step_key", model, step)
      .map((row) => this.#record(row));
  }

  /** Latest records of any step of a stage, of any model. */
  recordsOfStage(stage: string): StepRecord[] {
    return this.#all("SELECT * FROM steps WHERE stage = ? ORDER BY created DESC, step_key LIMIT 64", stage)
      .map((row) => this.#record(row));
  }

  record(stepKey: string): StepRecord | undefined {
    const row = this.#get("SELECT * FROM steps WHERE step_key = ?", stepKey);
    return row === undefined ? undefined : this.#record(row);
  }

  /** The key of the step that made (or once made) an output. */
  producer(outputKey: string): string | undefined {
    const row = this.#get("SELECT step_key FROM outputs WHERE key = ?", outputKey);
    return row === undefined ? undefined : text(row.step_key);
  }

  pin(owner: string, run: string, keys: Iterable<string>): void {
    this.transaction(() => {
      for (const key of keys) this.#run("INSERT OR IGNORE INTO pins VALUES (?, ?, ?)", owner, run, key);
    });
  }

  unpin(owner: string, run: string, keys?: Iterable<string>): void {
    this.transaction(() => {
      if (keys === undefined) return this.#run("DELETE FROM pins WHERE owner = ? AND run = ?", owner, run);
      for (const key of keys) this.#run("DELETE FROM pins WHERE owner = ? AND run = ? AND key = ?", owner, run, key);
    });
  }

  /** Who needs which key. */
  pins(): { readonly owner: string; readonly run: string; readonly key: string }[] {
    return this.#all("SELECT owner, run, key FROM pins")
      .map((row) => ({ owner: text(row.owner), run: text(row.run), key: text(row.key) }));
  }

  pinners(key: string): string[] {
    return this.#all("SELECT DISTINCT owner FROM pins WHERE key = ?", key).map((row) => text(row.owner));
  }

  leaseOwner(stepKey: string): string | undefined {
    const row = this.#get("SELECT owner FROM leases WHERE step_key = ?", stepKey);
    return row === undefined ? undefined : text(row.owner);
  }

  setLease(stepKey: string, owner: string): void {
    this.#run("INSERT OR REPLACE INTO leases VALUES (?, ?)", stepKey, owner);
  }

  dropLease(stepKey: string, owner: string): void {
    this.#run("DELETE FROM leases WHERE step_key = ? AND owner = ?", stepKey, owner);
  }

  /** Those with pins or leases. */
  owners(): string[] {
    return this.#all("SELECT owner FROM pins UNION SELECT owner FROM leases").map((row) => text(row.owner));
  }

  /** Forgets the pins and leases of one that is gone. */
  dropOwner(owner: string): void {
    this.transaction(() => {
      this.#run("DELETE FROM pins WHERE owner = ?", owner);
      this.#run("DELETE FROM leases WHERE owner = ?", owner);
    });
  }

  /** Keeps the newest records of a step, and those whose artifacts are still there. */
  #forget(model: string, step: string): void {
    const old = this.#all(
      "SELECT step_key FROM steps WHERE model = ? AND step = ? ORDER BY created DESC LIMIT -1 OFFSET ?",
      ...[model, step, MOST_RECORDS],
    );
    for (const { step_key } of old) {
      if (this.#get("SELECT 1 FROM artifacts WHERE step_key = ?", step_key) !== undefined) continue;
      this.#run("DELETE FROM outputs WHERE step_key = ?", step_key);
      this.#run("DELETE FROM steps WHERE step_key = ?", step_key);
    }
  }

  #record(row: Row): StepRecord {
    try {
      return {
        stepKey: text(row.step_key),
        step: text(row.step),
        // Written by `add` from what has these types.
        components: JSON.parse(text(row.components)) as KeyComponents,
        seconds: Number(row.seconds),
        stages: JSON.parse(text(row.stages)) as StepRecord["stages"],
        estimate: Number(row.estimate),
        created: Number(row.created),
      };
    } catch (error) {
      throw damagedIndex(this.#path, "a record of a step is not JSON", error);
    }
  }

  #get(sql: string, ...values: SQLOutputValue[]): Row | undefined {
    return this.#use(() => this.#prepare(sql).get(...values));
  }

  #all(sql: string, ...values: SQLOutputValue[]): Row[] {
    return this.#use(() => this.#prepare(sql).all(...values));
  }

  #run(sql: string, ...values: SQLOutputValue[]): void {
    this.#use(() => this.#prepare(sql).run(...values));
  }

  #use<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw asIndexError(error, this.#path);
    }
  }

  #prepare(sql: string): StatementSync {
    const statement = this.#statements.get(sql) ?? this.#database.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }
}

/** Of an entry that cannot be checked against any file: one changed bit would be another model. */
function proofOf(path: string, print: string, hash: string): string {
  return sha256(JSON.stringify([path, print, hash]));
}

function text(value: SQLOutputValue): string {
  if (typeof value !== "string") throw new TypeError(`Cannot read the cache's index: a text is a ${typeof value}`);
  return value;
}
