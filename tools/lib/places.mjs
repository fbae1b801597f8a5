// Where things are: the checkout, the cache outside of it, and programs on the PATH.
import { accessSync, constants } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The checkout. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url)).replace(/\/$/, "");

/** A base directory of the XDG specification: relative paths in the variable are to be ignored. */
const xdg = (variable, fallback) =>
  process.env[variable]?.startsWith("/") ? process.env[variable] : join(homedir(), fallback);

/**
 * Tools and compiler output live outside the checkout, so that a fresh clone need not build them
 * again.
 */
export const CACHE = resolve(process.env.NOTME_CACHE_DIR || join(xdg("XDG_CACHE_HOME", ".cache"), "notme"));

/** The `--root` of `cargo install`. */
export const TOOLS = join(CACHE, "tools");

/** Secrets that `npm start` makes live here: neither in the checkout nor beside what they seal. */
export const SECRETS = join(xdg("XDG_STATE_HOME", ".local/state"), "notme");

/** @param {string} path */
export function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * @param {string} program
 * @returns {string | undefined} its path
 */
export const onPath = (program) =>
  (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(isExecutable);
