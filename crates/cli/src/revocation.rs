//! Revocation bundles: whether one is its authority's and fresh, and what it says of a certificate.

use notme_keys::native::settle;
use notme_keys::{SignatureCheck, VerifyingKey};
use notme_wire::bundle::BundleDocument;
use notme_wire::identity::{CABundle, KeyEntry};
use notme_x509::{Leaf, Root};

use crate::failure::Failure;
use crate::time::show;

/// How old a bundle may be, in seconds (notme protocol §13.5).
const MAX_AGE: u64 = 300;
/// How far ahead of ours the authority's clock may be, in seconds.
const MAX_SKEW: u64 = 60;

/// Reads a bundle that `root` signed and that is fresh at `at`.
pub(crate) fn authentic(json: &[u8], root: &Root, at: u64) -> Result<CABundle, Failure> {
    let bad = |why: &str| {
        Failure::refused(
            "bundle_malformed",
            format!("the revocation bundle is malformed: {why}"),
        )
    };
    let document: BundleDocument =
        serde_json::from_slice(json).map_err(|_| bad("not the JSON of a bundle"))?;
    let bundle = CABundle::try_from(document).map_err(|why| bad(&why.to_string()))?;
    let key_id = root.key().key_id().to_string();
    let key = bundle.keys.iter().find(|key| key.kid == bundle.key_id);
    let is_of_root =
        bundle.key_id == key_id && key.is_some_and(|key| key.public_key == root.key().as_bytes());
    if !is_of_root {
        return Err(Failure::refused(
            "bundle_unknown_key",
            "the revocation bundle is of another key than the CA's: it is another authority's, or the \
             authority has a new key and the CA must be fetched anew",
        ));
    }
    let check = SignatureCheck {
        key: VerifyingKey::Ed25519(*root.key()),
        messages: vec![
            bundle
                .to_canonical_cbor()
                .map_err(|why| bad(&why.to_string()))?,
        ],
        signature: bundle.signature.clone(),
    };
    if !settle(&check).is_verified() {
        return Err(Failure::refused(
            "bundle_signature",
            "the revocation bundle is not signed by the CA",
        ));
    }
    let issued_at = u64::try_from(bundle.issued_at).map_err(|_| bad("its time"))?;
    if issued_at > at.saturating_add(MAX_SKEW) {
        return Err(Failure::refused(
            "bundle_from_future",
            format!(
                "the revocation bundle is of {}, which is still to come",
                show(issued_at)
            ),
        ));
    }
    if at.saturating_sub(issued_at) > MAX_AGE {
        return Err(Failure::refused(
            "bundle_stale",
            format!(
                "the revocation bundle is of {}, more than {MAX_AGE} seconds old",
                show(issued_at)
            ),
        ));
    }
    Ok(bundle)
}

