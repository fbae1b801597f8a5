// Invites and joining, further passkeys, step-up, recovery, and what is one's own.
import assert from "node:assert/strict";
import { createHash, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { EDDSA, ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { databaseOf, longAgo, meanwhile, noSqlite, query } from "./support/state.mjs";

const start = (vars = {}) => startAuthority({ vars: { BOOTSTRAP_CODE: CODE, ...vars } });
const elsewhere = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");
const NO_SUCH_TOKEN = Buffer.alloc(32, 1).toString("base64url");

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.code, code, answer.text);
  assert.ok(!answer.set, "no cookie");
}

/** The trail's lines with this action, the oldest first. */
const trailOf = (authority, action) =>
  query(databaseOf(authority.stateDir), `SELECT actor, target, source, details FROM audit WHERE action = '${action}' ORDER BY id`).map(
    ([actor, target, source, details]) => ({ actor, target, source, details: JSON.parse(details) }),
  );

async function administrator(authority, passkey = new Passkey(ES256)) {
  const browser = new Browser(authority);
  const registered = await browser.register(passkey);
  assert.equal(registered.status, 200, registered.text);
  return { browser, passkey, id: (await browser.me()).json.userId };
}

async function invited(browser, body = {}) {
  const made = await browser.post("/invites", body);
  assert.equal(made.status, 200, made.text);
  return made.json;
}

/** Joins by the passkey routes, as the page does. */
async function join(authority, token, { name = "Ben", passkey = new Passkey(ES256) } = {}) {
  const browser = new Browser(authority);
  const answer = await browser.register(passkey, { wanted: { invite: token, displayName: name } });
  return { browser, passkey, answer };
}

