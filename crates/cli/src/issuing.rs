//! `notme task enroll`.

use std::fmt::Write;

use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};
use notme_authority::people::is_uuid;
use notme_keys::{encode_base64url, encode_pem};
use notme_x509::Issuing;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::Report;
use crate::args::TaskEnroll;
use crate::authority::Authority;
use crate::failure::Failure;
use crate::files::{Folder, New, PUBLIC, SECRET, read};
use crate::http::Client;
use crate::keys::{pkcs8_pem, public, random};
use crate::roots::{Roots, certificate_pem, first_der, read_issuing};
use crate::text::{harmless, show_path};
use crate::time::{now, show};
use crate::token::{Source, source};
use crate::trusted::{Says, Told, Trusted, holds};

const NAMES: [&str; 3] = ["issuing.key", "issuing.pem", "root.pem"];

/// What the new key signs begins with this (`docs/delegation.md`, "Tasks").
const KEY_LABEL: &[u8] = b"notme-issuing-key-v1\0";
/// The same of a certificate that is the proof.
const CERTIFICATE_LABEL: &[u8] = b"notme-certificate-proof-v1\0";

/// Who asks, before anything is used up.
enum Proof<'a> {
    /// By a token of this type.
    Token(Source<'a>, &'a str),
    Certificate(Certificate),
}

/// A certificate that is shown, and its key.
struct Certificate {
    /// PEM, as it was given.
    chain: String,
    der: Vec<u8>,
    key: CertificateKey,
}

enum CertificateKey {
    Ed25519(SigningKey),
    P256(p256::ecdsa::SigningKey),
}

/// Exchanges a proof for an issuing certificate.
pub(crate) fn enroll(options: &TaskEnroll) -> Result<Report, Failure> {
    if !is_uuid(&options.delegation) {
        return Err(Failure::usage(
            "delegation_id",
            "--delegation wants the id of a delegation as the authority wrote it",
        ));
    }
    let proof = Proof::of(options)?;
    let pinned = Roots::pinned(options.ca.as_deref())?;
    let folder = Folder::prepare(&options.out, &NAMES, options.force)?;
    let key = SigningKey::from_bytes(&*random()?);

    let client = Client::new();
    let authority = Authority::discover(&client, &options.authority)?;
    let trusted = Trusted::look(&authority, pinned)?;
    let challenge = authority.challenge()?;
    let (proof, token) = match proof {
        Proof::Token(source, kind) => {
            let token = source.token(&client, &authority)?;
            let proof = json!({ "type": kind, "token": token.expose() });
            (proof, Some(token))
        }
        Proof::Certificate(certificate) => {
            let spki = public(&key)?.to_spki();
            (certificate.proof(&challenge, &spki), None)
        }
    };
    let request = request(options, &key, &challenge, proof)?;
    let answer = authority.exchange(token.as_ref(), &request)?;
    drop(token);
    let trusted = trusted.following(&authority, &answer)?;

    let (issuing, der) = check(&answer, options, &key, &trusted, now()?)?;
    let (key_pem, issuing_pem) = (pkcs8_pem(&key)?, certificate_pem(&der));
    let new = |name, mode, content| New {
        name,
        mode,
        content,
    };
    // The certificate last: where there is one, there is what it is of use with.
    let files = [
        new("root.pem", PUBLIC, trusted.roots().pem().as_bytes()),
        new("issuing.key", SECRET, key_pem.as_bytes()),
        new("issuing.pem", PUBLIC, issuing_pem.as_bytes()),
    ];
    folder.write(&files, options.force)?;
    Ok(report(options, &issuing, &trusted))
}

impl<'a> Proof<'a> {
    fn of(options: &'a TaskEnroll) -> Result<Self, Failure> {
        match (&options.cert, &options.key) {
            (Some(cert), Some(key)) => {
                Certificate::read(&read(cert)?, &Zeroizing::new(read(key)?)).map(Self::Certificate)
            }
            _ => Ok(Self::Token(source(&options.token)?, &options.proof_type)),
        }
    }
}

