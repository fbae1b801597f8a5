//! The door for whoever came in over TLS with a client certificate: whoever terminated TLS says which.
//!
//! That is the platform, which no caller can speak for, or a proxy, whose header counts together with a secret that
//! only it and we know. Either way it only says which certificate was shown, and that its key's holder is at the
//! other end: whether it leads to a pinned root is found out here, as in [`x509`].

use notme_keys::{decode_base64_any, decode_pem};
use sha2::{Digest, Sha256};

use super::x509::{Exchange, First, MAX_CHAIN, certificates};
use super::{Door, Edge, Facts, Given, Opened, Proof, RowsOf, Shown};
use crate::config::MtlsProxy;
use crate::possession::BoundTo;
use crate::{Error, Possession};

/// The door.
pub const DOOR: Door = Door {
    name: "mtls",
    read,
    rows: RowsOf::Roots,
};

/// The longest header that is read, in bytes: that of the longest certificate, in PEM, percent-encoded.
const MAX_HEADER_LEN: usize = 32 * 1024;

/// Reads `{chain?}`: certificates of CAs between the one that was shown and the root.
fn read(given: &Given<'_>) -> Result<Proof, Error> {
    let leaf = match by_proxy(given.edge, given.config.mtls_proxy.as_ref())? {
        Some(leaf) => leaf,
        None => by_platform(given.edge)?,
    };
    let others = match given.member("chain") {
        None | Some(serde_json::Value::Null) => Vec::new(),
        Some(chain) => {
            certificates(chain, MAX_CHAIN - 1).ok_or(Error::InvalidMember("proof.chain"))?
        }
    };
    Ok(Proof::Shown(Box::new(Connection {
        digest: Sha256::digest(&leaf).into(),
        chain: [vec![leaf], others].concat(),
    })))
}

/// The certificate that a proxy tells of, if it is ours. Without the secret its header says nothing.
fn by_proxy(edge: &dyn Edge, proxy: Option<&MtlsProxy>) -> Result<Option<Vec<u8>>, Error> {
    let Some(proxy) = proxy else {
        return Ok(None);
    };
    let Some(secret) = edge.header(&proxy.secret_header) else {
        return Ok(None);
    };
    if !proxy.secret.is(&secret) {
        return Err(Error::UntrustedProxy);
    }
    let header = edge.header(&proxy.certificate_header).unwrap_or_default();
    if header.is_empty() {
        return Err(Error::NoClientCertificate);
    }
    let leaf = of_header(&header);
    leaf.map(Some)
        .ok_or(Error::InvalidCertificate(notme_chain::Refusal::Malformed(
            "the header is no certificate",
        )))
}

/// The certificate that the platform saw.
fn by_platform(edge: &dyn Edge) -> Result<Vec<u8>, Error> {
    let fact = |name| edge.tls(name).unwrap_or_default();
    if fact("certPresented") != "1" || fact("certVerified") != "SUCCESS" {
        return Err(Error::NoClientCertificate);
    }
    if fact("certRevoked") == "1" {
        return Err(Error::InvalidCertificate(notme_chain::Refusal::Revoked));
    }
    let leaf = byte_sequence(&fact("certRFC9440"));
    // Larger than it passes on: it may be anybody's.
    leaf.ok_or(Error::NoClientCertificate)
}

/// A certificate as proxies write it into a header: RFC 9440, or PEM that is percent-encoded.
fn of_header(header: &str) -> Option<Vec<u8>> {
    if header.len() > MAX_HEADER_LEN {
        return None;
    }
    if header.starts_with(':') {
        return byte_sequence(header);
    }
    let mut pem = String::with_capacity(header.len());
    let mut rest = header;
    while let Some((before, after)) = rest.split_once('%') {
        let (hex, tail) = after.split_at_checked(2)?;
        let byte = u8::from_str_radix(hex, 16).ok()?;
        pem.push_str(before);
        pem.push(char::from(byte));
        rest = tail;
    }
    pem.push_str(rest);
    decode_pem("CERTIFICATE", &pem).ok()
}

/// A byte sequence of structured fields (RFC 8941 §3.3.5).
fn byte_sequence(text: &str) -> Option<Vec<u8>> {
    let base64 = text.trim().strip_prefix(':')?.strip_suffix(':')?;
    decode_base64_any(base64).filter(|bytes| !bytes.is_empty())
}

/// Whoever is at the other end of a connection.
struct Connection {
    /// SHA-256 of their certificate.
    digest: [u8; 32],
    /// The certificate, and those of CAs.
    chain: Vec<Vec<u8>>,
}

