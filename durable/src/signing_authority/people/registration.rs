//! Registering a passkey: who may, and what happens in the one transaction that does it.

use notme_authority::people::admission::Admission;
use notme_authority::people::bootstrap::FirstBoot;
use notme_authority::people::challenge::{Ceremony, LIFETIME_SECS};
use notme_authority::people::command::{
    Origin, Passkey, Register, RegistrationBegun, Reply, SessionFacts, Wish,
};
use notme_authority::people::mint::{BY_CODE, Holder};
use notme_authority::people::{Grant, PrincipalId, Scopes, uuid};
use notme_authority::{Error, Fault};
use notme_keys::encode_base64url;
use serde_json::{Value, json};
use worker::SqlStorageValue;

use super::connections::permit_way_in;
use super::identities::{self, WayIn};
use super::invites::{InviteRow, scopes_of};
use super::{PASSKEY, People, UNNAMED, begin_session, rotate_session, sign_out, signed, trail};
use crate::host::random;
use crate::sql::Argument::{Null, Number, Text};
use crate::sql::{Database, integer, internal};

/// How many registrations of strangers wait at a time, where anybody may register.
const MAX_WAITING: u64 = 10_000;
/// How many may wait for the same invite: who holds its token writes these rows.
const MAX_WAITING_FOR_ONE: u64 = 100;

/// How many registrations wait that rest on the same. Whoever has the operator's code always gets in
/// line, and a session's wait in one row.
const fn most_waiting(admission: Admission) -> Option<u64> {
    match admission {
        Admission::Bootstrap | Admission::Recovery | Admission::Session => None,
        Admission::Invite => Some(MAX_WAITING_FOR_ONE),
        Admission::Open => Some(MAX_WAITING),
    }
}

/// Notes that a code was used, by its hash. Once: its row has the hash as its key.
fn use_up(db: &Database, code: &[u8], by: &PrincipalId, now: u64) -> Result<(), Error> {
    let used = vec![
        SqlStorageValue::Blob(code.to_vec()),
        integer(now)?,
        by.as_str().into(),
    ];
    db.execute("INSERT INTO used_codes VALUES (?, ?, ?)", used)?;
    Ok(())
}

/// A registration that somebody let in.
struct Admitted {
    admission: Admission,
    principal: PrincipalId,
    display_name: String,
    scopes: Scopes,
    /// What it rests on: a code's or a token's hash, a session's id.
    reference: Vec<u8>,
    /// Whether the principal is there already, and the passkey is a further one.
    is_there: bool,
}

impl People {
    pub(super) fn begin_registration(
        &self,
        db: &Database,
        wish: Wish,
        display_name: String,
        origin: &Origin,
        now: u64,
    ) -> Result<Reply, Error> {
        let Admitted {
            admission,
            principal,
            display_name,
            scopes,
            reference,
            is_there,
        } = self.admit(db, wish, display_name, origin, now)?;
        let context = principal.as_str().as_bytes();
        let challenge = self
            .challenges
            .make(Ceremony::Registration, context, random()?, now);
        let exclude = if is_there {
            self.passkeys_of(db, &principal)?
        } else {
            Vec::new()
        };
        db.transact(|db| {
            if admission == Admission::Session {
                // A session that asks again begins anew.
                let statement = "DELETE FROM registrations WHERE principal = ? AND reference = ?";
                let same = SqlStorageValue::Blob(reference.clone());
                db.execute(statement, vec![principal.as_str().into(), same])?;
            }
            if let Some(limit) = most_waiting(admission) {
                let query = "SELECT COUNT(*) FROM registrations \
                             WHERE admission = ? AND reference = ? AND expires_at > ?";
                let same = vec![
                    admission.as_str().into(),
                    SqlStorageValue::Blob(reference.clone()),
                    integer(now)?,
                ];
                let waiting = db.rows(query, same)?.into_iter().next();
                if waiting.map_or(Ok(0), |mut row| row.integer())? >= limit {
                    if admission != Admission::Open {
                        return Err(Error::TooManyTries(60));
                    }
                    // Who never comes keeps nobody out: the oldest of them begins anew if it comes after all.
                    let oldest = "DELETE FROM registrations WHERE challenge = (SELECT challenge FROM registrations \
                                  WHERE admission = ? AND reference = ? ORDER BY expires_at LIMIT 1)";
                    let same = SqlStorageValue::Blob(reference.clone());
                    db.execute(oldest, vec![admission.as_str().into(), same])?;
                }
            }
            let arguments = vec![
                SqlStorageValue::Blob(challenge.to_vec()),
                principal.as_str().into(),
                admission.as_str().into(),
                SqlStorageValue::Blob(reference),
                display_name.as_str().into(),
                integer(now + LIFETIME_SECS)?,
            ];
            let statement = "INSERT INTO registrations VALUES (?, ?, ?, ?, ?, ?)";
            db.execute(statement, arguments)?;
            Ok(())
        })?;
        Ok(Reply::RegistrationBegun(RegistrationBegun {
            is_first: admission == Admission::Bootstrap,
            principal,
            display_name,
            scopes,
            challenge,
            exclude,
        }))
    }

