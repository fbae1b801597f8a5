// What verifiers fetch, read by other people's code: `jose`, Node's X.509, and a CBOR encoder
// written from the RFC.
import assert from "node:assert/strict";
import { createHash, createPublicKey, X509Certificate } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { calculateJwkThumbprint, importJWK } from "jose";
import { startAuthority } from "./support/authority.mjs";
import { cbor, verified } from "./support/bundle.mjs";

let authority;
before(async () => {
  authority = await startAuthority({ vars: { BUILD_SHA: "0123456789abcdef0123456789abcdef01234567" } });
});
after(() => authority?.stop());

const get = (path, headers) => fetch(authority.url + path, { headers });
const json = async (path, url = authority.url) => (await fetch(url + path)).json();

test("discovery has every field of the protocol", async () => {
  const A = authority.url;
  const discovery = await json("/.well-known/signet-authority.json");
  const expected = {
    issuer: A,
    cert_endpoint: `${A}/cert`,
    cert_gha_endpoint: `${A}/cert/gha`,
    ca_bundle_endpoint: `${A}/.well-known/ca-bundle.pem`,
    algorithms_supported: ["Ed25519"],
    grant_types_supported: ["github_actions_oidc", "dpop"],
    cert_types_supported: ["bridge_certificate"],
    token_endpoint: `${A}/token`,
    authorization_endpoint: `${A}/authorize`,
    jwks_uri: `${A}/.well-known/jwks.json`,
    dpop_signing_alg_values_supported: ["ES256"],
    documentation: `${A}/architecture`,
    max_staleness_seconds: 300,
    key_overlap_seconds: 600,
    revocations_endpoint: `${A}/.well-known/revocations.jwt`,
    crl_endpoint: `${A}/.well-known/crl.der`,
    crl_bundle_endpoint: `${A}/.well-known/crl.pem`,
    revocation_poll_seconds: 30,
  };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(discovery[name], value, name);
});

test("authorization server metadata stands under both names", async () => {
  const metadata = await json("/.well-known/oauth-authorization-server");
  assert.deepEqual(await json("/.well-known/openid-configuration"), metadata);
  assert.equal(metadata.issuer, authority.url);
  assert.deepEqual(metadata.response_types_supported, ["code"]);
  assert.deepEqual(metadata.scopes_supported, ["bridgeCert", "authorityManage", "certMint", "sign:git", "sign:attestation"]);
  assert.deepEqual(metadata.id_token_signing_alg_values_supported, ["EdDSA"]);
});

test("health, version and the service itself", async () => {
  for (const path of ["/health", "/healthz"]) {
    const answer = await get(path);
    assert.equal(await answer.text(), "ok");
    assert.equal(answer.headers.get("content-type"), "text/plain; charset=utf-8");
    assert.equal(answer.headers.get("cache-control"), "no-store");
  }
  assert.deepEqual(await json("/.well-known/version"), { commit: "0123456789abcdef0123456789abcdef01234567", stamped: true });
  const service = await (await get("/", { accept: "application/json" })).json();
  assert.equal(service.status, "operational");
  const page = await get("/");
  assert.equal(page.headers.get("vary"), "Accept");
  assert.match(await page.text(), /identity authority/);
});

test("key material may be cached for a minute, the bundle not at all", async () => {
  for (const path of ["/.well-known/jwks.json", "/.well-known/ca-bundle.pem", "/.well-known/epochs.json", "/.well-known/signet-authority.json"]) {
    const [, secs] = /^public, max-age=(\d+)$/.exec((await get(path)).headers.get("cache-control"));
    assert.ok(Number(secs) <= 60, path);
  }
  assert.equal((await get("/internal/ca-bundle")).headers.get("cache-control"), "no-store");
});

