// The command-line client against a real authority: what it writes, what it refuses, how it ends.
import assert from "node:assert/strict";
import { X509Certificate, createPrivateKey } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { after, before, describe, test } from "node:test";
import { decodeJwt } from "jose";
import { CACHE, ROOT } from "../tools/lib/places.mjs";
import { freePort, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { startBetween } from "./support/between.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys, enroll } from "./support/client.mjs";
import { execute, missing } from "./support/foreign.mjs";
import { startGitHub } from "./support/github.mjs";
import { startIssuer } from "./support/issuer.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Pki } from "./support/pki.mjs";
import { cleanEnvironment } from "./support/processes.mjs";

const FILES = ["mtls.key", "mtls.pem", "root.pem", "signing.key", "signing.pem"];
const REFUSED = 1;
const USAGE = 2;
const UNAVAILABLE = 3;
const LOCAL = 4;

let program;
let folder;
let issuer;
let authority;

before(async () => {
  const target = resolve(ROOT, process.env.CARGO_TARGET_DIR || join(CACHE, "target"));
  const env = { ...process.env, CARGO_TARGET_DIR: target };
  const built = await execute("cargo", ["build", "--quiet", "--package", "notme-cli"], { cwd: ROOT, env });
  assert.equal(built.code, 0, built.stderr);
  program = join(target, "debug/notme");
  folder = mkdtempSync(join(tmpdir(), "notme-cli-"));
  issuer = await startIssuer();
  authority = await newAuthority();
});
after(async () => {
  await authority?.stop();
  await issuer?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

const newAuthority = (vars = {}) =>
  startAuthority({ allowLoopback: true, vars: { GHA_ISSUER: issuer.url, GHA_ALLOWED_OWNERS: "acme", ...vars } });

let count = 0;
const newPath = (name) => join(folder, `${(count += 1)}-${name}`);

/** @param {string | Buffer} content */
function newFile(content, name = "file") {
  const path = newPath(name);
  writeFileSync(path, content);
  return path;
}

/** Runs the client, with nothing of GitHub's in its environment unless it is given. */
async function notme(args, { env = {}, input } = {}) {
  const clean = cleanEnvironment({
    ACTIONS_ID_TOKEN_REQUEST_URL: undefined,
    ACTIONS_ID_TOKEN_REQUEST_TOKEN: undefined,
    ...env,
  });
  return execute(program, args, { env: clean, input });
}

/** No proxy of whoever runs the tests. */
const noProxy = Object.fromEntries(["HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY", "NO_PROXY"].flatMap((name) => [name, name.toLowerCase()].map((each) => [each, undefined])));

/** That it failed in this way: the exit code, and one line with the stable code. */
function failed(ran, exit, code) {
  assert.equal(ran.code, exit, `${ran.stdout}${ran.stderr}`);
  assert.match(ran.stderr, new RegExp(`^notme: [^\\n]+ \\[${code}\\]\\n$`));
}

const enrolArgs = (out, token, url = authority.url) => ["enroll", "--authority", url, "--token-file", newFile(token, "token"), "--out", out];

/** A pair that was enrolled by the client. */
async function pair(url = authority.url) {
  const out = newPath("pair");
  const ran = await notme(enrolArgs(out, await issuer.token(), url));
  assert.equal(ran.code, 0, ran.stderr);
  return { out, mtls: join(out, "mtls.pem"), signing: join(out, "signing.pem"), root: join(out, "root.pem") };
}

/** Why no program can be made to fail by strace here, if so. */
async function cannotTrace() {
  if (missing("strace")) return missing("strace");
  const { code } = await execute("strace", ["-f", "-qq", "-o", "/dev/null", "true"]);
  return code ? "strace is not permitted" : false;
}

const mode = (path) => (statSync(path).mode & 0o7777).toString(8);

describe("enrolling", () => {
  test("with a token from a file writes a pair that is its keys', for nobody else to read", async () => {
    const out = newPath("deep/er");
    const token = await issuer.token();
    const ran = await notme(enrolArgs(out, `${token}\n`));
    assert.equal(ran.code, 0, ran.stderr);
    assert.ok(!`${ran.stdout}${ran.stderr}`.includes(token));
    assert.deepEqual(readdirSync(out).sort(), FILES);
    assert.equal(mode(out), "700");
    for (const name of FILES) assert.equal(mode(join(out, name)), name.endsWith(".key") ? "600" : "644", name);
    for (const name of ["mtls", "signing"]) {
      const leaf = new X509Certificate(readFileSync(join(out, `${name}.pem`)));
      assert.ok(leaf.checkPrivateKey(createPrivateKey(readFileSync(join(out, `${name}.key`)))), name);
      assert.equal(leaf.subjectAltName, `URI:wimse://localhost:${authority.port}/gha/acme/app`);
    }
    assert.equal(readFileSync(join(out, "root.pem"), "utf8").trim(), await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text());
  });

  test("gives what openssl verifies, and keys that match", { skip: missing("openssl") ?? false }, async () => {
    const { out } = await pair();
    const openssl = async (...args) => {
      const ran = await execute("openssl", args, { cwd: out });
      assert.equal(ran.code, 0, ran.stderr);
      return ran.stdout;
    };
    assert.match(await openssl("verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", "root.pem", "-purpose", "sslclient", "mtls.pem"), /OK/);
    assert.match(await openssl("verify", "-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", "root.pem", "signing.pem"), /OK/);
    for (const name of ["mtls", "signing"]) {
      assert.equal(await openssl("pkey", "-in", `${name}.key`, "-pubout"), await openssl("x509", "-in", `${name}.pem`, "-noout", "-pubkey"));
    }
  });

  test("permissions do not depend on the umask", async () => {
    for (const umask of ["000", "077"]) {
      const out = newPath("umask");
      const args = enrolArgs(out, await issuer.token());
      const ran = await execute("sh", ["-c", `umask ${umask}; exec "$0" "$@"`, program, ...args]);
      assert.equal(ran.code, 0, ran.stderr);
      assert.deepEqual(["", "mtls.key", "signing.key", "mtls.pem"].map((name) => mode(join(out, name))), ["700", "600", "600", "644"]);
    }
  });

  test("takes the token from a variable, or from standard input", async () => {
    const args = (more) => ["enroll", "--authority", authority.url, "--out", newPath("out"), ...more];
    const byVariable = await notme(args(["--token-env", "MY_TOKEN"]), { env: { MY_TOKEN: await issuer.token() } });
    assert.equal(byVariable.code, 0, byVariable.stderr);
    const byInput = await notme(args(["--token-file", "-"]), { input: `${await issuer.token()}\n` });
    assert.equal(byInput.code, 0, byInput.stderr);
  });

  describe("as a job on GitHub", () => {
    let github;
    let asked;
    let answer;
    before(async () => {
      github = createServer(async (req, res) => {
        asked.push({ url: req.url, authorization: req.headers.authorization });
        const [status, body] = await answer(new URL(req.url, "http://x").searchParams.get("audience"));
        res.writeHead(status, { "content-type": "application/json" }).end(body);
      });
      await new Promise((done) => github.listen(0, "127.0.0.1", done));
    });
    after(() => github?.close());

    async function asJob(args = []) {
      asked = [];
      const env = {
        ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${github.address().port}/token?api-version=2.0`,
        ACTIONS_ID_TOKEN_REQUEST_TOKEN: "bearer-of-the-job",
      };
      return notme(["enroll", "--authority", authority.url, "--out", newPath("job"), ...args], { env });
    }

    test("asks for a token for the audience that the authority publishes", async () => {
      answer = async (aud) => [200, JSON.stringify({ count: 1, value: await issuer.token({ aud }) })];
      const ran = await asJob();
      assert.equal(ran.code, 0, ran.stderr);
      assert.deepEqual(asked, [{ url: "/token?api-version=2.0&audience=notme.bot", authorization: "Bearer bearer-of-the-job" }]);
    });

    test("asks for another audience when told so, and the authority refuses it", async () => {
      answer = async (aud) => [200, JSON.stringify({ value: await issuer.token({ aud }) })];
      const ran = await asJob(["--audience", "some body&x=1"]);
      failed(ran, REFUSED, "[a-z_]+");
      assert.match(ran.stderr, /wrong audience/);
      assert.equal(asked[0].url, "/token?api-version=2.0&audience=some%20body%26x%3D1");
    });

    test("is told when GitHub gives no token, and not with what", async () => {
      for (const [status, body] of [[403, "{}"], [200, "no JSON"], [200, '{"value":"none"}'], [302, "{}"]]) {
        answer = async () => [status, body];
        const ran = await asJob();
        failed(ran, UNAVAILABLE, "token_request");
        assert.doesNotMatch(ran.stderr, /bearer-of-the-job|api-version/);
      }
    });
  });

  test("never overwrites unless forced, and finds out before the token is used", async () => {
    const { out, mtls } = await pair();
    const earlier = readFileSync(mtls, "utf8");
    const args = enrolArgs(out, await issuer.token());
    failed(await notme(args), LOCAL, "exists");
    assert.equal(readFileSync(mtls, "utf8"), earlier);
    const forced = await notme([...args, "--force"]);
    assert.equal(forced.code, 0, forced.stderr);
    assert.notEqual(readFileSync(mtls, "utf8"), earlier);
    assert.deepEqual(readdirSync(out).sort(), FILES);
    const leaf = new X509Certificate(readFileSync(mtls));
    assert.ok(leaf.checkPrivateKey(createPrivateKey(readFileSync(join(out, "mtls.key")))));
  });

  test("--json says what was written, and how it failed", async () => {
    const out = newPath("json");
    const args = [...enrolArgs(out, await issuer.token()), "--json"];
    const ran = await notme(args);
    const said = JSON.parse(ran.stdout);
    const leaf = new X509Certificate(readFileSync(join(out, "mtls.pem")));
    assert.equal(said.ok, true);
    assert.equal(said.identity, `wimse://localhost:${authority.port}/gha/acme/app`);
    assert.equal(said.subject, "repo:acme/app:ref:refs/heads/main");
    assert.deepEqual(said.scopes, ["bridgeCert"]);
    assert.equal(said.expires_at * 1000, Date.parse(leaf.validTo));
    assert.equal(said.authority.url, authority.url);
    assert.deepEqual(Object.values(said.files).sort(), FILES.map((name) => join(out, name)));
    const again = await notme(args);
    assert.equal(again.code, LOCAL);
    const error = JSON.parse(again.stdout);
    assert.deepEqual([error.ok, error.code], [false, "exists"]);
  });

  test("--print-certs leaves no file and no key", async () => {
    const cwd = newPath("cwd");
    mkdirSync(cwd);
    for (const more of [[], ["--json"]]) {
      const args = ["enroll", "--authority", authority.url, "--token-file", newFile(await issuer.token()), "--print-certs", ...more];
      const ran = await execute(program, args, { cwd });
      assert.equal(ran.code, 0, ran.stderr);
      assert.doesNotMatch(ran.stdout, /PRIVATE/);
      const text = more.length ? Object.values(JSON.parse(ran.stdout).certificates).join("\n") : ran.stdout;
      const pems = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
      assert.deepEqual(pems.map((pem) => new X509Certificate(pem).publicKey.asymmetricKeyType), ["ec", "ed25519"]);
    }
    assert.deepEqual(readdirSync(cwd), []);
  });

  test("an owner that is not permitted is told so", async () => {
    const out = newPath("refused");
    const token = await issuer.token({ repository: "other/app", repository_owner: "other" });
    const ran = await notme(enrolArgs(out, token));
    assert.equal(ran.code, REFUSED);
    assert.match(ran.stderr, /^notme: the authority refuses with status 403: .*not permitted \[[a-z_]+\]\n$/);
    assert.ok(!ran.stderr.includes(token));
    assert.ok(!existsSync(out));
  });

  test("a token is good once", async () => {
    const token = await issuer.token();
    assert.equal((await notme(enrolArgs(newPath("once"), token))).code, 0);
    failed(await notme(enrolArgs(newPath("twice"), token)), REFUSED, "token_used");
  });

  test("what is no token is not sent", async () => {
    const ran = await notme(enrolArgs(newPath("none"), "not-a-token"));
    failed(ran, USAGE, "token_malformed");
    assert.doesNotMatch(ran.stderr, /not-a-token/);
    const none = ["enroll", "--authority", authority.url, "--out", newPath("none")];
    failed(await notme(none), USAGE, "token_missing");
    failed(await notme([...none, "--token-env", "NOT_SET"]), USAGE, "token_missing");
    failed(await notme([...none, "--token-file", newPath("nowhere")]), LOCAL, "token_file");
  });

  test("a token in the wrong place is not repeated", async () => {
    const token = await issuer.token();
    const args = ["enroll", "--authority", authority.url, "--out", newPath("out")];
    for (const [exit, line] of [
      [USAGE, [...args, "--token-env", token]],
      [USAGE, [...args, token]],
      [USAGE, [...args, `--token=${token}`]],
      [USAGE, [...args, `-${token}`]],
      [USAGE, [...args, `--${token}`]],
      [USAGE, [...args, `--json=${token}`]],
      [USAGE, [token]],
      [USAGE, ["verify", "cert", "--at", token]],
      [LOCAL, ["verify", token, "--authority", authority.url]],
      [LOCAL, [...args, "--token-file", token]],
      [LOCAL, [...args, "--ca", token, "--token-file", newFile(token)]],
      [USAGE, ["enroll", "--authority", token, "--out", newPath("out"), "--token-file", newFile(token)]],
    ]) {
      for (const json of line[0] === token ? [[]] : [[], ["--json"]]) {
        const ran = await notme([...line, ...json]);
        assert.equal(ran.code, exit, ran.stderr);
        for (const part of token.split(".")) assert.ok(!`${ran.stdout}${ran.stderr}`.includes(part), ran.stderr);
      }
    }
  });

  test("an authority that is down, or not to be trusted with a token, gets none", async () => {
    const token = await issuer.token();
    const out = newPath("down");
    failed(await notme(enrolArgs(out, token, `http://127.0.0.1:${await freePort()}`)), UNAVAILABLE, "unreachable");
    failed(await notme(enrolArgs(out, token, "http://id.example")), USAGE, "authority_url");
    failed(await notme(enrolArgs(out, token, authority.url.replace("localhost", "127.0.0.1"))), REFUSED, "other_issuer");
    assert.ok(!existsSync(out));
    assert.equal((await notme(enrolArgs(out, token))).code, 0, "the token was not used");
  });

  test("a proxy that is named is used, and if it cannot be used nothing goes past it", async () => {
    const asked = [];
    const proxy = createServer();
    proxy.on("connect", (req, socket) => {
      asked.push(req.url);
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
    });
    await new Promise((done) => proxy.listen(0, "127.0.0.1", done));
    const good = `http://127.0.0.1:${proxy.address().port}`;
    try {
      const token = await issuer.token();
      const away = enrolArgs(newPath("away"), token, "https://id.invalid");
      for (const [exit, code, env] of [
        [UNAVAILABLE, "unreachable", { HTTPS_PROXY: good, ALL_PROXY: "socks5://127.0.0.1:1" }],
        [UNAVAILABLE, "unreachable", { https_proxy: good, HTTPS_PROXY: "" }],
        [UNAVAILABLE, "unreachable", { all_proxy: good, HTTP_PROXY: "what://127.0.0.1:1" }],
        [UNAVAILABLE, "unreachable", { HTTP_PROXY: good.replace("http://", "") }],
      ]) {
        failed(await notme(away, { env: { ...noProxy, ...env } }), exit, code);
        assert.deepEqual(asked.splice(0), ["id.invalid:443"], JSON.stringify(env));
      }
      for (const env of [{ HTTPS_PROXY: "socks5://u:secret@127.0.0.1:1" }, { ALL_PROXY: "socks5h://127.0.0.1:1" }, { HTTP_PROXY: "what://x" }, { https_proxy: "http://", ALL_PROXY: good }]) {
        const ran = await notme(away, { env: { ...noProxy, ...env } });
        failed(ran, USAGE, "proxy");
        assert.doesNotMatch(ran.stderr, /secret/);
        failed(await notme(away, { env: { ...noProxy, ...env, NO_PROXY: "x.example, .invalid" } }), UNAVAILABLE, "unreachable");
        const job = { ...noProxy, ...env, ACTIONS_ID_TOKEN_REQUEST_URL: "https://github.invalid/", ACTIONS_ID_TOKEN_REQUEST_TOKEN: "bearer" };
        failed(await notme(["enroll", "--authority", authority.url, "--out", newPath("job")], { env: job }), USAGE, "proxy");
      }
      assert.deepEqual(asked, []);
      const here = await notme(enrolArgs(newPath("here"), token), { env: { ...noProxy, HTTPS_PROXY: "socks5://127.0.0.1:1" } });
      assert.equal(here.code, 0, here.stderr);
    } finally {
      proxy.close();
    }
  });

  test("a folder that cannot be made costs no token", async () => {
    const token = await issuer.token();
    failed(await notme(enrolArgs(join(newFile("x"), "out"), token)), LOCAL, "unwritable");
    assert.equal((await notme(enrolArgs(newPath("out"), token))).code, 0);
  });

  test("a folder that others may write to costs no token", async () => {
    const token = await issuer.token();
    const shared = newPath("shared");
    mkdirSync(shared);
    chmodSync(shared, 0o777);
    failed(await notme(enrolArgs(shared, token)), LOCAL, "unsafe_folder");
    failed(await notme(enrolArgs(join(shared, "deep/er"), token)), LOCAL, "unsafe_folder");
    assert.deepEqual(readdirSync(shared), []);
    chmodSync(shared, 0o1777);
    const ran = await notme(enrolArgs(shared, token));
    assert.equal(ran.code, 0, ran.stderr);
  });

  test("a file system that has no hard links, or a file that cannot be moved, costs no token", async (t) => {
    const why = await cannotTrace();
    if (why) return t.skip(why);
    const { out, mtls } = await pair();
    const before = readFileSync(mtls, "utf8");
    const token = await issuer.token();
    for (const call of ["link,linkat", "rename,renameat,renameat2"]) {
      const traced = await execute("strace", ["-f", "-qq", "-o", "/dev/null", "-e", `inject=${call}:error=EPERM`, program, ...enrolArgs(out, token), "--force"]);
      failed(traced, LOCAL, "unwritable");
      assert.equal(readFileSync(mtls, "utf8"), before);
      assert.deepEqual(readdirSync(out).sort(), FILES);
    }
    const ran = await notme([...enrolArgs(out, token), "--force"]);
    assert.equal(ran.code, 0, ran.stderr);
  });

  describe("through somebody in between", () => {
    let between;
    let url;
    before(async () => {
      between = await startBetween(authority);
      ({ url } = between);
    });
    after(() => between?.close());

    /** Enrols while the answer of one path is changed. */
    async function through(path, change, more = []) {
      between.seen = [];
      between.tamper = async (at, ...exchange) => (at === path ? change(...exchange) : undefined);
      const out = newPath("between");
      const ran = await notme([...enrolArgs(out, await issuer.token(), url), ...more]);
      return { ran, out };
    }
    const changedJson = (change) => async (text) => {
      const json = JSON.parse(text);
      await change(json);
      return { text: JSON.stringify(json) };
    };

    test("nothing is amiss if nothing is changed", async () => {
      const { ran } = await through("/none", () => undefined);
      assert.equal(ran.code, 0, ran.stderr);
    });

    /** A pair of the same authority, over other keys. */
    async function foreign() {
      const token = await issuer.token();
      const keys = new Keys();
      return (await enroll(authority.url, token, keys.body(token))).json;
    }

    const changes = {
      "an mTLS certificate over another key": [/the mTLS certificate is over another key/, async (json) => void (json.certificates.mtls = (await foreign()).certificates.mtls)],
      "a signing certificate over another key": [/the signing certificate is over another key/, async (json) => void (json.certificates.signing = (await foreign()).certificates.signing)],
      "a whole other pair": [/over another key/, async (json) => void Object.assign(json, await foreign())],
      "swapped certificates": [/over another key/, (json) => void (json.certificates = { mtls: json.certificates.signing, signing: json.certificates.mtls })],
      "another identity": [/identity/, (json) => void (json.identity = json.identity.replace("acme", "evil"))],
      "another binding": [/its binding/, (json) => void (json.binding = "0".repeat(64))],
      "another expiry": [/expire at another time/, (json) => void (json.expires_at += 1)],
      "another epoch": [/its epoch/, (json) => void (json.authority.epoch += 1)],
      "another key id": [/another key of the authority/, (json) => void (json.authority.key_id = "0".repeat(32))],
      "further scopes": [/its scopes/, (json) => void json.scopes.push("authorityManage")],
    };
    for (const [what, [words, change]] of Object.entries(changes)) {
      test(`${what}: refused, and nothing is written`, async () => {
        const { ran, out } = await through("/cert/gha", changedJson(change));
        failed(ran, REFUSED, "bad_answer");
        assert.match(ran.stderr, words);
        assert.ok(!existsSync(out));
      });
    }

    test("a certificate that was changed is refused", async () => {
      const flip = (pem) => {
        const der = new X509Certificate(pem).raw;
        der[der.length - 1] ^= 1;
        return `-----BEGIN CERTIFICATE-----\n${der.toString("base64")}\n-----END CERTIFICATE-----`;
      };
      const { ran, out } = await through("/cert/gha", changedJson((json) => void (json.certificates.mtls = flip(json.certificates.mtls))));
      failed(ran, REFUSED, "bad_signature");
      assert.ok(!existsSync(out));
    });

    test("a root that is not the pinned one is of no use to it", async () => {
      const other = await newAuthority();
      try {
        const pin = newFile(await (await fetch(`${other.url}/.well-known/ca-bundle.pem`)).text());
        const { ran, out } = await through("/none", () => undefined, ["--ca", pin]);
        failed(ran, REFUSED, "bundle_unknown_key");
        assert.ok(!existsSync(out));
        assert.ok(!between.seen.includes("/cert/gha"), "the token was not used");
      } finally {
        await other.stop();
      }
    });

    test("of two roots that are pinned the first one issues", async () => {
      const other = await newAuthority();
      try {
        const [ours, theirs] = await Promise.all([authority, other].map(async (at) => (await fetch(`${at.url}/.well-known/ca-bundle.pem`)).text()));
        const pin = newFile(`${ours}\n${theirs}\n`);
        const { ran, out } = await through("/cert/gha", async (_, authorization, body) => {
          const answer = await fetch(`${other.url}/cert/gha`, { method: "POST", headers: { "content-type": "application/json", authorization }, body });
          assert.equal(answer.status, 200);
          return { text: await answer.text() };
        }, ["--ca", pin]);
        failed(ran, REFUSED, "bad_answer");
        assert.match(ran.stderr, /root that isn't the current one/);
        assert.ok(!existsSync(out));
      } finally {
        await other.stop();
      }
    });

    test("certificates are written in our words, however the authority wrote them", async () => {
      const pem = /^(-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]{64}\n)*[A-Za-z0-9+/=]{1,64}\n-----END CERTIFICATE-----\n)+$/;
      const odd = (text) => ` \r\n${text.replace(/\n(?=[A-Za-z0-9])/g, "\r\n\t ")}\r\n`;
      for (const [path, change] of [
        ["/.well-known/ca-bundle.pem", (text) => ({ text: odd(text) })],
        ["/cert/gha", changedJson(({ certificates }) => void Object.entries(certificates).forEach(([name, text]) => (certificates[name] = odd(text))))],
      ]) {
        const { ran, out } = await through(path, change);
        assert.equal(ran.code, 0, ran.stderr);
        for (const name of ["mtls.pem", "signing.pem", "root.pem"]) assert.match(readFileSync(join(out, name), "utf8"), pem, name);
      }
    });

    test("an authority that shows an old, changed or no revocation bundle gets no token", async () => {
      for (const [change, exit, code] of [
        [changedJson((json) => void (json.seqno += 1)), REFUSED, "bundle_signature"],
        [changedJson((json) => void (json.epoch += 1)), REFUSED, "bundle_signature"],
        [() => ({ text: "{}" }), REFUSED, "bundle_malformed"],
        [() => ({ status: 503, text: "{}" }), UNAVAILABLE, "authority_unavailable"],
      ]) {
        const { ran, out } = await through("/internal/ca-bundle", change);
        failed(ran, exit, code);
        assert.ok(!existsSync(out));
        assert.ok(!between.seen.includes("/cert/gha"), code);
      }
    });

    test("an endpoint somewhere else gets no token", async () => {
      const { ran } = await through("/.well-known/signet-authority.json", (text) => ({ text: text.replace(`${url}/cert/gha`, "https://elsewhere.example/cert/gha") }));
      failed(ran, REFUSED, "bad_answer");
      assert.ok(!between.seen.includes("/cert/gha"));
    });

    test("a redirect is not followed", async () => {
      const { ran } = await through("/cert/gha", () => ({ status: 307, headers: { location: `${authority.url}/cert/gha` }, text: "" }));
      failed(ran, UNAVAILABLE, "authority_unavailable");
    });

    test("more than a mebibyte is not read", async () => {
      const { ran } = await through("/.well-known/ca-bundle.pem", () => ({ text: "x".repeat(2 << 20) }));
      failed(ran, UNAVAILABLE, "unreachable");
      assert.match(ran.stderr, /1 MiB/);
    });

    test("a token that is sent back is not printed", async () => {
      let token;
      const { ran } = await through("/cert/gha", (_, authorization) => {
        token = authorization.slice("Bearer ".length);
        return { status: 401, text: JSON.stringify({ error: `\u001b[31mno: ${token}`, code: "no" }) };
      }, ["--json"]);
      failed(ran, REFUSED, "no");
      assert.ok(token.length > 100);
      for (const part of token.split(".")) assert.ok(!`${ran.stdout}${ran.stderr}`.includes(part));
      assert.ok(!ran.stderr.includes("\u001b"));
    });
  });
});

describe("behind a proxy that ends TLS", { skip: missing("openssl") ?? false }, () => {
  let behind;
  let proxy;
  let url;
  let trust;
  let certificates;
  before(async () => {
    const openssl = async (...args) => assert.equal((await execute("openssl", args)).code, 0);
    const ca = { key: newPath("ca.key"), cert: newPath("ca.pem") };
    const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    await openssl("req", "-x509", ...fresh, "-days", "2", "-subj", "/CN=a house", "-keyout", ca.key, "-out", ca.cert);
    const made = async (host) => {
      const [key, cert] = [newPath("tls.key"), newPath("tls.pem")];
      const extensions = ["-addext", `subjectAltName=DNS:${host}`, "-addext", "basicConstraints=critical,CA:FALSE"];
      await openssl("req", "-x509", "-CA", ca.cert, "-CAkey", ca.key, ...fresh, "-days", "2", "-subj", "/CN=tls", ...extensions, "-keyout", key, "-out", cert);
      return { key: readFileSync(key), cert: readFileSync(cert) };
    };
    certificates = { ours: await made("localhost"), elsewhere: await made("elsewhere.example") };
    trust = ca.cert;
    const port = await freePort();
    url = `https://localhost:${port}`;
    behind = await newAuthority({ SIGNET_AUTHORITY_URL: url, SITE_URL: url });
    proxy = createTlsServer(certificates.ours, (req, res) => {
      const to = request(behind.url + req.url, { method: req.method, headers: req.headers }, (answer) => {
        res.writeHead(answer.statusCode, answer.headers);
        answer.pipe(res);
      });
      req.pipe(to);
    });
    await new Promise((done) => proxy.listen(port, "127.0.0.1", done));
  });
  after(async () => {
    proxy?.closeAllConnections();
    proxy?.close();
    await behind?.stop();
  });

  test("enrols and verifies if the machine trusts its certificate", async () => {
    const env = { SSL_CERT_FILE: trust };
    const out = newPath("tls");
    const enrolled = await notme(enrolArgs(out, await issuer.token(), url), { env });
    assert.equal(enrolled.code, 0, enrolled.stderr);
    const verified = await notme(["verify", join(out, "mtls.pem"), "--authority", url], { env });
    assert.equal(verified.code, 0, verified.stderr);
  });

  test("gets no token if the certificate is nobody's, or for another host", async () => {
    const token = await issuer.token();
    const unknown = await notme(enrolArgs(newPath("tls"), token, url));
    failed(unknown, UNAVAILABLE, "unreachable");
    assert.match(unknown.stderr, /SSL_CERT_FILE/);
    proxy.setSecureContext(certificates.elsewhere);
    failed(await notme(enrolArgs(newPath("tls"), token, url), { env: { SSL_CERT_FILE: trust } }), UNAVAILABLE, "unreachable");
    proxy.setSecureContext(certificates.ours);
    const later = await notme(enrolArgs(newPath("tls"), token, url), { env: { SSL_CERT_FILE: trust } });
    assert.equal(later.code, 0, later.stderr);
  });
});

describe("verifying", () => {
  let good;
  before(async () => {
    good = await pair();
  });
  const bundleOf = async ({ url }) => (await fetch(`${url}/internal/ca-bundle`)).json();
  const bundleFile = async (at, change = () => {}) => {
    const bundle = await bundleOf(at);
    change(bundle);
    return newFile(JSON.stringify(bundle), "bundle.json");
  };

  const listOf = async ({ url }) => (await fetch(`${url}/.well-known/revocations.jwt`)).text();
  const listFile = async (at) => newFile(await listOf(at), "revocations.jwt");

  test("a good certificate is good: fetched, pinned, and offline", async () => {
    const bundle = await bundleFile(authority);
    const list = await listFile(authority);
    for (const certificate of [good.mtls, good.signing]) {
      for (const args of [
        ["--authority", authority.url],
        ["--authority", authority.url, "--ca", good.root],
        ["--authority", authority.url, "--bundle", bundle],
        ["--authority", authority.url, "--revocations", list],
        ["--ca", good.root, "--bundle", bundle, "--revocations", list],
        ["--offline", "--ca", good.root, "--bundle", bundle, "--revocations", list],
        ["--offline", "--ca", good.root, "--bundle", bundle, "--no-revocations"],
        ["--offline", "--ca", good.root, "--no-bundle"],
      ]) {
        const ran = await notme(["verify", certificate, ...args]);
        assert.equal(ran.code, 0, `${args}: ${ran.stderr}`);
        const told = args.includes("--no-bundle") ? "not checked" : args.includes("--no-revocations") ? "of the current epoch" : "not revoked";
        assert.match(ran.stdout, new RegExp(`revocation +${told}`));
      }
    }
  });

  test("DER is as good as PEM, and --json says what is in it", async () => {
    const leaf = new X509Certificate(readFileSync(good.mtls));
    const ran = await notme(["verify", newFile(leaf.raw), "--authority", authority.url, "--json"]);
    const said = JSON.parse(ran.stdout);
    assert.equal(said.ok, true);
    assert.equal(said.kind, "mtls");
    assert.equal(`URI:${said.identity}`, leaf.subjectAltName);
    assert.equal(BigInt(`0x${said.serial}`), BigInt(`0x${leaf.serialNumber}`));
    assert.equal(said.not_after * 1000, Date.parse(leaf.validTo));
    assert.equal(said.revocation.checked, true);
    assert.equal(said.revocation.seqno, (await bundleOf(authority)).seqno);
  });

  test("nothing is fetched offline", async () => {
    const bundle = await bundleFile(authority);
    const stopped = await newAuthority();
    const theirs = await pair(stopped.url);
    const theirBundle = await bundleFile(stopped);
    await stopped.stop();
    const args = ["verify", theirs.mtls, "--offline", "--ca", theirs.root];
    assert.equal((await notme([...args, "--bundle", theirBundle, "--no-revocations"])).code, 0);
    failed(await notme([...args, "--bundle", bundle, "--no-revocations"]), REFUSED, "bundle_unknown_key");
    failed(await notme(["verify", theirs.mtls, "--authority", stopped.url]), UNAVAILABLE, "unreachable");
    failed(await notme(["verify", theirs.mtls, "--authority", stopped.url, "--ca", theirs.root]), UNAVAILABLE, "unreachable");
  });

  test("without a bundle it refuses to say anything, unless that is asked for", async () => {
    failed(await notme(["verify", good.mtls, "--offline", "--ca", good.root]), USAGE, "bundle_missing");
    failed(await notme(["verify", good.mtls, "--ca", good.root]), USAGE, "bundle_missing");
    failed(await notme(["verify", good.mtls]), USAGE, "ca_missing");
    assert.equal((await notme(["verify", good.mtls, "--offline"])).code, USAGE);
    for (const needed of [["--no-bundle"], ["--bundle", await bundleFile(authority), "--no-revocations"]]) {
      const ran = await notme(["verify", good.mtls, "--ca", good.root, ...needed, "--authority", authority.url]);
      failed(ran, USAGE, "authority_unused");
    }
  });

  test("times are judged as of --at", async () => {
    const leaf = new X509Certificate(readFileSync(good.mtls));
    const seconds = (time) => Math.floor(Date.parse(time) / 1000);
    const at = (time, more = ["--no-bundle"]) => notme(["verify", good.mtls, "--offline", "--ca", good.root, "--at", String(time), ...more]);
    assert.equal((await at(seconds(leaf.validTo))).code, 0);
    failed(await at(seconds(leaf.validTo) + 1), REFUSED, "expired");
    failed(await at(new Date(Date.parse(leaf.validTo) + 1000).toISOString().replace(".000", "")), REFUSED, "expired");
    // The root is from when the authority came into being, and so may be younger than a leaf's backdating.
    failed(await at(seconds(leaf.validFrom) - 3600), REFUSED, "not_yet_valid");
    assert.equal((await at("yesterday")).code, USAGE);
  });

  test("a bundle that is stale is refused", async () => {
    const bundle = await bundleFile(authority);
    const { issuedAt } = JSON.parse(readFileSync(bundle, "utf8"));
    // A certificate is good for as long as a bundle: it has to be younger to outlive it.
    await sleep(Math.max(0, issuedAt * 1000 + 1100 - Date.now()));
    const fresh = await pair();
    const at = (time) => notme(["verify", fresh.mtls, "--offline", "--ca", fresh.root, "--bundle", bundle, "--no-revocations", "--at", String(time)]);
    assert.equal((await at(issuedAt + 300)).code, 0);
    failed(await at(issuedAt + 301), REFUSED, "bundle_stale");
  });

  test("without the list of what is revoked it refuses to say anything, unless that is asked for", async () => {
    const bundle = await bundleFile(authority);
    failed(await notme(["verify", good.mtls, "--ca", good.root, "--bundle", bundle]), USAGE, "revocations_missing");
    const both = ["--ca", good.root, "--bundle", bundle, "--revocations", await listFile(authority)];
    failed(await notme(["verify", good.mtls, ...both, "--authority", authority.url]), USAGE, "authority_unused");
  });

  test("a list that is stale, changed, of another authority, or no list is refused", async () => {
    const bundle = await bundleFile(authority);
    const list = await listOf(authority);
    const { iat, exp } = decodeJwt(list);
    const fresh = await pair();
    const judged = (text, ...more) => notme(["verify", fresh.mtls, "--offline", "--ca", fresh.root, "--bundle", bundle, "--revocations", newFile(text), ...more]);
    // A list is long where much was taken back: that alone is no fault of it.
    failed(await judged("x".repeat(2 << 20)), REFUSED, "revocations_malformed");
    assert.equal((await judged(`${list}\n`)).code, 0);
    assert.equal(exp - iat, 300);
    const [header, claims, signature] = list.split(".");
    const encode = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const decoded = (part) => JSON.parse(Buffer.from(part, "base64url"));
    for (const [code, changed] of [
      ["revocations_signature", [header, encode({ ...decoded(claims), number: 10 ** 6 }), signature]],
      ["revocations_signature", [header, encode({ ...decoded(claims), exp: exp + 1 }), signature]],
      ["revocations_signature", [header, claims, Buffer.alloc(64).toString("base64url")]],
      ["revocations_signature", [encode({ ...decoded(header), alg: "none" }), claims, ""]],
      ["revocations_unknown_key", [encode({ ...decoded(header), kid: "0".repeat(32) }), claims, signature]],
      ["revocations_malformed", [encode({ ...decoded(header), typ: "JWT" }), claims, signature]],
      ["revocations_malformed", [encode({ ...decoded(header), crit: ["x"] }), claims, signature]],
      ["revocations_malformed", [header, claims]],
    ]) {
      failed(await judged(changed.join(".")), REFUSED, code);
    }
    failed(await judged(""), REFUSED, "revocations_malformed");
    const other = await newAuthority();
    try {
      failed(await judged(await listOf(other)), REFUSED, "revocations_unknown_key");
    } finally {
      await other.stop();
    }
  });

  test("what is revoked is refused, and an older list can't be shown again", async () => {
    const own = await newAuthority({ BOOTSTRAP_CODE: CODE });
    try {
      const browser = new Browser(own);
      assert.equal((await browser.register(new Passkey(ES256))).status, 200);
      const [taken, kept] = [await pair(own.url), await pair(own.url)];
      const [bundle, before, state] = [await bundleFile(own), await listFile(own), newPath("state.json")];
      const verify = (which, list) => notme(["verify", which.mtls, "--offline", "--ca", which.root, "--bundle", bundle, "--revocations", list, "--state", state]);
      assert.equal((await verify(taken, before)).code, 0);
      const serial = new X509Certificate(readFileSync(taken.signing)).serialNumber.toLowerCase().padStart(32, "0");
      assert.equal((await browser.call("DELETE", `/admin/credentials/${serial}`)).status, 200);
      const after = await listFile(own);
      failed(await verify(taken, after), REFUSED, "revoked");
      failed(await notme(["verify", taken.signing, "--authority", own.url]), REFUSED, "revoked");
      assert.equal((await verify(kept, after)).code, 0);
      failed(await verify(taken, before), REFUSED, "revocations_rollback");
    } finally {
      await own.stop();
    }
  });

  test("a certificate of another authority is refused", async () => {
    const other = await newAuthority();
    try {
      failed(await notme(["verify", good.mtls, "--authority", other.url]), REFUSED, "unknown_issuer");
    } finally {
      await other.stop();
    }
  });

  test("no byte of a certificate can be changed", async () => {
    const { raw } = new X509Certificate(readFileSync(good.mtls));
    for (let at = 0; at < raw.length; at += 29) {
      const changed = Buffer.from(raw);
      changed[at] ^= 1;
      const ran = await notme(["verify", newFile(changed), "--offline", "--ca", good.root, "--no-bundle"]);
      failed(ran, REFUSED, "malformed|bad_signature|unknown_issuer");
    }
    failed(await notme(["verify", newFile(Buffer.concat([raw, Buffer.from([0])])), "--offline", "--ca", good.root, "--no-bundle"]), REFUSED, "malformed");
    failed(await notme(["verify", good.root, "--offline", "--ca", good.root, "--no-bundle"]), REFUSED, "malformed");
    failed(await notme(["verify", good.mtls, "--offline", "--ca", good.mtls, "--no-bundle"]), REFUSED, "ca_malformed");
    failed(await notme(["verify", newPath("nowhere"), "--offline", "--ca", good.root, "--no-bundle"]), LOCAL, "unreadable");
  });

  test("a bundle that the CA did not sign is refused", async () => {
    const zero = Buffer.alloc(32).toString("base64");
    for (const [code, change] of [
      ["bundle_signature", (bundle) => void (bundle.epoch -= 1)],
      ["bundle_signature", (bundle) => void (bundle.seqno += 1)],
      ["bundle_signature", (bundle) => void (bundle.issuedAt += 1)],
      ["bundle_signature", (bundle) => void (bundle.signature = Buffer.alloc(64).toString("base64"))],
      ["bundle_unknown_key", (bundle) => void (bundle.keyId = "0".repeat(32))],
      ["bundle_unknown_key", (bundle) => void (bundle.keys[bundle.keyId] = zero)],
      ["bundle_malformed", (bundle) => void delete bundle.issuedAt],
      ["bundle_malformed", (bundle) => void (bundle.signature = "?")],
    ]) {
      const bundle = await bundleFile(authority, change);
      failed(await notme(["verify", good.mtls, "--offline", "--ca", good.root, "--bundle", bundle, "--no-revocations"]), REFUSED, code);
    }
  });

  test("an epoch that has passed is revoked, and the past cannot be shown again", async () => {
    const fleeting = await newAuthority({ NOTME_KEY_STORAGE: "ephemeral", NOTME_KEK_SECRET: undefined });
    try {
      const earlier = await pair(fleeting.url);
      const earlierBundle = await bundleFile(fleeting);
      const state = newPath("state.json");
      const offline = (which, bundle, ca = which.root) => notme(["verify", which.mtls, "--offline", "--ca", ca, "--bundle", bundle, "--no-revocations", "--state", state]);
      assert.equal((await offline(earlier, earlierBundle)).code, 0);
      assert.equal((await offline(earlier, earlierBundle)).code, 0, "the same number again is no step back");

      await fleeting.restart(); // a new key, and with it a new epoch
      const later = await pair(fleeting.url);
      const laterBundle = await bundleFile(fleeting);
      failed(await notme(["verify", earlier.mtls, "--authority", fleeting.url]), REFUSED, "unknown_issuer");
      failed(await notme(["verify", earlier.mtls, "--authority", fleeting.url, "--ca", earlier.root]), REFUSED, "bundle_unknown_key");
      const both = newFile(`${readFileSync(later.root, "utf8")}${readFileSync(earlier.root, "utf8")}`);
      failed(await offline(earlier, laterBundle, both), REFUSED, "revoked");
      assert.equal((await offline(later, laterBundle, both)).code, 0);
      assert.equal((await notme(["verify", later.mtls, "--authority", fleeting.url, "--state", state])).code, 0);

      // The root says which key counts; each key counts for itself, whatever the host is called.
      failed(await offline(earlier, earlierBundle, both), REFUSED, "bundle_unknown_key");
      assert.equal((await offline(earlier, earlierBundle)).code, 0);
      assert.equal(mode(state), "600");
      const { seqno } = JSON.parse(readFileSync(state, "utf8"));
      assert.equal(Object.keys(seqno).length, 3, "two keys' bundles, and the one list that was looked at");
      const raised = Object.fromEntries(Object.entries(seqno).map(([key, number]) => [key, number + 1]));
      writeFileSync(state, JSON.stringify({ seqno: raised }));
      failed(await offline(later, laterBundle), REFUSED, "bundle_rollback");
      writeFileSync(state, "broken");
      failed(await offline(later, laterBundle), LOCAL, "state");
    } finally {
      await fleeting.stop();
    }
  });
});

describe("trying a token", () => {
  let issuer;
  before(async () => {
    issuer = await startOidc();
  });
  after(() => issuer?.close());
  const row = (more = {}) => ({ name: "ours", issuer: issuer.url, audience: "https://id.example", subject: "job:{sub}", scopes: ["bridgeCert"], rules: [{ team: "red" }], ...more });
  const doctor = (token, rows, ...more) => notme(["doctor", "--token-file", newFile(token), "--rows", newFile(JSON.stringify(rows)), ...more]);

  test("says which row lets it in, and whether its signature is good where the keys are there", async () => {
    const token = await issuer.token();
    for (const [rows, signature] of [[[row()], "not checked"], [[row({ jwks: issuer.jwks })], "valid"]]) {
      const ran = await doctor(token, rows);
      assert.equal(ran.code, 0, ran.stderr);
      for (const line of ["row +ours", "rule +1", "subject +job:job-1", "scopes +bridgeCert", "single by +jti", `signature +${signature}`]) assert.match(ran.stdout, new RegExp(line));
    }
    const said = JSON.parse((await doctor(token, [row({ audience: "x" }), row()], "--json")).stdout);
    assert.deepEqual(said.rows.map(({ fits, stopped }) => [fits, stopped]), [[false, "audience"], [true, undefined]]);
    assert.equal(issuer.requests.length, 0, "nobody was asked");
    const fromEnvironment = await notme(["doctor", "--token-env", "T"], { env: { ...cleanEnvironment(), T: token, TRUSTED_ISSUERS: JSON.stringify([row()]) } });
    assert.equal(fromEnvironment.code, 0, fromEnvironment.stderr);
  });

  test("says why not, and never the token", async () => {
    const token = await issuer.token({ team: "blue" });
    for (const [rows, why] of [
      [[row()], /ours: rule 1: `team` isn't what it has to be/],
      [[row({ subject: "{nick}", rules: [{}] })], /ours: `nick` isn't there/],
      [[row({ audience: "x" })], /ours: the token is for "https:\/\/id.example", and the row wants `x`/],
    ]) {
      const ran = await doctor(token, rows);
      failed(ran, REFUSED, "not_permitted");
      assert.match(ran.stderr, why);
      assert.ok(!ran.stderr.includes(token.split(".")[1]));
    }
    const forged = `${(await issuer.token()).split(".").slice(0, 2).join(".")}.${"A".repeat(342)}`;
    failed(await doctor(forged, [row({ jwks: issuer.jwks })]), REFUSED, "not_permitted");
    failed(await doctor(await issuer.token(), [row()], "--at", "2100-01-01T00:00:00Z"), REFUSED, "not_permitted");
    failed(await doctor("x", [row()]), USAGE, "token_malformed");
    failed(await doctor(token, [{ ...row(), rulez: 1 }]), USAGE, "rows_malformed");
    failed(await notme(["doctor", "--token-file", newFile(token)]), USAGE, "rows_missing");
    failed(await notme(["doctor", "--token-file", newPath("nowhere"), "--rows", newFile("[]")]), LOCAL, "token_file");
    failed(await doctor(token, []), REFUSED, "not_permitted");
  });

  test("looks at a job's token as /cert/gha does, by the variables that say who is let in", async () => {
    const jobs = await startIssuer();
    try {
      const path = newFile(await jobs.token({ repository_id: "42" }));
      const judge = (more) => notme(["doctor", "--token-file", path], { env: { ...cleanEnvironment(), GHA_ISSUER: jobs.url, ...more } });
      const ran = await judge({ GHA_ALLOWED_OWNERS: "acme" });
      assert.equal(ran.code, 0, ran.stderr);
      for (const line of ["row +/cert/gha", "rule +GHA_\\*", "subject +repository:42", "single by +jti"]) assert.match(ran.stdout, new RegExp(line));
      const refused = await judge({ GHA_ALLOWED_OWNERS: "others" });
      failed(refused, REFUSED, "not_permitted");
      assert.match(refused.stderr, /cert\/gha: repository owner not permitted/);
      failed(await judge({ GHA_ALLOW_PULL_REQUEST: "perhaps" }), USAGE, "jobs_malformed");
      const others = await notme(["doctor", "--token-file", newFile(await issuer.token()), "--rows", newFile(JSON.stringify([row()]))], { env: { ...cleanEnvironment(), GHA_ALLOW_PULL_REQUEST: "perhaps" } });
      assert.equal(others.code, 0, others.stderr);
    } finally {
      await jobs.close();
    }
  });

  test("asks GitHub whose a token of its is, if it is told to, and nobody else", async () => {
    const github = await startGitHub();
    try {
      const token = `ghp_${"x".repeat(36)}`;
      github.tokens.set(token, { user: { id: 583231, login: "octocat" }, scopes: "repo", organizations: [{ id: 9919, login: "acme" }] });
      const staff = (rules) => newFile(JSON.stringify([row(), { type: "github_pat", name: "staff", scopes: ["bridgeCert"], rules }]));
      const judge = (shown, rules, ...more) => notme(["doctor", "--token-file", newFile(shown), "--rows", staff(rules), ...more], { env: { ...cleanEnvironment(), GITHUB_API_URL: github.url } });
      const [member, other] = [[{ organization_ids: "9919" }], [{ user_id: "1" }]];
      const silent = await judge(token, member);
      failed(silent, USAGE, "ask_missing");
      assert.deepEqual(github.requests, []);
      const ran = await judge(token, member, "--ask");
      assert.equal(ran.code, 0, ran.stderr);
      for (const line of ["row +staff", "type +github_pat", "rule +1", "subject +user:583231", "single by +challenge", "signature +valid"]) assert.match(ran.stdout, new RegExp(line));
      assert.deepEqual(github.requests.map(({ path, token: sent }) => [path, sent]), [["/api/v3/user", token], ["/api/v3/user/memberships/orgs?state=active&per_page=100", token]]);
      const refused = await judge(token, other, "--ask");
      failed(refused, REFUSED, "not_permitted");
      assert.match(refused.stderr, /staff: rule 1: `user_id` isn't what it has to be/);
      failed(await judge(`ghp_${"y".repeat(36)}`, member, "--ask"), REFUSED, "token_refused");
      failed(await judge(await issuer.token(), member, "--ask"), USAGE, "ask_unused");
      failed(await judge(`ghs_${"y".repeat(36)}`, member, "--ask"), REFUSED, "unsupported_token");
      github.tokens.set(token, { misbehaves: { status: 302, headers: { location: `${github.url}/user` } } });
      failed(await judge(token, member, "--ask"), UNAVAILABLE, "api_unavailable");
      for (const url of ["http://api.example/v3", "x"]) {
        const ran = await notme(["doctor", "--token-file", newFile(token), "--rows", staff(member), "--ask"], { env: { ...cleanEnvironment(), GITHUB_API_URL: url } });
        failed(ran, USAGE, "api_url");
      }
      await github.close();
      const down = await judge(token, member, "--ask");
      failed(down, UNAVAILABLE, "unreachable");
      for (const { stdout, stderr } of [silent, ran, refused, down]) assert.ok(!(stdout + stderr).includes(token));
    } finally {
      await github.close();
    }
  });

  test("follows a certificate to the roots of rows", { skip: missing("openssl") && "openssl is not installed" }, async () => {
    const pki = new Pki();
    try {
      const [office, other] = [pki.ca("/CN=Office"), pki.ca("/CN=Other")];
      const [leaf, rows] = [pki.leaf(office), newFile(JSON.stringify([{ type: "x509", name: "office", roots: office.pem, subject: "{cn}", scopes: ["bridgeCert"], rules: [{ o: "Acme" }] }]))];
      const judge = (pem, ...more) => notme(["doctor", "--chain", newFile(pem), "--rows", rows, ...more]);
      const ran = await judge(leaf.pem);
      assert.equal(ran.code, 0, ran.stderr);
      for (const line of ["row +office", "type +x509", "rule +1", "subject +web", "single by +challenge", "signature +valid"]) assert.match(ran.stdout, new RegExp(line));
      for (const [pem, why, ...more] of [
        [pki.leaf(other).pem, /office: invalid certificate: no path leads to a pinned root/],
        [pki.leaf(office, { subject: "/O=Else/CN=web" }).pem, /office: rule 1: `o` isn't what it has to be/],
        [leaf.pem, /certificate has expired/, "--at", "2100-01-01T00:00:00Z"],
      ]) {
        const refused = await judge(pem, ...more);
        failed(refused, REFUSED, "not_permitted");
        assert.match(refused.stderr, why);
      }
      failed(await judge("x"), USAGE, "chain_malformed");
      failed(await notme(["doctor", "--chain", newPath("nowhere"), "--rows", rows]), LOCAL, "unreadable");
    } finally {
      pki.remove();
    }
  });
});

describe("an authority whose key is rolled over", () => {
  let rolling;
  let browser;
  before(async () => {
    rolling = await newAuthority({ BOOTSTRAP_CODE: CODE });
    browser = new Browser(rolling);
    assert.equal((await browser.register(new Passkey(ES256))).status, 200);
  });
  after(() => rolling?.stop());

  const change = async (path) => assert.equal((await browser.post(path)).status, 200);
  const fetched = async (path, name) => newFile(await (await fetch(rolling.url + path)).text(), name);
  const pinned = (root, token, out) => notme([...enrolArgs(out, token, rolling.url), "--ca", root]);
  const verifies = (which, ...args) => notme(["verify", which.mtls, ...args]);

  test("is followed from a root of the past, and not into a new epoch", async () => {
    const earlier = await pair(rolling.url);
    const state = newPath("state.json");
    assert.equal((await verifies(earlier, "--authority", rolling.url, "--ca", earlier.root, "--state", state)).code, 0);
    const oldBundle = await fetched("/internal/ca-bundle", "bundle.json");
    await change("/admin/key/rollover");
    await change("/admin/key/rollover");
    const later = await pair(rolling.url);
    const newBundle = await fetched("/internal/ca-bundle", "bundle.json");

    // Whoever asks the authority follows it, whichever of its roots they pinned.
    for (const which of [earlier, later]) {
      for (const ca of [[], ["--ca", earlier.root], ["--ca", later.root]]) {
        const ran = await verifies(which, "--authority", rolling.url, ...ca);
        assert.equal(ran.code, 0, `${which === earlier} ${ca}: ${ran.stderr}`);
      }
    }
    // Offline nobody follows: what is trusted is what is given.
    failed(await verifies(later, "--offline", "--ca", earlier.root, "--bundle", newBundle, "--no-revocations"), REFUSED, "unknown_issuer");
    failed(await verifies(earlier, "--offline", "--ca", earlier.root, "--bundle", newBundle, "--no-revocations"), REFUSED, "bundle_unknown_key");
    assert.equal((await verifies(earlier, "--offline", "--ca", later.root, "--bundle", newBundle, "--no-revocations")).code, 0);

    // Who followed once is shown no bundle of the past, though its key signed it well.
    assert.equal((await verifies(earlier, "--offline", "--ca", earlier.root, "--bundle", oldBundle, "--no-revocations", "--state", state)).code, 0);
    assert.equal((await verifies(later, "--authority", rolling.url, "--ca", earlier.root, "--state", state)).code, 0);
    failed(await verifies(earlier, "--offline", "--ca", earlier.root, "--bundle", oldBundle, "--no-revocations", "--state", state), REFUSED, "bundle_rollback");

    const out = newPath("pinned");
    const ran = await pinned(earlier.root, await issuer.token(), out);
    assert.equal(ran.code, 0, ran.stderr);
    const roots = readFileSync(join(out, "root.pem"), "utf8").trim().split(/(?<=END CERTIFICATE-----)\n/).map((pem) => new X509Certificate(pem));
    const current = new X509Certificate(await (await fetch(`${rolling.url}/.well-known/ca-bundle.pem`)).text());
    assert.ok(roots[0].raw.equals(current.raw), "the current root comes first");
    assert.ok(roots[1].raw.equals(new X509Certificate(readFileSync(earlier.root)).raw), "then the one that was pinned");
    assert.equal((await verifies({ mtls: join(out, "mtls.pem") }, "--authority", rolling.url, "--ca", join(out, "root.pem"))).code, 0);

    await change("/admin/epoch");
    const token = await issuer.token();
    const refusedOut = newPath("refused");
    failed(await pinned(later.root, token, refusedOut), REFUSED, "bundle_unknown_key");
    assert.ok(!existsSync(join(refusedOut, "mtls.pem")));
    for (const which of [earlier, later]) {
      failed(await verifies(which, "--authority", rolling.url), REFUSED, "unknown_issuer");
      failed(await verifies(which, "--authority", rolling.url, "--ca", later.root), REFUSED, "bundle_unknown_key");
    }
    const anew = newPath("anew");
    assert.equal((await notme(enrolArgs(anew, token, rolling.url))).code, 0, "the refusal cost no token");
    assert.equal((await verifies({ mtls: join(anew, "mtls.pem") }, "--authority", rolling.url)).code, 0);
  });

  test("costs no token if that happens while one is used", async () => {
    // In front of the authority: the key changes between the client's look and the exchange.
    let rolls = 0;
    const port = await freePort();
    const server = createServer(async (incoming, response) => {
      const chunks = [];
      for await (const chunk of incoming) chunks.push(chunk);
      if (incoming.url === "/cert/gha") {
        await change("/admin/key/rollover");
        rolls += 1;
      }
      const { authorization } = incoming.headers;
      const answer = await fetch(rolling.url + incoming.url, {
        method: incoming.method,
        headers: { "content-type": "application/json", ...(authorization ? { authorization } : {}) },
        body: incoming.method === "POST" ? Buffer.concat(chunks) : undefined,
      });
      const text = (await answer.text()).replaceAll(rolling.url, `http://localhost:${port}`);
      response.writeHead(answer.status, { "content-type": "application/json" }).end(text);
    });
    await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
    try {
      const out = newPath("during");
      const ran = await notme(enrolArgs(out, await issuer.token(), `http://localhost:${port}`));
      assert.equal(ran.code, 0, ran.stderr);
      assert.equal(rolls, 1);
      assert.equal((await verifies({ mtls: join(out, "mtls.pem") }, "--authority", rolling.url, "--ca", join(out, "root.pem"))).code, 0);
    } finally {
      server.close();
    }
  });
});

describe("the command line", () => {
  test("explains its exit codes, and refuses what it does not know", async () => {
    for (const args of [["--help"], ["enroll", "--help"], ["verify", "--help"]]) {
      const ran = await notme(args);
      assert.equal(ran.code, 0);
      for (const code of [0, 1, 2, 3, 4]) assert.match(ran.stdout, new RegExp(`^  ${code}  `, "m"));
    }
    for (const args of [[], ["enrol"], ["verify", "--sideways"], ["enroll", "--authority", "https://id.example"]]) {
      assert.equal((await notme(args)).code, USAGE);
    }
  });

  test("a failure keeps its exit code when it cannot be printed, and success is none then", { skip: existsSync("/dev/full") ? false : "no /dev/full" }, async () => {
    const ran = (redirection, ...args) => execute("sh", ["-c", `exec "$0" "$@" ${redirection}`, program, ...args]);
    failed(await ran(">/dev/full", "--help"), LOCAL, "output");
    const refused = ["verify", newFile("none"), "--json", "--offline", "--no-bundle", "--ca"];
    failed(await ran(">/dev/full", ...refused, newFile("none")), REFUSED, "ca_malformed");
    const unread = await ran("2>/dev/full", ...refused, newFile("none"));
    assert.equal(unread.code, REFUSED);
    assert.equal(JSON.parse(unread.stdout).code, "ca_malformed");
  });

  test("the document lists the codes that there are", () => {
    const sources = readdirSync(join(ROOT, "crates/cli/src")).map((name) => readFileSync(join(ROOT, "crates/cli/src", name), "utf8"));
    const constructed = sources.flatMap((text) => [...text.matchAll(/Failure::(?:refused|usage|unavailable|local)\(\s*"([a-z_]+)"/g)].map(([, code]) => code));
    const fallback = sources.flatMap((text) => [...text.matchAll(/code\.unwrap_or\("([a-z_]+)"\)/g)].map(([, code]) => code));
    const listed = [...readFileSync(join(ROOT, "docs/cli.md"), "utf8").matchAll(/^\| `([a-z_]+)` \|/gm)].map(([, code]) => code);
    assert.deepEqual([...new Set([...constructed, ...fallback])].sort(), [...listed].sort());
  });
});
