//! Times (RFC 5280 §4.1.2.5).

use notme_keys::der::{Der, tag};

/// The next element as Unix seconds: UTCTime through 2049 and GeneralizedTime from 2050 on, in whole seconds
/// and UTC.
pub(crate) fn time(der: &mut Der<'_>) -> Option<i64> {
    let element = der.any()?;
    let text = element.content.strip_suffix(b"Z")?;
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (year, rest) = match element.tag {
        tag::UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year = number(year);
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        tag::GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (Some(number(year)).filter(|year| *year >= 2050)?, rest)
        }
        _ => return None,
    };
    let [month, day, hour, minute, second] = parts(rest)?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    };
    let is_time = (1..=12).contains(&month)
        && (1..=days).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    is_time.then(|| ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(digits: &[u8]) -> i64 {
    digits
        .iter()
        .fold(0, |n, digit| n * 10 + i64::from(digit & 15))
}

fn parts(text: &[u8]) -> Option<[i64; 5]> {
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    <&[[u8; 2]; 5]>::try_from(pairs)
        .ok()
        .map(|pairs| pairs.map(|pair| number(&pair)))
}

/// Days from 1970-01-01 in the Gregorian calendar, counted in years that begin with March.
const fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Option<i64> {
        let der = [&[tag, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        time(&mut Der::new(&der))
    }

    /// The numbers are those of `date -u -d … +%s`.
    #[test]
    fn times_are_seconds_since_1970() {
        for (text, seconds) in [
            ("700101000000Z", 0),
            ("500101000000Z", -631_152_000),
            ("491231235959Z", 2_524_607_999),
            ("000229120000Z", 951_825_600),
            ("261121210606Z", 1_795_295_166),
            ("991231235959Z", 946_684_799),
        ] {
            assert_eq!(read(tag::UTC_TIME, text), Some(seconds), "{text}");
        }
        for (text, seconds) in [
            ("20500101000000Z", 2_524_608_000),
            ("99991231235959Z", 253_402_300_799),
            ("21000228235959Z", 4_107_542_399),
        ] {
            assert_eq!(read(tag::GENERALIZED_TIME, text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn other_forms_are_none() {
        for text in [
            "",
            "Z",
            "7001010000Z",
            "700101000000",
            "700101000000+0000",
            "701301000000Z",
            "700001000000Z",
            "700100000000Z",
            "700132000000Z",
            "700431000000Z",
            "010229000000Z",
            "700101240000Z",
            "700101006000Z",
            "700101000060Z",
            "7001010000000Z",
            "70010100000aZ",
            "19700101000000Z",
        ] {
            assert_eq!(read(tag::UTC_TIME, text), None, "{text}");
        }
        for text in [
            "20491231235959Z",
            "20500101000000.5Z",
            "205001010000Z",
            "500101000000Z",
            "21000229000000Z",
        ] {
            assert_eq!(read(tag::GENERALIZED_TIME, text), None, "{text}");
        }
        assert_eq!(read(tag::UTF8_STRING, "700101000000Z"), None);
    }
}
