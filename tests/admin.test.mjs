// What administrators see and take back: every route, good and bad, against a real authority.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { X509Certificate, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { databaseOf, longAgo, meanwhile, noSqlite, query } from "./support/state.mjs";

const noKnife = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");
const start = (vars = {}) => startAuthority({ vars: { BOOTSTRAP_CODE: CODE, ...vars } });

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
}

function done(answer) {
  assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(answer.json, { done: true });
}

/** Somebody with a browser, a passkey and an id. */
async function person(authority, wanted) {
  const browser = new Browser(authority);
  const passkey = new Passkey(ES256);
  const registered = await browser.register(passkey, { wanted });
  assert.equal(registered.status, 200, registered.text);
  const { json: me } = await browser.me();
  const get = (path) => browser.call("GET", path);
  const remove = (path) => browser.call("DELETE", path);
  return { browser, passkey, id: me.userId, session: me.session, get, remove, post: browser.post };
}

const first = (authority) => person(authority, { bootstrapCode: CODE, displayName: "Ana" });

/** Somebody whom an administrator invites. */
async function guest(authority, host, displayName, scopes = ["bridgeCert"]) {
  const { status, json, text } = await host.post("/invites", { scopes });
  assert.equal(status, 200, text);
  return person(authority, { invite: json.token, displayName });
}

const ADMIN = ["bridgeCert", "authorityManage", "certMint"];

/** Asks for a pair in a session. */
const mint = (browser, keys = new Keys()) =>
  browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) });

const serials = ({ json }) => ["mtls", "signing"].map((name) => new X509Certificate(json.certificates[name]).serialNumber);

/** All rows of a list, page by page. */
async function all({ get }, path, more = {}) {
  const items = [];
  for (let cursor; ; ) {
    const parameters = new URLSearchParams({ ...more, ...(cursor && { cursor }) });
    const { status, json, text } = await get(`${path}?${parameters}`);
    assert.equal(status, 200, text);
    items.push(...json.items);
    if (!(cursor = json.next)) return items;
  }
}

/** Lines of the trail about something. */
const trail = async (admin, more) => (await all(admin, "/admin/audit", { limit: 1000, ...more })).map(({ details, ...line }) => ({ ...line, details: JSON.parse(details) }));

