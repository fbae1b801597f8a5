// An issuer that isn't ours (`oidc-provider`), with its own discovery document, key set and tokens; its key is
// changed, and it goes away.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, describe, test } from "node:test";
import { exportJWK, generateKeyPair } from "jose";
import { Provider } from "oidc-provider";
import { startAuthority } from "./support/authority.mjs";
import { Keys } from "./support/client.mjs";

const AUDIENCE = "https://id.example";

const newKey = async (alg, kid) => ({ ...(await exportJWK((await generateKeyPair(alg, { extractable: true })).privateKey)), alg, kid, use: "sig" });

/** A provider on a port; another one with other keys can take its place there. */
async function serve(port, keys) {
  const url = `http://127.0.0.1:${port}`;
  const provider = new Provider(url, {
    jwks: { keys },
    clients: ["agent", "other"].map((client_id) => ({
      client_id,
      client_secret: `${client_id}-secret`,
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      id_token_signed_response_alg: keys[0].alg,
    })),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, resource) => ({ scope: "enrol", audience: resource, accessTokenTTL: 600, accessTokenFormat: "jwt", jwt: { sign: { alg: keys[0].alg, kid: keys[0].kid } } }),
      },
    },
  });
  const server = createServer(provider.callback());
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return {
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(resolve);
      }),
  };
}

/** An access token of the provider, as its clients get them (RFC 6749 §4.4, RFC 8707). */
async function token(issuer, client = "agent", resource = AUDIENCE) {
  const response = await fetch(`${issuer}/token`, {
    method: "POST",
    headers: { authorization: `Basic ${Buffer.from(`${client}:${client}-secret`).toString("base64")}` },
    body: new URLSearchParams({ grant_type: "client_credentials", scope: "enrol", resource }),
  });
  const { access_token } = await response.json();
  assert.match(access_token, /^eyJ/);
  return access_token;
}

describe("an issuer that isn't ours", () => {
  let issuer;
  let port;
  let provider;
  let authority;
  before(async () => {
    const probe = createServer();
    await new Promise((resolve) => probe.listen(0, "127.0.0.1", resolve));
    ({ port } = probe.address());
    await new Promise((resolve) => probe.close(resolve));
    issuer = `http://127.0.0.1:${port}`;
    provider = await serve(port, [await newKey("RS256", "first")]);
    const row = { issuer, audience: AUDIENCE, subject: "client:{client_id}", scopes: ["bridgeCert"], rules: [{ client_id: "agent", scope: "enrol" }] };
    authority = await startAuthority({ allowLoopback: true, vars: { TRUSTED_ISSUERS: JSON.stringify([row]) } });
  });
  after(async () => {
    await authority?.stop();
    await provider?.close();
  });

  async function enroll(shown, keys = new Keys()) {
    const body = { proof: { type: "oidc", token: shown }, ...keys.body(shown) };
    const response = await fetch(`${authority.url}/cert`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    const text = await response.text();
    return { status: response.status, text, json: JSON.parse(text) };
  }

  const code = ({ status, json }) => [status, json.code];
  let principal;

  test("lets its client in, once a token, and no other client", async () => {
    const shown = await token(issuer);
    const answer = await enroll(shown);
    assert.equal(answer.status, 200, answer.text);
    principal = answer.json.principal_id;
    assert.deepEqual(code(await enroll(shown)), [401, "token_used"]);
    assert.deepEqual(code(await enroll(await token(issuer, "other"))), [403, "claims_not_permitted"]);
    assert.deepEqual(code(await enroll(await token(issuer, "agent", "https://elsewhere.example"))), [401, "wrong_audience"]);
    assert.equal((await enroll(await token(issuer))).json.principal_id, principal);
  });

  test("may change its key and its algorithm, and what the old one signed is worth nothing", { timeout: 60_000 }, async () => {
    const old = await token(issuer);
    await provider.close();
    provider = await serve(port, [await newKey("ES256", "second")]);
    const fresh = await token(issuer);
    // The new key is unknown until the issuer may be asked again: at most 15 seconds.
    let answer;
    for (const begun = Date.now(); Date.now() - begun < 20_000; ) {
      answer = await enroll(fresh);
      if (answer.status === 200) break;
      assert.deepEqual(code(answer), [401, "unknown_key"]);
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.principal_id, principal);
    assert.deepEqual(code(await enroll(old)), [401, "unknown_key"]);
  });

  test("may be away for a while: its keys are at hand, and then there is nobody to ask", async () => {
    const [held, later] = [await token(issuer), await token(issuer)];
    await provider.close();
    assert.equal((await enroll(held)).status, 200);
    await authority.kill9();
    await authority.restart();
    const answer = await enroll(later);
    assert.deepEqual(code(answer), [503, "issuer_unavailable"]);
    assert.match(authority.logs(), /issuer_unavailable/);
  });
});
