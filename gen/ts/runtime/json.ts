/**
 * Zod schemas of the JSON form, where it is not Zod's own. `z.decode(schema, json)` (or `parse`)
 * validates JSON and gives the value, `z.encode(schema, value)` gives the JSON.
 *
 * The rules are those of all three languages: see gen/rust/src/json.rs and docs/schema.md.
 */

import * as z from "zod";

/** Text that UTF-8 can express: without lone surrogates. */
export const text = z.string().refine((value) => !/\p{Surrogate}/u.test(value), "ill-formed text");

/** Text that may be left out; absent and empty are the same. */
export const optionalText = z.codec(text.optional(), text, {
  decode: (value) => value ?? "",
  encode: (value) => (value === "" ? undefined : value),
});

/** A list that may be left out; absent and empty are the same. */
export function optionalList<S extends z.ZodType>(element: S) {
  return z.codec(z.array(element).optional(), z.custom<z.output<S>[]>(Array.isArray), {
    decode: (values) => values ?? [],
    encode: (values) => (values.length === 0 ? undefined : values),
  });
}

/** An integer of up to 32 bits. */
export function integer(min: number, max: number) {
  return z.int().min(min).max(max);
}

/** An unsigned integer of 64 bits: a safe integer in JSON. */
export const uint64 = z.codec(z.int().min(0), z.bigint(), { decode: BigInt, encode: Number });

/** A signed integer of 64 bits: a safe integer in JSON. */
export const int64 = z.codec(z.int(), z.bigint(), { decode: BigInt, encode: Number });

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, "not a Uint8Array");

/** `Data`: standard base64 with padding in JSON. */
export const base64 = z.codec(z.string().refine(isBase64, "not standard base64"), bytes, {
  decode: fromBase64,
  encode: toBase64,
});

/** `Data` that may be left out; absent and empty are the same. */
export const optionalBase64 = z.codec(z.string().refine(isBase64, "not standard base64").optional(), bytes, {
  decode: (value) => fromBase64(value ?? ""),
  encode: (value) => (value.length === 0 ? undefined : toBase64(value)),
});

/** The bytes of standard base64. */
export function fromBase64(value: string): Uint8Array {
  return Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
}

/** Standard base64 with padding. */
export function toBase64(value: Uint8Array): string {
  return btoa(Array.from(value, (byte) => String.fromCharCode(byte)).join(""));
}

/** `atob` forgives white space, missing padding and spare bits; what differs after a round trip is
 * not the one base64 of its bytes. */
export function isBase64(value: string): boolean {
  try {
    return btoa(atob(value)) === value;
  } catch {
    return false;
  }
}

/**
 * A struct with a union. In JSON exactly one of `members` is there; the value has its name in
 * `which`. `object` has all members, those of the union optional.
 */
export function union<T extends { which: string }, J>(
  name: string,
  object: z.ZodType<unknown, J>,
  members: readonly T["which"][],
): z.ZodType<T, J> {
  const value = z.custom<T>((value) => typeof value === "object" && value !== null && "which" in value);
  return z.codec(object as z.ZodType<Record<string, unknown>, J>, value, {
    decode(fields, context) {
      const set = members.filter((member) => fields[member] !== undefined);
      const [which] = set;
      if (which === undefined || set.length !== 1) {
        context.issues.push({ code: "custom", input: fields, message: `${name} needs exactly one of ${members.join(", ")}` });
        return z.NEVER;
      }
      return { ...fields, which } as unknown as T;
    },
    encode({ which: _, ...fields }) {
      return fields;
    },
  }) as unknown as z.ZodType<T, J>;
}
