//! Revocation bundles: whether one is its authority's and fresh, and what it says of a certificate.

use std::collections::{BTreeMap, BTreeSet};

use notme_jose::{Algorithm, CompactJws};
use notme_keys::native::settle;
use notme_keys::{SignatureCheck, VerifyingKey};
use notme_wire::bundle::BundleDocument;
use notme_wire::identity::{CABundle, KeyEntry};
use notme_x509::{Issuing, Leaf, Root, TaskLeaf};
use serde_json::Value;

use crate::failure::Failure;
use crate::time::show;

/// How old a bundle may be, in seconds (notme protocol §13.5).
const MAX_AGE: u64 = 300;
/// How far ahead of ours the authority's clock may be, in seconds.
const MAX_SKEW: u64 = 60;
/// `typ` of a list of what is revoked.
const LIST_TYPE: &str = "notme-revocations+jwt";
/// `aud` of a list of what is revoked.
const LIST_AUDIENCE: &str = "notme-revocations";
/// How much of a time is the seconds and what comes before: `2026-11-21T21:06:06`.
const SECONDS: usize = 19;

/// Reads a bundle that `root` signed and that is fresh at `at`.
pub(crate) fn authentic(json: &[u8], root: &Root, at: u64) -> Result<CABundle, Failure> {
    let bad = |why: &str| {
        Failure::refused(
            "bundle_malformed",
            format!("the revocation bundle is malformed: {why}"),
        )
    };
    let document: BundleDocument =
        serde_json::from_slice(json).map_err(|_| bad("not the JSON of a bundle"))?;
    let bundle = CABundle::try_from(document).map_err(|why| bad(&why.to_string()))?;
    let key_id = root.key().key_id().to_string();
    let key = bundle.keys.iter().find(|key| key.kid == bundle.key_id);
    let is_of_root =
        bundle.key_id == key_id && key.is_some_and(|key| key.public_key == root.key().as_bytes());
    if !is_of_root {
        return Err(Failure::refused(
            "bundle_unknown_key",
            "the revocation bundle is of another key than the CA's: it is another authority's, or the \
             authority has a new key and the CA must be fetched anew",
        ));
    }
    let check = SignatureCheck {
        key: VerifyingKey::Ed25519(*root.key()),
        messages: vec![
            bundle
                .to_canonical_cbor()
                .map_err(|why| bad(&why.to_string()))?,
        ],
        signature: bundle.signature.clone(),
    };
    if !settle(&check).is_verified() {
        return Err(Failure::refused(
            "bundle_signature",
            "the revocation bundle is not signed by the CA",
        ));
    }
    let issued_at = u64::try_from(bundle.issued_at).map_err(|_| bad("its time"))?;
    if issued_at > at.saturating_add(MAX_SKEW) {
        return Err(Failure::refused(
            "bundle_from_future",
            format!(
                "the revocation bundle is of {}, which is still to come",
                show(issued_at)
            ),
        ));
    }
    if at.saturating_sub(issued_at) > MAX_AGE {
        return Err(Failure::refused(
            "bundle_stale",
            format!(
                "the revocation bundle is of {}, more than {MAX_AGE} seconds old",
                show(issued_at)
            ),
        ));
    }
    Ok(bundle)
}

/// A list of what is revoked.
#[derive(Debug)]
pub(crate) struct List {
    pub(crate) number: u64,
    epoch: u64,
    /// Serial numbers, 32 hexadecimal digits each.
    credentials: BTreeSet<String>,
    /// Subjects and URIs, and the Unix second up to which what was issued to them is revoked.
    principals: BTreeMap<String, u64>,
    /// Delegations, and the Unix second up to which what was issued on them is revoked.
    delegations: BTreeMap<String, u64>,
}

