// Access tokens, asked for by other people's clients: `dpop` makes proofs, `oauth4webapi` goes through the whole
// code flow, `jose` verifies what comes of it by the published keys.
import assert from "node:assert/strict";
import { createHash, createHmac, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import * as DPoP from "dpop";
import * as jose from "jose";
import * as oauth from "oauth4webapi";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Person, executablePath, openBrowser } from "./support/pages.mjs";
import { Verifier } from "./support/revocations.mjs";

const API = "https://api.example";
const APP = "https://app.example/cb?from=notme";
const CLIENTS = [
  { id: "app", name: "An <i>app</i>", redirect_uris: [APP, "http://127.0.0.1/cb"] },
  { id: "narrow", redirect_uris: ["https://narrow.example/"], audiences: [API] },
  { id: "old", redirect_uris: ["https://old.example/"], bearer: true },
];
const VARS = { BOOTSTRAP_CODE: CODE, ALLOWED_AUDIENCES: `${API},https://other.example`, OAUTH_CLIENTS: JSON.stringify(CLIENTS) };

const open = async (vars = {}) => {
  const authority = await startAuthority({ vars: { ...VARS, ...vars } });
  const browser = new Browser(authority);
  const passkey = new Passkey(ES256);
  const registered = await browser.register(passkey);
  assert.equal(registered.status, 200, registered.text);
  return { authority, browser, passkey };
};

/** Another person, by an invite. */
async function guest({ authority, browser }) {
  const { json } = await browser.post("/invites");
  const other = new Browser(authority);
  const registered = await other.register(new Passkey(ES256), { wanted: { invite: json.token, displayName: "Ben" } });
  assert.equal(registered.status, 200, registered.text);
  return { browser: other, id: (await other.me()).json.userId };
}

const b64 = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
const digest = (text) => createHash("sha256").update(text).digest("base64url");

/** A client on Node's own crypto, which can say what no library would. */
class Prover {
  constructor(keys = generateKeyPairSync("ec", { namedCurve: "P-256" })) {
    this.keys = keys;
    const { kty, crv, x, y } = keys.publicKey.export({ format: "jwk" });
    this.jwk = { kty, crv, x, y };
    this.thumbprint = digest(JSON.stringify({ crv, kty, x, y }));
  }

  proof(url, { header = {}, claims = {}, signature } = {}) {
    const now = Math.floor(Date.now() / 1000);
    const parts = [
      { typ: "dpop+jwt", alg: "ES256", jwk: this.jwk, ...header },
      { jti: randomUUID(), htm: "POST", htu: url, iat: now, ...claims },
    ];
    const input = parts.map(b64).join(".");
    const made = signature?.(input) ?? sign("sha256", Buffer.from(input), { key: this.keys.privateKey, dsaEncoding: "ieee-p1363" });
    return `${input}.${Buffer.from(made).toString("base64url")}`;
  }
}

const dpop = (proof) => (proof === undefined ? {} : { dpop: proof });
const ask = (browser, proof, body = { audience: API }) => browser.post("/token", body, dpop(proof));

function refused(answer, status, error, code = error) {
  assert.deepEqual([answer.status, answer.json?.error, answer.json?.code], [status, error, code], answer.text);
  assert.equal(answer.json.access_token, undefined);
  assert.match(answer.headers.get("cache-control"), /no-store/);
}

