// The vectors of schema/fixtures, whose expected bytes come from foreign tools: every value is
// encoded and compared, and every encoding is decoded and compared.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as z from "zod";

import { BundleDocumentSchema, BundleError, decodeBundleCbor, encodeBundleCbor } from "../bundle.ts";
import * as conformance from "../conformance.ts";
import * as identity from "../identity.ts";
import { decodeReceiptCommitment, encodeReceiptCommitment } from "../receipt.ts";
import { decode, decodeCanonical, DecodeError, encode, EncodeError, type Codec } from "../runtime/capnp.ts";
import { CborError } from "../runtime/cbor.ts";

function fixture<V>(name: string): V[] {
  // Compiled, this file is build/ts/tests/vectors.test.js.
  const path = new URL(`../../../schema/fixtures/${name}.json`, import.meta.url);
  const { vectors } = JSON.parse(readFileSync(path, "utf8")) as { vectors: V[] };
  assert.notEqual(vectors.length, 0);
  return vectors;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const unhex = (digits: string) => new Uint8Array(Buffer.from(digits.replaceAll(" ", ""), "hex"));

/** The codec and the schema of a struct by its name. */
function struct(name: string): { codec: Codec<unknown>; schema: z.ZodType<unknown, unknown> } {
  const modules: Record<string, unknown> = { ...identity, ...conformance };
  const codec = modules[`${name}Codec`] as Codec<unknown> | undefined;
  const schema = modules[`${name}Schema`] as z.ZodType<unknown, unknown> | undefined;
  assert(codec && schema, `no struct ${name}`);
  return { codec, schema };
}

interface Vector {
  name: string;
  struct: string;
  /** Absent if a value cannot be in JSON: then `largest` has it. */
  json?: unknown;
  capnp: string;
}

const bundle: identity.CABundle = {
  epoch: 0n,
  seqno: 0n,
  keys: [],
  keyId: "k",
  prevKeyId: "",
  issuedAt: -(2n ** 63n),
  signature: new Uint8Array(),
};

const emptyLists = z.decode(
  conformance.ListsSchema,
  fixture<Vector>("conformance").find(({ name }) => name === "lists-empty")?.json as conformance.ListsJson,
);

/** Values with integers that JSON does not carry. */
const largest: Record<string, unknown> = {
  "cabundle-smallest": bundle,
  "cabundle-largest": { ...bundle, epoch: 2n ** 64n - 1n, seqno: 2n ** 64n - 1n, issuedAt: 2n ** 63n - 1n },
  "scalars-largest": {
    flag: false,
    tiny: 0,
    flagged: false,
    small: 0,
    medium: 0,
    large: -(2n ** 63n),
    tinyUnsigned: 0,
    smallUnsigned: 0,
    mediumUnsigned: 0,
    largeUnsigned: 2n ** 64n - 1n,
    colour: "red",
  } satisfies conformance.Scalars,
  "lists-largest": {
    ...emptyLists,
    large: [-(2n ** 63n), 2n ** 63n - 1n],
    largeUnsigned: [2n ** 64n - 1n],
  } satisfies conformance.Lists,
  "choice-largest": { which: "largeUnsigned", largeUnsigned: 2n ** 64n - 1n } satisfies conformance.Choice,
};

for (const file of ["identity", "conformance"]) {
  for (const vector of fixture<Vector>(file)) {
    test(`${file}: ${vector.name}`, () => {
      const { codec, schema } = struct(vector.struct);
      const decoded = decodeCanonical(codec, unhex(vector.capnp));
      let value = largest[vector.name];
      if ("json" in vector) {
        value = z.decode(schema, vector.json);
        // JSON has no members that are undefined.
        const json: unknown = JSON.parse(JSON.stringify(z.encode(schema, value)));
        assert.deepEqual(json, vector.json);
      } else {
        assert(value !== undefined, "neither JSON nor a value");
        assert.throws(() => z.encode(schema, value), "JSON would lose digits");
      }
      assert.equal(hex(encode(codec, value)), vector.capnp);
      assert.deepEqual(withoutUndefined(decoded), withoutUndefined(value));
    });
  }
}

/** An absent struct may be an absent member or an undefined one. */
function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [name, withoutUndefined(member)]));
}

