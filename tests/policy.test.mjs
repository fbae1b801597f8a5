// Trying a rule: what rows make of a token, without issuing anything.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { missing } from "./support/foreign.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Pki } from "./support/pki.mjs";

const AUDIENCE = "https://id.example";

describe("POST /policy/test", () => {
  let issuer;
  let away;
  let authority;
  let ana;
  before(async () => {
    [issuer, away] = [await startOidc(), await startOidc()];
    const row = { issuer: issuer.url, audience: AUDIENCE, subject: "job:{sub}", scopes: ["bridgeCert"] };
    authority = await startAuthority({
      allowLoopback: true,
      vars: {
        BOOTSTRAP_CODE: CODE,
        TRUSTED_ISSUERS: JSON.stringify([
          { ...row, name: "red", rules: [{ team: "blue", stage: "prod" }, { team: "red" }] },
          { ...row, name: "elsewhere", audience: "https://else.example", rules: [{}] },
          { ...row, name: "elliptic", algorithms: ["ES256"], rules: [{ team: "red" }] },
          { ...row, name: "named", subject: "{nick}", rules: [{ team: "red" }] },
          { ...row, name: "away", issuer: away.url, rules: [{}] },
          { ...row, name: "people", for: "people", audience: "https://people.example", rules: [{}] },
        ]),
      },
    });
    ana = new Browser(authority);
    assert.equal((await ana.register(new Passkey(ES256))).status, 200);
  });
  after(async () => {
    await authority?.stop();
    await issuer?.close();
    await away?.close();
  });

  const ask = async (token, browser = ana) => {
    const answer = await browser.post("/policy/test", { token });
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  };

  test("says which rule lets a token in, as whom, and why the other rows don't", async () => {
    const { signature, rows } = await ask(await issuer.token());
    assert.equal(signature, "valid");
    const [red, elsewhere, elliptic, named, other] = rows;
    assert.deepEqual(red, { row: "red", type: "oidc", fits: true, rule: 2, subject: "job:job-1", scopes: ["bridgeCert"], singleBy: "jti" });
    assert.deepEqual([elsewhere.fits, elsewhere.stopped], [false, "audience"]);
    assert.match(elsewhere.why[0], /is for "https:\/\/id.example", and the row wants `https:\/\/else.example`/);
    assert.deepEqual([elliptic.stopped, named.stopped, other.stopped], ["algorithm", "order", "issuer"]);
    assert.match(named.why[0], /`red` comes first/);
  });

  test("says of each rule what stands in the way", async () => {
    const { rows } = await ask(await issuer.token({ team: "green", stage: "prod" }));
    assert.deepEqual([rows[0].stopped, rows[0].why], ["rules", ["rule 1: `team` isn't what it has to be", "rule 2: `team` isn't what it has to be"]]);
  });

  test("says what makes a token single", async () => {
    const now = Math.floor(Date.now() / 1000);
    for (const claims of [{ jti: undefined }, { iat: now, exp: now + 901 }, { iat: undefined }]) {
      assert.equal((await ask(await issuer.token(claims))).rows[0].singleBy, "challenge");
    }
    const { rows } = await ask(await issuer.token({ aud: "https://people.example" }));
    assert.equal(rows.find(({ fits }) => fits).singleBy, "nonce");
  });

  test("tells a token that is over from one that isn't", async () => {
    const now = Math.floor(Date.now() / 1000);
    const { rows } = await ask(await issuer.token({ iat: now - 900, exp: now - 600 }));
    assert.deepEqual([rows[0].fits, rows[0].stopped], [false, "times"]);
    assert.match(rows[0].why[0], /expired/);
  });

  test("says what the signature is worth", async () => {
    const token = await issuer.token();
    const signature = async (token) => (await ask(token)).signature;
    assert.equal(await signature(token), "valid");
    assert.equal(await signature(`${token.slice(0, token.lastIndexOf("."))}.${"A".repeat(342)}`), "invalid");
    assert.equal(await signature(await issuer.token({}, { kid: "another" })), "unknown_key");
    assert.equal(await signature(await issuer.token({ iss: "https://nobody.example" })), "unknown_issuer");
    assert.equal(await signature(`${Buffer.from('{"alg":"none"}').toString("base64url")}.${token.split(".")[1]}.`), "invalid");
    const theirs = await away.token();
    await away.close();
    assert.equal(await signature(theirs), "unavailable");
  });

  test("says that a token is for something else", async () => {
    for (const [claims, header] of [[{}, { typ: "dpop+jwt" }], [{}, { typ: "application/DPOP+JWT" }], [{ cnf: { jkt: "x" } }, {}]]) {
      assert.equal((await ask(await issuer.token(claims, header))).rows[0].stopped, "token");
    }
  });

  test("uses no token up, and makes nobody", async () => {
    const token = await issuer.token({ sub: "job-used" });
    assert.equal((await ask(token)).rows[0].fits, true);
    assert.equal((await ask(token)).rows[0].fits, true);
    const { json: before } = await ana.call("GET", "/admin/principals");
    assert.ok(!before.items.some(({ displayName }) => displayName === "job:job-used"));
    const keys = new Keys();
    const body = { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token) };
    assert.equal((await new Browser(authority).post("/cert", body)).status, 200);
  });

  test("is for administrators, and takes nothing but a token", async () => {
    const refused = async (browser, body, status, code, headers) => {
      const answer = await browser.post("/policy/test", body, headers);
      assert.deepEqual([answer.status, answer.json?.code], [status, code], answer.text);
    };
    const token = await issuer.token();
    await refused(new Browser(authority), { token }, 401, "no_session");
    const { json } = await ana.post("/invites", { scopes: ["bridgeCert"] });
    const ben = new Browser(authority);
    assert.equal((await ben.register(new Passkey(ES256), { wanted: { invite: json.token, displayName: "Ben" } })).status, 200);
    await refused(ben, { token }, 403, "manage_required");
    await refused(ana, { token }, 403, "cross_site", { origin: "https://evil.example", "sec-fetch-site": "cross-site" });
    for (const body of [{}, { token: 1 }, { token: null }]) await refused(ana, body, 400, "missing_proof_token");
    await refused(ana, [], 400, "invalid_json");
    for (const text of ["", "x", "a.b.c", `${"A".repeat(17_000)}.e30.AA`]) await refused(ana, { token: text }, 401, "malformed_token");
  });
});

