// Delegations: who acts for whom, what is left along a chain, and what dies with it.
import assert from "node:assert/strict";
import { X509Certificate, createHash, createPrivateKey, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeJwt } from "jose";
import { CACHE, ROOT } from "../tools/lib/places.mjs";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { startBetween } from "./support/between.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { execute, goProgram, missing } from "./support/foreign.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Pki } from "./support/pki.mjs";
import { cleanEnvironment } from "./support/processes.mjs";
import { Verifier } from "./support/revocations.mjs";
import { databaseOf, longAgo, meanwhile, noSqlite, query } from "./support/state.mjs";

const noKnife = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");
const AUDIENCE = "https://id.example";
const OPENSSL = missing("openssl") ?? false;
const now = () => Math.floor(Date.now() / 1000);
/** When a crash comes among requests that were just sent: before an answer, after one, and after some. */
const MOMENTS = [() => sleep(8), (asked) => Promise.race(asked), (asked) => Promise.race(asked.slice(8))];

function refused(answer, status, code, member) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
  if (member !== undefined) assert.equal(answer.json.member, member, answer.text);
}

const good = (answer) => {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
};

/** Somebody with a browser, a passkey and an id. */
async function person(authority, wanted) {
  const browser = new Browser(authority);
  const passkey = new Passkey(ES256);
  good(await browser.register(passkey, { wanted }));
  return { id: (await browser.me()).json.userId, browser, passkey };
}

let issuer;
before(async () => {
  issuer = await startOidc();
});
after(() => issuer?.close());

/** An authority with three people, and agents that come by tokens of an issuer. */
async function open(vars = {}) {
  const rows = [{ issuer: issuer.url, audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{}] }];
  const authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows), ...vars } });
  const ana = await person(authority, { bootstrapCode: CODE, displayName: "Ana" });
  const guest = async (displayName) => person(authority, { invite: good(await ana.browser.post("/invites", {})).token, displayName });
  return { authority, ana, ben: await guest("Ben"), cleo: await guest("Cleo") };
}

async function post({ url }, path, body) {
  const response = await fetch(url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, text, json: JSON.parse(text) };
}

/** A pair for the agent that a token is about, on a delegation if one is named. */
async function byToken(authority, sub, more = {}) {
  const keys = new Keys();
  const token = await issuer.token({ sub });
  return post(authority, "/cert", { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token), ...more });
}

/** The id of the agent, which comes to be with its first pair. */
const agent = async (authority, sub) => good(await byToken(authority, sub)).principal_id;

/** A pair for somebody who is signed in. */
async function bySession({ browser }, more = {}) {
  const keys = new Keys();
  return browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()), ...more });
}

const delegate = ({ browser }, delegateId, more = {}) => browser.post("/delegations", { delegate: delegateId, ...more });
const given = async (who, delegateId, more) => good(await delegate(who, delegateId, more));
const takeBack = async ({ browser }, { id }) => good(await browser.call("DELETE", `/delegations/${id}`));
const list = async ({ url }) => decodeJwt(await (await fetch(`${url}/.well-known/revocations.jwt`)).text());
const serials = ({ certificates }) => Object.values(certificates).map((pem) => new X509Certificate(pem).serialNumber.toLowerCase().padStart(32, "0"));

const challengeOf = async (authority) => Buffer.from(good(await post(authority, "/cert/challenge", {})).challenge, "base64url");
const spki = (key) => key.export({ type: "spki", format: "der" });

/** Asks for an issuing certificate by a token. */
async function issuing(authority, sub, delegation, { key = generateKeyPairSync("ed25519"), over, label = "notme-issuing-key-v1\0", challenge, token, ...more } = {}) {
  const fresh = challenge ?? (await challengeOf(authority));
  const message = over ?? Buffer.concat([Buffer.from(label), fresh, spki(key.publicKey)]);
  const answer = await post(authority, "/cert", {
    proof: { type: "oidc", token: token ?? (await issuer.token({ sub })) },
    credential: "issuing",
    delegation,
    challenge: fresh.toString("base64url"),
    public_keys: { issuing: key.publicKey.export({ type: "spki", format: "pem" }) },
    proofs: { issuing: sign(null, message, key.privateKey).toString("base64url") },
    ...more,
  });
  return { ...answer, key };
}

describe("a delegation", () => {
  let authority;
  let ana;
  let ben;
  let cleo;
  let bot;
  before(async () => {
    ({ authority, ana, ben, cleo } = await open());
    bot = await agent(authority, "bot");
  });
  after(() => authority?.stop());

  test("lets an agent act on somebody's behalf, and its pair says so", async () => {
    const made = await given(ben, bot, { depth: 1, expiresAt: now() + 600 });
    const { id, createdAt, ...rest } = made;
    assert.deepEqual(rest, { delegator: ben.id, onBehalfOf: ben.id, delegate: bot, scopes: ["bridgeCert"], depth: 1, delegable: true, expiresAt: made.expiresAt, state: "active", revokedAt: 0 });
    assert.ok(Math.abs(createdAt - now()) < 5);
    const pair = good(await byToken(authority, "bot", { delegation: id }));
    assert.deepEqual([pair.principal_id, pair.on_behalf_of, pair.delegation, pair.scopes], [bot, ben.id, id, ["bridgeCert"]]);
    const extension = Buffer.concat([Buffer.from("060a2b06010401868d1f0107044e304c0c24", "hex"), Buffer.from(id), Buffer.from("0c24", "hex"), Buffer.from(ben.id)]);
    for (const pem of Object.values(pair.certificates)) assert.ok(new X509Certificate(pem).raw.includes(extension), "not critical: it informs");
    const own = good(await byToken(authority, "bot"));
    assert.deepEqual([own.on_behalf_of, own.delegation], [undefined, undefined]);
    // By a session too.
    const toCleo = await given(ben, cleo.id);
    assert.equal(good(await bySession(cleo, { delegation: toCleo.id })).on_behalf_of, ben.id);
  });

  test("is for whom it is to, and for nobody else", async () => {
    const { id } = await given(ben, bot);
    refused(await byToken(authority, "other", { delegation: id }), 403, "unknown_delegation");
    refused(await bySession(ben, { delegation: id }), 403, "unknown_delegation");
    refused(await bySession(ana, { delegation: id }), 403, "unknown_delegation");
    refused(await byToken(authority, "bot", { delegation: randomUUID() }), 403, "unknown_delegation");
    for (const delegation of ["x", 7, [], "", id.toUpperCase()]) refused(await byToken(authority, "bot", { delegation }), 400, "invalid_member");
    // Nobody comes to be by asking for what they have not.
    assert.deepEqual(good(await ana.browser.call("GET", "/admin/principals?q=other")).items, []);
  });

  test("is never wider than what is above it, in anything, and says in what a wish is", async () => {
    const purposeHash = createHash("sha256").update("sort the mail").digest("hex");
    const top = await given(ben, cleo.id, { depth: 1, audience: "https://mail.example", purposeHash, expiresAt: now() + 1000 });
    const below = (more) => delegate(cleo, bot, { parent: top.id, ...more });
    refused(await below({ depth: 1 }), 403, "delegation_exceeded", "depth");
    refused(await below({ audience: "https://other.example" }), 403, "delegation_exceeded", "audience");
    refused(await below({ purposeHash: "00".repeat(32) }), 403, "delegation_exceeded", "purposeHash");
    refused(await below({ expiresAt: top.expiresAt + 1 }), 403, "delegation_exceeded", "expiresAt");
    refused(await below({ expiresAt: now() - 1 }), 400, "invalid_member");
    const made = good(await below({}));
    assert.deepEqual([made.audience, made.purposeHash, made.expiresAt, made.depth, made.onBehalfOf, made.parent], ["https://mail.example", purposeHash, top.expiresAt, 0, ben.id, top.id]);
    assert.deepEqual([made.delegator, made.delegable], [cleo.id, false]);
    // At its end nothing hangs on it.
    const leaf = await given(ben, cleo.id);
    refused(await delegate(cleo, bot, { parent: leaf.id }), 403, "delegation_exceeded", "depth");
    // Nobody hangs anything on what isn't theirs.
    refused(await delegate(ben, bot, { parent: top.id }), 403, "unknown_delegation");
    refused(await delegate(ben, bot, { expiresAt: now() + 31 * 86_400 }), 403, "delegation_exceeded", "expiresAt");
    // A pair says what limits it, critically: who doesn't know it must not take it.
    const pair = good(await byToken(authority, "bot", { delegation: made.id }));
    const begins = Buffer.from("060a2b06010401868d1f01070101ff04", "hex");
    assert.ok(new X509Certificate(pair.certificates.mtls).raw.includes(begins));
  });

  test("takes what is right or nothing", async () => {
    for (const [more, code] of [
      [{ delegate: "x" }, "invalid_member"],
      [{ delegate: undefined }, "invalid_member"],
      [{ depth: 5 }, "invalid_member"],
      [{ depth: -1 }, "invalid_member"],
      [{ scopes: [] }, "invalid_member"],
      [{ scopes: ["root"] }, "invalid_member"],
      [{ audience: "a b" }, "invalid_member"],
      [{ audience: "a".repeat(201) }, "invalid_member"],
      [{ audience: { a: 1 } }, "invalid_member"],
      [{ purposeHash: "abc" }, "invalid_member"],
      [{ expiresAt: "soon" }, "invalid_member"],
      [{ audiance: "https://mail.example" }, "invalid_member"],
    ]) {
      refused(await delegate(ben, bot, more), 400, code);
    }
    refused(await delegate(ben, randomUUID()), 404, "no_such_item");
    refused(await delegate(ana, bot, { scopes: ["authorityManage"] }), 403, "scopes_not_eligible");
    refused(await new Browser(authority).post("/delegations", { delegate: bot }), 401, "no_session");
    refused(await ben.browser.call("POST", "/delegations", "{"), 400, "invalid_json");
    refused(await ben.browser.call("POST", "/delegations", { delegate: bot }, { "sec-fetch-site": "cross-site" }), 403, "cross_site");
    refused(await ben.browser.call("POST", "/delegations", { delegate: bot, audience: "a".repeat(70_000) }), 413, "body_too_large");
  });

  test("needs a passkey that was just shown: it outlives a stolen session", { skip: noKnife }, async () => {
    const { authority, ben, cleo } = await open();
    try {
      await meanwhile(authority, longAgo(301));
      refused(await delegate(ben, cleo.id), 403, "step_up_required");
      good(await ben.browser.stepUp(ben.passkey));
      await given(ben, cleo.id);
    } finally {
      await authority.stop();
    }
  });

  test("is in lists of both, and of administrators, and what it is worth is told", async () => {
    const [dan, erin] = [await agent(authority, "dan"), await agent(authority, "erin")];
    const top = await given(ben, cleo.id, { depth: 2, expiresAt: now() + 900 });
    const below = await given(cleo, dan, { parent: top.id });
    const items = async ({ browser }, path) => good(await browser.call("GET", path)).items;
    const ids = async (who, path) => (await items(who, path)).map(({ id }) => id);
    assert.ok((await ids(ben, "/delegations")).includes(top.id));
    assert.ok(!(await ids(ben, "/delegations?side=received")).includes(top.id));
    assert.ok((await ids(cleo, "/delegations?side=received")).includes(top.id));
    assert.ok((await ids(cleo, "/delegations?side=given")).includes(below.id));
    refused(await cleo.browser.call("GET", "/delegations?side=all"), 400, "invalid_query");
    refused(await cleo.browser.call("GET", "/admin/delegations"), 403, "manage_required");
    assert.deepEqual(await ids(ana, `/admin/delegations?delegate=${dan}`), [below.id]);
    assert.ok((await ids(ana, `/admin/delegations?principal=${ben.id}`)).includes(top.id));
    assert.deepEqual(await ids(ana, `/admin/delegations?principal=${cleo.id}&delegate=${dan}`), [below.id]);
    assert.deepEqual(await ids(ana, `/admin/delegations?delegate=${erin}`), []);
    // Page by page, none twice.
    const seen = [];
    for (let path = "/admin/delegations?limit=2"; path; ) {
      const page = good(await ana.browser.call("GET", path));
      seen.push(...page.items.map(({ id }) => id));
      path = page.next && `/admin/delegations?limit=2&cursor=${page.next}`;
    }
    assert.equal(new Set(seen).size, seen.length);
    assert.ok(seen.includes(top.id) && seen.includes(below.id));
    await takeBack(ben, top);
    const state = async (id) => (await items(ana, "/admin/delegations")).find((item) => item.id === id).state;
    assert.deepEqual([await state(top.id), await state(below.id)], ["revoked", "void"]);
    const trail = await items(ana, `/admin/audit?target=${top.id}`);
    assert.deepEqual(trail.map(({ action, actor }) => [action, actor]), [["delegation.revoked", ben.id], ["delegation.made", ben.id]]);
  });

  test("ends, and a pair on it ends no later", { skip: noKnife }, async () => {
    const { authority, ben, cleo } = await open();
    try {
      const made = await given(ben, cleo.id, { expiresAt: now() + 100 });
      const pair = good(await bySession(cleo, { delegation: made.id }));
      assert.equal(pair.expires_at, made.expiresAt - 1);
      await meanwhile(authority, "UPDATE delegations SET expires_at = unixepoch() - 1");
      refused(await bySession(cleo, { delegation: made.id }), 403, "delegation_expired");
      refused(await delegate(cleo, ben.id, { parent: made.id }), 403, "delegation_expired");
    } finally {
      await authority.stop();
    }
  });
});

