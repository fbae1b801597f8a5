//! What a verified proof amounts to, whatever kind of proof it was.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::delegation::Behalf;

/// Who was proven to be asking, and what must be stored so that the proof works once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Who: the CN where it fits, and the subject identity extension.
    pub subject: String,
    /// The URI that the pair carries.
    pub identity: String,
    /// How it was proven, for example `gha-oidc`.
    pub auth_method: String,
    /// What the pair may be used for.
    pub scopes: Vec<String>,
    /// On whose behalf it is, if on somebody's.
    pub behalf: Option<Behalf>,
    /// The single-use values of the proof. Never empty.
    pub burns: Vec<Burn>,
}

/// A value that may be used once: stored in the transaction that issues, or nothing is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burn {
    /// SHA-256 over what must not recur, so that the table holds nothing personal and rows have one
    /// size.
    pub digest: [u8; 32],
    /// Until when the value could be used again if it were forgotten, in Unix seconds.
    pub expires_at: u64,
}

impl Burn {
    /// The value `id` that `issuer` made unique among values of `kind`.
    #[must_use]
    pub fn new(kind: &str, issuer: &str, id: &str, expires_at: u64) -> Self {
        let mut hash = Sha256::new_with_prefix("notme-burn-v1");
        for part in [kind, issuer, id] {
            // Lengths first: no two triples have the same bytes.
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        Self {
            digest: hash.finalize().into(),
            expires_at,
        }
    }
}

impl Burn {
    /// The token with this `jti` of `issuer`: the same whatever door it is shown at. The first one gave it its
    /// name, and states hold what was burned under it.
    #[must_use]
    pub fn of_token(issuer: &str, jti: &str, expires_at: u64) -> Self {
        Self::new("gha", issuer, jti, expires_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_different_issuers_and_kinds_are_different() {
        let digests = [
            Burn::new("gha", "https://a", "1", 0),
            Burn::new("gha", "https://b", "1", 0),
            Burn::new("oidc", "https://a", "1", 0),
            Burn::new("gha", "https://a1", "", 0),
            Burn::new("gha", "https://a", "2", 0),
        ]
        .map(|burn| burn.digest);
        for (i, a) in digests.iter().enumerate() {
            assert!(digests.iter().skip(i + 1).all(|b| a != b));
        }
    }
}