impl Certificate {
    fn read(chain: &[u8], key: &[u8]) -> Result<Self, Failure> {
        let chain = std::str::from_utf8(chain).unwrap_or_default();
        let der = first_der(chain)
            .ok_or_else(|| Failure::usage("cert", "--cert has no certificate in PEM"))?;
        let pem = std::str::from_utf8(key).unwrap_or_default().trim();
        let ed25519 = || SigningKey::from_pkcs8_pem(pem).map(CertificateKey::Ed25519);
        let key = p256::ecdsa::SigningKey::from_pkcs8_pem(pem)
            .map(CertificateKey::P256)
            .or_else(|_| ed25519())
            .map_err(|_| {
                Failure::usage(
                    "cert_key",
                    "--key has none of Ed25519 or P-256 in PKCS#8 PEM",
                )
            })?;
        Ok(Self {
            chain: chain.to_owned(),
            der,
            key,
        })
    }

    /// The proof, which is good with this challenge and this new key only.
    fn proof(&self, challenge: &[u8; 32], issuing_spki: &[u8]) -> Value {
        let digest = Sha256::digest(&self.der);
        let message = [CERTIFICATE_LABEL, challenge, &digest, issuing_spki].concat();
        let signature = match &self.key {
            CertificateKey::Ed25519(key) => key.sign(&message).to_bytes(),
            CertificateKey::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(&message);
                signature.to_bytes().into()
            }
        };
        json!({ "type": "x509", "chain": self.chain, "signature": encode_base64url(&signature) })
    }
}

/// The body of `POST /cert`, whose proof of possession is good with this challenge only.
fn request(
    options: &TaskEnroll,
    key: &SigningKey,
    challenge: &[u8; 32],
    proof: Value,
) -> Result<Value, Failure> {
    let spki = public(key)?.to_spki();
    let signature = key.sign(&[KEY_LABEL, challenge, &spki].concat());
    let mut request = json!({
        "proof": proof,
        "credential": "issuing",
        "delegation": options.delegation,
        "challenge": encode_base64url(challenge),
        "public_keys": { "issuing": encode_pem("PUBLIC KEY", &spki) },
        "proofs": { "issuing": encode_base64url(&signature.to_bytes()) },
    });
    if let (Some(members), Some(scopes)) = (request.as_object_mut(), &options.scopes) {
        members.insert("scopes".to_owned(), json!(scopes));
    }
    Ok(request)
}

/// Looks at an answer as whoever will be shown what is below the certificate; and gives its DER.
fn check(
    answer: &Value,
    options: &TaskEnroll,
    key: &SigningKey,
    trusted: &Trusted,
    now: u64,
) -> Result<(Issuing, Vec<u8>), Failure> {
    let told = Told(answer);
    let (issuing, der) = read_issuing(told.text("/certificates/issuing").as_bytes())?;
    holds(
        issuing.key == public(key)?,
        "the issuing certificate is over another key",
    )?;
    let says = Says {
        signed: issuing.signed(),
        identity: &issuing.identity,
        scopes: &issuing.scopes,
        epoch: issuing.epoch,
        not_after: issuing.validity.not_after,
    };
    told.agrees(&says, trusted, now)?;
    holds(
        issuing.delegation.id == options.delegation,
        "the issuing certificate hangs on another delegation",
    )?;
    for (path, value) in [
        ("/delegation", &issuing.delegation.id),
        ("/on_behalf_of", &issuing.delegation.on_behalf_of),
        ("/namespace", &issuing.namespace),
        ("/principal_id", &issuing.subject),
    ] {
        holds(
            told.text(path) == value,
            "it is about somebody else than the issuing certificate",
        )?;
    }
    if let Some(asked) = &options.scopes {
        holds(
            issuing.scopes.iter().all(|scope| asked.contains(scope)),
            "the issuing certificate has scopes that nobody asked for",
        )?;
    }
    Ok((issuing, der))
}

