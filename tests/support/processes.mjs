// Runs the project's own commands as a user would, and looks at what they leave behind.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { ROOT } from "../../tools/lib/places.mjs";

/**
 * Whether a process runs; one that ended and waits to be collected does not.
 * @param {number} pid
 */
export function isAlive(pid) {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    return !/^\d+ \(.*\) Z/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return process.platform !== "linux";
  }
}

/**
 * Our environment without what would change the command under test.
 * @param {Record<string, string | undefined>} changes
 */
export function cleanEnvironment(changes) {
  const env = { ...process.env, ...changes };
  for (const name of Object.keys(env)) {
    if (env[name] === undefined || name.startsWith("npm_")) delete env[name];
  }
  return env;
}

/**
 * @param {() => unknown} condition
 * @param {string} what
 */
export async function until(condition, what, timeoutMs = 60_000) {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`timed out: ${what}`);
    await sleep(25);
  }
}

/**
 * Starts a command in a process group of its own, as a terminal does.
 * @param {string} command
 * @param {string[]} args
 * @param {{ env?: Record<string, string | undefined>, cwd?: string }} [options]
 */
export function begin(command, args, { env = {}, cwd = ROOT } = {}) {
  const child = spawn(command, args, { cwd, env: cleanEnvironment(env), detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => resolve({ code, signal, output }));
  });
  return {
    pid: child.pid,
    output: () => output,
    ended,
    /** What a terminal sends: to every process of the group. @param {NodeJS.Signals} signal */
    signalGroup: (signal) => process.kill(-child.pid, signal),
    /** @param {NodeJS.Signals} signal */
    signal: (signal) => child.kill(signal),
    /** @param {RegExp} pattern */
    says: (pattern) => until(() => {
      if (child.exitCode !== null && !pattern.test(output)) throw new Error(`it ended without saying ${pattern}:\n${output}`);
      return pattern.test(output);
    }, `${pattern} in:\n${output}`),
    /** Ends the whole group, for the end of a test that failed half-way. */
    cleanUp() {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch {
        // It ended long ago.
      }
    },
  };
}
