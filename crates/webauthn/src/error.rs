//! Everything that can be wrong with a response, one variant and one stable code per cause.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a response isn't accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Error {
    /// The response, or a part of it, is longer than any real one.
    ResponseTooLarge,
    /// The response isn't the JSON form of a credential (§5.1.8, §5.1.9).
    ResponseMalformed,
    /// A JSON object has two members with one name.
    DuplicateMember,
    /// `type` isn't `public-key`.
    CredentialTypeUnsupported,
    /// The credential id is empty or has more than 1023 bytes.
    CredentialIdInvalid,
    /// `id`, `rawId` and the id in the authenticator data aren't the same.
    CredentialIdMismatch,
    /// `clientDataJSON` isn't a JSON object with the members that it must have (§5.8.1).
    ClientDataMalformed,
    /// `clientDataJSON` is of the other ceremony.
    CeremonyMismatch,
    /// The challenge isn't the one that was given out.
    ChallengeMismatch,
    /// The origin isn't one of ours.
    OriginMismatch,
    /// The ceremony took place in a frame within another origin's page.
    CrossOrigin,
    /// The client names a page of another origin that our frame was in.
    TopOrigin,
    /// The attestation object isn't the canonical CBOR of one (§6.5.4).
    AttestationObjectMalformed,
    /// The authenticator data isn't laid out as §6.1 says.
    AuthenticatorDataMalformed,
    /// The authenticator acted for another relying party.
    RpIdMismatch,
    /// Nobody touched the authenticator.
    UserNotPresent,
    /// The authenticator didn't verify its user.
    UserNotVerified,
    /// The credential is said to be backed up and not to be eligible for it.
    BackupStateInvalid,
    /// A registration without a credential.
    AttestedDataMissing,
    /// An assertion with a new credential in it.
    AttestedDataUnexpected,
    /// The authenticator's extension outputs aren't a CBOR map, or end somewhere else.
    ExtensionsMalformed,
    /// The credential's key isn't a COSE key with exactly the members of its algorithm.
    KeyMalformed,
    /// The credential's key is well formed and worthless.
    KeyWeak,
    /// The credential's key is for an algorithm that wasn't offered.
    AlgorithmNotOffered,
    /// The attestation is of a format that isn't supported.
    AttestationFormatUnsupported,
    /// The attestation statement hasn't exactly the members of its format.
    AttestationStatementMalformed,
    /// The attestation is signed with another algorithm than its key is for.
    AttestationAlgorithmMismatch,
    /// The attestation is signed with an algorithm that isn't supported.
    AttestationAlgorithmUnsupported,
    /// The attestation certificate can't be read.
    AttestationCertificateMalformed,
    /// The attestation certificate isn't what §8.2.1 demands.
    AttestationCertificateUnfit,
    /// The attestation certificate is of another model than the credential.
    AttestationModelMismatch,
    /// The attestation's signature is wrong.
    AttestationSignatureInvalid,
    /// The response is of another credential than the one that it is checked against.
    CredentialUnknown,
    /// The response doesn't say whose credential it is.
    UserHandleMissing,
    /// The user handle is empty or has more than 64 bytes.
    UserHandleInvalid,
    /// The response says that the credential is somebody else's.
    UserHandleMismatch,
    /// Whether the credential may be backed up has changed, which it can't.
    BackupEligibilityChanged,
    /// The assertion's signature is wrong.
    SignatureInvalid,
}

impl Error {
    /// All of them.
    pub const ALL: [Self; 38] = [
        Self::ResponseTooLarge,
        Self::ResponseMalformed,
        Self::DuplicateMember,
        Self::CredentialTypeUnsupported,
        Self::CredentialIdInvalid,
        Self::CredentialIdMismatch,
        Self::ClientDataMalformed,
        Self::CeremonyMismatch,
        Self::ChallengeMismatch,
        Self::OriginMismatch,
        Self::CrossOrigin,
        Self::TopOrigin,
        Self::AttestationObjectMalformed,
        Self::AuthenticatorDataMalformed,
        Self::RpIdMismatch,
        Self::UserNotPresent,
        Self::UserNotVerified,
        Self::BackupStateInvalid,
        Self::AttestedDataMissing,
        Self::AttestedDataUnexpected,
        Self::ExtensionsMalformed,
        Self::KeyMalformed,
        Self::KeyWeak,
        Self::AlgorithmNotOffered,
        Self::AttestationFormatUnsupported,
        Self::AttestationStatementMalformed,
        Self::AttestationAlgorithmMismatch,
        Self::AttestationAlgorithmUnsupported,
        Self::AttestationCertificateMalformed,
        Self::AttestationCertificateUnfit,
        Self::AttestationModelMismatch,
        Self::AttestationSignatureInvalid,
        Self::CredentialUnknown,
        Self::UserHandleMissing,
        Self::UserHandleInvalid,
        Self::UserHandleMismatch,
        Self::BackupEligibilityChanged,
        Self::SignatureInvalid,
    ];