fn report(options: &TaskEnroll, issuing: &Issuing, trusted: &Trusted) -> Report {
    let delegation = &issuing.delegation;
    let mut text = String::new();
    for (name, value) in [
        ("identity", harmless(&issuing.identity)),
        ("on behalf", harmless(&delegation.on_behalf_of)),
        ("scopes", harmless(&issuing.scopes.join(" "))),
        ("expires", show(issuing.validity.not_after)),
        (
            "files",
            format!("{}/{{{}}}", show_path(&options.out), NAMES.join(",")),
        ),
    ] {
        let _ = writeln!(text, "{name:<9}  {value}");
    }
    let path = |name: &str| options.out.join(name).display().to_string();
    let json = json!({
        "ok": true,
        "identity": issuing.identity,
        "subject": issuing.subject,
        "namespace": issuing.namespace,
        "scopes": issuing.scopes,
        "expires_at": issuing.validity.not_after,
        "delegation": {
            "id": delegation.id,
            "on_behalf_of": delegation.on_behalf_of,
            "audience": delegation.audience,
            "purpose": delegation.purpose.map(hex::encode),
        },
        "authority": { "url": options.authority, "epoch": issuing.epoch, "key_id": trusted.key_id() },
        "files": NAMES.iter().map(|name| (name.replace('.', "_"), path(name).into())).collect::<serde_json::Map<_, _>>(),
    });
    Report { text, json }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use notme_authority::possession::{BoundTo, IssuingRequest};
    use notme_keys::native::settle;
    use notme_keys::{SignatureCheck, VerifyingKey, decode_base64url};
    use p256::pkcs8::EncodePrivateKey;

    use super::*;
    use crate::args::{Arguments, Command, Task};

    fn options(line: &str) -> TaskEnroll {
        let start = "notme task enroll --authority https://a.example --out o --delegation d";
        match Arguments::parse_from(format!("{start}{line}").split(' ')).command {
            Command::Task(Task::Enroll(options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_of_the_new_key_for_one_challenge() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let body = request(&options(""), &key, &[1; 32], json!({ "type": "oidc" })).unwrap();
        assert_eq!(body.get("scopes"), None, "the authority knows its default");
        let parsed = IssuingRequest::parse(&body).unwrap();
        let is_good =
            |challenge| settle(&parsed.check(BoundTo::Challenge(challenge))).is_verified();
        assert!(is_good(&[1; 32]));
        assert!(!is_good(&[2; 32]));
        let scopes = options(" --scopes bridgeCert,sign:git");
        let body = request(&scopes, &key, &[1; 32], Value::Null).unwrap();
        assert_eq!(body["scopes"], json!(["bridgeCert", "sign:git"]));
    }

    #[test]
    fn a_certificate_is_shown_by_its_key_whichever_kind_that_is() {
        let new = SigningKey::from_bytes(&[7; 32]);
        let der = b"a certificate";
        let chain = encode_pem("CERTIFICATE", der) + "\n" + &encode_pem("CERTIFICATE", b"above");
        let ed25519 = SigningKey::from_bytes(&[8; 32]);
        let p256 = p256::SecretKey::from_slice(&[9; 32]).unwrap();
        let point = p256.public_key().to_sec1_bytes();
        let coordinates = point[1..].try_into().unwrap();
        for (pem, verifying) in [
            (
                pkcs8_pem(&ed25519).unwrap(),
                VerifyingKey::Ed25519(public(&ed25519).unwrap()),
            ),
            (
                p256.to_pkcs8_pem(Default::default()).unwrap(),
                VerifyingKey::Es256(notme_keys::P256PublicKey::from_coordinates(coordinates)),
            ),
        ] {
            let certificate = Certificate::read(chain.as_bytes(), pem.as_bytes())
                .ok()
                .unwrap();
            let proof = certificate.proof(&[1; 32], &public(&new).unwrap().to_spki());
            assert_eq!(proof["chain"], chain);
            let body = request(&options(""), &new, &[1; 32], proof).unwrap();
            let parsed = IssuingRequest::parse(&body).unwrap();
            let signature = body["proof"]["signature"].as_str().unwrap();
            let check = |der: &[u8]| SignatureCheck {
                key: verifying.clone(),
                messages: vec![parsed.message_of_certificate(der, &[1; 32])],
                signature: decode_base64url(signature).unwrap(),
            };
            assert!(settle(&check(der)).is_verified());
            assert!(!settle(&check(b"above")).is_verified());
        }
    }

    #[test]
    fn what_is_no_certificate_or_no_key_is_told() {
        let chain = encode_pem("CERTIFICATE", b"a certificate");
        let key = pkcs8_pem(&SigningKey::from_bytes(&[8; 32])).unwrap();
        let code = |chain: &str, key: &str| {
            let read = Certificate::read(chain.as_bytes(), key.as_bytes());
            read.err().map(|failure| failure.code)
        };
        assert_eq!(code(&chain, &key), None);
        for text in ["", "x", &key] {
            assert_eq!(code(text, &key).as_deref(), Some("cert"), "{text}");
        }
        assert_eq!(code(&chain, &chain).as_deref(), Some("cert_key"));
    }
}
