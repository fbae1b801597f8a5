/**
 * Canonical Cap'n Proto, as far as the generated types need it: the twin of the Rust runtime in
 * gen/rust/src/runtime.rs, which says what is in scope, what is refused and why.
 *
 * https://capnproto.org/encoding.html
 */

/** How many pointers may be followed one after the other, the root's included. */
export const MAX_DEPTH = 64;

/** How many elements without any bytes of their own one message may hold in all. */
export const MAX_EMPTY_ELEMENTS = 65_536;

/** One more than the largest element count and offset that a pointer can carry. */
const LIMIT = 2 ** 29;

export type EncodeErrorCode = "outOfRange" | "illFormedText" | "tooDeep" | "tooLarge" | "unknownMember";

/** A value that has no canonical encoding. */
export class EncodeError extends Error {
  override readonly name = "EncodeError";
  constructor(readonly code: EncodeErrorCode) {
    super(code);
  }
}

export type DecodeErrorCode =
  | "invalidUtf8"
  | "missingNul"
  | "missingStruct"
  | "notCanonical"
  | "outOfBounds"
  | "tooDeep"
  | "tooMuch"
  | "truncated"
  | "unknownEnumerant"
  | "unknownMember"
  | "unsupportedPointer"
  | "wrongKind";

/** Bytes that are not a message of the expected struct. */
export class DecodeError extends Error {
  override readonly name = "DecodeError";
  constructor(
    readonly code: DecodeErrorCode,
    /** The field, enum or union concerned, where there is one. */
    readonly what?: string,
  ) {
    super(what === undefined ? code : `${code}: ${what}`);
  }
}

/** How the members of a struct, group or union are written and read. */
export interface Codec<T> {
  readonly name: string;
  write(value: T, builder: StructBuilder): void;
  read(reader: StructReader): T;
}

/** How text, data or a list behind a pointer is written and read. */
export interface Pointed<T> {
  isEmpty(value: T): boolean;
  build(value: T): Pointer;
  /** A null pointer reads as the empty value. */
  parse(pointer: PointerReader | undefined): T;
}

/** How the elements of a list are written and read. */
export interface Element<T> {
  build(values: readonly T[]): Pointer;
  parse(pointer: PointerReader): T[];
}

/** The one canonical encoding of a value: a single segment without segment table. */
export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  return layOut({ kind: "struct", struct: StructBuilder.of(codec, value) });
}

/** Reads a message of one segment without segment table, canonical or not. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  return new Segment(bytes).root(codec);
}

/** Reads a message and refuses any bytes that {@link encode} would not have written. */
export function decodeCanonical<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const value = decode(codec, bytes);
  const canonical = encode(codec, value);
  if (canonical.length !== bytes.length || canonical.some((byte, index) => byte !== bytes[index])) {
    throw new DecodeError("notCanonical");
  }
  return value;
}

/** Little-endian bytes of an integer that must fit. */
function littleEndian(value: number | bigint, bits: number, signed: boolean): number[] {
  if (typeof value === "number" && !Number.isSafeInteger(value)) throw new EncodeError("outOfRange");
  const integer = BigInt(value);
  if (integer !== (signed ? BigInt.asIntN(bits, integer) : BigInt.asUintN(bits, integer))) {
    throw new EncodeError("outOfRange");
  }
  return Array.from({ length: bits / 8 }, (_, index) => Number((integer >> BigInt(8 * index)) & 0xffn));
}

/** The members of a struct on their way out. Both sections grow as they are written. */
export class StructBuilder {
  readonly data: number[] = [];
  readonly pointers: (Pointer | undefined)[] = [];

  static of<T>(codec: Codec<T>, value: T): StructBuilder {
    const builder = new StructBuilder();
    codec.write(value, builder);
    return builder;
  }

  /** Puts a bit at a bit offset, after XOR with the default. */
  bool(offset: number, value: boolean, standard = false): void {
    const byte = Math.floor(offset / 8);
    this.data[byte] = (this.data[byte] ?? 0) | (Number(value !== standard) << (offset % 8));
  }

