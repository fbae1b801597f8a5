// What is JSON only: the validators a web page uses, held against the JSON Schema of the same types.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as z from "zod";
import type { ZodMiniType } from "zod/mini";

import * as api from "../api.ts";

interface Definition {
  type: string;
  properties?: Record<string, unknown>;
  required?: string[];
  oneOf?: { const: string }[];
}

// Compiled, this file is build/ts/tests/api.test.js.
const path = new URL("../../../gen/json-schema/api.json", import.meta.url);
const { $defs } = JSON.parse(readFileSync(path, "utf8")) as { $defs: Record<string, Definition> };
const schemas = api as unknown as Record<string, ZodMiniType>;

test("validators and JSON Schema know the same types, members and values", () => {
  const names = Object.keys(schemas).map((name) => name.replace(/Schema$/, ""));
  assert.deepEqual(Object.keys($defs).sort(), names.sort());
  assert(names.length > 20);
  for (const [name, definition] of Object.entries($defs)) {
    const other = z.toJSONSchema(schemas[`${name}Schema`]!, { io: "input", unrepresentable: "any" }) as {
      properties?: object;
      required?: string[];
      enum?: string[];
    };
    assert.deepEqual(Object.keys(definition.properties ?? {}), Object.keys(other.properties ?? {}), name);
    assert.deepEqual(definition.required ?? [], other.required ?? [], name);
    assert.deepEqual(definition.oneOf?.map((one) => one.const) ?? [], other.enum ?? [], name);
  }
});

test("an answer is taken as it is, and without what this version doesn't know", () => {
  const passkeys = { passkeys: [], more: true };
  assert.deepEqual(api.PasskeysSchema.parse(passkeys), { passkeys: [] });
  const door: api.Door = { firstBoot: "armed", registration: false };
  assert.deepEqual(api.DoorSchema.parse(door), door);
  assert.deepEqual(api.DoorSchema.parse({ ...door, rpId: "example.com" }), { ...door, rpId: "example.com" });
});

test("what isn't right is refused", () => {
  const door = { firstBoot: "armed", registration: false };
  for (const wrong of [
    {},
    null,
    [],
    { ...door, firstBoot: "toString" },
    { ...door, registration: "false" },
    { ...door, rpId: null },
    { ...door, rpId: "\ud800" },
  ]) {
    assert.equal(api.DoorSchema.safeParse(wrong).success, false, JSON.stringify(wrong));
  }
  const stepped = (freshUntil: unknown) => api.SteppedUpSchema.safeParse({ verified: true, freshUntil }).success;
  assert(stepped(0) && stepped(Number.MAX_SAFE_INTEGER));
  for (const wrong of [-1, 0.5, 2 ** 53, NaN, "1", 1n]) assert(!stepped(wrong), String(wrong));
  const invite = (ttl: unknown) => api.MakeInviteSchema.safeParse({ ttl }).success;
  assert(invite(undefined) && invite(2 ** 32 - 1));
  assert(!invite(2 ** 32) && !invite(null));
});
