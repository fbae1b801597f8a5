//! People's rows: principals, passkeys, grants, sessions, and the trail of what was done.
//!
//! Each effect is committed with the challenge that it burns and the line in the trail. A ceremony that
//! fails burns its challenge too, by itself, unless nothing is wrong with it.

mod connections;
pub(super) mod identities;
mod invites;
mod own;
mod registration;
mod tokens;

pub(super) use invites::scopes_of;

use std::cell::RefCell;

use notme_authority::config::Config;
use notme_authority::delegation::DelegationProblem;
use notme_authority::http::Session;
use notme_authority::issue::IssueRequest;
use notme_authority::limits::{Class, Limiter, RateLimits, share, share_of_pairs};
use notme_authority::people::admission::Doors;
use notme_authority::people::bootstrap::BootstrapCode;
use notme_authority::people::ceremony::{SignIn, answered};
use notme_authority::people::challenge::{Ceremony, ChallengeKey};
use notme_authority::people::command::{
    Command, KnownPasskey, Origin, Passkey, PasskeyState, Reply, SessionFacts, Shown,
};
use notme_authority::people::mint::{BY_CODE, Holder, Lasting, Mint, Naming, Subject};
use notme_authority::people::session::{self, Times};
use notme_authority::people::throttle::Throttle;
use notme_authority::people::{Grant, PrincipalId, Scope, Scopes, own as documents, uuid};
use notme_authority::tokens::TokenRules;
use notme_authority::{Burn, CeremonyError, Error, Fault};
use notme_keys::encode_base64url;
use notme_webauthn::{Counter, RelyingParty};
use serde_json::{Value, json};
use worker::SqlStorageValue;

use self::identities::{Remembered, WayIn};
use super::admin::permit_row;
use super::delegations;
use crate::clock::now_millis;
use crate::host::random;
use crate::settling::settle_all;
use crate::sql::{Argument, Database, Row, integer, internal, platform};

/// What makes and remembers people.
pub(super) struct People {
    config: Config,
    code: Option<BootstrapCode>,
    /// Whether anybody may register.
    is_open: bool,
    /// What passkeys call this authority; nothing if there can be none.
    party: Option<RelyingParty>,
    naming: Naming,
    challenges: ChallengeKey,
    throttle: RefCell<Throttle>,
    /// What identities were given of late, and how much one may be, per minute.
    given: RefCell<Limiter>,
    limits: RateLimits,
    tokens: TokenRules,
    /// Who came in of late.
    remembered: RefCell<Remembered>,
}

/// A passkey as it is stored.
struct Found {
    authenticator: String,
    last_used_at: u64,
    known: KnownPasskey,
}

/// A passkey that was shown, and is good.
struct Seen {
    found: Found,
    state: PasskeyState,
    /// When, in Unix seconds.
    now: u64,
}

/// What operators are told of the key.
pub(super) struct KeyFacts<'a> {
    pub(super) epoch: u64,
    /// The number of the last bundle.
    pub(super) seqno: u64,
    pub(super) key_id: &'a str,
}

/// The kind of authenticator that a passkey is, and the method of a session that began with one.
const PASSKEY: &str = "passkey";
const CHALLENGES: &str = "challenges";
/// What a passkey is called whose owner gave it no name.
const UNNAMED: &str = "passkey";

/// Passkeys as they are stored, for a condition on authenticators `a`.
macro_rules! passkeys_where {
    ($condition:literal) => {
        concat!(
            "SELECT a.id, IFNULL(a.last_used_at, 0), a.subject, a.principal, p.algorithm, p.public_key, ",
            "p.sign_count, p.aaguid, p.transports, p.backup_eligible, p.backed_up, p.attestation ",
            "FROM authenticators a JOIN passkeys p ON p.authenticator = a.id WHERE ",
            $condition
        )
    };
}

