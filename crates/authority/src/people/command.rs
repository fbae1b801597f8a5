//! What the worker and the signing object say to each other about people.

use notme_webauthn::{
    Algorithm, CredentialDescriptor, CredentialId, CredentialKey, NewCredential, StoredCredential,
    Transport, UserHandle,
};
use serde::{Deserialize, Serialize};

use super::challenge::{AnybodysKey, Ceremony};
use super::connection::Proven;
use super::invite::Draft;
use super::session::{LIFETIME_SECS, STEP_UP_SECS};
use super::{PrincipalId, Scope, Scopes};
use crate::http::Session;
use crate::limits::share;
use crate::{Error, Fault, limits};

/// Where a request comes from, for the audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The caller's address, as far as it is known.
    pub source: String,
    /// The request's id.
    pub request_id: String,
}

impl Origin {
    const UNKNOWN: &str = "unknown";

    /// What is told of where a request comes from.
    #[must_use]
    pub fn told(told: Option<&str>, request_id: &str) -> Self {
        Self {
            source: told.map_or(Self::UNKNOWN, limits::address).to_owned(),
            request_id: request_id.to_owned(),
        }
    }

    /// Who it counts as, if that is known.
    #[must_use]
    pub fn counted(&self) -> Option<String> {
        (self.source != Self::UNKNOWN).then(|| limits::source(&self.source))
    }
}

/// What the signing object can be asked about people. Sessions and secrets come as their hashes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// What a stranger may know.
    Door,
    /// May somebody register? Then with which challenge?
    BeginRegistration {
        /// What they present.
        wish: Wish,
        /// What the principal is to be called.
        display_name: String,
        /// Where from.
        origin: Origin,
    },
    /// Register this passkey, which was verified.
    Register(Box<Register>),
    /// The key of challenges that are for anybody.
    AnybodysKey,
    /// An assertion: if it is good, begin a session for its passkey's owner.
    SignIn(Shown),
    /// A challenge, and the passkeys that may answer it, for the holder of this session.
    BeginStepUp([u8; 32]),
    /// The assertion of one of them: if it is good, go on with the session.
    StepUp(Shown),
    /// This challenge was answered, and wrongly: it is used up all the same.
    Spend {
        /// The ceremony it was for.
        ceremony: Ceremony,
        /// What it was good for.
        context: Vec<u8>,
        /// The challenge.
        challenge: [u8; 32],
    },
    /// The session with this hash.
    Session([u8; 32]),
    /// A challenge for proofs of possession in this session.
    BeginPossession([u8; 32]),
    /// End the session with this hash.
    SignOut {
        /// The session.
        session: [u8; 32],
        /// Where from.
        origin: Origin,
    },
    /// Something with what is one's own.
    Own {
        /// The session.
        session: [u8; 32],
        /// What.
        act: OwnAct,
        /// Where from.
        origin: Origin,
    },
    /// Make an invite.
    Invite {
        /// The session.
        session: [u8; 32],
        /// What it is to be.
        draft: Draft,
        /// The hash of its token.
        token: [u8; 32],
        /// Where from.
        origin: Origin,
    },
    /// What the invite with this token offers.
    Invitation([u8; 32]),
    /// Counts for the administrator who has this session.
    Status([u8; 32]),
    /// A challenge for linking an identity in this session.
    BeginConnection([u8; 32]),
    /// Link an identity to whoever has the session.
    Connect(Box<Proven>),
    /// Begin a session for whoever an identity is linked to.
    Identify {
        /// The identity.
        proven: Box<Proven>,
        /// The session to begin.
        session: [u8; 32],
    },
    /// Redeem an invite for an identity: whoever it is comes to be, and a session begins.
    JoinBy {
        /// The identity.
        proven: Box<Proven>,
        /// The hash of the invite's token.
        invite: [u8; 32],
        /// Who it will be.
        principal: PrincipalId,
        /// What they will be called.
        display_name: String,
        /// The session to begin.
        session: [u8; 32],
    },
}

/// What somebody presents who wants to register.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// The operator's code, for first boot.
    Code([u8; 32]),
    /// The operator's code, for recovery.
    Recovery([u8; 32]),
    /// An invite's token.
    Invite([u8; 32]),
    /// A session, for a further passkey.
    Session([u8; 32]),
    /// Nothing.
    Nothing,
}

/// A passkey that was verified, and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// Who it was made for.
    pub principal: PrincipalId,
    /// The challenge that it answers.
    pub challenge: [u8; 32],
    /// The passkey.
    pub passkey: Passkey,
    /// What its owner calls it.
    pub name: Option<String>,
    /// The invite that it has to be for, where the request names one.
    pub invite: Option<[u8; 32]>,
    /// The session that the request has.
    pub current: Option<[u8; 32]>,
    /// The session to begin, or to go on with.
    pub session: [u8; 32],
    /// Where from.
    pub origin: Origin,
}

