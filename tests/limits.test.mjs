// How often is too often: limits by source and class of route, and by class and identity, with their defaults and
// with small ones. Nothing here waits for a minute: what is given back comes second by second.
import assert from "node:assert/strict";
import { X509Certificate, createHash, randomBytes, randomUUID, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import * as DPoP from "dpop";
import { COMPATIBILITY_DATE } from "../tools/lib/workerd.mjs";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { missing } from "./support/foreign.mjs";
import { startGitHub } from "./support/github.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Pki, signed } from "./support/pki.mjs";
import { until } from "./support/processes.mjs";

const OPTIONS = "/auth/passkey/login/options";
const BY = { NOTME_SOURCE_HEADER: "X-Real-IP" };
const [API, APP] = ["https://api.example", "https://app.example/cb"];
/** An application, and somebody who takes its tokens. */
const APPLICATION = { ALLOWED_AUDIENCES: API, OAUTH_CLIENTS: JSON.stringify([{ id: "app", redirect_uris: [APP] }]) };

/** Asks for something, as somebody at this address. */
async function ask(authority, path, source, init = {}) {
  const headers = { ...(source && { "x-real-ip": source }), ...init.headers };
  return fetch(authority.url + path, { redirect: "manual", ...init, headers });
}

const post = (authority, path, source) => ask(authority, path, source, { method: "POST", headers: { "content-type": "application/json", origin: authority.url }, body: "{}" });

/** A proof of a new key's holder, for one request. */
const dpop = async ({ url }, path) => ({ dpop: await DPoP.generateProof(await DPoP.generateKeyPair("ES256"), url + path, "POST") });

const digest = (bytes) => createHash("sha256").update(bytes).digest();
const wanted = (verifier) => ({ client_id: "app", audience: API, redirect_uri: APP, code_challenge: digest(verifier).toString("base64url") });

/** What redeems a code that `browser` consented to, as JSON. */
async function redemption(browser) {
  const code_verifier = randomUUID() + randomUUID();
  const { json, text } = await browser.post("/authorize/code", wanted(code_verifier));
  assert.ok(json.code, text);
  return { code: json.code, code_verifier, redirect_uri: APP };
}

async function statuses(count, once) {
  const answers = [];
  for (let i = 0; i < count; i++) answers.push((await once(i)).status);
  return answers;
}

describe("a source", () => {
  let authority;
  before(async () => {
    authority = await startAuthority({ vars: { ...BY, CORS_ALLOWED_ORIGINS: "https://app.example", NOTME_RATE_LIMITS: "ceremonies=3, enrolments=2, tokens=2, account=4, documents=5" } });
  });
  after(() => authority?.stop());

  test("may do so much of each class, and is told when to go on", async () => {
    assert.deepEqual(await statuses(4, () => post(authority, OPTIONS, "192.0.2.1")), [200, 200, 200, 429]);
    const refused = await post(authority, OPTIONS, "192.0.2.1");
    assert.deepEqual(await refused.json(), { error: "rate_limited", code: "too_many_requests" });
    const wait = Number(refused.headers.get("retry-after"));
    assert.ok(wait >= 1 && wait <= 20, `a third of a minute: ${wait}`);
    assert.match(refused.headers.get("x-request-id"), /^[0-9a-f]{32}$/);
    // The other classes are its own still, each with its number.
    assert.deepEqual(await statuses(3, () => post(authority, "/cert", "192.0.2.1")), [400, 400, 429]);
    assert.deepEqual(await statuses(3, () => post(authority, "/token", "192.0.2.1")), [400, 400, 429]);
    assert.deepEqual(await statuses(5, () => ask(authority, "/me/passkeys", "192.0.2.1")), [401, 401, 401, 401, 429]);
    const document = () => ask(authority, "/.well-known/jwks.json", "192.0.2.1");
    assert.deepEqual(await statuses(6, document), [200, 200, 200, 200, 200, 429]);
    const health = () => ask(authority, "/health", "192.0.2.1");
    assert.deepEqual(new Set(await statuses(20, health)), new Set([200]), "whether it runs is always told");
  });

  test("uses up what is its own and nobody else's", async () => {
    await statuses(10, () => post(authority, OPTIONS, "192.0.2.2"));
    assert.equal((await post(authority, OPTIONS, "192.0.2.2")).status, 429);
    assert.equal((await post(authority, OPTIONS, "192.0.2.3")).status, 200);
  });

  test("is a network where addresses are cheap", async () => {
    const from = (i) => post(authority, OPTIONS, `2001:db8:0:1::${i}`);
    assert.deepEqual(await statuses(4, from), [200, 200, 200, 429]);
    assert.equal((await post(authority, OPTIONS, "2001:db8:0:2::1")).status, 200);
  });

  test("counts nobody where none is known: else one could use up what others have", async () => {
    assert.deepEqual(new Set(await statuses(20, () => post(authority, OPTIONS))), new Set([200]));
  });

  test("is the last of a list: what a proxy has added, and not what its caller wrote before it", async () => {
    const from = (i) => post(authority, OPTIONS, `192.0.2.${100 + i}, 2001:db8:0:3::${i}`);
    assert.deepEqual(await statuses(4, from), [200, 200, 200, 429]);
    assert.equal((await post(authority, OPTIONS, "192.0.2.100")).status, 200, "whom somebody only names");
  });

  test("pays nothing for what another site's page asks for in its browser", async () => {
    const headers = { "sec-fetch-site": "cross-site" };
    const read = () => ask(authority, "/me/passkeys", "192.0.2.5", { headers });
    assert.deepEqual(await statuses(10, read), Array(10).fill(403));
    const begin = () => ask(authority, OPTIONS, "192.0.2.5", { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: "{}" });
    assert.deepEqual(await statuses(10, begin), Array(10).fill(403));
    assert.equal((await ask(authority, "/me/passkeys", "192.0.2.5")).status, 401);
    assert.equal((await post(authority, OPTIONS, "192.0.2.5")).status, 200);
    // What needs no session isn't refused to it, and has limits of its own; so has what a page may read that is configured.
    const configured = { ...headers, origin: "https://app.example" };
    for (const [path, method, type, left, answer] of [
      ["/cert/gha", "POST", "text/plain", 2, 415],
      ["/token", "POST", "application/x-www-form-urlencoded", 2, 400],
      ["/.well-known/jwks.json", "GET", undefined, 5, 200],
    ]) {
      const send = (by) => ask(authority, path, "192.0.2.6", { method, headers: { ...by, ...(type && { "content-type": type }) }, ...(type && { body: "x" }) });
      for (const page of [headers, { origin: "https://evil.example" }]) {
        const told = await statuses(left + 2, () => send(page));
        assert.equal(told.at(-1), 429, `${path}: ${told}`);
      }
      assert.deepEqual(await statuses(left + 1, () => send(configured)), [...Array(left).fill(answer), 429], path);
      assert.deepEqual(await statuses(left + 1, () => send({})), [...Array(left).fill(answer), 429], path);
    }
  });

  test("has one more as time goes", async () => {
    await statuses(4, () => ask(authority, "/me/passkeys", "192.0.2.4"));
    assert.equal((await ask(authority, "/me/passkeys", "192.0.2.4")).status, 429);
    await until(async () => (await ask(authority, "/me/passkeys", "192.0.2.4")).status === 401, 20_000);
  });
});

test("a source that asks too often uses nothing of what it shows up: it is good from elsewhere", async () => {
  const issuer = await startIssuer();
  const vars = { ...BY, ...APPLICATION, NOTME_RATE_LIMITS: "ceremonies=1, enrolments=1, tokens=1", GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", BOOTSTRAP_CODE: CODE };
  const authority = await startAuthority({ allowLoopback: true, vars });
  try {
    // Where no source is told nobody's is counted.
    const [first, browser, passkey, keys] = [new Browser(authority), new Browser(authority), new Passkey(ES256), new Keys()];
    const { json: begun } = await first.post("/auth/passkey/register/options", { bootstrapCode: CODE, displayName: "Ana" });
    passkey.owner = Buffer.from(begun.options.user.id, "base64url");
    const registration = { userId: begun.userId, response: JSON.parse(passkey.register(first.ceremony(begun.options.challenge), "none")) };
    const ways = [["/auth/passkey/register/verify", async () => [registration]]];
    const assertion = async (path) => {
      const { json } = await browser.post(path);
      return [{ response: JSON.parse(passkey.authenticate(browser.ceremony(json.challenge))) }];
    };
    ways.push(["/auth/passkey/login/verify", () => assertion(OPTIONS)]);
    ways.push(["/auth/passkey/step-up/verify", () => assertion("/auth/passkey/step-up/options")]);
    ways.push(["/cert", async () => {
      const { challenge } = (await browser.post("/cert/challenge")).json;
      return [{ proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message(Buffer.from(challenge, "base64url"))), challenge }];
    }]);
    ways.push(["/cert/gha", async () => {
      const token = await issuer.token();
      return [keys.body(token), { authorization: `Bearer ${token}` }];
    }]);
    ways.push(["/token", async () => [{ audience: API }, await dpop(authority, "/token")]]);
    ways.push(["/authorize/redeem", async () => [await redemption(browser), await dpop(authority, "/authorize/redeem")]]);
    for (const [i, [path, prepare]] of ways.entries()) {
      const [body, headers = {}] = await prepare();
      const from = (source) => browser.post(path, body, { ...headers, "x-real-ip": source });
      await post(authority, path, `192.0.2.${i}`);
      const refused = await from(`192.0.2.${i}`);
      assert.deepEqual([refused.status, refused.json.code], [429, "too_many_requests"], `${path}: ${refused.text}`);
      const answer = await from(`198.51.100.${i}`);
      assert.equal(answer.status, 200, `${path}: ${answer.text}`);
      const again = await from(`203.0.113.${i}`);
      assert.ok([400, 401].includes(again.status), `${path}, again: ${again.text}`);
    }
  } finally {
    await authority.stop();
    await issuer.close();
  }
});

test("without a proxy the source is the address of the connection, whatever headers say", async () => {
  const authority = await startAuthority({ vars: { NOTME_SOURCE_HEADER: "none", NOTME_RATE_LIMITS: "ceremonies=3" } });
  try {
    const from = (i) => ask(authority, OPTIONS, `192.0.2.${i}`, { method: "POST", headers: { "content-type": "application/json", origin: authority.url, "cf-connecting-ip": `192.0.2.${i}`, "x-forwarded-for": `192.0.2.${i}` }, body: "{}" });
    assert.deepEqual(await statuses(4, from), [200, 200, 200, 429]);
  } finally {
    await authority.stop();
  }
});

test("the defaults let 120 ceremonies of one source through, and then slow it down", async () => {
  const authority = await startAuthority({ vars: { ...BY, NOTME_RATE_LIMITS: undefined } });
  try {
    const answers = await statuses(120, () => post(authority, OPTIONS, "192.0.2.1"));
    assert.deepEqual(new Set(answers), new Set([200]));
    const more = await Promise.all(Array.from({ length: 120 }, () => post(authority, OPTIONS, "192.0.2.1")));
    assert.ok(more.some(({ status }) => status === 429));
  } finally {
    await authority.stop();
  }
});

describe("an identity", () => {
  let issuer;
  let login;
  let authority;
  let rows;
  let vars;
  before(async () => {
    [issuer, login] = [await startIssuer(), await startOidc()];
    rows = [{ issuer: login.url, audience: "https://id.example", for: "people", scopes: ["bridgeCert"], rules: [{}] }];
    vars = { ...BY, ...APPLICATION, REGISTRATION: "open", NOTME_RATE_LIMITS: "identity=6", GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", TRUSTED_ISSUERS: JSON.stringify(rows), BOOTSTRAP_CODE: CODE };
    authority = await startAuthority({ allowLoopback: true, vars });
  });
  after(async () => {
    await authority?.stop();
    await issuer?.close();
    await login?.close();
  });

  /** Somebody new. */
  async function person(displayName) {
    const browser = new Browser(authority);
    const passkey = new Passkey(ES256);
    const registered = await browser.register(passkey, { wanted: { displayName } });
    assert.equal(registered.status, 200, registered.text);
    return { browser, passkey, id: registered.json.userId ?? (await browser.me()).json.userId };
  }

  const job = async (token) => {
    const keys = new Keys();
    return enroll(authority.url, token, keys.body(token));
  };

  test("is given so many pairs, and a job's token isn't used up by waiting", async () => {
    for (let i = 0; i < 6; i++) assert.equal((await job(await issuer.token())).status, 200);
    const token = await issuer.token();
    const refused = await job(token);
    assert.equal(refused.status, 429);
    assert.equal(refused.json.error, "rate limit exceeded");
    assert.equal(refused.json.code, "too_many_requests");
    const other = await issuer.token({ repository: "acme/other", repository_id: "2", sub: "repo:acme/other:ref:refs/heads/main" });
    assert.equal((await job(other)).status, 200, "another repository");
    await until(async () => (await job(token)).status === 200, 20_000);
  });

  test("pays for what it gets, and not for replays of what somebody caught", async () => {
    const claims = { repository: "acme/caught", repository_id: "3", sub: "repo:acme/caught:ref:refs/heads/main" };
    const caught = await issuer.token(claims);
    assert.equal((await job(caught)).status, 200);
    assert.deepEqual(await statuses(20, () => job(caught)), Array(20).fill(401));
    assert.equal((await job(await issuer.token(claims))).status, 200);
  });

  test("of a person is given so many, each class by itself; a challenge isn't used up by waiting", async () => {
    const browser = new Browser(authority);
    const passkey = new Passkey(ES256);
    assert.equal((await browser.register(passkey)).status, 200);
    const keys = new Keys();
    const mint = async (challenge) => browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message(challenge && Buffer.from(challenge, "base64url"))), ...(challenge && { challenge }) });
    for (let i = 0; i < 6; i++) assert.equal((await mint()).status, 200);
    const { challenge } = (await browser.post("/cert/challenge", {})).json;
    const refused = await mint(challenge);
    assert.equal(refused.status, 429, refused.text);
    const ben = await new Browser(authority).register(new Passkey(ES256), { wanted: { displayName: "Ben" } });
    assert.equal(ben.status, 200, ben.text);
    const { json } = await browser.call("GET", "/admin/principals?q=Ben");
    const delegate = () => browser.post("/delegations", { delegate: json.items[0].id });
    assert.deepEqual(await statuses(7, delegate), [...Array(6).fill(200), 429], "the account is another class");
    await until(async () => (await mint(challenge)).status === 200, 20_000);
    await until(async () => (await mint(challenge)).json.code === "bad_challenge", 20_000);
  });

  test("that has to wait for a token keeps its proof and its code, and consents to no more", async () => {
    /** Somebody who has had all but so many of theirs. */
    const almost = async (left) => {
      const { browser } = await person("Fay");
      const token = async () => browser.post("/token", { audience: API }, await dpop(authority, "/token"));
      assert.deepEqual(await statuses(6 - left, token), Array(6 - left).fill(200));
      return browser;
    };
    const session = async () => {
      const browser = await almost(0);
      const headers = await dpop(authority, "/token");
      return () => browser.post("/token", { audience: API }, headers);
    };
    const code = async () => {
      const body = await redemption(await almost(1));
      const headers = await dpop(authority, "/authorize/redeem");
      return () => new Browser(authority).post("/authorize/redeem", body, headers);
    };
    const form = async () => {
      const body = new URLSearchParams({ grant_type: "authorization_code", client_id: "app", ...(await redemption(await almost(1))) });
      const headers = { "content-type": "application/x-www-form-urlencoded", ...(await dpop(authority, "/token")) };
      return () => new Browser(authority).post("/token", body.toString(), headers);
    };
    const consent = async () => {
      const browser = await almost(1);
      await redemption(browser);
      return () => browser.post("/authorize/code", wanted(randomUUID() + randomUUID()));
    };
    await Promise.all([session, code, form, consent].map(async (prepare) => {
      const send = await prepare();
      for (let i = 0; i < 3; i++) {
        const refused = await send();
        assert.deepEqual([refused.status, refused.json.code], [429, "too_many_requests"], refused.text);
        const wait = Number(refused.headers.get("retry-after"));
        assert.ok(wait >= 1 && wait <= 10, `a sixth of a minute: ${wait}`);
      }
      await until(async () => {
        const answer = await send();
        assert.ok([200, 429].includes(answer.status), answer.text);
        return answer.status === 200;
      }, "it is given", 20_000);
    }));
  });

  test("isn't kept from signing in by who shows an answer of theirs again", async () => {
    const who = await person("Hal");
    const { json } = await new Browser(authority).post("/auth/passkey/login/options");
    const body = { response: JSON.parse(who.passkey.authenticate(who.browser.ceremony(json.challenge))) };
    const again = () => new Browser(authority).post("/auth/passkey/login/verify", body);
    assert.equal((await again()).status, 200);
    assert.deepEqual(await statuses(20, again), Array(20).fill(400));
    assert.equal((await new Browser(authority).signIn(who.passkey)).status, 200);
  });

  test("that has to wait with a passkey keeps its challenge", async () => {
    const shown = async (who, way) => {
      const { json } = await who.browser.post(`/auth/passkey/${way}/options`);
      const body = { response: JSON.parse(who.passkey.authenticate(who.browser.ceremony(json.challenge))) };
      return () => who.browser.post(`/auth/passkey/${way}/verify`, body);
    };
    await Promise.all(["login", "step-up"].map(async (way) => {
      const who = await person("Gus");
      assert.deepEqual(await statuses(6, async () => (await shown(who, way))()), Array(6).fill(200));
      const send = await shown(who, way);
      for (let i = 0; i < 3; i++) assert.equal((await send()).json.code, "too_many_requests");
      await until(async () => {
        const answer = await send();
        assert.ok([200, 429].includes(answer.status), answer.text);
        return answer.status === 200;
      }, "it is let in", 20_000);
    }));
  });

  test("takes back what is its own, however often whoever stole its session asks for something", async () => {
    const { browser, passkey } = await person("Cleo");
    const further = await browser.register(new Passkey(ES256), { wanted: { further: true } });
    assert.equal(further.status, 200, further.text);
    const thief = new Browser(authority);
    thief.cookie = browser.cookie;
    const { session: stolen } = (await thief.me()).json;
    const owner = new Browser(authority);
    assert.equal((await owner.signIn(passkey)).status, 200);
    const { passkeys } = (await owner.call("GET", "/me/passkeys")).json;
    const added = passkeys.find(({ current }) => !current).id;
    assert.deepEqual(await statuses(7, () => thief.call("GET", "/me/sessions")), [...Array(6).fill(200), 429]);
    assert.deepEqual(await statuses(7, (i) => thief.post(`/me/passkeys/${added}`, { name: `no ${i}` })), [...Array(6).fill(200), 429]);
    // Who wants to end a session has to see which there are.
    const seen = await owner.call("GET", "/me/sessions");
    assert.equal(seen.status, 200, seen.text);
    assert.ok(seen.json.items.some(({ id }) => id === stolen));
    assert.equal((await owner.call("DELETE", `/me/passkeys/${added}`)).status, 200);
    assert.equal((await owner.call("DELETE", `/connections/${randomUUID()}`)).status, 404, "it was looked at");
    assert.equal((await owner.call("DELETE", `/me/sessions/${stolen}`)).status, 200);
    assert.equal((await thief.me()).status, 401);
  });

  test("signs in by one way though another one's share is used up", async () => {
    const { browser, passkey } = await person("Gil");
    const token = async (of, path) => {
      const { challenge, nonce } = (await of.post(path)).json;
      return [await login.token({ sub: "gil", nonce }), challenge];
    };
    const [shown, challenge] = await token(browser, "/connections/options");
    assert.equal((await browser.post("/connections", { proof: { type: "oidc", token: shown }, challenge })).status, 200);
    const comeIn = async () => {
      const guest = new Browser(authority);
      const [shown, challenge] = await token(guest, "/auth/oidc/options");
      return guest.post("/auth/oidc/login", { token: shown, challenge });
    };
    assert.deepEqual(await statuses(7, comeIn), [...Array(6).fill(200), 429]);
    assert.equal((await new Browser(authority).signIn(passkey)).status, 200);
    assert.equal((await browser.stepUp(passkey)).status, 200);
  });

  test("has lists of its own for each of its sessions, of pairs and delegations too", async () => {
    const { browser, passkey } = await person("Fay");
    const other = new Browser(authority);
    assert.equal((await other.signIn(passkey)).status, 200);
    const lists = ["/me/credentials", "/delegations", "/me/sessions"];
    assert.deepEqual(await statuses(7, (i) => browser.call("GET", lists[i % 3])), [...Array(6).fill(200), 429]);
    for (const path of lists) assert.equal((await other.call("GET", path)).status, 200, path);
  });

  test("that has to wait keeps its challenge: linking, signing in, and what a pair signs", async () => {
    const { browser, id } = await person("Dee");
    const boss = await person("Eve");
    /** What to send for an identity, each time with another challenge. */
    const shown = async (path, sub, body) => {
      const { challenge, nonce } = (await browser.post(path)).json;
      return body(await login.token({ sub, nonce }), challenge);
    };
    const linking = (sub) => shown("/connections/options", sub, (token, challenge) => ({ proof: { type: "oidc", token }, challenge }));
    const link = async (body) => browser.post("/connections", body);
    const coming = () => shown("/auth/oidc/options", "dee-0", (token, challenge) => ({ token, challenge }));
    const comeIn = async (body) => new Browser(authority).post("/auth/oidc/login", body);
    const keys = new Keys();
    const { certificates } = (await boss.browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) })).json;
    const wishing = async () => {
      const { challenge } = (await new Browser(authority).post("/cert/challenge")).json;
      const wish = JSON.stringify({ delegate: id });
      const message = Buffer.concat([Buffer.from("notme-delegation-v1\0"), Buffer.from(challenge, "base64url"), digest(new X509Certificate(certificates.signing).raw), digest(wish)]);
      const signature = sign(null, message, keys.signing.privateKey).toString("base64url");
      return { proof: { type: "x509", chain: certificates.signing, signature }, challenge, delegation: wish };
    };
    const handOn = async (body) => new Browser(authority).post("/delegations", body);
    await Promise.all([[linking, link], [coming, comeIn], [wishing, handOn]].map(async ([prepare, send], which) => {
      // The second goes by what the first has linked.
      if (which === 1) await until(async () => (await send(await prepare())).status === 200, 20_000);
      const more = which === 1 ? 5 : 6;
      assert.deepEqual(await statuses(more, async (i) => send(await prepare(`dee-${i}`))), Array(more).fill(200));
      const last = await prepare("dee-last");
      const refused = await send(last);
      assert.deepEqual([refused.status, refused.json.code], [429, "too_many_requests"], refused.text);
      await until(async () => {
        const answer = await send(last);
        assert.ok([200, 429].includes(answer.status), answer.text);
        return answer.status === 200;
      }, 20_000);
      assert.equal((await send(last)).json.code, "bad_challenge");
    }));
  });

  /** What asks for another pair by the mTLS leaf of one, or for a delegation. */
  const byPair = async ({ certificates, keys: held }, { delegate } = {}) => {
    const over = Buffer.from((await new Browser(authority).post("/cert/challenge")).json.challenge, "base64url");
    const keys = new Keys();
    const delegation = delegate && JSON.stringify({ delegate });
    const label = `notme-${delegate ? "delegation" : "certificate-proof"}-v1\0`;
    const message = Buffer.concat([Buffer.from(label), over, digest(new X509Certificate(certificates.mtls).raw), delegate ? digest(delegation) : keys.message()]);
    const proof = { type: "x509", chain: certificates.mtls, signature: signed({ secret: held.mtls.privateKey }, message) };
    const challenge = over.toString("base64url");
    const asked = delegate ? { delegation } : { public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message(over)) };
    return new Browser(authority).post(delegate ? "/delegations" : "/cert", { proof, challenge, ...asked });
  };

  test("is given everything by one way though another one's share is used up", async () => {
    // Pairs are renewed by a row that trusts this authority's own.
    const roots = await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text();
    const ours = { type: "x509", name: "ours", roots, scopes: ["bridgeCert"], rules: [{}] };
    await authority.restart({ vars: { ...vars, TRUSTED_ISSUERS: JSON.stringify([...rows, ours]) } });
    const { browser, id } = await person("Ida");
    const { challenge, nonce } = (await browser.post("/connections/options")).json;
    const linked = await browser.post("/connections", { proof: { type: "oidc", token: await login.token({ sub: "ida", nonce }) }, challenge });
    assert.equal(linked.status, 200, linked.text);
    const other = new Browser(authority);
    const coming = (await other.post("/auth/oidc/options")).json;
    assert.equal((await other.post("/auth/oidc/login", { token: await login.token({ sub: "ida", nonce: coming.nonce }), challenge: coming.challenge })).status, 200);
    const { passkeys } = (await browser.call("GET", "/me/passkeys")).json;
    const { id: delegate } = await person("Jon");

    const mint = async (of) => {
      const keys = new Keys();
      const { status, text, json } = await of.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) });
      return { status, text, ...json, keys };
    };
    const [own, theirs] = [await mint(browser), await mint(other)];
    const name = (of) => of.post(`/me/passkeys/${passkeys[0].id}`, { name: randomUUID() });
    const hand = (of) => of.post("/delegations", { delegate });
    const consent = (of) => of.post("/authorize/code", wanted(randomUUID() + randomUUID()));
    const token = async (of) => of.post("/token", { audience: API }, await dpop(authority, "/token"));
    for (const [had, use, acts] of [
      [1, mint, [[mint, browser, other]]],
      [0, () => byPair(theirs), [[byPair, own, theirs], [mint, browser, undefined]]],
      [0, token, [[token, browser, other], [consent, browser, other]]],
      [0, name, [[name, browser, other], [hand, browser, undefined], [(pair) => byPair(pair, { delegate }), own, undefined]]],
    ]) {
      const left = 6 - had;
      assert.deepEqual(await statuses(left + 1, () => use(other)), [...Array(left).fill(200), 429], use.name);
      for (const [act, mine, its] of acts) {
        // Who came in by an issuer hands nothing on.
        const over = its && (await act(its));
        if (over) assert.equal(over.status, 429, `the other one is used up: ${over.text}`);
        const { status, text } = await act(mine);
        assert.equal(status, 200, text);
      }
    }
    // Whoever has one of its pairs leaves its owner what proofs and sessions are given.
    const renewals = await statuses(7, () => byPair(own));
    assert.ok(renewals[0] === 200 && renewals[6] === 429, renewals.join());
    const { status, text, principal_id: principal } = await mint(browser);
    assert.equal(status, 200, text);
    assert.equal(principal, id);
  });
});

