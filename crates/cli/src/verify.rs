//! `notme verify`.

use std::fmt::Write;

use notme_keys::native::settle;
use notme_wire::identity::CABundle;
use notme_x509::{Delegation, LeafKey, TaskError};
use serde_json::{Value, json};

use crate::Report;
use crate::args::Verify;
use crate::authority::Authority;
use crate::failure::Failure;
use crate::files::{read, read_list};
use crate::http::Client;
use crate::revocation::{List, Revocable, authentic, authentic_list, not_listed, of_epoch};
use crate::rollover::follow;
use crate::roots::{Roots, Shown, invalid, read_shown};
use crate::state::{Numbered, advance};
use crate::text::harmless;
use crate::time::{now, show};

/// Verifies a certificate.
pub(crate) fn run(options: &Verify) -> Result<Report, Failure> {
    let needs_bundle = !options.no_bundle;
    if options.ca.is_none() && options.authority.is_none() {
        return Err(Failure::usage(
            "ca_missing",
            "there is no CA to check against: give --ca or --authority",
        ));
    }
    if needs_bundle && options.bundle.is_none() && options.authority.is_none() {
        return Err(Failure::usage(
            "bundle_missing",
            "without a revocation bundle nobody knows whether the certificate is still good: give \
             --bundle or --authority, or --no-bundle to do without",
        ));
    }
    let needs_list = needs_bundle && !options.no_revocations;
    if needs_list && options.revocations.is_none() && options.authority.is_none() {
        return Err(Failure::usage(
            "revocations_missing",
            "without the list of what is revoked only a new epoch revokes anything: give --revocations or \
             --authority, or --no-revocations to do without",
        ));
    }
    let is_complete = options.ca.is_some()
        && (options.bundle.is_some() || !needs_bundle)
        && (options.revocations.is_some() || !needs_list);
    if is_complete && options.authority.is_some() {
        return Err(Failure::usage(
            "authority_unused",
            "the authority would be asked for nothing: leave out --authority, or --ca, or --bundle, or --revocations",
        ));
    }
    let certificate = read(&options.certificate)?;
    let ca = options.ca.as_deref().map(read).transpose()?;
    let bundle = options.bundle.as_deref().map(read).transpose()?;
    let list = options.revocations.as_deref().map(read_list).transpose()?;

    let client = Client::new();
    let authority = options.authority.as_deref();
    let authority = authority
        .map(|url| Authority::discover(&client, url))
        .transpose()?;
    let roots = match (ca, &authority) {
        (Some(ca), _) => ca,
        (None, Some(authority)) => authority.roots()?,
        (None, None) => Vec::new(), // told above
    };
    let roots = Roots::parse(&roots)?;
    let bundle = match (bundle, &authority) {
        _ if !needs_bundle => None,
        (None, Some(authority)) => Some(authority.bundle()?),
        (given, _) => given,
    };

    let list = match (list, &authority) {
        _ if !needs_list => None,
        (None, Some(authority)) => Some(authority.revocations()?),
        (given, _) => given,
    };

    let pinned = *roots.current().key();
    let roots = match (&bundle, &authority) {
        (Some(bundle), Some(authority)) => follow(authority, roots, bundle)?,
        _ => roots,
    };

    let at = options.at.map_or_else(now, Ok)?;
    let shown = read_shown(&certificate)?;
    let (root, revocable) = match &shown {
        Shown::Leaf(leaf) => (roots.issuer_of(leaf, at)?, Revocable::leaf(leaf)),
        Shown::Task(leaf, issuing) => {
            let root = roots.signer_of(issuing.signed(), at)?;
            let signed = settle(&leaf.signature_check(issuing)).is_verified();
            leaf.within(issuing, signed, at).map_err(beyond)?;
            (root, Revocable::task(leaf, issuing))
        }
    };
    if let Some(delegation) = shown.delegation() {
        within_limits(delegation, options)?;
    }
    let bundle = bundle
        .map(|json| authentic(&json, roots.current(), at))
        .transpose()?;
    if let Some(bundle) = &bundle {
        if let Some(path) = &options.state {
            // Numbers go on over a rollover: who still pins the old key is shown no old bundle of it.
            for key in [&pinned, roots.current().key()] {
                advance(path, key, Numbered::Bundle, bundle.seqno)?;
            }
        }
        of_epoch(revocable.epoch, root, bundle)?;
    }
    let whose = authority.as_ref().map(Authority::name);
    let list = list
        .map(|text| authentic_list(&text, roots.current(), whose, at))
        .transpose()?;
    if let Some(list) = &list {
        if let Some(path) = &options.state {
            for key in [&pinned, roots.current().key()] {
                advance(path, key, Numbered::List, list.number)?;
            }
        }
        not_listed(&revocable, list)?;
    }
    Ok(report(&shown, bundle.as_ref(), list.as_ref(), at))
}