/// A passkey that is shown. The object verifies it itself: to fetch the passkey for the worker would be
/// another way there and back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The request's body.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
    /// The session that the request has.
    pub current: Option<[u8; 32]>,
    /// The session to begin, or to go on with.
    pub session: [u8; 32],
    /// Where from.
    pub origin: Origin,
}

/// What a principal does with what is its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OwnAct {
    /// Lists its passkeys.
    Passkeys,
    /// Names one.
    RenamePasskey {
        /// Which.
        id: String,
        /// How.
        name: String,
    },
    /// Removes one.
    RemovePasskey(String),
    /// Ends one of its sessions.
    EndSession(String),
    /// Lists the identities that are linked to it.
    Connections,
    /// Removes one.
    Disconnect(String),
}

impl Command {
    /// Whether the list of what is revoked may say something else afterwards: with a way in goes what it handed on.
    #[must_use]
    pub const fn revokes(&self) -> bool {
        matches!(
            self,
            Self::Own {
                act: OwnAct::RemovePasskey(_) | OwnAct::Disconnect(_),
                ..
            }
        )
    }
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Somebody may register.
    RegistrationBegun(RegistrationBegun),
    /// The key of challenges that are for anybody.
    AnybodysKey(AnybodysKey),
    /// The challenge for proofs of possession in a session.
    Challenge([u8; 32]),
    /// The challenge of a step-up, and what may answer it.
    StepUpBegun {
        /// The challenge.
        challenge: [u8; 32],
        /// The passkeys.
        allow: Vec<KnownPasskey>,
    },
    /// A session, begun or found.
    Session(SessionFacts),
    /// An invite was made.
    Invited {
        /// Its id.
        id: String,
        /// Until when, in Unix seconds.
        expires_at: u64,
        /// What whoever redeems it may do.
        scopes: Scopes,
    },
    /// A document for the caller, as it is to be sent.
    Document(String),
    /// It is done, or there was nothing to do.
    Done,
}

/// What options for a registration are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationBegun {
    /// The id of the principal to be, or of the one that asks.
    pub principal: PrincipalId,
    /// What it will be called.
    pub display_name: String,
    /// Whether it is the first.
    pub is_first: bool,
    /// What it will be granted.
    pub scopes: Scopes,
    /// The challenge.
    pub challenge: [u8; 32],
    /// The passkeys that it has.
    pub exclude: Vec<KnownPasskey>,
}

/// A session, and what its principal may do at this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionFacts {
    /// Whose it is.
    pub principal: PrincipalId,
    /// What they are called.
    pub display_name: String,
    /// What they may do.
    pub scopes: Scopes,
    /// What they were granted since they last showed an authenticator: theirs when they show one again, and
    /// nobody's who has stolen the session.
    pub pending: Scopes,
    /// How they came in.
    pub method: String,
    /// When it ends at the latest, in Unix seconds.
    pub expires_at: u64,
    /// The session's id, as lists have it.
    pub id: String,
    /// The authenticator that it began with.
    pub authenticator: String,
    /// Until when what is dangerous may be done without showing an authenticator again, in Unix
    /// seconds.
    pub fresh_until: u64,
    /// Whether its holder has shown a passkey in it.
    pub has_shown_passkey: bool,
}

/// Another session of the same principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherSession {
    /// Its id, as lists have it.
    pub id: String,
    /// The authenticator that it began with.
    pub authenticator: String,
    /// Whether its holder has shown a passkey in it.
    pub has_shown_passkey: bool,
}

impl SessionFacts {
    /// Whose share it uses, of what limits by identity count.
    #[must_use]
    pub fn share(&self) -> String {
        share(&self.principal, &self.method)
    }

    /// Whether it may end another session of its principal's. One that was proven better isn't ended by who may have come
    /// in by less: neither by a session that was left open, nor by an issuer that says somebody is who they aren't.
    ///
    /// # Errors
    /// [`Error::StepUpRequired`].
    pub fn permit_end(&self, other: &OtherSession, now: u64) -> Result<(), Error> {
        let is_no_better = !other.has_shown_passkey && other.authenticator == self.authenticator;
        if other.id == self.id || is_no_better {
            Ok(())
        } else {
            self.require_fresh(now)
        }
    }

    /// Whether it may take back what was given with a passkey.
    ///
    /// # Errors
    /// [`Error::StepUpRequired`].
    pub const fn require_passkey(&self) -> Result<(), Error> {
        if self.has_shown_passkey {
            Ok(())
        } else {
            Err(Error::StepUpRequired)
        }
    }

