//! JSON Web Key sets (RFC 7517 §5).

use std::fmt;

use notme_keys::{Ed25519PublicKey, P256PublicKey, RsaPublicKey, VerifyingKey, decode_base64url};
use serde::Deserialize;
use serde_json::Value;

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

/// A signature key of an issuer, with the one algorithm that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwk {
    /// Its `kid`.
    pub kid: String,
    /// The key and its algorithm.
    pub key: VerifyingKey,
}

/// The signature keys of an issuer that we can use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwkSet {
    keys: Vec<Jwk>,
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

    /// Reads a JWK set. Keys that we can't use (another type or purpose, no `kid`, too weak) are
    /// left out, as RFC 7517 §5 asks.
    ///
    /// # Errors
    /// [`JwkSetError`] if it isn't a set at all.
    pub fn parse(json: &[u8]) -> Result<Self, JwkSetError> {
        let set: RawSet = serde_json::from_slice(json).map_err(|_| JwkSetError::Malformed)?;
        if set.keys.len() > Self::MAX_KEYS {
            return Err(JwkSetError::TooManyKeys);
        }
        Ok(Self {
            keys: set
                .keys
                .into_iter()
                .filter_map(|key| serde_json::from_value::<RawKey>(key).ok()?.into_jwk())
                .collect(),
        })
    }

    /// The key with this `kid`; if there are several, the first.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&Jwk> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// The RS256 key with this `kid`.
    #[must_use]
    pub fn find_rs256(&self, kid: &str) -> Option<&Jwk> {
        let fits = |key: &&Jwk| key.kid == kid && matches!(key.key, VerifyingKey::Rs256(_));
        self.keys.iter().find(fits)
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
        let alg = self.alg.as_deref();
        let key = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) if matches!(alg, None | Some("RS256")) => {
                VerifyingKey::Rs256(RsaPublicKey::new(&part(&self.n)?, &part(&self.e)?).ok()?)
            }
            ("EC", Some("P-256")) if matches!(alg, None | Some("ES256")) => {
                // RFC 7518 §6.2.1.2: coordinates have their full length.
                let xy = [part(&self.x)?, part(&self.y)?];
                if xy.iter().any(|coordinate| coordinate.len() != 32) {
                    return None;
                }
                VerifyingKey::Es256(P256PublicKey::from_coordinates(
                    xy.concat().try_into().ok()?,
                ))
            }
            ("OKP", Some("Ed25519")) if matches!(alg, None | Some("EdDSA" | "Ed25519")) => {
                let x = part(&self.x)?.try_into().ok()?;
                VerifyingKey::Ed25519(Ed25519PublicKey::from_bytes(x).ok()?)
            }
            _ => return None,
        };
        let kid = self.kid.filter(|kid| !kid.is_empty())?;
        Some(Jwk { kid, key })
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

    #[test]
    fn keys_for_encryption_are_left_out() {
        let set = JwkSet::parse(RFC7517_A1.as_bytes()).unwrap();
        assert!(set.find("1").is_none());
        assert!(matches!(
            set.find("2011-04-29").unwrap().key,
            VerifyingKey::Rs256(_)
        ));
        let signing = JwkSet::parse(RFC7517_A1.replace("enc", "sig").as_bytes()).unwrap();
        assert!(matches!(
            signing.find("1").unwrap().key,
            VerifyingKey::Es256(_)
        ));
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
            assert!(set.find("x").is_none(), "{key}");
            assert!(set.find("2011-04-29").is_some(), "{key}");
        }
    }

    #[test]
    fn an_algorithm_is_a_promise() {
        let json = RFC7517_A1.replace("RS256", "PS256");
        assert!(JwkSet::parse(json.as_bytes()).unwrap().is_empty());
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
