//! The revocation bundle (notme protocol §13): the signed statement that verifiers poll.

use notme_keys::{KeyId, encode_base64url};
use serde::{Deserialize, Serialize};

use crate::state::Archive;

/// How old a bundle may grow before it is made anew, in seconds: half of what verifiers accept, so
/// that one that is fetched now stays good for as long again.
const REFRESH_AFTER: u64 = crate::MAX_STALENESS_SECS / 2;

/// A bundle and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// The epoch: credentials of an earlier one are revoked.
    pub epoch: u64,
    /// Grows by one with each bundle; a verifier refuses one that is lower than it has seen.
    pub seqno: u64,
    /// The current key and the one before it, by key id.
    pub keys: Vec<([u8; 32], String)>,
    /// The id of the current key.
    pub key_id: String,
    /// The id of the key before it; empty if there is none.
    pub prev_key_id: String,
    /// When it was made, in Unix seconds. Never goes back.
    pub issued_at: u64,
    /// Ed25519 by the current key over [`Self::to_be_signed`]; 64 bytes.
    pub signature: Vec<u8>,
}

impl Bundle {
    /// The bundle that follows on `last`, to be signed, or `None` if `last` still says all there is
    /// to say and is fresh.
    #[must_use]
    pub fn due(archive: &Archive, last: Option<&Self>, now: u64) -> Option<Self> {
        let next = Self::next(archive, last, now)?;
        match last {
            Some(last)
                if next.says_what(last) && now < last.issued_at.saturating_add(REFRESH_AFTER) =>
            {
                None
            }
            _ => Some(next),
        }
    }

    fn next(archive: &Archive, last: Option<&Self>, now: u64) -> Option<Self> {
        let current = archive.current()?;
        let keys = [Some(current), archive.previous()].into_iter().flatten();
        let keys = keys.map(|key| Some((key.public_key, key.key_id()?.to_string())));
        let previous = archive.previous().and_then(|key| key.key_id());
        Some(Self {
            epoch: current.epoch,
            seqno: last.map_or(0, |last| last.seqno) + 1,
            keys: keys.collect::<Option<_>>()?,
            key_id: current.key_id()?.to_string(),
            prev_key_id: previous.map(|id: KeyId| id.to_string()).unwrap_or_default(),
            issued_at: now.max(last.map_or(0, |last| last.issued_at)),
            signature: Vec::new(),
        })
    }

    fn says_what(&self, other: &Self) -> bool {
        (self.epoch, &self.keys, &self.key_id, &self.prev_key_id)
            == (other.epoch, &other.keys, &other.key_id, &other.prev_key_id)
    }

    /// The canonical CBOR that is signed (§13.3): a map with ascending integer keys, shortest forms.
    #[must_use]
    pub fn to_be_signed(&self) -> Vec<u8> {
        let mut keys: Vec<_> = self
            .keys
            .iter()
            .map(|(key, id)| (id.as_bytes(), key))
            .collect();
        // RFC 7049 §3.9: shorter keys first, then bytewise.
        keys.sort_by_key(|(id, _)| (id.len(), *id));
        let mut out = Vec::with_capacity(256);
        head(&mut out, MAP, 6);
        head(&mut out, UINT, 1);
        head(&mut out, UINT, self.epoch);
        head(&mut out, UINT, 2);
        head(&mut out, UINT, self.seqno);
        head(&mut out, UINT, 3);
        head(&mut out, MAP, length(keys.len()));
        for (id, key) in keys {
            string(&mut out, TEXT, id);
            string(&mut out, BYTES, key);
        }
        head(&mut out, UINT, 4);
        string(&mut out, TEXT, self.key_id.as_bytes());
        head(&mut out, UINT, 5);
        string(&mut out, TEXT, self.prev_key_id.as_bytes());
        head(&mut out, UINT, 6);
        head(&mut out, UINT, self.issued_at);
        out
    }

    /// The JSON that is served (§13.2).
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let keys = self
            .keys
            .iter()
            .map(|(key, id)| (id.clone(), base64(key).into()));
        let mut json = serde_json::Map::new();
        json.insert("epoch".into(), self.epoch.into());
        json.insert("seqno".into(), self.seqno.into());
        json.insert("keys".into(), serde_json::Value::Object(keys.collect()));
        json.insert("keyId".into(), self.key_id.as_str().into());
        if !self.prev_key_id.is_empty() {
            json.insert("prevKeyId".into(), self.prev_key_id.as_str().into());
        }
        json.insert("issuedAt".into(), self.issued_at.into());
        json.insert("signature".into(), base64(&self.signature).into());
        serde_json::Value::Object(json).to_string().into_bytes()
    }
}

