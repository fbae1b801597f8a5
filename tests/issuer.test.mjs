// The issuer's keys: fetched once, refetched when it makes sense, and never a way to make us hammer.
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { startAuthority } from "./support/authority.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { startIssuer } from "./support/issuer.mjs";

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
