// A verifier that follows docs/revocation.md, and shares nothing with the authority: the list by `jose`,
// certificates by Node.
import { X509Certificate } from "node:crypto";
import { createRemoteJWKSet, jwtVerify } from "jose";

/** The element of DER that begins there: its tag, its content, and where it ends. */
function element(der, at = 0) {
  const long = der[at + 1] > 0x7f ? der[at + 1] & 0x7f : 0;
  const length = long ? der.readUIntBE(at + 2, long) : der[at + 1];
  const [start, end] = [at + 2 + long, at + 2 + long + length];
  if (end > der.length) throw new Error("no DER");
  return { tag: der[at], content: der.subarray(start, end), end };
}

/** The value of one of our extensions, 1.3.6.1.4.1.99999.1.N, if it is there. */
function extension(der, number) {
  const oid = Buffer.concat([Buffer.from("060a2b06010401868d1f01", "hex"), Buffer.from([number])]);
  const at = der.indexOf(oid);
  if (at < 0) return undefined;
  const next = element(der, at + oid.length);
  // A truth value says that it is critical.
  const value = next.tag === 0x01 ? element(der, next.end) : next;
  if (value.tag !== 0x04) throw new Error(`no value in extension ${number}`);
  return element(value.content);
}

function text(found, what) {
  if (found?.tag !== 0x0c) throw new Error(`no text in ${what}`);
  return found.content.toString();
}

/** The delegation that it was issued on, if on one, and on whose behalf it is, which stands behind that. */
function behalf(der) {
  const found = extension(der, 7);
  if (!found) return [];
  const id = element(found.content);
  return [id, element(found.content, id.end)].map((part) => text(part, "extension 7"));
}

/** Whom it names, when it was issued in Unix seconds, and the epoch. */
function facts(der) {
  const epoch = extension(der, 4);
  if (epoch?.tag !== 0x02) throw new Error("no number in extension 4");
  const [delegation, onBehalfOf] = behalf(der);
  return {
    delegation,
    principals: [text(extension(der, 1), "extension 1"), onBehalfOf].filter((who) => who !== undefined),
    issuedAt: Date.parse(text(extension(der, 2), "extension 2")) / 1000,
    epoch: Number(`0x${epoch.content.toString("hex")}`),
  };
}

/** Whether an entry of that name says that what was issued at a time (Unix seconds) is revoked. */
const ends = (entries, name, issuedAt) => Object.hasOwn(entries, name) && issuedAt < entries[name] + 1;

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
    const { delegation, principals, issuedAt, epoch } = facts(leaf.raw);
    principals.push(leaf.subjectAltName.replace(/^URI:/, ""));
    const serial = leaf.serialNumber.toLowerCase().padStart(32, "0");
    if (list.credentials.includes(serial)) return "the credential is revoked";
    if (principals.some((who) => this.isOver(who, issuedAt))) return "the principal is revoked";
    if (delegation !== undefined && ends(list.delegations, delegation, issuedAt)) return "the delegation is revoked";
    return epoch === list.epoch ? undefined : "another epoch";
  }

  /** Whether what was issued to somebody at a time (Unix seconds) is revoked with them: pairs, and access tokens. */
  isOver(who, issuedAt) {
    return ends(this.list.principals, who, issuedAt);
  }
}
