//! The documented vector of a proof of possession over a challenge (`docs/people.md`), whose keys are those of
//! RFC 6979 A.2.5 and RFC 8032 §7.1 and whose signatures another implementation made (python-cryptography).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use notme_authority::possession::{BoundTo, PairRequest};
use notme_authority::{Error, Possession};
use notme_chain::Certificate;
use notme_keys::native::settle;
use notme_keys::{SignatureCheck, decode_base64_any, decode_base64url};
use sha2::{Digest, Sha256};

const DOCUMENT: &str = include_str!("../../../docs/people.md");

const DOORS: &str = include_str!("../../../docs/doors.md");

/// The value of a line of the vector.
fn value(name: &str) -> &'static str {
    value_in(DOCUMENT, name)
}

fn value_in(document: &'static str, name: &str) -> &'static str {
    let line = document
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).trim()
}

fn pem(base64: &str) -> String {
    format!("-----BEGIN PUBLIC KEY-----\n{base64}\n-----END PUBLIC KEY-----\n")
}

fn challenge() -> [u8; 32] {
    let bytes = decode_base64url(value("challenge")).unwrap();
    bytes.try_into().unwrap()
}

fn request() -> PairRequest {
    request_with(DOCUMENT)
}

/// The same keys, with the proofs of this document.
fn request_with(proofs: &'static str) -> PairRequest {
    let proof = |name| value_in(proofs, name);
    let body = serde_json::json!({
        "public_keys": { "mtls": pem(value("mtlsSPKI")), "signing": pem(value("signingSPKI")) },
        "proofs": { "mtls": proof("mtls proof"), "signing": proof("signing proof") },
    });
    PairRequest::parse(body.to_string().as_bytes()).unwrap()
}

#[test]
fn the_documented_vector_verifies_over_its_challenge_and_nothing_else() {
    let judge = |bound_to: BoundTo<'_>| {
        let checks = request().checks(bound_to);
        request().settled([settle(&checks[0]), settle(&checks[1])])
    };
    let challenge = challenge();
    assert_eq!(judge(BoundTo::Challenge(&challenge)), Ok(()));
    let failed = Err(Error::PossessionFailed(Possession::P256));
    assert_eq!(judge(BoundTo::Challenge(&[0; 32])), failed);
    assert_eq!(judge(BoundTo::Nothing), failed);
    assert_eq!(judge(BoundTo::Token(value("challenge"))), failed);
}

#[test]
fn the_documented_message_is_what_is_signed() {
    let message = hex::decode(value("message")).unwrap();
    let challenge = challenge();
    for check in request().checks(BoundTo::Challenge(&challenge)) {
        assert_eq!(check.messages, [message.as_slice()]);
    }
}

#[test]
fn the_documented_certificate_signs_the_documented_message() {
    let of = |name| value_in(DOORS, name);
    let der = decode_base64_any(of("leaf")).unwrap();
    let message = request().message_of_certificate(&der, &challenge());
    assert_eq!(hex::encode(&message), of("message"));
    let check = SignatureCheck {
        key: Certificate::read(&der).unwrap().key().unwrap(),
        messages: vec![message],
        signature: decode_base64url(of("signature")).unwrap(),
    };
    assert!(settle(&check).is_verified());
    let other = request().message_of_certificate(&der, &[0; 32]);
    assert_ne!(check.messages, [other]);
}

#[test]
fn the_documented_keys_sign_which_connection_they_mean() {
    let der = decode_base64_any(value_in(DOORS, "leaf")).unwrap();
    let digest: [u8; 32] = Sha256::digest(der).into();
    let challenge = challenge();
    let request = request_with(DOORS);
    let judge = |bound_to: BoundTo<'_>| {
        let checks = request.checks(bound_to);
        request.settled([settle(&checks[0]), settle(&checks[1])])
    };
    let bound_to = BoundTo::Connection(&challenge, &digest);
    let message = hex::decode(value_in(DOORS, "mtls message")).unwrap();
    for check in request.checks(bound_to) {
        assert_eq!(check.messages, [message.as_slice()]);
    }
    assert_eq!(judge(bound_to), Ok(()));
    let failed = Err(Error::PossessionFailed(Possession::P256));
    assert_eq!(judge(BoundTo::Connection(&challenge, &[0; 32])), failed);
    assert_eq!(judge(BoundTo::Connection(&[0; 32], &digest)), failed);
    assert_eq!(judge(BoundTo::Challenge(&challenge)), failed);
}
