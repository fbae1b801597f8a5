// Verifiers of certificates that share nothing with the authority, one function each: they take a
// folder with roots and leaves, and give a line for each leaf that is not accepted. Each runs over
// many certificates at once, for a process per certificate would take most of the time.
import { execFile } from "node:child_process";
import { X509Certificate, createPublicKey } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { ROOT, onPath } from "../../tools/lib/places.mjs";
import { pkilint } from "../../tools/lib/python.mjs";

/**
 * @typedef {object} Root
 * @property {string} file in the folder, `NAME.pem`
 * @property {string} host what the authority is called, with its port
 *
 * @typedef {object} Leaf a certificate and what it must say
 * @property {string} file in the folder, `NAME.NUMBER-KIND.pem`
 * @property {"mtls" | "signing"} kind
 * @property {string} root its root's file
 * @property {string} subject
 * @property {string} identity
 * @property {string[]} scopes
 * @property {string} auth_method
 * @property {number} epoch
 * @property {number} expires_at
 * @property {string} binding
 * @property {string} spki base64 of the submitted key
 * @property {number} asked_at_ms
 * @property {number} answered_at_ms
 *
 * @typedef {{ folder: string, roots: Root[], leaves: Leaf[] }} Batch
 * @typedef {object} Verifier
 * @property {() => string | undefined} needs why it cannot be used here
 * @property {() => Promise<unknown>} [prepare] what may take long, before there are certificates that expire
 * @property {(batch: Batch) => Promise<string[]>} verify
 */

/**
 * Writes the two leaves of an answer into the folder, and says what must be in them.
 * @param {object} exchange
 * @param {string} exchange.folder
 * @param {Root} exchange.root
 * @param {string} exchange.number
 * @param {string} exchange.subject
 * @param {import("./client.mjs").Keys} exchange.keys
 * @param {any} exchange.json the answer
 * @param {[number, number]} exchange.during when it was asked for and answered
 * @returns {Leaf[]}
 */
export function keepLeaves({ folder, root, number, subject, keys, json, during }) {
  return ["mtls", "signing"].map((kind) => {
    const file = `${root.file.replace(/pem$/, "")}${number}-${kind}.pem`;
    writeFileSync(join(folder, file), json.certificates[kind]);
    return {
      file,
      kind,
      root: root.file,
      subject,
      identity: json.identity,
      scopes: ["bridgeCert"],
      auth_method: "gha-oidc",
      epoch: json.authority.epoch,
      expires_at: json.expires_at,
      binding: json.binding,
      spki: keys[kind].publicKey.export({ type: "spki", format: "der" }).toString("base64"),
      asked_at_ms: during[0],
      answered_at_ms: during[1],
    };
  });
}

/**
 * Runs a program; unlike an error, an exit code is an answer.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd?: string, input?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<{ code: number, stdout: string, stderr: string }>}
 */
export function execute(command, args, { cwd, input, env } = {}) {
  return new Promise((resolve, reject) => {
    const child = execFile(command, args, { cwd, env, maxBuffer: 1 << 30 }, (error, stdout, stderr) => {
      if (error && typeof error.code !== "number") return reject(error);
      resolve({ code: error ? error.code : 0, stdout, stderr });
    });
    child.stdin.on("error", () => {}); // it may end before it has read everything
    child.stdin.end(input ?? "");
  });
}

/** @param {string} program */
export const missing = (program) => (onPath(program) ? undefined : `${program} is not installed`);

/**
 * Programs of `tests/verify/go`, compiled once for a test process.
 * @type {Map<string, Promise<string>>}
 */
const compiled = new Map();

/** @param {string} name */
export function goProgram(name) {
  if (!compiled.has(name)) compiled.set(name, compile(name));
  return compiled.get(name);
}

