// The secret that seals the authority's keys, for whoever gave none.
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, linkSync, readFileSync, realpathSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { makeFolders } from "./checks.mjs";
import { Plain } from "./console.mjs";
import { SECRETS } from "./places.mjs";

/** @param {string} stateDir each state has a secret of its own */
export function secretPath(stateDir) {
  const name = createHash("sha256").update(realpathSync(stateDir)).digest("hex").slice(0, 16);
  return join(SECRETS, name, "kek-secret");
}

/**
 * Reads the secret of a state folder; makes it the first time.
 * @param {string} stateDir
 * @returns {{ path: string, value: string, isNew: boolean }}
 */
export function localSecret(stateDir) {
  const path = secretPath(stateDir);
  try {
    makeFolders(dirname(path));
    const value = randomBytes(32).toString("base64url");
    // Whole or not at all, and never over an existing one: what that one sealed could not be opened
    // any more.
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, `${value}\n`, { flag: "wx", mode: 0o600 });
    try {
      linkSync(draft, path);
    } finally {
      unlinkSync(draft);
    }
    return { path, value, isNew: true };
  } catch (error) {
    if (error.code !== "EEXIST") throw new Plain(`the secret ${path} could not be made: ${error.code}.`);
  }
  try {
    // A copy or a restore from a backup may have opened it to others.
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600);
    const value = readFileSync(path, "utf8").trim();
    if (value === "") throw new Plain(`the secret ${path} is empty: put back the one that sealed the state, or remove both to begin anew.`);
    return { path, value, isNew: false };
  } catch (error) {
    if (error instanceof Plain) throw error;
    throw new Plain(`the secret ${path} could not be read: ${error.code}.`);
  }
}
