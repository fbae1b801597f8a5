// What no browser sends, at a live authority: bodies, responses, CBOR and JSON that are broken, huge, or nested
// without end. Each is the caller's mistake, has a documented code, answers its challenge if it names one, and
// leaves the authority as it was.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ED, ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";

const read = (path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8");

/** Every documented code of a caller's mistake, with its status. */
const CODES = new Map([
  ...[...read("docs/webauthn.md").matchAll(/^\| .* \| .* \| `(\w+)` \| `\w+` \|$/gm)].map(([, code]) => [code, 400]),
  ...[...read("docs/errors.md").matchAll(/^\| (4\d\d) \| `(\w+)` \|/gm)].map(([, status, code]) => [code, Number(status)]),
]);

/** The routes that take a body and have to do with sessions, and nobody's values in their paths. */
const POSTS = [...read("docs/routes.md").matchAll(/^\| POST \| `([^`]+)` \|[^|]*\|[^|]*\| ([^|]+) \|/gm)]
  .filter(([, , session]) => session !== "–")
  .map(([, path]) => path.replace("{id}", "e3a1f2c0-0000-4000-8000-000000000000"));

function mistaken(answer, what, code) {
  assert.ok(answer.status >= 400 && answer.status < 500, `${what}: ${answer.status} ${answer.text}`);
  assert.equal(CODES.get(answer.json?.code), answer.status, `${what}: ${answer.text}`);
  if (code) assert.equal(answer.json.code, code, `${what}: ${answer.text}`);
  assert.ok(!answer.set, `${what}: no cookie`);
}

let authority;
let browser;
let passkey;
before(async () => {
  authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
  browser = new Browser(authority);
  passkey = new Passkey(ES256);
  assert.equal((await browser.register(passkey)).status, 200);
});
after(() => authority?.stop());

const works = async () => {
  assert.equal((await browser.signIn(passkey)).status, 200);
  assert.equal((await fetch(`${authority.url}/internal/ca-bundle`)).status, 200);
  assert.doesNotMatch(authority.logs(), /"level":"error"/, "nothing was our fault");
};

/** A way to answer a challenge: begins, answers with `bends`, and repeats the answer as it should be. */
const CEREMONIES = {
  "register/verify": async () => {
    const { json: begun, text, status } = await browser.post("/auth/passkey/register/options");
    assert.equal(status, 200, text);
    const made = new Passkey(ES256);
    return (bends) => browser.answer(made, begun, bends);
  },
  "login/verify": async () => {
    const { json: options } = await browser.post("/auth/passkey/login/options");
    return (bends) => new Browser(authority).assert(passkey, options, bends);
  },
  "step-up/verify": async () => {
    const { json: options } = await browser.post("/auth/passkey/step-up/options");
    return (bends) => browser.showAgain(passkey, options, bends);
  },
};

/** Sends a bent answer; the same, unbent, is too late if the challenge could be read. */
async function bent(ceremony, what, bends, code, isRead = true) {
  const answer = await CEREMONIES[ceremony]();
  mistaken(await answer(bends), `${ceremony}, ${what}`, code);
  const again = await answer();
  if (isRead) mistaken(again, `${ceremony}, ${what}, and then well`, "bad_challenge");
  else assert.equal(again.status, 200, `${ceremony}, ${what}, and then well: ${again.text}`);
}

const byte = (...bytes) => Buffer.from(bytes);
const join = (...parts) => Buffer.concat(parts);
const nested = (depth, ...head) => join(...Array(depth).fill(byte(...head)), byte(0));
const huge = (head) => byte(head, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff);

describe("an attestation object", () => {
  const malformed = "attestation_object_malformed";
  const bytes = {
    "that is empty": () => byte(),
    "of which half is there": (object) => object.subarray(0, object.length >> 1),
    "of which the last byte is missing": (object) => object.subarray(0, -1),
    "with a byte behind it": (object) => join(object, byte(0)),
    "that is a number": () => byte(0),
    "that is an array": () => byte(0x80),
    "that is bytes": (object) => join(byte(0x59, object.length >> 8, object.length & 255), object),
    "without a length": (object) => join(byte(0xbf), object.subarray(1), byte(0xff)),
    "with an endless map": () => byte(0xbf),
    "with 2^64 members": () => huge(0xbb),
    "with an array of 2^64": () => join(byte(0xa1), huge(0x9b)),
    "with bytes of 2^64": () => join(byte(0xa1), huge(0x5b)),
    "with a text of 2^64": () => join(byte(0xa1), huge(0x7b)),
    "with an array of 2^30": () => join(byte(0xa1, 0x63), Buffer.from("fmt"), byte(0x9a, 0x40, 0, 0, 0)),
    "with 16,000 arrays in each other": () => nested(16_000, 0x81),
    "with 8,000 maps in each other": () => nested(8_000, 0xa1, 0),
    "with 16,000 tags in each other": () => nested(16_000, 0xc1),
    "with 16,000 endless arrays in each other": () => nested(16_000, 0x9f),
    "with a text that is none": () => byte(0xa1, 0x61, 0xff, 0),
    "with a reserved head": () => byte(0xa1, 0x1c, 0),
    "with a float": () => byte(0xa1, 0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0, 0),
    "with a member twice": (object) => join(byte(0xa4, 0x63), Buffer.from("fmt"), byte(0x64), Buffer.from("none"), object.subarray(1)),
  };
  const objects = {
    "without its format": [(object) => void object.delete("fmt"), malformed],
    "without its statement": [(object) => void object.delete("attStmt"), malformed],
    "without its data": [(object) => void object.delete("authData"), malformed],
    "with a member too many": [(object) => void object.set("x", 1), malformed],
    "whose format is bytes": [(object) => void object.set("fmt", byte(1)), malformed],
    "whose statement is an array": [(object) => void object.set("attStmt", []), malformed],
    "whose data is a text": [(object) => void object.set("authData", "x"), malformed],
    "of another format": [(object) => void object.set("fmt", "tpm"), "attestation_format_unsupported"],
    "that says more than nothing": [(object) => void object.set("attStmt", new Map([["x", 1]])), "attestation_statement_malformed"],
    "that lacks its signature": [(object) => void object.set("fmt", "packed"), "attestation_statement_malformed"],
    "with a signature that is none": [
      (object) => void object.set("fmt", "packed").set("attStmt", new Map([["alg", ES256], ["sig", byte()]])),
      "attestation_signature_invalid",
    ],
    "with a certificate that is none": [
      (object) => void object.set("fmt", "packed").set("attStmt", new Map([["alg", ES256], ["sig", byte(1)], ["x5c", [byte(0x30, 0x84, 0xff, 0xff, 0xff, 0xff)]]])),
      "attestation_certificate_malformed",
    ],
    "with certificates that are none": [
      (object) => void object.set("fmt", "packed").set("attStmt", new Map([["alg", ES256], ["sig", byte(1)], ["x5c", [1]]])),
      "attestation_statement_malformed",
    ],
  };
  for (const [what, objectBytes] of Object.entries(bytes)) test(what, () => bent("register/verify", what, { objectBytes }, malformed));
  for (const [what, [object, code]] of Object.entries(objects)) test(what, () => bent("register/verify", what, { object }, code));
  test("of more than 16 KiB", () => bent("register/verify", "large", { objectBytes: () => Buffer.alloc(16_385) }, "response_too_large"));
  after(works);
});

describe("authenticator data", () => {
  const malformed = "authenticator_data_malformed";
  const both = {
    "that is empty": [{ authData: () => byte() }, malformed],
    "of 36 bytes": [{ authData: (data) => data.subarray(0, 36) }, malformed],
    "with something behind it": [{ parts: (parts) => void (parts.extra = byte(0)) }, malformed],
    "without the extensions that it promises": [{ parts: (parts) => void (parts.flags |= ED) }, "extensions_malformed"],
    "with extensions by number": [{ parts: (parts) => void Object.assign(parts, { flags: parts.flags | ED, extra: byte(0xa1, 1, 1) }) }, "extensions_malformed"],
    "with extensions without end": [{ parts: (parts) => void Object.assign(parts, { flags: parts.flags | ED, extra: nested(7_000, 0x81) }) }, "extensions_malformed"],
    "with 2^64 extensions": [{ parts: (parts) => void Object.assign(parts, { flags: parts.flags | ED, extra: huge(0xbb) }) }, "extensions_malformed"],
  };
  const made = {
    "without a credential": [{ parts: (parts) => void (parts.flags &= ~0x40) }, "attested_data_missing"],
    "with an id that is longer than all": [{ parts: (parts) => void (parts.length = 0xffff) }, malformed],
    "with an empty id": [{ parts: (parts) => void Object.assign(parts, { length: 0, id: byte() }) }, "credential_id_invalid"],
    "with an id of 1024 bytes": [{ parts: (parts) => void Object.assign(parts, { length: 1024, id: Buffer.alloc(1024) }) }, "credential_id_invalid"],
    "with another id": [{ parts: (parts) => void (parts.id = Buffer.alloc(32)) }, "credential_id_mismatch"],
    "without a key": [{ coseBytes: () => byte() }, "key_malformed"],
    "with an empty key": [{ cose: () => new Map() }, "key_malformed"],
    "with half a key": [{ coseBytes: (key) => key.subarray(0, key.length >> 1) }, "key_malformed"],
    "with a key without end": [{ coseBytes: () => nested(7_000, 0xa1, 1) }, "key_malformed"],
    "with a key of 2^64 members": [{ coseBytes: () => huge(0xbb) }, "key_malformed"],
    "with a key that lacks a coordinate": [{ cose: (key) => void key.delete(-3) }, "key_malformed"],
    "with a key with a member too many": [{ cose: (key) => void key.set(-4, byte(1)) }, "key_malformed"],
    "with a coordinate that is short": [{ cose: (key) => void key.set(-2, Buffer.alloc(31)) }, "key_malformed"],
    "with a coordinate that is a text": [{ cose: (key) => void key.set(-2, "x".repeat(32)) }, "key_malformed"],
    "with a key on another curve": [{ cose: (key) => void key.set(-1, 2) }, "key_malformed"],
    "with a key of another algorithm": [{ cose: (key) => void key.set(3, -35) }, "algorithm_not_offered"],
  };
  const shown = {
    "with a credential": [{ parts: (parts) => void (parts.flags |= 0x40) }, "attested_data_unexpected"],
    "of more than 8 KiB": [{ authData: (data) => join(data, Buffer.alloc(8192)) }, "response_too_large"],
  };
  for (const ceremony of Object.keys(CEREMONIES)) {
    describe(ceremony, () => {
      const rows = { ...both, ...(ceremony === "register/verify" ? made : shown) };
      for (const [what, [bends, code]] of Object.entries(rows)) test(what, () => bent(ceremony, what, bends, code));
    });
  }
  after(works);
});

describe("a signature and a user handle", () => {
  const response = (change) => ({ envelope: ({ response, ...rest }) => ({ ...rest, response: { ...response, ...change } }) });
  for (const [what, bends, code] of [
    ["an empty signature", { signature: () => byte() }, "signature_invalid"],
    ["a signature that is no DER", { signature: () => Buffer.alloc(64, 1) }, "signature_invalid"],
    ["DER that promises more than there is", { signature: () => byte(0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 2, 1, 1) }, "signature_invalid"],
    ["numbers that are zero", { signature: () => byte(0x30, 6, 2, 1, 0, 2, 1, 0) }, "signature_invalid"],
    ["a signature of more than 512 bytes", { signature: () => Buffer.alloc(513) }, "response_too_large"],
    ["no user handle", response({ userHandle: null }), "user_handle_missing"],
    ["an empty user handle", response({ userHandle: "" }), "user_handle_invalid"],
    ["a user handle of 65 bytes", response({ userHandle: "A".repeat(87) }), "user_handle_invalid"],
    ["somebody else's user handle", response({ userHandle: Buffer.from("e3a1f2c0-0000-4000-8000-000000000000").toString("base64url") }), "user_handle_mismatch"],
  ]) {
    test(what, async () => {
      for (const ceremony of ["login/verify", "step-up/verify"]) await bent(ceremony, what, bends, code);
    });
  }
  after(works);
});

describe("client data", () => {
  const malformed = "client_data_malformed";
  // Whether the challenge in it can be read, and so is answered.
  for (const [what, bends, code, isRead] of [
    ["that is empty", { clientText: () => "" }, malformed, false],
    ["that is an array", { clientText: (text) => `[${text}]` }, malformed, false],
    ["that is null", { clientText: () => "null" }, malformed, false],
    ["that ends too early", { clientText: (text) => text.slice(0, -1) }, malformed, false],
    ["with something behind it", { clientText: (text) => `${text}{}` }, malformed, false],
    ["with 1,500 arrays in each other", { clientText: (text) => text.replace("{", `{"x":${"[".repeat(1500)}${"]".repeat(1500)},`) }, malformed, false],
    ["that isn't UTF-8", { clientText: (text) => join(Buffer.from(text.replace(/\}$/, ',"x":"')), byte(0xff), Buffer.from('"}')) }, malformed, false],
    ["of more than 4 KiB", { client: (client) => void (client.x = "x".repeat(4096)) }, "response_too_large", true],
    ["with a member twice", { clientText: (text) => text.replace("{", '{"origin":"https://evil.example",') }, "duplicate_member", true],
    ["with a member twice, deeper", { clientText: (text) => text.replace("{", '{"x":{"y":1,"y":2},') }, "duplicate_member", true],
    ["without a challenge", { client: (client) => void delete client.challenge }, malformed, false],
    ["whose challenge is a number", { client: (client) => void (client.challenge = 1) }, malformed, false],
    ["whose challenge is empty", { client: (client) => void (client.challenge = "") }, undefined, false],
    ["whose challenge is short", { client: (client) => void (client.challenge = client.challenge.slice(0, 42)) }, undefined, false],
    ["whose challenge goes on", { client: (client) => void (client.challenge += "A") }, undefined, false],
    ["whose challenge is padded", { client: (client) => void (client.challenge += "=") }, undefined, false],
    ["without a type", { client: (client) => void delete client.type }, malformed, true],
    ["of another ceremony", { client: (client) => void (client.type = client.type === "webauthn.get" ? "webauthn.create" : "webauthn.get") }, "ceremony_mismatch", true],
    ["whose type is a list", { client: (client) => void (client.type = [client.type]) }, malformed, true],
    ["without an origin", { client: (client) => void delete client.origin }, malformed, true],
    ["whose origin is a list", { client: (client) => void (client.origin = [client.origin]) }, malformed, true],
    ["of a frame", { client: (client) => void (client.crossOrigin = true) }, "cross_origin", true],
    ["of something like a frame", { client: (client) => void (client.crossOrigin = "false") }, malformed, true],
    ["with a page around it", { client: (client) => void (client.topOrigin = client.origin) }, "top_origin", true],
  ]) {
    test(what, async () => {
      for (const ceremony of Object.keys(CEREMONIES)) await bent(ceremony, what, bends, code, isRead);
    });
  }
  after(works);
});

describe("a response whose members aren't what they should be", () => {
  const WRONG = [undefined, null, true, 1, -1.5, "", "é", "a b", "AAA=", [], ["x"], [[]], {}, { x: 1 }, "A".repeat(60_000)];
  /** What each member may be: anything else is wrong. */
  const MEMBERS = {
    id: [],
    rawId: [],
    type: [],
    clientExtensionResults: ["{}", '{"x":1}'],
    authenticatorAttachment: [undefined, "null", '""', '"é"', '"a b"', '"AAA="'],
    response: [],
    "response.clientDataJSON": [],
    "register/verify response.attestationObject": [],
    "register/verify response.transports": [undefined, "null", "[]", '["x"]'],
    "login/verify response.authenticatorData": [],
    "login/verify response.signature": [],
    "login/verify response.userHandle": [],
  };
  for (const [name, right] of Object.entries(MEMBERS)) {
    const [, only, path] = /^(?:(\S+) )?(\S+)$/.exec(name);
    for (const ceremony of Object.keys(CEREMONIES).filter((one) => !only || one === only)) {
      test(`${path}, ${ceremony}`, async () => {
        for (const value of WRONG) {
          if (right.includes(JSON.stringify(value)) || (path === "authenticatorAttachment" && typeof value === "string")) continue;
          const envelope = (envelope) => {
            const [outer, inner] = path.split(".");
            if (inner) envelope.response[inner] = value;
            else envelope[outer] = value;
          };
          const isRead = path !== "response" && path !== "response.clientDataJSON";
          await bent(ceremony, `${path} = ${JSON.stringify(value)?.slice(0, 40)}`, { envelope }, undefined, isRead);
        }
      });
    }
  }
  test("a member that stands twice", async () => {
    const twice = [
      (text) => text.replace('"type":', '"type":"public-key","type":'),
      (text) => text.replace('"clientDataJSON":', '"clientDataJSON":"","clientDataJSON":'),
      (text) => text.replace('"clientExtensionResults":{}', '"clientExtensionResults":{"a":{"b":1,"b":2}}'),
    ];
    for (const change of twice) {
      const { json: begun } = await browser.post("/auth/passkey/register/options");
      const made = new Passkey(ES256);
      made.owner = Buffer.from(begun.userId);
      const registration = made.register(browser.ceremony(begun.options.challenge), "none");
      const answers = [["register/verify", `"userId":"${begun.userId}",`, registration]];
      for (const ceremony of ["login", "step-up"]) {
        const { json: options } = await browser.post(`/auth/passkey/${ceremony}/options`);
        answers.push([`${ceremony}/verify`, "", passkey.authenticate(browser.ceremony(options.challenge))]);
      }
      for (const [path, more, text] of answers) {
        const send = (response) => browser.post(`/auth/passkey/${path}`, `{${more}"response":${response}}`);
        assert.notEqual(change(text), text);
        mistaken(await send(change(text)), path, "duplicate_member");
        mistaken(await send(text), `${path}, and then well`, "bad_challenge");
      }
    }
  });
  after(works);
});

describe("a body", () => {
  const deep = (open, close, depth) => open.repeat(depth) + close.repeat(depth);
  const NONE = {
    empty: "",
    "white space": " \n",
    "an array": "[]",
    "null": "null",
    "a number": "1",
    "a text": '"x"',
    "an object that doesn't end": "{",
    "a comma too many": '{"a":1,}',
    "single quotes": "{'a':1}",
    "something behind it": "{}{}",
    "a zero byte": "{}\0",
    "30,000 arrays in each other": deep("[", "]", 30_000),
    "30,000 arrays that don't end": "[".repeat(30_000),
    "no UTF-8": Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
    "UTF-16": Buffer.from("{}", "utf16le"),
  };
  /** What is JSON in form: who looks for a few members alone passes the others over. */
  const STRANGE = {
    "10,000 objects in each other": `${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`,
    "30,000 arrays in an object": `{"a":${deep("[", "]", 30_000)}}`,
    "10,000 objects in a response": `{"userId":"e3a1f2c0-0000-4000-8000-000000000000","response":${`${'{"a":'.repeat(10_000)}1${"}".repeat(10_000)}`}}`,
    "half a surrogate": '{"\\ud800":1}',
    "a huge number": '{"a":1e99999}',
    "8,000 members": `{${Array.from({ length: 8_000 }, (_, i) => `"${i}":1`).join()}}`,
  };
  /** Those that look at no body. */
  const BLIND = ["/cert/challenge", "/logout", "/auth/passkey/login/options", "/auth/passkey/step-up/options", "/connections/options", "/auth/oidc/options", "/disable", "/enable"];
  const send = (path, body) => {
    const init = { method: "POST", body, headers: { "content-type": "application/json", origin: authority.url, cookie: browser.cookie } };
    return fetch(authority.url + path, init).then(async (response) => {
      const text = await response.text();
      return { status: response.status, text, json: JSON.parse(text), set: response.headers.get("set-cookie") };
    });
  };

  for (const path of POSTS) {
    test(`that is none, for ${path}`, async () => {
      const isBlind = BLIND.some((end) => path.endsWith(end));
      for (const [what, body] of Object.entries(NONE)) {
        if (path === "/logout") continue; // it would end the session, as it may
        const answer = await send(path, body);
        if (isBlind) assert.ok(answer.status < 500 && (answer.status === 200 || CODES.has(answer.json.code)), `${what}: ${answer.text}`);
        else mistaken(answer, `${path}, ${what}`);
      }
      for (const [what, body] of Object.entries(STRANGE)) {
        if (path === "/logout" || path.startsWith("/admin/epoch") || path.startsWith("/admin/key")) continue; // they may do it
        const answer = await send(path, body);
        assert.ok(answer.status < 500 && (answer.status === 200 || CODES.has(answer.json.code)), `${what}: ${answer.text}`);
      }
    });
  }

  test("whose members have the wrong type, or stand twice", async () => {
    const WRONG = [true, 1, [], {}, ["x"]];
    const values = (path, member, code, others = {}) => [path, member, code, others];
    for (const [path, member, code, others] of [
      values("/auth/passkey/register/options", "bootstrapCode", "invalid_member"),
      values("/auth/passkey/register/options", "invite", "invalid_member"),
      values("/auth/passkey/register/options", "displayName", "invalid_member"),
      values("/auth/passkey/reset", "bootstrapCode", "invalid_member"),
      values("/auth/passkey/register/verify", "userId", "invalid_member"),
      values("/auth/passkey/register/verify", "name", "invalid_member", { userId: "e3a1f2c0-0000-4000-8000-000000000000" }),
      values("/auth/passkey/register/verify", "response", "response_malformed", { userId: "e3a1f2c0-0000-4000-8000-000000000000" }),
      values("/auth/passkey/login/verify", "response", "response_malformed"),
      values("/auth/passkey/step-up/verify", "response", "response_malformed"),
      values("/join", "token", "invalid_member"),
      values("/join", "proof", undefined, { token: "A".repeat(43) }),
      values("/invites", "scopes", "invalid_member"),
      values("/invites", "ttl", "invalid_member"),
      values("/invites/lookup", "token", "invalid_member"),
      values("/cert", "proof", "missing_proof_type"),
      values("/cert", "credential", "invalid_member", { proof: { type: "session" } }),
      values("/cert", "challenge", "bad_challenge", { proof: { type: "session" } }),
      values("/cert", "public_keys", "missing_public_keys", { proof: { type: "session" } }),
      values("/cert/passkey", "public_keys", "missing_public_keys"),
      values(POSTS.find((path) => path.startsWith("/me/passkeys/")), "name", "invalid_member"),
      values(POSTS.find((path) => path.endsWith("/grants")), "scope", "invalid_member"),
      values(POSTS.find((path) => path.endsWith("/grants")), "expiresAt", "invalid_member", { scope: "certMint" }),
      values("/admin/epoch", "reason", "invalid_member"),
      values("/admin/key/rollover", "reason", "invalid_member"),
    ]) {
      for (const value of WRONG) {
        // A lifetime is a number, and what is to be read as another thing isn't always wrong.
        if ((member === "ttl" && value === 1) || (member === "expiresAt" && value === 1)) continue;
        mistaken(await send(path, JSON.stringify({ ...others, [member]: value })), `${path} ${member}=${JSON.stringify(value)}`, code);
      }
    }
    for (const [path, member] of [["/auth/passkey/register/options", "displayName"], ["/auth/passkey/register/options", "invite"], ["/auth/passkey/register/verify", "userId"], ["/auth/passkey/login/verify", "response"], ["/auth/passkey/step-up/verify", "response"], ["/auth/passkey/reset", "bootstrapCode"]]) {
      mistaken(await send(path, `{"${member}":"a","${member}":"b"}`), `${path} ${member} twice`, "invalid_json");
    }
  });
  after(works);
});

describe("a body of more than 64 KiB", () => {
  const of = (bytes) => `{"x":"${"x".repeat(bytes - 8)}"}`;
  const json = { "content-type": "application/json" };

  /** Sends a body piece by piece, without saying how long it is; of one that is too long not its end, for nobody reads it. */
  const chunked = (path, body) =>
    new Promise((resolve, reject) => {
      const sent = request(authority.url + path, { method: "POST", headers: { ...json, "transfer-encoding": "chunked" } }, (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => {
          sent.destroy();
          resolve({ status: response.statusCode, text, json: JSON.parse(text) });
        });
      });
      sent.on("error", reject);
      for (let at = 0; at < body.length; at += 8192) sent.write(body.slice(at, at + 8192));
      if (body.length <= 65_536) sent.end();
    });

  for (const path of POSTS) {
    test(`announced or not, for ${path}`, async () => {
      const announced = async (body) => {
        const response = await fetch(authority.url + path, { method: "POST", headers: json, body });
        const text = await response.text();
        return { status: response.status, text, json: JSON.parse(text) };
      };
      for (const sending of THROUGH_WRANGLER ? [announced] : [announced, (body) => chunked(path, body)]) {
        mistaken(await sending(of(65_537)), path, "body_too_large");
        const whole = await sending(of(65_536));
        assert.ok(whole.status < 500 && whole.status !== 413, whole.text);
      }
    });
  }

  /**
   * Writes piece by piece to a socket, as long as nothing comes back: what was answered is read no further,
   * and writing on would break the connection. Gives the status of each answer.
   */
  async function raw(...pieces) {
    let text = "";
    const socket = connect(authority.port, "127.0.0.1");
    socket.on("data", (chunk) => (text += chunk));
    socket.on("error", () => {});
    for (const piece of pieces) {
      if (text) break;
      socket.write(piece);
      await sleep(300);
    }
    for (let i = 0; i < 100 && !text; i++) await sleep(100);
    await sleep(100); // for another one, which there must not be
    socket.destroy();
    return [...text.matchAll(/^HTTP\/1\.1 (\d+)/gm)].map(([, status]) => Number(status));
  }
  const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  const head = (path, ...lines) => [`POST ${path} HTTP/1.1`, "Host: localhost", "Content-Type: application/json", ...lines, "", ""].join("\r\n");

  for (const path of ["/auth/passkey/login/verify", "/auth/passkey/register/options", "/join", "/invites/lookup", "/cert"]) {
    test(`that says that it has 10 bytes, and comes in pieces, for ${path}`, async () => {
      const both = head(path, "Content-Length: 10", "Transfer-Encoding: chunked");
      const body = of(65_537);
      assert.deepEqual(await raw(both + chunk(body.slice(0, -1)), chunk(body.slice(-1))), [413], "what comes counts, not what was said");
    });
  }

  test("is one request, whatever is in it", async () => {
    const hidden = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (const lines of [["Content-Length: 10", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Content-Length: 10"], ["Content-Length: 10", "Content-Length: 100"], ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], ["Transfer-Encoding: xchunked"], ["Content-Length: +10"], ["Content-Length: 1e1"]]) {
      const statuses = await raw(head("/invites/lookup", ...lines), `${chunk(`{"token":"${"x".repeat(10)}"}${hidden}`)}0\r\n\r\n`);
      assert.deepEqual(statuses, [400], `${lines}`);
    }
  });
  after(works);
});
