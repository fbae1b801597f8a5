//! The roots that are trusted, and what they say about a leaf.

use std::path::Path;

use notme_keys::native::settle;
use notme_keys::{decode_pem, encode_pem};
use notme_x509::{Issuing, Leaf, Root, Signed, TaskLeaf, VerifyError};

use crate::failure::Failure;
use crate::files::read;
use crate::text::harmless;
use crate::time::show;

const END: &str = "-----END CERTIFICATE-----";

/// Roots in the order in which the authority serves them: the current one first.
pub(crate) struct Roots {
    current: Root,
    others: Vec<Root>,
    pem: String,
}

impl Roots {
    /// Reads one or more PEM certificates and nothing else.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Failure> {
        let mut roots = Vec::new();
        let mut pem = String::new();
        for (root, der) in read_roots(text)? {
            roots.push(root);
            pem.push_str(&certificate_pem(&der));
        }
        let mut roots = roots.into_iter();
        let current = roots.next().ok_or_else(|| malformed("the CA is empty"))?;
        Ok(Self {
            current,
            others: roots.collect(),
            pem,
        })
    }

    /// Reads those of a file that pins them, if there is one.
    pub(crate) fn pinned(file: Option<&Path>) -> Result<Option<Self>, Failure> {
        let text = file.map(read).transpose()?;
        text.as_deref().map(Self::parse).transpose()
    }

    /// The root whose key signs now.
    pub(crate) const fn current(&self) -> &Root {
        &self.current
    }

    /// These, and before them `newer`, which is trusted because one of them vouches for its key.
    pub(crate) fn succeeded_by(self, newer: Root, der: &[u8]) -> Self {
        let mut others = vec![self.current];
        others.extend(self.others);
        Self {
            current: newer,
            others,
            pem: certificate_pem(der) + &self.pem,
        }
    }

    /// All of them as PEM of ours, whatever the text was like that they were read from.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// The root that issued `leaf`, if it is valid under it at `now`.
    pub(crate) fn issuer_of(&self, leaf: &Leaf, now: u64) -> Result<&Root, Failure> {
        self.signer_of(leaf.signed(), now)
    }

    /// The same of a certificate of any kind.
    pub(crate) fn signer_of(&self, certificate: &Signed, now: u64) -> Result<&Root, Failure> {
        for root in std::iter::once(&self.current).chain(&self.others) {
            let signed = settle(&certificate.signature_check(root)).is_verified();
            return match certificate.verify(root, signed, now) {
                Ok(()) => Ok(root),
                Err(VerifyError::UnknownIssuer) => continue,
                Err(error) => Err(invalid(error)),
            };
        }
        Err(invalid(VerifyError::UnknownIssuer))
    }
}

/// Reads PEM certificates, each a root that its own key signed, and gives their DER too.
pub(crate) fn read_roots(text: &[u8]) -> Result<Vec<(Root, Vec<u8>)>, Failure> {
    let text = std::str::from_utf8(text).map_err(|_| malformed("the CA is not PEM"))?;
    let blocks = text.split_inclusive(END);
    let blocks = blocks.filter(|block| !block.trim().is_empty());
    let read = |block| {
        let der = decode_pem("CERTIFICATE", block)
            .map_err(|_| malformed("the CA is not PEM certificates and nothing else"))?;
        let root = Root::from_der(&der).map_err(|why| {
            malformed(&format!("the CA has a certificate that is no root: {why}"))
        })?;
        if !settle(root.signature_check()).is_verified() {
            return Err(malformed("the CA has a root that its own key did not sign"));
        }
        Ok((root, der))
    };
    blocks.map(read).collect()
}

fn malformed(why: &str) -> Failure {
    Failure::refused("ca_malformed", why)
}

/// What a certificate that isn't valid is refused with.
pub(crate) fn invalid(error: VerifyError) -> Failure {
    match error {
        VerifyError::Expired(at) => Failure::refused(
            "expired",
            format!("the certificate, or its root, expired at {}", show(at)),
        ),
        VerifyError::NotYetValid(at) => Failure::refused(
            "not_yet_valid",
            format!(
                "the certificate, or its root, is not valid before {}",
                show(at)
            ),
        ),
        VerifyError::BadSignature => Failure::refused(
            "bad_signature",
            "the certificate is not signed by the root that it names",
        ),
        VerifyError::UnknownIssuer => Failure::refused(
            "unknown_issuer",
            "the certificate was issued by another authority, or with a key that is no longer trusted",
        ),
    }
}

/// One PEM block, with a newline after its last line.
pub(crate) fn certificate_pem(der: &[u8]) -> String {
    encode_pem("CERTIFICATE", der) + "\n"
}

/// A certificate that is shown.
pub(crate) enum Shown {
    /// Of a pair.
    Leaf(Box<Leaf>),
    /// A task's, and the issuing certificate that it is below.
    Task(Box<TaskLeaf>, Box<Issuing>),
}

fn bad(why: &str) -> Failure {
    Failure::refused(
        "malformed",
        format!("the certificate is none of an authority: {}", harmless(why)),
    )
}

/// One PEM certificate, or DER, as DER.
fn to_der(bytes: &[u8]) -> Result<Vec<u8>, Failure> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.trim_start().starts_with("-----") => {
            decode_pem("CERTIFICATE", text).map_err(|_| bad("not one PEM certificate"))
        }
        _ => Ok(bytes.to_vec()),
    }
}

/// The DER of the first of some PEM certificates.
pub(crate) fn first_der(text: &str) -> Option<Vec<u8>> {
    let first = text.split_inclusive(END).next()?;
    decode_pem("CERTIFICATE", first.trim_start()).ok()
}

/// Reads a leaf of the profile from one PEM certificate, or from DER; and gives its DER.
pub(crate) fn read_leaf(bytes: &[u8]) -> Result<(Leaf, Vec<u8>), Failure> {
    let der = to_der(bytes)?;
    let leaf = Leaf::from_der(&der).map_err(|why| bad(&why.to_string()))?;
    Ok((leaf, der))
}

/// Reads an issuing certificate in the same way.
pub(crate) fn read_issuing(bytes: &[u8]) -> Result<(Issuing, Vec<u8>), Failure> {
    let der = to_der(bytes)?;
    let issuing = Issuing::from_der(&der).map_err(|why| bad(&why.to_string()))?;
    Ok((issuing, der))
}

/// Reads a leaf of a pair, or a task's leaf and after it its issuing certificate.
pub(crate) fn read_shown(bytes: &[u8]) -> Result<Shown, Failure> {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    match text.split_once(END) {
        Some((_, rest)) if rest.contains(END) => {
            let leaf = text.strip_suffix(rest).unwrap_or_default();
            let der = to_der(leaf.as_bytes())?;
            let leaf = TaskLeaf::from_der(&der).map_err(|why| bad(&why.to_string()))?;
            let (issuing, _) = read_issuing(rest.trim_start().as_bytes())?;
            Ok(Shown::Task(Box::new(leaf), Box::new(issuing)))
        }
        _ => Ok(Shown::Leaf(Box::new(read_leaf(bytes)?.0))),
    }
}
