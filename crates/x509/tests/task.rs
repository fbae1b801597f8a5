//! Issuing certificates and the task leaves below them, signed with dalek: what goes beyond is refused.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use ed25519_dalek::{Signer, SigningKey};
use notme_keys::native::settle;
use notme_keys::{Ed25519PublicKey, P256PublicKey};
use notme_x509::{
    Beyond, Delegation, Issuer, Issuing, IssuingProfile, Leaf, LeafKey, PairProfile, ReadError,
    Root, RootProfile, SerialNumber, TaskError, TaskLeaf, TaskProfile, Validity, VerifyError,
    is_task_id, oid,
};
use proptest::prelude::*;

const NOW: u64 = 1_795_295_166;
const SUBJECT: &str = "01010101-0101-4101-8101-010101010101";
const IDENTITY: &str = "wimse://id.example.com/principal/01010101-0101-4101-8101-010101010101";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn public(seed: u8) -> Ed25519PublicKey {
    Ed25519PublicKey::from_bytes(key(seed).verifying_key().to_bytes()).unwrap()
}

fn p256() -> LeafKey {
    let xy = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296\
              4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
    LeafKey::Mtls(P256PublicKey::from_coordinates(
        hex::decode(xy).unwrap().try_into().unwrap(),
    ))
}

fn delegation() -> Delegation {
    Delegation {
        id: "0d0d0d0d-0d0d-4d0d-8d0d-0d0d0d0d0d0d".into(),
        on_behalf_of: "0a0a0a0a-0a0a-4a0a-8a0a-0a0a0a0a0a0a".into(),
        audience: None,
        purpose: None,
    }
}

fn root() -> Root {
    let issuer = Issuer::new("id.example.com", &public(1));
    let profile = RootProfile {
        issuer: &issuer,
        key: &public(1),
        serial: SerialNumber::from_random([1; 16]),
        created_at: NOW,
    };
    let tbs = profile.to_be_signed();
    let signature = key(1).sign(tbs.as_bytes()).to_bytes();
    Root::from_der(&tbs.into_certificate(&signature)).unwrap()
}

/// What an issuing certificate says that isn't the same in all tests.
struct Made {
    scopes: Vec<String>,
    delegation: Delegation,
    signer: u8,
}

impl Default for Made {
    fn default() -> Self {
        Self {
            scopes: vec!["bridgeCert".into(), "sign:git".into()],
            delegation: delegation(),
            signer: 1,
        }
    }
}

impl Made {
    fn der(&self) -> Vec<u8> {
        let profile = IssuingProfile {
            issuer: &Issuer::new("id.example.com", &public(1)),
            subject: SUBJECT,
            identity: IDENTITY,
            scopes: &self.scopes,
            auth_method: "passkey",
            epoch: 3,
            issued_at_millis: NOW * 1000,
            validity: Validity::starting(NOW, 300),
            delegation: &self.delegation,
            key: &public(2),
        };
        let tbs = profile.to_be_signed(SerialNumber::from_random([7; 16]));
        let signature = key(self.signer).sign(tbs.as_bytes()).to_bytes();
        tbs.into_certificate(&signature)
    }

    fn read(&self) -> Issuing {
        Issuing::from_der(&self.der()).unwrap()
    }
}

/// What a task leaf says.
#[derive(Clone)]
struct Task {
    subject: String,
    identity: String,
    scopes: Vec<String>,
    auth_method: &'static str,
    epoch: u64,
    validity: Validity,
    delegation: Delegation,
    key: LeafKey,
    signer: u8,
}

impl Default for Task {
    fn default() -> Self {
        Self {
            subject: format!("{SUBJECT}/task/t-1"),
            identity: format!("{IDENTITY}/task/t-1"),
            scopes: vec!["bridgeCert".into()],
            auth_method: "passkey",
            epoch: 3,
            validity: Validity {
                not_before: NOW - 10,
                not_after: NOW + 100,
            },
            delegation: delegation(),
            key: LeafKey::Signing(public(5)),
            signer: 2,
        }
    }
}

