// Reads from what test runners print how many tests they ran.

/**
 * @typedef {object} Counts
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 */

/** @param {string} text */
const withoutColour = (text) => text.replace(/\x1b\[[0-9;]*m/g, "");

/**
 * @param {Counts} total
 * @param {Counts | undefined} more
 */
export function addUp(total, more) {
  if (!more) return;
  total.passed += more.passed;
  total.failed += more.failed;
  total.skipped += more.skipped;
}

/**
 * cargo runs one test program per target, and each closes with its own line.
 * @param {string} output
 * @returns {Counts | undefined} nothing if no program came to its end
 */
export function cargoCounts(output) {
  const lines = withoutColour(output).matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm);
  /** @type {Counts | undefined} */
  let total;
  for (const [, passed, failed, skipped] of lines) {
    total ??= { passed: 0, failed: 0, skipped: 0 };
    addUp(total, { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) });
  }
  return total;
}

/**
 * node's runner closes once for all files. A test that was cancelled did not pass.
 * @param {string} output
 * @returns {Counts | undefined}
 */
export function nodeCounts(output) {
  const text = withoutColour(output);
  /** @param {string} name */
  const last = (name) => [...text.matchAll(new RegExp(`^ℹ ${name} (\\d+)$`, "gm"))].pop()?.[1];
  const [passed, failed, cancelled, skipped, todo] = ["pass", "fail", "cancelled", "skipped", "todo"].map(last);
  if (passed === undefined || failed === undefined) return undefined;
  return {
    passed: Number(passed),
    failed: Number(failed) + Number(cancelled ?? 0),
    skipped: Number(skipped ?? 0) + Number(todo ?? 0),
  };
}
