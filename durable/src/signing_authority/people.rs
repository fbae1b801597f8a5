//! People's rows: principals, passkeys, grants, sessions, and the trail of what was done.
//!
//! Each effect is one transaction, with the challenge that it burns and the line in the trail. A
//! ceremony that fails burns its challenge too, in a transaction of its own.

use std::cell::RefCell;

use notme_authority::http::Session;
use notme_authority::issue::IssueRequest;
use notme_authority::people::bootstrap::{BootstrapCode, FirstBoot};
use notme_authority::people::challenge::{Ceremony, ChallengeKey, LIFETIME_SECS};
use notme_authority::people::command::{
    Command, KnownPasskey, Origin, Passkey, PasskeyState, Reply, SessionFacts,
};
use notme_authority::people::mint::Mint;
use notme_authority::people::session::{self, Times};
use notme_authority::people::throttle::Throttle;
use notme_authority::people::{PrincipalId, Scope, Scopes, uuid};
use notme_authority::{Burn, Error, Fault};
use notme_keys::encode_base64url;
use serde_json::{Value, json};
use worker::SqlStorageValue;

use crate::host::{now_millis, random};
use crate::sql::{Database, Row, integer, internal};

/// What makes and remembers people.
pub(super) struct People {
    code: Option<BootstrapCode>,
    /// What passkeys call this authority.
    party: String,
    trust_domain: String,
    challenges: ChallengeKey,
    throttle: RefCell<Throttle>,
}

/// How somebody may register who waits for their authenticator.
const BOOTSTRAP: &str = "bootstrap";
/// The kind of authenticator that a passkey is, and the method of a session that began with one.
const PASSKEY: &str = "passkey";
const CHALLENGES: &str = "challenges";

impl People {
    /// Loads the key of challenges, or makes it.
    pub(super) fn open(
        db: &Database,
        code: Option<BootstrapCode>,
        party: String,
        trust_domain: String,
    ) -> Result<Self, Error> {
        let query = "SELECT value FROM secrets WHERE name = ?";
        let stored = db.rows(query, vec![CHALLENGES.into()])?.into_iter().next();
        let key = match stored {
            Some(mut row) => row.blob()?.try_into().map_err(internal)?,
            None => {
                let key = random::<32>()?;
                let arguments = vec![CHALLENGES.into(), SqlStorageValue::Blob(key.to_vec())];
                db.execute("INSERT INTO secrets VALUES (?, ?)", arguments)?;
                key
            }
        };
        Ok(Self {
            code,
            party,
            trust_domain,
            challenges: ChallengeKey::new(key),
            throttle: RefCell::default(),
        })
    }

    #[inline(never)]
    pub(super) fn answer(&self, db: &Database, command: Command) -> Result<Reply, Error> {
        let now = now_millis() / 1000;
        match command {
            Command::BeginRegistration {
                code,
                display_name,
                origin,
            } => self.begin_registration(db, code, display_name, &origin, now),
            Command::Register {
                principal,
                challenge,
                passkey,
                session,
                origin,
            } => {
                let context = principal.as_str().as_bytes();
                let burn = self.recognize(Ceremony::Registration, context, &challenge, now)?;
                let work =
                    |db: &Database| self.register(db, &principal, &passkey, session, &origin, now);
                burning(db, burn, work).map(Reply::Session)
            }
            Command::BeginSignIn => {
                let challenge = self.challenges.make(Ceremony::SignIn, b"", random()?, now);
                Ok(Reply::SignInBegun(challenge))
            }
            Command::FindPasskey(id) => Ok(Reply::Passkey(self.find_passkey(db, &id)?)),
            Command::SignIn {
                credential,
                challenge,
                state,
                session,
                origin,
            } => {
                let burn = self.recognize(Ceremony::SignIn, b"", &challenge, now)?;
                let work =
                    |db: &Database| self.sign_in(db, &credential, state, session, &origin, now);
                burning(db, burn, work).map(Reply::Session)
            }
            Command::Spend {
                principal,
                challenge,
            } => {
                let (ceremony, context) = match &principal {
                    Some(principal) => (Ceremony::Registration, principal.as_str().as_bytes()),
                    None => (Ceremony::SignIn, &b""[..]),
                };
                // What isn't ours needs no burning.
                if let Ok(burn) = self.recognize(ceremony, context, &challenge, now) {
                    db.transact(|db| spend(db, burn))?;
                }
                Ok(Reply::Done)
            }
            Command::Session(hash) => db
                .transact(|db| self.authorize(db, hash, Session::Used, now))
                .map(Reply::Session),
            Command::BeginPossession(session) => {
                db.transact(|db| self.session(db, session, now))?;
                let challenge =
                    self.challenges
                        .make(Ceremony::Possession, &session, random()?, now);
                Ok(Reply::PossessionBegun(challenge))
            }
            Command::SignOut { session, origin } => {
                db.transact(|db| sign_out(db, session, &origin, now))?;
                Ok(Reply::Done)
            }
        }
    }

