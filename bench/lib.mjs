// What benchmarks share: servers to measure, load for them, and what it cost.
//
// CPU is the on-CPU time of all threads of the workerd process (Linux: /proc/PID/task/*/schedstat).
// Only ratios within one run mean anything. Load goes to loopback, is bounded, and stops by itself.
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import http from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { say } from "../tools/lib/console.mjs";
import { ROOT } from "../tools/lib/places.mjs";
import { end, launch, workerdPath } from "../tools/lib/workerd.mjs";
import { RAISED, freePort } from "../tests/support/authority.mjs";

/** Whatever still runs when this process ends. */
export const alive = new Set();
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

/**
 * Sends requests over so many connections, and tells how long each took in milliseconds.
 * @param {string} url
 * @param {{ headers?: Record<string, string>, body: string }[]} requests
 * @param {number} connections
 * @param {string} path
 */
export async function fire(url, requests, connections, path) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const target = new URL(path, url);
  const times = [];
  let next = 0;
  const one = ({ headers, body }) =>
    new Promise((resolve, reject) => {
      const began = process.hrtime.bigint();
      const all = { ...headers, "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const request = http.request(target, { method: "POST", agent, headers: all }, (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => {
          times.push(Number(process.hrtime.bigint() - began) / 1e6);
          if (response.statusCode === 200 || response.statusCode === 401) resolve(response.statusCode);
          else reject(new Error(`${response.statusCode} ${text}`));
        });
      });
      request.on("error", reject);
      request.end(body);
    });
  const began = process.hrtime.bigint();
  const statuses = {};
  await Promise.all(
    Array.from({ length: connections }, async () => {
      while (next < requests.length) {
        const status = await one(requests[next++]);
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    }),
  );
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  agent.destroy();
  return { rate: requests.length / seconds, times, statuses };
}

/** The value that so large a share of the numbers lies below. */
export function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** On-CPU milliseconds of a process so far. */
export function cpu(pid) {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
  }
  return nanoseconds / 1e6;
}

export const residentMegabytes = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1000;

export const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Says a figure beside its aim; whether it is held. */
export function judge(what, figure, aim) {
  const held = figure <= aim;
  say(`The ${what} is ${figure.toFixed(2)}; the aim is at most ${aim}: ${held ? "held" : "MISSED"}.`);
  return held;
}

/**
 * Starts a floor on a free port: the worker of `bench/floor`, or of another folder there.
 * @param {string} name its folder
 * @param {Record<string, string>} files what it is given beside
 */
export async function startFloor(name, files) {
  const folder = mkdtempSync(join(tmpdir(), "notme-floor-"));
  cpSync(join(ROOT, "bench", name), folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  mkdirSync(join(folder, "state"));
  const port = await freePort();
  const args = ["serve", `--socket-addr=http=127.0.0.1:${port}`, `--directory-path=state=${join(folder, "state")}`, join(folder, "config.capnp")];
  const child = spawn(workerdPath(), args, { stdio: ["ignore", "ignore", "inherit"] });
  alive.add(child);
  const url = `http://127.0.0.1:${port}`;
  while (!(await isListening(port))) await new Promise((resolve) => setTimeout(resolve, 2));
  return {
    url,
    pid: child.pid,
    stop: async () => {
      await end(child, 0);
      alive.delete(child);
      rmSync(folder, { recursive: true });
    },
  };
}

export const isListening = (port) =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });

/**
 * Starts the authority as the floor is started: nothing has asked it anything yet.
 * @param {Record<string, string>} more variables
 * @param {string} [host] its name
 */
export async function startOurs(more, host = "127.0.0.1") {
  const stateDir = mkdtempSync(join(tmpdir(), "notme-bench-"));
  const port = await freePort();
  const url = `http://${host}:${port}`;
  const vars = {
    SITE_URL: url,
    SIGNET_AUTHORITY_URL: url,
    NOTME_KEK_SECRET: randomBytes(32).toString("base64url"),
    NOTME_LOG_LEVEL: "error",
    // Counted, by the address of the connection, and never reached.
    NOTME_RATE_LIMITS: RAISED,
    NOTME_SOURCE_HEADER: "none",
    ...more,
  };
  const child = launch({ port, stateDir, vars, allowLoopback: true });
  child.stdout.resume();
  child.stderr.pipe(process.stderr);
  alive.add(child);
  while (!(await isListening(port))) await new Promise((resolve) => setTimeout(resolve, 2));
  return {
    url,
    pid: child.pid,
    stop: async () => {
      await end(child, 0);
      alive.delete(child);
      rmSync(stateDir, { recursive: true });
    },
  };
}
