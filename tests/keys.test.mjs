// Where the CA key rests, and where it doesn't.
import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, randomBytes } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { startIssuer } from "./support/issuer.mjs";

const keyId = async (url) => (await (await fetch(`${url}/.well-known/jwks.json`)).json()).keys[0].kid;

/** Every byte below a folder. */
function dump(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Buffer.concat(files.map((file) => readFileSync(join(file.parentPath ?? file.path, file.name))));
}

/** All 32-byte windows of `bytes` that are the seed of `x` (the public key, base64url). */
function findSeed(bytes, x) {
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  for (let at = 0; at + 32 <= bytes.length; at++) {
    const seed = bytes.subarray(at, at + 32);
    if (seed.every((byte) => byte === 0)) continue;
    const key = createPrivateKey({ key: Buffer.concat([prefix, seed]), format: "der", type: "pkcs8" });
    if (createPublicKey(key).export({ format: "jwk" }).x === x) return Buffer.from(seed);
  }
  return undefined;
}

const forms = (seed) => ({
  raw: seed,
  hex: Buffer.from(seed.toString("hex")),
  HEX: Buffer.from(seed.toString("hex").toUpperCase()),
  base64: Buffer.from(seed.toString("base64").replace(/=+$/, "").slice(0, -1)),
  base64url: Buffer.from(seed.toString("base64url").slice(0, -1)),
});

const modes = {
  "cf-managed": { NOTME_KEY_STORAGE: "cf-managed", NOTME_KEK_SECRET: undefined },
  encrypted: { NOTME_KEY_STORAGE: "encrypted" },
  ephemeral: { NOTME_KEY_STORAGE: "ephemeral", NOTME_KEK_SECRET: undefined },
};

describe("the state folder", () => {
  for (const [mode, vars] of Object.entries(modes)) {
    test(`${mode === "cf-managed" ? "holds" : "doesn't hold"} the seed in mode ${mode}`, async () => {
      const issuer = await startIssuer();
      const authority = await startAuthority({
        allowLoopback: true,
        vars: { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", ...vars },
      });
      try {
        const [jwk] = (await (await fetch(`${authority.url}/.well-known/jwks.json`)).json()).keys;
        for (let i = 0; i < 5; i++) {
          const token = await issuer.token();
          assert.equal((await enroll(authority.url, token, new Keys().body(token))).status, 200);
        }
        await fetch(`${authority.url}/internal/ca-bundle`);
        for (const moment of ["running", "stopped"]) {
          if (moment === "stopped") await authority.kill9();
          const bytes = dump(authority.stateDir);
          assert.ok(bytes.includes(Buffer.from(jwk.kid)), "the dump has the database");
          // The search goes through every window of the dump, so it needs no help to find the seed.
          const seed = findSeed(bytes, jwk.x);
          if (mode === "cf-managed") {
            assert.ok(seed, `${moment}: the search finds a seed that is there`);
            assert.ok(bytes.includes(forms(seed).raw));
          } else {
            assert.equal(seed, undefined, `${moment}: raw`);
            for (const form of [/"d"\s*:/, /private_jwk/, /BEGIN PRIVATE KEY/]) {
              assert.doesNotMatch(bytes.toString("latin1"), form);
            }
            for (const text of bytes.toString("latin1").match(/[A-Za-z0-9+/_-]{43,}/g) ?? []) {
              assert.equal(findInText(text, jwk.x), undefined, `${moment}: as text`);
            }
          }
        }
      } finally {
        await authority.stop();
        await issuer.close();
      }
    });
  }
});

/** The seed of `x` if `text` has it in hex, base64 or base64url. */
function findInText(text, x) {
  for (let at = 0; at + 43 <= text.length; at++) {
    const found = findSeed(Buffer.from(text.slice(at, at + 43), "base64url"), x);
    if (found) return found;
    const hex = text.slice(at, at + 64);
    if (/^[0-9a-fA-F]{64}$/.test(hex)) {
      const decoded = findSeed(Buffer.from(hex, "hex"), x);
      if (decoded) return decoded;
    }
  }
  return undefined;
}

test("the search itself finds a seed in each form", () => {
  const key = createPrivateKey({
    key: Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, 7)]),
    format: "der",
    type: "pkcs8",
  });
  const { d, x } = key.export({ format: "jwk" });
  const seed = Buffer.from(d, "base64url");
  assert.ok(findSeed(Buffer.concat([randomBytes(100), seed, randomBytes(50)]), x));
  assert.ok(findInText(`xx${seed.toString("hex")}yy`, x));
  assert.ok(findInText(`xx${seed.toString("base64url")}`, x));
  assert.ok(findInText(`{"d":"${seed.toString("base64")}"}`.match(/[A-Za-z0-9+/_-]{43,}/)[0], x));
});

