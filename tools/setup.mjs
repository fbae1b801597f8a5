// Installs what a machine with Node, rustup and a C compiler lacks. `npm run setup` by itself; the
// other commands call it first. When nothing is missing it takes a moment.
//
//   NOTME_CACHE_DIR=<folder>   where tools and compiler output go (default: ~/.cache/notme)
//   CARGO_TARGET_DIR=<folder>  where compiler output alone goes
//   NOTME_TOOLCHAIN=debian     use Debian's compiler even where Rust's own could be downloaded
import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import process from "node:process";
import { Plain, install, isMain, main, run, say, stopOnSignals } from "./lib/console.mjs";
import { CACHE, ROOT, TOOLS, isExecutable } from "./lib/places.mjs";
import { pkilint, schemathesis } from "./lib/python.mjs";
import { ensureToolchain } from "./lib/toolchain.mjs";

const WORKER_BUILD = "0.8.7";
const CARGO_DENY = "0.20.2";

/**
 * @param {{ test?: boolean }} [options] with `test`, what only the test suite needs too
 * @returns {Promise<NodeJS.ProcessEnv>} the environment for every build step
 */
export async function setup({ test = false } = {}) {
  const env = { ...process.env, ...(await ensureToolchain({ lint: test })) };
  env.CARGO_TARGET_DIR ||= join(CACHE, "target");
  await ensureNpmPackages();
  await ensureTool({
    name: "worker-build",
    version: WORKER_BUILD,
    why: "it makes the worker's JavaScript around the wasm",
    locked: true,
    optimise: 0,
    env,
  });
  await ensureTool({
    name: "wasm-bindgen",
    crate: "wasm-bindgen-cli",
    // Library and program speak a private format and must be of one version.
    version: lockedVersion("wasm-bindgen"),
    why: "it writes the glue between wasm and JavaScript",
    // Its own lock file may name a version that a registry mirror lacks.
    locked: false,
    optimise: 1,
    env,
  });
  if (test) {
    await ensureTool({
      name: "cargo-deny",
      version: CARGO_DENY,
      why: "the suite checks licences and sources of all crates",
      locked: true,
      optimise: 0,
      env,
    });
    await pkilint.ensure();
    await schemathesis.ensure();
  }
  return toolEnvironment(env);
}

/**
 * worker-build downloads what these do not name; each is set only where the program exists.
 * @param {NodeJS.ProcessEnv} env
 */
function toolEnvironment(env) {
  const bin = join(ROOT, "node_modules/.bin");
  const programs = {
    WORKER_BUILD_BIN: join(TOOLS, "bin/worker-build"),
    WASM_BINDGEN_BIN: join(TOOLS, "bin/wasm-bindgen"),
    ESBUILD_BIN: join(bin, "esbuild"),
    WASM_OPT_BIN: join(bin, "wasm-opt"),
  };
  for (const [name, path] of Object.entries(programs)) if (isExecutable(path)) env[name] ||= path;
  env.PATH = `${join(TOOLS, "bin")}:${env.PATH}`;
  env.WRANGLER_SEND_METRICS = "false";
  return env;
}

/** @param {string} crate */
function lockedVersion(crate) {
  const lock = readFileSync(join(ROOT, "Cargo.lock"), "utf8");
  const match = new RegExp(`^name = "${crate}"\nversion = "(.+)"`, "m").exec(lock);
  if (!match) throw new Plain(`Cargo.lock does not name ${crate}.`);
  return match[1];
}

/**
 * @param {{ name: string, crate?: string, version: string, why: string, locked: boolean,
 *   optimise: number, env: NodeJS.ProcessEnv }} tool
 */
async function ensureTool({ name, crate = name, version, why, locked, optimise, env }) {
  const record = join(TOOLS, ".crates.toml");
  const installed = existsSync(record) ? readFileSync(record, "utf8") : "";
  if (installed.includes(`"${crate} ${version} (`) && isExecutable(join(TOOLS, "bin", name))) return;
  await install({
    what: `${crate} ${version}`,
    why: `${why} (compiled once, takes minutes, into ${TOOLS})`,
    command: "cargo",
    args: ["install", crate, "--version", `=${version}`, ...(locked ? ["--locked"] : []), "--root", TOOLS],
    cwd: ROOT,
    env: {
      ...env,
      // Compiling these tools with full optimisation takes longer than they will ever run.
      CARGO_PROFILE_RELEASE_OPT_LEVEL: String(optimise),
      CARGO_PROFILE_RELEASE_LTO: "off",
      CARGO_PROFILE_RELEASE_CODEGEN_UNITS: "16",
      CARGO_PROFILE_RELEASE_DEBUG: "0",
    },
  });
}

async function ensureNpmPackages() {
  const lock = join(ROOT, "package-lock.json");
  const marker = join(ROOT, "node_modules/.package-lock.json");
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  await install({
    what: "npm packages",
    why: "workerd and wrangler run the worker, esbuild and wasm-opt make it small",
    command: "npm",
    args: ["ci", "--no-audit", "--no-fund"],
    cwd: ROOT,
  });
  // Install scripts may be blocked; then the programs have to be found by other means.
  const require = createRequire(join(ROOT, "package.json"));
  for (const [name, path] of [
    ["workerd", require("workerd").default],
    ["esbuild", join(ROOT, "node_modules/.bin/esbuild")],
  ]) {
    const { code, output } = await run(path, ["--version"]);
    if (code === 0) continue;
    throw new Plain(`${name} was installed but does not run:\n\n${output.trim()}\n\nIf npm blocks install scripts or optional packages, allow them for ${name}.`);
  }
}

if (isMain(import.meta.url)) {
  stopOnSignals();
  await main(async () => {
    await setup({ test: process.argv.includes("--test") });
    say("Everything that notme needs is installed.");
  });
}
