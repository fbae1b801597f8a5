// Doors for tokens: any issuer that a row trusts, and Kubernetes clusters, against issuers that sign real ones.
import assert from "node:assert/strict";
import { X509Certificate, createHmac, createPublicKey, randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import { CompactSign, SignJWT, exportJWK, exportSPKI } from "jose";
import { ROOT } from "../tools/lib/places.mjs";
import { pkilint } from "../tools/lib/python.mjs";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll as enrollJob } from "./support/client.mjs";
import { execute, missing } from "./support/foreign.mjs";
import { githubClaims } from "./support/issuer.mjs";
import { ALGORITHMS, startOidc } from "./support/oidc.mjs";
import { databaseOf, noSqlite, query } from "./support/state.mjs";

const AUDIENCE = "https://id.example";
const base64url = (value) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
}

/** Asks for a pair; `proof` is the body's. */
async function enroll({ url }, proof, { keys = new Keys(), over, headers, ...more } = {}) {
  const proofs = over ? keys.proofsOver(keys.message(over)) : keys.proofs(proof.token ?? "");
  const body = { proof, public_keys: keys.publicKeys, proofs, ...(over && { challenge: over.toString("base64url") }), ...more };
  const response = await fetch(`${url}/cert`, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const text = await response.text();
  // A workload gets no session, whatever it shows.
  assert.equal(response.headers.get("set-cookie"), null);
  return { status: response.status, text, json: JSON.parse(text) };
}

const oidc = (token) => ({ type: "oidc", token });
const challenge = async ({ url }) => {
  const response = await fetch(`${url}/cert/challenge`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
  return Buffer.from((await response.json()).challenge, "base64url");
};

/**
 * Tokens with these claims that no key of `issuer` has signed, or not as they say, each with the code of its refusal. Where they
 * say where keys are, `forger` has them: an issuer too, whose key signed.
 */
async function forgeries(issuer, forger, claims) {
  const { publicKey, privateKey, kid } = issuer.keys.get("RS256");
  const mine = forger.keys.get("RS256").privateKey;
  const jwk = { ...(await exportJWK(forger.keys.get("RS256").publicKey)), kid: "mine" };
  const places = { jku: `${forger.url}/keys`, x5u: forger.url, x5c: ["AAAA"] };
  const input = (header) => `${base64url(header)}.${base64url(claims)}`;
  const hmac = (text, key) => `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
  const signed = (header, key = mine, options = {}) => new SignJWT(claims).setProtectedHeader({ alg: "RS256", ...header }).sign(key, options);
  const pss = await crypto.subtle.importKey("jwk", await exportJWK(privateKey), { name: "RSA-PSS", hash: "SHA-256" }, false, ["sign"]);
  return [
    [`${input({ alg: "none" })}.`, "unsupported_alg"],
    [`${input({ alg: "None", kid })}.`, "unsupported_alg"],
    [`${input({ kid })}.`, "unsupported_alg"],
    [hmac(input({ alg: "HS256", kid }), await exportSPKI(publicKey)), "unsupported_alg"],
    [await signed({ kid }), "invalid_signature"],
    [await signed({ kid: "mine", jwk }), "unknown_key"],
    [await signed({ kid: "mine", jwk, ...places }), "unknown_key"],
    [await signed({ kid, jwk, ...places }), "invalid_signature"],
    // One that names no key means the only one, if there is only one.
    [await signed({}), issuer.jwks.keys.length === 1 ? "invalid_signature" : "unknown_key"],
    [await signed({ kid: "../../../dev/null" }), "unknown_key"],
    [await signed({ kid: "key-RS256' OR 1=1--" }), "unknown_key"],
    // A key is for the algorithm that it was published for.
    [await signed({ alg: "PS256", kid }, pss), "unknown_key"],
    [await signed({ kid, crit: ["x"], x: 1 }, privateKey, { crit: { x: true } }), "unsupported_alg"],
  ];
}

/** Texts that are no token, though `issuer` signed them, or what they were made of. */
async function malformed(issuer, good) {
  const [header, payload, signature] = good.split(".");
  const { privateKey, kid } = issuer.keys.get("RS256");
  const twice = Buffer.from(payload, "base64url").toString().replace("{", '{"team":"red",');
  const long = { alg: "RS256", kid, x: "A".repeat(17_000) };
  const signed = (bytes, protectedHeader) => new CompactSign(bytes).setProtectedHeader(protectedHeader).sign(privateKey);
  return [
    await signed(Buffer.from(twice), { alg: "RS256", kid }),
    await signed(Buffer.from(payload, "base64url"), long),
    `${"A".repeat(17_000)}.${payload}.${signature}`,
    `${header}.${payload}.${signature}.`,
    `${header}.${payload}`,
    `${header}..${signature}`,
    `${header}.${payload}.${signature}=`,
    ` ${good}`,
    "x",
  ];
}

const start = (rows, vars = {}) => startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows), ...vars } });

describe("a token of an issuer that is trusted", () => {
  let issuer;
  let other;
  let authority;
  const row = (more = {}) => ({ issuer: issuer.url, audience: AUDIENCE, subject: "job:{sub}", scopes: ["bridgeCert"], rules: [{ team: ["red", "green"] }], ...more });
  before(async () => {
    issuer = await startOidc();
    other = await startOidc();
    authority = await start([row(), row({ issuer: other.url, audience: "https://elsewhere.example", rules: [{}] })]);
  });
  after(async () => {
    await authority?.stop();
    await issuer?.close();
    await other?.close();
  });

  test("that is for something else, or bound to a key, is no proof", async () => {
    for (const typ of ["DPOP+JWT", "application/dpop+jwt", "dpop+jwt", "logout+jwt", "notme-revocations+jwt"]) {
      refused(await enroll(authority, oidc(await issuer.token({}, { typ }))), 401, "invalid_claims");
    }
    const thumbprint = randomUUID();
    for (const cnf of [{ jkt: thumbprint }, { "x5t#S256": thumbprint }, {}, null]) {
      refused(await enroll(authority, oidc(await issuer.token({ cnf }))), 401, "invalid_claims");
    }
    for (const typ of ["JWT", "jwt", "example+jwt"]) assert.equal((await enroll(authority, oidc(await issuer.token({}, { typ })))).status, 200);
  });

  test("leads to a principal, which is the same the next time, by whatever algorithm", async () => {
    const seen = new Set();
    for (const alg of ALGORITHMS) {
      const { status, json, text } = await enroll(authority, oidc(await issuer.token({}, { alg })));
      assert.equal(status, 200, text);
      assert.equal(json.identity, `wimse://localhost:${authority.port}/principal/${json.principal_id}`);
      assert.deepEqual([json.subject, json.auth_method, json.scopes], [json.principal_id, `oidc:${issuer.url}`, ["bridgeCert"]]);
      const root = new X509Certificate(await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text());
      for (const name of ["mtls", "signing"]) {
        const leaf = new X509Certificate(json.certificates[name]);
        assert.ok(leaf.verify(root.publicKey) && leaf.subjectAltName === `URI:${json.identity}`);
      }
      seen.add(json.principal_id);
    }
    assert.equal(seen.size, 1);
    const { json } = await enroll(authority, oidc(await issuer.token({ sub: "job-2" })));
    assert.ok(!seen.has(json.principal_id), "another subject is another principal");
  });

  test("works once, also for 50 at once, who make one principal", async () => {
    const token = await issuer.token({ sub: "crowd" });
    const answers = await Promise.all(Array.from({ length: 50 }, () => enroll(authority, oidc(token))));
    const good = answers.filter(({ status }) => status === 200);
    assert.equal(good.length, 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 401, "token_used");
    const tokens = await Promise.all(Array.from({ length: 20 }, () => issuer.token({ sub: "swarm" })));
    const swarm = await Promise.all(tokens.map((one) => enroll(authority, oidc(one))));
    for (const { status, text } of swarm) assert.equal(status, 200, text);
    assert.equal(new Set(swarm.map(({ json }) => json.principal_id)).size, 1);
  });

  test("is not used up by what is wrong with the request", async () => {
    const token = await issuer.token();
    const keys = new Keys();
    refused(await enroll(authority, oidc(token), { proofs: new Keys().proofs(token) }), 401, "p256_possession_failed");
    refused(await enroll(authority, oidc(token), { public_keys: undefined }), 400, "missing_public_keys");
    refused(await enroll(authority, oidc(token), { public_keys: { mtls: "x", signing: "y" } }), 400, "invalid_public_key");
    refused(await enroll(authority, oidc(token), { scopes: ["authorityManage"] }), 403, "scopes_not_granted");
    refused(await enroll(authority, oidc(token), { scopes: "x" }), 400, "invalid_member");
    refused(await enroll(authority, { type: "oidc" }), 400, "missing_proof_token");
    assert.equal((await enroll(authority, oidc(token), { keys })).status, 200);
  });

  test("that lives long needs a challenge each time, and lasts as long as it lives", async () => {
    const now = Math.floor(Date.now() / 1000);
    for (const token of [
      await issuer.token({ sub: "service", exp: now + 3600 }),
      await issuer.token({ sub: "service", jti: undefined }),
      await issuer.token({ sub: "service", iat: undefined }),
    ]) {
      refused(await enroll(authority, oidc(token)), 400, "challenge_required");
      for (let i = 0; i < 2; i++) {
        const over = await challenge(authority);
        const keys = new Keys();
        assert.equal((await enroll(authority, oidc(token), { keys, over })).status, 200);
        refused(await enroll(authority, oidc(token), { keys, over }), 400, "bad_challenge");
      }
      // What is wrong answers it too.
      const over = await challenge(authority);
      refused(await enroll(authority, oidc(token), { over, proofs: new Keys().proofs(token) }), 401, "p256_possession_failed");
      refused(await enroll(authority, oidc(token), { over }), 400, "bad_challenge");
      refused(await enroll(authority, oidc(token), { over: Buffer.alloc(32, 7) }), 400, "bad_challenge");
    }
    // One that lives for a short time is single also beside a challenge.
    const token = await issuer.token();
    assert.equal((await enroll(authority, oidc(token), { over: await challenge(authority) })).status, 200);
    refused(await enroll(authority, oidc(token), { over: await challenge(authority) }), 401, "token_used");
  });

  test("is let in by a rule, or not at all", async () => {
    for (const team of ["green", ["blue", "red"]]) assert.equal((await enroll(authority, oidc(await issuer.token({ team })))).status, 200);
    for (const team of ["blue", "Red", "red ", "", undefined, ["blue"], [], { red: "red" }, null]) {
      refused(await enroll(authority, oidc(await issuer.token({ team }))), 403, "claims_not_permitted");
    }
    for (const sub of [undefined, "", 1.5, ["a"], "a\u202eb", "x".repeat(600)]) {
      refused(await enroll(authority, oidc(await issuer.token({ sub }))), 401, "invalid_claims");
    }
  });

  test("is of an issuer, for an audience and of a time that are right", async () => {
    const now = Math.floor(Date.now() / 1000);
    for (const [claims, code] of [
      [{ aud: "https://elsewhere.example" }, "wrong_audience"],
      [{ aud: undefined }, "invalid_claims"],
      [{ aud: `${AUDIENCE}/` }, "wrong_audience"],
      [{ aud: [AUDIENCE, 7] }, "invalid_claims"],
      [{ iss: `${issuer.url}/` }, "wrong_issuer"],
      [{ iss: other.url }, "wrong_audience"],
      [{ iss: [issuer.url] }, "wrong_issuer"],
      [{ exp: now - 1 }, "token_expired"],
      [{ exp: undefined }, "invalid_claims"],
      [{ exp: "soon" }, "invalid_claims"],
      [{ iat: now + 120 }, "token_from_future"],
      [{ nbf: now + 120 }, "token_not_yet_valid"],
    ]) {
      refused(await enroll(authority, oidc(await issuer.token(claims))), 401, code);
    }
    // A good token of a trusted issuer, for another audience of ours: each row has its own.
    refused(await enroll(authority, oidc(await other.token())), 401, "wrong_audience");
    assert.equal((await enroll(authority, oidc(await other.token({ aud: "https://elsewhere.example" })))).status, 200);
    // Signed by the one and said to be the other's.
    refused(await enroll(authority, oidc(await other.token({ iss: issuer.url }))), 401, "invalid_signature");
    refused(await enroll(authority, { type: "kubernetes", token: await issuer.token() }), 401, "wrong_issuer");
  });

  test("is signed by its issuer's key, whatever it says of keys", async () => {
    const claims = issuer.claims({ sub: "forged" });
    const asked = other.requests.length;
    const { kid } = issuer.keys.get("RS256");
    for (const [token, code] of await forgeries(issuer, other, claims)) refused(await enroll(authority, oidc(token)), 401, code);
    // Its own, under another one's name.
    refused(await enroll(authority, oidc(await issuer.token(claims, { alg: "ES256", kid }))), 401, "unknown_key");
    assert.equal(other.requests.length, asked, "nobody asks where a token says");
    // What a token says of keys beside is no fault of it.
    const talkative = await issuer.token({ sub: "talkative" }, { jku: `${other.url}/keys`, x5u: other.url, jwk: other.jwks.keys[0] });
    assert.equal((await enroll(authority, oidc(talkative))).status, 200);
    assert.equal(other.requests.length, asked);
    const good = await issuer.token(claims);
    for (const token of await malformed(issuer, good)) refused(await enroll(authority, oidc(token)), 401, "malformed_token");
    const [header, , signature] = good.split(".");
    const changed = `${header}.${base64url({ ...claims, sub: "somebody else" })}.${signature}`;
    refused(await enroll(authority, oidc(changed)), 401, "invalid_signature");
    assert.equal((await enroll(authority, oidc(good))).status, 200);
  });

  test("opens no session, and leaves first boot open", async () => {
    assert.equal((await new Browser(authority).call("GET", "/auth/state")).json.firstBoot, "armed");
    const response = await fetch(`${authority.url}/cert`, { method: "POST", headers: { "content-type": "application/json" }, body: "{}" });
    assert.equal(response.headers.get("set-cookie"), null);
  });

  test("leads to what administrators see, take back and turn away", async () => {
    const browser = new Browser(authority);
    assert.equal((await browser.register(new Passkey(ES256))).status, 200);
    const { json: pair } = await enroll(authority, oidc(await issuer.token({ sub: "watched" })));
    const get = async (path) => (await browser.call("GET", path)).json;
    const principal = await get(`/admin/principals/${pair.principal_id}`);
    assert.deepEqual([principal.kind, principal.displayName], ["workload", "job:watched"]);
    const [credential] = (await get(`/admin/credentials?principal=${pair.principal_id}`)).items;
    assert.equal(credential.method, `oidc:${issuer.url}`);
    const [line] = (await get(`/admin/audit?target=${pair.principal_id}`)).items;
    assert.equal(line.action, "principal.registered");
    const [way] = (await get(`/admin/authenticators?principal=${pair.principal_id}`)).items;
    assert.deepEqual([way.kind, way.issuer], ["oidc", issuer.url]);
    // A grant that was taken back stays away.
    assert.equal((await browser.call("DELETE", `/admin/principals/${pair.principal_id}/grants/bridgeCert`)).status, 200);
    refused(await enroll(authority, oidc(await issuer.token({ sub: "watched" }))), 403, "scopes_not_granted");
    // More than the row allows is worth nothing here.
    assert.equal((await browser.post(`/admin/principals/${pair.principal_id}/grants`, { scope: "authorityManage" })).status, 200);
    refused(await enroll(authority, oidc(await issuer.token({ sub: "watched" })), { scopes: ["authorityManage"] }), 403, "scopes_not_granted");
    assert.equal((await browser.post(`/admin/principals/${pair.principal_id}/grants`, { scope: "bridgeCert" })).status, 200);
    assert.equal((await enroll(authority, oidc(await issuer.token({ sub: "watched" })))).status, 200);
    assert.equal((await browser.post(`/admin/principals/${pair.principal_id}/disable`)).status, 200);
    const token = await issuer.token({ sub: "watched" });
    refused(await enroll(authority, oidc(token)), 403, "turned_away");
    assert.equal((await browser.post(`/admin/principals/${pair.principal_id}/enable`)).status, 200);
    assert.equal((await enroll(authority, oidc(token))).json.principal_id, pair.principal_id, "and the token wasn't used up");
  });

  test("is refused after a crash if it was used before, and knows its principal again", { skip: noSqlite }, async () => {
    const [used, fresh] = [await issuer.token({ sub: "crash" }), await issuer.token({ sub: "crash" })];
    const { json: before } = await enroll(authority, oidc(used));
    await authority.kill9();
    await authority.restart();
    refused(await enroll(authority, oidc(used)), 401, "token_used");
    assert.equal((await enroll(authority, oidc(fresh))).json.principal_id, before.principal_id);
    const rows = query(databaseOf(authority.stateDir), "SELECT COUNT(*) FROM authenticators WHERE subject = 'job:crash'");
    assert.deepEqual(rows, [[1]]);
  });
});