/** What a resource server does: `jose` with nothing but the published keys. */
async function verified({ url }, token, audience = API) {
  const keys = jose.createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json`));
  return jose.jwtVerify(token, keys, { issuer: url, audience, typ: "at+jwt", algorithms: ["EdDSA"] });
}

const fresh = () => ({ verifier: b64(randomUUID() + randomUUID()), state: randomUUID() });
const consent = (browser, verifier, more = {}, headers = {}) =>
  browser.post("/authorize/code", { client_id: "app", audience: API, redirect_uri: APP, code_challenge: digest(verifier), ...more }, headers);

async function code(browser, verifier, more) {
  const answer = await consent(browser, verifier, more);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.code;
}

/** Redeems as JSON does; `path` is where. */
async function redeem({ url }, body, proof, path = "/authorize/redeem") {
  const isForm = path === "/token";
  const response = await fetch(url + path, {
    method: "POST",
    headers: { "content-type": isForm ? "application/x-www-form-urlencoded" : "application/json", ...dpop(proof) },
    body: isForm ? new URLSearchParams({ grant_type: "authorization_code", client_id: "app", ...body }) : JSON.stringify(body),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) };
}

const redemption = (code, verifier, more = {}) => ({ code, code_verifier: verifier, redirect_uri: APP, ...more });

describe("a token for a session", () => {
  let ana;
  let url;
  before(async () => {
    ana = await open();
    url = `${ana.authority.url}/token`;
  });
  after(() => ana?.authority.stop());

  test("is bound to the key of a proof that dpop makes, and jose verifies it by the published keys", async () => {
    const keys = await DPoP.generateKeyPair("ES256");
    const answer = await ask(ana.browser, await DPoP.generateProof(keys, url, "POST"));
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual([answer.json.token_type, answer.json.expires_in, answer.json.scope], ["DPoP", 300, "bridgeCert"]);
    const { payload, protectedHeader } = await verified(ana.authority, answer.json.access_token);
    assert.deepEqual(Object.keys(protectedHeader), ["typ", "alg", "kid"]);
    assert.deepEqual(Object.keys(payload), ["sub", "iss", "aud", "iat", "nbf", "exp", "jti", "scope", "cnf"]);
    assert.equal(payload.sub, (await ana.browser.me()).json.userId);
    assert.deepEqual([payload.exp - payload.iat, payload.nbf, payload.aud], [300, payload.iat, API]);
    assert.equal(payload.cnf.jkt, await DPoP.calculateThumbprint(keys.publicKey));
    assert.ok(Math.abs(payload.iat - Date.now() / 1000) < 10);
  });

  test("dies with its principal: for who asks for the list, as of a pair", async () => {
    const { browser, id } = await guest(ana);
    const issued = async () => (await ask(browser, new Prover().proof(url))).json.access_token;
    const token = await issued();
    const { payload } = await verified(ana.authority, token);
    assert.equal(payload.sub, id);
    const list = new Verifier(ana.authority);
    await list.poll();
    assert.equal(list.isOver(payload.sub, payload.iat), false);
    assert.equal((await ana.browser.post(`/admin/principals/${id}/disable`)).status, 200);
    await list.poll();
    assert.equal(list.isOver(payload.sub, payload.iat), true);
    // Who is let in again gets others.
    assert.equal((await ana.browser.post(`/admin/principals/${id}/enable`)).status, 200);
    await list.poll();
    assert.equal(list.isOver(payload.sub, payload.iat), true, "what was revoked stays revoked");
    assert.equal(list.isOver(payload.sub, list.list.principals[id] + 1), false);
  });

  test("carries nothing of the session's but what may leave the browser", async () => {
    const prover = new Prover();
    const wish = (scope) => ask(ana.browser, prover.proof(url), { audience: API, scope });
    const all = await wish("bridgeCert authorityManage certMint sign:git openid");
    assert.equal(jose.decodeJwt(all.json.access_token).scope, "bridgeCert");
    refused(await wish("authorityManage certMint"), 403, "none of the requested scopes may be carried by a token", "scopes_not_eligible");
    refused(await wish("openid"), 403, "none of the requested scopes are granted", "scopes_not_granted");
    refused(await wish(7), 400, "scope has the wrong form", "invalid_member");
  });

  test("is refused in the protocol's order and words", async () => {
    const prover = new Prover();
    const stranger = new Browser(ana.authority);
    refused(await ask(stranger, undefined, {}), 400, "dpop_proof_required");
    refused(await ask(stranger, "x", {}), 400, "audience_required");
    refused(await ask(stranger, "x", { audience: "" }), 400, "audience_required");
    const foreign = await ask(stranger, "x", { audience: "https://evil.example" });
    refused(foreign, 400, "invalid_audience");
    assert.deepEqual(foreign.json.allowed, [API, "https://other.example"]);
    refused(await ask(stranger, "x"), 401, "session_required", "no_session");
    refused(await ask(stranger, prover.proof(url)), 401, "session_required", "no_session");
    stranger.cookie = `notme_session=${b64("x".repeat(32))}`;
    refused(await ask(stranger, "x"), 401, "session_required", "no_session");
    refused(await ask(ana.browser, "x"), 401, "invalid_dpop_proof");
    refused(await ask(ana.browser, prover.proof(url), "{"), 400, "invalid JSON body", "invalid_json");
    refused(await ask(ana.browser, prover.proof(url), `{"audience":"${"a".repeat(70_000)}"}`), 413, "body larger than 64 KiB", "body_too_large");
    assert.equal((await ana.browser.post("/token", {}, { "content-type": "text/plain" })).status, 415);
    assert.equal((await ana.browser.call("GET", "/token")).status, 405);
  });

  test("needs a proof for this request, of this minute, by a key that is shown and no secret", async () => {
    const prover = new Prover();
    const now = Math.floor(Date.now() / 1000);
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const ed = generateKeyPairSync("ed25519");
    const bad = {
      "no typ": { header: { typ: undefined } },
      "typ JWT": { header: { typ: "JWT" } },
      "typ at+jwt": { header: { typ: "at+jwt" } },
      "alg none": { header: { alg: "none" }, signature: () => "" },
      "alg none, and a signature": { header: { alg: "none" } },
      "an HMAC by the public key": { header: { alg: "HS256" }, signature: (input) => createHmac("sha256", JSON.stringify(prover.jwk)).update(input).digest() },
      "RS256": { header: { alg: "RS256", jwk: rsa.publicKey.export({ format: "jwk" }) }, signature: (input) => sign("sha256", Buffer.from(input), rsa.privateKey) },
      "EdDSA": { header: { alg: "EdDSA", jwk: ed.publicKey.export({ format: "jwk" }) }, signature: (input) => sign(null, Buffer.from(input), ed.privateKey) },
      "a critical extension": { header: { crit: ["b64"], b64: true } },
      "no key": { header: { jwk: undefined } },
      "a private key": { header: { jwk: prover.keys.privateKey.export({ format: "jwk" }) } },
      "a symmetric key": { header: { jwk: { kty: "oct", k: "AAAA" } } },
      "a point that isn't on the curve": { header: { jwk: { ...prover.jwk, y: prover.jwk.x } } },
      "another one's key": { header: { jwk: new Prover().jwk } },
      "a signature in DER": { signature: (input) => sign("sha256", Buffer.from(input), prover.keys.privateKey) },
      "no signature": { signature: () => "" },
      "no jti": { claims: { jti: undefined } },
      "an empty jti": { claims: { jti: "" } },
      "a jti that is a number": { claims: { jti: 1 } },
      "a jti that is too long": { claims: { jti: "j".repeat(257) } },
      "no htm": { claims: { htm: undefined } },
      "htm GET": { claims: { htm: "GET" } },
      "htm post": { claims: { htm: "post" } },
      "no htu": { claims: { htu: undefined } },
      "htu of another path": { claims: { htu: `${ana.authority.url}/authorize/redeem` } },
      "htu of another host": { claims: { htu: "https://evil.example/token" } },
      "htu of another scheme": { claims: { htu: url.replace("http:", "https:") } },
      "htu of another port": { claims: { htu: url.replace(/:\d+/, ":1") } },
      "htu with a user": { claims: { htu: url.replace("//", "//u@") } },
      "htu with a slash more": { claims: { htu: `${url}/` } },
      "htu that is a path": { claims: { htu: "/token" } },
      "no iat": { claims: { iat: undefined } },
      "an iat that is a text": { claims: { iat: String(now) } },
      "a stale iat": { claims: { iat: now - 65 } },
      "an iat of the future": { claims: { iat: now + 65 } },
      "an iat beyond numbers": { claims: { iat: 1e300 } },
      "an ath, for no access token": { claims: { ath: digest("x") } },
      "what is too long": { claims: { more: "a".repeat(5000) } },
    };
    for (const [what, change] of Object.entries(bad)) {
      const answer = await ask(ana.browser, prover.proof(url, change));
      assert.equal(answer.json?.code, "invalid_dpop_proof", `${what}: ${answer.text}`);
      refused(answer, 401, "invalid_dpop_proof");
      assert.match(answer.headers.get("www-authenticate"), /^DPoP .*algs="ES256"/);
    }
    for (const text of ["x", "a.b.c", "..", `${prover.proof(url)}.x`, `${prover.proof(url)}, ${prover.proof(url)}`, prover.proof(url).slice(0, -4)]) {
      refused(await ask(ana.browser, text), 401, "invalid_dpop_proof");
    }
    for (const good of [{}, { claims: { htu: `${url}?x=y#z` } }, { claims: { htu: url.replace("localhost", "LOCALHOST") } }, { claims: { iat: now - 50 } }, { header: { typ: "DPOP+JWT" } }]) {
      const answer = await ask(ana.browser, prover.proof(url, good));
      assert.equal(answer.status, 200, answer.text);
    }
  });

  test("takes a proof once, also of 20 who show it at once", async () => {
    const prover = new Prover();
    const proof = prover.proof(url);
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(ana.browser, proof)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(19).fill(401)]);
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 401, "proof_reused");
    // The same id in another proof of the key is the same; another key's is its own.
    const jti = randomUUID();
    assert.equal((await ask(ana.browser, prover.proof(url, { claims: { jti } }))).status, 200);
    refused(await ask(ana.browser, prover.proof(url, { claims: { jti, more: 1 } })), 401, "proof_reused");
    assert.equal((await ask(ana.browser, new Prover().proof(url, { claims: { jti } }))).status, 200);
    await ana.authority.restart();
    refused(await ask(ana.browser, proof), 401, "proof_reused");
    // Nor in a crash in the middle of 20.
    for (const moment of [() => sleep(5), (asked) => Promise.race(asked)]) {
      const flying = prover.proof(url);
      const asked = Array.from({ length: 20 }, () => ask(ana.browser, flying).catch(() => ({ status: 0 })));
      await moment(asked);
      await ana.authority.kill9();
      const given = (await Promise.all(asked)).filter(({ status }) => status === 200).length;
      await ana.authority.restart();
      const again = await ask(ana.browser, flying);
      assert.ok(given + (again.status === 200) <= 1);
      if (again.status !== 200) refused(again, 401, "proof_reused");
      refused(await ask(ana.browser, flying), 401, "proof_reused");
    }
  });

  test("costs no proof that is refused for something else", async () => {
    const proof = new Prover().proof(url);
    refused(await ask(ana.browser, proof, { audience: API, scope: "openid" }), 403, "none of the requested scopes are granted", "scopes_not_granted");
    assert.equal((await ask(ana.browser, proof)).status, 200);
  });

  test("isn't given to another site's page, nor to who may not be here any more", async () => {
    const prover = new Prover();
    for (const headers of [{ "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://evil.example" }]) {
      const answer = await ana.browser.post("/token", { audience: API }, { ...headers, ...dpop(prover.proof(url)) });
      refused(answer, 403, "this request came from another site's page", "cross_site");
    }
    const { browser, id } = await guest(ana);
    assert.equal((await ask(browser, prover.proof(url))).status, 200);
    await ana.browser.call("DELETE", `/admin/principals/${id}/grants/bridgeCert`);
    refused(await ask(browser, prover.proof(url)), 403, "none of the requested scopes are granted", "scopes_not_granted");
    const away = await guest(ana);
    const turned = await ana.browser.post(`/admin/principals/${away.id}/disable`);
    assert.equal(turned.status, 200, turned.text);
    refused(await ask(away.browser, prover.proof(url)), 401, "session_required", "no_session");
    const cookie = browser.cookie;
    assert.equal((await browser.post("/logout")).status, 200);
    browser.cookie = cookie;
    refused(await ask(browser, prover.proof(url)), 401, "session_required", "no_session");
  });

  test("is verified before and after the key is rolled over, and not after a new epoch", async () => {
    const prover = new Prover();
    const token = async () => (await ask(ana.browser, prover.proof(url))).json.access_token;
    const jwks = async () => (await (await fetch(`${ana.authority.url}/.well-known/jwks.json`)).json()).keys.map(({ kid }) => kid);
    const first = await token();
    assert.deepEqual(await jwks(), [jose.decodeProtectedHeader(first).kid]);
    assert.equal((await ana.browser.post("/admin/key/rollover")).status, 200);
    const second = await token();
    const kids = [second, first].map((token) => jose.decodeProtectedHeader(token).kid);
    assert.deepEqual(await jwks(), kids, "the current one first, the previous one for as long as tokens live");
    for (const one of [first, second]) await verified(ana.authority, one);
    assert.equal((await ana.browser.post("/admin/epoch")).status, 200);
    const third = await token();
    await verified(ana.authority, third);
    for (const one of [first, second]) await assert.rejects(verified(ana.authority, one), { code: "ERR_JWKS_NO_MATCHING_KEY" });
  });
});

