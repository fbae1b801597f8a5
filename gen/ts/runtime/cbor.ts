/**
 * Deterministic CBOR, as far as the signed documents need it: unsigned integers, byte strings, text
 * strings and maps, of definite length and with shortest heads (RFC 8949 §4.2.1).
 */

const UNSIGNED = 0;
const BYTES = 2;
const TEXT = 3;
const MAP = 5;

/** A value that does not fit, or bytes that {@link Writer} would not have written. */
export class CborError extends Error {
  override readonly name = "CborError";
}

/** Writes items one after the other. */
export class Writer {
  readonly #bytes: number[] = [];

  unsigned(value: bigint): this {
    return this.#head(UNSIGNED, value);
  }

  bytes(value: Uint8Array): this {
    return this.#string(BYTES, value);
  }

  text(value: string): this {
    return this.#string(TEXT, utf8(value));
  }

  /** The head of a map of this many pairs, which follow. */
  map(pairs: number): this {
    return this.#head(MAP, BigInt(pairs));
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.#bytes);
  }

  #string(major: number, value: Uint8Array): this {
    this.#head(major, BigInt(value.length));
    for (const byte of value) this.#bytes.push(byte);
    return this;
  }

  #head(major: number, value: bigint): this {
    if (value < 0n || value >= 2n ** 64n) throw new CborError("not an unsigned integer of 64 bits");
    if (value < 24n) {
      this.#bytes.push((major << 5) | Number(value));
      return this;
    }
    const code = value < 2n ** 8n ? 0 : value < 2n ** 16n ? 1 : value < 2n ** 32n ? 2 : 3;
    this.#bytes.push((major << 5) | (24 + code));
    for (let byte = 2 ** code - 1; byte >= 0; byte -= 1) {
      this.#bytes.push(Number((value >> BigInt(8 * byte)) & 0xffn));
    }
    return this;
  }
}

/** Reads items one after the other, and accepts only what {@link Writer} writes. */
export class Reader {
  #at = 0;

  constructor(private readonly input: Uint8Array) {}

  unsigned(): bigint {
    return this.#head(UNSIGNED);
  }

  bytes(): Uint8Array {
    return this.#string(BYTES).slice();
  }

  text(): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(this.#string(TEXT));
    } catch {
      throw new CborError("text is not UTF-8");
    }
  }

  /** The number of pairs of a map. */
  map(): bigint {
    return this.#head(MAP);
  }

  /** Insists that all was read. */
  finish(): void {
    this.expect(this.#at === this.input.length);
  }

  expect(condition: boolean): asserts condition {
    if (!condition) throw new CborError("not canonical");
  }

  #take(length: number): Uint8Array {
    this.expect(length <= this.input.length - this.#at);
    this.#at += length;
    return this.input.subarray(this.#at - length, this.#at);
  }

  #string(major: number): Uint8Array {
    return this.#take(Number(this.#head(major)));
  }

  /** The argument of an item's head, which must be the shortest for its value. */
  #head(major: number): bigint {
    const [first = 0] = this.#take(1);
    this.expect(first >> 5 === major);
    const code = (first & 31) - 24;
    if (code < 0) return BigInt(first & 31);
    this.expect(code <= 3);
    const value = this.#take(2 ** code).reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
    this.expect(value >= (code === 0 ? 24n : 1n << BigInt(8 * 2 ** (code - 1))));
    return value;
  }
}

/** UTF-8 of well-formed text. `TextEncoder` would quietly replace a lone surrogate. */
export function utf8(value: string): Uint8Array {
  if (/\p{Surrogate}/u.test(value)) throw new CborError("ill-formed text");
  return new TextEncoder().encode(value);
}
