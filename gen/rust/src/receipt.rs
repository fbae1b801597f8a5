//! The receipt commitment: the canonical CBOR that a receipt's signature is over (`notme-protocol`
//! §16.1).
//!
//! In scope: the encoding. Out of scope: whether status, time, epoch and fingerprint are acceptable
//! to a signer, and the codes with which it says so.

use crate::cbor::{Reader, Writer};

/// Bytes that a nonce has at least.
const MIN_NONCE: usize = 16;

/// What a receipt commits to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptCommitment {
    /// Revocation epoch of the signer.
    pub epoch: u64,
    /// Chosen by the caller; at least 16 bytes.
    pub nonce: Vec<u8>,
    /// HTTP status of the response.
    pub status: u64,
    /// SHA-256 of the signer's raw public key.
    pub actor_fp: [u8; 32],
    /// SHA-256 of the response's body.
    pub body_hash: [u8; 32],
    /// Correlates the receipt with a delegation, where there is one.
    pub delegation: Option<Vec<u8>>,
    /// SHA-256 of the response's headers.
    pub headers_hash: [u8; 32],
    /// SHA-256 of the request.
    pub request_hash: [u8; 32],
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_ms: u64,
}

impl ReceiptCommitment {
    /// The bytes that are signed; `None` if the nonce has less than 16 bytes.
    pub fn to_canonical_cbor(&self) -> Option<Vec<u8>> {
        if self.nonce.len() < MIN_NONCE {
            return None;
        }
        let mut cbor = Writer::default();
        cbor.map(if self.delegation.is_some() { 9 } else { 8 });
        cbor.text("epoch");
        cbor.unsigned(self.epoch);
        cbor.text("nonce");
        cbor.bytes(&self.nonce);
        cbor.text("status");
        cbor.unsigned(self.status);
        cbor.text("actor_fp");
        cbor.bytes(&self.actor_fp);
        cbor.text("body_hash");
        cbor.bytes(&self.body_hash);
        if let Some(delegation) = &self.delegation {
            cbor.text("delegation");
            cbor.bytes(delegation);
        }
        cbor.text("headers_hash");
        cbor.bytes(&self.headers_hash);
        cbor.text("request_hash");
        cbor.bytes(&self.request_hash);
        cbor.text("timestamp_ms");
        cbor.unsigned(self.timestamp_ms);
        Some(cbor.finish())
    }

    /// Reads what [`to_canonical_cbor`](Self::to_canonical_cbor) writes; `None` for anything else.
    pub fn from_canonical_cbor(bytes: &[u8]) -> Option<Self> {
        let mut cbor = Reader::new(bytes);
        let key = |cbor: &mut Reader<'_>, name| (cbor.text()? == name).then_some(());
        let has_delegation = match cbor.map()? {
            8 => false,
            9 => true,
            _ => return None,
        };
        key(&mut cbor, "epoch")?;
        let epoch = cbor.unsigned()?;
        key(&mut cbor, "nonce")?;
        let nonce = cbor.bytes()?.to_vec();
        key(&mut cbor, "status")?;
        let status = cbor.unsigned()?;
        key(&mut cbor, "actor_fp")?;
        let actor_fp = cbor.bytes()?.try_into().ok()?;
        key(&mut cbor, "body_hash")?;
        let body_hash = cbor.bytes()?.try_into().ok()?;
        let mut delegation = None;
        if has_delegation {
            key(&mut cbor, "delegation")?;
            delegation = Some(cbor.bytes()?.to_vec());
        }
        key(&mut cbor, "headers_hash")?;
        let headers_hash = cbor.bytes()?.try_into().ok()?;
        key(&mut cbor, "request_hash")?;
        let request_hash = cbor.bytes()?.try_into().ok()?;
        key(&mut cbor, "timestamp_ms")?;
        let timestamp_ms = cbor.unsigned()?;
        (cbor.is_empty() && nonce.len() >= MIN_NONCE).then_some(Self {
            epoch,
            nonce,
            status,
            actor_fp,
            body_hash,
            delegation,
            headers_hash,
            request_hash,
            timestamp_ms,
        })
    }
}
