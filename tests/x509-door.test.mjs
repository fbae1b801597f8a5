// The door for certificates, with chains that OpenSSL makes.
import assert from "node:assert/strict";
import { X509Certificate, createHash } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll as enrollJob } from "./support/client.mjs";
import { missing } from "./support/foreign.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { Pki, SVID, signed } from "./support/pki.mjs";
import { databaseOf, noSqlite, query } from "./support/state.mjs";

const LABEL = Buffer.from("notme-certificate-proof-v1\0");
const skip = missing("openssl") ?? false;

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
}

/** What the key of `certificate` signs. */
const message = (certificate, keys, challenge) => {
  const spki = (key) => key.publicKey.export({ type: "spki", format: "der" });
  return Buffer.concat([LABEL, challenge, createHash("sha256").update(certificate.der).digest(), spki(keys.mtls), spki(keys.signing)]);
};

async function post({ url }, path, body) {
  const response = await fetch(url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, text, json: JSON.parse(text) };
}

const challengeOf = async (authority) => Buffer.from((await post(authority, "/cert/challenge", {})).json.challenge, "base64url");

/** Asks for a pair with a chain, its own certificate first. */
async function enroll(authority, chain, { keys = new Keys(), challenge, proof = {}, ...more } = {}) {
  const over = challenge ?? (await challengeOf(authority));
  return post(authority, "/cert", {
    proof: { type: "x509", chain: chain.map(({ pem }) => pem), signature: signed(chain[0], message(chain[0], keys, over)), ...proof },
    public_keys: keys.publicKeys,
    proofs: keys.proofsOver(keys.message(over)),
    challenge: over.toString("base64url"),
    ...more,
  });
}

const start = (rows, vars = {}) => startAuthority({ vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows), ...vars } });
const row = (root, more = {}) => ({ type: "x509", name: "mesh", roots: root.pem, scopes: ["bridgeCert"], rules: [{ spiffe_trust_domain: "td.example", spiffe_path: "/ns/agents/*" }], ...more });

