//! Invites: the wish for one, and the token that is one (notme protocol §4.3 and §11.3).

use notme_keys::{decode_base64url, encode_base64url};
use notme_x509::rfc3339_millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::body::{object, text};
use super::command::SessionFacts;
use super::{PrincipalId, Scope, Scopes};
use crate::{BaseUrl, Error};

/// How long an invite is good if nothing is said, in seconds.
const DEFAULT_TTL_SECS: u64 = 3600;
/// How long one is good at most, in seconds.
const MAX_TTL_SECS: u64 = 7 * 86_400;

/// The secret in an invite's URL.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct InviteToken([u8; 32]);

impl InviteToken {
    /// A new one; `random` fresh.
    #[must_use]
    pub const fn from_random(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Reads a token as callers present it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = decode_base64url(text.trim())?;
        bytes.try_into().ok().map(Self)
    }

    /// What is stored in its place. A fast hash will do: nobody guesses 32 random bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new_with_prefix("notme-invite-v1")
            .chain_update(self.0)
            .finalize()
            .into()
    }

    /// The token as text.
    fn to_text(&self) -> String {
        encode_base64url(&self.0)
    }
}

/// An invite that somebody wants to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// What it is to promise.
    pub scopes: Scopes,
    /// For how long it is good, in seconds.
    pub ttl_secs: u64,
    /// Whom it is a further way in for; somebody new, if nobody is named.
    pub principal: Option<PrincipalId>,
}

impl Draft {
    /// Reads `{scopes?, ttl?}`, or `{principal, ttl?}`: that gives what its principal has. A longer time than seven days becomes seven days.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] and [`Error::InvalidMember`].
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Value = object(body)?;
        let principal = text(body.get("principal"), "principal")?;
        let principal =
            principal.map(|id| PrincipalId::parse(id).ok_or(Error::InvalidMember("principal")));
        let principal = principal.transpose()?;
        let scopes = match body.get("scopes").filter(|scopes| !scopes.is_null()) {
            Some(_) if principal.is_some() => return Err(Error::InvalidMember("scopes")),
            None if principal.is_some() => Scopes::default(),
            None => Scopes::of_anybody(),
            Some(Value::Array(names)) if !names.is_empty() => names
                .iter()
                .map(|name| name.as_str().and_then(Scope::parse))
                .collect::<Option<_>>()
                .ok_or(Error::InvalidMember("scopes"))?,
            Some(_) => return Err(Error::InvalidMember("scopes")),
        };
        let ttl_secs = match body.get("ttl") {
            None | Some(Value::Null) => DEFAULT_TTL_SECS,
            Some(ttl) => match ttl.as_u64() {
                None | Some(0) => return Err(Error::InvalidMember("ttl")),
                Some(secs) => secs.min(MAX_TTL_SECS),
            },
        };
        Ok(Self {
            scopes,
            ttl_secs,
            principal,
        })
    }

    /// Whether the holder of this session may make it. Who promises more than an ordinary right shows
    /// a passkey first: the invite would outlive a stolen session. So does who lets somebody act as another.
    ///
    /// # Errors
    /// [`Error::ScopeNotHeld`] and [`Error::StepUpRequired`].
    pub fn permit(&self, session: &SessionFacts, now: u64) -> Result<(), Error> {
        if let Some(scope) = self.scopes.beyond(&session.scopes) {
            return Err(Error::ScopeNotHeld(scope));
        }
        if self.principal.is_some() || self.scopes.beyond(&Scopes::of_anybody()).is_some() {
            session.require_fresh(now)?;
        }
        Ok(())
    }
}

/// The answer to whoever made an invite: the only time that the token is told.
#[must_use]
pub fn made(
    url: &BaseUrl,
    token: &InviteToken,
    id: &str,
    scopes: &Scopes,
    expires_at: u64,
) -> Value {
    let token = token.to_text();
    json!({
        "token": token,
        // Not in the query: that would be in logs, and in what the page asks for.
        "url": format!("{url}/join#t={token}"),
        "expiresAt": rfc3339_millis(expires_at.saturating_mul(1000)),
        "scopes": scopes.names(),
        "id": id,
    })
}

