//! Access tokens: signed, and then what makes their request single is burned.

use std::rc::Rc;

use notme_authority::config::LogLevel;
use notme_authority::limits::Class;
use notme_authority::tokens::command::{By, Issue, Reply};
use notme_authority::tokens::proof::DpopProblem;
use notme_authority::tokens::{AccessToken, Code, Grant};
use notme_authority::{Error, Fault};

use super::people::People;
use super::{Loaded, MOST_TRIES, SigningAuthority, burn};
use crate::clock::now_millis;
use crate::host::{log, random};
use crate::sql::internal;

impl SigningAuthority {
    /// Issues a token. What its holder may do is read twice: it may change while the token is signed.
    ///
    /// A code is used up by whatever is wrong with its request, but for a nonce that has to be asked for and for
    /// faults of ours.
    pub(super) async fn token(&self, loaded: Rc<Loaded>, issue: &Issue) -> Result<Reply, Error> {
        let now = || now_millis() / 1000;
        let people = Rc::clone(&loaded.people);
        self.sweep(now())?;
        let opened = match &issue.by {
            By::Session { .. } => None,
            By::Code(redemption) => Some(people.open_code(redemption, now())?),
        };
        let (code, of_code) = opened.unzip();
        for _ in 0..MOST_TRIES {
            let decided = self
                .db
                .transact(|db| people.grant(db, issue, code.as_ref(), now()));
            let grant = match (decided, of_code) {
                (Ok(grant), _) => grant,
                (
                    Err(error @ (Error::Fault(_) | Error::Dpop(DpopProblem::NonceRequired(_), _))),
                    _,
                )
                | (Err(error), None) => return Err(error),
                (Err(error), Some(of_code)) => {
                    // Whoever shows it wrongly has used it up; if it was used before, they may have caught it.
                    let used = self.db.transact(|db| burn(db, &[of_code]));
                    if let (Err(Error::ProofUsed), Some(code)) = (used, &code) {
                        self.tell_reuse(&people, code, issue, now())?;
                    }
                    return Err(error);
                }
            };
            people.permit(Class::Tokens, &grant.share, now())?;
            let (token, signature) = self.sign_token(Rc::clone(&loaded), &grant).await?;
            let burned = self.db.transact(|db| {
                if people.grant(db, issue, code.as_ref(), now())? != grant {
                    return Ok(false);
                }
                people.permit(Class::Tokens, &grant.share, now())?;
                if let Some(of_code) = of_code {
                    burn(db, &[of_code])?;
                }
                if let Some(key) = &issue.key {
                    burn(db, &[key.burn]).map_err(|error| match error {
                        Error::ProofUsed => DpopProblem::Reused.into(),
                        error => error,
                    })?;
                }
                Ok(true)
            });
            match (burned, &code) {
                (Ok(false), _) => {}
                (Ok(true), _) => {
                    people.charge(Class::Tokens, &grant.share, now());
                    return Ok(Reply::Issued {
                        id: token.id().to_owned(),
                        principal: grant.principal.as_str().to_owned(),
                        body: token.into_answer(&signature),
                        nonce: people.next_nonce(now())?,
                    });
                }
                (Err(Error::ProofUsed), Some(code)) => {
                    // Somebody else may have it. What came of its first use can't be called back, and ends in
                    // five minutes; whoever looks after this authority should know.
                    self.tell_reuse(&people, code, issue, now())?;
                    return Err(Error::InvalidGrant);
                }
                (Err(error), _) => return Err(error),
            }
        }
        Err(internal("what a holder may do changed each time that it was looked at").into())
    }

    fn tell_reuse(
        &self,
        people: &People,
        code: &Code,
        issue: &Issue,
        now: u64,
    ) -> Result<(), Error> {
        let fields = [("client", code.client.as_str().into())];
        log(LogLevel::Warn, "code_reused", fields);
        self.db
            .transact(|db| people.note_reuse(db, code, &issue.origin, now))
    }

    /// Makes a token of the epoch that is in force afterwards: one of an epoch that ended meanwhile would be worth
    /// nothing. Nothing is awaited between its last look and what the caller then writes.
    async fn sign_token(
        &self,
        mut loaded: Rc<Loaded>,
        grant: &Grant,
    ) -> Result<(AccessToken, [u8; 64]), Fault> {
        loop {
            let issuer = loaded.people.token_issuer();
            let now = now_millis() / 1000;
            let token = AccessToken::new(grant, issuer, &loaded.key_id, random()?, now);
            let signature = loaded.key.sign(token.message()).await?;
            let current = self.loaded.borrow().clone();
            match current {
                Some(current) if current.epoch != loaded.epoch => loaded = current,
                _ => return Ok((token, signature)),
            }
        }
    }
}
