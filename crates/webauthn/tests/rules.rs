//! Each rule by itself: a ceremony of other people's making that is right, and the same
//! one bent in the one point that the rule is about. `docs/webauthn.md` lists them.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may panic"
)]

mod support;

use notme_keys::{Outcome, encode_base64url};
use notme_webauthn::*;
use proptest::prelude::*;
use serde_json::{Value, json};

use support::{AT, Answer, BE, BS, ED, OWNER, UP, UV, authenticate, map, party, register};

/// Both ceremonies, bent alike: what one refuses the other does for the same reason.
fn both(bend: impl Fn(Answer) -> Answer, error: Error) {
    assert_eq!(bend(Answer::none()).register(), Err(error), "registration");
    let (answer, stored) = Answer::assertion();
    assert_eq!(bend(answer).authenticate(&stored), Err(error), "assertion");
}

/// Both ceremonies, bent without harm: of an assertion only the signature breaks.
fn both_accept(bend: impl Fn(Answer) -> Answer) {
    assert!(bend(Answer::none()).register().is_ok());
    let (answer, stored) = Answer::assertion();
    assert_eq!(
        bend(answer).authenticate(&stored),
        Err(Error::SignatureInvalid)
    );
}

#[test]
fn what_is_right_is_accepted() {
    let credential = Answer::none().register().unwrap();
    assert_eq!(credential.attestation, AttestationKind::None);
    assert_eq!(credential.key.algorithm(), Algorithm::Es256);
    assert_eq!(
        (credential.backup_eligible, credential.backed_up),
        (true, true)
    );
    let aaguid = support::bytes(&support::vector("none.ES256")["registration"]["aaguid"]);
    assert_eq!(credential.aaguid.as_bytes()[..], aaguid);
    let (answer, stored) = Answer::assertion();
    let assertion = answer.authenticate(&stored).unwrap();
    assert_eq!((assertion.sign_count, assertion.backed_up), (0, false));
}

mod envelope {
    use super::*;

    fn envelope(name: &str, value: Value) -> impl Fn(Answer) -> Answer {
        move |answer| answer.with(|a| _ = a.envelope.insert(name.into(), value.clone()))
    }

    #[test]
    fn size_is_bounded() {
        both(
            envelope("x", "x".repeat(65_536).into()),
            Error::ResponseTooLarge,
        );
        both(
            |answer| answer.client(|c| _ = c.insert("x".into(), "x".repeat(4096).into())),
            Error::ResponseTooLarge,
        );
        let big = encode_base64url(&[0; 16_385]);
        let answer =
            Answer::none().with(|a| _ = a.response.insert("attestationObject".into(), big.into()));
        assert_eq!(answer.register(), Err(Error::ResponseTooLarge));
        let (answer, stored) = Answer::assertion();
        for (name, length) in [("authenticatorData", 8193), ("signature", 513)] {
            let big = encode_base64url(&vec![0; length]);
            let answer = answer
                .clone()
                .with(|a| _ = a.response.insert(name.into(), big.into()));
            assert_eq!(
                answer.authenticate(&stored),
                Err(Error::ResponseTooLarge),
                "{name}"
            );
        }
    }

    #[test]
    fn json_must_be_an_object() {
        for json in ["", "null", "[]", "\"x\"", "{", "{}}", "\u{feff}{}"] {
            assert_eq!(
                RegistrationResponse::parse(json.as_bytes()),
                Err(Error::ResponseMalformed),
                "{json}"
            );
            assert_eq!(
                AuthenticationResponse::parse(json.as_bytes()),
                Err(Error::ResponseMalformed),
                "{json}"
            );
        }
    }

    #[test]
    fn members_have_their_types() {
        for (name, value) in [
            ("id", json!(1)),
            ("rawId", Value::Null),
            ("rawId", json!("a b")),
            ("rawId", json!("AR")),
            ("type", Value::Null),
            ("response", Value::Null),
            ("response", json!([])),
            ("response", json!({})),
            ("clientExtensionResults", Value::Null),
            ("clientExtensionResults", json!([])),
            ("authenticatorAttachment", json!(1)),
        ] {
            both(envelope(name, value), Error::ResponseMalformed);
        }
        for (name, value) in [
            ("clientDataJSON", Value::Null),
            ("clientDataJSON", json!("=")),
            ("attestationObject", Value::Null),
            ("transports", json!("usb")),
            ("transports", json!([1])),
            ("transports", json!(vec!["usb"; 17])),
        ] {
            let answer = Answer::none().with(|a| _ = a.response.insert(name.into(), value));
            assert_eq!(answer.register(), Err(Error::ResponseMalformed), "{name}");
        }
        let (answer, stored) = Answer::assertion();
        for (name, value) in [
            ("authenticatorData", Value::Null),
            ("signature", Value::Null),
            ("signature", json!("+/==")),
            ("userHandle", json!(1)),
            ("userHandle", json!("%")),
        ] {
            let answer = answer
                .clone()
                .with(|a| _ = a.response.insert(name.into(), value));
            assert_eq!(
                answer.authenticate(&stored),
                Err(Error::ResponseMalformed),
                "{name}"
            );
        }
    }

    #[test]
    fn what_the_client_adds_is_ignored() {
        both_accept(|answer| {
            // The signature of the assertion has to break for it to be comparable.
            answer
                .client(|c| _ = c.insert("x".into(), json!([1])))
                .with(|a| {
                    a.envelope
                        .insert("authenticatorAttachment".into(), "orbital".into());
                    a.envelope.insert(
                        "clientExtensionResults".into(),
                        json!({ "credProps": { "rk": true } }),
                    );
                    a.response.insert("publicKeyAlgorithm".into(), (-7).into());
                })
        });
        let (answer, stored) = Answer::assertion();
        let answer = answer.with(|a| {
            _ = a
                .envelope
                .insert("authenticatorAttachment".into(), Value::Null)
        });
        assert!(answer.authenticate(&stored).is_ok());
    }

