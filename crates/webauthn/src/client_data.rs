//! What the client says about the ceremony (§5.8.1).

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{Ceremony, Challenge, Error, RelyingParty};

/// The longest `clientDataJSON` that is read. Real ones have a few hundred bytes.
pub(crate) const MAX_LEN: usize = 4096;

/// `clientDataJSON`, taken apart. It is the client's word, which the authenticator signed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClientData {
    members: Map<String, Value>,
    hash: [u8; 32],
}

impl ClientData {
    /// Reads the bytes that the authenticator signed a hash of.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        // "UTF-8 decode" drops a byte order mark (Encoding §6).
        let json = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let members = notme_keys::json::object(json).map_err(|error| match error {
            notme_keys::json::JsonError::Malformed => Error::ClientDataMalformed,
            notme_keys::json::JsonError::Duplicate => Error::DuplicateMember,
        })?;
        Ok(Self {
            members,
            hash: Sha256::digest(bytes).into(),
        })
    }

    /// SHA-256 of all the bytes.
    pub(crate) const fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// The challenge that it says it answers.
    pub(crate) fn challenge(&self) -> Result<Challenge, Error> {
        Challenge::from_base64url(self.string("challenge")?).ok_or(Error::ChallengeMismatch)
    }

    /// §7.1 steps 7 to 11, §7.2 steps 10 to 14.
    pub(crate) fn check(
        &self,
        ceremony: Ceremony,
        party: &RelyingParty,
        challenge: &Challenge,
    ) -> Result<(), Error> {
        let kind = match ceremony {
            Ceremony::Registration => "webauthn.create",
            Ceremony::Authentication => "webauthn.get",
        };
        if self.string("type")? != kind {
            return Err(Error::CeremonyMismatch);
        }
        if !challenge.is(self.string("challenge")?) {
            return Err(Error::ChallengeMismatch);
        }
        if !party.has_origin(self.string("origin")?) {
            return Err(Error::OriginMismatch);
        }
        match self.members.get("crossOrigin") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => return Err(Error::CrossOrigin),
            Some(_) => return Err(Error::ClientDataMalformed),
        }
        if self.members.contains_key("topOrigin") {
            return Err(Error::TopOrigin);
        }
        Ok(())
    }

    fn string(&self, name: &str) -> Result<&str, Error> {
        self.members
            .get(name)
            .and_then(Value::as_str)
            .ok_or(Error::ClientDataMalformed)
    }
}