    /// Who may register with what is presented.
    fn admit(
        &self,
        db: &Database,
        wish: Wish,
        display_name: String,
        origin: &Origin,
        now: u64,
    ) -> Result<Admitted, Error> {
        let doors = self.doors(db)?;
        let somebody = |admission, scopes, reference| {
            Ok(Admitted {
                admission,
                principal: PrincipalId::from_random(random()?),
                display_name: display_name.clone(),
                scopes,
                reference,
                is_there: false,
            })
        };
        let (admission, presented) = match wish {
            Wish::Code(presented) => (doors.for_code()?, presented),
            Wish::Recovery(presented) => (doors.for_recovery()?, presented),
            Wish::Invite(token) => {
                let invite = self.find_invite(db, token, now)?;
                let scopes = scopes_of(&invite.terms.grants(now)?);
                let admitted = somebody(Admission::Invite, scopes, token.to_vec())?;
                return Ok(match invite.person()? {
                    Some(owner) => Admitted {
                        principal: owner.principal.clone(),
                        display_name: owner.name.clone(),
                        is_there: true,
                        ..admitted
                    },
                    None => admitted,
                });
            }
            Wish::Session(hash) => {
                let session = db.transact(|db| self.session(db, hash, now))?;
                self.permit_further(db, &session, now)?;
                return Ok(Admitted {
                    admission: Admission::Session,
                    principal: session.principal,
                    display_name: session.display_name,
                    scopes: session.scopes,
                    reference: session.id.into_bytes(),
                    is_there: true,
                });
            }
            Wish::Nothing => {
                return somebody(doors.for_anybody()?, Scopes::of_anybody(), Vec::new());
            }
        };
        self.check_code(db, &presented, origin, now)?;
        somebody(admission, Scopes::of_administrator(), presented.to_vec())
    }

    /// Whether a code is the operator's. A wrong one is counted, and told to the operator; it commits by
    /// itself, so this can't be within a transaction.
    pub(in crate::signing_authority) fn check_code(
        &self,
        db: &Database,
        presented: &[u8; 32],
        origin: &Origin,
        now: u64,
    ) -> Result<(), Error> {
        let slow = |secs| Error::TooManyTries(u32::try_from(secs).unwrap_or(u32::MAX));
        let source = origin.counted();
        if let Some(source) = &source {
            let permit = self.throttle.borrow().permit(source, now);
            permit.map_err(slow)?;
        }
        if self.is_current_code(presented) {
            return Ok(());
        }
        let counted = self.throttle.borrow_mut().failed(source.as_deref(), now);
        counted.map_err(slow)?;
        let details = json!({});
        db.transact(|db| trail(db, now, None, "bootstrap.refused", None, origin, &details))?;
        Err(Error::BadBootstrapCode)
    }

    /// Whether this is the hash of the code that is configured. Both are hashes: the time that it takes
    /// says nothing about the code.
    fn is_current_code(&self, hash: &[u8]) -> bool {
        self.code.as_ref().map(|code| &code.hash()[..]) == Some(hash)
    }

    /// Whether anybody may be the first administrator by a code: where nobody may no code is looked at.
    pub(in crate::signing_authority) fn await_first(&self, db: &Database) -> Result<(), Error> {
        let waits = self.doors(db)?.for_code();
        waits.map(drop).map_err(|_| Error::BadBootstrapCode)
    }

    /// Whether whoever has this code may be the first administrator without a passkey, at this moment.
    pub(super) fn permit_first(&self, db: &Database, code: &[u8; 32]) -> Result<(), Error> {
        let is_open = self.doors(db)?.for_code().is_ok();
        if is_open && self.is_current_code(code) {
            Ok(())
        } else {
            Err(Error::BadBootstrapCode)
        }
    }

