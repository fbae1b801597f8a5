// The authority's variables: their names, and where a local run takes their values from.
import { readFileSync } from "node:fs";
import { Plain } from "./console.mjs";

/**
 * Every variable that the worker reads; `wrangler.toml.example` documents each one.
 * @type {readonly string[]}
 */
export const VARIABLES = Object.freeze([
  "SITE_URL",
  "SIGNET_AUTHORITY_URL",
  "GHA_ISSUER",
  "GHA_CERT_AUDIENCE",
  "GHA_CERT_TTL_MS",
  "GHA_ALLOWED_OWNER_IDS",
  "GHA_ALLOWED_OWNERS",
  "GHA_ALLOWED_REPOSITORIES",
  "GHA_ALLOWED_REFS",
  "GHA_ALLOWED_WORKFLOWS",
  "GHA_ALLOWED_ENVIRONMENTS",
  "GHA_ALLOWED_EVENTS",
  "GHA_ALLOW_PULL_REQUEST",
  "JTI_MIN_TTL_SECONDS",
  "LEGACY_IDENTITY_SAN",
  "TRUSTED_ISSUERS",
  "GITHUB_API_URL",
  "MTLS_PROXY_SECRET",
  "MTLS_PROXY_SECRET_HEADER",
  "MTLS_CERTIFICATE_HEADER",
  "ALLOWED_AUDIENCES",
  "DPOP_REQUIRE_NONCE",
  "OAUTH_CLIENTS",
  "OIDC_CLIENT_SECRETS",
  "CORS_ALLOWED_ORIGINS",
  "ID_TOKEN_SIGNING_ALGS",
  "BOOTSTRAP_CODE",
  "WEBAUTHN_RP_ID",
  "WEBAUTHN_ORIGINS",
  "REGISTRATION",
  "NOTME_SOURCE_HEADER",
  "NOTME_RATE_LIMITS",
  "NOTME_KEY_STORAGE",
  "NOTME_KEK_SECRET",
  "NOTME_KEK_SECRET_PREVIOUS",
  "NOTME_ALLOW_URL_CHANGE",
  "NOTME_LOG_LEVEL",
  "BUILD_SHA",
]);

/** Those that are set with `wrangler secret put` and never stand in a file that is committed. */
export const SECRETS = Object.freeze(["BOOTSTRAP_CODE", "MTLS_PROXY_SECRET", "NOTME_KEK_SECRET", "NOTME_KEK_SECRET_PREVIOUS", "OIDC_CLIENT_SECRETS"]);

/** What names of variables of ours begin with, or of our commands. */
const OURS = /^(DPOP|GHA|MTLS|NOTME|OIDC|SIGNET)_/;
/** What the commands read, and the worker does not. */
const COMMANDS = /^NOTME_(CACHE_DIR|STATE_DIR|TEST_\w+|TOOLCHAIN|WRITE_DOCS)$/;

/**
 * Names that look like ours and are none: a rule that is misspelt is a rule that is not there.
 * @param {Iterable<string>} names
 */
export const misspelt = (names) =>
  [...names].filter((name) => OURS.test(name) && !VARIABLES.includes(name) && !COMMANDS.test(name));

/**
 * Reads the dotenv lines of a `.dev.vars`, in the dialect that wrangler reads: `NAME=value`, with
 * quotes around a value that has spaces at its ends or a `#`.
 * @param {string} text
 * @returns {Record<string, string>}
 */
export function parseDevVars(text) {
  /** @type {Record<string, string>} */
  const found = {};
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const match = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$/.exec(line);
    if (!match) throw new Plain(`.dev.vars, line ${i + 1}, is no NAME=value.`);
    const [, name, raw] = match;
    const quoted = /^(["'`])(.*)\1(?:\s*#.*)?$/.exec(raw);
    if (quoted) found[name] = quoted[1] === '"' ? quoted[2].replace(/\\n/g, "\n") : quoted[2];
    else found[name] = raw.replace(/(^|\s+)#.*$/, "");
  }
  return found;
}

/**
 * The variables of a local run: the environment wins over `.dev.vars`, which wins over defaults.
 * A variable that is set to nothing counts as set, so that the environment can empty a list.
 * @param {{ env: NodeJS.ProcessEnv, devVarsPath: string, origin: string }} from
 * @returns {Record<string, string>}
 */
export function resolveVariables({ env, devVarsPath, origin }) {
  const file = readDevVars(devVarsPath);
  for (const [where, names] of [[devVarsPath, Object.keys(file)], ["the environment", Object.keys(env)]]) {
    const [name] = misspelt(names);
    if (name) throw new Plain(`${name} in ${where} is no variable of notme: wrangler.toml.example has them all.`);
  }
  /** @type {Record<string, string>} */
  const values = {};
  for (const name of VARIABLES) {
    const value = env[name] ?? file[name];
    if (value !== undefined) values[name] = value;
  }
  values.SIGNET_AUTHORITY_URL ||= origin;
  values.SITE_URL ||= values.SIGNET_AUTHORITY_URL;
  return values;
}

/** @param {string} path */
export function readDevVars(path) {
  try {
    return parseDevVars(readFileSync(path, "utf8"));
  } catch (error) {
    if (error instanceof Plain) throw error;
    if (error.code === "ENOENT") return {};
    throw new Plain(`${path} could not be read: ${error.code}.`);
  }
}
