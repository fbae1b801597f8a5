//! A root and a pair signed with dalek, read back by our reader and checked field by field.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use ed25519_dalek::{Signer, SigningKey};
use notme_keys::native::settle;
use notme_keys::{Ed25519PublicKey, P256PublicKey};
use notme_x509::{
    Issuer, Leaf, LeafKey, PairProfile, Root, RootProfile, SerialNumber, Validity, VerifyError,
    oid, pair_binding,
};

const NOW: u64 = 1_795_295_166;

struct Ca {
    key: SigningKey,
    issuer: Issuer,
}

impl Ca {
    fn new(seed: u8, host: &str) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let public = Ed25519PublicKey::from_bytes(key.verifying_key().to_bytes()).unwrap();
        Self {
            issuer: Issuer::new(host, &public),
            key,
        }
    }

    fn root(&self) -> Vec<u8> {
        self.root_made_at(NOW)
    }

    fn root_made_at(&self, created_at: u64) -> Vec<u8> {
        let public = Ed25519PublicKey::from_bytes(self.key.verifying_key().to_bytes()).unwrap();
        let root = RootProfile {
            issuer: &self.issuer,
            key: &public,
            serial: SerialNumber::from_random([0xab; 16]),
            created_at,
        };
        let tbs = root.to_be_signed();
        let signature = self.key.sign(tbs.as_bytes()).to_bytes();
        tbs.into_certificate(&signature)
    }

    fn pair(&self) -> [Vec<u8>; 2] {
        let signing = signing_key();
        PairProfile {
            issuer: &self.issuer,
            subject: SUBJECT,
            identity: "wimse://auth.example.com/gha/acme/app",
            scopes: &["bridgeCert".into()],
            auth_method: "gha-oidc",
            epoch: 300,
            issued_at_millis: NOW * 1000 + 1,
            validity: Validity::starting(NOW, 300),
            delegation: None,
            mtls: &mtls_key(),
            signing: &signing,
        }
        .to_be_signed([
            SerialNumber::from_random([0; 16]),
            SerialNumber::from_random([0xff; 16]),
        ])
        .map(|tbs| {
            let signature = self.key.sign(tbs.as_bytes()).to_bytes();
            tbs.into_certificate(&signature)
        })
    }
}

const SUBJECT: &str =
    "repo:acme/app,O=evil:environment:a very long environment name, as GitHub allows them";

fn mtls_key() -> P256PublicKey {
    // The generator of P-256 (SEC 2 §2.4.2): the public key of the private key 1.
    let xy = hex::decode(
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
         4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    );
    P256PublicKey::from_coordinates(xy.unwrap().try_into().unwrap())
}

fn signing_key() -> Ed25519PublicKey {
    Ed25519PublicKey::from_bytes(SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes())
        .unwrap()
}

fn verify(leaf: &[u8], root: &[u8], now: u64) -> Result<Leaf, VerifyError> {
    let (leaf, root) = (Leaf::from_der(leaf).unwrap(), Root::from_der(root).unwrap());
    let signed = settle(&leaf.signature_check(&root)).is_verified();
    leaf.verify(&root, signed, now)?;
    Ok(leaf)
}

#[test]
fn a_root_is_signed_by_itself() {
    let root = Root::from_der(&Ca::new(1, "auth.example.com").root()).unwrap();
    assert!(settle(root.signature_check()).is_verified());
    assert_eq!(root.validity().not_after - NOW, 315_576_000);
}

#[test]
fn both_leaves_say_what_they_were_told() {
    let ca = Ca::new(1, "auth.example.com");
    let [mtls, signing] = ca.pair().map(|der| verify(&der, &ca.root(), NOW).unwrap());
    assert_eq!(mtls.key, LeafKey::Mtls(mtls_key()));
    assert_eq!(signing.key, LeafKey::Signing(signing_key()));
    assert_eq!(mtls.serial, [0]);
    assert_eq!(signing.serial, [&[0][..], &[0xff; 16]].concat());
    for leaf in [mtls, signing] {
        assert_eq!(leaf.subject, SUBJECT);
        assert_eq!(leaf.identity, "wimse://auth.example.com/gha/acme/app");
        assert_eq!(leaf.scopes, ["bridgeCert"]);
        assert_eq!(leaf.auth_method, "gha-oidc");
        assert_eq!(leaf.epoch, 300);
        assert_eq!(leaf.issued_at, "2026-11-21T21:06:06.001Z");
        assert_eq!(leaf.binding, pair_binding(&mtls_key(), &signing_key()));
        assert_eq!(
            leaf.validity,
            Validity {
                not_before: NOW - 60,
                not_after: NOW + 300
            }
        );
    }
}

