//! Questions to APIs: which are asked, which wait for the answer to another's, and which answers are kept.
//!
//! One [`Asking`] sits in each of the objects that ask a host, and one question is always the same object's: it is asked
//! once, however many workers have it.
//! Tokens are in questions, so a question is known by a hash, and nothing of it is stored.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::doors::{Answer, Ask};
use crate::limits::Limiter;
use crate::{BaseUrl, Error, Fault};

/// How long an answer may take, in milliseconds.
pub const TIMEOUT_MILLIS: u32 = 5_000;
/// The longest answer that is read, in bytes: a hundred memberships of GitHub's are half of it.
pub const MAX_ANSWER_BYTES: u32 = 512 * 1024;
/// When a question is given up whose end nobody was told of, in milliseconds: after it must have timed out.
const GIVEN_UP_MILLIS: u64 = 6_000;
/// How many objects share the questions to one host: each question is always the same one's.
const OBJECTS: u8 = 16;
/// How many questions one of them asks at once: Cloudflare lets an object wait for no more, and GitHub nobody for a hundred.
const MAX_AT_ONCE: usize = 6;
/// How many of these may be one source's: whoever has many asked leaves room for others.
const MAX_OF_SOURCE: usize = 2;
/// How many proofs of one source may be refused at once, and per minute afterwards: an API counts against us what it is asked
/// about tokens that aren't. Of each object; so of 16 that is some dozens.
const REFUSALS_OF_SOURCE: u32 = 5;
/// How long a good answer is kept, in milliseconds since it was asked for: what an API takes back leads nowhere after this.
const GOOD_MILLIS: u64 = 5_000;
/// How long it is kept that a proof was refused, in milliseconds.
const REFUSED_MILLIS: u64 = 10_000;
/// How long anything else is kept, and that there was no answer, in milliseconds: less than callers are told to wait.
const FAILED_MILLIS: u64 = 1_000;
/// How long it is kept at most that an API asks us to wait, in milliseconds.
const MAX_WAIT_MILLIS: u64 = 60_000;
/// How many answers are kept.
const MAX_KEPT: usize = 1_000;
/// How long all that are kept may be together, in bytes.
const MAX_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// What an API answered, or that it didn't.
pub type Outcome = Result<Answer, Fault>;

/// A question, as a worker has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// What is asked.
    pub ask: Ask,
    /// Who makes us ask, if that is known.
    pub source: Option<String>,
}

/// What to do about a question; `Asked` is how the host waits for an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Plan<Asked> {
    /// It was answered a moment ago.
    Known(Outcome),
    /// It is being asked: its answer is that of this one.
    Wait(Asked),
    /// It has to be asked: [`Asking::begin`].
    Ask,
}

/// A question that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    number: u64,
    key: Option<Key>,
}

/// All that a question says, hashed.
type Key = [u8; 32];

/// The questions of one object.
#[derive(Debug)]
pub struct Asking<Asked> {
    /// Those that nobody has answered yet.
    open: Vec<Open<Asked>>,
    begun: u64,
    kept: VecDeque<Kept>,
    /// What was refused, by source.
    refused: Limiter,
}

#[derive(Debug)]
struct Open<Asked> {
    at: u64,
    ticket: Ticket,
    source: Option<String>,
    asked: Asked,
}

#[derive(Debug)]
struct Kept {
    key: Key,
    /// Since when, and for how long.
    at: u64,
    millis: u64,
    outcome: Outcome,
}

impl Kept {
    fn counts(&self, now: u64) -> bool {
        let age = now.checked_sub(self.at);
        age.is_some_and(|age| age < self.millis)
    }

    fn size(&self) -> usize {
        let text = match &self.outcome {
            Ok(answer) => answer.headers.iter().map(|(_, value)| value.len()).sum(),
            Err(fault) => fault.to_string().len(),
        };
        let body = self.outcome.as_ref().map_or(0, |answer| answer.body.len());
        body.saturating_add(text)
    }
}

/// What the object is called that asks this: by scheme, host and port, and by a part of the question. Nobody shares a
/// form, and one object sees all of a source's: what it makes up doesn't get sixteen times as far.
#[must_use]
pub fn object(question: &Question) -> String {
    let Question { ask, source } = question;
    let bare = ask.url.split(['?', '#']).next().unwrap_or_default();
    let url = BaseUrl::parse(bare);
    // What is no URL is asked nowhere.
    let origin = url.map_or_else(|_| String::new(), |url| url.origin());
    let [first, ..] = match (&ask.form, source) {
        (Some(_), Some(source)) => Sha256::digest(source).into(),
        _ => hash(ask),
    };
    format!("{origin}#{}", first % OBJECTS)
}