    /// Whether the session may do what a route asks for.
    ///
    /// # Errors
    /// [`Error::ManageRequired`] and [`Error::StepUpRequired`].
    pub fn permit(&self, needs: Session, now: u64) -> Result<(), Error> {
        let manages = matches!(needs, Session::Manage | Session::ManageFresh);
        if manages && !self.scopes.contains(Scope::AuthorityManage) {
            return Err(if self.pending.contains(Scope::AuthorityManage) {
                Error::StepUpRequired
            } else {
                Error::ManageRequired
            });
        }
        if needs == Session::ManageFresh {
            return self.require_fresh(now);
        }
        Ok(())
    }

    /// Whether an authenticator was shown a short while ago.
    ///
    /// # Errors
    /// [`Error::StepUpRequired`].
    pub const fn require_fresh(&self, now: u64) -> Result<(), Error> {
        if now < self.fresh_until {
            Ok(())
        } else {
            Err(Error::StepUpRequired)
        }
    }
}

impl SessionFacts {
    /// Whether a passkey may be added. Who came in by something else and has none may, for as long after that as if they
    /// had shown one.
    ///
    /// # Errors
    /// [`Error::StepUpRequired`].
    pub const fn permit_passkey(&self, is_first: bool, now: u64) -> Result<(), Error> {
        let began_at = self.expires_at.saturating_sub(LIFETIME_SECS);
        if is_first && now < began_at.saturating_add(STEP_UP_SECS) {
            return Ok(());
        }
        self.require_fresh(now)
    }
}

/// A passkey as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    /// The credential id.
    #[serde(with = "serde_bytes")]
    pub id: Vec<u8>,
    /// The COSE number of the key's algorithm.
    pub algorithm: i64,
    /// DER SubjectPublicKeyInfo.
    #[serde(with = "serde_bytes")]
    pub spki: Vec<u8>,
    /// The model of the authenticator.
    pub aaguid: [u8; 16],
    /// How it is reached.
    pub transports: Vec<String>,
    /// Whether it may be backed up.
    pub backup_eligible: bool,
    /// What stands behind it.
    pub attestation: String,
    /// What changes with its use.
    pub state: PasskeyState,
}

/// What of a passkey changes with its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasskeyState {
    /// Its counter.
    pub sign_count: u32,
    /// Whether it is backed up.
    pub backed_up: bool,
    /// Whether the counter was higher before: the passkey may have been copied.
    pub went_back: bool,
}

/// A passkey, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPasskey {
    /// Whose it is.
    pub owner: PrincipalId,
    /// The passkey.
    pub passkey: Passkey,
}

impl From<NewCredential> for Passkey {
    fn from(credential: NewCredential) -> Self {
        let transports = credential.transports.iter().map(|t| t.as_str().to_owned());
        Self {
            id: credential.id.as_bytes().to_vec(),
            algorithm: credential.key.algorithm().cose(),
            spki: credential.key.to_spki(),
            aaguid: *credential.aaguid.as_bytes(),
            transports: transports.collect(),
            backup_eligible: credential.backup_eligible,
            attestation: credential.attestation.as_str().to_owned(),
            state: PasskeyState {
                sign_count: credential.sign_count,
                backed_up: credential.backed_up,
                went_back: false,
            },
        }
    }
}

impl KnownPasskey {
    /// As an assertion is checked against it.
    ///
    /// # Errors
    /// [`Fault::Internal`] if what is stored can't have been a passkey.
    pub fn stored(&self) -> Result<StoredCredential, Fault> {
        let Self { owner, passkey } = self;
        let damaged =
            |error: notme_webauthn::Error| Fault::Internal(format!("a stored passkey: {error}"));
        let algorithm = Algorithm::from_cose(passkey.algorithm)
            .ok_or_else(|| Fault::Internal("a stored passkey has an unknown algorithm".into()))?;
        Ok(StoredCredential {
            id: CredentialId::new(passkey.id.clone()).map_err(damaged)?,
            key: CredentialKey::from_spki(algorithm, &passkey.spki).map_err(damaged)?,
            sign_count: passkey.state.sign_count,
            backup_eligible: passkey.backup_eligible,
            owner: UserHandle::new(owner.as_str().as_bytes().to_vec()).map_err(damaged)?,
        })
    }

    /// As options name it.
    ///
    /// # Errors
    /// [`Fault::Internal`] if what is stored can't have been a passkey.
    pub fn descriptor(&self) -> Result<CredentialDescriptor, Fault> {
        let names = self.passkey.transports.iter();
        Ok(CredentialDescriptor {
            id: self.stored()?.id,
            transports: names
                .filter_map(|name| Transport::from_name(name))
                .collect(),
        })
    }
}
