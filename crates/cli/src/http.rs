//! HTTP as this client does it: TLS unless on loopback, no redirects, limits on time and size.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use notme_authority::doors::{Answer as ApiAnswer, Ask};
use ureq::http::Uri;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Error, Proxy, ProxyProtocol};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// The longest answer that is read, in bytes.
const LONGEST_BODY: u64 = 1 << 20;
/// The longest list of what is revoked that is read, in bytes: it says much where much was taken back.
pub(crate) const LONGEST_LIST: u64 = 64 << 20;
/// How long an exchange may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A URL that a secret may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    uri: Uri,
    is_loopback: bool,
}

impl Url {
    /// Reads `https://…`, or `http://…` of this machine. The error goes on after a name for it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is no URL")?;
        let authority = uri.authority().ok_or("is no URL with a host")?;
        if authority.as_str().contains('@') {
            return Err("has a user name in it");
        }
        let is_loopback = is_loopback(authority.host());
        match uri.scheme_str() {
            Some("https") => Ok(Self { uri, is_loopback }),
            Some("http") if is_loopback => Ok(Self { uri, is_loopback }),
            Some("http") => Err("is http, and not on loopback: only https is safe there"),
            _ => Err("is neither https nor http"),
        }
    }

    /// Whether both are of the same scheme, host and port.
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        let origin = |url: &Self| {
            let https = url.uri.scheme_str() == Some("https");
            let host = url.uri.host().map(str::to_ascii_lowercase);
            (
                https,
                host,
                url.uri.port_u16().unwrap_or(if https { 443 } else { 80 }),
            )
        };
        origin(self) == origin(other)
    }

    fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback())
}

/// An answer, whatever its status.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Where a proxy may be named; the first that isn't empty counts.
const PROXY: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "HTTP_PROXY",
    "http_proxy",
];
/// Where hosts may be named that no proxy is for; the first that isn't empty counts.
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// Sends requests.
pub(crate) struct Client {
    direct: Agent,
    /// What goes through a proxy, if one is configured; or that it can't be used. Nothing is sent past it then:
    /// it may be there to keep an eye on what goes out.
    proxied: Option<Result<Agent, Failure>>,
    /// For what doesn't go through the proxy.
    exceptions: Option<Proxy>,
}

impl Client {
    pub(crate) fn new() -> Self {
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .timeout_global(Some(TIMEOUT))
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .user_agent(concat!("notme/", env!("CARGO_PKG_VERSION")))
        };
        // Whoever runs an authority inside a house has its CA in the machine's store, or in the file that
        // SSL_CERT_FILE names.
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .build();
        let agent = |proxy| -> Agent {
            let config = config().tls_config(tls.clone());
            config.proxy(proxy).build().into()
        };
        let proxied = first_of(&PROXY).map(|(name, value)| {
            value
                .to_str()
                .and_then(usable_proxy)
                .map(|proxy| agent(Some(proxy)))
                .ok_or_else(|| {
                    // Without the value: there may be a password in it.
                    let text = format!(
                        "the proxy that {name} names is none that can be used: http://HOST:PORT"
                    );
                    Failure::usage("proxy", text)
                })
        });
        let exceptions = first_of(&NO_PROXY).and_then(|(_, hosts)| {
            let hosts = hosts.to_string_lossy();
            let hosts = hosts.split([',', ' ']).filter(|host| !host.is_empty());
            let all = Proxy::builder(ProxyProtocol::Http);
            hosts.fold(all, ureq::ProxyBuilder::no_proxy).build().ok()
        });
        Self {
            direct: agent(None),
            proxied,
            exceptions,
        }
    }

    pub(crate) fn get(&self, url: &Url, bearer: Option<&str>) -> Result<Answer, Failure> {
        let mut request = self.agent(url)?.get(&url.uri).header("accept", "*/*");
        let header = bearer.map(|bearer| Zeroizing::new(format!("Bearer {bearer}")));
        if let Some(header) = &header {
            request = request.header("authorization", header.as_str());
        }
        read(url, request.call(), LONGEST_BODY)
    }

    /// The same for a list of what is revoked.
    pub(crate) fn get_list(&self, url: &Url) -> Result<Answer, Failure> {
        read(url, self.agent(url)?.get(&url.uri).call(), LONGEST_LIST)
    }

    /// Has an API asked what a door wants to know of it.
    pub(crate) fn ask(&self, ask: &Ask) -> Result<ApiAnswer, Failure> {
        let url = Url::parse(&ask.url);
        let url =
            url.map_err(|why| Failure::usage("api_url", format!("the URL of the API {why}")))?;
        let mut request = self.agent(&url)?.get(&url.uri);
        for (name, value) in &ask.headers {
            request = request.header(name.as_ref(), value);
        }
        let mut head = Vec::new();
        let response = request.call().inspect(|response| {
            let values = ask.wanted.iter().filter_map(|name| {
                let value = response.headers().get(name.as_ref())?.to_str().ok()?;
                Some((name.clone(), value.to_owned()))
            });
            head.extend(values);
        });
        let Answer { status, body } = read(&url, response, LONGEST_BODY)?;
        Ok(ApiAnswer {
            status,
            headers: head,
            body,
        })
    }

    pub(crate) fn post(
        &self,
        url: &Url,
        bearer: Option<&str>,
        json: &[u8],
    ) -> Result<Answer, Failure> {
        let request = self.agent(url)?.post(&url.uri);
        let mut request = request.header("content-type", "application/json");
        let header = bearer.map(|bearer| Zeroizing::new(format!("Bearer {bearer}")));
        if let Some(header) = &header {
            request = request.header("authorization", header.as_str());
        }
        read(url, request.send(json), LONGEST_BODY)
    }

    /// What is meant for this machine stays on it.
    fn agent(&self, url: &Url) -> Result<&Agent, Failure> {
        let is_exception = |proxy: &Proxy| proxy.is_no_proxy(&url.uri);
        match &self.proxied {
            Some(proxied)
                if !url.is_loopback && !self.exceptions.as_ref().is_some_and(is_exception) =>
            {
                proxied.as_ref().map_err(Failure::clone)
            }
            _ => Ok(&self.direct),
        }
    }
}

