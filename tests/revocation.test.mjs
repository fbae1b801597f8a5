// What is revoked: the signed list, the CRLs, and verifiers that share nothing with the authority.
import assert from "node:assert/strict";
import { X509Certificate, randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { after, before, describe, test } from "node:test";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { execute, goProgram, missing } from "./support/foreign.mjs";
import { Verifier } from "./support/revocations.mjs";
import { databaseOf, meanwhile, noSqlite, query } from "./support/state.mjs";

const noKnife = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");
const LIST = "/.well-known/revocations.jwt";

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "notme-revocation-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
function newFile(content) {
  const path = join(folder, `${(count += 1)}.pem`);
  writeFileSync(path, content);
  return path;
}

/** Somebody with a browser, a passkey and an id. */
async function person(authority, wanted) {
  const browser = new Browser(authority);
  const registered = await browser.register(new Passkey(ES256), { wanted });
  assert.equal(registered.status, 200, registered.text);
  const { json } = await browser.me();
  return { id: json.userId, browser };
}

/** An authority, an administrator and a guest. */
async function open(vars = {}) {
  const authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE, ...vars } });
  const ana = await person(authority, { bootstrapCode: CODE, displayName: "Ana" });
  const invite = await ana.browser.post("/invites", { scopes: ["bridgeCert"] });
  const ben = await person(authority, { invite: invite.json.token, displayName: "Ben" });
  return { authority, ana, ben };
}

async function mint({ browser }, keys = new Keys()) {
  const answer = await browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) });
  assert.equal(answer.status, 200, answer.text);
  const { certificates, authority, expires_at: expiresAt } = answer.json;
  const serials = [certificates.mtls, certificates.signing].map((pem) => new X509Certificate(pem).serialNumber.toLowerCase().padStart(32, "0"));
  return { certificates, serials, epoch: authority.epoch, expiresAt };
}

const done = (answer) => assert.equal(answer.status, 200, answer.text);
const revoke = async ({ browser }, pair) => done(await browser.call("DELETE", `/admin/credentials/${pair.serials[1]}`));
const turnAway = async ({ browser }, { id }) => done(await browser.post(`/admin/principals/${id}/disable`, {}));
const letIn = async ({ browser }, { id }) => done(await browser.post(`/admin/principals/${id}/enable`, {}));

const get = (authority, path, headers = {}) => fetch(authority.url + path, { headers });
const list = async (authority) => decodeJwt(await (await get(authority, LIST)).text());

/** What our verifier says of both leaves. */
function verdicts(verifier, pair) {
  return Object.values(pair.certificates).map((pem) => verifier.refusal(pem));
}

const bothAre = (verifier, pair, verdict) => assert.deepEqual(verdicts(verifier, pair), [verdict, verdict]);

/** What stock verifiers say of both leaves by the CRLs: "good", "revoked", or something else. */
const STOCK = {
  "openssl verify -crl_check": {
    needs: missing("openssl"),
    async judge(roots, lists, leaves) {
      const verdict = async (leaf) => {
        const args = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-crl_check", "-CAfile", roots, "-CRLfile", lists, leaf];
        const { code, stderr } = await execute("openssl", args);
        if (code === 0) return "good";
        return /certificate revoked/.test(stderr) ? "revoked" : stderr.trim();
      };
      return Promise.all(leaves.map(verdict));
    },
  },
  "Go's crypto/x509": {
    needs: missing("go"),
    async judge(roots, lists, leaves) {
      const { code, stdout, stderr } = await execute(await goProgram("revocation"), [roots, lists, ...leaves]);
      assert.equal(code, 0, stderr);
      return stdout.trim().split("\n").map((line, i) => line.slice(leaves[i].length + 1));
    },
  },
};

async function stockVerdicts(authority, verifier, pair) {
  const text = async (path) => (await get(authority, path)).text();
  const [roots, lists] = [newFile(await text("/.well-known/ca-bundle.pem")), newFile(await text("/.well-known/crl.pem"))];
  return verifier.judge(roots, lists, Object.values(pair.certificates).map(newFile));
}

