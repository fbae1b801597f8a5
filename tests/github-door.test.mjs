// The door for GitHub's tokens, with an API on loopback that answers as the documented one does.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { startGitHub } from "./support/github.mjs";
import { until } from "./support/processes.mjs";
import { databaseOf, everything, noSqlite, query } from "./support/state.mjs";

const OCTOCAT = { id: 583231, login: "octocat" };
const ACME = { id: 9919, login: "acme" };
const USER = "/api/v3/user";
const ORGANIZATIONS = "/api/v3/user/memberships/orgs?state=active&per_page=100";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function refused(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json?.code, code, answer.text);
}

async function post({ url }, path, body, headers = {}) {
  const response = await fetch(url + path, { method: "POST", headers: { "content-type": "application/json", ...headers }, body: JSON.stringify(body) });
  const text = await response.text();
  return { status: response.status, headers: response.headers, text, json: JSON.parse(text) };
}

const challengeOf = async (authority) => Buffer.from((await post(authority, "/cert/challenge", {})).json.challenge, "base64url");

/** Asks for a pair with a token. */
async function enroll(authority, token, { keys = new Keys(), over, proof = {}, from, ...more } = {}) {
  const challenge = over ?? (await challengeOf(authority));
  const body = {
    proof: { type: "github_pat", token, ...proof },
    public_keys: keys.publicKeys,
    proofs: keys.proofsOver(keys.message(challenge)),
    challenge: challenge.toString("base64url"),
    ...more,
  };
  return post(authority, "/cert", body, from === undefined ? {} : { "cf-connecting-ip": from });
}

const row = (rules, more = {}) => ({ type: "github_pat", scopes: ["bridgeCert"], rules, ...more });
const start = (api, rows, vars = {}) =>
  startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows), GITHUB_API_URL: api.url, ...vars } });

/** A token in the form of its kind. */
const fresh = (prefix) => prefix + randomBytes(27).toString("base64url").replaceAll(/[-_]/g, "x");