/** @param {string} name */
async function compile(name) {
  const folder = await mkdtemp(join(tmpdir(), "notme-go-"));
  process.once("exit", () => void rmQuietly(folder));
  const path = join(folder, name);
  const { code, stderr } = await execute("go", ["build", "-trimpath", "-o", path, `./${name}`], {
    cwd: join(ROOT, "tests/verify/go"),
    // Nothing but the standard library is used, so nothing may be fetched.
    env: { ...process.env, GOTOOLCHAIN: "local", GOPROXY: "off", GOFLAGS: "", GOWORK: "off" },
  });
  if (code !== 0) throw new Error(`go build ${name}:\n${stderr}`);
  return path;
}

/** @param {string} folder */
function rmQuietly(folder) {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // A temporary folder that stays is no failure.
  }
}

/**
 * @param {Batch} batch
 * @param {(root: Root, leaves: Leaf[]) => Promise<string[]>} body
 */
const byRoot = async ({ roots, leaves }, body) =>
  (await Promise.all(roots.map((root) => body(root, leaves.filter((leaf) => leaf.root === root.file))))).flat();

/**
 * Of programs that print `FILE: OK` for what they accept.
 * @param {Leaf[]} leaves
 * @param {{ stdout: string, stderr: string }} output
 */
function unaccepted(leaves, { stdout, stderr }) {
  const accepted = new Set(stdout.split("\n").filter((line) => line.endsWith(": OK")));
  const lines = `${stdout}\n${stderr}`.split("\n");
  return leaves
    .filter(({ file }) => !accepted.has(`${file}: OK`))
    .map(({ file }) => {
      const at = lines.findIndex((line) => line.includes(file));
      // OpenSSL names the file after it has said what is wrong with it.
      const from = lines[at]?.startsWith("error ") ? Math.max(0, at - 1) : at;
      return `${file}: ${at < 0 ? "nothing was said about it" : lines.slice(from, at + 1).join("; ")}`;
    });
}

/** @type {Verifier} OpenSSL's strict reading of RFC 5280 */
const openssl = {
  needs: () => missing("openssl"),
  verify: (batch) =>
    byRoot(batch, async (root, leaves) => {
      const failures = [];
      for (const [purpose, chosen] of [[[], leaves], [["-purpose", "sslclient"], leaves.filter(({ kind }) => kind === "mtls")]]) {
        if (!chosen.length) continue;
        const args = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", ...purpose, "-CAfile", root.file];
        const ran = await execute("openssl", [...args, ...chosen.map(({ file }) => file)], { cwd: batch.folder });
        failures.push(...unaccepted(chosen, ran));
      }
      return failures;
    }),
};

/** certtool takes one chain a run, so several run side by side. */
const CERTTOOL = `
  if out=$(certtool --verify --verify-profile medium --verify-purpose 1.3.6.1.5.5.7.3.2 --load-ca-certificate "$0" --infile "$1" 2>&1) \\
    && [ "\${out#*The certificate is trusted}" != "$out" ]
  then echo "$1: OK"; else printf '%s: %s\\n' "$1" "$(printf %s "$out" | tr '\\n' ' ')"; fi`;

/** @type {Verifier} */
const gnutls = {
  needs: () => missing("certtool"),
  verify: (batch) =>
    byRoot(batch, async (root, leaves) => {
      const args = ["-P", String(cpus().length), "-n", "1", "sh", "-c", CERTTOOL, root.file];
      const input = leaves.map(({ file }) => `${file}\n`).join("");
      return unaccepted(leaves, await execute("xargs", args, { cwd: batch.folder, input }));
    }),
};

/** @type {Verifier} Go's standard library, and all that the profile says, written down again */
const go = {
  needs: () => missing("go"),
  prepare: () => goProgram("certificates"),
  async verify({ folder, roots, leaves }) {
    const manifest = join(folder, "manifest.json");
    writeFileSync(manifest, JSON.stringify({ roots, leaves }));
    const { code, stdout, stderr } = await execute(await goProgram("certificates"), [manifest]);
    if (code !== 0) return [`the program ended with ${code}: ${stderr}`];
    const report = JSON.parse(stdout);
    const isComplete = report.checked === leaves.length && report.roots === roots.length;
    return isComplete ? report.failures : [...report.failures, `only ${report.checked} were checked`];
  },
};

