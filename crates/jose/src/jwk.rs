//! JSON Web Key sets (RFC 7517 §5).

use std::fmt;

use notme_keys::{Ed25519PublicKey, P256PublicKey, RsaPublicKey, VerifyingKey, decode_base64url};
use serde::Deserialize;
use serde_json::Value;

use crate::Algorithm;

/// Why some bytes aren't a JWK set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwkSetError {
    /// Not a JSON object with an array `keys` of objects.
    Malformed,
    /// More than [`JwkSet::MAX_KEYS`] keys.
    TooManyKeys,
}

impl fmt::Display for JwkSetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a JWK set",
            Self::TooManyKeys => "the JWK set has too many keys",
        })
    }
}

impl std::error::Error for JwkSetError {}

/// A signature key of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Jwk {
    /// Its `kid`; empty if it has none.
    kid: String,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    key: Key,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Ed25519(Ed25519PublicKey),
    P256(P256PublicKey),
    Rsa(RsaPublicKey),
}

impl Jwk {
    /// The key as what verifies `algorithm`; `None` if it can't, or is for another one.
    fn verifying(&self, algorithm: Algorithm) -> Option<VerifyingKey> {
        if self.algorithm.is_some_and(|own| own != algorithm) {
            return None;
        }
        match (&self.key, algorithm) {
            (Key::Ed25519(key), Algorithm::EdDsa) => Some(VerifyingKey::Ed25519(*key)),
            (Key::P256(key), Algorithm::Es256) => Some(VerifyingKey::Es256(*key)),
            (Key::Rsa(key), Algorithm::Rs256) => Some(VerifyingKey::Rs256(key.clone())),
            (Key::Rsa(key), Algorithm::Ps256) => Some(VerifyingKey::Ps256(key.clone())),
            _ => None,
        }
    }
}

/// The signature keys of an issuer that we can use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwkSet {
    keys: Vec<Jwk>,
    /// How many keys were published, usable or not.
    published: usize,
}

#[derive(Deserialize)]
struct RawSet {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct RawKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl JwkSet {
    /// How many keys a set may have: issuers publish a handful; more only makes us work.
    pub const MAX_KEYS: usize = 64;

    /// Reads a JWK set. Keys that we can't use (another type or purpose, too weak) are left out, as RFC 7517
    /// §5 asks.
    ///
    /// # Errors
    /// [`JwkSetError`] if it isn't a set at all.
    pub fn parse(json: &[u8]) -> Result<Self, JwkSetError> {
        let set: RawSet = serde_json::from_slice(json).map_err(|_| JwkSetError::Malformed)?;
        if set.keys.len() > Self::MAX_KEYS {
            return Err(JwkSetError::TooManyKeys);
        }
        Ok(Self {
            published: set.keys.len(),
            keys: set
                .keys
                .into_iter()
                .filter_map(|key| serde_json::from_value::<RawKey>(key).ok()?.into_jwk())
                .collect(),
        })
    }

    /// The key that a token means which names this `kid` and `algorithm`. Without a `kid`, which is the empty
    /// one, it is the only key that is published; of several keys with the same one, the first that fits.
    #[must_use]
    pub fn find(&self, kid: &str, algorithm: Algorithm) -> Option<VerifyingKey> {
        self.meant(kid).find_map(|key| key.verifying(algorithm))
    }

    /// Whether a token that names this `kid` means one of the keys.
    #[must_use]
    pub fn knows(&self, kid: &str) -> bool {
        self.meant(kid).next().is_some()
    }

    fn meant<'a>(&'a self, kid: &'a str) -> impl Iterator<Item = &'a Jwk> {
        let only = kid.is_empty() && self.published == 1;
        self.keys
            .iter()
            .filter(move |key| only || (!kid.is_empty() && key.kid == kid))
    }

    /// Whether a token could be signed by a key of both sets, or names one that is in both.
    #[must_use]
    pub fn shares_key(&self, other: &Self) -> bool {
        let same = |one: &Jwk, other: &Jwk| {
            (!one.kid.is_empty() && one.kid == other.kid) || one.key == other.key
        };
        (self.keys.iter()).any(|one| other.keys.iter().any(|other| same(one, other)))
    }

    /// Whether the set has no key that we can use.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

impl RawKey {
    fn into_jwk(self) -> Option<Jwk> {
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return None;
        }
        let part = |text: &Option<String>| decode_base64url(text.as_deref()?);
        let algorithm = match self.alg.as_deref() {
            None => None,
            // An algorithm is a promise: what is for another one is for nothing here.
            Some(name) => Some(Algorithm::parse(name)?),
        };
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Key::Rsa(RsaPublicKey::new(&part(&self.n)?, &part(&self.e)?).ok()?),
            ("EC", Some("P-256")) => {
                // RFC 7518 §6.2.1.2: coordinates have their full length.
                let xy = [part(&self.x)?, part(&self.y)?];
                if xy.iter().any(|coordinate| coordinate.len() != 32) {
                    return None;
                }
                Key::P256(P256PublicKey::from_coordinates(
                    xy.concat().try_into().ok()?,
                ))
            }
            ("OKP", Some("Ed25519")) => {
                let x = part(&self.x)?.try_into().ok()?;
                Key::Ed25519(Ed25519PublicKey::from_bytes(x).ok()?)
            }
            _ => return None,
        };
        Some(Jwk {
            kid: self.kid.unwrap_or_default(),
            algorithm,
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7517 appendix A.1, with the purposes that its keys have there.
    const RFC7517_A1: &str = r#"{"keys":[
        {"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
         "y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","use":"enc","kid":"1"},
        {"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
         "e":"AQAB","alg":"RS256","kid":"2011-04-29"}]}"#;

