// POST /cert/gha: each check of the protocol (its §7.2 and §7.3), in order, with a real issuer on
// loopback. A refused request costs nothing: every test that is refused then succeeds with the
// same token, mended.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { X509Certificate, createHmac, sign } from "node:crypto";
import { SignJWT, exportJWK, exportSPKI, generateKeyPair, importJWK } from "jose";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { githubClaims, startIssuer } from "./support/issuer.mjs";
import { until } from "./support/processes.mjs";
import { Verifier } from "./support/revocations.mjs";

let issuer;
let authority;

before(async () => {
  issuer = await startIssuer();
  authority = await startAuthority({
    allowLoopback: true,
    vars: { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "Acme, other" },
  });
});
after(async () => {
  await authority?.stop();
  await issuer?.close();
});

const now = () => Math.floor(Date.now() / 1000);

/** Enrols with a token of these claims and fresh keys. */
async function exchange({ claims, header, options, url = authority.url } = {}) {
  const token = await issuer.token(claims, header);
  const keys = new Keys();
  return { token, keys, ...(await enroll(url, token, keys.body(token, options))) };
}

function assertRefused(answer, status, error, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.error, error);
  if (code) assert.equal(answer.json.code, code);
  assert.match(answer.headers.get("content-type"), /^application\/json/);
  assert.equal(answer.headers.get("cache-control"), "no-store");
}

describe("a valid request", () => {
  test("is answered as the protocol says", async () => {
    const { json, status, headers, keys } = await exchange();
    assert.equal(status, 200);
    assert.equal(headers.get("cache-control"), "no-store");
    assert.equal(json.identity, `wimse://localhost:${authority.port}/gha/acme/app`);
    assert.deepEqual(json.scopes, ["bridgeCert"]);
    assert.match(json.binding, /^[0-9a-f]{64}$/);
    assert.equal(json.authority.epoch, 1);
    assert.match(json.authority.key_id, /^[0-9a-f]{32}$/);
    assert.deepEqual(Object.keys(json.claims), ["repository", "ref", "sha", "actor", "workflow", "run_id", "event_name"]);
    const root = new X509Certificate(await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text());
    for (const name of ["mtls", "signing"]) {
      assert.ok(!json.certificates[name].endsWith("\n"));
      const leaf = new X509Certificate(json.certificates[name]);
      assert.ok(leaf.verify(root.publicKey), name);
      assert.ok(leaf.checkIssued(root), name);
      assert.ok(leaf.publicKey.equals(keys[name].publicKey), name);
      assert.equal(leaf.subjectAltName, `URI:${json.identity}`);
      assert.equal(Date.parse(leaf.validTo) / 1000, json.expires_at);
      assert.equal(Date.parse(leaf.validTo) - Date.parse(leaf.validFrom), 360_000);
    }
    assert.ok(Math.abs(json.expires_at - now() - 300) <= 2);
  });

  test("is logged under the id that its caller sees, without the token", async () => {
    const { token, headers, json } = await exchange();
    const id = headers.get("x-request-id");
    await until(() => authority.logs().includes(`"request_id":"${id}"`), "the log line");
    const line = JSON.parse(authority.logs().split("\n").find((text) => text.includes(id)).replace(/^[^{]*/, ""));
    assert.deepEqual([line.level, line.event, line.identity], ["info", "issued", json.identity]);
    for (const part of token.split(".")) assert.ok(!authority.logs().includes(part));
  });

  test("may come from an owner in another case, and without a content type", async () => {
    const token = await issuer.token({ repository: "ACME/app", repository_owner: "ACME" });
    const body = new Blob([JSON.stringify(new Keys().body(token))]);
    const response = await fetch(`${authority.url}/cert/gha`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
      body,
    });
    assert.equal(response.status, 200);
    assert.equal((await response.json()).identity, `wimse://localhost:${authority.port}/gha/ACME/app`);
  });

  test("may have an audience among several", async () => {
    assert.equal((await exchange({ claims: { aud: ["x", "notme.bot"] } })).status, 200);
  });

  for (const legacy of [[], ["mtls"], ["signing"], ["mtls", "signing"]]) {
    test(`may have proofs over the digest: ${legacy.join(" and ") || "none"}`, async () => {
      assert.equal((await exchange({ options: { legacy } })).status, 200);
    });
  }

  test("may have proofs in either base64, padded or not", async () => {
    for (const form of ["base64", "base64url"]) {
      for (const pad of ["", "="]) {
        const token = await issuer.token();
        const keys = new Keys();
        const body = keys.body(token);
        for (const name of ["mtls", "signing"]) {
          const text = Buffer.from(body.proofs[name], "base64url").toString(form).replace(/=+$/, "");
          body.proofs[name] = pad ? text.padEnd(Math.ceil(text.length / 4) * 4, "=") : text;
        }
        assert.equal((await enroll(authority.url, token, body)).status, 200, `${form}${pad}`);
      }
    }
  });
});

