//! An authority, as it is reached over HTTP.

use notme_keys::decode_base64url;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::http::{Answer, Client, Url};
use crate::text::harmless;
use crate::token::Token;

const DISCOVERY: &str = "/.well-known/signet-authority.json";

/// An authority whose discovery document was read.
pub(crate) struct Authority<'a> {
    client: &'a Client,
    base: Url,
    document: Value,
}

impl<'a> Authority<'a> {
    /// Reads the discovery document of the authority at `url`.
    pub(crate) fn discover(client: &'a Client, url: &str) -> Result<Self, Failure> {
        let name = url.trim_end_matches('/');
        let bad = |why| Failure::usage("authority_url", format!("--authority {why}"));
        if name.contains(['?', '#']) {
            return Err(bad("has a query or a fragment"));
        }
        let base = Url::parse(name).map_err(bad)?;
        let at = Url::parse(&format!("{name}{DISCOVERY}")).map_err(bad)?;
        let body = fetch(client, &at, "its discovery document")?;
        let document: Value = serde_json::from_slice(&body)
            .map_err(|_| not_an_authority("its discovery document is not JSON"))?;
        // RFC 8414 §3.3: otherwise one authority's document would do for another's name.
        let issuer = document
            .get("issuer")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if issuer.trim_end_matches('/') != name {
            return Err(Failure::refused(
                "other_issuer",
                format!(
                    "the authority calls itself `{}`, not `{}`",
                    harmless(issuer),
                    harmless(name)
                ),
            ));
        }
        Ok(Self {
            client,
            base,
            document,
        })
    }

    /// What it calls itself.
    pub(crate) fn name(&self) -> &str {
        let issuer = self.document.get("issuer").and_then(Value::as_str);
        issuer.unwrap_or_default()
    }

    /// The audience of tokens for it, if it says so.
    pub(crate) fn audience(&self) -> Option<&str> {
        self.document
            .get("cert_gha_audience")
            .and_then(Value::as_str)
    }

    /// The roots that it serves, as PEM.
    pub(crate) fn roots(&self) -> Result<Vec<u8>, Failure> {
        let url = self.endpoint("ca_bundle_endpoint")?;
        fetch(self.client, &url, "its root")
    }

    /// The revocation bundle that it serves, as JSON.
    pub(crate) fn bundle(&self) -> Result<Vec<u8>, Failure> {
        let url = self.endpoint("revocation_bundle_endpoint")?;
        fetch(self.client, &url, "its revocation bundle")
    }

    /// The list of what is revoked that it serves.
    pub(crate) fn revocations(&self) -> Result<Vec<u8>, Failure> {
        const MEMBER: &str = "revocations_endpoint";
        if self.document.get(MEMBER).is_none() {
            return Err(Failure::refused(
                "revocations_unavailable",
                "the authority publishes no list of what is revoked: --no-revocations does without, and then \
                 only a new epoch revokes anything",
            ));
        }
        let url = self.endpoint(MEMBER)?;
        received(self.client.get_list(&url)?, "its list of what is revoked")
    }

    /// The archive of its keys, as JSON, if it says that it has one.
    pub(crate) fn epochs(&self) -> Result<Option<Vec<u8>>, Failure> {
        const MEMBER: &str = "epochs_endpoint";
        if self.document.get(MEMBER).is_none() {
            return Ok(None);
        }
        let url = self.endpoint(MEMBER)?;
        fetch(self.client, &url, "its key archive").map(Some)
    }

    /// Posts to `/cert/gha`.
    pub(crate) fn enroll(&self, token: &Token, request: &Value) -> Result<Value, Failure> {
        let url = self.endpoint("cert_gha_endpoint")?;
        let body = request.to_string();
        let answer = (self.client).post(&url, Some(token.expose()), body.as_bytes())?;
        told(&answer, Some(token))
    }