impl People {
    /// Loads the key of challenges, or makes it.
    pub(super) fn open(db: &Database, config: &Config) -> Result<Self, Error> {
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
            config: config.clone(),
            code: config.bootstrap_code.clone(),
            is_open: config.registration_open,
            party: config.relying_party.clone(),
            naming: config.naming(),
            challenges: ChallengeKey::new(key),
            throttle: RefCell::default(),
            given: RefCell::default(),
            limits: config.rate_limits,
            tokens: config.tokens.clone(),
            remembered: RefCell::default(),
        })
    }

    /// Whether another one of what a class is about may be given out of this share.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`].
    pub(super) fn permit(&self, class: Class, share: &str, now: u64) -> Result<(), Error> {
        self.given.borrow().permit(&keyed(class.name(), share), now)
    }

    /// Counts one that was given out of it.
    pub(super) fn charge(&self, class: Class, share: &str, now: u64) {
        self.take(class.name(), share, self.limits.identity, now);
    }

    /// Counts one, if there is one left.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`].
    pub(super) fn count(&self, class: Class, share: &str, now: u64) -> Result<(), Error> {
        self.permit(class, share, now)?;
        self.charge(class, share, now);
        Ok(())
    }

    /// Whether somebody who is new may come in: a vouching party that makes subjects up fills our storage no faster
    /// than this, from wherever it is done. Those who are known come in meanwhile.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`].
    pub(super) fn permit_newcomer(
        &self,
        holder: &Holder,
        way_in: &WayIn,
        now: u64,
    ) -> Result<(), Error> {
        match newcomers(holder, way_in) {
            Some(whose) => self.given.borrow().permit(&keyed(NEWCOMERS, &whose), now),
            None => Ok(()),
        }
    }

    /// Counts one who came in.
    pub(super) fn charge_newcomer(&self, holder: &Holder, way_in: &WayIn, now: u64) {
        if let Some(whose) = newcomers(holder, way_in) {
            self.take(NEWCOMERS, &whose, self.limits.newcomers, now);
        }
    }

    fn take(&self, what: &str, of: &str, size: Option<u32>, now: u64) {
        if let Some(size) = size {
            self.given.borrow_mut().charge(&keyed(what, of), size, now);
        }
    }

    /// Whose share a pair is.
    pub(super) fn share(db: &Database, request: &IssueRequest) -> Result<String, Error> {
        let shown = &request.evidence.auth_method;
        share_of(db, &request.principal, request.renews, shown)
    }

    #[inline(never)]
    pub(super) fn answer(
        &self,
        db: &Database,
        command: Command,
        key: &KeyFacts<'_>,
    ) -> Result<Reply, Error> {
        let now = now_millis() / 1000;
        match command {
            Command::Door => {
                let door = documents::door(&self.doors(db)?, self.party().ok());
                Ok(Reply::Document(door.to_string()))
            }
            Command::BeginRegistration {
                wish,
                display_name,
                origin,
            } => self.begin_registration(db, wish, display_name, &origin, now),
            Command::Register(registration) => {
                let context = registration.principal.as_str().as_bytes();
                let challenge = &registration.challenge;
                let burn = self.recognize(Ceremony::Registration, context, challenge, now)?;
                burning(db, burn, |db| self.register(db, &registration, now)).map(Reply::Session)
            }
            Command::AnybodysKey => Ok(Reply::AnybodysKey(self.challenges.anybodys().clone())),
            Command::BeginStepUp(session) => db.transact(|db| {
                let holder = self.session(db, session, now)?.principal;
                Ok(Reply::StepUpBegun {
                    challenge: self
                        .challenges
                        .make(Ceremony::StepUp, &session, random()?, now),
                    allow: self.passkeys_of(db, &holder)?,
                })
            }),
            Command::Spend {
                ceremony,
                context,
                challenge,
            } => {
                // What isn't ours needs no burning.
                if let Ok(burn) = self.recognize(ceremony, &context, &challenge, now) {
                    db.transact(|db| spend(db, burn))?;
                }
                Ok(Reply::Done)
            }
            Command::Session(hash) => db
                .transact(|db| self.session(db, hash, now))
                .map(Reply::Session),
            Command::BeginPossession(session) => {
                db.transact(|db| self.session(db, session, now))?;
                let challenge =
                    self.challenges
                        .make(Ceremony::Possession, &session, random()?, now);
                Ok(Reply::Challenge(challenge))
            }
            Command::SignOut { session, origin } => {
                db.transact(|db| sign_out(db, session, &origin, now))?;
                Ok(Reply::Done)
            }
            Command::Own {
                session,
                act,
                origin,
            } => db.transact(|db| self.own(db, session, act, &origin, now)),
            Command::Invite {
                session,
                draft,
                token,
                origin,
            } => db.transact(|db| self.invite(db, session, &draft, token, &origin, now)),
            Command::Invitation(token) => self.invitation(db, token, now),
            Command::Status(session) => db.transact(|db| self.status(db, session, key, now)),
            Command::BeginConnection(session) => {
                let holder = db.transact(|db| self.session(db, session, now))?;
                holder.require_fresh(now)?;
                let ceremony = Ceremony::Connection;
                let challenge = self.challenges.make(ceremony, &session, random()?, now);
                Ok(Reply::Challenge(challenge))
            }
            Command::Connect(proven) => self.connect(db, &proven, now),
            Command::Identify { proven, session } => self.identify(db, &proven, session, now),
            Command::JoinBy {
                proven,
                invite,
                principal,
                display_name,
                session,
            } => self.join_by(
                db,
                &proven,
                invite,
                (&principal, &display_name),
                session,
                now,
            ),
            Command::SignIn(_) | Command::StepUp(_) => {
                Err(internal("shown, and not looked at").into())
            }
        }
    }

    /// Begins a session for whoever shows a passkey.
    pub(super) async fn sign_in(&self, db: &Database, shown: &Shown) -> Result<Reply, Error> {
        let (seen, burn) = self.look(db, shown, Ceremony::SignIn, b"").await?;
        let (now, origin) = (seen.now, &shown.origin);
        let begin = |db: &Database| {
            let authenticator = &seen.found.authenticator;
            let session = begin_session(db, authenticator, PASSKEY, shown.session, origin, now)?;
            note_use(db, &seen)?;
            let details = json!({
                "authenticator": session.authenticator,
                "counter_went_back": seen.state.went_back,
            });
            let actor = Some(session.principal.as_str());
            trail(db, now, actor, "session.began", actor, origin, &details)?;
            Ok(session)
        };
        // Whoever speaks for another way in uses up nothing of this one's.
        let way_in = seen.found.authenticator.as_str();
        self.permit(Class::Ceremonies, way_in, now)?;
        let begun = match shown.current {
            // Another session of this browser's would be forgotten, and go on.
            Some(previous) => burning(db, burn, |db| {
                sign_out(db, previous, origin, now)?;
                begin(db)
            }),
            None => db.together(|db| {
                spend(db, burn)?; // whatever comes of it
                begin(db).inspect_err(|_| {
                    // Nobody has its secret; it has no line either.
                    let hash = Argument::Bytes(&shown.session);
                    let _ = db.run("DELETE FROM sessions WHERE hash = ?", &[hash]);
                })
            }),
        };
        // What is shown again was used: it isn't taken off whose passkey it is.
        let begun = begun.inspect(|_| self.charge(Class::Ceremonies, way_in, now));
        begun.map(Reply::Session)
    }

    /// Goes on with a session whose holder shows one of their passkeys again.
    pub(super) async fn step_up(&self, db: &Database, shown: &Shown) -> Result<Reply, Error> {
        let current = shown.current.ok_or(Error::NoSession)?;
        let (seen, burn) = self.look(db, shown, Ceremony::StepUp, &current).await?;
        let way_in = seen.found.authenticator.as_str();
        self.permit(Class::Ceremonies, way_in, seen.now)?;
        let shown_again = burning(db, burn, |db| {
            let holder = self.session(db, current, seen.now)?;
            let Found {
                authenticator,
                known,
                ..
            } = &seen.found;
            // The passkey may have been removed since it was looked up.
            let query = "SELECT 1 FROM passkeys WHERE authenticator = ?";
            let is_there = exists(db, query, vec![authenticator.as_str().into()])?;
            if !is_there || known.owner != holder.principal {
                return Err(Error::UnknownPasskey);
            }
            note_use(db, &seen)?;
            let grants = grants(db, &holder.principal, seen.now)?;
            rotate_session(db, current, shown.session, Some(seen.now), seen.now)?;
            let details = json!({
                "session": holder.id,
                "authenticator": authenticator,
                "counter_went_back": seen.state.went_back,
            });
            let actor = Some(holder.principal.as_str());
            let (action, origin) = ("session.stepped_up", &shown.origin);
            trail(db, seen.now, actor, action, actor, origin, &details)?;
            Ok(SessionFacts {
                fresh_until: Times::starting(seen.now).fresh_until(seen.now, true),
                scopes: grants.iter().map(|grant| grant.scope).collect(),
                pending: Scopes::default(),
                ..holder
            })
        });
        let shown_again = shown_again.inspect(|_| self.charge(Class::Ceremonies, way_in, seen.now));
        shown_again.map(Reply::Session)
    }

    /// Verifies a passkey that is shown. If it is good, its challenge is the caller's to burn; if it isn't, the
    /// challenge is burned all the same. One that we couldn't look at may be shown again.
    async fn look(
        &self,
        db: &Database,
        shown: &Shown,
        ceremony: Ceremony,
        context: &[u8],
    ) -> Result<(Seen, Burn), Error> {
        let now = now_millis() / 1000;
        let recognize = |challenge: &[u8]| self.recognize(ceremony, context, challenge, now);
        let sign_in = match SignIn::parse(&shown.body) {
            Ok(sign_in) => sign_in,
            Err(error) => {
                // What can't be taken apart has answered its challenge too.
                if let Some((_, challenge)) = answered(&shown.body)
                    && let Ok(burn) = recognize(&challenge)
                {
                    let _ = db.transact(|db| spend(db, burn)); // used before, or now
                }
                return Err(error);
            }
        };
        let burn = recognize(sign_in.challenge.as_bytes())?;
        let id = sign_in.response.credential_id().as_bytes().to_vec();
        let verified = match self.find_passkey(db, &id)? {
            Some(found) => self
                .verify(&found.known, sign_in)
                .await
                .map(|state| (found, state)),
            None => Err(Error::UnknownPasskey),
        };
        let (found, state) = match verified {
            Ok(good) => good,
            Err(error) => {
                if !error.is_passing() {
                    db.transact(|db| spend(db, burn))?;
                }
                return Err(error);
            }
        };
        Ok((Seen { found, state, now }, burn))
    }

    /// Whether an assertion is the passkey's, and how the passkey is now.
    async fn verify(&self, known: &KnownPasskey, sign_in: SignIn) -> Result<PasskeyState, Error> {
        let failed = |error| Error::Ceremony(CeremonyError::SignIn(error));
        let SignIn {
            challenge,
            response,
        } = sign_in;
        let obliged = response.oblige(self.relying_party()?, &challenge, &known.stored()?);
        let obliged = obliged.map_err(failed)?;
        let outcomes = settle_all(obliged.checks()).await?;
        let assertion = obliged.settle(&outcomes).map_err(failed)?;
        Ok(PasskeyState {
            sign_count: assertion.sign_count,
            backed_up: assertion.backed_up,
            went_back: assertion.counter == Counter::WentBack,
        })
    }

    /// Does what a challenge for anybody was answered for; the challenge is used up by it, and by whatever is wrong.
    pub(super) fn answering<T>(
        &self,
        db: &Database,
        challenge: &[u8; 32],
        now: u64,
        work: impl FnOnce(&Database) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let burn = self.recognize(Ceremony::Possession, b"", challenge, now)?;
        burning(db, burn, work)
    }

    /// What to issue to this holder, as of now.
    pub(super) fn mint(
        &self,
        db: &Database,
        mint: &Mint,
        now: u64,
    ) -> Result<(IssueRequest, WayIn), Error> {
        let context = mint.holder.context();
        let recognize =
            |challenge: &[u8; 32]| self.recognize(Ceremony::Possession, context, challenge, now);
        let burn = mint.challenge.as_ref().map(recognize).transpose()?;
        // On a delegation what counts is what that is worth, and not what they may do themselves.
        let acting = |who: &PrincipalId| {
            let id = mint.delegation.as_ref();
            id.map(|id| delegations::acting(db, id, who, now))
                .transpose()
        };
        match &mint.holder {
            Holder::Session(hash) => {
                let session = self.session(db, *hash, now)?;
                let acting = acting(&session.principal)?;
                let asks_for_pending =
                    acting.is_none() && !session.pending.narrowed_to(&mint.scopes).is_empty();
                let own = Subject::from(&session);
                let subject = Subject {
                    scopes: acting
                        .as_ref()
                        .map_or(own.scopes, |acting| &acting.terms.scopes),
                    acting: acting.as_ref(),
                    ..own
                };
                let decided = mint.decide(subject, &self.naming, burn, now);
                let decided = decided.map_err(|error| match error {
                    Error::ScopesNotGranted { .. } if asks_for_pending => Error::StepUpRequired,
                    error => error,
                });
                Ok((decided?, WayIn::Known(Some(session.authenticator))))
            }
            Holder::First {
                code, principal, ..
            } => {
                self.permit_first(db, code)?;
                if mint.delegation.is_some() {
                    return Err(DelegationProblem::Unknown.into());
                }
                let subject = Subject {
                    principal,
                    scopes: &Scopes::of_administrator(),
                    method: BY_CODE,
                    acting: None,
                    evidence: Lasting::default(),
                };
                let decided = mint.decide(subject, &self.naming, burn, now)?;
                Ok((decided, WayIn::Known(None)))
            }
            Holder::Identified(newcomer) => {
                permit_row(db, newcomer.identified.row.as_ref())?;
                let find = |token| self.find_invite(db, token, now);
                let invite = mint.invite.map(find).transpose()?;
                let known = identities::known(db, newcomer, invite, now)?;
                if let WayIn::Used(_) = known.way_in {
                    self.remembered
                        .borrow_mut()
                        .keep(&newcomer.identified, &known);
                }
                // Else what was revoked would go on under its holder's own name.
                if known.on.is_some() && known.on != mint.delegation {
                    return Err(DelegationProblem::Bound.into());
                }
                let acting = acting(&known.principal)?;
                let scopes = acting
                    .as_ref()
                    .map_or(&known.granted, |acting| &acting.terms.scopes);
                let subject = Subject {
                    principal: &known.principal,
                    scopes: &scopes.narrowed_to(&known.ceiling),
                    method: &newcomer.identified.method,
                    acting: acting.as_ref(),
                    evidence: known.evidence,
                };
                let decided = mint.decide(subject, &self.naming, burn, now)?;
                Ok((decided, known.way_in))
            }
        }
    }

    /// What a proof came to when it was last looked at. It may be something else by now; then what is signed for it
    /// is thrown away. So a pair takes one look at who it is for, and not one before its signatures and one behind.
    pub(super) fn guess(&self, mint: &Mint, now: u64) -> Option<IssueRequest> {
        let Holder::Identified(newcomer) = &mint.holder else {
            return None;
        };
        if mint.delegation.is_some() || mint.invite.is_some() {
            return None;
        }
        let identified = &newcomer.identified;
        let remembered = self.remembered.borrow();
        let (principal, granted) = remembered.find(identified)?;
        let recognize =
            |challenge: &[u8; 32]| self.recognize(Ceremony::Possession, b"", challenge, now);
        let burn = mint.challenge.as_ref().map(recognize).transpose().ok()?;
        let subject = Subject {
            principal,
            scopes: &granted.narrowed_to(&identified.ceiling),
            method: &identified.method,
            acting: None,
            evidence: Lasting::of(identified),
        };
        mint.decide(subject, &self.naming, burn, now).ok()
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

    fn relying_party(&self) -> Result<&RelyingParty, Fault> {
        let party = self.party.as_ref();
        party.ok_or_else(|| internal("passkeys, and no relying party"))
    }

    /// The domain that passkeys are made for.
    fn party(&self) -> Result<&str, Fault> {
        self.relying_party().map(RelyingParty::id)
    }

    fn find_passkey(&self, db: &Database, id: &[u8]) -> Result<Option<Found>, Error> {
        let query = passkeys_where!("a.kind = ? AND a.issuer = ? AND a.subject = ?");
        let id = encode_base64url(id);
        let arguments = [
            Argument::Text(PASSKEY),
            Argument::Text(self.party()?),
            Argument::Text(&id),
        ];
        let row = db.ask(query, &arguments)?.into_iter().next();
        row.map(found).transpose()
    }

    /// The passkeys of a principal, the oldest first.
    fn passkeys_of(
        &self,
        db: &Database,
        principal: &PrincipalId,
    ) -> Result<Vec<KnownPasskey>, Error> {
        let query = passkeys_where!("a.principal = ? AND a.issuer = ? ORDER BY a.created_at, a.id");
        let arguments = [
            Argument::Text(principal.as_str()),
            Argument::Text(self.party()?),
        ];
        let rows = db.ask(query, &arguments)?.into_iter();
        rows.map(|row| Ok(found(row)?.known)).collect()
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
        let is_by_passkey = method == PASSKEY;
        let (scopes, pending) = granted(db, &owner, times, is_by_passkey, now)?;
        Ok(SessionFacts {
            principal: owner,
            display_name,
            scopes,
            pending,
            method,
            expires_at: times.created_at + session::LIFETIME_SECS,
            id,
            authenticator,
            fresh_until: times.fresh_until(now, is_by_passkey),
            has_shown_passkey: times.has_shown_passkey(is_by_passkey),
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

    /// What passkeys call this authority; empty if there can be none.
    pub(super) fn party_name(&self) -> &str {
        self.party.as_ref().map_or("", |party| party.id())
    }

    /// Which doors are open.
    fn doors(&self, db: &Database) -> Result<Doors, Error> {
        let has_unused_code = match &self.code {
            None => false,
            Some(code) => {
                let hash = SqlStorageValue::Blob(code.hash().to_vec());
                !exists(db, "SELECT 1 FROM used_codes WHERE hash = ?", vec![hash])?
            }
        };
        Ok(Doors {
            // Machines come in by authenticators of their own, and administer nothing.
            has_authenticator: exists(db, "SELECT 1 FROM passkeys LIMIT 1", vec![])?,
            has_unused_code,
            is_open: self.is_open,
        })
    }
}

/// What newcomers are counted as.
const NEWCOMERS: &str = "newcomers";

fn keyed(what: &str, of: &str) -> String {
    format!("{what}:{of}")
}

/// Whom somebody who is new is counted with: whoever the same rule lets in whom the same one vouches for.
fn newcomers(holder: &Holder, way_in: &WayIn) -> Option<String> {
    match (holder, way_in) {
        (Holder::Identified(newcomer), WayIn::New) => {
            let identified = &newcomer.identified;
            Some(format!("{} {}", identified.method, identified.rule))
        }
        _ => None,
    }
}

/// Whose share something is that is asked for by a proof of this method; with one of our pairs, that of the first of
/// those that it renews.
pub(super) fn share_of(
    db: &Database,
    principal: &PrincipalId,
    first: Option<u64>,
    shown: &str,
) -> Result<String, Error> {
    let Some(first) = first else {
        return Ok(share(principal, shown));
    };
    let query = "SELECT method FROM credentials WHERE id = ?";
    let row = db
        .ask(query, &[Argument::Number(first)])?
        .into_iter()
        .next();
    let method = row.map_or_else(|| Ok(shown.to_owned()), |mut row| row.text())?;
    Ok(share_of_pairs(principal, &method))
}

/// Whether somebody has a passkey of this authority's, which `party` is its name for. Who has none can show none, and
/// isn't asked to.
pub(in crate::signing_authority) fn has_passkey(
    db: &Database,
    party: &str,
    principal: &PrincipalId,
) -> Result<bool, Error> {
    let query = "SELECT 1 FROM authenticators WHERE principal = ? AND kind = 'passkey' AND issuer = ? LIMIT 1";
    exists(db, query, vec![principal.as_str().into(), party.into()])
}

fn exists(
    db: &Database,
    query: &'static str,
    arguments: Vec<SqlStorageValue>,
) -> Result<bool, Error> {
    Ok(!db.rows(query, arguments)?.is_empty())
}

/// What a session's principal may do in it at this moment, and what waits until a passkey is shown.
fn granted(
    db: &Database,
    principal: &PrincipalId,
    times: Times,
    is_by_passkey: bool,
    now: u64,
) -> Result<(Scopes, Scopes), Error> {
    let query = "SELECT scope, granted_at FROM grants \
                 WHERE principal = ? AND (expires_at IS NULL OR expires_at > ?)";
    let rows = db.rows(query, vec![principal.as_str().into(), integer(now)?])?;
    let (mut scopes, mut pending) = (Vec::new(), Vec::new());
    for mut row in rows {
        let (scope, granted_at) = (Scope::parse(&row.text()?), row.integer()?);
        let Some(scope) = scope else { continue };
        if times.makes_due(scope, granted_at, is_by_passkey) {
            scopes.push(scope);
        } else {
            pending.push(scope);
        }
    }
    Ok((scopes.into_iter().collect(), pending.into_iter().collect()))
}

/// What a principal is granted at this moment, and until when.
pub(super) fn grants(
    db: &Database,
    principal: &PrincipalId,
    now: u64,
) -> Result<Vec<Grant>, Error> {
    let query = "SELECT scope, expires_at FROM grants \
                 WHERE principal = ? AND (expires_at IS NULL OR expires_at > ?) ORDER BY scope";
    let rows = db.rows(query, vec![principal.as_str().into(), integer(now)?])?;
    let mut grants = Vec::with_capacity(rows.len());
    for mut row in rows {
        let (scope, expires_at) = (Scope::parse(&row.text()?), row.optional_integer()?);
        grants.extend(scope.map(|scope| Grant { scope, expires_at }));
    }
    Ok(grants)
}

/// A row of `passkeys_where!`.
fn found(mut row: Row) -> Result<Found, Error> {
    let (authenticator, last_used_at) = (row.text()?, row.integer()?);
    let id = notme_keys::decode_base64url(&row.text()?);
    let id = id.ok_or_else(|| internal("a stored credential id"))?;
    let owner = principal(&mut row)?;
    let algorithm = row.signed()?;
    let spki = row.blob()?;
    let sign_count = u32::try_from(row.integer()?).map_err(internal)?;
    let aaguid = row.blob()?.try_into().map_err(internal)?;
    let transports = serde_json::from_str(&row.text()?).map_err(internal)?;
    let backup_eligible = row.integer()? != 0;
    let backed_up = row.integer()? != 0;
    let known = KnownPasskey {
        owner,
        passkey: Passkey {
            id,
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
    };
    Ok(Found {
        authenticator,
        last_used_at,
        known,
    })
}

/// Notes that a passkey was shown.
fn note_use(db: &Database, seen: &Seen) -> Result<(), Error> {
    let Seen { found, state, now } = seen;
    let authenticator = Argument::Text(&found.authenticator);
    let before = found.known.passkey.state;
    if (before.sign_count, before.backed_up) != (state.sign_count, state.backed_up) {
        // Of two answers at once the higher counter stays.
        let statement = "UPDATE passkeys SET sign_count = MAX(sign_count, ?), backed_up = ? WHERE authenticator = ?";
        let arguments = [
            Argument::Number(state.sign_count.into()),
            Argument::Number(state.backed_up.into()),
            authenticator,
        ];
        db.run(statement, &arguments)?;
    }
    // As with sessions, using one isn't a write each time.
    if found.last_used_at + session::SEEN_GRAIN_SECS <= *now {
        let statement = "UPDATE authenticators SET last_used_at = ? WHERE id = ?";
        db.run(statement, &[Argument::Number(*now), authenticator])?;
    }
    Ok(())
}

/// Does `work` and burns its challenge in one transaction; if something is wrong with what was asked for, the challenge
/// is burned by itself.
fn burning<T>(
    db: &Database,
    burn: Burn,
    work: impl FnOnce(&Database) -> Result<T, Error>,
) -> Result<T, Error> {
    let done = db.transact(|db| {
        spend(db, burn)?;
        work(db)
    });
    if done.as_ref().is_err_and(|error| !error.is_passing()) {
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

/// Deletes what is over: sessions, and registrations that waited for too long.
pub(super) fn forget(db: &Database, now: u64) -> Result<(), Error> {
    let oldest = integer(now.saturating_sub(session::LIFETIME_SECS))?;
    db.execute("DELETE FROM sessions WHERE created_at <= ?", vec![oldest])?;
    let statement = "DELETE FROM registrations WHERE expires_at <= ?";
    db.execute(statement, vec![integer(now)?])?;
    Ok(())
}

/// How many sessions there are that began with one authenticator: the one that was unused for longest makes room.
const MOST_SESSIONS: u64 = 100;

/// Begins a session for whoever showed an authenticator, if it wasn't removed, nor its owner turned away, since
/// it was looked up: the statement that begins it looks again.
fn begin_session(
    db: &Database,
    authenticator: &str,
    method: &str,
    hash: [u8; 32],
    origin: &Origin,
    now: u64,
) -> Result<SessionFacts, Error> {
    let statement = "INSERT INTO sessions \
         SELECT ?1, ?2, a.principal, a.id, ?3, ?4, ?5, ?5, ?5 \
         FROM authenticators a JOIN principals o ON o.id = a.principal \
         WHERE a.id = ?6 AND o.disabled_at IS NULL \
         RETURNING principal, (SELECT display_name FROM principals o WHERE o.id = principal), \
         (SELECT group_concat(scope, ' ') FROM grants g WHERE g.principal = sessions.principal \
         AND (expires_at IS NULL OR expires_at > ?5))";
    let id = uuid(random()?);
    let arguments = [
        Argument::Bytes(&hash),
        Argument::Text(&id),
        Argument::Text(method),
        Argument::Text(&origin.source),
        Argument::Number(now),
        Argument::Text(authenticator),
    ];
    let row = db.ask(statement, &arguments)?.into_iter().next();
    let mut row = row.ok_or(Error::UnknownPasskey)?;
    // Whoever speaks for one way in crowds out sessions of that one alone, and those last in which a passkey was shown since.
    let crowded = "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE authenticator = ? AND id <> ? \
                   ORDER BY verified_at > created_at DESC, seen_at DESC, created_at DESC LIMIT -1 OFFSET ?) \
                   RETURNING id, principal";
    let arguments = [
        Argument::Text(authenticator),
        Argument::Text(&id),
        Argument::Number(MOST_SESSIONS - 1),
    ];
    for mut row in db.ask(crowded, &arguments)? {
        let (details, target) = (json!({ "session": row.text()?, "for": id }), row.text()?);
        let action = "session.crowded_out";
        trail(db, now, None, action, Some(&target), origin, &details)?;
    }
    let (principal, display_name) = (principal(&mut row)?, row.text()?);
    let scopes = row.optional_text()?.unwrap_or_default();
    let times = Times::starting(now);
    let is_by_passkey = method == PASSKEY;
    let scopes = scopes.split(' ').filter_map(Scope::parse);
    let (scopes, pending): (Vec<_>, Vec<_>) =
        scopes.partition(|scope| times.makes_due(*scope, now, is_by_passkey));
    Ok(SessionFacts {
        principal,
        display_name,
        scopes: scopes.into_iter().collect(),
        pending: pending.into_iter().collect(),
        method: method.to_owned(),
        expires_at: times.created_at + session::LIFETIME_SECS,
        id,
        authenticator: authenticator.to_owned(),
        fresh_until: times.fresh_until(now, is_by_passkey),
        has_shown_passkey: is_by_passkey,
    })
}

/// Goes on with a session under another secret: whoever knew the one before knows nothing now. `verified_at` is
/// when its holder showed an authenticator, if they just did.
fn rotate_session(
    db: &Database,
    current: [u8; 32],
    next: [u8; 32],
    verified_at: Option<u64>,
    now: u64,
) -> Result<(), Error> {
    let arguments = vec![
        SqlStorageValue::Blob(next.to_vec()),
        integer(now)?,
        SqlStorageValue::Blob(current.to_vec()),
        verified_at.map_or(Ok(SqlStorageValue::Null), integer)?,
    ];
    // Later than its beginning, also within a second: so it is known that a passkey was shown in it.
    let statement = "UPDATE sessions SET hash = ?1, seen_at = ?2, \
                     verified_at = IFNULL(MAX(?4, created_at + 1), verified_at) WHERE hash = ?3";
    if db.execute(statement, arguments)? == 0 {
        return Err(Error::NoSession);
    }
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

/// Makes what a principal's sessions were trusted with wait for a passkey, but for one: what was shown to them may
/// have been one that is gone.
pub(super) fn distrust_sessions(db: &Database, principal: &str, but: &str) -> Result<(), Error> {
    db.run(
        "UPDATE sessions SET verified_at = 0 WHERE principal = ? AND id <> ?",
        &[Argument::Text(principal), Argument::Text(but)],
    )
}

/// Adds a line to the trail, in the transaction of what it tells.
pub(super) fn trail(
    db: &Database,
    now: u64,
    actor: Option<&str>,
    action: &str,
    target: Option<&str>,
    origin: &Origin,
    details: &Value,
) -> Result<(), Error> {
    let details = details.to_string();
    db.run(
        "INSERT INTO audit (at, actor, action, target, source, request_id, details) VALUES (?, ?, ?, ?, ?, ?, ?)",
        &[
            Argument::Number(now),
            actor.map_or(Argument::Null, Argument::Text),
            Argument::Text(action),
            target.map_or(Argument::Null, Argument::Text),
            Argument::Text(&origin.source),
            Argument::Text(&origin.request_id),
            Argument::Text(&details),
        ],
    )
}

pub(super) fn principal(row: &mut Row) -> Result<PrincipalId, Fault> {
    PrincipalId::parse(&row.text()?).ok_or_else(|| internal("a stored principal's id"))
}

fn signed(value: i64) -> Result<SqlStorageValue, Fault> {
    SqlStorageValue::try_from_i64(value).map_err(platform)
}
