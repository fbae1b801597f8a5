//! `schema/identity.capnp` is read by earlier releases: its file id, names, ordinals and types are
//! frozen as `notme-protocol` §20 has them. New fields may follow, with the next ordinal.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::HashMap;
use std::path::PathBuf;

use capnp::message::ReaderOptions;
use capnp::schema_capnp::{code_generator_request, field, node, type_};
use support::compile;

/// §20: a struct or enum, then its fields or enumerants in the order of their ordinals, from 0. A
/// type stands for all names before it.
const FROZEN: &str = "
struct CABundle: epoch seqno UInt64, keys List(KeyEntry), keyId prevKeyId Text, issuedAt Int64, signature Data
struct KeyEntry: kid Text, publicKey Data
struct TokenClaims: keyId Text, epoch UInt64
enum RevocationReason: epochMismatch unknownKey rollbackAttack bundleInvalid bundleStale
struct RevocationResult: revoked Bool, reason RevocationReason
struct BridgeCertResult: certificate privateKey Text, expiresAt Int64, subject Text, scope CertScope
struct BridgeCertPair: mtlsCert signingCert identity Text, scopes List(Text), expiresAt Int64, subject binding Text, epoch UInt64, authMethod Text
enum CertScope: bridgeCert authorityManage certMint
struct AuthorityState: epoch UInt64, keyId Text
struct CertPairRequest: proof Proof, publicKeys CertPairPublicKeys, proofs CertPairPoP
struct CertPairPublicKeys: mtls signing Text
struct CertPairPoP: mtls signing Data
struct CertRequest: scopes List(CertScope), proof Proof
struct Proof: ghaOidc GHAClaims, passkey Data, bootstrapCode Text
struct GHAClaims: iss sub aud Text, exp iat Int64, jti repository repositoryOwner ref sha actor workflow jobWorkflowRef runId eventName environment Text
struct DispatchPredicate: beadRef BeadRef, agent AgentIdentity, pipeline PipelineContext, signingCert BridgeCertResult, certPair BridgeCertPair
struct BeadRef: repo beadId contentHash Text
struct AgentIdentity: name provider model definition Text
struct PipelineContext: phases List(Text), currentPhase UInt32, pipelineId Text
struct HandoffPredicate: fromPhase toPhase summary Text, filesChanged commitShas List(Text), previousChainHash chainHash Text, signingCert BridgeCertResult, certPair BridgeCertPair
struct SignRequest: digest Data, algorithm purpose Text
struct SignResponse: signature Data, identity Text
struct OraclePublicKey: key Data, algorithm certPem identity Text, expiresAt Int64
struct OracleInfo: keys List(OraclePublicKey), scopes List(Text), epoch UInt64
";

#[test]
fn ids_names_ordinals_and_types_are_kept() {
    let Some(bytes) = compile(&[PathBuf::from("schema/identity.capnp")]) else {
        return;
    };
    let message = capnp::serialize::read_message(bytes.as_slice(), ReaderOptions::new()).unwrap();
    let request: code_generator_request::Reader<'_> = message.get_root().unwrap();
    let nodes = request.get_nodes().unwrap();
    let nodes: HashMap<_, _> = nodes
        .into_iter()
        .map(|node| (node.get_id(), node))
        .collect();
    let file = nodes.get(&0xb8e3_f1a2_c4d5_e6f7).unwrap();
    let mut types = HashMap::new();
    for nested in file.get_nested_nodes().unwrap() {
        let name = nested.get_name().unwrap().to_str().unwrap();
        types.insert(name, *nodes.get(&nested.get_id()).unwrap());
    }
    for line in FROZEN.lines().filter(|line| !line.is_empty()) {
        let (head, members) = line.split_once(": ").unwrap();
        let (kind, name) = head.split_once(' ').unwrap();
        let node = types
            .get(name)
            .unwrap_or_else(|| panic!("{name} is missing"));
        let found = if kind == "enum" {
            enumerants(*node)
        } else {
            fields(*node, &nodes)
        };
        let expected: Vec<_> = if kind == "enum" {
            members.split(' ').map(str::to_owned).collect()
        } else {
            members.split(", ").flat_map(names_of_a_type).collect()
        };
        assert_eq!(
            found.get(..expected.len()).unwrap_or(&found),
            expected,
            "{name}"
        );
    }
    assert_eq!(
        types.len(),
        FROZEN.lines().filter(|line| !line.is_empty()).count()
    );
}

/// `a b Text` as `a Text`, `b Text`.
fn names_of_a_type(group: &str) -> Vec<String> {
    let (names, ty) = group.rsplit_once(' ').unwrap();
    names
        .split(' ')
        .map(|name| format!("{name} {ty}"))
        .collect()
}

fn enumerants(node: node::Reader<'_>) -> Vec<String> {
    let node::Enum(reader) = node.which().unwrap() else {
        panic!("not an enum");
    };
    let enumerants = reader.get_enumerants().unwrap().into_iter();
    enumerants
        .map(|enumerant| enumerant.get_name().unwrap().to_string().unwrap())
        .collect()
}

/// Fields in the order of their ordinals. The compiler derives offsets from ordinals and types, and
/// the discriminants of a union from the order in it.
fn fields(node: node::Reader<'_>, nodes: &HashMap<u64, node::Reader<'_>>) -> Vec<String> {
    let node::Struct(reader) = node.which().unwrap() else {
        panic!("not a struct");
    };
    let mut found = Vec::new();
    for (index, field) in reader.get_fields().unwrap().into_iter().enumerate() {
        let name = field.get_name().unwrap().to_str().unwrap();
        let field::Slot(slot) = field.which().unwrap() else {
            panic!("{name} is a group");
        };
        let ordinal = field.get_ordinal().which().unwrap();
        let field::ordinal::Explicit(ordinal) = ordinal else {
            panic!("{name} has no ordinal");
        };
        assert_eq!(usize::from(ordinal), index, "{name}");
        let discriminant = field.get_discriminant_value();
        assert!(discriminant == field::NO_DISCRIMINANT || usize::from(discriminant) == index);
        found.push(format!(
            "{name} {}",
            type_name(slot.get_type().unwrap(), nodes)
        ));
    }
    found
}

fn type_name(ty: type_::Reader<'_>, nodes: &HashMap<u64, node::Reader<'_>>) -> String {
    let named = |id| {
        let name = nodes
            .get(&id)
            .unwrap()
            .get_display_name()
            .unwrap()
            .to_str()
            .unwrap();
        name.rsplit(':').next().unwrap().to_owned()
    };
    match ty.which().unwrap() {
        type_::Bool(()) => "Bool".to_owned(),
        type_::Int64(()) => "Int64".to_owned(),
        type_::Uint32(()) => "UInt32".to_owned(),
        type_::Uint64(()) => "UInt64".to_owned(),
        type_::Text(()) => "Text".to_owned(),
        type_::Data(()) => "Data".to_owned(),
        type_::Enum(of) => named(of.get_type_id()),
        type_::Struct(of) => named(of.get_type_id()),
        type_::List(list) => format!(
            "List({})",
            type_name(list.get_element_type().unwrap(), nodes)
        ),
        _ => "another type".to_owned(),
    }
}