#[test]
fn validity_includes_both_ends() {
    let ca = Ca::new(1, "auth.example.com");
    let [leaf, _] = ca.pair();
    for (now, expected) in [
        (NOW - 61, Some(VerifyError::NotYetValid(NOW - 60))),
        (NOW - 60, None),
        (NOW + 300, None),
        (NOW + 301, Some(VerifyError::Expired(NOW + 300))),
    ] {
        assert_eq!(verify(&leaf, &ca.root(), now).err(), expected, "{now}");
    }
}

#[test]
fn a_root_is_valid_for_a_time_too() {
    let ca = Ca::new(1, "auth.example.com");
    let [leaf, _] = ca.pair();
    for (made_at, expected) in [
        (NOW - 315_576_001, Some(VerifyError::Expired(NOW - 1))),
        (NOW - 315_576_000, None),
        (NOW + 60, None),
        (NOW + 61, Some(VerifyError::NotYetValid(NOW + 1))),
    ] {
        let root = ca.root_made_at(made_at);
        assert_eq!(verify(&leaf, &root, NOW).err(), expected, "{made_at}");
    }
}

#[test]
fn another_authority_is_another_issuer() {
    let ca = Ca::new(1, "auth.example.com");
    let [leaf, _] = ca.pair();
    for other in [
        Ca::new(2, "auth.example.com"),
        Ca::new(1, "auth.example.org"),
    ] {
        assert_eq!(
            verify(&leaf, &other.root(), NOW).err(),
            Some(VerifyError::UnknownIssuer)
        );
    }
}

#[test]
fn every_single_byte_mutation_is_refused() {
    let ca = Ca::new(1, "auth.example.com");
    let root = Root::from_der(&ca.root()).unwrap();
    for der in ca.pair() {
        for at in 0..der.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut mutated = der.clone();
                if let Some(byte) = mutated.get_mut(at) {
                    *byte ^= flip;
                }
                let accepted = Leaf::from_der(&mutated).is_ok_and(|leaf| {
                    let signed = settle(&leaf.signature_check(&root)).is_verified();
                    leaf.verify(&root, signed, NOW).is_ok()
                });
                assert!(!accepted, "byte {at} ^ {flip:#x}");
            }
        }
        assert!(Leaf::from_der(&[&der[..], &[0]].concat()).is_err());
    }
}

#[test]
fn a_root_is_no_leaf_and_a_leaf_is_no_root() {
    let ca = Ca::new(1, "auth.example.com");
    assert!(Leaf::from_der(&ca.root()).is_err());
    for leaf in ca.pair() {
        assert!(Root::from_der(&leaf).is_err());
    }
}

#[test]
fn encoding_is_pinned() {
    // Verifiers in the field read these bytes; a change here is a change of the profile.
    let [mtls, _] = Ca::new(1, "auth.example.com").pair();
    let mtls = hex::encode(mtls);
    for expected in [
        // .1.3 scopes ["bridgeCert"]
        "300c0c0a62726964676543657274",
        // .1.4 epoch 300, minimal
        "04040202012c",
        // basic constraints, critical, empty
        "300c0603551d130101ff04023000",
        // key usage digitalSignature + keyAgreement, critical
        "300e0603551d0f0101ff040403020388",
        // extended key usage clientAuth
        "30130603551d25040c300a06082b06010505070302",
    ] {
        assert!(mtls.contains(expected), "{expected}");
    }
}

#[test]
fn the_document_shows_our_bytes() {
    let document = include_str!("../../../docs/certificate-profile.md");
    let ca = Ca::new(1, "auth.example.com");
    let [mtls, signing] = ca.pair();
    let made = [ca.root(), mtls, signing].map(hex::encode);
    let blocks: Vec<String> = document
        .split("```hex\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(|block| block.split_whitespace().collect())
        .collect();
    assert_eq!(blocks.len(), 8);
    for block in blocks {
        assert!(
            made.iter().any(|certificate| certificate.contains(&block)),
            "{block}"
        );
    }
    for value in [oid::ARC, &format!("`{}.1.1`", oid::ARC)] {
        assert!(document.contains(value), "{value}");
    }
}