/// Reads a list that `root` signed and that counts at `at`; `authority` is whose it has to be, if that is known.
pub(crate) fn authentic_list(
    text: &[u8],
    root: &Root,
    authority: Option<&str>,
    at: u64,
) -> Result<List, Failure> {
    let bad = |why: &str| {
        Failure::refused(
            "revocations_malformed",
            format!("the list of what is revoked is malformed: {why}"),
        )
    };
    let text = str::from_utf8(text).map_err(|_| bad("not text"))?.trim();
    let token = CompactJws::parse(text).map_err(|_| bad("not a JWT"))?;
    if token.header("typ") != Some(LIST_TYPE) || token.has_critical_extensions() {
        return Err(bad("not a list of what is revoked"));
    }
    if token.header("kid") != Some(root.key().key_id().to_string().as_str()) {
        return Err(Failure::refused(
            "revocations_unknown_key",
            "the list of what is revoked is of another key than the CA's: it is another authority's, or the authority \
             has a new key and the CA must be fetched anew",
        ));
    }
    let check = token.signature_check(VerifyingKey::Ed25519(*root.key()));
    if token.algorithm() != Some(Algorithm::EdDsa) || !settle(&check).is_verified() {
        return Err(Failure::refused(
            "revocations_signature",
            "the list of what is revoked is not signed by the CA",
        ));
    }
    let claims = token.claims();
    let issuer = claims.get("iss").and_then(Value::as_str);
    if claims.get("aud").and_then(Value::as_str) != Some(LIST_AUDIENCE) {
        return Err(bad("it is for something else"));
    }
    if authority.is_some_and(|authority| issuer != Some(authority)) {
        return Err(bad("it is another authority's"));
    }
    let number = |name: &str| claims.get(name).and_then(Value::as_u64);
    let required = |name: &str| number(name).ok_or_else(|| bad(name));
    let (issued_at, expires_at) = (required("iat")?, required("exp")?);
    if issued_at > at.saturating_add(MAX_SKEW) {
        let text = format!(
            "the list of what is revoked is of {}, which is still to come",
            show(issued_at)
        );
        return Err(Failure::refused("revocations_from_future", text));
    }
    if at >= expires_at.min(issued_at.saturating_add(MAX_AGE)) {
        let text = format!(
            "the list of what is revoked counted until {}",
            show(expires_at)
        );
        return Err(Failure::refused("revocations_stale", text));
    }
    let serial = |serial: &Value| serial.as_str().map(str::to_owned);
    let credentials = claims.get("credentials").and_then(Value::as_array);
    let credentials = credentials.and_then(|serials| serials.iter().map(serial).collect());
    let before = |(id, before): (&String, &Value)| Some((id.clone(), before.as_u64()?));
    let until = |name: &str| {
        let entries = claims.get(name).and_then(Value::as_object);
        let entries = entries.and_then(|entries| entries.iter().map(before).collect());
        entries.ok_or_else(|| bad(name))
    };
    Ok(List {
        number: required("number")?,
        epoch: required("epoch")?,
        credentials: credentials.ok_or_else(|| bad("credentials"))?,
        principals: until("principals")?,
        delegations: until("delegations")?,
    })
}

/// What of a certificate can be revoked.
pub(crate) struct Revocable<'a> {
    pub(crate) epoch: u64,
    serials: Vec<&'a [u8]>,
    /// Whom it was issued to, by name and URI, and on whose behalf.
    principals: Vec<&'a str>,
    delegation: Option<&'a str>,
    issued_at: &'a str,
}

impl<'a> Revocable<'a> {
    pub(crate) fn leaf(leaf: &'a Leaf) -> Self {
        let delegation = leaf.delegation.as_ref();
        let behalf = delegation.map(|delegation| delegation.on_behalf_of.as_str());
        Self {
            epoch: leaf.epoch,
            serials: vec![&leaf.serial],
            principals: [leaf.subject.as_str(), &leaf.identity]
                .into_iter()
                .chain(behalf)
                .collect(),
            delegation: delegation.map(|delegation| delegation.id.as_str()),
            issued_at: &leaf.issued_at,
        }
    }

