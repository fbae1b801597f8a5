//! Who we are to browsers and authenticators.

use sha2::{Digest, Sha256};

use crate::ConfigError;

/// A relying party (§4): its id, which credentials are bound to, and the origins of its pages.
///
/// An origin need not be under the RP id: browsers that know related origins (§5.11) ask the RP id's
/// host which others may use its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelyingParty {
    id: String,
    origins: Vec<String>,
}

impl RelyingParty {
    /// Takes an RP id and origins as an operator writes them. An origin may end in one slash, and
    /// its default port may be named; both are dropped, for browsers write neither.
    ///
    /// # Errors
    /// [`ConfigError`] if no browser could ever send one of them.
    pub fn new<'a>(
        id: &str,
        origins: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, ConfigError> {
        if !is_domain(id) {
            return Err(ConfigError::BadRpId(id.to_owned()));
        }
        let origins = origins
            .into_iter()
            .map(|text| origin(text).ok_or_else(|| ConfigError::BadOrigin(text.to_owned())))
            .collect::<Result<Vec<_>, _>>()?;
        if origins.is_empty() {
            return Err(ConfigError::NoOrigin);
        }
        Ok(Self {
            id: id.to_owned(),
            origins,
        })
    }

    /// The RP id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The origins, as browsers write them.
    #[must_use]
    pub fn origins(&self) -> &[String] {
        &self.origins
    }

    /// What authenticators say that they act for (§6.1).
    #[must_use]
    pub fn id_hash(&self) -> [u8; 32] {
        Sha256::digest(&self.id).into()
    }

    pub(crate) fn has_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|ours| ours == origin)
    }
}

/// Whether `text` is a domain name as an RP id has to be: in lower case, ASCII, no address.
fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|b| b.is_ascii_digit());
    text.len() <= 253
        && text.split('.').all(is_label)
        && !text.rsplit('.').next().is_some_and(is_number)
}

/// An origin as browsers serialise it (HTML §7.1.1), if WebAuthn works there.
fn origin(text: &str) -> Option<String> {
    let (scheme, authority) = text.split_once("://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let local = host == "localhost" || host.ends_with(".localhost");
    let default_port = match scheme {
        "https" => "443",
        "http" if local => "80",
        _ => return None,
    };
    if !is_domain(host) {
        return None;
    }
    match port {
        None => Some(format!("{scheme}://{host}")),
        Some(port) if port == default_port => Some(format!("{scheme}://{host}")),
        Some(port) if port.parse::<u16>().ok()?.to_string() == port => {
            Some(format!("{scheme}://{host}:{port}"))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_those_that_browsers_write() {
        for (text, written) in [
            ("https://auth.example.com", Some("https://auth.example.com")),
            (
                "https://auth.example.com/",
                Some("https://auth.example.com"),
            ),
            ("https://example.com:443", Some("https://example.com")),
            ("https://example.com:8443", Some("https://example.com:8443")),
            ("http://localhost:8788", Some("http://localhost:8788")),
            ("http://a.localhost:80/", Some("http://a.localhost")),
            ("http://example.com", None),
            ("http://localhost.example.com", None),
            ("http://127.0.0.1:8788", None),
            ("http://[::1]", None),
            ("https://Example.com", None),
            ("https://example.com//", None),
            ("https://example.com/path", None),
            ("https://user@example.com", None),
            ("https://example.com:", None),
            ("https://example.com:0443", None),
            ("https://example.com:+443", None),
            ("https://example.com:65536", None),
            ("https://", None),
            ("HTTPS://example.com", None),
            ("example.com", None),
            ("null", None),
            ("https://example.com ", None),
        ] {
            assert_eq!(origin(text).as_deref(), written, "{text}");
        }
    }

    #[test]
    fn rp_ids_are_domain_names() {
        for (id, fits) in [
            ("example.com", true),
            ("localhost", true),
            ("xn--bcher-kva.example", true),
            ("", false),
            ("Example.com", false),
            ("example.com.", false),
            (".example.com", false),
            ("-a.example", false),
            ("a-.example", false),
            ("a_b.example", false),
            ("bücher.example", false),
            ("example.com:443", false),
            ("https://example.com", false),
            ("127.0.0.1", false),
            ("[::1]", false),
        ] {
            let party = RelyingParty::new(id, ["https://example.com"]);
            assert_eq!(party.is_ok(), fits, "{id}");
        }
        assert_eq!(
            RelyingParty::new("a.example", []),
            Err(ConfigError::NoOrigin)
        );
    }
}
