//! `notme enroll`.

use std::fmt::Write;

use notme_wire::identity::CABundle;
use notme_x509::{Leaf, LeafKey, pair_binding};
use serde_json::{Value, json};

use crate::Report;
use crate::args::Enroll;
use crate::authority::Authority;
use crate::failure::Failure;
use crate::files::{Folder, New, PUBLIC, SECRET, read};
use crate::http::Client;
use crate::keys::Keys;
use crate::revocation::authentic;
use crate::rollover::follow;
use crate::roots::{Roots, certificate_pem, read_leaf};
use crate::text::{harmless, show_path};
use crate::time::{now, show};
use crate::token::{Source, source};

const NAMES: [&str; 5] = [
    "mtls.key",
    "mtls.pem",
    "signing.key",
    "signing.pem",
    "root.pem",
];

/// Enrols. What can fail without the token is done before the token is used, for it is good once.
pub(crate) fn run(options: &Enroll) -> Result<Report, Failure> {
    let source = source(options)?;
    let pinned = options.ca.as_deref().map(read).transpose()?;
    let pinned = pinned.as_deref().map(Roots::parse).transpose()?;
    let folder = options.out.as_deref();
    let folder = folder
        .map(|path| Folder::prepare(path, &NAMES, options.force))
        .transpose()?;
    let keys = Keys::generate()?;

    let client = Client::new();
    let authority = Authority::discover(&client, &options.authority)?;
    let roots = match pinned {
        Some(roots) => roots,
        None => Roots::parse(&authority.roots()?)?,
    };
    // A pin that isn't this authority's, or an authority that doesn't say what is revoked, shows here.
    let (mut roots, mut bundle) = look(&authority, roots)?;
    let token = match source {
        Source::Given(token) => token,
        Source::GitHub(request) => {
            let audience = options.audience.as_deref().or_else(|| authority.audience());
            let audience = audience.ok_or_else(|| {
                Failure::usage(
                    "audience_missing",
                    "the authority publishes no audience: give --audience",
                )
            })?;
            request.fetch(&client, audience)?
        }
    };
    let answer = authority.enroll(&token, &keys.request(&token))?;
    drop(token);
    // The key may have been rolled over since.
    let key_id = answer.pointer("/authority/key_id").and_then(Value::as_str);
    if key_id != Some(&bundle.key_id) {
        (roots, bundle) = look(&authority, roots)?;
    }

    let pair = Pair::check(&answer, &keys, &roots, &bundle, now()?)?;
    if let Some(folder) = folder {
        let (mtls_key, signing_key) = (keys.mtls_pem()?, keys.signing_pem()?);
        let new = |name, mode, content| New {
            name,
            mode,
            content,
        };
        // The certificates last: where there is one, there is what it is of use with.
        let files = [
            new("root.pem", PUBLIC, roots.pem().as_bytes()),
            new("mtls.key", SECRET, mtls_key.as_bytes()),
            new("signing.key", SECRET, signing_key.as_bytes()),
            new("mtls.pem", PUBLIC, pair.mtls_pem.as_bytes()),
            new("signing.pem", PUBLIC, pair.signing_pem.as_bytes()),
        ];
        folder.write(&files, options.force)?;
    }
    Ok(pair.report(options))
}

/// The authority's bundle, and the roots as of it.
fn look(authority: &Authority<'_>, roots: Roots) -> Result<(Roots, CABundle), Failure> {
    let json = authority.bundle()?;
    let roots = follow(authority, roots, &json)?;
    let bundle = authentic(&json, roots.current(), now()?)?;
    Ok((roots, bundle))
}

/// A pair that is what was asked for.
struct Pair {
    mtls: Leaf,
    mtls_pem: String,
    signing_pem: String,
    key_id: String,
}