describe("the list of what is revoked", () => {
  let authority;
  let ana;
  let ben;
  before(async () => {
    ({ authority, ana, ben } = await open());
  });
  after(() => authority?.stop());

  test("is signed, says whose it is, how long it counts, and is short while nothing is revoked", async () => {
    const response = await get(authority, LIST);
    assert.equal(response.status, 200);
    assert.equal(response.headers.get("content-type"), "application/notme-revocations+jwt");
    assert.equal(response.headers.get("cache-control"), "public, no-cache");
    assert.equal(response.headers.get("access-control-allow-origin"), "*");
    const jwt = await response.text();
    const { keys } = await (await get(authority, "/.well-known/jwks.json")).json();
    assert.deepEqual(decodeProtectedHeader(jwt), { alg: "EdDSA", kid: keys[0].kid, typ: "notme-revocations+jwt" });
    const claims = decodeJwt(jwt);
    assert.deepEqual({ ...claims, iat: 0, exp: claims.exp - claims.iat }, { iss: authority.url, aud: "notme-revocations", iat: 0, exp: 300, epoch: 1, number: claims.number, credentials: [], principals: {}, delegations: {} });
    assert.ok(Math.abs(claims.iat - Date.now() / 1000) < 5);
    assert.ok(await new Verifier(authority).poll());
  });

  test("is made anew when something is revoked, once however many ask, and not because somebody asks for what they may not", async () => {
    const number = async () => (await get(authority, LIST)).headers.get("etag");
    const known = await number();
    const stranger = new Browser(authority);
    stranger.cookie = `notme_session=${randomBytes(32).toString("base64url")}`;
    for (const path of [`/delegations/${randomUUID()}`, `/admin/credentials/${"ab".repeat(16)}`, `/me/sessions/${randomUUID()}`]) {
      assert.equal((await stranger.call("DELETE", path)).status, 401, path);
      assert.equal((await ana.browser.call("DELETE", path)).status, 404, path);
    }
    done(await ana.browser.post("/invites", {}));
    assert.equal(await number(), known);
    await revoke(ana, await mint(ben));
    const numbers = new Set(await Promise.all(Array.from({ length: 20 }, number)));
    assert.equal(numbers.size, 1);
    assert.ok(!numbers.has(known));
  });

  test("stays the same where what is revoked is revoked again, whoever does it", async (t) => {
    const { authority, ana, ben } = await open();
    t.after(() => authority.stop());
    const number = async () => (await get(authority, LIST)).headers.get("etag");
    const pair = await mint(ben);
    const made = await ben.browser.post("/delegations", { delegate: ana.id });
    done(made);
    const takeBack = ({ browser }) => async () => done(await browser.call("DELETE", `/delegations/${made.json.id}`));
    for (const [what, act, ...again] of [
      ["a delegation", takeBack(ben), takeBack(ana)],
      ["a credential", () => revoke(ana, pair)],
      ["a principal", () => turnAway(ana, ben), () => revoke(ana, pair)],
    ]) {
      const before = await number();
      await act();
      const after = await number();
      assert.notEqual(after, before, what);
      for (const repeat of [act, ...again]) {
        await repeat();
        assert.equal(await number(), after, what);
      }
    }
  });

  test("is a CRL of one key as DER, too, which OpenSSL reads", { skip: missing("openssl") }, async () => {
    const gone = await mint(ben);
    await revoke(ana, gone);
    const response = await get(authority, "/.well-known/crl.der");
    assert.equal(response.headers.get("content-type"), "application/pkix-crl");
    const file = newFile(Buffer.from(await response.arrayBuffer()));
    const { code, stdout, stderr } = await execute("openssl", ["crl", "-inform", "DER", "-in", file, "-noout", "-text"]);
    assert.equal(code, 0, stderr);
    for (const pem of Object.values(gone.certificates)) assert.ok(stdout.includes(new X509Certificate(pem).serialNumber), "it is in it");
    const pem = newFile(await (await get(authority, "/.well-known/crl.pem")).text());
    const same = await execute("openssl", ["crl", "-in", pem, "-noout", "-text"]);
    assert.equal(same.stdout, stdout, "of one key they are the same");
  });

  test("is told apart by its tag, and stays the same until something is revoked", async () => {
    const first = await get(authority, LIST);
    const tag = first.headers.get("etag");
    const known = await get(authority, LIST, { "if-none-match": tag });
    assert.deepEqual([known.status, await known.text(), known.headers.get("etag")], [304, "", tag]);
    assert.equal(await (await get(authority, LIST)).text(), await first.text());
    assert.equal((await get(authority, LIST, { "if-none-match": '"0"' })).status, 200);
    const head = await fetch(authority.url + LIST, { method: "HEAD" });
    assert.deepEqual([head.status, head.headers.get("etag")], [200, tag]);
    await revoke(ana, await mint(ben));
    const next = await get(authority, LIST, { "if-none-match": tag });
    assert.equal(next.status, 200);
    assert.ok(decodeJwt(await next.text()).number > Number(tag.replaceAll('"', "")));
  });

  test("has both certificates of a pair that is revoked, and no other", async () => {
    const [taken, kept] = [await mint(ben), await mint(ben)];
    const verifier = new Verifier(authority);
    await verifier.poll();
    bothAre(verifier, taken, undefined);
    await revoke(ana, taken);
    await verifier.poll();
    bothAre(verifier, taken, "the credential is revoked");
    bothAre(verifier, kept, undefined);
    assert.deepEqual(taken.serials.filter((serial) => !verifier.list.credentials.includes(serial)), []);
    for (const [name, { needs, judge }] of Object.entries(STOCK)) {
      if (needs) continue;
      assert.deepEqual(await stockVerdicts(authority, { judge }, taken), ["revoked", "revoked"], name);
      assert.deepEqual(await stockVerdicts(authority, { judge }, kept), ["good", "good"], name);
    }
  });

  test("has whoever is turned away as one entry, for all that was issued until then and nothing after", async () => {
    const pairs = [await mint(ben), await mint(ben)];
    const of = await mint(ana);
    const before = (await list(authority)).credentials.length;
    await turnAway(ana, ben);
    const verifier = new Verifier(authority);
    await verifier.poll();
    for (const pair of pairs) bothAre(verifier, pair, "the principal is revoked");
    bothAre(verifier, of, undefined);
    assert.deepEqual(Object.keys(verifier.list.principals), [ben.id]);
    assert.ok(verifier.list.credentials.length <= before, "not one by one");
    for (const [name, { needs, judge }] of Object.entries(STOCK)) {
      if (!needs) assert.deepEqual(await stockVerdicts(authority, { judge }, pairs[0]), ["revoked", "revoked"], name);
    }
    const refused = await ben.browser.post("/cert", { proof: { type: "session" } });
    assert.equal(refused.status, 401, "nothing is issued to the revoked");
    await letIn(ana, ben);
    const again = new Browser(authority);
    again.passkey = ben.browser.passkey;
    await verifier.poll();
    for (const pair of pairs) bothAre(verifier, pair, "the principal is revoked");
  });

  test("a new epoch is in it at once, leaves no pair of the one before, and has a list of its own", async () => {
    const pair = await mint(ana);
    const verifier = new Verifier(authority);
    await verifier.poll();
    bothAre(verifier, pair, undefined);
    done(await ana.browser.post("/admin/epoch", {}));
    assert.ok(await verifier.poll());
    bothAre(verifier, pair, "another epoch");
    for (const [name, { needs, judge }] of Object.entries(STOCK)) {
      if (!needs) assert.ok(!(await stockVerdicts(authority, { judge }, pair)).includes("good"), name);
    }
    const next = await mint(ana);
    bothAre(verifier, next, undefined);
    const stockAre = async (verdict) => {
      for (const [name, { needs, judge }] of Object.entries(STOCK)) {
        if (!needs) assert.deepEqual(await stockVerdicts(authority, { judge }, next), [verdict, verdict], name);
      }
    };
    await stockAre("good");
    await revoke(ana, next);
    await stockAre("revoked");
    assert.ok(await verifier.poll());
    bothAre(verifier, next, "the credential is revoked");
  });
});