    #[test]
    fn members_stand_once() {
        let answer = Answer::none();
        let good = answer.registration_json();
        for (from, to) in [
            ("{\"id\":", "{\"type\":\"public-key\",\"id\":"),
            (
                "\"response\":{",
                "\"response\":{\"clientDataJSON\":\"e30\",",
            ),
            (
                "\"clientExtensionResults\":{}",
                "\"clientExtensionResults\":{\"a\":1,\"a\":1}",
            ),
        ] {
            assert!(good.contains(from));
            let json = good.replacen(from, to, 1);
            assert_eq!(
                register(&json, &answer.challenge),
                Err(Error::DuplicateMember),
                "{to}"
            );
        }
        let (answer, stored) = Answer::assertion();
        let json =
            answer
                .assertion_json()
                .replacen("{\"id\":", "{\"type\":\"public-key\",\"id\":", 1);
        assert_eq!(
            authenticate(&json, &answer.challenge, &stored),
            Err(Error::DuplicateMember)
        );
    }

    #[test]
    fn type_is_public_key() {
        both(
            envelope("type", "password".into()),
            Error::CredentialTypeUnsupported,
        );
        both(
            envelope("type", "".into()),
            Error::CredentialTypeUnsupported,
        );
    }

    #[test]
    fn ids_are_equal() {
        both(
            |answer| answer.with(|a| a.names[0] = "AAAA".into()),
            Error::CredentialIdMismatch,
        );
        both(
            |answer| answer.with(|a| a.names[1] = "AAAA".into()),
            Error::CredentialIdMismatch,
        );
        // Both are another one than the authenticator's.
        let answer = Answer::none().with(|a| a.names = ["AAAA".into(), "AAAA".into()]);
        assert_eq!(answer.register(), Err(Error::CredentialIdMismatch));
    }

    #[test]
    fn ids_have_their_length() {
        for length in [0, 1024] {
            let text = encode_base64url(&vec![0; length]);
            both(
                |answer| answer.with(|a| a.names = [text.clone(), text.clone()]),
                Error::CredentialIdInvalid,
            );
        }
        for (length, verdict) in [(0, false), (1, true), (1023, true), (1024, false)] {
            let id = vec![7; length];
            let answer = Answer::none().with(|a| {
                // The names are only compared once the authenticator data was read.
                let text = if verdict {
                    encode_base64url(&id)
                } else {
                    "AAAA".into()
                };
                a.names = [text.clone(), text];
                a.id = id;
            });
            let expected = if verdict {
                Ok(())
            } else {
                Err(Error::CredentialIdInvalid)
            };
            assert_eq!(answer.register().map(|_| ()), expected, "{length}");
        }
    }

    #[test]
    fn transports_are_kept_once_and_unknown_ones_are_not() {
        let names = json!(["internal", "cable", "hybrid", "internal", "smart-card", ""]);
        let answer = Answer::none().with(|a| _ = a.response.insert("transports".into(), names));
        let known = [Transport::Internal, Transport::Hybrid, Transport::SmartCard];
        assert_eq!(answer.register().unwrap().transports, known);
        assert_eq!(Answer::none().register().unwrap().transports, []);
    }
}

mod client_data {
    use super::*;

    fn member(name: &str, value: Value) -> impl Fn(Answer) -> Answer {
        move |answer| answer.client(|c| _ = c.insert(name.into(), value.clone()))
    }

    fn text(change: impl Fn(String) -> Vec<u8>) -> impl Fn(Answer) -> Answer {
        move |answer| {
            answer
                .with(|a| a.client_data = change(String::from_utf8(a.client_data.clone()).unwrap()))
        }
    }

    #[test]
    fn is_a_json_object() {
        for bytes in [
            &b""[..],
            b"[]",
            b"null",
            b"{}x",
            b"\xff",
            b"{\"a\":\"\xc0\x80\"}",
        ] {
            both(text(|_| bytes.to_vec()), Error::ClientDataMalformed);
        }
        both(
            text(|json| json.replacen('{', "{\"a\":\"\\ud800\",", 1).into()),
            Error::ClientDataMalformed,
        );
        both(
            text(|json| format!("{json} x").into()),
            Error::ClientDataMalformed,
        );
        both(
            text(|json| format!("\u{feff}\u{feff}{json}").into()),
            Error::ClientDataMalformed,
        );
    }

    #[test]
    fn a_byte_order_mark_is_dropped() {
        both_accept(text(|json| format!("\u{feff}{json}").into()));
    }

    #[test]
    fn members_stand_once() {
        both(
            text(|json| {
                json.replacen('{', "{\"type\":\"webauthn.create\",", 1)
                    .into()
            }),
            Error::DuplicateMember,
        );
        both(
            text(|json| json.replacen('{', "{\"x\":{\"a\":1,\"a\":1},", 1).into()),
            Error::DuplicateMember,
        );
    }

    #[test]
    fn members_have_their_types() {
        for name in ["type", "challenge", "origin"] {
            for value in [Value::Null, json!(1), json!(["https://example.org"])] {
                both(member(name, value), Error::ClientDataMalformed);
            }
            both(
                |answer| answer.client(|c| _ = c.remove(name)),
                Error::ClientDataMalformed,
            );
        }
        for value in [Value::Null, json!("true"), json!(1)] {
            both(member("crossOrigin", value), Error::ClientDataMalformed);
        }
    }

    #[test]
    fn unknown_members_and_token_binding_are_ignored() {
        both_accept(member(
            "tokenBinding",
            json!({ "status": "present", "id": "x" }),
        ));
        both_accept(member("other", json!([{}])));
        both_accept(|answer| {
            answer
                .client(|c| _ = c.remove("crossOrigin"))
                .with(|a| a.client_data.push(b' '))
        });
    }

    #[test]
    fn type_is_the_ceremony() {
        for kind in [
            "",
            "webauthn.Create",
            "webauthn.create ",
            "payment.get",
            "navigator.id.getAssertion",
        ] {
            both(member("type", kind.into()), Error::CeremonyMismatch);
        }
        let answer = member("type", "webauthn.get".into())(Answer::none());
        assert_eq!(answer.register(), Err(Error::CeremonyMismatch));
        let (answer, stored) = Answer::assertion();
        let answer = member("type", "webauthn.create".into())(answer);
        assert_eq!(answer.authenticate(&stored), Err(Error::CeremonyMismatch));
    }

    #[test]
    fn challenge_is_the_one_given_out() {
        let other = Challenge::from_bytes([1; 32]);
        both(
            |answer| answer.with(|a| a.challenge = other),
            Error::ChallengeMismatch,
        );
        both(member("challenge", "".into()), Error::ChallengeMismatch);
        both(member("challenge", "AAAA".into()), Error::ChallengeMismatch);
        both(
            |answer| {
                answer.client(|c| {
                    c["challenge"] = format!("{}=", c["challenge"].as_str().unwrap()).into()
                })
            },
            Error::ChallengeMismatch,
        );
    }