describe("what vouches for workloads", () => {
  let issuers;
  let authority;
  before(async () => {
    issuers = { one: await startOidc(), two: await startOidc(), github: await startIssuer() };
    const rows = [issuers.one, issuers.two].map(({ url }) => ({ issuer: url, audience: "https://id.example", scopes: ["bridgeCert"], rules: [{ team: "red" }, { team: "blue" }] }));
    const vars = { NOTME_RATE_LIMITS: "newcomers=6", GHA_ISSUER: issuers.github.url, GHA_ALLOWED_OWNERS: "acme,other", TRUSTED_ISSUERS: JSON.stringify(rows) };
    authority = await startAuthority({ allowLoopback: true, vars });
  });
  after(async () => {
    await authority?.stop();
    for (const server of Object.values(issuers ?? {})) await server.close();
  });

  test("may bring so many newcomers, whose tokens aren't used up by waiting; those who are known come in, and others' newcomers", async () => {
    const show = async (token, path = "/cert") => {
      const keys = new Keys();
      const proofs = keys.proofs(token);
      return path === "/cert" ? new Browser(authority).post(path, { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs }) : enroll(authority.url, token, keys.body(token));
    };
    const { one, two, github } = issuers;
    assert.deepEqual(await statuses(6, async (i) => show(await one.token({ sub: `made-up-${i}` }))), Array(6).fill(200));
    const token = await one.token({ sub: "made-up-6" });
    const refused = await show(token);
    assert.deepEqual([refused.status, refused.json.code], [429, "too_many_requests"], refused.text);
    const wait = Number(refused.headers.get("retry-after"));
    assert.ok(wait >= 1 && wait <= 10, `a sixth of a minute: ${wait}`);
    assert.equal((await show(await one.token({ sub: "made-up-0" }))).status, 200, "somebody who is known");
    assert.equal((await show(await two.token({ sub: "new" }))).status, 200, "another issuer's");
    assert.equal((await show(await one.token({ sub: "new", team: "blue" }))).status, 200, "another rule's");
    const job = (id, owner = "acme") =>
      github.token({ repository: `${owner}/${id}`, repository_owner: owner, repository_owner_id: owner, repository_id: `${id}`, sub: `repo:${owner}/${id}:ref:refs/heads/main` });
    assert.deepEqual(await statuses(7, async (i) => show(await job(i + 1), "/cert/gha")), [...Array(6).fill(200), 429], "repositories are newcomers too");
    assert.equal((await show(await job(9, "other"), "/cert/gha")).status, 200, "another owner's");
    await until(async () => (await show(token)).status === 200, 20_000);
    assert.equal((await show(token)).json.code, "token_used");
  });
});

