//! `notme task mint`.

use std::fmt::Write;

use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::{Signer, SigningKey};
use notme_keys::native::settle;
use notme_keys::{Ed25519PublicKey, P256PublicKey};
use notme_x509::{Issuing, LeafKey, SerialNumber, TaskLeaf, TaskProfile, Validity, is_task_id};
use serde_json::json;

use crate::Report;
use crate::args::Mint;
use crate::failure::Failure;
use crate::files::{Folder, New, PUBLIC, SECRET, read};
use crate::keys::{pkcs8_pem, public, random};
use crate::roots::{certificate_pem, read_issuing};
use crate::text::{harmless, show_path};
use crate::time::{now, show};
use crate::verify::beyond;

const KEY: &str = "task.key";
const CERTIFICATE: &str = "task.pem";

/// Signs a task's certificate.
pub(crate) fn mint(options: &Mint) -> Result<Report, Failure> {
    if !is_task_id(&options.id) {
        return Err(Failure::usage(
            "task_id",
            "a task's id has 1 to 64 letters, digits, `-`, `_` and `.`, and is neither `.` nor `..`",
        ));
    }
    let (issuing, issuing_der) = read_issuing(&read(&options.issuing)?)?;
    let issuer_key = issuer_key(options, &issuing)?;
    let at = now()?;
    let scopes = options.scopes.as_ref().unwrap_or(&issuing.scopes);
    if !scopes.iter().all(|scope| issuing.scopes.contains(scope)) {
        return Err(Failure::usage(
            "scopes_exceeded",
            format!(
                "the issuing certificate allows no more than: {}",
                harmless(&issuing.scopes.join(" "))
            ),
        ));
    }
    let end = issuing.validity.not_after;
    let not_after = options.ttl.map_or(end, |secs| at.saturating_add(secs));
    if not_after > end {
        return Err(Failure::usage(
            "ttl_exceeded",
            format!("the issuing certificate is good until {}", show(end)),
        ));
    }
    let given = options.public_key.as_deref().map(read).transpose()?;
    let (key, secret) = match given {
        Some(pem) => (public_key(&pem)?, None),
        None => {
            let secret = SigningKey::from_bytes(&*random()?);
            (LeafKey::Signing(public(&secret)?), Some(secret))
        }
    };
    let names: &[&str] = if secret.is_some() {
        &[KEY, CERTIFICATE]
    } else {
        &[CERTIFICATE]
    };
    let folder = Folder::prepare(&options.out, names, options.force)?;

    let begin = at.saturating_sub(Validity::BACKDATING);
    let profile = TaskProfile {
        issuer: &issuing.as_issuer(),
        subject: &format!("{}/task/{}", issuing.subject, options.id),
        identity: &format!("{}{}", issuing.namespace, options.id),
        scopes,
        auth_method: &issuing.auth_method,
        epoch: issuing.epoch,
        issued_at_millis: at.saturating_mul(1000),
        validity: Validity {
            not_before: begin.max(issuing.validity.not_before),
            not_after,
        },
        delegation: &issuing.delegation,
        key: &key,
    };
    let random = random()?;
    let mut serial = [0; 16];
    serial.copy_from_slice(random.split_at(16).0);
    let unsigned = profile.to_be_signed(SerialNumber::from_random(serial));
    let signature = issuer_key.sign(unsigned.as_bytes()).to_bytes();
    let der = unsigned.into_certificate(&signature);
    let leaf = TaskLeaf::from_der(&der)
        .map_err(|why| Failure::refused("malformed", harmless(&why.to_string())))?;
    // As whoever will be shown it: an issuing certificate that is over makes nothing.
    let signed = settle(&leaf.signature_check(&issuing)).is_verified();
    leaf.within(&issuing, signed, at).map_err(beyond)?;

    let chain = certificate_pem(&der) + &certificate_pem(&issuing_der);
    let certificate = New {
        name: CERTIFICATE,
        mode: PUBLIC,
        content: chain.as_bytes(),
    };
    match &secret {
        Some(secret) => {
            let pem = pkcs8_pem(secret)?;
            let key = New {
                name: KEY,
                mode: SECRET,
                content: pem.as_bytes(),
            };
            folder.write(&[key, certificate], options.force)?;
        }
        None => folder.write(&[certificate], options.force)?,
    }
    Ok(report(options, &leaf, names))
}

/// The issuing certificate's key, if it is.
fn issuer_key(options: &Mint, issuing: &Issuing) -> Result<SigningKey, Failure> {
    let pem = zeroize::Zeroizing::new(read(&options.issuing_key)?);
    let key = std::str::from_utf8(&pem).ok();
    let key = key.and_then(|pem| SigningKey::from_pkcs8_pem(pem.trim()).ok());
    let is_its = |key: &SigningKey| public(key).is_ok_and(|public| public == issuing.key);
    key.filter(is_its).ok_or_else(|| {
        Failure::usage(
            "issuing_key",
            "the key is no Ed25519 key in PKCS#8 PEM, or another one than the issuing certificate's",
        )
    })
}

fn public_key(pem: &[u8]) -> Result<LeafKey, Failure> {
    let pem = std::str::from_utf8(pem).unwrap_or_default();
    let ed25519 = || Ed25519PublicKey::from_pem(pem).map(LeafKey::Signing);
    P256PublicKey::from_pem(pem)
        .map(LeafKey::Mtls)
        .or_else(|_| ed25519())
        .map_err(|_| {
            Failure::usage(
                "public_key",
                "the public key is none of Ed25519 or P-256 in SPKI PEM",
            )
        })
}

fn report(options: &Mint, leaf: &TaskLeaf, names: &[&str]) -> Report {
    let mut text = String::new();
    for (name, value) in [
        ("identity", harmless(&leaf.identity)),
        ("scopes", harmless(&leaf.scopes.join(" "))),
        ("expires", show(leaf.validity.not_after)),
        (
            "files",
            format!("{}/{{{}}}", show_path(&options.out), names.join(",")),
        ),
    ] {
        let _ = writeln!(text, "{name:<8}  {value}");
    }
    let path = |name: &str| options.out.join(name).display().to_string();
    let json = json!({
        "ok": true,
        "identity": leaf.identity,
        "scopes": leaf.scopes,
        "expires_at": leaf.validity.not_after,
        "files": names.iter().map(|name| (name.replace('.', "_"), path(name).into())).collect::<serde_json::Map<_, _>>(),
    });
    Report { text, json }
}
