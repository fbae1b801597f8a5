// `npm run bench`: what issuing a pair costs, beside the floor, in one run.
//
//   npm run bench              five rounds
//   npm run bench -- --quick   one short round, to see that it works
//   npm run bench -- --memory  100,000 more requests, and what they leave in memory (minutes)
//
// CPU is the on-CPU time of all threads of the workerd process (Linux: /proc/PID/task/*/schedstat).
// Only ratios within one run mean anything. Load goes to loopback, is bounded, and stops by itself.
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { randomBytes } from "node:crypto";
import http from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { build } from "../tools/build.mjs";
import { isMain, main, say, stopOnSignals } from "../tools/lib/console.mjs";
import { ROOT } from "../tools/lib/places.mjs";
import { end, launch, workerdPath } from "../tools/lib/workerd.mjs";
import { setup } from "../tools/setup.mjs";
import { freePort } from "../tests/support/authority.mjs";
import { Keys } from "../tests/support/client.mjs";
import { startIssuer } from "../tests/support/issuer.mjs";

const flags = new Set(process.argv.slice(2));
const QUICK = flags.has("--quick");
const ROUNDS = QUICK ? 1 : 7;
const AT_16 = QUICK ? 100 : 1000;
const AT_1 = QUICK ? 50 : 150;
const WARM_UP = QUICK ? 200 : 2000;
const COLD = 100;
const STARTS = QUICK ? 1 : 5;
const MEMORY = 100_000;

/** Whatever still runs when this process ends. */
const alive = new Set();
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

/** @returns {Promise<{ token: string, body: string }[]>} requests, each of which works once */
async function prepare(issuer, count) {
  const requests = [];
  for (let i = 0; i < count; i++) {
    const token = await issuer.token({ exp: Math.floor(Date.now() / 1000) + 3600 });
    requests.push({ token, body: JSON.stringify(new Keys().body(token)) });
  }
  return requests;
}

/** Sends requests over so many connections, and tells how long each took in milliseconds. */
async function fire(url, requests, connections, path = "/cert/gha") {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections });
  const target = new URL(path, url);
  const times = [];
  let next = 0;
  const one = ({ token, body }) =>
    new Promise((resolve, reject) => {
      const began = process.hrtime.bigint();
      const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", "content-length": Buffer.byteLength(body) };
      const request = http.request(target, { method: "POST", agent, headers }, (response) => {
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
function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** On-CPU milliseconds of a process so far. */
function cpu(pid) {
  let nanoseconds = 0;
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]);
  }
  return nanoseconds / 1e6;
}

const residentMegabytes = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]) / 1000;

const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/** Starts the floor on a free port. */
async function startFloor(issuer) {
  const folder = mkdtempSync(join(tmpdir(), "notme-floor-"));
  cpSync(join(ROOT, "bench/floor"), folder, { recursive: true });
  writeFileSync(join(folder, "jwks.json"), await (await fetch(`${issuer.url}/.well-known/jwks`)).text());
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

const isListening = (port) =>
  new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });

/** Starts the authority as the floor is started: nothing has asked it anything yet. */
async function startOurs(issuer) {
  const stateDir = mkdtempSync(join(tmpdir(), "notme-bench-"));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const vars = {
    SITE_URL: url,
    SIGNET_AUTHORITY_URL: url,
    GHA_ISSUER: issuer.url,
    GHA_ALLOWED_OWNERS: "acme",
    NOTME_KEK_SECRET: randomBytes(32).toString("base64url"),
    NOTME_LOG_LEVEL: "error",
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

async function bench() {
  await build(await setup());
  const issuer = await startIssuer();
  const kinds = { floor: () => startFloor(issuer), notme: () => startOurs(issuer) };

  const needed = WARM_UP + ROUNDS * (AT_16 + AT_1);
  say(`Preparing ${needed} requests (keys, tokens, proofs) …`);
  const requests = await prepare(issuer, needed);
  const running = {};
  for (const [name, start] of Object.entries(kinds)) running[name] = { ...(await start()), at: 0, rounds: [] };
  const take = (kind, count) => requests.slice(kind.at, (kind.at += count));

  say(`Warming up, then ${ROUNDS} rounds of ${AT_16} pairs at 16 connections and ${AT_1} at 1, in turn …`);
  for (const kind of Object.values(running)) await fire(kind.url, take(kind, WARM_UP), 16);
  for (let round = 0; round < ROUNDS; round++) {
    const order = Object.values(running);
    if (round % 2) order.reverse();
    for (const kind of order) {
      const measured = {};
      for (const [connections, count] of [[16, AT_16], [1, AT_1]]) {
        const before = cpu(kind.pid);
        const result = await fire(kind.url, take(kind, count), connections);
        if (result.statuses[200] !== count) throw new Error(`not every request succeeded: ${JSON.stringify(result.statuses)}`);
        measured[connections] = { ...result, cpu: (cpu(kind.pid) - before) / count };
      }
      kind.rounds.push(measured);
    }
  }

  say("");
  say("warm                 CPU ms/pair   pairs/s   p50 ms   p99 ms  longest");
  for (const connections of [16, 1]) {
    for (const [name, kind] of Object.entries(running)) {
      const of = (field) => median(kind.rounds.map((round) => round[connections][field]));
      // Over all rounds: a collection of garbage, 50 to 100 ms with either, falls into one in two or three.
      const times = kind.rounds.flatMap((round) => round[connections].times);
      const [p50, p99, longest] = [0.5, 0.99, 1].map((share) => quantile(times, share).toFixed(2).padStart(8));
      const cells = [of("cpu").toFixed(2).padStart(11), of("rate").toFixed(0).padStart(9), p50, p99, longest];
      say(`${name.padEnd(8)} at ${String(connections).padStart(2)} conn ${cells.join(" ")}`);
    }
    const ratios = running.notme.rounds.map((round, i) => round[connections].cpu / running.floor.rounds[i][connections].cpu);
    say(`  CPU ratio, round by round: median ${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`);
  }

  if (flags.has("--memory")) await memory(issuer, running.notme);
  for (const kind of Object.values(running)) await kind.stop();

  say("");
  say(`cold: ${STARTS} fresh processes each; requests 2 to ${COLD + 1} at 1 connection, and start to first pair`);
  const cold = {};
  for (let i = 0; i < STARTS; i++) {
    for (const [name, start] of Object.entries(kinds)) {
      const fresh = await prepare(issuer, COLD + 1);
      const began = performance.now();
      const kind = await start();
      await fire(kind.url, fresh.slice(0, 1), 1);
      const first = performance.now() - began;
      const before = cpu(kind.pid);
      await fire(kind.url, fresh.slice(1), 1);
      (cold[name] ??= []).push({ first, cpu: (cpu(kind.pid) - before) / COLD });
      await kind.stop();
    }
  }
  for (const [name, runs] of Object.entries(cold)) {
    say(`${name.padEnd(8)} ${median(runs.map((run) => run.cpu)).toFixed(2)} ms/pair; first pair after ${median(runs.map((run) => run.first)).toFixed(0)} ms`);
  }
  const ratio = median(cold.notme.map((run, i) => run.cpu / cold.floor[i].cpu));
  const later = median(cold.notme.map((run, i) => run.first - cold.floor[i].first));
  say(`  CPU ratio ${ratio.toFixed(2)}; first pair ${later.toFixed(0)} ms later than the floor's`);

  say("");
  await peer();
  await issuer.close();
}

/** `cfssl serve`, if it is installed: two certificates from one CSR each, no proof, no store. */
async function peer() {
  if (spawnSync("cfssl", ["version"]).error) return say("cfssl is not installed, so it is not measured.");
  const folder = mkdtempSync(join(tmpdir(), "notme-cfssl-"));
  const cfssl = (args, input) => JSON.parse(spawnSync("cfssl", args, { cwd: folder, input: JSON.stringify(input) }).stdout);
  const key = { algo: "ecdsa", size: 256 };
  const ca = cfssl(["genkey", "-loglevel=5", "-initca", "-"], { CN: "floor", key });
  writeFileSync(join(folder, "ca.pem"), ca.cert);
  writeFileSync(join(folder, "ca-key.pem"), ca.key, { mode: 0o600 });
  const { csr } = cfssl(["genkey", "-loglevel=5", "-"], { CN: "leaf", key });
  const port = await freePort();
  const args = ["serve", "-loglevel=5", "-address=127.0.0.1", `-port=${port}`, "-ca=ca.pem", "-ca-key=ca-key.pem"];
  const child = spawn("cfssl", args, { cwd: folder, stdio: "ignore" });
  alive.add(child);
  while (!(await isListening(port))) await new Promise((resolve) => setTimeout(resolve, 5));
  const body = JSON.stringify({ certificate_request: csr });
  const requests = Array.from({ length: 2 * AT_16 }, () => ({ token: "", body }));
  const sign = (count) => fire(`http://127.0.0.1:${port}`, requests.slice(0, count), 16, "/api/v1/cfssl/sign");
  await sign(200);
  const before = cpu(child.pid);
  const { rate, statuses } = await sign(requests.length);
  const spent = (cpu(child.pid) - before) / AT_16;
  say(`cfssl serve at 16 conn: ${spent.toFixed(2)} CPU ms for two certificates, ${(rate / 2).toFixed(0)} such pairs/s ${JSON.stringify(statuses)}`);
  await end(child, 0);
  alive.delete(child);
  rmSync(folder, { recursive: true });
}

/** Most of these are refused as used: they do all the work but the write. */
async function memory(issuer, kind) {
  const fresh = await prepare(issuer, 2000);
  say("");
  say(`memory over ${MEMORY} requests, resident:`);
  for (let sent = 0; sent <= MEMORY; sent += 10_000) {
    say(`  after ${String(sent).padStart(6)}: ${residentMegabytes(kind.pid).toFixed(0)} MB`);
    if (sent < MEMORY) for (let i = 0; i < 5; i++) await fire(kind.url, fresh, 16);
  }
}

if (isMain(import.meta.url)) {
  stopOnSignals();
  await main(async () => {
    await bench();
    return 0;
  });
}
