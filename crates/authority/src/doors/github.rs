//! The door for GitHub's tokens: whose one is, GitHub is asked.
//!
//! A token is good for more than this, and for long. So it is kept nowhere, and a challenge makes each proof single.
//! It is as good as GitHub says at the moment, give or take the seconds that an answer is kept
//! ([`asking`](crate::asking)), and a principal is the id of the user or the app, which nobody else is
//! ever given.

use serde_json::{Map, Value};

use super::claims::Claims;
use super::explain::Explained;
use super::row::{Form, Row};
use super::rows::Rows;
use super::{
    Answer, Ask, Door, Facts, Gathered, Given, Identified, Name, Need, Obliged, Opened, Proof,
    RowsOf, Shown,
};
use crate::config::Config;
use crate::error::PolicyRule;
use crate::{Error, Fault};

/// The door.
pub const DOOR: Door = Door {
    name: "github_pat",
    read,
    rows: RowsOf::Plain(Form {
        members: &[],
        // A rule that looks at names alone lets in whoever takes such a name next.
        pins: &["app_id", "organization_ids", "owner_id", "user_id"],
        check: |_| Ok(()),
    }),
};

/// The longest token that is sent on, in bytes; an app's JWT is the longest.
const MAX_TOKEN_LEN: usize = 2048;
/// The version of the API whose answers are read here.
const API_VERSION: &str = "2022-11-28";
/// What of an answer's head is looked at.
const HEADERS: [&str; 4] = [
    "x-oauth-scopes",
    "retry-after",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
];
/// The longest that GitHub may make callers wait, in seconds, as we pass it on.
const MAX_WAIT_SECS: u64 = 3600;
/// The wait where it says to wait and not for how long: what its documentation asks for.
const WAIT_SECS: u64 = 60;

/// Reads `{token}`.
fn read(given: &Given<'_>) -> Result<Proof, Error> {
    let token = given.member("token").and_then(Value::as_str);
    let token = token.filter(|token| !token.is_empty());
    let token = token.ok_or(Error::MissingToken)?;
    if !is_sendable(token) {
        return Err(Error::InvalidMember("proof.token"));
    }
    Ok(Proof::Shown(Box::new(Token(token.to_owned()))))
}

/// A token as it was sent. It has no `Debug`, and leaves only in the question.
struct Token(String);

/// Whom a token may stand for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// A user: personal tokens, and those of OAuth and GitHub apps that act for one.
    User,
    /// A GitHub app, which signs its own.
    App,
}

impl Token {
    fn holder(&self) -> Result<Holder, Error> {
        // An installation's token says neither whose it is nor which app's; a refresh token is none.
        if self.0.starts_with("ghs_") || self.0.starts_with("ghr_") {
            return Err(Error::UnsupportedToken);
        }
        Ok(match self.0.split('.').count() {
            3 => Holder::App,
            _ => Holder::User,
        })
    }

    /// What kind of token it says it is.
    fn kind(&self) -> &'static str {
        match &self.0 {
            token if token.starts_with("ghp_") => "classic",
            token if token.starts_with("github_pat_") => "fine_grained",
            token if token.starts_with("gho_") => "oauth",
            token if token.starts_with("ghu_") => "app_user",
            token if token.contains('.') => "app",
            _ => "unmarked",
        }
    }

    /// Whether whoever it is of made it to be shown. The others are in the hands of any app that a user ever signed in
    /// to, so a rule has to ask for them.
    fn is_own(&self) -> bool {
        matches!(self.kind(), "classic" | "fine_grained" | "app")
    }
}