describe("the bearer token", () => {
  test("must be there", async () => {
    for (const authorization of [undefined, "", "Basic YTpi", "bearer x", "Bearer"]) {
      const headers = authorization === undefined ? {} : { authorization };
      const answer = await enroll(authority.url, undefined, {}, headers);
      assertRefused(answer, 401, "missing Bearer token", "missing_token");
    }
  });

  test("must be a JWT", async () => {
    const token = await issuer.token();
    const [header, payload, signature] = token.split(".");
    const json = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    for (const malformed of [
      "x",
      `${header}.${payload}`,
      `${token}.x`,
      `${header}..${signature}`,
      `${json([])}.${payload}.${signature}`,
      `${header}.${json("x")}.${signature}`,
      `${header}=.${payload}.${signature}`,
      `${header}.${payload}.${signature}!`,
      `${"A".repeat(17_000)}.${payload}.${signature}`,
    ]) {
      const answer = await enroll(authority.url, malformed, new Keys().body(malformed));
      assertRefused(answer, 401, "invalid token: malformed JWT", "malformed_token");
    }
  });

  test("must be signed with RS256 and nothing critical", async () => {
    const [, payload, signature] = (await issuer.token()).split(".");
    for (const [header, shown] of [
      [{ alg: "none" }, "none"],
      [{ alg: "HS256" }, "HS256"],
      [{ alg: "RS512" }, "RS512"],
      [{}, ""],
      [{ alg: "RS256", crit: ["x"], x: 1 }, "RS256"],
      [{ alg: `<b>\n${"x".repeat(200)}` }, `<b>\\u{a}${"x".repeat(92)}`],
    ]) {
      const token = `${Buffer.from(JSON.stringify({ kid: "key-1", ...header })).toString("base64url")}.${payload}.${signature}`;
      const answer = await enroll(authority.url, token, new Keys().body(token));
      assertRefused(answer, 401, `invalid token: unsupported alg: ${shown}`, "unsupported_alg");
    }
  });

  for (const [name, claims, reason, code] of [
    ["from another issuer", { iss: "https://evil.example" }, "wrong issuer: https://evil.example", "wrong_issuer"],
    ["without an issuer", { iss: undefined }, "wrong issuer: ", "wrong_issuer"],
    ["expired", { exp: now() - 2 }, "token expired", "token_expired"],
    ["from the future", { iat: now() + 90 }, "token issued in the future", "token_from_future"],
    ["not yet valid", { nbf: now() + 90 }, "token not yet valid", "token_not_yet_valid"],
    ["without exp", { exp: undefined }, "invalid claims: exp", "invalid_claims"],
    ["without iat", { iat: undefined }, "invalid claims: iat", "invalid_claims"],
    ["for nobody", { aud: undefined }, "wrong audience: null", "wrong_audience"],
    ["for somebody else", { aud: "https://other.example" }, "wrong audience: https://other.example", "wrong_audience"],
    ["for several others", { aud: ["a", "b"] }, 'wrong audience: ["a","b"]', "wrong_audience"],
  ]) {
    test(`${name} is refused`, async () => {
      assertRefused(await exchange({ claims }), 401, `invalid token: ${reason}`, code);
    });
  }

  test("may be as far ahead of our clock as an issuer's clock may be", async () => {
    assert.equal((await exchange({ claims: { iat: now() + 50, nbf: now() + 50 } })).status, 200);
  });

  test("must name a key that the issuer publishes", async () => {
    for (const kid of ["nope", undefined]) {
      const answer = await exchange({ header: { kid } });
      assertRefused(answer, 401, `invalid token: unknown key id: ${kid ?? ""}`, "unknown_key");
    }
  });

  test("must bear that key's signature", async () => {
    const stranger = await startIssuer();
    try {
      const forged = await stranger.token({ iss: issuer.url });
      const answer = await enroll(authority.url, forged, new Keys().body(forged));
      assertRefused(answer, 401, "invalid token: invalid signature", "invalid_signature");
    } finally {
      await stranger.close();
    }
    const [header, , signature] = (await issuer.token()).split(".");
    const [, payload] = (await issuer.token({ repository_owner: "other" })).split(".");
    const mixed = `${header}.${payload}.${signature}`;
    const answer = await enroll(authority.url, mixed, new Keys().body(mixed));
    assertRefused(answer, 401, "invalid token: invalid signature", "invalid_signature");
  });

  const required = ["sub", "repository", "repository_owner", "ref", "sha", "actor", "workflow", "job_workflow_ref", "run_id", "event_name"];
  for (const name of required) {
    test(`must have the claim ${name} as a string`, async () => {
      for (const value of [undefined, null, 7, ["x"], { a: 1 }]) {
        const answer = await exchange({ claims: { [name]: value } });
        assert.equal(answer.status, 401, JSON.stringify(value));
        assert.match(answer.json.error, /^invalid token: invalid claims: [a-z_]+$/);
      }
    });
  }

  test("may not have other claims of another type", async () => {
    for (const name of ["jti", "repository_owner_id", "actor_id", "workflow_ref", "workflow_sha", "run_number", "run_attempt", "environment", "runner_environment"]) {
      const answer = await exchange({ claims: { [name]: 7 } });
      assertRefused(answer, 401, `invalid token: invalid claims: ${name}`, "invalid_claims");
    }
  });

  test("may not carry what doesn't belong into a certificate", async () => {
    for (const claims of [
      { sub: "a\nb" },
      { sub: "a\u0000b" },
      { repository: "acme/app/x" },
      { repository: "acme/.." },
      { repository: "acme/" },
      { repository: "other/app" },
      { repository: "acme/ä" },
      { repository: "acme/a b" },
      { repository: "app" },
      { repository_owner: "", repository: "/app" },
    ]) {
      const answer = await exchange({ claims });
      assert.equal(answer.status, 401, JSON.stringify(claims));
      assert.equal(answer.json.code, "invalid_claims");
    }
  });

  test("must have a jti, since it can't be single use otherwise", async () => {
    for (const jti of [undefined, ""]) {
      const answer = await exchange({ claims: { jti } });
      assertRefused(answer, 400, "jti claim required for replay protection", "missing_jti");
    }
  });
});

