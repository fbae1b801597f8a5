// Signing in at an issuer from our pages: people in a real browser, at an issuer that isn't ours (`oidc-provider`), and
// everything that can be wrong with what comes back, at one that does as it is told.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { after, afterEach, before, describe, test } from "node:test";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Person, executablePath, openBrowser } from "./support/pages.mjs";
import { until } from "./support/processes.mjs";
import { longAgo, meanwhile, noSqlite } from "./support/state.mjs";

const sha256 = (text) => createHash("sha256").update(text).digest("base64url");
const SECRET = "s:cr%t +";

function done(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
  assert.ok(!answer.set, "no cookie");
}

describe("a code", () => {
  let authority;
  let issuer;
  let other;
  let ana;
  let anasKey;
  let issuers;
  /** What the token endpoint was sent. */
  let asked = [];

  before(async () => {
    [issuer, other] = [await startOidc(), await startOidc()];
    const row = (audience, more = {}) => ({ for: "people", issuer: issuer.url, audience, scopes: ["bridgeCert"], rules: [{ team: "red" }], sign_in: { label: "Acme" }, ...more });
    const rows = [
      row("silent", { sign_in: undefined }),
      row("a b", { sign_in: { label: "Acme", scope: "openid groups" } }),
      row("a b", { sign_in: { label: "Nobody sees this" } }),
      row("public", { sign_in: { label: "Acme, without a secret" } }),
      { ...row("a b"), issuer: other.url },
    ];
    const secrets = [{ issuer: issuer.url, client_id: "a b", client_secret: SECRET }];
    authority = await startAuthority({
      allowLoopback: true,
      vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows), OIDC_CLIENT_SECRETS: JSON.stringify(secrets), NOTME_LOG_LEVEL: "debug" },
    });
    ana = new Browser(authority);
    anasKey = new Passkey(ES256);
    done(await ana.register(anasKey));
    ({ issuers } = done(await ana.call("GET", "/auth/oidc/issuers")));
    const { answer } = await come({ claims: { sub: "ana" }, link: ana });
    done(answer);
  });
  after(async () => {
    await authority?.stop();
    await Promise.all([issuer?.close(), other?.close()]);
  });

  /** Has `at` answer codes with `answer`, or with a token of these claims. */
  const expect = (at, { claims, answer }) => {
    asked = [];
    at.redeem = async (form, req, res, json) => {
      asked.push({ form: Object.fromEntries(form), authorization: req.headers.authorization, accept: req.headers.accept });
      if (answer) return answer(res, json);
      json({ access_token: "opaque", token_type: "Bearer", id_token: await at.token(claims) });
    };
  };

  /** Goes to an issuer and comes back with a code: what is sent in the end `bend` changes. */
  async function come({ at = issuer, clientId = "a b", claims = {}, answer, bend = (body) => body, browser = new Browser(authority), link, begun } = {}) {
    const verifier = randomBytes(32).toString("base64url");
    const wish = { issuer: at.url, client_id: clientId, code_challenge: sha256(verifier) };
    const options = begun ?? done(await (link ?? browser).post(link ? "/connections/options" : "/auth/oidc/options", wish));
    expect(at, { answer, claims: { sub: "ana", aud: clientId, nonce: options.nonce, ...claims } });
    const identity = { issuer: at.url, client_id: clientId, code: "c0de&", code_verifier: verifier };
    const body = link ? { proof: { type: "oidc", ...identity }, challenge: options.challenge } : { ...identity, challenge: options.challenge };
    const sent = await (link ?? browser).post(link ? "/connections" : "/auth/oidc/login", bend(body));
    return { answer: sent, options, body, browser, verifier };
  }

  /** A token that is made for a challenge, as the issuer that is asked gives it. */
  const made = (challenge, more = {}) => ({ sub: "ana", aud: "a b", nonce: sha256(Buffer.from(challenge, "base64url")), ...more });
  const callback = (at, client) => issuers.find(({ issuer, clientId }) => issuer === at.url && clientId === client).redirectUri;

  test("begins where a row says, and nowhere else", async () => {
    assert.deepEqual(issuers.map(({ redirectUri, ...rest }) => rest), [
      { issuer: issuer.url, clientId: "a b", label: "Acme" },
      { issuer: issuer.url, clientId: "public", label: "Acme, without a secret" },
      { issuer: other.url, clientId: "a b", label: "Acme" },
    ]);
    assert.equal(new Set(issuers.map(({ redirectUri }) => redirectUri)).size, 3, "each comes back to a page of its own");
    for (const { redirectUri } of issuers) assert.match(redirectUri, new RegExp(`^${authority.url}/auth/oidc/callback/[0-9a-f]{32}$`));
    // Administrators find what to register there beside the row.
    const { items } = done(await ana.call("GET", "/policy/issuers"));
    const [first, second, third] = issuers.map(({ redirectUri }) => redirectUri);
    assert.deepEqual(items.map(({ redirectUri }) => redirectUri), [undefined, first, first, second, third]);
    const guest = new Browser(authority);
    const wish = { issuer: issuer.url, client_id: "a b", code_challenge: sha256("v") };
    const options = done(await guest.post("/auth/oidc/options", wish));
    const url = new URL(options.authorization_url);
    assert.equal(url.origin + url.pathname, `${issuer.url}/authorize`);
    assert.deepEqual(Object.fromEntries(url.searchParams), {
      response_type: "code",
      client_id: "a b",
      redirect_uri: callback(issuer, "a b"),
      scope: "openid groups",
      nonce: sha256(Buffer.from(options.challenge, "base64url")),
      code_challenge: sha256("v"),
      code_challenge_method: "S256",
    });
    assert.ok(!options.authorization_url.includes(options.challenge), "the challenge stays here");
    assert.equal(options.iss_expected, false);
    const asks = issuer.requests.length;
    for (const change of [{ issuer: "http://127.0.0.1:1" }, { issuer: `${issuer.url}/` }, { client_id: "silent" }, { client_id: "nobody" }]) {
      refused(await guest.post("/auth/oidc/options", { ...wish, ...change }), 400, "invalid_member");
    }
    for (const change of [{ code_challenge: undefined }, { code_challenge: "x" }, { code_challenge: 1 }, { issuer: 1 }, { client_id: null }]) {
      refused(await guest.post("/auth/oidc/options", { ...wish, ...change }), 400, "invalid_member");
    }
    refused(await guest.post("/auth/oidc/options", "[]"), 400, "invalid_json");
    assert.equal(issuer.requests.length, asks, "nobody was asked");
    // Whoever has no session links nothing, and has nobody asked.
    refused(await guest.post("/connections/options", wish), 401, "no_session");
    // Clients that ask the issuer themselves are told as much as before.
    assert.deepEqual(Object.keys(done(await guest.post("/auth/oidc/options"))), ["challenge", "nonce", "expires_in"]);
  });

  test("signs in whoever linked it, and is redeemed with the secret, in the header", async () => {
    const { answer, verifier } = await come();
    const { principalId, authMethod } = done(answer);
    assert.equal(principalId, done(await ana.me()).userId);
    assert.equal(authMethod, `oidc:${issuer.url}`);
    assert.ok(answer.set);
    const pair = `a%20b:${encodeURIComponent(SECRET)}`;
    assert.deepEqual(asked, [
      {
        form: { grant_type: "authorization_code", code: "c0de&", redirect_uri: callback(issuer, "a b"), code_verifier: verifier },
        authorization: `Basic ${Buffer.from(pair).toString("base64")}`,
        accept: "application/json",
      },
    ]);
  });

  test("goes without a secret where there is none, and to another issuer goes none", async () => {
    for (const [at, clientId] of [[issuer, "public"], [other, "a b"]]) {
      await come({ at, clientId, claims: { sub: "nobody" } });
      assert.equal(asked.length, 1);
      assert.equal(asked[0].authorization, undefined);
      assert.equal(asked[0].form.client_id, clientId);
      assert.equal(asked[0].form.client_secret, undefined);
    }
  });

  test("takes the secret in the body where the issuer wants it there", async () => {
    const posting = await startOidc();
    posting.discovery = { token_endpoint_auth_methods_supported: ["client_secret_post", "private_key_jwt"] };
    const row = { for: "people", issuer: posting.url, audience: "us", scopes: ["bridgeCert"], rules: [{}], sign_in: { label: "P" } };
    const secrets = [{ issuer: posting.url, client_id: "us", client_secret: SECRET }];
    const own = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify([row]), OIDC_CLIENT_SECRETS: JSON.stringify(secrets) } });
    try {
      const { answer } = await come({ at: posting, clientId: "us", browser: new Browser(own), claims: { sub: "x" } });
      refused(answer, 403, "unknown_identity");
      assert.equal(asked[0].authorization, undefined);
      assert.deepEqual([asked[0].form.client_id, asked[0].form.client_secret], ["us", SECRET]);
    } finally {
      await own.stop();
      await posting.close();
    }
  });

  test("is worth nothing without its own verifier, challenge and row", async () => {
    for (const change of [{ code_verifier: undefined }, { code_verifier: "short" }, { code_verifier: `${"a".repeat(42)}&` }, { code: 1 }, { issuer: undefined }, { client_id: undefined }]) {
      refused((await come({ bend: (body) => ({ ...body, ...change }) })).answer, 400, "invalid_member");
      assert.deepEqual(asked, [], "nobody was asked");
    }
    for (const change of [{ client_id: "silent" }, { issuer: "http://127.0.0.1:1" }, { issuer: other.url, client_id: "public" }]) {
      refused((await come({ bend: (body) => ({ ...body, ...change }) })).answer, 400, "invalid_member");
      assert.deepEqual(asked, [], "nobody was asked");
    }
    refused((await come({ bend: ({ challenge, ...body }) => body })).answer, 400, "challenge_required");
    // Nobody is asked for who made a challenge up, or has one for something else.
    const { challenge: another } = done(await new Browser(authority).post("/cert/challenge"));
    for (const challenge of [randomBytes(32).toString("base64url"), another]) {
      refused((await come({ bend: (body) => ({ ...body, challenge }) })).answer, 400, "bad_challenge");
      assert.deepEqual(asked, []);
    }
    const { body } = await come({ bend: () => ({}) });
    const { challenge, ...identity } = body;
    asked = [];
    refused(await new Browser(authority).post("/join", { token: "nobody's", proof: { type: "oidc", ...identity }, challenge }), 403, "bad_invite");
    assert.deepEqual(asked, [], "nor for who has no invite");
    refused((await come({ bend: ({ code, ...body }) => body })).answer, 400, "missing_proof_token");
    const mine = await come();
    done(mine.answer);
    refused(await new Browser(authority).post("/auth/oidc/login", mine.body), 400, "bad_challenge");
  });

  test("whose token wasn't made for this request, this client or this issuer is worth nothing, and the challenge is gone", async () => {
    const stranger = done(await new Browser(authority).post("/auth/oidc/options"));
    for (const [claims, status, code] of [
      [{ nonce: stranger.nonce }, 401, "invalid_claims"],
      [{ nonce: undefined }, 401, "invalid_claims"],
      [{ aud: "somebody else" }, 401, "wrong_audience"],
      [{ iss: "https://evil.example" }, 401, "wrong_issuer"],
      [{ aud: "public" }, 401, "wrong_audience"],
      [{ aud: ["evil", "a b"], azp: "evil" }, 401, "invalid_claims"],
      [{ team: "blue" }, 403, "claims_not_permitted"],
      [{ exp: 1 }, 401, "token_expired"],
    ]) {
      const { answer, body } = await come({ claims });
      refused(answer, status, code);
      expect(issuer, { claims: made(body.challenge) });
      refused(await new Browser(authority).post("/auth/oidc/login", body), 400, "bad_challenge");
    }
    // A token that another client got is no better without its code.
    const { challenge, nonce } = done(await new Browser(authority).post("/auth/oidc/options"));
    const theirs = await issuer.token({ sub: "ana", nonce, aud: ["evil", "a b"], azp: "evil" });
    refused(await new Browser(authority).post("/auth/oidc/login", { token: theirs, challenge }), 401, "invalid_claims");
    // Another issuer's token, through this one's endpoint, which is made for this request.
    for (const link of [undefined, ana]) {
      if (link) await ana.stepUp(anasKey);
      const { options, body } = await come({ link, bend: () => ({}) });
      expect(issuer, { answer: async (res, json) => json({ id_token: await other.token(made(options.challenge, { sub: "mallory" })) }) });
      refused(await (link ?? new Browser(authority)).post(link ? "/connections" : "/auth/oidc/login", body), 401, "wrong_issuer");
    }
    assert.ok(done(await ana.call("GET", "/connections")).connections.every(({ subject }) => subject !== "mallory"));
  });

  test("is redeemed once, whatever happens to its row meanwhile", { skip: noSqlite }, async () => {
    await ana.stepUp(anasKey);
    const row = (name) => ({ name, for: "people", issuer: issuer.url, audience: "made", scopes: ["bridgeCert"], rules: [{}], sign_in: { label: "M" } });
    const { id, revision } = done(await ana.post("/policy/issuers", { row: row("one") }));
    const { body, options } = await come({ clientId: "made", bend: () => ({}) });
    let isChanged = false;
    expect(issuer, {
      answer: async (res, json) => {
        if (!isChanged) done(await ana.call("PUT", `/policy/issuers/${id}`, { row: row("two"), revision }));
        isChanged = true;
        json({ id_token: await issuer.token(made(options.challenge, { aud: "made" })) });
      },
    });
    const answer = await new Browser(authority).post("/auth/oidc/login", body);
    assert.equal(done(answer).principalId, done(await ana.me()).userId);
    assert.equal(asked.length, 1);
    done(await ana.call("DELETE", `/policy/issuers/${id}`));
  });

  test("that the issuer doesn't take is refused, and nothing of ours is used up", async () => {
    for (const [status, error] of [[400, "invalid_grant"], [401, "invalid_grant"]]) {
      const { answer, body } = await come({ answer: (res, json) => json({ error, error_description: "<b>secret</b>" }, status) });
      refused(answer, 401, "code_refused");
      assert.ok(!answer.text.includes("<b>"));
      expect(issuer, { claims: made(body.challenge) });
      done(await new Browser(authority).post("/auth/oidc/login", body));
    }
  });

  test("costs nothing while the issuer can't be asked, and its operator is told why", async () => {
    const answers = {
      "its fault": (res, json) => json({ error: "server_error" }, 500),
      "our address is wrong": (res, json) => json({ error: "redirect_uri_mismatch" }, 400),
      "our question is wrong": (res, json) => json({ error: "invalid_request" }, 400),
      "our secret is wrong": (res, json) => json({ error: "invalid_client" }, 401),
      "no token": (res, json) => json({ access_token: "a" }),
      "no JWT": (res, json) => json({ id_token: "t" }),
      "our secret, told to us": (res, json) => json({ error: `your secret is ${SECRET}, your code c0de&` }, 400),
      "no JSON": (res) => res.writeHead(200).end("<html>"),
      "a redirect": (res) => res.writeHead(307, { location: `${other.url}/token` }).end(),
      "no end": (res) => res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ id_token: "x".repeat(300_000) })),
      "no answer": (res) => res.destroy(),
      silence: () => {},
    };
    const before = other.requests.length;
    for (const [what, answer] of Object.entries(answers)) {
      const { answer: told, body } = await come({ answer });
      assert.equal(told.status, 503, `${what}: ${told.text}`);
      assert.ok(["code_unredeemed", "api_unavailable"].includes(told.json.code), told.text);
      assert.ok(Number(told.headers.get("retry-after")) > 0, what);
      expect(issuer, { claims: made(body.challenge) });
      done(await new Browser(authority).post("/auth/oidc/login", body));
    }
    assert.equal(other.requests.length, before, "no redirect was followed");
    for (const why of [/with 401: invalid_client/, /with 400: redirect_uri_mismatch/, /with 400: invalid_request/]) assert.match(authority.logs(), why);
  });

  test("signs in nobody who is unknown, no workload, and nobody twice", async () => {
    refused((await come({ claims: { sub: "stranger" } })).answer, 403, "unknown_identity");
    const { options } = await come({ claims: { sub: "nobody" } });
    const again = await come({ begun: options });
    refused(again.answer, 400, "bad_challenge");
    const body = (await come({ bend: () => ({}) })).body;
    let isUsed = false;
    expect(issuer, {
      answer: async (res, json) => {
        const wasUsed = isUsed;
        isUsed = true;
        // Each sends its form, whoever sends the same: nobody gets what another's brought.
        if (!wasUsed) await until(() => asked.length > 1, "another form");
        return wasUsed ? json({ error: "invalid_grant" }, 400) : json({ id_token: await issuer.token(made(body.challenge)) });
      },
    });
    const answers = await Promise.all(Array.from({ length: 10 }, () => new Browser(authority).post("/auth/oidc/login", body)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) assert.ok(["bad_challenge", "code_refused", "api_unavailable"].includes(answer.json.code), answer.text);
  });

  test("at a slow issuer keeps nobody from another, nor one source another", { timeout: 60_000 }, async () => {
    const slow = await startOidc();
    const row = (one) => ({ for: "people", issuer: one.url, audience: "us", scopes: ["bridgeCert"], rules: [{}], sign_in: { label: "S" } });
    const own = await startAuthority({ allowLoopback: true, vars: { TRUSTED_ISSUERS: JSON.stringify([slow, other].map(row)), NOTME_SOURCE_HEADER: "x-source", NOTME_RATE_LIMITS: "off" } });
    try {
      const from = (source) => ({ "x-source": source });
      const prepare = async (at, source) => {
        const browser = new Browser(own);
        const verifier = randomBytes(32).toString("base64url");
        const { challenge } = done(await browser.post("/auth/oidc/options", { issuer: at.url, client_id: "us", code_challenge: sha256(verifier) }, from(source)));
        const body = { issuer: at.url, client_id: "us", code: "c", code_verifier: verifier, challenge };
        return () => browser.post("/auth/oidc/login", body, from(source));
      };
      let reached = 0;
      const waiting = [];
      slow.redeem = (form, req, res) => {
        reached += 1;
        waiting.push(res);
      };
      expect(other, { claims: {} });
      const mine = await Promise.all(Array.from({ length: 60 }, () => prepare(slow, "192.0.2.1")));
      const [theirs, elsewhere] = [await prepare(slow, "192.0.2.2"), await prepare(other, "192.0.2.1")];
      // Two of each of sixteen objects, and whatever else is sent is told to wait.
      let refusals = 0;
      const all = mine.map(async (send) => {
        const answer = await send();
        refusals += answer.status === 429 ? 1 : 0;
        return answer;
      });
      await until(() => reached + refusals === 60, "all of them");
      assert.ok(reached <= 32, String(reached));
      const before = reached;
      const another = theirs();
      assert.equal((await elsewhere()).status, 401, "another issuer was asked, for the same source");
      await until(() => reached === before + 1, "another source's");
      for (const res of waiting.splice(0)) res.writeHead(400, { "content-type": "application/json" }).end('{"error":"invalid_grant"}');
      const codes = (await Promise.all(all)).map(({ json }) => json.code);
      assert.deepEqual(codes.sort(), [...Array(before).fill("code_refused"), ...Array(60 - before).fill("too_many_requests")]);
      assert.equal((await another).json.code, "code_refused", "another source's was asked");
    } finally {
      await own.stop();
      await slow.close();
    }
  });

  test("links, and lets join; an identity stays whose it is", async () => {
    await ana.stepUp(anasKey);
    const { token } = done(await ana.post("/invites", {}));
    const guest = new Browser(authority);
    const joined = async (sub, more = {}) => {
      const { body } = await come({ browser: guest, bend: () => ({}) });
      const { challenge, ...identity } = body;
      expect(issuer, { claims: made(challenge, { sub }) });
      return guest.post("/join", { token, proof: { type: "oidc", displayName: "Ben", ...identity, ...more }, challenge });
    };
    refused(await joined("ana"), 409, "identity_taken");
    refused(await joined("ben", { code_verifier: "x" }), 400, "invalid_member");
    const { principalId } = done(await joined("ben"));
    assert.equal(done((await come({ claims: { sub: "ben" } })).answer).principalId, principalId);
    refused((await come({ claims: { sub: "ben" }, link: ana })).answer, 409, "identity_taken");
    refused(await joined("carl"), 403, "bad_invite");
  });

  test("and what belongs to it stand in no log", async () => {
    const { body } = await come();
    for (const secret of [SECRET, "c0de&", "c0de%26", body.code_verifier, body.challenge, "Basic "]) assert.ok(!authority.logs().includes(secret), secret);
  });

  test("waits for an issuer that comes late, and for one that has no endpoints for people", { timeout: 60_000 }, async () => {
    const lonely = await startOidc();
    lonely.discovery = { authorization_endpoint: undefined };
    const evil = await startOidc();
    evil.discovery = { authorization_endpoint: "javascript:alert(1)" };
    const row = (one) => ({ for: "people", issuer: one.url, audience: "us", scopes: ["bridgeCert"], rules: [{}], sign_in: { label: "L" } });
    const own = await startAuthority({ allowLoopback: true, vars: { TRUSTED_ISSUERS: JSON.stringify([lonely, evil].map(row)) } });
    try {
      for (const one of [lonely, evil]) {
        const wish = { issuer: one.url, client_id: "us", code_challenge: sha256("v") };
        refused(await new Browser(own).post("/auth/oidc/options", wish), 503, "issuer_unavailable");
        // However many ask, it is asked once.
        await Promise.all(Array.from({ length: 10 }, () => new Browser(own).post("/auth/oidc/options", wish)));
        assert.equal(one.requests.filter((url) => url.includes("openid-configuration")).length, 1);
      }
      assert.match(own.logs(), /has no endpoints at which people could sign in/);
    } finally {
      await own.stop();
      await Promise.all([lonely.close(), evil.close()]);
    }
  });
});