impl Shown for Token {
    fn open<'a>(&'a self, facts: &Facts<'a>) -> Result<Box<dyn Opened + 'a>, Error> {
        facts.challenge()?;
        facts.keys()?; // nobody is asked about what leads nowhere
        let holder = self.holder()?;
        let rows = facts.rows.plain.iter();
        let rows: Vec<_> = rows.filter(|row| row.kind == DOOR.name).collect();
        if rows.is_empty() {
            return Err(Error::NotPermitted(PolicyRule::Claims));
        }
        Ok(Box::new(Lookup {
            api: facts.config.github_api.to_string(),
            token: self,
            now: facts.now,
            holder,
            rows,
        }))
    }
}

/// A token, and where to ask about it.
struct Lookup<'a> {
    api: String,
    token: &'a Token,
    now: u64,
    holder: Holder,
    rows: Vec<&'a Row>,
}

impl Lookup<'_> {
    fn ask(&self, path: &str) -> Ask {
        Ask {
            url: format!("{}{path}", self.api),
            headers: vec![
                ("authorization".into(), format!("Bearer {}", self.token.0)),
                ("accept".into(), "application/vnd.github+json".to_owned()),
                ("x-github-api-version".into(), API_VERSION.to_owned()),
            ],
            form: None,
            wanted: HEADERS.map(Name::from).to_vec(),
        }
    }

    /// What rules may look at.
    fn claims(&self, answers: &[Answer]) -> Result<Claims, Error> {
        let answer = answers.first().ok_or_else(|| unexpected("nothing"))?;
        self.judge(answer)?;
        let body = answer.json().ok_or_else(|| unexpected("something else"))?;
        let id = body.get("id").and_then(Value::as_u64).filter(|id| *id > 0);
        let id = Value::from(id.ok_or_else(|| unexpected("no id"))?);
        let mut claims = Map::new();
        claims.insert("token_kind".into(), self.token.kind().into());
        let mut put = |name: &str, value: Option<&Value>| {
            if let Some(value) = value {
                claims.insert(name.to_owned(), value.clone());
            }
        };
        match self.holder {
            Holder::User => {
                put("user_id", Some(&id));
                put("login", body.get("login"));
                put("type", body.get("type"));
                // Only classic tokens and those of OAuth apps have scopes.
                let scopes = answer.header("x-oauth-scopes").map(|scopes| {
                    let scopes = scopes.split(',').map(str::trim);
                    scopes.filter(|scope| !scope.is_empty()).collect()
                });
                put("token_scopes", scopes.as_ref());
                if let Some(memberships) = answers.get(1) {
                    let (ids, names) = self.organizations(memberships)?;
                    put("organization_ids", Some(&ids));
                    put("organizations", Some(&names));
                }
            }
            Holder::App => {
                put("app_id", Some(&id));
                put("login", body.get("slug"));
                put("type", Some(&"App".into()));
                put("owner_id", body.pointer("/owner/id"));
                put("owner", body.pointer("/owner/login"));
            }
        }
        Ok(claims)
    }

    /// What whoever it is of is called, and what nobody else ever is.
    fn subject(&self, claims: &Claims) -> (String, String) {
        let (sort, id) = match self.holder {
            Holder::User => ("user", claims.get("user_id")),
            Holder::App => ("app", claims.get("app_id")),
        };
        let subject = format!("{sort}:{}", id.unwrap_or(&Value::Null));
        let name = claims.get("login").and_then(Value::as_str);
        let name = name.filter(|name| {
            (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic())
        });
        (name.unwrap_or(&subject).to_owned(), subject)
    }

    /// The ids and the names of the organisations that the user is an active member of, as far as the token may see.
    fn organizations(&self, answer: &Answer) -> Result<(Value, Value), Error> {
        match self.judge(answer) {
            Ok(()) => {}
            // It may not look: then no rule that asks for one fits.
            Err(Error::TokenRefused) if answer.status != 401 => {}
            Err(error) => return Err(error),
        }
        let json = match answer.status {
            200 => answer.json(),
            _ => Some(Value::Array(Vec::new())),
        };
        let json = json.filter(Value::is_array);
        let json = json.ok_or_else(|| unexpected("memberships that are no list"))?;
        let active = json.as_array().into_iter().flatten();
        let active =
            active.filter(|one| one.get("state").and_then(Value::as_str) == Some("active"));
        let member = |name: &str| -> Value {
            let member = |one: &Value| one.get("organization")?.get(name).cloned();
            active.clone().filter_map(member).collect()
        };
        Ok((member("id"), member("login")))
    }

    /// Whether an answer is one.
    fn judge(&self, answer: &Answer) -> Result<(), Error> {
        let number = |name: &str| answer.header(name)?.trim().parse::<u64>().ok();
        // Its secondary limits need not say so in the head, and where others failed too often it refuses all.
        let is_slowed = || {
            let body = answer.json().unwrap_or_default();
            let message = body.get("message").and_then(Value::as_str);
            let message = message.unwrap_or_default().to_ascii_lowercase();
            message.contains("rate limit") || message.contains("login attempts")
        };
        let is_used_up = number("x-ratelimit-remaining") == Some(0);
        let wait = match (number("retry-after"), number("x-ratelimit-reset")) {
            (Some(secs), _) => Some(secs),
            (None, Some(at)) if is_used_up => Some(at.saturating_sub(self.now)),
            (None, _) => (is_used_up || answer.status == 429 || is_slowed()).then_some(WAIT_SECS),
        };
        match (answer.status, wait) {
            (200, _) => Ok(()),
            (401, _) => Err(Error::TokenRefused),
            (403 | 429 | 500.., Some(secs)) => Err(Fault::ApiUnavailable {
                reason: format!("{} asks us to wait for {secs} s", self.api),
                retry_after: u32::try_from(secs.clamp(1, MAX_WAIT_SECS)).unwrap_or(1),
            }
            .into()),
            // A suspended user's, one that an organisation's single sign-on keeps out, or one that may not ask this.
            (403 | 404, _) => Err(Error::TokenRefused),
            (status, _) => Err(unexpected(&format!("status {status}"))),
        }
    }
}