    /// What to issue to the holder of a session, as of now.
    pub(super) fn mint(&self, db: &Database, mint: &Mint, now: u64) -> Result<IssueRequest, Error> {
        let session = self.session(db, mint.session, now)?;
        let recognize = |challenge: &[u8; 32]| {
            self.recognize(Ceremony::Possession, &mint.session, challenge, now)
        };
        let burn = mint.challenge.as_ref().map(recognize).transpose()?;
        mint.decide(&session, &self.trust_domain, burn)
    }

    fn recognize(
        &self,
        ceremony: Ceremony,
        context: &[u8],
        challenge: &[u8],
        now: u64,
    ) -> Result<Burn, Error> {
        self.challenges
            .recognize(ceremony, context, challenge, now)
            .map_err(|_| Error::BadChallenge)
    }

    fn begin_registration(
        &self,
        db: &Database,
        code: Option<[u8; 32]>,
        display_name: String,
        origin: &Origin,
        now: u64,
    ) -> Result<Reply, Error> {
        let state = self.first_boot(db)?;
        let (FirstBoot::Armed, Some(presented)) = (state, code) else {
            return Err(Error::FirstBoot(state));
        };
        let permit = self.throttle.borrow().permit(&origin.source, now);
        permit.map_err(|secs| Error::TooManyTries(u32::try_from(secs).unwrap_or(u32::MAX)))?;
        if self.code.as_ref().map(BootstrapCode::hash) != Some(&presented) {
            self.throttle.borrow_mut().failed(&origin.source, now);
            let details = json!({});
            db.transact(|db| trail(db, now, None, "bootstrap.refused", None, origin, &details))?;
            return Err(Error::BadBootstrapCode);
        }
        let principal = PrincipalId::from_random(random()?);
        let challenge = self.challenges.make(
            Ceremony::Registration,
            principal.as_str().as_bytes(),
            random()?,
            now,
        );
        db.transact(|db| {
            db.execute(
                "DELETE FROM registrations WHERE expires_at <= ?",
                vec![integer(now)?],
            )?;
            let arguments = vec![
                principal.as_str().into(),
                BOOTSTRAP.into(),
                SqlStorageValue::Blob(presented.to_vec()),
                display_name.as_str().into(),
                integer(now + LIFETIME_SECS)?,
            ];
            db.execute(
                "INSERT INTO registrations VALUES (?, ?, ?, ?, ?)",
                arguments,
            )?;
            Ok(())
        })?;
        Ok(Reply::RegistrationBegun {
            principal,
            display_name,
            is_first: true,
            scopes: Scopes::of_administrator(),
            challenge,
        })
    }

