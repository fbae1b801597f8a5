// Deciding, using up and issuing are one transaction: where one of its writes fails nothing of it is left, and the
// same request is good once nothing stands in its way. What stands there are triggers in the database.
import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import * as DPoP from "dpop";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { missing } from "./support/foreign.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Pki, signed } from "./support/pki.mjs";
import { databaseOf, everything, meanwhile, noSqlite, query } from "./support/state.mjs";

const skip = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");
const noOpenssl = missing("openssl");
const [API, APP] = ["https://api.example", "https://app.example/cb"];
const digest = (bytes) => createHash("sha256").update(bytes).digest();
const bytes = (text) => Buffer.from(text, "base64url");

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
  assert.ok(!answer.set, "no cookie");
}

function done(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

/** The whole state, but for what time does: until when used proofs were looked through, and when sessions were seen. */
const state = (authority) =>
  everything(databaseOf(authority.stateDir))
    .split("\n")
    .filter((line) => !line.startsWith('INSERT INTO "authority"'))
    .map((line) => (line.startsWith('INSERT INTO "sessions"') ? line.replace(/(,\d+){3}\);$/, "") : line));

/** How many rows there are of what a pair writes. */
const TABLES = ["principals", "authenticators", "grants", "burned", "credentials", "used_codes", "audit"];
const counts = (authority) => query(databaseOf(authority.stateDir), `SELECT ${TABLES.map((name) => `(SELECT COUNT(*) FROM ${name})`)}`)[0];

/** Writes that fail: of what is used up, and of what is issued, which comes last. */
const [USED, ISSUED] = ["BEFORE INSERT ON burned", "BEFORE INSERT ON credentials"];

const REMOVE = "DROP TRIGGER IF EXISTS stop;";
const stop = (write) => `${REMOVE} CREATE TRIGGER stop ${write} BEGIN SELECT RAISE(ABORT, 'stopped'); END;`;
/** What is used up as the second of a transaction, if nothing is at this moment. */
const second = (authority) => `${USED} WHEN (SELECT COUNT(*) FROM burned) > ${counts(authority)[TABLES.indexOf("burned")]}`;

/** Sends something while one write after the other fails: each time everything stays as it was. */
async function fails(authority, send, writes, look = () => {}) {
  for (const write of writes) {
    await meanwhile(authority, stop(write));
    const before = state(authority);
    for (let i = 0; i < 2; i++) refused(await send(), 500, "internal");
    assert.deepEqual(state(authority), before, write);
    await look();
  }
  await meanwhile(authority, REMOVE);
}

