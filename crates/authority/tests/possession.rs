//! The documented vector of a proof of possession over a challenge (`docs/people.md`), whose keys are those of
//! RFC 6979 A.2.5 and RFC 8032 §7.1 and whose signatures another implementation made (python-cryptography).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use notme_authority::possession::{BoundTo, PairRequest};
use notme_authority::{Error, Possession};
use notme_keys::decode_base64url;
use notme_keys::native::settle;

const DOCUMENT: &str = include_str!("../../../docs/people.md");

/// The value of a line of the vector.
fn value(name: &str) -> &'static str {
    let line = DOCUMENT
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
    let body = serde_json::json!({
        "public_keys": { "mtls": pem(value("mtlsSPKI")), "signing": pem(value("signingSPKI")) },
        "proofs": { "mtls": value("mtls proof"), "signing": value("signing proof") },
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