test("a code that somebody caught, shown again and again, uses up nothing of its owner's and is noted so often", async () => {
  const { authority, browser } = await open({ NOTME_RATE_LIMITS: "identity=4" });
  try {
    const url = `${authority.url}/authorize/redeem`;
    const { verifier } = fresh();
    const body = redemption(await code(browser, verifier), verifier);
    assert.equal((await redeem(authority, body, new Prover().proof(url))).status, 200);
    for (let i = 0; i < 20; i++) refused(await redeem(authority, body, new Prover().proof(url)), 400, "invalid_grant");
    const answer = await ask(browser, new Prover().proof(`${authority.url}/token`));
    assert.equal(answer.status, 200, answer.text);
    const { json } = await browser.call("GET", "/admin/audit?action=authorization.code_reused&limit=50");
    assert.ok(json.items.length >= 4 && json.items.length < 20, String(json.items.length));
  } finally {
    await authority.stop();
  }
});

describe("a nonce, where proofs need one", () => {
  let ana;
  let url;
  before(async () => {
    ana = await open({ DPOP_REQUIRE_NONCE: "1" });
    url = `${ana.authority.url}/token`;
  });
  after(() => ana?.authority.stop());

  test("is asked for, taken for a while, and told anew with each token", async () => {
    const prover = new Prover();
    const with_ = (nonce) => ask(ana.browser, prover.proof(url, { claims: { nonce } }));
    const asked = await with_(undefined);
    refused(asked, 400, "use_dpop_nonce");
    assert.equal(asked.json.error_description, "Authorization server requires a nonce in the DPoP proof");
    assert.equal(asked.headers.get("access-control-expose-headers"), "DPoP-Nonce");
    const nonce = asked.headers.get("dpop-nonce");
    assert.match(nonce, /^[\w-]+$/);
    const good = await with_(nonce);
    assert.equal(good.status, 200, good.text);
    assert.notEqual(good.headers.get("dpop-nonce"), nonce);
    assert.equal((await with_(nonce)).status, 200, "a nonce may be used again: the jti is what is single");
    await ana.authority.restart();
    assert.equal((await with_(nonce)).status, 200, "nothing is stored for it");
    const { json } = await ana.browser.post("/cert/challenge");
    for (const foreign of ["", "x", `${nonce}A`, nonce.slice(1), `${nonce[0] === "A" ? "B" : "A"}${nonce.slice(1)}`, json.challenge, "1795295166.AAAA", "n".repeat(1000)]) {
      const answer = await with_(foreign);
      refused(answer, 400, "use_dpop_nonce");
      assert.ok(answer.headers.get("dpop-nonce"));
    }
    const other = await open({ DPOP_REQUIRE_NONCE: "1" });
    const theirs = await ask(other.browser, new Prover().proof(`${other.authority.url}/token`));
    await other.authority.stop();
    refused(await with_(theirs.headers.get("dpop-nonce")), 400, "use_dpop_nonce");
  });

  test("is told to whoever has a session alone, and a nonce that is missing costs no code", async () => {
    const prover = new Prover();
    refused(await ask(new Browser(ana.authority), prover.proof(url)), 401, "session_required", "no_session");
    const { verifier } = fresh();
    const body = redemption(await code(ana.browser, verifier), verifier);
    const asked = await redeem(ana.authority, body, prover.proof(url), "/token");
    refused(asked, 400, "use_dpop_nonce");
    const nonce = asked.headers.get("dpop-nonce");
    const good = await redeem(ana.authority, body, prover.proof(url, { claims: { nonce } }), "/token");
    assert.equal(good.status, 200, good.text);
  });

  test("is dealt with by oauth4webapi by itself", async () => {
    const { token } = await flow(ana);
    await verified(ana.authority, token.access_token);
  });
});