describe("a pair that can't be written", { skip }, () => {
  let ci;
  let github;
  let pki;
  let root;
  let authority;
  before(async () => {
    [ci, github] = [await startOidc(), await startIssuer()];
    const row = (more) => ({ scopes: ["bridgeCert"], rules: [{}], ...more });
    const rows = [row({ issuer: ci.url, audience: "https://id.example" })];
    if (!noOpenssl) {
      pki = new Pki();
      root = pki.ca("/CN=Root");
      rows.push(row({ type: "x509", name: "mesh", roots: root.pem, rules: [{ spiffe_trust_domain: "td.example" }] }));
    }
    const vars = { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows), GHA_ISSUER: github.url, GHA_ALLOWED_OWNERS: "acme", NOTME_RATE_LIMITS: "identity=6" };
    authority = await startAuthority({ allowLoopback: true, vars });
  });
  after(async () => {
    await authority?.stop();
    await ci?.close();
    await github?.close();
    pki?.remove();
  });

  /** A request with keys of its own, for a challenge if there is one. */
  const wish = (proof, { challenge, proofs, keys = new Keys(), ...more }) => ({
    proof,
    public_keys: keys.publicKeys,
    proofs: proofs ?? keys.proofsOver(keys.message(challenge && bytes(challenge))),
    ...(challenge && { challenge }),
    ...more,
  });
  const challengeFor = async (browser = new Browser(authority)) => done(await browser.post("/cert/challenge")).challenge;
  const cert = (body, browser = new Browser(authority)) => () => browser.post("/cert", body);
  const tokenOf = async (sub, claims) => ({ type: "oidc", token: await ci.token({ sub, ...claims }) });

  /** What somebody shows: how to send it, what is said when it was used, and how many rows it adds, beside the pair's. */
  const PROOFS = {
    "for a token": async (sub) => {
      const [proof, keys] = [await tokenOf(sub), new Keys()];
      return { send: cert(wish(proof, { keys, proofs: keys.proofs(proof.token) })), used: [401, "token_used"], adds: { principals: 1, authenticators: 1, grants: 1, burned: 1, audit: 1 } };
    },
    "for a token and a challenge": async (sub) => {
      const challenge = await challengeFor();
      return { send: cert(wish(await tokenOf(sub), { challenge })), used: [400, "bad_challenge"], adds: { principals: 1, authenticators: 1, grants: 1, burned: 2, audit: 1 } };
    },
    "for a token that is shown again and again": async (sub) => {
      const exp = Math.floor(Date.now() / 1000) + 3600;
      const challenge = await challengeFor();
      return { send: cert(wish(await tokenOf(sub, { exp }), { challenge })), used: [400, "bad_challenge"], adds: { principals: 1, authenticators: 1, grants: 1, burned: 1, audit: 1 } };
    },
    "for a certificate": async (sub) => {
      const [leaf, keys] = [pki.leaf(root, { uris: [`spiffe://td.example/${sub}`] }), new Keys()];
      const challenge = await challengeFor();
      const message = Buffer.concat([Buffer.from("notme-certificate-proof-v1\0"), bytes(challenge), digest(leaf.der), keys.message()]);
      const proof = { type: "x509", chain: leaf.pem, signature: signed(leaf, message) };
      return { send: cert(wish(proof, { keys, challenge })), used: [400, "bad_challenge"], adds: { principals: 1, authenticators: 1, grants: 1, burned: 1, audit: 1 } };
    },
    "for a job": async (sub) => {
      const token = await github.token({ repository: `acme/${sub}`, repository_id: sub.replaceAll(/\D/g, ""), sub: `repo:acme/${sub}:ref:refs/heads/main` });
      const [body, headers] = [new Keys().body(token), { authorization: `Bearer ${token}` }];
      return { send: () => new Browser(authority).post("/cert/gha", body, headers), used: [401, "token_used"], adds: { principals: 1, authenticators: 1, grants: 1, burned: 1, audit: 1 } };
    },
    // Who has this one is the first administrator, so what needs one comes after it.
    "for the operator's code": async () => ({
      send: cert(wish({ type: "bootstrap", code: CODE, displayName: "Ana" }, { challenge: await challengeFor() })),
      used: [400, "bad_challenge"],
      adds: { principals: 1, grants: 3, burned: 1, used_codes: 1, audit: 1 },
    }),
  };

  for (const [i, [what, prepare]] of Object.entries(PROOFS).entries()) {
    test(`${what} costs nothing, makes nobody, and is given afterwards`, { skip: what === "for a certificate" && noOpenssl }, async () => {
      const { send, used, adds } = await prepare(`new-${i}`);
      await fails(authority, send, [USED, ...(adds.burned > 1 ? [second(authority)] : []), ISSUED]);
      const before = counts(authority);
      done(await send());
      const added = Object.fromEntries(counts(authority).map((count, at) => [TABLES[at], count - before[at]]).filter(([, count]) => count));
      assert.deepEqual(added, { ...adds, credentials: 1 });
      refused(await send(), ...used);
    });
  }

  describe("where there is an administrator", () => {
    const OTHER = "another-code-of-the-operator";
    let ana;
    before(async () => {
      // By recovery, since the operator's first code was used.
      await authority.restart({ vars: { BOOTSTRAP_CODE: OTHER } });
      ana = new Browser(authority);
      const begun = done(await ana.post("/auth/passkey/reset", { bootstrapCode: OTHER, displayName: "Ana" }));
      done(await ana.answer(new Passkey(ES256), begun));
    });

    test("for a session it costs no challenge", async () => {
      const send = cert(wish({ type: "session" }, { challenge: await challengeFor(ana) }), ana);
      await fails(authority, send, [USED, ISSUED]);
      const before = counts(authority);
      done(await send());
      assert.deepEqual(counts(authority), before.map((count, i) => count + Number(["burned", "credentials"].includes(TABLES[i]))));
      refused(await send(), 400, "bad_challenge");
    });

    test("for a workload's further way in it costs neither token nor link", async () => {
      const keys = new Keys();
      const first = await tokenOf("first");
      const { principal_id: id } = done(await cert(wish(first, { keys, proofs: keys.proofs(first.token) }))());
      const { token: invite } = done(await ana.post("/invites", { principal: id }));
      const other = await tokenOf("other");
      const send = cert(wish(other, { keys, proofs: keys.proofs(other.token), invite }));
      await fails(authority, send, [USED, ISSUED]);
      done(await ana.post("/invites/lookup", { token: invite }));
      assert.equal(done(await send()).principal_id, id);
      refused(await ana.post("/invites/lookup", { token: invite }), 403, "bad_invite");
    });

    test("leaves nothing in memory either: it is given as soon as it can be, however often it failed", async () => {
      const keys = new Keys();
      const proof = await tokenOf("patient");
      const send = cert(wish(proof, { keys, proofs: keys.proofs(proof.token) }));
      // Until somebody makes an invite.
      const [[invites]] = query(databaseOf(authority.stateDir), "SELECT COUNT(*) FROM invites");
      await meanwhile(authority, stop(`${ISSUED} WHEN (SELECT COUNT(*) FROM invites) = ${invites}`));
      for (let i = 0; i < 12; i++) refused(await send(), 500, "internal");
      done(await ana.post("/invites"));
      const { principal_id: id } = done(await send());
      assert.deepEqual(query(databaseOf(authority.stateDir), "SELECT principal FROM authenticators WHERE subject = 'patient'"), [[id]]);
      refused(await send(), 401, "token_used");
      await meanwhile(authority, REMOVE);
    });
  });
});

