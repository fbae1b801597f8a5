// What a local run keeps beside its state for whoever gave none: the secret that seals the keys, and the
// code that lets the first administrator in.
import { createHash, randomBytes } from "node:crypto";
import { chmodSync, linkSync, readFileSync, realpathSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { makeFolders } from "./checks.mjs";
import { Plain } from "./console.mjs";
import { SECRETS } from "./places.mjs";

/** @param {string} stateDir each state has a folder of its own */
function pathOf(stateDir, name) {
  const folder = createHash("sha256").update(realpathSync(stateDir)).digest("hex").slice(0, 16);
  return join(SECRETS, folder, name);
}

/** @param {string} stateDir */
export const secretPath = (stateDir) => pathOf(stateDir, "kek-secret");

/**
 * The secret that seals the keys of a state.
 * @param {string} stateDir
 */
export const localSecret = (stateDir) => kept(secretPath(stateDir), () => randomBytes(32).toString("base64url"));

/** 32 letters and digits that are hard to take for one another: each is five bits. */
const ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789";

/**
 * The code that lets the first administrator of a state in: 100 bits, in groups, to be typed.
 * @param {string} stateDir
 */
export const localCode = (stateDir) =>
  kept(pathOf(stateDir, "bootstrap-code"), () => {
    const letters = Array.from(randomBytes(20), (byte) => ALPHABET[byte % 32]).join("");
    return letters.match(/.{5}/g).join("-");
  });

/**
 * Reads what is kept at a path; makes it the first time.
 * @param {string} path
 * @param {() => string} make
 * @returns {{ path: string, value: string, isNew: boolean }}
 */
function kept(path, make) {
  try {
    makeFolders(dirname(path));
    const value = make();
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
