//! The enrolment pair (`docs/certificate-profile.md`, "Leaves").

use notme_keys::{Ed25519PublicKey, P256PublicKey};
use sha2::{Digest, Sha256};

use crate::certificate::{
    Fields, SerialNumber, ToBeSigned, Validity, key_usage, subject_key_identifier, text_extension,
};
use crate::name::Name;
use crate::oid;
use crate::root::{Issuer, key_identifier};
use crate::time::rfc3339_millis;
use crate::writer::{Writer, tag};

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
        let (mtls_spki, signing_spki) = (self.mtls.to_spki(), self.signing.to_spki());
        let subject = Name::new(self.subject);
        let shared = self.shared_extensions(&pair_binding(self.mtls, self.signing));
        let fields = |serial, spki| Fields {
            serial,
            issuer: &self.issuer.name,
            subject: &subject,
            validity: self.validity,
            spki,
        };
        let mtls = fields(mtls_serial, &mtls_spki).to_be_signed(|w| {
            basic_constraints(w);
            key_usage(w, MTLS_KEY_USAGE);
            w.extension(&oid::EXT_KEY_USAGE, false, |w| {
                w.sequence(|w| w.oid(&oid::CLIENT_AUTH))
            });
            w.raw(&shared);
            let point = [&[4], &self.mtls.as_coordinates()[..]].concat();
            self.key_identifiers(w, &point);
        });
        let signing = fields(signing_serial, &signing_spki).to_be_signed(|w| {
            basic_constraints(w);
            key_usage(w, SIGNING_KEY_USAGE);
            w.raw(&shared);
            self.key_identifiers(w, self.signing.as_bytes());
        });
        [mtls, signing]
    }

    /// The extensions that are the same in both leaves, in the order that verifiers know.
    fn shared_extensions(&self, binding: &[u8; 32]) -> Vec<u8> {
        let mut w = Writer::with_capacity(512);
        text_extension(&mut w, &oid::SUBJECT_IDENTITY, self.subject);
        text_extension(
            &mut w,
            &oid::ISSUANCE_TIME,
            &rfc3339_millis(self.issued_at_millis),
        );
        w.extension(&oid::SCOPES, false, |w| {
            w.sequence(|w| self.scopes.iter().for_each(|scope| w.utf8(scope)));
        });
        w.extension(&oid::EPOCH, false, |w| {
            w.unsigned(&self.epoch.to_be_bytes())
        });
        text_extension(&mut w, &oid::AUTH_METHOD, self.auth_method);
        // Verifiers print the extnValue as hex: an inner header would change what they compare.
        w.extension(&oid::PAIR_BINDING, false, |w| w.raw(binding));
        w.extension(&oid::SUBJECT_ALT_NAME, true, |w| {
            w.sequence(|w| w.primitive(tag::URI, self.identity.as_bytes()));
        });
        w.into_bytes()
    }

    fn key_identifiers(&self, w: &mut Writer, public_key_bits: &[u8]) {
        w.extension(&oid::AUTHORITY_KEY_IDENTIFIER, false, |w| {
            w.sequence(|w| w.primitive(tag::KEY_IDENTIFIER, &self.issuer.key_identifier));
        });
        subject_key_identifier(w, &key_identifier(public_key_bits));
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

/// An empty sequence: CA:FALSE is the default, and DER leaves defaults out.
fn basic_constraints(w: &mut Writer) {
    w.extension(&oid::BASIC_CONSTRAINTS, true, |w| w.sequence(|_| {}));
}
