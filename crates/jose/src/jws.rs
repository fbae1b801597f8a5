//! JWS compact serialization (RFC 7515 §7.1).

use std::fmt;

use notme_keys::{SignatureCheck, VerifyingKey, decode_base64url};
use serde_json::{Map, Value};

use crate::Algorithm;

/// Why some text isn't a JWS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwsError {
    /// Not three parts of base64url, or header and payload aren't JSON objects.
    Malformed,
}

impl fmt::Display for JwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed JWT")
    }
}

impl std::error::Error for JwsError {}

/// A JWS taken apart. Its payload isn't to be believed before its signature was checked.
#[derive(Clone, Debug, PartialEq)]
pub struct CompactJws<'a> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signing_input: &'a str,
    signature: Vec<u8>,
}

impl<'a> CompactJws<'a> {
    /// Takes a JWS apart whose payload is a JSON object, as in a JWT.
    ///
    /// # Errors
    /// [`JwsError::Malformed`] if it isn't one.
    pub fn parse(text: &'a str) -> Result<Self, JwsError> {
        let (signing_input, signature) = text.rsplit_once('.').ok_or(JwsError::Malformed)?;
        let (header, payload) = signing_input.split_once('.').ok_or(JwsError::Malformed)?;
        Ok(Self {
            header: object(header)?,
            claims: object(payload)?,
            signing_input,
            signature: decode_base64url(signature).ok_or(JwsError::Malformed)?,
        })
    }

    /// The header parameter `name` if it is a string.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header.get(name)?.as_str()
    }

    /// Whether the header says that this is a token of the type `application/{name}` (RFC 7515 §4.1.9): a media
    /// type, so its case doesn't count, nor whether its first half stands there.
    #[must_use]
    pub fn is_of_type(&self, name: &str) -> bool {
        self.header("typ").is_some_and(|typ| {
            let prefix = "application/";
            let bare = match typ.get(..prefix.len()) {
                Some(start) if start.eq_ignore_ascii_case(prefix) => typ.get(prefix.len()..),
                _ => Some(typ),
            };
            bare.is_some_and(|bare| bare.eq_ignore_ascii_case(name))
        })
    }

    /// The key that the header holds (RFC 7515 §4.1.3): whoever made the token chose it.
    #[must_use]
    pub fn own_key(&self) -> Option<&Map<String, Value>> {
        self.header.get("jwk")?.as_object()
    }

    /// The algorithm that the header names (RFC 7515 §4.1.1), if it is one of ours. `none` and those with a
    /// shared secret aren't.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::parse(self.header("alg")?)
    }

    /// Whether the header names extensions that must be understood (RFC 7515 §4.1.11). None are.
    #[must_use]
    pub fn has_critical_extensions(&self) -> bool {
        self.header.contains_key("crit")
    }

    /// The claims.
    #[must_use]
    pub const fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// What must hold for the claims to be `key`'s (RFC 7515 §5.2 step 8).
    #[must_use]
    pub fn signature_check(&self, key: VerifyingKey) -> SignatureCheck {
        SignatureCheck {
            key,
            messages: vec![self.signing_input.as_bytes().to_vec()],
            signature: self.signature.clone(),
        }
    }
}

fn object(part: &str) -> Result<Map<String, Value>, JwsError> {
    let json = decode_base64url(part).ok_or(JwsError::Malformed)?;
    // RFC 7515 §4 leaves it to us what a name that stands twice means: two readers could read two tokens.
    notme_keys::json::object(&json).map_err(|_| JwsError::Malformed)
}

#[cfg(test)]
mod tests {
    use notme_keys::native::settle;
    use proptest::prelude::*;

    use super::*;
    use crate::JwkSet;

    /// RFC 7515 appendix A.2: RS256 over the claims of RFC 7519.
    const RFC7515_A2: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";

    const RFC7515_A2_KEY: &str = r#"{"keys":[{"kty":"RSA","kid":"a2","alg":"RS256",
        "n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
        "e":"AQAB"}]}"#;

    #[test]
    fn rfc7515_appendix_a2_verifies() {
        let key = JwkSet::parse(RFC7515_A2_KEY.as_bytes()).unwrap();
        let key = key.find("a2", Algorithm::Rs256).unwrap();
        let jws = CompactJws::parse(RFC7515_A2).unwrap();
        assert_eq!(jws.algorithm(), Some(Algorithm::Rs256));
        assert_eq!(jws.claims()["iss"], "joe");
        assert!(settle(&jws.signature_check(key.clone())).is_verified());
        let other = RFC7515_A2.replacen("eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Yi", 1);
        let other = CompactJws::parse(&other).unwrap();
        assert!(!settle(&other.signature_check(key)).is_verified());
    }

    #[test]
    fn types_are_media_types() {
        for (typ, is_it) in [
            ("at+jwt", true),
            ("AT+JWT", true),
            ("application/at+jwt", true),
            ("Application/At+Jwt", true),
            ("at+jwtx", false),
            ("text/at+jwt", false),
            ("application/application/at+jwt", false),
            ("applicatioñ/at+jwt", false),
            ("", false),
        ] {
            let header = notme_keys::encode_base64url(format!(r#"{{"typ":"{typ}"}}"#).as_bytes());
            let token = format!("{header}.e30.");
            let jws = CompactJws::parse(&token).unwrap();
            assert_eq!(jws.is_of_type("at+jwt"), is_it, "{typ}");
        }
        assert!(!CompactJws::parse("e30.e30.").unwrap().is_of_type(""));
    }

    #[test]
    fn malformed_text_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "...",
            "a.b",
            "e30.e30",
            "e30.e30.",
            "e30.e30.AA.AA",
            "e30=.e30.AA",
            "e30.W10.AA",
            "W10.e30.AA",
            "e30.e30.A",
            "e30.e3 0.AA",
            "e30.bnVsbA.AA",
            "eyJhIjoxLCJhIjoyfQ.e30.AA",         // {"a":1,"a":2}
            "e30.eyJhIjp7ImIiOjEsImIiOjJ9fQ.AA", // {"a":{"b":1,"b":2}}
        ] {
            let accepted = CompactJws::parse(text).is_ok();
            assert_eq!(accepted, text == "e30.e30.", "{text}");
        }
        assert!(CompactJws::parse("e30.e30.AA").is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            let _ = CompactJws::parse(&text);
        }
    }
}