impl Shown for Connection {
    /// The new keys sign which connection they mean: over another's, with another certificate, they are worth nothing.
    fn bound_to<'a>(&'a self, challenge: Option<&'a [u8; 32]>) -> BoundTo<'a> {
        match challenge {
            Some(challenge) => BoundTo::Connection(challenge, &self.digest),
            None => BoundTo::Nothing, // which isn't opened
        }
    }

    fn open<'a>(&'a self, facts: &Facts<'a>) -> Result<Box<dyn Opened + 'a>, Error> {
        let challenge = facts.challenge()?;
        let bound_to = BoundTo::Connection(challenge, &self.digest);
        let [of_mtls, _] = facts.pair()?.checks(bound_to);
        let first = First::Other(of_mtls, Error::PossessionFailed(Possession::P256));
        Exchange::open(facts, DOOR.name, &self.chain, first)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::doors::testing::{Beside, config_with};

    const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

    fn seen(beside: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<(), Error> {
        let config = config_with(&json!([]), variables);
        let given = Given {
            proof: &Value::Null,
            config: &config,
            edge: &Beside(beside),
        };
        read(&given).map(drop)
    }

    #[test]
    fn a_header_counts_with_the_secret_alone() {
        let configured = [("MTLS_PROXY_SECRET", SECRET)];
        let none = Err(Error::NoClientCertificate);
        let certificate = ("client-cert", ":AQ==:");
        let with = |secret| [("mtls-proxy-secret", secret), certificate];
        assert_eq!(seen(&with(SECRET), &configured), Ok(()));
        let wrong = SECRET.to_uppercase();
        for secret in ["", " ", "x", &SECRET[1..], &wrong] {
            let refused = Err(Error::UntrustedProxy);
            assert_eq!(seen(&with(secret), &configured), refused, "{secret}");
        }
        assert_eq!(seen(&[certificate], &configured), none);
        assert_eq!(seen(&with(SECRET), &[]), none, "no proxy is ours");
        assert_eq!(seen(&with(SECRET)[..1], &configured), none);
        let elsewhere = [
            configured[0],
            ("MTLS_PROXY_SECRET_HEADER", "X-Proxy"),
            ("MTLS_CERTIFICATE_HEADER", "X-Cert"),
        ];
        assert_eq!(seen(&with(SECRET), &elsewhere), none);
        let named = [("x-proxy", SECRET), ("x-cert", ":AQ==:")];
        assert_eq!(seen(&named, &elsewhere), Ok(()));
    }

    #[test]
    fn what_the_platform_says_counts_if_it_is_good() {
        let facts = |presented, verified, revoked, certificate| {
            let facts = [
                ("tls certPresented", presented),
                ("tls certVerified", verified),
                ("tls certRevoked", revoked),
                ("tls certRFC9440", certificate),
            ];
            seen(&facts, &[])
        };
        let none = Err(Error::NoClientCertificate);
        assert_eq!(facts("1", "SUCCESS", "0", ":AQ==:"), Ok(()));
        assert_eq!(facts("0", "SUCCESS", "0", ":AQ==:"), none);
        for verified in ["NONE", "FAILED:self signed certificate", "success", ""] {
            assert_eq!(facts("1", verified, "0", ":AQ==:"), none, "{verified}");
        }
        let revoked = Err(Error::InvalidCertificate(notme_chain::Refusal::Revoked));
        assert_eq!(facts("1", "SUCCESS", "1", ":AQ==:"), revoked);
        for too_large in ["", "::", "AQ=="] {
            assert_eq!(facts("1", "SUCCESS", "0", too_large), none, "{too_large}");
        }
        // A header of that name is nothing.
        let beside = [("cf-client-cert", ":AQ==:"), ("client-cert", ":AQ==:")];
        assert_eq!(seen(&beside, &[]), none);
    }

    #[test]
    fn certificates_are_read_as_proxies_write_them() {
        let pem = notme_keys::encode_pem("CERTIFICATE", &[1, 2, 3]);
        let escaped = pem
            .replace('\n', "%0A")
            .replace(' ', "%20")
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        for (header, read) in [
            (escaped.as_str(), Some(vec![1, 2, 3])),
            (":AQID:", Some(vec![1, 2, 3])),
            (" :AQID:", None),
            (":AQID", None),
            ("::", None),
            ("AQID", None),
            ("%", None),
            ("%0", None),
            ("%GG", None),
            ("%0A", None),
            ("%ff%ff", None),
            ("é%0A", None),
            ("%é", None),
        ] {
            assert_eq!(of_header(header), read, "{header}");
        }
        assert_eq!(of_header(&format!(":{}:", "A".repeat(40_000))), None);
    }
}
