//! Whether a task leaf is good: everything that its issuing certificate holds it to.

use std::fmt;

use notme_keys::SignatureCheck;

use crate::issuing::is_task_id;
use crate::read::{Issuing, Root, TaskLeaf, VerifyError};

/// Why a task leaf isn't good under an issuing certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// What is wrong with the issuing certificate under its root.
    Issuing(VerifyError),
    /// What is wrong with the leaf under its issuing certificate.
    Leaf(VerifyError),
    /// The leaf says more than its issuing certificate lets it.
    Beyond(Beyond),
}

/// In what a leaf goes beyond its issuing certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Its URI, or its subject, isn't a task's of that principal.
    Namespace,
    /// It has a scope that the issuing certificate lacks.
    Scopes,
    /// It is valid when the issuing certificate isn't.
    Lifetime,
    /// It is of another epoch.
    Epoch,
    /// It is on another's behalf, or limited otherwise.
    Delegation,
    /// It says that its principal was authenticated otherwise.
    AuthMethod,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "it isn't named as a task of that principal",
            Self::Scopes => "it has scopes that its issuing certificate lacks",
            Self::Lifetime => "it is valid when its issuing certificate isn't",
            Self::Epoch => "it is of another epoch than its issuing certificate",
            Self::Delegation => "it hangs on another delegation than its issuing certificate",
            Self::AuthMethod => {
                "it says another authentication method than its issuing certificate"
            }
        })
    }
}

impl TaskLeaf {
    /// What must hold: that the root signed the issuing certificate, and that one's key the leaf.
    #[must_use]
    pub fn signature_checks(&self, issuing: &Issuing, root: &Root) -> [SignatureCheck; 2] {
        [
            issuing.signed().signature_check(root),
            self.signature_check(issuing),
        ]
    }

    /// What must hold for the issuing certificate's key to have signed the leaf.
    #[must_use]
    pub fn signature_check(&self, issuing: &Issuing) -> SignatureCheck {
        self.signed().check(&issuing.key)
    }

    /// Whether the leaf is good below `issuing` and `root` at `now` (Unix seconds), given whether
    /// [`Self::signature_checks`] were settled well. That the issuing certificate is no more than one tier is in how it
    /// is read: its path length is 0, and a leaf is no CA.
    ///
    /// # Errors
    /// The first [`TaskError`] that applies, from the root down.
    pub fn verify(
        &self,
        issuing: &Issuing,
        root: &Root,
        signed: [bool; 2],
        now: u64,
    ) -> Result<(), TaskError> {
        let [issuing_signed, leaf_signed] = signed;
        let of_root = issuing.signed().verify(root, issuing_signed, now);
        of_root.map_err(TaskError::Issuing)?;
        self.within(issuing, leaf_signed, now)
    }

    /// The same but for the root: whether the leaf is good if its issuing certificate is.
    ///
    /// # Errors
    /// The first [`TaskError`] that applies.
    pub fn within(&self, issuing: &Issuing, leaf_signed: bool, now: u64) -> Result<(), TaskError> {
        let key_identifier = issuing.as_issuer().key_identifier;
        let issued = self
            .signed()
            .is_of(&issuing.subject_der, &key_identifier, leaf_signed)
            .and_then(|()| self.validity.covers(now));
        issued.map_err(TaskError::Leaf)?;
        let beyond = |what| Err(TaskError::Beyond(what));
        if self.validity.not_before < issuing.validity.not_before
            || self.validity.not_after > issuing.validity.not_after
        {
            return beyond(Beyond::Lifetime);
        }
        let task = self.identity.strip_prefix(&issuing.namespace);
        let is_named = task.filter(|task| is_task_id(task)).is_some_and(|task| {
            let principal = self.subject.strip_suffix(task);
            principal.and_then(|text| text.strip_suffix("/task/")) == Some(&issuing.subject)
        });
        if !is_named {
            return beyond(Beyond::Namespace);
        }
        if !(self.scopes.iter()).all(|scope| issuing.scopes.contains(scope)) {
            return beyond(Beyond::Scopes);
        }
        if self.epoch != issuing.epoch {
            return beyond(Beyond::Epoch);
        }
        if self.delegation != issuing.delegation {
            return beyond(Beyond::Delegation);
        }
        if self.auth_method != issuing.auth_method {
            return beyond(Beyond::AuthMethod);
        }
        Ok(())
    }

    /// The task's id, of a leaf that was verified.
    #[must_use]
    pub fn task(&self) -> &str {
        self.identity.rsplit('/').next().unwrap_or_default()
    }
}