/// Whether a leaf of `root` is of the epoch that the bundle says it is, and of a key that it names.
pub(crate) fn of_epoch(leaf: &Leaf, root: &Root, bundle: &CABundle) -> Result<(), Failure> {
    let (ours, current) = (leaf.epoch, bundle.epoch);
    if ours < current {
        return Err(Failure::refused(
            "revoked",
            format!(
                "the certificate is revoked: it is of epoch {ours}, and now it is epoch {current}"
            ),
        ));
    }
    if ours > current {
        return Err(Failure::refused(
            "epoch_ahead",
            format!(
                "the certificate is of epoch {ours}, and the revocation bundle still of {current}"
            ),
        ));
    }
    let key = root.key();
    let is_named = |named: &KeyEntry| {
        named.kid == key.key_id().to_string() && named.public_key == key.as_bytes()
    };
    if !bundle.keys.iter().any(is_named) {
        return Err(Failure::refused(
            "revoked",
            "the certificate is signed with a key that the authority no longer vouches for",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};
    use notme_keys::{Ed25519PublicKey, P256PublicKey, encode_pem};
    use notme_x509::{Issuer, PairProfile, RootProfile, SerialNumber, Validity};

    use super::*;
    use crate::roots::Roots;

    const NOW: u64 = 1_795_295_166;

    /// An authority with one key.
    struct Ca {
        key: SigningKey,
        public: Ed25519PublicKey,
        issuer: Issuer,
    }

    impl Ca {
        fn new(seed: u8) -> Self {
            let key = SigningKey::from_bytes(&[seed; 32]);
            let public = Ed25519PublicKey::from_bytes(key.verifying_key().to_bytes()).unwrap();
            let issuer = Issuer::new("id.example.com", &public);
            Self {
                key,
                public,
                issuer,
            }
        }

        fn root(&self) -> String {
            let profile = RootProfile {
                issuer: &self.issuer,
                key: &self.public,
                serial: SerialNumber::from_random([1; 16]),
                created_at: NOW,
            };
            let unsigned = profile.to_be_signed();
            let signature = self.key.sign(unsigned.as_bytes()).to_bytes();
            encode_pem("CERTIFICATE", &unsigned.into_certificate(&signature))
        }

        fn leaf(&self, epoch: u64) -> Leaf {
            let profile = PairProfile {
                issuer: &self.issuer,
                subject: "repo:acme/app",
                identity: "wimse://id.example.com/gha/acme/app",
                scopes: &["bridgeCert".to_owned()],
                auth_method: "gha-oidc",
                epoch,
                issued_at_millis: NOW * 1000,
                validity: Validity::starting(NOW, 300),
                mtls: &P256PublicKey::from_coordinates([7; 64]),
                signing: &self.public,
            };
            let [_, unsigned] = profile.to_be_signed([SerialNumber::from_random([2; 16]); 2]);
            let signature = self.key.sign(unsigned.as_bytes()).to_bytes();
            Leaf::from_der(&unsigned.into_certificate(&signature)).unwrap()
        }

        fn bundle(&self, epoch: u64, issued_at: u64) -> Vec<u8> {
            self.bundle_with(&[], epoch, issued_at)
        }

        /// A bundle that vouches for others' keys too.
        fn bundle_with(&self, others: &[&Self], epoch: u64, issued_at: u64) -> Vec<u8> {
            let key_id = self.public.key_id().to_string();
            let entry = |ca: &Self| KeyEntry {
                kid: ca.public.key_id().to_string(),
                public_key: ca.public.as_bytes().to_vec(),
            };
            let mut bundle = CABundle {
                epoch,
                seqno: 1,
                keys: std::iter::once(&self)
                    .chain(others)
                    .map(|ca| entry(ca))
                    .collect(),
                key_id,
                prev_key_id: String::new(),
                issued_at: i64::try_from(issued_at).unwrap(),
                signature: Vec::new(),
            };
            let signed = bundle.to_canonical_cbor().unwrap();
            bundle.signature = self.key.sign(&signed).to_bytes().to_vec();
            serde_json::to_vec(&BundleDocument::from(&bundle)).unwrap()
        }
    }

    /// The code with which the leaf is refused.
    fn judge(roots: &str, leaf: &Leaf, bundle: &[u8]) -> Option<String> {
        let roots = Roots::parse(roots.as_bytes()).unwrap();
        let judged = roots.issuer_of(leaf, NOW).and_then(|root| {
            let bundle = authentic(bundle, roots.current(), NOW)?;
            of_epoch(leaf, root, &bundle)
        });
        judged.err().map(|failure| failure.code)
    }

    #[test]
    fn a_bundle_is_fresh_for_300_seconds_and_may_be_60_ahead() {
        let ca = Ca::new(1);
        for (issued_at, code) in [
            (NOW - 301, Some("bundle_stale")),
            (NOW - 300, None),
            (NOW + 60, None),
            (NOW + 61, Some("bundle_from_future")),
        ] {
            let judged = judge(&ca.root(), &ca.leaf(3), &ca.bundle(3, issued_at));
            assert_eq!(judged.as_deref(), code, "{issued_at}");
        }
    }

    #[test]
    fn a_leaf_is_of_the_bundle_s_epoch() {
        let ca = Ca::new(1);
        for (epoch, code) in [(2, Some("revoked")), (3, None), (4, Some("epoch_ahead"))] {
            let judged = judge(&ca.root(), &ca.leaf(epoch), &ca.bundle(3, NOW));
            assert_eq!(judged.as_deref(), code, "{epoch}");
        }
    }

    #[test]
    fn a_former_key_s_leaves_are_good_while_the_bundle_names_it() {
        let (current, former) = (Ca::new(1), Ca::new(2));
        let roots = format!("{}\n{}\n", current.root(), former.root());
        let judged = |bundle: &[u8]| judge(&roots, &former.leaf(3), bundle);
        let named = current.bundle_with(&[&former], 3, NOW);
        assert_eq!(judged(&named), None);
        assert_eq!(judge(&current.root(), &current.leaf(3), &named), None);
        let revoked = Some("revoked".to_owned());
        assert_eq!(judged(&current.bundle_with(&[&former], 4, NOW)), revoked);
        // Another key under the former one's id doesn't vouch for it.
        let bundle = |key: &Ca, id: &Ca| {
            let json = current.bundle_with(&[&former], 3, NOW);
            let mut bundle = authentic(&json, &root_of(&current), NOW).unwrap();
            bundle.keys = vec![KeyEntry {
                kid: id.public.key_id().to_string(),
                public_key: key.public.as_bytes().to_vec(),
            }];
            of_epoch(&former.leaf(3), &root_of(&former), &bundle)
        };
        assert!(bundle(&former, &former).is_ok());
        assert!(bundle(&current, &former).is_err());
    }

    fn root_of(ca: &Ca) -> Root {
        Root::from_der(&notme_keys::decode_pem("CERTIFICATE", &ca.root()).unwrap()).unwrap()
    }

    #[test]
    fn only_the_first_root_s_key_signs_bundles_and_certificates() {
        let (current, former) = (Ca::new(1), Ca::new(2));
        let roots = format!("{}\n{}\n", current.root(), former.root());
        let judged = |leaf, bundle: &[u8]| judge(&roots, &leaf, bundle);
        assert_eq!(judged(current.leaf(3), &current.bundle(3, NOW)), None);
        // Who has a key of the past may sign anything with it.
        let revoked = Some("revoked".to_owned());
        assert_eq!(judged(former.leaf(3), &current.bundle(3, NOW)), revoked);
        let unknown = Some("bundle_unknown_key".to_owned());
        assert_eq!(judged(former.leaf(3), &former.bundle(3, NOW)), unknown);
        assert_eq!(judged(current.leaf(3), &former.bundle(3, NOW)), unknown);
    }
}