/// What a task's leaf is refused with.
pub(crate) fn beyond(error: TaskError) -> Failure {
    match error {
        TaskError::Issuing(error) | TaskError::Leaf(error) => invalid(error),
        TaskError::Beyond(what) => Failure::refused(
            "beyond_issuing",
            format!("the certificate goes beyond its issuing certificate: {what}"),
        ),
    }
}

/// Whether a certificate may be used by whoever it is shown to, for what it is shown for.
fn within_limits(delegation: &Delegation, options: &Verify) -> Result<(), Failure> {
    let is_shown_to = |audience: &String| options.audience.as_ref() == Some(audience);
    if let Some(audience) = delegation.audience.as_ref().filter(|it| !is_shown_to(it)) {
        let text = format!(
            "the certificate is for {} alone: --audience says who it is shown to",
            harmless(audience)
        );
        return Err(Failure::refused("other_audience", text));
    }
    let purpose = delegation.purpose.map(hex::encode);
    if let Some(purpose) = purpose.filter(|it| options.purpose_hash.as_ref() != Some(it)) {
        let text = format!(
            "the certificate is for the purpose {purpose} alone: --purpose-hash says what it is shown for"
        );
        return Err(Failure::refused("other_purpose", text));
    }
    Ok(())
}

impl Shown {
    const fn delegation(&self) -> Option<&Delegation> {
        match self {
            Self::Leaf(leaf) => leaf.delegation.as_ref(),
            Self::Task(leaf, _) => Some(&leaf.delegation),
        }
    }
}

fn report(shown: &Shown, bundle: Option<&CABundle>, list: Option<&List>, at: u64) -> Report {
    let revocation = bundle.map_or_else(
        || json!({ "checked": false }),
        |bundle| json!({ "checked": true, "epoch": bundle.epoch, "seqno": bundle.seqno, "issued_at": bundle.issued_at, "list": list.map(|list| list.number) }),
    );
    let mut json: Value = match shown {
        Shown::Leaf(leaf) => json!({
            "kind": match leaf.key {
                LeafKey::Mtls(_) => "mtls",
                LeafKey::Signing(_) => "signing",
            },
            "identity": leaf.identity,
            "subject": leaf.subject,
            "scopes": leaf.scopes,
            "auth_method": leaf.auth_method,
            "epoch": leaf.epoch,
            "serial": hex::encode(&leaf.serial),
            "issued_at": leaf.issued_at,
            "not_before": leaf.validity.not_before,
            "not_after": leaf.validity.not_after,
            "binding": hex::encode(leaf.binding),
        }),
        Shown::Task(leaf, issuing) => json!({
            "kind": "task",
            "identity": leaf.identity,
            "subject": leaf.subject,
            "principal": issuing.subject,
            "task": leaf.task(),
            "scopes": leaf.scopes,
            "auth_method": leaf.auth_method,
            "epoch": leaf.epoch,
            "serial": hex::encode(&leaf.serial),
            "issuing_serial": hex::encode(&issuing.serial),
            "issued_at": issuing.issued_at,
            "not_before": leaf.validity.not_before,
            "not_after": leaf.validity.not_after,
        }),
    };
    if let Some(members) = json.as_object_mut() {
        members.insert("ok".into(), true.into());
        members.insert("verified_at".into(), at.into());
        members.insert("revocation".into(), revocation);
        if let Some(delegation) = shown.delegation() {
            let told = json!({
                "id": delegation.id,
                "on_behalf_of": delegation.on_behalf_of,
                "audience": delegation.audience,
                "purpose": delegation.purpose.map(hex::encode),
            });
            members.insert("delegation".into(), told);
        }
    }
    let mut text = String::new();
    let revocation = bundle.map_or_else(
        || "not checked".to_owned(),
        |bundle| match list {
            Some(list) => format!(
                "not revoked, as of bundle {} and list {}",
                bundle.seqno, list.number
            ),
            None => format!(
                "of the current epoch, as of bundle {}; no list was looked at",
                bundle.seqno
            ),
        },
    );
    let member = |name: &str| json.get(name).and_then(Value::as_str).unwrap_or_default();
    let scopes = match shown {
        Shown::Leaf(leaf) => leaf.scopes.join(" "),
        Shown::Task(leaf, _) => leaf.scopes.join(" "),
    };
    let expires = json.get("not_after").and_then(Value::as_u64);
    let behalf = shown
        .delegation()
        .map(|delegation| &delegation.on_behalf_of);
    for (name, value) in [
        ("good", Some(member("kind"))),
        ("identity", Some(member("identity"))),
        ("subject", Some(member("subject"))),
        ("on behalf", behalf.map(String::as_str)),
        ("scopes", Some(&scopes)),
        ("expires", Some(&show(expires.unwrap_or_default()))),
        ("revocation", Some(&revocation)),
    ] {
        if let Some(value) = value {
            let _ = writeln!(text, "{name:<10}  {}", harmless(value));
        }
    }
    Report { text, json }
}