describe("the policy", () => {
  const policy = (vars) => startAuthority({ allowLoopback: true, vars: { GHA_ISSUER: issuer.url, ...vars } });

  test("lets nobody in by default", async () => {
    const nobody = await policy({});
    try {
      assertRefused(await exchange({ url: nobody.url }), 403, "repository owner not permitted", "owner_not_permitted");
    } finally {
      await nobody.stop();
    }
  });

  test("goes by owner", async () => {
    for (const owner of ["evil", "acme2", "acm", "acme, other"]) {
      const answer = await exchange({ claims: { repository_owner: owner, repository: `${owner}/app` } });
      assert.ok([401, 403].includes(answer.status), answer.text);
      assert.notEqual(answer.status, 200);
    }
    const answer = await exchange({ claims: { repository_owner: "evil", repository: "evil/app" } });
    assertRefused(answer, 403, "repository owner not permitted", "owner_not_permitted");
  });

  test("refuses pull requests", async () => {
    for (const event_name of ["pull_request", "pull_request_target"]) {
      assertRefused(await exchange({ claims: { event_name } }), 403, "event not permitted", "event_not_permitted");
    }
  });

  test("goes by owner id alone if ids are set, and by every further rule that is set", async () => {
    const strict = await policy({
      GHA_ALLOWED_OWNERS: "acme",
      GHA_ALLOWED_OWNER_IDS: "2",
      GHA_ALLOWED_REPOSITORIES: "acme/app, renamed/*",
      GHA_ALLOWED_REFS: "refs/heads/main,refs/tags/v*",
      GHA_ALLOWED_WORKFLOWS: "*/.github/workflows/ci.yml@refs/heads/main",
      GHA_ALLOWED_ENVIRONMENTS: "prod",
      GHA_ALLOWED_EVENTS: "push,pull_request",
      GHA_ALLOW_PULL_REQUEST: "on",
    });
    try {
      const good = { environment: "prod" };
      for (const [claims, error] of [
        [{}, undefined],
        [{ ref: "refs/tags/v1" }, undefined],
        [{ event_name: "pull_request" }, undefined],
        [{ repository_owner: "renamed", repository: "renamed/app" }, undefined],
        [{ repository_owner_id: "3" }, "repository owner not permitted"],
        [{ repository_owner_id: undefined }, "repository owner not permitted"],
        [{ repository: "acme/application" }, "repository not permitted"],
        [{ ref: "refs/heads/main2" }, "ref not permitted"],
        [{ job_workflow_ref: "acme/app/.github/workflows/ci.yml@refs/heads/x" }, "workflow not permitted"],
        [{ environment: undefined }, "environment not permitted"],
        [{ environment: "Prod" }, "environment not permitted"],
        [{ event_name: "workflow_dispatch" }, "event not permitted"],
        [{ event_name: "pull_request_target" }, "event not permitted"],
      ]) {
        const answer = await exchange({ claims: { ...good, ...claims }, url: strict.url });
        if (error) assertRefused(answer, 403, error);
        else assert.equal(answer.status, 200, `${JSON.stringify(claims)} ${answer.text}`);
      }
    } finally {
      await strict.stop();
    }
  });
});

