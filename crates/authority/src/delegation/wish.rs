//! What somebody wants to let somebody else do.

use serde_json::Value;

use crate::people::admin::ItemId;
use crate::people::admin::list::MAX_NUMBER;
use crate::people::body::{object, text};
use crate::people::{PrincipalId, Scope, Scopes};
use crate::{Echo, Error};

use super::MAX_DEPTH;

/// The longest audience, in bytes.
const MAX_AUDIENCE: usize = 200;

/// A delegation that somebody wants to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// To whom.
    pub delegate: PrincipalId,
    /// What it hangs on; on one's own rights if that isn't said.
    pub parent: Option<ItemId>,
    /// With which scopes.
    pub scopes: Option<Scopes>,
    /// Where.
    pub audience: Option<String>,
    /// What for.
    pub purpose: Option<[u8; 32]>,
    /// Until when, in Unix seconds.
    pub expires_at: Option<u64>,
    /// How often it may be handed on.
    pub depth: Option<u8>,
}

const MEMBERS: [&str; 7] = [
    "delegate",
    "parent",
    "scopes",
    "audience",
    "purposeHash",
    "expiresAt",
    "depth",
];

impl Wish {
    /// Reads `{delegate, parent?, scopes?, audience?, purposeHash?, expiresAt?, depth?}`, and nothing else: a limit
    /// whose name is misspelt must not be none.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::InvalidMember`], and [`Error::ScopesNotEligible`] for scopes that no
    /// certificate carries.
    pub fn parse(body: &[u8]) -> Result<Self, Error> {
        let body: Value = object(body)?;
        let members = body.as_object().ok_or(Error::InvalidJson)?;
        if members.keys().any(|name| !MEMBERS.contains(&name.as_str())) {
            return Err(Error::InvalidMember("the body"));
        }
        let member = |name| body.get(name).filter(|value| !value.is_null());
        let delegate = text(member("delegate"), "delegate")?.and_then(PrincipalId::parse);
        let parent = text(member("parent"), "parent")?;
        let parent = parent.map(|id| ItemId::parse(id).ok_or(Error::InvalidMember("parent")));
        let audience = text(member("audience"), "audience")?;
        if audience.is_some_and(|audience| !is_audience(audience)) {
            return Err(Error::InvalidMember("audience"));
        }
        let purpose = text(member("purposeHash"), "purposeHash")?;
        let purpose = purpose.map(|hex| digest(hex).ok_or(Error::InvalidMember("purposeHash")));
        let number = |name, most: u64| match member(name) {
            None => Ok(None),
            Some(value) => {
                let number = value.as_u64().filter(|number| *number <= most);
                number.map(Some).ok_or(Error::InvalidMember(name))
            }
        };
        let depth = number("depth", MAX_DEPTH.into())?;
        Ok(Self {
            delegate: delegate.ok_or(Error::InvalidMember("delegate"))?,
            parent: parent.transpose()?,
            scopes: member("scopes").map(scopes).transpose()?,
            audience: audience.map(str::to_owned),
            purpose: purpose.transpose()?,
            expires_at: number("expiresAt", MAX_NUMBER)?,
            depth: depth.map(|depth| u8::try_from(depth).unwrap_or(u8::MAX)),
        })
    }
}

fn scopes(names: &Value) -> Result<Scopes, Error> {
    let invalid = || Error::InvalidMember("scopes");
    let names = names.as_array().filter(|names| !names.is_empty());
    let parse = |name: &Value| name.as_str().and_then(Scope::parse);
    let scopes: Option<Scopes> = names.ok_or_else(invalid)?.iter().map(parse).collect();
    let scopes = scopes.ok_or_else(invalid)?;
    if scopes.iter().any(|scope| !scope.is_for_certificates()) {
        let requested = scopes.iter().map(|scope| Echo::new(scope.as_str()));
        return Err(Error::ScopesNotEligible {
            requested: requested.collect(),
        });
    }
    Ok(scopes)
}

/// Whether a text can be compared wherever it is shown: visible ASCII.
fn is_audience(text: &str) -> bool {
    (1..=MAX_AUDIENCE).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A SHA-256 in lower-case hex, as tools print it: one text for each.
fn digest(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    (hex::encode(bytes) == text).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "01010101-0101-4101-8101-010101010101";

    #[test]
    fn wishes_are_read_whole_or_not_at_all() {
        let parse = |body: &str| Wish::parse(body.replace("ID", ID).as_bytes());
        let plain = parse(r#"{"delegate":"ID"}"#).unwrap();
        assert_eq!((plain.scopes, plain.depth), (None, None));
        let digest = "ab".repeat(32);
        let full = format!(
            r#"{{"delegate":"ID","parent":"ID","scopes":["bridgeCert"],"audience":"https://a.example","purposeHash":"{digest}","expiresAt":9,"depth":4}}"#
        );
        let full = parse(&full).unwrap();
        assert_eq!(full.purpose, Some([0xab; 32]));
        assert_eq!((full.expires_at, full.depth), (Some(9), Some(4)));
        for body in ["", "[]", "null", "{", "7"] {
            assert_eq!(parse(body), Err(Error::InvalidJson), "{body}");
        }
        for (member, name) in [
            (r#""x":1"#, "the body"),
            (r#""Audience":"a""#, "the body"),
            (r#""parent":"x""#, "parent"),
            (r#""parent":7"#, "parent"),
            (r#""scopes":[]"#, "scopes"),
            (r#""scopes":"bridgeCert""#, "scopes"),
            (r#""scopes":["root"]"#, "scopes"),
            (r#""audience":"""#, "audience"),
            (r#""audience":"a b""#, "audience"),
            (r#""audience":"ä""#, "audience"),
            (r#""purposeHash":"ab""#, "purposeHash"),
            (r#""expiresAt":-1"#, "expiresAt"),
            (r#""expiresAt":1.5"#, "expiresAt"),
            (r#""expiresAt":9007199254740992"#, "expiresAt"),
            (r#""depth":5"#, "depth"),
            (r#""depth":"1""#, "depth"),
        ] {
            let refused = parse(&format!(r#"{{"delegate":"ID",{member}}}"#));
            assert_eq!(refused, Err(Error::InvalidMember(name)), "{member}");
        }
        let shouted = digest.to_uppercase();
        let refused = parse(&format!(r#"{{"delegate":"ID","purposeHash":"{shouted}"}}"#));
        assert_eq!(refused, Err(Error::InvalidMember("purposeHash")));
        let long = "a".repeat(201);
        assert!(parse(&format!(r#"{{"delegate":"ID","audience":"{long}"}}"#)).is_err());
        for body in ["{}", r#"{"delegate":7}"#, r#"{"delegate":"Ana"}"#] {
            assert_eq!(parse(body), Err(Error::InvalidMember("delegate")), "{body}");
        }
        let requested = vec![Echo::new("authorityManage")];
        assert_eq!(
            parse(r#"{"delegate":"ID","scopes":["authorityManage"]}"#),
            Err(Error::ScopesNotEligible { requested })
        );
    }
}
