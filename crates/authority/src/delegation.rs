//! Delegations: what one principal lets another do on its behalf, and what is left of that along a chain
//! ([ADR 12](https://github.com/notme/notme/blob/main/docs/adr/0012-delegation.md)).
//!
//! **Invariant:** nothing here makes anything wider. A wish for more than there is above is refused, and a chain is
//! worth the strictest of its links, whatever they say.

mod signed;
mod wish;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::people::admin::ItemId;
use crate::people::{PrincipalId, Scopes};
pub use signed::{Delegate, Signed};
pub use wish::Wish;

/// How often what somebody delegates of their own rights may be handed on.
pub const MAX_DEPTH: u8 = 4;
/// The most links of a chain.
pub const MAX_LINKS: usize = 5;
/// How long a delegation is good at most, in seconds: thirty days.
const MAX_TTL_SECS: u64 = 30 * 86_400;
/// How long one is good if nothing is said, in seconds.
const DEFAULT_TTL_SECS: u64 = 3600;
/// How many somebody may have given that are neither over nor revoked.
pub const MAX_GIVEN: u64 = 1000;

/// What somebody may do on somebody's behalf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// With which scopes.
    pub scopes: Scopes,
    /// Where; anywhere if that isn't said.
    pub audience: Option<String>,
    /// What for, by its SHA-256; for anything if that isn't said.
    pub purpose: Option<[u8; 32]>,
    /// Until when, in Unix seconds: then it is over.
    pub expires_at: u64,
    /// How often it may be handed on.
    pub depth: u8,
}

/// A delegation as it is stored, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Which it is.
    pub id: ItemId,
    /// What it hangs on, if on anything.
    pub parent: Option<ItemId>,
    /// From whom.
    pub delegator: PrincipalId,
    /// At whose behest all of the chain is.
    pub on_behalf_of: PrincipalId,
    /// To whom.
    pub delegate: PrincipalId,
    /// What it permits.
    pub terms: Terms,
    /// Whether it was taken back.
    pub is_revoked: bool,
    /// Whether whom it is to was turned away.
    pub is_turned_away: bool,
}

/// At whose behest a chain is, at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Giver {
    /// What they may do themselves.
    pub scopes: Scopes,
    /// Whether they were turned away.
    pub is_turned_away: bool,
}

/// On whose behalf something is issued, as certificates say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behalf {
    /// The delegation that it hangs on.
    pub delegation: ItemId,
    /// At whose behest.
    pub on_behalf_of: PrincipalId,
    /// Where alone it may be used.
    pub audience: Option<String>,
    /// What alone it may be used for.
    pub purpose: Option<[u8; 32]>,
}

/// What somebody may do on a delegation at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acting {
    /// What it is worth.
    pub terms: Terms,
    /// How certificates say it.
    pub behalf: Behalf,
}

impl Acting {
    /// What `who` may do on the last one of a chain.
    ///
    /// # Errors
    /// Those of [`worth`].
    pub fn on(chain: &[Link], giver: &Giver, who: &PrincipalId, now: u64) -> Result<Self, Error> {
        let terms = worth(chain, giver, who, now)?;
        let last = chain.last().ok_or(DelegationProblem::Unknown)?;
        Ok(Self {
            behalf: Behalf {
                delegation: last.id.clone(),
                on_behalf_of: last.on_behalf_of.clone(),
                audience: terms.audience.clone(),
                purpose: terms.purpose,
            },
            terms,
        })
    }

    /// Its last second, in Unix seconds.
    #[must_use]
    pub const fn until(&self) -> u64 {
        self.terms.expires_at.saturating_sub(1)
    }

    /// Whether task leaves may be signed on it: each hands it on once more.
    ///
    /// # Errors
    /// [`DelegationProblem::Exceeded`].
    pub fn permit_issuing(&self) -> Result<(), Error> {
        match self.terms.depth {
            0 => Err(exceeded(Part::Depth)),
            _ => Ok(()),
        }
    }
}

/// What is wrong with a delegation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DelegationProblem {
    /// There is none of that id to whoever asks.
    Unknown,
    /// It is over, or one above it is.
    Expired,
    /// It was taken back, or one above it was, or somebody in the chain was turned away.
    Revoked,
    /// More is asked for than there is above.
    Exceeded(Part),
    /// Whoever asks has given too many already.
    TooMany,
    /// An issuing certificate was asked for, and nothing that it could hang on.
    Missing,
    /// A pair on somebody's behalf was shown for something else.
    Bound,
}

/// Of what more is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// Scopes.
    Scopes,
    /// Another audience.
    Audience,
    /// Another purpose.
    Purpose,
    /// A later end.
    Expiry,
    /// To hand it on, or further on.
    Depth,
}

