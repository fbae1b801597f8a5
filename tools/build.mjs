// Builds the release worker and the web pages into `build/`, each unless nothing that it is made of
// has changed.
// `npm run build` by itself; also what wrangler runs as its build command.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Plain, isMain, main, run, say, stopOnSignals } from "./lib/console.mjs";
import { notices } from "./lib/notices.mjs";
import { ROOT } from "./lib/places.mjs";
import { WEB, buildWeb } from "./lib/web.mjs";
import { setup } from "./setup.mjs";

/** What the worker may weigh, gzipped: it decides how long a cold start takes. Each door weighs some. */
const BUDGET = 530_000;

/** What the runtime loads. */
const PARTS = ["src/entry.mjs", "build/index.js", "build/index_bg.wasm"];

/** The licences of what is in it: they ask to go where it goes. */
const NOTICES = "build/THIRD-PARTY-NOTICES.txt";

/** What they are put together from. */
const NOTICE_PARTS = { worker: "build/notices/worker.txt", web: "build/notices/web.txt" };

/** What the compiled parts depend on. */
const INPUTS = ["src", "durable", "crates", "gen/rust", "schema", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "tools/build.mjs"];

/** What the web pages depend on. */
const WEB_INPUTS = ["web", "gen/openapi", "gen/ts", "package-lock.json", "tools/lib/web.mjs"];

/** Folders of a crate that its library is not made of. */
const NOT_INPUTS = new Set(["tests", "benches", "examples", "target"]);

/** Says what `build/` was built from. */
export const STAMP = "build/.made-from";
const WEB_STAMP = "build/.web-made-from";

/** @param {string} path relative to the checkout @returns {string[]} */
function files(path) {
  const full = join(ROOT, path);
  if (!existsSync(full)) return [];
  if (!statSync(full).isDirectory()) return [path];
  return readdirSync(full)
    .filter((name) => !NOT_INPUTS.has(name))
    .sort()
    .flatMap((name) => files(join(path, name)));
}

/**
 * What the worker would be built from now.
 * @param {NodeJS.ProcessEnv} env
 */
export const fingerprint = (env) => digest(`toolchain ${env.RUSTUP_TOOLCHAIN ?? ""}`, INPUTS);

/** What the web pages would be built from now. */
export const webFingerprint = () => digest("web", WEB_INPUTS);

/** @param {string} what @param {string[]} inputs */
function digest(what, inputs) {
  const hash = createHash("sha256").update(`${what}\n`);
  for (const file of inputs.flatMap(files)) {
    const content = readFileSync(join(ROOT, file));
    hash.update(`${file} ${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}

/** @param {string} stamp @param {string} wanted @param {string[]} parts */
const isUpToDate = (stamp, wanted, parts) =>
  parts.every((part) => existsSync(join(ROOT, part))) &&
  existsSync(join(ROOT, stamp)) &&
  readFileSync(join(ROOT, stamp), "utf8") === wanted;

/** Says what the worker weighs, and fails if that is too much. */
function weigh() {
  let raw = 0;
  let zipped = 0;
  for (const part of PARTS) {
    const content = readFileSync(join(ROOT, part));
    raw += content.length;
    zipped += gzipSync(content, { level: 9 }).length;
  }
  const kB = (bytes) => `${(bytes / 1000).toFixed(1)} kB`;
  const size = `${kB(raw)}, ${kB(zipped)} gzipped`;
  if (zipped > BUDGET) throw new Plain(`the worker is too large: ${size}; the budget is ${kB(BUDGET)} gzipped.`);
  return size;
}

/**
 * @param {NodeJS.ProcessEnv} env from `setup`
 * @returns {Promise<string>} the size, for people
 */
export async function build(env) {
  const isNew = [await buildPages(), await buildWorker(env)].some(Boolean);
  if (isNew || !existsSync(join(ROOT, NOTICES))) {
    const parts = Object.values(NOTICE_PARTS).map((part) => readFileSync(join(ROOT, part), "utf8"));
    writeFileSync(join(ROOT, NOTICES), parts.join("\n"));
  }
  return weigh();
}

/** @returns {Promise<boolean>} whether they were built */
async function buildPages() {
  const wanted = webFingerprint();
  if (isUpToDate(WEB_STAMP, wanted, [`${WEB}/manifest.json`, NOTICE_PARTS.web])) return false;
  say("Building the web pages: their sources changed since the last build, or this is the first.");
  const notices = await buildWeb();
  mkdirSync(join(ROOT, "build/notices"), { recursive: true });
  writeFileSync(join(ROOT, NOTICE_PARTS.web), notices);
  writeFileSync(join(ROOT, WEB_STAMP), wanted);
  return true;
}

/** @param {NodeJS.ProcessEnv} env @returns {Promise<boolean>} whether it was built */
async function buildWorker(env) {
  const wanted = fingerprint(env);
  if (isUpToDate(STAMP, wanted, [...PARTS, NOTICE_PARTS.worker])) {
    say(`The worker is up to date (${weigh()}).`);
    return false;
  }
  say("Building the worker: its sources changed since the last build, or this is the first.");
  const { code, output, time } = await run(env.WORKER_BUILD_BIN, ["--release"], { cwd: ROOT, env, what: "building the worker" });
  if (code !== 0) throw new Plain(`the worker could not be built:\n\n${output.trimEnd()}`);
  const size = weigh();
  mkdirSync(join(ROOT, "build/notices"), { recursive: true });
  writeFileSync(join(ROOT, NOTICE_PARTS.worker), await notices(env));
  // Last, and of the sources as they were before the build: an edit meanwhile means another build.
  writeFileSync(join(ROOT, STAMP), wanted);
  say(`  built in ${time} (${size})`);
  return true;
}

/**
 * The worker that panics when a header asks for it, for the test of what happens then.
 * @returns {Promise<string>} its folder, relative to the checkout
 */
export async function buildPanicProbe() {
  const env = await setup();
  const folder = "build/panic-probe";
  const wanted = fingerprint(env);
  const stamp = join(ROOT, folder, ".made-from");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return folder;
  const args = ["--release", "--no-opt", "--out-dir", folder, ".", "--features", "panic-probe"];
  const { code, output } = await run(env.WORKER_BUILD_BIN, args, { cwd: ROOT, env, what: "building the worker that panics" });
  if (code !== 0) throw new Plain(`the worker that panics could not be built:\n\n${output.trimEnd()}`);
  writeFileSync(stamp, wanted);
  return folder;
}

if (isMain(import.meta.url)) {
  stopOnSignals();
  await main(async () => {
    await build(await setup());
  });
}
