// Tokens in the shape that well-known issuers give them, by their own documentation, signed anew and shown through the
// wire: the internet is one module that plays all of these issuers at their real addresses.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { Keys } from "./support/client.mjs";
import { databaseOf, noSqlite, query } from "./support/state.mjs";

/** Of issuers that have a preset, and of those that have a type; what is published where, `url` says. */
const SAMPLES = ["preset-claims", "type-claims"].flatMap((name) => JSON.parse(readFileSync(new URL(`fixtures/${name}.json`, import.meta.url), "utf8")));
const AUDIENCE = "https://id.example.com";
const nameOf = ({ name, preset }) => name ?? preset;
const typeOf = ({ type = "oidc" }) => type;
/** The header that is published, or the least that there is: a `typ` is there only where the issuer shows one. */
const headerOf = ({ header, keys }) => header ?? { alg: "RS256", kid: keys?.kid ?? "key-1" };
const skip = THROUGH_WRANGLER ? "wrangler reaches the real internet" : noSqlite;

/** A public key with the members that the issuer publishes of one, in its order. */
async function published({ keys = {} }, publicKey, { alg, kid }) {
  const jwk = { ...(await exportJWK(publicKey)), alg, kid, use: "sig" };
  return Object.fromEntries((keys.jwk ?? Object.keys(jwk)).map((name) => [name, jwk[name]]));
}

/** The key set as Access has it: a key that was rotated out as well, and both as certificates beside. */
async function certs(sample, jwk) {
  const { rotatedOut } = sample.keys;
  const { publicKey } = await generateKeyPair("RS256");
  const cert = (kid) => ({ kid, cert: "-----BEGIN CERTIFICATE----- ... -----END CERTIFICATE----- " });
  const old = await published(sample, publicKey, { alg: "RS256", kid: rotatedOut });
  return { keys: [jwk, old], public_cert: cert(jwk.kid), public_certs: [jwk.kid, rotatedOut].map(cert) };
}

/** Every issuer of the samples, with a key of its own, and its documents where it has them. */
async function playIssuers() {
  const documents = {};
  const keys = new Map();
  const sets = new Map();
  for (const sample of SAMPLES) {
    const { iss } = sample.claims;
    if (keys.has(iss)) continue;
    const header = headerOf(sample);
    const { publicKey, privateKey } = await generateKeyPair(header.alg);
    const jwk = await published(sample, publicKey, header);
    const { document, at, inRow, mediaType = "application/json" } = sample.keys ?? {};
    const discovery = document ?? { issuer: iss, jwks_uri: `${iss}/keys` };
    const json = (body, type = "application/json") => ({ body: JSON.stringify(body), type });
    if (at) documents[at] = json(await certs(sample, jwk));
    else if (!inRow) {
      documents[`${iss}/.well-known/openid-configuration`] = json(discovery);
      documents[discovery.jwks_uri] = json({ keys: [jwk] }, mediaType);
    }
    keys.set(iss, privateKey);
    if (inRow) sets.set(iss, { keys: [jwk] });
  }
  const outbound = `const documents = ${JSON.stringify(documents)};
    export default { fetch: ({ url }) => (documents[url] ? new Response(documents[url].body, { headers: { "content-type": documents[url].type } }) : new Response("", { status: 404 })) };`;
  return { outbound, keys, sets };
}

test("every sample says where it is published", () => {
  for (const sample of SAMPLES) {
    const { source, url, keys, unpublished = "." } = sample;
    assert.ok(source, nameOf(sample));
    for (const page of [url, keys?.url ?? url]) assert.equal(new URL(page).protocol, "https:", nameOf(sample));
    assert.match(unpublished, /\.$/, nameOf(sample));
  }
});

describe("a token in the shape of", { skip }, () => {
  let authority;
  let keys;
  before(async () => {
    const played = await playIssuers();
    keys = played.keys;
    const rows = SAMPLES.map(({ type, preset, issuer, row, claims, pinned }) => ({ type, preset, issuer, audience: AUDIENCE, jwks: played.sets.get(claims.iss), scopes: ["bridgeCert"], rules: [pinned], ...row }));
    authority = await startAuthority({ vars: { TRUSTED_ISSUERS: JSON.stringify(rows) }, outbound: played.outbound });
  });
  after(() => authority?.stop());

  /** The sample's claims, of now, for us. */
  function current({ claims }) {
    const now = Math.floor(Date.now() / 1000);
    const lifetime = claims.exp && claims.iat ? claims.exp - claims.iat : 300;
    const inner = claims["kubernetes.io"];
    return {
      ...claims,
      ...(inner?.warnafter && { "kubernetes.io": { ...inner, warnafter: now - 5 + inner.warnafter - claims.iat } }),
      aud: Array.isArray(claims.aud) ? [AUDIENCE] : AUDIENCE,
      iat: now - 5,
      exp: now - 5 + lifetime,
      ...(claims.nbf && { nbf: now - 5 }),
      ...(claims.jti && { jti: randomUUID() }),
    };
  }

  async function shown(sample, { claims = current(sample), key = keys.get(sample.claims.iss), header = headerOf(sample) } = {}) {
    const token = await new SignJWT(claims).setProtectedHeader(header).sign(key);
    const post = async (path, body) => (await fetch(authority.url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();
    const { challenge } = await post("/cert/challenge", {});
    const pair = new Keys();
    return post("/cert", {
      proof: { type: typeOf(sample), token },
      challenge,
      public_keys: pair.publicKeys,
      proofs: pair.proofsOver(pair.message(Buffer.from(challenge, "base64url"))),
    });
  }

  /** The claims with one character more in what the rule pins. */
  function strange(sample) {
    const claims = structuredClone(current(sample));
    for (const name of Object.keys(sample.pinned)) {
      const way = name.startsWith("/") ? name.slice(1).split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~")) : [name];
      const last = way.pop();
      const inner = way.reduce((value, part) => value[part], claims);
      inner[last] = typeof inner[last] === "string" ? `x${inner[last]}` : !inner[last];
    }
    return claims;
  }

  for (const [i, sample] of SAMPLES.entries()) {
    test(nameOf(sample), async () => {
      const pair = await shown(sample);
      assert.ok(pair.certificates, JSON.stringify(pair));
      assert.equal(pair.auth_method, `${typeOf(sample)}:${sample.claims.iss}`);
      const [[subject]] = query(databaseOf(authority.stateDir), `SELECT subject FROM authenticators WHERE principal = '${pair.principal_id}'`);
      assert.equal(subject, sample.subject);
      assert.equal((await shown(sample)).principal_id, pair.principal_id, "the same the next time");

      assert.equal((await shown(sample, { claims: strange(sample) })).code, "claims_not_permitted");
      assert.equal((await shown(sample, { claims: { ...current(sample), aud: "https://elsewhere.example" } })).code, "wrong_audience");
      // A good token of another issuer that is trusted, that says that it is this one's.
      const other = [...SAMPLES.slice(i + 1), ...SAMPLES].find(({ claims }) => claims.iss !== sample.claims.iss);
      const forged = await shown(sample, { key: keys.get(other.claims.iss), header: { ...headerOf(sample), alg: headerOf(other).alg } });
      assert.equal(forged.certificates, undefined);
      assert.ok(["invalid_signature", "unknown_key"].includes(forged.code), JSON.stringify(forged));
    });
  }
});
