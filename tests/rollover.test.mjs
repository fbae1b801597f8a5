// A new key, and a new epoch: what an administrator may do, and what verifiers see of it meanwhile.
import assert from "node:assert/strict";
import { X509Certificate, createHash, createPublicKey, sign, verify } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as DPoP from "dpop";
import { createRemoteJWKSet, customFetch, jwtVerify } from "jose";
import { ROOT } from "../tools/lib/places.mjs";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { verified } from "./support/bundle.mjs";
import { Keys } from "./support/client.mjs";
import { execute, goProgram, missing } from "./support/foreign.mjs";
import { Verifier } from "./support/revocations.mjs";
import { databaseOf, longAgo, noSqlite, query, sqlite } from "./support/state.mjs";

const EPOCH = "/admin/epoch";
const ROLLOVER = "/admin/key/rollover";
const AUDIENCE = "https://api.example";
const MODES = {
  encrypted: {},
  "cf-managed": { NOTME_KEY_STORAGE: "cf-managed", NOTME_KEK_SECRET: undefined },
  ephemeral: { NOTME_KEY_STORAGE: "ephemeral", NOTME_KEK_SECRET: undefined },
};
const noDatabase = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "notme-rollover-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
function newFile(content) {
  const path = join(folder, `${(count += 1)}.pem`);
  writeFileSync(path, content);
  return path;
}

/** An authority with an administrator at their browser. */
async function open(vars = {}) {
  const authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE, ...vars } });
  const browser = new Browser(authority);
  const passkey = new Passkey(ES256);
  const registered = await browser.register(passkey);
  assert.equal(registered.status, 200, registered.text);
  return { authority, browser, passkey };
}

async function change(browser, path, body = {}) {
  const answer = await browser.post(path, body);
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(Object.keys(answer.json), ["epoch", "keyId", "previousKeyId"]);
  return answer.json;
}

/** What verifiers fetch. */
async function published({ url }) {
  const get = async (path) => (await fetch(url + path)).text();
  const json = async (path) => JSON.parse(await get(path));
  return {
    bundle: verified(await json("/internal/ca-bundle")),
    jwks: (await json("/.well-known/jwks.json")).keys,
    roots: (await get("/.well-known/ca-bundle.pem")).split(/(?<=-----END CERTIFICATE-----)\n/).map((pem) => new X509Certificate(pem)),
    epochs: (await json("/.well-known/epochs.json")).epochs,
  };
}

const spki = (key) => key.export({ type: "spki", format: "der" });
const keyIdOf = (key) => createHash("sha256").update(spki(key)).digest("hex").slice(0, 32);
const publicKey = (raw) => createPublicKey({ key: Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]), format: "der", type: "spki" });

