// Certificates for random valid requests, read by everybody but us.
//
//   NOTME_TEST_CERTIFICATES=<requests>   default 1000; two certificates each
//   NOTME_TEST_SEED=<number>             repeats a run's requests
import assert from "node:assert/strict";
import { X509Certificate, generateKeyPairSync, sign } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { VERIFIERS, compileClient, execute, keepLeaves, lint, lintNeeds, missing } from "./support/foreign.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { seeded } from "./support/random.mjs";

const REQUESTS = Number(process.env.NOTME_TEST_CERTIFICATES ?? 1_000);
const SEED = Number(process.env.NOTME_TEST_SEED ?? Date.now() % 1_000_000);
/** Small enough that all of a batch is verified long before its certificates expire. */
const BATCH = 1_000;
const CONCURRENCY = 8;
/** Issuing certificates, few enough that all is verified long before they expire; and task leaves below each. */
const ISSUING = Math.min(50, Math.max(10, Math.ceil(REQUESTS / 50)));
const TASKS = 4;

const random = seeded(SEED);
const ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/** What has a meaning in some notation of names, and characters of one to four bytes. */
const HOSTILE = [...`,+="<>;#\\/'~_@*&%!$^|?:.()[]{} \``, ..."äßøЖ中文🦀🔑é\u0301İſ"];

/** @returns {string} a subject as GitHub writes it, or one that no parser should be fed */
function subject(repository) {
  const part = (length) => random.text([...ALPHANUMERIC, ...HOSTILE], length);
  switch (random.between(0, 5)) {
    case 0:
      return `repo:${repository}:ref:refs/heads/${random.text(`${ALPHANUMERIC}/-_.`, random.between(1, 60))}`;
    case 1:
      return `repo:${repository}:environment:${part(random.between(1, 60))}`;
    case 2:
      return `repo:${repository},${random.one(["O", "CN", "2.5.4.10", "DC"])}=${part(10)}+UID=${part(5)}`;
    case 3:
      return part(random.one([1, 63, 64, 65, 200]));
    case 4:
      return random.text(ALPHANUMERIC, random.one([1, 63, 64, 65, 200]));
    default:
      return part(random.between(1, 200));
  }
}

/** Claims of a job that is allowed to have a pair. */
function claims() {
  const owner = random.one(ALPHANUMERIC) + random.text(`${ALPHANUMERIC}-`, random.between(0, 38));
  const name = random.one(ALPHANUMERIC) + random.text(`${ALPHANUMERIC}-_.`, random.between(0, 99));
  const ref = `refs/heads/${random.text([...ALPHANUMERIC, ...HOSTILE], random.between(1, 100))}`;
  return {
    sub: subject(`${owner}/${name}`),
    repository: `${owner}/${name}`,
    repository_owner: owner,
    ref,
    environment: random.one([undefined, random.text([...ALPHANUMERIC, ...HOSTILE], random.between(1, 50))]),
    actor: random.text([...ALPHANUMERIC, ...HOSTILE], random.between(1, 39)),
    job_workflow_ref: `${owner}/${name}/.github/workflows/ci.yml@${ref}`,
    event_name: random.one(["push", "schedule", "workflow_dispatch", "release"]),
  };
}