/// For how long an API asks not to be asked this again, in milliseconds.
fn wait(answer: &Answer) -> Option<u64> {
    let secs: u64 = answer.header("retry-after")?.trim().parse().ok()?;
    let millis = secs.saturating_mul(1_000);
    Some(millis.clamp(FAILED_MILLIS, MAX_WAIT_MILLIS))
}

/// What a question is known by. A form does something where it is sent, so each is a question of its own.
fn key(ask: &Ask) -> Option<Key> {
    ask.form.is_none().then(|| hash(ask))
}

fn hash(ask: &Ask) -> Key {
    let mut hash = Sha256::new_with_prefix("notme-ask-v2");
    let headers = ask.headers.iter();
    let parts = headers.flat_map(|(name, value)| [name.as_ref(), value.as_str()]);
    let wanted = ask.wanted.iter().map(AsRef::as_ref);
    let groups: [Vec<&str>; 4] = [
        vec![ask.url.as_str()],
        parts.collect(),
        wanted.collect(),
        ask.form.as_deref().into_iter().collect(),
    ];
    let mut put = |bytes: &[u8]| hash.update(bytes);
    for group in groups {
        put(&length(group.len()));
        for part in group {
            put(&length(part.len()));
            put(part.as_bytes());
        }
    }
    hash.finalize().into()
}

fn length(of: usize) -> [u8; 8] {
    u64::try_from(of).unwrap_or(u64::MAX).to_be_bytes()
}

impl<Asked> Default for Asking<Asked> {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            begun: 0,
            kept: VecDeque::new(),
            refused: Limiter::default(),
        }
    }
}

impl<Asked: Clone> Asking<Asked> {
    /// What to do about a question; `now` in Unix milliseconds.
    pub fn plan(&mut self, ask: &Ask, now: u64) -> Plan<Asked> {
        self.forget(now);
        let Some(key) = key(ask) else {
            return Plan::Ask;
        };
        let mut kept = self.kept.iter().rev();
        if let Some(kept) = kept.find(|kept| kept.key == key) {
            return Plan::Known(kept.outcome.clone());
        }
        let mut open = self.open.iter();
        let open = open.find(|open| open.ticket.key == Some(key));
        open.map_or(Plan::Ask, |open| Plan::Wait(open.asked.clone()))
    }

    /// Begins a question, unless there are too many at once. `asked` makes what others wait for.
    ///
    /// # Errors
    /// [`Fault::ApiUnavailable`], and [`Error::TooManyRequests`] for a source that has too much asked, or shows too much
    /// that is refused.
    pub fn begin(
        &mut self,
        question: &Question,
        now: u64,
        asked: impl FnOnce(Ticket) -> Asked,
    ) -> Result<Asked, Error> {
        self.forget(now);
        let Question { ask, source } = question;
        if let Some(source) = source {
            self.refused.permit(source, now / 1000)?;
        }
        let theirs = self.open.iter();
        let theirs = theirs.filter(|open| source.is_some() && open.source == *source);
        if theirs.count() >= MAX_OF_SOURCE {
            return Err(Error::TooManyRequests(1));
        }
        if self.open.len() >= MAX_AT_ONCE {
            return Err(Fault::ApiUnavailable {
                reason: format!("too many questions to {} at once", ask.url),
                retry_after: 1,
            }
            .into());
        }
        self.begun = self.begun.wrapping_add(1);
        let ticket = Ticket {
            number: self.begun,
            key: key(ask),
        };
        let asked = asked(ticket);
        self.open.push(Open {
            at: now,
            ticket,
            source: source.clone(),
            asked: asked.clone(),
        });
        Ok(asked)
    }