interface Malformed {
  name: string;
  struct: string;
  capnp: string;
  error?: string;
  canonical?: string;
}

for (const { name, struct: of, capnp, error, canonical } of fixture<Malformed>("malformed")) {
  test(`malformed: ${name}`, () => {
    const { codec } = struct(of);
    const bytes = unhex(capnp);
    const refused = (code: string) => (thrown: unknown) => thrown instanceof DecodeError && thrown.code === code;
    if (error !== undefined) {
      assert.throws(() => decode(codec, bytes), refused(error));
      assert.throws(() => decodeCanonical(codec, bytes), refused(error));
    } else {
      assert.equal(hex(encode(codec, decode(codec, bytes))), canonical?.replaceAll(" ", ""));
      assert.throws(() => decodeCanonical(codec, bytes), refused("notCanonical"));
    }
  });
}

for (const { name, struct: of, json } of fixture<{ name: string; struct: string; json: unknown }>("malformed-json")) {
  test(`malformed JSON: ${name}`, () => {
    assert.equal(z.safeDecode(struct(of).schema, json).success, false);
  });
}

interface BundleVector {
  name: string;
  document: z.input<typeof BundleDocumentSchema>;
  integers?: { epoch: string; seqno: string; issuedAt: string };
  cbor: string;
}

for (const { name, document, integers, cbor } of fixture<BundleVector>("bundle")) {
  test(`bundle: ${name}`, () => {
    const value = z.decode(BundleDocumentSchema, document);
    const { prevKeyId, ...others } = document;
    assert.deepEqual(
      JSON.parse(JSON.stringify(z.encode(BundleDocumentSchema, value))),
      prevKeyId ? document : others,
    );
    if (integers !== undefined) {
      value.epoch = BigInt(integers.epoch);
      value.seqno = BigInt(integers.seqno);
      value.issuedAt = BigInt(integers.issuedAt);
    }
    // Whatever order the keys come in, the bytes are the same.
    value.keys.reverse();
    assert.equal(hex(encodeBundleCbor(value)), cbor);

    const decoded = decodeBundleCbor(unhex(cbor));
    const byKid = (a: identity.KeyEntry, b: identity.KeyEntry) => (a.kid < b.kid ? -1 : 1);
    decoded.keys.sort(byKid);
    value.keys.sort(byKid);
    assert.deepEqual(decoded, { ...value, signature: new Uint8Array() });
  });
}

for (const { name, cbor, error } of fixture<{ name: string; cbor: string; error: string }>("malformed-bundle")) {
  test(`malformed bundle: ${name}`, () => {
    assert.throws(
      () => decodeBundleCbor(unhex(cbor)),
      (thrown) => thrown instanceof BundleError && thrown.code === error,
    );
  });
}

interface ReceiptVector {
  name: string;
  commitment: Record<"nonce" | "actorFp" | "bodyHash" | "headersHash" | "requestHash", string> &
    Record<"epoch" | "status" | "timestampMs", number> & { delegation?: string };
  cbor: string;
}

for (const { name, commitment, cbor } of fixture<ReceiptVector>("receipt")) {
  test(`receipt: ${name}`, () => {
    const value = {
      epoch: BigInt(commitment.epoch),
      nonce: unhex(commitment.nonce),
      status: BigInt(commitment.status),
      actorFp: unhex(commitment.actorFp),
      bodyHash: unhex(commitment.bodyHash),
      ...(commitment.delegation === undefined ? {} : { delegation: unhex(commitment.delegation) }),
      headersHash: unhex(commitment.headersHash),
      requestHash: unhex(commitment.requestHash),
      timestampMs: BigInt(commitment.timestampMs),
    };
    const bytes = encodeReceiptCommitment(value);
    assert.equal(hex(bytes), cbor);
    assert.deepEqual(decodeReceiptCommitment(bytes), value);
    // No shorter and no longer message is one, and none with another key.
    const refuses = (bytes: Uint8Array) => assert.throws(() => decodeReceiptCommitment(bytes), CborError);
    for (let length = 0; length < bytes.length; length += 1) refuses(bytes.subarray(0, length));
    refuses(Uint8Array.from([...bytes, 0]));
    refuses(unhex(cbor.replace("6e6f6e6365", "6e6f6e6366")));
  });
}