describe("the body", () => {
  /** Sends each bad body with one token, and shows at the end that the token still works. */
  async function refusedThenGood(bodies, status, error, code) {
    const token = await issuer.token();
    const keys = new Keys();
    for (const make of bodies) {
      const answer = await enroll(authority.url, token, make(keys.body(token), token));
      assertRefused(answer, status, error, code);
    }
    assert.equal((await enroll(authority.url, token, keys.body(token))).status, 200, "the token was not burned");
  }

  test("must be JSON", () =>
    refusedThenGood([() => "{", () => "", () => "x", () => '{"a":1,}'], 400, "invalid JSON body", "invalid_json"));

  test("must have both keys", () =>
    refusedThenGood(
      [
        () => "null",
        () => "[]",
        () => "7",
        () => ({}),
        (b) => ({ ...b, public_keys: undefined }),
        (b) => ({ ...b, public_keys: { mtls: b.public_keys.mtls } }),
        (b) => ({ ...b, public_keys: { signing: b.public_keys.signing } }),
        (b) => ({ ...b, public_keys: { ...b.public_keys, mtls: 7 } }),
        (b) => ({ ...b, public_keys: { ...b.public_keys, signing: "" } }),
        (b) => ({ ...b, public_keys: "x" }),
      ],
      400,
      "public_keys.mtls and public_keys.signing required (SPKI PEM)",
      "missing_public_keys",
    ));

  test("must have both proofs", () =>
    refusedThenGood(
      [
        (b) => ({ ...b, proofs: undefined }),
        (b) => ({ ...b, proofs: { mtls: b.proofs.mtls } }),
        (b) => ({ ...b, proofs: { signing: b.proofs.signing } }),
        (b) => ({ ...b, proofs: { ...b.proofs, mtls: 7 } }),
      ],
      400,
      "proofs.mtls and proofs.signing required (signatures over binding payload)",
      "missing_proofs",
    ));

  test("must have keys that are keys", async () => {
    const token = await issuer.token();
    const keys = new Keys();
    const good = keys.body(token);
    const block = (bytes, label = "PUBLIC KEY") => `-----BEGIN ${label}-----\n${Buffer.from(bytes).toString("base64")}\n-----END ${label}-----`;
    const der = (name) => keys[name].publicKey.export({ type: "spki", format: "der" });
    const offCurve = Buffer.from(der("mtls"));
    offCurve[90] ^= 1;
    const smallOrder = Buffer.from(der("signing"));
    smallOrder.fill(0, 12).writeUInt8(1, 12);
    const nullParameters = Buffer.concat([Buffer.from("302c300706032b65700500032100", "hex"), der("signing").subarray(12)]);
    for (const public_keys of [
      { mtls: "x" },
      { mtls: block(der("mtls"), "CERTIFICATE") },
      { mtls: block(der("mtls").subarray(0, 90)) },
      { mtls: block(offCurve) },
      { mtls: block(der("signing")) },
      { mtls: good.public_keys.mtls + good.public_keys.mtls },
      { mtls: keys.mtls.privateKey.export({ type: "pkcs8", format: "pem" }) },
      { signing: "x" },
      { signing: block(der("mtls")) },
      { signing: block(smallOrder) },
      { signing: block(nullParameters) },
      { signing: block(Buffer.alloc(44)) },
      { mtls: good.public_keys.signing, signing: good.public_keys.mtls },
    ]) {
      const answer = await enroll(authority.url, token, { ...good, public_keys: { ...good.public_keys, ...public_keys } });
      assert.equal(answer.status, 400, `${JSON.stringify(public_keys)} ${answer.text}`);
      assert.match(answer.json.error, /^invalid public key: /);
      assert.equal(answer.json.code, "invalid_public_key");
    }
    assert.equal((await enroll(authority.url, token, good)).status, 200, "the token was not burned");
  });

  test("must have a proof by the P-256 key over this request", () => {
    const other = new Keys();
    return refusedThenGood(
      [
        (b) => ({ ...b, proofs: { ...b.proofs, mtls: "" } }),
        (b) => ({ ...b, proofs: { ...b.proofs, mtls: "!!!" } }),
        (b) => ({ ...b, proofs: { ...b.proofs, mtls: b.proofs.signing } }),
        (b) => ({ ...b, proofs: { ...b.proofs, mtls: b.proofs.mtls.slice(0, -4) } }),
        (b) => ({ ...b, proofs: { ...b.proofs, mtls: flip(b.proofs.mtls) } }),
        (b, token) => ({ ...b, proofs: { ...b.proofs, mtls: other.proofs(token).mtls } }),
        (b, token) => ({ ...b, proofs: { ...b.proofs, mtls: derSignature(other, token) } }),
        (b, token) => ({ ...b, public_keys: { ...b.public_keys, signing: other.publicKeys.signing }, proofs: { ...b.proofs, signing: other.proofs(token).signing } }),
        (b) => ({ ...b, proofs: { mtls: b.proofs.signing, signing: b.proofs.mtls } }),
      ],
      401,
      "P-256 proof-of-possession failed",
      "p256_possession_failed",
    );
  });

  test("must have a proof by the Ed25519 key over this request", () => {
    const other = new Keys();
    return refusedThenGood(
      [
        (b) => ({ ...b, proofs: { ...b.proofs, signing: "" } }),
        (b) => ({ ...b, proofs: { ...b.proofs, signing: flip(b.proofs.signing) } }),
        (b, token) => ({ ...b, proofs: { ...b.proofs, signing: other.proofs(token).signing } }),
      ],
      401,
      "Ed25519 proof-of-possession failed",
      "ed25519_possession_failed",
    );
  });

  test("must have proofs over this very token", async () => {
    const [mine, other] = [await issuer.token(), await issuer.token()];
    const keys = new Keys();
    const answer = await enroll(authority.url, mine, keys.body(other));
    assertRefused(answer, 401, "P-256 proof-of-possession failed");
    for (const token of [mine, other]) {
      assert.equal((await enroll(authority.url, token, keys.body(token))).status, 200);
    }
  });

  test("must have the P-256 proof as r ‖ s, not as DER", async () => {
    const token = await issuer.token();
    const keys = new Keys();
    const body = keys.body(token);
    body.proofs.mtls = derSignature(keys, token);
    assertRefused(await enroll(authority.url, token, body), 401, "P-256 proof-of-possession failed");
  });
});

