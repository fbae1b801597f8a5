// WebAuthn as two relying parties see it that share no code: ours, in a native program, and
// SimpleWebAuthn. An authenticator in software makes ceremonies that are right, and hundreds that are
// wrong in one point and signed as they are. Where the two disagree it is argued.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { before, describe, test } from "node:test";
import process from "node:process";
import { verifyAuthenticationResponse, verifyRegistrationResponse } from "@simplewebauthn/server";
import { AAGUID, AT, BE, BS, ED, EDDSA, ES256, Passkey, RS256, UP, UV, constraints } from "./support/authenticator.mjs";
import { compileExample, execute, missing } from "./support/foreign.mjs";
import { seeded } from "./support/random.mjs";

const SEED = Number(process.env.NOTME_TEST_SEED ?? Date.now() % 1_000_000);
const random = seeded(SEED);
const RP = { rpId: "auth.example", origin: "https://auth.example" };
const ALGORITHMS = { ES256, EdDSA: EDDSA, RS256 };
const PASSKEYS = Object.fromEntries(Object.entries(ALGORITHMS).map(([name, alg]) => [name, new Passkey(alg)]));
const challenge = () => randomBytes(32).toString("base64url");

/** Where the two judge differently: who refuses, and why that is right. */
const ARGUED = {
  // Ours is stricter.
  "member twice in the envelope": ["ours", "which of the two counts is each reader's own guess (RFC 8259 §4)"],
  "member twice in the response": ["ours", "as in the envelope"],
  "type twice in the client data": ["ours", "as in the envelope: the authenticator signed a text that says two things"],
  "member twice in the client data": ["ours", "as in the envelope"],
  "clientExtensionResults missing": ["ours", "RegistrationResponseJSON and AuthenticationResponseJSON require it (§5.1)"],
  "clientExtensionResults no object": ["ours", "as where it is missing"],
  "authenticatorAttachment no string": ["ours", "§5.1 has a string there"],
  "credential id of another credential": ["ours", "the id that a host would look up isn't the one that the authenticator has"],
  "transports no list": ["ours", "§5.1 has a list of strings there"],
  "crossOrigin true": ["ours", "the ceremony was in another site's frame, which this authority never expects (§7.1 step 10, §7.2 step 13); SimpleWebAuthn lets it pass in a registration, and in an assertion without topOrigin"],
  "crossOrigin no boolean": ["ours", "§5.8.1 has a boolean there"],
  "crossOrigin with topOrigin": ["ours", "as crossOrigin; SimpleWebAuthn looks at it in assertions only"],
  "topOrigin without crossOrigin": ["ours", "as crossOrigin; SimpleWebAuthn looks at it in assertions only"],
  "topOrigin null": ["ours", "a member that is there is present (§7.1 step 11)"],
  "invalid UTF-8 in the client data": ["ours", "whoever replaces bad bytes doesn't read what was signed"],
  "lone surrogate in the client data": ["ours", "no string of Unicode characters has one"],
  "attested data in an assertion, complete": ["ours", "assertions carry no attested credential data (§6.1)"],
  "extensions no map": ["ours", "extension outputs are a map (§6.1)"],
  "extensions by number": ["ours", "extensions are named by strings (§9.1)"],
  "user handle missing": ["ours", "who logs in isn't known before, so it has to be there (§7.2 step 6)"],
  "user handle null": ["ours", "as where it is missing"],
  "user handle empty": ["ours", "as where it is missing"],
  "user handle of 65 bytes": ["ours", "user handles have at most 64 bytes (§5.4.3)"],
  "user handle of another user": ["ours", "§7.2 step 6; SimpleWebAuthn leaves it to its caller"],
  "stored credential is another one": ["ours", "§7.2 step 6; SimpleWebAuthn leaves it to its caller"],
  "stored as not eligible for backup": ["ours", "eligibility never changes (§7.2 step 19); SimpleWebAuthn doesn't compare"],
  "eligible for backup no more": ["ours", "eligibility never changes (§7.2 step 19); SimpleWebAuthn doesn't compare"],
  "attestationObject cut": ["ours", "it isn't CBOR: a byte string ends before its end"],
  "attestationObject followed by a byte": ["ours", "two readers could see two objects"],
  "attestationObject with another member": ["ours", "the object has three members (§6.5.4)"],
  "statement no map": ["ours", "the statement is a map (§6.5.4)"],
  "authenticator data cut by a byte": ["ours", "the key's last byte is missing"],
  "credential id empty": ["ours", "an id has at least 16 bytes of nobody's guessing (§4); an empty one can't be looked up"],
  "credential id of 1024 bytes": ["ours", "§7.1 step 25"],
  "key without kty": ["ours", "RFC 9052 §7.1: it is required; SimpleWebAuthn looks at a key when it is first used, and then nobody can log in with it"],
  "key without its first part": ["ours", "§6.5.1.1: all required parameters; as without kty"],
  "key without its second part": ["ours", "§6.5.1.1: all required parameters; as without kty"],
  "key of another type": ["ours", "the algorithm says which type (RFC 9053 §2); as without kty"],
  "key of a text type": ["ours", "as of another type"],
  "key with key_ops": ["ours", "§6.5.1.1: no other optional parameters"],
  "key with another member": ["ours", "§6.5.1.1: no other optional parameters"],
  "key with its private part": ["ours", "§6.5.1.1: no other optional parameters; and such a key is nobody's own"],
  "key with a text member": ["ours", "§6.5.1.1: no other optional parameters"],
  "key with short second part": ["ours", "coordinates have their full length (RFC 9053 §7.1.1); the other half of an RSA key can't be empty"],
  "key with long second part": ["ours", "as with a short one; RSA numbers have no leading zeros (RFC 8230 §4)"],
  "key with empty second part": ["ours", "as with a short one"],
  "key with text second part": ["ours", "it is a byte string"],
  "key cut": ["ours", "it isn't CBOR"],
  "key on P-384": ["ours", "§5.8.5: ES256 is for P-256"],
  "key on Ed448": ["ours", "§5.8.5: EdDSA is for Ed25519"],
  "key on X25519": ["ours", "§5.8.5: EdDSA is for Ed25519"],
  "key without y": ["ours", "§6.5.1.1: all required parameters"],
  "key with a sign instead of y": ["ours", "§5.8.5: no compressed points"],
  "key for EdDSA": ["ours", "type and algorithm contradict each other (RFC 9053 §2)"],
  "key for RS256": ["ours", "type and algorithm contradict each other (RFC 9053 §2)"],
  "key for ES256": ["ours", "type and algorithm contradict each other (RFC 9053 §2)"],
  "key of small order": ["ours", "anybody can sign for it"],
  "key not reduced": ["ours", "it is no encoding of a point (RFC 8032 §5.1.3)"],
  "key of 1024 bits": ["ours", "factoring is in reach"],
  "key with exponent 1": ["ours", "anybody can sign for it"],
  "key with an even exponent": ["ours", "there is no such RSA key (RFC 8017 §3.1)"],
  "key with an even modulus": ["ours", "its factors are known"],
  "key with a padded modulus": ["ours", "RFC 8230 §4: no leading zeros"],
  "signature followed by a byte": ["ours", "a signature has one encoding (§6.5.5); SimpleWebAuthn overlooks what follows a DER one"],
  "signature with a long length": ["ours", "it is BER, not DER (§6.5.5)"],
  "packed with ecdaaKeyId": ["ours", "Level 3 has no ECDAA; the statement has alg, sig and x5c (§8.2)"],
  "packed with a text alg": ["ours", "alg is a number (§8.2)"],
  "packed by another algorithm": ["ours", "§8.2: alg is the credential key's; SimpleWebAuthn goes by the key for EdDSA and RSA"],
  "packed by an unknown algorithm": ["ours", "as by another one"],
  "certificate for another algorithm": ["ours", "§8.2: with the algorithm specified in alg"],
  "certificate of a small country": ["ours", "ISO 3166 codes are capitals (§8.2.1)"],
  "certificate of two units": ["ours", "one of them isn't the one that §8.2.1 demands"],
  "certificate without constraints": ["ours", "§8.2.1: basic constraints with CA false"],
  "certificate with a critical aaguid": ["ours", "§8.2.1: MUST NOT be marked as critical"],
  "certificate with two aaguids": ["ours", "an extension stands once (RFC 5280 §4.2)"],
  "certificate followed by a byte": ["ours", "it isn't one DER value"],
  // Ours is right.
  "certificate with an Ed25519 key": ["oracle", "EdDSA attestation is right (§8.2); SimpleWebAuthn can't read such a certificate's key"],
  "tokenBinding odd": ["oracle", "Level 3 has no token binding any more; what clients add is ignored"],
  "counter equal": ["oracle", "a signal, and no proof, of a copy (§7.2 step 22): it is reported, and locks nobody out"],
  "counter lower": ["oracle", "as where it is equal"],
  "counter back to zero": ["oracle", "as where it is equal"],
};

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {string} alg
 * @property {"registration" | "authentication"} kind
 * @property {string} response
 * @property {{ challenge: string, rpId: string, origin: string }} ceremony
 * @property {any} [stored] what our side keeps
 * @property {any} [credential] what the oracle keeps
 */

