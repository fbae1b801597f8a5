// The documents say what is so: named tests exist, links lead somewhere, nothing is left over.
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { execFileSync } from "node:child_process";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";

const read = (path) => readFileSync(join(ROOT, path), "utf8");
const tracked = execFileSync("git", ["ls-files"], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");

/** The names that test files really have, also those that are put together from tables. */
function namesOf(files) {
  const script = join(ROOT, "tests/support/names.mjs");
  const output = execFileSync(process.execPath, [script, ...files], { cwd: ROOT, encoding: "utf8", maxBuffer: 1 << 24 });
  return new Map(Object.entries(JSON.parse(output)));
}

/** Of Rust, the functions right below `#[test]`. */
const rustTests = (source) => [...source.matchAll(/#\[test\]\n(?:\s*#\[.*\]\n)*\s*fn (\w+)\(/g)].map(([, name]) => name);

test("each threat names a test that exists", () => {
  const table = read("SECURITY.md").split("## Threats")[1];
  const lines = table.split("\n").filter((line) => line.startsWith("| ")).slice(2);
  const rows = lines.map((line) => /^\| .* \| .* \| `([^`]+)`: (.+) \|$/.exec(line) ?? assert.fail(`names no test: ${line}`));
  assert.ok(rows.length >= 25, String(rows.length));
  const ours = [...new Set(rows.map(([, file]) => file).filter((file) => file.endsWith(".mjs")))];
  for (const file of ours) assert.ok(existsSync(join(ROOT, "tests", file)), file);
  const known = namesOf(ours.map((file) => `tests/${file}`));
  for (const [, file, name] of rows) {
    const names = file.endsWith(".mjs") ? known.get(`tests/${file}`) : rustTests(read(file));
    assert.ok(names.includes(name), `${file}: ${name}`);
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
