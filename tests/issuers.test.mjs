// Rows that administrators make: who is let in by them, from when on, and from when on not any more.
import assert from "node:assert/strict";
import { X509Certificate, randomUUID } from "node:crypto";
import { after, afterEach, before, describe, test } from "node:test";
import { THROUGH_WRANGLER, freePort, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { startOidc } from "./support/oidc.mjs";
import { databaseOf, longAgo, meanwhile, noSqlite, query } from "./support/state.mjs";
import { COMPATIBILITY_DATE, OBJECTS } from "../tools/lib/workerd.mjs";

const noKnife = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");
const AUDIENCE = "https://id.example";

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
}

function good(answer) {
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

/** Asks for a pair. */
async function enroll({ url }, token, { type = "oidc", over, ...more } = {}) {
  const keys = new Keys();
  const proofs = over ? keys.proofsOver(keys.message(over)) : keys.proofs(token);
  const body = { proof: { type, token }, public_keys: keys.publicKeys, proofs, ...(over && { challenge: over.toString("base64url") }), ...more };
  return post(`${url}/cert`, body);
}

/** What a machine sends: it has no page and no cookie. */
async function post(url, body) {
  const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) };
}

const challenge = async ({ url }) => Buffer.from(good(await post(`${url}/cert/challenge`, {})).challenge, "base64url");

/** An administrator, and what they do with rows. */
async function administrator(authority, wanted = { bootstrapCode: CODE, displayName: "Ana" }) {
  const browser = new Browser(authority);
  const passkey = new Passkey(ES256);
  good(await browser.register(passkey, { wanted }));
  const { userId: id } = good(await browser.me());
  return {
    browser,
    passkey,
    id,
    list: async () => good(await browser.call("GET", "/policy/issuers")),
    make: (row) => browser.post("/policy/issuers", { row }),
    edit: (row, { id, revision }) => browser.call("PUT", `/policy/issuers/${id}`, { row, revision }),
    remove: (id, query = "") => browser.call("DELETE", `/policy/issuers/${id}${query}`),
    /** Removes all rows: what a test leaves behind is no other one's business. */
    tidy: async () => {
      good(await browser.stepUp(passkey));
      for (const { id } of good(await browser.call("GET", "/policy/issuers")).items) if (id) good(await browser.call("DELETE", `/policy/issuers/${id}`));
    },
    trail: async (more) => {
      const { items } = good(await browser.call("GET", `/admin/audit?${new URLSearchParams(more)}`));
      return items.map(({ details, ...line }) => ({ ...line, details: JSON.parse(details) }));
    },
  };
}

/** A row of the configuration that lets nobody in, but has the authority ask this issuer already. */
const asked = (issuer) => ({ name: "asked", issuer: issuer.url, audience: "https://nobody.example", scopes: ["bridgeCert"], rules: [{ sub: "nobody" }] });

const start = (rows, more = {}) => startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows) }, ...more });

const rowOf = (issuer, more = {}) => ({ issuer: issuer.url, audience: AUDIENCE, subject: "job:{sub}", scopes: ["bridgeCert"], rules: [{ team: "red" }], ...more });

