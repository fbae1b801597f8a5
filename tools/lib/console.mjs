// What the scripts say, and how they run other programs.
import { spawn } from "node:child_process";
import { realpathSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** A failure with a plain explanation for whoever ran the command: told without a stack trace. */
export class Plain extends Error {}

/**
 * Whether a module is what Node was told to run; the checkout may be reached by a symbolic link.
 * @param {string} moduleUrl
 */
export const isMain = (moduleUrl) =>
  process.argv[1] !== undefined && realpathSync(process.argv[1]) === realpathSync(fileURLToPath(moduleUrl));

/** @param {string} line */
export const say = (line) => void process.stdout.write(`${line}\n`);

/** @param {number} since a `Date.now()` */
const seconds = (since) => ((Date.now() - since) / 1000).toFixed(1);

/**
 * What has to be ended before this process may end.
 * @type {Set<() => unknown>}
 */
const endings = new Set();

/**
 * @param {() => unknown} ending may return a promise
 * @returns {() => void} forgets it again
 */
export function beforeEnd(ending) {
  endings.add(ending);
  return () => void endings.delete(ending);
}

let isStopping = false;

/** Whether somebody told this process to stop. */
export const stopping = () => isStopping;

/**
 * Ends everything that was started, then this process.
 * @param {number} code
 */
export async function stop(code) {
  if (isStopping) return;
  isStopping = true;
  await Promise.allSettled([...endings].map((ending) => ending()));
  process.exit(code);
}

/**
 * A terminal sends Ctrl-C to the whole process group, but `kill <pid>` and service managers do
 * not: so whatever we started is ended by us.
 * @param {() => boolean} [isExpected] whether being stopped is how the command should end
 */
export function stopOnSignals(isExpected = () => false) {
  for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15], ["SIGHUP", 1]]) {
    process.on(signal, () => void stop(isExpected() ? 0 : 128 + number));
  }
}

/**
 * Runs the body of a command, and tells its failure: one plain message and exit code 1.
 * @param {() => Promise<number | void>} body
 */
export async function main(body) {
  try {
    requireNode();
    process.exitCode = (await body()) ?? 0;
  } catch (error) {
    // A step that fails because it was stopped is no news.
    if (isStopping) return;
    if (!(error instanceof Plain)) throw error;
    process.stderr.write(`\nnotme: ${error.message}\n`);
    await stop(1);
  }
}

/** Everything here is written for this major version of Node and later. */
export const OLDEST_NODE = 20;

/** @param {string} version */
export function requireNode(version = process.versions.node) {
  if (Number.parseInt(version, 10) >= OLDEST_NODE) return;
  throw new Plain(
    `Node ${version} is too old: notme needs Node ${OLDEST_NODE} or newer (https://nodejs.org).`,
  );
}

/**
 * Says every now and then that a step is still at work: on a terminal in one line that counts the
 * seconds, else (logs of CI) a line every quarter of a minute.
 * @param {string} what
 * @param {() => string} detail the step's own latest word
 */
function heartbeat(what, detail) {
  const start = Date.now();
  const tty = process.stdout.isTTY;
  const beat = setInterval(() => {
    const last = detail().slice(0, 50);
    const line = `  … ${what}: ${Math.round((Date.now() - start) / 1000)} s${last && ` (${last})`}`;
    if (tty) process.stdout.write(`\r\x1b[K${line.slice(0, (process.stdout.columns ?? 80) - 1)}`);
    else say(line);
  }, tty ? 1_000 : 15_000);
  return () => {
    clearInterval(beat);
    if (tty) process.stdout.write("\r\x1b[K");
  };
}

/**
 * @typedef {object} Ran
 * @property {number} code exit code; 127 if the program could not be started at all
 * @property {string} output standard output and error, as they came
 * @property {string} time seconds, for people
 */

/**
 * Runs a program to its end and keeps what it prints.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv, what?: string }} [options] with `what`, a
 *   heartbeat under that name
 * @returns {Promise<Ran>}
 */
export function run(command, args, { cwd, env = process.env, what } = {}) {
  const start = Date.now();
  return new Promise((resolve) => {
    const chunks = [];
    let last = "";
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    const forget = beforeEnd(() => child.kill("SIGTERM"));
    const quiet = what ? heartbeat(what, () => last) : () => {};
    const keep = (chunk) => {
      chunks.push(chunk);
      last = chunk.toString().trim().split("\n").pop()?.trim() ?? "";
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    const done = (code) => {
      quiet();
      forget();
      resolve({ code, output: Buffer.concat(chunks).toString(), time: `${seconds(start)} s` });
    };
    child.on("error", (error) => {
      chunks.push(Buffer.from(`${command}: ${error.message}\n`));
      done(127);
    });
    child.on("close", (code) => done(code ?? 1));
  });
}

const NO_NETWORK =
  /could not resolve host|failed to connect|couldn'?t connect|connection refused|timed? ?out|network|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|error sending request|dns error|Temporary failure/i;

/**
 * @param {string} text
 * @param {number} lines
 */
export const tail = (text, lines) => text.trimEnd().split("\n").slice(-lines).join("\n");

/** Lines of a program's stack trace: npm prints them for whoever develops npm. */
const STACK = /^(npm error)? +at .*\n/gm;

/**
 * A step of the set-up that may take long: says what and why, shows progress, and turns a failure
 * into a plain message that distinguishes a missing network from everything else.
 * @param {{ what: string, why: string, command: string, args: string[], cwd?: string,
 *   env?: NodeJS.ProcessEnv }} step
 * @returns {Promise<Ran>}
 */
export async function install({ what, why, command, args, cwd, env }) {
  say(`Installing ${what}: ${why}.`);
  const ran = await run(command, args, { cwd, env, what: `installing ${what}` });
  if (ran.code !== 0) {
    const shown = ran.output.replace(STACK, "");
    const reason = NO_NETWORK.test(ran.output)
      ? `the network or its registry could not be reached. It is needed once: connect and run the same command again.`
      : `\`${command} ${args.join(" ")}\` ended with code ${ran.code}.`;
    throw new Plain(`${what} could not be installed: ${reason}\n\n${tail(shown, 15)}`);
  }
  say(`  done in ${ran.time}`);
  return ran;
}
