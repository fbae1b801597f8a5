//! DPoP proofs (RFC 9449 §4).

use std::fmt;

use notme_keys::{P256PublicKey, SignatureCheck, VerifyingKey, decode_base64url, encode_base64url};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{Algorithm, CompactJws, numeric_date};

/// What only a private or a symmetric key has (RFC 7518 §6).
const SECRET_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why some text isn't a DPoP proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpopError {
    /// Not a JWT.
    Malformed,
    /// It says that it is something else.
    WrongType,
    /// Another algorithm than ES256, or critical extensions.
    UnsupportedAlgorithm,
    /// `jwk` is no P-256 public key.
    BadKey,
    /// `jwk` has a private key in it: it isn't private any more.
    PrivateKey,
    /// This claim is missing, or has the wrong form.
    BadClaim(&'static str),
}

impl DpopError {
    /// What it says.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "it is no JWT",
            Self::WrongType => "its typ isn't dpop+jwt",
            Self::UnsupportedAlgorithm => "its alg isn't ES256, or it has crit",
            Self::BadKey => "its jwk is no P-256 public key",
            Self::PrivateKey => "its jwk holds a private key",
            Self::BadClaim(name) => match name.as_bytes() {
                b"jti" => "its jti is missing, empty or too long",
                b"htm" => "its htm is missing",
                b"htu" => "its htu is missing",
                b"iat" => "its iat is missing, or no time",
                b"nonce" => "its nonce is no text",
                _ => "a claim of it has the wrong form",
            },
        }
    }
}

impl fmt::Display for DpopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for DpopError {}

/// A proof taken apart: true once its [`SignatureCheck`] was settled.
#[derive(Clone, Debug, PartialEq)]
pub struct DpopProof {
    /// `jti`: what makes it single.
    pub id: String,
    /// `htm`: the method of the request that it is for.
    pub method: String,
    /// `htu`: the address of that request, as it was sent.
    pub uri: String,
    /// `iat`, in Unix seconds.
    pub issued_at: u64,
    /// `nonce`: what the server asked for.
    pub nonce: Option<String>,
    /// `ath`: the hash of the access token that it comes with, if it is for one.
    pub token_hash: Option<String>,
    /// The key's thumbprint (RFC 7638), in base64url.
    pub thumbprint: String,
    check: SignatureCheck,
}

impl DpopProof {
    /// The longest `jti`, in bytes.
    pub const MAX_ID_LEN: usize = 256;

    /// Takes a proof apart.
    ///
    /// # Errors
    /// [`DpopError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, DpopError> {
        let jws = CompactJws::parse(text).map_err(|_| DpopError::Malformed)?;
        if !jws.is_of_type("dpop+jwt") {
            return Err(DpopError::WrongType);
        }
        if jws.algorithm() != Some(Algorithm::Es256) || jws.has_critical_extensions() {
            return Err(DpopError::UnsupportedAlgorithm);
        }
        let (key, thumbprint) = key(jws.own_key().ok_or(DpopError::BadKey)?)?;
        let claim = |name: &'static str| match jws.claims().get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(DpopError::BadClaim(name)),
        };
        let required = |name: &'static str| claim(name)?.ok_or(DpopError::BadClaim(name));
        let id = required("jti")?;
        if id.is_empty() || id.len() > Self::MAX_ID_LEN {
            return Err(DpopError::BadClaim("jti"));
        }
        let issued_at = jws.claims().get("iat").and_then(numeric_date);
        Ok(Self {
            id,
            method: required("htm")?,
            uri: required("htu")?,
            issued_at: issued_at.ok_or(DpopError::BadClaim("iat"))?,
            nonce: claim("nonce")?,
            token_hash: claim("ath")?,
            thumbprint,
            check: jws.signature_check(VerifyingKey::Es256(key)),
        })
    }

    /// What must hold for the proof to be its key's.
    #[must_use]
    pub const fn signature_check(&self) -> &SignatureCheck {
        &self.check
    }
}

/// The key of a proof, and its thumbprint.
fn key(jwk: &Map<String, Value>) -> Result<(P256PublicKey, String), DpopError> {
    if SECRET_MEMBERS.iter().any(|name| jwk.contains_key(*name)) {
        return Err(DpopError::PrivateKey);
    }
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if (text("kty"), text("crv")) != (Some("EC"), Some("P-256")) {
        return Err(DpopError::BadKey);
    }
    let coordinate = |name| {
        let bytes: Option<[u8; 32]> = decode_base64url(text(name)?)?.try_into().ok();
        bytes
    };
    let (Some(x), Some(y)) = (coordinate("x"), coordinate("y")) else {
        return Err(DpopError::BadKey);
    };
    // RFC 7638 §3: the required members alone, in the order of their names. Base64url is made anew, for it has
    // one form here.
    let members = format!(
        r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#,
        encode_base64url(&x),
        encode_base64url(&y)
    );
    let mut xy = [0; 64];
    xy.iter_mut()
        .zip(x.into_iter().chain(y))
        .for_each(|(to, from)| *to = from);
    let thumbprint = encode_base64url(&Sha256::digest(members));
    Ok((P256PublicKey::from_coordinates(xy), thumbprint))
}

