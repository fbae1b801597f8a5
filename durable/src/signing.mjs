// Signing with WebCrypto, all messages in one call: each promise that Rust awaits costs it a closure
// and a turn of its queue.

/**
 * Signs messages with an Ed25519 key.
 * @param {CryptoKey} key
 * @param {Uint8Array} first wasm's memory: read before this returns, and not afterwards
 * @param {Uint8Array} second the same; empty for one message only
 * @returns {Promise<Uint8Array>} the signatures, one after the other
 */
export async function signBoth(key, first, second) {
  const messages = second.length ? [first, second] : [first];
  const signatures = await Promise.all(messages.map((message) => crypto.subtle.sign("Ed25519", key, message)));
  const all = new Uint8Array(64 * signatures.length);
  signatures.forEach((signature, i) => all.set(new Uint8Array(signature), 64 * i));
  return all;
}
