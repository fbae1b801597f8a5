// An enrolment client on Node's own crypto: keys, proofs, requests.
import { createHash, generateKeyPairSync, sign } from "node:crypto";

const spki = (key) => key.export({ type: "spki", format: "der" });
const pem = (key) => key.export({ type: "spki", format: "pem" });
const LABEL = Buffer.from("notme-proof-of-possession-v1\0");

export class Keys {
  constructor() {
    this.mtls = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.signing = generateKeyPairSync("ed25519");
  }

  get publicKeys() {
    return { mtls: pem(this.mtls.publicKey), signing: pem(this.signing.publicKey) };
  }

  /** mtlsSPKI ‖ signingSPKI ‖ SHA-256(token) */
  preImage(token) {
    const digest = createHash("sha256").update(token).digest();
    return Buffer.concat([spki(this.mtls.publicKey), spki(this.signing.publicKey), digest]);
  }

  /** mtlsSPKI ‖ signingSPKI, and with a challenge what comes before them (docs/people.md). */
  message(challenge) {
    const parts = [spki(this.mtls.publicKey), spki(this.signing.publicKey)];
    return Buffer.concat(challenge ? [LABEL, challenge, ...parts] : parts);
  }

  /** The two proofs over a message. */
  proofsOver(message) {
    return {
      mtls: sign("sha256", message, { key: this.mtls.privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url"),
      signing: sign(null, message, this.signing.privateKey).toString("base64url"),
    };
  }

  /** The two proofs; each may be over the pre-image's SHA-256 instead, as older clients do it. */
  proofs(token, { legacy = [] } = {}) {
    const preImage = this.preImage(token);
    const digest = createHash("sha256").update(preImage).digest();
    const message = (name) => (legacy.includes(name) ? digest : preImage);
    const p1363 = { key: this.mtls.privateKey, dsaEncoding: "ieee-p1363" };
    return {
      mtls: sign("sha256", message("mtls"), p1363).toString("base64url"),
      signing: sign(null, message("signing"), this.signing.privateKey).toString("base64url"),
    };
  }

  body(token, options) {
    return { public_keys: this.publicKeys, proofs: this.proofs(token, options) };
  }
}

/** Posts to `/cert/gha`; `body` is an object or the text itself. */
export async function enroll(url, token, body, headers = {}) {
  const response = await fetch(`${url}/cert/gha`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...headers,
    },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });
  const text = await response.text();
  let json;
  try {
    json = JSON.parse(text);
  } catch {
    // not JSON; the caller looks at the text
  }
  return { status: response.status, headers: response.headers, text, json };
}