describe("an invite", () => {
  let authority;
  let admin;
  before(async () => {
    authority = await start();
    admin = await administrator(authority);
  });
  after(() => authority?.stop());

  test("has the fields of the protocol, and its token in the fragment", async () => {
    const invite = await invited(admin.browser);
    assert.deepEqual(Object.keys(invite), ["token", "url", "expiresAt", "scopes", "id"]);
    assert.match(invite.token, /^[\w-]{43}$/);
    assert.equal(invite.url, `${authority.url}/join#t=${invite.token}`);
    assert.match(invite.expiresAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    assert.ok(Math.abs(Date.parse(invite.expiresAt) - Date.now() - 3600_000) < 5_000);
    assert.deepEqual(invite.scopes, ["bridgeCert"]);
    const long = await invited(admin.browser, { ttl: 30 * 86_400 });
    assert.ok(Math.abs(Date.parse(long.expiresAt) - Date.now() - 7 * 86_400_000) < 5_000, "seven days at most");
  });

  test("says what it offers to whoever holds its token, and keeps", async () => {
    const invite = await invited(admin.browser, { scopes: ["bridgeCert", "certMint"] });
    for (let i = 0; i < 2; i++) {
      const shown = await new Browser(authority).post("/invites/lookup", { token: invite.token });
      assert.equal(shown.status, 200, shown.text);
      assert.deepEqual(shown.json, { scopes: ["bridgeCert", "certMint"], invitedBy: "Ana", expiresAt: Math.floor(Date.parse(invite.expiresAt) / 1000) });
    }
    assert.equal((await join(authority, invite.token)).answer.status, 200);
    refused(await new Browser(authority).post("/invites/lookup", { token: invite.token }), 403, "bad_invite");
  });

  test("makes one principal, that its maker invited, and signs it in", { skip: elsewhere }, async () => {
    const invite = await invited(admin.browser, { scopes: ["bridgeCert", "sign:git"].slice(0, 1) });
    const { browser, passkey, answer } = await join(authority, invite.token);
    assert.deepEqual(answer.json, { verified: true, scopes: ["bridgeCert"] });
    const { json: me } = await browser.me();
    assert.deepEqual([me.displayName, me.isAdmin, me.scopes], ["Ben", false, ["bridgeCert"]]);
    assert.equal((await new Browser(authority).signIn(passkey)).json.userId, me.userId);
    refused((await join(authority, invite.token)).answer, 403, "bad_invite");
    const [line] = trailOf(authority, "principal.registered").filter(({ target }) => target === me.userId);
    assert.deepEqual([line.details.admission, line.details.scopes], ["invite", ["bridgeCert"]]);
    const [[maker]] = query(databaseOf(authority.stateDir), `SELECT created_by FROM principals WHERE id = '${me.userId}'`);
    assert.equal(maker, admin.id);
  });

  test("is redeemed by POST /join in one request with its passkey", async () => {
    const invite = await invited(admin.browser);
    const browser = new Browser(authority);
    const begun = await browser.post("/auth/passkey/register/options", { invite: invite.token, displayName: "Cleo" });
    const passkey = new Passkey(EDDSA);
    passkey.owner = Buffer.from(begun.json.options.user.id, "base64url");
    const response = JSON.parse(passkey.register(browser.ceremony(begun.json.options.challenge), "none"));
    const joined = await browser.post("/join", { token: invite.token, proof: { type: "passkey", userId: begun.json.userId, response } });
    assert.equal(joined.status, 200, joined.text);
    assert.deepEqual(joined.json, { joined: true, principalId: begun.json.userId, scopes: ["bridgeCert"] });
    assert.match(joined.set, /^notme_session=/);
  });

  test("is not used up by what is no proof", async () => {
    const invite = await invited(admin.browser);
    const browser = new Browser(authority);
    refused(await browser.post("/join", {}), 400, "missing_invite_token");
    refused(await browser.post("/join", { token: "x" }), 403, "bad_invite");
    refused(await browser.post("/join", { token: invite.token }), 400, "missing_proof_type");
    refused(await browser.post("/join", { token: invite.token, proof: { type: "x" } }), 400, "unknown_proof_type");
    refused(await browser.post("/join", { token: invite.token, proof: { type: "oidc", token: "x" } }), 400, "challenge_required");
    refused(await browser.post("/join", { token: invite.token, proof: { type: "passkey" } }), 400, "missing_user_id");
    refused(await browser.post("/join", { token: invite.token, proof: { type: "passkey", userId: admin.id, response: {} } }), 400, "response_malformed");
    // A passkey without user verification, and one for another invite.
    const failed = await browser.register(new Passkey(ES256), { wanted: { invite: invite.token }, bends: { parts: (parts) => void (parts.flags &= ~0x04) } });
    refused(failed, 400, "user_not_verified");
    const other = await invited(admin.browser);
    const begun = await browser.post("/auth/passkey/register/options", { invite: other.token });
    const passkey = new Passkey(ES256);
    passkey.owner = Buffer.from(begun.json.options.user.id, "base64url");
    const response = JSON.parse(passkey.register(browser.ceremony(begun.json.options.challenge), "none"));
    refused(await browser.post("/join", { token: invite.token, proof: { type: "passkey", userId: begun.json.userId, response } }), 403, "bad_invite");
    assert.equal((await join(authority, invite.token)).answer.status, 200);
    assert.equal((await join(authority, other.token)).answer.status, 200);
  });

  test("answers its challenge by what can't be taken apart, and is good for another", async () => {
    const { token } = await invited(admin.browser);
    const id = (text) => text.replace(/.$/, (last) => (last === "0" ? "1" : "0"));
    const broken = {
      response_malformed: ({ proof }) => void (proof.response.response.attestationObject = 1),
      attestation_object_malformed: ({ proof }) => void (proof.response.response.attestationObject = "AA"),
      credential_id_mismatch: ({ proof }) => void (proof.response.id = Buffer.alloc(32).toString("base64url")),
      invalid_member: ({ proof }) => void (proof.name = "x".repeat(65)),
      // Whose it isn't answers nobody's.
      bad_challenge: ({ proof }) => void (proof.userId = id(proof.userId)),
    };
    for (const [code, tear] of Object.entries(broken)) {
      const browser = new Browser(authority);
      const begun = await browser.post("/auth/passkey/register/options", { invite: token, displayName: "Cleo" });
      assert.equal(begun.status, 200, begun.text);
      const passkey = new Passkey(ES256);
      passkey.owner = Buffer.from(begun.json.options.user.id, "base64url");
      const response = passkey.register(browser.ceremony(begun.json.options.challenge), "none");
      const body = () => ({ token, proof: { type: "passkey", userId: begun.json.userId, response: JSON.parse(response) } });
      const torn = body();
      tear(torn);
      refused(await browser.post("/join", torn), 400, code);
      if (code === "bad_challenge") assert.equal((await browser.post("/join", body())).status, 200);
      else refused(await browser.post("/join", body()), 400, "bad_challenge");
    }
    refused(await new Browser(authority).post("/invites/lookup", { token }), 403, "bad_invite");
  });

  test("of 50 who join with one, one succeeds", { skip: elsewhere }, async () => {
    const invite = await invited(admin.browser);
    const begun = await Promise.all(Array.from({ length: 50 }, async () => {
      const browser = new Browser(authority);
      return { browser, ...(await browser.post("/auth/passkey/register/options", { invite: invite.token })) };
    }));
    const principals = () => query(databaseOf(authority.stateDir), "SELECT COUNT(*) FROM principals")[0][0];
    const before = principals();
    const answers = await Promise.all(begun.map(({ browser, json }) => browser.answer(new Passkey(ES256), json)));
    const codes = answers.map(({ status, json }) => `${status} ${json.code ?? ""}`);
    assert.deepEqual(new Set(codes), new Set(["200 ", "403 bad_invite"]));
    assert.equal(codes.filter((code) => code === "200 ").length, 1);
    assert.equal(principals(), before + 1, "nobody half-made");
  });

  test("is made by administrators only, of what they have", async () => {
    const { browser: ben } = await join(authority, (await invited(admin.browser)).token);
    refused(await ben.post("/invites", {}), 403, "manage_required");
    refused(await new Browser(authority).post("/invites", {}), 401, "no_session");
    refused(await admin.browser.post("/invites", { scopes: ["sign:git"] }), 403, "scope_not_held");
    assert.match((await admin.browser.post("/invites", { scopes: ["sign:git"] })).json.error, /^cannot grant scope you don't have: sign:git$/);
    for (const body of [{ scopes: [] }, { scopes: ["root"] }, { scopes: "bridgeCert" }, { ttl: 0 }, { ttl: "1" }, { ttl: 1.5 }]) {
      refused(await admin.browser.post("/invites", body), 400, "invalid_member");
    }
    refused(await admin.browser.post("/invites", "[]"), 400, "invalid_json");
    refused(await admin.browser.post("/invites", {}, { "sec-fetch-site": "cross-site" }), 403, "cross_site");
  });

  test("is stored as a hash, and looked for by nothing else", { skip: elsewhere }, async () => {
    const invite = await invited(admin.browser);
    const [[hash]] = query(databaseOf(authority.stateDir), `SELECT hex(token_hash) FROM invites WHERE id = '${invite.id}'`);
    assert.notEqual(hash, Buffer.from(invite.token, "base64url").toString("hex").toUpperCase());
    refused(await new Browser(authority).post("/invites/lookup", { token: Buffer.from(hash, "hex").toString("base64url") }), 403, "bad_invite");
    for (const token of ["", NO_SUCH_TOKEN, "é", "x".repeat(1000), invite.id]) {
      const answer = await new Browser(authority).post("/invites/lookup", { token });
      refused(answer, token === "" ? 400 : 403, token === "" ? "missing_invite_token" : "bad_invite");
    }
    refused(await new Browser(authority).post("/invites/lookup", { token: 1 }), 400, "invalid_member");
  });

  test("ends, and grants no more than its maker may grant when it is used", { skip: elsewhere }, async () => {
    const late = await invited(admin.browser);
    const wide = await invited(admin.browser, { scopes: ["bridgeCert", "certMint"] });
    const narrow = await invited(admin.browser);
    const begun = new Browser(authority);
    const { json } = await begun.post("/auth/passkey/register/options", { invite: wide.token });
    await meanwhile(authority, `UPDATE invites SET expires_at = 1 WHERE id = '${late.id}'; DELETE FROM grants WHERE scope = 'certMint' AND principal = '${admin.id}';`);
    refused((await join(authority, late.token)).answer, 403, "bad_invite");
    refused(await begun.answer(new Passkey(ES256), json), 403, "bad_invite");
    refused((await join(authority, wide.token)).answer, 403, "bad_invite");
    assert.equal((await join(authority, narrow.token)).answer.status, 200);
    const other = await invited(admin.browser);
    await meanwhile(authority, `UPDATE principals SET disabled_at = 1 WHERE id = '${admin.id}';`);
    refused((await join(authority, other.token)).answer, 403, "bad_invite");
    await meanwhile(authority, `UPDATE principals SET disabled_at = NULL WHERE id = '${admin.id}';`);
    assert.equal((await join(authority, other.token)).answer.status, 200);
  });

  test("grants nothing for longer than its maker has it, whenever it was made, nor do those of its guests", async () => {
    const scopes = ["bridgeCert", "authorityManage"];
    const { browser: ben } = await join(authority, (await invited(admin.browser, { scopes })).token);
    const { userId } = (await ben.me()).json;
    const before = await invited(ben, { scopes });
    const now = Math.floor(Date.now() / 1000);
    const until = { bridgeCert: now + 3600, authorityManage: now + 7200 };
    for (const [scope, expiresAt] of Object.entries(until)) {
      const granted = await admin.browser.post(`/admin/principals/${userId}/grants`, { scope, expiresAt });
      assert.equal(granted.status, 200, granted.text);
    }
    const after = await invited(ben, { scopes });
    const grantsOf = async (browser) => {
      const { userId: guest } = (await browser.me()).json;
      return (await admin.browser.call("GET", `/admin/grants?principal=${guest}`)).json.items;
    };
    for (const invite of [before, after]) {
      const { browser: guest, answer } = await join(authority, invite.token, { name: "Guest" });
      assert.equal(answer.status, 200, answer.text);
      const { browser: theirs } = await join(authority, (await invited(guest, { scopes })).token, { name: "Guest of a guest" });
      for (const browser of [guest, theirs]) {
        const grants = await grantsOf(browser);
        assert.deepEqual(grants.map(({ scope }) => scope).sort(), [...scopes].sort());
        for (const { scope, expiresAt } of grants) assert.ok(expiresAt > 0 && expiresAt <= until[scope], `${scope} until ${expiresAt}, and its maker's until ${until[scope]}`);
      }
    }
  });

  test("that promises more than an ordinary right needs a passkey shown a short while ago", { skip: elsewhere }, async () => {
    await meanwhile(authority, longAgo(300));
    refused(await admin.browser.post("/invites", { scopes: ["bridgeCert", "authorityManage"] }), 403, "step_up_required");
    await invited(admin.browser);
    assert.equal((await admin.browser.stepUp(admin.passkey)).status, 200);
    const wide = await invited(admin.browser, { scopes: ["bridgeCert", "authorityManage"] });
    const { browser } = await join(authority, wide.token, { name: "Second" });
    assert.equal((await browser.me()).json.isAdmin, true);
  });
});

describe("showing a passkey again", () => {
  let authority;
  let admin;
  before(async () => {
    authority = await start();
    admin = await administrator(authority);
  });
  after(() => authority?.stop());

  test("goes on with the session under another secret", { skip: elsewhere }, async () => {
    const { json: before } = await admin.browser.me();
    const old = admin.browser.cookie;
    const shown = await admin.browser.stepUp(admin.passkey);
    assert.equal(shown.status, 200, shown.text);
    assert.deepEqual(Object.keys(shown.json), ["verified", "freshUntil"]);
    assert.ok(Math.abs(shown.json.freshUntil - Date.now() / 1000 - 300) < 5);
    assert.notEqual(admin.browser.cookie, old);
    refused(await new Browser(authority).me({ cookie: old }), 401, "no_session");
    const { json: after } = await admin.browser.me();
    assert.deepEqual([after.session, after.userId, after.expiresAt], [before.session, before.userId, before.expiresAt]);
    assert.equal(trailOf(authority, "session.stepped_up").at(-1).actor, before.userId);
  });

  test("needs a session, and one of its holder's passkeys", async () => {
    refused(await new Browser(authority).post("/auth/passkey/step-up/options"), 401, "no_session");
    refused(await new Browser(authority).post("/auth/passkey/step-up/verify", {}), 401, "no_session");
    const { passkey: bens, browser: ben } = await join(authority, (await invited(admin.browser)).token);
    const options = await admin.browser.post("/auth/passkey/step-up/options");
    assert.deepEqual(options.json.allowCredentials.map(({ id }) => id), [admin.passkey.id.toString("base64url")]);
    refused(await admin.browser.stepUp(bens), 401, "unknown_passkey");
    // Another session's challenge, a sign-in's, and one that was used.
    const { json: foreign } = await ben.post("/auth/passkey/step-up/options");
    refused(await admin.browser.showAgain(admin.passkey, foreign), 400, "bad_challenge");
    const { json: signIn } = await admin.browser.post("/auth/passkey/login/options");
    refused(await admin.browser.showAgain(admin.passkey, signIn), 400, "bad_challenge");
    const { json: own } = await admin.browser.post("/auth/passkey/step-up/options");
    refused(await new Browser(authority).assert(admin.passkey, own), 400, "bad_challenge");
    const wrong = await admin.browser.showAgain(admin.passkey, own, { parts: (parts) => void (parts.flags &= ~0x04) });
    refused(wrong, 400, "user_not_verified");
    refused(await admin.browser.showAgain(admin.passkey, own), 400, "bad_challenge");
    assert.equal((await admin.browser.stepUp(admin.passkey)).status, 200);
  });
});

describe("one's own passkeys and sessions", () => {
  let authority;
  let admin;
  before(async () => {
    authority = await start();
    admin = await administrator(authority);
  });
  after(() => authority?.stop());

  const passkeysOf = async (browser) => (await browser.call("GET", "/me/passkeys")).json.passkeys;

  test("a further passkey belongs to the same principal, and the ones there are excluded", async () => {
    const old = admin.browser.cookie;
    const begun = await admin.browser.post("/auth/passkey/register/options", {});
    assert.equal(begun.status, 200, begun.text);
    assert.equal(begun.json.userId, admin.id);
    assert.equal(begun.json.isFirstUser, false);
    assert.deepEqual(begun.json.options.excludeCredentials.map(({ id }) => id), [admin.passkey.id.toString("base64url")]);
    assert.equal(begun.json.options.user.name, "Ana");
    const second = new Passkey(EDDSA);
    const registered = await admin.browser.answer(second, begun.json, undefined, { name: "Blue key" });
    assert.equal(registered.status, 200, registered.text);
    assert.notEqual(admin.browser.cookie, old, "the session goes on under another secret");
    const other = new Browser(authority);
    assert.equal((await other.signIn(second)).json.userId, admin.id);
    const list = await passkeysOf(admin.browser);
    assert.deepEqual(list.map(({ name, current }) => `${name} ${current}`).sort(), ["Blue key false", "passkey true"]);
    assert.deepEqual(Object.keys(list[0]), ["id", "name", "createdAt", "lastUsedAt", "backedUp", "synced", "aaguid", "current"]);
    assert.match(list[0].aaguid, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  });

  test("its last use is told, and moves when it is used again", { skip: noSqlite || (THROUGH_WRANGLER && "its state is elsewhere") }, async () => {
    const lastUse = async (name) => (await passkeysOf(admin.browser)).find((passkey) => passkey.name === name).lastUsedAt;
    const now = Date.now() / 1000;
    assert.ok(Math.abs((await lastUse("passkey")) - now) < 60);
    await meanwhile(authority, "UPDATE authenticators SET last_used_at = last_used_at - 1000;");
    const long = [await lastUse("passkey"), await lastUse("Blue key")];
    assert.ok(long[0] < now - 900);
    assert.equal((await new Browser(authority).signIn(admin.passkey)).status, 200);
    assert.ok(Math.abs((await lastUse("passkey")) - Date.now() / 1000) < 60);
    assert.equal(await lastUse("Blue key"), long[1], "of that one alone");
  });

  test("one that is known is refused, and one begun by another session too", async () => {
    refused(await admin.browser.register(admin.passkey, { wanted: {} }), 409, "credential_known");
    const other = new Browser(authority);
    await other.signIn(admin.passkey);
    const { json } = await admin.browser.post("/auth/passkey/register/options", {});
    refused(await other.answer(new Passkey(ES256), json), 401, "no_session");
    refused(await new Browser(authority).answer(new Passkey(ES256), json), 400, "bad_challenge");
  });

  test("a session that was proven long ago adds and removes nothing", { skip: elsewhere }, async () => {
    await meanwhile(authority, longAgo(300));
    refused(await admin.browser.post("/auth/passkey/register/options", {}), 403, "step_up_required");
    const [first] = await passkeysOf(admin.browser);
    refused(await admin.browser.call("DELETE", `/me/passkeys/${first.id}`), 403, "step_up_required");
    assert.equal((await admin.browser.stepUp(admin.passkey)).status, 200);
  });

  test("are named and removed by their owner alone, with the sessions that began with them", async () => {
    const { browser: ben } = await join(authority, (await invited(admin.browser)).token);
    const list = await passkeysOf(admin.browser);
    const [first, second] = [list.find(({ current }) => current), list.find(({ current }) => !current)];
    refused(await ben.post(`/me/passkeys/${first.id}`, { name: "mine" }), 404, "no_such_item");
    refused(await ben.call("DELETE", `/me/passkeys/${first.id}`), 404, "no_such_item");
    refused(await admin.browser.post(`/me/passkeys/${first.id}`, { name: "" }), 400, "invalid_member");
    refused(await admin.browser.post("/me/passkeys/nothing", { name: "x" }), 404, "no_such_item");
    const name = `<img src=x onerror=alert(1)> "'&`;
    assert.deepEqual((await admin.browser.post(`/me/passkeys/${second.id}`, { name })).json, { done: true });
    assert.equal((await passkeysOf(admin.browser)).find(({ id }) => id === second.id).name, name);
    assert.equal((await admin.browser.call("DELETE", `/me/passkeys/${second.id}`)).status, 200);
    assert.equal((await passkeysOf(admin.browser)).length, 1);
    refused(await admin.browser.call("DELETE", `/me/passkeys/${second.id}`), 404, "no_such_item");
  });

  test("the last passkey of the last administrator stays", async () => {
    const [only] = await passkeysOf(admin.browser);
    refused(await admin.browser.call("DELETE", `/me/passkeys/${only.id}`), 409, "last_administrator");
    assert.equal((await admin.browser.me()).status, 200);
    assert.equal((await new Browser(authority).signIn(admin.passkey)).status, 200);
    // With another administrator there it may go.
    const wide = await invited(admin.browser, { scopes: ["bridgeCert", "authorityManage", "certMint"] });
    const { browser: second } = await join(authority, wide.token);
    assert.equal((await admin.browser.call("DELETE", `/me/passkeys/${only.id}`)).status, 200);
    refused(await admin.browser.me(), 401, "no_session");
    refused(await new Browser(authority).signIn(admin.passkey), 401, "unknown_passkey");
    const [hers] = await passkeysOf(second);
    refused(await second.call("DELETE", `/me/passkeys/${hers.id}`), 409, "last_administrator");
    admin = { ...admin, browser: second };
  });

  test("two administrators who remove their last passkeys at once leave one", async () => {
    const alone = await start();
    try {
      const one = await administrator(alone);
      const wide = await invited(one.browser, { scopes: ["bridgeCert", "authorityManage", "certMint"] });
      const { browser: two } = await join(alone, wide.token);
      const removals = await Promise.all([one.browser, two].map(async (browser) => browser.call("DELETE", `/me/passkeys/${(await passkeysOf(browser))[0].id}`)));
      assert.deepEqual(removals.map(({ status }) => status).sort(), [200, 409]);
    } finally {
      await alone.stop();
    }
  });

  test("sessions are listed, and ended by their owner alone", async () => {
    const { browser: ben, passkey } = await join(authority, (await invited(admin.browser)).token);
    const other = new Browser(authority);
    await other.call("POST", "/auth/passkey/login/options", {});
    await other.signIn(passkey);
    const { json } = await ben.call("GET", "/me/sessions");
    assert.equal(json.items.length, 2);
    assert.deepEqual(json.items.map(({ current }) => current).sort(), [false, true]);
    const elsewhere = json.items.find(({ current }) => !current);
    assert.deepEqual(Object.keys(elsewhere), ["id", "principal", "displayName", "method", "source", "createdAt", "seenAt", "expiresAt", "current"]);
    refused(await admin.browser.call("DELETE", `/me/sessions/${elsewhere.id}`), 404, "no_such_item");
    assert.equal((await other.me()).status, 200);
    assert.deepEqual((await ben.call("DELETE", `/me/sessions/${elsewhere.id}`)).json, { done: true });
    refused(await other.me(), 401, "no_session");
    assert.equal((await ben.me()).status, 200);
  });

  test("signing in ends the session that the browser had", async () => {
    const { browser: ben, passkey } = await join(authority, (await invited(admin.browser)).token);
    const before = ben.cookie;
    assert.equal((await ben.signIn(passkey)).status, 200);
    refused(await new Browser(authority).me({ cookie: before }), 401, "no_session");
    assert.equal((await ben.call("GET", "/me/sessions")).json.items.length, 1);
  });
});

describe("recovery", () => {
  const NEW_CODE = "another-code-of-the-operator";

  test("lets a new administrator in with a new code, once, and removes nobody", { skip: elsewhere }, async () => {
    const authority = await start();
    try {
      const first = await administrator(authority);
      const attempt = (bootstrapCode, browser = new Browser(authority)) => browser.post("/auth/passkey/reset", { bootstrapCode, displayName: "Rescuer" });
      refused(await attempt(CODE), 403, "bad_bootstrap_code");
      refused(await attempt(""), 403, "bad_bootstrap_code");
      assert.equal((await first.browser.call("GET", "/auth/passkey/status")).json.recoveryArmed, false);
      await authority.kill9();
      await authority.restart({ vars: { BOOTSTRAP_CODE: NEW_CODE } });
      assert.equal((await first.browser.call("GET", "/auth/passkey/status")).json.recoveryArmed, true);
      refused(await attempt("a-guess-of-the-operators-code"), 403, "bad_bootstrap_code");
      const state = await new Browser(authority).call("GET", "/auth/state");
      assert.equal(state.json.firstBoot, "closed");
      const browser = new Browser(authority);
      const begun = await attempt(NEW_CODE, browser);
      assert.equal(begun.status, 200, begun.text);
      const { options, ...envelope } = begun.json;
      assert.deepEqual({ ...envelope, userId: undefined }, { ok: true, deleted: 0, isFirstUser: false, userId: undefined, scopes: ["bridgeCert", "authorityManage", "certMint"] });
      assert.equal(options.user.displayName, "Rescuer");
      // Failing doesn't use the code up, succeeding does.
      const failed = await browser.answer(new Passkey(ES256), begun.json, { parts: (parts) => void (parts.flags &= ~0x04) });
      refused(failed, 400, "user_not_verified");
      const again = await attempt(NEW_CODE, browser);
      const race = new Browser(authority);
      const other = await attempt(NEW_CODE, race);
      assert.equal((await browser.answer(new Passkey(ES256), again.json)).status, 200);
      refused(await race.answer(new Passkey(ES256), other.json), 403, "bad_bootstrap_code");
      refused(await attempt(NEW_CODE), 403, "bad_bootstrap_code");
      assert.equal((await browser.me()).json.isAdmin, true);
      assert.equal((await first.browser.me()).status, 200, "nobody is removed");
      assert.equal((await new Browser(authority).signIn(first.passkey)).status, 200);
      const [line] = trailOf(authority, "administrator.recovered");
      assert.equal(line.actor, (await browser.me()).json.userId);
      assert.ok(authority.logs().includes('"event":"recovery_began"'));
    } finally {
      await authority.stop();
    }
  });

  test("works after the last administrator is lost, and while others are there", { skip: elsewhere }, async () => {
    const authority = await start();
    try {
      const first = await administrator(authority);
      const { browser: ben } = await join(authority, (await invited(first.browser)).token);
      await meanwhile(authority, `DELETE FROM grants WHERE principal = '${first.id}' AND scope = 'authorityManage';`);
      await authority.kill9();
      await authority.restart({ vars: { BOOTSTRAP_CODE: NEW_CODE } });
      const browser = new Browser(authority);
      const begun = await browser.post("/auth/passkey/reset", { bootstrapCode: NEW_CODE });
      assert.equal((await browser.answer(new Passkey(ES256), begun.json)).status, 200);
      assert.equal((await browser.me()).json.isAdmin, true);
      assert.equal((await ben.me()).status, 200);
      refused(await new Browser(authority).register(new Passkey(ES256), { wanted: { bootstrapCode: NEW_CODE } }), 401, "registration_closed");
    } finally {
      await authority.stop();
    }
  });
});

describe("an authority that is open to all", () => {
  test("waits for its first administrator, then lets strangers in with the least right", async () => {
    const authority = await start({ REGISTRATION: "open" });
    try {
      const state = () => new Browser(authority).call("GET", "/auth/state");
      assert.deepEqual((await state()).json, { firstBoot: "armed", registration: false, rpId: "localhost" });
      refused(await new Browser(authority).register(new Passkey(ES256), { wanted: {} }), 401, "bootstrap_code_required");
      await administrator(authority);
      assert.deepEqual((await state()).json, { firstBoot: "closed", registration: true, rpId: "localhost" });
      const stranger = new Browser(authority);
      const registered = await stranger.register(new Passkey(ES256), { wanted: { displayName: "Stranger" } });
      assert.deepEqual(registered.json, { verified: true, scopes: ["bridgeCert"] });
      assert.equal((await stranger.me()).json.isAdmin, false);
      // Whoever gives a name is somebody new, also in a browser that is signed in.
      const { json: before } = await stranger.me();
      const newcomer = new Passkey(ES256);
      const { json: begun } = await stranger.post("/auth/passkey/register/options", { displayName: "Newcomer" });
      assert.notEqual(begun.userId, before.userId);
      assert.equal((await stranger.answer(newcomer, begun)).status, 200);
      assert.equal((await stranger.me()).json.displayName, "Newcomer");
      // A further passkey is somebody's: without a session there is nobody to have it.
      const further = new Browser(authority);
      refused(await further.post("/auth/passkey/register/options", { further: true }), 401, "no_session");
      further.cookie = stranger.cookie;
      await stranger.post("/logout");
      for (const wanted of [{}, { further: true }]) refused(await further.post("/auth/passkey/register/options", wanted), 401, "no_session");
    } finally {
      await authority.stop();
    }
  });

  test("is held up by nobody who begins and never ends: of very many it is the oldest that begin anew", { skip: noSqlite || (THROUGH_WRANGLER && "its state is elsewhere") }, async () => {
    const authority = await start({ REGISTRATION: "open" });
    try {
      await administrator(authority);
      const begin = async () => {
        const browser = new Browser(authority);
        const { status, json, text } = await browser.post("/auth/passkey/register/options", { displayName: "Stranger" });
        assert.equal(status, 200, text);
        return () => browser.answer(new Passkey(ES256), json);
      };
      const [oldest, older] = [await begin(), await begin()];
      const wait = "randomblob(32), printf('waits-%d', n), 'open', x'', 'W', unixepoch() + 290";
      await meanwhile(
        authority,
        `UPDATE registrations SET expires_at = expires_at - 30;
         UPDATE registrations SET expires_at = expires_at - 30 WHERE principal = (SELECT principal FROM registrations LIMIT 1);
         WITH RECURSIVE few(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM few LIMIT 9999) INSERT INTO registrations SELECT ${wait} FROM few;`,
      );
      const [first] = query(databaseOf(authority.stateDir), "SELECT COUNT(*) FROM registrations");
      assert.deepEqual(first, [10_001]);
      const next = await begin();
      assert.equal((await next()).status, 200, "a stranger isn't held up");
      const ended = await Promise.all([oldest(), older()]);
      assert.deepEqual(ended.map(({ status }) => status).sort(), [200, 400], "the oldest of all made room");
      assert.equal((await (await begin())()).status, 200);
    } finally {
      await authority.stop();
    }
  });

  test("is one only if it is told so", async () => {
    const authority = await start();
    try {
      await administrator(authority);
      refused(await new Browser(authority).register(new Passkey(ES256), { wanted: {} }), 401, "registration_closed");
      assert.equal((await new Browser(authority).call("GET", "/auth/state")).json.registration, false);
    } finally {
      await authority.stop();
    }
  });
});

describe("POST /cert/passkey", () => {
  let authority;
  let admin;
  before(async () => {
    authority = await start();
    admin = await administrator(authority);
  });
  after(() => authority?.stop());

  const valueOf = (browser) => browser.cookie.split("=")[1];

  test("takes proofs that are bound to the cookie's value", async () => {
    for (const legacy of [[], ["signing"], ["mtls", "signing"]]) {
      const { status, json, text } = await admin.browser.post("/cert/passkey", new Keys().body(valueOf(admin.browser), { legacy }));
      assert.equal(status, 200, text);
      assert.deepEqual(Object.keys(json), ["certificates", "identity", "scopes", "expires_at", "subject", "binding", "authority", "principal_id", "auth_method"]);
      assert.deepEqual([json.subject, json.principal_id, json.scopes], [admin.id, admin.id, ["bridgeCert"]]);
    }
  });

  test("takes no other proofs, and needs a session", async () => {
    const keys = new Keys();
    const spki = (key) => key.publicKey.export({ type: "spki", format: "der" });
    const bare = Buffer.concat([spki(keys.mtls), spki(keys.signing)]);
    const proofs = {
      mtls: sign("sha256", bare, { key: keys.mtls.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url"),
      signing: sign(null, bare, keys.signing.privateKey).toString("base64url"),
    };
    refused(await admin.browser.post("/cert/passkey", { public_keys: keys.publicKeys, proofs }), 401, "p256_possession_failed");
    refused(await admin.browser.post("/cert/passkey", keys.body("another cookie")), 401, "p256_possession_failed");
    refused(await new Browser(authority).post("/cert/passkey", keys.body("x")), 401, "no_session_cookie");
    const stranger = new Browser(authority);
    stranger.cookie = `notme_session=${NO_SUCH_TOKEN}`;
    refused(await stranger.post("/cert/passkey", keys.body(NO_SUCH_TOKEN)), 401, "invalid_session");
    refused(await admin.browser.post("/cert/passkey", {}), 400, "missing_public_keys");
    refused(await admin.browser.post("/cert/passkey", { public_keys: keys.publicKeys }), 400, "missing_proofs");
    const ineligible = await admin.browser.post("/cert/passkey", { ...keys.body(valueOf(admin.browser)), scopes: ["certMint"] });
    refused(ineligible, 403, "scopes_not_eligible");
    assert.equal(ineligible.json.error, "session holds no cert-eligible scopes (need bridgeCert)");
    // A plain pair isn't what somebody asked for who asks for something else.
    const delegation = "01010101-0101-4101-8101-010101010101";
    for (const more of [{ delegation }, { delegation: 7 }, { credential: "issuing" }, { credential: "token" }, { credential: 7 }, { delegation, credential: "issuing" }]) {
      refused(await admin.browser.post("/cert/passkey", { ...keys.body(valueOf(admin.browser)), ...more }), 400, "invalid_member");
    }
    const plain = await admin.browser.post("/cert/passkey", { ...keys.body(valueOf(admin.browser)), delegation: null, credential: "certificate" });
    assert.equal(plain.status, 200, plain.text);
    // The order of §8.2: no cookie, no keys, no good cookie, no good keys.
    for (const [cookie, request, status, error] of [
      [undefined, {}, 401, "session_required"],
      ["x", {}, 400, "public_keys.mtls and public_keys.signing required (SPKI PEM)"],
      ["x", { public_keys: keys.publicKeys }, 400, "proofs.mtls and proofs.signing required (signatures over the binding payload)"],
      ["x", keys.body("x"), 401, "invalid_session"],
      [NO_SUCH_TOKEN, keys.body("x"), 401, "invalid_session"],
      [NO_SUCH_TOKEN, { ...keys.body("x"), public_keys: { mtls: "x", signing: "y" } }, 401, "invalid_session"],
    ]) {
      const browser = new Browser(authority);
      browser.cookie = cookie && `notme_session=${cookie}`;
      const answer = await browser.post("/cert/passkey", request);
      assert.deepEqual([answer.status, answer.json.error], [status, error], `${cookie} ${Object.keys(request)}`);
    }
    assert.equal((await admin.browser.call("GET", "/cert/passkey")).status, 405);
  });

  test("what lacks keys is no request for a token, and a token is asked for elsewhere", async () => {
    refused(await admin.browser.post("/cert", { proof: { type: "session" } }), 400, "missing_public_keys");
    refused(await admin.browser.post("/cert", { proof: { type: "session" }, credential: "token" }), 400, "invalid_member");
  });
});

describe("what stands at well-known places", () => {
  test("related origins and the page where passkeys are managed", async () => {
    const authority = await start({ WEBAUTHN_RP_ID: "localhost", WEBAUTHN_ORIGINS: "http://localhost:1,http://localhost:2" });
    try {
      const origins = await new Browser(authority).call("GET", "/.well-known/webauthn");
      assert.deepEqual(origins.json, { origins: ["http://localhost:1", "http://localhost:2"] });
      assert.equal(origins.headers.get("content-type"), "application/json");
      const endpoints = await new Browser(authority).call("GET", "/.well-known/passkey-endpoints");
      assert.deepEqual(endpoints.json, { enroll: `${authority.url}/me`, manage: `${authority.url}/me` });
    } finally {
      await authority.stop();
    }
  });

  test("counts are for administrators", async () => {
    const authority = await start();
    try {
      const { browser } = await administrator(authority);
      const { browser: ben } = await join(authority, (await invited(browser)).token);
      const { json } = await browser.call("GET", "/auth/passkey/status");
      assert.deepEqual(json.passkey, { users: 2, credentials: 2, admins: 1 });
      assert.deepEqual([json.rpId, json.recoveryArmed, json.authority.epoch], ["localhost", false, 1]);
      assert.match(json.authority.keyId, /^[0-9a-f]{32}$/);
      refused(await ben.call("GET", "/auth/passkey/status"), 403, "manage_required");
      refused(await new Browser(authority).call("GET", "/auth/passkey/status"), 401, "no_session");
    } finally {
      await authority.stop();
    }
  });
});

test("a source is what the configured header says, and nothing else", { skip: elsewhere }, async () => {
  for (const [vars, expected] of [[{}, "192.0.2.7"], [{ NOTME_SOURCE_HEADER: "X-Real-IP" }, "192.0.2.8"], [{ NOTME_SOURCE_HEADER: "none" }, "127.0.0.1"]]) {
    const authority = await start(vars);
    try {
      const browser = new Browser(authority);
      const headers = { "cf-connecting-ip": "192.0.2.7", "x-real-ip": "192.0.2.8" };
      await browser.post("/auth/passkey/register/options", { bootstrapCode: "a-guess-of-a-code-1" }, headers);
      assert.equal(trailOf(authority, "bootstrap.refused")[0].source, expected);
    } finally {
      await authority.stop();
    }
  }
});
