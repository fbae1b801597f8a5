//! Sealing the CA key at rest (notme protocol §15, with the associated data that it lacks).
//!
//! A sealed seed is `version ‖ key id of the KEK ‖ salt ‖ nonce ‖ AES-256-GCM(seed)`. The cipher's
//! key is HKDF-SHA-256 of the operator's secret and the salt, so it is used once. Purpose and key id
//! of what is sealed are associated data: a blob moved to another place doesn't open.

use std::fmt;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// First byte of every blob.
const VERSION: u8 = 1;
const KEY_INFO: &[u8] = b"notme-seal-v1";
const KEK_ID_INFO: &[u8] = b"notme-kek-id-v1";
/// The least length of a secret, in characters.
const MIN_SECRET_CHARS: usize = 32;
/// The least number of different characters in it. 32 random hex digits have fewer than 8 once in
/// ten million; `aaaa…` has one.
const MIN_DISTINCT_CHARS: usize = 8;

/// The key that seals keys: what the operator's secret yields.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Kek {
    secret: Vec<u8>,
    id: [u8; 8],
}

impl fmt::Debug for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { secret: _, id } = self;
        f.debug_struct("Kek")
            .field("id", id)
            .finish_non_exhaustive()
    }
}

/// Why a secret can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KekError {
    /// Too short, or too few different characters.
    Weak,
}

/// Whether a secret can be guessed: below 32 characters, or fewer than 8 different ones.
pub(crate) fn is_weak(secret: &str) -> bool {
    let distinct: std::collections::BTreeSet<char> = secret.chars().collect();
    secret.chars().count() < MIN_SECRET_CHARS || distinct.len() < MIN_DISTINCT_CHARS
}

/// Why a blob doesn't open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Sealed with another secret.
    OtherSecret,
    /// Not what was sealed here, or for this purpose and key.
    Corrupt,
}

/// 28 random bytes for one sealing: 16 of salt, 12 of nonce.
pub type SealingRandomness = [u8; 28];

impl Kek {
    /// Takes the operator's secret; blanks around it don't count.
    ///
    /// # Errors
    /// [`KekError::Weak`] below 32 characters, or with fewer than 8 different ones.
    pub fn from_secret(secret: &str) -> Result<Self, KekError> {
        let secret = secret.trim();
        if is_weak(secret) {
            return Err(KekError::Weak);
        }
        let mut id = [0; 8];
        expand(secret.as_bytes(), &[], KEK_ID_INFO, &mut id);
        Ok(Self {
            secret: secret.as_bytes().to_vec(),
            id,
        })
    }

    /// Seals `seed`, which belongs to the key `key_id` and is for `purpose`.
    #[must_use]
    pub fn seal(
        &self,
        purpose: &str,
        key_id: &str,
        seed: &[u8; 32],
        randomness: SealingRandomness,
    ) -> Vec<u8> {
        let (salt, nonce) = randomness.split_at(16);
        let mut blob = vec![VERSION];
        blob.extend_from_slice(&self.id);
        blob.extend_from_slice(&randomness);
        let aad = associated_data(purpose, key_id);
        let payload = Payload {
            msg: seed,
            aad: &aad,
        };
        // AES-GCM refuses only messages of more than 64 GiB.
        let nonce = Nonce::try_from(nonce).unwrap_or_default();
        blob.extend(
            self.cipher(salt)
                .encrypt(&nonce, payload)
                .unwrap_or_default(),
        );
        blob
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        &self,
        purpose: &str,
        key_id: &str,
        blob: &[u8],
    ) -> Result<Zeroizing<[u8; 32]>, OpenError> {
        let corrupt = OpenError::Corrupt;
        let (&version, rest) = blob.split_first().ok_or(corrupt)?;
        let (id, rest) = rest.split_first_chunk::<8>().ok_or(corrupt)?;
        let (salt, rest) = rest.split_first_chunk::<16>().ok_or(corrupt)?;
        let (nonce, ciphertext) = rest.split_first_chunk::<12>().ok_or(corrupt)?;
        if version != VERSION {
            return Err(corrupt);
        }
        if *id != self.id {
            return Err(OpenError::OtherSecret);
        }
        let aad = associated_data(purpose, key_id);
        let payload = Payload {
            msg: ciphertext,
            aad: &aad,
        };
        let seed = self
            .cipher(salt)
            .decrypt(&Nonce::from(*nonce), payload)
            .map_err(|_| corrupt)?;
        let seed = Zeroizing::new(seed);
        Ok(Zeroizing::new(
            seed.as_slice().try_into().map_err(|_| corrupt)?,
        ))
    }

    fn cipher(&self, salt: &[u8]) -> Aes256Gcm {
        let mut key = Zeroizing::new([0; 32]);
        expand(&self.secret, salt, KEY_INFO, &mut *key);
        Aes256Gcm::new(&(*key).into())
    }
}

fn expand(secret: &[u8], salt: &[u8], info: &[u8], out: &mut [u8]) {
    let expanded = Hkdf::<Sha256>::new(Some(salt), secret).expand(info, out);
    debug_assert!(expanded.is_ok(), "HKDF gives up to 255 blocks");
}

fn associated_data(purpose: &str, key_id: &str) -> Vec<u8> {
    [
        KEY_INFO,
        b"\0",
        purpose.as_bytes(),
        b"\0",
        key_id.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: [u8; 32] = [42; 32];

    fn kek(secret: &str) -> Kek {
        Kek::from_secret(secret).unwrap()
    }

    fn sealed() -> (Kek, Vec<u8>) {
        let kek = kek("0123456789abcdefghijklmnopqrstuv");
        let blob = kek.seal("ca", "k1", &SEED, [7; 28]);
        (kek, blob)
    }

    #[test]
    fn opens_what_it_sealed() {
        let (kek, blob) = sealed();
        assert_eq!(*kek.open("ca", "k1", &blob).unwrap(), SEED);
        assert_eq!(blob.len(), 1 + 8 + 28 + 32 + 16);
    }

    #[test]
    fn another_secret_is_told_from_corruption() {
        let (_, blob) = sealed();
        let other = kek("0123456789abcdefghijklmnopqrstuw");
        assert_eq!(
            other.open("ca", "k1", &blob).unwrap_err(),
            OpenError::OtherSecret
        );
    }

    #[test]
    fn purpose_and_key_id_are_bound() {
        let (kek, blob) = sealed();
        for (purpose, key_id) in [("jwt", "k1"), ("ca", "k2"), ("c", "a\0k1"), ("", "")] {
            assert_eq!(
                kek.open(purpose, key_id, &blob).unwrap_err(),
                OpenError::Corrupt
            );
        }
    }

    #[test]
    fn every_bit_counts() {
        let (kek, blob) = sealed();
        for at in 0..blob.len() {
            let mut bad = blob.clone();
            bad[at] ^= 1;
            assert!(kek.open("ca", "k1", &bad).is_err(), "{at}");
        }
        for len in 0..blob.len() {
            assert!(kek.open("ca", "k1", &blob[..len]).is_err());
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(
            format!("{:?}", kek("0123456789abcdefghijklmnopqrstuv")).find("0123456789"),
            None
        );
    }
}
