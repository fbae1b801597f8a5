// The one description of how plain workerd runs the authority, for `npm start`, tests and
// benchmarks.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { ROOT } from "./places.mjs";
import { WEB } from "./web.mjs";

/** The behaviour of the runtime is that of this day; the same stands in `wrangler.toml.example`. */
export const COMPATIBILITY_DATE = "2026-03-01";

/**
 * @typedef {object} ObjectClass
 * @property {string} binding
 * @property {string} className
 * @property {string} uniqueKey names the folder of the objects' databases: never change it
 */

/**
 * The Durable Objects: what `src/entry.mjs` exports and `wrangler.toml.example` binds.
 * @type {readonly ObjectClass[]}
 */
export const OBJECTS = [
  { binding: "SIGNING_AUTHORITY", className: "SigningAuthority", uniqueKey: "signing-authority" },
  { binding: "ISSUER_KEYS", className: "IssuerKeys", uniqueKey: "issuer-keys" },
  { binding: "API_ANSWERS", className: "ApiAnswers", uniqueKey: "api-answers" },
];

/**
 * @typedef {object} Options
 * @property {number} port on loopback
 * @property {string} stateDir a folder that only this instance writes to
 * @property {Record<string, string>} vars the worker's variables
 * @property {boolean} [allowLoopback] let the worker reach servers on this machine
 * @property {string} [outbound] source of an ES module that answers every outgoing request instead
 *   of the network
 * @property {string[]} [services] further services, each the text of a capnp `Service`
 * @property {string[]} [sockets] further sockets, each the text of a capnp `Socket`
 * @property {string[]} [bindings] further bindings, each the text of a capnp `Binding`
 * @property {string} [http] what a test tells the socket, the text of capnp `HttpOptions`
 * @property {string} [build] where the compiled worker is, relative to the checkout
 */

/** @param {string[]} items */
const list = (items) => (items.length ? `[\n    ${items.join(",\n    ")},\n  ]` : "[]");

/**
 * The text of the configuration. It names the variables but holds no value of one, since the
 * secret that seals the keys is among them: workerd takes them from its environment.
 * @param {Pick<Options, "vars" | "allowLoopback" | "outbound" | "services" | "sockets" | "bindings" | "build" | "http">} options
 */
export function configText({ vars, allowLoopback = false, outbound, services = [], sockets = [], bindings = [], build = "build", http = "" }) {
  const allow = allowLoopback ? `"public", "local"` : `"public"`;
  const internet =
    outbound === undefined
      ? `network = (allow = [${allow}], tlsOptions = (trustBrowserCas = true))`
      : `worker = (compatibilityDate = "${COMPATIBILITY_DATE}", modules = [(name = "outbound.mjs", esModule = embed "outbound.mjs")])`;
  const allServices = [
    `(name = "main", worker = .authority)`,
    `(name = "state", disk = (writable = true))`,
    `(name = "web", disk = (writable = false))`,
    `(name = "internet", ${internet})`,
    ...services,
  ];
  const allBindings = [
    ...OBJECTS.map((o) => `(name = "${o.binding}", durableObjectNamespace = "${o.className}")`),
    `(name = "ASSETS", service = "web")`,
    ...Object.keys(vars).map((name) => `(name = "${name}", fromEnvironment = "${name}")`),
    ...bindings,
  ];
  // Without `preventEviction` a key that lives in memory only is gone after ten idle seconds.
  const namespaces = OBJECTS.map(
    (o) =>
      `(className = "${o.className}", uniqueKey = "${o.uniqueKey}", enableSql = true, preventEviction = true)`,
  );
  return `# Written by tools/lib/workerd.mjs at every start.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = ${list(allServices)},
  sockets = ${list([`(name = "http", http = (${http}), service = "main")`, ...sockets])},
);

const authority :Workerd.Worker = (
  compatibilityDate = "${COMPATIBILITY_DATE}",
  modules = [
    (name = "src/entry.mjs", esModule = embed "/src/entry.mjs"),
    (name = "build/index.js", esModule = embed "/${build}/index.js"),
    (name = "build/index_bg.wasm", wasm = embed "/${build}/index_bg.wasm"),
  ],
  bindings = ${list(allBindings)},
  durableObjectNamespaces = ${list(namespaces)},
  durableObjectStorage = (localDisk = "state"),
  globalOutbound = "internet",
);
`;
}

/** What workerd itself may see of our environment: trust anchors and temporary files. */
const PASSED_ON = ["PATH", "HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "NO_COLOR"];

/** The native program: npm's own `workerd` may be a script that would have to be killed too. */
export const workerdPath = () => createRequire(join(ROOT, "package.json"))("workerd").default;

/**
 * Starts workerd, in the caller's process group. Who starts it, ends it.
 * @param {Options} options
 */
export function launch({ port, stateDir, vars, ...rest }) {
  const objects = join(stateDir, "objects");
  mkdirSync(objects, { recursive: true, mode: 0o700 });
  const config = join(stateDir, "workerd.capnp");
  writeFileSync(config, configText({ vars, ...rest }));
  if (rest.outbound !== undefined) writeFileSync(join(stateDir, "outbound.mjs"), rest.outbound);
  /** @type {NodeJS.ProcessEnv} */
  const env = {};
  for (const name of PASSED_ON) if (process.env[name] !== undefined) env[name] = process.env[name];
  const args = [
    "serve",
    `--import-path=${ROOT}`,
    `--socket-addr=http=127.0.0.1:${port}`,
    `--directory-path=state=${objects}`,
    `--directory-path=web=${join(ROOT, WEB)}`,
    config,
  ];
  return spawn(workerdPath(), args, { env: { ...env, ...vars }, stdio: ["ignore", "pipe", "pipe"] });
}

/** @param {number} ms */
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** @param {import("node:child_process").ChildProcess} child */
export const hasEnded = (child) => child.exitCode !== null || child.signalCode !== null;

/**
 * Ends a child: it is asked, and after `graceMs` made to. workerd left alone waits for open
 * connections for ever.
 * @param {import("node:child_process").ChildProcess} child
 */
export async function end(child, graceMs = 2_000) {
  if (child.pid === undefined || hasEnded(child)) return;
  const closed = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const force = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await closed;
  clearTimeout(force);
}

/**
 * Waits for the authority's first answer to the path that needs its keys.
 * @param {{ url: string, child: import("node:child_process").ChildProcess, timeoutMs?: number }} at
 * @returns {Promise<{ state: "ready" } | { state: "ended" } | { state: "silent" } |
 *   { state: "refused", status: number, error: string }>}
 */
export async function firstAnswer({ url, child, timeoutMs = 30_000 }) {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    if (child.pid === undefined || hasEnded(child)) return { state: "ended" };
    try {
      const response = await fetch(`${url}/.well-known/jwks.json`, {
        headers: { connection: "close" },
        signal: AbortSignal.timeout(Math.max(1, deadline - Date.now())),
      });
      const text = await response.text();
      if (response.status === 200) return { state: "ready" };
      return { state: "refused", status: response.status, error: errorOf(text) };
    } catch {
      await sleep(50);
    }
  }
  return { state: "silent" };
}

/** @param {string} body */
function errorOf(body) {
  try {
    return String(JSON.parse(body).error);
  } catch {
    return body.slice(0, 200);
  }
}