impl Part {
    /// The member of a wish that it is asked for with.
    #[must_use]
    pub const fn member(self) -> &'static str {
        match self {
            Self::Scopes => "scopes",
            Self::Audience => "audience",
            Self::Purpose => "purposeHash",
            Self::Expiry => "expiresAt",
            Self::Depth => "depth",
        }
    }
}

impl From<DelegationProblem> for Error {
    fn from(problem: DelegationProblem) -> Self {
        Self::Delegation(problem)
    }
}

fn exceeded(part: Part) -> Error {
    DelegationProblem::Exceeded(part).into()
}

impl Terms {
    /// What whoever has these scopes may pass on of their own rights.
    #[must_use]
    pub const fn own(scopes: Scopes, now: u64) -> Self {
        Self {
            scopes,
            audience: None,
            purpose: None,
            expires_at: now.saturating_add(MAX_TTL_SECS),
            depth: MAX_DEPTH + 1,
        }
    }

    /// What whoever has these may give to somebody who is to have what is wished. What isn't said takes what is
    /// stricter: what there is here, and nothing to hand on.
    ///
    /// # Errors
    /// [`DelegationProblem::Exceeded`] where the wish goes beyond these, and [`Error::InvalidMember`] if it would be
    /// over.
    pub fn narrow(&self, wish: &Wish, now: u64) -> Result<Self, Error> {
        let depth = wish.depth.unwrap_or(0);
        if depth >= self.depth {
            return Err(exceeded(Part::Depth));
        }
        let scopes = wish.scopes.as_ref().unwrap_or(&self.scopes);
        if scopes.is_empty() || scopes.beyond(&self.scopes).is_some() {
            return Err(exceeded(Part::Scopes));
        }
        let expires_at = match wish.expires_at {
            None => now.saturating_add(DEFAULT_TTL_SECS).min(self.expires_at),
            Some(at) if at > self.expires_at => return Err(exceeded(Part::Expiry)),
            Some(at) => at,
        };
        if expires_at <= now {
            return Err(Error::InvalidMember("expiresAt"));
        }
        Ok(Self {
            scopes: scopes.clone(),
            audience: equal(&self.audience, &wish.audience)
                .ok_or_else(|| exceeded(Part::Audience))?,
            purpose: equal(&self.purpose, &wish.purpose).ok_or_else(|| exceeded(Part::Purpose))?,
            expires_at,
            depth,
        })
    }

    /// The stricter of both in everything; `None` if nothing satisfies both.
    fn within(&self, below: &Self) -> Option<Self> {
        Some(Self {
            scopes: below.scopes.narrowed_to(&self.scopes),
            audience: equal(&self.audience, &below.audience)?,
            purpose: equal(&self.purpose, &below.purpose)?,
            expires_at: below.expires_at.min(self.expires_at),
            depth: below.depth.min(self.depth.checked_sub(1)?),
        })
    }
}

/// What satisfies both; `None` if nothing does.
fn equal<T: Clone + PartialEq>(above: &Option<T>, below: &Option<T>) -> Option<Option<T>> {
    match (above, below) {
        (Some(above), Some(below)) if above != below => None,
        (Some(one), _) | (None, Some(one)) => Some(Some(one.clone())),
        (None, None) => Some(None),
    }
}

/// What a chain, from the one that hangs on no other down, is worth to whom it ends with.
///
/// # Errors
/// [`DelegationProblem::Unknown`] if that isn't `who`; [`DelegationProblem::Revoked`] if a link is, somebody was turned
/// away, or the links don't belong together; [`DelegationProblem::Expired`].
pub fn worth(chain: &[Link], giver: &Giver, who: &PrincipalId, now: u64) -> Result<Terms, Error> {
    let last = chain.last().filter(|link| link.delegate == *who);
    let on_behalf_of = &last.ok_or(DelegationProblem::Unknown)?.on_behalf_of;
    let revoked = || Error::from(DelegationProblem::Revoked);
    if giver.is_turned_away || chain.len() > MAX_LINKS {
        return Err(revoked());
    }
    let mut terms = Terms {
        expires_at: u64::MAX,
        ..Terms::own(giver.scopes.clone(), now)
    };
    let mut from = on_behalf_of;
    let mut above = None;
    for link in chain {
        let is_next = link.parent.as_ref() == above
            && link.delegator == *from
            && link.on_behalf_of == *on_behalf_of;
        if !is_next || link.is_revoked || link.is_turned_away {
            return Err(revoked());
        }
        terms = terms.within(&link.terms).ok_or_else(revoked)?;
        from = &link.delegate;
        above = Some(&link.id);
    }
    if terms.expires_at <= now {
        return Err(DelegationProblem::Expired.into());
    }
    Ok(terms)
}