describe("a token that two doors take", () => {
  test("is single all the same", async () => {
    const issuer = await startOidc({ algorithms: ["RS256"] });
    const row = { issuer: issuer.url, audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{}] };
    const authority = await start([row], { GHA_ISSUER: issuer.url, GHA_CERT_AUDIENCE: AUDIENCE, GHA_ALLOWED_OWNERS: "acme" });
    try {
      const job = async () => issuer.token({ ...githubClaims(issuer.url), aud: AUDIENCE, jti: randomUUID() });
      const atJobs = (token) => enrollJob(authority.url, token, new Keys().body(token));
      for (const [first, second] of [[(token) => enroll(authority, oidc(token)), atJobs], [atJobs, (token) => enroll(authority, oidc(token))]]) {
        const token = await job();
        assert.equal((await first(token)).status, 200);
        refused(await second(token), 401, "token_used");
      }
    } finally {
      await authority.stop();
      await issuer.close();
    }
  });
});

describe("a service account of a cluster that can't be reached", () => {
  let cluster;
  let authority;
  const ISSUER = "https://kubernetes.default.svc.cluster.local";
  before(async () => {
    cluster = await startOidc({ algorithms: ["RS256"] });
    authority = await start([
      {
        type: "kubernetes",
        issuer: ISSUER,
        audience: AUDIENCE,
        jwks: cluster.jwks,
        scopes: ["bridgeCert"],
        rules: [{ "/kubernetes.io/namespace": "agents" }, { "/kubernetes.io/namespace": "ci-*", "/kubernetes.io/serviceaccount/name": "runner" }],
      },
    ]);
  });
  after(async () => {
    await authority?.stop();
    await cluster?.close();
  });

  /** What a kube-apiserver puts into a projected token. */
  const projected = ({ namespace = "agents", name = "web", uid = "8a1f5c0e-0000-4000-8000-000000000001", ...more } = {}) => {
    const now = Math.floor(Date.now() / 1000);
    return cluster.token({
      aud: [AUDIENCE],
      exp: now + 3607,
      iat: now,
      nbf: now,
      iss: ISSUER,
      jti: randomUUID(),
      "kubernetes.io": { namespace, node: { name: "node-1", uid: randomUUID() }, pod: { name: "web-7d4", uid: randomUUID() }, serviceaccount: { name, uid } },
      sub: `system:serviceaccount:${namespace}:${name}`,
      team: undefined,
      ...more,
    });
  };
  const shown = async (token) => enroll(authority, { type: "kubernetes", token }, { over: await challenge(authority) });

  test("is a principal, again and again with one token, each time by a challenge", async () => {
    const token = await projected();
    refused(await enroll(authority, { type: "kubernetes", token }), 400, "challenge_required");
    const [first, second] = [await shown(token), await shown(token)];
    assert.equal(first.status, 200, first.text);
    assert.equal(first.json.auth_method, `kubernetes:${ISSUER}`);
    assert.equal(second.json.principal_id, first.json.principal_id);
    assert.equal((await shown(await projected())).json.principal_id, first.json.principal_id);
    assert.deepEqual(cluster.requests, [], "nobody asked the cluster");
  });

  test("is another one if it was made anew under the same name", async () => {
    const [one, other] = [await shown(await projected()), await shown(await projected({ uid: "8a1f5c0e-0000-4000-8000-000000000002" }))];
    assert.notEqual(one.json.principal_id, other.json.principal_id);
  });

  test("is let in by namespace and name", async () => {
    assert.equal((await shown(await projected({ namespace: "ci-7", name: "runner" }))).status, 200);
    for (const account of [{ namespace: "default" }, { namespace: "ci-7", name: "web" }, { namespace: "agents2" }]) {
      refused(await shown(await projected(account)), 403, "claims_not_permitted");
    }
    // The namespace that rules look at is the one that the cluster says, and not what the subject looks like.
    refused(await shown(await projected({ "kubernetes.io": undefined, sub: "system:serviceaccount:agents:web" })), 403, "claims_not_permitted");
    const bare = { namespace: "agents", serviceaccount: { name: "web" } };
    refused(await shown(await projected({ "kubernetes.io": bare })), 401, "invalid_claims");
    refused(await enroll(authority, oidc(await projected()), { over: await challenge(authority) }), 401, "wrong_issuer");
  });
});

