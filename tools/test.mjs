// `npm test`: the whole suite, from formatting to black-box tests against workerd.
//
//   npm test                  everything
//   npm test -- unit build    only the named steps
//   npm test -- --list        what steps there are
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { build } from "./build.mjs";
import { Plain, isMain, main, run, say, stopOnSignals } from "./lib/console.mjs";
import { ROOT, onPath } from "./lib/places.mjs";
import { WASM } from "./lib/toolchain.mjs";
import { addUp, cargoCounts, nodeCounts } from "./lib/counts.mjs";
import { setup } from "./setup.mjs";

/**
 * @typedef {import("./lib/counts.mjs").Counts} Counts
 * @typedef {object} Result
 * @property {boolean} ok
 * @property {string} output shown if it is not ok
 * @property {string} [note] shown if it is
 * @property {boolean} [skipped] it had nothing to do, or could not do it here
 * @property {Counts} [counts] of a step that runs tests
 */

/** Crates that run in the worker only; the others are tested on this machine. */
const WORKER_CRATES = ["notme", "notme-durable"];
const NATIVE = ["--workspace", ...WORKER_CRATES.flatMap((name) => ["--exclude", name])];
const STRICT = ["--", "-D", "warnings"];

/**
 * @param {string} what
 * @param {NodeJS.ProcessEnv} env
 * @param {string} command
 * @param {string[]} args
 * @returns {Promise<Result>}
 */
async function program(what, env, command, args) {
  const { code, output } = await run(command, args, { cwd: ROOT, env, what });
  return { ok: code === 0, output };
}

/** What cargo says while it works is no help in reading what failed. */
const PROGRESS = /^ +(Compiling|Checking|Downloading|Downloaded|Updating|Locking|Adding|Fresh|Blocking) .*\n/gm;

/**
 * @param {Result} result
 * @param {(output: string) => Counts | undefined} count
 * @returns {Result}
 */
