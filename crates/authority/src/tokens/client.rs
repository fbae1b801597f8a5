//! Applications that may ask to act for somebody: who is registered, and where codes may go.

use serde_json::Value;

use crate::people::{Scope, Scopes};
use crate::rows::{Row, each};
use crate::url::BaseUrl;

/// The members of a row.
const MEMBERS: [&str; 6] = [
    "audiences",
    "bearer",
    "id",
    "name",
    "redirect_uris",
    "scopes",
];
/// The longest id or name.
const MAX_NAME_LEN: usize = 64;
/// The longest redirect URI, in bytes.
pub const MAX_URI_LEN: usize = 1024;
/// The hosts of this machine. A program that is installed listens at a port that it can't know before
/// (RFC 8252 §7.3).
const LOOPBACK: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];

/// An application. All of them are public: none has a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// `client_id`.
    pub id: String,
    /// What people are told that it is.
    pub name: String,
    /// Where codes may be sent.
    pub redirect_uris: Vec<String>,
    /// Whom its tokens may be for; whoever tokens may be for at all, if it says nothing.
    pub audiences: Option<Vec<String>>,
    /// What its tokens may carry at most.
    pub scopes: Scopes,
    /// Whether it gets tokens that anybody can use who has them, if it shows no DPoP proof.
    pub may_bear: bool,
}

/// What is wrong with a redirect URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedirectProblem {
    /// There is none.
    Missing,
    /// It is none.
    Malformed,
    /// Somebody could listen.
    Insecure,
    /// Nobody registered it, or another application did.
    Unregistered,
}

impl Client {
    /// Reads rows: a JSON array of objects.
    ///
    /// # Errors
    /// Sentences for the operator, each about one row. They don't repeat values.
    pub fn read_all(json: &str) -> Result<Vec<Self>, Vec<String>> {
        let mut clients = Vec::<Self>::new();
        each(json, &mut |row| {
            let row = Self::read(Row::new(row, "a row", &MEMBERS)?)?;
            if clients.iter().any(|other| other.id == row.id) {
                return Err("an earlier row has this id".into());
            }
            clients.push(row);
            Ok(())
        })?;
        Ok(clients)
    }

    fn read(row: Row<'_>) -> Result<Self, String> {
        let id = match row.get("id").and_then(Value::as_str) {
            Some(id) if is_id(id) => id.to_owned(),
            _ => return Err("id must be 1 to 64 letters, digits or any of - . _ ~".into()),
        };
        let name = match row.get("name") {
            None => id.clone(),
            name => crate::people::body::shown_text(name, "name", MAX_NAME_LEN)
                .ok()
                .flatten()
                .ok_or("name must be a text of at most 64 characters that are seen")?,
        };
        let redirect_uris = row
            .texts("redirect_uris")?
            .ok_or("redirect_uris is missing")?;
        for uri in &redirect_uris {
            permit(uri).map_err(|problem| format!("redirect_uris {problem}"))?;
        }
        let scopes = match row.texts("scopes")? {
            None => Scopes::eligible(),
            Some(names) => names
                .iter()
                .map(|name| Scope::parse(name).filter(|scope| scope.is_for_certificates()))
                .collect::<Option<Vec<_>>>()
                .ok_or("scopes may list bridgeCert and no other")?
                .into_iter()
                .collect(),
        };
        let may_bear = match row.get("bearer") {
            None => false,
            Some(Value::Bool(may_bear)) => *may_bear,
            Some(_) => return Err("bearer must be true or false".into()),
        };
        Ok(Self {
            id,
            name,
            redirect_uris,
            audiences: row.texts("audiences")?,
            scopes,
            may_bear,
        })
    }

    /// Whether codes for it may be sent to `uri`: one that is registered, to the letter, but for the port of a
    /// program on this machine.
    #[must_use]
    pub fn is_at(&self, uri: &str) -> bool {
        uri.len() <= MAX_URI_LEN
            && self.redirect_uris.iter().any(|registered| {
                let portless = without_port(registered);
                registered == uri || (portless.is_some() && portless == without_port(uri))
            })
    }
}

