//! The token that says who enrols, and where it comes from.

use std::env;
use std::io::Read;
use std::path::Path;

use notme_authority::doors::github;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::args::TokenOptions;
use crate::authority::Authority;
use crate::failure::{Failure, Kind};
use crate::http::{Client, Url};

/// Longer ones aren't tokens.
const LONGEST: u16 = 16 << 10;

/// A token, which wipes itself and can't be printed.
pub(crate) struct Token(Zeroizing<String>);

impl Token {
    /// Takes what looks like a JWS in compact form; white space around it is ignored.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let is_part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        let is_short = u16::try_from(text.len()).is_ok_and(|length| length <= LONGEST);
        let is_token = is_short && text.split('.').count() == 3 && text.split('.').all(is_part);
        is_token.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Takes what looks like one of GitHub's own.
    pub(crate) fn of_github(text: &str) -> Option<Self> {
        let text = text.trim();
        github::Trial::of(text).map(|_| Self(Zeroizing::new(text.to_owned())))
    }

    /// The token itself, for the header and the proofs, and to take it out of texts.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without the token, nor any part of it that is worth hiding.
    pub(crate) fn redact(&self, text: &str) -> String {
        let whole = text.replace(self.expose(), "…");
        self.expose()
            .split('.')
            .filter(|part| part.len() >= 16)
            .fold(whole, |text, part| text.replace(part, "…"))
    }
}

/// Where the token comes from.
pub(crate) enum Source<'a> {
    Given(Token),
    /// For this audience, or else for the one that the authority publishes.
    GitHub(Request, Option<&'a str>),
}

impl Source<'_> {
    /// The token, which is asked of GitHub only now.
    pub(crate) fn token(
        self,
        client: &Client,
        authority: &Authority<'_>,
    ) -> Result<Token, Failure> {
        match self {
            Self::Given(token) => Ok(token),
            Self::GitHub(request, audience) => {
                let audience = audience.or_else(|| authority.audience());
                let audience = audience.ok_or_else(|| {
                    Failure::usage(
                        "audience_missing",
                        "the authority publishes no audience: give --audience",
                    )
                })?;
                request.fetch(client, audience)
            }
        }
    }
}

/// What GitHub gives a job to ask for its token with.
pub(crate) struct Request {
    url: Zeroizing<String>,
    bearer: Zeroizing<String>,
}

/// Finds the token, or how to ask for it; nothing is fetched yet.
pub(crate) fn source(options: &TokenOptions) -> Result<Source<'_>, Failure> {
    if options.token_file.is_some() || options.token_env.is_some() {
        let (file, variable) = (options.token_file.as_deref(), options.token_env.as_deref());
        let token = given(file, variable, Token::parse)?;
        return Ok(Source::Given(token));
    }
    let url = variable("ACTIONS_ID_TOKEN_REQUEST_URL");
    let bearer = variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
    match (url, bearer) {
        (Some(url), Some(bearer)) => {
            let request = Request { url, bearer };
            Ok(Source::GitHub(request, options.audience.as_deref()))
        }
        _ => Err(Failure::usage(
            "token_missing",
            "there is no token: give --token-file or --token-env, or run in a GitHub Actions job \
             with `permissions: id-token: write`",
        )),
    }
}

/// The token of a file, or else of a variable, if it is of such a form.
pub(crate) fn given(
    file: Option<&Path>,
    variable_name: Option<&str>,
    parse: impl Fn(&str) -> Option<Token>,
) -> Result<Token, Failure> {
    let parsed = |text: &str, place: &str| {
        let malformed =
            || Failure::usage("token_malformed", format!("what is in {place} is no token"));
        parse(text).ok_or_else(malformed)
    };
    if let Some(path) = file {
        return parsed(&read(path)?, "the token file");
    }
    // Neither error has the name: somebody will give the token itself in its place.
    let text = variable(variable_name.unwrap_or_default()).ok_or_else(|| {
        Failure::usage(
            "token_missing",
            "--token-env wants the name of a variable, and none of the name that was given is set",
        )
    })?;
    parsed(&text, "the variable that --token-env names")
}

impl Request {
    /// Asks GitHub for a token for `audience`. What went wrong is told without the URL: it names the
    /// job.
    pub(crate) fn fetch(&self, client: &Client, audience: &str) -> Result<Token, Failure> {
        let failed = |why: &str| {
            Failure::unavailable("token_request", format!("GitHub's token service {why}"))
        };
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}audience={}", *self.url, escape(audience));
        let url = Url::parse(&url).map_err(|why| {
            Failure::usage(
                "token_request_url",
                format!("ACTIONS_ID_TOKEN_REQUEST_URL {why}"),
            )
        })?;
        let answer =
            client
                .get(&url, Some(&self.bearer))
                .map_err(|failure| match failure.kind {
                    Kind::Unavailable => failed(&format!("did not answer: {}", failure.text)),
                    _ => failure,
                })?;
        if answer.status != 200 {
            return Err(failed(&format!("answered with status {}", answer.status)));
        }
        let body = Zeroizing::new(answer.body);
        let document: Value = serde_json::from_slice(&body).map_err(|_| failed("sent no JSON"))?;
        let value = document.get("value").and_then(Value::as_str);
        value
            .and_then(Token::parse)
            .ok_or_else(|| failed("sent no token"))
    }
}

fn variable(name: &str) -> Option<Zeroizing<String>> {
    // A name with `=` or NUL would be a panic in some platforms' libraries.
    if name.is_empty() || name.contains(['=', '\0']) {
        return None;
    }
    env::var(name)
        .ok()
        .filter(|value| !value.is_empty())
        .map(Zeroizing::new)
}

fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    // One byte more shows that a token was cut off.
    let limit = u64::from(LONGEST) + 1;
    let result = if path == Path::new("-") {
        std::io::stdin().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    result.map_err(|error| {
        Failure::local(
            "token_file",
            format!("the token file can't be read: {error}"),
        )
    })?;
    Ok(text)
}

/// As the value of a parameter of a query (RFC 3986 §2.3).
fn escape(text: &str) -> String {
    let escaped = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_three_parts_and_nothing_that_ends_a_header() {
        assert_eq!(Token::parse(" aa.b-_.cc\n").unwrap().expose(), "aa.b-_.cc");
        for text in [
            "",
            "aa.bb",
            "aa.bb.cc.dd",
            "aa..cc",
            "aa.b b.cc",
            "aa.bb\r\nX: y.cc",
            "aa.bb.c=",
        ] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_token_has_its_limits() {
        let part = "a".repeat(usize::from(LONGEST) - 4);
        assert!(Token::parse(&format!("{part}.b.c")).is_some());
        assert!(Token::parse(&format!("{part}a.b.c")).is_none());
    }

    #[test]
    fn a_token_is_taken_out_of_texts() {
        let token = Token::parse("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0aaaaa.c2ln").unwrap();
        let text = "no eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0aaaaa.c2ln, nor eyJzdWIiOiJ4In0aaaaa";
        assert_eq!(token.redact(text), "no …, nor …");
    }

    #[test]
    fn an_audience_stays_one_parameter() {
        assert_eq!(escape("a b&c=d/é~"), "a%20b%26c%3Dd%2F%C3%A9~");
    }
}