    /// In the transaction of its effect: what was true when options were asked for may be over.
    fn register(
        &self,
        db: &Database,
        principal: &PrincipalId,
        passkey: &Passkey,
        session: [u8; 32],
        origin: &Origin,
        now: u64,
    ) -> Result<SessionFacts, Error> {
        let query = "DELETE FROM registrations WHERE principal = ? AND expires_at > ? \
                     RETURNING admission, reference, display_name";
        let waiting = db.rows(query, vec![principal.as_str().into(), integer(now)?])?;
        let mut waiting = waiting.into_iter().next().ok_or(Error::BadChallenge)?;
        let (admission, code, name) = (waiting.text()?, waiting.blob()?, waiting.text()?);
        if admission != BOOTSTRAP {
            return Err(Fault::Internal(format!("a registration by {admission}")).into());
        }
        if self.first_boot(db)? != FirstBoot::Armed
            || self.code.as_ref().map(|code| &code.hash()[..]) != Some(&code)
        {
            return Err(Error::BadBootstrapCode);
        }
        if self.find_passkey(db, &passkey.id)?.is_some() {
            return Err(Error::CredentialKnown);
        }
        let used = vec![
            SqlStorageValue::Blob(code),
            integer(now)?,
            principal.as_str().into(),
        ];
        db.execute("INSERT INTO used_codes VALUES (?, ?, ?)", used)?;
        let arguments = vec![
            principal.as_str().into(),
            name.as_str().into(),
            integer(now)?,
        ];
        db.execute(
            "INSERT INTO principals VALUES (?1, 'human', ?2, ?3, NULL, NULL)",
            arguments,
        )?;
        for scope in Scopes::of_administrator().iter() {
            let arguments = vec![
                principal.as_str().into(),
                scope.as_str().into(),
                integer(now)?,
            ];
            db.execute("INSERT INTO grants VALUES (?, ?, NULL, ?, NULL)", arguments)?;
        }
        let authenticator = self.insert_passkey(db, principal, passkey, now)?;
        begin_session(db, principal, &authenticator, session, origin, now)?;
        let details = json!({
            "admission": admission,
            "authenticator": authenticator,
            "display_name": name,
            "scopes": Scopes::of_administrator().names(),
        });
        let (actor, target) = (Some(principal.as_str()), Some(principal.as_str()));
        trail(
            db,
            now,
            actor,
            "principal.registered",
            target,
            origin,
            &details,
        )?;
        self.session(db, session, now)
    }

