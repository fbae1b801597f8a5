//! DPoP proofs at our own endpoints (RFC 9449, notme protocol §12.2).

use notme_jose::DpopProof;
use notme_keys::{Outcome, SignatureCheck};
use serde::{Deserialize, Serialize};

use crate::{BaseUrl, Burn, Error};

/// The longest proof, in bytes.
const MAX_LEN: usize = 4096;
/// How far a proof's time may be from ours, in seconds.
const MAX_SKEW_SECS: u64 = 60;
/// For how long a proof is remembered after it was made, in seconds (§5.6).
const REMEMBERED_SECS: u64 = 600;

/// What is wrong with a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DpopProblem {
    /// There is none.
    Missing,
    /// It isn't one for this request; why.
    Invalid(&'static str),
    /// It must name a nonce, and doesn't name one of ours; the next one.
    NonceRequired(String),
    /// It was shown before.
    Reused,
}

/// In whose words the refusal is told: OAuth has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The protocol's (§12.2).
    Protocol,
    /// Those of RFC 6749 §5.2 and RFC 9449 §5.
    OAuth,
}

impl From<DpopProblem> for Error {
    fn from(problem: DpopProblem) -> Self {
        Self::Dpop(problem, Dialect::Protocol)
    }
}

/// A key whose holder made this very request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProvenKey {
    /// Its thumbprint (RFC 7638), in base64url.
    pub thumbprint: String,
    /// What makes the proof single.
    pub burn: Burn,
    /// The nonce that the proof names.
    pub nonce: Option<String>,
}

/// A proof for this endpoint, whose signature nobody has checked yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    check: SignatureCheck,
    key: ProvenKey,
}

impl Proof {
    /// Takes the value of the `DPoP` header apart. `path` is the endpoint's, under `authority`.
    ///
    /// # Errors
    /// [`Error::Dpop`].
    pub fn parse(header: &str, authority: &BaseUrl, path: &str, now: u64) -> Result<Self, Error> {
        let invalid = |why| Err(DpopProblem::Invalid(why).into());
        if header.len() > MAX_LEN {
            return invalid("it is too long");
        }
        let proof = match DpopProof::parse(header) {
            Ok(proof) => proof,
            Err(error) => return invalid(error.as_str()),
        };
        if proof.method != "POST" {
            return invalid("its htm is another method");
        }
        if !authority.has_at(path, &proof.uri) {
            return invalid("its htu is another address");
        }
        if proof.issued_at.abs_diff(now) > MAX_SKEW_SECS {
            return invalid("its iat is more than a minute away");
        }
        // One that comes with an access token isn't one for asking for a token.
        if proof.token_hash.is_some() {
            return invalid("it has an ath, and no access token is shown here");
        }
        Ok(Self {
            key: ProvenKey {
                // Under the key's name: nobody else can use its ids up.
                burn: Burn::new(
                    "dpop",
                    &proof.thumbprint,
                    &proof.id,
                    proof.issued_at.saturating_add(REMEMBERED_SECS),
                ),
                nonce: proof.nonce.clone(),
                thumbprint: proof.thumbprint.clone(),
            },
            check: proof.signature_check().clone(),
        })
    }

    /// What must hold.
    #[must_use]
    pub const fn check(&self) -> &SignatureCheck {
        &self.check
    }

    /// Decides.
    ///
    /// # Errors
    /// [`Error::Dpop`].
    pub fn settle(self, outcome: Outcome) -> Result<ProvenKey, Error> {
        if outcome.is_verified() {
            Ok(self.key)
        } else {
            Err(DpopProblem::Invalid("its signature isn't its key's").into())
        }
    }
}

/// Whether a text may be the thumbprint of a key: 32 bytes in base64url.
#[must_use]
pub fn is_thumbprint(text: &str) -> bool {
    notme_keys::decode_base64url(text).is_some_and(|bytes| bytes.len() == 32)
}

#[cfg(test)]
mod tests {
    use notme_keys::encode_base64url;
    use serde_json::{Value, json};

    use super::*;

    const NOW: u64 = 1_795_295_166;

    fn proof(claims: &Value) -> Result<Proof, Error> {
        let jwk = json!({ "kty": "EC", "crv": "P-256",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA" });
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk });
        let part = |value: &Value| encode_base64url(value.to_string().as_bytes());
        let text = format!("{}.{}.AA", part(&header), part(claims));
        let authority = BaseUrl::parse("https://a.example").unwrap();
        Proof::parse(&text, &authority, "/token", NOW)
    }

    fn with(name: &str, value: Value) -> Result<Proof, Error> {
        let mut claims =
            json!({ "jti": "a", "htm": "POST", "htu": "https://a.example/token", "iat": NOW });
        claims.as_object_mut().unwrap().insert(name.into(), value);
        proof(&claims)
    }

    #[test]
    fn a_proof_is_for_this_request_and_of_this_minute() {
        for (name, value, is_good) in [
            ("iat", json!(NOW - 60), true),
            ("iat", json!(NOW + 60), true),
            ("iat", json!(NOW - 61), false),
            ("iat", json!(NOW + 61), false),
            ("iat", json!(0), false),
            ("htm", json!("post"), false),
            ("htm", json!("GET"), false),
            ("htu", json!("https://A.example/token?x"), true),
            ("htu", json!("https://a.example/authorize/redeem"), false),
            ("htu", json!("https://b.example/token"), false),
            ("ath", json!("AA"), false),
            ("nonce", json!("x"), true),
            ("more", json!({}), true),
        ] {
            assert_eq!(with(name, value.clone()).is_ok(), is_good, "{name} {value}");
        }
    }

    #[test]
    fn a_signature_is_needed_and_what_is_too_long_is_not_read() {
        let good = with("jti", json!("b")).unwrap();
        assert!(good.clone().settle(Outcome::Verified(0)).is_ok());
        for outcome in [Outcome::Failed, Outcome::InvalidKey] {
            assert!(good.clone().settle(outcome).is_err());
        }
        assert!(with("more", json!("a".repeat(MAX_LEN))).is_err());
    }

    #[test]
    fn each_is_burned_under_its_key_and_outlives_its_minutes() {
        let burn = |jti: &str| with("jti", json!(jti)).unwrap().key.burn;
        assert_eq!(burn("a"), burn("a"));
        assert_ne!(burn("a").digest, burn("b").digest);
        assert!(burn("a").expires_at > NOW + 2 * MAX_SKEW_SECS);
    }
}