describe("what is taken back", () => {
  let authority;
  let ana;
  let ben;
  let cleo;
  let bots;
  before(async () => {
    ({ authority, ana, ben, cleo } = await open());
    bots = [await agent(authority, "bot-0"), await agent(authority, "bot-1")];
  });
  after(() => authority?.stop());

  /** Ben lets Cleo act for him, and Cleo both bots; and Ben the first bot. */
  async function tree() {
    const top = await given(ben, cleo.id, { depth: 2 });
    const below = [await given(cleo, bots[0], { parent: top.id }), await given(cleo, bots[1], { parent: top.id })];
    const other = await given(ben, bots[0]);
    const pairs = {
      top: good(await bySession(cleo, { delegation: top.id })),
      first: good(await byToken(authority, "bot-0", { delegation: below[0].id })),
      second: good(await byToken(authority, "bot-1", { delegation: below[1].id })),
      other: good(await byToken(authority, "bot-0", { delegation: other.id })),
      own: good(await byToken(authority, "bot-0")),
    };
    return { top, below, other, pairs };
  }

  async function verdicts(pairs) {
    const verifier = new Verifier(authority);
    await verifier.poll();
    return Object.fromEntries(Object.entries(pairs).map(([name, { certificates }]) => [name, Object.values(certificates).map((pem) => verifier.refusal(pem) ?? "good").join()]));
  }
  const GOOD = "good,good";
  const REVOKED = "the delegation is revoked,the delegation is revoked";

  test("is exactly a delegation and all below it, at the authority and for verifiers", async () => {
    const { top, below, other, pairs } = await tree();
    await takeBack(cleo, below[0]);
    assert.deepEqual(await verdicts(pairs), { top: GOOD, first: REVOKED, second: GOOD, other: GOOD, own: GOOD });
    refused(await byToken(authority, "bot-0", { delegation: below[0].id }), 403, "delegation_revoked");
    good(await byToken(authority, "bot-1", { delegation: below[1].id }));
    good(await byToken(authority, "bot-0", { delegation: other.id }));
    await takeBack(ben, top);
    assert.deepEqual(await verdicts(pairs), { top: REVOKED, first: REVOKED, second: REVOKED, other: GOOD, own: GOOD });
    refused(await byToken(authority, "bot-1", { delegation: below[1].id }), 403, "delegation_revoked");
    refused(await bySession(cleo, { delegation: top.id }), 403, "delegation_revoked");
    refused(await delegate(cleo, bots[0], { parent: top.id }), 403, "delegation_revoked");
    good(await byToken(authority, "bot-0", { delegation: other.id }));
    // One entry for each that something was issued on, whatever was; and what is revoked by itself is no delegation's.
    for (let i = 0; i < 3; i++) good(await byToken(authority, "bot-0", { delegation: other.id }));
    const [serial] = serials(pairs.other);
    good(await ana.browser.call("DELETE", `/admin/credentials/${serial}`));
    const told = await list(authority);
    assert.deepEqual(Object.keys(told.delegations).sort(), [top, ...below].map(({ id }) => id).sort());
    assert.deepEqual(told.credentials, serials(pairs.other).sort());
    await takeBack(ben, other);
    const later = await list(authority);
    assert.deepEqual([Object.keys(later.delegations).length, later.credentials], [4, []]);
    await takeBack(ben, top); // again: nothing happens
    const lines = good(await ana.browser.call("GET", `/admin/audit?target=${top.id}&action=delegation.revoked`)).items;
    assert.equal(lines.length, 1);
    assert.equal(JSON.parse(lines[0].details).credentials, 3, "what was revoked before isn't again");
  });

  test("is taken back by who is above, or administers, and by nobody else", async () => {
    const { top, below, other } = await tree();
    const remove = ({ browser }, { id }) => browser.call("DELETE", `/delegations/${id}`);
    refused(await remove(cleo, top), 404, "no_such_item"); // whom it is to
    refused(await remove(cleo, other), 404, "no_such_item");
    refused(await remove(ben, { id: randomUUID() }), 404, "no_such_item");
    refused(await remove(ben, { id: "x" }), 404, "no_such_item");
    refused(await remove({ browser: new Browser(authority) }, top), 401, "no_session");
    await takeBack(ben, below[0]); // gave what it hangs on
    await takeBack(ana, below[1]); // administers
    await takeBack(ben, top);
  });

  test("is what somebody may do, for all who act for them", async () => {
    const { pairs, below, top } = await tree();
    good(await ana.browser.call("DELETE", `/admin/principals/${ben.id}/grants/bridgeCert`));
    for (const answer of [await byToken(authority, "bot-0", { delegation: below[0].id }), await bySession(cleo, { delegation: top.id })]) {
      refused(answer, 403, "scopes_not_granted");
    }
    good(await byToken(authority, "bot-0"));
    good(await ana.browser.post(`/admin/principals/${ben.id}/grants`, { scope: "bridgeCert" }));
    good(await ben.browser.stepUp(ben.passkey));
    good(await byToken(authority, "bot-0", { delegation: below[0].id }));
    assert.equal((await verdicts(pairs)).first, GOOD);
    await takeBack(ben, top);
  });

  test("is a human, and all that acts for them; and comes back without what was issued", async () => {
    const { top, below, other, pairs } = await tree();
    const limited = await given(ben, bots[0], { audience: "a".repeat(200), purposeHash: "ab".repeat(32) });
    pairs.limited = good(await byToken(authority, "bot-0", { delegation: limited.id }));
    good(await ana.browser.post(`/admin/principals/${ben.id}/disable`));
    const told = await verdicts(pairs);
    // They are told by his name, however many there are.
    const WITH_HIM = "the principal is revoked,the principal is revoked";
    assert.deepEqual(told, { top: WITH_HIM, first: WITH_HIM, second: WITH_HIM, other: WITH_HIM, own: GOOD, limited: WITH_HIM });
    // On whose behalf it is stands in a certificate: a verifier needs no serial number for it.
    const verifier = new Verifier(authority);
    await verifier.poll();
    verifier.list = { ...verifier.list, credentials: [] };
    for (const [name, { certificates }] of Object.entries(pairs)) {
      const why = name === "own" ? undefined : "the principal is revoked";
      for (const pem of Object.values(certificates)) assert.equal(verifier.refusal(pem), why, name);
    }
    for (const [sub, { id }] of [["bot-0", below[0]], ["bot-1", below[1]], ["bot-0", other]]) {
      refused(await byToken(authority, sub, { delegation: id }), 403, "delegation_revoked");
    }
    const [line] = good(await ana.browser.call("GET", `/admin/audit?target=${ben.id}&action=principal.disabled`)).items;
    assert.ok(JSON.parse(line.details).delegated >= 4, line.details);
    good(await ana.browser.post(`/admin/principals/${ben.id}/enable`));
    good(await byToken(authority, "bot-1", { delegation: below[1].id }));
    assert.deepEqual(await verdicts(pairs), told);
    // What is issued in the second in which Ben was turned away counts as issued before.
    await sleep(1100);
    // Somebody in between.
    const again = { second: good(await byToken(authority, "bot-1", { delegation: below[1].id })), other: good(await byToken(authority, "bot-0", { delegation: other.id })) };
    good(await ana.browser.post(`/admin/principals/${cleo.id}/disable`));
    assert.deepEqual(await verdicts(again), { second: REVOKED, other: GOOD });
    refused(await byToken(authority, "bot-1", { delegation: below[1].id }), 403, "delegation_revoked");
    good(await byToken(authority, "bot-0", { delegation: other.id }));
    good(await ana.browser.post(`/admin/principals/${cleo.id}/enable`));
    good(await cleo.browser.signIn(cleo.passkey));
    good(await ben.browser.signIn(ben.passkey));
    for (const one of [top, other, limited]) await takeBack(ben, one);
  });

  test("in the middle of issuing lets nothing through", async () => {
    for (let round = 0; round < 10; round++) {
      const made = await given(ben, bots[0]);
      const crowd = Array.from({ length: 8 }, () => byToken(authority, "bot-0", { delegation: made.id }));
      const [answers] = await Promise.all([Promise.all(crowd), takeBack(ben, made)]);
      const verifier = new Verifier(authority);
      await verifier.poll();
      for (const answer of answers) {
        if (answer.status === 200) for (const pem of Object.values(answer.json.certificates)) assert.equal(verifier.refusal(pem), "the delegation is revoked", "issued before, and revoked");
        else refused(answer, 403, "delegation_revoked");
      }
      refused(await byToken(authority, "bot-0", { delegation: made.id }), 403, "delegation_revoked");
    }
  });

  test("of a principal in the middle of issuing lets nothing through either", async () => {
    for (let round = 0; round < 6; round++) {
      const sub = `leaver-${round}`;
      const leaver = await agent(authority, sub);
      const crowd = Array.from({ length: 8 }, () => byToken(authority, sub));
      const [answers] = await Promise.all([Promise.all(crowd), ana.browser.post(`/admin/principals/${leaver}/disable`).then(good)]);
      const { principals } = await list(authority);
      for (const answer of answers) if (answer.status !== 200) refused(answer, 403, "turned_away");
      const verifier = new Verifier(authority);
      await verifier.poll();
      assert.ok(leaver in principals);
      for (const { json } of answers.filter(({ status }) => status === 200)) assert.equal(verifier.refusal(json.certificates.mtls), "the principal is revoked");
      refused(await byToken(authority, sub), 403, "turned_away");
    }
  });

  test("stays taken back, and what was made stays made, over kill -9", { skip: noKnife }, async () => {
    const [kept, gone] = [await given(ben, bots[0]), await given(ben, bots[0])];
    await takeBack(ben, gone);
    await authority.kill9();
    await authority.restart();
    good(await byToken(authority, "bot-0", { delegation: kept.id }));
    refused(await byToken(authority, "bot-0", { delegation: gone.id }), 403, "delegation_revoked");
  });

  test("is not made good by a row that somebody wrote", { skip: noKnife }, async () => {
    const top = await given(ben, cleo.id, { depth: 1 });
    const below = await given(cleo, bots[0], { parent: top.id });
    await takeBack(ben, top);
    await meanwhile(authority, `UPDATE delegations SET parent = NULL WHERE id = '${below.id}'`);
    refused(await byToken(authority, "bot-0", { delegation: below.id }), 403, "delegation_revoked");
    await meanwhile(authority, `UPDATE delegations SET parent = '${randomUUID()}' WHERE id = '${below.id}'`);
    refused(await byToken(authority, "bot-0", { delegation: below.id }), 403, "delegation_revoked");
    await meanwhile(authority, `UPDATE delegations SET parent = '${below.id}' WHERE id = '${below.id}'`);
    refused(await byToken(authority, "bot-0", { delegation: below.id }), 403, "delegation_revoked");
  });
});

