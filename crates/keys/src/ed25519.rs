//! Ed25519 public keys (RFC 8032, RFC 8410).

use crate::{Error, KeyId, decode_pem};

/// DER of an Ed25519 SubjectPublicKeyInfo up to the 32 bytes of the key. The AlgorithmIdentifier has
/// no parameters (RFC 8410 §3); one with NULL doesn't match and is refused.
const SPKI_PREFIX: [u8; 12] = [48, 42, 48, 5, 6, 3, 43, 101, 112, 3, 33, 0];

/// The y coordinates (little endian, sign bit cleared) of the points whose order divides 8. Anybody
/// can sign for such a key, so it proves possession of nothing.
const SMALL_ORDER_Y: [[u8; 32]; 5] = [
    [0; 32],
    *b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\
       \xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\
       \x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    *b"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\
       \xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
];

/// An Ed25519 public key: 32 bytes that encode a y coordinate canonically and not of small order.
///
/// Whether the bytes are a point of the curve at all shows when a signature is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ed25519PublicKey([u8; 32]);

impl Ed25519PublicKey {
    /// Length of the DER SubjectPublicKeyInfo in bytes.
    pub const SPKI_LEN: usize = 44;

    /// Takes the 32 bytes of RFC 8032 §5.1.5.
    ///
    /// # Errors
    /// [`Error::BadSpki`] if the y coordinate isn't reduced (RFC 8032 §5.1.3), [`Error::WeakKey`]
    /// for a point of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, Error> {
        let mut unsigned = bytes;
        let [.., top] = &mut unsigned;
        *top &= 0x7f;
        if !is_reduced(&unsigned) {
            return Err(Error::BadSpki);
        }
        if SMALL_ORDER_Y.contains(&unsigned) {
            return Err(Error::WeakKey);
        }
        Ok(Self(bytes))
    }

    /// Reads a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// As [`Self::from_bytes`]; [`Error::BadSpki`] for any other algorithm or encoding.
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let key = der.strip_prefix(&SPKI_PREFIX).ok_or(Error::BadSpki)?;
        Self::from_bytes(key.try_into().map_err(|_| Error::BadSpki)?)
    }

    /// Reads a PEM block labelled `PUBLIC KEY`.
    ///
    /// # Errors
    /// As [`Self::from_spki`]; [`Error::BadPem`] if it isn't such a block.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        Self::from_spki(&decode_pem("PUBLIC KEY", text)?)
    }

    /// The 32 bytes of RFC 8032 §5.1.5.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_spki(&self) -> [u8; Self::SPKI_LEN] {
        let mut der = [0; Self::SPKI_LEN];
        let (prefix, key) = der.split_at_mut(SPKI_PREFIX.len());
        prefix.copy_from_slice(&SPKI_PREFIX);
        key.copy_from_slice(&self.0);
        der
    }

    /// The key id of this key.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::of_spki(&self.to_spki())
    }
}

/// Whether `y` (little endian, below 2^255) is below p = 2^255 − 19.
fn is_reduced(y: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = y;
    !(*low >= 0xed && *high == 0x7f && middle.iter().all(|b| *b == 0xff))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::VerifyingKey;

    use super::*;

    #[test]
    fn spki_round_trips() {
        let key = Ed25519PublicKey::from_bytes([7; 32]).unwrap();
        assert_eq!(Ed25519PublicKey::from_spki(&key.to_spki()), Ok(key));
    }

    #[test]
    fn null_parameters_are_refused() {
        // notme protocol §21.4: the same key with AlgorithmIdentifier parameters NULL.
        let mut der = vec![48, 44, 48, 7, 6, 3, 43, 101, 112, 5, 0, 3, 33, 0];
        der.extend(0..32);
        assert_eq!(Ed25519PublicKey::from_spki(&der), Err(Error::BadSpki));
    }

    #[test]
    fn trailing_and_missing_bytes_are_refused() {
        let der = Ed25519PublicKey::from_bytes([7; 32]).unwrap().to_spki();
        assert_eq!(Ed25519PublicKey::from_spki(&der[..43]), Err(Error::BadSpki));
        assert_eq!(
            Ed25519PublicKey::from_spki(&[&der[..], &[0]].concat()),
            Err(Error::BadSpki)
        );
    }

    #[test]
    fn small_order_keys_are_refused_exactly_where_dalek_calls_them_weak() {
        for y in SMALL_ORDER_Y {
            for sign in [0, 0x80] {
                let mut bytes = y;
                bytes[31] |= sign;
                assert_eq!(Ed25519PublicKey::from_bytes(bytes), Err(Error::WeakKey));
                // The sign of x = 0 has no second encoding, so dalek may refuse those outright.
                if let Ok(key) = VerifyingKey::from_bytes(&bytes) {
                    assert!(key.is_weak(), "{bytes:?}");
                }
            }
        }
        let base_point = VerifyingKey::from_bytes(&[
            0x58, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
            0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66,
            0x66, 0x66, 0x66, 0x66,
        ])
        .unwrap();
        assert!(!base_point.is_weak());
        assert!(Ed25519PublicKey::from_bytes(base_point.to_bytes()).is_ok());
    }

    #[test]
    fn unreduced_coordinates_are_refused() {
        for low in 0xed..=0xff {
            for sign in [0x7f, 0xff] {
                let mut bytes = [0xff; 32];
                bytes[0] = low;
                bytes[31] = sign;
                assert_eq!(Ed25519PublicKey::from_bytes(bytes), Err(Error::BadSpki));
            }
        }
    }
}
