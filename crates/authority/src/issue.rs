//! Issuing a pair, or an issuing certificate: evidence in, certificates to be signed and the answer out.

use notme_keys::{Ed25519PublicKey, P256PublicKey, encode_pem};
use notme_x509::{
    Delegation, Issuer, IssuingProfile, PairProfile, SerialNumber, ToBeSigned, Validity,
    namespace_of, pair_binding,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::people::PrincipalId;
use crate::{Error, Evidence, Fault};

/// What the object that signs is asked for. It was verified by whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueRequest {
    /// Who was proven to be asking.
    pub evidence: Evidence,
    /// What is to be certified.
    pub keys: Keys,
    /// Lifetime of what is issued, in seconds.
    pub ttl_secs: u64,
    /// When it is over in any case, in Unix seconds.
    pub until: Option<u64>,
    /// When the first proof is over, in Unix seconds, if it says so: until then the pair asks for further ones.
    pub evidence_until: Option<u64>,
    /// Until when its holder counts as somebody who just showed a passkey, in Unix seconds, if they did.
    pub fresh_until: Option<u64>,
    /// The first of the pairs that it renews, if it renews one.
    pub renews: Option<u64>,
    /// What the answer repeats of the proof, as JSON, in place of who the principal is.
    pub claims: Option<String>,
    /// Whose it is.
    pub principal: PrincipalId,
}

/// What is certified: keys by their DER SubjectPublicKeyInfo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keys {
    /// Those of a pair.
    Pair {
        /// The mTLS key.
        #[serde(with = "serde_bytes")]
        mtls: Vec<u8>,
        /// The signing key.
        #[serde(with = "serde_bytes")]
        signing: Vec<u8>,
    },
    /// That of an issuing certificate.
    Issuing(#[serde(with = "serde_bytes")] Vec<u8>),
}

/// The authority at this moment.
#[derive(Clone, Copy, Debug)]
pub struct Authority<'a> {
    /// As an issuer.
    pub issuer: &'a Issuer,
    /// The current epoch.
    pub epoch: u64,
    /// The id of the current key.
    pub key_id: &'a str,
}

/// What is recorded of what is issued, beside what it was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The serial numbers: of the mTLS leaf, then of the signing leaf. An issuing certificate's is both.
    pub serials: [[u8; 16]; 2],
    /// The epoch.
    pub epoch: u64,
    /// When it was issued, in Unix seconds.
    pub issued_at: u64,
    /// Its last second, in Unix seconds.
    pub expires_at: u64,
}

/// What only lacks its signatures.
#[derive(Clone, Debug)]
pub struct Prepared {
    to_be_signed: Unsigned,
    serials: [[u8; 16]; 2],
    issued_at: u64,
    not_after: u64,
    epoch: u64,
    key_id: String,
}

#[derive(Clone, Debug)]
enum Unsigned {
    /// The mTLS leaf, the signing leaf, and what binds them to each other.
    Pair([ToBeSigned; 2], [u8; 32]),
    Issuing(ToBeSigned),
}

