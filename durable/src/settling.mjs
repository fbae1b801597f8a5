// Signature checks: WebCrypto with all its promises in one call, for each promise that Rust awaits costs
// it a closure and a turn of its queue.

/** By the number that the Rust side gives them; each is what import and verify both ask for. */
const ALGORITHMS = [
  { name: "Ed25519" },
  { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" },
  { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  { name: "RSA-PSS", hash: "SHA-256", saltLength: 32 },
];
const RSA = [2, 3];

const FAILED = 254;
const INVALID_KEY = 255;

/**
 * Issuers' few keys, the newest last: importing RSA costs as much as verifying with it.
 * @type {{ algorithm: number, spki: Uint8Array, key: CryptoKey }[]}
 */
const rsaKeys = [];
const MAX_RSA_KEYS = 64;

/**
 * Settles signature checks, packed one after the other as: algorithm (1 byte), then key (SPKI),
 * signature and the messages, each behind its length (4 bytes, big endian), the messages behind
 * their number (1 byte).
 *
 * The later checks are made only if the first is good: it is the token's, and without it a stranger
 * could make us work for nothing.
 * @param {Uint8Array} packed
 * @returns {Promise<Uint8Array>} per check the index of the message that was signed, or 254 for
 *   none of them, or 255 for a key that is no key
 */
export async function settle(packed) {
  const checks = unpack(packed.slice()); // what we were given is wasm's memory, and we await
  const outcomes = new Uint8Array(checks.length).fill(FAILED);
  if (checks.length === 0) return outcomes;
  outcomes[0] = await settleOne(checks[0]);
  if (outcomes[0] >= FAILED) return outcomes;
  const rest = await Promise.all(checks.slice(1).map(settleOne));
  outcomes.set(rest, 1);
  return outcomes;
}

async function settleOne({ algorithm, key, signature, messages }) {
  let imported;
  try {
    imported = await importKey(algorithm, key);
  } catch {
    return INVALID_KEY;
  }
  for (let i = 0; i < messages.length; i++) {
    if (await verifies(algorithm, imported, signature, messages[i])) return i;
  }
  return FAILED;
}

async function verifies(algorithm, key, signature, message) {
  try {
    return await crypto.subtle.verify(ALGORITHMS[algorithm], key, signature, message);
  } catch {
    return false; // some runtimes throw at a signature of the wrong length
  }
}

async function importKey(algorithm, spki) {
  const fresh = () => crypto.subtle.importKey("spki", spki, ALGORITHMS[algorithm], false, ["verify"]);
  if (!RSA.includes(algorithm)) return fresh();
  const isIt = (one) => one.algorithm === algorithm && isSame(one.spki, spki);
  const known = rsaKeys.find(isIt);
  if (known) return known.key;
  const key = await fresh();
  // Others may have imported the same one meanwhile.
  if (rsaKeys.some(isIt)) return key;
  if (rsaKeys.length >= MAX_RSA_KEYS) rsaKeys.shift();
  rsaKeys.push({ algorithm, spki: spki.slice(), key });
  return key;
}

const isSame = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

function unpack(packed) {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  let at = 0;
  const byte = () => packed[at++];
  const bytes = () => {
    const start = at + 4;
    at = start + view.getUint32(at);
    return packed.subarray(start, at);
  };
  const checks = [];
  while (at < packed.length) {
    const [algorithm, key, signature] = [byte(), bytes(), bytes()];
    checks.push({ algorithm, key, signature, messages: Array.from({ length: byte() }, bytes) });
  }
  return checks;
}
