//! Following an authority from a key that is trusted to the one that it signs with now.
//!
//! At a rollover the old key endorses the new one (`docs/keys.md`), so whoever trusts the old one trusts the
//! new one too. No epoch endorses the next.

use notme_keys::native::settle;
use notme_keys::{Ed25519PublicKey, SignatureCheck, VerifyingKey, decode_base64_any, endorsement};
use serde_json::Value;

use crate::authority::Authority;
use crate::failure::Failure;
use crate::roots::{Roots, read_roots};

/// The roots as of the key that signed this bundle: `roots` themselves if theirs did, or if no chain of
/// endorsements leads there. Whether the bundle is good is for others to say.
pub(crate) fn follow(
    authority: &Authority<'_>,
    roots: Roots,
    bundle: &[u8],
) -> Result<Roots, Failure> {
    let bundle: Option<Value> = serde_json::from_slice(bundle).ok();
    let wanted = bundle.as_ref().and_then(|bundle| {
        let key_id = bundle.get("keyId")?.as_str()?;
        Some((key_id, bundle.get("epoch")?.as_u64()?))
    });
    let Some((key_id, epoch)) = wanted else {
        return Ok(roots);
    };
    let trusted = *roots.current().key();
    if trusted.key_id().to_string() == key_id {
        return Ok(roots);
    }
    let archive = authority.epochs()?.unwrap_or_default();
    let archive: Option<Value> = serde_json::from_slice(&archive).ok();
    let entries = archive
        .as_ref()
        .and_then(|archive| archive.get("epochs")?.as_array());
    let entries = entries.map(Vec::as_slice).unwrap_or_default();
    let Some(key) = successor(entries, trusted, key_id, epoch) else {
        return Ok(roots);
    };
    let served = read_roots(&authority.roots()?)?;
    match served.into_iter().find(|(root, _)| *root.key() == key) {
        Some((root, der)) => Ok(roots.succeeded_by(root, &der)),
        None => Ok(roots),
    }
}

/// The key with this id, if a chain of endorsements within this epoch leads there from `trusted`.
fn successor(
    entries: &[Value],
    mut trusted: Ed25519PublicKey,
    key_id: &str,
    epoch: u64,
) -> Option<Ed25519PublicKey> {
    // Each step uses up an entry, whatever they say of each other.
    for _ in entries {
        trusted = entries
            .iter()
            .find_map(|entry| endorsed(entry, &trusted, epoch))?;
        if trusted.key_id().to_string() == key_id {
            return Some(trusted);
        }
    }
    None
}

/// The key of `entry`, if it is of this epoch and `by` endorsed it.
fn endorsed(entry: &Value, by: &Ed25519PublicKey, epoch: u64) -> Option<Ed25519PublicKey> {
    let bytes = |value: &Value| decode_base64_any(value.as_str()?);
    let made = entry.get("endorsement")?;
    if made.get("by")?.as_str()? != by.key_id().to_string()
        || entry.get("epoch")?.as_u64()? != epoch
    {
        return None;
    }
    let key: [u8; 32] = bytes(entry.get("publicRawB64")?)?.try_into().ok()?;
    let key = Ed25519PublicKey::from_bytes(key).ok()?;
    if entry.get("keyId")?.as_str()? != key.key_id().to_string() {
        return None;
    }
    let check = SignatureCheck {
        key: VerifyingKey::Ed25519(*by),
        messages: vec![endorsement(by, &key, epoch, made.get("at")?.as_u64()?)],
        signature: bytes(made.get("signature")?)?,
    };
    settle(&check).is_verified().then_some(key)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};
    use notme_keys::encode_base64;
    use serde_json::json;

    use super::*;

    fn secret(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn public(seed: u8) -> Ed25519PublicKey {
        Ed25519PublicKey::from_bytes(secret(seed).verifying_key().to_bytes()).unwrap()
    }

    /// The archive's entry of a key, which another endorsed.
    fn entry(epoch: u64, key: u8, by: Option<u8>) -> Value {
        let mut entry = json!({
            "epoch": epoch,
            "keyId": public(key).key_id().to_string(),
            "publicRawB64": encode_base64(public(key).as_bytes()),
            "retiredAt": null,
        });
        if let Some(by) = by {
            let message = endorsement(&public(by), &public(key), epoch, 7);
            entry["endorsement"] = json!({
                "by": public(by).key_id().to_string(),
                "at": 7,
                "signature": encode_base64(&secret(by).sign(&message).to_bytes()),
            });
        }
        entry
    }

    fn leads(entries: &[Value], from: u8, to: u8, epoch: u64) -> bool {
        let id = public(to).key_id().to_string();
        successor(entries, public(from), &id, epoch) == Some(public(to))
    }

    #[test]
    fn a_chain_of_endorsements_is_followed_forwards() {
        let entries = [
            entry(1, 1, None),
            entry(1, 2, Some(1)),
            entry(1, 3, Some(2)),
        ];
        assert!(leads(&entries, 1, 2, 1) && leads(&entries, 1, 3, 1) && leads(&entries, 2, 3, 1));
        assert!(!leads(&entries, 3, 2, 1) && !leads(&entries, 2, 1, 1));
        assert!(!leads(&entries, 9, 3, 1), "nobody endorses a stranger");
        assert!(!leads(&entries[..2], 1, 3, 1), "a link is missing");
        assert!(!leads(&entries, 1, 3, 2), "of another epoch");
    }

    #[test]
    fn circles_end() {
        let entries = [entry(1, 1, Some(2)), entry(1, 2, Some(1))];
        assert!(!leads(&entries, 1, 3, 1));
    }

    #[test]
    fn every_part_of_an_endorsement_counts() {
        let good = entry(1, 2, Some(1));
        assert!(leads(std::slice::from_ref(&good), 1, 2, 1));
        let other = entry(1, 3, Some(1));
        let changes: [(&str, Value); 6] = [
            ("/epoch", json!(2)),
            ("/keyId", json!("0")),
            ("/publicRawB64", other["publicRawB64"].clone()),
            ("/endorsement/at", json!(8)),
            ("/endorsement/by", json!(public(2).key_id().to_string())),
            (
                "/endorsement/signature",
                other["endorsement"]["signature"].clone(),
            ),
        ];
        for (path, value) in changes {
            let mut bad = good.clone();
            *bad.pointer_mut(path).unwrap() = value;
            for epoch in [1, 2] {
                assert!(!leads(std::slice::from_ref(&bad), 1, 2, epoch), "{path}");
            }
            // What is wrong beside it doesn't hide what is right.
            assert!(leads(&[bad, good.clone()], 1, 2, 1), "{path}");
        }
        let mut bare = good;
        bare.as_object_mut().unwrap().remove("endorsement");
        assert!(!leads(&[bare], 1, 2, 1));
    }
}
