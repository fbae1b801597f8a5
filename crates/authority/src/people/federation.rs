//! Signing in at an issuer from our pages: where browsers are sent, and what the code is worth with which they come back
//! (OpenID Connect Core §3.1, RFC 7636).
//!
//! A browser carries codes and no tokens: the token is fetched by us, and goes through its door like any other. That
//! whoever brings the code is who began, its verifier says, and the token's `nonce` once more.

use std::fmt;

use notme_jose::CompactJws;
use notme_keys::{decode_base64url, encode_base64};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::body::{object, text};
use super::challenge::nonce;
use crate::config::Config;
use crate::doors::issuer::{Kind, SignIn, TrustedIssuer};
use crate::doors::oidc::MAX_TOKEN_LEN;
use crate::doors::rows::Rows;
use crate::doors::{Answer, Ask};
use crate::issuer_keys::Endpoints;
use crate::rows::{Row, each};
use crate::url::encode_component;
use crate::{Error, Fault};

/// The page that issuers send people back to, under the authority's URL. Each client has its own: what an issuer is made
/// to answer to another one's question comes back where nobody waits for it (RFC 9700 §4.4.2.2).
pub const CALLBACK: &str = "/auth/oidc/callback/{client}";

/// What a client's page is called by: 16 bytes of a hash, in hex.
fn callback(config: &Config, named: &Client) -> String {
    let mut hash = Sha256::new_with_prefix("notme-callback-v1");
    for part in [&named.issuer, &named.client_id] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let hash = hash.finalize();
    let client = hash.get(..16).map(hex::encode).unwrap_or_default();
    format!(
        "{}{}",
        config.authority_url,
        CALLBACK.replace("{client}", &client)
    )
}

/// What a token endpoint may say (RFC 6749 §5.2, and one that many say). Nothing else of it is repeated: it knows our secret.
const ERRORS: [&str; 7] = [
    "invalid_client",
    "invalid_grant",
    "invalid_request",
    "invalid_scope",
    "redirect_uri_mismatch",
    "unauthorized_client",
    "unsupported_grant_type",
];

/// What an issuer knows us as, beside a secret if it gave us one.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret {
    issuer: String,
    client_id: String,
    secret: String,
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(…)")
    }
}

impl ClientSecret {
    /// Reads `OIDC_CLIENT_SECRETS`: a JSON array of `{issuer, client_id, client_secret}`.
    ///
    /// # Errors
    /// Sentences for the operator, each about one row. They don't repeat values.
    pub fn read_all(json: &str) -> Result<Vec<Self>, Vec<String>> {
        let mut secrets: Vec<Self> = Vec::new();
        each(json, &mut |row| {
            let row = Row::new(row, "a secret", &["client_id", "client_secret", "issuer"])?;
            let required = |name| row.required(name).map(str::to_owned);
            let secret = Self {
                issuer: required("issuer")?,
                client_id: required("client_id")?,
                secret: required("client_secret")?,
            };
            if (secrets.iter()).any(|other| other.is_for(&secret.issuer, &secret.client_id)) {
                return Err("an earlier row is for the same issuer and client_id".into());
            }
            secrets.push(secret);
            Ok(())
        })?;
        Ok(secrets)
    }

    fn is_for(&self, issuer: &str, client_id: &str) -> bool {
        self.issuer == issuer && self.client_id == client_id
    }
}

/// An issuer, and what that knows us as.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Client {
    issuer: String,
    client_id: String,
}

impl Client {
    fn read(members: &Value) -> Result<Self, Error> {
        let required = |name| match text(members.get(name), name)? {
            Some(text) => Ok(text.to_owned()),
            None => Err(Error::InvalidMember(name)),
        };
        Ok(Self {
            issuer: required("issuer")?,
            client_id: required("client_id")?,
        })
    }

    /// Whether a row is of this client.
    fn is(&self, row: &TrustedIssuer) -> bool {
        row.kind == Kind::Oidc
            && row.is_for_people
            && row.issuer == self.issuer
            && row.audience == self.client_id
    }

