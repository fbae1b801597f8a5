/**
 * The receipt commitment: the canonical CBOR that a receipt's signature is over (notme-protocol
 * §16.1). Whether a signer accepts what is in it is not decided here.
 */

import { CborError, Reader, Writer } from "./runtime/cbor.ts";

/** What a receipt commits to. */
export interface ReceiptCommitment {
  /** Revocation epoch of the signer. */
  epoch: bigint;
  /** Chosen by the caller; at least 16 bytes. */
  nonce: Uint8Array;
  /** HTTP status of the response. */
  status: bigint;
  /** SHA-256 of the signer's raw public key, 32 bytes. */
  actorFp: Uint8Array;
  /** SHA-256 of the response's body, 32 bytes. */
  bodyHash: Uint8Array;
  /** Correlates the receipt with a delegation, where there is one. */
  delegation?: Uint8Array | undefined;
  /** SHA-256 of the response's headers, 32 bytes. */
  headersHash: Uint8Array;
  /** SHA-256 of the request, 32 bytes. */
  requestHash: Uint8Array;
  /** Milliseconds since 1970-01-01T00:00:00Z. */
  timestampMs: bigint;
}

/** The bytes that are signed. */
export function encodeReceiptCommitment(value: ReceiptCommitment): Uint8Array {
  if (value.nonce.length < 16) throw new CborError("nonce of less than 16 bytes");
  const cbor = new Writer().map(value.delegation === undefined ? 8 : 9);
  const hash = (name: string, bytes: Uint8Array) => {
    if (bytes.length !== 32) throw new CborError(`${name} is not of 32 bytes`);
    cbor.text(name).bytes(bytes);
  };
  cbor.text("epoch").unsigned(value.epoch).text("nonce").bytes(value.nonce).text("status").unsigned(value.status);
  hash("actor_fp", value.actorFp);
  hash("body_hash", value.bodyHash);
  if (value.delegation !== undefined) cbor.text("delegation").bytes(value.delegation);
  hash("headers_hash", value.headersHash);
  hash("request_hash", value.requestHash);
  return cbor.text("timestamp_ms").unsigned(value.timestampMs).finish();
}

/** Reads what {@link encodeReceiptCommitment} writes and nothing else. */
export function decodeReceiptCommitment(bytes: Uint8Array): ReceiptCommitment {
  const cbor: Reader = new Reader(bytes);
  const key = (name: string) => cbor.expect(cbor.text() === name);
  const pairs = cbor.map();
  cbor.expect(pairs === 8n || pairs === 9n);
  const unsigned = (name: string) => {
    key(name);
    return cbor.unsigned();
  };
  const string = (name: string, accepts: (length: number) => boolean) => {
    key(name);
    const value = cbor.bytes();
    cbor.expect(accepts(value.length));
    return value;
  };
  const isHash = (length: number) => length === 32;
  const epoch = unsigned("epoch");
  const nonce = string("nonce", (length) => length >= 16);
  const status = unsigned("status");
  const actorFp = string("actor_fp", isHash);
  const bodyHash = string("body_hash", isHash);
  const delegation = pairs === 9n ? { delegation: string("delegation", () => true) } : {};
  const headersHash = string("headers_hash", isHash);
  const requestHash = string("request_hash", isHash);
  const timestampMs = unsigned("timestamp_ms");
  cbor.finish();
  return { epoch, nonce, status, actorFp, bodyHash, ...delegation, headersHash, requestHash, timestampMs };
}