/// Standard base64 with padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let unpadded = encode_base64url(bytes).replace('-', "+").replace('_', "/");
    let padding = unpadded.len().next_multiple_of(4) - unpadded.len();
    format!("{unpadded}{:=<padding$}", "")
}

// Major types of CBOR (RFC 8949 §3.1), in the high three bits.
const UINT: u8 = 0;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const MAP: u8 = 5 << 5;

/// The head of an item in its shortest form (RFC 8949 §4.2.1).
fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let [.., b3, b2, b1, b0] = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | b0),
        24..=0xff => out.extend([major | 24, b0]),
        0x100..=0xffff => out.extend([major | 25, b1, b0]),
        0x1_0000..=0xffff_ffff => out.extend([major | 26, b3, b2, b1, b0]),
        _ => {
            out.push(major | 27);
            out.extend(argument.to_be_bytes());
        }
    }
}

fn string(out: &mut Vec<u8>, major: u8, bytes: &[u8]) {
    head(out, major, length(bytes.len()));
    out.extend_from_slice(bytes);
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::EpochKey;

    fn archive(keys: &[(u64, u8)]) -> Archive {
        let key = |(epoch, byte): &(u64, u8)| EpochKey {
            epoch: *epoch,
            public_key: [*byte; 32],
            retired_at: None,
            root: Vec::new(),
        };
        Archive {
            keys: keys.iter().map(key).collect(),
        }
    }

    #[test]
    fn seqno_moves_with_content_and_half_life_only() {
        let one = archive(&[(1, 7)]);
        let first = Bundle::due(&one, None, 1000).unwrap();
        assert_eq!((first.epoch, first.seqno, first.issued_at), (1, 1, 1000));
        assert_eq!(Bundle::due(&one, Some(&first), 1000), None);
        assert_eq!(Bundle::due(&one, Some(&first), 1149), None);
        let second = Bundle::due(&one, Some(&first), 1150).unwrap();
        assert_eq!((second.seqno, second.issued_at), (2, 1150));
        let rotated = Bundle::due(&archive(&[(1, 7), (2, 8)]), Some(&second), 1151).unwrap();
        assert_eq!(
            (rotated.epoch, rotated.seqno, rotated.keys.len()),
            (2, 3, 2)
        );
        assert_eq!(rotated.prev_key_id, second.key_id);
    }

    #[test]
    fn time_never_goes_back() {
        let one = archive(&[(1, 7)]);
        let first = Bundle::due(&one, None, 1000).unwrap();
        assert_eq!(Bundle::due(&one, Some(&first), 10), None);
        let changed = Bundle::due(&archive(&[(1, 7), (2, 8)]), Some(&first), 10).unwrap();
        assert_eq!(changed.issued_at, 1000);
    }

    #[test]
    fn no_key_no_bundle() {
        assert_eq!(Bundle::due(&Archive::default(), None, 1), None);
    }

    /// notme protocol §21.1 fixes the frame; the keys there are two bytes and ours always 32.
    #[test]
    fn frame_is_that_of_the_published_fixture() {
        let bundle = Bundle {
            epoch: 1,
            seqno: 1,
            keys: vec![([0xab; 32], "kid".into())],
            key_id: "kid".into(),
            prev_key_id: String::new(),
            issued_at: 1234,
            signature: vec![9; 64],
        };
        let expected = format!(
            "a60101020103a1636b69645820{}04636b69640560061904d2",
            "ab".repeat(32)
        );
        assert_eq!(hex::encode(bundle.to_be_signed()), expected);
    }

    #[test]
    fn keys_are_sorted_by_length_then_bytes() {
        let bundle = Bundle {
            epoch: 1,
            seqno: 1,
            keys: vec![
                ([3; 32], "b".into()),
                ([2; 32], "ab".into()),
                ([1; 32], "a".into()),
            ],
            key_id: "b".into(),
            prev_key_id: "a".into(),
            issued_at: u64::MAX,
            signature: Vec::new(),
        };
        let text = hex::encode(bundle.to_be_signed());
        let at = |id: &str| text.find(id).unwrap();
        assert!(at("6161582001") < at("6162582003") && at("6162582003") < at("626162582002"));
        assert!(text.ends_with("056161061bffffffffffffffff"));
    }

    #[test]
    fn base64_is_padded_and_standard() {
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }
}
