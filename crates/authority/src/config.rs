//! Configuration: read from named variables, checked whole before anything is served.
//!
//! `wrangler.toml.example` documents each variable for the operator.

use std::fmt;

use notme_webauthn::RelyingParty;
use sha2::{Digest, Sha256};

use crate::doors::rows::Rows;
use crate::limits::RateLimits;
use crate::people::bootstrap::BootstrapCode;
use crate::people::federation::ClientSecret;
use crate::people::mint::Naming;
use crate::policy::PatternList;
use crate::sealing::{Kek, KekError, is_weak};
use crate::tokens::TokenRules;
use crate::tokens::client::Client;
use crate::url::BaseUrl;

/// Every variable there is. Hosts read these and no others.
pub const VARIABLES: [&str; 38] = [
    "ALLOWED_AUDIENCES",
    "BOOTSTRAP_CODE",
    "BUILD_SHA",
    "CORS_ALLOWED_ORIGINS",
    "DPOP_REQUIRE_NONCE",
    "GHA_ALLOWED_ENVIRONMENTS",
    "GHA_ALLOWED_EVENTS",
    "GHA_ALLOWED_OWNERS",
    "GHA_ALLOWED_OWNER_IDS",
    "GHA_ALLOWED_REFS",
    "GHA_ALLOWED_REPOSITORIES",
    "GHA_ALLOWED_WORKFLOWS",
    "GHA_ALLOW_PULL_REQUEST",
    "GHA_CERT_AUDIENCE",
    "GHA_CERT_TTL_MS",
    "GHA_ISSUER",
    "GITHUB_API_URL",
    "ID_TOKEN_SIGNING_ALGS",
    "JTI_MIN_TTL_SECONDS",
    "LEGACY_IDENTITY_SAN",
    "MTLS_CERTIFICATE_HEADER",
    "MTLS_PROXY_SECRET",
    "MTLS_PROXY_SECRET_HEADER",
    "NOTME_ALLOW_URL_CHANGE",
    "NOTME_KEK_SECRET",
    "NOTME_KEK_SECRET_PREVIOUS",
    "NOTME_KEY_STORAGE",
    "NOTME_LOG_LEVEL",
    "NOTME_RATE_LIMITS",
    "NOTME_SOURCE_HEADER",
    "OAUTH_CLIENTS",
    "OIDC_CLIENT_SECRETS",
    "REGISTRATION",
    "SIGNET_AUTHORITY_URL",
    "SITE_URL",
    "TRUSTED_ISSUERS",
    "WEBAUTHN_ORIGINS",
    "WEBAUTHN_RP_ID",
];

/// GitHub's issuer of job tokens.
pub const GITHUB_ISSUER: &str = "https://token.actions.githubusercontent.com";
/// What GitHub's clients of this protocol ask tokens for.
const DEFAULT_AUDIENCE: &str = "notme.bot";
/// Where GitHub's own API is.
const GITHUB_API: &str = "https://api.github.com";
/// Where Cloudflare says who calls; a caller can't set it there.
const DEFAULT_SOURCE_HEADER: &str = "cf-connecting-ip";
/// Lifetime of a pair in milliseconds: the default, and the longest. Every bound that we publish
/// rests on it.
const MAX_TTL_MILLIS: u64 = crate::MAX_LEAF_SECS * 1000;

/// A variable that can't be used: its name, and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The variable.
    pub variable: &'static str,
    /// What is wrong and what to do. Never the value.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.variable, self.problem)
    }
}

/// Where the CA's private key rests (notme protocol §15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyStorage {
    /// In clear in the object's storage; the platform encrypts its disks.
    CfManaged,
    /// Sealed with a key derived from the operator's secret.
    Encrypted {
        /// Seals and opens.
        current: Kek,
        /// Opens what was sealed before the secret was changed.
        previous: Option<Kek>,
    },
    /// Nowhere: in memory only.
    Ephemeral,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Faults.
    Error,
    /// And what an operator should know.
    Warn,
    /// And one line per refused or issued credential.
    #[default]
    Info,
    /// And one line per request.
    Debug,
}