test("a bundle with two keys of one id, or from before 1970, has no CBOR", () => {
  const key = { kid: "a", publicKey: new Uint8Array() };
  const code = (code: string) => (thrown: unknown) => thrown instanceof BundleError && thrown.code === code;
  assert.throws(() => encodeBundleCbor({ ...bundle, issuedAt: 0n, keys: [key, key] }), code("duplicateKeyId"));
  assert.throws(() => encodeBundleCbor({ ...bundle, issuedAt: -1n }), code("invalidTime"));
  assert.throws(() => encodeBundleCbor({ ...bundle, issuedAt: 0n, epoch: 2n ** 64n }), code("outOfRange"));
});

// What Rust's types rule out, JavaScript's values do not.
test("values that do not fit are refused, not cut off", () => {
  const code = (code: string) => (thrown: unknown) => thrown instanceof EncodeError && thrown.code === code;
  const point = { x: 0, y: 0, label: "" };
  const refuses = (value: conformance.ListsPoint, expected: string) => {
    assert.throws(() => conformance.encodeListsPoint(value), code(expected));
  };
  refuses({ ...point, x: 2 ** 31 }, "outOfRange");
  refuses({ ...point, x: -(2 ** 31) - 1 }, "outOfRange");
  refuses({ ...point, x: 0.5 }, "outOfRange");
  refuses({ ...point, x: NaN }, "outOfRange");
  refuses({ ...point, label: "\ud800" }, "illFormedText");
  assert.throws(() => identity.encodeAuthorityState({ epoch: 2n ** 64n, keyId: "" }), code("outOfRange"));
  assert.throws(() => identity.encodeAuthorityState({ epoch: -1n, keyId: "" }), code("outOfRange"));
  const scope = "toString" as identity.CertScope;
  const proof: identity.Proof = { which: "bootstrapCode", bootstrapCode: "" };
  assert.throws(() => identity.encodeCertRequest({ scopes: [scope], proof }), code("outOfRange"));
  const none = { which: "none" } as unknown as identity.Proof;
  assert.throws(() => identity.encodeProof(none), code("unknownMember"));
});

test("structs nested too deeply are refused", () => {
  let node: conformance.Node = { value: 1, children: [] };
  for (let depth = 1; depth < 64; depth += 1) node = { value: 1, next: node, children: [] };
  assert.equal(conformance.encodeNode(node).length, 8 + 64 * 8 + 63 * 8);
  assert.throws(
    () => conformance.encodeNode({ value: 1, next: node, children: [] }),
    (thrown) => thrown instanceof EncodeError && thrown.code === "tooDeep",
  );
});

/** A small generator of numbers, so that a failure can be repeated. */
function* numbers(seed: number): Generator<number, never> {
  for (let state = seed; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    yield state;
  }
}

test("whatever byte changes, a message decodes to what encodes canonically or is refused", () => {
  const random = numbers(1);
  const next = (limit: number) => Math.floor((random.next().value / 2 ** 32) * limit);
  const vectors = fixture<Vector>("conformance").map(({ struct: of, capnp }) => ({ of, bytes: unhex(capnp) }));
  for (let round = 0; round < 20_000; round += 1) {
    const { of, bytes: original } = vectors[next(vectors.length)]!;
    const bytes = original.slice();
    for (let changes = 1 + next(3); changes > 0; changes -= 1) bytes[next(bytes.length)] = next(256);
    const { codec } = struct(of);
    try {
      const value = decode(codec, bytes);
      assert.deepEqual(decodeCanonical(codec, encode(codec, value)), value);
    } catch (error) {
      assert(error instanceof DecodeError, `${of} ${hex(bytes)}: ${String(error)}`);
    }
  }
});