/// Reads `{token}`.
///
/// # Errors
/// [`Error::InvalidJson`], [`Error::MissingInviteToken`], [`Error::BadInvite`].
pub fn presented(body: &[u8]) -> Result<InviteToken, Error> {
    let body: Value = object(body)?;
    let token = text(body.get("token"), "token")?.filter(|token| !token.is_empty());
    let token = token.ok_or(Error::MissingInviteToken)?;
    InviteToken::parse(token).ok_or(Error::BadInvite)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(scopes: &[Scope], fresh_until: u64) -> SessionFacts {
        SessionFacts {
            principal: PrincipalId::from_random([1; 16]),
            display_name: "Ana".into(),
            scopes: scopes.iter().copied().collect(),
            pending: Scopes::default(),
            method: "passkey".into(),
            expires_at: 1000,
            id: String::new(),
            authenticator: String::new(),
            fresh_until,
            has_shown_passkey: true,
        }
    }

    #[test]
    fn drafts_are_read() {
        let draft = |body: &str| Draft::parse(body.as_bytes());
        let plain = draft("{}").unwrap();
        assert_eq!((plain.scopes, plain.ttl_secs), (Scopes::of_anybody(), 3600));
        let long = draft(r#"{"scopes":["sign:git","bridgeCert"],"ttl":9999999999}"#).unwrap();
        assert_eq!(long.scopes.names(), ["bridgeCert", "sign:git"]);
        assert_eq!(long.ttl_secs, 604_800);
        for (body, member) in [
            (r#"{"scopes":[]}"#, "scopes"),
            (r#"{"scopes":"bridgeCert"}"#, "scopes"),
            (r#"{"scopes":["root"]}"#, "scopes"),
            (r#"{"scopes":[1]}"#, "scopes"),
            (r#"{"ttl":0}"#, "ttl"),
            (r#"{"ttl":-1}"#, "ttl"),
            (r#"{"ttl":1.5}"#, "ttl"),
            (r#"{"ttl":"1"}"#, "ttl"),
            (r#"{"principal":"Ana"}"#, "principal"),
            (r#"{"principal":7}"#, "principal"),
            (
                r#"{"principal":"01010101-0101-4101-8101-010101010101","scopes":["bridgeCert"]}"#,
                "scopes",
            ),
        ] {
            assert_eq!(draft(body), Err(Error::InvalidMember(member)), "{body}");
        }
        for body in ["", "[]", "null", "{"] {
            assert_eq!(draft(body), Err(Error::InvalidJson), "{body}");
        }
    }

    #[test]
    fn nobody_promises_what_they_do_not_have() {
        let draft = |body: &str| Draft::parse(body.as_bytes()).unwrap();
        let wide = draft(r#"{"scopes":["bridgeCert","authorityManage"]}"#);
        let admin = [Scope::BridgeCert, Scope::AuthorityManage];
        assert_eq!(wide.permit(&session(&admin, 100), 99), Ok(()));
        assert_eq!(
            wide.permit(&session(&admin, 100), 100),
            Err(Error::StepUpRequired)
        );
        assert_eq!(
            wide.permit(&session(&[Scope::AuthorityManage], 100), 99),
            Err(Error::ScopeNotHeld(Scope::BridgeCert))
        );
        assert_eq!(draft("{}").permit(&session(&admin, 0), 99), Ok(()));
        // Who lets somebody act as another shows a passkey, whatever that other may do.
        let further = Draft {
            scopes: Scopes::of_anybody(),
            ..draft(r#"{"principal":"01010101-0101-4101-8101-010101010101"}"#)
        };
        let stale = Err(Error::StepUpRequired);
        assert_eq!(further.permit(&session(&admin, 0), 99), stale);
        assert_eq!(further.permit(&session(&admin, 100), 99), Ok(()));
    }

    #[test]
    fn tokens_are_read_back() {
        let token = InviteToken::from_random([7; 32]);
        let read = InviteToken::parse(&format!(" {}\n", token.to_text())).unwrap();
        assert_eq!(read.hash(), token.hash());
        assert_ne!(InviteToken::from_random([8; 32]).hash(), token.hash());
        for text in [
            "",
            "abc",
            &"A".repeat(44),
            "e3a1f2c0-0000-4000-8000-000000000000",
        ] {
            assert!(InviteToken::parse(text).is_none(), "{text}");
        }
        let missing = presented(br#"{"token":""}"#);
        assert_eq!(missing.err(), Some(Error::MissingInviteToken));
        assert_eq!(presented(br#"{"token":"x"}"#).err(), Some(Error::BadInvite));
    }
}
