//! How somebody may register: by which door, and whether it is open.

use super::bootstrap::FirstBoot;
use super::{Grant, Scope, Scopes};
use crate::Error;

/// The door that a registration comes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The operator's code, while nobody is there.
    Bootstrap,
    /// The operator's code, where the administrators are lost.
    Recovery,
    /// An invite.
    Invite,
    /// A session: a further passkey of the principal that asks.
    Session,
    /// None was needed: the authority is open to all.
    Open,
}

impl Admission {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Bootstrap,
        Self::Recovery,
        Self::Invite,
        Self::Session,
        Self::Open,
    ];

    /// As it is stored and told.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bootstrap => "bootstrap",
            Self::Recovery => "recovery",
            Self::Invite => "invite",
            Self::Session => "session",
            Self::Open => "open",
        }
    }

    /// The admission of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == name)
    }
}

/// What decides which doors are open. It is looked at when a registration begins and again in the
/// transaction that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors {
    /// Whether there is any passkey: machines come in by other authenticators, and administer nothing.
    pub has_authenticator: bool,
    /// Whether a code is configured that nobody has used.
    pub has_unused_code: bool,
    /// Whether anybody may register (`REGISTRATION=open`).
    pub is_open: bool,
}

impl Doors {
    /// Whether the first administrator is waited for.
    #[must_use]
    pub const fn first_boot(&self) -> FirstBoot {
        FirstBoot::of(self.has_authenticator, self.has_unused_code)
    }

    /// Whether strangers may register without anything.
    #[must_use]
    pub fn is_open_to_all(&self) -> bool {
        self.is_open && self.has_authenticator
    }

    /// The door for whoever presents a code.
    ///
    /// # Errors
    /// [`Error::FirstBoot`] if no code would open one.
    pub fn for_code(&self) -> Result<Admission, Error> {
        match self.first_boot() {
            FirstBoot::Armed => Ok(Admission::Bootstrap),
            state => Err(Error::FirstBoot(state)),
        }
    }

    /// The door for whoever presents a code where people are already.
    ///
    /// # Errors
    /// [`Error::BadBootstrapCode`] if no code would open one.
    pub fn for_recovery(&self) -> Result<Admission, Error> {
        match (self.has_authenticator, self.has_unused_code) {
            (true, true) => Ok(Admission::Recovery),
            (false, true) => Ok(Admission::Bootstrap),
            (_, false) => Err(Error::BadBootstrapCode),
        }
    }

    /// The door for whoever presents nothing.
    ///
    /// # Errors
    /// [`Error::FirstBoot`] if it is shut, with what is waited for.
    pub fn for_anybody(&self) -> Result<Admission, Error> {
        if self.is_open_to_all() {
            Ok(Admission::Open)
        } else {
            Err(Error::FirstBoot(self.first_boot()))
        }
    }
}

/// An invite as it is stored, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// What it promises.
    pub scopes: Scopes,
    /// Until when, in Unix seconds.
    pub expires_at: u64,
    /// Whether somebody joined with it.
    pub is_redeemed: bool,
    /// What its maker may do at this moment; nothing if they were turned away.
    pub maker: Vec<Grant>,
}

impl Invite {
    /// What it grants at this moment: what it promises, if its maker could grant that, and for no longer
    /// than its maker has it.
    ///
    /// # Errors
    /// [`Error::BadInvite`], the same for whatever is wrong with it.
    pub fn grants(&self, now: u64) -> Result<Vec<Grant>, Error> {
        let is_good = !self.is_redeemed && now < self.expires_at && self.is_backed();
        if !is_good {
            return Err(Error::BadInvite);
        }
        let held = self.maker.iter().copied();
        Ok(held
            .filter(|grant| self.scopes.contains(grant.scope))
            .collect())
    }