const flags = (change) => ({ parts: (parts) => void (parts.flags = change(parts.flags)) });
const client = (change) => ({ client: (object) => void change(object) });
const envelope = (change) => ({ envelope: (object) => void change(object) });
const flip = (at, bits = 1) => (bytes) => {
  const changed = Buffer.from(bytes);
  changed[at < 0 ? changed.length + at : at] ^= bits;
  return changed;
};
const replace = (from, to) => (text) => {
  assert.ok(text.includes(from), `${from} in ${text}`);
  return text.replace(from, to);
};
const tail = (...bytes) => (buffer) => Buffer.concat([buffer, Buffer.from(bytes)]);
const extensions = (...bytes) => ({ parts: (parts) => void Object.assign(parts, { flags: parts.flags | ED, extra: Buffer.from(bytes) }) });

/** What is changed in both ceremonies alike. @type {Record<string, import("./support/authenticator.mjs").Bends>} */
const BOTH = {
  "nothing": {},
  "unknown member in the client data": client((c) => (c.extra = { a: [1] })),
  "crossOrigin left out": client((c) => delete c.crossOrigin),
  "reserved flags": flags((f) => f | 0x22),
  "not backed up": flags((f) => f & ~BS),
  "extensions empty": extensions(0xa0),
  "extensions with credProtect": extensions(0xa1, 0x6b, ...Buffer.from("credProtect"), 2),
  "unknown attachment": envelope((e) => (e.authenticatorAttachment = "orbital")),

  "type of the other ceremony": client((c) => (c.type = c.type === "webauthn.get" ? "webauthn.create" : "webauthn.get")),
  "type of a payment": client((c) => (c.type = "payment.get")),
  "type in another case": client((c) => (c.type = c.type.toUpperCase())),
  "type missing": client((c) => delete c.type),
  "type in a list": client((c) => (c.type = [c.type])),
  "challenge of another ceremony": client((c) => (c.challenge = challenge())),
  "challenge empty": client((c) => (c.challenge = "")),
  "challenge missing": client((c) => delete c.challenge),
  "challenge null": client((c) => (c.challenge = null)),
  "challenge padded": client((c) => (c.challenge += "=")),
  "challenge cut": client((c) => (c.challenge = c.challenge.slice(0, -1))),
  "challenge in standard base64": client((c) => (c.challenge = Buffer.from(c.challenge, "base64url").toString("base64"))),
  "challenge in a list": client((c) => (c.challenge = [c.challenge])),
  "origin of another host": client((c) => (c.origin = "https://evil.example")),
  "origin of a subdomain": client((c) => (c.origin = "https://sub.auth.example")),
  "origin that ours begins": client((c) => (c.origin = "https://auth.example.evil.example")),
  "origin with a slash": client((c) => (c.origin += "/")),
  "origin with its port": client((c) => (c.origin += ":443")),
  "origin by http": client((c) => (c.origin = "http://auth.example")),
  "origin in capitals": client((c) => (c.origin = "https://AUTH.example")),
  "origin missing": client((c) => delete c.origin),
  "origin null": client((c) => (c.origin = null)),
  "origin in a list": client((c) => (c.origin = [c.origin])),
  "crossOrigin true": client((c) => (c.crossOrigin = true)),
  "crossOrigin no boolean": client((c) => (c.crossOrigin = "false")),
  "crossOrigin with topOrigin": client((c) => Object.assign(c, { crossOrigin: true, topOrigin: "https://evil.example" })),
  "topOrigin without crossOrigin": client((c) => (c.topOrigin = "https://evil.example")),
  "topOrigin null": client((c) => (c.topOrigin = null)),
  "tokenBinding odd": client((c) => (c.tokenBinding = { status: "odd" })),
  "tokenBinding supported": client((c) => (c.tokenBinding = { status: "supported" })),
  "client data no object": { clientText: (text) => `[${text}]` },
  "client data no JSON": { clientText: (text) => text.slice(0, -1) },
  "client data followed by something": { clientText: (text) => `${text}{}` },
  "client data empty": { clientText: () => "" },
  "client data followed by a space": { clientText: (text) => `${text} ` },
  "byte order mark before the client data": { clientText: (text) => `\ufeff${text}` },
  "invalid UTF-8 in the client data": { clientText: (text) => Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from([0x2c, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])]) },
  "lone surrogate in the client data": { clientText: replace("{", '{"x":"\\ud800",') },
  "type twice in the client data": { clientText: replace("{", '{"type":"payment.get",') },
  "member twice in the client data": { clientText: replace("{", '{"x":{"a":1,"a":2},') },

  "rpIdHash of another RP": { parts: (parts) => void (parts.rpIdHash = randomBytes(32)) },
  "rpIdHash changed in a bit": { parts: (parts) => void (parts.rpIdHash = flip(31, 0x80)(parts.rpIdHash)) },
  "user not present": flags((f) => f & ~UP),
  "user not verified": flags((f) => f & ~UV),
  "no flags": flags((f) => f & AT),
  "backed up and not eligible": flags((f) => (f & ~BE) | BS),
  "extensions flag without extensions": flags((f) => f | ED),
  "extensions without their flag": { parts: (parts) => void (parts.extra = Buffer.from([0xa0])) },
  "extensions followed by something": extensions(0xa0, 0),
  "extensions cut": extensions(0xa1, 0x61),
  "extensions no map": extensions(0x80),
  "extensions by number": extensions(0xa1, 1, 1),
  "extensions twice": extensions(0xa2, 0x61, 0x61, 1, 0x61, 0x61, 1),
  "a byte behind the authenticator data": { authData: tail(0) },
  "authenticator data cut by a byte": { authData: (bytes) => bytes.subarray(0, -1) },
  "authenticator data of 36 bytes": { authData: (bytes) => bytes.subarray(0, 36) },
  "authenticator data empty": { authData: () => Buffer.alloc(0) },
  "rpIdHash alone": { authData: (bytes) => bytes.subarray(0, 32) },

  "id and rawId differ": envelope((e) => (e.rawId = "AAAA")),
  "id missing": envelope((e) => delete e.id),
  "id empty": envelope((e) => (e.id = e.rawId = "")),
  "id padded": envelope((e) => (e.id += "=")),
  "credential type unknown": envelope((e) => (e.type = "password")),
  "credential type missing": envelope((e) => delete e.type),
  "response missing": envelope((e) => delete e.response),
  "clientDataJSON missing": envelope((e) => delete e.response.clientDataJSON),
  "clientExtensionResults missing": envelope((e) => delete e.clientExtensionResults),
  "clientExtensionResults no object": envelope((e) => (e.clientExtensionResults = "")),
  "authenticatorAttachment no string": envelope((e) => (e.authenticatorAttachment = 1)),
  "member twice in the envelope": { json: replace("{", '{"type":"password",') },
  "member twice in the response": { json: replace('"response":{', '"response":{"clientDataJSON":"e30",') },
  "response no JSON": { json: (text) => text.slice(1) },
  "response in a list": { json: (text) => `[${text}]` },
};

