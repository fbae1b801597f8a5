/**
 * The revocation bundle outside Cap'n Proto: the JSON that verifiers poll (notme-protocol §13.2) and
 * the canonical CBOR that is signed (§13.3): definite lengths, shortest heads, keys ascending.
 */

import * as z from "zod";

import type { CABundle, KeyEntry } from "./identity.ts";
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

const UNSIGNED = 0;
const BYTES = 2;
const TEXT = 3;
const MAP = 5;

/** The bytes that are signed. The signature is not among them. */
export function encodeBundleCbor(bundle: CABundle): Uint8Array {
  const entries = bundle.keys.map(({ kid, publicKey }) => ({ kid: utf8(kid), publicKey }));
  entries.sort((a, b) => order(a.kid, b.kid));
  if (entries.some(({ kid }, index) => index > 0 && order(entries[index - 1]?.kid ?? kid, kid) === 0)) {
    throw new BundleError("duplicateKeyId");
  }
  if (bundle.issuedAt < 0n || bundle.issuedAt >= 2n ** 63n) throw new BundleError("invalidTime");
  const bytes: number[] = [];
  head(MAP, 6n);
  unsigned(1n);
  unsigned(bundle.epoch);
  unsigned(2n);
  unsigned(bundle.seqno);
  unsigned(3n);
  head(MAP, BigInt(entries.length));
  for (const { kid, publicKey } of entries) {
    string(TEXT, kid);
    string(BYTES, publicKey);
  }
  unsigned(4n);
  string(TEXT, utf8(bundle.keyId));
  unsigned(5n);
  string(TEXT, utf8(bundle.prevKeyId));
  unsigned(6n);
  unsigned(bundle.issuedAt);
  return Uint8Array.from(bytes);

  function unsigned(value: bigint): void {
    if (value < 0n || value >= 2n ** 64n) throw new BundleError("outOfRange");
    head(UNSIGNED, value);
  }

  function string(major: number, value: Uint8Array): void {
    head(major, BigInt(value.length));
    for (const byte of value) bytes.push(byte);
  }

  function head(major: number, value: bigint): void {
    if (value < 24n) {
      bytes.push((major << 5) | Number(value));
      return;
    }
    const code = value < 2n ** 8n ? 0 : value < 2n ** 16n ? 1 : value < 2n ** 32n ? 2 : 3;
    bytes.push((major << 5) | (24 + code));
    for (let byte = 2 ** code - 1; byte >= 0; byte -= 1) bytes.push(Number((value >> BigInt(8 * byte)) & 0xffn));
  }
}

/** Reads what {@link encodeBundleCbor} writes and nothing else. The signature is empty. */
export function decodeBundleCbor(bytes: Uint8Array): CABundle {
  let at = 0;
  expect(head(MAP) === 6n);
  expect(head(UNSIGNED) === 1n);
  const epoch = head(UNSIGNED);
  expect(head(UNSIGNED) === 2n);
  const seqno = head(UNSIGNED);
  expect(head(UNSIGNED) === 3n);
  const keys: KeyEntry[] = [];
  let last: Uint8Array | undefined;
  for (let left = head(MAP); left > 0n; left -= 1n) {
    const kid = string(TEXT);
    // Strictly ascending, so that no id occurs twice.
    expect(last === undefined || order(last, kid) < 0);
    last = kid;
    keys.push({ kid: text(kid), publicKey: string(BYTES).slice() });
  }
  expect(head(UNSIGNED) === 4n);
  const keyId = text(string(TEXT));
  expect(head(UNSIGNED) === 5n);
  const prevKeyId = text(string(TEXT));
  expect(head(UNSIGNED) === 6n);
  const issuedAt = head(UNSIGNED);
  expect(at === bytes.length);
  if (issuedAt >= 2n ** 63n) throw new BundleError("invalidTime");
  return { epoch, seqno, keys, keyId, prevKeyId, issuedAt, signature: new Uint8Array() };

  function expect(condition: boolean): asserts condition {
    if (!condition) throw new BundleError("invalidCbor");
  }

  function take(length: number): Uint8Array {
    expect(length <= bytes.length - at);
    at += length;
    return bytes.subarray(at - length, at);
  }

  function string(major: number): Uint8Array {
    return take(Number(head(major)));
  }

  /** The argument of an item's head, which must be the shortest for its value. */
  function head(major: number): bigint {
    const [first = 0] = take(1);
    expect(first >> 5 === major);
    const code = (first & 31) - 24;
    if (code < 0) return BigInt(first & 31);
    expect(code <= 3);
    const value = take(2 ** code).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
    expect(value >= (code === 0 ? 24n : 1n << BigInt(8 * 2 ** (code - 1))));
    return value;
  }

  function text(value: Uint8Array): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
    } catch {
      throw new BundleError("invalidCbor");
    }
  }
}

function utf8(value: string): Uint8Array {
  if (/\p{Surrogate}/u.test(value)) throw new BundleError("outOfRange");
  return new TextEncoder().encode(value);
}

/** Text keys are ordered by length first, then bytewise: the order of their encodings. */
function order(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length;
  const index = a.findIndex((byte, index) => byte !== b[index]);
  return index < 0 ? 0 : (a[index] ?? 0) - (b[index] ?? 0);
}