const CLUSTER = "https://kubernetes.default.svc.cluster.local";
const LOGIN = "https://login.example.com";
const PAT = `ghp_${"x".repeat(36)}`;
const SECRET = randomBytes(32).toString("hex");

/** Whoever comes by each kind of proof: what one request of theirs is, each time another. */
const DOORS = {
  oidc: async ({ login }, keys) => {
    const token = await login.token();
    return [{ type: "oidc", token }, keys.proofs(token)];
  },
  kubernetes: async ({ cluster }, keys, over) => {
    const now = Math.floor(Date.now() / 1000);
    const serviceaccount = { name: "web", uid: "8a1f5c0e-0000-4000-8000-000000000001" };
    const token = await cluster.token({ iss: CLUSTER, sub: "system:serviceaccount:agents:web", exp: now + 3607, "kubernetes.io": { namespace: "agents", serviceaccount } });
    return [{ type: "kubernetes", token }, keys.proofsOver(keys.message(over))];
  },
  access: async ({ team }, keys, over) => {
    const now = Math.floor(Date.now() / 1000);
    const token = await team.token({ email: "user@example.com", sub: "7335d417-61da-459d-899c-0a01c76a2f94", exp: now + 86_400, jti: undefined });
    return [{ type: "access", token }, keys.proofsOver(keys.message(over))];
  },
  custom: async ({ own }, keys) => {
    const token = await own.token({ iss: LOGIN, sub: "user-7" });
    return [{ type: "custom", token }, keys.proofs(token)];
  },
  github_pat: async (_, keys, over) => [{ type: "github_pat", token: PAT }, keys.proofsOver(keys.message(over))],
  x509: async ({ leaf }, keys, over) => {
    const message = Buffer.concat([Buffer.from("notme-certificate-proof-v1\0"), over, digest(leaf.der), keys.message()]);
    return [{ type: "x509", chain: leaf.pem, signature: signed(leaf, message) }, keys.proofsOver(keys.message(over))];
  },
  mtls: async ({ leaf }, keys, over) => {
    const message = Buffer.concat([Buffer.from("notme-mtls-proof-v1\0"), over, digest(leaf.der), keys.message()]);
    return [{ type: "mtls" }, keys.proofsOver(message), { "client-cert": `:${leaf.der.toString("base64")}:`, "mtls-proxy-secret": SECRET }];
  },
};

