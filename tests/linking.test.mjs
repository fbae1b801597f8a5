// Identities that are linked to people: what signs in, what lets in, whose it is, and that nobody else gets it.
import assert from "node:assert/strict";
import { X509Certificate, createHash, randomBytes, randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll as enrollJob } from "./support/client.mjs";
import { missing } from "./support/foreign.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Person, executablePath, openBrowser } from "./support/pages.mjs";
import { Pki, signed } from "./support/pki.mjs";
import { databaseOf, longAgo, meanwhile, noSqlite, query } from "./support/state.mjs";

const AUDIENCE = "https://id.example";
const elsewhere = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const now = () => Math.floor(Date.now() / 1000);

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
  assert.ok(!answer.set, "no cookie");
}

function done(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

describe("linked identities", () => {
  let authority;
  /** For people. */
  let login;
  /** For people too. */
  let home;
  /** For workloads. */
  let ci;
  let pki;
  let office;
  let mesh;
  let admin;
  const noOpenssl = missing("openssl");

  before(async () => {
    [login, home, ci] = [await startOidc(), await startOidc(), await startOidc()];
    const row = (issuer, more = {}) => ({ issuer: issuer.url, audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{ team: ["red"] }], ...more });
    const rows = [row(login, { for: "people" }), row(home, { for: "people" }), row(ci), row(login, { for: "people", type: "custom" }), row(login, { audience: "https://jobs.example" })];
    if (!noOpenssl) {
      pki = new Pki();
      [office, mesh] = [pki.ca("/CN=Office"), pki.ca("/CN=Mesh")];
      const certified = (name, root, more) => ({ type: "x509", name, roots: root.pem, subject: "{cn}", scopes: ["bridgeCert"], rules: [{ o: "Acme" }], ...more });
      rows.push(certified("office", office, { for: "people" }), certified("mesh", mesh));
    }
    authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows) } });
    admin = await person();
  });
  after(async () => {
    await authority?.stop();
    for (const issuer of [login, home, ci]) await issuer?.close();
    pki?.remove();
  });

  /** Somebody with a passkey and a session that is fresh. */
  async function person(scopes = ["bridgeCert"]) {
    const browser = new Browser(authority);
    const passkey = new Passkey(ES256);
    if (!admin) done(await browser.register(passkey));
    else {
      await admin.browser.stepUp(admin.passkey);
      const { token } = done(await admin.browser.post("/invites", { scopes }));
      done(await browser.register(passkey, { wanted: { invite: token, displayName: "Ben" } }));
    }
    const { userId, identity } = done(await browser.me());
    return { browser, passkey, id: userId, identity };
  }

  const options = async (browser, path = "/auth/oidc/options") => done(await browser.post(path));

  /** Links the identity `sub`; `bend` changes what is sent, `claims` and `header` the token. */
  async function link({ browser }, sub, { issuer = login, claims = {}, header, bend = (body) => body, begun } = {}) {
    const { challenge, nonce } = begun ?? (await options(browser, "/connections/options"));
    const token = await issuer.token({ sub, nonce, ...claims }, header);
    return browser.post("/connections", bend({ proof: { type: "oidc", token }, challenge }));
  }

  async function signIn(sub, { issuer = login, claims = {}, header, bend = (body) => body, browser = new Browser(authority) } = {}) {
    const { challenge, nonce } = await options(browser);
    const token = await issuer.token({ sub, nonce, ...claims }, header);
    const answer = await browser.post("/auth/oidc/login", bend({ token, challenge }));
    return { browser, answer, token, challenge };
  }

  /** Redeems an invite by the identity `sub`. */
  async function joined(invite, sub, issuer = login) {
    const browser = new Browser(authority);
    const { challenge, nonce } = await options(browser);
    const proof = { type: "oidc", token: await issuer.token({ sub, nonce }) };
    const { principalId: id } = done(await browser.post("/join", { token: invite, proof, challenge }));
    return { browser, id };
  }

  /** Somebody without a passkey, who comes in by the identity `sub`. */
  async function bareHanded(sub) {
    await admin.browser.stepUp(admin.passkey);
    return joined(done(await admin.browser.post("/invites", {})).token, sub);
  }

  /** Lets somebody act by what a pair signs that is issued in a session; the delegation's id. */
  async function handOn({ browser }, delegate) {
    const keys = new Keys();
    const { certificates } = done(await browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) }));
    const { challenge } = done(await new Browser(authority).post("/cert/challenge"));
    const delegation = JSON.stringify({ delegate });
    const message = Buffer.concat([Buffer.from("notme-delegation-v1\0"), Buffer.from(challenge, "base64url"), sha256(new X509Certificate(certificates.signing).raw), sha256(delegation)]);
    const proof = { type: "x509", chain: certificates.signing, signature: signed({ secret: keys.signing.privateKey }, message) };
    return done(await new Browser(authority).post("/delegations", { proof, challenge, delegation })).id;
  }

  async function linkCertificate({ browser, id }, leaf, { bend = (body) => body, over, label = "notme-connection-proof-v1\0", owner = id } = {}) {
    const { challenge } = over ?? (await options(browser, "/connections/options"));
    const message = Buffer.concat([Buffer.from(label), Buffer.from(challenge, "base64url"), sha256(leaf.der), Buffer.from(owner)]);
    return browser.post("/connections", bend({ proof: { type: "x509", chain: leaf.pem, signature: signed(leaf, message) }, challenge }));
  }

  /** A pair by a token, or by a certificate. */
  async function pair(proof, { leaf, nonce } = {}) {
    const browser = new Browser(authority);
    const keys = new Keys();
    const { challenge } = done(await browser.post("/cert/challenge"));
    const over = Buffer.from(challenge, "base64url");
    const body = { proof, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message(over)), challenge };
    if (leaf) {
      const spki = (key) => key.publicKey.export({ type: "spki", format: "der" });
      const message = Buffer.concat([Buffer.from("notme-certificate-proof-v1\0"), over, sha256(leaf.der), spki(keys.mtls), spki(keys.signing)]);
      body.proof = { type: "x509", chain: leaf.pem, signature: signed(leaf, message) };
    }
    if (nonce) body.proof.token = await login.token({ ...nonce, nonce: sha256(over).toString("base64url") });
    return browser.post("/cert", body);
  }

  /** A pair by the token of a person, which is made for the request. */
  const pairOf = (sub) => pair({ type: "oidc" }, { nonce: { sub } });
  const oidc = async (sub, issuer = login) => ({ type: "oidc", token: await issuer.token({ sub }) });
  const connections = async ({ browser }) => done(await browser.call("GET", "/connections")).connections;
  const certificateOf = (cn) => pki.leaf(office, { names: [], subject: `/O=Acme/CN=${cn}` });
  const lines = (action, target) =>
    query(databaseOf(authority.stateDir), `SELECT actor, target, details FROM audit WHERE action = '${action}' ORDER BY id`)
      .map(([actor, to, details]) => ({ actor, to, details: JSON.parse(details) }))
      .filter(({ actor, to }) => target === undefined || to === target || actor === target);

  describe("linking one", () => {
    test("answers in the protocol's words, and the identity signs in", async () => {
      const ben = await person();
      assert.deepEqual(await connections(ben), []);
      const begun = await options(ben.browser, "/connections/options");
      assert.deepEqual(Object.keys(begun), ["challenge", "nonce", "expires_in"]);
      assert.equal(begun.nonce, sha256(Buffer.from(begun.challenge, "base64url")).toString("base64url"));
      const linked = done(await link(ben, "ben", { begun }));
      assert.deepEqual(linked, { connected: true, provider: `oidc:${login.url}`, subject: "ben" });
      const [shown, ...others] = await connections(ben);
      assert.deepEqual(others, []);
      assert.deepEqual(Object.keys(shown), ["id", "provider", "subject", "connectedAt"]);
      assert.deepEqual([shown.provider, shown.subject], [`oidc:${login.url}`, "ben"]);
      assert.match(shown.connectedAt, /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/);
      assert.ok(Math.abs(Date.parse(`${shown.connectedAt.replace(" ", "T")}Z`) - Date.now()) < 10_000);
      const { browser, answer } = await signIn("ben");
      assert.deepEqual(done(answer), { authenticated: true, principalId: ben.id, scopes: ["bridgeCert"], authMethod: `oidc:${login.url}`, pending: [] });
      assert.match(answer.set, /^notme_session=[\w-]{43}; HttpOnly; Secure; SameSite=Strict; Path=\//);
      const me = done(await browser.me());
      assert.deepEqual([me.userId, me.authMethod, me.identity], [ben.id, `oidc:${login.url}`, ben.identity]);
      // Once more is nothing new.
      done(await link(ben, "ben"));
      assert.equal((await connections(ben)).length, 1);
    });

    test("stands in the trail", { skip: elsewhere }, async () => {
      const ben = await person();
      done(await link(ben, "noted"));
      const [{ id }] = await connections(ben);
      const [line] = lines("authenticator.added", id);
      assert.equal(line.actor, ben.id);
      assert.deepEqual([line.details.kind, line.details.issuer, line.details.subject], ["oidc", login.url, "noted"]);
    });

    test("needs a session, and a passkey that was shown a short while ago", { skip: elsewhere }, async () => {
      const stranger = { browser: new Browser(authority) };
      for (const answer of [
        await stranger.browser.post("/connections/options"),
        await stranger.browser.post("/connections", { proof: { type: "oidc", token: "x" } }),
        await stranger.browser.call("GET", "/connections"),
        await stranger.browser.call("DELETE", `/connections/${randomUUID()}`),
      ]) {
        refused(answer, 401, "no_session");
        assert.equal(answer.json.error, "sign in first");
      }
      const ben = await person();
      done(await link(ben, "before"));
      const begun = await options(ben.browser, "/connections/options");
      await meanwhile(authority, longAgo(301));
      const [{ id }] = await connections(ben);
      refused(await ben.browser.post("/connections/options"), 403, "step_up_required");
      refused(await link(ben, "late", { begun }), 403, "step_up_required");
      refused(await ben.browser.call("DELETE", `/connections/${id}`), 403, "step_up_required");
      await ben.browser.stepUp(ben.passkey);
      // The session has another secret, and what was begun under the one before is over.
      refused(await link(ben, "late", { begun }), 400, "bad_challenge");
      done(await link(ben, "late"));
    });

    test("is kept from other sites' pages and from forms", async () => {
      const ben = await person();
      const { challenge, nonce } = await options(ben.browser, "/connections/options");
      const body = { proof: { type: "oidc", token: await login.token({ sub: "cross", nonce }) }, challenge };
      refused(await ben.browser.post("/connections", body, { "sec-fetch-site": "cross-site" }), 403, "cross_site");
      refused(await ben.browser.post("/connections", body, { origin: "https://evil.example" }), 403, "cross_site");
      refused(await ben.browser.post("/connections", body, { "content-type": "text/plain" }), 415, "unsupported_media_type");
      refused(await ben.browser.post("/connections/options", {}, { "sec-fetch-site": "same-site" }), 403, "cross_site");
      refused(await new Browser(authority).post("/auth/oidc/login", { token: body.proof.token, challenge }, { "sec-fetch-site": "cross-site" }), 403, "cross_site");
      done(await ben.browser.post("/connections", body));
      const [{ id }] = await connections(ben);
      refused(await ben.browser.call("DELETE", `/connections/${id}`, undefined, { "sec-fetch-site": "cross-site" }), 403, "cross_site");
    });

    test("needs a token that was made for it, whoever has one", async () => {
      const [ben, eve] = [await person(), await person()];
      // Without a nonce, or with another: such a token may have been found in a log.
      for (const nonce of [undefined, "x", 7, null]) refused(await link(eve, "victim", { claims: { nonce } }), 401, "invalid_claims");
      // A token that somebody else had made for their own session.
      const theirs = await options(ben.browser, "/connections/options");
      const token = await login.token({ sub: "victim", nonce: theirs.nonce });
      const own = await options(eve.browser, "/connections/options");
      const shown = (challenge) => ({ proof: { type: "oidc", token }, challenge });
      refused(await eve.browser.post("/connections", shown(own.challenge)), 401, "invalid_claims");
      refused(await eve.browser.post("/connections", shown(theirs.challenge)), 400, "bad_challenge");
      refused(await eve.browser.post("/connections", shown(theirs.nonce)), 401, "invalid_claims");
      // One for signing in is none for linking, and the other way round.
      const forLogin = await options(eve.browser);
      refused(await link(eve, "victim", { begun: forLogin }), 400, "bad_challenge");
      refused(await signIn("victim", { bend: (body) => ({ ...body, challenge: own.challenge }) }).then(({ answer }) => answer), 401, "invalid_claims");
      done(await ben.browser.post("/connections", shown(theirs.challenge)));
      assert.deepEqual(await connections(eve), []);
    });

    test("works once a challenge, right or wrong", async () => {
      const ben = await person();
      const begun = await options(ben.browser, "/connections/options");
      done(await link(ben, "once", { begun }));
      refused(await link(ben, "twice", { begun }), 400, "bad_challenge");
      const next = await options(ben.browser, "/connections/options");
      refused(await link(ben, "wrong", { begun: next, claims: { team: "blue" } }), 403, "claims_not_permitted");
      refused(await link(ben, "wrong", { begun: next }), 400, "bad_challenge");
      // A token that is single by itself is used up by what it did.
      const last = await options(ben.browser, "/connections/options");
      const token = await login.token({ sub: "jti", nonce: last.nonce });
      done(await ben.browser.post("/connections", { proof: { type: "oidc", token }, challenge: last.challenge }));
      refused(await ben.browser.post("/connections", { proof: { type: "oidc", token }, challenge: last.challenge }), 400, "bad_challenge");
    });

    test("is refused for what is wrong with the token, in the protocol's words", async () => {
      const ben = await person();
      const stranger = await startOidc();
      for (const [code, status, how] of [
        ["wrong_audience", 401, { claims: { aud: "https://elsewhere.example" } }],
        ["token_expired", 401, { claims: { exp: now() - 1 } }],
        ["token_from_future", 401, { claims: { iat: now() + 120 } }],
        ["token_not_yet_valid", 401, { claims: { nbf: now() + 120 } }],
        ["wrong_issuer", 401, { issuer: stranger }],
        ["invalid_signature", 401, { header: { key: stranger.keys.get("RS256").privateKey } }],
        ["unknown_key", 401, { header: { kid: "key-x" } }],
        ["invalid_claims", 401, { header: { typ: "logout+jwt" } }],
        ["claims_not_permitted", 403, { claims: { team: "blue" } }],
        ["workload_identity", 403, { issuer: ci }],
        ["malformed_token", 401, { bend: (body) => ({ ...body, proof: { type: "oidc", token: "x" } }) }],
        ["malformed_token", 401, { bend: (body) => ({ ...body, proof: { type: "oidc", token: "x".repeat(17_000) } }) }],
        ["body_too_large", 413, { bend: (body) => ({ ...body, more: "x".repeat(70_000) }) }],
        ["missing_proof_type", 400, { bend: (body) => ({ ...body, proof: undefined }) }],
        ["unknown_proof_type", 400, { bend: (body) => ({ ...body, proof: { type: "passkey" } }) }],
        ["missing_proof_token", 400, { bend: (body) => ({ ...body, proof: { type: "oidc" } }) }],
        ["challenge_required", 400, { bend: ({ proof }) => ({ proof }) }],
        ["bad_challenge", 400, { bend: (body) => ({ ...body, challenge: "AAAA" }) }],
        ["invalid_json", 400, { bend: () => "[" }],
      ]) {
        const answer = await link(ben, "bad", how);
        refused(answer, status, code);
        if (status === 401) assert.match(answer.json.error, /^proof verification failed: /);
      }
      assert.match((await link(ben, "bad", { bend: (body) => ({ ...body, proof: { type: "<x>" } }) })).json.error, /^unsupported proof\.type: <x>$/);
      assert.deepEqual(await connections(ben), []);
      await stranger.close();
    });

    test("never moves an identity: of 20 who try at once one has it, and the others are told nothing", async () => {
      const [ben, eve] = [await person(), await person()];
      const begun = await Promise.all(Array.from({ length: 20 }, async (_, i) => [i % 2 ? ben : eve, await options((i % 2 ? ben : eve).browser, "/connections/options")]));
      const answers = await Promise.all(begun.map(async ([who, one]) => [who, await link(who, "wanted", { begun: one })]));
      const winners = new Set(answers.filter(([, { status }]) => status === 200).map(([who]) => who));
      assert.equal(winners.size, 1);
      const [winner] = winners;
      for (const [who, answer] of answers) {
        if (who === winner) done(answer);
        else {
          refused(answer, 409, "identity_taken");
          assert.ok(!answer.text.includes(winner.id) && !answer.text.includes("Ben"), answer.text);
        }
      }
      assert.equal((await connections(winner)).length, 1);
      assert.equal(done((await signIn("wanted")).answer).principalId, winner.id);
      const loser = winner === ben ? eve : ben;
      assert.deepEqual(await connections(loser), []);
    });

    test("is for people, and what a workload is stays its own", async () => {
      const ben = await person();
      // It has been here, and is a principal.
      const { principal_id: workload } = done(await pair(await oidc("job", ci)));
      refused(await link(ben, "job", { issuer: ci }), 403, "workload_identity");
      refused(await link(ben, "never-seen", { issuer: ci }), 403, "workload_identity");
      assert.equal(done(await pair(await oidc("job", ci))).principal_id, workload);
      refused((await signIn("job", { issuer: ci })).answer, 403, "workload_identity");
    });

    test("ends at fifty ways in, of whatever kind", async () => {
      const ben = await person();
      for (let i = 0; i < 47; i++) done(await link(ben, `many-${i}`));
      done(await ben.browser.register(new Passkey(ES256), { wanted: { further: true } }));
      const begun = done(await ben.browser.post("/auth/passkey/register/options", { further: true }));
      done(await link(ben, "many-47"));
      refused(await ben.browser.answer(new Passkey(ES256), begun), 409, "too_many_ways_in");
      // Nobody is asked for a passkey that there is no place for.
      refused(await ben.browser.post("/auth/passkey/register/options", { further: true }), 409, "too_many_ways_in");
      refused(await link(ben, "one-too-many"), 409, "too_many_ways_in");
      // Nor by an administrator's link, which stays good.
      await admin.browser.stepUp(admin.passkey);
      const { token: invite } = done(await admin.browser.post("/invites", { principal: ben.id }));
      const joins = async () => {
        const joiner = new Browser(authority);
        const { challenge, nonce } = await options(joiner);
        return joiner.post("/join", { token: invite, proof: { type: "oidc", token: await login.token({ sub: "invited", nonce }) }, challenge });
      };
      refused(await joins(), 409, "too_many_ways_in");
      done(await link(ben, "many-0")); // is one of them
      refused((await signIn("one-too-many")).answer, 403, "unknown_identity");
      const [{ id }] = await connections(ben);
      done(await ben.browser.call("DELETE", `/connections/${id}`));
      // Of two at once for the last place one gets it.
      const last = await Promise.all([link(ben, "last-a"), link(ben, "last-b")]);
      assert.deepEqual(last.map(({ status }) => status).sort(), [200, 409]);
      refused(last.find(({ status }) => status === 409), 409, "too_many_ways_in");
      const [{ id: another }] = await connections(ben);
      done(await ben.browser.call("DELETE", `/connections/${another}`));
      done(await joins());
    });

    test("works by an assertion of one's own sign-in as well", async () => {
      const ben = await person();
      const custom = (body) => ({ ...body, proof: { ...body.proof, type: "custom" } });
      assert.equal(done(await link(ben, "own", { bend: custom })).provider, `custom:${login.url}`);
      refused((await signIn("own")).answer, 403, "unknown_identity");
      const { answer } = await signIn("own", { bend: (body) => ({ ...body, type: "custom" }) });
      assert.deepEqual([done(answer).principalId, answer.json.authMethod], [ben.id, `custom:${login.url}`]);
    });
  });

  describe("linking a certificate", { skip: noOpenssl }, () => {
    test("needs its key's word for this session and this principal", async () => {
      const [ben, eve] = [await person(), await person()];
      const leaf = certificateOf("ben");
      // Certificates are public: whoever has seen one has no key.
      refused(await linkCertificate(eve, { ...leaf, secret: certificateOf("eve").secret }), 401, "certificate_possession_failed");
      refused(await linkCertificate(eve, leaf, { label: "notme-certificate-proof-v1\0" }), 401, "certificate_possession_failed");
      refused(await linkCertificate(eve, leaf, { owner: ben.id }), 401, "certificate_possession_failed");
      const over = await options(ben.browser, "/connections/options");
      refused(await linkCertificate(eve, leaf, { over }), 400, "bad_challenge");
      refused(await linkCertificate(eve, leaf, { bend: (body) => ({ proof: body.proof }) }), 400, "challenge_required");
      refused(await linkCertificate(eve, leaf, { bend: (body) => ({ ...body, proof: { ...body.proof, signature: undefined } }) }), 400, "invalid_member");
      refused(await linkCertificate(eve, pki.leaf(mesh, { names: [], subject: "/O=Acme/CN=job" })), 403, "workload_identity");
      refused(await linkCertificate(eve, pki.leaf(office, { names: [], subject: "/O=Other/CN=eve" })), 403, "claims_not_permitted");
      refused(await linkCertificate(eve, pki.leaf(pki.ca("/CN=Office"), { names: [], subject: "/O=Acme/CN=eve" })), 401, "unknown_root");
      const linked = done(await linkCertificate(ben, leaf, { bend: ({ proof: { chain, ...proof }, challenge }) => ({ proof: { ...proof, cert: chain }, challenge }) }));
      assert.deepEqual(linked, { connected: true, provider: "x509:office", subject: "ben" });
      refused(await linkCertificate(eve, leaf), 409, "identity_taken");
      assert.deepEqual(await connections(eve), []);
    });
  });

  describe("signing in by one", () => {
    test("needs a link: unknown identities are nobody, at every door", async () => {
      refused((await signIn("nobody")).answer, 403, "unknown_identity");
      assert.match((await signIn("nobody")).answer.json.error, /^unknown identity — get an invite first$/);
      refused(await pairOf("nobody"), 403, "unknown_identity");
      if (!noOpenssl) refused(await pair(undefined, { leaf: certificateOf("nobody") }), 403, "unknown_identity");
    });

    test("needs a token that was made for this sign-in, and works once", async () => {
      const ben = await person();
      done(await link(ben, "signs-in"));
      // What older clients send is told what lacks.
      const old = await new Browser(authority).post("/auth/oidc/login", { token: await login.token({ sub: "signs-in" }) });
      refused(old, 400, "challenge_required");
      assert.match(old.json.error, /\/auth\/oidc\/options/);
      refused(await new Browser(authority).post("/auth/oidc/login", {}), 400, "missing_proof_token");
      for (const nonce of [undefined, "x", 1]) refused((await signIn("signs-in", { claims: { nonce } })).answer, 401, "invalid_claims");
      const { answer, token, challenge } = await signIn("signs-in");
      done(answer);
      refused(await new Browser(authority).post("/auth/oidc/login", { token, challenge }), 400, "bad_challenge");
      // Whoever saw the token has its nonce, and not the challenge.
      const seen = JSON.parse(Buffer.from(token.split(".")[1], "base64url")).nonce;
      refused(await new Browser(authority).post("/auth/oidc/login", { token, challenge: seen }), 401, "invalid_claims");
      const other = await options(new Browser(authority));
      refused(await new Browser(authority).post("/auth/oidc/login", { token, challenge: other.challenge }), 401, "invalid_claims");
      // It is worth nothing for a pair either.
      refused(await pair({ type: "oidc", token }), 401, "invalid_claims");
      // Nor is any other, with its jti or beside a challenge.
      const found = await oidc("signs-in");
      refused(await pair(found), 401, "invalid_claims");
      const keys = new Keys();
      refused(await new Browser(authority).post("/cert", { proof: found, ...keys.body(found.token) }), 400, "challenge_required");
      for (const [code, status, how] of [
        ["wrong_audience", 401, { claims: { aud: "x" } }],
        ["token_expired", 401, { claims: { exp: now() - 1 } }],
        ["claims_not_permitted", 403, { claims: { team: "blue" } }],
        ["unknown_proof_type", 400, { bend: (body) => ({ ...body, type: "x509" }) }],
        ["wrong_issuer", 401, { bend: (body) => ({ ...body, type: "access" }) }],
        ["invalid_member", 400, { bend: (body) => ({ ...body, type: 1 }) }],
        ["invalid_json", 400, { bend: () => "null" }],
      ]) {
        refused((await signIn("signs-in", how)).answer, status, code);
      }
    });

    test("works once, also for 20 at once", async () => {
      const ben = await person();
      done(await link(ben, "crowd"));
      const { challenge, nonce } = await options(ben.browser);
      const token = await login.token({ sub: "crowd", nonce });
      const answers = await Promise.all(Array.from({ length: 20 }, () => new Browser(authority).post("/auth/oidc/login", { token, challenge })));
      assert.equal(answers.filter(({ status }) => status === 200).length, 1);
      for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 400, "bad_challenge");
    });

    test("is worth a certificate; what is dangerous, and what administers, waits for a passkey", async () => {
      await admin.browser.stepUp(admin.passkey);
      done(await link(admin, "root"));
      const { browser, answer } = await signIn("root");
      assert.deepEqual([done(answer).scopes, answer.json.pending], [["bridgeCert"], ["authorityManage", "certMint"]]);
      const me = done(await browser.me());
      assert.deepEqual([me.isAdmin, me.scopes, me.pending, me.freshUntil], [false, ["bridgeCert"], ["authorityManage", "certMint"], 0]);
      refused(await browser.call("GET", "/admin/principals"), 403, "step_up_required");
      refused(await browser.post("/invites", {}), 403, "step_up_required");
      refused(await browser.post("/connections/options"), 403, "step_up_required");
      refused(await browser.post("/auth/passkey/register/options", { further: true }), 403, "step_up_required");
      done(await browser.stepUp(admin.passkey));
      const after = done(await browser.me());
      assert.deepEqual([after.isAdmin, after.pending, after.authMethod], [true, [], `oidc:${login.url}`]);
      assert.ok(after.freshUntil > now());
      done(await browser.call("GET", "/admin/principals"));
      done(await browser.post("/connections/options"));
    });

    test("ends the session that the browser had", async () => {
      const ben = await person();
      done(await link(ben, "twice-here"));
      const before = ben.browser.cookie;
      await signIn("twice-here", { browser: ben.browser });
      assert.notEqual(ben.browser.cookie, before);
      const old = new Browser(authority);
      old.cookie = before;
      refused(await old.me(), 401, "no_session");
    });

    test("is worth nothing at a row for workloads", async () => {
      const ben = await person();
      done(await link(ben, "both"));
      const of = async (sub) => ({ type: "oidc", token: await login.token({ sub, aud: "https://jobs.example" }) });
      // Without our nonce: whoever finds this token could show it.
      refused(await pair(await of("both")), 403, "person_identity");
      assert.equal(done(await pairOf("both")).principal_id, ben.id);
      const job = done(await pair(await of("a-job")));
      assert.notEqual(job.principal_id, ben.id);
      const again = done(await pair(await of("a-job")));
      assert.equal(again.principal_id, job.principal_id);
    });

    test("ends with the row that let it in, unless a passkey was shown", { skip: elsewhere }, async () => {
      const [ben, eve] = [await person(), await person()];
      for (const [who, sub] of [[ben, "by-row"], [eve, "by-row-too"]]) done(await link(who, sub));
      await admin.browser.stepUp(admin.passkey);
      const row = { issuer: login.url, audience: "https://made.example", for: "people", scopes: ["bridgeCert"], rules: [{ team: "red" }] };
      const made = done(await admin.browser.post("/policy/issuers", { row }));
      const begin = async (sub) => {
        const { browser, answer } = await signIn(sub, { claims: { aud: "https://made.example" } });
        done(answer);
        return browser;
      };
      const [first, shown] = [await begin("by-row"), await begin("by-row-too")];
      done(await shown.stepUp(eve.passkey));
      const edited = done(await admin.browser.call("PUT", `/policy/issuers/${made.id}`, { row: { ...row, name: "made" }, revision: made.revision }));
      refused(await first.me(), 401, "no_session");
      done(await shown.me());
      done(await ben.browser.me());
      const again = await begin("by-row");
      done(await admin.browser.call("DELETE", `/policy/issuers/${made.id}?revision=${edited.revision}`));
      refused(await again.me(), 401, "no_session");
      done(await shown.me());
      const [line] = lines("issuer.removed", made.id);
      assert.equal(line.details.sessions, 1);
    });

    test("is worth too little to end a passkey's session, or another identity's, or to take back what was given", { skip: elsewhere }, async () => {
      const [ben, eve] = [await person(), await person()];
      for (const sub of ["weak", "weak-too"]) done(await link(ben, sub));
      const { id: delegation } = done(await ben.browser.post("/delegations", { delegate: eve.id }));
      const { session: strong } = done(await ben.browser.me());
      const [{ browser }, another, further] = [await signIn("weak"), await signIn("weak"), await signIn("weak-too")];
      const session = async ({ browser: of }) => done(await of.me()).session;
      const end = async (id, by = browser) => by.call("DELETE", `/me/sessions/${id}`);
      refused(await end(strong), 403, "step_up_required");
      refused(await end(await session(further)), 403, "step_up_required");
      refused(await browser.call("DELETE", `/delegations/${delegation}`), 403, "step_up_required");
      done(await ben.browser.me());
      done(await further.browser.me());
      // Of one's own way in.
      done(await end(await session(another)));
      refused(await another.browser.me(), 401, "no_session");
      // With a passkey it is as good as any; and that has to be of late.
      done(await browser.stepUp(ben.passkey));
      done(await end(await session(further)));
      done(await browser.call("DELETE", `/delegations/${delegation}`));
      await meanwhile(authority, longAgo(301));
      refused(await end(strong), 403, "step_up_required");
      const own = (await browser.me()).json.session;
      done(await end(own));
      done(await ben.browser.stepUp(ben.passkey));
    });

    test("is worth too little to end another one's session, or to take back what that gave, also for who has no passkey", async () => {
      const first = await bareHanded("two-ways");
      await admin.browser.stepUp(admin.passkey);
      const { token: further } = done(await admin.browser.post("/invites", { principal: first.id }));
      const second = await joined(further, "two-ways", home);
      assert.equal(second.id, first.id);
      const session = async ({ browser }) => done(await browser.me()).session;
      const end = async (other, { browser }) => browser.call("DELETE", `/me/sessions/${await session(other)}`);
      const takeBack = (id, { browser }) => browser.call("DELETE", `/delegations/${id}`);
      for (const [one, other, issuer] of [[first, second, login], [second, first, home]]) {
        const another = await signIn("two-ways", { issuer });
        const [own, theirs] = [await handOn(one, admin.id), await handOn(other, admin.id)];
        refused(await end(other, one), 403, "step_up_required");
        refused(await takeBack(theirs, one), 403, "step_up_required");
        done(await other.browser.me());
        done(await end(another, one));
        refused(await another.browser.me(), 401, "no_session");
        done(await takeBack(own, one));
        done(await takeBack(theirs, other));
      }
      // With a passkey it is as good as any, and then that is asked for.
      const [given, kept] = [await handOn(first, admin.id), await handOn(first, admin.id)];
      const passkey = new Passkey(ES256);
      done(await second.browser.register(passkey, { wanted: { further: true } }));
      refused(await end(first, second), 403, "step_up_required");
      done(await second.browser.stepUp(passkey));
      refused(await end(second, first), 403, "step_up_required");
      refused(await takeBack(given, first), 403, "step_up_required");
      done(await takeBack(given, second));
      done(await end(first, second));
      refused(await first.browser.me(), 401, "no_session");
      done(await takeBack(kept, second));
    });

    test("takes back what it gave where its owner's passkeys are for another name, and nothing else", async () => {
      const ben = await person();
      done(await link(ben, "moved"));
      const { browser } = await signIn("moved");
      const own = await handOn({ browser }, admin.id);
      const { id: by } = done(await ben.browser.post("/delegations", { delegate: admin.id }));
      const takeBack = (id, from = browser) => from.call("DELETE", `/delegations/${id}`);
      refused(await takeBack(own), 403, "step_up_required");
      try {
        await authority.restart({ vars: { WEBAUTHN_RP_ID: "moved.example", WEBAUTHN_ORIGINS: "https://moved.example" } });
        done(await takeBack(own));
        refused(await takeBack(by), 403, "step_up_required");
      } finally {
        await authority.restart({ vars: { WEBAUTHN_RP_ID: undefined, WEBAUTHN_ORIGINS: undefined } });
      }
      done(await takeBack(by, ben.browser));
    });

    test("leads nowhere for whoever was turned away", async () => {
      const ben = await person();
      done(await link(ben, "turned-away"));
      const { browser } = await signIn("turned-away");
      await admin.browser.stepUp(admin.passkey);
      done(await admin.browser.post(`/admin/principals/${ben.id}/disable`));
      refused(await browser.me(), 401, "no_session");
      refused((await signIn("turned-away")).answer, 403, "turned_away");
      refused(await pairOf("turned-away"), 403, "turned_away");
    });
  });

  describe("removing one", () => {
    test("ends the sessions that began with it, and leaves the identity nobody's", { skip: elsewhere }, async () => {
      const [ben, eve] = [await person(), await person()];
      done(await link(ben, "leaves"));
      const { browser } = await signIn("leaves");
      const [{ id }] = await connections(ben);
      refused(await eve.browser.call("DELETE", `/connections/${id}`), 404, "no_such_item");
      const { passkeys } = done(await ben.browser.call("GET", "/me/passkeys"));
      refused(await ben.browser.call("DELETE", `/connections/${passkeys[0].id}`), 404, "no_such_item");
      done(await ben.browser.call("DELETE", `/connections/${id}`));
      refused(await browser.me(), 401, "no_session");
      done(await ben.browser.me());
      refused((await signIn("leaves")).answer, 403, "unknown_identity");
      refused(await pairOf("leaves"), 403, "unknown_identity");
      refused(await ben.browser.call("DELETE", `/connections/${id}`), 404, "no_such_item");
      assert.equal(lines("authenticator.removed", id)[0].actor, ben.id);
      done(await link(eve, "leaves"));
    });

    test("has its own route: those of passkeys know nothing of it", async () => {
      const ben = await person();
      done(await link(ben, "no-passkey"));
      const [{ id }] = await connections(ben);
      refused(await ben.browser.call("DELETE", `/me/passkeys/${id}`), 404, "no_such_item");
      refused(await ben.browser.post(`/me/passkeys/${id}`, { name: "x" }), 404, "no_such_item");
      assert.equal((await connections(ben)).length, 1);
      const { items } = done(await admin.browser.call("GET", `/admin/authenticators?principal=${ben.id}`));
      assert.ok(items.every(({ name }) => name !== "x"));
    });

    test("leaves one that lets in: not one whose row is gone, nor a passkey for another name", { skip: elsewhere }, async () => {
      const ben = await person();
      done(await link(ben, "stays"));
      done(await link(ben, "elsewhere"));
      const of = await connections(ben);
      const [id, gone] = ["stays", "elsewhere"].map((sub) => of.find(({ subject }) => subject === sub).id);
      await meanwhile(authority, `UPDATE authenticators SET issuer = 'https://gone.example' WHERE id = '${gone}';
        UPDATE authenticators SET issuer = 'old.example' WHERE principal = '${ben.id}' AND kind = 'passkey';`);
      refused(await ben.browser.call("DELETE", `/connections/${id}`), 409, "last_way_in");
      done(await ben.browser.call("DELETE", `/connections/${gone}`));
      // One of a workloads' row signs nobody in either.
      await meanwhile(authority, `INSERT INTO authenticators VALUES ('${randomUUID()}', '${ben.id}', 'oidc', '${ci.url}', 'job-of-ben', 'x', 1, 1);`);
      refused(await ben.browser.call("DELETE", `/connections/${id}`), 409, "last_way_in");
      done((await signIn("stays")).answer);
    });

    test("works for administrators, who have shown a passkey", { skip: elsewhere }, async () => {
      const ben = await person();
      done(await link(ben, "taken-back"));
      const { browser } = await signIn("taken-back");
      const { items } = done(await admin.browser.call("GET", `/admin/authenticators?principal=${ben.id}`));
      const { id } = items.find(({ kind }) => kind === "oidc");
      refused(await browser.call("DELETE", `/admin/authenticators/${id}`), 403, "manage_required");
      await admin.browser.stepUp(admin.passkey);
      done(await admin.browser.call("DELETE", `/admin/authenticators/${id}`));
      refused(await browser.me(), 401, "no_session");
      refused((await signIn("taken-back")).answer, 403, "unknown_identity");
      const [line] = lines("authenticator.removed", id);
      assert.deepEqual([line.actor, line.details.kind, line.details.sessions], [admin.id, "oidc", 1]);
    });
  });

  describe("an invite", () => {
    const invite = async (scopes) => {
      await admin.browser.stepUp(admin.passkey);
      return done(await admin.browser.post("/invites", { scopes })).token;
    };
    async function join(token, sub, { claims = {}, bend = (body) => body } = {}) {
      const browser = new Browser(authority);
      const { challenge, nonce } = await options(browser);
      const proof = { type: "oidc", token: await login.token({ sub, nonce, ...claims }), displayName: "Cleo" };
      return { browser, answer: await browser.post("/join", bend({ token, proof, challenge })) };
    }

    test("makes somebody without a passkey, who isn't asked for one to end a session", async () => {
      const { browser, answer } = await join(await invite(), "bare-handed");
      done(answer);
      const [another, later] = [await signIn("bare-handed"), await signIn("bare-handed")];
      const { session } = done(await another.browser.me());
      done(await browser.call("DELETE", `/me/sessions/${session}`));
      refused(await another.browser.me(), 401, "no_session");
      refused(await browser.call("DELETE", `/delegations/${randomUUID()}`), 404, "no_such_item");
      // Once there is one it is asked for.
      const passkey = new Passkey(ES256);
      done(await browser.register(passkey, { wanted: { further: true } }));
      done(await browser.stepUp(passkey));
      refused(await later.browser.call("DELETE", `/me/sessions/${done(await browser.me()).session}`), 403, "step_up_required");
      refused(await later.browser.call("DELETE", `/delegations/${randomUUID()}`), 403, "step_up_required");
    });

    test("is redeemed by an identity, which signs in from then on", { skip: elsewhere }, async () => {
      const token = await invite();
      const { browser, answer } = await join(token, "cleo");
      const { principalId } = done(answer);
      assert.deepEqual(answer.json, { joined: true, principalId, scopes: ["bridgeCert"] });
      const me = done(await browser.me());
      assert.deepEqual([me.userId, me.displayName, me.authMethod], [principalId, "Cleo", `oidc:${login.url}`]);
      assert.equal(done((await signIn("cleo")).answer).principalId, principalId);
      refused((await join(token, "dora")).answer, 403, "bad_invite");
      const [line] = lines("principal.registered", principalId);
      assert.deepEqual([line.details.admission, line.details.subject, line.details.scopes], ["invite", "cleo", ["bridgeCert"]]);
    });

    test("is not for workloads, whatever they show: no session comes of it", async () => {
      const token = await invite();
      const browser = new Browser(authority);
      const { challenge, nonce } = await options(browser);
      const identity = await ci.token({ sub: "a-guest", nonce });
      refused(await browser.post("/join", { token, proof: { type: "oidc", token: identity }, challenge }), 403, "workload_identity");
      done(await browser.post("/invites/lookup", { token }));
    });

    test("stays usable whatever is wrong with the proof, or with whose it is", async () => {
      const ben = await person();
      done(await link(ben, "known"));
      const token = await invite();
      for (const [code, status, how, sub = "emil"] of [
        ["invalid_claims", 401, { claims: { nonce: undefined } }],
        ["token_expired", 401, { claims: { exp: now() - 1 } }],
        ["wrong_audience", 401, { claims: { aud: "x" } }],
        ["claims_not_permitted", 403, { claims: { team: "blue" } }],
        ["challenge_required", 400, { bend: ({ challenge: _, ...body }) => body }],
        ["missing_proof_token", 400, { bend: (body) => ({ ...body, proof: { type: "oidc" } }) }],
        ["invalid_member", 400, { bend: (body) => ({ ...body, proof: { ...body.proof, displayName: 1 } }) }],
        ["bad_challenge", 400, { bend: (body) => ({ ...body, challenge: "AAAA" }) }],
        ["identity_taken", 409, {}, "known"],
      ]) {
        refused((await join(token, sub, how)).answer, status, code);
      }
      refused((await join("x", "emil")).answer, 403, "bad_invite");
      refused((await join(undefined, "emil")).answer, 400, "missing_invite_token");
      assert.equal(done((await signIn("known")).answer).principalId, ben.id, "nothing was moved");
      // Of many at once one joins.
      const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => join(token, `emil-${i}`)));
      assert.equal(answers.filter(({ answer }) => answer.status === 200).length, 1);
      for (const { answer } of answers.filter(({ answer }) => answer.status !== 200)) refused(answer, 403, "bad_invite");
    });

    test("that lets an administrator in waits for their first passkey", async () => {
      const { browser, answer } = await join(await invite(["bridgeCert", "authorityManage"]), "future-admin");
      assert.deepEqual(done(answer).scopes, ["bridgeCert"]);
      assert.deepEqual(done(await browser.me()).pending, ["authorityManage"]);
      refused(await browser.call("GET", "/admin/principals"), 403, "step_up_required");
      const passkey = new Passkey(ES256);
      done(await browser.register(passkey, { wanted: { further: true } }));
      assert.equal(done(await browser.me()).isAdmin, false, "adding one shows nothing");
      refused(await browser.post("/auth/passkey/register/options", { further: true }), 403, "step_up_required");
      done(await browser.stepUp(passkey));
      done(await browser.call("GET", "/admin/principals"));
    });

    test("makes nobody who can't sign in: the last way in stays", { skip: elsewhere }, async () => {
      const { browser } = await join(await invite(), "lonely");
      const lonely = { browser };
      const passkey = new Passkey(ES256);
      done(await browser.register(passkey, { wanted: { further: true } }));
      done(await browser.stepUp(passkey));
      const [{ id }] = await connections(lonely);
      const { passkeys } = done(await browser.call("GET", "/me/passkeys"));
      done(await browser.call("DELETE", `/me/passkeys/${passkeys[0].id}`));
      refused(await browser.call("DELETE", `/connections/${id}`), 409, "last_way_in");
      done((await signIn("lonely")).answer);
    });

    test("lets nobody add a passkey long after they came in by something else", { skip: elsewhere }, async () => {
      const { browser } = await join(await invite(), "late-passkey");
      await meanwhile(authority, "UPDATE sessions SET created_at = created_at - 301, verified_at = verified_at - 301; UPDATE grants SET granted_at = granted_at - 301;");
      refused(await browser.post("/auth/passkey/register/options", { further: true }), 403, "step_up_required");
      const { browser: again } = await signIn("late-passkey");
      done(await again.register(new Passkey(ES256), { wanted: { further: true } }));
    });
  });

  describe("a further way in that an administrator makes", () => {
    /** The token of one; or the refusal. */
    const made = async (principal, more = {}, by = admin) => {
      if (by === admin) await admin.browser.stepUp(admin.passkey);
      return by.browser.post("/invites", { principal, ...more });
    };
    const tokenFor = async (principal) => done(await made(principal)).token;
    /** Shows a token of a workload, and an invite beside it. */
    const shown = async (proof, invite, keys = new Keys()) =>
      new Browser(authority).post("/cert", { proof, public_keys: keys.publicKeys, proofs: keys.proofs(proof.token), ...(invite && { invite }) });

    test("is for a person who lost theirs: a passkey, or an identity, and what they may do stays", async () => {
      const ben = await person();
      const before = done(await ben.browser.me());
      const link = done(await made(ben.id));
      assert.deepEqual(link.scopes, ["bridgeCert"]);
      const browser = new Browser(authority);
      const offer = done(await browser.post("/invites/lookup", { token: link.token }));
      assert.deepEqual([offer.furtherFor, offer.scopes], ["Ben", ["bridgeCert"]]);
      const passkey = new Passkey(ES256);
      done(await browser.register(passkey, { wanted: { invite: link.token } }));
      const after = done(await browser.me());
      for (const name of ["userId", "identity", "scopes", "displayName"]) assert.deepEqual(after[name], before[name], name);
      refused(await new Browser(authority).register(new Passkey(ES256), { wanted: { invite: link.token } }), 403, "bad_invite");
      done(await new Browser(authority).signIn(passkey));
      done(await ben.browser.me());
      assert.equal(done(await browser.call("GET", "/me/passkeys")).passkeys.length, 2);
      const items = done(await admin.browser.call("GET", `/invites?principal=${admin.id}`)).items;
      const item = items.find(({ id }) => id === link.id);
      assert.deepEqual([item.principal, item.principalName, item.state, item.redeemedBy], [ben.id, "Ben", "redeemed", ben.id]);
      // An identity does as well.
      const token = await tokenFor(ben.id);
      const joining = new Browser(authority);
      const { challenge, nonce } = await options(joining);
      const identity = await login.token({ sub: "found-again", nonce });
      assert.equal(done(await joining.post("/join", { token, proof: { type: "oidc", token: identity }, challenge })).principalId, ben.id);
      assert.equal(done(await (await signIn("found-again")).browser.me()).userId, ben.id);
    });

    test("is for a workload that comes by another door: the same principal, and nobody is moved", async () => {
      const first = done(await shown(await oidc("deployer", ci)));
      const other = { type: "oidc", token: await login.token({ sub: "deployer", aud: "https://jobs.example" }) };
      const invite = await tokenFor(first.principal_id);
      const keys = new Keys();
      const linked = done(await shown(other, invite, keys));
      assert.deepEqual([linked.principal_id, linked.identity, linked.subject, linked.scopes], [first.principal_id, first.identity, first.subject, first.scopes]);
      refused(await shown(other, invite, keys), 403, "bad_invite");
      refused(await shown(other, undefined, keys), 401, "token_used");
      // By itself from now on, and by the first door as before.
      assert.equal(done(await shown({ type: "oidc", token: await login.token({ sub: "deployer", aud: "https://jobs.example" }) })).principal_id, first.principal_id);
      assert.equal(done(await shown(await oidc("deployer", ci))).principal_id, first.principal_id);
      refused(await shown(await oidc("late", ci), invite), 403, "bad_invite");
      // Who is somebody stays that: the invite is neither used, nor is anybody moved.
      const somebody = done(await shown(await oidc("somebody", ci)));
      const kept = await tokenFor(first.principal_id);
      refused(await shown(await oidc("somebody", ci), kept), 409, "identity_taken");
      assert.equal(done(await shown(await oidc("somebody", ci))).principal_id, somebody.principal_id);
      const crowd = await Promise.all(Array.from({ length: 10 }, async (_, i) => shown(await oidc(`crowd-${i}`, ci), kept)));
      assert.equal(crowd.filter(({ status }) => status === 200).length, 1);
      for (const answer of crowd.filter(({ status }) => status !== 200)) refused(answer, 403, "bad_invite");
      // What was refused used no token up.
      const again = await oidc("twice", ci);
      refused(await shown(again, kept), 403, "bad_invite");
      done(await shown(again));
    });

    test("is made by who could do the same, has just shown a passkey, and still may when it is used", async () => {
      const [ben, deputy] = [await person(["bridgeCert", "certMint"]), await person(["bridgeCert", "authorityManage"])];
      refused(await made(ben.id, {}, deputy), 403, "scope_not_held");
      refused(await made(randomUUID()), 404, "no_such_item");
      refused(await made("Ben"), 400, "invalid_member");
      refused(await made(ben.id, { scopes: ["bridgeCert"] }), 400, "invalid_member");
      refused(await ben.browser.post("/invites", { principal: deputy.id }), 403, "manage_required");
      const guest = await person();
      const token = done(await made(guest.id, {}, deputy)).token;
      done(await admin.browser.post(`/admin/principals/${guest.id}/grants`, { scope: "certMint" }));
      refused(await new Browser(authority).post("/invites/lookup", { token }), 403, "bad_invite");
      refused(await new Browser(authority).register(new Passkey(ES256), { wanted: { invite: token } }), 403, "bad_invite");
      done(await admin.browser.call("DELETE", `/admin/principals/${guest.id}/grants/certMint`));
      done(await new Browser(authority).post("/invites/lookup", { token }));
      done(await admin.browser.post(`/admin/principals/${guest.id}/disable`));
      refused(await new Browser(authority).register(new Passkey(ES256), { wanted: { invite: token } }), 403, "bad_invite");
    });

    test("is for that kind of principal alone", async () => {
      const ben = await person();
      const workload = done(await shown(await oidc("kind", ci)));
      const [forBen, forWorkload] = [await tokenFor(ben.id), await tokenFor(workload.principal_id)];
      refused(await new Browser(authority).register(new Passkey(ES256), { wanted: { invite: forWorkload } }), 403, "bad_invite");
      const joining = new Browser(authority);
      const { challenge, nonce } = await options(joining);
      refused(await joining.post("/join", { token: forWorkload, proof: { type: "oidc", token: await login.token({ sub: "kind", nonce }) }, challenge }), 403, "bad_invite");
      refused(await shown(await oidc("not-ben", ci), forBen), 403, "bad_invite");
      const { token } = done(await admin.browser.post("/invites", { scopes: ["bridgeCert"] }));
      refused(await shown(await oidc("newcomer", ci), token), 403, "bad_invite");
      refused(await shown(await oidc("newcomer", ci), "x"), 403, "bad_invite");
      const keys = new Keys();
      refused(await ben.browser.post("/cert", { proof: { type: "session" }, invite: forBen, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) }), 400, "invalid_member");
    });

    test("and a passkey that its person adds meanwhile take nothing from each other, whichever is begun and ended first", async () => {
      for (const [i, [begunFirst, endedFirst]] of [["link", "own"], ["link", "link"], ["own", "own"], ["own", "link"]].entries()) {
        // Who has none begins without showing one.
        const { browser: own, id } = await bareHanded(`both-${i}`);
        const [link, token] = [new Browser(authority), await tokenFor(id)];
        const passkeys = { own: new Passkey(ES256), link: new Passkey(ES256) };
        const begin = {
          own: () => own.post("/auth/passkey/register/options", { further: true }),
          link: () => link.post("/auth/passkey/register/options", { invite: token }),
        };
        const begun = {};
        for (const one of begunFirst === "own" ? ["own", "link"] : ["link", "own"]) begun[one] = done(await begin[one]());
        assert.deepEqual([begun.own.userId, begun.link.userId], [id, id]);
        const endOwn = async () => {
          // By then there is one, and it is asked for.
          if (endedFirst === "link") done(await own.stepUp(passkeys.link));
          done(await own.answer(passkeys.own, begun.own));
        };
        const endLink = async () => {
          done(await link.post("/invites/lookup", { token }));
          done(await link.answer(passkeys.link, begun.link));
          refused(await link.post("/invites/lookup", { token }), 403, "bad_invite");
        };
        for (const end of endedFirst === "own" ? [endOwn, endLink] : [endLink, endOwn]) await end();
        for (const passkey of Object.values(passkeys)) {
          const browser = new Browser(authority);
          done(await browser.signIn(passkey));
          assert.equal(done(await browser.me()).userId, id);
        }
      }
    });

    test("ends what a session began that came in by less: once there is a passkey that has to be shown", async () => {
      const { browser, id } = await bareHanded("began-before");
      const begun = done(await browser.post("/auth/passkey/register/options", { further: true }));
      const again = done(await browser.post("/auth/passkey/register/options", { further: true }));
      refused(await browser.answer(new Passkey(ES256), begun), 400, "bad_challenge");
      done(await new Browser(authority).register(new Passkey(ES256), { wanted: { invite: await tokenFor(id) } }));
      refused(await browser.answer(new Passkey(ES256), again), 403, "step_up_required");
      assert.equal(done(await browser.call("GET", "/me/passkeys")).passkeys.length, 1);
    });

    test("asks for one's own proof only: a passkey of another registration is no answer", async () => {
      const [ben, eve] = [await person(), await person()];
      const token = await tokenFor(ben.id);
      const browser = new Browser(authority);
      const mine = done(await browser.post("/auth/passkey/register/options", { invite: token }));
      assert.deepEqual([mine.userId, mine.options.excludeCredentials.length], [ben.id, 1], "no device gets two of theirs");
      const theirs = done(await new Browser(authority).post("/auth/passkey/register/options", { invite: await tokenFor(eve.id) }));
      refused(await browser.answer(new Passkey(ES256), { options: theirs.options, userId: mine.userId }), 400, "bad_challenge");
      // Of those who answer at once one comes in.
      const begun = await Promise.all(Array.from({ length: 5 }, async () => done(await new Browser(authority).post("/auth/passkey/register/options", { invite: token }))));
      const crowd = await Promise.all(begun.map((one) => new Browser(authority).answer(new Passkey(ES256), one)));
      assert.equal(crowd.filter(({ status }) => status === 200).length, 1, crowd.map(({ text }) => text).join());
      assert.equal(done(await ben.browser.call("GET", "/me/passkeys")).passkeys.length, 2);
    });
  });

  describe("a crash", { skip: elsewhere }, () => {
    const counts = () => query(databaseOf(authority.stateDir), "SELECT (SELECT COUNT(*) FROM principals), (SELECT COUNT(*) FROM authenticators), (SELECT COUNT(*) FROM sessions), (SELECT COUNT(*) FROM audit)")[0];

    test("leaves what was used used, and what was linked linked", async () => {
      const ben = await person();
      const begun = await options(ben.browser, "/connections/options");
      const token = await login.token({ sub: "crash", nonce: begun.nonce });
      const body = { proof: { type: "oidc", token }, challenge: begun.challenge };
      done(await ben.browser.post("/connections", body));
      await authority.kill9();
      await authority.restart();
      refused(await ben.browser.post("/connections", body), 400, "bad_challenge");
      const signedIn = await signIn("crash");
      assert.equal(done(signedIn.answer).principalId, ben.id);
      await authority.kill9();
      await authority.restart();
      done(await signedIn.browser.me());
      refused(await new Browser(authority).post("/auth/oidc/login", { token: signedIn.token, challenge: signedIn.challenge }), 400, "bad_challenge");
    });

    test("leaves nothing half done: a join and a link are one transaction", async () => {
      const ben = await person();
      await admin.browser.stepUp(admin.passkey);
      const { token: invite } = done(await admin.browser.post("/invites", {}));
      const join = async () => {
        const browser = new Browser(authority);
        const { challenge, nonce } = await options(browser);
        return browser.post("/join", { token: invite, proof: { type: "oidc", token: await login.token({ sub: "half", nonce }) }, challenge });
      };
      for (const action of ["principal.registered", "authenticator.added"]) {
        await meanwhile(authority, `CREATE TRIGGER stop BEFORE INSERT ON audit WHEN NEW.action = '${action}' BEGIN SELECT RAISE(ABORT, 'stopped'); END;`);
        const before = counts();
        const answer = action === "principal.registered" ? await join() : await link(ben, "half");
        refused(answer, 500, "internal");
        assert.deepEqual(counts(), before, action);
        await meanwhile(authority, "DROP TRIGGER stop;");
      }
      done(await join());
      refused(await link(ben, "half"), 409, "identity_taken");
    });
  });

  test("an issuer that isn't ours signs somebody in, with a code, PKCE and our nonce", async () => {
    const { privateKey } = await generateKeyPair("RS256", { extractable: true });
    const server = createServer();
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${server.address().port}`;
    const redirect_uri = "https://app.example/callback";
    const provider = new Provider(url, {
      jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: "RS256", kid: "first", use: "sig" }] },
      clients: [{ client_id: "app", token_endpoint_auth_method: "none", grant_types: ["authorization_code"], redirect_uris: [redirect_uri], response_types: ["code"] }],
    });
    server.on("request", provider.callback());
    const row = { for: "people", issuer: url, audience: "app", scopes: ["bridgeCert"], rules: [{ sub: "ana" }] };
    const other = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify([row]) } });
    /** Signs `name` in there, as a browser would, and redeems the code. */
    const idToken = async (name, nonce) => {
      const cookies = new Map();
      const go = async (at, form) => {
        const headers = { cookie: [...cookies].map(([key, value]) => `${key}=${value}`).join("; ") };
        const response = await fetch(new URL(at, url), { redirect: "manual", headers, ...(form && { method: "POST", body: new URLSearchParams(form) }) });
        for (const set of response.headers.getSetCookie()) cookies.set(...set.split(";")[0].split(/=(.*)/s).slice(0, 2));
        return response.headers.get("location") ?? assert.fail(`${response.status} ${await response.text()}`);
      };
      const verifier = randomBytes(32).toString("base64url");
      const asked = { client_id: "app", response_type: "code", scope: "openid", redirect_uri, nonce, code_challenge: sha256(verifier).toString("base64url"), code_challenge_method: "S256" };
      let at = await go(`/auth?${new URLSearchParams(asked)}`);
      for (const form of [{ prompt: "login", login: name, password: "x" }, { prompt: "consent" }]) at = await go(await go(at, form));
      const code = new URL(at).searchParams.get("code");
      const body = new URLSearchParams({ grant_type: "authorization_code", client_id: "app", code, code_verifier: verifier, redirect_uri });
      return (await (await fetch(`${url}/token`, { method: "POST", body })).json()).id_token;
    };
    try {
      const browser = new Browser(other);
      const passkey = new Passkey(ES256);
      done(await browser.register(passkey));
      const begun = await options(browser, "/connections/options");
      done(await browser.post("/connections", { proof: { type: "oidc", token: await idToken("ana", begun.nonce) }, challenge: begun.challenge }));
      const guest = new Browser(other);
      const { challenge, nonce } = await options(guest);
      const token = await idToken("ana", nonce);
      assert.equal(done(await guest.post("/auth/oidc/login", { token, challenge })).principalId, done(await browser.me()).userId);
      refused(await new Browser(other).post("/auth/oidc/login", { token, challenge }), 400, "bad_challenge");
      const again = await options(guest);
      refused(await new Browser(other).post("/auth/oidc/login", { token: await idToken("eve", again.nonce), challenge: again.challenge }), 403, "claims_not_permitted");
    } finally {
      await other.stop();
      server.closeAllConnections();
      server.close();
    }
  });

  test("one's own page shows what is linked, and removes it", { skip: !executablePath && "chromium is not installed" }, async () => {
    const chromium = await openBrowser();
    try {
      await admin.browser.stepUp(admin.passkey);
      const { url } = done(await admin.browser.post("/invites", {}));
      const ben = await Person.meet(chromium, authority);
      ben.page.setDefaultTimeout(15_000);
      await ben.join(url, "Ben");
      await ben.says("Nothing but passkeys lets you in.");
      assert.equal((await ben.link(login, "<b>seen</b>")).connected, true);
      await ben.page.reload();
      const region = ben.page.getByRole("region", { name: "Other ways in" });
      await region.getByText("<b>seen</b>", { exact: true }).waitFor();
      await region.getByText(`oidc:${login.url}`).waitFor();
      const remove = region.getByRole("button", { name: "Remove" });
      await remove.focus();
      await ben.page.keyboard.press("Enter");
      await ben.page.getByRole("dialog").getByText("Nobody can sign in with").waitFor();
      await ben.page.keyboard.press("Escape");
      await ben.page.locator("dialog").waitFor({ state: "detached" });
      await ben.page.keyboard.press("Enter");
      await ben.page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
      await ben.says("It was removed.");
      await ben.says("Nothing but passkeys lets you in.");
      refused((await signIn("<b>seen</b>")).answer, 403, "unknown_identity");
      assert.deepEqual(ben.complaints, []);
    } finally {
      await chromium.close();
    }
  });

  test("the same principal through four doors has the same URI, subject and grants", { skip: noOpenssl }, async () => {
    const ben = await person();
    const leaf = certificateOf("four-doors");
    done(await link(ben, "four-doors"));
    done(await link(ben, "four-doors", { bend: (body) => ({ ...body, proof: { ...body.proof, type: "custom" } }) }));
    done(await linkCertificate(ben, leaf));
    const session = async () => {
      const keys = new Keys();
      const { challenge } = done(await ben.browser.post("/cert/challenge"));
      const proofs = keys.proofsOver(keys.message(Buffer.from(challenge, "base64url")));
      return ben.browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs, challenge });
    };
    const own = () => pair({ type: "custom" }, { nonce: { sub: "four-doors" } });
    const doors = [session, () => pairOf("four-doors"), own, () => pair(undefined, { leaf })];
    const methods = [];
    for (const door of doors) {
      const { identity, subject, principal_id, scopes, auth_method } = done(await door());
      assert.deepEqual([identity, subject, principal_id, scopes], [ben.identity, ben.id, ben.id, ["bridgeCert"]]);
      methods.push(auth_method);
    }
    assert.deepEqual(methods, ["passkey", `oidc:${login.url}`, `custom:${login.url}`, "x509:office"]);
    await admin.browser.stepUp(admin.passkey);
    done(await admin.browser.call("DELETE", `/admin/principals/${ben.id}/grants/bridgeCert`));
    for (const door of doors) refused(await door(), 403, "scopes_not_granted");
    done(await admin.browser.post(`/admin/principals/${ben.id}/grants`, { scope: "bridgeCert" }));
    for (const door of doors.slice(1)) done(await door());
    done(await admin.browser.post(`/admin/principals/${ben.id}/disable`));
    refused(await ben.browser.post("/cert/challenge"), 401, "invalid_session");
    for (const door of doors.slice(1)) refused(await door(), 403, "turned_away");
  });
});

describe("a GitHub Actions token", () => {
  let issuer;
  before(async () => {
    issuer = await startIssuer();
  });
  after(() => issuer?.close());

  const row = () => ({ preset: "github", issuer: issuer.url, audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{ repository_owner_id: "2" }] });
  for (const [what, rows, expected, hasNonce = true] of [
    ["no row of its issuer", () => [], [401, "wrong_issuer"]],
    ["a row for workloads", () => [row()], [403, "workload_identity"]],
    // A job can't have a nonce of ours in its token.
    ["a row for people", () => [{ ...row(), for: "people" }], [401, "invalid_claims"], false],
  ]) {
    test(`signs nobody in, is linked to nobody and joins by no invite: ${what}`, async () => {
      const vars = { BOOTSTRAP_CODE: CODE, GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", TRUSTED_ISSUERS: JSON.stringify(rows()) };
      const other = await startAuthority({ allowLoopback: true, vars });
      try {
        const ana = new Browser(other);
        done(await ana.register(new Passkey(ES256)));
        const { token: invite } = done(await ana.post("/invites", {}));
        for (const aud of rows().length ? [AUDIENCE] : [AUDIENCE, "notme.bot"]) {
          /** One that was made for the challenge, though GitHub makes none such. */
          const made = ({ nonce }) => issuer.token({ aud, ...(hasNonce && { nonce }) });
          const guest = new Browser(other);
          const forLogin = done(await guest.post("/auth/oidc/options"));
          refused(await guest.post("/auth/oidc/login", { token: await made(forLogin), challenge: forLogin.challenge }), ...expected);
          const forLinking = done(await ana.post("/connections/options"));
          refused(await ana.post("/connections", { proof: { type: "oidc", token: await made(forLinking) }, challenge: forLinking.challenge }), ...expected);
          const forJoining = done(await guest.post("/auth/oidc/options"));
          refused(await guest.post("/join", { token: invite, proof: { type: "oidc", token: await made(forJoining) }, challenge: forJoining.challenge }), ...expected);
          refused(await guest.me(), 401, "no_session");
        }
        assert.deepEqual(done(await ana.call("GET", "/connections")).connections, []);
        const { items } = done(await ana.call("GET", "/admin/principals"));
        assert.equal(items.length, 1, "nobody was made");
        // The token is as good as before at its own door, and so is the invite.
        const begun = done(await new Browser(other).post("/auth/oidc/options"));
        const token = await issuer.token({ nonce: begun.nonce });
        refused(await new Browser(other).post("/auth/oidc/login", { token, challenge: begun.challenge }), 401, rows().length ? "wrong_audience" : "wrong_issuer");
        const keys = new Keys();
        assert.equal((await enrollJob(other.url, token, keys.body(token))).status, 200);
        done(await new Browser(other).register(new Passkey(ES256), { wanted: { invite, displayName: "Ben" } }));
      } finally {
        await other.stop();
      }
    });
  }
});
