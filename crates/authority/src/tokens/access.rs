//! The token itself (notme protocol §12.1, RFC 9068).

use notme_keys::encode_base64url;
use serde_json::Value;

use super::Grant;
use crate::people::uuid;

/// How long a token is good, in seconds: no longer than a leaf, for keys are published for as long as those.
pub const LIFETIME_SECS: u64 = crate::MAX_LEAF_SECS;

/// A token that waits for its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    message: String,
    id: String,
    scope: String,
    is_bound: bool,
}

impl AccessToken {
    /// What is to be signed for this grant; `random` fresh.
    #[must_use]
    pub fn new(grant: &Grant, issuer: &str, key_id: &str, random: [u8; 16], now: u64) -> Self {
        let scope = grant.scopes.names().join(" ");
        let id = uuid(random);
        // Written by hand: the same by way of values would be a page of code.
        let header = format!(r#"{{"typ":"at+jwt","alg":"EdDSA","kid":"{key_id}"}}"#);
        let expiry = now.saturating_add(LIFETIME_SECS);
        let mut claims = String::with_capacity(512);
        text("{", "sub", grant.principal.as_str(), &mut claims);
        text(",", "iss", issuer, &mut claims);
        text(",", "aud", &grant.audience, &mut claims);
        claims.push_str(&format!(r#","iat":{now},"nbf":{now},"exp":{expiry}"#));
        text(",", "jti", &id, &mut claims);
        text(",", "scope", &scope, &mut claims);
        if let Some(thumbprint) = &grant.thumbprint {
            text(r#","cnf":{"#, "jkt", thumbprint, &mut claims);
            claims.push('}');
        }
        if let Some(client) = &grant.client {
            text(",", "client_id", client, &mut claims);
        }
        claims.push('}');
        let part = |json: &str| encode_base64url(json.as_bytes());
        Self {
            message: format!("{}.{}", part(&header), part(&claims)),
            id,
            scope,
            is_bound: grant.thumbprint.is_some(),
        }
    }

    /// What the authority's key signs.
    #[must_use]
    pub const fn message(&self) -> &[u8] {
        self.message.as_bytes()
    }

    /// `jti`, for the log.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The answer (RFC 6749 §5.1).
    #[must_use]
    pub fn into_answer(self, signature: &[u8; 64]) -> Vec<u8> {
        let (message, signature) = (self.message, encode_base64url(signature));
        let kind = if self.is_bound { "DPoP" } else { "Bearer" };
        let scope = self.scope;
        format!(
            r#"{{"access_token":"{message}.{signature}","token_type":"{kind}","expires_in":{LIFETIME_SECS},"scope":"{scope}"}}"#
        )
        .into_bytes()
    }
}

/// Adds a member whose value is a text.
#[inline(never)]
fn text(before: &str, name: &str, value: &str, json: &mut String) {
    json.push_str(before);
    json.push_str(&format!("\"{name}\":{}", Value::from(value)));
}

#[cfg(test)]
mod tests {
    use notme_keys::decode_base64url;
    use serde_json::json;

    use super::*;
    use crate::people::{PrincipalId, Scope};

    fn parts(client: Option<&str>, thumbprint: Option<&str>) -> (String, String, Value) {
        let grant = Grant {
            share: String::new(),
            principal: PrincipalId::from_random([1; 16]),
            audience: "https://api.example".into(),
            scopes: [Scope::BridgeCert].into_iter().collect(),
            client: client.map(Into::into),
            thumbprint: thumbprint.map(Into::into),
        };
        let token = AccessToken::new(&grant, "https://a.example", "k", [2; 16], 1000);
        let text = |part: &str| String::from_utf8(decode_base64url(part).unwrap()).unwrap();
        let message = String::from_utf8(token.message().to_vec()).unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let answer = serde_json::from_slice(&token.into_answer(&[0; 64])).unwrap();
        (text(header), text(claims), answer)
    }

    #[test]
    fn members_are_those_of_the_protocol_in_its_order() {
        let (header, claims, answer) = parts(None, Some("t"));
        assert_eq!(header, r#"{"typ":"at+jwt","alg":"EdDSA","kid":"k"}"#);
        let expected = r#"{"sub":"01010101-0101-4101-8101-010101010101","iss":"https://a.example","aud":"https://api.example","iat":1000,"nbf":1000,"exp":1300,"jti":"02020202-0202-4202-8202-020202020202","scope":"bridgeCert","cnf":{"jkt":"t"}}"#;
        assert_eq!(claims, expected);
        assert_eq!(
            (&answer["token_type"], &answer["expires_in"]),
            (&json!("DPoP"), &json!(300))
        );
    }

    #[test]
    fn only_a_bound_token_says_that_it_is_bound() {
        let (_, claims, answer) = parts(Some("app"), None);
        assert!(!claims.contains("cnf") && claims.ends_with(r#""client_id":"app"}"#));
        assert_eq!(answer["token_type"], "Bearer");
    }
}
