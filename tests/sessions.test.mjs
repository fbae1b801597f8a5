// Sessions: how long they last, who can't use them, and that none can be planted in a browser.
import assert from "node:assert/strict";
import { X509Certificate, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { databaseOf, everything, noSqlite, query, sqlite } from "./support/state.mjs";

const start = (vars = {}) => startAuthority({ vars: { BOOTSTRAP_CODE: CODE, ...vars } });
const elsewhere = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
  assert.ok(!answer.set, "no cookie");
}

/** Changes rows while nobody has the database open. */
async function meanwhile(authority, statements) {
  await authority.kill9();
  sqlite(databaseOf(authority.stateDir), statements);
  await authority.restart();
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
    // What every route would find there.
    values = {
      "/me/passkeys/{id}": passkeys.passkeys[0].id,
      "/me/sessions/{id}": ana.session,
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
        assert.equal(answer.status, 415, `${path}, ${type}: ${answer.text}`);
        refused(answer, 415, "unsupported_media_type");
      }
    }
    assert.equal(state(), before, "nothing was written");
    assert.equal((await ana.browser.me()).json.session, ana.session, "the session goes on");
  });
});
