//! What verifiers fetch, rendered (notme protocol §13.4 and §14). Every URL derives from
//! configuration, none from the request.

use notme_keys::{encode_base64, encode_base64url, encode_pem};
use notme_webauthn::RelyingParty;
use serde_json::{Value, json};

use crate::config::Config;
use crate::state::Archive;

/// `/.well-known/signet-authority.json`.
#[must_use]
pub fn discovery(config: &Config) -> Value {
    let at = |path| format!("{}{path}", config.authority_url);
    json!({
        "issuer": at(""),
        "cert_endpoint": at("/cert"),
        "cert_gha_endpoint": at("/cert/gha"),
        "ca_bundle_endpoint": at("/.well-known/ca-bundle.pem"),
        "algorithms_supported": ["Ed25519"],
        "grant_types_supported": ["github_actions_oidc", "dpop"],
        "cert_types_supported": ["bridge_certificate"],
        "token_endpoint": at("/token"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "dpop_signing_alg_values_supported": ["ES256"],
        "documentation": format!("{}/architecture", config.site_url),
        "authorization_endpoint": at("/authorize"),
        "epochs_endpoint": at("/.well-known/epochs.json"),
        "revocation_bundle_endpoint": at("/internal/ca-bundle"),
        "revocations_endpoint": at("/.well-known/revocations.jwt"),
        "crl_endpoint": at("/.well-known/crl.der"),
        "crl_bundle_endpoint": at("/.well-known/crl.pem"),
        "revocation_poll_seconds": crate::revocation::POLL_SECS,
        "max_staleness_seconds": crate::MAX_STALENESS_SECS,
        "key_overlap_seconds": crate::state::OVERLAP_SECS,
        "cert_gha_audience": config.gha.audience,
        "trust_domain": config.trust_domain(),
    })
}

/// `/.well-known/oauth-authorization-server` and `/.well-known/openid-configuration`.
#[must_use]
pub fn authorization_server(config: &Config) -> Value {
    let at = |path| format!("{}{path}", config.authority_url);
    json!({
        "issuer": at(""),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/.well-known/jwks.json"),
        "authorization_endpoint": at("/authorize"),
        "grant_types_supported": ["github_actions_oidc", "dpop", "authorization_code"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported":
            ["bridgeCert", "authorityManage", "certMint", "sign:git", "sign:attestation"],
        "token_endpoint_auth_methods_supported": ["none"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "id_token_signing_alg_values_supported": config.id_token_algs,
        "service_documentation": format!("{}/architecture", config.site_url),
    })
}

/// `/.well-known/webauthn` (WebAuthn Level 3 §5.11): the origins, beside its own, whose pages may ask for
/// this authority's passkeys.
#[must_use]
pub fn related_origins(config: &Config) -> Value {
    let party = config.relying_party.as_ref();
    json!({ "origins": party.map(RelyingParty::origins).unwrap_or_default() })
}

/// `/.well-known/passkey-endpoints` (W3C, Passkey Endpoints): where a password manager sends people.
#[must_use]
pub fn passkey_endpoints(config: &Config) -> Value {
    let page = format!("{}/me", config.authority_url);
    json!({ "enroll": page, "manage": page })
}

/// `/` for machines.
#[must_use]
pub fn service(config: &Config) -> Value {
    json!({
        "name": "Signet Authority",
        "authority_url": config.authority_url.to_string(),
        "status": "operational",
        "endpoints": {
            "cert": "/cert",
            "cert_gha": "/cert/gha",
            "token": "/token",
            "login": "/login",
            "ca_bundle": "/.well-known/ca-bundle.pem",
        },
        "algorithms": ["Ed25519"],
        "discovery": "/.well-known/signet-authority.json",
        "public_key_url": "/.well-known/ca-bundle.pem",
    })
}

/// `/.well-known/version`.
#[must_use]
pub fn version(config: &Config) -> Value {
    json!({
        "commit": config.build_sha.as_deref().unwrap_or("unknown"),
        "stamped": config.build_sha.is_some(),
    })
}

/// `/.well-known/jwks.json` (RFC 8037): the current key first, then those that are still trusted.
#[must_use]
pub fn jwks(archive: &Archive, now: u64) -> Value {
    let key = |key: &crate::state::EpochKey| {
        Some(json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "x": encode_base64url(&key.public_key),
            "kid": key.key_id()?.to_string(),
            "use": "sig",
            "alg": "EdDSA",
        }))
    };
    json!({ "keys": archive.trusted(now).filter_map(key).collect::<Vec<_>>() })
}

/// `/.well-known/epochs.json`: every key there ever was, the current one last; and who endorsed it.
#[must_use]
pub fn epochs(archive: &Archive) -> Value {
    let entry = |(index, key): (usize, &crate::state::EpochKey)| {
        let mut entry = json!({
            "epoch": key.epoch,
            "keyId": key.key_id()?.to_string(),
            "publicRawB64": encode_base64(&key.public_key),
            "retiredAt": key.retired_at,
        });
        if let (Some(by), Some(signature)) = (archive.endorser(index), &key.endorsement) {
            let endorsement = json!({
                "by": by.key_id()?.to_string(),
                "at": key.created_at,
                "signature": encode_base64(signature),
            });
            entry
                .as_object_mut()?
                .insert("endorsement".into(), endorsement);
        }
        Some(entry)
    };
    let entries = archive.keys.iter().enumerate().filter_map(entry);
    json!({ "epochs": entries.collect::<Vec<_>>() })
}

/// `/.well-known/ca-bundle.pem`: the root certificates that are trusted, the current one first,
/// without a newline at the end.
#[must_use]
pub fn roots(archive: &Archive, now: u64) -> String {
    archive
        .trusted(now)
        .map(|key| encode_pem("CERTIFICATE", &key.root))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Text as it may stand in HTML, in and out of attributes.
#[must_use]
pub fn escape(text: &str) -> String {
    let escaped = |c| match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '"' => "&quot;".into(),
        '\'' => "&#39;".into(),
        c => String::from(c),
    };
    text.chars().map(escaped).collect()
}
