//! The revocation bundle outside Cap'n Proto: the JSON that verifiers poll (`notme-protocol` §13.2)
//! and the canonical CBOR that is signed (§13.3).
//!
//! In scope: encodings. Out of scope: making and checking the signature, and what a bundle means.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::cbor::{Reader, Writer};
use crate::identity::{CABundle, KeyEntry};
use crate::json;

/// The bundle's JSON on `/internal/ca-bundle`. It differs from [`CABundle`]'s own JSON form in
/// `keys`, which is an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BundleDocument {
    /// Revocation epoch.
    #[serde(with = "json::uint64")]
    pub epoch: u64,
    /// Bundle number.
    #[serde(with = "json::uint64")]
    pub seqno: u64,
    /// Key id to raw Ed25519 public key, standard base64.
    pub keys: BTreeMap<String, String>,
    /// Key id of the current key.
    pub key_id: String,
    /// Key id of the previous key; empty, and left out of the JSON, if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prev_key_id: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    #[serde(with = "json::int64")]
    pub issued_at: i64,
    /// Signature over [`CABundle::to_canonical_cbor`], standard base64.
    pub signature: String,
}

/// Why a bundle has no canonical CBOR, or why bytes or JSON are not a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleError {
    /// Two keys have the same id.
    DuplicateKeyId,
    /// A key or the signature is not standard base64.
    InvalidBase64,
    /// The bytes are not the canonical CBOR of any bundle.
    InvalidCbor,
    /// `issuedAt` is negative, or more than an `Int64` holds.
    InvalidTime,
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DuplicateKeyId => "two keys have the same id",
            Self::InvalidBase64 => "not standard base64",
            Self::InvalidCbor => "not the canonical CBOR of a bundle",
            Self::InvalidTime => "issuedAt is out of range",
        })
    }
}

impl std::error::Error for BundleError {}

impl From<&CABundle> for BundleDocument {
    fn from(bundle: &CABundle) -> Self {
        let keys = bundle.keys.iter();
        Self {
            epoch: bundle.epoch,
            seqno: bundle.seqno,
            keys: keys
                .map(|key| (key.kid.clone(), STANDARD.encode(&key.public_key)))
                .collect(),
            key_id: bundle.key_id.clone(),
            prev_key_id: bundle.prev_key_id.clone(),
            issued_at: bundle.issued_at,
            signature: STANDARD.encode(&bundle.signature),
        }
    }
}

impl TryFrom<BundleDocument> for CABundle {
    type Error = BundleError;

    fn try_from(document: BundleDocument) -> Result<Self, BundleError> {
        let decode = |text: &str| {
            STANDARD
                .decode(text)
                .map_err(|_| BundleError::InvalidBase64)
        };
        let keys = document.keys.into_iter();
        let keys = keys.map(|(kid, key)| {
            Ok(KeyEntry {
                kid,
                public_key: decode(&key)?,
            })
        });
        Ok(Self {
            epoch: document.epoch,
            seqno: document.seqno,
            keys: keys.collect::<Result<_, _>>()?,
            key_id: document.key_id,
            prev_key_id: document.prev_key_id,
            issued_at: document.issued_at,
            signature: decode(&document.signature)?,
        })
    }
}

impl CABundle {
    /// The bytes that are signed (`notme-protocol` §13.3). The signature is not among them, and an
    /// absent `prevKeyId` is the empty text.
    ///
    /// # Errors
    /// [`BundleError::DuplicateKeyId`] and [`BundleError::InvalidTime`].
    pub fn to_canonical_cbor(&self) -> Result<Vec<u8>, BundleError> {
        let issued_at = u64::try_from(self.issued_at).map_err(|_| BundleError::InvalidTime)?;
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_by(|a, b| order(&a.kid).cmp(&order(&b.kid)));
        if keys
            .windows(2)
            .any(|pair| matches!(pair, [a, b] if a.kid == b.kid))
        {
            return Err(BundleError::DuplicateKeyId);
        }
        let mut cbor = Writer::default();
        cbor.map(6);
        cbor.unsigned(1);
        cbor.unsigned(self.epoch);
        cbor.unsigned(2);
        cbor.unsigned(self.seqno);
        cbor.unsigned(3);
        cbor.map(keys.len());
        for key in keys {
            cbor.text(&key.kid);
            cbor.bytes(&key.public_key);
        }
        cbor.unsigned(4);
        cbor.text(&self.key_id);
        cbor.unsigned(5);
        cbor.text(&self.prev_key_id);
        cbor.unsigned(6);
        cbor.unsigned(issued_at);
        Ok(cbor.finish())
    }

    /// Reads what [`to_canonical_cbor`](Self::to_canonical_cbor) writes and nothing else. The keys
    /// are in canonical order, the signature is empty.
    ///
    /// # Errors
    /// [`BundleError::InvalidCbor`], and [`BundleError::InvalidTime`] for a time that no `Int64` holds.
    pub fn from_canonical_cbor(bytes: &[u8]) -> Result<Self, BundleError> {
        let (bundle, issued_at) = parse(bytes).ok_or(BundleError::InvalidCbor)?;
        let issued_at = i64::try_from(issued_at).map_err(|_| BundleError::InvalidTime)?;
        Ok(Self {
            issued_at,
            ..bundle
        })
    }
}

/// Text keys are ordered by length first, then bytewise: the order of their encodings.
fn order(kid: &str) -> (usize, &[u8]) {
    (kid.len(), kid.as_bytes())
}

/// The bundle, but for its time.
fn parse(bytes: &[u8]) -> Option<(CABundle, u64)> {
    let mut cbor = Reader::new(bytes);
    let key = |cbor: &mut Reader<'_>, number| (cbor.unsigned()? == number).then_some(());
    (cbor.map()? == 6).then_some(())?;
    key(&mut cbor, 1)?;
    let epoch = cbor.unsigned()?;
    key(&mut cbor, 2)?;
    let seqno = cbor.unsigned()?;
    key(&mut cbor, 3)?;
    let mut keys: Vec<KeyEntry> = Vec::new();
    for _ in 0..cbor.map()? {
        let kid = cbor.text()?;
        // Strictly ascending, so that no id occurs twice.
        if keys
            .last()
            .is_some_and(|last| order(&last.kid) >= order(kid))
        {
            return None;
        }
        keys.push(KeyEntry {
            kid: kid.to_owned(),
            public_key: cbor.bytes()?.to_vec(),
        });
    }
    key(&mut cbor, 4)?;
    let key_id = cbor.text()?.to_owned();
    key(&mut cbor, 5)?;
    let prev_key_id = cbor.text()?.to_owned();
    key(&mut cbor, 6)?;
    let issued_at = cbor.unsigned()?;
    let signature = Vec::new();
    let bundle = CABundle {
        epoch,
        seqno,
        keys,
        key_id,
        prev_key_id,
        issued_at: 0,
        signature,
    };
    cbor.is_empty().then_some((bundle, issued_at))
}
