//! Registering a credential (§7.1).

use notme_keys::{Outcome, SignatureCheck};
use serde_json::{Map, Value};

use crate::attestation::{self, AttestationObject};
use crate::authenticator_data::Attested;
use crate::client_data::{self, ClientData};
use crate::json;
use crate::{
    Aaguid, AttestationKind, Ceremony, Challenge, CredentialId, CredentialKey, Error, RelyingParty,
    Transport,
};

/// The longest response that is read: both of its large parts in base64url twice over, for clients
/// repeat what is in the attestation object.
pub(crate) const MAX_RESPONSE_LEN: usize = 65_536;
/// How many transports are looked at; the specification has six.
const MAX_TRANSPORTS: usize = 16;

/// A `RegistrationResponseJSON` (§5.1.8), taken apart and not believed yet.
#[derive(Clone, Debug, PartialEq)]
pub struct RegistrationResponse {
    id: CredentialId,
    transports: Vec<Transport>,
    client_data: ClientData,
    attestation: AttestationObject,
}

/// A registration that is right but for its signatures, which nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObligedRegistration {
    checks: Vec<SignatureCheck>,
    credential: NewCredential,
}

/// What a verified registration is worth: the credential to keep (§4, credential record). That its
/// id isn't known yet is the host's to see to (§7.1 step 26).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    /// Its id.
    pub id: CredentialId,
    /// Its public key.
    pub key: CredentialKey,
    /// How often it was used, if the authenticator counts.
    pub sign_count: u32,
    /// The model of the authenticator, by its own word.
    pub aaguid: Aaguid,
    /// How the client reached the authenticator, each once; what we don't know is left out.
    pub transports: Vec<Transport>,
    /// Whether it may ever be backed up.
    pub backup_eligible: bool,
    /// Whether it is backed up now.
    pub backed_up: bool,
    /// What stands behind it.
    pub attestation: AttestationKind,
}

impl RegistrationResponse {
    /// Takes a response apart.
    ///
    /// # Errors
    /// The first [`Error`] in its form: the JSON, the client data, the attestation object, the
    /// authenticator data, the key, the attestation statement.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let (id, response) = envelope(json)?;
        let client_data = ClientData::parse(&json::bytes(
            &response,
            "clientDataJSON",
            client_data::MAX_LEN,
        )?)?;
        let object = json::bytes(&response, "attestationObject", attestation::MAX_LEN)?;
        Ok(Self {
            id,
            transports: transports(response.get("transports"))?,
            client_data,
            attestation: AttestationObject::parse(&object)?,
        })
    }

    /// The challenge that it says it answers, by which the host may look up its own.
    ///
    /// # Errors
    /// [`Error::ClientDataMalformed`] if it says nothing, [`Error::ChallengeMismatch`] if that
    /// can't be one of ours.
    pub fn claimed_challenge(&self) -> Result<Challenge, Error> {
        self.client_data.challenge()
    }

    /// Checks it against what the host knows, and names what must still be settled. The challenge is
    /// the one that was given out for this ceremony, and is used up by now.
    ///
    /// # Errors
    /// The first [`Error`] in the order of §7.1.
    pub fn oblige(
        self,
        party: &RelyingParty,
        challenge: &Challenge,
    ) -> Result<ObligedRegistration, Error> {
        self.client_data
            .check(Ceremony::Registration, party, challenge)?;
        self.attestation.authenticator_data.check(party)?;
        self.obliged()
    }

    /// What is left when ceremony and flags are right (§7.1 steps 20 to 27).
    fn obliged(self) -> Result<ObligedRegistration, Error> {
        let data = &self.attestation.authenticator_data;
        let attested = data.attested.as_ref().ok_or(Error::AttestedDataMissing)?;
        if attested.id != self.id {
            return Err(Error::CredentialIdMismatch);
        }
        let (kind, checks) = self.attestation.oblige(attested, self.client_data.hash())?;
        let Attested { aaguid, id, key } = attested.clone();
        Ok(ObligedRegistration {
            checks,
            credential: NewCredential {
                id,
                key,
                sign_count: data.sign_count,
                aaguid,
                backup_eligible: data.is_backup_eligible(),
                backed_up: data.is_backed_up(),
                attestation: kind,
                transports: self.transports,
            },
        })
    }
}

impl ObligedRegistration {
    /// What the host must settle, in this order. Without an attestation there is nothing.
    #[must_use]
    pub fn checks(&self) -> &[SignatureCheck] {
        &self.checks
    }

    /// Decides, given how the checks were settled.
    ///
    /// # Errors
    /// [`Error::AttestationSignatureInvalid`] unless each check has an outcome and it is good.
    pub fn settle(self, outcomes: &[Outcome]) -> Result<NewCredential, Error> {
        if all_verified(&self.checks, outcomes) {
            Ok(self.credential)
        } else {
            Err(Error::AttestationSignatureInvalid)
        }
    }
}

/// Whether each check has its outcome, and each is good.
pub(crate) fn all_verified(checks: &[SignatureCheck], outcomes: &[Outcome]) -> bool {
    checks.len() == outcomes.len() && outcomes.iter().all(|outcome| outcome.is_verified())
}

/// What both kinds of response have around them (§5.1): the credential's id, and `response`.
pub(crate) fn envelope(json: &[u8]) -> Result<(CredentialId, Map<String, Value>), Error> {
    if json.len() > MAX_RESPONSE_LEN {
        return Err(Error::ResponseTooLarge);
    }
    let mut credential = notme_keys::json::object(json).map_err(|error| match error {
        notme_keys::json::JsonError::Malformed => Error::ResponseMalformed,
        notme_keys::json::JsonError::Duplicate => Error::DuplicateMember,
    })?;
    if json::string(&credential, "type")? != "public-key" {
        return Err(Error::CredentialTypeUnsupported);
    }
    let raw_id = json::bytes(&credential, "rawId", MAX_RESPONSE_LEN)?;
    // Equal text is equal bytes: base64url has one form here.
    if json::string(&credential, "id")? != json::string(&credential, "rawId")? {
        return Err(Error::CredentialIdMismatch);
    }
    let attachment = credential.get("authenticatorAttachment");
    let results = credential.get("clientExtensionResults");
    if !matches!(attachment, None | Some(Value::Null | Value::String(_)))
        || !results.is_some_and(Value::is_object)
    {
        return Err(Error::ResponseMalformed);
    }
    let Some(Value::Object(response)) = credential.remove("response") else {
        return Err(Error::ResponseMalformed);
    };
    Ok((CredentialId::new(raw_id)?, response))
}

/// The transports that we know; others are ignored, as §5.8.4 asks.
fn transports(value: Option<&Value>) -> Result<Vec<Transport>, Error> {
    let names = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(names)) if names.len() <= MAX_TRANSPORTS => names,
        Some(_) => return Err(Error::ResponseMalformed),
    };
    let mut known = Vec::new();
    for name in names {
        let name = name.as_str().ok_or(Error::ResponseMalformed)?;
        known.extend(Transport::from_name(name).filter(|new| !known.contains(new)));
    }
    Ok(known)
}
