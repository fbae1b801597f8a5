//! Verifying an assertion (§7.2).

use notme_keys::{Outcome, SignatureCheck};
use serde_json::Value;

use crate::authenticator_data::{self, AuthenticatorData};
use crate::client_data::{self, ClientData};
use crate::registration::{all_verified, envelope};
use crate::{
    Ceremony, Challenge, CredentialId, CredentialKey, Error, RelyingParty, UserHandle, json,
    signature,
};

/// An `AuthenticationResponseJSON` (§5.1.9), taken apart and not believed yet.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthenticationResponse {
    id: CredentialId,
    user_handle: Option<UserHandle>,
    client_data: ClientData,
    authenticator_data: AuthenticatorData,
    signature: Vec<u8>,
}

/// What the host keeps of a credential, as far as an assertion is checked against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCredential {
    /// Its id.
    pub id: CredentialId,
    /// Its public key.
    pub key: CredentialKey,
    /// The counter of its last use.
    pub sign_count: u32,
    /// Whether it may ever be backed up, as it was when it was registered.
    pub backup_eligible: bool,
    /// Whose it is.
    pub owner: UserHandle,
}

/// An assertion that is right but for its signature, which nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObligedAuthentication {
    checks: [SignatureCheck; 1],
    assertion: Assertion,
}

/// What a verified assertion is worth: the stored credential's owner was there, and these are the
/// credential's new state values (§7.2 step 24).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assertion {
    /// The counter to keep.
    pub sign_count: u32,
    /// Whether the credential is backed up now.
    pub backed_up: bool,
    /// What the counter says about copies of the credential.
    pub counter: Counter,
}

/// What became of a credential's counter (§6.1.1, §7.2 step 22).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counter {
    /// It is higher than before.
    Advanced,
    /// It was zero and still is: the authenticator doesn't count, as those that synchronise don't.
    Unsupported,
    /// It isn't higher than before. The credential may have been copied; or two answers came in the
    /// other order. It is a signal for the audit trail, and no reason to lock anybody out.
    WentBack,
}

impl AuthenticationResponse {
    /// Takes a response apart.
    ///
    /// # Errors
    /// The first [`Error`] in its form: the JSON, the client data, the authenticator data.
    pub fn parse(json: &[u8]) -> Result<Self, Error> {
        let (id, response) = envelope(json)?;
        let user_handle = match response.get("userHandle") {
            None | Some(Value::Null) => None,
            Some(_) => Some(UserHandle::new(json::bytes(
                &response,
                "userHandle",
                crate::registration::MAX_RESPONSE_LEN,
            )?)?),
        };
        let client_data = ClientData::parse(&json::bytes(
            &response,
            "clientDataJSON",
            client_data::MAX_LEN,
        )?)?;
        let data = json::bytes(&response, "authenticatorData", authenticator_data::MAX_LEN)?;
        Ok(Self {
            id,
            user_handle,
            client_data,
            authenticator_data: AuthenticatorData::parse(Ceremony::Authentication, &data)?,
            signature: json::bytes(&response, "signature", signature::MAX_LEN)?,
        })
    }

    /// The credential that it says it is of, by which the host looks up the stored one.
    #[must_use]
    pub const fn credential_id(&self) -> &CredentialId {
        &self.id
    }

    /// Whose credential it says it is.
    #[must_use]
    pub const fn user_handle(&self) -> Option<&UserHandle> {
        self.user_handle.as_ref()
    }

    /// The challenge that it says it answers, by which the host looks up its own.
    ///
    /// # Errors
    /// [`Error::ClientDataMalformed`] if it says nothing, [`Error::ChallengeMismatch`] if that
    /// can't be one of ours.
    pub fn claimed_challenge(&self) -> Result<Challenge, Error> {
        self.client_data.challenge()
    }

    /// Checks it against what the host knows, and names what must still be settled. The challenge is
    /// one that was given out for a login and is used up by now; the credential is the stored one
    /// with [`Self::credential_id`].
    ///
    /// # Errors
    /// The first [`Error`] in the order of §7.2.
    pub fn oblige(
        self,
        party: &RelyingParty,
        challenge: &Challenge,
        stored: &StoredCredential,
    ) -> Result<ObligedAuthentication, Error> {
        if self.id != stored.id {
            return Err(Error::CredentialUnknown);
        }
        // Step 6 lets it be absent where the user was known before. Ours are discoverable, so an
        // authenticator always has it.
        let user_handle = self.user_handle.as_ref().ok_or(Error::UserHandleMissing)?;
        if *user_handle != stored.owner {
            return Err(Error::UserHandleMismatch);
        }
        self.client_data
            .check(Ceremony::Authentication, party, challenge)?;
        self.authenticator_data.check(party)?;
        if self.authenticator_data.is_backup_eligible() != stored.backup_eligible {
            return Err(Error::BackupEligibilityChanged);
        }
        self.obliged(stored)
    }

    /// What is left when ceremony and flags are right (§7.2 steps 20 to 22).
    fn obliged(self, stored: &StoredCredential) -> Result<ObligedAuthentication, Error> {
        let data = &self.authenticator_data;
        let message = data.signed_with(self.client_data.hash());
        let check = signature::check(stored.key.as_verifying_key(), message, &self.signature)
            .ok_or(Error::SignatureInvalid)?;
        Ok(ObligedAuthentication {
            checks: [check],
            assertion: Assertion {
                sign_count: data.sign_count,
                backed_up: data.is_backed_up(),
                counter: Counter::between(stored.sign_count, data.sign_count),
            },
        })
    }
}

impl ObligedAuthentication {
    /// What the host must settle, in this order.
    #[must_use]
    pub const fn checks(&self) -> &[SignatureCheck] {
        &self.checks
    }

    /// Decides, given how the checks were settled.
    ///
    /// # Errors
    /// [`Error::SignatureInvalid`] unless each check has an outcome and it is good.
    pub fn settle(self, outcomes: &[Outcome]) -> Result<Assertion, Error> {
        if all_verified(&self.checks, outcomes) {
            Ok(self.assertion)
        } else {
            Err(Error::SignatureInvalid)
        }
    }
}

impl Counter {
    const fn between(before: u32, now: u32) -> Self {
        match (before, now) {
            (0, 0) => Self::Unsupported,
            _ if now > before => Self::Advanced,
            _ => Self::WentBack,
        }
    }
}
