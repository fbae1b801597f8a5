//! `notme enroll`.

use std::fmt::Write;

use notme_x509::{Leaf, LeafKey, pair_binding};
use serde_json::{Value, json};

use crate::Report;
use crate::args::Enroll;
use crate::authority::Authority;
use crate::failure::Failure;
use crate::files::{Folder, New, PUBLIC, SECRET};
use crate::http::Client;
use crate::keys::Keys;
use crate::roots::{Roots, certificate_pem, read_leaf};
use crate::text::{harmless, show_path};
use crate::time::{now, show};
use crate::token::source;
use crate::trusted::{Says, Told, Trusted, holds};

const NAMES: [&str; 5] = [
    "mtls.key",
    "mtls.pem",
    "signing.key",
    "signing.pem",
    "root.pem",
];

/// Enrols. What can fail without the token is done before the token is used, for it is good once.
pub(crate) fn run(options: &Enroll) -> Result<Report, Failure> {
    let source = source(&options.token)?;
    let pinned = Roots::pinned(options.ca.as_deref())?;
    let folder = options.out.as_deref();
    let folder = folder
        .map(|path| Folder::prepare(path, &NAMES, options.force))
        .transpose()?;
    let keys = Keys::generate()?;

    let client = Client::new();
    let authority = Authority::discover(&client, &options.authority)?;
    let trusted = Trusted::look(&authority, pinned)?;
    let token = source.token(&client, &authority)?;
    let answer = authority.enroll(&token, &keys.request(&token))?;
    drop(token);
    let trusted = trusted.following(&authority, &answer)?;

    let pair = Pair::check(&answer, &keys, &trusted, now()?)?;
    if let Some(folder) = folder {
        let (mtls_key, signing_key) = (keys.mtls_pem()?, keys.signing_pem()?);
        let new = |name, mode, content| New {
            name,
            mode,
            content,
        };
        // The certificates last: where there is one, there is what it is of use with.
        let files = [
            new("root.pem", PUBLIC, trusted.roots().pem().as_bytes()),
            new("mtls.key", SECRET, mtls_key.as_bytes()),
            new("signing.key", SECRET, signing_key.as_bytes()),
            new("mtls.pem", PUBLIC, pair.mtls_pem.as_bytes()),
            new("signing.pem", PUBLIC, pair.signing_pem.as_bytes()),
        ];
        folder.write(&files, options.force)?;
    }
    Ok(pair.report(options))
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
    fn check(answer: &Value, keys: &Keys, trusted: &Trusted, now: u64) -> Result<Self, Failure> {
        let told = Told(answer);
        let [mtls_text, signing_text] =
            ["/certificates/mtls", "/certificates/signing"].map(|path| told.text(path));
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
        let binding = pair_binding(keys.mtls_public(), keys.signing_public());
        holds(
            told.text("/binding") == hex::encode(binding),
            "its binding isn't that of the keys",
        )?;
        for leaf in [&mtls, &signing] {
            holds(
                leaf.binding == binding,
                "its certificates aren't bound to each other",
            )?;
            let says = Says {
                signed: leaf.signed(),
                identity: &leaf.identity,
                scopes: &leaf.scopes,
                epoch: leaf.epoch,
                not_after: leaf.validity.not_after,
            };
            told.agrees(&says, trusted, now)?;
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
            key_id: trusted.key_id(),
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
