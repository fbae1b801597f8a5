// The linter of the certificate tests: a Python package, in an environment of its own outside of
// the checkout. A machine without Python has none, and the tests that want it are skipped.
import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Plain, install, run, say } from "./console.mjs";
import { CACHE, ROOT, isExecutable, onPath } from "./places.mjs";

const REQUIREMENTS = join(ROOT, "tests/verify/requirements.txt");

/** Named after what is in it, so that other versions never meet in one folder. */
function folder() {
  const digest = createHash("sha256").update(readFileSync(REQUIREMENTS)).digest("hex");
  return join(CACHE, `pkilint-${digest.slice(0, 12)}`);
}

/** Written last: an installation that was cut short lacks it. */
const marker = () => join(folder(), "complete");

/** @returns {string | undefined} the Python that has pkilint, if it is installed */
export function pkilintPython() {
  try {
    readFileSync(marker());
  } catch {
    return undefined;
  }
  const python = join(folder(), "bin/python");
  return isExecutable(python) ? python : undefined;
}

/** Installs it where that is possible; says so where it is not. */
export async function ensurePkilint() {
  if (pkilintPython()) return;
  const without = "the tests that lint certificates will be skipped";
  if (!onPath("python3")) return say(`python3 is missing: ${without}.`);
  rmSync(folder(), { recursive: true, force: true });
  const made = await run("python3", ["-m", "venv", folder()]);
  if (made.code !== 0) return say(`python3 cannot make virtual environments (Debian: python3-venv): ${without}.`);
  try {
    await install({
      what: "pkilint",
      why: "the tests lint certificates with it",
      command: join(folder(), "bin/python"),
      args: ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", REQUIREMENTS],
    });
    writeFileSync(marker(), "");
  } catch (error) {
    if (!(error instanceof Plain)) throw error;
    say(`${error.message}\n  ${without}.`);
  }
}

