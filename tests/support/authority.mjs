// Starts authorities for black-box tests: each is workerd of its own, with the configuration of
// `npm start`, on a free port and an empty state. Ends only what it started.
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { ROOT } from "../../tools/lib/places.mjs";
import { launchWrangler } from "./wrangler.mjs";
import { end, firstAnswer, hasEnded, launch } from "../../tools/lib/workerd.mjs";

/** @returns {Promise<number>} a port of 127.0.0.1 that nobody listens on */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** `NOTME_TEST_HOST=wrangler` runs authorities as `wrangler dev` does, instead of in plain workerd. */
export const THROUGH_WRANGLER = process.env.NOTME_TEST_HOST === "wrangler";

/** Limits that are counted and never reached. */
export const RAISED = ["documents", "account", "ceremonies", "enrolments", "tokens", "identity", "newcomers"].map((name) => `${name}=1000000`).join();

/** Whatever still runs when the test process ends, because a test failed half-way. */
const alive = new Set();
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

/**
 * @typedef {object} Authority
 * @property {string} url
 * @property {number} port
 * @property {number} pid of the workerd that runs now
 * @property {string} stateDir
 * @property {() => string} logs what all its runs have printed
 * @property {() => Promise<void>} stop ends it, and removes a state that it made unless `keep`
 * @property {() => Promise<void>} kill9 ends it like a crash; its state stays
 * @property {(changes?: { vars?: Record<string, string | undefined> }) => Promise<void>} restart
 *   ends it if it runs, and starts it on the same port and state
 */

/**
 * @param {object} [options]
 * @param {Record<string, string | undefined>} [options.vars] variables; `undefined` leaves one out
 * @param {string} [options.stateDir] default: a new temporary folder
 * @param {boolean} [options.keep] leave a temporary state behind
 * @param {boolean} [options.allowLoopback] let the worker reach servers on this machine
 * @param {string} [options.outbound] source of an ES module that plays the whole internet
 * @param {string[]} [options.services]
 * @param {string[]} [options.sockets]
 * @param {string[]} [options.bindings]
 * @param {string} [options.http] options of the socket, as `workerd.capnp` has them
 * @param {boolean} [options.expectRefusal] resolve although its first answer is an error
 * @param {string} [options.wrangler] run it as `wrangler dev` does, with this at the end of its configuration
 * @returns {Promise<Authority>}
 */
export async function startAuthority({ vars = {}, stateDir, keep = false, expectRefusal = false, ...options } = {}) {
  if (!existsSync(join(ROOT, "build/index_bg.wasm"))) throw new Error("the worker is not built: npm run build");
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const isOurs = stateDir === undefined;
  const folder = stateDir ?? (await mkdtemp(join(tmpdir(), "notme-test-")));
  const secret = randomBytes(32).toString("base64url");
  let given = vars;
  let log = "";
  let child;

  async function run() {
    const wanted = {
      SITE_URL: url,
      SIGNET_AUTHORITY_URL: url,
      NOTME_KEY_STORAGE: "encrypted",
      NOTME_KEK_SECRET: secret,
      // A suite asks for more in a minute than anybody would; limits.test.mjs has them as they are.
      NOTME_RATE_LIMITS: RAISED,
      ...given,
    };
    const set = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== undefined));
    const begin = THROUGH_WRANGLER || options.wrangler ? launchWrangler : launch;
    child = begin({ port, stateDir: folder, vars: set, ...options });
    const started = child;
    alive.add(started);
    started.once("exit", () => alive.delete(started));
    for (const stream of [started.stdout, started.stderr]) stream.on("data", (chunk) => (log += chunk));
    const answer = await firstAnswer({ url, child });
    if (answer.state === "ready" || (expectRefusal && answer.state === "refused")) return;
    await end(child);
    throw new Error(`the authority did not start: ${JSON.stringify(answer)}\n${log}`);
  }

  /** @param {NodeJS.Signals} signal */
  async function finish(signal) {
    if (hasEnded(child)) return;
    if (signal === "SIGTERM") return end(child);
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  await run();
  return {
    url,
    port,
    stateDir: folder,
    get pid() {
      return child.pid;
    },
    logs: () => log,
    async stop() {
      await finish("SIGTERM");
      if (isOurs && !keep) await rm(folder, { recursive: true, force: true });
    },
    kill9: () => finish("SIGKILL"),
    async restart(changes = {}) {
      await finish("SIGTERM");
      given = { ...given, ...changes.vars };
      await run();
    },
  };
}