  /** Puts an integer at a byte offset, after XOR with the default. */
  integer(offset: number, bits: number, signed: boolean, value: number | bigint, standard: number | bigint = 0): void {
    const mask = littleEndian(standard, bits, signed);
    littleEndian(value, bits, signed).forEach((byte, index) => {
      this.data[offset + index] = byte ^ (mask[index] ?? 0);
    });
  }

  /** Puts an enumerant at a byte offset, after XOR with the default's ordinal. */
  enumerant(offset: number, ordinals: Readonly<Record<string, number>>, value: string, standard = 0): void {
    this.integer(offset, 16, false, ordinalOf(ordinals, value), standard);
  }

  /** Puts text, data or a list at an index of the pointer section, or nothing if it is empty. */
  valueUnlessEmpty<T>(index: number, pointed: Pointed<T>, value: T): void {
    if (!pointed.isEmpty(value)) this.value(index, pointed, value);
  }

  /** Puts text, data or a list at an index of the pointer section, even if it is empty. */
  value<T>(index: number, pointed: Pointed<T>, value: T): void {
    this.pointers[index] = pointed.build(value);
  }

  /** Puts a struct at an index of the pointer section. */
  struct<T>(index: number, codec: Codec<T>, value: T): void {
    this.pointers[index] = { kind: "struct", struct: StructBuilder.of(codec, value) };
  }

  /** Words of data and number of pointers that remain when trailing zeroes are cut off. */
  size(): Size {
    let bytes = this.data.length;
    while (bytes > 0 && (this.data[bytes - 1] ?? 0) === 0) bytes -= 1;
    let pointers = this.pointers.length;
    while (pointers > 0 && this.pointers[pointers - 1] === undefined) pointers -= 1;
    return { data: Math.ceil(bytes / 8), pointers };
  }
}

interface Size {
  data: number;
  pointers: number;
}

/** What a pointer leads to, on its way out. */
export type Pointer =
  | { kind: "struct"; struct: StructBuilder }
  | { kind: "structs"; structs: readonly StructBuilder[] }
  | { kind: "pointers"; pointers: readonly Pointer[] }
  | { kind: "scalars"; elementSize: number; count: number; bytes: ArrayLike<number> };

function ordinalOf(ordinals: Readonly<Record<string, number>>, name: string): number {
  const ordinal = Object.hasOwn(ordinals, name) ? ordinals[name] : undefined;
  if (ordinal === undefined) throw new EncodeError("outOfRange");
  return ordinal;
}

