// A browser and an authenticator in software, on Node's own crypto and a foreign CBOR: they make
// registrations and assertions, and bend them at any point before or after the signature is made.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { encode } from "cborg";

export const UP = 0x01, UV = 0x04, BE = 0x08, BS = 0x10, AT = 0x40, ED = 0x80;

export const ES256 = -7, EDDSA = -8, RS256 = -257;

const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const b64url = (bytes) => Buffer.from(bytes).toString("base64url");
const raw = (text) => Buffer.from(text, "base64url");

const GENERATE = {
  [ES256]: () => generateKeyPairSync("ec", { namedCurve: "P-256" }),
  [EDDSA]: () => generateKeyPairSync("ed25519"),
  [RS256]: () => generateKeyPairSync("rsa", { modulusLength: 2048 }),
};

/** A signature as authenticators make it: DER for ECDSA. */
const signature = (alg, privateKey, message) => sign(alg === EDDSA ? null : "sha256", message, privateKey);

/** @param {import("node:crypto").KeyObject} publicKey @returns {Map<number, number | Uint8Array>} */
function coseKey(alg, publicKey) {
  // Not by its JWK: Node 20 may collect the making of a key while it holds that key's lock for one, and waits for ever.
  const spki = publicKey.export({ type: "spki", format: "der" });
  if (alg === ES256) return new Map([[1, 2], [3, alg], [-1, 1], [-2, spki.subarray(-64, -32)], [-3, spki.subarray(-32)]]);
  if (alg === EDDSA) return new Map([[1, 1], [3, alg], [-1, 6], [-2, spki.subarray(-32)]]);
  const { n, e } = publicKey.export({ format: "jwk" });
  return new Map([[1, 3], [3, alg], [-1, raw(n)], [-2, raw(e)]]);
}

/**
 * @typedef {object} Bends functions that change one stage; what they return is used instead
 * @property {(client: Record<string, unknown>) => unknown} [client] the client data
 * @property {(text: string) => string | Buffer} [clientText] its JSON
 * @property {(cose: Map<any, any>) => unknown} [cose] the credential's key
 * @property {(bytes: Buffer) => Buffer} [coseBytes] its CBOR
 * @property {(parts: { rpIdHash: Buffer, flags: number, counter: number, aaguid: Buffer, length: number, id: Buffer, extra: Buffer }) => unknown} [parts]
 * @property {(bytes: Buffer) => Buffer} [authData]
 * @property {(message: Buffer) => Buffer} [message] what is signed
 * @property {(signature: Buffer) => Buffer} [signature]
 * @property {(profile: Profile) => unknown} [certificate]
 * @property {number} [makerAlg] the algorithm of the attestation certificate's key
 * @property {(statement: Map<string, unknown>) => unknown} [statement] of the attestation
 * @property {(object: Map<string, unknown>) => unknown} [object] the attestation object
 * @property {(bytes: Buffer) => Buffer} [objectBytes] its CBOR
 * @property {(bytes: Buffer) => Buffer} [finalAuthData] what is sent in place of what was signed
 * @property {(bytes: Buffer) => Buffer} [finalClient]
 * @property {(envelope: any) => unknown} [envelope] the response as an object
 * @property {(json: string) => string} [json] and as text
 */

const bent = (bend, value) => (bend ? (bend(value) ?? value) : value);

export class Passkey {
  /** @param {number} alg @param {{ counter?: number, flags?: number }} [options] */
  constructor(alg, { counter = 0, flags = UP | UV | BE | BS } = {}) {
    this.alg = alg;
    Object.assign(this, GENERATE[alg]());
    this.id = randomBytes(32);
    this.aaguid = randomBytes(16);
    this.owner = randomBytes(16);
    this.counter = counter;
    this.flags = flags;
  }

  /** All there is to it, as JSON. */
  freeze() {
    const { alg, id, owner, counter, flags } = this;
    return { alg, id: b64url(id), owner: b64url(owner), counter, flags, key: this.privateKey.export({ format: "jwk" }) };
  }

  /** @param {ReturnType<Passkey["freeze"]>} frozen */
  static thaw({ alg, id, owner, counter, flags, key }) {
    const passkey = new Passkey(alg, { counter, flags });
    const privateKey = createPrivateKey({ key, format: "jwk" });
    return Object.assign(passkey, { id: raw(id), owner: raw(owner), privateKey, publicKey: createPublicKey(privateKey) });
  }

  get cose() {
    return Buffer.from(encode(coseKey(this.alg, this.publicKey)));
  }

  get spki() {
    return this.publicKey.export({ type: "spki", format: "der" });
  }