describe("a certificate under a pinned root", { skip }, () => {
  let pki;
  let authority;
  let root;
  let middle;
  let other;
  before(async () => {
    pki = new Pki();
    root = pki.ca("/O=Acme/CN=Root");
    middle = pki.ca("/O=Acme/CN=Issuing", root, { constraint: ",pathlen:0", more: ["nameConstraints=critical,permitted;URI:td.example"] });
    other = pki.ca("/O=Acme/CN=Root");
    const office = pki.ca("/CN=Office");
    pki.office = office;
    // What SPIRE's server makes for itself.
    pki.spire = pki.ca("/C=US/O=SPIFFE/serialNumber=207935121310483921573690842257415", undefined, { more: ["subjectAltName=URI:spiffe://prod.example"], printable: true });
    authority = await start([
      row(root),
      row(office, { name: "office", subject: "{o}/{cn}", rules: [{ o: "Acme", ou: ["agents", "people"] }] }),
      row(pki.spire, { name: "spire", rules: [{ spiffe_trust_domain: "prod.example" }] }),
    ]);
  });
  after(async () => {
    await authority?.stop();
    pki?.remove();
  });

  test("leads to a principal, which is the same the next time", async () => {
    const leaf = pki.leaf(middle, { more: ["extendedKeyUsage=serverAuth,clientAuth"] });
    const first = await enroll(authority, [leaf, middle]);
    assert.equal(first.status, 200, first.text);
    const { json } = first;
    assert.equal(json.identity, `wimse://localhost:${authority.port}/principal/${json.principal_id}`);
    assert.deepEqual([json.auth_method, json.scopes], ["x509:mesh", ["bridgeCert"]]);
    const again = await enroll(authority, [pki.leaf(middle), middle]);
    assert.equal(again.json.principal_id, json.principal_id, "another certificate of the same workload");
    const another = await enroll(authority, [pki.leaf(middle, { uris: ["spiffe://td.example/ns/agents/sa/db"] }), middle]);
    assert.equal(another.status, 200, another.text);
    assert.notEqual(another.json.principal_id, json.principal_id);
  });

  test("has a key of any kind that is known, and comes in any form", async () => {
    for (const kind of ["ec", "ed25519", "rsa"]) {
      const answer = await enroll(authority, [pki.leaf(middle, { kind }), middle]);
      assert.equal(answer.status, 200, answer.text);
    }
    const leaf = pki.leaf(middle);
    for (const chain of [leaf.pem + middle.pem, [leaf.pem + middle.pem], [leaf.der.toString("base64"), middle.der.toString("base64url")], [leaf.pem, root.pem, middle.pem]]) {
      const answer = await enroll(authority, [leaf, middle], { proof: { chain } });
      assert.equal(answer.status, 200, answer.text);
    }
    // As `openssl dgst -sha256 -sign` writes it.
    const [keys, challenge] = [new Keys(), await challengeOf(authority)];
    const signature = signed(leaf, message(leaf, keys, challenge), "der");
    assert.equal((await enroll(authority, [leaf, middle], { keys, challenge, proof: { signature } })).status, 200);
    refused(await enroll(authority, [pki.leaf(middle, { kind: "p384" }), middle]), 401, "unsupported_certificate_alg");
  });

  test("needs a challenge, which works once, also for 20 at once", async () => {
    const leaf = pki.leaf(middle);
    refused(await enroll(authority, [leaf, middle], { challenge: Buffer.alloc(32) }), 400, "bad_challenge");
    const keys = new Keys();
    const body = { proof: { type: "x509", chain: leaf.pem + middle.pem, signature: "AAAA" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()) };
    refused(await post(authority, "/cert", body), 400, "challenge_required");
    const challenge = await challengeOf(authority);
    const crowd = await Promise.all(Array.from({ length: 20 }, () => enroll(authority, [leaf, middle], { keys, challenge })));
    assert.equal(crowd.filter(({ status }) => status === 200).length, 1);
    for (const answer of crowd.filter(({ status }) => status !== 200)) refused(answer, 400, "bad_challenge");
    refused(await enroll(authority, [leaf, middle], { keys, challenge }), 400, "bad_challenge");
  });

  test("is single across a kill -9 in the middle of 20", { skip: noSqlite }, async () => {
    for (const [round, moment] of [() => sleep(8), (asked) => Promise.race(asked), (asked) => Promise.race(asked.slice(8))].entries()) {
      const uri = `spiffe://td.example/ns/agents/sa/crash-${round}`;
      const chain = [pki.leaf(middle, { uris: [uri] }), middle];
      const used = { keys: new Keys(), challenge: await challengeOf(authority) };
      assert.equal((await enroll(authority, chain, used)).status, 200);
      const flying = { keys: new Keys(), challenge: await challengeOf(authority) };
      const asked = Array.from({ length: 20 }, () => enroll(authority, chain, flying).catch(() => ({ status: 0 })));
      await moment(asked);
      await authority.kill9();
      const answers = await Promise.all(asked);
      await authority.restart();
      refused(await enroll(authority, chain, used), 400, "bad_challenge");
      const again = await enroll(authority, chain, flying);
      assert.ok([...answers, again].filter(({ status }) => status === 200).length <= 1, `round ${round}`);
      if (again.status !== 200) refused(again, 400, "bad_challenge");
      refused(await enroll(authority, chain, flying), 400, "bad_challenge");
      const of = `FROM authenticators WHERE kind = 'x509' AND subject = '${uri}'`;
      const file = databaseOf(authority.stateDir);
      assert.deepEqual(query(file, `SELECT COUNT(*) ${of}`), [[1]]);
      assert.deepEqual(query(file, `SELECT COUNT(*) FROM credentials WHERE principal = (SELECT principal ${of})`), [[2]], `round ${round}`);
    }
  });

  test("is shown by whoever has its key, for this request", async () => {
    const [leaf, twin] = [pki.leaf(middle), pki.leaf(middle)];
    const keys = new Keys();
    const forged = async (signature) => {
      const challenge = await challengeOf(authority);
      const answer = await enroll(authority, [leaf, middle], { keys, challenge, proof: { signature: signature(challenge) } });
      refused(answer, 401, "certificate_possession_failed");
      refused(await enroll(authority, [leaf, middle], { keys, challenge }), 400, "bad_challenge");
    };
    const old = await challengeOf(authority);
    await forged((challenge) => signed(twin, message(leaf, keys, challenge)));
    await forged((challenge) => signed(leaf, message(twin, keys, challenge)));
    await forged((challenge) => signed(leaf, message(leaf, new Keys(), challenge)));
    await forged(() => signed(leaf, message(leaf, keys, old)));
    await forged((challenge) => signed(leaf, keys.message(challenge)));
    await forged((challenge) => signed(leaf, challenge));
    await forged(() => "AAAA");
    refused(await enroll(authority, [leaf, middle], { proofs: new Keys().proofsOver(Buffer.from("x")) }), 401, "p256_possession_failed");
  });

  test("is under that root, by a chain that keeps the rules", async () => {
    const leaf = pki.leaf(middle);
    const below = pki.ca("/CN=Below", middle);
    const critical = ["1.2.3.4=critical,ASN1:UTF8String:x"];
    for (const [chain, code] of [
      [[leaf], "unknown_root"],
      [[leaf, other], "unknown_root"],
      [[pki.leaf(other)], "unknown_root"],
      [[pki.leaf(below), below, middle], "chain_not_permitted"],
      [[pki.leaf(middle, { uris: ["spiffe://other.example/ns/agents/sa/web"] }), middle], "chain_not_permitted"],
      [[pki.leaf(leaf), leaf, middle], "chain_not_permitted"],
      [[pki.ca("/CN=Own", root)], "chain_not_permitted"],
      [[pki.leaf(middle, { more: ["extendedKeyUsage=serverAuth"] }), middle], "chain_not_permitted"],
      [[pki.leaf(middle, { usage: "keyAgreement" }), middle], "chain_not_permitted"],
      [[pki.leaf(middle, { days: -1 }), middle], "certificate_expired"],
      [[pki.leaf(middle, { more: critical }), middle], "unknown_critical_extension"],
      [[leaf, pki.ca("/O=Acme/CN=Issuing", root, { more: critical })], "unknown_root"],
      [[pki.leaf(middle, { uris: [SVID, "spiffe://td.example/ns/agents/sa/db"] }), middle], "bad_certificate"],
      [[pki.leaf(middle, { uris: [SVID, "https://td.example/a"] }), middle], "bad_certificate"],
      [[pki.leaf(middle, { uris: ["spiffe://td.example/ns//web"] }), middle], "bad_certificate"],
      [[pki.leaf(middle, { more: [`2.5.29.99=ASN1:UTF8String:${"x".repeat(17_000)}`] }), middle], "chain_too_large"],
    ]) {
      refused(await enroll(authority, chain), 401, code);
    }
    // Signed by somebody else in the CA's name: a bit of its signature is another.
    const bent = Buffer.from(leaf.der);
    bent[bent.length - 1] ^= 1;
    refused(await enroll(authority, [{ ...leaf, der: bent, pem: bent.toString("base64") }, middle]), 401, "invalid_chain");
    assert.equal((await enroll(authority, [leaf, middle])).status, 200);
  });

  test("is let in by a rule, and named by what nobody else has", async () => {
    refused(await enroll(authority, [pki.leaf(middle, { uris: ["spiffe://td.example/ns/other/sa/web"] }), middle]), 403, "claims_not_permitted");
    refused(await enroll(authority, [pki.leaf(middle, { names: ["DNS:td.example"] }), middle]), 403, "claims_not_permitted");
    const { office } = pki;
    const plain = (subject) => pki.leaf(office, { names: ["email:ana@example.com"], subject });
    const { json, status, text } = await enroll(authority, [plain("/O=Acme/OU=people/CN=Ana")]);
    assert.equal(status, 200, text);
    assert.equal(json.auth_method, "x509:office");
    refused(await enroll(authority, [plain("/O=Acme/OU=guests/CN=Ana")]), 403, "claims_not_permitted");
    refused(await enroll(authority, [plain("/O=Acme/OU=people/CN=Ana/CN=Bob")]), 401, "invalid_claims");
    refused(await enroll(authority, [plain("/O=Acme/OU=people")]), 401, "invalid_claims");
  });

  test("is SPIRE's, and let in by its trust domain", async () => {
    /** As SPIRE's server makes it, with the attribute that keeps subjects apart, half of the SPIFFE ID's SHA-256: of itself before 1.9, and by a plugin since. */
    const svid = (uri, more = {}) =>
      pki.leaf(pki.spire, {
        uris: [uri],
        subject: `/C=US/O=SPIRE/x500UniqueIdentifier=${createHash("sha256").update(uri).digest("hex").slice(0, 32)}`,
        usage: "digitalSignature,keyEncipherment,keyAgreement",
        more: ["extendedKeyUsage=serverAuth,clientAuth"],
        printable: true,
        ...more,
      });
    const WEB = "spiffe://prod.example/ns/shop/sa/web";
    const { status, text, json } = await enroll(authority, [svid(WEB)]);
    assert.equal(status, 200, text);
    assert.deepEqual([json.auth_method, json.scopes], ["x509:spire", ["bridgeCert"]]);
    // There is a new one within the hour, with a new key.
    for (const more of [{}, { subject: "/C=US/O=SPIRE" }]) assert.equal((await enroll(authority, [svid(WEB, more)])).json.principal_id, json.principal_id);
    const other = await enroll(authority, [svid("spiffe://prod.example/ns/shop/sa/db")]);
    assert.equal(other.status, 200, other.text);
    assert.notEqual(other.json.principal_id, json.principal_id);
    for (const names of [[], ["DNS:web.prod.example"]]) refused(await enroll(authority, [svid(WEB, { names })]), 403, "claims_not_permitted");
    for (const domain of ["stage.example", "td.example", "prod.example.org", "prod"]) {
      refused(await enroll(authority, [svid(`spiffe://${domain}/ns/shop/sa/web`)]), 403, "claims_not_permitted");
    }
    // The trust domain alone is whom the root is for, and no workload.
    refused(await enroll(authority, [svid("spiffe://prod.example")]), 401, "bad_certificate");
  });

  test("is told what is wrong with it, and loses nothing", async () => {
    const leaf = pki.leaf(middle);
    const [keys, challenge] = [new Keys(), await challengeOf(authority)];
    for (const [proof, status, code] of [
      [{ chain: undefined }, 400, "invalid_member"],
      [{ chain: [] }, 400, "invalid_member"],
      [{ chain: [7] }, 400, "invalid_member"],
      [{ chain: "no certificate" }, 400, "invalid_member"],
      [{ chain: Array(11).fill(leaf.pem) }, 400, "invalid_member"],
      [{ signature: undefined }, 400, "invalid_member"],
      [{ signature: "!" }, 400, "invalid_member"],
    ]) {
      refused(await enroll(authority, [leaf, middle], { keys, challenge, proof }), status, code);
    }
    const big = await post(authority, "/cert", { proof: { type: "x509", chain: "A".repeat(70_000), signature: "AAAA" } });
    refused(big, 413, "body_too_large");
    assert.equal((await enroll(authority, [leaf, middle], { keys, challenge })).status, 200);
    refused(await enroll(authority, [leaf, middle], { proof: { chain: ["AAAA"] } }), 401, "malformed_certificate");
    refused(await enroll(authority, [leaf, middle], { public_keys: undefined }), 400, "missing_public_keys");
  });

  test("is worth no more than the certificate lasts", async () => {
    const leaf = pki.leaf(middle);
    const { json } = await enroll(authority, [leaf, middle]);
    assert.ok(json.expires_at * 1000 <= Date.parse(new X509Certificate(leaf.pem).validTo));
  });
});