describe("whoever has a live pair", () => {
  let authority;
  let ana;
  let ben;
  let boss;
  let worker;
  before(async () => {
    ({ authority, ana, ben } = await open());
    boss = await agent(authority, "boss");
    worker = await agent(authority, "worker");
  });
  after(() => authority?.stop());

  /** A pair and its keys. */
  async function pairOf(sub, more = {}) {
    const keys = new Keys();
    const token = await issuer.token({ sub });
    const answer = await post(authority, "/cert", { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token), ...more });
    return { keys, ...good(answer).certificates };
  }

  /** Signs a wish with one of them. */
  async function signed(pair, wish, { challenge, which = "signing", over, send = JSON.stringify(wish), ...more } = {}) {
    const fresh = challenge ?? (await challengeOf(authority));
    const digest = (bytes) => createHash("sha256").update(bytes).digest();
    const message = over ?? Buffer.concat([Buffer.from("notme-delegation-v1\0"), fresh, digest(new X509Certificate(pair[which]).raw), digest(JSON.stringify(wish))]);
    const key = pair.keys[which].privateKey;
    const signature = which === "mtls" ? sign("sha256", message, { key, dsaEncoding: "ieee-p1363" }) : sign(null, message, key);
    return post(authority, "/delegations", { proof: { type: "x509", chain: pair[which], signature: signature.toString("base64url") }, challenge: fresh.toString("base64url"), delegation: send, ...more });
  }

  test("hands on what it was given, on the same behalf, with either key", async () => {
    const top = await given(ben, boss, { depth: 2 });
    const pair = await pairOf("boss", { delegation: top.id });
    for (const which of ["signing", "mtls"]) {
      const made = good(await signed(pair, { delegate: worker, parent: top.id }, { which }));
      assert.deepEqual([made.delegator, made.onBehalfOf, made.delegate, made.depth], [boss, ben.id, worker, 0]);
      assert.equal(good(await byToken(authority, "worker", { delegation: made.id })).on_behalf_of, ben.id);
    }
    refused(await signed(pair, { delegate: worker, parent: top.id, depth: 2 }), 403, "delegation_exceeded", "depth");
    // Its own rights aren't that pair's, nor is another delegation.
    refused(await signed(pair, { delegate: worker }), 403, "delegation_bound");
    const other = await given(ben, boss, { depth: 2 });
    refused(await signed(pair, { delegate: worker, parent: other.id }), 403, "delegation_bound");
    const own = await pairOf("boss");
    const made = good(await signed(own, { delegate: worker }));
    assert.deepEqual([made.onBehalfOf, made.parent], [boss, undefined]);
    good(await signed(own, { delegate: worker, parent: other.id }));
    // What is above goes, and all of it.
    await takeBack(ben, top);
    refused(await signed(pair, { delegate: worker, parent: top.id }), 401, "certificate_revoked");
    refused(await signed(own, { delegate: worker, parent: top.id }), 403, "delegation_revoked");
    const [line] = good(await ana.browser.call("GET", `/admin/audit?target=${made.id}`)).items;
    assert.deepEqual([line.action, line.actor], ["delegation.made", boss]);
  });

  test("takes what it handed on with it when it is taken back, and so does its way in", async () => {
    const serial = (pair) => new X509Certificate(pair.mtls).serialNumber;
    const [first, other] = [await pairOf("boss"), await pairOf("boss")];
    const made = [good(await signed(first, { delegate: worker, depth: 1 })), good(await signed(first, { delegate: worker }))];
    const kept = good(await signed(other, { delegate: worker }));
    const below = good(await signed(await pairOf("worker"), { delegate: boss, parent: made[0].id }));
    const pairs = [good(await byToken(authority, "worker", { delegation: made[1].id })), good(await byToken(authority, "boss", { delegation: below.id }))];
    const keptPair = good(await byToken(authority, "worker", { delegation: kept.id }));
    good(await ana.browser.call("DELETE", `/admin/credentials/${serial(first)}`));
    const [line] = good(await ana.browser.call("GET", "/admin/audit?action=credential.revoked")).items;
    assert.equal(JSON.parse(line.details).delegations, 2);
    const lines = good(await ana.browser.call("GET", "/admin/audit?action=delegation.revoked")).items;
    for (const { id } of made) assert.equal(lines.filter(({ target, actor }) => target === id && actor === ana.id).length, 1, id);
    for (const { id } of [...made, below]) refused(await byToken(authority, id === below.id ? "boss" : "worker", { delegation: id }), 403, "delegation_revoked");
    const verifier = new Verifier(authority);
    await verifier.poll();
    for (const { certificates } of pairs) assert.equal(verifier.refusal(certificates.mtls), "the delegation is revoked");
    assert.equal(verifier.refusal(keptPair.certificates.mtls), undefined);
    good(await byToken(authority, "worker", { delegation: kept.id }));
    // The way in that the other one came by.
    const [{ id: wayIn }] = good(await ana.browser.call("GET", `/admin/authenticators?principal=${boss}`)).items;
    good(await ana.browser.call("DELETE", `/admin/authenticators/${wayIn}`));
    refused(await byToken(authority, "worker", { delegation: kept.id }), 403, "delegation_revoked");
    await verifier.poll();
    assert.equal(verifier.refusal(keptPair.certificates.mtls), "the delegation is revoked");
    refused(await signed(other, { delegate: worker }), 401, "certificate_revoked");
    boss = await agent(authority, "boss");
  });

  test("outlives no proof but a passkey that was just shown", { skip: noKnife }, async () => {
    const now = () => Math.floor(Date.now() / 1000);
    const far = now() + 86_400;
    // A token's pair, and one that renews it: the token's end.
    const exp = now() + 120;
    const keys = new Keys();
    const token = await issuer.token({ sub: "boss", exp });
    const pair = { keys, ...good(await post(authority, "/cert", { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token) })).certificates };
    refused(await signed(pair, { delegate: worker, expiresAt: far }), 403, "delegation_exceeded", "expiresAt");
    refused(await signed(pair, { delegate: worker, expiresAt: exp + 1 }), 403, "delegation_exceeded", "expiresAt");
    assert.equal(good(await signed(pair, { delegate: worker })).expiresAt, exp);
    const top = await given(ben, boss, { depth: 2, expiresAt: far });
    refused(await signed(pair, { delegate: worker, parent: top.id, expiresAt: far }), 403, "delegation_exceeded", "expiresAt");
    // A person's: as long as it likes if their session is fresh, and else for as long as the pair lasts.
    const personal = async () => {
      const own = new Keys();
      const answer = await ben.browser.post("/cert", { proof: { type: "session" }, public_keys: own.publicKeys, proofs: own.proofsOver(own.message()) });
      const { certificates, expires_at: expiresAt } = good(answer);
      return { keys: own, expiresAt, ...certificates };
    };
    good(await ben.browser.stepUp(ben.passkey));
    const fresh = await personal();
    const made = good(await signed(fresh, { delegate: worker, expiresAt: far }));
    assert.deepEqual([made.onBehalfOf, made.expiresAt], [ben.id, far]);
    const [line] = good(await ana.browser.call("GET", `/admin/audit?target=${made.id}`)).items;
    assert.equal(JSON.parse(line.details).serial, new X509Certificate(fresh.signing).serialNumber.toLowerCase().padStart(32, "0"));
    await meanwhile(authority, longAgo(301));
    refused(await delegate(ben, worker), 403, "step_up_required");
    const stale = await personal();
    refused(await signed(stale, { delegate: worker, expiresAt: far }), 403, "delegation_exceeded", "expiresAt");
    assert.equal(good(await signed(stale, { delegate: worker })).expiresAt, stale.expiresAt);
    for (const one of [ana, ben]) good(await one.browser.stepUp(one.passkey));
  });

  test("signs this wish, with its key, for once", async () => {
    const pair = await pairOf("boss");
    const wish = { delegate: worker };
    const challenge = await challengeOf(authority);
    good(await signed(pair, wish, { challenge }));
    refused(await signed(pair, wish, { challenge }), 400, "bad_challenge");
    refused(await signed(pair, wish, { challenge: Buffer.alloc(32) }), 400, "bad_challenge");
    const wider = JSON.stringify({ ...wish, depth: 4 });
    const spent = await challengeOf(authority);
    refused(await signed(pair, wish, { send: wider, challenge: spent }), 401, "certificate_possession_failed");
    refused(await signed(pair, wish, { challenge: spent }), 400, "bad_challenge");
    const stranger = { ...pair, keys: new Keys() };
    refused(await signed(stranger, wish), 401, "certificate_possession_failed");
    refused(await signed(pair, wish, { over: pair.keys.message(await challengeOf(authority)) }), 401, "certificate_possession_failed");
    const crowd = await challengeOf(authority);
    const answers = await Promise.all(Array.from({ length: 20 }, () => signed(pair, wish, { challenge: crowd })));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 400, "bad_challenge");
    for (const [more, status, code] of [
      [{ send: "{" }, 400, "invalid_json"],
      [{ send: 7 }, 400, "invalid_member"],
      [{ send: JSON.stringify({ ...wish, x: 1 }) }, 400, "invalid_member"],
      [{ proof: {} }, 400, "missing_proof_type"],
      [{ proof: { type: "session" } }, 400, "unknown_proof_type"],
      [{ proof: { type: "x509" } }, 400, "invalid_member"],
    ]) {
      refused(await signed(pair, wish, more), status, code);
    }
  });

  test("makes one delegation by a signature, across a kill -9 in the middle of 20", { skip: noKnife }, async () => {
    const pair = await pairOf("boss");
    for (const [round, moment] of MOMENTS.entries()) {
      /** A wish for an audience that no other has, and what makes it single. */
      const fresh = async (name) => ({ wish: { delegate: worker, audience: `https://${name}-${round}.example` }, challenge: await challengeOf(authority) });
      const show = ({ wish, challenge }) => signed(pair, wish, { challenge });
      const used = await fresh("used");
      good(await show(used));
      const flying = await fresh("flying");
      const asked = Array.from({ length: 20 }, () => show(flying).catch(() => ({ status: 0 })));
      await moment(asked);
      await authority.kill9();
      const answers = await Promise.all(asked);
      await authority.restart();
      refused(await show(used), 400, "bad_challenge");
      const again = await show(flying);
      assert.ok([...answers, again].filter(({ status }) => status === 200).length <= 1, `round ${round}`);
      if (again.status !== 200) refused(again, 400, "bad_challenge");
      refused(await show(flying), 400, "bad_challenge");
      // Also where the crash swallowed the answer.
      for (const { wish } of [used, flying]) {
        const made = query(databaseOf(authority.stateDir), `SELECT COUNT(*) FROM delegations WHERE audience = '${wish.audience}'`);
        assert.deepEqual(made, [[1]], wish.audience);
      }
    }
  });

  test("has it from this authority, and is there still", async () => {
    const elsewhere = await open();
    try {
      const keys = new Keys();
      const token = await issuer.token({ sub: "boss" });
      const theirs = good(await post(elsewhere.authority, "/cert", { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token) }));
      refused(await signed({ keys, ...theirs.certificates }, { delegate: worker }), 401, "unknown_root");
    } finally {
      await elsewhere.authority.stop();
    }
    const pair = await pairOf("leaver");
    const leaver = await agent(authority, "leaver");
    good(await ana.browser.post(`/admin/principals/${leaver}/disable`));
    refused(await signed(pair, { delegate: worker }), 401, "certificate_revoked");
    const old = await pairOf("boss");
    good(await ana.browser.post("/admin/epoch", {}));
    refused(await signed(old, { delegate: worker }), 401, "unknown_root");
  });
});

