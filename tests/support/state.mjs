// The database of the signing object, for who plays an operator with a knife, or reads a frozen state.
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../tools/lib/places.mjs";

export const FIXTURES = join(ROOT, "tests/fixtures/states");

/** Why there is no SQLite here, or false. */
export const noSqlite = spawnSync("python3", ["-c", "import sqlite3"]).status === 0 ? false : "python3 with sqlite3 is not installed";

/** The signing object's database in a state folder. */
export function databaseOf(stateDir) {
  const folder = join(stateDir, "objects/signing-authority");
  return join(folder, readdirSync(folder).find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name)));
}

/** How storages of keys are called. */
export const STORAGES = ["cf-managed", "encrypted", "ephemeral"];

/** The version of the storage of this checkout: how many migrations there are. */
export const schemaVersion = () => readdirSync(join(ROOT, "durable/migrations/signing_authority")).length;

/** The version that a database says it has. */
export function versionOf(file) {
  const program = "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT version FROM schema_version').fetchone()[0])";
  return execFileSync("python3", ["-c", program, file], { encoding: "utf8" }).trim();
}

/** The rows of a query, each an array; the database may be open elsewhere. */
export function query(file, text) {
  const program = "import sqlite3,sys,json; print(json.dumps(sqlite3.connect(sys.argv[1]).execute(sys.argv[2]).fetchall()))";
  return JSON.parse(execFileSync("python3", ["-c", program, file, text], { encoding: "utf8" }));
}

/** All that a database holds, as text; it may be open elsewhere. */
export function everything(file) {
  const program = "import sqlite3,sys; print('\\n'.join(sqlite3.connect(sys.argv[1]).iterdump()))";
  return execFileSync("python3", ["-c", program, file], { encoding: "utf8", maxBuffer: 1 << 28 });
}

/** Changes the state of an authority while it is stopped. */
export async function meanwhile(authority, statements) {
  await authority.kill9();
  sqlite(databaseOf(authority.stateDir), statements);
  await authority.restart();
}

/** Runs statements on a database that nobody else has open. */
export function sqlite(file, statements) {
  const program = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit(); c.close()";
  execFileSync("python3", ["-c", program, file, statements]);
}

/** Statements that put the last ceremony of every session, and what was granted by then, so many seconds back. */
export const longAgo = (secs) =>
  `UPDATE sessions SET verified_at = verified_at - ${secs}; UPDATE grants SET granted_at = granted_at - ${secs};`;