/** Looks at what rows of one type make of tokens; `ask` is an administrator's. */
async function trying(rows, body) {
  const authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows) } });
  try {
    const ana = new Browser(authority);
    assert.equal((await ana.register(new Passkey(ES256))).status, 200);
    const ask = async (token) => {
      const { status, text, json } = await ana.post("/policy/test", { token });
      assert.equal(status, 200, text);
      return { ...json, stops: json.rows.map(({ stopped }) => stopped) };
    };
    await body({ authority, ask });
  } finally {
    await authority.stop();
  }
}

describe("a service account's token", () => {
  const ISSUER = "https://kubernetes.default.svc.cluster.local";
  const clusters = {};
  before(async () => {
    for (const name of ["prod", "dev"]) {
      clusters[name] = await startOidc({ algorithms: ["RS256"] });
      clusters[name].jwks.keys[0].kid = `${name}-key`;
    }
  });
  after(async () => {
    for (const cluster of Object.values(clusters)) await cluster.close();
  });
  const row = (cluster, more = {}) => ({ type: "kubernetes", issuer: ISSUER, name: cluster, cluster, audience: AUDIENCE, jwks: clusters[cluster].jwks, scopes: ["bridgeCert"], rules: [{ "/kubernetes.io/namespace": "agents" }], ...more });
  const token = (by, { kid = `${by}-key`, namespace = "agents", account = { name: "web", uid: "8a1f5c0e-0000-4000-8000-000000000001" }, lifetime = 3607, ...more } = {}) => {
    const now = Math.floor(Date.now() / 1000);
    const inner = { namespace, node: { name: "node-1", uid: "n" }, pod: { name: "web-1", uid: "p" }, serviceaccount: account, warnafter: now + 3000 };
    const claims = { aud: [AUDIENCE], exp: now + lifetime, iat: now, nbf: now, iss: ISSUER, "kubernetes.io": inner, sub: `system:serviceaccount:${namespace}:web`, team: undefined };
    return clusters[by].token({ ...claims, ...more }, { kid });
  };

  test("is looked at by the row of the cluster whose key it names, and by no other", async () => {
    await trying([row("prod"), row("dev")], async ({ ask }) => {
      for (const [cluster, at] of [["prod", 0], ["dev", 1]]) {
        const { signature, rows, stops } = await ask(await token(cluster));
        assert.equal(signature, "valid");
        const subject = "system:serviceaccount:agents:web/8a1f5c0e-0000-4000-8000-000000000001";
        assert.deepEqual(rows[at], { row: cluster, type: "kubernetes", fits: true, rule: 1, subject, scopes: ["bridgeCert"], singleBy: "challenge" });
        assert.deepEqual([rows[1 - at].fits, stops[1 - at]], [false, "issuer"]);
        assert.match(rows[1 - at].why[0], /names the key `\w+-key`, which the cluster `\w+` hasn't/);
      }
      // Signed by the one under the other's key id: it is looked at as the other's, and isn't by its key.
      for (const [by, other, at] of [["dev", "prod", 0], ["prod", "dev", 1]]) {
        const { signature, stops } = await ask(await token(by, { kid: `${other}-key` }));
        assert.deepEqual([signature, stops[1 - at]], ["invalid", "issuer"]);
      }
      const nobodys = await ask(await token("dev", { kid: "nobody's" }));
      assert.deepEqual([nobodys.signature, nobodys.stops], ["unknown_key", ["issuer", "issuer"]]);
    });
  });

  test("is told what stands in its way", async () => {
    await trying([row("prod"), row("dev", { rules: [{ "/kubernetes.io/namespace": "sandbox" }] })], async ({ ask }) => {
      assert.deepEqual((await ask(await token("dev"))).rows[1].why, ["rule 1: `/kubernetes.io/namespace` isn't what it has to be"]);
      assert.equal((await ask(await token("prod", { aud: ["https://else.example"] }))).stops[0], "audience");
      assert.equal((await ask(await token("prod", { lifetime: -1 }))).stops[0], "times");
      // Without the uid an account that was made anew under the name would be the same.
      assert.equal((await ask(await token("prod", { account: { name: "web" } }))).stops[0], "subject");
    });
  });
});

describe("what Access says of somebody", () => {
  test("is a person by one row, and a service token by another", async () => {
    const team = await startOidc({ algorithms: ["RS256"] });
    const row = { type: "access", issuer: team.url, audience: AUDIENCE, scopes: ["bridgeCert"] };
    const rows = [
      { ...row, name: "people", rules: [{ email: "*@example.com" }] },
      { ...row, name: "services", subject: "service:{common_name}", rules: [{ common_name: "ci.access" }] },
      { ...row, name: "oidc", type: "oidc", jwks_uri: `${team.url}/cdn-cgi/access/certs`, rules: [{}] },
    ];
    try {
      await trying(rows, async ({ authority, ask }) => {
        const claims = (more) => ({ aud: [AUDIENCE], type: "app", jti: undefined, team: undefined, ...more });
        const person = await team.token(claims({ email: "ana@example.com", identity_nonce: "6ei69kawdKzMIAPF", country: "US", sub: "7335d417" }));
        const told = await ask(person);
        assert.equal(told.signature, "valid");
        assert.deepEqual(told.rows[0], { row: "people", type: "access", fits: true, rule: 1, subject: "7335d417", scopes: ["bridgeCert"], singleBy: "challenge" });
        assert.deepEqual([told.stops[1], told.rows[1].why], ["rules", ["rule 1: `common_name` isn't what it has to be"]]);
        const service = await ask(await team.token(claims({ common_name: "ci.access", sub: "" })));
        assert.equal(service.stops[0], "rules");
        assert.deepEqual(service.rows[1], { row: "services", type: "access", fits: true, rule: 1, subject: "service:ci.access", scopes: ["bridgeCert"], singleBy: "challenge" });
        // What has nobody's `sub` is nobody, though the rule for people fits.
        assert.equal((await ask(await team.token(claims({ email: "ci@example.com", sub: "" })))).stops[0], "subject");
        assert.deepEqual((await ask(await team.token(claims({ email: "ana@example.org", sub: "x" })))).stops.slice(0, 2), ["rules", "rules"]);
        assert.deepEqual(team.requests.filter((path) => path !== "/cdn-cgi/access/certs"), []);
        assert.ok(!authority.logs().includes(person));
      });
    } finally {
      await team.close();
    }
  });
});

describe("an assertion of one's own", () => {
  test("is tried by its own rows, and its issuer's key is in them", async () => {
    const [back, stranger] = [await startOidc({ algorithms: ["EdDSA"] }), await startOidc({ algorithms: ["EdDSA"] })];
    const row = { type: "custom", issuer: "https://login.example.com", audience: AUDIENCE, jwks: back.jwks, scopes: ["bridgeCert"], rules: [{ team: "red" }] };
    const rows = [{ ...row, name: "machines", subject: "user:{sub}" }, { ...row, name: "people", for: "people", audience: "https://people.example" }, { ...row, name: "oidc", type: "oidc" }];
    try {
      await trying(rows, async ({ ask }) => {
        const by = (issuer, claims) => issuer.token({ iss: "https://login.example.com", sub: "7", ...claims }, { alg: "EdDSA" });
        const told = await ask(await by(back));
        assert.equal(told.signature, "valid");
        assert.deepEqual(told.rows[0], { row: "machines", type: "custom", fits: true, rule: 1, subject: "user:7", scopes: ["bridgeCert"], singleBy: "jti" });
        // Which type it is, the proof says: a row of another type decides by itself.
        assert.deepEqual([told.stops[1], told.rows[2].type, told.rows[2].fits], ["audience", "oidc", true]);
        const people = await ask(await by(back, { aud: "https://people.example" }));
        assert.deepEqual([people.rows[1].fits, people.rows[1].singleBy], [true, "nonce"]);
        assert.equal((await ask(await by(back, { jti: undefined }))).rows[0].singleBy, "challenge");
        assert.equal((await ask(await by(back, { team: "blue" }))).stops[0], "rules");
        assert.equal((await ask(await by(stranger))).signature, "invalid");
      });
    } finally {
      await back.close();
      await stranger.close();
    }
  });
});

describe("a certificate", { skip: missing("openssl") && "openssl is not installed" }, () => {
  test("is followed to the roots of each row, without its key, and nothing comes of it", async () => {
    const pki = new Pki();
    const [office, mesh, other] = ["Office", "Mesh", "Other"].map((name) => pki.ca(`/CN=${name}`));
    const between = pki.ca("/CN=Between", office);
    const row = (name, root, more = {}) => ({ type: "x509", name, roots: root.pem, subject: "{cn}", scopes: ["bridgeCert"], rules: [{ o: "Nobody" }, { o: "Acme" }], ...more });
    const rows = [
      row("strict", office, { rules: [{ ou: "boards" }] }),
      row("office", office),
      row("again", office),
      row("mesh", mesh),
      row("unnamed", mesh, { name: "uri", subject: "{san_dns}" }),
      row("edge", office, { type: "mtls", subject: "{nothing}" }),
    ];
    const authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows) } });
    try {
      const ana = new Browser(authority);
      assert.equal((await ana.register(new Passkey(ES256))).status, 200);
      const ask = async (token, more = {}) => {
        const answer = await ana.post("/policy/test", { token, ...more });
        assert.equal(answer.status, 200, answer.text);
        return { ...answer.json, stops: answer.json.rows.map(({ stopped }) => stopped) };
      };
      const leaf = pki.leaf(between);
      const good = await ask(leaf.pem + between.pem);
      assert.equal(good.signature, "valid");
      assert.deepEqual(good.stops, ["rules", undefined, "order", "chain", "chain", "subject"]);
      assert.deepEqual(good.rows[1], { row: "office", type: "x509", fits: true, rule: 2, subject: "web", scopes: ["bridgeCert"], singleBy: "challenge" });
      assert.deepEqual(good.rows[0].why, ["rule 1: `ou` isn't what it has to be"]);
      assert.match(good.rows[2].why[0], /`office` comes first/);
      assert.match(good.rows[3].why[0], /another root/);
      assert.match(good.rows[5].why[0], /`nothing` isn't there/);
      assert.deepEqual((await ask(`Certificate:\n    Data:\n${leaf.pem}\n 1 s:CN = Between\n${between.pem}`)).stops, good.stops, "as openssl prints them");
      for (const [bad, worth] of [
        [leaf.pem, "unknown_issuer"],
        [pki.leaf(other).pem, "unknown_issuer"],
        [pki.leaf(office, { usage: "keyAgreement" }).pem, "not_checked"],
        [pki.leaf(office, { uris: ["spiffe://td.example/a", "spiffe://td.example/b"] }).pem, "not_checked"],
        [office.pem, "unknown_issuer"],
      ]) {
        const { signature, stops, rows: told } = await ask(bad);
        assert.equal(signature, worth);
        assert.deepEqual(stops, Array(6).fill("chain"));
        assert.match(told[0].why[0], /^invalid certificate: /);
      }
      // Somebody else's signature under the right name.
      const forged = new Pki();
      const { pem } = forged.leaf(forged.ca("/CN=Office"));
      assert.deepEqual((await ask(pem)).stops, Array(6).fill("chain"));
      forged.remove();
      // A row that isn't there yet.
      const { stops } = await ask(pki.leaf(other).pem, { row: row("draft", other) });
      assert.equal(stops.filter((stop) => stop === undefined).length, 1);
      for (const broken of ["-----BEGIN CERTIFICATE-----\nAA", leaf.pem.repeat(11)]) {
        const answer = await ana.post("/policy/test", { token: broken });
        assert.deepEqual([answer.status, answer.json.code], [400, "invalid_member"]);
      }
    } finally {
      await authority.stop();
      pki.remove();
    }
  });
});

