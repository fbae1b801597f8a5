//! What a key signs to hand its trust on to the key that follows it.

use crate::Ed25519PublicKey;

/// Nothing else that such a key signs begins like this: certificates are DER, bundles and receipts
/// CBOR, tokens base64url.
const DOMAIN: &[u8] = b"notme-key-endorsement-v1\0";

/// The message with which `by` endorses `key`, which signs in its place from `at` (Unix seconds) on,
/// in the same `epoch`: domain, id of `by` (16 bytes), `key` (32), epoch and time (8 each, big endian).
#[must_use]
pub fn endorsement(by: &Ed25519PublicKey, key: &Ed25519PublicKey, epoch: u64, at: u64) -> Vec<u8> {
    [
        DOMAIN,
        by.key_id().as_bytes(),
        key.as_bytes(),
        &epoch.to_be_bytes(),
        &at.to_be_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};

    use super::*;

    /// The vector of `docs/keys.md`, which `tests/rollover.test.mjs` has OpenSSL check.
    #[test]
    fn documented_vector() {
        let secrets = [[1; 32], [2; 32]].map(|seed| SigningKey::from_bytes(&seed));
        let [old, new] = secrets
            .clone()
            .map(|secret| Ed25519PublicKey::from_bytes(secret.verifying_key().to_bytes()).unwrap());
        let message = endorsement(&old, &new, 3, 1_795_295_166);
        let [secret, _] = secrets;
        let documented = include_str!("../../../docs/keys.md");
        for bytes in [&message[..], &secret.sign(&message).to_bytes()] {
            let hex = hex::encode(bytes);
            assert!(documented.contains(&hex), "{hex}");
        }
    }
}