impl LogLevel {
    /// The level's name in log lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Who may come in through `/cert/gha`. Deny by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GhaConfig {
    /// `iss` of the tokens, compared exactly.
    pub issuer: String,
    /// The same as a URL, to find its discovery document.
    pub issuer_url: BaseUrl,
    /// Required in `aud`.
    pub audience: String,
    /// Lifetime of a pair, in seconds.
    pub ttl_secs: u64,
    /// The least time that a used token is remembered, in seconds.
    pub min_replay_secs: u64,
    /// Owners by id; if there are any, they alone decide.
    pub owner_ids: PatternList,
    /// Owners by name.
    pub owners: PatternList,
    /// Repositories as `owner/name`; empty allows all of an allowed owner.
    pub repositories: PatternList,
    /// Refs; empty allows all.
    pub refs: PatternList,
    /// `job_workflow_ref`; empty allows all.
    pub workflows: PatternList,
    /// Environments; empty allows all and none.
    pub environments: PatternList,
    /// Events; empty allows all but those of pull requests.
    pub events: PatternList,
    /// Whether `pull_request` and `pull_request_target` are allowed at all.
    pub allow_pull_request: bool,
}

/// A proxy that terminates TLS and tells which certificate its client has. Its headers count with its secret alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MtlsProxy {
    /// What only it and we know.
    pub secret: ProxySecret,
    /// The header with the secret, in lower case.
    pub secret_header: String,
    /// The header with the certificate, in lower case.
    pub certificate_header: String,
}

/// A secret that is shared with a proxy: only its hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxySecret([u8; 32]);

impl fmt::Debug for ProxySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProxySecret(…)")
    }
}

impl ProxySecret {
    fn of(text: &str) -> Self {
        let hash = Sha256::new_with_prefix("notme-proxy-secret-v1");
        Self(hash.chain_update(text).finalize().into())
    }

    /// Whether this is it. Hashes are compared, so the time that it takes says nothing about the secret.
    #[must_use]
    pub fn is(&self, presented: &str) -> bool {
        *self == Self::of(presented)
    }
}

/// The whole configuration of an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where the authority is reached.
    pub authority_url: BaseUrl,
    /// The site it belongs to; its host is the trust domain.
    pub site_url: BaseUrl,
    /// The door for CI jobs.
    pub gha: GhaConfig,
    /// Whom the doors let in.
    pub rows: Rows,
    /// The same as they were written; empty if there are none.
    pub rows_json: String,
    /// What issuers gave us beside a client id, for people who sign in there.
    pub client_secrets: Vec<ClientSecret>,
    /// GitHub's API.
    pub github_api: BaseUrl,
    /// The proxy that terminates TLS, if one is trusted to tell of client certificates.
    pub mtls_proxy: Option<MtlsProxy>,
    /// What is said about access tokens.
    pub tokens: TokenRules,
    /// Origins that browsers may call from.
    pub cors_origins: Vec<String>,
    /// `id_token_signing_alg_values_supported`.
    pub id_token_algs: Vec<String>,
    /// Where the CA key rests.
    pub key_storage: KeyStorage,
    /// As passkeys know it; `None` if it has an address and no name, which passkeys can't have.
    pub relying_party: Option<RelyingParty>,
    /// The operator's one-time code.
    pub bootstrap_code: Option<BootstrapCode>,
    /// Whether anybody may register without an invite.
    pub registration_open: bool,
    /// The header that tells where a request comes from, in lower case; `None` if none is to be
    /// believed.
    pub source_header: Option<String>,
    /// How often is too often.
    pub rate_limits: RateLimits,
    /// Whether the URIs of pairs are those of before.
    pub legacy_identity: bool,
    /// Whether a state made for another authority URL may be taken over.
    pub allow_url_change: bool,
    /// The commit this was built from: 40 lower-case hex digits.
    pub build_sha: Option<String>,
    /// How much is logged.
    pub log_level: LogLevel,
}

