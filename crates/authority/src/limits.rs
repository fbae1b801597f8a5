//! How often is too often: by class of route and source, and by class and identity.
//!
//! A source pays for each request, before anything is done for it; an identity pays for what it gets, so nobody
//! else can use its share up. What is remembered is bounded: of a crowd those are forgotten that were quiet for
//! longest, which makes limits looser and never locks anybody out.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use crate::Error;
use crate::people::PrincipalId;

/// How many keys a generation remembers.
const MAX_KEYS: usize = 4096;
/// The longest name of a source that is no address.
const MAX_SOURCE_LEN: usize = 64;

/// Whose share something is that a principal is given who came in by this method. A method names who vouches for them, so
/// whoever speaks for an issuer uses up nothing of what their passkeys, or another issuer, would get them.
#[must_use]
pub fn share(principal: &PrincipalId, method: &str) -> String {
    format!("{principal} {method}")
}

/// Whose share something is that is asked for with a pair whose first one was issued by this method: another one, so
/// whoever stole a pair uses up nothing of what its owner's proofs get them.
#[must_use]
pub fn share_of_pairs(principal: &PrincipalId, method: &str) -> String {
    format!("{principal} pairs {method}")
}

/// What routes are alike in what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// What anybody may read: documents, pages, files.
    Documents,
    /// What a session does.
    Account,
    /// Coming in: passkeys, codes, invites.
    Ceremonies,
    /// Proofs for pairs.
    Enrolments,
    /// Access tokens, and the codes for them.
    Tokens,
}

impl Class {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [
        Self::Documents,
        Self::Account,
        Self::Ceremonies,
        Self::Enrolments,
        Self::Tokens,
    ];

    /// As configuration and documentation call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Documents => "documents",
            Self::Account => "account",
            Self::Ceremonies => "ceremonies",
            Self::Enrolments => "enrolments",
            Self::Tokens => "tokens",
        }
    }

    /// The platform's rate limiter that is asked too, if the deployment has one of this name.
    #[must_use]
    pub const fn binding(self) -> Option<&'static str> {
        match self {
            Self::Documents | Self::Account => None,
            Self::Ceremonies => Some("PASSKEY_LIMITER"),
            Self::Enrolments => Some("CERT_LIMITER"),
            Self::Tokens => Some("TOKEN_LIMITER"),
        }
    }
}

/// What the configuration allows, per minute and at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimits {
    documents: Option<u32>,
    account: Option<u32>,
    ceremonies: Option<u32>,
    enrolments: Option<u32>,
    tokens: Option<u32>,
    /// Of each class, to one identity.
    pub identity: Option<u32>,
    /// How many workloads that nobody has seen yet may come by what vouches for them.
    pub newcomers: Option<u32>,
}

impl Default for RateLimits {
    fn default() -> Self {
        Self {
            documents: Some(6000),
            account: Some(600),
            ceremonies: Some(120),
            enrolments: Some(600),
            tokens: Some(600),
            identity: Some(300),
            newcomers: Some(600),
        }
    }
}

impl RateLimits {
    /// Reads `ceremonies=120, enrolments=none`: what isn't named keeps its default; `off` is none at all.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut limits = Self::default();
        if text == "off" {
            for name in NAMES {
                limits.set(name, None);
            }
            return Ok(limits);
        }
        for entry in text.split(',').map(str::trim).filter(|e| !e.is_empty()) {
            let (name, number) = entry.split_once('=').ok_or_else(sentence)?;
            let number = match number.trim() {
                "none" => None,
                number => Some(
                    number
                        .parse()
                        .ok()
                        .filter(|n| *n > 0)
                        .ok_or_else(sentence)?,
                ),
            };
            if !limits.set(name.trim(), number) {
                return Err(sentence());
            }
        }
        Ok(limits)
    }

    fn set(&mut self, name: &str, number: Option<u32>) -> bool {
        let limit = match name {
            "documents" => &mut self.documents,
            "account" => &mut self.account,
            "ceremonies" => &mut self.ceremonies,
            "enrolments" => &mut self.enrolments,
            "tokens" => &mut self.tokens,
            "identity" => &mut self.identity,
            "newcomers" => &mut self.newcomers,
            _ => return false,
        };
        *limit = number;
        true
    }

    /// How many requests of a class one source may make.
    #[must_use]
    pub const fn of(&self, class: Class) -> Option<u32> {
        match class {
            Class::Documents => self.documents,
            Class::Account => self.account,
            Class::Ceremonies => self.ceremonies,
            Class::Enrolments => self.enrolments,
            Class::Tokens => self.tokens,
        }
    }
}