describe("over a rollover", () => {
  for (const [name, { needs, judge }] of Object.entries(STOCK)) {
    test(`pairs of the old key stay good, and what was revoked stays revoked: ${name}`, { skip: needs }, async (t) => {
      const { authority, ana, ben } = await open();
      t.after(() => authority.stop());
      const [good, bad] = [await mint(ben), await mint(ben)];
      await revoke(ana, bad);
      for (let i = 0; i < 2; i++) {
        done(await ana.browser.post("/admin/key/rollover", {}));
        assert.deepEqual(await stockVerdicts(authority, { judge }, good), ["good", "good"]);
        assert.deepEqual(await stockVerdicts(authority, { judge }, bad), ["revoked", "revoked"]);
        const fresh = await mint(ben);
        assert.deepEqual(await stockVerdicts(authority, { judge }, fresh), ["good", "good"]);
        await revoke(ana, fresh);
        assert.deepEqual(await stockVerdicts(authority, { judge }, fresh), ["revoked", "revoked"]);
      }
      // Our own list has what the old key's last CRL can't have.
      await revoke(ana, good);
      const verifier = new Verifier(authority);
      await verifier.poll();
      bothAre(verifier, good, "the credential is revoked");
    });
  }
});

describe("a verifier", () => {
  test("that can't get a fresh list refuses everything after the bound, and nothing before", async (t) => {
    const { authority, ben } = await open();
    let ahead = 0;
    const verifier = new Verifier({ url: authority.url, now: () => Date.now() / 1000 + ahead });
    const pair = await mint(ben);
    assert.equal(verifier.refusal(pair.certificates.mtls), "nobody knows what is revoked");
    await verifier.poll();
    await authority.stop();
    await assert.rejects(verifier.poll());
    ahead = 290;
    bothAre(verifier, pair, undefined);
    ahead = 300;
    bothAre(verifier, pair, "nobody knows what is revoked");
  });

  test("takes no list of another authority, and none that is older than it has seen", async (t) => {
    const [ours, theirs] = [await open(), await open()];
    t.after(() => Promise.all([ours.authority.stop(), theirs.authority.stop()]));
    const verifier = new Verifier(ours.authority);
    verifier.url = theirs.authority.url;
    await assert.rejects(verifier.poll());
    verifier.url = ours.authority.url;
    await verifier.poll();
    verifier.list.number += 1000;
    await revoke(ours.ana, await mint(ours.ben));
    await assert.rejects(verifier.poll(), /older/);
  });
});