describe("an issuing certificate", () => {
  let authority;
  let ana;
  let ben;
  let bot;
  let folder;
  let program;
  let delegation;
  let root;
  before(async () => {
    const target = resolve(ROOT, process.env.CARGO_TARGET_DIR || join(CACHE, "target"));
    const built = await execute("cargo", ["build", "--quiet", "--package", "notme-cli"], { cwd: ROOT, env: { ...process.env, CARGO_TARGET_DIR: target } });
    assert.equal(built.code, 0, built.stderr);
    program = join(target, "debug/notme");
    folder = mkdtempSync(join(tmpdir(), "notme-delegation-"));
    ({ authority, ana, ben } = await open());
    bot = await agent(authority, "orchestrator");
    delegation = await given(ben, bot, { depth: 1 });
    root = newFile(await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text());
  });
  after(async () => {
    await authority?.stop();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  let count = 0;
  const newPath = () => join(folder, String((count += 1)));
  const newFile = (content) => {
    const path = newPath();
    writeFileSync(path, content);
    return path;
  };
  const notme = (args) => execute(program, args, { env: cleanEnvironment({}) });

  /** An issuing certificate and its key, as files. */
  async function orchestrator(on = delegation.id, more = {}) {
    const { key, ...answer } = await issuing(authority, "orchestrator", on, more);
    const { certificates, ...json } = good(answer);
    return { json, key, pem: certificates.issuing, issuing: newFile(certificates.issuing), secret: newFile(key.privateKey.export({ type: "pkcs8", format: "pem" })) };
  }

  const mintArgs = (files, id, more = []) => ["task", "mint", "--issuing", files.issuing, "--issuing-key", files.secret, "--id", id, "--out", newPath(), ...more];
  async function task(files, id, more = []) {
    const args = mintArgs(files, id, more);
    const ran = await notme(args);
    assert.equal(ran.code, 0, ran.stderr);
    return { out: args[args.indexOf("--out") + 1], chain: join(args[args.indexOf("--out") + 1], "task.pem"), stdout: ran.stdout };
  }
  const verify = (chain, more = []) => notme(["verify", chain, "--authority", authority.url, "--json", ...more]);
  const failed = (ran, exit, code) => {
    assert.equal(ran.code, exit, `${ran.stdout}${ran.stderr}`);
    assert.match(ran.stderr, new RegExp(`^notme: [^\\n]+ \\[${code}\\]\\n$`));
  };

  test("signs task leaves offline that name principal and task, and are good until it is revoked", async () => {
    const files = await orchestrator();
    const { json } = files;
    assert.deepEqual([json.principal_id, json.on_behalf_of, json.delegation, json.binding], [bot, ben.id, delegation.id, undefined]);
    assert.equal(json.namespace, `${json.identity}/task/`);
    assert.ok(json.expires_at <= now() + 300);
    assert.ok(new X509Certificate(files.pem).ca);
    const { out, chain } = await task(files, "build-7");
    assert.equal((statSync(join(out, "task.key")).mode & 0o777).toString(8), "600");
    const leaf = new X509Certificate(readFileSync(chain));
    assert.equal(leaf.subjectAltName, `URI:wimse://localhost:${authority.port}/principal/${bot}/task/build-7`);
    const ran = await verify(chain);
    assert.equal(ran.code, 0, ran.stderr);
    const told = JSON.parse(ran.stdout);
    assert.deepEqual([told.kind, told.principal, told.task, told.scopes, told.delegation.on_behalf_of], ["task", bot, "build-7", ["bridgeCert"], ben.id]);
    const forPeople = await notme(["verify", chain, "--authority", authority.url]);
    assert.match(forPeople.stdout, new RegExp(`^good        task\n.*\non behalf   ${ben.id}\n`, "s"));
    // It is one credential, and told once.
    const serial = new X509Certificate(files.pem).serialNumber;
    const [row] = good(await ana.browser.call("GET", `/admin/credentials?serial=${serial}`)).items;
    assert.deepEqual([row.issuing, row.delegation, row.state], [true, delegation.id, "active"]);
    good(await ana.browser.call("DELETE", `/admin/credentials/${serial}`));
    const { credentials } = await list(authority);
    assert.equal(credentials.filter((one) => one === serial.toLowerCase().padStart(32, "0")).length, 1);
    failed(await verify(chain), 1, "revoked");
  });

  describe("that the client fetches", () => {
    const FILES = ["issuing.key", "issuing.pem", "root.pem"];
    const mode = (path) => (statSync(path).mode & 0o777).toString(8);
    const tokenFile = async (sub = "orchestrator") => newFile(await issuer.token({ sub }));
    const enrolArgs = ({ url = authority.url, on = delegation.id, out = newPath(), by }, more = []) => {
      const proof = Array.isArray(by) ? by : ["--token-file", by];
      return ["task", "enroll", "--authority", url, "--delegation", on, "--out", out, ...proof, ...more];
    };
    const filesIn = (out) => ({ issuing: join(out, "issuing.pem"), secret: join(out, "issuing.key") });
    /** Runs it, which succeeds, and gives what it says. */
    async function fetched(options, more = []) {
      const ran = await notme(enrolArgs(options, [...more, "--json"]));
      assert.equal(ran.code, 0, ran.stderr);
      return JSON.parse(ran.stdout);
    }

    test("with a token is what tasks are signed with", async () => {
      const [out, by] = [newPath(), await tokenFile()];
      const told = await fetched({ out, by });
      assert.deepEqual([told.ok, told.subject, told.namespace, told.scopes], [true, bot, `${told.identity}/task/`, ["bridgeCert"]]);
      assert.deepEqual(told.delegation, { id: delegation.id, on_behalf_of: ben.id, audience: null, purpose: null });
      assert.deepEqual(readdirSync(out).sort(), FILES);
      assert.deepEqual(FILES.map((name) => told.files[name.replace(".", "_")]), FILES.map((name) => join(out, name)));
      assert.deepEqual([out, ...FILES.map((name) => join(out, name))].map(mode), ["700", "600", "644", "644"]);
      const issuing = new X509Certificate(readFileSync(join(out, "issuing.pem")));
      assert.ok(issuing.ca && issuing.checkPrivateKey(createPrivateKey(readFileSync(join(out, "issuing.key")))));
      assert.equal(Date.parse(issuing.validTo), told.expires_at * 1000);
      assert.equal(readFileSync(join(out, "root.pem"), "utf8").trim(), readFileSync(root, "utf8").trim());
      const { chain } = await task(filesIn(out), "build-7");
      const ran = await notme(["verify", chain, "--authority", authority.url, "--ca", join(out, "root.pem"), "--json"]);
      assert.equal(ran.code, 0, ran.stderr);
      const verified = JSON.parse(ran.stdout);
      assert.deepEqual([verified.kind, verified.principal, verified.task, verified.delegation.on_behalf_of], ["task", bot, "build-7", ben.id]);
      // For people; the token is in nothing that is said, and from a variable it is as good.
      const token = await issuer.token({ sub: "orchestrator" });
      const people = await execute(program, enrolArgs({ by: ["--token-env", "MINE"] }, ["--scopes", "bridgeCert", "--ca", root]), { env: cleanEnvironment({ MINE: token }) });
      assert.equal(people.code, 0, people.stderr);
      assert.match(people.stdout, new RegExp(`^identity   ${told.identity}\non behalf  ${ben.id}\nscopes     bridgeCert\nexpires    .*Z\nfiles      .*/{${FILES.join(",")}}\n$`));
      for (const part of token.split(".")) assert.ok(!`${people.stdout}${people.stderr}`.includes(part));
    });

    test("says to what the delegation limits it", async () => {
      const purposeHash = createHash("sha256").update("nightly build").digest("hex");
      const on = await given(ben, bot, { depth: 1, audience: "https://ci.example", purposeHash });
      const told = await fetched({ on: on.id, by: await tokenFile() });
      assert.deepEqual(told.delegation, { id: on.id, on_behalf_of: ben.id, audience: "https://ci.example", purpose: purposeHash });
    });

    test("replaces nothing unless forced, and finds out before the token is used", async () => {
      const [out, by] = [newPath(), await tokenFile()];
      mkdirSync(out, { mode: 0o700 });
      for (const name of FILES) {
        writeFileSync(join(out, name), "mine");
        failed(await notme(enrolArgs({ out, by })), 4, "exists");
        assert.deepEqual([readdirSync(out), readFileSync(join(out, name), "utf8")], [[name], "mine"]);
        rmSync(join(out, name));
      }
      writeFileSync(join(out, "issuing.key"), "mine");
      const told = await fetched({ out, by }, ["--force"]);
      assert.equal(mode(told.files.issuing_key), "600");
      await task(filesIn(out), "t");
      // And that used it up.
      failed(await notme(enrolArgs({ by })), 1, "token_used");
    });

    test("isn't there for who may not have it, and nothing is written", async () => {
      const by = await tokenFile();
      const refusedWith = async (options, exit, code, more) => {
        const out = newPath();
        failed(await notme(enrolArgs({ out, by, ...options }, more)), exit, code);
        assert.ok(!existsSync(out), code);
      };
      const without = await notme(["task", "enroll", "--authority", authority.url, "--out", newPath(), "--token-file", by]);
      assert.deepEqual([without.code, without.stdout], [2, ""]);
      assert.match(without.stderr, /--delegation/);
      for (const on of ["", "x", delegation.id.toUpperCase()]) await refusedWith({ on }, 2, "delegation_id");
      await refusedWith({ on: randomUUID() }, 1, "unknown_delegation");
      await refusedWith({ by: await tokenFile("stranger") }, 1, "unknown_delegation");
      const flat = await given(ben, bot);
      await refusedWith({ on: flat.id }, 1, "delegation_exceeded");
      const gone = await given(ben, bot, { depth: 1 });
      await takeBack(ben, gone);
      await refusedWith({ on: gone.id }, 1, "delegation_revoked");
      await refusedWith({}, 1, "scopes_not_granted", ["--scopes", "authorityManage"]);
      await refusedWith({}, 1, "wrong_issuer", ["--proof-type", "custom"]);
      await refusedWith({ by: [] }, 2, "token_missing");
      await refusedWith({ by: newFile("no token") }, 2, "token_malformed");
      await refusedWith({ by: join(folder, "nowhere") }, 4, "token_file");
      await refusedWith({}, 1, "ca_malformed", ["--ca", by]);
      // None of that used the token up.
      await fetched({ by });
    });

    test("with a certificate ends when that does", async (t) => {
      const { authority, ben } = await open();
      t.after(() => authority.stop());
      const bot = await agent(authority, "orchestrator");
      const bundle = await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text();
      const rows = [
        { type: "x509", name: "ours", roots: bundle, scopes: ["bridgeCert"], rules: [{ san_uri: "wimse://*" }] },
        { issuer: issuer.url, audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{}] },
      ];
      await authority.restart({ vars: { TRUSTED_ISSUERS: JSON.stringify(rows) } });
      const on = await given(ben, bot, { depth: 1 });
      const pair = async (more = {}) => {
        const keys = new Keys();
        const token = await issuer.token({ sub: "orchestrator" });
        const body = { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token), ...more };
        const { certificates, expires_at } = good(await post(authority, "/cert", body));
        const pem = (name) => keys[name].privateKey.export({ type: "pkcs8", format: "pem" });
        const shown = (name) => ["--cert", newFile(certificates[name]), "--key", newFile(pem(name))];
        return { expires_at, mtls: shown("mtls"), signing: shown("signing") };
      };
      const { url } = authority;
      const own = await pair();
      for (const by of [own.mtls, own.signing]) {
        const told = await fetched({ url, on: on.id, by });
        assert.deepEqual([told.subject, told.delegation.on_behalf_of], [bot, ben.id]);
        assert.ok(told.expires_at <= own.expires_at);
        const { chain } = await task(filesIn(dirname(told.files.issuing_pem)), "t");
        assert.equal((await notme(["verify", chain, "--authority", url])).code, 0);
      }
      const same = await pair({ delegation: on.id });
      assert.ok((await fetched({ url, on: on.id, by: same.signing })).expires_at <= same.expires_at);
      const refusedWith = async (options, exit, code) => {
        const out = newPath();
        failed(await notme(enrolArgs({ url, on: on.id, out, ...options })), exit, code);
        assert.ok(!existsSync(out), code);
      };
      const second = await given(ben, bot, { depth: 1 });
      await refusedWith({ on: second.id, by: same.signing }, 1, "delegation_bound");
      const [, cert, , key] = own.signing;
      await refusedWith({ by: ["--cert", cert, "--key", own.mtls[3]] }, 1, "certificate_possession_failed");
      await refusedWith({ by: ["--cert", cert, "--key", same.signing[3]] }, 1, "certificate_possession_failed");
      await refusedWith({ by: ["--cert", key, "--key", key] }, 2, "cert");
      await refusedWith({ by: ["--cert", cert, "--key", cert] }, 2, "cert_key");
      await refusedWith({ by: ["--cert", cert, "--key", join(folder, "nowhere")] }, 4, "unreadable");
      await refusedWith({ by: ["--cert", root, "--key", key] }, 1, "unknown_root");
    });

    describe("through somebody in between", () => {
      let between;
      let foreign;
      before(async () => {
        between = await startBetween(authority);
        foreign = good(await issuing(authority, "orchestrator", delegation.id));
      });
      after(() => between?.close());

      /** Fetches while the answer of `/cert` is changed. */
      async function through(change, more = []) {
        between.seen = [];
        between.tamper = async (path, text) => {
          if (path !== "/cert") return undefined;
          const json = JSON.parse(text);
          return { text: JSON.stringify((await change(json)) ?? json) };
        };
        const out = newPath();
        return { out, ran: await notme(enrolArgs({ url: between.url, out, by: await tokenFile() }, more)) };
      }

      test("it is fetched if nothing is changed", async () => {
        const { ran, out } = await through(() => undefined);
        assert.equal(ran.code, 0, ran.stderr);
        assert.deepEqual(readdirSync(out).sort(), FILES);
        assert.deepEqual(between.seen.slice(-2), ["/cert/challenge", "/cert"]);
      });

      const about = /about somebody else/;
      const changes = {
        "another's certificate": [/over another key/, (json) => void (json.certificates = foreign.certificates)],
        "another identity": [/its identity/, (json) => void (json.identity += "x")],
        "another expiry": [/expire at another time/, (json) => void (json.expires_at += 1)],
        "another epoch": [/its epoch/, (json) => void (json.authority.epoch += 1)],
        "another key id": [/another key of the authority/, (json) => void (json.authority.key_id = "0".repeat(32))],
        "further scopes": [/its scopes/, (json) => void json.scopes.push("authorityManage")],
        "another delegation": [about, (json) => void (json.delegation = randomUUID())],
        "on another's behalf": [about, (json) => void (json.on_behalf_of = bot)],
        "another namespace": [about, (json) => void (json.namespace = json.namespace.replace(bot, ben.id))],
        "another principal": [about, (json) => void (json.principal_id = ben.id)],
      };
      for (const [what, [words, change]] of Object.entries(changes)) {
        test(`${what}: refused, and nothing is written`, async () => {
          const { ran, out } = await through(change);
          failed(ran, 1, "bad_answer");
          assert.match(ran.stderr, words);
          assert.ok(!existsSync(out));
        });
      }

      test("a request that was changed on its way: refused, and nothing is written", async () => {
        // No signature of the client's has delegation or scopes in it.
        const second = await given(ben, bot, { depth: 1 });
        const scoped = ["--scopes", "sign:git"];
        for (const [words, change, more] of [
          [/hangs on another delegation/, (body) => void (body.delegation = second.id), []],
          [/scopes that nobody asked for/, (body) => void delete body.scopes, scoped],
        ]) {
          const out = newPath();
          between.tamper = undefined;
          between.instead = async (path, sent) => {
            if (path !== "/cert") return undefined;
            const body = JSON.parse(sent);
            change(body);
            return (await post(authority, "/cert", body)).text;
          };
          const ran = await notme(enrolArgs({ url: between.url, out, by: await tokenFile() }, more));
          between.instead = undefined;
          failed(ran, 1, "bad_answer");
          assert.match(ran.stderr, words);
          assert.ok(!existsSync(out));
        }
      });

      test("a pair, or another's root, is refused too", async () => {
        const pair = good(await byToken(authority, "orchestrator", { delegation: delegation.id }));
        const { ran } = await through((json) => void (json.certificates.issuing = pair.certificates.signing));
        failed(ran, 1, "malformed");
        const elsewhere = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
        try {
          const pin = newFile(await (await fetch(`${elsewhere.url}/.well-known/ca-bundle.pem`)).text());
          const pinned = await through(() => undefined, ["--ca", pin]);
          failed(pinned.ran, 1, "bundle_unknown_key");
          assert.ok(!between.seen.includes("/cert"), "the token was not used");
        } finally {
          await elsewhere.stop();
        }
      });
    });
  });

  test("is over a key that its holder shows, for this, once", async () => {
    const key = generateKeyPairSync("ed25519");
    const other = generateKeyPairSync("ed25519");
    const attempt = (more) => issuing(authority, "orchestrator", delegation.id, { key, ...more });
    const challenge = await challengeOf(authority);
    refused(await attempt({ over: Buffer.concat([Buffer.from("notme-issuing-key-v1\0"), challenge, spki(other.publicKey)]) }), 401, "ed25519_possession_failed");
    refused(await attempt({ label: "notme-proof-of-possession-v1\0" }), 401, "ed25519_possession_failed");
    refused(await attempt({ over: spki(key.publicKey) }), 401, "ed25519_possession_failed");
    const once = await challengeOf(authority);
    good(await attempt({ challenge: once }));
    refused(await attempt({ challenge: once }), 400, "bad_challenge");
    refused(await attempt({ challenge: Buffer.alloc(32) }), 400, "bad_challenge");
    refused(await post(authority, "/cert", { proof: { type: "oidc", token: "a.b.c" }, credential: "issuing", delegation: delegation.id }), 400, "challenge_required");
    const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const wrong = { public_keys: { issuing: p256.publicKey.export({ type: "spki", format: "pem" }) } };
    refused(await attempt(wrong), 400, "invalid_public_key");
    refused(await attempt({ public_keys: {} }), 400, "missing_public_keys");
    refused(await attempt({ proofs: {} }), 400, "missing_proofs");
  });

  for (const by of ["jti", "challenge"]) {
    const told = by === "jti" ? [401, "token_used"] : [400, "bad_challenge"];
    /** So many requests with one proof: each with a challenge and a key of its own where the token works once, and else all the same. */
    const showing = async (count) => {
      const token = await issuer.token({ sub: "orchestrator", exp: now() + (by === "jti" ? 300 : 3600) });
      const one = async () => ({ token, challenge: await challengeOf(authority), key: generateKeyPairSync("ed25519") });
      return by === "jti" ? Promise.all(Array.from({ length: count }, one)) : Array(count).fill(await one());
    };

    test(`comes of a proof once, also for 20 at once: by its ${by}`, async () => {
      const show = (request) => issuing(authority, "orchestrator", delegation.id, request);
      const [later, ...requests] = await showing(21);
      const crowd = await Promise.all(requests.map(show));
      assert.equal(crowd.filter(({ status }) => status === 200).length, 1);
      for (const answer of crowd.filter(({ status }) => status !== 200)) refused(answer, ...told);
      refused(await show(later), ...told);
    });

    test(`comes of a proof once across a kill -9 in the middle of 20: by its ${by}`, { skip: noKnife }, async () => {
      for (const [round, moment] of MOMENTS.entries()) {
        const [used, flying] = [await given(ben, bot, { depth: 1 }), await given(ben, bot, { depth: 1 })];
        const show = (on, request) => issuing(authority, "orchestrator", on.id, request);
        const [first, second] = await showing(2);
        good(await show(used, first));
        const [last, next, ...requests] = await showing(22);
        const asked = requests.map((request) => show(flying, request).catch(() => ({ status: 0 })));
        await moment(asked);
        await authority.kill9();
        const answers = await Promise.all(asked);
        await authority.restart();
        refused(await show(used, second), ...told);
        const again = await show(flying, next);
        assert.ok([...answers, again].filter(({ status }) => status === 200).length <= 1, `round ${round}`);
        if (again.status !== 200) refused(again, ...told);
        refused(await show(flying, last), ...told);
        // Also where the crash swallowed the answer.
        for (const { id } of [used, flying]) {
          const issued = query(databaseOf(authority.stateDir), `SELECT COUNT(*) FROM credentials WHERE delegation = '${id}' AND serial = signing_serial`);
          assert.deepEqual(issued, [[1]], `round ${round}`);
        }
      }
    });
  }

  test("hangs on a delegation that can be handed on", async () => {
    refused(await issuing(authority, "orchestrator", undefined), 400, "delegation_required");
    const flat = await given(ben, bot);
    refused(await issuing(authority, "orchestrator", flat.id), 403, "delegation_exceeded", "depth");
    refused(await issuing(authority, "stranger", delegation.id), 403, "unknown_delegation");
    // A person gets one too, on what they gave themselves.
    const own = await given(ben, ben.id, { depth: 1 });
    const challenge = Buffer.from(good(await ben.browser.post("/cert/challenge")).challenge, "base64url");
    const key = generateKeyPairSync("ed25519");
    const asked = {
      proof: { type: "session" },
      credential: "issuing",
      delegation: own.id,
      challenge: challenge.toString("base64url"),
      public_keys: { issuing: key.publicKey.export({ type: "spki", format: "pem" }) },
      proofs: { issuing: sign(null, Buffer.concat([Buffer.from("notme-issuing-key-v1\0"), challenge, spki(key.publicKey)]), key.privateKey).toString("base64url") },
    };
    assert.equal(good(await ben.browser.post("/cert", asked)).principal_id, ben.id);
    refused(await ben.browser.post("/cert", asked), 400, "bad_challenge");
    refused(await issuing(authority, "orchestrator", delegation.id, { scopes: ["authorityManage"] }), 403, "scopes_not_granted");
  });

  test("goes with its delegation, and with who is behind it, and no leaf of it is good then", async () => {
    const on = await given(ben, bot, { depth: 1 });
    const files = await orchestrator(on.id);
    const { chain } = await task(files, "t");
    assert.equal((await verify(chain)).code, 0);
    await takeBack(ben, on);
    failed(await verify(chain), 1, "revoked");
    refused(await issuing(authority, "orchestrator", on.id), 403, "delegation_revoked");
    if (!OPENSSL) {
      const lists = newFile(await (await fetch(`${authority.url}/.well-known/crl.pem`)).text());
      const ran = await execute("openssl", ["verify", "-crl_check", "-CAfile", root, "-CRLfile", lists, "-ignore_critical", files.issuing]);
      assert.match(ran.stderr, /certificate revoked/);
    }
  });

  test("goes with the agent that has it, and with the human whom it is for", async () => {
    for (const who of ["the human", "the agent"]) {
      const guest = await person(authority, { invite: good(await ana.browser.post("/invites", {})).token, displayName: who });
      const on = await given(guest, bot, { depth: 1 });
      const { chain } = await task(await orchestrator(on.id), "t");
      assert.equal((await verify(chain)).code, 0);
      const id = who === "the agent" ? bot : guest.id;
      good(await ana.browser.post(`/admin/principals/${id}/disable`));
      failed(await verify(chain), 1, "revoked");
      const again = await issuing(authority, "orchestrator", on.id);
      refused(again, 403, who === "the agent" ? "turned_away" : "delegation_revoked");
      good(await ana.browser.post(`/admin/principals/${id}/enable`));
      failed(await verify(chain), 1, "revoked");
    }
    // What is issued in the second in which somebody was turned away counts as issued before.
    await sleep(1100);
  });

  test("with an audience and a purpose limits what is below it", async () => {
    const purposeHash = createHash("sha256").update("nightly build").digest("hex");
    const on = await given(ben, bot, { depth: 1, audience: "https://ci.example", purposeHash });
    const { chain } = await task(await orchestrator(on.id), "t");
    failed(await verify(chain), 1, "other_audience");
    failed(await verify(chain, ["--audience", "https://other.example"]), 1, "other_audience");
    failed(await verify(chain, ["--audience", "https://ci.example"]), 1, "other_purpose");
    const ran = await verify(chain, ["--audience", "https://ci.example", "--purpose-hash", purposeHash]);
    assert.equal(ran.code, 0, ran.stderr);
    assert.equal(JSON.parse(ran.stdout).delegation.purpose, purposeHash);
    // A pair of it too.
    const pair = good(await byToken(authority, "orchestrator", { delegation: on.id }));
    failed(await verify(newFile(pair.certificates.signing)), 1, "other_audience");
  });

  test("mints nothing beyond itself", async () => {
    const files = await orchestrator();
    const usage = async (args, code) => failed(await notme(args), 2, code);
    for (const id of ["", "..", "a/b", "a%2f", "ä", "x".repeat(65)]) await usage(mintArgs(files, id), "task_id");
    await usage(mintArgs(files, "t", ["--scopes", "bridgeCert,authorityManage"]), "scopes_exceeded");
    await usage(mintArgs(files, "t", ["--ttl", "3600"]), "ttl_exceeded");
    const other = await orchestrator();
    await usage(mintArgs({ ...files, secret: other.secret }, "t"), "issuing_key");
    failed(await notme(mintArgs({ ...files, issuing: root }, "t")), 1, "malformed");
    await usage(mintArgs(files, "t", ["--public-key", root]), "public_key");
    // A key of the task's own, of both kinds; and a short life.
    for (const kind of [["ed25519"], ["ec", { namedCurve: "P-256" }]]) {
      const { publicKey } = generateKeyPairSync(...kind);
      const pem = newFile(publicKey.export({ type: "spki", format: "pem" }));
      const { chain } = await task(files, "t", ["--public-key", pem, "--ttl", "20"]);
      const leaf = new X509Certificate(readFileSync(chain));
      assert.ok(leaf.publicKey.equals(publicKey));
      assert.ok(Date.parse(leaf.validTo) <= Date.now() + 21_000);
      assert.equal((await verify(chain)).code, 0);
    }
    // What is below another issuing certificate than the one that is shown.
    const { chain } = await task(files, "t");
    const leaf = readFileSync(chain, "utf8").split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n";
    failed(await verify(newFile(leaf + other.pem + "\n")), 1, "unknown_issuer");
    failed(await verify(newFile(leaf)), 1, "malformed");
    failed(await verify(files.issuing), 1, "malformed");
  });

  /** What OpenSSL signs with the orchestrator's key, whatever it is. */
  async function forge(files, { san, ca = false, serial = 7, signer = files, extra = [] }) {
    const [key, csr, out, ext] = [newPath(), newPath(), newPath(), newPath()];
    const run = async (args) => {
      const ran = await execute("openssl", args);
      assert.equal(ran.code, 0, ran.stderr);
    };
    writeFileSync(ext, [`basicConstraints=critical,CA:${ca ? "TRUE" : "FALSE"}`, `keyUsage=critical,${ca ? "keyCertSign" : "digitalSignature"}`, "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid:always", `subjectAltName=critical,URI:${san}`, ...extra].join("\n"));
    await run(["genpkey", "-algorithm", "ED25519", "-out", key]);
    await run(["req", "-new", "-key", key, "-subj", "/CN=x", "-out", csr]);
    await run(["x509", "-req", "-in", csr, "-CA", signer.issuing, "-CAkey", signer.secret, "-set_serial", String(serial), "-days", "1", "-extfile", ext, "-out", out]);
    return { issuing: out, secret: key, pem: readFileSync(out, "utf8") };
  }

  /** The elements in an element of DER. */
  function elements(der) {
    const found = [];
    const head = (at) => 2 + (der[at + 1] > 0x7f ? der[at + 1] & 0x7f : 0);
    const length = (at) => (der[at + 1] > 0x7f ? der.readUIntBE(at + 2, der[at + 1] & 0x7f) : der[at + 1]);
    for (let at = head(0); at < der.length; at += head(at) + length(at)) found.push(der.subarray(at, at + head(at) + length(at)));
    return found;
  }

  function sequence(...parts) {
    const content = Buffer.concat(parts);
    return Buffer.concat([Buffer.from([0x30, 0x82, content.length >> 8, content.length & 0xff]), content]);
  }

  /** An issuing certificate like that of `files`, over another key and signed by the key of `files`. */
  function reissued({ pem, key }, { publicKey }) {
    const [signed, algorithm] = elements(new X509Certificate(pem).raw);
    const [version, serial, signedBy, , validity, subject, , extensions] = elements(signed);
    const identifier = (key) => createHash("sha256").update(spki(key).subarray(-32)).digest().subarray(0, 20);
    const changed = Buffer.from(extensions);
    const own = changed.indexOf(identifier(key.publicKey));
    const above = changed.indexOf(Buffer.from("0603551d23", "hex")) + 11;
    identifier(key.publicKey).copy(changed, above);
    identifier(publicKey).copy(changed, own);
    const another = Buffer.from(serial);
    another[another.length - 1] ^= 1;
    const tbs = sequence(version, another, signedBy, subject, validity, subject, spki(publicKey), changed);
    const signature = Buffer.concat([Buffer.from([0x03, 0x41, 0x00]), sign(null, tbs, key.privateKey)]);
    return `-----BEGIN CERTIFICATE-----\n${sequence(tbs, algorithm, signature).toString("base64").replace(/.{64}(?=.)/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
  }

  const opensslVerdict = async (leaf, middle, more = []) => {
    const ran = await execute("openssl", ["verify", "-x509_strict", "-no-CApath", "-no-CAstore", ...more, "-CAfile", root, ...middle.flatMap((file) => ["-untrusted", file]), leaf]);
    return ran.code === 0 ? "good" : `${ran.stdout}${ran.stderr}`;
  };

  test("binds path lengths for stock verifiers that know its names, and nothing is good for those that don't", { skip: OPENSSL || (missing("go") ?? false) }, async () => {
    const files = await orchestrator();
    const san = `${files.json.namespace}t`;
    const { chain } = await task(files, "t");
    const knows = ["-ignore_critical"];
    assert.equal(await opensslVerdict(chain, [files.issuing], knows), "good");
    assert.match(await opensslVerdict(chain, [files.issuing]), /unhandled critical extension/);
    // A CA below it, what that signs, and what a task's key signs.
    const below = await forge(files, { san, ca: true });
    const deep = await forge(files, { san, signer: below });
    const byTask = await forge(files, { san, signer: await forge(files, { san }) });
    assert.match(await opensslVerdict(deep.issuing, [files.issuing, below.issuing], knows), /path length constraint exceeded/);
    const middle = await forge(files, { san });
    const misused = await forge(files, { san, signer: middle });
    assert.match(await opensslVerdict(misused.issuing, [files.issuing, middle.issuing], knows), /invalid CA certificate|unable to get local issuer/);
    const foreign = await forge(files, { san: files.json.identity.replace(bot, ben.id) });
    const chains = [readFileSync(chain, "utf8"), deep.pem + below.pem + files.pem, misused.pem + middle.pem + files.pem, foreign.pem + files.pem].map(newFile);
    const go = async (how) => (await execute(await goProgram("delegation"), [how, root, ...chains])).stdout.trim().split("\n");
    const told = await go("knows");
    assert.equal(told[0], "good");
    assert.equal(told[1], "x509: too many intermediates for path length constraint");
    assert.match(told[2], /cannot sign this kind/);
    assert.match(told[3], /named otherwise/);
    for (const line of await go("ignores")) assert.match(line, /unhandled critical extension|unknown authority/);
    // Ours refuses all but the first, whoever signs them and however.
    for (const file of chains.slice(1)) failed(await verify(file), 1, "malformed");
    assert.ok(byTask.pem);
  });

  test("makes no other of its kind: it is its path length that refuses a task below that, whatever else fits", { skip: OPENSSL || (missing("go") ?? false) }, async (t) => {
    const pki = new Pki();
    t.after(() => pki.remove());
    const ours = "1.3.6.1.4.1.99999.1";
    const san = "wimse://id.example/principal/a/task/t";
    const named = [`${ours}.8=critical,ASN1:UTF8String:${san.slice(0, -1)}`, "extendedKeyUsage=clientAuth"];
    // The same chain with and without a path length, of a CA that isn't ours.
    const top = pki.ca("/CN=Root");
    for (const [constraint, verdict] of [["", "good"], [",pathlen:0", "x509: too many intermediates for path length constraint"]]) {
      const first = pki.ca("/CN=Issuing", top, { constraint, more: named });
      const second = pki.ca("/CN=Below", first, { more: named });
      const chain = newFile([pki.leaf(second, { uris: [san] }), second, first].map(({ pem }) => pem).join(""));
      const ran = await execute(await goProgram("delegation"), ["knows", newFile(top.pem), chain]);
      assert.equal(ran.stdout, `${verdict}\n`);
    }
    // One that an issuing certificate signed, which but for that is one itself, and what the client signs with it.
    const files = await orchestrator();
    const key = generateKeyPairSync("ed25519");
    const below = reissued(files, key);
    const [issuing, secret] = [newFile(below), newFile(key.privateKey.export({ type: "pkcs8", format: "pem" }))];
    const { chain } = await task({ issuing, secret }, "t");
    const whole = newFile(readFileSync(chain, "utf8") + files.pem);
    assert.equal((await execute(await goProgram("delegation"), ["knows", root, whole])).stdout, "x509: too many intermediates for path length constraint\n");
    // RFC 5280 §4.2.1.9 counts none that has its issuer's name, as this one has: ours goes by who signed it.
    assert.equal(await opensslVerdict(chain, [files.issuing, issuing], ["-ignore_critical"]), "good");
    failed(await verify(chain), 1, "unknown_issuer");
    failed(await verify(whole), 1, "malformed");
  });

  test("makes nobody a principal: a task leaf opens no door", async () => {
    const rows = [
      { type: "x509", name: "ours", roots: readFileSync(root, "utf8"), scopes: ["bridgeCert"], rules: [{ san_uri: "wimse://*" }] },
      { issuer: issuer.url, audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{}] },
    ];
    await authority.restart({ vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows) } });
    const show = async (chain, key, more = {}) => {
      const [keys, challenge] = [new Keys(), await challengeOf(authority)];
      const der = new X509Certificate(chain).raw;
      const message = Buffer.concat([Buffer.from("notme-certificate-proof-v1\0"), challenge, createHash("sha256").update(der).digest(), spki(keys.mtls.publicKey), spki(keys.signing.publicKey)]);
      const signature = sign(null, message, key).toString("base64url");
      return post(authority, "/cert", { proof: { type: "x509", chain, signature }, challenge: challenge.toString("base64url"), public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message(challenge)), ...more });
    };
    const files = await orchestrator();
    const own = generateKeyPairSync("ed25519");
    const pem = newFile(own.publicKey.export({ type: "spki", format: "pem" }));
    const { chain } = await task(files, "t", ["--public-key", pem]);
    refused(await show(readFileSync(chain, "utf8"), own.privateKey), 401, "unknown_critical_extension");
    refused(await show(files.pem, files.key.privateKey), 401, "unknown_critical_extension");
    // A pair on somebody's behalf gives one on the same, and no other.
    const keys = new Keys();
    const token = await issuer.token({ sub: "orchestrator" });
    const ask = { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token), delegation: delegation.id };
    const pair = good(await post(authority, "/cert", ask));
    const leaf = pair.certificates.signing;
    refused(await show(leaf, keys.signing.privateKey), 403, "delegation_bound");
    const second = await given(ben, bot);
    refused(await show(leaf, keys.signing.privateKey, { delegation: second.id }), 403, "delegation_bound");
    const renewed = good(await show(leaf, keys.signing.privateKey, { delegation: delegation.id }));
    assert.deepEqual([renewed.principal_id, renewed.on_behalf_of], [bot, ben.id]);
    await takeBack(ben, delegation);
    refused(await show(leaf, keys.signing.privateKey, { delegation: delegation.id }), 401, "certificate_revoked");
  });
});

describe("in the state", { skip: noKnife }, () => {
  test("what was over long ago goes, and how much somebody may give is bounded", async (t) => {
    const { authority, ben, cleo } = await open();
    t.after(() => authority.stop());
    const made = await given(ben, cleo.id);
    const day = 86_400;
    await meanwhile(
      authority,
      `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
       INSERT INTO delegations SELECT printf('%08x-0000-4000-8000-%012x', i, i), NULL, delegator, on_behalf_of, delegate, scopes, NULL, NULL, 0, created_at,
         iif(i = 1, unixepoch() - 31 * ${day}, expires_at), NULL, NULL, NULL, NULL, share FROM n, delegations WHERE id = '${made.id}';`,
    );
    refused(await delegate(ben, cleo.id), 409, "too_many_delegations");
    // Those that somebody signs with a pair are another share.
    await meanwhile(authority, "UPDATE delegations SET share = share || ' x'");
    const other = await given(ben, cleo.id);
    await takeBack(ben, other);
    await meanwhile(authority, "UPDATE delegations SET share = replace(share, ' x', '')");
    refused(await delegate(ben, cleo.id), 409, "too_many_delegations");
    await takeBack(ben, made);
    await given(ben, cleo.id);
    await ben.browser.me(); // sweeps
    const old = query(databaseOf(authority.stateDir), "SELECT COUNT(*) FROM delegations WHERE expires_at < unixepoch()");
    assert.deepEqual(old, [[0]], "the sweep took it");
  });
});