describe("a pair of our own", { skip }, () => {
  let pki;
  let issuer;
  let authority;
  let browser;
  before(async () => {
    pki = new Pki();
    const root = pki.ca("/CN=Root");
    pki.root = root;
    issuer = await startIssuer();
    authority = await startAuthority({ allowLoopback: true, vars: { ...jobs(), TRUSTED_ISSUERS: "[]" } });
    const ours = { pem: await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text() };
    const rows = [row(root, { rules: [{}] }), row(ours, { name: "ours", rules: [{ san_uri: "wimse://*" }] })];
    await authority.restart({ vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows) } });
    browser = new Browser(authority);
  });
  const jobs = () => ({ GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme" });
  after(async () => {
    await authority?.stop();
    await issuer?.close();
    pki?.remove();
  });

  const shown = (json, keys, name) => {
    const pem = json.certificates[name];
    return { pem, der: new X509Certificate(pem).raw, secret: keys[name].privateKey };
  };

  test("leads to the principal that it names, for as long as the proof lasts that it was asked for with", async () => {
    const keys = new Keys();
    const first = await enroll(authority, [pki.leaf(pki.root)], { keys });
    assert.equal(first.status, 200, first.text);
    let last = { json: first.json, keys };
    for (const name of ["mtls", "signing", "mtls"]) {
      await new Promise((resolve) => setTimeout(resolve, 1100));
      const next = new Keys();
      const renewed = await enroll(authority, [shown(last.json, last.keys, name)], { keys: next });
      assert.equal(renewed.status, 200, renewed.text);
      assert.equal(renewed.json.principal_id, first.json.principal_id);
      assert.equal(renewed.json.auth_method, "x509:ours");
      assert.ok(renewed.json.expires_at > last.json.expires_at, "the certificate is good for days");
      last = { json: renewed.json, keys: next };
    }
  });

  test("of a job is the repository's, and goes on until the job's token would have ended", async () => {
    const now = () => Math.floor(Date.now() / 1000);
    const job = async (exp) => {
      const keys = new Keys();
      const token = await issuer.token({ exp });
      const { status, text, json } = await enrollJob(authority.url, token, keys.body(token));
      assert.equal(status, 200, text);
      return { json, keys };
    };
    const exp = now() + 200;
    const { json, keys } = await job(exp);
    assert.ok(json.expires_at > exp, "a token only lets in");
    const next = new Keys();
    const renewed = await enroll(authority, [shown(json, keys, "mtls")], { keys: next });
    assert.equal(renewed.status, 200, renewed.text);
    assert.equal(renewed.json.identity, `wimse://localhost:${authority.port}/principal/${renewed.json.principal_id}`);
    assert.equal(renewed.json.expires_at, exp);
    const again = await enroll(authority, [shown(renewed.json, next, "signing")]);
    assert.deepEqual([again.json.principal_id, again.json.expires_at], [renewed.json.principal_id, exp], "nobody goes on for ever");
    const soon = now() + 2;
    const short = await job(soon);
    while (now() <= soon) await new Promise((resolve) => setTimeout(resolve, 100));
    refused(await enroll(authority, [shown(short.json, short.keys, "mtls")]), 401, "certificate_expired");
  });

  test("that is taken back takes with it all that came of the same proof", async () => {
    assert.equal((await browser.register(new Passkey(ES256))).status, 200);
    const uris = ["spiffe://td.example/ns/agents/sa/line"];
    const [leaf, keys] = [pki.leaf(pki.root, { uris }), [new Keys(), new Keys(), new Keys(), new Keys()]];
    const first = await enroll(authority, [leaf], { keys: keys[0] });
    const second = await enroll(authority, [shown(first.json, keys[0], "mtls")], { keys: keys[1] });
    const third = await enroll(authority, [shown(second.json, keys[1], "signing")], { keys: keys[2] });
    const other = await enroll(authority, [leaf], { keys: keys[3] });
    const serial = new X509Certificate(second.json.certificates.mtls).serialNumber;
    const revoked = await browser.call("DELETE", `/admin/credentials/${serial}`);
    assert.equal(revoked.status, 200, revoked.text);
    for (const [i, { json }] of [first, second, third].entries()) refused(await enroll(authority, [shown(json, keys[i], "mtls")]), 401, "certificate_revoked");
    assert.equal((await enroll(authority, [shown(other.json, keys[3], "mtls")])).status, 200, "another proof of theirs is as good as before");
    const list = await (await fetch(`${authority.url}/.well-known/revocations.jwt`)).text();
    const { credentials } = JSON.parse(Buffer.from(list.split(".")[1], "base64url"));
    const told = (answer) => Object.values(answer.json.certificates).every((pem) => credentials.includes(new X509Certificate(pem).serialNumber.toLowerCase().padStart(32, "0")));
    assert.deepEqual([first, second, third, other].map(told), [true, true, true, false]);
  });

  test("is refused once it was taken back, or its epoch is over", async () => {
    const pair = async () => {
      const keys = new Keys();
      const { json, status, text } = await enroll(authority, [pki.leaf(pki.root, { uris: ["spiffe://td.example/revoked"] })], { keys });
      assert.equal(status, 200, text);
      return { json, mtls: shown(json, keys, "mtls"), signing: shown(json, keys, "signing") };
    };
    const [gone, away, old] = [await pair(), await pair(), await pair()];
    const serial = new X509Certificate(gone.mtls.pem).serialNumber;
    const revoked = await browser.call("DELETE", `/admin/credentials/${serial}`);
    assert.equal(revoked.status, 200, revoked.text);
    refused(await enroll(authority, [gone.mtls]), 401, "certificate_revoked");
    refused(await enroll(authority, [gone.signing]), 401, "certificate_revoked");
    assert.equal((await enroll(authority, [away.mtls])).status, 200, "another pair of theirs is as good as before");
    const bumped = await browser.post("/admin/epoch", { reason: "test" });
    assert.equal(bumped.status, 200, bumped.text);
    refused(await enroll(authority, [old.mtls]), 401, "certificate_revoked");
  });
});

describe("rows of roots that are wrong", { skip }, () => {
  test("stop the authority, with a sentence for each", async () => {
    const pki = new Pki();
    const root = pki.ca("/CN=Root");
    const leaf = pki.leaf(root);
    const authority = await startAuthority({
      expectRefusal: true,
      vars: { TRUSTED_ISSUERS: JSON.stringify([row(leaf), row(root, { name: undefined }), row(root), row(pki.ca("/CN=Other")), row(root, { subject: "{cn}" })]) },
    });
    try {
      assert.equal((await fetch(`${authority.url}/.well-known/jwks.json`)).status, 503);
      const logs = authority.logs();
      for (const problem of [/row 1: roots has one that is no CA's/, /row 2: name is missing/, /row 4: an earlier row of this name has other roots/, /row 5: an earlier row of this name writes its subjects otherwise/]) assert.match(logs, problem);
    } finally {
      await authority.stop();
      pki.remove();
    }
  });
});
