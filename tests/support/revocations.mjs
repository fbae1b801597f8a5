// A verifier that follows docs/revocation.md, and shares nothing with the authority: the list by `jose`,
// certificates by Node.
import { X509Certificate } from "node:crypto";
import { createRemoteJWKSet, jwtVerify } from "jose";

/** The text in one of our extensions, 1.3.6.1.4.1.99999.1.N. */
function extension(der, number) {
  const oid = Buffer.from("060a2b0601040186 8d1f01".replace(" ", ""), "hex");
  const at = der.indexOf(Buffer.concat([oid, Buffer.from([number, 0x04])]));
  const octets = der.subarray(at + oid.length + 3);
  if (at < 0 || octets[0] !== 0x0c || octets[1] > 0x7f) throw new Error(`no text in extension ${number}`);
  return octets.subarray(2, 2 + octets[1]).toString();
}

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
      algorithms: ["EdDSA"],
      typ: "notme-revocations+jwt",
      currentDate: new Date(this.now() * 1000),
      requiredClaims: ["iat", "exp", "epoch", "number"],
    });
    if (this.list && payload.number < this.list.number) throw new Error("an older list than was seen before");
    this.#tag = response.headers.get("etag");
    this.list = payload;
    return true;
  }

  /** Why a certificate is refused, or nothing. */
  refusal(pem, epoch) {
    const { list } = this;
    if (!list || this.now() >= list.exp) return "nobody knows what is revoked";
    const leaf = new X509Certificate(pem);
    const serial = leaf.serialNumber.toLowerCase().padStart(32, "0");
    if (list.credentials.includes(serial)) return "the credential is revoked";
    const before = list.principals[extension(leaf.raw, 1)];
    if (before !== undefined && Date.parse(extension(leaf.raw, 2)) / 1000 < before + 1) return "the principal is revoked";
    return epoch === list.epoch ? undefined : "another epoch";
  }
}