/** The whole flow by oauth4webapi, with `browser` for whoever consents. */
async function flow({ authority, browser }, { redirectUri = APP, more = {} } = {}) {
  const issuer = new URL(authority.url);
  const insecure = { [oauth.allowInsecureRequests]: true };
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure }));
  const client = { client_id: "app" };
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  assert.deepEqual(server.code_challenge_methods_supported, ["S256"]);
  const at = new URL(server.authorization_endpoint);
  const wanted = {
    client_id: client.client_id,
    redirect_uri: redirectUri,
    response_type: "code",
    audience: API,
    scope: "bridgeCert",
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    ...more,
  };
  at.search = new URLSearchParams(wanted);
  const page = await fetch(at, { headers: { accept: "text/html", "sec-fetch-site": "cross-site" } });
  const html = await page.text();
  assert.equal(page.status, 200, html);
  // What the page's script does when somebody presses its button.
  const shown = Object.fromEntries([...html.matchAll(/data-([a-z-]+)="([^"]*)"/g)].map(([, name, value]) => [name.replaceAll("-", "_"), value.replaceAll("&amp;", "&")]));
  const { denied, ...asked } = Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== ""));
  const consented = await browser.post("/authorize/code", asked);
  assert.equal(consented.status, 200, consented.text);
  const parameters = oauth.validateAuthResponse(server, client, new URL(consented.json.location), state);
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair("ES256"));
  const request = () => oauth.authorizationCodeGrantRequest(server, client, oauth.None(), parameters, redirectUri, verifier, { DPoP, ...insecure });
  let token;
  try {
    token = await oauth.processAuthorizationCodeResponse(server, client, await request());
  } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    token = await oauth.processAuthorizationCodeResponse(server, client, await request());
  }
  return { server, client, token, DPoP, insecure, denied, parameters, consented: consented.json };
}