describe("an identity at a door", { skip: missing("openssl") ?? false }, () => {
  let issuers;
  let api;
  let pki;
  let leaf;
  let authority;
  before(async () => {
    issuers = {};
    for (const name of ["login", "cluster", "team", "own"]) issuers[name] = await startOidc({ algorithms: ["RS256"] });
    [api, pki] = [await startGitHub(), new Pki()];
    const { login, cluster, team, own } = issuers;
    const root = pki.ca("/CN=Root");
    leaf = pki.leaf(root);
    api.tokens.set(PAT, { user: { id: 583231, login: "octocat" }, scopes: "" });
    const row = (type, more) => ({ type, scopes: ["bridgeCert"], rules: [{}], ...more });
    const rows = [
      row("oidc", { issuer: login.url, audience: "https://id.example" }),
      row("kubernetes", { issuer: CLUSTER, audience: "https://id.example", jwks: cluster.jwks }),
      row("access", { issuer: team.url, audience: "https://id.example", rules: [{ email: "*@example.com" }] }),
      row("custom", { issuer: LOGIN, audience: "https://id.example", jwks: own.jwks }),
      row("github_pat", { rules: [{ user_id: "583231" }] }),
      row("x509", { name: "mesh", roots: root.pem, rules: [{ spiffe_trust_domain: "td.example" }] }),
      row("mtls", { name: "edge", roots: root.pem, rules: [{ spiffe_trust_domain: "td.example" }] }),
    ];
    authority = await startAuthority({ allowLoopback: true, vars: { NOTME_RATE_LIMITS: "identity=6", TRUSTED_ISSUERS: JSON.stringify(rows), GITHUB_API_URL: api.url, MTLS_PROXY_SECRET: SECRET } });
  });
  after(async () => {
    await authority?.stop();
    for (const server of [...Object.values(issuers ?? {}), api]) await server?.close();
    pki?.remove();
  });

  test("is given so many pairs, and what it shows isn't used up by waiting", async () => {
    await Promise.all(Object.entries(DOORS).map(async ([type, show]) => {
      /** Something to send, which works once. */
      const prepare = async () => {
        const browser = new Browser(authority);
        const { challenge } = (await browser.post("/cert/challenge")).json;
        const keys = new Keys();
        const [proof, proofs, headers] = await show({ ...issuers, leaf }, keys, Buffer.from(challenge, "base64url"));
        // These two are single by themselves.
        const body = { proof, public_keys: keys.publicKeys, proofs, ...(!["oidc", "custom"].includes(type) && { challenge }) };
        return () => browser.post("/cert", body, headers);
      };
      const seen = new Set();
      for (let i = 0; i < 6; i++) {
        const { status, text, json } = await (await prepare())();
        assert.equal(status, 200, `${type}: ${text}`);
        seen.add(json.principal_id);
      }
      assert.equal(seen.size, 1, type);
      const send = await prepare();
      for (let i = 0; i < 3; i++) {
        const refused = await send();
        assert.deepEqual([refused.status, refused.json.code], [429, "too_many_requests"], `${type}: ${refused.text}`);
        const wait = Number(refused.headers.get("retry-after"));
        assert.ok(wait >= 1 && wait <= 10, `a sixth of a minute: ${wait}`);
      }
      await until(async () => {
        const answer = await send();
        assert.ok([200, 429].includes(answer.status), `${type}: ${answer.text}`);
        return answer.status === 200;
      }, `a pair by ${type}`, 20_000);
    }));
  });
});

