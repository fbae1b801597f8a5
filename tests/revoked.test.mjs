// Pairs of ours that are revoked: at every route that takes a certificate, whatever revoked them, and in the middle of issuing.
import assert from "node:assert/strict";
import { X509Certificate, createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { decodeJwt } from "jose";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { startOidc } from "./support/oidc.mjs";
import { signed } from "./support/pki.mjs";
import { Verifier } from "./support/revocations.mjs";

const AUDIENCE = "https://id.example";
const SECRET = randomBytes(32).toString("hex");

const good = (answer) => {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
};

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
}

let issuer;
before(async () => {
  issuer = await startOidc();
});
after(() => issuer?.close());

async function person(authority, wanted) {
  const browser = new Browser(authority);
  good(await browser.register(new Passkey(ES256), { wanted }));
  return { id: (await browser.me()).json.userId, browser };
}

/** An authority with an administrator and a guest, agents that come by tokens, and rows for its own pairs. */
async function open() {
  const rows = [{ issuer: issuer.url, audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{}] }];
  const authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, MTLS_PROXY_SECRET: SECRET, TRUSTED_ISSUERS: JSON.stringify(rows) } });
  const ana = await person(authority, { bootstrapCode: CODE, displayName: "Ana" });
  const ben = await person(authority, { invite: good(await ana.browser.post("/invites", {})).token, displayName: "Ben" });
  const all = { authority, ana, ben, worker: (await pairOf(authority, "worker")).json.principal_id };
  await pinOurs(all, "ours");
  return all;
}

/** Rows that let pairs of ours in, as they are trusted now. */
async function pinOurs({ authority, ana }, name) {
  const roots = await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text();
  const row = { name, roots, scopes: ["bridgeCert"], rules: [{}] };
  // For people, since a row for workloads links nothing at all.
  const made = [{ ...row, type: "x509", for: "people" }, { ...row, type: "mtls" }].map(async (row) => good(await ana.browser.post("/policy/issuers", { row })));
  return Promise.all(made);
}

async function post({ url }, path, body, headers = {}) {
  const response = await fetch(url + path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, text, json: JSON.parse(text) };
}

/** A pair by a token, and its keys; on a delegation if one is named. */
async function pairOf(authority, sub, delegation) {
  const keys = new Keys();
  const token = await issuer.token({ sub });
  const json = good(await post(authority, "/cert", { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token), delegation }));
  return { keys, json, delegation };
}

const given = async ({ browser }, delegate, more = {}) => good(await browser.post("/delegations", { delegate, ...more })).id;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const spki = (key) => key.export({ type: "spki", format: "der" });
const challengeOf = async (authority) => Buffer.from(good(await post(authority, "/cert/challenge", {})).challenge, "base64url");
const serialsOf = ({ certificates }) => Object.values(certificates).map((pem) => new X509Certificate(pem).serialNumber.toLowerCase().padStart(32, "0"));
const revokedIn = async ({ url }) => decodeJwt(await (await fetch(`${url}/.well-known/revocations.jwt`)).text()).credentials;

/** One certificate of a pair, and how its key's word is given. */
function leafOf({ json, keys }, which) {
  const pem = json.certificates[which];
  const { raw: der } = new X509Certificate(pem);
  const digest = sha256(der);
  const secret = keys[which].privateKey;
  return {
    digest,
    proof: (label, ...parts) => ({ type: "x509", chain: pem, signature: signed({ secret }, Buffer.concat([Buffer.from(`${label}\0`), ...parts])) }),
    headers: { "client-cert": `:${der.toString("base64")}:`, "mtls-proxy-secret": SECRET },
  };
}

/** A wish for a pair over the keys of `next`, shown as a chain. */
function renewal(pair, which, challenge, next = new Keys()) {
  const { proof, digest } = leafOf(pair, which);
  return {
    proof: proof("notme-certificate-proof-v1", challenge, digest, next.message()),
    public_keys: next.publicKeys,
    proofs: next.proofsOver(next.message(challenge)),
    challenge: challenge.toString("base64url"),
    delegation: pair.delegation,
  };
}

/** The members of a wish for an issuing certificate; `before` is what its key signs but for the key itself. */
function issuing(pair, challenge, key, before) {
  const over = Buffer.concat([...before, spki(key.publicKey)]);
  return {
    credential: "issuing",
    delegation: pair.delegation ?? pair.handedOn,
    challenge: challenge.toString("base64url"),
    public_keys: { issuing: key.publicKey.export({ type: "spki", format: "pem" }) },
    proofs: { issuing: sign(null, over, key.privateKey).toString("base64url") },
  };
}