test("the key set, the root and the archive tell of one key", async () => {
  const { keys } = await json("/.well-known/jwks.json");
  assert.equal(keys.length, 1);
  const [jwk] = keys;
  assert.equal(jwk.kty, "OKP");
  assert.equal(jwk.crv, "Ed25519");
  assert.equal(jwk.use, "sig");
  assert.equal(jwk.alg, "EdDSA");
  await importJWK(jwk);
  await calculateJwkThumbprint(jwk);
  const spki = createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "der" });
  assert.equal(jwk.kid, createHash("sha256").update(spki).digest("hex").slice(0, 32));

  const answer = await get("/.well-known/ca-bundle.pem");
  assert.equal(answer.headers.get("content-type"), "application/x-pem-file");
  const pem = await answer.text();
  assert.ok(pem.endsWith("-----END CERTIFICATE-----"), "no newline at the end");
  assert.equal(pem.match(/BEGIN/g).length, 1);
  const root = new X509Certificate(pem);
  assert.ok(root.ca);
  assert.ok(root.publicKey.export({ type: "spki", format: "der" }).equals(spki));
  assert.ok(root.verify(root.publicKey));
  assert.equal(root.subject, `CN=signet-authority localhost:${authority.port}\nO=notme`);

  const { epochs } = await json("/.well-known/epochs.json");
  assert.deepEqual(epochs, [{ epoch: 1, keyId: jwk.kid, publicRawB64: Buffer.from(jwk.x, "base64url").toString("base64"), retiredAt: null }]);
});

test("our CBOR agrees with the published fixtures", () => {
  const fixture = (keys) => cbor([[1, 1], [2, 1], [3, keys], [4, keys[0][0]], [5, ""], [6, 1234]]).toString("hex");
  assert.equal(fixture([["kid", Buffer.from("abcd", "hex")]]), "a60101020103a1636b696442abcd04636b69640560061904d2");
  assert.equal(fixture([["b", Buffer.from([1])], ["ab", Buffer.from([2])]]), "a60101020103a26162410162616241020461620560061904d2");
});

describe("the revocation bundle", () => {
  test("is signed, fresh, and the same until it has to change", async () => {
    const bundle = verified(await json("/internal/ca-bundle"));
    assert.deepEqual(Object.keys(bundle), ["epoch", "seqno", "keys", "keyId", "issuedAt", "signature"]);
    assert.ok(Math.abs(bundle.issuedAt - Date.now() / 1000) < 5);
    const again = await Promise.all(Array.from({ length: 20 }, () => json("/internal/ca-bundle")));
    for (const one of again) assert.deepEqual(one, bundle);
  });

  test("of 50 first readers at once all get the same", async () => {
    const fresh = await startAuthority();
    try {
      const bundles = await Promise.all(Array.from({ length: 50 }, () => json("/internal/ca-bundle", fresh.url)));
      for (const one of bundles) assert.deepEqual(verified(one), bundles[0]);
      assert.equal(bundles[0].seqno, 1);
    } finally {
      await fresh.stop();
    }
  });

  test("survives a crash, and its number never goes back", async () => {
    const fresh = await startAuthority();
    try {
      const bundle = verified(await json("/internal/ca-bundle", fresh.url));
      await fresh.kill9();
      await fresh.restart();
      assert.deepEqual(await json("/internal/ca-bundle", fresh.url), bundle);
    } finally {
      await fresh.stop();
    }
  });
});

describe("a key that was in memory only", () => {
  test("is replaced in a new epoch, and the archive remembers it", async () => {
    const ephemeral = await startAuthority({ vars: { NOTME_KEY_STORAGE: "ephemeral", NOTME_KEK_SECRET: undefined } });
    try {
      const [first] = (await json("/.well-known/jwks.json", ephemeral.url)).keys;
      const before = verified(await json("/internal/ca-bundle", ephemeral.url));
      await ephemeral.kill9();
      await ephemeral.restart();
      const { keys } = await json("/.well-known/jwks.json", ephemeral.url);
      assert.equal(keys.length, 1, "what the lost key signed is revoked");
      assert.notEqual(keys[0].kid, first.kid);
      const after = verified(await json("/internal/ca-bundle", ephemeral.url));
      assert.equal(after.epoch, before.epoch + 1);
      assert.ok(after.seqno > before.seqno);
      assert.ok(!("prevKeyId" in after), "no epoch vouches for a key of the one before");
      assert.deepEqual(Object.keys(after.keys), [keys[0].kid]);
      const { epochs } = await json("/.well-known/epochs.json", ephemeral.url);
      assert.deepEqual(epochs.map(({ epoch, keyId }) => [epoch, keyId]), [[1, first.kid], [2, keys[0].kid]]);
      assert.ok(epochs[0].retiredAt > 0 && epochs[1].retiredAt === null);
    } finally {
      await ephemeral.stop();
    }
  });
});
