//! How a command ends that doesn't succeed: a kind for the exit code, a stable code, one sentence.

use std::fmt;

/// What sort of failure it is; each has its own exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The authority refused, or a certificate or an answer isn't good.
    Refused,
    /// The command can't be carried out as it was given.
    Usage,
    /// Something that must be fetched couldn't be.
    Unavailable,
    /// This machine: files, folders, randomness.
    Local,
}

impl Kind {
    /// The exit code.
    pub(crate) const fn exit(self) -> u8 {
        match self {
            Self::Refused => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::Local => 4,
        }
    }
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// Stable, for programs: what the authority calls it, or one of `docs/cli.md`.
    pub(crate) code: String,
    /// One sentence for people, on one line, without a secret.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(kind: Kind, code: &str, text: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.to_owned(),
            text: text.into(),
        }
    }

    pub(crate) fn refused(code: &str, text: impl Into<String>) -> Self {
        Self::new(Kind::Refused, code, text)
    }

    pub(crate) fn usage(code: &str, text: impl Into<String>) -> Self {
        Self::new(Kind::Usage, code, text)
    }

    pub(crate) fn unavailable(code: &str, text: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, code, text)
    }

    pub(crate) fn local(code: &str, text: impl Into<String>) -> Self {
        Self::new(Kind::Local, code, text)
    }

    pub(crate) const fn exit(&self) -> u8 {
        self.kind.exit()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.text, self.code)
    }
}