describe("the routes of administrators", () => {
  let authority;
  let admin;
  let ordinary;
  const unknown = randomUUID();
  const routes = () => [
    ["GET", "/admin/principals"],
    ["GET", `/admin/principals/${admin.id}`],
    ["POST", `/admin/principals/${ordinary.id}/disable`],
    ["POST", `/admin/principals/${ordinary.id}/enable`],
    ["POST", `/admin/principals/${ordinary.id}/grants`, { scope: "certMint" }],
    ["DELETE", `/admin/principals/${ordinary.id}/grants/bridgeCert`],
    ["GET", "/admin/authenticators"],
    ["DELETE", `/admin/authenticators/${unknown}`],
    ["GET", "/admin/grants"],
    ["GET", "/admin/sessions"],
    ["DELETE", `/admin/sessions/${unknown}`],
    ["GET", "/admin/credentials"],
    ["DELETE", "/admin/credentials/ab"],
    ["GET", "/admin/audit"],
    ["GET", "/invites"],
    ["DELETE", `/invites/${unknown}`],
  ];
  before(async () => {
    authority = await start();
    admin = await first(authority);
    ordinary = await guest(authority, admin, "Ben");
  });
  after(() => authority?.stop());

  test("are for administrators alone", async () => {
    for (const [method, path, body] of routes()) {
      refused(await new Browser(authority).call(method, path, body ?? (method === "POST" ? {} : undefined)), 401, "no_session");
      refused(await ordinary.browser.call(method, path, body ?? (method === "POST" ? {} : undefined)), 403, "manage_required");
    }
    refused(await new Browser(authority).call("GET", "/me/credentials"), 401, "no_session");
    assert.equal((await ordinary.get(`/me/credentials`)).status, 200);
    assert.equal((await admin.get(`/admin/principals/${ordinary.id}`)).json.disabledAt, 0, "nothing was done");
  });

  test("are for this site's pages alone, and JSON", async () => {
    for (const [method, path, body] of [...routes(), ["GET", "/me/credentials"]]) {
      for (const headers of [{ "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://evil.example" }]) {
        refused(await admin.browser.call(method, path, body ?? (method === "POST" ? {} : undefined), headers), 403, "cross_site");
      }
      if (method === "POST") refused(await admin.browser.call(method, path, "a=b", { "content-type": "application/x-www-form-urlencoded" }), 415, "unsupported_media_type");
    }
    assert.equal((await admin.get(`/admin/principals/${ordinary.id}`)).json.disabledAt, 0, "nothing was done");
  });

  test("know no others, and no ids that can't be", async () => {
    for (const id of ["x", "%00", "%ff", "'%20OR%201=1--", "..%2fme", unknown.toUpperCase(), unknown, "0".repeat(500)]) {
      for (const [method, path] of [
        ["GET", `/admin/principals/${id}`],
        ["POST", `/admin/principals/${id}/disable`],
        ["POST", `/admin/principals/${id}/enable`],
        ["DELETE", `/admin/principals/${id}/grants/bridgeCert`],
        ["DELETE", `/admin/authenticators/${id}`],
        ["DELETE", `/admin/sessions/${id}`],
        ["DELETE", `/admin/credentials/${id}`],
        ["DELETE", `/invites/${id}`],
      ]) {
        const answer = await admin.browser.call(method, path, method === "POST" ? {} : undefined);
        assert.equal(answer.status, 404, `${method} ${path}: ${answer.text}`);
        assert.ok(["no_such_item", "not_found"].includes(answer.json.code), answer.text);
      }
      const grant = await admin.post(`/admin/principals/${id}/grants`, { scope: "bridgeCert" });
      assert.equal(grant.status, 404, grant.text);
    }
    refused(await admin.remove(`/admin/principals/${ordinary.id}/grants/root`), 404, "no_such_item");
    for (const [body, code] of [["", "invalid_json"], ["[]", "invalid_json"], [{}, "invalid_member"], [{ scope: "root" }, "invalid_member"], [{ scope: "certMint", expiresAt: "x" }, "invalid_member"], [{ scope: "certMint", expiresAt: 1 }, "invalid_member"]]) {
      refused(await admin.post(`/admin/principals/${ordinary.id}/grants`, body), 400, code);
    }
  });

  test("refuse queries that mean nothing", async () => {
    const { json: page } = await admin.get("/admin/audit?limit=1");
    const forged = (...parts) => Buffer.from(JSON.stringify(parts)).toString("base64url");
    for (const path of [
      "/admin/principals?limit=0",
      "/admin/principals?limit=1001",
      "/admin/principals?limit=x",
      "/admin/principals?state=expired",
      "/admin/principals?q=%00",
      "/admin/principals?q=%ff",
      "/admin/principals?q=a&q=b",
      "/admin/principals?unheard=of",
      "/admin/principals?format=xml",
      `/admin/principals?q=${"a".repeat(301)}`,
      `/admin/principals?q=${"a".repeat(5000)}`,
      "/admin/principals?cursor=x",
      `/admin/principals?cursor=${page.next}`,
      `/admin/principals?cursor=${forged("principals", 1e300, unknown)}`,
      `/admin/principals?cursor=${forged("principals", 1, "'")}`,
      `/admin/principals?cursor=${forged("principals", -1, unknown)}`,
      `/admin/audit?cursor=${forged("audit", 2 ** 53)}`,
      `/admin/audit?cursor=${page.next}=`,
      `/admin/audit?cursor=${page.next}A`,
      "/admin/authenticators?principal=x",
      "/admin/grants?scope=root",
      "/admin/sessions?state=active",
      "/admin/credentials?serial=xyz",
      "/admin/credentials?state=open",
      `/admin/audit?target=${"a".repeat(301)}`,
      "/invites?state=active",
      "/me/credentials?principal=" + ordinary.id,
      `/admin/principals/${ordinary.id}?q=a`,
    ]) {
      refused(await admin.get(path), 400, "invalid_query");
    }
    // A field that was left blank is none.
    assert.equal((await admin.get("/admin/principals?q=&state=")).status, 200);
  });

  test("show dangerous ones a passkey that was shown a short while ago", { skip: noKnife }, async () => {
    await meanwhile(authority, longAgo(301));
    const fresh = [];
    for (const [method, path, body] of routes()) {
      const answer = await admin.browser.call(method, path, body ?? (method === "POST" ? {} : undefined));
      if (answer.json.code === "step_up_required") fresh.push(`${method} ${path.replace(ordinary.id, "ID").replace(unknown, "ID")}`);
      else assert.ok([200, 404].includes(answer.status), `${method} ${path}: ${answer.text}`);
    }
    assert.deepEqual(fresh, [
      "POST /admin/principals/ID/disable",
      "POST /admin/principals/ID/enable",
      "POST /admin/principals/ID/grants",
      "DELETE /admin/principals/ID/grants/bridgeCert",
      "DELETE /admin/authenticators/ID",
    ]);
    assert.equal((await admin.browser.stepUp(admin.passkey)).status, 200);
    done(await admin.post(`/admin/principals/${ordinary.id}/enable`));
  });
});

