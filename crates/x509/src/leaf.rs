//! The enrolment pair (`docs/certificate-profile.md`, "Leaves").

use notme_keys::{Ed25519PublicKey, P256PublicKey};
use sha2::{Digest, Sha256};

use crate::certificate::{
    Claims, Fields, SerialNumber, ToBeSigned, Validity, client_auth, key_identifiers, key_usage,
};
use crate::delegation::Delegation;
use crate::name::Name;
use crate::oid;
use crate::read::LeafKey;
use crate::root::Issuer;
use crate::time::rfc3339_millis;
use crate::writer::Writer;

/// digitalSignature and keyAgreement.
const MTLS_KEY_USAGE: [u8; 2] = [3, 0x88];
/// digitalSignature.
const SIGNING_KEY_USAGE: [u8; 2] = [7, 0x80];

/// What the two leaves of an enrolment pair say.
#[derive(Clone, Debug)]
pub struct PairProfile<'a> {
    /// The root that signs them.
    pub issuer: &'a Issuer,
    /// Who the pair is for: the CN where it fits, and always the subject identity extension.
    pub subject: &'a str,
    /// The one subject alternative name: an absolute URI in ASCII.
    pub identity: &'a str,
    /// What the pair may be used for.
    pub scopes: &'a [String],
    /// How the subject was authenticated, for example `gha-oidc`.
    pub auth_method: &'a str,
    /// The authority's epoch.
    pub epoch: u64,
    /// When the pair is issued, in Unix milliseconds.
    pub issued_at_millis: u64,
    /// When the pair is valid.
    pub validity: Validity,
    /// On whose behalf it is, if on somebody's.
    pub delegation: Option<&'a Delegation>,
    /// The key of the mTLS leaf.
    pub mtls: &'a P256PublicKey,
    /// The key of the signing leaf.
    pub signing: &'a Ed25519PublicKey,
}

impl PairProfile<'_> {
    /// What the root's key must sign: the mTLS leaf, then the signing leaf.
    #[must_use]
    pub fn to_be_signed(&self, serials: [SerialNumber; 2]) -> [ToBeSigned; 2] {
        let [mtls_serial, signing_serial] = serials;
        let subject = Name::new(self.subject);
        let claims = Claims {
            subject: self.subject,
            issued_at: &rfc3339_millis(self.issued_at_millis),
            scopes: self.scopes,
            epoch: self.epoch,
            auth_method: self.auth_method,
            binding: Some(&pair_binding(self.mtls, self.signing)),
            delegation: self.delegation,
            namespace: None,
            identity: self.identity,
        }
        .written();
        let leaf = |serial, key: LeafKey| {
            let fields = Fields {
                serial,
                issuer: &self.issuer.name,
                subject: &subject,
                validity: self.validity,
                spki: &key.to_spki(),
            };
            fields.to_be_signed(|w| end_entity(w, self.issuer, &key, &claims))
        };
        [
            leaf(mtls_serial, LeafKey::Mtls(*self.mtls)),
            leaf(signing_serial, LeafKey::Signing(*self.signing)),
        ]
    }
}

/// What binds the two leaves to each other: SHA-256 over their keys' SubjectPublicKeyInfo.
#[must_use]
pub fn pair_binding(mtls: &P256PublicKey, signing: &Ed25519PublicKey) -> [u8; 32] {
    Sha256::new_with_prefix(mtls.to_spki())
        .chain_update(signing.to_spki())
        .finalize()
        .into()
}

/// The extensions of a leaf, of a pair or of a task: what kind of leaf it is, its key says.
pub(crate) fn end_entity(w: &mut Writer, issuer: &Issuer, key: &LeafKey, claims: &[u8]) {
    // An empty sequence: CA:FALSE is the default, and DER leaves defaults out.
    w.extension(&oid::BASIC_CONSTRAINTS, true, |w| w.sequence(|_| {}));
    match key {
        LeafKey::Mtls(_) => {
            key_usage(w, MTLS_KEY_USAGE);
            client_auth(w);
        }
        LeafKey::Signing(_) => key_usage(w, SIGNING_KEY_USAGE),
    }
    w.raw(claims);
    match key {
        LeafKey::Mtls(key) => {
            let point = [&[4], &key.as_coordinates()[..]].concat();
            key_identifiers(w, issuer, &point);
        }
        LeafKey::Signing(key) => key_identifiers(w, issuer, key.as_bytes()),
    }
}