describe("a row that an administrator made", () => {
  let issuer;
  let away;
  let authority;
  let ana;
  before(async () => {
    issuer = await startOidc();
    away = await startOidc({ algorithms: ["RS256"] });
    authority = await start([asked(issuer)]);
    ana = await administrator(authority);
  });
  after(async () => {
    await authority?.stop();
    await issuer?.close();
    await away?.close();
  });
  afterEach(() => ana.tidy());
  const made = async (row) => good(await ana.make(row));

  test("lets in at once, by what it says now, and not any more when it is gone", async () => {
    const token = (claims) => issuer.token({ sub: "life", ...claims });
    refused(await enroll(authority, await token()), 401, "wrong_audience");
    const { id, revision } = await made(rowOf(issuer));
    const pair = good(await enroll(authority, await token()));
    assert.deepEqual([pair.auth_method, pair.scopes], [`oidc:${issuer.url}`, ["bridgeCert"]]);
    refused(await enroll(authority, await token({ team: "blue" })), 403, "claims_not_permitted");
    const next = good(await ana.edit(rowOf(issuer, { rules: [{ team: "blue" }] }), { id, revision }));
    assert.ok(next.id === id && next.revision > revision);
    refused(await enroll(authority, await token()), 403, "claims_not_permitted");
    assert.equal(good(await enroll(authority, await token({ team: "blue" }))).principal_id, pair.principal_id);
    assert.deepEqual(good(await ana.remove(id)), { done: true });
    refused(await enroll(authority, await token({ team: "blue" })), 401, "wrong_audience");
    // Taken back twice is taken back; what never was is told so.
    assert.deepEqual(good(await ana.remove(id)), { done: true });
    refused(await ana.remove(randomUUID()), 404, "no_such_item");
    refused(await ana.edit(rowOf(issuer), { id, revision: next.revision }), 404, "no_such_item");
  });

  test("is listed behind the configuration's, with who made it, and as it was written", async () => {
    const row = rowOf(issuer, { name: "listed" });
    const { id, revision } = await made(row);
    const list = await ana.list();
    assert.equal(list.revision, revision);
    const [first, second] = list.items;
    assert.deepEqual(first, { name: "asked", type: "oidc", row: asked(issuer) });
    const { createdAt, changedAt, ...rest } = second;
    assert.deepEqual(rest, { id, revision, name: "listed", type: "oidc", row, createdBy: ana.id, createdByName: "Ana", changedBy: ana.id, changedByName: "Ana" });
    assert.ok(createdAt === changedAt && Math.abs(createdAt - Date.now() / 1000) < 60);
  });

  test("has a line in the trail for each change, with what was there before and after", async () => {
    const row = rowOf(issuer, { name: "told" });
    const { id, revision } = await made(row);
    const other = { ...row, rules: Array.from({ length: 300 }, () => ({ team: "red" })) };
    good(await ana.edit(other, { id, revision }));
    good(await ana.remove(id));
    const lines = await ana.trail({ target: id });
    assert.deepEqual(lines.map(({ action, actor }) => [action, actor]), [["issuer.removed", ana.id], ["issuer.changed", ana.id], ["issuer.added", ana.id]]);
    const [removed, changed, added] = lines.map(({ details }) => details);
    assert.deepEqual(added, { name: "told", type: "oidc", after: JSON.stringify(row) });
    assert.deepEqual([changed.before, removed.before], [added.after, changed.after]);
    assert.deepEqual([changed.after.length, changed.after.at(-1), removed.after], [2001, "…", undefined]);
    assert.ok(lines.every(({ source, requestId }) => source && /^[0-9a-f]{32}$/.test(requestId)));
  });

  test("is asked behind the configuration's and those that are older", async () => {
    const [first, second] = [await made(rowOf(issuer, { rules: [{ team: "x" }], subject: "first:{sub}" })), await made(rowOf(issuer, { rules: [{}], subject: "second:{sub}" }))];
    const subject = async (team) => {
      const { principal_id: id } = good(await enroll(authority, await issuer.token({ team })));
      return good(await ana.browser.call("GET", `/admin/principals/${id}`)).displayName;
    };
    assert.deepEqual([await subject("x"), await subject("y")], ["first:job-1", "second:job-1"]);
    // One that is changed stays where it was.
    good(await ana.edit(rowOf(issuer, { rules: [{}], subject: "first:{sub}" }), first));
    assert.equal(await subject("y"), "first:job-1");
  });

  test("is refused in the configuration's words where it would be refused there", async () => {
    for (const [row, problem] of [
      [{}, /^issuer is missing$/],
      [{ ...rowOf(issuer), rulez: [] }, /^rulez is no member of a row; they are algorithms, /],
      [rowOf(issuer, { audience: undefined }), /^audience is missing$/],
      [rowOf(issuer, { audience: ["a"] }), /^audience must be a text$/],
      [rowOf(issuer, { type: "saml" }), /^type must be oidc or kubernetes or /],
      [rowOf(issuer, { rules: undefined }), /^rules is missing: /],
      [rowOf(issuer, { rules: [{}, { team: null }] }), /^rule 2: team must be a text/],
      [rowOf(issuer, { subject: "x" }), /^subject has no claim/],
      [rowOf(issuer, { algorithms: ["none"] }), /^algorithms must be a list of /],
      [rowOf(issuer, { scopes: [] }), /^scopes must be a list/],
      [rowOf(issuer, { preset: "nobody" }), /^preset must be one of github, /],
      [{ preset: "gitlab", audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{ project_path: "a/b" }] }, /^rule 1: must pin namespace_id or project_id/],
      [{ type: "x509", name: "mesh", roots: "AQ", scopes: ["bridgeCert"], rules: [{}] }, /^roots has one that can't be used/],
      [{ type: "x509", name: "mesh", issuer: "a" }, /^issuer is no member of a row of type x509/],
    ]) {
      const answer = await ana.make(row);
      refused(answer, 400, "invalid_row");
      assert.match(answer.json.error, problem);
    }
    // Nothing is repeated that somebody could hide something in.
    assert.doesNotMatch((await ana.make({ ["x".repeat(5000)]: 1 })).text, /x{101}/);
    for (const [body, code] of [
      ["", "invalid_json"],
      ["[]", "invalid_json"],
      ['{"row":{"issuer":"https://a.example","issuer":"https://b.example"}}', "invalid_json"],
      [{}, "invalid_member"],
      [{ row: null }, "invalid_member"],
      [{ row: [] }, "invalid_member"],
      [{ row: "{}" }, "invalid_member"],
    ]) {
      refused(await ana.browser.post("/policy/issuers", body), 400, code);
    }
    refused(await ana.make(rowOf(issuer, { rules: [{ team: "x".repeat(17_000) }] })), 400, "invalid_row");
    refused(await ana.make(rowOf(issuer, { rules: [{ team: "x".repeat(70_000) }] })), 413, "body_too_large");
    assert.equal((await ana.list()).items.length, 1, "nothing was made");
  });

  test("gives nobody anything but certificates", async () => {
    for (const scopes of [["authorityManage"], ["bridgeCert", "authorityManage"], ["certMint"], ["sign:git"], ["root"]]) {
      const answer = await ana.make(rowOf(issuer, { scopes }));
      refused(answer, 400, "invalid_row");
      assert.match(answer.json.error, /^scopes /);
    }
    const { id, revision } = await made(rowOf(issuer));
    refused(await ana.edit(rowOf(issuer, { scopes: ["authorityManage"] }), { id, revision }), 400, "invalid_row");
    refused(await enroll(authority, await issuer.token({ sub: "ambitious" }), { scopes: ["authorityManage"] }), 403, "scopes_not_granted");
  });

  test("leads to no address that nobody outside could ask", async () => {
    const keys = away.jwks;
    for (const row of [
      rowOf(away),
      rowOf(away, { issuer: "http://localhost:1" }),
      rowOf(away, { issuer: "https://localhost" }),
      rowOf(away, { issuer: "https://10.0.0.1" }),
      rowOf(away, { issuer: "https://169.254.169.254" }),
      rowOf(away, { issuer: "https://2130706433" }),
      rowOf(away, { issuer: "https://0x7f.1" }),
      rowOf(away, { issuer: "https://[::1]" }),
      rowOf(away, { issuer: "https://vault" }),
      rowOf(away, { issuer: "https://metadata.google.internal" }),
      rowOf(away, { issuer: "https://localhost.", type: "access" }),
      rowOf(away, { issuer: "https://issuer.example", jwks_uri: `${away.url}/keys` }),
      rowOf(away, { issuer: "https://issuer.example", jwks_uri: "https://192.168.1.1/keys" }),
    ]) {
      const answer = await ana.make(row);
      refused(answer, 400, "invalid_row");
      assert.match(answer.json.error, /^(issuer|jwks_uri) must be https, at a name that is public; give jwks /);
      const tried = await ana.browser.post("/policy/test", { token: await away.token({ iss: row.issuer }), row });
      refused(tried, 400, "invalid_row");
    }
    for (const issuer of ["http://example.com", "https://u@example.com", "https://example.com/#x", "file:///etc/passwd"]) {
      refused(await ana.make(rowOf(away, { issuer })), 400, "invalid_row");
    }
    assert.deepEqual(away.requests, [], "nobody was asked");
    // With its keys in the row nobody has to be asked.
    await made(rowOf(away, { jwks: keys }));
    good(await enroll(authority, await away.token({ sub: "given" })));
    assert.deepEqual(away.requests, []);
  });

  test("brings no keys of its own for an issuer that has some, nor a private one", async () => {
    const row = rowOf(issuer, { jwks: away.jwks });
    const answer = await ana.make(row);
    refused(answer, 400, "invalid_row");
    assert.match(answer.json.error, /^an earlier row has other keys for this issuer$/);
    const first = await made(rowOf(away, { jwks: away.jwks }));
    refused(await ana.make(rowOf(away, { jwks: issuer.jwks })), 400, "invalid_row");
    // It may have others itself.
    good(await ana.edit(rowOf(away, { jwks: issuer.jwks }), first));
    refused(await enroll(authority, await away.token()), 401, "invalid_signature");
    good(await ana.remove(first.id));
    // Those of jobs' tokens are nobody else's either.
    const github = "https://token.actions.githubusercontent.com";
    for (const keys of [{ jwks: away.jwks }, { jwks_uri: "https://evil.example/keys" }]) {
      const stolen = await ana.make(rowOf(issuer, { issuer: github, rules: [{ repository_owner_id: "7" }], ...keys }));
      refused(stolen, 400, "invalid_row");
      assert.match(stolen.json.error, /^GHA_ISSUER has other keys for this issuer$/);
    }
    // Whoever registers a name next isn't let in by it.
    const loose = await ana.make(rowOf(issuer, { issuer: github, rules: [{ repository: "acme/*" }] }));
    refused(loose, 400, "invalid_row");
    assert.match(loose.json.error, /^rule 1: must pin repository_owner_id/);
    const [key] = away.jwks.keys;
    const secret = await ana.make(rowOf(away, { jwks: { keys: [{ ...key, d: "c2VjcmV0" }] } }));
    refused(secret, 400, "invalid_row");
    assert.doesNotMatch(secret.text, /c2VjcmV0/);
  });

  test("is nobody's to change who doesn't administer, from elsewhere, or without a passkey", { skip: noKnife }, async () => {
    const { id, revision } = await made(rowOf(issuer));
    const changes = [
      ["POST", "/policy/issuers", { row: rowOf(issuer) }],
      ["PUT", `/policy/issuers/${id}`, { row: rowOf(issuer), revision }],
      ["DELETE", `/policy/issuers/${id}`],
    ];
    const { token } = good(await ana.browser.post("/invites", { scopes: ["bridgeCert"] }));
    const ben = await administrator(authority, { invite: token, displayName: "Ben" });
    for (const [method, path, body] of [["GET", "/policy/issuers"], ...changes]) {
      refused(await new Browser(authority).call(method, path, body), 401, "no_session");
      refused(await ben.browser.call(method, path, body), 403, "manage_required");
      for (const headers of [{ "sec-fetch-site": "cross-site" }, { "sec-fetch-site": "same-site" }, { origin: "https://evil.example" }]) {
        refused(await ana.browser.call(method, path, body, headers), 403, "cross_site");
      }
      if (body) refused(await ana.browser.call(method, path, body, { "content-type": "text/plain" }), 415, "unsupported_media_type");
    }
    await meanwhile(authority, longAgo(301));
    for (const [method, path, body] of changes) refused(await ana.browser.call(method, path, body), 403, "step_up_required");
    assert.deepEqual((await ana.list()).items.map(({ id }) => id), [undefined, id], "nothing was done");
  });

  test("gives no more than its maker has, and for as long", { skip: noKnife }, async () => {
    const set = (statement) => meanwhile(authority, `UPDATE grants SET ${statement} WHERE principal = '${ana.id}' AND scope = 'bridgeCert'`);
    const { id, revision } = await made(rowOf(issuer));
    try {
      for (const [end, code] of [[Math.floor(Date.now() / 1000) + 3600, "grant_too_long"], [1, "scope_not_held"]]) {
        await set(`expires_at = ${end}`);
        refused(await ana.make(rowOf(issuer)), 403, code);
        refused(await ana.edit(rowOf(issuer, { rules: [{}] }), { id, revision }), 403, code);
      }
      // What is there is the authority's, like a grant: it stays what it was.
      good(await enroll(authority, await issuer.token()));
      // And whoever lacks what it gives may take it back.
      good(await ana.remove(id));
    } finally {
      await set("expires_at = NULL");
    }
  });

  test("stays when its maker is turned away, and is listed so", { skip: noKnife }, async () => {
    const { token } = good(await ana.browser.post("/invites", { scopes: ["bridgeCert", "authorityManage"] }));
    const chen = await administrator(authority, { invite: token, displayName: "Chen" });
    good(await chen.make(rowOf(issuer)));
    good(await ana.browser.post(`/admin/principals/${chen.id}/disable`));
    const { items } = await ana.list();
    assert.deepEqual([items[1].changedByName, items[1].changedByDisabled], ["Chen", true]);
    good(await enroll(authority, await issuer.token()));
  });

  test("isn't overwritten by who knows another one", async () => {
    const { id, revision } = await made(rowOf(issuer));
    for (const wrong of [revision - 1, revision + 1, 0]) refused(await ana.edit(rowOf(issuer), { id, revision: wrong }), 409, "row_edited");
    for (const wrong of [undefined, null, "1", -1, 1.5]) refused(await ana.edit(rowOf(issuer), { id, revision: wrong }), 400, "invalid_member");
    refused(await ana.remove(id, `?revision=${revision - 1}`), 409, "row_edited");
    for (const wrong of ["x", "-1", "1&revision=2"]) refused(await ana.remove(id, `?revision=${wrong}`), 400, "invalid_query");
    const edits = await Promise.all(Array.from({ length: 10 }, (_, i) => ana.edit(rowOf(issuer, { name: `edit-${i}` }), { id, revision })));
    const [winner, ...others] = edits.filter(({ status }) => status === 200);
    assert.deepEqual([Boolean(winner), others.length], [true, 0]);
    for (const answer of edits.filter((answer) => answer !== winner)) refused(answer, 409, "row_edited");
    assert.equal((await ana.list()).items[1].revision, winner.json.revision);
    good(await ana.remove(id, `?revision=${winner.json.revision}`));
    // Of two that can't stand beside each other there is one.
    const both = await Promise.all([ana.make(rowOf(away, { jwks: away.jwks })), ana.make(rowOf(away, { jwks: issuer.jwks }))]);
    assert.deepEqual(both.map(({ status }) => status).sort(), [200, 400]);
    good(await ana.remove(both.find(({ status }) => status === 200).json.id));
  });

  test("is one of a hundred at most", async () => {
    const row = { type: "custom", issuer: "https://many.example", audience: AUDIENCE, jwks: { keys: [away.jwks.keys[0]] }, scopes: ["bridgeCert"], rules: [{}] };
    const many = await Promise.all(Array.from({ length: 103 }, (_, i) => ana.make({ ...row, name: `row-${i}` })));
    const ids = many.filter(({ status }) => status === 200).map(({ json }) => json.id);
    assert.equal(ids.length, 100);
    for (const answer of many.filter(({ status }) => status !== 200)) refused(answer, 409, "too_many_rows");
    const list = await ana.list();
    assert.equal(list.items.length, 101);
    good(await enroll(authority, await away.token({ iss: "https://many.example", sub: "one-of-many" }), { type: "custom" }));
    // Each revision was one row's.
    assert.equal(new Set(list.items.map(({ revision }) => revision)).size, 101);
  });

  test("is tried before it is there", async () => {
    const ask = async (body) => good(await ana.browser.post("/policy/test", body));
    const token = await issuer.token({ sub: "draft" });
    const { signature, rows } = await ask({ token, row: rowOf(issuer, { name: "try" }) });
    assert.deepEqual([signature, rows.length], ["valid", 2]);
    assert.deepEqual(rows[1], { row: "try", draft: true, type: "oidc", fits: true, rule: 1, subject: "job:draft", scopes: ["bridgeCert"], singleBy: "jti" });
    const { id } = await made(rowOf(issuer, { rules: [{ team: "green" }] }));
    const saved = await ask({ token });
    assert.deepEqual([saved.rows[1].id, saved.rows[1].draft, saved.rows[1].stopped], [id, undefined, "rules"]);
    // In the place of one that is there, whose keys may be others then.
    const { rows: instead, signature: by } = await ask({ token: await away.token(), row: rowOf(away, { jwks: away.jwks }), id });
    assert.deepEqual([by, instead.length, instead[1].id, instead[1].draft, instead[1].fits], ["valid", 2, id, true, true]);
    refused(await ana.browser.post("/policy/test", { token, row: {} }), 400, "invalid_row");
    refused(await ana.browser.post("/policy/test", { token, row: [] }), 400, "invalid_member");
    refused(await ana.browser.post("/policy/test", { token, row: rowOf(issuer), id: 1 }), 400, "invalid_member");
    refused(await enroll(authority, token), 403, "claims_not_permitted");
  });

  test("of a certificate's root lets in as well", { skip: noKnife }, async () => {
    const pem = await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text();
    assert.ok(new X509Certificate(pem).ca);
    const mesh = { type: "x509", name: "ours", roots: pem, scopes: ["bridgeCert"], rules: [{}] };
    await made(mesh);
    // Another row of the name would have to have the same roots, and write its subjects alike.
    const other = await ana.make({ ...mesh, subject: "{cn}" });
    refused(other, 400, "invalid_row");
    assert.match(other.json.error, /^an earlier row of this name writes its subjects otherwise$/);
    const [, item] = (await ana.list()).items;
    assert.deepEqual([item.name, item.type], ["ours", "x509"]);
  });

  test("is there after a crash, and what is half-done isn't", { skip: noKnife }, async () => {
    const { id } = await made(rowOf(issuer));
    await authority.kill9();
    await authority.restart();
    good(await enroll(authority, await issuer.token({ sub: "crash" })));
    const { revision } = (await ana.list()).items[1];
    // Into a flood of changes.
    let last = revision;
    const flood = (async () => {
      for (;;) {
        const answer = await ana.edit(rowOf(issuer, { name: `flood-${last}` }), { id, revision: last }).catch(() => undefined);
        if (answer?.status !== 200) return;
        last = answer.json.revision;
      }
    })();
    while (last < revision + 3) await new Promise((resolve) => setImmediate(resolve));
    await authority.kill9();
    await flood;
    const database = databaseOf(authority.stateDir);
    await authority.restart();
    const [[row, at]] = query(database, `SELECT row, revision FROM issuers WHERE id = '${id}'`);
    const [[of]] = query(database, "SELECT revision FROM issuers_revision");
    assert.ok(at >= last && at === of, `${at}, ${of}: what was answered is there`);
    const [line] = await ana.trail({ target: id });
    assert.deepEqual([line.action, line.details.after], ["issuer.changed", row]);
    good(await enroll(authority, await issuer.token({ sub: "crash" })));
    good(await ana.remove(id));
    await authority.kill9();
    await authority.restart();
    refused(await enroll(authority, await issuer.token({ sub: "crash" })), 401, "wrong_audience");
  });

  test("that the configuration's rows don't go with any more lets nobody in, and says why", { skip: noKnife }, async () => {
    const { id } = await made(rowOf(away, { jwks: away.jwks }));
    await authority.restart({ vars: { TRUSTED_ISSUERS: JSON.stringify([asked(issuer), rowOf(away, { jwks: issuer.jwks, rules: [{ sub: "nobody" }] })]) } });
    refused(await enroll(authority, await away.token()), 401, "invalid_signature");
    const item = (await ana.list()).items.at(-1);
    assert.deepEqual([item.id, item.problem], [id, "an earlier row has other keys for this issuer"]);
    assert.match(authority.logs(), new RegExp(`"event":"row_unusable".*${id}`));
    await authority.restart({ vars: { TRUSTED_ISSUERS: JSON.stringify([asked(issuer)]) } });
    good(await enroll(authority, await away.token()));
    assert.equal((await ana.list()).items.at(-1).problem, undefined);
  });

  test("is looked up by an index", { skip: noKnife }, () => {
    const database = databaseOf(authority.stateDir);
    const plan = (text) => query(database, `EXPLAIN QUERY PLAN ${text}`).map((row) => row.at(-1)).join("; ");
    assert.match(plan("SELECT 1 FROM issuers WHERE id = 'x' AND revision = 1"), /SEARCH issuers USING INDEX/);
    assert.doesNotMatch(plan("SELECT id, revision, row FROM issuers ORDER BY place"), /TEMP B-TREE/);
  });
});