    /// The authority never saw the leaf: it is revoked with what it is below, and is as old as that.
    pub(crate) fn task(leaf: &'a TaskLeaf, issuing: &'a Issuing) -> Self {
        Self {
            epoch: issuing.epoch,
            serials: vec![&issuing.serial, &leaf.serial],
            principals: vec![
                &issuing.subject,
                &issuing.identity,
                &issuing.delegation.on_behalf_of,
            ],
            delegation: Some(&issuing.delegation.id),
            issued_at: &issuing.issued_at,
        }
    }
}

/// Whether a list has nothing against a certificate.
pub(crate) fn not_listed(leaf: &Revocable<'_>, list: &List) -> Result<(), Failure> {
    let revoked = |why: &str| {
        Err(Failure::refused(
            "revoked",
            format!("the certificate is revoked: {why}"),
        ))
    };
    if list.epoch != leaf.epoch {
        return revoked(&format!(
            "it is of epoch {}, and the list of epoch {}",
            leaf.epoch, list.epoch
        ));
    }
    // As DER has it: without leading zeros, or with one before a high bit.
    for serial in &leaf.serials {
        let serial = hex::encode(serial);
        let serial = format!("{:0>32}", serial.trim_start_matches('0'));
        if list.credentials.contains(&serial) {
            return revoked("its serial number is in the list of what is revoked");
        }
    }
    // Both are written alike, to the second: as texts they are in the order of time.
    let second = |time: &str| time.get(..SECONDS).unwrap_or_default().to_owned();
    let is_over = |entries: &BTreeMap<String, u64>, name: &str| {
        let before = entries.get(name);
        before.is_some_and(|before| second(leaf.issued_at) <= second(&show(*before)))
    };
    if leaf
        .principals
        .iter()
        .any(|name| is_over(&list.principals, name))
    {
        return revoked("whom it was issued to, or on whose behalf, is revoked");
    }
    if leaf
        .delegation
        .is_some_and(|id| is_over(&list.delegations, id))
    {
        return revoked("the delegation that it was issued on is revoked");
    }
    Ok(())
}