describe("what is taken back", () => {
  let authority;
  let admin;
  before(async () => {
    authority = await start();
    admin = await first(authority);
  });
  after(() => authority?.stop());

  test("a grant is gone at once, from the session and from certificates", async () => {
    const ben = await guest(authority, admin, "Ben");
    assert.equal((await mint(ben.browser)).status, 200);
    done(await admin.post(`/admin/principals/${ben.id}/grants`, { scope: "authorityManage" }));
    assert.equal((await ben.browser.stepUp(ben.passkey)).status, 200);
    assert.equal((await ben.get("/admin/audit")).status, 200);
    done(await admin.remove(`/admin/principals/${ben.id}/grants/authorityManage`));
    refused(await ben.get("/admin/audit"), 403, "manage_required");
    done(await admin.remove(`/admin/principals/${ben.id}/grants/bridgeCert`));
    assert.deepEqual((await ben.browser.me()).json.scopes, []);
    refused(await mint(ben.browser), 403, "scopes_not_granted");
    done(await admin.remove(`/admin/principals/${ben.id}/grants/bridgeCert`));
    const lines = await trail(admin, { target: ben.id });
    assert.deepEqual(lines.filter(({ action }) => action.startsWith("grant.")).map(({ action, actor, actorName, details }) => [action, actor, actorName, details]), [
      ["grant.revoked", admin.id, "Ana", { scope: "bridgeCert" }],
      ["grant.revoked", admin.id, "Ana", { scope: "authorityManage" }],
      ["grant.added", admin.id, "Ana", { scope: "authorityManage", expires_at: null }],
    ]);
  });

  test("what is granted to a session waits for a passkey, which changes its secret", { skip: noKnife }, async () => {
    const ben = await guest(authority, admin, "Ben");
    done(await admin.remove(`/admin/principals/${ben.id}/grants/bridgeCert`));
    await meanwhile(authority, longAgo(10));
    for (const scope of ["authorityManage", "bridgeCert"]) done(await admin.post(`/admin/principals/${ben.id}/grants`, { scope }));
    const { json: before } = await ben.browser.me();
    assert.deepEqual([before.scopes, before.pending, before.isAdmin], [[], ["bridgeCert", "authorityManage"], false]);
    refused(await ben.get("/admin/audit"), 403, "step_up_required");
    refused(await mint(ben.browser), 403, "step_up_required");
    const { cookie } = ben.browser;
    assert.equal((await ben.browser.stepUp(ben.passkey)).status, 200);
    refused(await new Browser(authority).me({ cookie }), 401, "no_session");
    const { json: after } = await ben.browser.me();
    assert.deepEqual([after.scopes, after.pending, after.isAdmin], [["bridgeCert", "authorityManage"], [], true]);
    assert.equal((await ben.get("/admin/audit")).status, 200);
    assert.equal((await mint(ben.browser)).status, 200);
    // Another end for what is granted already is nothing to wait for.
    await meanwhile(authority, longAgo(10));
    done(await admin.post(`/admin/principals/${ben.id}/grants`, { scope: "bridgeCert", expiresAt: Math.floor(Date.now() / 1000) + 3600 }));
    assert.deepEqual((await ben.browser.me()).json.pending, []);
  });

  test("a session that was stolen gains nothing by a passkey of the thief's, nor keeps anything when it is removed", { skip: noKnife }, async () => {
    const ben = await guest(authority, admin, "Ben");
    const thief = new Browser(authority);
    // In the same second, too.
    assert.equal((await ben.browser.stepUp(ben.passkey)).status, 200);
    thief.cookie = ben.browser.cookie;
    done(await admin.post(`/admin/principals/${ben.id}/grants`, { scope: "authorityManage" }));
    assert.ok((await thief.me()).json.pending.includes("authorityManage"));
    const rogue = new Passkey(ES256);
    const begun = await thief.post("/auth/passkey/register/options", { further: true });
    assert.equal((await thief.answer(rogue, begun.json)).status, 200);
    assert.ok((await thief.me()).json.pending.includes("authorityManage"));
    refused(await thief.call("GET", "/admin/principals"), 403, "step_up_required");
    // With the passkey that was added the session is somebody's who has one of Ben's: until Ben removes it.
    assert.equal((await thief.stepUp(rogue)).status, 200);
    assert.equal((await thief.call("GET", "/admin/principals")).status, 200);
    const own = new Browser(authority);
    assert.equal((await own.signIn(ben.passkey)).status, 200);
    const { passkeys } = (await own.call("GET", "/me/passkeys")).json;
    const added = passkeys.find(({ current }) => !current);
    done(await own.call("DELETE", `/me/passkeys/${added.id}`));
    refused(await thief.call("GET", "/admin/principals"), 403, "step_up_required");
    refused(await thief.post("/auth/passkey/register/options", { further: true }), 403, "step_up_required");
    refused(await thief.stepUp(rogue), 401, "unknown_passkey");
    assert.equal((await own.call("GET", "/admin/principals")).status, 200);
    done(await admin.post(`/admin/principals/${ben.id}/disable`));
  });

  test("what was fresh when a further passkey was begun has to be when it ends", { skip: noKnife }, async () => {
    const ben = await guest(authority, admin, "Ben");
    const { json: begun } = await ben.post("/auth/passkey/register/options", { further: true });
    await meanwhile(authority, longAgo(301));
    refused(await ben.browser.answer(new Passkey(ES256), begun), 403, "step_up_required");
    assert.equal((await admin.browser.stepUp(admin.passkey)).status, 200);
    done(await admin.post(`/admin/principals/${ben.id}/disable`));
  });

  test("what nobody else could grant is not taken from the last who can", async () => {
    for (const scope of ["bridgeCert", "certMint"]) {
      refused(await admin.remove(`/admin/principals/${admin.id}/grants/${scope}`), 409, "last_holder");
      const expiresAt = Math.floor(Date.now() / 1000) + 3600;
      refused(await admin.post(`/admin/principals/${admin.id}/grants`, { scope, expiresAt }), 409, "last_holder");
    }
    // Nor by a detour.
    const other = await guest(authority, admin, "Cleo", ["bridgeCert", "authorityManage"]);
    refused(await other.remove(`/admin/principals/${admin.id}/grants/authorityManage`), 409, "last_holder");
    const [way] = await all(admin, "/admin/authenticators", { principal: admin.id });
    refused(await other.remove(`/admin/authenticators/${way.id}`), 409, "last_holder");
    done(await other.post(`/admin/principals/${admin.id}/disable`));
    refused(await other.remove(`/admin/principals/${admin.id}/grants/certMint`), 409, "last_holder");
    done(await other.post(`/admin/principals/${admin.id}/enable`));
    assert.equal((await admin.browser.signIn(admin.passkey)).status, 200);
    admin.session = (await admin.browser.me()).json.session;
    // The last number there is is no end either.
    refused(await admin.post(`/admin/principals/${other.id}/grants`, { scope: "certMint", expiresAt: Number.MAX_SAFE_INTEGER }), 400, "invalid_member");
    done(await admin.post(`/admin/principals/${other.id}/disable`));
    // Another administrator's will do, and nobody else's.
    const ben = await guest(authority, admin, "Ben", ["bridgeCert", "certMint"]);
    refused(await admin.remove(`/admin/principals/${admin.id}/grants/certMint`), 409, "last_holder");
    done(await admin.post(`/admin/principals/${ben.id}/grants`, { scope: "authorityManage" }));
    done(await admin.remove(`/admin/principals/${admin.id}/grants/certMint`));
    assert.equal((await ben.browser.stepUp(ben.passkey)).status, 200);
    done(await ben.post(`/admin/principals/${admin.id}/grants`, { scope: "certMint" }));
    assert.equal((await admin.browser.stepUp(admin.passkey)).status, 200);
    done(await admin.post(`/admin/principals/${ben.id}/disable`));
  });

  test("nobody grants what they lack, nor for longer than they have it", async () => {
    const ben = await guest(authority, admin, "Ben");
    const soon = Math.floor(Date.now() / 1000) + 3600;
    refused(await admin.post(`/admin/principals/${ben.id}/grants`, { scope: "sign:git" }), 403, "scope_not_held");
    done(await admin.post(`/admin/principals/${ben.id}/grants`, { scope: "authorityManage", expiresAt: soon }));
    assert.equal((await ben.browser.stepUp(ben.passkey)).status, 200);
    // Nor makes it last for themselves.
    refused(await ben.post(`/admin/principals/${ben.id}/grants`, { scope: "authorityManage" }), 403, "grant_too_long");
    refused(await ben.post(`/admin/principals/${ben.id}/grants`, { scope: "authorityManage", expiresAt: soon + 1 }), 403, "grant_too_long");
    refused(await ben.post(`/admin/principals/${ben.id}/grants`, { scope: "certMint" }), 403, "scope_not_held");
    const [grant] = await all(admin, "/admin/grants", { principal: ben.id, scope: "authorityManage" });
    assert.deepEqual(grant, { principal: ben.id, displayName: "Ben", scope: "authorityManage", grantedBy: admin.id, grantedByName: "Ana", grantedAt: grant.grantedAt, expiresAt: soon });
    // The same again is no change.
    done(await admin.post(`/admin/principals/${ben.id}/grants`, { scope: "authorityManage", expiresAt: soon }));
    assert.equal((await trail(admin, { target: ben.id, action: "grant.added" })).length, 1);
  });

  test("a principal that was turned away is out at once, and comes in again as nobody's guest", async () => {
    const ben = await guest(authority, admin, "Ben", ["bridgeCert", "authorityManage"]);
    const other = new Browser(authority);
    assert.equal((await other.signIn(ben.passkey)).status, 200);
    const pair = await mint(ben.browser);
    const { json: further } = await ben.post("/auth/passkey/register/options");
    const { json: invite } = await ben.post("/invites", {});
    done(await admin.post(`/admin/principals/${ben.id}/disable`));
    for (const browser of [ben.browser, other]) {
      refused(await browser.me(), 401, "no_session");
      refused(await mint(browser), 401, "invalid_session");
      assert.equal((await browser.call("GET", "/admin/audit")).json.code, "no_session");
    }
    refused(await new Browser(authority).signIn(ben.passkey), 401, "unknown_passkey");
    assert.ok((await ben.browser.answer(new Passkey(ES256), further)).status >= 400, "no further passkey");
    assert.ok((await new Browser(authority).register(new Passkey(ES256), { wanted: { invite: invite.token } })).status >= 400, "their invite is void");
    const [credential] = await all(admin, "/admin/credentials", { principal: ben.id });
    assert.equal(credential.state, "revoked");
    assert.deepEqual([credential.serial, credential.signingSerial], serials(pair).map((text) => text.toLowerCase().padStart(32, "0")));
    const [invited] = await all(admin, "/invites", { principal: ben.id });
    assert.equal(invited.state, "void");
    done(await admin.post(`/admin/principals/${ben.id}/disable`));
    const [line, ...rest] = await trail(admin, { target: ben.id, action: "principal.disabled" });
    assert.deepEqual(rest, [], "one line");
    assert.deepEqual(line.details, { sessions: 2, credentials: 1, delegated: 0 });
    assert.ok(line.requestId.match(/^[0-9a-f]{32}$/) && Math.abs(line.at - Date.now() / 1000) < 10 && line.source);

    done(await admin.post(`/admin/principals/${ben.id}/enable`));
    done(await admin.post(`/admin/principals/${ben.id}/enable`));
    assert.equal((await trail(admin, { target: ben.id, action: "principal.enabled" })).length, 1);
    refused(await ben.browser.me(), 401, "no_session");
    assert.equal((await new Browser(authority).signIn(ben.passkey)).status, 200);
    assert.equal((await all(admin, "/admin/credentials", { principal: ben.id }))[0].state, "revoked", "what was revoked stays so");
    assert.equal((await all(admin, "/invites", { principal: ben.id }))[0].state, "open");
  });

  test("a session dies, once", async () => {
    const ben = await guest(authority, admin, "Ben");
    const sessions = await all(admin, "/admin/sessions", { principal: ben.id });
    assert.deepEqual(sessions.map(({ id, displayName, method, current }) => [id, displayName, method, current]), [[ben.session, "Ben", "passkey", false]]);
    done(await admin.remove(`/admin/sessions/${ben.session}`));
    refused(await ben.browser.me(), 401, "no_session");
    done(await admin.remove(`/admin/sessions/${ben.session}`));
    assert.deepEqual((await trail(admin, { target: ben.session })).map(({ action, details }) => [action, details]), [["session.revoked", { principal: ben.id }]]);
    const own = (await all(admin, "/admin/sessions", { principal: admin.id })).filter(({ current }) => current);
    assert.deepEqual(own.map(({ id }) => id), [admin.session]);
  });

  test("an authenticator goes with the sessions that began with it, and no others", async () => {
    const ben = await guest(authority, admin, "Ben");
    const second = new Passkey(ES256);
    const { json: begun } = await ben.post("/auth/passkey/register/options");
    assert.equal((await ben.browser.answer(second, begun)).status, 200);
    const other = new Browser(authority);
    assert.equal((await other.signIn(second)).status, 200);
    const { json: mine } = await other.call("GET", "/me/passkeys");
    const { id } = mine.passkeys.find(({ current }) => current);
    assert.equal((await all(admin, "/admin/authenticators", { principal: ben.id })).length, 2);
    done(await admin.remove(`/admin/authenticators/${id}`));
    refused(await other.me(), 401, "no_session");
    refused(await new Browser(authority).signIn(second), 401, "unknown_passkey");
    assert.equal((await ben.browser.me()).status, 200);
    done(await admin.remove(`/admin/authenticators/${id}`));
    const [line, ...rest] = await trail(admin, { target: id, action: "authenticator.removed" });
    assert.deepEqual([line.details, rest], [{ principal: ben.id, kind: "passkey", name: line.details.name, sessions: 1, delegations: 0 }, []]);
  });

  test("a credential is revoked by the serial number of either certificate, once", async () => {
    const ben = await guest(authority, admin, "Ben");
    for (const [i, form] of [[0, (text) => text], [1, (text) => text.toLowerCase()], [1, (text) => encodeURIComponent(text.padStart(32, "0").match(/../g).join(":"))]]) {
      const pair = await mint(ben.browser);
      const printed = serials(pair)[i];
      const [shown] = await all(admin, "/admin/credentials", { serial: printed });
      assert.equal(shown.state, "active");
      assert.deepEqual([shown.subject, shown.principal, shown.identity, shown.method, shown.scopes, shown.epoch], [ben.id, ben.id, pair.json.identity, "passkey", ["bridgeCert"], pair.json.authority.epoch]);
      assert.equal(shown.expiresAt, pair.json.expires_at);
      done(await admin.remove(`/admin/credentials/${form(printed)}`));
      done(await admin.remove(`/admin/credentials/${shown.signingSerial}`));
      const { json: own } = await ben.get("/me/credentials?limit=1");
      assert.deepEqual([own.items[0].serial, own.items[0].state, own.items[0].revokedAt > 0], [shown.serial, "revoked", true]);
      const lines = await trail(admin, { target: shown.serial });
      assert.deepEqual(lines.map(({ action, details }) => [action, details]), [["credential.revoked", { subject: ben.id, principal: ben.id, credentials: 1, delegations: 0 }]]);
    }
    assert.equal((await all(admin, "/admin/credentials", { state: "revoked", principal: ben.id })).length, 3);
    assert.equal((await all(admin, "/admin/credentials", { state: "active", principal: ben.id })).length, 0);
    assert.deepEqual((await all(admin, "/me/credentials")).length, 0, "one's own are one's own");
  });

  test("an invite works no more, once", async () => {
    const { json: invite } = await admin.post("/invites", {});
    const listed = (await all(admin, "/invites", { state: "open" })).find(({ id }) => id === invite.id);
    assert.deepEqual([listed.id, listed.createdByName, listed.scopes, listed.redeemedAt], [invite.id, "Ana", ["bridgeCert"], 0]);
    assert.ok(!JSON.stringify(listed).includes(invite.token));
    done(await admin.remove(`/invites/${invite.id}`));
    assert.ok((await new Browser(authority).register(new Passkey(ES256), { wanted: { invite: invite.token } })).status >= 400);
    done(await admin.remove(`/invites/${invite.id}`));
    assert.equal((await trail(admin, { target: invite.id, action: "invite.revoked" })).length, 1);
    const redeemed = await all(admin, "/invites", { state: "redeemed" });
    assert.ok(redeemed.length > 0 && redeemed.every(({ redeemedBy, redeemedByName, redeemedAt }) => redeemedBy && redeemedByName && redeemedAt));
  });
});