const NAMES: [&str; 7] = [
    "documents",
    "account",
    "ceremonies",
    "enrolments",
    "tokens",
    "identity",
    "newcomers",
];

fn sentence() -> String {
    let names = NAMES.join(", ");
    format!(
        "must be off, or entries such as ceremonies=120, separated by commas: a number above 0, or none, for {names}"
    )
}

/// How far clocks are apart that are right, in seconds.
const CLOCK_SKEW_SECS: u64 = 10;

/// Tries that are left, filled up by the minute.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    size: u32,
    /// Used tries, times 60 so that a second gives back a whole number.
    used: u64,
    at: u64,
}

impl Bucket {
    pub(crate) const fn new(size: u32, now: u64) -> Self {
        Self {
            size,
            used: 0,
            at: now,
        }
    }

    fn used(&self, now: u64) -> u64 {
        // By a clock that has been put back since: it would be as long until something is given back.
        if self.at > now.saturating_add(CLOCK_SKEW_SECS) {
            return 0;
        }
        let back = now.saturating_sub(self.at).saturating_mul(self.size.into());
        self.used.saturating_sub(back)
    }

    /// In how many seconds there is a try again.
    pub(crate) fn wait(&self, now: u64) -> Option<u64> {
        let size = u64::from(self.size);
        let over = (self.used(now) + 60).checked_sub(size * 60)?;
        (over > 0).then(|| over.div_ceil(size))
    }

    pub(crate) fn take(&mut self, now: u64) {
        self.used = self.used(now) + 60;
        self.at = if self.at > now.saturating_add(CLOCK_SKEW_SECS) {
            now
        } else {
            now.max(self.at)
        };
    }
}

/// Counts per key. Times are Unix seconds.
///
/// There are two generations: when the young one is full it becomes the old one, and what was old is forgotten.
#[derive(Debug, Default)]
pub struct Limiter {
    young: BTreeMap<String, Bucket>,
    old: BTreeMap<String, Bucket>,
}

impl Limiter {
    fn find(&self, key: &str) -> Option<&Bucket> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Whether there is one left for `key`.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`].
    pub fn permit(&self, key: &str, now: u64) -> Result<(), Error> {
        let wait = self.find(key).and_then(|bucket| bucket.wait(now));
        let secs = |secs| u32::try_from(secs).unwrap_or(u32::MAX);
        wait.map_or(Ok(()), |wait| Err(Error::TooManyRequests(secs(wait))))
    }

    /// Takes one, of so many a minute.
    pub fn charge(&mut self, key: &str, size: u32, now: u64) {
        let known = self.find(key).copied();
        let mut bucket = known.unwrap_or_else(|| Bucket::new(size, now));
        bucket.take(now);
        if self.young.len() >= MAX_KEYS && !self.young.contains_key(key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key.to_owned(), bucket);
    }

    /// Takes one, if there is one.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`].
    pub fn take(&mut self, key: &str, size: u32, now: u64) -> Result<(), Error> {
        self.permit(key, now)?;
        self.charge(key, size, now);
        Ok(())
    }
}

/// Who a request comes from, as limits count: an address, and of IPv6 the network of 64 bits that one customer
/// has. A port is left away.
#[must_use]
pub fn source(told: &str) -> String {
    let address = address(told);
    match address.parse::<Ipv6Addr>() {
        Ok(parsed) => match (parsed.to_ipv4_mapped(), parsed.segments()) {
            (Some(parsed), _) => parsed.to_string(),
            (None, [a, b, c, d, ..]) => format!("{a:x}:{b:x}:{c:x}:{d:x}::/64"),
        },
        Err(_) => address.to_owned(),
    }
}

