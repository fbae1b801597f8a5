/**
 * Validators for messages that are JSON and nothing else. They are bundled into web pages, hence
 * `zod/mini`; the rules are those of `json.ts`, but that a 64-bit integer is a number here.
 */

import * as z from "zod/mini";

// Zod would try out whether it may compile code, which a page's content security policy forbids
// and reports.
z.config({ jitless: true });

/** Text that UTF-8 can express: without lone surrogates. */
export const text = /* @__PURE__ */ z.string().check(/* @__PURE__ */ z.refine((value) => !/\p{Surrogate}/u.test(value), "ill-formed text"));

function integer(min: number, max: number) {
  return z.int().check(z.gte(min), z.lte(max));
}

/** An integer of 8 bits. */
export const int8 = /* @__PURE__ */ integer(-(2 ** 7), 2 ** 7 - 1);
/** An integer of 16 bits. */
export const int16 = /* @__PURE__ */ integer(-(2 ** 15), 2 ** 15 - 1);
/** An integer of 32 bits. */
export const int32 = /* @__PURE__ */ integer(-(2 ** 31), 2 ** 31 - 1);
/** An integer of 64 bits: a safe integer. */
export const int64 = /* @__PURE__ */ z.int();
/** An unsigned integer of 8 bits. */
export const uint8 = /* @__PURE__ */ integer(0, 2 ** 8 - 1);
/** An unsigned integer of 16 bits. */
export const uint16 = /* @__PURE__ */ integer(0, 2 ** 16 - 1);
/** An unsigned integer of 32 bits. */
export const uint32 = /* @__PURE__ */ integer(0, 2 ** 32 - 1);
/** An unsigned integer of 64 bits: a safe integer. */
export const uint64 = /* @__PURE__ */ integer(0, Number.MAX_SAFE_INTEGER);