impl Config {
    /// Reads the configuration; `lookup` gives the value of a variable if it is set. Blank values
    /// count as unset.
    ///
    /// # Errors
    /// Every [`ConfigError`] there is, so that an operator can mend them in one go.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader {
            lookup,
            errors: Vec::new(),
        };
        let config = reader.config();
        match config {
            Some(config) if reader.errors.is_empty() => Ok(config),
            _ => Err(reader.errors),
        }
    }

    /// Whether a variable's name looks like one of ours and is none: a misspelt rule would be a rule
    /// that isn't there.
    #[must_use]
    pub fn is_misspelt(name: &str) -> bool {
        let is_ours = ["DPOP_", "GHA_", "MTLS_", "NOTME_", "OIDC_", "SIGNET_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        is_ours && !VARIABLES.contains(&name)
    }

    /// The trust domain: host and port of the site.
    #[must_use]
    pub fn trust_domain(&self) -> String {
        self.site_url.host()
    }

    /// What pairs call principals.
    #[must_use]
    pub fn naming(&self) -> Naming {
        Naming {
            trust_domain: self.trust_domain(),
            is_legacy: self.legacy_identity,
        }
    }

    /// What an operator should know about this configuration though it can be used.
    #[must_use]
    pub fn warnings(&self) -> Vec<&'static str> {
        let mut warnings = Vec::new();
        if self.key_storage == KeyStorage::CfManaged {
            warnings.push(
                "the CA key rests unencrypted in the object's storage; set NOTME_KEK_SECRET to seal it",
            );
        }
        if self.gha.owners.is_empty() && self.gha.owner_ids.is_empty() {
            warnings.push("GHA_ALLOWED_OWNERS and GHA_ALLOWED_OWNER_IDS are empty: /cert/gha refuses everybody");
        }
        warnings
    }
}

struct Reader<F> {
    lookup: F,
    errors: Vec<ConfigError>,
}

impl<F: Fn(&str) -> Option<String>> Reader<F> {
    fn config(&mut self) -> Option<Config> {
        let authority_url = self.url("SIGNET_AUTHORITY_URL");
        if authority_url.is_none() && self.text("SIGNET_AUTHORITY_URL").is_none() {
            self.error(
                "SIGNET_AUTHORITY_URL",
                "must be set to the URL that callers use, for example https://auth.example.com",
            );
        }
        let site_url = self.url("SITE_URL").or_else(|| authority_url.clone());
        let gha = self.gha();
        let rows_json = self.text("TRUSTED_ISSUERS").unwrap_or_default();
        let rows = self.rows("TRUSTED_ISSUERS", Rows::read_all);
        let client_secrets = self.rows("OIDC_CLIENT_SECRETS", ClientSecret::read_all);
        let github_api = self.url("GITHUB_API_URL");
        let github_api = github_api.or_else(|| BaseUrl::parse(GITHUB_API).ok());
        let mtls_proxy = self.mtls_proxy();
        let audiences = self.audiences();
        let clients = self.rows("OAUTH_CLIENTS", Client::read_all);
        let requires_nonce = self.switch("DPOP_REQUIRE_NONCE");
        let cors_origins = self.origins("CORS_ALLOWED_ORIGINS");
        let key_storage = self.key_storage();
        let allow_url_change = self.switch("NOTME_ALLOW_URL_CHANGE");
        let build_sha = self.text("BUILD_SHA").filter(|sha| {
            sha.len() == 40 && sha.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
        });
        let log_level = self.log_level();
        let bootstrap_code = self.bootstrap_code();
        let registration_open = self.registration();
        let source_header = self.source_header();
        let rate_limits = self.rate_limits();
        let legacy_identity = self.switch("LEGACY_IDENTITY_SAN");
        let algs = self
            .text("ID_TOKEN_SIGNING_ALGS")
            .unwrap_or_else(|| "EdDSA".into());
        let authority_url = authority_url?;
        let relying_party = self.relying_party(&authority_url);
        Some(Config {
            cors_origins: cors_origins.unwrap_or_else(|| vec![authority_url.origin()]),
            site_url: site_url?,
            gha: gha?,
            rows,
            rows_json,
            client_secrets,
            github_api: github_api?,
            mtls_proxy,
            tokens: TokenRules {
                issuer: authority_url.to_string(),
                audiences: audiences.unwrap_or_else(|| vec![authority_url.origin()]),
                clients,
                requires_nonce,
            },
            id_token_algs: csv(&algs),
            key_storage: key_storage?,
            relying_party,
            bootstrap_code,
            registration_open,
            source_header,
            rate_limits,
            legacy_identity,
            allow_url_change,
            build_sha,
            log_level,
            authority_url,
        })
    }

