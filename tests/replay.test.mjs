// A token works once: told twice, told two hundred times at once, and across a crash.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { databaseOf, noSqlite, query } from "./support/state.mjs";

const noKnife = noSqlite || (THROUGH_WRANGLER && "its state is elsewhere");

let issuer;
before(async () => {
  issuer = await startIssuer();
});
after(() => issuer?.close());

const start = () =>
  startAuthority({ allowLoopback: true, vars: { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", NOTME_LOG_LEVEL: "error" } });

test("a token is used up by its first success, whatever keys come with it", async () => {
  const authority = await start();
  try {
    const token = await issuer.token();
    const keys = new Keys();
    assert.equal((await enroll(authority.url, token, keys.body(token))).status, 200);
    for (const again of [keys, new Keys()]) {
      const answer = await enroll(authority.url, token, again.body(token));
      assert.equal(answer.status, 401);
      assert.equal(answer.json.error, "token already used");
      assert.equal(answer.json.code, "token_used");
    }
    // The same id from the same issuer is the same token, signed anew or not.
    const twin = await issuer.token({ jti: "twin", run_id: "1" });
    const other = await issuer.token({ jti: "twin", run_id: "2" });
    assert.equal((await enroll(authority.url, twin, keys.body(twin))).status, 200);
    assert.equal((await enroll(authority.url, other, keys.body(other))).json.code, "token_used");
  } finally {
    await authority.stop();
  }
});

test("of 200 uses at once exactly one succeeds", async () => {
  const authority = await start();
  try {
    const token = await issuer.token();
    const bodies = Array.from({ length: 200 }, () => new Keys().body(token));
    const answers = await Promise.all(bodies.map((body) => enroll(authority.url, token, body)));
    assert.equal(answers.filter(({ status }) => status === 200).length, 1);
    assert.equal(answers.filter(({ json }) => json?.code === "token_used").length, 199);
  } finally {
    await authority.stop();
  }
});

test("a use survives kill -9 in the middle of 200, and a restart", async () => {
  const authority = await start();
  try {
    const moments = [() => sleep(8), () => sleep(30), (asked) => Promise.race(asked), (asked) => Promise.race(asked.slice(10)), (asked) => Promise.race(asked.slice(40))];
    for (const [round, moment] of moments.entries()) {
      const id = String(1000 + round);
      const show = (token, keys) => enroll(authority.url, token, keys.body(token));
      const fresh = () => issuer.token({ repository: `acme/crash-${round}`, repository_id: id, sub: `repo:acme/crash-${round}:ref:refs/heads/main` });
      const [used, flying] = [await fresh(), await fresh()];
      assert.equal((await show(used, new Keys())).status, 200);
      const bodies = Array.from({ length: 200 }, () => new Keys().body(flying));
      // Some of these never get an answer: the process dies under them.
      const asked = bodies.map((body) => enroll(authority.url, flying, body).catch(() => ({ status: "broken" })));
      await moment(asked);
      await authority.kill9();
      const before = await Promise.all(asked);
      await authority.restart();
      assert.equal((await show(used, new Keys())).json.code, "token_used");
      const later = await Promise.all(bodies.slice(0, 20).map((body) => enroll(authority.url, flying, body)));
      const successes = [...before, ...later].filter(({ status }) => status === 200).length;
      // One success, or one whose answer the crash swallowed after it was committed.
      assert.ok(successes <= 1, `round ${round}: ${successes} successes`);
      for (const { status, text, json } of later) if (status !== 200) assert.deepEqual([status, json?.code], [401, "token_used"], text);
      assert.equal((await show(flying, new Keys())).json.code, "token_used");
      if (noKnife) continue; // that is all that a client sees
      const of = `FROM authenticators WHERE subject = 'repository:${id}'`;
      const file = databaseOf(authority.stateDir);
      assert.deepEqual(query(file, `SELECT COUNT(*) ${of}`), [[1]]);
      // One of `used`, and one of `flying`, whoever got it.
      assert.deepEqual(query(file, `SELECT COUNT(*) FROM credentials WHERE principal = (SELECT principal ${of})`), [[2]], `round ${round}`);
    }
  } finally {
    await authority.stop();
  }
});
