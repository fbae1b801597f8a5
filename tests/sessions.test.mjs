// Sessions: how long they last, who can't use them, and that none can be planted in a browser.
import assert from "node:assert/strict";
import { X509Certificate, randomBytes, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { startOidc } from "./support/oidc.mjs";
import { databaseOf, everything, meanwhile, noSqlite, query } from "./support/state.mjs";

const start = (vars = {}) => startAuthority({ vars: { BOOTSTRAP_CODE: CODE, ...vars } });
const elsewhere = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
  assert.ok(!answer.set, "no cookie");
}

/** Somebody with a browser, a passkey and an id. */
async function person(authority, wanted) {
  const browser = new Browser(authority);
  const passkey = new Passkey(ES256);
  const registered = await browser.register(passkey, { wanted });
  assert.equal(registered.status, 200, registered.text);
  const { json: me } = await browser.me();
  return { browser, passkey, id: me.userId, session: me.session };
}

const first = (authority) => person(authority, { bootstrapCode: CODE, displayName: "Ana" });

async function invited({ browser }, body = {}) {
  const made = await browser.post("/invites", body);
  assert.equal(made.status, 200, made.text);
  return made.json;
}

const guest = async (authority, host, displayName, body) => person(authority, { invite: (await invited(host, body)).token, displayName });

/** What keys sign to show that somebody holds them. */
function pair(keys = new Keys()) {
  const spki = (key) => key.export({ type: "spki", format: "der" });
  const message = Buffer.concat([spki(keys.mtls.publicKey), spki(keys.signing.publicKey)]);
  const proofs = {
    mtls: sign("sha256", message, { key: keys.mtls.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url"),
    signing: sign(null, message, keys.signing.privateKey).toString("base64url"),
  };
  return { proof: { type: "session" }, public_keys: keys.publicKeys, proofs };
}

describe("of sessions", () => {
  test("there are a hundred that began with one passkey, and the one that was unused for longest makes room", async () => {
    const authority = await start({ NOTME_RATE_LIMITS: "off" });
    try {
      const ana = await first(authority);
      const further = new Passkey(ES256);
      assert.equal((await ana.browser.register(further, { wanted: { further: true } })).status, 200);
      const by = async (passkey) => {
        const browser = new Browser(authority);
        assert.equal((await browser.signIn(passkey)).status, 200);
        return browser;
      };
      const others = await by(further);
      const all = [];
      for (let i = 0; i < 102; i++) all.push(await by(ana.passkey));
      const pages = [];
      let path = "/me/sessions";
      do {
        const { json } = await all[101].call("GET", path);
        pages.push(json.items);
        path = json.next && `/me/sessions?cursor=${json.next}`;
      } while (path);
      assert.deepEqual(pages.map(({ length }) => length), [50, 50, 1]);
      const items = pages.flat();
      assert.equal(new Set(items.map(({ id }) => id)).size, 101);
      assert.equal(items.filter(({ current }) => current).length, 1);
      for (const browser of [others, all[100], all[101]]) assert.equal((await browser.me()).status, 200);
      // The first registration's session and two of these had to go; which, is by the second.
      const ended = await Promise.all([ana.browser, ...all].map(async (browser) => (await browser.me()).status));
      assert.equal(ended.filter((status) => status === 401).length, 3);
    } finally {
      await authority.stop();
    }
  });

  test("that began with one identity those stay in which a passkey was shown, and the trail has which made room for which", async () => {
    const login = await startOidc({ algorithms: ["RS256"] });
    const row = { for: "people", issuer: login.url, audience: "https://id.example", scopes: ["bridgeCert"], rules: [{}] };
    const authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, NOTME_RATE_LIMITS: "off", TRUSTED_ISSUERS: JSON.stringify([row]) } });
    try {
      const ana = await first(authority);
      const shown = async (browser, path) => {
        const { challenge, nonce } = (await browser.post(path)).json;
        return [await login.token({ sub: "ana", nonce }), challenge];
      };
      const [token, challenge] = await shown(ana.browser, "/connections/options");
      const linked = await ana.browser.post("/connections", { proof: { type: "oidc", token }, challenge });
      assert.equal(linked.status, 200, linked.text);
      const comeIn = async () => {
        const browser = new Browser(authority);
        const [token, challenge] = await shown(browser, "/auth/oidc/options");
        const begun = await browser.post("/auth/oidc/login", { token, challenge });
        assert.equal(begun.status, 200, begun.text);
        return { browser, session: (await browser.me()).json.session };
      };
      const [proven, left] = [await comeIn(), await comeIn()];
      assert.equal((await proven.browser.stepUp(ana.passkey)).status, 200);
      // The others are seen later: these two are the oldest.
      await sleep(1100);
      const others = [];
      for (let i = 0; i < 102; i++) others.push(await comeIn());
      assert.equal((await proven.browser.me()).json.session, proven.session);
      assert.equal((await ana.browser.me()).status, 200, "that began with something else");
      const all = [left, ...others];
      const ended = [];
      for (const { browser, session } of all) if ((await browser.me()).status === 401) ended.push(session);
      assert.equal(ended.length, 4);
      assert.ok(ended.includes(left.session));
      const { items } = (await ana.browser.call("GET", "/admin/audit?action=session.crowded_out")).json;
      const told = items.reverse().map(({ details }) => JSON.parse(details));
      assert.deepEqual(told.map((line) => line.for), others.slice(-4).map(({ session }) => session));
      assert.deepEqual(told.map((line) => line.session).sort(), ended.sort());
      assert.equal(told[0].session, left.session);
      for (const { actor, target } of items) assert.deepEqual([actor, target], [undefined, ana.id], "nobody did it");
    } finally {
      await authority.stop();
      await login.close();
    }
  });
});