describe("the last administrator", () => {
  let authority;
  let admin;
  before(async () => {
    authority = await start();
    admin = await first(authority);
  });
  after(() => authority?.stop());

  test("stays, whatever is tried", async () => {
    const soon = Math.floor(Date.now() / 1000) + 3600;
    const [{ id: authenticator }] = await all(admin, "/admin/authenticators", { principal: admin.id });
    const attempts = () => [
      admin.post(`/admin/principals/${admin.id}/disable`),
      admin.remove(`/admin/principals/${admin.id}/grants/authorityManage`),
      admin.post(`/admin/principals/${admin.id}/grants`, { scope: "authorityManage", expiresAt: soon }),
      admin.remove(`/admin/authenticators/${authenticator}`),
      admin.remove(`/me/passkeys/${authenticator}`),
    ];
    for (const attempt of attempts()) refused(await attempt, 409, "last_administrator");
    // Somebody who manages for a time isn't enough, nor somebody who was turned away or can't come in.
    const ben = await guest(authority, admin, "Ben");
    done(await admin.post(`/admin/principals/${ben.id}/grants`, { scope: "authorityManage", expiresAt: soon }));
    for (const attempt of attempts()) refused(await attempt, 409, "last_administrator");
    done(await admin.post(`/admin/principals/${ben.id}/grants`, { scope: "authorityManage" }));
    done(await admin.post(`/admin/principals/${ben.id}/disable`));
    for (const attempt of attempts()) refused(await attempt, 409, "last_administrator");
    done(await admin.post(`/admin/principals/${ben.id}/enable`));
    const [{ id: theirs }] = await all(admin, "/admin/authenticators", { principal: ben.id });
    done(await admin.remove(`/admin/authenticators/${theirs}`));
    for (const attempt of attempts()) refused(await attempt, 409, "last_administrator");
    assert.equal((await admin.browser.me()).json.isAdmin, true);
    // One more who can, and the first may go.
    const cid = await guest(authority, admin, "Cid", ADMIN);
    done(await admin.post(`/admin/principals/${admin.id}/disable`));
    refused(await admin.browser.me(), 401, "no_session");
    refused(await cid.post(`/admin/principals/${cid.id}/disable`), 409, "last_administrator");
    done(await cid.post(`/admin/principals/${admin.id}/enable`));
    assert.equal((await admin.browser.signIn(admin.passkey)).status, 200);
    done(await admin.post(`/admin/principals/${cid.id}/disable`));
  });

  test("is left by two who turn each other away at the same moment", async () => {
    for (let i = 0; i < 5; i++) {
      const ben = await guest(authority, admin, "Ben", ADMIN);
      const [mine, theirs] = await Promise.all([
        admin.post(`/admin/principals/${ben.id}/disable`),
        ben.post(`/admin/principals/${admin.id}/disable`),
      ]);
      assert.deepEqual([mine.status, theirs.status].sort(), [200, 401], `${mine.text} ${theirs.text}`);
      const winner = mine.status === 200 ? admin : ben;
      assert.equal((await winner.browser.me()).json.isAdmin, true);
      if (winner === ben) {
        done(await ben.post(`/admin/principals/${admin.id}/enable`));
        assert.equal((await admin.browser.signIn(admin.passkey)).status, 200);
        done(await admin.post(`/admin/principals/${ben.id}/disable`));
      }
    }
  });

  test("is left by many who give up managing at the same moment", async () => {
    const people = [admin];
    for (let i = 0; i < 3; i++) people.push(await guest(authority, admin, `P${i}`, ADMIN));
    const answers = await Promise.all(people.map((one) => one.remove(`/admin/principals/${one.id}/grants/authorityManage`)));
    const codes = answers.map(({ status, json }) => `${status} ${json.code ?? ""}`).sort();
    assert.deepEqual(codes, ["200 ", "200 ", "200 ", "409 last_administrator"]);
  });
});