    /// Whether its maker may grant what it promises.
    #[must_use]
    pub fn is_backed(&self) -> bool {
        let maker: Scopes = self.maker.iter().map(|grant| grant.scope).collect();
        maker.contains(Scope::AuthorityManage) && self.scopes.beyond(&maker).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doors(has_authenticator: bool, has_unused_code: bool, is_open: bool) -> Doors {
        Doors {
            has_authenticator,
            has_unused_code,
            is_open,
        }
    }

    #[test]
    fn a_code_opens_the_door_of_an_empty_house() {
        assert_eq!(
            doors(false, true, false).for_code(),
            Ok(Admission::Bootstrap)
        );
        assert_eq!(
            doors(false, false, true).for_code(),
            Err(Error::FirstBoot(FirstBoot::Unconfigured))
        );
        for has_unused_code in [true, false] {
            assert_eq!(
                doors(true, has_unused_code, true).for_code(),
                Err(Error::FirstBoot(FirstBoot::Closed))
            );
        }
    }

    #[test]
    fn recovery_needs_a_code_that_nobody_used() {
        assert_eq!(
            doors(true, true, false).for_recovery(),
            Ok(Admission::Recovery)
        );
        assert_eq!(
            doors(false, true, false).for_recovery(),
            Ok(Admission::Bootstrap)
        );
        for has_authenticator in [true, false] {
            assert_eq!(
                doors(has_authenticator, false, true).for_recovery(),
                Err(Error::BadBootstrapCode)
            );
        }
    }

    #[test]
    fn an_open_authority_still_waits_for_its_first_administrator() {
        assert_eq!(doors(true, false, true).for_anybody(), Ok(Admission::Open));
        assert_eq!(
            doors(false, true, true).for_anybody(),
            Err(Error::FirstBoot(FirstBoot::Armed))
        );
        assert_eq!(
            doors(true, true, false).for_anybody(),
            Err(Error::FirstBoot(FirstBoot::Closed))
        );
    }

    #[test]
    fn an_invite_is_worth_what_its_maker_may_grant() {
        let good = Invite {
            scopes: Scopes::of_anybody(),
            expires_at: 100,
            is_redeemed: false,
            maker: Scopes::of_administrator().for_good(),
        };
        assert_eq!(good.grants(99), Ok(Scopes::of_anybody().for_good()));
        assert_eq!(good.grants(100), Err(Error::BadInvite));
        let used = Invite {
            is_redeemed: true,
            ..good.clone()
        };
        assert_eq!(used.grants(1), Err(Error::BadInvite));
        let of = |maker: &[Scope]| Invite {
            maker: maker.iter().copied().collect::<Scopes>().for_good(),
            ..good.clone()
        };
        assert_eq!(of(&[]).grants(1), Err(Error::BadInvite));
        assert_eq!(of(&[Scope::BridgeCert]).grants(1), Err(Error::BadInvite));
        assert_eq!(
            of(&[Scope::AuthorityManage]).grants(1),
            Err(Error::BadInvite)
        );
        assert!(
            of(&[Scope::BridgeCert, Scope::AuthorityManage])
                .grants(1)
                .is_ok()
        );
    }

    #[test]
    fn an_invite_grants_nothing_for_longer_than_its_maker_has_it() {
        let until = |scope, at| Grant {
            scope,
            expires_at: Some(at),
        };
        let maker = vec![
            until(Scope::AuthorityManage, 500),
            until(Scope::BridgeCert, 600),
            until(Scope::CertMint, 700),
        ];
        let invite = Invite {
            scopes: [Scope::BridgeCert, Scope::AuthorityManage]
                .into_iter()
                .collect(),
            expires_at: 100,
            is_redeemed: false,
            maker,
        };
        let granted = vec![
            until(Scope::AuthorityManage, 500),
            until(Scope::BridgeCert, 600),
        ];
        assert_eq!(invite.grants(1), Ok(granted));
    }

    #[test]
    fn names_are_read_back() {
        for one in Admission::ALL {
            assert_eq!(Admission::parse(one.as_str()), Some(one));
        }
        assert_eq!(Admission::parse("window"), None);
    }
}