function layOut(root: Pointer): Uint8Array {
  const bytes: number[] = [];
  let emptyElements = 0;
  grow(1);
  place(0, root, 0);
  return Uint8Array.from(bytes);

  function grow(words: number): void {
    for (let count = 8 * words; count > 0; count -= 1) bytes.push(0);
  }

  function set(at: number, low: number, high: number): void {
    for (let index = 0; index < 4; index += 1) {
      bytes[8 * at + index] = (low >>> (8 * index)) & 0xff;
      bytes[8 * at + 4 + index] = (high >>> (8 * index)) & 0xff;
    }
  }

  /** Appends an object and everything it leads to, and sets the pointer in word `at` to it. */
  function place(at: number, object: Pointer, depth: number): void {
    if (depth >= MAX_DEPTH) throw new EncodeError("tooDeep");
    const start = bytes.length / 8;
    const offset = start - at - 1;
    if (offset >= LIMIT) throw new EncodeError("tooLarge");
    switch (object.kind) {
      case "struct": {
        const size = object.struct.size();
        // A struct without words would lie nowhere; by convention its pointer has the offset -1,
        // which tells it from a null pointer.
        if (size.data + size.pointers === 0) return set(at, 0xfffffffc, 0);
        set(at, offset << 2, structSize(size));
        copyStruct(object.struct, size);
        return placePointers(start + size.data, object.struct.pointers, depth);
      }
      case "structs":
        return placeStructs(at, offset, object.structs, depth);
      case "pointers":
        set(at, (offset << 2) | 1, listSize(6, object.pointers.length));
        grow(object.pointers.length);
        return placePointers(start, object.pointers, depth);
      case "scalars":
        set(at, (offset << 2) | 1, listSize(object.elementSize, object.count));
        for (let index = 0; index < object.bytes.length; index += 1) bytes.push(object.bytes[index] ?? 0);
        while (bytes.length % 8 !== 0) bytes.push(0);
    }
  }

  /** A list of structs: a tag word, all elements in the largest size that any of them needs, then
   * what their pointers lead to. */
  function placeStructs(at: number, offset: number, structs: readonly StructBuilder[], depth: number): void {
    const sizes = structs.map((struct) => struct.size());
    const size = sizes.reduce(
      (largest, { data, pointers }) => ({
        data: Math.max(largest.data, data),
        pointers: Math.max(largest.pointers, pointers),
      }),
      { data: 0, pointers: 0 },
    );
    const step = size.data + size.pointers;
    if (step === 0) emptyElements += structs.length;
    if (emptyElements > MAX_EMPTY_ELEMENTS) throw new EncodeError("tooLarge");
    set(at, (offset << 2) | 1, listSize(7, structs.length * step));
    const tag = bytes.length / 8;
    grow(1);
    set(tag, structs.length << 2, structSize(size));
    for (const struct of structs) copyStruct(struct, size);
    structs.forEach((struct, index) => {
      placePointers(tag + 1 + index * step + size.data, struct.pointers, depth);
    });
  }

  function placePointers(first: number, pointers: readonly (Pointer | undefined)[], depth: number): void {
    pointers.forEach((pointer, index) => {
      if (pointer !== undefined) place(first + index, pointer, depth + 1);
    });
  }

  /** Appends a struct's data, padded or cut to its size, and room for its pointers. */
  function copyStruct(struct: StructBuilder, size: Size): void {
    for (let index = 0; index < 8 * size.data; index += 1) bytes.push(struct.data[index] ?? 0);
    grow(size.pointers);
  }

  function structSize({ data, pointers }: Size): number {
    return data | (pointers << 16);
  }

  /** `count` is words, without the tag, for a list of structs. */
  function listSize(elementSize: number, count: number): number {
    if (count >= LIMIT) throw new EncodeError("tooLarge");
    return elementSize | (count << 3);
  }
}

/** Received bytes, and how much of them may still be read. */
class Segment {
  readonly view: DataView;
  /** Words that may still be visited: a message is a tree, so none is visited twice. */
  #wordsLeft: number;
  #emptyElementsLeft = MAX_EMPTY_ELEMENTS;

  constructor(readonly bytes: Uint8Array) {
    if (bytes.length === 0 || bytes.length % 8 !== 0) throw new DecodeError("truncated");
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#wordsLeft = bytes.length / 8 - 1;
  }

  root<T>(codec: Codec<T>): T {
    const value = new PointerReader(this, 0, 0).struct(codec);
    if (value === undefined) throw new DecodeError("missingStruct", codec.name);
    return value;
  }

