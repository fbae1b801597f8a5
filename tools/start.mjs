// `npm start`: installs what is missing, builds the worker, and serves it on this machine.
//
//   PORT=<port>                default: 8788
//   NOTME_STATE_DIR=<folder>   default: .notme in the checkout
//   and every variable of wrangler.toml.example, from the environment or from .dev.vars
import { realpathSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import process from "node:process";
import { build } from "./build.mjs";
import { notePath, parsePort, requireFreePort, requireSamePort, requireSecretOf, requireUnserved, requireWritable, writeAbout } from "./lib/checks.mjs";
import { Plain, beforeEnd, isMain, main, run, say, stop, stopOnSignals, stopping, tail } from "./lib/console.mjs";
import { ROOT } from "./lib/places.mjs";
import { localCode, localSecret, secretPath } from "./lib/secret.mjs";
import { readDevVars, resolveVariables } from "./lib/variables.mjs";
import { end, firstAnswer, launch } from "./lib/workerd.mjs";
import { setup } from "./setup.mjs";

/** @param {string | undefined} issuer */
/** The issuers of the rows; what is wrong with them the authority says. */
function trustedIssuers(rows) {
  try {
    return JSON.parse(rows ?? "[]").map(({ issuer }) => issuer);
  } catch {
    return [];
  }
}

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
 * @returns {{ keys: string, secret?: string }} how keys are kept, for people; where the secret is
 */
function chooseKeyStorage(vars, stateDir) {
  const mode = vars.NOTME_KEY_STORAGE || "encrypted";
  if (mode === "ephemeral") return { keys: "ephemeral: in memory only, so a restart revokes all that was issued" };
  if (mode !== "encrypted") return { keys: mode };
  vars.NOTME_KEY_STORAGE = mode;
  if (vars.NOTME_KEK_SECRET) return { keys: "encrypted with the NOTME_KEK_SECRET that was given" };
  requireSecretOf(stateDir, secretPath(stateDir));
  const { path, value, isNew } = localSecret(stateDir);
  vars.NOTME_KEK_SECRET = value;
  return { keys: `encrypted with the secret in ${path}${isNew ? " (made now; without it this state is lost)" : ""}`, secret: path };
}

/**
 * Completes the variables with a code for the first administrator where nobody gave one. It is kept, so
 * that the one that was printed stays good, and once it is used no other takes its place.
 * @param {Record<string, string>} vars
 * @param {string} stateDir
 * @returns {string | undefined} where it is
 */
function chooseCode(vars, stateDir) {
  if (vars.BOOTSTRAP_CODE) return undefined;
  const code = localCode(stateDir);
  vars.BOOTSTRAP_CODE = code.value;
  return code;
}

/**
 * How an administrator comes in by the one-time code, for people: the first one, or, where the code's file was
 * removed to have another, a new one. Nothing otherwise.
 * @param {string} url
 * @param {{ path: string, value: string, isNew: boolean } | undefined} ours the code, if nobody gave one
 */
async function administrator(url, ours) {
  const { firstBoot } = await (await fetch(`${url}/auth/state`, { headers: { connection: "close" } })).json();
  if (firstBoot === "armed") {
    const shown = ours ? `${ours.value}\n            (kept in ${ours.path})` : "the BOOTSTRAP_CODE that was given";
    return `
The first administrator comes in at ${url}/login
  code      ${shown}
`;
  }
  if (!ours?.isNew) return "";
  return `
Recovery is armed: whoever has this code can become administrator at ${url}/login
  code      ${ours.value}
            (kept in ${ours.path})
`;
}

/** The commit that is built, if it is nothing but that commit. */
async function commit() {
  const git = async (...args) => (await run("git", ["-C", ROOT, ...args])).output.trim();
  try {
    const [head, changes] = [await git("rev-parse", "HEAD"), await git("status", "--porcelain")];
    return /^[0-9a-f]{40}$/.test(head) && changes === "" ? head : "";
  } catch {
    return "";
  }
}

/**
 * What the log says about why the authority refuses to serve.
 * @param {string} log
 */
function reasons(log) {
  const last = log.split("\n").findLast((line) => line.startsWith("{") && line.includes('"reason"'));
  try {
    return JSON.parse(last).reason.split("; ");
  } catch {
    return [];
  }
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
  const devVarsPath = join(ROOT, ".dev.vars");
  const file = readDevVars(devVarsPath);
  const port = parsePort(process.env.PORT ?? file.PORT);
  const url = `http://localhost:${port}`;
  const wantedDir = resolve(ROOT, process.env.NOTME_STATE_DIR || file.NOTME_STATE_DIR || ".notme");
  const vars = resolveVariables({ env: process.env, devVarsPath, origin: url });
  const sha = await commit();
  if (sha) vars.BUILD_SHA ??= sha;
  requireWritable(wantedDir);
  // One state has one name, whatever links lead to it.
  const stateDir = realpathSync(wantedDir);
  await requireUnserved(stateDir);
  await requireFreePort(port);
  if (vars.SIGNET_AUTHORITY_URL === url && !vars.NOTME_ALLOW_URL_CHANGE) requireSamePort(stateDir, url);
  const { keys, secret } = chooseKeyStorage(vars, stateDir);
  const code = chooseCode(vars, stateDir);
  // Nothing stands in front of it that would say where requests come from.
  vars.NOTME_SOURCE_HEADER ??= "none";
  const local = [vars.GHA_ISSUER, vars.GITHUB_API_URL, ...trustedIssuers(vars.TRUSTED_ISSUERS)].filter(isLoopback);
  const allowLoopback = local.length > 0;

  await build(await setup());
  // That took a while: somebody else may have come first.
  await requireUnserved(stateDir);
  await requireFreePort(port);

  say(`Starting workerd on port ${port}.`);
  if (allowLoopback) say(`  ${local.join(" and ")} ${local.length > 1 ? "are issuers" : "is an issuer"} on this machine, so the worker may reach servers on loopback.`);
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
    const known = reasons(log).map((reason) => `\n  - ${reason}`);
    throw new Plain(known.length ? `the authority does not start:${known.join("")}` : `the authority does not start: ${answer.error} (status ${answer.status})${lastWords}`);
  }
  if (answer.state === "silent") throw new Plain(`the authority does not answer within half a minute.${lastWords}`);
  if (answer.state === "ready") {
    isServing = true;
    writeAbout(stateDir, { url: vars.SIGNET_AUTHORITY_URL, secret });
    say(`
notme is ready at ${url}
  state     ${stateDir}
  keys      ${keys}
  allowed   ${allowed(vars)}
${await administrator(url, code)}
What you can do next:
  ${url}/login    signs people in
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