fn first_of(names: &[&'static str]) -> Option<(&'static str, OsString)> {
    names.iter().find_map(|name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty());
        value.map(|value| (*name, value))
    })
}

/// The library goes past a proxy that it doesn't speak with, so that it must not get one.
fn usable_proxy(text: &str) -> Option<Proxy> {
    let proxy = Proxy::new(text).ok()?;
    matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https).then_some(proxy)
}

fn read(
    url: &Url,
    result: Result<ureq::http::Response<ureq::Body>, Error>,
    longest: u64,
) -> Result<Answer, Failure> {
    let mut response = result.map_err(|error| unreachable_host(url, &error))?;
    let body = response
        .body_mut()
        .with_config()
        .limit(longest)
        .read_to_vec();
    Ok(Answer {
        status: response.status().as_u16(),
        body: body.map_err(|error| unreachable_host(url, &error))?,
    })
}

const NOT_TRUSTED: &str = "has no TLS certificate that this machine trusts (SSL_CERT_FILE can name one \
     to trust), or doesn't speak TLS";

/// Tells what happened in our words: those of a library may quote the request.
fn unreachable_host(url: &Url, error: &Error) -> Failure {
    let why = match error {
        Error::Timeout(_) => "did not answer in time".to_owned(),
        Error::HostNotFound => "is a name that nobody knows".to_owned(),
        Error::BodyExceedsLimit(limit) => format!("answered with more than {} MiB", limit >> 20),
        // So TLS reports what it doesn't like.
        Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            NOT_TRUSTED.to_owned()
        }
        Error::Tls(_) | Error::Rustls(_) => NOT_TRUSTED.to_owned(),
        Error::Io(error) => format!("can't be reached: {}", error.kind()),
        _ => "can't be reached".to_owned(),
    };
    Failure::unavailable("unreachable", format!("{} {why}", url.host()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_this_machine_only() {
        for text in [
            "https://id.example",
            "http://localhost:8788",
            "http://127.0.0.9",
            "http://[::1]:1/x",
            "http://LOCALHOST",
        ] {
            assert!(Url::parse(text).is_ok(), "{text}");
        }
        for text in [
            "http://id.example",
            "http://localhost.example",
            "http://127.0.0.1.example",
            "http://localhost@id.example",
            "https://user@id.example",
            "http://10.0.0.1",
            "ftp://localhost",
            "localhost:8788",
            "/x",
            "",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_http_proxies_are_used() {
        for text in [
            "http://p.example:3128",
            "https://u:p@p.example",
            "p.example:3128",
        ] {
            assert!(usable_proxy(text).is_some(), "{text}");
        }
        for text in [
            "socks5://p.example",
            "socks://p",
            "socks4a://p",
            "ftp://p",
            "http://",
            " ",
            "/p",
        ] {
            assert!(usable_proxy(text).is_none(), "{text}");
        }
    }

    #[test]
    fn origins_are_compared_as_a_whole() {
        let url = |text| Url::parse(text).unwrap();
        let one = url("https://id.example/a");
        for text in ["https://id.example:443/b", "https://ID.example"] {
            assert!(one.has_origin_of(&url(text)), "{text}");
        }
        for text in [
            "https://id.example:8443",
            "https://x.id.example",
            "https://id.example.org",
        ] {
            assert!(!one.has_origin_of(&url(text)), "{text}");
        }
        assert!(!url("http://localhost").has_origin_of(&url("https://localhost")));
    }
}