/// Finds the application of a redirect URI, by its id too if the request gives that. Without an id it is the only
/// one that the URI is registered for: the protocol's older clients have none.
///
/// # Errors
/// [`RedirectProblem`].
pub fn find<'a>(
    clients: &'a [Client],
    id: Option<&str>,
    uri: &str,
) -> Result<&'a Client, RedirectProblem> {
    if uri.is_empty() {
        return Err(RedirectProblem::Missing);
    }
    let mut found = clients
        .iter()
        .filter(|client| id.is_none_or(|id| client.id == id) && client.is_at(uri));
    if let (Some(client), None) = (found.next(), found.next()) {
        return Ok(client);
    }
    // Nothing is sent to what is told here: it is for whoever wrote the application.
    let has_scheme = uri
        .split_once("://")
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    Err(if !has_scheme || uri.len() > MAX_URI_LEN {
        RedirectProblem::Malformed
    } else if uri.starts_with("https://") || without_port(uri).is_some() {
        RedirectProblem::Unregistered
    } else {
        RedirectProblem::Insecure
    })
}

fn is_id(text: &str) -> bool {
    (1..=MAX_NAME_LEN).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

/// Whether codes may be sent there at all.
fn permit(uri: &str) -> Result<(), &'static str> {
    if uri.len() > MAX_URI_LEN {
        return Err("has one that is too long");
    }
    // What a browser would read otherwise than we do.
    let is_plain = |b: u8| b.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&b);
    if !uri.bytes().all(is_plain) {
        return Err("has one with a fragment, white space, or characters that must be encoded");
    }
    let base = uri.split('?').next().unwrap_or_default();
    BaseUrl::parse(base)
        .map(drop)
        .map_err(|_| "has one that isn't https://host/path, nor http on this machine")
}

