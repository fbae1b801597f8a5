// Revocation bundles, read by code that shares nothing with ours: a CBOR encoder written from the RFC.
import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";

/** Canonical CBOR (RFC 8949 §4.2.1) of unsigned integers, texts, bytes and maps as entry lists. */
export function cbor(value) {
  const head = (major, n) => {
    if (n < 24) return Buffer.from([(major << 5) | n]);
    if (n < 0x100) return Buffer.from([(major << 5) | 24, n]);
    if (n < 0x10000) return Buffer.from([(major << 5) | 25, n >> 8, n & 255]);
    const bytes = Buffer.alloc(9);
    if (n < 0x100000000) {
      bytes[0] = (major << 5) | 26;
      bytes.writeUInt32BE(n, 1);
      return bytes.subarray(0, 5);
    }
    bytes[0] = (major << 5) | 27;
    bytes.writeBigUInt64BE(BigInt(n), 1);
    return bytes;
  };
  if (typeof value === "number") return head(0, value);
  if (typeof value === "string") return Buffer.concat([head(3, Buffer.byteLength(value)), Buffer.from(value)]);
  if (Buffer.isBuffer(value)) return Buffer.concat([head(2, value.length), value]);
  return Buffer.concat([head(5, value.length), ...value.flatMap(([k, v]) => [cbor(k), cbor(v)])]);
}

/** Checks a bundle as a verifier would, and gives it back. */
export function verified(bundle) {
  const ids = Object.keys(bundle.keys).sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
  const signed = cbor([
    [1, bundle.epoch],
    [2, bundle.seqno],
    [3, ids.map((id) => [id, Buffer.from(bundle.keys[id], "base64")])],
    [4, bundle.keyId],
    [5, bundle.prevKeyId ?? ""],
    [6, bundle.issuedAt],
  ]);
  const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(bundle.keys[bundle.keyId], "base64")]);
  const key = createPublicKey({ key: spki, format: "der", type: "spki" });
  assert.ok(verify(null, signed, key, Buffer.from(bundle.signature, "base64")), "the bundle's signature");
  return bundle;
}