/** Every route that takes a certificate, the kind of proof that it is there, and what is asked for; each shows a pair's leaf. */
const DOORS = {
  "POST /cert x509": async ({ authority }, pair, which) => post(authority, "/cert", renewal(pair, which, await challengeOf(authority))),
  "POST /cert x509, an issuing certificate": async ({ authority }, pair, which) => {
    const [challenge, key, { proof, digest }] = [await challengeOf(authority), generateKeyPairSync("ed25519"), leafOf(pair, which)];
    const shown = proof("notme-certificate-proof-v1", challenge, digest, spki(key.publicKey));
    return post(authority, "/cert", { proof: shown, ...issuing(pair, challenge, key, [Buffer.from("notme-issuing-key-v1\0"), challenge]) });
  },
  "POST /cert mtls": async ({ authority }, pair, which) => {
    const [challenge, next, { digest, headers }] = [await challengeOf(authority), new Keys(), leafOf(pair, which)];
    const proofs = next.proofsOver(Buffer.concat([Buffer.from("notme-mtls-proof-v1\0"), challenge, digest, next.message()]));
    return post(authority, "/cert", { ...renewal(pair, which, challenge, next), proof: { type: "mtls" }, proofs }, headers);
  },
  "POST /cert mtls, an issuing certificate": async ({ authority }, pair, which) => {
    const [challenge, key, { digest, headers }] = [await challengeOf(authority), generateKeyPairSync("ed25519"), leafOf(pair, which)];
    return post(authority, "/cert", { proof: { type: "mtls" }, ...issuing(pair, challenge, key, [Buffer.from("notme-mtls-proof-v1\0"), challenge, digest]) }, headers);
  },
  "POST /delegations x509": async ({ authority, worker }, pair, which) => {
    const [challenge, { proof, digest }] = [await challengeOf(authority), leafOf(pair, which)];
    const delegation = JSON.stringify({ delegate: worker, parent: pair.delegation });
    return post(authority, "/delegations", { proof: proof("notme-delegation-v1", challenge, digest, sha256(delegation)), challenge: challenge.toString("base64url"), delegation });
  },
  "POST /connections x509": async ({ ben }, pair, which) => {
    const { challenge } = good(await ben.browser.post("/connections/options"));
    const { proof, digest } = leafOf(pair, which);
    return ben.browser.post("/connections", { proof: proof("notme-connection-proof-v1", Buffer.from(challenge, "base64url"), digest, Buffer.from(ben.id)), challenge });
  },
};

/** What every route answers to both leaves of a pair, one after the other. */
async function answers(all, pair) {
  const told = {};
  for (const [name, show] of Object.entries(DOORS)) {
    const both = [await show(all, pair, "mtls"), await show(all, pair, "signing")];
    told[name] = [...new Set(both.map(({ status, json }) => (status === 200 ? "200" : `${status} ${json.code}`)))].join(" and ");
  }
  return told;
}

const everywhere = (what, more = {}) => ({ ...Object.fromEntries(Object.keys(DOORS).map((name) => [name, what])), ...more });
/** A live pair is somebody's already, and so nothing that could be linked. */
const OPEN = everywhere("200", { "POST /connections x509": "409 identity_taken" });
const REVOKED = everywhere("401 certificate_revoked");

