//! The published vector of the proof of possession (notme protocol §21.3), made by a foreign signer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use notme_keys::native::settle;
use notme_keys::{
    Ed25519PublicKey, Outcome, P256PublicKey, SignatureCheck, VerifyingKey, decode_base64_any,
};
use sha2::{Digest, Sha256};

const MTLS: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAErQC/YXebA2HRat4HXTpVzxPvPVRirTPHgW1xcwvWXSx+hQx5FM1W6GMbimAWjoS8ebmi59igaw70BSsmRN+3dA==";
const SIGNING: &str = "MCowBQYDK2VwAyEAUf4uLZXWRlI+iqYmj4V0JcbCRIhc8gM5J+7cZ7DyUxo=";
const MTLS_PROOF: &str =
    "lnBr1n-meWFJ7HSPHHrvkHQlNG9t_uUgjwco75BlVx8nlhfeyPmcwaYw_OdyUwplQt6n9OLGzx1jwh_qiB5uqg";
const SIGNING_PROOF: &str =
    "KTSOfUHZkQBaNvtaOihWLc-1kHeVrPEXrWq-oJUn6ieHRlccFHSKKFRbkMm3FtyNHo2WxpCSd9gpIsdpeBjJBw";

#[test]
fn both_proofs_verify_over_the_pre_image_and_neither_over_its_digest() {
    let mtls = STANDARD.decode(MTLS).unwrap();
    let signing = STANDARD.decode(SIGNING).unwrap();
    let pre_image = [&mtls[..], &signing].concat();
    let digest = Sha256::digest(&pre_image).to_vec();
    for (key, proof) in [
        (
            VerifyingKey::Es256(P256PublicKey::from_spki(&mtls).unwrap()),
            MTLS_PROOF,
        ),
        (
            VerifyingKey::Ed25519(Ed25519PublicKey::from_spki(&signing).unwrap()),
            SIGNING_PROOF,
        ),
    ] {
        let outcome = |messages: Vec<Vec<u8>>| {
            let signature = decode_base64_any(proof).unwrap();
            settle(&SignatureCheck {
                key: key.clone(),
                messages,
                signature,
            })
        };
        assert_eq!(outcome(vec![pre_image.clone()]), Outcome::Verified(0));
        assert_eq!(outcome(vec![digest.clone()]), Outcome::Failed);
        assert_eq!(
            outcome(vec![digest.clone(), pre_image.clone()]),
            Outcome::Verified(1)
        );
    }
}
