// `docs/adding-a-proof.md`, followed: a copy of the checkout gets the file and the two lines that the page has, and
// nothing else, and the tests in that file run a proof of the new kind all the way.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";
import { execute, missing } from "./support/foreign.mjs";

const page = readFileSync(join(ROOT, "docs/adding-a-proof.md"), "utf8");
const blocks = (language) => [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, "gm"))].map(([, text]) => text);
const TABLE = "crates/authority/src/doors.rs";
const PLACES = ["rust-toolchain.toml", "crates", "docs", "gen", "schema"];

/** Writes a file unless it is there already: what cargo has compiled it needs not compile again. */
function write(path, text) {
  if (!existsSync(path) || readFileSync(path, "utf8") !== text) writeFileSync(path, text);
}

/** A copy of what cargo reads, in a folder that stays for the next time. */
function copy(folder, except) {
  const list = (args) => execFileSync("git", ["ls-files", ...args, "--", ...PLACES], { cwd: ROOT, encoding: "utf8" }).trim().split("\n");
  const wanted = list(["--cached", "--others", "--exclude-standard"]).filter((file) => existsSync(join(ROOT, file)));
  const note = join(folder, "copied.json");
  for (const file of existsSync(note) ? JSON.parse(readFileSync(note, "utf8")) : []) {
    if (!wanted.includes(file)) rmSync(join(folder, file), { force: true });
  }
  for (const file of wanted.filter((file) => !except.includes(file))) {
    const [from, to] = [join(ROOT, file), join(folder, file)];
    const { mtime } = statSync(from);
    if (existsSync(to) && statSync(to).mtimeMs === mtime.getTime()) continue;
    mkdirSync(dirname(to), { recursive: true });
    copyFileSync(from, to);
    utimesSync(to, mtime, mtime);
  }
  write(note, JSON.stringify(wanted));
}

test("a tenth kind of proof is one file, its module and its line in the table", { skip: missing("cargo") }, async () => {
  const [source, ...others] = blocks("rust");
  assert.deepEqual(others, [], "one file");
  const [, file] = /^`(crates\/authority\/src\/doors\/(?:\w+)\.rs)`:$/m.exec(page);
  assert.ok(!existsSync(join(ROOT, file)), "it isn't there yet");
  const lines = blocks("diff").flatMap((block) => block.trimEnd().split("\n"));
  assert.deepEqual(lines.map((line) => line[0]), ["+", "+"], "two lines");
  const [module, entry] = lines.map((line) => line.slice(1));

  const target = process.env.CARGO_TARGET_DIR ?? join(ROOT, "target");
  const folder = join(target, "adding-a-proof", "copy");
  mkdirSync(folder, { recursive: true });
  copy(folder, [TABLE]);
  // The workspace is the folder above: where a crate is within its workspace is all that tells it from another one of its
  // name, and in one target folder the copies would be taken for ours.
  const moved = readFileSync(join(ROOT, "Cargo.toml"), "utf8")
    .replace(/^\[package\]\n[^]*?(?=^\[profile)/m, "") // the worker stays behind
    .replace(/^members = .*$/m, `members = ["copy/crates/*", "copy/gen/rust"]`)
    .replaceAll(/path = "(?=crates\/|gen\/|durable)/g, `path = "copy/`);
  write(join(folder, "../Cargo.toml"), moved);
  copyFileSync(join(ROOT, "Cargo.lock"), join(folder, "../Cargo.lock"));
  const table = readFileSync(join(ROOT, TABLE), "utf8").split("\n");
  const after = (beginning, line) => {
    const at = table.findIndex((one) => one.startsWith(beginning));
    assert.ok(at >= 0, beginning);
    table.splice(at + 1, 0, line);
  };
  after("pub mod claims;", module);
  after("pub const DOORS:", entry);
  write(join(folder, TABLE), table.join("\n"));
  write(join(folder, file), source);

  const name = /(\w+)\.rs$/.exec(file)[1];
  const args = ["test", "--package", "notme-authority", "--lib", `doors::${name}::`];
  const ran = await execute("cargo", args, { cwd: join(folder, ".."), env: { ...process.env, CARGO_TARGET_DIR: target } });
  assert.equal(ran.code, 0, `${ran.stdout}\n${ran.stderr}`);
  const tests = [...source.matchAll(/#\[test\]\n\s*fn (\w+)\(\)/g)].map(([, name]) => name);
  assert.ok(tests.length > 0);
  for (const test of tests) assert.match(ran.stdout, new RegExp(`${test} \\.\\.\\. ok`));
});
