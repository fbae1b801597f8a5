//! Ceremonies that other people's code has made, as they are (`vectors/make.py` says whose).

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod support;

use notme_keys::encode_base64url;
use notme_webauthn::*;
use serde_json::{Value, json};

use support::{OWNER, authenticate, bytes, register};

fn challenge(ceremony: &Value) -> Challenge {
    Challenge::from_bytes(bytes(&ceremony["challenge"]).try_into().unwrap())
}

fn response(vector: &Value, ceremony: &str, parts: &[&str]) -> String {
    let id = encode_base64url(&bytes(&vector["registration"]["credential_id"]));
    let mut response = json!({ "userHandle": encode_base64url(OWNER) });
    for part in parts {
        response[part] = encode_base64url(&bytes(&vector[ceremony][part])).into();
    }
    let envelope = json!({ "id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {}, "response": response });
    envelope.to_string()
}

fn registered(vector: &Value) -> Result<NewCredential, Error> {
    let json = response(
        vector,
        "registration",
        &["clientDataJSON", "attestationObject"],
    );
    register(&json, &challenge(&vector["registration"]))
}

fn stored(credential: NewCredential) -> StoredCredential {
    let NewCredential {
        id,
        key,
        sign_count,
        backup_eligible,
        ..
    } = credential;
    StoredCredential {
        id,
        // As a host keeps it.
        key: CredentialKey::from_spki(key.algorithm(), &key.to_spki()).unwrap(),
        sign_count,
        backup_eligible,
        owner: UserHandle::new(OWNER.to_vec()).unwrap(),
    }
}

#[test]
fn ceremonies_of_other_peoples_making_are_judged_as_they_should() {
    use AttestationKind as Kind;
    let all = support::vectors();
    assert_eq!(all.len(), 17);
    for vector in &all {
        let name = vector["name"].as_str().unwrap();
        let expected = match name {
            "none.ES256.unverified" => Err(Error::UserNotVerified),
            "none.ES256.crossOrigin" => Err(Error::CrossOrigin),
            "packed.ES384" | "packed.ES512" | "packed.Ed448" => Err(Error::AlgorithmNotOffered),
            _ if name.starts_with("none.") => Ok(Kind::None),
            _ if name.starts_with("packed-self.") => Ok(Kind::PackedSelf),
            _ if name.starts_with("packed.") => Ok(Kind::PackedUnverified),
            other => panic!("unknown vector {other}"),
        };
        let credential = registered(vector);
        assert_eq!(
            credential
                .as_ref()
                .map(|one| one.attestation)
                .map_err(|error| *error),
            expected,
            "{name}"
        );
        let Ok(credential) = credential else { continue };
        let part = |part: &str| bytes(&vector["registration"][part]);
        assert_eq!(credential.id.as_bytes(), part("credential_id"), "{name}");
        assert_eq!(credential.aaguid.as_bytes()[..], part("aaguid"), "{name}");

        let stored = stored(credential);
        let json = response(
            vector,
            "authentication",
            &["clientDataJSON", "authenticatorData", "signature"],
        );
        let challenge = challenge(&vector["authentication"]);
        let assertion = authenticate(&json, &challenge, &stored).unwrap();
        let counted = name == "none.ES256.counter";
        let expected = if counted {
            (42, Counter::Advanced)
        } else {
            (0, Counter::Unsupported)
        };
        assert_eq!(
            (assertion.sign_count, assertion.counter),
            expected,
            "{name}"
        );

        // And not under another key of the same kind.
        let mut others = all
            .iter()
            .filter_map(|other| Some(registered(other).ok()?.key));
        let other =
            others.find(|key| key.algorithm() == stored.key.algorithm() && *key != stored.key);
        let other = StoredCredential {
            key: other.unwrap(),
            ..stored
        };
        assert_eq!(
            authenticate(&json, &challenge, &other),
            Err(Error::SignatureInvalid),
            "{name}"
        );
    }
}
