//! A wish for a delegation that the holder of a live pair signs: who is no human has no session.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Wish;
use crate::Error;
use crate::doors::x509::{self, Chain};
use crate::people::body::{challenge, object, text};
use crate::people::mint::Newcomer;

/// What the message begins with, so that no other protocol signs the same.
const LABEL: &[u8] = b"notme-delegation-v1\0";

/// A wish, the pair that it is signed with, and the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The pair's certificate, and the signature by its key.
    pub shown: Chain,
    /// The challenge that makes it single.
    pub challenge: [u8; 32],
    /// The wish as it was signed.
    pub wish: String,
}

/// What the signing object is asked for: a delegation by whoever a pair is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegate {
    /// Who.
    pub newcomer: Newcomer,
    /// The challenge to burn.
    pub challenge: [u8; 32],
    /// The wish, as it was signed.
    pub wish: String,
}

impl Signed {
    /// Reads `{proof: {type: "x509", chain, signature}, challenge, delegation: TEXT}`, the text being a wish in JSON: what is
    /// signed is what was sent, and needs no other form. `None` if there is no `proof`.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidMember`], [`Error::UnknownProofType`], [`Error::ChallengeRequired`],
    /// [`Error::BadChallenge`], and those of the wish.
    pub fn parse(body: &[u8]) -> Result<Option<Self>, Error> {
        let json: Value = object(body)?;
        let Some(proof) = json.get("proof") else {
            return Ok(None);
        };
        match proof.get("type").and_then(Value::as_str) {
            Some(kind) if kind == x509::DOOR.name => {}
            None => return Err(Error::MissingProofType),
            Some(other) => return Err(Error::UnknownProofType(crate::Echo::new(other))),
        }
        let wish = text(json.get("delegation"), "delegation")?;
        let wish = wish.ok_or(Error::InvalidMember("delegation"))?;
        Wish::parse(wish.as_bytes())?;
        let challenge = challenge(json.get("challenge"))?;
        Ok(Some(Self {
            shown: Chain::read(proof)?,
            challenge: challenge.ok_or(Error::ChallengeRequired)?,
            wish: wish.to_owned(),
        }))
    }

    /// What the certificate's key has to have signed.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let certificate = Sha256::digest(self.shown.leaf());
        let wish = Sha256::digest(&self.wish);
        [LABEL, &self.challenge, &certificate, &wish].concat()
    }
}