impl Pair {
    /// Looks at an answer as whoever will be shown the certificates.
    fn check(
        answer: &Value,
        keys: &Keys,
        roots: &Roots,
        bundle: &CABundle,
        now: u64,
    ) -> Result<Self, Failure> {
        let text = |path| {
            answer
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let number = |path| answer.pointer(path).and_then(Value::as_u64);
        let holds = |condition: bool, what: &str| {
            let text = || format!("the authority's answer isn't to be trusted: {what}");
            condition
                .then_some(())
                .ok_or_else(|| Failure::refused("bad_answer", text()))
        };
        let [mtls_text, signing_text] = ["/certificates/mtls", "/certificates/signing"].map(text);
        let (mtls, mtls_der) = read_leaf(mtls_text.as_bytes())?;
        let (signing, signing_der) = read_leaf(signing_text.as_bytes())?;
        holds(
            mtls.key == LeafKey::Mtls(*keys.mtls_public()),
            "the mTLS certificate is over another key",
        )?;
        holds(
            signing.key == LeafKey::Signing(*keys.signing_public()),
            "the signing certificate is over another key",
        )?;
        let root = roots.issuer_of(&mtls, now)?;
        let other_root = roots.issuer_of(&signing, now)?;
        holds(root == other_root, "its certificates are of two roots")?;
        holds(
            root == roots.current(),
            "its certificates are of a root that isn't the current one",
        )?;
        holds(
            mtls.epoch >= bundle.epoch,
            "its certificates are of an epoch that is over",
        )?;
        let key_id = root.key().key_id().to_string();
        holds(
            text("/authority/key_id") == key_id,
            "it names another key of the authority",
        )?;
        let binding = pair_binding(keys.mtls_public(), keys.signing_public());
        holds(
            text("/binding") == hex::encode(binding),
            "its binding isn't that of the keys",
        )?;
        let scopes: Vec<&str> = answer
            .pointer("/scopes")
            .and_then(Value::as_array)
            .map(|scopes| scopes.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        for leaf in [&mtls, &signing] {
            holds(
                leaf.binding == binding,
                "its certificates aren't bound to each other",
            )?;
            holds(
                leaf.identity == text("/identity"),
                "its identity isn't that of the certificates",
            )?;
            holds(
                number("/expires_at") == Some(leaf.validity.not_after),
                "its certificates expire at another time than it says",
            )?;
            holds(
                number("/authority/epoch") == Some(leaf.epoch),
                "its epoch isn't that of the certificates",
            )?;
            holds(
                leaf.scopes == scopes,
                "its scopes aren't those of the certificates",
            )?;
        }
        holds(
            mtls.subject == signing.subject,
            "its certificates are of two subjects",
        )?;
        Ok(Self {
            mtls,
            // What the authority wrote around the DER goes nowhere.
            mtls_pem: certificate_pem(&mtls_der),
            signing_pem: certificate_pem(&signing_der),
            key_id,
        })
    }

    fn report(&self, options: &Enroll) -> Report {
        let Self {
            mtls,
            mtls_pem,
            signing_pem,
            key_id,
        } = self;
        let mut json = json!({
            "ok": true,
            "identity": mtls.identity,
            "subject": mtls.subject,
            "scopes": mtls.scopes,
            "expires_at": mtls.validity.not_after,
            "binding": hex::encode(mtls.binding),
            "authority": { "url": options.authority, "epoch": mtls.epoch, "key_id": key_id },
        });
        let mut text = String::new();
        match &options.out {
            Some(folder) => {
                let path = |name| Value::from(folder.join(name).display().to_string());
                let files = NAMES
                    .iter()
                    .map(|name| (name.replace('.', "_"), path(*name)));
                set(&mut json, "files", files.collect());
                let _ = writeln!(text, "identity  {}", harmless(&mtls.identity));
                let _ = writeln!(text, "expires   {}", show(mtls.validity.not_after));
                let _ = writeln!(
                    text,
                    "files     {}/{{{}}}",
                    show_path(folder),
                    NAMES.join(",")
                );
            }
            None => {
                let pems = [("mtls", mtls_pem), ("signing", signing_pem)];
                let pems = pems.map(|(name, pem)| (name.to_owned(), Value::from(pem.trim_end())));
                set(&mut json, "certificates", pems.into_iter().collect());
                let _ = write!(text, "{mtls_pem}{signing_pem}");
            }
        }
        Report { text, json }
    }
}

fn set(object: &mut Value, name: &str, value: serde_json::Map<String, Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), Value::Object(value));
    }
}
