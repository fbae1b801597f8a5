// People: first boot, passkeys and sessions, with an authenticator in software against a real
// authority.
import assert from "node:assert/strict";
import { X509Certificate, createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Keys } from "./support/client.mjs";
import { databaseOf, noSqlite, query } from "./support/state.mjs";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { BE, BS, ES256, EDDSA, Passkey, RS256, UP, UV } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";

const ORIGIN_SECONDS = 86_400;

const start = (vars = {}) => startAuthority({ vars: { BOOTSTRAP_CODE: CODE, ...vars } });

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.code, code, answer.text);
  assert.ok(!answer.set, "no cookie");
}

describe("first boot", () => {
  test("an authority without people says what it waits for, and asking changes nothing", async () => {
    const authority = await start();
    const bare = await start({ BOOTSTRAP_CODE: undefined });
    try {
      for (let i = 0; i < 3; i++) {
        const armed = await new Browser(authority).post("/auth/passkey/register/options");
        refused(armed, 401, "bootstrap_code_required");
        assert.match(armed.json.error, /^bootstrap code required — supply the BOOTSTRAP_CODE this deployment was configured with/);
        const unconfigured = await new Browser(bare).post("/auth/passkey/register/options", { bootstrapCode: CODE });
        refused(unconfigured, 401, "no_bootstrap_code");
        assert.match(unconfigured.json.error, /^this authority has no administrator and no bootstrap secret — /);
      }
    } finally {
      await authority.stop();
      await bare.stop();
    }
  });

  test("the code lets one administrator in, and is used up by success alone", async () => {
    const authority = await start();
    try {
      const browser = new Browser(authority);
      refused(await browser.post("/auth/passkey/register/options", { bootstrapCode: "correct-horse-battery-stapl3" }), 403, "bad_bootstrap_code");
      refused(await browser.register(new Passkey(ES256), { bends: { parts: (parts) => void (parts.flags &= ~0x04) } }), 400, "user_not_verified");
      const passkey = new Passkey(ES256);
      const registered = await browser.register(passkey);
      assert.equal(registered.status, 200, registered.text);
      assert.deepEqual(registered.json, { verified: true, scopes: ["bridgeCert", "authorityManage", "certMint"] });
      assert.match(registered.set, new RegExp(`^notme_session=[\\w-]{43}; HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age=${ORIGIN_SECONDS}$`));
      const { json: me } = await browser.me();
      assert.equal(me.displayName, "Ana");
      assert.equal(me.isAdmin, true);
      assert.equal(me.authMethod, "passkey");
      assert.ok(Math.abs(me.expiresAt - Date.now() / 1000 - ORIGIN_SECONDS) < 5);
      // The door is shut behind them, for the same code and without one.
      const second = await new Browser(authority).register(new Passkey(ES256));
      refused(second, 401, "registration_closed");
      assert.match(second.json.error, /^this authority already has an administrator — /);
      // Wrangler lists variables when it starts; what we write are objects.
      assert.ok(!authority.logs().split("\n").some((line) => line.startsWith("{") && line.includes(CODE)));
    } finally {
      await authority.stop();
    }
  });

  test("options are those of the protocol", async () => {
    const authority = await start();
    try {
      const { json } = await new Browser(authority).post("/auth/passkey/register/options", { bootstrapCode: CODE, displayName: "Ana" });
      const { options, ...envelope } = json;
      assert.deepEqual(Object.keys(envelope), ["isFirstUser", "userId", "scopes"]);
      assert.deepEqual(options.rp, { name: "notme", id: "localhost" });
      assert.equal(Buffer.from(options.user.id, "base64url").toString(), json.userId);
      assert.equal(options.user.displayName, "Ana");
      assert.equal(Buffer.from(options.challenge, "base64url").length, 32);
      assert.deepEqual(options.pubKeyCredParams.map(({ alg }) => alg), [-8, -7, -257]);
      assert.equal(options.authenticatorSelection.userVerification, "required");
      assert.equal(options.attestation, "none");
    } finally {
      await authority.stop();
    }
  });

  test("of 50 first registrations at once one succeeds", async () => {
    const authority = await start();
    try {
      const begun = await Promise.all(Array.from({ length: 50 }, async () => {
        const browser = new Browser(authority);
        return { browser, ...(await browser.post("/auth/passkey/register/options", { bootstrapCode: CODE })) };
      }));
      const answers = await Promise.all(begun.map(({ browser, json }) => browser.answer(new Passkey(ES256), json)));
      const codes = answers.map(({ status, json }) => `${status} ${json.code ?? ""}`).sort();
      assert.deepEqual(new Set(codes), new Set(["200 ", "403 bad_bootstrap_code"]));
      assert.equal(codes.filter((code) => code === "200 ").length, 1);
    } finally {
      await authority.stop();
    }
  });

  test("a ceremony survives kill -9 between its halves, and its success survives another", async () => {
    const authority = await start();
    try {
      const browser = new Browser(authority);
      const { json } = await browser.post("/auth/passkey/register/options", { bootstrapCode: CODE });
      await authority.kill9();
      await authority.restart();
      const passkey = new Passkey(EDDSA);
      const registered = await browser.answer(passkey, json);
      assert.equal(registered.status, 200, registered.text);
      await authority.kill9();
      await authority.restart();
      assert.equal((await browser.me()).status, 200);
      assert.equal((await new Browser(authority).signIn(passkey)).status, 200);
      refused(await new Browser(authority).register(new Passkey(ES256)), 401, "registration_closed");
    } finally {
      await authority.stop();
    }
  });

  test("guessing is slowed down, and not for good", async () => {
    const authority = await start();
    try {
      const guess = (i, from) => new Browser(authority).post("/auth/passkey/register/options", { bootstrapCode: `a-guess-of-a-code-${i}` }, { "cf-connecting-ip": from });
      for (let i = 0; i < 5; i++) refused(await guess(i, "192.0.2.1"), 403, "bad_bootstrap_code");
      const slowed = await guess(5, "192.0.2.1");
      refused(slowed, 429, "too_many_tries");
      assert.ok(Number(slowed.headers.get("retry-after")) <= 12);
      // Others aren't locked out.
      assert.equal((await new Browser(authority).post("/auth/passkey/register/options", { bootstrapCode: CODE }, { "cf-connecting-ip": "192.0.2.2" })).status, 200);
    } finally {
      await authority.stop();
    }
  });

  test("one who guesses from all over a network of theirs is one source; and where nobody is told apart a guess holds up no right code", async () => {
    const authority = await start({ NOTME_SOURCE_HEADER: "X-Real-IP" });
    try {
      const present = (bootstrapCode, from) => new Browser(authority).post("/auth/passkey/register/options", { bootstrapCode }, from === undefined ? {} : { "x-real-ip": from });
      for (let i = 0; i < 5; i++) refused(await present(`a-guess-of-a-code-${i}`, `2001:db8:0:1:${i}::7`), 403, "bad_bootstrap_code");
      refused(await present("a-guess-of-a-code", "2001:db8:0:1::8"), 429, "too_many_tries");
      refused(await present("a-guess-of-a-code", "2001:db8:0:2::8"), 403, "bad_bootstrap_code");
      // These come from nowhere that is known.
      for (let i = 0; i < 10; i++) refused(await present(`a-guess-of-a-code-${i}`), 403, "bad_bootstrap_code");
      assert.equal((await present(CODE)).status, 200);
    } finally {
      await authority.stop();
    }
  });

  test("a flood of guesses from everywhere, by both ways, keeps no right code out, and the trail short", { skip: noSqlite || (THROUGH_WRANGLER && "its state is elsewhere") }, async () => {
    const authority = await start({ NOTME_SOURCE_HEADER: "X-Real-IP" });
    try {
      const WAYS = ["/auth/passkey/register/options", "/auth/passkey/reset"];
      let tries = 0;
      // Where it says that it is, in a header that isn't the configured one, changes nothing.
      const from = (source) => ({ "x-real-ip": source, "cf-connecting-ip": `198.51.100.${(tries += 1) % 250}` });
      const present = (way, bootstrapCode, source) => new Browser(authority).post(WAYS[way % 2], { bootstrapCode }, from(source));
      let wrong = 0;
      const guess = async (source) => {
        const answer = await present(tries, `a-guess-of-a-code-${tries}`, source);
        if (answer.status === 429) refused(answer, 429, "too_many_tries");
        else {
          refused(answer, 403, "bad_bootstrap_code");
          wrong += 1;
        }
        return answer.status;
      };
      const wait = (answer) => {
        refused(answer, 429, "too_many_tries");
        const seconds = answer.headers.get("retry-after");
        assert.match(seconds, /^[1-9]\d?$/);
        return Number(seconds);
      };

      // One source has used its tries up, by both ways together; not even the right code helps it now.
      for (let i = 0; i < 5; i++) assert.equal(await guess("192.0.2.1"), 403, `${i}`);
      const began = Date.now();
      const seconds = Math.max(...(await Promise.all([0, 1].map((way) => present(way, CODE, "192.0.2.1")))).map(wait));
      const slowed = Date.now();
      assert.ok(seconds <= 12, String(seconds));
      for (const way of [0, 1]) assert.equal((await present(way, CODE, "192.0.2.2")).status, 200, "others aren't locked out");

      // Many sources together: then who is wrong waits, whether they were there before or not.
      const many = async () => {
        for (let i = 0; i < 100; i++) if ((await guess(`203.0.113.${tries % 250}`)) === 429) return;
        assert.fail(`${wrong} guesses, and no end`);
      };
      await many();
      const others = await Promise.all([0, 1].flatMap((way) => ["192.0.2.2", "192.0.2.3"].map((source) => present(way, CODE, source))));
      for (const answer of others) assert.equal(answer.status, 200, answer.text);
      assert.ok(wrong >= 60 && wrong <= 60 + Math.ceil((Date.now() - began) / 1000) + 5, `${wrong} guesses`);
      const flooded = Array.from({ length: 20 }, (_, i) => present(i, "a-guess-of-a-code", `198.51.100.${i}`));
      const told = await Promise.all(flooded);
      wrong += told.filter(({ status }) => status === 403).length;
      const waits = told.filter(({ status }) => status !== 403).map(wait);
      assert.ok(waits.length > 0 && Math.max(...waits) <= 2, String(waits));

      // And the first source, which waited as long as it was told.
      await sleep(Math.max(0, slowed + seconds * 1000 - Date.now()));
      const passkey = new Passkey(ES256);
      const browser = new Browser(authority);
      const begun = await browser.post(WAYS[0], { bootstrapCode: CODE }, from("192.0.2.1"));
      assert.equal(begun.status, 200, begun.text);
      assert.equal((await browser.answer(passkey, begun.json)).status, 200);
      const [[lines]] = query(databaseOf(authority.stateDir), "SELECT COUNT(*) FROM audit WHERE action = 'bootstrap.refused'");
      assert.equal(lines, wrong, "each guess is in the trail");
    } finally {
      await authority.stop();
    }
  });
});

