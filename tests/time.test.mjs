// What ends by itself, under a wall clock that is set: minutes, hours and a day, passed in a moment.
import assert from "node:assert/strict";
import { X509Certificate, createHash, randomBytes } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { decodeJwt } from "jose";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { Clock, noClock } from "./support/clock.mjs";
import { startGitHub } from "./support/github.mjs";
import { startOidc } from "./support/oidc.mjs";
import { signed } from "./support/pki.mjs";
import { Verifier } from "./support/revocations.mjs";
import { databaseOf, meanwhile, noSqlite, query } from "./support/state.mjs";

const AUDIENCE = "https://id.example";
const APP = "https://app.example/cb";
const CLIENTS = [{ id: "app", redirect_uris: [APP], bearer: true }];
const [MINUTE, HOUR] = [60, 3600];
/** What an issuer is called by the type of its rows, and where its keys are: of the first two by discovery, Access has a place for them. */
const ISSUERS = [
  ["oidc", "an issuer", "/keys"],
  ["kubernetes", "a cluster", "/keys"],
  ["access", "a team of Access", "/cdn-cgi/access/certs"],
];
/** How long a test may take on a busy machine, which passes as well. */
const SLACK = 20;

function good(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
}

test("a long list is there at once also where the clock was ahead and is put right", { skip: noClock || noSqlite }, async (t) => {
  const clock = new Clock();
  const authority = await startAuthority({ vars: { ...clock.vars, BOOTSTRAP_CODE: CODE } });
  t.after(async () => {
    await authority.stop();
    clock.remove();
  });
  const [ana, passkey] = [new Browser(authority), new Passkey(ES256)];
  good(await ana.register(passkey));
  await meanwhile(
    authority,
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
     INSERT INTO credentials SELECT (unixepoch() + 170) * 1048576 + i, randomblob(16), randomblob(16), 's', 'i', NULL, 'm', '[]', 1, unixepoch() + 170, unixepoch() + 470, unixepoch(), NULL, NULL, NULL, NULL, NULL, NULL FROM n;`,
  );
  const list = async () => {
    const response = await fetch(`${authority.url}/.well-known/revocations.jwt`, { signal: AbortSignal.timeout(60_000) });
    return decodeJwt(await response.text()).number;
  };
  clock.pass(3 * MINUTE);
  await list();
  clock.pass(-3 * MINUTE);
  good(await ana.signIn(passkey));
  const before = await list();
  const keys = new Keys();
  const { certificates } = good(await ana.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) }));
  good(await ana.call("DELETE", `/admin/credentials/${new X509Certificate(certificates.mtls).serialNumber}`));
  assert.ok((await list()) > before);
});

describe("as time goes by", { skip: noClock }, () => {
  let clock;
  const issuers = {};
  let issuer;
  let github;
  let authority;
  let ana;
  let anasKey;

  before(async () => {
    clock = new Clock();
    for (const [type] of ISSUERS) issuers[type] = await startOidc();
    issuer = issuers.oidc;
    github = await startGitHub();
    const rows = ISSUERS.map(([type]) => ({ type, issuer: issuers[type].url, audience: AUDIENCE, subject: "{sub}", scopes: ["bridgeCert"], rules: [{ team: "red" }] }));
    const tokens = { type: "github_pat", scopes: ["bridgeCert"], rules: [{ user_id: "7" }] };
    authority = await startAuthority({ allowLoopback: true, vars: { ...clock.vars, BOOTSTRAP_CODE: CODE, ALLOWED_AUDIENCES: AUDIENCE, OAUTH_CLIENTS: JSON.stringify(CLIENTS), GITHUB_API_URL: github.url, TRUSTED_ISSUERS: JSON.stringify([...rows, tokens]) } });
    ana = new Browser(authority);
    anasKey = new Passkey(ES256);
    good(await ana.register(anasKey));
    const root = await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text();
    const pairs = { type: "x509", name: "ours", roots: root, scopes: ["bridgeCert"], rules: [{}] };
    good(await ana.post("/policy/issuers", { row: pairs }));
  });
  after(async () => {
    await authority?.stop();
    for (const one of Object.values(issuers)) await one.close();
    await github?.close();
    clock?.remove();
  });
  // Whoever comes next finds a session that is fresh, and an issuer that was asked just now.
  afterEach(async () => {
    clock.pass(HOUR);
    good(await ana.signIn(anasKey));
  });

  /** A token of five minutes by that clock. */
  const token = (more = {}, by = issuer) => by.token({ iat: clock.now(), exp: clock.now() + 5 * MINUTE, ...more });
  const challenge = async (browser = new Browser(authority)) => good(await browser.post("/cert/challenge")).challenge;

  async function byToken(shown, { over, keys = new Keys(), type = "oidc" } = {}) {
    const proofs = over ? keys.proofsOver(keys.message(Buffer.from(over, "base64url"))) : keys.proofs(shown);
    const answer = await new Browser(authority).post("/cert", { proof: { type, token: shown }, public_keys: keys.publicKeys, proofs, challenge: over });
    return { ...answer, keys };
  }

  /** Asks for the next pair with the mTLS leaf of one. */
  async function renew({ json, keys: held }) {
    const [keys, over] = [new Keys(), Buffer.from(await challenge(), "base64url")];
    const { mtls: pem } = json.certificates;
    const der = Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
    const message = keys.message(over);
    const spkis = message.subarray(message.length - 91 - 44);
    const toSign = Buffer.concat([Buffer.from("notme-certificate-proof-v1\0"), over, createHash("sha256").update(der).digest(), spkis]);
    const proof = { type: "x509", chain: pem, signature: signed({ secret: held.mtls.privateKey }, toSign) };
    const body = { proof, public_keys: keys.publicKeys, proofs: keys.proofsOver(message), challenge: over.toString("base64url") };
    return { ...(await new Browser(authority).post("/cert", body)), keys };
  }

  const guest = async () => {
    const { token: invite } = good(await ana.post("/invites", {}));
    const browser = new Browser(authority);
    const passkey = new Passkey(ES256);
    good(await browser.register(passkey, { wanted: { invite, displayName: "Ben" } }));
    return { browser, passkey, id: good(await browser.me()).userId };
  };

  for (const [type, who, place] of ISSUERS) {
    const show = async () => byToken(await token({}, issuers[type]), { type });

    test(`${who} that is away lets in by the keys at hand for an hour, and then nobody until it is back`, async () => {
      const { jwks, requests } = issuers[type];
      const asks = () => requests.filter((url) => url === place).length;
      good(await show());
      const { keys } = jwks;
      const asked = asks();
      assert.ok(asked > 0, "there");
      jwks.keys = undefined; // what it sends then is no key set
      clock.pass(59 * MINUTE);
      good(await show());
      clock.pass(2 * MINUTE);
      refused(await show(), 503, "issuer_unavailable");
      assert.ok(asks() > asked, "it was asked");
      jwks.keys = keys;
      clock.pass(15);
      good(await show());
    });

    test(`a key that its ${who.replace(/^an? /, "")} takes back is good for five minutes, also where nobody has come since`, async () => {
      const { jwks } = issuers[type];
      good(await show());
      const { keys } = jwks;
      jwks.keys = keys.filter(({ alg }) => alg !== "RS256");
      clock.pass(4 * MINUTE - SLACK);
      good(await show());
      clock.pass(MINUTE + 2 * SLACK);
      refused(await show(), 401, "unknown_key");
      jwks.keys = keys;
    });
  }

  test("a key that its issuer takes back while it can't be asked is good no longer once it can", async () => {
    good(await byToken(await token()));
    const { keys } = issuer.jwks;
    clock.pass(4 * MINUTE + 1);
    issuer.jwks.keys = undefined;
    good(await byToken(await token())); // and the issuer is asked behind it, in vain
    issuer.jwks.keys = keys.filter(({ alg }) => alg !== "RS256");
    // Somebody who comes at once goes by what is at hand; who comes later finds out.
    clock.pass(2 * MINUTE + SLACK);
    refused(await byToken(await token()), 401, "unknown_key");
    issuer.jwks.keys = keys;
  });

  test("a clock that was ahead and is put right is gone by at once, while the authority runs", async () => {
    const known = { user: { id: 7, login: "octocat" }, scopes: "" };
    const keys = new Keys();
    const show = async (shown) => {
      const over = await challenge();
      const proofs = keys.proofsOver(keys.message(Buffer.from(over, "base64url")));
      return new Browser(authority).post("/cert", { proof: { type: "github_pat", token: shown }, public_keys: keys.publicKeys, proofs, challenge: over });
    };
    // More would be refused until it is over: what was used by then may be forgotten.
    const ahead = 3 * MINUTE;
    clock.pass(ahead);
    github.tokens.set("ghp_ahead", known);
    good(await byToken(await token()));
    good(await show("ghp_ahead"));
    refused(await show("ghp_made_up"), 401, "token_refused");
    clock.pass(-ahead);
    github.tokens.delete("ghp_ahead");
    refused(await show("ghp_ahead"), 401, "token_refused");
    github.tokens.set("ghp_made_up", known);
    good(await show("ghp_made_up"));
    // Keys that were fetched in the future count as old: the issuer is asked, and what it published meanwhile is known.
    const asked = issuer.requests.length;
    const pair = good(await byToken(await token()));
    assert.ok(issuer.requests.length > asked);
    // And what is issued is of this time.
    const leaf = new X509Certificate(pair.certificates.mtls);
    const now = clock.now();
    assert.ok(Math.abs(Date.parse(leaf.validFrom) / 1000 + MINUTE - now) <= SLACK, leaf.validFrom);
    assert.ok(Math.abs(Date.parse(leaf.validTo) / 1000 - 5 * MINUTE - now) <= SLACK, leaf.validTo);
    assert.ok(Math.abs(pair.expires_at - 5 * MINUTE - now) <= SLACK);
  });

  test("an issuer's keys are asked for before they have to be, and nobody waits for it", async () => {
    good(await byToken(await token()));
    const asks = () => issuer.requests.filter((url) => url === "/keys").length;
    const asked = asks();
    clock.pass(4 * MINUTE + 1);
    let go;
    issuer.wait = new Promise((resolve) => (go = resolve));
    good(await byToken(await token()));
    go();
    issuer.wait = undefined;
    for (let i = 0; i < 100 && asks() === asked; i++) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(asks(), asked + 1);
    clock.pass(2 * MINUTE);
    good(await byToken(await token()));
    assert.equal(asks(), asked + 1, "what came then is fresh");
  });

  test("what GitHub said of a token counts for five seconds, and for ten if that was no", async () => {
    const known = { user: { id: 7, login: "octocat" }, scopes: "" };
    const keys = new Keys();
    const show = async () => {
      const over = await challenge();
      const proofs = keys.proofsOver(keys.message(Buffer.from(over, "base64url")));
      return new Browser(authority).post("/cert", { proof: { type: "github_pat", token: "ghp_x" }, public_keys: keys.publicKeys, proofs, challenge: over });
    };
    github.tokens.set("ghp_x", known);
    good(await show());
    github.tokens.delete("ghp_x");
    clock.pass(5);
    refused(await show(), 401, "token_refused");
    github.tokens.set("ghp_x", known);
    clock.pass(10);
    good(await show());
  });

  test("a pair ends after five minutes, and so does what it is renewed to when its token would have", async () => {
    const begun = clock.now();
    const shown = await token({ exp: begun + 20 * MINUTE, jti: undefined });
    let pair = await byToken(shown, { over: await challenge() });
    const first = pair;
    assert.ok(good(pair).expires_at <= begun + 5 * MINUTE + SLACK);
    for (let i = 0; i < 4; i++) {
      clock.pass(4 * MINUTE);
      pair = await renew(pair);
      assert.ok(good(pair).expires_at <= begun + 20 * MINUTE, `renewed ${i + 1} times`);
    }
    refused(await renew(first), 401, "certificate_expired");
    clock.pass(4 * MINUTE + 1);
    refused(await renew(pair), 401, "certificate_expired");
    refused(await byToken(shown, { over: await challenge() }), 401, "token_expired");
  });

  test("a challenge is good for five minutes", async () => {
    const [early, late] = [await challenge(), await challenge()];
    clock.pass(5 * MINUTE - SLACK);
    good(await byToken(await token({ jti: undefined }), { over: early }));
    clock.pass(SLACK + 1);
    refused(await byToken(await token({ jti: undefined }), { over: late }), 400, "bad_challenge");
  });

  test("a token that was used stays used for as long as it counts, and then nobody remembers it", { skip: noSqlite }, async () => {
    const shown = await token();
    good(await byToken(shown));
    const burned = (before) => query(databaseOf(authority.stateDir), `SELECT COUNT(*) FROM burned WHERE expires_at < ${before}`)[0][0];
    clock.pass(5 * MINUTE - SLACK);
    refused(await byToken(shown), 401, "token_used");
    clock.pass(SLACK + 1);
    refused(await byToken(shown), 401, "token_expired");
    clock.pass(HOUR);
    const over = clock.now();
    assert.ok(burned(over) > 0);
    good(await byToken(await token()));
    assert.equal(burned(over), 0);
  });

  test("an invite ends when it says", async () => {
    const [early, late] = [good(await ana.post("/invites", { ttl: 10 * MINUTE })), good(await ana.post("/invites", { ttl: 10 * MINUTE }))];
    clock.pass(10 * MINUTE - SLACK);
    good(await new Browser(authority).post("/invites/lookup", { token: early.token }));
    clock.pass(SLACK + 1);
    refused(await new Browser(authority).post("/invites/lookup", { token: late.token }), 403, "bad_invite");
  });

  test("a session ends after eight hours without use, and after a day whatever is done in it", async () => {
    const { browser, passkey } = await guest();
    clock.pass(8 * HOUR - 60);
    good(await browser.me());
    clock.pass(8 * HOUR + 60);
    refused(await browser.me(), 401, "no_session");
    good(await browser.signIn(passkey));
    for (let i = 0; i < 3; i++) {
      clock.pass(7 * HOUR);
      good(await browser.me());
    }
    clock.pass(3 * HOUR + 60);
    refused(await browser.me(), 401, "no_session");
  });

  test("what is dangerous waits for a passkey after five minutes", async () => {
    const { browser, passkey } = await guest();
    clock.pass(5 * MINUTE - SLACK);
    good(await browser.post("/connections/options"));
    clock.pass(SLACK + 1);
    refused(await browser.post("/connections/options"), 403, "step_up_required");
    good(await browser.stepUp(passkey));
    good(await browser.post("/connections/options"));
  });

  test("a grant and a delegation end when they say, and what hangs on them gives nothing more", async () => {
    const ben = await guest();
    const { principal_id: agent } = good(await byToken(await token({ sub: "agent" })));
    const { id: delegation } = good(await ben.browser.post("/delegations", { delegate: agent, scopes: ["bridgeCert"], expiresAt: clock.now() + 10 * MINUTE }));
    const act = async () => {
      const [keys, shown] = [new Keys(), await token({ sub: "agent" })];
      return new Browser(authority).post("/cert", { proof: { type: "oidc", token: shown }, public_keys: keys.publicKeys, proofs: keys.proofs(shown), delegation });
    };
    assert.ok(good(await act()).expires_at > clock.now() + 4 * MINUTE);
    clock.pass(8 * MINUTE);
    assert.ok(good(await act()).expires_at <= clock.now() + 2 * MINUTE + SLACK, "no longer than the delegation");
    clock.pass(2 * MINUTE + 1);
    refused(await act(), 403, "delegation_expired");
    good(await ana.stepUp(anasKey));
    good(await ana.post(`/admin/principals/${ben.id}/grants`, { scope: "bridgeCert", expiresAt: clock.now() + 10 * MINUTE }));
    const own = async () => {
      const keys = new Keys();
      return ben.browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) });
    };
    good(await own());
    clock.pass(10 * MINUTE + 1);
    refused(await own(), 403, "scopes_not_granted");
  });

  test("what was revoked leaves the list when none of it counts any more, and an old list counts for nothing", async () => {
    const verifier = new Verifier({ url: authority.url, now: clock.now });
    const { json } = await byToken(await token({ sub: "job-3" }));
    const { json: other } = await byToken(await token({ sub: "job-2" }));
    await verifier.poll();
    assert.equal(verifier.refusal(json.certificates.mtls), undefined);
    good(await ana.stepUp(anasKey));
    good(await ana.post(`/admin/principals/${json.principal_id}/disable`));
    await verifier.poll();
    assert.equal(verifier.refusal(json.certificates.mtls), "the principal is revoked");
    clock.pass(5 * MINUTE);
    assert.equal(verifier.refusal(other.certificates.mtls), "nobody knows what is revoked", "it has a bound");
    await verifier.poll();
    assert.equal(Object.keys(verifier.list.principals).length, 1, "for clocks that are late");
    clock.pass(MINUTE + 2);
    await verifier.poll();
    assert.deepEqual([verifier.list.principals, verifier.list.credentials], [{}, []]);
  });

  /** What an application asks somebody for, and how it redeems what it got. */
  function application() {
    const verifier = randomBytes(32).toString("base64url");
    const wish = { client_id: "app", redirect_uri: APP, audience: AUDIENCE, code_challenge: createHash("sha256").update(verifier).digest("base64url"), code_challenge_method: "S256" };
    const redeem = ({ code }) => new Browser(authority).post("/authorize/redeem", { client_id: "app", code, code_verifier: verifier, redirect_uri: APP });
    return { wish, redeem };
  }

  test("a code for an application is good for a minute", async () => {
    const { wish, redeem } = application();
    const [early, late] = [good(await ana.post("/authorize/code", wish)), good(await ana.post("/authorize/code", wish))];
    clock.pass(MINUTE - SLACK);
    good(await redeem(early));
    clock.pass(SLACK + 1);
    refused(await redeem(late), 400, "invalid_grant");
  });

  for (const [when, left, ahead] of [
    ["while an object's clock is ahead, by which alone it is over", 12, 13],
    ["in the second in which it ends", 0, 0],
  ]) {
    test(`a pair is in the list, and renews nothing, if it is taken back ${when}`, async () => {
      const pair = await byToken(await token({ sub: "job-4" }));
      const { expires_at: end, certificates } = good(pair);
      const serial = new X509Certificate(certificates.mtls).serialNumber.toLowerCase().padStart(32, "0");
      const verifier = new Verifier({ url: authority.url, now: clock.now });
      const at = (time) => clock.pass(time - clock.now());
      // An object's clock never goes back; one that is a little ahead is gone by.
      at(end - left + ahead);
      good(await ana.me());
      at(end - left);
      good(await ana.call("DELETE", `/admin/credentials/${serial}`));
      const [{ revokedAt }] = good(await ana.call("GET", `/admin/credentials?serial=${serial}`)).items;
      assert.ok(revokedAt >= end, `at ${revokedAt}, and it ends at ${end}`);
      await verifier.poll();
      assert.ok(verifier.list.credentials.includes(serial));
      assert.equal(verifier.refusal(certificates.signing), "the credential is revoked");
      at(end - 12);
      refused(await renew(pair), 401, "certificate_revoked");
    });
  }

  test("an access token that was issued by a clock that was ahead ends with whoever has it, once that is put right", async () => {
    const { browser, id } = await guest();
    const { wish, redeem } = application();
    const ahead = 10 * MINUTE;
    clock.pass(ahead);
    const { access_token: issued } = good(await redeem(good(await browser.post("/authorize/code", wish))));
    const { iat, sub } = decodeJwt(issued);
    assert.equal(sub, id);
    clock.pass(-ahead);
    assert.ok(iat > clock.now() + 9 * MINUTE);
    const verifier = new Verifier({ url: authority.url, now: clock.now });
    await verifier.poll();
    assert.equal(verifier.isOver(id, iat), false);
    good(await ana.post(`/admin/principals/${id}/disable`));
    await verifier.poll();
    assert.equal(verifier.isOver(id, iat), true);
  });

  test("a clock that goes back lets nothing in twice", async () => {
    const shown = await token();
    good(await byToken(shown));
    clock.pass(-2 * HOUR);
    const answer = await byToken(shown);
    assert.notEqual(answer.status, 200, answer.text);
    assert.ok(["token_used", "token_from_future", "clock_went_back"].includes(answer.json.code), answer.text);
    clock.pass(2 * HOUR);
    refused(await byToken(shown), 401, "token_used");
  });
});