describe("every route that takes a certificate", () => {
  let all;
  let ana;
  let ben;
  let count = 0;
  before(async () => {
    all = await open();
    ({ ana, ben } = all);
  });
  after(() => all?.authority.stop());

  /** An agent with a pair of its own and one on Ben's behalf, or another human's. */
  async function agent(human = ben) {
    const sub = `agent-${(count += 1)}`;
    const own = await pairOf(all.authority, sub);
    const id = own.json.principal_id;
    own.handedOn = await given(human, id, { depth: 2 });
    return { id, sub, own, behalf: await pairOf(all.authority, sub, await given(human, id, { depth: 2 })) };
  }

  async function is(pair, expected) {
    assert.deepEqual(await answers(all, pair), expected);
  }

  test("is one of these, and takes a pair that is good", async () => {
    const { paths, components } = await (await fetch(`${all.authority.url}/openapi.json`)).json();
    const read = (schema) => (schema?.$ref ? components.schemas[schema.$ref.split("/").at(-1)] : schema);
    const variants = (schema) => read(schema)?.oneOf?.flatMap(variants) ?? [read(schema)];
    const taken = new Set();
    for (const [path, operations] of Object.entries(paths)) {
      for (const [method, { requestBody }] of Object.entries(operations)) {
        for (const { schema } of Object.values(requestBody?.content ?? {})) {
          for (const proof of variants(schema).flatMap((body) => variants(body?.properties?.proof))) {
            if (proof?.properties?.chain) taken.add(`${method.toUpperCase()} ${path} ${proof.properties.type.const}`);
          }
        }
      }
    }
    assert.deepEqual(new Set(Object.keys(DOORS).map((name) => name.split(",")[0])), taken);
    const { own, behalf } = await agent();
    await is(own, OPEN);
    await is(behalf, OPEN);
  });

  test("refuses a pair whose serial number was revoked, and no other of its principal's", async () => {
    const { sub, own, behalf } = await agent();
    const other = { ...(await pairOf(all.authority, sub)), handedOn: own.handedOn };
    for (const pair of [own, behalf]) {
      good(await ana.browser.call("DELETE", `/admin/credentials/${serialsOf(pair.json)[0]}`));
      await is(pair, REVOKED);
    }
    await is(other, OPEN);
  });

  test("refuses what was issued to whoever was turned away, also when they were let in again", async () => {
    const [gone, stays] = [await agent(), await agent()];
    for (const act of ["disable", "enable"]) {
      good(await ana.browser.post(`/admin/principals/${gone.id}/${act}`));
      for (const pair of [gone.own, gone.behalf]) await is(pair, REVOKED);
    }
    for (const pair of [stays.own, stays.behalf]) await is(pair, OPEN);
  });

  test("refuses what is on behalf of a human who was turned away, also when they were let in again", async () => {
    const cleo = await person(all.authority, { invite: good(await ana.browser.post("/invites", {})).token, displayName: "Cleo" });
    const { id, own, behalf } = await agent(cleo);
    for (const act of ["disable", "enable"]) {
      good(await ana.browser.post(`/admin/principals/${cleo.id}/${act}`));
      await is(behalf, REVOKED);
    }
    own.handedOn = await given(ben, id, { depth: 2 });
    await is(own, OPEN);
  });

  test("refuses what hangs on a delegation that was taken back, or on one below it", async () => {
    const { own, behalf } = await agent();
    const below = await agent();
    const challenge = await challengeOf(all.authority);
    const wish = JSON.stringify({ delegate: below.id, parent: behalf.delegation, depth: 1 });
    const { proof, digest } = leafOf(behalf, "signing");
    const made = good(await post(all.authority, "/delegations", { proof: proof("notme-delegation-v1", challenge, digest, sha256(wish)), challenge: challenge.toString("base64url"), delegation: wish }));
    const deep = await pairOf(all.authority, below.sub, made.id);
    await is(deep, OPEN);
    good(await ben.browser.call("DELETE", `/delegations/${behalf.delegation}`));
    for (const pair of [behalf, deep]) await is(pair, REVOKED);
    for (const pair of [own, below.own, below.behalf]) await is(pair, OPEN);
  });

  test("refuses what was issued for a way in that was removed, and what that was renewed to", async () => {
    const [gone, stays] = [await agent(), await agent()];
    const keys = new Keys();
    const json = good(await post(all.authority, "/cert", renewal(gone.own, "mtls", await challengeOf(all.authority), keys)));
    const renewed = { keys, json, handedOn: gone.own.handedOn };
    for (const pair of [gone.own, gone.behalf, renewed]) await is(pair, OPEN);
    const { items } = good(await ana.browser.call("GET", `/admin/authenticators?principal=${gone.id}`));
    assert.equal(items.length, 1);
    good(await ana.browser.call("DELETE", `/admin/authenticators/${items[0].id}`));
    for (const pair of [gone.own, gone.behalf, renewed]) await is(pair, REVOKED);
    for (const pair of [stays.own, stays.behalf]) await is(pair, OPEN);
  });

  test("refuses what was issued in a session that began with a passkey that its owner removed, and nothing else of theirs", async () => {
    const cleo = await person(all.authority, { invite: good(await ana.browser.post("/invites", {})).token, displayName: "Cleo" });
    const further = new Passkey(ES256);
    good(await cleo.browser.register(further, { wanted: { further: true } }));
    const other = new Browser(all.authority);
    good(await other.signIn(further));
    const handedOn = await given(ben, cleo.id, { depth: 2 });
    const bySession = async (browser) => {
      const keys = new Keys();
      const json = good(await browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) }));
      return { keys, json, handedOn };
    };
    const [stays, goes] = [await bySession(cleo.browser), await bySession(other)];
    await is(goes, OPEN);
    const { passkeys } = good(await cleo.browser.call("GET", "/me/passkeys"));
    good(await cleo.browser.call("DELETE", `/me/passkeys/${passkeys.find(({ current }) => !current).id}`));
    await is(goes, REVOKED);
    await is(stays, OPEN);
  });

  test("refuses what is of an epoch that is over, whichever root its row pins", async () => {
    const all = await open();
    try {
      const old = await pairOf(all.authority, "agent");
      old.handedOn = await given(all.ben, old.json.principal_id, { depth: 2 });
      assert.deepEqual(await answers(all, old), OPEN);
      good(await all.ana.browser.post("/admin/epoch", {}));
      // Who signs a delegation is looked up by the roots of this moment, without a row.
      const STRANGE = "401 unknown_root";
      assert.deepEqual(await answers(all, old), { ...REVOKED, "POST /delegations x509": STRANGE });
      const rows = good(await all.ana.browser.call("GET", "/policy/issuers")).items.filter(({ name }) => name === "ours");
      assert.equal(rows.length, 2);
      for (const { id } of rows) good(await all.ana.browser.call("DELETE", `/policy/issuers/${id}`));
      await pinOurs(all, "ours of now");
      assert.deepEqual(await answers(all, old), everywhere(STRANGE));
      const next = { ...(await pairOf(all.authority, "agent")), handedOn: old.handedOn };
      assert.deepEqual(await answers(all, next), OPEN);
    } finally {
      await all.authority.stop();
    }
  });
});

