//! RSA public keys as token issuers publish them (RFC 7518 §6.3).

use crate::Error;
use crate::encoding::{BIT_STRING, INTEGER, SEQUENCE, push, take};

/// Modulus sizes accepted, in bits. Below, factoring is in reach (NIST SP 800-131A); above, one
/// verification costs a stranger nothing and us much.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// AlgorithmIdentifier of rsaEncryption with NULL parameters (RFC 3279 §2.3.1).
const RSA_ENCRYPTION: [u8; 15] = [48, 13, 6, 9, 42, 134, 72, 134, 247, 13, 1, 1, 1, 5, 0];

/// An RSA public key with a modulus of 2048 to 4096 bits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RsaPublicKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl RsaPublicKey {
    /// Takes modulus and public exponent, big endian; leading zeros are dropped.
    ///
    /// # Errors
    /// [`Error::WeakKey`] for a modulus or an exponent that is even, too small or too large.
    pub fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, Error> {
        let modulus = strip_zeros(modulus);
        let exponent = strip_zeros(exponent);
        let leading = modulus.first().map_or(0, |b| b.leading_zeros());
        let bits = usize::try_from(leading).map_or(0, |z| (modulus.len() * 8).saturating_sub(z));
        let odd = |n: &[u8]| n.last().is_some_and(|b| b & 1 == 1);
        // RFC 8017 §3.1 asks for 3 <= e; more than 32 bits only makes us compute.
        let exponent_fits = (1..=4).contains(&exponent.len()) && exponent != [1];
        if !MODULUS_BITS.contains(&bits) || !odd(modulus) || !odd(exponent) || !exponent_fits {
            return Err(Error::WeakKey);
        }
        Ok(Self {
            modulus: modulus.to_vec(),
            exponent: exponent.to_vec(),
        })
    }

    /// Reads a DER SubjectPublicKeyInfo.
    ///
    /// # Errors
    /// [`Error::BadSpki`] for any other algorithm or encoding; [`Error::WeakKey`] as [`Self::new`].
    pub fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let (modulus, exponent) = numbers(der).ok_or(Error::BadSpki)?;
        let key = Self::new(modulus, exponent)?;
        if key.to_spki() == der {
            Ok(key)
        } else {
            Err(Error::BadSpki)
        }
    }

    /// The modulus, big endian, without leading zeros.
    #[must_use]
    pub fn modulus(&self) -> &[u8] {
        &self.modulus
    }

    /// The public exponent, big endian, without leading zeros.
    #[must_use]
    pub fn exponent(&self) -> &[u8] {
        &self.exponent
    }

    /// The DER SubjectPublicKeyInfo (RFC 3279 §2.3.1).
    #[must_use]
    pub fn to_spki(&self) -> Vec<u8> {
        let mut integers = Vec::new();
        for number in [&self.modulus, &self.exponent] {
            let sign = number.first().is_some_and(|b| b & 0x80 != 0);
            let content = if sign {
                [&[0], &number[..]].concat()
            } else {
                number.clone()
            };
            push(&mut integers, INTEGER, &content);
        }
        let mut bits = vec![0];
        push(&mut bits, SEQUENCE, &integers);
        let mut content = RSA_ENCRYPTION.to_vec();
        push(&mut content, BIT_STRING, &bits);
        let mut der = Vec::new();
        push(&mut der, SEQUENCE, &content);
        der
    }
}

/// Where modulus and exponent stand in a SubjectPublicKeyInfo.
fn numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (content, _) = take(SEQUENCE, der)?;
    let (bits, _) = take(BIT_STRING, content.strip_prefix(&RSA_ENCRYPTION)?)?;
    let (integers, _) = take(SEQUENCE, bits.strip_prefix(&[0])?)?;
    let (modulus, rest) = take(INTEGER, integers)?;
    let (exponent, _) = take(INTEGER, rest)?;
    Some((modulus, exponent))
}

fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    bytes.split_at(zeros).1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modulus(len: usize, first: u8, last: u8) -> Vec<u8> {
        let mut n = vec![0xaa; len];
        n[0] = first;
        *n.last_mut().unwrap() = last;
        n
    }

    #[test]
    fn bounds_are_those_documented() {
        let e = [1, 0, 1];
        assert!(RsaPublicKey::new(&modulus(256, 0x80, 1), &e).is_ok());
        assert!(RsaPublicKey::new(&modulus(512, 0xff, 1), &e).is_ok());
        assert!(RsaPublicKey::new(&[&[0, 0][..], &modulus(256, 0x80, 1)].concat(), &e).is_ok());
        for (n, e) in [
            (modulus(256, 0x7f, 1), &[1, 0, 1][..]),
            (modulus(513, 0x01, 1), &[1, 0, 1]),
            (modulus(256, 0x80, 2), &[1, 0, 1]),
            (modulus(256, 0x80, 1), &[1]),
            (modulus(256, 0x80, 1), &[2]),
            (modulus(256, 0x80, 1), &[]),
            (modulus(256, 0x80, 1), &[1, 0, 0, 0, 1]),
            (vec![], &[1, 0, 1]),
            (vec![0; 256], &[1, 0, 1]),
        ] {
            assert_eq!(
                RsaPublicKey::new(&n, e),
                Err(Error::WeakKey),
                "{} {e:?}",
                n.len()
            );
        }
    }

    #[test]
    fn spki_round_trips_in_one_encoding() {
        for (len, first, e) in [
            (256, 0x80, &[3][..]),
            (257, 0x01, &[1, 0, 1]),
            (512, 0xff, &[0x80, 0, 1]),
        ] {
            let key = RsaPublicKey::new(&modulus(len, first, 1), e).unwrap();
            let der = key.to_spki();
            assert_eq!(RsaPublicKey::from_spki(&der), Ok(key));
            for at in 0..der.len().min(40) {
                let mut bad = der.clone();
                bad[at] ^= 0x81;
                // Only the modulus itself may be another one.
                let read = RsaPublicKey::from_spki(&bad);
                assert!(read.is_err() || read.unwrap().to_spki() == bad, "{at}");
            }
            for bad in [&der[..der.len() - 1], &[&der[..], &[0]].concat(), &[]] {
                assert_eq!(RsaPublicKey::from_spki(bad), Err(Error::BadSpki));
            }
        }
        let weak = [
            &[48, 27][..],
            &RSA_ENCRYPTION,
            &[3, 8, 0, 48, 5, 2, 1, 3, 2, 0],
        ]
        .concat();
        assert!(RsaPublicKey::from_spki(&weak).is_err());
    }
}