impl Task {
    fn der(&self, issuer: &Issuer) -> Vec<u8> {
        let profile = TaskProfile {
            issuer,
            subject: &self.subject,
            identity: &self.identity,
            scopes: &self.scopes,
            auth_method: self.auth_method,
            epoch: self.epoch,
            issued_at_millis: NOW * 1000,
            validity: self.validity,
            delegation: &self.delegation,
            key: &self.key,
        };
        let tbs = profile.to_be_signed(SerialNumber::from_random([9; 16]));
        let signature = key(self.signer).sign(tbs.as_bytes()).to_bytes();
        tbs.into_certificate(&signature)
    }

    fn verdict(&self, issuing: &Issuing, now: u64) -> Result<(), TaskError> {
        let leaf = TaskLeaf::from_der(&self.der(&issuing.as_issuer())).unwrap();
        let signed = leaf
            .signature_checks(issuing, &root())
            .map(|check| settle(&check).is_verified());
        leaf.verify(issuing, &root(), signed, now)
    }
}

#[test]
fn a_task_leaf_says_whose_task_it_is_and_on_whose_behalf() {
    let issuing = Made::default().read();
    assert_eq!(issuing.namespace, format!("{IDENTITY}/task/"));
    assert_eq!((issuing.subject.as_str(), issuing.epoch), (SUBJECT, 3));
    for key in [LeafKey::Signing(public(5)), p256()] {
        let task = Task {
            key,
            ..Task::default()
        };
        assert_eq!(task.verdict(&issuing, NOW), Ok(()));
        let leaf = TaskLeaf::from_der(&task.der(&issuing.as_issuer())).unwrap();
        assert_eq!((leaf.task(), leaf.key), ("t-1", key));
        assert_eq!(leaf.delegation, delegation());
    }
}

#[test]
fn a_task_leaf_goes_beyond_its_issuing_certificate_in_nothing() {
    let issuing = Made::default().read();
    let good = Task::default();
    let validity = issuing.validity;
    let named = |subject: &str, identity: &str| Task {
        subject: subject.into(),
        identity: identity.into(),
        ..good.clone()
    };
    let other = "02020202-0202-4202-8202-020202020202";
    let foreign = IDENTITY.replace(SUBJECT, other);
    let own = |id: &str| {
        named(
            &format!("{SUBJECT}/task/{id}"),
            &format!("{IDENTITY}/task/{id}"),
        )
    };
    for (what, task) in [
        // The principal itself, another one, another one's task, a task of a task, nothing, what reads otherwise.
        (Beyond::Namespace, named(SUBJECT, IDENTITY)),
        (Beyond::Namespace, named(other, &foreign)),
        (
            Beyond::Namespace,
            named(&format!("{other}/task/t-1"), &format!("{foreign}/task/t-1")),
        ),
        (
            Beyond::Namespace,
            named(&format!("{other}/task/t-1"), &good.identity),
        ),
        (
            Beyond::Namespace,
            named(&good.subject, &format!("{foreign}/task/t-1")),
        ),
        (
            Beyond::Namespace,
            named(&good.subject, &format!("{IDENTITY}/task/t-2")),
        ),
        (Beyond::Namespace, own("a/task/b")),
        (Beyond::Namespace, own("")),
        (Beyond::Namespace, own("..")),
        (Beyond::Namespace, own("a%2fb")),
        (Beyond::Namespace, own("a?b")),
        (Beyond::Namespace, own(&"a".repeat(65))),
        (
            Beyond::Scopes,
            Task {
                scopes: vec!["bridgeCert".into(), "authorityManage".into()],
                ..good.clone()
            },
        ),
        (
            Beyond::Lifetime,
            Task {
                validity: Validity {
                    not_after: validity.not_after + 1,
                    ..validity
                },
                ..good.clone()
            },
        ),
        (
            Beyond::Lifetime,
            Task {
                validity: Validity {
                    not_before: validity.not_before - 1,
                    ..validity
                },
                ..good.clone()
            },
        ),
        (
            Beyond::Epoch,
            Task {
                epoch: 4,
                ..good.clone()
            },
        ),
        (
            Beyond::Delegation,
            Task {
                delegation: Delegation {
                    on_behalf_of: other.into(),
                    ..delegation()
                },
                ..good.clone()
            },
        ),
        (
            Beyond::AuthMethod,
            Task {
                auth_method: "gha-oidc",
                ..good.clone()
            },
        ),
    ] {
        let verdict = task.verdict(&issuing, NOW);
        assert_eq!(verdict, Err(TaskError::Beyond(what)), "{}", task.identity);
    }
    // At its ends it is good, and so is one that is called by whatever a task may be called.
    let whole = Task {
        validity,
        ..good.clone()
    };
    for at in [validity.not_before, validity.not_after] {
        assert_eq!(whole.verdict(&issuing, at), Ok(()));
    }
    assert_eq!(own(&"a".repeat(64)).verdict(&issuing, NOW), Ok(()));
}