describe("a session", { skip: elsewhere }, () => {
  const DAY = 86_400;
  const IDLE = 8 * 3600;
  let authority;
  let ana;
  before(async () => {
    authority = await start();
    ana = await first(authority);
  });
  after(() => authority?.stop());

  const row = ({ session }) => query(databaseOf(authority.stateDir), `SELECT created_at, seen_at FROM sessions WHERE id = '${session}'`)[0];
  const age = ({ session }, column, seconds) => meanwhile(authority, `UPDATE sessions SET ${column} = ${column} - ${seconds} WHERE id = '${session}';`);
  const entered = async () => {
    const browser = new Browser(authority);
    assert.equal((await browser.signIn(ana.passkey)).status, 200);
    return { browser, session: (await browser.me()).json.session };
  };

  /**
   * Makes a session end in some seconds; gives the time. What is over is swept away at the first request and
   * then once in a minute, so that what is refused in between is refused for its age.
   */
  async function nearEnd(one, column, limit) {
    const end = Math.floor(Date.now() / 1000) + 4;
    await meanwhile(authority, `UPDATE sessions SET ${column} = ${end - limit} WHERE id = '${one.session}';`);
    assert.equal((await new Browser(authority).call("GET", "/auth/state")).status, 200);
    return end * 1000;
  }

  for (const [what, column, limit] of [["24 hours", "created_at", DAY], ["8 hours without use", "seen_at", IDLE]]) {
    test(`ends after ${what}, wherever it is shown`, async () => {
      const one = await entered();
      await age(one, column, limit - 60);
      assert.equal((await one.browser.me()).status, 200, "a minute is left");
      const other = await entered();
      const end = await nearEnd(one, column, limit);
      await sleep(Math.max(0, end - Date.now()));
      refused(await one.browser.me(), 401, "no_session");
      refused(await one.browser.post("/cert", pair()), 401, "invalid_session");
      refused(await one.browser.post("/cert/challenge"), 401, "invalid_session");
      refused(await one.browser.call("GET", "/admin/audit"), 401, "no_session");
      refused(await one.browser.post("/invites"), 401, "no_session");
      refused(await one.browser.call("DELETE", `/me/sessions/${other.session}`), 401, "no_session");
      refused(await one.browser.post("/auth/passkey/step-up/options"), 401, "no_session");
      assert.equal((await one.browser.post("/auth/passkey/register/options")).status, 401);
      assert.ok(row(one), "its row is there: it was refused for its age, and not swept away");
      assert.equal((await other.browser.me()).status, 200, "and no other one ends");
    });
  }

  test("ends after 24 hours although it is used, and showing a passkey again makes it no longer", async () => {
    const one = await entered();
    const end = await nearEnd(one, "created_at", DAY);
    const stepped = await one.browser.stepUp(ana.passkey);
    assert.equal(stepped.status, 200, stepped.text);
    const [, lifetime] = /Max-Age=(\d+)$/.exec(stepped.set);
    assert.ok(Number(lifetime) <= 4, "nor does the cookie last longer");
    await sleep(Math.max(0, end - Date.now()));
    refused(await one.browser.me(), 401, "no_session");
    assert.ok(row(one), "and not because it was swept away");
  });

  test("that is used goes on: its last use is noted, once a minute", async () => {
    const one = await entered();
    await age(one, "seen_at", 61);
    const [, aged] = row(one);
    assert.equal((await one.browser.me()).status, 200);
    const [, noted] = row(one);
    assert.ok(Math.abs(noted - Date.now() / 1000) < 5, `${noted}, and before ${aged}`);
    await meanwhile(authority, `UPDATE sessions SET seen_at = unixepoch() - 30 WHERE id = '${one.session}';`);
    const [, young] = row(one);
    assert.equal((await one.browser.me()).status, 200);
    assert.equal(row(one)[1], young, "not each use is a write");
  });
});

