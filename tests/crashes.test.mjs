// A crash in the middle of what people do: a ceremony that had begun ends after the restart, once; what was
// answered stays so.
import assert from "node:assert/strict";
import { X509Certificate, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { databaseOf, meanwhile, noSqlite, query } from "./support/state.mjs";

const noKnife = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");
const start = (vars = {}) => startAuthority({ vars: { BOOTSTRAP_CODE: CODE, ...vars } });

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
  assert.ok(!answer.set, "no cookie");
}

function good(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

async function crash(authority, changes) {
  await authority.kill9();
  await authority.restart(changes);
}

/** Somebody with a browser, a passkey and an id. */
async function person(authority, wanted) {
  const browser = new Browser(authority);
  const passkey = new Passkey(ES256);
  good(await browser.register(passkey, { wanted }));
  const { userId: id, session } = good(await browser.me());
  return { browser, passkey, id, session };
}

const first = (authority) => person(authority, { bootstrapCode: CODE, displayName: "Ana" });
const invite = async ({ browser }, body = {}) => good(await browser.post("/invites", body));
const guest = async (authority, host, displayName = "Ben") => person(authority, { invite: (await invite(host)).token, displayName });

describe("a ceremony that a crash came into", () => {
  let authority;
  let ana;
  before(async () => {
    authority = await start();
    ana = await first(authority);
  });
  after(() => authority?.stop());

  /** The same answer again, as it was sent. */
  const recorded = (browser) => {
    const sent = [];
    const post = browser.post;
    browser.post = (path, body, headers) => {
      sent.push([path, body]);
      return post(path, body, headers);
    };
    return { again: () => new Browser(authority).post(...sent.at(-1)) };
  };

  test("signs in afterwards, once, also after another crash", async () => {
    const browser = new Browser(authority);
    const options = good(await browser.post("/auth/passkey/login/options"));
    await crash(authority);
    const { again } = recorded(browser);
    assert.equal(good(await browser.assert(ana.passkey, options)).userId, ana.id);
    await crash(authority);
    assert.equal(good(await browser.me()).userId, ana.id, "the session is there");
    refused(await again(), 400, "bad_challenge");
  });

  test("leaves each session with its line in the trail, wherever a kill -9 comes into a flood of sign-ins", { skip: noKnife }, async () => {
    const admin = { browser: new Browser(authority) };
    for (let round = 0; round < 4; round++) {
      // Fewer in all than there may be by one passkey.
      const challenges = [];
      for (let i = 0; i < 20; i++) challenges.push(good(await new Browser(authority).post("/auth/passkey/login/options")));
      const answers = challenges.map((options) => new Browser(authority).assert(ana.passkey, options).catch(() => undefined));
      await Promise.race(answers.slice(round));
      await crash(authority);
      await Promise.all(answers);
      const file = databaseOf(authority.stateDir);
      const began = query(file, "SELECT json_extract(details, '$.authenticator') FROM audit WHERE action = 'session.began'").length;
      const ended = query(file, "SELECT 1 FROM audit WHERE action = 'session.ended'").length;
      const [[begun]] = query(file, "SELECT COUNT(*) FROM sessions");
      const [[registered]] = query(file, "SELECT COUNT(*) FROM audit WHERE action = 'principal.registered'");
      assert.equal(begun, began - ended + registered, `round ${round}`);
    }
    good(await admin.browser.signIn(ana.passkey));
  });

  test("begins no session whose line can't be written, nor one beside another that can't be ended", { skip: noKnife }, async () => {
    const count = () => query(databaseOf(authority.stateDir), "SELECT (SELECT COUNT(*) FROM sessions), (SELECT COUNT(*) FROM audit)")[0];
    const fails = async (trigger, browser) => {
      await meanwhile(authority, `CREATE TRIGGER stop ${trigger} BEGIN SELECT RAISE(ABORT, 'stopped'); END;`);
      const options = good(await browser.post("/auth/passkey/login/options"));
      const before = count();
      refused(await browser.assert(ana.passkey, options), 500, "internal");
      assert.deepEqual(count(), before);
      await meanwhile(authority, "DROP TRIGGER stop;");
      return options;
    };
    const began = "BEFORE INSERT ON audit WHEN NEW.action = 'session.began'";
    const stranger = new Browser(authority);
    refused(await stranger.assert(ana.passkey, await fails(began, stranger)), 400, "bad_challenge");
    // Where a session is ended too all is one transaction. A fault of ours takes nothing of it then.
    const signedIn = new Browser(authority);
    good(await signedIn.signIn(ana.passkey));
    for (const trigger of [began, "BEFORE DELETE ON sessions"]) {
      const options = await fails(trigger, signedIn);
      good(await signedIn.assert(ana.passkey, options));
      refused(await signedIn.assert(ana.passkey, options), 400, "bad_challenge");
    }
    good(await signedIn.me());
  });

  test("that failed has used its challenge up, also after a crash", async () => {
    const browser = new Browser(authority);
    const options = good(await browser.post("/auth/passkey/login/options"));
    refused(await browser.assert(ana.passkey, options, { parts: (parts) => void (parts.flags &= ~0x04) }), 400, "user_not_verified");
    await crash(authority);
    refused(await browser.assert(ana.passkey, options), 400, "bad_challenge");
    const { json: again } = await browser.post("/auth/passkey/login/options");
    const torn = { response: { ...JSON.parse(ana.passkey.authenticate(browser.ceremony(again.challenge))), type: 1 } };
    refused(await browser.post("/auth/passkey/login/verify", torn), 400, "response_malformed");
    await crash(authority);
    refused(await browser.assert(ana.passkey, again), 400, "bad_challenge");
  });

  test("shows a passkey again afterwards, once, and the secret before is worth nothing", async () => {
    const one = { browser: new Browser(authority) };
    good(await one.browser.signIn(ana.passkey));
    const before = one.browser.cookie;
    const options = good(await one.browser.post("/auth/passkey/step-up/options"));
    await crash(authority);
    good(await one.browser.showAgain(ana.passkey, options));
    await crash(authority);
    good(await one.browser.me());
    refused(await new Browser(authority).me({ cookie: before }), 401, "no_session");
    refused(await one.browser.showAgain(ana.passkey, options), 400, "bad_challenge");
  });

  for (const [way, verify] of [
    ["by the passkey routes", (browser, passkey, begun) => browser.answer(passkey, begun)],
    ["by POST /join", (browser, passkey, begun, token) => {
      passkey.owner = Buffer.from(begun.options.user.id, "base64url");
      const response = JSON.parse(passkey.register(browser.ceremony(begun.options.challenge), "none"));
      return browser.post("/join", { token, proof: { type: "passkey", userId: begun.userId, response } });
    }],
  ]) {
    test(`joins by an invite afterwards, ${way}, exactly once`, async () => {
      const { token } = await invite(ana);
      const [browser, rival] = [new Browser(authority), new Browser(authority)];
      const begun = good(await browser.post("/auth/passkey/register/options", { invite: token, displayName: "Ben" }));
      const rivals = good(await rival.post("/auth/passkey/register/options", { invite: token, displayName: "Rival" }));
      await crash(authority);
      const passkey = new Passkey(ES256);
      const { again } = recorded(browser);
      good(await verify(browser, passkey, begun, token));
      await crash(authority);
      assert.equal(good(await browser.me()).userId, begun.userId);
      refused(await again(), 400, "bad_challenge");
      refused(await verify(rival, new Passkey(ES256), rivals, token), 403, "bad_invite");
      refused(await new Browser(authority).post("/auth/passkey/register/options", { invite: token }), 403, "bad_invite");
      assert.equal(good(await new Browser(authority).signIn(passkey)).userId, begun.userId);
      assert.equal(good(await ana.browser.call("GET", `/admin/authenticators?principal=${begun.userId}`)).items.length, 1);
      const { items } = good(await ana.browser.call("GET", "/admin/audit?action=principal.registered&limit=1000"));
      assert.equal(items.filter(({ target }) => target === begun.userId).length, 1);
      assert.equal(items.filter(({ target }) => target === rivals.userId).length, 0);
    });
  }

  test("recovers afterwards, once, and removes nobody", async () => {
    const NEW_CODE = "another-code-of-the-operator";
    await crash(authority, { vars: { BOOTSTRAP_CODE: NEW_CODE } });
    const [browser, rival] = [new Browser(authority), new Browser(authority)];
    const begun = good(await browser.post("/auth/passkey/reset", { bootstrapCode: NEW_CODE, displayName: "Rescuer" }));
    const rivals = good(await rival.post("/auth/passkey/reset", { bootstrapCode: NEW_CODE, displayName: "Rival" }));
    await crash(authority);
    assert.equal(good(await ana.browser.call("GET", "/auth/passkey/status")).recoveryArmed, true, "beginning used nothing up");
    const { again } = recorded(browser);
    good(await browser.answer(new Passkey(ES256), begun));
    await crash(authority);
    assert.equal(good(await browser.me()).isAdmin, true);
    assert.equal(good(await ana.browser.me()).isAdmin, true);
    refused(await again(), 400, "bad_challenge");
    refused(await rival.answer(new Passkey(ES256), rivals), 403, "bad_bootstrap_code");
    refused(await rival.post("/auth/passkey/reset", { bootstrapCode: NEW_CODE }), 403, "bad_bootstrap_code");
    assert.equal(good(await ana.browser.call("GET", "/auth/passkey/status")).recoveryArmed, false);
  });
});

describe("what was taken back a moment before a crash", () => {
  let authority;
  let ana;
  before(async () => {
    authority = await start();
    ana = await first(authority);
  });
  after(() => authority?.stop());

  const remove = (browser, path) => browser.call("DELETE", path);
  const listed = async (path) => good(await ana.browser.call("GET", path)).items;

  /** A pair for whoever has the session. */
  function mint(browser) {
    const keys = new Keys();
    const spki = (key) => key.export({ type: "spki", format: "der" });
    const message = Buffer.concat([spki(keys.mtls.publicKey), spki(keys.signing.publicKey)]);
    const proofs = {
      mtls: sign("sha256", message, { key: keys.mtls.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url"),
      signing: sign(null, message, keys.signing.privateKey).toString("base64url"),
    };
    return browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs });
  }

  /** What is taken back, by what, and how one sees that it is. Each gives the line of the trail to look for. */
  const REVOCATIONS = {
    "a principal": async (ben) => ({
      act: () => ana.browser.post(`/admin/principals/${ben.id}/disable`),
      line: [ben.id, "principal.disabled"],
      look: async () => {
        refused(await ben.browser.me(), 401, "no_session");
        refused(await new Browser(authority).signIn(ben.passkey), 401, "unknown_passkey");
        assert.deepEqual((await listed(`/admin/credentials?principal=${ben.id}`)).map(({ state }) => state), ["revoked"]);
      },
    }),
    "a grant": async (ben) => ({
      act: () => remove(ana.browser, `/admin/principals/${ben.id}/grants/bridgeCert`),
      line: [ben.id, "grant.revoked"],
      look: async () => {
        assert.deepEqual(good(await ben.browser.me()).scopes, []);
        refused(await mint(ben.browser), 403, "scopes_not_granted");
      },
    }),
    "a session": async (ben) => ({
      act: () => remove(ana.browser, `/admin/sessions/${ben.session}`),
      line: [ben.session, "session.revoked"],
      look: async () => refused(await ben.browser.me(), 401, "no_session"),
    }),
    "a way in": async (ben) => {
      const [{ id }] = await listed(`/admin/authenticators?principal=${ben.id}`);
      return {
        act: () => remove(ana.browser, `/admin/authenticators/${id}`),
        line: [id, "authenticator.removed"],
        look: async () => {
          refused(await ben.browser.me(), 401, "no_session");
          refused(await new Browser(authority).signIn(ben.passkey), 401, "unknown_passkey");
        },
      };
    },
    "a pair": async (ben, pair) => {
      const serial = new X509Certificate(pair.certificates.mtls).serialNumber.toLowerCase().padStart(32, "0");
      return {
        act: () => remove(ana.browser, `/admin/credentials/${serial}`),
        line: [serial, "credential.revoked"],
        look: async () => assert.deepEqual((await listed(`/admin/credentials?serial=${serial}`)).map(({ state }) => state), ["revoked"]),
      };
    },
    "an invite": async () => {
      const { id, token } = await invite(ana);
      return {
        act: () => remove(ana.browser, `/invites/${id}`),
        line: [id, "invite.revoked"],
        look: async () => refused(await new Browser(authority).post("/invites/lookup", { token }), 403, "bad_invite"),
      };
    },
    "one's own session, by signing out": async (ben) => {
      const { cookie } = ben.browser;
      return {
        act: () => ben.browser.post("/logout"),
        line: [ben.id, "session.ended"],
        look: async () => refused(await new Browser(authority).me({ cookie }), 401, "no_session"),
      };
    },
    "one's own passkey": async (ben) => {
      const [{ id }] = good(await ben.browser.call("GET", "/me/passkeys")).passkeys;
      return {
        act: () => remove(ben.browser, `/me/passkeys/${id}`),
        line: [id, "authenticator.removed"],
        look: async () => refused(await new Browser(authority).signIn(ben.passkey), 401, "unknown_passkey"),
      };
    },
  };

  for (const [what, prepare] of Object.entries(REVOCATIONS)) {
    test(`${what} stays taken back, with its line in the trail`, async () => {
      const ben = await guest(authority, ana);
      const pair = good(await mint(ben.browser));
      const { act, line, look } = await prepare(ben, pair);
      const answer = await act();
      await authority.kill9(); // at once, before anything else is asked
      good(answer);
      await authority.restart();
      await look();
      const [target, action] = line;
      assert.equal((await listed(`/admin/audit?target=${target}&action=${action}`)).length, 1);
    });
  }
});
