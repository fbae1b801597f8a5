//! The few URLs that configuration names. A full URL parser would double the size of the worker.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An absolute http or https URL without user, query and fragment. Scheme and host are lower case,
/// a default port and trailing slashes are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    https: bool,
    host: String,
    port: Option<u16>,
    path: String,
}

/// What names end in that no public name does (RFC 6761, RFC 6762, RFC 8375, RFC 9476, and what networks use).
const PRIVATE_NAMES: [&str; 13] = [
    "alt",
    "arpa",
    "corp",
    "home",
    "internal",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localhost",
    "private",
    "svc",
];

/// Why some text isn't such a URL: a sentence for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlError(pub &'static str);

impl BaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`UrlError`] says what is wrong. Plain http is for loopback only.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let error = |why| Err(UrlError(why));
        let (scheme, rest) = text
            .split_once("://")
            .ok_or(UrlError("is not a URL (https://host)"))?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return error("must start with https://"),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let path = path.trim_end_matches('/');
        let path_char = |c: char| c.is_ascii_alphanumeric() || "/-._~%!$&'()*+,;=:@".contains(c);
        if !path.chars().all(path_char) || path.contains("//") {
            return error("must have no query, fragment or white space");
        }
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return error("must not have . or .. in its path");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port.parse().map_err(|_| UrlError("has a malformed port"))?;
                (host, Some(port))
            }
            _ => (authority, None),
        };
        let host = host.to_ascii_lowercase();
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let literal = |c: char| c.is_ascii_hexdigit() || c == ':' || c == '.';
        let well_formed = match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(address) => !address.is_empty() && address.chars().all(literal),
            None => !host.is_empty() && host.chars().all(name),
        };
        if !well_formed {
            return error("has a malformed host (internationalised names go in as punycode)");
        }
        let port = port.filter(|port| *port != if https { 443 } else { 80 });
        let url = Self {
            https,
            host,
            port,
            path: path.to_owned(),
        };
        if !https && !url.is_loopback() {
            return error("must be https, unless its host is localhost, 127.0.0.1 or [::1]");
        }
        Ok(url)
    }

    /// `host` or `host:port`.
    #[must_use]
    pub fn host(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// Scheme, host and port (RFC 6454 §6.2).
    #[must_use]
    pub fn origin(&self) -> String {
        format!(
            "{}://{}",
            if self.https { "https" } else { "http" },
            self.host()
        )
    }

    /// The path without a trailing slash; empty if there is none.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether `address`, without its query and fragment, is that of `path` under this URL: compared as
    /// URLs, so neither case of the host nor needless percent-encoding counts (RFC 9449 §4.3).
    #[must_use]
    pub fn has_at(&self, path: &str, address: &str) -> bool {
        let bare = address.split(['?', '#']).next().unwrap_or_default();
        let is_ours = |url: Self| {
            url.origin() == self.origin()
                && normal(&url.path) == normal(&format!("{}{path}", self.path))
        };
        !bare.ends_with('/') && Self::parse(bare).is_ok_and(is_ours)
    }

    /// Whether the scheme is https.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.https
    }

    /// Whether it is https, at a name that can be one of the public internet's: no address, and no name that a
    /// network gives its own machines.
    #[must_use]
    pub fn is_public(&self) -> bool {
        let Some((_, last)) = self.host.rsplit_once('.') else {
            return false;
        };
        // An address ends in a number, however it is written (WHATWG URL §3.5).
        let is_name = last.starts_with(|c: char| c.is_ascii_alphabetic());
        self.https && is_name && !PRIVATE_NAMES.contains(&last)
    }

    /// Whether the host is this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let octets: Vec<Option<u8>> = self.host.split('.').map(|part| part.parse().ok()).collect();
        matches!(octets[..], [Some(127), Some(_), Some(_), Some(_)])
            || self.host == "localhost"
            || self.host == "[::1]"
    }

    /// Whether the host may turn out to be this machine, however it is written: who isn't meant to lead here mustn't lead
    /// there.
    #[must_use]
    pub fn may_be_loopback(&self) -> bool {
        let is_here = |address: Ipv4Addr| address.is_loopback() || address.is_unspecified();
        let literal = self.host.strip_prefix('[');
        if let Some(literal) = literal.and_then(|host| host.strip_suffix(']')) {
            return literal.parse().map_or(true, |address: Ipv6Addr| {
                let embedded = address.to_ipv4().is_some_and(is_here);
                address.is_loopback() || address.is_unspecified() || embedded
            });
        }
        if let Ok(address) = self.host.parse() {
            return is_here(address);
        }
        let host = self.host.trim_end_matches('.');
        let last = host.rsplit('.').next().unwrap_or(host);
        // An address in another form, such as 127.1 (WHATWG URL §3.5), or a name of this machine's (RFC 6761 §6.3).
        last == "localhost" || last.starts_with(|c: char| c.is_ascii_digit())
    }
}

/// Percent-encodes what isn't unreserved (RFC 3986 §2.3).
pub(crate) fn encode_component(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
}