describe("two workers before one object", { skip: THROUGH_WRANGLER && "there is one worker" }, () => {
  let issuer;
  let authority;
  let other;
  let alone;
  let ana;
  /** Makes a row through the other worker, which knows of it then. */
  let made;
  before(async () => {
    issuer = await startOidc();
    const names = ["SITE_URL", "SIGNET_AUTHORITY_URL", "NOTME_KEY_STORAGE", "NOTME_KEK_SECRET", "BOOTSTRAP_CODE", "TRUSTED_ISSUERS"];
    const modules = [
      ["src/entry.mjs", "esModule", "/src/entry.mjs"],
      ["build/index.js", "esModule", "/build/index.js"],
      ["build/index_bg.wasm", "wasm", "/build/index_bg.wasm"],
    ].map(([name, kind, path]) => `(name = "${name}", ${kind} = embed "${path}")`);
    /** The same worker once more, with the objects of others. */
    const worker = (name, objects) => {
      const bindings = [
        ...OBJECTS.map((o) => `(name = "${o.binding}", durableObjectNamespace = ${objects(o)})`),
        `(name = "ASSETS", service = "web")`,
        ...names.map((name) => `(name = "${name}", fromEnvironment = "${name}")`),
      ];
      return `(name = "${name}", worker = (compatibilityDate = "${COMPATIBILITY_DATE}", modules = [${modules}], bindings = [${bindings}], globalOutbound = "internet"))`;
    };
    const silent = `import { DurableObject } from 'cloudflare:workers'; export class Silent extends DurableObject { call() { throw new Error('down'); } } export default {};`;
    [other, alone] = [{ url: `http://127.0.0.1:${await freePort()}` }, { url: `http://127.0.0.1:${await freePort()}` }];
    const socket = (name, { url }) => `(name = "${name}", address = "${new URL(url).host}", http = (), service = "${name}")`;
    authority = await start([asked(issuer), rowOf(issuer, { audience: "https://configured.example" })], {
      services: [
        worker("other", ({ className }) => `(className = "${className}", serviceName = "main")`),
        worker("alone", () => `(className = "Silent", serviceName = "silent")`),
        `(name = "silent", worker = (compatibilityDate = "${COMPATIBILITY_DATE}", modules = [(name = "silent.mjs", esModule = "${silent}")], durableObjectNamespaces = [(className = "Silent", uniqueKey = "silent")], durableObjectStorage = (inMemory = void)))`,
      ],
      sockets: [socket("other", other), socket("alone", alone)],
    });
    ana = await administrator(authority);
    const there = new Browser(other, authority.url);
    made = async (row) => {
      there.cookie = ana.browser.cookie;
      return good(await there.post("/policy/issuers", { row }));
    };
  });
  after(async () => {
    await authority?.stop();
    await issuer?.close();
  });
  afterEach(() => ana.tidy());
  const token = (claims) => issuer.token({ sub: "both", ...claims });

  test("nobody is let in by a row that is gone, where a worker has an old copy of it", async () => {
    const { id } = await made(rowOf(issuer));
    good(await enroll(other, await token()));
    good(await ana.remove(id));
    const last = await token();
    refused(await enroll(other, last), 401, "wrong_audience");
    // The refusal used nothing up.
    const again = good(await ana.make(rowOf(issuer)));
    good(await enroll(authority, last));
    good(await ana.remove(again.id));
  });

  test("a row that is changed lets in and keeps out by what it says now, from the answer on", async () => {
    let { id, revision } = await made(rowOf(issuer, { rules: [{}] }));
    for (let i = 0; i < 3; i++) {
      const over = await challenge(other);
      const long = await token({ exp: Math.floor(Date.now() / 1000) + 3600 });
      // Whom it lets in notices nothing, and their challenge does: this worker's copy is old.
      good(await enroll(other, long, { over }));
      refused(await enroll(other, long, { over }), 400, "bad_challenge");
      ({ revision } = good(await ana.edit(rowOf(issuer, { rules: [{}], name: `change-${i}` }), { id, revision })));
    }
    good(await enroll(other, await token()));
    good(await ana.edit(rowOf(issuer, { rules: [{ team: "blue" }] }), { id, revision }));
    refused(await enroll(other, await token()), 403, "claims_not_permitted");
    good(await enroll(other, await token({ team: "blue" })));
  });

  test("who links, signs in or joins by a row that is changed meanwhile notices nothing", async () => {
    const row = (name) => rowOf(issuer, { for: "people", name });
    let { id, revision } = await made(row("before"));
    const changed = async (name) => ({ revision } = good(await ana.edit(row(name), { id, revision })));
    const at = () => new Browser(other, authority.url);
    const shown = async (browser, path, sub) => {
      const { challenge, nonce } = good(await browser.post(path));
      return { challenge, token: await issuer.token({ sub, nonce }) };
    };
    const signIn = async (sub, meanwhile) => {
      const browser = at();
      const proof = await shown(browser, "/auth/oidc/options", sub);
      await meanwhile?.();
      return browser.post("/auth/oidc/login", proof);
    };
    refused(await signIn("linked"), 403, "unknown_identity"); // the other worker knows the row by now
    const linker = at();
    linker.cookie = ana.browser.cookie;
    const { token, challenge } = await shown(linker, "/connections/options", "linked");
    await changed("linking");
    good(await linker.post("/connections", { proof: { type: "oidc", token }, challenge }));
    good(await signIn("linked", () => changed("signing in")));
    const { token: invite } = good(await ana.browser.post("/invites", {}));
    const guest = at();
    const proof = await shown(guest, "/auth/oidc/options", "joins");
    await changed("joining");
    good(await guest.post("/join", { token: invite, proof: { type: "oidc", token: proof.token }, challenge: proof.challenge }));
    // Whom the row keeps out now is told so, and not to ask again.
    const blue = await signIn("linked", async () => ({ revision } = good(await ana.edit({ ...row("blue"), rules: [{ team: "blue" }] }, { id, revision }))));
    refused(blue, 403, "claims_not_permitted");
  });

  test("a row that is removed under a flood lets nobody in who asks after the answer", async () => {
    const { id } = await made(rowOf(issuer));
    const tokens = await Promise.all(Array.from({ length: 60 }, () => token()));
    let isGone = false;
    const late = [];
    const flood = tokens.map(async (one, i) => {
      while (i >= 20 && !isGone) await new Promise((resolve) => setImmediate(resolve));
      const isLate = isGone;
      const answer = await enroll(i % 2 ? other : authority, one);
      if (isLate) late.push(answer);
    });
    good(await ana.remove(id));
    isGone = true;
    await Promise.all(flood);
    assert.ok(late.length >= 40);
    for (const answer of late) refused(answer, 401, "wrong_audience");
  });

  test("keys that a row had before count for nothing where it has others now", async () => {
    const keys = (row) => ({ issuer: "https://moved.example", ...row });
    const moved = async () => issuer.token({ iss: "https://moved.example", sub: "moved" });
    const { id, revision } = await made(rowOf(issuer, keys({ jwks_uri: `${issuer.url}/keys` })));
    good(await enroll(other, await moved()));
    good(await ana.edit(rowOf(issuer, keys({ jwks_uri: `${issuer.url}/nowhere` })), { id, revision }));
    for (const worker of [other, authority]) refused(await enroll(worker, await moved()), 503, "issuer_unavailable");
  });

  test("nobody is let in where the rows can't be looked up, not by the configuration's either", async () => {
    const answer = await enroll(alone, await token({ aud: "https://configured.example" }));
    refused(answer, 503, "rows_unavailable");
    assert.ok(answer.headers.get("retry-after"));
    good(await enroll(other, await token({ aud: "https://configured.example" })));
  });
});