/// The address that a request comes from, as the trail has it: without a port, and short whatever it is. Of a list it is
/// the last: proxies add to what they got, and its beginning is what the caller wrote.
#[must_use]
pub fn address(told: &str) -> &str {
    let last = told.rsplit(',').next().unwrap_or(told);
    let told = last.trim();
    let end = told.char_indices().nth(MAX_SOURCE_LEN).map(|(end, _)| end);
    let told = end.and_then(|end| told.get(..end)).unwrap_or(told);
    if let Some((address, _)) = told.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address;
    }
    match told.split_once(':') {
        // A second colon is an IPv6 address's.
        Some((address, port)) if port.bytes().all(|b| b.is_ascii_digit()) => address,
        _ => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_put_back_keeps_nobody_waiting() {
        let mut limiter = Limiter::default();
        for _ in 0..5 {
            limiter.take("a", 5, 10_000).unwrap();
        }
        assert_eq!(limiter.permit("a", 10_000), Err(Error::TooManyRequests(12)));
        // Clocks that are right are a little apart.
        assert!(limiter.permit("a", 9_990).is_err());
        assert_eq!(limiter.permit("a", 9_989), Ok(()));
        for _ in 0..5 {
            limiter.take("a", 5, 5_000).unwrap();
        }
        assert_eq!(limiter.permit("a", 5_000), Err(Error::TooManyRequests(12)));
        assert_eq!(limiter.permit("a", 5_012), Ok(()));
    }

    #[test]
    fn a_key_has_so_many_a_minute_and_one_back_as_time_goes() {
        let mut limiter = Limiter::default();
        for _ in 0..120 {
            assert_eq!(limiter.take("a", 120, 1000), Ok(()));
        }
        assert_eq!(limiter.take("a", 120, 1000), Err(Error::TooManyRequests(1)));
        assert_eq!(limiter.take("b", 120, 1000), Ok(()), "somebody else");
        assert_eq!(limiter.take("a", 120, 1001), Ok(()));
        assert_eq!(limiter.take("a", 120, 1001), Ok(()));
        assert!(limiter.take("a", 120, 1001).is_err());
        for _ in 0..120 {
            assert_eq!(limiter.take("a", 120, 1061), Ok(()));
        }
        assert!(limiter.take("a", 120, 1061).is_err());
    }

    #[test]
    fn asking_takes_nothing_and_what_is_refused_neither() {
        let mut limiter = Limiter::default();
        for _ in 0..5 {
            assert_eq!(limiter.permit("a", 1000), Ok(()));
        }
        limiter.charge("a", 1, 1000);
        for _ in 0..5 {
            assert_eq!(limiter.take("a", 1, 1000), Err(Error::TooManyRequests(60)));
        }
        assert_eq!(limiter.permit("a", 1060), Ok(()));
    }

    #[test]
    fn a_crowd_makes_it_looser_and_locks_nobody_out() {
        let mut limiter = Limiter::default();
        for i in 0..20_000_u64 {
            assert_eq!(limiter.take(&format!("{i}"), 1, 1000), Ok(()));
            assert!(limiter.young.len() <= MAX_KEYS && limiter.old.len() <= MAX_KEYS);
        }
        assert_eq!(limiter.take("new", 1, 1000), Ok(()));
        assert!(limiter.take("19999", 1, 1000).is_err(), "the last are kept");
        // Who goes on asking isn't forgotten.
        let mut limiter = Limiter::default();
        for i in 0..20_000_u64 {
            let _ = limiter.take(&format!("{i}"), 1, 1000);
            limiter.charge("busy", 1, 1000);
        }
        assert!(limiter.take("busy", 1, 1000).is_err());
    }

    #[test]
    fn sources_are_addresses_and_networks() {
        for (told, counted) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:4711", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("[2001:db8:1:2:aaaa::1]:443", "2001:db8:1:2::/64"),
            ("a proxy's name", "a proxy's name"),
            ("198.51.100.1, 192.0.2.7", "192.0.2.7"),
            ("x,2001:db8::1 ,[2001:db8:1:2::1]:443", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(source(told), counted, "{told}");
        }
        assert_eq!(source(&"é".repeat(100)), "é".repeat(MAX_SOURCE_LEN));
        let behind = format!("{}, 192.0.2.7", "x, ".repeat(100));
        assert_eq!(source(&behind), "192.0.2.7");
        assert_eq!(address("[2001:db8::aaaa:1]:443"), "2001:db8::aaaa:1");
        assert_eq!(address("2001:db8::aaaa:1"), "2001:db8::aaaa:1");
        assert_eq!(address(" 192.0.2.7:4711 "), "192.0.2.7");
    }

    #[test]
    fn what_is_configured_is_kept_and_what_is_misspelt_is_told() {
        let limits = RateLimits::parse("ceremonies = 5, enrolments=none").unwrap();
        assert_eq!(limits.of(Class::Ceremonies), Some(5));
        assert_eq!(limits.of(Class::Enrolments), None);
        assert_eq!(limits.of(Class::Tokens), Some(600));
        let off = RateLimits::parse("off").unwrap();
        assert!(Class::ALL.iter().all(|class| off.of(*class).is_none()));
        assert_eq!(off.identity, None);
        assert!(
            Class::ALL
                .iter()
                .all(|class| RateLimits::default().of(*class) >= Some(120))
        );
        for wrong in [
            "ceremony=5",
            "ceremonies",
            "ceremonies=0",
            "tokens=-1",
            "OFF",
            "tokens=1.5",
        ] {
            assert!(RateLimits::parse(wrong).is_err(), "{wrong}");
        }
    }
}