/** Of what was signed, sent otherwise. */
const UNSIGNED = {
  "signature over another message": { message: flip(40) },
  "signature changed in its first byte": { signature: flip(0) },
  "signature changed in its last byte": { signature: flip(-1) },
  "signature cut": { signature: (bytes) => bytes.subarray(0, -1) },
  "signature empty": { signature: () => Buffer.alloc(0) },
  "signature followed by a byte": { signature: tail(0) },
  "signature of zeros": { signature: (bytes) => Buffer.alloc(bytes.length) },
  "counter changed after signing": { finalAuthData: flip(36) },
  "flags changed after signing": { finalAuthData: flip(32, BS) },
  "client data changed after signing": { finalClient: tail(0x20) },
};

/** The same signature in BER. */
const LONG_LENGTH = { "signature with a long length": { signature: (der) => Buffer.concat([der.subarray(0, 1), Buffer.from([0x81]), der.subarray(1)]) } };

/** Registrations whose attestation signs nothing. */
const REGISTRATION = {
  "no transports": envelope((e) => delete e.response.transports),
  "unknown transport": envelope((e) => (e.response.transports = ["internal", "orbital"])),
  "transports no list": envelope((e) => (e.response.transports = "usb")),
  "attestationObject missing": envelope((e) => delete e.response.attestationObject),
  "attestationObject empty": { objectBytes: () => Buffer.alloc(0) },
  "attestationObject no map": { objectBytes: () => Buffer.from([0x80]) },
  "attestationObject cut": { objectBytes: (bytes) => bytes.subarray(0, -1) },
  "attestationObject followed by a byte": { objectBytes: tail(0) },
  "attestationObject with another member": { object: (o) => void o.set("x", 1) },
  "attestationObject without authData": { object: (o) => void o.delete("authData") },
  "attestationObject without fmt": { object: (o) => void o.delete("fmt") },
  "attestationObject without attStmt": { object: (o) => void o.delete("attStmt") },
  "attestationObject in another order": { objectBytes: (bytes) => {
    const fmt = Buffer.from("63666d74646e6f6e65", "hex");
    assert.ok(bytes.subarray(1, 10).equals(fmt));
    return Buffer.concat([bytes.subarray(0, 1), bytes.subarray(10), fmt]);
  } },
  "attestationObject with a long head": { objectBytes: (bytes) => Buffer.concat([Buffer.from([0xb8, 3]), bytes.subarray(1)]) },
  "attestationObject of indefinite length": { objectBytes: (bytes) => Buffer.concat([Buffer.from([0xbf]), bytes.subarray(1), Buffer.from([0xff])]) },
  "format unknown": { object: (o) => void o.set("fmt", "orbital") },
  "format empty": { object: (o) => void o.set("fmt", "") },
  "format in capitals": { object: (o) => void o.set("fmt", "NONE") },
  "format fido-u2f without its statement": { object: (o) => void o.set("fmt", "fido-u2f") },
  "format packed without its statement": { object: (o) => void o.set("fmt", "packed") },
  "none with a statement": { statement: (s) => void s.set("alg", -7) },
  "statement no map": { object: (o) => void o.set("attStmt", []) },
  "no attested data": flags((f) => f & ~AT),
  "credential id longer than the data": { parts: (parts) => void (parts.length = 60_000) },
  "credential id one byte short": { parts: (parts) => void (parts.length -= 1) },
  "credential id one byte long": { parts: (parts) => void (parts.length += 1) },
  "credential id empty": { parts: (parts) => void Object.assign(parts, { length: 0, id: Buffer.alloc(0) }) },
  "credential id of 1024 bytes": { parts: (parts) => void Object.assign(parts, { length: 1024, id: Buffer.alloc(1024) }), envelope: (e) => void (e.id = e.rawId = Buffer.alloc(1024).toString("base64url")) },
  "credential id of 1023 bytes": { parts: (parts) => void Object.assign(parts, { length: 1023, id: Buffer.alloc(1023) }), envelope: (e) => void (e.id = e.rawId = Buffer.alloc(1023).toString("base64url")) },
  "credential id of another credential": envelope((e) => (e.id = e.rawId = "AAAA")),
  "aaguid of zeros": { parts: (parts) => void (parts.aaguid = Buffer.alloc(16)) },
  "counter at its end": { parts: (parts) => void (parts.counter = 0xffff_ffff) },
  "key without kty": { cose: (key) => void key.delete(1) },
  "key without alg": { cose: (key) => void key.delete(3) },
  "key without its first part": { cose: (key) => void key.delete(-1) },
  "key without its second part": { cose: (key) => void key.delete(-2) },
  "key of another type": { cose: (key) => void key.set(1, 4) },
  "key of a text type": { cose: (key) => void key.set(1, "EC2") },
  "key for ES384": { cose: (key) => void key.set(3, -35) },
  "key for RS1": { cose: (key) => void key.set(3, -65535) },
  "key for ES256K": { cose: (key) => void key.set(3, -47) },
  "key for PS256": { cose: (key) => void key.set(3, -37) },
  "key with a text alg": { cose: (key) => void key.set(3, "ES256") },
  "key with key_ops": { cose: (key) => void key.set(4, [2]) },
  "key with another member": { cose: (key) => void key.set(-70000, 1) },
  "key with its private part": { cose: (key) => void key.set(-4, Buffer.alloc(32)) },
  "key with a text member": { cose: (key) => void key.set("x", 1) },
  "key with short second part": { cose: (key) => void key.set(-2, key.get(-2).subarray(1)) },
  "key with long second part": { cose: (key) => void key.set(-2, Buffer.concat([Buffer.from([0]), key.get(-2)])) },
  "key with empty second part": { cose: (key) => void key.set(-2, Buffer.alloc(0)) },
  "key with text second part": { cose: (key) => void key.set(-2, "x") },
  "key with a long head": { coseBytes: (bytes) => Buffer.concat([Buffer.from([0xb8, bytes[0] & 0x1f]), bytes.subarray(1)]) },
  "key with a long label": { coseBytes: (bytes) => Buffer.concat([bytes.subarray(0, 1), Buffer.from([0x18]), bytes.subarray(1)]) },
  "key with a member twice": { coseBytes: (bytes) => Buffer.concat([Buffer.from([bytes[0] + 1, 1, 2]), bytes.subarray(1)]) },
  "key of indefinite length": { coseBytes: (bytes) => Buffer.concat([Buffer.from([0xbf]), bytes.subarray(1), Buffer.from([0xff])]) },
  "key cut": { coseBytes: (bytes) => bytes.subarray(0, -1) },
  "key followed by a byte": { coseBytes: tail(0) },
  "key missing": { coseBytes: () => Buffer.alloc(0) },
};