    /// Ends it, and keeps what came of it for a while: the first of those who waited for it does, and nothing comes of
    /// the others' doing so, nor of one that took so long that it was given up.
    pub fn end(&mut self, ticket: Ticket, outcome: &Outcome, now: u64) {
        let mut open = self.open.iter();
        let Some(at) = open.position(|open| open.ticket.number == ticket.number) else {
            return;
        };
        let ended = self.open.swap_remove(at);
        let status = outcome.as_ref().map_or(0, |answer| answer.status);
        // What is wrong with a form is 400 (RFC 6749 §5.2).
        let is_refused = status == 401 || (status == 400 && ticket.key.is_none());
        if let (Some(source), true) = (&ended.source, is_refused) {
            self.refused.charge(source, REFUSALS_OF_SOURCE, now / 1000);
        }
        let Some(key) = ticket.key else {
            return;
        };
        let (at, millis) = match outcome {
            Ok(answer) if answer.status == 200 => (ended.at, GOOD_MILLIS),
            Ok(answer) if answer.status == 401 => (now, REFUSED_MILLIS),
            Ok(answer) => (now, wait(answer).unwrap_or(FAILED_MILLIS)),
            Err(_) => (now, FAILED_MILLIS),
        };
        self.kept.push_back(Kept {
            key,
            at,
            millis,
            outcome: outcome.clone(),
        });
        self.forget(now);
        let mut size: usize = self.kept.iter().map(Kept::size).sum();
        while self.kept.len() > MAX_KEPT || size > MAX_KEPT_BYTES {
            let oldest = self.kept.pop_front();
            size = size.saturating_sub(oldest.as_ref().map_or(0, Kept::size));
        }
    }