  /** Checks that `count` words from word `start` are there, and pays for them. */
  take(start: number, count: number): void {
    if (start < 0 || start + count > this.bytes.length / 8) throw new DecodeError("outOfBounds");
    this.#wordsLeft -= count;
    if (this.#wordsLeft < 0) throw new DecodeError("tooMuch");
  }

  payForEmpty(count: number): void {
    this.#emptyElementsLeft -= count;
    if (this.#emptyElementsLeft < 0) throw new DecodeError("tooMuch");
  }
}

/** The members of a struct that was received. */
export class StructReader {
  readonly #segment: Segment;

  constructor(
    segment: Segment,
    private readonly start: number,
    private readonly size: Size,
    private readonly depth: number,
  ) {
    this.#segment = segment;
  }

  /** Whether the writer's struct is long enough for this; if not, it has the default. */
  private holds(offset: number, bytes: number): boolean {
    return offset + bytes <= 8 * this.size.data;
  }

  bool(offset: number, standard = false): boolean {
    const byte = Math.floor(offset / 8);
    const bits = this.holds(byte, 1) ? this.#segment.view.getUint8(8 * this.start + byte) : 0;
    return (((bits >> (offset % 8)) & 1) === 1) !== standard;
  }

  /** An integer of up to 32 bits at a byte offset. */
  integer(offset: number, bits: 8 | 16 | 32, signed: boolean, standard = 0): number {
    const view = this.#segment.view;
    const at = 8 * this.start + offset;
    if (!this.holds(offset, bits / 8)) return standard;
    const raw = bits === 8 ? view.getUint8(at) : bits === 16 ? view.getUint16(at, true) : view.getUint32(at, true);
    const value = BigInt(raw) ^ BigInt.asUintN(bits, BigInt(standard));
    return Number(signed ? BigInt.asIntN(bits, value) : value);
  }

  /** An integer of 64 bits at a byte offset. */
  large(offset: number, signed: boolean, standard = 0n): bigint {
    if (!this.holds(offset, 8)) return standard;
    const raw = this.#segment.view.getBigUint64(8 * this.start + offset, true);
    const value = raw ^ BigInt.asUintN(64, standard);
    return signed ? BigInt.asIntN(64, value) : value;
  }

  enumerant<N extends string>(offset: number, of: Enumeration<N>, standard = 0): N {
    return enumerantOf(of, this.integer(offset, 16, false, standard));
  }

  value<T>(index: number, pointed: Pointed<T>): T {
    return pointed.parse(this.#pointer(index));
  }

  optional<T>(index: number, codec: Codec<T>): T | undefined {
    return this.#pointer(index)?.struct(codec);
  }

  required<T>(index: number, codec: Codec<T>, field: string): T {
    const value = this.optional(index, codec);
    if (value === undefined) throw new DecodeError("missingStruct", field);
    return value;
  }

  #pointer(index: number): PointerReader | undefined {
    if (index >= this.size.pointers) return undefined;
    return new PointerReader(this.#segment, this.start + this.size.data + index, this.depth);
  }
}

/** An enum: its name in the schema and the ordinals of its enumerants. */
export interface Enumeration<N extends string> {
  readonly name: string;
  readonly ordinals: Readonly<Record<N, number>>;
}

/** What a value nobody here knows means must not be guessed. */
function enumerantOf<N extends string>({ name, ordinals }: Enumeration<N>, ordinal: number): N {
  for (const enumerant in ordinals) {
    if (ordinals[enumerant] === ordinal) return enumerant;
  }
  throw new DecodeError("unknownEnumerant", `${name} ${ordinal}`);
}

interface ListPointer {
  start: number;
  elementSize: number;
  count: number;
}

/** A pointer that was received. */
export class PointerReader {
  readonly #segment: Segment;

  constructor(
    segment: Segment,
    private readonly at: number,
    /** How many pointers were followed to get here. */
    private readonly depth: number,
  ) {
    this.#segment = segment;
  }

  /** The halves of the pointer and the start of what it leads to; nothing if it is null. */
  #follow(): { low: number; high: number; start: number } | undefined {
    const low = this.#segment.view.getUint32(8 * this.at, true);
    const high = this.#segment.view.getUint32(8 * this.at + 4, true);
    if (low === 0 && high === 0) return undefined;
    if ((low & 2) !== 0) throw new DecodeError("unsupportedPointer");
    if (this.depth >= MAX_DEPTH) throw new DecodeError("tooDeep");
    return { low, high, start: this.at + 1 + ((low | 0) >> 2) };
  }

  struct<T>(codec: Codec<T>): T | undefined {
    const pointer = this.#follow();
    if (pointer === undefined) return undefined;
    const { low, high, start } = pointer;
    if ((low & 3) !== 0) throw new DecodeError("wrongKind");
    const size = { data: high & 0xffff, pointers: high >>> 16 };
    this.#segment.take(start, size.data + size.pointers);
    return codec.read(new StructReader(this.#segment, start, size, this.depth + 1));
  }

  #list(): ListPointer | undefined {
    const pointer = this.#follow();
    if (pointer === undefined) return undefined;
    const { low, high, start } = pointer;
    if ((low & 3) !== 1) throw new DecodeError("wrongKind");
    return { start, elementSize: high & 7, count: high >>> 3 };
  }

  /** A view of a list of integers of this many bytes each; nothing if the pointer is null. */
  scalars(bytes: number): DataView | undefined {
    const list = this.#list();
    if (list === undefined) return undefined;
    if (list.elementSize !== elementSize(bytes)) throw new DecodeError("wrongKind");
    const length = list.count * bytes;
    this.#segment.take(list.start, Math.ceil(length / 8));
    const { buffer, byteOffset } = this.#segment.bytes;
    return new DataView(buffer, byteOffset + 8 * list.start, length);
  }

  bits(): boolean[] {
    const list = this.#list();
    if (list === undefined) return [];
    if (list.elementSize !== 1) throw new DecodeError("wrongKind");
    this.#segment.take(list.start, Math.ceil(list.count / 64));
    const byte = (index: number) => this.#segment.view.getUint8(8 * list.start + Math.floor(index / 8));
    return Array.from({ length: list.count }, (_, index) => ((byte(index) >> (index % 8)) & 1) === 1);
  }

  pointers(): PointerReader[] {
    const list = this.#list();
    if (list === undefined) return [];
    if (list.elementSize !== 6) throw new DecodeError("wrongKind");
    this.#segment.take(list.start, list.count);
    const at = (index: number) => new PointerReader(this.#segment, list.start + index, this.depth + 1);
    return Array.from({ length: list.count }, (_, index) => at(index));
  }

  structs(): StructReader[] {
    const list = this.#list();
    if (list === undefined) return [];
    if (list.elementSize !== 7) throw new DecodeError("wrongKind");
    // The tag has the form of a struct pointer whose offset is the number of elements.
    this.#segment.take(list.start, 1);
    const low = this.#segment.view.getUint32(8 * list.start, true);
    const high = this.#segment.view.getUint32(8 * list.start + 4, true);
    if ((low & 3) !== 0) throw new DecodeError("wrongKind");
    const count = low >>> 2;
    const size = { data: high & 0xffff, pointers: high >>> 16 };
    const step = size.data + size.pointers;
    if (count * step > list.count) throw new DecodeError("outOfBounds");
    // What the elements leave unused is paid for as well.
    this.#segment.take(list.start + 1, list.count);
    if (step === 0) this.#segment.payForEmpty(count);
    const at = (index: number) => list.start + 1 + index * step;
    return Array.from({ length: count }, (_, index) => {
      return new StructReader(this.#segment, at(index), size, this.depth + 1);
    });
  }
}

/** The code of a list of integers of this many bytes. */
function elementSize(bytes: number): number {
  return bytes === 1 ? 2 : bytes === 2 ? 3 : bytes === 4 ? 4 : 5;
}

function byteList(bytes: ArrayLike<number>): Pointer {
  return { kind: "scalars", elementSize: 2, count: bytes.length, bytes };
}

/** `Text`: UTF-8 with a final zero byte on the wire. */
export const text: Pointed<string> = {
  isEmpty: (value) => value === "",
  build(value) {
    // TextEncoder would quietly replace a lone surrogate.
    if (/\p{Surrogate}/u.test(value)) throw new EncodeError("illFormedText");
    return byteList([...new TextEncoder().encode(value), 0]);
  },
  parse(pointer) {
    const bytes = pointer?.scalars(1);
    if (bytes === undefined) return "";
    const length = bytes.byteLength - 1;
    if (length < 0 || bytes.getUint8(length) !== 0) throw new DecodeError("missingNul");
    try {
      const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
      return decoder.decode(new Uint8Array(bytes.buffer, bytes.byteOffset, length));
    } catch {
      throw new DecodeError("invalidUtf8");
    }
  },
};

/** `Data`: bytes. */
export const data: Pointed<Uint8Array> = {
  isEmpty: (value) => value.length === 0,
  build: byteList,
  parse(pointer) {
    const bytes = pointer?.scalars(1);
    if (bytes === undefined) return new Uint8Array();
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength).slice();
  },
};

/** `List(E)`. */
export function list<T>(element: Element<T>): Pointed<T[]> {
  return {
    isEmpty: (values) => values.length === 0,
    build: (values) => element.build(values),
    parse: (pointer) => (pointer === undefined ? [] : element.parse(pointer)),
  };
}

/** Elements that are pointers: never null, so that an empty text in a list stays one. */
export function pointer<T>(pointed: Pointed<T>): Element<T> {
  return {
    build: (values) => ({ kind: "pointers", pointers: values.map((value) => pointed.build(value)) }),
    parse: (pointer) => pointer.pointers().map((element) => pointed.parse(element)),
  };
}

/** Structs as elements. */
export function struct<T>(codec: Codec<T>): Element<T> {
  return {
    build: (values) => ({ kind: "structs", structs: values.map((value) => StructBuilder.of(codec, value)) }),
    parse: (pointer) => pointer.structs().map((reader) => codec.read(reader)),
  };
}

/** Bits as elements. */
export const bool: Element<boolean> = {
  build(values) {
    const bytes = new Array<number>(Math.ceil(values.length / 8)).fill(0);
    values.forEach((value, index) => {
      const byte = Math.floor(index / 8);
      bytes[byte] = (bytes[byte] ?? 0) | (Number(value) << (index % 8));
    });
    return { kind: "scalars", elementSize: 1, count: values.length, bytes };
  },
  parse: (pointer) => pointer.bits(),
};

/** Integers as elements. */
function scalars<T extends number | bigint>(
  bits: 8 | 16 | 32 | 64,
  signed: boolean,
  read: (view: DataView, at: number) => T,
): Element<T> {
  const bytes = bits / 8;
  return {
    build(values) {
      const encoded = values.flatMap((value) => littleEndian(value, bits, signed));
      return { kind: "scalars", elementSize: elementSize(bytes), count: values.length, bytes: encoded };
    },
    parse(pointer) {
      const view = pointer.scalars(bytes);
      if (view === undefined) return [];
      return Array.from({ length: view.byteLength / bytes }, (_, index) => read(view, index * bytes));
    },
  };
}

export const int8: Element<number> = scalars(8, true, (view, at) => view.getInt8(at));
export const int16: Element<number> = scalars(16, true, (view, at) => view.getInt16(at, true));
export const int32: Element<number> = scalars(32, true, (view, at) => view.getInt32(at, true));
export const int64: Element<bigint> = scalars(64, true, (view, at) => view.getBigInt64(at, true));
export const uint8: Element<number> = scalars(8, false, (view, at) => view.getUint8(at));
export const uint16: Element<number> = scalars(16, false, (view, at) => view.getUint16(at, true));
export const uint32: Element<number> = scalars(32, false, (view, at) => view.getUint32(at, true));
export const uint64: Element<bigint> = scalars(64, false, (view, at) => view.getBigUint64(at, true));

/** Enums as elements. */
export function enumeration<N extends string>(of: Enumeration<N>): Element<N> {
  return {
    build: (values) => uint16.build(values.map((value) => ordinalOf(of.ordinals, value))),
    parse: (pointer) => uint16.parse(pointer).map((ordinal) => enumerantOf(of, ordinal)),
  };
}
