// The Rust toolchain: the pinned one with the standard library for wasm32, or its stand-in where
// toolchains cannot be downloaded.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Plain, install, run, say, tail } from "./console.mjs";
import { ROOT, isExecutable, onPath } from "./places.mjs";

export const WASM = "wasm32-unknown-unknown";

/** The toolchain that the fallback makes; `NOTME_TOOLCHAIN` with this value forces it. */
const DEBIAN = "debian";

/** The toolchain that `rust-toolchain.toml` pins. */
export const pinnedToolchain = () =>
  /^channel\s*=\s*"(.+)"/m.exec(readFileSync(join(ROOT, "rust-toolchain.toml"), "utf8"))[1];

/**
 * Makes sure that there is a compiler with a standard library for wasm32.
 * @param {{ lint: boolean }} wanted with `lint`, formatter and linter too
 * @returns {Promise<Record<string, string>>} what has to be in the environment to use it
 */
export async function ensureToolchain({ lint }) {
  if (!onPath("rustup") || !onPath("cargo")) {
    throw new Plain("rustup is missing: install it from https://rustup.rs, open a new shell, and run the same command again.");
  }
  if (!["cc", "gcc", "clang"].some(onPath)) {
    throw new Plain("a C compiler is missing: install one (Debian: `apt-get install build-essential`; macOS: `xcode-select --install`).");
  }
  const forced = process.env.NOTME_TOOLCHAIN;
  if (forced !== undefined && forced !== "" && forced !== DEBIAN) {
    throw new Plain(`NOTME_TOOLCHAIN=${forced} is unknown: the only value is \`${DEBIAN}\`.`);
  }
  const name = process.env.RUSTUP_TOOLCHAIN || pinnedToolchain();
  if (forced !== DEBIAN) {
    if (await complete(name, lint)) return {};
    if (!(await complete(DEBIAN, lint))) {
      const failure = await download(name, lint);
      if (failure === undefined) return {};
      explainUnlessDebian(name, failure);
      say(`  Rust's servers could not be reached; Debian's own compiler stands in.`);
    }
  }
  await ensureDebian(lint);
  return { RUSTUP_TOOLCHAIN: DEBIAN };
}

/**
 * Whether a toolchain is there, with all that is needed. Never downloads.
 * @param {string} name
 * @param {boolean} lint
 */
async function complete(name, lint) {
  const { code, output } = await run("rustup", ["run", name, "rustc", "--print", "sysroot"], {
    env: { ...process.env, RUSTUP_AUTO_INSTALL: "0" },
  });
  if (code !== 0) return false;
  const sysroot = output.trim().split("\n").pop();
  const programs = lint ? ["cargo-clippy", "rustfmt"] : [];
  return hasStd(sysroot) && programs.every((program) => isExecutable(join(sysroot, "bin", program)));
}

/** @param {string} sysroot */
function hasStd(sysroot) {
  const folder = join(sysroot, "lib/rustlib", WASM, "lib");
  return existsSync(folder) && readdirSync(folder).some((file) => /^libstd-.*\.rlib$/.test(file));
}

/**
 * @param {string} name
 * @param {boolean} lint
 * @returns {Promise<string | undefined>} what went wrong
 */
async function download(name, lint) {
  const components = lint ? ["--component", "clippy", "--component", "rustfmt"] : [];
  const args = ["toolchain", "install", name, "--profile", "minimal", "--target", WASM, ...components];
  const what = `Rust ${name} with the standard library for ${WASM}`;
  try {
    await install({ what, why: "the worker is compiled to WebAssembly", command: "rustup", args });
    return undefined;
  } catch (error) {
    if (error instanceof Plain) return error.message;
    throw error;
  }
}

const isDebian = () => {
  try {
    return /^ID=debian$/m.test(readFileSync("/etc/os-release", "utf8"));
  } catch {
    return false;
  }
};

/**
 * @param {string} name
 * @param {string} failure
 */
function explainUnlessDebian(name, failure) {
  if (isDebian() && process.getuid?.() === 0 && process.arch === "x64") return;
  throw new Plain(`${failure}

What to do, where there is a network:
  rustup toolchain install ${name} --profile minimal --target ${WASM}
Where Rust's servers cannot be reached, Debian's packages can stand in: as root on Debian (x86-64),
the same command builds the standard library by itself.`);
}

/**
 * Debian's compiler has no standard library for wasm32, but its sources, from which we build it.
 * @param {boolean} lint
 */
async function ensureDebian(lint) {
  if (await complete(DEBIAN, lint)) return;
  explainUnlessDebian(pinnedToolchain(), `NOTME_TOOLCHAIN=${DEBIAN} needs Debian on x86-64, and root.`);
  const packages = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
  if (lint) packages.push("rust-web-clippy", "rustfmt-web");
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const why = "Rust's own servers are out of reach";
  await install({ what: "Debian's package lists", why, command: "apt-get", args: ["update"], env });
  await install({
    what: "Debian's Rust compiler and the sources of its standard library",
    why,
    command: "apt-get",
    args: ["install", "-y", "--no-install-recommends", ...packages],
    env,
  });
  if (!hasStd("/usr")) await buildStd();

  // rustc looks for the linker of wasm under this name only.
  const linker = "/usr/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld";
  mkdirSync(join(linker, ".."), { recursive: true });
  if (!existsSync(linker)) symlinkSync("/usr/bin/lld-19", linker);
  const linked = await run("rustup", ["toolchain", "link", DEBIAN, "/usr"]);
  if (linked.code !== 0 || !(await complete(DEBIAN, lint))) {
    throw new Plain(`the toolchain \`${DEBIAN}\` could not be set up:\n\n${tail(linked.output, 10)}`);
  }
}

async function buildStd() {
  const folder = mkdtempSync(join(tmpdir(), "notme-std-"));
  try {
    mkdirSync(join(folder, "src"));
    writeFileSync(join(folder, "src/lib.rs"), "#![no_std]\n");
    writeFileSync(
      join(folder, "Cargo.toml"),
      `[package]\nname = "notme_std_probe"\nversion = "0.0.0"\nedition = "2021"\n\n[workspace]\n`,
    );
    await install({
      what: `the standard library for ${WASM}`,
      why: "Debian ships it as source only",
      command: "/usr/bin/cargo",
      args: ["build", "--release", "--target", WASM, "-Zbuild-std=std,panic_abort,test,proc_macro"],
      cwd: folder,
      env: {
        ...process.env,
        PATH: `/usr/bin:${process.env.PATH}`,
        CARGO_TARGET_DIR: join(folder, "target"),
        // The nightly flag, on a stable compiler that is of one build with these very sources.
        RUSTC_BOOTSTRAP: "1",
        RUSTFLAGS: "-Cembed-bitcode=yes",
      },
    });
    const made = join(folder, "target", WASM, "release/deps");
    const destination = join("/usr/lib/rustlib", WASM, "lib");
    mkdirSync(destination, { recursive: true });
    for (const file of readdirSync(made)) {
      if (!file.endsWith(".rlib") || file.startsWith("libnotme_std_probe-")) continue;
      copyFileSync(join(made, file), join(destination, file));
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