test("a limit that nobody understands stops the authority, with a sentence", async () => {
  const authority = await startAuthority({ vars: { NOTME_RATE_LIMITS: "ceremony=5" }, expectRefusal: true });
  try {
    assert.equal((await fetch(`${authority.url}/.well-known/jwks.json`)).status, 503);
    assert.match(authority.logs(), /NOTME_RATE_LIMITS must be off, or entries such as ceremonies=120/);
  } finally {
    await authority.stop();
  }
});

test("the platform's limiter is asked too where there is one", async () => {
  const wrangler = `[[ratelimits]]\nname = "PASSKEY_LIMITER"\nnamespace_id = "1001"\nsimple = { limit = 2, period = 60 }\n`;
  const authority = await startAuthority({ vars: BY, wrangler });
  try {
    assert.deepEqual(await statuses(3, () => post(authority, OPTIONS, "192.0.2.1")), [200, 200, 429]);
    const refused = await post(authority, OPTIONS, "192.0.2.1");
    assert.equal(refused.headers.get("retry-after"), "60");
    assert.equal((await post(authority, OPTIONS, "192.0.2.2")).status, 200);
    assert.equal((await post(authority, "/cert", "192.0.2.1")).status, 400, "it is the limiter of passkeys");
  } finally {
    await authority.stop();
  }
});

