// The door for client certificates at the edge: through a real nginx that terminates TLS, and as the platform tells of them.
import assert from "node:assert/strict";
import { X509Certificate, createHash, randomBytes } from "node:crypto";
import { request } from "node:https";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { missing } from "./support/foreign.mjs";
import { startNginx } from "./support/nginx.mjs";
import { Pki } from "./support/pki.mjs";
import { databaseOf, noSqlite, query } from "./support/state.mjs";

const LABEL = Buffer.from("notme-mtls-proof-v1\0");
const SECRET = randomBytes(32).toString("hex");
const skip = missing("nginx") ?? missing("openssl") ?? false;

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
}

const parsed = (text) => {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
};

/** Posts to an authority itself. */
async function post({ url }, path, body, headers = {}) {
  const response = await fetch(url + path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, text, json: parsed(text) };
}

const challengeOf = async (authority) => Buffer.from((await post(authority, "/cert/challenge", {})).json.challenge, "base64url");

const digestOf = (der) => createHash("sha256").update(der).digest();

/** What both new keys sign: the challenge, and which certificate is at the other end. */
const message = (der, keys, challenge) => Buffer.concat([LABEL, challenge, digestOf(der), keys.message()]);

/** A request for a pair, over the connection with this certificate. */
function wish(der, keys, challenge, { proof = {}, ...more } = {}) {
  return {
    proof: { type: "mtls", ...proof },
    public_keys: keys.publicKeys,
    proofs: keys.proofsOver(message(der, keys, challenge)),
    challenge: challenge.toString("base64url"),
    ...more,
  };
}

const row = (root, more = {}) => ({ type: "mtls", name: "edge", roots: root.pem, scopes: ["bridgeCert"], rules: [{ spiffe_trust_domain: "td.example", spiffe_path: "/ns/agents/*" }], ...more });

/** A certificate as RFC 9440 writes it. */
const rfc9440 = (der) => `:${Buffer.from(der).toString("base64")}:`;