    #[test]
    fn claimed_challenge_is_what_the_client_says() {
        let (answer, _) = Answer::assertion();
        let claimed = |answer: &Answer| {
            AuthenticationResponse::parse(answer.assertion_json().as_bytes())
                .unwrap()
                .claimed_challenge()
        };
        assert_eq!(claimed(&answer), Ok(answer.challenge));
        assert_eq!(
            claimed(&member("challenge", "AAAA".into())(answer.clone())),
            Err(Error::ChallengeMismatch)
        );
        assert_eq!(
            claimed(&member("challenge", Value::Null)(answer)),
            Err(Error::ClientDataMalformed)
        );
    }

    #[test]
    fn origin_is_one_of_ours_exactly() {
        for origin in [
            "https://example.com",
            "https://example.org/",
            "https://example.org:443",
            "https://EXAMPLE.org",
            "https://sub.example.org",
            "https://example.org.evil.example",
            "http://example.org",
            "",
            "null",
        ] {
            both(member("origin", origin.into()), Error::OriginMismatch);
        }
        let party = RelyingParty::new(
            "example.org",
            ["https://other.example", "https://example.org/"],
        )
        .unwrap();
        let answer = Answer::none();
        let response = RegistrationResponse::parse(answer.registration_json().as_bytes()).unwrap();
        assert!(response.oblige(&party, &answer.challenge).is_ok());
    }

    #[test]
    fn frames_of_other_origins_are_refused() {
        both(member("crossOrigin", true.into()), Error::CrossOrigin);
        both_accept(|answer| {
            member("crossOrigin", false.into())(answer).with(|a| a.client_data.push(b' '))
        });
    }

    #[test]
    fn top_origin_is_refused() {
        both(
            member("topOrigin", "https://example.com".into()),
            Error::TopOrigin,
        );
        both(
            member("topOrigin", "https://example.org".into()),
            Error::TopOrigin,
        );
        both(member("topOrigin", Value::Null), Error::TopOrigin);
    }
}

mod authenticator_data {
    use super::*;

    #[test]
    fn rp_id_hash_is_ours() {
        both(
            |answer| answer.with(|a| a.rp_id_hash[0] ^= 1),
            Error::RpIdMismatch,
        );
        both(
            |answer| answer.with(|a| a.rp_id_hash[31] ^= 1),
            Error::RpIdMismatch,
        );
    }

    #[test]
    fn user_presence_is_required() {
        both(
            |answer| answer.with(|a| a.flags &= !UP),
            Error::UserNotPresent,
        );
    }

    #[test]
    fn user_verification_is_required() {
        both(
            |answer| answer.with(|a| a.flags &= !UV),
            Error::UserNotVerified,
        );
    }

    #[test]
    fn backed_up_means_eligible() {
        both(
            |answer| answer.with(|a| a.flags = a.flags & !BE | BS),
            Error::BackupStateInvalid,
        );
        let answer = Answer::none().with(|a| a.flags &= !(BE | BS));
        let credential = answer.register().unwrap();
        assert_eq!(
            (credential.backup_eligible, credential.backed_up),
            (false, false)
        );
    }

    #[test]
    fn reserved_flags_are_ignored() {
        both_accept(|answer| answer.with(|a| a.flags |= 0b10_0010));
    }

    #[test]
    fn a_registration_has_a_credential() {
        let answer = Answer::none().with(|a| a.flags &= !AT);
        assert_eq!(answer.register(), Err(Error::AttestedDataMissing));
    }

    #[test]
    fn an_assertion_has_none() {
        let (answer, stored) = Answer::assertion();
        let answer = answer.with(|a| a.flags |= AT);
        assert_eq!(
            answer.authenticate(&stored),
            Err(Error::AttestedDataUnexpected)
        );
    }

    #[test]
    fn nothing_is_missing_and_nothing_trails() {
        both(
            |answer| answer.with(|a| a.extra = vec![0]),
            Error::AuthenticatorDataMalformed,
        );
        both(
            |answer| answer.with(|a| a.extra = map(0, |_| ())),
            Error::AuthenticatorDataMalformed,
        );
        let whole = Answer::none().authenticator_data(true);
        for length in 0..whole.len() {
            let object = object_with(&whole[..length]);
            let answer = Answer::none()
                .with(|a| _ = a.response.insert("attestationObject".into(), object.into()));
            let expected = match length {
                0..87 => Error::AuthenticatorDataMalformed,
                _ => Error::KeyMalformed,
            };
            assert_eq!(answer.register(), Err(expected), "{length}");
        }
        let (answer, stored) = Answer::assertion();
        for length in 0..37 {
            let short = encode_base64url(&answer.authenticator_data(false)[..length]);
            let answer = answer
                .clone()
                .with(|a| _ = a.response.insert("authenticatorData".into(), short.into()));
            assert_eq!(
                answer.authenticate(&stored),
                Err(Error::AuthenticatorDataMalformed),
                "{length}"
            );
        }
        let answer = Answer::none().with(|a| a.id_length = Some(1000));
        assert_eq!(answer.register(), Err(Error::AuthenticatorDataMalformed));
    }

    fn object_with(data: &[u8]) -> String {
        encode_base64url(&map(3, |cbor| {
            cbor.str("fmt").unwrap().str("none").unwrap();
            cbor.str("attStmt").unwrap().map(0).unwrap();
            cbor.str("authData").unwrap().bytes(data).unwrap();
        }))
    }

    #[test]
    fn extensions_are_one_map_by_name() {
        let extensions = |extra: Vec<u8>| {
            move |answer: Answer| {
                answer.with(|a| {
                    a.flags |= ED;
                    a.extra = extra.clone();
                })
            }
        };
        both_accept(extensions(map(0, |_| ())));
        both_accept(extensions(map(1, |cbor| {
            _ = cbor.str("credProtect").unwrap().u8(2)
        })));
        for bad in [
            vec![],
            vec![0x80],
            vec![0xa1, 0x61],
            vec![0xa1, 1, 1],
            vec![0xbf, 0xff],
            vec![0xa0, 0],
            vec![0xa2, 0x61, b'a', 1, 0x61, b'a', 2],
        ] {
            both(extensions(bad), Error::ExtensionsMalformed);
        }
    }
}

mod key {
    use super::*;

    /// Writes one value.
    type Write<'a> = &'a dyn Fn(&mut minicbor::Encoder<Vec<u8>>);