for (const [binding, path, answer] of [["CERT_LIMITER", "/cert", 400], ["TOKEN_LIMITER", "/token", 400]]) {
  test(`the platform's limiter ${binding} is that of ${path}`, async () => {
    const wrangler = `[[ratelimits]]\nname = "${binding}"\nnamespace_id = "1002"\nsimple = { limit = 2, period = 60 }\n`;
    const authority = await startAuthority({ vars: BY, wrangler });
    try {
      assert.deepEqual(await statuses(3, () => post(authority, path, "192.0.2.1")), [answer, answer, 429]);
      assert.equal((await post(authority, path, "192.0.2.2")).status, answer);
      assert.equal((await post(authority, OPTIONS, "192.0.2.1")).status, 200, "passkeys have another");
    } finally {
      await authority.stop();
    }
  });
}

test("a platform's limiter that can't be asked leaves our own limits, and the log says so", { skip: THROUGH_WRANGLER && "wrangler has limiters of its own" }, async () => {
  const broken = `import { WorkerEntrypoint } from 'cloudflare:workers'; export class Broken extends WorkerEntrypoint { async limit() { throw new Error('out of order'); } } export default {};`;
  const names = ["PASSKEY_LIMITER", "CERT_LIMITER", "TOKEN_LIMITER"];
  const authority = await startAuthority({
    vars: { ...BY, NOTME_RATE_LIMITS: "ceremonies=3, enrolments=2, tokens=2" },
    services: [`(name = "broken", worker = (compatibilityDate = "${COMPATIBILITY_DATE}", modules = [(name = "broken.mjs", esModule = "${broken}")]))`],
    bindings: names.map((name) => `(name = "${name}", service = (name = "broken", entrypoint = "Broken"))`),
  });
  try {
    assert.deepEqual(await statuses(4, () => post(authority, OPTIONS, "192.0.2.1")), [200, 200, 200, 429]);
    assert.deepEqual(await statuses(3, () => post(authority, "/cert", "192.0.2.1")), [400, 400, 429]);
    assert.deepEqual(await statuses(3, () => post(authority, "/token", "192.0.2.1")), [400, 400, 429]);
    assert.equal((await post(authority, OPTIONS, "192.0.2.2")).status, 200, "somebody else");
    const lines = () => authority.logs().split("\n").filter((line) => line.includes('"limiter_failed"')).map((line) => JSON.parse(line));
    await until(() => lines().length === 8, "a line for each that was let through");
    for (const name of names) {
      const told = lines().filter(({ reason }) => reason.startsWith(`${name}: `));
      assert.ok(told.length >= 2, name);
      for (const { level, reason, request_id: id } of told) assert.ok(level === "warn" && /out of order/.test(reason) && /^[0-9a-f]{32}$/.test(id), reason);
    }
  } finally {
    await authority.stop();
  }
});
