// One workload by any door: linked by an administrator at each kind of door that there is, it is the same everywhere, and
// whoever is somebody already stays that.
import assert from "node:assert/strict";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { missing } from "./support/foreign.mjs";
import { startGitHub } from "./support/github.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Pki, signed } from "./support/pki.mjs";

const AUDIENCE = "https://id.example";
const SECRET = randomBytes(32).toString("hex");
const CLUSTER = "https://kubernetes.default.svc.cluster.local";
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
}

function done(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

/** Of an answer, who it is about and what they may do. */
const whom = ({ principal_id, identity, subject, scopes }) => ({ principal_id, identity, subject, scopes });

/** The kinds of door for workloads. */
const KINDS = ["oidc", "kubernetes", "access", "custom", "github_pat", "mtls", "x509"];

describe("one workload by any door", { skip: missing("openssl") ?? false }, () => {
  const issuers = {};
  let pki;
  let root;
  let api;
  let authority;
  let admin;
  const passkey = new Passkey(ES256);
  /** The workload, as the first door told of it. */
  let first;

  before(async () => {
    for (const name of ["first", "oidc", "kubernetes", "access", "custom"]) issuers[name] = await startOidc({ algorithms: ["RS256"] });
    pki = new Pki();
    root = pki.ca("/O=Acme/CN=Root");
    api = await startGitHub();
    const common = { audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{}] };
    const certified = { roots: root.pem, subject: "{cn}", scopes: ["bridgeCert"], rules: [{ o: "Acme" }] };
    const rows = [
      { ...common, issuer: issuers.first.url },
      { ...common, issuer: issuers.oidc.url },
      { ...common, type: "kubernetes", issuer: CLUSTER, cluster: "prod", jwks: issuers.kubernetes.jwks },
      { ...common, type: "access", issuer: issuers.access.url },
      { ...common, type: "custom", issuer: "https://login.example.com", jwks: issuers.custom.jwks },
      { type: "github_pat", scopes: ["bridgeCert"], rules: [{ organization_ids: "9919" }] },
      { ...certified, type: "mtls", name: "edge" },
      { ...certified, type: "x509", name: "mesh" },
    ];
    const vars = { BOOTSTRAP_CODE: CODE, MTLS_PROXY_SECRET: SECRET, GITHUB_API_URL: api.url, TRUSTED_ISSUERS: JSON.stringify(rows) };
    authority = await startAuthority({ allowLoopback: true, vars });
    admin = new Browser(authority);
    done(await admin.register(passkey));
    first = whom(done(await enroll(await identity("first", "deployer"))));
  });
  after(async () => {
    await authority?.stop();
    await api?.close();
    for (const issuer of Object.values(issuers)) await issuer.close();
    pki?.remove();
  });

  /** What somebody has to show at a door: a token, or a certificate with its key; each name is somebody else. */
  async function identity(kind, name) {
    const number = parseInt(sha256(name).toString("hex").slice(0, 7), 16);
    const now = Math.floor(Date.now() / 1000);
    const token = (more) => issuers[kind].token({ sub: name, team: undefined, ...more });
    switch (kind) {
      case "first":
        return { type: "oidc", token: () => token() };
      case "oidc":
        return { type: "oidc", token: () => token({ exp: now + 3600, jti: undefined }) };
      case "kubernetes": {
        const inner = { namespace: "agents", serviceaccount: { name, uid: randomUUID() }, pod: { name: `${name}-1`, uid: randomUUID() } };
        return { type: kind, token: () => token({ iss: CLUSTER, sub: `system:serviceaccount:agents:${name}`, exp: now + 3607, "kubernetes.io": inner }) };
      }
      case "access":
        return { type: kind, token: () => token({ aud: [AUDIENCE], type: "app", email: `${name}@example.com`, jti: undefined }) };
      case "custom":
        return { type: kind, token: () => token({ iss: "https://login.example.com" }) };
      case "github_pat": {
        const known = `ghp_${randomBytes(27).toString("hex")}`;
        api.tokens.set(known, { user: { id: number, login: name }, scopes: "read:org", organizations: [{ id: 9919, login: "acme" }] });
        return { type: kind, token: () => known };
      }
      default:
        return { type: kind, leaf: pki.leaf(root, { names: [], subject: `/O=Acme/CN=${name}` }) };
    }
  }

  /** Asks for a pair with that, made for a challenge, with an invite beside it if there is one. */
  async function enroll({ type, token, leaf }, { invite, keys = new Keys() } = {}) {
    const browser = new Browser(authority);
    const { challenge } = done(await browser.post("/cert/challenge"));
    const over = Buffer.from(challenge, "base64url");
    const labelled = (label) => Buffer.concat([Buffer.from(`${label}\0`), over, sha256(leaf.der), keys.message()]);
    const proof = { type };
    const headers = {};
    if (token) proof.token = await token();
    if (type === "x509") Object.assign(proof, { chain: leaf.pem, signature: signed(leaf, labelled("notme-certificate-proof-v1")) });
    if (type === "mtls") Object.assign(headers, { "client-cert": `:${leaf.der.toString("base64")}:`, "mtls-proxy-secret": SECRET });
    const proofs = keys.proofsOver(type === "mtls" ? labelled("notme-mtls-proof-v1") : keys.message(over));
    return browser.post("/cert", { proof, public_keys: keys.publicKeys, proofs, challenge, invite }, headers);
  }

  /** The token of a further way in for the workload. */
  async function tokenFor(principal) {
    await admin.stepUp(passkey);
    return done(await admin.post("/invites", { principal })).token;
  }

  const linked = new Map();
  for (const kind of KINDS) {
    test(`is linked by an administrator's link at the door for ${kind}, and nobody is moved`, async () => {
      const invite = await tokenFor(first.principal_id);
      // Who leads to somebody else already is that, and the link stays usable.
      const other = await identity(kind, `other-${kind}`);
      const theirs = whom(done(await enroll(other)));
      assert.notEqual(theirs.principal_id, first.principal_id);
      refused(await enroll(other, { invite }), 409, "identity_taken");
      assert.deepEqual(whom(done(await enroll(other))), theirs, "nobody was moved");
      done(await new Browser(authority).post("/invites/lookup", { token: invite }));
      const mine = await identity(kind, "deployer");
      const answer = done(await enroll(mine, { invite }));
      assert.deepEqual(whom(answer), first);
      assert.match(answer.auth_method, new RegExp(`^${kind}:`));
      // It is single, and the identity leads there by itself from now on.
      refused(await enroll(await identity(kind, "late"), { invite }), 403, "bad_invite");
      assert.deepEqual(whom(done(await enroll(mine))), first);
      linked.set(kind, mine);
    });
  }

  test("has the same name, subject and scopes at all of them", async () => {
    const methods = new Set();
    for (const one of [await identity("first", "deployer"), ...linked.values()]) {
      const answer = done(await enroll(one));
      assert.deepEqual(whom(answer), first, one.type);
      methods.add(answer.auth_method);
    }
    assert.equal(methods.size, KINDS.length + 1);
    assert.deepEqual([first.subject, first.scopes], [first.principal_id, ["bridgeCert"]]);
    assert.equal(first.identity, `wimse://localhost:${authority.port}/principal/${first.principal_id}`);
    const { items } = done(await admin.call("GET", `/admin/authenticators?principal=${first.principal_id}`));
    assert.deepEqual(items.map(({ kind }) => kind).sort(), ["oidc", ...KINDS].sort());
  });

  test("loses a grant at all of them at once, and is turned away at all of them", async () => {
    const doors = [await identity("first", "deployer"), ...linked.values()];
    await admin.stepUp(passkey);
    done(await admin.call("DELETE", `/admin/principals/${first.principal_id}/grants/bridgeCert`));
    for (const one of doors) refused(await enroll(one), 403, "scopes_not_granted");
    done(await admin.post(`/admin/principals/${first.principal_id}/grants`, { scope: "bridgeCert" }));
    for (const one of doors) assert.deepEqual(whom(done(await enroll(one))), first, one.type);
    done(await admin.post(`/admin/principals/${first.principal_id}/disable`));
    for (const one of doors) refused(await enroll(one), 403, "turned_away");
  });
});
