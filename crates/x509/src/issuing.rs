//! What certificates an orchestrator can sign itself: its issuing certificate, and the task leaves below it
//! (`docs/certificate-profile.md`, "Issuing certificates" and "Task leaves").

use notme_keys::Ed25519PublicKey;

use crate::certificate::{
    Claims, Fields, SerialNumber, ToBeSigned, Validity, client_auth, key_identifiers, key_usage,
};
use crate::delegation::Delegation;
use crate::leaf::end_entity;
use crate::name::Name;
use crate::oid;
use crate::read::LeafKey;
use crate::root::Issuer;
use crate::time::rfc3339_millis;
use crate::writer::tag;

/// keyCertSign.
const KEY_USAGE: [u8; 2] = [2, 0x04];
/// The longest id of a task, in bytes.
const MAX_TASK_ID: usize = 64;

/// How the URIs of the tasks of whoever has this URI begin.
#[must_use]
pub fn namespace_of(identity: &str) -> String {
    format!("{identity}/task/")
}

/// Whether a text can be a task's id: a segment of a path as it is, in which nothing is escaped.
#[must_use]
pub fn is_task_id(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_TASK_ID).contains(&text.len())
        && text.bytes().all(is_plain)
        && !matches!(text, "." | "..")
}

/// What an issuing certificate says.
#[derive(Clone, Debug)]
pub struct IssuingProfile<'a> {
    /// The root that signs it.
    pub issuer: &'a Issuer,
    /// The principal that it is for.
    pub subject: &'a str,
    /// The principal's URI.
    pub identity: &'a str,
    /// The most that leaves below it may be used for.
    pub scopes: &'a [String],
    /// How the principal was authenticated.
    pub auth_method: &'a str,
    /// The authority's epoch.
    pub epoch: u64,
    /// When it is issued, in Unix milliseconds.
    pub issued_at_millis: u64,
    /// When it is valid.
    pub validity: Validity,
    /// On whose behalf it is.
    pub delegation: &'a Delegation,
    /// The key that leaves are signed with.
    pub key: &'a Ed25519PublicKey,
}

impl IssuingProfile<'_> {
    /// What the root's key must sign.
    #[must_use]
    pub fn to_be_signed(&self, serial: SerialNumber) -> ToBeSigned {
        let claims = Claims {
            subject: self.subject,
            issued_at: &rfc3339_millis(self.issued_at_millis),
            scopes: self.scopes,
            epoch: self.epoch,
            auth_method: self.auth_method,
            binding: None,
            delegation: Some(self.delegation),
            namespace: Some(&namespace_of(self.identity)),
            identity: self.identity,
        };
        let fields = Fields {
            serial,
            issuer: &self.issuer.name,
            subject: &Name::new(self.subject),
            validity: self.validity,
            spki: &self.key.to_spki(),
        };
        fields.to_be_signed(|w| {
            w.extension(&oid::BASIC_CONSTRAINTS, true, |w| {
                w.sequence(|w| {
                    w.primitive(tag::BOOLEAN, &[0xff]);
                    w.unsigned(&[0]); // leaves, and no CA
                });
            });
            key_usage(w, KEY_USAGE);
            client_auth(w);
            w.raw(&claims.written());
            key_identifiers(w, self.issuer, self.key.as_bytes());
        })
    }
}

/// What a task leaf says. The authority never sees one: whoever has the issuing certificate's key signs it.
#[derive(Clone, Debug)]
pub struct TaskProfile<'a> {
    /// Who signs it: [`Issuing::as_issuer`](crate::Issuing::as_issuer).
    pub issuer: &'a Issuer,
    /// Principal and task: the issuing certificate's subject, `/task/`, and the task's id.
    pub subject: &'a str,
    /// The task's URI.
    pub identity: &'a str,
    /// What it may be used for.
    pub scopes: &'a [String],
    /// How the principal was authenticated.
    pub auth_method: &'a str,
    /// The authority's epoch.
    pub epoch: u64,
    /// When it is signed, in Unix milliseconds.
    pub issued_at_millis: u64,
    /// When it is valid.
    pub validity: Validity,
    /// On whose behalf it is.
    pub delegation: &'a Delegation,
    /// The task's key.
    pub key: &'a LeafKey,
}

impl TaskProfile<'_> {
    /// What the issuing certificate's key must sign.
    #[must_use]
    pub fn to_be_signed(&self, serial: SerialNumber) -> ToBeSigned {
        let claims = Claims {
            subject: self.subject,
            issued_at: &rfc3339_millis(self.issued_at_millis),
            scopes: self.scopes,
            epoch: self.epoch,
            auth_method: self.auth_method,
            binding: None,
            delegation: Some(self.delegation),
            namespace: None,
            identity: self.identity,
        };
        let fields = Fields {
            serial,
            issuer: &self.issuer.name,
            subject: &Name::new(self.subject),
            validity: self.validity,
            spki: &self.key.to_spki(),
        };
        fields.to_be_signed(|w| end_entity(w, self.issuer, self.key, &claims.written()))
    }
}
