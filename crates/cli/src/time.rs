//! The clock, and times as people write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use der::DateTime;

use crate::failure::Failure;

/// Unix seconds, now.
pub(crate) fn now() -> Result<u64, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since
        .map(|duration| duration.as_secs())
        .map_err(|_| Failure::local("clock", "this machine's clock is before 1970"))
}

/// Reads Unix seconds, or RFC 3339 in UTC and whole seconds.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map_err(|_| "too large".to_owned());
    }
    let time: DateTime = text
        .parse()
        .map_err(|_| "neither Unix seconds nor of the form 2026-11-21T21:06:06Z".to_owned())?;
    Ok(time.unix_duration().as_secs())
}

/// RFC 3339, or the number where there is no such year.
pub(crate) fn show(unix_secs: u64) -> String {
    DateTime::from_unix_duration(Duration::from_secs(unix_secs))
        .map_or_else(|_| unix_secs.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_mean_the_same() {
        assert_eq!(parse("2026-11-21T21:06:06Z"), Ok(1_795_295_166));
        assert_eq!(parse("1795295166"), Ok(1_795_295_166));
        assert_eq!(show(1_795_295_166), "2026-11-21T21:06:06Z");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "now",
            "-1",
            "1e9",
            "2026-11-21",
            "2026-11-21T21:06:06",
            "2026-11-21T21:06:06+01:00",
            "99999999999999999999",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
