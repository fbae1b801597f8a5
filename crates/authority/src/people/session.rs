//! Sessions: a random id in a cookie, stored hashed, that points to a principal.

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use notme_keys::{decode_base64url, encode_base64url};

use super::Scope;

/// The name of the cookie (notme protocol §25).
pub const COOKIE: &str = "notme_session";
/// How long a session lasts, in seconds: §5.6.
pub const LIFETIME_SECS: u64 = 86_400;
/// How long an unused one lasts, in seconds.
pub const IDLE_SECS: u64 = 8 * 3600;
/// How old the note of a session's last use may be, in seconds: using one isn't a write each time.
pub const SEEN_GRAIN_SECS: u64 = 60;
/// For how long after a ceremony a session may do what is dangerous, in seconds.
pub const STEP_UP_SECS: u64 = 300;
/// How many cookies of one request can end sessions.
const MAX_ENDED: usize = 4;
/// How far ahead of the clock what was noted may be, in seconds: clocks are put right.
const CLOCK_SKEW: u64 = 60;

/// The secret in the cookie.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SessionToken([u8; 32]);

impl SessionToken {
    /// A new one; `random` fresh.
    #[must_use]
    pub const fn from_random(random: [u8; 32]) -> Self {
        Self(random)
    }

    /// Reads the value of a cookie.
    fn parse(value: &str) -> Option<Self> {
        let bytes = decode_base64url(value)?;
        bytes.try_into().ok().map(Self)
    }

    /// What is stored in its place. A fast hash will do: nobody guesses 32 random bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::new_with_prefix("notme-session-v1")
            .chain_update(self.0)
            .finalize()
            .into()
    }

    /// The value of the cookie.
    #[must_use]
    pub fn to_text(&self) -> String {
        encode_base64url(&self.0)
    }

    /// The `Set-Cookie` header that gives a browser the session (§3.5), for so many seconds.
    #[must_use]
    pub fn set_cookie(&self, max_age_secs: u64) -> String {
        let value = self.to_text();
        format!(
            "{COOKIE}={value}; HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age={max_age_secs}"
        )
    }
}

/// The `Set-Cookie` header that ends a session.
#[must_use]
pub fn clear_cookie() -> String {
    format!("{COOKIE}=; HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age=0")
}

/// What a request's `Cookie` header says about a session.
#[derive(Clone)]
pub enum Presented {
    /// No cookie of ours.
    Nothing,
    /// A cookie that is none of this version's, or several: somebody else set one of them.
    Malformed,
    /// One that may be a session's.
    Token(SessionToken),
}

impl Presented {
    /// Reads a `Cookie` header.
    #[must_use]
    pub fn read(header: Option<&str>) -> Self {
        let mut values = values(header);
        match (values.next(), values.next()) {
            (None, _) => Self::Nothing,
            (Some(value), None) => SessionToken::parse(value).map_or(Self::Malformed, Self::Token),
            (Some(_), Some(_)) => Self::Malformed,
        }
    }

    /// All that may be a session's, for whoever ends them. More than a few are nobody's.
    pub fn all(header: Option<&str>) -> impl Iterator<Item = SessionToken> + '_ {
        values(header)
            .take(MAX_ENDED)
            .filter_map(SessionToken::parse)
    }
}

/// The values of our cookie.
fn values(header: Option<&str>) -> impl Iterator<Item = &str> {
    let pairs = header.unwrap_or_default().split(';');
    pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .map(|(_, value)| value)
}

/// When things happened to a session, in Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When it began.
    pub created_at: u64,
    /// When it was last used, to [`SEEN_GRAIN_SECS`].
    pub seen_at: u64,
    /// When its holder last showed an authenticator.
    pub verified_at: u64,
}

impl Times {
    /// Those of a session that begins with a ceremony.
    #[must_use]
    pub const fn starting(now: u64) -> Self {
        Self {
            created_at: now,
            seen_at: now,
            verified_at: now,
        }
    }

    /// Whether the session is over. One that begins later, by a clock that was ahead, would last too long.
    #[must_use]
    pub const fn is_over(&self, now: u64) -> bool {
        now >= self.created_at.saturating_add(LIFETIME_SECS)
            || now >= self.seen_at.saturating_add(IDLE_SECS)
            || is_ahead(self.created_at, now)
    }

    /// Whether this use deserves to be noted.
    #[must_use]
    pub const fn is_to_be_noted(&self, now: u64) -> bool {
        now >= self.seen_at.saturating_add(SEEN_GRAIN_SECS) || is_ahead(self.seen_at, now)
    }

    /// Whether its holder has shown a passkey in it. In one that began with something else that is later than its
    /// beginning.
    #[must_use]
    pub const fn has_shown_passkey(&self, began_with_passkey: bool) -> bool {
        began_with_passkey || self.verified_at > self.created_at
    }