  #client(type, { challenge, origin }, bends) {
    const client = bent(bends.client, { type, challenge, origin, crossOrigin: false });
    return Buffer.from(bent(bends.clientText, JSON.stringify(client)));
  }

  #authData(rpId, attested, bends) {
    const parts = {
      rpIdHash: sha256(rpId),
      flags: this.flags | (attested ? AT : 0),
      counter: this.counter,
      aaguid: this.aaguid,
      length: this.id.length,
      id: this.id,
      extra: Buffer.alloc(0),
    };
    const { rpIdHash, flags, counter, aaguid, length, id, extra } = bent(bends.parts, parts);
    const head = Buffer.alloc(5);
    head.writeUInt8(flags);
    head.writeUInt32BE(counter, 1);
    const size = Buffer.alloc(2);
    size.writeUInt16BE(length);
    const cose = bent(bends.cose, coseKey(this.alg, this.publicKey));
    const key = bent(bends.coseBytes, Buffer.from(encode(cose)));
    return bent(bends.authData, Buffer.concat([rpIdHash, head, ...(attested ? [aaguid, size, id, key] : []), extra]));
  }

  /**
   * `navigator.credentials.create()`, as `toJSON()` gives it.
   * @param {{ rpId: string, challenge: string, origin: string }} ceremony
   * @param {"none" | "self" | "x5c"} attestation
   * @param {Bends} [bends]
   * @returns {string}
   */
  register(ceremony, attestation, bends = {}) {
    const client = this.#client("webauthn.create", ceremony, bends);
    const authData = this.#authData(ceremony.rpId, true, bends);
    const message = bent(bends.message, Buffer.concat([authData, sha256(client)]));
    const statement = new Map();
    if (attestation === "self") {
      statement.set("alg", this.alg);
      statement.set("sig", bent(bends.signature, signature(this.alg, this.privateKey, message)));
    } else if (attestation === "x5c") {
      const makerAlg = bends.makerAlg ?? (this.alg === EDDSA ? ES256 : this.alg);
      const maker = GENERATE[makerAlg]();
      const profile = bent(bends.certificate, attestationProfile(this.aaguid));
      statement.set("alg", makerAlg);
      statement.set("sig", bent(bends.signature, signature(makerAlg, maker.privateKey, message)));
      statement.set("x5c", [certificate(makerAlg, maker, profile)]);
    }
    const object = new Map([
      ["fmt", attestation === "none" ? "none" : "packed"],
      ["attStmt", bent(bends.statement, statement)],
      ["authData", bent(bends.finalAuthData, authData)],
    ]);
    const bytes = bent(bends.objectBytes, Buffer.from(encode(bent(bends.object, object))));
    return this.#answer(bends, {
      clientDataJSON: b64url(bent(bends.finalClient, client)),
      attestationObject: b64url(bytes),
      transports: ["internal", "hybrid"],
    });
  }

  /**
   * `navigator.credentials.get()`.
   * @param {{ rpId: string, challenge: string, origin: string }} ceremony
   * @param {Bends} [bends]
   * @returns {string}
   */
  authenticate(ceremony, bends = {}) {
    const client = this.#client("webauthn.get", ceremony, bends);
    const authData = this.#authData(ceremony.rpId, false, bends);
    const message = bent(bends.message, Buffer.concat([authData, sha256(client)]));
    return this.#answer(bends, {
      clientDataJSON: b64url(bent(bends.finalClient, client)),
      authenticatorData: b64url(bent(bends.finalAuthData, authData)),
      signature: b64url(bent(bends.signature, signature(this.alg, this.privateKey, message))),
      userHandle: b64url(this.owner),
    });
  }

  #answer(bends, response) {
    const id = b64url(this.id);
    const envelope = { id, rawId: id, type: "public-key", authenticatorAttachment: "platform", clientExtensionResults: {}, response };
    return bent(bends.json, JSON.stringify(bent(bends.envelope, envelope)));
  }
}

// Certificates, element by element, so that each can be wrong.

const element = (tag, ...content) => {
  const body = Buffer.concat(content);
  const length =
    body.length < 0x80 ? [body.length] : body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
};
const sequence = (...content) => element(0x30, ...content);
const oid = (hex) => element(6, Buffer.from(hex, "hex"));
const ATTRIBUTES = { C: "550406", O: "55040a", OU: "55040b", CN: "550403" };
const SIGNED_BY = {
  [ES256]: sequence(oid("2a8648ce3d040302")),
  [EDDSA]: sequence(oid("2b6570")),
  [RS256]: sequence(oid("2a864886f70d01010b"), element(5)),
};

const name = (attributes) =>
  sequence(
    ...attributes.map(([kind, text]) =>
      element(0x31, sequence(oid(ATTRIBUTES[kind]), element(kind === "C" ? 0x13 : 0x0c, Buffer.from(text)))),
    ),
  );

export const AAGUID = "2b0601040182e51c010104";
const BASIC_CONSTRAINTS = "551d13";

/**
 * @typedef {{ id: string, critical: boolean, value: Buffer }} Extension
 * @typedef {object} Profile what §8.2.1 asks for
 * @property {number} version as it is encoded
 * @property {[string, string][]} subject
 * @property {Extension[]} extensions
 */

/** @returns {Profile} */
const attestationProfile = (aaguid) => ({
  version: 2,
  subject: [["C", "CH"], ["O", "Maker"], ["OU", "Authenticator Attestation"], ["CN", "Model"]],
  extensions: [
    { id: BASIC_CONSTRAINTS, critical: true, value: sequence() },
    { id: AAGUID, critical: false, value: element(4, aaguid) },
  ],
});

export const constraints = (profile, value) => {
  profile.extensions[0].value = sequence(...value.map(([tag, ...bytes]) => element(tag, Buffer.from(bytes))));
};

/** @param {Profile} profile */
function certificate(alg, { publicKey, privateKey }, { version, subject, extensions }) {
  const time = (text) => element(0x18, Buffer.from(text));
  const list = extensions.map(({ id, critical, value }) =>
    sequence(oid(id), ...(critical ? [element(1, Buffer.from([0xff]))] : []), element(4, value)),
  );
  const tbs = sequence(
    ...(version === 0 ? [] : [element(0xa0, element(2, Buffer.from([version])))]),
    element(2, Buffer.from([1])),
    SIGNED_BY[alg],
    name([["CN", "Maker"]]),
    sequence(time("20200101000000Z"), time("20990101000000Z")),
    name(subject),
    publicKey.export({ type: "spki", format: "der" }),
    ...(list.length ? [element(0xa3, sequence(...list))] : []),
  );
  return sequence(tbs, SIGNED_BY[alg], element(3, Buffer.from([0]), signature(alg, privateKey, tbs)));
}
