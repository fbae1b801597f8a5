// What every other black-box test relies on: authorities that start, stop, crash and come back.
import assert from "node:assert/strict";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { isAlive, until } from "./support/processes.mjs";

test("an authority answers, and leaves neither process nor state", async () => {
  const authority = await startAuthority();
  const { pid, stateDir } = authority;
  assert.equal((await fetch(`${authority.url}/.well-known/jwks.json`)).status, 200);
  assert.ok(isAlive(pid));
  await authority.stop();
  assert.ok(!isAlive(pid));
  assert.ok(!existsSync(stateDir));
  await assert.rejects(fetch(authority.url));
});

test("its configuration file holds no secret", async () => {
  const authority = await startAuthority({ vars: { NOTME_KEK_SECRET: "a-secret-that-no-file-may-ever-hold" } });
  try {
    const text = readFileSync(join(authority.stateDir, "workerd.capnp"), "utf8");
    assert.match(text, /fromEnvironment = "NOTME_KEK_SECRET"/);
    assert.doesNotMatch(text, /a-secret-that/);
  } finally {
    await authority.stop();
  }
});

test("an authority that crashed comes back on its port and state", async () => {
  const authority = await startAuthority({ keep: true });
  try {
    const { pid, url, stateDir } = authority;
    await authority.kill9();
    assert.ok(!isAlive(pid));
    assert.ok(existsSync(stateDir));
    await authority.restart();
    assert.notEqual(authority.pid, pid);
    assert.equal(authority.url, url);
    assert.equal((await fetch(`${url}/.well-known/jwks.json`)).status, 200);
  } finally {
    await authority.stop();
  }
  assert.ok(existsSync(authority.stateDir), "kept");
  rmSync(authority.stateDir, { recursive: true });
});

test("two authorities run side by side", async () => {
  const [a, b] = await Promise.all([startAuthority(), startAuthority()]);
  try {
    assert.notEqual(a.port, b.port);
    assert.notEqual(a.stateDir, b.stateDir);
    assert.equal((await fetch(`${b.url}/.well-known/jwks.json`)).status, 200);
  } finally {
    await a.stop();
    await b.stop();
  }
});

test("the log has what NOTME_LOG_LEVEL asks for, and request ids", async () => {
  const authority = await startAuthority();
  const lines = () => authority.logs().split("\n").filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  try {
    const refused = async () => (await fetch(`${authority.url}/nowhere`)).headers.get("x-request-id");
    const about = (id) => lines().filter((line) => line.request_id === id).map(({ event }) => event);
    for (const [level, events] of [["error", []], ["warn", []], ["info", ["refused"]], ["debug", ["refused", "answered"]]]) {
      await authority.restart({ vars: { NOTME_LOG_LEVEL: level } });
      const id = await refused();
      await until(() => about(id).length === events.length, `${level}: ${about(id)}`);
      assert.deepEqual(about(id), events, level);
    }
    assert.ok(lines().every(({ time, level, event }) => new Date(time).toISOString() === time && ["error", "warn", "info", "debug"].includes(level) && event));
    const token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0aaaaaaaaaaaaaaaa.c2ln";
    await fetch(`${authority.url}/cert/${token}`);
    await until(() => lines().some(({ path }) => path === "/cert/…"), "a strayed token");
    assert.ok(!authority.logs().includes(token.slice(0, 20)));
    await authority.restart({ vars: { NOTME_LOG_LEVEL: "error", NOTME_KEK_SECRET: "another secret, of which the key knows nothing" } }).catch(() => {});
    await until(() => lines().some(({ level, code }) => level === "error" && code === "key_unavailable"), "a fault");
  } finally {
    await authority.stop();
  }
});
