// The issuer's keys: fetched once, refetched when it makes sense, and never a way to make us hammer.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startAuthority } from "./support/authority.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { until } from "./support/processes.mjs";

let issuer;
let authority;

const start = (vars = {}) =>
  startAuthority({
    allowLoopback: true,
    vars: { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", NOTME_LOG_LEVEL: "error", ...vars },
  });

beforeEach(async () => {
  issuer = await startIssuer();
  authority = await start();
});
afterEach(async () => {
  await authority.stop();
  await issuer.close();
});

async function exchange(header) {
  const token = await issuer.token({}, header);
  return enroll(authority.url, token, new Keys().body(token));
}

const keyFetches = () => issuer.requests.filter((path) => path === "/.well-known/jwks").length;

function assertUnavailable(answer) {
  assert.equal(answer.status, 503, answer.text);
  assert.equal(answer.json.code, "issuer_unavailable");
  assert.match(answer.json.error, /^authority unavailable: /);
  assert.ok(Number(answer.headers.get("retry-after")) > 0);
  assert.ok(!answer.text.includes(issuer.url), "the reason is for the log");
}

test("100 first uses at once make one fetch", async () => {
  const answers = await Promise.all(Array.from({ length: 100 }, () => exchange()));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.equal(keyFetches(), 1);
});

test("a key that was just published is accepted within 15 s, during a flood of unknown ones", async () => {
  assert.equal((await exchange()).status, 200);
  await issuer.rotate();
  const published = Date.now();
  let flooding = true;
  const flood = (async () => {
    for (let i = 0; flooding; i++) {
      assert.equal((await exchange({ kid: `made-up-${i}` })).status, 401);
      await sleep(20);
    }
  })();
  let status;
  while (status !== 200 && Date.now() - published < 30_000) {
    status = (await exchange()).status;
    await sleep(200);
  }
  const took = Date.now() - published;
  flooding = false;
  await flood;
  assert.equal(status, 200);
  assert.ok(took < 15_000, `${took} ms`);
  assert.ok(keyFetches() <= 1 + Math.ceil(took / 10_000), `${keyFetches()} fetches in ${took} ms`);
});

describe("an issuer that misbehaves is unavailable, and nobody waits for ever", () => {
  const answers = {
    "an error": (path, res) => res.writeHead(500).end("secret of the issuer"),
    "a redirect": (path, res) => res.writeHead(302, { location: `${issuer.url}/.well-known/jwks` }).end(),
    "no JSON": (path, res) => res.end("<html>"),
    "a huge key set": (path, res) => {
      if (path !== "/.well-known/jwks") return false;
      const key = JSON.stringify({ kty: "RSA", kid: "x", n: "A".repeat(1000), e: "AQAB" });
      res.end(`{"keys":[${Array(1000).fill(key)}]}`);
    },
    "a broken connection": (path, res) => res.destroy(),
    "another issuer's document": (path, res) => {
      if (path === "/.well-known/jwks") return false;
      res.end(JSON.stringify({ issuer: "https://evil.example", jwks_uri: `${issuer.url}/.well-known/jwks` }));
    },
    "a document without an end": (path, res) => {
      res.write("{");
      return true;
    },
  };
  for (const [name, answer] of Object.entries(answers)) {
    test(name, async () => {
      issuer.answer = (path, res) => answer(path, res) !== false;
      const began = Date.now();
      const answersAtOnce = await Promise.all([exchange(), exchange(), exchange()]);
      answersAtOnce.forEach(assertUnavailable);
      assert.ok(Date.now() - began < 15_000);
      const asked = issuer.requests.length;
      assert.ok(asked <= 2, `asked ${asked} times`);
      // Backing off: the next one doesn't ask at all.
      assertUnavailable(await exchange());
      assert.equal(issuer.requests.length, asked);
      // It recovers by itself.
      issuer.answer = undefined;
      await sleep(10_100);
      assert.equal((await exchange()).status, 200);
    });
  }
});

test("keys at hand survive an issuer that went away", async () => {
  assert.equal((await exchange()).status, 200);
  issuer.answer = (path, res) => (res.writeHead(500).end(), true);
  assert.equal((await exchange()).status, 200);
  assert.equal((await exchange({ kid: "other" })).status, 401);
});

test("who asked first may go away while others wait for the issuer's keys, and it is asked once", async () => {
  const [first, last, ...others] = await Promise.all(
    Array.from({ length: 5 }, async () => {
      const [token, keys] = [await issuer.token(), new Keys()];
      return { token, body: JSON.stringify(keys.body(token)) };
    }),
  );
  const show = ({ token, body }) => enroll(authority.url, token, body);
  let go;
  issuer.wait = new Promise((resolve) => (go = resolve));
  const gone = new AbortController();
  const headers = { "content-type": "application/json", authorization: `Bearer ${first.token}` };
  const left = fetch(`${authority.url}/cert/gha`, { method: "POST", headers, body: first.body, signal: gone.signal });
  left.catch(() => {});
  await until(() => issuer.requests.length === 1, "a question");
  const asked = others.map(show);
  await sleep(100);
  gone.abort();
  await assert.rejects(left, { name: "AbortError" });
  await sleep(100);
  // Also one who comes after that.
  asked.push(show(last));
  issuer.wait = undefined;
  go();
  for (const answer of await Promise.all(asked)) assert.equal(answer.status, 200, answer.text);
  assert.deepEqual(issuer.requests, ["/.well-known/openid-configuration", "/.well-known/jwks"]);
});

test("GitHub Enterprise Server's issuer has a path", async () => {
  const path = "/_services/token";
  issuer.answer = (asked, res) => {
    if (asked !== `${path}/.well-known/openid-configuration`) return false;
    const document = { issuer: issuer.url + path, jwks_uri: `${issuer.url}/.well-known/jwks` };
    return res.end(JSON.stringify(document)), true;
  };
  const enterprise = await start({ GHA_ISSUER: issuer.url + path });
  try {
    const token = await issuer.token({ iss: issuer.url + path });
    assert.equal((await enroll(enterprise.url, token, new Keys().body(token))).status, 200);
    const github = await issuer.token();
    assert.equal((await enroll(enterprise.url, github, new Keys().body(github))).json.code, "wrong_issuer");
  } finally {
    await enterprise.stop();
  }
});

test("an issuer that can't be asked costs nobody a token, nor a challenge", async () => {
  const row = { issuer: issuer.url, audience: "https://id.example", scopes: ["bridgeCert"], rules: [{}] };
  const other = await start({ TRUSTED_ISSUERS: JSON.stringify([row]) });
  try {
    const post = async (path, body) => {
      const response = await fetch(other.url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
      const text = await response.text();
      return { status: response.status, headers: response.headers, text, json: JSON.parse(text) };
    };
    /** What to send with a token: it is single by itself, or by a challenge. */
    const shown = async (claims, challenge) => {
      const [token, keys] = [await issuer.token({ aud: row.audience, ...claims }), new Keys()];
      const proofs = challenge ? keys.proofsOver(keys.message(Buffer.from(challenge, "base64url"))) : keys.proofs(token);
      const body = { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs, challenge };
      return () => post("/cert", body);
    };
    const [token, keys] = [await issuer.token(), new Keys()];
    const { challenge } = (await post("/cert/challenge", {})).json;
    const ways = [
      [() => enroll(other.url, token, keys.body(token)), "token_used"],
      [await shown(), "token_used"],
      [await shown({ exp: Math.floor(Date.now() / 1000) + 3600 }, challenge), "bad_challenge"],
    ];
    issuer.answer = (path, res) => Boolean(res.writeHead(500).end());
    for (const [send] of ways) assertUnavailable(await send());
    issuer.answer = undefined;
    await until(async () => (await ways[0][0]()).status === 200, "it is asked again", 20_000);
    for (const [send, used] of ways.slice(1)) {
      const answer = await send();
      assert.equal(answer.status, 200, answer.text);
      assert.equal((await send()).json.code, used);
    }
    assert.equal((await ways[0][0]()).json.code, ways[0][1]);
  } finally {
    await other.stop();
  }
});