    /// Whether a registration response can have it.
    #[must_use]
    pub const fn is_of_registration(self) -> bool {
        !matches!(
            self,
            Self::AttestedDataUnexpected
                | Self::CredentialUnknown
                | Self::UserHandleMissing
                | Self::UserHandleInvalid
                | Self::UserHandleMismatch
                | Self::BackupEligibilityChanged
                | Self::SignatureInvalid
        )
    }

    /// Whether an authentication response can have it.
    #[must_use]
    pub const fn is_of_authentication(self) -> bool {
        !matches!(
            self,
            Self::AttestationObjectMalformed
                | Self::AttestedDataMissing
                | Self::KeyMalformed
                | Self::KeyWeak
                | Self::AlgorithmNotOffered
                | Self::AttestationFormatUnsupported
                | Self::AttestationStatementMalformed
                | Self::AttestationAlgorithmMismatch
                | Self::AttestationAlgorithmUnsupported
                | Self::AttestationCertificateMalformed
                | Self::AttestationCertificateUnfit
                | Self::AttestationModelMismatch
                | Self::AttestationSignatureInvalid
        )
    }

    /// The name that clients and logs know it by. It never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ResponseTooLarge => "response_too_large",
            Self::ResponseMalformed => "response_malformed",
            Self::DuplicateMember => "duplicate_member",
            Self::CredentialTypeUnsupported => "credential_type_unsupported",
            Self::CredentialIdInvalid => "credential_id_invalid",
            Self::CredentialIdMismatch => "credential_id_mismatch",
            Self::ClientDataMalformed => "client_data_malformed",
            Self::CeremonyMismatch => "ceremony_mismatch",
            Self::ChallengeMismatch => "challenge_mismatch",
            Self::OriginMismatch => "origin_mismatch",
            Self::CrossOrigin => "cross_origin",
            Self::TopOrigin => "top_origin",
            Self::AttestationObjectMalformed => "attestation_object_malformed",
            Self::AuthenticatorDataMalformed => "authenticator_data_malformed",
            Self::RpIdMismatch => "rp_id_mismatch",
            Self::UserNotPresent => "user_not_present",
            Self::UserNotVerified => "user_not_verified",
            Self::BackupStateInvalid => "backup_state_invalid",
            Self::AttestedDataMissing => "attested_data_missing",
            Self::AttestedDataUnexpected => "attested_data_unexpected",
            Self::ExtensionsMalformed => "extensions_malformed",
            Self::KeyMalformed => "key_malformed",
            Self::KeyWeak => "key_weak",
            Self::AlgorithmNotOffered => "algorithm_not_offered",
            Self::AttestationFormatUnsupported => "attestation_format_unsupported",
            Self::AttestationStatementMalformed => "attestation_statement_malformed",
            Self::AttestationAlgorithmMismatch => "attestation_algorithm_mismatch",
            Self::AttestationAlgorithmUnsupported => "attestation_algorithm_unsupported",
            Self::AttestationCertificateMalformed => "attestation_certificate_malformed",
            Self::AttestationCertificateUnfit => "attestation_certificate_unfit",
            Self::AttestationModelMismatch => "attestation_model_mismatch",
            Self::AttestationSignatureInvalid => "attestation_signature_invalid",
            Self::CredentialUnknown => "credential_unknown",
            Self::UserHandleMissing => "user_handle_missing",
            Self::UserHandleInvalid => "user_handle_invalid",
            Self::UserHandleMismatch => "user_handle_mismatch",
            Self::BackupEligibilityChanged => "backup_eligibility_changed",
            Self::SignatureInvalid => "signature_invalid",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResponseTooLarge => "the passkey response is too large",
            Self::ResponseMalformed => "the passkey response is not of the form that browsers send",
            Self::DuplicateMember => "the passkey response names a member twice",
            Self::CredentialTypeUnsupported => "the credential is not a public key",
            Self::CredentialIdInvalid => "the credential id must have 1 to 1023 bytes",
            Self::CredentialIdMismatch => "the response names two different credentials",
            Self::ClientDataMalformed => "the client data cannot be read",
            Self::CeremonyMismatch => {
                "the response belongs to another kind of passkey ceremony than the one begun"
            }
            Self::ChallengeMismatch => "the response answers another challenge",
            Self::OriginMismatch => "the passkey was used on a page of another origin",
            Self::CrossOrigin => "passkeys cannot be used within another site's page",
            Self::TopOrigin => "passkeys cannot be used under another site's page",
            Self::AttestationObjectMalformed => "the attestation object cannot be read",
            Self::AuthenticatorDataMalformed => "the authenticator data cannot be read",
            Self::RpIdMismatch => "the passkey is for another site",
            Self::UserNotPresent => "the authenticator did not ask for a touch",
            Self::UserNotVerified => {
                "the authenticator did not verify its user (PIN, fingerprint or face)"
            }
            Self::BackupStateInvalid => "the authenticator contradicts itself about backups",
            Self::AttestedDataMissing => "the response has no new credential in it",
            Self::AttestedDataUnexpected => "the response has a new credential in it",
            Self::ExtensionsMalformed => "the authenticator's extension data cannot be read",
            Self::KeyMalformed => "the credential's public key cannot be read",
            Self::KeyWeak => "the credential's public key is too weak to be used",
            Self::AlgorithmNotOffered => {
                "the credential's algorithm is not one of EdDSA, ES256 and RS256"
            }
            Self::AttestationFormatUnsupported => {
                "the attestation format is neither none nor packed"
            }
            Self::AttestationStatementMalformed => {
                "the attestation statement is not what its format asks for"
            }
            Self::AttestationAlgorithmMismatch => {
                "the attestation's algorithm is not the one of its key"
            }
            Self::AttestationAlgorithmUnsupported => {
                "the attestation's algorithm is not one of EdDSA, ES256 and RS256"
            }
            Self::AttestationCertificateMalformed => "the attestation certificate cannot be read",
            Self::AttestationCertificateUnfit => {
                "the attestation certificate is not one for authenticators"
            }
            Self::AttestationModelMismatch => {
                "the attestation certificate is of another model of authenticator"
            }
            Self::AttestationSignatureInvalid => "the attestation's signature is wrong",
            Self::CredentialUnknown => "the credential is not the one that was looked up",
            Self::UserHandleMissing => "the response does not say whose passkey it is",
            Self::UserHandleInvalid => "the user handle must have 1 to 64 bytes",
            Self::UserHandleMismatch => "the passkey belongs to somebody else",
            Self::BackupEligibilityChanged => {
                "whether the passkey may be backed up has changed, which cannot happen"
            }
            Self::SignatureInvalid => "the passkey's signature is wrong",
        })
    }
}

impl std::error::Error for Error {}

/// Why a relying party can't be configured so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The RP id isn't a domain name in lower case (§5.1.2).
    BadRpId(String),
    /// The text isn't an origin that browsers do WebAuthn on.
    BadOrigin(String),
    /// There is no origin.
    NoOrigin,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRpId(id) => write!(f, "{id:?} is not a domain name in lower case"),
            Self::BadOrigin(origin) => write!(
                f,
                "{origin:?} is not an origin: https://HOST[:PORT], or http://localhost[:PORT]"
            ),
            Self::NoOrigin => f.write_str("there is no origin that passkeys may be used on"),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_are_all_of_them() {
        let codes: BTreeSet<&str> = Error::ALL.iter().map(|error| error.code()).collect();
        assert_eq!(codes.len(), Error::ALL.len());
        // The compiler sees to it that `code` knows every variant, and each has one line there.
        let source = include_str!("error.rs");
        let code = source.split("fn code(self)").nth(1).unwrap_or_default();
        let code = code.split("\n    }\n").next().unwrap_or_default();
        assert_eq!(code.matches(" => \"").count(), Error::ALL.len());
        for error in Error::ALL {
            assert!(error.is_of_registration() || error.is_of_authentication());
        }
    }
}