/// A URI of a program on this machine: its host, and what follows the port.
fn without_port(uri: &str) -> Option<(&'static str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    LOOPBACK.into_iter().find_map(|host| {
        let rest = rest.strip_prefix(host)?;
        let rest = match rest.strip_prefix(':') {
            Some(rest) => {
                let end = rest.find(|c: char| !c.is_ascii_digit());
                let (port, rest) = rest.split_at(end.unwrap_or(rest.len()));
                port.parse::<u16>().ok()?;
                rest
            }
            None => rest,
        };
        (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(uris: &[&str]) -> Client {
        let json = serde_json::json!([{ "id": "app", "redirect_uris": uris }]);
        Client::read_all(&json.to_string()).unwrap().remove(0)
    }

    #[test]
    fn a_row_has_an_id_and_addresses() {
        let json = r#"[{"id": "rig", "redirect_uris": ["https://rig.example/cb?x=1", "http://127.0.0.1/cb"]},
            {"id": "other", "name": "Other", "redirect_uris": ["http://[::1]:9/"], "bearer": true,
             "audiences": ["https://api.example"], "scopes": ["bridgeCert"]}]"#;
        let [rig, other] = Client::read_all(json).unwrap().try_into().unwrap();
        assert_eq!((rig.name.as_str(), rig.may_bear), ("rig", false));
        assert_eq!(
            (rig.audiences, rig.scopes.names()),
            (None, vec!["bridgeCert".to_owned()])
        );
        assert_eq!((other.name.as_str(), other.may_bear), ("Other", true));
        assert_eq!(other.audiences.unwrap(), ["https://api.example"]);
    }

    #[test]
    fn rows_that_would_not_mean_what_they_say_are_refused() {
        let good = r#""id": "a", "redirect_uris": ["https://a.example/"]"#;
        let row = |members: &str| Client::read_all(&format!("[{{{members}}}]"));
        assert!(row(good).is_ok());
        for (members, problem) in [
            (r#""redirect_uris": ["https://a.example/"]"#, "id must"),
            (
                r#""id": "a b", "redirect_uris": ["https://a.example/"]"#,
                "id must",
            ),
            (r#""id": "a""#, "redirect_uris is missing"),
            (r#""id": "a", "redirect_uris": []"#, "not empty"),
            (
                r#""id": "a", "redirect_uris": "https://a.example/""#,
                "array",
            ),
            (r#""id": "a", "redirect_uris": [1]"#, "array"),
            (
                r#""id": "a", "redirect_uris": ["http://a.example/"]"#,
                "isn't https",
            ),
            (
                r#""id": "a", "redirect_uris": ["https://*.example/"]"#,
                "isn't https",
            ),
            (r#""id": "a", "redirect_uris": ["app:/cb"]"#, "isn't https"),
            (
                r#""id": "a", "redirect_uris": ["https://a.example/#x"]"#,
                "fragment",
            ),
            (
                r#""id": "a", "redirect_uris": ["https://u@a.example/"]"#,
                "isn't https",
            ),
            (
                r#""id": "a", "redirect_uris": ["https://a.example/é"]"#,
                "encoded",
            ),
            (&format!("{good}, \"bearer\": 1"), "bearer"),
            (&format!("{good}, \"name\": \"\""), "name"),
            (&format!("{good}, \"name\": \"a\\u202eb\""), "name"),
            (
                &format!("{good}, \"scopes\": [\"authorityManage\"]"),
                "bridgeCert",
            ),
            (&format!("{good}, \"secret\": \"x\""), "no member"),
        ] {
            let problems = row(members).unwrap_err();
            assert!(problems[0].contains(problem), "{members}: {problems:?}");
        }
        assert!(Client::read_all(&format!("[{{{good}}}, {{{good}}}]")).is_err());
        for json in ["", "{}", "[1]", "[],\"rows\":[]"] {
            assert!(Client::read_all(json).is_err(), "{json}");
        }
    }

    #[test]
    fn an_address_is_compared_to_the_letter_but_for_a_port_on_this_machine() {
        let app = client(&[
            "https://app.example/cb?x=1",
            "http://127.0.0.1/cb",
            "http://[::1]:5000/cb",
        ]);
        for uri in [
            "https://app.example/cb?x=1",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:1/cb",
            "http://127.0.0.1:65535/cb",
            "http://[::1]/cb",
            "http://[::1]:5001/cb",
        ] {
            assert!(app.is_at(uri), "{uri}");
        }
        for uri in [
            "https://app.example/cb",
            "https://app.example/cb?x=1&y=2",
            "https://app.example/cb?x=1#",
            "https://app.example:443/cb?x=1",
            "https://app.example:8443/cb?x=1",
            "https://App.example/cb?x=1",
            "https://app.example.evil.example/cb?x=1",
            "https://app.example/cb/../evil?x=1",
            "http://app.example/cb?x=1",
            "https://127.0.0.1/cb",
            "http://127.0.0.1/cb/x",
            "http://127.0.0.1/cb?x",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:65536/cb",
            "http://127.0.0.1:80@evil.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1:8x/cb",
            "http://localhost/cb",
            "http://u@127.0.0.1/cb",
            "javascript:alert(1)",
            "",
        ] {
            assert!(!app.is_at(uri), "{uri}");
        }
    }

    #[test]
    fn a_client_is_found_by_its_address_and_its_id() {
        let read = |json: &str| Client::read_all(json).unwrap();
        let clients = read(
            r#"[{"id": "a", "redirect_uris": ["https://a.example/cb", "http://localhost/cb"]},
                {"id": "b", "redirect_uris": ["http://localhost:7/cb"]}]"#,
        );
        let found = |id: Option<&str>, uri: &str| find(&clients, id, uri).map(|c| c.id.clone());
        use RedirectProblem::{Insecure, Malformed, Missing, Unregistered};
        assert_eq!(found(None, "https://a.example/cb"), Ok("a".into()));
        assert_eq!(found(Some("b"), "http://localhost:9/cb"), Ok("b".into()));
        for (id, uri, problem) in [
            (None, "", Missing),
            (None, "http://localhost:9/cb", Unregistered), // whose?
            (Some("c"), "https://a.example/cb", Unregistered),
            (Some("b"), "https://a.example/cb", Unregistered),
            (Some(""), "https://a.example/cb", Unregistered),
            (None, "https://evil.example/cb", Unregistered),
            (None, "http://a.example/cb", Insecure),
            (None, "ftp://a.example/cb", Insecure),
            (None, "not a url", Malformed),
            (None, "javascript:alert(1)", Malformed),
            (None, "//a.example/cb", Malformed),
        ] {
            assert_eq!(found(id, uri), Err(problem), "{uri}");
        }
    }
}
