//! Times in certificates (RFC 5280 §4.1.2.5).

use std::time::Duration;

use der::DateTime;

use crate::writer::{Writer, tag};

/// The last year that goes into a UTCTime.
const LAST_UTC_TIME_YEAR: u16 = 2049;

/// Writes a Time from Unix seconds: UTCTime through 2049, GeneralizedTime after.
///
/// Times that no certificate can carry (after the year 9999) become the last one that it can, which
/// RFC 5280 §4.1.2.5 reads as "no well-defined expiration".
pub(crate) fn write_time(w: &mut Writer, unix_secs: u64) {
    let t = date_time(unix_secs);
    let tail = format!(
        "{:02}{:02}{:02}{:02}{:02}Z",
        t.month(),
        t.day(),
        t.hour(),
        t.minutes(),
        t.seconds()
    );
    if t.year() <= LAST_UTC_TIME_YEAR {
        w.primitive(
            tag::UTC_TIME,
            format!("{:02}{tail}", t.year() % 100).as_bytes(),
        );
    } else {
        w.primitive(
            tag::GENERALIZED_TIME,
            format!("{:04}{tail}", t.year()).as_bytes(),
        );
    }
}

/// RFC 3339 in UTC with milliseconds, from Unix milliseconds.
#[must_use]
pub fn rfc3339_millis(unix_millis: u64) -> String {
    let t = date_time(unix_millis / 1000);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minutes(),
        t.seconds(),
        unix_millis % 1000
    )
}

fn date_time(unix_secs: u64) -> DateTime {
    DateTime::from_unix_duration(Duration::from_secs(unix_secs)).unwrap_or(DateTime::INFINITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(unix_secs: u64) -> String {
        let mut w = Writer::with_capacity(20);
        write_time(&mut w, unix_secs);
        String::from_utf8(w.into_bytes()[2..].to_vec()).unwrap()
    }

    #[test]
    fn the_form_changes_in_2050() {
        assert_eq!(written(0), "700101000000Z");
        assert_eq!(written(2_524_607_999), "491231235959Z");
        assert_eq!(written(2_524_608_000), "20500101000000Z");
        assert_eq!(written(u64::MAX), "99991231235959Z");
    }

    #[test]
    fn rfc3339_has_milliseconds() {
        assert_eq!(
            rfc3339_millis(1_795_295_166_001),
            "2026-11-21T21:06:06.001Z"
        );
        assert_eq!(rfc3339_millis(0), "1970-01-01T00:00:00.000Z");
    }
}
