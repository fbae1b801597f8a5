// Python packages that only tests use, each set in an environment of its own outside of the
// checkout. A machine without Python has none, and the tests that want them are skipped.
import { createHash } from "node:crypto";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Plain, install, run, say } from "./console.mjs";
import { CACHE, ROOT, isExecutable, onPath } from "./places.mjs";

/**
 * @param {object} wanted
 * @param {string} wanted.name what is installed, for people
 * @param {string} wanted.requirements file of pinned packages, from the checkout on
 * @param {string} wanted.why
 * @param {string} wanted.without what is skipped without it
 */
export function pythonEnvironment({ name, requirements, why, without }) {
  const list = join(ROOT, requirements);

  /** Named after what is in it, so that other versions never meet in one folder. */
  function folder() {
    const digest = createHash("sha256").update(readFileSync(list)).digest("hex");
    return join(CACHE, `${name}-${digest.slice(0, 12)}`);
  }

  /** Written last: an installation that was cut short lacks it. */
  const marker = () => join(folder(), "complete");

  return {
    /**
     * @param {string} program
     * @returns {string | undefined} its path, if all is installed
     */
    program(program) {
      try {
        readFileSync(marker());
      } catch {
        return undefined;
      }
      const path = join(folder(), "bin", program);
      return isExecutable(path) ? path : undefined;
    },

    /** Installs it where that is possible; says so where it is not. */
    async ensure() {
      if (this.program("python")) return;
      if (!onPath("python3")) return say(`python3 is missing: ${without} will be skipped.`);
      rmSync(folder(), { recursive: true, force: true });
      const made = await run("python3", ["-m", "venv", folder()]);
      if (made.code !== 0) return say(`python3 cannot make virtual environments (Debian: python3-venv): ${without} will be skipped.`);
      try {
        await install({
          what: name,
          why,
          command: join(folder(), "bin/python"),
          args: ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", list],
        });
        writeFileSync(marker(), "");
      } catch (error) {
        if (!(error instanceof Plain)) throw error;
        say(`${error.message}\n  ${without} will be skipped.`);
      }
    },
  };
}

/** The linter of the certificate tests. */
export const pkilint = pythonEnvironment({
  name: "pkilint",
  requirements: "tests/verify/requirements.txt",
  why: "the tests lint certificates with it",
  without: "the tests that lint certificates",
});

/** The fuzzer of the HTTP interface, and a validator of the document that it reads. */
export const schemathesis = pythonEnvironment({
  name: "schemathesis",
  requirements: "tests/openapi/requirements.txt",
  why: "the tests fuzz the HTTP interface with it",
  without: "the tests that fuzz the HTTP interface",
});
