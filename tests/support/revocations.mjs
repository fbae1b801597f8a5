// A verifier that follows docs/revocation.md, and shares nothing with the authority: the list by `jose`,
// certificates by Node.
import { X509Certificate } from "node:crypto";
import { createRemoteJWKSet, jwtVerify } from "jose";

/** The value of one of our extensions, 1.3.6.1.4.1.99999.1.N: its tag and its content. */
function extension(der, number) {
  const oid = Buffer.from("060a2b06010401868d1f01", "hex");
  const at = der.indexOf(Buffer.concat([oid, Buffer.from([number, 0x04])]));
  const value = der.subarray(at + oid.length + 3);
  if (at < 0 || value[1] > 0x7f) throw new Error(`no extension ${number}`);
  return { tag: value[0], content: value.subarray(2, 2 + value[1]) };
}

function text(der, number) {
  const { tag, content } = extension(der, number);
  if (tag !== 0x0c) throw new Error(`no text in extension ${number}`);
  return content.toString();
}

/** The subject, when it was issued in Unix seconds, and the epoch. */
function facts(der) {
  const epoch = extension(der, 4);
  if (epoch.tag !== 0x02) throw new Error("no number in extension 4");
  return { subject: text(der, 1), issuedAt: Date.parse(text(der, 2)) / 1000, epoch: Number(`0x${epoch.content.toString("hex")}`) };
}

const BOUND = 300;
const SKEW = 60;

export class Verifier {
  /** The list that counts, if there is one. */
  list;
  #tag;

  /** @param {{ url: string, now?: () => number }} options */
  constructor({ url, now = () => Date.now() / 1000 }) {
    this.url = url;
    this.now = now;
    this.keys = createRemoteJWKSet(new URL(`${url}/.well-known/jwks.json`), { cooldownDuration: 0 });
  }

  /** Asks for the list; whether there was a new one. What can't be verified is no list. */
  async poll() {
    const response = await fetch(`${this.url}/.well-known/revocations.jwt`, { headers: this.#tag ? { "if-none-match": this.#tag } : {} });
    if (response.status === 304) return false;
    if (response.status !== 200) throw new Error(`status ${response.status}`);
    const { payload } = await jwtVerify(await response.text(), this.keys, {
      issuer: this.url,
      audience: "notme-revocations",
      algorithms: ["EdDSA"],
      typ: "notme-revocations+jwt",
      currentDate: new Date(this.now() * 1000),
      requiredClaims: ["iat", "exp", "epoch", "number"],
    });
    if (payload.iat > this.now() + SKEW) throw new Error("a list that is still to come");
    if (this.list && payload.number < this.list.number) throw new Error("an older list than was seen before");
    this.#tag = response.headers.get("etag");
    this.list = payload;
    return true;
  }

  /** Why a certificate is refused, or nothing. */
  refusal(pem) {
    const { list } = this;
    if (!list || this.now() >= Math.min(list.exp, list.iat + BOUND)) return "nobody knows what is revoked";
    const leaf = new X509Certificate(pem);
    const { subject, issuedAt, epoch } = facts(leaf.raw);
    const serial = leaf.serialNumber.toLowerCase().padStart(32, "0");
    if (list.credentials.includes(serial)) return "the credential is revoked";
    const before = list.principals[subject];
    if (before !== undefined && issuedAt < before + 1) return "the principal is revoked";
    return epoch === list.epoch ? undefined : "another epoch";
  }
}