    /// Makes a principal of whoever is issued a pair and is none yet. In the transaction that issues.
    #[expect(clippy::unused_self, reason = "who there is, is asked of people")]
    pub(in crate::signing_authority) fn admit_holder(
        &self,
        db: &Database,
        holder: &Holder,
        way_in: &WayIn,
        now: u64,
    ) -> Result<Option<String>, Error> {
        let (code, principal, display_name, origin) = match holder {
            Holder::Session(_) => {
                return Ok(match way_in {
                    WayIn::Known(authenticator) => authenticator.clone(),
                    _ => None,
                });
            }
            Holder::Identified(newcomer) => return identities::admit(db, newcomer, way_in, now),
            Holder::First {
                code,
                principal,
                display_name,
                origin,
            } => (code, principal, display_name, origin),
        };
        let scopes = Scopes::of_administrator();
        use_up(db, code, principal, now)?;
        let grants = scopes.for_good();
        insert_principal(
            db,
            principal,
            Sort::Workload,
            display_name,
            &grants,
            None,
            now,
        )?;
        let details = json!({
            "admission": Admission::Bootstrap.as_str(),
            "method": BY_CODE,
            "display_name": display_name,
            "scopes": scopes.names(),
        });
        let actor = Some(principal.as_str());
        trail(
            db,
            now,
            actor,
            "principal.registered",
            actor,
            origin,
            &details,
        )?;
        Ok(None)
    }

    /// In the transaction of its effect: what was true when options were asked for may be over.
    pub(super) fn register(
        &self,
        db: &Database,
        registration: &Register,
        now: u64,
    ) -> Result<SessionFacts, Error> {
        let Register {
            principal,
            passkey,
            origin,
            session,
            ..
        } = registration;
        let query = "DELETE FROM registrations WHERE challenge = ? AND principal = ? AND expires_at > ? \
                     RETURNING admission, reference, display_name";
        let challenge = SqlStorageValue::Blob(registration.challenge.to_vec());
        let arguments = vec![challenge, principal.as_str().into(), integer(now)?];
        let waiting = db.rows(query, arguments)?;
        let mut waiting = waiting.into_iter().next().ok_or(Error::BadChallenge)?;
        let (admission, reference) = (waiting.text()?, waiting.blob()?);
        let name = waiting.text()?;
        let admission = Admission::parse(&admission)
            .ok_or_else(|| Fault::Internal(format!("a registration by {admission}")))?;
        if registration
            .invite
            .is_some_and(|token| token[..] != reference)
        {
            return Err(Error::BadInvite);
        }
        if self.find_passkey(db, &passkey.id)?.is_some() {
            return Err(Error::CredentialKnown);
        }
        if admission == Admission::Session {
            return self.register_further(db, registration, &reference, now);
        }
        let doors = self.doors(db)?;
        let (grants, invite) = match admission {
            Admission::Bootstrap | Admission::Recovery => {
                let is_first = doors.first_boot() == FirstBoot::Armed;
                let is_expected = is_first == (admission == Admission::Bootstrap);
                if !self.is_current_code(&reference) || !doors.has_unused_code || !is_expected {
                    return Err(Error::BadBootstrapCode);
                }
                use_up(db, &reference, principal, now)?;
                (Scopes::of_administrator().for_good(), None)
            }
            Admission::Invite => {
                let token = reference.try_into().map_err(internal)?;
                let invite = self.find_invite(db, token, now)?;
                (invite.terms.grants(now)?, Some(invite))
            }
            Admission::Open | Admission::Session => {
                doors.for_anybody()?;
                (Scopes::of_anybody().for_good(), None)
            }
        };
        let owner = invite.as_ref().map_or(Ok(None), InviteRow::person)?;
        match owner {
            // The registration is of who the invite was for, and its challenge too.
            Some(owner) if owner.principal != *principal => return Err(Error::BadInvite),
            Some(_) => {}
            None => {
                let maker = invite.as_ref().map(|invite| &invite.maker);
                insert_principal(db, principal, Sort::Human, &name, &grants, maker, now)?;
            }
        }
        if let Some(invite) = &invite {
            invite.redeem(db, principal, now)?;
        }
        let passkey_name = registration.name.as_deref();
        let authenticator = self.insert_passkey(db, principal, passkey, passkey_name, now)?;
        if let Some(previous) = registration.current {
            sign_out(db, previous, origin, now)?;
        }
        let session = begin_session(db, &authenticator, PASSKEY, *session, origin, now)?;
        let details = json!({
            "admission": admission.as_str(),
            "authenticator": authenticator,
            "display_name": name,
            "invite": invite.as_ref().map(|invite| &invite.id),
            "scopes": scopes_of(&grants).names(),
        });
        let (action, target) = match (admission, owner) {
            (Admission::Recovery, _) => ("administrator.recovered", principal.as_str()),
            (_, Some(_)) => ("authenticator.added", authenticator.as_str()),
            (_, None) => ("principal.registered", principal.as_str()),
        };
        let actor = Some(principal.as_str());
        trail(db, now, actor, action, Some(target), origin, &details)?;
        Ok(session)
    }