/// Whether a leaf of `root` is of the epoch that the bundle says it is, and of a key that it names.
pub(crate) fn of_epoch(ours: u64, root: &Root, bundle: &CABundle) -> Result<(), Failure> {
    let current = bundle.epoch;
    if ours < current {
        return Err(Failure::refused(
            "revoked",
            format!(
                "the certificate is revoked: it is of epoch {ours}, and now it is epoch {current}"
            ),
        ));
    }
    if ours > current {
        return Err(Failure::refused(
            "epoch_ahead",
            format!(
                "the certificate is of epoch {ours}, and the revocation bundle still of {current}"
            ),
        ));
    }
    let key = root.key();
    let is_named = |named: &KeyEntry| {
        named.kid == key.key_id().to_string() && named.public_key == key.as_bytes()
    };
    if !bundle.keys.iter().any(is_named) {
        return Err(Failure::refused(
            "revoked",
            "the certificate is signed with a key that the authority no longer vouches for",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};
    use notme_keys::{Ed25519PublicKey, P256PublicKey, encode_pem};
    use notme_x509::{Delegation, Issuer, PairProfile, RootProfile, SerialNumber, Validity};
    use serde_json::json;

    use super::*;
    use crate::roots::Roots;

    const NOW: u64 = 1_795_295_166;

    /// An authority with one key.
    struct Ca {
        key: SigningKey,
        public: Ed25519PublicKey,
        issuer: Issuer,
    }

    impl Ca {
        fn new(seed: u8) -> Self {
            let key = SigningKey::from_bytes(&[seed; 32]);
            let public = Ed25519PublicKey::from_bytes(key.verifying_key().to_bytes()).unwrap();
            let issuer = Issuer::new("id.example.com", &public);
            Self {
                key,
                public,
                issuer,
            }
        }

        fn root(&self) -> String {
            let profile = RootProfile {
                issuer: &self.issuer,
                key: &self.public,
                serial: SerialNumber::from_random([1; 16]),
                created_at: NOW,
            };
            let unsigned = profile.to_be_signed();
            let signature = self.key.sign(unsigned.as_bytes()).to_bytes();
            encode_pem("CERTIFICATE", &unsigned.into_certificate(&signature))
        }

        fn leaf(&self, epoch: u64) -> Leaf {
            let profile = PairProfile {
                issuer: &self.issuer,
                subject: "repo:acme/app",
                identity: "wimse://id.example.com/gha/acme/app",
                scopes: &["bridgeCert".to_owned()],
                auth_method: "gha-oidc",
                epoch,
                issued_at_millis: NOW * 1000,
                validity: Validity::starting(NOW, 300),
                delegation: None,
                mtls: &P256PublicKey::from_coordinates([7; 64]),
                signing: &self.public,
            };
            let [_, unsigned] = profile.to_be_signed([SerialNumber::from_random([2; 16]); 2]);
            let signature = self.key.sign(unsigned.as_bytes()).to_bytes();
            Leaf::from_der(&unsigned.into_certificate(&signature)).unwrap()
        }

        fn bundle(&self, epoch: u64, issued_at: u64) -> Vec<u8> {
            self.bundle_with(&[], epoch, issued_at)
        }

        /// A bundle that vouches for others' keys too.
        fn bundle_with(&self, others: &[&Self], epoch: u64, issued_at: u64) -> Vec<u8> {
            let key_id = self.public.key_id().to_string();
            let entry = |ca: &Self| KeyEntry {
                kid: ca.public.key_id().to_string(),
                public_key: ca.public.as_bytes().to_vec(),
            };
            let mut bundle = CABundle {
                epoch,
                seqno: 1,
                keys: std::iter::once(&self)
                    .chain(others)
                    .map(|ca| entry(ca))
                    .collect(),
                key_id,
                prev_key_id: String::new(),
                issued_at: i64::try_from(issued_at).unwrap(),
                signature: Vec::new(),
            };
            let signed = bundle.to_canonical_cbor().unwrap();
            bundle.signature = self.key.sign(&signed).to_bytes().to_vec();
            serde_json::to_vec(&BundleDocument::from(&bundle)).unwrap()
        }
    }

    /// The code with which the leaf is refused.
    fn judge(roots: &str, leaf: &Leaf, bundle: &[u8]) -> Option<String> {
        let roots = Roots::parse(roots.as_bytes()).unwrap();
        let judged = roots.issuer_of(leaf, NOW).and_then(|root| {
            let bundle = authentic(bundle, roots.current(), NOW)?;
            of_epoch(leaf.epoch, root, &bundle)
        });
        judged.err().map(|failure| failure.code)
    }

    #[test]
    fn a_bundle_is_fresh_for_300_seconds_and_may_be_60_ahead() {
        let ca = Ca::new(1);
        for (issued_at, code) in [
            (NOW - 301, Some("bundle_stale")),
            (NOW - 300, None),
            (NOW + 60, None),
            (NOW + 61, Some("bundle_from_future")),
        ] {
            let judged = judge(&ca.root(), &ca.leaf(3), &ca.bundle(3, issued_at));
            assert_eq!(judged.as_deref(), code, "{issued_at}");
        }
    }

    impl Ca {
        fn list(&self, claims: &Value) -> Vec<u8> {
            let kid = self.public.key_id().to_string();
            let header = json!({ "alg": "EdDSA", "kid": kid, "typ": LIST_TYPE });
            let part = |value: &Value| notme_keys::encode_base64url(value.to_string().as_bytes());
            let input = format!("{}.{}", part(&header), part(claims));
            let signature = self.key.sign(input.as_bytes()).to_bytes();
            format!("{input}.{}", notme_keys::encode_base64url(&signature)).into_bytes()
        }
    }

    fn claims() -> Value {
        json!({
            "iss": "https://id.example.com", "aud": LIST_AUDIENCE, "iat": NOW, "exp": NOW + 300, "epoch": 3, "number": 7,
            "credentials": [], "principals": {}, "delegations": {},
        })
    }

    /// The code with which a leaf of epoch 3, issued at `NOW`, is refused by a list.
    fn judge_list(at: u64, change: impl FnOnce(&mut Value)) -> Option<String> {
        let ca = Ca::new(1);
        let mut claims = claims();
        change(&mut claims);
        let whose = Some("https://id.example.com");
        let list = authentic_list(&ca.list(&claims), &root_of(&ca), whose, at);
        let judged = list.and_then(|list| not_listed(&Revocable::leaf(&ca.leaf(3)), &list));
        judged.err().map(|failure| failure.code)
    }

    #[test]
    fn a_list_counts_until_it_says_and_never_for_longer_than_a_bundle() {
        let stale = Some("revocations_stale");
        for (at, code) in [
            (NOW - 61, Some("revocations_from_future")),
            (NOW - 60, None),
            (NOW + 299, None),
            (NOW + 300, stale),
        ] {
            assert_eq!(judge_list(at, |_| ()).as_deref(), code, "{at}");
        }
        let long = |claims: &mut Value| claims["exp"] = json!(NOW + 301);
        assert_eq!(judge_list(NOW + 300, long).as_deref(), stale);
        let short = |claims: &mut Value| claims["exp"] = json!(NOW + 10);
        assert_eq!(judge_list(NOW + 10, short).as_deref(), stale);
    }

    #[test]
    fn a_list_revokes_by_serial_number_by_whom_and_by_epoch() {
        let revoked = Some("revoked".to_owned());
        let serial = "02".repeat(16);
        let credentials = |serial: &str| {
            let serials = json!([serial]);
            judge_list(NOW, move |claims| claims["credentials"] = serials)
        };
        assert_eq!(credentials(&serial), revoked);
        for serial in [[0; 16], [0xf0; 16], [0x0f; 16]] {
            let ca = Ca::new(1);
            let mut claims = claims();
            claims["credentials"] = json!([hex::encode(serial)]);
            let list = authentic_list(&ca.list(&claims), &root_of(&ca), None, NOW).unwrap();
            let mut leaf = ca.leaf(3);
            assert!(not_listed(&Revocable::leaf(&leaf), &list).is_ok());
            let zeros = serial.iter().take_while(|byte| **byte == 0).count();
            leaf.serial = [&[0], &serial[zeros..]].concat();
            assert!(
                not_listed(&Revocable::leaf(&leaf), &list).is_err(),
                "{serial:?}"
            );
        }
        assert_eq!(credentials(&"03".repeat(16)), None);
        let subject = |subject: &str, before: u64| {
            let principals = json!({ subject: before });
            judge_list(NOW, move |claims| claims["principals"] = principals)
        };
        assert_eq!(subject("repo:acme/app", NOW), revoked);
        assert_eq!(subject("repo:acme/app", NOW - 1), None, "issued after that");
        assert_eq!(subject("repo:acme/other", NOW), None);
        for epoch in [2, 4] {
            assert_eq!(
                judge_list(NOW, |claims| claims["epoch"] = json!(epoch)),
                revoked
            );
        }
    }

    #[test]
    fn a_list_revokes_what_was_issued_on_a_delegation() {
        let ca = Ca::new(1);
        let judged = |on: &str, before: u64, is_delegated: bool| {
            let mut claims = claims();
            claims["delegations"] = json!({ on: before });
            let list = authentic_list(&ca.list(&claims), &root_of(&ca), None, NOW).unwrap();
            let mut leaf = ca.leaf(3);
            leaf.delegation = is_delegated.then(|| Delegation {
                id: "d".into(),
                on_behalf_of: "ana".into(),
                audience: None,
                purpose: None,
            });
            not_listed(&Revocable::leaf(&leaf), &list).is_ok()
        };
        assert!(!judged("d", NOW, true));
        assert!(judged("d", NOW - 1, true), "issued after that");
        assert!(judged("e", NOW, true), "another one");
        assert!(judged("ana", NOW, true), "no delegation");
        assert!(judged("d", NOW, false), "on nobody's behalf");
    }

    #[test]
    fn what_is_no_list_revokes_nothing_and_vouches_for_nothing() {
        let malformed = Some("revocations_malformed".to_owned());
        for name in [
            "iat",
            "exp",
            "epoch",
            "number",
            "credentials",
            "principals",
            "delegations",
            "iss",
            "aud",
        ] {
            for value in [json!(null), json!("1"), json!(-1), json!([1])] {
                let told = judge_list(NOW, |claims| claims[name] = value.clone());
                assert_eq!(told, malformed, "{name} {value}");
            }
        }
        let other = |claims: &mut Value| claims["iss"] = json!("https://other.example.com");
        assert_eq!(judge_list(NOW, other), malformed);
    }

    #[test]
    fn a_leaf_is_of_the_bundle_s_epoch() {
        let ca = Ca::new(1);
        for (epoch, code) in [(2, Some("revoked")), (3, None), (4, Some("epoch_ahead"))] {
            let judged = judge(&ca.root(), &ca.leaf(epoch), &ca.bundle(3, NOW));
            assert_eq!(judged.as_deref(), code, "{epoch}");
        }
    }

    #[test]
    fn a_former_key_s_leaves_are_good_while_the_bundle_names_it() {
        let (current, former) = (Ca::new(1), Ca::new(2));
        let roots = format!("{}\n{}\n", current.root(), former.root());
        let judged = |bundle: &[u8]| judge(&roots, &former.leaf(3), bundle);
        let named = current.bundle_with(&[&former], 3, NOW);
        assert_eq!(judged(&named), None);
        assert_eq!(judge(&current.root(), &current.leaf(3), &named), None);
        let revoked = Some("revoked".to_owned());
        assert_eq!(judged(&current.bundle_with(&[&former], 4, NOW)), revoked);
        // Another key under the former one's id doesn't vouch for it.
        let bundle = |key: &Ca, id: &Ca| {
            let json = current.bundle_with(&[&former], 3, NOW);
            let mut bundle = authentic(&json, &root_of(&current), NOW).unwrap();
            bundle.keys = vec![KeyEntry {
                kid: id.public.key_id().to_string(),
                public_key: key.public.as_bytes().to_vec(),
            }];
            of_epoch(3, &root_of(&former), &bundle)
        };
        assert!(bundle(&former, &former).is_ok());
        assert!(bundle(&current, &former).is_err());
    }

    fn root_of(ca: &Ca) -> Root {
        Root::from_der(&notme_keys::decode_pem("CERTIFICATE", &ca.root()).unwrap()).unwrap()
    }

    #[test]
    fn only_the_first_root_s_key_signs_bundles_and_certificates() {
        let (current, former) = (Ca::new(1), Ca::new(2));
        let roots = format!("{}\n{}\n", current.root(), former.root());
        let judged = |leaf, bundle: &[u8]| judge(&roots, &leaf, bundle);
        assert_eq!(judged(current.leaf(3), &current.bundle(3, NOW)), None);
        // Who has a key of the past may sign anything with it.
        let revoked = Some("revoked".to_owned());
        assert_eq!(judged(former.leaf(3), &current.bundle(3, NOW)), revoked);
        let unknown = Some("bundle_unknown_key".to_owned());
        assert_eq!(judged(former.leaf(3), &former.bundle(3, NOW)), unknown);
        assert_eq!(judged(current.leaf(3), &former.bundle(3, NOW)), unknown);
    }
}
