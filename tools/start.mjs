// `npm start`: installs what is missing, builds the worker, and serves it on this machine.
//
//   PORT=<port>                default: 8788
//   NOTME_STATE_DIR=<folder>   default: .notme in the checkout
//   and every variable of wrangler.toml.example, from the environment or from .dev.vars
import { realpathSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { build } from "./build.mjs";
import { notePath, parsePort, requireFreePort, requireUnserved, requireWritable } from "./lib/checks.mjs";
import { Plain, beforeEnd, isMain, main, say, stop, stopOnSignals, stopping, tail } from "./lib/console.mjs";
import { ROOT } from "./lib/places.mjs";
import { localSecret } from "./lib/secret.mjs";
import { resolveVariables } from "./lib/variables.mjs";
import { end, firstAnswer, launch } from "./lib/workerd.mjs";
import { setup } from "./setup.mjs";

/** @param {string | undefined} issuer */
function isLoopback(issuer) {
  if (!issuer) return false;
  try {
    return /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(new URL(issuer).hostname);
  } catch {
    return false;
  }
}

/**
 * Completes the variables with a secret where keys are to be sealed and nobody gave one.
 * @param {Record<string, string>} vars
 * @param {string} stateDir
 * @returns {string} how keys are kept, for people
 */
function chooseKeyStorage(vars, stateDir) {
  const mode = vars.NOTME_KEY_STORAGE || "encrypted";
  if (mode !== "encrypted") return mode;
  vars.NOTME_KEY_STORAGE = mode;
  if (vars.NOTME_KEK_SECRET) return "encrypted with the NOTME_KEK_SECRET that was given";
  const { path, value, isNew } = localSecret(stateDir);
  vars.NOTME_KEK_SECRET = value;
  return `encrypted with the secret in ${path}${isNew ? " (made now; without it this state is lost)" : ""}`;
}

/** @param {Record<string, string>} vars */
function allowed(vars) {
  if (vars.GHA_ALLOWED_OWNER_IDS) return `workflows of the GitHub owners with the ids ${vars.GHA_ALLOWED_OWNER_IDS}`;
  if (vars.GHA_ALLOWED_OWNERS) return `workflows of the GitHub owners ${vars.GHA_ALLOWED_OWNERS}`;
  return "nobody yet; to let workflows in: GHA_ALLOWED_OWNERS=<your GitHub organisation> npm start";
}

/**
 * Where npm itself is killed, nothing tells its children; they notice that they were adopted.
 */
function stopWithParent() {
  if (!process.env.npm_lifecycle_event) return;
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) void stop(1);
  }, 1_000).unref();
}

let isServing = false;

async function start() {
  const port = parsePort(process.env.PORT);
  const url = `http://localhost:${port}`;
  const wantedDir = resolve(process.env.NOTME_STATE_DIR || join(ROOT, ".notme"));
  const vars = resolveVariables({ env: process.env, devVarsPath: join(ROOT, ".dev.vars"), origin: url });
  requireWritable(wantedDir);
  // One state has one name, whatever links lead to it.
  const stateDir = realpathSync(wantedDir);
  await requireUnserved(stateDir);
  await requireFreePort(port);
  const keys = chooseKeyStorage(vars, stateDir);
  const allowLoopback = isLoopback(vars.GHA_ISSUER);

  await build(await setup());
  // That took a while: somebody else may have come first.
  await requireUnserved(stateDir);
  await requireFreePort(port);

  say(`Starting workerd on port ${port}.`);
  if (allowLoopback) say(`  The issuer ${vars.GHA_ISSUER} is on this machine, so the worker may reach servers on loopback.`);
  const child = launch({ port, stateDir, vars, allowLoopback });
  process.on("exit", () => child.kill("SIGKILL"));
  const note = notePath(stateDir);
  writeFileSync(note, `${JSON.stringify({ pid: child.pid, url })}\n`);
  beforeEnd(async () => {
    await end(child);
    rmSync(note, { force: true });
  });

  let log = "";
  for (const [from, to] of [[child.stdout, process.stdout], [child.stderr, process.stderr]]) {
    from.on("data", (chunk) => {
      log = (log + chunk).slice(-8_000);
      to.write(chunk);
    });
  }
  const ended = new Promise((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });

  const answer = await firstAnswer({ url, child });
  if (stopping()) return;
  const lastWords = log.trim() && `\n\nIts last words:\n${tail(log, 10)}`;
  if (answer.state === "refused") {
    throw new Plain(`the authority does not start: ${answer.error} (status ${answer.status})${lastWords}`);
  }
  if (answer.state === "silent") throw new Plain(`the authority does not answer within half a minute.${lastWords}`);
  if (answer.state === "ready") {
    isServing = true;
    say(`
notme is ready at ${url}
  state     ${stateDir}
  keys      ${keys}
  allowed   ${allowed(vars)}

What you can do next:
  curl ${url}/.well-known/signet-authority.json    what this authority offers
  curl ${url}/.well-known/ca-bundle.pem            the root that verifiers trust
  README.md tells how a workflow gets its certificates, wrangler.toml.example what can be configured.
Ctrl-C stops it.
`);
  }
  const how = await ended;
  // Ctrl-C reaches workerd and us together, and the news of its end may come first.
  await new Promise((resolve) => setTimeout(resolve, 200));
  if (stopping()) return new Promise(() => {});
  throw new Plain(`workerd ended by itself (${how}).${log.trim() && `\n\nIts last words:\n${tail(log, 10)}`}`);
}

if (isMain(import.meta.url)) {
  stopOnSignals(() => isServing);
  stopWithParent();
  // A closed pipe (`npm start | head`) is a wish to stop, not a crash.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => void stop(1));
  await main(start);
}