// The list of routes is the generated docs/routes.md, so that a route can't be left out.
const ROUTES = [...readFileSync(new URL("../docs/routes.md", import.meta.url), "utf8").matchAll(/^\| ([A-Z]+) \| `([^`]+)` \|[^|]*\|[^|]*\| ([^|]+) \|/gm)]
  .map(([, method, path, session]) => ({ method, path, session }))
  .filter(({ session }) => session !== "–");

describe("another site's page, with a good administrator's session", () => {
  let authority;
  let ana;
  let ben;
  let values;
  before(async () => {
    authority = await start();
    ana = await first(authority);
    ben = await guest(authority, ana, "Ben");
    const minted = await ben.browser.post("/cert", pair());
    assert.equal(minted.status, 200, minted.text);
    const { json: passkeys } = await ana.browser.call("GET", "/me/passkeys");
    const { json: theirs } = await ana.browser.call("GET", `/admin/authenticators?principal=${ben.id}`);
    const delegated = await ana.browser.post("/delegations", { delegate: ben.id });
    assert.equal(delegated.status, 200, delegated.text);
    const { x } = new Keys().signing.publicKey.export({ format: "jwk" });
    const row = { type: "custom", issuer: "https://login.example", audience: "here", jwks: { keys: [{ kty: "OKP", crv: "Ed25519", x }] }, scopes: ["bridgeCert"], rules: [{}] };
    const made = await ana.browser.post("/policy/issuers", { row });
    assert.equal(made.status, 200, made.text);
    // What every route would find there.
    values = {
      "/me/passkeys/{id}": passkeys.passkeys[0].id,
      "/me/sessions/{id}": ana.session,
      "/connections/{id}": passkeys.passkeys[0].id,
      "/delegations/{id}": delegated.json.id,
      "/policy/issuers/{id}": made.json.id,
      "/invites/{id}": (await invited(ana)).id,
      "/admin/authenticators/{id}": theirs.items[0].id,
      "/admin/sessions/{id}": ben.session,
      "/admin/credentials/{serial}": new X509Certificate(minted.json.certificates.mtls).serialNumber,
      "/admin/principals/{id}": ben.id,
    };
  });
  after(() => authority?.stop());

  const place = (path) => {
    const prefix = Object.keys(values).find((known) => path.startsWith(known));
    assert.ok(prefix || !path.includes("{"), path);
    return prefix ? path.replace(/\{(id|serial)\}/, values[prefix]).replace("{scope}", "bridgeCert") : path;
  };

  /** A body with which the route would do something. */
  const body = (path) =>
    ({
      "/cert": () => pair(),
      "/cert/passkey": () => new Keys().body(ana.browser.cookie.split("=")[1]),
      "/me/passkeys/{id}": () => ({ name: "Theirs" }),
      "/admin/principals/{id}/grants": () => ({ scope: "certMint" }),
      "/auth/passkey/reset": () => ({ bootstrapCode: "a-guess-of-a-code-1" }),
    })[path]?.() ?? {};

  const state = () => everything(databaseOf(authority.stateDir));

  const foreign = () => ({
    "cross-site": { "sec-fetch-site": "cross-site" },
    "same-site": { "sec-fetch-site": "same-site" },
    "a site of another kind": { "sec-fetch-site": "elsewhere" },
    "a foreign origin": { origin: "https://evil.example" },
    "an origin that begins like ours": { origin: `${authority.url}.evil.example` },
    "our host at another port": { origin: "http://localhost:1" },
    "our host by another scheme": { origin: authority.url.replace("http:", "https:") },
    "no origin in particular": { origin: "null" },
    "an origin of ours on another site": { origin: authority.url, "sec-fetch-site": "cross-site" },
  });

  test("gets nothing and does nothing on any route that has to do with sessions", { skip: elsewhere }, async () => {
    assert.ok(ROUTES.length >= 41, String(ROUTES.length));
    const before = state();
    for (const { method, path } of ROUTES) {
      const target = place(path);
      const sent = method === "POST" ? body(path) : undefined;
      for (const [what, headers] of Object.entries(foreign())) {
        const answer = await ana.browser.call(method, target, sent, headers);
        assert.equal(answer.status, 403, `${method} ${target}, ${what}: ${answer.text}`);
        refused(answer, 403, "cross_site");
      }
      if (method === "GET") {
        const head = await ana.browser.call("HEAD", target, undefined, foreign()["cross-site"]);
        assert.equal(head.status, 403, `HEAD ${target}`);
      }
    }
    assert.equal(state(), before, "nothing was written");
    const { json: me } = await ana.browser.me();
    assert.equal(me.session, ana.session, "the session goes on");
    assert.equal((await ben.browser.me()).status, 200);
  });

  test("may lead to the page of one's own by a link, which says nothing of anybody, and to nothing else", async () => {
    const link = { accept: "text/html,application/xhtml+xml,*/*;q=0.8", "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" };
    for (const { method, path } of ROUTES) {
      const answer = await ana.browser.call(method, place(path), method === "POST" ? body(path) : undefined, link);
      const isPage = method === "GET" && path === "/me";
      assert.equal(answer.status, isPage ? 200 : 403, `${method} ${path}: ${answer.text}`);
      assert.ok(![ana.id, "Ana", ana.session].some((secret) => answer.text.includes(secret)), path);
    }
    // Data isn't a page because it is asked for as both.
    refused(await ana.browser.call("GET", "/me", undefined, { ...link, accept: "text/html, application/json" }), 403, "cross_site");
  });

  test("can't send what a form can send", { skip: elsewhere }, async () => {
    const before = state();
    for (const { path } of ROUTES.filter(({ method }) => method === "POST")) {
      const json = JSON.stringify(body(path));
      for (const type of ["text/plain", "text/plain;application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json-seq", ""]) {
        // Not even from this site's own pages.
        const answer = await ana.browser.call("POST", place(path), json, { "content-type": type });
        if (path === "/token" && type === "application/x-www-form-urlencoded") {
          // Applications send their codes so, and a session is no code.
          refused(answer, 400, "invalid_request");
          continue;
        }
        assert.equal(answer.status, 415, `${path}, ${type}: ${answer.text}`);
        refused(answer, 415, "unsupported_media_type");
      }
    }
    assert.equal(state(), before, "nothing was written");
    assert.equal((await ana.browser.me()).json.session, ana.session, "the session goes on");
  });
});

describe("a cookie that was planted in a browser", { skip: elsewhere }, () => {
  let authority;
  let ana;
  let serial = 0;
  before(async () => {
    authority = await start();
    ana = await first(authority);
  });
  after(() => authority?.stop());

  const fresh = () => `notme_session=${randomBytes(32).toString("base64url")}`;
  const whose = async (cookie) => (await new Browser(authority).me({ cookie })).json.userId;
  const name = () => `Guest ${(serial += 1)}`;

  /** What may lie in a browser before somebody uses it. `owner` is whose it really is. */
  const PLANTED = {
    "nobody's": async () => ({ cookie: fresh() }),
    "somebody else's": async () => {
      const owner = await guest(authority, ana, name());
      return { cookie: owner.browser.cookie, owner };
    },
    "somebody else's, beside nobody's": async () => {
      const owner = await guest(authority, ana, name());
      return { cookie: `${owner.browser.cookie}; ${fresh()}`, owner, isTossed: true };
    },
  };

  /** The new session is somebody's own, and what was planted is worth no more than it was. */
  async function settled(browser, planted, answer, id) {
    assert.equal(answer.status, 200, answer.text);
    assert.match(answer.set, /^notme_session=[\w-]{43}; HttpOnly; Secure; SameSite=Strict; Path=\/; Max-Age=\d+$/);
    const given = answer.set.split(";")[0];
    assert.ok(!planted.cookie.includes(given), "another secret than what was there");
    assert.equal(await whose(given), id);
    for (const cookie of planted.cookie.split("; ")) {
      const is = await whose(cookie);
      // A session that lay there alone was this browser's, and ended with signing in.
      const isKept = planted.isTossed && cookie === planted.owner.browser.cookie;
      assert.equal(is, isKept ? planted.owner.id : undefined);
    }
    if (planted.owner) assert.notEqual(id, planted.owner.id);
    assert.equal(browser.cookie, given);
  }

  /** A begun ceremony: whoever answers it in a browser becomes somebody. */
  const CEREMONIES = {
    "signing in": async () => {
      const known = await guest(authority, ana, name());
      return {
        options: (browser) => browser.post("/auth/passkey/login/options"),
        verify: (browser, { json }) => browser.assert(known.passkey, json),
        id: () => known.id,
      };
    },
    "joining by an invite": async () => {
      const { token } = await invited(ana);
      return {
        options: (browser) => browser.post("/auth/passkey/register/options", { invite: token, displayName: name() }),
        verify: (browser, { json }) => browser.answer(new Passkey(ES256), json),
        id: ({ json }) => json.userId,
      };
    },
    "POST /join": async () => {
      const { token } = await invited(ana);
      return {
        options: (browser) => browser.post("/auth/passkey/register/options", { invite: token, displayName: name() }),
        verify: (browser, { json }) => {
          const passkey = new Passkey(ES256);
          passkey.owner = Buffer.from(json.options.user.id, "base64url");
          const response = JSON.parse(passkey.register(browser.ceremony(json.options.challenge), "none"));
          return browser.post("/join", { token, proof: { type: "passkey", userId: json.userId, response } });
        },
        id: ({ json }) => json.userId,
      };
    },
    recovery: async () => {
      const code = `another-code-of-the-operator-${(serial += 1)}`;
      await authority.restart({ vars: { BOOTSTRAP_CODE: code } });
      return {
        options: (browser) => browser.post("/auth/passkey/reset", { bootstrapCode: code, displayName: name() }),
        verify: (browser, { json }) => browser.answer(new Passkey(ES256), json),
        id: ({ json }) => json.userId,
      };
    },
  };

  for (const [ceremony, prepare] of Object.entries(CEREMONIES)) {
    for (const [what, plant] of Object.entries(PLANTED)) {
      for (const [when, isFirst] of [["before it", true], ["in the middle of it", false]]) {
        test(`${ceremony}: ${what} cookie, planted ${when}, is replaced`, async () => {
          const planted = await plant();
          const { options, verify, id } = await prepare();
          const browser = new Browser(authority);
          if (isFirst) browser.cookie = planted.cookie;
          const begun = await options(browser);
          assert.equal(begun.status, 200, begun.text);
          assert.ok(!begun.set, "a session begins with a passkey, and not before");
          browser.cookie = planted.cookie;
          await settled(browser, planted, await verify(browser, begun), id(begun));
        });
      }
    }
  }

  test("first boot: nobody's cookie is replaced", async () => {
    const young = await start();
    try {
      const browser = new Browser(young);
      const cookie = fresh();
      browser.cookie = cookie;
      const begun = await browser.post("/auth/passkey/register/options", { bootstrapCode: CODE });
      assert.ok(!begun.set);
      const answer = await browser.answer(new Passkey(ES256), begun.json);
      assert.equal(answer.status, 200, answer.text);
      assert.notEqual(browser.cookie, cookie);
      assert.equal((await browser.me()).json.userId, begun.json.userId);
      refused(await new Browser(young).me({ cookie }), 401, "no_session");
    } finally {
      await young.stop();
    }
  });

  test("open registration: it is replaced", async () => {
    const open = await start({ REGISTRATION: "open" });
    try {
      await first(open);
      const owner = await person(open, { displayName: "Owner" });
      const browser = new Browser(open);
      const begun = await browser.post("/auth/passkey/register/options", {});
      browser.cookie = owner.browser.cookie;
      const answer = await browser.answer(new Passkey(ES256), begun.json);
      assert.equal(answer.status, 200, answer.text);
      assert.notEqual(browser.cookie, owner.browser.cookie);
      assert.equal((await browser.me()).json.userId, begun.json.userId);
      refused(await owner.browser.me(), 401, "no_session");
    } finally {
      await open.stop();
    }
  });

  describe("is no way to another's session by showing a passkey again", () => {
    for (const [what, plant] of Object.entries(PLANTED)) {
      test(`${what} cookie`, async () => {
        const victim = await guest(authority, ana, name());
        const planted = await plant();
        // Before it: the passkey isn't the planted session's holder's, or there is no session.
        const browser = new Browser(authority);
        browser.cookie = planted.cookie;
        const begun = await browser.post("/auth/passkey/step-up/options");
        const isSomebodys = planted.owner && !planted.isTossed;
        if (isSomebodys) {
          assert.deepEqual(begun.json.allowCredentials.map(({ id }) => id), [planted.owner.passkey.id.toString("base64url")]);
          refused(await browser.showAgain(victim.passkey, begun.json), 401, "unknown_passkey");
        } else refused(begun, 401, "no_session");
        // In the middle of it: a challenge is one session's.
        const { json: own } = await victim.browser.post("/auth/passkey/step-up/options");
        refused(await browser.showAgain(victim.passkey, own), ...(planted.isTossed ? [401, "no_session"] : [400, "bad_challenge"]));
        // Nobody is anybody else, and each session is as good as it was.
        assert.equal((await victim.browser.me()).json.userId, victim.id);
        assert.equal(await whose(planted.cookie.split("; ")[0]), planted.owner?.id);
      });
    }
  });

  describe("is no way to add a passkey to another principal", () => {
    for (const [what, plant] of Object.entries(PLANTED)) {
      test(`${what} cookie`, async () => {
        const victim = await guest(authority, ana, name());
        const planted = await plant();
        const browser = new Browser(authority);
        browser.cookie = planted.cookie;
        const begun = await browser.post("/auth/passkey/register/options");
        const further = new Passkey(ES256);
        if (planted.owner && !planted.isTossed) {
          // Whoever's cookie it is, theirs is the passkey, as the answer says.
          assert.equal(begun.json.userId, planted.owner.id);
          assert.equal((await browser.answer(further, begun.json)).status, 200);
          assert.equal((await new Browser(authority).signIn(further)).json.userId, planted.owner.id);
          assert.equal(await whose(planted.cookie), undefined, "what was planted has another secret now");
          planted.owner.browser.cookie = browser.cookie;
        } else assert.equal(begun.status, 401, begun.text);
        // In the middle of it, the session that began is another.
        const own = await victim.browser.post("/auth/passkey/register/options");
        assert.equal(own.json.userId, victim.id);
        browser.cookie = planted.owner && !planted.isTossed ? planted.owner.browser.cookie : planted.cookie;
        refused(await browser.answer(new Passkey(ES256), own.json), 401, "no_session");
        const { json } = await victim.browser.call("GET", "/me/passkeys");
        assert.equal(json.passkeys.length, 1);
        assert.equal(await whose(victim.browser.cookie), victim.id);
      });
    }
  });

  test("was the session's own secret: it is worth nothing after each further ceremony", async () => {
    const victim = await guest(authority, ana, name());
    const overheard = victim.browser.cookie;
    assert.equal((await victim.browser.stepUp(victim.passkey)).status, 200);
    assert.equal(await whose(overheard), undefined);
    const again = victim.browser.cookie;
    const begun = await victim.browser.post("/auth/passkey/register/options");
    assert.equal((await victim.browser.answer(new Passkey(ES256), begun.json)).status, 200);
    assert.equal(await whose(again), undefined);
    const last = victim.browser.cookie;
    assert.equal((await victim.browser.signIn(victim.passkey)).status, 200);
    assert.equal(await whose(last), undefined);
    assert.equal(await whose(victim.browser.cookie), victim.id);
  });
});