describe("an administrator", () => {
  let authority;
  let passkey;
  let browser;
  before(async () => {
    authority = await start();
    browser = new Browser(authority);
    passkey = new Passkey(ES256, { counter: 7 });
    assert.equal((await browser.register(passkey)).status, 200);
  });
  after(() => authority?.stop());

  test("signs in as the same principal, with a new session each time", async () => {
    const { json: before } = await browser.me();
    const other = new Browser(authority);
    const signedIn = await other.signIn(passkey);
    assert.equal(signedIn.status, 200, signedIn.text);
    assert.deepEqual(signedIn.json, { verified: true, userId: before.userId, isAdmin: true });
    assert.notEqual(other.cookie, browser.cookie);
    assert.equal((await other.me()).json.userId, before.userId);
  });

  test("signs out, and the session is over at once, and no other one", async () => {
    const other = new Browser(authority);
    await other.signIn(passkey);
    const cookie = other.cookie;
    const out = await other.post("/logout");
    assert.equal(out.status, 200, out.text);
    assert.match(out.set, /^notme_session=; .*Max-Age=0$/);
    refused(await other.me({ cookie }), 401, "no_session");
    assert.equal((await browser.me()).status, 200);
    assert.equal((await new Browser(authority).post("/logout")).status, 200, "nobody is signed out already");
  });

  test("has a session by its cookie alone", async () => {
    for (const cookie of [
      "notme_session=",
      "notme_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
      "notme_session=eyJwcmluY2lwYWxJZCI6IjEiLCJleHAiOjk5OTk5OTk5OTl9.c2lnbmF0dXJl",
      `${browser.cookie}x`,
      `${browser.cookie}; notme_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA`,
    ]) {
      refused(await new Browser(authority).me({ cookie }), 401, "no_session");
    }
    refused(await new Browser(authority).me(), 401, "no_session");
  });

  test("keeps sessions out of reach of other sites' pages", async () => {
    for (const headers of [{ "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://evil.example" }, { origin: "null" }]) {
      for (const path of ["/logout", "/auth/passkey/login/options", "/auth/passkey/login/verify", "/auth/passkey/register/options"]) {
        const other = new Browser(authority);
        refused(await other.post(path, {}, headers), 403, "cross_site");
      }
      refused(await browser.me(headers), 403, "cross_site");
    }
    const form = await browser.post("/logout", "a=b", { "content-type": "application/x-www-form-urlencoded" });
    refused(form, 415, "unsupported_media_type");
    assert.equal((await browser.me()).status, 200);
  });

  test("answers a challenge once", async () => {
    const other = new Browser(authority);
    const { json: options } = await other.post("/auth/passkey/login/options");
    assert.equal((await other.assert(passkey, options)).status, 200);
    refused(await other.assert(passkey, options), 400, "bad_challenge");
  });

  test("of 20 answers to one challenge one succeeds", async () => {
    const { json: options } = await new Browser(authority).post("/auth/passkey/login/options");
    const answers = await Promise.all(Array.from({ length: 20 }, () => new Browser(authority).assert(passkey, options)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 400, "bad_challenge");
  });

  test("uses a challenge up by failing, too", async () => {
    const other = new Browser(authority);
    const { json: options } = await other.post("/auth/passkey/login/options");
    refused(await other.assert(passkey, options, { signature: (s) => Buffer.concat([s.subarray(0, -1), Buffer.from([s.at(-1) ^ 1])]) }), 400, "signature_invalid");
    refused(await other.assert(passkey, options), 400, "bad_challenge");
  });

  test("answers challenges of this authority, for this ceremony", async () => {
    const other = new Browser(authority);
    const made = Buffer.alloc(32, 7).toString("base64url");
    refused(await other.assert(passkey, { challenge: made }), 400, "bad_challenge");
    const elsewhere = await start();
    try {
      const { json: theirs } = await new Browser(elsewhere).post("/auth/passkey/login/options");
      refused(await other.assert(passkey, theirs), 400, "bad_challenge");
      const { json: registration } = await new Browser(elsewhere).post("/auth/passkey/register/options", { bootstrapCode: CODE });
      const swapped = await new Browser(elsewhere).assert(passkey, registration.options);
      refused(swapped, 400, "bad_challenge");
      // A sign-in's challenge registers nobody.
      const { json: signIn } = await new Browser(elsewhere).post("/auth/passkey/login/options");
      registration.options.challenge = signIn.challenge;
      refused(await new Browser(elsewhere).answer(new Passkey(ES256), registration), 400, "bad_challenge");
    } finally {
      await elsewhere.stop();
    }
  });

  test("is let in by a registered passkey, for this place, with a finger on it", async () => {
    const bends = {
      origin_mismatch: { client: (client) => void (client.origin = "https://evil.example") },
      rp_id_mismatch: { parts: (parts) => void (parts.rpIdHash = Buffer.alloc(32)) },
      user_not_verified: { parts: (parts) => void (parts.flags &= ~0x04) },
      user_not_present: { parts: (parts) => void (parts.flags &= ~0x01) },
    };
    for (const [code, bend] of Object.entries(bends)) refused(await new Browser(authority).signIn(passkey, bend), 400, code);
    const stranger = new Passkey(ES256);
    stranger.owner = passkey.owner;
    refused(await new Browser(authority).signIn(stranger), 401, "unknown_passkey");
  });

  test("whose counter went back is let in, and it is noticed", { skip: noSqlite || (THROUGH_WRANGLER && "its state is elsewhere") }, async () => {
    const kept = () => query(databaseOf(authority.stateDir), "SELECT sign_count FROM passkeys")[0][0];
    const [counter, before] = [passkey.counter, kept()];
    passkey.counter = 2;
    const answer = await new Browser(authority).signIn(passkey);
    assert.equal(answer.status, 200);
    const id = answer.headers.get("x-request-id");
    const [[details]] = query(databaseOf(authority.stateDir), `SELECT details FROM audit WHERE request_id = '${id}'`);
    assert.equal(JSON.parse(details).counter_went_back, true);
    assert.equal(kept(), before, "the higher one stays");
    // The same where a passkey is shown again; and a higher one is kept, and nothing to be noticed.
    for (const [shown, expected] of [[3, true], [before + 10, false]]) {
      passkey.counter = shown - 1;
      const stepped = await browser.stepUp(passkey);
      assert.equal(stepped.status, 200, stepped.text);
      const [[action, line]] = query(databaseOf(authority.stateDir), `SELECT action, details FROM audit WHERE request_id = '${stepped.headers.get("x-request-id")}'`);
      assert.deepEqual([action, JSON.parse(line).counter_went_back], ["session.stepped_up", expected]);
      assert.equal(kept(), Math.max(before, shown));
    }
    passkey.counter = Math.max(counter, before + 10);
  });

  test("whose passkey is backed up, or isn't any more, sees that", async () => {
    const other = await start();
    try {
      const theirs = new Passkey(ES256, { flags: UP | UV | BE });
      const at = new Browser(other);
      const bends = { envelope: (envelope) => void (envelope.response.transports = ["usb", "nfc", "unheard-of", "usb"]) };
      assert.equal((await at.register(theirs, { bends })).status, 200);
      const listed = async () => (await at.call("GET", "/me/passkeys")).json.passkeys.map(({ backedUp, synced }) => [backedUp, synced]);
      assert.deepEqual(await listed(), [[false, true]]);
      for (const [flags, backedUp] of [[UP | UV | BE | BS, true], [UP | UV | BE, false], [UP | UV | BE | BS, true]]) {
        theirs.flags = flags;
        assert.equal((await at.signIn(theirs)).status, 200);
        assert.deepEqual(await listed(), [[backedUp, true]]);
        // One that is shown again tells it too.
        theirs.flags = flags ^ BS;
        assert.equal((await at.stepUp(theirs)).status, 200);
        assert.deepEqual(await listed(), [[!backedUp, true]]);
      }
      // What it never may be it can't become, and nothing is noted of what was refused.
      const before = await listed();
      theirs.flags = UP | UV;
      refused(await new Browser(other).signIn(theirs), 400, "backup_eligibility_changed");
      theirs.flags = UP | UV | BS;
      refused(await new Browser(other).signIn(theirs), 400, "backup_state_invalid");
      assert.deepEqual(await listed(), before);
      // How it is reached is kept for those who ask for it, as far as it means something.
      const { json: further } = await at.post("/auth/passkey/register/options");
      const expected = [{ type: "public-key", id: theirs.id.toString("base64url"), transports: ["usb", "nfc"] }];
      const shown = (list) => list.map(({ type, id, transports }) => ({ type, id, transports }));
      assert.deepEqual(shown(further.options.excludeCredentials), expected);
      const { json: again } = await at.post("/auth/passkey/step-up/options");
      assert.deepEqual(shown(again.allowCredentials), expected);
    } finally {
      await other.stop();
    }
  });

  test("leaves a trail of who, what, when and from where, and no secret", { skip: noSqlite || (THROUGH_WRANGLER && "its state is elsewhere") }, async () => {
    const other = new Browser(authority);
    const from = { "cf-connecting-ip": "192.0.2.9" };
    const { json: options } = await other.post("/auth/passkey/login/options");
    passkey.counter += 1;
    const response = JSON.parse(passkey.authenticate(other.ceremony(options.challenge)));
    const signedIn = await other.post("/auth/passkey/login/verify", { response }, from);
    const { json: me } = await other.me();
    const out = await other.post("/logout", {}, from);
    const ids = [signedIn, out].map(({ headers }) => headers.get("x-request-id"));
    const rows = query(databaseOf(authority.stateDir), `SELECT actor, action, source, request_id, at FROM audit WHERE request_id IN ('${ids.join("','")}') ORDER BY id`);
    assert.deepEqual(rows.map((row) => row.slice(0, 4)), [
      [me.userId, "session.began", "192.0.2.9", ids[0]],
      [me.userId, "session.ended", "192.0.2.9", ids[1]],
    ]);
    assert.ok(rows.every(([, , , , at]) => Math.abs(at - Date.now() / 1000) < 10));
    const everything = readdirSync(join(authority.stateDir, "objects/signing-authority")).map((name) => readFileSync(join(authority.stateDir, "objects/signing-authority", name)));
    const secret = Buffer.from(browser.cookie.split("=")[1], "base64url");
    for (const bytes of everything) {
      assert.ok(!bytes.includes(secret) && !bytes.includes(browser.cookie.split("=")[1]), "sessions are stored hashed");
      assert.ok(!bytes.includes(CODE));
    }
  });

  for (const [name, alg] of [["EdDSA", EDDSA], ["RS256", RS256]]) {
    test(`may have a passkey of ${name}`, async () => {
      const other = await start();
      try {
        const theirs = new Passkey(alg);
        assert.equal((await new Browser(other).register(theirs)).status, 200);
        assert.equal((await new Browser(other).signIn(theirs)).status, 200);
      } finally {
        await other.stop();
      }
    });
  }

  test("a response with a member twice is refused as it was sent", async () => {
    const { json: options } = await browser.post("/auth/passkey/login/options");
    const response = passkey.authenticate(browser.ceremony(options.challenge));
    const twice = response.replace('"type":', '"type":"public-key","type":');
    refused(await new Browser(authority).post("/auth/passkey/login/verify", `{"response":${twice}}`), 400, "duplicate_member");
    refused(await new Browser(authority).post("/auth/passkey/login/verify", `{"response":{},"response":${response}}`), 400, "invalid_json");
  });

  test("what can't be taken apart has answered its challenge", async () => {
    const { json: options } = await browser.post("/auth/passkey/login/options");
    const response = JSON.parse(passkey.authenticate(browser.ceremony(options.challenge)));
    const broken = { ...response, response: { ...response.response, authenticatorData: undefined } };
    refused(await new Browser(authority).post("/auth/passkey/login/verify", { response: broken }), 400, "response_malformed");
    refused(await new Browser(authority).post("/auth/passkey/login/verify", { response }), 400, "bad_challenge");
    await browser.signIn(passkey); // fresh, so that a further passkey may be registered
    const begun = await browser.post("/auth/passkey/register/options", {});
    const further = new Passkey(ES256);
    further.owner = passkey.owner;
    const made = JSON.parse(further.register(browser.ceremony(begun.json.options.challenge), "none"));
    const torn = { ...made, response: { ...made.response, attestationObject: 1 } };
    refused(await browser.post("/auth/passkey/register/verify", { userId: begun.json.userId, response: torn }), 400, "response_malformed");
    refused(await browser.post("/auth/passkey/register/verify", { userId: begun.json.userId, response: made }), 400, "bad_challenge");
  });

  test("bodies that are none are refused", async () => {
    for (const path of ["/auth/passkey/register/options", "/auth/passkey/register/verify", "/auth/passkey/login/verify"]) {
      for (const body of ["", "[]", "{", "null", '"x"']) refused(await browser.post(path, body), 400, "invalid_json");
    }
    refused(await browser.post("/auth/passkey/register/verify", {}), 400, "missing_user_id");
  });
});

describe("an authority whose pages are at several origins", () => {
  const HOME = "https://id.example.com";
  const OTHER = "https://login.example.org";
  const STRANGE = [
    "https://evil.example",
    `${OTHER}.evil.example`,
    "https://sub.login.example.org",
    "https://example.org",
    "http://login.example.org",
    `${OTHER}:443`,
    `${OTHER}:8443`,
    `${OTHER}/`,
    "https://LOGIN.example.org",
    "https://id.example.com:443",
    "null",
    "",
  ];
  const vars = { SIGNET_AUTHORITY_URL: HOME, SITE_URL: HOME, WEBAUTHN_RP_ID: "id.example.com" };

  /** A browser with a page at this origin, for passkeys of the authority's name. */
  function at(authority, origin) {
    const browser = new Browser(authority, origin);
    browser.ceremony = (challenge) => ({ rpId: "id.example.com", challenge, origin });
    return browser;
  }
  /** The client data names another origin than the page has that sends it. */
  const of = (origin) => ({ client: (client) => void (client.origin = origin) });

  test("takes ceremonies of each, and of no other", async () => {
    const authority = await start({ ...vars, WEBAUTHN_ORIGINS: `${HOME},${OTHER}` });
    try {
      const passkey = new Passkey(ES256);
      const browser = at(authority, OTHER);
      const wanted = { bootstrapCode: CODE };
      for (const origin of STRANGE) refused(await browser.register(new Passkey(ES256), { bends: of(origin), wanted }), 400, "origin_mismatch");
      assert.equal((await browser.register(passkey, { wanted })).status, 200, "the code is still good");
      for (const origin of [HOME, OTHER]) {
        const page = at(authority, origin);
        assert.equal((await page.signIn(passkey)).status, 200, origin);
        assert.equal((await page.me()).status, 200, origin);
        assert.equal((await page.stepUp(passkey)).status, 200, origin);
        // Either origin's page ends what the other's began.
        page.origin = origin === HOME ? OTHER : HOME;
        const { json: options } = await page.post("/auth/passkey/login/options");
        assert.equal((await page.assert(passkey, options)).status, 200, origin);
        for (const strange of STRANGE) {
          refused(await at(authority, origin).signIn(passkey, of(strange)), 400, "origin_mismatch");
          const { json: again } = await page.post("/auth/passkey/step-up/options");
          refused(await page.showAgain(passkey, again, of(strange)), 400, "origin_mismatch");
          const further = await page.post("/auth/passkey/register/options");
          refused(await page.answer(new Passkey(ES256), further.json, of(strange)), 400, "origin_mismatch");
        }
      }
      // Nor may another's page send one that is right.
      for (const strange of STRANGE.filter(Boolean)) {
        const { json: options } = await browser.post("/auth/passkey/login/options");
        const response = JSON.parse(passkey.authenticate({ rpId: "id.example.com", challenge: options.challenge, origin: OTHER }));
        refused(await at(authority, strange).post("/auth/passkey/login/verify", { response }), 403, "cross_site");
        refused(await browser.me({ origin: strange }), 403, "cross_site");
        assert.equal((await at(authority, OTHER).post("/auth/passkey/login/verify", { response })).status, 200, "which used nothing up");
      }
      // A page at the other origin uses the authority that is there, and not across sites.
      for (const site of ["cross-site", "same-site"]) refused(await browser.me({ "sec-fetch-site": site }), 403, "cross_site");
    } finally {
      await authority.stop();
    }
  });

  test("takes none of its own origin, if it isn't named among them", async () => {
    const authority = await start({ ...vars, WEBAUTHN_ORIGINS: OTHER });
    try {
      const passkey = new Passkey(ES256);
      const wanted = { bootstrapCode: CODE };
      // Its own pages may ask; what they make is none.
      refused(await at(authority, HOME).register(passkey, { wanted }), 400, "origin_mismatch");
      assert.equal((await at(authority, OTHER).register(passkey, { wanted })).status, 200);
      refused(await at(authority, HOME).signIn(passkey), 400, "origin_mismatch");
      assert.equal((await at(authority, OTHER).signIn(passkey)).status, 200);
    } finally {
      await authority.stop();
    }
  });
});

describe("a pair for a signed-in person", () => {
  let authority;
  let passkey;
  let browser;
  before(async () => {
    authority = await start();
    browser = new Browser(authority);
    passkey = new Passkey(ES256);
    assert.equal((await browser.register(passkey)).status, 200);
  });
  after(() => authority?.stop());

  /** The body of a request; with `over`, a challenge, the keys sign that beside themselves. */
  function body(keys, { over, legacy, ...more } = {}) {
    const message = keys.message(over);
    const proofs = keys.proofsOver(legacy ? createHash("sha256").update(message).digest() : message);
    return { proof: { type: "session" }, public_keys: keys.publicKeys, proofs, ...more };
  }

  async function challenged(keys, at = browser) {
    const { json } = await at.post("/cert/challenge");
    assert.equal(json.expires_in, 300);
    return body(keys, { over: Buffer.from(json.challenge, "base64url"), challenge: json.challenge });
  }

  test("names the principal, whatever the way in, and verifies", async () => {
    const { json: me } = await browser.me();
    const keys = new Keys();
    for (const request of [body(keys), body(keys, { legacy: true }), await challenged(keys)]) {
      const { status, json, text } = await browser.post("/cert", request);
      assert.equal(status, 200, text);
      assert.deepEqual(Object.keys(json), ["certificates", "identity", "scopes", "expires_at", "subject", "binding", "authority", "principal_id", "auth_method"]);
      assert.equal(json.identity, `wimse://localhost:${authority.port}/principal/${me.userId}`);
      assert.deepEqual([json.principal_id, json.auth_method, json.scopes], [me.userId, "passkey", ["bridgeCert"]]);
      const root = new X509Certificate(await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text());
      for (const name of ["mtls", "signing"]) {
        const leaf = new X509Certificate(json.certificates[name]);
        assert.ok(leaf.verify(root.publicKey) && leaf.publicKey.equals(keys[name].publicKey), name);
        assert.equal(leaf.subjectAltName, `URI:${json.identity}`);
      }
    }
  });

  test("carries no scope of the session but that for certificates", async () => {
    const all = ["bridgeCert", "authorityManage", "certMint", "sign:git", "unheard-of"];
    const { json } = await browser.post("/cert", body(new Keys(), { scopes: all }));
    assert.deepEqual(json.scopes, ["bridgeCert"]);
    refused(await browser.post("/cert", body(new Keys(), { scopes: ["authorityManage"] })), 403, "scopes_not_eligible");
    refused(await browser.post("/cert", body(new Keys(), { scopes: ["sign:git"] })), 403, "scopes_not_granted");
    refused(await browser.post("/cert", body(new Keys(), { scopes: [] })), 403, "scopes_not_granted");
  });

  test("needs a session that is good at this moment", async () => {
    const stranger = new Browser(authority);
    const none = await stranger.post("/cert", body(new Keys()));
    refused(none, 401, "no_session_cookie");
    assert.equal(none.json.error, "no session cookie");
    // What isn't good enough as a session is told before what is wrong with keys.
    refused(await stranger.post("/cert", { proof: { type: "session" } }), 401, "no_session_cookie");
    const old = { cookie: `notme_session=${"A".repeat(43)}` };
    refused(await stranger.post("/cert", { proof: { type: "session" } }, old), 401, "invalid_session");
    refused(await stranger.post("/cert/challenge", {}, old), 401, "invalid_session");
    const other = new Browser(authority);
    await other.signIn(passkey);
    const { cookie } = other;
    const request = await challenged(new Keys(), other);
    await other.post("/logout");
    refused(await stranger.post("/cert", request, { cookie }), 401, "invalid_session");
    refused(await stranger.post("/cert", body(new Keys()), { cookie }), 401, "invalid_session");
  });

  test("is for who holds both keys", async () => {
    const [keys, thief] = [new Keys(), new Keys()];
    refused(await browser.post("/cert", { ...body(thief), public_keys: keys.publicKeys }), 401, "p256_possession_failed");
    const { proofs } = body(keys);
    refused(await browser.post("/cert", { ...body(keys), proofs: { ...proofs, signing: body(thief).proofs.signing } }), 401, "ed25519_possession_failed");
    for (const name of ["public_keys", "proofs"]) {
      const request = body(keys);
      delete request[name];
      // The original would have answered with a bearer token.
      refused(await browser.post("/cert", request), 400, name === "proofs" ? "missing_proofs" : "missing_public_keys");
    }
  });

  test("uses its challenge up, which is for this session and these keys alone", async () => {
    const keys = new Keys();
    // Proofs over the keys alone are none over a challenge, nor those over its digest.
    const bare = await challenged(keys);
    refused(await browser.post("/cert", { ...bare, proofs: body(keys).proofs }), 401, "p256_possession_failed");
    const digested = await challenged(keys);
    const digest = body(keys, { over: Buffer.from(digested.challenge, "base64url"), legacy: true });
    refused(await browser.post("/cert", { ...digested, proofs: digest.proofs }), 401, "p256_possession_failed");
    for (const spent of [bare, digested]) refused(await browser.post("/cert", spent), 400, "bad_challenge");
    const request = await challenged(keys);
    const other = new Browser(authority);
    await other.signIn(passkey);
    refused(await other.post("/cert", request), 400, "bad_challenge");
    const answers = await Promise.all(Array.from({ length: 20 }, () => browser.post("/cert", request)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 400, "bad_challenge");
    const { json: signIn } = await browser.post("/auth/passkey/login/options");
    refused(await browser.post("/cert", body(keys, { over: Buffer.from(signIn.challenge, "base64url"), challenge: signIn.challenge })), 400, "bad_challenge");
  });

  test("is single by its challenge across a kill -9 in the middle of 20", { skip: noSqlite || (THROUGH_WRANGLER && "its state is elsewhere") }, async () => {
    const { json: me } = await browser.me();
    const count = () => query(databaseOf(authority.stateDir), `SELECT COUNT(*) FROM credentials WHERE principal = '${me.userId}'`)[0][0];
    for (const moment of [() => sleep(8), (asked) => Promise.race(asked), (asked) => Promise.race(asked.slice(8))]) {
      const used = await challenged(new Keys());
      assert.equal((await browser.post("/cert", used)).status, 200);
      const before = count();
      const flying = await challenged(new Keys());
      const asked = Array.from({ length: 20 }, () => browser.post("/cert", flying).catch(() => ({ status: 0 })));
      await moment(asked);
      await authority.kill9();
      const answers = await Promise.all(asked);
      await authority.restart();
      refused(await browser.post("/cert", used), 400, "bad_challenge");
      const again = await browser.post("/cert", flying);
      assert.ok([...answers, again].filter(({ status }) => status === 200).length <= 1);
      if (again.status !== 200) refused(again, 400, "bad_challenge");
      refused(await browser.post("/cert", flying), 400, "bad_challenge");
      assert.equal(count(), before + 1);
    }
  });

  test("says what may be had instead of what was asked for", async () => {
    const asked = await browser.post("/cert", body(new Keys(), { scopes: ["sign:git", "<b>"] }));
    refused(asked, 403, "scopes_not_granted");
    assert.deepEqual(asked.json, {
      error: "none of the requested scopes are granted",
      code: "scopes_not_granted",
      requested: ["sign:git", "<b>"],
      granted: ["bridgeCert", "authorityManage", "certMint"],
    });
    const request = await challenged(new Keys());
    const carried = await browser.post("/cert", { ...request, scopes: ["authorityManage"] });
    refused(carried, 403, "scopes_not_eligible");
    assert.deepEqual(carried.json, {
      error: "none of the requested scopes may be carried by a certificate",
      code: "scopes_not_eligible",
      requested: ["authorityManage"],
      eligible: ["bridgeCert"],
    });
    // Whatever is wrong, a challenge is answered once.
    refused(await browser.post("/cert", request), 400, "bad_challenge");
    const unreadable = await challenged(new Keys());
    refused(await browser.post("/cert", { ...unreadable, public_keys: { mtls: "x", signing: "y" } }), 400, "invalid_public_key");
    refused(await browser.post("/cert", unreadable), 400, "bad_challenge");
  });

  test("other kinds of proof are told apart", async () => {
    refused(await browser.post("/cert", {}), 400, "missing_proof_type");
    refused(await browser.post("/cert", { proof: { type: "x" } }), 400, "unknown_proof_type");
    refused(await browser.post("/cert", { proof: { type: "oidc", token: "x" } }), 401, "malformed_token");
    refused(await browser.post("/cert", { proof: { type: "mtls" } }), 401, "client_certificate_required");
    refused(await browser.post("/cert", body(new Keys()), { "sec-fetch-site": "cross-site" }), 403, "cross_site");
  });
});

describe("an authority with readers of before", () => {
  test("names the way in beside the principal, and the subject as ever", async () => {
    const authority = await start({ LEGACY_IDENTITY_SAN: "on" });
    try {
      const browser = new Browser(authority);
      assert.equal((await browser.register(new Passkey(ES256))).status, 200);
      const { json: me } = await browser.me();
      for (const path of ["/cert", "/cert/passkey"]) {
        const keys = new Keys();
        const secret = Buffer.from(/notme_session=([^;]*)/.exec(browser.cookie)?.[1] ?? browser.cookie);
        const body = path === "/cert" ? { proof: { type: "session" }, ...{ public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) } } : keys.body(secret.toString());
        const { status, text, json } = await browser.post(path, body);
        assert.equal(status, 200, text);
        assert.equal(json.identity, `wimse://localhost:${authority.port}/passkey/${me.userId}`);
        assert.equal(new X509Certificate(json.certificates.mtls).subjectAltName, `URI:${json.identity}`);
        assert.deepEqual([json.subject, json.principal_id], [me.userId, me.userId]);
      }
    } finally {
      await authority.stop();
    }
  });
});

describe("a pair for whoever has the operator's code", () => {
  const body = (keys, { code = CODE, over, ...more } = {}) => ({
    proof: { type: "bootstrap", code, displayName: "Rack 7" },
    public_keys: keys.publicKeys,
    proofs: keys.proofsOver(keys.message(over)),
    ...more,
  });

  const consumed = (answer) => {
    refused(answer, 403, "bad_bootstrap_code");
    assert.equal(answer.json.error, "invalid or consumed bootstrap code");
  };

  test("makes the first administrator, once, and costs the code nothing if anything is wrong", async () => {
    const authority = await start();
    try {
      const operator = new Browser(authority);
      const keys = new Keys();
      consumed(await operator.post("/cert", body(keys, { code: "incorrect-horse-battery" })));
      consumed(await operator.post("/cert", body(keys, { code: null })));
      refused(await operator.post("/cert", { ...body(keys), proofs: body(new Keys()).proofs }), 401, "p256_possession_failed");
      refused(await operator.post("/cert", { ...body(keys), public_keys: undefined }), 400, "missing_public_keys");
      refused(await operator.post("/cert", body(keys, { scopes: ["sign:git"] })), 403, "scopes_not_granted");
      refused(await operator.post("/cert", body(keys, { scopes: ["authorityManage"] })), 403, "scopes_not_eligible");
      refused(await operator.post("/cert", body(keys, { over: Buffer.alloc(32), challenge: Buffer.alloc(32).toString("base64url") })), 400, "bad_challenge");
      const { json: begun } = await operator.post("/cert/challenge");
      const request = body(keys, { over: Buffer.from(begun.challenge, "base64url"), challenge: begun.challenge });
      const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => operator.post("/cert", i % 2 ? request : body(new Keys()))));
      const [{ json: pair }, ...rest] = answers.filter(({ status }) => status === 200);
      assert.deepEqual(rest, [], "one of 50");
      for (const answer of answers.filter(({ status }) => status !== 200)) {
        assert.ok(["bad_bootstrap_code", "bad_challenge"].includes(answer.json.code), answer.text);
        assert.ok(!answer.set);
      }
      assert.equal(pair.identity, `wimse://localhost:${authority.port}/principal/${pair.principal_id}`);
      assert.deepEqual([pair.auth_method, pair.scopes], ["bootstrap", ["bridgeCert"]]);
      assert.ok(new X509Certificate(pair.certificates.mtls).verify(new X509Certificate(await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text()).publicKey));
      consumed(await operator.post("/cert", body(keys)));
      refused(await operator.register(new Passkey(ES256)), 401, "no_bootstrap_code");
      assert.equal((await operator.call("GET", "/auth/state")).json.firstBoot, "unconfigured");
    } finally {
      await authority.stop();
    }
  });

  test("makes one administrator across a kill -9 in the middle of 20", { skip: noSqlite || (THROUGH_WRANGLER && "its state is elsewhere") }, async () => {
    for (const moment of [() => sleep(8), (asked) => Promise.race(asked)]) {
      const authority = await start();
      try {
        const operator = new Browser(authority);
        const asked = Array.from({ length: 20 }, () => operator.post("/cert", body(new Keys())).catch(() => ({ status: 0 })));
        await moment(asked);
        await authority.kill9();
        const answers = await Promise.all(asked);
        await authority.restart();
        const again = await operator.post("/cert", body(new Keys()));
        assert.ok([...answers, again].filter(({ status }) => status === 200).length <= 1);
        if (again.status !== 200) consumed(again);
        consumed(await operator.post("/cert", body(new Keys())));
        assert.deepEqual(query(databaseOf(authority.stateDir), "SELECT (SELECT COUNT(*) FROM principals), (SELECT COUNT(*) FROM credentials), (SELECT COUNT(*) FROM used_codes)"), [[1, 1, 1]]);
      } finally {
        await authority.stop();
      }
    }
  });

  test("is for an authority without people, and guessing is slowed down", async () => {
    const authority = await start();
    try {
      const guess = () => new Browser(authority).post("/cert", body(new Keys(), { code: "incorrect-horse-battery" }), { "cf-connecting-ip": "192.0.2.1" });
      const guesses = [];
      for (let i = 0; i < 7; i++) guesses.push(await guess());
      assert.equal(guesses.at(-1).status, 429);
      assert.ok(Number(guesses.at(-1).headers.get("retry-after")) > 0);
      const ana = new Browser(authority);
      assert.equal((await ana.register(new Passkey(ES256))).status, 200);
      consumed(await new Browser(authority).post("/cert", body(new Keys())));
      await authority.kill9();
      await authority.restart({ vars: { BOOTSTRAP_CODE: "another-horse-battery-staple" } });
      // Recovery is another ceremony. Where nobody is waited for no code is looked at, and none is told to the operator.
      consumed(await new Browser(authority).post("/cert", body(new Keys(), { code: "another-horse-battery-staple" })));
      const { items: before } = (await ana.call("GET", "/admin/audit?action=bootstrap.refused")).json;
      for (let i = 0; i < 7; i++) consumed(await guess());
      const { items: after } = (await ana.call("GET", "/admin/audit?action=bootstrap.refused")).json;
      assert.equal(before.length, 5);
      assert.equal(after.length, 5);
    } finally {
      await authority.stop();
    }
  });
});