describe("an application that somebody lets act for them", () => {
  let ana;
  let url;
  before(async () => {
    ana = await open();
    url = `${ana.authority.url}/authorize/redeem`;
  });
  after(() => ana?.authority.stop());
  const authorize = (query, headers = {}) => fetch(`${ana.authority.url}/authorize?${new URLSearchParams(query)}`, { redirect: "manual", headers });
  const good = () => ({ client_id: "app", redirect_uri: APP, code_challenge: digest("x"), code_challenge_method: "S256", audience: API });

  test("gets a token by oauth4webapi, and a resource server of its kind takes it with a proof", async () => {
    const { server, token, DPoP, insecure, consented } = await flow(ana);
    assert.deepEqual([token.token_type, token.expires_in, token.scope], ["dpop", 300, "bridgeCert"]);
    assert.equal(consented.expires_in, 60);
    assert.ok(consented.location.startsWith(`${APP}&code=`), consented.location);
    const { payload } = await verified(ana.authority, token.access_token);
    assert.deepEqual([payload.client_id, payload.sub], ["app", (await ana.browser.me()).json.userId]);
    // The resource server.
    const resource = createServer((request, response) => {
      const { port } = resource.address();
      const seen = new Request(`http://127.0.0.1:${port}${request.url}`, { method: request.method, headers: request.headers });
      oauth
        .validateJwtAccessToken(server, seen, API, { requireDPoP: true, signingAlgorithms: ["EdDSA", "ES256"], ...insecure })
        .then((claims) => response.end(claims.sub), (error) => response.writeHead(401).end(String(error)));
    });
    await new Promise((resolve) => resource.listen(0, "127.0.0.1", resolve));
    const at = new URL(`http://127.0.0.1:${resource.address().port}/x`);
    const answer = await oauth.protectedResourceRequest(token.access_token, "GET", at, new Headers(), null, { DPoP, ...insecure });
    assert.equal(await answer.text(), payload.sub);
    const bare = await fetch(at, { headers: { authorization: `Bearer ${token.access_token}` } });
    assert.equal(bare.status, 401, "without its key it is worth nothing");
    await new Promise((resolve) => resource.close(resolve));
  });

  test("on this machine has any port", async () => {
    for (const port of [":49152", ""]) {
      const { token } = await flow(ana, { redirectUri: `http://127.0.0.1${port}/cb` });
      await verified(ana.authority, token.access_token);
    }
  });

  test("is shown with what it asks for, in a page that does nothing by itself", async () => {
    const page = await authorize({ ...good(), state: '"><script>x</script>' }, { accept: "text/html" });
    const html = await page.text();
    assert.equal(page.status, 200);
    assert.ok(html.includes("An &lt;i&gt;app&lt;/i&gt;") && !html.includes("<i>app"), html);
    assert.ok(html.includes("<strong>app.example</strong>") && html.includes(API) && !html.includes("<script>x"));
    assert.match(page.headers.get("content-security-policy"), /default-src 'none'.*frame-ancestors 'none'/);
    assert.deepEqual([page.headers.get("cache-control"), page.headers.get("referrer-policy"), page.headers.get("x-frame-options")], ["no-store", "no-referrer", "DENY"]);
    assert.doesNotMatch(html, /code=[\w-]{40}/);
  });

  test("is sent nowhere that isn't registered, and told what is wrong here", async () => {
    const bad = [
      [{ redirect_uri: "" }, 400, "redirect_uri required", "missing_redirect_uri"],
      [{ redirect_uri: "nonsense" }, 400, "invalid redirect_uri", "malformed_redirect_uri"],
      [{ redirect_uri: "javascript:alert(1)" }, 400, "invalid redirect_uri", "malformed_redirect_uri"],
      ...["http://app.example/cb", "http://127.0.0.1:1@evil.example/cb", "http://127.0.0.1:99999/cb", "http://127.0.0.1.evil.example/cb"].map(
        (redirect_uri) => [{ redirect_uri }, 400, "redirect_uri must be https", "insecure_redirect_uri"],
      ),
      ...["https://evil.example/", "https://app.example/cb", `${APP}&x`, `${APP}#x`, "https://app.example@evil.example/cb?from=notme", "https://app.example.evil.example/cb?from=notme", "https://APP.example/cb?from=notme", "https://app.example:444/cb?from=notme",
        "http://localhost/cb", "http://127.0.0.1/cb/../evil", "https://narrow.example/"].map(
        (redirect_uri) => [{ redirect_uri }, 403, "redirect_uri not on allowed domain", "redirect_uri_not_registered"],
      ),
      [{ client_id: "nobody" }, 403, "redirect_uri not on allowed domain", "redirect_uri_not_registered"],
      [{ client_id: "narrow" }, 403, "redirect_uri not on allowed domain", "redirect_uri_not_registered"],
      [{ code_challenge: "" }, 400, "malformed or missing code_challenge", "missing_code_challenge"],
      [{ code_challenge: "x" }, 400, "malformed code_challenge", "malformed_code_challenge"],
      [{ code_challenge_method: "plain" }, 400, "code_challenge_method must be S256", "unsupported_code_challenge_method"],
      [{ code_challenge_method: "" }, 400, "code_challenge_method must be S256", "unsupported_code_challenge_method"],
      [{ audience: "https://evil.example" }, 400, "invalid_audience"],
      [{ client_id: "narrow", redirect_uri: "https://narrow.example/", audience: "https://other.example" }, 400, "invalid_audience"],
      [{ response_type: "token" }, 400, "invalid_request"],
      [{ response_mode: "fragment" }, 400, "invalid_request"],
      [{ scope: "authorityManage" }, 403, "none of the requested scopes may be carried by a certificate", "scopes_not_eligible"],
      [{ state: "s".repeat(2000) }, 400, "invalid_request"],
      [{ dpop_jkt: "x" }, 400, "invalid_request"],
    ];
    for (const [change, status, error, code = error] of bad) {
      const answer = await authorize({ ...good(), ...change });
      const json = await answer.json();
      assert.deepEqual([answer.status, json.error, json.code], [status, error, code], JSON.stringify(change));
      assert.equal(answer.headers.get("location"), null);
      const asked = await consent(ana.browser, "x", { ...good(), ...change });
      assert.ok(asked.status >= 400 || change.code_challenge_method === "" || change.response_type || change.response_mode, JSON.stringify(change));
      assert.equal(asked.status === 200 ? undefined : asked.json.location, undefined);
    }
    const twice = await fetch(`${ana.authority.url}/authorize?${new URLSearchParams(good())}&redirect_uri=https://evil.example/`);
    assert.equal(twice.status, 400);
    const empty = await fetch(`${ana.authority.url}/authorize`);
    assert.equal((await empty.json()).error, "redirect_uri required");
  });

  test("gets no code without consent in a session, from this site's page", async () => {
    const stranger = new Browser(ana.authority);
    refused(await consent(stranger, "x"), 401, "session_required", "no_session_cookie");
    stranger.cookie = `notme_session=${b64("x".repeat(32))}`;
    refused(await consent(stranger, "x"), 401, "invalid_session");
    refused(await consent(stranger, "x", { audience: "" }), 400, "audience_required");
    for (const headers of [{ "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://app.example" }, { origin: "null" }]) {
      refused(await consent(ana.browser, "x", {}, headers), 403, "this request came from another site's page", "cross_site");
    }
    const form = await ana.browser.post("/authorize/code", "audience=x", { "content-type": "application/x-www-form-urlencoded" });
    assert.equal(form.status, 415);
    assert.equal((await ana.browser.call("GET", "/authorize/code")).status, 405);
    assert.equal((await ana.browser.post("/authorize/token", { audience: API })).status, 404, "the route that gave tokens away is gone");
    await code(ana.browser, "x");
    const { json } = await ana.browser.call("GET", "/admin/audit?action=authorization.granted&limit=1");
    const { client, redirect_uri: at, audience } = JSON.parse(json.items[0].details);
    assert.deepEqual([client, at, audience], ["app", APP, API]);
  });

  test("redeems its code once, also of 20 at once, and the second is noted", async () => {
    const { verifier } = fresh();
    const body = redemption(await code(ana.browser, verifier), verifier);
    const answers = await Promise.all(Array.from({ length: 20 }, () => redeem(ana.authority, body, new Prover().proof(url))));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array(19).fill(400)]);
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 400, "invalid_grant");
    refused(await redeem(ana.authority, body, new Prover().proof(`${ana.authority.url}/token`), "/token"), 400, "invalid_grant");
    refused(await redeem(ana.authority, { ...body, code_verifier: b64("y".repeat(40)) }, new Prover().proof(url)), 400, "invalid_grant");
    const { json } = await ana.browser.call("GET", "/admin/audit?action=authorization.code_reused&limit=50");
    assert.equal(json.items.length, 21, "whatever else is wrong with it");
    const { json: me } = await ana.browser.me();
    assert.deepEqual(new Set(json.items.map(({ target }) => target)), new Set([me.userId]));
    assert.match(ana.authority.logs(), /"code_reused"/);
    await ana.authority.restart();
    refused(await redeem(ana.authority, body, new Prover().proof(url)), 400, "invalid_grant");
  });

  test("uses its code up by whatever is wrong with its request", async () => {
    const wrong = [
      { code_verifier: b64("y".repeat(40)) },
      { redirect_uri: "https://app.example/cb" },
      { redirect_uri: "https://evil.example/" },
      { client_id: "narrow" },
      { client_id: "nobody" },
    ];
    for (const change of wrong) {
      const { verifier } = fresh();
      const body = redemption(await code(ana.browser, verifier), verifier);
      refused(await redeem(ana.authority, { ...body, ...change }, new Prover().proof(url)), 400, "invalid_grant");
      refused(await redeem(ana.authority, body, new Prover().proof(url)), 400, "invalid_grant");
    }
    // What doesn't get so far costs nothing.
    const { verifier } = fresh();
    const body = redemption(await code(ana.browser, verifier), verifier);
    for (const missing of ["code", "code_verifier", "redirect_uri"]) {
      for (const path of ["/authorize/redeem", "/token"]) {
        refused(await redeem(ana.authority, { ...body, [missing]: "" }, undefined, path), 400, "invalid_request");
      }
    }
    for (const code_verifier of ["x".repeat(42), "x".repeat(129), `${"x".repeat(42)}+`]) {
      const answer = await redeem(ana.authority, { ...body, code_verifier });
      refused(answer, 400, "invalid_request");
      assert.match(answer.json.error_description, /^code_verifier must be 43-128 unreserved characters/);
    }
    for (const bad of [{ code: "x" }, { code: "A".repeat(3000) }, { code: `A${body.code.slice(1)}` }, { code: `${body.code}A` }]) {
      refused(await redeem(ana.authority, { ...body, ...bad }, new Prover().proof(url)), 400, "invalid_grant");
    }
    refused(await redeem(ana.authority, body, new Prover().proof(`${url}x`)), 400, "invalid_dpop_proof");
    refused(await redeem(ana.authority, { ...body, grant_type: "password" }, undefined, "/token"), 400, "unsupported_grant_type");
    refused(await redeem(ana.authority, { ...body, grant_type: "" }, undefined, "/token"), 400, "invalid_request");
    refused(await redeem(ana.authority, { ...body, client_id: "" }, undefined, "/token"), 400, "invalid_request");
    const answer = await redeem(ana.authority, body, new Prover().proof(url));
    assert.equal(answer.status, 200, answer.text);
  });

  test("needs a proof, the one whose key was named if one was, and no other twice", async () => {
    const prover = new Prover();
    const issue = async (more) => {
      const { verifier } = fresh();
      return redemption(await code(ana.browser, verifier, more), verifier);
    };
    refused(await redeem(ana.authority, await issue()), 400, "invalid_dpop_proof", "dpop_proof_required");
    const bound = await redeem(ana.authority, await issue({ dpop_jkt: prover.thumbprint }), prover.proof(url));
    assert.equal(jose.decodeJwt(bound.json.access_token).cnf.jkt, prover.thumbprint);
    refused(await redeem(ana.authority, await issue({ dpop_jkt: prover.thumbprint }), new Prover().proof(url)), 400, "invalid_grant");
    const proof = prover.proof(url);
    assert.equal((await redeem(ana.authority, await issue(), proof)).status, 200);
    const body = await issue();
    refused(await redeem(ana.authority, body, proof), 400, "invalid_dpop_proof", "proof_reused");
    assert.equal((await redeem(ana.authority, body, prover.proof(url))).status, 200, "which costs no code");
  });

  test("gets a token that anybody can use only if it is registered so", async () => {
    const { verifier } = fresh();
    const old = { client_id: undefined, redirect_uri: "https://old.example/" };
    const issue = async () => redemption(await code(ana.browser, verifier, old), verifier, { redirect_uri: old.redirect_uri });
    const bearer = await redeem(ana.authority, await issue());
    assert.deepEqual([bearer.status, bearer.json.token_type], [200, "Bearer"], bearer.text);
    const { payload } = await verified(ana.authority, bearer.json.access_token);
    assert.deepEqual([payload.cnf, payload.client_id], [undefined, "old"]);
    const bound = await redeem(ana.authority, await issue(), new Prover().proof(url));
    assert.equal(bound.json.token_type, "DPoP");
  });

  test("gets nothing for a session that ended since, nor for who was turned away or lost the scope", async () => {
    const waiting = async (person) => {
      const { verifier } = fresh();
      return redemption(await code(person.browser, verifier), verifier);
    };
    const [out, away, poor] = [await guest(ana), await guest(ana), await guest(ana)];
    const codes = await Promise.all([out, away, poor].map(waiting));
    assert.equal((await out.browser.post("/logout")).status, 200);
    assert.equal((await ana.browser.post(`/admin/principals/${away.id}/disable`)).status, 200);
    assert.equal((await ana.browser.call("DELETE", `/admin/principals/${poor.id}/grants/bridgeCert`)).status, 200);
    for (const body of codes) refused(await redeem(ana.authority, body, new Prover().proof(url)), 400, "invalid_grant");
    refused(await consent(poor.browser, "x"), 403, "none of the requested scopes are granted", "scopes_not_granted");
  });

  test("has a minute for its code", { timeout: 90_000 }, async () => {
    const { verifier } = fresh();
    const body = redemption(await code(ana.browser, verifier), verifier);
    await sleep(61_000);
    refused(await redeem(ana.authority, body, new Prover().proof(url)), 400, "invalid_grant");
  });

  test("is read by pages of configured origins alone", async () => {
    const origins = await open({ CORS_ALLOWED_ORIGINS: "https://spa.example" });
    const { verifier } = fresh();
    const body = new URLSearchParams({ grant_type: "authorization_code", client_id: "app", ...redemption(await code(origins.browser, verifier), verifier) });
    const from = (origin, proof) =>
      fetch(`${origins.authority.url}/token`, { method: "POST", body, headers: { origin, "sec-fetch-site": "cross-site", ...dpop(proof) } });
    const other = await from("https://evil.example");
    assert.equal(other.headers.get("access-control-allow-origin"), null);
    const verifier2 = fresh().verifier;
    body.set("code", await code(origins.browser, verifier2));
    body.set("code_verifier", verifier2);
    const ours = await from("https://spa.example", new Prover().proof(`${origins.authority.url}/token`));
    assert.deepEqual([ours.status, ours.headers.get("access-control-allow-origin")], [200, "https://spa.example"], await ours.text());
    await origins.authority.stop();
  });
});

