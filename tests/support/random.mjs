// Randomness that a seed repeats, for tests that must be able to run again as they ran.

/**
 * A 32-bit generator (mulberry32): small, and good enough to choose test data.
 * @param {number} seed
 */
export function seeded(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = state;
    x = Math.imul(x ^ (x >>> 15), x | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return (x ^ (x >>> 14)) >>> 0;
  };
  /** @param {number} low @param {number} high both included */
  const between = (low, high) => low + (next() % (high - low + 1));
  /** @template T @param {ArrayLike<T>} items @returns {T} */
  const one = (items) => items[next() % items.length];
  /** @param {ArrayLike<string>} alphabet @param {number} length in characters */
  const text = (alphabet, length) => Array.from({ length }, () => one(alphabet)).join("");
  return { between, one, text };
}

/** @typedef {ReturnType<typeof seeded>} Random */