/** Registrations of one algorithm. */
const KEYS = {
  ES256: {
    "key on P-384": { cose: (key) => void key.set(-1, 2) },
    "key without y": { cose: (key) => void key.delete(-3) },
    "key with a sign instead of y": { cose: (key) => void key.set(-3, true) },
    "key for EdDSA": { cose: (key) => void key.set(3, EDDSA) },
    "key for RS256": { cose: (key) => void key.set(3, RS256) },
  },
  EdDSA: {
    "key on Ed448": { cose: (key) => void key.set(-1, 7) },
    "key on X25519": { cose: (key) => void key.set(-1, 4) },
    "key of small order": { cose: (key) => void key.set(-2, Buffer.alloc(32)) },
    "key not reduced": { cose: (key) => void key.set(-2, Buffer.alloc(32, 0xff)) },
    "key for ES256": { cose: (key) => void key.set(3, ES256) },
  },
  RS256: {
    "key of 1024 bits": { cose: (key) => void key.set(-1, key.get(-1).subarray(128)) },
    "key with exponent 1": { cose: (key) => void key.set(-2, Buffer.from([1])) },
    "key with an even exponent": { cose: (key) => void key.set(-2, Buffer.from([1, 0, 0])) },
    "key with an even modulus": { cose: (key) => void key.set(-1, flip(-1)(key.get(-1))) },
    "key with a padded modulus": { cose: (key) => void key.set(-1, Buffer.concat([Buffer.from([0]), key.get(-1)])) },
  },
};