test("discovery says what is there", async () => {
  const authority = await startAuthority({ vars: VARS });
  const get = async (path) => (await fetch(authority.url + path)).json();
  for (const path of ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]) {
    const metadata = await get(path);
    assert.equal(metadata.authorization_endpoint, `${authority.url}/authorize`);
    assert.equal(metadata.token_endpoint, `${authority.url}/token`);
    assert.deepEqual(metadata.response_types_supported, ["code"]);
    assert.deepEqual(metadata.response_modes_supported, ["query"]);
    assert.deepEqual(metadata.code_challenge_methods_supported, ["S256"]);
    assert.deepEqual(metadata.grant_types_supported, ["github_actions_oidc", "dpop", "authorization_code"]);
    assert.deepEqual(metadata.token_endpoint_auth_methods_supported, ["none"]);
    assert.deepEqual(metadata.dpop_signing_alg_values_supported, ["ES256"]);
    assert.equal(metadata.authorization_response_iss_parameter_supported, true);
  }
  await authority.stop();
});

describe("somebody in front of the consent page", { skip: executablePath ? false : "chromium is not installed" }, () => {
  test("signs in on the way, refuses, and lets the application act, by keyboard", async () => {
    const seen = [];
    const app = createServer((request, response) => {
      seen.push(new URL(request.url, "http://127.0.0.1"));
      response.writeHead(200, { "content-type": "text/html" }).end("<h1>The application</h1>");
    });
    await new Promise((resolve) => app.listen(0, "127.0.0.1", resolve));
    const redirectUri = `http://127.0.0.1:${app.address().port}/cb`;
    const authority = await startAuthority({ vars: VARS });
    const browser = await openBrowser();
    try {
      const ana = await Person.meet(browser, authority);
      await ana.becomeFirst(CODE, "Ana");
      const { verifier, state } = fresh();
      const query = new URLSearchParams({ client_id: "app", redirect_uri: redirectUri, code_challenge: digest(verifier), code_challenge_method: "S256", audience: API, state });
      // Another site's page leads there.
      await ana.page.goto(`http://127.0.0.1:${app.address().port}/`);
      await ana.page.evaluate((to) => location.assign(to), `${authority.url}/authorize?${query}`);
      await ana.says("You are signed in as Ana.");
      await ana.page.getByRole("heading", { name: "An <i>app</i> asks to act for you" }).waitFor();
      await ana.button("Refuse").focus();
      await ana.page.keyboard.press("Enter");
      await ana.page.waitForURL(/\/cb\?/);
      const no = new URL(ana.page.url()).searchParams;
      assert.deepEqual([no.get("error"), no.get("state"), no.get("iss"), no.get("code")], ["access_denied", state, authority.url, null]);
      // Without a session the page leads to signing in, and back.
      await ana.context.clearCookies();
      await ana.touch(false); // nobody chooses anything yet
      await ana.go(`/authorize?${query}`);
      await ana.page.waitForURL(/\/login\?return_to=/);
      await ana.touch(true);
      await ana.page.reload(); // the browser's own list offers the passkey, and somebody chooses it
      await ana.says("You are signed in as Ana.");
      await ana.button("Allow").focus();
      await ana.page.keyboard.press("Enter");
      await ana.page.waitForURL(/\/cb\?code=/);
      const yes = new URL(ana.page.url()).searchParams;
      assert.deepEqual([yes.get("state"), yes.get("iss")], [state, authority.url]);
      const answer = await redeem(authority, { code: yes.get("code"), code_verifier: verifier, redirect_uri: redirectUri }, new Prover().proof(`${authority.url}/authorize/redeem`));
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(ana.complaints, []);
    } finally {
      await browser.close();
      await authority.stop();
      await new Promise((resolve) => app.close(resolve));
    }
  });
});