#[test]
fn limits_can_not_be_left_out_below() {
    let limited = Delegation {
        audience: Some("https://api.example".into()),
        purpose: Some([3; 32]),
        ..delegation()
    };
    let issuing = Made {
        delegation: limited.clone(),
        ..Made::default()
    }
    .read();
    let task = |delegation| Task {
        delegation,
        ..Task::default()
    };
    assert_eq!(task(limited.clone()).verdict(&issuing, NOW), Ok(()));
    for less in [
        delegation(),
        Delegation {
            audience: None,
            ..limited.clone()
        },
        Delegation {
            purpose: None,
            ..limited.clone()
        },
        Delegation {
            audience: Some("https://other.example".into()),
            ..limited
        },
    ] {
        let verdict = task(less).verdict(&issuing, NOW);
        assert_eq!(verdict, Err(TaskError::Beyond(Beyond::Delegation)));
    }
}

#[test]
fn both_are_signed_by_who_is_above_and_valid_now() {
    let issuing = Made::default().read();
    let good = Task::default();
    let leaf = |error| Err(TaskError::Leaf(error));
    assert_eq!(
        good.verdict(&issuing, NOW + 101),
        leaf(VerifyError::Expired(NOW + 100))
    );
    assert_eq!(
        good.verdict(&issuing, NOW - 11),
        leaf(VerifyError::NotYetValid(NOW - 10))
    );
    let forged = Task {
        signer: 5,
        ..good.clone()
    };
    assert_eq!(
        forged.verdict(&issuing, NOW),
        leaf(VerifyError::BadSignature)
    );
    let of_root = Task {
        signer: 1,
        ..good.clone()
    };
    assert_eq!(
        of_root.verdict(&issuing, NOW),
        leaf(VerifyError::BadSignature)
    );
    let forged = Made {
        signer: 2,
        ..Made::default()
    };
    assert_eq!(
        good.verdict(&forged.read(), NOW),
        Err(TaskError::Issuing(VerifyError::BadSignature))
    );
    let expired = Err(TaskError::Issuing(VerifyError::Expired(NOW + 300)));
    assert_eq!(good.verdict(&issuing, NOW + 301), expired);
    // Another issuing certificate of the same principal has another key.
    let mut other = issuing.clone();
    other.key = public(6);
    let made = TaskLeaf::from_der(&good.der(&issuing.as_issuer())).unwrap();
    assert_eq!(
        made.verify(&other, &root(), [true; 2], NOW),
        leaf(VerifyError::UnknownIssuer)
    );
}

#[test]
fn no_kind_of_certificate_is_taken_for_another() {
    let issuing = Made::default();
    let task = Task::default().der(&issuing.read().as_issuer());
    assert!(Leaf::from_der(&issuing.der()).is_err());
    assert!(Root::from_der(&issuing.der()).is_err());
    assert!(TaskLeaf::from_der(&issuing.der()).is_err());
    for read in [
        Leaf::from_der(&task).err(),
        Root::from_der(&task).err(),
        Issuing::from_der(&task).err(),
    ] {
        assert!(read.is_some());
    }
    let [mtls, signing] = pair(Some(&delegation()));
    for pair in [mtls, signing] {
        assert_eq!(TaskLeaf::from_der(&pair), Err(ReadError::BadExtensions));
        assert!(Issuing::from_der(&pair).is_err());
    }
}

#[test]
fn an_issuing_certificate_has_room_for_leaves_and_no_more() {
    let der = Made::default().der();
    // cA TRUE, and the path length; then keyCertSign alone.
    for (begins, last) in [("30060101ff0201", 0_u8), ("030202", 4)] {
        let at = hex::encode(&der)
            .find(&format!("{begins}{last:02x}"))
            .unwrap()
            / 2;
        let mut bent = der.clone();
        bent[at + begins.len() / 2] = if last == 0 { 1 } else { 6 };
        assert!(Issuing::from_der(&bent).is_err(), "{begins}");
    }
}