/** @type {Verifier} what a server on Node sees */
const node = {
  needs: () => undefined,
  async verify({ folder, roots, leaves }) {
    const read = (file) => new X509Certificate(readFileSync(join(folder, file)));
    const byFile = new Map(roots.map(({ file }) => [file, read(file)]));
    return leaves.flatMap((leaf) => {
      const problems = [];
      const check = (holds, what) => void (holds || problems.push(`${leaf.file}: ${what}`));
      try {
        const certificate = read(leaf.file);
        const root = byFile.get(leaf.root);
        check(certificate.verify(root.publicKey), "the signature is not the root's");
        check(certificate.checkIssued(root), "the root did not issue it");
        check(!certificate.ca, "it is a CA");
        check(certificate.subjectAltName === `URI:${leaf.identity}`, `its name is ${certificate.subjectAltName}`);
        check(Date.parse(certificate.validTo) === leaf.expires_at * 1000, `it ends at ${certificate.validTo}`);
        const submitted = createPublicKey({ key: Buffer.from(leaf.spki, "base64"), format: "der", type: "spki" });
        check(certificate.publicKey.equals(submitted), "it is over another key");
      } catch (error) {
        check(false, String(error));
      }
      return problems;
    });
  },
};

/**
 * @param {string} crate
 * @param {"bin" | "example"} kind
 * @param {string} name
 * @returns {Promise<string>} path of a program of one of our crates
 */
async function compileOurs(crate, kind, name) {
  const args = ["build", "--quiet", "--package", crate, `--${kind}`, name, "--message-format=json"];
  const { code, stdout, stderr } = await execute("cargo", args, { cwd: ROOT });
  if (code !== 0) throw new Error(`${name} could not be built:\n${stderr}`);
  const messages = stdout.split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  return messages.find(({ target, executable }) => target?.name === name && executable).executable;
}

/** @param {string} crate @param {string} example */
export const compileExample = (crate, example) => compileOurs(crate, "example", example);

/** The command-line client. */
export const compileClient = () => compileOurs("notme-cli", "bin", "notme");

/** @type {Promise<string> | undefined} */
let compiledOurs;

/** @type {Verifier} our own strict reader, in a native program */
const ours = {
  needs: () => missing("cargo"),
  prepare: () => (compiledOurs ??= compileExample("notme-x509", "verify")),
  async verify(batch) {
    const program = await ours.prepare();
    const now = String(Math.floor(Date.now() / 1000));
    return byRoot(batch, async (root, leaves) =>
      unaccepted(leaves, await execute(program, [now, root.file, ...leaves.map(({ file }) => file)], { cwd: batch.folder })),
    );
  },
};

/** @type {Record<string, Verifier>} by the name that people know */
export const VERIFIERS = {
  "openssl verify -x509_strict": openssl,
  "Go's crypto/x509": go,
  GnuTLS: gnutls,
  "Node's X509Certificate": node,
  "our own reader": ours,
};

/** @typedef {{ file: string, severity: string, code: string, message: string, where: string }} Finding */

export const lintNeeds = () => (pkilint.program("python") ? undefined : "pkilint is not installed (npm run setup -- --test)");

/**
 * @param {{ folder: string, roots: { file: string }[], leaves: { file: string }[] }} batch leaves, and what is above them
 * @returns {Promise<{ linted: number, findings: Finding[] }>} what pkilint finds above INFO
 */
export async function lint({ folder, roots, leaves }) {
  const files = (list) => list.map(({ file }) => file);
  const args = [join(ROOT, "tests/verify/lint.py"), ...files(roots), "--", ...files(leaves)];
  const { code, stdout, stderr } = await execute(pkilint.program("python"), args, { cwd: folder });
  if (code !== 0) throw new Error(`pkilint ended with ${code}:\n${stderr}`);
  return JSON.parse(stdout);
}