/** Registrations with a packed statement, self-signed. */
const SELF = {
  ...UNSIGNED,
  "packed without alg": { statement: (s) => void s.delete("alg") },
  "packed without sig": { statement: (s) => void s.delete("sig") },
  "packed with a text sig": { statement: (s) => void s.set("sig", "x") },
  "packed with a text alg": { statement: (s) => void s.set("alg", "ES256") },
  "packed with ecdaaKeyId": { statement: (s) => void s.set("ecdaaKeyId", Buffer.alloc(1)) },
  "packed with an empty x5c": { statement: (s) => void s.set("x5c", []) },
  "packed with x5c no list": { statement: (s) => void s.set("x5c", Buffer.alloc(1)) },
  "packed with x5c of nonsense": { statement: (s) => void s.set("x5c", [Buffer.from("certificate")]) },
  "packed by another algorithm": { statement: (s) => void s.set("alg", s.get("alg") === ES256 ? EDDSA : ES256) },
  "packed by an unknown algorithm": { statement: (s) => void s.set("alg", -35) },
  "packed signature taken for none": { object: (o) => void o.set("fmt", "none") },
};

/** Registrations with a packed statement and a certificate. @type {Record<string, import("./support/authenticator.mjs").Bends>} */
const X5C = {
  ...UNSIGNED,
  "certificate in a longer chain": { statement: (s) => void s.set("x5c", [...s.get("x5c"), s.get("x5c")[0]]) },
  "certificate without aaguid": { certificate: (p) => void p.extensions.pop() },
  "certificate of version 1": { certificate: (p) => void Object.assign(p, { version: 0, extensions: [] }) },
  "certificate of version 2": { certificate: (p) => void (p.version = 1) },
  "certificate of another unit": { certificate: (p) => void (p.subject[2][1] = "Authenticator") },
  "certificate without a unit": { certificate: (p) => void p.subject.splice(2, 1) },
  "certificate without a country": { certificate: (p) => void p.subject.splice(0, 1) },
  "certificate of a long country": { certificate: (p) => void (p.subject[0][1] = "CHE") },
  "certificate of a small country": { certificate: (p) => void (p.subject[0][1] = "ch") },
  "certificate without an organization": { certificate: (p) => void p.subject.splice(1, 1) },
  "certificate without a name": { certificate: (p) => void p.subject.splice(3, 1) },
  "certificate of two units": { certificate: (p) => void p.subject.splice(2, 0, ["OU", "Other"]) },
  "certificate of a CA": { certificate: (p) => constraints(p, [[1, 0xff]]) },
  "certificate without constraints": { certificate: (p) => void p.extensions.shift() },
  "certificate of another model": { certificate: (p) => void (p.extensions[1].value = flip(-1)(p.extensions[1].value)) },
  "certificate with a critical aaguid": { certificate: (p) => void (p.extensions[1].critical = true) },
  "certificate with a bare aaguid": { certificate: (p) => void (p.extensions[1].value = p.extensions[1].value.subarray(2)) },
  "certificate with two aaguids": { certificate: (p) => void p.extensions.push({ id: AAGUID, critical: false, value: p.extensions[1].value }) },
  "certificate followed by a byte": { statement: (s) => void s.set("x5c", [tail(0)(s.get("x5c")[0])]) },
  "certificate cut": { statement: (s) => void s.set("x5c", [s.get("x5c")[0].subarray(0, -1)]) },
  "certificate no bytes": { statement: (s) => void s.set("x5c", ["certificate"]) },
  "certificate with an Ed25519 key": { makerAlg: EDDSA },
  "certificate left out": { statement: (s) => void s.delete("x5c") },
  "certificate for another algorithm": { statement: (s) => void s.set("alg", s.get("alg") === ES256 ? EDDSA : ES256) },
};