describe("clusters that call themselves by the same name", () => {
  const ISSUER = "https://kubernetes.default.svc.cluster.local";
  const clusters = {};
  let authority;
  const row = (cluster, more = {}) => ({ type: "kubernetes", issuer: ISSUER, name: cluster, cluster, audience: AUDIENCE, jwks: clusters[cluster].jwks, scopes: ["bridgeCert"], ...more });
  before(async () => {
    for (const name of ["prod", "dev"]) {
      clusters[name] = await startOidc({ algorithms: ["RS256"] });
      // As a kube-apiserver names its keys: by a digest.
      clusters[name].jwks.keys[0].kid = `${name}-key`;
    }
    const rules = (namespace) => ({ rules: [{ "/kubernetes.io/namespace": namespace, "/kubernetes.io/pod/name": "web-*" }] });
    authority = await start([row("prod", rules("agents")), row("dev", rules("sandbox"))]);
  });
  after(async () => {
    await authority?.stop();
    for (const cluster of Object.values(clusters)) await cluster.close();
  });
  const token = (by, { namespace, kid = `${by}-key`, pod = "web-1", unnamed = false }) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = {
      aud: [AUDIENCE],
      exp: now + 3607,
      iat: now,
      nbf: now,
      iss: ISSUER,
      "kubernetes.io": { namespace, pod: { name: pod, uid: randomUUID() }, serviceaccount: { name: "web", uid: "8a1f5c0e-0000-4000-8000-000000000001" }, warnafter: now + 3000 },
      sub: "system:serviceaccount:any:web",
    };
    return clusters[by].token(claims, { kid: unnamed ? undefined : kid });
  };
  const shown = async (...args) => enroll(authority, { type: "kubernetes", token: await token(...args) }, { over: await challenge(authority) });

  test("are told apart by their keys, and so are their accounts", async () => {
    const [prod, dev] = [await shown("prod", { namespace: "agents" }), await shown("dev", { namespace: "sandbox" })];
    assert.equal(prod.status, 200, prod.text);
    assert.equal(dev.status, 200, dev.text);
    assert.deepEqual([prod.json.auth_method, dev.json.auth_method], [`kubernetes:${ISSUER}#prod`, `kubernetes:${ISSUER}#dev`]);
    assert.notEqual(prod.json.principal_id, dev.json.principal_id, "the same account and uid, of another cluster");
    assert.equal((await shown("prod", { namespace: "agents" })).json.principal_id, prod.json.principal_id);
  });

  test("have rules of their own: none lets in whom another's would", async () => {
    refused(await shown("dev", { namespace: "agents" }), 403, "claims_not_permitted");
    refused(await shown("prod", { namespace: "sandbox" }), 403, "claims_not_permitted");
    refused(await shown("prod", { namespace: "agents", pod: "shell" }), 403, "claims_not_permitted");
    // Signed by the one, and said to be by the other's key.
    refused(await shown("dev", { namespace: "agents", kid: "prod-key" }), 401, "invalid_signature");
    refused(await shown("dev", { namespace: "agents", kid: "nobody's" }), 401, "unknown_key");
    // One that names no key could be of either: it is the first one's, or nobody's.
    for (const namespace of ["agents", "sandbox"]) refused(await shown("dev", { namespace, unnamed: true }), 401, "invalid_signature");
  });

  test("have a name and keys of their own, or the authority stops", async () => {
    const [prod, dev] = ["prod", "dev"].map((name) => row(name, { rules: [{}] }));
    for (const [rows, problem] of [
      [[prod, { ...dev, cluster: undefined }], /row 2: cluster has to be in all rows of this issuer/],
      [[prod, { ...dev, jwks: prod.jwks }], /row 2: cluster has to be in all rows of this issuer, each with keys of its own/],
      [[prod, { ...dev, cluster: "prod" }], /row 2: an earlier row has other keys for this issuer/],
      [[prod, { ...dev, cluster: "Prod#2" }], /row 2: cluster must be 1 to 63 of a-z, 0-9 and -/],
      [[{ ...prod, jwks: undefined }], /row 1: has a cluster, which is for type kubernetes with jwks/],
      [[{ ...prod, type: "oidc" }], /row 1: has a cluster, which is for type kubernetes with jwks/],
      [[{ ...prod, cluster: undefined, issuer: `${ISSUER}#dev` }], /row 1: issuer has a fragment/],
    ]) {
      const wrong = await startAuthority({ expectRefusal: true, vars: { TRUSTED_ISSUERS: JSON.stringify(rows) } });
      try {
        assert.equal((await fetch(`${wrong.url}/.well-known/jwks.json`)).status, 503);
        assert.match(wrong.logs(), problem);
      } finally {
        await wrong.stop();
      }
    }
  });
});

