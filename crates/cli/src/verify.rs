//! `notme verify`.

use std::fmt::Write;

use notme_wire::identity::CABundle;
use notme_x509::{Leaf, LeafKey};
use serde_json::{Value, json};

use crate::Report;
use crate::args::Verify;
use crate::authority::Authority;
use crate::failure::Failure;
use crate::files::read;
use crate::http::Client;
use crate::revocation::{List, authentic, authentic_list, not_listed, of_epoch};
use crate::rollover::follow;
use crate::roots::{Roots, read_leaf};
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
    let list = options.revocations.as_deref().map(read).transpose()?;

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
    let (leaf, _) = read_leaf(&certificate)?;
    let root = roots.issuer_of(&leaf, at)?;
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
        of_epoch(&leaf, root, bundle)?;
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
        not_listed(&leaf, list)?;
    }
    Ok(report(&leaf, bundle.as_ref(), list.as_ref(), at))
}

fn report(leaf: &Leaf, bundle: Option<&CABundle>, list: Option<&List>, at: u64) -> Report {
    let kind = match leaf.key {
        LeafKey::Mtls(_) => "mtls",
        LeafKey::Signing(_) => "signing",
    };
    let revocation = bundle.map_or_else(
        || json!({ "checked": false }),
        |bundle| json!({ "checked": true, "epoch": bundle.epoch, "seqno": bundle.seqno, "issued_at": bundle.issued_at, "list": list.map(|list| list.number) }),
    );
    let json: Value = json!({
        "ok": true,
        "kind": kind,
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
        "verified_at": at,
        "revocation": revocation,
    });
    let mut text = String::new();
    let scopes = leaf.scopes.join(" ");
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
    for (name, value) in [
        ("good", kind),
        ("identity", &leaf.identity),
        ("subject", &leaf.subject),
        ("scopes", &scopes),
        ("expires", &show(leaf.validity.not_after)),
        ("revocation", &revocation),
    ] {
        let _ = writeln!(text, "{name:<10}  {}", harmless(value));
    }
    Report { text, json }
}
