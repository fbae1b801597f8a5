//! What is revoked and has not expired yet: the signed list that verifiers poll, and the same as a CRL
//! (`docs/revocation.md`).
//!
//! A pair lives for at most [`MAX_LEAF_SECS`], and so does an entry: the list is as long as what was revoked in the
//! last five minutes, however many pairs there ever were. Who was turned away is one entry, and not one per pair; so is a
//! delegation that is worth nothing any more.

use std::collections::BTreeMap;

use notme_keys::{encode_base64url, encode_pem};
use notme_x509::{Issuer, RevocationListProfile};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::http::{Reply, tagged};
use crate::{MAX_LEAF_SECS, MAX_STALENESS_SECS};

/// How often verifiers should ask, in seconds.
pub const POLL_SECS: u64 = 30;
/// How old the list may grow before it is signed anew, in seconds: whoever fetches it can rely on it for the rest
/// of its validity, however long they can't fetch another.
pub const REFRESH_SECS: u64 = 60;
/// `typ` of the list: nothing else that the key signs has it.
const TYPE: &str = "notme-revocations+jwt";

/// `aud` of the list, so that nobody takes a document that anybody can fetch for a token.
const AUDIENCE: &str = "notme-revocations";

/// In which form the list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// The signed list.
    Jwt,
    /// The CRL of the current key.
    Crl,
    /// The CRLs of all keys that are trusted, the current one's first.
    CrlPem,
}

/// The list as it is to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Its number.
    pub number: u64,
    /// The body.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

impl Form {
    const fn media_type(self) -> &'static str {
        match self {
            Self::Jwt => "application/notme-revocations+jwt",
            Self::Crl => "application/pkix-crl",
            Self::CrlPem => "application/x-pem-file",
        }
    }
}

impl Document {
    /// The answer with it, or with nothing for whoever has it already.
    #[must_use]
    pub fn reply(self, form: Form, if_none_match: Option<&str>) -> Reply {
        let tag = self.number.to_string();
        let mut reply = tagged(&tag, if_none_match, form.media_type(), self.body);
        // A copy that isn't checked each time would be old by what it was kept.
        reply.set("cache-control", "public, no-cache");
        reply
    }
}

/// A pair, or an issuing certificate, that was revoked, by its serial numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedPair {
    /// Of each of its certificates.
    pub serials: Vec<[u8; 16]>,
    /// What it calls whom it was issued to, and on whose behalf: the principal's id, or its URI if that isn't in it.
    pub names: Vec<String>,
    /// The delegation that it was issued on, if on one.
    pub delegation: Option<String>,
    /// When it was issued, in Unix seconds.
    pub issued_at: u64,
    /// When it was revoked, in Unix seconds.
    pub revoked_at: u64,
}

/// All that is revoked and has not expired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoked {
    /// Pairs, each revoked by itself or with its principal.
    pub pairs: Vec<RevokedPair>,
    /// What pairs call who was turned away, and the Unix second up to which what was issued to them is revoked.
    pub principals: BTreeMap<String, u64>,
    /// Delegations that are worth nothing, and the Unix second up to which what was issued on them is revoked.
    pub delegations: BTreeMap<String, u64>,
}

/// How far a verifier's clock may be behind ours, in seconds: for so long it takes what is over for good.
pub const LATE_CLOCK_SECS: u64 = 60;

/// For how long what is revoked at `now` has to be told, in Unix seconds: until none of it is valid any more by
/// the clock of a verifier that is late.
#[must_use]
pub const fn told_until(now: u64) -> u64 {
    now.saturating_add(MAX_LEAF_SECS + LATE_CLOCK_SECS)
}

impl Revoked {
    /// What the key must sign so that this is the list with that number, at `now` (Unix seconds): a JWT without its
    /// signature (RFC 7515 §5.1).
    #[must_use]
    pub fn to_jwt(
        &self,
        authority: &str,
        key_id: &str,
        epoch: u64,
        number: u64,
        now: u64,
    ) -> String {
        let mut credentials = Vec::new();
        let mut delegations = BTreeMap::new();
        for pair in &self.pairs {
            let covers = |before: &&u64| pair.issued_at <= **before;
            // What a principal's entry says needs not be said again.
            let mut entries = pair
                .names
                .iter()
                .filter_map(|name| self.principals.get(name));
            if entries.any(|before| covers(&before)) {
                continue;
            }
            let of_delegation = pair.delegation.as_ref().and_then(|id| {
                let before = self.delegations.get(id).filter(covers)?;
                Some((id, before))
            });
            match of_delegation {
                Some((id, before)) => {
                    delegations.insert(id, before);
                }
                None => credentials.extend(pair.serials.iter().map(hex::encode)),
            }
        }
        credentials.sort_unstable();
        let header = json!({ "alg": "EdDSA", "kid": key_id, "typ": TYPE });
        let claims = json!({
            "iss": authority,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now.saturating_add(MAX_STALENESS_SECS),
            "epoch": epoch,
            "number": number,
            "credentials": credentials,
            "principals": self.principals,
            "delegations": delegations,
        });
        let part = |value: &serde_json::Value| encode_base64url(value.to_string().as_bytes());
        format!("{}.{}", part(&header), part(&claims))
    }

