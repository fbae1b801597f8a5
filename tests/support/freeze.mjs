// Freezes the state that this build makes, for the builds that come: `node tests/support/freeze.mjs`
// writes tests/fixtures/states/<schema version>/<key storage>/. Run it once when the storage has
// changed, before the release; what is frozen is never made again.
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { startAuthority } from "./authority.mjs";
import { ES256, Passkey } from "./authenticator.mjs";
import { Browser, CODE } from "./browser.mjs";
import { Keys, enroll } from "./client.mjs";
import { playIssuer } from "./issuer.mjs";
import { FIXTURES, STORAGES, databaseOf, schemaVersion, sqlite, versionOf } from "./state.mjs";

const AUTHORITY = "https://id.example.com";
const ISSUER = "https://issuer.example.com";
const SECRET = "the secret of a frozen state, of no use to anybody";
/** 1 January 2100: rows of used proofs in a fixture must not be swept. */
const FAR = 4102444800;

const version = String(schemaVersion());
const folder = join(FIXTURES, version);
if (existsSync(folder)) {
  console.error(`${folder} is there already, and frozen`);
  process.exit(1);
}
// Whole or not at all.
const draft = mkdtempSync(join(tmpdir(), "notme-freeze-"));
for (const storage of STORAGES) await freeze(storage);
cpSync(draft, folder, { recursive: true });
rmSync(draft, { recursive: true });

async function freeze(storage) {
  const issuer = await playIssuer(ISSUER);
  const vars = {
    SIGNET_AUTHORITY_URL: AUTHORITY,
    SITE_URL: AUTHORITY,
    GHA_ISSUER: ISSUER,
    GHA_ALLOWED_OWNERS: "acme",
    BOOTSTRAP_CODE: CODE,
    NOTME_KEY_STORAGE: storage,
    ...(storage === "encrypted" ? { NOTME_KEK_SECRET: SECRET } : { NOTME_KEK_SECRET: undefined }),
  };
  const authority = await startAuthority({ vars, outbound: issuer.outbound, keep: true });
  const token = await issuer.token();
  const pair = await enroll(authority.url, token, new Keys().body(token));
  if (pair.status !== 200) throw new Error(pair.text);
  const browser = new Browser(authority, AUTHORITY);
  const passkey = new Passkey(ES256, { counter: 1 });
  const registered = await browser.register(passkey);
  if (registered.status !== 200) throw new Error(registered.text);
  const get = async (path) => (await fetch(authority.url + path)).text();
  const expected = {
    frozen: new Date().toISOString(),
    vars: Object.fromEntries(Object.entries(vars).filter(([, value]) => value !== undefined)),
    jti: JSON.parse(Buffer.from(token.split(".")[1], "base64url")).jti,
    pair: pair.json,
    passkey: passkey.freeze(),
    me: (await browser.me()).json,
    roots: await get("/.well-known/ca-bundle.pem"),
    epochs: JSON.parse(await get("/.well-known/epochs.json")),
    jwks: JSON.parse(await get("/.well-known/jwks.json")),
    bundle: JSON.parse(await get("/internal/ca-bundle")),
  };
  await authority.stop();
  // Into one file: the log is part of the state while it is there.
  const database = databaseOf(authority.stateDir);
  if (versionOf(database) !== version) throw new Error("the worker was built before the newest migration: npm run build");
  sqlite(database, `UPDATE burned SET expires_at = ${FAR}; PRAGMA wal_checkpoint(TRUNCATE)`);
  const target = join(draft, storage);
  mkdirSync(target, { recursive: true });
  cpSync(join(authority.stateDir, "objects"), join(target, "objects"), {
    recursive: true,
    filter: (name) => !/-(wal|shm)$/.test(name),
  });
  writeFileSync(join(target, "expected.json"), `${JSON.stringify(expected, null, 2)}\n`);
  const digest = createHash("sha256").update(readFileSync(databaseOf(target))).digest("hex");
  console.log(`${join(folder, storage)}: ${digest}`);
}
