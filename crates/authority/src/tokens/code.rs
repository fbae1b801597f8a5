//! Authorization codes that store nothing until they are used, like challenges
//! ([ADR 8](https://github.com/notme/notme/blob/main/docs/adr/0008-challenges.md)).

use notme_keys::{decode_base64url, encode_base64url};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::unencodable;
use crate::people::Scopes;
use crate::people::challenge::{self, Ceremony, ChallengeKey};
use crate::{Burn, Error, Fault};

/// The longest code that is looked at, in bytes.
const MAX_LEN: usize = 2048;

/// What a code stands for: what somebody consented to. Hashes where nobody has to read it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The session that it was given to, by the id that lists have.
    pub session: String,
    /// Who asked.
    pub client: String,
    /// SHA-256 of the redirect URI.
    pub redirect_uri: [u8; 32],
    /// Whom the token is for.
    pub audience: String,
    /// What it may carry at most.
    pub scopes: Scopes,
    /// SHA-256 of the verifier (RFC 7636 §4.2).
    pub code_challenge: [u8; 32],
    /// The key that has to redeem it, if it was named (RFC 9449 §10).
    pub thumbprint: Option<String>,
}

/// A request to redeem a code, but for its proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redemption {
    /// The code, as it was sent.
    pub code: String,
    /// SHA-256 of the verifier.
    pub verifier: [u8; 32],
    /// SHA-256 of the redirect URI.
    pub redirect_uri: [u8; 32],
    /// Who says that it asked, if it says so.
    pub client: Option<String>,
}

impl Code {
    /// What it stands for, as bytes.
    ///
    /// # Errors
    /// [`Fault::Internal`] if it doesn't serialize.
    #[inline(never)]
    pub fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        postcard::to_extend(self, Vec::with_capacity(256)).map_err(unencodable)
    }

    /// The same again.
    ///
    /// # Errors
    /// [`Fault::Internal`] if they are nothing of ours.
    #[inline(never)]
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        postcard::from_bytes(bytes).map_err(unencodable)
    }

    /// What the audit trail tells of it.
    #[inline(never)]
    #[must_use]
    pub fn told(&self, more: &[(&str, &str)]) -> Value {
        let own = [("client", &*self.client), ("session", &*self.session)];
        let all = own.iter().chain(more);
        all.map(|(name, text)| ((*name).to_owned(), Value::from(*text)))
            .collect()
    }

    /// The text that the application gets; `nonce` fresh.
    ///
    /// # Errors
    /// [`Fault::Internal`] if it doesn't serialize.
    pub fn seal(&self, key: &ChallengeKey, nonce: [u8; 12], now: u64) -> Result<String, Fault> {
        let mut bytes = self.to_bytes()?;
        let tag = key.make(Ceremony::Code, &bytes, nonce, now);
        bytes.extend(tag);
        Ok(encode_base64url(&bytes))
    }

    /// Knows a code again, and tells what must be burned for it to work once.
    ///
    /// # Errors
    /// [`Error::InvalidGrant`], whatever is wrong.
    pub fn open(key: &ChallengeKey, text: &str, now: u64) -> Result<(Self, Burn), Error> {
        let invalid = || Error::InvalidGrant;
        if text.len() > MAX_LEN {
            return Err(invalid());
        }
        let bytes = decode_base64url(text).ok_or_else(invalid)?;
        let (body, tag) = bytes
            .split_last_chunk::<{ challenge::LEN }>()
            .ok_or_else(invalid)?;
        let burn = key
            .recognize(Ceremony::Code, body, tag, now)
            .map_err(|_| invalid())?;
        let code = Self::from_bytes(body).map_err(|_| invalid())?;
        Ok((code, burn))
    }

    /// Whether it is redeemed by whom it was given to. Each is compared whole: how far two agree is told by nothing.
    ///
    /// # Errors
    /// [`Error::InvalidGrant`].
    pub fn permit(&self, redemption: &Redemption, thumbprint: Option<&str>) -> Result<(), Error> {
        let is_theirs = [
            is_same(&self.redirect_uri, &redemption.redirect_uri),
            is_same(&self.code_challenge, &redemption.verifier),
            redemption
                .client
                .as_ref()
                .is_none_or(|client| *client == self.client),
            self.thumbprint.is_none() || self.thumbprint.as_deref() == thumbprint,
        ];
        if is_theirs == [true; 4] {
            Ok(())
        } else {
            Err(Error::InvalidGrant)
        }
    }
}