/// A path in which nothing is percent-encoded that need not be, and the rest in upper case (RFC 3986 §6.2.2).
fn normal(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let byte = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let Some((byte, tail)) = byte.zip(after.get(2..)) else {
            out.push('%');
            rest = after;
            continue;
        };
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_recognized_however_it_is_written() {
        for (text, is_here) in [
            ("https://localhost", true),
            ("https://a.localhost.", true),
            ("https://127.0.0.1", true),
            ("https://127.1", true),
            ("https://0.0.0.0", true),
            ("https://0", true),
            ("https://2130706433", true),
            ("https://0x7f.1", true),
            ("https://[::1]", true),
            ("https://[::]", true),
            ("https://[::ffff:127.0.0.1]", true),
            ("https://[::ffff:7f00:1]", true),
            ("https://[1::2::3]", true),
            ("https://10.0.0.1", false),
            ("https://[fd00::1]", false),
            ("https://[::ffff:10.0.0.1]", false),
            ("https://vault.internal", false),
            ("https://id.example", false),
        ] {
            let url = BaseUrl::parse(text).unwrap();
            assert_eq!(url.may_be_loopback(), is_here, "{text}");
        }
    }

    #[test]
    fn a_public_name_is_no_address_and_no_networks_own() {
        for (text, is_public) in [
            ("https://gitlab.com", true),
            ("https://GitLab.example.com:8443/x", true),
            ("https://xn--bcher-kva.example", true),
            ("https://1.2.3.a", true),
            ("http://localhost:1", false),
            ("https://localhost", false),
            ("https://a.localhost", false),
            ("https://intranet", false),
            ("https://vault", false),
            ("https://10.0.0.1", false),
            ("https://1.1.1.1", false),
            ("https://169.254.169.254", false),
            ("https://127.1", false),
            ("https://0x7f.1", false),
            ("https://0x7f.0x1", false),
            ("https://2130706433", false),
            ("https://[::1]", false),
            ("https://[::ffff:10.0.0.1]", false),
            ("https://kubernetes.default.svc.cluster.local", false),
            ("https://kubernetes.default.svc", false),
            ("https://metadata.google.internal", false),
            ("https://nas.home.arpa", false),
            // The root's dot is a name that ends in nothing.
            ("https://localhost.", false),
            ("https://vault.internal.", false),
        ] {
            let url = BaseUrl::parse(text).unwrap();
            assert_eq!(url.is_public(), is_public, "{text}");
        }
    }

    #[test]
    fn reads_and_normalises() {
        for (text, shown, host, path) in [
            (
                "https://Auth.Example.com",
                "https://auth.example.com",
                "auth.example.com",
                "",
            ),
            ("https://a.b/", "https://a.b", "a.b", ""),
            ("https://a.b:443/x/", "https://a.b/x", "a.b", "/x"),
            (
                "https://a.b:8443/x/y",
                "https://a.b:8443/x/y",
                "a.b:8443",
                "/x/y",
            ),
            (
                "http://localhost:8788",
                "http://localhost:8788",
                "localhost:8788",
                "",
            ),
            ("http://127.0.0.1:80", "http://127.0.0.1", "127.0.0.1", ""),
            ("http://[::1]:9/p", "http://[::1]:9/p", "[::1]:9", "/p"),
        ] {
            let url = BaseUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.host(), host);
            assert_eq!(url.path(), path);
        }
    }

    #[test]
    fn an_address_is_compared_as_a_url() {
        let url = BaseUrl::parse("https://a.example:8443/id-x").unwrap();
        for address in [
            "https://a.example:8443/id-x/token",
            "HTTPS://A.Example:8443/id-x/token",
            "https://a.example:8443/id-x/token?x=y#z",
            "https://a.example:8443/id-x/token#",
            "https://a.example:8443/id%2Dx/%74oken",
        ] {
            assert!(url.has_at("/token", address), "{address}");
        }
        for address in [
            "",
            "/token",
            "https://a.example/id-x/token",
            "http://a.example:8443/id-x/token",
            "https://b.example:8443/id-x/token",
            "https://a.example:8443/token",
            "https://a.example:8443/id-x/token/",
            "https://a.example:8443/id-x/token/x",
            "https://a.example:8443/id-x/Token",
            "https://a.example:8443/id-x%2Ftoken",
            "https://a.example:8443/id-x/%zztoken",
            "https://u@a.example:8443/id-x/token",
            "https://a.example:8443/id-x/../id-x/token",
            "https://a.example:8443/id-x//token",
            " https://a.example:8443/id-x/token",
        ] {
            assert!(!url.has_at("/token", address), "{address}");
        }
        let plain = BaseUrl::parse("https://a.example").unwrap();
        assert!(plain.has_at("/token", "https://a.example:443/token"));
        assert!(!plain.has_at("/token", "https://a.example/?/token"));
        assert_eq!(normal("/%7e%2f%C3%a4%"), "/~%2F%C3%A4%");
    }

    #[test]
    fn refuses_the_rest() {
        for text in [
            "",
            "example.com",
            "//example.com",
            "ftp://example.com",
            "https://",
            "https:///x",
            "https://u@example.com",
            "https://example.com?x",
            "https://example.com/x?y",
            "https://example.com#x",
            "https://exa mple.com",
            "https://example.com:x",
            "https://example.com:99999",
            "https://bücher.example",
            "https://[::1",
            "https://[]",
            "http://example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "http://127.example.com",
            "https://example.com/../x",
            "https://example.com//x",
            "https://example.com\\@evil",
            "https://example.com/\u{0}",
        ] {
            assert!(BaseUrl::parse(text).is_err(), "{text}");
        }
    }
}