    /// Its row, which alone may name an issuer to ask.
    fn row<'a>(&self, rows: &'a Rows) -> Result<(&'a TrustedIssuer, &'a SignIn), Error> {
        let mut rows = rows.issuers.iter().filter(|row| self.is(row));
        rows.find_map(|row| Some((row, row.sign_in.as_ref()?)))
            .ok_or(Error::InvalidMember("issuer"))
    }
}

/// A wish to be sent to an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    client: Client,
    code_challenge: String,
}

impl Departure {
    /// Reads `{issuer, client_id, code_challenge}`; nothing, where no issuer is named: then the client asks it itself.
    ///
    /// # Errors
    /// [`Error::InvalidJson`] and [`Error::InvalidMember`].
    pub fn parse(body: &[u8]) -> Result<Option<Self>, Error> {
        if body.trim_ascii().is_empty() {
            return Ok(None);
        }
        let members: Value = object(body)?;
        if members.get("issuer").is_none_or(Value::is_null) {
            return Ok(None);
        }
        // RFC 7636 §4.2: base64url of a SHA-256.
        let challenge = text(members.get("code_challenge"), "code_challenge")?;
        let is_digest = |text: &&str| decode_base64url(text).is_some_and(|hash| hash.len() == 32);
        let challenge = challenge.filter(is_digest);
        Ok(Some(Self {
            client: Client::read(&members)?,
            code_challenge: challenge
                .ok_or(Error::InvalidMember("code_challenge"))?
                .to_owned(),
        }))
    }

    /// The issuer that is named, if people sign in there.
    ///
    /// # Errors
    /// [`Error::InvalidMember`].
    pub fn issuer<'a>(&self, rows: &'a Rows) -> Result<&'a str, Error> {
        self.client.row(rows).map(|(row, _)| row.issuer.as_str())
    }

    /// Where the browser goes. What it adds is `state`, which is nobody's business but its own.
    ///
    /// # Errors
    /// [`Error::InvalidMember`].
    pub fn address(
        &self,
        rows: &Rows,
        endpoints: &Endpoints,
        config: &Config,
        challenge: &[u8; 32],
    ) -> Result<String, Error> {
        let (row, sign_in) = self.client.row(rows)?;
        let (callback, nonce) = (callback(config, &self.client), nonce(challenge));
        let mut address = endpoints.authorization.clone();
        address.push(if address.contains('?') { '&' } else { '?' });
        push_form(
            &mut address,
            &[
                ("response_type", "code"),
                ("client_id", &row.audience),
                ("redirect_uri", &callback),
                ("scope", &sign_in.scope),
                ("nonce", &nonce),
                ("code_challenge", &self.code_challenge),
                ("code_challenge_method", "S256"),
            ],
        );
        Ok(address)
    }
}

/// A code that somebody came back with.
pub struct Return {
    client: Client,
    code: String,
    verifier: String,
}

impl Return {
    /// Reads `{issuer, client_id, code, code_verifier}`; nothing, where there is no code.
    ///
    /// # Errors
    /// [`Error::InvalidMember`].
    pub fn read(members: &Value) -> Result<Option<Self>, Error> {
        let Some(code) = text(members.get("code"), "code")? else {
            return Ok(None);
        };
        // RFC 7636 §4.1.
        let verifier = text(members.get("code_verifier"), "code_verifier")?.unwrap_or_default();
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if !(43..=128).contains(&verifier.len()) || !verifier.bytes().all(is_unreserved) {
            return Err(Error::InvalidMember("code_verifier"));
        }
        Ok(Some(Self {
            client: Client::read(members)?,
            code: code.to_owned(),
            verifier: verifier.to_owned(),
        }))
    }