describe("people in front of an issuer that isn't ours", { skip: !executablePath && "chromium is not installed" }, () => {
  let authority;
  let chromium;
  let server;
  let evil;
  let acme;
  let people;
  let ana;
  /** What becomes of the address that the issuer sends people back to. */
  let bend = (address) => address;

  before(async () => {
    const { privateKey } = await generateKeyPair("RS256", { extractable: true });
    let callback;
    server = createServer((req, res) => {
      const set = res.setHeader.bind(res);
      res.setHeader = (name, value) => set(name, /^location$/i.test(name) && value.includes("/auth/oidc/callback/") ? bend(value) : value);
      return callback(req, res);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    // Another site than the authority's, as it is in the world.
    const url = `http://127.0.0.1:${server.address().port}`;
    evil = await startOidc();
    const row = { for: "people", issuer: url, audience: "notme", scopes: ["bridgeCert"], rules: [{ sub: ["ana", "ben", "carl", "<b>dan</b>"] }], sign_in: { label: "Acme" } };
    const evils = { for: "people", issuer: evil.url, audience: "us", scopes: ["bridgeCert"], rules: [{}], sign_in: { label: "Evil" } };
    const secrets = [{ issuer: url, client_id: "notme", client_secret: SECRET }];
    authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify([row, evils]), OIDC_CLIENT_SECRETS: JSON.stringify(secrets) } });
    const { issuers } = await (await fetch(`${authority.url}/auth/oidc/issuers`)).json();
    [acme] = issuers;
    const provider = new Provider(url, {
      jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: "RS256", kid: "first", use: "sig" }] },
      clients: [{ client_id: "notme", client_secret: SECRET, grant_types: ["authorization_code"], redirect_uris: [acme.redirectUri], response_types: ["code"] }],
      pkce: { required: () => true },
    });
    callback = provider.callback();
    chromium = await openBrowser();
    people = [];
    ana = await meet();
    await ana.becomeFirst(CODE, "Ana");
  });
  after(async () => {
    await chromium?.close();
    await authority?.stop();
    server?.closeAllConnections();
    server?.close();
    await evil?.close();
  });
  // The issuer's own pages have styles that its own policy stops.
  afterEach(() => assert.deepEqual(people.flatMap(({ complaints }) => complaints.splice(0)).filter((text) => !/favicon/.test(text)), []));

  async function meet() {
    const person = await Person.meet(chromium, authority);
    person.page.setDefaultTimeout(15_000);
    people.push(person);
    return person;
  }

  /** Signs in at the issuer's own page, and lets us know. */
  async function comply({ page }, name) {
    await page.locator("input[name=login]").fill(name);
    await page.locator("input[name=password]").fill("x");
    await page.locator("button[type=submit]").click();
    await page.getByRole("button", { name: "Continue" }).click();
  }

  const linked = ({ page }) => page.getByRole("region", { name: "Other ways in" });
  const storage = ({ page }) => page.evaluate(() => JSON.stringify({ ...sessionStorage }));

  test("link who they are there, and sign in by it", async () => {
    await ana.says("Nothing but passkeys lets you in.");
    await ana.button("Link Acme").click();
    await comply(ana, "ana");
    await ana.at("/me");
    await linked(ana).getByText("ana", { exact: true }).waitFor();
    assert.equal(await storage(ana), "{}");
    const again = await meet();
    await again.go("/login?return_to=%2Fme%23sessions");
    await again.says("Or with what you have elsewhere");
    await again.button("Sign in with Acme").click();
    await comply(again, "ana");
    await again.at("/me#sessions");
    await again.page.getByRole("heading", { name: "Ana", exact: true }).waitFor();
    await again.says("You were granted more since you last showed a passkey.").catch(() => again.says("May, with a passkey"));
    assert.equal(await storage(again), "{}");
    // Back leads to no page that would do it again.
    await again.page.goBack();
    assert.ok(!again.page.url().includes("code="), again.page.url());
  });

  test("come back with a no, and are told", async () => {
    const ben = await meet();
    await ben.go("/login");
    await ben.button("Sign in with Acme").click();
    await ben.page.locator("input[name=login]").waitFor();
    await ben.page.getByRole("link", { name: /Cancel/ }).click();
    await ben.says("Acme doesn't say who you are: access_denied.");
    assert.equal(new URL(ben.page.url()).search, "", "nothing stays in the address");
    assert.equal(await storage(ben), "{}");
    await ben.page.getByRole("link", { name: "Back to signing in" }).click();
    await ben.at("/login");
  });

  test("are told if they are nobody here", async () => {
    const eve = await meet();
    await eve.go("/login");
    await eve.button("Sign in with Acme").click();
    await comply(eve, "carl");
    await eve.page.getByRole("alert").getByText(/invite/i).waitFor();
    await eve.page.getByRole("heading", { name: "That led nowhere" }).waitFor();
  });

  test("who open the page by themselves, or somebody else's answer, finish nothing", async () => {
    const eve = await meet();
    const sent = [];
    eve.page.on("request", (request) => request.method() === "POST" && sent.push(request.url()));
    for (const query of ["", "?code=c&state=s", "?error=access_denied&state=s"]) {
      await eve.page.goto(acme.redirectUri + query);
      await eve.says("There is nothing to finish.");
      assert.equal(new URL(eve.page.url()).search, "");
    }
    // An answer to something else than what was asked, and one of another issuer.
    for (const change of [(query) => query.set("state", "s"), (query) => query.delete("state"), (query) => query.set("iss", "https://evil.example"), (query) => query.delete("iss")]) {
      bend = (address) => {
        const url = new URL(address);
        change(url.searchParams);
        return url.href;
      };
      await eve.context.clearCookies({ domain: "127.0.0.1" });
      await eve.go("/login");
      await eve.button("Sign in with Acme").click();
      await comply(eve, "ana");
      await eve.says("There is nothing to finish.");
      assert.equal(await storage(eve), "{}", "nor later");
    }
    bend = (address) => address;
    assert.deepEqual(sent.filter((url) => url.endsWith("/auth/oidc/login")), []);
    await eve.go("/me");
    await eve.page.waitForURL(/\/login/);
  });

  test("give one issuer no code of another's, whomever it sends them to", async () => {
    // Its authorization endpoint begins a sign-in at Acme for itself, and sends people there with the state of its own.
    const codes = [];
    evil.redeem = (form, req, res, json) => {
      codes.push(Object.fromEntries(form));
      json({ error: "server_error" }, 500);
    };
    evil.authorize = async (query, res) => {
      const wish = { issuer: acme.issuer, client_id: acme.clientId, code_challenge: sha256("the thief's") };
      const { authorization_url } = done(await new Browser(authority).post("/auth/oidc/options", wish));
      res.writeHead(302, { location: `${authorization_url}&state=${query.get("state")}` }).end();
    };
    bend = (address) => address.replace(/&iss=[^&]*/, "");
    const ben = await meet();
    await ben.go("/login");
    await ben.button("Sign in with Evil").click();
    await comply(ben, "ana");
    await ben.says("There is nothing to finish.");
    assert.deepEqual(codes, []);
    bend = (address) => address;
  });

  test("are told if their browser keeps no session", async () => {
    const ben = await meet();
    await ben.context.addCookies([{ name: "notme_session", value: "x", domain: "localhost", path: "/me" }]);
    await ben.go("/login");
    await ben.button("Sign in with Acme").click();
    await comply(ben, "ana");
    await ben.says("your browser doesn't keep the session");
  });

  test("join by it, and need no passkey", async () => {
    await ana.go("/console#invites");
    await ana.button("Make the invite").click();
    await ana.says("Here it is.");
    const link = await ana.page.locator(".once pre").textContent();
    const ben = await meet();
    await ben.removeDevice();
    await ben.page.goto(link);
    await ben.says("invites you to this authority");
    await ben.button("Join with Acme").click();
    assert.ok(await ben.page.getByLabel("Your name").evaluate((input) => input === document.activeElement), "a name is needed");
    await ben.page.getByLabel("Your name").fill("Ben");
    await ben.button("Join with Acme").click();
    await comply(ben, "ben");
    await ben.at("/me");
    await ben.page.getByRole("heading", { name: "Ben", exact: true }).waitFor();
    await linked(ben).getByText("ben", { exact: true }).waitFor();
    assert.equal(await ben.button("Link Acme").count(), 0, "linking takes a passkey");
    const carl = await meet();
    await carl.page.goto(link);
    await carl.says("This invite can't be used.");
  });

  test("keep an invite that they couldn't use", async () => {
    await ana.go("/console#invites");
    await ana.page.reload();
    await ana.button("Make the invite").click();
    await ana.says("Here it is.");
    const link = await ana.page.locator(".once pre").textContent();
    const dan = await meet();
    await dan.page.goto(link);
    await dan.page.getByLabel("Your name").fill("Dan");
    await dan.button("Join with Acme").click();
    await comply(dan, "eve");
    await dan.says("The invite is as good as before: open its link again.");
    await dan.page.goto("about:blank");
    await dan.page.goto(link);
    await dan.says("invites you to this authority");
  });

  test("show a passkey first when it is a while ago", { skip: noSqlite }, async () => {
    await meanwhile(authority, longAgo(301));
    await ana.go("/me");
    await ana.page.reload();
    await ana.says("too long ago for what is dangerous");
    await ana.context.clearCookies({ domain: "127.0.0.1" });
    await ana.button("Link Acme").click();
    await comply(ana, "<b>dan</b>");
    await ana.at("/me");
    await linked(ana).getByText("<b>dan</b>", { exact: true }).waitFor();
  });

  test("have a button where passkeys can't be used", async () => {
    const ben = await meet();
    await ben.page.addInitScript("delete window.PublicKeyCredential");
    await ben.go("/login");
    await ben.says("This browser can't use passkeys.");
    await ben.button("Sign in with Acme").click();
    await comply(ben, "ben");
    await ben.at("/me");
    await ben.page.getByRole("heading", { name: "Ben", exact: true }).waitFor();
  });
});
