//! What a principal may be granted (notme protocol §5.5): the one list of scopes there is.
//!
//! The schema's `CertScope` is frozen with three of them; a test holds the names together.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Ordinary work of an agent or a job: the only scope that a certificate may carry.
    #[serde(rename = "bridgeCert")]
    BridgeCert,
    /// Administer the authority.
    #[serde(rename = "authorityManage")]
    AuthorityManage,
    /// Mint for others.
    #[serde(rename = "certMint")]
    CertMint,
    /// Sign commits.
    #[serde(rename = "sign:git")]
    SignGit,
    /// Sign attestations.
    #[serde(rename = "sign:attestation")]
    SignAttestation,
}

impl Scope {
    /// All of them, in the order in which they are published.
    pub const ALL: [Self; 5] = [
        Self::BridgeCert,
        Self::AuthorityManage,
        Self::CertMint,
        Self::SignGit,
        Self::SignAttestation,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BridgeCert => "bridgeCert",
            Self::AuthorityManage => "authorityManage",
            Self::CertMint => "certMint",
            Self::SignGit => "sign:git",
            Self::SignAttestation => "sign:attestation",
        }
    }

    /// The scope of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }

    /// Whether a certificate may carry it.
    #[must_use]
    pub const fn is_for_certificates(self) -> bool {
        matches!(self, Self::BridgeCert)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A scope that somebody was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// What they may do.
    pub scope: Scope,
    /// Until when, in Unix seconds; for good if there is no end.
    pub expires_at: Option<u64>,
}

/// A set of scopes, in the published order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// What the first administrator may do.
    #[must_use]
    pub fn of_administrator() -> Self {
        [Scope::BridgeCert, Scope::AuthorityManage, Scope::CertMint]
            .into_iter()
            .collect()
    }

    /// What whoever registers by themselves may do.
    #[must_use]
    pub fn of_anybody() -> Self {
        [Scope::BridgeCert].into_iter().collect()
    }

    /// What a certificate may carry.
    #[must_use]
    pub fn eligible() -> Self {
        let all = Scope::ALL.into_iter();
        all.filter(|scope| scope.is_for_certificates()).collect()
    }

    /// Whether the scope is in the set.
    #[must_use]
    pub fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    /// Whether there is no scope in the set.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes that are in both.
    #[must_use]
    pub fn narrowed_to(&self, other: &Self) -> Self {
        self.iter().filter(|scope| other.contains(*scope)).collect()
    }

    /// The scopes that a certificate may carry.
    #[must_use]
    pub fn for_certificates(&self) -> Self {
        self.iter()
            .filter(|scope| scope.is_for_certificates())
            .collect()
    }

    /// The first scope that `other` lacks.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Option<Scope> {
        self.iter().find(|scope| !other.contains(*scope))
    }

    /// The scopes, in the published order.
    pub fn iter(&self) -> impl Iterator<Item = Scope> + '_ {
        self.0.iter().copied()
    }

    /// Grants of them that have no end.
    #[must_use]
    pub fn for_good(&self) -> Vec<Grant> {
        let grant = |scope| Grant {
            scope,
            expires_at: None,
        };
        self.iter().map(grant).collect()
    }

    /// Their names.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.iter().map(|scope| scope.as_str().to_owned()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut scopes: Vec<Scope> = scopes.into_iter().collect();
        scopes.sort_unstable();
        scopes.dedup();
        Self(scopes)
    }
}

#[cfg(test)]
mod tests {
    use notme_wire::identity::CertScope;

    use super::*;

    fn scopes(names: &[&str]) -> Scopes {
        names.iter().filter_map(|name| Scope::parse(name)).collect()
    }

    #[test]
    fn sets_only_shrink() {
        let granted = scopes(&["bridgeCert", "authorityManage"]);
        let asked = scopes(&["authorityManage", "sign:git"]);
        let both = granted.narrowed_to(&asked);
        assert_eq!(both.names(), ["authorityManage"]);
        assert!(both.for_certificates().is_empty());
        assert_eq!(asked.beyond(&granted), Some(Scope::SignGit));
        assert_eq!(granted.beyond(&granted), None);
        assert_eq!(scopes(&["bridgeCert", "bridgeCert"]).iter().count(), 1);
    }

    #[test]
    fn scopes_of_the_schema_are_scopes() {
        for scope in [
            CertScope::BridgeCert,
            CertScope::AuthorityManage,
            CertScope::CertMint,
        ] {
            assert_eq!(
                Scope::parse(scope.as_str()).map(Scope::as_str),
                Some(scope.as_str())
            );
        }
    }

    #[test]
    fn names_are_those_of_the_wire() {
        for scope in Scope::ALL {
            assert_eq!(Scope::parse(scope.as_str()), Some(scope));
            let json = serde_json::to_string(&scope).unwrap();
            assert_eq!(json, format!("\"{scope}\""));
        }
        assert_eq!(Scope::parse("BridgeCert"), None);
        let eligible = Scope::ALL.into_iter().filter(|s| s.is_for_certificates());
        assert_eq!(eligible.collect::<Vec<_>>(), [Scope::BridgeCert]);
    }
}
