//! Issuing a pair: evidence in, certificates to be signed and the answer out.

use notme_keys::{Ed25519PublicKey, P256PublicKey, encode_pem};
use notme_x509::{Issuer, PairProfile, SerialNumber, ToBeSigned, Validity, pair_binding};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::people::PrincipalId;
use crate::{Error, Evidence, Fault};

/// What the object that signs is asked for. It was verified by whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssueRequest {
    /// Who was proven to be asking.
    pub evidence: Evidence,
    /// DER SubjectPublicKeyInfo of the mTLS key.
    #[serde(with = "serde_bytes")]
    pub mtls_spki: Vec<u8>,
    /// DER SubjectPublicKeyInfo of the signing key.
    #[serde(with = "serde_bytes")]
    pub signing_spki: Vec<u8>,
    /// Lifetime of the pair, in seconds.
    pub ttl_secs: u64,
    /// When it is over in any case, in Unix seconds.
    pub until: Option<u64>,
    /// What the answer repeats of the proof, as JSON.
    pub claims: Option<String>,
    /// Whose pair it is, where there is a principal.
    pub principal: Option<PrincipalId>,
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

/// What is recorded of a pair, beside what it was issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The serial numbers: of the mTLS leaf, then of the signing leaf.
    pub serials: [[u8; 16]; 2],
    /// The epoch.
    pub epoch: u64,
    /// When it was issued, in Unix seconds.
    pub issued_at: u64,
    /// Its last second, in Unix seconds.
    pub expires_at: u64,
}

/// A pair that only lacks its signatures.
#[derive(Clone, Debug)]
pub struct Prepared {
    to_be_signed: [ToBeSigned; 2],
    serials: [[u8; 16]; 2],
    issued_at: u64,
    binding: [u8; 32],
    not_after: u64,
    epoch: u64,
    key_id: String,
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
    binding: String,
    authority: AuthorityFacts<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    principal_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_method: Option<&'a str>,
}

#[derive(Serialize)]
struct Certificates {
    mtls: String,
    signing: String,
}

#[derive(Serialize)]
struct AuthorityFacts<'a> {
    epoch: u64,
    key_id: &'a str,
}

/// What a pair was asked for with is over.
pub(crate) fn over(until: u64) -> Error {
    let until = i64::try_from(until).unwrap_or(i64::MAX);
    Error::InvalidCertificate(notme_chain::Refusal::Expired(until))
}

impl Prepared {
    /// Makes the two certificates; `now_millis` in Unix milliseconds, `random` fresh.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if a key isn't in its canonical encoding.
    pub fn new(
        authority: Authority<'_>,
        request: &IssueRequest,
        now_millis: u64,
        random: [u8; 32],
    ) -> Result<Self, Error> {
        let mtls = P256PublicKey::from_spki(&request.mtls_spki).map_err(Error::InvalidKey)?;
        let signing =
            Ed25519PublicKey::from_spki(&request.signing_spki).map_err(Error::InvalidKey)?;
        let now = now_millis / 1000;
        let left = match request.until {
            None => u64::MAX,
            Some(until) => until.checked_sub(now).ok_or_else(|| over(until))?,
        };
        let validity = Validity::starting(now, request.ttl_secs.min(left));
        let profile = PairProfile {
            issuer: authority.issuer,
            subject: &request.evidence.subject,
            identity: &request.evidence.identity,
            scopes: &request.evidence.scopes,
            auth_method: &request.evidence.auth_method,
            epoch: authority.epoch,
            issued_at_millis: now_millis,
            validity,
            mtls: &mtls,
            signing: &signing,
        };
        let mut serials = [[0; 16]; 2];
        serials.as_flattened_mut().copy_from_slice(&random);
        Ok(Self {
            to_be_signed: profile.to_be_signed(serials.map(SerialNumber::from_random)),
            serials,
            issued_at: now_millis / 1000,
            binding: pair_binding(&mtls, &signing),
            not_after: validity.not_after,
            epoch: authority.epoch,
            key_id: authority.key_id.to_owned(),
        })
    }

    /// What the CA key must sign: the mTLS leaf, then the signing leaf.
    #[must_use]
    pub fn messages(&self) -> [&[u8]; 2] {
        self.to_be_signed.each_ref().map(ToBeSigned::as_bytes)
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

    /// The body of the answer, given the signatures over [`Self::messages`].
    ///
    /// # Errors
    /// [`Fault::Internal`] if the claims to repeat aren't JSON.
    pub fn into_answer(
        self,
        request: &IssueRequest,
        signatures: [[u8; 64]; 2],
    ) -> Result<Vec<u8>, Error> {
        let [mtls, signing] = self.to_be_signed;
        let [mtls_signature, signing_signature] = signatures;
        let pem = |leaf: ToBeSigned, signature| {
            encode_pem("CERTIFICATE", &leaf.into_certificate(signature))
        };
        let claims = request
            .claims
            .as_deref()
            .map(serde_json::from_str::<&RawValue>)
            .transpose();
        let internal = |error: serde_json::Error| Fault::Internal(error.to_string());
        let answer = Answer {
            certificates: Certificates {
                mtls: pem(mtls, &mtls_signature),
                signing: pem(signing, &signing_signature),
            },
            identity: &request.evidence.identity,
            scopes: &request.evidence.scopes,
            expires_at: self.not_after,
            binding: hex::encode(self.binding),
            authority: AuthorityFacts {
                epoch: self.epoch,
                key_id: &self.key_id,
            },
            claims: claims.map_err(internal)?,
            subject: request
                .principal
                .as_ref()
                .map(|_| request.evidence.subject.as_str()),
            principal_id: request.principal.as_ref().map(PrincipalId::as_str),
            auth_method: request
                .principal
                .as_ref()
                .map(|_| request.evidence.auth_method.as_str()),
        };
        Ok(serde_json::to_vec(&answer).map_err(internal)?)
    }
}