describe("a job's token", () => {
  test("is looked at as /cert/gha does, and isn't used up", async () => {
    const issuer = await startIssuer();
    const authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", GHA_ALLOWED_REFS: "refs/heads/main" } });
    try {
      const ana = new Browser(authority);
      assert.equal((await ana.register(new Passkey(ES256))).status, 200);
      const ask = async (token) => (await ana.post("/policy/test", { token })).json;
      const token = await issuer.token({ repository_id: "42" });
      const good = { row: "/cert/gha", type: "gha", fits: true, subject: "repository:42", scopes: ["bridgeCert"], singleBy: "jti" };
      assert.deepEqual(await ask(token), { signature: "valid", rows: [good] });
      const stopped = async (claims, header) => {
        const { rows: [row] } = await ask(await issuer.token(claims, header));
        assert.ok(!row.fits && row.why[0].length > 0, JSON.stringify(row));
        return row.stopped;
      };
      assert.equal(await stopped({ repository_owner: "evil", repository: "evil/app" }), "rules");
      assert.equal(await stopped({ ref: "refs/heads/wip" }), "rules");
      assert.equal(await stopped({ aud: "somebody" }), "audience");
      assert.equal(await stopped({ exp: 1000 }), "times");
      assert.equal(await stopped({ jti: undefined }), "token");
      const keys = new Keys();
      assert.equal((await enroll(authority.url, token, keys.body(token))).status, 200, "it was only looked at");
    } finally {
      await authority.stop();
      await issuer.close();
    }
  });
});