function derSignature(keys, token) {
  return sign("sha256", keys.preImage(token), { key: keys.mtls.privateKey, dsaEncoding: "der" }).toString("base64url");
}

function flip(base64url) {
  const bytes = Buffer.from(base64url, "base64url");
  bytes[10] ^= 1;
  return bytes.toString("base64url");
}

describe("errors in several places", () => {
  test("are told in the protocol's order", async () => {
    const used = await issuer.token();
    assert.equal((await enroll(authority.url, used, new Keys().body(used))).status, 200);
    const answer = await enroll(authority.url, used, "{");
    assertRefused(answer, 400, "invalid JSON body");
    const owner = await issuer.token({ repository_owner: "evil", repository: "evil/app", jti: undefined });
    assertRefused(await enroll(authority.url, owner, "{"), 403, "repository owner not permitted");
    const expired = await issuer.token({ exp: now() - 5, repository_owner: "evil", repository: "evil/app" });
    assertRefused(await enroll(authority.url, expired, "{"), 401, "invalid token: token expired");
  });
});

describe("a token that was made up", () => {
  test("is refused, whatever it says of keys, and nobody is asked where it says", async () => {
    const claims = { ...githubClaims(issuer.url) };
    const part = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
    const mine = await generateKeyPair("RS256", { extractable: true });
    const jwk = { ...(await exportJWK(mine.publicKey)), kid: "mine" };
    const { keys: [published] } = await (await fetch(`${issuer.url}/.well-known/jwks`)).json();
    const forged = (header) => new SignJWT(claims).setProtectedHeader(header).sign(mine.privateKey);
    const input = `${part({ alg: "HS256", kid: published.kid })}.${part(claims)}`;
    const spki = await exportSPKI(await importJWK(published, "RS256"));
    const good = await issuer.token();
    const [header, payload, signature] = good.split(".");
    const twice = Buffer.from(payload, "base64url").toString().replace("{", '{"repository":"acme/app",');
    const asked = issuer.requests.length;
    for (const [token, code] of [
      [`${part({ alg: "none" })}.${part(claims)}.`, "unsupported_alg"],
      [`${input}.${createHmac("sha256", spki).update(input).digest("base64url")}`, "unsupported_alg"],
      [await forged({ alg: "RS256", kid: published.kid, jwk, jku: `${issuer.url}/evil`, x5u: `${issuer.url}/evil`, x5c: ["AAAA"] }), "invalid_signature"],
      [await forged({ alg: "RS256", kid: "mine", jwk, jku: `${issuer.url}/evil` }), "unknown_key"],
      [await forged({ alg: "RS256", kid: "../../../dev/null" }), "unknown_key"],
      [`${header}.${part(twice)}.${signature}`, "malformed_token"],
      [`${header}.${payload}.${signature}.`, "malformed_token"],
    ]) {
      const keys = new Keys();
      const answer = await enroll(authority.url, token, keys.body(token));
      assert.deepEqual([answer.status, answer.json.code], [401, code], answer.text);
    }
    assert.ok(!issuer.requests.slice(asked).includes("/evil"));
    const keys = new Keys();
    assert.equal((await enroll(authority.url, good, keys.body(good))).status, 200);
  });
});