describe("a token of GitHub's", () => {
  let api;
  let authority;
  let admin;
  async function administrator() {
    const browser = new Browser(authority);
    assert.equal((await browser.register(new Passkey(ES256))).status, 200);
    return browser;
  }
  /** A new token that the API knows. */
  const known = (prefix, what) => {
    const token = fresh(prefix);
    api.tokens.set(token, what);
    return token;
  };
  const challenges = (length) => Promise.all(Array.from({ length }, () => challengeOf(authority)));
  /** Has the API wait with its answers until this is called. */
  const hold = () => {
    let go;
    api.wait = new Promise((resolve) => (go = resolve));
    return () => {
      api.wait = undefined;
      go();
    };
  };
  before(async () => {
    api = await startGitHub();
    authority = await start(api, [
      row([{ user_id: "583231", token_kind: ["classic", "fine_grained", "app_user", "oauth", "unmarked"] }], { name: "people" }),
      row([{ organization_ids: "9919", token_scopes: "read:org" }, { organization_ids: "9920" }, { app_id: "7", owner_id: "9919" }], { name: "staff" }),
    ]);
  });
  beforeEach(() => {
    api.requests.length = 0;
    api.faults.length = 0;
    api.wait = undefined;
  });
  after(async () => {
    await authority?.stop();
    await api?.close();
  });

  test("leads to its user, the same by whatever kind of token, and asks as the documentation wants", async () => {
    const seen = new Set();
    for (const [prefix, scopes] of [["ghp_", "repo, user"], ["github_pat_"], ["gho_", "read:org"], ["ghu_"], ["0123456789abcdef", ""]]) {
      const { status, json, text } = await enroll(authority, known(prefix, { user: OCTOCAT, scopes }));
      assert.equal(status, 200, text);
      assert.equal(json.identity, `wimse://localhost:${authority.port}/principal/${json.principal_id}`);
      assert.deepEqual([json.auth_method, json.scopes], [`github_pat:${api.url}`, ["bridgeCert"]]);
      seen.add(json.principal_id);
    }
    assert.equal(seen.size, 1);
    // Who took the name is somebody else, and who changed theirs is the same.
    refused(await enroll(authority, known("ghp_", { user: { ...OCTOCAT, id: 2 } })), 403, "claims_not_permitted");
    const renamed = await enroll(authority, known("ghp_", { user: { ...OCTOCAT, login: "monalisa" } }));
    assert.ok(seen.has(renamed.json.principal_id), renamed.text);
    assert.deepEqual(api.faults, []);
    assert.deepEqual([...new Set(api.requests.map(({ path }) => path))], [USER, ORGANIZATIONS]);
  });

  test("lets members of an organisation in, by its id, who are members at this moment", async () => {
    const member = (organizations, more = {}) => enroll(authority, known("ghp_", { user: { id: 77, login: "hub" }, scopes: "repo, read:org", organizations, ...more }));
    assert.equal((await member([{ id: 1, login: "other" }, ACME])).status, 200);
    for (const organizations of [[], [{ ...ACME, id: 1 }], [{ ...ACME, state: "pending" }]]) {
      refused(await member(organizations), 403, "claims_not_permitted");
    }
    refused(await member([ACME], { scopes: "repo" }), 403, "claims_not_permitted");
    refused(await member([ACME], { scopes: undefined }), 403, "claims_not_permitted");
    assert.equal((await member([{ id: 9920, login: "acme-labs" }], { scopes: undefined })).status, 200);
    refused(await member([ACME], { mayNotList: true }), 403, "claims_not_permitted");
  });

  test("that an app holds for somebody is worth nothing, unless a rule asks for such tokens", async () => {
    const staff = { user: { id: 77, login: "hub" }, scopes: "read:org", organizations: [ACME] };
    assert.equal((await enroll(authority, known("ghp_", staff))).status, 200);
    for (const prefix of ["gho_", "ghu_", "0123456789abcdef"]) refused(await enroll(authority, known(prefix, staff)), 403, "claims_not_permitted");
  });

  test("of an app leads to the app, and that of its installation to nobody", async () => {
    const app = { id: 7, slug: "octoapp", owner: ACME };
    const jwt = () => known(`${fresh("eyJ")}.${fresh("eyJ")}.`, { app });
    const { status, json, text } = await enroll(authority, jwt());
    assert.equal(status, 200, text);
    assert.equal((await enroll(authority, jwt())).json.principal_id, json.principal_id);
    assert.deepEqual([...new Set(api.requests.map(({ path }) => path))], ["/api/v3/app"]);
    const others = { ...app, id: 583231 }; // an app with a user's number
    refused(await enroll(authority, known("a.b.", { app: others })), 403, "claims_not_permitted");
    refused(await enroll(authority, known("a.b.", { app: { ...app, owner: { ...ACME, id: 1 } } })), 403, "claims_not_permitted");
    api.requests.length = 0;
    for (const prefix of ["ghs_", "ghr_"]) refused(await enroll(authority, known(prefix, { user: OCTOCAT })), 400, "unsupported_token");
    assert.deepEqual(api.requests, [], "nobody was asked");
  });

  test("needs a challenge, which makes it single, also for 20 at once", async () => {
    const token = known("ghp_", { user: OCTOCAT, scopes: "" });
    const keys = new Keys();
    const bare = { proof: { type: "github_pat", token }, public_keys: keys.publicKeys };
    refused(await post(authority, "/cert", { ...bare, proofs: keys.proofs(token) }), 400, "challenge_required");
    assert.deepEqual(api.requests, []);
    const over = await challengeOf(authority);
    const answers = await Promise.all(Array.from({ length: 20 }, () => enroll(authority, token, { keys, over })));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 400, "bad_challenge");
    refused(await enroll(authority, token, { keys, over }), 400, "bad_challenge");
    refused(await enroll(authority, token, { over: randomBytes(32) }), 400, "bad_challenge");
    // Another's keys, and another's proofs.
    const mine = await challengeOf(authority);
    refused(await enroll(authority, token, { over: mine, public_keys: new Keys().publicKeys }), 401, "p256_possession_failed");
    refused(await enroll(authority, token, { over: mine }), 400, "bad_challenge");
  });

  test("is tried by administrators, and isn't used up or told", async () => {
    admin ??= await administrator();
    const ask = async (token) => admin.post("/policy/test", { token });
    const mine = known("ghp_", { user: OCTOCAT, scopes: "repo", organizations: [] });
    const { status, text, json } = await ask(mine);
    assert.equal(status, 200, text);
    assert.deepEqual(json, {
      signature: "valid",
      rows: [
        { row: "people", type: "github_pat", fits: true, rule: 1, subject: "user:583231", scopes: ["bridgeCert"], singleBy: "challenge" },
        { row: "staff", type: "github_pat", fits: false, stopped: "rules", why: ["rule 1: `organization_ids` isn't what it has to be", "rule 2: `organization_ids` isn't what it has to be", "rule 3: `app_id` isn't what it has to be"] },
      ],
    });
    assert.deepEqual([api.requests.map(({ path }) => path), api.faults], [["/api/v3/user", "/api/v3/user/memberships/orgs?state=active&per_page=100"], []]);
    // One that any app of the user's could hold needs a rule that asks for such.
    const oauth = (await ask(known("gho_", { user: { id: 9, login: "x" }, scopes: "read:org", organizations: [ACME] }))).json;
    assert.deepEqual(oauth.rows.map(({ fits, stopped }) => [fits, stopped]), [[false, "rules"], [false, "rules"]]);
    assert.match(oauth.rows[1].why[0], /`token_kind`/);
    const both = (await ask(known("ghp_", { user: OCTOCAT, scopes: "read:org", organizations: [ACME] }))).json;
    assert.deepEqual(both.rows.map(({ fits, stopped }) => [fits, stopped]), [[true, undefined], [false, "order"]]);
    assert.deepEqual((await ask(fresh("ghp_"))).json, { signature: "invalid", rows: [] });
    refused(await ask(fresh("ghs_")), 400, "unsupported_token");
    refused(await new Browser(authority).post("/policy/test", { token: mine }), 401, "no_session");
    assert.equal((await enroll(authority, mine)).status, 200);
    for (const secret of [mine]) assert.ok(!authority.logs().includes(secret));
  });

  test("is single across a kill -9 in the middle of 20, and makes one principal", { skip: noSqlite }, async () => {
    const moments = [() => sleep(8), (asked) => Promise.race(asked), (asked) => Promise.race(asked.slice(8))];
    for (const [round, moment] of moments.entries()) {
      const id = 7700 + round;
      const token = known("ghp_", { user: { id, login: "hub" }, scopes: "read:org", organizations: [ACME] });
      const used = { keys: new Keys(), over: await challengeOf(authority) };
      assert.equal((await enroll(authority, token, used)).status, 200);
      const flying = { keys: new Keys(), over: await challengeOf(authority) };
      const asked = Array.from({ length: 20 }, () => enroll(authority, token, flying).catch(() => ({ status: 0 })));
      await moment(asked);
      await authority.kill9();
      const answers = await Promise.all(asked);
      await authority.restart();
      refused(await enroll(authority, token, used), 400, "bad_challenge");
      const again = await enroll(authority, token, flying);
      assert.ok([...answers, again].filter(({ status }) => status === 200).length <= 1, `round ${round}`);
      if (again.status !== 200) refused(again, 400, "bad_challenge");
      refused(await enroll(authority, token, flying), 400, "bad_challenge");
      const of = `FROM authenticators WHERE kind = 'github_pat' AND subject = 'user:${id}'`;
      const file = databaseOf(authority.stateDir);
      assert.deepEqual(query(file, `SELECT COUNT(*) ${of}`), [[1]]);
      // One of `used`, and one of `flying`, though the crash may have swallowed its answer.
      assert.deepEqual(query(file, `SELECT COUNT(*) FROM credentials WHERE principal = (SELECT principal ${of})`), [[2]], `round ${round}`);
    }
  });

  test("that GitHub doesn't take is refused, and GitHub isn't asked about it again and again", async () => {
    const token = fresh("ghp_");
    const over = await challengeOf(authority);
    refused(await enroll(authority, token, { over }), 401, "token_refused");
    refused(await enroll(authority, token), 401, "token_refused");
    const answers = await Promise.all(Array.from({ length: 30 }, () => enroll(authority, token)));
    for (const answer of answers) refused(answer, 401, "token_refused");
    assert.equal(api.requests.length, 1);
    api.tokens.set(token, { user: OCTOCAT });
    refused(await enroll(authority, known("ghp_", { user: OCTOCAT, scopes: "" }), { over }), 400, "bad_challenge");
    for (const status of [403, 404]) {
      refused(await enroll(authority, known("ghp_", { misbehaves: { status } })), 401, "token_refused");
    }
  });

  test("while GitHub can't answer costs nothing, and says when to come again", async () => {
    const now = Math.floor(Date.now() / 1000);
    const over = await challengeOf(authority);
    const limited = { "x-ratelimit-remaining": "0", "x-ratelimit-reset": String(now + 100) };
    for (const [misbehaves, wait] of [
      [{ status: 500 }, [10, 10]],
      [{ status: 503, headers: { "retry-after": "7" } }, [7, 7]],
      [{ status: 302, headers: { location: "http://127.0.0.1:1/user" } }, [10, 10]],
      [{ status: 301, headers: { location: `${api.url}/user` } }, [10, 10]],
      [{ status: 200, body: "{" }, [10, 10]],
      [{ status: 200, body: "[]" }, [10, 10]],
      [{ status: 200, body: { id: "583231", login: "octocat" } }, [10, 10]],
      [{ status: 200, body: { id: 583231.5 } }, [10, 10]],
      [{ status: 200, body: { id: -1 } }, [10, 10]],
      [{ status: 200, body: { id: 583231, bio: "x".repeat(600_000) } }, [10, 10]],
      [{ status: 429 }, [60, 60]],
      [{ status: 403, headers: { "retry-after": "30" } }, [30, 30]],
      [{ status: 429, headers: { "retry-after": "99999999" } }, [3600, 3600]],
      [{ status: 403, headers: limited }, [80, 100]],
    ]) {
      api.requests.length = 0;
      const answer = await enroll(authority, known("ghp_", { user: OCTOCAT, scopes: "", misbehaves }), { over });
      refused(answer, 503, "api_unavailable");
      const after = Number(answer.headers.get("retry-after"));
      assert.ok(after >= wait[0] && after <= wait[1], `${JSON.stringify(misbehaves)}: ${after}`);
      assert.doesNotMatch(answer.text, /127\.0\.0\.1/);
      // A redirect leads nowhere, and what is too long isn't looked at.
      if (misbehaves.status !== 200 || misbehaves.body.bio) assert.equal(api.requests.length, 1);
    }
    // One that doesn't answer at all is given up, and whoever waited with others waited no longer.
    const token = known("ghp_", { user: OCTOCAT, scopes: "" });
    const go = hold();
    api.requests.length = 0;
    const began = performance.now();
    const answers = await Promise.all([over, ...(await challenges(9))].map((over) => enroll(authority, token, { over })));
    for (const answer of answers) refused(answer, 503, "api_unavailable");
    const waited = performance.now() - began;
    assert.ok(waited > 4000 && waited < 15_000, String(waited));
    assert.equal(api.requests.length, 1);
    go();
    // That there was no answer is kept for a moment, and the challenge for longer.
    await until(async () => {
      const answer = await enroll(authority, token, { over });
      if (answer.status !== 200) refused(answer, 503, "api_unavailable");
      return answer.status === 200;
    }, "a pair");
  });

  test("is one question, however many show it at once: good, bad, or out of order", async () => {
    for (const [what, status, code, paths] of [
      [{ user: OCTOCAT, scopes: "" }, 200, undefined, [USER, ORGANIZATIONS]],
      [undefined, 401, "token_refused", [USER]],
      [{ misbehaves: { status: 500 } }, 503, "api_unavailable", [USER]],
      [{ misbehaves: { status: 404 } }, 401, "token_refused", [USER]],
    ]) {
      // What failed is kept for a second: a machine that is too busy for all 20 in that time would show nothing.
      await until(async () => {
        const token = known("ghp_", what);
        if (!what) api.tokens.delete(token);
        const over = await challenges(20);
        api.requests.length = 0;
        const go = hold();
        const asked = over.map((over) => enroll(authority, token, { over }));
        await until(() => api.requests.length > 0, "a question");
        await sleep(300); // the others come meanwhile
        go();
        const released = performance.now();
        for (const answer of await Promise.all(asked)) {
          assert.deepEqual([answer.status, answer.json.code], [status, code], answer.text);
        }
        return performance.now() - released < 900;
      }, "20 proofs in a moment");
      assert.deepEqual(api.requests.map(({ path }) => path), paths, `${status}`);
    }
  });

  test("is asked about to the end when whoever showed it first is gone", async () => {
    const token = known("ghp_", { user: OCTOCAT, scopes: "" });
    const [first, ...others] = await challenges(5);
    const keys = new Keys();
    const body = JSON.stringify({
      proof: { type: "github_pat", token },
      public_keys: keys.publicKeys,
      proofs: keys.proofsOver(keys.message(first)),
      challenge: first.toString("base64url"),
    });
    const gone = new AbortController();
    const go = hold();
    const left = fetch(`${authority.url}/cert`, { method: "POST", headers: { "content-type": "application/json" }, body, signal: gone.signal });
    left.catch(() => {});
    await until(() => api.requests.length === 1, "a question");
    const asked = others.map((over) => enroll(authority, token, { over }));
    await sleep(300);
    gone.abort();
    await assert.rejects(left, { name: "AbortError" });
    await sleep(100);
    go();
    for (const answer of await Promise.all(asked)) assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(api.requests.map(({ path }) => path), [USER, ORGANIZATIONS]);
  });

  test("that is good is asked about once in five seconds, and leads nowhere soon after GitHub takes it back", async () => {
    let token;
    // On a machine that is too busy for two pairs in four seconds this would show nothing.
    await until(async () => {
      token = known("ghp_", { user: OCTOCAT, scopes: "" });
      api.requests.length = 0;
      const began = performance.now();
      for (const over of await challenges(2)) assert.equal((await enroll(authority, token, { over })).status, 200);
      return performance.now() - began < 4000;
    }, "two pairs in a moment", 60_000);
    assert.deepEqual(api.requests.map(({ path }) => path), [USER, ORGANIZATIONS]);
    api.tokens.delete(token);
    await until(async () => {
      const answer = await enroll(authority, token);
      if (answer.status !== 200) refused(answer, 401, "token_refused");
      return answer.status === 401;
    }, "a refusal", 15_000);
  });

  test("in too many hands at once makes no more questions than is good", async () => {
    const token = () => known("ghp_", { user: OCTOCAT, scopes: "" });
    const over = await challenges(200);
    const most = 16 * 6;
    const go = hold();
    let refusals = 0;
    const asked = over.map(async (over) => {
      const answer = await enroll(authority, token(), { over });
      refusals += answer.status === 503 ? 1 : 0;
      return answer;
    });
    const first = await Promise.race(asked);
    refused(first, 503, "api_unavailable");
    await until(() => refusals >= 200 - most, "refusals");
    assert.ok(api.requests.length <= most, String(api.requests.length));
    go();
    const answers = await Promise.all(asked);
    const good = answers.filter(({ status }) => status === 200).length;
    assert.ok(good > 0 && good <= most, String(good));
    for (const answer of answers.filter(({ status }) => status !== 200)) refused(answer, 503, "api_unavailable");
  });

  test("made up by the dozen is asked about no more, for whoever makes them up", async () => {
    const good = () => known("ghp_", { user: OCTOCAT, scopes: "" });
    const [mine, theirs] = ["2001:db8:7::1", "192.0.2.77"];
    let answer;
    let over;
    let tries = 0;
    const began = performance.now();
    await until(async () => {
      over = await challengeOf(authority);
      answer = await enroll(authority, fresh("ghp_"), { from: `2001:db8:7::${(tries += 1)}`, over });
      if (answer.status !== 429) refused(answer, 401, "token_refused");
      return answer.status === 429;
    }, "a limit");
    refused(answer, 429, "too_many_requests");
    assert.match(answer.headers.get("retry-after"), /^([1-9]|1[0-2])$/);
    // Five at once of each of sixteen objects, and one in twelve seconds.
    assert.ok(tries > 5 && tries <= 16 * (6 + (performance.now() - began) / 12_000), String(tries));
    assert.equal((await enroll(authority, good(), { from: theirs })).status, 200, "another source");
    // What is known already nobody is asked about; and having to wait cost no challenge.
    await until(async () => {
      const token = good();
      assert.equal((await enroll(authority, token, { from: theirs })).status, 200);
      const { status } = await enroll(authority, token, { from: mine, over });
      return status === 200;
    }, "a pair");
  });

  test("of the wrong form is told so, and sent to nobody", async () => {
    for (const token of [undefined, null, "", 7, ["ghp_x"], {}]) refused(await enroll(authority, token), 400, "missing_proof_token");
    for (const token of ["ghp_ x", "ghp_x\r\nX-Evil: 1", "ghp_é", "ghp_\u0000", "a/b", "x".repeat(2049)]) refused(await enroll(authority, token), 400, "invalid_member");
    const token = known("ghp_", { user: OCTOCAT });
    refused(await enroll(authority, token, { public_keys: undefined }), 400, "missing_public_keys");
    refused(await enroll(authority, token, { public_keys: { mtls: "x", signing: "y" } }), 400, "invalid_public_key");
    refused(await enroll(authority, token, { credential: "token" }), 400, "invalid_member");
    assert.deepEqual(api.requests, []);
  });

  test("that was let in is let in by its principal's grants, and turned away with it", async () => {
    const browser = (admin ??= await administrator());
    const token = known("ghp_", { user: OCTOCAT, scopes: "" });
    const { json } = await enroll(authority, token);
    refused(await enroll(authority, token, { scopes: ["authorityManage"] }), 403, "scopes_not_granted");
    assert.equal((await browser.post(`/admin/principals/${json.principal_id}/disable`, {})).status, 200);
    refused(await enroll(authority, token), 403, "turned_away");
    assert.equal((await browser.post(`/admin/principals/${json.principal_id}/enable`, {})).status, 200);
    assert.equal((await enroll(authority, token)).status, 200);
  });

  test("stays nowhere: not in logs, not in storage, not in answers", { skip: noSqlite }, async () => {
    const tokens = [...api.tokens.keys()].filter((token) => token.length > 20);
    assert.ok(tokens.length > 10);
    await authority.restart({ vars: { NOTME_LOG_LEVEL: "debug" } });
    const good = known("ghp_", { user: OCTOCAT, scopes: "" });
    const down = known("ghp_", { misbehaves: { status: 500, body: good } });
    tokens.push(good, down, fresh("ghp_"), `${fresh("ghp_")} `);
    for (const token of tokens.slice(-4)) {
      const { text } = await enroll(authority, token);
      assert.ok(!text.includes(token), text);
    }
    const folder = join(authority.stateDir, "objects");
    const files = readdirSync(folder, { recursive: true }).map((name) => join(folder, name)).filter((path) => statSync(path).isFile());
    assert.ok(files.some((path) => path.endsWith(".sqlite")));
    const kept = [authority.logs(), everything(databaseOf(authority.stateDir)), ...files.map((path) => readFileSync(path, "latin1"))];
    for (const token of tokens) for (const text of kept) assert.ok(!text.includes(token.slice(4)), "a token was kept");
  });
});