test("two hundred first requests at once make one key", async () => {
  const authority = await startAuthority();
  try {
    const ids = await Promise.all(Array.from({ length: 200 }, () => keyId(authority.url)));
    assert.equal(new Set(ids).size, 1);
  } finally {
    await authority.stop();
  }
  // And where the very first request isn't alone: the first answer that the harness waits for is
  // one of many here.
  for (const vars of Object.values(modes)) {
    const fresh = await startAuthority({ vars });
    try {
      await fresh.kill9();
      rmSync(join(fresh.stateDir, "objects"), { recursive: true });
      const answers = [];
      const restarted = fresh.restart();
      while (answers.length < 50) {
        answers.push(keyId(fresh.url).catch(() => undefined));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      await restarted;
      const ids = (await Promise.all(answers)).filter(Boolean);
      ids.push(await keyId(fresh.url));
      assert.equal(new Set(ids).size, 1);
      const { epochs } = await (await fetch(`${fresh.url}/.well-known/epochs.json`)).json();
      assert.equal(epochs.length, 1);
    } finally {
      await fresh.stop();
    }
  }
});

describe("an encrypted key", () => {
  const SECRETS = ["a", "b"].map((letter) => `${letter}-${randomBytes(24).toString("base64url")}`);
  const encrypted = (secret) => ({ NOTME_KEY_STORAGE: "encrypted", NOTME_KEK_SECRET: secret });

  /** Starts on a copy of a state, and gives its first answer and log. */
  async function firstAnswer(state, vars, port) {
    const stateDir = mkdtempSync(join(tmpdir(), "notme-keys-"));
    cpSync(join(state, "objects"), join(stateDir, "objects"), { recursive: true });
    const url = `http://localhost:${port}`;
    const authority = await startAuthority({
      stateDir,
      expectRefusal: true,
      vars: { SITE_URL: url, SIGNET_AUTHORITY_URL: url, ...vars },
    });
    try {
      const answer = await fetch(`${authority.url}/.well-known/jwks.json`);
      const body = await answer.json();
      return { status: answer.status, body, logs: authority.logs(), id: body.keys?.[0].kid };
    } finally {
      await authority.stop();
      rmSync(stateDir, { recursive: true });
    }
  }

  test("comes back after a restart, and only with its secret", async () => {
    const authority = await startAuthority({ vars: encrypted(SECRETS[0]) });
    try {
      const id = await keyId(authority.url);
      await authority.restart();
      assert.equal(await keyId(authority.url), id);
      await authority.kill9();
      const open = (vars) => firstAnswer(authority.stateDir, vars, authority.port);

      for (const [vars, code, log] of [
        [encrypted(SECRETS[1]), "key_unavailable", /sealed with another secret/],
        [encrypted(undefined), "misconfigured", /NOTME_KEK_SECRET is required/],
        [encrypted("short"), "misconfigured", /NOTME_KEK_SECRET is too weak/],
        [encrypted("a".repeat(64)), "misconfigured", /NOTME_KEK_SECRET is too weak/],
        [{ NOTME_KEY_STORAGE: "cf-managed", NOTME_KEK_SECRET: undefined }, "key_unavailable", /the CA key is sealed/],
        [{ NOTME_KEY_STORAGE: "ephemeral", NOTME_KEK_SECRET: undefined }, "key_unavailable", /promises that no key is stored/],
        [{ NOTME_KEY_STORAGE: "paper" }, "misconfigured", /must be encrypted, ephemeral or cf-managed/],
      ]) {
        const { status, body, logs } = await open(vars);
        assert.equal(status, 503, JSON.stringify(body));
        assert.equal(body.code, code);
        assert.match(logs, log);
        assert.doesNotMatch(logs, /key_created/, "never a new key");
        for (const secret of SECRETS) assert.ok(!logs.includes(secret));
      }
      assert.equal((await open(encrypted(SECRETS[0]))).id, id, "nothing was lost by trying");

      const changed = await open({ ...encrypted(SECRETS[1]), NOTME_KEK_SECRET_PREVIOUS: SECRETS[0] });
      assert.equal(changed.id, id, "a changed secret, with the one before it");
      assert.match(changed.logs, /key_resealed/);
    } finally {
      await authority.stop();
    }
  });

  test("is sealed in place if it was in clear", async () => {
    const authority = await startAuthority({ vars: modes["cf-managed"] });
    try {
      const id = await keyId(authority.url);
      await authority.restart({ vars: encrypted(SECRETS[0]) });
      assert.equal(await keyId(authority.url), id);
      assert.match(authority.logs(), /key_sealed/);
      await authority.restart({ vars: { NOTME_KEY_STORAGE: "cf-managed", NOTME_KEK_SECRET: undefined } }).catch(() => {});
      assert.match(authority.logs(), /the CA key is sealed/);
    } finally {
      await authority.stop();
    }
  });
});

test("a state of another authority is refused until that is meant", async () => {
  const authority = await startAuthority();
  try {
    const id = await keyId(authority.url);
    await assert.rejects(authority.restart({ vars: { SITE_URL: "https://new.example" } }), /unavailable/);
    assert.match(authority.logs(), /with the trust domain new.example/);
    const moved = { SITE_URL: "https://new.example", SIGNET_AUTHORITY_URL: "https://new.example" };
    await assert.rejects(authority.restart({ vars: moved }), /unavailable/);
    assert.match(authority.logs(), /this state belongs to http:\/\/localhost/);
    await authority.restart({ vars: { ...moved, NOTME_ALLOW_URL_CHANGE: "on" } });
    assert.equal(await keyId(authority.url), id);
    const { X509Certificate } = await import("node:crypto");
    const root = new X509Certificate(await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text());
    assert.equal(root.subject, "CN=signet-authority new.example\nO=notme");
    assert.ok(root.verify(root.publicKey));
  } finally {
    await authority.stop();
  }
});