    /// Forgets what is no longer good, and questions that must have timed out by now.
    fn forget(&mut self, now: u64) {
        self.kept.retain(|kept| kept.counts(now));
        self.open.retain(|open| {
            let age = now.checked_sub(open.at);
            age.is_some_and(|age| age < GIVEN_UP_MILLIS)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const URL: &str = "https://a.example/user";

    fn ask(url: &str, token: &str) -> Ask {
        Ask {
            url: url.to_owned(),
            headers: vec![("authorization".into(), token.to_owned())],
            form: None,
            wanted: Vec::new(),
        }
    }

    fn form(text: &str) -> Ask {
        Ask {
            form: Some(text.to_owned()),
            ..ask(URL, "x")
        }
    }

    fn answer(status: u16, len: usize) -> Outcome {
        Ok(Answer {
            status,
            body: vec![b'x'; len],
            ..Answer::default()
        })
    }

    /// Begins a question, for which others wait by its ticket.
    fn begin(
        asking: &mut Asking<Ticket>,
        ask: &Ask,
        source: Option<&str>,
        now: u64,
    ) -> Result<Ticket, Error> {
        let question = Question {
            ask: ask.clone(),
            source: source.map(str::to_owned),
        };
        asking.begin(&question, now, |ticket| ticket)
    }

    /// A question that took from `at` to `now`.
    fn ask_through(asking: &mut Asking<Ticket>, ask: &Ask, outcome: &Outcome, at: u64, now: u64) {
        let ticket = begin(asking, ask, None, at).unwrap();
        asking.end(ticket, outcome, now);
    }

    #[test]
    fn who_has_the_same_question_waits_for_its_answer() {
        let mut asking = Asking::default();
        let one = ask(URL, "x");
        assert_eq!(asking.plan(&one, 0), Plan::Ask);
        let ticket = begin(&mut asking, &one, Some("192.0.2.1"), 0).unwrap();
        assert_eq!(asking.plan(&one, 0), Plan::Wait(ticket));
        assert_eq!(asking.plan(&one, 5_999), Plan::Wait(ticket));
        let named = Ask {
            wanted: vec!["etag".into()],
            ..one.clone()
        };
        let moved = Ask {
            headers: vec![("authorizatio".into(), "nx".to_owned())],
            ..one.clone()
        };
        let more = Ask {
            headers: vec![
                ("authorization".into(), "x".to_owned()),
                ("accept".into(), String::new()),
            ],
            ..one.clone()
        };
        let other = ask("https://a.example/userx", "");
        for other in [
            ask(URL, "y"),
            ask("https://a.example/app", "x"),
            other,
            named,
            moved,
            more,
        ] {
            assert_eq!(asking.plan(&other, 0), Plan::Ask);
        }
        // One of which no end was told.
        assert_eq!(asking.plan(&one, 6_000), Plan::Ask);
        asking.end(ticket, &answer(200, 1), 6_000);
        assert_eq!(asking.plan(&one, 6_000), Plan::Ask);
    }

    #[test]
    fn what_was_answered_is_kept_for_as_long_as_it_may_be() {
        let fault = Err(Fault::Internal(String::new()));
        for (outcome, until) in [
            (answer(200, 1), 5_100), // counted from the question
            (answer(401, 1), 12_100),
            (answer(403, 1), 3_100),
            (answer(500, 1), 3_100),
            (answer(302, 1), 3_100),
            (fault, 3_100),
        ] {
            let mut asking = Asking::default();
            let one = ask(URL, "x");
            ask_through(&mut asking, &one, &outcome, 100, 2_100);
            let known = Plan::Known(outcome.clone());
            assert_eq!(asking.plan(&one, 2_100), known);
            assert_eq!(asking.plan(&ask(URL, "y"), 2_100), Plan::Ask);
            assert_eq!(asking.plan(&one, until - 1), known);
            assert_eq!(asking.plan(&one, until), Plan::Ask, "{outcome:?}");
            // And it is gone.
            assert!(asking.kept.is_empty());
            ask_through(&mut asking, &one, &outcome, 100, 2_100);
            assert_eq!(asking.plan(&one, 0), Plan::Ask, "from the future");
        }
    }

    #[test]
    fn an_api_that_asks_us_to_wait_is_left_alone() {
        for (told, until) in [("7", 7_000), ("0", 1_000), ("x", 1_000), ("3600", 60_000)] {
            let mut asking = Asking::default();
            let one = ask(URL, "x");
            let busy = Ok(Answer {
                status: 429,
                headers: vec![("retry-after".into(), told.to_owned())],
                ..Answer::default()
            });
            ask_through(&mut asking, &one, &busy, 0, 0);
            assert_eq!(asking.plan(&one, until - 1), Plan::Known(busy), "{told}");
            assert_eq!(asking.plan(&one, until), Plan::Ask, "{told}");
        }
    }

    #[test]
    fn a_form_is_sent_each_time() {
        let mut asking = Asking::default();
        let one = form("code=x");
        let first = begin(&mut asking, &one, None, 0).unwrap();
        assert_eq!(asking.plan(&one, 0), Plan::Ask);
        let second = begin(&mut asking, &one, None, 0).unwrap();
        assert_ne!(first, second);
        for (ticket, status) in [(first, 200), (second, 401)] {
            asking.end(ticket, &answer(status, 1), 1);
            assert_eq!(asking.plan(&one, 1), Plan::Ask);
        }
        assert!(asking.open.is_empty() && asking.kept.is_empty());
    }

    #[test]
    fn so_many_answers_are_kept_and_no_more() {
        let mut asking = Asking::default();
        let one = |number: usize| ask(URL, &number.to_string());
        for number in 0..=MAX_KEPT {
            ask_through(&mut asking, &one(number), &answer(401, 0), 0, 0);
        }
        assert_eq!(asking.kept.len(), MAX_KEPT);
        assert_eq!(asking.plan(&one(0), 0), Plan::Ask);
        assert_eq!(asking.plan(&one(1), 0), Plan::Known(answer(401, 0)));

        let mut asking = Asking::default();
        let quarter = MAX_KEPT_BYTES / 4;
        for number in 0..5 {
            ask_through(&mut asking, &one(number), &answer(200, quarter), 0, 0);
        }
        assert_eq!(asking.kept.len(), 4);
        assert_eq!(asking.plan(&one(0), 0), Plan::Ask);
        assert_eq!(asking.plan(&one(4), 0), Plan::Known(answer(200, quarter)));
        ask_through(&mut asking, &one(5), &answer(200, MAX_KEPT_BYTES + 1), 0, 0);
        assert!(asking.kept.is_empty());
    }

    #[test]
    fn there_are_so_many_questions_at_once_and_no_more() {
        let mut asking = Asking::default();
        let mut number = 0;
        let mut next = |asking: &mut Asking<Ticket>, now| {
            number += 1;
            begin(asking, &ask(URL, &number.to_string()), None, now)
        };
        let tickets: Vec<_> = (0..6).map(|_| next(&mut asking, 1_000).unwrap()).collect();
        let busy = next(&mut asking, 1_000);
        assert!(matches!(
            busy,
            Err(Error::Fault(Fault::ApiUnavailable { retry_after: 1, .. }))
        ));
        assert!(begin(&mut asking, &form(""), None, 1_000).is_err());
        asking.end(tickets[3], &answer(500, 0), 1_000);
        asking.end(tickets[3], &answer(500, 0), 1_000);
        assert!(next(&mut asking, 1_000).is_ok());
        assert!(next(&mut asking, 6_999).is_err());
        // Those that were given up.
        assert!(next(&mut asking, 7_000).is_ok());
        // The clock went back.
        assert!(next(&mut asking, 0).is_ok());
        assert_eq!(asking.open.len(), 1);
    }

    #[test]
    fn nobody_has_so_many_asked_that_others_could_not() {
        let mut asking = Asking::default();
        for number in 0..2 {
            let one = ask(URL, &number.to_string());
            assert!(begin(&mut asking, &one, Some("192.0.2.1"), 0).is_ok());
        }
        let one = ask(URL, "x");
        let slowed = Err(Error::TooManyRequests(1));
        assert_eq!(begin(&mut asking, &one, Some("192.0.2.1"), 0), slowed);
        assert!(begin(&mut asking, &one, Some("192.0.2.2"), 0).is_ok());
        // What somebody asks already is open to all.
        assert!(matches!(asking.plan(&one, 0), Plan::Wait(_)));
    }

    #[test]
    fn who_shows_much_that_is_refused_has_no_more_asked() {
        let mut asking = Asking::default();
        let (mine, theirs) = (Some("192.0.2.1"), Some("192.0.2.2"));
        let tell = |asking: &mut Asking<Ticket>, number: u32, source, status| {
            let ticket = begin(asking, &ask(URL, &number.to_string()), source, 1_000)?;
            asking.end(ticket, &answer(status, 0), 1_000);
            Ok::<_, Error>(())
        };
        for number in 0..100 {
            assert_eq!(tell(&mut asking, number, None, 401), Ok(()), "nobody's");
            assert_eq!(tell(&mut asking, number, mine, 200), Ok(()));
            assert_eq!(tell(&mut asking, number, mine, 500), Ok(()));
        }
        for number in 0..5 {
            assert_eq!(tell(&mut asking, number, mine, 401), Ok(()));
        }
        let slowed = Err(Error::TooManyRequests(12));
        assert_eq!(tell(&mut asking, 30, mine, 401), slowed);
        assert_eq!(tell(&mut asking, 30, mine, 200), slowed);
        assert_eq!(tell(&mut asking, 30, theirs, 401), Ok(()));
        assert_eq!(
            begin(&mut asking, &form("x"), mine, 1_000).map(drop),
            slowed
        );
        let wrong = begin(&mut asking, &form("x"), theirs, 1_000).unwrap();
        asking.end(wrong, &answer(400, 0), 1_000);
        assert_eq!(tell(&mut asking, 31, theirs, 400), Ok(()), "no form");
        for number in 32..35 {
            assert_eq!(tell(&mut asking, number, theirs, 401), Ok(()));
        }
        assert_eq!(tell(&mut asking, 35, theirs, 401), slowed);
        // What is known already nobody is asked about.
        assert!(matches!(asking.plan(&ask(URL, "4"), 1_000), Plan::Known(_)));
        assert!(begin(&mut asking, &ask(URL, "30"), mine, 13_000).is_ok());
    }

    #[test]
    fn a_question_is_always_the_same_objects_and_a_host_has_sixteen() {
        let mut seen = BTreeSet::new();
        for number in 0..500 {
            let ask = ask("https://a.example/user?x=/", &number.to_string());
            let of = |source: &str| {
                object(&Question {
                    ask: ask.clone(),
                    source: Some(source.into()),
                })
            };
            assert_eq!(of("s"), of("t"));
            seen.insert(of("s"));
        }
        let all: BTreeSet<_> = (0..16).map(|n| format!("https://a.example#{n}")).collect();
        assert_eq!(seen, all);
        for (url, of) in [
            ("http://127.0.0.1:9/token", "http://127.0.0.1:9#"),
            ("https://a.example", "https://a.example#"),
            ("HTTPS://A.example:443/token?x=a/b", "https://a.example#"),
            ("https://a.example?x=a/b", "https://a.example#"),
        ] {
            let question = Question {
                ask: ask(url, ""),
                source: None,
            };
            assert!(object(&question).starts_with(of), "{url}");
        }
        assert_ne!(hash(&form("x")), hash(&form("y")));
        let of = |source: Option<&str>, code: &str| {
            object(&Question {
                ask: form(code),
                source: source.map(str::to_owned),
            })
        };
        let all = |source: Option<&str>| -> BTreeSet<_> {
            (0..100).map(|n| of(source, &n.to_string())).collect()
        };
        assert_eq!(all(Some("s")).len(), 1);
        assert_eq!(all(None).len(), 16);
        let sources: BTreeSet<_> = (0..500).map(|n| of(Some(&n.to_string()), "x")).collect();
        assert_eq!(sources.len(), 16);
    }

    #[test]
    fn nothing_secret_is_written() {
        let question = Question {
            ask: Ask {
                form: Some("secret".to_owned()),
                ..ask(URL, "secret")
            },
            source: None,
        };
        let told = Answer {
            body: b"secret".to_vec(),
            headers: vec![("x".into(), "secret".to_owned())],
            ..Answer::default()
        };
        let bytes = format!("{:?}", b"secret");
        let written = format!("{question:?} {told:?}");
        assert!(!written.contains("secret") && !written.contains(bytes.trim_matches(['[', ']'])));
    }
}