describe("a token that can't be written", { skip }, () => {
  let authority;
  let browser;
  before(async () => {
    authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE, ALLOWED_AUDIENCES: API, OAUTH_CLIENTS: JSON.stringify([{ id: "app", redirect_uris: [APP] }]) } });
    browser = new Browser(authority);
    done(await browser.register(new Passkey(ES256)));
  });
  after(() => authority?.stop());

  const dpop = async (path) => ({ dpop: await DPoP.generateProof(await DPoP.generateKeyPair("ES256"), authority.url + path, "POST") });

  test("for a session costs no proof", async () => {
    const headers = await dpop("/token");
    const send = () => browser.post("/token", { audience: API }, headers);
    await fails(authority, send, [USED]);
    done(await send());
    refused(await send(), 401, "proof_reused");
  });

  test("for an application costs neither code nor proof: they are used up together", async () => {
    const code_verifier = randomUUID() + randomUUID();
    const asked = { client_id: "app", audience: API, redirect_uri: APP, code_challenge: digest(code_verifier).toString("base64url") };
    const { code } = done(await browser.post("/authorize/code", asked));
    const headers = await dpop("/authorize/redeem");
    const send = () => new Browser(authority).post("/authorize/redeem", { code, code_verifier, redirect_uri: APP }, headers);
    await fails(authority, send, [USED, second(authority)]);
    const before = counts(authority);
    done(await send());
    assert.deepEqual(counts(authority), before.map((count, i) => count + (TABLES[i] === "burned" ? 2 : 0)));
    refused(await send(), 400, "invalid_grant");
  });

  test("isn't consented to either, where its line can't be written", async () => {
    const asked = { client_id: "app", audience: API, redirect_uri: APP, code_challenge: digest("x").toString("base64url") };
    await fails(authority, () => browser.post("/authorize/code", asked), ["BEFORE INSERT ON audit"]);
    done(await browser.post("/authorize/code", asked));
  });
});

describe("a passkey that can't be written", { skip }, () => {
  const writes = ["passkeys", "grants", "sessions", "burned", "audit"].map((name) => `BEFORE INSERT ON ${name}`);
  let authority;
  let ana;
  before(async () => {
    authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    ana = new Browser(authority);
  });
  after(() => authority?.stop());

  /** A registration that has begun, and the same answer to it as often as one likes. */
  function answer(browser, { options, userId }) {
    const passkey = new Passkey(ES256);
    passkey.owner = bytes(options.user.id);
    const response = JSON.parse(passkey.register(browser.ceremony(options.challenge), "none"));
    return () => browser.post("/auth/passkey/register/verify", { userId, response });
  }

  test("costs the operator's code nothing, and nobody is the first administrator", async () => {
    const begun = done(await ana.post("/auth/passkey/register/options", { bootstrapCode: CODE, displayName: "Ana" }));
    const send = answer(ana, begun);
    await fails(authority, send, [...writes, "BEFORE INSERT ON used_codes"], async () => {
      assert.equal(done(await new Browser(authority).call("GET", "/auth/state")).firstBoot, "armed");
    });
    assert.deepEqual(done(await send()).scopes, ["bridgeCert", "authorityManage", "certMint"]);
    refused(await send(), 400, "bad_challenge");
  });

  test("costs an invite nothing, and nobody has joined", async () => {
    const { token } = done(await ana.post("/invites"));
    const ben = new Browser(authority);
    const send = answer(ben, done(await ben.post("/auth/passkey/register/options", { invite: token, displayName: "Ben" })));
    await fails(authority, send, [...writes, "BEFORE UPDATE ON invites"]);
    done(await send());
    assert.equal(done(await ben.me()).displayName, "Ben");
    refused(await ben.post("/invites/lookup", { token }), 403, "bad_invite");
  });
});