describe("whoever came through Cloudflare Access", () => {
  let team;
  let authority;
  const TAG = "32eafc7626e737ad32eafc7626e737ad32eafc7626e737ad32eafc7626e737ad";
  before(async () => {
    team = await startOidc({ algorithms: ["RS256"] });
    const row = { type: "access", issuer: team.url, audience: TAG, scopes: ["bridgeCert"] };
    authority = await start([
      { ...row, name: "people", rules: [{ email: "*@example.com" }] },
      { ...row, name: "services", subject: "service:{common_name}", rules: [{ common_name: "e367826f93b8d71185e03fe518aff3b4.access" }] },
    ]);
  });
  after(async () => {
    await authority?.stop();
    await team?.close();
  });

  /** What Access says of a person, and of a service token. */
  const person = (more) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { aud: [TAG], email: "user@example.com", exp: now + 86_400, iat: now, nbf: now, type: "app", identity_nonce: "6ei69kawdKzMIAPF", country: "US" };
    return team.token({ ...claims, sub: "7335d417-61da-459d-899c-0a01c76a2f94", jti: undefined, team: undefined, ...more });
  };
  const service = (more) => person({ email: undefined, identity_nonce: undefined, country: undefined, common_name: "e367826f93b8d71185e03fe518aff3b4.access", sub: "", ...more });
  const shown = async (proof, headers) => enroll(authority, proof, { over: await challenge(authority), headers });

  test("is a principal, a person or a service token, whether the token is in the body or the header", async () => {
    const token = await person();
    const [inBody, inHeader] = [await shown({ type: "access", token }), await shown({ type: "access" }, { "cf-access-jwt-assertion": token })];
    assert.equal(inBody.status, 200, inBody.text);
    assert.equal(inBody.json.auth_method, `access:${team.url}`);
    assert.equal(inHeader.json.principal_id, inBody.json.principal_id);
    const machine = await shown({ type: "access", token: await service() });
    assert.equal(machine.status, 200, machine.text);
    assert.notEqual(machine.json.principal_id, inBody.json.principal_id);
    assert.deepEqual(team.requests, ["/cdn-cgi/access/certs"]);
  });

  test("came through this team", async () => {
    const other = await startOidc({ algorithms: ["RS256"] });
    const both = await start([team, other].map(({ url }, i) => ({ type: "access", name: `team-${i}`, issuer: url, audience: `${i}${TAG}`, scopes: ["bridgeCert"], rules: [{ email: "*@example.com" }] })));
    try {
      const by = async ({ token }, claims) => enroll(both, { type: "access", token: await token({ email: "user@example.com", team: undefined, ...claims }) }, { over: await challenge(both) });
      assert.equal((await by(team, { aud: [`0${TAG}`] })).status, 200);
      assert.equal((await by(other, { aud: [`1${TAG}`] })).status, 200);
      // Good ones of a team that is trusted, for the other one's application, and in its name.
      refused(await by(other, { aud: [`0${TAG}`] }), 401, "wrong_audience");
      refused(await by(other, { iss: team.url, aud: [`0${TAG}`] }), 401, "invalid_signature");
    } finally {
      await both.stop();
      await other.close();
    }
  });

  test("came for this application, and is let in by a rule", async () => {
    refused(await shown({ type: "access", token: await person({ aud: ["another application"] }) }), 401, "wrong_audience");
    refused(await shown({ type: "access", token: await person({ email: "user@example.org" }) }), 403, "claims_not_permitted");
    refused(await shown({ type: "access", token: await service({ common_name: "other.access" }) }), 403, "claims_not_permitted");
    refused(await shown({ type: "oidc", token: await person() }), 401, "wrong_issuer");
    // A header is no proof by itself, and none of another kind.
    refused(await shown({ type: "oidc" }, { "cf-access-jwt-assertion": await person() }), 400, "missing_proof_token");
    refused(await shown({ type: "session" }, { "cf-access-jwt-assertion": await person() }), 401, "no_session_cookie");
    refused(await enroll(authority, { type: "access", token: await person() }), 400, "challenge_required");
  });
});