/** Assertions. */
const AUTHENTICATION = {
  ...UNSIGNED,
  "signature missing": envelope((e) => delete e.response.signature),
  "authenticatorData missing": envelope((e) => delete e.response.authenticatorData),
  "user handle missing": envelope((e) => delete e.response.userHandle),
  "user handle null": envelope((e) => (e.response.userHandle = null)),
  "user handle empty": envelope((e) => (e.response.userHandle = "")),
  "user handle of another user": envelope((e) => (e.response.userHandle = "AAAA")),
  "user handle of 65 bytes": envelope((e) => (e.response.userHandle = Buffer.alloc(65).toString("base64url"))),
  "user handle no string": envelope((e) => (e.response.userHandle = 7)),
  "eligible for backup no more": flags((f) => f & ~(BE | BS)),
  "attested data in an assertion": flags((f) => f | AT),
};

/** What is stored, and what the authenticator counts, in assertions. */
const COUNTERS = {
  "counter advanced": [7, 8],
  "counter begun": [0, 1],
  "counter equal": [7, 7],
  "counter lower": [8, 7],
  "counter back to zero": [8, 0],
};

/** @type {Case[]} */
const cases = [];

/** @param {string} name @param {string} alg @param {"none" | "self" | "x5c"} attestation @param {any} bends */
function registration(name, alg, attestation, bends) {
  const ceremony = { ...RP, challenge: challenge() };
  const response = PASSKEYS[alg].register(ceremony, attestation, bends);
  cases.push({ name, alg: `${alg}, ${attestation}`, kind: "registration", ceremony, response });
}