fn pair(delegation: Option<&Delegation>) -> [Vec<u8>; 2] {
    let LeafKey::Mtls(mtls) = p256() else {
        return Default::default();
    };
    let profile = PairProfile {
        issuer: &Issuer::new("id.example.com", &public(1)),
        subject: SUBJECT,
        identity: IDENTITY,
        scopes: &["bridgeCert".to_owned()],
        auth_method: "passkey",
        epoch: 3,
        issued_at_millis: NOW * 1000,
        validity: Validity::starting(NOW, 300),
        delegation,
        mtls: &mtls,
        signing: &public(5),
    };
    let serials = [SerialNumber::from_random([2; 16]); 2];
    profile.to_be_signed(serials).map(|tbs| {
        let signature = key(1).sign(tbs.as_bytes()).to_bytes();
        tbs.into_certificate(&signature)
    })
}

#[test]
fn a_pair_says_on_whose_behalf_it_is_and_critically_what_limits_it() {
    let own = Leaf::from_der(&pair(None)[0]).unwrap();
    assert_eq!(own.delegation, None);
    let limited = Delegation {
        audience: Some("https://api.example".into()),
        ..delegation()
    };
    // SEQUENCE, the OID 1.3.6.1.4.1.99999.1.7, and then either TRUE or the value.
    let begins = "060a2b06010401868d1f0107";
    for (delegation, next) in [(delegation(), "04"), (limited, "0101ff04")] {
        for der in pair(Some(&delegation)) {
            let leaf = Leaf::from_der(&der).unwrap();
            assert_eq!(leaf.delegation.as_ref(), Some(&delegation));
            assert!(hex::encode(&der).contains(&format!("{begins}{next}")));
        }
    }
    assert_eq!(oid::DELEGATION.to_string(), "1.3.6.1.4.1.99999.1.7");
    // What is critical without limiting, or the reverse, is refused.
    let [der, _] = pair(Some(&delegation()));
    let mut bent = der;
    let at = hex::encode(&bent).find(&format!("{begins}04")).unwrap() / 2;
    bent[at + 11] = 0x08; // extension .1.8, which no pair has
    assert!(Leaf::from_der(&bent).is_err());
}

#[test]
fn every_single_byte_mutation_is_refused() {
    let (made, task) = (Made::default(), Task::default());
    let leaf_der = task.der(&made.read().as_issuer());
    let issuing_der = made.der();
    let is_good = |issuing: &[u8], leaf: &[u8]| {
        let (Ok(issuing), Ok(leaf)) = (Issuing::from_der(issuing), TaskLeaf::from_der(leaf)) else {
            return false;
        };
        let checks = leaf.signature_checks(&issuing, &root());
        let signed = checks.map(|check| settle(&check).is_verified());
        leaf.verify(&issuing, &root(), signed, NOW).is_ok()
    };
    assert!(is_good(&issuing_der, &leaf_der));
    let flipped = |der: &[u8], at: usize| {
        let mut der = der.to_vec();
        der[at] ^= 1;
        der
    };
    for at in 0..issuing_der.len() {
        assert!(!is_good(&flipped(&issuing_der, at), &leaf_der), "{at}");
    }
    for at in 0..leaf_der.len() {
        assert!(!is_good(&issuing_der, &flipped(&leaf_der, at)), "{at}");
    }
}

proptest! {
    #[test]
    fn a_good_leaf_never_has_more_than_its_issuing_certificate(
        above in proptest::collection::vec("[a-c]", 0..4),
        below in proptest::collection::vec("[a-c]", 0..4),
        from in NOW - 70..NOW,
        until in NOW..NOW + 310,
        id in "[a-z./%A-Z0-9_-]{0,70}",
    ) {
        let issuing = Made { scopes: above.clone(), ..Made::default() }.read();
        let task = Task {
            scopes: below.clone(),
            validity: Validity { not_before: from, not_after: until },
            subject: format!("{SUBJECT}/task/{id}"),
            identity: format!("{IDENTITY}/task/{id}"),
            ..Task::default()
        };
        let is_within = below.iter().all(|scope| above.contains(scope))
            && from >= NOW - 60 && until <= NOW + 300 && is_task_id(&id);
        prop_assert_eq!(task.verdict(&issuing, NOW).is_ok(), is_within);
    }
}