/** What `docs/doors.md` has people type who sign assertions of their own: what makes a key, what makes its JWK's `x`, and the row. */
function ownSignIn() {
  const [, section] = /^## Your own sign-in\n([^]*?)^## /m.exec(readFileSync(join(ROOT, "docs/doors.md"), "utf8"));
  const [, key] = /`(openssl genpkey [^`]+)`/.exec(section);
  const [, typed] = /^ *```console\n([^]*?)^ *```$/m.exec(section);
  const [, x, row] = typed.split(/^ *\$ /m);
  return { key, x, row };
}

const noShell = ["sh", "openssl", "tail", "tr"].map(missing).find(Boolean);

describe("an assertion of one's own", { skip: noShell }, () => {
  let folder;
  let authority;
  const ISSUER = "https://login.example.com";
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "notme-custom-"));
    const shell = async (script) => {
      const { code, stdout, stderr } = await execute("sh", ["-ec", script], { cwd: folder });
      assert.equal(code, 0, stderr);
      return stdout.trim();
    };
    // By the page's commands, and its row with their output where it has dots. Of some keys base64 is base64url as well.
    const { key, x, row } = ownSignIn();
    const isTelling = () => /[-_]/.test(createPublicKey(readFileSync(join(folder, "key.pem"))).export({ format: "jwk" }).x);
    do await shell(key);
    while (!isTelling());
    const rows = (await shell(`${row}\nprintf %s "$TRUSTED_ISSUERS"`)).replace("…", await shell(x));
    authority = await start(JSON.parse(rows).map((one) => ({ ...one, issuer: ISSUER, audience: AUDIENCE })));
  });
  after(async () => {
    await authority?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const EXAMPLES = join(ROOT, "docs/examples/custom");
  const args = () => [join(folder, "key.pem"), ISSUER, AUDIENCE, "user-7"];
  const principals = new Set();
  async function made(program, given) {
    const { code, stdout, stderr } = await execute(program, [...given, ...args()]);
    assert.equal(code, 0, stderr);
    const token = stdout.trim();
    const answer = await enroll(authority, { type: "custom", token });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.auth_method, `custom:${ISSUER}`);
    refused(await enroll(authority, { type: "custom", token }), 401, "token_used");
    principals.add(answer.json.principal_id);
    assert.equal(principals.size, 1, "in whatever language");
  }

  test("is made in TypeScript", async () => {
    const outfile = join(ROOT, "build/assertion.mjs");
    await build({ entryPoints: [join(EXAMPLES, "assertion.ts")], bundle: true, platform: "node", format: "esm", outfile, external: ["jose"] });
    try {
      await made(process.execPath, [outfile]);
    } finally {
      rmSync(outfile);
    }
  });

  test("is made in Go", { skip: missing("go") }, () => made("go", ["run", join(EXAMPLES, "assertion.go")]));

  const python = pkilint.program("python");
  test("is made in Python", { skip: python ? false : "python-cryptography is not installed" }, () => made(python, [join(EXAMPLES, "assertion.py")]));
});

describe("a token of any kind", { skip: noSqlite }, () => {
  const TYPES = ["oidc", "kubernetes", "access", "custom"];
  const issuers = {};
  let forger;
  let authority;
  before(async () => {
    forger = await startOidc({ algorithms: ["RS256"] });
    for (const type of TYPES) issuers[type] = await startOidc({ algorithms: ["RS256"] });
    authority = await start(
      Object.entries(issuers).map(([type, { url, jwks }]) => ({ type, issuer: url, audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{ team: "red" }], subject: "{sub}", ...(type === "custom" && { jwks }) })),
    );
  });
  after(async () => {
    await authority?.stop();
    for (const issuer of Object.values(issuers)) await issuer.close();
    await forger?.close();
  });

  for (const type of TYPES) {
    test(`is signed by its issuer's key as it says, and is good after all forgeries of it: ${type}`, async () => {
      const issuer = issuers[type];
      const claims = issuer.claims({ sub: "forged" });
      const good = await issuer.token(claims);
      for (const [token, code] of await forgeries(issuer, forger, claims)) refused(await enroll(authority, { type, token }), 401, code);
      for (const token of await malformed(issuer, good)) refused(await enroll(authority, { type, token }), 401, "malformed_token");
      assert.deepEqual(forger.requests, [], "nobody asks where a token says");
      assert.equal((await enroll(authority, { type, token: good })).status, 200);
    });
  }

  /** How a proof is single: a token by its own number, or, where it is there to be shown again, by a challenge. */
  for (const type of TYPES) {
    for (const by of ["jti", "challenge"]) {
      test(`is single, also for 20 at once: ${type}, by its ${by}`, async () => {
        const now = Math.floor(Date.now() / 1000);
        const token = await issuers[type].token({ sub: "crowd", exp: now + (by === "jti" ? 300 : 3600) });
        const one = { keys: new Keys(), ...(by === "challenge" && { over: await challenge(authority) }) };
        const crowd = await Promise.all(Array.from({ length: 20 }, () => enroll(authority, { type, token }, one)));
        assert.equal(crowd.filter(({ status }) => status === 200).length, 1);
        const told = by === "jti" ? [401, "token_used"] : [400, "bad_challenge"];
        for (const answer of crowd.filter(({ status }) => status !== 200)) refused(answer, ...told);
        refused(await enroll(authority, { type, token }, one), ...told);
      });

      test(`is single across a kill -9 in the middle of 20: ${type}, by its ${by}`, async () => {
        const moments = [() => sleep(8), (asked) => Promise.race(asked), (asked) => Promise.race(asked.slice(8))];
        for (const [round, moment] of moments.entries()) {
          const sub = `${type}-${by}-${round}`;
          const now = Math.floor(Date.now() / 1000);
          const fresh = async () => {
            const token = await issuers[type].token({ sub, exp: now + (by === "jti" ? 300 : 3600) });
            return { proof: { type, token }, keys: new Keys(), ...(by === "challenge" && { over: await challenge(authority) }) };
          };
          const show = ({ proof, ...more }) => enroll(authority, proof, more);
          const told = by === "jti" ? [401, "token_used"] : [400, "bad_challenge"];
          const used = await fresh();
          assert.equal((await show(used)).status, 200);
          const flying = await fresh();
          const asked = Array.from({ length: 20 }, () => show(flying).catch(() => ({ status: 0 })));
          await moment(asked);
          await authority.kill9();
          const answers = await Promise.all(asked);
          await authority.restart();
          refused(await show(used), ...told);
          const again = await show(flying);
          assert.ok([...answers, again].filter(({ status }) => status === 200).length <= 1, `round ${round}`);
          if (again.status !== 200) refused(again, ...told);
          refused(await show(flying), ...told);
          const of = `FROM authenticators WHERE kind = '${type}' AND subject = '${sub}'`;
          const file = databaseOf(authority.stateDir);
          assert.deepEqual(query(file, `SELECT COUNT(*) ${of}`), [[1]]);
          // One of `used`, and one of `flying`, though the crash may have swallowed its answer.
          assert.deepEqual(query(file, `SELECT COUNT(*) FROM credentials WHERE principal = (SELECT principal ${of})`), [[2]], `round ${round}`);
        }
      });
    }
  }
});

describe("rows that are wrong", () => {
  test("stop the authority, with a sentence for each and no value", async () => {
    const authority = await startAuthority({
      expectRefusal: true,
      vars: { TRUSTED_ISSUERS: JSON.stringify([{ issuer: "https://a.example", audience: "s3cret-value" }, { issuer: "ftp://b.example" }]) },
    });
    try {
      const response = await fetch(`${authority.url}/.well-known/jwks.json`);
      assert.equal(response.status, 503);
      assert.equal((await response.json()).code, "misconfigured");
      const logs = authority.logs();
      assert.match(logs, /TRUSTED_ISSUERS row 1: scopes is missing/);
      assert.match(logs, /TRUSTED_ISSUERS row 2: issuer /);
      assert.doesNotMatch(logs, /s3cret-value/);
    } finally {
      await authority.stop();
    }
  });
});
