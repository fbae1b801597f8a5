//! The vectors of `schema/fixtures/`, whose expected bytes come from foreign tools: every value is
//! encoded and compared, and every encoding is decoded and compared.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fmt::Debug;

use notme_wire::bundle::{BundleDocument, BundleError};
use notme_wire::conformance::*;
use notme_wire::identity::*;
use notme_wire::receipt::ReceiptCommitment;
use notme_wire::{DecodeError, Message};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(Deserialize)]
struct Fixture<V> {
    vectors: Vec<V>,
}

fn fixture<V: DeserializeOwned>(name: &str) -> Vec<V> {
    let path = format!(
        "{}/../../schema/fixtures/{name}.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).unwrap();
    let fixture: Fixture<V> = serde_json::from_str(&text).unwrap();
    assert!(!fixture.vectors.is_empty());
    fixture.vectors
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "{hex}");
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    pairs.iter().map(|pair| byte(pair)).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Calls a generic function with the struct of this name.
macro_rules! with_struct {
    ($name:expr, $function:ident($argument:expr)) => {
        with_struct!(@ $name, $function($argument);
            CABundle KeyEntry TokenClaims RevocationResult BridgeCertResult BridgeCertPair
            AuthorityState CertPairRequest CertPairPublicKeys CertPairPoP CertRequest Proof
            GHAClaims DispatchPredicate BeadRef AgentIdentity PipelineContext HandoffPredicate
            SignRequest SignResponse OraclePublicKey OracleInfo
            Scalars Defaults Lists Shape Node Choice)
    };
    (@ $name:expr, $function:ident($argument:expr); $($struct:ident)*) => {
        match $name {
            $(stringify!($struct) => $function::<$struct>($argument),)*
            name => panic!("no struct {name}"),
        }
    };
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    #[serde(rename = "struct")]
    of: String,
    /// Absent if a value cannot be in JSON: then [`largest`] makes it.
    json: Option<Value>,
    capnp: String,
}

#[test]
fn identity_vectors() {
    for vector in fixture::<Vector>("identity") {
        with_struct!(vector.of.as_str(), agrees(&vector));
    }
}

#[test]
fn conformance_vectors() {
    for vector in fixture::<Vector>("conformance") {
        with_struct!(vector.of.as_str(), agrees(&vector));
    }
}

fn agrees<T>(vector: &Vector)
where
    T: Message + Debug + PartialEq + serde::Serialize + DeserializeOwned + 'static,
{
    let name = &vector.name;
    let expected = unhex(&vector.capnp);
    let decoded = T::from_canonical_capnp(&expected);
    let decoded = decoded.unwrap_or_else(|error| panic!("{name}: {error}"));
    let value: T = if let Some(json) = &vector.json {
        let value = serde_json::from_value(json.clone());
        let value = value.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(serde_json::to_value(&value).unwrap(), *json, "{name}");
        value
    } else {
        assert!(
            serde_json::to_value(&decoded).is_err(),
            "{name}: JSON would lose digits"
        );
        let value: Box<dyn std::any::Any> = largest(name);
        *value.downcast().unwrap()
    };
    assert_eq!(
        hex(&value.to_canonical_capnp().unwrap()),
        hex(&expected),
        "{name}"
    );
    assert_eq!(decoded, value, "{name}");
}

/// Values with integers that JSON does not carry.
fn largest(name: &str) -> Box<dyn std::any::Any> {
    let bundle = CABundle {
        epoch: 0,
        seqno: 0,
        keys: vec![],
        key_id: "k".into(),
        prev_key_id: String::new(),
        issued_at: i64::MIN,
        signature: vec![],
    };
    match name {
        "cabundle-smallest" => Box::new(bundle),
        "cabundle-largest" => Box::new(CABundle {
            epoch: u64::MAX,
            seqno: u64::MAX,
            issued_at: i64::MAX,
            ..bundle
        }),
        "scalars-largest" => Box::new(Scalars {
            flag: false,
            tiny: 0,
            flagged: false,
            small: 0,
            medium: 0,
            large: i64::MIN,
            tiny_unsigned: 0,
            small_unsigned: 0,
            medium_unsigned: 0,
            large_unsigned: u64::MAX,
            colour: Colour::Red,
        }),
        "lists-largest" => Box::new(Lists {
            large: vec![i64::MIN, i64::MAX],
            large_unsigned: vec![u64::MAX],
            ..empty_lists()
        }),
        "choice-largest" => Box::new(Choice::LargeUnsigned(u64::MAX)),
        name => panic!("no value for {name}"),
    }
}

fn empty_lists() -> Lists {
    let vectors = fixture::<Vector>("conformance");
    let vector = vectors
        .into_iter()
        .find(|vector| vector.name == "lists-empty")
        .unwrap();
    serde_json::from_value(vector.json.unwrap()).unwrap()
}

#[derive(Deserialize)]
struct Malformed {
    name: String,
    #[serde(rename = "struct")]
    of: String,
    capnp: String,
    /// What every reader says of it, or what the lenient reader reads.
    error: Option<String>,
    canonical: Option<String>,
}

#[test]
fn malformed_vectors() {
    for vector in fixture::<Malformed>("malformed") {
        with_struct!(vector.of.as_str(), is_refused(&vector));
    }
}

/// Each is refused with the error it names, or read by the lenient reader alone, and then has the
/// canonical form it names.
fn is_refused<T: Message + Debug>(vector: &Malformed) {
    let name = &vector.name;
    let bytes = unhex(&vector.capnp);
    match (&vector.error, &vector.canonical) {
        (Some(error), None) => {
            assert_eq!(
                error_name(T::from_capnp(&bytes).unwrap_err()),
                error,
                "{name}"
            );
            assert_eq!(
                error_name(T::from_canonical_capnp(&bytes).unwrap_err()),
                error,
                "{name}"
            );
        }
        (None, Some(canonical)) => {
            let value = T::from_capnp(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
            let encoded = value.to_canonical_capnp().unwrap();
            assert_eq!(hex(&encoded), canonical.replace(' ', ""), "{name}");
            let strict = T::from_canonical_capnp(&bytes).unwrap_err();
            assert_eq!(strict, DecodeError::NotCanonical, "{name}");
        }
        _ => panic!("{name}: either an error or a canonical form"),
    }
}

fn error_name(error: DecodeError) -> &'static str {
    match error {
        DecodeError::InvalidUtf8 => "invalidUtf8",
        DecodeError::MissingNul => "missingNul",
        DecodeError::MissingStruct { .. } => "missingStruct",
        DecodeError::NotCanonical => "notCanonical",
        DecodeError::OutOfBounds => "outOfBounds",
        DecodeError::TooDeep => "tooDeep",
        DecodeError::TooMuch => "tooMuch",
        DecodeError::Truncated => "truncated",
        DecodeError::UnknownEnumerant { .. } => "unknownEnumerant",
        DecodeError::UnknownMember { .. } => "unknownMember",
        DecodeError::UnsupportedPointer => "unsupportedPointer",
        DecodeError::WrongKind => "wrongKind",
    }
}

#[derive(Deserialize)]
struct BundleVector {
    name: String,
    document: Value,
    integers: Option<Integers>,
    cbor: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Integers {
    epoch: String,
    seqno: String,
    issued_at: String,
}

/// `notme-protocol` §13.3 and §21.1.
#[test]
fn bundle_vectors() {
    for BundleVector {
        name,
        document,
        integers,
        cbor,
    } in fixture("bundle")
    {
        let document: BundleDocument = serde_json::from_value(document).unwrap();
        let mut bundle = CABundle::try_from(document.clone()).unwrap();
        assert_eq!(BundleDocument::from(&bundle), document, "{name}");
        if let Some(integers) = integers {
            bundle.epoch = integers.epoch.parse().unwrap();
            bundle.seqno = integers.seqno.parse().unwrap();
            bundle.issued_at = integers.issued_at.parse().unwrap();
        }
        // Whatever order the keys come in, the bytes are the same.
        bundle.keys.reverse();
        assert_eq!(hex(&bundle.to_canonical_cbor().unwrap()), cbor, "{name}");

        let mut decoded = CABundle::from_canonical_cbor(&unhex(&cbor)).unwrap();
        assert_eq!(decoded.signature, b"", "{name}");
        decoded.signature = bundle.signature;
        assert_eq!(BundleDocument::from(&decoded).keys, document.keys, "{name}");
        assert_eq!(hex(&decoded.to_canonical_cbor().unwrap()), cbor, "{name}");
    }
}

#[derive(Deserialize)]
struct MalformedBundle {
    name: String,
    cbor: String,
    error: String,
}

#[test]
fn malformed_bundle_vectors() {
    for MalformedBundle { name, cbor, error } in fixture("malformed-bundle") {
        let found = match CABundle::from_canonical_cbor(&unhex(&cbor)).unwrap_err() {
            BundleError::DuplicateKeyId => "duplicateKeyId",
            BundleError::InvalidBase64 => "invalidBase64",
            BundleError::InvalidCbor => "invalidCbor",
            BundleError::InvalidTime => "invalidTime",
        };
        assert_eq!(found, error, "{name}");
    }
}

#[test]
fn a_bundle_with_two_keys_of_one_id_has_no_cbor() {
    let document = r#"{"epoch":1,"seqno":1,"keys":[{"kid":"a","publicKey":""},{"kid":"a","publicKey":"AA=="}],
        "keyId":"a","issuedAt":1,"signature":""}"#;
    let bundle: CABundle = serde_json::from_str(document).unwrap();
    assert_eq!(bundle.to_canonical_cbor(), Err(BundleError::DuplicateKeyId));
    let before_1970 = CABundle {
        issued_at: -1,
        keys: vec![],
        ..bundle
    };
    assert_eq!(
        before_1970.to_canonical_cbor(),
        Err(BundleError::InvalidTime)
    );
}

#[derive(Deserialize)]
struct MalformedJson {
    name: String,
    #[serde(rename = "struct")]
    of: String,
    json: Value,
}

/// What no language accepts as JSON.
#[test]
fn malformed_json_vectors() {
    fn refuses<T: DeserializeOwned + Debug>(vector: &MalformedJson) {
        let value = serde_json::from_value::<T>(vector.json.clone());
        assert!(value.is_err(), "{}: {value:?}", vector.name);
    }
    for vector in fixture::<MalformedJson>("malformed-json") {
        with_struct!(vector.of.as_str(), refuses(&vector));
    }
}

#[derive(Deserialize)]
struct ReceiptVector {
    name: String,
    commitment: Commitment,
    cbor: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Commitment {
    epoch: u64,
    nonce: String,
    status: u64,
    actor_fp: String,
    body_hash: String,
    delegation: Option<String>,
    headers_hash: String,
    request_hash: String,
    timestamp_ms: u64,
}

/// `notme-protocol` §16.1 and §21.2.
#[test]
fn receipt_vectors() {
    let hash = |digits: &str| unhex(digits).try_into().unwrap();
    for ReceiptVector {
        name,
        commitment,
        cbor,
    } in fixture("receipt")
    {
        let value = ReceiptCommitment {
            epoch: commitment.epoch,
            nonce: unhex(&commitment.nonce),
            status: commitment.status,
            actor_fp: hash(&commitment.actor_fp),
            body_hash: hash(&commitment.body_hash),
            delegation: commitment.delegation.as_deref().map(unhex),
            headers_hash: hash(&commitment.headers_hash),
            request_hash: hash(&commitment.request_hash),
            timestamp_ms: commitment.timestamp_ms,
        };
        let bytes = value.to_canonical_cbor().unwrap();
        assert_eq!(hex(&bytes), cbor, "{name}");
        let short = ReceiptCommitment {
            nonce: vec![0; 15],
            ..value.clone()
        };
        assert_eq!(short.to_canonical_cbor(), None, "{name}");
        assert_eq!(
            ReceiptCommitment::from_canonical_cbor(&bytes),
            Some(value),
            "{name}"
        );
        // No shorter and no longer message is one, and none with another head.
        for length in 0..bytes.len() {
            let cut = bytes.get(..length).unwrap();
            assert_eq!(ReceiptCommitment::from_canonical_cbor(cut), None, "{name}");
        }
        assert_eq!(
            ReceiptCommitment::from_canonical_cbor(&[&bytes[..], &[0]].concat()),
            None
        );
        let renamed = cbor.replacen("6e6f6e6365", "6e6f6e6366", 1);
        assert_eq!(
            ReceiptCommitment::from_canonical_cbor(&unhex(&renamed)),
            None,
            "{name}"
        );
    }
}
