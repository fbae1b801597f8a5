// Certificates for random valid requests, read by everybody but us.
//
//   NOTME_TEST_CERTIFICATES=<requests>   default 1000; two certificates each
//   NOTME_TEST_SEED=<number>             repeats a run's requests
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";
import { startAuthority } from "./support/authority.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { VERIFIERS, keepLeaves, lint, lintNeeds } from "./support/foreign.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { seeded } from "./support/random.mjs";

const REQUESTS = Number(process.env.NOTME_TEST_CERTIFICATES ?? 1_000);
const SEED = Number(process.env.NOTME_TEST_SEED ?? Date.now() % 1_000_000);
/** Small enough that all of a batch is verified long before its certificates expire. */
const BATCH = 1_000;
const CONCURRENCY = 8;

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
