//! Who may have a token, and who lets an application have one.

use notme_authority::limits::Class;
use notme_authority::people::command::{Origin, SessionFacts};
use notme_authority::tokens::authorize::Consent;
use notme_authority::tokens::command::{By, Issue, Reply};
use notme_authority::tokens::{Code, Grant, Redemption, TokenRules, carried};
use notme_authority::{Burn, Error, Fault};

use super::{People, trail};
use crate::host::random;
use crate::sql::{Database, internal};

impl People {
    /// `iss` of tokens.
    pub(in crate::signing_authority) fn token_issuer(&self) -> &str {
        &self.tokens.issuer
    }

    /// The nonce for the next proof, where proofs need one.
    pub(in crate::signing_authority) fn next_nonce(
        &self,
        now: u64,
    ) -> Result<Option<String>, Fault> {
        if !self.tokens.requires_nonce {
            return Ok(None);
        }
        Ok(Some(TokenRules::nonce(&self.challenges, random()?, now)))
    }

    /// What the code of a request stands for, and what to burn.
    pub(in crate::signing_authority) fn open_code(
        &self,
        redemption: &Redemption,
        now: u64,
    ) -> Result<(Code, Burn), Error> {
        Code::open(&self.challenges, &redemption.code, now)
    }

    /// The token that may be issued for a request, as of now.
    pub(in crate::signing_authority) fn grant(
        &self,
        db: &Database,
        issue: &Issue,
        code: Option<&Code>,
        now: u64,
    ) -> Result<Grant, Error> {
        let session = match (&issue.by, code) {
            (By::Session { hash, .. }, _) => self.session(db, *hash, now)?,
            (By::Code(_), Some(code)) => self.session_of(db, code, now)?,
            (By::Code(_), None) => return Err(internal("a code that nobody opened").into()),
        };
        if let Some(key) = &issue.key {
            self.tokens
                .permit_nonce(&self.challenges, key, random()?, now)?;
        }
        let grant = issue.decide(&self.tokens, &session, code);
        grant.map_err(|error| match error {
            // What was consented to is over: there is one word for that.
            Error::ScopesNotGranted { .. }
            | Error::ScopesNotEligible { .. }
            | Error::AudienceNotAllowed(_)
            | Error::StepUpRequired
                if code.is_some() =>
            {
                Error::InvalidGrant
            }
            error => error,
        })
    }

    /// The session that a code was given to, if it is good.
    fn session_of(&self, db: &Database, code: &Code, now: u64) -> Result<SessionFacts, Error> {
        let query = "SELECT hash FROM sessions WHERE id = ?";
        let row = db.rows(query, vec![code.session.as_str().into()])?;
        let mut row = row.into_iter().next().ok_or(Error::InvalidGrant)?;
        let hash = row.blob()?.try_into().map_err(internal)?;
        self.session(db, hash, now).map_err(|error| match error {
            Error::NoSession => Error::InvalidGrant,
            error => error,
        })
    }

    /// A code for what somebody consents to.
    pub(in crate::signing_authority) fn consent(
        &self,
        db: &Database,
        consent: &Consent,
        now: u64,
    ) -> Result<Reply, Error> {
        let session = self.session(db, consent.session, now)?;
        self.count(Class::Tokens, &session.share(), now)?;
        let mut code = Code::from_bytes(&consent.code)?;
        code.scopes = carried(&code.scopes, &session)?;
        code.session = session.id;
        let details = code.told(&[
            ("redirect_uri", &consent.redirect_uri),
            ("audience", &code.audience),
            ("scope", &code.scopes.names().join(" ")),
        ]);
        let actor = Some(session.principal.as_str());
        let (action, origin) = ("authorization.granted", &consent.origin);
        trail(db, now, actor, action, actor, origin, &details)?;
        Ok(Reply::Code(code.seal(&self.challenges, random()?, now)?))
    }

    /// Notes that a code was shown that had been used. The lines have a share of their own, of the session that the code
    /// was given to: whoever caught a code would use up what its owner has for tokens.
    pub(in crate::signing_authority) fn note_reuse(
        &self,
        db: &Database,
        code: &Code,
        origin: &Origin,
        now: u64,
    ) -> Result<(), Error> {
        let query = "SELECT principal FROM sessions WHERE id = ?";
        let row = db.rows(query, vec![code.session.as_str().into()])?;
        let principal = row.into_iter().next().map(|mut row| row.text());
        // Of a session that is over there is nobody left.
        let principal = principal.transpose()?;
        let paying = format!("reuse:{}", code.session);
        if self.permit(Class::Tokens, &paying, now).is_err() {
            return Ok(());
        }
        self.charge(Class::Tokens, &paying, now);
        let (action, target) = ("authorization.code_reused", principal.as_deref());
        trail(db, now, None, action, target, origin, &code.told(&[]))
    }
}
