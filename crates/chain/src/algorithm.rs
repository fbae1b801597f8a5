//! The signature algorithms that hosts settle, by their one encoding.

use notme_keys::der::ecdsa_signature;
use notme_keys::{Ed25519PublicKey, P256PublicKey, RsaPublicKey, SignatureCheck, VerifyingKey};

/// How something is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Ed25519,
    Es256,
    Rs256,
    Ps256,
}

/// Ed25519, without parameters (RFC 8410 §3).
const ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
/// ecdsa-with-SHA256, without parameters (RFC 5758 §3.2).
const ES256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// sha256WithRSAEncryption, with NULL (RFC 4055 §5).
const RS256: &[u8] = &[
    0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0,
];
/// id-RSASSA-PSS with SHA-256, MGF1 with the same, and a salt of 32 bytes (RFC 4055 §3.1).
const PS256: &[u8] = &[
    0x30, 0x41, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10, 0x30, 0x34, // parameters
    0xa0, 15, 0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, // hash
    0xa1, 28, 0x30, 26, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8, // mask
    0x30, 13, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, // and its hash
    0xa2, 3, 2, 1, 0x20, // salt
];

impl Algorithm {
    /// The algorithm of this AlgorithmIdentifier.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        [
            (ED25519, Self::Ed25519),
            (ES256, Self::Es256),
            (RS256, Self::Rs256),
            (PS256, Self::Ps256),
        ]
        .into_iter()
        .find_map(|(encoding, algorithm)| (encoding == der).then_some(algorithm))
    }

    /// That key, for this algorithm.
    fn key(self, spki: &[u8]) -> Option<VerifyingKey> {
        let rsa = || RsaPublicKey::from_spki(spki).ok();
        match self {
            Self::Ed25519 => Ed25519PublicKey::from_spki(spki)
                .ok()
                .map(VerifyingKey::Ed25519),
            Self::Es256 => P256PublicKey::from_spki(spki).ok().map(VerifyingKey::Es256),
            Self::Rs256 => rsa().map(VerifyingKey::Rs256),
            Self::Ps256 => rsa().map(VerifyingKey::Ps256),
        }
    }

    /// What must hold for `signature` to be that key's over `message`; nothing if it can't.
    pub(crate) fn check(
        self,
        spki: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Option<SignatureCheck> {
        Some(SignatureCheck {
            key: self.key(spki)?,
            messages: vec![message.to_vec()],
            signature: match self {
                Self::Es256 => ecdsa_signature(signature)?.to_vec(),
                Self::Ed25519 | Self::Rs256 | Self::Ps256 => signature.to_vec(),
            },
        })
    }
}

/// A signed structure (RFC 5280 §4.1, §5.1): what is signed, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signed<'a> {
    /// The DER that is signed.
    pub(crate) message: &'a [u8],
    /// The AlgorithmIdentifier outside.
    pub(crate) algorithm: &'a [u8],
    pub(crate) signature: &'a [u8],
}

impl<'a> Signed<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Option<Self> {
        use notme_keys::der::{Der, tag};
        let mut outer = Der::new(Der::only(der, tag::SEQUENCE)?);
        let message = outer.next_if(tag::SEQUENCE)?.whole;
        let algorithm = outer.next_if(tag::SEQUENCE)?.whole;
        // Signatures are whole bytes.
        let signature = outer.expect(tag::BIT_STRING)?.strip_prefix(&[0])?;
        outer.end()?;
        Some(Self {
            message,
            algorithm,
            signature,
        })
    }

    /// What must hold for it to be signed by that key; nothing if it can't be.
    pub(crate) fn check(&self, spki: &[u8]) -> Option<SignatureCheck> {
        Algorithm::read(self.algorithm)?.check(spki, self.message, self.signature)
    }
}