#[cfg(test)]
mod tests {
    use notme_keys::native::settle;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// RFC 9449 §4.1, figure 2, without line breaks.
    const RFC9449: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

    fn text(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| encode_base64url(value.to_string().as_bytes());
        format!("{}.{}.AA", part(header), part(claims))
    }

    fn header() -> Value {
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": {
            "kty": "EC", "crv": "P-256",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        } })
    }

    fn claims() -> Value {
        json!({ "jti": "a", "htm": "POST", "htu": "https://a.example/token", "iat": 1 })
    }

    #[test]
    fn the_proof_of_rfc9449_is_one() {
        let proof = DpopProof::parse(RFC9449).unwrap();
        assert_eq!(proof.id, "-BwC3ESc6acc2lTc");
        assert_eq!(proof.method, "POST");
        assert_eq!(proof.uri, "https://server.example.com/token");
        assert_eq!(proof.issued_at, 1_562_262_616);
        assert_eq!(
            (proof.nonce.as_ref(), proof.token_hash.as_ref()),
            (None, None)
        );
        // RFC 9449 §6.1 has the thumbprint of this key.
        assert_eq!(
            proof.thumbprint,
            "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
        );
        assert!(settle(proof.signature_check()).is_verified());
    }

    #[test]
    fn a_header_says_what_it_is_and_holds_a_public_key() {
        assert!(DpopProof::parse(&text(&header(), &claims())).is_ok());
        let changed = |pointer: &str, value: Value| {
            let mut header = header();
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let parent = header.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().insert(name.into(), value);
            DpopProof::parse(&text(&header, &claims())).map(|_| ())
        };
        for typ in [
            json!("JWT"),
            json!("at+jwt"),
            json!(""),
            json!(null),
            json!(1),
        ] {
            assert_eq!(changed("/typ", typ), Err(DpopError::WrongType));
        }
        for alg in [
            "none", "None", "HS256", "RS256", "EdDSA", "ES384", "es256", "",
        ] {
            let judged = changed("/alg", json!(alg));
            assert_eq!(judged, Err(DpopError::UnsupportedAlgorithm), "{alg}");
        }
        let critical = changed("/crit", json!(["exp"]));
        assert_eq!(critical, Err(DpopError::UnsupportedAlgorithm));
        for secret in SECRET_MEMBERS {
            let judged = changed(&format!("/jwk/{secret}"), json!("AA"));
            assert_eq!(judged, Err(DpopError::PrivateKey), "{secret}");
        }
        for (pointer, value) in [
            ("/jwk", json!(null)),
            ("/jwk", json!("key")),
            ("/jwk", json!({})),
            ("/jwk/kty", json!("RSA")),
            ("/jwk/kty", json!("oct")),
            ("/jwk/crv", json!("P-384")),
            ("/jwk/crv", json!(null)),
            ("/jwk/x", json!("AA")),
            ("/jwk/x", json!(7)),
            (
                "/jwk/y",
                json!("9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA="),
            ),
        ] {
            assert_eq!(changed(pointer, value), Err(DpopError::BadKey), "{pointer}");
        }
    }

    #[test]
    fn claims_have_their_form() {
        let long = "a".repeat(DpopProof::MAX_ID_LEN);
        let with = |name: &str, value: Value| {
            let mut claims = claims();
            claims.as_object_mut().unwrap().insert(name.into(), value);
            DpopProof::parse(&text(&header(), &claims)).map(|_| ())
        };
        for (name, value) in [
            ("jti", json!("")),
            ("jti", json!(1)),
            ("jti", json!(null)),
            ("jti", json!(format!("{long}a"))),
            ("htm", json!(null)),
            ("htu", json!(["https://a.example/token"])),
            ("iat", json!("1")),
            ("iat", json!(-1)),
            ("iat", json!(1e300)),
            ("iat", json!(null)),
            ("nonce", json!(1)),
            ("ath", json!({})),
        ] {
            let BadClaim(told) = with(name, value.clone()).unwrap_err() else {
                panic!("{name}: {value}")
            };
            assert_eq!(told, name, "{value}");
            assert!(
                BadClaim(told)
                    .as_str()
                    .starts_with(if name == "ath" { "a " } else { "its " })
            );
        }
        for missing in ["jti", "htm", "htu", "iat"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(missing);
            let judged = DpopProof::parse(&text(&header(), &claims)).map(|_| ());
            assert_eq!(judged, Err(BadClaim(missing)));
        }
        assert_eq!(with("jti", json!(long)), Ok(()));
        assert_eq!(with("iat", json!(1.5)), Ok(()));
        use DpopError::BadClaim;
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = DpopProof::parse(&text);
        }
    }
}