describe("in the state", { skip: noKnife }, () => {
  test("what is revoked outlives kill -9, and its entry goes when nothing of it can be valid", async (t) => {
    const { authority, ana, ben } = await open();
    t.after(() => authority.stop());
    const [pair, other] = [await mint(ben), await mint(ana)];
    await revoke(ana, other);
    await turnAway(ana, ben);
    const before = await list(authority);
    await authority.kill9();
    await authority.restart();
    const after = await list(authority);
    assert.ok(after.number > before.number, "numbers go on");
    assert.deepEqual([after.credentials, after.principals, after.delegations], [before.credentials, before.principals, {}]);
    assert.equal(after.credentials.length, 2);
    // Six minutes later: the clock of a verifier may be a minute behind.
    const age = (secs) => `UPDATE revoked SET before = before - ${secs}, told_until = told_until - ${secs};
      UPDATE credentials SET id = id - ${secs} * 1048576, issued_at = issued_at - ${secs}, expires_at = expires_at - ${secs}, revoked_at = revoked_at - ${secs};`;
    await meanwhile(authority, age(355));
    assert.deepEqual(Object.keys((await list(authority)).principals), [ben.id]);
    await meanwhile(authority, age(10));
    const gone = await list(authority);
    assert.deepEqual([gone.credentials, gone.principals, gone.delegations], [[], {}, {}]);
    // The sweep takes the row, too, when somebody next asks for something.
    await ana.browser.me();
    assert.deepEqual(query(databaseOf(authority.stateDir), "SELECT * FROM revoked"), []);
    assert.equal(pair.serials.length, 2);
  });

  test("a failed revocation leaves the list as it was, and one during which it is asked for isn't missed", async (t) => {
    const { authority, ana, ben } = await open();
    t.after(() => authority.stop());
    const refused = await ben.browser.post(`/admin/principals/${ana.id}/disable`, {});
    assert.equal(refused.status, 403);
    assert.deepEqual((await list(authority)).principals, {});
    for (let round = 0; round < 20; round++) {
      const pair = await mint(ben);
      let isDone = false;
      const poll = async () => {
        while (!isDone) await list(authority);
      };
      const polling = [poll(), poll(), poll()];
      await revoke(ana, pair);
      // From the answer on everybody hears of it.
      const heard = await Promise.all(Array.from({ length: 4 }, () => list(authority)));
      isDone = true;
      await Promise.all(polling);
      assert.ok(heard.every(({ credentials }) => credentials.includes(pair.serials[0])), `round ${round}`);
    }
  });

  test("of 100,000 live pairs of 1,000 principals the list is short: 500 pairs, 50 agents and 5 humans are revoked", async (t) => {
    const { authority } = await open();
    t.after(() => authority.stop());
    const id = (n) => `printf('%08x-0000-4000-8000-%012x', ${n}, ${n})`;
    // Every second agent is a repository, whose pairs name it by its URI.
    const isJob = "1 + i % 1000 > 5 AND i % 2 = 0 AND 1 + i % 1000 < 100";
    // And each of the humans has ten agents that act for them, and are revoked with them.
    const onBehalf = "1 + i % 1000 BETWEEN 101 AND 150";
    await meanwhile(
      authority,
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
       INSERT INTO principals (id, kind, display_name, created_at) SELECT ${id("i")}, iif(i > 5, 'agent', 'human'), 'P' || i, 0 FROM n;
       INSERT INTO delegations SELECT ${id("i")}, NULL, ${id("1 + i % 5")}, ${id("1 + i % 5")}, ${id("i")}, '["bridgeCert"]', NULL, NULL, 0, 0, unixepoch() + 3600, NULL, NULL, NULL, NULL, NULL
         FROM (WITH RECURSIVE n(i) AS (SELECT 101 UNION ALL SELECT i + 1 FROM n WHERE i < 150) SELECT i FROM n);
       WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
       INSERT INTO credentials SELECT (unixepoch() - i % 290) * 1048576 + 1000 + i, randomblob(16), randomblob(16),
         iif(${isJob}, 'repo:acme/' || (i % 1000), ${id("1 + i % 1000")}),
         iif(${isJob}, 'wimse://localhost/gha/acme/' || (i % 1000), 'wimse://localhost/principal/' || ${id("1 + i % 1000")}), ${id("1 + i % 1000")}, 'custom:x', 'bridgeCert', 1,
         unixepoch() - i % 290, unixepoch() - i % 290 + 300, iif(i % 200 = 0 OR 1 + i % 1000 <= 55 OR ${onBehalf}, unixepoch(), NULL), NULL,
         iif(${onBehalf}, ${id("1 + i % 1000")}, NULL), NULL, NULL, NULL, NULL FROM n;
       INSERT INTO revoked SELECT 'principal', id, unixepoch(), unixepoch() + 360 FROM principals WHERE display_name GLOB 'P*' AND CAST(substr(display_name, 2) AS INTEGER) BETWEEN 1 AND 55;`,
    );
    const response = await get(authority, LIST);
    assert.equal(response.status, 200);
    const jwt = await response.text();
    const { credentials, principals } = decodeJwt(jwt);
    const uris = Object.keys(principals).filter((name) => name.startsWith("wimse:"));
    assert.deepEqual([Object.keys(principals).length - uris.length, uris.length], [55, 25]);
    assert.ok(credentials.length >= 2 * 400 && credentials.length <= 2 * 500, `${credentials.length}`);
    const size = gzipSync(jwt).length;
    t.diagnostic(`${jwt.length} bytes, ${size} gzipped`);
    assert.ok(size < 64 * 1024, `${size} bytes`);
  });
});
