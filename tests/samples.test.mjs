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

const SAMPLES = JSON.parse(readFileSync(new URL("fixtures/preset-claims.json", import.meta.url), "utf8"));
const AUDIENCE = "https://id.example.com";
/** A JWT-SVID is signed with ES256 where nobody chose otherwise (SPIRE's `jwt-svid` key type `ec-p256`). */
const algorithmOf = ({ preset }) => (preset === "spiffe" ? "ES256" : "RS256");
const skip = THROUGH_WRANGLER ? "wrangler reaches the real internet" : noSqlite;

/** Every issuer of the samples, with a key of its own. */
async function playIssuers() {
  const documents = {};
  const keys = new Map();
  for (const sample of SAMPLES) {
    const { iss } = sample.claims;
    const alg = algorithmOf(sample);
    const { publicKey, privateKey } = await generateKeyPair(alg);
    // One name for all their keys: whose a key is, is said by where it comes from.
    documents[`${iss}/.well-known/openid-configuration`] = { issuer: iss, jwks_uri: `${iss}/keys` };
    documents[`${iss}/keys`] = { keys: [{ ...(await exportJWK(publicKey)), alg, kid: "key-1", use: "sig" }] };
    keys.set(sample.preset, privateKey);
  }
  const outbound = `const documents = ${JSON.stringify(documents)};
    export default { fetch: ({ url }) => (documents[url] ? Response.json(documents[url]) : new Response("", { status: 404 })) };`;
  return { outbound, keys };
}

describe("a token in the shape of", { skip }, () => {
  let authority;
  let keys;
  before(async () => {
    const played = await playIssuers();
    keys = played.keys;
    const rows = SAMPLES.map(({ preset, issuer, pinned }) => ({ preset, ...(issuer && { issuer }), audience: AUDIENCE, scopes: ["bridgeCert"], rules: [pinned] }));
    authority = await startAuthority({ vars: { TRUSTED_ISSUERS: JSON.stringify(rows) }, outbound: played.outbound });
  });
  after(() => authority?.stop());

  /** The sample's claims, of now, for us. */
  function current({ claims }) {
    const now = Math.floor(Date.now() / 1000);
    const lifetime = claims.exp && claims.iat ? claims.exp - claims.iat : 300;
    return {
      ...claims,
      aud: Array.isArray(claims.aud) ? [AUDIENCE] : AUDIENCE,
      iat: now - 5,
      exp: now - 5 + lifetime,
      ...(claims.nbf && { nbf: now - 5 }),
      ...(claims.jti && { jti: randomUUID() }),
    };
  }

  async function shown(sample, { claims = current(sample), key = keys.get(sample.preset), alg = algorithmOf(sample) } = {}) {
    const token = await new SignJWT(claims).setProtectedHeader({ alg, kid: "key-1", typ: "JWT" }).sign(key);
    const post = async (path, body) => (await fetch(authority.url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json();
    const { challenge } = await post("/cert/challenge", {});
    const pair = new Keys();
    return post("/cert", {
      proof: { type: "oidc", token },
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
    test(sample.preset, async () => {
      const pair = await shown(sample);
      assert.ok(pair.certificates, JSON.stringify(pair));
      assert.equal(pair.auth_method, `oidc:${sample.claims.iss}`);
      const [[subject]] = query(databaseOf(authority.stateDir), `SELECT subject FROM authenticators WHERE principal = '${pair.principal_id}'`);
      assert.equal(subject, sample.subject);
      assert.equal((await shown(sample)).principal_id, pair.principal_id, "the same the next time");

      assert.equal((await shown(sample, { claims: strange(sample) })).code, "claims_not_permitted");
      assert.equal((await shown(sample, { claims: { ...current(sample), aud: "https://elsewhere.example" } })).code, "wrong_audience");
      // A good token of another issuer that is trusted, that says that it is this one's.
      const other = SAMPLES[(i + 1) % SAMPLES.length];
      const forged = await shown(sample, { key: keys.get(other.preset), alg: algorithmOf(other) });
      assert.equal(forged.certificates, undefined);
      assert.ok(["invalid_signature", "unknown_key"].includes(forged.code), JSON.stringify(forged));
    });
  }
});
