// A state that somebody changed, or that another build made: refused with a reason, never repaired
// into a new CA. Python's sqlite3 plays somebody.
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser } from "./support/browser.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { playIssuer, startIssuer } from "./support/issuer.mjs";
import { FIXTURES, STORAGES, databaseOf, noSqlite, schemaVersion, sqlite, versionOf } from "./support/state.mjs";

let issuer;
before(async () => {
  issuer = await startIssuer();
});
after(() => issuer?.close());

const start = () => startAuthority({ allowLoopback: true, vars: { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme" } });

describe("a state that was changed", { skip: noSqlite }, () => {
  for (const [what, statements, reason] of [
    ["without the key's row", "DELETE FROM signing_keys", /the CA key's row is gone/],
    ["with another public key", "UPDATE signing_keys SET public_key = zeroblob(32)", /doesn't belong to its public key/],
    ["with another key id", "UPDATE signing_keys SET key_id = 'x'", /damaged|another|doesn't belong/],
    ["with a damaged root", "UPDATE signing_keys SET root = x'00'", /the root certificate isn't the CA key's/],
    ["with a damaged key", "UPDATE signing_keys SET private_key = x'00'", /the sealed CA key is damaged/],
    ["without a private key", "UPDATE signing_keys SET private_key = NULL", /the CA key's row is damaged/],
    ["of a newer build", "UPDATE schema_version SET version = 99", /run a newer build/],
  ]) {
    test(`${what} is refused`, async () => {
      const authority = await start();
      try {
        await authority.kill9();
        sqlite(databaseOf(authority.stateDir), statements);
        await assert.rejects(authority.restart(), /key_unavailable|authority unavailable/);
        assert.match(authority.logs(), reason);
        assert.equal(authority.logs().match(/"event":"key_created"/g).length, 1, "no new key");
      } finally {
        await authority.stop();
      }
    });
  }

  test("whose used proofs were forgotten accepts no proof from before that", async () => {
    const authority = await start();
    try {
      const token = await issuer.token();
      const body = new Keys().body(token);
      await authority.kill9();
      // As if a clock that was ahead by a day had swept, and was put right again.
      sqlite(databaseOf(authority.stateDir), "UPDATE authority SET forgotten_before = unixepoch() + 86400");
      await authority.restart();
      const answer = await enroll(authority.url, token, body);
      assert.deepEqual([answer.status, answer.json.code], [503, "clock_went_back"], answer.text);
      assert.match(authority.logs(), /the clock was ahead once/);
      // As docs/storage.md says.
      await authority.kill9();
      const remedy = /"(DELETE FROM secrets[^"]*)"/.exec(readFileSync(join(ROOT, "docs/storage.md"), "utf8"))[1].replaceAll("\\\n", "");
      sqlite(databaseOf(authority.stateDir), remedy);
      await authority.restart();
      assert.equal((await enroll(authority.url, token, body)).status, 200);
    } finally {
      await authority.stop();
    }
  });

  test("after ephemeral keys, with the current row gone, starts no epoch anew", async () => {
    const authority = await startAuthority({ vars: { NOTME_KEY_STORAGE: "ephemeral", NOTME_KEK_SECRET: undefined } });
    try {
      await authority.restart();
      await authority.kill9();
      sqlite(databaseOf(authority.stateDir), "DELETE FROM signing_keys WHERE retired_at IS NULL");
      await assert.rejects(authority.restart());
      assert.match(authority.logs(), /the CA key's row is gone/);
    } finally {
      await authority.stop();
    }
  });
});

// Every storage that was ever released is opened by this build. The fixtures were made by
// support/freeze.mjs and are never made again.
const frozen = readdirSync(FIXTURES).flatMap((version) => readdirSync(join(FIXTURES, version)).map((storage) => [version, storage]));
for (const [version, storage] of frozen) {
  describe(`a state of storage version ${version} with an ${storage} key`, () => {
    const fixture = join(FIXTURES, version, storage);
    const expected = JSON.parse(readFileSync(join(fixture, "expected.json"), "utf8"));
    let authority;
    let played;
    let folder;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), "notme-frozen-"));
      cpSync(join(fixture, "objects"), join(folder, "objects"), { recursive: true });
      played = await playIssuer(expected.vars.GHA_ISSUER);
      const vars = { NOTME_KEK_SECRET: undefined, ...expected.vars };
      authority = await startAuthority({ stateDir: folder, vars, outbound: played.outbound });
    });
    after(async () => {
      await authority?.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    const get = async (path) => (await fetch(authority.url + path)).text();
    const exchange = async (claims) => {
      const token = await played.token(claims);
      return enroll(authority.url, token, new Keys().body(token));
    };
    const isKept = storage !== "ephemeral";

    test("keeps its keys, or knows those that are gone", async () => {
      const epochs = JSON.parse(await get("/.well-known/epochs.json"));
      if (isKept) {
        assert.deepEqual(epochs, expected.epochs);
        assert.deepEqual(JSON.parse(await get("/.well-known/jwks.json")), expected.jwks);
        assert.equal(await get("/.well-known/ca-bundle.pem"), expected.roots);
      } else {
        const [before, now] = epochs.epochs;
        assert.deepEqual({ ...before, retiredAt: null }, expected.epochs.epochs[0]);
        assert.ok(before.retiredAt > 0 && now.retiredAt === null && now.epoch === before.epoch + 1);
      }
    });

    test("issues what its root verifies", async () => {
      const answer = await exchange();
      assert.equal(answer.status, 200, answer.text);
      const root = new X509Certificate(isKept ? expected.roots : await get("/.well-known/ca-bundle.pem"));
      for (const pem of Object.values(answer.json.certificates)) assert.ok(new X509Certificate(pem).verify(root.publicKey));
      assert.equal(answer.json.authority.epoch, expected.pair.authority.epoch + (isKept ? 0 : 1));
    });

    test("refuses the proof that was used before", async () => {
      const answer = await exchange({ jti: expected.jti });
      assert.equal(answer.json.code, "token_used", answer.text);
    });

    // Before version 2 there were none.
    const withPeople = expected.passkey ? test : () => {};
    withPeople("knows its people", async () => {
      const browser = new Browser(authority, expected.vars.SIGNET_AUTHORITY_URL);
      const signedIn = await browser.signIn(Passkey.thaw(expected.passkey));
      assert.equal(signedIn.status, 200, signedIn.text);
      const { json: me } = await browser.me();
      for (const name of ["userId", "displayName", "scopes", "isAdmin"]) assert.deepEqual(me[name], expected.me[name], name);
      assert.equal((await browser.register(new Passkey(ES256))).json.code, "registration_closed");
    });

    test("goes on counting bundles", async () => {
      const bundle = JSON.parse(await get("/internal/ca-bundle"));
      // What was frozen a moment ago is still fresh, and its bundle stands.
      const isFresh = isKept && Date.parse(expected.frozen) > Date.now() - 200_000;
      assert.ok(bundle.seqno >= expected.bundle.seqno + (isFresh ? 0 : 1), `${bundle.seqno}`);
      assert.equal(bundle.keyId === expected.bundle.keyId, isKept);
    });
  });
}

test("every storage version has its frozen states, and they are of that version", { skip: noSqlite }, () => {
  const versions = Array.from({ length: schemaVersion() }, (_, i) => String(i + 1));
  assert.deepEqual(new Set(readdirSync(FIXTURES)), new Set(versions));
  for (const version of versions) {
    assert.deepEqual(readdirSync(join(FIXTURES, version)).sort(), STORAGES);
    for (const storage of STORAGES) assert.equal(versionOf(databaseOf(join(FIXTURES, version, storage))), version);
  }
});