describe("lists and searches", () => {
  let authority;
  let admin;
  before(async () => {
    authority = await start();
    admin = await first(authority);
  });
  after(() => authority?.stop());

  const NAMES = ["anabel", "ANATOL", "Anäis", "an%", "an_x", "Älva", "älva", "=1+1", "+49", "-1", "@sum", 'say "hi", you', "<img src=x onerror=alert(1)>", "O'Brien; DROP TABLE principals", "日本 語", "Zoë"];

  test("names are found by how they begin, and are text whatever they say", async () => {
    for (const name of NAMES) await guest(authority, admin, name);
    const found = async (q) => (await all(admin, "/admin/principals", { q, limit: 3 })).map(({ displayName }) => displayName);
    assert.deepEqual(await found("ana"), ["Ana", "anabel", "ANATOL"]);
    assert.deepEqual(await found("AN"), ["an%", "an_x", "Ana", "anabel", "ANATOL", "Anäis"]);
    assert.deepEqual(await found("an%"), ["an%"]);
    assert.deepEqual(await found("an_"), ["an_x"]);
    assert.deepEqual(await found("%"), []);
    assert.deepEqual(await found("@"), ["@sum"]);
    assert.deepEqual(await found("日本"), ["日本 語"]);
    // ASCII letters alone have no case.
    assert.deepEqual(await found("Äl"), ["Älva"]);
    assert.deepEqual(await found("O'BRIEN; drop"), ["O'Brien; DROP TABLE principals"]);
    assert.deepEqual(await found(admin.id), ["Ana"]);
    assert.deepEqual(await found(randomUUID()), []);
  });

  test("an export is read by others as it was meant, and runs no formula", async () => {
    const wanted = (await all(admin, "/admin/principals")).map(({ id, displayName, scopes }) => [id, displayName, scopes.join(" ")]);
    const rows = [];
    for (let path = "/admin/principals?format=csv&limit=5"; path; ) {
      const answer = await admin.get(path);
      assert.match(answer.headers.get("content-type"), /^text\/csv; charset=utf-8/);
      assert.equal(answer.headers.get("content-disposition"), 'attachment; filename="principals.csv"');
      const program = "import csv,io,json,sys; print(json.dumps(list(csv.DictReader(io.StringIO(sys.stdin.buffer.read().decode(), newline=''), strict=True))))";
      const { status, stdout, stderr } = spawnSync("python3", ["-c", program], { input: answer.text, encoding: "utf8" });
      assert.equal(status, 0, stderr);
      rows.push(...JSON.parse(stdout));
      const link = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get("link") ?? "");
      path = link && new URL(link[1], `${authority.url}${path}`).href.slice(authority.url.length);
    }
    const guarded = (name) => (/^[=+\-@]/.test(name) ? `'${name}` : name);
    assert.deepEqual(rows.map(({ id, displayName, scopes }) => [id, displayName, scopes]), wanted.map(([id, name, scopes]) => [id, guarded(name), scopes]));
    assert.deepEqual(Object.keys(rows[0]), ["id", "kind", "displayName", "createdAt", "createdBy", "disabledAt", "scopes"]);
    for (const path of ["/admin/authenticators", "/admin/grants", "/admin/sessions", "/admin/credentials", "/admin/audit", "/invites", "/me/credentials"]) {
      const answer = await admin.get(`${path}?format=csv`);
      const [head] = answer.text.split("\r\n");
      const { items } = (await admin.get(path)).json;
      for (const name of items.flatMap(Object.keys)) assert.ok(head.split(",").includes(name), `${path}: ${name}`);
    }
  });

  test("every row stands on one page, whatever comes meanwhile", async () => {
    const before = (await all(admin, "/admin/principals", { limit: 1000 })).map(({ id }) => id);
    let added = 0;
    const between = async () => void (added++ < 3 && (await guest(authority, admin, "Aaron")));
    for (const path of ["/admin/principals", "/admin/audit", "/admin/authenticators", "/admin/sessions", "/admin/grants", "/invites"]) {
      const key = (row) => `${row.id ?? row.principal} ${row.scope ?? ""}`;
      const there = (await all(admin, path, { limit: 1000 })).map(key);
      added = 0;
      const rows = [];
      for (let cursor; ; ) {
        const { json } = await admin.get(`${path}?limit=7${cursor ? `&cursor=${cursor}` : ""}`);
        rows.push(...json.items.map(key));
        await between();
        if (!(cursor = json.next)) break;
      }
      assert.equal(new Set(rows).size, rows.length, `${path}: none twice`);
      for (const row of there) assert.ok(rows.includes(row), `${path}: ${row}`);
    }
    const byName = (await all(admin, "/admin/principals", { q: "A", limit: 2 })).map(({ id }) => id);
    assert.equal(new Set(byName).size, byName.length);
    assert.ok(before.length >= NAMES.length);
  });

  test("filters narrow, alone and together", async () => {
    const [, target] = await all(admin, "/admin/principals", { q: "an" });
    done(await admin.post(`/admin/principals/${target.id}/disable`));
    assert.deepEqual((await all(admin, "/admin/principals", { state: "disabled" })).map(({ id }) => id), [target.id]);
    assert.deepEqual((await all(admin, "/admin/principals", { state: "disabled", q: "an" })).map(({ id }) => id), [target.id]);
    assert.ok((await all(admin, "/admin/principals", { state: "active" })).every(({ disabledAt }) => disabledAt === 0));
    const everything = await all(admin, "/admin/audit", { limit: 1000 });
    assert.deepEqual(everything.map(({ id }) => id), everything.map(({ id }) => id).sort((a, b) => b - a));
    for (const filter of [{ actor: admin.id }, { action: "principal.disabled" }, { target: target.id }, { target: target.id, actor: admin.id, action: "principal.disabled" }]) {
      const expected = everything.filter((row) => Object.entries(filter).every(([name, value]) => row[name] === value));
      assert.deepEqual(await all(admin, "/admin/audit", { ...filter, limit: 3 }), expected);
      assert.ok(expected.length > 0);
    }
    const grants = await all(admin, "/admin/grants", { scope: "authorityManage" });
    assert.deepEqual(grants.map(({ principal, grantedBy }) => [principal, grantedBy]), [[admin.id, undefined]]);
    for (const method of ["passkey", "telepathy"]) {
      const sessions = await all(admin, "/admin/sessions", { method });
      assert.equal(sessions.length > 0, method === "passkey");
    }
  });
});

