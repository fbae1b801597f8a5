/**
 * The revocation bundle outside Cap'n Proto: the JSON that verifiers poll (notme-protocol §13.2) and
 * the canonical CBOR that is signed (§13.3): definite lengths, shortest heads, keys ascending.
 */

import * as z from "zod";

import type { CABundle, KeyEntry } from "./identity.ts";
import { CborError, Reader, utf8, Writer } from "./runtime/cbor.ts";
import * as json from "./runtime/json.ts";

/** The bundle's JSON on `/internal/ca-bundle`. It differs from `CABundleJson` in `keys`. */
export interface BundleDocument {
  epoch: number;
  seqno: number;
  /** Key id to raw Ed25519 public key, standard base64. */
  keys: Record<string, string>;
  keyId: string;
  prevKeyId?: string | undefined;
  issuedAt: number;
  signature: string;
}

const keys = z.codec(z.record(json.text, json.base64), z.custom<KeyEntry[]>(Array.isArray), {
  decode: (entries) => Object.entries(entries).map(([kid, publicKey]) => ({ kid, publicKey })),
  encode: (entries) => Object.fromEntries(entries.map(({ kid, publicKey }) => [kid, publicKey])),
});

/** Validates {@link BundleDocument}; the value is a {@link CABundle}. */
export const BundleDocumentSchema: z.ZodType<CABundle, BundleDocument> = z.object({
  epoch: json.uint64,
  seqno: json.uint64,
  keys,
  keyId: json.text,
  prevKeyId: json.optionalText,
  issuedAt: json.int64,
  signature: json.base64,
});

export type BundleErrorCode = "duplicateKeyId" | "invalidCbor" | "invalidTime" | "outOfRange";

/** A bundle that has no canonical CBOR, or bytes that are not the canonical CBOR of any. */
export class BundleError extends Error {
  override readonly name = "BundleError";
  constructor(readonly code: BundleErrorCode) {
    super(code);
  }
}

/** The bytes that are signed. The signature is not among them. */
export function encodeBundleCbor(bundle: CABundle): Uint8Array {
  if (bundle.issuedAt < 0n || bundle.issuedAt >= 2n ** 63n) throw new BundleError("invalidTime");
  return attempt("outOfRange", () => {
    const keys = [...bundle.keys].sort((a, b) => order(a.kid, b.kid));
    if (keys.some(({ kid }, index) => keys[index - 1]?.kid === kid)) throw new BundleError("duplicateKeyId");
    const cbor = new Writer().map(6).unsigned(1n).unsigned(bundle.epoch).unsigned(2n).unsigned(bundle.seqno);
    cbor.unsigned(3n).map(keys.length);
    for (const { kid, publicKey } of keys) cbor.text(kid).bytes(publicKey);
    cbor.unsigned(4n).text(bundle.keyId).unsigned(5n).text(bundle.prevKeyId);
    return cbor.unsigned(6n).unsigned(bundle.issuedAt).finish();
  });
}

/** Reads what {@link encodeBundleCbor} writes and nothing else. The signature is empty. */
export function decodeBundleCbor(bytes: Uint8Array): CABundle {
  const bundle = attempt("invalidCbor", () => {
    const cbor: Reader = new Reader(bytes);
    const key = (number: bigint) => cbor.expect(cbor.unsigned() === number);
    cbor.expect(cbor.map() === 6n);
    key(1n);
    const epoch = cbor.unsigned();
    key(2n);
    const seqno = cbor.unsigned();
    key(3n);
    const keys: KeyEntry[] = [];
    for (let left = cbor.map(); left > 0n; left -= 1n) {
      const kid = cbor.text();
      // Strictly ascending, so that no id occurs twice.
      const last = keys.at(-1);
      cbor.expect(last === undefined || order(last.kid, kid) < 0);
      keys.push({ kid, publicKey: cbor.bytes() });
    }
    key(4n);
    const keyId = cbor.text();
    key(5n);
    const prevKeyId = cbor.text();
    key(6n);
    const issuedAt = cbor.unsigned();
    cbor.finish();
    return { epoch, seqno, keys, keyId, prevKeyId, issuedAt, signature: new Uint8Array() };
  });
  if (bundle.issuedAt >= 2n ** 63n) throw new BundleError("invalidTime");
  return bundle;
}

function attempt<T>(code: BundleErrorCode, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof CborError ? new BundleError(code) : error;
  }
}

/** Text keys are ordered by length first, then bytewise: the order of their encodings. */
function order(left: string, right: string): number {
  const [a, b] = [utf8(left), utf8(right)];
  if (a.length !== b.length) return a.length - b.length;
  const index = a.findIndex((byte, index) => byte !== b[index]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
