// `npm run bench`: what issuing a pair costs, beside the floor, in one run.
//
//   npm run bench              five rounds
//   npm run bench -- --quick   one short round, to see that it works
//   npm run bench -- --memory  100,000 more requests, and what they leave in memory (minutes)
//
// What is measured, and how, is in lib.mjs; `bench/login.mjs` measures signing in.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { build } from "../tools/build.mjs";
import { isMain, main, say, stopOnSignals } from "../tools/lib/console.mjs";
import { end } from "../tools/lib/workerd.mjs";
import { setup } from "../tools/setup.mjs";
import { freePort } from "../tests/support/authority.mjs";
import { Keys } from "../tests/support/client.mjs";
import { startIssuer } from "../tests/support/issuer.mjs";
import { alive, cpu, fire, isListening, median, quantile, residentMegabytes, startFloor, startOurs } from "./lib.mjs";

const flags = new Set(process.argv.slice(2));
const QUICK = flags.has("--quick");
const ROUNDS = QUICK ? 1 : 7;
const AT_16 = QUICK ? 100 : 1000;
const AT_1 = QUICK ? 50 : 150;
const WARM_UP = QUICK ? 200 : 2000;
const COLD = 100;
const STARTS = QUICK ? 1 : 5;
const MEMORY = 100_000;

/** @returns {Promise<{ headers: Record<string, string>, body: string }[]>} requests, each of which works once */
async function prepare(issuer, count) {
  const requests = [];
  for (let i = 0; i < count; i++) {
    const token = await issuer.token({ exp: Math.floor(Date.now() / 1000) + 3600 });
    requests.push({ headers: { authorization: `Bearer ${token}` }, body: JSON.stringify(new Keys().body(token)) });
  }
  return requests;
}

async function bench() {
  await build(await setup());
  const issuer = await startIssuer();
  const jwks = await (await fetch(`${issuer.url}/.well-known/jwks`)).text();
  const kinds = {
    floor: () => startFloor("floor", { "jwks.json": jwks }),
    notme: () => startOurs({ GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme" }),
  };

  const needed = WARM_UP + ROUNDS * (AT_16 + AT_1);
  say(`Preparing ${needed} requests (keys, tokens, proofs) …`);
  const requests = await prepare(issuer, needed);
  const running = {};
  for (const [name, start] of Object.entries(kinds)) running[name] = { ...(await start()), at: 0, rounds: [] };
  const take = (kind, count) => requests.slice(kind.at, (kind.at += count));

  say(`Warming up, then ${ROUNDS} rounds of ${AT_16} pairs at 16 connections and ${AT_1} at 1, in turn …`);
  for (const kind of Object.values(running)) await fire(kind.url, take(kind, WARM_UP), 16, "/cert/gha");
  for (let round = 0; round < ROUNDS; round++) {
    const order = Object.values(running);
    if (round % 2) order.reverse();
    for (const kind of order) {
      const measured = {};
      for (const [connections, count] of [[16, AT_16], [1, AT_1]]) {
        const before = cpu(kind.pid);
        const result = await fire(kind.url, take(kind, count), connections, "/cert/gha");
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
      await fire(kind.url, fresh.slice(0, 1), 1, "/cert/gha");
      const first = performance.now() - began;
      const before = cpu(kind.pid);
      await fire(kind.url, fresh.slice(1), 1, "/cert/gha");
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
  const requests = Array.from({ length: 2 * AT_16 }, () => ({ body }));
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
    if (sent < MEMORY) for (let i = 0; i < 5; i++) await fire(kind.url, fresh, 16, "/cert/gha");
  }
}

if (isMain(import.meta.url)) {
  stopOnSignals();
  await main(async () => {
    await bench();
    return 0;
  });
}
