// A state that somebody changed, or that another build made: refused with a reason, never repaired
// into a new CA. Python's sqlite3 plays somebody.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { startIssuer } from "./support/issuer.mjs";

const skip = spawnSync("python3", ["-c", "import sqlite3"]).status === 0 ? false : "python3 with sqlite3 is not installed";

/** Runs statements on the signing object's database; nobody else may have it open. */
function change(stateDir, statements) {
  const folder = join(stateDir, "objects/signing-authority");
  const file = readdirSync(folder).find((name) => /^[0-9a-f]{64}\.sqlite$/.test(name));
  const program = "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit(); c.close()";
  execFileSync("python3", ["-c", program, join(folder, file), statements]);
}

let issuer;
before(async () => {
  issuer = await startIssuer();
});
after(() => issuer?.close());

const start = () => startAuthority({ allowLoopback: true, vars: { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme" } });

describe("a state that was changed", { skip }, () => {
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
        change(authority.stateDir, statements);
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
      change(authority.stateDir, "UPDATE authority SET forgotten_before = unixepoch() + 86400");
      await authority.restart();
      const answer = await enroll(authority.url, token, body);
      assert.equal(answer.json.code, "token_used", answer.text);
    } finally {
      await authority.stop();
    }
  });

  test("after ephemeral keys, with the current row gone, starts no epoch anew", async () => {
    const authority = await startAuthority({ vars: { NOTME_KEY_STORAGE: "ephemeral", NOTME_KEK_SECRET: undefined } });
    try {
      await authority.restart();
      await authority.kill9();
      change(authority.stateDir, "DELETE FROM signing_keys WHERE retired_at IS NULL");
      await assert.rejects(authority.restart());
      assert.match(authority.logs(), /the CA key's row is gone/);
    } finally {
      await authority.stop();
    }
  });
});