    /// Asks for a challenge, which is good once.
    pub(crate) fn challenge(&self) -> Result<[u8; 32], Failure> {
        let url = self.endpoint_below("cert_endpoint", "/challenge")?;
        let document = told(&self.client.post(&url, None, b"{}")?, None)?;
        let challenge = document.get("challenge").and_then(Value::as_str);
        challenge
            .and_then(decode_base64url)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| not_an_authority("it has no challenge"))
    }

    /// Posts to `/cert` a request that has its proof in it, and the token if that is one.
    pub(crate) fn exchange(
        &self,
        token: Option<&Token>,
        request: &Value,
    ) -> Result<Value, Failure> {
        let url = self.endpoint("cert_endpoint")?;
        let body = Zeroizing::new(request.to_string());
        told(&self.client.post(&url, None, body.as_bytes())?, token)
    }

    /// An endpoint must be where the authority is: the token goes there.
    fn endpoint(&self, member: &str) -> Result<Url, Failure> {
        self.endpoint_below(member, "")
    }

    fn endpoint_below(&self, member: &str, path: &str) -> Result<Url, Failure> {
        let text = self
            .document
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default();
        let bad =
            |why: &str| not_an_authority(&format!("`{member}` of its discovery document {why}"));
        let url = Url::parse(&format!("{text}{path}")).map_err(bad)?;
        if url.has_origin_of(&self.base) {
            Ok(url)
        } else {
            Err(bad("is somewhere else than the authority"))
        }
    }
}

fn fetch(client: &Client, url: &Url, what: &str) -> Result<Vec<u8>, Failure> {
    received(client.get(url, None)?, what)
}

fn received(answer: Answer, what: &str) -> Result<Vec<u8>, Failure> {
    if answer.status == 200 {
        return Ok(answer.body);
    }
    let text = format!(
        "the authority answers with status {} instead of {what}",
        answer.status
    );
    Err(Failure::unavailable("authority_unavailable", text))
}

/// What the authority says, to a request with this token if with one.
fn told(answer: &Answer, token: Option<&Token>) -> Result<Value, Failure> {
    let document: Option<Value> = serde_json::from_slice(&answer.body).ok();
    if answer.status == 200 {
        return document.ok_or_else(|| not_an_authority("its answer is not JSON"));
    }
    Err(refusal(answer, document.as_ref(), token))
}

/// What the authority says to a request that it doesn't fulfil.
fn refusal(answer: &Answer, document: Option<&Value>, token: Option<&Token>) -> Failure {
    let member = |name| document?.get(name)?.as_str();
    let is_code = |code: &&str| {
        (1..=64).contains(&code.len())
            && code
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    // Whoever answers has the token, and might put it into what we print.
    let redact = |text: &str| token.map_or_else(|| text.to_owned(), |token| token.redact(text));
    let said =
        member("error").map_or_else(|| "nothing more".to_owned(), |text| harmless(&redact(text)));
    let code = member("code").filter(is_code);
    let code = code.filter(|code| redact(code) == *code);
    let status = answer.status;
    match status {
        400..=499 if status != 408 && status != 429 => Failure::refused(
            code.unwrap_or("refused"),
            format!("the authority refuses with status {status}: {said}"),
        ),
        _ => Failure::unavailable(
            code.unwrap_or("authority_unavailable"),
            format!("the authority can't answer, status {status}: {said}"),
        ),
    }
}

fn not_an_authority(why: &str) -> Failure {
    Failure::refused(
        "bad_answer",
        format!("the authority's answer isn't one: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::failure::Kind;

    fn refused(status: u16, document: Option<&Value>) -> Failure {
        let token = Token::parse("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0aaaaa.c2ln").unwrap();
        let answer = Answer {
            status,
            body: Vec::new(),
        };
        refusal(&answer, document, Some(&token))
    }

    #[test]
    fn who_is_to_blame_shows_in_the_kind() {
        for (status, kind) in [
            (400, Kind::Refused),
            (401, Kind::Refused),
            (403, Kind::Refused),
            (404, Kind::Refused),
            (302, Kind::Unavailable),
            (408, Kind::Unavailable),
            (429, Kind::Unavailable),
            (500, Kind::Unavailable),
            (503, Kind::Unavailable),
        ] {
            assert_eq!(refused(status, None).kind, kind, "{status}");
        }
    }

    #[test]
    fn a_token_that_is_sent_back_is_not_printed() {
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0aaaaa.c2ln";
        let failure = refused(
            401,
            Some(&json!({ "error": format!("bad: {token}\u{7}"), "code": token })),
        );
        assert_eq!(
            failure.to_string(),
            "the authority refuses with status 401: bad: …\u{fffd} [refused]"
        );
    }
}
