//! What the holder of a session lets others do on their behalf, and takes back.

use notme_authority::delegation::{DelegationProblem, Link, MAX_GIVEN, Terms, Wish};
use notme_authority::limits::{share, share_of_pairs};
use notme_authority::people::admin::{ItemId, Reply, actions};
use notme_authority::people::{Scope, Scopes, uuid};
use notme_authority::revocation::LATE_CLOCK_SECS;
use notme_authority::{Error, Fault};

use super::{Desk, hex};
use crate::host::random;
use crate::signing_authority::delegations::{self, From, Source, revoke_below};
use crate::signing_authority::people::has_passkey;
use crate::sql::Argument;
use crate::sql::Argument::{Null, Number, Text};

/// The pair that a wish is signed with.
pub(super) struct Proof {
    /// Its serial number.
    pub(super) serial: String,
    /// The first of the pairs that it renews; itself, if it renews none.
    pub(super) first: Option<u64>,
    /// The way in that they began with, if that is known.
    pub(super) way_in: Option<String>,
    /// When the proof is over that it was issued for, in Unix seconds.
    pub(super) until: u64,
}

impl Desk<'_> {
    /// Makes a delegation, of no more than `most`. It outlives who was robbed of a session, a token or a pair: so it
    /// takes a passkey that was shown a short while ago, or ends with the proof that the pair was issued for.
    pub(super) fn delegate(
        &self,
        wish: &Wish,
        most: &Scopes,
        share: &str,
        by: Option<&Proof>,
    ) -> Result<Reply, Error> {
        let now = self.moment.now;
        let until = match (self.session.require_fresh(now), by) {
            (Ok(()), _) => u64::MAX,
            (Err(_), Some(proof)) => proof.until,
            (Err(error), None) => return Err(error),
        };
        let own = &self.session.principal;
        let (mut above, on_behalf_of) = match &wish.parent {
            None => {
                let scopes = self.session.scopes.for_certificates();
                (Terms::own(scopes, now), own.clone())
            }
            Some(parent) => {
                let acting = delegations::acting(self.db, parent, own, now)?;
                (acting.terms, acting.behalf.on_behalf_of)
            }
        };
        above.scopes = above.scopes.narrowed_to(most);
        above.expires_at = above.expires_at.min(until);
        let terms = above.narrow(wish, now)?;
        if !self.is_active(&wish.delegate)? {
            return Err(Error::NoSuchItem);
        }
        if delegations::given(self.db, own, share, MAX_GIVEN, now)? >= MAX_GIVEN {
            return Err(DelegationProblem::TooMany.into());
        }
        let id = ItemId::parse(&uuid(random()?));
        let link = Link {
            id: id.ok_or_else(|| Fault::Internal("a new id is none".into()))?,
            parent: wish.parent.clone(),
            delegator: own.clone(),
            on_behalf_of,
            delegate: wish.delegate.clone(),
            terms,
            is_revoked: false,
            is_turned_away: false,
        };
        let source = Source {
            share,
            signed_by: by.and_then(|proof| proof.first),
            way_in: by.and_then(|proof| proof.way_in.as_deref()),
        };
        delegations::insert(self.db, &link, &source, now)?;
        let scopes = link.terms.scopes.names().join(" ");
        let purpose = link.terms.purpose.map(|hash| hex(&hash));
        let details = [
            ("method", Text(&self.session.method)),
            ("serial", optional(by.map(|proof| proof.serial.as_str()))),
            ("delegate", Text(link.delegate.as_str())),
            ("on_behalf_of", Text(link.on_behalf_of.as_str())),
            ("parent", optional(wish.parent.as_ref().map(ItemId::as_str))),
            ("scopes", Text(&scopes)),
            ("audience", optional(link.terms.audience.as_deref())),
            ("purpose", optional(purpose.as_deref())),
            ("depth", Number(link.terms.depth.into())),
            ("expires_at", Number(link.terms.expires_at)),
        ];
        self.tell(actions::DELEGATION_MADE, link.id.as_str(), &details)?;
        self.delegation(&link.id)
    }

    /// Takes one back, and all that was issued on it or below it. Whoever gave it may, or gave what it hangs on, or
    /// administers; to others there is none.
    pub(super) fn revoke_delegation(&self, id: &ItemId) -> Result<(), Error> {
        let now = self.moment.now;
        let own = &self.session.principal;
        let has_passkey = has_passkey(self.db, self.party, own)?;
        if has_passkey {
            self.session.require_passkey()?;
        }
        let chain = delegations::chain(self.db, id)?;
        let is_above = chain.iter().any(|link| link.delegator == *own);
        let manages = self.session.scopes.contains(Scope::AuthorityManage);
        let link = chain.last().filter(|_| is_above || manages);
        let link = link.ok_or(Error::NoSuchItem)?;
        // Who can show none takes back what they gave by the same way in, and nobody else's who speaks for them.
        let method = &self.session.method;
        let shares = [share(own, method), share_of_pairs(own, method)];
        if !has_passkey && !manages && !delegations::is_of(self.db, &chain, own, &shares)? {
            return Err(Error::StepUpRequired);
        }
        // By a clock that is late it may be good yet.
        if link.is_revoked || link.terms.expires_at < now.saturating_sub(LATE_CLOCK_SECS) {
            return Ok(());
        }
        self.db.run(
            "UPDATE delegations SET revoked_at = ?, revoked_by = ? WHERE id = ?",
            &[Number(now), self.actor(), Text(id.as_str())],
        )?;
        let details = [
            ("delegator", Text(link.delegator.as_str())),
            ("delegate", Text(link.delegate.as_str())),
            ("on_behalf_of", Text(link.on_behalf_of.as_str())),
            ("credentials", self.revoke_issued(From::One(id))?),
        ];
        self.tell(actions::DELEGATION_REVOKED, id.as_str(), &details)
    }

    /// Revokes what was issued on delegations and may not have expired; how much it was.
    pub(super) fn revoke_issued(&self, from: From<'_>) -> Result<Argument<'static>, Error> {
        let now = self.moment.now;
        let oldest = now.saturating_sub(LATE_CLOCK_SECS);
        let first_id = self.first_outstanding();
        revoke_below(self.db, from, self.actor(), first_id, oldest, now).map(Number)
    }
}

fn optional(text: Option<&str>) -> Argument<'_> {
    text.map_or(Null, Text)
}