/// SHA-256.
pub(super) fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// Whether two hashes are the same, in a time that says nothing of where they differ.
fn is_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::Scope;

    const NOW: u64 = 1_795_295_166;
    /// RFC 7636, appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn key() -> ChallengeKey {
        ChallengeKey::new([7; 32])
    }

    fn code() -> Code {
        Code {
            session: "01010101-0101-4101-8101-010101010101".into(),
            client: "app".into(),
            redirect_uri: digest("https://app.example/cb"),
            audience: "https://api.example".into(),
            scopes: [Scope::BridgeCert].into_iter().collect(),
            code_challenge: decode_base64url(CHALLENGE).unwrap().try_into().unwrap(),
            thumbprint: Some("t".into()),
        }
    }

    fn redemption() -> Redemption {
        Redemption {
            code: String::new(),
            verifier: digest(VERIFIER),
            redirect_uri: digest("https://app.example/cb"),
            client: Some("app".into()),
        }
    }

    #[test]
    fn a_code_comes_back_as_it_was_for_a_minute() {
        let text = code().seal(&key(), [1; 12], NOW).unwrap();
        assert!(text.len() < 400, "fits into any address: {}", text.len());
        let (opened, burn) = Code::open(&key(), &text, NOW + 59).unwrap();
        assert_eq!(opened, code());
        assert!(burn.expires_at > NOW + 60);
        let other = code().seal(&key(), [2; 12], NOW).unwrap();
        assert_ne!(
            burn.digest,
            Code::open(&key(), &other, NOW).unwrap().1.digest
        );
        assert_eq!(
            Code::open(&key(), &text, NOW + 60),
            Err(Error::InvalidGrant)
        );
        let other = ChallengeKey::new([8; 32]);
        assert_eq!(Code::open(&other, &text, NOW), Err(Error::InvalidGrant));
    }

    #[test]
    fn no_changed_byte_is_accepted() {
        let text = code().seal(&key(), [1; 12], NOW).unwrap();
        let bytes = decode_base64url(&text).unwrap();
        let judged = |bytes: &[u8]| Code::open(&key(), &encode_base64url(bytes), NOW);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(judged(&changed), Err(Error::InvalidGrant), "{at}");
            assert_eq!(judged(&bytes[..at]), Err(Error::InvalidGrant), "{at} bytes");
        }
        assert!(judged(&[&bytes[..], &[0]].concat()).is_err());
        for text in ["", "=", "a b", &"A".repeat(MAX_LEN + 4)] {
            assert_eq!(Code::open(&key(), text, NOW), Err(Error::InvalidGrant));
        }
        // A nonce, which everybody can have, opens nothing.
        let nonce = key().make(Ceremony::Nonce, b"", [1; 12], NOW);
        assert!(judged(&nonce).is_err());
    }

    #[test]
    fn a_code_is_redeemed_by_whom_it_was_given_to() {
        let permit = |change: fn(&mut Redemption), key| {
            let mut redemption = redemption();
            change(&mut redemption);
            code().permit(&redemption, key).is_ok()
        };
        assert!(permit(|_| {}, Some("t")));
        assert!(permit(|r| r.client = None, Some("t")));
        assert!(!permit(|r| r.client = Some("b".into()), Some("t")));
        assert!(!permit(|r| r.verifier = digest("x"), Some("t")));
        assert!(!permit(
            |r| r.redirect_uri = digest("https://app.example/"),
            Some("t")
        ));
        assert!(!permit(|_| {}, Some("u")));
        assert!(!permit(|_| {}, None));
        let free = Code {
            thumbprint: None,
            ..code()
        };
        assert!(free.permit(&redemption(), None).is_ok());
        assert!(free.permit(&redemption(), Some("u")).is_ok());
    }
}