/** @type {{ authority: import("./support/authority.mjs").Authority, root: import("./support/foreign.mjs").Root, site: string }[]} */
const authorities = [];
let issuer;
let folder;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "notme-certificates-"));
  issuer = await startIssuer();
  const vars = { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNER_IDS: "2" };
  // One that is called what it is reached by, and one behind a proxy, under another name and port.
  for (const [name, changes] of [["local", {}], ["other", { SITE_URL: "https://example.org", SIGNET_AUTHORITY_URL: "https://identity.example.org:8443" }]]) {
    const authority = await startAuthority({ vars: { ...vars, ...changes }, allowLoopback: true });
    const file = `${name}.pem`;
    const pem = await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text();
    writeFileSync(join(folder, file), pem);
    const host = new URL(changes.SIGNET_AUTHORITY_URL ?? authority.url).host;
    authorities.push({ authority, root: { file, host }, site: new URL(changes.SITE_URL ?? authority.url).host });
  }
});
after(async () => {
  for (const { authority } of authorities) await authority.stop();
  await issuer?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/**
 * One exchange; the two leaves are written to the folder.
 * @param {number} number
 * @param {object} asked claims
 * @returns {Promise<import("./support/foreign.mjs").Leaf[]>}
 */
async function pair(number, asked) {
  const { authority, root, site } = authorities[number % authorities.length];
  const token = await issuer.token(asked);
  const keys = new Keys();
  const askedAt = Date.now();
  const { status, text, json } = await enroll(authority.url, token, keys.body(token));
  const answeredAt = Date.now();
  assert.equal(status, 200, `${text}\nfor ${JSON.stringify(asked)}`);
  assert.equal(json.identity, `wimse://${site}/gha/${asked.repository}`);
  const during = [askedAt, answeredAt];
  return keepLeaves({ folder, root, number: String(number).padStart(5, "0"), subject: asked.sub, keys, json, during });
}

/** @param {number} first @param {number} count */
async function pairs(first, count) {
  const jobs = Array.from({ length: count }, (_, i) => [first + i, claims()]);
  const leaves = [];
  await Promise.all(
    Array.from({ length: CONCURRENCY }, async () => {
      for (let job = jobs.shift(); job; job = jobs.shift()) leaves.push(...(await pair(...job)));
    }),
  );
  return leaves;
}

const roots = () => authorities.map(({ root }) => root);
const usable = Object.entries(VERIFIERS).filter(([, { needs }]) => !needs());
const inSeconds = (ms) => `${(ms / 1000).toFixed(1)} s`;

/** @param {string[]} lines */
const few = (lines) => `${lines.length} problems with seed ${SEED}:\n${lines.slice(0, 20).join("\n")}`;

/** The findings that `docs/certificate-profile.md` argues: each has a heading of its own. */
function argued() {
  const text = readFileSync(join(ROOT, "docs/certificate-profile.md"), "utf8");
  const section = text.split("\n## ").find((part) => part.startsWith("Findings of linters that are accepted")) ?? "";
  return [...section.matchAll(/^### `([\w.]+)` \((\w+)\)$/gm)].map(([, code, severity]) => `${severity} ${code}`);
}

describe(`${REQUESTS} random requests`, () => {
  /** @type {Map<string, { failures: string[], ms: number }>} */
  const results = new Map(usable.map(([name]) => [name, { failures: [], ms: 0 }]));
  /** @type {Map<string, string[]>} serial number to the files that have it */
  const serials = new Map();
  const linted = { count: 0, findings: [], ms: 0 };
  let issued = 0;
  let issuingMs = 0;

  before(async () => {
    for (const [, { prepare }] of usable) await prepare?.();
    let linting = Promise.resolve();
    for (let first = 0; first < REQUESTS; first += BATCH) {
      const start = Date.now();
      const leaves = await pairs(first, Math.min(BATCH, REQUESTS - first));
      issuingMs += Date.now() - start;
      issued += leaves.length;
      for (const { file } of leaves) {
        const { serialNumber } = new X509Certificate(readFileSync(join(folder, file)));
        serials.set(serialNumber, [...(serials.get(serialNumber) ?? []), file]);
      }
      const batch = { folder, roots: roots(), leaves };
      // A linter knows no clock and may lag behind; the others may not.
      if (!lintNeeds()) {
        linting = linting.then(async () => {
          const since = Date.now();
          const { linted: count, findings } = await lint(batch);
          linted.count += count;
          linted.findings.push(...findings);
          linted.ms += Date.now() - since;
        });
        linting.catch(() => {}); // awaited below
      }
      for (const [name, { verify }] of usable) {
        const since = Date.now();
        const result = results.get(name);
        result.failures.push(...(await verify(batch)));
        result.ms += Date.now() - since;
      }
    }
    await linting;
  });

  test("each is answered with two certificates", (t) => {
    t.diagnostic(`seed ${SEED}: ${issued} certificates in ${inSeconds(issuingMs)}`);
    assert.equal(issued, 2 * REQUESTS);
  });

  test("serial numbers never repeat, and are random", () => {
    const repeated = [...serials].filter(([, files]) => files.length > 1);
    assert.deepEqual(repeated.slice(0, 3), []);
    assert.equal(serials.size, 2 * REQUESTS);
    // 128 bits each: every bit is set in about half of them (six standard deviations).
    const spread = 3 * Math.sqrt(serials.size);
    for (let bit = 0n; bit < 128n; bit += 1n) {
      const set = [...serials.keys()].filter((serial) => (BigInt(`0x${serial}`) >> bit) & 1n).length;
      assert.ok(Math.abs(set - serials.size / 2) <= spread, `bit ${bit} is set in ${set} of ${serials.size}`);
    }
  });

  for (const [name, { needs }] of Object.entries(VERIFIERS)) {
    test(`${name} accepts all of them`, { skip: needs() ?? false }, (t) => {
      const { failures, ms } = results.get(name);
      t.diagnostic(inSeconds(ms));
      assert.ok(failures.length === 0, few(failures));
    });
  }

  test("pkilint finds nothing but what the profile argues", { skip: lintNeeds() ?? false }, (t) => {
    t.diagnostic(inSeconds(linted.ms));
    assert.equal(linted.count, 2 * REQUESTS + roots().length * Math.ceil(REQUESTS / BATCH));
    const accepted = new Set(argued());
    const isRoot = ({ file }) => roots().some((root) => root.file === file);
    const surprises = linted.findings.filter((finding) => isRoot(finding) || !accepted.has(`${finding.severity} ${finding.code}`));
    const lines = surprises.map(({ file, severity, code, message, where }) => `${file}: ${severity} ${code} at ${where}: ${message}`);
    assert.ok(lines.length === 0, few(lines));
    // An argument for what no longer occurs would hide it when it comes back.
    for (const finding of accepted) {
      const found = linted.findings.filter(({ severity, code }) => `${severity} ${code}` === finding);
      assert.equal(new Set(found.map(({ file }) => file)).size, 2 * REQUESTS, `${finding} is found in each leaf`);
    }
  });
});

describe(`${ISSUING} issuing certificates, and ${TASKS} task leaves below each`, () => {
  const ROOT_FILE = "tasks.pem";
  let authority;
  let browser;
  let me;
  let client;
  /** @type {{ file: string, key: string }[]} */
  const issuing = [];
  /** @type {{ file: string, issuing: typeof issuing[number] }[]} */
  const tasks = [];

  before(async () => {
    client = await compileClient();
    authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    browser = new Browser(authority);
    await browser.register(new Passkey(ES256), { wanted: { bootstrapCode: CODE, displayName: "Ana" } });
    me = (await browser.me()).json.userId;
    writeFileSync(join(folder, ROOT_FILE), await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text());
    for (let i = 0; i < ISSUING; i++) {
      const one = await issuingCertificate(i);
      issuing.push(one);
      for (let j = 0; j < TASKS; j++) tasks.push({ file: await taskLeaf(one, j), issuing: one });
    }
  });
  after(() => authority?.stop());

  /** One on a delegation that limits it to an audience, or to a purpose, or to both, or to neither. */
  async function issuingCertificate(number) {
    const audience = number % 2 ? `https://${random.text(ALPHANUMERIC, random.between(1, 192))}` : undefined;
    const purposeHash = number % 4 > 1 ? random.text("0123456789abcdef", 64) : undefined;
    const made = await browser.post("/delegations", { delegate: me, depth: random.between(1, 4), audience, purposeHash });
    assert.equal(made.status, 200, made.text);
    const challenge = Buffer.from((await browser.post("/cert/challenge")).json.challenge, "base64url");
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const message = Buffer.concat([Buffer.from("notme-issuing-key-v1\0"), challenge, publicKey.export({ type: "spki", format: "der" })]);
    const { status, text, json } = await browser.post("/cert", {
      proof: { type: "session" },
      credential: "issuing",
      delegation: made.json.id,
      challenge: challenge.toString("base64url"),
      public_keys: { issuing: publicKey.export({ type: "spki", format: "pem" }) },
      proofs: { issuing: sign(null, message, privateKey).toString("base64url") },
    });
    assert.equal(status, 200, text);
    const name = `tasks.issuing-${number}`;
    writeFileSync(join(folder, `${name}.pem`), json.certificates.issuing);
    writeFileSync(join(folder, `${name}.key`), privateKey.export({ type: "pkcs8", format: "pem" }));
    return { file: `${name}.pem`, key: `${name}.key` };
  }

  /** One of a task, over a key of either kind, which the client signs. */
  async function taskLeaf(one, number) {
    const name = `${one.file.replace(/\.pem$/, "")}.task-${number}`;
    // A dot alone is no id.
    const id = random.one(ALPHANUMERIC) + random.text(`${ALPHANUMERIC}-_.`, random.one([0, 1, 20, 63]));
    const args = ["task", "mint", "--issuing", one.file, "--issuing-key", one.key, "--id", id, "--out", name];
    if (number % 2) {
      const { publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      writeFileSync(join(folder, `${name}.pub`), publicKey.export({ type: "spki", format: "pem" }));
      args.push("--public-key", `${name}.pub`, "--ttl", String(random.between(200, 280)));
    }
    const { code, stderr } = await execute(client, args, { cwd: folder });
    assert.equal(code, 0, stderr);
    const chain = readFileSync(join(folder, name, "task.pem"), "utf8");
    writeFileSync(join(folder, `${name}.chain`), chain);
    writeFileSync(join(folder, `${name}.pem`), chain.split(/(?<=-----END CERTIFICATE-----\n)/)[0]);
    return `${name}.pem`;
  }

  test("are of both kinds of keys, and no serial number repeats", () => {
    assert.deepEqual([issuing.length, tasks.length], [ISSUING, ISSUING * TASKS]);
    const read = ({ file }) => new X509Certificate(readFileSync(join(folder, file)));
    assert.deepEqual(new Set(tasks.map((task) => read(task).publicKey.asymmetricKeyType)), new Set(["ed25519", "ec"]));
    assert.equal(new Set([...issuing, ...tasks].map((one) => read(one).serialNumber)).size, ISSUING * (1 + TASKS));
  });

  test("pkilint finds nothing but what the profile argues", { skip: lintNeeds() ?? false }, async () => {
    const below = await lint({ folder, roots: [{ file: ROOT_FILE }], leaves: issuing });
    const deeper = await lint({ folder, roots: issuing, leaves: tasks });
    assert.deepEqual([below.linted, deeper.linted], [1 + ISSUING, ISSUING * (1 + TASKS)]);
    const accepted = argued();
    const findings = [...below.findings, ...deeper.findings];
    const surprises = findings.filter((finding) => finding.file === ROOT_FILE || !accepted.includes(`${finding.severity} ${finding.code}`));
    assert.ok(surprises.length === 0, few(surprises.map((finding) => JSON.stringify(finding))));
    for (const finding of accepted) {
      const found = findings.filter(({ severity, code }) => `${severity} ${code}` === finding);
      assert.equal(new Set(found.map(({ file }) => file)).size, ISSUING * (1 + TASKS), `${finding} is found in each`);
    }
  });

  /** What certtool says of a chain, in one line. */
  const certtool = async (input) => {
    const args = ["--verify", "--verify-profile", "medium", "--verify-purpose", "1.3.6.1.5.5.7.3.2", "--load-ca-certificate", ROOT_FILE];
    const { stdout } = await execute("certtool", args, { cwd: folder, input });
    return /^Chain verification output: (.*?)\s*$/m.exec(stdout)?.[1];
  };
  const ONLY_CRITICAL = "Not verified. The certificate is NOT trusted. The certificate contains an unknown critical extension.";
  const contents = (file) => readFileSync(join(folder, file), "utf8");

  test("GnuTLS has nothing against them but the extension that it must not know", { skip: missing("certtool") ?? false }, async () => {
    for (const { file } of issuing) assert.equal(await certtool(contents(file)), ONLY_CRITICAL, file);
    for (const { file } of tasks) assert.equal(await certtool(contents(file.replace(/pem$/, "chain"))), ONLY_CRITICAL, file);
    // What else is wrong it says too.
    const [one] = tasks;
    const bent = mutated(contents(one.file), (der) => (der[der.length - 1] ^= 1));
    assert.match(await certtool(bent + contents(one.issuing.file)), /signature in the certificate is invalid/);
    assert.notEqual(await certtool(contents(one.file) + contents(issuing.at(-1).file)), ONLY_CRITICAL);
  });

  test("OpenSSL's strict reading is good with those that know the extension", { skip: missing("openssl") ?? false }, async () => {
    const verify = async (one, more) => {
      const args = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-purpose", "sslclient", "-CAfile", ROOT_FILE, ...more];
      const { code, stdout, stderr } = await execute("openssl", [...args, "-untrusted", one.issuing.file, one.file], { cwd: folder });
      return code === 0 ? "good" : `${stdout}${stderr}`;
    };
    for (const one of tasks) {
      assert.equal(await verify(one, ["-ignore_critical"]), "good", one.file);
      assert.match(await verify(one, []), /unhandled critical extension/, one.file);
    }
  });
});

/** @param {string} pem @param {(der: Buffer) => void} change */
function mutated(pem, change) {
  const der = Buffer.from(pem.replace(/-----.*-----|\s/g, ""), "base64");
  change(der);
  const body = der.toString("base64").replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
}

describe("what is not right is refused", () => {
  /** Number of a request of the first authority, after all the random ones. */
  const number = 2 * Math.ceil(REQUESTS / 2);
  let leaves;
  before(async () => {
    leaves = await pair(number, claims());
  });

  for (const [name, { needs, verify }] of Object.entries(VERIFIERS)) {
    test(`${name} refuses 20 single-byte mutations`, { skip: needs() ?? false }, async (t) => {
      t.diagnostic(`seed ${SEED}`);
      const [leaf] = leaves;
      const good = readFileSync(join(folder, leaf.file), "utf8");
      const changed = Array.from({ length: 20 }, (_, i) => {
        const file = leaf.file.replace("-mtls", `-mutation-${i}`);
        writeFileSync(join(folder, file), mutated(good, (der) => (der[random.between(0, der.length - 1)] ^= random.between(1, 255))));
        return { ...leaf, file };
      });
      const all = await verify({ folder, roots: roots(), leaves: [leaf, ...changed] });
      // Most mutations keep the serial number; that alone shows nothing.
      const failures = all.filter((line) => !line.includes("has the serial number of"));
      assert.ok(!failures.some((line) => line.startsWith(`${leaf.file}:`)), `the leaf itself is refused: ${few(failures)}`);
      for (const { file } of changed) {
        assert.ok(failures.some((line) => line.startsWith(`${file}:`)), `${file} is accepted:\n${readFileSync(join(folder, file), "utf8")}`);
      }
    });

    test(`${name} refuses leaves of another authority`, { skip: needs() ?? false }, async () => {
      const [own, foreign] = roots();
      assert.equal(leaves[0].root, own.file);
      const moved = leaves.map((leaf) => ({ ...leaf, root: foreign.file }));
      const failures = await verify({ folder, roots: roots(), leaves: moved });
      for (const { file } of moved) assert.ok(failures.some((line) => line.startsWith(`${file}:`)), `${file} is accepted`);
    });
  }

  test("Go's check compares with what was asked for", { skip: VERIFIERS["Go's crypto/x509"].needs() ?? false }, async () => {
    const { verify } = VERIFIERS["Go's crypto/x509"];
    const [leaf, signing] = leaves;
    for (const [change, complaint] of [
      [{ subject: `${leaf.subject}!` }, /the subject identity is/],
      [{ identity: `${leaf.identity}/x` }, /the URI is/],
      [{ expires_at: leaf.expires_at + 1 }, /notAfter is .*\n.*notBefore is /],
      [{ epoch: leaf.epoch + 1 }, /the epoch is/],
      [{ scopes: ["authorityManage"] }, /the scopes is/],
      [{ auth_method: "passkey" }, /the authentication method is/],
      [{ binding: "0".repeat(64) }, /the pair binding is/],
      [{ spki: signing.spki }, /the key is not the submitted one/],
      [{ kind: "signing" }, /the list of extensions is/],
      [{ answered_at_ms: leaf.asked_at_ms - 1_000 }, /outside of the exchange/],
    ]) {
      const failures = await verify({ folder, roots: roots(), leaves: [{ ...leaf, ...change }] });
      assert.match(failures.join("\n"), complaint);
    }
    const twice = await verify({ folder, roots: roots(), leaves: [leaf, leaf] });
    assert.match(twice.join("\n"), /has the serial number of/);
    const renamed = await verify({ folder, roots: roots().map((root) => ({ ...root, host: "elsewhere" })), leaves: [] });
    assert.match(renamed.join("\n"), /an attribute of the subject is/);
  });

  test("pkilint sees a broken signature", { skip: lintNeeds() ?? false }, async () => {
    const [leaf] = leaves;
    const file = leaf.file.replace("-mtls", "-unsigned");
    writeFileSync(join(folder, file), mutated(readFileSync(join(folder, leaf.file), "utf8"), (der) => (der[der.length - 1] ^= 1)));
    const { findings } = await lint({ folder, roots: roots(), leaves: [{ ...leaf, file }] });
    assert.ok(findings.some(({ code }) => /signature/.test(code)), JSON.stringify(findings));
  });
});