describe("a pair that is taken back in the middle of renewing", () => {
  test("takes with it all that came of it, before and after", async (t) => {
    const all = await open();
    t.after(() => all.authority.stop());
    const { authority, ana } = all;
    let [issued, late] = [0, 0];
    for (let round = 0; round < 12; round++) {
      const first = await pairOf(authority, `renewer-${round}`);
      const keys = new Keys();
      const second = { keys, json: good(await post(authority, "/cert", renewal(first, "mtls", await challengeOf(authority), keys))) };
      const other = await pairOf(authority, `renewer-${round}`);
      const crowd = Array.from({ length: 12 }, () => new Keys());
      const wishes = await Promise.all(crowd.map(async (next, i) => renewal(i % 2 ? first : second, i % 3 ? "mtls" : "signing", await challengeOf(authority), next)));
      const asked = wishes.map((wish) => post(authority, "/cert", wish));
      // Before any has its answer, once one has, and once one of the later ones has; by the serial number of each.
      if (round % 3) await Promise.any(asked.slice(round % 3 === 1 ? 0 : 6));
      const [serial] = serialsOf((round % 2 ? first : second).json);
      good(await ana.browser.call("DELETE", `/admin/credentials/${serial}`));
      const told = await Promise.all(asked);
      const pairs = told.flatMap(({ status, json }, i) => (status === 200 ? [{ keys: crowd[i], json }] : []));
      for (const answer of told) if (answer.status !== 200) refused(answer, 401, "certificate_revoked");
      if (round % 3) assert.ok(pairs.length > 0, "one had its answer");
      const list = await revokedIn(authority);
      for (const pair of [first, second, ...pairs]) {
        assert.deepEqual(serialsOf(pair.json).filter((serial) => !list.includes(serial)), [], `round ${round}: issued before, and revoked`);
        refused(await post(authority, "/cert", renewal(pair, "signing", await challengeOf(authority))), 401, "certificate_revoked");
      }
      assert.ok(serialsOf(other.json).every((serial) => !list.includes(serial)), "of another proof");
      const verifier = new Verifier(authority);
      await verifier.poll();
      for (const pem of Object.values(other.json.certificates)) assert.equal(verifier.refusal(pem), undefined);
      issued += pairs.length;
      late += told.length - pairs.length;
    }
    t.diagnostic(`${issued} were renewed in time, ${late} weren't`);
  });
});