describe("without its API or its rows", () => {
  test("a token of GitHub's leads nowhere", async () => {
    const api = await startGitHub();
    const token = fresh("ghp_");
    api.tokens.set(token, { user: OCTOCAT });
    const authority = await start(api, []);
    try {
      refused(await enroll(authority, token), 403, "claims_not_permitted");
      assert.deepEqual(api.requests, []);
      await authority.restart({ vars: { TRUSTED_ISSUERS: JSON.stringify([row([{ user_id: "583231" }])]) } });
      assert.equal((await enroll(authority, token)).status, 200);
      assert.deepEqual(api.requests.map(({ path }) => path), [USER], "organisations are asked for where a rule looks at them");
      await api.close();
      const over = await challengeOf(authority);
      refused(await enroll(authority, fresh("ghp_"), { over }), 503, "api_unavailable");
    } finally {
      await authority.stop();
      await api.close();
    }
  });

  test("rows that pin nothing, and addresses that are none, stop the authority", async () => {
    const stopped = async (rows, vars = {}) => {
      const authority = await startAuthority({ expectRefusal: true, vars: { TRUSTED_ISSUERS: JSON.stringify(rows), ...vars } });
      const logs = authority.logs();
      await authority.stop();
      return logs;
    };
    for (const [rules, problem] of [
      [[{}], /row 1: rule 1: must pin app_id or organization_ids or owner_id or user_id/],
      [[{ login: "octocat" }], /must pin/],
      [[{ user_id: "58*" }], /must pin/],
      [[{ user_id: "1" }, { organizations: "acme" }], /rule 2: must pin/],
    ]) {
      assert.match(await stopped([row(rules)]), problem);
    }
    assert.match(await stopped([row([{ user_id: "1" }], { audience: "x" })]), /audience is no member of a row of type github_pat/);
    for (const url of ["http://github.example.com/api/v3", "ftp://x", "api.github.com"]) assert.match(await stopped([], { GITHUB_API_URL: url }), /GITHUB_API_URL /);
  });
});
