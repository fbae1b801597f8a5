// Clients that share nothing with us: shell, Go, and Node's TLS; and subjects and host names that
// are no ordinary ones, seen through foreign eyes.
import assert from "node:assert/strict";
import { X509Certificate, createHash, createPrivateKey, sign, verify } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";
import { startAuthority } from "./support/authority.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { VERIFIERS, execute, goProgram, keepLeaves, missing } from "./support/foreign.mjs";
import { startIssuer } from "./support/issuer.mjs";

let issuer;
let authority;
let folder;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "notme-clients-"));
  issuer = await startIssuer();
  authority = await startAuthority({ allowLoopback: true, vars: { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme" } });
});
after(async () => {
  await authority?.stop();
  await issuer?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

/** @param {string} name */
function newFolder(name) {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

const rootOf = async ({ url }) => (await fetch(`${url}/.well-known/ca-bundle.pem`)).text();

/** Enrols with Node's own keys; the request must succeed. */
async function enrolled(at, claims, options) {
  const token = await issuer.token(claims);
  const keys = new Keys();
  const { status, text, json } = await enroll(at.url, token, keys.body(token, options));
  assert.equal(status, 200, text);
  return { keys, json };
}

describe("a shell script with curl and openssl", () => {
  const skip = missing("openssl") ?? missing("curl") ?? false;

  test("enrols", { skip }, async () => {
    // A signature's number begins with a zero byte in one of 128: then it has to be padded.
    for (let run = 0; run < 3; run += 1) {
      const path = newFolder(`shell-${run}`);
      const token = await issuer.token();
      const ran = await execute("sh", [join(ROOT, "tests/clients/enrol.sh"), authority.url, path], { input: run ? `${token}\n` : token });
      assert.equal(ran.code, 0, ran.stderr);
      assert.match(ran.stdout, /^mtls\.pem: OK\nsigning\.pem: OK\n$/);
      for (const name of ["mtls", "signing"]) {
        const leaf = new X509Certificate(readFileSync(join(path, `${name}.pem`)));
        const key = createPrivateKey(readFileSync(join(path, `${name}.key`)));
        assert.ok(leaf.checkPrivateKey(key), name);
        assert.equal(leaf.subjectAltName, `URI:wimse://localhost:${authority.port}/gha/acme/app`);
      }
    }
  });

  test("is told why it is refused by its exit code", { skip }, async () => {
    const path = newFolder("shell-refused");
    const token = await issuer.token({ repository: "other/app", repository_owner: "other" });
    const ran = await execute("sh", [join(ROOT, "tests/clients/enrol.sh"), authority.url, path], { input: `${token}\n` });
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /status 403: .*repository owner not permitted/);
    assert.deepEqual(readdirSync(path), [], "nothing half made");
  });
});

describe("a client on Go's standard library", () => {
  const skip = missing("go") ?? false;

  for (const form of ["pre-image", "mixed"]) {
    test(`enrols, verifies and speaks mutual TLS with proofs in the form: ${form}`, { skip }, async () => {
      const token = await issuer.token();
      const ran = await execute(await goProgram("client"), [authority.url, form], { input: token });
      assert.equal(ran.code, 0, ran.stderr);
      const result = JSON.parse(ran.stdout);
      const identity = `wimse://localhost:${authority.port}/gha/acme/app`;
      assert.equal(result.identity, identity);
      assert.equal(result.seen, identity, "what the TLS server saw");
      assert.equal(result.issuer, `signet-authority localhost:${authority.port}`);
      assert.deepEqual(result.refused.sort(), ["none", "self-signed"]);
    });
  }

  test("is refused with a token that is not the authority's to accept", { skip }, async () => {
    const token = await issuer.token({ aud: "somebody-else" });
    const ran = await execute(await goProgram("client"), [authority.url], { input: token });
    assert.equal(ran.code, 1);
    assert.match(ran.stderr, /401.*wrong audience/);
  });
});

describe("the form of proofs that released clients send", () => {
  for (const legacy of [[], ["mtls"], ["signing"], ["mtls", "signing"]]) {
    test(`digest for: ${legacy.join(" and ") || "neither"}`, async () => {
      const { keys, json } = await enrolled(authority, {}, { legacy });
      const spki = (key) => key.export({ type: "spki", format: "der" });
      const both = Buffer.concat([spki(keys.mtls.publicKey), spki(keys.signing.publicKey)]);
      // The binding is over the keys alone, whatever the proofs were over.
      assert.equal(json.binding, createHash("sha256").update(both).digest("hex"));
    });
  }
});

describe("a TLS server on Node", () => {
  // Node makes no certificates, and the server needs one of its own.
  const skip = missing("openssl") ?? false;
  let server;
  let serverPem;
  before(async () => {
    if (skip) return;
    const path = newFolder("tls");
    const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"];
    const made = await execute("openssl", args, { cwd: path });
    assert.equal(made.code, 0, made.stderr);
    serverPem = readFileSync(join(path, "cert.pem"));
    server = tls.createServer({
      key: readFileSync(join(path, "key.pem")),
      cert: serverPem,
      ca: await rootOf(authority),
      requestCert: true,
      rejectUnauthorized: true,
    });
    server.on("secureConnection", (socket) => socket.end(socket.getPeerX509Certificate().subjectAltName));
    server.on("tlsClientError", () => {}); // the client is told, and tells
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  });
  after(() => server?.close());

  /** @returns {Promise<string>} what the server says to a client with this certificate */
  const connect = (credentials) =>
    new Promise((resolve, reject) => {
      let text = "";
      const socket = tls.connect({ ...credentials, port: server.address().port, host: "127.0.0.1", servername: "localhost", ca: serverPem });
      socket.setEncoding("utf8");
      socket.on("data", (chunk) => (text += chunk));
      socket.on("error", reject);
      // A server on Node that does not trust a certificate ends the handshake, and then hangs up.
      socket.on("close", () => (text ? resolve(text) : reject(new Error("closed without a word"))));
    });
  const key = (pair) => pair.privateKey.export({ type: "pkcs8", format: "pem" });

  test("lets the mTLS leaf in, and knows who it is", { skip }, async () => {
    const { keys, json } = await enrolled(authority);
    assert.equal(await connect({ cert: json.certificates.mtls, key: key(keys.mtls) }), `URI:${json.identity}`);
  });

  test("lets in neither nobody nor the leaf of another authority", { skip }, async () => {
    await assert.rejects(connect({}), /certificate required/i);
    const other = await startAuthority({ allowLoopback: true, vars: { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme" } });
    try {
      const { keys, json } = await enrolled(other);
      await assert.rejects(connect({ cert: json.certificates.mtls, key: key(keys.mtls) }), /closed without a word|unknown ca|ECONNRESET/i);
    } finally {
      await other.stop();
    }
  });
});

describe("the signing leaf", () => {
  test("certifies the key that signs", async () => {
    const { keys, json } = await enrolled(authority);
    const message = Buffer.from("what was agreed");
    const signature = sign(null, message, keys.signing.privateKey);
    const { publicKey } = new X509Certificate(json.certificates.signing);
    assert.ok(verify(null, message, publicKey, signature));
    assert.ok(publicKey.equals(keys.signing.publicKey));
    assert.ok(!verify(null, Buffer.from("what was not"), publicKey, signature));
  });
});

describe("a subject that would be more than a subject", () => {
  for (const sub of [
    "repo:acme/app,O=evil",
    "repo:acme/app, O=evil, CN=signet-authority",
    "repo:acme/app+O=evil",
    "repo:acme/app/O=evil/CN=root",
    "repo:acme/app;O=evil",
    "repo:acme/app\\,O=evil",
    'repo:acme/app",O="evil',
    "#0c04726f6f74",
    " leading, O=evil ",
    "CN=root,O=notme",
    "<script>O=evil</script>",
    "*.example.com",
  ]) {
    test(`stays one: ${sub}`, async () => {
      const { json } = await enrolled(authority, { sub });
      for (const name of ["mtls", "signing"]) {
        const leaf = new X509Certificate(json.certificates[name]);
        // Node escapes what is not a separator, so that these are the attributes there are.
        const attributes = leaf.toLegacyObject().subject;
        assert.deepEqual({ ...attributes }, { CN: sub, O: "notme" });
        const identity = Buffer.concat([Buffer.from([0x0c, Buffer.byteLength(sub)]), Buffer.from(sub)]);
        assert.ok(leaf.raw.includes(identity), "the subject identity");
        assert.equal(leaf.subjectAltName, `URI:${json.identity}`);
      }
    });
  }

  for (const sub of ["", "repo:acme/app\nO=evil", "repo:acme/app\r\nO=evil", "repo:acme/app\0", "\0", "repo:acme/app\u007f", "repo:acme/app\u0085", "\u001b[31mrepo"]) {
    test(`is refused: ${JSON.stringify(sub)}`, async () => {
      const token = await issuer.token({ sub });
      const answer = await enroll(authority.url, token, new Keys().body(token));
      assert.equal(answer.status, 401, answer.text);
      assert.equal(answer.json.error, "invalid token: invalid claims: sub");
    });
  }
});

describe("an authority of any name", () => {
  const long = `${"a".repeat(60)}.${"b".repeat(60)}.example.org`;
  const digest = createHash("sha256").update(`signet-authority ${long}:8443`).digest("hex").slice(0, 16);
  for (const [given, host, cn = `signet-authority ${host}`] of [
    ["https://notme.bot", "notme.bot"],
    ["https://Auth.Example.COM", "auth.example.com"],
    ["https://auth.example.com:443", "auth.example.com"],
    ["https://auth.example.com:8443", "auth.example.com:8443"],
    ["https://example.com/behind/a/prefix", "example.com"],
    ["https://xn--bcher-kva.example", "xn--bcher-kva.example"],
    ["http://127.0.0.1:8788", "127.0.0.1:8788"],
    ["http://[::1]:8788", "[::1]:8788"],
    [`https://${long}:8443`, `${long}:8443`, `${`signet-authority ${long}`.slice(0, 47)}~${digest}`],
  ]) {
    test(`issues under the name of the root that it serves: ${given.slice(0, 40)}`, async () => {
      const vars = { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", SITE_URL: given, SIGNET_AUTHORITY_URL: given };
      const named = await startAuthority({ allowLoopback: true, vars });
      try {
        const start = Date.now();
        const sub = "repo:acme/app:ref:refs/heads/main";
        const { keys, json } = await enrolled(named, { sub });
        assert.equal(json.identity, `wimse://${host}/gha/acme/app`);
        const path = newFolder(`named-${named.port}`);
        const root = { file: "root.pem", host };
        const pem = await rootOf(named);
        writeFileSync(join(path, root.file), pem);
        const certificate = new X509Certificate(pem);
        assert.deepEqual({ ...certificate.toLegacyObject().subject }, { CN: cn, O: "notme" });
        const leaves = keepLeaves({ folder: path, root, number: "0", subject: sub, keys, json, during: [start, Date.now()] });
        for (const { file } of leaves) {
          assert.equal(new X509Certificate(readFileSync(join(path, file))).issuer, certificate.subject);
        }
        for (const [name, { needs, verify: accept }] of Object.entries(VERIFIERS)) {
          if (!needs()) assert.deepEqual(await accept({ folder: path, roots: [root], leaves }), [], name);
        }
      } finally {
        await named.stop();
      }
    });
  }
});