/// What the CA key must sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Messages<'a> {
    /// The mTLS leaf, then the signing leaf.
    Pair([&'a [u8]; 2]),
    /// The issuing certificate.
    Issuing(&'a [u8]),
}

/// The answer (notme protocol §7.4).
#[derive(Serialize)]
struct Answer<'a> {
    certificates: Certificates,
    identity: &'a str,
    scopes: &'a [String],
    expires_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binding: Option<String>,
    authority: AuthorityFacts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delegation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Certificates {
    Pair { mtls: String, signing: String },
    Issuing { issuing: String },
}

#[derive(Serialize)]
struct AuthorityFacts<'a> {
    epoch: u64,
    key_id: &'a str,
}

/// What a pair was asked for with is over.
#[must_use]
pub fn over(until: u64) -> Error {
    let until = i64::try_from(until).unwrap_or(i64::MAX);
    Error::InvalidCertificate(notme_chain::Refusal::Expired(until))
}

impl Prepared {
    /// Makes the certificates; `now_millis` in Unix milliseconds, `random` fresh.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if a key isn't in its canonical encoding; a refusal of what is over.
    pub fn new(
        authority: Authority<'_>,
        request: &IssueRequest,
        now_millis: u64,
        random: [u8; 32],
    ) -> Result<Self, Error> {
        let ed25519 = |spki| Ed25519PublicKey::from_spki(spki).map_err(Error::InvalidKey);
        let now = now_millis / 1000;
        let left = match request.until {
            None => u64::MAX,
            Some(until) => until.checked_sub(now).ok_or_else(|| over(until))?,
        };
        let validity = Validity::starting(now, request.ttl_secs.min(left));
        let evidence = &request.evidence;
        let delegation = evidence.behalf.as_ref().map(|behalf| Delegation {
            id: behalf.delegation.as_str().to_owned(),
            on_behalf_of: behalf.on_behalf_of.to_string(),
            audience: behalf.audience.clone(),
            purpose: behalf.purpose,
        });
        let mut serials = [[0; 16]; 2];
        serials.as_flattened_mut().copy_from_slice(&random);
        let to_be_signed = match &request.keys {
            Keys::Pair { mtls, signing } => {
                let mtls = P256PublicKey::from_spki(mtls).map_err(Error::InvalidKey)?;
                let signing = ed25519(signing)?;
                let profile = PairProfile {
                    issuer: authority.issuer,
                    subject: &evidence.subject,
                    identity: &evidence.identity,
                    scopes: &evidence.scopes,
                    auth_method: &evidence.auth_method,
                    epoch: authority.epoch,
                    issued_at_millis: now_millis,
                    validity,
                    delegation: delegation.as_ref(),
                    mtls: &mtls,
                    signing: &signing,
                };
                let serials = serials.map(SerialNumber::from_random);
                Unsigned::Pair(profile.to_be_signed(serials), pair_binding(&mtls, &signing))
            }
            Keys::Issuing(spki) => {
                let [serial, _] = serials;
                serials = [serial; 2];
                let missing = || Fault::Internal("an issuing certificate on no delegation".into());
                let profile = IssuingProfile {
                    issuer: authority.issuer,
                    subject: &evidence.subject,
                    identity: &evidence.identity,
                    scopes: &evidence.scopes,
                    auth_method: &evidence.auth_method,
                    epoch: authority.epoch,
                    issued_at_millis: now_millis,
                    validity,
                    delegation: delegation.as_ref().ok_or_else(missing)?,
                    key: &ed25519(spki)?,
                };
                Unsigned::Issuing(profile.to_be_signed(SerialNumber::from_random(serial)))
            }
        };
        Ok(Self {
            to_be_signed,
            serials,
            issued_at: now_millis / 1000,
            not_after: validity.not_after,
            epoch: authority.epoch,
            key_id: authority.key_id.to_owned(),
        })
    }

    /// What the CA key must sign.
    #[must_use]
    pub fn messages(&self) -> Messages<'_> {
        match &self.to_be_signed {
            Unsigned::Pair(pair, _) => Messages::Pair(pair.each_ref().map(ToBeSigned::as_bytes)),
            Unsigned::Issuing(one) => Messages::Issuing(one.as_bytes()),
        }
    }

    /// What is to be recorded when it is issued.
    #[must_use]
    pub const fn issued(&self) -> Issued {
        Issued {
            serials: self.serials,
            epoch: self.epoch,
            issued_at: self.issued_at,
            expires_at: self.not_after,
        }
    }

    /// The body of the answer, given the signatures over [`Self::messages`]; of an issuing certificate's the first
    /// counts.
    ///
    /// # Errors
    /// [`Fault::Internal`] if the claims to repeat aren't JSON.
    pub fn into_answer(
        self,
        request: &IssueRequest,
        signatures: [[u8; 64]; 2],
    ) -> Result<Vec<u8>, Error> {
        let [first, second] = signatures;
        let pem = |certificate: ToBeSigned, signature| {
            encode_pem("CERTIFICATE", &certificate.into_certificate(signature))
        };
        let evidence = &request.evidence;
        let (certificates, binding, namespace) = match self.to_be_signed {
            Unsigned::Pair([mtls, signing], binding) => {
                let pair = Certificates::Pair {
                    mtls: pem(mtls, &first),
                    signing: pem(signing, &second),
                };
                (pair, Some(hex::encode(binding)), None)
            }
            Unsigned::Issuing(one) => {
                let issuing = pem(one, &first);
                let namespace = namespace_of(&evidence.identity);
                (Certificates::Issuing { issuing }, None, Some(namespace))
            }
        };
        let claims = request
            .claims
            .as_deref()
            .map(serde_json::from_str::<&RawValue>)
            .transpose();
        let internal = |error: serde_json::Error| Fault::Internal(error.to_string());
        let behalf = evidence.behalf.as_ref();
        // A route that repeats claims is older than principals, and so are its clients.
        let principal = request.claims.is_none().then_some(&request.principal);
        let answer = Answer {
            certificates,
            identity: &evidence.identity,
            scopes: &evidence.scopes,
            expires_at: self.not_after,
            binding,
            authority: AuthorityFacts {
                epoch: self.epoch,
                key_id: &self.key_id,
            },
            claims: claims.map_err(internal)?,
            subject: principal.map(|_| evidence.subject.as_str()),
            principal_id: principal.map(PrincipalId::as_str),
            auth_method: principal.map(|_| evidence.auth_method.as_str()),
            delegation: behalf.map(|behalf| behalf.delegation.as_str()),
            on_behalf_of: behalf.map(|behalf| behalf.on_behalf_of.as_str()),
            namespace,
        };
        Ok(serde_json::to_vec(&answer).map_err(internal)?)
    }
}
