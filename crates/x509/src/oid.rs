//! Object identifiers: the registry of ours, and the standard ones that the profile uses.

use der::asn1::ObjectIdentifier;

/// The arc of the authority's private extensions.
///
/// 99999 isn't a registered private enterprise number. It is kept because verifiers in the field
/// know it; moving to a registered one is a change of this one constant, and of every reader.
pub const ARC: &str = "1.3.6.1.4.1.99999";

/// `ARC.1`, which all extensions are under, then the extension's own number.
const fn extension(number: u32) -> ObjectIdentifier {
    match ObjectIdentifier::new_unwrap(ARC).push_arc(1) {
        Ok(oid) => match oid.push_arc(number) {
            Ok(oid) => oid,
            Err(_) => SUBJECT_ALT_NAME, // the length of the arc is fixed at compile time
        },
        Err(_) => SUBJECT_ALT_NAME,
    }
}

/// Subject identity: a UTF8String, the whole subject even where the CN had to be cut.
pub const SUBJECT_IDENTITY: ObjectIdentifier = extension(1);
/// Issuance time: a UTF8String, RFC 3339 in UTC with milliseconds.
pub const ISSUANCE_TIME: ObjectIdentifier = extension(2);
/// Scopes: a SEQUENCE OF UTF8String.
pub const SCOPES: ObjectIdentifier = extension(3);
/// The authority's epoch at issuance: an INTEGER.
pub const EPOCH: ObjectIdentifier = extension(4);
/// How the subject was authenticated: a UTF8String.
pub const AUTH_METHOD: ObjectIdentifier = extension(5);
/// Pair binding: 32 bytes directly as extnValue, in no inner encoding.
pub const PAIR_BINDING: ObjectIdentifier = extension(6);
/// On whose behalf, by which delegation, and what that limits: a SEQUENCE. Critical if it limits anything.
pub const DELEGATION: ObjectIdentifier = extension(7);
/// How the URI of each certificate below this one begins: a UTF8String, critical.
pub const NAMESPACE: ObjectIdentifier = extension(8);

/// id-ce-basicConstraints (RFC 5280 §4.2.1.9).
pub const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
/// id-ce-keyUsage (RFC 5280 §4.2.1.3).
pub const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// id-ce-extKeyUsage (RFC 5280 §4.2.1.12).
pub const EXT_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// id-ce-subjectAltName (RFC 5280 §4.2.1.6).
pub const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// id-ce-subjectKeyIdentifier (RFC 5280 §4.2.1.2).
pub const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
/// id-ce-cRLNumber (RFC 5280 §5.2.3).
pub const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");
/// id-ce-authorityKeyIdentifier (RFC 5280 §4.2.1.1).
pub const AUTHORITY_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

/// id-kp-clientAuth (RFC 5280 §4.2.1.12).
pub const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// id-Ed25519 (RFC 8410 §3).
pub const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// id-at-commonName (X.520).
pub const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// id-at-organizationName (X.520).
pub const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");

#[cfg(test)]
mod tests {
    #[test]
    fn private_extensions_are_under_the_arc() {
        assert_eq!(
            super::SUBJECT_IDENTITY.to_string(),
            format!("{}.1.1", super::ARC)
        );
        assert_eq!(super::PAIR_BINDING.to_string(), "1.3.6.1.4.1.99999.1.6");
    }
}