    /// The issuer that is named, if people sign in there.
    ///
    /// # Errors
    /// [`Error::InvalidMember`].
    pub fn issuer<'a>(&self, rows: &'a Rows) -> Result<&'a str, Error> {
        self.client.row(rows).map(|(row, _)| row.issuer.as_str())
    }

    /// What the issuer is asked for the token (RFC 6749 §4.1.3). Our secret goes nowhere but where its own document says
    /// that codes are redeemed.
    #[must_use]
    pub fn question(&self, endpoints: &Endpoints, config: &Config) -> Ask {
        let Client { issuer, client_id } = &self.client;
        let callback = callback(config, &self.client);
        let mut headers = vec![("accept".into(), "application/json".to_owned())];
        let mut members = vec![
            ("grant_type", "authorization_code"),
            ("code", &self.code),
            ("redirect_uri", &callback),
            ("code_verifier", &self.verifier),
        ];
        let mut secrets = config.client_secrets.iter();
        let secret = secrets.find(|secret| secret.is_for(issuer, client_id));
        match secret.map(|known| known.secret.as_str()) {
            Some(secret) if !endpoints.has_secret_in_body => {
                // RFC 6749 §2.3.1.
                let mut pair = String::new();
                encode_component(client_id, &mut pair);
                pair.push(':');
                encode_component(secret, &mut pair);
                let basic = format!("Basic {}", encode_base64(pair.as_bytes()));
                headers.push(("authorization".into(), basic));
            }
            secret => {
                members.push(("client_id", client_id));
                members.extend(secret.map(|secret| ("client_secret", secret)));
            }
        }
        let mut form = String::new();
        push_form(&mut form, &members);
        Ask {
            url: endpoints.token.clone(),
            headers,
            form: Some(form),
            wanted: Vec::new(),
        }
    }

    /// The rows that its token may be let in by: those of the client that asked (OpenID Connect Core §3.1.3.7).
    #[must_use]
    pub fn rows(&self, rows: &Rows) -> Rows {
        let is_it = |row: &&TrustedIssuer| self.client.is(row);
        Rows {
            issuers: rows.issuers.iter().filter(is_it).cloned().collect(),
            ..Rows::default()
        }
    }

    /// The token that the issuer answered with.
    ///
    /// # Errors
    /// [`Error::CodeRefused`], if that is what it says; [`Fault::CodeUnredeemed`] for whatever else is no token, with the
    /// reason for the operator.
    pub fn token(&self, answer: &Answer) -> Result<String, Error> {
        let body = answer.json().unwrap_or_default();
        let member = |name: &str| body.get(name).and_then(Value::as_str);
        let why = match (answer.status, member("id_token"), member("error")) {
            (400..=499, _, Some("invalid_grant")) => return Err(Error::CodeRefused),
            (200, Some(token), _) if token.len() <= MAX_TOKEN_LEN => {
                match CompactJws::parse(token) {
                    Ok(_) => return Ok(token.to_owned()),
                    Err(_) => "no JWT",
                }
            }
            (200, ..) => "no id_token",
            (_, _, error) => ERRORS
                .into_iter()
                .find(|known| Some(*known) == error)
                .unwrap_or("an unknown error"),
        };
        let (issuer, status) = (&self.client.issuer, answer.status);
        let why = format!("{issuer} answered a code with {status}: {why}");
        Err(Fault::CodeUnredeemed(why).into())
    }
}

/// Where people sign in beside here: what the pages need to know of the rows.
#[must_use]
pub fn issuers(config: &Config, rows: &Rows) -> Value {
    let mut offered: Vec<&TrustedIssuer> = Vec::new();
    for row in rows.issuers.iter().filter(|row| row.sign_in.is_some()) {
        let is_same =
            |other: &&TrustedIssuer| other.issuer == row.issuer && other.audience == row.audience;
        if !offered.iter().any(is_same) {
            offered.push(row);
        }
    }
    let one = |row: &TrustedIssuer| {
        let label = row.sign_in.as_ref().map(|sign_in| &sign_in.label);
        let redirect_uri = redirect_uri(config, row);
        json!({ "issuer": row.issuer, "clientId": row.audience, "label": label, "redirectUri": redirect_uri })
    };
    json!({ "issuers": offered.into_iter().map(one).collect::<Vec<_>>() })
}

