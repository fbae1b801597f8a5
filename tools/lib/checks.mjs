// What has to hold before anything is installed, built or started.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import process from "node:process";
import { Plain, run } from "./console.mjs";

/** @param {string | undefined} text the value of `PORT` */
export function parsePort(text) {
  if (text === undefined || text === "") return 8788;
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= 65_535) return port;
  throw new Plain(`PORT=${text} is not a port: it is a number from 1 to 65535.`);
}

/**
 * Both loopback addresses, for `localhost` may mean either.
 * @param {number} port
 */
export async function requireFreePort(port) {
  for (const host of ["127.0.0.1", "::1"]) {
    const problem = await listenOnce(host, port);
    if (problem === "EADDRINUSE") {
      throw new Plain(
        `port ${port} is taken by another program. Choose another one: PORT=${port === 65_535 ? 8788 : port + 1} npm start (with another NOTME_STATE_DIR, if this state is to keep its name)`,
      );
    }
    if (problem === "EACCES") throw new Plain(`port ${port} may not be used by this user: PORT=8788 npm start`);
  }
}

/**
 * @param {string} host
 * @param {number} port
 * @returns {Promise<string | undefined>} the error's code
 */
function listenOnce(host, port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(error.code));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}

/**
 * Node's own `recursive` never comes back where a parent is there and yet the folder cannot be,
 * such as in /proc.
 * @param {string} folder
 */
export function makeFolders(folder) {
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (error) {
    if (error.code === "EEXIST") return;
    if (error.code !== "ENOENT" || existsSync(dirname(folder))) throw error;
    makeFolders(dirname(folder));
    mkdirSync(folder, { mode: 0o700 });
  }
}

/** @param {string} folder */
export function requireWritable(folder) {
  try {
    makeFolders(folder);
    const probe = join(folder, `.probe-${process.pid}`);
    writeFileSync(probe, "");
    rmSync(probe);
  } catch (error) {
    const why = { EACCES: "permission denied", EPERM: "permission denied", EROFS: "the file system is read-only", ENOSPC: "the disk is full", ENOTDIR: "a file is in the way", ENOENT: "it cannot be made" };
    throw new Plain(
      `the state folder ${folder} cannot be written: ${why[error.code] ?? error.code}. Choose another one: NOTME_STATE_DIR=<folder> npm start`,
    );
  }
}

/** What `npm start` wrote down about a state: the URL that it was made for, and its secret's place. */
const aboutPath = (stateDir) => join(stateDir, "about.json");

/** @param {string} stateDir @returns {{ url?: string, secret?: string }} */
export function readAbout(stateDir) {
  try {
    return JSON.parse(readFileSync(aboutPath(stateDir), "utf8")) ?? {};
  } catch {
    return {};
  }
}

/** @param {string} stateDir @param {{ url: string, secret?: string }} about */
export const writeAbout = (stateDir, about) => writeFileSync(aboutPath(stateDir), `${JSON.stringify(about)}\n`);

/**
 * A state belongs to the URL that it was made for. The authority would refuse another one too, but by
 * names of variables that nobody set.
 * @param {string} stateDir
 * @param {string} url the default URL, which follows from the port
 */
export function requireSamePort(stateDir, url) {
  const { url: before } = readAbout(stateDir);
  if (before === undefined || before === url) return;
  const port = /^http:\/\/localhost:(\d+)$/.exec(before)?.[1];
  const remedy = port ? `Start it with PORT=${port}` : `Set SIGNET_AUTHORITY_URL to it`;
  throw new Plain(`the state in ${stateDir} was made for ${before}, and not for ${url}. ${remedy}, or choose another one: NOTME_STATE_DIR=<folder>`);
}

/**
 * A secret that was made for a state and is gone would be replaced by one that opens nothing.
 * @param {string} stateDir
 * @param {string} path where its secret is looked for
 */
export function requireSecretOf(stateDir, path) {
  const { secret } = readAbout(stateDir);
  if (secret === undefined || existsSync(path)) return;
  const remedy = secret !== path && existsSync(secret)
    ? `The folder was moved or copied; its secret is still found under the old place: mkdir -p ${dirname(path)} && cp -p ${secret} ${path}`
    : `Put it back, or set NOTME_KEK_SECRET to it; without it this state is lost.`;
  throw new Plain(`the secret that sealed the state in ${stateDir} is not at ${path}. ${remedy}`);
}

/**
 * Who serves a state folder right now. It is a note and no lock: what it names is looked up among
 * the living, so that a crash leaves nothing to clean up.
 * @param {string} stateDir
 */
export const notePath = (stateDir) => join(stateDir, "serving.json");

/**
 * Two authorities on one state would each accept the same proof once.
 * @param {string} stateDir
 */
export async function requireUnserved(stateDir) {
  let note;
  try {
    note = JSON.parse(readFileSync(notePath(stateDir), "utf8"));
  } catch {
    return;
  }
  if (!Number.isInteger(note?.pid) || note.pid <= 1) return;
  const { output } = await run("ps", ["-o", "args=", "-p", String(note.pid)]);
  if (!output.includes("workerd") || !output.includes(stateDir)) return;
  throw new Plain(
    `the state in ${stateDir} is already served at ${note.url} by workerd, process ${note.pid}. End it there with Ctrl-C, choose another NOTME_STATE_DIR, or, if nobody needs it, end it: kill -9 ${note.pid}`,
  );
}
