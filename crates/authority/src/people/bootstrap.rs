//! The operator's one-time code (notme protocol §10.3 and §10.4): what it opens, and when.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The least length of a code, in characters: what can be guessed isn't a code.
const MIN_CHARS: usize = 16;

/// The code as it is configured, or as a caller sends it: only its hash is kept.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct BootstrapCode([u8; 32]);

impl std::fmt::Debug for BootstrapCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BootstrapCode(…)")
    }
}

impl BootstrapCode {
    /// Reads a configured code; `None` if it is too short to be one.
    #[must_use]
    pub fn configured(text: &str) -> Option<Self> {
        (text.chars().count() >= MIN_CHARS).then(|| Self::presented(text))
    }

    /// Takes what a caller sends. White space around it is the clipboard's.
    #[must_use]
    pub fn presented(text: &str) -> Self {
        Self(
            Sha256::new_with_prefix("notme-bootstrap-v1")
                .chain_update(text.trim())
                .finalize()
                .into(),
        )
    }

    /// What is stored of a code that was used.
    #[must_use]
    pub const fn hash(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether both are the same code. What is compared are hashes, so the time that it takes says
    /// nothing about the code.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self == other
    }
}

/// Whether the authority waits for its first administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FirstBoot {
    /// Nobody has come in yet, and there is a code that nobody has used.
    Armed,
    /// Nobody has come in yet, and there is no code, or only one that was used.
    Unconfigured,
    /// Somebody has.
    Closed,
}

impl FirstBoot {
    /// The state that follows from whether there is any passkey, and a configured code that
    /// nobody has used.
    #[must_use]
    pub const fn of(has_authenticator: bool, has_unused_code: bool) -> Self {
        match (has_authenticator, has_unused_code) {
            (true, _) => Self::Closed,
            (false, true) => Self::Armed,
            (false, false) => Self::Unconfigured,
        }
    }

    /// What a caller without a code is told (§10.3).
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Armed => {
                "bootstrap code required — supply the BOOTSTRAP_CODE this deployment was configured with"
            }
            Self::Unconfigured => {
                "this authority has no administrator and no bootstrap secret — its operator must set a new BOOTSTRAP_CODE"
            }
            Self::Closed => {
                "this authority already has an administrator — ask for an invite, or sign in"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_compared_whole_and_have_a_length() {
        let code = BootstrapCode::configured("0123-4567-89ab-cdef").unwrap();
        assert!(code.is(&BootstrapCode::presented(" 0123-4567-89ab-cdef\n")));
        for other in ["", "0123-4567-89ab-cde", "0123-4567-89AB-cdef"] {
            assert!(!code.is(&BootstrapCode::presented(other)), "{other}");
        }
        assert!(BootstrapCode::configured("fifteen-letters").is_none());
        assert_eq!(format!("{code:?}"), "BootstrapCode(…)");
    }

    #[test]
    fn an_authenticator_closes_first_boot() {
        for (authenticator, code, state) in [
            (false, false, FirstBoot::Unconfigured),
            (false, true, FirstBoot::Armed),
            (true, false, FirstBoot::Closed),
            (true, true, FirstBoot::Closed),
        ] {
            assert_eq!(FirstBoot::of(authenticator, code), state);
        }
    }
}