    fn text(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable)
            .map(|value| value.trim().to_owned())
            .filter(|v| !v.is_empty())
    }

    fn error(&mut self, variable: &'static str, problem: impl Into<String>) {
        self.errors.push(ConfigError {
            variable,
            problem: problem.into(),
        });
    }

    fn url(&mut self, variable: &'static str) -> Option<BaseUrl> {
        let text = self.text(variable)?;
        match BaseUrl::parse(&text) {
            Ok(url) => Some(url),
            Err(error) => {
                self.error(variable, error.0);
                None
            }
        }
    }

    fn origins(&mut self, variable: &'static str) -> Option<Vec<String>> {
        let text = self.text(variable)?;
        let mut origins = Vec::new();
        for entry in csv(&text) {
            match BaseUrl::parse(&entry) {
                Ok(url) if url.path().is_empty() => origins.push(url.origin()),
                _ => self.error(
                    variable,
                    "must list origins such as https://app.example.com, separated by commas",
                ),
            }
        }
        Some(origins)
    }

    fn switch(&mut self, variable: &'static str) -> bool {
        match self
            .text(variable)
            .map(|text| text.to_ascii_lowercase())
            .as_deref()
        {
            None | Some("off" | "0" | "false" | "no") => false,
            Some("on" | "1" | "true" | "yes") => true,
            Some(_) => {
                self.error(variable, "must be on or off");
                false
            }
        }
    }

    fn integer(
        &mut self,
        variable: &'static str,
        default: u64,
        range: std::ops::RangeInclusive<u64>,
    ) -> u64 {
        match self.text(variable).map(|text| text.parse()) {
            None => default,
            Some(Ok(value)) if range.contains(&value) => value,
            Some(_) => {
                let (least, most) = range.into_inner();
                self.error(
                    variable,
                    format!("must be a whole number from {least} to {most}"),
                );
                default
            }
        }
    }

    fn log_level(&mut self) -> LogLevel {
        match self.text("NOTME_LOG_LEVEL").as_deref() {
            None | Some("info") => LogLevel::Info,
            Some("error") => LogLevel::Error,
            Some("warn") => LogLevel::Warn,
            Some("debug") => LogLevel::Debug,
            Some(_) => {
                self.error("NOTME_LOG_LEVEL", "must be error, warn, info or debug");
                LogLevel::Info
            }
        }
    }

    fn bootstrap_code(&mut self) -> Option<BootstrapCode> {
        let text = self.text("BOOTSTRAP_CODE")?;
        let code = BootstrapCode::configured(&text);
        if code.is_none() {
            self.error(
                "BOOTSTRAP_CODE",
                "is too short: give at least 16 characters of randomness, for example the output of `openssl rand -hex 16`",
            );
        }
        code
    }

    fn registration(&mut self) -> bool {
        match self.text("REGISTRATION").as_deref() {
            None | Some("closed") => false,
            Some("open") => true,
            Some(_) => {
                self.error("REGISTRATION", "must be open or closed");
                false
            }
        }
    }

    fn rate_limits(&mut self) -> RateLimits {
        let text = self.text("NOTME_RATE_LIMITS");
        let limits = text.map(|text| RateLimits::parse(&text)).transpose();
        limits
            .map(Option::unwrap_or_default)
            .unwrap_or_else(|problem| {
                self.error("NOTME_RATE_LIMITS", problem);
                RateLimits::default()
            })
    }

    fn source_header(&mut self) -> Option<String> {
        match self.text("NOTME_SOURCE_HEADER") {
            None => Some(DEFAULT_SOURCE_HEADER.into()),
            Some(name) if name == "none" => None,
            Some(name) if is_header(&name) => Some(name.to_ascii_lowercase()),
            Some(_) => {
                self.error(
                    "NOTME_SOURCE_HEADER",
                    "must be the name of a header, or none",
                );
                None
            }
        }
    }

    fn mtls_proxy(&mut self) -> Option<MtlsProxy> {
        let secret_header = self.header("MTLS_PROXY_SECRET_HEADER", "mtls-proxy-secret");
        let certificate_header = self.header("MTLS_CERTIFICATE_HEADER", "client-cert");
        if secret_header == certificate_header {
            self.error(
                "MTLS_PROXY_SECRET_HEADER",
                "must be another header than MTLS_CERTIFICATE_HEADER",
            );
        }
        let secret = self.text("MTLS_PROXY_SECRET")?;
        if is_weak(&secret) {
            self.error(
                "MTLS_PROXY_SECRET",
                "is too weak: give at least 32 characters of randomness, for example the output of `openssl rand -hex 32`",
            );
        }
        Some(MtlsProxy {
            secret: ProxySecret::of(&secret),
            secret_header,
            certificate_header,
        })
    }

    fn header(&mut self, variable: &'static str, default: &str) -> String {
        let name = self.text(variable).unwrap_or_else(|| default.to_owned());
        if !is_header(&name) {
            self.error(variable, "must be the name of a header");
        }
        name.to_ascii_lowercase()
    }

    fn relying_party(&mut self, authority_url: &BaseUrl) -> Option<RelyingParty> {
        let id = self.text("WEBAUTHN_RP_ID");
        let origins = self.origins("WEBAUTHN_ORIGINS");
        let is_chosen = id.is_some() || origins.is_some();
        let host = authority_url.host();
        let name = host
            .rsplit_once(':')
            .map_or(host.as_str(), |(name, _)| name);
        let id = id.unwrap_or_else(|| name.to_owned());
        let origins = origins.unwrap_or_else(|| vec![authority_url.origin()]);
        match RelyingParty::new(&id, origins.iter().map(String::as_str)) {
            Ok(party) => Some(party),
            Err(error) => {
                if is_chosen {
                    self.error(
                        "WEBAUTHN_RP_ID",
                        format!("can't be used with these WEBAUTHN_ORIGINS: {error}"),
                    );
                }
                None
            }
        }
    }

    fn gha(&mut self) -> Option<GhaConfig> {
        let issuer = self
            .text("GHA_ISSUER")
            .unwrap_or_else(|| GITHUB_ISSUER.into());
        let issuer_url = match BaseUrl::parse(&issuer) {
            Ok(url) => Some(url),
            Err(error) => {
                self.error("GHA_ISSUER", error.0);
                None
            }
        };
        let ttl_millis = self.integer("GHA_CERT_TTL_MS", MAX_TTL_MILLIS, 1000..=MAX_TTL_MILLIS);
        let min_replay_secs = self.integer("JTI_MIN_TTL_SECONDS", 60, 1..=86_400);
        let allow_pull_request = self.switch("GHA_ALLOW_PULL_REQUEST");
        let owner_ids = self.list("GHA_ALLOWED_OWNER_IDS", PatternList::parse);
        let owners = self.list("GHA_ALLOWED_OWNERS", PatternList::parse_ignoring_case);
        // A pattern here would let in whoever registers a name that matches.
        self.require("GHA_ALLOWED_OWNER_IDS", "must list numbers", |c| {
            c.is_ascii_digit()
        });
        self.require("GHA_ALLOWED_OWNERS", "must list names, not patterns", |c| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
        });
        let repositories = self.list("GHA_ALLOWED_REPOSITORIES", PatternList::parse_ignoring_case);
        let refs = self.list("GHA_ALLOWED_REFS", PatternList::parse);
        let workflows = self.list("GHA_ALLOWED_WORKFLOWS", PatternList::parse);
        let environments = self.list("GHA_ALLOWED_ENVIRONMENTS", PatternList::parse);
        let events = self.list("GHA_ALLOWED_EVENTS", PatternList::parse);
        Some(GhaConfig {
            issuer_url: issuer_url?,
            issuer,
            audience: self
                .text("GHA_CERT_AUDIENCE")
                .unwrap_or_else(|| DEFAULT_AUDIENCE.into()),
            ttl_secs: ttl_millis / 1000,
            min_replay_secs,
            owner_ids,
            owners,
            repositories,
            refs,
            workflows,
            environments,
            events,
            allow_pull_request,
        })
    }

    fn rows<T: Default>(
        &mut self,
        variable: &'static str,
        read: fn(&str) -> Result<T, Vec<String>>,
    ) -> T {
        let Some(rows) = self.text(variable) else {
            return T::default();
        };
        read(&rows).unwrap_or_else(|problems| {
            for problem in problems {
                self.error(variable, problem);
            }
            T::default()
        })
    }

    /// Whom tokens may be for.
    fn audiences(&mut self) -> Option<Vec<String>> {
        let variable = "ALLOWED_AUDIENCES";
        let audiences = csv(&self.text(variable)?);
        let is_name =
            |text: &String| text.len() <= 512 && text.bytes().all(|b| b.is_ascii_graphic());
        if audiences.is_empty() || !audiences.iter().all(is_name) {
            self.error(
                variable,
                "must list names such as https://api.example.com, separated by commas",
            );
        }
        Some(audiences)
    }

    /// A list that is set has an entry: one that lost them all (a template with empty parts, say)
    /// would allow what it was meant to forbid.
    fn list(&mut self, variable: &'static str, parse: fn(&str) -> PatternList) -> PatternList {
        let Some(text) = self.text(variable) else {
            return PatternList::default();
        };
        let list = parse(&text);
        if list.is_empty() {
            self.error(
                variable,
                "has separators and no entry: give it one, or leave it out",
            );
        }
        list
    }

    /// Every character of every entry of a list must be permitted.
    fn require(&mut self, variable: &'static str, problem: &str, permitted: fn(char) -> bool) {
        let text = self.text(variable).unwrap_or_default();
        if !csv(&text).iter().all(|entry| entry.chars().all(permitted)) {
            self.error(variable, problem);
        }
    }

    fn kek(&mut self, variable: &'static str) -> Option<Option<Kek>> {
        let Some(secret) = self.text(variable) else {
            return Some(None);
        };
        match Kek::from_secret(&secret) {
            Ok(kek) => Some(Some(kek)),
            Err(KekError::Weak) => {
                self.error(
                    variable,
                    "is too weak: give at least 32 characters of randomness, for example the output of `openssl rand -base64 32`",
                );
                None
            }
        }
    }

    fn key_storage(&mut self) -> Option<KeyStorage> {
        let current = self.kek("NOTME_KEK_SECRET")?;
        let previous = self.kek("NOTME_KEK_SECRET_PREVIOUS")?;
        match (self.text("NOTME_KEY_STORAGE").as_deref(), current) {
            (None | Some("encrypted"), Some(current)) => {
                Some(KeyStorage::Encrypted { current, previous })
            }
            (Some("encrypted"), None) => {
                self.error(
                    "NOTME_KEK_SECRET",
                    "is required by NOTME_KEY_STORAGE=encrypted: give at least 32 characters of randomness, for example the output of `openssl rand -base64 32`",
                );
                None
            }
            (None | Some("cf-managed"), _) => Some(KeyStorage::CfManaged),
            (Some("ephemeral"), _) => Some(KeyStorage::Ephemeral),
            (Some(_), _) => {
                self.error(
                    "NOTME_KEY_STORAGE",
                    "must be encrypted, ephemeral or cf-managed",
                );
                None
            }
        }
    }
}