function authentication(name, alg, bends, { stored = {}, passkey = PASSKEYS[alg] } = {}) {
  const ceremony = { ...RP, challenge: challenge() };
  const response = passkey.authenticate(ceremony, bends);
  const kept = {
    id: passkey.id.toString("base64url"),
    algorithm: passkey.alg,
    spki: passkey.spki.toString("base64url"),
    sign_count: 0,
    backup_eligible: true,
    owner: passkey.owner.toString("base64url"),
    ...stored,
  };
  const credential = { id: kept.id, publicKey: new Uint8Array(passkey.cose), counter: kept.sign_count };
  cases.push({ name, alg, kind: "authentication", ceremony, response, stored: kept, credential });
}

function build() {
  for (const alg of Object.keys(ALGORITHMS)) {
    for (const [name, bends] of Object.entries(BOTH)) {
      registration(name, alg, "none", bends);
      authentication(name, alg, bends);
    }
    for (const [name, bends] of Object.entries({ ...REGISTRATION, ...KEYS[alg] })) registration(name, alg, "none", bends);
    for (const [name, bends] of Object.entries({ "nothing": {}, ...SELF })) registration(name, alg, "self", bends);
    for (const [name, bends] of Object.entries({ "nothing": {}, ...X5C })) registration(name, alg, "x5c", bends);
    for (const [name, bends] of Object.entries(AUTHENTICATION)) authentication(name, alg, bends);
    for (const [name, [before, now]] of Object.entries(COUNTERS)) {
      authentication(name, alg, { parts: (parts) => void (parts.counter = now) }, { stored: { sign_count: before } });
    }
    if (alg === "ES256") {
      for (const [name, bends] of Object.entries(LONG_LENGTH)) {
        authentication(name, alg, bends);
        registration(name, alg, "self", bends);
      }
    }
    authentication("stored as not eligible for backup", alg, {}, { stored: { backup_eligible: false } });
    authentication("stored credential is another one", alg, {}, { stored: { id: "AAAA" } });
    const attested = Buffer.concat([randomBytes(16), Buffer.from([0, 1, 7]), PASSKEYS[alg].cose]);
    authentication("attested data in an assertion, complete", alg, { parts: (parts) => void Object.assign(parts, { flags: parts.flags | AT, extra: attested }) });
    // One byte, anywhere in what is signed or signs.
    for (let i = 0; i < 12; i += 1) {
      for (const part of ["finalAuthData", "finalClient", "signature"]) {
        // Of a signature only the number at its end: SimpleWebAuthn reads BER around it.
        const first = (bytes) => (part === "signature" ? bytes.length - 24 : 0);
        const bends = { [part]: (bytes) => flip(random.between(first(bytes), bytes.length - 1), random.between(1, 255))(bytes) };
        authentication(`a random byte of ${part}`, alg, bends);
        registration(`a random byte of ${part}`, alg, "self", bends);
      }
    }
  }
}