    /// A COSE key with these members; byte strings are given as such.
    fn cose(members: &[(i64, Write<'_>)]) -> Vec<u8> {
        map(members.len().try_into().unwrap(), |cbor| {
            for (label, write) in members {
                cbor.i64(*label).unwrap();
                write(cbor);
            }
        })
    }

    fn int(value: i64) -> impl Fn(&mut minicbor::Encoder<Vec<u8>>) {
        move |cbor| _ = cbor.i64(value).unwrap()
    }

    fn string(value: Vec<u8>) -> impl Fn(&mut minicbor::Encoder<Vec<u8>>) {
        move |cbor| _ = cbor.bytes(&value).unwrap()
    }

    fn with(key: Vec<u8>) -> Result<CredentialKey, Error> {
        Answer::none()
            .with(|a| a.key = key)
            .register()
            .map(|credential| credential.key)
    }

    #[test]
    fn each_algorithm_is_read_and_kept() {
        for (name, algorithm) in [
            ("none.ES256", Algorithm::Es256),
            ("packed.EdDSA", Algorithm::EdDsa),
            ("packed.RS256", Algorithm::Rs256),
        ] {
            let key = with(Answer::registration(name).key).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            assert_eq!(Algorithm::from_cose(algorithm.cose()), Some(algorithm));
            let spki = key.to_spki();
            for stored in Algorithm::OFFERED {
                let read = CredentialKey::from_spki(stored, &spki);
                assert_eq!(read.ok(), (stored == algorithm).then(|| key.clone()));
            }
        }
    }

    #[test]
    fn algorithms_are_those_offered() {
        for name in ["packed.ES384", "packed.ES512", "packed.Ed448"] {
            assert_eq!(
                with(Answer::registration(name).key),
                Err(Error::AlgorithmNotOffered),
                "{name}"
            );
        }
        for alg in [0, -9, -19, -35, -36, -37, -38, -47, -65535, i64::MIN] {
            assert_eq!(
                with(cose(&[(1, &int(2)), (3, &int(alg))])),
                Err(Error::AlgorithmNotOffered),
                "{alg}"
            );
        }
    }

    #[test]
    fn members_are_exactly_those_of_the_algorithm() {
        let (x, y) = (string(vec![1; 32]), string(vec![2; 32]));
        let es256 = |kty, alg, crv| {
            cose(&[
                (1, &int(kty)),
                (3, &int(alg)),
                (-1, &int(crv)),
                (-2, &x),
                (-3, &y),
            ])
        };
        assert!(with(es256(2, -7, 1)).is_ok());
        for key in [
            es256(1, -7, 1),
            es256(3, -7, 1),
            es256(2, -7, 2),
            es256(2, -7, 6),
            es256(2, -8, 6),
            es256(2, -257, 1),
            cose(&[(1, &int(2)), (-1, &int(1)), (-2, &x), (-3, &y)]),
            cose(&[(3, &int(-7)), (-1, &int(1)), (-2, &x), (-3, &y)]),
            cose(&[(1, &int(2)), (3, &int(-7)), (-2, &x), (-3, &y)]),
            cose(&[(1, &int(2)), (3, &int(-7)), (-1, &int(1)), (-3, &y)]),
            cose(&[(1, &int(2)), (3, &int(-7)), (-1, &int(1)), (-2, &x)]),
            cose(&[
                (1, &int(2)),
                (2, &x),
                (3, &int(-7)),
                (-1, &int(1)),
                (-2, &x),
                (-3, &y),
            ]),
            cose(&[
                (1, &int(2)),
                (3, &int(-7)),
                (-1, &int(1)),
                (-2, &x),
                (-3, &y),
                (-4, &x),
            ]),
            cose(&[(1, &int(2)), (3, &x), (-1, &int(1)), (-2, &x), (-3, &y)]),
            cose(&[
                (1, &int(2)),
                (3, &int(-7)),
                (-1, &int(1)),
                (-2, &string(vec![1; 31])),
                (-3, &y),
            ]),
            cose(&[
                (1, &int(2)),
                (3, &int(-7)),
                (-1, &int(1)),
                (-2, &x),
                (-3, &string(vec![1; 33])),
            ]),
            cose(&[
                (1, &int(2)),
                (3, &int(-7)),
                (-1, &int(1)),
                (-2, &x),
                (-3, &|c| _ = c.bool(true).unwrap()),
            ]),
            cose(&[]),
            vec![0x80],
            vec![],
        ] {
            assert_eq!(with(key.clone()), Err(Error::KeyMalformed), "{key:02x?}");
        }
    }

    #[test]
    fn ed25519_keys_are_32_bytes_on_the_right_curve() {
        let okp = |kty, crv, x: Vec<u8>| {
            with(cose(&[
                (1, &int(kty)),
                (3, &int(-8)),
                (-1, &int(crv)),
                (-2, &string(x)),
            ]))
        };
        assert!(okp(1, 6, vec![7; 32]).is_ok());
        assert_eq!(okp(2, 6, vec![7; 32]), Err(Error::KeyMalformed));
        assert_eq!(okp(1, 7, vec![7; 32]), Err(Error::KeyMalformed));
        assert_eq!(okp(1, 4, vec![7; 32]), Err(Error::KeyMalformed));
        assert_eq!(okp(1, 6, vec![7; 31]), Err(Error::KeyMalformed));
        assert_eq!(okp(1, 6, vec![7; 33]), Err(Error::KeyMalformed));
        assert_eq!(okp(1, 6, vec![0xff; 32]), Err(Error::KeyMalformed));
        assert_eq!(okp(1, 6, vec![0; 32]), Err(Error::KeyWeak));
    }

    #[test]
    fn rsa_keys_are_neither_short_nor_padded() {
        let rsa = |kty, n: Vec<u8>, e: Vec<u8>| {
            with(cose(&[
                (1, &int(kty)),
                (3, &int(-257)),
                (-1, &string(n)),
                (-2, &string(e)),
            ]))
        };
        let modulus = |len| vec![0xff; len];
        let e = || vec![1, 0, 1];
        assert!(rsa(3, modulus(256), e()).is_ok());
        assert!(rsa(3, modulus(512), e()).is_ok());
        assert_eq!(rsa(2, modulus(256), e()), Err(Error::KeyMalformed));
        assert_eq!(rsa(3, modulus(255), e()), Err(Error::KeyWeak));
        assert_eq!(rsa(3, modulus(513), e()), Err(Error::KeyWeak));
        assert_eq!(rsa(3, modulus(256), vec![1]), Err(Error::KeyWeak));
        assert_eq!(rsa(3, vec![], e()), Err(Error::KeyWeak));
        assert_eq!(
            rsa(3, [vec![0], modulus(256)].concat(), e()),
            Err(Error::KeyMalformed)
        );
        assert_eq!(
            rsa(3, modulus(256), vec![0, 1, 0, 1]),
            Err(Error::KeyMalformed)
        );
    }

    #[test]
    fn encoding_is_canonical() {
        let good = Answer::none().key;
        assert_eq!(good[..2], [0xa5, 1]);
        let long_label = [&[0xa5, 0x18, 1], &good[2..]].concat();
        let long_map = [&[0xb8, 5], &good[1..]].concat();
        let endless = [&[0xbf], &good[1..], &[0xff]].concat();
        let twice = [&[0xa6, 1, 2], &good[1..]].concat();
        let tagged = [&[0xc1], &good[..]].concat();
        for key in [long_label, long_map, endless, twice, tagged] {
            assert_eq!(with(key.clone()), Err(Error::KeyMalformed), "{key:02x?}");
        }
    }
}

mod attestation {
    use super::*;

    #[test]
    fn object_has_exactly_its_members() {
        let data = Answer::none().authenticator_data(true);
        let object = |names: [&str; 3], extra: bool| {
            let object = map(3 + u64::from(extra), |cbor| {
                cbor.str(names[0]).unwrap().str("none").unwrap();
                cbor.str(names[1]).unwrap().map(0).unwrap();
                cbor.str(names[2]).unwrap().bytes(&data).unwrap();
                if extra {
                    cbor.str("x").unwrap().u8(0).unwrap();
                }
            });
            with_object(&object)
        };
        assert_eq!(object(["fmt", "attStmt", "authData"], false), Ok(()));
        let bad = Err(Error::AttestationObjectMalformed);
        assert_eq!(object(["fmt", "attStmt", "authData"], true), bad);
        assert_eq!(object(["Fmt", "attStmt", "authData"], false), bad);
        assert_eq!(object(["fmt", "attstmt", "authData"], false), bad);
        assert_eq!(object(["fmt", "attStmt", "fmt"], false), bad);
        let good = Answer::none().attestation_object();
        assert_eq!(with_object(&good), Ok(()));
        assert_eq!(with_object(&[&good[..], &[0]].concat()), bad);
        assert_eq!(with_object(&good[..good.len() - 1]), bad);
        assert_eq!(with_object(&[&[0xb8, 3], &good[1..]].concat()), bad);
        assert_eq!(with_object(&[&[0xbf], &good[1..], &[0xff]].concat()), bad);
        assert_eq!(with_object(&[0x80]), bad);
        assert_eq!(with_object(&[]), bad);
        for at in [5, 18, 28] {
            // Each value by another type in turn: fmt, attStmt, authData.
            let mut other = good.clone();
            assert!(
                matches!(other[at], 0x64 | 0xa0 | 0x58),
                "{at}: {:02x}",
                other[at]
            );
            other[at] = match other[at] {
                0x64 => 0x44,
                0xa0 => 0x80,
                _ => 0x78,
            };
            assert_eq!(with_object(&other), bad, "{at}");
        }
    }

    fn with_object(object: &[u8]) -> Result<(), Error> {
        let object = encode_base64url(object);
        let answer = Answer::none()
            .with(|a| _ = a.response.insert("attestationObject".into(), object.into()));
        answer.register().map(|_| ())
    }

    #[test]
    fn formats_are_none_and_packed() {
        for format in [
            "",
            "None",
            "fido-u2f",
            "tpm",
            "android-key",
            "android-safetynet",
            "apple",
            "compound",
        ] {
            let answer = Answer::none().with(|a| a.format = format);
            assert_eq!(
                answer.register(),
                Err(Error::AttestationFormatUnsupported),
                "{format}"
            );
        }
    }

    #[test]
    fn none_says_nothing() {
        let answer = Answer::none()
            .with(|a| a.statement = map(1, |cbor| _ = cbor.str("alg").unwrap().i8(-7)));
        assert_eq!(answer.register(), Err(Error::AttestationStatementMalformed));
    }

    /// A packed statement of these parts, each of which may be left out.
    fn packed(alg: Option<i64>, sig: Option<&[u8]>, x5c: Option<&[&[u8]]>) -> Vec<u8> {
        let entries =
            u64::from(alg.is_some()) + u64::from(sig.is_some()) + u64::from(x5c.is_some());
        map(entries, |cbor| {
            if let Some(alg) = alg {
                cbor.str("alg").unwrap().i64(alg).unwrap();
            }
            if let Some(sig) = sig {
                cbor.str("sig").unwrap().bytes(sig).unwrap();
            }
            if let Some(x5c) = x5c {
                cbor.str("x5c")
                    .unwrap()
                    .array(x5c.len().try_into().unwrap())
                    .unwrap();
                for one in x5c {
                    cbor.bytes(one).unwrap();
                }
            }
        })
    }

    /// The signature of a vector's packed statement, and its certificate.
    fn parts(statement: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let mut decoder = minicbor::Decoder::new(statement);
        let (mut sig, mut certificate) = (vec![], vec![]);
        for _ in 0..decoder.map().unwrap().unwrap() {
            match decoder.str().unwrap() {
                "alg" => assert_eq!(decoder.i64().unwrap(), -7),
                "sig" => sig = decoder.bytes().unwrap().to_vec(),
                "x5c" => {
                    assert_eq!(decoder.array().unwrap(), Some(1));
                    certificate = decoder.bytes().unwrap().to_vec();
                }
                other => panic!("{other}"),
            }
        }
        (sig, certificate)
    }

    #[test]
    fn packed_has_exactly_its_members() {
        let answer = Answer::registration("packed.ES256");
        let (sig, cert) = parts(&answer.statement);
        let with = |statement| {
            answer
                .clone()
                .with(|a| a.statement = statement)
                .register()
                .map(|c| c.attestation)
        };
        assert_eq!(
            with(packed(Some(-7), Some(&sig), Some(&[&cert]))),
            Ok(AttestationKind::PackedUnverified)
        );
        assert_eq!(
            with(packed(
                Some(-7),
                Some(&sig),
                Some(&[&cert, b"not looked at"])
            )),
            Ok(AttestationKind::PackedUnverified)
        );
        let extra = map(4, |cbor| {
            cbor.str("alg")
                .unwrap()
                .i8(-7)
                .unwrap()
                .str("sig")
                .unwrap()
                .bytes(&sig)
                .unwrap();
            cbor.str("x5c")
                .unwrap()
                .array(1)
                .unwrap()
                .bytes(&cert)
                .unwrap();
            cbor.str("ecdaaKeyId").unwrap().bytes(&[0]).unwrap();
        });
        let text = map(2, |cbor| {
            _ = cbor
                .str("alg")
                .unwrap()
                .i8(-7)
                .unwrap()
                .str("sig")
                .unwrap()
                .str("")
                .unwrap()
        });
        let textual = map(2, |cbor| {
            _ = cbor
                .str("alg")
                .unwrap()
                .str("ES256")
                .unwrap()
                .str("sig")
                .unwrap()
                .bytes(&sig)
                .unwrap()
        });
        for statement in [
            packed(None, Some(&sig), Some(&[&cert])),
            packed(Some(-7), None, Some(&[&cert])),
            packed(Some(-7), Some(&sig), Some(&[])),
            packed(None, None, None),
            packed(Some(-7), Some(&[0; 513]), None),
            extra,
            text,
            textual,
        ] {
            assert_eq!(with(statement), Err(Error::AttestationStatementMalformed));
        }
    }

    #[test]
    fn self_attestation_is_of_the_credentials_key_and_algorithm() {
        let answer = Answer::registration("packed-self.ES256");
        assert_eq!(
            answer.register().unwrap().attestation,
            AttestationKind::PackedSelf
        );
        let (sig, _) = parts(&answer.statement);
        let with = |alg, sig: &[u8]| {
            answer
                .clone()
                .with(|a| a.statement = packed(Some(alg), Some(sig), None))
                .register()
                .map(|_| ())
        };
        assert_eq!(with(-7, &sig), Ok(()));
        assert_eq!(with(-8, &sig), Err(Error::AttestationAlgorithmMismatch));
        assert_eq!(with(-257, &sig), Err(Error::AttestationAlgorithmMismatch));
        assert_eq!(with(-35, &sig), Err(Error::AttestationAlgorithmUnsupported));
        let mut wrong = sig.clone();
        *wrong.last_mut().unwrap() ^= 1;
        for wrong in [
            &wrong[..],
            &[],
            &[0; 64],
            &sig[1..],
            &[&sig[..], &[0]].concat(),
        ] {
            assert_eq!(with(-7, wrong), Err(Error::AttestationSignatureInvalid));
        }
    }

    #[test]
    fn attestation_signs_both_halves() {
        for name in ["packed-self.ES256", "packed.ES256"] {
            let answer = Answer::registration(name);
            assert!(answer.register().is_ok());
            for bent in [
                answer.clone().with(|a| a.client_data.push(b' ')),
                answer.clone().with(|a| a.counter = 1),
                answer.clone().with(|a| a.flags ^= BS | BE),
            ] {
                let verdict = bent.register();
                assert!(
                    matches!(
                        verdict,
                        Err(Error::AttestationSignatureInvalid | Error::BackupStateInvalid)
                    ),
                    "{verdict:?}"
                );
            }
            let other = answer.clone().with(|a| a.counter = 1).register();
            assert_eq!(other, Err(Error::AttestationSignatureInvalid));
        }
    }

    mod certificate {
        use super::*;

        /// The vector's attestation, by another certificate. That isn't signed by anybody we know,
        /// so it may be bent at will.
        fn with(certificate: &[u8]) -> Result<(), Error> {
            let answer = Answer::registration("packed.ES256");
            let (sig, _) = parts(&answer.statement);
            let statement = packed(Some(-7), Some(&sig), Some(&[certificate]));
            answer
                .with(|a| a.statement = statement)
                .register()
                .map(|_| ())
        }

        fn certificate() -> Vec<u8> {
            parts(&Answer::registration("packed.ES256").statement).1
        }

        /// `from` by `to` wherever it stands, with the lengths around it put right.
        fn replaced(from: &[u8], to: &[u8]) -> Result<(), Error> {
            let whole = certificate();
            let bent = rewrite(&whole, from, to);
            assert_ne!(bent, whole, "{from:02x?}");
            with(&bent)
        }

        /// DER again, element by element; one whose content or whole is `from` becomes `to`.
        fn rewrite(der: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
            let mut out = vec![];
            let mut rest = der;
            while let [tag, first, tail @ ..] = rest {
                let (length, tail) = match first {
                    0x81 => (usize::from(tail[0]), &tail[1..]),
                    0x82 => (
                        usize::from(u16::from_be_bytes([tail[0], tail[1]])),
                        &tail[2..],
                    ),
                    short => (usize::from(*short), tail),
                };
                let (content, next) = tail.split_at(length);
                let element = &rest[..rest.len() - next.len()];
                rest = next;
                if element == from {
                    out.extend(to);
                    continue;
                }
                let content = if content == from {
                    to.to_vec()
                } else if tag & 0x20 != 0 {
                    rewrite(content, from, to)
                } else {
                    content.to_vec()
                };
                out.push(*tag);
                let length = u16::try_from(content.len()).unwrap().to_be_bytes();
                match length {
                    [0, short @ 0..0x80] => out.push(short),
                    [0, long] => out.extend([0x81, long]),
                    [high, low] => out.extend([0x82, high, low]),
                }
                out.extend(content);
            }
            out
        }

        const UNIT: &[u8] = b"Authenticator Attestation";
        const COUNTRY: &[u8] = &[0x55, 4, 6];
        const ORGANIZATION: &[u8] = &[0x55, 4, 10];
        const UNIT_OID: &[u8] = &[0x55, 4, 11];
        const COMMON_NAME: &[u8] = &[0x55, 4, 3];
        const STATE: &[u8] = &[0x55, 4, 8];
        const CONSTRAINTS: &[u8] = &[6, 3, 0x55, 0x1d, 0x13];
        const AAGUID: &[u8] = &[6, 11, 0x2b, 6, 1, 4, 1, 0x82, 0xe5, 0x1c, 1, 1, 4];

        #[test]
        fn can_be_read() {
            let good = certificate();
            assert_eq!(with(&good), Ok(()));
            for bad in [
                &[][..],
                &[0x30, 0],
                &good[..good.len() - 1],
                &[&good[..], &[0]].concat(),
            ] {
                assert_eq!(with(bad), Err(Error::AttestationCertificateMalformed));
            }
        }

        #[test]
        fn is_version_3() {
            for version in [&[0xa0, 3, 2, 1, 1][..], &[0xa0, 3, 2, 1, 0], &[]] {
                let verdict = replaced(&[0xa0, 3, 2, 1, 2], version);
                assert!(
                    matches!(
                        verdict,
                        Err(Error::AttestationCertificateUnfit
                            | Error::AttestationCertificateMalformed)
                    ),
                    "{version:?}: {verdict:?}"
                );
            }
            assert_eq!(
                replaced(&[0xa0, 3, 2, 1, 2], &[0xa0, 3, 2, 1, 1]),
                Err(Error::AttestationCertificateUnfit)
            );
        }

        #[test]
        fn subject_is_that_of_an_authenticator() {
            let unfit = Err(Error::AttestationCertificateUnfit);
            assert_eq!(replaced(UNIT, b"Authenticator attestation"), unfit);
            assert_eq!(replaced(UNIT, b"Authenticator Attestation "), unfit);
            for attribute in [COUNTRY, ORGANIZATION, UNIT_OID, COMMON_NAME] {
                assert_eq!(replaced(attribute, STATE), unfit, "{attribute:?}");
            }
            // Two of a kind, the right one first.
            let unit = [&[0x31, 34, 0x30, 32, 6, 3], UNIT_OID, &[12, 25], UNIT].concat();
            let other = [&[0x31, 12, 0x30, 10, 6, 3], UNIT_OID, &[12, 3], b"ABC"].concat();
            assert_eq!(replaced(&unit, &[unit.clone(), other].concat()), unfit);
            assert_eq!(replaced(b"AA", b"aa"), unfit);
            assert_eq!(replaced(b"AA", b"A"), unfit);
            assert_eq!(replaced(b"AA", b"AAA"), unfit);
            assert_eq!(replaced(b"Maker", b""), unfit);
            assert_eq!(replaced(b"AA", b"CH"), Ok(()));
        }

        #[test]
        fn is_no_ca() {
            let unfit = Err(Error::AttestationCertificateUnfit);
            assert_eq!(replaced(CONSTRAINTS, &[6, 3, 0x55, 0x1d, 0x12]), unfit);
            assert_eq!(
                replaced(&[4, 2, 0x30, 0], &[4, 5, 0x30, 3, 1, 1, 0xff]),
                unfit
            );
            assert_eq!(
                replaced(&[4, 2, 0x30, 0], &[4, 2, 0x31, 0]),
                Err(Error::AttestationCertificateMalformed)
            );
            assert_eq!(
                replaced(&[6, 3, 0x55, 0x1d, 0x0e], CONSTRAINTS),
                unfit,
                "twice"
            );
        }

        #[test]
        fn is_of_the_credentials_model() {
            let aaguid = support::bytes(&support::vector("packed.ES256")["registration"]["aaguid"]);
            // The certificate names no model: it gets one in another extension's place.
            let whole = certificate();
            let at = whole
                .windows(7)
                .position(|w| w == [0x30, 0x1d, 6, 3, 0x55, 0x1d, 0x0e])
                .unwrap();
            let place = &whole[at..at + 31];
            let named = |critical: &[u8], value: &[u8]| {
                let len = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
                let value = [&[4, len(value)], value].concat();
                let content = [AAGUID, critical, &value].concat();
                replaced(place, &[&[0x30, len(&content)], &content[..]].concat())
            };
            let value = |aaguid: &[u8]| [&[4, 16], aaguid].concat();
            let unfit = Err(Error::AttestationCertificateUnfit);
            assert_eq!(named(&[], &value(&aaguid)), Ok(()));
            assert_eq!(
                named(&[], &value(&[7; 16])),
                Err(Error::AttestationModelMismatch)
            );
            assert_eq!(named(&[1, 1, 0xff], &value(&aaguid)), unfit, "critical");
            assert_eq!(named(&[], &aaguid), unfit, "in no OCTET STRING of its own");
            assert_eq!(named(&[], &[&[4, 15], &aaguid[1..]].concat()), unfit);
        }

        #[test]
        fn key_is_of_the_algorithm() {
            let answer = Answer::registration("packed.ES256");
            let (sig, certificate) = parts(&answer.statement);
            for (alg, error) in [
                (-8, Error::AttestationAlgorithmMismatch),
                (-257, Error::AttestationAlgorithmMismatch),
                (-35, Error::AttestationAlgorithmUnsupported),
            ] {
                let statement = packed(Some(alg), Some(&sig), Some(&[&certificate]));
                let verdict = answer.clone().with(|a| a.statement = statement).register();
                assert_eq!(verdict, Err(error), "{alg}");
            }
        }

        #[test]
        fn its_key_has_signed() {
            let answer = Answer::registration("packed.ES256");
            let (sig, _) = parts(&answer.statement);
            let (_, other) = parts(&Answer::registration("packed.RS256").statement);
            let statement = packed(Some(-7), Some(&sig), Some(&[&other]));
            let verdict = answer.with(|a| a.statement = statement).register();
            assert_eq!(verdict, Err(Error::AttestationSignatureInvalid));
        }

        proptest! {
            #[test]
            fn bent_bytes_never_panic(at in 0..500_usize, value in any::<u8>()) {
                let mut bent = certificate();
                let at = at % bent.len();
                bent[at] = value;
                let _ = with(&bent);
            }
        }
    }
}

mod assertion {
    use super::*;

    #[test]
    fn credential_is_the_one_looked_up() {
        let (answer, mut stored) = Answer::assertion();
        stored.id = CredentialId::new(vec![1]).unwrap();
        assert_eq!(answer.authenticate(&stored), Err(Error::CredentialUnknown));
    }

    #[test]
    fn owner_is_named_and_the_credentials() {
        let (answer, stored) = Answer::assertion();
        let with = |handle: Value| {
            answer
                .clone()
                .with(|a| _ = a.response.insert("userHandle".into(), handle))
                .authenticate(&stored)
        };
        assert!(with(encode_base64url(OWNER).into()).is_ok());
        assert_eq!(
            with(encode_base64url(b"another").into()),
            Err(Error::UserHandleMismatch)
        );
        assert_eq!(with(Value::Null), Err(Error::UserHandleMissing));
        let absent = answer.assertion_json().replace(
            &format!(",\"userHandle\":\"{}\"", encode_base64url(OWNER)),
            "",
        );
        assert!(!absent.contains("userHandle"));
        assert_eq!(
            authenticate(&absent, &answer.challenge, &stored),
            Err(Error::UserHandleMissing)
        );
        assert_eq!(with("".into()), Err(Error::UserHandleInvalid));
        assert_eq!(
            with(encode_base64url(&[0; 65]).into()),
            Err(Error::UserHandleInvalid)
        );
    }

    #[test]
    fn backup_eligibility_never_changes() {
        let (answer, mut stored) = Answer::assertion();
        stored.backup_eligible = !stored.backup_eligible;
        assert_eq!(
            answer.authenticate(&stored),
            Err(Error::BackupEligibilityChanged)
        );
        let (answer, stored) = Answer::assertion();
        let answer = answer.with(|a| a.flags ^= BE);
        assert_eq!(
            answer.authenticate(&stored),
            Err(Error::BackupEligibilityChanged)
        );
    }

    #[test]
    fn signature_is_over_both_halves_and_by_the_stored_key() {
        let (answer, stored) = Answer::assertion();
        assert!(answer.authenticate(&stored).is_ok());
        let invalid = Err(Error::SignatureInvalid);
        assert_eq!(
            answer.clone().with(|a| a.counter = 1).authenticate(&stored),
            invalid
        );
        assert_eq!(
            answer
                .clone()
                .with(|a| a.client_data.push(b' '))
                .authenticate(&stored),
            invalid
        );
        for at in 0..answer.signature.len() {
            let bent = answer.clone().with(|a| a.signature[at] ^= 1);
            assert_eq!(bent.authenticate(&stored), invalid, "{at}");
        }
        for signature in [
            vec![],
            vec![0; 64],
            vec![0; 72],
            answer.signature[1..].to_vec(),
        ] {
            assert_eq!(
                answer
                    .clone()
                    .with(|a| a.signature = signature)
                    .authenticate(&stored),
                invalid
            );
        }
        let other = Answer::none().register().unwrap().key;
        assert_eq!(
            answer.authenticate(&StoredCredential {
                key: other,
                ..stored
            }),
            invalid
        );
    }

    #[test]
    fn every_check_needs_a_good_outcome() {
        let good = Outcome::Verified(0);
        let (answer, stored) = Answer::assertion();
        for (outcomes, accepted) in [
            (&[good][..], true),
            (&[][..], false),
            (&[Outcome::Failed], false),
            (&[Outcome::InvalidKey], false),
            (&[good, good], false),
        ] {
            let response =
                AuthenticationResponse::parse(answer.assertion_json().as_bytes()).unwrap();
            let obliged = response
                .oblige(&party(), &answer.challenge, &stored)
                .unwrap();
            assert_eq!(obliged.checks().len(), 1);
            assert_eq!(obliged.settle(outcomes).is_ok(), accepted, "{outcomes:?}");
            let answer = Answer::registration("packed-self.ES256");
            let response =
                RegistrationResponse::parse(answer.registration_json().as_bytes()).unwrap();
            let obliged = response.oblige(&party(), &answer.challenge).unwrap();
            assert_eq!(obliged.checks().len(), 1);
            let verdict = obliged.settle(outcomes);
            assert_eq!(verdict.is_ok(), accepted, "{outcomes:?}");
        }
    }

    #[test]
    fn a_counter_that_went_back_is_told_and_not_refused() {
        // Counters are looked at before signatures are settled, so any outcome may be claimed.
        for (before, now, counter) in [
            (0, 0, Counter::Unsupported),
            (0, 1, Counter::Advanced),
            (1, 2, Counter::Advanced),
            (7, u32::MAX, Counter::Advanced),
            (1, 1, Counter::WentBack),
            (2, 1, Counter::WentBack),
            (1, 0, Counter::WentBack),
            (u32::MAX, 0, Counter::WentBack),
        ] {
            let (answer, mut stored) = Answer::assertion();
            stored.sign_count = before;
            let answer = answer.with(|a| a.counter = now);
            let response =
                AuthenticationResponse::parse(answer.assertion_json().as_bytes()).unwrap();
            let obliged = response
                .oblige(&party(), &answer.challenge, &stored)
                .unwrap();
            let assertion = obliged.settle(&[Outcome::Verified(0)]).unwrap();
            assert_eq!(
                (assertion.counter, assertion.sign_count),
                (counter, now),
                "{before} {now}"
            );
        }
    }
}

#[test]
fn codes_are_distinct_words() {
    let source = include_str!("../src/error.rs");
    let codes: Vec<_> = source
        .split("=> \"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(text, _)| text)
        .collect();
    let codes: Vec<_> = codes
        .into_iter()
        .filter(|text| !text.contains(' '))
        .collect();
    assert!(codes.len() > 30, "{}", codes.len());
    for (at, code) in codes.iter().enumerate() {
        assert!(
            code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "{code}"
        );
        assert!(!codes[..at].contains(code), "{code}");
    }
    assert_eq!(Error::ChallengeMismatch.code(), "challenge_mismatch");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// One byte of any part changed, or cut off: never a panic, and never what was there before.
    #[test]
    fn bent_bytes_never_panic(part in 0..4_usize, at in 0..4000_usize, bits in 1..=255_u8, cut in any::<bool>()) {
        let bend = |bytes: &mut Vec<u8>| {
            let at = at % bytes.len();
            if cut { bytes.truncate(at) } else { bytes[at] ^= bits }
        };
        let (mut answer, stored) = Answer::assertion();
        match part {
            0 => bend(&mut answer.client_data),
            1 => bend(&mut answer.signature),
            2 => bend(&mut answer.rp_id_hash),
            _ => {
                let mut json = answer.assertion_json().into_bytes();
                bend(&mut json);
                let _ = AuthenticationResponse::parse(&json);
                let mut json = Answer::registration("packed.ES256").registration_json().into_bytes();
                bend(&mut json);
                let _ = RegistrationResponse::parse(&json);
                return Ok(());
            }
        }
        prop_assert!(answer.authenticate(&stored).is_err());
        let answer = Answer::registration("packed-self.ES256");
        let mut object = answer.attestation_object();
        bend(&mut object);
        let object = encode_base64url(&object);
        let answer = answer.with(|a| _ = a.response.insert("attestationObject".into(), object.into()));
        prop_assert!(answer.register().is_err());
    }
}
