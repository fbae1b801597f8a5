//! P-256 public keys (FIPS 186-5, RFC 5480).

use crate::{Error, decode_pem};

/// DER of a P-256 SubjectPublicKeyInfo up to the coordinates: id-ecPublicKey, prime256v1, and the
/// mark of an uncompressed point (SEC 1 §2.3.3). Only this form is accepted, so a key has one
/// encoding.
const SPKI_PREFIX: [u8; 27] = [
    48, 89, 48, 19, 6, 7, 42, 134, 72, 206, 61, 2, 1, 6, 8, 42, 134, 72, 206, 61, 3, 1, 7, 3, 66,
    0, 4,
];

/// A P-256 public key: the coordinates of an uncompressed point.
///
/// Whether they are a point of the curve shows when a signature is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct P256PublicKey([u8; 64]);

impl P256PublicKey {
    /// Length of the DER SubjectPublicKeyInfo in bytes.
    pub const SPKI_LEN: usize = 91;

    /// Takes x ‖ y, 32 bytes each, big endian.
    #[must_use]
    pub const fn from_coordinates(xy: [u8; 64]) -> Self {
        Self(xy)
    }

    /// Reads a DER SubjectPublicKeyInfo with an uncompressed point.
    ///
    /// # Errors
    /// [`Error::BadSpki`] for any other algorithm, curve or encoding.
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let xy = der.strip_prefix(&SPKI_PREFIX).ok_or(Error::BadSpki)?;
        Ok(Self(xy.try_into().map_err(|_| Error::BadSpki)?))
    }

    /// Reads a PEM block labelled `PUBLIC KEY`.
    ///
    /// # Errors
    /// As [`Self::from_spki`]; [`Error::BadPem`] if it isn't such a block.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        Self::from_spki(&decode_pem("PUBLIC KEY", text)?)
    }

    /// x ‖ y, 32 bytes each, big endian.
    #[must_use]
    pub const fn as_coordinates(&self) -> &[u8; 64] {
        &self.0
    }

    /// The DER SubjectPublicKeyInfo.
    #[must_use]
    pub fn to_spki(&self) -> [u8; Self::SPKI_LEN] {
        let mut der = [0; Self::SPKI_LEN];
        let (prefix, xy) = der.split_at_mut(SPKI_PREFIX.len());
        prefix.copy_from_slice(&SPKI_PREFIX);
        xy.copy_from_slice(&self.0);
        der
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// A key that OpenSSL wrote (notme protocol §21.3).
    const SPKI: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAErQC/YXebA2HRat4HXTpVzxPvPVRirTPHgW1xcwvWXSx+hQx5FM1W6GMbimAWjoS8ebmi59igaw70BSsmRN+3dA==";

    #[test]
    fn spki_round_trips() {
        let der = STANDARD.decode(SPKI).unwrap();
        assert_eq!(
            P256PublicKey::from_spki(&der).unwrap().to_spki()[..],
            der[..]
        );
    }

    #[test]
    fn other_curves_points_and_lengths_are_refused() {
        let der = STANDARD.decode(SPKI).unwrap();
        for (at, value) in [(1, 88), (22, 34), (25, 1), (26, 2), (26, 3), (26, 0)] {
            let mut bad = der.clone();
            bad[at] = value;
            assert_eq!(P256PublicKey::from_spki(&bad), Err(Error::BadSpki), "{at}");
        }
        assert_eq!(P256PublicKey::from_spki(&der[..90]), Err(Error::BadSpki));
        assert_eq!(
            P256PublicKey::from_spki(&[&der[..], &[0]].concat()),
            Err(Error::BadSpki)
        );
    }
}
