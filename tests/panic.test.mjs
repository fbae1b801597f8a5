// After a panic the next request works, nobody hangs, and a key that was in memory is replaced in a
// new epoch. The worker under test is the real one, built with the feature `panic-probe`.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { buildPanicProbe } from "../tools/build.mjs";
import { startAuthority } from "./support/authority.mjs";

let build;
let authority;
before(async () => {
  build = await buildPanicProbe();
  authority = await startAuthority({ build });
});
after(() => authority?.stop());

/** Nobody waits longer than this. */
const PATIENCE = 5_000;

const get = (url, path, headers = {}) => fetch(url + path, { headers, signal: AbortSignal.timeout(PATIENCE) });
const kid = async (url) => (await (await get(url, "/.well-known/jwks.json")).json()).keys[0].kid;

for (const where of ["worker", "worker-later", "worker-stack", "object", "object-stack"]) {
  test(`a panic in the ${where} is a 500, and the next request works`, async () => {
    const before = await kid(authority.url);
    for (let i = 0; i < 3; i++) {
      const answer = await get(authority.url, "/health", { "x-panic": where });
      assert.equal(answer.status, 500);
      assert.deepEqual(await answer.json(), { error: "internal error", code: "internal" });
      assert.equal(answer.headers.get("cache-control"), "no-store");
      assert.equal(await (await get(authority.url, "/health")).text(), "ok");
      assert.equal(await kid(authority.url), before, "a sealed key outlives a panic");
    }
  });
}

test("requests in flight get an answer, whoever panics beside them", async () => {
  for (const where of ["worker", "worker-later", "worker-stack", "object", "object-stack"]) {
    const calls = Array.from({ length: 100 }, (_, i) =>
      get(authority.url, "/.well-known/jwks.json", i % 10 === 5 ? { "x-panic": where } : {}).then(async (answer) => {
        await answer.text();
        return answer.status;
      }),
    );
    const statuses = await Promise.all(calls);
    assert.ok(statuses.every((status) => [200, 500, 503].includes(status)), `${where}: ${statuses}`);
    assert.ok(statuses.includes(200) && statuses.includes(500));
    assert.equal((await get(authority.url, "/.well-known/jwks.json")).status, 200);
  }
});

test("a key that was in memory only is lost with the instance, and the epoch moves", async () => {
  const ephemeral = await startAuthority({ build, vars: { NOTME_KEY_STORAGE: "ephemeral", NOTME_KEK_SECRET: undefined } });
  try {
    const before = await kid(ephemeral.url);
    assert.equal((await get(ephemeral.url, "/health", { "x-panic": "object" })).status, 500);
    const { epochs } = await (await get(ephemeral.url, "/.well-known/epochs.json")).json();
    assert.deepEqual(epochs.map(({ epoch }) => epoch), [1, 2]);
    assert.equal(epochs[0].keyId, before);
    assert.equal(await kid(ephemeral.url), epochs[1].keyId);
    assert.match(ephemeral.logs(), /"event":"key_lost"/);
  } finally {
    await ephemeral.stop();
  }
});

test("the release build has no such switch", async () => {
  const release = await startAuthority();
  try {
    assert.equal((await get(release.url, "/health", { "x-panic": "worker" })).status, 200);
  } finally {
    await release.stop();
  }
});