    /// Whether a grant counts in it already. What was granted since its holder last showed an authenticator waits for the
    /// next time; what no certificate may carry waits for a passkey.
    #[must_use]
    pub fn makes_due(&self, scope: Scope, granted_at: u64, began_with_passkey: bool) -> bool {
        granted_at <= self.verified_at
            && (scope.is_for_certificates() || self.has_shown_passkey(began_with_passkey))
    }

    /// Until when its holder may do what is dangerous without showing a passkey again.
    #[must_use]
    pub const fn fresh_until(&self, now: u64, began_with_passkey: bool) -> u64 {
        if is_ahead(self.verified_at, now) || !self.has_shown_passkey(began_with_passkey) {
            return 0;
        }
        self.verified_at.saturating_add(STEP_UP_SECS)
    }
}

const fn is_ahead(at: u64, now: u64) -> bool {
    at > now.saturating_add(CLOCK_SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(header: &str) -> Option<[u8; 32]> {
        match Presented::read(Some(header)) {
            Presented::Token(token) => Some(token.hash()),
            _ => None,
        }
    }

    #[test]
    fn a_cookie_comes_back_as_it_was_set() {
        let token = SessionToken::from_random([7; 32]);
        let cookie = token.set_cookie(86_400);
        let (pair, attributes) = cookie.split_once("; ").unwrap();
        assert_eq!(
            attributes,
            "HttpOnly; Secure; SameSite=Strict; Path=/; Max-Age=86400"
        );
        assert_eq!(hash(pair), Some(token.hash()));
        assert_eq!(hash(&format!("a=b; {pair}; c")), Some(token.hash()));
        assert_ne!(token.hash(), SessionToken::from_random([8; 32]).hash());
    }

    #[test]
    fn other_cookies_are_nothing_and_old_or_double_ones_malformed() {
        let is_nothing = |header| matches!(Presented::read(header), Presented::Nothing);
        assert!(is_nothing(None));
        for header in [
            "",
            "a=b",
            "xnotme_session=1",
            "notme_session",
            "NOTME_SESSION=x",
        ] {
            assert!(is_nothing(Some(header)), "{header}");
        }
        let good = SessionToken::from_random([7; 32]).set_cookie(60);
        let good = good.split(';').next().unwrap();
        for header in [
            "notme_session=".to_owned(),
            "notme_session=eyJwcmluY2lwYWxJZCI6IjEifQ==.c2ln".to_owned(),
            format!("{good}A"),
            format!("{good}="),
            format!("{good}; {good}"),
        ] {
            let read = Presented::read(Some(&header));
            assert!(matches!(read, Presented::Malformed), "{header}");
        }
    }

    #[test]
    fn all_that_may_be_sessions_can_be_ended() {
        let cookies: Vec<String> = (0..6)
            .map(|i| SessionToken::from_random([i; 32]).set_cookie(60))
            .map(|cookie| cookie.split(';').next().unwrap_or_default().to_owned())
            .collect();
        let all = |header: &str| Presented::all(Some(header)).count();
        assert_eq!(all(""), 0);
        assert_eq!(all("notme_session=x; a=b"), 0);
        assert_eq!(all(&format!("notme_session=x; {}", cookies[0])), 1);
        assert_eq!(all(&cookies.join("; ")), MAX_ENDED);
    }

    #[test]
    fn sessions_end_by_age_and_by_rest() {
        let times = Times::starting(1000);
        assert!(!times.is_over(1000 + IDLE_SECS - 1));
        assert!(times.is_over(1000 + IDLE_SECS));
        let busy = Times {
            seen_at: 1000 + LIFETIME_SECS - 1,
            ..times
        };
        assert!(!busy.is_over(1000 + LIFETIME_SECS - 1));
        assert!(busy.is_over(1000 + LIFETIME_SECS));
        assert!(!times.is_to_be_noted(1059) && times.is_to_be_noted(1060));
        assert_eq!(times.fresh_until(1000, true), 1300);
    }

    #[test]
    fn what_began_without_a_passkey_is_worth_a_certificate_until_one_is_shown() {
        let began = Times::starting(1000);
        let shown = Times {
            verified_at: 1001,
            ..began
        };
        for (times, began_with_passkey, is_whole) in [
            (began, true, true),
            (began, false, false),
            (shown, false, true),
        ] {
            let is_due = |scope| times.makes_due(scope, 1000, began_with_passkey);
            assert!(is_due(Scope::BridgeCert));
            assert_eq!(is_due(Scope::AuthorityManage), is_whole);
            let fresh_until = times.fresh_until(1100, began_with_passkey);
            assert_eq!(fresh_until > 1100, is_whole);
            assert!(!times.makes_due(Scope::BridgeCert, 1002, began_with_passkey));
        }
    }

    #[test]
    fn a_clock_that_was_ahead_makes_nothing_last_longer() {
        let times = Times::starting(1000);
        for (now, is_ahead) in [(1000, false), (940, false), (939, true)] {
            assert_eq!(times.is_over(now), is_ahead, "{now}");
            assert_eq!(times.is_to_be_noted(now), is_ahead, "{now}");
            assert_eq!(times.fresh_until(now, true) == 0, is_ahead, "{now}");
        }
    }
}
