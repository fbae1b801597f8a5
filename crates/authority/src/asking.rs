//! What is remembered of questions to APIs, so that nobody makes us ask more than is good. In memory, and gone with it.

use std::collections::VecDeque;

use sha2::{Digest, Sha256};

use crate::doors::Ask;

/// How long an answer may take, in milliseconds.
pub const TIMEOUT_MILLIS: u32 = 5_000;
/// The longest answer that is read, in bytes.
pub const MAX_ANSWER_BYTES: u32 = 256 * 1024;
/// How many questions there may be at once to one host: one that is slow keeps nobody from asking another.
const MAX_AT_ONCE: usize = 32;
/// How many of these may be one source's: whoever has many asked leaves room for others.
const MAX_OF_SOURCE: usize = 8;
/// How long it is remembered that a proof was refused, in milliseconds.
const REFUSED_MILLIS: u64 = 10_000;
/// How many refusals are remembered.
const MAX_REFUSED: usize = 1_000;

/// The questions of a worker.
#[derive(Debug, Default)]
pub struct Asking {
    /// Those that nobody has answered yet.
    open: Vec<Open>,
    asked: u64,
    /// What was refused, by hash, and when.
    refused: VecDeque<(u64, [u8; 32])>,
}

#[derive(Debug)]
struct Open {
    at: u64,
    number: u64,
    host: String,
    source: Option<String>,
}

/// The host that a question goes to, with its scheme.
fn host(url: &str) -> &str {
    let path = url.match_indices('/').nth(2);
    path.and_then(|(at, _)| url.get(..at)).unwrap_or(url)
}

/// A question, by the hash of all that it says.
#[must_use]
pub fn digest(ask: &Ask) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix("notme-ask-v1");
    let headers = ask.headers.iter();
    let parts = headers.flat_map(|(name, value)| [*name, value.as_str()]);
    let parts = parts.chain(ask.form.as_deref());
    for part in parts.chain([ask.url.as_str()]) {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl Asking {
    /// Whether this was refused a moment ago; `now` in Unix milliseconds.
    #[must_use]
    pub fn was_refused(&self, digest: &[u8; 32], now: u64) -> bool {
        let is_of_late = |at: u64| now.checked_sub(at).is_some_and(|age| age < REFUSED_MILLIS);
        let mut refused = self.refused.iter();
        refused.any(|(at, known)| known == digest && is_of_late(*at))
    }

    /// Remembers a refusal.
    pub fn refuse(&mut self, digest: [u8; 32], now: u64) {
        if self.refused.len() >= MAX_REFUSED {
            self.refused.pop_front();
        }
        self.refused.push_back((now, digest));
    }

    /// Begins a question, unless there are too many: its number. `source` is who makes us ask, if that is known.
    ///
    /// One whose caller went away is never ended, so each counts until it would have timed out and no longer.
    pub fn begin(&mut self, ask: &Ask, source: Option<&str>, now: u64) -> Option<u64> {
        let is_open = |at: u64| {
            let age = now.checked_sub(at);
            age.is_some_and(|age| age < u64::from(TIMEOUT_MILLIS))
        };
        self.open.retain(|open| is_open(open.at));
        let host = host(&ask.url);
        let there = || self.open.iter().filter(|open| open.host == host);
        let theirs = there().filter(|open| source.is_some() && open.source.as_deref() == source);
        if there().count() >= MAX_AT_ONCE || theirs.count() >= MAX_OF_SOURCE {
            return None;
        }
        self.asked = self.asked.wrapping_add(1);
        self.open.push(Open {
            at: now,
            number: self.asked,
            host: host.to_owned(),
            source: source.map(str::to_owned),
        });
        Some(self.asked)
    }

    /// Ends it.
    pub fn end(&mut self, number: u64) {
        self.open.retain(|open| open.number != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str, token: &str) -> Ask {
        Ask {
            url: url.to_owned(),
            headers: vec![("authorization", token.to_owned())],
            form: None,
            wanted: &[],
        }
    }

    #[test]
    fn a_refusal_is_remembered_for_a_while() {
        let mut asking = Asking::default();
        let one = digest(&ask("https://a/user", "x"));
        asking.refuse(one, 5_000);
        assert!(asking.was_refused(&one, 5_000));
        assert!(asking.was_refused(&one, 14_999));
        assert!(!asking.was_refused(&one, 15_000));
        assert!(!asking.was_refused(&one, 4_999), "from the future");
        for other in [
            ask("https://a/user", "y"),
            ask("https://b/user", "x"),
            ask("https://a/userx", ""),
        ] {
            assert!(!asking.was_refused(&digest(&other), 5_000), "{}", other.url);
        }
        for other in 0..1_000_u32 {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&other.to_be_bytes());
            asking.refuse(digest, 5_000);
        }
        assert!(!asking.was_refused(&one, 5_000));
        assert_eq!(asking.refused.len(), 1_000);
    }

    #[test]
    fn there_are_so_many_questions_at_once_and_no_more() {
        let mut asking = Asking::default();
        let (one, other) = (ask("https://a/user", "x"), ask("https://b/user", "x"));
        let begin = |asking: &mut Asking, now| asking.begin(&one, None, now);
        let numbers: Vec<_> = (0..32)
            .map(|_| begin(&mut asking, 1_000).unwrap())
            .collect();
        assert_eq!(begin(&mut asking, 1_000), None);
        assert!(asking.begin(&other, None, 1_000).is_some(), "another host");
        asking.end(numbers[7]);
        asking.end(numbers[7]);
        assert!(begin(&mut asking, 1_000).is_some());
        assert_eq!(begin(&mut asking, 5_999), None);
        // Those whose callers went away.
        assert!(begin(&mut asking, 6_000).is_some());
        // The clock went back.
        assert!(begin(&mut asking, 0).is_some());
        assert_eq!(asking.open.len(), 1);
    }

    #[test]
    fn nobody_has_so_many_asked_that_others_could_not() {
        let mut asking = Asking::default();
        let one = ask("https://a/user", "x");
        for _ in 0..8 {
            assert!(asking.begin(&one, Some("192.0.2.1"), 0).is_some());
        }
        assert_eq!(asking.begin(&one, Some("192.0.2.1"), 0), None);
        assert!(asking.begin(&one, Some("192.0.2.2"), 0).is_some());
        let other = ask("https://b/", "x");
        assert!(asking.begin(&other, Some("192.0.2.1"), 0).is_some());
    }

    #[test]
    fn hosts_are_told_apart_by_all_that_is_before_the_path() {
        for (url, of) in [
            ("https://a.example/user?x=/", "https://a.example"),
            ("http://127.0.0.1:9/token", "http://127.0.0.1:9"),
            ("https://a.example", "https://a.example"),
        ] {
            assert_eq!(host(url), of);
        }
    }
}
