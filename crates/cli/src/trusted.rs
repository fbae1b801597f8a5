//! What an authority's answer is checked against before anything of it is written: roots, the bundle of the current
//! one, and the answer itself.

use std::fmt::Display;

use notme_wire::identity::CABundle;
use notme_x509::Signed;
use serde_json::Value;

use crate::authority::Authority;
use crate::failure::Failure;
use crate::revocation::authentic;
use crate::rollover::follow;
use crate::roots::Roots;
use crate::time::now;

/// The roots that are trusted, and the authority's bundle, which the current one signed.
pub(crate) struct Trusted {
    roots: Roots,
    bundle: CABundle,
}

impl Trusted {
    /// Looks before anything is used up: a pin that isn't this authority's, or an authority that doesn't say what is
    /// revoked, shows here.
    pub(crate) fn look(authority: &Authority<'_>, pinned: Option<Roots>) -> Result<Self, Failure> {
        let roots = match pinned {
            Some(roots) => roots,
            None => Roots::parse(&authority.roots()?)?,
        };
        Self::of(authority, roots)
    }

    fn of(authority: &Authority<'_>, roots: Roots) -> Result<Self, Failure> {
        let json = authority.bundle()?;
        let roots = follow(authority, roots, &json)?;
        let bundle = authentic(&json, roots.current(), now()?)?;
        Ok(Self { roots, bundle })
    }

    /// The same as of an answer: the key may have been rolled over since.
    pub(crate) fn following(
        self,
        authority: &Authority<'_>,
        answer: &Value,
    ) -> Result<Self, Failure> {
        if Told(answer).text("/authority/key_id") == self.bundle.key_id {
            Ok(self)
        } else {
            Self::of(authority, self.roots)
        }
    }

    pub(crate) const fn roots(&self) -> &Roots {
        &self.roots
    }

    /// The id of the current root's key.
    pub(crate) fn key_id(&self) -> String {
        self.roots.current().key().key_id().to_string()
    }
}

/// What an answer is refused with that isn't what it should be.
pub(crate) fn holds(condition: bool, what: impl Display) -> Result<(), Failure> {
    let text = || format!("the authority's answer isn't to be trusted: {what}");
    condition
        .then_some(())
        .ok_or_else(|| Failure::refused("bad_answer", text()))
}

/// An answer with certificates in it.
#[derive(Clone, Copy)]
pub(crate) struct Told<'a>(pub(crate) &'a Value);

/// What a certificate of any kind says that the answer with it says too.
pub(crate) struct Says<'a> {
    pub(crate) signed: &'a Signed,
    pub(crate) identity: &'a str,
    pub(crate) scopes: &'a [String],
    pub(crate) epoch: u64,
    pub(crate) not_after: u64,
}

impl<'a> Told<'a> {
    /// The text at a JSON pointer, or none.
    pub(crate) fn text(self, path: &str) -> &'a str {
        let text = self.0.pointer(path).and_then(Value::as_str);
        text.unwrap_or_default()
    }

    fn number(self, path: &str) -> Option<u64> {
        self.0.pointer(path).and_then(Value::as_u64)
    }

    /// Whether a certificate of the answer is of the current root and epoch, and says what the answer says.
    pub(crate) fn agrees(
        self,
        certificate: &Says<'_>,
        trusted: &Trusted,
        now: u64,
    ) -> Result<(), Failure> {
        let root = trusted.roots.signer_of(certificate.signed, now)?;
        holds(
            root == trusted.roots.current(),
            "its certificates are of a root that isn't the current one",
        )?;
        holds(
            certificate.epoch >= trusted.bundle.epoch,
            "its certificates are of an epoch that is over",
        )?;
        holds(
            self.text("/authority/key_id") == trusted.key_id(),
            "it names another key of the authority",
        )?;
        holds(
            self.text("/identity") == certificate.identity,
            "its identity isn't that of the certificates",
        )?;
        holds(
            self.number("/expires_at") == Some(certificate.not_after),
            "its certificates expire at another time than it says",
        )?;
        holds(
            self.number("/authority/epoch") == Some(certificate.epoch),
            "its epoch isn't that of the certificates",
        )?;
        let scopes = self.0.pointer("/scopes").and_then(Value::as_array);
        let scopes = scopes.map(Vec::as_slice).unwrap_or_default();
        holds(
            scopes
                .iter()
                .map(Value::as_str)
                .eq(certificate.scopes.iter().map(|scope| Some(&**scope))),
            "its scopes aren't those of the certificates",
        )
    }
}