    fn insert_passkey(
        &self,
        db: &Database,
        principal: &PrincipalId,
        passkey: &Passkey,
        now: u64,
    ) -> Result<String, Error> {
        let authenticator = uuid(random()?);
        let arguments = vec![
            authenticator.as_str().into(),
            principal.as_str().into(),
            PASSKEY.into(),
            self.party.as_str().into(),
            encode_base64url(&passkey.id).into(),
            PASSKEY.into(),
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

    fn find_passkey(&self, db: &Database, id: &[u8]) -> Result<Option<KnownPasskey>, Error> {
        let query = "SELECT a.principal, p.algorithm, p.public_key, p.sign_count, p.aaguid, \
                     p.transports, p.backup_eligible, p.backed_up, p.attestation \
                     FROM authenticators a JOIN passkeys p ON p.authenticator = a.id \
                     WHERE a.kind = ? AND a.issuer = ? AND a.subject = ?";
        let arguments = vec![
            PASSKEY.into(),
            self.party.as_str().into(),
            encode_base64url(id).into(),
        ];
        let Some(mut row) = db.rows(query, arguments)?.into_iter().next() else {
            return Ok(None);
        };
        let owner = principal(&mut row)?;
        let algorithm = row.signed()?;
        let spki = row.blob()?;
        let sign_count = u32::try_from(row.integer()?).map_err(internal)?;
        let aaguid = row.blob()?.try_into().map_err(internal)?;
        let transports = serde_json::from_str(&row.text()?).map_err(internal)?;
        let backup_eligible = row.integer()? != 0;
        let backed_up = row.integer()? != 0;
        Ok(Some(KnownPasskey {
            owner,
            passkey: Passkey {
                id: id.to_vec(),
                algorithm,
                spki,
                aaguid,
                transports,
                backup_eligible,
                attestation: row.text()?,
                state: PasskeyState {
                    sign_count,
                    backed_up,
                    went_back: false,
                },
            },
        }))
    }

    fn sign_in(
        &self,
        db: &Database,
        credential: &[u8],
        state: PasskeyState,
        session: [u8; 32],
        origin: &Origin,
        now: u64,
    ) -> Result<SessionFacts, Error> {
        // It may have been removed, and its owner turned away, since it was looked up.
        let query = "SELECT a.id, a.principal FROM authenticators a \
                     JOIN principals p ON p.id = a.principal \
                     WHERE a.kind = ? AND a.issuer = ? AND a.subject = ? AND p.disabled_at IS NULL";
        let arguments = vec![
            PASSKEY.into(),
            self.party.as_str().into(),
            encode_base64url(credential).into(),
        ];
        let row = db.rows(query, arguments)?.into_iter().next();
        let mut row = row.ok_or(Error::UnknownPasskey)?;
        let (authenticator, owner) = (row.text()?, principal(&mut row)?);
        let arguments = vec![
            integer(state.sign_count.into())?,
            integer(state.backed_up.into())?,
            authenticator.as_str().into(),
        ];
        db.execute(
            // Of two answers at once the higher counter stays.
            "UPDATE passkeys SET sign_count = MAX(sign_count, ?), backed_up = ? WHERE authenticator = ?",
            arguments,
        )?;
        let arguments = vec![integer(now)?, authenticator.as_str().into()];
        db.execute(
            "UPDATE authenticators SET last_used_at = ? WHERE id = ?",
            arguments,
        )?;
        begin_session(db, &owner, &authenticator, session, origin, now)?;
        let details =
            json!({ "authenticator": authenticator, "counter_went_back": state.went_back });
        let actor = Some(owner.as_str());
        trail(db, now, actor, "session.began", actor, origin, &details)?;
        self.session(db, session, now)
    }

    /// The session with this hash, if it is good, with the grants of this moment.
    #[expect(clippy::unused_self, reason = "who there is, is asked of people")]
    fn session(&self, db: &Database, hash: [u8; 32], now: u64) -> Result<SessionFacts, Error> {
        let query = "SELECT s.principal, p.display_name, s.method, s.id, s.authenticator, \
                     s.created_at, s.seen_at, s.verified_at \
                     FROM sessions s JOIN principals p ON p.id = s.principal \
                     WHERE s.hash = ? AND p.disabled_at IS NULL";
        let blob = || SqlStorageValue::Blob(hash.to_vec());
        let row = db.rows(query, vec![blob()])?.into_iter().next();
        let mut row = row.ok_or(Error::NoSession)?;
        let (owner, display_name, method) = (principal(&mut row)?, row.text()?, row.text()?);
        let (id, authenticator) = (row.text()?, row.text()?);
        let times = Times {
            created_at: row.integer()?,
            seen_at: row.integer()?,
            verified_at: row.integer()?,
        };
        if times.is_over(now) {
            return Err(Error::NoSession);
        }
        if times.is_to_be_noted(now) {
            let statement = "UPDATE sessions SET seen_at = ? WHERE hash = ?";
            db.execute(statement, vec![integer(now)?, blob()])?;
        }
        let query = "SELECT scope FROM grants WHERE principal = ? AND (expires_at IS NULL OR expires_at > ?)";
        let granted = db.rows(query, vec![owner.as_str().into(), integer(now)?])?;
        let names = granted.into_iter().map(|mut row| row.text());
        let names = names.collect::<Result<Vec<_>, _>>()?;
        Ok(SessionFacts {
            principal: owner,
            display_name,
            scopes: names.iter().filter_map(|name| Scope::parse(name)).collect(),
            method,
            expires_at: times.created_at + session::LIFETIME_SECS,
            id,
            authenticator,
            fresh_until: times.fresh_until(),
        })
    }

    /// The session with this hash, if it is good and may do what a route asks for. In the transaction
    /// of what it does: its holder's grants may go at any time.
    pub(super) fn authorize(
        &self,
        db: &Database,
        hash: [u8; 32],
        needs: Session,
        now: u64,
    ) -> Result<SessionFacts, Error> {
        let session = self.session(db, hash, now)?;
        session.permit(needs, now)?;
        Ok(session)
    }

    fn first_boot(&self, db: &Database) -> Result<FirstBoot, Error> {
        let exists = |query, arguments| Ok::<_, Error>(!db.rows(query, arguments)?.is_empty());
        let has_unused_code = match &self.code {
            None => false,
            Some(code) => {
                let hash = SqlStorageValue::Blob(code.hash().to_vec());
                !exists("SELECT 1 FROM used_codes WHERE hash = ?", vec![hash])?
            }
        };
        let has_authenticator = exists("SELECT 1 FROM authenticators LIMIT 1", vec![])?;
        Ok(FirstBoot::of(has_authenticator, has_unused_code))
    }
}

/// Does `work` and burns its challenge in one transaction; if `work` fails, the challenge is burned
/// by itself.
fn burning<T>(
    db: &Database,
    burn: Burn,
    work: impl FnOnce(&Database) -> Result<T, Error>,
) -> Result<T, Error> {
    let done = db.transact(|db| {
        spend(db, burn)?;
        work(db)
    });
    if done.is_err() {
        // Used before, or now by failing: either way it is used.
        let _ = db.transact(|db| spend(db, burn));
    }
    done
}

fn spend(db: &Database, burn: Burn) -> Result<(), Error> {
    super::burn(db, &[burn]).map_err(|error| match error {
        Error::ProofUsed => Error::BadChallenge,
        error => error,
    })
}

fn begin_session(
    db: &Database,
    principal: &PrincipalId,
    authenticator: &str,
    hash: [u8; 32],
    origin: &Origin,
    now: u64,
) -> Result<(), Error> {
    let over = "DELETE FROM sessions WHERE created_at <= ?";
    let oldest = integer(now.saturating_sub(session::LIFETIME_SECS))?;
    db.execute(over, vec![oldest])?;
    let arguments = vec![
        SqlStorageValue::Blob(hash.to_vec()),
        uuid(random()?).into(),
        principal.as_str().into(),
        authenticator.into(),
        PASSKEY.into(),
        origin.source.as_str().into(),
        integer(now)?,
    ];
    db.execute(
        "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?7)",
        arguments,
    )?;
    Ok(())
}

fn sign_out(db: &Database, hash: [u8; 32], origin: &Origin, now: u64) -> Result<(), Error> {
    let query = "DELETE FROM sessions WHERE hash = ? RETURNING principal, id";
    let ended = db.rows(query, vec![SqlStorageValue::Blob(hash.to_vec())])?;
    if let Some(mut row) = ended.into_iter().next() {
        let (owner, id) = (principal(&mut row)?, row.text()?);
        let (actor, details) = (Some(owner.as_str()), json!({ "session": id }));
        trail(db, now, actor, "session.ended", actor, origin, &details)?;
    }
    Ok(())
}

/// Adds a line to the trail, in the transaction of what it tells.
fn trail(
    db: &Database,
    now: u64,
    actor: Option<&str>,
    action: &str,
    target: Option<&str>,
    origin: &Origin,
    details: &Value,
) -> Result<(), Error> {
    let maybe = |text: Option<&str>| text.map_or(SqlStorageValue::Null, Into::into);
    let arguments = vec![
        integer(now)?,
        maybe(actor),
        action.into(),
        maybe(target),
        origin.source.as_str().into(),
        origin.request_id.as_str().into(),
        details.to_string().into(),
    ];
    db.execute(
        "INSERT INTO audit (at, actor, action, target, source, request_id, details) VALUES (?, ?, ?, ?, ?, ?, ?)",
        arguments,
    )?;
    Ok(())
}

fn principal(row: &mut Row) -> Result<PrincipalId, Fault> {
    PrincipalId::parse(&row.text()?).ok_or_else(|| internal("a stored principal's id"))
}

fn signed(value: i64) -> Result<SqlStorageValue, Fault> {
    SqlStorageValue::try_from_i64(value).map_err(internal)
}