describe("a client certificate, through nginx", { skip }, () => {
  let pki;
  let root;
  let middle;
  let other;
  let server;
  let leaf;
  let authority;
  let nginx;
  /** nginx that lets every certificate pass, so that ours is the only verdict. */
  let careless;

  /** Posts through a proxy, with this client certificate. */
  function through({ port }, client, path, body, headers = {}) {
    const identity = client && { cert: client.pem, key: client.secret.export({ type: "pkcs8", format: "pem" }) };
    const options = { host: "127.0.0.1", port, path, method: "POST", agent: false, ca: root.pem, servername: "id.example", ...identity };
    return new Promise((resolve, reject) => {
      const sent = request({ ...options, headers: { "content-type": "application/json", ...headers } }, (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve({ status: response.statusCode, text, json: parsed(text) }));
      });
      sent.on("error", reject);
      sent.end(JSON.stringify(body));
    });
  }

  /** Asks for a pair over TLS. */
  async function enroll(proxy, client, { keys = new Keys(), over, headers, ...more } = {}) {
    const challenge = over ?? (await challengeOf(authority));
    return through(proxy, client, "/cert", wish(client?.der ?? Buffer.alloc(0), keys, challenge, more), headers);
  }

  before(async () => {
    pki = new Pki();
    root = pki.ca("/O=Acme/CN=Root");
    middle = pki.ca("/O=Acme/CN=Issuing", root, { constraint: ",pathlen:0" });
    other = pki.ca("/O=Acme/CN=Root");
    server = pki.leaf(root, { names: ["DNS:id.example"] });
    leaf = pki.leaf(root);
    const variables = { BOOTSTRAP_CODE: CODE, MTLS_PROXY_SECRET: SECRET };
    const rows = [row(root), row(other, { name: "other", rules: [{ cn: "nobody" }] }), { ...row(root), type: "x509" }];
    authority = await startAuthority({ vars: { ...variables, TRUSTED_ISSUERS: JSON.stringify(rows) } });
    const files = { certificate: join(pki.folder, server.file), key: join(pki.folder, server.key), clientCa: join(pki.folder, root.file) };
    nginx = await startNginx({ authority, secret: SECRET, files });
    careless = await startNginx({ authority, secret: SECRET, files, verify: "optional_no_ca" });
  });
  after(async () => {
    await nginx?.stop();
    await careless?.stop();
    await authority?.stop();
    pki?.remove();
  });

  test("leads to a principal, which is the same the next time", async () => {
    const { status, json, text } = await enroll(nginx, leaf);
    assert.equal(status, 200, text);
    assert.equal(json.identity, `wimse://localhost:${authority.port}/principal/${json.principal_id}`);
    assert.deepEqual([json.auth_method, json.scopes], ["mtls:edge", ["bridgeCert"]]);
    const again = await enroll(nginx, pki.leaf(root, { kind: "rsa", more: ["extendedKeyUsage=clientAuth"] }));
    assert.equal(again.json.principal_id, json.principal_id, "another certificate of the same workload");
    const another = await enroll(nginx, pki.leaf(root, { uris: ["spiffe://td.example/ns/agents/sa/db"] }));
    assert.equal(another.status, 200, another.text);
    assert.notEqual(another.json.principal_id, json.principal_id);
    refused(await enroll(nginx, pki.leaf(root, { uris: ["spiffe://td.example/ns/people/ana"] })), 403, "claims_not_permitted");
    refused(await enroll(nginx, leaf, { scopes: ["authorityManage"] }), 403, "scopes_not_granted");
  });

  test("is followed to a pinned root, by what the request has of the chain", async () => {
    const below = pki.leaf(middle);
    refused(await enroll(careless, below), 401, "unknown_root");
    for (const chain of [middle.pem, [middle.pem], [other.pem, middle.der.toString("base64")]]) {
      const { status, text } = await enroll(careless, below, { proof: { chain } });
      assert.equal(status, 200, text);
    }
    for (const chain of [7, {}, [], "", ["x y"], Array(10).fill(middle.pem)]) {
      refused(await enroll(careless, below, { proof: { chain } }), 400, "invalid_member");
    }
    refused(await enroll(careless, below, { proof: { chain: "AQ==" } }), 401, "malformed_certificate");
  });

  test("of our own that was taken back leads nowhere", async () => {
    const roots = { pem: await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text() };
    const rows = [row(root), { ...row(roots), name: "ours", rules: [{ san_uri: "wimse://*" }] }];
    const first = new Keys();
    const pair = await enroll(nginx, leaf, { keys: first });
    assert.equal(pair.status, 200, pair.text);
    await authority.restart({ vars: { BOOTSTRAP_CODE: CODE, MTLS_PROXY_SECRET: SECRET, TRUSTED_ISSUERS: JSON.stringify(rows) } });
    try {
      const own = { pem: pair.json.certificates.mtls, der: new X509Certificate(pair.json.certificates.mtls).raw, secret: first.mtls.privateKey };
      const renewed = await enroll(careless, own);
      assert.equal(renewed.status, 200, renewed.text);
      assert.equal(renewed.json.principal_id, pair.json.principal_id);
      const admin = new Browser(authority);
      assert.equal((await admin.register(new Passkey(ES256))).status, 200);
      assert.equal((await admin.call("DELETE", `/admin/credentials/${new X509Certificate(own.pem).serialNumber}`)).status, 200);
      refused(await enroll(careless, own), 401, "certificate_revoked");
    } finally {
      const again = [row(root), row(other, { name: "other", rules: [{ cn: "nobody" }] }), { ...row(root), type: "x509" }];
      await authority.restart({ vars: { BOOTSTRAP_CODE: CODE, MTLS_PROXY_SECRET: SECRET, TRUSTED_ISSUERS: JSON.stringify(again) } });
    }
  });

  test("works once for each challenge, also for 20 at once", async () => {
    const keys = new Keys();
    const over = await challengeOf(authority);
    const answers = await Promise.all(Array.from({ length: 20 }, () => enroll(nginx, leaf, { keys, over })));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 400, "bad_challenge");
    refused(await enroll(nginx, leaf, { challenge: undefined }), 400, "challenge_required");
    refused(await enroll(nginx, leaf, { over: randomBytes(32) }), 400, "bad_challenge");
    const spent = await challengeOf(authority);
    refused(await enroll(nginx, leaf, { over: spent, public_keys: new Keys().publicKeys }), 401, "p256_possession_failed");
    refused(await enroll(nginx, leaf, { over: spent }), 400, "bad_challenge");
  });

  test("is single across a kill -9 in the middle of 20, and nothing that was used before comes back", { skip: noSqlite }, async () => {
    // Before any of the 20 has its answer, as well as that can be hit, and once one has.
    const moments = [() => sleep(10), () => sleep(20), () => sleep(30), (asked) => Promise.race(asked), (asked) => Promise.race(asked.slice(8))];
    for (const [round, moment] of moments.entries()) {
      const uri = `spiffe://td.example/ns/agents/sa/crash-${round}`;
      const workload = pki.leaf(root, { uris: [uri] });
      const used = { keys: new Keys(), over: await challengeOf(authority) };
      assert.equal((await enroll(nginx, workload, used)).status, 200);
      const burned = { keys: new Keys(), over: await challengeOf(authority) };
      refused(await enroll(nginx, workload, { ...burned, public_keys: new Keys().publicKeys }), 401, "p256_possession_failed");
      const flying = { keys: new Keys(), over: await challengeOf(authority) };
      const asked = Array.from({ length: 20 }, () => enroll(nginx, workload, flying));
      await moment(asked);
      await authority.kill9();
      // nginx says of those that it has none of: 502.
      const answers = await Promise.all(asked);
      await authority.restart();
      refused(await enroll(nginx, workload, used), 400, "bad_challenge");
      refused(await enroll(nginx, workload, burned), 400, "bad_challenge");
      const again = await enroll(nginx, workload, flying);
      const issued = [...answers, again].filter(({ status }) => status === 200).length;
      assert.ok(issued <= 1, `round ${round}: ${issued} pairs`);
      if (again.status !== 200) refused(again, 400, "bad_challenge");
      refused(await enroll(nginx, workload, flying), 400, "bad_challenge");
      // One of `used`, and one of `flying`, though the crash may have swallowed its answer.
      const of = `FROM authenticators WHERE kind = 'mtls' AND subject LIKE '%${uri}'`;
      const file = databaseOf(authority.stateDir);
      assert.deepEqual(query(file, `SELECT COUNT(*) ${of}`), [[1]]);
      assert.deepEqual(query(file, `SELECT COUNT(*) FROM credentials WHERE principal = (SELECT principal ${of})`), [[2]], `round ${round}`);
    }
  });

  test("is what the keys sign: over another connection their proofs are worth nothing", async () => {
    const thief = pki.leaf(root, { uris: ["spiffe://td.example/ns/agents/sa/thief"] });
    for (const sign of [(keys, over) => message(leaf.der, keys, over), (keys, over) => keys.message(over), (keys) => keys.message()]) {
      const [keys, over] = [new Keys(), await challengeOf(authority)];
      const proofs = keys.proofsOver(sign(keys, over));
      refused(await enroll(nginx, thief, { keys, over, proofs }), 401, "p256_possession_failed");
    }
    const [keys, over] = [new Keys(), await challengeOf(authority)];
    const good = keys.proofsOver(message(leaf.der, keys, over));
    const { signing } = keys.proofsOver(message(thief.der, keys, over));
    refused(await enroll(nginx, leaf, { keys, over, proofs: { ...good, signing } }), 401, "ed25519_possession_failed");
  });

  test("of another CA, or whose time is over, or that is for servers, is refused", async () => {
    const stranger = pki.leaf(other);
    const expired = pki.leaf(root, { days: -1 });
    refused(await enroll(careless, stranger), 403, "claims_not_permitted");
    refused(await enroll(careless, pki.leaf(pki.ca("/CN=Nobody's"))), 401, "unknown_root");
    // What nginx lets pass by no setting, told as a proxy would: its verdict is not what we go by.
    const told = async (one) =>
      post(authority, "/cert", wish(one.der, new Keys(), await challengeOf(authority)), { "client-cert": rfc9440(one.der), "mtls-proxy-secret": SECRET });
    refused(await told(expired), 401, "certificate_expired");
    refused(await told(pki.leaf(root, { more: ["extendedKeyUsage=serverAuth"] })), 401, "chain_not_permitted");
    refused(await told(pki.leaf(root, { usage: "keyAgreement" })), 401, "chain_not_permitted");
    refused(await told(middle), 401, "chain_not_permitted");
    for (const client of [stranger, expired]) assert.equal((await enroll(nginx, client)).status, 400, "nginx says so itself");
  });

  test("is what nginx saw, whatever the client writes beside it", async () => {
    const victim = leaf;
    const thief = pki.leaf(root, { uris: ["spiffe://td.example/ns/agents/sa/smuggler"] });
    const escaped = encodeURIComponent(victim.pem);
    const own = (await enroll(nginx, thief)).json.principal_id;
    for (const headers of [
      { "client-cert": escaped },
      { "Client-Cert": rfc9440(victim.der), "Mtls-Proxy-Secret": "guess" },
      { "CLIENT-CERT": [escaped, escaped], "MTLS-PROXY-SECRET": [SECRET, SECRET] },
      { "Client_Cert": escaped, "Mtls_Proxy_Secret": SECRET },
      { "cf-client-cert-der-base64": victim.der.toString("base64") },
    ]) {
      refused(await through(nginx, undefined, "/cert", wish(victim.der, new Keys(), await challengeOf(authority)), headers), 401, "client_certificate_required");
      refused(await through(nginx, thief, "/cert", wish(victim.der, new Keys(), await challengeOf(authority)), headers), 401, "p256_possession_failed");
      const { status, json, text } = await enroll(nginx, thief, { headers });
      assert.equal(status, 200, text);
      assert.equal(json.principal_id, own);
    }
  });

  test("is believed of nobody who hasn't the secret", async () => {
    const ask = async (headers) => post(authority, "/cert", wish(leaf.der, new Keys(), await challengeOf(authority)), headers);
    const certificate = { "client-cert": encodeURIComponent(leaf.pem) };
    refused(await ask({}), 401, "client_certificate_required");
    refused(await ask(certificate), 401, "client_certificate_required");
    for (const secret of ["", "guess", SECRET.slice(1), `${SECRET}0`, SECRET.toUpperCase(), `${SECRET}, ${SECRET}`]) {
      refused(await ask({ ...certificate, "mtls-proxy-secret": secret }), 403, "untrusted_proxy");
    }
    const proxy = { "mtls-proxy-secret": SECRET };
    refused(await ask(proxy), 401, "client_certificate_required");
    for (const wrong of ["x", ":", "::", ":!:", "%zz", "%", escape(server.pem.slice(0, 200)), `:${"A".repeat(33_000)}:`]) {
      refused(await ask({ ...proxy, "client-cert": wrong }), 401, "malformed_certificate");
    }
    for (const good of [encodeURIComponent(leaf.pem), rfc9440(leaf.der)]) {
      const answer = await ask({ ...proxy, "client-cert": good });
      assert.equal(answer.status, 200, answer.text);
    }
    assert.ok(!authority.logs().includes(SECRET));
    const without = await startAuthority({ vars: { TRUSTED_ISSUERS: JSON.stringify([row(root)]) } });
    try {
      const body = wish(leaf.der, new Keys(), await challengeOf(without));
      refused(await post(without, "/cert", body, { ...proxy, ...certificate }), 401, "client_certificate_required");
    } finally {
      await without.stop();
    }
  });

  test("of ours may ask for the next pair, which ends with it, for the same principal", async () => {
    const bundle = await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text();
    const rows = [row(root), row({ pem: bundle }, { name: "ours", rules: [{}] })];
    await authority.restart({ vars: { TRUSTED_ISSUERS: JSON.stringify(rows) } });
    const keys = new Keys();
    const first = await enroll(nginx, leaf, { keys });
    assert.equal(first.status, 200, first.text);
    const pem = first.json.certificates.mtls;
    const live = { pem, der: new X509Certificate(pem).raw, secret: keys.mtls.privateKey };
    const next = await enroll(careless, live);
    assert.equal(next.status, 200, next.text);
    assert.equal(next.json.principal_id, first.json.principal_id);
    assert.ok(next.json.expires_at <= first.json.expires_at);
  });
});