/// What tokens of GitHub's begin with.
const PREFIXES: [&str; 6] = ["ghp_", "github_pat_", "gho_", "ghu_", "ghs_", "ghr_"];

/// A token that is tried, and shown for nothing (`POST /policy/test`).
pub struct Trial(Token);

impl Trial {
    /// Takes a token, if it is one of GitHub's by its begin.
    #[must_use]
    pub fn of(token: &str) -> Option<Self> {
        let is_one = PREFIXES.iter().any(|prefix| token.starts_with(prefix));
        (is_one && is_sendable(token)).then(|| Self(Token(token.to_owned())))
    }

    fn lookup<'a>(
        &'a self,
        config: &Config,
        rows: &'a Rows,
        now: u64,
    ) -> Result<Lookup<'a>, Error> {
        Ok(Lookup {
            api: config.github_api.to_string(),
            token: &self.0,
            now,
            holder: self.0.holder()?,
            rows: rows
                .plain
                .iter()
                .filter(|row| row.kind == DOOR.name)
                .collect(),
        })
    }

    /// What the API has to be asked; nothing, where there is no row.
    ///
    /// # Errors
    /// [`Error::UnsupportedToken`].
    pub fn asks(&self, config: &Config, rows: &Rows, now: u64) -> Result<Vec<Ask>, Error> {
        let lookup = self.lookup(config, rows, now)?;
        Ok(match lookup.need() {
            Need::Answers(asks) if !lookup.rows.is_empty() => asks,
            _ => Vec::new(),
        })
    }

    /// What each row makes of it, given the answers: the door takes the first that fits.
    ///
    /// # Errors
    /// [`Error::TokenRefused`], and faults of the API's.
    pub fn explain(
        &self,
        config: &Config,
        rows: &Rows,
        answers: &[Answer],
        now: u64,
    ) -> Result<Vec<Explained>, Error> {
        let lookup = self.lookup(config, rows, now)?;
        if lookup.rows.is_empty() {
            return Ok(Vec::new());
        }
        let claims = lookup.claims(answers)?;
        let (_, subject) = lookup.subject(&claims);
        let mut first: Option<String> = None;
        let explain = |row: &&Row| {
            let asks = row.rules_that_look_at("token_kind");
            let judged: Vec<_> = (row.mismatches(&claims).zip(asks))
                .map(|(claim, asks)| match claim {
                    Some(claim) => Err(format!("`{claim}` isn't what it has to be")),
                    None if !asks && !self.0.is_own() => {
                        Err("it says nothing of `token_kind`, which such a token needs".to_owned())
                    }
                    None => Ok(()),
                })
                .collect();
            let nothing = Explained::nothing(&row.name, DOOR.name, row.made.as_ref());
            match (judged.iter().position(Result::is_ok), &first) {
                (Some(_), Some(first)) => nothing.behind(first),
                (Some(rule), None) => {
                    first = Some(row.name.clone());
                    nothing.fitting(Some(rule), subject.clone(), &row.scopes, "challenge")
                }
                (None, _) => {
                    let why = (judged.into_iter().enumerate()).filter_map(|(at, judged)| {
                        Some(format!("rule {}: {}", at + 1, judged.err()?))
                    });
                    nothing.stopped("rules", why.collect())
                }
            }
        };
        Ok(lookup.rows.iter().map(explain).collect())
    }
}