    /// The same as a CRL of the key that `issuer` is, good until `until` (Unix seconds).
    #[must_use]
    pub fn to_crl(
        &self,
        issuer: &Issuer,
        number: u64,
        now: u64,
        until: u64,
    ) -> notme_x509::ToBeSigned {
        let revoked: Vec<_> = (self.pairs.iter())
            .flat_map(|pair| pair.serials.iter().map(|serial| (*serial, pair.revoked_at)))
            .collect();
        RevocationListProfile {
            issuer,
            number,
            this_update: now,
            next_update: until,
            revoked: &revoked,
        }
        .to_be_signed()
    }
}

/// A list and its signature.
#[must_use]
pub fn signed(jwt: &str, signature: &[u8; 64]) -> String {
    format!("{jwt}.{}", encode_base64url(signature))
}

/// CRLs as one PEM file.
#[must_use]
pub fn to_pem<'a>(lists: impl IntoIterator<Item = &'a [u8]>) -> String {
    let lists = lists.into_iter().map(|der| encode_pem("X509 CRL", der));
    lists.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use notme_keys::decode_base64url;
    use serde_json::Value;

    use super::*;

    fn pair(byte: u8, names: &[&str], issued_at: u64) -> RevokedPair {
        RevokedPair {
            serials: vec![[byte; 16], [byte + 1; 16]],
            names: names.iter().map(|&name| name.to_owned()).collect(),
            delegation: None,
            issued_at,
            revoked_at: 1000,
        }
    }

    fn claims(revoked: &Revoked) -> Value {
        let jwt = revoked.to_jwt("https://id.example", "k", 3, 7, 1000);
        let (_, claims) = jwt.split_once('.').unwrap();
        serde_json::from_slice(&decode_base64url(claims).unwrap()).unwrap()
    }

    #[test]
    fn a_list_says_whose_it_is_how_long_it_counts_and_what_is_revoked() {
        let revoked = Revoked {
            pairs: vec![pair(0xb0, &[], 900), pair(0xa0, &["ana"], 900)],
            ..Revoked::default()
        };
        let id = |byte: &str| byte.repeat(16);
        assert_eq!(
            claims(&revoked),
            serde_json::json!({
                "iss": "https://id.example", "aud": "notme-revocations", "iat": 1000, "exp": 1300, "epoch": 3, "number": 7,
                "credentials": [id("a0"), id("a1"), id("b0"), id("b1")], "principals": {}, "delegations": {},
            })
        );
    }

    #[test]
    fn what_a_principal_s_entry_says_is_not_said_again_and_nothing_else_is_left_out() {
        let revoked = Revoked {
            pairs: vec![
                pair(0x10, &["ana"], 899),
                pair(0x20, &["ana"], 900),
                pair(0x30, &["ana"], 901), // let in again, and revoked by itself
                pair(0x40, &["ben"], 899),
                pair(0x50, &[], 899),
                pair(0x60, &["bot", "ana"], 900), // on her behalf
                pair(0x70, &["bot", "ana"], 901),
            ],
            principals: BTreeMap::from([("ana".to_owned(), 900)]),
            ..Revoked::default()
        };
        let told = claims(&revoked);
        assert_eq!(told["principals"], serde_json::json!({ "ana": 900 }));
        let serials = told["credentials"].as_array().unwrap();
        let begins: Vec<_> = serials.iter().map(|s| &s.as_str().unwrap()[..2]).collect();
        assert_eq!(begins, ["30", "31", "40", "41", "50", "51", "70", "71"]);
    }

    #[test]
    fn a_delegation_s_entry_stands_for_what_was_issued_on_it_and_for_nothing_else() {
        let on = |byte, delegation: &str, names: &[&str], issued_at| RevokedPair {
            delegation: Some(delegation.to_owned()),
            ..pair(byte, names, issued_at)
        };
        let revoked = Revoked {
            pairs: vec![
                on(0x10, "over", &["bot"], 899),
                on(0x20, "over", &["bot"], 900),
                on(0x30, "over", &["bot"], 901),
                on(0x40, "good", &["bot"], 899), // revoked by itself
                pair(0x50, &["bot"], 899),
                on(0x60, "ana's", &["bot", "ana"], 899),
                on(0x70, "ana's too", &["bot", "ana"], 901), // since she was let in again
            ],
            principals: BTreeMap::from([("ana".to_owned(), 900)]),
            delegations: ["over", "ana's", "ana's too"]
                .map(|id| (id.to_owned(), if id == "over" { 900 } else { 901 }))
                .into(),
        };
        let told = claims(&revoked);
        assert_eq!(
            told["delegations"],
            serde_json::json!({ "over": 900, "ana's too": 901 })
        );
        let serials = told["credentials"].as_array().unwrap();
        let begins: Vec<_> = serials.iter().map(|s| &s.as_str().unwrap()[..2]).collect();
        assert_eq!(begins, ["30", "31", "40", "41", "50", "51"]);
    }
}