    /// Whether the holder of a session may add a passkey.
    fn permit_further(&self, db: &Database, holder: &SessionFacts, now: u64) -> Result<(), Error> {
        let is_first = self.passkeys_of(db, &holder.principal)?.is_empty();
        holder.permit_passkey(is_first, now)?;
        permit_way_in(db, &holder.principal)
    }

    /// A further passkey, for whoever has the session that asked for it.
    fn register_further(
        &self,
        db: &Database,
        registration: &Register,
        session_id: &[u8],
        now: u64,
    ) -> Result<SessionFacts, Error> {
        let Register {
            principal,
            passkey,
            origin,
            ..
        } = registration;
        let current = registration.current.ok_or(Error::NoSession)?;
        let holder = self.session(db, current, now)?;
        if holder.principal != *principal || holder.id.as_bytes() != session_id {
            return Err(Error::NoSession);
        }
        self.permit_further(db, &holder, now)?;
        let name = registration.name.as_deref();
        let authenticator = self.insert_passkey(db, principal, passkey, name, now)?;
        // A new passkey says nothing of who holds the others: it makes nothing fresh, and no grant due.
        rotate_session(db, current, registration.session, None, now)?;
        let details = json!({ "name": name.unwrap_or(UNNAMED), "session": holder.id });
        let (actor, target) = (Some(principal.as_str()), Some(authenticator.as_str()));
        let action = "authenticator.added";
        trail(db, now, actor, action, target, origin, &details)?;
        self.session(db, registration.session, now)
    }

    /// Adds a passkey to a principal; tells its authenticator's id.
    fn insert_passkey(
        &self,
        db: &Database,
        principal: &PrincipalId,
        passkey: &Passkey,
        name: Option<&str>,
        now: u64,
    ) -> Result<String, Error> {
        permit_way_in(db, principal)?;
        let authenticator = uuid(random()?);
        let arguments = vec![
            authenticator.as_str().into(),
            principal.as_str().into(),
            PASSKEY.into(),
            self.party()?.into(),
            encode_base64url(&passkey.id).into(),
            name.unwrap_or(UNNAMED).into(),
            integer(now)?,
        ];
        db.execute(
            "INSERT INTO authenticators VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7)",
            arguments,
        )?;
        let arguments = vec![
            authenticator.as_str().into(),
            signed(passkey.algorithm)?,
            SqlStorageValue::Blob(passkey.spki.clone()),
            integer(passkey.state.sign_count.into())?,
            SqlStorageValue::Blob(passkey.aaguid.to_vec()),
            Value::from(passkey.transports.clone()).to_string().into(),
            integer(passkey.backup_eligible.into())?,
            integer(passkey.state.backed_up.into())?,
            passkey.attestation.as_str().into(),
        ];
        db.execute(
            "INSERT INTO passkeys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            arguments,
        )?;
        Ok(authenticator)
    }
}

/// What a principal is.
#[derive(Clone, Copy)]
pub(super) enum Sort {
    Human,
    Workload,
}

pub(super) fn insert_principal(
    db: &Database,
    principal: &PrincipalId,
    sort: Sort,
    name: &str,
    grants: &[Grant],
    maker: Option<&PrincipalId>,
    now: u64,
) -> Result<(), Error> {
    let (id, maker) = (
        Text(principal.as_str()),
        maker.map_or(Null, |maker| Text(maker.as_str())),
    );
    let sort = Text(match sort {
        Sort::Human => "human",
        Sort::Workload => "workload",
    });
    db.run(
        "INSERT INTO principals VALUES (?1, ?2, ?3, ?4, ?5, NULL)",
        &[id, sort, Text(name), Number(now), maker],
    )?;
    for grant in grants {
        let until = grant.expires_at.map_or(Null, Number);
        let scope = Text(grant.scope.as_str());
        db.run(
            "INSERT INTO grants VALUES (?, ?, ?, ?, ?)",
            &[id, scope, maker, Number(now), until],
        )?;
    }
    Ok(())
}
