// The documents say what is so: named tests exist, links lead somewhere, nothing is left over.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";

const read = (path) => readFileSync(join(ROOT, path), "utf8");
const tracked = execFileSync("git", ["ls-files"], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");

test("each threat names a test that exists", () => {
  const rows = [...read("SECURITY.md").matchAll(/^\| .* \| `([^`]+)`: (.+) \|$/gm)];
  assert.ok(rows.length >= 25, String(rows.length));
  for (const [, file, name] of rows) {
    const path = file.endsWith(".mjs") ? `tests/${file}` : file;
    assert.ok(existsSync(join(ROOT, path)), path);
    const source = read(path);
    // A name that is put together from a table stands in the source by its beginning.
    const [beginning] = name.split(" is refused");
    assert.ok(source.includes(beginning), `${path}: ${name}`);
  }
});

test("relative links lead somewhere", () => {
  for (const page of tracked.filter((path) => path.endsWith(".md"))) {
    for (const [, target] of read(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)) {
      if (/^[a-z]+:/.test(target)) continue;
      assert.ok(existsSync(join(ROOT, dirname(page), target)), `${page}: ${target}`);
    }
  }
});

test("rooms that the architecture names exist", () => {
  for (const [, path] of read("ARCHITECTURE.md").matchAll(/`((?:crates|src|durable|tools|tests|bench|schema|gen)\/[^`\s]*)`/g)) {
    assert.ok(existsSync(join(ROOT, path)), path);
  }
});

test("each rule about passkeys names its code and a test, and each code is there", () => {
  const rows = [...read("docs/webauthn.md").matchAll(/^\| .* \| .* \| `(\w+)` \| `(\w+)` \|$/gm)];
  const tests = read("crates/webauthn/tests/rules.rs");
  for (const [, , name] of rows) assert.ok(tests.includes(`fn ${name}()`), name);
  const codes = [...read("crates/webauthn/src/error.rs").matchAll(/=> "([a-z_]+)"/g)].map(([, code]) => code);
  assert.ok(codes.length >= 30, String(codes.length));
  assert.deepEqual([...new Set(rows.map(([, code]) => code))].sort(), codes.sort());
});