describe("a client certificate, as the platform tells of it", { skip: missing("openssl") ?? false }, () => {
  let pki;
  let root;
  let leaf;
  let authority;
  before(async () => {
    pki = new Pki();
    root = pki.ca("/O=Acme/CN=Root");
    leaf = pki.leaf(root);
    // workerd takes the facts of a connection from a header if its operator says so, which stands for the platform here.
    authority = await startAuthority({ http: `cfBlobHeader = "platform"`, vars: { TRUSTED_ISSUERS: JSON.stringify([row(root)]) } });
  });
  after(async () => {
    await authority?.stop();
    pki?.remove();
  });
  const facts = (der, more = {}) => ({ certPresented: "1", certVerified: "SUCCESS", certRevoked: "0", certRFC9440: rfc9440(der), certRFC9440TooLarge: false, ...more });
  const ask = async (at, tlsClientAuth, { headers = {}, der = leaf.der } = {}) =>
    post(at, "/cert", wish(der, new Keys(), await challengeOf(at)), { platform: JSON.stringify({ tlsClientAuth }), ...headers });

  test("counts if it was verified and not taken back, and leads to a root that is pinned", async () => {
    const { status, json, text } = await ask(authority, facts(leaf.der));
    assert.equal(status, 200, text);
    assert.equal(json.auth_method, "mtls:edge");
    for (const more of [{ certPresented: "0" }, { certVerified: "NONE" }, { certVerified: "FAILED:self signed certificate" }, { certVerified: undefined }, { certRFC9440: "" }, { certRFC9440: undefined }, { certPresented: 1 }]) {
      refused(await ask(authority, facts(leaf.der, more)), 401, "client_certificate_required");
    }
    refused(await ask(authority, undefined), 401, "client_certificate_required");
    refused(await ask(authority, facts(leaf.der, { certRevoked: "1" })), 401, "certificate_revoked");
    const stranger = pki.leaf(pki.ca("/CN=Platform's own"));
    refused(await ask(authority, facts(stranger.der), { der: stranger.der }), 401, "unknown_root");
    const thief = pki.leaf(root, { uris: ["spiffe://td.example/ns/agents/sa/thief"] });
    refused(await ask(authority, facts(thief.der)), 401, "p256_possession_failed");
  });

  test("is nothing that a header says", async () => {
    const plain = await startAuthority({ vars: { TRUSTED_ISSUERS: JSON.stringify([row(root)]) } });
    try {
      const blob = JSON.stringify({ tlsClientAuth: facts(leaf.der) });
      for (const name of ["platform", "cf", "cf-blob", "mf-cf-blob", "tlsclientauth"]) {
        refused(await ask(plain, facts(leaf.der), { headers: { [name]: blob } }), 401, "client_certificate_required");
      }
      const headers = { "client-cert": rfc9440(leaf.der), "cf-client-cert-der-base64": leaf.der.toString("base64"), certpresented: "1", certverified: "SUCCESS" };
      refused(await ask(plain, undefined, { headers }), 401, "client_certificate_required");
    } finally {
      await plain.stop();
    }
  });
});

describe("a proxy's secret that is weak", () => {
  test("stops the authority", async () => {
    for (const vars of [{ MTLS_PROXY_SECRET: "short" }, { MTLS_PROXY_SECRET: SECRET, MTLS_CERTIFICATE_HEADER: "a b" }, { MTLS_PROXY_SECRE: SECRET }]) {
      const authority = await startAuthority({ expectRefusal: true, vars });
      assert.match(authority.logs(), /MTLS_/);
      assert.ok(!authority.logs().includes(SECRET));
      await authority.stop();
    }
  });
});