fn is_header(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn csv(text: &str) -> Vec<String> {
    text.split(',')
        .map(|entry| entry.trim().to_owned())
        .filter(|e| !e.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdefghijklmnopqrstuv";

    fn read(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let lookup = |name: &str| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Config::read(lookup).map_err(|errors| errors.iter().map(ToString::to_string).collect())
    }

    fn with(name: &str, value: &str) -> Result<Config, Vec<String>> {
        read(&[
            ("SIGNET_AUTHORITY_URL", "https://auth.example.com"),
            (name, value),
        ])
    }

    #[test]
    fn defaults_derive_from_the_authority_url() {
        let config = read(&[("SIGNET_AUTHORITY_URL", "https://auth.example.com/id/")]).unwrap();
        assert_eq!(config.trust_domain(), "auth.example.com");
        assert_eq!(config.cors_origins, ["https://auth.example.com"]);
        assert_eq!(
            config.gha.issuer,
            "https://token.actions.githubusercontent.com"
        );
        assert_eq!(config.gha.audience, "notme.bot");
        assert_eq!(config.gha.ttl_secs, 300);
        assert_eq!(config.key_storage, KeyStorage::CfManaged);
        assert!(!config.gha.owners.matches("acme"));
        assert_eq!(config.warnings().len(), 2);
    }

    #[test]
    fn nothing_at_all_is_an_error_that_says_what_to_do() {
        let errors = read(&[]).unwrap_err();
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].starts_with("SIGNET_AUTHORITY_URL must be set"),
            "{errors:?}"
        );
    }

    #[test]
    fn all_mistakes_are_reported_together() {
        let errors = read(&[
            ("SIGNET_AUTHORITY_URL", "http://auth.example.com"),
            ("SITE_URL", "nonsense"),
            ("GHA_ISSUER", "ftp://x"),
            ("GHA_CERT_TTL_MS", "300001"),
            ("GHA_ALLOW_PULL_REQUEST", "maybe"),
            ("JTI_MIN_TTL_SECONDS", "-1"),
            ("CORS_ALLOWED_ORIGINS", "https://a.example/path"),
            ("NOTME_KEY_STORAGE", "disk"),
            ("NOTME_LOG_LEVEL", "loud"),
        ])
        .unwrap_err();
        assert_eq!(errors.len(), 9, "{errors:#?}");
    }

    #[test]
    fn a_list_that_lost_its_entries_is_an_error() {
        for list in [
            "GHA_ALLOWED_OWNER_IDS",
            "GHA_ALLOWED_REFS",
            "GHA_ALLOWED_EVENTS",
        ] {
            assert!(with(list, " , ,").is_err(), "{list}");
            assert!(with(list, "").is_ok(), "{list}");
        }
    }

    #[test]
    fn tokens_are_for_this_authority_unless_it_says_otherwise() {
        let tokens = |name, value| with(name, value).map(|config| config.tokens);
        let default = tokens("SITE_URL", "https://example.com").unwrap();
        assert_eq!(default.issuer, "https://auth.example.com");
        assert_eq!(default.audiences, ["https://auth.example.com"]);
        assert!(default.clients.is_empty() && !default.requires_nonce);
        let listed = tokens("ALLOWED_AUDIENCES", "https://a.example/, urn:b").unwrap();
        assert_eq!(listed.audiences, ["https://a.example/", "urn:b"]);
        let long = "a".repeat(513);
        for wrong in [" , ", "a b", "é", &long] {
            assert!(tokens("ALLOWED_AUDIENCES", wrong).is_err(), "{wrong}");
        }
        assert!(tokens("DPOP_REQUIRE_NONCE", "1").unwrap().requires_nonce);
        assert!(tokens("DPOP_REQUIRE_NONCE", "maybe").is_err());
        assert!(tokens("OAUTH_CLIENTS", "{}").is_err());
    }

    #[test]
    fn owners_are_names_and_numbers_and_no_patterns() {
        for (variable, value, is_good) in [
            ("GHA_ALLOWED_OWNERS", "acme, Octo-Org, short_name", true),
            ("GHA_ALLOWED_OWNERS", "*", false),
            ("GHA_ALLOWED_OWNERS", "acme*", false),
            ("GHA_ALLOWED_OWNERS", "acme/app", false),
            ("GHA_ALLOWED_OWNER_IDS", "1, 22", true),
            ("GHA_ALLOWED_OWNER_IDS", "*", false),
            ("GHA_ALLOWED_OWNER_IDS", "acme", false),
        ] {
            assert_eq!(with(variable, value).is_ok(), is_good, "{variable}={value}");
        }
    }

    #[test]
    fn names_that_only_look_like_ours_are_noticed() {
        for name in ["GHA_ALLOWED_REF", "NOTME_KEK", "SIGNET_URL", "DPOP_NONCE"] {
            assert!(Config::is_misspelt(name), "{name}");
        }
        for name in [
            "GHA_ALLOWED_REFS",
            "SITE_URL",
            "MY_OWN",
            "SIGNING_AUTHORITY",
        ] {
            assert!(!Config::is_misspelt(name), "{name}");
        }
    }

    #[test]
    fn the_kek_secret_is_required_long_and_varied() {
        assert!(matches!(
            with("NOTME_KEK_SECRET", SECRET).unwrap().key_storage,
            KeyStorage::Encrypted { .. }
        ));
        assert!(with("NOTME_KEY_STORAGE", "encrypted").is_err());
        for weak in [
            "short",
            &SECRET[1..],
            &"a".repeat(64),
            &format!("{}   ", &SECRET[3..]),
        ] {
            let errors = with("NOTME_KEK_SECRET", weak).unwrap_err();
            assert!(errors[0].contains("too weak"), "{errors:?}");
            assert!(!errors[0].contains(weak));
        }
    }

    #[test]
    fn a_proxy_is_known_by_a_secret_that_nobody_guesses() {
        let proxy = |secret| with("MTLS_PROXY_SECRET", secret).map(|config| config.mtls_proxy);
        assert_eq!(proxy(""), Ok(None));
        let ours = proxy(SECRET).unwrap().unwrap();
        assert!(ours.secret.is(SECRET));
        for other in [
            "",
            &SECRET[1..],
            &format!("{SECRET} "),
            &SECRET.to_uppercase(),
        ] {
            assert!(!ours.secret.is(other), "{other}");
        }
        assert!(!format!("{ours:?}").contains(SECRET));
        for weak in ["short", &SECRET[1..], &"a".repeat(64)] {
            let errors = with("MTLS_PROXY_SECRET", weak).unwrap_err();
            assert!(errors[0].contains("too weak") && !errors[0].contains(weak));
        }
        for name in ["client cert", "a:b", "x_y"] {
            assert!(with("MTLS_CERTIFICATE_HEADER", name).is_err(), "{name}");
        }
        assert!(with("MTLS_CERTIFICATE_HEADER", "MTLS-Proxy-Secret").is_err());
    }

    #[test]
    fn an_explicit_mode_wins_over_a_secret_that_lies_about() {
        let config = read(&[
            ("SIGNET_AUTHORITY_URL", "https://auth.example.com"),
            ("NOTME_KEY_STORAGE", "ephemeral"),
            ("NOTME_KEK_SECRET", SECRET),
        ]);
        assert_eq!(config.unwrap().key_storage, KeyStorage::Ephemeral);
    }

    #[test]
    fn variables_that_are_read_are_those_that_are_listed() {
        let asked = std::cell::RefCell::new(std::collections::BTreeSet::new());
        let _ = Config::read(|name| {
            asked.borrow_mut().insert(name.to_owned());
            (name == "SIGNET_AUTHORITY_URL").then(|| "https://auth.example.com".into())
        });
        assert_eq!(asked.into_inner(), VARIABLES.map(String::from).into());
    }
}
