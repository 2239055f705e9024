//! Times as the store writes them: RFC 3339 in UTC with milliseconds (contract 4.3). No zones, no calendars.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 86_400_000;
const SHAPE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";

/// Returns milliseconds since 1970 by the wall clock: a monotonic clock stops while an environment is frozen.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Returns milliseconds since 1970 as `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub fn format(time: i64) -> String {
    Moment(time).to_string()
}

/// Milliseconds since 1970, displayed as `format` writes them. Displaying it allocates nothing.
pub(crate) struct Moment(pub i64);

impl fmt::Display for Moment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(DAY));
        let ms = self.0.rem_euclid(DAY);
        let (seconds, ms) = (ms / 1000, ms % 1000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// Parses what `format` writes, years 0001 to 9999, and nothing else.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let fits = |(byte, shape): (&u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == shape };
    if bytes.len() != SHAPE.len() || !bytes.iter().zip(SHAPE).all(fits) {
        return None;
    }
    let number = |from: usize, to: usize| bytes[from..to].iter().fold(0, |n, digit| n * 10 + i64::from(digit - b'0'));
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let (hour, minute, second, ms) = (number(11, 13), number(14, 16), number(17, 19), number(20, 23));
    if year < 1 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days(year, month, day);
    // Converting back detects dates such as 30 February or month 13.
    (civil(days) == (year, month, day)).then_some(days * DAY + ((hour * 60 + minute) * 60 + second) * 1000 + ms)
}

/// Returns days since 1970-01-01 in the Gregorian calendar (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Returns the year, month and day: the inverse of `days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_instants_are_written_and_read() {
        for (time, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_425_600_123, "2026-11-23T09:20:00.123Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (-62_135_596_800_000, "0001-01-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(format(time), text);
            assert_eq!(parse(text), Some(time));
        }
    }

    #[test]
    fn what_is_not_a_time_by_the_contract_is_refused() {
        for text in [
            "",
            "2026-11-23",
            "2026-11-23T08:00:00Z",
            "2026-11-23T08:00:00.12Z",
            "2026-11-23T08:00:00.1234Z",
            "2026-11-23t08:00:00.123Z",
            "2026-11-23T08:00:00.123z",
            "2026-11-23 08:00:00.123Z",
            "2026-11-23T08:00:00.123+",
            "2026-02-29T08:00:00.123Z",
            "1900-02-29T08:00:00.123Z",
            "2026-13-01T08:00:00.123Z",
            "2026-00-01T08:00:00.123Z",
            "2026-01-00T08:00:00.123Z",
            "2026-04-31T08:00:00.123Z",
            "0000-01-01T00:00:00.000Z",
            "2026-11-23T24:00:00.000Z",
            "2026-11-23T23:60:00.000Z",
            "2016-12-31T23:59:60.000Z",
            "２026-11-23T08:00:00.12Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_what_was_written_returns_the_same_time(time in -62_135_596_800_000..=253_402_300_799_999_i64) {
            prop_assert_eq!(parse(&format(time)), Some(time));
        }
    }
}