describe("a repository", () => {
  const audience = "https://id.example";
  let repository;
  let admin;
  let known;
  before(async () => {
    const row = { issuer: issuer.url, audience, subject: "repository:{repository_id}", scopes: ["bridgeCert"], rules: [{ repository_owner_id: "7" }] };
    known = await startAuthority({
      allowLoopback: true,
      vars: { BOOTSTRAP_CODE: CODE, GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", TRUSTED_ISSUERS: JSON.stringify([row]) },
    });
    admin = new Browser(known);
    assert.equal((await admin.register(new Passkey(ES256))).status, 200);
  });
  after(() => known?.stop());

  const claims = { repository_id: "42", repository_owner_id: "7" };
  const principals = async () => (await admin.call("GET", "/admin/principals")).json.items.filter(({ kind }) => kind === "workload");
  const serials = ({ json }) => Object.values(json.certificates).map((pem) => new X509Certificate(pem).serialNumber.toLowerCase().padStart(32, "0"));

  test("is a principal, whichever door its jobs take, whatever its name", async () => {
    const first = await exchange({ claims, url: known.url });
    assert.equal(first.status, 200, first.text);
    for (const member of ["principal_id", "subject", "auth_method"]) assert.ok(!(member in first.json), `${member} is no member of this answer`);
    [repository] = await principals();
    assert.equal(repository.displayName, "acme/app");
    const moved = await exchange({ claims: { ...claims, repository: "acme/moved" }, url: known.url });
    assert.equal(moved.json.identity, `wimse://localhost:${known.port}/gha/acme/moved`);
    const token = await issuer.token({ ...claims, aud: audience });
    const keys = new Keys();
    const response = await fetch(`${known.url}/cert`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ proof: { type: "oidc", token }, ...keys.body(token) }) });
    const json = await response.json();
    assert.equal(json.principal_id, repository.id, JSON.stringify(json));
    assert.equal((await principals()).length, 1);
    const another = await exchange({ claims: { ...claims, repository_id: "43" }, url: known.url });
    assert.equal(another.status, 200);
    assert.equal((await principals()).length, 2, "a name that was registered again is somebody else's");
    assertRefused(await exchange({ claims: { ...claims, repository_id: "acme/app" }, url: known.url }), 401, "invalid token: invalid claims: repository_id", "invalid_claims");
    const crowd = await Promise.all(Array.from({ length: 10 }, () => exchange({ claims: { ...claims, repository_id: "44" }, url: known.url })));
    assert.deepEqual(crowd.map(({ status }) => status), Array(10).fill(200));
    assert.equal((await principals()).length, 3, "ten first jobs at once are one repository's");
  });

  test("that is turned away gets nothing, its pairs are revoked, and no token is used up", async () => {
    const before = await exchange({ claims, url: known.url });
    assert.equal((await admin.post(`/admin/principals/${repository.id}/disable`)).status, 200);
    const list = await (await fetch(`${known.url}/.well-known/revocations.jwt`)).text();
    const { credentials, principals } = JSON.parse(Buffer.from(list.split(".")[1], "base64url"));
    // The pair doesn't name the principal, so a verifier knows it by its URI; that is told once, however many there are.
    assert.ok(repository.id in principals && before.json.identity in principals);
    for (const serial of serials(before)) assert.ok(!credentials.includes(serial), serial);
    const verifier = new Verifier(known);
    await verifier.poll();
    assert.equal(verifier.refusal(before.json.certificates.mtls), "the principal is revoked");
    const refused = await exchange({ claims, url: known.url });
    assert.deepEqual([refused.status, refused.json.code], [403, "turned_away"]);
    assert.equal((await admin.post(`/admin/principals/${repository.id}/enable`)).status, 200);
    const again = await enroll(known.url, refused.token, refused.keys.body(refused.token));
    assert.equal(again.status, 200, again.text);
    assert.equal((await enroll(known.url, refused.token, refused.keys.body(refused.token))).json.code, "token_used");
  });

  test("does what it is granted", async () => {
    const path = `/admin/principals/${repository.id}/grants/bridgeCert`;
    const revoked = await admin.call("DELETE", path);
    assert.equal(revoked.status, 200, revoked.text);
    const refused = await exchange({ claims, url: known.url });
    assert.deepEqual([refused.status, refused.json.code], [403, "scopes_not_granted"]);
    const granted = await admin.post(`/admin/principals/${repository.id}/grants`, { scope: "bridgeCert" });
    assert.equal(granted.status, 200, granted.text);
    assert.equal((await enroll(known.url, refused.token, refused.keys.body(refused.token))).status, 200);
  });

  test("that an issuer without ids tells of is known by its name", async () => {
    const unnumbered = await exchange({ claims: { ...claims, repository_id: undefined }, url: known.url });
    assert.equal(unnumbered.status, 200, unnumbered.text);
    assert.equal((await principals()).length, 4);
  });
});