/** @param {Case[]} all @returns {Promise<any[]>} what our program says */
async function ours(all) {
  const program = await compileExample("notme-webauthn", "ceremonies");
  const input = all.map(({ kind, ceremony, response, stored }) =>
    JSON.stringify({ kind, rp: ceremony.rpId, origins: [ceremony.origin], challenge: ceremony.challenge, response, stored }),
  );
  const { code, stdout, stderr } = await execute(program, [], { input: `${input.join("\n")}\n` });
  assert.equal(code, 0, stderr);
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

/** @param {Case} one @returns {Promise<any>} what SimpleWebAuthn finds, or why not */
async function oracle({ kind, ceremony, response, credential }) {
  const expected = { expectedChallenge: ceremony.challenge, expectedOrigin: ceremony.origin, expectedRPID: ceremony.rpId, requireUserVerification: true };
  try {
    const parsed = JSON.parse(response);
    const result =
      kind === "registration"
        ? await verifyRegistrationResponse({ ...expected, response: parsed, supportedAlgorithmIDs: Object.values(ALGORITHMS) })
        : await verifyAuthenticationResponse({ ...expected, response: parsed, credential });
    return result.verified ? result : { error: "not verified" };
  } catch (error) {
    return { error: error.message };
  }
}

describe("two relying parties", { skip: missing("cargo") ?? false }, () => {
  /** @type {{ one: Case, we: any, they: any }[]} */
  let judged;
  before(async () => {
    build();
    const we = await ours(cases);
    assert.equal(we.length, cases.length);
    judged = [];
    for (const [at, one] of cases.entries()) judged.push({ one, we: we[at], they: await oracle(one) });
  });

  const shown = ({ one, we, they }) => `${one.kind} (${one.alg}), ${one.name}: ours ${we.error ?? "accepts"}, oracle ${they.error ?? "accepts"}`;

  test("agree about ceremonies that are right", () => {
    const right = judged.filter(({ one }) => one.name === "nothing");
    assert.equal(right.length, 12);
    for (const each of right) assert.ok(!each.we.error && !each.they.error, shown(each));
  });

  test("agree about what is in what they accept", () => {
    const accepted = judged.filter(({ we, they }) => !we.error && !they.error);
    assert.ok(accepted.length > 60, String(accepted.length));
    for (const { one, we, they } of accepted) {
      if (one.kind === "registration") {
        const { credential, aaguid, credentialDeviceType, credentialBackedUp, fmt } = they.registrationInfo;
        const passkey = PASSKEYS[one.alg.split(",")[0]];
        const theirs = [credential.id, credential.counter, aaguid, credentialDeviceType === "multiDevice", credentialBackedUp, fmt];
        assert.deepEqual([we.id, we.sign_count, we.aaguid, we.backup_eligible, we.backed_up, we.attestation.split("-")[0]], theirs, one.name);
        assert.equal(we.spki, passkey.spki.toString("base64url"), one.name);
        assert.equal(we.algorithm, passkey.alg);
      } else {
        assert.equal(we.sign_count, they.authenticationInfo.newCounter, one.name);
        assert.equal(we.backed_up, they.authenticationInfo.credentialBackedUp, one.name);
      }
    }
  });

  test("agree about ceremonies that are wrong, or it is argued", (t) => {
    t.diagnostic(`seed ${SEED}`);
    const mutations = judged.filter(({ one }) => one.name !== "nothing");
    assert.ok(mutations.length >= 200, String(mutations.length));
    const refused = mutations.filter(({ we }) => we.error);
    t.diagnostic(`${mutations.length} mutations, ${refused.length} refused by ours, for ${new Set(refused.map(({ we }) => we.error)).size} causes`);
    const differing = mutations.filter(({ we, they }) => Boolean(we.error) !== Boolean(they.error));
    const unargued = differing.filter(({ one, we }) => ARGUED[one.name]?.[0] !== (we.error ? "ours" : "oracle"));
    assert.deepEqual([...new Set(unargued.map(shown))], []);
    // An argument about what they agree on would hide it when it comes back.
    const names = new Set(differing.map(({ one }) => one.name));
    assert.deepEqual(Object.keys(ARGUED).filter((name) => !names.has(name)), []);
  });

  test("a counter that went back is told", () => {
    const told = (name) => judged.filter(({ one }) => one.name === name).map(({ we }) => we.counter);
    for (const name of ["counter equal", "counter lower", "counter back to zero"]) assert.deepEqual(told(name), Array(3).fill("went-back"), name);
    for (const name of ["counter advanced", "counter begun"]) assert.deepEqual(told(name), Array(3).fill("advanced"), name);
    assert.ok(judged.filter(({ one }) => one.name === "nothing" && one.kind === "authentication").every(({ we }) => we.counter === "unsupported"));
  });
});
