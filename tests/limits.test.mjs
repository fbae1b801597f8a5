// How often is too often: limits by source and class of route, and by class and identity, with their defaults and
// with small ones. Nothing here waits for a minute: what is given back comes second by second.
import assert from "node:assert/strict";
import { X509Certificate, createHash, randomUUID, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { startOidc } from "./support/oidc.mjs";
import { until } from "./support/processes.mjs";

const OPTIONS = "/auth/passkey/login/options";
const BY = { NOTME_SOURCE_HEADER: "X-Real-IP" };

/** Asks for something, as somebody at this address. */
async function ask(authority, path, source, init = {}) {
  const headers = { ...(source && { "x-real-ip": source }), ...init.headers };
  return fetch(authority.url + path, { redirect: "manual", ...init, headers });
}

const post = (authority, path, source) => ask(authority, path, source, { method: "POST", headers: { "content-type": "application/json", origin: authority.url }, body: "{}" });

async function statuses(count, once) {
  const answers = [];
  for (let i = 0; i < count; i++) answers.push((await once(i)).status);
  return answers;
}

describe("a source", () => {
  let authority;
  before(async () => {
    authority = await startAuthority({ vars: { ...BY, NOTME_RATE_LIMITS: "ceremonies=3, enrolments=2, tokens=2, account=4, documents=5" } });
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
  });

  test("has one more as time goes", async () => {
    await statuses(4, () => ask(authority, "/me/passkeys", "192.0.2.4"));
    assert.equal((await ask(authority, "/me/passkeys", "192.0.2.4")).status, 429);
    await until(async () => (await ask(authority, "/me/passkeys", "192.0.2.4")).status === 401, 20_000);
  });
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
  before(async () => {
    [issuer, login] = [await startIssuer(), await startOidc()];
    const rows = [{ issuer: login.url, audience: "https://id.example", for: "people", scopes: ["bridgeCert"], rules: [{}] }];
    const vars = { ...BY, REGISTRATION: "open", NOTME_RATE_LIMITS: "identity=6", GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", TRUSTED_ISSUERS: JSON.stringify(rows), BOOTSTRAP_CODE: CODE };
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
      const digest = (bytes) => createHash("sha256").update(bytes).digest();
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