/// Whether a token may go into a header as it is.
fn is_sendable(token: &str) -> bool {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    token.len() <= MAX_TOKEN_LEN && token.bytes().all(is_token)
}

fn unexpected(what: &str) -> Error {
    Fault::ApiUnavailable {
        reason: format!("GitHub's API answered with {what}"),
        retry_after: 10,
    }
    .into()
}

impl Opened for Lookup<'_> {
    fn need(&self) -> Need<'_> {
        if self.holder == Holder::App {
            return Need::Answers(vec![self.ask("/app")]);
        }
        let mut asks = vec![self.ask("/user")];
        let asks_for =
            |row: &&Row| row.looks_at("organization_ids") || row.looks_at("organizations");
        if self.rows.iter().any(asks_for) {
            asks.push(self.ask("/user/memberships/orgs?state=active&per_page=100"));
        }
        Need::Answers(asks)
    }

    fn oblige(&self, gathered: Gathered) -> Result<Obliged<'_>, Error> {
        let Gathered::Answers(answers) = gathered else {
            return Err(unexpected("nothing"));
        };
        let claims = self.claims(&answers)?;
        let permit = |row| {
            let row: &Row = row;
            let rule = match self.token.is_own() {
                true => row.permit(&claims),
                false => row.permit_by("token_kind", &claims),
            };
            rule.map(|rule| (row, rule.name()))
        };
        let row = self.rows.iter().copied().find_map(permit);
        let (row, rule) = row.ok_or(Error::NotPermitted(PolicyRule::Claims))?;
        let (name, subject) = self.subject(&claims);
        let who = Identified {
            kind: DOOR.name.to_owned(),
            issuer: self.api.clone(),
            name,
            subject,
            method: format!("{}:{}", DOOR.name, self.api),
            is_person: false,
            ceiling: row.scopes.clone(),
            burns: Vec::new(),
            until: None,
            certificate: None,
            row: row.made.clone(),
            rule,
            alias: None,
        };
        // GitHub vouched for it: there is no signature to check.
        Ok(Obliged::by_all(Vec::new(), move |_| Ok(who)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doors::testing::{Caller, NOW, config, config_with, identified};

    fn rows() -> Value {
        json!([
            { "type": "github_pat", "scopes": ["bridgeCert"], "rules": [{ "user_id": "7", "token_scopes": "repo" }] },
            { "type": "github_pat", "scopes": ["bridgeCert"], "rules": [{ "app_id": "7" }] },
        ])
    }

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &Value) -> Answer {
        let own = |(name, value): &(&'static str, &str)| ((*name).into(), (*value).to_owned());
        Answer {
            status,
            headers: headers.iter().map(own).collect(),
            body: body.to_string().into_bytes(),
        }
    }

    /// What comes of a token, if GitHub answers so.
    fn ask(token: &str, answers: &[Answer]) -> Result<Identified, Error> {
        let proof = json!({ "type": "github_pat", "token": token });
        let request = Caller::new().challenged(&proof);
        let given = |need: Need<'_>| match need {
            Need::Answers(asks) => {
                assert!(!format!("{asks:?}").contains(token));
                assert!(asks.iter().all(|ask| !ask.url.contains(token)));
                Gathered::Answers(answers.to_vec())
            }
            other => panic!("{other:?}"),
        };
        identified(&config(&rows()), &[], &request, given)
    }

    #[test]
    fn a_subject_is_an_id_of_this_api() {
        let scopes = [("x-oauth-scopes", "read:user, repo")];
        let user = answer(200, &scopes, &json!({ "id": 7, "login": "ana" }));
        let who = ask("ghp_x", &[user]).unwrap();
        assert_eq!(
            (&who.subject[..], &who.issuer[..], &who.name[..]),
            ("user:7", "https://api.github.com", "ana")
        );
        assert!(who.burns.is_empty());
        let app = answer(200, &[], &json!({ "id": 7, "slug": "bot", "login": "x" }));
        let who = ask("a.b.c", &[app]).unwrap();
        assert_eq!((&who.subject[..], &who.name[..]), ("app:7", "bot"));
        // A name that is none is not shown.
        for login in [
            json!("\u{202e}x"),
            json!(""),
            json!(7),
            json!(null),
            json!("x".repeat(65)),
        ] {
            let user = answer(200, &scopes, &json!({ "id": 7, "login": login }));
            assert_eq!(ask("ghp_x", &[user]).unwrap().name, "user:7");
        }
    }

    #[test]
    fn a_token_that_others_hold_is_asked_for_or_worth_nothing() {
        let user = || answer(200, &[("x-oauth-scopes", "repo")], &json!({ "id": 7 }));
        let no = Err(Error::NotPermitted(PolicyRule::Claims));
        for token in ["gho_x", "ghu_x", "0123abcd", "ghx_x"] {
            assert_eq!(ask(token, &[user()]), no, "{token}");
        }
        for token in ["ghp_x", "github_pat_x"] {
            assert!(ask(token, &[user()]).is_ok(), "{token}");
        }
        let rules = json!([{ "user_id": "7" }, { "user_id": "8", "token_kind": "oauth" }]);
        let row = json!([{ "type": "github_pat", "scopes": ["bridgeCert"], "rules": rules }]);
        let row = config(&row).rows.plain.remove(0);
        let claims = |id: u64| {
            let claims = json!({ "user_id": id, "token_kind": "oauth" });
            claims.as_object().unwrap().clone()
        };
        assert!(row.permit_by("token_kind", &claims(8)).is_some());
        assert!(
            row.permit_by("token_kind", &claims(7)).is_none(),
            "the other rule asks"
        );
    }

    #[test]
    fn what_github_does_not_say_lets_nobody_in() {
        let scopes = [("x-oauth-scopes", "repo")];
        let no = Err(Error::NotPermitted(PolicyRule::Claims));
        let of = |headers: &[(&'static str, &str)], body: &Value| {
            ask("ghp_x", &[answer(200, headers, body)])
        };
        assert_eq!(of(&[], &json!({ "id": 7 })), no);
        assert_eq!(of(&[("x-oauth-scopes", "")], &json!({ "id": 7 })), no);
        assert_eq!(of(&scopes, &json!({ "id": 8 })), no);
        for body in [
            json!({}),
            json!([]),
            json!({ "id": "7" }),
            json!({ "id": 0 }),
            json!({ "id": 7.5 }),
        ] {
            assert!(matches!(of(&scopes, &body), Err(Error::Fault(_))), "{body}");
        }
        assert!(matches!(ask("ghp_x", &[]), Err(Error::Fault(_))));
        for status in [0, 201, 204, 301, 302, 500, 503] {
            let answer = answer(status, &scopes, &json!({ "id": 7 }));
            assert!(
                matches!(ask("ghp_x", &[answer]), Err(Error::Fault(_))),
                "{status}"
            );
        }
        for status in [401, 403, 404] {
            let refused = answer(status, &scopes, &json!({ "id": 7 }));
            assert_eq!(ask("ghp_x", &[refused]), Err(Error::TokenRefused));
        }
    }

    #[test]
    fn who_is_to_wait_is_told_for_how_long() {
        let at = (NOW + 100).to_string();
        for (status, headers, secs) in [
            (429, vec![], 60),
            (403, vec![("retry-after", "30")], 30),
            (503, vec![("retry-after", "7")], 7),
            (403, vec![("x-ratelimit-remaining", "0")], 60),
            (
                403,
                vec![
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", at.as_str()),
                ],
                100,
            ),
            (
                403,
                vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "5")],
                1,
            ),
            (429, vec![("retry-after", "18446744073709551615")], 3600),
            (429, vec![("retry-after", "soon")], 60),
        ] {
            match ask("ghp_x", &[answer(status, &headers, &json!({}))]) {
                Err(Error::Fault(Fault::ApiUnavailable { retry_after, .. })) => {
                    assert_eq!(retry_after, secs, "{status} {headers:?}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_secondary_limit_says_so_in_the_body_alone() {
        let limited = json!({ "message": "You have exceeded a secondary rate limit. Please wait a few minutes." });
        let failed = json!({ "message": "Maximum number of login attempts exceeded. Please try again later." });
        let other = json!({ "message": "Resource not accessible by personal access token" });
        for (status, body, is_to_wait) in [
            (403, &limited, true),
            (429, &limited, true),
            (403, &failed, true),
            (403, &other, false),
            (404, &limited, false),
        ] {
            // These are of another limit, and in each answer.
            let head = [
                ("x-ratelimit-remaining", "4999"),
                ("x-ratelimit-reset", "99999999999"),
            ];
            match ask("ghp_x", &[answer(status, &head, body)]) {
                Err(Error::Fault(Fault::ApiUnavailable { retry_after, .. })) => {
                    assert!(is_to_wait && retry_after == 60, "{status}");
                }
                Err(Error::TokenRefused) => assert!(!is_to_wait, "{status}"),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn nobody_is_asked_without_a_challenge_keys_or_rows() {
        let nobody = |_: Need<'_>| panic!("somebody was asked");
        let caller = Caller::new();
        let proof = |token: &str| json!({ "type": "github_pat", "token": token });
        let mut request = caller.challenged(&proof("ghp_x"));
        let ours = config(&rows());
        for token in ["ghs_x", "ghs_a.b.c", "ghr_x"] {
            let request = caller.challenged(&proof(token));
            assert_eq!(
                identified(&ours, &[], &request, nobody),
                Err(Error::UnsupportedToken)
            );
        }
        let none = config_with(
            &json!([]),
            &[("GITHUB_API_URL", "https://github.example/api/v3")],
        );
        let refused = Err(Error::NotPermitted(PolicyRule::Claims));
        assert_eq!(identified(&none, &[], &request, nobody), refused);
        request["public_keys"] = Value::Null;
        assert_eq!(
            identified(&ours, &[], &request, nobody),
            Err(Error::MissingKeys)
        );
        request["challenge"] = Value::Null;
        assert_eq!(
            identified(&ours, &[], &request, nobody),
            Err(Error::ChallengeRequired)
        );
    }
}
