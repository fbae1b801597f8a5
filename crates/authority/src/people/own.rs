//! What a principal sees of its own: passkeys and sessions, as JSON.

use serde_json::{Value, json};

use super::admission::Doors;
use super::bootstrap::FirstBoot;
use super::command::SessionFacts;
use super::{Scope, body, hyphenated};
use crate::Error;

/// A passkey, as its owner sees it. Times are Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasskeyRow {
    /// The authenticator's id.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was registered.
    pub created_at: u64,
    /// When it was last used.
    pub last_used_at: Option<u64>,
    /// Whether it was backed up when it was last used.
    pub backed_up: bool,
    /// Whether it may be on several devices.
    pub backup_eligible: bool,
    /// The model of the authenticator.
    pub aaguid: [u8; 16],
}

/// `/me/passkeys`.
#[must_use]
pub fn passkeys(session: &SessionFacts, rows: &[PasskeyRow]) -> Value {
    let passkey = |row: &PasskeyRow| {
        json!({
            "id": row.id,
            "name": row.name,
            "createdAt": row.created_at,
            "lastUsedAt": row.last_used_at.unwrap_or(0),
            "backedUp": row.backed_up,
            "synced": row.backup_eligible,
            "aaguid": hyphenated(&row.aaguid),
            "current": row.id == session.authenticator,
        })
    };
    json!({ "passkeys": rows.iter().map(passkey).collect::<Vec<_>>() })
}

/// `/me` as JSON.
#[must_use]
pub fn me(session: &SessionFacts, trust_domain: &str) -> Value {
    json!({
        "authenticated": true,
        "userId": session.principal.as_str(),
        "isAdmin": session.scopes.contains(Scope::AuthorityManage),
        "expiresAt": session.expires_at,
        "displayName": session.display_name,
        "scopes": session.scopes.names(),
        "authMethod": session.method,
        "session": session.id,
        "freshUntil": session.fresh_until,
        "identity": session.principal.uri(trust_domain),
        "pending": session.pending.names(),
    })
}

/// `/auth/state`: what a stranger may know before they knock.
#[must_use]
pub fn door(doors: &Doors, rp_id: Option<&str>) -> Value {
    let first_boot = match doors.first_boot() {
        FirstBoot::Armed => "armed",
        FirstBoot::Unconfigured => "unconfigured",
        FirstBoot::Closed => "closed",
    };
    let mut door = json!({ "firstBoot": first_boot, "registration": doors.is_open_to_all() });
    if let (Some(members), Some(rp_id)) = (door.as_object_mut(), rp_id) {
        members.insert("rpId".into(), rp_id.into());
    }
    door
}

/// Reads `{name}`.
///
/// # Errors
/// [`Error::InvalidJson`] and [`Error::InvalidMember`].
pub fn new_name(request: &[u8]) -> Result<String, Error> {
    let request: Value = body::object(request)?;
    body::shown_name(request.get("name"), "name")?.ok_or(Error::InvalidMember("name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_visible() {
        let name = |name: &str| new_name(format!(r#"{{"name":{}}}"#, json!(name)).as_bytes());
        assert_eq!(name("  Yubikey, blue ").as_deref(), Ok("Yubikey, blue"));
        assert_eq!(name(&"ä".repeat(64)), Ok("ä".repeat(64)));
        for bad in [
            "",
            "  ",
            &"a".repeat(65),
            "a\u{202e}b",
            "a\u{0}",
            "a\u{200b}",
        ] {
            assert_eq!(name(bad), Err(Error::InvalidMember("name")), "{bad:?}");
        }
        assert_eq!(
            new_name(br#"{"name":1}"#),
            Err(Error::InvalidMember("name"))
        );
        assert_eq!(new_name(b"[]"), Err(Error::InvalidJson));
    }

    #[test]
    fn models_have_hyphens() {
        assert_eq!(
            hyphenated(&[0xab; 16]),
            "abababab-abab-abab-abab-abababababab"
        );
    }

    #[test]
    fn the_door_says_what_it_waits_for() {
        let doors = Doors {
            has_authenticator: false,
            has_unused_code: true,
            is_open: true,
        };
        assert_eq!(
            door(&doors, Some("example.org")),
            json!({ "firstBoot": "armed", "registration": false, "rpId": "example.org" })
        );
        let doors = Doors {
            has_authenticator: true,
            ..doors
        };
        assert_eq!(
            door(&doors, None),
            json!({ "firstBoot": "closed", "registration": true })
        );
    }
}
