// SQL statements: arguments and rows packed into bytes, so that a statement is one call between wasm and
// JavaScript, however many columns there are. Value by value they cost more than SQLite's own work.
//
// A value is its tag and then: nothing for NULL; eight bytes of a double for a number; for text and bytes
// their length (four bytes) and they themselves. All little endian.

const NULL = 0;
const NUMBER = 1;
const TEXT = 2;
const BYTES = 3;

/** What the answer is to tell: nothing, the rows, or how many rows were written. */
const ROWS = 1;
const WRITTEN = 2;

/**
 * Statements of the program's text by their place in it: turning one into a string each time costs as much as
 * a short one takes to run.
 * @type {Map<number, string>}
 */
const known = new Map();

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();
const USUAL = 4096;
/** What a long list took is given back. */
const LARGE = 1 << 20;
let room;
let view;
let end = 0;
makeRoom(USUAL);

export const learn = (place, statement) => void known.set(place, statement);

/**
 * The same as `ask`, of a statement that was learned; nothing if it wasn't.
 * @returns {Uint8Array | undefined}
 */
export function askKnown(sql, place, packed, tell) {
  const statement = known.get(place);
  return statement && ask(sql, statement, packed, tell);
}

/**
 * Runs a statement.
 * @param {SqlStorage} sql
 * @param {string} statement
 * @param {Uint8Array} packed its arguments
 * @param {number} tell
 * @returns {Uint8Array} the packed rows, each behind the number of its columns (one byte), or the packed
 *   number; to be copied before the next call
 */
export function ask(sql, statement, packed, tell) {
  const cursor = sql.exec(statement, ...unpack(packed));
  if (room.length > LARGE) makeRoom(USUAL);
  end = 0;
  if (tell === ROWS) {
    for (const row of cursor.raw()) {
      reserve(1);
      room[end++] = row.length;
      for (const value of row) push(value);
    }
  } else if (tell === WRITTEN) push(cursor.rowsWritten);
  return room.subarray(0, end);
}

function unpack(packed) {
  const values = [];
  if (packed.length === 0) return values;
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  let at = 0;
  const bytes = () => {
    const start = at + 4;
    at = start + view.getUint32(at, true);
    return packed.subarray(start, at);
  };
  while (at < packed.length) {
    const tag = packed[at++];
    if (tag === NUMBER) {
      values.push(view.getFloat64(at, true));
      at += 8;
    } else if (tag === TEXT) values.push(decode(bytes()));
    else if (tag === BYTES) values.push(bytes().slice()); // what we were given is wasm's memory
    else values.push(null);
  }
  return values;
}

/** Short texts are ids and words in ASCII: for those a call into the platform is most of the cost. */
const SHORT = 64;

function decode(bytes) {
  if (bytes.length > SHORT) return decoder.decode(bytes);
  for (const byte of bytes) if (byte > 0x7f) return decoder.decode(bytes);
  return String.fromCharCode.apply(null, bytes);
}

function push(value) {
  if (value === null) {
    reserve(1);
    room[end++] = NULL;
  } else if (typeof value === "number") {
    reserve(9);
    room[end++] = NUMBER;
    view.setFloat64(end, value, true);
    end += 8;
  } else if (typeof value === "string") {
    reserve(5 + 3 * value.length);
    room[end++] = TEXT;
    const length = encode(value, end + 4);
    view.setUint32(end, length, true);
    end += 4 + length;
  } else {
    reserve(5 + value.byteLength);
    room[end++] = BYTES;
    view.setUint32(end, value.byteLength, true);
    room.set(new Uint8Array(value), end + 4);
    end += 4 + value.byteLength;
  }
}

/** Writes a text; tells how many bytes it took. */
function encode(text, at) {
  if (text.length > SHORT) return encoder.encodeInto(text, room.subarray(at)).written;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return encoder.encodeInto(text, room.subarray(at)).written;
    room[at + i] = code;
  }
  return text.length;
}

function reserve(bytes) {
  if (end + bytes <= room.length) return;
  const before = room;
  makeRoom(2 * (end + bytes));
  room.set(before.subarray(0, end));
}

function makeRoom(bytes) {
  room = new Uint8Array(bytes);
  view = new DataView(room.buffer);
}