function counted(result, count) {
  const counts = count(result.output);
  if (counts === undefined || counts.passed + counts.failed === 0) {
    return { ...result, ok: false, counts, output: `${result.output}\nno test was executed` };
  }
  const note = `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
  return { ...result, ok: result.ok && counts.failed === 0, counts, note };
}

/** The database of advisories is fetched: where it cannot be, that says nothing about the crates. */
const UNREACHABLE = /failed to (fetch|clone|open|load|acquire)|unable to (fetch|clone)|no network|IO error|could not resolve/i;

/** @type {Record<string, { what: string, body: (env: NodeJS.ProcessEnv) => Promise<Result> }>} */
const STEPS = {
  format: {
    what: "formatting",
    body: (env) => program("formatting", env, "cargo", ["fmt", "--all", "--check"]),
  },
  lint: {
    what: "lints of the crates that know nothing of the platform",
    body: (env) => program("linting", env, "cargo", ["clippy", ...NATIVE, "--all-targets", ...STRICT]),
  },
  "lint-worker": {
    what: "lints of the worker",
    body: (env) =>
      program("linting", env, "cargo", ["clippy", ...WORKER_CRATES.flatMap((name) => ["-p", name]), "--target", WASM, ...STRICT]),
  },
  dependencies: {
    what: "licences, sources, and which crate may use which",
    body: (env) => program("checking crates", env, "cargo", ["deny", "--workspace", "check", "licenses", "bans", "sources"]),
  },
  advisories: {
    what: "known holes in crates",
    async body(env) {
      const result = await program("checking advisories", env, "cargo", ["deny", "--workspace", "check", "advisories"]);
      if (result.ok || !UNREACHABLE.test(result.output)) return result;
      return { ok: true, skipped: true, output: "", note: "the advisory database could not be reached" };
    },
  },
  generated: {
    what: "generated files are those that the schema gives",
    async body(env) {
      const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
      if (!scripts["codegen:check"]) return { ok: true, skipped: true, output: "", note: "there is no generator yet" };
      if (!onPath("capnp")) return { ok: true, skipped: true, output: "", note: "the capnp compiler is not installed" };
      const generated = await program("generating", env, "npm", ["run", "--silent", "codegen:check"]);
      if (!generated.ok) return generated;
      return program("making the fixtures again", env, "npm", ["run", "--silent", "fixtures:check"]);
    },
  },
  unit: {
    what: "unit tests",
    async body(env) {
      // `--no-fail-fast`, so that the closing line counts all tests.
      return counted(await program("unit tests", env, "cargo", ["test", "--no-fail-fast", ...NATIVE]), cargoCounts);
    },
  },
  typescript: {
    what: "the types of the web pages, and the TypeScript codecs against the vectors",
    async body(env) {
      return counted(await program("TypeScript tests", env, "npm", ["run", "--silent", "test:ts"]), nodeCounts);
    },
  },
  go: {
    what: "the Go codecs against the vectors",
    async body(env) {
      if (!onPath("go")) return { ok: true, skipped: true, output: "", note: "Go is not installed" };
      return program("Go tests", env, "npm", ["run", "--silent", "test:go"]);
    },
  },
  build: {
    what: "the release worker, within its size",
    async body(env) {
      try {
        return { ok: true, output: "", note: await build(env) };
      } catch (error) {
        if (error instanceof Plain) return { ok: false, output: error.message };
        throw error;
      }
    },
  },
  "black-box": {
    what: "tests against the worker in workerd",
    async body(env) {
      const files = testFiles(join(ROOT, "tests"));
      // Files wait for workerd, browsers and clocks more than they compute.
      const atOnce = `--test-concurrency=${Math.max(2, availableParallelism() - 1)}`;
      return counted(await program("black-box tests", env, process.execPath, ["--test", atOnce, "--test-reporter=spec", ...files]), nodeCounts);
    },
  },
  wrangler: {
    what: "what clients see, with wrangler's runtime as the host",
    async body(env) {
      const through = { ...env, NOTME_TEST_HOST: "wrangler" };
      const args = ["--test", "--test-reporter=spec", ...THROUGH_WRANGLER.map((file) => join(ROOT, file))];
      return counted(await program("tests through wrangler", through, process.execPath, args), nodeCounts);
    },
  },
};

/** What also runs through wrangler: what a client sees. The rest looks into folders and processes. */
const THROUGH_WRANGLER = ["documents", "gha", "http", "invites", "people", "replay", "web"].map((name) => `tests/${name}.test.mjs`);

/** @param {string} folder @returns {string[]} */
const testFiles = (folder) =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true })
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .flatMap((entry) => {
          const path = join(folder, entry.name);
          if (entry.isDirectory()) return testFiles(path);
          return entry.name.endsWith(".test.mjs") ? [path] : [];
        })
    : [];

/** @param {string[]} names */
async function suite(names) {
  const unknown = names.filter((name) => !(name in STEPS));
  if (unknown.length) throw new Plain(`there is no step ${unknown.join(", ")}; the steps are: ${Object.keys(STEPS).join(", ")}`);
  const env = await setup({ test: true });
  const total = { passed: 0, failed: 0, skipped: 0 };
  let failedSteps = 0;
  for (const [name, { what, body }] of Object.entries(STEPS)) {
    if (names.length && !names.includes(name)) continue;
    const start = Date.now();
    const result = await body(env);
    const time = `${((Date.now() - start) / 1000).toFixed(1)} s`;
    const verdict = !result.ok ? "FAILED" : result.skipped ? "skipped" : "ok";
    say(`${verdict.padEnd(8)}${name.padEnd(14)}${time.padStart(8)}  ${what}${result.note ? `: ${result.note}` : ""}`);
    if (!result.ok) say(`\n${result.output.replace(PROGRESS, "").trimEnd()}\n`);
    addUp(total, result.counts);
    if (result.ok) continue;
    failedSteps += 1;
    // A lint, or a runner that broke before it could count, is a failure of its own.
    if (!result.counts?.failed) total.failed += 1;
  }
  say(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return failedSteps === 0 ? 0 : 1;
}

if (isMain(import.meta.url)) {
  stopOnSignals();
  await main(async () => {
    const names = process.argv.slice(2);
    if (!names.includes("--list")) return suite(names);
    for (const [name, { what }] of Object.entries(STEPS)) say(`${name.padEnd(14)}${what}`);
    return 0;
  });
}