/// Where an issuer sends browsers back to, if people sign in by this row: the client has to be registered there with it.
#[must_use]
pub fn redirect_uri(config: &Config, row: &TrustedIssuer) -> Option<String> {
    row.sign_in.as_ref()?;
    let named = Client {
        issuer: row.issuer.clone(),
        client_id: row.audience.clone(),
    };
    Some(callback(config, &named))
}

fn push_form(form: &mut String, members: &[(&str, &str)]) {
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        encode_component(value, form);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::testing;

    const DIGEST: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

    fn config() -> Config {
        let row = |issuer: &str, audience: &str, label: Option<&str>| {
            let mut row = json!({ "issuer": issuer, "audience": audience, "for": "people", "scopes": ["bridgeCert"], "rules": [{}] });
            if let Some(label) = label {
                row["sign_in"] = json!({ "label": label, "scope": "openid email" });
            }
            row
        };
        let mut config = testing::config(&json!([
            row("https://login.example", "silent", None),
            row("https://login.example", "a b", Some("Acme")),
            row("https://login.example", "a b", Some("Acme again")),
            row("https://other.example", "us", Some("Other")),
        ]));
        config.client_secrets = ClientSecret::read_all(
            r#"[{"issuer":"https://login.example","client_id":"a b","client_secret":"s:3cr%t"}]"#,
        )
        .unwrap();
        config
    }

    fn endpoints(has_secret_in_body: bool) -> Endpoints {
        Endpoints {
            authorization: "https://login.example/auth?p=1".into(),
            token: "https://login.example/token".into(),
            has_secret_in_body,
            names_itself: false,
        }
    }

    fn back(issuer: &str, client_id: &str) -> Return {
        let body = json!({ "issuer": issuer, "client_id": client_id, "code": "c&1", "code_verifier": VERIFIER });
        Return::read(&body).unwrap().unwrap()
    }

    #[test]
    fn browsers_are_sent_where_a_row_says_with_what_makes_the_answer_theirs() {
        let config = config();
        let body = json!({ "issuer": "https://login.example", "client_id": "a b", "code_challenge": DIGEST });
        let wish = Departure::parse(body.to_string().as_bytes());
        let wish = wish.unwrap().unwrap();
        assert_eq!(wish.issuer(&config.rows), Ok("https://login.example"));
        let challenge = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(
            wish.address(&config.rows, &endpoints(false), &config, &challenge)
                .unwrap(),
            format!(
                "https://login.example/auth?p=1&response_type=code&client_id=a%20b\
                 &redirect_uri=https%3A%2F%2Fid.example%2Fauth%2Foidc%2Fcallback%2Fc29fe377ada0ac9e2cbab0f6579f8042&scope=openid%20email\
                 &nonce=Yw3NKWbEM2aRElRIu7JbT_QSpJxzLbLIq8G4WBvXEN0&code_challenge={DIGEST}&code_challenge_method=S256"
            )
        );
        for (issuer, client_id) in [
            ("https://login.example", "silent"),
            ("https://login.example/", "a b"),
            ("https://nobody.example", "a b"),
        ] {
            let client = Client {
                issuer: issuer.into(),
                client_id: client_id.into(),
            };
            let wish = Departure {
                client,
                ..wish.clone()
            };
            assert_eq!(
                wish.issuer(&config.rows),
                Err(Error::InvalidMember("issuer")),
                "{issuer} {client_id}"
            );
        }
    }

    #[test]
    fn what_is_no_wish_is_told_apart() {
        for body in ["", "  ", "{}", r#"{"issuer":null}"#] {
            assert_eq!(Departure::parse(body.as_bytes()), Ok(None), "{body}");
        }
        for (body, error) in [
            ("[]", Error::InvalidJson),
            ("{", Error::InvalidJson),
            (
                r#"{"issuer":1,"client_id":"a","code_challenge":"C"}"#,
                Error::InvalidMember("issuer"),
            ),
            (
                r#"{"issuer":"i","code_challenge":"C"}"#,
                Error::InvalidMember("client_id"),
            ),
            (
                r#"{"issuer":"i","client_id":"a"}"#,
                Error::InvalidMember("code_challenge"),
            ),
            (
                r#"{"issuer":"i","client_id":"a","code_challenge":"AA"}"#,
                Error::InvalidMember("code_challenge"),
            ),
            (
                r#"{"issuer":"i","client_id":"a","code_challenge":1}"#,
                Error::InvalidMember("code_challenge"),
            ),
        ] {
            let body = body.replace("\"C\"", &format!("\"{DIGEST}\""));
            assert_eq!(Departure::parse(body.as_bytes()), Err(error), "{body}");
        }
    }

    #[test]
    fn a_code_comes_with_its_verifier_and_says_whose_it_is() {
        let read = |body: Value| Return::read(&body).map(|back| back.is_some());
        assert_eq!(read(json!({ "token": "t" })), Ok(false));
        let good =
            json!({ "issuer": "i", "client_id": "a", "code": "c", "code_verifier": VERIFIER });
        assert_eq!(read(good.clone()), Ok(true));
        for (name, value) in [
            ("code", json!(1)),
            ("code_verifier", json!(null)),
            ("code_verifier", json!("a".repeat(42))),
            ("code_verifier", json!("a".repeat(129))),
            ("code_verifier", json!(format!("{VERIFIER}&"))),
            ("issuer", json!(null)),
            ("client_id", json!({})),
        ] {
            let mut bad = good.clone();
            bad[name] = value.clone();
            assert_eq!(read(bad), Err(Error::InvalidMember(name)), "{name} {value}");
        }
    }

    #[test]
    fn a_secret_goes_to_its_issuer_alone_and_where_that_takes_it() {
        let config = config();
        // Another implementation: Python's hashlib over the same bytes.
        let form = |callback: &str| {
            format!(
                "grant_type=authorization_code&code=c%261&redirect_uri=https%3A%2F%2Fid.example%2Fauth%2Foidc%2Fcallback%2F{callback}&code_verifier={VERIFIER}"
            )
        };
        let ours = form("c29fe377ada0ac9e2cbab0f6579f8042");
        let asked = |issuer: &str, client_id: &str, in_body| {
            let ask = back(issuer, client_id).question(&endpoints(in_body), &config);
            assert_eq!(ask.url, "https://login.example/token");
            let mut headers = ask.headers.into_iter();
            let basic =
                headers.find_map(|(name, value)| (name == "authorization").then_some(value));
            (basic, ask.form.unwrap())
        };
        // Another implementation: `printf 'a%%20b:s%%3A3cr%%25t' | base64`.
        let basic = Some("Basic YSUyMGI6cyUzQTNjciUyNXQ=".to_owned());
        assert_eq!(
            asked("https://login.example", "a b", false),
            (basic, ours.clone())
        );
        let in_body = format!("{ours}&client_id=a%20b&client_secret=s%3A3cr%25t");
        assert_eq!(asked("https://login.example", "a b", true), (None, in_body));
        for (issuer, client_id, callback) in [
            (
                "https://other.example",
                "a b",
                "9b0493b454a17eca0d8b8972c9f7996e",
            ),
            (
                "https://login.example",
                "us",
                "2887d1e7405665bb9b3a6d67989a1afc",
            ),
        ] {
            let (basic, sent) = asked(issuer, client_id, false);
            assert!(basic.is_none() && !sent.contains("3cr"), "{issuer}");
            assert!(sent.starts_with(&form(callback)), "{sent}");
            assert!(sent.contains("&client_id="));
        }
        assert!(!format!("{config:?}").contains("3cr"));
    }

    #[test]
    fn an_answer_is_a_token_or_a_refusal_or_the_issuer_s_fault() {
        let token = |status, body: Value| {
            let answer = Answer {
                status,
                body: body.to_string().into_bytes(),
                ..Answer::default()
            };
            back("https://login.example", "a b").token(&answer)
        };
        let jwt = |claims: Value| {
            let part = |json: &str| notme_keys::encode_base64url(json.as_bytes());
            let (header, claims) = (part(r#"{"alg":"RS256"}"#), part(&claims.to_string()));
            format!("{header}.{claims}.AA")
        };
        let good = jwt(json!({ "sub": "ana" }));
        let body = json!({ "id_token": good, "access_token": "a" });
        assert_eq!(token(200, body), Ok(good));
        for (status, error) in [(400, "invalid_grant"), (401, "invalid_grant")] {
            let refused = token(status, json!({ "error": error }));
            assert_eq!(refused, Err(Error::CodeRefused), "{status} {error}");
        }
        let long = jwt(json!({ "sub": "a".repeat(MAX_TOKEN_LEN) }));
        for (status, body, why) in [
            (200, json!({}), "200: no id_token"),
            (200, json!({ "id_token": "" }), "200: no JWT"),
            (200, json!({ "id_token": 1 }), "200: no id_token"),
            (200, json!({ "id_token": "t" }), "200: no JWT"),
            (200, json!({ "id_token": long }), "200: no id_token"),
            (200, json!("html"), "200: no id_token"),
            (302, json!({ "id_token": "t" }), "302: an unknown error"),
            (
                400,
                json!({ "error": "invalid_client" }),
                "400: invalid_client",
            ),
            (
                400,
                json!({ "error": "invalid_request" }),
                "400: invalid_request",
            ),
            (
                400,
                json!({ "error": "your secret is s:3cr%t" }),
                "400: an unknown error",
            ),
            (401, json!("x"), "401: an unknown error"),
            (
                500,
                json!({ "error": "invalid_grant" }),
                "500: invalid_grant",
            ),
            (0, json!({}), "0: an unknown error"),
        ] {
            let why = format!("https://login.example answered a code with {why}");
            let fault = Err(Fault::CodeUnredeemed(why).into());
            assert_eq!(token(status, body.clone()), fault, "{status} {body}");
        }
    }

    #[test]
    fn a_code_is_worth_a_token_of_the_client_that_asked_and_no_other() {
        let rows = back("https://login.example", "a b").rows(&config().rows);
        let names: Vec<_> = (rows.issuers.iter())
            .map(|row| (row.issuer.as_str(), row.audience.as_str()))
            .collect();
        assert_eq!(names, [("https://login.example", "a b"); 2]);
        assert!(rows.roots.is_empty() && rows.plain.is_empty());
    }

    #[test]
    fn pages_are_told_of_each_client_once() {
        assert_eq!(
            issuers(&config(), &config().rows),
            json!({ "issuers": [
                { "issuer": "https://login.example", "clientId": "a b", "label": "Acme",
                  "redirectUri": "https://id.example/auth/oidc/callback/c29fe377ada0ac9e2cbab0f6579f8042" },
                { "issuer": "https://other.example", "clientId": "us", "label": "Other",
                  "redirectUri": "https://id.example/auth/oidc/callback/3945b2f333987bcf1c9e2e4fe10f98d7" },
            ] })
        );
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_and_never_repeated() {
        for (json, problem) in [
            ("{}", "must be a JSON array"),
            (
                r#"[{"issuer":"i","client_id":"c"}]"#,
                "row 1: client_secret is missing",
            ),
            (
                r#"[{"issuer":"i","client_id":"c","client_secret":""}]"#,
                "row 1: client_secret must be a text",
            ),
            (
                r#"[{"issuer":"i","client_id":"c","client_secret":"hush","x":1}]"#,
                "row 1: x is no member of a secret",
            ),
            (
                r#"[{"issuer":"i","client_id":"c","client_secret":"hush"},{"issuer":"i","client_id":"c","client_secret":"t"}]"#,
                "row 2: an earlier row",
            ),
        ] {
            let told = ClientSecret::read_all(json).unwrap_err().join("; ");
            assert!(
                told.starts_with(problem) && !told.contains("hush"),
                "{told}"
            );
        }
    }
}