    fn find(json: &str, kid: &str, algorithm: Algorithm) -> Option<VerifyingKey> {
        JwkSet::parse(json.as_bytes()).unwrap().find(kid, algorithm)
    }

    #[test]
    fn keys_for_encryption_are_left_out() {
        assert_eq!(find(RFC7517_A1, "1", Algorithm::Es256), None);
        let rsa = find(RFC7517_A1, "2011-04-29", Algorithm::Rs256);
        assert!(matches!(rsa, Some(VerifyingKey::Rs256(_))));
        let signing = RFC7517_A1.replace("enc", "sig");
        let ec = find(&signing, "1", Algorithm::Es256);
        assert!(matches!(ec, Some(VerifyingKey::Es256(_))));
    }

    #[test]
    fn keys_we_cannot_use_do_not_spoil_the_set() {
        for key in [
            r#"{"kty":"oct","k":"AAAA","kid":"x"}"#,
            "1",
            "null",
            "{}",
            r#"{"kty":"RSA","n":7,"e":"AQAB","kid":"x"}"#,
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"x"}"#,
            r#"{"kty":"RSA","kid":"x"}"#,
            r#"{"kty":"EC","crv":"P-384","x":"AA","y":"AA","kid":"x"}"#,
            r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"x"}"#,
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","kid":"x"}"#,
            r#"{"kty":"OKP","crv":"X25519","x":"AA","kid":"x"}"#,
        ] {
            let json = RFC7517_A1.replacen('[', &format!("[{key},"), 1);
            let set = JwkSet::parse(json.as_bytes()).unwrap();
            assert!(!set.knows("x"), "{key}");
            assert!(set.knows("2011-04-29"), "{key}");
        }
    }

    #[test]
    fn a_key_is_used_for_what_it_is_and_says() {
        let rsa = |alg: &str| RFC7517_A1.replace(r#""alg":"RS256","#, alg);
        let kid = "2011-04-29";
        for (alg, rs256, ps256) in [
            ("", true, true),
            (r#""alg":"RS256","#, true, false),
            (r#""alg":"PS256","#, false, true),
            (r#""alg":"RS512","#, false, false),
            (r#""alg":"RSA-OAEP","#, false, false),
            (r#""alg":"ES256","#, false, false),
            (r#""alg":"HS256","#, false, false),
        ] {
            let json = rsa(alg);
            assert_eq!(find(&json, kid, Algorithm::Rs256).is_some(), rs256, "{alg}");
            assert_eq!(find(&json, kid, Algorithm::Ps256).is_some(), ps256, "{alg}");
            // A key of one type verifies no algorithm of another.
            for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
                assert_eq!(find(&json, kid, algorithm), None, "{alg}");
            }
        }
    }

    #[test]
    fn a_token_without_a_key_id_means_the_only_key() {
        let ed25519 =
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"KID}"#;
        let set = |keys: &[&str]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
        let (bare, named) = (
            ed25519.replace("KID", ""),
            ed25519.replace("KID", r#","kid":"a""#),
        );
        for (keys, kid, found) in [
            (&[&bare[..]][..], "", true),
            (&[&named], "", true),
            (&[&named], "a", true),
            (&[&bare], "a", false),
            (&[&named], "b", false),
            (&[&named, &bare], "", false),
            // One that we can't use is one all the same.
            (&[&named, r#"{"kty":"oct","k":"AAAA"}"#], "", false),
            (&[&named, &bare], "a", true),
        ] {
            let json = set(keys);
            assert_eq!(
                find(&json, kid, Algorithm::EdDsa).is_some(),
                found,
                "{json} {kid}"
            );
        }
    }

    #[test]
    fn of_two_keys_with_one_id_the_one_that_fits_is_meant() {
        let json = RFC7517_A1.replace("enc", "sig").replace("2011-04-29", "1");
        assert!(find(&json, "1", Algorithm::Es256).is_some());
        assert!(find(&json, "1", Algorithm::Rs256).is_some());
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for json in ["", "[]", "{}", r#"{"keys":{}}"#] {
            assert_eq!(
                JwkSet::parse(json.as_bytes()),
                Err(JwkSetError::Malformed),
                "{json}"
            );
        }
        let many = vec![r#"{"kty":"oct"}"#; JwkSet::MAX_KEYS + 1].join(",");
        let json = format!(r#"{{"keys":[{many}]}}"#);
        assert_eq!(
            JwkSet::parse(json.as_bytes()),
            Err(JwkSetError::TooManyKeys)
        );
    }
}
