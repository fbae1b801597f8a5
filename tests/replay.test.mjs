// A token works once: told twice, told two hundred times at once, and across a crash.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { startIssuer } from "./support/issuer.mjs";

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
    for (let round = 0; round < 5; round++) {
      const token = await issuer.token();
      const bodies = Array.from({ length: 200 }, () => new Keys().body(token));
      // Some of these never get an answer: the process dies under them.
      const answers = bodies.map((body) =>
        enroll(authority.url, token, body).then(
          ({ status }) => status,
          () => "broken",
        ),
      );
      await Promise.race(answers.slice(0, 1 + round * 10));
      await authority.kill9();
      const before = await Promise.all(answers);
      await authority.restart();
      const later = await Promise.all(bodies.slice(0, 20).map((body) => enroll(authority.url, token, body)));
      const successes = [...before, ...later.map(({ status }) => status)].filter((status) => status === 200).length;
      // One success, or one whose answer the crash swallowed after it was committed.
      assert.ok(successes <= 1, `round ${round}: ${successes} successes`);
      if (before.includes(200)) assert.ok(later.every(({ json }) => json.code === "token_used"), `round ${round}`);
      assert.ok(later.every(({ status }) => status === 200 || status === 401));
    }
  } finally {
    await authority.stop();
  }
});