/** A request for a pair, as whoever is signed in sends it. */
function wish(keys = new Keys()) {
  const message = Buffer.concat([spki(keys.mtls.publicKey), spki(keys.signing.publicKey)]);
  const proofs = {
    mtls: sign("sha256", message, { key: keys.mtls.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url"),
    signing: sign(null, message, keys.signing.privateKey).toString("base64url"),
  };
  return { proof: { type: "session" }, public_keys: keys.publicKeys, proofs };
}

async function mint(browser, request = wish()) {
  const { status, json, text } = await browser.post("/cert", request);
  assert.equal(status, 200, text);
  return { ...json, leaves: Object.values(json.certificates) };
}

/** Why a verifier that follows docs/keys.md refuses a pair by what is published, or nothing. */
function refusal(pair, { bundle, jwks, roots }) {
  for (const pem of pair.leaves) {
    const leaf = new X509Certificate(pem);
    const root = roots.find((root) => leaf.checkIssued(root) && leaf.verify(root.publicKey));
    if (!root) return "no root";
    const id = keyIdOf(root.publicKey);
    if (id !== pair.authority.key_id) return "another key than the answer names";
    if (!jwks.some(({ kid, x }) => kid === id && x === root.publicKey.export({ format: "jwk" }).x)) return "not in the key set";
    if (!bundle.keys[id]) return "not in the bundle";
  }
  return pair.authority.epoch === bundle.epoch ? undefined : "another epoch";
}

/** The bytes of docs/keys.md. */
function endorsed(by, key, epoch, at) {
  const number = (n) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(BigInt(n));
    return bytes;
  };
  return Buffer.concat([Buffer.from("notme-key-endorsement-v1\0"), Buffer.from(by, "hex"), key, number(epoch), number(at)]);
}

/** Follows endorsements from a key that is trusted, and gives the ids of all that it comes to. */
function follow(epochs, trusted) {
  const ids = [trusted];
  for (;;) {
    const from = epochs.find(({ keyId }) => keyId === ids.at(-1));
    const to = epochs.find(({ endorsement }) => endorsement?.by === ids.at(-1));
    if (!to) return ids;
    const [old, key] = [from, to].map(({ publicRawB64 }) => Buffer.from(publicRawB64, "base64"));
    const message = endorsed(from.keyId, key, to.epoch, to.endorsement.at);
    assert.ok(verify(null, message, publicKey(old), Buffer.from(to.endorsement.signature, "base64")), "the endorsement's signature");
    assert.equal(to.epoch, from.epoch);
    assert.equal(to.keyId, keyIdOf(publicKey(key)));
    ids.push(to.keyId);
  }
}

const STOCK = {
  openssl: {
    needs: missing("openssl"),
    run: (roots, leaves) => execute("openssl", ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", roots, ...leaves]),
  },
  "Go's crypto/x509": {
    needs: missing("go"),
    run: async (roots, leaves) => execute(await goProgram("chain"), [roots, ...leaves]),
  },
};

/** Which of these pairs' leaves a stock verifier accepts by these roots. */
async function accepts(verifier, roots, pairs) {
  const files = pairs.flatMap(({ leaves }) => leaves).map(newFile);
  const { stdout } = await verifier.run(newFile(roots.map(String).join("")), files);
  const good = new Set(stdout.split("\n").filter((line) => line.endsWith(": OK")).map((line) => line.slice(0, -4)));
  return files.map((file) => good.has(file));
}

const trailOf = (authority) =>
  query(databaseOf(authority.stateDir), "SELECT actor, action, target, source, details FROM audit WHERE action IN ('epoch.bumped', 'key.rolled_over') ORDER BY id").map(([actor, action, target, source, details]) => ({ actor, action, target, source, details: JSON.parse(details) }));

describe("a rollover", () => {
  test("revokes nothing: both keys are published, the new one first, and vouch for what they signed", async () => {
    const { authority, browser } = await open();
    try {
      const start = await published(authority);
      const earlier = await mint(browser);
      const changed = await change(browser, ROLLOVER);
      const later = await mint(browser);
      const now = await published(authority);

      assert.deepEqual(changed, { epoch: 1, keyId: now.jwks[0].kid, previousKeyId: start.jwks[0].kid });
      assert.notEqual(changed.keyId, changed.previousKeyId);
      assert.deepEqual(now.jwks.map(({ kid }) => kid), [changed.keyId, changed.previousKeyId]);
      assert.deepEqual(now.roots.map(({ publicKey }) => keyIdOf(publicKey)), [changed.keyId, changed.previousKeyId]);
      assert.equal(now.roots[1].raw.compare(start.roots[0].raw), 0, "the old root as it was");
      for (const root of now.roots) assert.ok(root.verify(root.publicKey) && root.subject === start.roots[0].subject);

      assert.equal(now.bundle.epoch, 1);
      assert.equal(now.bundle.seqno, start.bundle.seqno + 1);
      assert.deepEqual([now.bundle.keyId, now.bundle.prevKeyId], [changed.keyId, changed.previousKeyId]);
      assert.deepEqual(Object.keys(now.bundle.keys).sort(), [changed.keyId, changed.previousKeyId].sort());

      assert.deepEqual([earlier, later].map(({ authority }) => authority.key_id), [changed.previousKeyId, changed.keyId]);
      for (const pair of [earlier, later]) assert.equal(refusal(pair, now), undefined);
      assert.equal(refusal(later, start), "no root");
    } finally {
      await authority.stop();
    }
  });

  for (const [name, verifier] of Object.entries(STOCK)) {
    test(`is followed by ${name}`, { skip: verifier.needs }, async () => {
      const { authority, browser } = await open();
      try {
        const pairs = [await mint(browser)];
        const before = await published(authority);
        await change(browser, ROLLOVER);
        pairs.push(await mint(browser));
        await change(browser, ROLLOVER);
        pairs.push(await mint(browser));
        const { roots } = await published(authority);
        assert.equal(roots.length, 3);
        assert.ok((await accepts(verifier, roots, pairs)).every(Boolean));
        // It does look at who signed what.
        assert.deepEqual(await accepts(verifier, before.roots, pairs), [true, true, false, false, false, false]);

        await change(browser, EPOCH);
        pairs.push(await mint(browser));
        const after = await published(authority);
        assert.equal(after.roots.length, 1);
        assert.deepEqual(await accepts(verifier, after.roots, pairs), [...Array(6).fill(false), true, true]);
      } finally {
        await authority.stop();
      }
    });
  }

  test("is endorsed by the old key, from one to the next", async () => {
    const { authority, browser } = await open();
    try {
      const ids = [(await published(authority)).jwks[0].kid];
      for (let i = 0; i < 3; i++) ids.push((await change(browser, ROLLOVER)).keyId);
      const { epochs } = await published(authority);
      assert.deepEqual(epochs.map(({ epoch, keyId }) => [epoch, keyId]), ids.map((id) => [1, id]));
      assert.deepEqual(epochs.map(({ retiredAt }) => retiredAt === null), [false, false, false, true]);
      assert.ok(!("endorsement" in epochs[0]));
      assert.deepEqual(follow(epochs, ids[0]), ids);
      assert.deepEqual(follow(epochs, ids[2]), ids.slice(2));
    } finally {
      await authority.stop();
    }
  });

  test("the documented bytes are what OpenSSL verifies", { skip: missing("openssl") }, async () => {
    const text = readFileSync(join(ROOT, "docs/keys.md"), "utf8");
    const [key, id, newKey, , message, signature] = [...text.matchAll(/^(?:old key|its id|new key|message|signature) +([0-9a-f]+)$/gm)].map(([, hex]) => Buffer.from(hex, "hex"));
    assert.ok(message.equals(endorsed(id.toString("hex"), newKey, 3, 1_795_295_166)));
    const [keyFile, messageFile, signatureFile] = [publicKey(key).export({ type: "spki", format: "pem" }), message, signature].map(newFile);
    const args = ["pkeyutl", "-verify", "-pubin", "-inkey", keyFile, "-rawin", "-in", messageFile, "-sigfile", signatureFile];
    const ran = await execute("openssl", args);
    assert.equal(ran.code, 0, `${ran.stdout}${ran.stderr}`);
    assert.match(ran.stdout, /Verified Successfully/);
    message[60] ^= 1;
    writeFileSync(messageFile, message);
    assert.notEqual((await execute("openssl", args)).code, 0);
  });

  test("of a key can be done 31 times in a row, and then again in a while, or in a new epoch", async () => {
    const { authority, browser } = await open();
    try {
      for (let i = 0; i < 31; i++) await change(browser, ROLLOVER);
      const refused = await browser.post(ROLLOVER);
      assert.equal(refused.status, 409, refused.text);
      assert.equal(refused.json.code, "too_many_keys");
      const secs = Number(refused.headers.get("retry-after"));
      assert.ok(secs > 500 && secs <= 601, String(secs));
      const { roots, jwks, bundle } = await published(authority);
      for (const n of [roots.length, jwks.length, Object.keys(bundle.keys).length]) assert.equal(n, 32);
      assert.equal((await change(browser, EPOCH)).epoch, 2);
      await change(browser, ROLLOVER);
    } finally {
      await authority.stop();
    }
  });

  test("leaves the old key published until all that it signed has expired", { skip: noDatabase }, async () => {
    const { authority, browser } = await open();
    try {
      const { keyId, previousKeyId } = await change(browser, ROLLOVER);
      for (const [age, ids] of [[590, [keyId, previousKeyId]], [605, [keyId]]]) {
        const before = (await published(authority)).bundle.seqno;
        await authority.kill9();
        sqlite(databaseOf(authority.stateDir), `UPDATE signing_keys SET retired_at = unixepoch() - ${age} WHERE retired_at IS NOT NULL`);
        await authority.restart();
        const { jwks, roots, bundle, epochs } = await published(authority);
        assert.deepEqual(jwks.map(({ kid }) => kid), ids);
        assert.equal(roots.length, ids.length);
        assert.deepEqual(Object.keys(bundle.keys).sort(), [...ids].sort());
        assert.equal(bundle.prevKeyId, ids[1]);
        assert.ok(bundle.seqno >= before);
        assert.equal(epochs.length, 2, "the archive forgets nothing");
        assert.deepEqual(follow(epochs, previousKeyId), [previousKeyId, keyId]);
      }
    } finally {
      await authority.stop();
    }
  });
});

describe("a new epoch", () => {
  test("has a new key, and revokes all that was issued before", async () => {
    const { authority, browser } = await open();
    try {
      const first = (await published(authority)).jwks[0].kid;
      const { keyId: second } = await change(browser, ROLLOVER);
      const earlier = await mint(browser);
      const before = await published(authority);
      const changed = await change(browser, EPOCH, { reason: "a laptop was lost" });
      const later = await mint(browser);
      const now = await published(authority);

      assert.deepEqual(changed, { epoch: 2, keyId: now.jwks[0].kid, previousKeyId: second });
      assert.deepEqual(now.jwks.map(({ kid }) => kid), [changed.keyId]);
      assert.deepEqual(now.roots.map(({ publicKey }) => keyIdOf(publicKey)), [changed.keyId]);
      assert.equal(now.bundle.epoch, 2);
      assert.ok(now.bundle.seqno > before.bundle.seqno);
      // Who has the old key could write the new epoch into a certificate.
      assert.deepEqual(Object.keys(now.bundle.keys), [changed.keyId]);
      assert.ok(!("prevKeyId" in now.bundle));
      assert.equal(refusal(earlier, before), undefined);
      assert.equal(refusal(earlier, now), "no root");
      assert.equal(refusal(earlier, { ...now, roots: before.roots, jwks: before.jwks }), "not in the bundle");
      assert.equal(refusal(later, now), undefined);
      assert.equal(later.authority.epoch, 2);

      assert.deepEqual(now.epochs.map(({ epoch, keyId }) => [epoch, keyId]), [[1, first], [1, second], [2, changed.keyId]]);
      assert.deepEqual(follow(now.epochs, first), [first, second], "no epoch endorses the next");
      assert.equal((await browser.me()).status, 200, "sessions are no credentials of the key's");
    } finally {
      await authority.stop();
    }
  });
});

describe("both", () => {
  let authority;
  let browser;
  let passkey;
  before(async () => {
    ({ authority, browser, passkey } = await open());
  });
  after(() => authority?.stop());

  const unchanged = async (work) => {
    const before = await published(authority);
    await work();
    const after = await published(authority);
    assert.deepEqual([after.epochs, after.bundle.epoch], [before.epochs, before.bundle.epoch]);
  };

  function refused(answer, status, code) {
    assert.equal(answer.status, status, answer.text);
    assert.equal(answer.json.code, code, answer.text);
  }

  test("need a session, of this site's page, and a body that is one", async () => {
    await unchanged(async () => {
      for (const path of [EPOCH, ROLLOVER]) {
        refused(await new Browser(authority).post(path), 401, "no_session");
        const tossed = { cookie: `notme_session=${"A".repeat(43)}` };
        refused(await new Browser(authority).post(path, {}, tossed), 401, "no_session");
        for (const headers of [{ "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://evil.example" }]) {
          refused(await browser.post(path, {}, headers), 403, "cross_site");
        }
        refused(await browser.post(path, "a=b", { "content-type": "application/x-www-form-urlencoded" }), 415, "unsupported_media_type");
        for (const body of ["", "[]", "{", "null"]) refused(await browser.post(path, body), 400, "invalid_json");
        for (const reason of [1, "x".repeat(201), "a\nb"]) refused(await browser.post(path, { reason }), 400, "invalid_member");
        assert.equal((await browser.call("GET", path)).status, 405);
      }
    });
  });

  test("need authorityManage, and a passkey that was just shown", { skip: noDatabase }, async () => {
    const edit = async (statements) => {
      await authority.kill9();
      sqlite(databaseOf(authority.stateDir), statements);
      await authority.restart();
    };
    await unchanged(async () => {
      await edit(longAgo(301));
      for (const path of [EPOCH, ROLLOVER]) refused(await browser.post(path), 403, "step_up_required");
      await browser.signIn(passkey);
      await edit("UPDATE grants SET expires_at = unixepoch() - 1 WHERE scope = 'authorityManage'");
      for (const path of [EPOCH, ROLLOVER]) refused(await browser.post(path), 403, "manage_required");
      await edit("UPDATE grants SET expires_at = NULL");
    });
    await browser.signIn(passkey);
    await change(browser, ROLLOVER);
    await change(browser, EPOCH);
  });

  test("leave one line in the trail each, and none if they are refused", { skip: noDatabase }, async () => {
    const before = trailOf(authority).length;
    const { json: me } = await browser.me();
    const [{ epoch }] = (await published(authority)).epochs.slice(-1);
    const rolled = await change(browser, ROLLOVER, { reason: " every spring " });
    await new Browser(authority).post(ROLLOVER);
    const bumped = await change(browser, EPOCH);
    const line = (action, { keyId, previousKeyId }, more) => ({
      actor: me.userId,
      action,
      target: keyId,
      source: "unknown",
      details: { key_id: keyId, previous_key_id: previousKeyId, previous_epoch: epoch, ...more },
    });
    assert.deepEqual(trailOf(authority).slice(before), [
      line("key.rolled_over", rolled, { epoch, reason: "every spring" }),
      line("epoch.bumped", bumped, { epoch: epoch + 1, reason: null }),
    ]);
  });
});

test("whoever polls while the key is rolled over never sees a good credential fail", async () => {
  const { authority, browser } = await open();
  try {
    const polled = [];
    let isDone = false;
    const poll = async () => {
      while (!isDone) {
        const pair = await mint(browser); // first the pair, then what it is checked by
        polled.push({ pair, seen: await published(authority) });
      }
    };
    const pollers = [poll(), poll(), poll()];
    const old = await mint(browser);
    for (let i = 0; i < 10; i++) {
      await change(browser, ROLLOVER);
      await sleep(20);
    }
    isDone = true;
    await Promise.all(pollers);
    assert.ok(new Set(polled.map(({ pair }) => pair.authority.key_id)).size > 3, "pairs of many keys");
    for (const { pair, seen } of polled) {
      assert.equal(refusal(pair, seen), undefined);
      assert.equal(refusal(old, seen), undefined);
    }
    const last = await published(authority);
    for (const { pair } of polled) assert.equal(refusal(pair, last), undefined);
  } finally {
    await authority.stop();
  }
});

/** Verifiers that keep asking; each says of a round what it makes of what is good. */
const VERIFIERS = {
  "who asks for the list": async ({ authority, browser, old, gone }) => {
    const verifier = new Verifier(authority);
    return async () => {
      const pair = await mint(browser);
      await verifier.poll();
      for (const pem of gone.leaves) assert.equal(verifier.refusal(pem), "the credential is revoked");
      return [...old.leaves, ...pair.leaves].map((pem) => verifier.refusal(pem));
    };
  },
  "openssl verify -crl_check": async ({ authority, browser, old, gone }) => {
    const text = async (path) => (await fetch(authority.url + path)).text();
    const [kept, revoked] = [old, gone].map(({ leaves }) => leaves.map(newFile));
    return async () => {
      const pair = await mint(browser);
      const documents = await Promise.all(["/.well-known/ca-bundle.pem", "/.well-known/crl.pem"].map(text));
      const [roots, lists] = documents.map(newFile);
      const args = ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-crl_check", "-CAfile", roots, "-CRLfile", lists];
      const { stderr: refusals } = await execute("openssl", [...args, ...revoked]);
      assert.equal(refusals.match(/certificate revoked/g)?.length, 2, refusals);
      const { code, stdout, stderr } = await execute("openssl", [...args, ...kept, ...pair.leaves.map(newFile)]);
      return [code === 0 ? undefined : `${stdout}${stderr}`];
    };
  },
  "who verifies access tokens by a key set that is fetched when a key is unknown": async ({ authority, browser }) => {
    const keys = await DPoP.generateKeyPair("ES256");
    let fetched = 0;
    const counted = (...args) => {
      fetched += 1;
      return fetch(...args);
    };
    const set = createRemoteJWKSet(new URL(`${authority.url}/.well-known/jwks.json`), { cooldownDuration: 0, [customFetch]: counted });
    const known = new Set();
    const tokens = [];
    return async () => {
      const proof = await DPoP.generateProof(keys, `${authority.url}/token`, "POST");
      const { status, json, text } = await browser.post("/token", { audience: AUDIENCE }, { dpop: proof });
      assert.equal(status, 200, text);
      tokens.push(json.access_token);
      const judged = [];
      for (const token of new Set([tokens[0], tokens.at(-1)])) {
        const verified = await jwtVerify(token, set, { issuer: authority.url, audience: AUDIENCE, typ: "at+jwt", algorithms: ["EdDSA"] }).catch((why) => why);
        if (verified.payload) known.add(verified.protectedHeader.kid);
        judged.push(verified.payload ? undefined : String(verified));
      }
      assert.ok(fetched <= known.size, "once for each key, at most");
      return judged;
    };
  },
};

for (const [name, begin] of Object.entries(VERIFIERS)) {
  test(`nothing that is good is refused while the key is rolled over: ${name}`, { skip: name.startsWith("openssl") && missing("openssl") }, async () => {
    const { authority, browser } = await open({ ALLOWED_AUDIENCES: AUDIENCE });
    try {
      const [old, gone] = [await mint(browser), await mint(browser)];
      const taken = await browser.call("DELETE", `/admin/credentials/${new X509Certificate(gone.leaves[0]).serialNumber}`);
      assert.equal(taken.status, 200, taken.text);
      const rounds = [];
      let isDone = false;
      const poll = async () => {
        const judge = await begin({ authority, browser, old, gone });
        while (!isDone) rounds.push(await judge());
      };
      const pollers = [poll(), poll()];
      for (let i = 0; i < 12; i++) {
        const before = rounds.length;
        while (rounds.length < before + 2) await Promise.race([sleep(5), ...pollers]);
        await change(browser, ROLLOVER);
      }
      isDone = true;
      await Promise.all(pollers);
      assert.deepEqual(rounds.flat().filter((why) => why !== undefined), []);
    } finally {
      await authority.stop();
    }
  });
}

test("20 rollovers and 200 pairs at once are all done, one after the other", async () => {
  const { authority, browser } = await open();
  try {
    const keys = new Keys();
    const bundles = [];
    let isDone = false;
    const poll = async () => {
      while (!isDone) bundles.push(verified(await (await fetch(`${authority.url}/internal/ca-bundle`)).json()));
    };
    const pollers = Array.from({ length: 8 }, poll);
    const [rolled, pairs] = await Promise.all([
      Promise.all(Array.from({ length: 20 }, () => change(browser, ROLLOVER))),
      Promise.all(Array.from({ length: 200 }, () => mint(browser, wish(keys)))),
    ]);
    isDone = true;
    await Promise.all(pollers);
    const now = await published(authority);
    assert.equal(now.epochs.length, 21);
    assert.equal(now.epochs.filter(({ retiredAt }) => retiredAt === null).length, 1);
    const ids = now.epochs.map(({ keyId }) => keyId);
    assert.equal(new Set(ids).size, 21);
    assert.deepEqual(follow(now.epochs, ids[0]), ids);
    assert.deepEqual(new Set(rolled.map(({ keyId, previousKeyId }) => `${previousKeyId} ${keyId}`)), new Set(ids.slice(1).map((id, i) => `${ids[i]} ${id}`)));
    for (const pair of pairs) assert.equal(refusal(pair, now), undefined);
    // One number, one bundle.
    const byNumber = new Map();
    for (const bundle of [...bundles, now.bundle]) {
      const known = byNumber.get(bundle.seqno) ?? bundle;
      byNumber.set(bundle.seqno, bundle);
      assert.deepEqual(bundle, known);
      assert.ok(bundle.seqno <= now.bundle.seqno);
    }
    const order = [...byNumber.values()].sort((a, b) => a.seqno - b.seqno).map(({ keyId }) => ids.indexOf(keyId));
    assert.deepEqual(order, [...order].sort((a, b) => a - b), "later bundles are of later keys");
  } finally {
    await authority.stop();
  }
});

test("pairs that are asked for while epochs begin are of one that is good, or are refused by all", async () => {
  const { authority, browser } = await open();
  try {
    const keys = new Keys();
    const [, pairs] = await Promise.all([
      Promise.all(Array.from({ length: 10 }, () => change(browser, EPOCH))),
      Promise.all(Array.from({ length: 100 }, () => mint(browser, wish(keys)))),
    ]);
    const now = await published(authority);
    assert.deepEqual(now.epochs.map(({ epoch }) => epoch), Array.from({ length: 11 }, (_, i) => i + 1));
    const idOf = new Map(now.epochs.map(({ epoch, keyId }) => [epoch, keyId]));
    for (const pair of pairs) {
      assert.equal(pair.authority.key_id, idOf.get(pair.authority.epoch), "a key signs in its own epoch alone");
      assert.equal(refusal(pair, now), pair.authority.epoch === 11 ? undefined : "no root");
    }
    assert.equal(refusal(await mint(browser), now), undefined);
  } finally {
    await authority.stop();
  }
});

describe("the state", () => {
  for (const [mode, vars] of Object.entries(MODES)) {
    test(`in mode ${mode} rolls over, begins epochs, and comes back after kill -9`, async () => {
      const { authority, browser } = await open(vars);
      try {
        await change(browser, ROLLOVER);
        await change(browser, EPOCH);
        await change(browser, ROLLOVER);
        const pair = await mint(browser);
        const before = await published(authority);
        assert.deepEqual(before.epochs.map(({ epoch }) => epoch), [1, 1, 2, 2]);
        assert.equal(refusal(pair, before), undefined);
        await authority.kill9();
        await authority.restart();
        const after = await published(authority);
        if (mode === "ephemeral") {
          // The key is gone, so the epoch moves, and nobody endorsed the new one.
          assert.deepEqual(after.epochs.map(({ epoch }) => epoch), [1, 1, 2, 2, 3]);
          assert.deepEqual(after.jwks.length, 1);
          assert.ok(!after.epochs.at(-1).endorsement);
          assert.ok(after.bundle.seqno > before.bundle.seqno);
          assert.equal(refusal(pair, after), "no root");
        } else {
          assert.deepEqual(after.epochs, before.epochs);
          assert.deepEqual(after.jwks, before.jwks);
          assert.deepEqual(after.roots.map(String), before.roots.map(String));
          assert.deepEqual(after.bundle, before.bundle);
          assert.equal(refusal(pair, after), undefined);
        }
        assert.equal(refusal(await mint(browser), after), undefined);
        await change(browser, ROLLOVER);
      } finally {
        await authority.stop();
      }
    });

    test(`in mode ${mode} holds no private key but the current one's`, { skip: noDatabase }, async () => {
      const { authority, browser } = await open(vars);
      try {
        for (const path of [ROLLOVER, EPOCH, ROLLOVER]) await change(browser, path);
        const rows = query(databaseOf(authority.stateDir), "SELECT retired_at IS NULL, storage, length(private_key) FROM signing_keys ORDER BY epoch, position");
        const form = { encrypted: ["sealed", 85], "cf-managed": ["clear", 32], ephemeral: ["memory", null] }[mode];
        assert.deepEqual(rows, [...Array(3).fill([0, form[0], null]), [1, ...form]]);
      } finally {
        await authority.stop();
      }
    });
  }

  test("survives kill -9 in the middle of changes", async () => {
    const { authority, browser } = await open();
    try {
      let known = { epochs: [], seqno: 0 };
      for (let round = 0; round < 5; round++) {
        let answered = 0;
        let isOver = false;
        const burst = async (i) => {
          while (!isOver) {
            const answer = await browser.post((i + answered) % 3 ? ROLLOVER : EPOCH).catch(() => undefined);
            if (answer?.status === 200) answered += 1;
            await fetch(`${authority.url}/internal/ca-bundle`).then(async (answer) => {
              const { seqno } = await answer.json();
              known.seqno = Math.max(known.seqno, seqno ?? 0);
            }).catch(() => {});
          }
        };
        const bursts = [0, 1, 2].map(burst);
        while (answered === 0) await sleep(5);
        await sleep(40 * round);
        await authority.kill9();
        isOver = true;
        await Promise.all(bursts);
        await authority.restart();
        const { epochs, bundle, jwks } = await published(authority);
        assert.ok(epochs.length >= known.epochs.length + answered, "what was answered was written");
        assert.deepEqual(epochs.slice(0, known.epochs.length).map(({ keyId }) => keyId), known.epochs.map(({ keyId }) => keyId));
        assert.equal(epochs.filter(({ retiredAt }) => retiredAt === null).length, 1);
        assert.equal(epochs.at(-1).keyId, jwks[0].kid);
        assert.ok(bundle.seqno >= known.seqno, `${bundle.seqno} after ${known.seqno}`);
        assert.equal(refusal(await mint(browser), await published(authority)), undefined);
        known = { epochs, seqno: bundle.seqno };
        if (!noDatabase) assert.equal(trailOf(authority).length, epochs.length - 1, "each change has its line");
      }
    } finally {
      await authority.stop();
    }
  });
});