describe("issued credentials", { skip: noKnife }, () => {
  let authority;
  let issuer;
  let admin;
  before(async () => {
    issuer = await startIssuer();
    authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme" } });
    admin = await first(authority);
  });
  after(async () => {
    await authority?.stop();
    await issuer?.close();
  });
  const job = async (keys = new Keys(), token) => {
    token ??= await issuer.token();
    return enroll(authority.url, token, keys.body(token));
  };
  const rows = () => query(databaseOf(authority.stateDir), "SELECT COUNT(*) FROM credentials")[0][0];

  test("are recorded with what issued them, and what is refused is not", async () => {
    const token = await issuer.token();
    const pair = await job(new Keys(), token);
    assert.equal(pair.status, 200, pair.text);
    const person = await mint(admin.browser);
    const items = await all(admin, "/admin/credentials");
    assert.deepEqual(items.map(({ serial, signingSerial }) => [serial, signingSerial]), [person, pair].map((one) => serials(one).map((text) => text.toLowerCase().padStart(32, "0"))));
    const { sub } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
    const [, ours] = items;
    const [repository] = await all(admin, "/admin/principals", { q: "acme/app" });
    assert.equal(repository.kind, "workload");
    assert.deepEqual([ours.subject, ours.identity, ours.principal, ours.method, ours.state, ours.scopes], [sub, pair.json.identity, repository.id, "gha-oidc", "active", ["bridgeCert"]]);
    assert.equal((await job(new Keys(), token)).status, 401, "used");
    refused(await mint(new Browser(authority)), 401, "no_session_cookie");
    assert.equal(rows(), 2);
    const found = async (more) => (await all(admin, "/admin/credentials", more)).map(({ method }) => method);
    assert.deepEqual(await found({ subject: sub }), ["gha-oidc"]);
    assert.deepEqual(await found({ subject: sub.slice(0, 8) }), ["gha-oidc"]);
    assert.deepEqual(await found({ subject: sub.slice(0, 8).toUpperCase() }), []);
    assert.deepEqual(await found({ method: "passkey" }), ["passkey"]);
    assert.deepEqual(await found({ principal: admin.id, method: "gha-oidc" }), []);
    assert.deepEqual(await found({ serial: ours.signingSerial, state: "active", method: "gha-oidc" }), ["gha-oidc"]);
  });

  test("expire, are of an epoch, and are forgotten 30 days later", async () => {
    await meanwhile(authority, `
      UPDATE credentials SET expires_at = unixepoch() - 62 WHERE method = 'gha-oidc';
      UPDATE credentials SET epoch = epoch + 1 WHERE method = 'passkey';`);
    const states = async (more) => (await all(admin, "/admin/credentials", more)).map(({ method, state }) => `${method} ${state}`);
    assert.deepEqual(await states(), ["passkey revoked", "gha-oidc expired"]);
    for (const state of ["active", "expired", "revoked"]) {
      for (const more of [{}, { subject: "repo" }, { principal: admin.id }, { method: "passkey" }]) {
        const expected = (await states(more)).filter((text) => text.endsWith(` ${state}`));
        assert.deepEqual(await states({ ...more, state }), expected, `${state} ${JSON.stringify(more)}`);
      }
    }
    // What has expired, by a clock that is a minute late too, needs no revoking.
    const [{ serial }] = await all(admin, "/admin/credentials", { state: "expired" });
    done(await admin.remove(`/admin/credentials/${serial}`));
    assert.deepEqual(await trail(admin, { action: "credential.revoked" }), []);

    const old = Math.floor(Date.now() / 1000) - 30 * 86400 - 300 - 10;
    await meanwhile(authority, `
      WITH RECURSIVE n(i) AS (VALUES (0) UNION ALL SELECT i + 1 FROM n WHERE i < 2499)
        INSERT INTO credentials SELECT ${old * 2 ** 20} + i, randomblob(16), randomblob(16), 's', 'i', NULL, 'm', '[]', 1, ${old}, ${old + 300}, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM n;
      INSERT INTO credentials VALUES (${(old + 3600) * 2 ** 20}, randomblob(16), randomblob(16), 'kept', 'i', NULL, 'm', '[]', 1, ${old + 3600}, ${old + 3900}, NULL, NULL, NULL, NULL, NULL, NULL, NULL);`);
    const left = [];
    for (const until = Date.now() + 20_000; Date.now() < until && rows() > 10; ) {
      assert.equal((await job()).status, 200);
      left.push(rows());
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    assert.ok(left.some((count) => count > 10), `in pieces: ${left}`);
    assert.ok(rows() <= 10, `${left}`);
    assert.equal((await all(admin, "/admin/credentials", { subject: "kept" })).length, 1);
  });

  test("a kill -9 during revocations leaves each done with its line, or not done without one", async () => {
    const pairs = await Promise.all(Array.from({ length: 60 }, () => job()));
    const wanted = pairs.map((pair) => serials(pair)[0]);
    let answered = 0;
    const revoking = wanted.map((serial) => admin.remove(`/admin/credentials/${serial}`).then(({ status }) => void (answered += status === 200), () => undefined));
    while (answered < 10) await new Promise((resolve) => setTimeout(resolve, 1));
    await authority.kill9();
    await Promise.all(revoking);
    const database = databaseOf(authority.stateDir);
    const revoked = query(database, "SELECT lower(hex(serial)) FROM credentials WHERE revoked_at IS NOT NULL ORDER BY 1").flat();
    const lines = query(database, "SELECT target FROM audit WHERE action = 'credential.revoked' ORDER BY 1").flat();
    assert.deepEqual(lines, revoked);
    assert.ok(revoked.length >= answered, `${answered} were told, ${revoked.length} are`);
    await authority.restart();
    for (const serial of wanted) done(await admin.remove(`/admin/credentials/${serial}`));
    assert.equal((await trail(admin, { action: "credential.revoked" })).length, 60);
  });
});
